//! The handlers of `/v1`: members, points, conversions. One file per family, each with its part of the contract.

mod activities;
mod benefits;
mod conversions;
mod crossings;
mod disputes;
mod events;
mod fields;
mod liabilities;
mod links;
mod member_answer;
mod member_sessions;
mod memberships;
mod movements;
mod quotes;
mod reconciliations;
mod reply;
mod reports;
mod settlements;
mod till;
mod wanted;
mod webhook_answer;
mod webhooks;

pub(super) use fields::NOTE_MAX;
pub use member_answer::ExportAnswer;
pub use member_sessions::PagesAt;
pub use reconciliations::pages as differences;
pub use settlements::pieces as lines;

use crate::http::json::BodyLimits;
use crate::http::problem::Problem;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{Resource, Route, guard};
use std::time::Duration;
use utoipa::OpenApi;

/// A batch of 1,000 quotes: a token takes about 2 KiB.
const BATCH_BODY: BodyLimits = BodyLimits { bytes_max: 4 << 20, patience: Duration::from_secs(20) };

/// Registers the routes; the listener adds `Data<Exchange>`.
pub fn configure(config: &mut ServiceConfig) {
    // Before the addresses with a parameter in the same place.
    let batch = |path: &str, route: Route| web::resource(path).app_data(Data::new(BATCH_BODY)).route(route);
    config
        .service(batch("/v1/conversions/batch", web::post().to(conversions::create_batch)))
        .service(batch("/v1/credits/batch", web::post().to(movements::credit_batch)))
        .service(batch("/v1/debits/batch", web::post().to(movements::debit_batch)))
        // A brand may call a member `batch`: only the method of this address is taken from it.
        .service(batch("/v1/memberships/batch", web::post().to(memberships::put_batch)).guard(guard::Post()))
        .service(batch("/v1/activities/batch", web::post().to(activities::create_batch)))
        .configure(configure_conversions)
        .configure(configure_memberships)
        .configure(configure_settlement)
        .service(one("/v1/links", web::post().to(links::create)))
        .service(one("/v1/links/accept", web::post().to(links::accept)))
        .service(one("/v1/links/{id}", web::get().to(links::get)).route(web::delete().to(links::end)))
        .service(one("/v1/events", web::get().to(events::list)))
        .configure(configure_disputes)
        .configure(configure_benefits)
        .configure(configure_webhooks);
}

fn configure_benefits(config: &mut ServiceConfig) {
    let benefit = one("/v1/benefits/{id}", web::get().to(benefits::get));
    let codes = one("/v1/benefits/{id}/codes", web::post().to(benefits::add_codes));
    config
        .service(one("/v1/benefits", web::get().to(benefits::list)))
        .service(benefit.route(web::put().to(benefits::put)))
        .service(
            one("/v1/benefits/{id}/approvals", web::post().to(benefits::approve))
                .route(web::delete().to(benefits::withdraw)),
        )
        .service(codes.route(web::get().to(benefits::pool)))
        .service(one("/v1/benefits/{id}/claims", web::post().to(benefits::claim)))
        .service(one("/v1/tier-maps/{brand}", web::put().to(benefits::recognise)))
        .service(one("/v1/memberships/{member_ref}/vouchers", web::get().to(benefits::of_member)))
        .service(one("/v1/memberships/{member_ref}/passes", web::post().to(till::make_pass)))
        .service(one("/v1/passes/{code}", web::get().to(till::pass)))
        .service(one("/v1/vouchers/{code}", web::get().to(benefits::voucher)))
        .service(one("/v1/vouchers/{code}/confirmation", web::post().to(benefits::confirm)))
        .service(one("/v1/vouchers/{code}/cancellations", web::post().to(benefits::cancel)))
        .service(one("/v1/vouchers/{code}/redemptions", web::post().to(till::redeem)))
        .service(one("/v1/redemptions/{id}/reversals", web::post().to(till::reverse)));
}

fn configure_disputes(config: &mut ServiceConfig) {
    let reconciled =
        |path: &str, route: Route| one(&format!("/v1/settlements/{{window}}/reconciliations{path}"), route);
    let decision = one("/v1/disputes/{id}/decision", web::post().to(disputes::decide));
    config
        .service(one("/v1/settlements/{window}/disputes", web::post().to(disputes::open)))
        .service(one("/v1/disputes", web::get().to(disputes::list)))
        .service(one("/v1/disputes/{id}", web::get().to(disputes::get)))
        .service(one("/v1/disputes/{id}/answers", web::post().to(disputes::answer)))
        .service(one("/v1/disputes/{id}/withdrawal", web::post().to(disputes::withdraw)))
        .service(decision.route(web::delete().to(disputes::take_back)))
        .service(reconciled("", web::post().to(reconciliations::create)))
        .service(reconciled("/{id}", web::get().to(reconciliations::get)))
        .service(reconciled("/{id}/differences", web::get().to(reconciliations::differences)))
        .service(reconciled("/{id}/disputes", web::post().to(reconciliations::open)));
}

