//! Processes killed and stopped under load: what was answered is there, the rest is answered when asked again.

use super::served::{Load, Served, Stage, Told, ask_again, children, is_running, signal};
use crate::support::{is_long, poll};
use crate::tls::Client;
use std::time::Duration;

const MEMBERS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

fn load(stage: &Stage, served: &Served, name: &'static str) -> Load {
    let clients: Vec<Client> = (0..8).map(|_| stage.client(served, "aa")).collect();
    Load::start(name, &clients, MEMBERS)
}

/// Asks for everything again, at a server of today, and finds one effect for each key of all loads so far.
fn settle(stage: &Stage, served: &Served, told: &Told, before: usize) -> usize {
    ask_again(&stage.client(served, "aa"), told);
    let all = before + told.done.len() + told.open.len();
    stage.assert_one_effect_each(all);
    stage.audit();
    all
}

#[test]
fn a_server_killed_or_stopped_under_load_loses_nothing_it_answered() {
    let stage = Stage::private("killed", MEMBERS);
    let mut served = stage.serve();
    let mut all = 0;
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    for name in &names[..if is_long() { names.len() } else { 1 }] {
        let load = load(&stage, &served, name);
        load.wait_for(100);
        served.kill();
        let told = load.end();
        assert!(told.cut > 0, "the kill came under load");
        served = stage.serve();
        all = settle(&stage, &served, &told, all);
        println!("server killed: {} answered, {} asked again", told.done.len(), told.open.len());
    }
    let load = load(&stage, &served, "stop");
    load.wait_for(100);
    let (postmaster, sockets) = (stage.postmaster(), stage.sockets());
    let (code, said) = served.terminate();
    let told = load.end();
    assert_eq!(code, Some(0), "{said:#?}");
    assert!(said.iter().all(|line| !line.contains("\"ERROR\"")), "{said:#?}");
    assert!(!is_running(postmaster) && !sockets.exists(), "the private database ended with its server");
    let served = stage.serve();
    settle(&stage, &served, &told, all);
    println!("server stopped: {} answered, {} asked again", told.done.len(), told.open.len());
    assert_eq!(served.terminate().0, Some(0));
}

#[test]
fn a_database_killed_under_load_again_and_again_loses_nothing_and_comes_back() {
    let stage = Stage::private("database", MEMBERS);
    let served = stage.serve();
    let load = load(&stage, &served, "load");
    load.wait_for(50);
    let rounds = if is_long() { 20 } else { 2 };
    let mut killed = 0;
    // Once more where everybody was waiting for a COMMIT in doubt, and so nobody asked while it was away.
    while killed < rounds || (load.unavailable() == 0 && killed < rounds + 10) {
        killed += 1;
        let postmaster = stage.postmaster();
        let backends = children(postmaster);
        for pid in [postmaster].into_iter().chain(backends.iter().copied()) {
            signal("KILL", pid);
        }
        poll("the database is dead", PATIENCE, || (!is_running(postmaster)).then_some(()));
        // By itself: nobody but the server starts it again.
        load.wait_for(50);
    }
    let told = load.end();
    assert!(told.unavailable > 0, "503 while it was away");
    assert_eq!(told.cut, 0, "the server itself has gone on answering");
    settle(&stage, &served, &told, 0);
    println!(
        "{killed} kills of the database: {} answered 201, {} times 503, {} keys asked again",
        told.done.len(),
        told.unavailable,
        told.open.len()
    );
    assert_eq!(served.terminate().0, Some(0));
}
