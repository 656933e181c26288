//! Benefits as their givers have put them: the document, who has approved to pay for it, its stock, codes and the tiers
//! that are recognised.

mod document;

use crate::domain::benefit::{Benefit, Offer, Payer};
use crate::domain::ids::{BenefitId, Slug};
use crate::store::{Error, catalogue};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bytea, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
pub use document::{BenefitJson, Unfit};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What the operator is called where it pays.
pub const OPERATOR: &str = "operator";

/// Who pays: a partner's slug, or `operator`.
pub fn payer_text(payer: Payer<'_>) -> &str {
    match payer {
        Payer::Partner(slug) => slug.as_str(),
        Payer::Operator => OPERATOR,
    }
}

/// By brand, from its tiers to those of a giver's ladder.
pub type TierMaps = BTreeMap<String, BTreeMap<String, String>>;

/// A benefit as it stands.
#[derive(Clone, Debug)]
pub struct Row {
    pub benefit: Benefit,
    pub changed_at: DateTime<Utc>,
    /// Who pays beside the giver, with the digest of what each pays for.
    pub payers: BTreeMap<String, String>,
    /// Those of them that have approved just that.
    pub approved: Vec<String>,
    /// What the giver sees in tiers of the brands with an offer on its ladder: by brand, from its tiers.
    pub recognised: TierMaps,
    pub quota: Option<i64>,
    pub taken: i64,
}

impl Row {
    /// Whether an offer may be claimed: nobody else pays for it, or who pays has approved.
    pub fn is_approved(&self, offer: &Offer) -> bool {
        let payer = self.benefit.payer(offer);
        payer.is_none_or(|payer| self.approved.iter().any(|approved| approved == payer_text(payer)))
    }

    /// With the offers alone that may be claimed.
    pub fn offered(&self) -> Benefit {
        let offers = self.benefit.offers.iter().filter(|offer| self.is_approved(offer)).cloned().collect();
        Benefit { offers, ..self.benefit.clone() }
    }
}

#[derive(QueryableByName)]
struct RowSql {
    #[diesel(sql_type = SqlUuid)]
    benefit_id: Uuid,
    #[diesel(sql_type = Text)]
    giver: String,
    #[diesel(sql_type = Text)]
    code: String,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Text)]
    document: String,
    #[diesel(sql_type = Text)]
    payers: String,
    #[diesel(sql_type = Timestamptz)]
    changed_at: DateTime<Utc>,
    #[diesel(sql_type = Array<Text>)]
    approved: Vec<String>,
    #[diesel(sql_type = Text)]
    recognised: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    quota: Option<i64>,
    #[diesel(sql_type = BigInt)]
    taken: i64,
}

const ROWS: &str = "SELECT b.benefit_id, b.giver, b.code, b.version, b.document::text AS document, b.payers::text AS payers, \
     b.changed_at, ARRAY(SELECT a.payer FROM benefit_approvals a JOIN jsonb_each_text(b.payers) p ON p.key = a.payer \
     WHERE a.benefit_id = b.benefit_id AND encode(a.digest, 'hex') = p.value ORDER BY a.payer) AS approved, \
     coalesce((SELECT jsonb_object_agg(m.brand, m.tiers) FROM (SELECT t.brand, jsonb_object_agg(t.tier, t.recognised) AS tiers \
     FROM tier_maps t WHERE t.giver = b.giver \
     AND b.document->'offers' @> jsonb_build_array(jsonb_build_object('to', t.brand, 'ladder', 'giver')) \
     GROUP BY t.brand) m), '{}')::text AS recognised, s.quota, coalesce(s.taken, 0) AS taken FROM benefits b LEFT JOIN stocks s USING (benefit_id) ";

