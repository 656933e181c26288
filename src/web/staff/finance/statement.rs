//! One statement to read: every figure by sort and counterparty, what proves it, and the lines behind each figure.

use super::super::session::Staff;
use super::super::shell::{Place, Shell};
use super::tables::{self, Fact, Table};
use super::windows::{Download, FORMS, attachment, called, disposition};
use super::{WINDOWS, id_of, money, no, not_found, party, which};
use crate::domain::settlement::Participant;
use crate::domain::staff::Permission;
use crate::http::v1;
use crate::service::exchange::Exchange;
use crate::service::reports::{Cell, Column, Form, Section};
use crate::service::settlement::desk::{self, Figure, Line};
use crate::service::settlement::reports::Name;
use crate::service::settlement::view::{self, Format, SeenStatement};
use crate::web::page;
use crate::web::trouble::Trouble;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;

#[derive(Template)]
#[template(path = "staff/finance/statement.html")]
struct StatementPage<'a> {
    shell: &'a Shell,
    base: String,
    number: i64,
    title: String,
    state: &'static str,
    look: &'static str,
    facts: Vec<Fact>,
    tables: Vec<Table>,
    notes: Vec<String>,
    downloads: Vec<Download>,
    may_sign: bool,
}

/// A participant that an address names, if this person may read what is its own.
fn whose(staff: &Staff, named: &str) -> Result<Participant, Trouble> {
    desk::whose(staff.holder(), named).map_err(no(staff, WINDOWS))
}

/// The whole statement, its figures leading to their lines.
pub async fn show(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeSettlement)?;
    let (window, of) = (which(&staff, &path.0)?, whose(&staff, &path.1)?);
    let opened = desk::window(&exchange, staff.holder(), window).await.map_err(no(&staff, WINDOWS))?;
    let found = opened.statements.iter().find(|row| row.participant == of.as_str());
    let found = found.ok_or_else(|| not_found(&staff, WINDOWS))?;
    let asked = desk::asked(staff.holder(), Name::Statement, Some(window), Some(of.as_str()), Form::Html);
    let made = view::made(&exchange, asked.map_err(no(&staff, WINDOWS))?).await.map_err(no(&staff, WINDOWS))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Windows);
    let base = format!("{WINDOWS}/{}/statements/{of}", opened.seen.number);
    let leads = |section: &Section, row: &[Cell], column: &Column| lines_behind(&base, section, row, column);
    let shown = StatementPage {
        facts: tables::facts(shell.lang, &made),
        tables: tables::of(shell.lang, &made, &leads),
        notes: tables::notes(shell.lang, &made),
        ..statement_page(&shell, &staff, found, opened.seen.number, &base)
    };
    page::html(StatusCode::OK, &shown)
}

fn statement_page<'a>(
    shell: &'a Shell,
    staff: &Staff,
    row: &SeenStatement,
    number: i64,
    base: &str,
) -> StatementPage<'a> {
    let lang = shell.lang;
    let (state, look) = lang.statement_state(row.state);
    let report = |form: Form| Download {
        what: lang.download(called(lang, Name::Statement), form.code().to_uppercase()),
        address: format!("{WINDOWS}/{number}/reports/statement?format={}&participant={}", form.code(), row.participant),
    };
    let own = [
        Download { what: lang.record().to_owned(), address: format!("{base}/document") },
        Download { what: lang.lines_csv().to_owned(), address: format!("{base}/lines.csv") },
    ];
    StatementPage {
        base: base.to_owned(),
        number,
        title: lang.statement_of(party(shell, &row.participant), number),
        state,
        look,
        facts: Vec::new(),
        tables: Vec::new(),
        notes: Vec::new(),
        downloads: own.into_iter().chain(FORMS.map(report)).collect(),
        may_sign: staff.signed.partner().is_some() && staff.signed.may(Permission::SignStatements),
        shell,
    }
}

/// Where the lines behind a figure are: of a sort and a counterparty, of a sort, or of a counterparty.
fn lines_behind(base: &str, section: &Section, row: &[Cell], column: &Column) -> Option<String> {
    let lines = |query: String| Some(format!("{base}/lines?{query}"));
    match (section.code, row.first()?) {
        ("counterparties", Cell::Text(with)) => match tables::sort(&column.code) {
            Some(sort) => lines(format!("counterparty={with}&sort={}", sort.code())),
            None if matches!(&*column.code, "exact" | "total") => lines(format!("counterparty={with}")),
            None => None,
        },
        ("controls", Cell::Word(word)) if column.code != "item" => {
            tables::sort(word.code).and_then(|sort| lines(format!("sort={}", sort.code())))
        }
        _ => None,
    }
}

/// The signed record as a file.
pub async fn document(
    exchange: Data<Exchange>,
    staff: Staff,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeSettlement)?;
    let (of, id) = (whose(&staff, &path.1)?, id_of(&exchange, &staff, &path.0).await?);
    let number = view::get(&exchange, of.clone(), id).await.map_err(no(&staff, WINDOWS))?.number;
    let document = view::statement(&exchange, of.clone(), id).await.map_err(no(&staff, WINDOWS))?;
    let name = format!("{}-statement.json", desk::stem(&of, number));
    Ok(attachment(name, "application/jose+json", document.into_bytes()))
}

