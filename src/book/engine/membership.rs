//! Registering memberships, linking persons (rule 12), expiry, closing and erasure.

use super::Effect;
use super::account::{Account, EntryKind, LinkState};
use super::world::{EventData, EventKind, Halt, LinkWrite, MembershipWrite, Person, Subject, Taken, World};
use crate::book::command::{
    Code, DirectoryHash, EndLink, LinkSide, OpenLink, Outcome, Register, Request, Status, TierSource,
};
use crate::domain::catalogue::Catalogue;
use crate::domain::expiry::Expiry;
use crate::domain::ids::{AccountId, LinkId, MemberId};
use crate::domain::lots::Parcel;
use crate::domain::points::Points;
use chrono::{NaiveDate, TimeDelta};
use std::collections::{BTreeMap, BTreeSet};

/// Months after which points expire that a demotion took from never.
const DEMOTION_MONTHS: u32 = 12;

pub fn register(world: &mut World, catalogue: &Catalogue, request: &Request, ask: &Register) -> Result<Effect, Halt> {
    let programme = &catalogue.partners.get(&request.caller).ok_or(Code::NotFound)?.programme;
    let given = [ask.earned_tier.as_deref(), Some(ask.profile.tier.as_str())];
    if given.into_iter().flatten().any(|tier| programme.tier(tier).is_none()) {
        return Err(Halt::invalid("tier", "must be a tier of the programme"));
    }
    let known = world.by_ref.get(&ask.who).copied();
    let before = match known {
        Some(id) => world.account(id)?.clone(),
        None => {
            let lowest = programme.tiers.first().map(|tier| tier.code.clone()).unwrap_or_default();
            Account::new(AccountId(request.fresh), request.caller.clone(), lowest, world.now.day)
        }
    };
    check_register(&before, ask, known.is_none(), world.now.day)?;
    let id = before.id;
    if known.is_none() {
        create(world, ask.who, before.clone());
    }
    let tier = ask.earned_tier.clone().unwrap_or_else(|| before.tier.clone());
    if tier != before.tier {
        change_tier(world, request, programme, id, tier)?;
    }
    if ask.status == Status::Closed && before.status != Status::Closed {
        close(world, request, id)?;
    }
    let account = world.change(id)?;
    account.status = ask.status;
    account.as_of = ask.as_of.or(account.as_of);
    let data = EventData::Membership { account: id, status: account.status, tier: account.tier.clone() };
    let changed = known.is_none() || (before.status, &before.tier) != (account.status, &account.tier);
    if let Some(facts) = world.facts.get_mut(&id) {
        facts.show(&ask.profile);
    }
    world.writes.memberships.push(MembershipWrite {
        account: id,
        partner: request.caller.clone(),
        fresh_member: ask.fresh_member,
        profile: ask.profile.clone(),
        status: ask.status,
        reason: ask.reason.clone(),
    });
    if changed {
        world.tell(request.fresh, &request.caller, EventKind::MembershipUpdated, id.0, data);
    }
    Ok((Outcome::Membership(id), Subject::Membership(id), Some(id)))
}

fn create(world: &mut World, who: DirectoryHash, account: Account) {
    let id = account.id;
    world.accounts.insert(id, account);
    world.by_ref.insert(who, id);
    let row = Taken { subject: Subject::Membership(id), account: Some(id), fingerprint: None, refusal: None };
    super::take(world, who, row);
}

fn check_register(before: &Account, ask: &Register, is_new: bool, day: NaiveDate) -> Result<(), Halt> {
    // A granted tier opens benefits only, whatever else is said; nobody is born closed.
    let granted = ask.earned_tier.is_some() && ask.profile.tier_source != TierSource::Earned;
    if granted {
        return Err(Halt::invalid("tier_source", "must be earned for an earned tier"));
    }
    if is_new && ask.status == Status::Closed {
        return Err(Halt::invalid("status", "must not be closed for a membership that is new"));
    }
    if before.as_of.zip(ask.as_of).is_some_and(|(stored, given)| given < stored) {
        return Err(Code::Stale.into());
    }
    match (before.status, ask.status) {
        (Status::Closed, Status::Active | Status::Frozen) => return Err(Code::MembershipClosed.into()),
        (Status::Active | Status::Frozen, Status::Closed) => {
            if !before.held.is_zero() {
                return Err(Code::OpenBusiness.into());
            }
            if !ask.forfeit && before.lots.iter().any(|lot| lot.expires.covers(day)) {
                return Err(Code::BalanceNotZero.into());
            }
        }
        _ => {}
    }
    Ok(())
}

