//! `hanse webhooks`: where the feed is pushed, and how that goes.

use super::house::Reach;
use super::{Error, Global};
use crate::config::Flags;
use crate::service::delivery::endpoints;
use crate::store;
use crate::store::webhooks::Row;
use crate::store::webhooks::log::Standing;
use serde_json::{Value, json};

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Every partner's webhooks: how far behind each is, its breaker, what waits and what is dead
    List(Args),
}

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
}

pub fn run(action: &Action, global: &Global) -> Result<(), Error> {
    let Action::List(args) = action;
    let reach = Reach::open(&global.begin(&args.flags)?)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    let found = endpoints::survey(&mut conn).map_err(Error::failed)?;
    if global.json {
        let all: Vec<Value> = found.iter().map(|(row, standing)| to_json(row, standing)).collect();
        println!("{}", json!({ "webhooks": all }));
        return Ok(());
    }
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["webhook", "partner", "url", "state", "breaker", "backlog", "waiting", "dead"]);
    for (row, standing) in &found {
        let numbers = [standing.backlog, standing.waiting, standing.dead].map(|number| number.to_string());
        let texts = [row.id.to_string(), row.partner.to_string(), row.url.clone(), state(row), breaker(row).to_owned()];
        table.add_row(texts.into_iter().chain(numbers));
    }
    println!("{table}");
    Ok(())
}

fn state(row: &Row) -> String {
    row.health.suspended.map_or("active".to_owned(), |why| format!("suspended: {}", why.text()))
}

fn breaker(row: &Row) -> &'static str {
    if row.health.is_open() { "open" } else { "closed" }
}

fn to_json(row: &Row, standing: &Standing) -> Value {
    json!({
        "webhook_id": row.id.to_string(), "partner": row.partner.as_str(), "url": row.url, "state": state(row),
        "breaker": breaker(row), "failures": row.health.failures, "cursor": row.cursor, "backlog": standing.backlog,
        "waiting": standing.waiting, "dead": standing.dead,
    })
}