impl RowSql {
    fn checked(self) -> Result<Row, Error> {
        let damaged = |why: String| Error::Query(diesel::result::Error::DeserializationError(why.into()));
        let document: BenefitJson = serde_json::from_str(&self.document).map_err(|why| damaged(why.to_string()))?;
        let giver = catalogue::slug(&self.giver)?;
        let benefit = document.checked(BenefitId(self.benefit_id), giver, self.code, self.version);
        Ok(Row {
            benefit: benefit.map_err(|unfit| damaged(format!("{}: {}", unfit.pointer, unfit.detail)))?,
            changed_at: self.changed_at,
            payers: serde_json::from_str(&self.payers).map_err(|why| damaged(why.to_string()))?,
            approved: self.approved,
            recognised: serde_json::from_str(&self.recognised).map_err(|why| damaged(why.to_string()))?,
            quota: self.quota,
            taken: self.taken,
        })
    }
}

/// Those of these ids that are there.
pub fn find(conn: &mut PgConnection, ids: &[BenefitId]) -> Result<Vec<Row>, Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let sql = format!("{ROWS} WHERE b.benefit_id = ANY($1)");
    let found: Vec<RowSql> = sql_query(sql).bind::<Array<SqlUuid>, _>(ids).load(conn)?;
    found.into_iter().map(RowSql::checked).collect()
}

/// What a page of benefits is of.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Those that this partner gives, and those that are offered to its members; `None` is all.
    pub seen_by: Option<Slug>,
    pub giver: Option<Slug>,
    /// Those alone that are open at this moment, with an offer to members of this partner.
    pub claimable: Option<(Slug, DateTime<Utc>)>,
    /// Giver and code of the last one that was read.
    pub after: Option<(String, String)>,
}

/// Those that are searched for, by giver and code.
pub fn list(conn: &mut PgConnection, search: &Search, limit: i64) -> Result<Vec<Row>, Error> {
    let Search { seen_by, giver, claimable, after } = search;
    let (to, at) = claimable.clone().unzip();
    let sql = format!(
        "{ROWS} WHERE ($1 IS NULL OR b.giver = $1) AND ($2 IS NULL OR (b.giver, b.code) > ($2, $3)) \
         AND ($4 IS NULL OR b.giver = $4 OR b.document->'offers' @> jsonb_build_array(jsonb_build_object('to', $4))) \
         AND ($5 IS NULL OR (b.document->>'state' IS DISTINCT FROM 'closed' \
         AND b.document->'offers' @> jsonb_build_array(jsonb_build_object('to', $5)) \
         AND coalesce((b.document->>'claims_until')::timestamptz > $6, true))) \
         ORDER BY b.giver, b.code LIMIT $7"
    );
    let found: Vec<RowSql> = sql_query(sql)
        .bind::<Nullable<Text>, _>(giver.as_ref().map(Slug::as_str))
        .bind::<Nullable<Text>, _>(after.as_ref().map(|(giver, _)| giver))
        .bind::<Nullable<Text>, _>(after.as_ref().map(|(_, code)| code))
        .bind::<Nullable<Text>, _>(seen_by.as_ref().map(Slug::as_str))
        .bind::<Nullable<Text>, _>(to.as_ref().map(Slug::as_str))
        .bind::<Nullable<Timestamptz>, _>(at)
        .bind::<BigInt, _>(limit)
        .load(conn)?;
    found.into_iter().map(RowSql::checked).collect()
}

/// Those of a giver with an offer to this brand's members by the giver's own ladder.
pub fn on_own_ladder(conn: &mut PgConnection, giver: &Slug, brand: &Slug) -> Result<Vec<Row>, Error> {
    let sql = format!(
        "{ROWS} WHERE b.giver = $1 \
         AND b.document->'offers' @> jsonb_build_array(jsonb_build_object('to', $2::text, 'ladder', 'giver')) ORDER BY b.code"
    );
    let found: Vec<RowSql> =
        sql_query(sql).bind::<Text, _>(giver.as_str()).bind::<Text, _>(brand.as_str()).load(conn)?;
    found.into_iter().map(RowSql::checked).collect()
}

