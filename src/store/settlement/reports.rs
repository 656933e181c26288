//! What finance reports read beside the statements: figures summed in SQL, and the rows a report names one by one.

use super::{money, sum};
use crate::domain::ids::{AdjustmentId, ConversionId, DisputeId, WindowId};
use crate::domain::money::Millionths;
use crate::store::Error;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Date, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

/// Reports read whole tables once and sum them up: until the transaction ends, scans and hashes are right again.
pub fn begin(conn: &mut PgConnection) -> Result<(), Error> {
    let local = "SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL work_mem = '64MB'; \
                 SET LOCAL statement_timeout = '120s'";
    Ok(conn.batch_execute(local)?)
}

#[derive(QueryableByName)]
struct LastSql {
    #[diesel(sql_type = BigInt)]
    last: i64,
}

/// The newest batch of the journal; 0 before the first.
pub fn last_batch(conn: &mut PgConnection) -> Result<i64, Error> {
    let row: LastSql = sql_query("SELECT coalesce(max(batch_no), 0) AS last FROM batches").get_result(conn)?;
    Ok(row.last)
}

/// What was taken back in a window of conversions under one set of terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenBack {
    pub terms: Uuid,
    /// The conversions are of the same window.
    pub of_this_window: bool,
    /// How many times something was taken back.
    pub count: i64,
    pub credit: i128,
    /// One per campaign of the terms.
    pub bonuses: Vec<i128>,
    /// In millionths.
    pub fee: i128,
}

#[derive(QueryableByName)]
struct TakenBackSql {
    #[diesel(sql_type = SqlUuid)]
    terms_id: Uuid,
    #[diesel(sql_type = Bool)]
    same: bool,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Text)]
    credit: String,
    #[diesel(sql_type = Text)]
    fee: String,
    #[diesel(sql_type = Array<Text>)]
    bonuses: Vec<String>,
}

/// What was taken back in a window, by terms: amounts are points × price, so sums of points are enough.
pub fn taken_back(conn: &mut PgConnection, window: WindowId) -> Result<Vec<TakenBack>, Error> {
    let rows: Vec<TakenBackSql> = sql_query(
        "WITH taken AS MATERIALIZED (SELECT c.terms_id, c.window_id = $1 AS same, r.credit, r.fee, r.bonuses \
           FROM reversals r JOIN conversions c USING (conversion_id) WHERE r.window_id = $1 AND r.state = 1), \
         bonuses AS (SELECT terms_id, same, array_agg(points ORDER BY nth) AS bonuses FROM ( \
           SELECT terms_id, same, nth, sum(points)::text AS points FROM taken, unnest(bonuses) WITH ORDINALITY b(points, nth) \
           GROUP BY 1, 2, 3) s GROUP BY 1, 2) \
         SELECT t.terms_id, t.same, count(*) AS count, sum(t.credit)::text AS credit, sum(t.fee)::text AS fee, \
           coalesce(b.bonuses, '{}') AS bonuses \
         FROM taken t LEFT JOIN bonuses b USING (terms_id, same) GROUP BY t.terms_id, t.same, b.bonuses ORDER BY 1, 2",
    )
    .bind::<SqlUuid, _>(window.0)
    .load(conn)?;
    let row = |sql: TakenBackSql| {
        Ok(TakenBack {
            terms: sql.terms_id,
            of_this_window: sql.same,
            count: sql.count,
            credit: sum(&sql.credit)?,
            bonuses: sql.bonuses.iter().map(|points| sum(points)).collect::<Result<_, Error>>()?,
            fee: sum(&sql.fee)?,
        })
    };
    rows.into_iter().map(row).collect()
}

/// An adjustment that was posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    pub id: AdjustmentId,
    /// `from` owes `to` the amount, negative the other way. Participants.
    pub from: String,
    pub to: String,
    pub amount: Millionths,
    pub reason: String,
    pub dispute: Option<DisputeId>,
    pub conversion: Option<ConversionId>,
    pub asked_by: String,
    pub approved_by: String,
    pub day: NaiveDate,
}

#[derive(QueryableByName)]
struct AdjustmentSql {
    #[diesel(sql_type = SqlUuid)]
    adjustment_id: Uuid,
    #[diesel(sql_type = Text)]
    from_party: String,
    #[diesel(sql_type = Text)]
    to_party: String,
    #[diesel(sql_type = BigInt)]
    amount: i64,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    dispute_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    conversion_id: Option<Uuid>,
    #[diesel(sql_type = Text)]
    asked_by: String,
    #[diesel(sql_type = Text)]
    approved_by: String,
    #[diesel(sql_type = Date)]
    day: NaiveDate,
}

