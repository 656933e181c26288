//! The alliance in figures: key figures with their definitions and bounds, what flowed day by day, and the same as a file.

mod chart;

use super::one;
use super::session::Staff;
use super::shell::{Place, Shell};
use crate::domain::capped::plus;
use crate::domain::ids::Slug;
use crate::domain::kpi::{self, Day, Kpi, Points, Unit};
use crate::domain::money::Millionths;
use crate::domain::staff::Permission;
use crate::service::exchange::{self, Exchange};
use crate::service::figures::{self, BenefitRow, Board, Brand, Figure, PairRow};
use crate::web::lang::Lang;
use crate::web::page;
use crate::web::trouble::Trouble;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_DISPOSITION;
use actix_web::web::{self, Data, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use chrono::{Datelike, NaiveDate};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Periods that are offered.
const PERIODS: [u64; 4] = [7, 30, 90, 365];
const USUAL_DAYS: u64 = 30;

pub fn configure(config: &mut ServiceConfig) {
    config.service(one("/figures", web::get().to(show))).service(one("/figures/days.csv", web::get().to(file)));
}

/// Nothing of it can be wrong: what is no day, no period and no brand is as if it were not there.
#[derive(Debug, Deserialize)]
pub struct Asked {
    #[serde(default)]
    days: String,
    #[serde(default)]
    last: String,
    #[serde(default)]
    brand: String,
}

async fn board(exchange: &Data<Exchange>, staff: &Staff, asked: &Asked) -> Result<(Board, Option<Slug>), Trouble> {
    let days = asked.days.parse().ok().filter(|days| PERIODS.contains(days)).unwrap_or(USUAL_DAYS);
    // Days far from any calendar are beyond what the database counts.
    let last: Option<NaiveDate> = asked.last.parse().ok().filter(|day: &NaiveDate| (1..=9_999).contains(&day.year()));
    let chosen = asked.brand.parse::<Slug>().ok();
    let whose = staff.signed.partner().cloned().or(chosen);
    let (catalogue, of) = (exchange.catalogue.load_full(), whose.clone());
    let unit = move |conn: &mut _| figures::board(conn, &catalogue, of.as_ref(), last, days);
    let found = exchange.database.run(unit).await.map_err(|error| no(error, staff.lang))?;
    Ok((found, whose))
}

fn no(error: figures::Error, lang: Lang) -> Trouble {
    match error {
        figures::Error::Store(cause) => Trouble::of(exchange::Error::Store(cause), lang).back_to("/console"),
        other => Trouble::internal(&other),
    }
}

struct Choice {
    value: String,
    text: String,
    is_chosen: bool,
}

/// One key figure over all brands that are shown.
struct FigureShown {
    id: &'static str,
    name: &'static str,
    means: &'static str,
    usual: Option<String>,
    cells: Vec<CellShown>,
}

struct CellShown {
    text: String,
    is_crossed: bool,
}

/// A chart, and the same as a table.
struct ChartShown {
    id: &'static str,
    title: &'static str,
    svg: String,
    keys: Vec<(&'static str, String)>,
    brands: Vec<String>,
    rows: Vec<(String, Vec<String>)>,
    is_cut: bool,
}

struct PairShown {
    from: String,
    to: String,
    conversions: String,
    debit: String,
    credit: String,
    value: String,
    share: String,
    taken_back: String,
    value_back: String,
    released: String,
}

struct BenefitShown {
    code: String,
    giver: String,
    brand: String,
    uses: String,
    cost: String,
}

#[derive(Template)]
#[template(path = "staff/figures.html")]
struct FiguresPage<'a> {
    shell: &'a Shell,
    period: String,
    last: String,
    days: Vec<Choice>,
    choices: Vec<Choice>,
    query: String,
    brands: Vec<String>,
    figures: Vec<FigureShown>,
    crossed: Vec<String>,
    charts: Vec<ChartShown>,
    pairs: Vec<PairShown>,
    benefits: Vec<BenefitShown>,
    currency: String,
    lines_max: usize,
    uncounted: Option<String>,
    has_remote: bool,
    sees_liability: bool,
}

/// The alliance, or a brand, over some days.
pub async fn show(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    asked: Query<Asked>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeFigures)?;
    let (board, whose) = board(&exchange, &staff, &asked).await?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Figures);
    page::html(StatusCode::OK, &page_of(&shell, &staff, &board, whose.as_ref()))
}

