//! Undo and reversal of a conversion (rule 8): points go back the way they came, at the price they came at.

use super::Effect;
use super::account::{Account, Entry, EntryKind};
use super::convert::{check_statuses, exposed};
use super::cross;
use super::world::{EventData, EventKind, Halt, Subject, World};
use crate::book::command::{
    Code, ConversionRow, Hint, Outcome, Request, ReversalRow, ReversalState, Reverse, Reversed,
};
use crate::domain::catalogue::Catalogue;
use crate::domain::expiry::Expiry;
use crate::domain::ids::{AccountId, ConversionId, ReversalId, Slug};
use crate::domain::lots::{Lot, Parcel};
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::quote::Price;
use crate::domain::terms::Terms;
use crate::domain::usage::Way;
use chrono::{NaiveDate, TimeDelta};
use std::sync::Arc;

/// What one undo or reversal moves, worked out before anything does.
pub(super) struct Part {
    pub credit: Points,
    /// One per campaign of the terms.
    pub bonuses: Vec<Points>,
    pub debit: Points,
    pub fee: Millionths,
}

pub fn undo(world: &mut World, catalogue: &Catalogue, request: &Request, id: ConversionId) -> Result<Effect, Halt> {
    let row = own_conversion(world, &request.caller, id)?;
    let initiator = if row.pulled { &row.terms.to } else { &row.terms.from };
    if request.caller != *initiator && request.caller != row.terms.from {
        return Err(Code::Forbidden.into());
    }
    check_not_closed(catalogue, [&row.terms.from, &row.terms.to])?;
    check_open(world, &row)?;
    let until = row.at + TimeDelta::seconds(i64::from(row.terms.undo_s));
    if row.reversed.undone || world.now.at > until {
        return Err(Code::UndoWindowClosed.into());
    }
    if !row.reversed.credit.is_zero() {
        return Err(Code::ReversalExceeds.into());
    }
    let part = Part { credit: row.credit, bonuses: row.bonuses.clone(), debit: row.debit, fee: row.fee };
    let id = ReversalId(request.fresh);
    if cross::is_apart(catalogue, &row) {
        let asked = new_row(world, request, &row, &part, ReversalState::Pending, Vec::new());
        cross::take_back(world, catalogue, &row, &part, Reversal { undo: true, reason: "undo".into(), ..asked })?;
        return finished(world, id, row.from_account);
    }
    let lots_back = give_back(world, catalogue, &row, &part, false, id)?;
    restore_usage(world, &row)?;
    let done = new_row(world, request, &row, &part, ReversalState::Completed, lots_back);
    settle(world, &row, &part, true);
    store_new(world, Reversal { undo: true, reason: "undo".into(), needs_confirmation: false, ..done });
    announce(world, request, &row, EventKind::ConversionUndone, id);
    finished(world, id, row.from_account)
}

pub fn reverse(world: &mut World, catalogue: &Catalogue, request: &Request, ask: &Reverse) -> Result<Effect, Halt> {
    let row = own_conversion(world, &request.caller, ask.conversion)?;
    check_not_closed(catalogue, [&row.terms.from, &row.terms.to])?;
    check_open(world, &row)?;
    let part = part_of(&row, ask.credit_points)?;
    let id = ReversalId(request.fresh);
    let needs_confirmation = row.terms.reversal_needs_confirmation;
    if needs_confirmation {
        let nothing = Part { credit: part.credit, bonuses: Vec::new(), debit: Points::ZERO, fee: Millionths::ZERO };
        let asked = new_row(world, request, &row, &nothing, ReversalState::Requested, Vec::new());
        store_new(world, Reversal { reason: ask.reason.clone(), needs_confirmation, ..asked });
    } else if cross::is_apart(catalogue, &row) {
        let asked = new_row(world, request, &row, &part, ReversalState::Pending, Vec::new());
        cross::take_back(world, catalogue, &row, &part, Reversal { reason: ask.reason.clone(), ..asked })?;
    } else {
        let lots_back = give_back(world, catalogue, &row, &part, row.terms.target_pays_spent, id)?;
        let done = new_row(world, request, &row, &part, ReversalState::Completed, lots_back);
        settle(world, &row, &part, false);
        store_new(world, Reversal { reason: ask.reason.clone(), needs_confirmation, ..done });
        announce(world, request, &row, EventKind::ConversionReversed, id);
    }
    finished(world, id, row.from_account)
}

