//! `hanse settle`: windows closed, statements exported, what is owed paid, decisions posted, a window made again.

pub mod export;
pub mod reports;
mod show;
mod window;

use super::house::Reach;
use super::{Error, Global};
use crate::book::windows::Which;
use crate::config::{Config, Flags};
use crate::domain::ids::{AdjustmentId, ConversionId, ObligationId};
use crate::domain::money::Millionths;
use crate::domain::settlement::Participant;
use crate::domain::settlement::window::State;
use crate::service::keys::Keys;
use crate::service::settlement::adjust::{self, Asked};
use crate::service::settlement::close::{self, Told};
use crate::service::settlement::pay::{self, Paid};
use crate::service::settlement::recompute::{self, Outcome, Same};
use crate::service::settlement::{self};
use crate::store;
use crate::store::settlement::windows::Row;
use chrono::NaiveDate;
use clap::builder::NonEmptyStringValueParser;
use diesel::PgConnection;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// End the open window now, or take one that stopped on its way to its end
    Close {
        /// Only this window, if it is still open: its number or win_…
        #[arg(long)]
        window: Option<window::Name>,
        /// Only if its period is over
        #[arg(long, conflicts_with = "window")]
        due: bool,
        #[command(flatten)]
        flags: Flags,
    },
    /// Windows, newest first
    List {
        #[command(flatten)]
        flags: Flags,
    },
    /// One window: nets, statements, what is owed
    Show {
        /// Its number or win_…
        window: window::Name,
        #[command(flatten)]
        flags: Flags,
    },
    /// Write a participant's files: statement, lines, proofs, keys, checkpoint
    Export {
        /// Its number or win_…
        window: window::Name,
        /// A partner, or `operator`; everybody unless said
        #[arg(long, value_name = "SLUG")]
        participant: Option<String>,
        /// Prove the lines of this conversion, too; may be said again
        #[arg(long = "conversion", value_name = "CNV", value_parser = conversion)]
        conversions: Vec<ConversionId>,
        /// Folder to write into
        #[arg(long, default_value = ".", value_name = "DIR")]
        to: PathBuf,
        #[command(flatten)]
        flags: Flags,
    },
    /// Write a finance report: CSV, JSON, XLSX or a page to print
    Report(reports::Args),
    /// Record a payment of an obligation, or a bank's list of payments
    Pay(PayArgs),
    /// Ask for an adjustment, which another person approves
    Adjust(AdjustArgs),
    /// Approve, or refuse, an adjustment somebody else has asked for
    Approve {
        /// adj_…; without it, what was asked for is listed
        #[arg(requires = "by")]
        adjustment: Option<String>,
        /// Who approves: not who has asked
        #[arg(long, value_name = "NAME", requires = "adjustment")]
        by: Option<String>,
        /// Refuse it instead
        #[arg(long, requires = "adjustment")]
        refuse: bool,
        #[command(flatten)]
        flags: Flags,
    },
    /// Have a blocked window tried again from its beginning
    Retry {
        /// Its number or win_…
        window: window::Name,
        #[command(flatten)]
        flags: Flags,
    },
    /// Make a closed window again from the journal: the same bytes, or the first difference
    Recompute {
        /// Its number or win_…
        window: window::Name,
        #[command(flatten)]
        flags: Flags,
    },
}

#[derive(Debug, clap::Args)]
pub struct PayArgs {
    /// obl_…; without it, what is still to be paid is listed
    #[arg(requires_all = ["reference", "by"])]
    obligation: Option<String>,
    /// CSV of a bank: date, amount, payer, reference; shown, and recorded only with --by
    #[arg(long, value_name = "FILE", conflicts_with = "obligation")]
    file: Option<PathBuf>,
    /// Decimal; all that is left unless said
    #[arg(long, requires = "obligation")]
    amount: Option<String>,
    /// Value date; today unless said
    #[arg(long, requires = "obligation")]
    on: Option<NaiveDate>,
    /// The bank's or the payer's own, of this payment: the same one again is the same payment
    #[arg(long, requires = "obligation", value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reference: Option<String>,
    /// Who records it
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, clap::Args)]
pub struct AdjustArgs {
    /// Who owes: a partner, or `operator`
    #[arg(long, value_name = "SLUG")]
    from: String,
    /// Who is owed
    #[arg(long, value_name = "SLUG")]
    to: String,
    /// Decimal; negative the other way
    #[arg(long, allow_hyphen_values = true)]
    amount: String,
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The conversion it is about
    #[arg(long, value_name = "CNV", value_parser = conversion)]
    conversion: Option<ConversionId>,
    /// Who asks
    #[arg(long, value_name = "NAME")]
    by: String,
    #[command(flatten)]
    flags: Flags,
}

