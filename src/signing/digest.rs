//! Bytes that stand for something: keys of directory rows, fingerprints of commands, whole bodies.

use ring::digest::{Context, SHA256};
use uuid::Uuid;

/// The key of a directory row: the first 16 bytes of SHA-256 over a kind and its parts.
///
/// Each is written after its length, so that no two different lists of parts have the same bytes.
pub fn directory_hash(kind: &str, parts: &[&[u8]]) -> Uuid {
    let mut context = Context::new(&SHA256);
    put(&mut context, kind.as_bytes());
    for part in parts {
        put(&mut context, part);
    }
    first_half(context)
}

/// What tells a request from another under the same key. `version` is that of the bytes' layout.
pub fn fingerprint(version: u8, bytes: &[u8]) -> Uuid {
    let mut context = Context::new(&SHA256);
    context.update(&[version]);
    context.update(bytes);
    first_half(context)
}

/// SHA-256 over bytes as they come.
pub struct Sha256(Context);

impl Default for Sha256 {
    fn default() -> Sha256 {
        Sha256(Context::new(&SHA256))
    }
}

impl Sha256 {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> [u8; 32] {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.0.finish().as_ref());
        digest
    }
}

fn put(context: &mut Context, bytes: &[u8]) {
    // A slice is never longer than u64 counts.
    context.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
    context.update(bytes);
}

fn first_half(context: Context) -> Uuid {
    let mut half = [0; 16];
    half.copy_from_slice(&context.finish().as_ref()[..16]);
    Uuid::from_bytes(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_one_part_ends_and_the_next_begins_counts() {
        let hash = directory_hash("key", &[b"lumen", b"ab", b"c"]);
        assert_eq!(hash, directory_hash("key", &[b"lumen", b"ab", b"c"]));
        for other in [
            directory_hash("key", &[b"lumen", b"a", b"bc"]),
            directory_hash("key", &[b"lumenab", b"c"]),
            directory_hash("keys", &[b"lumen", b"ab", b"c"]),
            directory_hash("key", &[b"lumen", b"ab", b"c", b""]),
        ] {
            assert_ne!(hash, other);
        }
        assert_ne!(fingerprint(1, b"a"), fingerprint(2, b"a"));
    }

    /// The hash is stored for ever: its layout may not drift.
    #[test]
    fn the_layout_is_length_prefixed_sha_256() {
        let mut bytes = Vec::new();
        for part in [b"ref".as_slice(), b"lumen", b"L-1"] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        let whole = ring::digest::digest(&SHA256, &bytes);
        assert_eq!(directory_hash("ref", &[b"lumen", b"L-1"]).as_bytes()[..], whole.as_ref()[..16]);
    }
}
