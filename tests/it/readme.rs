//! The README's commands, run as they are written.
//!
//! A block of commands carries a mark above it, `<!-- run: name -->`; blocks of one name are one script. What a test
//! cannot take as written is where things are: addresses, folders, the database.

use crate::demo::Demo;
use crate::support::{self, Scratch};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

const README: &str = include_str!("../../README.md");
const FENCE: &str = "```sh";

/// The marked blocks of the README: name and commands.
pub fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    let mut mark = None;
    while let Some(line) = lines.next() {
        if line == FENCE {
            let name: String = mark.take().expect("a block of commands carries a mark");
            let commands: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((name, commands.join("\n")));
        }
        mark = line.strip_prefix("<!-- run: ").and_then(|rest| rest.strip_suffix(" -->")).map(str::to_owned);
    }
    blocks
}

/// The commands of one name, with what they say replaced by what is here; every replacement must be needed.
fn script(name: &str, here: &[(&str, &str)]) -> String {
    script_of(README, name, here)
}

/// The same of another page.
pub fn script_of(page: &str, name: &str, here: &[(&str, &str)]) -> String {
    let mut script = String::from("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n");
    for (_, commands) in blocks(page).iter().filter(|(known, _)| known == name) {
        script += commands;
        script.push('\n');
    }
    for (written, found) in here {
        assert!(script.contains(written), "the page no longer says {written}");
        script = script.replace(written, found);
    }
    script
}

/// Runs a script in the checkout and returns what it printed.
pub fn run(script: &str, home: &Path) -> String {
    let mut command = Command::new("bash");
    command.args(["-c", script]).current_dir(env!("CARGO_MANIFEST_DIR"));
    support::without_settings(&mut command);
    command.env("HANSE_DATA_DIR", home).env("HANSE_LOG", "warn");
    let ran = command.output().expect("bash runs");
    let (out, told) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{script}\n{out}\n{told}");
    out.into_owned()
}

#[test]
fn every_block_of_commands_is_run_by_a_test() {
    let known = ["demo", "production"];
    let blocks = blocks(README);
    assert!(blocks.iter().all(|(name, _)| known.contains(&name.as_str())));
    assert!(known.iter().all(|name| blocks.iter().any(|(found, _)| found == name)));
    assert_eq!(blocks.len(), README.lines().filter(|line| line.starts_with(FENCE)).count());
}

#[test]
fn the_first_conversion_works_as_the_readme_writes_it() {
    let demo = Demo::start("readme", &["--quiet"]);
    let pki = demo.pki().display().to_string();
    let data = demo.pki().parent().expect("a folder").display().to_string();
    let here = [
        ("https://127.0.0.1:8443", demo.api.as_str()),
        (".hanse/demo/pki", &pki),
        (".hanse/demo", &data),
        ("target/release/hanse", env!("CARGO_BIN_EXE_hanse")),
    ];
    let script = script("demo", &here);
    let said = run(&script, &demo.pki());
    for wanted in [
        r#""remainder_points":1,"#,
        r#""debit_points":136,"credit_points":68,"#,
        r#""total_credit_points":74,"#,
        r#""balance":74,"#,
        r#""state":"pending","#,
        r#""state":"completed","#,
        r#""captured":100,"#,
        r#""to_pay":"48.00""#,
        "303 http://",
        r#""type":"conversion.completed""#,
        r#""state":"published""#,
        r#""kind":"conversion""#,
        "harvest-statement.json",
        "statement-w0001-harvest.html",
    ] {
        assert!(said.contains(wanted), "{wanted} is not in\n{said}");
    }
    assert!(demo.stop().success());
}

#[test]
fn two_servers_serve_one_database_as_the_readme_writes_it() {
    let (database, home) = (support::database(), Scratch::new("production"));
    let program = Path::new(env!("CARGO_BIN_EXE_hanse")).parent().expect("a folder").display().to_string();
    let ports = free_ports();
    let mut here =
        vec![("$PWD/target/release", program.as_str()), ("postgres://hanse@db.example/hanse", &database.url)];
    here.extend(["8443", "8080", "8444", "8081"].into_iter().zip(ports.iter().map(String::as_str)));
    let said = run(&script("production", &here), home.path());
    assert_eq!(said.matches(r#""ready":true"#).count(), 2, "{said}");
    assert!(said.contains("balance = entries"), "{said}");
    assert!(home.path().join("pki/lumen.crt").exists() && home.path().join("pki/ops.crt").exists());
}

/// Ports that were free a moment ago.
fn free_ports() -> Vec<String> {
    let listeners: Vec<_> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    listeners.iter().map(|one| one.local_addr().expect("an address").port().to_string()).collect()
}
