//! What the alliance comes to day by day, counted from sealed batches: each once, whoever counts, and in the transaction
//! that says so. What comes to more than a bigint holds is counted as the most it holds (`capped`, of migration 0023). What
//! the figures mean is `domain::kpi`'s; see docs/kpis.md.

use super::engine::world::EventKind;
use super::store::Error;
use super::store::statement::{Column, Statement};
use crate::store::locks::COUNTING;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Integer};

/// Lines of the journal counted in one transaction, beyond one batch.
const ENTRIES_MAX: i64 = 20_000;
/// Batches looked at to make up one.
const BATCHES_MAX: i64 = 1_000;

/// Lines of the journal of these batches with what they are about.
macro_rules! lines {
    ($columns:literal, $kinds:literal) => {
        concat!(
            "(SELECT b.batch_no, ",
            $columns,
            " FROM unnest(?) n(batch_no) JOIN batches b USING (batch_no) CROSS JOIN LATERAL \
             unnest(b.entry_accounts, b.entry_kinds, b.entry_deltas, b.entry_subjects, b.entry_partners) \
             e(account_id, kind, delta, subject, place)",
            $kinds,
            ")"
        )
    };
}

/// By day, brand and kind. A batch that tells a brand nothing has no place for it.
const DAYS: &str = concat!(
    "INSERT INTO figure_days AS f (day, partner, kind, entries, points) SELECT l.day, l.partner, l.kind, count(*), capped(sum(l.delta)) FROM ",
    lines!(
        "b.day, coalesce(b.partners[e.place], (SELECT a.partner FROM accounts a WHERE a.account_id = e.account_id)) AS partner, e.kind, e.delta",
        ""
    ),
    " l GROUP BY 1, 2, 3 ON CONFLICT (day, partner, kind) DO UPDATE SET entries = f.entries + excluded.entries, points = capped(f.points::numeric + excluded.points)"
);

/// By pair, priced once for all that stand under the same terms.
const POSTED: &str = concat!(
    "INSERT INTO figure_pairs AS f SELECT g.day, g.from_partner, g.to_partner, sum(g.count), capped(sum(g.debit)), capped(sum(g.credit)), \
     capped(sum(g.credit * (t.body->>'settlement_price')::numeric)), 0, 0, 0, 0 FROM (SELECT c.day, c.from_partner, c.to_partner, c.terms_id, \
     count(*) AS count, sum(c.debit) AS debit, sum(c.credit) AS credit FROM ",
    lines!("e.subject", " WHERE e.kind IN (7, 16)"),
    " l JOIN conversions c ON c.conversion_id = l.subject GROUP BY 1, 2, 3, 4) g JOIN terms t USING (terms_id) GROUP BY 1, 2, 3 \
     ON CONFLICT (day, from_partner, to_partner) DO UPDATE SET conversions = f.conversions + excluded.conversions, \
     debit = capped(f.debit::numeric + excluded.debit), credit = capped(f.credit::numeric + excluded.credit), \
     value = capped(f.value::numeric + excluded.value)"
);

const TAKEN_BACK: &str = concat!(
    "INSERT INTO figure_pairs AS f SELECT r.day, c.from_partner, c.to_partner, 0, 0, 0, 0, count(*), capped(sum(r.credit)), \
     capped(sum(r.credit * (t.body->>'settlement_price')::numeric)), 0 FROM ",
    lines!("e.subject", " WHERE e.kind = 10"),
    " l JOIN reversals r ON r.reversal_id = l.subject AND r.batch_no = l.batch_no AND r.state = 1 \
     JOIN conversions c USING (conversion_id) JOIN terms t USING (terms_id) GROUP BY 1, 2, 3 \
     ON CONFLICT (day, from_partner, to_partner) DO UPDATE SET taken_back = f.taken_back + excluded.taken_back, \
     credit_back = capped(f.credit_back::numeric + excluded.credit_back), \
     value_back = capped(f.value_back::numeric + excluded.value_back)"
);

/// Told to both sides, ended once.
const RELEASED: &str = "INSERT INTO figure_pairs AS f \
     SELECT s.day, x.from_partner, x.to_partner, 0, 0, 0, 0, 0, 0, 0, count(*) FROM (SELECT DISTINCT e.subject, \
     (b.business_at AT TIME ZONE (SELECT zone FROM alliance))::date AS day FROM unnest(?) n(batch_no) JOIN batches b USING (batch_no) \
     CROSS JOIN LATERAL unnest(b.partners) p(partner) JOIN events e ON e.partner = p.partner AND e.batch_no = b.batch_no \
     JOIN unnest(?) k(kind) ON k.kind = e.kind) s JOIN crossings x ON x.crossing_id = s.subject AND x.kind = 0 GROUP BY 1, 2, 3 \
     ON CONFLICT (day, from_partner, to_partner) DO UPDATE SET released = f.released + excluded.released";

