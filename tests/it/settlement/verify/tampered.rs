//! Every byte counts: whatever is changed, moved, left out or put in the place of another.

use super::{Files, House, Months, NOTHING, checkpoint, consistency, files, jwks, verify, wrong};
use crate::support::is_long;
use hanse::domain::ids::ConversionId;
use hanse::service::settlement::read;
use hanse::service::verify::{Kind, Mark, Report, Section, Title};
use std::ops::Range;
use uuid::Uuid;

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
    let (before, growth) = (months.early.as_slice(), consistency(&months.house, 3, 6));
    // Between other sizes it is a proof of something else, and what it was to prove is left unchecked.
    let found = unnamed(&growth, 0..growth.len(), |_, changed| {
        let report = verify(&[("g", changed), ("c", &note), ("e", before), ("k", jwks)]);
        let grew = |section: &Section| {
            section.findings.iter().any(|found| (found.code, found.mark) == ("consistency", Mark::Holds))
        };
        !report.sections.iter().any(grew)
    });
    assert_eq!(found, NOTHING, "of the proof that the log grew");
    // The keys of quotes and webhooks, which are not checked here, are the only ones that are not used.
    let text = String::from_utf8(jwks.to_vec()).expect("text");
    let unused = ["quote", "webhook"].map(|purpose| {
        let named = text.find(&format!(r#""purpose":"{purpose}""#)).expect("a key of this purpose");
        let (open, close) = (text[..named].rfind('{').expect("its begin"), text[named..].find('}').expect("its end"));
        open..named + close + 1
    });
    let check = |changed: &[u8]| verify(&[("k", changed), ("s", &statement), ("c", &note)]);
    for used in [0..unused[0].start, unused[0].end..unused[1].start, unused[1].end..jwks.len()] {
        assert_eq!(unnoticed(jwks, used, check), NOTHING, "of the keys");
    }
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
async fn a_file_that_was_cut_off_anywhere_is_not_taken_for_a_whole_one() {
    let months = Months::new("cut", "").await;
    let Files { statement, ndjson, csv, proofs } = months.files(0, "aa");
    let jwks = months.jwks.as_slice();
    let held = |files: &[(&str, &[u8])]| {
        let report = verify(files);
        wrong(&report).is_empty() && report.files.iter().all(|file| file.kind != Kind::Unknown)
    };
    let cut = |bytes: &[u8], check: &dyn Fn(&[u8]) -> bool| -> Vec<usize> {
        (0..bytes.len()).filter(|length| check(&bytes[..*length])).collect()
    };
    assert!(held(&[("s", &statement), ("l", &ndjson), ("c", &csv), ("p", &proofs), ("k", jwks)]));
    let nowhere: [usize; 0] = [];
    assert_eq!(cut(&statement, &|cut| held(&[("s", cut), ("l", &ndjson), ("k", jwks)])), nowhere);
    assert_eq!(cut(&proofs, &|cut| !cut.is_empty() && held(&[("p", cut), ("s", &statement), ("k", jwks)])), nowhere);
    assert_eq!(cut(jwks, &|cut| held(&[("k", cut), ("s", &statement)])), nowhere);
    // The end of the last line is none of its own bytes.
    assert_eq!(cut(&ndjson, &|cut| held(&[("l", cut), ("s", &statement), ("k", jwks)])), [ndjson.len() - 1]);
    assert_eq!(cut(&csv, &|cut| held(&[("c", cut), ("s", &statement), ("k", jwks)])), [csv.len() - 2, csv.len() - 1]);
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
    let ndjson_crlf = joined(&lines).replace('\n', "\r\n");
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
        (
            ndjson_crlf.clone(),
            "line 1: it ends with a carriage return: the file was taken through something that changes ends of lines; 6 are wrong in all",
        ),
        (instead(0, "{}"), "line 1: it has a member that no line has"),
        (joined(&lines[..0]), "0 lines, and the statement has 6 from 1 on"),
        (String::from_utf8(ndjson[..ndjson.len() - 9].to_vec()).expect("text"), "line 6: it is not JSON"),
        (format!("rubbish\n{}", joined(&lines)), "line 1: it is not JSON"),
    ] {
        let report = verify(&[("l", changed.as_bytes()), ("s", &statement), ("k", jwks)]);
        let wrong = wrong(&report);
        assert!(wrong.iter().any(|wrong| wrong.contains(name)), "{name}: {wrong:#?}");
    }
    // What follows from lines that are wrong is no second contradiction.
    let wrong_of = |changed: &str| {
        let wrong = wrong(&verify(&[("l", changed.as_bytes()), ("s", &statement), ("k", jwks)]));
        wrong.into_iter().map(|wrong| wrong.split(':').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(wrong_of(&ndjson_crlf), ["lines", "root"]);
    assert_eq!(wrong_of(&without(2)), ["lines", "count", "root"]);
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
    told("nothing given says that anybody has signed these lines: add the statement", &[("l", &own.ndjson)]);
    told("nothing given says that anybody has signed its root: add the statement", &[("p", &own.proofs)]);
    let none = "it holds no line, and there is no statement without lines";
    told(none, &[("l", b"")]);
    let both = [("s", own.statement.as_slice()), ("t", &others.statement)];
    told(none, &[&both[..], &[("l", &read::csv_heading())]].concat());
    told("0 lines, and the statement has 6 from 1 on", &[("s", &own.statement), ("l", &read::csv_heading())]);
    told(
        "these are lines of bb, window 1, and no statement given is",
        &[("l", &own.ndjson), ("s", &later.statement), ("t", &others.statement)],
    );
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
        "checkpoint: its key is in m, and not in k, which has keys of both kinds",
        &[("p", &stranger.proofs), ("s", &own.statement), ("m", &months.jwks)],
    );
}

#[actix_web::test]
async fn an_empty_file_of_lines_is_that_of_every_statement_without_lines() {
    let house = House::new("empty-lines", "").await;
    let window = house.closed();
    let [one, other] = ["aa", "bb"].map(|of| files(&house, window.id, of, ConversionId(Uuid::nil())));
    let jwks = jwks(&house);
    let of_lines = |given: &[(&str, &[u8])]| {
        let report = verify(given);
        assert_eq!(wrong(&report), NOTHING);
        let sections = report.sections.into_iter().filter(|section| section.title == Title::Lines);
        sections.map(|section| (section.subject, section.findings[0].says.clone())).collect::<Vec<_>>()
    };
    let alone = of_lines(&[("l", b""), ("s", &one.statement), ("k", &jwks)]);
    assert_eq!(alone[0].0, "aa, window 1, l");
    let heading = read::csv_heading();
    let both = of_lines(&[("l", b""), ("c", &heading), ("s", &one.statement), ("t", &other.statement), ("k", &jwks)]);
    let says = "it is empty, as the lines of every statement that has none are".to_owned();
    assert_eq!(both, [("l".to_owned(), says.clone()), ("c".to_owned(), says)]);
}

#[actix_web::test]
async fn records_may_have_a_mark_before_them_and_other_ends_and_nothing_else() {
    let months = Months::new("records", "").await;
    let Files { statement, csv, .. } = months.files(0, "bb");
    let check = |csv: &str| wrong(&verify(&[("c", csv.as_bytes()), ("s", &statement), ("k", &months.jwks)]));
    let text = String::from_utf8(csv).expect("text");
    let (heading, records) = text.split_once("\r\n").expect("a heading");
    assert_eq!(check(&text), NOTHING);
    assert_eq!(check(&format!("\u{feff}{text}")), NOTHING, "as spreadsheets write it");
    assert_eq!(check(&text.replace("\r\n", "\n")), NOTHING, "as other programs write it");
    for changed in [records, &format!("{heading}\t\r\n{records}"), &text.replacen("amount", "sum", 1)] {
        assert_eq!(check(changed)[0], "lines: record 1: the first record is not the heading");
    }
    let spaced = format!("{heading}\r\n{}", records.replacen(",1,", ", 1,", 1));
    let hint = "; a spreadsheet may have rewritten the file: use it as it was fetched";
    let wanted = format!("lines: line 1: its cell `agreement` is ` 1`, which is no whole number{hint}");
    assert_eq!(check(&spaced)[0], wanted);
    let rewritten = text.replacen(",0.00,", ",0,", 1);
    assert_ne!(rewritten, text);
    let wanted = format!("lines: line 1: its `fee` is `0`, which is no amount in its one spelling{hint}");
    assert_eq!(check(&rewritten)[0], wanted);
}