fn page_of<'a>(shell: &'a Shell, staff: &Staff, board: &Board, whose: Option<&Slug>) -> FiguresPage<'a> {
    let lang = shell.lang;
    let length = board.days().count();
    let days = PERIODS.iter().map(|days| Choice {
        value: days.to_string(),
        text: lang.number(i64::try_from(*days).unwrap_or(i64::MAX)),
        is_chosen: usize::try_from(*days) == Ok(length),
    });
    let is_operator = staff.signed.partner().is_none();
    let choice =
        |slug: &Slug| Choice { value: slug.to_string(), text: shell.brand_of(slug), is_chosen: whose == Some(slug) };
    let all = shell.catalogue().partners.keys().filter(|_| is_operator);
    FiguresPage {
        period: lang.figures_of(lang.day(board.first), lang.day(board.last)),
        last: board.last.to_string(),
        days: days.collect(),
        choices: all.map(choice).collect(),
        query: format!("days={length}&last={}&brand={}", board.last, whose.map_or("", Slug::as_str)),
        brands: board.brands.iter().map(|brand| shell.brand_of(&brand.slug)).collect(),
        figures: Kpi::all().map(|kpi| figure_shown(lang, kpi, board)).collect(),
        crossed: crossed(shell, board),
        charts: charts(shell, board),
        pairs: pairs(shell, &board.pairs),
        benefits: benefits(shell, &board.benefits),
        currency: shell.catalogue().alliance.currency.clone(),
        lines_max: chart::LINES_MAX,
        uncounted: (board.uncounted > 0).then(|| lang.figures_uncounted(lang.number(board.uncounted))),
        has_remote: board.brands.iter().any(|brand| !brand.is_hosted),
        sees_liability: staff.signed.may(Permission::SeeSettlement),
        shell,
    }
}

fn of_kpi(brand: &Brand, kpi: Kpi) -> Option<&Figure> {
    brand.figures.iter().find(|figure| figure.kpi == kpi)
}

fn figure_shown(lang: Lang, kpi: Kpi, board: &Board) -> FigureShown {
    let cell = |brand: &Brand| {
        let figure = of_kpi(brand, kpi);
        let value = figure.and_then(|figure| figure.value);
        CellShown {
            text: value.map_or_else(|| lang.figures_none().to_owned(), |value| lang.kpi_value(kpi.unit(), value)),
            is_crossed: figure.is_some_and(|figure| figure.is_crossed),
        }
    };
    FigureShown {
        id: kpi.code(),
        name: lang.kpi(kpi),
        means: lang.kpi_means(kpi),
        usual: lang.kpi_bounds(kpi.unit(), kpi.usual()).map(|bounds| lang.figures_usual(bounds)),
        cells: board.brands.iter().map(cell).collect(),
    }
}

/// What is out of its bounds, in a sentence each.
fn crossed(shell: &Shell, board: &Board) -> Vec<String> {
    let lang = shell.lang;
    let sentence = |brand: &Brand, figure: &Figure| {
        let unit = figure.kpi.unit();
        let value = lang.kpi_value(unit, figure.value?);
        let bounds = lang.kpi_bounds(unit, figure.bounds)?;
        Some(lang.figures_out_of(shell.brand_of(&brand.slug), lang.kpi(figure.kpi), value, bounds))
    };
    let of = |brand: &Brand| {
        let crossed = brand.figures.iter().filter(|figure| figure.is_crossed);
        crossed.filter_map(|figure| sentence(brand, figure)).collect::<Vec<_>>()
    };
    board.brands.iter().flat_map(of).collect()
}

fn charts(shell: &Shell, board: &Board) -> Vec<ChartShown> {
    let lang = shell.lang;
    let count = |brand: &Brand| Some(brand.conversions.clone());
    let uses = |brand: &Brand| Some(brand.uses.clone());
    let burn = |brand: &Brand| brand.is_hosted.then(|| burned(brand));
    vec![
        chart_shown(shell, board, ("chart-conversions", lang.figures_conversions()), Unit::Count, &count),
        chart_shown(shell, board, ("chart-burn", lang.figures_burn()), Unit::Share, &burn),
        chart_shown(shell, board, ("chart-uses", lang.figures_uses()), Unit::Count, &uses),
    ]
}

/// Burn velocity of each day by itself.
fn burned(brand: &Brand) -> Vec<i64> {
    let mut one = Points { opening: brand.points.opening, days: Vec::new() };
    let velocity = |day: &Day| {
        one.days = vec![*day];
        let value = one.burn_velocity().unwrap_or(0);
        one.opening = one.closing();
        value
    };
    brand.points.days.iter().map(velocity).collect()
}

