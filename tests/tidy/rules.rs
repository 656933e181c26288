//! The rules of one source file. Each returns what it found, as `path:line: what`.

use super::source::{Kind, Source};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const HANDLER_LINES_MAX: usize = 25;

/// Which top-level modules each may name beside itself. `cli` wires everything and is not listed.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("store", &["domain", "clock"]),
    ("signing", &["domain", "clock"]),
    ("book", &["domain", "store", "clock"]),
    ("partner", &["domain", "signing", "clock"]),
    ("service", &["domain", "store", "book", "signing", "partner", "clock"]),
    ("http", &["domain", "service", "web", "clock"]),
    ("web", &["domain", "service", "http", "clock"]),
    ("worker", &["domain", "service", "clock"]),
    ("clock", &[]),
    ("config", &["domain", "telemetry"]),
    ("telemetry", &["config"]),
    ("embedded_pg", &["clock"]),
];

/// Where no float may be: points and money are whole numbers, rates exact fractions.
const EXACT: &[&str] = &["domain", "book", "signing"];

pub const RULES: &[fn(&Source) -> Vec<String>] = &[purpose, size, layers, floats, functions, forbidden_words, clocks];

/// A file opens by saying what it is for.
pub fn purpose(source: &Source) -> Vec<String> {
    let first = source.text.lines().next().unwrap_or_default();
    let said = first.strip_prefix("//! ").is_some_and(|purpose| purpose.len() > 3);
    if said { Vec::new() } else { vec![format!("{}:1: the first line is not a `//!` purpose", source.path)] }
}

/// A file can be read in one sitting.
pub fn size(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    vec![format!("{}:{lines}: {lines} lines, more than {FILE_LINES_MAX}", source.path)]
}

/// A module names only those below it.
pub fn layers(source: &Source) -> Vec<String> {
    let modules = source.modules();
    let Some((_, allowed)) = modules.first().and_then(|own| LAYERS.iter().find(|(layer, _)| layer == own)) else {
        return unknown_layer(source);
    };
    let named = top_level_names(source).into_iter();
    let wrong = named.filter(|(_, name)| *name != modules[0] && !allowed.contains(name));
    // A name in lower case is a module; the crate's root has nothing else that could be named.
    wrong.map(|(line, name)| format!("{}:{line}: {} may not name {name}", source.path, modules[0])).collect()
}

fn unknown_layer(source: &Source) -> Vec<String> {
    match source.modules().first() {
        Some(own) if *own != "cli" => vec![format!("{}:1: {own} has no place among the layers", source.path)],
        Some(_) | None => Vec::new(),
    }
}

/// The first name of every path that begins at the crate's root, whether by `crate` or by climbing there.
fn top_level_names(source: &Source) -> Vec<(usize, &str)> {
    let modules = source.modules();
    let around = source.inline_modules();
    let mut names = Vec::new();
    let mut at = 0;
    while at < source.tokens.len() {
        let begins = at == 0 || source.tokens[at - 1].text != "::";
        let mut after = at;
        while source.reads(after, &["super", "::"]) {
            after += 2;
        }
        let climbed = (after - at) / 2;
        let root =
            if climbed > 0 { climbed == modules.len() + around[at].len() } else { source.reads(at, &["crate", "::"]) };
        if climbed == 0 && root {
            after = at + 2;
        }
        if root && begins {
            first_names(source, after, &mut names);
        }
        at = after.max(at + 1);
    }
    names
}

/// The name at `at`, or those of the group `{a::b, c}` that opens there.
fn first_names<'a>(source: &'a Source, at: usize, names: &mut Vec<(usize, &'a str)>) {
    let Some(token) = source.tokens.get(at) else { return };
    if token.kind == Kind::Word {
        names.push((token.line, &token.text));
        return;
    }
    if token.text != "{" {
        return;
    }
    let end = source.after_group(at);
    let mut item = at + 1;
    while item < end {
        first_names(source, item, names);
        while item < end - 1 && source.tokens[item].text != "," {
            item = if source.tokens[item].text == "{" { source.after_group(item) } else { item + 1 };
        }
        item += 1;
    }
}

