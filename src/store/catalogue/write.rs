//! Writing the catalogue. Only publishing calls this, with the fence held exclusively.

use super::{direction, slug, tier_text};
use crate::domain::catalogue::{Accounts, Agreement, Alliance, Campaign};
use crate::domain::change::{PairUpdate, Versions};
use crate::domain::ids::Slug;
use crate::domain::money::Millionths;
use crate::domain::plan::PlannedPartner;
use crate::domain::points::Points;
use crate::domain::rate::Rate;
use crate::store::Error;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Date, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz};
use std::collections::{BTreeMap, HashMap};

/// What of the alliance the catalogue itself does not need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aside {
    pub mandate: Option<String>,
    /// Where remote partners answer.
    pub endpoints: BTreeMap<Slug, String>,
}

/// The mandate and the endpoints.
pub fn aside(conn: &mut PgConnection) -> Result<Aside, Error> {
    let mandate: Option<Mandate> = sql_query("SELECT mandate FROM alliance").get_result(conn).optional()?;
    let rows: Vec<Endpoint> = sql_query("SELECT slug, endpoint FROM partners WHERE endpoint IS NOT NULL").load(conn)?;
    let endpoints = rows.into_iter().map(|row| Ok((slug(&row.slug)?, row.endpoint)));
    Ok(Aside { mandate: mandate.and_then(|row| row.mandate), endpoints: endpoints.collect::<Result<_, Error>>()? })
}

/// The database's own clock, for what is asked before there is an alliance.
pub fn database_now(conn: &mut PgConnection) -> Result<DateTime<Utc>, Error> {
    let row: super::Instant = sql_query("SELECT clock_timestamp() AS at").get_result(conn)?;
    Ok(row.at)
}

/// The highest versions ever given out, per direction.
pub fn versions(conn: &mut PgConnection) -> Result<HashMap<(Slug, Slug), Versions>, Error> {
    let mut found: HashMap<(Slug, Slug), Versions> = HashMap::new();
    let rows: Vec<Highest> = sql_query(
        "SELECT from_partner, to_partner, 'agreement' AS kind, '' AS code, max(version) AS version FROM agreements \
         GROUP BY 1, 2 \
         UNION ALL SELECT from_partner, to_partner, 'rate', '', max(version) FROM rates GROUP BY 1, 2 \
         UNION ALL SELECT from_partner, to_partner, 'campaign', code, max(version) FROM campaigns GROUP BY 1, 2, 4",
    )
    .load(conn)?;
    for row in rows {
        let versions = found.entry(direction(&row.from_partner, &row.to_partner)?).or_default();
        match row.kind.as_str() {
            "agreement" => versions.agreement = row.version,
            "rate" => versions.rate = row.version,
            _ => drop(versions.campaigns.insert(row.code, row.version)),
        }
    }
    Ok(found)
}

