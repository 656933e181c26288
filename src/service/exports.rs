//! Exports: everything kept about a person at one brand, as one JSON document; and of all of a brand's, one after the other.

use super::answer::{self, ConversionState, MovementAnswer, PendingAnswer, Side};
use super::benefits::answer::VoucherAnswer;
use super::exchange::{Error, Exchange};
use super::memberships::{Whole, find};

use crate::book::command::{ConversionRow, CrossingRow, MovementRow, ReversalRow, VoucherRow};
use crate::book::crossing::Kind;
use crate::book::store::crossings::{self, Wished};
use crate::book::store::{read, rows, voucher_uses, vouchers as voucher_rows};
use crate::book::voucher::UseRow;
use crate::domain::holder::Holder;
use crate::domain::ids::{AccountId, ConversionId, MovementId, Slug, VoucherId};
use crate::domain::text::Text;
use crate::store::activities::Activity;
use crate::store::consents::Consent;
use crate::store::memberships::{EntryRow, Filter, LinkRow, Membership};
use crate::store::{activities, consents, memberships, partners, vouchers};
use diesel::PgConnection;
use std::collections::BTreeSet;

/// Of each list; who has more is told so.
pub const ROWS_MAX: i64 = 10_000;
/// Lines of a journal read at once.
const PAGE: i64 = 500;

/// Everything, as rows.
#[derive(Debug)]
pub struct Export {
    pub whole: Whole,
    pub entries: Vec<EntryRow>,
    pub movements: Vec<MovementRow>,
    pub conversions: Vec<(ConversionRow, Vec<ReversalRow>)>,
    /// What is on its way between two ledgers.
    pub crossings: Vec<CrossingRow>,
    pub vouchers: Vec<VoucherRow>,
    pub links: Vec<LinkRow>,
    pub consents: Vec<Consent>,
    pub activities: Vec<Activity>,
    /// A list has reached its bound.
    pub truncated: bool,
}

/// Reads everything about the member that `reader` names.
pub async fn read(exchange: &Exchange, reader: &Holder, named: Text) -> Result<Export, Error> {
    let reader = reader.clone();
    exchange
        .database
        .run(move |conn| {
            let membership = find(conn, &reader, &named)?.ok_or(Error::NotFound)?;
            of_membership(conn, membership)
        })
        .await
}

/// Hands everything about each member of a partner to `write`, one after the other, in the order of their last change.
/// Those erased are no more.
pub fn of_partner(
    conn: &mut PgConnection,
    partner: &Slug,
    mut write: impl FnMut(&Export) -> std::io::Result<()>,
) -> Result<u64, PartnerError> {
    let mut filter = Filter { partner: Some(partner.clone()), ..Filter::default() };
    let mut count = 0;
    loop {
        let page = memberships::list(conn, &filter, PAGE).map_err(Error::from)?;
        let Some(last) = page.last() else { return Ok(count) };
        filter.after = Some((last.changed_at, last.account.0));
        for membership in page {
            write(&of_membership(conn, membership)?)?;
            count += 1;
        }
    }
}

