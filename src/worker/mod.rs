//! Loops that run beside the servers. Each has a `tick` that does one bounded piece of work and can be tested;
//! `Workers` calls them on threads of their own until told to stop.

pub mod certificates;
pub mod delivery;
pub mod departures;
pub mod expiry;
pub mod figures;
pub mod sealing;
pub mod settlement;
pub mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What one tick found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// Did something: there may be more at once.
    Worked,
    /// Nothing to do now.
    Idle,
}

/// The threads of the loops. Dropping it stops them.
#[derive(Default)]
pub struct Workers {
    stop: Arc<(Mutex<bool>, Condvar)>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Calls `tick` again and again, resting `rest` whenever it was idle or failed.
    pub fn spawn<E, F>(&mut self, name: &'static str, rest: Duration, mut tick: F) -> std::io::Result<()>
    where
        E: std::fmt::Display,
        F: FnMut() -> Result<Tick, E> + Send + 'static,
    {
        let stop = self.stop.clone();
        let body = move || {
            let mut failing = false;
            while !stopped(&stop, Duration::ZERO) {
                // A loop that ended by a panic would leave a server that looks well and never seals or expires again.
                let ticked = catch_unwind(AssertUnwindSafe(&mut tick));
                match ticked.map_err(|_| "it panicked".to_owned()).and_then(|ticked| ticked.map_err(|e| e.to_string()))
                {
                    Ok(Tick::Worked) => failing = false,
                    Ok(Tick::Idle) => {
                        failing = false;
                        stopped(&stop, rest);
                    }
                    Err(error) => {
                        // Said once until it works again: a database that is away would fill the log.
                        if !std::mem::replace(&mut failing, true) {
                            tracing::warn!(worker = name, error, "a worker's tick failed; it goes on trying");
                        }
                        metrics::counter!("hanse_worker_failures_total", "worker" => name).increment(1);
                        stopped(&stop, rest.max(Duration::from_millis(250)));
                    }
                }
            }
        };
        self.threads.push(std::thread::Builder::new().name(name.to_owned()).spawn(body)?);
        Ok(())
    }
}

/// Waits up to `rest` and says whether the workers were told to stop.
fn stopped(stop: &(Mutex<bool>, Condvar), rest: Duration) -> bool {
    let told = stop.0.lock().unwrap_or_else(PoisonError::into_inner);
    if *told || rest.is_zero() {
        return *told;
    }
    let (told, _) = stop.1.wait_timeout(told, rest).unwrap_or_else(PoisonError::into_inner);
    *told
}

impl Drop for Workers {
    fn drop(&mut self) {
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
        for thread in self.threads.drain(..) {
            // A tick is bounded by the database's statement timeout, so this ends; a panicked one has said so.
            let _ = thread.join();
        }
    }
}
