//! `/v1/alliance`, `/v1/partners`, `/v1/rates`: what is published, as the caller may see it.

use super::problem::Problem;
use super::query::{Page, PageQuery};
use super::{Caller, List, StrictQuery, instant};
use crate::domain::catalogue::{Alliance, MemberLimits, Name, Partner, Tier};
use crate::domain::holder::Holder;
use crate::domain::ids::Slug;
use crate::domain::points::Points;
use crate::domain::rate::TierScope;
use crate::service::Database;
use crate::service::catalogue::{self, FoundRate, RatePlace, RateSearch};
use actix_web::Responder;
use actix_web::web::{self, Data, ServiceConfig};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

#[derive(utoipa::OpenApi)]
#[openapi(paths(alliance, partners, rates), components(schemas(AllianceBody, PartnerBody, RateBody)))]
pub(super) struct Api;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/alliance").route(web::get().to(alliance)))
        .service(web::resource("/v1/partners").route(web::get().to(partners)))
        .service(web::resource("/v1/rates").route(web::get().to(rates)));
}

/// A name people read.
#[derive(Serialize, ToSchema)]
pub(super) struct NameBody {
    en: String,
    zh: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Alliance)]
pub(super) struct AllianceBody {
    slug: String,
    name: NameBody,
    /// ISO 4217 code of all settlement.
    currency: String,
    /// IANA zone of business days and months.
    zone: String,
    trust_domain: String,
    /// A sandbox's clock can be advanced.
    sandbox: bool,
    business_time: String,
    catalogue_version: i64,
    quote_ttl_seconds: u32,
    link_cooling_days: u32,
    bilateral: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Tier)]
pub(super) struct TierBody {
    code: String,
    name: NameBody,
    never_expires: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Programme)]
pub(super) struct ProgrammeBody {
    code: String,
    name: NameBody,
    /// Decimals of the smallest unit.
    scale: u32,
    expiry_months: u32,
    /// Lowest rung first.
    tiers: Vec<TierBody>,
    /// What a point costs its issuer, in the alliance's currency: to the partner itself and operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    unit_cost: Option<String>,
}

/// Per membership and calendar day or month; absent is no limit.
#[derive(Serialize, ToSchema)]
#[schema(as = MemberLimits)]
pub(super) struct LimitsBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    out_day: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_month: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_day: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_month: Option<i64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Partner)]
pub(super) struct PartnerBody {
    slug: String,
    name: NameBody,
    trade: String,
    legal_entity: String,
    /// `joining`, `active`, `suspended`, `leaving` or `left`.
    status: &'static str,
    hosted: bool,
    programme: ProgrammeBody,
    /// To the partner itself and operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    member_limits: Option<LimitsBody>,
}

/// `give` points of the origin become `get` of the target.
#[derive(Serialize, ToSchema)]
#[schema(as = Rate)]
pub(super) struct RateBody {
    from: String,
    to: String,
    /// Origin tier; absent is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<String>,
    give: i64,
    get: i64,
    num: i64,
    den: i64,
    /// Debits are multiples of it.
    step: i64,
    minimum: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum: Option<i64>,
    valid_from: String,
    /// Exclusive; absent is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_to: Option<String>,
    version: i64,
    public: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RateQuery {
    /// Origin.
    #[param(pattern = "^[a-z][a-z0-9-]{1,31}$")]
    from: Option<String>,
    /// Target.
    #[param(pattern = "^[a-z][a-z0-9-]{1,31}$")]
    to: Option<String>,
    /// The rate a member of this origin tier gets.
    tier: Option<String>,
    /// In force at this instant, RFC 3339; now unless said.
    #[param(format = DateTime)]
    at: Option<String>,
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    cursor: Option<String>,
}

/// The alliance this deployment serves.
#[utoipa::path(get, path = "/v1/alliance", tag = "catalogue",
    responses((status = 200, description = "The alliance", body = AllianceBody)))]
async fn alliance(_caller: Caller, database: Data<Database>) -> Result<impl Responder, Problem> {
    let found = catalogue::alliance(&database).await?;
    let (alliance, version, now) = found.ok_or_else(Problem::not_found)?;
    Ok(web::Json(AllianceBody::of(alliance, version, now)))
}

/// All partners.
#[utoipa::path(get, path = "/v1/partners", tag = "catalogue",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "In the order of their slugs", body = List<PartnerBody>)))]
async fn partners(
    caller: Caller,
    query: StrictQuery<PageQuery>,
    database: Data<Database>,
) -> Result<impl Responder, Problem> {
    let page = query.0.page()?;
    let found = catalogue::partners(&database, page.after()?, page.limit + 1).await?;
    let bodies = found.into_iter().map(|partner| PartnerBody::of(partner, &caller.kind)).collect();
    Ok(web::Json(List::new(bodies, &page, |partner: &PartnerBody| partner.slug.clone())))
}

/// Rates in force: those the caller is a side of and the public ones.
#[utoipa::path(get, path = "/v1/rates", tag = "catalogue", params(RateQuery),
    responses((status = 200, description = "By origin, target, version", body = List<RateBody>)))]
