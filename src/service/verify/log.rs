//! The alliance's log as it was signed: checkpoints (c2sp.org/tlog-checkpoint) and the cosignatures under them.

use super::against::short;
use super::alliance::Alliance;
use super::keys::Keys;
use super::payload::Hex;
use super::report::{Section, Title, counted};
use crate::signing::jwk::{Kind as KeyKind, PublicKey};
use crate::signing::keyring::Purpose;
use crate::signing::merkle::{self, Hash};
use crate::signing::note::{Checkpoint, Kind, Note, Refused, Vkey};
use chrono::SecondsFormat;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// A checkpoint whose signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub file: String,
    pub checkpoint: Checkpoint,
    /// The files that have its key as the alliance's for checkpoints.
    pub files: BTreeSet<usize>,
}

/// Checks a checkpoint's signatures. `None` when it cannot be relied upon: every file that is taken for the alliance's must
/// have its key.
pub fn check((file, note): (&str, &[u8]), keys: &Keys, alliance: &Alliance, section: &mut Section) -> Option<Signed> {
    let Held { note, signed, log, another } = match signed(file, note, keys, alliance) {
        Ok(held) => held,
        Err(why) => {
            section.differs("checkpoint", why);
            return None;
        }
    };
    let files = keys.names(&signed.files);
    let without = alliance.without(&signed.files);
    if !without.is_empty() {
        let without = keys.names(&without);
        let lacks = || {
            format!(
                "its key is in {files}, and not in {without}, which has keys of both kinds, as the alliance signs by"
            )
        };
        section.differs("checkpoint", another.unwrap_or_else(lacks));
        return None;
    }
    let Checkpoint { origin, size, root } = &signed.checkpoint;
    let records = counted(*size, "record", "records");
    section.holds("checkpoint", format!("{records} of {origin} under {}, signed by a key of {files}", short(root)));
    cosignatures(&note, &log, (keys, alliance, &signed.files), section);
    Some(signed)
}

/// A checkpoint that a key has signed which some file has for checkpoints.
struct Held {
    note: Note,
    signed: Signed,
    log: Vkey,
    /// That some file has the key for another purpose.
    another: Option<String>,
}

fn signed(file: &str, note: &[u8], keys: &Keys, alliance: &Alliance) -> Result<Held, String> {
    let note = Note::parse(note).map_err(|why| why.to_string())?;
    let origin = Checkpoint::parse(note.text()).map_err(|why| why.to_string())?.origin;
    let mut found: Option<(Checkpoint, Vkey)> = None;
    let (mut files, mut another) = (BTreeSet::new(), None);
    for key in keys.unclaimed().filter(|key| key.public.kind() == KeyKind::Ed25519) {
        let log =
            Vkey::new(&origin, Kind::Log, &key.public).map_err(|_| "its origin is no name of a key".to_owned())?;
        match note.checkpoint(&log) {
            Ok(checkpoint) => {
                another = another.or_else(|| keys.is_for_another(&key.kid, Purpose::Checkpoint));
                let holders = alliance.holders(&key.kid, Purpose::Checkpoint);
                if !holders.is_empty() {
                    files.extend(holders);
                    found = Some((checkpoint, log));
                }
            }
            Err(Refused::Unsigned) => {}
            Err(why) => return Err(why.to_string()),
        }
    }
    let Some((checkpoint, log)) = found else {
        let unsigned = || format!("no key of the files given has signed the checkpoint: {}", keys.remedy());
        return Err(another.unwrap_or_else(unsigned));
    };
    Ok(Held { note, signed: Signed { file: file.to_owned(), checkpoint, files }, log, another })
}

/// Who else has seen the log grow to there. A witness is no part of the alliance, whose files are those with keys of both
/// kinds and `own`.
fn cosignatures(
    note: &Note,
    log: &Vkey,
    (keys, alliance, own): (&Keys, &Alliance, &BTreeSet<usize>),
    section: &mut Section,
) {
    for (name, id) in note.signers().filter(|signer| *signer != (log.name(), log.id())) {
        let vkey = |key: &PublicKey| Vkey::new(name, Kind::Cosigner, key).ok().filter(|vkey| vkey.id() == id);
        let Some((key, vkey)) = keys.all().find_map(|key| Some((key, vkey(key)?))) else {
            section.unchecked("cosignature", format!("by {name}, whose key is in none of the files: add its JWK"));
            continue;
        };
        let kid = key.kid();
        let (partners, place) = (keys.partners(&kid), keys.place(&kid, own));
        match note.verify_cosignature(&vkey) {
            Err(why) => section.differs("cosignature", format!("by {name}: {why}")),
            Ok(_) if alliance.has(&kid, own) => {
                section.differs("cosignature", format!("by {name}: its key is the alliance's own ({place})"));
            }
            Ok(_) if !partners.is_empty() && !partners.contains(name) => {
                section.differs("cosignature", format!("by {name}: its key is another's ({place})"));
            }
            Ok(at) => {
                let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
                section.holds("cosignature", format!("cosigned by {name} at {at} ({place})"));
            }
        }
    }
}

