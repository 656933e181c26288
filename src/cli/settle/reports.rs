//! Finance reports into files, and a bank's list against what is owed.

use crate::cli::partners::table;
use crate::cli::{Error, Global};
use crate::domain::settlement::Participant;
use crate::domain::settlement::incoming::Outcome;
use crate::service::reports::{Form, files};
use crate::service::settlement::incoming::{self, Mode, Report};
use crate::service::settlement::reports::{Name, Wanted, file_stem, make};
use diesel::PgConnection;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// statement, pairs, summary, journal, invoices (each of a window), exposures, liability, points, ageing, rates
    name: String,
    /// Which window: its number or win_…
    #[arg(long)]
    window: Option<super::window::Name>,
    /// Whose: a partner, or `operator`; everybody's unless said
    #[arg(long, value_name = "SLUG")]
    participant: Option<String>,
    /// csv (with a byte order mark), csv_plain, json, xlsx or html
    #[arg(long, default_value = "xlsx", value_name = "FORM")]
    form: String,
    /// Folder to write into
    #[arg(long, default_value = ".", value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    pub flags: crate::config::Flags,
}

/// Writes one report and says its files.
pub fn run(conn: &mut PgConnection, args: &Args, global: &Global) -> Result<(), Error> {
    let names: Vec<&str> = Name::ALL.iter().map(|name| name.code()).collect();
    let name = Name::parse(&args.name)
        .ok_or_else(|| Error::Usage(format!("'{}' is no report: {}", args.name, names.join(", "))))?;
    let form = Form::parse(&args.form)
        .ok_or_else(|| Error::Usage(format!("'{}' is no form: csv, csv_plain, json, xlsx or html", args.form)))?;
    if args.participant.is_some() && !name.is_for_partners() {
        let what = format!("the {} is of the whole alliance: leave out --participant", name.code());
        return Err(Error::Usage(what));
    }
    let participant = args.participant.as_deref().map(|text| {
        Participant::parse(text).ok_or_else(|| Error::Usage(format!("'{text}' is neither a partner nor `operator`")))
    });
    let wanted = Wanted {
        window: args.window.map(|window| Ok::<_, Error>(window.find(conn)?.number)).transpose()?,
        participant: participant.transpose()?,
        ..Wanted::now(conn).map_err(Error::failed)?
    };
    super::written(&write(conn, name, &wanted, form, &args.to)?, global);
    Ok(())
}

/// The same, without a word.
pub fn write(
    conn: &mut PgConnection,
    name: Name,
    wanted: &Wanted,
    form: Form,
    to: &Path,
) -> Result<Vec<PathBuf>, Error> {
    let report = make(conn, name, wanted).map_err(Error::failed)?;
    fs::create_dir_all(to).map_err(Error::failed)?;
    let mut written = Vec::new();
    for (file, bytes) in files(&report, form, &file_stem(name, wanted)).map_err(Error::failed)? {
        let path = to.join(file);
        fs::write(&path, bytes).map_err(Error::failed)?;
        written.push(path);
    }
    Ok(written)
}

/// Matches a bank's list with what is owed, and records it when `by` is given.
pub fn incoming(conn: &mut PgConnection, list: &Path, by: Option<&str>, global: &Global) -> Result<(), Error> {
    let file = File::open(list).map_err(|cause| Error::Usage(format!("{}: {cause}", list.display())))?;
    let mode = by.map_or(Mode::DryRun, |by| Mode::Apply { by });
    let report = incoming::incoming(conn, file, mode).map_err(Error::failed)?;
    if global.json {
        println!("{:#}", to_json(&report));
        return Ok(());
    }
    let mut table = table(["row", "date", "amount", "payer", "reference", "outcome", "obligation"]);
    for row in &report.rows {
        table.add_row([
            row.row.to_string(),
            row.payment.on.to_string(),
            row.payment.amount.to_string(),
            row.payment.payer.clone(),
            row.payment.reference.clone(),
            row.refused.clone().unwrap_or_else(|| row.outcome.code().to_owned()),
            row.obligation.map(|(id, _)| id.to_string()).unwrap_or_default(),
        ]);
    }
    println!("{table}");
    for total in &report.totals {
        println!("{:>12}  {:>4}  {}", total.outcome.code(), total.count, total.amount);
    }
    println!("{}", closing(&report));
    Ok(())
}

/// What became of the list, and what is left to whoever brought it.
fn closing(report: &Report) -> String {
    if !report.applied {
        return "nothing was recorded: record what is matched or partial with --by NAME".to_owned();
    }
    let recorded = report.rows.iter().filter(|row| row.recorded.is_some()).count();
    let duplicates = report.rows.iter().filter(|row| row.outcome == Outcome::Duplicate).count();
    let left = report.rows.len() - recorded - duplicates;
    let told = format!("{recorded} recorded, {duplicates} recorded before");
    if left == 0 {
        return told;
    }
    format!("{told}, {left} left to you: hanse settle pay obl_… --amount … --on … --reference … --by NAME")
}

fn to_json(report: &Report) -> Value {
    let rows = report.rows.iter().map(|row| {
        json!({ "row": row.row, "date": row.payment.on, "amount": row.payment.amount.to_string(), "payer": row.payment.payer,
            "reference": row.payment.reference, "outcome": row.outcome.code(),
            "obligation_id": row.obligation.map(|(id, _)| id.to_string()),
            "payment_id": row.recorded.map(|id| id.to_string()), "refused": row.refused })
    });
    let totals = report
        .totals
        .iter()
        .map(|total| json!({ "outcome": total.outcome.code(), "count": total.count, "amount": total.amount }));
    json!({ "applied": report.applied, "rows": rows.collect::<Vec<_>>(), "totals": totals.collect::<Vec<_>>() })
}
