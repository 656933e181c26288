//! Vouchers: claimed, given back, ended. Points for a benefit leave the account as a conversion's do: same lots, same
//! limits, same way back.

use super::account::EntryKind;
use super::convert::{check_exposures, check_partners, check_statuses, is_capped, is_hosted};
use super::membership::post_expired;
use super::takeback::{arrive_back, end_of_return};
use super::world::{EventData, EventKind, Halt, Subject, Taken, World};
use super::{Effect, own_account, take};
use crate::book::command::{CancelVoucher, Claim, Code, Command, Hint, Outcome, Request, Status, UseRow, VoucherRow};
use crate::book::exposures::ExposureKey;
use crate::book::voucher::{Offered, RESERVED_FOR, UseKind};
use crate::domain::benefit::{BenefitTerms, Claimant, Offer, Payer, SettlesAt, shown_tier};
use crate::domain::catalogue::Catalogue;
use crate::domain::expiry::Expiry;
use crate::domain::ids::{AccountId, UseId, VoucherId};
use crate::domain::lots::Parcel;
use crate::domain::money::Millionths;
use crate::domain::plan::day_start;
use crate::domain::usage::Way;
use crate::domain::voucher::{Event, Next, State};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use std::sync::Arc;

/// The order of the checks is the published order of refusals.
pub fn claim(world: &mut World, catalogue: &Catalogue, request: &Request, ask: &Claim) -> Result<Effect, Halt> {
    let id = own_account(world, request, ask.who)?;
    let offered = world.benefits.get(&ask.benefit).cloned().ok_or(Code::NotFound)?;
    let benefit = &offered.benefit;
    check_partners(catalogue, &(request.caller.clone(), benefit.giver.clone()))?;
    check_statuses(&[world.account(id)?])?;
    if ask.version.is_some_and(|version| version != benefit.version) {
        return Err(Halt::invalid("version", "must be the version that stands: read it again"));
    }
    let who = claimant(world, &offered, id)?;
    let (at, day) = (world.now.at, world.now.day);
    let found = benefit.offer_for(&who, at, day);
    let (_, offer) = found.map_err(|unmet| Halt::Refuse(Code::NotEligible, Hint::Unmet(unmet)))?;
    check_share(world, id, &offered, offer)?;
    if offered.quota.is_some_and(|quota| offered.taken >= quota) {
        return Err(Code::SoldOut.into());
    }
    let terms = Arc::new(BenefitTerms::freeze(catalogue, benefit, offer).ok_or(Code::NotFound)?);
    check_points(world, catalogue, id, &terms)?;
    check_exposures(world, catalogue, &exposed(&terms, terms.cost))?;
    // What a brand keeps itself it debits itself, and says so by confirming.
    let apart = is_apart(catalogue, &terms);
    let reserved = ask.reserve || apart;
    let link = world.account(id)?.link_to(&benefit.giver).map(|link| link.own_token);
    let row = VoucherRow {
        id: VoucherId(request.fresh),
        account: id,
        state: State::Reserved,
        first: if reserved { State::Reserved } else { State::Issued },
        used: 0,
        settled: Millionths::ZERO,
        token: link.unwrap_or(ask.token),
        lots_out: Vec::new(),
        entry_no: world.account(id)?.entry_no,
        use_by: benefit.use_until.last(day).filter(|last| *last >= day).ok_or(Code::NotEligible)?,
        reserved_until: reserved_until(catalogue, at, day),
        reference: request.reference.as_ref().map(|reference| reference.text.clone()),
        code: (!terms.pooled).then(|| ask.code.clone()),
        at,
        day,
        batch_no: world.batch_no,
        version: 0,
        terms,
    };
    world.stock(ask.benefit, 1);
    world.claimed.entry((id, ask.benefit)).or_default().push(day);
    reserve(world, catalogue, &row.terms, row.terms.cost);
    world.writes.vouchers.push(row.id);
    if let Some(code) = &row.code {
        let by_code = Taken { subject: Subject::Code(row.id), account: Some(id), fingerprint: None, refusal: None };
        take(world, code.hash, by_code);
    }
    // Before the brand debits: so that no confirmation is refused for a limit after it has.
    if apart {
        count(world, &row)?;
    }
    let row = if reserved { keep(world, request, row) } else { issue(world, catalogue, request, row)? };
    Ok(finished(row))
}

