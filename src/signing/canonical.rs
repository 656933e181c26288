//! Canonical JSON: the subset of RFC 8785 that our signed documents use.
//!
//! Keys are ASCII, so that sorting bytes is sorting UTF-16 units; numbers are whole, so that there is one way to
//! write them. Anything else is refused rather than written in a way another reader might not.

use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCanonical {
    #[error("the number {0} is not whole, or beyond 2^53 - 1")]
    Number(String),
    #[error("the key {0:?} is not ASCII")]
    Key(String),
    #[error("the document is nested too deep")]
    Depth,
}

const DEPTH_MAX: usize = 32;
const WHOLE_MAX: u64 = (1 << 53) - 1;

/// The canonical bytes of a value.
pub fn to_vec(value: &Value) -> Result<Vec<u8>, NotCanonical> {
    let mut out = Vec::new();
    write(&mut out, value, 0)?;
    Ok(out)
}

fn write(out: &mut Vec<u8>, value: &Value, depth: usize) -> Result<(), NotCanonical> {
    if depth > DEPTH_MAX {
        return Err(NotCanonical::Depth);
    }
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            let whole = number.as_i64().filter(|whole| whole.unsigned_abs() <= WHOLE_MAX);
            let whole = whole.ok_or_else(|| NotCanonical::Number(number.to_string()))?;
            out.extend_from_slice(whole.to_string().as_bytes());
        }
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(out, item, depth + 1)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            // The map may keep any order of its own.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            out.push(b'{');
            for (index, (key, member)) in members.into_iter().enumerate() {
                if !key.is_ascii() {
                    return Err(NotCanonical::Key(key.clone()));
                }
                if index > 0 {
                    out.push(b',');
                }
                write_string(out, key);
                out.push(b':');
                write(out, member, depth + 1)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// RFC 8785 §3.2.2.2: the short escapes, `\u00xx` for other controls, everything else as it is.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(value: &Value) -> String {
        String::from_utf8(to_vec(value).expect("canonical")).expect("UTF-8")
    }

    #[test]
    fn keys_are_sorted_and_nothing_is_spaced() {
        let value: Value = serde_json::from_str(r#" { "seq" : 1, "net": "1234.50", "v": 1 } "#).expect("JSON");
        assert_eq!(text(&value), r#"{"net":"1234.50","seq":1,"v":1}"#);
        let leaf = [&[0], to_vec(&value).expect("canonical").as_slice()].concat();
        let hash = ring::digest::digest(&ring::digest::SHA256, &leaf);
        let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "60e875ffa7a10adf0ff4a4851c68c4cb58a936ff5a66b08ff51b33cc99bdf2e5");
    }

    /// The string of RFC 8785 §3.2.2.
    #[test]
    fn strings_are_escaped_as_the_rfc_has_them() {
        let value: Value =
            serde_json::from_str(r#"{"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/"}"#).expect("JSON");
        assert_eq!(text(&value), "{\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
        assert_eq!(
            text(&json!([null, true, false, -1, 9_007_199_254_740_991_i64])),
            "[null,true,false,-1,9007199254740991]"
        );
    }

    /// The test data of the RFC's author (cyberphone/json-canonicalization), as far as keys are ASCII and numbers whole.
    #[test]
    fn the_authors_own_examples_come_out_as_published() {
        for (input, output) in [
            (
                r#"{"1": {"f": {"f": "hi","F": 5} ,"\n": 56}, "10": { }, "": "empty", "a": { }, "111": [ { } ], "A": { }}"#,
                r#"{"":"empty","1":{"\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{}],"A":{},"a":{}}"#,
            ),
            (r#"[ 56, { "d": true, "10": null, "1": [ ] } ]"#, r#"[56,{"1":[],"10":null,"d":true}]"#),
            // Not normalised.
            (r#"{"Unnormalized Unicode":"\u1e0d\u0307"}"#, "{\"Unnormalized Unicode\":\"\u{1e0d}\u{307}\"}"),
            // The weird keys as values: nothing above 0x1f is escaped.
            (
                r#"["\u20ac", "\u0080", "Control\u007f", "\ud83d\ude02", "\ufb33", "</script>"]"#,
                "[\"\u{20ac}\",\"\u{80}\",\"Control\u{7f}\",\"\u{1f602}\",\"\u{fb33}\",\"</script>\"]",
            ),
        ] {
            assert_eq!(text(&serde_json::from_str(input).expect("JSON")), output, "{input}");
            assert_eq!(text(&serde_json::from_str(output).expect("JSON")), output, "{output}");
        }
        for input in [
            r#"{"1": {"f": {"f": "hi","F": 5} ,"\n": 56.0}}"#,
            r#"{"numbers": [1E30, 4.50, 333333333.33333329, 2e-3, 0.000000000000000000000000001]}"#,
        ] {
            let value = serde_json::from_str(input).expect("JSON");
            assert!(matches!(to_vec(&value), Err(NotCanonical::Number(_))), "{input}");
        }
        for input in
            [r#"{"peach": "This sorting order", "péché": "is wrong"}"#, r#"{"\u20ac": "Euro Sign", "1": "One"}"#]
        {
            let value = serde_json::from_str(input).expect("JSON");
            assert!(matches!(to_vec(&value), Err(NotCanonical::Key(_))), "{input}");
        }
    }

    /// RFC 8785 appendix B: of its samples 0 alone is in our subset; the largest whole number of ours is beside it.
    #[test]
    fn of_the_rfcs_numbers_only_whole_ones_within_2_to_the_53_are_written() {
        assert_eq!(
            text(&json!([0, 9_007_199_254_740_991_i64, -9_007_199_254_740_991_i64])),
            "[0,9007199254740991,-9007199254740991]"
        );
        for number in [
            "-0",
            "5e-324",
            "-5e-324",
            "1.7976931348623157e+308",
            "9007199254740992",
            "-9007199254740992",
            "295147905179352830000",
            "9.999999999999997e+22",
            "1e+23",
            "999999999999999700000",
            "333333333.3333332",
            "0.000001",
            "1424953923781206.2",
        ] {
            let value = serde_json::from_str(number).expect("JSON");
            assert!(matches!(to_vec(&value), Err(NotCanonical::Number(_))), "{number}");
        }
    }

    #[test]
    fn what_has_two_spellings_is_refused() {
        for value in ["1.5", "1e3", "-0.0", "9007199254740992", "18446744073709551615"] {
            let parsed: Value = serde_json::from_str(value).expect("JSON");
            assert!(matches!(to_vec(&parsed), Err(NotCanonical::Number(_))), "{value}");
        }
        assert!(matches!(to_vec(&json!({"é": 1})), Err(NotCanonical::Key(_))));
        let deep = (0..40).fold(Value::Null, |inner, _| json!([inner]));
        assert_eq!(to_vec(&deep), Err(NotCanonical::Depth));
    }
}
