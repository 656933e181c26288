//! What was counted of the alliance, read by day, pair, benefit and month; and where figures are to stay.
//!
//! `partner` limits everything to what is that partner's: its own days, pairs it is a side of, benefits it gives or its
//! members use.

use super::Error;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Date, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

/// Lines of the journal of one brand, day and kind.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct DayRow {
    #[diesel(sql_type = Date)]
    pub day: NaiveDate,
    #[diesel(sql_type = Text)]
    pub partner: String,
    #[diesel(sql_type = SmallInt)]
    pub kind: i16,
    #[diesel(sql_type = BigInt)]
    pub points: i64,
}

/// From the first day to the last, both included.
pub fn days(
    conn: &mut PgConnection,
    partner: Option<&str>,
    (first, last): (NaiveDate, NaiveDate),
) -> Result<Vec<DayRow>, Error> {
    let rows = sql_query(
        "SELECT day, partner, kind, points FROM figure_days WHERE day BETWEEN $2 AND $3 AND ($1 IS NULL OR partner = $1) \
         ORDER BY day, partner, kind",
    );
    let rows = rows.bind::<Nullable<Text>, _>(partner).bind::<Date, _>(first).bind::<Date, _>(last);
    Ok(rows.load(conn)?)
}

#[derive(QueryableByName)]
struct OpeningSql {
    #[diesel(sql_type = Text)]
    partner: String,
    #[diesel(sql_type = BigInt)]
    points: i64,
}

/// Outstanding points of each brand before a day.
pub fn outstanding_before(conn: &mut PgConnection, day: NaiveDate) -> Result<Vec<(String, i64)>, Error> {
    let rows = sql_query(
        "SELECT partner, capped(sum(points)) AS points FROM figure_days WHERE day < $1 GROUP BY 1 ORDER BY 1",
    );
    let rows: Vec<OpeningSql> = rows.bind::<Date, _>(day).load(conn)?;
    Ok(rows.into_iter().map(|row| (row.partner, row.points)).collect())
}

/// What flowed between a pair on one day; amounts in millionths.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct PairRow {
    #[diesel(sql_type = Date)]
    pub day: NaiveDate,
    #[diesel(sql_type = Text)]
    pub from_partner: String,
    #[diesel(sql_type = Text)]
    pub to_partner: String,
    #[diesel(sql_type = BigInt)]
    pub conversions: i64,
    #[diesel(sql_type = BigInt)]
    pub debit: i64,
    #[diesel(sql_type = BigInt)]
    pub credit: i64,
    #[diesel(sql_type = BigInt)]
    pub value: i64,
    #[diesel(sql_type = BigInt)]
    pub taken_back: i64,
    #[diesel(sql_type = BigInt)]
    pub value_back: i64,
    #[diesel(sql_type = BigInt)]
    pub released: i64,
}

pub fn pairs(
    conn: &mut PgConnection,
    partner: Option<&str>,
    (first, last): (NaiveDate, NaiveDate),
) -> Result<Vec<PairRow>, Error> {
    let rows = sql_query(
        "SELECT * FROM figure_pairs WHERE day BETWEEN $2 AND $3 AND ($1 IS NULL OR $1 IN (from_partner, to_partner)) \
         ORDER BY day, from_partner, to_partner",
    );
    let rows = rows.bind::<Nullable<Text>, _>(partner).bind::<Date, _>(first).bind::<Date, _>(last);
    Ok(rows.load(conn)?)
}

/// How many conversions of a brand's points took one step of waiting.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct WaitRow {
    #[diesel(sql_type = Text)]
    pub from_partner: String,
    #[diesel(sql_type = SmallInt)]
    pub step: i16,
    #[diesel(sql_type = BigInt)]
    pub conversions: i64,
}

pub fn waits(
    conn: &mut PgConnection,
    partner: Option<&str>,
    (first, last): (NaiveDate, NaiveDate),
) -> Result<Vec<WaitRow>, Error> {
    let rows = sql_query(
        "SELECT from_partner, step, sum(conversions)::bigint AS conversions FROM figure_waits WHERE day BETWEEN $2 AND $3 \
         AND ($1 IS NULL OR from_partner = $1) GROUP BY 1, 2 ORDER BY 1, 2",
    );
    let rows = rows.bind::<Nullable<Text>, _>(partner).bind::<Date, _>(first).bind::<Date, _>(last);
    Ok(rows.load(conn)?)
}

/// Uses of one benefit by members of one brand on one day.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct BenefitRow {
    #[diesel(sql_type = Date)]
    pub day: NaiveDate,
    #[diesel(sql_type = SqlUuid)]
    pub benefit_id: Uuid,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Text)]
    pub brand: String,
    #[diesel(sql_type = Text)]
    pub giver: String,
    #[diesel(sql_type = BigInt)]
    pub redeemed: i64,
    #[diesel(sql_type = BigInt)]
    pub taken_back: i64,
    /// Millionths.
    #[diesel(sql_type = BigInt)]
    pub cost: i64,
}

