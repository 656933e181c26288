//! What a member's own page shows: its points at every brand it is linked to, what has happened, what it may have.
//!
//! Everything is asked for by the account of a session, never by an id that a browser sent: what belongs to another
//! membership, though of the same brand, is not found.

use super::answer::Side;
use super::benefits::Row as BenefitRow;
use super::conversions::{Found, Stands};
use super::exchange::{Error, Exchange};
use super::memberships::{Account, Consent, EntryKind, EntryPlace, EntryRow, LinkState, Membership};
use crate::book::command::{ConversionRow, CrossingRow, ReversalRow};
use crate::book::crossing::Kind;
use crate::book::store::crossings::{self, Wished};
use crate::book::store::vouchers as voucher_rows;
use crate::book::store::{read, rows};
use crate::domain::benefit::{Claimant, Offer, Unmet, shown_tier};
use crate::domain::ids::{AccountId, BenefitId, ConversionId, ReversalId, Slug, VoucherId};
use crate::domain::points::Points;
use crate::domain::voucher::State as VoucherState;
use crate::store::{benefits, catalogue, consents, memberships, vouchers};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::PgConnection;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Benefits shown at once.
const OFFERS_MAX: i64 = 200;
/// Vouchers of a member that are looked through for how often it had a benefit.
const CLAIMS_MAX: i64 = 1_000;

/// A member at one brand, and at those it is linked to, at one instant of business time.
#[derive(Debug)]
pub struct View {
    pub now: DateTime<Utc>,
    pub today: NaiveDate,
    pub membership: Membership,
    pub account: Account,
    pub linked: Vec<Linked>,
    /// On their way between two ledgers.
    pub pending: Vec<CrossingRow>,
}

/// A brand on the other side of a link.
#[derive(Debug)]
pub struct Linked {
    /// As this membership's account knows it.
    pub link: LinkState,
    pub account: Account,
    /// Its consent lets this membership's brand spend its points.
    pub pulls: bool,
}

pub async fn view(exchange: &Exchange, account: AccountId) -> Result<View, Error> {
    let zone = exchange.catalogue.load().alliance.zone;
    let unit = move |conn: &mut PgConnection| {
        let now = catalogue::business_now(conn)?;
        let membership = memberships::of_account(conn, account)?.ok_or(Error::NotFound)?;
        let own = read::accounts(conn, vec![account])?.pop().ok_or(Error::Broken("no account"))?;
        let peers = own.links.iter().map(|link| link.account).collect();
        let mut peers: BTreeMap<AccountId, Account> =
            read::accounts(conn, peers)?.into_iter().map(|peer| (peer.id, peer)).collect();
        let linked = own.links.iter().filter_map(|link| {
            let account = peers.remove(&link.account)?;
            let pulls = account.link_to(&own.partner).is_some_and(|back| back.pull);
            Some(Linked { link: link.clone(), account, pulls })
        });
        let mut linked: Vec<Linked> = linked.collect();
        linked.sort_by(|a, b| a.link.partner.cmp(&b.link.partner));
        let pending = crossings::find(conn, Wished { open_of: vec![account], ..Wished::default() })?;
        let today = now.with_timezone(&zone).date_naive();
        Ok::<_, Error>(View { now, today, membership, account: own, linked, pending })
    };
    exchange.database.run(unit).await
}

/// Business time.
pub async fn now(exchange: &Exchange) -> Result<DateTime<Utc>, Error> {
    exchange.database.run(|conn| Ok::<_, Error>(catalogue::business_now(conn)?)).await
}

/// The balance of an account without what is held for conversions on their way.
pub async fn free(exchange: &Exchange, account: AccountId) -> Result<Points, Error> {
    let unit = move |conn: &mut PgConnection| {
        let account = read::accounts(conn, vec![account])?.pop().ok_or(Error::Broken("no account"))?;
        Ok::<_, Error>(account.balance.less(account.held))
    };
    exchange.database.run(unit).await
}

/// One thing that has happened to a member's points.
#[derive(Debug)]
pub enum Happened {
    /// A conversion, from this member's side.
    Converted { row: Box<ConversionRow>, side: Side },
    /// Points that came or went otherwise, or were given another end.
    Entry(EntryRow),
}

/// A page of what has happened, newest first, and where the next one begins.
#[derive(Debug)]
pub struct History {
    pub happened: Vec<Happened>,
    pub next: Option<EntryPlace>,
}

