//! What becomes of partners: their status with its dates and steps, and what is still open with one that left.

use super::catalogue::{slug, status_text, unreadable};
use crate::domain::catalogue::PartnerStatus;
use crate::domain::ids::{AccountId, ConversionId, LinkId, Slug};
use crate::store::Error;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

/// Where a partner stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub partner: Slug,
    pub status: PartnerStatus,
    /// Business time at which its notice is over.
    pub leaves_at: Option<DateTime<Utc>>,
    /// Number of the window in which it left.
    pub left_window: Option<i64>,
    /// When its certificates were revoked after all was settled. Wire time.
    pub closed_at: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct StandingSql {
    #[diesel(sql_type = Text)]
    slug: String,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    leaves_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    left_window: Option<i64>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    closed_at: Option<DateTime<Utc>>,
}

impl StandingSql {
    fn checked(self) -> Result<Standing, Error> {
        let status = PartnerStatus::ALL.into_iter().find(|status| status_text(*status) == self.status);
        Ok(Standing {
            partner: slug(&self.slug)?,
            status: status.ok_or_else(|| unreadable(format!("`{}` is no partner's status", self.status)))?,
            leaves_at: self.leaves_at,
            left_window: self.left_window,
            closed_at: self.closed_at,
        })
    }
}

const STANDING: &str = "SELECT slug, status, leaves_at, left_window, closed_at FROM partners";

fn standings(rows: Vec<StandingSql>) -> Result<Vec<Standing>, Error> {
    rows.into_iter().map(StandingSql::checked).collect()
}

pub fn find(conn: &mut PgConnection, partner: &Slug) -> Result<Option<Standing>, Error> {
    let row: Option<StandingSql> = sql_query(format!("{STANDING} WHERE slug = $1"))
        .bind::<Text, _>(partner.as_str())
        .get_result(conn)
        .optional()?;
    row.map(StandingSql::checked).transpose()
}

/// Partners that wait for their first certificate and have one.
pub fn joined(conn: &mut PgConnection) -> Result<Vec<Standing>, Error> {
    standings(
        sql_query(format!(
            "{STANDING} p WHERE status = 'joining' AND EXISTS (SELECT FROM certificates c \
             WHERE c.holder_kind = 'partner' AND c.holder_name = p.slug AND c.status = 'active')"
        ))
        .load(conn)?,
    )
}

/// Partners whose notice is over and who have not left yet.
pub fn due(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<Vec<Standing>, Error> {
    let sql = format!("{STANDING} WHERE leaves_at <= $1 AND status <> 'left' ORDER BY slug");
    standings(sql_query(sql).bind::<Timestamptz, _>(now).load(conn)?)
}

/// Partners that left and still have certificates.
pub fn unclosed(conn: &mut PgConnection) -> Result<Vec<Standing>, Error> {
    standings(sql_query(format!("{STANDING} WHERE status = 'left' AND closed_at IS NULL ORDER BY slug")).load(conn)?)
}

/// One step of a partner's life, and what it changes beside the status.
#[derive(Clone, Debug)]
pub struct Stepped<'a> {
    pub partner: &'a Slug,
    pub event: &'static str,
    pub status: PartnerStatus,
    pub reason: &'a str,
    pub at: DateTime<Utc>,
    pub leaves_at: Option<DateTime<Utc>>,
    pub left_window: Option<i64>,
}

/// Writes the status and remembers the step. Called with the fence held alone.
pub fn step(conn: &mut PgConnection, step: &Stepped<'_>) -> Result<(), Error> {
    sql_query("UPDATE partners SET status = $2, leaves_at = $3, left_window = $4 WHERE slug = $1")
        .bind::<Text, _>(step.partner.as_str())
        .bind::<Text, _>(status_text(step.status))
        .bind::<Nullable<Timestamptz>, _>(step.leaves_at)
        .bind::<Nullable<BigInt>, _>(step.left_window)
        .execute(conn)?;
    sql_query(
        "INSERT INTO partner_steps (partner, step_no, event, status, reason, at) \
         SELECT $1, coalesce(max(step_no), 0) + 1, $2, $3, $4, $5 FROM partner_steps WHERE partner = $1",
    )
    .bind::<Text, _>(step.partner.as_str())
    .bind::<Text, _>(step.event)
    .bind::<Text, _>(status_text(step.status))
    .bind::<Text, _>(step.reason)
    .bind::<Timestamptz, _>(step.at)
    .execute(conn)?;
    Ok(())
}

/// A step as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Past {
    #[diesel(sql_type = Integer)]
    pub step_no: i32,
    #[diesel(sql_type = Text)]
    pub event: String,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = Text)]
    pub reason: String,
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
}

/// A partner's steps, oldest first.
pub fn steps(conn: &mut PgConnection, partner: &Slug) -> QueryResult<Vec<Past>> {
    sql_query("SELECT step_no, event, status, reason, at FROM partner_steps WHERE partner = $1 ORDER BY step_no")
        .bind::<Text, _>(partner.as_str())
        .load(conn)
}

/// Notes that all is settled with a partner that left and its certificates are revoked.
pub fn close(conn: &mut PgConnection, partner: &Slug) -> QueryResult<()> {
    sql_query(
        "UPDATE partners SET closed_at = coalesce(closed_at, clock_timestamp()) WHERE slug = $1 AND status = 'left'",
    )
    .bind::<Text, _>(partner.as_str())
    .execute(conn)
    .map(drop)
}