/// Makes the alliance, or brings what may change of it up to date. A new sandbox's business time begins at its
/// start date, past or to come.
pub fn put_alliance(
    conn: &mut PgConnection,
    alliance: &Alliance,
    mandate: Option<&str>,
    founding: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    let (settlement, operator) = (&alliance.settlement, &alliance.operator);
    sql_query(
        "INSERT INTO alliance (slug, name_en, name_zh, currency, zone, trust_domain, sandbox_start, clock_offset_us, \
         catalogue_version, quote_ttl_s, link_cooling_days, bilateral, mandate, cycle, netting, rounding, \
         cut_off_days, draft_days, dispute_days, due_days, operator_entity, operator_tax_code, fee_tax_basis_points, \
         operator_accounts) VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $7 IS NULL OR $8 IS NULL THEN 0 ELSE \
         (extract(epoch FROM $8 - clock_timestamp()) * 1000000)::bigint END, 1, $9, $10, $11, $12, $13, $14, $15, \
         $16, $17, $18, $19, $20, $21, $22, $23) \
         ON CONFLICT (id) DO UPDATE SET (name_en, name_zh, quote_ttl_s, link_cooling_days, mandate, cycle, netting, \
         rounding, cut_off_days, draft_days, dispute_days, due_days, operator_entity, operator_tax_code, \
         fee_tax_basis_points, operator_accounts) = \
         (EXCLUDED.name_en, EXCLUDED.name_zh, EXCLUDED.quote_ttl_s, EXCLUDED.link_cooling_days, EXCLUDED.mandate, \
         EXCLUDED.cycle, EXCLUDED.netting, EXCLUDED.rounding, EXCLUDED.cut_off_days, EXCLUDED.draft_days, \
         EXCLUDED.dispute_days, EXCLUDED.due_days, EXCLUDED.operator_entity, EXCLUDED.operator_tax_code, \
         EXCLUDED.fee_tax_basis_points, EXCLUDED.operator_accounts)",
    )
    .bind::<Text, _>(&alliance.slug)
    .bind::<Text, _>(&alliance.name.en)
    .bind::<Text, _>(&alliance.name.zh)
    .bind::<Text, _>(&alliance.currency)
    .bind::<Text, _>(alliance.zone.name())
    .bind::<Text, _>(&alliance.trust_domain)
    .bind::<Nullable<Date>, _>(alliance.sandbox_start)
    .bind::<Nullable<Timestamptz>, _>(founding)
    .bind::<Integer, _>(alliance.quote_ttl_s.cast_signed())
    .bind::<Integer, _>(alliance.link_cooling_days.cast_signed())
    .bind::<Bool, _>(alliance.bilateral)
    .bind::<Nullable<Text>, _>(mandate)
    .bind::<Text, _>(settlement.cycle.code())
    .bind::<Text, _>(settlement.netting.code())
    .bind::<Text, _>(settlement.rounding.code())
    .bind::<Integer, _>(settlement.cut_off_days.cast_signed())
    .bind::<Integer, _>(settlement.draft_days.cast_signed())
    .bind::<Integer, _>(settlement.dispute_days.cast_signed())
    .bind::<Integer, _>(settlement.due_days.cast_signed())
    .bind::<Text, _>(&operator.legal_entity)
    .bind::<Text, _>(&operator.tax_code)
    .bind::<BigInt, _>(operator.fee_tax_basis_points)
    .bind::<Jsonb, _>(accounts(&operator.accounts))
    .execute(conn)?;
    Ok(())
}

/// Makes the partner, or brings it up to date; its status stays. One that keeps its own accounts joins with its first
/// certificate, which it may have already.
pub fn put_partner(conn: &mut PgConnection, planned: &PlannedPartner) -> Result<(), Error> {
    let partner = &planned.partner;
    let programme = &partner.programme;
    let tiers = programme.tiers.iter().map(|tier| {
        serde_json::json!({
            "code": tier.code, "name_en": tier.name.en, "name_zh": tier.name.zh, "never_expires": tier.never_expires,
        })
    });
    let limits = &partner.limits;
    sql_query(
        "INSERT INTO partners (slug, name_en, name_zh, trade, legal_entity, tax_code, status, hosted, endpoint, \
         programme_code, programme_name_en, programme_name_zh, scale, unit_cost, expiry_months, tiers, \
         limit_out_day, limit_out_month, limit_in_day, limit_in_month, exposure_limit, accounts) \
         VALUES ($1, $2, $3, $4, $5, $6, \
         CASE WHEN $8 OR EXISTS (SELECT FROM certificates WHERE holder_kind = 'partner' AND holder_name = $1 AND \
         status = 'active') THEN $7 ELSE 'joining' END, \
         $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22) \
         ON CONFLICT (slug) DO UPDATE SET (name_en, name_zh, trade, legal_entity, tax_code, endpoint, \
         programme_code, programme_name_en, programme_name_zh, unit_cost, expiry_months, tiers, \
         limit_out_day, limit_out_month, limit_in_day, limit_in_month, exposure_limit, accounts) = \
         (EXCLUDED.name_en, EXCLUDED.name_zh, EXCLUDED.trade, EXCLUDED.legal_entity, EXCLUDED.tax_code, \
         EXCLUDED.endpoint, EXCLUDED.programme_code, EXCLUDED.programme_name_en, EXCLUDED.programme_name_zh, \
         EXCLUDED.unit_cost, EXCLUDED.expiry_months, EXCLUDED.tiers, EXCLUDED.limit_out_day, \
         EXCLUDED.limit_out_month, EXCLUDED.limit_in_day, EXCLUDED.limit_in_month, EXCLUDED.exposure_limit, \
         EXCLUDED.accounts)",
    )
    .bind::<Text, _>(partner.slug.as_str())
    .bind::<Text, _>(&partner.name.en)
    .bind::<Text, _>(&partner.name.zh)
    .bind::<Text, _>(&partner.trade)
    .bind::<Text, _>(&partner.legal_entity)
    .bind::<Text, _>(&partner.tax_code)
    .bind::<Text, _>(super::status_text(partner.status))
    .bind::<Bool, _>(partner.hosted)
    .bind::<Nullable<Text>, _>(&planned.endpoint)
    .bind::<Text, _>(&programme.code)
    .bind::<Text, _>(&programme.name.en)
    .bind::<Text, _>(&programme.name.zh)
    .bind::<SmallInt, _>(i16::try_from(programme.scale).unwrap_or(i16::MAX))
    .bind::<BigInt, _>(programme.unit_cost.get())
    .bind::<Integer, _>(programme.expiry_months.cast_signed())
    .bind::<Jsonb, _>(tiers.collect::<serde_json::Value>())
    .bind::<Nullable<BigInt>, _>(limits.out_day.map(Points::get))
    .bind::<Nullable<BigInt>, _>(limits.out_month.map(Points::get))
    .bind::<Nullable<BigInt>, _>(limits.in_day.map(Points::get))
    .bind::<Nullable<BigInt>, _>(limits.in_month.map(Points::get))
    .bind::<Nullable<BigInt>, _>(partner.exposure_limit.map(Millionths::get))
    .bind::<Jsonb, _>(accounts(&partner.accounts))
    .execute(conn)?;
    Ok(())
}

