//! Keeps the server running: starts it, waits until it is ready, and starts it again, with growing pauses, when it
//! dies without having been asked to.

use super::binaries::Binaries;
use super::cluster::{self, Folders, PidFile};
use super::owner::Owner;
use crate::clock;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
const READY_POLL: Duration = Duration::from_millis(5);
/// Old logs are kept once: the one before.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What the server is doing now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Starting {
        pid: u32,
    },
    Ready {
        pid: u32,
    },
    /// It died and will be started again; `reason` is its own last word.
    Restarting {
        attempt: u32,
        reason: String,
    },
    /// It was stopped, or could not be started in the first place.
    Stopped {
        reason: Option<String>,
    },
}

/// Everything needed to start the server, again and again.
pub struct Launch {
    pub owner: Owner,
    pub binaries: Binaries,
    pub folders: Folders,
    pub settings: Vec<(String, String)>,
    /// How long the first start may take; a recovery after a crash reads the whole log since the checkpoint.
    pub patience: Duration,
}

pub struct Supervisor {
    shared: Arc<Shared>,
    launch: Arc<Launch>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    now: Mutex<Now>,
    changed: Condvar,
}

struct Now {
    state: State,
    stopping: bool,
}

impl Supervisor {
    /// Starts the server and waits until it is ready; the error is the server's own explanation.
    pub fn start(launch: Launch) -> Result<Supervisor, String> {
        let now = Now { state: State::Restarting { attempt: 0, reason: String::new() }, stopping: false };
        let shared = Arc::new(Shared { now: Mutex::new(now), changed: Condvar::new() });
        let launch = Arc::new(launch);
        let run = Run { shared: Arc::clone(&shared), launch: Arc::clone(&launch), been_ready: false };
        let thread = std::thread::Builder::new().name("postgres".to_owned()).spawn(move || run.supervise());
        let thread = thread.map_err(|cause| format!("no thread to supervise it: {cause}"))?;
        let mut supervisor = Supervisor { shared, launch, thread: Some(thread) };
        let settled = |state: &State| matches!(state, State::Ready { .. } | State::Stopped { .. });
        match supervisor.shared.wait(supervisor.launch.patience, settled) {
            State::Ready { .. } => Ok(supervisor),
            State::Stopped { reason } => Err(reason.unwrap_or_default()),
            other => {
                let patience = supervisor.launch.patience.as_secs();
                let _ = supervisor.stop();
                Err(format!(
                    "not ready after {patience} s ({other:?}); see {}",
                    supervisor.launch.folders.log.display()
                ))
            }
        }
    }

    pub fn state(&self) -> State {
        self.shared.lock().state.clone()
    }

    /// Waits until `wanted` holds, at most `patience`, and returns the state found.
    pub fn wait(&self, patience: Duration, wanted: impl Fn(&State) -> bool) -> State {
        self.shared.wait(patience, wanted)
    }

    /// A fast stop: sessions are ended, a checkpoint is written. Harsher ways follow if that is not obeyed.
    pub fn stop(&mut self) -> Result<(), u32> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        let stopped = |state: &State| matches!(state, State::Stopped { .. });
        for (name, patience) in [("INT", 60), ("QUIT", 10), ("KILL", 10)] {
            if let State::Starting { pid } | State::Ready { pid } = self.state() {
                cluster::signal(&self.launch.owner, &self.launch.binaries, pid, name);
            }
            if stopped(&self.shared.wait(Duration::from_secs(patience), stopped)) {
                // The thread ends after it has said so; a panic in it has been printed already.
                let _ = thread.join();
                return Ok(());
            }
        }
        match self.state() {
            State::Starting { pid } | State::Ready { pid } => Err(pid),
            State::Restarting { .. } | State::Stopped { .. } => Ok(()),
        }
    }
}

impl Shared {
    /// A poisoned lock is used all the same: the state in it is replaced as a whole, never half.
    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, patience: Duration, wanted: impl Fn(&State) -> bool) -> State {
        let now = self.lock();
        let waited = self.changed.wait_timeout_while(now, patience, |now| !wanted(&now.state));
        waited.unwrap_or_else(PoisonError::into_inner).0.state.clone()
    }

    fn set(&self, state: State) {
        self.lock().state = state;
        self.changed.notify_all();
    }

    /// Sleeps, but wakes for a stop; true when one is wanted.
    fn pause(&self, length: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), length, |now| !now.stopping);
        waited.unwrap_or_else(PoisonError::into_inner).0.stopping
    }
}

