//! One alliance, two brands that keep their own ledgers, each a process that may be killed and started again.

use crate::support::book::{ALLIANCE, link, member};
use crate::support::{self, Scratch, TestDatabase, poll};
use crate::tls::client_config;
use arc_swap::ArcSwap;
use diesel::connection::SimpleConnection;
use hanse::book::{Bounds, Handle, audit, figures, seal};
use hanse::domain::holder::Holder;
use hanse::service::certificates;
use hanse::signing::pki::Authority;
use hanse::store;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const PATIENCE: Duration = Duration::from_secs(90);
/// Points of each member at its own brand.
pub const OPENING: i64 = 1_000_000;

/// Where everybody listens, kept over restarts.
struct Ports {
    api: [u16; 2],
    public: [u16; 2],
    sims: [u16; 2],
    controls: [u16; 2],
}

pub struct Stage {
    pub folder: Scratch,
    pub database: TestDatabase,
    ports: Ports,
    settings: Vec<String>,
    http: reqwest::blocking::Client,
    plain: reqwest::blocking::Client,
    servers: [Option<Child>; 2],
    sims: [Option<Child>; 2],
    /// What goes wrong at each ledger, also after it was started again.
    faults: Mutex<[String; 2]>,
}

/// The two brands; `AA` sends and `BB` takes.
pub const AA: usize = 0;
pub const BB: usize = 1;
const SLUGS: [&str; 2] = ["aa", "bb"];

impl Stage {
    /// `members` linked pairs `AA-1` and `BB-1`, …; `settings` are flags of the server.
    pub fn new(name: &str, members: usize, settings: &[&str]) -> Stage {
        let (folder, database) = (Scratch::new(name), support::database());
        let ports = free_ports();
        let mut conn = database.connection();
        conn.batch_execute(ALLIANCE).expect("the small alliance");
        for (at, slug) in SLUGS.iter().enumerate() {
            let endpoint = format!("https://127.0.0.1:{}", ports.sims[at]);
            let sql = format!("UPDATE partners SET hosted = false, endpoint = '{endpoint}' WHERE slug = '{slug}'");
            conn.batch_execute(&sql).expect("they keep their own ledgers");
        }
        let pki = folder.path().join("pki");
        let authority = Authority::init(&pki, "small.example", hanse::clock::now()).expect("an authority");
        for slug in SLUGS {
            let holder = Holder::of("partner", slug).expect("a holder");
            let issued = authority.issue(&holder, hanse::clock::now()).expect("issued");
            certificates::register(&mut conn, &issued.facts).expect("registered");
        }
        register(&database, members);
        let tls = client_config(&pki, Some(&pki.join("aa")));
        let builder = reqwest::blocking::Client::builder().tls_backend_preconfigured((*tls).clone()).no_proxy();
        let http = builder.timeout(Duration::from_secs(30)).build().expect("a client");
        let tls = client_config(&pki, None);
        let plain = reqwest::blocking::Client::builder().tls_backend_preconfigured((*tls).clone()).no_proxy();
        let plain = plain.build().expect("a client");
        let settings = settings.iter().map(|text| (*text).to_owned()).collect();
        let (servers, sims) = ([None, None], [None, None]);
        let faults = Mutex::default();
        let mut stage = Stage { folder, database, ports, settings, http, plain, servers, sims, faults };
        stage.start(0);
        for at in [AA, BB] {
            stage.start_sim(at, members);
        }
        stage
    }