/// Until when a place is kept, and never beyond its day: of another one, what it counts for and its last day would be others.
fn reserved_until(catalogue: &Catalogue, at: DateTime<Utc>, day: NaiveDate) -> Option<DateTime<Utc>> {
    let midnight = day_start(catalogue.alliance.zone, day.succ_opt()?);
    at.checked_add_signed(RESERVED_FOR).map(|until| until.min(midnight))
}

/// Keeps its place, and tells its brand alone, which may have to debit before it confirms, whoever asked for the claim.
fn keep(world: &mut World, request: &Request, row: VoucherRow) -> Arc<VoucherRow> {
    let row = put(world, row);
    let data = EventData::Voucher { voucher: row.clone(), redemption: None };
    world.tell(request.fresh, &row.terms.brand, EventKind::VoucherReserved, row.id.0, data);
    row
}

/// Whether its brand debits its points in a ledger of its own, between reservation and confirmation.
fn is_apart(catalogue: &Catalogue, terms: &BenefitTerms) -> bool {
    !terms.points.is_zero() && !is_hosted(catalogue, &terms.brand)
}

/// Counts its points in what the member uses of the day and the month.
fn count(world: &mut World, row: &VoucherRow) -> Result<(), Halt> {
    let day = world.now.day;
    let account = world.change(row.account)?;
    account.usage = account.usage.on(day);
    account.usage.count(Way::Out, row.points());
    Ok(())
}

/// Gives that use back, while the day or the month that it was counted in is the current one.
fn restore(world: &mut World, row: &VoucherRow) -> Result<(), Halt> {
    let day = world.now.day;
    let account = world.change(row.account)?;
    account.usage = account.usage.on(day);
    account.usage.restore(Way::Out, row.points(), row.day);
    Ok(())
}

/// A member as the benefit looks at it.
fn claimant(world: &World, offered: &Offered, id: AccountId) -> Result<Claimant, Halt> {
    let (account, facts) = (world.account(id)?, world.facts.get(&id).ok_or(Halt::Reload)?);
    let recognised = offered.recognised.iter();
    let recognised = recognised
        .filter(|(brand, tier, _)| *brand == account.partner && *tier == account.tier)
        .map(|(_, _, theirs)| theirs.clone())
        .next();
    let own = (account.partner == offered.benefit.giver).then(|| account.tier.clone());
    Ok(Claimant {
        partner: account.partner.clone(),
        tier: shown_tier(facts.tier.clone(), facts.tier_until, &account.tier, world.now.day),
        recognised: recognised.or(own),
        tags: facts.tags.clone(),
        birth_month: facts.birth_month.and_then(|month| u32::try_from(month).ok()),
        linked_since: account.link_to(&offered.benefit.giver).map(|link| link.opens_at),
    })
}

/// How often one person has it already, whichever of its memberships asked.
fn check_share(world: &World, id: AccountId, offered: &Offered, offer: &Offer) -> Result<(), Halt> {
    let Some(per_member) = offer.per_member else { return Ok(()) };
    let member = world.persons.get(&id).map(|person| person.member).ok_or(Halt::Reload)?;
    let first = per_member.period.first(world.now.day);
    let own = world.persons.iter().filter(|(_, person)| person.member == member);
    let days = own.filter_map(|(account, _)| world.claimed.get(&(*account, offered.benefit.id))).flatten();
    let count = days.filter(|day| first.is_none_or(|first| **day >= first)).count();
    if count < usize::from(per_member.count) { Ok(()) } else { Err(Code::AlreadyClaimed.into()) }
}

