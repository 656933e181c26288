//! Bugs planted round the engine: each makes the world the engine sees, or what it wrote, wrong in the way the bug would.

use super::walk::Walk;
use hanse::book::command::{Answer, Ask, Command, Outcome, Request, ReversalState, Reversed, Status};
use hanse::book::engine::account::{Account, EntryKind};
use hanse::book::engine::{Verdict, decide as engine};
use hanse::domain::catalogue::MemberLimits;
use hanse::domain::expiry::Expiry;
use hanse::domain::ids::AccountId;
use hanse::domain::lots::{Lot, Lots, Parcel};
use hanse::domain::points::Points;
use hanse::domain::usage::Way;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    MemberCapUnchecked,
    ExposureCapUnchecked,
    LatestLotFirst,
    BonusRoundedUp,
    UndoLeavesExposure,
    ArrivingLotsRenewed,
    ReversalAboveOriginal,
    ReversalRestoresUsage,
    OwedPointsIgnored,
    ClosingKeepsBalance,
    QuoteUsedTwice,
    PendingPointsSpent,
    FrozenMayUndo,
    FeeKeptOnReversal,
    QuotaUnchecked,
    EachMembershipCounts,
    VoucherUsedTwice,
    GrantedTierRecognised,
    GivingBackRenews,
    RoomKeptOnCancelling,
}

impl Bug {
    pub const ALL: [Bug; 20] = [
        Bug::MemberCapUnchecked,
        Bug::ExposureCapUnchecked,
        Bug::LatestLotFirst,
        Bug::BonusRoundedUp,
        Bug::UndoLeavesExposure,
        Bug::ArrivingLotsRenewed,
        Bug::ReversalAboveOriginal,
        Bug::ReversalRestoresUsage,
        Bug::OwedPointsIgnored,
        Bug::ClosingKeepsBalance,
        Bug::QuoteUsedTwice,
        Bug::PendingPointsSpent,
        Bug::FrozenMayUndo,
        Bug::FeeKeptOnReversal,
        Bug::QuotaUnchecked,
        Bug::EachMembershipCounts,
        Bug::VoucherUsedTwice,
        Bug::GrantedTierRecognised,
        Bug::GivingBackRenews,
        Bug::RoomKeptOnCancelling,
    ];
}

/// What the engine decides, with the walk's bug if it has one.
pub fn decide(walk: &mut Walk, request: &Request) -> Verdict {
    match walk.bug {
        None => engine(&mut walk.world, &walk.catalogue, &mut walk.priced, request),
        Some(bug) => {
            let before = Before::of(walk);
            let verdict = with_other_eyes(walk, bug, request);
            if let Verdict::Answered(Answer { outcome, replayed: false }) = verdict {
                let outcome = amiss(walk, bug, request, outcome, before);
                return Verdict::Answered(Answer { outcome, replayed: false });
            }
            verdict
        }
    }
}

/// What the engine left behind, to spoil what it does next.
struct Before {
    accounts: HashMap<AccountId, Account>,
    exposures: HashMap<hanse::book::exposures::ExposureKey, hanse::book::engine::world::Exposure>,
    moved: std::collections::BTreeMap<hanse::book::exposures::ExposureKey, hanse::book::engine::world::ExposureDelta>,
    entries: usize,
}

impl Before {
    fn of(walk: &Walk) -> Before {
        let world = &walk.world;
        Before {
            accounts: world.accounts.clone(),
            exposures: world.exposures.clone(),
            moved: world.writes.exposures.clone(),
            entries: world.writes.entries.len(),
        }
    }
}