/// Writes a version. In a transaction that holds the fence exclusively, so that no batch decides with half of it.
pub fn put(
    conn: &mut PgConnection,
    benefit: &Benefit,
    payers: &BTreeMap<String, String>,
    by: &str,
    at: DateTime<Utc>,
) -> QueryResult<()> {
    // Texts, numbers and lists always serialise.
    let document = serde_json::to_string(&BenefitJson::from(benefit)).unwrap_or_default();
    let payers = serde_json::to_string(payers).unwrap_or_default();
    sql_query(
        "INSERT INTO benefits (benefit_id, giver, code, version, document, payers, changed_at) \
         VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb, $7) ON CONFLICT (benefit_id) DO UPDATE SET version = EXCLUDED.version, \
         document = EXCLUDED.document, payers = EXCLUDED.payers, changed_at = EXCLUDED.changed_at",
    )
    .bind::<SqlUuid, _>(benefit.id.0)
    .bind::<Text, _>(benefit.giver.as_str())
    .bind::<Text, _>(&benefit.code)
    .bind::<BigInt, _>(benefit.version)
    .bind::<Text, _>(&document)
    .bind::<Text, _>(payers)
    .bind::<Timestamptz, _>(at)
    .execute(conn)?;
    sql_query(
        "INSERT INTO benefit_versions (benefit_id, version, document, put_by, at) VALUES ($1, $2, $3::jsonb, $4, $5)",
    )
    .bind::<SqlUuid, _>(benefit.id.0)
    .bind::<BigInt, _>(benefit.version)
    .bind::<Text, _>(&document)
    .bind::<Text, _>(by)
    .bind::<Timestamptz, _>(at)
    .execute(conn)?;
    end_approvals(conn, benefit.id, None, by, at)?;
    stock(conn, benefit)
}

/// Ends what was approved of a benefit and is not what stands, so that nobody brings a bargain back by putting it again; and
/// whatever this payer has approved. How many.
fn end_approvals(
    conn: &mut PgConnection,
    id: BenefitId,
    payer: Option<&str>,
    by: &str,
    at: DateTime<Utc>,
) -> QueryResult<usize> {
    sql_query(
        "WITH over AS (DELETE FROM benefit_approvals a USING benefits b WHERE a.benefit_id = $1 AND b.benefit_id = $1 \
         AND (a.payer = $2 OR encode(a.digest, 'hex') IS DISTINCT FROM (b.payers ->> a.payer)) RETURNING a.*) \
         INSERT INTO benefit_approvals_ended (benefit_id, payer, digest, version, approved_by, at, ended_by, ended_at) \
         SELECT benefit_id, payer, digest, version, approved_by, at, $3, $4 FROM over",
    )
    .bind::<SqlUuid, _>(id.0)
    .bind::<Nullable<Text>, _>(payer)
    .bind::<Text, _>(by)
    .bind::<Timestamptz, _>(at)
    .execute(conn)
}

/// Says that a payer no longer approves of a benefit. With the fence held exclusively.
pub fn withdraw(conn: &mut PgConnection, id: BenefitId, payer: &str, by: &str, at: DateTime<Utc>) -> QueryResult<()> {
    end_approvals(conn, id, Some(payer), by, at).map(drop)
}

/// How many there may be: the quota, and of a pool no more than its codes.
pub fn stock(conn: &mut PgConnection, benefit: &Benefit) -> QueryResult<()> {
    sql_query(
        "INSERT INTO stocks (benefit_id, quota) VALUES ($1, CASE WHEN $3 THEN least($2, (SELECT count(*) FROM benefit_codes \
         WHERE benefit_id = $1)) ELSE $2 END) ON CONFLICT (benefit_id) DO UPDATE SET quota = EXCLUDED.quota",
    )
    .bind::<SqlUuid, _>(benefit.id.0)
    .bind::<Nullable<BigInt>, _>(benefit.quota)
    .bind::<diesel::sql_types::Bool, _>(benefit.pooled)
    .execute(conn)
    .map(|_| ())
}

