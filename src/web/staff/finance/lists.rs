//! A partner's own list against its lines: brought, compared, what differs, and disputes of it.

use super::super::session::Staff;
use super::super::shell::{Place, Shell};
use super::{busy, id_of, money, no, not_found, partner};
use crate::domain::ids::ReconciliationId;
use crate::domain::settlement::reconcile::Finding;
use crate::domain::staff::Permission;
use crate::http::{Problem, v1};
use crate::service::exchange::Exchange;
use crate::service::settlement::disputes;
use crate::service::settlement::reconcile::{self, Difference, Format, Mapping, Row, Turn, Unread};
use crate::service::settlement::{Error, desk};
use crate::service::staff::Act;
use crate::service::staff::log::{self, Actor};
use crate::web::form::{Nothing, Posted};
use crate::web::page;
use crate::web::trouble::Trouble;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use askama::Template;
use serde::Deserialize;
use std::collections::HashMap;
use std::io::Cursor;

const LISTS: &str = "/console/reconciliations";
/// Lists that are shown, and differences of one page.
const PAGE: usize = 100;
/// Windows that a list may be of, newest first.
const WINDOWS_SHOWN: i64 = 24;

struct ListShown {
    address: String,
    window: i64,
    at: String,
    rows: String,
    differences: String,
    state: &'static str,
}

#[derive(Template)]
#[template(path = "staff/finance/lists.html")]
struct ListsPage<'a> {
    shell: &'a Shell,
    lists: Vec<ListShown>,
    windows: Vec<i64>,
    is_partner: bool,
    may_compare: bool,
    typed: Brought,
    /// Why what was typed will not do.
    no: String,
}

/// Lists compared, and a form to bring one.
pub async fn list(exchange: Data<Exchange>, request: HttpRequest, staff: Staff) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeSettlement)?;
    page_of(&exchange, &request, &staff, (Brought::default(), None)).await
}

/// With the form as it was filled in, and why it will not do.
async fn page_of(
    exchange: &Exchange,
    request: &HttpRequest,
    staff: &Staff,
    (typed, refused): (Brought, Option<Trouble>),
) -> Result<HttpResponse, Trouble> {
    let shell = Shell::new(exchange, staff, request, Place::Reconciliations);
    let shell = if refused.is_some() { shell.once() } else { shell };
    let (mut lists, mut windows) = (Vec::new(), Vec::new());
    if let Some(slug) = staff.signed.partner().cloned() {
        let most = i64::try_from(PAGE).unwrap_or(i64::MAX);
        let found = exchange.database.run(move |conn| reconcile::newest(conn, &slug, most)).await;
        lists = found.map_err(no::<Error>(staff, "/console"))?.iter().map(|row| list_shown(&shell, row)).collect();
        let found = desk::windows(exchange, staff.holder(), i64::MAX, WINDOWS_SHOWN).await;
        let found = found.map_err(no(staff, "/console"))?;
        windows = found.iter().filter(|one| one.seen.statement.is_some()).map(|one| one.seen.number).collect();
    }
    let is_partner = staff.signed.partner().is_some();
    let may_compare = is_partner && staff.signed.may(Permission::Dispute) && !windows.is_empty();
    let status = refused.as_ref().map_or(StatusCode::OK, ResponseError::status_code);
    let no = refused.map(|refused| refused.reason()).unwrap_or_default();
    page::html(status, &ListsPage { lists, windows, is_partner, may_compare, typed, no, shell: &shell })
}

fn list_shown(shell: &Shell, row: &Row) -> ListShown {
    let lang = shell.lang;
    let differences = row.completed.as_ref().map(|done| lang.number(done.differences));
    ListShown {
        address: address(row),
        window: row.number,
        at: shell.instant(row.started_at),
        rows: lang.number(row.rows),
        state: if row.completed.is_some() { lang.completed() } else { lang.running() },
        differences: differences.unwrap_or_default(),
    }
}

fn address(row: &Row) -> String {
    format!("{LISTS}/{}/{}", row.number, row.id)
}

#[derive(Default, Deserialize)]
pub struct Brought {
    window: String,
    format: String,
    map: String,
    list: String,
}

