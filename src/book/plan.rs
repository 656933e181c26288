//! Which accounts a batch concerns, whose turn it is, and what has to be read for it.

use super::command::{Ask, Command, Convert, Direction, DirectoryHash, Redeem, Request, Status};
use super::engine::world::{Person, World};
use super::exposures::ExposureKey;
use super::places::{Place, Places};
use super::store::Error;
use super::store::read::{self, Legs, State, Wanted};
use super::store::vouchers;
use crate::domain::ids::{AccountId, ReversalId, VoucherId};
use diesel::PgConnection;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use uuid::Uuid;

/// Whether keys, external references and quotes are looked up before a batch is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Taken to be new: writing them finds those that are not.
    Later,
    First,
}

/// What is known of a batch before anything is locked: enough to ask for turns.
pub struct Plan {
    places: HashMap<DirectoryHash, Place>,
    /// Whose accounts were not closed when they were located, now or in an earlier batch.
    open: Vec<DirectoryHash>,
    persons: BTreeMap<AccountId, Person>,
    legs: BTreeMap<Uuid, Legs>,
    /// Where the codes shown at tills lead.
    codes: HashMap<DirectoryHash, (VoucherId, AccountId)>,
    /// Per request: the accounts it concerns and the advisory locks that are its turn.
    accounts: Vec<Vec<AccountId>>,
    turns: Vec<Vec<i64>>,
    taken: HashSet<i64>,
}

impl Plan {
    /// Finds the accounts of every request. Nothing read here decides anything.
    pub fn locate(conn: &mut PgConnection, requests: &[&Request], known: &mut Places) -> Result<Plan, Error> {
        let (mut places, mut open, mut unknown) = (HashMap::new(), Vec::new(), BTreeSet::new());
        for hash in requests.iter().filter_map(|request| reference_of(&request.command)) {
            match known.get(hash) {
                Some(place) => {
                    places.insert(hash, place.clone());
                    open.push(hash);
                }
                None => drop(unknown.insert(hash.0)),
            }
        }
        if !unknown.is_empty() {
            for located in read::locate(conn, unknown.into_iter().collect())? {
                let place = Place::from(&located);
                if located.status != Status::Closed {
                    known.remember(located.hash, place.clone());
                    open.push(located.hash);
                }
                places.insert(located.hash, place);
            }
        }
        let shown: Vec<Uuid> =
            requests.iter().flat_map(|request| codes_of(&request.command)).map(|code| code.0).collect();
        let codes = if shown.is_empty() { HashMap::new() } else { vouchers::by_code(conn, shown)? };
        let named =
            |name: fn(&Command) -> Option<Uuid>| requests.iter().filter_map(move |request| name(&request.command));
        let posted: BTreeSet<Uuid> = named(posting_of).collect();
        let mut legs =
            if posted.is_empty() { BTreeMap::new() } else { read::legs(conn, posted.into_iter().collect())? };
        let shown = codes.values().map(|(voucher, _)| voucher.0);
        let of_vouchers: BTreeSet<Uuid> = named(voucher_of).chain(shown).collect();
        if !of_vouchers.is_empty() {
            legs.extend(read::voucher_legs(conn, of_vouchers.into_iter().collect())?);
        }
        let linked: Vec<Uuid> =
            requests.iter().flat_map(|request| linked_by(&request.command, &places)).map(|id| id.0).collect();
        let persons = if linked.is_empty() { BTreeMap::new() } else { read::persons(conn, linked)? };
        let (accounts, turns, taken) = (Vec::new(), Vec::new(), HashSet::new());
        let mut plan = Plan { places, open, persons, legs, codes, accounts, turns, taken };
        for request in requests {
            let own = reference_of(&request.command).and_then(|hash| plan.places.get(&hash));
            let mut accounts = plan.accounts_of(&request.command, own.map(|place| place.account));
            if let (Command::Convert(convert), Some(own)) = (&request.command, own) {
                let (Direction::To(partner) | Direction::From(partner)) = &convert.direction;
                accounts.extend(own.peer_at(partner));
            }
            let mut turns: Vec<i64> = accounts.iter().map(|account| turn(account.0)).collect();
            // A reference being registered or erased is a turn of its own: the account may not exist yet.
            if let Command::Register(_) | Command::Erase(_) = &request.command {
                turns.extend(reference_of(&request.command).map(|hash| turn(hash.0)));
            }
            // Two vouchers of one bill are judged one after the other.
            if let Command::Redeem(Redeem { receipt: Some(receipt), .. }) = &request.command {
                turns.push(turn(receipt.hash.0));
            }
            plan.accounts.push(accounts);
            plan.turns.push(turns);
        }
        Ok(plan)
    }

    /// Of what a command names: by id, or by a code that was shown.
    fn legs_of(&self, command: &Command) -> Option<&Legs> {
        let shown = codes_of(command).iter().find_map(|code| self.codes.get(code)).map(|(voucher, _)| voucher.0);
        self.legs.get(&posting_of(command).or(voucher_of(command)).or(shown)?)
    }

