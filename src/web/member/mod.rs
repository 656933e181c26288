//! The member's pages: opened by a brand's own app for one membership, whose points alone they spend.
//!
//! `session` who is there, and whether a form is ours · `shell` what is round every page · `home` points and what a
//! conversion would give · `conversions` carrying it out, undoing it, history · `benefits` claiming · `vouchers` showing
//! them · `links` consents and their withdrawal, and the pass for a till.

mod benefits;
mod conversions;
mod home;
mod links;
mod offer;
mod session;
mod shell;
mod vouchers;

use super::lang::Lang;
use super::limit;
use super::page::{self, one};
use super::trouble::Trouble;
use actix_web::HttpResponse;
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};

/// Registers the member's addresses.
pub fn configure(config: &mut ServiceConfig) {
    let pages = web::scope("/member")
        .app_data(page::queries("/member"))
        .wrap(from_fn(|request, next| limit::pace(session::COOKIE, request, next)))
        .wrap(from_fn(page::headers))
        .service(one("", web::get().to(home::show)))
        .service(one("/open/{secret}", web::get().to(session::open)))
        .service(one("/end", web::post().to(session::end)))
        .service(one("/quote", web::get().to(home::quote)))
        .service(one("/convert", web::get().to(home::convert)))
        .service(one("/conversions", web::post().to(conversions::create)))
        .service(one("/conversions/{id}", web::get().to(conversions::show)))
        .service(one("/conversions/{id}/undo", web::post().to(conversions::undo)))
        .service(one("/history", web::get().to(conversions::history)))
        .service(one("/benefits", web::get().to(benefits::list)))
        .service(one("/benefits/{id}/claims", web::post().to(benefits::claim)))
        .service(one("/vouchers", web::get().to(vouchers::list)))
        .service(one("/vouchers/{id}", web::get().to(vouchers::show)))
        .service(one("/vouchers/{id}/cancellation", web::post().to(vouchers::cancel)))
        .service(one("/links", web::get().to(links::list)))
        .service(one("/links/{id}/end", web::post().to(links::end)))
        // A pass is made by a form: its address alone leads to the first page.
        .service(one("/pass", web::get().to(home::show)).route(web::post().to(links::pass)))
        .default_service(web::to(nowhere));
    config.service(pages);
}

async fn nowhere(lang: Lang) -> Result<HttpResponse, Trouble> {
    Err(Trouble::not_found(lang).back_to("/member"))
}
