//! The program itself, serving over mutual TLS, with clients that keep a list of what they were answered.

use crate::support::book::{ALLIANCE, pair};
use crate::support::{Scratch, options, poll};
use crate::tls::{Answer, Client, Connection, client_config};
use arc_swap::ArcSwap;
use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Integer};
use diesel::{Connection as _, PgConnection, QueryableByName, RunQueryDsl, sql_query};
use hanse::book::{Bounds, Handle, audit};
use hanse::domain::holder::Holder;
use hanse::embedded_pg::EmbeddedPg;
use hanse::service::certificates;
use hanse::signing::pki::Authority;
use hanse::store;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// The small alliance with its certificates and members, ready to be served.
pub struct Stage {
    pub folder: Scratch,
    /// `None`: the server brings its own.
    database_url: Option<String>,
}

/// A running server. Dropping it kills it.
pub struct Served {
    child: Child,
    pub api: SocketAddr,
    pub public: SocketAddr,
    /// What it said until it served.
    pub told: Vec<String>,
    lines: Receiver<String>,
}

impl Stage {
    /// With a private cluster that the server starts and stops.
    pub fn private(name: &str, members: usize) -> Stage {
        let folder = Scratch::new(name);
        let cluster = EmbeddedPg::start(&options(folder.path().join("postgres"))).expect("the cluster starts");
        cluster.create_database("hanse").expect("created");
        let url = cluster.url("hanse");
        store::migrate(&url).expect("migrated");
        PgConnection::establish(&url).expect("connected").batch_execute(ALLIANCE).expect("the small alliance");
        prepare(folder.path(), &url, members);
        cluster.stop().expect("stopped");
        Stage { folder, database_url: None }
    }

    /// On a database that the test has filled with the small alliance.
    pub fn on(name: &str, url: &str, members: usize) -> Stage {
        let folder = Scratch::new(name);
        prepare(folder.path(), url, members);
        Stage { folder, database_url: Some(url.to_owned()) }
    }

    /// Starts a server and waits until it serves.
    pub fn serve(&self) -> Served {
        self.serve_with(&[])
    }

    /// The same with more flags.
    pub fn serve_with(&self, flags: &[&str]) -> Served {
        self.serve_in(flags, &[])
    }

    /// The same with more of an environment.
    pub fn serve_in(&self, flags: &[&str], variables: &[(&str, &str)]) -> Served {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hanse"));
        command.args([
            "serve",
            "--api-listen",
            "127.0.0.1:0",
            "--public-listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
        ]);
        command.arg("--data-dir").arg(self.folder.path()).current_dir(self.folder.path());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HANSE_")) {
            command.env_remove(name);
        }
        command.env_remove("DATABASE_URL").env("RUST_LOG", "info");
        command.args(flags).envs(variables.iter().copied());
        if let Some(url) = &self.database_url {
            command.env("DATABASE_URL", url);
        }
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // Read to the end, so that the server never waits for its log.
            stderr.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
        let mut told = Vec::new();
        let serving = poll("serving", PATIENCE, || {
            assert!(matches!(child.try_wait(), Ok(None)), "it ended: {told:#?}");
            let line = lines.try_recv().ok()?;
            let found =
                serde_json::from_str::<serde_json::Value>(&line).ok().filter(|line| line["message"] == "serving");
            told.push(line);
            found
        });
        let address = |name: &str| {
            let url = serving[name].as_str().expect("an address");
            url.rsplit('/').next().and_then(|address| address.parse().ok()).expect("an address")
        };
        Served { api: address("api"), public: address("public"), child, told, lines }
    }

    /// The database of the server that runs now.
    pub fn database_url(&self) -> Option<String> {
        let private = || EmbeddedPg::running_url(&self.folder.path().join("postgres"), "hanse").expect("readable");
        self.database_url.clone().or_else(private)
    }

    pub fn connection(&self) -> PgConnection {
        poll("a connection", PATIENCE, || PgConnection::establish(&self.database_url()?).ok())
    }

    /// A client that holds this partner's certificate.
    pub fn client(&self, served: &Served, partner: &str) -> Client {
        let pki = self.folder.path().join("pki");
        Client { address: served.api, config: client_config(&pki, Some(&pki.join(partner))) }
    }

    /// Every invariant holds.
    pub fn audit(&self) {
        let findings = audit::run(&mut self.connection(), |_| ()).expect("the audit runs");
        let broken: Vec<_> = findings.iter().filter(|finding| finding.violations > 0).collect();
        assert!(broken.is_empty(), "{broken:#?}");
    }

    /// So many conversions, each of another reference.
    pub fn assert_one_effect_each(&self, expected: usize) {
        #[derive(QueryableByName, PartialEq, Debug)]
        struct Effects {
            #[diesel(sql_type = BigInt)]
            conversions: i64,
            #[diesel(sql_type = BigInt)]
            references: i64,
        }
        let expected = i64::try_from(expected).expect("few");
        let sql = "SELECT count(*) AS conversions, count(DISTINCT reference) AS references FROM conversions";
        let found: Effects = sql_query(sql).get_result(&mut self.connection()).expect("counted");
        assert_eq!(found, Effects { conversions: expected, references: expected });
    }

    /// The folder of the running private PostgreSQL's socket.
    pub fn sockets(&self) -> PathBuf {
        let url = self.database_url().expect("running");
        let folder = url.split("host=").nth(1).and_then(|rest| rest.split('&').next()).expect("a socket folder");
        PathBuf::from(folder)
    }

    /// The process id of the running private PostgreSQL's postmaster.
    pub fn postmaster(&self) -> u32 {
        #[derive(QueryableByName)]
        struct Pid {
            #[diesel(sql_type = Integer)]
            pid: i32,
        }
        let sql = "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int AS pid";
        let found: Pid = sql_query(sql).get_result(&mut self.connection()).expect("told");
        u32::try_from(found.pid).expect("a process id")
    }
}

