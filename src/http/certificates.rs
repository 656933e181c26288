//! `/v1/certificates`: the caller's own client certificates, seen, rotated and ended.

use super::problem::{Code, Problem};
use super::query::{self, PageQuery};
use super::{Caller, List, NoBody, StrictJson, StrictQuery};
use crate::domain::ids::Thumbprint;
use crate::service::Database;
use crate::service::certificates;
use crate::service::issuing::{self, Issued, Issuing};
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, rotate, end), components(schemas(Certificate, NewCertificate, IssuedCertificate)))]
pub(super) struct Api;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/certificates").route(web::get().to(list)).route(web::post().to(rotate)))
        .service(web::resource("/v1/certificates/{x5t}").route(web::delete().to(end)));
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
    let answers = rows.into_iter().map(|row| Certificate::new(row, &caller.x5t)).collect();
    Ok(web::Json(List::new(answers, &page, |certificate: &Certificate| certificate.x5t.clone())))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCertificate {
    /// PKCS#10 in PEM, its key on P-256. Its names and uses are not taken over.
    #[schema(min_length = 1, max_length = 16384)]
    csr: String,
}

/// A certificate just issued.
#[derive(Serialize, ToSchema)]
pub(super) struct IssuedCertificate {
    /// `partner/<slug>` or `operator/<name>`.
    holder: String,
    /// The chain, PEM, to present when calling.
    certificate: String,
    /// The alliance's authority, PEM: what the server's certificate chains to.
    ca: String,
    /// `x5t#S256` of RFC 8705.
    x5t: String,
    /// Hexadecimal.
    serial: String,
    not_before: String,
    not_after: String,
}

/// One more certificate, of a key of the caller's, while at most one is live; a request by the same key within a day is the
/// same answer again.
#[utoipa::path(post, path = "/v1/certificates", tag = "identity", request_body = NewCertificate,
    responses((status = 201, description = "Issued and registered", body = IssuedCertificate)))]
async fn rotate(
    caller: Caller,
    body: StrictJson<NewCertificate>,
    issuing: Data<Issuing>,
) -> Result<impl Responder, Problem> {
    let current = caller.x5t.to_string();
    let issued = issuing.rotate(caller.kind, current, body.0.csr).await?;
    Ok(HttpResponse::Created().json(IssuedCertificate::from(issued)))
}

/// Ends one of the caller's certificates, everywhere within two seconds; not its last live one.
#[utoipa::path(delete, path = "/v1/certificates/{x5t}", tag = "identity",
    params(("x5t" = String, Path, pattern = "^[A-Za-z0-9_-]{43}$")),
    responses((status = 200, description = "Revoked", body = Certificate)))]
async fn end(caller: Caller, x5t: Path<String>, _: NoBody, issuing: Data<Issuing>) -> Result<impl Responder, Problem> {
    let current = caller.x5t.to_string();
    let row = issuing.end(caller.kind, current, query::id::<Thumbprint>(&x5t)?.into_string()).await?;
    Ok(web::Json(Certificate::new(row, &caller.x5t)))
}

impl Certificate {
    fn new(row: certificates::Row, current: &str) -> Certificate {
        Certificate {
            current: current == row.x5t_s256,
            x5t: row.x5t_s256,
            serial: row.serial,
            status: row.status,
            not_before: super::instant(row.not_before),
            not_after: super::instant(row.not_after),
            created_at: super::instant(row.created_at),
            revoked_at: row.revoked_at.map(super::instant),
        }
    }
}

impl From<Issued> for IssuedCertificate {
    fn from(issued: Issued) -> IssuedCertificate {
        let Issued { holder, certificate, ca } = issued;
        IssuedCertificate {
            holder: holder.to_string(),
            x5t: certificate.x5t_s256,
            serial: certificate.serial,
            not_before: super::instant(certificate.not_before),
            not_after: super::instant(certificate.not_after),
            certificate: certificate.pem,
            ca,
        }
    }
}

impl From<issuing::Error> for Problem {
    fn from(error: issuing::Error) -> Problem {
        let text = error.to_string();
        match error {
            issuing::Error::Request => {
                Problem::field("/csr", "is not a PKCS#10 request in PEM, signed with its P-256 key")
            }
            issuing::Error::Token => Problem::new(Code::Forbidden).detail("The token is wrong, used or expired."),
            issuing::Error::TooMany | issuing::Error::Last | issuing::Error::Left => {
                Problem::new(Code::Forbidden).detail(text)
            }
            issuing::Error::NotFound => Problem::not_found(),
            issuing::Error::Revoked => Problem::new(Code::CertificateRevoked),
            issuing::Error::Elsewhere(_) => Problem::new(Code::Unavailable).detail(text).retry_after(60),
            issuing::Error::Store(cause) => cause.into(),
            issuing::Error::Pki(_) | issuing::Error::Randomness => Problem::internal(&error),
        }
    }
}
