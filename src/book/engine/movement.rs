//! Credits and debits of a brand's own members, and taking them back.

use super::account::EntryKind;
use super::convert::{check_statuses, is_hosted};
use super::takeback::{arrive_back, end_of_return};
use super::world::{EventData, EventKind, Halt, Subject, World};
use super::{Effect, movement_id, own_account};
use crate::book::command::{
    Code, Credit, CreditKind, Debit, Hint, MovementRow, MovementSide, Outcome, Request, ReverseMovement, Status,
};
use crate::domain::catalogue::Catalogue;
use crate::domain::expiry::Expiry;
use crate::domain::expiry::is_month_end;
use crate::domain::ids::AccountId;
use crate::domain::lots::{Lot, Parcel};
use crate::domain::points::Points;
use std::sync::Arc;

/// Days that points of a reversed debit live at least when their own end is past.
const GRACE_DAYS: u32 = 30;

pub fn credit(world: &mut World, catalogue: &Catalogue, request: &Request, ask: &Credit) -> Result<Effect, Halt> {
    let id = own_account(world, request, ask.who)?;
    check_kept(catalogue, request)?;
    let account = world.account(id)?;
    check_statuses(&[account])?;
    account.balance.plus(ask.points).ok_or(Code::LimitExceeded)?;
    let day = world.now.day;
    let expires = match ask.expires {
        Some(Expiry::On(last)) if last < day || !is_month_end(last) => {
            return Err(Halt::invalid("expires_on", "must be the last day of this month or of a later one"));
        }
        Some(given) => given,
        None => super::convert::arrival_rule(world, catalogue, id)?,
    };
    let available_on = ask.available_on.filter(|from| *from > day);
    if available_on.is_some_and(|from| !expires.covers(from)) {
        return Err(Halt::invalid("available_on", "must not be after the points expire"));
    }
    let subject = movement_id(request);
    let kind = match ask.kind {
        CreditKind::Earn => EntryKind::Earn,
        CreditKind::Extra => EntryKind::Extra,
        CreditKind::Opening => EntryKind::Opening,
        CreditKind::Adjust => EntryKind::Adjust,
    };
    let account = world.change(id)?;
    let entry = account.raise(kind, ask.points, Some(subject.0));
    let (entry_no, met) = (entry.entry_no, account.owed.min(ask.points));
    account.lots.add(Lot { points: ask.points.less(met), expires, available_on });
    let mut entries = vec![entry];
    if !met.is_zero() {
        account.owed = account.owed.less(met);
        entries.push(account.lower(EntryKind::OwedMet, met, Some(subject.0)));
    }
    world.writes.entries.extend(entries);
    let row = MovementRow {
        kind: Some(ask.kind),
        owed: met,
        lots: vec![Parcel { points: ask.points, expires }],
        available_on: ask.available_on,
        ..new_row(world, request, id, MovementSide::Credit, ask.points, &ask.reason, entry_no)
    };
    store_new(world, row)
}

/// Points of a brand that keeps its own ledger are none of ours to move.
fn check_kept(catalogue: &Catalogue, request: &Request) -> Result<(), Halt> {
    if is_hosted(catalogue, &request.caller) { Ok(()) } else { Err(Code::Forbidden.into()) }
}

pub fn debit(world: &mut World, catalogue: &Catalogue, request: &Request, ask: &Debit) -> Result<Effect, Halt> {
    let id = own_account(world, request, ask.who)?;
    check_kept(catalogue, request)?;
    check_statuses(&[world.account(id)?])?;
    let day = world.now.day;
    let usable = world.account(id)?.lots.usable(day);
    if usable < ask.points {
        return Err(Halt::Refuse(Code::InsufficientPoints, Hint::Left { points: usable.get() }));
    }
    let account = world.change(id)?;
    let lots = account.lots.take(ask.points, day).ok_or(Code::InsufficientPoints)?;
    let entry = account.lower(EntryKind::Debit, ask.points, Some(request.fresh));
    let entry_no = entry.entry_no;
    world.writes.entries.push(entry);
    let row =
        MovementRow { lots, ..new_row(world, request, id, MovementSide::Debit, ask.points, &ask.reason, entry_no) };
    store_new(world, row)
}

