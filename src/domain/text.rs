//! Texts from outside: references, reasons, codes. Checked once at the edge, trusted inside.

use std::fmt;

/// 1 to 128 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(String);

/// A text that is empty, too long, or has control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAText;

impl Text {
    pub const LENGTH_MAX: usize = 128;

    pub fn new(raw: String) -> Result<Text, NotAText> {
        // Bytes first: cheap, and a short text needs no counting of characters.
        let short = raw.len() <= Self::LENGTH_MAX || raw.chars().count() <= Self::LENGTH_MAX;
        if raw.is_empty() || !short || raw.chars().any(char::is_control) { Err(NotAText) } else { Ok(Text(raw)) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_in_characters_and_plain() {
        assert!(Text::new("积".repeat(128)).is_ok());
        for bad in [String::new(), "a".repeat(129), "积".repeat(129), "a\nb".into(), "a\u{0}".into(), "\u{85}".into()]
        {
            assert_eq!(Text::new(bad), Err(NotAText));
        }
    }
}
