//! A private PostgreSQL: one cluster under a data folder, for the demo and the tests.
//!
//! It is reached by a Unix socket alone, in a folder only its user may enter. Starting takes a folder in any state:
//! new, in order, left by a killed starter, or with that starter's server still running. While it runs it is
//! supervised; when we stop, or are killed, it stops too and the socket folder goes away.
//!
//! `binaries` finds the programs · `owner` who runs them · `cluster` folders and leftovers · `lock` one starter a
//! folder · `guard` cleans up after a killed starter · `supervisor` keeps the server running.

mod binaries;
mod cluster;
mod guard;
mod lock;
mod owner;
mod process;
mod supervisor;

pub use supervisor::State;

use cluster::Folders;
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use guard::Guard;
use owner::Owner;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;
use supervisor::{Launch, Supervisor};

/// The database role that owns everything in the cluster.
const SUPERUSER: &str = "hanse";
const PORT: &str = "5432";
const SHARED_BUFFERS_MAX_MB: u64 = 2048;
const SHARED_BUFFERS_MIN_MB: u64 = 64;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}", no_binaries(wanted, seen))]
    NoBinaries { wanted: Option<u32>, seen: Vec<String> },
    #[error("PostgreSQL does not run as root, and this machine has neither a postgres nor a nobody account")]
    NoUser,
    #[error("{}: {cause}", path.display())]
    Folder { path: PathBuf, cause: std::io::Error },
    #[error("{} exists but does not belong to {who}, who would run PostgreSQL on it: start as its owner, or choose another data folder", path.display())]
    NotOurs { path: PathBuf, who: String },
    #[error("{who}, who would run PostgreSQL, cannot enter {} or a folder in its place", path.display())]
    NotEnterable { path: PathBuf, who: String },
    #[error("{} exists and is not a PostgreSQL data folder: move it away, or choose another data folder", .0.display())]
    NotACluster(PathBuf),
    #[error("{}", held(path, pid))]
    Held { path: PathBuf, pid: Option<u32> },
    #[error("process {pid} works in {} and does not stop: end it and start again", cluster.display())]
    Occupied { cluster: PathBuf, pid: u32 },
    #[error("initdb failed: {0}")]
    Initialise(String),
    #[error("PostgreSQL did not start: {0}")]
    Start(String),
    #[error("PostgreSQL, process {0}, did not stop")]
    Stop(u32),
    #[error("{0:?} is no database name: 1 to 63 of a-z, 0-9 and _, the first a letter")]
    Name(String),
    #[error("database {name:?} could not be created: {reason}")]
    Create { name: String, reason: String },
}

/// Where the cluster lives and how it is set.
#[derive(Clone, Debug)]
pub struct Options {
    pub data_dir: PathBuf,
    /// `None`: a quarter of this machine's memory, at most 2 GB.
    pub shared_buffers_mb: Option<u64>,
    /// Settings beside or above our own.
    pub settings: Vec<(String, String)>,
    pub start_timeout: Duration,
}

impl Options {
    pub fn new(data_dir: impl Into<PathBuf>) -> Options {
        let start_timeout = Duration::from_secs(300);
        Options { data_dir: data_dir.into(), shared_buffers_mb: None, settings: Vec::new(), start_timeout }
    }
}

/// A running, supervised cluster. Dropping it stops the server.
pub struct EmbeddedPg {
    folders: Folders,
    sockets: PathBuf,
    supervisor: Supervisor,
    guard: Guard,
    lock: File,
    stopped: bool,
}

impl EmbeddedPg {
    /// Starts the server and returns when it takes connections.
    pub fn start(options: &Options) -> Result<EmbeddedPg, Error> {
        let owner = Owner::choose()?;
        let folders = Folders::make(&options.data_dir, &owner)?;
        let lock = lock::acquire(&folders.home.join("lock"))?;
        let binaries = cluster::open(&folders, &owner)?;
        cluster::evict(&folders, &owner, &binaries)?;
        let sockets = cluster::make_sockets(&owner, &folders.fingerprint())?;
        let pg_ctl = binaries.program("pg_ctl");
        let guard = Guard::post(&owner, &pg_ctl, &folders.cluster, &sockets, &lock);
        let mut guard = guard.map_err(|cause| Error::Folder { path: "/bin/sh".into(), cause })?;
        let settings = settings(options, &sockets, binaries.wal_compression());
        let patience = options.start_timeout;
        match Supervisor::start(Launch { owner, binaries, folders: folders.clone(), settings, patience }) {
            Ok(supervisor) => Ok(EmbeddedPg { folders, sockets, supervisor, guard, lock, stopped: false }),
            Err(reason) => {
                guard.dismiss();
                remove_sockets(&sockets);
                Err(Error::Start(reason))
            }
        }
    }

    /// Whether a cluster was ever started in this folder.
    pub fn exists(data_dir: &Path) -> bool {
        cluster::exists(data_dir)
    }

    /// A libpq URL for a database of the cluster in `data_dir` that another process runs; `None` when nobody does.
    pub fn running_url(data_dir: &Path, database: &str) -> Result<Option<String>, Error> {
        let folders = Folders::make(data_dir, &Owner::choose()?)?;
        Ok(cluster::running_sockets(&folders.cluster).map(|sockets| url(&sockets, database)))
    }

    /// A libpq URL for a database of this cluster. It names host, port and user, so that nothing in the
    /// environment can lead elsewhere; there is no password.
    pub fn url(&self, database: &str) -> String {
        url(&self.sockets, database)
    }