pub async fn history(
    exchange: &Exchange,
    account: AccountId,
    after: Option<EntryPlace>,
    limit: i64,
) -> Result<History, Error> {
    let unit = move |conn: &mut PgConnection| {
        let entries = memberships::entries(conn, account, after, limit)?;
        let is_full = i64::try_from(entries.len()).is_ok_and(|found| found >= limit);
        let next = entries.last().filter(|_| is_full).map(EntryRow::place);
        let ids: BTreeSet<ConversionId> =
            entries.iter().filter(|entry| is_leg(entry)).filter_map(|entry| entry.subject).map(ConversionId).collect();
        let found = rows::conversions(conn, &ids.into_iter().collect::<Vec<_>>())?;
        let mut found: BTreeMap<Uuid, ConversionRow> = found.into_iter().map(|row| (row.id.0, row)).collect();
        let mut happened = Vec::with_capacity(entries.len());
        for entry in entries {
            let conversion = entry.subject.filter(|_| is_leg(&entry)).and_then(|id| found.remove(&id));
            match conversion {
                Some(row) => {
                    let side = if row.from_account == account { Side::From } else { Side::To };
                    happened.push(Happened::Converted { row: Box::new(row), side });
                }
                // Told with its conversion.
                None if is_leg(&entry) || kind(&entry) == Some(EntryKind::Bonus) => {}
                None => happened.push(Happened::Entry(entry)),
            }
        }
        Ok::<_, Error>(History { happened, next })
    };
    exchange.database.run(unit).await
}

pub fn kind(entry: &EntryRow) -> Option<EntryKind> {
    EntryKind::from_number(entry.kind)
}

fn is_leg(entry: &EntryRow) -> bool {
    matches!(
        kind(entry),
        Some(EntryKind::ConvertedOut | EntryKind::ConvertedIn | EntryKind::CrossedOut | EntryKind::CrossedIn)
    )
}

/// A conversion of this very account, as it stands.
pub async fn conversion(exchange: &Exchange, account: AccountId, id: ConversionId) -> Result<Found, Error> {
    let unit = move |conn: &mut PgConnection| {
        let crossing = crossings::find(conn, Wished { ids: vec![id.0], ..Wished::default() })?.pop().map(Box::new);
        let side = |from: AccountId, to: AccountId| match account {
            own if own == from => Ok(Side::From),
            own if own == to => Ok(Side::To),
            _ => Err(Error::NotFound),
        };
        if let Some(row) = rows::conversions(conn, &[id])?.pop().map(Box::new) {
            let side = side(row.from_account, row.to_account)?;
            let reversals: Vec<ReversalRow> = rows::reversals_of(conn, row.id)?;
            return Ok(Found { stands: Stands::Posted { row, reversals, crossing }, side });
        }
        let row = crossing.filter(|row| row.kind == Kind::Conversion).ok_or(Error::NotFound)?;
        let side = side(row.from_account, row.to_account)?;
        Ok(Found { stands: Stands::Crossing(row), side })
    };
    exchange.database.run(unit).await
}

/// An undo on its way, as long as nobody knows how it ends.
pub fn is_being_undone(reversals: &[ReversalRow]) -> Option<ReversalId> {
    let pending = |row: &&ReversalRow| row.undo && row.state == crate::book::command::ReversalState::Pending;
    reversals.iter().find(pending).map(|row| row.id)
}

/// A benefit offered to members of this brand, and whether this member may have it now.
#[derive(Debug)]
pub struct Offered {
    pub row: BenefitRow,
    /// The offer it gets; of one it does not get, the first to its brand.
    pub offer: Offer,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    May,
    Unmet(Unmet),
    SoldOut,
    /// As often as one person may.
    Had,
}