    /// Starts one of the two servers and waits until it serves.
    pub fn start(&mut self, nth: usize) {
        let mut command = self.program();
        command.args(["serve", "--log-format", "json", "--outbound-allow", "127.0.0.0/8"]);
        command.args(["--api-listen", &format!("127.0.0.1:{}", self.ports.api[nth])]);
        command.args(["--public-listen", &format!("127.0.0.1:{}", self.ports.public[nth])]);
        command.arg("--data-dir").arg(self.folder.path()).args(&self.settings);
        command.env("DATABASE_URL", &self.database.url).env("RUST_LOG", "warn");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("hanse.log"));
        self.servers[nth] = Some(command.stderr(log.expect("a log")).spawn().expect("it starts"));
        let ready = format!("http://127.0.0.1:{}/readyz", self.ports.public[nth]);
        let plain = self.plain.clone();
        poll("ready", PATIENCE, || plain.get(&ready).send().ok().filter(|answer| answer.status().is_success()));
    }

    /// Starts a brand's ledger; its members are seeded once.
    pub fn start_sim(&mut self, at: usize, members: usize) {
        let pki = self.folder.path().join("pki");
        let mut command = self.program();
        let file = |name: &str| pki.join(name).display().to_string();
        command.args(["--json", "sim", "--partner", SLUGS[at], "--certificate", &file("server.crt")]);
        command.args(["--key", &file("server.key"), "--ca", &file("ca.crt"), "--log", "error"]);
        command.args(["--listen", &format!("127.0.0.1:{}", self.ports.sims[at])]);
        command.args(["--control", &format!("127.0.0.1:{}", self.ports.controls[at])]);
        command.args(["--jwks", &format!("http://127.0.0.1:{}/.well-known/jwks.json", self.ports.public[0])]);
        command.args(["--members", &members.to_string(), "--points", &OPENING.to_string()]);
        let faults = self.faults.lock().expect("no panic")[at].clone();
        command.args(["--faults", &faults]);
        command.arg("--data").arg(self.folder.path().join(SLUGS[at])).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut first = String::new();
        BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut first).expect("it says where it is");
        assert!(first.contains("endpoint"), "{first}");
        self.sims[at] = Some(child);
    }

    fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hanse"));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        support::without_settings(&mut command);
        command
    }

    pub fn kill(&mut self, nth: usize) {
        end(self.servers[nth].take());
    }

    pub fn kill_sim(&mut self, at: usize) {
        end(self.sims[at].take());
    }

    /// Asks for a conversion of `AA-n`, until it is answered; the key makes it one.
    pub fn convert(&self, key: &str, member: usize, points: i64) -> Value {
        self.convert_at(0, key, member, points)
    }

    pub fn convert_at(&self, server: usize, key: &str, member: usize, points: i64) -> Value {
        let body =
            json!({ "member_ref": format!("AA-{member}"), "to": "bb", "points": points, "external_reference": key });
        let url = format!("https://127.0.0.1:{}/v1/conversions", self.ports.api[server]);
        poll("an answer", PATIENCE, || {
            let request = self.http.post(&url).header("Idempotency-Key", key).json(&body);
            let answer = request.send().ok().filter(|answer| answer.status() != 503)?;
            let status = answer.status();
            let told: Value = answer.json().ok()?;
            assert_eq!(status, 202, "{told}");
            Some(told)
        })
    }

    pub fn get(&self, path: &str) -> Value {
        let url = format!("https://127.0.0.1:{}{path}", self.ports.api[0]);
        poll("an answer", PATIENCE, || self.http.get(&url).send().ok()?.json().ok())
    }

    pub fn post(&self, path: &str, key: &str) -> (u16, Value) {
        let url = format!("https://127.0.0.1:{}{path}", self.ports.api[0]);
        let sent = self.http.post(&url).header("Idempotency-Key", key).send().expect("an answer");
        (sent.status().as_u16(), sent.json().expect("JSON"))
    }

    pub fn control(&self, at: usize, method: reqwest::Method, path: &str, body: &str) -> Value {
        let url = format!("http://127.0.0.1:{}{path}", self.ports.controls[at]);
        poll("the control port", PATIENCE, || {
            let request = self.plain.request(method.clone(), &url).body(body.to_owned());
            request.send().ok()?.json().ok()
        })
    }

    pub fn faults(&self, at: usize, spec: &str) {
        let told = self.control(at, reqwest::Method::PUT, "/faults", spec);
        assert_eq!(told, json!({}), "{spec}");
        self.faults.lock().expect("no panic")[at] = spec.to_owned();
    }

    pub fn ledger(&self, at: usize) -> Value {
        self.control(at, reqwest::Method::GET, "/ledger", "")
    }

    /// Waits until nothing is on its way, and returns how many of each end there are.
    pub fn all_over(&self, patience: Duration) -> (i64, i64) {
        let mut conn = self.database.connection();
        poll("all crossings over", patience, || {
            let [open, done, released] = counts(&mut conn);
            if open > 0 {
                std::thread::park_timeout(Duration::from_millis(50));
            }
            (open == 0).then_some((done, released))
        })
    }

    /// Why conversions were released, and how often.
    pub fn causes(&self) -> Vec<(String, i64)> {
        use diesel::RunQueryDsl;
        #[derive(diesel::QueryableByName)]
        struct Cause {
            #[diesel(sql_type = diesel::sql_types::Text)]
            cause: String,
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            n: i64,
        }
        let sql =
            "SELECT coalesce(cause, '') AS cause, count(*) AS n FROM crossings WHERE state = 6 GROUP BY 1 ORDER BY 1";
        let found: Vec<Cause> = diesel::sql_query(sql).load(&mut self.database.connection()).expect("counted");
        found.into_iter().map(|cause| (cause.cause, cause.n)).collect()
    }

    pub fn audit(&self) {
        let mut conn = self.database.connection();
        seal::seal_now(&mut conn).expect("sealed");
        self.count(&mut conn);
        let findings = audit::run(&mut conn, |_| ()).expect("the audit runs");
        let broken: Vec<_> = findings.iter().filter(|finding| finding.violations > 0).collect();
        assert!(broken.is_empty(), "{broken:#?}");
    }

    /// Counts everything, beside servers that count: each end of a conversion is in the figures once.
    fn count(&self, conn: &mut diesel::PgConnection) {
        use diesel::RunQueryDsl;
        #[derive(diesel::QueryableByName)]
        struct Left {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            left: i64,
        }
        poll("everything counted", Duration::from_secs(30), || {
            figures::count(conn).expect("counted");
            let left = "SELECT count(*) AS left FROM batches WHERE NOT counted";
            let left: Left = diesel::sql_query(left).get_result(conn).expect("counted");
            (left.left == 0).then_some(())
        });
        let wrong = "SELECT abs((SELECT coalesce(sum(released), 0) FROM figure_pairs) - (SELECT count(*) FROM crossings WHERE kind = 0 AND state = 6))::bigint \
                     + abs((SELECT coalesce(sum(conversions), 0) FROM figure_waits) - (SELECT count(*) FROM conversions WHERE accepted_batch IS NOT NULL))::bigint AS left";
        let wrong: Left = diesel::sql_query(wrong).get_result(conn).expect("compared");
        assert_eq!(wrong.left, 0, "released and posted, as counted and as they are");
    }

    /// Both ledgers and ours agree to the point.
    pub fn agree(&self) {
        let ours = totals(&mut self.database.connection());
        for at in [AA, BB] {
            let ledger = self.ledger(at);
            assert_eq!(ledger["adds_up"], true, "{}", SLUGS[at]);
            let of = |name: &str| ledger["totals"][name].as_i64().expect("points");
            let theirs = [of("captured"), of("credited"), of("given_back"), of("held")];
            let expected = if at == AA {
                [ours.debited, 0, ours.debits_back, 0]
            } else {
                [ours.credits_back, ours.credited, 0, 0]
            };
            assert_eq!(theirs, expected, "{}: captured, credited, given back, held", SLUGS[at]);
        }
    }

    /// A client of the partner API with this brand's certificate.
    pub fn client(&self, slug: &str) -> reqwest::blocking::Client {
        let pki = self.folder.path().join("pki");
        let tls = client_config(&pki, Some(&pki.join(slug)));
        let builder = reqwest::blocking::Client::builder().tls_backend_preconfigured((*tls).clone()).no_proxy();
        builder.timeout(Duration::from_secs(30)).build().expect("a client")
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.ports.api[0])
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.servers.iter_mut().chain(&mut self.sims).map(Option::take).for_each(end);
    }
}