async fn rates(
    caller: Caller,
    query: StrictQuery<RateQuery>,
    database: Data<Database>,
) -> Result<impl Responder, Problem> {
    let query = query.0;
    let page = Page::new(query.limit, query.cursor.as_deref())?;
    let at = query.at.as_deref().map(read_instant).transpose()?;
    let search = RateSearch {
        viewer: viewer(&caller.kind),
        from: query.from.as_deref().map(|text| slug("?from", text)).transpose()?,
        to: query.to.as_deref().map(|text| slug("?to", text)).transpose()?,
        tier: query.tier,
        at: DateTime::UNIX_EPOCH,
        after: place(&page)?,
        limit: page.limit + 1,
    };
    let found = catalogue::rates(&database, search, at).await?;
    let bodies = found.into_iter().map(RateBody::of).collect();
    Ok(web::Json(List::new(bodies, &page, |rate: &RateBody| format!("{}:{}:{}", rate.from, rate.to, rate.version))))
}

/// `None` sees all.
pub(super) fn viewer(caller: &Holder) -> Option<Slug> {
    match caller {
        Holder::Partner(slug) => Some(slug.clone()),
        Holder::Operator(_) => None,
    }
}

fn slug(parameter: &'static str, text: &str) -> Result<Slug, Problem> {
    text.parse().map_err(|_| Problem::field(parameter, "is not a partner's slug"))
}

fn read_instant(text: &str) -> Result<DateTime<Utc>, Problem> {
    let wrong = || Problem::field("?at", "must be an RFC 3339 instant, such as 2026-03-01T00:00:00Z");
    let at = DateTime::parse_from_rfc3339(text).map_err(|_| wrong())?.to_utc();
    // What PostgreSQL can hold, and more than any alliance needs.
    let years = 2000..=9999;
    if years.contains(&chrono::Datelike::year(&at)) { Ok(at) } else { Err(wrong()) }
}

/// `from:to:version` of the last rate of the page before.
fn place(page: &Page) -> Result<Option<RatePlace>, Problem> {
    let Some(text) = &page.after else { return Ok(None) };
    let mut parts = text.split(':');
    let mut next = || parts.next().unwrap_or_default();
    let read = (next().parse(), next().parse(), next().parse(), parts.next());
    match read {
        (Ok(from), Ok(to), Ok(version), None) => Ok(Some(RatePlace { from, to, version })),
        _ => Err(Problem::field("?cursor", "is not a cursor of this list")),
    }
}

impl NameBody {
    fn of(name: Name) -> NameBody {
        NameBody { en: name.en, zh: name.zh }
    }
}

impl AllianceBody {
    fn of(alliance: Alliance, version: i64, now: DateTime<Utc>) -> AllianceBody {
        AllianceBody {
            slug: alliance.slug,
            name: NameBody::of(alliance.name),
            currency: alliance.currency,
            zone: alliance.zone.name().to_owned(),
            trust_domain: alliance.trust_domain,
            sandbox: alliance.sandbox_start.is_some(),
            business_time: instant(now),
            catalogue_version: version,
            quote_ttl_seconds: alliance.quote_ttl_s,
            link_cooling_days: alliance.link_cooling_days,
            bilateral: alliance.bilateral,
        }
    }
}

impl PartnerBody {
    fn of(partner: Partner, caller: &Holder) -> PartnerBody {
        let own = match caller {
            Holder::Partner(slug) => *slug == partner.slug,
            Holder::Operator(_) => true,
        };
        let programme = partner.programme;
        let tier =
            |tier: Tier| TierBody { code: tier.code, name: NameBody::of(tier.name), never_expires: tier.never_expires };
        PartnerBody {
            slug: partner.slug.to_string(),
            name: NameBody::of(partner.name),
            trade: partner.trade,
            legal_entity: partner.legal_entity,
            status: catalogue::status_text(partner.status),
            hosted: partner.hosted,
            programme: ProgrammeBody {
                code: programme.code,
                name: NameBody::of(programme.name),
                scale: programme.scale,
                expiry_months: programme.expiry_months,
                tiers: programme.tiers.into_iter().map(tier).collect(),
                unit_cost: own.then(|| programme.unit_cost.to_string()),
            },
            member_limits: own.then(|| LimitsBody::of(&partner.limits)),
        }
    }
}

impl LimitsBody {
    fn of(limits: &MemberLimits) -> LimitsBody {
        LimitsBody {
            out_day: limits.out_day.map(Points::get),
            out_month: limits.out_month.map(Points::get),
            in_day: limits.in_day.map(Points::get),
            in_month: limits.in_month.map(Points::get),
        }
    }
}

impl RateBody {
    fn of(found: FoundRate) -> RateBody {
        let rate = found.rate;
        let valid_to = rate.ends_at().map(instant);
        RateBody {
            from: found.from.to_string(),
            to: found.to.to_string(),
            tier: match rate.tier {
                TierScope::Any => None,
                TierScope::Only(code) => Some(code),
            },
            give: rate.ratio.den(),
            get: rate.ratio.num(),
            num: rate.ratio.num(),
            den: rate.ratio.den(),
            step: rate.step.get(),
            minimum: rate.minimum.get(),
            maximum: rate.maximum.map(Points::get),
            valid_from: instant(rate.valid_from),
            valid_to,
            version: rate.version,
            public: rate.public,
        }
    }
}
