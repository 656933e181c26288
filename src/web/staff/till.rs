//! The till: what is shown is a voucher of this brand's or a member's pass; a voucher is taken, one's own mistake taken back.
//!
//! A code is never part of an address. Each form that redeems has an idempotency key of its own: sent twice, it is one
//! redemption. The book decides; what is said before is what a till may expect.

use super::session::{self, Staff};
use super::shell::{Place, Shell};
use super::{nowhere, one};
use crate::domain::ids::{Slug, UseId};
use crate::domain::money::Millionths;
use crate::domain::staff::Permission;
use crate::domain::text::Text;
use crate::http::Problem;
use crate::service::benefits::passes::{self, Recognised};
use crate::service::benefits::till::{self, Expected, Shown, Used};
use crate::service::command::{Code, Hint, UseRow};
use crate::service::exchange::{Call, Error, Exchange};
use crate::service::staff::{Act, Staffing};
use crate::web::form::{Posted, plain_key};
use crate::web::trouble::{Trouble, What, why};
use crate::web::{limit, page, terms};
use actix_web::cookie::{Cookie, SameSite, time};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use askama::Template;
use serde::Deserialize;
use uuid::Uuid;

/// Remembers store and till of this browser; it names nobody.
const COOKIE: &str = "hanse-till";

/// Forms are answered with pages, too: their addresses alone lead to the first one.
pub fn configure(config: &mut ServiceConfig) {
    let till = web::scope("/till")
        .app_data(page::queries("/till"))
        .wrap(from_fn(|request, next| limit::pace(session::COOKIE, request, next)))
        .wrap(from_fn(page::headers))
        .service(one("", web::get().to(show)))
        .service(one("/place", web::post().to(place)))
        .service(one("/look", web::get().to(show)).route(web::post().to(look)))
        .service(one("/redemptions", web::get().to(show)).route(web::post().to(redeem)))
        .service(one("/redemptions/{id}", web::get().to(taken)))
        .service(one("/redemptions/{id}/reversal", web::post().to(reverse)))
        .default_service(web::to(nowhere));
    config.service(till);
}

/// Where a till is.
#[derive(Clone, Debug, Default)]
struct Here {
    store: String,
    till: String,
}

impl Here {
    fn of(request: &HttpRequest) -> Option<Here> {
        let cookie = request.cookie(COOKIE)?;
        let (store, till) = cookie.value().split_once('\n')?;
        Some(Here { store: store.to_owned(), till: till.to_owned() })
    }

    fn text(&self, shell: &Shell) -> String {
        place_text(shell, Some(&self.store), Some(&self.till).filter(|till| !till.is_empty()))
    }
}

fn place_text(shell: &Shell, store: Option<&String>, till: Option<&String>) -> String {
    match (store, till) {
        (Some(store), Some(till)) => shell.lang.till_here(store, till),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => String::new(),
    }
}

/// The brand whose till it is: an operator has none.
fn giver(staff: &Staff) -> Result<Slug, Trouble> {
    staff.check(Permission::RedeemVouchers)?;
    staff.partner().cloned()
}

fn unfit(staff: &Staff, what: &'static str) -> impl Fn() -> Trouble + use<> {
    let lang = staff.lang;
    move || Trouble::new(What::Unfit(what), lang).back_to("/till")
}

#[derive(Template)]
#[template(path = "staff/till/start.html")]
struct Start<'a> {
    shell: &'a Shell,
    here: Option<String>,
    store: String,
    till: String,
    /// What was typed is neither a voucher of this brand's nor a pass.
    unknown: bool,
}

/// Asks what is shown; first of all, where this till is.
pub async fn show(exchange: Data<Exchange>, request: HttpRequest, staff: Staff) -> Result<HttpResponse, Trouble> {
    giver(&staff)?;
    start(&exchange, &staff, &request, StatusCode::OK)
}

fn start(
    exchange: &Exchange,
    staff: &Staff,
    request: &HttpRequest,
    status: StatusCode,
) -> Result<HttpResponse, Trouble> {
    let shell = Shell::new(exchange, staff, request, Place::Till);
    let here = Here::of(request);
    let text = here.as_ref().map(|here| here.text(&shell));
    let Here { store, till } = here.unwrap_or_default();
    page::html(status, &Start { here: text, store, till, unknown: status != StatusCode::OK, shell: &shell })
}

#[derive(Debug, Deserialize)]
pub struct Placed {
    store: String,
    #[serde(default)]
    till: String,
}

