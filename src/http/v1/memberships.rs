//! `/v1/memberships`: a brand's own members, their points, their history.

use super::fields::{Fields, named};
use super::member_answer::{EntryAnswer, ExportAnswer, MembershipAnswer, MembershipSummary};
use super::reply::{self, Outcome, Outcomes};
use crate::domain::benefit::is_word;
use crate::domain::ids::AccountId;
use crate::domain::text::Text;
use crate::http::{Caller, List, NoBody, Page, Problem, RequestId, StrictJson, StrictQuery};
use crate::service::answer::Shown;
use crate::service::command::{Status, TierSource};
use crate::service::exchange::{Error, Exchange, newest};
use crate::service::memberships::{self, Filter, Told};
use crate::service::{erasures, exports};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, OpenApi, ToSchema};
use uuid::Uuid;

#[derive(OpenApi)]
#[openapi(paths(put, put_batch, get, list, entries, export, erase))]
pub struct Document;

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatusName {
    Active,
    Frozen,
    Closed,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TierSourceName {
    #[default]
    Earned,
    Granted,
    Trial,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdentityName {
    None,
    Phone,
    Verified,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "tier": "ordinary", "status": "active" }))]
pub struct MembershipRequest {
    /// A code of the programme's ladder.
    #[schema(min_length = 1, max_length = 128, example = "ordinary")]
    tier: String,
    /// `earned` unless said; a granted or trial tier opens benefits only.
    tier_source: Option<TierSourceName>,
    #[schema(format = Date)]
    tier_until: Option<String>,
    status: StatusName,
    #[schema(min_length = 1, max_length = 128)]
    status_reason: Option<String>,
    identity: Option<IdentityName>,
    #[schema(minimum = 1, maximum = 12)]
    birth_month: Option<i64>,
    #[schema(format = Date)]
    member_since: Option<String>,
    /// What the brand has put on its member, for benefits of chosen ones; left out, what is there stays.
    #[schema(max_items = 32, example = json!(["organic"]))]
    tags: Option<Vec<String>>,
    /// Of this state, by the caller's clock; an older one than the stored is `stale`.
    #[schema(format = DateTime)]
    as_of: Option<String>,
    /// Closing with points left forfeits them.
    forfeit: Option<bool>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "items": [{ "member_ref": "L-1002", "tier": "ordinary", "status": "active" }] }))]
pub struct MembershipBatch {
    #[schema(min_items = 1, max_items = 1000)]
    items: Vec<MembershipItem>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MembershipItem {
    #[schema(min_length = 1, max_length = 128, example = "L-1001")]
    member_ref: String,
    #[schema(min_length = 1, max_length = 128, example = "ordinary")]
    tier: String,
    tier_source: Option<TierSourceName>,
    #[schema(format = Date)]
    tier_until: Option<String>,
    status: StatusName,
    #[schema(min_length = 1, max_length = 128)]
    status_reason: Option<String>,
    identity: Option<IdentityName>,
    #[schema(minimum = 1, maximum = 12)]
    birth_month: Option<i64>,
    #[schema(format = Date)]
    member_since: Option<String>,
    #[schema(max_items = 32)]
    tags: Option<Vec<String>>,
    #[schema(format = DateTime)]
    as_of: Option<String>,
    forfeit: Option<bool>,
}

/// What one item made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MembershipMade)]
pub struct Made {
    #[schema(example = 200)]
    status: u16,
    #[schema(value_type = String, pattern = "^mem_[0-9a-f]{32}$")]
    membership_id: Shown<AccountId>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MembershipSearch {
    status: Option<StatusName>,
    #[param(format = DateTime)]
    changed_after: Option<String>,
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EntryPage {
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Erasure {
    #[schema(example = "0198c0de-0000-7000-8000-0000000000aa")]
    erasure_id: String,
    #[schema(value_type = String, pattern = "^mem_[0-9a-f]{32}$")]
    membership_id: Shown<AccountId>,
    #[schema(value_type = String, format = DateTime)]
    erased_at: DateTime<Utc>,
}

impl StatusName {
    fn code(self) -> &'static str {
        match self {
            StatusName::Active => "active",
            StatusName::Frozen => "frozen",
            StatusName::Closed => "closed",
        }
    }
}

impl From<StatusName> for Status {
    fn from(name: StatusName) -> Status {
        match name {
            StatusName::Active => Status::Active,
            StatusName::Frozen => Status::Frozen,
            StatusName::Closed => Status::Closed,
        }
    }
}

impl From<TierSourceName> for TierSource {
    fn from(name: TierSourceName) -> TierSource {
        match name {
            TierSourceName::Earned => TierSource::Earned,
            TierSourceName::Granted => TierSource::Granted,
            TierSourceName::Trial => TierSource::Trial,
        }
    }
}

impl IdentityName {
    fn code(self) -> &'static str {
        match self {
            IdentityName::None => "none",
            IdentityName::Phone => "phone",
            IdentityName::Verified => "verified",
        }
    }
}

impl MembershipItem {
    fn split(self) -> (String, MembershipRequest) {
        let request = MembershipRequest {
            tier: self.tier,
            tier_source: self.tier_source,
            tier_until: self.tier_until,
            status: self.status,
            status_reason: self.status_reason,
            identity: self.identity,
            birth_month: self.birth_month,
            member_since: self.member_since,
            tags: self.tags,
            as_of: self.as_of,
            forfeit: self.forfeit,
        };
        (self.member_ref, request)
    }
}

impl MembershipRequest {
    fn check(self, mut fields: Fields, member_ref: Option<Text>, ladder: &[String]) -> Result<Told, Error> {
        let told = self.read(&mut fields, member_ref, ladder);
        fields.finish(told)
    }

