//! What a file is, by its content alone.
//!
//! A file of ours that was damaged is still one of ours: it is to be refused, not to be taken for something unknown. So a
//! kind is told by most of its marks, of which no single change takes away more than one.

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Statement,
    /// One canonical JSON object a line.
    Ndjson,
    Csv,
    /// A JWK set, or one JWK.
    Keys,
    Proofs,
    Checkpoint,
    /// That one checkpoint's log begins with another's.
    Consistency,
    /// Keys of the alliance that handed over to others.
    Rotations,
    /// None of ours.
    Unknown,
}

/// How much of a file tells whether it is lines.
pub const HEAD: usize = 64 * 1024;
/// Lines of the head that are looked at.
const LOOKED_AT: usize = 8;

impl Kind {
    pub fn code(self) -> &'static str {
        match self {
            Kind::Statement => "statement",
            Kind::Ndjson => "lines_ndjson",
            Kind::Csv => "lines_csv",
            Kind::Keys => "jwks",
            Kind::Proofs => "proofs",
            Kind::Checkpoint => "checkpoint",
            Kind::Consistency => "consistency",
            Kind::Rotations => "rotations",
            Kind::Unknown => "unknown",
        }
    }

    /// As people call it.
    pub fn says(self) -> &'static str {
        match self {
            Kind::Statement => "statement 对账单",
            Kind::Ndjson => "lines 结算明细 (NDJSON)",
            Kind::Csv => "lines 结算明细 (CSV)",
            Kind::Keys => "keys 公钥",
            Kind::Proofs => "proof bundle 证明包",
            Kind::Checkpoint => "checkpoint 检查点",
            Kind::Consistency => "consistency proof 一致性证明",
            Kind::Rotations => "key rotations 密钥轮换",
            Kind::Unknown => "none of ours: left aside",
        }
    }
}

/// Whether the file that begins so holds lines, and how they are written; a file without a byte has no lines.
pub fn lines(head: &[u8]) -> Option<Kind> {
    const NDJSON: [&str; 4] = [r#""line_no":"#, r#""line_id":"lin_"#, r#""counterparty":""#, r#""business_date":""#];
    const HEADING: [&str; 5] = ["line_no", "line_id", "business_date", "conversion_id", "original_window"];
    if head.is_empty() {
        return Some(Kind::Ndjson);
    }
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split('\n').take(LOOKED_AT);
    if lines.clone().any(|line| count(line, &NDJSON) >= 3) {
        return Some(Kind::Ndjson);
    }
    let first = lines.next().unwrap_or_default();
    let heading = !first.contains("{\"") && count(first, &HEADING) >= 3;
    // Without its heading, too.
    (heading || first.contains(",lin_")).then_some(Kind::Csv)
}

/// What a whole file is that holds no lines.
pub fn whole(bytes: &[u8]) -> Kind {
    const STATEMENT: [&str; 4] = [r#""payload""#, r#""signatures""#, r#""protected""#, r#""signature""#];
    const PROOFS: [&str; 6] =
        [r#""proofs""#, r#""checkpoint""#, r#""statement""#, r#""leaf""#, r#""path""#, r#""root""#];
    const CONSISTENCY: [&str; 3] = [r#""from""#, r#""to""#, r#""path""#];
    const KEYS: [&str; 4] = [r#""keys""#, r#""kty""#, r#""crv""#, r#""x""#];
    let text = &*String::from_utf8_lossy(bytes);
    // One that was cut off has its beginning.
    let begins = [(r#"{"payload""#, Kind::Statement), (r#"{"keys""#, Kind::Keys), (r#"{"checkpoint""#, Kind::Proofs)];
    if let Some((_, kind)) = begins.into_iter().find(|(begin, _)| text.starts_with(begin)) {
        return kind;
    }
    if count(text, &PROOFS) >= 3 {
        return Kind::Proofs;
    }
    if text.contains(r#""items""#) && count(text, &STATEMENT) >= 2 {
        return Kind::Rotations;
    }
    if count(text, &STATEMENT) >= 2 {
        return Kind::Statement;
    }
    if count(text, &KEYS) >= 2 {
        return Kind::Keys;
    }
    if count(text, &CONSISTENCY) >= 2 {
        return Kind::Consistency;
    }
    if is_note(text) { Kind::Checkpoint } else { Kind::Unknown }
}

/// A note has a size, a root, an empty line and a signature: two of them, one of which is seldom found elsewhere.
fn is_note(text: &str) -> bool {
    let line = |is: fn(&str) -> bool| text.lines().any(is);
    let size = line(|line| !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit()));
    let root = line(|line| line.len() == 44 && line.ends_with('='));
    let signature = line(|line| {
        let signed = line.split_once("— ").and_then(|(_, signature)| signature.split_once(' '));
        signed.is_some_and(|(_, signature)| signature.len() >= 80 && !signature.contains(' '))
    });
    let marks = [size, root, text.contains("\n\n"), signature];
    (root || signature) && marks.into_iter().filter(|mark| *mark).count() >= 2
}

fn count(text: &str, marks: &[&str]) -> usize {
    marks.iter().filter(|mark| text.contains(**mark)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_by_what_is_in_it() {
        for (text, kind) in [
            (r#"{"payload":"e30","signatures":[{"protected":"e30","signature":"AA"}]}"#, Kind::Statement),
            (r#"{"items":[{"payload":"e30","signatures":[]}]}"#, Kind::Rotations),
            (r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA"}]}"#, Kind::Keys),
            (r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#, Kind::Keys),
            (r#"{"type":"proofs","root":"","statement":{"leaf":"","path":[]},"checkpoint":""}"#, Kind::Proofs),
            ("a.example\n12\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— a.example AAAA\n", Kind::Checkpoint),
            ("2026\n\na list — of things to do", Kind::Unknown),
            (r#"{"from":3,"path":[],"to":6}"#, Kind::Consistency),
            (r#"{"name":"something else"}"#, Kind::Unknown),
            ("no JSON", Kind::Unknown),
        ] {
            assert_eq!((lines(text.as_bytes()), whole(text.as_bytes())), (None, kind), "{text}");
        }
        let line = r#"{"business_date":"2026-01-01","counterparty":"bb","line_id":"lin_00","line_no":1}"#;
        for (text, kind) in [
            (line.to_owned(), Kind::Ndjson),
            (format!("rubbish\n{line}\n"), Kind::Ndjson),
            (String::new(), Kind::Ndjson),
            ("amount,business_date,conversion_id,line_id,line_no\r\n".to_owned(), Kind::Csv),
            ("1.00,2026-01-01,cnv_00,lin_00,1\r\n".to_owned(), Kind::Csv),
        ] {
            assert_eq!(lines(text.as_bytes()), Some(kind), "{text}");
        }
        // Lines inside a bundle of proofs are texts there.
        let quoted = format!(r#"{{"lines":[{{"line":{line:?}}}]}}"#);
        assert_eq!(lines(quoted.as_bytes()), None);
    }
}