const WAITS: &str = concat!(
    "INSERT INTO figure_waits AS f SELECT c.day, c.from_partner, c.to_partner, \
     least(200, ceil(4 * log(2, greatest(1, 1000 * extract(epoch FROM c.at - x.at)))))::smallint, count(*) FROM ",
    lines!("e.subject", " WHERE e.kind IN (7, 16)"),
    " l JOIN conversions c ON c.conversion_id = l.subject AND c.accepted_batch IS NOT NULL \
     JOIN crossings x ON x.crossing_id = c.conversion_id GROUP BY 1, 2, 3, 4 \
     ON CONFLICT (day, from_partner, to_partner, step) DO UPDATE SET conversions = f.conversions + excluded.conversions"
);

/// Of whose account it was, in the month of the conversion, an undo too.
const MEMBERS: &str = concat!(
    "INSERT INTO figure_members AS f SELECT date_trunc('month', c.day::timestamp)::date, c.from_account, c.from_partner, \
     sum(CASE WHEN l.kind = 10 THEN -1 ELSE 1 END) FROM ",
    lines!("e.subject, e.kind", " WHERE e.kind IN (7, 10, 16)"),
    " l LEFT JOIN reversals r ON l.kind = 10 AND r.reversal_id = l.subject AND r.batch_no = l.batch_no AND r.state = 1 AND r.undo \
     JOIN conversions c ON c.conversion_id = CASE WHEN l.kind = 10 THEN r.conversion_id ELSE l.subject END GROUP BY 1, 2, 3 \
     ON CONFLICT (month, account_id) DO UPDATE SET conversions = f.conversions + excluded.conversions"
);

/// Its cost is somebody's as `BenefitTerms::payer` says: nobody owes a brand what it gives to its own members.
const BENEFITS: &str = concat!(
    "INSERT INTO figure_benefits AS f SELECT u.day, v.benefit_id, v.brand, v.giver, count(*) FILTER (WHERE u.kind = 1), \
     count(*) FILTER (WHERE u.kind = 2), capped(coalesce(sum(u.cost) FILTER (WHERE t.body->>'funder' = 'operator' \
     OR (t.body->>'funder' = 'brand' AND t.body->>'brand' <> t.body->>'giver')), 0)) FROM ",
    lines!("e.subject", " WHERE e.kind = 20"),
    " l JOIN voucher_uses u ON u.use_id = l.subject JOIN vouchers v USING (voucher_id) JOIN benefit_terms t ON t.terms_id = u.terms_id \
     GROUP BY 1, 2, 3, 4 \
     ON CONFLICT (day, benefit_id, brand) DO UPDATE SET redeemed = f.redeemed + excluded.redeemed, \
     taken_back = f.taken_back + excluded.taken_back, cost = capped(f.cost::numeric + excluded.cost)"
);

#[derive(QueryableByName)]
struct Turn {
    #[diesel(sql_type = Bool)]
    free: bool,
}

#[derive(QueryableByName)]
struct SizeSql {
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
    #[diesel(sql_type = Integer)]
    entries: i32,
}

/// What a run has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    Batches(usize),
    /// All that is sealed is counted.
    Nothing,
    /// Another server counts: what is left is not known.
    Busy,
}

/// Counts some batches that are sealed and not counted yet.
pub fn count(conn: &mut PgConnection) -> Result<Counted, Error> {
    conn.transaction(|conn| {
        let turn: Turn =
            sql_query("SELECT pg_try_advisory_xact_lock($1) AS free").bind::<BigInt, _>(COUNTING).get_result(conn)?;
        if turn.free { some(conn) } else { Ok(Counted::Busy) }
    })
}

/// With the lock held.
fn some(conn: &mut PgConnection) -> Result<Counted, Error> {
    // How many entries is told by the size of a list of two bytes each, without reading it.
    let sizes: Vec<SizeSql> = sql_query(
        "SELECT batch_no, pg_column_size(entry_kinds) / 2 AS entries FROM batches WHERE sealed AND NOT counted \
         ORDER BY batch_no LIMIT $1",
    )
    .bind::<BigInt, _>(BATCHES_MAX)
    .load(conn)?;
    let mut entries = 0;
    let fits = |size: &&SizeSql| {
        entries += i64::from(size.entries);
        entries <= ENTRIES_MAX
    };
    let many = sizes.iter().take_while(fits).count().max(1);
    let batches: Vec<i64> = sizes.iter().take(many).map(|size| size.batch_no).collect();
    if batches.is_empty() {
        return Ok(Counted::Nothing);
    }
    for sql in [DAYS, POSTED, TAKEN_BACK, WAITS, MEMBERS, BENEFITS] {
        Statement::new(sql, vec![Column::BigInts(batches.clone())]).execute(conn)?;
    }
    let released = Column::SmallInts(vec![EventKind::ConversionReleased.number()]);
    Statement::new(RELEASED, vec![Column::BigInts(batches.clone()), released]).execute(conn)?;
    Statement::new(
        "UPDATE batches b SET counted = true FROM unnest(?) n(batch_no) WHERE b.batch_no = n.batch_no",
        vec![Column::BigInts(batches.clone())],
    )
    .execute(conn)?;
    Ok(Counted::Batches(batches.len()))
}
