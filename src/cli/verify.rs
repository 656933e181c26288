//! `hanse verify`: statements, lines and proofs checked from their files alone.

use super::{Error, Global};
use crate::service::verify::{self, Finding, Input, Kind, Mark, Report, Section};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Write;
use std::fs::File;
use std::io::{Read, Stdin};
use std::path::PathBuf;
use std::time::Duration;

/// A check that takes no longer is not worth a bar.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "It is told by its content what a file is, so they may come in any order: statements, their lines as NDJSON or CSV,\n\
    proofs, checkpoints, the alliance's /.well-known/jwks.json, a partner's own JWK. The more are given, the more is checked."
)]
pub struct Args {
    /// What to check; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub fn run(args: &Args, global: &Global) -> Result<(), Error> {
    let mut bytes = 0;
    let mut inputs = Vec::with_capacity(args.files.len());
    for file in &args.files {
        let unreadable = |cause| Error::Usage(format!("{}: {cause}", file.display()));
        let (name, source): (String, Box<dyn Read + Send>) = if file.as_os_str() == "-" {
            ("standard input".to_owned(), Box::new(StandardInput(std::io::stdin())))
        } else {
            let opened = File::open(file).map_err(unreadable)?;
            bytes += opened.metadata().map_err(unreadable)?.len();
            (file.display().to_string(), Box::new(opened))
        };
        inputs.push(Input { name, source });
    }
    let bar = bar(bytes);
    let report = verify::verify(inputs, |more| went_on(&bar, more)).map_err(|cause| Error::Usage(cause.to_string()))?;
    bar.finish_and_clear();
    if report.files.iter().all(|file| matches!(file.kind, Kind::Keys | Kind::Unknown)) {
        let what = "there is nothing to check here: no statement, no lines, no proofs, no checkpoint";
        return Err(Error::Usage(what.to_owned()));
    }
    if global.json {
        println!("{:#}", report.to_json());
    } else {
        print!("{}", table(&report));
    }
    match report.first_wrong() {
        None => Ok(()),
        Some((section, finding)) => {
            Err(Error::Failed(format!("{}: {}: {}", section.subject, finding.code, finding.says)))
        }
    }
}

/// Standard input without its lock, which does not go to another thread.
struct StandardInput(Stdin);

impl Read for StandardInput {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

/// Progress over the bytes of all files, once it takes a while and where somebody looks on.
fn bar(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::hidden());
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}") {
        bar.set_style(style);
    }
    bar
}

fn went_on(bar: &ProgressBar, bytes: usize) {
    bar.inc(u64::try_from(bytes).unwrap_or(0));
    // Standard error draws nothing unless it is a terminal.
    if bar.is_hidden() && bar.elapsed() > PATIENCE {
        bar.set_draw_target(ProgressDrawTarget::stderr());
    }
}

/// For people.
fn table(report: &Report) -> String {
    let mut text = String::new();
    let width = report.files.iter().map(|file| file.name.chars().count()).max().unwrap_or(0);
    for file in &report.files {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:width$}  {}", file.name, file.kind.says());
    }
    for Section { title, subject, findings } in &report.sections {
        let _ = writeln!(text, "\n{} {}: {subject}", title.en(), title.zh());
        for finding in findings {
            let _ = writeln!(text, "  {} {:12} {}", sign(finding), finding.code, finding.says);
        }
    }
    let (held, wrong, unchecked) =
        (report.count(Mark::Holds), report.count(Mark::Differs), report.count(Mark::Unchecked));
    let _ = match wrong {
        0 => writeln!(text, "\nall that was checked holds 核对无误: {held} checks; {unchecked} could not be made"),
        some => {
            writeln!(text, "\n{some} of {} checks do not hold 核对不符; {unchecked} could not be made", held + some)
        }
    };
    text
}

fn sign(finding: &Finding) -> char {
    match finding.mark {
        Mark::Holds => '✓',
        Mark::Differs => '✗',
        Mark::Unchecked => '–',
    }
}
