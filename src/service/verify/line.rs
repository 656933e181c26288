//! One line as its members, read straight from its canonical bytes (RFC 8785).
//!
//! Members stand in the sequence of `read::COLUMNS`, each at most once and with nothing between them, so that reading a
//! line along that table is also the proof that it is canonical. A million lines are read in about a second: no value is
//! built, texts are slices of the line.

use crate::service::settlement::read::{COLUMNS, WHOLE};

/// How many members a line may have, those of objects by their path.
pub const MEMBERS: usize = COLUMNS.len();

/// The longest line read, in bytes.
pub const LENGTH_MAX: usize = 64 * 1024;

const WHOLE_MAX: i64 = (1 << 53) - 1;

/// What a member is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    Text,
    Whole,
    Flag,
}

/// One member: the object it is in, empty for the line itself, its name, and how it is written.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    pub object: &'static str,
    pub name: &'static str,
    pub written: Written,
}

pub const TABLE: [Member; MEMBERS] = table();

const fn table() -> [Member; MEMBERS] {
    let mut table = [Member { object: "", name: "", written: Written::Text }; MEMBERS];
    let mut at = 0;
    while at < MEMBERS {
        let column = COLUMNS[at];
        let (object, name) = cut(column);
        let written = if is_whole(column) {
            Written::Whole
        } else if same(column, "undo") {
            Written::Flag
        } else {
            Written::Text
        };
        table[at] = Member { object, name, written };
        at += 1;
    }
    table
}

/// `a.b` in two; a name without a point is in no object.
const fn cut(column: &'static str) -> (&'static str, &'static str) {
    let mut at = 0;
    while at < column.len() {
        if column.as_bytes()[at] == b'.' {
            let (object, rest) = column.split_at(at);
            return (object, rest.split_at(1).1);
        }
        at += 1;
    }
    ("", column)
}

const fn is_whole(column: &str) -> bool {
    let mut at = 0;
    while at < WHOLE.len() {
        if same(WHOLE[at], column) {
            return true;
        }
        at += 1;
    }
    false
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// The place of a member in `COLUMNS`; does not compile for a name that is none.
pub const fn place(column: &str) -> usize {
    let mut at = 0;
    while !same(COLUMNS[at], column) {
        at += 1;
    }
    at
}

/// A set of members, by their places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set(u64);

impl Set {
    /// Every member that is named.
    pub const fn of(columns: &[&str]) -> Set {
        let (mut bits, mut at) = (0, 0);
        while at < columns.len() {
            bits |= 1 << place(columns[at]);
            at += 1;
        }
        Set(bits)
    }

    pub const fn and(self, other: Set) -> Set {
        Set(self.0 | other.0)
    }

    pub fn has(self, place: usize) -> bool {
        self.0 & (1 << place) != 0
    }

    /// The first member that is here and not in `other`.
    pub fn beyond(self, other: Set) -> Option<&'static str> {
        let beyond = self.0 & !other.0;
        let place = usize::try_from(beyond.trailing_zeros()).ok()?;
        COLUMNS.get(place).copied()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Slot<'a> {
    #[default]
    Absent,
    /// As it is written, escapes and all.
    Text(&'a str),
    Whole(i64),
    Flag,
}

/// A line's members.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    slots: [Slot<'a>; MEMBERS],
    present: Set,
}

impl<'a> Line<'a> {
    pub fn present(&self) -> Set {
        self.present
    }

    /// A text as it is written: slugs, decimals and the like have no escapes. Empty when it is not there.
    pub fn text(&self, place: usize) -> &'a str {
        match self.slots[place] {
            Slot::Text(text) => text,
            Slot::Absent | Slot::Whole(_) | Slot::Flag => "",
        }
    }

    /// 0 when it is not there.
    pub fn whole(&self, place: usize) -> i64 {
        match self.slots[place] {
            Slot::Whole(whole) => whole,
            Slot::Absent | Slot::Text(_) | Slot::Flag => 0,
        }
    }
}