    fn read(self, fields: &mut Fields, member_ref: Option<Text>, ladder: &[String]) -> Option<Told> {
        let tier = fields.text("tier", self.tier);
        if tier.as_ref().is_some_and(|tier| !ladder.iter().any(|known| known == tier.as_str())) {
            fields.fault("tier", "must be a tier of the programme");
        }
        let tier_until = fields.maybe_day("tier_until", self.tier_until.as_deref());
        let status_reason = fields.maybe_text("status_reason", self.status_reason);
        let birth_month =
            self.birth_month.map(|month| i16::try_from(month).ok().filter(|month| (1..=12).contains(month)));
        if birth_month == Some(None) {
            fields.fault("birth_month", "must be 1 to 12");
        }
        let member_since = fields.maybe_day("member_since", self.member_since.as_deref());
        let as_of = fields.maybe_instant("as_of", self.as_of.as_deref());
        if self.tags.as_ref().is_some_and(|tags| tags.len() > 32 || !tags.iter().all(|tag| is_word(tag))) {
            fields.fault("tags", "must be at most 32 words of 1 to 32 of a-z, 0-9, - and _");
        }
        Some(Told {
            member_ref: member_ref?,
            tier: tier?,
            tier_source: self.tier_source.unwrap_or_default().into(),
            tier_until: tier_until?,
            status: self.status.into(),
            status_reason: status_reason?,
            identity: self.identity.map(IdentityName::code),
            birth_month: birth_month.flatten(),
            member_since: member_since?,
            tags: self.tags,
            as_of: as_of?,
            forfeit: self.forfeit.unwrap_or(false),
        })
    }
}

/// The tier codes of the caller's programme.
async fn ladder(exchange: &Exchange, caller: &Caller) -> Result<Vec<String>, Problem> {
    let partner = caller.partner()?;
    let mut catalogue = exchange.catalogue.load_full();
    if !catalogue.partners.contains_key(partner) {
        // It may have been published a moment ago: the book has not had to know yet.
        let shared = exchange.catalogue.clone();
        catalogue = exchange.database.run(move |conn| newest(conn, &shared)).await?;
    }
    let partner = catalogue.partners.get(partner);
    Ok(partner
        .map(|partner| partner.programme.tiers.iter().map(|tier| tier.code.clone()).collect())
        .unwrap_or_default())
}

/// Registers or updates a membership; creates its account.
#[utoipa::path(
    put, path = "/v1/memberships/{member_ref}", tag = "memberships", request_body = MembershipRequest,
    params(("member_ref" = String, Path, min_length = 1, max_length = 128, example = "L-1001")),
    responses((status = 200, description = "As it stands now", body = MembershipAnswer))
)]
pub async fn put(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    member_ref: Path<String>,
    body: StrictJson<MembershipRequest>,
) -> Result<HttpResponse, Problem> {
    let member_ref = named(member_ref.into_inner())?;
    let told = body.0.check(Fields::default(), Some(member_ref), &ladder(&exchange, &caller).await?)?;
    let whole = memberships::put(&exchange, caller.partner()?, request.0, told).await?;
    reply::json(StatusCode::OK, &MembershipAnswer::new(&whole))
}

/// Registers or updates up to 1,000 memberships, each by itself.
#[utoipa::path(
    post, path = "/v1/memberships/batch", tag = "memberships", request_body = MembershipBatch,
    responses((status = 200, description = "One outcome per item, in order", body = Outcomes<Outcome<Made>>))
)]
pub async fn put_batch(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    body: StrictJson<MembershipBatch>,
) -> Result<HttpResponse, Problem> {
    super::bounded(body.0.items.len(), crate::service::conversions::BATCH_MAX)?;
    let ladder = ladder(&exchange, &caller).await?;
    let check = |(index, item): (usize, MembershipItem)| {
        let mut fields = Fields::of_item(index);
        let (member_ref, request) = item.split();
        let member_ref = fields.text("member_ref", member_ref);
        request.check(fields, member_ref, &ladder)
    };
    let items = body.0.items.into_iter().enumerate().map(check).collect();
    let outcomes = memberships::put_all(&exchange, caller.partner()?, request.0, items).await;
    let render = |outcome: Result<AccountId, Error>| match outcome {
        Ok(id) => Outcome::Made(Made { status: StatusCode::OK.as_u16(), membership_id: Shown(id) }),
        Err(error) => Outcome::refused(&Problem::from(error), request.0),
    };
    reply::json(StatusCode::OK, &Outcomes::new(outcomes.into_iter().map(render)))
}