/// Remembers where this till is.
pub async fn place(posted: Posted<Staff, Placed>) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: staff, form } = posted;
    giver(&staff)?;
    let store = Text::new(form.store.trim().to_owned()).map_err(|_| unfit(&staff, "place")())?;
    let till = maybe_text(&staff, &form.till, "place")?.map(Text::into_string).unwrap_or_default();
    let value = format!("{}\n{till}", store.as_str());
    let cookie = Cookie::build(COOKIE, value).path("/till").http_only(true).same_site(SameSite::Strict);
    let cookie = cookie.max_age(time::Duration::days(365)).finish();
    let to = (header::LOCATION, "/till".to_owned());
    // Encoded, as names of stores are in any script.
    let set = (header::SET_COOKIE, cookie.encoded().to_string());
    Ok(HttpResponse::SeeOther().insert_header(to).insert_header(set).finish())
}

fn maybe_text(staff: &Staff, raw: &str, what: &'static str) -> Result<Option<Text>, Trouble> {
    match raw.trim() {
        "" => Ok(None),
        text => Text::new(text.to_owned()).map(Some).map_err(|_| unfit(staff, what)()),
    }
}

/// A bill as people type it.
fn bill_of(staff: &Staff, raw: &str) -> Result<Option<Millionths>, Trouble> {
    let typed: String = raw.chars().filter(|c| !c.is_whitespace() && *c != ',').collect();
    if typed.is_empty() {
        return Ok(None);
    }
    let whole = typed.split('.').next().unwrap_or_default().len();
    let bill = Millionths::parse(&typed).filter(|bill| whole <= 12 && bill.get() >= 0);
    bill.map(Some).ok_or_else(unfit(staff, "bill"))
}

#[derive(Debug, Deserialize)]
pub struct Looked {
    code: String,
    #[serde(default)]
    bill: String,
}

/// What it is that was shown.
pub async fn look(
    exchange: Data<Exchange>,
    request: HttpRequest,
    posted: Posted<Staff, Looked>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: staff, form } = posted;
    let giver = giver(&staff)?;
    let bill = bill_of(&staff, &form.bill)?;
    let code = form.code.trim();
    match till::expect(&exchange, &giver, code, bill).await {
        Ok(expected) => {
            let shell = Shell::new(&exchange, &staff, &request, Place::Till);
            page::html(StatusCode::OK, &voucher(&shell, code, bill, &expected))
        }
        Err(Error::NotFound) => match passes::look(&exchange, &giver, code).await {
            Ok(found) => {
                let shell = Shell::new(&exchange, &staff, &request, Place::Till);
                page::html(StatusCode::OK, &member(&shell, &giver, &found))
            }
            Err(Error::NotFound) => start(&exchange, &staff, &request, StatusCode::NOT_FOUND),
            Err(other) => Err(staff.no("/till")(other)),
        },
        Err(other) => Err(staff.no("/till")(other)),
    }
}

/// A no in words, with what more is known of it.
struct No {
    text: String,
    lines: Vec<String>,
}

fn no(shell: &Shell, problem: &Problem, first: Option<&UseRow>) -> No {
    let lines = first.map(|first| {
        let place = place_text(shell, first.store.as_ref(), first.till.as_ref());
        [shell.lang.till_used_at(shell.instant(first.at), place), shell.lang.till_used_as(first.id)]
    });
    No { text: why(problem, shell.lang), lines: lines.into_iter().flatten().collect() }
}

#[derive(Template)]
#[template(path = "staff/till/voucher.html")]
struct VoucherPage<'a> {
    shell: &'a Shell,
    name: String,
    kind: &'static str,
    members_of: String,
    use_by: String,
    no: Option<No>,
    facts: Vec<String>,
    off: Option<String>,
    to_pay: Option<String>,
    cash: Option<String>,
    code: String,
    key: String,
    bill: String,
    is_coupon: bool,
    /// Another bill may make it good.
    may_ask: bool,
    may_redeem: bool,
}