/// What is offered to members of the brand: first what this member may have, then what it may not, and why.
pub async fn offers(exchange: &Exchange, account: AccountId) -> Result<Vec<Offered>, Error> {
    let zone = exchange.catalogue.load().alliance.zone;
    let unit = move |conn: &mut PgConnection| {
        let now = catalogue::business_now(conn)?;
        let today = now.with_timezone(&zone).date_naive();
        let membership = memberships::of_account(conn, account)?.ok_or(Error::NotFound)?;
        let own = read::accounts(conn, vec![account])?.pop().ok_or(Error::Broken("no account"))?;
        let had = had(conn, account)?;
        let claimable = Some((own.partner.clone(), now));
        let search = benefits::Search { claimable, ..benefits::Search::default() };
        let found = benefits::list(conn, &search, OFFERS_MAX)?;
        let givers: BTreeSet<String> = found.iter().map(|row| row.benefit.giver.to_string()).collect();
        let recognised = benefits::recognised(conn, &givers.into_iter().collect::<Vec<_>>())?;
        let judge = |row: BenefitRow| {
            let giver = &row.benefit.giver;
            let theirs = recognised
                .iter()
                .find(|one| one.giver == giver.as_str() && one.brand == own.partner.as_str() && one.tier == own.tier);
            let who = claimant(&membership, &own, giver, theirs.map(|one| one.recognised.clone()), today);
            let (offer, verdict) =
                judged(&row, &who, (now, today), had.get(&row.benefit.id).map_or(&[], Vec::as_slice))?;
            Some(Offered { row, offer, verdict })
        };
        let mut offers: Vec<Offered> = found.into_iter().filter_map(judge).collect();
        offers.sort_by_key(|offered| offered.verdict != Verdict::May);
        Ok::<_, Error>(offers)
    };
    exchange.database.run(unit).await
}

/// Days on which this account took each benefit.
fn had(conn: &mut PgConnection, account: AccountId) -> Result<BTreeMap<BenefitId, Vec<NaiveDate>>, Error> {
    let ids = vouchers::of_account(conn, account, None, CLAIMS_MAX)?;
    let mut had: BTreeMap<BenefitId, Vec<NaiveDate>> = BTreeMap::new();
    for row in voucher_rows::find(conn, &ids)? {
        let is_cancelled = row.state == VoucherState::Cancelled;
        let was_never_issued = row.state == VoucherState::Expired && row.first == VoucherState::Reserved;
        let counts = !is_cancelled && !was_never_issued;
        if counts {
            had.entry(row.terms.benefit).or_default().push(row.day);
        }
    }
    Ok(had)
}

/// A member as a benefit looks at it; the book looks again when it is claimed.
fn claimant(
    membership: &Membership,
    account: &Account,
    giver: &Slug,
    recognised: Option<String>,
    today: NaiveDate,
) -> Claimant {
    let own = (account.partner == *giver).then(|| account.tier.clone());
    Claimant {
        partner: account.partner.clone(),
        tier: shown_tier(membership.tier.clone(), membership.tier_until, &account.tier, today),
        recognised: recognised.or(own),
        tags: membership.tags.clone(),
        birth_month: membership.birth_month.and_then(|month| u32::try_from(month).ok()),
        linked_since: account.link_to(giver).map(|link| link.opens_at),
    }
}

fn judged(
    row: &BenefitRow,
    who: &Claimant,
    (now, today): (DateTime<Utc>, NaiveDate),
    had: &[NaiveDate],
) -> Option<(Offer, Verdict)> {
    let benefit = row.offered();
    let first = benefit.offers.iter().find(|offer| offer.to == who.partner)?.clone();
    let (_, offer) = match benefit.offer_for(who, now, today) {
        Ok(found) => found,
        // What is over or meant for chosen ones is nobody's disappointment.
        Err(Unmet::Closed | Unmet::Over | Unmet::Brand | Unmet::Tag) => return None,
        Err(unmet) => return Some((first, Verdict::Unmet(unmet))),
    };
    let is_had = offer.per_member.is_some_and(|share| {
        let from = share.period.first(today);
        had.iter().filter(|day| from.is_none_or(|from| **day >= from)).count() >= usize::from(share.count)
    });
    let verdict = match row.quota {
        _ if is_had => Verdict::Had,
        Some(quota) if row.taken >= quota => Verdict::SoldOut,
        Some(_) | None => Verdict::May,
    };
    Some((offer.clone(), verdict))
}

/// Whether a voucher is of this account.
pub async fn has_voucher(exchange: &Exchange, account: AccountId, id: VoucherId) -> Result<(), Error> {
    let unit = move |conn: &mut PgConnection| {
        let row = voucher_rows::find(conn, &[id])?.pop().filter(|row| row.account == account);
        row.map(drop).ok_or(Error::NotFound)
    };
    exchange.database.run(unit).await
}

/// What the member has agreed to, newest first.
pub async fn agreed(exchange: &Exchange, account: AccountId) -> Result<Vec<Consent>, Error> {
    let unit = move |conn: &mut PgConnection| {
        let mut given = consents::of_account(conn, account)?;
        given.reverse();
        Ok::<_, Error>(given)
    };
    exchange.database.run(unit).await
}
