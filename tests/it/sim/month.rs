//! A month's end that nobody attends: a real alliance, a partner with a ledger of its own, a statement that is verified,
//! disputed where it was made to differ, and counter-signed.

use crate::demo::Demo;
use crate::support::{self, Scratch, poll};
use hanse::cli::demo::client::{Client, Reply};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(90);

/// A florist that keeps its own ledger.
const BLOOM: &str = r#"
[partner]
slug = "bloom"
name = { en = "Bloom Florists", zh = "繁花花店" }
trade = "florist"
legal_entity = "Bloom Florists Co., Ltd."
tax_code = "DEMO-BLOOM-01"
exposure_limit = "100000.00"
endpoint = "ENDPOINT"

[programme]
code = "BLO"
name = { en = "Petals", zh = "花瓣" }
unit_cost = "0.01"
expiry_months = 12

[[programme.tiers]]
code = "standard"
name = { en = "Standard", zh = "普通" }
"#;
const AGREEMENT: &str = r#"
[[agreements]]
to = "OTHER"
exposure_limit = "100000.00"

[[agreements.rates]]
give = 10
get = 5
"#;

/// The demo's manifests, of brands whose accounts are all kept by the alliance.
fn manifests(folder: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("partners/lumen");
    std::fs::create_dir_all(folder).expect("a folder");
    for entry in std::fs::read_dir(from).expect("manifests") {
        let file = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&file).expect("a manifest");
        let hosted = text.lines().filter(|line| !line.starts_with("endpoint = "));
        let text: String = hosted.flat_map(|line| [line, "\n"]).collect();
        std::fs::write(folder.join(file.file_name().expect("a name")), text).expect("written");
    }
}

/// The same, with the florist at this endpoint.
fn with_bloom(folder: &Path, endpoint: &str) {
    manifests(folder);
    let bloom = BLOOM.replace("ENDPOINT", endpoint) + &AGREEMENT.replace("OTHER", "lumen");
    std::fs::write(folder.join("bloom.toml"), bloom).expect("written");
    let file = folder.join("lumen.toml");
    let lumen = std::fs::read_to_string(&file).expect("a manifest") + &AGREEMENT.replace("OTHER", "bloom");
    std::fs::write(file, lumen).expect("written");
}

