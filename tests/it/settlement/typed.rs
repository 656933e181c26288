//! `hanse settle` as finance types it, from a close to what is paid and put right: for people, and with `--json`.

use super::verify::{Months, checkpoint};
use crate::cli::{hanse, run};
use crate::support::Scratch;
use hanse::service::settlement::{countersign, rotate};
use hanse::signing::jwk::Kind;
use hanse::signing::keyring::Purpose;
use hanse::signing::note::Note;
use serde_json::{Value, json};
use std::path::Path;

/// The program on one database and one data folder.
struct Typed<'a> {
    url: &'a str,
    data: &'a str,
}

impl Typed<'_> {
    fn settle(&self, typed: &[&str]) -> (Option<i32>, String, String) {
        let all = [&["settle"], typed, &["--data-dir", self.data]].concat();
        run(hanse(&all).env("DATABASE_URL", self.url))
    }

    /// What it prints when it goes well.
    #[track_caller]
    fn prints(&self, typed: &[&str]) -> String {
        let (code, printed, told) = self.settle(typed);
        assert_eq!((code, &*told), (Some(0), ""), "{typed:?}: {printed}");
        printed
    }

    #[track_caller]
    fn answers(&self, typed: &[&str]) -> Value {
        let printed = self.prints(&[typed, &["--json"]].concat());
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{typed:?}: {error}: {printed}"))
    }

    /// What it says when it does not, for people and for machines.
    #[track_caller]
    fn refused(&self, typed: &[&str], code: i32) -> String {
        let (ended, printed, told) = self.settle(typed);
        assert_eq!((ended, &*printed), (Some(code), ""), "{typed:?}: {told}");
        let (ended, printed, in_json) = self.settle(&[typed, &["--json"]].concat());
        assert_eq!((ended, &*printed), (Some(code), ""), "{typed:?}: {in_json}");
        // What clap refuses is told for people alone.
        if let Ok(error) = serde_json::from_str::<Value>(&in_json) {
            assert_eq!(told, format!("hanse: {}\n", error["error"].as_str().expect("a text")));
        }
        told
    }
}

/// What a report says could not be checked.
fn unchecked(report: &Value) -> Vec<&str> {
    let sections = report["sections"].as_array().expect("sections").iter();
    let checks = sections.flat_map(|section| section["checks"].as_array().expect("checks"));
    checks.filter(|check| check["mark"] == "unchecked").filter_map(|check| check["says"].as_str()).collect()
}

/// A partner signs the newest checkpoint by a key that it has counter-signed the first window with.
fn witness(months: &Months, of: &str) {
    let key = months.countersign(0, of, Kind::Ed25519);
    let mut note = Note::parse(&checkpoint(&months.house)).expect("a note");
    note.cosign(of, &key, "2026-11-25T00:00:00Z".parse().expect("an instant")).expect("cosigned");
    let note = note.to_string();
    let (partner, line) = (of.parse().expect("a slug"), note.trim_end().lines().last().expect("a line"));
    countersign::cosign(&mut months.house.conn(), &partner, key.kid(), line).expect("witnessed");
}

/// Every key that hands over does so, and its time has come.
async fn rotate_all(months: &Months) {
    let keys = &months.house.keys;
    for purpose in Purpose::ALL.iter().copied().filter(|purpose| purpose.hands_over()) {
        assert!(keys.rotate(purpose).await.expect("rotated"));
        assert!(rotate::record(&mut months.house.conn(), keys, purpose).expect("recorded"));
    }
    change(months, "UPDATE alliance_keys SET signs_from = now() WHERE signs_from > now()");
    keys.refresh().await.expect("refreshed");
}

/// Two windows, the second of them just closed by hand and not paid.
async fn months(name: &str) -> Months {
    let months = Months::new(name, "").await;
    months.countersign(1, "aa", Kind::Ed25519);
    months
}

