//! Reads a JSON text before anything else does, and refuses what readers disagree about.
//!
//! Duplicate keys, depth, lone surrogates, control characters and every number that is not a plain whole number
//! within ±(2^53 − 1) are found here, each with the JSON pointer (RFC 6901) of its place. Amounts of money travel as
//! strings, so no body of ours has a fraction or an exponent.

use std::borrow::Cow;
use std::fmt::Write;

/// Levels of arrays and objects.
pub const DEPTH_MAX: usize = 32;
/// Members of one object; keeps the search for duplicates cheap.
const KEYS_MAX: usize = 64;
/// Errors told at once.
const FAULTS_MAX: usize = 8;
/// Digits of 2^53 − 1.
const DIGITS_MAX: usize = 16;
const WHOLE_MAX: u64 = (1 << 53) - 1;

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not a JSON text we read: why, and where as a pointer.
    Malformed(&'static str, String),
    /// A JSON text with values no field takes.
    Values(Vec<(String, &'static str)>),
}

/// Checks the whole text.
pub fn check(text: &str) -> Result<(), Fault> {
    let mut scan = Scan::new(text, usize::MAX);
    match scan.text() {
        Err(why) => Err(Fault::Malformed(why.reason(), scan.pointer())),
        Ok(()) if scan.faults.is_empty() => Ok(()),
        Ok(()) => Err(Fault::Values(scan.faults)),
    }
}

/// The pointer of the innermost value that covers byte `at` of a text that passed `check`.
pub fn pointer_at(text: &str, at: usize) -> String {
    let mut scan = Scan::new(text, at);
    match scan.text() {
        Err(Stop::Reached) => scan.pointer(),
        _ => String::new(),
    }
}

#[derive(Clone, Copy, Debug)]
enum Stop {
    Bad(&'static str),
    Reached,
}

impl Stop {
    fn reason(self) -> &'static str {
        match self {
            Stop::Bad(reason) => reason,
            Stop::Reached => "the text goes on too long",
        }
    }
}

enum Segment<'a> {
    Key(Cow<'a, str>),
    Index(usize),
}

struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// The scan ends once a value or key reaches past this byte.
    until: usize,
    path: Vec<Segment<'a>>,
    faults: Vec<(String, &'static str)>,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str, until: usize) -> Scan<'a> {
        Scan { text, bytes: text.as_bytes(), at: 0, until, path: Vec::new(), faults: Vec::new() }
    }

    fn text(&mut self) -> Result<(), Stop> {
        self.value(0)?;
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Stop::Bad("something follows the JSON value")) }
    }

    fn value(&mut self, depth: usize) -> Result<(), Stop> {
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth + 1)?,
            Some(b'[') => self.array(depth + 1)?,
            Some(b'"') => {
                self.string()?;
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            Some(_) => return Err(Stop::Bad("a JSON value was expected")),
            None => return Err(Stop::Bad("the JSON text ends too early")),
        }
        self.reached()
    }

    fn object(&mut self, depth: usize) -> Result<(), Stop> {
        self.open(depth)?;
        let mut keys: Vec<Cow<'a, str>> = Vec::new();
        self.space();
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(Stop::Bad("a key was expected"));
            }
            let key = self.string()?;
            self.path.push(Segment::Key(key.clone()));
            if keys.contains(&key) {
                return Err(Stop::Bad("the key occurs twice"));
            }
            if keys.len() == KEYS_MAX {
                return Err(Stop::Bad("the object has too many keys"));
            }
            keys.push(key);
            self.reached()?;
            self.space();
            if !self.eat(b':') {
                return Err(Stop::Bad("a colon was expected"));
            }
            self.value(depth)?;
            self.path.pop();
            self.space();
            if self.eat(b'}') {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(Stop::Bad("a comma was expected"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), Stop> {
        self.open(depth)?;
        self.space();
        if self.eat(b']') {
            return Ok(());
        }
        for index in 0.. {
            self.path.push(Segment::Index(index));
            self.value(depth)?;
            self.path.pop();
            self.space();
            if self.eat(b']') {
                break;
            }
            if !self.eat(b',') {
                return Err(Stop::Bad("a comma was expected"));
            }
        }
        Ok(())
    }

    fn open(&mut self, depth: usize) -> Result<(), Stop> {
        if depth > DEPTH_MAX {
            return Err(Stop::Bad("the JSON text is nested too deep"));
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a string and returns what it says.
    fn string(&mut self) -> Result<Cow<'a, str>, Stop> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.peek() {
                None => return Err(Stop::Bad("the JSON text ends too early")),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(byte) if byte < 0x20 => return Err(Stop::Bad("a string has a raw control character")),
                Some(_) => self.at += 1,
            }
        }
        let raw = &self.text[start..self.at];
        self.at += 1;
        let said = if escaped { Cow::Owned(unescape(raw).map_err(Stop::Bad)?) } else { Cow::Borrowed(raw) };
        if said.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            self.fault("must not have control characters");
        }
        Ok(said)
    }

    fn number(&mut self) -> Result<(), Stop> {
        let negative = self.eat(b'-');
        let whole = self.digits();
        match whole {
            [] => return Err(Stop::Bad("a number has no digits")),
            [b'0', _, ..] => return Err(Stop::Bad("a number starts with a zero")),
            _ => {}
        }
        let mut plain = true;
        if self.eat(b'.') {
            plain = false;
            if self.digits().is_empty() {
                return Err(Stop::Bad("a number has no digits after its point"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            plain = false;
            self.at += 1;
            let _sign = self.eat(b'+') || self.eat(b'-');
            if self.digits().is_empty() {
                return Err(Stop::Bad("a number has no digits in its exponent"));
            }
        }
        let too_large = || {
            let fits = |text| std::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
            whole.len() > DIGITS_MAX || fits(whole).is_none_or(|value| value > WHOLE_MAX)
        };
        if !plain || (negative && whole == b"0") {
            self.fault("must be a whole number written in digits alone");
        } else if too_large() {
            self.fault("must be within 2^53 - 1");
        }
        Ok(())
    }

    fn digits(&mut self) -> &'a [u8] {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        &self.bytes[start..self.at]
    }

    fn word(&mut self, word: &str) -> Result<(), Stop> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(Stop::Bad("a JSON value was expected"));
        }
        self.at += word.len();
        Ok(())
    }

    fn fault(&mut self, reason: &'static str) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push((self.pointer(), reason));
        }
    }

    fn reached(&self) -> Result<(), Stop> {
        if self.at > self.until { Err(Stop::Reached) } else { Ok(()) }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn pointer(&self) -> String {
        let mut out = String::new();
        for segment in &self.path {
            match segment {
                Segment::Index(index) => {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "/{index}");
                }
                Segment::Key(key) => push_key(&mut out, key),
            }
        }
        out
    }
}

