//! Which accounts a batch concerns, whose turn it is, and what has to be read for it.

use super::command::{Ask, Command, Direction, DirectoryHash, Request};
use super::engine::world::{Person, World};
use super::exposures::ExposureKey;
use super::store::Error;
use super::store::read::{self, Legs, Wanted};
use crate::domain::ids::{AccountId, Slug};
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use uuid::Uuid;

/// What is known of a batch before anything is locked: enough to ask for turns.
pub struct Plan {
    by_ref: HashMap<DirectoryHash, AccountId>,
    persons: BTreeMap<AccountId, Person>,
    legs: BTreeMap<Uuid, Legs>,
    /// Per request: the accounts it concerns and the advisory locks that are its turn.
    accounts: Vec<Vec<AccountId>>,
    turns: Vec<Vec<i64>>,
    taken: HashSet<i64>,
}

impl Plan {
    /// Finds the accounts of every request. Nothing read here decides anything.
    pub fn locate(conn: &mut PgConnection, requests: &[&Request]) -> Result<Plan, Error> {
        let hashes: BTreeSet<Uuid> =
            requests.iter().filter_map(|request| reference_of(&request.command)).map(|hash| hash.0).collect();
        let located = if hashes.is_empty() { Vec::new() } else { read::locate(conn, hashes.into_iter().collect())? };
        let by_ref: HashMap<_, _> = located.iter().map(|found| (found.hash, found.account)).collect();
        let peers: HashMap<_, _> = located.iter().map(|found| (found.account, &found.links)).collect();
        let ids: BTreeSet<Uuid> = requests.iter().filter_map(|request| subject_of(&request.command)).collect();
        let legs = if ids.is_empty() { BTreeMap::new() } else { read::legs(conn, ids.into_iter().collect())? };
        let linked: Vec<Uuid> =
            requests.iter().flat_map(|request| linked_by(&request.command, &by_ref)).map(|id| id.0).collect();
        let persons = if linked.is_empty() { BTreeMap::new() } else { read::persons(conn, linked)? };
        let mut plan = Plan { by_ref, persons, legs, accounts: Vec::new(), turns: Vec::new(), taken: HashSet::new() };
        for request in requests {
            let own = reference_of(&request.command).and_then(|hash| plan.by_ref.get(&hash)).copied();
            let link_of = |account: AccountId, partner: &Slug| {
                let links = peers.get(&account)?;
                links.iter().find(|link| link.partner == *partner).map(|link| link.account)
            };
            let mut accounts = plan.accounts_of(&request.command, own);
            if let (Command::Convert(convert), Some(own)) = (&request.command, own) {
                let (Direction::To(partner) | Direction::From(partner)) = &convert.direction;
                accounts.extend(link_of(own, partner));
            }
            let mut turns: Vec<i64> = accounts.iter().map(|account| turn(account.0)).collect();
            // A reference being registered or erased is a turn of its own: the account may not exist yet.
            if let Command::Register(_) | Command::Erase(_) = &request.command {
                turns.extend(reference_of(&request.command).map(|hash| turn(hash.0)));
            }
            plan.accounts.push(accounts);
            plan.turns.push(turns);
        }
        Ok(plan)
    }

    fn accounts_of(&self, command: &Command, own: Option<AccountId>) -> Vec<AccountId> {
        let person = |account: AccountId| {
            let member = self.persons.get(&account).map(|person| person.member);
            self.persons.iter().filter(move |(_, person)| Some(person.member) == member).map(|(id, _)| *id)
        };
        match command {
            Command::OpenLink(link) => [link.a.account, link.b.account].into_iter().flat_map(person).collect(),
            Command::EndLink(link) => [link.a, link.b].into_iter().flat_map(person).collect(),
            Command::Erase(_) => own.into_iter().flat_map(person).collect(),
            Command::Expire(expire) => vec![expire.account],
            Command::Undo(_) | Command::Reverse(_) | Command::ConfirmReversal(_) | Command::ReverseMovement(_) => {
                let legs = subject_of(command).and_then(|id| self.legs.get(&id));
                legs.map(|legs| legs.accounts.clone()).unwrap_or_default()
            }
            Command::Register(_) | Command::Credit(_) | Command::Debit(_) | Command::Convert(_) => {
                own.into_iter().collect()
            }
        }
    }

    /// Takes the turns that are free; nobody waits. Returns business time once they are taken, if any was wanted.
    pub fn take_turns(
        &mut self,
        conn: &mut PgConnection,
        requests: &[&Request],
    ) -> Result<Option<DateTime<Utc>>, Error> {
        let wanted: BTreeSet<i64> = self.turns.iter().flatten().copied().collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        let taken = read::take_turns(conn, wanted.into_iter().collect())?;
        let at = taken.iter().map(|turn| turn.at).max();
        self.taken = taken.into_iter().map(|turn| turn.turn).collect();
        if !self.persons.is_empty() {
            self.find_persons_again(conn, requests)?;
        }
        Ok(at)
    }