#[actix_web::test]
async fn windows_are_named_by_number_or_id_and_every_answer_is_there_for_machines() {
    let months = months("typed-windows").await;
    let data = months.house.folder().to_str().expect("a plain path");
    let typed = Typed { url: &months.house.book.database.url, data };
    let (first, second) = (months.windows[0].0.to_string(), months.windows[1].0.to_string());
    assert_eq!(typed.answers(&["close", "--due"]), json!({ "window": null }));
    assert!(typed.prints(&["close", "--due"]).starts_with("nothing to close: "));
    assert_eq!(typed.answers(&["close", "--window", "2"]), json!({ "window": null }), "it is closed");
    assert_eq!(typed.answers(&["close", "--window", &second]), json!({ "window": null }));
    let closed = typed.answers(&["close"]);
    assert_eq!((&closed["window"]["number"], &closed["window"]["state"]), (&json!(3), &json!("settled")));
    let by_id = typed.answers(&["show", closed["window"]["window_id"].as_str().expect("an id")]);
    assert_eq!(by_id, typed.answers(&["show", "3"]));
    let third = typed.answers(&["close", "--window", "4"]);
    assert_eq!(third["window"]["number"], 4, "one that is open is closed by its number");

    let listed = typed.answers(&["list"]);
    let ids: Vec<_> = listed.as_array().expect("windows").iter().rev().take(2).map(|row| &row["window_id"]).collect();
    assert_eq!(listed.as_array().map(Vec::len), Some(5), "{listed:#}");
    assert_eq!(ids, [&json!(first), &json!(second)]);
    let count = |state: &str| typed.prints(&["list"]).matches(state).count();
    assert_eq!((count("published"), count("settled")), (1, 3), "of three windows nothing is owed");
    assert!(typed.prints(&["show", &second]).starts_with("window 2 is published, amounts in CNY"));
    let lines = |window: &str| {
        typed.answers(&["show", window])["statements"]
            .as_array()
            .map_or(0, |rows| rows.iter().filter_map(|row| row["lines"].as_i64()).sum::<i64>())
    };
    let recomputed = typed.answers(&["recompute", &second]);
    assert_eq!((&recomputed["same"], &recomputed["statements"]), (&json!(true), &json!(3)));
    assert_eq!(recomputed["lines"], lines("2"), "{recomputed}");
    assert!(typed.prints(&["recompute", "2"]).starts_with("the same, byte for byte: "));

    let told = typed.refused(&["retry", &first], 1);
    assert_eq!(told, "hanse: window 1 is published: only a blocked window is tried again\n");
    for (wrong, what) in [("9", "9"), ("win_0198c0de0198c0de0198c0de0198c0de", "win_0198c0de0198c0de0198c0de0198c0de")]
    {
        let told = typed.refused(&["show", wrong], 2);
        assert_eq!(told, format!("hanse: there is no window {what}: `hanse settle list` names them\n"));
    }
    assert!(
        typed
            .refused(&["report", "pairs", "--window", "cnv_1"], 2)
            .contains("it is no window: write its number or win_…")
    );
    // One that is blocked is said to be, and closed anew once what differed is mended.
    change(&months, "UPDATE exposures SET value = value + 1 WHERE key = 'pair:aa:bb'");
    // It is logged as well.
    let (code, _, told) = typed.settle(&["close", "--log", "off"]);
    assert_eq!(code, Some(1));
    assert!(told.starts_with("hanse: window 5 is blocked, nothing is signed: the exposure pair:aa:bb "), "{told}");
    let later = "window_id IN (SELECT window_id FROM windows WHERE number >= 5)";
    change(&months, "UPDATE exposures SET value = value - 1 WHERE key = 'pair:aa:bb'");
    change(&months, &format!("UPDATE window_exposures SET value = value - 1 WHERE key = 'pair:aa:bb' AND {later}"));
    let answer = typed.answers(&["retry", "5"]);
    assert_eq!((&answer["number"], &answer["state"]), (&json!(5), &json!("closing")));
    typed.answers(&["close", "--due"]);
    assert_eq!(typed.answers(&["show", "5"])["window"]["state"], "settled");
}