/// Without warning; one that ended by itself has ended.
fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Ports that were free a moment ago; each is asked for by one test alone.
fn free_ports() -> Ports {
    let held: Vec<TcpListener> = (0..8).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let port = |at: usize| held[at].local_addr().expect("bound").port();
    Ports {
        api: [port(0), port(6)],
        public: [port(1), port(7)],
        sims: [port(2), port(3)],
        controls: [port(4), port(5)],
    }
}

fn register(database: &TestDatabase, members: usize) {
    let catalogue = store::catalogue::load(&mut database.connection()).expect("the catalogue");
    let book =
        Handle::start(&database.url, Arc::new(ArcSwap::from_pointee(catalogue)), Bounds::default()).expect("lanes");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let local = tokio::task::LocalSet::new();
        for i in 1..=members {
            let book = book.clone();
            local.spawn_local(async move {
                let a = member(&book, "aa", &format!("AA-{i}")).await;
                let b = member(&book, "bb", &format!("BB-{i}")).await;
                link(&book, a, b).await;
            });
        }
        local.await;
    });
    book.close();
}

#[derive(diesel::QueryableByName)]
struct Counted {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    open: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    done: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    released: i64,
}

fn counts(conn: &mut diesel::PgConnection) -> [i64; 3] {
    use diesel::RunQueryDsl;
    let sql = "SELECT count(*) FILTER (WHERE state NOT IN (3, 6)) AS open, count(*) FILTER (WHERE state = 3) AS done, \
               count(*) FILTER (WHERE state = 6) AS released FROM crossings";
    let counted: Counted = diesel::sql_query(sql).get_result(conn).expect("counted");
    [counted.open, counted.done, counted.released]
}

/// What our own rows say has moved.
#[derive(diesel::QueryableByName)]
struct Totals {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    debited: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    credited: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    debits_back: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    credits_back: i64,
}

fn totals(conn: &mut diesel::PgConnection) -> Totals {
    use diesel::RunQueryDsl;
    let sql = "SELECT coalesce(sum(debit), 0)::bigint AS debited, \
               coalesce(sum(credit + (SELECT coalesce(sum(b), 0) FROM unnest(bonuses) b)), 0)::bigint AS credited, \
               coalesce(sum(reversed_debit), 0)::bigint AS debits_back, \
               coalesce(sum(reversed_credit + reversed_bonus), 0)::bigint AS credits_back FROM conversions";
    diesel::sql_query(sql).get_result(conn).expect("summed")
}
