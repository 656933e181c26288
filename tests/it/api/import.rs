//! `hanse import` as it is typed, against a real server: killed half way, resumed, run again.

use super::Api;
use crate::support::{Scratch, poll};
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const LINES: usize = 5_500;

#[derive(QueryableByName, Debug, PartialEq, Eq)]
struct Counts {
    #[diesel(sql_type = BigInt)]
    memberships: i64,
    #[diesel(sql_type = BigInt)]
    movements: i64,
    #[diesel(sql_type = BigInt)]
    points: i64,
}

fn counts(api: &Api) -> Counts {
    sql_query(
        "SELECT (SELECT count(*) FROM memberships) AS memberships, (SELECT count(*) FROM movements) AS movements, \
         (SELECT coalesce(sum(balance), 0)::bigint FROM accounts) AS points",
    )
    .get_result(&mut api.house.database.connection())
    .expect("counted")
}

fn import(api: &Api, csv: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hanse"));
    let port = api.house.server.api_address().port();
    command.arg("import").arg(csv).args(["--json", "--partner", "aa", "--concurrency", "1"]);
    command.args(["--url", &format!("https://127.0.0.1:{port}")]).arg("--pki-dir").arg(api.house.folder.path());
    command.env_remove("RUST_LOG").env_remove("DATABASE_URL");
    command
}

#[test]
fn a_killed_import_resumes_and_a_repeated_one_does_nothing() {
    let api = Api::new("import", "");
    let folder = Scratch::new("import-csv");
    let csv = folder.path().join("members.csv");
    let mut text = "member_ref,tier,status,lot1_points,lot1_expires_on,lot2_points,lot2_expires_on\n".to_owned();
    for n in 0..LINES {
        let status = if n % 100 == 7 { "frozen" } else { "active" };
        writeln!(text, "M-{n},basic,{status},101,2099-06-30,136,").expect("written");
    }
    std::fs::write(&csv, text).expect("written");
    let checkpoint = folder.path().join("members.csv.checkpoint");

    let mut first = import(&api, &csv).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    poll("the first batch is there", Duration::from_secs(60), || {
        std::fs::read_to_string(&checkpoint).ok().filter(|text| text.contains("0.\n"))
    });
    first.kill().expect("killed");
    first.wait().expect("ended");
    let half = counts(&api);
    assert!((1_000..LINES as i64).contains(&half.memberships), "{half:?}");

    let whole = Counts { memberships: LINES as i64, movements: 2 * LINES as i64, points: 237 * LINES as i64 };
    for run in ["resumed", "repeated"] {
        let output = import(&api, &csv).output().expect("it runs");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{run}: {told}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(counts(&api), whole, "{run}");
        assert!(!checkpoint.exists(), "{run}");
        let lines = serde_json::from_str::<serde_json::Value>(&told).expect("JSON")["memberships"].clone();
        assert_eq!(lines.as_u64() < Some(LINES as u64), run == "resumed", "{run}: {told}");
    }
}

#[test]
fn a_refused_line_is_told_by_its_number_and_harms_no_other() {
    let api = Api::new("import-refused", "");
    let folder = Scratch::new("import-refused-csv");
    let csv = folder.path().join("members.csv");
    let text = "member_ref,tier,status,lot1_points,lot1_expires_on,lot2_points,lot2_expires_on\n\
                M-1,basic,active,5,,,\nM-2,gold,active,5,,,\nM-3,basic,active,5,2099-06-29,,\nM-4,top,frozen,5,,,\n";
    std::fs::write(&csv, text).expect("written");
    let output = import(&api, &csv).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let refused: Vec<_> = told["first_refused"].as_array().expect("texts").iter().map(|text| text.as_str()).collect();
    let wanted = [
        "line 3: M-2: invalid: tier must be a tier of the programme",
        "line 4: M-3: invalid: expires_on must be the last day of a month",
    ];
    assert_eq!(refused, wanted.map(Some));
    assert_eq!(counts(&api), Counts { memberships: 3, movements: 2, points: 10 });
}