/// Takes back (part of) a credit or gives back (part of) a debit, cumulative never above the original.
pub fn reverse(
    world: &mut World,
    catalogue: &Catalogue,
    request: &Request,
    ask: &ReverseMovement,
) -> Result<Effect, Halt> {
    let first = world.movements.get(&ask.movement).cloned().ok_or(Code::NotFound)?;
    if first.partner != request.caller || first.side != ask.of || first.reverses.is_some() {
        return Err(Code::NotFound.into());
    }
    match (ask.of, world.account(first.account)?.status) {
        (_, Status::Active) | (MovementSide::Credit, Status::Frozen) => {}
        // Nothing arrives on a frozen account; a returned purchase is still taken off it.
        (MovementSide::Debit, Status::Frozen) => return Err(Code::MembershipFrozen.into()),
        (_, Status::Closed) => return Err(Code::MembershipClosed.into()),
    }
    let after = first.reversed.plus(ask.points).filter(|after| *after <= first.points).ok_or(Code::ReversalExceeds)?;
    let row = match ask.of {
        MovementSide::Credit => take_back(world, request, &first, ask)?,
        MovementSide::Debit => give_back(world, catalogue, request, &first, ask)?,
    };
    let mut changed = first.as_ref().clone();
    changed.reversed = after;
    world.movements.insert(first.id, Arc::new(changed));
    world.writes.movements_changed.insert(first.id);
    store_new(world, row)
}

/// A returned purchase: from the credit's own lot, then from others; what is missing becomes owed points.
fn take_back(
    world: &mut World,
    request: &Request,
    first: &MovementRow,
    ask: &ReverseMovement,
) -> Result<MovementRow, Halt> {
    let subject = movement_id(request);
    let day = world.now.day;
    let account = world.account(first.account)?;
    // Ended lots have nothing left to take, whether their expiry is posted yet or not.
    let owed = ask.points.less(account.lots.live(day));
    let owed_after = account.owed.plus(owed).ok_or(Code::LimitExceeded)?;
    let account = world.change(first.account)?;
    account.owed = owed_after;
    let mut lots = Vec::new();
    if let Some(own) = first.lots.first() {
        let end = account.end_today(own.expires, first.entry_no);
        lots.extend(account.lots.take_own(ask.points, end, first.available_on, day));
    }
    let taken = Points::sum(lots.iter().map(|lot: &Parcel| lot.points)).unwrap_or(Points::ZERO);
    lots.extend(account.lots.take_live(ask.points.less(taken), day));
    let taken = ask.points.less(owed);
    let entry = account.lower(EntryKind::CreditReversed, taken, Some(subject.0));
    let entry_no = entry.entry_no;
    world.writes.entries.push(entry);
    let data = EventData::Movement { account: first.account, movement: first.id, points: ask.points, owed };
    world.tell(request.fresh, &first.partner, EventKind::CreditReversed, subject.0, data);
    Ok(MovementRow {
        owed,
        lots,
        reverses: Some(first.id),
        ..new_row(world, request, first.account, MovementSide::Credit, ask.points, &ask.reason, entry_no)
    })
}

/// A cancelled purchase: the points come back to their lots, last spent first.
fn give_back(
    world: &mut World,
    catalogue: &Catalogue,
    request: &Request,
    first: &MovementRow,
    ask: &ReverseMovement,
) -> Result<MovementRow, Halt> {
    let day = world.now.day;
    let account = world.account(first.account)?;
    let (mut skip, mut want) = (first.reversed, ask.points);
    let mut lots = Vec::new();
    for parcel in first.lots.iter().rev() {
        let skipped = skip.min(parcel.points);
        skip = skip.less(skipped);
        let points = parcel.points.less(skipped).min(want);
        want = want.less(points);
        if !points.is_zero() {
            let old = account.end_today(parcel.expires, first.entry_no);
            lots.push(Parcel { points, expires: end_of_return(account, catalogue, old, GRACE_DAYS, day) });
        }
    }
    let entry_no = account.entry_no + 1;
    let owed = arrive_back(world, first.account, EntryKind::DebitReversed, &lots, Some(request.fresh))?;
    Ok(MovementRow {
        owed,
        lots,
        reverses: Some(first.id),
        ..new_row(world, request, first.account, MovementSide::Debit, ask.points, &ask.reason, entry_no)
    })
}

fn new_row(
    world: &World,
    request: &Request,
    account: AccountId,
    side: MovementSide,
    points: Points,
    reason: &str,
    entry_no: i64,
) -> MovementRow {
    MovementRow {
        id: movement_id(request),
        account,
        partner: request.caller.clone(),
        side,
        kind: None,
        points,
        owed: Points::ZERO,
        reason: reason.to_owned(),
        reference: request.reference.as_ref().map(|reference| reference.text.clone()),
        lots: Vec::new(),
        available_on: None,
        reverses: None,
        entry_no,
        batch_no: world.batch_no,
        at: world.now.at,
        day: world.now.day,
        reversed: Points::ZERO,
    }
}

fn store_new(world: &mut World, row: MovementRow) -> Result<Effect, Halt> {
    let (id, account) = (row.id, row.account);
    let row = Arc::new(row);
    world.writes.movements.push(row.clone());
    world.movements.insert(id, row.clone());
    Ok((Outcome::Movement(row), Subject::Movement(id), Some(account)))
}