pub fn confirm(world: &mut World, catalogue: &Catalogue, request: &Request, id: ReversalId) -> Result<Effect, Halt> {
    let asked = world.reversals.get(&id).cloned().ok_or(Code::NotFound)?;
    let row = own_conversion(world, &request.caller, asked.conversion)?;
    if asked.asked_by == request.caller {
        return Err(Code::Forbidden.into());
    }
    let from_account = row.from_account;
    // A repeat of the confirmation that landed is no second reversal.
    if asked.state != ReversalState::Requested {
        // Under another key: as it was first answered, so that this one can be given again too.
        let row = super::first_answer(world, request, id).unwrap_or(Outcome::Reversal(asked.clone()));
        return Ok((row, Subject::Reversal(id), Some(from_account)));
    }
    check_not_closed(catalogue, [&row.terms.from, &row.terms.to])?;
    check_open(world, &row)?;
    let part = part_of(&row, asked.credit)?;
    if cross::is_apart(catalogue, &row) {
        let mut pending = asked.as_ref().clone();
        (pending.bonus, pending.debit, pending.fee) = (part.bonus(), part.debit, part.fee);
        pending.bonuses.clone_from(&part.bonuses);
        cross::take_back(world, catalogue, &row, &part, pending)?;
        return finished(world, id, row.from_account);
    }
    let lots_back = give_back(world, catalogue, &row, &part, row.terms.target_pays_spent, id)?;
    let mut done = asked.as_ref().clone();
    done.state = ReversalState::Completed;
    (done.bonus, done.debit, done.fee) = (part.bonus(), part.debit, part.fee);
    done.bonuses.clone_from(&part.bonuses);
    (done.lots_back, done.window, done.batch_no) = (lots_back, world.window, world.batch_no);
    (done.at, done.day) = (world.now.at, world.now.day);
    put(world, done);
    settle(world, &row, &part, false);
    announce(world, request, &row, EventKind::ConversionReversed, id);
    finished(world, id, row.from_account)
}

type Reversal = ReversalRow;

impl Part {
    fn bonus(&self) -> Points {
        Points::sum(self.bonuses.iter().copied()).unwrap_or(Points::MAX)
    }
}

fn own_conversion(world: &World, caller: &Slug, id: ConversionId) -> Result<Arc<ConversionRow>, Halt> {
    let is_side = |terms: &Terms| terms.from == *caller || terms.to == *caller;
    if let Some(row) = world.conversions.get(&id) {
        if !is_side(&row.terms) {
            return Err(Code::NotFound.into());
        }
        cross::check_at_rest(world, id)?;
        return Ok(row.clone());
    }
    // Not yet a conversion, or never one.
    let crossing = world.crossings.get(&id.0).filter(|row| is_side(&row.terms)).ok_or(Code::NotFound)?;
    Err(if crossing.state.is_over() { Code::ReversalExceeds } else { Code::OpenBusiness }.into())
}

/// What a reversal of `credit` points takes and gives, cumulative amounts never above the original's.
fn part_of(row: &ConversionRow, credit: Points) -> Result<Part, Halt> {
    let Reversed { undone, credit: before, debit: debited, fee: refunded, .. } = row.reversed;
    let after = before.plus(credit).filter(|after| *after <= row.credit && !undone).ok_or(Code::ReversalExceeds)?;
    let (num, den) = (row.terms.ratio.num(), row.terms.ratio.den());
    if credit.is_zero() || credit.get() % num != 0 {
        let below = credit.get() / num * num;
        return Err(Halt::Refuse(Code::NotAMultiple, Hint::Nearest { below, above: below + num }));
    }
    let bonuses = row.bonuses.iter().map(|bonus| {
        let given = |so_far: Points| bonus.ceil_of(so_far.get(), row.credit.get());
        given(after)?.minus(given(before)?)
    });
    let amounts = || {
        let debit = after.floor_of(den, num)?.minus(debited)?;
        let fee = row.fee.floor_of(after.get(), row.credit.get())?.minus(refunded)?;
        Some(Part { credit, bonuses: bonuses.collect::<Option<_>>()?, debit, fee })
    };
    amounts().ok_or_else(|| Code::ReversalExceeds.into())
}

