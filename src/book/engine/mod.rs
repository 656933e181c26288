//! The engine: decides a batch of commands in order, pure. No clock, no chance, no database.
//!
//! `decide` answers one request and records its writes in the `World`; a refusal changes nothing but its own key.
//! `account` one account · `world` what was read and will be written · `convert` · `cross` what takes two ledgers ·
//! `takeback` undo and reversal ·
//! `benefit` vouchers claimed and given back · `till` redeemed · `movement` credits and debits · `membership` registering, links, expiry, erasure.

pub mod account;
mod benefit;
mod convert;
mod cross;
mod membership;
mod movement;
mod takeback;
mod till;
pub mod world;

use crate::book::command::{Answer, Code, Command, DirectoryHash, Hint, Key, Outcome, Refusal, Request, ReversalState};
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::{AccountId, MovementId, ReversalId, Slug};
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::terms::Terms;
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::sync::Arc;
use world::{Halt, Subject, Taken, World};

/// What the decision of one request came to.
#[derive(Clone, Debug)]
pub enum Verdict {
    Answered(Answer),
    /// Something it needs was not read: ask again in the next batch.
    Reload,
}

/// Terms already frozen, shared by every conversion of one direction, tier and instant's catalogue.
#[derive(Debug, Default)]
pub struct Priced {
    version: i64,
    at: Option<DateTime<Utc>>,
    terms: HashMap<(Slug, Slug), Vec<Arc<Terms>>>,
}

impl Priced {
    /// The terms in force at `at`; `None` when there is no rate or no agreement.
    fn terms(
        &mut self,
        catalogue: &Catalogue,
        direction: &(Slug, Slug),
        tier: &str,
        at: DateTime<Utc>,
    ) -> Option<Arc<Terms>> {
        // All conversions of a batch share one instant, so what was frozen for it holds for the batch.
        if self.version != catalogue.version || self.at != Some(at) {
            *self = Priced { version: catalogue.version, at: Some(at), terms: HashMap::new() };
        }
        if let Some(found) = self.terms.get(direction).and_then(|known| known.iter().find(|terms| terms.tier == tier)) {
            return Some(found.clone());
        }
        let frozen = Arc::new(crate::domain::quote::terms(catalogue, &direction.0, &direction.1, tier, at)?);
        self.terms.entry(direction.clone()).or_default().push(frozen.clone());
        Some(frozen)
    }
}

/// Decides one request, after the replay look-up.
pub fn decide(world: &mut World, catalogue: &Catalogue, priced: &mut Priced, request: &Request) -> Verdict {
    if let Some(verdict) = replay(world, catalogue, request) {
        return verdict;
    }
    let decided = run(world, catalogue, priced, request);
    let refusal = match decided {
        Ok((outcome, subject, account)) => {
            remember(world, request, subject, account);
            return Verdict::Answered(Answer { replayed: false, outcome });
        }
        Err(Halt::Reload) => return Verdict::Reload,
        Err(Halt::Refuse(code, hint)) => Refusal { code, request_id: request.request_id, hint },
    };
    if let (Some(key), true) = (request.key, is_stored(refusal.code)) {
        let row = Taken {
            subject: Subject::Nothing,
            account: None,
            fingerprint: Some(key.fingerprint),
            refusal: Some(refusal.clone()),
        };
        take(world, key.hash, row);
    }
    Verdict::Answered(Answer { replayed: false, outcome: Outcome::Refused(refusal) })
}

type Effect = (Outcome, Subject, Option<AccountId>);

fn run(world: &mut World, catalogue: &Catalogue, priced: &mut Priced, request: &Request) -> Result<Effect, Halt> {
    if let Some(first) = request.reference.as_ref().and_then(|reference| world.taken.get(&reference.hash)) {
        return Err(Halt::Refuse(Code::DuplicateReference, Hint::First { id: first.subject.text() }));
    }
    match &request.command {
        Command::Register(register) => membership::register(world, catalogue, request, register),
        Command::OpenLink(link) => membership::open_link(world, catalogue, request, link),
        Command::EndLink(link) => membership::end_link(world, request, link),
        Command::Expire(expire) => membership::expire(world, request, expire.account),
        Command::Erase(erase) => membership::erase(world, request, erase.who),
        Command::Credit(credit) => movement::credit(world, catalogue, request, credit),
        Command::Debit(debit) => movement::debit(world, catalogue, request, debit),
        Command::ReverseMovement(reverse) => movement::reverse(world, catalogue, request, reverse),
        Command::Convert(ask) => convert::convert(world, catalogue, priced, request, ask),
        Command::Undo(undo) => takeback::undo(world, catalogue, request, undo.conversion),
        Command::Reverse(reverse) => takeback::reverse(world, catalogue, request, reverse),
        Command::ConfirmReversal(confirm) => takeback::confirm(world, catalogue, request, confirm.reversal),
        Command::Advance(ask) => cross::advance(world, catalogue, request, ask),
        Command::Claim(ask) => benefit::claim(world, catalogue, request, ask),
        Command::ConfirmClaim(ask) => benefit::confirm(world, catalogue, request, ask.voucher),
        Command::CancelVoucher(ask) => benefit::cancel(world, catalogue, request, ask),
        Command::ExpireVoucher(ask) => benefit::expire(world, catalogue, request, ask.voucher),
        Command::Redeem(ask) => till::redeem(world, request, ask),
        Command::ReverseRedemption(ask) => till::reverse(world, catalogue, request, ask),
    }
}

