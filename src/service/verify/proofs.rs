//! Proof bundles: that a line is in a statement's tree, and that a statement is in the alliance's log.

use super::against::short;
use super::alliance::Alliance;
use super::keys::Keys;
use super::line::scan;
use super::log::{self, Signed};
use super::payload::Hex;
use super::report::{Section, Title, counted};
use super::rules::{Judge, Owner};
use super::statement::{Statement, subject};
use crate::signing::merkle::{self, Hash};
use crate::signing::note::Checkpoint;
use serde::Deserialize;

/// A bundle that could be read.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub participant: String,
    pub window: i64,
    pub root: Hash,
    pub size: u64,
    /// Index, line and path of each.
    lines: Vec<Proof>,
    statement: InLog,
    checkpoint: String,
}

#[derive(Clone, Debug)]
struct Proof {
    index: u64,
    line: String,
    path: Vec<Hash>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    v: u8,
    r#type: String,
    participant: String,
    window: i64,
    lines: Vec<LineMembers>,
    root: Hex,
    size: u64,
    statement: InLog,
    checkpoint: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineMembers {
    index: u64,
    line: String,
    path: Vec<Hex>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InLog {
    index: u64,
    leaf: Hex,
    path: Vec<Hex>,
    size: u64,
}

impl Bundle {
    pub fn read(bytes: &[u8]) -> Result<Bundle, String> {
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err("it is no object".to_owned());
        }
        let members: Members = serde_json::from_slice(bytes).map_err(|cause| cause.to_string())?;
        if (members.v, members.r#type.as_str()) != (1, "proofs") {
            return Err(format!("it is {:?} of version {}, not proofs of version 1", members.r#type, members.v));
        }
        let hashes = |path: Vec<Hex>| path.into_iter().map(|hash| hash.0).collect();
        let proof = |proof: LineMembers| Proof { index: proof.index, line: proof.line, path: hashes(proof.path) };
        Ok(Bundle {
            participant: members.participant,
            window: members.window,
            root: members.root.0,
            size: members.size,
            lines: members.lines.into_iter().map(proof).collect(),
            statement: members.statement,
            checkpoint: members.checkpoint,
        })
    }

    pub fn is_of(&self, participant: &str, window: i64) -> bool {
        (self.participant.as_str(), self.window) == (participant, window)
    }

    /// The hashes of its lines that are proven to be under its root, by index.
    pub fn leaves(&self) -> impl Iterator<Item = (u64, Hash)> {
        self.lines.iter().filter_map(|proof| {
            let leaf = merkle::leaf_hash(proof.line.as_bytes());
            merkle::verify_inclusion(&self.root, self.size, proof.index, &leaf, &proof.path)
                .then_some((proof.index, leaf))
        })
    }
}

/// Checks a bundle by itself and, if there is one, against its statement; the checkpoint it hangs on.
pub fn check(
    file: &str,
    bundle: &Bundle,
    statement: Option<&Statement>,
    statements: bool,
    (keys, alliance): (&Keys, &Alliance),
) -> (Section, Option<Signed>) {
    let whose = subject(&bundle.participant, bundle.window);
    let mut section = Section::new(Title::Proofs, format!("{whose}, {file}"));
    match statement {
        Some(statement) => {
            let lines = &statement.read.payload.lines;
            if (bundle.root, bundle.size) == (lines.root.0, lines.count) {
                section.holds("root", "its root and size are the statement's");
            } else {
                section.differs(
                    "root",
                    format!(
                        "its root {} over {} lines is not the statement's, {} over {}",
                        short(&bundle.root),
                        bundle.size,
                        short(&lines.root.0),
                        lines.count
                    ),
                );
            }
            if bundle.statement.leaf.0 == statement.leaf {
                section.holds("leaf", "the statement is what it proves to be in the log");
            } else {
                section.differs("leaf", format!("it is a proof for another statement than {}", statement.file));
            }
        }
        None if statements => {
            section.differs("root", format!("these are proofs of {whose}, and no statement given is"));
        }
        None if bundle.lines.is_empty() => section.unchecked("leaf", "of which statement it is: add the statement"),
        None => section.differs("root", "nothing given says that anybody has signed its root: add the statement"),
    }
    lines(bundle, statement, &mut section);
    let signed = log::check((file, bundle.checkpoint.as_bytes()), keys, alliance, &mut section);
    if let Some(signed) = &signed {
        section.put_result("log", in_log(&bundle.statement, &signed.checkpoint));
    }
    (section, signed)
}

fn in_log(InLog { index, leaf, path, size }: &InLog, checkpoint: &Checkpoint) -> Result<String, String> {
    let path: Vec<Hash> = path.iter().map(|hash| hash.0).collect();
    if *size != checkpoint.size {
        return Err(format!("its path is of {size} records, and its checkpoint of {}", checkpoint.size));
    }
    if !merkle::verify_inclusion(&checkpoint.root, *size, *index, &leaf.0, &path) {
        return Err(format!("the path of record {index} does not lead to the checkpoint"));
    }
    Ok(format!("the statement is record {index} of the {size} in the log"))
}

fn lines(bundle: &Bundle, statement: Option<&Statement>, section: &mut Section) {
    let payload = statement.map(|statement| &statement.read.payload);
    let owner = Owner {
        participant: bundle.participant.clone(),
        window: bundle.window,
        currency: payload.map(|payload| payload.currency.clone()),
    };
    let mut judge = Judge::default();
    let mut first = payload.and_then(|payload| payload.lines.first);
    for proof in &bundle.lines {
        let leaf = merkle::leaf_hash(proof.line.as_bytes());
        let counted = scan(&proof.line).ok_or_else(|| "it is no canonical line".to_owned());
        let counted = counted.and_then(|line| judge.judge(&line, &owner).map_err(|wrong| wrong.to_string()));
        let index = i64::try_from(proof.index).unwrap_or(i64::MAX);
        let due = first.and_then(|first| first.checked_add(index));
        let (line_no, wrong) = match counted {
            _ if !merkle::verify_inclusion(&bundle.root, bundle.size, proof.index, &leaf, &proof.path) => {
                (due, Some("its path does not lead to the root".to_owned()))
            }
            Err(wrong) => (due, Some(wrong)),
            Ok(counted) if due.is_some_and(|due| due != counted.line_no) => {
                (Some(counted.line_no), Some(format!("it is at place {index}, which is not its own")))
            }
            Ok(counted) => {
                first = first.or(counted.line_no.checked_sub(index));
                (Some(counted.line_no), None)
            }
        };
        if let Some(wrong) = wrong {
            let name =
                line_no.map_or_else(|| format!("the line at place {index}"), |line_no| format!("line {line_no}"));
            return section.differs_at("lines", line_no, format!("{name}: {wrong}"));
        }
    }
    if !bundle.lines.is_empty() {
        let lines = counted(u64::try_from(bundle.lines.len()).unwrap_or(u64::MAX), "line", "lines");
        section.holds("lines", format!("{lines}, each leading to the root {}", short(&bundle.root)));
    }
}
