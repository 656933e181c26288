//! `hanse keys`: the alliance's own signing keys.

use super::house::Reach;
use super::partners::table;
use super::{Error, Global};
use crate::config::{Config, Flags};
use crate::service::keys::Keys;
use crate::service::settlement;
use crate::signing::keyring::Purpose;
use crate::store;
use serde_json::{Value, json};

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Every key there ever was, with --json as a JWK set, and the verifier keys of the log
    List(Args),
    /// Publish new keys, which sign ten minutes from now
    Rotate(Rotate),
}

#[derive(Debug, clap::Args)]
pub struct Rotate {
    /// Only the key of this purpose: quote, statement, statement_p256, checkpoint or webhook; all unless named
    #[arg(value_parser = purpose)]
    purpose: Option<Purpose>,
    #[command(flatten)]
    args: Args,
}

fn purpose(text: &str) -> Result<Purpose, String> {
    let known = || Purpose::ALL.iter().map(|purpose| purpose.text()).collect::<Vec<_>>().join(", ");
    Purpose::parse(text).ok_or_else(|| format!("one of {}", known()))
}

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
}

pub fn run(action: &Action, global: &Global) -> Result<(), Error> {
    let (Action::List(args) | Action::Rotate(Rotate { args, .. })) = action;
    let config = global.begin(&args.flags)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::failed)?;
    let told = runtime.block_on(work(action, &config))?;
    match action {
        _ if global.json => println!("{told}"),
        Action::List(_) => print_keys(&told),
        Action::Rotate(_) => {
            told.as_object().into_iter().flatten().for_each(|(purpose, what)| println!("{purpose}: {}", plain(what)));
        }
    }
    Ok(())
}

/// `--json` has the keys themselves.
fn print_keys(told: &Value) {
    let mut keys = table(["purpose 用途", "algorithm", "kid"]);
    for key in told["keys"].as_array().into_iter().flatten() {
        keys.add_row([plain(&key["purpose"]), plain(&key["alg"]), plain(&key["kid"])]);
    }
    println!("{keys}");
    for key in told["log"].as_array().into_iter().flatten() {
        println!("log: {}", plain(key));
    }
}

fn plain(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

async fn work(action: &Action, config: &Config) -> Result<Value, Error> {
    let reach = Reach::found(config)?;
    let database = store::connect(&reach.url).map_err(Error::failed)?;
    let keys = Keys::open(database, config.keys_dir()).await.map_err(Error::failed)?;
    match action {
        Action::List(_) => listed(&reach, &keys),
        Action::Rotate(Rotate { purpose, .. }) => {
            let mut rotated = serde_json::Map::new();
            for purpose in Purpose::ALL.iter().copied().filter(|one| purpose.is_none_or(|only| only == *one)) {
                let new = keys.rotate(purpose).await.map_err(Error::failed)?;
                let told = if new { "signs in ten minutes" } else { "a new key is on its way already" };
                rotated.insert(purpose.text().to_owned(), json!(told));
            }
            // What is on its way already is in the log already, or is put there now.
            record(&reach, &keys)?;
            Ok(Value::Object(rotated))
        }
    }
}

/// The JWK set, whose readers pass over a member they do not know (RFC 7517 §5), with `log` beside it once something was
/// published: what note tools verify checkpoints by.
fn listed(reach: &Reach, keys: &Keys) -> Result<Value, Error> {
    let mut conn = settlement::connect(&reach.url).map_err(Error::failed)?;
    let mut told = keys.jwks();
    match settlement::rotate::log_keys(&mut conn) {
        Ok(log) => told["log"] = json!(log),
        Err(settlement::Error::NotFound) => {}
        Err(other) => return Err(Error::failed(other)),
    }
    Ok(told)
}

/// Keys of statements and of the log hand over in the log, so that whoever trusts the old one can trust the new.
fn record(reach: &Reach, keys: &Keys) -> Result<(), Error> {
    let mut conn = settlement::connect(&reach.url).map_err(Error::failed)?;
    // Before anything was published there is no alliance to sign for.
    if store::catalogue::exists(&mut conn).map_err(Error::failed)? {
        for purpose in Purpose::ALL.iter().filter(|purpose| purpose.hands_over()) {
            settlement::rotate::record(&mut conn, keys, *purpose).map_err(Error::failed)?;
        }
    }
    Ok(())
}
