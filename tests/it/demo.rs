//! `hanse demo` as it is typed: the acceptance story holds, what runs for people can be called and stopped, and the partners
//! that keep their own ledgers live and end with it.

use crate::support::{self, Scratch, poll};
use crate::web::Browser;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// Building the cluster, publishing an alliance and starting a server, on a machine that is busy with other tests; and two
/// months of a few people, where they are asked for.
const PATIENCE: Duration = Duration::from_secs(600);

/// The program on ports and folders of its own, with nothing of this environment's settings.
fn hanse_demo(home: &Path, arguments: &[&str]) -> Command {
    hanse_demo_at(home, arguments, "127.0.0.1:0")
}

fn hanse_demo_at(home: &Path, arguments: &[&str], api: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hanse"));
    command.arg("demo").args(arguments).arg("--data-dir").arg(home);
    command.args(["--api-listen", api, "--public-listen", "127.0.0.1:0", "--log", "warn"]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    support::without_settings(&mut command);
    command
}

/// A demo that runs; stopped with it.
pub struct Demo {
    child: Child,
    lines: Receiver<String>,
    home: Arc<Scratch>,
    pub api: String,
    pub public: String,
}

impl Demo {
    pub fn start(name: &str, arguments: &[&str]) -> Demo {
        Demo::start_in(&Arc::new(Scratch::new(name)), arguments)
    }

    fn start_in(home: &Arc<Scratch>, arguments: &[&str]) -> Demo {
        let home = Arc::clone(home);
        let mut child = hanse_demo(home.path(), arguments).stdout(Stdio::piped()).spawn().expect("it starts");
        let (told, lines) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // Nobody listens any more once the test is over.
                let _ = told.send(line);
            }
        });
        let mut demo = Demo { child, lines, home, api: String::new(), public: String::new() };
        while demo.public.is_empty() {
            let line = demo.lines.recv_timeout(PATIENCE).expect("the demo says where it is");
            let word = |start: &str| line.split_whitespace().find(|word| word.starts_with(start)).map(str::to_owned);
            if line.contains("partner API") {
                demo.api = word("https://").expect("an address");
            } else if line.contains("health") {
                demo.public = word("http://").expect("an address");
            }
        }
        demo
    }

    pub fn pki(&self) -> PathBuf {
        self.home.path().join("demo/pki")
    }

    /// The processes of the partners that keep their own ledgers here: which, and where each listens.
    fn partners(&self) -> Vec<(u32, String)> {
        let ledgers = self.home.path().join("demo/sim").display().to_string();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").expect("processes").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // One that has ended meanwhile has none.
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<_> = command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            if words.iter().any(|word| word == "sim") && words.iter().any(|word| word.starts_with(&ledgers)) {
                let listen = words.iter().skip_while(|word| *word != "--listen").nth(1);
                found.push((pid, listen.map(|word| word.to_string()).unwrap_or_default()));
            }
        }
        found
    }

    /// Asks it to stop, as Ctrl-C and a service's keeper do.
    pub fn stop(mut self) -> ExitStatus {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill runs");
        assert!(asked.success());
        poll("the demo ends", Duration::from_secs(60), || self.child.try_wait().expect("it can be waited for"))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // The private cluster's guard stops the database of a demo that was killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_story_holds_and_every_quote_is_the_tables_twice_on_one_database() {
    let home = Scratch::new("check");
    // Somebody has the port already, such as the demo in the other terminal.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    for api in ["127.0.0.1:0", &address] {
        let played = hanse_demo_at(home.path(), &["--check"], api).output().expect("it runs");
        let text = String::from_utf8_lossy(&played.stdout).into_owned();
        let told = String::from_utf8_lossy(&played.stderr).into_owned();
        assert_eq!(played.status.code(), Some(0), "{text}\n{told}");
        assert!(text.contains("steps came out as expected."), "{text}");
        assert!(text.contains("117 of 117 quotes are the table's."), "{text}");
        assert!(!text.contains('✗'), "{text}");
        the_files_hold(&home.path().join("demo/settlement"));
    }
}