/// One membership with its points, lots and links. An operator names the membership id.
#[utoipa::path(
    get, path = "/v1/memberships/{member_ref}", tag = "memberships",
    params(("member_ref" = String, Path, min_length = 1, max_length = 128, example = "L-1001")),
    responses((status = 200, description = "As it stands now", body = MembershipAnswer))
)]
pub async fn get(exchange: Data<Exchange>, caller: Caller, member_ref: Path<String>) -> Result<HttpResponse, Problem> {
    let whole = memberships::get(&exchange, &caller.kind, named(member_ref.into_inner())?).await?;
    reply::json(StatusCode::OK, &MembershipAnswer::new(&whole))
}

/// Memberships in the order of change.
#[utoipa::path(
    get, path = "/v1/memberships", tag = "memberships", params(MembershipSearch),
    responses((status = 200, description = "One page", body = List<MembershipSummary>))
)]
pub async fn list(
    exchange: Data<Exchange>,
    caller: Caller,
    search: StrictQuery<MembershipSearch>,
) -> Result<HttpResponse, Problem> {
    let MembershipSearch { status, changed_after, limit, cursor } = search.0;
    let page = Page::new(limit, cursor.as_deref())?;
    let changed_after = changed_after.as_deref().map(|text| Fields::default().instant("changed_after", text));
    if changed_after == Some(None) {
        return Err(Problem::field("?changed_after", "must be a time, RFC 3339"));
    }
    let after = page.after.as_deref().map(place).transpose()?;
    let filter =
        Filter { partner: None, status: status.map(StatusName::code), changed_after: changed_after.flatten(), after };
    let found = memberships::list(&exchange, &caller.kind, filter, page.limit + 1).await?;
    let items = found.into_iter().map(MembershipSummary::new).collect();
    reply::json(StatusCode::OK, &List::new(items, &page, MembershipSummary::place))
}

/// Where a page ended: the time of change in microseconds and the membership's id.
fn place(text: &str) -> Result<(DateTime<Utc>, Uuid), Problem> {
    let read = text.split_once('.').and_then(|(at, id)| {
        let at = DateTime::from_timestamp_micros(at.parse().ok()?)?;
        Some((at, id.parse::<AccountId>().ok()?.0))
    });
    read.ok_or_else(|| Problem::field("?cursor", "is not a cursor of this list"))
}

/// An account's journal, newest first.
#[utoipa::path(
    get, path = "/v1/memberships/{member_ref}/entries", tag = "memberships",
    params(("member_ref" = String, Path, min_length = 1, max_length = 128, example = "L-1001"), EntryPage),
    responses((status = 200, description = "One page", body = List<EntryAnswer>))
)]
pub async fn entries(
    exchange: Data<Exchange>,
    caller: Caller,
    member_ref: Path<String>,
    page: StrictQuery<EntryPage>,
) -> Result<HttpResponse, Problem> {
    let page = Page::new(page.0.limit, page.0.cursor.as_deref())?;
    let named = named(member_ref.into_inner())?;
    let found = memberships::entries(&exchange, &caller.kind, named, page.after()?, page.limit + 1).await?;
    let items = found.iter().map(EntryAnswer::new).collect();
    reply::json(StatusCode::OK, &List::new(items, &page, |entry| entry.place.to_string()))
}

/// Everything kept about the person at this brand.
#[utoipa::path(
    get, path = "/v1/memberships/{member_ref}/export", tag = "memberships",
    params(("member_ref" = String, Path, min_length = 1, max_length = 128, example = "L-1001")),
    responses((status = 200, description = "Everything", body = ExportAnswer))
)]
pub async fn export(
    exchange: Data<Exchange>,
    caller: Caller,
    member_ref: Path<String>,
) -> Result<HttpResponse, Problem> {
    let export = exports::read(&exchange, &caller.kind, named(member_ref.into_inner())?).await?;
    reply::json(StatusCode::OK, &ExportAnswer::new(&export, &exchange.currency()))
}

/// Forgets a person: closes the account for good and destroys whose it was; money lines stay. `open_business` while points
/// of it are held, or a dispute of one of its conversions is not over.
#[utoipa::path(
    post, path = "/v1/memberships/{member_ref}/erasures", tag = "memberships",
    params(("member_ref" = String, Path, min_length = 1, max_length = 128, example = "L-1099")),
    responses((status = 201, description = "Forgotten", body = Erasure))
)]
pub async fn erase(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    member_ref: Path<String>,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let member_ref = named(member_ref.into_inner())?;
    let erased = erasures::erase(&exchange, caller.partner()?, request.0, member_ref).await?;
    let (erasure_id, membership_id) = (erased.id.to_string(), Shown(erased.account));
    reply::json(StatusCode::CREATED, &Erasure { erasure_id, membership_id, erased_at: erased.at })
}