/// Certificates of both brands, and members `m0`, `m1`, … at both, linked, with a million points each at `aa`.
fn prepare(folder: &Path, url: &str, members: usize) {
    let authority = Authority::init(&folder.join("pki"), "small.example", hanse::clock::now()).expect("an authority");
    let mut conn = PgConnection::establish(url).expect("connected");
    for partner in ["aa", "bb"] {
        let holder = Holder::of("partner", partner).expect("a holder");
        let issued = authority.issue(&holder, hanse::clock::now()).expect("issued");
        certificates::register(&mut conn, &issued.facts).expect("registered");
    }
    let catalogue = store::catalogue::load(&mut conn).expect("the catalogue");
    let book = Handle::start(url, Arc::new(ArcSwap::from_pointee(catalogue)), Bounds::default()).expect("lanes");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let local = tokio::task::LocalSet::new();
        for i in 0..members {
            let book = book.clone();
            local.spawn_local(async move { pair(&book, &format!("m{i}"), 1_000_000).await });
        }
        local.await;
    });
    book.close();
}

impl Served {
    pub fn kill(mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("killed and collected");
    }

    /// Asks it to stop, and returns its exit code and what it said.
    pub fn terminate(mut self) -> (Option<i32>, Vec<String>) {
        signal("TERM", self.child.id());
        let ended = poll("stopped", PATIENCE, || self.child.try_wait().expect("asked"));
        (ended.code(), self.lines.iter().collect())
    }

    /// What the plain listener answers, head and body.
    pub fn plain(&self, path: &str) -> String {
        use std::io::{Read, Write};
        let mut conn = std::net::TcpStream::connect(self.public).expect("connected");
        let asked = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        conn.write_all(asked.as_bytes()).expect("asked");
        let mut text = String::new();
        conn.read_to_string(&mut text).expect("answered");
        text
    }

    /// The sum of a counter's values, 0 when it was never counted.
    pub fn counter(&self, name: &str) -> u64 {
        let text = self.plain("/metrics");
        let value = |line: &str| line.strip_prefix(name)?.rsplit(' ').next()?.parse::<u64>().ok();
        text.lines().filter_map(value).sum()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Best effort, and no more than that when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(name: &str, pid: u32) {
    let _ = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).stderr(Stdio::null()).status();
}

/// The processes whose parent this is.
pub fn children(parent: u32) -> Vec<u32> {
    let stat = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    };
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| stat(*pid) == Some(parent)).collect()
}

