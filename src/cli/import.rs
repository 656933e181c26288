//! `hanse import`: members and their opening points from a CSV, through the partner API.
//!
//! Lines go in batches of 1,000 over mutual TLS, a bounded number at once. Every opening lot has a key made of its
//! member and number alone, so that a line sent twice, by a killed run or another file, does nothing. A checkpoint
//! beside the CSV spares a resumed run what is already there; it is removed when everything is.

mod checkpoint;
pub(super) mod lines;
mod send;

use super::client::Identity;
use super::{Error, Global};
use crate::clock;
use crate::config::Flags;
use checkpoint::Checkpoint;
use indicatif::{ProgressBar, ProgressStyle};
use lines::{Batch, Lines};
use send::{Outcome, Sender};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// Refused lines told one by one; the rest is counted.
const TOLD_MAX: usize = 20;
/// For one request; a batch is decided in well under a second.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// CSV with member_ref,tier,status,lot1_points,lot1_expires_on,lot2_points,lot2_expires_on
    file: PathBuf,
    /// Whose members these are: the partner whose certificate is used
    #[arg(long, value_name = "SLUG")]
    partner: String,
    /// Address of the partner API; this machine's unless given
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Batches under way at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    concurrency: u32,
    #[command(flatten)]
    flags: Flags,
}

/// What an import came to.
#[derive(Debug, Default)]
struct Tally {
    lines: u64,
    lots: u64,
    refused: u64,
    told: Vec<String>,
}

pub fn run(args: &Args, global: &Global) -> Result<(), Error> {
    let config = global.begin(&args.flags)?;
    let identity = Identity::in_folder(&config.pki_dir(), &args.partner);
    let url = args.url.clone().unwrap_or_else(|| format!("https://{}", config.api_listen));
    let sender = Sender::new(identity.client(PATIENCE)?, &url);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::failed)?;
    let since = clock::instant();
    let tally = runtime.block_on(import(&args.file, sender, args.concurrency))?;
    report(&tally, since.elapsed(), global);
    match tally.refused {
        0 => Ok(()),
        some => Err(Error::Failed(format!("{some} lines were refused"))),
    }
}

async fn import(file: &Path, sender: Sender, concurrency: u32) -> Result<Tally, Error> {
    let (lines, bytes) = Lines::open(file)?;
    let checkpoint = Checkpoint::open(file, bytes)?;
    let bar = bar(bytes);
    if checkpoint.done() > 0 {
        bar.println(format!("resuming: {} batches are there already", checkpoint.done()));
    }
    let shared = Shared { checkpoint: Mutex::new(checkpoint), tally: Mutex::new(Tally::default()), bar, sender };
    let shared = Arc::new(shared);
    let (give, mut take) = mpsc::channel(1);
    let reading = tokio::task::spawn_blocking({
        let shared = Arc::clone(&shared);
        move || read(lines, &shared, &give)
    });
    let turns = Arc::new(Semaphore::new(usize::try_from(concurrency).unwrap_or(1)));
    let mut sending = tokio::task::JoinSet::new();
    let mut failed = None;
    while let Some(batch) = take.recv().await {
        let turn = Arc::clone(&turns).acquire_owned().await.map_err(Error::failed)?;
        let shared = Arc::clone(&shared);
        sending.spawn(async move {
            let _turn = turn;
            shared.send(batch).await
        });
        while let Some(ended) = sending.try_join_next() {
            failed = failed.or(ended.map_err(Error::failed)?.err());
        }
        if failed.is_some() {
            break;
        }
    }
    drop(take);
    while let Some(ended) = sending.join_next().await {
        failed = failed.or(ended.map_err(Error::failed)?.err());
    }
    let read = reading.await.map_err(Error::failed)?;
    shared.bar.finish_and_clear();
    match failed {
        Some(failed) => return Err(failed),
        None => read?,
    }
    let tally = std::mem::take(&mut *shared.tally.lock().unwrap_or_else(PoisonError::into_inner));
    if tally.refused == 0 {
        shared.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).remove()?;
    }
    Ok(tally)
}

/// Reads batches that are not there yet, as fast as they are taken.
fn read(lines: Lines, shared: &Shared, give: &mpsc::Sender<Batch>) -> Result<(), Error> {
    for batch in lines {
        let batch = batch?;
        let there = shared.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).has(batch.number);
        if there {
            shared.bar.inc(batch.bytes);
        } else if give.blocking_send(batch).is_err() {
            // Sending has failed: its error is the one to tell.
            break;
        }
    }
    Ok(())
}

struct Shared {
    checkpoint: Mutex<Checkpoint>,
    tally: Mutex<Tally>,
    bar: ProgressBar,
    sender: Sender,
}

impl Shared {
    async fn send(&self, batch: Batch) -> Result<(), Error> {
        let Outcome { lots, refused } = self.sender.send(&batch).await?;
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.lines += u64::try_from(batch.lines.len()).unwrap_or(u64::MAX);
        tally.lots += lots;
        tally.refused += u64::try_from(refused.len()).unwrap_or(u64::MAX);
        let whole = refused.is_empty();
        let room = TOLD_MAX.saturating_sub(tally.told.len());
        tally.told.extend(refused.into_iter().take(room));
        drop(tally);
        // A batch with refused lines is sent again by the next run: what was done in it stays done.
        if whole {
            self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).mark(batch.number)?;
        }
        self.bar.inc(batch.bytes);
        Ok(())
    }
}

fn bar(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    let template = "{bar:40} {percent:>3} %  {bytes_per_sec}  {elapsed_precise}, {eta} to go";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn report(tally: &Tally, elapsed: Duration, global: &Global) {
    let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = tally.lines.saturating_mul(1_000) / ms;
    if global.json {
        let Tally { lines, lots, refused, told } = tally;
        let told = serde_json::json!({
            "memberships": lines, "opening_lots": lots, "refused": refused, "first_refused": told, "elapsed_ms": ms,
            "memberships_per_second": rate,
        });
        println!("{told:#}");
        return;
    }
    for line in &tally.told {
        println!("{line}");
    }
    let seconds = format!("{}.{}", ms / 1_000, ms % 1_000 / 100);
    println!(
        "{} memberships and {} opening lots in {seconds} s: {rate} memberships/s, {} refused",
        tally.lines, tally.lots, tally.refused
    );
}
