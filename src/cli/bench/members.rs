//! The members a load needs: registered, linked and with points enough, all through the API.
//!
//! Names and keys follow from the seed, so that the same set-up again changes nothing, and one that was cut off goes
//! on. A membership named after the whole population is registered last: where it is, there is nothing to do.

use super::batch::{self, ITEMS};
use super::client::{Answer, Ask, Client, Clients};
use super::crossings::Ledgers;
use super::pairs::{Brand, Pair};
use super::tally::Tally;
use crate::cli::Error;
use hyper::{Method, Uri};
use indicatif::ProgressBar;
use serde::Deserialize;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Points each member begins with: enough for sixteen million conversions of a thousand members.
pub const OPENING_POINTS: u64 = 1_000_000;
/// Their last day, beyond any clock a sandbox is moved to.
const OPENING_EXPIRES: &str = "2099-12-31";
/// Pairs of connections that link members at once.
const LINKERS_MAX: u64 = 16;
/// How long one step may go unanswered.
const PATIENCE: Duration = Duration::from_secs(120);

/// The members of one pair: the same names at both brands.
#[derive(Clone, Copy, Debug)]
pub struct Population {
    pub seed: u32,
    pub pair: Pair,
    pub members: u64,
}

#[derive(Deserialize)]
struct Pending<'a> {
    code: &'a str,
}

impl Population {
    pub fn member_ref(&self, index: u64) -> String {
        format!("bench{}-{}-{}-{index:06}", self.seed, self.pair.from.slug, self.pair.to.slug)
    }

    fn ready_ref(&self) -> String {
        format!("bench{}-{}-{}-all-{}", self.seed, self.pair.from.slug, self.pair.to.slug, self.members)
    }
}

/// Makes what is missing of the populations; `bar` counts members. Brands that keep their own `ledgers` credit their own.
pub async fn prepare(
    clients: &Clients,
    populations: &[Population],
    ledgers: Option<&Ledgers>,
    bar: &ProgressBar,
) -> Result<(), Error> {
    let tally = Rc::default();
    bar.set_length(populations.iter().map(|population| population.members).sum());
    for population in populations {
        bar.set_message(format!("members of {}", population.pair));
        let mut origin = clients.client(population.pair.from.slug, 0, &tally)?;
        if !is_ready(&mut origin, population).await? {
            let mut target = clients.client(population.pair.to.slug, 0, &tally)?;
            register(&mut origin, population, population.pair.from).await?;
            register(&mut target, population, population.pair.to).await?;
            match ledgers {
                None => credit(&mut origin, population).await?,
                Some(ledgers) => ledgers.seed(population, bar).await?,
            }
            link_all(clients, population, &tally, bar).await?;
            put(&mut origin, &population.ready_ref(), population.pair.from.tier).await?;
        } else {
            bar.inc(population.members);
        }
    }
    Ok(())
}

/// Also the first contact with the server: one that cannot be reached is told at once.
async fn is_ready(client: &mut Client, population: &Population) -> Result<bool, Error> {
    let ask = Ask::get(membership_uri(&population.ready_ref()));
    client.ask_once(&ask, 1).await.map_err(|cause| Error::Failed(format!("the server does not answer: {cause}")))?;
    let answer = patiently(client, &ask).await?;
    match answer.status {
        200 => Ok(true),
        404 => Ok(false),
        _ => Err(unexpected("asking for a membership", &answer)),
    }
}