/// Links of a partner's memberships that have not ended, at most `limit`.
pub fn open_links(
    conn: &mut PgConnection,
    partner: &Slug,
    limit: i64,
) -> QueryResult<Vec<(LinkId, AccountId, AccountId)>> {
    #[derive(QueryableByName)]
    struct Open {
        #[diesel(sql_type = SqlUuid)]
        link_id: Uuid,
        #[diesel(sql_type = SqlUuid)]
        a_account: Uuid,
        #[diesel(sql_type = SqlUuid)]
        b_account: Uuid,
    }
    let rows: Vec<Open> = sql_query(
        "SELECT l.link_id, l.a_account, l.b_account FROM memberships m JOIN links l ON l.a_account = m.account_id \
         WHERE m.partner = $1 AND l.state = 'open' \
         UNION ALL \
         SELECT l.link_id, l.a_account, l.b_account FROM memberships m JOIN links l ON l.b_account = m.account_id \
         WHERE m.partner = $1 AND l.state = 'open' LIMIT $2",
    )
    .bind::<Text, _>(partner.as_str())
    .bind::<BigInt, _>(limit)
    .load(conn)?;
    let link = |row: Open| (LinkId(row.link_id), AccountId(row.a_account), AccountId(row.b_account));
    Ok(rows.into_iter().map(link).collect())
}

/// What keeps the books with a partner open after it left in the window of this number; empty when all is settled.
pub fn unsettled(conn: &mut PgConnection, partner: &Slug, window: i64) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Open {
        #[diesel(sql_type = Text)]
        what: String,
    }
    let mut rows: Vec<Open> = sql_query(
        "SELECT 'window ' || number || ' is not published' AS what FROM windows WHERE number <= $2 AND state <> 'published' \
         UNION ALL SELECT 'the statement of window ' || w.number || ' is not answered yet' FROM statements s JOIN windows w USING (window_id) \
         WHERE s.participant = $1 AND s.state IN ('published', 'disputed') \
         UNION ALL SELECT 'an obligation of window ' || w.number || ' is not paid' FROM obligations o JOIN windows w USING (window_id) \
         WHERE o.paid < o.amount AND $1 IN (o.debtor, o.creditor) \
         UNION ALL SELECT 'an adjustment is in a window that is not published' FROM adjustments a JOIN windows w USING (window_id) \
         WHERE w.state <> 'published' AND $1 IN (a.from_party, a.to_party) \
         UNION ALL SELECT 'a conversion over two ledgers is on its way' FROM crossings \
         WHERE state NOT IN (3, 6) AND $1 IN (from_partner, to_partner) \
         UNION ALL SELECT 'a use of a voucher is in a window that is not published' FROM voucher_uses u JOIN windows w USING (window_id) \
         JOIN vouchers v USING (voucher_id) WHERE w.state <> 'published' AND $1 IN (v.brand, v.giver) HAVING count(*) > 0 \
         UNION ALL SELECT 'a voucher is good until ' || max(use_by) FROM vouchers \
         WHERE state IN (0, 1, 2) AND $1 IN (brand, giver) HAVING count(*) > 0 \
         UNION ALL SELECT 'a dispute is not decided' FROM disputes \
         WHERE state IN ('open', 'answered') AND (opener = $1 OR counterparty = $1)",
    )
    .bind::<Text, _>(partner.as_str())
    .bind::<BigInt, _>(window)
    .load(conn)?;
    if rows.is_empty() {
        // Of what came after it left, found as settlement finds it: by the journal's lines in the window's run of batches.
        rows = sql_query(
            "SELECT 'a conversion or a reversal is in window ' || w.number || ', which is not published' AS what \
             FROM windows w WHERE w.state <> 'published' AND EXISTS (SELECT FROM batches b \
             CROSS JOIN LATERAL unnest(b.entry_subjects) e(subject) \
             LEFT JOIN reversals r ON r.reversal_id = e.subject AND r.batch_no = b.batch_no \
             JOIN conversions c ON c.conversion_id = coalesce(r.conversion_id, e.subject) \
             WHERE b.batch_no > (SELECT coalesce(max(p.last_batch), 0) FROM windows p WHERE p.number < w.number) \
             AND b.window_id = w.window_id AND $1 = ANY (b.partners) AND $1 IN (c.from_partner, c.to_partner))",
        )
        .bind::<Text, _>(partner.as_str())
        .load(conn)?;
    }
    Ok(rows.into_iter().map(|row| row.what).collect())
}

/// Conversions the partner is a side of, by id, those after `after`.
pub fn conversions(
    conn: &mut PgConnection,
    partner: &Slug,
    after: ConversionId,
    limit: i64,
) -> QueryResult<Vec<ConversionId>> {
    #[derive(QueryableByName)]
    struct Id {
        #[diesel(sql_type = SqlUuid)]
        conversion_id: Uuid,
    }
    let rows: Vec<Id> = sql_query(
        "SELECT conversion_id FROM conversions WHERE (from_partner = $1 OR to_partner = $1) AND conversion_id > $2 \
         ORDER BY conversion_id LIMIT $3",
    )
    .bind::<Text, _>(partner.as_str())
    .bind::<SqlUuid, _>(after.0)
    .bind::<BigInt, _>(limit)
    .load(conn)?;
    Ok(rows.into_iter().map(|row| ConversionId(row.conversion_id)).collect())
}
