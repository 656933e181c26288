//! The staff log: what was done, each entry with the hash of the one before, so that none can be changed or taken out of the
//! middle unseen.

use super::ids::{Slug, StaffId};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// Bytes of a hash, SHA-256.
pub const HASH: usize = 32;

/// Where the log ends; before its first entry, number 0 with 32 zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub seq: i64,
    pub hash: [u8; HASH],
}

/// An entry as it is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub seq: i64,
    /// In whole microseconds.
    pub at: DateTime<Utc>,
    /// Whose affair it was; `None`: the operator's alone.
    pub partner: Option<Slug>,
    /// Who did it; `None`: whoever runs the command line, or nobody known.
    pub staff: Option<StaffId>,
    pub login: Option<String>,
    pub action: String,
    pub subject: String,
    pub detail: BTreeMap<String, String>,
    pub prev_hash: [u8; HASH],
}

/// In place of the length of what is absent.
const ABSENT: [u8; 8] = [0xff; 8];

impl Entry {
    /// What the hash is over: the hash before, the number, the microseconds since 1970, then every text after its length in
    /// bytes, the detail's by their keys' bytes. Numbers and lengths are eight bytes, the highest first.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.prev_hash.to_vec();
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.at.timestamp_micros().to_be_bytes());
        put(&mut out, self.partner.as_ref().map(Slug::as_str));
        put(&mut out, self.staff.map(|staff| staff.0.to_string()).as_deref());
        put(&mut out, self.login.as_deref());
        put(&mut out, Some(&self.action));
        put(&mut out, Some(&self.subject));
        for (key, text) in &self.detail {
            put(&mut out, Some(key));
            put(&mut out, Some(text));
        }
        out
    }
}

fn put(out: &mut Vec<u8>, text: Option<&str>) {
    let Some(text) = text else { return out.extend_from_slice(&ABSENT) };
    // A text is never longer than u64 counts.
    out.extend_from_slice(&u64::try_from(text.len()).unwrap_or_default().to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn entry() -> Entry {
        Entry {
            seq: 2,
            at: DateTime::from_timestamp_micros(1_000_001).expect("an instant"),
            partner: Some("lumen".parse().expect("a slug")),
            staff: None,
            login: Some("ada".to_owned()),
            action: "a".to_owned(),
            subject: String::new(),
            detail: BTreeMap::from([("b".to_owned(), "二".to_owned()), ("a".to_owned(), "1".to_owned())]),
            prev_hash: [7; HASH],
        }
    }

    /// The hashes are stored for ever: the layout may not drift.
    #[test]
    fn the_layout_is_what_it_was() {
        let mut wanted = vec![7; 32];
        wanted.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x41]);
        wanted.extend_from_slice(b"\0\0\0\0\0\0\0\x05lumen\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\x03ada");
        wanted.extend_from_slice(b"\0\0\0\0\0\0\0\x01a\0\0\0\0\0\0\0\0");
        wanted.extend_from_slice(
            b"\0\0\0\0\0\0\0\x01a\0\0\0\0\0\0\0\x011\0\0\0\0\0\0\0\x01b\0\0\0\0\0\0\0\x03\xe4\xba\x8c",
        );
        assert_eq!(entry().bytes(), wanted);
    }

    #[test]
    fn every_part_counts_and_where_it_ends() {
        let changes: [fn(&mut Entry); 9] = [
            |entry| entry.seq = 3,
            |entry| entry.at += chrono::TimeDelta::microseconds(1),
            |entry| entry.partner = None,
            |entry| entry.staff = Some(StaffId(Uuid::nil())),
            |entry| entry.login = Some("ad".to_owned()),
            |entry| (entry.login, entry.action) = (Some("ad".to_owned()), "aa".to_owned()),
            |entry| entry.subject = "b".to_owned(),
            |entry| entry.detail.clear(),
            |entry| entry.prev_hash[31] = 0,
        ];
        for (nth, change) in changes.into_iter().enumerate() {
            let mut changed = entry();
            change(&mut changed);
            assert_ne!(changed.bytes(), entry().bytes(), "{nth}");
        }
    }
}
