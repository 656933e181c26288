//! Whose the documents are: the files of keys that may be the alliance's, and what of theirs signs what.
//!
//! A file that has, unmarked, keys of both kinds is taken for the alliance's, for those are what the alliance signs by. Which
//! of two is the real one no document can tell: signatures stand in any sequence, and anybody may put another's keys into a
//! file beside its own. So every such file must have the keys of every document, or have handed over to them.
//!
//! A file that says what a key signs has it for that alone; one that says nothing has it for all that its kind can.

use super::keys::Keys;
use super::report::{Section, Title};
use crate::signing::general::Document;
use crate::signing::jwk::Kind;
use crate::signing::keyring::Purpose;
use crate::signing::rotation::Rotation;
use std::collections::{BTreeMap, BTreeSet};

/// Documents that are named one by one.
const NAMED: usize = 3;

/// Whose keys sign a statement, in this sequence.
pub const SIGNERS: [Purpose; 2] = [Purpose::Statement, Purpose::StatementP256];

/// What makes two sets of keys one.
const HANDED: &str = "if they are one alliance's, add its /.well-known/key-rotations.json";

#[derive(Debug, Default)]
pub struct Alliance {
    /// By file, its keys that are no partner's, and those they have handed over to, each with what it may sign.
    holds: BTreeMap<usize, BTreeSet<(String, Purpose)>>,
    /// The files that have keys of both kinds.
    files: BTreeSet<usize>,
}

impl Alliance {
    /// As the keys say, and the records of those that handed over to others, each signed by both.
    pub fn new<'r>(keys: &Keys, handed: impl Iterator<Item = &'r Rotation>) -> Alliance {
        let mut holds: BTreeMap<usize, BTreeSet<(String, Purpose)>> = BTreeMap::new();
        let (mut ed25519, mut p256) = (BTreeSet::new(), BTreeSet::new());
        for key in keys.unclaimed() {
            holds.entry(key.file).or_default().extend(key.purposes().map(|purpose| (key.kid.clone(), purpose)));
            match key.public.kind() {
                Kind::Ed25519 => ed25519.insert(key.file),
                Kind::P256 => p256.insert(key.file),
            };
        }
        let given: BTreeSet<(String, Purpose)> = holds.values().flatten().cloned().collect();
        let mut next: BTreeMap<(String, Purpose), Vec<(String, Purpose)>> = BTreeMap::new();
        for Rotation { old, new, purpose, .. } in handed {
            let new = (new.clone(), *purpose);
            if given.contains(&new) {
                next.entry((old.clone(), *purpose)).or_default().push(new);
            }
        }
        for held in holds.values_mut() {
            let mut added: Vec<(String, Purpose)> = held.iter().cloned().collect();
            while let Some(old) = added.pop() {
                let new = next.get(&old).into_iter().flatten().cloned();
                added.extend(new.filter(|new| held.insert(new.clone())));
            }
        }
        Alliance { holds, files: &ed25519 & &p256 }
    }

    /// The files that have this key as one of the alliance's for this purpose, by itself or through others.
    pub fn holders(&self, kid: &str, purpose: Purpose) -> BTreeSet<usize> {
        let key = (kid.to_owned(), purpose);
        self.holds.iter().filter(|(_, held)| held.contains(&key)).map(|(file, _)| *file).collect()
    }

    /// Whether the key is the alliance's for this purpose, as far as files tell.
    pub fn owns(&self, kid: &str, purpose: Purpose) -> bool {
        let holders = self.holders(kid, purpose);
        !holders.is_empty() && self.files.is_subset(&holders)
    }

    /// Whether the key is in a file of the alliance's, whatever it signs: one that has keys of both kinds, or is among `own`.
    pub fn has(&self, kid: &str, own: &BTreeSet<usize>) -> bool {
        let mut holders = Purpose::ALL.iter().flat_map(|purpose| self.holders(kid, *purpose));
        holders.any(|file| own.contains(&file) || self.files.contains(&file))
    }

    /// The files taken for the alliance's that are none of these.
    pub fn without(&self, files: &BTreeSet<usize>) -> BTreeSet<usize> {
        &self.files - files
    }

    /// The files taken for the alliance's by whose keys the document is signed: EdDSA first, then ES256. Whoever signs after
    /// these is not asked.
    pub fn signed(&self, document: &Document, keys: &Keys) -> BTreeSet<usize> {
        let first: Vec<&str> = document.kids().take(2).collect();
        let kinds = first.iter().map(|kid| keys.by_kid(kid).map(|key| key.kind()));
        if !kinds.eq(SIGNERS.map(|purpose| Some(purpose.kind()))) {
            return BTreeSet::new();
        }
        let signers = first.iter().zip(SIGNERS);
        signers.fold(self.files.clone(), |files, (kid, purpose)| &files & &self.holders(kid, purpose))
    }

    /// Whether one alliance has signed all documents, each given with the files of whoever signed it. `None` when it has.
    pub fn agree<'d>(
        &self,
        keys: &Keys,
        documents: impl Iterator<Item = (&'d str, &'d BTreeSet<usize>)>,
    ) -> Option<Section> {
        let mut groups: BTreeMap<BTreeSet<usize>, Vec<&str>> = BTreeMap::new();
        for (name, files) in documents {
            let files = if self.files.is_empty() { files.clone() } else { &self.files & files };
            // Of one that nobody has signed that is said where it is read.
            if !files.is_empty() {
                groups.entry(files).or_default().push(name);
            }
        }
        let mut groups: Vec<(BTreeSet<usize>, Vec<&str>)> = groups.into_iter().collect();
        groups.sort_by_key(|(_, documents)| std::cmp::Reverse(documents.len()));
        let ((most, of_most), others) = groups.split_first()?;
        // Without a file that has both kinds there are checkpoints alone, and any file they share will do.
        let shared = others.iter().fold(most.clone(), |shared, (files, _)| &shared & files);
        if self.files.is_empty() && !shared.is_empty() {
            return None;
        }
        let mut section = Section::new(Title::Keys, "the alliance's");
        let of_most = format!("the keys of {} sign {}", keys.names(most), listed(of_most));
        for (files, documents) in others {
            let (files, documents) = (keys.names(files), listed(documents));
            section.differs("alliance", format!("those of {files} sign {documents}, and {of_most}: {HANDED}"));
        }
        let unused = self.without(most);
        if others.is_empty() && !unused.is_empty() {
            let says = format!(
                "{of_most}, and {} has keys of both kinds, too, and not these: {HANDED}, if \
                 they are a partner's, mark them, \"partner\": slug",
                keys.names(&unused)
            );
            section.differs("alliance", says);
        }
        (!section.findings.is_empty()).then_some(section)
    }
}

fn listed(names: &[&str]) -> String {
    match names.split_at_checked(NAMED) {
        Some((first, rest)) if !rest.is_empty() => format!("{} and {} more", first.join(", "), rest.len()),
        _ => names.join(", "),
    }
}
