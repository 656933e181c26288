//! Disputes, what the counterparty answered, and what operators proposed and decided. Of a dispute only its state changes.

use super::{money, participant, unreadable};
use crate::domain::ids::{AccountId, AdjustmentId, ConversionId, DisputeId, LineId, ReconciliationId, WindowId};
use crate::domain::money::Millionths;
use crate::domain::settlement::Participant;
use crate::domain::settlement::dispute::{Answer, Kind, Outcome, Parties, State};
use crate::store::Error;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Date, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: DisputeId,
    pub window: WindowId,
    /// Of the window.
    pub number: i64,
    pub parties: Parties,
    pub kind: Kind,
    /// `None` for what is missing.
    pub line: Option<LineId>,
    pub conversion: Option<ConversionId>,
    /// The opener's own: nobody else is shown it.
    pub reference: Option<String>,
    pub stated_points: Option<i64>,
    pub stated_amount: Option<Millionths>,
    pub claimed_points: Option<i64>,
    pub claimed_amount: Option<Millionths>,
    pub claim: Option<Millionths>,
    pub note: String,
    pub reconciliation: Option<ReconciliationId>,
    pub opened_at: DateTime<Utc>,
    pub answer_by: NaiveDate,
    pub state: State,
    pub state_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct DisputeSql {
    #[diesel(sql_type = SqlUuid)]
    dispute_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    window_id: Uuid,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Text)]
    opener: String,
    #[diesel(sql_type = Nullable<Text>)]
    counterparty: Option<String>,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    line_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    conversion_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    reference: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    origin: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    stated_points: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    stated_amount: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    claimed_points: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    claimed_amount: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    claim: Option<i64>,
    #[diesel(sql_type = Text)]
    note: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    reconciliation_id: Option<Uuid>,
    #[diesel(sql_type = Timestamptz)]
    opened_at: DateTime<Utc>,
    #[diesel(sql_type = Date)]
    answer_by: NaiveDate,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Timestamptz)]
    state_at: DateTime<Utc>,
}

impl DisputeSql {
    fn checked(self) -> Result<Row, Error> {
        Ok(Row {
            id: DisputeId(self.dispute_id),
            window: WindowId(self.window_id),
            number: self.number,
            parties: Parties {
                opener: participant(&self.opener)?,
                counterparty: self.counterparty.as_deref().map(participant).transpose()?,
                origin: self.origin.as_deref().map(participant).transpose()?,
            },
            kind: Kind::parse(&self.kind).ok_or_else(|| unreadable(format!("dispute kind `{}`", self.kind)))?,
            line: self.line_id.map(LineId),
            conversion: self.conversion_id.map(ConversionId),
            reference: self.reference,
            stated_points: self.stated_points,
            stated_amount: self.stated_amount.map(money),
            claimed_points: self.claimed_points,
            claimed_amount: self.claimed_amount.map(money),
            claim: self.claim.map(money),
            note: self.note,
            reconciliation: self.reconciliation_id.map(ReconciliationId),
            opened_at: self.opened_at,
            answer_by: self.answer_by,
            state: State::parse(&self.state).ok_or_else(|| unreadable(format!("dispute state `{}`", self.state)))?,
            state_at: self.state_at,
        })
    }
}

