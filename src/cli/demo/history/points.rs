//! Points of a history: earned with purchases, converted, and now and then taken back.

use super::History;
use super::people::{reference, together};
use crate::cli::Error;
use crate::cli::demo::stream::{BRANDS, brands_of};
use crate::cli::sim::control::Control;
use chrono::{NaiveTime, SecondsFormat, TimeDelta, TimeZone};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Purchases and conversions of a working day for a hundred people.
const PURCHASES: usize = 35;
const CONVERSIONS: usize = 20;
/// One conversion in so many is undone at once; on one day in so many, an older one is reversed.
const UNDONE: usize = 40;
const REVERSED: usize = 3;
/// In tens: every rate of the demo is exact in these, and none asks for more than twenty points.
const WISH: (i64, i64) = (2, 12);
/// How long what crosses between two ledgers may take until the day goes on.
const ROUNDS: u32 = 3_000;
const REST: Duration = Duration::from_millis(10);

/// By brand: what a purchase costs in yuan, and how many yuan are a point.
const PRICES: [(i64, i64, i64); 7] =
    [(40, 900, 1), (60, 500, 1), (80, 600, 1), (200, 2_000, 10), (60, 400, 1), (40, 160, 1), (20, 80, 1)];

/// A conversion that may be reversed later: between two brands whose accounts are here.
pub struct Made {
    id: String,
    from: usize,
    to: usize,
    credit: i64,
}

/// An outcome of a batch that must be one.
pub fn check(outcome: &Value) -> Result<(), Error> {
    match &outcome["problem"] {
        Value::Null => Ok(()),
        problem => Err(Error::Failed(format!("a history cannot begin: {problem}"))),
    }
}

