//! `hanse migrate`: the schema, brought up to this version.

use super::house::{self, DATABASE};
use super::{Error, Global};
use crate::config::{DatabaseUrl, Flags};
use crate::store;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only list what is missing; exit code 1 when something is
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    flags: Flags,
}

pub fn run(args: &Args, global: &Global) -> Result<(), Error> {
    let config = global.begin(&args.flags)?;
    let cluster = house::start(&config)?;
    let url = match &cluster {
        Some(cluster) => {
            cluster.create_database(DATABASE).map_err(Error::failed)?;
            cluster.url(DATABASE)
        }
        None => config.database_url.as_ref().map(DatabaseUrl::expose).unwrap_or_default().to_owned(),
    };
    let names = if args.check { store::pending_migrations(&url) } else { store::migrate(&url) };
    let names = names.map_err(Error::failed)?;
    cluster.map_or(Ok(()), |cluster| cluster.stop().map_err(Error::failed))?;
    print(&names, args, global);
    if args.check && !names.is_empty() {
        return Err(Error::Failed(format!("{} migrations are missing", names.len())));
    }
    Ok(())
}

fn print(names: &[String], args: &Args, global: &Global) {
    let verb = if args.check { "missing" } else { "ran" };
    if global.json {
        println!("{}", serde_json::json!({ verb: names }));
        return;
    }
    if names.is_empty() {
        println!("the schema is up to date");
    }
    for name in names {
        println!("{verb} {name}");
    }
}
