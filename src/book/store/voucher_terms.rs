//! The terms of vouchers as JSON: each set stored once, by content, as those of conversions are.

use super::Error;
use super::codec::Unreadable;
use super::statement::{Column, Statement};
use crate::domain::benefit::{BenefitTerms, Discount, Funder, Kind, SettlesAt};
use crate::domain::catalogue::Name;
use crate::domain::ids::BenefitId;
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use chrono::NaiveDate;
use diesel::prelude::*;
use diesel::sql_types::{Text, Uuid as SqlUuid};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

#[derive(Serialize, Deserialize)]
struct TermsJson {
    #[serde(with = "super::codec::uuid_text")]
    benefit: Uuid,
    code: String,
    version: i64,
    kind: String,
    name: [String; 2],
    giver: String,
    brand: String,
    face_value: Option<i64>,
    /// Millionths, or basis points; from; at most.
    off: Option<(i64, i64)>,
    share: Option<(i64, i64, Option<i64>)>,
    uses: i32,
    stacks: bool,
    at_issue: bool,
    blackouts: Vec<(NaiveDate, NaiveDate)>,
    pooled: bool,
    points: i64,
    cash: i64,
    funder: String,
    cost: i64,
    undo_s: u32,
    grace_days: u32,
    giver_entity: String,
    giver_tax_code: String,
    brand_entity: String,
    brand_tax_code: String,
}

impl From<&BenefitTerms> for TermsJson {
    fn from(terms: &BenefitTerms) -> TermsJson {
        let (off, share) = match terms.discount {
            None => (None, None),
            Some(Discount::Amount { amount, from }) => (Some((amount.get(), from.get())), None),
            Some(Discount::Share { basis_points, from, at_most }) => {
                (None, Some((basis_points, from.get(), at_most.map(Millionths::get))))
            }
        };
        TermsJson {
            benefit: terms.benefit.0,
            code: terms.code.clone(),
            version: terms.version,
            kind: terms.kind.code().to_owned(),
            name: [terms.name.en.clone(), terms.name.zh.clone()],
            giver: terms.giver.to_string(),
            brand: terms.brand.to_string(),
            face_value: terms.face_value.map(Millionths::get),
            off,
            share,
            uses: terms.uses,
            stacks: terms.stacks,
            at_issue: terms.settles_at == SettlesAt::Issue,
            blackouts: terms.blackouts.clone(),
            pooled: terms.pooled,
            points: terms.points.get(),
            cash: terms.cash.get(),
            funder: terms.funder.code().to_owned(),
            cost: terms.cost.get(),
            undo_s: terms.undo_s,
            grace_days: terms.grace_days,
            giver_entity: terms.giver_entity.clone(),
            giver_tax_code: terms.giver_tax_code.clone(),
            brand_entity: terms.brand_entity.clone(),
            brand_tax_code: terms.brand_tax_code.clone(),
        }
    }
}

impl TermsJson {
    fn checked(self) -> Result<BenefitTerms, Unreadable> {
        let unknown = |value: &str| Unreadable { column: "benefit_terms.body", value: value.to_owned() };
        let slug = |text: &str| text.parse().map_err(|_| unknown(text));
        let money = Millionths::new;
        let discount = match (self.off, self.share) {
            (Some((amount, from)), _) => Some(Discount::Amount { amount: money(amount), from: money(from) }),
            (None, Some((basis_points, from, at_most))) => {
                Some(Discount::Share { basis_points, from: money(from), at_most: at_most.map(money) })
            }
            (None, None) => None,
        };
        let [en, zh] = self.name;
        Ok(BenefitTerms {
            benefit: BenefitId(self.benefit),
            version: self.version,
            kind: Kind::parse(&self.kind).ok_or_else(|| unknown(&self.kind))?,
            name: Name { en, zh },
            giver: slug(&self.giver)?,
            brand: slug(&self.brand)?,
            code: self.code,
            face_value: self.face_value.map(money),
            discount,
            uses: self.uses,
            stacks: self.stacks,
            settles_at: if self.at_issue { SettlesAt::Issue } else { SettlesAt::Redemption },
            blackouts: self.blackouts,
            pooled: self.pooled,
            points: Points::new(self.points).ok_or_else(|| unknown(&self.points.to_string()))?,
            cash: money(self.cash),
            funder: Funder::parse(&self.funder).ok_or_else(|| unknown(&self.funder))?,
            cost: money(self.cost),
            undo_s: self.undo_s,
            grace_days: self.grace_days,
            giver_entity: self.giver_entity,
            giver_tax_code: self.giver_tax_code,
            brand_entity: self.brand_entity,
            brand_tax_code: self.brand_tax_code,
        })
    }
}

#[derive(QueryableByName)]
struct TermsSql {
    #[diesel(sql_type = SqlUuid)]
    terms_id: Uuid,
    #[diesel(sql_type = Text)]
    body: String,
}

/// The ids under which these terms are stored, in their order, storing them the first time.
pub fn store(conn: &mut PgConnection, all: &[&BenefitTerms]) -> Result<Vec<Uuid>, Error> {
    // Plain strings, numbers and lists always serialise.
    let bodies: Vec<String> =
        all.iter().map(|terms| serde_json::to_string(&TermsJson::from(*terms)).unwrap_or_default()).collect();
    let fresh = bodies.iter().map(|_| Uuid::now_v7()).collect();
    Statement::new(
        "INSERT INTO benefit_terms (terms_id, body) SELECT DISTINCT ON (b) i, b::jsonb FROM unnest(?, ?) x(i, b) ON CONFLICT (body) DO NOTHING",
        vec![Column::Uuids(fresh), Column::Texts(bodies.clone())],
    )
    .execute(conn)?;
    let places = (0..i64::try_from(bodies.len()).unwrap_or(i64::MAX)).collect();
    let found: Vec<Uuid> = Statement::new(
        "SELECT t.terms_id FROM unnest(?, ?) x(n, b) JOIN benefit_terms t ON t.body = x.b::jsonb ORDER BY x.n",
        vec![Column::BigInts(places), Column::Texts(bodies)],
    )
    .of_types::<SqlUuid>()
    .load(conn)?;
    Ok(found)
}

/// The terms of rows that name them by these ids.
pub fn of(conn: &mut PgConnection, ids: impl Iterator<Item = Uuid>) -> Result<HashMap<Uuid, Arc<BenefitTerms>>, Error> {
    let ids: BTreeSet<Uuid> = ids.collect();
    if ids.is_empty() { Ok(HashMap::new()) } else { find(conn, &ids.into_iter().collect::<Vec<_>>()) }
}

pub fn known(terms: &HashMap<Uuid, Arc<BenefitTerms>>, id: Uuid) -> Result<Arc<BenefitTerms>, Unreadable> {
    terms.get(&id).cloned().ok_or_else(|| Unreadable { column: "terms_id", value: id.to_string() })
}

fn find(conn: &mut PgConnection, ids: &[Uuid]) -> Result<HashMap<Uuid, Arc<BenefitTerms>>, Error> {
    let found: Vec<TermsSql> = Statement::new(
        "SELECT terms_id, body::text AS body FROM benefit_terms WHERE terms_id = ANY(?)",
        vec![Column::Uuids(ids.to_vec())],
    )
    .load(conn)?;
    let read = |sql: TermsSql| {
        let json: TermsJson = serde_json::from_str(&sql.body)
            .map_err(|why| Unreadable { column: "benefit_terms.body", value: why.to_string() })?;
        Ok((sql.terms_id, Arc::new(json.checked()?)))
    };
    Ok(found.into_iter().map(read).collect::<Result<_, Unreadable>>()?)
}