/// The supervising thread's own view.
struct Run {
    shared: Arc<Shared>,
    launch: Arc<Launch>,
    been_ready: bool,
}

impl Run {
    fn supervise(mut self) {
        let first = clock::instant();
        let mut attempt = 0;
        let mut pause = PAUSE_FIRST;
        loop {
            let (reason, was_ready) = self.run_once();
            self.been_ready |= was_ready;
            if self.shared.lock().stopping {
                return self.shared.set(State::Stopped { reason: None });
            }
            // Before it has ever been ready only a crash's leftovers are worth another try: they go away.
            let passing = reason.contains("still in use") || reason.contains("already exists");
            let worth_it = self.been_ready || (passing && first.elapsed() < self.launch.patience);
            if !worth_it {
                return self.shared.set(State::Stopped { reason: Some(reason) });
            }
            // Pauses grow only while it cannot get ready: one that was is wanted back at once.
            if was_ready {
                (attempt, pause) = (0, PAUSE_FIRST);
            }
            attempt += 1;
            tracing::error!(attempt, %reason, "PostgreSQL is gone; starting it again");
            self.shared.set(State::Restarting { attempt, reason });
            if self.shared.pause(pause) {
                return self.shared.set(State::Stopped { reason: None });
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Starts the server and returns when it has ended: why, and whether it was ready before.
    fn run_once(&self) -> (String, bool) {
        let launch = &self.launch;
        if let Err(cause) = cluster::clear_strays(&launch.folders, &launch.owner, &launch.binaries) {
            return (cause.to_string(), false);
        }
        let (mut child, from) = match self.spawn() {
            Ok(spawned) => spawned,
            Err(cause) => return (format!("{}: {cause}", launch.binaries.program("postgres").display()), false),
        };
        let pid = child.id();
        self.shared.set(State::Starting { pid });
        let was_ready = self.await_ready(&mut child, pid);
        let ended = child.wait();
        let status = ended.map_or_else(|cause| cause.to_string(), |status| status.to_string());
        match last_words(&launch.folders, from) {
            Some(words) => (format!("{words} ({status})"), was_ready),
            None => (status, was_ready),
        }
    }

    /// The server, and where in the log its own lines begin.
    fn spawn(&self) -> std::io::Result<(Child, u64)> {
        let log = open_log(&self.launch.folders)?;
        let from = log.metadata()?.len();
        let mut command = self.launch.owner.command(&self.launch.binaries.program("postgres"));
        command.arg("-D").arg(&self.launch.folders.cluster);
        for (name, value) in &self.launch.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let child = command.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null()).spawn()?;
        Ok((child, from))
    }

    /// Returns when the server is ready, true, or has ended or is to be stopped, false.
    fn await_ready(&self, child: &mut Child, pid: u32) -> bool {
        let mut told: Option<Instant> = None;
        loop {
            if !matches!(child.try_wait(), Ok(None)) {
                return false;
            }
            if PidFile::read(&self.launch.folders.cluster) == Some(PidFile { pid, ready: true }) {
                self.shared.set(State::Ready { pid });
                return true;
            }
            if told.get_or_insert_with(clock::instant).elapsed() > Duration::from_secs(10) {
                tracing::info!(pid, "PostgreSQL is still recovering");
                told = None;
            }
            if self.shared.pause(READY_POLL) {
                // The stop may have found no process to signal yet.
                cluster::signal(&self.launch.owner, &self.launch.binaries, pid, "INT");
                return false;
            }
        }
    }
}

fn open_log(folders: &Folders) -> std::io::Result<File> {
    if std::fs::metadata(&folders.log).is_ok_and(|found| found.len() > LOG_BYTES_MAX) {
        std::fs::rename(&folders.log, folders.log.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(&folders.log)
}

/// The last complaint the server wrote since `from`, without its prefix of time and process.
fn last_words(folders: &Folders, from: u64) -> Option<String> {
    let mut log = File::open(&folders.log).ok()?;
    let end = log.metadata().ok()?.len();
    // A busy server may have written much; what it died of is at the end.
    log.seek(SeekFrom::Start(from.max(end.saturating_sub(16 * 1024)))).ok()?;
    let mut bytes = Vec::new();
    log.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let severe = ["PANIC:", "FATAL:", "ERROR:", "postgres:"];
    let complaint = |line: &str| severe.iter().find_map(|word| line.find(word).map(|at| line[at..].to_owned()));
    text.lines().rev().find_map(complaint)
}
