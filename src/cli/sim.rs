//! `hanse sim`: a partner's own ledger behind an endpoint, with faults that are scripted.

pub(super) mod alliance;
pub(super) mod control;
mod feed;
mod month;
mod own;
mod people;

use super::serve::Stop;
use super::{Error, Global};
use crate::config::Flags;
use crate::domain::ids::Slug;
use crate::partner::sim::bugs::{Bug, Bugs};
use crate::partner::sim::faults::{Faults, Spec};
use crate::partner::sim::store::Store;
use crate::partner::sim::tls::Files;
use crate::partner::sim::{self, Listener, Sim};
use crate::signing::jws::SigningKey;
use crate::signing::private_file::{PRIVATE, replace};
use crate::signing::webhook::Secret;
use alliance::Alliance;
use month::Month;
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Opening points of an invented member, unless said.
const POINTS: i64 = 10_000;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The partner it is: its slug
    #[arg(long, value_name = "SLUG", value_parser = |text: &str| text.parse::<Slug>().map_err(|_| "a slug is lower-case letters, digits and hyphens"))]
    partner: Slug,
    /// Where the endpoint answers, over mutual TLS
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9501")]
    listen: SocketAddr,
    /// The endpoint's own certificate, PEM
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Its key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The alliance's authority: whose certificates are believed
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// Its revocation list
    #[arg(long, value_name = "FILE")]
    crl: Option<PathBuf>,
    /// Where the ledger is kept
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The alliance's partner API
    #[arg(long, value_name = "URL")]
    hanse: Option<String>,
    /// The partner's certificate towards the alliance; with --hanse
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
    /// The alliance's public keys: an address or a file
    #[arg(long, value_name = "URL|FILE", default_value = "http://127.0.0.1:8080/.well-known/jwks.json")]
    jwks: String,
    /// A file with the secret that requests may be signed with, beside the alliance's keys: whsec_…
    #[arg(long, value_name = "FILE")]
    webhook_secret: Option<PathBuf>,
    /// What goes wrong: call:kind=0.05, or =x3 for the next three; with commas between
    #[arg(long, value_name = "SPEC", default_value = "")]
    faults: Spec,
    /// What chance is made from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Break the contract on purpose; may be given several times
    #[arg(long, value_name = "NAME")]
    bug: Vec<Bug>,
    /// How long it takes over every answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    answer_ms: u64,
    /// A port of its owner's, on the loopback alone: faults, the ledger, totals
    #[arg(long, value_name = "ADDRESS")]
    control: Option<SocketAddr>,
    /// Members to begin with, invented: SPR-1, SPR-2, …
    #[arg(long, value_name = "N", default_value_t = 0)]
    members: u64,
    /// Points of each
    #[arg(long, value_name = "POINTS", default_value_t = POINTS)]
    points: i64,
    /// Their tier, one of the programme's
    #[arg(long, value_name = "CODE", default_value = "l1")]
    tier: String,
    /// Members to begin with, from a file as `hanse import` takes it
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Where the alliance reaches the endpoint, for its webhooks; where it listens, unless said
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Change one figure of the own list at every month's end, to dispute it
    #[arg(long)]
    plant_difference: bool,
    /// Register the members at the alliance too
    #[arg(long, requires = "hanse")]
    register: bool,
    /// End when standard input ends: with whoever started it, however that ends
    #[arg(long)]
    until_closed: bool,
    #[command(flatten)]
    flags: Flags,
}

pub fn run(args: &Args, global: &Global) -> Result<(), Error> {
    global.begin(&args.flags)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::failed)?;
    runtime.block_on(async {
        let mut stop = Stop::listen()?;
        tokio::select! {
            outcome = play(args, global) => outcome,
            () = stop.asked() => Ok(()),
            () = closed(args.until_closed) => Ok(()),
        }
    })
}