pub fn benefits(
    conn: &mut PgConnection,
    partner: Option<&str>,
    (first, last): (NaiveDate, NaiveDate),
) -> Result<Vec<BenefitRow>, Error> {
    let rows = sql_query(
        "SELECT f.*, b.code FROM figure_benefits f JOIN benefits b USING (benefit_id) WHERE f.day BETWEEN $2 AND $3 \
         AND ($1 IS NULL OR $1 IN (f.brand, f.giver)) ORDER BY f.day, f.giver, b.code, f.brand",
    );
    let rows = rows.bind::<Nullable<Text>, _>(partner).bind::<Date, _>(first).bind::<Date, _>(last);
    Ok(rows.load(conn)?)
}

/// Members of a brand in one month.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct MonthRow {
    #[diesel(sql_type = Text)]
    pub partner: String,
    /// Active, and with a link that is open and past its waiting time.
    #[diesel(sql_type = BigInt)]
    pub linked: i64,
    /// Of those, who have turned points into another brand's.
    #[diesel(sql_type = BigInt)]
    pub converted: i64,
    /// Who bought something, twice or more, in the month before, and in both.
    #[diesel(sql_type = BigInt)]
    pub bought: i64,
    #[diesel(sql_type = BigInt)]
    pub again: i64,
    #[diesel(sql_type = BigInt)]
    pub before: i64,
    #[diesel(sql_type = BigInt)]
    pub kept: i64,
    /// What was spent, and by linked members, in millionths of the alliance's currency.
    #[diesel(sql_type = BigInt)]
    pub spent: i64,
    #[diesel(sql_type = BigInt)]
    pub spent_linked: i64,
}

/// Works out a month of every brand, links as they stood at `at`; `month` is its first day.
pub fn work_out(conn: &mut PgConnection, month: NaiveDate, at: DateTime<Utc>, is_final: bool) -> Result<(), Error> {
    let worked_out = sql_query(
        "INSERT INTO figure_months AS f (month, partner, linked, converted, bought, again, before, kept, spent, spent_linked, at, is_final) \
         WITH open AS (SELECT a_account AS account_id FROM links WHERE opens_at <= $2 AND (ended_at IS NULL OR ended_at > $2) \
           UNION SELECT b_account FROM links WHERE opens_at <= $2 AND (ended_at IS NULL OR ended_at > $2)), \
         linked AS (SELECT m.partner, m.account_id FROM open JOIN memberships m USING (account_id) WHERE m.status = 'active'), \
         bought AS (SELECT partner, account_id, \
           coalesce(sum(purchases) FILTER (WHERE month = $1), 0) AS now, coalesce(sum(purchases) FILTER (WHERE month < $1), 0) AS before, \
           coalesce(sum(amount) FILTER (WHERE month = $1 AND currency = (SELECT a.currency FROM alliance a)), 0) AS spent \
           FROM activity_months WHERE month IN ($1, ($1 - interval '1 month')::date) GROUP BY 1, 2) \
         SELECT $1, p.slug AS partner, coalesce(l.linked, 0) AS linked, coalesce(l.converted, 0) AS converted, \
         coalesce(b.bought, 0) AS bought, coalesce(b.again, 0) AS again, coalesce(b.before, 0) AS before, coalesce(b.kept, 0) AS kept, \
         capped(coalesce(b.spent, 0)) AS spent, capped(coalesce(b.spent_linked, 0)) AS spent_linked, $2, $3 FROM partners p \
         LEFT JOIN (SELECT l.partner, count(*) AS linked, count(*) FILTER (WHERE f.conversions > 0) AS converted FROM linked l \
           LEFT JOIN figure_members f ON f.month = $1 AND f.account_id = l.account_id GROUP BY 1) l ON l.partner = p.slug \
         LEFT JOIN (SELECT b.partner, count(*) FILTER (WHERE b.now > 0) AS bought, count(*) FILTER (WHERE b.now > 1) AS again, \
           count(*) FILTER (WHERE b.before > 0) AS before, count(*) FILTER (WHERE b.before > 0 AND b.now > 0) AS kept, \
           sum(b.spent) AS spent, sum(b.spent) FILTER (WHERE l.account_id IS NOT NULL) AS spent_linked \
           FROM bought b LEFT JOIN linked l USING (account_id) GROUP BY 1) b ON b.partner = p.slug \
         ORDER BY p.slug ON CONFLICT (month, partner) DO UPDATE SET linked = excluded.linked, converted = excluded.converted, \
         bought = excluded.bought, again = excluded.again, before = excluded.before, kept = excluded.kept, spent = excluded.spent, \
         spent_linked = excluded.spent_linked, at = excluded.at, is_final = excluded.is_final",
    );
    worked_out.bind::<Date, _>(month).bind::<Timestamptz, _>(at).bind::<Bool, _>(is_final).execute(conn)?;
    Ok(())
}

