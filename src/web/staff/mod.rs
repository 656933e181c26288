//! Pages of the people who work for a brand or for the operator: consoles, the till, the alliance in figures.
//!
//! `session` who is there, signing in and out · `enrolment` setting up one's own login · `shell` what is round every page, and
//! which places there are for whom · `people` staff and their log · `figures` the alliance day by day · `finance` windows,
//! statements, disputes, payments · `till` vouchers and passes ·
//! `operations` what is between two ledgers, and health · `partner` a partner's own business. Everything is read and done
//! through the services as the partner, or the operator, that the person works for; what a role may not do is refused
//! here, before anything is read.

mod enrolment;
mod figures;
mod finance;
mod operations;
mod partner;
mod people;
mod session;
mod shell;
mod till;

pub use session::signed_in;
pub use shell::Place;

use super::lang::Lang;
use super::limit;
use super::page::{self, one};
use super::trouble::Trouble;
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Resource};

/// Days before its end from which a certificate is shown as near it.
const NEAR_DAYS: i64 = 30;

/// Registers the staff's addresses; the listener adds `Data<Staffing>` beside what members' pages need.
pub fn configure(config: &mut ServiceConfig) {
    let sign_in = one("/sign-in", web::get().to(session::show)).route(web::post().to(session::sign_in));
    let enrol = one("/sign-in/enrol/{code}", web::get().to(enrolment::show)).route(web::post().to(enrolment::choose));
    let enrolment = one("/sign-in/enrolment", web::post().to(enrolment::confirm));
    let console = web::scope("/console")
        .app_data(page::queries("/console"))
        .wrap(from_fn(|request, next| limit::pace(session::COOKIE, request, next)))
        .wrap(from_fn(page::headers))
        .service(one("", web::get().to(shell::home)))
        .service(one("/sign-out", web::post().to(session::sign_out)))
        .service(one("/sign-out-everywhere", web::post().to(session::sign_out_everywhere)))
        .service(one("/log", web::get().to(people::log)))
        .service(one("/people", web::get().to(people::list)).route(web::post().to(people::add)))
        .service(one("/people/{login}/role", web::post().to(people::change_role)))
        .service(one("/people/{login}/reset", web::post().to(people::reset)))
        .service(one("/people/{login}/sessions", web::post().to(people::end_sessions)))
        .service(one("/people/{login}/removal", web::post().to(people::remove)))
        .configure(figures::configure)
        .configure(finance::configure)
        .configure(operations::configure)
        .configure(partner::configure)
        .default_service(web::to(nowhere));
    config
        .service(door(sign_in).wrap(from_fn(page::headers)))
        .service(door(enrol).wrap(from_fn(page::headers)))
        .service(door(enrolment).wrap(from_fn(page::headers)))
        .service(console)
        .configure(till::configure);
}

/// What is open to who has not signed in.
fn door(resource: Resource) -> Resource {
    resource.app_data(page::forms("/sign-in"))
}

async fn nowhere(lang: Lang) -> Result<HttpResponse, Trouble> {
    Err(Trouble::not_found(lang).back_to("/console"))
}
