//! Money of settlement lines: whole millionths of the alliance's currency.
//!
//! Points × price is exact in millionths, so nothing is rounded until a statement adds a counterparty's total.

use super::points::Points;
use std::fmt;

/// An amount of money in millionths of the alliance's currency; negative when it is owed the other way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millionths(i64);

impl Millionths {
    pub const ZERO: Millionths = Millionths(0);

    pub const fn new(value: i64) -> Millionths {
        Millionths(value)
    }

    pub const fn get(self) -> i64 {
        self.0
    }

    /// `self` per point times `points`, exact; `None` on overflow.
    pub fn times(self, points: Points) -> Option<Millionths> {
        self.0.checked_mul(points.get()).map(Millionths)
    }

    pub fn plus(self, other: Millionths) -> Option<Millionths> {
        self.0.checked_add(other.0).map(Millionths)
    }

    pub fn minus(self, other: Millionths) -> Option<Millionths> {
        self.0.checked_sub(other.0).map(Millionths)
    }

    pub fn negated(self) -> Millionths {
        Millionths(-self.0)
    }

    /// `floor(self × num / den)`, the one rounding of a fee; `None` on overflow. `den` must be positive.
    pub fn floor_of(self, num: i64, den: i64) -> Option<Millionths> {
        let product = i128::from(self.0) * i128::from(num);
        i64::try_from(product.div_euclid(i128::from(den))).ok().map(Millionths)
    }

    /// Parses `12`, `0.05` or `-3.000001`: at most six decimals, nothing else. `None` otherwise.
    pub fn parse(text: &str) -> Option<Millionths> {
        parse_decimal(text).and_then(|value| i64::try_from(value).ok()).map(Millionths)
    }
}

impl fmt::Display for Millionths {
    /// As `decimal` writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal(i128::from(self.0)))
    }
}

/// Millionths, or a sum of them, from `12`, `0.05` or `-3.000001`: at most six decimals, nothing else. `None` otherwise.
pub fn parse_decimal(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || !plain(fraction) || fraction.len() > 6 {
        return None;
    }
    let whole: i128 = whole.parse().ok()?;
    let millionths: i128 = format!("{fraction:0<6}").parse().ok()?;
    whole.checked_mul(1_000_000)?.checked_add(millionths)?.checked_mul(sign)
}

/// Millionths, or a sum of them that may be beyond the range of one amount, as a decimal string with at least two and at
/// most six decimals: `0.05`, `12.00`, `-0.000001`.
pub fn decimal(millionths: i128) -> String {
    let sign = if millionths < 0 { "-" } else { "" };
    let value = millionths.unsigned_abs();
    let fraction = format!("{:06}", value % 1_000_000);
    let kept = fraction.trim_end_matches('0').len().max(2);
    format!("{sign}{}.{}", value / 1_000_000, &fraction[..kept])
}

/// Decimals of a currency's smallest unit (ISO 4217); 2 for those that are not named here.
pub fn minor_digits(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

/// A currency's smallest unit.
pub fn minor_unit(currency: &str) -> Millionths {
    // At most 4 of a millionth's 6 digits.
    Millionths::new(10_i64.pow(6_u32.saturating_sub(minor_digits(currency))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_reads_and_prints_exactly() {
        for (text, value, printed) in [
            ("0.05", 50_000, "0.05"),
            ("12", 12_000_000, "12.00"),
            ("-0.000001", -1, "-0.000001"),
            ("0.0125", 12_500, "0.0125"),
        ] {
            let money = Millionths::parse(text).expect(text);
            assert_eq!((money.get(), money.to_string().as_str()), (value, printed));
        }
        for bad in ["", ".", "1.", ".5", "1e3", "+1", " 1", "0.0000001", "--1", "9223372036854775807"] {
            assert_eq!(Millionths::parse(bad), None, "{bad}");
        }
        for value in [0, 1, -1, 10_000, -123_450_000, i64::MAX, i64::MIN] {
            assert_eq!(decimal(i128::from(value)), Millionths::new(value).to_string());
        }
        assert_eq!(decimal(3 * i128::from(i64::MAX)), "27670116110564.327421");
    }
}
