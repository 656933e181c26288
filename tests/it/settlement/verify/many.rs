//! Statements of some thousands of lines, made, read and proven through the API: lines in many chunks, trees of many groups.

use super::{NOTHING, verify, wrong};
use crate::api::{Api, Expect};
use hanse::service::verify::{Mark, Report};
use serde_json::{Value, json};

/// Conversions in each of two windows: twice as many lines of the target's, three whole chunks and some more.
const CONVERSIONS: usize = 1_700;
const LINES: usize = 2 * CONVERSIONS;
/// As many as one request may hold.
const BATCH: usize = 1_000;
/// Lines of a chunk, and leaves of a group of the tree.
const CHUNK: usize = 1_024;

/// A window as one partner has it.
struct Had {
    path: String,
    number: Value,
    statement: Vec<u8>,
    ndjson: Vec<u8>,
    csv: Vec<u8>,
}

impl Had {
    fn lines(&self) -> Vec<Value> {
        let lines = self.ndjson.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("JSON")).collect()
    }

    /// The proofs of a line's conversion.
    fn proofs(&self, api: &Api, line: &Value) -> Value {
        let conversion = line["conversion_id"].as_str().expect("an id");
        api.bb.get(&format!("{}/proofs/{conversion}", self.path)).status(200)
    }
}

/// Amounts wander, so that no two chunks look alike.
fn a_window(api: &Api, name: &str) -> Had {
    let item = |nth: usize| {
        let points = 40 + 2 * (nth * 7_919 % 61);
        let key = format!("{name}-{nth}");
        json!({ "idempotency_key": key, "member_ref": "A-1", "to": "bb", "points": points, "external_reference": key })
    };
    let items: Vec<Value> = (0..CONVERSIONS).map(item).collect();
    for items in items.chunks(BATCH) {
        let outcomes = api.aa.post("/v1/conversions/batch", "", &json!({ "items": items })).status(200);
        let outcomes = outcomes["items"].as_array().expect("items");
        assert!(outcomes.len() == items.len() && outcomes.iter().all(|item| item["status"] == 201), "all are made");
    }
    let path = format!("/v1/settlements/{}", api.close_window().id);
    let read = |of: &str| {
        let answer = api.bb.get(&format!("{path}/{of}"));
        assert_eq!(answer.status, 200, "{of}");
        answer.body
    };
    let (statement, ndjson, csv) = (read("statement"), read("lines"), read("lines?format=csv"));
    let number = api.bb.get(&path).status(200)["number"].clone();
    Had { path, number, statement, ndjson, csv }
}

/// The lines that are said to be wrong.
fn blamed(report: &Report) -> Vec<i64> {
    let findings = report.sections.iter().flat_map(|section| &section.findings);
    findings.filter(|finding| finding.mark == Mark::Differs).filter_map(|finding| finding.line_no).collect()
}

fn line_no(line: &Value) -> i64 {
    line["line_no"].as_i64().expect("a number")
}

#[test]
fn lines_of_every_chunk_are_read_and_proven_and_no_other_path_will_do() {
    let api = Api::new("many-lines", "");
    api.linked();
    let opening =
        json!({ "points": 1_000_000, "kind": "opening", "reason": "opening", "external_reference": "opening-many" });
    api.aa.post("/v1/memberships/A-1/credits", "opening-many", &opening).status(201);
    let windows = [a_window(&api, "one"), a_window(&api, "two")];
    let jwks = api.jwks();
    for (nth, had) in windows.iter().enumerate() {
        let lines = had.lines();
        let first = i64::try_from(1 + nth * LINES).expect("few");
        let numbers = first..first + i64::try_from(LINES).expect("few");
        assert!(lines.iter().map(line_no).eq(numbers.clone()), "all of them, in sequence");
        let told = api.bb.get(&had.path).status(200);
        assert_eq!(told["statement"]["lines"], LINES, "{told:#}");
        let records = had.csv.split(|byte| *byte == b'\n').filter(|record| !record.is_empty()).count();
        assert_eq!(records, 1 + LINES, "a heading, and a record a line");
        everything_of_a_window_holds(&api, had, &lines, &jwks);
    }
    another_path_leads_nowhere(&api, &windows, &jwks);
}

/// Lines about the ends of every chunk, and the very last, are proven, each at its own place.
fn everything_of_a_window_holds(api: &Api, had: &Had, lines: &[Value], jwks: &[u8]) {
    let mut given: Vec<Vec<u8>> = vec![had.statement.clone(), had.ndjson.clone(), had.csv.clone(), jwks.to_vec()];
    for place in [0, CHUNK - 1, CHUNK, CHUNK + 512, 2 * CHUNK - 1, 2 * CHUNK, 3 * CHUNK, LINES - 1] {
        let proofs = had.proofs(api, &lines[place]);
        let proven = proofs["lines"].as_array().expect("lines");
        assert_eq!((proven.len(), &proofs["size"]), (2, &json!(LINES)), "the conversion and its bonus");
        let own = proven.iter().find(|proof| proof["index"] == place).expect("its place");
        let line: Value = serde_json::from_str(own["line"].as_str().expect("a line")).expect("JSON");
        assert_eq!(line, lines[place]);
        given.push(proofs.to_string().into_bytes());
    }
    let given: Vec<(&str, &[u8])> = given.iter().map(|bytes| ("file", bytes.as_slice())).collect();
    let report = verify(&given);
    assert_eq!(wrong(&report), NOTHING, "window {}", had.number);
}

/// The path of another line, of the same chunk or another one, or of the same place in another window.
fn another_path_leads_nowhere(api: &Api, [one, two]: &[Had; 2], jwks: &[u8]) {
    let (lines, others) = (one.lines(), two.lines());
    let path = |proofs: &Value, place: usize| {
        let proven = proofs["lines"].as_array().expect("lines");
        proven.iter().find(|proof| proof["index"] == place).expect("its place")["path"].clone()
    };
    let of = |place: usize| path(&one.proofs(api, &lines[place]), place);
    for place in [0, CHUNK + 512, LINES - 1] {
        let proofs = one.proofs(api, &lines[place]);
        let own = path(&proofs, place);
        let beside = if place == LINES - 1 { place - 40 } else { place + 40 };
        let wrong_ones = [
            ("of the same chunk", of(beside)),
            ("of another chunk", of((place + CHUNK) % (3 * CHUNK))),
            ("of another window", path(&two.proofs(api, &others[place]), place)),
        ];
        for (what, another) in wrong_ones {
            assert_ne!(own, another, "{what}");
            let mut swapped = proofs.clone();
            let proven = swapped["lines"].as_array_mut().expect("lines").iter_mut();
            proven.filter(|proof| proof["index"] == place).for_each(|proof| proof["path"] = another.clone());
            let swapped = swapped.to_string();
            let report = verify(&[("statement", &one.statement), ("proofs", swapped.as_bytes()), ("keys", jwks)]);
            let no = line_no(&lines[place]);
            assert_eq!(blamed(&report), [no], "{what}: {:#?}", wrong(&report));
            let says = format!("lines: line {no}: its path does not lead to the root");
            assert_eq!(wrong(&report), [says], "{what}");
        }
    }
    // The bundle of the other window as a whole belongs to no statement given, and its root is not this one's.
    let foreign = two.proofs(api, &others[CHUNK]).to_string();
    let says = format!("these are proofs of bb, window {}, and no statement given is", two.number);
    let report = verify(&[("statement", &one.statement), ("proofs", foreign.as_bytes()), ("keys", jwks)]);
    assert!(wrong(&report).iter().any(|wrong| wrong.contains(&says)), "{:#?}", wrong(&report));
}
