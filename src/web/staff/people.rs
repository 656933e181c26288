//! Who works here, and what everybody has done.

use super::session::Staff;
use super::shell::{Place, Shell};
use crate::domain::staff::{Password, Permission, Role};
use crate::service::exchange::Exchange;
use crate::service::staff::{New, Page, Staffing};
use crate::web::form::{Nothing, Posted};
use crate::web::page;
use crate::web::trouble::{Trouble, What};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;

/// Lines of one page of the log.
const PAGE: i64 = 100;

struct PersonShown {
    login: String,
    role: &'static str,
    house: String,
    signed_in: String,
    is_locked: bool,
    is_self: bool,
}

#[derive(Template)]
#[template(path = "staff/people.html")]
struct PeoplePage<'a> {
    shell: &'a Shell,
    people: Vec<PersonShown>,
    roles: Vec<(&'static str, &'static str)>,
}

/// Everybody of this house.
pub async fn list(
    exchange: Data<Exchange>,
    staffing: Data<Staffing>,
    request: HttpRequest,
    staff: Staff,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::ManageStaff)?;
    let people = staffing.list(&staff.signed).await.map_err(staff.refused("/console"))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::People);
    let house = shell.lang.name(&shell.catalogue().alliance.name).to_owned();
    let people = people.into_iter().map(|person| PersonShown {
        role: shell.lang.role(person.role),
        house: person.partner.as_ref().map_or_else(|| house.clone(), |slug| shell.brand_of(slug)),
        signed_in: person.signed_in_at.map(|at| shell.instant(at)).unwrap_or_default(),
        is_locked: person.locked_until.is_some(),
        is_self: person.login == staff.signed.login,
        login: person.login.to_string(),
    });
    let roles = Role::ALL.iter().map(|role| (role.text(), shell.lang.role(*role))).collect();
    page::html(StatusCode::OK, &PeoplePage { people: people.collect(), roles, shell: &shell })
}

#[derive(Deserialize)]
pub struct Added {
    login: String,
    role: String,
    password: String,
}

#[derive(Template)]
#[template(path = "staff/enrolled.html")]
struct EnrolledPage<'a> {
    shell: &'a Shell,
    login: String,
    uri: String,
    qr: String,
}

/// Lets somebody work here; the second factor is shown once.
pub async fn add(
    exchange: Data<Exchange>,
    staffing: Data<Staffing>,
    request: HttpRequest,
    posted: Posted<Staff, Added>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: staff, form } = posted;
    staff.check(Permission::ManageStaff)?;
    let unfit = |why| move || Trouble::new(What::Unfit(why), staff.lang).back_to("/console/people");
    let login = form.login.trim().parse().map_err(|_| unfit("login")())?;
    let role = Role::parse(&form.role).ok_or_else(unfit("role"))?;
    let password = Password::choose(form.password, &login).map_err(|_| unfit("password")())?;
    let new = New { login, partner: staff.signed.partner().cloned(), role, password };
    let enrolled = staffing.add(&staff.signed, new).await.map_err(staff.refused("/console/people"))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::People);
    let uri = enrolled.uri.expose().to_owned();
    let qr = page::qr(&uri);
    page::html(StatusCode::OK, &EnrolledPage { login: enrolled.login.to_string(), uri, qr, shell: &shell })
}

/// Lets somebody work here no more.
pub async fn remove(
    staffing: Data<Staffing>,
    posted: Posted<Staff, Nothing>,
    login: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let staff = posted.visitor;
    staff.check(Permission::ManageStaff)?;
    let not_found = || Trouble::not_found(staff.lang).back_to("/console/people");
    let login = login.parse().map_err(|_| not_found())?;
    if login == staff.signed.login {
        return Err(Trouble::new(What::Oneself, staff.lang).back_to("/console/people"));
    }
    staffing.remove(&staff.signed, login).await.map_err(staff.refused("/console/people"))?;
    Ok(page::see_other("/console/people"))
}

#[derive(Debug, Deserialize)]
pub struct Before {
    before: Option<i64>,
}

struct LineShown {
    seq: i64,
    at: String,
    who: String,
    house: String,
    action: String,
    subject: String,
    detail: String,
}

#[derive(Template)]
#[template(path = "staff/log.html")]
struct LogPage<'a> {
    shell: &'a Shell,
    lines: Vec<LineShown>,
    next: Option<i64>,
}

/// What has been done, newest first.
pub async fn log(
    exchange: Data<Exchange>,
    staffing: Data<Staffing>,
    request: HttpRequest,
    staff: Staff,
    before: Query<Before>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeAudit)?;
    let page = Page { before: before.before, limit: PAGE };
    let lines = staffing.log(&staff.signed, page).await.map_err(staff.refused("/console"))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Log);
    let is_full = i64::try_from(lines.len()).is_ok_and(|found| found >= PAGE);
    let next = lines.last().filter(|_| is_full).map(|line| line.seq);
    let lines = lines.into_iter().map(|line| LineShown {
        seq: line.seq,
        at: shell.instant(line.at),
        who: line.login.unwrap_or_default(),
        house: line.partner.as_ref().map(|slug| shell.brand_of(slug)).unwrap_or_default(),
        action: line.action,
        subject: line.subject,
        detail: line.detail.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", "),
    });
    page::html(StatusCode::OK, &LogPage { lines: lines.collect(), next, shell: &shell })
}
