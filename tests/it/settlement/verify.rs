//! Statements are checked from their files alone; whatever is changed in any of them is found and named.

use super::support::{House, convert, reverse, undo};
use crate::support::book::pair;
use crate::support::is_long;
use hanse::domain::ids::{ConversionId, WindowId};
use hanse::domain::settlement::Participant;
use hanse::service::settlement::{proofs, read};
use hanse::service::verify::{self, Input, Kind, Mark, Report, Section};
use hanse::store::settlement::{statements, windows};
use std::io::Cursor;
use std::ops::Range;
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
struct Months {
    house: House,
    windows: [(WindowId, ConversionId); 2],
    jwks: Vec<u8>,
}

impl Months {
    async fn new(name: &str, change: &str) -> Months {
        let house = House::new(name, change).await;
        let (a, _) = pair(&house.server, "1", 1_000).await;
        let first = convert(&house.server, "c1", a, 136).await;
        let second = convert(&house.server, "c2", a, 200).await;
        undo(&house.server, "u1", first).await;
        let window = house.closed();
        house.pay_all();
        reverse(&house.server, "r1", second, 34).await;
        let later = house.closed();
        let jwks = jwks(&house);
        Months { house, windows: [(window.id, first), (later.id, second)], jwks }
    }

    fn files(&self, nth: usize, of: &str) -> Files {
        let (window, conversion) = self.windows[nth];
        files(&self.house, window, of, conversion)
    }
}

/// What changing one bit of every byte in `range` leaves unnoticed; `check` has the changed bytes checked.
fn unnoticed(bytes: &[u8], range: Range<usize>, check: impl Fn(&[u8]) -> Report + Sync) -> Vec<String> {
    unnamed(bytes, range, |_, changed| !wrong(&check(changed)).is_empty())
}

/// The changes of one bit, another one from byte to byte, all of them in a long run, of which `named` says no.
fn unnamed(bytes: &[u8], range: Range<usize>, named: impl Fn(usize, &[u8]) -> bool + Sync) -> Vec<String> {
    let bits = |at: usize| if is_long() { 0..8 } else { at % 8..at % 8 + 1 };
    let places: Vec<(usize, u8)> = range.flat_map(|at| bits(at).map(move |bit| (at, 1 << bit))).collect();
    let half = places.len().div_ceil(2).max(1);
    std::thread::scope(|scope| {
        let running = places.chunks(half).map(|places| {
            let named = &named;
            scope.spawn(move || {
                let mut unnamed = Vec::new();
                for (at, bit) in places {
                    let mut changed = bytes.to_vec();
                    changed[*at] ^= bit;
                    if !named(*at, &changed) {
                        let around = String::from_utf8_lossy(&bytes[at.saturating_sub(30)..(at + 30).min(bytes.len())]);
                        unnamed.push(format!("byte {at} ^ {bit:#04x}: …{around}…"));
                    }
                }
                unnamed
            })
        });
        let running: Vec<_> = running.collect();
        running.into_iter().flat_map(|running| running.join().expect("no panic")).collect()
    })
}

const NOTHING: [String; 0] = [];