#[actix_web::test]
async fn what_is_exported_verifies_by_itself_and_proves_the_lines_that_were_asked_for() {
    let months = months("typed-exports").await;
    witness(&months, "bb");
    let data = months.house.folder().to_str().expect("a plain path");
    let typed = Typed { url: &months.house.book.database.url, data };
    let (conversion, other) = (months.windows[1].1.to_string(), months.windows[0].1.to_string());
    let window = months.windows[1].0.to_string();
    let folder = Scratch::new("typed-files");
    let to = folder.path().to_str().expect("a plain path");
    let files = typed.answers(&["export", &window, "--to", to, "--conversion", &conversion]);
    let files: Vec<&str> = files["files"].as_array().expect("files").iter().filter_map(Value::as_str).collect();
    assert_eq!(files.len(), 3 * 4 + 2, "{files:?}");
    assert!(files.iter().all(|file| Path::new(file).parent() == Some(folder.path()) && Path::new(file).is_file()));
    let (code, printed, told) = run(&mut hanse(&["verify", to]));
    assert_eq!((code, &*told), (Some(0), ""), "{printed}");
    assert!(printed.contains("3 of 3 hold: EdDSA") && printed.contains("(aa's, "), "{printed}");
    assert_eq!(printed.matches(", each leading to the root ").count(), 3, "aa, bb and the operator: {printed}");
    let (code, printed, _) = run(&mut hanse(&["verify", to, "--json"]));
    let report: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!((code, &report["holds"]), (Some(0), &json!(true)));
    // The counter-signature is a record of the log, too: the proofs are of the log with it, as the checkpoint beside them.
    let unchecked = unchecked(&report);
    let before = "that the first goes on from window 1: add the statement of that one";
    assert_eq!(printed.matches("cosigned by bb at ").count(), 3 + 1, "under each proof and beside it: {printed}");
    assert_eq!(unchecked, [before; 3], "the statements before, of three");
    // Said twice is proven once; not said, the proofs are the statement's alone.
    let proven = |more: &[&str]| {
        typed.prints(&[&["export", "2", "--participant", "aa", "--to", to], more].concat());
        let proofs = std::fs::read(folder.path().join("aa-proofs.json")).expect("proofs");
        let proofs: Value = serde_json::from_slice(&proofs).expect("JSON");
        proofs["lines"].as_array().map_or(0, Vec::len)
    };
    let once = proven(&["--conversion", &conversion]);
    assert!(once > 0);
    assert_eq!((proven(&["--conversion", &conversion, "--conversion", &conversion]), proven(&[])), (once, 0));
    // Others exported into the same folder later take nothing from it.
    typed.prints(&["export", "1", "--participant", "bb", "--to", to]);
    let (code, printed, told) = run(&mut hanse(&["verify", to]));
    assert_eq!((code, &*told), (Some(0), ""), "{printed}");
    assert!(printed.contains("3 of 3 hold: EdDSA"), "{printed}");
    let typed_wrong = ["export", "2", "--participant", "aa", "--to", to, "--conversion", &other];
    let told = typed.refused(&typed_wrong, 2);
    assert_eq!(told, format!("hanse: window 2 has no line of {other} for aa\n"));
    assert!(typed.refused(&["export", "2", "--conversion", "7"], 2).contains("cnv_ and 32 digits"));
    let told = typed.refused(&["export", "3", "--to", to], 1);
    assert_eq!(told, "hanse: window 3 is open: nothing is published yet\n");

    let reports = Scratch::new("typed-reports");
    let to = reports.path().to_str().expect("a plain path");
    for (form, window) in [("csv", "2"), ("html", window.as_str())] {
        let all = ["report", "statement", "--window", window, "--participant", "aa", "--form", form, "--to", to];
        let answer = typed.answers(&all);
        let files: Vec<&str> = answer["files"].as_array().expect("files").iter().filter_map(Value::as_str).collect();
        assert!(
            !files.is_empty()
                && files.iter().all(|file| file.contains("/statement-w0002-aa") && Path::new(file).is_file())
        );
        assert_eq!(typed.prints(&all), files.join("\n") + "\n");
    }
}

#[actix_web::test]
async fn what_is_exported_after_keys_have_handed_over_verifies_with_their_records_beside_it() {
    let months = months("typed-rotated").await;
    rotate_all(&months).await;
    months.house.closed();
    let data = months.house.folder().to_str().expect("a plain path");
    let typed = Typed { url: &months.house.book.database.url, data };
    let folder = Scratch::new("typed-rotated-files");
    let to = folder.path().to_str().expect("a plain path");
    let files = typed.answers(&["export", "3", "--participant", "aa", "--to", to]);
    let last = files["files"].as_array().and_then(|files| files.last()).and_then(Value::as_str);
    let path = |name: &str| folder.path().join(name).to_str().expect("a plain path").to_owned();
    assert_eq!(last, Some(&*path("key-rotations.json")), "{files:#}");
    let (code, printed, told) = run(&mut hanse(&["verify", to, "--json"]));
    assert_eq!((code, &*told), (Some(0), ""), "{printed}");
    let report = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(unchecked(&report), ["that the first goes on from window 2: add the statement of that one"]);
    assert_eq!(printed.matches(" handed over to ").count(), 3, "{printed}");

    // With the keys as they were fetched before, who has signed since is not known, and it is said where it is told.
    std::fs::write(path("jwks.json"), &months.jwks).expect("written");
    let (code, printed, told) = run(&mut hanse(&["verify", to]));
    assert_eq!(code, Some(1));
    let again = "fetch the alliance's /.well-known/jwks.json again, it has all of its keys, old and new";
    assert!(
        told.contains(" of signature 1 is in none of the files: ") && told.ends_with(&format!("{again}\n")),
        "{told}"
    );
    let wrong: Vec<&str> = printed.lines().filter(|line| line.starts_with("  ✗")).collect();
    assert!(wrong.iter().all(|wrong| wrong.ends_with(again)), "{wrong:#?}");
    assert_eq!(printed.lines().filter(|line| line.starts_with("  – rotations ")).count(), 3, "{printed}");
    // What was signed before holds by them, and today's records make nothing of it wrong.
    std::fs::write(path("january.json"), months.files(0, "aa").statement).expect("written");
    let (january, keys, records) = (path("january.json"), path("jwks.json"), path("key-rotations.json"));
    let (code, printed, told) = run(&mut hanse(&["verify", &january, &keys, &records, "--json"]));
    assert_eq!((code, &*told), (Some(0), ""), "{printed}");
    let report = serde_json::from_str(&printed).expect("JSON");
    assert!(unchecked(&report).iter().filter(|says| says.ends_with(again)).count() == 3, "{printed}");
}

