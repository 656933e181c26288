//! Exports: everything kept about a person at one brand, as one JSON document.

use super::answer::{self, ConversionState, MovementAnswer, Side};
use super::exchange::{Error, Exchange};
use super::memberships::{Whole, find};
use crate::book::command::{ConversionRow, MovementRow, ReversalRow};
use crate::book::store::{read, rows};
use crate::domain::holder::Holder;
use crate::domain::ids::{AccountId, ConversionId, MovementId};
use crate::domain::text::Text;
use crate::store::activities::Activity;
use crate::store::consents::Consent;
use crate::store::memberships::{EntryRow, LinkRow};
use crate::store::{activities, consents, memberships};
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
            let id = membership.account;
            let account = read::accounts(conn, vec![id])?.pop().ok_or(Error::Broken("no account"))?;
            let entries = journal(conn, id)?;
            let subjects: BTreeSet<_> = entries.iter().filter_map(|entry| entry.subject).collect();
            let movements = rows::movements(conn, &subjects.iter().copied().map(MovementId).collect::<Vec<_>>())?;
            let found = rows::conversions(conn, &subjects.iter().copied().map(ConversionId).collect::<Vec<_>>())?;
            let mut conversions = Vec::with_capacity(found.len());
            for row in found {
                let reversals =
                    if row.reversed == Default::default() { Vec::new() } else { rows::reversals_of(conn, row.id)? };
                conversions.push((row, reversals));
            }
            let mut links = Vec::new();
            for link in memberships::links_of(conn, id, 1_000)? {
                links.extend(memberships::link(conn, link)?);
            }
            let consents = consents::of_account(conn, id)?;
            let activities = activities::of_account(conn, id, ROWS_MAX)?;
            let most = usize::try_from(ROWS_MAX).unwrap_or(usize::MAX);
            let truncated = [entries.len(), activities.len()].into_iter().any(|rows| rows >= most);
            let whole = Whole { membership, account };
            Ok(Export { whole, entries, movements, conversions, links, consents, activities, truncated })
        })
        .await
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
            answer::conversion_state(row, None, reversals, side, currency)
        };
        self.conversions.iter().map(state).collect()
    }

    pub fn movement_answers(&self) -> Vec<MovementAnswer<'_>> {
        self.movements.iter().map(answer::movement).collect()
    }
}