/// What a play has left verifies by itself, is of one window, and proves lines of every partner that has any.
fn the_files_hold(folder: &Path) {
    let slugs = ["harvest", "lumen", "nest", "operator", "sprout"];
    let verify = |given: &[PathBuf]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hanse"));
        support::without_settings(command.args(["--json", "verify"]).args(given));
        let output = command.output().expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), &*told), (Some(0), ""), "{given:?}");
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    let inside = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    // As a shell writes out `settlement/*`, its folder of reports among them; and the folder itself.
    let all = inside(folder);
    assert!(all.contains(&folder.join("reports")), "{all:?}");
    verify(&all);
    let report = verify(&[folder.to_owned()]);
    let kinds =
        |kind: &str| report["files"].as_array().into_iter().flatten().filter(|file| file["kind"] == kind).count();
    assert_eq!(kinds("unknown"), 0, "{report:#}");
    assert_eq!(kinds("jwks"), 1, "{report:#}");
    for slug in slugs {
        assert!(folder.join(format!("{slug}-statement.json")).is_file(), "{slug}");
        let proofs = std::fs::read(folder.join(format!("{slug}-proofs.json"))).expect("proofs");
        let proofs: Value = serde_json::from_slice(&proofs).expect("JSON");
        assert!(proofs["lines"].as_array().is_some_and(|lines| !lines.is_empty()), "{slug}: {proofs:#}");
    }
    let text = |section: &Value| section["checks"].as_array().cloned().unwrap_or_default();
    let checks: Vec<Value> = report["sections"].as_array().into_iter().flatten().flat_map(text).collect();
    let says = |what: &str| {
        let says = |check: &&Value| check["says"].as_str().is_some_and(|says| says.contains(what));
        checks.iter().filter(says).count()
    };
    let unchecked = checks.iter().filter(|check| check["mark"] == "unchecked");
    let unchecked: Vec<&Value> = unchecked.filter(|check| check["check"] != "previous").collect();
    assert!(unchecked.is_empty(), "but for the statements before, it takes no other file: {unchecked:#?}");
    assert_eq!(says("3 of 3 hold"), 4, "two by hand, and the two with their own ledgers by themselves: {report:#}");
    assert_eq!(says(", each leading to the root"), 5, "{report:#}");
    let windows: std::collections::BTreeSet<String> = inside(&folder.join("reports"))
        .iter()
        .filter_map(|file| file.file_name()?.to_str()?.split_once("-w")?.1.get(..4).map(str::to_owned))
        .collect();
    assert_eq!(windows.len(), 1, "reports of one window: {windows:?}");
}

#[test]
fn the_demo_fills_with_members_and_conversions_and_stops_when_told() {
    let demo = Demo::start("stream", &["--history", "0"]);
    let client = hanse::cli::demo::client::Client::open(&demo.api, &demo.pki(), "lumen").expect("a certificate");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let told = |kind: &str, with: fn(&Value) -> bool| {
        let reply = runtime.block_on(client.get("/v1/events?limit=1000")).expect("an answer");
        let events = reply.at("/items").as_array().cloned().unwrap_or_default();
        events.into_iter().find(|event| event["type"] == kind && with(&event["data"]))
    };
    let event = poll("a conversion of the stream", PATIENCE, || told("conversion.completed", |_| true));
    assert_eq!(event["data"]["confirmation"].as_str().map(str::len), Some(14), "{event}");
    // The same between two ledgers: told when it is accepted, and when it has arrived.
    type Judge = fn(&Value) -> bool;
    let sides: [(&str, Judge); 2] =
        [("from", |data| keeps_its_own(&data["from"])), ("to", |data| keeps_its_own(&data["to"]))];
    for (side, with) in sides {
        let accepted = poll("a conversion on its way", PATIENCE, || told("conversion.pending", with));
        let arrived = || {
            let all = runtime.block_on(client.get("/v1/events?limit=1000")).expect("an answer");
            let same = |one: &&Value| one["data"]["confirmation"] == accepted["data"]["confirmation"];
            let mut events = all.at("/items").as_array().into_iter().flatten().filter(same);
            events.find(|one| one["type"] == "conversion.completed").cloned()
        };
        let arrived = poll("it has arrived", PATIENCE, arrived);
        assert!(keeps_its_own(&arrived["data"][side]), "{arrived}");
    }
    let members = runtime.block_on(client.get("/v1/memberships?limit=200")).expect("an answer");
    assert_eq!(members.at("/items").as_array().map(Vec::len), Some(36));
    the_doors_open(&demo);
    assert!(demo.stop().success());
}

/// Every door of the demo leads to a page.
fn the_doors_open(demo: &Demo) {
    let address = demo.public.strip_prefix("http://").and_then(|address| address.parse().ok()).expect("an address");
    let mut browser = Browser::new(address);
    let opened = browser.get("/demo/member");
    let opened = browser.follow(&opened);
    browser.follow(&opened).ok().says("/member/convert");
    for name in ["partner", "finance", "clerk", "operator"] {
        let mut browser = Browser::new(address);
        let opened = browser.get(&format!("/demo/{name}"));
        browser.follow(&opened).ok().says("/console/sign-out");
    }
    assert_eq!(browser.get("/demo/nobody").status, 404);
}