/// That the log of `to` records begins with the log of `from`, as the log says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Growth {
    from: u64,
    to: u64,
    path: Vec<Hex>,
}

impl Growth {
    pub fn read(bytes: &[u8]) -> Result<Growth, String> {
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err("it is no object".to_owned());
        }
        serde_json::from_slice(bytes).map_err(|cause| cause.to_string())
    }

    fn leads(&self, from: &Checkpoint, to: &Checkpoint) -> bool {
        let path: Vec<Hash> = self.path.iter().map(|hash| hash.0).collect();
        merkle::verify_consistency(self.from, self.to, &from.root, &to.root, &path)
    }
}

/// Whether several checkpoints are of one log that only grew, as far as they and the proofs given can say.
pub fn agree(signed: &[Signed], proofs: &[(&str, Growth)]) -> Option<Section> {
    let mut logs: BTreeMap<&str, BTreeMap<u64, &Checkpoint>> = BTreeMap::new();
    let mut section = Section::new(Title::Log, format!("{} checkpoints", signed.len()));
    for Signed { checkpoint, .. } in signed {
        let Checkpoint { origin, size, root } = checkpoint;
        let known = *logs.entry(origin).or_default().entry(*size).or_insert(checkpoint);
        if known.root != *root {
            let roots = format!("{} and {}", short(&known.root), short(root));
            section.differs("fork", format!("{origin} has signed two roots over {size} records, {roots}"));
        }
    }
    for (name, growth) in proofs {
        grew(name, growth, &logs, &mut section);
    }
    for sizes in logs.values() {
        unlinked(sizes, proofs, &mut section);
    }
    (!section.findings.is_empty()).then_some(section)
}

/// Whether a proof leads from the one checkpoint to the other, in a log that has both of its sizes.
fn grew(name: &str, growth: &Growth, logs: &BTreeMap<&str, BTreeMap<u64, &Checkpoint>>, section: &mut Section) {
    let Growth { from, to, .. } = growth;
    let mut of_both = logs.values().filter_map(|sizes| Some((*sizes.get(from)?, *sizes.get(to)?))).peekable();
    if of_both.peek().is_none() {
        let given = |size: &u64| logs.values().any(|sizes| sizes.contains_key(size));
        let add = match (given(from), given(to)) {
            (false, true) => format!("the checkpoint of {from}"),
            (true, false) => format!("the checkpoint of {to}"),
            (true, true) | (false, false) => "the checkpoints of both".to_owned(),
        };
        let says = format!("{name} is not used: it is between {from} and {to} records, add {add}");
        return section.unchecked("consistency", says);
    }
    // It does not say of which log it is: of several, one is enough.
    if of_both.any(|(a, b)| growth.leads(a, b)) {
        let says = format!("the log of {to} records begins with the {from} it had before, by {name}");
        section.holds("consistency", says);
    } else {
        let says = format!("{name} does not lead from the log of {from} records to that of {to}");
        section.differs("consistency", says);
    }
}

/// Says which checkpoints of a log nothing given links to those after them, and what would.
fn unlinked(sizes: &BTreeMap<u64, &Checkpoint>, proofs: &[(&str, Growth)], section: &mut Section) {
    let mut before = BTreeMap::new();
    let mut tried = BTreeSet::new();
    for (_, growth) in proofs {
        if let (Some(a), Some(b)) = (sizes.get(&growth.from), sizes.get(&growth.to)) {
            tried.insert((growth.from, growth.to));
            if growth.from < growth.to && growth.leads(a, b) {
                link(&mut before, growth.from, growth.to);
            }
        }
    }
    let mut asked = Vec::new();
    for (from, to) in sizes.keys().zip(sizes.keys().skip(1)).rev() {
        if before.get(to) != Some(from) {
            asked.push((*from, *to));
            // What is asked for here may link those below, too.
            link(&mut before, *from, *to);
        }
    }
    for (from, to) in asked.into_iter().rev().filter(|pair| !tried.contains(pair)) {
        let call = format!("/checkpoint/consistency?from={from}&to={to}");
        let says = format!("that the log of {to} records begins with that of {from}: add {call}");
        section.unchecked("consistency", says);
    }
}

/// Notes that the log of `to` records begins with that of `from`. `before` has, for each size, the next smaller one that it is
/// known to begin with; of two beginnings of one log the longer begins with the shorter.
fn link(before: &mut BTreeMap<u64, u64>, mut from: u64, mut to: u64) {
    loop {
        match before.get(&to).copied() {
            None => {
                before.insert(to, from);
                return;
            }
            Some(known) if known == from => return,
            Some(known) if known < from => {
                before.insert(to, from);
                (from, to) = (known, from);
            }
            Some(known) => to = known,
        }
    }
}