/// Nothing is taken back from, or owed to, a partner with which all is settled: it could neither read nor dispute it.
pub(super) fn check_not_closed(catalogue: &Catalogue, sides: [&Slug; 2]) -> Result<(), Halt> {
    let is_closed = sides.into_iter().any(|partner| catalogue.closed.contains(partner));
    if is_closed { Err(Code::PartnerSuspended.into()) } else { Ok(()) }
}

/// Both sides must be neither frozen nor closed.
fn check_open(world: &World, row: &ConversionRow) -> Result<(), Halt> {
    check_statuses(&[world.account(row.from_account)?, world.account(row.to_account)?])
}

/// Takes points from the target's lots of the dates at which they arrived and gives the debit back at the origin.
fn give_back(
    world: &mut World,
    catalogue: &Catalogue,
    row: &ConversionRow,
    part: &Part,
    target_pays: bool,
    id: ReversalId,
) -> Result<Vec<Parcel>, Halt> {
    let day = world.now.day;
    let wanted = arrived(world.account(row.to_account)?, row, part);
    check_unspent(world, row.to_account, &wanted, target_pays)?;
    // Room at the origin is made sure of before anything leaves the target.
    world.account(row.from_account)?.balance.plus(part.debit).ok_or(Code::LimitExceeded)?;
    let taken = take_arrived(world, row.to_account, &wanted, target_pays)?;
    let taken = Points::sum(taken.iter().map(|parcel| parcel.points)).unwrap_or(Points::ZERO);
    let entry = world.change(row.to_account)?.lower(EntryKind::TakenBack, taken, Some(id.0));
    world.writes.entries.push(entry);
    let lots_back = returning(world.account(row.from_account)?, catalogue, row, part.debit, day);
    arrive_back(world, row.from_account, EntryKind::GivenBack, &lots_back, Some(id.0))?;
    Ok(lots_back)
}

/// Takes the wanted points out of the lots of just these ends: all of them, or what there is where the target pays for
/// the rest.
pub(super) fn take_arrived(
    world: &mut World,
    id: AccountId,
    wanted: &[Parcel],
    target_pays: bool,
) -> Result<Vec<Parcel>, Halt> {
    check_unspent(world, id, wanted, target_pays)?;
    let day = world.now.day;
    let lots = &mut world.change(id)?.lots;
    let take = |parcel: &Parcel| Parcel { points: lots.take_of(parcel.points, parcel.expires, day), ..*parcel };
    let taken: Vec<Parcel> = wanted.iter().map(take).collect();
    Ok(taken.into_iter().filter(|parcel| !parcel.points.is_zero()).collect())
}

fn check_unspent(world: &World, id: AccountId, wanted: &[Parcel], target_pays: bool) -> Result<(), Halt> {
    let (lots, day) = (&world.account(id)?.lots, world.now.day);
    let is_spent = wanted.iter().any(|parcel| lots.usable_of(parcel.expires, day) < parcel.points);
    if is_spent && !target_pays { Err(Code::PointsSpent.into()) } else { Ok(()) }
}

