//! Proposals and their approvals.

use super::Error;
use super::catalogue::{slug, unreadable};
use crate::domain::catalogue::Party;
use crate::domain::ids::{ProposalId, Slug};
use crate::domain::proposal::{State, Subject};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

/// A proposal as it is stored.
#[derive(Clone, Debug)]
pub struct Proposal {
    pub id: ProposalId,
    pub subject: Subject,
    /// Canonical JSON: the bytes that approvals sign.
    pub change: String,
    pub state: State,
    /// Business time.
    pub proposed_at: DateTime<Utc>,
    pub notice_days: u32,
    pub published_at: Option<DateTime<Utc>>,
    pub published_version: Option<i64>,
    pub override_reason: Option<String>,
    pub approvals: Vec<Approval>,
}

#[derive(Clone, Debug)]
pub struct Approval {
    pub kid: String,
    pub side: Party,
    pub jws: String,
    pub approved_at: DateTime<Utc>,
}

/// How a publication is remembered.
#[derive(Clone, Debug)]
pub struct Publication<'a> {
    pub at: DateTime<Utc>,
    pub version: i64,
    /// The operator's mandate, when it stood for approvals.
    pub mandate: Option<&'a str>,
    pub override_reason: Option<&'a str>,
}

pub fn insert(conn: &mut PgConnection, proposal: &Proposal) -> Result<(), Error> {
    let (from, to) = sides(&proposal.subject);
    sql_query(
        "INSERT INTO proposals (proposal_id, kind, from_partner, to_partner, change, state, proposed_at, notice_days) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind::<SqlUuid, _>(proposal.id.0)
    .bind::<Text, _>(proposal.subject.kind())
    .bind::<Nullable<Text>, _>(from.map(Slug::as_str))
    .bind::<Nullable<Text>, _>(to.map(Slug::as_str))
    .bind::<Text, _>(&proposal.change)
    .bind::<Text, _>(proposal.state.text())
    .bind::<Timestamptz, _>(proposal.proposed_at)
    .bind::<Integer, _>(proposal.notice_days.cast_signed())
    .execute(conn)?;
    Ok(())
}

pub fn find(conn: &mut PgConnection, id: ProposalId) -> Result<Option<Proposal>, Error> {
    let row = sql_query("SELECT * FROM proposals WHERE proposal_id = $1").bind::<SqlUuid, _>(id.0);
    let rows: Vec<Row> = row.load(conn)?;
    Ok(with_approvals(conn, rows)?.pop())
}

/// All that wait for approval or publication, in the order of their subjects.
pub fn open(conn: &mut PgConnection) -> Result<Vec<Proposal>, Error> {
    let rows = sql_query(
        "SELECT * FROM proposals WHERE state IN ('proposed', 'approved') \
         ORDER BY kind, from_partner, to_partner",
    )
    .load(conn)?;
    with_approvals(conn, rows)
}

/// Newest first, those before `before` only; `viewer` sees those it is a side of, and all when `None`.
pub fn list(
    conn: &mut PgConnection,
    viewer: Option<&Slug>,
    before: Option<ProposalId>,
    limit: i64,
) -> Result<Vec<Proposal>, Error> {
    let rows = sql_query(
        "SELECT * FROM proposals WHERE ($1 IS NULL OR from_partner = $1 OR to_partner = $1) \
         AND ($2 IS NULL OR proposal_id < $2) ORDER BY proposal_id DESC LIMIT $3",
    )
    .bind::<Nullable<Text>, _>(viewer.map(Slug::as_str))
    .bind::<Nullable<SqlUuid>, _>(before.map(|id| id.0))
    .bind::<BigInt, _>(limit)
    .load(conn)?;
    with_approvals(conn, rows)
}

/// One step of the state; false when the proposal no longer is in state `from`.
pub fn step(conn: &mut PgConnection, id: ProposalId, from: State, to: State) -> Result<bool, Error> {
    let changed = sql_query("UPDATE proposals SET state = $1 WHERE proposal_id = $2 AND state = $3")
        .bind::<Text, _>(to.text())
        .bind::<SqlUuid, _>(id.0)
        .bind::<Text, _>(from.text())
        .execute(conn)?;
    Ok(changed == 1)
}

/// Marks open proposals as published; how many were.
pub fn publish(conn: &mut PgConnection, ids: &[ProposalId], how: &Publication<'_>) -> Result<usize, Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let changed = sql_query(
        "UPDATE proposals SET state = 'published', published_at = $1, published_version = $2, mandate = $3, \
         override_reason = $4 WHERE proposal_id = ANY ($5) AND state IN ('proposed', 'approved')",
    )
    .bind::<Timestamptz, _>(how.at)
    .bind::<BigInt, _>(how.version)
    .bind::<Nullable<Text>, _>(how.mandate)
    .bind::<Nullable<Text>, _>(how.override_reason)
    .bind::<Array<SqlUuid>, _>(ids)
    .execute(conn)?;
    Ok(changed)
}

