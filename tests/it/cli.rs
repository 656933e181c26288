//! The program as it is typed: output, exit codes, and what it leaves behind.

use crate::support::{self, Scratch, poll};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// The program with nothing of this environment's own settings.
pub fn hanse(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hanse"));
    command.args(arguments).current_dir(support::scratch(""));
    support::without_settings(&mut command);
    command
}

pub fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn wrong_use_is_2_and_says_what_was_wrong() {
    let (code, _, told) = run(&mut hanse(&["nonsense"]));
    assert_eq!(code, Some(2), "{told}");
    let (code, _, told) = run(hanse(&["serve"]).env("HANSE_LANES", "0"));
    assert_eq!((code, &*told), (Some(2), "hanse: HANSE_LANES: lanes: 0 is not between 1 and 64\n"));
    let (code, _, told) = run(&mut hanse(&["--json", "serve", "--lanes", "0"]));
    assert_eq!((code, &*told), (Some(2), "{\"error\":\"--lanes: lanes: 0 is not between 1 and 64\"}\n"));
}

#[test]
fn the_configuration_is_printed_with_its_sources_and_without_its_secrets() {
    let secret = "postgresql://me:secret@db/hanse";
    let (code, printed, _) = run(hanse(&["serve", "--print-config", "--lanes", "3"]).env("DATABASE_URL", secret));
    assert_eq!(code, Some(0));
    assert!(printed.contains("lanes = 3 # --lanes\n"), "{printed}");
    assert!(printed.contains("database_url = \"postgresql://me:***@db/hanse\" # DATABASE_URL\n"), "{printed}");
    let (_, printed, _) = run(&mut hanse(&["serve", "--print-config", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(json["lanes"], serde_json::json!({ "value": 2, "source": "default" }));
}

#[test]
fn migrate_brings_a_named_database_up_to_date_and_check_tells_whether_it_is() {
    let database = support::database();
    let migrate = |arguments: &[&str]| run(hanse(arguments).env("DATABASE_URL", &database.url));
    let (code, printed, _) = migrate(&["migrate", "--check"]);
    assert_eq!((code, &*printed), (Some(0), "the schema is up to date\n"));
    support::revert(&mut database.connection());
    let (code, printed, _) = migrate(&["migrate", "--check"]);
    assert_eq!(code, Some(1));
    assert!(printed.starts_with("missing 0000_ground\n"), "{printed}");
    let (code, printed, _) = migrate(&["migrate", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!((code, &json["ran"][0]), (Some(0), &serde_json::json!("0000_ground")));
}

#[test]
fn a_database_that_is_not_there_is_a_failure_in_one_line() {
    let nowhere = "postgresql://me:secret@127.0.0.1:1/hanse";
    let (code, _, told) = run(hanse(&["migrate"]).env("DATABASE_URL", nowhere));
    assert_eq!(code, Some(1));
    assert!(told.starts_with("hanse: the database cannot be reached: ") && !told.contains("secret"), "{told}");
}

#[test]
fn an_audit_of_nothing_proves_nothing_and_says_so() {
    let database = support::database();
    let (code, printed, told) = run(hanse(&["audit"]).env("DATABASE_URL", &database.url));
    assert_eq!((code, &*printed), (Some(1), ""));
    assert!(told.starts_with("hanse: nothing was ever published in this database"), "{told}");
}

#[test]
fn a_command_in_the_wrong_folder_says_so_and_makes_nothing() {
    let folder = Scratch::new("cli-elsewhere");
    let pki = ["pki", "enrol", "lumen"];
    let asked: [&[&str]; 8] = [
        &["audit"],
        &["conversions", "list"],
        &["webhooks", "list"],
        &["settle", "list"],
        &["rates", "list"],
        &["clock", "show"],
        &["partners", "show", "lumen"],
        &pki,
    ];
    for arguments in asked {
        let (code, printed, told) = run(hanse(arguments).current_dir(folder.path()));
        assert_eq!((code, &*printed), (Some(1), ""), "{arguments:?}: {told}");
        let wanted = "hanse: there is no database in .hanse: name the one meant with --data-dir";
        assert!(told.starts_with(wanted), "{arguments:?}: {told}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing is left behind");
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let mut child = hanse(&["serve", "--print-config"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn logging_starts_on_a_terminal_too() {
    let program = env!("CARGO_BIN_EXE_hanse");
    let typed = format!("{program} migrate --database-url postgresql://127.0.0.1:1/hanse");
    let mut terminal = Command::new("script");
    support::without_settings(terminal.args(["-qec", &typed, "/dev/null"]).stdin(Stdio::null()));
    let (code, told, _) = run(&mut terminal);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("hanse: the database cannot be reached"), "{told}");
}

#[test]
fn a_program_killed_in_its_first_start_leaves_a_folder_the_next_one_can_use() {
    let home = Scratch::new("interrupt");
    let folder = home.path().to_str().expect("a plain path");
    let mut child = hanse(&["migrate", "--data-dir", folder]).stdout(Stdio::null()).spawn().expect("it starts");
    // Killed at an arbitrary moment of its first start; the next one takes the folder as it finds it.
    poll("the cluster's folder", Duration::from_secs(60), || home.path().join("postgres").exists().then_some(()));
    child.kill().and_then(|()| child.wait()).expect("killed and collected");
    let (code, _, told) = run(&mut hanse(&["migrate", "--data-dir", folder]));
    assert_eq!(code, Some(0), "{told}");
    let (code, _, told) = run(&mut hanse(&["migrate", "--check", "--data-dir", folder]));
    assert_eq!(code, Some(0), "{told}");
}