/// Adjustments posted in a window, of everybody or of one party to them, in the sequence of their postings.
pub fn adjustments(conn: &mut PgConnection, window: WindowId, party: Option<&str>) -> Result<Vec<Adjustment>, Error> {
    let rows: Vec<AdjustmentSql> = sql_query(
        "SELECT adjustment_id, from_party, to_party, amount, reason, dispute_id, conversion_id, asked_by, approved_by, day \
         FROM adjustments WHERE window_id = $1 AND ($2 IS NULL OR from_party = $2 OR to_party = $2) \
         ORDER BY batch_no, adjustment_id",
    )
    .bind::<SqlUuid, _>(window.0)
    .bind::<Nullable<Text>, _>(party)
    .load(conn)?;
    let row = |sql: AdjustmentSql| Adjustment {
        id: AdjustmentId(sql.adjustment_id),
        from: sql.from_party,
        to: sql.to_party,
        amount: money(sql.amount),
        reason: sql.reason,
        dispute: sql.dispute_id.map(DisputeId),
        conversion: sql.conversion_id.map(ConversionId),
        asked_by: sql.asked_by,
        approved_by: sql.approved_by,
        day: sql.day,
    };
    Ok(rows.into_iter().map(row).collect())
}

/// A payment with the obligation it is for.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Payment {
    /// Number of the window the obligation is of.
    #[diesel(sql_type = BigInt)]
    pub number: i64,
    #[diesel(sql_type = Text)]
    pub debtor: String,
    #[diesel(sql_type = Text)]
    pub creditor: String,
    #[diesel(sql_type = BigInt)]
    pub amount: i64,
    #[diesel(sql_type = Date)]
    pub paid_on: NaiveDate,
    #[diesel(sql_type = Text)]
    pub reference: String,
    #[diesel(sql_type = Text)]
    pub recorded_by: String,
}

/// Payments recorded in a window that one party made or was made, in the sequence of their postings.
pub fn payments(conn: &mut PgConnection, window: WindowId, party: &str) -> Result<Vec<Payment>, Error> {
    let rows = sql_query(
        "SELECT w.number, o.debtor, o.creditor, p.amount, p.paid_on, p.reference, p.recorded_by FROM payments p \
         JOIN obligations o USING (obligation_id) JOIN windows w ON w.window_id = o.window_id \
         WHERE p.window_id = $1 AND (o.debtor = $2 OR o.creditor = $2) ORDER BY p.batch_no, p.payment_id",
    );
    Ok(rows.bind::<SqlUuid, _>(window.0).bind::<Text, _>(party).load(conn)?)
}

/// One exposure; `key` as the book writes it.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Exposure {
    #[diesel(sql_type = Text)]
    pub key: String,
    #[diesel(sql_type = BigInt)]
    pub value: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub cap: Option<i64>,
}

/// Every exposure as it stands.
pub fn exposures(conn: &mut PgConnection) -> Result<Vec<Exposure>, Error> {
    Ok(sql_query("SELECT key, value, cap FROM exposures ORDER BY key").load(conn)?)
}

/// Every exposure as it stood when a window ended; what its stop line was then is not kept.
pub fn exposures_at(conn: &mut PgConnection, window: WindowId) -> Result<Vec<Exposure>, Error> {
    let rows =
        sql_query("SELECT key, value, NULL::bigint AS cap FROM window_exposures WHERE window_id = $1 ORDER BY key");
    Ok(rows.bind::<SqlUuid, _>(window.0).load(conn)?)
}

/// When points end, as the book stores it in lots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The last day on which they can be spent.
    On(NaiveDate),
    Never,
}

/// Outstanding points of one brand and earned tier that end together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outstanding {
    pub partner: String,
    pub tier: String,
    pub end: End,
    pub points: i128,
}

#[derive(QueryableByName)]
struct OutstandingSql {
    #[diesel(sql_type = Text)]
    partner: String,
    #[diesel(sql_type = Text)]
    tier: String,
    #[diesel(sql_type = Nullable<Date>)]
    last: Option<NaiveDate>,
    #[diesel(sql_type = Text)]
    points: String,
}

/// All lots of everybody's or of one brand's accounts, by brand, tier and last day; never comes last.
pub fn outstanding(conn: &mut PgConnection, partner: Option<&str>) -> Result<Vec<Outstanding>, Error> {
    let rows: Vec<OutstandingSql> = sql_query(
        "SELECT partner, tier, CASE WHEN last <> 2147483647 THEN '1970-01-01'::date + last::int END AS last, points FROM ( \
           SELECT a.partner, a.tier, a.lots[i + 1] AS last, sum(a.lots[i])::text AS points \
           FROM accounts a, generate_series(1, cardinality(a.lots), 3) i WHERE $1 IS NULL OR a.partner = $1 GROUP BY 1, 2, 3) s \
         ORDER BY 1, 2, 3 NULLS LAST",
    )
    .bind::<Nullable<Text>, _>(partner)
    .load(conn)?;
    let row = |sql: OutstandingSql| {
        let points = sum(&sql.points)?;
        Ok(Outstanding { partner: sql.partner, tier: sql.tier, end: sql.last.map_or(End::Never, End::On), points })
    };
    rows.into_iter().map(row).collect()
}

