//! Benefits that this partner gives, in numbers, opened and closed; and those whose payer it is.

use crate::domain::benefit::{Offer, Payer, SettlesAt};
use crate::domain::holder::Holder;
use crate::domain::ids::{BenefitId, Slug};
use crate::domain::staff::Permission;
use crate::service::benefits::{OPERATOR, Row, offers};
use crate::service::exchange::{Error, Exchange};
use crate::service::staff::Act;
use crate::service::staff::log::{self, Actor};
use crate::web::form::{Nothing, Posted};
use crate::web::page;
use crate::web::staff::session::Staff;
use crate::web::staff::shell::{Place, Shell};
use crate::web::trouble::Trouble;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;

/// Benefits of one page.
const PAGE: i64 = 50;
const BACK: &str = "/console/benefits";

struct BenefitShown {
    id: String,
    version: i64,
    name: String,
    code: String,
    giver: String,
    kind: &'static str,
    is_open: bool,
    quota: String,
    taken: String,
    left: String,
    pool: String,
    /// Who pays beside the giver and has not said yes.
    pending: Vec<String>,
    may_set: bool,
    /// What this house is to pay, offer by offer, where it has not said yes.
    to_pay: Vec<PaidShown>,
    may_approve: bool,
    too_new: bool,
    /// This house pays, and may take its yes back.
    may_withdraw: bool,
}

/// An offer that somebody else pays for than its giver.
struct PaidShown {
    to: String,
    /// For each use, as it is agreed.
    cost: String,
    face: Option<String>,
    settles: &'static str,
    quota: String,
}

#[derive(Template)]
#[template(path = "staff/partner/benefits.html")]
struct BenefitsPage<'a> {
    shell: &'a Shell,
    benefits: Vec<BenefitShown>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct After {
    giver: Option<String>,
    code: Option<String>,
}

/// Those it gives and those offered to its members; an operator sees all.
pub async fn list(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    after: Query<After>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeBenefits)?;
    let After { giver, code } = after.into_inner();
    // What is no benefit's place is as if it were not there.
    let after = giver.zip(code).filter(|(giver, code)| offers::is_place(giver, code));
    let found = offers::list(&exchange, staff.holder(), None, after, PAGE).await;
    let found = found.map_err(staff.no("/console"))?;
    let is_full = i64::try_from(found.len()).is_ok_and(|count| count >= PAGE);
    let next = found.last().filter(|_| is_full).map(|row| row.benefit.clone());
    let mut benefits = Vec::with_capacity(found.len());
    let shell = Shell::new(&exchange, &staff, &request, Place::Benefits);
    for row in found {
        let pool = pool(&exchange, &staff, &row).await?;
        benefits.push(shown(&shell, &staff, row, pool));
    }
    let next = next.map(|last| format!("{BACK}?giver={}&code={}", last.giver, last.code));
    page::html(StatusCode::OK, &BenefitsPage { benefits, next, shell: &shell })
}

/// The pool of its own codes in numbers: who gives it sees it.
async fn pool(exchange: &Exchange, staff: &Staff, row: &Row) -> Result<Option<(i64, i64)>, Trouble> {
    let own = staff.signed.partner().filter(|own| row.benefit.pooled && **own == row.benefit.giver);
    let Some(giver) = own else { return Ok(None) };
    match offers::pool(exchange, giver, row.benefit.id).await {
        Ok(pool) => Ok(Some((pool.available, pool.total))),
        Err(Error::NotFound) => Ok(None),
        Err(other) => Err(staff.no(BACK)(other)),
    }
}

fn shown(shell: &Shell, staff: &Staff, row: Row, pool: Option<(i64, i64)>) -> BenefitShown {
    let (lang, benefit) = (shell.lang, &row.benefit);
    let is_own = staff.signed.partner() == Some(&benefit.giver);
    let own = match staff.holder() {
        Holder::Partner(slug) => slug.as_str(),
        Holder::Operator(_) => OPERATOR,
    };
    let pending = row.payers.keys().filter(|payer| !row.approved.contains(payer));
    // Others' approvals are the giver's affair.
    let pending = pending.filter(|payer| is_own || payer.as_str() == own || own == OPERATOR);
    let brand = |payer: &String| match payer.parse::<Slug>() {
        Ok(slug) if payer != OPERATOR => shell.brand_of(&slug),
        _ => lang.operator().to_owned(),
    };
    let has_approved = row.approved.iter().any(|payer| payer == own);
    let awaits = row.payers.contains_key(own) && !has_approved;
    let to_pay = if awaits { to_pay(shell, &row, own) } else { Vec::new() };
    BenefitShown {
        may_approve: !to_pay.is_empty() && staff.signed.may_be_one_of_two(Permission::ApproveRates),
        too_new: staff.is_too_new(Permission::ApproveRates),
        may_withdraw: has_approved && staff.signed.may(Permission::ApproveRates),
        to_pay,
        id: benefit.id.to_string(),
        version: benefit.version,
        name: lang.name(&benefit.name).to_owned(),
        code: benefit.code.clone(),
        giver: shell.brand_of(&benefit.giver),
        kind: lang.kind(benefit.kind),
        is_open: benefit.open,
        quota: row.quota.map_or_else(|| lang.no_limit().to_owned(), |quota| lang.number(quota)),
        taken: lang.number(row.taken),
        left: row.quota.map(|quota| lang.number((quota - row.taken).max(0))).unwrap_or_default(),
        pool: pool.map(|(left, all)| lang.of_codes(lang.number(left), lang.number(all))).unwrap_or_default(),
        pending: pending.map(brand).collect(),
        may_set: is_own && staff.signed.may(Permission::ManageBenefits),
    }
}

