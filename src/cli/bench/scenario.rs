//! What a client does, again and again, until the run is over.

use super::answer::{Amounts, Conversion, Quote};
use super::batch::{self, ITEMS};
use super::client::{Answer, Ask, Client};
use super::crossings::{COMPLETED, Ends};
use super::list::List;
use super::members::{Population, credit_item, membership_item};
use super::pairs::POINTS;
use super::tally::Tally;
use crate::clock;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Lots each imported membership opens with: points and last day.
const OPENING_LOTS: [(u64, &str); 2] = [(1_000, "2099-06-30"), (500, "2099-12-31")];

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Single conversions, all on one pair
    HotPair,
    /// Single conversions on 25 pairs
    Pairs,
    /// A quote, then its conversion, on 25 pairs
    Quoted,
    /// Batches of 1,000 conversions on one pair
    Batches,
    /// Batches of 1,000 new memberships with two opening lots each
    Import,
    /// A settlement window filled with random conversions on 25 pairs, and closed
    Window,
    /// Single conversions between two brands that keep their own ledgers, each until both have moved
    Crossings,
    /// Events pushed to four webhooks here, over mutual TLS, signed twice
    Deliveries,
    /// Pages of members, one at a time
    Pages,
    /// The first five, one after the other
    All,
}

impl Scenario {
    pub const EACH: [Scenario; 5] =
        [Scenario::HotPair, Scenario::Pairs, Scenario::Quoted, Scenario::Batches, Scenario::Import];

    pub fn name(self) -> &'static str {
        match self {
            Scenario::HotPair => "hot-pair",
            Scenario::Pairs => "pairs",
            Scenario::Quoted => "quoted",
            Scenario::Batches => "batches",
            Scenario::Import => "import",
            Scenario::Window => "window",
            Scenario::Crossings => "crossings",
            Scenario::Deliveries => "deliveries",
            Scenario::Pages => "pages",
            Scenario::All => "all",
        }
    }

    /// Whether a request holds many items: then a few connections are enough.
    pub fn is_batched(self) -> bool {
        matches!(self, Scenario::Batches | Scenario::Import)
    }

    /// Whether it spreads over the pairs, or stays on the hot one.
    pub fn is_spread(self) -> bool {
        matches!(self, Scenario::Pairs | Scenario::Quoted | Scenario::Window)
    }
}

/// What the clients of one run share.
pub struct Job {
    pub scenario: Scenario,
    /// Before the first dot of every key of this run.
    pub run: String,
    pub tally: Rc<RefCell<Tally>>,
    pub list: Option<RefCell<List>>,
    /// True while a window is being closed, where that is part of the run.
    pub closing: RefCell<Option<Arc<AtomicBool>>>,
    /// What becomes of conversions that are on their way.
    pub ends: Ends,
    /// Set when clients are to end after what they are doing.
    pub stopping: Cell<bool>,
    /// Why the run cannot go on.
    pub failure: RefCell<Option<String>>,
}

/// One client at work.
pub struct Worker {
    pub job: Rc<Job>,
    pub client: Client,
    pub number: usize,
    pub population: Population,
    /// What every conversion of this population comes to.
    pub amounts: Amounts,
    /// Drives the choice of members.
    pub random: u64,
    pub sent: u64,
}

impl Worker {
    pub async fn work(mut self) {
        while !self.job.stopping.get() {
            self.sent += 1;
            let key = format!("{}.{}.{}", self.job.run, self.number, self.sent);
            let begun = clock::instant();
            let closing = self.job.is_closing();
            match self.job.scenario {
                Scenario::HotPair | Scenario::Pairs => self.convert(&key).await,
                Scenario::Quoted => self.quote_and_convert(&key).await,
                Scenario::Batches => self.convert_batch(&key).await,
                Scenario::Crossings => self.cross(&key).await,
                Scenario::Import | Scenario::Window | Scenario::Deliveries | Scenario::Pages | Scenario::All => {
                    self.import(&key).await
                }
            }
            let closing = closing || self.job.is_closing();
            self.job.tally.borrow_mut().answered(begun.elapsed(), closing);
        }
    }

    async fn convert(&mut self, key: &str) {
        let answer = self.ask_conversion(key).await;
        self.check(&answer, key);
    }

