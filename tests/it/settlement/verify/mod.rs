//! Statements are checked from their files alone; whatever is changed in any of them is found and named.

mod forged;
mod grown;
mod many;
mod numbered;
mod program;
mod purposes;
mod signed;
mod tampered;

use super::support::{House, convert, reverse, undo};
use crate::support::book::pair;
use hanse::domain::holder::Holder;
use hanse::domain::ids::{ConversionId, WindowId};
use hanse::domain::settlement::Participant;
use hanse::service::settlement::statement::hex;
use hanse::service::settlement::{countersign, proofs, read};
use hanse::service::verify::{self, Input, Kind, Mark, Report, Section};
use hanse::signing::general::TYP;
use hanse::signing::jws::SigningKey;
use hanse::signing::{jwk, merkle};
use hanse::store::settlement::{log, statements, windows};
use hanse::store::signing_keys;
use serde_json::json;
use std::io::Cursor;
use uuid::Uuid;

/// The files of one participant's window.
pub struct Files {
    pub statement: Vec<u8>,
    pub ndjson: Vec<u8>,
    pub csv: Vec<u8>,
    pub proofs: Vec<u8>,
}

fn participant(text: &str) -> Participant {
    Participant::parse(text).expect("a participant")
}

pub fn files(house: &House, window: WindowId, of: &str, conversion: ConversionId) -> Files {
    let mut conn = house.conn();
    let of = participant(of);
    let row = statements::find(&mut conn, window, &of).expect("read").expect("a statement");
    let statement = read::document(&mut conn, &row).expect("a document").to_string().into_bytes();
    let (mut ndjson, mut lines) = (Vec::new(), read::Lines::of(&row));
    while let Some(more) = lines.next(&mut conn).expect("lines") {
        ndjson.extend(more);
    }
    let csv = [read::csv_heading(), read::to_csv(&ndjson).expect("CSV")].concat();
    let bundle = proofs::of_conversion(&mut conn, &row, conversion).expect("proofs");
    let newest = log::checkpoint(&mut conn).expect("read").expect("a checkpoint");
    let bundle = bundle.unwrap_or_else(|| proofs::of_statement(&mut conn, &row, &[], &newest).expect("proofs"));
    Files { statement, ndjson, csv, proofs: bundle.to_string().into_bytes() }
}

pub fn jwks(house: &House) -> Vec<u8> {
    house.keys.jwks().to_string().into_bytes()
}

pub fn checkpoint(house: &House) -> Vec<u8> {
    read::checkpoint(&mut house.conn()).expect("read").expect("a checkpoint").into_bytes()
}

/// As the log answers it, `/checkpoint/consistency`.
pub fn consistency(house: &House, from: u64, to: i64) -> Vec<u8> {
    let leaves = log::leaves(&mut house.conn(), Some(to)).expect("leaves");
    let path: Vec<String> = merkle::consistency_path(&leaves, from).iter().map(|hash| hex(hash)).collect();
    json!({ "from": from, "to": to, "path": path }).to_string().into_bytes()
}

pub fn verify(files: &[(&str, &[u8])]) -> Report {
    let input = |(name, bytes): &(&str, &[u8])| Input {
        name: (*name).to_owned(),
        source: Box::new(Cursor::new(bytes.to_vec())),
    };
    verify::verify(files.iter().map(input).collect(), |_| ()).expect("memory can be read")
}

/// The files of everybody in a window hold, alone and together; `before` are the statements of the window before it.
pub fn holds(house: &House, window: &windows::Row, before: &mut Vec<Vec<u8>>) {
    let mut conn = house.conn();
    let rows = statements::of_window(&mut conn, window.id).expect("statements");
    let all: Vec<Files> =
        rows.iter().map(|row| files(house, window.id, row.participant.as_str(), ConversionId(Uuid::nil()))).collect();
    let (jwks, note) = (jwks(house), checkpoint(house));
    let mut given: Vec<(&str, &[u8])> = vec![("jwks", &jwks), ("checkpoint", &note)];
    for Files { statement, ndjson, csv, proofs } in &all {
        given.extend([("s", statement.as_slice()), ("l", ndjson), ("c", csv), ("p", proofs)]);
    }
    given.extend(before.iter().map(|statement| ("before", statement.as_slice())));
    let report = verify(&given);
    assert_eq!(wrong(&report), NOTHING, "window {}", window.number);
    let nets =
        |section: &Section| section.findings.iter().any(|found| (found.code, found.mark) == ("nets", Mark::Holds));
    assert!(report.sections.iter().any(nets), "all nets come to nothing");
    let opening = report.sections.iter().flat_map(|section| &section.findings).filter(|found| found.code == "opening");
    assert_eq!(opening.count(), before.len(), "each goes on from the one before");
    *before = all.into_iter().map(|files| files.statement).collect();
}

