//! The alliance's log as it was signed: checkpoints (c2sp.org/tlog-checkpoint) and the cosignatures under them.

use super::against::short;
use super::keys::Keys;
use super::report::{Section, Title};
use crate::signing::jwk::Kind as KeyKind;
use crate::signing::note::{Checkpoint, Kind, Note, Refused, Vkey};
use chrono::SecondsFormat;
use std::collections::BTreeSet;

/// A checkpoint whose signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub checkpoint: Checkpoint,
    /// The files of keys that have its key.
    pub files: BTreeSet<usize>,
}

/// Checks a checkpoint's signatures. `None` when it cannot be relied upon.
pub fn check(note: &[u8], keys: &Keys, section: &mut Section) -> Option<Signed> {
    match signed(note, keys) {
        Ok((note, signed, name)) => {
            let Checkpoint { origin, size, root } = &signed.checkpoint;
            let files: Vec<&str> = signed.files.iter().map(|file| keys.file(*file)).collect();
            let says =
                format!("{size} records of {origin} under {}, signed by a key of {}", short(root), files.join(", "));
            section.holds("checkpoint", says);
            cosignatures(&note, &name, keys, section);
            Some(signed)
        }
        Err(why) => {
            section.differs("checkpoint", why);
            None
        }
    }
}

fn signed(note: &[u8], keys: &Keys) -> Result<(Note, Signed, Vkey), String> {
    let note = Note::parse(note).map_err(|why| why.to_string())?;
    let origin = Checkpoint::parse(note.text()).map_err(|why| why.to_string())?.origin;
    let mut found: Option<(Checkpoint, Vkey)> = None;
    let mut files = BTreeSet::new();
    for (key, file) in keys.all().filter(|(key, _)| key.kind() == KeyKind::Ed25519) {
        let log = Vkey::new(&origin, Kind::Log, key).map_err(|_| "its origin is no name of a key".to_owned())?;
        match note.checkpoint(&log) {
            Ok(checkpoint) => {
                files.insert(file);
                found = Some((checkpoint, log));
            }
            Err(Refused::Unsigned) => {}
            Err(why) => return Err(why.to_string()),
        }
    }
    let (checkpoint, log) = found
        .ok_or("no key of the files given has signed the checkpoint: add the alliance's /.well-known/jwks.json")?;
    Ok((note, Signed { checkpoint, files }, log))
}

/// Who else has seen the log grow to there.
fn cosignatures(note: &Note, log: &Vkey, keys: &Keys, section: &mut Section) {
    for (name, id) in note.signers().filter(|signer| *signer != (log.name(), log.id())) {
        let vkey =
            keys.all().find_map(|(key, _)| Vkey::new(name, Kind::Cosigner, key).ok().filter(|vkey| vkey.id() == id));
        match vkey.map(|vkey| note.verify_cosignature(&vkey)) {
            Some(Ok(at)) => {
                section.holds(
                    "cosignature",
                    format!("cosigned by {name} at {}", at.to_rfc3339_opts(SecondsFormat::Secs, true)),
                );
            }
            Some(Err(why)) => section.differs("cosignature", format!("by {name}: {why}")),
            None => {
                section.unchecked("cosignature", format!("by {name}, whose key is in none of the files: add its JWK"))
            }
        }
    }
}

/// Whether several checkpoints are of one log that only grew, as far as they alone can say.
pub fn agree(signed: &[Signed]) -> Option<Section> {
    let checkpoints: Vec<&Checkpoint> = signed.iter().map(|signed| &signed.checkpoint).collect();
    let [first, others @ ..] = checkpoints.as_slice() else { return None };
    if others.iter().all(|other| other == first) {
        return None;
    }
    let mut section = Section::new(Title::Log, format!("{} checkpoints", checkpoints.len()));
    let forked = checkpoints.iter().enumerate().find_map(|(nth, a)| {
        let same_size = |b: &&&Checkpoint| (&a.origin, a.size) == (&b.origin, b.size) && a.root != b.root;
        checkpoints[..nth].iter().find(same_size).map(|b| (*a, *b))
    });
    if let Some((a, b)) = forked {
        let (origin, size) = (&a.origin, a.size);
        section.differs(
            "fork",
            format!("{origin} has signed two roots over {size} records, {} and {}", short(&a.root), short(&b.root)),
        );
    } else {
        let sizes: BTreeSet<u64> = checkpoints.iter().map(|checkpoint| checkpoint.size).collect();
        let sizes: Vec<String> = sizes.iter().map(u64::to_string).collect();
        section.unchecked(
            "consistency",
            format!("that the log only grew between {} records: ask it for a consistency proof", sizes.join(", ")),
        );
    }
    Some(section)
}
