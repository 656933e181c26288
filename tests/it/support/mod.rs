//! What integration tests stand on: one private PostgreSQL for the whole run, and for each test that wants one a
//! fresh database with every migration, copied from a template.

pub mod book;
pub mod receiver;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, QueryDsl, RunQueryDsl};
use diesel_migrations::MigrationHarness;
use hanse::embedded_pg::{EmbeddedPg, Error, Options};
use hanse::store;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

const TEMPLATE: &str = "template_hanse";

/// The run's cluster. Nobody drops a static: the cluster's own guard stops it when this process ends, in whatever
/// way it ends.
pub fn cluster() -> &'static EmbeddedPg {
    static CLUSTER: OnceLock<EmbeddedPg> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let cluster = first_free();
        sweep(&cluster);
        cluster.create_database(TEMPLATE).expect("the template is created");
        store::migrate(&cluster.url(TEMPLATE)).expect("the template is migrated");
        cluster
    })
}

/// Starts the first cluster nobody else holds: a second run at the same time takes the second.
fn first_free() -> EmbeddedPg {
    for number in 0..16 {
        match EmbeddedPg::start(&options(scratch(&format!("it-{number}")))) {
            Ok(cluster) => return cluster,
            Err(Error::Held { .. }) => {}
            Err(cause) => panic!("the test cluster does not start: {cause}"),
        }
    }
    panic!("16 test runs hold all the test clusters");
}

/// Drops what earlier runs, killed ones too, have left in a cluster.
fn sweep(cluster: &EmbeddedPg) {
    diesel::table! { pg_database (datname) { datname -> Text, } }
    let mut conn = PgConnection::establish(&cluster.url("postgres")).expect("the cluster takes connections");
    let names: Vec<String> = pg_database::table.select(pg_database::datname).load(&mut conn).expect("databases");
    for name in names.iter().filter(|name| name.starts_with("t_") || *name == TEMPLATE) {
        conn.batch_execute(&format!("DROP DATABASE \"{name}\" WITH (FORCE)")).expect("an old database is dropped");
    }
}

/// A private cluster's options, small enough that several run beside each other.
pub fn options(data_dir: PathBuf) -> Options {
    let settings = vec![("max_connections".to_owned(), "400".to_owned())];
    Options { shared_buffers_mb: Some(128), settings, ..Options::new(data_dir) }
}

/// True when the long tests are wanted too: kill rounds, volumes.
pub fn is_long() -> bool {
    std::env::var_os("HANSE_LONG").is_some()
}

/// A place for a test's files, inside the target folder.
pub fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// A folder of one test, empty at its start and removed at its end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let folder = scratch(&format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a scratch folder");
        Scratch(folder)
    }

    /// One that the database server's user can enter too, wherever root keeps the checkout.
    pub fn enterable(name: &str) -> Scratch {
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        if !is_root {
            return Scratch::new(name);
        }
        let folder = std::env::temp_dir().join(format!("hanse-test-{name}-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("a scratch folder");
        Scratch(folder)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Best effort: the test has said what it had to say. In a checkout under root's home the cluster is outside.
        if let Ok(elsewhere) = std::fs::read_to_string(self.0.join("elsewhere")) {
            let _ = std::fs::remove_dir_all(elsewhere);
        }
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A database of one test, dropped with it, when the test panics too.
pub struct TestDatabase {
    name: String,
    pub url: String,
}

/// A fresh database with every migration.
pub fn database() -> TestDatabase {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    // CREATE DATABASE refuses a template that somebody else is copying.
    static COPYING: Mutex<()> = Mutex::new(());
    let cluster = cluster();
    let name = format!("t_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let copying = COPYING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut conn = PgConnection::establish(&cluster.url("postgres")).expect("the cluster takes connections");
    conn.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}")).expect("the template is copied");
    drop(copying);
    TestDatabase { url: cluster.url(&name), name }
}

/// Takes every migration back.
pub fn revert(conn: &mut PgConnection) {
    conn.revert_all_migrations(store::MIGRATIONS).expect("every down.sql works");
}

impl TestDatabase {
    pub fn connection(&self) -> PgConnection {
        PgConnection::establish(&self.url).expect("the test's database takes connections")
    }
}

/// Faults.
impl TestDatabase {
    /// Ends every connection and lets nobody in.
    pub fn cut(&self) {
        let name = &self.name;
        let mut conn = PgConnection::establish(&cluster().url("postgres")).expect("the cluster takes connections");
        // Committed before the second, or one that is ended may come back in between.
        conn.batch_execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).expect("closed");
        let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        conn.batch_execute(&cut).expect("cut");
    }

    pub fn mend(&self) {
        let mut conn = PgConnection::establish(&cluster().url("postgres")).expect("the cluster takes connections");
        conn.batch_execute(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name)).expect("mended");
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // Best effort: the next run sweeps what is left.
        if let Ok(mut conn) = PgConnection::establish(&cluster().url("postgres")) {
            let _ = conn.batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        }
    }
}

/// Takes this environment's own settings away from a program that is to have none.
pub fn without_settings(command: &mut Command) {
    let ours = std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("HANSE_"));
    for name in ours.chain(["RUST_LOG".into(), "DATABASE_URL".into()]) {
        command.env_remove(name);
    }
}

/// Asks again until `question` has an answer; panics, saying what was awaited, after `patience`.
pub fn poll<T>(awaited: &str, patience: Duration, mut question: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + patience;
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(Instant::now() < give_up, "{awaited}: not within {patience:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
