//! One long walk: a world that the engine decides on, the model beside it, and the database played in between.

use super::alliance;
use super::calendar::day_of;
use super::chance::Chance;
use super::check;
use super::ledger::{Conv, Expected, Lot, Model};
use super::planted::Bug;
use super::pool::Pool;
use super::rules::Moment;
use super::tally::Tally;
use chrono::{DateTime, TimeDelta, Utc};
use hanse::book::command::{Answer, Command, DirectoryHash, Outcome, Request, Status};
use hanse::book::engine::account::Account;
use hanse::book::engine::world::{Exposure, Now, Person, World};
use hanse::book::engine::{Priced, Verdict};
use hanse::domain::catalogue::Catalogue;
use hanse::domain::ids::{AccountId, VoucherId, WindowId};
use hanse::domain::lots::Parcel;
use hanse::domain::money::Millionths;
use hanse::domain::points::Points;
use std::collections::{HashMap, VecDeque};
use uuid::Uuid;

/// Keys and references older than so many steps are no longer sent again.
const KEPT_STEPS: usize = 6_000;
/// Conversions, movements and reversals kept.
const KEPT_ROWS: usize = 3_000;

pub struct Walk {
    pub step: u64,
    pub chance: Chance,
    pub catalogue: Catalogue,
    pub at: DateTime<Utc>,
    pub model: Model,
    pub world: World,
    pub priced: Priced,
    pub bug: Option<Bug>,
    pub pool: Pool,
    pub tally: Tally,
    /// Accounts as last compared with the model.
    pub seen: HashMap<AccountId, Account>,
    /// Accounts as the last batch left them.
    pub stored: HashMap<AccountId, Account>,
    /// Sums of all entries ever written.
    pub posted: HashMap<AccountId, (i64, i128)>,
    /// First answers by key.
    firsts: HashMap<DirectoryHash, Outcome>,
    recent: VecDeque<Vec<DirectoryHash>>,
    holds: Vec<(AccountId, Vec<Parcel>)>,
    /// Codes of pools, by the vouchers they were given to.
    pub coded: HashMap<VoucherId, DirectoryHash>,
    /// Erased accounts, to be dropped when nothing names them any more.
    graves: VecDeque<(u64, AccountId)>,
    batch_left: usize,
}

impl Walk {
    pub fn new(seed: u64, bug: Option<Bug>) -> Walk {
        let mut chance = Chance::new(seed);
        let at = "2026-01-05T01:00:00Z".parse().expect("an instant");
        let catalogue = alliance::found(&mut chance, at);
        let now = Now { at, day: day_of(at) };
        let world = World::new(now, WindowId(Uuid::from_u128(1)), 1);
        let mut walk = Walk {
            step: 0,
            chance,
            catalogue,
            at,
            model: Model::default(),
            world,
            priced: Priced::default(),
            bug,
            pool: Pool::default(),
            tally: Tally::default(),
            seen: HashMap::new(),
            stored: HashMap::new(),
            posted: HashMap::new(),
            firsts: HashMap::new(),
            recent: VecDeque::new(),
            holds: Vec::new(),
            coded: HashMap::new(),
            graves: VecDeque::new(),
            batch_left: 0,
        };
        walk.publish();
        walk.offer_benefits();
        walk
    }

    /// One command, decided by both; `Err` says how they differ.
    pub fn step(&mut self) -> Result<(), String> {
        self.step += 1;
        if self.batch_left == 0 {
            self.batch_left = if self.chance.percent(70) { 1 } else { self.chance.below(6) + 1 };
            self.between_batches();
        }
        self.batch_left -= 1;
        let request = self.next_request();
        self.put(&request)?;
        if self.batch_left == 0 { self.drain() } else { Ok(()) }
    }

    /// Puts one request to both and compares what they say and what they hold afterwards.
    pub fn put(&mut self, request: &Request) -> Result<Outcome, String> {
        let moment = Moment { catalogue: &self.catalogue, at: self.at, day: day_of(self.at) };
        let expected = self.model.apply(moment, request);
        let mut verdict = self.decide(request)?;
        if matches!(verdict, Verdict::Reload) {
            // The lane asks again in the next batch, with everything read.
            check::nothing_moved(self)?;
            self.drain()?;
            verdict = self.decide(request)?;
        }
        let Verdict::Answered(answer) = verdict else {
            return Err(format!("asked to read again what was read, for {request:?}"));
        };
        let compared = self.compare(request, &expected, &answer);
        compared
            .map_err(|why| format!("{why}\n  request {request:?}\n  expected {expected:?}\n  answered {answer:?}"))?;
        self.remember(request, &expected, &answer);
        Ok(answer.outcome)
    }