/// Promotion to a tier that never expires re-dates all lots to never, demotion from it to a month end, by an entry.
fn change_tier(
    world: &mut World,
    request: &Request,
    programme: &crate::domain::catalogue::Programme,
    id: AccountId,
    tier: String,
) -> Result<(), Halt> {
    let never = |code: &str| programme.tier(code).is_some_and(|tier| tier.never_expires);
    let (was, is) = (never(&world.account(id)?.tier), never(&tier));
    if was != is {
        // What has ended by now must not come to life again.
        post_expired(world, request, id)?;
        let to = if is { Expiry::Never } else { Expiry::months_after(world.now.day, DEMOTION_MONTHS) };
        let day = world.now.day;
        let entry = world.change(id)?.redate(to, day);
        world.writes.entries.push(entry);
    }
    world.change(id)?.tier = tier;
    Ok(())
}

/// Final: what is left is forfeited by an entry. The caller has checked that it may be.
fn close(world: &mut World, request: &Request, id: AccountId) -> Result<(), Halt> {
    post_expired(world, request, id)?;
    let account = world.change(id)?;
    let lots = account.lots.take_all();
    let points = Points::sum(lots.iter().map(|lot: &Parcel| lot.points)).unwrap_or(Points::ZERO);
    if !points.is_zero() {
        let entry = account.lower(EntryKind::Forfeited, points, None);
        world.writes.entries.push(entry);
    }
    world.change(id)?.status = Status::Closed;
    Ok(())
}

pub fn expire(world: &mut World, request: &Request, id: AccountId) -> Result<Effect, Halt> {
    let points = post_expired(world, request, id)?;
    Ok((Outcome::Expired(points), Subject::Membership(id), Some(id)))
}

/// Posts what ended before today. The engine judges every date at the instant, so this only makes it visible.
pub(super) fn post_expired(world: &mut World, request: &Request, id: AccountId) -> Result<Points, Halt> {
    let day = world.now.day;
    if world.account(id)?.lots.iter().all(|lot| lot.expires.covers(day)) {
        return Ok(Points::ZERO);
    }
    let account = world.change(id)?;
    let (partner, ended) = (account.partner.clone(), account.lots.expire(day));
    let mut total = Points::ZERO;
    for Parcel { points, expires } in ended {
        total = total.plus(points).unwrap_or(Points::MAX);
        let account = world.change(id)?;
        let entry = account.lower(EntryKind::Expired, points, None);
        world.writes.entries.push(entry);
        let data = EventData::Expired { account: id, points, last_day: expires };
        world.tell(request.fresh, &partner, EventKind::LotExpired, id.0, data);
    }
    Ok(total)
}

pub fn open_link(world: &mut World, catalogue: &Catalogue, request: &Request, ask: &OpenLink) -> Result<Effect, Halt> {
    let (a, b) = (world.account(ask.a.account)?.clone(), world.account(ask.b.account)?.clone());
    if [&a, &b].into_iter().any(|account| account.status == Status::Closed) {
        return Err(Code::MembershipClosed.into());
    }
    if a.partner == b.partner || a.link_to(&b.partner).is_some() || b.link_to(&a.partner).is_some() {
        return Err(Code::AlreadyLinked.into());
    }
    let (one, other) = (person(world, a.id)?, person(world, b.id)?);
    if one.member != other.member {
        let of = |member: MemberId| {
            let theirs = world.persons.iter().filter(move |(_, person)| person.member == member);
            theirs.map(|(account, person)| (*account, person.partner.clone())).collect::<BTreeMap<_, _>>()
        };
        let (ours, theirs) = (of(one.member), of(other.member));
        if ours.values().any(|partner| theirs.values().any(|other| other == partner)) {
            return Err(Code::AlreadyLinked.into());
        }
        // UUIDv7: the smaller id is the older one.
        let older = one.member.min(other.member);
        rename(world, ours.into_keys().chain(theirs.into_keys()), older);
    }
    let opens_at = world.now.at + TimeDelta::days(i64::from(catalogue.alliance.link_cooling_days));
    let state = |own: LinkSide, peer: LinkSide, partner: &crate::domain::ids::Slug| LinkState {
        link: ask.link,
        partner: partner.clone(),
        account: peer.account,
        own_token: own.token,
        peer_token: peer.token,
        opens_at,
        pull: own.pull,
    };
    world.change(a.id)?.links.push(state(ask.a, ask.b, &b.partner));
    world.change(b.id)?.links.push(state(ask.b, ask.a, &a.partner));
    world.writes.links.push(LinkWrite::Open { link: ask.link, a: ask.a, b: ask.b, opens_at });
    for account in [&a, &b] {
        let data = EventData::Link { link: ask.link, account: account.id };
        world.tell(request.fresh, &account.partner, EventKind::LinkActivated, ask.link.0, data);
    }
    Ok((Outcome::Link(ask.link), Subject::Link(ask.link), Some(a.id)))
}