    /// Who is one person with whom may have changed until the turns were taken, and is still from then on: every
    /// change of a person takes the turns of all its accounts. Whoever now concerns an account whose turn was not
    /// taken has none.
    fn find_persons_again(&mut self, conn: &mut PgConnection, requests: &[&Request]) -> Result<(), Error> {
        let linked = requests.iter().flat_map(|request| linked_by(&request.command, &self.by_ref));
        self.persons = read::persons(conn, linked.map(|id| id.0).collect())?;
        for (nth, request) in requests.iter().enumerate() {
            if let Command::OpenLink(_) | Command::EndLink(_) | Command::Erase(_) = &request.command {
                let own = reference_of(&request.command).and_then(|hash| self.by_ref.get(&hash)).copied();
                let accounts = self.accounts_of(&request.command, own);
                self.turns[nth].extend(accounts.iter().map(|account| turn(account.0)));
                self.accounts[nth] = accounts;
            }
        }
        Ok(())
    }

    pub fn has_turn(&self, nth: usize) -> bool {
        self.turns[nth].iter().all(|turn| self.taken.contains(turn))
    }

    /// Reads what the requests that have their turn decide with.
    pub fn fill(&self, conn: &mut PgConnection, requests: &[&Request], world: &mut World) -> Result<(), Error> {
        let mut wanted = Wanted::default();
        let (mut accounts, mut exposures) = (BTreeSet::new(), BTreeSet::new());
        let mut directory = BTreeSet::new();
        for (i, request) in requests.iter().enumerate().filter(|(i, _)| self.has_turn(*i)) {
            accounts.extend(self.accounts[i].iter().copied());
            directory.extend(request.key.map(|key| key.hash.0));
            directory.extend(request.reference.as_ref().map(|reference| reference.hash.0));
            exposures.extend(self.exposures_of(request));
            match &request.command {
                Command::Register(register) => directory.extend([register.who.0]),
                Command::Erase(erase) => directory.extend([erase.who.0]),
                Command::Convert(convert) => {
                    if let Ask::Quoted(quoted) = &convert.ask {
                        directory.insert(quoted.hash.0);
                    }
                }
                Command::Undo(_) | Command::Reverse(_) | Command::ConfirmReversal(_) => {
                    let legs = subject_of(&request.command).and_then(|id| self.legs.get(&id));
                    wanted.conversions.extend(legs.and_then(|legs| legs.conversion));
                }
                _ => {}
            }
            match &request.command {
                Command::ConfirmReversal(confirm) => wanted.reversals.push(confirm.reversal),
                Command::ReverseMovement(reverse) => wanted.movements.push(reverse.movement),
                _ => {}
            }
        }
        world.by_ref.extend(self.by_ref.iter().filter(|(hash, _)| !directory.contains(&hash.0)));
        world.persons = self.persons.clone();
        wanted.directory = directory.into_iter().collect();
        wanted.accounts = accounts.into_iter().collect();
        wanted.exposures = exposures.into_iter().collect();
        read::fill(conn, world, wanted)
    }

    fn exposures_of(&self, request: &Request) -> Vec<ExposureKey> {
        match &request.command {
            Command::Convert(convert) => match &convert.direction {
                Direction::To(partner) => read::exposure_keys(&request.caller, partner).into(),
                Direction::From(partner) => read::exposure_keys(partner, &request.caller).into(),
            },
            Command::Undo(_) | Command::Reverse(_) | Command::ConfirmReversal(_) => {
                let legs = subject_of(&request.command).and_then(|id| self.legs.get(&id));
                let direction = legs.and_then(|legs| legs.direction.as_ref());
                direction.map(|(from, to)| read::exposure_keys(from, to).into()).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }
}

/// The lower half of a random id: as good a lock key as the whole.
fn turn(id: Uuid) -> i64 {
    let bytes = id.into_bytes();
    let mut low = [0; 8];
    low.copy_from_slice(&bytes[8..]);
    i64::from_be_bytes(low)
}

/// The membership a command names by its reference.
fn reference_of(command: &Command) -> Option<DirectoryHash> {
    match command {
        Command::Register(register) => Some(register.who),
        Command::Erase(erase) => Some(erase.who),
        Command::Credit(credit) => Some(credit.who),
        Command::Debit(debit) => Some(debit.who),
        Command::Convert(convert) => Some(convert.who),
        _ => None,
    }
}

/// The conversion, reversal or movement a command names by id.
fn subject_of(command: &Command) -> Option<Uuid> {
    match command {
        Command::Undo(undo) => Some(undo.conversion.0),
        Command::Reverse(reverse) => Some(reverse.conversion.0),
        Command::ConfirmReversal(confirm) => Some(confirm.reversal.0),
        Command::ReverseMovement(reverse) => Some(reverse.movement.0),
        _ => None,
    }
}

/// The accounts whose persons a command joins or splits.
fn linked_by(command: &Command, by_ref: &HashMap<DirectoryHash, AccountId>) -> Vec<AccountId> {
    match command {
        Command::OpenLink(link) => vec![link.a.account, link.b.account],
        Command::EndLink(link) => vec![link.a, link.b],
        Command::Erase(erase) => by_ref.get(&erase.who).copied().into_iter().collect(),
        _ => Vec::new(),
    }
}