/// The offers of a benefit that `own` pays for.
fn to_pay(shell: &Shell, row: &Row, own: &str) -> Vec<PaidShown> {
    let (lang, benefit) = (shell.lang, &row.benefit);
    let paid = |offer: &&Offer| match benefit.payer(offer) {
        Some(Payer::Partner(slug)) => slug.as_str() == own,
        Some(Payer::Operator) => own == OPERATOR,
        None => false,
    };
    let settles = match benefit.settles_at {
        SettlesAt::Issue => lang.settles_at_issue(),
        SettlesAt::Redemption => lang.settles_at_redemption(),
    };
    let shown = |offer: &Offer| PaidShown {
        to: shell.brand_of(&offer.to),
        cost: shell.money(offer.cost),
        face: benefit.face_value.map(|face| shell.money(face)),
        settles,
        quota: row.quota.map_or_else(|| lang.no_limit().to_owned(), |quota| lang.number(quota)),
    };
    benefit.offers.iter().filter(paid).map(shown).collect()
}

#[derive(Debug, Deserialize)]
pub struct Approved {
    version: String,
}

/// Says yes to paying for exactly what stands.
pub async fn approve(
    exchange: Data<Exchange>,
    posted: Posted<Staff, Approved>,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: staff, form } = posted;
    staff.check_one_of_two(Permission::ApproveRates)?;
    let not_found = || Trouble::not_found(staff.lang).back_to(BACK);
    let id: BenefitId = id.parse().map_err(|_| not_found())?;
    let version: i64 = form.version.parse().map_err(|_| not_found())?;
    let by = format!("staff/{}", staff.signed.login);
    let written = log::witness(Actor::from(&staff.signed));
    let also = move |conn: &mut _, row: &Row| {
        written(conn, Act::new("benefit.approved", id).with("code", &row.benefit.code).with("version", version))
    };
    offers::approve_and(&exchange, staff.holder(), id, version, by, also).await.map_err(staff.no(BACK))?;
    Ok(page::see_other(BACK))
}

/// Takes that yes back. Whoever is new here may: nothing is paid by it.
pub async fn withdraw(
    exchange: Data<Exchange>,
    posted: Posted<Staff, Nothing>,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let staff = posted.visitor;
    staff.check(Permission::ApproveRates)?;
    let id: BenefitId = id.parse().map_err(|_| Trouble::not_found(staff.lang).back_to(BACK))?;
    let by = format!("staff/{}", staff.signed.login);
    let written = log::witness(Actor::from(&staff.signed));
    let also = move |conn: &mut _, row: &Row| {
        written(conn, Act::new("benefit.approval_withdrawn", id).with("code", &row.benefit.code))
    };
    offers::withdraw_and(&exchange, staff.holder(), id, by, also).await.map_err(staff.no(BACK))?;
    Ok(page::see_other(BACK))
}

#[derive(Debug, Deserialize)]
pub struct Set {
    version: String,
    state: String,
}

/// Opens or closes one's own: for claims from now on.
pub async fn set(
    exchange: Data<Exchange>,
    posted: Posted<Staff, Set>,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: staff, form } = posted;
    staff.check(Permission::ManageBenefits)?;
    let giver = staff.partner()?.clone();
    let not_found = || Trouble::not_found(staff.lang).back_to(BACK);
    let id: BenefitId = id.parse().map_err(|_| not_found())?;
    let version: i64 = form.version.parse().map_err(|_| not_found())?;
    let open = form.state == "open";
    let by = staff.signed.login.to_string();
    let written = log::witness(Actor::from(&staff.signed));
    let also = move |conn: &mut _, row: &Row| {
        let action = if open { "benefit.opened" } else { "benefit.closed" };
        written(conn, Act::new(action, id).with("code", &row.benefit.code))
    };
    offers::set_open(&exchange, &giver, id, (version, open), by, also).await.map_err(staff.no(BACK))?;
    Ok(page::see_other(BACK))
}
