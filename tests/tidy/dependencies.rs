//! What may be in the dependency tree: licences that allow any use, and one crypto stack.

use serde_json::Value;
use std::process::Command;

const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// A second TLS or crypto stack, and an h2 with known holes.
const BANNED: &[(&str, &str)] =
    &[("openssl", ""), ("openssl-sys", ""), ("native-tls", ""), ("aws-lc-rs", ""), ("aws-lc-sys", ""), ("h2", "0.3.")];

/// Everything that is built here, as cargo reports it.
pub fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = |arguments: &[&str]| {
        let output = Command::new(&cargo).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        let output = output.expect("cargo runs, it has started this test");
        assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let version = String::from_utf8(run(&["version", "--verbose"])).expect("text");
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo names its host");
    // Only what this machine builds: the rest has not been downloaded, and a test downloads nothing.
    let metadata = run(&["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform", host]);
    serde_json::from_slice(&metadata).expect("JSON")
}

/// Every dependency that may not be there, and why.
pub fn violations(metadata: &Value) -> Vec<String> {
    let text = |package: &Value, key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().expect("a list of packages") {
        let (name, version, licence) = (text(package, "name"), text(package, "version"), text(package, "license"));
        if BANNED.iter().any(|(banned, from)| name == *banned && version.starts_with(from)) {
            found.push(format!("{name} {version} is kept out"));
        }
        if !is_allowed(&licence) {
            found.push(format!("{name} {version} has the licence {licence:?}"));
        }
    }
    found
}

/// Whether an SPDX expression can be met with allowed licences alone. `/` is an old way to write OR.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = any_of(&words, &mut at);
    met && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize) -> bool {
    let mut met = all_of(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all_of(words, at);
    }
    met
}

fn all_of(words: &[&str], at: &mut usize) -> bool {
    let mut met = one(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at);
    }
    met
}

fn one(words: &[&str], at: &mut usize) -> bool {
    let Some(first) = words.get(*at) else { return false };
    *at += 1;
    if *first == "(" {
        let met = any_of(words, at);
        *at += 1;
        return met;
    }
    if words.get(*at) == Some(&"WITH") {
        let whole = format!("{first} WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
        return LICENCES.contains(&whole.as_str());
    }
    LICENCES.contains(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_met_by_allowed_licences_alone() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "MIT OR GPL-3.0-only",
            "Apache-2.0 AND ISC",
            "(MIT OR GPL-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in ["", "GPL-3.0-only", "MIT AND GPL-3.0-only", "MIT AND", "(GPL-2.0 OR AGPL-3.0) AND MIT", "MIT MIT"] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }

    #[test]
    fn a_banned_crate_and_a_forbidding_licence_are_found() {
        let package = |name: &str, version: &str, license: &str| serde_json::json!({"name": name, "version": version, "license": license});
        let tree = serde_json::json!({ "packages": [
            package("openssl-sys", "0.9.1", "MIT"),
            package("h2", "0.3.26", "MIT"),
            package("h2", "0.4.7", "MIT"),
            package("copyleft", "1.0.0", "GPL-3.0-only"),
            package("silent", "1.0.0", ""),
            package("plain", "1.0.0", "MIT OR Apache-2.0"),
        ]});
        let wanted = [
            "openssl-sys 0.9.1 is kept out",
            "h2 0.3.26 is kept out",
            "copyleft 1.0.0 has the licence \"GPL-3.0-only\"",
            "silent 1.0.0 has the licence \"\"",
        ];
        assert_eq!(violations(&tree), wanted);
    }
}