/// Says that a payer has approved what this digest is of; false when it had before.
pub fn approve(
    conn: &mut PgConnection,
    id: BenefitId,
    payer: &str,
    (digest, version): (&str, i64),
    by: &str,
    at: DateTime<Utc>,
) -> QueryResult<bool> {
    let added = sql_query(
        "INSERT INTO benefit_approvals (benefit_id, payer, digest, version, approved_by, at) \
         VALUES ($1, $2, decode($3, 'hex'), $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind::<SqlUuid, _>(id.0)
    .bind::<Text, _>(payer)
    .bind::<Text, _>(digest)
    .bind::<BigInt, _>(version)
    .bind::<Text, _>(by)
    .bind::<Timestamptz, _>(at)
    .execute(conn)?;
    Ok(added > 0)
}

/// A code of a pool as it is kept.
#[derive(Clone, Debug)]
pub struct PooledCode {
    pub hash: Uuid,
    pub sealed: Vec<u8>,
}

/// Adds codes to a benefit's pool, passing over those that are known; how many were new.
pub fn add_codes(
    conn: &mut PgConnection,
    id: BenefitId,
    codes: &[PooledCode],
    at: DateTime<Utc>,
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO benefit_codes (benefit_id, hash, sealed, added_at) SELECT $1, h, s, $4 FROM unnest($2, $3) x(h, s) \
         ON CONFLICT (hash) DO NOTHING",
    )
    .bind::<SqlUuid, _>(id.0)
    .bind::<Array<SqlUuid>, _>(codes.iter().map(|code| code.hash).collect::<Vec<_>>())
    .bind::<Array<Bytea>, _>(codes.iter().map(|code| code.sealed.clone()).collect::<Vec<_>>())
    .bind::<Timestamptz, _>(at)
    .execute(conn)
}

/// A pool in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub struct Pool {
    #[diesel(sql_type = BigInt)]
    pub total: i64,
    /// Given to a voucher.
    #[diesel(sql_type = BigInt)]
    pub issued: i64,
    #[diesel(sql_type = BigInt)]
    pub available: i64,
}

pub fn pool(conn: &mut PgConnection, id: BenefitId) -> QueryResult<Pool> {
    let sql = "SELECT count(*) AS total, count(voucher_id) AS issued, count(*) - count(voucher_id) AS available \
               FROM benefit_codes WHERE benefit_id = $1";
    sql_query(sql).bind::<SqlUuid, _>(id.0).get_result(conn)
}

/// Which tiers of its ladder a giver sees in others': brand, its tier, the giver's.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Recognised {
    #[diesel(sql_type = Text)]
    pub giver: String,
    #[diesel(sql_type = Text)]
    pub brand: String,
    #[diesel(sql_type = Text)]
    pub tier: String,
    #[diesel(sql_type = Text)]
    pub recognised: String,
}

pub fn recognised(conn: &mut PgConnection, givers: &[String]) -> QueryResult<Vec<Recognised>> {
    let sql = "SELECT giver, brand, tier, recognised FROM tier_maps WHERE giver = ANY($1) ORDER BY giver, brand, tier";
    sql_query(sql).bind::<Array<Text>, _>(givers).load(conn)
}

/// What a giver sees in one brand's tiers from now on. With the fence held exclusively.
pub fn put_recognised(
    conn: &mut PgConnection,
    giver: &Slug,
    brand: &Slug,
    tiers: &BTreeMap<String, String>,
) -> QueryResult<()> {
    sql_query("DELETE FROM tier_maps WHERE giver = $1 AND brand = $2")
        .bind::<Text, _>(giver.as_str())
        .bind::<Text, _>(brand.as_str())
        .execute(conn)?;
    sql_query("INSERT INTO tier_maps (giver, brand, tier, recognised) SELECT $1, $2, t, r FROM unnest($3, $4) x(t, r)")
        .bind::<Text, _>(giver.as_str())
        .bind::<Text, _>(brand.as_str())
        .bind::<Array<Text>, _>(tiers.keys().collect::<Vec<_>>())
        .bind::<Array<Text>, _>(tiers.values().collect::<Vec<_>>())
        .execute(conn)
        .map(|_| ())
}

/// What became of a benefit's vouchers, by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub struct Count {
    #[diesel(sql_type = diesel::sql_types::SmallInt)]
    pub state: i16,
    #[diesel(sql_type = BigInt)]
    pub vouchers: i64,
    #[diesel(sql_type = Integer)]
    pub uses: i32,
}