/// The same with every conversion the partner is a side of, by id: those of people who were erased are among them.
pub fn conversions_of(
    conn: &mut PgConnection,
    partner: &Slug,
    currency: &str,
    mut write: impl FnMut(&ConversionState<'_>) -> std::io::Result<()>,
) -> Result<u64, PartnerError> {
    let (mut after, mut count) = (ConversionId(uuid::Uuid::nil()), 0);
    loop {
        let ids = partners::conversions(conn, partner, after, PAGE).map_err(Error::from)?;
        let Some(last) = ids.last() else { return Ok(count) };
        after = *last;
        let mut rows = rows::conversions(conn, &ids).map_err(Error::from)?;
        rows.sort_unstable_by_key(|row| row.id);
        let wished = Wished { ids: ids.iter().map(|id| id.0).collect(), ..Wished::default() };
        let crossings = crossings::find(conn, wished).map_err(Error::from)?;
        for row in &rows {
            let reversals = rows::reversals_of(conn, row.id).map_err(Error::from)?;
            let side = Side::of(partner, &row.terms).ok_or(Error::Broken("a conversion of somebody else"))?;
            write(&answer::conversion_state(row, crossing_of(&crossings, row), &reversals, side, currency))?;
            count += 1;
        }
    }
}

/// The same with every voucher of the benefits that the partner gives, by id, with what its tills have done; without codes.
pub fn given_by(
    conn: &mut PgConnection,
    partner: &Slug,
    mut write: impl FnMut(&VoucherAnswer) -> std::io::Result<()>,
) -> Result<u64, PartnerError> {
    let own = Holder::Partner(partner.clone());
    let (mut after, mut count) = (VoucherId(uuid::Uuid::nil()), 0);
    loop {
        let ids = vouchers::of_giver(conn, partner, after, PAGE).map_err(|cause| Error::Store(cause.into()))?;
        let Some(last) = ids.last() else { return Ok(count) };
        after = *last;
        let mut rows = voucher_rows::find(conn, &ids).map_err(Error::from)?;
        rows.sort_unstable_by_key(|row| row.id);
        let uses = voucher_uses::of(conn, &ids).map_err(Error::from)?;
        for row in &rows {
            let of_it: Vec<UseRow> = uses.iter().filter(|one| one.voucher == row.id).cloned().collect();
            write(&VoucherAnswer::new(row, &own, None).with_uses(&of_it, &own))?;
            count += 1;
        }
    }
}

/// Why an export ends early.
#[derive(Debug, thiserror::Error)]
pub enum PartnerError {
    #[error(transparent)]
    Read(#[from] Error),
    #[error("it cannot be written")]
    Write(#[from] std::io::Error),
}

fn of_membership(conn: &mut PgConnection, membership: Membership) -> Result<Export, Error> {
    let id = membership.account;
    let account = read::accounts(conn, vec![id])?.pop().ok_or(Error::Broken("no account"))?;
    let entries = journal(conn, id)?;
    let subjects: BTreeSet<_> = entries.iter().filter_map(|entry| entry.subject).collect();
    let movements = rows::movements(conn, &subjects.iter().copied().map(MovementId).collect::<Vec<_>>())?;
    let found = rows::conversions(conn, &subjects.iter().copied().map(ConversionId).collect::<Vec<_>>())?;
    let mut conversions = Vec::with_capacity(found.len());
    for row in found {
        let reversals = if row.reversed == Default::default() { Vec::new() } else { rows::reversals_of(conn, row.id)? };
        conversions.push((row, reversals));
    }
    let crossings = crossings::find(conn, Wished { open_of: vec![id], ..Wished::default() })?;
    let held = vouchers::of_account(conn, id, None, ROWS_MAX)?;
    let held = voucher_rows::find(conn, &held)?;
    let mut links = Vec::new();
    for link in memberships::links_of(conn, id, 1_000)? {
        links.extend(memberships::link(conn, link)?);
    }
    let consents = consents::of_account(conn, id)?;
    let activities = activities::of_account(conn, id, ROWS_MAX)?;
    let most = usize::try_from(ROWS_MAX).unwrap_or(usize::MAX);
    let truncated = [entries.len(), activities.len(), held.len()].into_iter().any(|rows| rows >= most);
    let whole = Whole { membership, account };
    let vouchers = held;
    Ok(Export { whole, entries, movements, conversions, crossings, vouchers, links, consents, activities, truncated })
}

/// The way of a conversion itself, not of its undo.
fn crossing_of<'a>(crossings: &'a [CrossingRow], row: &ConversionRow) -> Option<&'a CrossingRow> {
    crossings.iter().find(|crossing| crossing.id == row.id.0)
}

/// The newest lines of the journal, in pages: each a short statement.
fn journal(conn: &mut PgConnection, account: AccountId) -> Result<Vec<EntryRow>, Error> {
    let most = usize::try_from(ROWS_MAX).unwrap_or(usize::MAX);
    let mut lines: Vec<EntryRow> = Vec::new();
    while lines.len() < most {
        let page = memberships::entries(conn, account, lines.last().map(EntryRow::place), PAGE)?;
        if page.is_empty() {
            break;
        }
        lines.extend(page);
    }
    lines.truncate(most);
    Ok(lines)
}

impl Export {
    /// The conversions as the brand sees them.
    pub fn conversion_states<'a>(&'a self, currency: &'a str) -> Vec<ConversionState<'a>> {
        let own = &self.whole.membership.partner;
        let state = |(row, reversals): &'a (ConversionRow, Vec<ReversalRow>)| {
            // Both are read through the account's own entries.
            let side = Side::of(own, &row.terms).unwrap_or(Side::From);
            answer::conversion_state(row, crossing_of(&self.crossings, row), reversals, side, currency)
        };
        self.conversions.iter().map(state).collect()
    }

    /// Conversions of which nothing is posted yet.
    pub fn pending_answers<'a>(&'a self, currency: &'a str) -> Vec<PendingAnswer<'a>> {
        let own = &self.whole.membership.partner;
        let is_posted = |id: ConversionId| self.conversions.iter().any(|(row, _)| row.id == id);
        let pending = |row: &&CrossingRow| row.kind == Kind::Conversion && !is_posted(row.conversion);
        let answer = |row| Some(answer::pending_state(row, Side::of(own, &row.terms)?, currency));
        self.crossings.iter().filter(pending).filter_map(answer).collect()
    }

    /// The vouchers as the brand sees them, without the codes that open them.
    pub fn voucher_answers(&self) -> Vec<VoucherAnswer> {
        let own = Holder::Partner(self.whole.membership.partner.clone());
        self.vouchers.iter().map(|row| VoucherAnswer::new(row, &own, None)).collect()
    }

    pub fn movement_answers(&self) -> Vec<MovementAnswer<'_>> {
        self.movements.iter().map(answer::movement).collect()
    }
}