/// Owed points, balance and member limits, as for a conversion.
fn check_points(world: &World, catalogue: &Catalogue, id: AccountId, terms: &BenefitTerms) -> Result<(), Halt> {
    if terms.points.is_zero() {
        return Ok(());
    }
    let (account, day) = (world.account(id)?, world.now.day);
    if !account.owed.is_zero() {
        return Err(Code::PointsOwed.into());
    }
    // What a brand keeps itself it judges itself, when it debits; limits are the alliance's.
    let usable = account.lots.usable(day);
    if !is_apart(catalogue, terms) && usable < terms.points {
        return Err(Halt::Refuse(Code::InsufficientPoints, Hint::Left { points: usable.get() }));
    }
    let limits = catalogue.partners.get(&terms.brand).map(|partner| partner.limits).unwrap_or_default();
    match account.usage.on(day).left(&limits, Way::Out) {
        Some(left) if left < terms.points => Err(Halt::Refuse(Code::LimitExceeded, Hint::Left { points: left.get() })),
        _ => Ok(()),
    }
}

/// How each exposure moves when so much of a voucher's cost is settled, or may be.
pub(super) fn exposed(terms: &BenefitTerms, cost: Millionths) -> Vec<(ExposureKey, Millionths)> {
    let giver = (ExposureKey::Partner(terms.giver.clone()), cost.negated());
    match terms.payer() {
        None => Vec::new(),
        Some(Payer::Partner(brand)) => vec![
            (ExposureKey::Pair(brand.clone(), terms.giver.clone()), cost),
            (ExposureKey::Partner(brand.clone()), cost),
            giver,
        ],
        Some(Payer::Operator) => vec![giver],
    }
}

/// Keeps room for what a voucher may settle later, under the stop lines.
fn reserve(world: &mut World, catalogue: &Catalogue, terms: &BenefitTerms, cost: Millionths) {
    for (key, by) in exposed(terms, cost).into_iter().filter(|(_, by)| by.get() > 0) {
        world.reserve(&key, by, is_capped(catalogue, &key));
    }
}

/// Gives room back that was kept.
pub(super) fn unreserve(world: &mut World, terms: &BenefitTerms, cost: Millionths) {
    for (key, by) in exposed(terms, cost).into_iter().filter(|(_, by)| by.get() > 0) {
        world.reserve(&key, by.negated(), false);
    }
}

/// Takes the points, and settles what settles at once. Everything has been checked: nothing below may refuse.
fn issue(
    world: &mut World,
    catalogue: &Catalogue,
    request: &Request,
    mut row: VoucherRow,
) -> Result<Arc<VoucherRow>, Halt> {
    let (day, points) = (world.now.day, row.points());
    if !points.is_zero() && is_hosted(catalogue, &row.terms.brand) {
        count(world, &row)?;
        let account = world.change(row.account)?;
        row.lots_out = account.lots.take(points, day).ok_or(Code::InsufficientPoints)?;
        let entry = account.lower(EntryKind::Claimed, points, Some(row.id.0));
        row.entry_no = entry.entry_no;
        world.writes.entries.push(entry);
    }
    (row.state, row.reserved_until, row.day) = (State::Issued, None, day);
    if row.terms.pooled {
        world.writes.vouchers_coded.push(row.id);
    }
    if row.terms.settles_at == SettlesAt::Issue {
        let cost = row.terms.cost;
        row.settled = cost;
        settle(world, &row, used(world, request, &row, UseKind::Issue, cost))?;
    }
    let row = put(world, row);
    tell(world, request, &row, None, EventKind::VoucherIssued);
    Ok(row)
}