/// Which lots of the target must hold the points: base last arriving first, then the bonuses, summed per end.
pub(super) fn arrived(to: &Account, row: &ConversionRow, part: &Part) -> Vec<Parcel> {
    let mut base_left = row.credit;
    let is_base = |parcel: &&Parcel| {
        let is_base = !base_left.is_zero();
        base_left = base_left.less(parcel.points);
        is_base
    };
    let base: Vec<Parcel> = row.lots_in.iter().take_while(is_base).copied().collect();
    let bonus_lots = row.lots_in.iter().skip(base.len());
    let mut wanted = tail(&base, row.reversed.credit, part.credit);
    let given = part.bonuses.iter().zip(&row.bonuses).filter(|(_, original)| !original.is_zero());
    let given = given.zip(bonus_lots).filter(|((points, _), _)| !points.is_zero());
    wanted.extend(given.map(|((points, _), lot)| Parcel { points: *points, expires: lot.expires }));
    let mut per_end: Vec<Parcel> = Vec::new();
    for parcel in wanted {
        let expires = to.end_today(parcel.expires, row.to_entry_no);
        match per_end.iter_mut().find(|known| known.expires == expires) {
            Some(known) => known.points = known.points.plus(parcel.points).unwrap_or(Points::MAX),
            None => per_end.push(Parcel { expires, ..parcel }),
        }
    }
    per_end
}

/// `points` from the end of `parcels`, after `skipped` points that were taken from there before.
fn tail(parcels: &[Parcel], skipped: Points, points: Points) -> Vec<Parcel> {
    let (mut skip, mut want) = (skipped, points);
    let mut out = Vec::new();
    for parcel in parcels.iter().rev() {
        let skipped_here = skip.min(parcel.points);
        skip = skip.less(skipped_here);
        let part = parcel.points.less(skipped_here).min(want);
        want = want.less(part);
        if !part.is_zero() {
            out.push(Parcel { points: part, expires: parcel.expires });
        }
    }
    out
}

/// The lots that come back to the origin, last spent first, with the ends they had or may still have.
pub(super) fn returning(
    from: &Account,
    catalogue: &Catalogue,
    row: &ConversionRow,
    debit: Points,
    day: NaiveDate,
) -> Vec<Parcel> {
    let back = tail(&row.lots_out, row.reversed.debit, debit);
    let end = |parcel: Parcel| {
        let expires = from.end_today(parcel.expires, row.from_entry_no);
        Parcel { expires: end_of_return(from, catalogue, expires, row.terms.grace_days, day), ..parcel }
    };
    back.into_iter().map(end).collect()
}

/// Never on an account that never expires; an end already past moves to the first month end after the grace days.
pub fn end_of_return(account: &Account, catalogue: &Catalogue, old: Expiry, grace_days: u32, day: NaiveDate) -> Expiry {
    let programme = catalogue.partners.get(&account.partner).map(|partner| &partner.programme);
    if programme.and_then(|programme| programme.tier(&account.tier)).is_some_and(|tier| tier.never_expires) {
        Expiry::Never
    } else if old.covers(day) {
        old
    } else {
        Expiry::month_end_at_least(day, grace_days)
    }
}

/// Points that come back meet owed points first. Returns how many were owed.
pub fn arrive_back(
    world: &mut World,
    id: AccountId,
    kind: EntryKind,
    parcels: &[Parcel],
    subject: Option<uuid::Uuid>,
) -> Result<Points, Halt> {
    let total = Points::sum(parcels.iter().map(|parcel| parcel.points)).ok_or(Code::LimitExceeded)?;
    world.account(id)?.balance.plus(total).ok_or(Code::LimitExceeded)?;
    let account = world.change(id)?;
    let met = account.owed.min(total);
    let mut entries = vec![account.raise(kind, total, subject)];
    entries.extend(keep(account, parcels, subject));
    world.writes.entries.extend(entries);
    Ok(met)
}

/// Puts parcels into the lots that the balance counts already, less what meets owed points, which is an entry.
pub(super) fn keep(account: &mut Account, parcels: &[Parcel], subject: Option<uuid::Uuid>) -> Option<Entry> {
    let total = Points::sum(parcels.iter().map(|parcel| parcel.points)).unwrap_or(Points::MAX);
    let met = account.owed.min(total);
    let mut left = met;
    for parcel in parcels {
        let kept = parcel.points.less(left);
        left = left.less(parcel.points);
        account.lots.add(Lot { points: kept, expires: parcel.expires, available_on: None });
    }
    account.owed = account.owed.less(met);
    (!met.is_zero()).then(|| account.lower(EntryKind::OwedMet, met, subject))
}

