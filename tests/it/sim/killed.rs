//! A simulated partner that is killed under load: everything it answered is there, and it adds up.

use super::endpoint::{Alliance, credit, hold, id, step};
use reqwest::Method;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const CALLERS: u32 = 16;

#[test]
fn what_was_answered_is_there_after_a_kill_and_the_ledger_adds_up() {
    let alliance = Alliance::new("sim-killed");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut answered = 0;
    for round in 0..3 {
        let sim = Arc::new(alliance.sim("a", &[]));
        let stop = Arc::new(AtomicBool::new(false));
        let work: Vec<_> = (0..CALLERS)
            .map(|place| {
                let (sim, stop, caller) = (Arc::clone(&sim), Arc::clone(&stop), alliance.caller("alliance"));
                runtime.spawn(async move {
                    let mut done = Vec::new();
                    for turn in 0.. {
                        let number = round << 24 | place << 16 | turn;
                        let member = number % 100 + 1;
                        let calls = [
                            ("/holds".to_owned(), hold(number, member, 3)),
                            (format!("/holds/{}/capture", id("hld", number)), step(number)),
                            ("/credits".to_owned(), credit(number, member, 2)),
                        ];
                        for (kind, (path, body)) in calls.iter().enumerate() {
                            match caller.post(&sim, path, body).await {
                                Ok(reply) if reply.status == 200 => done.push((kind, number)),
                                _ if stop.load(Ordering::Relaxed) => return done,
                                other => panic!("{path}: {other:?}"),
                            }
                        }
                    }
                    done
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(1_500));
        stop.store(true, Ordering::Relaxed);
        kill(&sim);
        let done: Vec<(usize, u32)> =
            work.into_iter().flat_map(|one| runtime.block_on(one).expect("no panic")).collect();
        drop(sim);
        answered += done.len();
        let sim = alliance.sim("a", &[]);
        let totals = runtime.block_on(sim.control(Method::GET, "/totals", ""));
        assert_eq!(totals["adds_up"], true, "{totals}");
        let ledger = runtime.block_on(sim.control(Method::GET, "/ledger", ""));
        let found = |list: &str, id: &str, state: &[&str]| {
            let rows = ledger[list].as_array().expect("a list");
            let at = rows.binary_search_by(|row| row[0].as_str().expect("an id").cmp(id)).expect("it is there");
            assert!(state.iter().any(|state| rows[at][1]["state"] == *state), "{}", rows[at]);
        };
        for (kind, number) in done {
            match kind {
                0 => found("holds", &id("hld", number), &["taken", "captured"]),
                1 => found("holds", &id("hld", number), &["captured"]),
                _ => found("credits", &id("crd", number), &["taken"]),
            }
        }
    }
    assert!(answered > 300, "{answered} answers are no load");
}

fn kill(sim: &Arc<super::endpoint::Endpoint>) {
    // Its id is its own still: it has not been waited for.
    let killed = std::process::Command::new("kill").args(["-KILL", &sim.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
}
