//! The code by which a member carries a link from one brand to the other: eight characters, typed by a person.
//!
//! Its alphabet is the confirmation number's, read as forgivingly; it has no check character, as five wrong tries end it.

use super::confirmation;
use std::fmt;
use std::str::FromStr;

/// Characters of a code: 31^8 ≈ 8.5 × 10^11 of them.
pub const LENGTH: usize = 8;

/// A link code, always in its canonical spelling.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkCode([u8; LENGTH]);

/// A text that cannot be a link code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotALinkCode;

impl LinkCode {
    /// A code from random bytes; `None` when too many of them had to be passed over to be fair to every character.
    pub fn draw(random: &[u8]) -> Option<LinkCode> {
        // 248 = 8 × 31: bytes above would favour the first characters.
        let mut fair = random.iter().filter(|byte| **byte < 248);
        let mut code = [0; LENGTH];
        for character in &mut code {
            *character = confirmation::ALPHABET[usize::from(fair.next()? % 31)];
        }
        Some(LinkCode(code))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for LinkCode {
    type Err = NotALinkCode;

    /// Any case, with or without hyphens or spaces, O for 0, I and L for 1, Z for 2.
    fn from_str(text: &str) -> Result<LinkCode, NotALinkCode> {
        let mut typed = text.bytes().filter(|b| *b != b'-' && *b != b' ');
        let mut code = [0; LENGTH];
        for character in &mut code {
            *character = confirmation::read(typed.next().ok_or(NotALinkCode)?).ok_or(NotALinkCode)?;
        }
        if typed.next().is_some() { Err(NotALinkCode) } else { Ok(LinkCode(code)) }
    }
}

impl fmt::Debug for LinkCode {
    /// Never in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_code_is_read_back_however_it_is_typed() {
        let code = LinkCode::draw(&[0, 255, 1, 2, 30, 31, 61, 247, 250, 9]).expect("eight fair bytes");
        assert_eq!(code.as_str(), "012Y0YY9");
        assert_eq!("oi2y-0yy9".parse(), Ok(code.clone()));
        assert_eq!("0L Z Y 0Y Y9".parse(), Ok(code));
        for bad in ["", "0000000", "000000000", "0000000U", "0000000é"] {
            assert_eq!(bad.parse::<LinkCode>(), Err(NotALinkCode), "{bad}");
        }
    }

    #[test]
    fn too_few_fair_bytes_draw_nothing() {
        assert_eq!(LinkCode::draw(&[255; 64]), None);
        assert_eq!(LinkCode::draw(&[1; 7]), None);
    }
}
