//! `hanse kpis show|bounds|bound`: the alliance in key figures, and the bounds within which they are to stay.

use super::house::Reach;
use super::partners::table;
use super::{Error, Global};
use crate::config::Flags;
use crate::domain::ids::Slug;
use crate::domain::kpi::{Bounds, Kpi, Span};
use crate::service::figures::{self, Board};
use crate::store;
use crate::store::catalogue;
use chrono::NaiveDate;
use serde_json::{Map, Value, json};

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Every figure of every brand, with its definition
    Show(ShowArgs),
    /// Where figures are to stay, as it was said
    Bounds {
        #[command(flatten)]
        flags: Flags,
    },
    /// Say where a figure is to stay
    Bound(BoundArgs),
}

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Days up to the last
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=figures::DAYS_MAX))]
    days: u64,
    /// The last day; today unless it is said
    #[arg(long, value_name = "DAY")]
    last: Option<NaiveDate>,
    /// Only this brand's
    #[arg(long, value_name = "SLUG")]
    partner: Option<String>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, clap::Args)]
pub struct BoundArgs {
    /// Which figure, as `show` calls it
    #[arg(value_name = "FIGURE")]
    kpi: String,
    /// Of this brand; of every brand that has none of its own unless it is said
    #[arg(long, value_name = "SLUG")]
    partner: Option<String>,
    /// 99.5 of a share in per cent, 3 of a multiple, whole milliseconds, counts, or money
    #[arg(long, value_name = "VALUE")]
    at_least: Option<String>,
    #[arg(long, value_name = "VALUE")]
    at_most: Option<String>,
    /// What is usual holds again
    #[arg(long, conflicts_with_all = ["at_least", "at_most"])]
    usual: bool,
    /// Who answers for it
    #[arg(long, value_name = "NAME")]
    by: String,
    #[command(flatten)]
    flags: Flags,
}

pub fn run(action: &Action, global: &Global) -> Result<(), Error> {
    match action {
        Action::Show(args) => show(args, global),
        Action::Bounds { flags } => bounds(flags, global),
        Action::Bound(args) => bound(args, global),
    }
}

fn show(args: &ShowArgs, global: &Global) -> Result<(), Error> {
    let whose = args.partner.as_deref().map(slug).transpose()?;
    let reach = Reach::open(&global.begin(&args.flags)?)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    let catalogue = catalogue::load(&mut conn).map_err(Error::failed)?;
    let board = figures::board(&mut conn, &catalogue, whose.as_ref(), args.last, args.days).map_err(Error::failed)?;
    if board.brands.is_empty() {
        return Err(Error::Usage("there is no such partner".to_owned()));
    }
    if global.json {
        println!("{:#}", as_json(&board));
        return Ok(());
    }
    println!("{} to {}", board.first, board.last);
    let mut shown = table(["figure", "brand", "value", "is to stay"]);
    for kpi in Kpi::all() {
        for brand in &board.brands {
            let Some(figure) = brand.figures.iter().find(|figure| figure.kpi == kpi) else { continue };
            let value = figure.value.map_or_else(|| "-".to_owned(), |value| kpi.unit().text(value));
            let out = if figure.is_crossed { "  OUT OF BOUNDS" } else { "" };
            shown.add_row([kpi.code().to_owned(), brand.slug.to_string(), value + out, limits(kpi, figure.bounds)]);
        }
    }
    println!("{shown}");
    for kpi in Kpi::all() {
        println!("{}: {}", kpi.code(), kpi.definition().0);
    }
    if board.uncounted > 0 {
        println!("not counted yet: {} batches; a running server counts them", board.uncounted);
    }
    Ok(())
}

fn as_json(board: &Board) -> Value {
    let brand = |brand: &figures::Brand| {
        let figure = |figure: &figures::Figure| {
            let said = json!({
                "value": figure.value, "unit": unit(figure.kpi), "span": span(figure.kpi), "at_least": figure.bounds.at_least,
                "at_most": figure.bounds.at_most, "out_of_bounds": figure.is_crossed,
            });
            (figure.kpi.code().to_owned(), said)
        };
        let figures: Map<String, Value> = brand.figures.iter().map(figure).collect();
        json!({ "partner": brand.slug.as_str(), "figures": figures })
    };
    let brands: Vec<Value> = board.brands.iter().map(brand).collect();
    json!({ "first": board.first, "last": board.last, "uncounted_batches": board.uncounted, "brands": brands })
}

