//! `hanse audit`: every invariant of the book, proven on what is stored.

use super::house::Reach;
use super::{Error, Global};
use crate::book::audit::{self, Finding, INVARIANTS};
use crate::config::Flags;
use crate::store;
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
}

pub fn run(args: &Args, global: &Global) -> Result<(), Error> {
    let reach = Reach::open(&global.begin(&args.flags)?)?;
    let findings = check(&reach.url)?;
    report(&findings, global)
}

/// Runs the audit with a progress bar.
pub fn check(database_url: &str) -> Result<Vec<Finding>, Error> {
    let mut conn = store::establish(database_url).map_err(Error::failed)?;
    let bar = ProgressBar::new(u64::try_from(INVARIANTS.len()).unwrap_or(0));
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    let findings = audit::run(&mut conn, |finding| {
        bar.set_message(finding.name);
        bar.inc(1);
    });
    bar.finish_and_clear();
    findings.map_err(Error::failed)
}

/// Prints the findings; fails when an invariant is broken.
pub fn report(findings: &[Finding], global: &Global) -> Result<(), Error> {
    let broken = findings.iter().filter(|finding| finding.violations > 0).count();
    if global.json {
        let rows = findings.iter().map(|finding| {
            serde_json::json!({ "invariant": finding.name, "says": finding.says, "violations": finding.violations, "sample": finding.sample })
        });
        println!("{:#}", serde_json::json!({ "green": broken == 0, "invariants": rows.collect::<Vec<_>>() }));
    } else {
        println!("{}", table(findings));
    }
    match broken {
        0 => Ok(()),
        some => Err(Error::Failed(format!("{some} of {} invariants do not hold", findings.len()))),
    }
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_header(["invariant", "holds", "says"]);
    for finding in findings {
        let holds = match finding.violations {
            0 => "yes".to_owned(),
            some => format!("NO: {some}, such as {}", finding.sample.join(", ")),
        };
        table.add_row([finding.name, &holds, finding.says]);
    }
    table
}
