//! A partner's own business: rates and agreements, proposals that wait for it, conversions, exposures, benefits, webhooks,
//! certificates and keys. An operator sees those of all.

mod benefits;
mod conversions;
mod exposures;
mod keys;
mod proposals;
mod rates;
mod webhooks;

use super::one;
use actix_web::web::{self, ServiceConfig};

pub fn configure(config: &mut ServiceConfig) {
    config
        .service(one("/rates", web::get().to(rates::show)))
        .service(one("/proposals", web::get().to(proposals::list)))
        .service(one("/proposals/{id}", web::get().to(proposals::show)))
        .service(
            one("/proposals/{id}/approvals", web::post().to(proposals::approve)).route(web::get().to(proposals::show)),
        )
        .service(one("/conversions", web::get().to(conversions::search)))
        .service(one("/conversions/{id}", web::get().to(conversions::show)))
        .service(one("/exposures", web::get().to(exposures::show)))
        .service(one("/benefits", web::get().to(benefits::list)))
        .service(one("/benefits/{id}/approvals", web::post().to(benefits::approve)))
        .service(one("/benefits/{id}/withdrawal", web::post().to(benefits::withdraw)))
        .service(one("/benefits/{id}/state", web::post().to(benefits::set)))
        .service(one("/webhooks", web::get().to(webhooks::list)))
        .service(one("/webhooks/{id}", web::get().to(webhooks::show)))
        .service(one("/deliveries/{id}/resend", web::post().to(webhooks::resend)))
        .service(one("/keys", web::get().to(keys::show)));
}