/// Bugs of what the engine looks at: it decides with something changed, which is changed back.
fn with_other_eyes(walk: &mut Walk, bug: Bug, request: &Request) -> Verdict {
    let mut catalogue = walk.catalogue.clone();
    let mut request = request.clone();
    let caps: Vec<_> = walk.world.exposures.iter().map(|(key, row)| (key.clone(), row.cap)).collect();
    let is_convert = matches!(request.command, Command::Convert(_));
    let mut owed = Vec::new();
    let mut statuses = Vec::new();
    let mut pending = Vec::new();
    match bug {
        Bug::MemberCapUnchecked => {
            catalogue.partners.values_mut().for_each(|partner| partner.limits = MemberLimits::default());
        }
        Bug::ExposureCapUnchecked => walk.world.exposures.values_mut().for_each(|row| row.cap = None),
        Bug::ReversalAboveOriginal => forget_reversed(walk, &request),
        Bug::OwedPointsIgnored if is_convert => {
            for account in walk.world.accounts.values_mut() {
                owed.push((account.id, std::mem::take(&mut account.owed)));
            }
        }
        Bug::QuoteUsedTwice => {
            if let Command::Convert(convert) = &mut request.command
                && let Ask::Quoted(quoted) = &mut convert.ask
            {
                walk.world.taken.remove(&quoted.hash);
            }
        }
        Bug::FrozenMayUndo if matches!(request.command, Command::Undo(_)) => {
            for account in walk.world.accounts.values_mut().filter(|account| account.status == Status::Frozen) {
                account.status = Status::Active;
                statuses.push(account.id);
            }
        }
        Bug::PendingPointsSpent if matches!(request.command, Command::Debit(_)) => {
            for account in walk.world.accounts.values_mut() {
                pending.push((account.id, account.lots.clone()));
                let rows: Vec<Lot> = account.lots.iter().map(|lot| Lot { available_on: None, ..*lot }).collect();
                account.lots = Lots::from_rows(rows);
            }
        }
        _ => {}
    }
    let mended = super::planted_benefits::spoil(walk, bug, &request);
    // What was frozen from a catalogue is shared by version, and this one is not the walk's.
    let mut priced = hanse::book::engine::Priced::default();
    let verdict = engine(&mut walk.world, &catalogue, &mut priced, &request);
    mended(walk);
    for (key, cap) in caps {
        walk.world.exposures.get_mut(&key).expect("rows stay").cap = cap;
    }
    for (id, owed) in owed {
        walk.world.accounts.get_mut(&id).expect("accounts stay").owed = owed;
    }
    for id in statuses {
        walk.world.accounts.get_mut(&id).expect("accounts stay").status = Status::Frozen;
    }
    let touched = walk.world.writes.touched.clone();
    for (id, lots) in pending.into_iter().filter(|(id, _)| !touched.contains_key(id)) {
        walk.world.accounts.get_mut(&id).expect("accounts stay").lots = lots;
    }
    verdict
}

/// A reversal above what is left finds a conversion of which nothing was reversed.
fn forget_reversed(walk: &mut Walk, request: &Request) {
    if let Command::Reverse(reverse) = &request.command
        && let Some(row) = walk.world.conversions.get_mut(&reverse.conversion)
        && reverse.credit_points > row.credit.less(row.reversed.credit)
        && !row.reversed.undone
    {
        Arc::make_mut(row).reversed = Reversed::default();
    }
}

/// Bugs of what the engine does: its work is spoilt afterwards.
fn amiss(walk: &mut Walk, bug: Bug, request: &Request, outcome: Outcome, before: Before) -> Outcome {
    match (bug, &outcome) {
        (Bug::LatestLotFirst, Outcome::Movement(row)) if matches!(request.command, Command::Debit(_)) => {
            let (account, points) = (row.account, row.points);
            latest_first(walk, account, points, &before);
        }
        (Bug::ArrivingLotsRenewed, Outcome::Conversion(_)) => return renewed(walk, outcome),
        (Bug::BonusRoundedUp, Outcome::Conversion(_)) => return bonus_up(walk, outcome),
        (Bug::UndoLeavesExposure, Outcome::Reversal(row)) if row.undo => {
            walk.world.exposures = before.exposures;
            walk.world.writes.exposures = before.moved;
        }
        (Bug::RoomKeptOnCancelling, Outcome::Voucher(_)) if matches!(request.command, Command::CancelVoucher(_)) => {
            walk.world.exposures = before.exposures;
            walk.world.writes.exposures = before.moved;
        }
        (Bug::ReversalRestoresUsage, Outcome::Reversal(row)) if !row.undo && row.state == ReversalState::Completed => {
            let conversion = walk.world.conversions[&row.conversion].clone();
            let day = walk.world.now.day;
            let from = walk.world.accounts.get_mut(&conversion.from_account).expect("reversed there");
            from.usage = from.usage.on(day);
            from.usage.restore(Way::Out, row.debit, conversion.day);
        }
        (Bug::ClosingKeepsBalance, Outcome::Membership(id)) if is_closing(request) => {
            let old = &before.accounts.get(id).cloned();
            let written = &mut walk.world.writes.entries;
            written.retain(|entry| !(entry.account == *id && entry.kind == EntryKind::Forfeited));
            let kept = written.len() - before.entries.min(written.len());
            if let (Some(old), 0) = (old, kept) {
                let account = walk.world.accounts.get_mut(id).expect("just closed");
                (account.balance, account.entry_no) = (old.balance, old.entry_no);
                account.lots = old.lots.clone();
            }
        }
        (Bug::FeeKeptOnReversal, Outcome::Reversal(row)) if !row.undo && row.fee.get() > 0 => {
            let mut row = row.as_ref().clone();
            row.fee = hanse::domain::money::Millionths::ZERO;
            return Outcome::Reversal(Arc::new(row));
        }
        _ => {}
    }
    outcome
}