fn voucher<'a>(shell: &'a Shell, code: &str, bill: Option<Millionths>, expected: &Expected) -> VoucherPage<'a> {
    let (lang, row) = (shell.lang, &expected.voucher);
    let terms = &row.terms;
    let problem = expected.no.clone().map(Problem::from);
    let first = expected.no.as_ref().and_then(|refusal| match &refusal.hint {
        Hint::Redeemed { id } => expected.uses.iter().find(|one| one.id.to_string() == *id),
        _ => None,
    });
    let uses = (terms.uses > 1).then(|| lang.uses_left(terms.uses - row.used, terms.uses));
    let worth = terms.face_value.map(|value| lang.worth(shell.money(value)));
    let off = terms.discount.map(|discount| terms::off(lang, discount, |amount| shell.money(amount)));
    let black = terms::black_days(lang, &row.terms.blackouts);
    let facts = [off, worth, uses].into_iter().flatten().chain(black);
    let is_coupon = terms.discount.is_some();
    let is_short = expected.no.as_ref().is_some_and(|refusal| refusal.code == Code::BelowThreshold);
    VoucherPage {
        name: lang.name(&terms.name).to_owned(),
        kind: lang.kind(terms.kind),
        members_of: lang.till_members_of(shell.brand_of(&terms.brand)),
        use_by: lang.use_by(shell.day(row.use_by)),
        facts: facts.collect(),
        off: expected.discount.map(|off| shell.money(off)),
        to_pay: bill.zip(expected.discount).and_then(|(bill, off)| bill.minus(off)).map(|left| shell.money(left)),
        cash: (terms.cash != Millionths::ZERO).then(|| shell.money(terms.cash)),
        code: code.to_owned(),
        key: Uuid::new_v4().simple().to_string(),
        bill: bill.map(|bill| bill.to_string()).unwrap_or_default(),
        is_coupon,
        may_ask: problem.is_none() || is_short,
        may_redeem: problem.is_none() && (!is_coupon || bill.is_some()),
        no: problem.map(|problem| no(shell, &problem, first)),
        shell,
    }
}

#[derive(Template)]
#[template(path = "staff/till/pass.html")]
struct PassPage<'a> {
    shell: &'a Shell,
    facts: Vec<(&'static str, String)>,
    shared: Vec<(&'static str, String)>,
}

fn member<'a>(shell: &'a Shell, till: &Slug, found: &Recognised) -> PassPage<'a> {
    let (lang, shared) = (shell.lang, &found.shared);
    let recognised = found.recognised.as_ref().map(|tier| (lang.till_recognised(), shell.tier_of(till, tier)));
    let facts = [
        Some((lang.till_brand(), shell.brand_of(&found.brand))),
        Some((lang.till_tier(), shell.tier_of(&found.brand, &found.tier))),
        recognised,
    ];
    let shared = [
        shared.identity.clone().map(|identity| (lang.till_identity(), identity)),
        shared.birth_month.map(|month| (lang.till_birth_month(), month.to_string())),
        shared.member_since.map(|day| (lang.till_member_since(), shell.day(day))),
        shared.tags.as_ref().filter(|tags| !tags.is_empty()).map(|tags| (lang.till_tags(), tags.join(", "))),
    ];
    PassPage { facts: facts.into_iter().flatten().collect(), shared: shared.into_iter().flatten().collect(), shell }
}

#[derive(Debug, Deserialize)]
pub struct Redeemed {
    code: String,
    key: String,
    #[serde(default)]
    bill: String,
    #[serde(default)]
    receipt: String,
}

/// A key of this person's forms alone.
fn key_of(staff: &Staff, key: &str) -> String {
    format!("{}.{}", staff.signed.staff, plain_key(key))
}

/// Takes a voucher; sent twice, it is taken once.
pub async fn redeem(
    exchange: Data<Exchange>,
    staffing: Data<Staffing>,
    request: HttpRequest,
    posted: Posted<Staff, Redeemed>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: staff, form } = posted;
    let giver = giver(&staff)?;
    let Some(here) = Here::of(&request) else { return Ok(page::see_other("/till")) };
    let key = key_of(&staff, &form.key);
    let shown = Shown {
        bill: bill_of(&staff, &form.bill)?,
        store: Text::new(here.store).map_err(|_| unfit(&staff, "place")())?,
        till: maybe_text(&staff, &here.till, "place")?,
        receipt: maybe_text(&staff, &form.receipt, "receipt")?,
        reference: Text::new(key.clone()).map_err(|_| unfit(&staff, "receipt")())?,
        code: form.code,
    };
    let call = Call { caller: &giver, request_id: staff.request_id, key: &key };
    match till::redeem(&exchange, call, shown).await {
        Ok(done) => {
            let id = done.row.used.id;
            staffing.note(&staff.signed, Act::new("voucher.redeemed", id).with("voucher", done.row.used.voucher)).await;
            Ok(page::see_other(&format!("/till/redemptions/{id}")))
        }
        Err(error) => refused(&exchange, &staff, &request, error).await,
    }
}