    fn accounts_of(&self, command: &Command, own: Option<AccountId>) -> Vec<AccountId> {
        let person = |account: AccountId| {
            let member = self.persons.get(&account).map(|person| person.member);
            self.persons.iter().filter(move |(_, person)| Some(person.member) == member).map(|(id, _)| *id)
        };
        match command {
            Command::OpenLink(link) => [link.a.account, link.b.account].into_iter().flat_map(person).collect(),
            Command::EndLink(link) => [link.a, link.b].into_iter().flat_map(person).collect(),
            Command::Erase(_) | Command::Claim(_) => own.into_iter().flat_map(person).collect(),
            Command::Expire(expire) => vec![expire.account],
            Command::Undo(_)
            | Command::Reverse(_)
            | Command::ConfirmReversal(_)
            | Command::Advance(_)
            | Command::ReverseMovement(_)
            | Command::ConfirmClaim(_)
            | Command::CancelVoucher(_)
            | Command::ExpireVoucher(_)
            | Command::Redeem(_)
            | Command::ReverseRedemption(_) => {
                self.legs_of(command).map(|legs| legs.accounts.clone()).unwrap_or_default()
            }
            Command::Register(_) | Command::Credit(_) | Command::Debit(_) | Command::Convert(_) => {
                own.into_iter().collect()
            }
        }
    }

    /// Begins the batch with the turns that are free; nobody waits.
    pub fn begin(&mut self, conn: &mut PgConnection, requests: &[&Request]) -> Result<State, Error> {
        let wanted: BTreeSet<i64> = self.turns.iter().flatten().copied().collect();
        let (state, taken) = read::begin(conn, wanted.into_iter().collect())?;
        self.taken = taken;
        if !self.persons.is_empty() {
            self.find_persons_again(conn, requests)?;
        }
        Ok(state)
    }

    /// Who is one person with whom may have changed until the turns were taken, and is still from then on: every
    /// change of a person takes the turns of all its accounts. Whoever now concerns an account whose turn was not
    /// taken has none.
    fn find_persons_again(&mut self, conn: &mut PgConnection, requests: &[&Request]) -> Result<(), Error> {
        let linked = requests.iter().flat_map(|request| linked_by(&request.command, &self.places));
        self.persons = read::persons(conn, linked.map(|id| id.0).collect())?;
        for (nth, request) in requests.iter().enumerate() {
            if let Command::OpenLink(_) | Command::EndLink(_) | Command::Erase(_) | Command::Claim(_) = &request.command
            {
                let own = reference_of(&request.command).and_then(|hash| self.places.get(&hash));
                let accounts = self.accounts_of(&request.command, own.map(|place| place.account));
                self.turns[nth].extend(accounts.iter().map(|account| turn(account.0)));
                self.accounts[nth] = accounts;
            }
        }
        Ok(())
    }

    pub fn has_turn(&self, nth: usize) -> bool {
        self.turns[nth].iter().all(|turn| self.taken.contains(turn))
    }

    /// The accounts of the requests that have their turn.
    pub fn accounts(&self) -> Vec<AccountId> {
        let turned = self.accounts.iter().enumerate().filter(|(nth, _)| self.has_turn(*nth));
        let accounts: BTreeSet<AccountId> = turned.flat_map(|(_, accounts)| accounts.iter().copied()).collect();
        accounts.into_iter().collect()
    }

    /// Reads what else the requests that have their turn decide with.
    pub fn fill(
        &self,
        conn: &mut PgConnection,
        requests: &[&Request],
        look: Look,
        world: &mut World,
    ) -> Result<(), Error> {
        let mut wanted = Wanted::default();
        let (mut exposures, mut directory) = (BTreeSet::new(), BTreeSet::new());
        for (nth, request) in requests.iter().enumerate().filter(|(i, _)| self.has_turn(*i)) {
            if look == Look::First {
                directory.extend(claims_of(request).map(|hash| hash.0));
            }
            exposures.extend(self.exposures_of(request));
            match &request.command {
                Command::Register(register) => directory.extend([register.who.0]),
                Command::Erase(erase) => {
                    directory.extend([erase.who.0]);
                    wanted.crossings_of.extend(self.places.get(&erase.who).map(|place| place.account));
                    wanted.benefits.open_of.extend(self.places.get(&erase.who).map(|place| place.account));
                }
                Command::Undo(_) | Command::Reverse(_) | Command::ConfirmReversal(_) | Command::Advance(_) => {
                    let conversion = self.legs_of(&request.command).and_then(|legs| legs.conversion);
                    wanted.conversions.extend(conversion);
                    wanted.crossings.extend(conversion);
                }
                _ => {}
            }
            match &request.command {
                Command::ConfirmReversal(confirm) => wanted.reversals.push(confirm.reversal),
                Command::ReverseMovement(reverse) => wanted.movements.push(reverse.movement),
                Command::Advance(advance) => wanted.reversals.push(ReversalId(advance.crossing)),
                _ => {}
            }
            self.wish(request, nth, &mut wanted.benefits);
        }
        let led = self.places.iter().filter(|(hash, _)| !directory.contains(&hash.0));
        world.by_ref.extend(led.map(|(hash, place)| (*hash, place.account)));
        world.persons = self.persons.clone();
        world.by_code.extend(self.codes.iter().map(|(hash, (voucher, _))| (*hash, *voucher)));
        wanted.directory = directory.into_iter().collect();
        wanted.exposures = exposures.into_iter().collect();
        read::fill(conn, world, wanted)
    }

