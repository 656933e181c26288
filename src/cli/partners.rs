//! `hanse partners`: an alliance's manifests, judged and proposed; what becomes of a partner, and its data. `conform` is in a
//! file of its own.

mod export;
mod life;

use super::house::Reach;
use super::{Error, Global, conform, rates};
use crate::clock;
use crate::config::Flags;
use crate::domain::plan::Plan;
use crate::partner::manifest;
use crate::service::lifecycle;
use crate::service::proposals::{self, Line, Proposed};
use crate::store;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Judge the manifests of a folder; names file, line and field of all that is wrong, and every loop that pays
    Check {
        /// Folder with alliance.toml and a file per partner
        folder: PathBuf,
    },
    /// Show what the manifests change and propose it; changes nothing else
    Apply {
        /// Folder with alliance.toml and a file per partner
        folder: PathBuf,
        /// Only show
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        flags: Flags,
    },
    /// Play the contract against an endpoint, and say what of it holds
    Conform(Box<conform::Args>),
    /// Stop new business with a partner at once, in both directions; what is held finishes, settlement goes on
    Suspend(life::Args),
    /// End a suspension
    Resume(life::Args),
    /// Give notice: nothing arrives any more, and it sends until the longest notice of its agreements is over
    Leave(life::Args),
    /// Where a partner stands, and how it came there
    Show(life::Show),
    /// Write everything of a partner into files: its members, their conversions, its statements
    Export(export::Args),
}

pub fn run(action: &Action, global: &Global) -> Result<(), Error> {
    match action {
        Action::Check { folder } => check(folder, global),
        Action::Apply { folder, dry_run: true, flags } => show(folder, global, flags),
        Action::Apply { folder, dry_run: false, flags } => apply(folder, global, flags),
        Action::Conform(args) => conform::run(args, global),
        Action::Suspend(args) => life::take(args, global, lifecycle::suspend),
        Action::Resume(args) => life::take(args, global, lifecycle::resume),
        Action::Leave(args) => life::take(args, global, lifecycle::leave),
        Action::Show(args) => life::show(args, global),
        Action::Export(args) => export::run(args, global),
    }
}

/// Reads a folder of manifests; its findings, one a line, are the error.
pub fn read(folder: &Path) -> Result<Plan, Error> {
    manifest::read(folder).map_err(|error| match &error {
        manifest::Error::Wrong(findings) => Error::Failed(format!("wrong in {} places:\n{error}", findings.len())),
        _ => Error::Failed(error.to_string()),
    })
}

fn check(folder: &Path, global: &Global) -> Result<(), Error> {
    let plan = read(folder)?;
    let report = proposals::check_plan(&plan, clock::now()).map_err(Error::failed)?;
    let rates: usize = plan.pairs.values().map(|pair| pair.rates.len()).sum();
    let campaigns: usize = plan.pairs.values().map(|pair| pair.campaigns.len()).sum();
    if global.json {
        let head = json!({
            "alliance": plan.alliance.slug, "partners": plan.partners.len(), "directions": plan.pairs.len(),
            "rates": rates, "campaigns": campaigns, "cycles": rates::report_json(&report),
        });
        println!("{head:#}");
    } else {
        println!(
            "{}: {} partners, {} directions, {rates} rates, {campaigns} campaigns",
            plan.alliance.slug,
            plan.partners.len(),
            plan.pairs.len()
        );
        rates::print_report(&report);
    }
    rates::judge(&report)
}

fn show(folder: &Path, global: &Global, flags: &Flags) -> Result<(), Error> {
    let config = global.begin(flags)?;
    let plan = read(folder)?;
    let reach = Reach::found(&config)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    let lines = proposals::difference(&mut conn, &plan).map_err(Error::failed)?;
    if global.json {
        println!("{:#}", json!({ "changes": lines }));
    } else {
        print_lines(&lines);
    }
    Ok(())
}

fn apply(folder: &Path, global: &Global, flags: &Flags) -> Result<(), Error> {
    let config = global.begin(flags)?;
    let plan = read(folder)?;
    let reach = Reach::found(&config)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    let lines = proposals::difference(&mut conn, &plan).map_err(Error::failed)?;
    if !global.json {
        print_lines(&lines);
    }
    let proposed = proposals::propose(&mut conn, &plan).map_err(Error::failed)?;
    if global.json {
        println!("{:#}", json!({ "changes": lines, "proposals": proposed.iter().map(as_json).collect::<Vec<_>>() }));
    } else {
        let new = proposed.iter().filter(|proposed| proposed.new).count();
        println!("{new} proposed now, {} open already", proposed.len() - new);
        if !proposed.is_empty() {
            println!("publish with `hanse rates publish` once both sides have approved, or with --mandate");
        }
    }
    Ok(())
}

fn as_json(proposed: &Proposed) -> serde_json::Value {
    json!({ "id": proposed.id.to_string(), "subject": proposed.subject.to_string(), "new": proposed.new })
}

fn print_lines(lines: &[Line]) {
    if lines.is_empty() {
        println!("nothing changes");
        return;
    }
    let mut table = table(["subject", "what", "before", "after"]);
    let mut last = "";
    for line in lines {
        let subject = if line.subject == last { "" } else { &line.subject };
        last = &line.subject;
        let before = if line.before.is_empty() { "-" } else { &line.before };
        let after = if line.after.is_empty() { "-" } else { &line.after };
        table.add_row([subject, &line.what, before, after]);
    }
    println!("{table}");
}

/// A table as all subcommands print it.
pub(super) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    table
}