/// No float where amounts are exact.
pub fn floats(source: &Source) -> Vec<String> {
    if !source.modules().first().is_some_and(|own| EXACT.contains(own)) {
        return Vec::new();
    }
    let is_float =
        |kind: Kind, text: &str| kind == Kind::Float || (kind == Kind::Word && ["f32", "f64"].contains(&text));
    let found = source.tokens.iter().filter(|token| is_float(token.kind, &token.text));
    found.map(|token| format!("{}:{}: a float, {}", source.path, token.line, token.text)).collect()
}

/// A function can be seen at once, and a handler only extracts, calls and answers.
pub fn functions(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let mut handler = false;
    for at in 0..source.tokens.len() {
        handler |= is_route(source, at);
        let named = source.tokens.get(at + 1).is_some_and(|next| next.kind == Kind::Word);
        if source.tokens[at].text != "fn" || !named {
            continue;
        }
        let (kind, max) = if handler { ("handler", HANDLER_LINES_MAX) } else { ("function", FUNCTION_LINES_MAX) };
        handler = false;
        let Some(open) = body(source, at) else { continue };
        let last = source.tokens[source.after_group(open) - 1].line;
        let (line, name) = (source.tokens[at].line, &source.tokens[at + 1].text);
        let lines = last - line + 1;
        if lines > max {
            found.push(format!("{}:{line}: {kind} {name} has {lines} lines, more than {max}", source.path));
        }
    }
    found
}

/// An attribute that makes the next function a handler.
fn is_route(source: &Source, at: usize) -> bool {
    let methods = ["get", "post", "put", "patch", "delete", "head", "route"];
    let method = |text: &str| methods.contains(&text) && source.reads(at + 3, &["("]);
    source.reads(at, &["#", "["])
        && (source.reads(at + 2, &["utoipa", "::", "path"])
            || source.tokens.get(at + 2).is_some_and(|token| method(&token.text)))
}

/// Where the body of the function at `at` opens; `None` for a declaration.
fn body(source: &Source, at: usize) -> Option<usize> {
    let mut place = at + 2;
    loop {
        match source.tokens.get(place)?.text.as_str() {
            "{" => return Some(place),
            ";" => return None,
            "(" | "[" => place = source.after_group(place),
            _ => place += 1,
        }
    }
}

/// What this crate does without.
pub fn forbidden_words(source: &Source) -> Vec<String> {
    if !source.path.starts_with("src/") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Word) {
        let what = match token.text.as_str() {
            "unsafe" => "unsafe",
            "unwrap" if at > 0 && source.reads(at - 1, &[".", "unwrap", "("]) => "an unwrap: say the proof with expect",
            "todo" | "unimplemented" if source.reads(at + 1, &["!"]) => "something left undone",
            _ => continue,
        };
        found.push(format!("{}:{}: {what}", source.path, token.line));
    }
    found
}

