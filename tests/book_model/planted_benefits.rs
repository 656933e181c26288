//! Bugs of benefits that are planted by what the engine looks at: it decides with something changed, which is changed back.

use super::planted::Bug;
use super::walk::Walk;
use hanse::book::command::{CancelVoucher, Claim, Command, Redeem, Request};
use hanse::domain::voucher::State;
use std::collections::HashMap;
use std::sync::Arc;

/// Long enough for any walk, in seconds.
const FOR_EVER: u32 = u32::MAX;

/// Changes it, and says how to change it back.
pub fn spoil(walk: &mut Walk, bug: Bug, request: &Request) -> Box<dyn FnOnce(&mut Walk)> {
    match (bug, &request.command) {
        (Bug::QuotaUnchecked, Command::Claim(_)) => without_quotas(walk),
        (Bug::EachMembershipCounts, Command::Claim(ask)) => without_others(walk, ask),
        (Bug::GrantedTierRecognised, Command::Claim(_)) => as_shown(walk),
        (Bug::VoucherUsedTwice, Command::Redeem(ask)) => unused(walk, ask),
        (Bug::GivingBackRenews, Command::CancelVoucher(ask)) => just_claimed(walk, ask),
        _ => Box::new(|_| {}),
    }
}

fn without_quotas(walk: &mut Walk) -> Box<dyn FnOnce(&mut Walk)> {
    let quotas: Vec<_> = walk.world.benefits.iter_mut().map(|(id, offered)| (*id, offered.quota.take())).collect();
    Box::new(move |walk| {
        for (id, quota) in quotas {
            walk.world.benefits.get_mut(&id).expect("benefits stay").quota = quota;
        }
    })
}

fn without_others(walk: &mut Walk, ask: &Claim) -> Box<dyn FnOnce(&mut Walk)> {
    let own = walk.world.by_ref.get(&ask.who).copied();
    let all = std::mem::take(&mut walk.world.claimed);
    let (kept, others): (HashMap<_, _>, HashMap<_, _>) = all.into_iter().partition(|((id, _), _)| Some(*id) == own);
    walk.world.claimed = kept;
    Box::new(move |walk| walk.world.claimed.extend(others))
}

fn as_shown(walk: &mut Walk) -> Box<dyn FnOnce(&mut Walk)> {
    let mut earned = Vec::new();
    for (id, facts) in &walk.world.facts {
        if let Some(account) = walk.world.accounts.get_mut(id) {
            earned.push((*id, std::mem::replace(&mut account.tier, facts.tier.clone())));
        }
    }
    Box::new(move |walk| {
        for (id, tier) in earned {
            walk.world.accounts.get_mut(&id).expect("accounts stay").tier = tier;
        }
    })
}

fn unused(walk: &mut Walk, ask: &Redeem) -> Box<dyn FnOnce(&mut Walk)> {
    let id = ask.codes.iter().find_map(|code| walk.world.by_code.get(code));
    if let Some(row) = id.and_then(|id| walk.world.vouchers.get_mut(id))
        && row.state == State::Redeemed
    {
        let row = Arc::make_mut(row);
        (row.state, row.used) = (State::Issued, 0);
    }
    Box::new(|_| {})
}

fn just_claimed(walk: &mut Walk, ask: &CancelVoucher) -> Box<dyn FnOnce(&mut Walk)> {
    if let Some(row) = walk.world.vouchers.get_mut(&ask.voucher) {
        Arc::make_mut(&mut Arc::make_mut(row).terms).undo_s = FOR_EVER;
    }
    Box::new(|_| {})
}
