//! What the house looks like: which module may name which, sizes, words, migrations, dependencies.
//!
//! Every rule is a function from text to findings with a test that plants a violation; this file runs them all on
//! what is really there.

#[path = "tidy/alerts.rs"]
mod alerts;
#[path = "tidy/dependencies.rs"]
mod dependencies;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use source::Source;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folder`, as paths from the root.
fn rust_files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of ours").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                let path = entry.strip_prefix(root()).expect("below the root");
                found.push(path.to_str().expect("a plain name").to_owned());
            }
        }
    }
    found.sort_unstable();
    found
}

/// What is wrong with the folder of migrations.
fn migration_findings(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut numbers = BTreeSet::new();
    let entries = fs::read_dir(folder).expect("the folder of migrations").map(|entry| entry.expect("an entry").path());
    let mut folders: Vec<PathBuf> = entries.collect();
    folders.sort_unstable();
    for migration in folders {
        let name = migration.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (number, rest) = name.split_once('_').unwrap_or((&name, ""));
        let plain = rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if number.len() != 4 || number.parse::<u16>().is_err() || rest.is_empty() || !plain {
            found.push(format!("{name}: not four digits, _ and a plain name"));
        } else if !numbers.insert(number.to_owned()) {
            found.push(format!("{name}: the number {number} is taken"));
        }
        for file in ["up.sql", "down.sql"] {
            let sql = fs::read_to_string(migration.join(file)).unwrap_or_default();
            if sql.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with("--")) {
                found.push(format!("{name}: {file} is missing or says nothing"));
            }
        }
    }
    found
}

fn none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_file_keeps_the_rules() {
    let paths: Vec<String> = ["src", "tests"].into_iter().flat_map(rust_files).collect();
    assert!(paths.iter().any(|path| path == "src/lib.rs"));
    let mut found = Vec::new();
    for path in paths {
        let text = fs::read_to_string(root().join(&path)).expect("a text");
        let source = Source::new(&path, &text);
        found.extend(rules::RULES.iter().flat_map(|rule| rule(&source)));
    }
    none(&found);
}

#[test]
fn every_migration_goes_up_and_down() {
    none(&migration_findings(&root().join("migrations")));
}

#[test]
fn a_migration_without_a_way_back_is_found() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tidy-{}", std::process::id()));
    let plant = |name: &str, files: &[(&str, &str)]| {
        fs::create_dir_all(folder.join(name)).expect("made");
        files.iter().for_each(|(file, sql)| fs::write(folder.join(name).join(file), sql).expect("written"));
    };
    plant("0001_sound", &[("up.sql", "SELECT 1;"), ("down.sql", "SELECT 1;")]);
    plant("0001_taken", &[("up.sql", "SELECT 1;"), ("down.sql", "-- nothing\n")]);
    plant("2_Short", &[("up.sql", "SELECT 1;"), ("down.sql", "SELECT 1;")]);
    let found = migration_findings(&folder);
    fs::remove_dir_all(&folder).expect("removed");
    let wanted = [
        "0001_taken: the number 0001 is taken",
        "0001_taken: down.sql is missing or says nothing",
        "2_Short: not four digits, _ and a plain name",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn every_dependency_is_allowed() {
    none(&dependencies::violations(&dependencies::metadata()));
}

#[test]
fn every_alert_has_a_runbook_and_asks_for_what_is_emitted() {
    let texts = rust_files("src").into_iter().map(|path| fs::read_to_string(root().join(path)).expect("a text"));
    let emitted: BTreeSet<String> = texts.flat_map(|text| alerts::emitted(&text)).collect();
    let rules = fs::read_to_string(root().join("docs/alerts/hanse.rules.yml")).expect("the rules");
    none(&alerts::findings(&rules, |page| page.ends_with(".md") && root().join(page).is_file(), &emitted));
}

#[test]
fn an_alert_without_a_runbook_or_of_nothing_is_found() {
    let alert = |name: &str, expr: &str, severity: &str, page: &str| {
        format!(
            "      - alert: {name}\n        expr: {expr}\n        labels:\n          severity: {severity}\n        annotations:\n          \
             summary: \"s\"\n          runbook: {page}\n"
        )
    };
    let rules = [
        alert("Sound", "max by (partner) (rate(hanse_a_total[5m])) > 0", "page", "a.md"),
        alert("Sound", "up{job=\"hanse\"} == 0", "ticket", "a.md"),
        alert("Lost", "hanse_a_total > 0", "loud", "b.md"),
        alert("Unknown", "hanse_b_total > hanse_a_total", "page", "a.md"),
        alert("Others", "node_load1 > 0", "page", "a.md"),
    ];
    let emitted = alerts::emitted("metrics::counter!(\"hanse_a_total\").increment(1); \"the hanse_c is not one\"");
    let wanted = [
        "Sound: there are two",
        "Lost: its severity is neither page nor ticket",
        "Lost: no page at b.md",
        "Unknown: nothing emits hanse_b_total",
        "Others: asks for nothing of ours",
    ];
    assert_eq!(alerts::findings(&rules.concat(), |page| page == "a.md", &emitted), wanted);
    assert_eq!(alerts::findings("groups:", |_| true, &emitted), ["there are no alerts"]);
}
