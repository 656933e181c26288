//! Conversions between two brands that keep their own ledgers: accepted at once, then carried on by the server until both
//! have moved. What becomes of each is read where a partner reads it, in the events of its origin.
//!
//! The demo runs both ledgers, with `--answer-ms` as slow as they are to be.

use super::client::{Ask, Client};
use super::deliveries;
use super::load::Setting;
use super::members::{OPENING_POINTS, Population};
use super::pairs::Pair;
use super::scenario::Job;
use crate::cli::Error;
use crate::cli::demo::remotes;
use crate::cli::sim::control::Control;
use hyper::Uri;
use indicatif::ProgressBar;
use serde::Deserialize;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

/// Both ledgers have moved.
pub const COMPLETED: &str = "conversion.completed";
/// What is said last of a conversion, unless a person says more.
const ENDS: [&str; 3] = [COMPLETED, "conversion.released", "conversion.in_doubt"];
/// Events of one answer.
const PAGE: usize = 1_000;
/// How often new events are asked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Members told to a ledger at once.
const SEEDERS: u64 = 64;
/// An address for a webhook that is never called: it tells how far the events have come.
const NOWHERE: &str = "https://127.0.0.1:9443/";

/// The last word on conversions that are on their way.
#[derive(Default)]
pub struct Ends(RefCell<HashMap<String, End>>);

enum End {
    Awaited(oneshot::Sender<String>),
    /// Before anybody asked: the answer that accepts a conversion may come after its last event.
    Said(String),
}

impl Ends {
    /// The type of the last event of a conversion, once it is there.
    pub async fn of(&self, id: &str) -> String {
        let (tell, told) = oneshot::channel();
        let known = self.0.borrow_mut().remove(id);
        if let Some(End::Said(end)) = known {
            return end;
        }
        self.0.borrow_mut().insert(id.to_owned(), End::Awaited(tell));
        // Whoever is to tell is there as long as the map is.
        told.await.unwrap_or_default()
    }

    fn tell(&self, id: &str, end: &str) {
        let mut ends = self.0.borrow_mut();
        match ends.remove(id) {
            // A client that was given up waits no more.
            Some(End::Awaited(tell)) => drop(tell.send(end.to_owned())),
            Some(End::Said(_)) | None => drop(ends.insert(id.to_owned(), End::Said(end.to_owned()))),
        }
    }
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    items: Vec<Event<'a>>,
}

#[derive(Deserialize)]
struct Event<'a> {
    r#type: &'a str,
    sequence: i64,
    #[serde(borrow)]
    data: About<'a>,
}

#[derive(Deserialize)]
struct About<'a> {
    conversion_id: Option<&'a str>,
}

/// Reads the origin's events from now on, and tells whoever waits for one.
pub async fn follow(setting: &Setting, job: &Rc<Job>) -> Result<JoinHandle<()>, Error> {
    let mut client = setting.clients.client(setting.remote.pair.from.slug, 0, &job.tally)?;
    let mut after = deliveries::head(&mut client, NOWHERE).await?;
    let job = Rc::clone(job);
    Ok(tokio::task::spawn_local(async move {
        loop {
            match read(&mut client, after, &job.ends).await {
                Ok(read) if read == after => tokio::time::sleep(LOOK_EVERY).await,
                Ok(read) => after = read,
                Err(cause) => {
                    *job.failure.borrow_mut() = Some(cause);
                    return job.stopping.set(true);
                }
            }
        }
    }))
}

/// The next events; the sequence of the last.
async fn read(client: &mut Client, after: i64, ends: &Ends) -> Result<i64, String> {
    let uri = Uri::try_from(format!("/v1/events?after={after}&limit={PAGE}")).map_err(|cause| cause.to_string())?;
    let answer = client.ask(&Ask::get(uri)).await;
    let page: Page =
        serde_json::from_slice(&answer.body).map_err(|cause| format!("events: {}: {cause}", answer.status))?;
    for event in &page.items {
        if let Some(id) = event.data.conversion_id.filter(|_| ENDS.contains(&event.r#type)) {
            ends.tell(id, event.r#type);
        }
    }
    Ok(page.items.last().map_or(after, |last| last.sequence))
}

/// The ledgers of origin and target, as their owners reach them.
pub struct Ledgers([Control; 2]);

/// Those that a demo runs on this folder.
pub fn ledgers(data: &Path, pair: Pair) -> Result<Ledgers, Error> {
    let control = |slug: &str| {
        let folder = data.join("sim").join(slug);
        let noted = folder.join(remotes::CONTROL);
        let base = std::fs::read_to_string(&noted).map_err(|why| {
            let cure = "name the folder of a running demo with --data-dir: hanse demo --quiet --answer-ms 20";
            Error::Usage(format!("{}: {why}: {cure}", noted.display()))
        })?;
        Control::at(base.trim(), folder.join(remotes::KEY))
    };
    Ok(Ledgers([control(pair.from.slug)?, control(pair.to.slug)?]))
}

impl Ledgers {
    /// Gives every member its points at the origin, and makes it known at the target.
    pub async fn seed(&self, population: &Population, bar: &ProgressBar) -> Result<(), Error> {
        bar.set_message(format!("ledgers of {}", population.pair));
        for (control, points) in self.0.iter().zip([i64::try_from(OPENING_POINTS).unwrap_or(i64::MAX), 1]) {
            let mut seeding = JoinSet::new();
            for first in 0..SEEDERS {
                let (control, population) = (control.clone(), *population);
                seeding.spawn(async move {
                    let own = (first..population.members).step_by(usize::try_from(SEEDERS).unwrap_or(1));
                    for index in own {
                        control.seed(&population.member_ref(index), points).await?;
                    }
                    Ok::<_, Error>(())
                });
            }
            while let Some(ended) = seeding.join_next().await {
                ended.map_err(Error::failed)??;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn an_end_is_told_whether_it_comes_before_or_after_it_is_asked_for() {
        let ends = Ends::default();
        ends.tell("cnv_1", COMPLETED);
        assert_eq!(ends.of("cnv_1").await, COMPLETED);
        let (end, ()) = tokio::join!(ends.of("cnv_2"), async { ends.tell("cnv_2", "conversion.released") });
        assert_eq!(end, "conversion.released");
        assert!(ends.0.borrow().is_empty());
    }

    #[test]
    fn events_are_read_whatever_else_they_say() {
        let body = br#"{"items":[{"id":"evt_1","type":"conversion.completed","sequence":7,"data":{"conversion_id":"cnv_1","points":[1]}},
            {"id":"evt_2","type":"rate.published","sequence":8,"data":{"other":1}}],"next":null}"#;
        let page: Page = serde_json::from_slice(body).expect("a page");
        let seen: Vec<_> = page.items.iter().map(|event| (event.r#type, event.data.conversion_id)).collect();
        assert_eq!(seen, [(COMPLETED, Some("cnv_1")), ("rate.published", None)]);
        assert_eq!(page.items[1].sequence, 8);
    }
}