fn configure_webhooks(config: &mut ServiceConfig) {
    let hook = one("/v1/webhooks/{id}", web::get().to(webhooks::get));
    config
        .service(one("/v1/webhooks", web::get().to(webhooks::list)).route(web::post().to(webhooks::create)))
        .service(hook.route(web::put().to(webhooks::change)).route(web::delete().to(webhooks::end)))
        .service(one("/v1/webhooks/{id}/secret-rotations", web::post().to(webhooks::rotate)))
        .service(one("/v1/webhooks/{id}/test", web::post().to(webhooks::test)))
        .service(one("/v1/webhooks/{id}/deliveries", web::get().to(webhooks::deliveries)))
        .service(one("/v1/webhooks/{id}/recover", web::post().to(webhooks::recover)))
        .service(one("/v1/deliveries/{id}/resend", web::post().to(webhooks::resend)));
}

fn configure_conversions(config: &mut ServiceConfig) {
    let all = one("/v1/conversions", web::post().to(conversions::create));
    config
        .service(all.route(web::get().to(conversions::find)))
        .service(one("/v1/quotes", web::post().to(quotes::create)))
        .service(one("/v1/conversions/{id}", web::get().to(conversions::get)))
        .service(one("/v1/conversions/{id}/undo", web::post().to(conversions::undo)))
        .service(one("/v1/conversions/{id}/reversals", web::post().to(conversions::reverse)))
        .service(one("/v1/conversions/{id}/resolution", web::post().to(crossings::resolve)))
        .service(one("/v1/crossings", web::get().to(crossings::list)))
        .service(one("/v1/crossings/backlog", web::get().to(crossings::backlog)))
        .service(one("/v1/reversals/{id}/confirmation", web::post().to(conversions::confirm)))
        .service(one("/v1/credits/{id}/reversals", web::post().to(movements::reverse_credit)))
        .service(one("/v1/debits/{id}/reversals", web::post().to(movements::reverse_debit)));
}

fn configure_memberships(config: &mut ServiceConfig) {
    let member = one("/v1/memberships/{member_ref}", web::put().to(memberships::put));
    config
        .service(one("/v1/memberships", web::get().to(memberships::list)))
        .service(member.route(web::get().to(memberships::get)))
        .service(one("/v1/memberships/{member_ref}/entries", web::get().to(memberships::entries)))
        .service(one("/v1/memberships/{member_ref}/export", web::get().to(memberships::export)))
        .service(one("/v1/memberships/{member_ref}/erasures", web::post().to(memberships::erase)))
        .service(one("/v1/memberships/{member_ref}/credits", web::post().to(movements::credit)))
        .service(one("/v1/memberships/{member_ref}/debits", web::post().to(movements::debit)))
        .service(one("/v1/memberships/{member_ref}/activities", web::post().to(activities::create)))
        .service(one("/v1/memberships/{member_ref}/member-sessions", web::delete().to(member_sessions::end)))
        .service(one("/v1/member-sessions", web::post().to(member_sessions::create)));
}

fn configure_settlement(config: &mut ServiceConfig) {
    config
        .service(one("/v1/reports/{name}", web::get().to(reports::get)))
        .service(one("/v1/settlements", web::get().to(settlements::list)))
        .service(one("/v1/settlements/{window}", web::get().to(settlements::get)))
        .service(one("/v1/settlements/{window}/statement", web::get().to(settlements::statement)))
        .service(one("/v1/settlements/{window}/lines", web::get().to(settlements::lines)))
        .service(one("/v1/settlements/{window}/proofs/{conversion_id}", web::get().to(settlements::proofs)))
        .service(one("/v1/settlements/{window}/liabilities", web::post().to(liabilities::state)))
        .service(one("/v1/settlements/{window}/signatures", web::post().to(settlements::countersign)))
        .service(one("/checkpoint/cosignatures", web::post().to(settlements::cosign)));
}

/// One resource an address, so that a method it does not take is 405, not 404.
fn one(path: &str, route: Route) -> Resource {
    web::resource(path).route(route)
}

/// This part of the contract.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = conversions::Document::openapi();
    document.merge(crossings::Document::openapi());
    document.merge(quotes::Document::openapi());
    document.merge(movements::Document::openapi());
    document.merge(memberships::Document::openapi());
    document.merge(links::Document::openapi());
    document.merge(activities::Document::openapi());
    document.merge(events::Document::openapi());
    document.merge(settlements::Document::openapi());
    document.merge(liabilities::Document::openapi());
    document.merge(reports::Document::openapi());
    document.merge(disputes::Document::openapi());
    document.merge(reconciliations::Document::openapi());
    document.merge(webhooks::Document::openapi());
    document.merge(benefits::Document::openapi());
    document.merge(till::Document::openapi());
    document.merge(member_sessions::Document::openapi());
    document
}

/// Refuses an empty batch and one that is too large.
fn bounded(items: usize, most: usize) -> Result<(), Problem> {
    if (1..=most).contains(&items) {
        return Ok(());
    }
    Err(Problem::field("/items", format!("must have 1 to {most} elements")))
}
