//! `hanse conversions list|show|resolve`: what is on its way between two ledgers, and what two people say of what is in doubt.

use super::house::Reach;
use super::partners::table;
use super::{Error, Global};
use crate::book::{Bounds, Handle};
use crate::config::Flags;
use crate::domain::crossing::State;
use crate::domain::holder::Holder;
use crate::domain::ids::Slug;
use crate::domain::resolution::{self, Outcome};
use crate::http::instant;
use crate::service::crossings::resolve::{self, Resolved, Wanted};
use crate::service::crossings::seen::{self, CrossingAnswer, CrossingId, Search, Seen};
use crate::store::crossings::Evidence;
use crate::store::{self, catalogue};
use arc_swap::ArcSwap;
use diesel::PgConnection;
use serde_json::{Value, json};
use std::sync::Arc;

/// Crossings listed at once.
const LIMIT: i64 = 200;
/// Characters of a kept document that a table shows.
const SHOWN_MAX: usize = 100;

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// What is on its way between two ledgers, the oldest first
    List {
        /// Only what somebody has to look at
        #[arg(long)]
        in_doubt: bool,
        /// Only what this partner is a side of
        #[arg(long, value_name = "SLUG", value_parser = super::slug)]
        partner: Option<Slug>,
        #[command(flatten)]
        flags: Flags,
    },
    /// One of them with everything that was kept of it, also when it is over
    Show {
        /// cnv_…, or rev_… of an undo or a reversal
        #[arg(value_parser = crossing)]
        id: CrossingId,
        #[command(flatten)]
        flags: Flags,
    },
    /// Say what has become of one in doubt: another person says the same, and it goes on
    Resolve(ResolveArgs),
}

#[derive(Debug, clap::Args)]
pub struct ResolveArgs {
    /// cnv_…, or rev_… of an undo or a reversal
    #[arg(value_parser = crossing)]
    id: CrossingId,
    /// `completed`: the ledger that was asked has done it; `released`: it has not, and never will
    #[arg(long, value_parser = outcome)]
    outcome: Outcome,
    /// How that is known: kept for ever
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who says so
    #[arg(long = "as", visible_alias = "by", value_name = "NAME")]
    by: String,
    #[command(flatten)]
    flags: Flags,
}

pub fn run(action: &Action, global: &Global) -> Result<(), Error> {
    match action {
        Action::List { in_doubt, partner, flags } => {
            let (partner, in_doubt) = (partner.clone(), in_doubt.then_some(true));
            let search = Search { partner, in_doubt, ..Search::default() };
            with(global, flags, |conn| {
                search.partner.as_ref().map_or(Ok(()), |partner| super::known(conn, partner))?;
                list(conn, &search, global)
            })
        }
        Action::Show { id, flags } => with(global, flags, |conn| show(conn, *id, global)),
        Action::Resolve(args) => resolve(args, global),
    }
}

fn crossing(text: &str) -> Result<CrossingId, &'static str> {
    text.parse().map_err(|_| "it is neither a conversion's id nor an undo's or reversal's: cnv_ or rev_ and 32 digits")
}

fn outcome(text: &str) -> Result<Outcome, &'static str> {
    Outcome::parse(text).ok_or("it is completed or released")
}

fn with(
    global: &Global,
    flags: &Flags,
    work: impl FnOnce(&mut PgConnection) -> Result<(), Error>,
) -> Result<(), Error> {
    let reach = Reach::open(&global.begin(flags)?)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    let done = work(&mut conn);
    // Let go of the database before a private one is stopped.
    drop(conn);
    done
}

/// Who may use the command line on the database reads as an operator.
fn operator() -> Holder {
    Holder::Operator(String::new())
}

fn list(conn: &mut PgConnection, search: &Search, global: &Global) -> Result<(), Error> {
    let mut found = seen::list(conn, &operator(), search, LIMIT + 1).map_err(Error::failed)?;
    let more = i64::try_from(found.len()).is_ok_and(|found| found > LIMIT);
    found.truncate(usize::try_from(LIMIT).unwrap_or(usize::MAX));
    if global.json {
        let items: Vec<_> = found.iter().map(|seen| CrossingAnswer::of(seen, &operator())).collect();
        println!("{:#}", json!({ "items": items, "more": more }));
        return Ok(());
    }
    if found.is_empty() {
        let what = if search.in_doubt == Some(true) { "in doubt" } else { "on its way between two ledgers" };
        println!("nothing is {what}");
        return Ok(());
    }
    let mut table = table([
        "crossing 跨账本流程",
        "kind",
        "from",
        "to",
        "points",
        "state",
        "asks",
        "since",
        "tried",
        "last answer",
    ]);
    for seen in &found {
        let row = &seen.row;
        table.add_row([
            seen.id(),
            seen.kind_code().to_owned(),
            row.from_partner.clone(),
            row.to_partner.clone(),
            format!("{} → {}", row.debit, row.credit),
            if row.in_doubt { format!("{}, in doubt 存疑", seen.state.code()) } else { seen.state.code().to_owned() },
            seen.asked().unwrap_or_default().to_owned(),
            row.since.format("%Y-%m-%d %H:%M:%SZ").to_string(),
            row.attempts.to_string(),
            plain(row.note.as_deref().or(row.cause.as_deref()).unwrap_or_default()),
        ]);
    }
    println!("{table}");
    if more {
        println!("and more: only the oldest {LIMIT} are listed");
    }
    Ok(())
}

