//! Windows: the list, one of them with who owes whom, ending it; reports as files, and the liability ladder.

use super::super::session::Staff;
use super::super::shell::{Place, Shell};
use super::tables::{self, Fact, Table};
use super::{WINDOWS, id_of, money, no, not_found, party, which};
use crate::domain::staff::Permission;
use crate::http::problem::Problem;
use crate::service::exchange::Exchange;
use crate::service::reports::Form;
use crate::service::settlement::Error;
use crate::service::settlement::desk::{self, Listed, Opened, Progress};
use crate::service::settlement::reports::Name;
use crate::service::settlement::view::{self, Asked, Seen, SeenObligation, SeenStatement, Unmade};
use crate::service::staff::{Act, Staffing};
use crate::web::form::{Nothing, Posted};
use crate::web::lang::Lang;
use crate::web::page;
use crate::web::trouble::Trouble;
use actix_web::http::StatusCode;
use actix_web::http::header::{ContentDisposition, DispositionParam, DispositionType};
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;

/// Windows of one page.
const PAGE: i64 = 24;
/// Reports of one window that are offered, in this order.
const REPORTS: [Name; 5] = [Name::Statement, Name::Pairs, Name::Summary, Name::Journal, Name::Invoices];
/// What they are offered as.
pub(super) const FORMS: [Form; 3] = [Form::Xlsx, Form::Csv, Form::Html];

#[derive(Debug, Deserialize)]
pub struct Before {
    before: Option<i64>,
}

struct WindowShown {
    number: i64,
    days: String,
    state: &'static str,
    look: &'static str,
    closing: String,
    owed: String,
    paid: String,
}

#[derive(Template)]
#[template(path = "staff/finance/windows.html")]
struct WindowsPage<'a> {
    shell: &'a Shell,
    windows: Vec<WindowShown>,
    currency: String,
    next: Option<i64>,
}

/// All windows, newest first.
pub async fn list(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    before: Query<Before>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeSettlement)?;
    let before = before.before.unwrap_or(i64::MAX);
    let found = desk::windows(&exchange, staff.holder(), before, PAGE).await.map_err(no(&staff, "/console"))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Windows);
    // Numbers are dense and begin with 1.
    let next = found.last().map(|last| last.seen.number).filter(|last| *last > 1);
    let windows = found.iter().map(|listed| window_shown(&shell, listed)).collect();
    page::html(StatusCode::OK, &WindowsPage { windows, currency: exchange.currency(), next, shell: &shell })
}

fn window_shown(shell: &Shell, Listed { seen, owed, paid }: &Listed) -> WindowShown {
    let (state, look) = shell.lang.window_state(seen.state);
    let is_published = seen.published_at.is_some();
    let sum = |amount: &dyn ToString| if is_published { money(&amount.to_string()) } else { String::new() };
    WindowShown {
        number: seen.number,
        days: days(shell, seen),
        state,
        look,
        closing: seen.statement.as_ref().map(|statement| money(&statement.closing)).unwrap_or_default(),
        owed: sum(owed),
        paid: sum(paid),
    }
}

fn days(shell: &Shell, seen: &Seen) -> String {
    let lang = shell.lang;
    let first = lang.day(seen.opened_at.with_timezone(&shell.catalogue().alliance.zone).date_naive());
    match seen.last_day {
        Some(last) => lang.days_between(first, lang.day(last)),
        None => lang.days_from(first),
    }
}

struct StatementShown {
    of: String,
    name: String,
    state: &'static str,
    look: &'static str,
    lines: String,
    closing: String,
}

/// Something to be paid, as it stands.
pub(super) struct DueShown {
    pub id: String,
    pub payer: String,
    pub payee: String,
    pub amount: String,
    pub paid: String,
    pub due_on: String,
    pub state: &'static str,
    pub look: &'static str,
}

/// A file to keep: what it is called, and its address.
pub(super) struct Download {
    pub what: String,
    pub address: String,
}

#[derive(Template)]
#[template(path = "staff/finance/window.html")]
struct WindowPage<'a> {
    shell: &'a Shell,
    number: i64,
    state: &'static str,
    look: &'static str,
    days: String,
    facts: Vec<Fact>,
    progress: Option<Progress>,
    blocked: bool,
    blocked_by: Option<String>,
    may_close: bool,
    may_retry: bool,
    may_sign: bool,
    statements: Vec<StatementShown>,
    dues: Vec<DueShown>,
    tables: Vec<Table>,
    notes: Vec<String>,
    downloads: Vec<Download>,
    currency: String,
}

