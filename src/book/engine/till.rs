//! At the till: a voucher is taken once, by the giver alone, and a mistake is taken back.
//!
//! Two tills that race meet in the turn of the voucher's account: the second finds it redeemed. A till that asks again
//! with its key is given its first answer.

use super::Effect;
use super::benefit::{put, refusal, settle, tell, unreserve, used, used_last};
use super::takeback::check_not_closed;
use super::world::{EventKind, Halt, Subject, World};
use crate::book::command::{Code, Outcome, Redeem, Request, ReverseRedemption, UseRow, VoucherRow};
use crate::book::voucher::UseKind;
use crate::domain::benefit::{Benefit, SettlesAt};
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::UseId;
use crate::domain::money::Millionths;
use crate::domain::voucher::{Event, Next, due, may_be_taken_back};
use std::sync::Arc;

/// The order of the checks is the published order of refusals.
pub fn redeem(world: &mut World, request: &Request, ask: &Redeem) -> Result<Effect, Halt> {
    let id = ask.codes.iter().find_map(|code| world.by_code.get(code)).copied().ok_or(Code::NotFound)?;
    let row = world.vouchers.get(&id).cloned().ok_or(Halt::Reload)?;
    if row.terms.giver != request.caller {
        return Err(Code::NotFound.into());
    }
    let nth = row.used + 1;
    let Next::To(state) = row.state.on(Event::Redeem { last: nth >= row.terms.uses }) else {
        return Err(refusal(world, &row));
    };
    let day = world.now.day;
    if row.use_by < day {
        return Err(Code::VoucherExpired.into());
    }
    if Benefit::is_black(&row.terms.blackouts, day) {
        return Err(Code::NotToday.into());
    }
    let discount = discount(&row, ask)?;
    check_stack(world, request, &row, ask)?;
    let cost = match row.terms.settles_at {
        SettlesAt::Issue => Millionths::ZERO,
        SettlesAt::Redemption => due(row.terms.cost, row.terms.uses, nth, row.settled).ok_or(Code::ExposureExceeded)?,
    };
    let mut one = used(world, request, &row, UseKind::Redemption, cost);
    one.nth = nth;
    (one.bill, one.discount) = (ask.bill, discount);
    let receipt = ask.receipt.as_ref().map(|receipt| receipt.number.clone());
    (one.store, one.till, one.receipt) = (Some(ask.store.clone()), ask.till.clone(), receipt);
    let mut row = row.as_ref().clone();
    let one = settle(world, &row, one)?;
    (row.state, row.used) = (state, nth);
    row.settled = row.settled.plus(cost).unwrap_or(row.settled);
    if let Some(receipt) = &ask.receipt {
        world.receipts.entry((request.caller.clone(), receipt.number.clone())).or_default().push(row.terms.stacks);
    }
    world.writes.vouchers_changed.insert(id);
    let row = put(world, row);
    tell(world, request, &row, Some(&one), EventKind::VoucherRedeemed);
    Ok(finished(one, row))
}

/// What comes off the bill; `None` where the voucher is no coupon.
fn discount(row: &VoucherRow, ask: &Redeem) -> Result<Option<Millionths>, Halt> {
    let Some(discount) = row.terms.discount else { return Ok(None) };
    let bill =
        ask.bill.ok_or_else(|| Halt::invalid("amount", "must be the bill: the coupon takes something off it"))?;
    Ok(Some(discount.of(bill, ask.coin).ok_or(Code::BelowThreshold)?))
}

/// Of one bill, a voucher that does not stack is the only one.
fn check_stack(world: &World, request: &Request, row: &VoucherRow, ask: &Redeem) -> Result<(), Halt> {
    let Some(receipt) = &ask.receipt else { return Ok(()) };
    let before = world.receipts.get(&(request.caller.clone(), receipt.number.clone()));
    let before = before.map(Vec::as_slice).unwrap_or_default();
    let fits = before.is_empty() || (row.terms.stacks && before.iter().all(|stacks| *stacks));
    if fits { Ok(()) } else { Err(Code::NotStackable.into()) }
}

/// A till's mistake: the voucher has its use again, and what it settled is taken back.
pub fn reverse(
    world: &mut World,
    catalogue: &Catalogue,
    request: &Request,
    ask: &ReverseRedemption,
) -> Result<Effect, Halt> {
    let first = world.uses.get(&ask.redemption).cloned().ok_or(Code::NotFound)?;
    if first.terms.giver != request.caller || first.kind != UseKind::Redemption {
        return Err(Code::NotFound.into());
    }
    let row = world.vouchers.get(&first.voucher).cloned().ok_or(Halt::Reload)?;
    check_not_closed(catalogue, [&row.terms.brand, &row.terms.giver])?;
    if first.reversed {
        return Err(Code::ReversalExceeds.into());
    }
    if !may_be_taken_back(first.day, world.now.day) {
        return Err(Code::UndoWindowClosed.into());
    }
    // Last first: so its uses are always the first so many, and each settles its own share.
    if first.nth != row.used {
        return Err(used_last(world, &row));
    }
    let state = match row.state.on(Event::Reverse { first: row.used <= 1 }) {
        Next::To(state) => state,
        Next::Stays => row.state,
        Next::Never => return Err(refusal(world, &row)),
    };
    let mut back = used(world, request, &row, UseKind::Reversal, first.cost.negated());
    (back.nth, back.reverses, back.reason) = (first.nth, Some(first.id), Some(ask.reason.clone()));
    (back.store, back.till, back.receipt) = (first.store.clone(), first.till.clone(), first.receipt.clone());
    let mut row = row.as_ref().clone();
    let back = settle(world, &row, back)?;
    // Of what is over nothing can be settled again.
    if !state.is_open() {
        unreserve(world, &row.terms, first.cost);
    }
    let mut changed = first.as_ref().clone();
    changed.reversed = true;
    world.uses.insert(first.id, Arc::new(changed));
    world.writes.uses_changed.insert(first.id);
    forget_receipt(world, &first);
    (row.state, row.used) = (state, row.used - 1);
    row.settled = row.settled.minus(first.cost).unwrap_or(row.settled);
    world.writes.vouchers_changed.insert(row.id);
    let row = put(world, row);
    tell(world, request, &row, Some(&back), EventKind::VoucherReversed);
    Ok(finished(back, row))
}

/// On its bill there is one less.
fn forget_receipt(world: &mut World, first: &UseRow) {
    let bill = first.receipt.clone().map(|number| (first.terms.giver.clone(), number));
    if let Some(stacks) = bill.and_then(|bill| world.receipts.get_mut(&bill))
        && let Some(own) = stacks.iter().position(|stacks| *stacks == first.terms.stacks)
    {
        stacks.swap_remove(own);
    }
}

/// The first answer to a redemption or a reversal: the use, and its voucher.
pub fn used_before(world: &World, id: UseId) -> Option<Outcome> {
    let one = world.uses.get(&id).cloned()?;
    let row = world.vouchers.get(&one.voucher).cloned()?;
    Some(Outcome::Used(one, row))
}

fn finished(one: Arc<UseRow>, row: Arc<VoucherRow>) -> Effect {
    let (id, account) = (one.id, row.account);
    (Outcome::Used(one, row), Subject::Use(id), Some(account))
}
