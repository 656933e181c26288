//! A courier serves one endpoint for as long as there is something to send: it reads, sends several at once, and writes
//! down what became of them, in groups, while the next are under way.
//!
//! One operation on the database at a time, so that what is read was read after what was written. What it has at hand is
//! bounded; it holds no slot that another endpoint needs.

use super::attempt::{Attempt, Target};
use super::look::{self, Asked, Looked, PAGE};
use super::window::{Item, Window};
use super::{Shared, total};
use crate::clock;
use crate::domain::delivery::{self, Chance, Health, Outcome, PROBE_EVERY};
use crate::service::exchange::Error;
use crate::store::webhooks::Row;
use crate::store::webhooks::courier::{self, Group, LEASE_MS, Settled, Waking};
use chrono::TimeDelta;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

/// Events read and not settled.
const WINDOW: usize = 512;
/// How often an idle courier looks, should nobody wake it.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long one stays with an endpoint for which there is nothing.
const LINGER: Duration = Duration::from_secs(1);
/// The lease is renewed when nothing was written for so long, a third of it.
const RENEW_EVERY: Duration = Duration::from_millis(LEASE_MS as u64 / 3);
/// Nothing is sent on a lease that may be over.
const LEASE_TRUSTED: Duration = Duration::from_millis(LEASE_MS as u64 * 4 / 5);
/// After the database failed.
const PAUSE: Duration = Duration::from_millis(500);
/// What is sent at once at first; with each success one more, with each failure half of it.
const AT_ONCE_FIRST: usize = 4;
/// How long an endpoint is left alone when the fault is ours.
const OUR_FAULT_MS: i64 = 10_000;

pub struct Courier {
    shared: Arc<Shared>,
    row: Row,
    health: Health,
    window: Window,
    target: Option<Target>,
    /// Not yet being written down.
    outcomes: Vec<Settled>,
    /// Keys of those among them, or being written, that have failed: what is read meanwhile must wait behind them.
    failed: HashSet<Uuid>,
    at_once: usize,
    /// When the endpoint came back, and how many were sent since.
    recovered: Option<(Instant, u64)>,
    /// To be told with the next group.
    tell_recovered: bool,
    rests_ms: Option<i64>,
    /// The longest rest that the endpoint has asked for, and when.
    asked: Option<(Instant, i64)>,
    probe: Probe,
    more: bool,
    /// More may be due again than is at hand: worth a look once some of it is written down.
    more_again: bool,
    /// What failed while it was away and is to be made due.
    waking: Option<Waking>,
    looked: Option<Instant>,
    /// The lease is ours at least from then on.
    written: Instant,
    idle_since: Option<Instant>,
    paused_until: Option<Instant>,
}

/// Whether the endpoint is being tried with one event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Probe {
    No,
    Wanted,
    Sent,
}

type Operation = JoinHandle<Result<Done, Error>>;

enum Done {
    Looked(Box<Option<Looked>>),
    /// What was written, and when that began; `None`: the lease has changed hands.
    Settled(Box<Option<Row>>, Box<Group>, Instant),
}

struct Sent {
    item: Item,
    attempt: Attempt,
    /// Whether the breaker was open when it was sent.
    probe: bool,
    _turn: Option<OwnedSemaphorePermit>,
}

/// Whether the courier goes on.
#[derive(PartialEq, Eq)]
enum Next {
    On,
    End,
}

impl Courier {
    /// Of an endpoint that was claimed, which was asked for at an instant.
    pub fn new(shared: Arc<Shared>, row: Row, claimed: Instant) -> Courier {
        let probe = if row.health.is_open() { Probe::Wanted } else { Probe::No };
        Courier {
            window: Window::new(row.cursor),
            health: row.health,
            row,
            shared,
            target: None,
            outcomes: Vec::new(),
            failed: HashSet::new(),
            at_once: AT_ONCE_FIRST,
            recovered: None,
            tell_recovered: false,
            rests_ms: None,
            asked: None,
            probe,
            more: true,
            more_again: false,
            waking: None,
            looked: None,
            written: claimed,
            idle_since: None,
            paused_until: None,
        }
    }

