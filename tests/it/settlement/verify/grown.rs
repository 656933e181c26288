//! Proofs that the log only grew: each that is given is checked or said not to be used, and no file is passed over.

use super::signed::{jwks, key, told};
use super::{Months, NOTHING, checkpoint, consistency, verify, wrong};
use hanse::service::settlement::statement::hex;
use hanse::service::verify::{Kind as FileKind, Mark, Report};
use hanse::signing::jwk::Kind;
use hanse::signing::jws::SigningKey;
use hanse::signing::merkle::{self, Hash};
use hanse::signing::note::Checkpoint;
use serde_json::json;

/// A log that is signed at whatever size is asked for.
struct Log {
    key: SigningKey,
    origin: &'static str,
    leaves: Vec<Hash>,
}

impl Log {
    fn new(origin: &'static str) -> Log {
        let leaves = (0..29_u8).map(|nth| merkle::leaf_hash(&[nth, origin.as_bytes()[0]])).collect();
        Log { key: key(Kind::Ed25519), origin, leaves }
    }

    fn at(&self, size: usize) -> Vec<u8> {
        let root = merkle::root(&self.leaves[..size]);
        let checkpoint = Checkpoint { origin: self.origin.to_owned(), size: size as u64, root };
        checkpoint.sign(&self.key).expect("signed").to_string().into_bytes()
    }

    fn between(&self, from: usize, to: usize) -> Vec<u8> {
        let path = merkle::consistency_path(&self.leaves[..to], from as u64);
        let path: Vec<String> = path.iter().map(|hash| hex(hash)).collect();
        json!({ "from": from, "to": to, "path": path }).to_string().into_bytes()
    }

