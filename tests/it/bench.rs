//! The load generator against a real server: what it measures adds up, and what was answered outlives a kill.

use crate::cli::{hanse, run};
use crate::support::{Scratch, poll};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);

/// The demo alliance, served by a process of its own.
struct Demo {
    home: Scratch,
    ports: [u16; 2],
    server: Child,
}

impl Demo {
    fn start(name: &str) -> Demo {
        let home = Scratch::new(name);
        // Chosen here and not by the server: it must come back where it was.
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let ports = free.map(|listener| listener.local_addr().expect("bound").port());
        let server = serve(&home, ports);
        Demo { home, ports, server }
    }

    fn kill_and_start_again(&mut self) {
        self.server.kill().and_then(|()| self.server.wait()).expect("killed and collected");
        self.server = serve(&self.home, self.ports);
    }

    fn file(&self, name: &str) -> String {
        self.home.path().join(name).to_str().expect("a plain path").to_owned()
    }

    fn bench(&self, arguments: &[&str]) -> Command {
        self.bench_told(&["--json"], arguments)
    }

    fn bench_told(&self, how: &[&str], arguments: &[&str]) -> Command {
        let [api, public] = self.ports;
        let (url, metrics) = (format!("https://127.0.0.1:{api}"), format!("http://127.0.0.1:{public}"));
        let place =
            ["bench", "--url", &url, "--metrics-url", &metrics, "--data-dir", &self.file("hosted")].map(str::to_owned);
        let size = ["--members", "100", "--clients", "8", "--batch-clients", "2"].map(str::to_owned);
        let given = arguments.iter().map(|argument| (*argument).to_owned());
        let how = how.iter().map(|argument| (*argument).to_owned());
        let all: Vec<String> = how.chain(place).chain(size).chain(given).collect();
        hanse(&all.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Its database's guard sees it go, and stops the database.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Starts the server and returns when it serves.
fn serve(home: &Scratch, [api, public]: [u16; 2]) -> Child {
    let partners = concat!(env!("CARGO_MANIFEST_DIR"), "/partners");
    let (api, public) = (format!("127.0.0.1:{api}"), format!("127.0.0.1:{public}"));
    let folder = home.path().to_str().expect("a plain path");
    let arguments = ["demo", "--quiet", "--hosted", "--partners", partners, "--data-dir", folder];
    let listen = ["--api-listen", &api, "--public-listen", &public, "--log", "error"];
    let told = home.path().join("told");
    let out = File::create(&told).expect("a file");
    let mut command = hanse(&[&arguments[..], &listen].concat());
    let mut server = command.stdout(out).spawn().expect("it starts");
    poll("the server serves", PATIENCE, || {
        assert_eq!(server.try_wait().expect("a child"), None, "the server has ended");
        fs::read_to_string(&told).ok().filter(|told| told.contains("Ctrl-C")).map(drop)
    });
    server
}

fn json(command: &mut Command) -> Value {
    let (code, printed, told) = run(command);
    assert_eq!(code, Some(0), "{told}\n{printed}");
    serde_json::from_str(&printed).unwrap_or_else(|_| panic!("not JSON: {printed}"))
}

#[test]
fn every_scenario_is_answered_rightly_and_what_was_answered_outlives_a_kill() {
    let mut demo = Demo::start("bench");
    let list = demo.file("list");
    let told = json(&mut demo.bench(&["--scenario", "all", "--seconds", "1", "--list", &list]));
    let runs = told["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 5);
    for run in runs {
        let is_done = run["effects"].as_u64().unwrap_or(0) + run["late_effects"].as_u64().unwrap_or(0) > 0;
        assert!(is_done && run["wrong"] == 0 && run["refused"] == serde_json::json!({}), "{run}");
        let [p50, p99, max] = ["p50_us", "p99_us", "max_us"].map(|name| run["latency"][name].as_u64());
        assert!(Some(0) < p50 && p50 <= p99 && p99 <= max, "{run}");
        for known in ["server_cpu_ms", "database_cpu_ms", "generator_cpu_ms", "commits", "batches", "server_peak_kib"] {
            assert!(run["cost"][known].is_u64(), "{known} in {run}");
        }
    }

    // The members are there already; the server goes away in the middle and comes back.
    let listed = fs::read_to_string(&list).expect("a list").lines().count();
    let mut load = demo.bench(&["--seconds", "4", "--list", &list]);
    let mut loading = load.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    poll("a second run's answers", PATIENCE, || {
        assert_eq!(loading.try_wait().expect("a child"), None, "the load has ended early");
        (fs::read_to_string(&list).expect("a list").lines().count() > listed + 20).then_some(())
    });
    demo.kill_and_start_again();
    let ended = loading.wait_with_output().expect("collected");
    let told: Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    assert!(ended.status.success(), "{told}");
    let run = &told["runs"][0];
    assert!(run["put_off"]["connection"].as_u64() > Some(0) && run["wrong"] == 0 && run["unanswered"] == 0, "{run}");

    let proof = json(&mut demo.bench(&["--verify", &list]));
    let lines = fs::read_to_string(&list).expect("a list").lines().count();
    assert_eq!((&proof["holds"], proof["proof"]["listed"].as_u64()), (&Value::Bool(true), u64::try_from(lines).ok()));
    a_forged_list_is_found_out(&demo, &list);
}

/// An id that was never given, and one under another key; a line without an end was never written.
fn a_forged_list_is_found_out(demo: &Demo, list: &str) {
    let text = fs::read_to_string(list).expect("a list");
    let (id, key) = text.lines().next().and_then(|line| line.split_once(' ')).expect("a line");
    let forged = demo.file("forged");
    let mut file = File::create(&forged).expect("a file");
    let never = "cnv_0198c0de0000700080000000000000aa";
    write!(file, "{never} {key}\n{id} another.1.1\n{id} torn").expect("written");
    let (code, printed, _) = run(&mut demo.bench(&["--verify", &forged]));
    let proof: Value = serde_json::from_str(&printed).expect("JSON");
    let told = ["listed", "missing", "mismatched", "twice"].map(|name| proof["proof"][name].as_u64());
    assert_eq!((code, told), (Some(1), [Some(2), Some(1), Some(1), Some(0)]), "{proof}");
    assert_eq!(proof["proof"]["torn"], true);
}

/// What a command prints that ends well.
fn text(command: &mut Command) -> String {
    let (code, printed, told) = run(command);
    assert_eq!(code, Some(0), "{told}\n{printed}");
    printed
}

/// A sum of a participant in the proof of a window: lines, points and millionths.
fn sum(window: &Value, participant: &str, sort: &str) -> [i64; 3] {
    let sum = &window["participants"][participant][sort];
    ["lines", "points", "millionths"].map(|member| sum[member].as_i64().unwrap_or_default())
}

#[test]
fn members_pages_are_read_and_what_they_take_is_told() {
    let demo = Demo::start("bench-pages");
    let told = json(&mut demo.bench(&["--scenario", "pages", "--seconds", "1"]));
    let pages = told["pages"].as_array().expect("pages");
    assert_eq!(pages.len(), 5, "{told:#}");
    for page in pages {
        let figure = |name: &str| page[name].as_u64().unwrap_or_default();
        assert!(figure("times") >= 50 && 0 < figure("p50_us") && figure("p50_us") <= figure("p99_us"), "{page}");
        // Their promise, style and script apart.
        assert!((1_000..100_000).contains(&figure("bytes")), "{page}");
    }
    let told = text(&mut demo.bench_told(&[], &["--scenario", "pages", "--seconds", "1"]));
    assert!(told.starts_with("/member: ") && told.contains(" ms, p99 ") && told.lines().count() == 5, "{told}");
}

#[test]
fn a_window_is_filled_closed_and_proven_for_each_partner_and_others_are_closed_under_load() {
    let demo = Demo::start("bench-window");
    let told = json(&mut demo.bench(&["--scenario", "window", "--conversions", "3000"]));
    assert_eq!(told["holds"], true, "{told:#}");
    let window = &told["window"];
    assert!(window["conversions"].as_u64() >= Some(3_000) && window["lines"].as_u64() > Some(6_000), "{window:#}");
    assert!((1_000..=3_000).contains(&window["answered"].as_u64().unwrap_or_default()), "{window:#}");
    let states: Vec<&Value> = window["reached"].as_array().expect("states").iter().map(|state| &state[0]).collect();
    assert_eq!(states, ["closing", "closed", "netted", "published"], "what is signed is published with it");
    assert!(window["close_ms"].as_u64() > Some(0) && window["peak_memory_kib"].as_u64() > Some(0), "{window:#}");
    assert_eq!((&window["differs"], &window["unlike"]), (&serde_json::json!([]), &serde_json::json!([])));
    let partners = ["lumen", "sprout", "velvet", "nest", "harvest", "cinenova", "kettle"];
    let participants = window["participants"].as_object().expect("participants");
    assert!(partners.iter().chain(&["operator"]).all(|of| participants.contains_key(*of)), "{window:#}");
    assert_eq!(window["statements"].as_u64(), Some(8), "seven partners and the operator");
    let all = |sort: &str| {
        let each = partners.iter().map(|of| sum(window, of, sort));
        each.fold([0; 3], |all, own| std::array::from_fn(|nth| all[nth] + own[nth]))
    };
    let ([lines, points, owed], [lines_in, points_in, due]) = (all("out"), all("in"));
    assert_eq!((lines, points, owed), (lines_in, points_in, -due), "what one owes is owed to another");
    assert!(lines >= 3_000 && points > 0 && due > 0, "{window:#}");
    let every = participants.values().flat_map(|sums| sums.as_object().expect("sums").values());
    assert_eq!(every.map(|sum| sum["millionths"].as_i64().expect("money")).sum::<i64>(), 0, "all of it is nothing");

    let told = text(&mut demo.bench_told(&[], &["--scenario", "window", "--conversions", "1000"]));
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].contains(": 1000 conversions, ") && lines[0].contains(" 8 statements, closed in "), "{told}");
    assert!(lines[1].trim_start().starts_with("closing ") && lines[1].contains(", published "), "{told}");
    for partner in partners {
        let own = lines.iter().find(|line| line.trim_start().starts_with(&format!("{partner}: ")));
        assert!(own.is_some_and(|own| own.contains(" lines, ") && own.contains(" points, ")), "{partner} in {told}");
    }
    assert!(told.contains("points x price of 8 participants: each as its statement says"), "{told}");
    assert!(told.contains("the 1000 conversions that were answered are in it as they were answered"), "{told}");
    windows_are_closed_under_load(&demo);
}

fn windows_are_closed_under_load(demo: &Demo) {
    // Three closes want more time where other tests keep the machine busy: asked again with more, never for fewer.
    let closed = |told: &Value| told["runs"][0]["closes"]["took_ms"].as_array().map_or(0, Vec::len);
    let run = |seconds: &'static str| {
        let told = json(&mut demo.bench(&["--closes", "3", "--seconds", seconds]));
        (closed(&told) == 3).then_some((told, seconds))
    };
    let (told, seconds) = ["2", "15", "60"].into_iter().find_map(run).expect("three closes in a minute");
    let run = &told["runs"][0];
    let closes = &run["closes"];
    let took: Vec<u64> = closes["took_ms"].as_array().expect("times").iter().filter_map(Value::as_u64).collect();
    assert!(took.len() == 3 && took.iter().all(|ms| *ms > 0), "{run:#}");
    let conversions = closes["conversions"].as_array().expect("counts").iter().filter_map(Value::as_u64);
    let conversions: Vec<u64> = conversions.collect();
    assert!(conversions.len() == 3 && conversions.iter().all(|count| *count > 0), "{run:#}");
    assert_eq!((&closes["wrong"], &closes["differs"]), (&serde_json::json!([]), &serde_json::json!([])));
    let answered = run["effects"].as_u64().unwrap_or(0) + run["late_effects"].as_u64().unwrap_or(0);
    assert!(run["wrong"] == 0 && answered > 0, "{run:#}");
    // What the first one closed may hold more: it was open before.
    assert!(conversions[1] + conversions[2] <= answered, "{run:#}");
    let [p50, p99, max] = ["p50_us", "p99_us", "max_us"].map(|name| run["closing"][name].as_u64());
    assert!(Some(0) < p50 && p50 <= p99 && p99 <= max, "{run:#}");

    let told = text(&mut demo.bench_told(&[], &["--closes", "3", "--seconds", seconds]));
    let said = told.lines().find(|line| line.starts_with("hot-pair: ")).unwrap_or_default();
    assert!(said.starts_with("hot-pair: 3 windows closed of ") && said.contains("the longest in "), "{told}");
    assert!(said.contains("meanwhile p50 ") && said.contains(" times the p99 otherwise"), "{told}");
    assert!(!told.contains("WRONG"), "{told}");
}

#[test]
fn a_server_that_is_not_there_and_a_wrong_pair_are_told_in_one_line() {
    let home = Scratch::new("bench-nowhere");
    let folder = home.path().to_str().expect("a plain path");
    let (code, _, told) = run(&mut hanse(&["bench", "--data-dir", folder]));
    assert_eq!(code, Some(1));
    assert!(told.contains("ca.crt") && told.lines().count() == 1, "{told}");
    let (code, _, told) = run(&mut hanse(&["bench", "--hot-pair", "lumen:harvest"]));
    assert_eq!(code, Some(2));
    assert!(told.contains("lumen limits what its members convert in a day"), "{told}");
    let (code, _, told) = run(&mut hanse(&["bench", "--verify", "list", "--data-dir", folder]));
    assert_eq!((code, told.contains("--database-url")), (Some(2), true), "{told}");
}
