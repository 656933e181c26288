//! The engine against a plain model written from the rules: random commands, every invariant after each step.
//!
//! `HANSE_MODEL_SEED` and `HANSE_MODEL_STEPS` run one walk again; `HANSE_LONG=1` walks a million steps.

mod book_model {
    pub mod alliance;
    mod benefits;
    pub mod calendar;
    pub mod chance;
    pub mod check;
    mod check_benefits;
    pub mod commands;
    pub mod ledger;
    pub mod planted;
    mod planted_benefits;
    pub mod pool;
    mod provoke;
    mod regressions;
    pub mod rules;
    pub mod rules_benefits;
    pub mod rules_exchange;
    pub mod rules_people;
    pub mod tally;
    pub mod terms_of;
    pub mod walk;
}

use book_model::planted::Bug;
use book_model::walk::Walk;
use hanse::book::command::Code;

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

fn walk(seed: u64, steps: u64) -> Walk {
    let mut walk = Walk::new(seed, None);
    for _ in 0..steps {
        if let Err(why) = walk.step() {
            panic!(
                "HANSE_MODEL_SEED={seed} HANSE_MODEL_STEPS={}: at that step the engine leaves the rules: {why}",
                walk.step
            );
        }
    }
    walk
}

#[test]
fn the_engine_keeps_the_rules_on_a_random_walk() {
    let long = std::env::var("HANSE_LONG").is_ok_and(|value| value == "1");
    let steps = from_environment("HANSE_MODEL_STEPS").unwrap_or(if long { 1_000_000 } else { 30_000 });
    let seed = from_environment("HANSE_MODEL_SEED").unwrap_or(1);
    let walk = walk(seed, steps);
    println!("seed {seed}, {steps} steps\n{}", walk.tally);
    assert!(walk.tally.accepted() * 2 >= walk.tally.all(), "fewer than half were accepted");
    if steps >= 1_000_000 {
        for (code, text) in Code::ALL {
            assert!(walk.tally.of(code) >= 1_000, "{text} was given {} times only", walk.tally.of(code));
        }
    }
}

/// Steps within which a planted bug must show.
const FOUND_WITHIN: u64 = 20_000;

/// The step at which a walk with this bug leaves the rules, and how.
fn hunt(seed: u64, bug: Bug) -> Option<(u64, String)> {
    let mut walk = Walk::new(seed, Some(bug));
    for _ in 0..FOUND_WITHIN {
        if let Err(why) = walk.step() {
            return Some((walk.step, why.lines().next().unwrap_or_default().to_owned()));
        }
    }
    None
}

#[test]
fn planted_bugs_are_found() {
    let seed = from_environment("HANSE_MODEL_SEED").unwrap_or(1);
    println!("{:<24}{:>8}  how", "bug", "step");
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let name = format!("{bug:?}");
        match hunt(seed, bug) {
            Some((step, why)) => println!("{name:<24}{step:>8}  {why:.150}"),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found within {FOUND_WITHIN} steps: {missed:?}");
}
