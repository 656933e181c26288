//! Closes windows while a load runs, from a thread of its own, and says when it is doing so.

use super::prove;
use crate::book::windows::Which;
use crate::cli::Error;
use crate::clock;
use crate::domain::settlement::window::State;
use crate::service::keys::Keys;
use crate::service::settlement::close::{self, Told};
use crate::store::settlement::windows::Row;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a resting closer looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);
/// How long another server may be settling.
const PATIENCE: Duration = Duration::from_secs(30);

/// What closing needs, and how often it is to happen.
#[derive(Clone)]
pub struct Closer {
    pub url: String,
    pub keys: Arc<Keys>,
    pub times: u32,
}

/// One that is at work.
pub struct Closing {
    /// Whether a window is being closed now.
    pub now: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Result<Vec<(Row, u64)>, Error>>,
}

/// The windows closed during a run.
#[derive(Debug, Default, serde::Serialize)]
pub struct Closes {
    /// Milliseconds each took.
    pub took_ms: Vec<u64>,
    /// Conversions of each.
    pub conversions: Vec<i64>,
    /// Windows with a statement that does not say what was posted.
    pub wrong: Vec<i64>,
    /// Whose, in words.
    pub differs: Vec<String>,
}

/// Closes the open window, once the server that may be settling now has done so; it is published then.
pub fn close(url: &str, keys: &Keys, mut told: impl FnMut(Told<'_>)) -> Result<Row, Error> {
    let begun = clock::instant();
    loop {
        match close::close(url, keys, Some(Which::Open), &mut told).map_err(Error::failed)? {
            Some(row) if row.state == State::Published => return Ok(row),
            Some(row) => {
                let why = row.blocked_by.unwrap_or_default();
                return Err(Error::Failed(format!("window {} is {}: {why}", row.number, row.state.code())));
            }
            None if begun.elapsed() > PATIENCE => return Err(Error::Failed("another server settles".to_owned())),
            None => std::thread::sleep(LOOK),
        }
    }
}

impl Closer {
    /// Begins to close, evenly over `time`.
    pub fn begin(&self, time: Duration) -> Closing {
        let (now, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (closer, closing, ended) = (self.clone(), Arc::clone(&now), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let begun = clock::instant();
            let mut closed = Vec::new();
            for nth in 1..=closer.times {
                let at = time * nth / (closer.times + 1);
                while begun.elapsed() < at && !ended.load(Ordering::Relaxed) {
                    std::thread::sleep(LOOK);
                }
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let since = clock::instant();
                closing.store(true, Ordering::Relaxed);
                let row = close(&closer.url, &closer.keys, |_| ());
                closing.store(false, Ordering::Relaxed);
                let took_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                closed.push((row?, took_ms));
            }
            Ok(closed)
        });
        Closing { now, stop, thread }
    }
}

impl Closing {
    /// Ends it, and proves every window it closed.
    pub fn end(self, closer: &Closer) -> Result<Closes, Error> {
        self.stop.store(true, Ordering::Relaxed);
        let closed = self.thread.join().map_err(|_| Error::Failed("closing panicked".to_owned()))??;
        let mut closes = Closes::default();
        for (row, took_ms) in closed {
            let proof = prove::prove(&closer.url, &row)?;
            closes.took_ms.push(took_ms);
            closes.conversions.push(proof.conversions);
            if !proof.differs.is_empty() {
                closes.wrong.push(row.number);
            }
            closes.differs.extend(proof.differs);
        }
        Ok(closes)
    }
}
