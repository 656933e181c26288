//! Pages for people: members, and those who work for a brand or the operator.
//!
//! Where to look: `lang` which language · `words` every text in both · `page` how a page is answered and what its headers
//! forbid · `form` whose form it is · `limit` how fast they are asked for · `trouble` every no, as a page · `terms` what a
//! voucher is good for · `assets` styles and scripts · `member` the member's pages and their session · `staff` consoles and
//! theirs.
//!
//! Pages work without a script; with one they are quicker to use. A form carries a token made of the session's cookie, and
//! every address asks who is there before anything is read.

mod assets;
mod form;
mod lang;
mod limit;
pub mod member;
mod page;
pub mod staff;
mod terms;
mod trouble;
mod words;

use actix_web::web::ServiceConfig;

/// Registers every page; the listener adds `Data<Exchange>`, `Data<Vouchers>`, `Data<Webhooks>`, `Data<Staffing>` and
/// `Data<PagesAt>`.
pub fn configure(config: &mut ServiceConfig) {
    config.configure(assets::configure).configure(member::configure).configure(staff::configure);
}
