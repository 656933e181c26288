//! Keys of the advisory locks by which servers and commands of one database take turns; the book's turns of accounts are
//! hashes, and meet none of these.

/// Held shared by whoever posts, alone by whoever changes what postings stand on.
pub const FENCE: i64 = 0x4841_4e53_4500_0001;
/// Of whoever numbers batches for the feed.
pub const SEALER: i64 = 0x4841_4e53_4500_0002;
/// Of whoever counts what the alliance comes to.
pub const COUNTING: i64 = 0x4841_4e53_4500_0021;
/// Of whoever closes windows.
pub const SETTLER: i64 = 0x4841_4e53_4500_0003;
/// Of whoever proposes or publishes.
pub const PUBLISHING: i64 = 0x4841_4e53_4500_0004;
/// Of whoever records payments: what is matched with what is owed is recorded before it is matched again.
pub const PAYMENTS: i64 = 0x4841_4e53_4500_0005;
/// Of whoever adds to the staff log: each entry has the hash of the one before.
pub const STAFF_LOG: i64 = 0x4841_4e53_4500_0019;
/// Of whoever gives out certificates or takes them back.
pub const CERTIFICATES: i64 = 0x4841_4e53_4500_0010;
/// Of whoever says what has become of a crossing in doubt: each hears what the one before has said.
pub const RESOLUTIONS: i64 = 0x4841_4e53_4500_0017;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_turn_is_one_of_its_own() {
        let all = [FENCE, SEALER, SETTLER, PUBLISHING, PAYMENTS, STAFF_LOG, CERTIFICATES, RESOLUTIONS, COUNTING];
        assert_eq!(BTreeSet::from(all).len(), all.len());
    }
}