/// Compares a list; the same list again is the same reconciliation.
pub async fn compare(
    exchange: Data<Exchange>,
    request: HttpRequest,
    posted: Posted<Staff, Brought>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: staff, form } = posted;
    staff.check(Permission::Dispute)?;
    match compared(&exchange, &staff, &form).await {
        Ok(row) => Ok(page::see_other(&address(&row))),
        Err(no) if no.is_about_a_form() => page_of(&exchange, &request, &staff, (form, Some(no))).await,
        Err(other) => Err(other),
    }
}

async fn compared(exchange: &Exchange, staff: &Staff, form: &Brought) -> Result<Row, Trouble> {
    let slug = partner(staff, LISTS)?.clone();
    let window = id_of(exchange, staff, &form.window).await?;
    let format = if form.format == Format::Ndjson.code() { Format::Ndjson } else { Format::Csv };
    let map = Some(form.map.trim()).filter(|map| !map.is_empty() && map.len() <= 1_024);
    let mapping = map.map_or(Ok(Mapping::default()), Mapping::parse);
    let mapping = mapping.map_err(|why| no::<Problem>(staff, LISTS)(Problem::field("/map", why)))?;
    let turn = Turn::wait(&slug).await.ok_or_else(|| busy(staff, LISTS))?;
    let own = slug.clone();
    let is_its = exchange.database.run(move |conn| reconcile::check(conn, &own, window)).await;
    is_its.map_err(no::<Error>(staff, LISTS))?;
    let list = Cursor::new(form.list.clone());
    let read = web::block(move || reconcile::read(&slug, format, &mapping, list)).await;
    let listed = read.map_err(|_| busy(staff, LISTS))?.map_err(no::<Unread>(staff, LISTS))?;
    let written = log::witness::<Error>(Actor::from(&staff.signed));
    let work = move |conn: &mut _| {
        reconcile::reconcile_and(conn, &turn, window, listed, |conn, row| {
            let act = Act::new("list.compared", row.id).with("window", row.number).with("rows", row.rows);
            written(conn, act)
        })
    };
    exchange.database.run(work).await.map(|(row, _)| row).map_err(no::<Error>(staff, LISTS))
}

struct ResultShown {
    what: &'static str,
    count: String,
    here: String,
    there: String,
}

struct DifferenceShown {
    result: &'static str,
    row: String,
    what: String,
    counterparty: String,
    here: String,
    there: String,
    difference: String,
    /// Where its line can be disputed.
    dispute: Option<String>,
}

#[derive(Template)]
#[template(path = "staff/finance/list.html")]
struct ListPage<'a> {
    shell: &'a Shell,
    title: String,
    base: String,
    compared: String,
    rows: String,
    lines: String,
    results: Vec<ResultShown>,
    differences: Vec<DifferenceShown>,
    next: Option<i64>,
    handled: Option<String>,
    /// Differences that are not turned into disputes yet.
    left: i64,
    may_dispute: bool,
    is_running: bool,
}

#[derive(Debug, Deserialize)]
pub struct Since {
    from: Option<i64>,
}

/// What a list came to, and what differs.
pub async fn show(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    path: Path<(String, String)>,
    from: Query<Since>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeSettlement)?;
    let row = found(&exchange, &staff, &path).await?;
    let mut differences = differences(&exchange, &staff, &row, from.from.unwrap_or(1).max(1)).await?;
    let next = differences.get(PAGE).map(|next| next.place);
    differences.truncate(PAGE);
    let shell = Shell::new(&exchange, &staff, &request, Place::Reconciliations);
    page::html(StatusCode::OK, &list_page(&shell, &staff, &row, &differences, next))
}

async fn found(exchange: &Exchange, staff: &Staff, path: &(String, String)) -> Result<Row, Trouble> {
    let slug = partner(staff, LISTS)?.clone();
    let window = id_of(exchange, staff, &path.0).await?;
    let id: ReconciliationId = path.1.parse().map_err(|_| not_found(staff, LISTS))?;
    let row = exchange.database.run(move |conn| reconcile::get(conn, &slug, window, id)).await;
    row.map_err(no::<Error>(staff, LISTS))
}

async fn differences(exchange: &Exchange, staff: &Staff, row: &Row, from: i64) -> Result<Vec<Difference>, Trouble> {
    let row = row.clone();
    let found = exchange.database.run(move |conn| reconcile::differences(conn, &row, from)).await;
    found.map_err(no::<Error>(staff, LISTS))
}