    /// What is found of checkpoints of these sizes with these proofs, each named by its sizes.
    fn check(&self, sizes: &[usize], proofs: &[(usize, usize)]) -> Report {
        let named = |(from, to): &(usize, usize)| (format!("{from}-{to}"), self.between(*from, *to));
        let proofs: Vec<(String, Vec<u8>)> = proofs.iter().map(named).collect();
        let notes: Vec<Vec<u8>> = sizes.iter().map(|size| self.at(*size)).collect();
        let keys = jwks(&[&self.key]);
        let mut files = vec![("keys", keys.as_slice())];
        files.extend(notes.iter().map(|note| ("note", note.as_slice())));
        files.extend(proofs.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
        verify(&files)
    }
}

/// One hash of the path, one bit of it.
fn forged(proof: &[u8]) -> Vec<u8> {
    let mut forged = proof.to_vec();
    let at = proof.windows(8).position(|window| window == br#""path":["#).expect("a path") + 9;
    forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
    forged
}

#[test]
fn a_forged_proof_is_named_though_its_sizes_are_not_next_to_each_other() {
    let log = Log::new("small.example");
    let (early, middle, late, keys) = (log.at(8), log.at(21), log.at(29), jwks(&[&log.key]));
    let check = |proof: &[u8]| {
        verify(&[("early", &early), ("middle", &middle), ("late", &late), ("growth", proof), ("keys", &keys)])
    };
    let good = log.between(8, 29);
    assert_eq!(wrong(&check(&good)), NOTHING);
    let says = "consistency: growth does not lead from the log of 8 records to that of 29";
    assert_eq!(wrong(&check(&forged(&good))), [says]);
    let report = check(&good);
    let held = "consistency: the log of 29 records begins with the 8 it had before, by growth".to_owned();
    assert!(told(&report, Mark::Holds).contains(&held), "{:#}", report.to_json());
}

/// Sizes of checkpoints, of proofs, and what would link the rest.
type Linked<'a> = (&'a [usize], &'a [(usize, usize)], &'a [(usize, usize)]);

#[test]
fn what_links_the_other_checkpoints_is_asked_for_and_nothing_that_follows() {
    let log = Log::new("small.example");
    let cases: [Linked<'_>; 8] = [
        (&[8, 21, 29], &[], &[(8, 21), (21, 29)]),
        (&[8, 21, 29], &[(8, 21)], &[(21, 29)]),
        // Two beginnings of one log: the longer begins with the shorter.
        (&[8, 21, 29], &[(8, 29)], &[(21, 29)]),
        (&[8, 21, 29], &[(8, 29), (21, 29)], &[]),
        (&[8, 21, 29], &[(21, 29), (8, 29)], &[]),
        // Both go on from the 8, and may differ after it.
        (&[8, 21, 29], &[(8, 21), (8, 29)], &[(21, 29)]),
        (&[3, 8, 13, 21, 29], &[(3, 21), (13, 21), (8, 13), (3, 29)], &[(21, 29)]),
        (&[8, 29], &[(8, 29), (8, 29)], &[]),
    ];
    for (sizes, proofs, asked) in cases {
        let report = log.check(sizes, proofs);
        let says = |(from, to): &(usize, usize)| {
            let call = format!("/checkpoint/consistency?from={from}&to={to}");
            format!("consistency: that the log of {to} records begins with that of {from}: add {call}")
        };
        let asked: Vec<String> = asked.iter().map(says).collect();
        assert_eq!(told(&report, Mark::Unchecked), asked, "{sizes:?} by {proofs:?}");
        let held = told(&report, Mark::Holds);
        let held = held.iter().filter(|held| held.starts_with("consistency: ")).count();
        assert_eq!((wrong(&report), held), (Vec::new(), proofs.len()), "{sizes:?} by {proofs:?}");
    }
}

#[test]
fn a_proof_of_a_size_that_no_checkpoint_has_is_said_not_to_be_used() {
    let log = Log::new("small.example");
    for (sizes, add) in [
        (&[8, 21][..], "the checkpoint of 29"),
        (&[21, 29], "the checkpoint of 8"),
        (&[21], "the checkpoints of both"),
        (&[], "the checkpoints of both"),
    ] {
        let report = log.check(sizes, &[(8, 29)]);
        let says = format!("consistency: 8-29 is not used: it is between 8 and 29 records, add {add}");
        assert!(told(&report, Mark::Unchecked).contains(&says), "{sizes:?}: {:#}", report.to_json());
        assert_eq!(wrong(&report), NOTHING);
    }
}

#[test]
fn a_proof_is_of_whichever_log_it_fits_and_never_of_two_at_once() {
    let (one, other) = (Log::new("one.example"), Log::new("two.example"));
    let keys = jwks(&[&one.key, &other.key]);
    let check = |notes: [&[u8]; 3], proof: &[u8]| {
        verify(&[("a", notes[0]), ("b", notes[1]), ("c", notes[2]), ("growth", proof), ("keys", &keys)])
    };
    let (early, late) = (one.at(8), one.at(29));
    let report = check([&early, &late, &other.at(8)], &one.between(8, 29));
    assert_eq!((wrong(&report), report.count(Mark::Unchecked)), (Vec::new(), 0));
    let report = check([&early, &late, &other.at(8)], &other.between(8, 29));
    assert_eq!(wrong(&report), ["consistency: growth does not lead from the log of 8 records to that of 29"]);
    let report = check([&early, &other.at(29), &other.at(28)], &one.between(8, 29));
    assert_eq!(wrong(&report), NOTHING);
    assert_eq!(told(&report, Mark::Unchecked).len(), 2, "{:#}", report.to_json());
}

#[actix_web::test]
async fn every_file_that_is_given_is_named_by_a_finding_or_left_aside() {
    let months = Months::new("named-files", "").await;
    let (one, two) = (months.files(0, "bb"), months.files(1, "bb"));
    let (note, growth) = (checkpoint(&months.house), consistency(&months.house, 3, 6));
    let files: [(&str, &[u8]); 15] = [
        ("file-keys", &months.jwks),
        ("file-rotations", br#"{"items":[]}"#),
        ("file-statement", &one.statement),
        ("file-again", &one.statement),
        ("file-ndjson", &one.ndjson),
        ("file-csv", &one.csv),
        ("file-proofs", &one.proofs),
        ("file-others", &two.proofs),
        ("file-lines", &two.ndjson),
        ("file-nolines", b""),
        ("file-note", &note),
        ("file-early", &months.early),
        ("file-growth", &growth),
        ("file-twice", &growth),
        ("file-stranger", b"nothing of ours"),
    ];
    let named = |report: &Report, name: &str| {
        let found = report.sections.iter().filter(|section| !section.findings.is_empty());
        let mut told = found.flat_map(|section| {
            section.findings.iter().map(|finding| &*finding.says).chain([section.subject.as_str()])
        });
        told.any(|told| told.contains(name))
    };
    let all = verify(&files);
    for (file, kind) in files.iter().zip(&all.files) {
        let alone = verify(&[*file]);
        for report in [&all, &alone] {
            assert!(named(report, file.0) || kind.kind == FileKind::Unknown, "{}: {:#}", file.0, report.to_json());
        }
    }
}