fn chart_shown(
    shell: &Shell,
    board: &Board,
    (id, title): (&'static str, &'static str),
    unit: Unit,
    values: &dyn Fn(&Brand) -> Option<Vec<i64>>,
) -> ChartShown {
    let lang = shell.lang;
    let line = |brand: &Brand| Some((shell.brand_of(&brand.slug), values(brand)?));
    let mut all: Vec<(String, Vec<i64>)> = board.brands.iter().filter_map(line).collect();
    all.sort_by_key(|(_, values)| std::cmp::Reverse(values.iter().copied().map(i128::from).sum::<i128>()));
    let drawn: Vec<&[i64]> = all.iter().take(chart::LINES_MAX).map(|(_, values)| values.as_slice()).collect();
    let labels: Vec<String> = board.days().map(|day| lang.short_day(day)).collect();
    let row = |(at, day): (usize, NaiveDate)| {
        let cells = all.iter().map(|(_, values)| lang.kpi_value(unit, values.get(at).copied().unwrap_or(0)));
        (lang.day(day), cells.collect())
    };
    ChartShown {
        id,
        title,
        svg: chart::lines(&labels, &drawn, &|value| lang.kpi_value(unit, value)),
        keys: chart::LINES.into_iter().zip(all.iter().map(|(brand, _)| brand.clone())).collect(),
        rows: board.days().enumerate().map(row).collect(),
        is_cut: all.len() > chart::LINES_MAX,
        brands: all.into_iter().map(|(brand, _)| brand).collect(),
    }
}

/// Over all the days, the largest first.
fn pairs(shell: &Shell, rows: &[PairRow]) -> Vec<PairShown> {
    let lang = shell.lang;
    let mut sums: BTreeMap<(&str, &str), PairRow> = BTreeMap::new();
    for row in rows {
        let sum = sums.entry((&row.from_partner, &row.to_partner));
        let sum = sum.and_modify(|sum| {
            sum.conversions += row.conversions;
            sum.debit = plus(sum.debit, row.debit);
            sum.credit = plus(sum.credit, row.credit);
            sum.value = plus(sum.value, row.value);
            sum.taken_back += row.taken_back;
            sum.value_back = plus(sum.value_back, row.value_back);
            sum.released += row.released;
        });
        sum.or_insert_with(|| row.clone());
    }
    let mut sums: Vec<PairRow> = sums.into_values().collect();
    sums.sort_by_key(|row| std::cmp::Reverse(row.value));
    let all: i128 = sums.iter().map(|row| i128::from(row.value)).sum();
    let shown = |row: &PairRow| PairShown {
        from: brand(shell, &row.from_partner),
        to: brand(shell, &row.to_partner),
        conversions: lang.number(row.conversions),
        debit: lang.number(row.debit),
        credit: lang.number(row.credit),
        value: lang.cents(Millionths::new(row.value)),
        share: kpi::share(row.value, all).map_or_else(String::new, |share| lang.kpi_value(Unit::Share, share)),
        taken_back: lang.number(row.taken_back),
        value_back: lang.cents(Millionths::new(row.value_back)),
        released: lang.number(row.released),
    };
    sums.iter().map(shown).collect()
}

fn brand(shell: &Shell, slug: &str) -> String {
    slug.parse().map_or_else(|_| slug.to_owned(), |slug| shell.brand_of(&slug))
}

fn benefits(shell: &Shell, rows: &[BenefitRow]) -> Vec<BenefitShown> {
    let lang = shell.lang;
    let mut sums: BTreeMap<(&str, &str, &str), (i64, i64)> = BTreeMap::new();
    for row in rows {
        let sum = sums.entry((&row.giver, &row.code, &row.brand)).or_default();
        *sum = (sum.0 + row.redeemed - row.taken_back, plus(sum.1, row.cost));
    }
    let shown = |((giver, code, of), (uses, cost)): ((&str, &str, &str), (i64, i64))| BenefitShown {
        code: code.to_owned(),
        giver: brand(shell, giver),
        brand: brand(shell, of),
        uses: lang.number(uses),
        cost: lang.cents(Millionths::new(cost)),
    };
    sums.into_iter().map(shown).collect()
}

/// By brand and day, for whoever draws by other means: days of ISO 8601, points and counts whole.
pub async fn file(exchange: Data<Exchange>, staff: Staff, asked: Query<Asked>) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeFigures)?;
    let (board, _) = board(&exchange, &staff, &asked).await?;
    let mut text = String::from(
        "partner,day,issued,converted_in,converted_out,redeemed,expired,adjusted,outstanding,conversions,benefit_uses\n",
    );
    for brand in &board.brands {
        let mut outstanding = brand.points.opening;
        for (at, (date, day)) in board.days().zip(&brand.points.days).enumerate() {
            outstanding = plus(outstanding, day.total());
            let kept = if brand.is_hosted { outstanding.to_string() } else { String::new() };
            text += &format!(
                "{},{date},{},{},{},{},{},{},{kept},{},{}\n",
                brand.slug,
                day.issued,
                day.converted_in,
                day.converted_out,
                day.redeemed,
                day.expired,
                day.adjusted,
                brand.conversions.get(at).copied().unwrap_or(0),
                brand.uses.get(at).copied().unwrap_or(0),
            );
        }
    }
    let name = format!("attachment; filename=\"figures-{}-{}.csv\"", board.first, board.last);
    let mut answer = HttpResponse::Ok();
    Ok(answer.content_type("text/csv; charset=utf-8").insert_header((CONTENT_DISPOSITION, name)).body(text))
}
