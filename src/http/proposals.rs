//! `/v1/proposals`: changes of the catalogue, and the signatures both sides give them.

use super::catalogue::viewer;
use super::problem::{Code, Problem};
use super::query::{self, PageQuery};
use super::{Caller, List, StrictJson, StrictQuery, instant};
use crate::domain::proposal::Subject;
use crate::service::Database;
use crate::service::proposals::{self, Error, Proposal};
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, get, approve), components(schemas(ProposalBody, NewApproval)))]
pub(super) struct Api;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/proposals").route(web::get().to(list)))
        .service(web::resource("/v1/proposals/{id}").route(web::get().to(get)))
        .service(web::resource("/v1/proposals/{id}/approvals").route(web::post().to(approve)));
}

#[derive(Serialize, ToSchema)]
#[schema(as = Approval)]
pub(super) struct ApprovalBody {
    /// `from`, `to` or `operator`.
    side: &'static str,
    /// Thumbprint of the key that signed.
    kid: String,
    approved_at: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Proposal)]
pub(super) struct ProposalBody {
    id: String,
    /// `alliance`, `partner` or `pair`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// `proposed`, `approved`, `published` or `withdrawn`.
    state: &'static str,
    /// Business time; the notice of a cut runs from here.
    proposed_at: String,
    notice_days: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    published_at: Option<String>,
    /// Of the catalogue that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    published_version: Option<i64>,
    /// The change as canonical JSON (RFC 8785): exactly these bytes are the payload of an approval.
    canonical: String,
    approvals: Vec<ApprovalBody>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewApproval {
    /// A compact JWS over the bytes of `canonical`, `typ` `proposal+jws`, by a registered key of the caller.
    #[schema(pattern = "^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$")]
    jws: String,
}

/// Proposals the caller is a side of, newest first; an operator sees all.
#[utoipa::path(get, path = "/v1/proposals", tag = "catalogue",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "Proposals", body = List<ProposalBody>)))]
async fn list(
    caller: Caller,
    query: StrictQuery<PageQuery>,
    database: Data<Database>,
) -> Result<impl Responder, Problem> {
    let page = query.0.page()?;
    let found = proposals::list(&database, viewer(&caller.kind), page.after()?, page.limit + 1).await?;
    let bodies = found.into_iter().map(ProposalBody::of).collect();
    Ok(web::Json(List::new(bodies, &page, |proposal: &ProposalBody| proposal.id.clone())))
}

/// One proposal.
#[utoipa::path(get, path = "/v1/proposals/{id}", tag = "catalogue", params(("id" = String, Path, pattern = "^prp_[0-9a-f]{32}$")),
    responses((status = 200, description = "The proposal", body = ProposalBody)))]
async fn get(caller: Caller, id: Path<String>, database: Data<Database>) -> Result<impl Responder, Problem> {
    let found = proposals::get(&database, caller.kind, query::id(&id)?).await?;
    Ok(web::Json(ProposalBody::of(found)))
}

/// Approves a proposal for the caller's side; the same key again changes nothing.
#[utoipa::path(post, path = "/v1/proposals/{id}/approvals", tag = "catalogue", params(("id" = String, Path, pattern = "^prp_[0-9a-f]{32}$")),
    request_body = NewApproval,
    responses((status = 201, description = "Approved for this side", body = ProposalBody)))]
async fn approve(
    caller: Caller,
    id: Path<String>,
    body: StrictJson<NewApproval>,
    database: Data<Database>,
) -> Result<impl Responder, Problem> {
    let signed = proposals::sign(&database, caller.kind, query::id(&id)?, body.0.jws).await?;
    Ok(HttpResponse::Created().json(ProposalBody::of(signed)))
}

impl ProposalBody {
    fn of(proposal: Proposal) -> ProposalBody {
        let kind = proposal.subject.kind();
        let (from, to) = match proposal.subject {
            Subject::Alliance => (None, None),
            Subject::Partner(own) => (Some(own.to_string()), None),
            Subject::Pair(from, to) => (Some(from.to_string()), Some(to.to_string())),
        };
        let approvals = proposal.approvals.into_iter().map(|approval| ApprovalBody {
            side: approval.side.code(),
            kid: approval.kid,
            approved_at: instant(approval.approved_at),
        });
        ProposalBody {
            id: proposal.id.to_string(),
            kind,
            from,
            to,
            state: proposal.state.text(),
            proposed_at: instant(proposal.proposed_at),
            notice_days: proposal.notice_days,
            published_at: proposal.published_at.map(instant),
            published_version: proposal.published_version,
            canonical: proposal.change,
            approvals: approvals.collect(),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        match error {
            Error::Store(cause) => cause.into(),
            Error::NotFound => Problem::not_found(),
            Error::Signature(why) => Problem::field("/jws", why),
            Error::Closed(state) => Problem::new(Code::Stale).detail(format!("The proposal is {state} already.")),
            // Only publishing says these, and that is no matter of this API.
            other => Problem::internal(&other),
        }
    }
}
