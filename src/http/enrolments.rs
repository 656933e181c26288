//! `/v1/enrolments` on the plain listener: a partner's first certificate, for a one-time token.
//!
//! The token is all a caller has, so what is tried is counted by address before anything is looked up.

use super::StrictJson;
use super::certificates::IssuedCertificate;
use super::forwarded;
use super::problem::{Code, Problem};
use super::rate_limit::Attempts;
use crate::service::issuing::Issuing;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Responder};
use serde::Deserialize;
use utoipa::ToSchema;

#[derive(utoipa::OpenApi)]
#[openapi(paths(enrol), components(schemas(Enrolment)))]
pub(super) struct Api;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(web::resource("/v1/enrolments").route(web::post().to(enrol)));
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Enrolment {
    /// As `hanse pki enrol` printed it.
    #[schema(max_length = 128, pattern = "^[A-Za-z0-9_-]{1,128}$")]
    token: String,
    /// PKCS#10 in PEM, its key on P-256. Its names and uses are not taken over.
    #[schema(min_length = 1, max_length = 16384)]
    csr: String,
}

/// The first certificate of a partner, for its one-time token; on the plain listener. The same token with a request by the
/// same key is the same answer again.
#[utoipa::path(post, path = "/v1/enrolments", tag = "public", request_body = Enrolment,
    responses((status = 201, description = "Issued and registered", body = IssuedCertificate)))]
async fn enrol(
    request: HttpRequest,
    body: StrictJson<Enrolment>,
    issuing: Data<Issuing>,
    attempts: Data<Attempts>,
) -> Result<impl Responder, Problem> {
    // A connection without a peer has gone already.
    let client = forwarded::client(&request).ok_or_else(|| Problem::new(Code::Malformed))?;
    attempts.check(client)?;
    let Enrolment { token, csr } = body.0;
    let issued = issuing.enrol(token, csr).await?;
    Ok(HttpResponse::Created().json(IssuedCertificate::from(issued)))
}