#[test]
fn a_new_demo_has_two_months_behind_it_and_one_seed_gives_the_same_figures() {
    let arguments = ["--quiet", "--history", "20"];
    let play = |name: &str| {
        let home = Arc::new(Scratch::new(name));
        let demo = Demo::start_in(&home, &arguments);
        let told = std::fs::read(home.path().join("demo/history.json")).expect("figures");
        (demo, home, serde_json::from_slice::<Value>(&told).expect("JSON"))
    };
    let (demo, home, told) = play("history");
    if support::is_long() {
        assert_eq!(play("history-again").2, told);
    }
    for what in ["conversions", "purchases", "vouchers", "uses", "undone", "disputes", "payments"] {
        assert!(told[what].as_i64().is_some_and(|count| count > 0), "{what}: {told:#}");
    }
    assert_eq!((&told["first_day"], &told["last_day"]), (&Value::from("2026-01-01"), &Value::from("2026-03-01")));
    assert_eq!(shares(&demo), [13, 6, 1]);
    assert_eq!(states(&demo, "lumen"), ["acknowledged", "acknowledged"]);
    assert_eq!(states(&demo, "harvest"), ["published", "disputed"]);
    let folder = home.path().join("demo");
    let mut audit = Command::new(env!("CARGO_BIN_EXE_hanse"));
    support::without_settings(audit.arg("audit").arg("--data-dir").arg(&folder));
    let audit = audit.output().expect("it runs");
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
    // The next start finds it there.
    assert!(demo.stop().success());
    std::fs::remove_file(folder.join("history.json")).expect("removed");
    let again = Demo::start_in(&home, &arguments);
    assert_eq!(ask(&again, "ops", "/v1/settlements?limit=10")["items"].as_array().map(Vec::len), Some(3));
    assert!(!folder.join("history.json").exists());
    assert!(again.stop().success());
}

fn ask(demo: &Demo, name: &str, path: &str) -> Value {
    let client = hanse::cli::demo::client::Client::open(&demo.api, &demo.pki(), name).expect("a certificate");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(client.get(path)).expect("an answer").json
}

/// People of the history on the lowest rung, in the middle and on top, wherever they are members.
fn shares(demo: &Demo) -> [usize; 3] {
    let mut rungs = std::collections::BTreeMap::new();
    for brand in ["lumen", "sprout", "velvet", "nest", "harvest", "cinenova", "kettle"] {
        let members = ask(demo, brand, "/v1/memberships?limit=200");
        for member in members["items"].as_array().expect("a list") {
            let (number, tier) = (member["member_ref"].as_str().expect("a text")[2..].to_owned(), &member["tier"]);
            let rung =
                ["ordinary", "l1", "silver", "l2"].iter().position(|low| tier == low).map_or(2, |place| place / 2);
            // Those of the stream are numbered below, and told by the brands that keep their own ledgers.
            if number.as_str() > "5000" {
                assert_eq!(*rungs.entry(number).or_insert(rung), rung, "one rung everywhere");
            }
        }
    }
    [0, 1, 2].map(|rung| rungs.values().filter(|one| **one == rung).count())
}

/// Where the brand's statements of the windows that have ended stand, the newest first.
fn states(demo: &Demo, name: &str) -> Vec<Value> {
    let windows = ask(demo, name, "/v1/settlements?limit=10");
    let windows = windows["items"].as_array().expect("a list").clone();
    let closed = windows.into_iter().filter(|window| !window["published_at"].is_null());
    closed.map(|window| window["statement"]["state"].clone()).collect()
}

fn keeps_its_own(slug: &Value) -> bool {
    slug == "sprout" || slug == "nest"
}

#[test]
fn partners_with_their_own_ledgers_are_started_again_and_none_outlives_the_demo() {
    let mut demo = Demo::start("partners", &["--quiet"]);
    let before = demo.partners();
    assert_eq!(before.len(), 2, "{before:?}");
    let killed = before[0].0;
    let kill = |pid: u32| {
        let killed = Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill runs");
        assert!(killed.success());
    };
    kill(killed);
    let again = poll("it is started again", PATIENCE, || {
        let now = demo.partners();
        let new = now.iter().find(|one| !before.contains(one)).cloned();
        new.filter(|_| now.len() == 2)
    });
    // Where it was: that is what is published.
    assert_ne!(again.0, killed);
    poll("it answers where it was", PATIENCE, || std::net::TcpStream::connect(&again.1).ok());
    // The process is ours, and has not been waited for.
    kill(demo.child.id());
    demo.child.wait().expect("it has ended");
    poll("no partner is left", Duration::from_secs(10), || demo.partners().is_empty().then_some(()));
}

#[test]
fn an_older_demos_folder_makes_way_and_is_kept() {
    let manifests = Scratch::new("hosted");
    let folder = manifests.path().join("lumen");
    std::fs::create_dir(&folder).expect("a folder");
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("partners/lumen")).expect("manifests") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a manifest");
        let hosted: Vec<&str> = text.lines().filter(|line| !line.starts_with("endpoint = ")).collect();
        std::fs::write(folder.join(path.file_name().expect("a name")), hosted.join("\n")).expect("written");
    }
    let home = Arc::new(Scratch::new("older"));
    let older = Demo::start_in(&home, &["--quiet", "--partners", &manifests.path().display().to_string()]);
    assert!(older.partners().is_empty());
    let known = std::fs::read(older.pki().join("ca.crt")).expect("an authority");
    assert!(older.stop().success());
    let demo = Demo::start_in(&home, &["--quiet"]);
    assert_eq!(demo.partners().len(), 2);
    let aside: Vec<PathBuf> = std::fs::read_dir(home.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("demo-until-")))
        .collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(std::fs::read(aside[0].join("pki/ca.crt")).expect("kept"), known);
    assert!(aside[0].join("postgres").is_dir());
    assert!(demo.stop().success());
}
