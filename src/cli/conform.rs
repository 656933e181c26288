//! `hanse partners conform URL`: the contract played against an endpoint, from the alliance's side.
//!
//! It uses ids of its own and gives back what it takes: a member has afterwards what it had before.

mod calls;
mod checks;
mod refused;

use super::sim::alliance;
use super::{Error, Global};
use crate::partner::address::Guard;
use crate::partner::dial::{Dialer, Lookup, Options};
use crate::partner::sim::gate;
use crate::signing::jws::SigningKey;
use crate::signing::webhook::Secret;
use calls::{Caller, Signer};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Every network: whoever types an address means it.
const ANYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The endpoint, as the partner's manifest has it
    #[arg(value_name = "URL")]
    url: String,
    /// A member of the partner's to try with
    #[arg(long, value_name = "REF")]
    member: String,
    /// Points to move; the member has at least these
    #[arg(long, value_name = "POINTS", default_value_t = 10, value_parser = clap::value_parser!(i64).range(2..1_000_000_000))]
    points: i64,
    /// Who issues the endpoint's certificate, PEM
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// The alliance's certificate, PEM
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Its key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The alliance's key that signs requests; or its folder of keys, with --jwks
    #[arg(long, value_name = "FILE|DIR", required_unless_present = "webhook_secret")]
    signing_key: Option<PathBuf>,
    /// The alliance's public keys, an address or a file: which keys of the folder sign requests
    #[arg(long, value_name = "URL|FILE", default_value = "http://127.0.0.1:8080/.well-known/jwks.json")]
    jwks: String,
    /// A file with a secret both sides know: whsec_…
    #[arg(long, value_name = "FILE")]
    webhook_secret: Option<PathBuf>,
}

/// One thing that was checked.
#[derive(Debug)]
pub struct Row {
    chapter: &'static str,
    what: &'static str,
    wanted: &'static str,
    got: String,
    holds: bool,
}

/// What was checked, in order.
#[derive(Debug, Default)]
pub struct Board(Vec<Row>);

impl Board {
    fn put(&mut self, chapter: &'static str, what: &'static str, wanted: &'static str, got: String, holds: bool) {
        self.0.push(Row { chapter, what, wanted, got, holds });
    }

    fn failures(&self) -> usize {
        self.0.iter().filter(|row| !row.holds).count()
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(["", "of", "what", "wanted", "got"]);
        for Row { chapter, what, wanted, got, holds } in &self.0 {
            table.add_row([if *holds { "✓" } else { "✗" }, chapter, what, wanted, got]);
        }
        table
    }

    fn json(&self) -> Value {
        let row = |row: &Row| json!({ "chapter": row.chapter, "check": row.what, "wanted": row.wanted, "got": row.got, "holds": row.holds });
        json!({ "failures": self.failures(), "checks": self.0.iter().map(row).collect::<Vec<_>>() })
    }
}

pub fn run(args: &Args, global: &Global) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::failed)?;
    let board = runtime.block_on(play(args))?;
    if global.json {
        println!("{:#}", board.json());
    } else {
        println!("{}", board.table());
        println!("{} of {} hold.", board.0.len() - board.failures(), board.0.len());
    }
    match board.0.iter().find(|row| !row.holds) {
        None => Ok(()),
        Some(row) => Err(Error::Failed(format!(
            "{} do not hold, the first: {}: {}: {}, not {}",
            board.failures(),
            row.chapter,
            row.what,
            row.got,
            row.wanted
        ))),
    }
}

async fn play(args: &Args) -> Result<Board, Error> {
    let caller = caller(args).await?;
    let mut board = Board::default();
    refused::connection(&caller, args, &mut board).await?;
    checks::membership(&caller, args, &mut board).await;
    checks::holds(&caller, args, &mut board).await;
    checks::releases(&caller, args, &mut board).await;
    checks::credits(&caller, args, &mut board).await;
    checks::events(&caller, &mut board).await;
    refused::signatures(&caller, args, &mut board).await;
    refused::requests(&caller, args, &mut board).await;
    Ok(board)
}

async fn caller(args: &Args) -> Result<Caller, Error> {
    let allow: Vec<_> = ANYWHERE.iter().filter_map(|network| network.parse().ok()).collect();
    let options = Options {
        certificate: read(&args.certificate)?,
        key: read(&args.key)?,
        ca: read(&args.ca)?,
        crl: None,
        guard: Guard::new(&allow),
        connections: 16,
        lookup: Lookup::system(),
    };
    let dialer = Dialer::new(options).map_err(|why| Error::Usage(super::chain(&why)))?;
    let mut signer = Signer::default();
    if let Some(file) = &args.signing_key {
        let files = if file.is_dir() { signing(args, file).await? } else { vec![file.clone()] };
        for file in files {
            let key = SigningKey::from_pkcs8(&read(&file)?);
            signer.keys.push(key.map_err(|why| Error::Usage(format!("{}: {why}", file.display())))?);
        }
    }
    if let Some(file) = &args.webhook_secret {
        let secret = Secret::parse(String::from_utf8_lossy(&read(file)?).trim());
        signer.secrets.push(secret.map_err(|why| Error::Usage(format!("{}: {why}", file.display())))?);
    }
    Ok(Caller::new(dialer, &args.url, signer))
}

/// The keys of the folder that are published for signing requests. All of them sign: an endpoint that has not read of a new
/// one yet knows the old one.
async fn signing(args: &Args, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let jwks = alliance::keys(None, &args.jwks).await?;
    let files = gate::keys_of(&jwks).into_iter().map(|key| folder.join(format!("{}.p8", key.kid())));
    let files: Vec<PathBuf> = files.filter(|file| file.exists()).collect();
    if files.is_empty() {
        return Err(Error::Failed(format!("{}: no key that {} has for webhooks", folder.display(), args.jwks)));
    }
    Ok(files)
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(file).map_err(|why| Error::Usage(format!("{}: {why}", file.display())))
}
