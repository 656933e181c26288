//! `hanse verify` as it is typed: output, exit codes, standard input.

use super::Months;
use crate::cli::{hanse, run};
use crate::support::Scratch;
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;

#[actix_web::test]
async fn it_says_what_it_checked_and_ends_with_0_1_or_2() {
    let months = Months::new("program", "").await;
    let folder = Scratch::new("program-files");
    let files = months.files(0, "bb");
    let path = |name: &str| folder.path().join(name).to_str().expect("a plain path").to_owned();
    let put = |name: &str, bytes: &[u8]| {
        std::fs::write(path(name), bytes).expect("written");
        path(name)
    };
    // As `hanse settle export` writes them: a line feed at the end, and what is not signed laid out for people.
    let laid_out = |bytes: &[u8]| format!("{:#}\n", serde_json::from_slice::<Value>(bytes).expect("JSON")).into_bytes();
    let statement = put("statement.json", &[files.statement.as_slice(), b"\n"].concat());
    let (ndjson, csv) = (put("lines.ndjson", &files.ndjson), put("lines.csv", &files.csv));
    let (proofs, jwks) = (put("proofs.json", &laid_out(&files.proofs)), put("jwks.json", &laid_out(&months.jwks)));
    let (code, printed, told) = run(&mut hanse(&["verify", &csv, &proofs, &statement, &jwks, &ndjson]));
    assert_eq!((code, &*told), (Some(0), ""), "{printed}");
    for line in [
        "statement 对账单: bb, window 1, ",
        "  ✓ signatures   2 of 2 hold: EdDSA ",
        "  ✓ root         the tree over them (RFC 6962) has the root ",
        "all that was checked holds 核对无误: ",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }

    // Whatever may come from somewhere else may come from standard input.
    let mut child = hanse(&["verify", "--json", "-", &statement, &jwks]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let dearer =
        String::from_utf8(files.ndjson.clone()).expect("text").replacen(r#""amount":"3.40""#, r#""amount":"3.41""#, 1);
    child.stdin.take().expect("piped").write_all(dearer.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &report["holds"]), (Some(1), &json!(false)));
    assert_eq!(report["files"][0], json!({ "name": "standard input", "kind": "lines_ndjson" }));
    let wrong = report["sections"]
        .as_array()
        .expect("sections")
        .iter()
        .flat_map(|section| section["checks"].as_array().expect("checks"));
    let first = wrong.clone().find(|check| check["mark"] == "differs").expect("one is wrong");
    assert_eq!((&first["check"], &first["line_no"]), (&json!("lines"), &json!(1)), "{report:#}");

    let altered = put("altered.ndjson", dearer.as_bytes());
    let (code, _, told) = run(&mut hanse(&["verify", &altered, &statement, &jwks]));
    assert_eq!(code, Some(1));
    assert!(told.contains("lines: line 1: its amount is 3.41, and 68 points at 0.05 are 3.40\n"), "{told}");
    let stranger = put("notes.txt", b"nothing of ours");
    let empty = Scratch::new("program-empty");
    for wrong_use in [
        vec!["verify"],
        vec!["verify", "nowhere.json"],
        vec!["verify", &jwks],
        vec!["verify", &stranger],
        vec!["verify", empty.path().to_str().expect("plain")],
    ] {
        let (code, printed, told) = run(&mut hanse(&wrong_use));
        assert_eq!((code, &*printed), (Some(2), ""), "{wrong_use:?}: {told}");
    }
}

#[actix_web::test]
async fn a_folder_stands_for_the_files_in_it_and_for_none_deeper() {
    let months = Months::new("program-months", "").await;
    let files = months.files(0, "bb");
    let altered = String::from_utf8(files.ndjson.clone()).expect("text").replacen("3.40", "3.41", 1);
    let whole = Scratch::new("program-folder");
    let inside = |name: &str, bytes: &[u8]| std::fs::write(whole.path().join(name), bytes).expect("written");
    std::fs::create_dir(whole.path().join("reports")).expect("a folder");
    inside("jwks.json", &months.jwks);
    inside("notes.txt", b"nothing of ours");
    inside("reports/altered.ndjson", altered.as_bytes());
    std::os::unix::fs::symlink("nowhere", whole.path().join("gone")).expect("linked");
    let whole_path = whole.path().to_str().expect("a plain path").to_owned();
    let reports = format!("{whole_path}/reports");
    let (code, _, told) = run(&mut hanse(&["verify", &whole_path]));
    assert_eq!(code, Some(2), "keys and a stranger's file alone: {told}");
    inside("b-statement.json", &files.statement);
    inside("a-lines.ndjson", &files.ndjson);
    let (code, printed, told) = run(&mut hanse(&["verify", &whole_path]));
    assert_eq!((code, &*told), (Some(0), ""), "{printed}");
    let named: Vec<&str> = printed.lines().take(4).filter_map(|line| line.strip_prefix(&*whole_path)).collect();
    let kinds = ["/a-lines.ndjson", "/b-statement.json", "/jwks.json", "/notes.txt"];
    assert!(named.len() == 4 && named.iter().zip(kinds).all(|(line, name)| line.starts_with(name)), "{printed}");
    assert!(named[3].ends_with("none of ours: left aside"), "{printed}");
    let (code, _, told) = run(&mut hanse(&["verify", &whole_path, &reports]));
    assert_eq!(code, Some(1), "{told}");
}