/// One window: how far it is, statements, what is owed, who owes whom.
pub async fn show(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    window: Path<String>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeSettlement)?;
    let which = which(&staff, &window)?;
    let opened = desk::window(&exchange, staff.holder(), which).await.map_err(no(&staff, WINDOWS))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Windows);
    let mut page = window_page(&shell, &staff, &opened, exchange.currency());
    if opened.seen.published_at.is_some() {
        let asked = desk::asked(staff.holder(), Name::Pairs, Some(which), None, Form::Html);
        let pairs = view::made(&exchange, asked.map_err(no(&staff, WINDOWS))?).await.map_err(no(&staff, WINDOWS))?;
        page.tables = tables::of(shell.lang, &pairs, &tables::nowhere);
        page.notes = tables::notes(shell.lang, &pairs);
        page.downloads = downloads(shell.lang, &staff, opened.seen.number);
    }
    page::html(StatusCode::OK, &page)
}

fn window_page<'a>(shell: &'a Shell, staff: &Staff, opened: &Opened, currency: String) -> WindowPage<'a> {
    let (lang, seen) = (shell.lang, &opened.seen);
    let (state, look) = lang.window_state(seen.state);
    let day =
        |label: &str, day: Option<chrono::NaiveDate>| Some(Fact { label: label.to_owned(), value: lang.day(day?) });
    let published = seen.published_at.map(|at| shell.instant(at));
    let facts = [
        day(lang.statement_by(), seen.statement_by),
        day(lang.disputes_until(), seen.disputes_until),
        day(lang.due_on(), seen.due_on),
        published.map(|value| Fact { label: lang.published_at().to_owned(), value }),
    ];
    let may_close = staff.signed.may(Permission::CloseWindows);
    let is_partner = staff.signed.partner().is_some();
    WindowPage {
        number: seen.number,
        state,
        look,
        days: days(shell, seen),
        facts: facts.into_iter().flatten().collect(),
        progress: opened.progress.filter(|_| seen.state != "blocked"),
        blocked: seen.state == "blocked",
        blocked_by: opened.blocked_by.clone(),
        may_close: may_close && seen.state == "open",
        may_retry: may_close && seen.state == "blocked",
        may_sign: is_partner && staff.signed.may(Permission::SignStatements) && seen.statement.is_some(),
        statements: opened.statements.iter().map(|row| statement_shown(shell, row)).collect(),
        dues: opened.obligations.iter().map(|row| due_shown(shell, row)).collect(),
        tables: Vec::new(),
        notes: Vec::new(),
        downloads: Vec::new(),
        currency,
        shell,
    }
}

fn statement_shown(shell: &Shell, row: &SeenStatement) -> StatementShown {
    let (state, look) = shell.lang.statement_state(row.state);
    StatementShown {
        name: party(shell, &row.participant),
        of: row.participant.clone(),
        state,
        look,
        lines: shell.lang.number(row.lines),
        closing: money(&row.closing),
    }
}

pub(super) fn due_shown(shell: &Shell, row: &SeenObligation) -> DueShown {
    let (state, look) = shell.lang.due_state(row.state);
    DueShown {
        id: row.obligation_id.clone(),
        payer: party(shell, &row.debtor),
        payee: party(shell, &row.creditor),
        amount: money(&row.amount),
        paid: money(&row.paid),
        due_on: shell.lang.day(row.due_on),
        state,
        look,
    }
}

/// Every report of a window that this person may have, in every form.
fn downloads(lang: Lang, staff: &Staff, number: i64) -> Vec<Download> {
    let is_partner = staff.signed.partner().is_some();
    let may = |name: &Name| if is_partner { name.is_for_partners() } else { !name.needs_participant() };
    let open = REPORTS.into_iter().filter(may);
    let each = |name: Name| {
        FORMS.map(|form| Download {
            what: lang.download(called(lang, name), form.code().to_uppercase()),
            address: format!("{WINDOWS}/{number}/reports/{}?format={}", name.code(), form.code()),
        })
    };
    open.flat_map(each).collect()
}

pub(super) fn called(lang: Lang, name: Name) -> &'static str {
    let word = name.word();
    match lang {
        Lang::En => word.en,
        Lang::Zh => word.zh,
    }
}

/// Ends the open window; whoever settles takes it to its end, which the page shows when it is loaded again.
pub async fn close(
    staffing: Data<Staffing>,
    posted: Posted<Staff, Nothing>,
    window: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let staff = posted.visitor;
    staff.check(Permission::CloseWindows)?;
    let number: i64 = window.parse().map_err(|_| not_found(&staff, WINDOWS))?;
    let unit = move |conn: &mut _| {
        let ended = desk::end(conn, number)?;
        Ok(((), ended.then(|| Act::new("window.closed", number))))
    };
    staffing.acting(&staff.signed, unit).await.map_err(no::<Error>(&staff, WINDOWS))?;
    Ok(page::see_other(&format!("{WINDOWS}/{number}")))
}

