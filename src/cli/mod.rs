//! The subcommands of `hanse`, which wire everything together.
//!
//! Results go to standard output, for people or, with `--json`, for machines; errors and logs to standard error.
//! The exit code is 0 when it went well, 1 when the check or the work failed, 2 when it was asked wrongly.

pub mod audit;
mod bench;
mod breakage;
pub mod client;
mod clock;
mod conform;
mod conversions;
pub mod demo;
pub mod house;
mod import;
mod keys;
mod kpis;
mod migrate;
pub mod node;
mod partners;
mod pki;
mod rates;
mod serve;
pub mod settle;
mod sim;
mod staff;
mod verify;
mod webhooks;

use crate::config::{self, Config, Flags};
use crate::domain::ids::Slug;
use crate::store::catalogue;
use crate::telemetry;
use clap::{Parser, Subcommand};
use diesel::PgConnection;
use std::path::PathBuf;
use std::process::ExitCode;

/// A points exchange federation: brands form an alliance, members convert points between them, finance settles.
#[derive(Debug, Parser)]
#[command(name = "hanse", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every subcommand takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Global {
    /// Print for machines
    #[arg(long, global = true)]
    pub json: bool,
    /// Configuration file; hanse.toml in this folder when it exists
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything from one command, with a database and an alliance of its own
    Demo(demo::Args),
    /// Prove every invariant of the book on what is stored
    Audit(audit::Args),
    /// Load a running server and measure it
    Bench(Box<bench::Args>),
    /// Breakage as brands estimate it, beside the liability
    #[command(subcommand)]
    Breakage(breakage::Action),
    /// Show or move the business time of a sandbox alliance
    Clock(clock::Args),
    /// Conversions on their way between two ledgers: list them, see one, resolve what is in doubt
    #[command(subcommand)]
    Conversions(conversions::Action),
    /// Bring members and their opening points in from a CSV, through the partner API
    Import(import::Args),
    /// The alliance in key figures, and the bounds within which they are to stay
    #[command(subcommand)]
    Kpis(kpis::Action),
    /// Bring the database's schema up to this version
    Migrate(migrate::Args),
    /// The alliance's own signing keys
    #[command(subcommand)]
    Keys(keys::Action),
    /// An alliance's manifests: check them, or propose what they change
    #[command(subcommand)]
    Partners(partners::Action),
    /// Certificates of the alliance's own authority
    #[command(subcommand)]
    Pki(pki::Action),
    /// What is published: list it, check its loops, publish what is approved
    #[command(subcommand)]
    Rates(rates::Action),
    /// Run the exchange
    Serve(serve::Args),
    /// Settlement: close windows, export statements, record payments, post decisions, make a window again
    #[command(subcommand)]
    Settle(settle::Action),
    /// Be a partner with a ledger of its own behind an endpoint, with scripted faults
    Sim(Box<sim::Args>),
    /// Who may sign in to the pages: add, list, reset, remove
    #[command(subcommand)]
    Staff(staff::Action),
    /// Check statements, lines and proofs from their files alone, without a server
    Verify(verify::Args),
    /// Where partners' feeds are pushed, and how that goes
    #[command(subcommand)]
    Webhooks(webhooks::Action),
}

impl Command {
    fn run(self, global: &Global) -> Result<(), Error> {
        match self {
            Command::Demo(args) => demo::run(&args, global),
            Command::Audit(args) => audit::run(&args, global),
            Command::Bench(args) => bench::run(&args, global),
            Command::Breakage(action) => breakage::run(&action, global),
            Command::Clock(args) => clock::run(&args, global),
            Command::Conversions(action) => conversions::run(&action, global),
            Command::Import(args) => import::run(&args, global),
            Command::Kpis(action) => kpis::run(&action, global),
            Command::Migrate(args) => migrate::run(&args, global),
            Command::Keys(action) => keys::run(&action, global),
            Command::Partners(action) => partners::run(&action, global),
            Command::Pki(action) => pki::run(&action, global),
            Command::Rates(action) => rates::run(&action, global),
            Command::Serve(args) => serve::run(&args, global),
            Command::Settle(action) => settle::run(&action, global),
            Command::Sim(args) => sim::run(&args, global),
            Command::Staff(action) => staff::run(&action, global),
            Command::Verify(args) => verify::run(&args, global),
            Command::Webhooks(action) => webhooks::run(&action, global),
        }
    }
}

/// Why a subcommand ends with another code than 0. The text is one line for people, causes included.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was asked wrongly: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The work, or the check, failed: exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// A failure with its whole chain of causes, for `map_err`.
    pub fn failed(cause: impl std::error::Error) -> Error {
        Error::Failed(chain(&cause))
    }

    fn code(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            Error::Failed(_) => 1,
        }
    }
}

impl From<config::Error> for Error {
    fn from(cause: config::Error) -> Error {
        Error::Usage(cause.to_string())
    }
}

impl Global {
    /// The configuration, from its file, the environment and these flags.
    pub fn config(&self, flags: &Flags) -> Result<Config, Error> {
        Ok(Config::load(self.config.as_deref(), flags)?)
    }

    /// The configuration, with logging started as it says: how a subcommand that does something begins.
    pub fn begin(&self, flags: &Flags) -> Result<Config, Error> {
        let config = self.config(flags)?;
        telemetry::start_logging(&config.log, config.log_format).map_err(Error::failed)?;
        Ok(config)
    }
}

/// Runs the subcommand named on the command line.
pub fn main() -> ExitCode {
    end_quietly_when_unread();
    // clap ends the process itself: 2 for wrong use, 0 for --help and --version.
    let cli = Cli::parse();
    match cli.command.run(&cli.global) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if cli.global.json {
                eprintln!("{}", serde_json::json!({ "error": failure.to_string() }));
            } else {
                eprintln!("hanse: {failure}");
            }
            ExitCode::from(failure.code())
        }
    }
}

/// A partner's slug on the command line.
pub(crate) fn slug(text: &str) -> Result<Slug, &'static str> {
    text.parse().map_err(|_| "it is no partner's slug: 2 to 32 of a-z, 0-9 and -, a letter first")
}

/// A slip of the pen in a partner's name is told, instead of "there is nothing" of a partner nobody knows.
pub(crate) fn known(conn: &mut PgConnection, partner: &Slug) -> Result<(), Error> {
    let partners = catalogue::load(conn).map_err(Error::failed)?.partners;
    if partners.contains_key(partner) {
        return Ok(());
    }
    let names = partners.keys().map(Slug::as_str).collect::<Vec<_>>().join(", ");
    Err(Error::Usage(format!("no partner {partner} is published here; there are {names}")))
}

/// `hanse … | head` is no fault of ours: where nobody reads any more, the process ends without a word.
fn end_quietly_when_unread() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic
            .payload_as_str()
            .is_some_and(|text| text.starts_with("failed printing to") && text.contains("Broken pipe"))
        {
            std::process::exit(1);
        }
        tell(panic);
    }));
}

/// `a: b: c`, without repeating a cause that the text before it already ends with.
fn chain(cause: &dyn std::error::Error) -> String {
    let mut text = cause.to_string();
    let mut next = cause.source();
    while let Some(deeper) = next {
        let told = deeper.to_string();
        if !text.ends_with(&told) {
            text = format!("{text}: {told}");
        }
        next = deeper.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_failure_tells_each_cause_once() {
        let deep = crate::store::Error::from(diesel::result::Error::BrokenTransactionManager);
        let deep = crate::service::settlement::Error::from(deep);
        assert_eq!(
            Error::failed(deep).to_string(),
            "the database refused a statement: The transaction manager is broken"
        );
    }
}