fn new_row(
    world: &World,
    request: &Request,
    row: &ConversionRow,
    part: &Part,
    state: ReversalState,
    lots_back: Vec<Parcel>,
) -> ReversalRow {
    ReversalRow {
        id: ReversalId(request.fresh),
        conversion: row.id,
        undo: false,
        state,
        asked_by: request.caller.clone(),
        needs_confirmation: false,
        credit: part.credit,
        bonus: part.bonus(),
        bonuses: part.bonuses.clone(),
        debit: part.debit,
        fee: part.fee,
        lots_back,
        reason: String::new(),
        reference: request.reference.as_ref().map(|reference| reference.text.clone()),
        window: world.window,
        batch_no: world.batch_no,
        at: world.now.at,
        day: world.now.day,
    }
}

fn store_new(world: &mut World, row: ReversalRow) {
    world.writes.reversals.push(row.id);
    world.reversals.insert(row.id, Arc::new(row));
}

/// Writes a reversal that may be there already.
pub(super) fn put(world: &mut World, row: ReversalRow) -> Arc<ReversalRow> {
    let (id, row) = (row.id, Arc::new(row));
    let is_known = world.reversals.insert(id, row.clone()).is_some();
    if !is_known {
        world.writes.reversals.push(id);
    } else if !world.writes.reversals.contains(&id) {
        world.writes.reversals_changed.insert(id);
    }
    row
}

/// An undo gives the members' use of the day and month back.
pub(super) fn restore_usage(world: &mut World, row: &ConversionRow) -> Result<(), Halt> {
    let (today, counted) = (world.now.day, row.accepted.map_or(row.day, |accepted| accepted.day));
    let bonus = Points::sum(row.bonuses.iter().copied()).unwrap_or(Points::MAX);
    let to = world.change(row.to_account)?;
    to.usage = to.usage.on(today);
    to.usage.restore(Way::In, row.credit.plus(bonus).unwrap_or(Points::MAX), counted);
    let from = world.change(row.from_account)?;
    from.usage = from.usage.on(today);
    from.usage.restore(Way::Out, row.debit, counted);
    Ok(())
}

/// Counts what was taken back on the conversion and turns its line's sign in the exposures.
pub(super) fn settle(world: &mut World, row: &ConversionRow, part: &Part, undone: bool) {
    let mut changed = row.clone();
    let reversed = &mut changed.reversed;
    reversed.undone |= undone;
    reversed.credit = reversed.credit.plus(part.credit).unwrap_or(row.credit);
    reversed.bonus = reversed.bonus.plus(part.bonus()).unwrap_or(Points::MAX);
    reversed.debit = reversed.debit.plus(part.debit).unwrap_or(row.debit);
    reversed.fee = reversed.fee.plus(part.fee).unwrap_or(row.fee);
    world.conversions.insert(row.id, Arc::new(changed));
    world.writes.conversions_changed.insert(row.id);
    let price = Price {
        debit: part.debit,
        remainder: Points::ZERO,
        credit: part.credit,
        bonuses: part.bonuses.clone(),
        fee: part.fee,
    };
    // Parts of amounts that did not overflow when they were posted.
    for (key, by) in exposed(&row.terms, &price).into_iter().flatten() {
        world.expose(&key, by.negated(), false);
    }
}

fn announce(world: &mut World, request: &Request, row: &ConversionRow, kind: EventKind, id: ReversalId) {
    for partner in [&row.terms.from, &row.terms.to] {
        world.tell(request.fresh, partner, kind, id.0, EventData::FromRow);
    }
}

fn finished(world: &World, id: ReversalId, account: AccountId) -> Result<Effect, Halt> {
    let row = world.reversals.get(&id).cloned().ok_or(Halt::Reload)?;
    Ok((Outcome::Reversal(row), Subject::Reversal(id), Some(account)))
}
