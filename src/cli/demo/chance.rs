//! SplitMix64: chance that comes out the same every time.

pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..many`; 0 when there is nothing to choose from.
    pub fn below(&mut self, many: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(many.max(1)).unwrap_or(1)).unwrap_or(0)
    }

    /// A number from `least` to `most`, both included.
    pub fn between(&mut self, least: i64, most: i64) -> i64 {
        let many = u64::try_from(most - least + 1).unwrap_or(1).max(1);
        least + i64::try_from(self.next() % many).unwrap_or(0)
    }

    pub fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_tells_one_story() {
        let told = |seed| {
            let mut chance = Chance::new(seed);
            (0..100).map(|_| chance.between(-3, 3)).collect::<Vec<_>>()
        };
        assert_eq!(told(7), told(7));
        assert_ne!(told(7), told(8));
        assert!(told(7).iter().all(|number| (-3..=3).contains(number)));
        assert!((-3..=3).all(|number| told(7).contains(&number)), "both ends and all between");
        assert_eq!(Chance::new(1).below(0), 0);
    }
}