#[derive(QueryableByName)]
struct OpenSql {
    #[diesel(sql_type = Date)]
    month: NaiveDate,
}

/// Up to `most` months up to `last` that are not final: first those that never were worked out, then the oldest. From the first that
/// has anything counted on.
pub fn open_months(conn: &mut PgConnection, last: NaiveDate, most: i64) -> Result<Vec<NaiveDate>, Error> {
    let open = sql_query(
        "SELECT m::date AS month FROM generate_series(date_trunc('month', least((SELECT min(day) FROM figure_days), $1)::timestamp), \
         $1::timestamp, interval '1 month') m LEFT JOIN LATERAL (SELECT bool_or(f.is_final) AS is_final FROM figure_months f WHERE f.month = m::date) f ON true WHERE f.is_final IS NOT TRUE \
         ORDER BY f.is_final IS NOT NULL, m LIMIT $2",
    );
    let rows: Vec<OpenSql> = open.bind::<Date, _>(last).bind::<BigInt, _>(most).load(conn)?;
    Ok(rows.into_iter().map(|row| row.month).collect())
}

#[derive(QueryableByName)]
struct IsCountedSql {
    #[diesel(sql_type = Bool)]
    is_counted: bool,
}

/// Whether no batch of before `end` is left to count.
pub fn is_counted_before(conn: &mut PgConnection, end: DateTime<Utc>) -> Result<bool, Error> {
    let sql = "SELECT NOT EXISTS (SELECT FROM batches WHERE NOT sealed AND business_at < $1) \
               AND NOT EXISTS (SELECT FROM batches WHERE sealed AND NOT counted AND business_at < $1) AS is_counted";
    let row: IsCountedSql = sql_query(sql).bind::<Timestamptz, _>(end).get_result(conn)?;
    Ok(row.is_counted)
}

/// A month as it was worked out last; nothing of a month that never was.
pub fn month(conn: &mut PgConnection, partner: Option<&str>, month: NaiveDate) -> Result<Vec<MonthRow>, Error> {
    let rows =
        sql_query("SELECT * FROM figure_months WHERE month = $2 AND ($1 IS NULL OR partner = $1) ORDER BY partner");
    Ok(rows.bind::<Nullable<Text>, _>(partner).bind::<Date, _>(month).load(conn)?)
}

#[derive(QueryableByName)]
struct LeftSql {
    #[diesel(sql_type = BigInt)]
    left: i64,
}

/// Batches that are committed and not counted yet.
pub fn uncounted(conn: &mut PgConnection) -> Result<i64, Error> {
    let left = "SELECT (SELECT count(*) FROM batches WHERE NOT sealed) + (SELECT count(*) FROM batches WHERE sealed AND NOT counted) AS left";
    let row: LeftSql = sql_query(left).get_result(conn)?;
    Ok(row.left)
}

/// A bound as it is stored; an empty partner is every brand.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct BoundRow {
    #[diesel(sql_type = Text)]
    pub kpi: String,
    #[diesel(sql_type = Text)]
    pub partner: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub at_least: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub at_most: Option<i64>,
    #[diesel(sql_type = Text)]
    pub set_by: String,
    #[diesel(sql_type = Timestamptz)]
    pub set_at: DateTime<Utc>,
}

pub fn bounds(conn: &mut PgConnection) -> Result<Vec<BoundRow>, Error> {
    Ok(sql_query("SELECT * FROM figure_bounds ORDER BY kpi, partner").load(conn)?)
}

/// Puts a bound in the place of what was there.
pub fn set_bound(
    conn: &mut PgConnection,
    (kpi, partner): (&str, &str),
    (at_least, at_most): (Option<i64>, Option<i64>),
    by: &str,
) -> Result<(), Error> {
    let set = sql_query(
        "INSERT INTO figure_bounds (kpi, partner, at_least, at_most, set_by) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (kpi, partner) DO UPDATE SET at_least = excluded.at_least, at_most = excluded.at_most, \
         set_by = excluded.set_by, set_at = clock_timestamp()",
    );
    let set = set.bind::<Text, _>(kpi).bind::<Text, _>(partner);
    let set = set.bind::<Nullable<BigInt>, _>(at_least).bind::<Nullable<BigInt>, _>(at_most).bind::<Text, _>(by);
    set.execute(conn)?;
    Ok(())
}

/// What is usual holds again; whether there was anything else.
pub fn clear_bound(conn: &mut PgConnection, (kpi, partner): (&str, &str)) -> Result<bool, Error> {
    let cleared = sql_query("DELETE FROM figure_bounds WHERE kpi = $1 AND partner = $2");
    Ok(cleared.bind::<Text, _>(kpi).bind::<Text, _>(partner).execute(conn)? > 0)
}
