//! The plain listener: what needs no caller. Health, metrics, the contract, the alliance's public keys.

use super::openapi;
use super::problem::{Code, Problem};
use actix_web::http::header;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use serde::Serialize;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the plain listener asks of the rest of the process.
#[derive(Clone)]
pub struct Probes {
    pub ready: Arc<dyn Fn() -> Answer<Readiness> + Send + Sync>,
    /// The metrics in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The alliance's public keys as a JWK set, old ones included.
    pub jwks: Arc<dyn Fn() -> Answer<Option<serde_json::Value>> + Send + Sync>,
}

/// Whether this server may be sent requests, and what was checked.
#[derive(Clone, Debug, Serialize)]
pub struct Readiness {
    pub ready: bool,
    /// Durability settings of the database and whatever else was looked at.
    #[serde(flatten)]
    pub checks: serde_json::Map<String, serde_json::Value>,
}

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(web::resource("/healthz").route(web::get().to(healthz)))
        .service(web::resource("/readyz").route(web::get().to(readyz)))
        .service(web::resource("/metrics").route(web::get().to(metrics)))
        .service(web::resource("/openapi.json").route(web::get().to(openapi)))
        .service(web::resource("/.well-known/jwks.json").route(web::get().to(jwks)));
}

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "public", responses((status = 200, description = "Alive")))]
pub(super) async fn healthz() -> impl Responder {
    HttpResponse::Ok().json(serde_json::json!({ "status": "ok" }))
}

/// The database answers and keeps what it is told; says which settings were checked.
#[utoipa::path(get, path = "/readyz", tag = "public",
    responses((status = 200, description = "Ready"), (status = 503, description = "Not ready")))]
pub(super) async fn readyz(probes: Data<Probes>) -> Result<impl Responder, Problem> {
    let readiness = (probes.ready)().await;
    if readiness.ready {
        return Ok(HttpResponse::Ok().json(readiness));
    }
    let checks = serde_json::Value::Object(readiness.checks).to_string();
    Err(Problem::new(Code::Unavailable).detail(format!("Not ready: {checks}")))
}

/// Counters and histograms in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "public", responses((status = 200, description = "Metrics", content_type = "text/plain")))]
pub(super) async fn metrics(probes: Data<Probes>) -> impl Responder {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body((probes.metrics)())
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "public", responses((status = 200, description = "The contract")))]
pub(super) async fn openapi() -> impl Responder {
    HttpResponse::Ok().json(openapi::document())
}

/// The alliance's public keys; old ones stay, so that what they signed can be checked for ever.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "public", responses((status = 200, description = "A JWK set (RFC 7517)")))]
pub(super) async fn jwks(probes: Data<Probes>) -> Result<impl Responder, Problem> {
    let keys = (probes.jwks)().await.ok_or_else(|| Problem::new(Code::Unavailable))?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=60")).json(keys))
}
