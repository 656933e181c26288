//! `hanse verify`: statements, lines and proofs checked from their files alone.

use super::{Error, Global};
use crate::service::verify::{self, Finding, Input, Kind, Mark, Report, Section};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Write;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Stdin};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Standard input.
const STANDARD: &str = "-";
/// A check that takes no longer is not worth a bar.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "It is told by its content what a file is, so they may come in any order: statements, their lines as NDJSON or CSV,\n\
    proofs, checkpoints, the alliance's /.well-known/jwks.json and key-rotations.json, a partner's own JWK. The more are given,\n\
    the more is checked."
)]
pub struct Args {
    /// What to check; a folder stands for the files directly in it, - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub fn run(args: &Args, global: &Global) -> Result<(), Error> {
    let mut bytes = 0;
    let mut inputs = Vec::with_capacity(args.files.len());
    for given in &args.files {
        for (file, length) in files(given).map_err(|cause| Error::Usage(format!("{}: {cause}", given.display())))? {
            bytes += length;
            let (name, source): (String, Box<dyn Read + Send>) = if file.as_os_str() == STANDARD {
                ("standard input".to_owned(), Box::new(StandardInput(io::stdin())))
            } else {
                (file.display().to_string(), Box::new(Unopened { file, opened: None }))
            };
            inputs.push(Input { name, source });
        }
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

/// What is given, or the files directly in the folder that is given, by name; with the length of each.
fn files(given: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    if given.as_os_str() == STANDARD {
        return Ok(vec![(given.to_owned(), 0)]);
    }
    let what = fs::metadata(given)?;
    if !what.is_dir() {
        return Ok(vec![(given.to_owned(), what.len())]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(given)? {
        let file = entry?.path();
        // A link that leads nowhere is no file.
        if let Some(what) = fs::metadata(&file).ok().filter(Metadata::is_file) {
            found.push((file, what.len()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// A file that is opened when it is read: a folder may hold more than a process can have open.
struct Unopened {
    file: PathBuf,
    opened: Option<File>,
}

impl Read for Unopened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let opened = match self.opened.take() {
            Some(opened) => opened,
            None => File::open(&self.file)?,
        };
        self.opened.insert(opened).read(buffer)
    }
}

/// Standard input without its lock, which does not go to another thread.
struct StandardInput(Stdin);

impl Read for StandardInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
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
