//! Lines against what is signed of them: their number, their tree and their sums.

use super::lines::{At, Found};
use super::proofs::Bundle;
use super::recognise::Kind;
use super::report::{Section, Title, counted};
use super::rules::{Owner, Wrong};
use super::statement::{Statement, subject};
use crate::domain::money::decimal;
use crate::domain::settlement::tally::{Sort, Sum, Tally};
use crate::service::settlement::statement::hex;
use crate::signing::merkle::Hash;
use std::collections::BTreeSet;

/// What the lines of one file are held against.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    pub statement: Option<&'a Statement>,
    pub bundle: Option<&'a Bundle>,
    /// Whether any statement was given at all.
    pub statements: bool,
    /// How the lines are written.
    pub kind: Kind,
}

/// Says how the lines of a file came out.
pub fn check(file: &str, owner: &Owner, found: &Found, against: Against<'_>) -> Section {
    let mut section = Section::new(Title::Lines, format!("{}, {file}", subject(&owner.participant, owner.window)));
    each(found, against.kind, &mut section);
    match against.statement {
        Some(statement) => with_statement(found, statement, &mut section),
        None if against.statements => {
            let whose = subject(&owner.participant, owner.window);
            section.differs("signed", format!("these are lines of {whose}, and no statement given is"));
        }
        None => section.differs("signed", "nothing given says that anybody has signed these lines: add the statement"),
    }
    root(found, against, &mut section);
    section
}

/// What every line says by itself.
fn each(found: &Found, kind: Kind, section: &mut Section) {
    let last = found.first.and_then(|first| first.checked_add_unsigned(found.count.checked_sub(1)?));
    match &found.first_wrong {
        Some(At { line_no, wrong, index }) => {
            let name = line_no.map_or_else(|| format!("record {}", index + 1), |line_no| format!("line {line_no}"));
            let others = if found.wrong > 1 { format!("; {} are wrong in all", found.wrong) } else { String::new() };
            let hint = match (kind, wrong) {
                (Kind::Csv, Wrong::Spelling { .. } | Wrong::Cell { .. }) => {
                    "; a spreadsheet may have rewritten the file: use it as it was fetched"
                }
                _ => "",
            };
            section.differs_at("lines", *line_no, format!("{name}: {wrong}{others}{hint}"));
        }
        None => {
            let numbers = match (found.first, last) {
                (Some(first), Some(last)) => format!("{} lines, numbered {first} to {last} without a gap", found.count),
                _ => "no lines".to_owned(),
            };
            section.holds(
                "lines",
                format!(
                    "{numbers}, each canonical, of this window, its amount and fee as its points and price have it"
                ),
            );
        }
    }
}

fn with_statement(found: &Found, statement: &Statement, section: &mut Section) {
    let lines = &statement.read.payload.lines;
    let first = found.first.filter(|_| found.count > 0);
    if found.wrong > 0 {
        return beside_wrong(found, lines.count, section);
    }
    if (found.count, first) == (lines.count, lines.first) {
        section.holds("count", format!("as many as the statement has, {}", lines.count));
    } else {
        let range = |first: Option<i64>| first.map_or_else(String::new, |first| format!(" from {first} on"));
        let says = format!(
            "{} lines{}, and the statement has {}{}",
            found.count,
            range(first),
            lines.count,
            range(lines.first)
        );
        section.differs("count", says);
    }
    match sums(found, statement) {
        None => {
            let told = statement.read.tallies.values().flat_map(|tally| tally.sums);
            let told = told.filter(|sum| *sum != Sum::default()).fold(0, |count, _| count + 1);
            let sums = counted(told, "sum", "sums");
            section.holds("sums", format!("{sums} by counterparty and sort, the statement's to the millionth"));
        }
        Some(differs) => section.differs("sums", differs),
    }
}

/// Lines that are wrong have no numbers and add nothing to the sums: neither contradicts the statement.
fn beside_wrong(found: &Found, count: u64, section: &mut Section) {
    let own = counted(found.count, "line", "lines");
    let wrong = if found.wrong == 1 { "1 is wrong".to_owned() } else { format!("{} are wrong", found.wrong) };
    if found.count == count {
        section.holds("count", format!("as many as the statement has, {own}, of which {wrong}"));
    } else {
        section.differs("count", format!("{own}, of which {wrong}, and the statement has {count}"));
    }
    section.unchecked("sums", format!("the sums of the lines: {wrong}, and such a line is in none of them"));
}

/// The first sum that is not the statement's.
fn sums(found: &Found, statement: &Statement) -> Option<String> {
    let nothing = Tally::default();
    let parties: BTreeSet<_> = found.tallies.keys().chain(statement.read.tallies.keys()).collect();
    for with in parties {
        let own = found.tallies.get(with).unwrap_or(&nothing);
        let told = statement.read.tallies.get(with).unwrap_or(&nothing);
        if let Some(sort) = Sort::ALL.into_iter().find(|sort| own.sum(*sort) != told.sum(*sort)) {
            let written = |sum: Sum| format!("{} lines, {} points, {}", sum.lines, sum.points, decimal(sum.amount));
            let (own, told) = (written(own.sum(sort)), written(told.sum(sort)));
            return Some(format!("{} with {with}: the lines have {own}; the statement says {told}", sort.code()));
        }
    }
    None
}

/// The tree over the lines has the signed root; where it has not, which line is to blame, if that can be told.
fn root(found: &Found, against: Against<'_>, section: &mut Section) {
    let own = found.frontier.root();
    let (wanted, whose) = match (against.statement, against.bundle) {
        (Some(statement), _) => (statement.read.payload.lines.root.0, "the statement's"),
        (None, Some(bundle)) => (bundle.root, "that of the proofs, which the statement would confirm"),
        (None, None) => {
            return section.unchecked("root", format!("the root over them is {}: add the statement", short(&own)));
        }
    };
    if own == wanted {
        return section.holds("root", format!("the tree over them (RFC 6962) has the root {}, {whose}", short(&own)));
    }
    let differs = format!("the tree over them has the root {}, and {} is {whose}", short(&own), short(&wanted));
    if let Some(index) = found.altered {
        let line_no = found.first.and_then(|first| first.checked_add_unsigned(index));
        let name = line_no.map_or_else(String::new, |line_no| line_no.to_string());
        let says = format!("{differs}: line {name} is not the one that its proof is for");
        return section.differs_at("root", line_no, says);
    }
    let last = found.first.and_then(|first| first.checked_add_unsigned(found.count.checked_sub(1)?));
    let says = match (&found.first_wrong, found.first, last) {
        (Some(_), ..) => format!("{differs}: see the line above"),
        (None, Some(first), Some(last)) => {
            format!("{differs}: one of the lines {first} to {last} was altered, and nothing given says which")
        }
        (None, ..) => differs,
    };
    section.differs("root", says);
}

/// Enough of a hash to tell it from others by eye.
pub fn short(hash: &Hash) -> String {
    let hex = hex(hash);
    format!("{}…{}", &hex[..8], &hex[56..])
}
