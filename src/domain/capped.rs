//! Sums as they are kept: what comes to more than a number holds is the largest there is of its sign, as in the database
//! (`capped`, of migration 0023), so that one brand that says nonsense does not stop the figures of all.

/// A sum as it is kept.
pub fn capped(sum: i128) -> i64 {
    let most = i128::from(i64::MAX);
    i64::try_from(sum.clamp(-most, most)).unwrap_or(i64::MAX)
}

/// Two that are kept, together.
pub fn plus(a: i64, b: i64) -> i64 {
    capped(i128::from(a) + i128::from(b))
}

/// All of them together.
pub fn total(all: impl IntoIterator<Item = i64>) -> i64 {
    capped(all.into_iter().map(i128::from).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_ends_at_the_largest_number_of_its_sign() {
        assert_eq!((plus(2, -5), plus(i64::MAX, 1), plus(-i64::MAX, -1)), (-3, i64::MAX, -i64::MAX));
        assert_eq!(capped(i128::MIN), -i64::MAX, "whose opposite there is");
        // In any order, as long as all of it is no more.
        assert_eq!(total([i64::MAX, 1, -2]), i64::MAX - 1);
    }
}