/// Keeps an approval; false when this key has already approved.
pub fn approve(conn: &mut PgConnection, id: ProposalId, approval: &Approval) -> Result<bool, Error> {
    let added = sql_query(
        "INSERT INTO approvals (proposal_id, kid, side, jws, approved_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (proposal_id, kid) DO NOTHING",
    )
    .bind::<SqlUuid, _>(id.0)
    .bind::<Text, _>(&approval.kid)
    .bind::<Text, _>(approval.side.code())
    .bind::<Text, _>(&approval.jws)
    .bind::<Timestamptz, _>(approval.approved_at)
    .execute(conn)?;
    Ok(added == 1)
}

fn sides(subject: &Subject) -> (Option<&Slug>, Option<&Slug>) {
    match subject {
        Subject::Alliance => (None, None),
        Subject::Partner(slug) => (Some(slug), None),
        Subject::Pair(from, to) => (Some(from), Some(to)),
    }
}

fn with_approvals(conn: &mut PgConnection, rows: Vec<Row>) -> Result<Vec<Proposal>, Error> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.proposal_id).collect();
    let approvals: Vec<ApprovalRow> =
        sql_query("SELECT * FROM approvals WHERE proposal_id = ANY ($1) ORDER BY approved_at, kid")
            .bind::<Array<SqlUuid>, _>(ids)
            .load(conn)?;
    let mut proposals: Vec<Proposal> = rows.into_iter().map(Row::checked).collect::<Result<_, _>>()?;
    let mut place: std::collections::HashMap<Uuid, &mut Proposal> =
        proposals.iter_mut().map(|proposal| (proposal.id.0, proposal)).collect();
    for row in approvals {
        let Some(proposal) = place.get_mut(&row.proposal_id) else { continue };
        let side = Party::parse(&row.side).ok_or_else(|| unreadable(format!("`{}` is no side", row.side)))?;
        let (kid, jws, approved_at) = (row.kid, row.jws, row.approved_at);
        proposal.approvals.push(Approval { kid, side, jws, approved_at });
    }
    Ok(proposals)
}

impl Row {
    fn checked(self) -> Result<Proposal, Error> {
        let subject = match (self.from_partner.as_deref(), self.to_partner.as_deref()) {
            (None, _) => Subject::Alliance,
            (Some(own), None) => Subject::Partner(slug(own)?),
            (Some(from), Some(to)) => Subject::Pair(slug(from)?, slug(to)?),
        };
        Ok(Proposal {
            id: ProposalId(self.proposal_id),
            subject,
            change: self.change,
            state: State::parse(&self.state).ok_or_else(|| unreadable(format!("`{}` is no state", self.state)))?,
            proposed_at: self.proposed_at,
            notice_days: self.notice_days.cast_unsigned(),
            published_at: self.published_at,
            published_version: self.published_version,
            override_reason: self.override_reason,
            approvals: Vec::new(),
        })
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    proposal_id: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    from_partner: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    to_partner: Option<String>,
    #[diesel(sql_type = Text)]
    change: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Timestamptz)]
    proposed_at: DateTime<Utc>,
    #[diesel(sql_type = Integer)]
    notice_days: i32,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    published_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    published_version: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    override_reason: Option<String>,
}

#[derive(QueryableByName)]
struct ApprovalRow {
    #[diesel(sql_type = SqlUuid)]
    proposal_id: Uuid,
    #[diesel(sql_type = Text)]
    kid: String,
    #[diesel(sql_type = Text)]
    side: String,
    #[diesel(sql_type = Text)]
    jws: String,
    #[diesel(sql_type = Timestamptz)]
    approved_at: DateTime<Utc>,
}