    /// What a request decides with of benefits and vouchers.
    fn wish(&self, request: &Request, nth: usize, wished: &mut vouchers::Wished) {
        if let Command::Claim(claim) = &request.command {
            wished.benefits.insert(claim.benefit);
            wished.claimants.extend(self.accounts[nth].iter().map(|account| (*account, claim.benefit)));
        }
        if let Command::Redeem(Redeem { receipt: Some(receipt), .. }) = &request.command {
            wished.receipts.insert((request.caller.clone(), receipt.number.clone()));
        }
        if let Some((voucher, benefit)) = self.legs_of(&request.command).and_then(|legs| legs.voucher) {
            wished.vouchers.insert(voucher);
            // For its stock.
            wished.benefits.insert(benefit);
        }
    }

    /// Places whose accounts have been closed since they were located, and so may be another's by now.
    pub fn doubtful(&self, world: &World) -> Vec<DirectoryHash> {
        let is_closed = |hash: &&DirectoryHash| {
            let account = self.places.get(hash).and_then(|place| world.accounts.get(&place.account));
            account.is_some_and(|account| account.status == Status::Closed)
        };
        self.open.iter().filter(is_closed).copied().collect()
    }

    fn exposures_of(&self, request: &Request) -> Vec<ExposureKey> {
        match &request.command {
            Command::Convert(convert) => match &convert.direction {
                Direction::To(partner) => read::exposure_keys(&request.caller, partner).into(),
                Direction::From(partner) => read::exposure_keys(partner, &request.caller).into(),
            },
            Command::Claim(claim) => read::exposure_keys(&request.caller, &claim.giver).into(),
            command => {
                let direction = self.legs_of(command).and_then(|legs| legs.direction.as_ref());
                direction.map(|(from, to)| read::exposure_keys(from, to).into()).unwrap_or_default()
            }
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

/// What a request would take for ever in the directory: its key, its external reference, its quote.
pub fn claims_of(request: &Request) -> impl Iterator<Item = DirectoryHash> + '_ {
    let quote = match &request.command {
        Command::Convert(Convert { ask: Ask::Quoted(quoted), .. }) => Some(quoted.hash),
        _ => None,
    };
    let reference = request.reference.as_ref().map(|reference| reference.hash);
    request.key.map(|key| key.hash).into_iter().chain(reference).chain(quote)
}

/// The membership a command names by its reference.
pub fn reference_of(command: &Command) -> Option<DirectoryHash> {
    match command {
        Command::Register(register) => Some(register.who),
        Command::Erase(erase) => Some(erase.who),
        Command::Credit(credit) => Some(credit.who),
        Command::Debit(debit) => Some(debit.who),
        Command::Convert(convert) => Some(convert.who),
        Command::Claim(claim) => Some(claim.who),
        _ => None,
    }
}

/// What a till was shown may be one of these.
fn codes_of(command: &Command) -> &[DirectoryHash] {
    match command {
        Command::Redeem(redeem) => &redeem.codes,
        _ => &[],
    }
}

/// The conversion, reversal, crossing or movement a command names by id.
fn posting_of(command: &Command) -> Option<Uuid> {
    match command {
        Command::Undo(undo) => Some(undo.conversion.0),
        Command::Reverse(reverse) => Some(reverse.conversion.0),
        Command::ConfirmReversal(confirm) => Some(confirm.reversal.0),
        Command::Advance(advance) => Some(advance.crossing),
        Command::ReverseMovement(reverse) => Some(reverse.movement.0),
        _ => None,
    }
}

/// The voucher or use a command names by id.
fn voucher_of(command: &Command) -> Option<Uuid> {
    match command {
        Command::ConfirmClaim(confirm) => Some(confirm.voucher.0),
        Command::CancelVoucher(cancel) => Some(cancel.voucher.0),
        Command::ExpireVoucher(expire) => Some(expire.voucher.0),
        Command::ReverseRedemption(reverse) => Some(reverse.redemption.0),
        _ => None,
    }
}

/// The accounts whose persons a command joins or splits.
fn linked_by(command: &Command, places: &HashMap<DirectoryHash, Place>) -> Vec<AccountId> {
    match command {
        Command::OpenLink(link) => vec![link.a.account, link.b.account],
        Command::EndLink(link) => vec![link.a, link.b],
        Command::Erase(erase) => places.get(&erase.who).map(|place| place.account).into_iter().collect(),
        Command::Claim(claim) => places.get(&claim.who).map(|place| place.account).into_iter().collect(),
        _ => Vec::new(),
    }
}