impl History<'_> {
    /// Purchases: told as activities, rewarded with points.
    pub(super) async fn shop(&mut self) -> Result<(), Error> {
        let mut activities: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
        let mut credits: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
        let mut earned = Vec::new();
        let morning = self.day.and_time(NaiveTime::MIN) + TimeDelta::hours(9);
        for nth in 0..self.share(PURCHASES) {
            let person = self.chance.below(self.figures.people);
            let brand = brands_of(person)[self.chance.below(3)];
            let (least, most, yuan_a_point) = PRICES[brand];
            let (yuan, cents) = (self.chance.between(least, most), self.chance.between(0, 99));
            let (member, points, name) = (reference(person, brand), yuan / yuan_a_point, format!("receipt-{nth}"));
            let name = self.named(&name);
            let minute = TimeDelta::minutes(self.chance.between(0, 59));
            let at = self.place.zone.from_local_datetime(&(morning + minute)).earliest().map(|at| at.to_utc());
            activities.entry(brand).or_default().push(json!({
                "member_ref": member, "type": "purchase", "amount": format!("{yuan}.{cents:02}"), "currency": "CNY",
                "occurred_at": at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)), "external_reference": name,
                "channel": if nth % 3 == 0 { "online" } else { "shop" }, "categories": [BRANDS[brand].slug],
            }));
            self.figures.purchases += 1;
            self.figures.points_earned += points;
            match self.controls.get(&brand) {
                Some(control) => {
                    let control = Control::clone(control);
                    earned.push(async move { control.earn(&member, points).await });
                }
                None => credits.entry(brand).or_default().push(json!({
                    "idempotency_key": name, "external_reference": name, "member_ref": member, "points": points,
                    "reason": "purchase 购物",
                })),
            }
        }
        together(earned).await?;
        for (path, items) in [("/v1/activities/batch", activities), ("/v1/credits/batch", credits)] {
            for (brand, items) in items {
                self.batch(brand, path, &items).await?.iter().try_for_each(check)?;
            }
        }
        Ok(())
    }

    /// Conversions: at most one of a person a day, so that none hangs on when another arrives. Some are taken back.
    pub(super) async fn convert(&mut self) -> Result<(), Error> {
        let mut wishes: BTreeMap<usize, (Vec<Value>, Vec<usize>)> = BTreeMap::new();
        for person in self.some_people(self.share(CONVERSIONS)) {
            let brands = brands_of(person);
            let from = self.chance.below(3);
            let to = brands[(from + 1 + self.chance.below(2)) % 3];
            let (from, points) = (brands[from], 10 * self.chance.between(WISH.0, WISH.1));
            let (member, name) = (reference(person, from), self.named(&format!("convert-{person}")));
            let (items, targets) = wishes.entry(from).or_default();
            targets.push(to);
            items.push(json!({
                "idempotency_key": name, "external_reference": name, "member_ref": member, "to": BRANDS[to].slug,
                "points": points,
            }));
        }
        let (mut done, mut underway) = (Vec::new(), Vec::new());
        for (from, (items, targets)) in wishes {
            for (outcome, to) in self.batch(from, "/v1/conversions/batch", &items).await?.iter().zip(targets) {
                let made = &outcome["conversion"];
                let (id, credit) = (made["conversion_id"].as_str(), made["credit_points"].as_i64().unwrap_or(0));
                match (outcome["status"].as_i64(), id) {
                    (Some(202), Some(id)) => underway.push(Made { id: id.to_owned(), from, to, credit }),
                    (_, Some(id)) => done.push(Made { id: id.to_owned(), from, to, credit }),
                    (_, None) => self.figures.conversions_refused += 1,
                }
            }
        }
        self.arrive(underway).await?;
        for made in done {
            self.count(&made);
            if self.chance.one_in(UNDONE) {
                self.undo(&made).await?;
            } else {
                self.made.push(made);
            }
        }
        if self.chance.one_in(REVERSED) && !self.made.is_empty() {
            let made = self.made.swap_remove(self.chance.below(self.made.len()));
            self.reverse(&made).await?;
        }
        Ok(())
    }

    fn count(&mut self, made: &Made) {
        self.figures.conversions += 1;
        self.pairs.insert((made.from, made.to));
    }

    /// So many people, each once.
    fn some_people(&mut self, many: usize) -> Vec<usize> {
        let mut people: Vec<usize> = (0..self.figures.people).collect();
        for at in 0..many.min(people.len()) {
            let other = at + self.chance.below(people.len() - at);
            people.swap(at, other);
        }
        people.truncate(many);
        people
    }

    /// Waits until nothing is on its way between two ledgers, and sees what became of each.
    async fn arrive(&mut self, underway: Vec<Made>) -> Result<(), Error> {
        for _ in 0..ROUNDS {
            let reply = self.operator.get("/v1/crossings/backlog").await.map_err(Error::failed)?;
            if reply.at("/items").as_array().is_some_and(Vec::is_empty) {
                break;
            }
            tokio::time::sleep(REST).await;
        }
        let seen = underway.iter().map(|made| {
            let (client, path) = (self.clients[made.from].clone(), format!("/v1/conversions/{}", made.id));
            async move { client.get(&path).await.map_err(Error::failed) }
        });
        let seen = together(seen.collect::<Vec<_>>()).await?;
        for (made, reply) in underway.into_iter().zip(seen) {
            match reply.text("/state") {
                Some("completed") => self.count(&made),
                Some(_) | None => self.figures.conversions_refused += 1,
            }
        }
        Ok(())
    }

    async fn undo(&mut self, made: &Made) -> Result<(), Error> {
        let (path, key) = (format!("/v1/conversions/{}/undo", made.id), format!("history-undo-{}", made.id));
        let reply = self.clients[made.from].post_once(&path, &key, &Value::Null).await.map_err(Error::failed)?;
        self.figures.undone += u64::from(reply.is_done());
        Ok(())
    }

    /// All of it, asked for by the origin and confirmed by the target; refused where the points are spent.
    async fn reverse(&mut self, made: &Made) -> Result<(), Error> {
        let name = self.named("reversal");
        let body = json!({"credit_points": made.credit, "reason": "goods returned 退货", "external_reference": name});
        let path = format!("/v1/conversions/{}/reversals", made.id);
        let reply = self.clients[made.from].post_once(&path, &name, &body).await.map_err(Error::failed)?;
        if let Some(id) = reply.text("/reversal_id") {
            let (path, key) = (format!("/v1/reversals/{id}/confirmation"), self.named("confirmed"));
            let reply = self.clients[made.to].post_once(&path, &key, &Value::Null).await.map_err(Error::failed)?;
            self.figures.reversed += u64::from(reply.is_done());
        }
        Ok(())
    }
}
