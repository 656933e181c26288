//! Statements against each other: one participant's windows in a row, and the sides of one window.

use super::report::{Section, Title};
use super::statement::Statement;
use crate::domain::money::{Millionths, decimal};
use crate::domain::settlement::Participant;
use std::collections::{BTreeMap, BTreeSet};

/// What several statements say of each other; nothing of one alone.
pub fn check(statements: &[Statement]) -> Vec<Section> {
    let mut chains: BTreeMap<(&str, &Participant), BTreeMap<i64, &Statement>> = BTreeMap::new();
    let mut windows: BTreeMap<(&str, i64), BTreeMap<&Participant, &Statement>> = BTreeMap::new();
    let mut sections = Vec::new();
    for statement in statements {
        let (alliance, participant) = (statement.read.payload.alliance.as_str(), statement.participant());
        let own = chains.entry((alliance, participant)).or_default();
        match own.get(&statement.window()) {
            Some(other) if other.leaf != statement.leaf => {
                let mut section = Section::new(Title::Chain, statement.subject());
                let (a, b) = (&other.file, &statement.file);
                section.differs("one", format!("{a} and {b} are two statements of one window"));
                sections.push(section);
            }
            // The same one, with other signatures perhaps.
            Some(_) => {}
            None => {
                own.insert(statement.window(), statement);
                windows.entry((alliance, statement.window())).or_default().insert(participant, statement);
            }
        }
    }
    sections.extend(chains.values().map(chain).filter(|section| !section.findings.is_empty()));
    sections.extend(windows.iter().filter(|(_, all)| all.len() > 1).map(|((_, window), all)| sides(*window, all)));
    sections
}

fn chain(own: &BTreeMap<i64, &Statement>) -> Section {
    let numbers: Vec<String> = own.keys().map(i64::to_string).collect();
    let participant = own.values().next().map_or("", |first| first.participant().as_str());
    let mut section = Section::new(Title::Chain, format!("{participant}, windows {}", numbers.join(", ")));
    let statements: Vec<&&Statement> = own.values().collect();
    if let Some(previous) = statements.first().and_then(|first| first.read.payload.previous.as_ref()) {
        let says = format!("that the first goes on from window {}: add the statement of that one", previous.window);
        section.unchecked("previous", says);
    }
    // The number of the last line there was, as far as it is known: windows without lines have none of their own.
    let mut last = None;
    for pair in statements.windows(2) {
        let [earlier, later] = pair else { continue };
        let first = earlier.read.payload.previous.is_none();
        last = earlier.read.payload.lines.last.or(last).or(first.then_some(0));
        if follows(earlier, later, &mut section) {
            numbers_go_on(last, later, &mut section);
        } else {
            last = None;
        }
    }
    section
}

/// Whether one statement goes on from the other; `false` also when it cannot be told.
fn follows(earlier: &Statement, later: &Statement, section: &mut Section) -> bool {
    let (a, b) = (earlier.window(), later.window());
    let Some(previous) = &later.read.payload.previous else {
        section.differs("previous", format!("window {b} names no statement before it, and there is window {a}"));
        return false;
    };
    if previous.window > a && previous.window < b {
        let says = format!("that window {b} goes on from window {a}: add the statement of window {}", previous.window);
        section.unchecked("previous", says);
        return false;
    }
    if (previous.window, previous.leaf.0) != (a, earlier.leaf) {
        section.differs("previous", format!("window {b} goes on from another statement than {}", earlier.file));
        return false;
    }
    section.holds("previous", format!("window {b} names the statement of window {a} as the one before it"));
    let (closing, opening) = (earlier.read.payload.closing.0, later.read.payload.opening.0);
    if closing == opening {
        section.holds("opening", format!("window {b} opens with {opening}, as window {a} closed"));
    } else {
        section.differs("opening", format!("window {b} opens with {opening}, and window {a} closed with {closing}"));
    }
    true
}

/// Whether the lines of a window go on from the last one before it.
fn numbers_go_on(last: Option<i64>, later: &Statement, section: &mut Section) {
    let (b, lines) = (later.window(), &later.read.payload.lines);
    let (Some(last), Some(first)) = (last, lines.first) else { return };
    if last.checked_add(1) == Some(first) {
        section.holds("line_numbers", format!("the lines of window {b} go on from {first}"));
    } else {
        let says = format!("the last line before window {b} is {last}, and it begins with {first}");
        section.differs("line_numbers", says);
    }
}

fn sides(window: i64, all: &BTreeMap<&Participant, &Statement>) -> Section {
    let mut section = Section::new(Title::Sides, format!("window {window}, {} participants", all.len()));
    let mut first = None;
    let mut absent = BTreeSet::new();
    let mut pairs = 0_u64;
    for (of, statement) in all {
        let payload = &statement.read.payload;
        let shared = (&payload.window.id, &payload.currency, payload.sandbox);
        if *first.get_or_insert(shared) != shared {
            section.differs("window", format!("{} is of another window of this number", statement.file));
        }
        for (with, row) in &statement.read.rows {
            let Some(other) = all.get(with) else {
                absent.insert(with);
                continue;
            };
            pairs += 1;
            let nothing = super::payload::Totals { exact: Millionths::ZERO, total: Millionths::ZERO };
            let theirs = other.read.rows.get(*of).copied().unwrap_or(nothing);
            if (row.exact, row.total) != (theirs.exact.negated(), theirs.total.negated()) {
                let says = format!(
                    "{of} has {} ({}) of {with}, and {with} has {} ({}) of {of}",
                    row.total, row.exact, theirs.total, theirs.exact
                );
                section.differs("sides", says);
            }
        }
    }
    if pairs == 0 {
        section.unchecked("sides", "that both sides of a total agree: none of these has one with another of them");
    } else if !section.findings.iter().any(|finding| finding.code == "sides") {
        section.holds("sides", format!("{pairs} totals are those of the other side turned round, exact and rounded"));
    }
    let net: i128 = all.values().map(|statement| i128::from(statement.read.payload.net.0.get())).sum();
    match (absent.is_empty(), net) {
        (true, 0) => section.holds("nets", format!("the nets of all {} come to nothing", all.len())),
        (true, net) => section.differs("nets", format!("the nets of all {} come to {}", all.len(), decimal(net))),
        (false, _) => {
            let absent: Vec<&str> = absent.iter().map(|participant| participant.as_str()).collect();
            section.unchecked(
                "nets",
                format!("that all nets come to nothing: add the statements of {}", absent.join(", ")),
            );
        }
    }
    section
}