pub fn run(action: &Action, global: &Global) -> Result<(), Error> {
    match action {
        Action::Close { window, due, flags } => close(&global.begin(flags)?, window.as_ref(), *due, global),
        Action::List { flags } => with(global, flags, |conn, _| show::list(conn, global)),
        Action::Show { window, flags } => {
            with_window(global, flags, window, |conn, row| show::window(conn, row, global))
        }
        Action::Export { window, participant, conversions, to, flags } => {
            let config = global.config(flags)?;
            with(global, flags, |conn, reach| {
                let (window, jwks) = (window.find(conn)?, keys(&config, reach)?.jwks());
                let participant = participant.as_deref();
                let wanted = export::Wanted { window: &window, participant, conversions, to, jwks: &jwks };
                written(&export::write(conn, &wanted)?, global);
                Ok(())
            })
        }
        Action::Report(args) => with(global, &args.flags, |conn, _| reports::run(conn, args, global)),
        Action::Pay(args) => with(global, &args.flags, |conn, _| pay(conn, args, global)),
        Action::Adjust(args) => with(global, &args.flags, |conn, _| adjust(conn, args, global)),
        Action::Approve { adjustment, by, refuse, flags } => with(global, flags, |conn, _| match (adjustment, by) {
            (Some(id), Some(by)) => approve(conn, id, by, !refuse, global),
            _ => show::adjustments(conn, global),
        }),
        Action::Retry { window, flags } => with_window(global, flags, window, |conn, row| retry(conn, row, global)),
        Action::Recompute { window, flags } => {
            with_window(global, flags, window, |conn, row| recompute(conn, row, global))
        }
    }
}

/// Does `work` on a connection of settlement's own.
fn with(
    global: &Global,
    flags: &Flags,
    work: impl FnOnce(&mut PgConnection, &Reach) -> Result<(), Error>,
) -> Result<(), Error> {
    let reach = Reach::open(&global.begin(flags)?)?;
    let mut conn = settlement::connect(&reach.url).map_err(Error::failed)?;
    let done = work(&mut conn, &reach);
    // Let go of the database before a private one is stopped.
    drop(conn);
    done
}

/// The same with the window that was named.
fn with_window(
    global: &Global,
    flags: &Flags,
    window: &window::Name,
    work: impl FnOnce(&mut PgConnection, &Row) -> Result<(), Error>,
) -> Result<(), Error> {
    with(global, flags, |conn, _| {
        let row = window.find(conn)?;
        work(conn, &row)
    })
}

/// The alliance's own signing keys.
pub fn keys(config: &Config, reach: &Reach) -> Result<Keys, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::failed)?;
    let database = store::connect(&reach.url).map_err(Error::failed)?;
    runtime.block_on(Keys::open(database, config.keys_dir())).map_err(Error::failed)
}

/// Names the files that were written.
fn written(files: &[PathBuf], global: &Global) {
    if global.json {
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        println!("{:#}", json!({ "files": files }));
    } else {
        files.iter().for_each(|file| println!("{}", file.display()));
    }
}

fn conversion(text: &str) -> Result<ConversionId, &'static str> {
    text.parse().map_err(|_| "it is no conversion's id: cnv_ and 32 digits")
}

fn retry(conn: &mut PgConnection, row: &Row, global: &Global) -> Result<(), Error> {
    let state = close::retry(conn, row).map_err(Error::failed)?;
    if global.json {
        println!("{:#}", json!({ "window_id": row.id.to_string(), "number": row.number, "state": state.code() }));
    } else {
        let number = row.number;
        println!("window {number} will be closed anew: a running server does so, or `hanse settle close --due`");
    }
    Ok(())
}

fn close(config: &Config, window: Option<&window::Name>, due: bool, global: &Global) -> Result<(), Error> {
    let reach = Reach::open(config)?;
    let named = |window: &window::Name| {
        let mut conn = settlement::connect(&reach.url).map_err(Error::failed)?;
        Ok::<_, Error>(Which::Numbered(window.find(&mut conn)?.number))
    };
    let which = match (window, due) {
        (Some(window), _) => named(window)?,
        (None, true) => Which::Due,
        (None, false) => Which::Open,
    };
    let keys = keys(config, &reach)?;
    let bar = progress("lines");
    let closed = close::close(&reach.url, &keys, Some(which), |told| match told {
        Told::State(row) => bar.set_message(format!("window {} {}", row.number, row.state.code())),
        Told::Lines(through, last) => {
            bar.set_length(u64::try_from(last).unwrap_or(0));
            bar.set_position(u64::try_from(through).unwrap_or(0));
        }
    });
    bar.finish_and_clear();
    let mut conn = settlement::connect(&reach.url).map_err(Error::failed)?;
    let outcome = match closed.map_err(Error::failed)? {
        None if global.json => {
            println!("{:#}", json!({ "window": null }));
            Ok(())
        }
        None => {
            println!("{}", idle(window.map(|window| window.find(&mut conn)).transpose()?.as_ref()));
            Ok(())
        }
        Some(row) => match &row.blocked_by {
            None => show::window(&mut conn, &row, global),
            Some(why) => Err(Error::Failed(format!("window {} is blocked, nothing is signed: {why}", row.number))),
        },
    };
    drop(conn);
    outcome
}

