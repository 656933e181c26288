//! `/v1/certificates`: the caller's own client certificates.

use super::problem::Problem;
use super::query::PageQuery;
use super::{Caller, List, StrictQuery};
use crate::service::Database;
use crate::service::certificates;
use actix_web::Responder;
use actix_web::web::{self, Data, ServiceConfig};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(utoipa::OpenApi)]
#[openapi(paths(list), components(schemas(Certificate)))]
pub(super) struct Api;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(web::resource("/v1/certificates").route(web::get().to(list)));
}

/// A client certificate of the alliance's authority.
#[derive(Serialize, ToSchema)]
pub(super) struct Certificate {
    /// `x5t#S256` of RFC 8705.
    x5t: String,
    /// Hexadecimal.
    serial: String,
    /// `active` or `revoked`.
    status: String,
    not_before: String,
    not_after: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
    /// The one this request came with.
    current: bool,
}

/// The caller's certificates, revoked and expired ones included.
#[utoipa::path(get, path = "/v1/certificates", tag = "identity",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "Certificates", body = List<Certificate>)))]
async fn list(
    caller: Caller,
    query: StrictQuery<PageQuery>,
    database: Data<Database>,
) -> Result<impl Responder, Problem> {
    let page = query.0.page()?;
    let rows = certificates::list(&database, caller.kind, page.after()?, page.limit + 1).await?;
    let answer = |row: certificates::Row| Certificate {
        current: *caller.x5t == *row.x5t_s256,
        x5t: row.x5t_s256,
        serial: row.serial,
        status: row.status,
        not_before: super::instant(row.not_before),
        not_after: super::instant(row.not_after),
        created_at: super::instant(row.created_at),
        revoked_at: row.revoked_at.map(super::instant),
    };
    let answers = rows.into_iter().map(answer).collect();
    Ok(web::Json(List::new(answers, &page, |certificate: &Certificate| certificate.x5t.clone())))
}