/// Has a blocked window tried again from its beginning.
pub async fn retry(
    staffing: Data<Staffing>,
    posted: Posted<Staff, Nothing>,
    window: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let staff = posted.visitor;
    staff.check(Permission::CloseWindows)?;
    let which = which(&staff, &window)?;
    let unit = move |conn: &mut _| {
        let number = desk::retry(conn, which)?;
        Ok((number, Some(Act::new("window.retried", number))))
    };
    let number = staffing.acting(&staff.signed, unit).await.map_err(no::<Error>(&staff, WINDOWS))?;
    Ok(page::see_other(&format!("{WINDOWS}/{number}")))
}

#[derive(Debug, Deserialize)]
pub struct Wanted {
    /// Without one there is no such file: who may not ask is told so first.
    #[serde(default)]
    format: String,
    participant: Option<String>,
}

/// A report of a window as a file.
pub async fn file(
    exchange: Data<Exchange>,
    staff: Staff,
    path: Path<(String, String)>,
    wanted: Query<Wanted>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeSettlement)?;
    let (window, name) = path.into_inner();
    id_of(&exchange, &staff, &window).await?;
    let (name, form) = Name::parse(&name).zip(Form::parse(&wanted.format)).ok_or_else(|| not_found(&staff, WINDOWS))?;
    let which = Some(which(&staff, &window)?);
    let asked = desk::asked(staff.holder(), name, which, wanted.participant.as_deref(), form);
    report(&exchange, &staff, asked.map_err(no(&staff, WINDOWS))?).await
}

async fn report(exchange: &Exchange, staff: &Staff, asked: Asked) -> Result<HttpResponse, Trouble> {
    let form = asked.form;
    let refused = |unmade: Unmade| match unmade {
        Unmade::Settlement(cause) => no::<Error>(staff, WINDOWS)(cause),
        Unmade::Section(_) => no::<Problem>(staff, WINDOWS)(Problem::not_found()),
    };
    let (name, bytes) = view::report(exchange, asked).await.map_err(refused)?;
    Ok(attachment(name, form.media_type(), bytes))
}

/// A file that a browser keeps instead of showing it.
pub(super) fn attachment(name: String, media: &'static str, bytes: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok().content_type(media).insert_header(disposition(name)).body(bytes)
}

pub(super) fn disposition(name: String) -> ContentDisposition {
    ContentDisposition { disposition: DispositionType::Attachment, parameters: vec![DispositionParam::Filename(name)] }
}

#[derive(Template)]
#[template(path = "staff/finance/liability.html")]
struct LiabilityPage<'a> {
    shell: &'a Shell,
    facts: Vec<Fact>,
    tables: Vec<Table>,
    notes: Vec<String>,
    downloads: Vec<Download>,
}

/// Outstanding points, when they end, and what they cost.
pub async fn liability(exchange: Data<Exchange>, request: HttpRequest, staff: Staff) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeSettlement)?;
    let asked = desk::asked(staff.holder(), Name::Liability, None, None, Form::Html);
    let made = view::made(&exchange, asked.map_err(no(&staff, WINDOWS))?).await.map_err(no(&staff, WINDOWS))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Liability);
    let download = |form: Form| Download {
        what: shell.lang.download(called(shell.lang, Name::Liability), form.code().to_uppercase()),
        address: format!("{WINDOWS}/liability/file?format={}", form.code()),
    };
    let liability = LiabilityPage {
        facts: tables::facts(shell.lang, &made),
        tables: tables::of(shell.lang, &made, &tables::nowhere),
        notes: tables::notes(shell.lang, &made),
        downloads: FORMS.map(download).into_iter().collect(),
        shell: &shell,
    };
    page::html(StatusCode::OK, &liability)
}

/// The same as a file.
pub async fn liability_file(
    exchange: Data<Exchange>,
    staff: Staff,
    wanted: Query<Wanted>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeSettlement)?;
    let form = Form::parse(&wanted.format).ok_or_else(|| not_found(&staff, WINDOWS))?;
    let asked = desk::asked(staff.holder(), Name::Liability, None, wanted.participant.as_deref(), form);
    report(&exchange, &staff, asked.map_err(no(&staff, WINDOWS))?).await
}