    /// Until there is nothing to send, nothing may be sent, or the endpoint is another's.
    pub async fn run(mut self) {
        let mut sent: JoinSet<Sent> = JoinSet::new();
        let mut operation: Option<Operation> = None;
        // A group whose writing failed, to be written again.
        let mut unwritten: Option<Group> = None;
        let shared = Arc::clone(&self.shared);
        let mut stopping = shared.stopping.subscribe();
        loop {
            let closing = self.is_closing() || *stopping.borrow();
            if operation.is_none() && !self.is_paused() {
                operation = self.next_operation(&mut unwritten, closing && sent.is_empty(), closing);
            }
            if !closing {
                self.send_some(&mut sent);
            }
            let woken = shared.bell.notified();
            tokio::select! {
                Some(joined) = sent.join_next(), if !sent.is_empty() => match joined {
                    Ok(one) => self.on_sent(one),
                    // A bug of ours; the lease runs out and another begins anew.
                    Err(cause) => return tracing::error!(%cause, "an attempt panicked"),
                },
                done = finished(&mut operation) => {
                    operation = None;
                    if self.on_done(done, &mut unwritten) == Next::End {
                        return;
                    }
                },
                () = woken => self.more = true,
                _ = stopping.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY.min(self.pace())) => {}
            }
        }
    }

    fn is_paused(&self) -> bool {
        self.paused_until.is_some_and(|until| clock::instant() < until)
    }

    /// Nothing more is to be sent for now.
    fn is_closing(&self) -> bool {
        let open = self.health.is_open() && self.probe == Probe::No;
        let idle = self.idle_since.is_some_and(|since| since.elapsed() >= LINGER);
        self.health.suspended.is_some() || open || self.rests_ms.is_some() || idle
    }

    fn next_operation(&mut self, unwritten: &mut Option<Group>, release: bool, closing: bool) -> Option<Operation> {
        if let Some(group) = unwritten.take() {
            return Some(self.settle(group));
        }
        if release || !self.outcomes.is_empty() || self.written.elapsed() >= RENEW_EVERY {
            let group = self.group(release);
            return Some(self.settle(group));
        }
        let room = self.window.queued() < usize::try_from(PAGE).unwrap_or(0) / 2 && self.window.unsettled() < WINDOW;
        let due = self.more || self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY);
        // What a probe leaves at hand would be sent before its time once the probe is answered.
        let probed = self.probe == Probe::Sent || self.probe == Probe::Wanted && self.window.queued() > 0;
        let wanted = !closing && room && due && !probed;
        wanted.then(|| self.look())
    }

    fn look(&mut self) -> Operation {
        let shared = Arc::clone(&self.shared);
        let random = Uuid::new_v4().as_u128();
        let asked = Asked {
            no: self.row.no,
            epoch: self.row.epoch,
            partner: self.row.partner.clone(),
            currency: shared.currency(),
            read_to: self.window.read_to(),
            probe: self.probe != Probe::No,
            newest: random.is_multiple_of(2),
            nth: (random >> 64 & 0xffff) as usize,
            waking: self.waking.take(),
            sealing: Arc::clone(&shared.sealing),
        };
        self.more = false;
        tokio::spawn(async move {
            let looked = shared.database.run(move |conn| look::look(conn, &asked)).await?;
            Ok(Done::Looked(Box::new(looked)))
        })
    }

    /// What has become of events since the last group.
    fn group(&mut self, release: bool) -> Group {
        let events = std::mem::take(&mut self.outcomes);
        for event in &events {
            self.window.settle(event.sequence);
        }
        Group {
            no: self.row.no,
            epoch: self.row.epoch,
            events,
            cursor: self.window.cursor(),
            health: self.health,
            rests_ms: self.rests_ms,
            recovered: std::mem::take(&mut self.tell_recovered),
            release,
        }
    }

    fn settle(&self, group: Group) -> Operation {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let (written, began) = (group.clone(), clock::instant());
            let row = shared.database.run(move |conn| courier::settle(conn, &written)).await;
            match row {
                Ok(row) => Ok(Done::Settled(Box::new(row), Box::new(group), began)),
                Err(error) => {
                    tracing::debug!(%error, "a group of deliveries is written again");
                    Ok(Done::Settled(Box::new(None), Box::new(Group { no: 0, ..group }), began))
                }
            }
        })
    }

    fn on_done(&mut self, done: Result<Done, Error>, unwritten: &mut Option<Group>) -> Next {
        match done {
            Ok(Done::Looked(looked)) => match *looked {
                Some(looked) => self.on_looked(looked),
                None => Next::End,
            },
            // The database failed: the same again, a little later.
            Ok(Done::Settled(_, group, _)) if group.no == 0 => {
                *unwritten = Some(Group { no: self.row.no, ..*group });
                self.paused_until = Some(clock::instant() + PAUSE);
                Next::On
            }
            Ok(Done::Settled(row, group, began)) => match *row {
                Some(_) if group.release => Next::End,
                Some(row) => {
                    self.written = began;
                    self.more |= self.more_again && !group.events.is_empty();
                    if let Some(target) = &mut self.target {
                        target.url = row.url.as_str().into();
                    }
                    self.row = row;
                    // What failed later is among the outcomes that are not written.
                    let unwritten = self.outcomes.iter().filter(|event| event.state != "delivered");
                    self.failed = unwritten.map(|event| event.key).collect();
                    Next::On
                }
                None => {
                    tracing::info!(webhook.id = %self.row.id, "a webhook is served by another now");
                    Next::End
                }
            },
            Err(error) => {
                // Ours to mend, and nothing that the endpoint has done.
                tracing::warn!(webhook.id = %self.row.id, %error, "what a webhook is due cannot be read");
                self.paused_until = Some(clock::instant() + PAUSE);
                self.rests_ms = Some(OUR_FAULT_MS);
                Next::On
            }
        }
    }

    fn on_looked(&mut self, looked: Looked) -> Next {
        self.looked = Some(clock::instant());
        let Looked { row, secrets, items, written, read_to, more, more_again, waking } = looked;
        self.waking = self.waking.or(waking);
        let dialer = match self.shared.outbound.dialer(&row.partner) {
            Ok(dialer) => dialer,
            Err(error) => {
                tracing::warn!(partner.slug = row.partner.as_str(), %error, "webhooks cannot be sent");
                self.rests_ms = Some(OUR_FAULT_MS);
                return Next::On;
            }
        };
        let (url, secrets) = (row.url.as_str().into(), secrets.into());
        let (keys, deadline) = (Arc::clone(&self.shared.keys), self.shared.bounds.deadline);
        self.target = Some(Target { dialer, keys, url, secrets, deadline });
        self.row = row;
        self.window.read(read_to);
        self.more |= more;
        self.more_again = more_again;
        for settled in written {
            // It is read, and its row is about to be there.
            self.outcomes.push(settled);
        }
        for item in items {
            if item.row && self.window.has_row(item.sequence) {
                continue;
            }
            // Were all of them here already, looking at once would find the same.
            self.more |= item.row && more_again;
            if self.failed.contains(&item.key) && !item.row {
                self.outcomes.push(look::waiting(&item));
            } else {
                self.window.push(item);
            }
        }
        let busy = self.window.unsettled() > 0 || !self.outcomes.is_empty() || self.more;
        self.idle_since = if busy { None } else { self.idle_since.or(Some(clock::instant())) };
        Next::On
    }

    /// How many may go now, and sends them.
    fn send_some(&mut self, sent: &mut JoinSet<Sent>) {
        let Some(target) = self.target.clone() else { return };
        // A process that was stopped for a while must not go on as if it still served.
        while self.written.elapsed() < LEASE_TRUSTED && self.may_send(sent.len()) {
            let turn = if sent.is_empty() { None } else { total(&self.shared.turns) };
            // The first is an endpoint's own; beyond it all share what there is.
            if turn.is_none() && !sent.is_empty() {
                return;
            }
            let Some(item) = self.window.take() else { return };
            let probe = self.probe != Probe::No;
            if probe {
                self.probe = Probe::Sent;
            }
            if let Some((_, count)) = &mut self.recovered {
                *count += 1;
            }
            let target = target.clone();
            sent.spawn(async move {
                let attempt = target.deliver(&item).await;
                Sent { item, attempt, probe, _turn: turn }
            });
        }
    }

    fn may_send(&self, under_way: usize) -> bool {
        match self.probe {
            Probe::Wanted => under_way == 0,
            Probe::Sent => false,
            Probe::No => {
                let bound = self.at_once.min(self.shared.bounds.at_once);
                under_way < bound && self.outcomes.len() < WINDOW && self.pace() >= LOOK_EVERY
            }
        }
    }

    /// How long until one more may go to an endpoint that has just come back; [`LOOK_EVERY`] when that is now.
    fn pace(&self) -> Duration {
        let Some((since, count)) = self.recovered else { return LOOK_EVERY };
        let elapsed = TimeDelta::from_std(since.elapsed()).unwrap_or_default();
        if delivery::paced(elapsed).is_none_or(|allowed| count < allowed) {
            LOOK_EVERY
        } else {
            Duration::from_millis(10)
        }
    }

    fn on_sent(&mut self, sent: Sent) {
        let Sent { item, attempt, probe, _turn } = sent;
        let before = self.health;
        if probe || is_the_endpoints(&item, &attempt) {
            self.health = self.health.on(attempt.outcome, clock::now());
        }
        let labels = [("partner", self.row.partner.as_str().to_owned())];
        metrics::histogram!("hanse_delivery_seconds", &labels).record(attempt.took);
        self.at_once = delivery::at_once(self.at_once, attempt.outcome, attempt.took).min(self.shared.bounds.at_once);
        let state = match attempt.outcome {
            Outcome::Delivered => self.delivered(&item, &attempt, before),
            // The one that opens the breaker says of the endpoint what a probe does.
            Outcome::Failed | Outcome::Gone => self.failed(&item, &attempt, probe || self.health.is_open()),
        };
        let partner = self.row.partner.as_str().to_owned();
        metrics::counter!("hanse_deliveries_total", "partner" => partner, "outcome" => state).increment(1);
    }

    fn delivered(&mut self, item: &Item, attempt: &Attempt, before: Health) -> &'static str {
        if before.is_open() && !self.health.is_open() {
            tracing::info!(webhook.id = %self.row.id, "a webhook's endpoint answers again");
            self.probe = Probe::No;
            // Who asked for a rest after this was sent has it.
            let sent = clock::instant().checked_sub(attempt.took);
            self.asked = self.asked.filter(|(asked, _)| sent.is_none_or(|sent| sent < *asked));
            self.rests_ms = self.asked.map(|(_, ms)| ms);
            // What was refused by itself before it went away keeps its times.
            self.waking = Some(Waking { since: before.failing_since, until: clock::now(), after: None });
            self.at_once = 1;
            self.recovered = Some((clock::instant(), 1));
            self.tell_recovered = true;
            self.more = true;
        }
        self.outcomes.push(settled(item, "delivered", item.tries, None, attempt));
        self.window.done(item.key);
        "delivered"
    }

    fn failed(&mut self, item: &Item, attempt: &Attempt, probe: bool) -> &'static str {
        let chance = Chance::new((Uuid::new_v4().as_u128() & 0xffff) as u16);
        self.rest(attempt, chance);
        // A probe asks whether anybody is there: it is no try of this event.
        let counts = !probe && attempt.outcome == Outcome::Failed;
        let tries = item.tries + i32::from(counts);
        let wait = if counts { delivery::wait(tries, chance) } else { Some(TimeDelta::zero()) };
        let Some(wait) = wait else {
            tracing::warn!(webhook.id = %self.row.id, event.sequence = item.sequence, "an event is dead at a webhook");
            self.outcomes.push(Settled { leads: true, ..settled(item, "dead", tries, None, attempt) });
            self.window.done(item.key);
            return "dead";
        };
        let asked = attempt.retry_after.map_or(0, |asked| i64::try_from(asked.as_millis()).unwrap_or(i64::MAX));
        let next = wait.num_milliseconds().max(asked);
        self.outcomes.push(Settled { probed: probe, ..settled(item, "retrying", tries, Some(next), attempt) });
        self.failed.insert(item.key);
        for behind in self.window.park(item.key) {
            self.outcomes.push(look::waiting(&behind));
        }
        "retrying"
    }

    /// How long nothing is sent after a failure, if it is more than this event's own affair.
    fn rest(&mut self, attempt: &Attempt, chance: Chance) {
        let asked = attempt.retry_after.map(|asked| i64::try_from(asked.as_millis()).unwrap_or(i64::MAX));
        let probe = self.health.is_open().then(|| chance.spread(PROBE_EVERY).num_milliseconds());
        if let Some(opened) = self.health.opened_at
            && self.probe == Probe::No
            && self.rests_ms.is_none()
        {
            let (webhook, partner) = (self.row.id, self.row.partner.as_str());
            tracing::warn!(webhook.id = %webhook, partner.slug = partner, %opened, error = attempt.error, status = attempt.status, "a webhook's breaker is open");
        }
        self.rests_ms = self.rests_ms.max(asked).max(probe);
        if let Some(ms) = asked {
            let longest = self.asked.map_or(ms, |(_, before)| before.max(ms));
            self.asked = Some((clock::instant(), longest));
        }
        if probe.is_some() {
            self.probe = Probe::No;
        }
    }
}

/// Whether an outcome says how the endpoint fares. An event that was refused before and is refused again, by somebody who
/// answers, says nothing new: else one that nobody will ever take would stop all others.
fn is_the_endpoints(item: &Item, attempt: &Attempt) -> bool {
    let is_refused_again = item.tries > 0 && attempt.status.is_some_and(|status| !matches!(status, 502..=504));
    attempt.outcome != Outcome::Failed || !is_refused_again
}

fn settled(item: &Item, state: &'static str, tries: i32, next_ms: Option<i64>, attempt: &Attempt) -> Settled {
    let attempt = Some(attempt.to_json().to_string());
    Settled { state, tries, next_ms, attempt, leads: item.row, ..look::waiting(item) }
}

/// Waits for the operation, if there is one.
async fn finished(operation: &mut Option<Operation>) -> Result<Done, Error> {
    match operation {
        Some(operation) => match operation.await {
            Ok(done) => done,
            Err(_) => Err(Error::Broken("an operation of a courier panicked")),
        },
        None => std::future::pending().await,
    }
}
