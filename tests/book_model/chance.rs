//! Seeded chance: the same seed walks the same way on every machine, so that a failure can be run again.

use uuid::Uuid;

/// SplitMix64.
pub struct Chance {
    state: u64,
    ids: u64,
}

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance { state: seed, ids: 0 }
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between `low` and `high`, both possible.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        assert!(low <= high, "{low} is above {high}");
        let span = (high - low).unsigned_abs() + 1;
        low + i64::try_from(self.next() % span).expect("below a span of i64")
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).expect("a length")).expect("below a length")
    }

    pub fn percent(&mut self, chances: u64) -> bool {
        self.next() % 100 < chances
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    pub fn pick_or<T: Clone>(&mut self, from: &[T], otherwise: T) -> T {
        if from.is_empty() { otherwise } else { self.pick(from) }
    }

    /// Ids that grow with time, as UUIDv7 do, and differ in their random end.
    pub fn uuid(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u64_pair(self.ids, self.next())
    }
}