/// Keeps a new dispute. `false`: the same line for the same reason, or the same missing reference, is disputed already.
pub fn insert(conn: &mut PgConnection, row: &Row) -> Result<bool, Error> {
    let inserted = sql_query(
        "INSERT INTO disputes (dispute_id, window_id, opener, counterparty, kind, line_id, conversion_id, reference, origin, \
         stated_points, stated_amount, claimed_points, claimed_amount, claim, note, reconciliation_id, opened_at, answer_by, \
         state, state_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) \
         ON CONFLICT DO NOTHING",
    )
    .bind::<SqlUuid, _>(row.id.0)
    .bind::<SqlUuid, _>(row.window.0)
    .bind::<Text, _>(row.parties.opener.as_str())
    .bind::<Nullable<Text>, _>(row.parties.counterparty.as_ref().map(Participant::as_str))
    .bind::<Text, _>(row.kind.code())
    .bind::<Nullable<SqlUuid>, _>(row.line.map(|id| id.0))
    .bind::<Nullable<SqlUuid>, _>(row.conversion.map(|id| id.0))
    .bind::<Nullable<Text>, _>(&row.reference)
    .bind::<Nullable<Text>, _>(row.parties.origin.as_ref().map(Participant::as_str))
    .bind::<Nullable<BigInt>, _>(row.stated_points)
    .bind::<Nullable<BigInt>, _>(row.stated_amount.map(Millionths::get))
    .bind::<Nullable<BigInt>, _>(row.claimed_points)
    .bind::<Nullable<BigInt>, _>(row.claimed_amount.map(Millionths::get))
    .bind::<Nullable<BigInt>, _>(row.claim.map(Millionths::get))
    .bind::<Text, _>(&row.note)
    .bind::<Nullable<SqlUuid>, _>(row.reconciliation.map(|id| id.0))
    .bind::<Timestamptz, _>(row.opened_at)
    .bind::<Date, _>(row.answer_by)
    .bind::<Text, _>(row.state.code())
    .bind::<Timestamptz, _>(row.state_at)
    .execute(conn)?;
    Ok(inserted == 1)
}

const WITH_NUMBER: &str = "SELECT d.*, w.number FROM disputes d JOIN windows w USING (window_id)";

/// The dispute of a line for a reason.
pub fn of_line(conn: &mut PgConnection, line: LineId, kind: Kind) -> Result<Option<Row>, Error> {
    let row = sql_query(format!("{WITH_NUMBER} WHERE d.line_id = $1 AND d.kind = $2"))
        .bind::<SqlUuid, _>(line.0)
        .bind::<Text, _>(kind.code())
        .get_result::<DisputeSql>(conn);
    row.optional()?.map(DisputeSql::checked).transpose()
}

/// Disputes that were upheld.
const UPHELD: &str = "EXISTS (SELECT FROM dispute_decisions p WHERE p.dispute_id = d.dispute_id \
    AND p.settled = 'decided' AND p.outcome = 'upheld')";

/// Until the transaction ends, nobody else decides about what is named so. A statement of its own before the look at what
/// was decided, so that this one sees what the one before it did.
pub fn hold(conn: &mut PgConnection, what: &str) -> Result<(), Error> {
    sql_query("SELECT pg_advisory_xact_lock(hashtextextended('disputed ' || $1, 0))")
        .bind::<Text, _>(what)
        .execute(conn)?;
    Ok(())
}

/// Another dispute, of a line whose id is in this range, its ends included, between the same two, that was upheld.
pub fn upheld_line(
    conn: &mut PgConnection,
    (low, high): (Uuid, Uuid),
    (dispute, parties): (DisputeId, &Parties),
) -> Result<Option<DisputeId>, Error> {
    let found = sql_query(format!(
        "{WITH_NUMBER} WHERE d.line_id BETWEEN $1 AND $2 AND d.dispute_id <> $3 \
         AND (d.opener, d.counterparty) IN (($4, $5), ($5, $4)) AND {UPHELD} ORDER BY d.dispute_id LIMIT 1"
    ))
    .bind::<SqlUuid, _>(low)
    .bind::<SqlUuid, _>(high)
    .bind::<SqlUuid, _>(dispute.0)
    .bind::<Text, _>(parties.opener.as_str())
    .bind::<Nullable<Text>, _>(parties.counterparty.as_ref().map(Participant::as_str))
    .get_result::<DisputeSql>(conn);
    Ok(found.optional()?.map(|row| DisputeId(row.dispute_id)))
}

/// Other disputes of something missing that were upheld: all of the opener's, and the counterparty's against it.
pub fn upheld_missing(conn: &mut PgConnection, (dispute, parties): (DisputeId, &Parties)) -> Result<Vec<Row>, Error> {
    let rows: Vec<DisputeSql> = sql_query(format!(
        "{WITH_NUMBER} WHERE d.line_id IS NULL AND d.dispute_id <> $1 \
         AND (d.opener = $2 OR (d.opener = $3 AND d.counterparty = $2)) AND {UPHELD} ORDER BY d.dispute_id"
    ))
    .bind::<SqlUuid, _>(dispute.0)
    .bind::<Text, _>(parties.opener.as_str())
    .bind::<Nullable<Text>, _>(parties.counterparty.as_ref().map(Participant::as_str))
    .load(conn)?;
    rows.into_iter().map(DisputeSql::checked).collect()
}