#[derive(Template)]
#[template(path = "staff/till/refused.html")]
struct RefusedPage<'a> {
    shell: &'a Shell,
    no: No,
}

/// The book's no, with the use that came before.
async fn refused(
    exchange: &Exchange,
    staff: &Staff,
    request: &HttpRequest,
    error: Error,
) -> Result<HttpResponse, Trouble> {
    let giver = giver(staff)?;
    let problem = Problem::from(error);
    let first = match problem.hint() {
        Hint::Redeemed { id } => match id.parse::<UseId>() {
            Ok(id) => till::used(exchange, &giver, id).await.ok(),
            Err(_) => None,
        },
        _ => None,
    };
    let shell = Shell::new(exchange, staff, request, Place::Till);
    let status = problem.status_code();
    let no = no(&shell, &problem, first.as_ref().map(|first| first.used.as_ref()));
    page::html(status, &RefusedPage { no, shell: &shell })
}

#[derive(Template)]
#[template(path = "staff/till/taken.html")]
struct TakenPage<'a> {
    shell: &'a Shell,
    title: &'static str,
    name: String,
    id: String,
    at: String,
    place: String,
    receipt: Option<String>,
    reason: Option<String>,
    off: Option<String>,
    to_pay: Option<String>,
    cash: Option<String>,
    key: String,
    /// A redemption that was not taken back.
    is_standing: bool,
    /// Why this person does not take it back; empty where they may.
    no: &'static str,
}

/// What was taken, and a way to take it back.
pub async fn taken(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let found = redemption(&exchange, &staff, &id).await?;
    let in_time = till::may_take_back(&exchange, &found.used).await.map_err(staff.no("/till"))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Till);
    let (one, lang) = (found.used.as_ref(), staff.lang);
    let is_standing = one.reverses.is_none() && !one.reversed;
    let money = |amount: Option<Millionths>| amount.map(|amount| shell.money(amount));
    let taken = TakenPage {
        title: if is_standing { lang.till_redeemed() } else { lang.till_taken_back() },
        name: lang.name(&one.terms.name).to_owned(),
        id: one.id.to_string(),
        at: shell.instant(one.at),
        place: place_text(&shell, one.store.as_ref(), one.till.as_ref()),
        receipt: one.receipt.clone(),
        reason: one.reason.clone(),
        off: money(one.discount),
        to_pay: money(one.bill.zip(one.discount).and_then(|(bill, off)| bill.minus(off))),
        cash: money(Some(one.terms.cash).filter(|cash| *cash != Millionths::ZERO)),
        key: Uuid::new_v4().simple().to_string(),
        is_standing,
        no: match is_own(&staff, one) {
            _ if !in_time => lang.till_too_late(),
            true => "",
            false => lang.till_not_yours(),
        },
        shell: &shell,
    };
    page::html(StatusCode::OK, &taken)
}

async fn redemption(exchange: &Exchange, staff: &Staff, id: &str) -> Result<Used, Trouble> {
    let giver = giver(staff)?;
    let id: UseId = id.parse().map_err(|_| Trouble::not_found(staff.lang).back_to("/till"))?;
    till::used(exchange, &giver, id).await.map_err(staff.no("/till"))
}

/// Whether this person has redeemed it: its reference says so.
fn is_own(staff: &Staff, one: &UseRow) -> bool {
    let own = format!("{}.", staff.signed.staff);
    one.reference.as_ref().is_some_and(|reference| reference.starts_with(&own))
}

#[derive(Debug, Deserialize)]
pub struct TakenBack {
    reason: String,
    key: String,
}

/// Takes back one's own mistake.
pub async fn reverse(
    exchange: Data<Exchange>,
    staffing: Data<Staffing>,
    posted: Posted<Staff, TakenBack>,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: staff, form } = posted;
    let giver = giver(&staff)?;
    let found = redemption(&exchange, &staff, &id).await?;
    if !is_own(&staff, &found.used) {
        return Err(Trouble::new(What::Role, staff.lang).back_to("/till"));
    }
    let reason = page::note(&form.reason).ok_or_else(unfit(&staff, "reason"))?;
    let key = key_of(&staff, &form.key);
    let call = Call { caller: &giver, request_id: staff.request_id, key: &key };
    till::reverse(&exchange, call, found.used.id, reason.clone(), None).await.map_err(staff.no("/till"))?;
    staffing.note(&staff.signed, Act::new("voucher.redemption_reversed", found.used.id).with("reason", reason)).await;
    Ok(page::see_other(&format!("/till/redemptions/{}", found.used.id)))
}