/// Waits for the end of standard input, if it is to be waited for.
async fn closed(wanted: bool) {
    if !wanted {
        return std::future::pending().await;
    }
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    // Not one of the runtime's threads: it would wait for a read that may never end.
    std::thread::spawn(move || {
        // However it ends, it has ended.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(end);
    });
    // Nothing is ever sent: the other end is dropped.
    let _ = ended.await;
}

async fn play(args: &Args, global: &Global) -> Result<(), Error> {
    let store = Store::open(&args.data).map_err(Error::failed)?;
    let faults = Faults::new(args.seed, args.faults.clone());
    let answer_after = Duration::from_millis(args.answer_ms);
    let signer = Some(signing_key(&args.data)?);
    let sim = Sim::new(store, faults, Bugs(args.bug.clone()), answer_after, signer);
    if let Some(file) = &args.webhook_secret {
        let unread = |why: &dyn std::fmt::Display| Error::Usage(format!("{}: {why}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|why| unread(&why))?;
        let secret = Secret::parse(text.trim()).map_err(|why| unread(&why))?;
        sim.gate.set_secrets(vec![secret]);
    }
    let alliance = Alliance::open(args)?;
    people::seed(args, &sim.store, alliance.as_ref()).await?;
    let keys = tokio::spawn(alliance::keep_keys(args.ca.clone(), args.jwks.clone(), Arc::clone(&sim)));
    let files = Files {
        ca: args.ca.clone(),
        crl: args.crl.clone(),
        certificate: args.certificate.clone(),
        key: args.key.clone(),
    };
    let listener = sim::listen(Arc::clone(&sim), args.listen, &files).await.map_err(Error::failed)?;
    let control = match args.control {
        Some(listen) => Some(sim::serve_control(Arc::clone(&sim), listen).await.map_err(Error::failed)?),
        None => None,
    };
    welcome(args, global, &listener, control)?;
    if let Some(alliance) = alliance {
        let endpoint = args.endpoint.clone().unwrap_or_else(|| format!("https://{}", listener.address));
        let ask_every = feed::register(&sim, &alliance, &endpoint).await?;
        feed::follow(sim, alliance, month(args, global)?, ask_every).await;
    }
    // The keys are looked after for as long as it runs; that it ends early would be a panic.
    keys.await.map_err(Error::failed)
}

/// Who answers the statements.
fn month(args: &Args, global: &Global) -> Result<Month, Error> {
    Ok(Month {
        partner: args.partner.clone(),
        signer: signing_key(&args.data)?,
        jwks: args.jwks.clone(),
        ca: args.ca.clone(),
        plant: args.plant_difference,
        json: global.json,
        folder: args.data.join("settlement"),
    })
}

/// Says where it is, at once: whoever started it waits for that.
fn welcome(args: &Args, global: &Global, listener: &Listener, control: Option<SocketAddr>) -> Result<(), Error> {
    let url = format!("https://{}", listener.address);
    let mut out = std::io::stdout().lock();
    let written = if global.json {
        let control = control.map(|control| format!("http://{control}"));
        writeln!(out, "{}", json!({ "partner": args.partner.as_str(), "endpoint": url, "control": control }))
    } else {
        let control = control.map_or_else(String::new, |control| format!("\n  control   http://{control}"));
        writeln!(
            out,
            "{} answers for its own ledger.\n  endpoint  {url}{control}\nCtrl-C stops it.",
            args.partner.as_str()
        )
    };
    written.and_then(|()| out.flush()).map_err(Error::failed)
}

/// The partner's own key: it signs answers, and statements that hold.
fn signing_key(folder: &Path) -> Result<SigningKey, Error> {
    let file = folder.join("signing.p8");
    let unread = |why: &dyn std::fmt::Display| Error::Failed(format!("{}: {why}", file.display()));
    if !file.exists() {
        let made = SigningKey::generate().map_err(|_| unread(&"the system has no randomness"))?;
        replace(&file, &made, PRIVATE).map_err(|why| unread(&why))?;
    }
    let bytes = std::fs::read(&file).map_err(|why| unread(&why))?;
    SigningKey::from_pkcs8(&bytes).map_err(|why| unread(&why))
}
