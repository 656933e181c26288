//! Proofs: that a line is in a statement, and that a statement is in the alliance's log.

use super::gather;
use super::{Error, broken, read};
use crate::domain::ids::ConversionId;
use crate::service::settlement::statement::hex;
use crate::signing::merkle::{self, GROUP, Hash};
use crate::store::settlement::lines;
use crate::store::settlement::statements::Row;
use crate::store::settlement::{log, tallies};
use diesel::PgConnection;
use serde_json::{Value, json};

/// Chunks read at once; a group of the tree, 1,024 lines, is seldom in more than a few.
const CHUNKS: i64 = 64;

/// A line with its place in its statement's tree.
pub type Line = (u64, String);

/// The proof bundle of a statement's lines of a conversion; `None` when it has none.
pub fn of_conversion(conn: &mut PgConnection, statement: &Row, id: ConversionId) -> Result<Option<Value>, Error> {
    let found = lines_of(conn, statement, id)?;
    if found.is_empty() {
        return Ok(None);
    }
    let checkpoint = log::checkpoint(conn)?.ok_or_else(|| broken("a statement without a checkpoint"))?;
    of_statement(conn, statement, &found, &checkpoint).map(Some)
}

/// The lines of a statement that name a conversion (its own, its reversals', its adjustments'), each with its place.
pub fn lines_of(conn: &mut PgConnection, statement: &Row, conversion: ConversionId) -> Result<Vec<Line>, Error> {
    let places = lines::places(conn, conversion.0)?;
    let here = places.iter().filter(|place| place.window == statement.window);
    let batches: Vec<i64> = here.map(|place| place.batch_no).collect();
    if batches.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for chunk in lines::posted_in(conn, statement.window, &statement.participant, &batches)? {
        let bytes = gather::unpack(&chunk)?;
        let named = format!(r#""conversion_id":"{conversion}""#);
        for (nth, line) in gather::each_line(&bytes).enumerate() {
            let line = std::str::from_utf8(line).map_err(broken)?;
            if line.contains(&named) {
                let index = chunk.first_line - statement.first_line + i64::try_from(nth).map_err(broken)?;
                found.push((u64::try_from(index).map_err(broken)?, line.to_owned()));
            }
        }
    }
    Ok(found)
}

/// A statement's bundle: that it is in the log of this checkpoint, and that these lines of `lines_of` are in it. Whoever
/// compares it with another checkpoint wants the newest there is, so that none of what it holds is older.
/// `{v, type, participant, window, lines: [{index, line, path}], root, size, statement: {index, leaf, path, size}, checkpoint}`,
/// hashes in lower-case hexadecimal.
pub fn of_statement(
    conn: &mut PgConnection,
    statement: &Row,
    found: &[Line],
    checkpoint: &log::Checkpoint,
) -> Result<Value, Error> {
    let size = u64::try_from(statement.lines).map_err(broken)?;
    let tally = tallies::find(conn, statement.window, &statement.participant)?;
    let tally = tally.ok_or_else(|| broken("a statement without sums"))?;
    let groups: Vec<Hash> = tally.groups.as_chunks::<32>().0.to_vec();
    let mut rows = Vec::with_capacity(found.len());
    for (index, line) in found {
        let path = path(conn, statement, (*index, size), &groups)?;
        rows.push(json!({ "index": index, "line": line, "path": hashes(&path) }));
    }
    if statement.leaf_index >= checkpoint.size {
        return Err(broken("a checkpoint that is not over the statement"));
    }
    let leaves = log::leaves(conn, Some(checkpoint.size))?;
    let index = u64::try_from(statement.leaf_index).map_err(broken)?;
    Ok(json!({
        "v": 1, "type": "proofs", "participant": statement.participant.as_str(), "window": statement.number,
        "lines": rows, "root": hex(&gather::root(&tally)?), "size": size,
        "statement": {
            "index": index, "leaf": hex(&statement.leaf), "path": hashes(&merkle::inclusion_path(&leaves, index)),
            "size": checkpoint.size,
        },
        "checkpoint": read::note(checkpoint.clone())?,
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
        let limit = (end - next).min(CHUNKS);
        let chunks = lines::from(conn, statement.window, &statement.participant, next, limit)?;
        if chunks.is_empty() {
            return Err(broken(format!("line {next} is missing")));
        }
        for chunk in chunks {
            let bytes = gather::unpack(&chunk)?;
            for (line, line_no) in gather::each_line(&bytes).zip(chunk.first_line..) {
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
