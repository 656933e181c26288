//! The members a simulated partner begins with, and their names at the alliance.

use super::Args;
use super::alliance::Alliance;
use crate::cli::Error;
use crate::cli::import::lines::{Line, Lines};
use crate::partner::endpoint::Lot;
use crate::partner::sim::ledger::Command;
use crate::partner::sim::store::Store;
use chrono::NaiveDate;
use serde_json::{Value, json};

/// Members of one request.
const BATCH: u64 = 1_000;

/// Members that are not there yet get their points; with `--register` all are told to the alliance.
pub async fn seed(args: &Args, store: &Store, alliance: Option<&Alliance>) -> Result<(), Error> {
    if let Some(file) = &args.csv {
        for batch in Lines::open(file)?.0 {
            let lines = batch?.lines.into_iter();
            let members = lines.map(|(_, line)| member_of(&line)).collect::<Result<Vec<_>, Error>>()?;
            take_in(members, store, alliance.filter(|_| args.register)).await?;
        }
    }
    let mut from = 1;
    while from <= args.members {
        let to = args.members.min(from.saturating_add(BATCH - 1));
        let members = (from..=to).map(|number| invented(args, number)).collect();
        take_in(members, store, alliance.filter(|_| args.register)).await?;
        from = to + 1;
    }
    Ok(())
}

struct New {
    member_ref: String,
    tier: String,
    status: String,
    lots: Vec<Lot>,
}

/// `SPR-7` of `sprout`.
fn reference(args: &Args, number: u64) -> String {
    let prefix: String = args.partner.as_str().chars().filter(char::is_ascii_alphabetic).take(3).collect();
    format!("{}-{number}", prefix.to_ascii_uppercase())
}

/// A third of its points never ends.
fn invented(args: &Args, number: u64) -> New {
    let forever = args.points / 3;
    let lots = [(args.points - forever, NaiveDate::from_ymd_opt(2031, 12, 31)), (forever, None)];
    let lots = lots.into_iter().filter(|(points, _)| *points > 0);
    New {
        member_ref: reference(args, number),
        tier: args.tier.clone(),
        status: "active".to_owned(),
        lots: lots.map(|(points, expires_on)| Lot { points, expires_on, kind: None }).collect(),
    }
}

fn member_of(line: &Line) -> Result<New, Error> {
    let lots = line.lots().map(|lot| {
        let day =
            |text: &str| text.parse().map_err(|why| Error::Failed(format!("{}: {text:?}: {why}", line.member_ref)));
        Ok(Lot { points: lot.points, expires_on: lot.expires_on.map(day).transpose()?, kind: None })
    });
    Ok(New {
        member_ref: line.member_ref.clone(),
        tier: line.tier.clone(),
        status: line.status.clone(),
        lots: lots.collect::<Result<_, Error>>()?,
    })
}

async fn take_in(members: Vec<New>, store: &Store, alliance: Option<&Alliance>) -> Result<(), Error> {
    let items: Vec<Value> = members
        .iter()
        .map(|new| json!({ "member_ref": new.member_ref, "tier": new.tier, "status": new.status }))
        .collect();
    let mut commands = Vec::new();
    for New { member_ref, tier, status, lots } in members {
        commands.push(Command::Seed { member_ref: member_ref.clone(), tier, lots });
        if status != "active" {
            commands.push(Command::SetStatus { member_ref, status });
        }
    }
    let outcomes = store.apply_all(commands).await.map_err(Error::failed)?;
    if let Some(why) = outcomes.into_iter().find_map(Result::err) {
        return Err(Error::Failed(format!("{}: {}", why.code, why.detail.unwrap_or_default())));
    }
    let Some(alliance) = alliance else { return Ok(()) };
    let told = alliance.post("/v1/memberships/batch", &json!({ "items": items })).await?;
    let outcomes = told["items"].as_array().into_iter().flatten();
    match outcomes.zip(&items).find(|(outcome, _)| !outcome["problem"].is_null()) {
        None => Ok(()),
        Some((outcome, item)) => Err(Error::Failed(format!("{}: {}", item["member_ref"], outcome["problem"]))),
    }
}
