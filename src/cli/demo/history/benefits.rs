//! Benefits of a history: claimed by those they are for, shown at the giver's till, some never used.

use super::History;
use super::people::{birth_month, reference};
use crate::cli::Error;
use crate::cli::demo::stream::{BRANDS, brands_of, rung};
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use serde_json::{Value, json};

/// Claims of a working day for a hundred people.
const CLAIMS: usize = 4;
/// One voucher in so many is never used; one use in so many is a till's mistake, which is taken back.
const NEVER: usize = 6;
const MISTAKEN: usize = 40;
/// A voucher is used within so many days, if it is good so long.
const SOON: i64 = 4;
/// Tries to find somebody whom a benefit is for.
const TRIES: usize = 40;
/// Bills are higher by up to so much than what a coupon asks for.
const BEYOND: i64 = 260;

/// An offer that people know of: the benefit, the brand whose members it is for, and the least rung.
pub struct Offered {
    id: String,
    giver: usize,
    brand: usize,
    rung: usize,
    birthday: bool,
    claims_from: Option<DateTime<Utc>>,
    claims_until: Option<DateTime<Utc>>,
    /// What a coupon asks for, in yuan.
    bill: Option<i64>,
    uses: i64,
}

/// A voucher that will be shown.
pub struct Held {
    code: String,
    giver: usize,
    bill: Option<i64>,
    uses: i64,
}

impl History<'_> {
    /// All offers as they stand, by giver and code.
    pub(super) async fn offers(&self) -> Result<Vec<Offered>, Error> {
        let reply = self.operator.get("/v1/benefits?limit=200").await.map_err(Error::failed)?;
        let mut all = Vec::new();
        for benefit in reply.at("/items").as_array().into_iter().flatten() {
            let offers = benefit["offers"].as_array().map(Vec::as_slice).unwrap_or_default();
            all.extend(offers.iter().filter_map(|offer| offered(benefit, offer)));
        }
        Ok(all)
    }

    /// Somebody claims something, a few times.
    pub(super) async fn claim(&mut self) -> Result<(), Error> {
        for nth in 0..self.share(CLAIMS) {
            let Some((at, person)) = self.taker() else { continue };
            let offer = &self.offered[at];
            let (brand, path) = (offer.brand, format!("/v1/benefits/{}/claims", offer.id));
            let (name, member) = (self.named(&format!("claim-{nth}")), reference(person, brand));
            let body = json!({ "member_ref": member, "external_reference": name });
            let reply = self.clients[brand].post_once(&path, &name, &body).await.map_err(Error::failed)?;
            let (Some(code), Some(use_by)) = (reply.text("/code").filter(|_| reply.is_done()), reply.text("/use_by"))
            else {
                self.figures.claims_refused += 1;
                continue;
            };
            self.figures.vouchers += 1;
            let last: NaiveDate = use_by.parse().map_err(Error::failed)?;
            self.keep(at, code, last);
        }
        Ok(())
    }

    /// An offer that is open today, and one whom it is for.
    fn taker(&mut self) -> Option<(usize, usize)> {
        if self.offered.is_empty() {
            return None;
        }
        for _ in 0..TRIES {
            let (at, person) = (self.chance.below(self.offered.len()), self.chance.below(self.figures.people));
            let offer = &self.offered[at];
            let day = |at: DateTime<Utc>| at.with_timezone(&self.place.zone).date_naive();
            let is_open = offer.claims_from.is_none_or(|from| day(from) < self.day)
                && offer.claims_until.is_none_or(|until| self.day < day(until));
            let is_hers = brands_of(person).contains(&offer.brand)
                && rung(person) >= offer.rung
                && (!offer.birthday || birth_month(person) == self.day.month());
            if is_open && is_hers {
                return Some((at, person));
            }
        }
        None
    }

    /// Decides when the voucher is shown, if ever.
    fn keep(&mut self, at: usize, code: &str, last: NaiveDate) {
        if self.chance.one_in(NEVER) {
            return;
        }
        let good_for = (last - self.day).num_days().clamp(0, SOON);
        let day = self.day + TimeDelta::days(self.chance.between(0, good_for));
        let bill = self.offered[at].bill.map(|least| least.max(1) + self.chance.between(0, BEYOND));
        let (giver, uses) = (self.offered[at].giver, self.offered[at].uses);
        self.held.entry(day).or_default().push(Held { code: code.to_owned(), giver, bill, uses });
    }

    /// What is shown today.
    pub(super) async fn redeem(&mut self) -> Result<(), Error> {
        for (nth, held) in self.held.remove(&self.day).unwrap_or_default().into_iter().enumerate() {
            for one in 0..held.uses {
                let id = self.show(&held, &format!("till-{nth}-{one}")).await?;
                if self.chance.one_in(MISTAKEN) {
                    let (path, key) =
                        (format!("/v1/redemptions/{id}/reversals"), self.named(&format!("back-{nth}-{one}")));
                    let body = json!({ "reason": "the wrong voucher 核销错误" });
                    let reply = self.clients[held.giver].post_once(&path, &key, &body).await.map_err(Error::failed)?;
                    if reply.is_done() {
                        self.figures.uses -= 1;
                        self.show(&held, &format!("till-{nth}-{one}-again")).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// At the giver's till; the use.
    async fn show(&mut self, held: &Held, name: &str) -> Result<String, Error> {
        let name = self.named(name);
        let mut body = json!({
            "store": format!("{} {}", BRANDS[held.giver].name, 1 + self.chance.below(3)), "till": "1",
            "receipt": name, "external_reference": name,
        });
        if let Some(bill) = held.bill {
            body["amount"] = json!(format!("{bill}.00"));
        }
        let path = format!("/v1/vouchers/{}/redemptions", held.code);
        let reply = self.clients[held.giver].post_once(&path, &name, &body).await.map_err(Error::failed)?;
        match reply.text("/redemption_id").filter(|_| reply.is_done()) {
            Some(id) => {
                self.figures.uses += 1;
                Ok(id.to_owned())
            }
            None => Err(Error::Failed(format!("{name}: a voucher is not taken: {}", reply.summary()))),
        }
    }
}

/// What matters of an offer; `None` where its brand is none of the demo's.
fn offered(benefit: &Value, offer: &Value) -> Option<Offered> {
    let brand = |slug: &Value| BRANDS.iter().position(|brand| *slug == brand.slug);
    let (giver, to) = (brand(&benefit["giver"])?, brand(&offer["to"])?);
    let ladder = if offer["ladder"] == "giver" { giver } else { to };
    let tiers = offer["tiers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rungs = BRANDS[ladder].tiers.iter().enumerate().filter(|(_, tier)| tiers.iter().any(|named| named == **tier));
    let instant = |value: &Value| value.as_str()?.parse::<DateTime<Utc>>().ok();
    let from = benefit["discount"]["from"].as_str().and_then(|from| from.split('.').next()?.parse().ok());
    Some(Offered {
        id: benefit["benefit_id"].as_str()?.to_owned(),
        giver,
        brand: to,
        rung: rungs.map(|(rung, _)| rung).min().unwrap_or(0),
        birthday: offer["birthday_month"] == true,
        claims_from: instant(&offer["claims_from"]).or_else(|| instant(&benefit["claims_from"])),
        claims_until: instant(&benefit["claims_until"]),
        bill: benefit["discount"].is_object().then(|| from.unwrap_or(0)),
        uses: benefit["uses"].as_i64().unwrap_or(1),
    })
}
