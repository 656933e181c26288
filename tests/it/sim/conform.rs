//! `hanse partners conform`: passes where the contract is kept, and finds each way it can be broken.

use super::endpoint::{Alliance, Endpoint};
use crate::support;
use hanse::partner::sim::bugs::Bug;
use hanse::signing::webhook::Secret;
use serde_json::Value;
use std::process::Command;

/// Its exit code and what it says of each check.
fn conform(alliance: &Alliance, sim: &Endpoint, member: &str, more: &[&str]) -> (Option<i32>, Value) {
    let file = |name: &str| alliance.file(name).display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hanse"));
    command.args(["--json", "partners", "conform", &sim.url, "--member", member, "--points", "100"]);
    command.args(["--ca", &file("ca.crt"), "--certificate", &file("alliance.crt"), "--key", &file("alliance.key")]);
    command.args(["--signing-key", &file("webhook.p8")]).args(more);
    support::without_settings(&mut command);
    let ran = command.output().expect("it runs");
    let told = String::from_utf8_lossy(&ran.stderr);
    (ran.status.code(), serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("no JSON: {told}")))
}

fn failures(report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().expect("checks").iter();
    let failed = checks.filter(|check| check["holds"] == false);
    let text = |check: &Value, name: &str| check[name].as_str().unwrap_or_default().to_owned();
    failed
        .map(|check| format!("{}: {}: {}", text(check, "chapter"), text(check, "check"), text(check, "got")))
        .collect()
}

/// Another partner may have the alliance push its events here: what the alliance alone has signed is not for this one.
#[test]
fn an_endpoint_with_a_secret_takes_no_event_without_it() {
    let alliance = Alliance::new("conform-secret");
    let secret = alliance.file("webhook.secret");
    std::fs::write(&secret, Secret::generate().expect("random").reveal()).expect("written");
    let more = ["--webhook-secret", secret.to_str().expect("UTF-8")];
    let sim = alliance.sim("secret", &more);
    let (code, report) = conform(&alliance, &sim, "SPR-7", &more);
    assert_eq!((code, failures(&report)), (Some(0), Vec::new()));
    assert!(report.to_string().contains("an event without the secret's signature"), "{report:#}");
    // Calls of the ledger are believed for the key alone, and whoever has no secret sees that events need one.
    let (code, report) = conform(&alliance, &sim, "SPR-7", &[]);
    assert_eq!((code, failures(&report)), (Some(0), Vec::new()));
    assert!(report.to_string().contains("which needs --webhook-secret here"), "{report:#}");
}

#[test]
fn an_endpoint_that_keeps_the_contract_passes_twice_and_each_broken_one_fails() {
    let alliance = Alliance::new("conform");
    let sim = alliance.sim("good", &[]);
    for _ in 0..2 {
        let (code, report) = conform(&alliance, &sim, "SPR-7", &[]);
        assert_eq!((code, failures(&report)), (Some(0), Vec::new()));
        assert!(report["checks"].as_array().is_some_and(|checks| checks.len() > 60), "{report:#}");
    }
    let (code, report) = conform(&alliance, &sim, "SPR-777", &[]);
    assert_eq!(code, Some(1), "there is no such member: {report:#}");
    drop(sim);
    let wanted = |bug: Bug| match bug {
        Bug::ForgetIds => "hold: POST /holds",
        Bug::AnyBody => "hold: another request under the same id",
        Bug::NoTombstones => "release: the hold that comes after its release",
        Bug::CapturesNothing => "hold: a capture of what was never held",
        Bug::WrongLots => "hold: the lots add up to the points",
        Bug::Refuses500 => "hold: another request under the same id",
        Bug::BelievesAll => "signature: over another body",
        Bug::OldTimes => "signature: ten minutes old",
        Bug::EventsTwice => "webhook: the same event again",
        Bug::NothingFound => "hold: GET /holds/{id}",
    };
    for (name, bug) in Bug::all() {
        let sim = alliance.sim(name, &["--bug", name]);
        let (code, report) = conform(&alliance, &sim, "SPR-7", &[]);
        let found = failures(&report);
        assert_eq!(code, Some(1), "{name}");
        assert!(found.iter().any(|failure| failure.starts_with(wanted(bug))), "{name}: {found:#?}");
    }
}