/// Appends a key to a pointer, cut to 64 characters: a key is the caller's and may be long.
pub fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    for c in key.chars().take(64) {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
}

/// What the inside of a string says; refuses unknown escapes and halves of surrogate pairs.
fn unescape(raw: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(back) = rest.find('\\') {
        out.push_str(&rest[..back]);
        let (c, after) = escape(&rest[back + 1..])?;
        out.push(c);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn escape(rest: &str) -> Result<(char, &str), &'static str> {
    const UNKNOWN: &str = "a string has an unknown escape";
    let simple = match rest.bytes().next().ok_or(UNKNOWN)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unit_pair(&rest[1..]),
        _ => return Err(UNKNOWN),
    };
    Ok((simple, &rest[1..]))
}

fn unit_pair(rest: &str) -> Result<(char, &str), &'static str> {
    const LONE: &str = "a string has half of a surrogate pair";
    let (first, rest) = unit(rest)?;
    if !(0xD800..0xE000).contains(&first) {
        return Ok((char::from_u32(first).ok_or(LONE)?, rest));
    }
    let (second, after) = unit(rest.strip_prefix("\\u").ok_or(LONE)?)?;
    if first >= 0xDC00 || !(0xDC00..0xE000).contains(&second) {
        return Err(LONE);
    }
    let point = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    Ok((char::from_u32(point).ok_or(LONE)?, after))
}

fn unit(rest: &str) -> Result<(u32, &str), &'static str> {
    const BAD: &str = "a string has a \\u escape without four hexadecimal digits";
    let hex = rest.get(..4).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())).ok_or(BAD)?;
    Ok((u32::from_str_radix(hex, 16).map_err(|_| BAD)?, &rest[4..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_bodies_pass() {
        for text in [
            r#"{"member_ref":"L-1","points":137,"to":"harvest"}"#,
            r#" {"a":[1,-2,true,false,null,{"b":"\u00e9\ud83d\ude00 \n"}],"c":9007199254740991} "#,
            "[]",
            "0",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn numbers_that_are_not_plain_and_whole_name_their_field() {
        for number in ["1e3", "1.0", "-0", "9223372036854775808", "9007199254740992", "12345678901234567890123456789"] {
            let text = format!(r#"{{"a":[{{"points":{number}}}]}}"#);
            let Err(Fault::Values(faults)) = check(&text) else { panic!("{number} passed") };
            assert_eq!(faults[0].0, "/a/0/points", "{number}");
        }
    }

    #[test]
    fn texts_that_readers_disagree_about_are_malformed() {
        let deep = "[".repeat(10_000);
        let many = format!("{{{}}}", (0..65).map(|n| format!("\"k{n}\":1")).collect::<Vec<_>>().join(","));
        for text in [
            "",
            " ",
            "{",
            "{\"a\"}",
            "{\"a\":1,}",
            "[1,]",
            "[1 2]",
            "01",
            "+1",
            "0x10",
            ".5",
            "1.",
            "1e",
            "-",
            "NaN",
            "tru",
            "{} {}",
            "{'a':1}",
            "\"\u{1}\"",
            r#""\x""#,
            r#""\u12""#,
            r#""\ud800""#,
            r#""\ud800\u0041""#,
            r#""\udc00\ud800""#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            "\"\\",
            "\"\\u00é\"",
            &deep,
            &many,
        ] {
            assert!(matches!(check(text), Err(Fault::Malformed(..))), "{text} passed");
        }
    }

    #[test]
    fn control_characters_are_a_fault_of_their_field() {
        let Err(Fault::Values(faults)) = check(r#"{"reason":"a\u0000b"}"#) else { panic!("passed") };
        assert_eq!(faults[0].0, "/reason");
    }

    #[test]
    fn a_place_in_the_text_has_a_pointer() {
        let text = r#"{"a":[{"b~/":"x"}],"c":1}"#;
        assert_eq!(pointer_at(text, text.find("x").expect("there")), "/a/0/b~0~1");
        assert_eq!(pointer_at(text, text.find("1}").expect("there")), "/c");
    }
}