#[actix_web::test]
async fn a_window_that_was_not_touched_holds_and_says_what_was_checked() {
    let months = Months::new("verify", "").await;
    let note = checkpoint(&months.house);
    for of in ["aa", "bb", "operator"] {
        let (one, two) = (months.files(0, of), months.files(1, of));
        let all: [(&str, &[u8]); 11] = [
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
        assert_eq!(
            report.count(Mark::Unchecked),
            1,
            "how the log grew from one checkpoint to the other: {:#}",
            report.to_json()
        );
        assert_eq!(report.files.last().map(|file| file.kind), Some(Kind::Unknown));
        // Whatever is left out is missed, and nothing but a key is needed for the rest to hold.
        for left_out in 0..all.len() {
            let mut some = all.to_vec();
            let (name, _) = some.remove(left_out);
            let report = verify(&some);
            assert_eq!(wrong(&report).is_empty(), !["jwks.json", "1.json", "2.json"].contains(&name), "without {name}");
        }
    }
}

#[actix_web::test]
async fn every_byte_of_a_statement_a_proof_a_checkpoint_and_a_key_counts() {
    let months = Months::new("bytes", "").await;
    let Files { statement, proofs, .. } = months.files(0, "bb");
    let (jwks, note) = (months.jwks.as_slice(), checkpoint(&months.house));
    let found = unnoticed(&statement, 0..statement.len(), |changed| verify(&[("s", changed), ("k", jwks)]));
    assert_eq!(found, NOTHING, "of the statement");
    let found =
        unnoticed(&proofs, 0..proofs.len(), |changed| verify(&[("p", changed), ("s", &statement), ("k", jwks)]));
    assert_eq!(found, NOTHING, "of the proofs");
    let found = unnoticed(&note, 0..note.len(), |changed| verify(&[("c", changed), ("k", jwks)]));
    assert_eq!(found, NOTHING, "of the checkpoint");
    // The key of quotes, which are not checked here, is the only one that is not used.
    let text = String::from_utf8(jwks.to_vec()).expect("text");
    let quotes =
        text.find('{').and_then(|open| text[open + 1..].find('{').map(|at| open + 1 + at)).expect("a first key");
    let after = quotes + text[quotes..].find('}').expect("its end") + 1;
    let check = |changed: &[u8]| verify(&[("k", changed), ("s", &statement), ("c", &note)]);
    assert_eq!(unnoticed(jwks, 0..quotes, check), NOTHING, "of the keys");
    assert_eq!(unnoticed(jwks, after..jwks.len(), check), NOTHING, "of the keys");
}

/// Whether this line is what is said to be wrong first of all lines.
fn names(report: &Report, line_no: i64) -> bool {
    let findings = report.sections.iter().flat_map(|section| &section.findings);
    let mut wrong = findings.filter(|finding| finding.mark == Mark::Differs);
    wrong.find_map(|finding| finding.line_no) == Some(line_no)
}

/// The place of the first line with `line_no` in a file that has one line a line.
fn line_at(bytes: &[u8], at: usize) -> i64 {
    let before = bytes[..at].iter().filter(|byte| **byte == b'\n').count();
    i64::try_from(before).expect("few lines")
}

#[actix_web::test]
async fn every_byte_of_a_line_counts_and_the_line_is_named_unless_its_figures_agree() {
    let months = Months::new("lines", "").await;
    let Files { statement, ndjson, csv, proofs, .. } = months.files(0, "bb");
    let jwks = months.jwks.as_slice();
    let some_line =
        |report: &Report| wrong(report).iter().any(|wrong| wrong.contains("one of the lines 1 to 6 was altered"));
    let found = unnamed(&ndjson, 0..ndjson.len(), |at, changed| {
        let report = verify(&[("l", changed), ("s", &statement), ("k", jwks)]);
        names(&report, 1 + line_at(&ndjson, at)) || some_line(&report)
    });
    assert_eq!(found, NOTHING, "of the lines");
    // The heading is the first record.
    let found = unnamed(&csv, 0..csv.len(), |at, changed| {
        let report = verify(&[("l", changed), ("s", &statement), ("k", jwks)]);
        let line_no = line_at(&csv, at);
        // After its carriage return a record has ended: what stands for the line feed begins the next one.
        let named = names(&report, line_no) || (csv[at] == b'\n' && names(&report, line_no + 1));
        if line_no == 0 { !wrong(&report).is_empty() } else { named || some_line(&report) }
    });
    assert_eq!(found, NOTHING, "of the records");
    // The first conversion's lines, and those of its undoing, are proven: the first and the last two, with their memos.
    let proven = [1, 2, 5, 6];
    let found = unnamed(&ndjson, 0..ndjson.len(), |at, changed| {
        let line_no = 1 + line_at(&ndjson, at);
        let report = verify(&[("l", changed), ("s", &statement), ("p", &proofs), ("k", jwks)]);
        names(&report, line_no) || (!proven.contains(&line_no) && some_line(&report))
    });
    assert_eq!(found, NOTHING, "of the lines that are proven");
}

#[actix_web::test]
async fn lines_that_are_dropped_added_moved_or_renumbered_are_named() {
    let months = Months::new("moved", "").await;
    let Files { statement, ndjson, proofs, .. } = months.files(0, "bb");
    let jwks = months.jwks.as_slice();
    let lines: Vec<&str> = std::str::from_utf8(&ndjson).expect("text").lines().collect();
    let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let renumbered = lines[2].replacen(r#""line_no":3"#, r#""line_no":9"#, 1);
    let dearer = lines[0].replacen(r#""amount":"3.40""#, r#""amount":"4.40""#, 1);
    assert!(renumbered != lines[2] && dearer != lines[0], "{lines:#?}");
    let without = |nth: usize| joined(&[&lines[..nth], &lines[nth + 1..]].concat());
    let with = |nth: usize, line: &str| joined(&[&lines[..nth], &[line], &lines[nth..]].concat());
    let instead = |nth: usize, line: &str| joined(&[&lines[..nth], &[line], &lines[nth + 1..]].concat());
    let swapped = joined(&[&lines[..1], &[lines[2], lines[1]], &lines[3..]].concat());
    for (changed, name) in [
        (without(0), "line 1: it is numbered 2, and 1 is due"),
        (without(2), "line 3: it is numbered 4, and 3 is due"),
        (without(5), "5 lines from 1 on, and the statement has 6 from 1 on"),
        (with(3, lines[2]), "line 4: it is numbered 3, and 4 is due"),
        (with(6, lines[5]), "line 7: it is numbered 6, and 7 is due"),
        (with(2, ""), "line 3: it is empty"),
        (with(6, &lines[5].replacen(r#""line_no":6"#, r#""line_no":7"#, 1)), "7 lines from 1 on"),
        (swapped, "line 2: it is numbered 3, and 2 is due"),
        (instead(2, &renumbered), "line 3: it is numbered 9, and 3 is due"),
        (instead(0, &dearer), "line 1: its amount is 4.40, and 68 points at 0.05 are 3.40"),
        (instead(0, &format!("{} ", lines[0])), "line 1: it is not canonical JSON (RFC 8785)"),
        (instead(0, &format!("{}\r", lines[0])), "line 1: it ends with a carriage return"),
        (instead(0, "{}"), "line 1: it has a member that no line has"),
        (joined(&lines[..0]), "0 lines, and the statement has 6 from 1 on"),
        (String::from_utf8(ndjson[..ndjson.len() - 9].to_vec()).expect("text"), "line 6: it is not JSON"),
        (format!("rubbish\n{}", joined(&lines)), "line 1: it is not JSON"),
    ] {
        let report = verify(&[("l", changed.as_bytes()), ("s", &statement), ("k", jwks)]);
        let wrong = wrong(&report);
        assert!(wrong.iter().any(|wrong| wrong.contains(name)), "{name}: {wrong:#?}");
    }
    // Of another entity, with the same figures: only a proof tells which line it was.
    let renamed = lines[0].replacen(r#""entity":"bb Ltd""#, r#""entity":"bb Inc""#, 1);
    let report = verify(&[("l", instead(0, &renamed).as_bytes()), ("s", &statement), ("p", &proofs), ("k", jwks)]);
    assert!(renamed != lines[0] && names(&report, 1), "{:#?}", wrong(&report));
    // An end that is no line feed is none of the lines' own bytes.
    let unended = &ndjson[..ndjson.len() - 1];
    assert_eq!(wrong(&verify(&[("l", unended), ("s", &statement), ("k", jwks)])), NOTHING);
}

#[actix_web::test]
async fn what_is_of_another_window_or_participant_is_told_apart() {
    let months = Months::new("others", "").await;
    let (own, later, others) = (months.files(0, "bb"), months.files(1, "bb"), months.files(0, "aa"));
    let jwks = months.jwks.as_slice();
    let told = |name: &str, files: &[(&str, &[u8])]| {
        let wrong = wrong(&verify(&[files, &[("k", jwks)]].concat()));
        assert!(wrong.iter().any(|wrong| wrong.contains(name)), "{name}: {wrong:#?}");
    };
    told("line 7: it is a line of window 2", &[("l", &later.ndjson), ("s", &own.statement)]);
    told("line 1: it is a line of `aa`", &[("l", &others.ndjson), ("s", &own.statement)]);
    told("line 1: it is a line of `aa`", &[("l", &others.csv), ("s", &own.statement)]);
    told("these are proofs of bb, window 2, and no statement given is", &[("p", &later.proofs), ("s", &own.statement)]);
    told(
        "these are proofs of aa, window 1, and no statement given is",
        &[("p", &others.proofs), ("s", &own.statement)],
    );
    let relabelled = String::from_utf8(others.proofs.clone())
        .expect("text")
        .replace(r#""participant":"aa","root""#, r#""participant":"bb","root""#);
    told("it is a proof for another statement", &[("p", relabelled.as_bytes()), ("s", &own.statement)]);
    let two = [("s", own.statement.as_slice()), ("t", &later.statement)];
    told("these are lines of aa, window 1, and no statement given is", &[&two[..], &[("l", &others.ndjson)]].concat());
    // Neither side alone, nor one that nobody has signed.
    let months = Months::new("strangers", "").await;
    let stranger = months.files(0, "bb");
    told("is in none of the files", &[("s", &stranger.statement)]);
    told("no key of the files given has signed the checkpoint", &[("p", &stranger.proofs)]);
    told("are two statements of one window", &[("s", &own.statement), ("t", &stranger.statement), ("m", &months.jwks)]);
    told(
        "window 2 goes on from another statement",
        &[("s", &stranger.statement), ("t", &later.statement), ("m", &months.jwks)],
    );
    told(
        "its checkpoint is signed by a key of m, which is not who signed the statement",
        &[("p", &stranger.proofs), ("s", &own.statement), ("m", &months.jwks)],
    );
}