/// Every line as CSV, as it is written.
pub async fn lines_csv(
    exchange: Data<Exchange>,
    staff: Staff,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeSettlement)?;
    let (of, id) = (whose(&staff, &path.1)?, id_of(&exchange, &staff, &path.0).await?);
    let number = view::get(&exchange, of.clone(), id).await.map_err(no(&staff, WINDOWS))?.number;
    let name = format!("{}-lines.csv", desk::stem(&of, number));
    let reading = view::lines(&exchange, of, id, Format::Csv).await.map_err(no(&staff, WINDOWS))?;
    let mut answer = HttpResponse::Ok();
    answer.content_type("text/csv; charset=utf-8").insert_header(disposition(name));
    Ok(answer.body(v1::lines(exchange, reading)))
}

#[derive(Debug, Deserialize)]
pub struct Behind {
    counterparty: Option<String>,
    sort: Option<String>,
    from: Option<i64>,
}

struct LineShown {
    no: i64,
    day: String,
    sort: &'static str,
    counterparty: String,
    points: String,
    debit_points: String,
    price: String,
    amount: String,
    fee: String,
    conversion: String,
    reference: String,
    /// Where it can be disputed.
    dispute: Option<String>,
}

#[derive(Template)]
#[template(path = "staff/finance/lines.html")]
struct LinesPage<'a> {
    shell: &'a Shell,
    base: String,
    title: String,
    behind: String,
    is_whole: bool,
    lines: Vec<LineShown>,
    next: Option<String>,
    currency: String,
}

/// The lines behind a figure, a page at a time.
pub async fn lines(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    path: Path<(String, String)>,
    behind: Query<Behind>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeSettlement)?;
    let (of, id) = (whose(&staff, &path.1)?, id_of(&exchange, &staff, &path.0).await?);
    let figure = figure(&staff, &behind)?;
    let from = behind.from.unwrap_or(0);
    let found = desk::lines(&exchange, of.clone(), id, figure.clone(), from).await.map_err(no(&staff, WINDOWS))?;
    let number = view::get(&exchange, of.clone(), id).await.map_err(no(&staff, WINDOWS))?.number;
    let shell = Shell::new(&exchange, &staff, &request, Place::Windows);
    let may_dispute = staff.signed.partner().is_some() && staff.signed.may(Permission::Dispute);
    let base = format!("{WINDOWS}/{number}/statements/{of}");
    let shown = LinesPage {
        title: shell.lang.statement_of(party(&shell, of.as_str()), number),
        behind: behind_text(&shell, &figure),
        is_whole: figure == Figure::default(),
        lines: found.lines.iter().map(|line| line_shown(&shell, line, number, may_dispute)).collect(),
        next: found.next.map(|next| format!("{base}/lines?{}from={next}", query_of(&figure))),
        currency: exchange.currency(),
        base,
        shell: &shell,
    };
    page::html(StatusCode::OK, &shown)
}

fn figure(staff: &Staff, behind: &Behind) -> Result<Figure, Trouble> {
    let none = || not_found(staff, WINDOWS);
    let counterparty = behind.counterparty.as_deref().map(|text| Participant::parse(text).ok_or_else(none));
    let sort = behind.sort.as_deref().map(|code| tables::sort(code).ok_or_else(none));
    Ok(Figure { counterparty: counterparty.transpose()?, sort: sort.transpose()? })
}

fn query_of(figure: &Figure) -> String {
    let counterparty = figure.counterparty.as_ref().map(|with| format!("counterparty={with}&"));
    let sort = figure.sort.map(|sort| format!("sort={}&", sort.code()));
    counterparty.unwrap_or_default() + &sort.unwrap_or_default()
}

fn behind_text(shell: &Shell, figure: &Figure) -> String {
    let with = figure.counterparty.as_ref().map(|with| party(shell, with.as_str()));
    let with = with.unwrap_or_else(|| shell.lang.all_counterparties().to_owned());
    let text = match figure.sort {
        Some(sort) => format!("{} · {with}", shell.lang.figure(sort)),
        None => with,
    };
    shell.lang.behind_figure(text)
}

fn line_shown(shell: &Shell, line: &Line, number: i64, may_dispute: bool) -> LineShown {
    let lang = shell.lang;
    let points = |points: Option<i64>| points.map(|points| lang.number(points)).unwrap_or_default();
    let amount = |amount: crate::domain::money::Millionths| money(&amount.to_string());
    LineShown {
        no: line.no,
        day: lang.day(line.day),
        sort: lang.figure(line.sort),
        counterparty: party(shell, line.counterparty.as_str()),
        points: points(line.points),
        debit_points: points(line.debit_points),
        price: line.price.map(amount).unwrap_or_default(),
        amount: amount(line.amount),
        fee: line.fee.map(amount).unwrap_or_default(),
        conversion: line.conversion.map(|id| id.to_string()).unwrap_or_default(),
        reference: line.reference.clone().unwrap_or_default(),
        dispute: may_dispute.then(|| format!("{WINDOWS}/{number}/dispute?line={}", line.id)),
    }
}