pub fn end_link(world: &mut World, request: &Request, ask: &EndLink) -> Result<Effect, Halt> {
    if world.account(ask.a)?.partner != request.caller && world.account(ask.b)?.partner != request.caller {
        return Err(Code::NotFound.into());
    }
    drop_link(world, request, ask.link, [ask.a, ask.b], false)?;
    split(world, ask.a)?;
    Ok((Outcome::Link(ask.link), Subject::Link(ask.link), Some(ask.a)))
}

/// Takes the link out of both accounts; ending an ended link does nothing.
fn drop_link(
    world: &mut World,
    request: &Request,
    link: LinkId,
    sides: [AccountId; 2],
    forget: bool,
) -> Result<(), Halt> {
    let mut ended = false;
    for id in sides {
        let account = world.account(id)?;
        if !account.links.iter().any(|state| state.link == link) {
            continue;
        }
        let account = world.change(id)?;
        account.links.retain(|state| state.link != link);
        let partner = account.partner.clone();
        world.tell(request.fresh, &partner, EventKind::LinkEnded, link.0, EventData::Link { link, account: id });
        ended = true;
    }
    if ended {
        world.writes.links.push(LinkWrite::End { link, forget });
    }
    Ok(())
}

/// Splits a person by the links that remain, each part keeping its oldest id.
fn split(world: &mut World, account: AccountId) -> Result<(), Halt> {
    let member = person(world, account)?.member;
    let mut left: BTreeSet<AccountId> =
        world.persons.iter().filter(|(_, person)| person.member == member).map(|(id, _)| *id).collect();
    while let Some(first) = left.pop_first() {
        let (mut part, mut open) = (vec![first], vec![first]);
        while let Some(id) = open.pop() {
            for peer in world.account(id)?.links.iter().map(|link| link.account) {
                if left.remove(&peer) {
                    part.push(peer);
                    open.push(peer);
                }
            }
        }
        let oldest = part.iter().filter_map(|id| world.persons.get(id)).map(|person| person.own).min();
        rename(world, part.into_iter(), oldest.ok_or(Halt::Reload)?);
    }
    Ok(())
}

fn rename(world: &mut World, accounts: impl Iterator<Item = AccountId>, member: MemberId) {
    for id in accounts {
        if let Some(person) = world.persons.get_mut(&id)
            && person.member != member
        {
            person.member = member;
            world.writes.persons.insert(id, member);
        }
    }
}

fn person(world: &World, account: AccountId) -> Result<Person, Halt> {
    world.persons.get(&account).cloned().ok_or(Halt::Reload)
}

pub fn erase(world: &mut World, request: &Request, who: DirectoryHash) -> Result<Effect, Halt> {
    let id = super::own_account(world, request, who)?;
    let crosses =
        world.crossings.values().any(|row| [row.from_account, row.to_account].contains(&id) && !row.state.is_over());
    let has_voucher = world.vouchers.values().any(|row| row.account == id && row.state.is_open());
    if crosses || has_voucher || !world.account(id)?.held.is_zero() {
        return Err(Code::OpenBusiness.into());
    }
    let links: Vec<(LinkId, AccountId)> =
        world.account(id)?.links.iter().map(|link| (link.link, link.account)).collect();
    for (_, peer) in &links {
        world.account(*peer)?;
    }
    // Asked before anything moves: what is not read yet sends the request round again, untouched.
    person(world, id)?;
    close(world, request, id)?;
    for (link, peer) in links {
        drop_link(world, request, link, [id, peer], true)?;
    }
    split(world, id)?;
    world.change(id)?.owed = Points::ZERO;
    world.by_ref.remove(&who);
    // Registered in this very batch: the row that says whose it is must not be written after it was destroyed.
    world.writes.directory.retain(|(hash, _)| *hash != who);
    world.writes.erased.push((id, who));
    Ok((Outcome::Erased, Subject::Membership(id), Some(id)))
}
