//! Statements checked without the alliance: files in, findings out. No database, no network, no clock.
//!
//! `recognise` what a file is · `keys` that are given, `rotations` of them, `alliance` whose count · `statement` and `payload` the document and its figures ·
//! `lines` the lines of a file, by `line`, `rules` and `records` · `against` lines and what is signed of them · `proofs`
//! and `log` the log · `between` statements and each other · `report` what is found.
//!
//! A signature that no given key confirms does not hold, nor do lines without their statement: nothing here says yes to
//! what nobody has signed. What else the files given cannot tell is said to be unchecked, with the file that would tell it.

mod against;
mod alliance;
mod between;
mod keys;
mod line;
mod lines;
mod log;
mod payload;
mod proofs;
mod recognise;
mod records;
mod report;
mod rotations;
mod rules;
mod statement;

#[cfg(test)]
mod tests;

pub use recognise::Kind;
pub use report::{File, Finding, Mark, Report, Section, Title};

use crate::signing::general;
use against::Against;
use alliance::Alliance;
use keys::Keys;
use proofs::Bundle;
use rules::Owner;
use statement::{Statement, subject};
use std::io::{self, Read};

/// A file to be checked, whatever is in it.
pub struct Input<'a> {
    /// What the findings call it.
    pub name: String,
    pub source: Box<dyn Read + Send + 'a>,
}

/// A file that could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {source}")]
pub struct Unreadable {
    pub name: String,
    source: io::Error,
}

/// What is read as a whole is never longer.
const WHOLE_MAX: usize = general::LENGTH_MAX;

/// Lines that are yet to be read.
struct Lines<'a> {
    name: String,
    kind: Kind,
    head: Vec<u8>,
    source: Box<dyn Read + Send + 'a>,
}

/// Everything given, by what it is.
#[derive(Default)]
struct Given<'a> {
    files: Vec<File>,
    keys: Vec<(String, Vec<u8>)>,
    rotations: Vec<(String, Vec<u8>)>,
    statements: Vec<(String, Vec<u8>)>,
    lines: Vec<Lines<'a>>,
    proofs: Vec<(String, Vec<u8>)>,
    checkpoints: Vec<(String, Vec<u8>)>,
    consistency: Vec<(String, Vec<u8>)>,
}

/// Checks all that the files allow; `told` hears how many bytes of lines more are done.
pub fn verify(inputs: Vec<Input<'_>>, mut told: impl FnMut(usize)) -> Result<Report, Unreadable> {
    let given = Given::take(inputs)?;
    let mut report = Report { files: given.files, sections: Vec::new() };
    let keys = Keys::read(&given.keys, &mut report.sections);
    let rotations: Vec<_> = given.rotations.iter().map(|(name, bytes)| (name, rotations::read(bytes, &keys))).collect();
    let alliance = Alliance::new(&keys, rotations.iter().flat_map(|(_, records)| rotations::handed(records)));
    let mut own = Vec::new();
    let mut statements = Vec::new();
    for (name, bytes) in &given.statements {
        let (section, read) = statement::check(name, bytes, &keys, &alliance);
        own.push((section, read.as_ref().map(|read| (read.participant().as_str().to_owned(), read.window()))));
        statements.extend(read);
    }
    let names = statements.iter().map(|statement| statement.read.payload.alliance.as_str()).collect();
    let handed = rotations.iter().map(|(name, records)| rotations::check(name, records, &keys, &alliance, &names));
    report.sections.extend(handed);
    let after_keys = report.sections.len();
    let mut bundles = Vec::new();
    let mut proofs = Vec::new();
    let mut signed = Vec::new();
    let any = !statements.is_empty();
    for (name, bytes) in &given.proofs {
        match Bundle::read(bytes) {
            Ok(bundle) => {
                let of = find(&statements, &bundle.participant, bundle.window);
                let (section, checkpoint) = proofs::check(name, &bundle, of, any, (&keys, &alliance));
                signed.extend(checkpoint);
                proofs.push(section);
                bundles.push(bundle);
            }
            Err(why) => proofs.push(Section::with_error(Title::Proofs, name, why)),
        }
    }
    let mut lines = Vec::new();
    let mut with_lines = Vec::new();
    for file in given.lines {
        let (section, owner) = check_lines(file, any, &statements, &bundles, &mut told)?;
        lines.push(section);
        with_lines.extend(owner.map(|owner| (owner.participant, owner.window)));
    }
    for (mut section, whose) in own {
        if let Some(whose) = whose {
            lacking(&mut section, &whose, &with_lines, &bundles, &statements);
        }
        report.sections.push(section);
    }
    report.sections.extend(lines);
    report.sections.extend(proofs);
    for (name, bytes) in &given.checkpoints {
        let mut section = Section::new(Title::Log, name);
        signed.extend(log::check((name, bytes), &keys, &alliance, &mut section));
        report.sections.push(section);
    }
    let documents = statements.iter().map(|statement| (statement.file.as_str(), &statement.alliance));
    let documents = documents.chain(signed.iter().map(|signed| (signed.file.as_str(), &signed.files)));
    report.sections.splice(after_keys..after_keys, alliance.agree(&keys, documents));
    let mut growth = Vec::new();
    for (name, bytes) in &given.consistency {
        match log::Growth::read(bytes) {
            Ok(read) => growth.push((name.as_str(), read)),
            Err(why) => report.sections.push(Section::with_error(Title::Log, name, why)),
        }
    }
    report.sections.extend(log::agree(&signed, &growth));
    report.sections.extend(between::check(&statements));
    Ok(report)
}