fn list_page<'a>(
    shell: &'a Shell,
    staff: &Staff,
    row: &Row,
    differences: &[Difference],
    next: Option<i64>,
) -> ListPage<'a> {
    let lang = shell.lang;
    let may_dispute = staff.signed.may(Permission::Dispute);
    let handled = row.handled;
    let any_handled = handled.all() > 0;
    ListPage {
        title: lang.window_no(row.number),
        base: address(row),
        compared: row.compared.join(", "),
        rows: lang.number(row.rows),
        lines: lang.number(row.lines),
        results: row.completed.as_ref().map(|done| results(shell, &done.results)).unwrap_or_default(),
        differences: differences.iter().map(|one| difference_shown(shell, one, row.number, may_dispute)).collect(),
        next,
        handled: any_handled.then(|| lang.handled(handled.opened, handled.known, handled.skipped)),
        left: row.completed.as_ref().map_or(0, |done| done.differences - handled.all()),
        may_dispute,
        is_running: row.completed.is_none(),
        shell,
    }
}

#[derive(Deserialize)]
struct Sum {
    count: i64,
    here: String,
    there: String,
}

fn results(shell: &Shell, stored: &str) -> Vec<ResultShown> {
    // Stored by ourselves; one that cannot be read shows no sums.
    let sums: HashMap<String, Sum> = serde_json::from_str(stored).unwrap_or_default();
    let shown = |finding: Finding| {
        let sum = sums.get(finding.code())?;
        Some(ResultShown {
            what: shell.lang.finding(finding),
            count: shell.lang.number(sum.count),
            here: money(&sum.here),
            there: money(&sum.there),
        })
    };
    Finding::ALL.into_iter().filter_map(shown).collect()
}

fn difference_shown(shell: &Shell, one: &Difference, number: i64, may_dispute: bool) -> DifferenceShown {
    let side = |side: &Option<reconcile::Side>| {
        let Some(side) = side else { return String::new() };
        let points = side.points.map(|points| shell.lang.points_count(shell.lang.number(points)));
        side.amount.as_deref().map(money).into_iter().chain(points).collect::<Vec<_>>().join(", ")
    };
    let named = [&one.external_reference, &one.conversion_id, &one.reversal_id, &one.line_id];
    let line = one.line_id.as_ref().filter(|_| may_dispute);
    DifferenceShown {
        result: Finding::parse(&one.result).map_or("", |finding| shell.lang.finding(finding)),
        row: one.row.map(|row| row.to_string()).unwrap_or_default(),
        what: named.into_iter().flatten().next().cloned().unwrap_or_default(),
        counterparty: one.counterparty.as_deref().map(|with| super::party(shell, with)).unwrap_or_default(),
        here: side(&one.here),
        there: side(&one.there),
        difference: one.difference.as_deref().map(money).unwrap_or_default(),
        dispute: line.map(|id| format!("/console/windows/{number}/dispute?line={id}")),
    }
}

/// What differs, all of it, as a file.
pub async fn csv(
    exchange: Data<Exchange>,
    staff: Staff,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeSettlement)?;
    let row = found(&exchange, &staff, &path).await?;
    let first = differences(&exchange, &staff, &row, 1).await?;
    let name = format!("{}-differences.csv", row.id);
    let mut answer = HttpResponse::Ok();
    answer.content_type("text/csv; charset=utf-8").insert_header(super::windows::disposition(name));
    Ok(answer.body(v1::differences(exchange, row, Format::Csv, first)))
}

/// Turns what differs into disputes, some at a time.
pub async fn dispute(
    exchange: Data<Exchange>,
    posted: Posted<Staff, Nothing>,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Trouble> {
    let staff = posted.visitor;
    staff.check(Permission::Dispute)?;
    let row = found(&exchange, &staff, &path).await?;
    let (slug, window, id) = (partner(&staff, LISTS)?.clone(), row.window, row.id);
    let written = log::witness::<disputes::Error>(Actor::from(&staff.signed));
    let work = move |conn: &mut _| {
        reconcile::open_disputes_and(conn, &slug, window, id, |conn, before, after| {
            let act = Act::new("differences.disputed", id).with("opened", after.opened - before.opened);
            written(conn, act.with("handled", after.all()))
        })
    };
    let row = exchange.database.run(work).await.map_err(no::<disputes::Error>(&staff, LISTS))?;
    Ok(page::see_other(&address(&row)))
}