fn show(conn: &mut PgConnection, id: CrossingId, global: &Global) -> Result<(), Error> {
    let Some(seen) = seen::one(conn, id).map_err(Error::failed)? else {
        return Err(Error::failed(resolve::Error::Absent));
    };
    let kept = seen::evidence(conn, id).map_err(Error::failed)?;
    if global.json {
        let mut told = json!(CrossingAnswer::of(&seen, &operator()));
        told["documents"] = kept.iter().map(document_json).collect();
        println!("{told:#}");
        return Ok(());
    }
    print_one(&seen);
    if kept.is_empty() {
        println!("nothing signed or said was kept of it");
        return Ok(());
    }
    let mut table = table(["kept 凭证", "of", "by", "document"]);
    for one in &kept {
        let at = one.at.format("%Y-%m-%d %H:%M:%SZ").to_string();
        table.add_row([at, one.call.clone(), one.by.clone(), short(one)]);
    }
    println!("{table}");
    Ok(())
}

fn print_one(seen: &Seen) {
    let row = &seen.row;
    println!(
        "{} ({}), {} points of {} for {} of {}, accepted {}",
        seen.id(),
        seen.kind_code(),
        row.debit,
        row.from_partner,
        row.credit,
        row.to_partner,
        instant(row.at)
    );
    let asks = seen.asked().map_or(String::new(), |partner| format!(", asks {partner}"));
    let doubt = if row.in_doubt { ", in doubt 存疑" } else { "" };
    println!("{}{doubt}{asks}, since {}", seen.state.code(), instant(row.since));
    if let Some(cause) = &row.cause {
        println!("because of {cause}");
    }
    if !seen.state.is_over() {
        let note = row.note.as_deref().unwrap_or("no call yet without an outcome");
        println!("tried {} times, next at {}: {}", row.attempts, instant(row.due_at), plain(note));
    }
    if let Some(first) = seen.proposal() {
        println!("{} proposes {}: {}", first.said.by, first.said.outcome.code(), first.reason);
    }
    if row.in_doubt {
        println!("its outcome {}", resolution::choices(seen.state));
    }
}

fn document_json(kept: &Evidence) -> Value {
    let document = serde_json::from_str(&kept.document).unwrap_or_else(|_| Value::from(kept.document.as_str()));
    json!({ "at": instant(kept.at), "call": kept.call, "by": kept.by, "document": document })
}

/// What was said, or what was answered.
fn short(kept: &Evidence) -> String {
    let document: Value = serde_json::from_str(&kept.document).unwrap_or_default();
    let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    let said = match document["agrees_with"].as_str() {
        Some(other) => format!("{} in {}, as {other}: {}", text("outcome"), text("state"), text("reason")),
        None if kept.call == "resolution" => {
            format!("{} in {}, proposed: {}", text("outcome"), text("state"), text("reason"))
        }
        None => format!("{} {}", document["status"], text("body")),
    };
    plain(&said).chars().take(SHOWN_MAX).collect()
}

/// What a partner may have written: nothing of it may move the cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn resolve(args: &ResolveArgs, global: &Global) -> Result<(), Error> {
    let reach = Reach::open(&global.begin(&args.flags)?)?;
    let known = store::establish(&reach.url).and_then(|mut conn| catalogue::load(&mut conn)).map_err(Error::failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::failed)?;
    let database = store::connect(&reach.url).map_err(Error::failed)?;
    let bounds = Bounds { lanes: 1, ..Bounds::default() };
    let book = Handle::start(&reach.url, Arc::new(ArcSwap::from_pointee(known)), bounds).map_err(Error::failed)?;
    let wanted =
        Wanted { id: args.id, outcome: args.outcome, reason: args.reason.clone(), by: args.by.trim().to_owned() };
    let resolved = runtime.block_on(resolve::resolve_in(&database, &book, wanted));
    // Let go of the database before a private one is stopped.
    book.close();
    drop(database);
    tell(&resolved.map_err(Error::failed)?, args.outcome, global);
    Ok(())
}

fn tell(resolved: &Resolved, outcome: Outcome, global: &Global) {
    let (Resolved::Proposed(seen) | Resolved::Done(seen)) = resolved;
    if global.json {
        let proposed = matches!(resolved, Resolved::Proposed(_));
        println!("{:#}", json!({ "proposed": proposed, "crossing": CrossingAnswer::of(seen, &operator()) }));
        return;
    }
    let (id, code) = (seen.id(), outcome.code());
    match (resolved, seen.state) {
        (Resolved::Proposed(_), _) => {
            println!(
                "proposed: another person has it done with `hanse conversions resolve {id} --outcome {code} --reason … --as NAME`"
            );
        }
        (Resolved::Done(_), State::Done | State::Released) => println!("{id} is over: {}", seen.state.code()),
        (Resolved::Done(_), state) => {
            let asks = seen.asked().unwrap_or_default();
            println!("{id} goes on: {}, asks {asks}; a running server does so within half a minute", state.code());
        }
    }
}