pub fn confirm(world: &mut World, catalogue: &Catalogue, request: &Request, id: VoucherId) -> Result<Effect, Halt> {
    let row = own_voucher(world, request, id, false)?;
    match row.state.on(Event::Confirm) {
        Next::To(_) => {}
        Next::Stays => return Ok(finished(row)),
        Next::Never => return Err(refusal(world, &row)),
    }
    if row.reserved_until.is_some_and(|until| until <= world.now.at) {
        return Err(Code::VoucherExpired.into());
    }
    check_statuses(&[world.account(row.account)?])?;
    // What a brand keeps itself was judged and counted with its reservation, and is debited by now.
    if !is_apart(catalogue, &row.terms) {
        check_points(world, catalogue, row.account, &row.terms)?;
    }
    world.writes.vouchers_changed.insert(id);
    let row = issue(world, catalogue, request, row.as_ref().clone())?;
    Ok(finished(row))
}

/// By the brand whose member it is, or by the giver: the points come back to their lots, last spent first.
pub fn cancel(
    world: &mut World,
    catalogue: &Catalogue,
    request: &Request,
    ask: &CancelVoucher,
) -> Result<Effect, Halt> {
    let row = own_voucher(world, request, ask.voucher, true)?;
    match row.state.on(Event::Cancel) {
        Next::To(_) => {}
        Next::Stays => return Ok(finished(row)),
        Next::Never => return Err(refusal(world, &row)),
    }
    // It is over whether or not that is posted yet.
    if row.state == State::Issued && row.use_by < world.now.day {
        return Err(Code::VoucherExpired.into());
    }
    let settled = (row.settled != Millionths::ZERO).then(|| issue_of(world, &row)).transpose()?;
    if settled.as_ref().is_some_and(|issue| !is_in_time(world, request, issue)) {
        return Err(Code::UndoWindowClosed.into());
    }
    let mut row = row.as_ref().clone();
    if !row.lots_out.is_empty() {
        match world.account(row.account)?.status {
            Status::Active => {}
            Status::Frozen => return Err(Code::MembershipFrozen.into()),
            Status::Closed => return Err(Code::MembershipClosed.into()),
        }
        let has_grace = row.terms.gives_grace(&request.caller, row.at, world.now.at);
        let back = returning(world, catalogue, &row, has_grace)?;
        arrive_back(world, row.account, EntryKind::ClaimRefunded, &back, Some(row.id.0))?;
        post_expired(world, request, row.account)?;
    }
    if !row.lots_out.is_empty() || is_apart(catalogue, &row.terms) {
        restore(world, &row)?;
    }
    if let Some(issue) = settled {
        let mut back = used(world, request, &row, UseKind::Refund, row.settled.negated());
        (back.reason, back.reverses) = (Some(ask.reason.clone()), Some(issue.id));
        row.settled = Millionths::ZERO;
        settle(world, &row, back)?;
    }
    // Nothing of it may be settled any more.
    unreserve(world, &row.terms, row.terms.cost);
    // A pool's code is used up by having been shown.
    if row.state == State::Reserved || !row.terms.pooled {
        world.stock(row.terms.benefit, -1);
    }
    forget_claim(world, &row);
    row.state = State::Cancelled;
    world.writes.vouchers_changed.insert(row.id);
    let row = put(world, row);
    tell(world, request, &row, None, EventKind::VoucherCancelled);
    Ok(finished(row))
}

/// It counts no more in how often its member has the benefit.
fn forget_claim(world: &mut World, row: &VoucherRow) {
    if let Some(days) = world.claimed.get_mut(&(row.account, row.terms.benefit))
        && let Some(own) = days.iter().position(|day| *day == row.day)
    {
        days.swap_remove(own);
    }
}

/// What an unused voucher has settled, it settled when it was issued.
fn issue_of(world: &World, row: &VoucherRow) -> Result<Arc<UseRow>, Halt> {
    let issue = world.uses.values().find(|used| used.voucher == row.id && used.kind == UseKind::Issue);
    issue.cloned().ok_or(Halt::Reload)
}

