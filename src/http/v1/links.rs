//! `/v1/links`: two memberships of one person, tied with their consent.

use super::fields::Fields;
use super::reply;
use crate::domain::ids::{AccountId, LinkId, TokenId};
use crate::http::{Caller, NoBody, Problem, RequestId, StrictJson, query};
use crate::service::answer::Shown;
use crate::service::exchange::Exchange;
use crate::service::links::{self, Agreed, Seen};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(paths(create, accept, get, end))]
pub struct Document;

/// What the member agreed to, with whom and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsentRequest {
    /// Of the text the member read.
    #[schema(min_length = 1, max_length = 128, example = "2026-01")]
    version: String,
    /// Who may be told; the other brand unless said.
    #[schema(min_length = 1, max_length = 128)]
    recipient: Option<String>,
    #[schema(min_length = 1, max_length = 128, example = "exchange of points")]
    purpose: Option<String>,
    #[schema(min_length = 1, max_length = 128, example = "app")]
    method: Option<String>,
    #[schema(max_items = 32)]
    categories: Option<Vec<String>>,
    /// The other brand may spend this membership's points.
    pull: Option<bool>,
    /// Who agreed for a member that may not yet.
    #[schema(min_length = 1, max_length = 128)]
    guardian: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "member_ref": "L-1001", "to": "kettle", "consent": { "version": "2026-01", "purpose": "exchange of points", "method": "app" } }))]
pub struct LinkRequest {
    #[schema(min_length = 1, max_length = 128, example = "L-1001")]
    member_ref: String,
    /// The brand to link to.
    #[schema(pattern = "^[a-z][a-z0-9-]{1,31}$", example = "kettle")]
    to: String,
    consent: ConsentRequest,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptRequest {
    /// As the member typed it: any case, with or without hyphens.
    #[schema(min_length = 8, max_length = 32, pattern = "^[ -~]+$", example = "0Y4K-7M2P")]
    code: String,
    #[schema(min_length = 1, max_length = 128, example = "H-2001")]
    member_ref: String,
    consent: ConsentRequest,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LinkAsked {
    #[schema(value_type = String, pattern = "^lnk_[0-9a-f]{32}$")]
    link_id: Shown<LinkId>,
    /// Eight characters, for ten minutes and five tries. Shown once.
    #[schema(example = "0Y4K7M2P")]
    code: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: DateTime<Utc>,
}

/// A link as one of its brands sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Link)]
pub struct LinkAnswer {
    #[schema(value_type = String, pattern = "^lnk_[0-9a-f]{32}$")]
    link_id: Shown<LinkId>,
    /// pending, cooling, active, ended.
    #[schema(value_type = String, example = "active")]
    state: &'static str,
    from: String,
    to: String,
    /// The reader's own membership.
    #[schema(value_type = Option<String>)]
    membership_id: Option<Shown<AccountId>>,
    /// By which the reader knows the other side's member.
    #[schema(value_type = Option<String>)]
    counterpart: Option<Shown<TokenId>>,
    /// End of cooling.
    #[schema(value_type = Option<String>, format = DateTime)]
    opens_at: Option<DateTime<Utc>>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<DateTime<Utc>>,
    /// Of the code, while pending.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<DateTime<Utc>>,
}

impl ConsentRequest {
    fn read(self, fields: &mut Fields) -> Option<Agreed> {
        let version = fields.text("consent/version", self.version);
        let recipient = fields.maybe_text("consent/recipient", self.recipient);
        let purpose = fields.maybe_text("consent/purpose", self.purpose);
        let method = fields.maybe_text("consent/method", self.method);
        let categories = fields.texts("consent/categories", self.categories.unwrap_or_default());
        let guardian = fields.maybe_text("consent/guardian", self.guardian);
        Some(Agreed {
            version: version?,
            recipient: recipient?,
            purpose: purpose?,
            method: method?,
            categories: categories?,
            pull: self.pull.unwrap_or(false),
            guardian: guardian?,
        })
    }
}

impl LinkAnswer {
    fn new(seen: &Seen) -> LinkAnswer {
        LinkAnswer {
            link_id: Shown(seen.link),
            state: seen.state,
            from: seen.from.to_string(),
            to: seen.to.to_string(),
            membership_id: seen.own.map(Shown),
            counterpart: seen.counterpart.map(Shown),
            opens_at: seen.opens_at,
            ended_at: seen.ended_at,
            expires_at: seen.expires_at,
        }
    }
}

/// Asks for a link and gets the code the member carries to the other brand.
#[utoipa::path(
    post, path = "/v1/links", tag = "links", request_body = LinkRequest,
    responses((status = 201, description = "Pending", body = LinkAsked))
)]
pub async fn create(
    exchange: Data<Exchange>,
    caller: Caller,
    body: StrictJson<LinkRequest>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::default();
    let member_ref = fields.text("member_ref", body.0.member_ref);
    let to = fields.slug("to", &body.0.to);
    let agreed = body.0.consent.read(&mut fields);
    let ((member_ref, to), agreed) = fields.finish(member_ref.zip(to).zip(agreed))?;
    let asked = links::ask(&exchange, caller.partner()?, member_ref, to, agreed).await?;
    let (link_id, code) = (Shown(asked.link), asked.code.as_str().to_owned());
    reply::json(StatusCode::CREATED, &LinkAsked { link_id, code, expires_at: asked.expires_at })
}

/// Accepts a link with the code the member brought.
#[utoipa::path(
    post, path = "/v1/links/accept", tag = "links", request_body = AcceptRequest,
    responses((status = 200, description = "Linked", body = LinkAnswer))
)]
pub async fn accept(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    body: StrictJson<AcceptRequest>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::default();
    let member_ref = fields.text("member_ref", body.0.member_ref);
    let agreed = body.0.consent.read(&mut fields);
    let (member_ref, agreed) = fields.finish(member_ref.zip(agreed))?;
    let seen = links::accept(&exchange, caller.partner()?, request.0, &body.0.code, member_ref, agreed).await?;
    reply::json(StatusCode::OK, &LinkAnswer::new(&seen))
}

/// One link.
#[utoipa::path(
    get, path = "/v1/links/{id}", tag = "links", params(("id" = String, Path, pattern = "^lnk_[0-9a-f]{32}$")),
    responses((status = 200, description = "As it stands now", body = LinkAnswer))
)]
pub async fn get(exchange: Data<Exchange>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let id: LinkId = query::id(&id)?;
    reply::json(StatusCode::OK, &LinkAnswer::new(&links::get(&exchange, &caller.kind, id).await?))
}

/// Ends a link, or withdraws the request for one.
#[utoipa::path(
    delete, path = "/v1/links/{id}", tag = "links", params(("id" = String, Path, pattern = "^lnk_[0-9a-f]{32}$")),
    responses((status = 200, description = "Ended", body = LinkAnswer))
)]
pub async fn end(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    id: Path<String>,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let id: LinkId = query::id(&id)?;
    let seen = links::end(&exchange, caller.partner()?, request.0, id).await?;
    reply::json(StatusCode::OK, &LinkAnswer::new(&seen))
}