    fn decide(&mut self, request: &Request) -> Result<Verdict, String> {
        check::start(self);
        Ok(super::planted::decide(self, request))
    }

    fn compare(&mut self, request: &Request, expected: &Expected, answer: &Answer) -> Result<(), String> {
        let first = request.key.and_then(|key| self.firsts.get(&key.hash));
        check::outcome(expected, answer, first, request)?;
        check::state(self, expected)
    }

    fn remember(&mut self, request: &Request, expected: &Expected, answer: &Answer) {
        self.tally.count(request, expected);
        let mut hashes = Vec::new();
        if let (Some(key), false) = (request.key, matches!(expected, Expected::Replayed)) {
            if self.model.keys.contains_key(&key.hash) {
                self.firsts.entry(key.hash).or_insert_with(|| answer.outcome.clone());
            }
            hashes.push(key.hash);
        }
        hashes.extend(request.reference.as_ref().map(|reference| reference.hash));
        self.recent.push_back(hashes);
        if self.recent.len() > KEPT_STEPS {
            for hash in self.recent.pop_front().into_iter().flatten() {
                self.model.keys.remove(&hash);
                self.model.used.remove(&hash);
                self.firsts.remove(&hash);
                self.world.taken.remove(&hash);
            }
        }
        if let Expected::Erased = expected
            && let Some(id) = self.model.dirty.iter().find(|id| self.is_erased(**id))
            && matches!(request.command, Command::Erase(_))
        {
            self.graves.push_back((self.step, *id));
        }
        self.pool.keep(request, expected, self.step);
    }

    /// Closed, and nobody's any more.
    fn is_erased(&self, id: AccountId) -> bool {
        let account = self.model.acc(id);
        account.status == Status::Closed && self.model.refs.get(&account.who) != Some(&id)
    }

    /// What a commit does: versions step, rows are kept, the lists of writes start empty.
    pub fn drain(&mut self) -> Result<(), String> {
        check::batch(self)?;
        let writes = std::mem::take(&mut self.world.writes);
        for id in writes.touched.keys() {
            let account = self.world.accounts.get_mut(id).ok_or("an account written that is not there")?;
            account.version += 1;
            if let Some(seen) = self.seen.get_mut(id) {
                seen.version = account.version;
            }
            self.stored.insert(*id, account.clone());
        }
        for entry in &writes.entries {
            let posted = self.posted.entry(entry.account).or_default();
            *posted = (entry.entry_no, posted.1 + i128::from(entry.delta));
        }
        for write in &writes.memberships {
            let own = write.fresh_member;
            let person = Person { member: own, own, partner: write.partner.clone() };
            self.world.persons.entry(write.account).or_insert(person);
        }
        self.keep_benefits(&writes);
        self.world.batch_no += 1;
        if self.chance.one_in(500) {
            // The window closes and the next one opens.
            self.world.window = WindowId(self.chance.uuid());
        }
        Ok(())
    }

    /// Time passes, and with it everything that is not a command of the book.
    fn between_batches(&mut self) {
        self.advance();
        if self.chance.one_in(400) {
            alliance::change(&mut self.chance, &mut self.catalogue, self.at);
            self.publish();
        }
        if self.chance.one_in(150) {
            self.change_benefit();
        }
        if self.chance.one_in(1_200) {
            self.settle();
        }
        if self.chance.one_in(60) {
            self.hold();
        }
        if self.chance.one_in(60) {
            self.release();
        }
        if self.step.is_multiple_of(1_000) {
            self.forget();
        }
    }

    fn advance(&mut self) {
        let seconds = match self.chance.between(0, 9_999) {
            0..=8_999 => self.chance.between(0, 20),
            9_000..=9_699 => self.chance.between(0, 1_200),
            9_700..=9_949 => self.chance.between(0, 86_400),
            9_950..=9_996 => self.chance.between(0, 10 * 86_400),
            _ => self.chance.between(20 * 86_400, 400 * 86_400),
        };
        self.at += TimeDelta::seconds(seconds) + TimeDelta::microseconds(1);
        self.world.now = Now { at: self.at, day: day_of(self.at) };
    }