fn unit(kpi: Kpi) -> &'static str {
    use crate::domain::kpi::Unit;
    match kpi.unit() {
        Unit::Share => "hundredths_of_a_per_cent",
        Unit::Times => "hundredths",
        Unit::Milliseconds => "milliseconds",
        Unit::Count => "count",
        Unit::Money => "millionths",
    }
}

fn span(kpi: Kpi) -> &'static str {
    match kpi.span() {
        Span::Days => "days",
        Span::Month => "month",
        Span::End => "end",
    }
}

fn limits(kpi: Kpi, bounds: Bounds) -> String {
    let text = |value: i64| kpi.unit().text(value);
    match (bounds.at_least, bounds.at_most) {
        (None, None) => "anywhere".to_owned(),
        (Some(least), None) => format!("at {} or above", text(least)),
        (None, Some(most)) => format!("at {} or below", text(most)),
        (Some(least), Some(most)) => format!("from {} to {}", text(least), text(most)),
    }
}

fn bounds(flags: &Flags, global: &Global) -> Result<(), Error> {
    let reach = Reach::open(&global.begin(flags)?)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    let rows = figures::all_bounds(&mut conn).map_err(Error::failed)?;
    if global.json {
        let row = |row: &store::figures::BoundRow| {
            json!({ "kpi": row.kpi, "partner": row.partner, "at_least": row.at_least, "at_most": row.at_most,
                    "set_by": row.set_by, "set_at": row.set_at })
        };
        println!("{:#}", Value::Array(rows.iter().map(row).collect()));
        return Ok(());
    }
    let mut shown = table(["figure", "brand", "is to stay", "said by", "at"]);
    for kpi in Kpi::all().filter(|kpi| !kpi.usual().is_none()) {
        shown.add_row([kpi.code(), "each", &limits(kpi, kpi.usual()), "usual", ""]);
    }
    for row in &rows {
        let Some(kpi) = Kpi::parse(&row.kpi) else { continue };
        let said = limits(kpi, Bounds { at_least: row.at_least, at_most: row.at_most });
        let whose = if row.partner.is_empty() { "each" } else { &row.partner };
        shown.add_row([kpi.code(), whose, &said, &row.set_by, &row.set_at.to_rfc3339()]);
    }
    println!("{shown}");
    Ok(())
}

fn bound(args: &BoundArgs, global: &Global) -> Result<(), Error> {
    let codes = || Kpi::all().map(Kpi::code).collect::<Vec<_>>().join(", ");
    let kpi = Kpi::parse(&args.kpi)
        .ok_or_else(|| Error::Usage(format!("'{}' is no figure; there are {}", args.kpi, codes())))?;
    let partner = args.partner.as_deref().map(slug).transpose()?;
    if args.by.trim().is_empty() || args.by.chars().count() > 255 || args.by.chars().any(char::is_control) {
        return Err(Error::Usage("--by says who answers for it, in at most 255 characters".to_owned()));
    }
    let value =
        |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => kpi.unit().parse(text).map(Some).ok_or_else(|| {
                Error::Usage(format!("'{text}' is no value of {kpi}: {} is one", kpi.unit().text(1_250)))
            }),
        };
    let bounds = Bounds { at_least: value(&args.at_least)?, at_most: value(&args.at_most)? };
    let reach = Reach::open(&global.begin(&args.flags)?)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    let whose = partner.as_ref().map_or("each brand", Slug::as_str);
    if args.usual {
        figures::clear_bound(&mut conn, kpi, partner.as_ref()).map_err(Error::failed)?;
        println!("{kpi} of {whose} is to stay {} again", limits(kpi, kpi.usual()));
    } else {
        let set = figures::set_bound(&mut conn, kpi, partner.as_ref(), bounds, args.by.trim());
        set.map_err(|error| match error {
            figures::Error::Refused(why) => Error::Usage(why),
            other => Error::failed(other),
        })?;
        println!("{kpi} of {whose} is to stay {}", limits(kpi, bounds));
    }
    Ok(())
}

fn slug(text: &str) -> Result<Slug, Error> {
    text.parse().map_err(|_| Error::Usage(format!("'{text}' is no partner's slug")))
}
