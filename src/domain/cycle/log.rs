//! Binary logarithms of fractions in whole units, rounded down with a proven bound. No float.

/// One unit is 2^-40 of a doubling.
const BITS: u32 = 40;

/// The true logarithm is at least `floor_log2` and below it by less than this many units.
pub(super) const ERROR: i64 = 2;

/// `log2(num / den)` in units of 2^-40, rounded down by less than [`ERROR`] units. Both must be positive.
///
/// The mantissa is kept with 63 bits after the point and squared once a bit. Every cut is downwards, so the result
/// never exceeds the truth. The first cut loses less than 2^-62, the cut after squaring number j less than 2^-62 / 2^j
/// of a doubling, and stopping after 40 bits less than 2^-40: together less than 2 units.
pub(super) fn floor_log2(num: i128, den: i128) -> i64 {
    let (num, den) = (num.unsigned_abs(), den.unsigned_abs());
    let (mut exponent, mut mantissa) = normalised(num, den);
    let mut fraction: i64 = 0;
    for _ in 0..BITS {
        let square = mantissa * mantissa;
        fraction <<= 1;
        if square >> 127 == 1 {
            fraction |= 1;
            mantissa = square >> 64;
        } else {
            mantissa = square >> 63;
        }
    }
    exponent <<= BITS;
    exponent + fraction
}

/// `num / den = 2^exponent × mantissa`, the mantissa in `[1, 2)` with 63 bits after the point, cut downwards.
fn normalised(num: u128, den: u128) -> (i64, u128) {
    let exponent = i64::from(den.leading_zeros()) - i64::from(num.leading_zeros());
    // One bit more than needed, so that a quotient just below 2^exponent still has 63 after the point.
    let (mut quotient, mut exponent) = (divide(num, den, exponent), exponent);
    if quotient >> 64 == 0 {
        exponent -= 1;
    } else {
        quotient >>= 1;
    }
    (exponent, quotient)
}

/// `floor(num / den × 2^(64 - exponent))` by long division, so that nothing overflows: between 2^63 and 2^65.
fn divide(num: u128, den: u128, exponent: i64) -> u128 {
    let mut quotient = num / den;
    let mut rest = num % den;
    // 64 - exponent binary places; an exponent above 64 cannot be, since both are below 2^63.
    for _ in 0..(64 - exponent) {
        rest <<= 1;
        quotient <<= 1;
        if rest >= den {
            rest -= den;
            quotient |= 1;
        }
    }
    quotient
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_bigint::BigInt;

    #[test]
    fn powers_of_two_are_exact() {
        for exponent in 0..50_u32 {
            let power = 1_i128 << exponent;
            assert_eq!(floor_log2(power, 1), i64::from(exponent) << BITS);
            assert_eq!(floor_log2(1, power), -(i64::from(exponent) << BITS));
        }
    }

    /// Compares `2^(log / 2^10)` with the fraction raised to 2^10, exactly.
    #[test]
    fn the_logarithm_is_below_the_truth_by_less_than_the_bound() {
        for (num, den) in [(3, 2), (2, 3), (9, 10), (10, 9), (999_999_999, 1_000_000_000), (7, 1_000_000_000), (1, 1)] {
            let log = floor_log2(num, den);
            let raised = |value: i128| BigInt::from(value).pow(1 << 10);
            // 2^10 × log2 lies between floor(log / 2^30) and the same of the upper bound, plus one.
            let (low, high) = (log >> (BITS - 10), ((log + ERROR) >> (BITS - 10)) + 1);
            let scaled = |by: i64| {
                let shift = usize::try_from(by.unsigned_abs()).expect("small");
                if by >= 0 { (raised(num), raised(den) << shift) } else { (raised(num) << shift, raised(den)) }
            };
            let (left, right) = scaled(low);
            assert!(left >= right, "{num}/{den} is below its lower bound");
            let (left, right) = scaled(high);
            assert!(left <= right, "{num}/{den} is above its upper bound");
        }
    }
}
