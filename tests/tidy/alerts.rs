//! The alert rules: each names a severity, a runbook that is there, and metrics that the code emits.

use std::collections::BTreeSet;

/// What is ours by its first word; `up` is Prometheus' own.
const OURS: [&str; 4] = ["hanse_", "http_", "tls_", "database_"];

/// What is wrong with the rules. `is_page`: whether a path from the root is a page; `emitted`: the names in the code.
pub fn findings(rules: &str, is_page: impl Fn(&str) -> bool, emitted: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    if alerts.is_empty() {
        found.push("there are no alerts".to_owned());
    }
    for alert in alerts {
        let name = alert.lines().next().unwrap_or_default().trim();
        if !names.insert(name) {
            found.push(format!("{name}: there are two"));
        }
        let of = |field: &str| alert.lines().find_map(|line| line.trim().strip_prefix(field)).map(str::trim);
        if !matches!(of("severity:"), Some("page" | "ticket")) {
            found.push(format!("{name}: its severity is neither page nor ticket"));
        }
        if of("summary:").is_none_or(str::is_empty) {
            found.push(format!("{name}: no summary"));
        }
        match of("runbook:") {
            Some(page) if is_page(page) => {}
            page => found.push(format!("{name}: no page at {}", page.unwrap_or("runbook"))),
        }
        let metrics = ours(of("expr:").unwrap_or_default());
        if metrics.is_empty() && of("expr:").is_none_or(|expr| !expr.starts_with("up{")) {
            found.push(format!("{name}: asks for nothing of ours"));
        }
        let unknown = metrics.into_iter().filter(|metric| !emitted.contains(metric));
        found.extend(unknown.map(|metric| format!("{name}: nothing emits {metric}")));
    }
    found
}

/// The names of metrics in a text of code: what is in quotes and has one of our first words.
pub fn emitted(code: &str) -> BTreeSet<String> {
    code.split('"').filter(|text| ours(text).contains(*text)).map(str::to_owned).collect()
}

fn ours(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    words.filter(|word| OURS.iter().any(|first| word.starts_with(first))).map(str::to_owned).collect()
}