    /// The server's process id, `None` while it is down.
    pub fn pid(&self) -> Option<u32> {
        match self.state() {
            State::Starting { pid } | State::Ready { pid } => Some(pid),
            State::Restarting { .. } | State::Stopped { .. } => None,
        }
    }

    pub fn state(&self) -> State {
        self.supervisor.state()
    }

    /// Waits until the server takes connections again, at most `patience`; false when it does not.
    pub fn wait_ready(&self, patience: Duration) -> bool {
        let ready = |state: &State| matches!(state, State::Ready { .. });
        ready(&self.supervisor.wait(patience, ready))
    }

    /// Where the cluster and its log are: the data folder asked for, or the one used in its place.
    pub fn data_folder(&self) -> &Path {
        &self.folders.data
    }

    pub fn socket_folder(&self) -> &Path {
        &self.sockets
    }

    /// Creates a database, or finds it there.
    pub fn create_database(&self, name: &str) -> Result<(), Error> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let first = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if !first || name.len() > 63 || !name.bytes().all(plain) {
            return Err(Error::Name(name.to_owned()));
        }
        let failed = |reason: String| Error::Create { name: name.to_owned(), reason };
        let mut conn = PgConnection::establish(&self.url("postgres")).map_err(|cause| failed(cause.to_string()))?;
        match conn.batch_execute(&format!("CREATE DATABASE \"{name}\"")) {
            Ok(()) => Ok(()),
            // There is no IF NOT EXISTS for databases, and looking first would race.
            Err(cause) if cause.to_string().ends_with("already exists") => Ok(()),
            Err(cause) => Err(failed(cause.to_string())),
        }
    }

    /// Stops the server in order. Dropping does the same, but can only log a failure.
    pub fn stop(mut self) -> Result<(), Error> {
        self.stop_once()
    }

    fn stop_once(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.stopped, true) {
            return Ok(());
        }
        let outcome = self.supervisor.stop();
        self.guard.dismiss();
        remove_sockets(&self.sockets);
        if let Err(cause) = self.lock.unlock() {
            tracing::warn!(%cause, "the data folder's lock could not be given back; it ends with this process");
        }
        outcome.map_err(Error::Stop)
    }
}

impl Drop for EmbeddedPg {
    fn drop(&mut self) {
        if let Err(cause) = self.stop_once() {
            tracing::error!(%cause, "the private PostgreSQL was not stopped in order");
        }
    }
}

/// PostgreSQL's defaults are for a small machine of long ago; with them the book does less than half.
fn settings(options: &Options, sockets: &Path, wal_compression: &str) -> Vec<(String, String)> {
    let buffers = options.shared_buffers_mb.unwrap_or_else(|| {
        let quarter = memory_mb().unwrap_or(512) / 4;
        quarter.clamp(SHARED_BUFFERS_MIN_MB, SHARED_BUFFERS_MAX_MB)
    });
    let own = [
        ("listen_addresses", ""),
        ("unix_socket_directories", &*sockets.to_string_lossy()),
        ("unix_socket_permissions", "0700"),
        ("port", PORT),
        ("cluster_name", "hanse"),
        ("max_connections", "100"),
        ("shared_buffers", &format!("{buffers}MB")),
        // Segments that are used again need not be filled with zeros first.
        ("min_wal_size", "2GB"),
        ("max_wal_size", "8GB"),
        ("checkpoint_timeout", "15min"),
        ("wal_compression", wal_compression),
        // A full batch holds an advisory lock per account and key.
        ("max_locks_per_transaction", "256"),
        // Every statement here is short: compiling one costs more than running it.
        ("jit", "off"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("log_line_prefix", "%m [%p] %q%u@%d "),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    // Later settings win.
    own.chain(options.settings.iter().cloned()).collect()
}

/// The memory this process may use: the machine's, or its container's if that is less.
fn memory_mb() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = machine.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let machine_mb = total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? / 1024;
    let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let container_mb = container.and_then(|text| text.trim().parse::<u64>().ok()).map(|bytes| bytes / (1024 * 1024));
    Some(container_mb.map_or(machine_mb, |limit| limit.min(machine_mb)))
}

/// Where a program of the server's package is, whether or not it was installed with it.
pub fn program(name: &str) -> Result<PathBuf, Error> {
    Ok(binaries::Binaries::find(None)?.program(name))
}

fn url(sockets: &Path, database: &str) -> String {
    format!("postgresql://{SUPERUSER}@/{database}?host={}&port={PORT}", sockets.display())
}

fn remove_sockets(sockets: &Path) {
    match std::fs::remove_dir_all(sockets) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%cause, "the socket folder {} could not be removed", sockets.display());
        }
        Ok(()) | Err(_) => {}
    }
}

fn no_binaries(wanted: &Option<u32>, seen: &[String]) -> String {
    let wanted = match wanted {
        Some(major) => format!("PostgreSQL {major}, which made this data folder,"),
        None => format!("PostgreSQL {} or later", binaries::MAJOR_MIN),
    };
    let seen = if seen.is_empty() { String::new() } else { format!("; found only {}", seen.join(", ")) };
    format!("{wanted} is not on this machine (on Debian: apt-get install postgresql){seen}")
}

fn held(path: &Path, pid: &Option<u32>) -> String {
    match pid {
        Some(pid) if *pid == std::process::id() => {
            format!("{} is held by this very process: the data folder is open already", path.display())
        }
        Some(pid) => {
            let cure = "stop that process, or choose another data folder";
            format!("{} is held by process {pid}, which runs this data folder's database: {cure}", path.display())
        }
        None => format!("{} is held by another process: stop it, or choose another data folder", path.display()),
    }
}
