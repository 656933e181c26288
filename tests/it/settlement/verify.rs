//! Statements are checked from their files alone; whatever is changed in any of them is found and named.

use super::support::{House, convert, reverse, undo};
use crate::cli::{hanse, run};
use crate::support::Scratch;
use crate::support::book::pair;
use hanse::domain::ids::{ConversionId, WindowId};
use hanse::domain::settlement::Participant;
use hanse::service::settlement::{proofs, read};
use hanse::service::verify::{self, Input, Mark, Report};
use hanse::store::settlement::statements;
use std::io::Cursor;

/// A file with the name it has in the findings.
type File = (String, Vec<u8>);

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
    let mut bundles = proofs::of_conversion(&mut conn, &of, conversion).expect("proofs");
    bundles.retain(|bundle| bundle["window"] == row.number);
    let bundle = bundles.pop().unwrap_or_else(|| proofs::of_statement(&mut conn, &row).expect("proofs"));
    Files { statement, ndjson, csv, proofs: bundle.to_string().into_bytes() }
}

pub fn jwks(house: &House) -> Vec<u8> {
    house.keys.jwks().to_string().into_bytes()
}

pub fn checkpoint(house: &House) -> Vec<u8> {
    read::checkpoint(&mut house.conn(), None).expect("read").expect("a checkpoint").into_bytes()
}

pub fn verify(files: &[(&str, &[u8])]) -> Report {
    let input = |(name, bytes): &(&str, &[u8])| Input { name: (*name).to_owned(), source: Box::new(Cursor::new(bytes.to_vec())) };
    verify::verify(files.iter().map(input).collect(), |_| ()).expect("memory can be read")
}

/// What does not hold.
fn wrong(report: &Report) -> Vec<String> {
    let findings = report.sections.iter().flat_map(|section| &section.findings);
    let wrong = findings.filter(|finding| finding.mark == Mark::Differs);
    wrong.map(|finding| format!("{}: {}", finding.code, finding.says)).collect()
}

#[actix_web::test]
async fn a_window_that_was_not_touched_holds_and_says_what_was_checked() {
    let house = House::new("verify", "").await;
    let (a, _) = pair(&house.server, "1", 1_000).await;
    let first = convert(&house.server, "c1", a, 136).await;
    let second = convert(&house.server, "c2", a, 200).await;
    undo(&house.server, "u1", first).await;
    let window = house.closed();
    house.pay_all();
    reverse(&house.server, "r1", second, 34).await;
    let later = house.closed();
    let jwks = jwks(&house);
    let note = checkpoint(&house);
    for of in ["aa", "bb", "operator"] {
        let one = files(&house, window.id, of, first);
        let two = files(&house, later.id, of, second);
        let report = verify(&[
            ("1.json", &one.statement),
            ("1.ndjson", &one.ndjson),
            ("1.csv", &one.csv),
            ("1-proofs.json", &one.proofs),
            ("2.json", &two.statement),
            ("2.ndjson", &two.ndjson),
            ("2.csv", &two.csv),
            ("2-proofs.json", &two.proofs),
            ("jwks.json", &jwks),
            ("checkpoint", &note),
            ("readme", b"nothing of ours"),
        ]);
        println!("{:#}", report.to_json());
        assert_eq!(wrong(&report), Vec::<String>::new());
    }
}
