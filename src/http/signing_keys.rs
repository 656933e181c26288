//! `/v1/signing-keys`: the keys with which the caller approves and counter-signs.

use super::problem::{Code, Problem};
use super::query::{self, PageQuery};
use super::{Caller, List, NoBody, StrictJson, StrictQuery};
use crate::domain::ids::Thumbprint;
use crate::service::Database;
use crate::service::signing_keys::{self, RegisterError};
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, register, retire), components(schemas(SigningKey, NewSigningKey, Jwk)))]
pub(super) struct Api;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/signing-keys").route(web::get().to(list)).route(web::post().to(register)))
        .service(web::resource("/v1/signing-keys/{kid}/retire").route(web::post().to(retire)));
}

/// A registered public key.
#[derive(Serialize, ToSchema)]
pub(super) struct SigningKey {
    /// RFC 7638 thumbprint of the key.
    kid: String,
    #[schema(value_type = Jwk)]
    jwk: serde_json::Value,
    /// `active` or `retired`.
    status: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retired_at: Option<String>,
}

/// A public key as a JWK (RFC 7517): Ed25519, or EC with P-256; no other members.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes in the contract what the service reads and writes as JSON")]
pub(super) struct Jwk {
    #[schema(pattern = "^(OKP|EC)$", example = "OKP")]
    kty: String,
    #[schema(pattern = "^(Ed25519|P-256)$", example = "Ed25519")]
    crv: String,
    #[schema(pattern = "^[A-Za-z0-9_-]{43}$", example = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")]
    x: String,
    /// Of a key on P-256.
    #[schema(pattern = "^[A-Za-z0-9_-]{43}$", nullable = false)]
    y: Option<String>,
    /// Its RFC 7638 thumbprint.
    #[schema(pattern = "^[A-Za-z0-9_-]{43}$", nullable = false)]
    kid: Option<String>,
    #[schema(pattern = "^(EdDSA|Ed25519|ES256)$", nullable = false)]
    alg: Option<String>,
    #[schema(pattern = "^sig$", nullable = false)]
    r#use: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSigningKey {
    #[schema(value_type = Jwk)]
    jwk: serde_json::Value,
    /// A compact JWS by this key, `typ` `key-proof+jws`, over the canonical JSON `{"kid":…,"partner":<slug>}`;
    /// `"operator":<name>` for an operator.
    #[schema(pattern = "^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$")]
    proof: String,
}

/// The caller's keys, retired ones included.
#[utoipa::path(get, path = "/v1/signing-keys", tag = "identity",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "Keys", body = List<SigningKey>)))]
async fn list(
    caller: Caller,
    query: StrictQuery<PageQuery>,
    database: Data<Database>,
) -> Result<impl Responder, Problem> {
    let page = query.0.page()?;
    let rows = signing_keys::list(&database, caller.kind, page.after()?, page.limit + 1).await?;
    let keys = rows.into_iter().map(SigningKey::from).collect();
    Ok(web::Json(List::new(keys, &page, |key: &SigningKey| key.kid.clone())))
}

/// Registers a key; the same key again is the same answer.
#[utoipa::path(post, path = "/v1/signing-keys", tag = "identity", request_body = NewSigningKey,
    responses((status = 201, description = "Registered", body = SigningKey)))]
async fn register(
    caller: Caller,
    body: StrictJson<NewSigningKey>,
    database: Data<Database>,
) -> Result<impl Responder, Problem> {
    let row = signing_keys::register(&database, caller.kind, &body.0.jwk, &body.0.proof).await?;
    Ok(HttpResponse::Created().json(SigningKey::from(row)))
}

/// Ends a key; what it has signed stays signed.
#[utoipa::path(post, path = "/v1/signing-keys/{kid}/retire", tag = "identity", params(("kid" = String, Path, pattern = "^[A-Za-z0-9_-]{43}$")),
    responses((status = 200, description = "Retired", body = SigningKey)))]
async fn retire(
    caller: Caller,
    kid: Path<String>,
    _: NoBody,
    database: Data<Database>,
) -> Result<impl Responder, Problem> {
    let row = signing_keys::retire(&database, caller.kind, query::id::<Thumbprint>(&kid)?.into_string()).await?;
    Ok(web::Json(SigningKey::from(row.ok_or_else(Problem::not_found)?)))
}

impl From<signing_keys::Row> for SigningKey {
    fn from(row: signing_keys::Row) -> SigningKey {
        SigningKey {
            kid: row.kid,
            jwk: row.jwk,
            status: row.status,
            created_at: super::instant(row.created_at),
            retired_at: row.retired_at.map(super::instant),
        }
    }
}

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Problem {
        match error {
            RegisterError::Key(why) => Problem::field("/jwk", why.to_string()),
            RegisterError::Proof => Problem::field("/proof", "is not a proof by this key for this caller"),
            RegisterError::Retired => Problem::field("/jwk", "has been retired and is never used again"),
            RegisterError::Taken => Problem::field("/jwk", "is registered already"),
            RegisterError::TooMany => Problem::new(Code::Forbidden).detail("Retire a key first: 20 are active."),
            RegisterError::Store(cause) => cause.into(),
        }
    }
}