    /// Accepted at once; answered when both ledgers have moved, or neither.
    async fn cross(&mut self, key: &str) {
        let answer = self.ask_conversion(key).await;
        if answer.status != 202 {
            return self.check(&answer, key);
        }
        let accepted = serde_json::from_slice::<Conversion>(&answer.body).map_err(|cause| cause.to_string());
        let accepted = accepted.and_then(|it| it.check("pending", &self.amounts, key).map(|()| it.conversion_id));
        let id = match accepted {
            Ok(id) => id,
            Err(what) => return self.wrong(what),
        };
        if let Some(list) = &self.job.list {
            list.borrow_mut().note(id, key);
        }
        let end = self.job.ends.of(id).await;
        let mut tally = self.job.tally.borrow_mut();
        match end.as_str() {
            COMPLETED => tally.effects(1),
            other => tally.refused(other),
        }
    }

    async fn ask_conversion(&mut self, key: &str) -> Answer {
        let (member_ref, to) = (self.any_member(), self.population.pair.to.slug);
        let body =
            format!(r#"{{"member_ref":"{member_ref}","to":"{to}","points":{POINTS},"external_reference":"{key}"}}"#);
        self.client.ask(&Ask::post("/v1/conversions", Some(key), body)).await
    }

    async fn quote_and_convert(&mut self, key: &str) {
        let (member_ref, to) = (self.any_member(), self.population.pair.to.slug);
        let answer = self.client.ask(&quote(&member_ref, to)).await;
        if answer.status != 201 {
            return self.job.tally.borrow_mut().refused(&answer.code());
        }
        let body = match serde_json::from_slice::<Quote>(&answer.body) {
            Ok(quote) if quote.amounts() == self.amounts => {
                format!(r#"{{"quote":"{}","external_reference":"{key}"}}"#, quote.token)
            }
            Ok(quote) => return self.wrong(format!("a quote of {:?}, not {:?}", quote.amounts(), self.amounts)),
            Err(cause) => return self.wrong(format!("a quote that cannot be read: {cause}")),
        };
        let answer = self.client.ask(&Ask::post("/v1/conversions", Some(key), body)).await;
        self.check(&answer, key);
    }

    async fn convert_batch(&mut self, key: &str) {
        let to = self.population.pair.to.slug;
        let keys: Vec<String> = (0..ITEMS).map(|item| format!("{key}.{item}")).collect();
        let item = |key: &String| {
            let member_ref = self.population.member_ref(next(&mut self.random) % self.population.members);
            format!(
                r#"{{"idempotency_key":"{key}","member_ref":"{member_ref}","to":"{to}","points":{POINTS},"external_reference":"{key}"}}"#
            )
        };
        let items: Vec<String> = keys.iter().map(item).collect();
        let (job, amounts) = (Rc::clone(&self.job), self.amounts);
        let sent = batch::send(&mut self.client, "/v1/conversions/batch", &items, |at, item, tries| {
            match (item.status, &item.conversion) {
                (201, Some(conversion)) => job.converted(conversion, &amounts, &keys[at], item.replayed, tries),
                (200..300, _) => job.tally.borrow_mut().wrong(format!("{} without a conversion", item.status)),
                _ => job.tally.borrow_mut().refused(item.code()),
            }
        });
        if let Err(code) = sent.await {
            self.job.tally.borrow_mut().refused(&code);
        }
        self.job.flush();
    }

    /// Registers 1,000 new memberships and credits each its opening lots.
    async fn import(&mut self, key: &str) {
        let tier = self.population.pair.from.tier;
        let names: Vec<String> = (0..ITEMS).map(|item| format!("{key}.{item}")).collect();
        let memberships: Vec<String> = names.iter().map(|name| membership_item(name, tier)).collect();
        let credits: Vec<String> = names
            .iter()
            .flat_map(|name| {
                OPENING_LOTS.map(|(points, day)| credit_item(&format!("{name}.{points}"), name, points, day))
            })
            .collect();
        let batches = [("/v1/memberships/batch", &memberships[..])];
        let batches = batches.into_iter().chain(credits.chunks(ITEMS).map(|chunk| ("/v1/credits/batch", chunk)));
        let mut complete = true;
        for (uri, items) in batches {
            let tally = Rc::clone(&self.job.tally);
            let sent = batch::send(&mut self.client, uri, items, |_, item, tries| {
                let mut tally = tally.borrow_mut();
                if item.status >= 300 {
                    complete = false;
                    tally.refused(item.code());
                } else if item.replayed && tries == 1 {
                    tally.wrong(format!("a new item of {uri} was answered with a replay"));
                }
            });
            if let Err(code) = sent.await {
                complete = false;
                self.job.tally.borrow_mut().refused(&code);
            }
        }
        if complete {
            self.job.tally.borrow_mut().effects(u64::try_from(ITEMS).unwrap_or(0));
        }
    }

    fn any_member(&mut self) -> String {
        self.population.member_ref(next(&mut self.random) % self.population.members)
    }

    fn check(&self, answer: &Answer, key: &str) {
        match answer.status {
            201 => match serde_json::from_slice::<Conversion>(&answer.body) {
                Ok(conversion) => {
                    self.job.converted(&conversion, &self.amounts, key, answer.replayed, answer.tries);
                    self.job.flush();
                }
                Err(cause) => self.wrong(format!("an answer that cannot be read: {cause}")),
            },
            200..300 => self.wrong(format!("a conversion was answered {}", answer.status)),
            _ => self.job.tally.borrow_mut().refused(&answer.code()),
        }
    }

    fn wrong(&self, what: String) {
        self.job.tally.borrow_mut().wrong(what);
    }
}

impl Job {
    fn is_closing(&self) -> bool {
        self.closing.borrow().as_ref().is_some_and(|closing| closing.load(Ordering::Relaxed))
    }

    /// One conversion has been answered: it is listed whatever it is, and an effect if it is what was asked for.
    fn converted(&self, conversion: &Conversion, amounts: &Amounts, key: &str, replayed: bool, tries: u32) {
        if let Some(list) = &self.list {
            list.borrow_mut().note(conversion.conversion_id, key);
        }
        let mut tally = self.tally.borrow_mut();
        match conversion.check("completed", amounts, key) {
            Err(what) => tally.wrong(what),
            Ok(()) if replayed && tries == 1 => tally.wrong(format!("{key} was new and answered with a replay")),
            Ok(()) => {
                tally.recovered += u64::from(replayed);
                tally.effects(1);
            }
        }
    }

    /// What has been answered is on the list before anything else is asked.
    fn flush(&self) {
        let Some(list) = &self.list else { return };
        if let Err(cause) = list.borrow_mut().flush() {
            *self.failure.borrow_mut() = Some(format!("the list cannot be written: {cause}"));
            self.stopping.set(true);
        }
    }
}

/// A quote for one conversion of the load.
pub fn quote(member_ref: &str, to: &str) -> Ask {
    let body = format!(r#"{{"member_ref":"{member_ref}","to":"{to}","points":{POINTS}}}"#);
    Ask::post("/v1/quotes", None, body)
}

/// The next number of a sequence that wanders enough to choose members (splitmix64).
pub fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_chosen_evenly() {
        let mut state = 1;
        let mut times = [0_u32; 10];
        (0..10_000).for_each(|_| times[usize::try_from(next(&mut state) % 10).expect("small")] += 1);
        assert!(times.iter().all(|count| (900..1100).contains(count)), "{times:?}");
    }

    fn job() -> Job {
        let tally = Rc::default();
        let (stopping, failure) = (Cell::new(false), RefCell::new(None));
        let (closing, ends) = (RefCell::default(), Ends::default());
        Job { scenario: Scenario::HotPair, run: "r".to_owned(), tally, list: None, closing, ends, stopping, failure }
    }

    #[test]
    fn a_replay_is_right_only_for_what_was_asked_again() {
        let amounts = Amounts { debit_points: 60, credit_points: 36, total_credit_points: 36 };
        let body = r#"{"conversion_id":"cnv_1","state":"completed","debit_points":60,"credit_points":36,"total_credit_points":36,"external_reference":"k"}"#;
        let conversion: Conversion = serde_json::from_str(body).expect("a conversion");
        let job = job();
        job.converted(&conversion, &amounts, "k", false, 1);
        job.converted(&conversion, &amounts, "k", true, 2);
        assert_eq!((job.tally.borrow().effects, job.tally.borrow().recovered, job.tally.borrow().wrong), (2, 1, 0));
        job.converted(&conversion, &amounts, "k", true, 1);
        job.converted(&conversion, &amounts, "other", false, 1);
        assert_eq!((job.tally.borrow().effects, job.tally.borrow().wrong), (2, 2));
    }
}