fn is_closing(request: &Request) -> bool {
    matches!(&request.command, Command::Register(register) if register.status == Status::Closed)
}

/// The same points, taken from the lots that end last.
fn latest_first(walk: &mut Walk, id: AccountId, points: Points, before: &Before) {
    let day = walk.world.now.day;
    let Some(old) = before.accounts.get(&id) else { return };
    let mut rows: Vec<Lot> = old.lots.iter().copied().collect();
    let mut missing = points;
    let usable = |lot: &Lot| lot.expires.covers(day) && lot.available_on.is_none_or(|from| from <= day);
    for lot in rows.iter_mut().rev().filter(|lot| usable(lot)) {
        let part = missing.min(lot.points);
        (lot.points, missing) = (lot.points.less(part), missing.less(part));
    }
    walk.world.accounts.get_mut(&id).expect("just debited").lots = Lots::from_rows(rows);
}

/// Every lot that arrived ends by the target's rule, whatever was left of the origin's.
fn renewed(walk: &mut Walk, outcome: Outcome) -> Outcome {
    let Outcome::Conversion(row) = outcome else { return outcome };
    let mut changed = row.as_ref().clone();
    let account = walk.world.accounts.get_mut(&changed.to_account).expect("arrived there");
    let programme = &walk.catalogue.partners[&account.partner].programme;
    let rule = programme.expiry(&account.tier, changed.day);
    for parcel in &mut changed.lots_in {
        let gone = account.lots.take_of(parcel.points, parcel.expires, changed.day);
        account.lots.add(Lot { points: gone, expires: rule, available_on: None });
        parcel.expires = rule;
    }
    let row = Arc::new(changed);
    walk.world.conversions.insert(row.id, row.clone());
    Outcome::Conversion(row)
}

/// One point more of every bonus that was not exact, on the row, in the lots and in the entries.
fn bonus_up(walk: &mut Walk, outcome: Outcome) -> Outcome {
    let Outcome::Conversion(row) = outcome else { return outcome };
    let mut changed = row.as_ref().clone();
    let one = Points::new(1).expect("in range");
    let inexact = |share: i64| changed.credit.get() * share % 10_000 != 0;
    let up = changed.terms.campaigns.iter().position(|campaign| inexact(campaign.bonus_basis_points));
    let Some(nth) = up.filter(|nth| !changed.bonuses[*nth].is_zero()) else { return Outcome::Conversion(row) };
    changed.bonuses[nth] = changed.bonuses[nth].plus(one).expect("far from the largest");
    let place = changed.bonuses[nth..].iter().filter(|bonus| !bonus.is_zero()).count();
    let at = changed.lots_in.len() - place;
    let parcel: &mut Parcel = &mut changed.lots_in[at];
    parcel.points = parcel.points.plus(one).expect("far from the largest");
    let expires: Expiry = parcel.expires;
    let account = walk.world.accounts.get_mut(&changed.to_account).expect("arrived there");
    account.balance = account.balance.plus(one).expect("far from the largest");
    account.lots.add(Lot { points: one, expires, available_on: None });
    if let Some(entry) = walk.world.writes.entries.iter_mut().rev().find(|entry| entry.kind == EntryKind::Bonus) {
        entry.delta += 1;
    }
    let row = Arc::new(changed);
    walk.world.conversions.insert(row.id, row.clone());
    Outcome::Conversion(row)
}
