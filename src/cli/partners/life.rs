//! `hanse partners suspend|resume|leave|show`: what becomes of a partner, and why.

use super::table;
use crate::cli::house::Reach;
use crate::cli::{Error, Global};
use crate::config::Flags;
use crate::domain::ids::Slug;
use crate::http::instant;
use crate::service::catalogue::status_text;
use crate::service::lifecycle::{self, Past, Standing};
use crate::store;
use diesel::PgConnection;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The partner's slug
    #[arg(value_parser = crate::cli::slug)]
    partner: Slug,
    /// Why: kept, and told to the partner
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, clap::Args)]
pub struct Show {
    /// The partner's slug
    #[arg(value_parser = crate::cli::slug)]
    partner: Slug,
    #[command(flatten)]
    flags: Flags,
}

/// One step of a partner's life.
type Step = fn(&mut PgConnection, &Slug, &str) -> Result<Standing, lifecycle::Error>;

pub fn take(args: &Args, global: &Global, step: Step) -> Result<(), Error> {
    with(&args.flags, global, |conn| {
        let before = lifecycle::steps(conn, &args.partner).map_err(Error::failed)?.len();
        let standing = step(conn, &args.partner, &args.reason).map_err(Error::failed)?;
        let steps = lifecycle::steps(conn, &args.partner).map_err(Error::failed)?;
        if steps.len() == before && !global.json {
            println!("it was so already: nothing is changed, and this reason is not kept");
        }
        tell(&standing, &steps, global);
        Ok(())
    })
}

pub fn show(args: &Show, global: &Global) -> Result<(), Error> {
    with(&args.flags, global, |conn| {
        let standing = lifecycle::standing(conn, &args.partner).map_err(Error::failed)?;
        tell(&standing, &lifecycle::steps(conn, &args.partner).map_err(Error::failed)?, global);
        Ok(())
    })
}

fn with(
    flags: &Flags,
    global: &Global,
    work: impl FnOnce(&mut PgConnection) -> Result<(), Error>,
) -> Result<(), Error> {
    let reach = Reach::open(&global.begin(flags)?)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    let done = work(&mut conn);
    // Let go of the database before a private one is stopped.
    drop(conn);
    done
}

fn tell(standing: &Standing, steps: &[Past], global: &Global) {
    let Standing { partner, status, leaves_at, closed_at, .. } = standing;
    let status = status_text(*status);
    if global.json {
        let step = |past: &Past| json!({ "event": past.event, "status": past.status, "reason": past.reason, "at": instant(past.at) });
        let told = json!({
            "partner": partner.as_str(), "status": status, "leaves_at": leaves_at.map(instant), "closed_at": closed_at.map(instant),
            "steps": steps.iter().map(step).collect::<Vec<_>>(),
        });
        println!("{told:#}");
        return;
    }
    let until = leaves_at.map(|at| format!(", its notice ends {}", instant(at))).unwrap_or_default();
    println!("{partner} is {status}{until}");
    if !steps.is_empty() {
        let mut table = table(["when", "what", "then", "why"]);
        for past in steps {
            table.add_row([instant(past.at), past.event.clone(), past.status.clone(), past.reason.clone()]);
        }
        println!("{table}");
    }
}