/// Whose money has come in may give it back for as long as the voucher is good; whose has gone asks for it soon.
fn is_in_time(world: &World, request: &Request, issue: &UseRow) -> bool {
    let until = issue.at + TimeDelta::seconds(i64::from(issue.terms.undo_s));
    request.caller == issue.terms.giver || world.now.at <= until
}

/// The lots a voucher was paid with, as they come back; without grace, what has ended has ended.
fn returning(world: &World, catalogue: &Catalogue, row: &VoucherRow, has_grace: bool) -> Result<Vec<Parcel>, Halt> {
    let (account, day) = (world.account(row.account)?, world.now.day);
    let back = row.lots_out.iter().rev().map(|parcel| {
        let old = account.end_today(parcel.expires, row.entry_no);
        let end = end_of_return(account, catalogue, old, row.terms.grace_days, day);
        let expires = if has_grace || end == Expiry::Never { end } else { old };
        Parcel { points: parcel.points, expires }
    });
    Ok(back.collect())
}

/// Ends it if its time is over, else leaves it as it is.
pub fn expire(world: &mut World, catalogue: &Catalogue, request: &Request, id: VoucherId) -> Result<Effect, Halt> {
    let row = world.vouchers.get(&id).cloned().ok_or(Code::NotFound)?;
    let is_over = match row.state {
        State::Reserved => row.reserved_until.is_none_or(|until| until <= world.now.at),
        _ => row.use_by < world.now.day,
    };
    if !is_over || !matches!(row.state.on(Event::Expire), Next::To(_)) {
        return Ok(finished(row));
    }
    let mut row = row.as_ref().clone();
    let was_reserved = row.state == State::Reserved;
    let left = row.terms.cost.minus(row.settled).unwrap_or(Millionths::ZERO);
    unreserve(world, &row.terms, left);
    if was_reserved {
        world.stock(row.terms.benefit, -1);
        forget_claim(world, &row);
        if is_apart(catalogue, &row.terms) {
            restore(world, &row)?;
        }
    }
    row.state = State::Expired;
    world.writes.vouchers_changed.insert(id);
    let row = put(world, row);
    if !was_reserved {
        tell(world, request, &row, None, EventKind::VoucherExpired);
    }
    Ok(finished(row))
}

/// The first answer to a claim: as it was then, whatever became of it.
pub fn first_answer(world: &World, catalogue: &Catalogue, request: &Request, id: VoucherId) -> Option<Outcome> {
    let row = world.vouchers.get(&id)?;
    if !matches!(request.command, Command::Claim(_)) {
        return Some(Outcome::Voucher(row.clone()));
    }
    let mut first = row.as_ref().clone();
    (first.state, first.used) = (first.first, 0);
    if first.state == State::Reserved {
        // Confirmed since, perhaps, which keeps no trace of it.
        let day = first.at.with_timezone(&catalogue.alliance.zone).date_naive();
        first.reserved_until = reserved_until(catalogue, first.at, day);
    }
    Some(Outcome::Voucher(Arc::new(first)))
}

/// A voucher of the caller's member, or of a benefit it gives.
fn own_voucher(world: &World, request: &Request, id: VoucherId, or_giver: bool) -> Result<Arc<VoucherRow>, Halt> {
    let row = world.vouchers.get(&id).cloned().ok_or(Code::NotFound)?;
    let is_own = row.terms.brand == request.caller || (or_giver && row.terms.giver == request.caller);
    if is_own { Ok(row) } else { Err(Code::NotFound.into()) }
}

/// Why a voucher is not good for what was asked.
pub(super) fn refusal(world: &World, row: &VoucherRow) -> Halt {
    match row.state {
        State::Redeemed | State::PartlyRedeemed => used_last(world, row),
        State::Expired => Code::VoucherExpired.into(),
        State::Cancelled => Code::VoucherCancelled.into(),
        State::Reserved | State::Issued => Code::VoucherNotIssued.into(),
    }
}