async fn put(client: &mut Client, member_ref: &str, tier: &str) -> Result<(), Error> {
    let body = format!(r#"{{"tier":"{tier}","status":"active"}}"#);
    let ask = Ask { method: Method::PUT, uri: membership_uri(member_ref), key: None, body: body.into() };
    let answer = patiently(client, &ask).await?;
    if answer.status == 200 { Ok(()) } else { Err(unexpected("registering a membership", &answer)) }
}

async fn register(client: &mut Client, population: &Population, brand: Brand) -> Result<(), Error> {
    let item = |index| membership_item(&population.member_ref(index), brand.tier);
    send(client, "/v1/memberships/batch", population.members, item).await
}

async fn credit(client: &mut Client, population: &Population) -> Result<(), Error> {
    let item = |index| {
        let member_ref = population.member_ref(index);
        credit_item(&member_ref, &member_ref, OPENING_POINTS, OPENING_EXPIRES)
    };
    send(client, "/v1/credits/batch", population.members, item).await
}

pub fn membership_item(member_ref: &str, tier: &str) -> String {
    format!(r#"{{"member_ref":"{member_ref}","tier":"{tier}","status":"active"}}"#)
}

pub fn credit_item(key: &str, member_ref: &str, points: u64, expires_on: &str) -> String {
    format!(
        r#"{{"idempotency_key":"{key}","member_ref":"{member_ref}","points":{points},"kind":"opening","reason":"opening","external_reference":"{key}","expires_on":"{expires_on}"}}"#
    )
}

/// Sends an item for each member, in batches; every item must succeed.
async fn send(client: &mut Client, uri: &'static str, members: u64, item: impl Fn(u64) -> String) -> Result<(), Error> {
    let all: Vec<u64> = (0..members).collect();
    for chunk in all.chunks(ITEMS) {
        let items: Vec<String> = chunk.iter().map(|index| item(*index)).collect();
        let mut refused = None;
        let sending = batch::send(client, uri, &items, |_, item, _| {
            if item.status >= 300 {
                refused = Some(item.code().to_owned());
            }
        });
        let sent = tokio::time::timeout(PATIENCE, sending).await.map_err(|_| unanswered(uri))?;
        if let Some(code) = sent.err().or(refused) {
            return Err(Error::Failed(format!("setting up: {uri} was refused: {code}")));
        }
    }
    Ok(())
}

/// Links every member, over several connections of each brand.
async fn link_all(
    clients: &Clients,
    population: &Population,
    tally: &Rc<RefCell<Tally>>,
    bar: &ProgressBar,
) -> Result<(), Error> {
    let next = Rc::new(Cell::new(0));
    let mut linkers = JoinSet::new();
    for index in 0..usize::try_from((population.members / 50).clamp(1, LINKERS_MAX)).unwrap_or(1) {
        let mut from = clients.client(population.pair.from.slug, index, tally)?;
        let mut to = clients.client(population.pair.to.slug, index, tally)?;
        let (next, population, bar) = (Rc::clone(&next), *population, bar.clone());
        linkers.spawn_local(async move {
            while next.get() < population.members {
                let member_ref = population.member_ref(next.replace(next.get() + 1));
                link(&mut from, &mut to, population.pair, &member_ref).await?;
                bar.inc(1);
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(ended) = linkers.join_next().await {
        ended.map_err(Error::failed)??;
    }
    Ok(())
}

async fn link(from: &mut Client, to: &mut Client, pair: Pair, member_ref: &str) -> Result<(), Error> {
    const CONSENT: &str = r#"{"version":"bench","purpose":"load","method":"bench"}"#;
    let body = format!(r#"{{"member_ref":"{member_ref}","to":"{}","consent":{CONSENT}}}"#, pair.to.slug);
    let asked = patiently(from, &Ask::post("/v1/links", None, body)).await?;
    let pending = serde_json::from_slice::<Pending>(&asked.body).ok().filter(|_| asked.status == 201);
    let code = pending.ok_or_else(|| unexpected("asking for a link", &asked))?.code;
    let body = format!(r#"{{"code":"{code}","member_ref":"{member_ref}","consent":{CONSENT}}}"#);
    let accepted = patiently(to, &Ask::post("/v1/links/accept", None, body)).await?;
    // A set-up that was cut off has linked some.
    let is_linked = accepted.status == 200 || accepted.code() == "already_linked";
    if is_linked { Ok(()) } else { Err(unexpected("accepting a link", &accepted)) }
}

fn membership_uri(member_ref: &str) -> Uri {
    let path = format!("/v1/memberships/{member_ref}");
    Uri::try_from(path).expect("a reference of ours has letters, digits and hyphens alone")
}

async fn patiently(client: &mut Client, ask: &Ask) -> Result<Answer, Error> {
    tokio::time::timeout(PATIENCE, client.ask(ask)).await.map_err(|_| unanswered(ask.uri.path()))
}

fn unanswered(path: &str) -> Error {
    Error::Failed(format!("setting up: {path} is not answered"))
}

fn unexpected(doing: &str, answer: &Answer) -> Error {
    Error::Failed(format!("setting up: {doing} was answered {} {}", answer.status, answer.code()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::pairs;

    #[test]
    fn names_follow_from_seed_and_pair_and_the_last_one_from_the_size_too() {
        let pair = pairs::parse("kettle:harvest").expect("a pair");
        let population = Population { seed: 7, pair, members: 400 };
        assert_eq!(population.member_ref(42), "bench7-kettle-harvest-000042");
        let larger = Population { members: 500, ..population };
        assert_eq!(population.member_ref(42), larger.member_ref(42));
        assert_ne!(population.ready_ref(), larger.ready_ref());
        assert_eq!(membership_uri(&larger.ready_ref()).path(), "/v1/memberships/bench7-kettle-harvest-all-500");
    }

    #[test]
    fn items_are_json() {
        let item: serde_json::Value = serde_json::from_str(&credit_item("k", "m", 5, OPENING_EXPIRES)).expect("JSON");
        assert_eq!((item["points"].as_i64(), item["kind"].as_str()), (Some(5), Some("opening")));
        assert!(serde_json::from_str::<serde_json::Value>(&membership_item("m", "l1")).is_ok());
    }
}