    /// Stop lines go into the exposure rows when agreements and partners are published.
    fn publish(&mut self) {
        for (key, cap) in alliance::caps(&self.catalogue, self.at) {
            self.model.exposures.entry(key.clone()).or_default();
            let row = self.world.exposures.entry(key).or_insert(Exposure {
                value: Millionths::ZERO,
                reserved: Millionths::ZERO,
                cap,
            });
            row.cap = cap;
        }
    }

    /// All obligations are paid: every exposure is zero.
    fn settle(&mut self) {
        self.world.exposures.values_mut().for_each(|row| row.value = Millionths::ZERO);
        self.model.exposures.values_mut().for_each(|value| *value = 0);
    }

    /// Another part of the house reserves points: they leave the lots and stay in the balance.
    fn hold(&mut self) {
        let day = day_of(self.at);
        let able = |(id, account): (&AccountId, &super::ledger::Acc)| {
            (account.status == Status::Active && account.usable(day) > 0).then_some(*id)
        };
        let able: Vec<AccountId> = self.model.accounts.iter().filter_map(able).collect();
        if able.is_empty() {
            return;
        }
        let id = self.chance.pick(&able);
        let usable = i64::try_from(self.model.acc(id).usable(day)).expect("at most the largest amount");
        let points = self.chance.between(1, usable);
        let Some(account) = self.world.accounts.get_mut(&id) else { return };
        let points = Points::new(points).expect("in range");
        let Some(parcels) = account.lots.take(points, day) else { return };
        account.held = account.held.plus(points).expect("part of the balance");
        self.seen.insert(id, account.clone());
        let taken = self.model.change(id).take(points.get().into(), day, |lot| lot.is_usable(day));
        let held = super::ledger::joined(&taken).into_iter().map(|piece| Lot {
            points: piece.points,
            end: piece.end,
            available: None,
        });
        self.model.change(id).held.extend(held);
        self.holds.push((id, parcels));
    }

    /// The oldest reservation is given up: its points come back with their date.
    fn release(&mut self) {
        if self.holds.is_empty() {
            return;
        }
        let (id, parcels) = self.holds.remove(0);
        let account = self.world.accounts.get_mut(&id).expect("neither closed nor erased with a hold");
        for Parcel { points, expires } in parcels {
            account.held = account.held.less(points);
            account.lots.add(hanse::domain::lots::Lot { points, expires, available_on: None });
            let end = super::calendar::end_of(expires);
            let own = self.model.change(id);
            let at = own.held.iter().position(|lot| lot.end == end && lot.points == points.get().into());
            let lot = own.held.remove(at.expect("held since"));
            own.lots.push(lot);
        }
        self.seen.insert(id, self.world.accounts[&id].clone());
    }

    /// Rows that nothing will name again leave both memories.
    fn forget(&mut self) {
        while self.model.conversions.len() > KEPT_ROWS {
            let (id, _) = self.model.conversions.pop_first().expect("not empty");
            self.world.conversions.remove(&id);
        }
        while self.model.movements.len() > KEPT_ROWS {
            let (id, _) = self.model.movements.pop_first().expect("not empty");
            self.world.movements.remove(&id);
        }
        while self.model.reversals.len() > KEPT_ROWS {
            let (id, _) = self.model.reversals.pop_first().expect("not empty");
            self.world.reversals.remove(&id);
        }
        while self.graves.front().is_some_and(|(step, _)| step + 12_000 < self.step) {
            let (_, id) = self.graves.pop_front().expect("seen above");
            // A till's mistake has made one good again.
            if self.has_open_voucher(id) {
                self.graves.push_back((self.step, id));
                continue;
            }
            self.forget_vouchers(id);
            self.model.accounts.remove(&id);
            self.world.accounts.remove(&id);
            self.world.persons.remove(&id);
            self.seen.remove(&id);
            self.stored.remove(&id);
            self.posted.remove(&id);
        }
        // Nothing is asked again about a row that is gone, nor about an account that is: a reversal may wait for its
        // confirmation longer than either.
        let model = &self.model;
        let is_kept = |id: &AccountId| model.accounts.contains_key(id);
        let conversion = |id| {
            let row: Option<&Conv> = model.conversions.get(&id);
            row.is_some_and(|row| is_kept(&row.from) && is_kept(&row.to))
        };
        self.pool.forget(
            conversion,
            |id| model.movements.get(&id).is_some_and(|row| is_kept(&row.account)),
            |id| model.reversals.get(&id).is_some_and(|row| conversion(row.conversion)),
        );
    }
}