/// Sums of the accounts of one brand and earned tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balances {
    pub partner: String,
    pub tier: String,
    pub accounts: i64,
    pub balance: i128,
    /// Part of the balance that no lot has.
    pub held: i128,
    /// What members owe, in points; no part of the balance.
    pub owed: i128,
}

#[derive(QueryableByName)]
struct BalancesSql {
    #[diesel(sql_type = Text)]
    partner: String,
    #[diesel(sql_type = Text)]
    tier: String,
    #[diesel(sql_type = BigInt)]
    accounts: i64,
    #[diesel(sql_type = Text)]
    balance: String,
    #[diesel(sql_type = Text)]
    held: String,
    #[diesel(sql_type = Text)]
    owed: String,
}

pub fn balances(conn: &mut PgConnection, partner: Option<&str>) -> Result<Vec<Balances>, Error> {
    let rows = sql_query(
        "SELECT partner, tier, count(*) AS accounts, sum(balance)::text AS balance, sum(held)::text AS held, \
         sum(owed)::text AS owed FROM accounts WHERE $1 IS NULL OR partner = $1 GROUP BY 1, 2 ORDER BY 1, 2",
    );
    let rows: Vec<BalancesSql> = rows.bind::<Nullable<Text>, _>(partner).load(conn)?;
    let row = |sql: BalancesSql| {
        let (balance, held, owed) = (sum(&sql.balance)?, sum(&sql.held)?, sum(&sql.owed)?);
        Ok(Balances { partner: sql.partner, tier: sql.tier, accounts: sql.accounts, balance, held, owed })
    };
    rows.into_iter().map(row).collect()
}

/// Entries of one brand, month and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    pub partner: String,
    /// Its first day.
    pub month: NaiveDate,
    pub kind: i16,
    pub entries: i64,
    pub points: i128,
}

#[derive(QueryableByName)]
struct MovedSql {
    #[diesel(sql_type = Text)]
    partner: String,
    #[diesel(sql_type = Date)]
    month: NaiveDate,
    #[diesel(sql_type = SmallInt)]
    kind: i16,
    #[diesel(sql_type = BigInt)]
    entries: i64,
    #[diesel(sql_type = Text)]
    points: String,
}

/// The journal, summed by brand, month and kind.
pub fn moved(conn: &mut PgConnection, partner: Option<&str>) -> Result<Vec<Moved>, Error> {
    // By day first: there are few of them, and a month is worked out once for each. Not through the view: of a line of the
    // journal three members are wanted.
    let rows = sql_query(
        "SELECT partner, date_trunc('month', day::timestamp)::date AS month, kind, sum(entries)::bigint AS entries, \
         sum(points)::text AS points FROM (SELECT a.partner, b.day, e.kind, count(*) AS entries, sum(e.delta) AS points \
           FROM batches b CROSS JOIN LATERAL unnest(b.entry_accounts, b.entry_kinds, b.entry_deltas) e(account_id, kind, delta) \
           JOIN accounts a USING (account_id) WHERE $1 IS NULL OR a.partner = $1 GROUP BY 1, 2, 3) s \
         GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    );
    let rows: Vec<MovedSql> = rows.bind::<Nullable<Text>, _>(partner).load(conn)?;
    let row = |sql: MovedSql| {
        let points = sum(&sql.points)?;
        Ok(Moved { partner: sql.partner, month: sql.month, kind: sql.kind, entries: sql.entries, points })
    };
    rows.into_iter().map(row).collect()
}

/// A dispute that is neither decided nor withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Dispute {
    #[diesel(sql_type = SqlUuid)]
    pub dispute_id: Uuid,
    /// Of the window.
    #[diesel(sql_type = BigInt)]
    pub number: i64,
    #[diesel(sql_type = Text)]
    pub opener: String,
    /// `None` while nobody is named.
    #[diesel(sql_type = Nullable<Text>)]
    pub counterparty: Option<String>,
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = Timestamptz)]
    pub opened_at: DateTime<Utc>,
    #[diesel(sql_type = Date)]
    pub answer_by: NaiveDate,
    /// What the opener wants added to what it is owed; `None` when it has named no money.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub claim: Option<i64>,
}

/// Open disputes of everybody or of one party to them, oldest first.
pub fn disputes(conn: &mut PgConnection, party: Option<&str>) -> Result<Vec<Dispute>, Error> {
    let rows = sql_query(
        "SELECT d.dispute_id, w.number, d.opener, d.counterparty, d.kind, d.state, d.opened_at, d.answer_by, d.claim \
         FROM disputes d JOIN windows w USING (window_id) WHERE d.state IN ('open', 'answered') \
         AND ($1 IS NULL OR d.opener = $1 OR d.counterparty = $1) ORDER BY d.answer_by, w.number, d.dispute_id",
    );
    Ok(rows.bind::<Nullable<Text>, _>(party).load(conn)?)
}