/// All of them, so that what is published stays when a built-in code becomes another.
fn accounts(accounts: &Accounts) -> serde_json::Value {
    accounts.each().into_iter().collect()
}

/// Ends what is superseded, then adds the new versions: in this order the exclusion constraints see no overlap.
pub fn put_pair(conn: &mut PgConnection, from: &Slug, to: &Slug, update: &PairUpdate) -> Result<(), Error> {
    for (version, at) in &update.agreements_superseded {
        supersede(
            conn,
            "UPDATE agreements SET superseded_from = $1 WHERE from_partner = $2 AND to_partner = $3 AND version = $4",
            at,
            (from, to, *version),
        )?;
    }
    for (version, at) in &update.rates_superseded {
        supersede(
            conn,
            "UPDATE rates SET superseded_from = $1 WHERE from_partner = $2 AND to_partner = $3 AND version = $4",
            at,
            (from, to, *version),
        )?;
    }
    for ((code, version), at) in &update.campaigns_superseded {
        sql_query(
            "UPDATE campaigns SET superseded_from = $1 \
             WHERE from_partner = $2 AND to_partner = $3 AND version = $4 AND code = $5",
        )
        .bind::<Timestamptz, _>(at)
        .bind::<Text, _>(from.as_str())
        .bind::<Text, _>(to.as_str())
        .bind::<BigInt, _>(version)
        .bind::<Text, _>(code)
        .execute(conn)?;
    }
    if let Some(agreement) = &update.agreement {
        insert_agreement(conn, from, to, agreement)?;
    }
    for rate in &update.rates {
        insert_rate(conn, from, to, rate)?;
    }
    for campaign in &update.campaigns {
        insert_campaign(conn, from, to, campaign)?;
    }
    Ok(())
}

/// Raises the version by one and returns it.
pub fn raise_version(conn: &mut PgConnection) -> Result<i64, Error> {
    let raise = "UPDATE alliance SET catalogue_version = catalogue_version + 1 RETURNING catalogue_version AS version";
    let row: super::Version = sql_query(raise).get_result(conn)?;
    Ok(row.version)
}

fn supersede(
    conn: &mut PgConnection,
    statement: &'static str,
    at: &DateTime<Utc>,
    (from, to, version): (&Slug, &Slug, i64),
) -> Result<(), Error> {
    sql_query(statement)
        .bind::<Timestamptz, _>(at)
        .bind::<Text, _>(from.as_str())
        .bind::<Text, _>(to.as_str())
        .bind::<BigInt, _>(version)
        .execute(conn)?;
    Ok(())
}

