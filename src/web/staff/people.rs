//! Who works here, and what everybody has done.

use super::session::Staff;
use super::shell::{Place, Shell};
use crate::domain::staff::{Login, Permission, Role};
use crate::http::v1::PagesAt;
use crate::service::exchange::Exchange;
use crate::service::staff::{Invitation, Invited, Page, Staffing};
use crate::web::form::{Nothing, Posted};
use crate::web::lang::Lang;
use crate::web::page;
use crate::web::trouble::{Trouble, What};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use askama::Template;
use serde::Deserialize;

/// Lines of one page of the log.
const PAGE: i64 = 100;

const BACK: &str = "/console/people";

struct PersonShown {
    login: String,
    role: &'static str,
    house: String,
    signed_in: String,
    is_locked: bool,
    is_invited: bool,
    is_self: bool,
    /// Those it may have, and which one it has.
    roles: Vec<(&'static str, &'static str, bool)>,
}

#[derive(Template)]
#[template(path = "staff/people.html")]
struct PeoplePage<'a> {
    shell: &'a Shell,
    people: Vec<PersonShown>,
    roles: Vec<(&'static str, &'static str, bool)>,
    /// What was typed, and why it will not do.
    login: &'a str,
    no: String,
}

/// Everybody of this house.
pub async fn list(
    exchange: Data<Exchange>,
    staffing: Data<Staffing>,
    request: HttpRequest,
    staff: Staff,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::ManageStaff)?;
    page_of(&exchange, &staffing, &request, &staff, None).await
}

/// With a form that will not do, as it was filled in.
async fn page_of(
    exchange: &Exchange,
    staffing: &Staffing,
    request: &HttpRequest,
    staff: &Staff,
    no: Option<(&Added, Trouble)>,
) -> Result<HttpResponse, Trouble> {
    let people = staffing.list(&staff.signed).await.map_err(staff.refused("/console"))?;
    let shell = Shell::new(exchange, staff, request, Place::People);
    let shell = if no.is_some() { shell.once() } else { shell };
    let house = shell.lang.name(&shell.catalogue().alliance.name).to_owned();
    let people = people.into_iter().map(|person| PersonShown {
        role: shell.lang.role(person.role),
        house: person.partner.as_ref().map_or_else(|| house.clone(), |slug| shell.brand_of(slug)),
        signed_in: person.signed_in_at.map(|at| shell.instant(at)).unwrap_or_default(),
        is_locked: person.locked_until.is_some(),
        is_invited: person.is_invited,
        is_self: person.login == staff.signed.login,
        roles: roles(shell.lang, person.partner.is_some(), person.role),
        login: person.login.to_string(),
    });
    let (typed, status) = no.as_ref().map_or((None, StatusCode::OK), |(form, no)| (Some(*form), no.status_code()));
    let role = typed.and_then(|form| Role::parse(&form.role)).unwrap_or(Role::Viewer);
    let page = PeoplePage {
        people: people.collect(),
        roles: roles(shell.lang, staff.signed.partner().is_some(), role),
        login: typed.map_or("", |form| form.login.as_str()),
        no: no.as_ref().map(|(_, no)| no.reason()).unwrap_or_default(),
        shell: &shell,
    };
    page::html(status, &page)
}

/// The operator has no till, and so no clerks.
fn roles(lang: Lang, is_partners: bool, chosen: Role) -> Vec<(&'static str, &'static str, bool)> {
    let open = Role::ALL.into_iter().filter(|role| is_partners || *role != Role::Clerk);
    open.map(|role| (role.text(), lang.role(role), role == chosen)).collect()
}

#[derive(Deserialize)]
pub struct Added {
    login: String,
    role: String,
}

#[derive(Template)]
#[template(path = "staff/invited.html")]
struct InvitedPage<'a> {
    shell: &'a Shell,
    login: String,
    address: String,
    until: String,
}