/// The first answer to this key, if there was one.
fn replay(world: &World, catalogue: &Catalogue, request: &Request) -> Option<Verdict> {
    let key = request.key?;
    let taken = world.taken.get(&key.hash)?;
    if taken.fingerprint != Some(key.fingerprint) {
        let refusal = Refusal { code: Code::IdempotencyMismatch, request_id: request.request_id, hint: Hint::None };
        return Some(Verdict::Answered(Answer { replayed: false, outcome: Outcome::Refused(refusal) }));
    }
    let outcome = match (&taken.refusal, taken.subject) {
        (Some(refusal), _) => Some(Outcome::Refused(refusal.clone())),
        // First answered as pending, whatever became of it.
        (None, Subject::Conversion(id)) => match world.crossings.get(&id.0).cloned() {
            Some(crossing) => Some(Outcome::Crossing(crossing)),
            None => world.conversions.get(&id).cloned().map(Outcome::Conversion),
        },
        (None, Subject::Movement(id)) => world.movements.get(&id).cloned().map(Outcome::Movement),
        (None, Subject::Reversal(id)) => first_answer(world, request, id),
        (None, Subject::Membership(_)) if matches!(request.command, Command::Erase(_)) => Some(Outcome::Erased),
        (None, Subject::Membership(id)) => Some(Outcome::Membership(id)),
        (None, Subject::Link(id)) => Some(Outcome::Link(id)),
        (None, Subject::Voucher(id)) => benefit::first_answer(world, catalogue, request, id),
        (None, Subject::Use(id)) => till::used_before(world, id),
        (None, Subject::Nothing | Subject::Code(_)) => None,
    };
    Some(outcome.map_or(Verdict::Reload, |outcome| Verdict::Answered(Answer { replayed: true, outcome })))
}

/// A reversal that had to be confirmed was first answered as requested, whatever came later.
fn first_answer(world: &World, request: &Request, id: ReversalId) -> Option<Outcome> {
    let row = world.reversals.get(&id)?;
    let is_first_ask = matches!(request.command, Command::Reverse(_)) && row.needs_confirmation;
    if !is_first_ask {
        if !world.crossings.contains_key(&id.0) {
            return Some(Outcome::Reversal(row.clone()));
        }
        let mut first = row.as_ref().clone();
        first.state = ReversalState::Pending;
        first.lots_back.clear();
        return Some(Outcome::Reversal(Arc::new(first)));
    }
    let mut first = row.as_ref().clone();
    first.state = ReversalState::Requested;
    (first.bonus, first.debit, first.fee) = (Points::ZERO, Points::ZERO, Millionths::ZERO);
    first.bonuses.clear();
    first.lots_back.clear();
    Some(Outcome::Reversal(Arc::new(first)))
}

/// Keeps the effect under its key and its reference.
fn remember(world: &mut World, request: &Request, subject: Subject, account: Option<AccountId>) {
    if let Some(Key { hash, fingerprint }) = request.key {
        take(world, hash, Taken { subject, account, fingerprint: Some(fingerprint), refusal: None });
    }
    if let Some(reference) = &request.reference {
        take(world, reference.hash, Taken { subject, account, fingerprint: None, refusal: None });
    }
}

fn take(world: &mut World, hash: DirectoryHash, row: Taken) {
    world.taken.insert(hash, row.clone());
    world.writes.directory.push((hash, row));
}

/// Refusals that say nothing about the command itself are not kept under its key.
fn is_stored(code: Code) -> bool {
    !matches!(code, Code::NotFound | Code::Forbidden | Code::Invalid | Code::IdempotencyMismatch)
}

impl Subject {
    /// The id as the API writes it.
    pub fn text(self) -> String {
        match self {
            Subject::Nothing => String::new(),
            Subject::Membership(id) => id.to_string(),
            Subject::Conversion(id) => id.to_string(),
            Subject::Movement(id) => id.to_string(),
            Subject::Reversal(id) => id.to_string(),
            Subject::Link(id) => id.to_string(),
            Subject::Voucher(id) | Subject::Code(id) => id.to_string(),
            Subject::Use(id) => id.to_string(),
        }
    }
}

/// The caller's own account; another partner's is not found.
fn own_account(world: &World, request: &Request, who: DirectoryHash) -> Result<AccountId, Halt> {
    let id = *world.by_ref.get(&who).ok_or(Code::NotFound)?;
    if world.account(id)?.partner != request.caller {
        return Err(Code::NotFound.into());
    }
    Ok(id)
}

fn movement_id(request: &Request) -> MovementId {
    MovementId(request.fresh)
}