/// What does not hold.
fn wrong(report: &Report) -> Vec<String> {
    let findings = report.sections.iter().flat_map(|section| &section.findings);
    let wrong = findings.filter(|finding| finding.mark == Mark::Differs);
    wrong.map(|finding| format!("{}: {}", finding.code, finding.says)).collect()
}

/// A window of two conversions, one of which was undone, and another that takes part of the other back.
pub struct Months {
    pub house: House,
    pub windows: [(WindowId, ConversionId); 2],
    pub jwks: Vec<u8>,
    /// The checkpoint after the first window.
    pub early: Vec<u8>,
}

impl Months {
    pub async fn new(name: &str, change: &str) -> Months {
        let house = House::new(name, change).await;
        let (a, _) = pair(&house.server, "1", 1_000).await;
        let first = convert(&house.server, "c1", a, 136).await;
        let second = convert(&house.server, "c2", a, 200).await;
        undo(&house.server, "u1", first).await;
        let window = house.closed();
        let early = checkpoint(&house);
        house.pay_all();
        reverse(&house.server, "r1", second, 34).await;
        let later = house.closed();
        let jwks = jwks(&house);
        Months { house, windows: [(window.id, first), (later.id, second)], jwks, early }
    }

    /// Registers a key of a partner and counter-signs its statement with it.
    pub fn countersign(&self, nth: usize, of: &str, kind: jwk::Kind) -> SigningKey {
        let key = SigningKey::from_pkcs8(&SigningKey::generate_kind(kind).expect("a key")).expect("a key");
        let (mut conn, (window, _)) = (self.house.conn(), self.windows[nth]);
        let holder = Holder::of("partner", of).expect("a holder");
        signing_keys::insert(&mut conn, &holder, key.kid(), &key.public().to_jwk()).expect("registered");
        let row = statements::find(&mut conn, window, &participant(of)).expect("read").expect("a statement");
        let made = key.sign_detached(TYP, row.payload.as_bytes());
        let (partner, made) = (of.parse().expect("a slug"), (&*made.protected, &*made.signature));
        countersign::countersign(&mut conn, &self.house.keys, &partner, window, made).expect("signed");
        key
    }

    pub fn files(&self, nth: usize, of: &str) -> Files {
        let (window, conversion) = self.windows[nth];
        files(&self.house, window, of, conversion)
    }
}

const NOTHING: [String; 0] = [];

#[actix_web::test]
async fn a_window_that_was_not_touched_holds_and_says_what_was_checked() {
    let months = Months::new("verify", "").await;
    let (note, growth) = (checkpoint(&months.house), consistency(&months.house, 3, 6));
    for of in ["aa", "bb", "operator"] {
        let (one, two) = (months.files(0, of), months.files(1, of));
        let all: [(&str, &[u8]); 13] = [
            ("growth", &growth),
            ("early", &months.early),
            ("checkpoint", &note),
            ("2-proofs.json", &two.proofs),
            ("2.csv", &two.csv),
            ("2.ndjson", &two.ndjson),
            ("2.json", &two.statement),
            ("1-proofs.json", &one.proofs),
            ("1.csv", &one.csv),
            ("1.ndjson", &one.ndjson),
            ("1.json", &one.statement),
            ("jwks.json", &months.jwks),
            ("readme", b"nothing of ours"),
        ];
        let report = verify(&all);
        assert_eq!(wrong(&report), NOTHING);
        assert_eq!(report.count(Mark::Unchecked), 0, "{:#}", report.to_json());
        assert_eq!(report.files.last().map(|file| file.kind), Some(Kind::Unknown));
        // Whatever is left out is missed.
        for left_out in 0..all.len() {
            let mut some = all.to_vec();
            let (name, _) = some.remove(left_out);
            let report = verify(&some);
            // Lines are there twice, and the later proofs have the later checkpoint in them.
            let spare = ["checkpoint", "readme", "1.csv", "1.ndjson", "2.csv", "2.ndjson"].contains(&name);
            let missed = report.count(Mark::Unchecked) + wrong(&report).len();
            assert_eq!(missed == 0, spare, "without {name}: {:#}", report.to_json());
            // A statement or a key is what the others hang on.
            let needed = ["jwks.json", "1.json", "2.json"].contains(&name);
            assert_eq!(wrong(&report).is_empty(), !needed, "without {name}");
        }
    }
}
