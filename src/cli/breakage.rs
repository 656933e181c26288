//! `hanse breakage state|list`: what a brand estimates never to be used of its points.

use super::house::Reach;
use super::partners::table;
use super::{Error, Global};
use crate::config::Flags;
use crate::domain::ids::Slug;
use crate::service::settlement::estimates::{self, Stated};
use crate::store;
use crate::store::settlement::estimates::Row;
use serde_json::{Value, json};

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// State a new estimate; earlier ones stay
    State(StateArgs),
    /// Every estimate, the newest of each brand first
    List {
        /// Only this brand's
        #[arg(long, value_name = "SLUG")]
        partner: Option<String>,
        #[command(flatten)]
        flags: Flags,
    },
}

#[derive(Debug, clap::Args)]
pub struct StateArgs {
    /// Whose points
    #[arg(value_name = "SLUG")]
    partner: String,
    /// Share of outstanding points, with at most two decimals: 12.5
    #[arg(value_name = "PERCENT")]
    percent: String,
    /// Who answers for it
    #[arg(long, value_name = "NAME")]
    by: String,
    /// How it was come to
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    #[command(flatten)]
    flags: Flags,
}

pub fn run(action: &Action, global: &Global) -> Result<(), Error> {
    match action {
        Action::State(args) => state(args, global),
        Action::List { partner, flags } => list(partner.as_deref(), flags, global),
    }
}

fn state(args: &StateArgs, global: &Global) -> Result<(), Error> {
    let stated = Stated {
        partner: slug(&args.partner)?,
        basis_points: basis_points(&args.percent)?,
        author: args.by.clone(),
        note: args.note.clone(),
    };
    let reach = Reach::open(&global.begin(&args.flags)?)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    let row = estimates::state(&mut conn, &stated).map_err(Error::failed)?;
    if global.json {
        println!("{:#}", as_json(&row));
    } else {
        println!("{} version {}: {} %, stated on {}", row.partner, row.version, percent(&row), row.stated_on);
    }
    Ok(())
}

fn list(partner: Option<&str>, flags: &Flags, global: &Global) -> Result<(), Error> {
    let partner = partner.map(slug).transpose()?;
    let reach = Reach::open(&global.begin(flags)?)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    let rows = estimates::list(&mut conn, partner.as_ref()).map_err(Error::failed)?;
    if global.json {
        println!("{:#}", Value::Array(rows.iter().map(as_json).collect()));
        return Ok(());
    }
    let mut table = table(["brand", "version", "estimate", "stated on", "author", "note"]);
    for row in &rows {
        let texts = [row.partner.to_string(), row.version.to_string(), percent(row) + " %", row.stated_on.to_string()];
        table.add_row(texts.into_iter().chain([row.author.clone(), row.note.clone()]));
    }
    println!("{table}");
    Ok(())
}

fn slug(text: &str) -> Result<Slug, Error> {
    text.parse().map_err(|_| Error::Usage(format!("'{text}' is no partner's slug")))
}

fn as_json(row: &Row) -> Value {
    json!({
        "partner": row.partner.as_str(), "version": row.version, "basis_points": row.basis_points, "author": row.author,
        "stated_on": row.stated_on, "note": row.note,
    })
}

fn percent(row: &Row) -> String {
    format!("{}.{:02}", row.basis_points / 100, row.basis_points % 100)
}

/// `12.5` is 1,250.
fn basis_points(text: &str) -> Result<i64, Error> {
    let wrong = || Error::Usage(format!("'{text}' is no per cent: write 12 or 12.5, at most two decimals, up to 100"));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(fraction) || whole.len() > 3 || fraction.len() > 2 {
        return Err(wrong());
    }
    let value: i64 = format!("{whole}{fraction:0<2}").parse().map_err(|_| wrong())?;
    if value <= 10_000 { Ok(value) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_per_cent_has_two_decimals_at_most() {
        for (text, value) in [("0", 0), ("12", 1_200), ("12.5", 1_250), ("0.05", 5), ("100", 10_000)] {
            assert_eq!(basis_points(text).ok(), Some(value), "{text}");
        }
        for bad in ["", "-1", "12.", ".5", "12.555", "100.01", "1e2", "12 %"] {
            assert!(basis_points(bad).is_err(), "{bad}");
        }
    }
}
