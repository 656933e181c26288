//! The confirmation number a member sees: twelve characters in groups of four, the last a check character.
//!
//! It is a fixed bijection of where the conversion was posted, (batch_no, ordinal), so it needs no draw, no retry and
//! no table of its own. The alphabet has 31 characters, a prime, so the weighted check character catches every single
//! wrong character and every swap.

use std::fmt;
use std::str::FromStr;

/// Digits and capitals without I, L, O, U (as Crockford has it) and without Z, which is read as 2.
pub const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKMNPQRSTVWXY";
const BASE: u64 = 31;
/// Characters before the check character.
const DIGITS: usize = 11;
/// 31^11.
const SPACE: u64 = 25_408_476_896_404_831;
/// A batch holds at most 8,000 commands (`batch_max`), so that every conversion of it has a number.
const ORDINAL_BITS: u32 = 13;
const BATCH_BITS: u32 = 41;

/// Spreads neighbours over the whole space; coprime to 31, hence invertible.
const FACTOR: u64 = 15_703_302_718_654_229;
const OFFSET: u64 = 9_176_521_744_026_317;
/// `FACTOR × INVERSE ≡ 1 (mod SPACE)`.
const INVERSE: u64 = 22_113_372_493_949_662;

/// Where a conversion was posted, as its confirmation number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Confirmation {
    batch_no: i64,
    ordinal: i32,
}

/// A text that is no confirmation number: wrong length, wrong characters, or a slip its check character shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAConfirmation;

impl Confirmation {
    /// `None` outside `0 ≤ batch_no < 2^41`, `0 ≤ ordinal < 2^13`.
    pub fn new(batch_no: i64, ordinal: i32) -> Option<Confirmation> {
        let fits = (0..1 << BATCH_BITS).contains(&batch_no) && (0..1 << ORDINAL_BITS).contains(&ordinal);
        fits.then_some(Confirmation { batch_no, ordinal })
    }

    pub fn batch_no(self) -> i64 {
        self.batch_no
    }

    pub fn ordinal(self) -> i32 {
        self.ordinal
    }

    /// The eleven digits, most significant first, and their check digit.
    fn digits(self) -> [u64; DIGITS + 1] {
        let place = (self.batch_no.unsigned_abs() << ORDINAL_BITS) | u64::from(self.ordinal.unsigned_abs());
        let mut rest = (multiply(place, FACTOR) + OFFSET) % SPACE;
        let mut digits = [0; DIGITS + 1];
        for digit in digits[..DIGITS].iter_mut().rev() {
            *digit = rest % BASE;
            rest /= BASE;
        }
        digits[DIGITS] = check(&digits[..DIGITS]);
        digits
    }
}

/// The weights 2 … 12 and 1 for the check itself are distinct and not 0 mod 31: one wrong digit changes the sum by
/// weight × difference, a swap by difference of weights × difference of digits, neither of which is 0 mod 31.
pub(super) fn check(digits: &[u64]) -> u64 {
    let sum: u64 = digits.iter().zip(2..).map(|(digit, weight)| digit * weight).sum();
    (BASE - sum % BASE) % BASE
}

fn multiply(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b) % u128::from(SPACE);
    u64::try_from(product).expect("a remainder of SPACE is below 2^55")
}

impl fmt::Display for Confirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'-'; DIGITS + 3];
        let places = [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13];
        for (place, digit) in places.into_iter().zip(self.digits()) {
            // A digit is below 31.
            text[place] = ALPHABET[usize::try_from(digit).unwrap_or(0)];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl FromStr for Confirmation {
    type Err = NotAConfirmation;

    /// Reads what a person types: any case, with or without hyphens, O for 0, I and L for 1, Z for 2.
    fn from_str(text: &str) -> Result<Confirmation, NotAConfirmation> {
        let mut digits = [0; DIGITS + 1];
        let mut typed = text.bytes().filter(|b| *b != b'-' && *b != b' ');
        for digit in &mut digits {
            *digit = digit_of(typed.next().ok_or(NotAConfirmation)?).ok_or(NotAConfirmation)?;
        }
        if typed.next().is_some() || check(&digits[..DIGITS]) != digits[DIGITS] {
            return Err(NotAConfirmation);
        }
        let spread = digits[..DIGITS].iter().fold(0, |value, digit| value * BASE + digit);
        let place = multiply((spread + SPACE - OFFSET) % SPACE, INVERSE);
        let batch_no = i64::try_from(place >> ORDINAL_BITS).map_err(|_| NotAConfirmation)?;
        let ordinal = i32::try_from(place & ((1 << ORDINAL_BITS) - 1)).map_err(|_| NotAConfirmation)?;
        Confirmation::new(batch_no, ordinal).ok_or(NotAConfirmation)
    }
}

/// The character of the alphabet that a person meant.
pub(super) fn read(typed: u8) -> Option<u8> {
    let meant = match typed.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        b'Z' => b'2',
        plain => plain,
    };
    ALPHABET.contains(&meant).then_some(meant)
}

fn digit_of(typed: u8) -> Option<u64> {
    let meant = read(typed)?;
    ALPHABET.iter().zip(0..).find_map(|(known, digit)| (*known == meant).then_some(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confirmation(batch_no: i64, ordinal: i32) -> Confirmation {
        Confirmation::new(batch_no, ordinal).expect("in range")
    }

    #[test]
    fn every_place_has_one_number_and_comes_back() {
        for batch_no in [0, 1, 2, 31, 4_711, 1 << 40, (1 << BATCH_BITS) - 1] {
            for ordinal in [0, 1, 199, 8_191] {
                let given = confirmation(batch_no, ordinal);
                let text = given.to_string();
                assert_eq!((text.len(), &text[4..5], &text[9..10]), (14, "-", "-"));
                assert_eq!(text.parse(), Ok(given));
                assert_eq!(text.to_lowercase().replace('-', "").parse(), Ok(given));
            }
        }
        assert_eq!(Confirmation::new(-1, 0), None);
        assert_eq!(Confirmation::new(1 << BATCH_BITS, 0), None);
        assert_eq!(Confirmation::new(1, 8_192), None);
    }

    #[test]
    fn the_numbers_never_change() {
        // A member may hold an old one: this mapping is for ever.
        assert_eq!(confirmation(1, 0).to_string(), "955V-792C-M976");
    }

    #[test]
    fn one_wrong_character_or_a_swap_is_caught() {
        let text = confirmation(123_456, 17).to_string().replace('-', "");
        for place in 0..12 {
            for other in ALPHABET {
                let mut wrong = text.clone().into_bytes();
                if wrong[place] != *other {
                    wrong[place] = *other;
                    let wrong = String::from_utf8(wrong).expect("ASCII");
                    assert_eq!(wrong.parse::<Confirmation>(), Err(NotAConfirmation), "{wrong}");
                }
            }
        }
        for place in 0..11 {
            let mut wrong = text.clone().into_bytes();
            wrong.swap(place, place + 1);
            if wrong != text.as_bytes() {
                let wrong = String::from_utf8(wrong).expect("ASCII");
                assert_eq!(wrong.parse::<Confirmation>(), Err(NotAConfirmation), "{wrong}");
            }
        }
    }

    #[test]
    fn the_inverse_undoes_the_factor() {
        assert_eq!(multiply(FACTOR, INVERSE), 1);
        assert_eq!(SPACE, BASE.pow(11));
    }
}