fn insert_agreement(conn: &mut PgConnection, from: &Slug, to: &Slug, agreement: &Agreement) -> Result<(), Error> {
    sql_query(
        "INSERT INTO agreements (from_partner, to_partner, version, settlement_price, fee_basis_points, fee_payer, \
         notice_days, undo_s, renews_on_arrival, exposure_limit, reversal_needs_confirmation, target_pays_spent, \
         grace_days, dispute_days, valid_from) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
    )
    .bind::<Text, _>(from.as_str())
    .bind::<Text, _>(to.as_str())
    .bind::<BigInt, _>(agreement.version)
    .bind::<BigInt, _>(agreement.settlement_price.get())
    .bind::<BigInt, _>(agreement.fee_basis_points)
    .bind::<Text, _>(agreement.fee_payer.code())
    .bind::<Integer, _>(agreement.notice_days.cast_signed())
    .bind::<Integer, _>(agreement.undo_s.cast_signed())
    .bind::<Bool, _>(agreement.renews_on_arrival)
    .bind::<Nullable<BigInt>, _>(agreement.exposure_limit.map(Millionths::get))
    .bind::<Bool, _>(agreement.reversal_needs_confirmation)
    .bind::<Bool, _>(agreement.target_pays_spent)
    .bind::<Integer, _>(agreement.grace_days.cast_signed())
    .bind::<Integer, _>(agreement.dispute_days.cast_signed())
    .bind::<Timestamptz, _>(agreement.valid_from)
    .execute(conn)?;
    Ok(())
}

fn insert_rate(conn: &mut PgConnection, from: &Slug, to: &Slug, rate: &Rate) -> Result<(), Error> {
    sql_query(
        "INSERT INTO rates (from_partner, to_partner, version, tier, num, den, step, minimum, maximum, public, \
         valid_from, valid_to) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind::<Text, _>(from.as_str())
    .bind::<Text, _>(to.as_str())
    .bind::<BigInt, _>(rate.version)
    .bind::<Text, _>(tier_text(&rate.tier))
    .bind::<BigInt, _>(rate.ratio.num())
    .bind::<BigInt, _>(rate.ratio.den())
    .bind::<BigInt, _>(rate.step.get())
    .bind::<BigInt, _>(rate.minimum.get())
    .bind::<Nullable<BigInt>, _>(rate.maximum.map(Points::get))
    .bind::<Bool, _>(rate.public)
    .bind::<Timestamptz, _>(rate.valid_from)
    .bind::<Nullable<Timestamptz>, _>(rate.valid_to)
    .execute(conn)?;
    Ok(())
}

fn insert_campaign(conn: &mut PgConnection, from: &Slug, to: &Slug, campaign: &Campaign) -> Result<(), Error> {
    sql_query(
        "INSERT INTO campaigns (from_partner, to_partner, code, version, name_en, name_zh, tier, \
         bonus_basis_points, funder, stacks, valid_from, valid_to) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind::<Text, _>(from.as_str())
    .bind::<Text, _>(to.as_str())
    .bind::<Text, _>(&campaign.code)
    .bind::<BigInt, _>(campaign.version)
    .bind::<Text, _>(&campaign.name.en)
    .bind::<Text, _>(&campaign.name.zh)
    .bind::<Text, _>(tier_text(&campaign.tier))
    .bind::<BigInt, _>(campaign.bonus_basis_points)
    .bind::<Text, _>(campaign.funder.code())
    .bind::<Bool, _>(campaign.stacks)
    .bind::<Timestamptz, _>(campaign.valid_from)
    .bind::<Timestamptz, _>(campaign.valid_to)
    .execute(conn)?;
    Ok(())
}

#[derive(QueryableByName)]
struct Mandate {
    #[diesel(sql_type = Nullable<Text>)]
    mandate: Option<String>,
}

#[derive(QueryableByName)]
struct Endpoint {
    #[diesel(sql_type = Text)]
    slug: String,
    #[diesel(sql_type = Text)]
    endpoint: String,
}

#[derive(QueryableByName)]
struct Highest {
    #[diesel(sql_type = Text)]
    from_partner: String,
    #[diesel(sql_type = Text)]
    to_partner: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    code: String,
    #[diesel(sql_type = BigInt)]
    version: i64,
}