impl<'a> Given<'a> {
    fn take(inputs: Vec<Input<'a>>) -> Result<Given<'a>, Unreadable> {
        let mut given = Given::default();
        for Input { name, mut source } in inputs {
            let mut head = Vec::new();
            let failed = |source| Unreadable { name: name.clone(), source };
            read(&mut source, recognise::HEAD, &mut head).map_err(failed)?;
            if let Some(kind) = recognise::lines(&head) {
                given.files.push(File { name: name.clone(), kind });
                given.lines.push(Lines { name, kind, head, source });
                continue;
            }
            read(&mut source, WHOLE_MAX + 1, &mut head).map_err(failed)?;
            let kind = if head.len() > WHOLE_MAX { Kind::Unknown } else { recognise::whole(&head) };
            given.files.push(File { name: name.clone(), kind });
            match kind {
                Kind::Keys => given.keys.push((name, head)),
                Kind::Rotations => given.rotations.push((name, head)),
                Kind::Statement => given.statements.push((name, head)),
                Kind::Proofs => given.proofs.push((name, head)),
                Kind::Checkpoint => given.checkpoints.push((name, head)),
                Kind::Consistency => given.consistency.push((name, head)),
                Kind::Unknown | Kind::Ndjson | Kind::Csv => {}
            }
        }
        Ok(given)
    }
}

/// Reads on, to at most this many bytes.
fn read(source: &mut dyn Read, most: usize, into: &mut Vec<u8>) -> io::Result<()> {
    let more = u64::try_from(most.saturating_sub(into.len())).unwrap_or(u64::MAX);
    source.take(more).read_to_end(into).map(|_| ())
}

fn find<'s>(statements: &'s [Statement], participant: &str, window: i64) -> Option<&'s Statement> {
    statements.iter().find(|of| of.participant().as_str() == participant && of.window() == window)
}

/// Checks the lines of one file, and says whose they are taken to be.
fn check_lines(
    file: Lines<'_>,
    any: bool,
    statements: &[Statement],
    bundles: &[Bundle],
    told: &mut impl FnMut(usize),
) -> Result<(Section, Option<Owner>), Unreadable> {
    let Lines { name, kind, head, source } = file;
    let owners = lines::owners(&head, kind);
    // Whose most of the first lines are may be said by a line that was altered: a statement that fits one of them, or the
    // only one there is, says better.
    let fits = |owner: &Owner| find(statements, &owner.participant, owner.window);
    let only = if let [only] = statements { Some(only) } else { None };
    let mut empty =
        statements.iter().filter(|statement| statement.read.payload.lines.count == 0 && lines::none(&head, kind));
    let named = owners.iter().find_map(fits).or(only);
    let statement = named.or(empty.next());
    // Of several statements without lines it is nobody's in particular.
    let shared = named.is_none() && empty.next().is_some();
    let owner = match statement {
        Some(statement) => Some(Owner {
            participant: statement.participant().as_str().to_owned(),
            window: statement.window(),
            currency: Some(statement.read.payload.currency.clone()),
        }),
        None => owners.first().cloned(),
    };
    let Some(owner) = owner else {
        let mut section = Section::new(Title::Lines, name);
        section.differs(
            "lines",
            match lines::none(&head, kind) {
                true => "it holds no line, and there is no statement without lines",
                false => "none of its first lines can be read",
            },
        );
        return Ok((section, None));
    };
    let bundle = bundles.iter().find(|bundle| bundle.is_of(&owner.participant, owner.window));
    let root = statement.map(|statement| statement.read.payload.lines.root.0);
    // A path is worth what its root is worth.
    let proven = bundles.iter().filter(|bundle| bundle.is_of(&owner.participant, owner.window));
    let proven = proven.filter(|bundle| root.is_none_or(|root| root == bundle.root));
    let wanted = lines::Wanted {
        first: statement.and_then(|statement| statement.read.payload.lines.first),
        leaves: proven.flat_map(Bundle::leaves).collect(),
        owner,
    };
    let source = Box::new(io::Cursor::new(head).chain(source));
    let found = lines::read(source, kind, &wanted, told);
    let found = found.map_err(|source| Unreadable { name: name.clone(), source })?;
    if shared && (found.count, found.wrong) == (0, 0) {
        let mut section = Section::new(Title::Lines, name);
        section.holds("lines", "it is empty, as the lines of every statement that has none are");
        return Ok((section, None));
    }
    let against = Against { statement, bundle, statements: any, kind };
    Ok((against::check(&name, &wanted.owner, &found, against), Some(wanted.owner)))
}

/// Says what of a statement was not checked, for want of which file.
fn lacking(
    section: &mut Section,
    (participant, window): &(String, i64),
    with_lines: &[(String, i64)],
    bundles: &[Bundle],
    statements: &[Statement],
) {
    let count = find(statements, participant, *window).map_or(0, |of| of.read.payload.lines.count);
    if count > 0 && !with_lines.iter().any(|(of, number)| (of, number) == (participant, window)) {
        section.unchecked("lines", format!("its {count} lines: add them, as NDJSON or CSV"));
    }
    if !bundles.iter().any(|bundle| bundle.is_of(participant, *window)) {
        let whose = subject(participant, *window);
        section.unchecked("log", format!("that it is in the alliance's log: add the proofs of {whose}"));
    }
}
