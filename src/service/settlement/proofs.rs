//! Proofs: that a line is in a statement, and that a statement is in the alliance's log.

use super::gather;
use super::{Error, broken, read};
use crate::domain::ids::ConversionId;
use crate::domain::settlement::Participant;
use crate::domain::settlement::window::State;
use crate::service::settlement::statement::hex;
use crate::signing::merkle::{self, GROUP, Hash};
use crate::store::settlement::lines::{self, Place};
use crate::store::settlement::statements::{self, Row};
use crate::store::settlement::{log, tallies, windows};
use diesel::PgConnection;
use serde_json::{Value, json};

/// Chunks around one group of the tree: at least one line each.
const CHUNKS_MAX: i64 = 4_096;

/// A line with its place in its statement's tree.
pub type Line = (u64, String);

/// Proof bundles of all lines of `of` for a conversion, one per window they are in. Lines of windows that are not
/// published yet are in none.
pub fn of_conversion(conn: &mut PgConnection, of: &Participant, id: ConversionId) -> Result<Vec<Value>, Error> {
    let places = lines::places(conn, id.0)?;
    let mut seen = Vec::new();
    let mut bundles = Vec::new();
    for Place { window, .. } in &places {
        if seen.contains(window) {
            continue;
        }
        seen.push(*window);
        let published = windows::find(conn, *window)?.is_some_and(|row| row.state == State::Published);
        let Some(statement) = statements::find(conn, *window, of)?.filter(|_| published) else { continue };
        let found = find(conn, &statement, id, &places)?;
        if !found.is_empty() {
            bundles.push(of_statement(conn, &statement, &found)?);
        }
    }
    Ok(bundles)
}

/// The lines of a statement that name a conversion: its own, its reversals', its adjustments'.
pub fn lines_of(conn: &mut PgConnection, statement: &Row, id: ConversionId) -> Result<Vec<Line>, Error> {
    let places = lines::places(conn, id.0)?;
    find(conn, statement, id, &places)
}

/// Lines of a statement that name a conversion, with their places in its tree.
fn find(
    conn: &mut PgConnection,
    statement: &Row,
    conversion: ConversionId,
    places: &[Place],
) -> Result<Vec<Line>, Error> {
    let here = places.iter().filter(|place| place.window == statement.window);
    let batches: Vec<i64> = here.map(|place| place.batch_no).collect();
    let mut found = Vec::new();
    for chunk in lines::posted_in(conn, statement.window, &statement.participant, &batches)? {
        let bytes = gather::unpack(&chunk)?;
        let named = format!(r#""conversion_id":"{conversion}""#);
        for (nth, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = std::str::from_utf8(line).map_err(broken)?;
            if line.contains(&named) {
                let index = chunk.first_line - statement.first_line + i64::try_from(nth).map_err(broken)?;
                found.push((u64::try_from(index).map_err(broken)?, line.to_owned()));
            }
        }
    }
    Ok(found)
}

/// A statement's bundle: that it is in the log, and that these lines of `lines_of` are in it.
/// `{v, type, participant, window, lines: [{index, line, path}], root, size, statement: {index, leaf, path, size}, checkpoint}`,
/// hashes in lower-case hexadecimal.
pub fn of_statement(conn: &mut PgConnection, statement: &Row, found: &[Line]) -> Result<Value, Error> {
    let size = u64::try_from(statement.lines).map_err(broken)?;
    let tally = tallies::list(conn, statement.window)?.into_iter().find(|row| row.participant == statement.participant);
    let tally = tally.ok_or_else(|| broken("a statement without sums"))?;
    let groups: Vec<Hash> = tally.groups.as_chunks::<32>().0.to_vec();
    let mut rows = Vec::with_capacity(found.len());
    for (index, line) in found {
        let path = path(conn, statement, (*index, size), &groups)?;
        rows.push(json!({ "index": index, "line": line, "path": hashes(&path) }));
    }
    let checkpoint = log::checkpoint(conn, Some(statement.leaf_index))?;
    let checkpoint = checkpoint.ok_or_else(|| broken("a statement without a checkpoint over it"))?;
    let note = read::checkpoint(conn, Some(statement.leaf_index))?.unwrap_or_default();
    let leaves = log::leaves(conn, Some(checkpoint.size))?;
    let index = u64::try_from(statement.leaf_index).map_err(broken)?;
    Ok(json!({
        "v": 1, "type": "proofs", "participant": statement.participant.as_str(), "window": statement.number,
        "lines": rows, "root": hex(&gather::root(&tally)?), "size": size,
        "statement": {
            "index": index, "leaf": hex(&statement.leaf), "path": hashes(&merkle::inclusion_path(&leaves, index)),
            "size": checkpoint.size,
        },
        "checkpoint": note,
    }))
}

/// The path of one line: its group's leaves are hashed again, the rest is stored.
fn path(
    conn: &mut PgConnection,
    statement: &Row,
    (index, size): (u64, u64),
    groups: &[Hash],
) -> Result<Vec<Hash>, Error> {
    let group = index / GROUP;
    let own = leaves(conn, statement, group * GROUP, size.min((group + 1) * GROUP))?;
    let complete = u64::try_from(groups.len()).map_err(broken)? * GROUP;
    let tail = if complete == size { Vec::new() } else { leaves(conn, statement, complete, size)? };
    merkle::inclusion_path_by_groups(groups, &tail, &own, index, size).ok_or_else(|| broken("a tree of another size"))
}

/// Leaf hashes of a statement's lines `from..to`.
fn leaves(conn: &mut PgConnection, statement: &Row, from: u64, to: u64) -> Result<Vec<Hash>, Error> {
    let number = |index: u64| Ok::<_, Error>(statement.first_line + i64::try_from(index).map_err(broken)?);
    let (first, end) = (number(from)?, number(to)?);
    let mut leaves = Vec::new();
    let mut next = first;
    while next < end {
        let limit = (end - next).min(CHUNKS_MAX).min(64);
        let chunks = lines::from(conn, statement.window, &statement.participant, next, limit)?;
        if chunks.is_empty() {
            return Err(broken(format!("line {next} is missing")));
        }
        for chunk in chunks {
            let bytes = gather::unpack(&chunk)?;
            let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            for (line, line_no) in lines.zip(chunk.first_line..) {
                if (first..end).contains(&line_no) {
                    leaves.push(merkle::leaf_hash(line));
                }
            }
            next = chunk.first_line + i64::from(chunk.lines);
        }
    }
    Ok(leaves)
}

fn hashes(path: &[Hash]) -> Vec<String> {
    path.iter().map(|hash| hex(hash)).collect()
}
