//! One-time codes of the second factor: RFC 6238, 30 seconds, six digits, HMAC-SHA-1, as every authenticator app has them.
//!
//! SHA-1 is broken for signatures; in HMAC it is not, and apps pass over a link that names another hash.

use ring::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use ring::rand::{SecureRandom, SystemRandom};

/// Bytes of a secret: as many as the hash has (RFC 4226 §4).
pub const SECRET: usize = 20;
const STEP_S: i64 = 30;
const DIGITS: usize = 6;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A new secret; `Err` when the system has no randomness.
pub fn generate() -> Result<[u8; SECRET], ring::error::Unspecified> {
    let mut secret = [0; SECRET];
    SystemRandom::new().fill(&mut secret)?;
    Ok(secret)
}

/// The step at so many seconds since 1970.
pub fn step(unix_s: i64) -> i64 {
    unix_s.div_euclid(STEP_S)
}

/// The code of a step, six digits.
pub fn code(secret: &[u8], step: i64) -> String {
    let code = number(secret, step) % 1_000_000;
    format!("{code:0DIGITS$}")
}

/// The step whose code this is, of the one at `unix_s` and those beside it: clocks of telephones are not ours.
/// Spaces are passed over, as apps show them. All three are looked at, whichever it is.
pub fn accept(secret: &[u8], typed: &str, unix_s: i64) -> Option<i64> {
    let typed: Vec<u8> = typed.bytes().filter(|byte| *byte != b' ').take(DIGITS + 1).collect();
    let now = step(unix_s);
    let is = |step: i64| {
        let code = code(secret, step);
        typed.len() == DIGITS && code.bytes().zip(&typed).fold(0, |all, (a, b)| all | (a ^ b)) == 0
    };
    [now - 1, now, now + 1].into_iter().fold(None, |found, step| if is(step) { Some(step) } else { found })
}

/// RFC 4226 §5.3, dynamic truncation.
fn number(secret: &[u8], step: i64) -> u32 {
    let tag = sign(&Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret), &step.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[tag.len() - 1] & 0xf);
    let four = [tag[at], tag[at + 1], tag[at + 2], tag[at + 3]];
    u32::from_be_bytes(four) & 0x7fff_ffff
}

/// The link an authenticator app is set up with, as a QR code or typed.
pub fn uri(issuer: &str, account: &str, secret: &[u8]) -> String {
    let (issuer, account) = (percent(issuer), percent(account));
    let secret = base32(secret);
    format!("otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits=6&period=30")
}

/// RFC 4648 §6, without padding.
fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for five in bytes.chunks(5) {
        let mut bits = [0; 8];
        bits[3..3 + five.len()].copy_from_slice(five);
        let bits = u64::from_be_bytes(bits);
        for digit in 0..(five.len() * 8).div_ceil(5) {
            let value = (bits >> (35 - 5 * digit)) & 31;
            text.push(char::from(BASE32[usize::try_from(value).unwrap_or_default()]));
        }
    }
    text
}

/// Everything but RFC 3986's unreserved characters as `%XX`.
fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC: &[u8] = b"12345678901234567890";

    /// RFC 6238 appendix B, SHA-1; of its eight digits the last six, which is what six digits are.
    #[test]
    fn the_rfcs_codes_are_ours() {
        let vectors = [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ];
        for (at, wanted) in vectors {
            assert_eq!(code(RFC, step(at)), wanted[2..], "{at}");
            assert_eq!(number(RFC, step(at)) % 100_000_000, wanted.parse::<u32>().expect("digits"), "{at}");
        }
    }

    /// RFC 4226 appendix D.
    #[test]
    fn the_codes_of_counters_are_ours() {
        let wanted =
            ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
        for (counter, wanted) in (0..).zip(wanted) {
            assert_eq!(code(RFC, counter), wanted);
        }
    }

    #[test]
    fn a_code_is_good_a_step_before_and_after_and_says_which_it_is() {
        let now = 1_234_567_890;
        for away in -3..=3 {
            let wanted = (-1..=1).contains(&away).then_some(step(now) + away);
            assert_eq!(accept(RFC, &code(RFC, step(now) + away), now), wanted, "{away}");
        }
        let code = code(RFC, step(now));
        assert_eq!(accept(RFC, &format!("{} {}", &code[..3], &code[3..]), now), Some(step(now)));
        for bad in ["", "0", "00592", "0059240", "x05924", "００５９２４"] {
            assert_eq!(accept(RFC, bad, now), None, "{bad}");
        }
    }

    #[test]
    fn a_link_is_as_apps_read_it() {
        // RFC 4648 §10.
        for (bytes, wanted) in
            [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("foobar", "MZXW6YTBOI")]
        {
            assert_eq!(base32(bytes.as_bytes()), wanted);
        }
        assert_eq!(
            uri("Hanse Spring Street", "ada@lumen", RFC),
            "otpauth://totp/Hanse%20Spring%20Street:ada%40lumen?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Hanse%20Spring%20Street&algorithm=SHA1&digits=6&period=30"
        );
    }
}