/// Why nothing was to be closed; `named` is the window that was asked for.
fn idle(named: Option<&Row>) -> String {
    match named {
        Some(row) if row.state == State::Published => format!("window {} is published already", row.number),
        Some(row) => format!("window {} is {}: another server settles now", row.number, row.state.code()),
        None => "nothing to close: the window is not due, or another server settles now".to_owned(),
    }
}

/// A bar that only people see.
pub fn progress(message: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(0).with_message(message);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar
}

fn money(text: &str, name: &str) -> Result<Millionths, Error> {
    Millionths::parse(text).ok_or_else(|| Error::Usage(format!("--{name} is a decimal such as 12.50, not '{text}'")))
}

fn pay(conn: &mut PgConnection, args: &PayArgs, global: &Global) -> Result<(), Error> {
    if let Some(list) = &args.file {
        return reports::incoming(conn, list, args.by.as_deref(), global);
    }
    // None is ever given without the others.
    let (Some(obligation), Some(reference), Some(by)) = (&args.obligation, &args.reference, &args.by) else {
        return show::unpaid(conn, global);
    };
    let obligation: ObligationId = obligation
        .parse()
        .map_err(|_| Error::Usage(format!("'{obligation}' is no obligation: write its id, obl_ and 32 digits")))?;
    let amount = args.amount.as_deref().map(|text| money(text, "amount")).transpose()?;
    let paid = Paid { obligation, amount, on: args.on, reference: reference.clone(), entry: None, by: by.clone() };
    let recorded = pay::pay(conn, &paid).map_err(Error::failed)?;
    let (row, payment) = (&recorded.obligation, &recorded.payment);
    if global.json {
        println!(
            "{:#}",
            json!({ "payment_id": payment.id.to_string(), "amount": payment.amount.to_string(), "repeated": recorded.repeated,
                "paid": row.paid.to_string(), "of": row.amount.to_string() })
        );
    } else {
        let again = if recorded.repeated { " (recorded before)" } else { "" };
        println!("{} to {}: {} of {} paid{again}", row.debtor, row.creditor, row.paid, row.amount);
    }
    Ok(())
}

fn adjust(conn: &mut PgConnection, args: &AdjustArgs, global: &Global) -> Result<(), Error> {
    let participant = |text: &str| {
        Participant::parse(text).ok_or_else(|| Error::Usage(format!("'{text}' is neither a partner nor `operator`")))
    };
    let asked = Asked {
        from: participant(&args.from)?,
        to: participant(&args.to)?,
        amount: money(&args.amount, "amount")?,
        reason: args.reason.clone(),
        dispute: None,
        conversion: args.conversion,
        by: args.by.clone(),
    };
    let id = adjust::ask(conn, &asked).map_err(Error::failed)?;
    if global.json {
        println!("{}", json!({ "adjustment_id": id.to_string(), "state": "asked" }));
    } else {
        println!("asked for {id}: another person approves it with `hanse settle approve {id} --by NAME`");
    }
    Ok(())
}

fn approve(conn: &mut PgConnection, id: &str, by: &str, approve: bool, global: &Global) -> Result<(), Error> {
    let id: AdjustmentId = id.parse().map_err(|_| Error::Usage(format!("'{id}' is no adjustment's id")))?;
    let row = adjust::settle(conn, id, approve, by).map_err(Error::failed)?;
    if global.json {
        println!("{}", json!({ "adjustment_id": id.to_string(), "state": row.state.code() }));
    } else {
        println!("{} {}: {} owes {} {} ({})", id, row.state.code(), row.from, row.to, row.amount, row.reason);
    }
    Ok(())
}

fn recompute(conn: &mut PgConnection, row: &Row, global: &Global) -> Result<(), Error> {
    let bar = progress("batches");
    let outcome = recompute::recompute(conn, row, |done, all| {
        bar.set_length(u64::try_from(all).unwrap_or(0));
        bar.set_position(u64::try_from(done).unwrap_or(0));
    });
    bar.finish_and_clear();
    match outcome.map_err(Error::failed)? {
        Outcome::Same(Same { lines, statements }) if global.json => {
            println!("{}", json!({ "same": true, "lines": lines, "statements": statements }));
            Ok(())
        }
        Outcome::Same(Same { lines, statements }) => {
            println!("the same, byte for byte: {lines} lines, {statements} statements");
            Ok(())
        }
        Outcome::Differs(what) => Err(Error::Failed(format!("window {} differs: {what}", row.number))),
    }
}