/// The program, on the demo's files.
fn hanse(demo: &Demo, arguments: &[&str]) -> String {
    let data = demo.pki().parent().expect("a folder").display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hanse"));
    command.args(arguments).args(["--data-dir", &data, "--log", "warn"]);
    support::without_settings(&mut command);
    let ran = command.output().expect("it runs");
    let told = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{arguments:?}: {told}");
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// The partner, and the lines it prints; ended when dropped.
struct Partner {
    child: Child,
    lines: Receiver<Value>,
}

impl Partner {
    fn start(demo: &Demo, ledger: &Path, port: u16, more: &[&str]) -> Partner {
        let file = |name: &str| demo.pki().join(name).display().to_string();
        let (listen, jwks) = (format!("127.0.0.1:{port}"), format!("{}/.well-known/jwks.json", demo.public));
        let mut command = Command::new(env!("CARGO_BIN_EXE_hanse"));
        command.args(["--json", "sim", "--partner", "bloom", "--listen", &listen, "--ca", &file("ca.crt")]);
        command.args(["--crl", &file("ca.crl"), "--certificate", &file("server.crt"), "--key", &file("server.key")]);
        command.args(["--client-certificate", &file("bloom.crt"), "--client-key", &file("bloom.key")]);
        command.args(["--hanse", &demo.api, "--jwks", &jwks, "--members", "3", "--register"]);
        command.args(["--tier", "standard", "--log", "warn"]);
        command.arg("--data").arg(ledger).args(more).stdout(Stdio::piped());
        support::without_settings(&mut command);
        let mut child = command.spawn().expect("it starts");
        let (told, lines) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // Nobody listens any more once the test is over.
                let _ = told.send(serde_json::from_str(&line).expect("JSON"));
            }
        });
        let partner = Partner { child, lines };
        assert_eq!(partner.next()["partner"], "bloom");
        partner
    }

    fn next(&self) -> Value {
        self.lines.recv_timeout(PATIENCE).expect("it says something")
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Scene {
    runtime: tokio::runtime::Runtime,
    lumen: Client,
    bloom: Client,
}

impl Scene {
    fn post(&self, client: &Client, path: &str, key: &str, body: &Value) -> Reply {
        let reply = self.runtime.block_on(client.post_once(path, key, body)).expect("an answer");
        assert!(reply.is_done(), "{path}: {}: {}", reply.status, reply.json);
        reply
    }

    fn get(&self, client: &Client, path: &str) -> Reply {
        self.runtime.block_on(client.get(path)).expect("an answer")
    }

    /// All of it was pushed to the florist's own endpoint, and taken there: it asks itself but once a minute.
    fn was_pushed(&self) {
        let hooks = self.get(&self.bloom, "/v1/webhooks");
        let hook = hooks.at("/items")[0]["webhook_id"].as_str().expect("a webhook").to_owned();
        let pushed = poll("both pushes", PATIENCE, || {
            let reply = self.get(&self.bloom, &format!("/v1/webhooks/{hook}/deliveries?state=delivered&limit=200"));
            let items = reply.at("/items").as_array().expect("a list").clone();
            let of = |kind: &str| items.iter().filter(|one| one["type"] == kind).count();
            (of("statement.published") > 0 && of("reconciliation.completed") > 0).then_some(items)
        });
        assert!(pushed.iter().all(|one| one["attempts"][0]["status"] == 200), "{pushed:#?}");
    }

    /// Converts and waits until both ledgers have it.
    fn convert(&self, client: &Client, body: &Value) -> Value {
        let key = body["external_reference"].as_str().expect("a reference");
        let made = self.post(client, "/v1/conversions", key, body);
        let path = format!("/v1/conversions/{}", made.text("/conversion_id").expect("an id"));
        poll("the conversion is completed", PATIENCE, || {
            let reply = self.get(client, &path);
            (reply.at("/state") == "completed").then_some(reply.json)
        })
    }
}

#[test]
fn a_statement_is_verified_disputed_where_it_was_made_to_differ_and_counter_signed() {
    let home = Scratch::new("month");
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    manifests(&home.path().join("partners/lumen"));
    let partners = home.path().join("partners").display().to_string();
    let demo = Demo::start("month-demo", &["--quiet", "--partners", &partners, "--outbound-allow", "127.0.0.0/8"]);
    let joined = home.path().join("joined");
    with_bloom(&joined, &format!("https://127.0.0.1:{port}"));
    hanse(&demo, &["partners", "apply", &joined.display().to_string()]);
    hanse(&demo, &["rates", "publish", "--mandate"]);
    hanse(&demo, &["pki", "issue", "bloom"]);
    hanse(&demo, &["pki", "issue", "outbound"]);
    let ledger = home.path().join("bloom");
    let bloom = Partner::start(&demo, &ledger, port, &["--plant-difference"]);
    let open = |name| Client::open(&demo.api, &demo.pki(), name).expect("a certificate");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let scene = Scene { runtime, lumen: open("lumen"), bloom: open("bloom") };
    let lumen = &scene.lumen;
    let member = json!({ "items": [{ "member_ref": "L-1", "tier": "ordinary", "status": "active" }] });
    scene.post(lumen, "/v1/memberships/batch", "members", &member);
    let points = json!({ "points": 1_000, "reason": "opening", "kind": "opening", "external_reference": "opening" });
    scene.post(lumen, "/v1/memberships/L-1/credits", "opening", &points);
    let consent = json!({ "version": "1", "purpose": "exchange", "method": "test" });
    let asked = json!({ "member_ref": "L-1", "to": "bloom", "consent": consent });
    let code = scene.post(lumen, "/v1/links", "link", &asked);
    let accepted = json!({ "code": code.text("/code"), "member_ref": "BLO-1", "consent": consent });
    scene.post(&scene.bloom, "/v1/links/accept", "accept", &accepted);
    let there = json!({ "member_ref": "L-1", "to": "bloom", "points": 200, "external_reference": "there" });
    assert_eq!(scene.convert(lumen, &there)["debit_points"], 200);
    let back = json!({ "member_ref": "BLO-1", "to": "lumen", "points": 100, "external_reference": "back" });
    assert_eq!(scene.convert(&scene.bloom, &back)["credit_points"], 50);
    hanse(&demo, &["clock", "advance", "40d"]);
    let since = std::time::Instant::now();
    let said = bloom.next();
    assert!(since.elapsed() < Duration::from_secs(50), "it has waited until it asked: {:?}", since.elapsed());
    assert_eq!((&said["verified"], &said["differences"]), (&json!(true), &json!([])), "{said:#}");
    assert_eq!((&said["countersigned"], said["planted"].is_string()), (&json!(true), true), "{said:#}");
    let total = |way: usize, side: &str| said["totals"][way][side].clone();
    for side in ["ours", "theirs"] {
        assert_eq!((total(0, side), total(2, side)), (json!([1, 100]), json!([1, 100])), "{said:#}");
    }
    let disputed = bloom.next();
    assert_eq!(disputed["disputed"]["opened"], 1, "{disputed:#}");
    scene.was_pushed();
    let window = format!("/v1/settlements/{}", said["window"]);
    let seen = scene.get(&scene.bloom, &window);
    assert!(!seen.at("/statement").is_null(), "{}", seen.json);
    let disputes = scene.get(&scene.bloom, "/v1/disputes?state=open");
    assert_eq!(disputes.at("/items").as_array().map(Vec::len), Some(1), "{}", disputes.json);
    // What was fetched is there for whoever wants to look.
    let folder = ledger.join(format!("settlement/w{:04}", said["window"].as_i64().expect("a number")));
    let verified = Command::new(env!("CARGO_BIN_EXE_hanse")).arg("verify").arg(&folder).output().expect("it runs");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    // Started again, it has handled everything: nothing is said twice.
    drop(bloom);
    let again = Partner::start(&demo, &ledger, port, &["--plant-difference"]);
    assert!(again.lines.recv_timeout(Duration::from_secs(3)).is_err(), "nothing new has happened");
    drop(again);
    assert!(demo.stop().success());
}