/// Reads a line. `None`: its bytes are not those of a canonical line, or it has a member that no line has.
pub fn scan(text: &str) -> Option<Line<'_>> {
    let mut line = Line { slots: [Slot::Absent; MEMBERS], present: Set::default() };
    let mut scanner = Scanner { text, at: 0 };
    scanner.take(b'{')?;
    let mut next = 0;
    loop {
        let name = scanner.name()?;
        let top = |member: &Member| if member.object.is_empty() { member.name } else { member.object };
        while top(TABLE.get(next)?) != name {
            next += 1;
        }
        if TABLE[next].object.is_empty() {
            scanner.value(&mut line, next)?;
            next += 1;
        } else {
            next = scanner.object(&mut line, next)?;
        }
        if scanner.take(b'}').is_some() {
            break;
        }
        scanner.take(b',')?;
    }
    (scanner.at == text.len()).then_some(line)
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    /// A member's name with its colon. No name of ours has an escape.
    fn name(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest.iter().position(|byte| *byte == b'"')?;
        let name = self.text.get(self.at..self.at + length)?;
        self.at += length + 1;
        self.take(b':')?;
        Some(name)
    }

    /// The object that begins with the member at `first`; where the next begins.
    fn object(&mut self, line: &mut Line<'a>, first: usize) -> Option<usize> {
        let object = TABLE[first].object;
        self.take(b'{')?;
        let mut next = first;
        loop {
            let name = self.name()?;
            while TABLE.get(next).filter(|member| member.object == object)?.name != name {
                next += 1;
            }
            self.value(line, next)?;
            next += 1;
            if self.take(b'}').is_some() {
                break;
            }
            self.take(b',')?;
        }
        while TABLE.get(next).is_some_and(|member| member.object == object) {
            next += 1;
        }
        Some(next)
    }

    fn value(&mut self, line: &mut Line<'a>, place: usize) -> Option<()> {
        line.slots[place] = match TABLE[place].written {
            Written::Text => Slot::Text(self.string()?),
            Written::Whole => Slot::Whole(self.whole()?),
            Written::Flag => {
                self.flag()?;
                Slot::Flag
            }
        };
        line.present.0 |= 1 << place;
        Some(())
    }

    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let from = self.at;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            self.at += rest.iter().position(|byte| *byte < b' ' || *byte == b'"' || *byte == b'\\')?;
            match self.peek()? {
                b'"' => break,
                b'\\' => self.escape()?,
                _ => return None,
            }
        }
        let text = self.text.get(from..self.at)?;
        self.at += 1;
        Some(text)
    }

    /// RFC 8785 §3.2.2.2: the short escapes, `\u00xx` for the other controls, and none besides.
    fn escape(&mut self) -> Option<()> {
        let rest = &self.text.as_bytes()[self.at + 1..];
        let length = match rest {
            [b'"' | b'\\' | b'b' | b't' | b'n' | b'f' | b'r', ..] => 2,
            [b'u', b'0', b'0', b'0', b'0'..=b'7' | b'b' | b'e' | b'f', ..] => 6,
            [b'u', b'0', b'0', b'1', b'0'..=b'9' | b'a'..=b'f', ..] => 6,
            _ => return None,
        };
        self.at += length;
        Some(())
    }

    fn whole(&mut self) -> Option<i64> {
        let negative = self.take(b'-').is_some();
        let from = self.at;
        let mut value = 0_i64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            value = value * 10 + i64::from(digit - b'0');
            self.at += 1;
            if value > WHOLE_MAX {
                return None;
            }
        }
        let spelled = match self.text.as_bytes().get(from)? {
            b'0' => self.at == from + 1 && !negative,
            _ => self.at > from,
        };
        spelled.then_some(if negative { -value } else { value })
    }

    fn flag(&mut self) -> Option<()> {
        let rest = &self.text[self.at..];
        self.at += ["true", "false"].into_iter().find(|flag| rest.starts_with(flag))?.len();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::canonical;
    use proptest::prelude::*;
    use serde_json::Value;

    const GOOD: &str =
        r#"{"amount":"-3.40","campaign":{"code":"x","version":2},"line_no":7,"rate":{"den":2},"undo":true,"v":1}"#;

    #[test]
    fn a_line_is_read_as_its_members() {
        let line = scan(GOOD).expect("a line");
        assert_eq!((line.text(place("amount")), line.text(place("campaign.code"))), ("-3.40", "x"));
        assert_eq!((line.whole(place("line_no")), line.whole(place("campaign.version"))), (7, 2));
        assert!(line.present().has(place("undo")) && !line.present().has(place("at")));
        let wanted = Set::of(&["amount", "campaign.code", "campaign.version", "line_no", "rate.den", "undo", "v"]);
        assert_eq!(line.present(), wanted);
        assert_eq!(Set::of(&["at"]).and(wanted).beyond(wanted), Some("at"));
    }

    #[test]
    fn the_table_is_in_canonical_sequence() {
        // Objects are one member among the others: their own members follow each other.
        let tops = TABLE.iter().map(|member| if member.object.is_empty() { member.name } else { member.object });
        assert!(tops.is_sorted());
        assert!(TABLE.windows(2).all(|pair| pair[0].object != pair[1].object || pair[0].name < pair[1].name));
    }

    #[test]
    fn what_is_written_in_another_way_is_no_line() {
        for bad in [
            "",
            "{}",
            "{",
            r#"{"v":1"#,
            r#"{"v":1} "#,
            r#" {"v":1}"#,
            r#"{"v": 1}"#,
            r#"{"v":1,}"#,
            r#"{"v":01}"#,
            r#"{"v":-0}"#,
            r#"{"v":-}"#,
            r#"{"v":1.0}"#,
            r#"{"v":1e0}"#,
            r#"{"v":9007199254740992}"#,
            r#"{"v":"1"}"#,
            r#"{"v":1,"v":1}"#,
            r#"{"v":1,"undo":true}"#,
            r#"{"undo":1}"#,
            r#"{"undo":"true"}"#,
            r#"{"at":null}"#,
            r#"{"at":1}"#,
            r#"{"at":"a\/b"}"#,
            r#"{"at":"\u0041"}"#,
            r#"{"at":"\u000A"}"#,
            r#"{"at":"\u000a"}"#,
            r#"{"at":"\u001F"}"#,
            "{\"at\":\"a\tb\"}",
            r#"{"nothing":1}"#,
            r#"{"rate":{}}"#,
            r#"{"rate":{"num":1,"den":1}}"#,
            r#"{"rate":{"den":1},"rate":{"num":1}}"#,
            r#"{"rate":{"undo":true}}"#,
            r#"{"rate":1}"#,
            r#"{"rate.den":1}"#,
        ] {
            assert!(scan(bad).is_none(), "{bad}");
        }
        for good in [r#"{"at":"\u001f\u000b\n\"\\\t é积"}"#, r#"{"v":0}"#, r#"{"v":-9007199254740991}"#] {
            let value: Value = serde_json::from_str(good).expect("JSON");
            assert_eq!(canonical::to_vec(&value).expect("canonical"), good.as_bytes());
            assert!(scan(good).is_some(), "{good}");
        }
    }

    proptest! {
        /// Whatever is read is canonical as the one canoniser of ours has it.
        #[test]
        fn what_is_read_is_canonical(at in 0..GOOD.len(), with in "[ -~\\n]{0,2}", length in 0_usize..3) {
            let end = (at + length).min(GOOD.len());
            let changed = format!("{}{with}{}", &GOOD[..at], &GOOD[end..]);
            if scan(&changed).is_some() {
                let value: Value = serde_json::from_str(&changed).expect("JSON");
                prop_assert_eq!(canonical::to_vec(&value).expect("canonical"), changed.as_bytes());
            }
        }

        #[test]
        fn every_text_is_read_as_it_is_written(text in "\\PC*|[\\x00-\\x20\"\\\\]*") {
            let line = canonical::to_vec(&serde_json::json!({ "at": text })).expect("canonical");
            let line = String::from_utf8(line).expect("UTF-8");
            prop_assert!(scan(&line).is_some());
        }
    }
}