/// One file reads the clock, so that every other can be given any instant. Tests may read it themselves.
pub fn clocks(source: &Source) -> Vec<String> {
    if source.path == "src/clock.rs" || !source.path.starts_with("src/") {
        return Vec::new();
    }
    let around = source.inline_modules();
    let reads_clock = |at: usize| {
        let now = ["SystemTime", "Utc", "Local"].iter().any(|clock| source.reads(at, &[clock, "::", "now"]));
        now || source.reads(at, &["OffsetDateTime", "::", "now_utc"])
    };
    let found = (0..source.tokens.len()).filter(|at| reads_clock(*at) && !around[*at].contains(&"tests"));
    found.map(|at| format!("{}:{}: reads the clock beside clock.rs", source.path, source.tokens[at].line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a rule finds in a planted file, without its path.
    fn found(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
        let strip = |line: String| line.strip_prefix(path).expect("the path first")[1..].to_owned();
        rule(&Source::new(path, text)).into_iter().map(strip).collect()
    }

    #[test]
    fn a_file_without_purpose_is_found() {
        assert_eq!(found(purpose, "src/x.rs", "use std::fs;"), ["1: the first line is not a `//!` purpose"]);
        assert_eq!(found(purpose, "src/x.rs", "//! \n").len(), 1);
        assert!(found(purpose, "src/x.rs", "//! Why.\n").is_empty());
    }

    #[test]
    fn a_long_file_is_found() {
        assert!(found(size, "src/x.rs", &"a\n".repeat(FILE_LINES_MAX)).is_empty());
        assert_eq!(found(size, "src/x.rs", &"a\n".repeat(FILE_LINES_MAX + 1)).len(), 1);
    }

    #[test]
    fn a_name_from_a_layer_above_is_found_however_it_is_written() {
        let check = |path: &str, text: &str, wanted: &[&str]| assert_eq!(found(layers, path, text), wanted, "{text}");
        check("src/domain/a.rs", "use crate::store::Error;", &["1: domain may not name store"]);
        check("src/domain/a.rs", "\nfn f() { crate::book::x() }", &["2: domain may not name book"]);
        check(
            "src/domain/a.rs",
            "use crate::{domain::b, store::{c, d}, book};",
            &["1: domain may not name store", "1: domain may not name book"],
        );
        check("src/domain/a.rs", "use super::super::store;", &["1: domain may not name store"]);
        check("src/domain/mod.rs", "use super::store;", &["1: domain may not name store"]);
        check("src/domain/a.rs", "mod tests { use super::super::super::store; }", &["1: domain may not name store"]);
        check("src/domain/a.rs", "use super::b; mod tests { use super::super::c; } // crate::store::x", &[]);
        check("src/domain/a.rs", "use crate::clock;", &["1: domain may not name clock"]);
        check("src/book/a.rs", "use crate::{store, domain, clock};", &[]);
        check("src/book/a.rs", "use crate::signing::x;", &["1: book may not name signing"]);
        check("src/http/a.rs", "use crate::book;", &["1: http may not name book"]);
        check("src/cli/a.rs", "use crate::{http, book, config};", &[]);
        check("src/extra/a.rs", "", &["1: extra has no place among the layers"]);
    }

    #[test]
    fn a_float_beside_money_is_found() {
        assert_eq!(found(floats, "src/domain/a.rs", "fn f(x: f64) { x * 1.5 }").len(), 2);
        assert!(found(floats, "src/http/a.rs", "fn f(x: f64) {}").is_empty());
        assert!(found(floats, "src/book/a.rs", "// 1.5\nfn f() { g(\"1.5\", 0..5, t.0.1) }").is_empty());
    }

    #[test]
    fn a_long_function_and_a_longer_than_thin_handler_are_found() {
        let function = |lines: usize| format!("fn f(a: [u8; 2]) -> T\nwhere T: U {{\n{}}}", "x();\n".repeat(lines - 3));
        assert!(found(functions, "src/x.rs", &function(FUNCTION_LINES_MAX)).is_empty());
        assert_eq!(found(functions, "src/x.rs", &function(FUNCTION_LINES_MAX + 1)).len(), 1);
        for route in ["#[utoipa::path(get, path = \"/\")]", "#[post(\"/\")]"] {
            let handler = |lines: usize| format!("{route}\npub async {}\n{}", function(lines), function(30));
            assert!(found(functions, "src/x.rs", &handler(HANDLER_LINES_MAX)).is_empty());
            let told = found(functions, "src/x.rs", &handler(HANDLER_LINES_MAX + 1));
            assert_eq!(told, ["2: handler f has 26 lines, more than 25"]);
        }
        assert!(found(functions, "src/x.rs", "trait T { fn f(); fn g(); } type F = fn(u8) -> u8;").is_empty());
    }

    #[test]
    fn a_forbidden_word_is_found_but_not_in_a_text() {
        let told = found(forbidden_words, "src/x.rs", "fn f() { g().unwrap(); todo!() }\nunsafe fn h() {}");
        assert_eq!(told, ["1: an unwrap: say the proof with expect", "1: something left undone", "2: unsafe"]);
        assert!(found(forbidden_words, "src/x.rs", "x.unwrap_or(1); \".unwrap()\"; // unsafe").is_empty());
    }

    #[test]
    fn a_second_reader_of_the_clock_is_found() {
        assert_eq!(found(clocks, "src/x.rs", "let t = Utc::now();").len(), 1);
        assert_eq!(found(clocks, "src/x.rs", "let t = std::time::SystemTime::now();").len(), 1);
        assert!(found(clocks, "src/clock.rs", "Utc::now()").is_empty());
        assert!(found(clocks, "src/x.rs", "mod tests { fn f() { Utc::now() } }").is_empty());
    }
}