#[actix_web::test]
async fn payments_are_known_by_their_reference_and_adjustments_take_two() {
    let months = months("typed-payments").await;
    let data = months.house.folder().to_str().expect("a plain path");
    let typed = Typed { url: &months.house.book.database.url, data };
    let owed = typed.answers(&["pay"]);
    let owed = owed.as_array().expect("obligations").iter().find(|row| row["window"] == 2).expect("one of it").clone();
    let (id, amount) = (owed["obligation_id"].as_str().expect("an id"), owed["amount"].as_str().expect("an amount"));
    assert!(typed.prints(&["pay"]).contains(id));
    let told = typed.refused(&["pay", id], 2);
    assert!(told.contains("--reference <TEXT>") && told.contains("--by <NAME>"), "{told}");
    typed.refused(&["pay", id, "--amount", "0.40"], 2);
    typed.refused(&["pay", id, "--by", "fin", "--reference", ""], 2);
    typed.refused(&["pay", id, "--reference", "BANK-1"], 2);
    typed.refused(&["pay", "--reference", "BANK-1"], 2);
    typed.refused(&["pay", "obl_1", "--by", "fin", "--reference", "BANK-1"], 2);
    let part =
        |reference: &str| typed.answers(&["pay", id, "--by", "fin", "--amount", "0.40", "--reference", reference]);
    let first = part("BANK-1");
    assert_eq!((&first["paid"], &first["of"], &first["repeated"]), (&json!("0.40"), &json!(amount), &json!(false)));
    let again = part("BANK-1");
    assert_eq!((&again["paid"], &again["repeated"]), (&json!("0.40"), &json!(true)));
    assert_eq!(again["payment_id"], first["payment_id"]);
    let printed = typed.prints(&["pay", id, "--by", "fin", "--amount", "0.40", "--reference", "BANK-1"]);
    assert!(printed.ends_with(&format!(": 0.40 of {amount} paid (recorded before)\n")), "{printed}");
    assert_eq!(part("BANK-2")["paid"], "0.80", "as much again, under a reference of its own, is another payment");
    let printed = typed.prints(&["pay", id, "--by", "fin", "--reference", "BANK-3"]);
    assert!(printed.ends_with(&format!(": {amount} of {amount} paid\n")), "{printed}");
    let told = typed.refused(&["pay", id, "--by", "fin", "--reference", "BANK-4"], 1);
    assert_eq!(told, "hanse: it has been paid in full, under another reference\n");

    let asked = ["adjust", "--from", "aa", "--to", "bb", "--amount", "12.50", "--reason", "late", "--by", "ada"];
    let answer = typed.answers(&asked);
    assert_eq!(answer["state"], "asked");
    let id = answer["adjustment_id"].as_str().expect("an id");
    let told = typed.refused(&["approve", id, "--by", "ada"], 1);
    assert_eq!(told, "hanse: who asked for it does not approve it: another person must\n");
    let waiting = typed.answers(&["approve"]);
    assert_eq!((&waiting[0]["adjustment_id"], &waiting[0]["asked_by"]), (&json!(id), &json!("ada")));
    assert!(typed.prints(&["approve"]).contains(id));
    typed.refused(&["approve", id], 2);
    let told = typed.refused(&["approve", id, "--by", "ADA"], 1);
    assert_eq!(told, "hanse: who asked for it does not approve it: another person must\n");
    let answer = typed.answers(&["approve", id, "--by", "grace"]);
    assert_eq!((&answer["adjustment_id"], &answer["state"]), (&json!(id), &json!("approved")));
    let printed = typed.prints(&asked);
    let other = printed.split_whitespace().find(|word| word.starts_with("adj_")).expect("an id");
    let other = other.trim_end_matches(':');
    let printed = typed.prints(&["approve", other, "--by", "grace", "--refuse"]);
    assert_eq!(printed, format!("{other} refused: aa owes bb 12.50 (late)\n"));
}

fn change(months: &Months, sql: &str) {
    use diesel::connection::SimpleConnection;
    months.house.conn().batch_execute(sql).expect("changed");
}