/// The dispute of what `opener` says is missing in a window.
pub fn of_missing(
    conn: &mut PgConnection,
    opener: &Participant,
    window: WindowId,
    reference: &str,
) -> Result<Option<Row>, Error> {
    let sql =
        format!("{WITH_NUMBER} WHERE d.opener = $1 AND d.window_id = $2 AND d.reference = $3 AND d.line_id IS NULL");
    let row = sql_query(sql)
        .bind::<Text, _>(opener.as_str())
        .bind::<SqlUuid, _>(window.0)
        .bind::<Text, _>(reference)
        .get_result::<DisputeSql>(conn);
    row.optional()?.map(DisputeSql::checked).transpose()
}

pub fn find(conn: &mut PgConnection, id: DisputeId) -> Result<Option<Row>, Error> {
    let row = sql_query(format!("{WITH_NUMBER} WHERE d.dispute_id = $1"))
        .bind::<SqlUuid, _>(id.0)
        .get_result::<DisputeSql>(conn);
    row.optional()?.map(DisputeSql::checked).transpose()
}

/// One dispute, held until the transaction ends.
pub fn lock(conn: &mut PgConnection, id: DisputeId) -> Result<Option<Row>, Error> {
    let row = sql_query(format!("{WITH_NUMBER} WHERE d.dispute_id = $1 FOR UPDATE OF d"))
        .bind::<SqlUuid, _>(id.0)
        .get_result::<DisputeSql>(conn);
    row.optional()?.map(DisputeSql::checked).transpose()
}

/// Which disputes are listed.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Opened by it or against it; `None`: everybody's.
    pub party: Option<Participant>,
    pub state: Option<State>,
    /// Those older than this one.
    pub before: Option<DisputeId>,
}

/// Disputes, newest first, at most `limit`.
pub fn list(conn: &mut PgConnection, filter: &Filter, limit: i64) -> Result<Vec<Row>, Error> {
    let sql = format!(
        "{WITH_NUMBER} WHERE ($1 IS NULL OR d.opener = $1 OR d.counterparty = $1) AND ($2 IS NULL OR d.state = $2) \
         AND ($3 IS NULL OR d.dispute_id < $3) ORDER BY d.dispute_id DESC LIMIT $4"
    );
    let rows: Vec<DisputeSql> = sql_query(sql)
        .bind::<Nullable<Text>, _>(filter.party.as_ref().map(Participant::as_str))
        .bind::<Nullable<Text>, _>(filter.state.map(State::code))
        .bind::<Nullable<SqlUuid>, _>(filter.before.map(|id| id.0))
        .bind::<BigInt, _>(limit)
        .load(conn)?;
    rows.into_iter().map(DisputeSql::checked).collect()
}

/// Names who gives what a dispute awards, where nobody was named, and decides it.
pub fn decide(
    conn: &mut PgConnection,
    row: &Row,
    counterparty: Option<&Participant>,
    at: DateTime<Utc>,
) -> Result<(), Error> {
    sql_query(
        "UPDATE disputes SET state = 'decided', state_at = $4, counterparty = coalesce(counterparty, $3) \
         WHERE dispute_id = $1 AND state = $2",
    )
    .bind::<SqlUuid, _>(row.id.0)
    .bind::<Text, _>(row.state.code())
    .bind::<Nullable<Text>, _>(counterparty.map(Participant::as_str))
    .bind::<Timestamptz, _>(at)
    .execute(conn)?;
    Ok(())
}

/// Moves a dispute that was locked and read in state `row.state`.
pub fn step(conn: &mut PgConnection, row: &Row, to: State, at: DateTime<Utc>) -> Result<(), Error> {
    sql_query("UPDATE disputes SET state = $3, state_at = $4 WHERE dispute_id = $1 AND state = $2")
        .bind::<SqlUuid, _>(row.id.0)
        .bind::<Text, _>(row.state.code())
        .bind::<Text, _>(to.code())
        .bind::<Timestamptz, _>(at)
        .execute(conn)?;
    Ok(())
}