/// That it has been used, and which of its uses that stand was the last.
pub(super) fn used_last(world: &World, row: &VoucherRow) -> Halt {
    let own = world.uses.values().filter(|used| used.voucher == row.id && used.kind == UseKind::Redemption);
    let last = own.filter(|used| !used.reversed).max_by_key(|used| (used.batch_no, used.ordinal));
    let id = last.map(|last| last.id.to_string()).unwrap_or_default();
    Halt::Refuse(Code::VoucherUsed, Hint::Redeemed { id })
}

/// A use as it begins, for what follows from its kind to be filled in.
pub(super) fn used(world: &World, request: &Request, row: &VoucherRow, kind: UseKind, cost: Millionths) -> UseRow {
    // One request makes one use; a refund's and an issue's own id is not asked for by anybody.
    let fresh = match kind {
        UseKind::Redemption | UseKind::Reversal => request.fresh,
        UseKind::Issue => uuid::Uuid::from_u128(row.id.0.as_u128() ^ 1 << 12),
        UseKind::Refund => uuid::Uuid::from_u128(row.id.0.as_u128() ^ 2 << 12),
    };
    UseRow {
        id: UseId(fresh),
        voucher: row.id,
        account: row.account,
        terms: row.terms.clone(),
        kind,
        cost,
        nth: 0,
        token: row.token,
        bill: None,
        discount: None,
        store: None,
        till: None,
        receipt: None,
        reason: None,
        reference: request.reference.as_ref().map(|reference| reference.text.clone()),
        by: request.caller.clone(),
        reverses: None,
        reversed: false,
        window: world.window,
        batch_no: world.batch_no,
        ordinal: i32::try_from(world.writes.uses.len()).map_or(i32::MAX, |uses| uses + 1),
        at: world.now.at,
        day: world.now.day,
    }
}

/// Posts a use: a line of the journal, and what it settles from kept to owed.
pub(super) fn settle(world: &mut World, row: &VoucherRow, used: UseRow) -> Result<Arc<UseRow>, Halt> {
    let account = world.change(row.account)?;
    let entry = account.entry(EntryKind::BenefitUsed, 0, Some(used.id.0));
    world.writes.entries.push(entry);
    for (key, by) in exposed(&row.terms, used.cost) {
        world.expose(&key, by, false);
    }
    if used.cost.get() > 0 {
        unreserve(world, &row.terms, used.cost);
    } else {
        // What is taken back may be settled again.
        for (key, by) in exposed(&row.terms, used.cost.negated()).into_iter().filter(|(_, by)| by.get() > 0) {
            world.reserve(&key, by, false);
        }
    }
    let used = Arc::new(used);
    world.writes.uses.push(used.id);
    world.uses.insert(used.id, used.clone());
    Ok(used)
}

pub(super) fn put(world: &mut World, row: VoucherRow) -> Arc<VoucherRow> {
    let row = Arc::new(row);
    world.vouchers.insert(row.id, row.clone());
    if let Some(code) = &row.code {
        world.by_code.insert(code.hash, row.id);
    }
    row
}

/// Tells brand and giver, once where they are one.
pub(super) fn tell(
    world: &mut World,
    request: &Request,
    row: &Arc<VoucherRow>,
    used: Option<&Arc<UseRow>>,
    kind: EventKind,
) {
    let mut sides = vec![row.terms.brand.clone()];
    if row.terms.giver != row.terms.brand {
        sides.push(row.terms.giver.clone());
    }
    for side in sides {
        let data = EventData::Voucher { voucher: row.clone(), redemption: used.cloned() };
        world.tell(request.fresh, &side, kind, row.id.0, data);
    }
}

pub(super) fn finished(row: Arc<VoucherRow>) -> Effect {
    let (id, account) = (row.id, row.account);
    (Outcome::Voucher(row), Subject::Voucher(id), Some(account))
}
