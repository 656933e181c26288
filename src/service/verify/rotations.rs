//! Records of keys that handed over to others.

use super::alliance::Alliance;
use super::keys::Keys;
use super::report::{Section, Title};
use crate::signing::general::Document;
use crate::signing::keyring::Purpose;
use crate::signing::rotation::{self, Refused, Rotation};
use chrono::SecondsFormat;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// What a record says, and which of its two keys are not given.
#[derive(Debug)]
pub struct Record {
    rotation: Rotation,
    unknown: Vec<String>,
}

/// The records of one file; `None` when it is no list of documents.
pub type Records = Option<Vec<Result<Record, Refused>>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Items {
    items: Vec<Box<RawValue>>,
}

/// Reads the records of a file, `{"items": […]}`, with their signatures. A record names its keys by their thumbprints, and
/// has none of them.
pub fn read(bytes: &[u8], keys: &Keys) -> Records {
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let Items { items } = serde_json::from_slice(bytes).ok()?;
    let record = |item: Box<RawValue>| {
        let document = Document::parse(item.get().as_bytes())?;
        let (rotation, unknown) = rotation::verify_known(&document, |kid| keys.by_kid(kid).cloned())?;
        Ok(Record { rotation, unknown })
    };
    Some(items.into_iter().map(record).collect())
}

/// The records that both keys have signed.
pub fn handed(records: &Records) -> impl Iterator<Item = &Rotation> {
    let whole = records.iter().flatten().flatten().filter(|record| record.unknown.is_empty());
    whole.map(|record| &record.rotation)
}

/// Says of each record whether it is the alliance's; `names` are those of the alliances whose statements are given. One of a
/// key that is not given is not checked.
pub fn check(file: &str, records: &Records, keys: &Keys, alliance: &Alliance, names: &BTreeSet<&str>) -> Section {
    let mut section = Section::new(Title::Keys, file);
    let Some(records) = records else {
        section.differs("rotations", "it is no list of documents, {\"items\": […]}");
        return section;
    };
    for (nth, record) in records.iter().enumerate() {
        let name = format!("record {} of {}", nth + 1, records.len());
        let record = match record {
            Ok(record) => record,
            Err(why) => {
                section.differs("rotations", format!("{name}: {why}"));
                continue;
            }
        };
        let Record { rotation: Rotation { alliance: of, at, purpose, old, new }, unknown } = record;
        let foreign = [old, new].into_iter().find(|kid| !unknown.contains(kid) && !alliance.owns(kid, *purpose));
        if let Some(kid) = foreign {
            let place = keys.place(kid, &BTreeSet::new());
            let another = keys.is_for_another(kid, *purpose);
            let why = another.unwrap_or_else(|| format!("the key {kid} ({place}) is not the alliance's"));
            section.differs("rotations", format!("{name}: {why}"));
            continue;
        }
        if !names.is_empty() && !names.contains(of.as_str()) {
            let names: Vec<&str> = names.iter().copied().collect();
            let says = format!("{name}: it is of the alliance {of}, and the statements are of {}", names.join(", "));
            section.differs("rotations", says);
            continue;
        }
        let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let key = if *purpose == Purpose::Checkpoint { "the log's key " } else { "" };
        let says = format!("{key}{old} handed over to {new} from {at} on");
        if unknown.is_empty() {
            section.holds("rotations", format!("{says}, signed by both"));
        } else {
            let (unknown, remedy) = (unknown.join(" nor "), keys.remedy());
            let says = format!("{name}, that {says}: no file has the key {unknown}: {remedy}");
            section.unchecked("rotations", says);
        }
    }
    if records.is_empty() {
        section.holds("rotations", "no key has handed over to another");
    }
    section
}
