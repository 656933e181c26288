//! The handlers of `/v1`: members, points, conversions. One file per family, each with its part of the contract.

mod activities;
mod conversions;
mod events;
mod fields;
mod links;
mod member_answer;
mod memberships;
mod movements;
mod quotes;
mod reply;
mod wanted;

use crate::http::json::BodyLimits;
use crate::http::problem::{self, Problem};
use actix_web::web::{self, Data, ServiceConfig};
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa::openapi::{ContentBuilder, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, OpenApi, PartialSchema};

/// A batch of 1,000 quotes: a token takes about 2 KiB.
const BATCH_BODY: BodyLimits = BodyLimits { bytes_max: 4 << 20, patience: Duration::from_secs(20) };

/// Registers the routes; the listener adds `Data<Exchange>`.
pub fn configure(config: &mut ServiceConfig) {
    let batch = |path: &str| web::resource(path).app_data(Data::new(BATCH_BODY));
    config
        .service(batch("/v1/conversions/batch").route(web::post().to(conversions::create_batch)))
        .service(batch("/v1/credits/batch").route(web::post().to(movements::credit_batch)))
        .service(batch("/v1/debits/batch").route(web::post().to(movements::debit_batch)))
        .service(batch("/v1/memberships/batch").route(web::post().to(memberships::put_batch)))
        .service(batch("/v1/activities/batch").route(web::post().to(activities::create_batch)))
        .route("/v1/conversions", web::post().to(conversions::create))
        .route("/v1/conversions", web::get().to(conversions::find))
        .route("/v1/conversions/{id}", web::get().to(conversions::get))
        .route("/v1/conversions/{id}/undo", web::post().to(conversions::undo))
        .route("/v1/conversions/{id}/reversals", web::post().to(conversions::reverse))
        .route("/v1/reversals/{id}/confirmation", web::post().to(conversions::confirm))
        .route("/v1/quotes", web::post().to(quotes::create))
        .route("/v1/credits/{id}/reversals", web::post().to(movements::reverse_credit))
        .route("/v1/debits/{id}/reversals", web::post().to(movements::reverse_debit))
        .route("/v1/links", web::post().to(links::create))
        .route("/v1/links/accept", web::post().to(links::accept))
        .route("/v1/links/{id}", web::get().to(links::get))
        .route("/v1/links/{id}", web::delete().to(links::end))
        .route("/v1/events", web::get().to(events::list))
        .configure(configure_memberships);
}

fn configure_memberships(config: &mut ServiceConfig) {
    config
        .route("/v1/memberships", web::get().to(memberships::list))
        .route("/v1/memberships/{member_ref}", web::put().to(memberships::put))
        .route("/v1/memberships/{member_ref}", web::get().to(memberships::get))
        .route("/v1/memberships/{member_ref}/entries", web::get().to(memberships::entries))
        .route("/v1/memberships/{member_ref}/export", web::get().to(memberships::export))
        .route("/v1/memberships/{member_ref}/erasures", web::post().to(memberships::erase))
        .route("/v1/memberships/{member_ref}/credits", web::post().to(movements::credit))
        .route("/v1/memberships/{member_ref}/debits", web::post().to(movements::debit))
        .route("/v1/memberships/{member_ref}/activities", web::post().to(activities::create));
}

/// This part of the contract.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = conversions::Document::openapi();
    document.merge(quotes::Document::openapi());
    document.merge(movements::Document::openapi());
    document.merge(memberships::Document::openapi());
    document.merge(links::Document::openapi());
    document.merge(activities::Document::openapi());
    document.merge(events::Document::openapi());
    document
}

/// The ways every operation says no, for the contract.
pub struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let problem = |description: &str| {
            let content = ContentBuilder::new().schema(Some(problem::Body::schema())).build();
            let response =
                ResponseBuilder::new().description(description).content(problem::MEDIA_TYPE, content).build();
            RefOr::T(response)
        };
        [
            ("4XX", "Refused: the code says why"),
            ("500", "Something went wrong here"),
            ("503", "Ask again after Retry-After, with the same key"),
        ]
        .map(|(status, description)| (status.to_owned(), problem(description)))
        .into()
    }
}

/// Refuses an empty batch and one that is too large.
fn bounded(items: usize, most: usize) -> Result<(), Problem> {
    if (1..=most).contains(&items) {
        return Ok(());
    }
    Err(Problem::field("/items", format!("must have 1 to {most} elements")))
}
