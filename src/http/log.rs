//! The alliance's log in public, on both listeners: its checkpoint, the keys that sign it, and that it only ever grew.

use super::problem::Problem;
use super::query::StrictQuery;
use crate::service::Database;
use crate::service::settlement::view;
use actix_web::http::header;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use serde::Deserialize;
use utoipa::IntoParams;

#[derive(utoipa::OpenApi)]
#[openapi(paths(checkpoint, consistency, keys, rotations))]
pub(super) struct Api;

/// Registers the routes; the listener adds `Data<Database>`.
pub fn configure(config: &mut ServiceConfig) {
    config
        .service(web::resource("/checkpoint").route(web::get().to(checkpoint)))
        .service(web::resource("/checkpoint/consistency").route(web::get().to(consistency)))
        .service(web::resource("/checkpoint/keys").route(web::get().to(keys)))
        .service(web::resource("/.well-known/key-rotations.json").route(web::get().to(rotations)));
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Sizes {
    /// Leaves of the smaller log.
    #[param(minimum = 1)]
    from: i64,
    /// Leaves of the larger one; those of the current checkpoint unless said.
    #[param(minimum = 1)]
    to: Option<i64>,
}

/// The current checkpoint: a signed note (C2SP tlog-checkpoint) with the cosignatures of partners.
#[utoipa::path(get, path = "/checkpoint", tag = "public",
    responses((status = 200, description = "A signed note", content_type = "text/plain", body = String), (status = 404, description = "Nothing was signed yet")))]
pub(super) async fn checkpoint(database: Data<Database>) -> Result<impl Responder, Problem> {
    let note = view::checkpoint(&database).await?.ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=10"))
        .content_type("text/plain; charset=utf-8")
        .body(note))
}

/// That the larger log begins with the smaller one: a consistency proof (RFC 6962 §2.1.2), hashes in hexadecimal.
#[utoipa::path(get, path = "/checkpoint/consistency", tag = "public", params(Sizes),
    responses((status = 200, description = "from, to, path"), (status = 404, description = "The log never had that size")))]
pub(super) async fn consistency(
    database: Data<Database>,
    sizes: StrictQuery<Sizes>,
) -> Result<impl Responder, Problem> {
    Ok(HttpResponse::Ok().json(view::consistency(&database, sizes.0.from, sizes.0.to).await?))
}

/// Every key that signs or signed checkpoints, oldest first: a verifier key (C2SP signed-note) a line, `<name>+<key
/// id>+<base64>`, as note tools take it.
#[utoipa::path(get, path = "/checkpoint/keys", tag = "public",
    responses((status = 200, description = "Verifier keys", content_type = "text/plain", body = String), (status = 404, description = "Nothing was published yet")))]
pub(super) async fn keys(database: Data<Database>) -> Result<impl Responder, Problem> {
    let keys = view::log_keys(&database).await?;
    let text = keys.into_iter().fold(String::new(), |text, key| text + &key + "\n");
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=60"))
        .content_type("text/plain; charset=utf-8")
        .body(text))
}

/// Every handing over of a key that signs statements or checkpoints: General JWS documents, each signed by the old key and the new.
#[utoipa::path(get, path = "/.well-known/key-rotations.json", tag = "public", responses((status = 200, description = "items, oldest first")))]
pub(super) async fn rotations(database: Data<Database>) -> Result<impl Responder, Problem> {
    let rotations = view::rotations(&database).await?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=60")).json(rotations))
}
