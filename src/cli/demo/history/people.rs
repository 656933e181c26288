//! The people of a history: each a member of three brands, linked, with points to begin with.

use super::History;
use super::points::check;
use crate::cli::Error;
use crate::cli::demo::client::Client;
use crate::cli::demo::stream::{BRANDS, brands_of, link, rung};
use crate::cli::sim::control::Control;
use crate::domain::expiry::Expiry;
use serde_json::{Value, json};
use std::sync::Arc;

/// Those of the stream are numbered below.
const FIRST: usize = 5_001;
/// Points that one begins with, in tens: at the mall, from which the dearest benefits are paid, and elsewhere.
const AT_THE_MALL: (i64, i64) = (60, 420);
const ELSEWHERE: (i64, i64) = (30, 150);
/// One in so many has points besides that end with the first month, or the second.
const ENDING: usize = 5;
/// Calls under way at once, where they do not hang on each other.
const AT_ONCE: usize = 8;

/// By what the brand knows a person.
pub fn reference(person: usize, brand: usize) -> String {
    format!("{}-{}", BRANDS[brand].letter, FIRST + person)
}

/// The month of a person's birthday.
pub fn birth_month(person: usize) -> u32 {
    u32::try_from(person % 12).unwrap_or(0) + 1
}

impl History<'_> {
    /// Registers everybody, gives them what they begin with, and links their memberships.
    pub(super) async fn join(&mut self) -> Result<(), Error> {
        for brand in 0..BRANDS.len() {
            let here: Vec<usize> =
                (0..self.figures.people).filter(|person| brands_of(*person).contains(&brand)).collect();
            self.register(brand, &here).await?;
            self.give(brand, &here).await?;
        }
        let clients = Arc::new(self.clients.clone());
        let linked = (0..self.figures.people).map(|person| link_all(Arc::clone(&clients), person));
        together(linked).await.map(drop)
    }

    async fn register(&self, brand: usize, here: &[usize]) -> Result<(), Error> {
        let member = |person: &usize| {
            json!({
                "member_ref": reference(*person, brand), "tier": BRANDS[brand].tiers[rung(*person)], "status": "active",
                "birth_month": birth_month(*person),
            })
        };
        let items: Vec<Value> = here.iter().map(member).collect();
        self.batch(brand, "/v1/memberships/batch", &items).await.and_then(|all| all.iter().try_for_each(check))
    }

    async fn give(&mut self, brand: usize, here: &[usize]) -> Result<(), Error> {
        let (least, most) = if BRANDS[brand].slug == "lumen" { AT_THE_MALL } else { ELSEWHERE };
        let (mut items, mut seeds) = (Vec::new(), Vec::new());
        for person in here {
            let (member, points) = (reference(*person, brand), 10 * self.chance.between(least, most));
            if let Some(control) = self.controls.get(&brand) {
                let control = Control::clone(control);
                seeds.push(async move { control.seed(&member, points).await });
                continue;
            }
            items.push(opening(&member, "opening", points));
            if self.chance.one_in(ENDING) {
                let months = u32::from(self.chance.one_in(2));
                let mut ending = opening(&member, "ending", 10 * self.chance.between(1, 6));
                if let Expiry::On(day) = Expiry::months_after(self.day, months) {
                    ending["expires_on"] = json!(day.to_string());
                }
                items.push(ending);
            }
        }
        together(seeds).await?;
        self.batch(brand, "/v1/credits/batch", &items).await.and_then(|all| all.iter().try_for_each(check))
    }

    /// The outcomes of a batch, in the order of its items.
    pub(super) async fn batch(&self, brand: usize, path: &str, items: &[Value]) -> Result<Vec<Value>, Error> {
        let mut outcomes = Vec::with_capacity(items.len());
        for some in items.chunks(1_000) {
            let reply = self.clients[brand].post(path, &json!({ "items": some })).await.map_err(Error::failed)?;
            let Some(told) = reply.at("/items").as_array().filter(|told| told.len() == some.len()) else {
                return Err(Error::Failed(format!("{path} of {}: {}", BRANDS[brand].slug, reply.summary())));
            };
            outcomes.extend(told.iter().cloned());
        }
        Ok(outcomes)
    }
}

/// The three memberships of a person, pair by pair.
async fn link_all(clients: Arc<Vec<Client>>, person: usize) -> Result<(), Error> {
    let brands = brands_of(person);
    for (from, to) in [(0, 1), (0, 2), (1, 2)].map(|(from, to)| (brands[from], brands[to])) {
        let (own, other) = (reference(person, from), reference(person, to));
        link((&clients[from], &own), (&clients[to], &other)).await.map_err(Error::failed)?;
    }
    Ok(())
}

/// Does what does not hang on each other, a few at a time; the outcomes in their order.
pub async fn together<T, F>(calls: impl IntoIterator<Item = F>) -> Result<Vec<T>, Error>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let mut calls = calls.into_iter();
    let mut done = Vec::new();
    loop {
        let some: Vec<_> = calls.by_ref().take(AT_ONCE).map(tokio::spawn).collect();
        if some.is_empty() {
            return Ok(done);
        }
        for one in some {
            done.push(one.await.map_err(Error::failed)??);
        }
    }
}

fn opening(member: &str, name: &str, points: i64) -> Value {
    let name = format!("history-{name}-{member}");
    json!({
        "idempotency_key": name, "external_reference": name, "member_ref": member, "points": points, "kind": "opening",
        "reason": "opening balance 期初余额",
    })
}