pub fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Asks for one conversion of 2 points of member `m{member}` under a key, which is its reference too.
pub fn convert(conn: &mut Connection, key: &str, member: usize) -> io::Result<Answer> {
    let body = format!(r#"{{"member_ref":"m{member}","to":"bb","points":2,"external_reference":"{key}"}}"#);
    let head = "POST /v1/conversions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    conn.raw(format!("{head}idempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes())
}

/// What a load was told: the first 201 of each key, and the keys that were never answered so.
#[derive(Default)]
pub struct Told {
    /// Key to member and body.
    pub done: BTreeMap<String, (usize, Vec<u8>)>,
    /// Key to member.
    pub open: BTreeMap<String, usize>,
    pub unavailable: usize,
    pub cut: usize,
}

/// Clients that convert one after the other until they are told to stop, whatever happens to the server.
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    told: Arc<Mutex<Told>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    /// `name` begins every key; client `i` spends the points of member `m{i}`, a few clients share one.
    pub fn start(name: &'static str, clients: &[Client], members: usize) -> Load {
        let (stop, done, told) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default(), Arc::default());
        let spawn = |(i, client): (usize, &Client)| {
            let client = Client { address: client.address, config: Arc::clone(&client.config) };
            let (stop, done, told) = (Arc::clone(&stop), Arc::clone(&done), Arc::clone(&told));
            std::thread::spawn(move || {
                let mut conn = None;
                for n in 0_usize.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    one(&client, &mut conn, &format!("{name}-{i}-{n}"), i % members, &told, &done);
                }
            })
        };
        let threads = clients.iter().enumerate().map(spawn).collect();
        Load { stop, done, told, threads }
    }

    /// Waits until so many more are answered 201.
    pub fn wait_for(&self, more: usize) {
        let wanted = self.done.load(Ordering::Relaxed) + more;
        poll("conversions under load", PATIENCE, || (self.done.load(Ordering::Relaxed) >= wanted).then_some(()));
    }

    /// How many have been told 503 so far.
    pub fn unavailable(&self) -> usize {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).unavailable
    }

    pub fn end(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a client's own check failed");
        }
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One request of a load; its key is done, or open.
fn one(
    client: &Client,
    conn: &mut Option<Connection>,
    key: &str,
    member: usize,
    told: &Mutex<Told>,
    done: &AtomicUsize,
) {
    let line = match conn.take() {
        Some(line) => Ok(line),
        None => client.connect(),
    };
    let (kept, answer) = match line.map(|mut line| (convert(&mut line, key, member), line)) {
        Ok((Ok(answer), line)) => (Some(line), Some(answer)),
        Ok((Err(_), _)) | Err(_) => (None, None),
    };
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    match answer {
        Some(answer) if answer.status == 201 => {
            told.done.insert(key.to_owned(), (member, answer.body));
            done.fetch_add(1, Ordering::Relaxed);
            *conn = kept;
            return;
        }
        Some(answer) if answer.status == 503 => {
            assert!(answer.header("retry-after").is_some(), "{}", answer.head);
            *conn = kept;
            told.unavailable += 1;
        }
        Some(answer) => panic!("{key}: {} {}", answer.head, String::from_utf8_lossy(&answer.body)),
        None => told.cut += 1,
    }
    told.open.insert(key.to_owned(), member);
    drop(told);
    // Whoever is not served waits a moment, as a caller would.
    std::thread::park_timeout(Duration::from_millis(20));
}

/// Asks again for every key: answered ones must have the same bytes, open ones get their answer now.
pub fn ask_again(client: &Client, told: &Told) {
    let mut conn = client.connect().expect("connected");
    for (key, (member, first)) in &told.done {
        let again = convert(&mut conn, key, *member).expect("answered");
        assert_eq!((again.status, &again.body), (201, first), "{key}: {}", String::from_utf8_lossy(&again.body));
        assert_eq!(again.header("idempotency-replayed"), Some("true"), "{key}");
    }
    for (key, member) in &told.open {
        let answer = poll("the open ones are answered", PATIENCE, || {
            Some(convert(&mut conn, key, *member).expect("answered")).filter(|answer| answer.status != 503)
        });
        assert_eq!(answer.status, 201, "{key}: {}", String::from_utf8_lossy(&answer.body));
    }
}