/// Where somebody sets up their login, once: for whoever is to give it to them.
fn invited_page(
    exchange: &Exchange,
    request: &HttpRequest,
    staff: &Staff,
    pages: &PagesAt,
    invited: &Invited,
) -> Result<HttpResponse, Trouble> {
    let shell = Shell::new(exchange, staff, request, Place::People).once();
    let address = format!("{}/sign-in/enrol/{}", pages.as_str(), invited.code.expose());
    let until = shell.instant(invited.ends_at);
    page::html(StatusCode::OK, &InvitedPage { login: invited.login.to_string(), address, until, shell: &shell })
}

/// Lets somebody work here, who sets up their login by an address of its own.
pub async fn add(
    exchange: Data<Exchange>,
    staffing: Data<Staffing>,
    pages: Data<PagesAt>,
    request: HttpRequest,
    posted: Posted<Staff, Added>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: staff, form } = posted;
    staff.check(Permission::ManageStaff)?;
    match invite(&staffing, &staff, &form).await {
        Ok(invited) => invited_page(&exchange, &request, &staff, &pages, &invited),
        Err(no) if no.is_about_a_form() => page_of(&exchange, &staffing, &request, &staff, Some((&form, no))).await,
        Err(other) => Err(other),
    }
}

async fn invite(staffing: &Staffing, staff: &Staff, form: &Added) -> Result<Invited, Trouble> {
    let login = form.login.trim().parse().map_err(|_| unfit(staff, "login"))?;
    let role = Role::parse(&form.role).ok_or_else(|| unfit(staff, "role"))?;
    let new = Invitation { login, partner: staff.signed.partner().cloned(), role };
    staffing.invite(&staff.signed, new).await.map_err(staff.refused(BACK))
}

fn unfit(staff: &Staff, what: &'static str) -> Trouble {
    Trouble::new(What::Unfit(what), staff.lang).back_to(BACK)
}

/// Somebody else of this house, whom an address names.
fn another(staff: &Staff, login: &str) -> Result<Login, Trouble> {
    staff.check(Permission::ManageStaff)?;
    login.parse().map_err(|_| Trouble::not_found(staff.lang).back_to(BACK))
}

/// Has somebody set up their login anew; what there was is good no more.
pub async fn reset(
    exchange: Data<Exchange>,
    staffing: Data<Staffing>,
    pages: Data<PagesAt>,
    request: HttpRequest,
    posted: Posted<Staff, Nothing>,
    login: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let staff = posted.visitor;
    let login = another(&staff, &login)?;
    let invited = staffing.reset(&staff.signed, login).await.map_err(staff.refused(BACK))?;
    invited_page(&exchange, &request, &staff, &pages, &invited)
}

#[derive(Debug, Deserialize)]
pub struct InRole {
    role: String,
}

/// Puts somebody in another role.
pub async fn change_role(
    staffing: Data<Staffing>,
    posted: Posted<Staff, InRole>,
    login: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: staff, form } = posted;
    let login = another(&staff, &login)?;
    let role = Role::parse(&form.role).ok_or_else(|| unfit(&staff, "role"))?;
    staffing.change_role(&staff.signed, login, role).await.map_err(staff.refused(BACK))?;
    Ok(page::see_other(BACK))
}

/// Signs somebody out everywhere.
pub async fn end_sessions(
    staffing: Data<Staffing>,
    posted: Posted<Staff, Nothing>,
    login: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let staff = posted.visitor;
    let login = another(&staff, &login)?;
    staffing.end_sessions(&staff.signed, login).await.map_err(staff.refused(BACK))?;
    Ok(page::see_other(BACK))
}

/// Lets somebody work here no more.
pub async fn remove(
    staffing: Data<Staffing>,
    posted: Posted<Staff, Nothing>,
    login: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let staff = posted.visitor;
    let login = another(&staff, &login)?;
    staffing.remove(&staff.signed, login).await.map_err(staff.refused(BACK))?;
    Ok(page::see_other(BACK))
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
