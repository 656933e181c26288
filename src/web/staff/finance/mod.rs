//! Finance: windows and their statements, counter-signing, disputes, payments, lists compared, liability.
//!
//! `windows` the list, one window, ending it, reports as files, the liability ladder · `statement` figures and the lines
//! behind them · `sign` a partner's own signature · `disputes` · `payments` · `lists` a partner's own list against its lines ·
//! `tables` a report as tables. A partner is shown its own, the operator everybody's: the services see to it.

mod disputes;
mod lists;
mod payments;
mod sign;
mod statement;
mod tables;
mod windows;

use super::one;
use super::session::Staff;
use super::shell::Shell;
use crate::domain::ids::{Slug, WindowId};
use crate::domain::money::Millionths;
use crate::http::problem::{Code, Problem};
use crate::service::exchange::Exchange;
use crate::service::settlement::view::{self, Which};
use crate::web::form::FormMax;
use crate::web::lang::Lang;
use crate::web::page;
use crate::web::trouble::{Trouble, What};
use actix_web::web::{self, FormConfig, ServiceConfig};

const WINDOWS: &str = "/console/windows";
/// Bytes of a form with a whole signed document or a partner's list in it: the 4 MB that its page promises, each byte of
/// which may be sent as three (`%2C`).
const LARGE: usize = 3 * (4 << 20) + 4_096;

/// Registers finance's addresses, below `/console`.
pub(super) fn configure(config: &mut ServiceConfig) {
    let large = |path: &str| web::resource(path).app_data(FormMax(LARGE)).app_data(FormConfig::default().limit(LARGE));
    config
        .service(one("/windows", web::get().to(windows::list)))
        .service(one("/windows/liability", web::get().to(windows::liability)))
        .service(one("/windows/liability/file", web::get().to(windows::liability_file)))
        .service(one("/windows/{window}", web::get().to(windows::show)))
        .service(one("/windows/{window}/close", web::post().to(windows::close)))
        .service(one("/windows/{window}/retry", web::post().to(windows::retry)))
        .service(one("/windows/{window}/reports/{name}", web::get().to(windows::file)))
        .service(one("/windows/{window}/statements/{of}", web::get().to(statement::show)))
        .service(one("/windows/{window}/statements/{of}/document", web::get().to(statement::document)))
        .service(one("/windows/{window}/statements/{of}/lines", web::get().to(statement::lines)))
        .service(one("/windows/{window}/statements/{of}/lines.csv", web::get().to(statement::lines_csv)))
        .service(one("/windows/{window}/payload", web::get().to(sign::payload)))
        .service(large("/windows/{window}/sign").route(web::get().to(sign::show)).route(web::post().to(sign::submit)))
        .service(one("/windows/{window}/dispute", web::get().to(disputes::form)).route(web::post().to(disputes::open)))
        .service(one("/disputes", web::get().to(disputes::list)))
        .service(one("/disputes/{id}", web::get().to(disputes::show)))
        .service(one("/disputes/{id}/answer", web::post().to(disputes::answer)))
        .service(one("/disputes/{id}/withdrawal", web::post().to(disputes::withdraw)))
        .service(one("/disputes/{id}/decision", web::post().to(disputes::decide)))
        .service(one("/disputes/{id}/take-back", web::post().to(disputes::take_back)))
        .service(one("/payments", web::get().to(payments::list)))
        .service(one("/payments/{obligation}", web::post().to(payments::record)))
        .service(large("/reconciliations").route(web::get().to(lists::list)).route(web::post().to(lists::compare)))
        .service(one("/reconciliations/{window}/{id}", web::get().to(lists::show)))
        .service(one("/reconciliations/{window}/{id}/differences.csv", web::get().to(lists::csv)))
        .service(one("/reconciliations/{window}/{id}/disputes", web::post().to(lists::dispute)));
}

/// For `map_err`: a no of a service in this page's language.
fn no<E: Into<Problem>>(staff: &Staff, back: &'static str) -> impl Fn(E) -> Trouble + use<E> {
    let lang = staff.lang;
    move |error| Trouble::new(What::Told(error.into()), lang).back_to(back)
}

fn not_found(staff: &Staff, back: &'static str) -> Trouble {
    Trouble::not_found(staff.lang).back_to(back)
}

/// Which window an address names.
fn which(staff: &Staff, text: &str) -> Result<Which, Trouble> {
    Which::parse(text).ok_or_else(|| not_found(staff, WINDOWS))
}

async fn id_of(exchange: &Exchange, staff: &Staff, text: &str) -> Result<WindowId, Trouble> {
    view::named(exchange, which(staff, text)?).await.map_err(no(staff, WINDOWS))
}

/// What is a partner's own to do.
fn partner<'a>(staff: &'a Staff, back: &'static str) -> Result<&'a Slug, Trouble> {
    staff.signed.partner().ok_or_else(|| Trouble::new(What::Role, staff.lang).back_to(back))
}

/// A field of a form that does not fit, and why, in this page's language.
fn unfit(staff: &Staff, back: &'static str, why: fn(Lang) -> &'static str) -> Trouble {
    Trouble::new(What::Typed(why(staff.lang)), staff.lang).back_to(back)
}

/// A field that people write to people in, as the API takes it.
fn note(staff: &Staff, back: &'static str, text: &str) -> Result<String, Trouble> {
    page::note(text).ok_or_else(|| unfit(staff, back, Lang::why_reason_unfit))
}

/// An amount that may be left out.
fn amount(staff: &Staff, back: &'static str, text: &str) -> Result<Option<Millionths>, Trouble> {
    // People write the minus that they read.
    let text = text.trim().replace(',', "").replace('−', "-");
    if text.is_empty() {
        return Ok(None);
    }
    let read = Millionths::parse(&text).filter(|_| text.len() <= 20);
    read.map(Some).ok_or_else(|| unfit(staff, back, Lang::why_amount_unfit))
}

/// Too many do this at once.
fn busy(staff: &Staff, back: &'static str) -> Trouble {
    no::<Problem>(staff, back)(Problem::new(Code::QueueFull))
}

/// What a participant is called, or the alliance's settlement account.
fn party(shell: &Shell, text: &str) -> String {
    match text {
        "operator" => shell.lang.operator_party().to_owned(),
        "alliance" => shell.lang.settlement_account().to_owned(),
        _ => text.parse().map_or_else(|_| text.to_owned(), |slug| shell.brand_of(&slug)),
    }
}

/// Digits in groups of three, as sums are read.
fn money(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("−", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "00"));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), |whole: i64| Lang::En.number(whole));
    format!("{sign}{whole}.{fraction}")
}