#[derive(QueryableByName)]
struct Any {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    any: bool,
}

/// Whether a participant has disputes of a window that are not over.
pub fn is_any_pending(conn: &mut PgConnection, window: WindowId, opener: &Participant) -> Result<bool, Error> {
    let row: Any = sql_query(
        "SELECT EXISTS (SELECT FROM disputes WHERE window_id = $1 AND opener = $2 AND state IN ('open', 'answered')) AS any",
    )
    .bind::<SqlUuid, _>(window.0)
    .bind::<Text, _>(opener.as_str())
    .get_result(conn)?;
    Ok(row.any)
}

/// Whether a dispute that is not over is about a conversion from or to this account, a use of one of its vouchers, or what was
/// decided of such a use.
pub fn is_any_about(conn: &mut PgConnection, account: AccountId) -> Result<bool, Error> {
    // No column names the use: a line's id is the one of what was posted, but for the twelve bits of its place.
    let row: Any = sql_query(
        "WITH RECURSIVE about AS (\
         SELECT conversion_id, line_id FROM disputes WHERE state IN ('open', 'answered') UNION \
         SELECT d.conversion_id, d.line_id FROM about b JOIN adjustments a ON a.adjustment_id BETWEEN \
         (left(b.line_id::text, 33) || '000')::uuid AND (left(b.line_id::text, 33) || 'fff')::uuid \
         JOIN disputes d USING (dispute_id)) \
         SELECT EXISTS (SELECT FROM about b JOIN conversions c USING (conversion_id) \
         WHERE $1 IN (c.from_account, c.to_account)) OR EXISTS (SELECT FROM about b JOIN voucher_uses u ON u.use_id BETWEEN \
         (left(b.line_id::text, 33) || '000')::uuid AND (left(b.line_id::text, 33) || 'fff')::uuid \
         WHERE u.account_id = $1) AS any",
    )
    .bind::<SqlUuid, _>(account.0)
    .get_result(conn)?;
    Ok(row.any)
}

/// What the counterparty said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    pub dispute: DisputeId,
    pub answer: Answer,
    pub note: String,
    /// A partner, or an operator's name.
    pub by: String,
    pub at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct AnsweredSql {
    #[diesel(sql_type = SqlUuid)]
    dispute_id: Uuid,
    #[diesel(sql_type = Text)]
    answer: String,
    #[diesel(sql_type = Text)]
    note: String,
    #[diesel(sql_type = Text)]
    answered_by: String,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
}

pub fn insert_answer(conn: &mut PgConnection, row: &Answered) -> Result<(), Error> {
    sql_query("INSERT INTO dispute_answers (dispute_id, answer, note, answered_by, at) VALUES ($1, $2, $3, $4, $5)")
        .bind::<SqlUuid, _>(row.dispute.0)
        .bind::<Text, _>(row.answer.code())
        .bind::<Text, _>(&row.note)
        .bind::<Text, _>(&row.by)
        .bind::<Timestamptz, _>(row.at)
        .execute(conn)?;
    Ok(())
}

/// The answers to these disputes.
pub fn answers(conn: &mut PgConnection, of: &[DisputeId]) -> Result<Vec<Answered>, Error> {
    let ids: Vec<Uuid> = of.iter().map(|id| id.0).collect();
    let rows: Vec<AnsweredSql> = sql_query("SELECT * FROM dispute_answers WHERE dispute_id = any($1)")
        .bind::<Array<SqlUuid>, _>(ids)
        .load(conn)?;
    let row = |sql: AnsweredSql| {
        Ok(Answered {
            dispute: DisputeId(sql.dispute_id),
            answer: Answer::parse(&sql.answer).ok_or_else(|| unreadable(format!("answer `{}`", sql.answer)))?,
            note: sql.note,
            by: sql.answered_by,
            at: sql.at,
        })
    };
    rows.into_iter().map(row).collect()
}

/// What one operator proposed to decide, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    pub dispute: DisputeId,
    pub place: i16,
    pub outcome: Outcome,
    /// What the opener is given; `None` when it is rejected.
    pub award: Option<Millionths>,
    /// Who gives it, where the dispute names nobody.
    pub counterparty: Option<Participant>,
    pub reason: String,
    pub by: String,
    pub at: DateTime<Utc>,
    pub settled: Option<Settled>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Otherwise it was taken back.
    pub decided: bool,
    pub by: String,
    pub at: DateTime<Utc>,
    pub adjustment: Option<AdjustmentId>,
}

#[derive(QueryableByName)]
struct ProposedSql {
    #[diesel(sql_type = SqlUuid)]
    dispute_id: Uuid,
    #[diesel(sql_type = SmallInt)]
    place: i16,
    #[diesel(sql_type = Text)]
    outcome: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    award: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    counterparty: Option<String>,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = Text)]
    proposed_by: String,
    #[diesel(sql_type = Timestamptz)]
    proposed_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    settled: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    settled_by: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    settled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    adjustment_id: Option<Uuid>,
}

impl ProposedSql {
    fn checked(self) -> Result<Proposed, Error> {
        let adjustment = self.adjustment_id.map(AdjustmentId);
        let settled = |how: String| {
            Some(Settled { decided: how == "decided", by: self.settled_by?, at: self.settled_at?, adjustment })
        };
        Ok(Proposed {
            dispute: DisputeId(self.dispute_id),
            place: self.place,
            outcome: Outcome::parse(&self.outcome).ok_or_else(|| unreadable(format!("outcome `{}`", self.outcome)))?,
            award: self.award.map(money),
            counterparty: self.counterparty.as_deref().map(participant).transpose()?,
            reason: self.reason,
            by: self.proposed_by,
            at: self.proposed_at,
            settled: self.settled.and_then(settled),
        })
    }
}

pub fn propose(conn: &mut PgConnection, row: &Proposed) -> Result<(), Error> {
    sql_query(
        "INSERT INTO dispute_decisions (dispute_id, place, outcome, award, counterparty, reason, proposed_by, proposed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind::<SqlUuid, _>(row.dispute.0)
    .bind::<SmallInt, _>(row.place)
    .bind::<Text, _>(row.outcome.code())
    .bind::<Nullable<BigInt>, _>(row.award.map(Millionths::get))
    .bind::<Nullable<Text>, _>(row.counterparty.as_ref().map(Participant::as_str))
    .bind::<Text, _>(&row.reason)
    .bind::<Text, _>(&row.by)
    .bind::<Timestamptz, _>(row.at)
    .execute(conn)?;
    Ok(())
}

/// Decides by a proposal, or takes it back.
pub fn settle(conn: &mut PgConnection, proposed: &Proposed, settled: &Settled) -> Result<(), Error> {
    sql_query(
        "UPDATE dispute_decisions SET settled = $3, settled_by = $4, settled_at = $5, adjustment_id = $6 \
         WHERE dispute_id = $1 AND place = $2 AND settled IS NULL",
    )
    .bind::<SqlUuid, _>(proposed.dispute.0)
    .bind::<SmallInt, _>(proposed.place)
    .bind::<Text, _>(if settled.decided { "decided" } else { "taken_back" })
    .bind::<Text, _>(&settled.by)
    .bind::<Timestamptz, _>(settled.at)
    .bind::<Nullable<SqlUuid>, _>(settled.adjustment.map(|id| id.0))
    .execute(conn)?;
    Ok(())
}

/// Everything proposed for these disputes, in sequence.
pub fn proposals(conn: &mut PgConnection, of: &[DisputeId]) -> Result<Vec<Proposed>, Error> {
    let ids: Vec<Uuid> = of.iter().map(|id| id.0).collect();
    let rows: Vec<ProposedSql> =
        sql_query("SELECT * FROM dispute_decisions WHERE dispute_id = any($1) ORDER BY dispute_id, place")
            .bind::<Array<SqlUuid>, _>(ids)
            .load(conn)?;
    rows.into_iter().map(ProposedSql::checked).collect()
}
