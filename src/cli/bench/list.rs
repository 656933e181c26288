//! The list of what was answered, and the proof that all of it is in the database.
//!
//! A line is `conversion_id key`, written when the answer is in and before the next request. The key is also the
//! conversion's external reference, so that an id under another key, or a key with two conversions, is found too.

use crate::cli::Error;
use crate::domain::ids::ConversionId;
use crate::store;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use uuid::Uuid;

/// Lines looked up by one statement.
const CHUNK: usize = 10_000;
/// Examples told of each finding.
const SAMPLE: usize = 5;

/// Appends what was answered.
pub struct List {
    file: File,
    lines: Vec<u8>,
}

/// What the database has of what a list says.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Proof {
    pub listed: u64,
    /// The last line has no end: the writer was stopped in the middle of it.
    pub torn: bool,
    pub missing: u64,
    /// Under another key than the one answered.
    pub mismatched: u64,
    /// Keys of the listed runs that have more than one conversion.
    pub twice: u64,
    pub sample: Vec<String>,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = SqlUuid)]
    conversion_id: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    reference: Option<String>,
}

#[derive(QueryableByName)]
struct Twice {
    #[diesel(sql_type = Text)]
    reference: String,
    #[diesel(sql_type = BigInt)]
    times: i64,
}

impl List {
    pub fn append(path: &Path) -> io::Result<List> {
        Ok(List { file: File::options().create(true).append(true).open(path)?, lines: Vec::new() })
    }

    /// Adds a line to those that the next `flush` writes.
    pub fn note(&mut self, id: &str, key: &str) {
        for part in [id, " ", key, "\n"] {
            self.lines.extend_from_slice(part.as_bytes());
        }
    }

    /// Writes the noted lines at once: whoever kills us later finds them.
    pub fn flush(&mut self) -> io::Result<()> {
        let written = self.file.write_all(&self.lines);
        self.lines.clear();
        written
    }
}

/// Looks up every line of a list.
pub fn verify(path: &Path, database_url: &str) -> Result<Proof, Error> {
    let unread = |cause: io::Error| Error::Failed(format!("{}: {cause}", path.display()));
    let mut conn = store::establish(database_url).map_err(Error::failed)?;
    let mut proof = Proof::default();
    let mut runs = BTreeSet::new();
    let mut chunk = HashMap::with_capacity(CHUNK);
    let mut lines = BufReader::new(File::open(path).map_err(unread)?);
    let mut line = String::new();
    while lines.read_line(&mut line).map_err(unread)? > 0 {
        if line.ends_with('\n') {
            proof.listed += 1;
            let (id, key) = parse(line.trim_end()).ok_or_else(|| {
                Error::Failed(format!("{}:{}: not a conversion's id and key", path.display(), proof.listed))
            })?;
            runs.insert(run_of(key).to_owned());
            chunk.insert(id.0, key.to_owned());
        } else {
            proof.torn = true;
        }
        if chunk.len() == CHUNK {
            look_up(&mut conn, &mut chunk, &mut proof).map_err(Error::failed)?;
        }
        line.clear();
    }
    look_up(&mut conn, &mut chunk, &mut proof).map_err(Error::failed)?;
    find_twice(&mut conn, runs, &mut proof).map_err(Error::failed)?;
    Ok(proof)
}

impl Proof {
    pub fn holds(&self) -> bool {
        self.missing == 0 && self.mismatched == 0 && self.twice == 0
    }

    fn tell(&mut self, what: String) {
        if self.sample.len() < SAMPLE {
            self.sample.push(what);
        }
    }
}

fn parse(line: &str) -> Option<(ConversionId, &str)> {
    let (id, key) = line.split_once(' ')?;
    Some((id.parse().ok()?, key)).filter(|_| !key.is_empty())
}

/// The run a key belongs to: what stands before its first dot.
fn run_of(key: &str) -> &str {
    key.split('.').next().unwrap_or(key)
}

/// Looks up a chunk and empties it.
fn look_up(conn: &mut PgConnection, chunk: &mut HashMap<Uuid, String>, proof: &mut Proof) -> QueryResult<()> {
    let ids: Vec<Uuid> = chunk.keys().copied().collect();
    let found = diesel::sql_query("SELECT conversion_id, reference FROM conversions WHERE conversion_id = ANY($1)")
        .bind::<Array<SqlUuid>, _>(ids)
        .load::<Found>(conn)?;
    for row in found {
        let key = chunk.remove(&row.conversion_id);
        if key != row.reference {
            proof.mismatched += 1;
            let (key, reference) = (key.unwrap_or_default(), row.reference.unwrap_or_default());
            proof.tell(format!("{} was answered for {key}, stored for {reference}", ConversionId(row.conversion_id)));
        }
    }
    for (id, key) in chunk.drain() {
        proof.missing += 1;
        proof.tell(format!("{} of {key} is not stored", ConversionId(id)));
    }
    Ok(())
}

/// One pass over the table for all runs together.
fn find_twice(conn: &mut PgConnection, runs: BTreeSet<String>, proof: &mut Proof) -> QueryResult<()> {
    let found = diesel::sql_query(
        "SELECT reference, count(*) AS times FROM conversions WHERE split_part(reference, '.', 1) = ANY($1) \
         GROUP BY reference HAVING count(*) > 1",
    );
    for row in found.bind::<Array<Text>, _>(Vec::from_iter(runs)).load::<Twice>(conn)? {
        proof.twice += 1;
        proof.tell(format!("{} has {} conversions", row.reference, row.times));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_id_and_a_key() {
        let id = "cnv_0198c0de0000700080000000000000aa";
        let line = format!("{id} b1f0.3.77");
        let (read, key) = parse(&line).expect("a line");
        assert_eq!((read.to_string().as_str(), key, run_of(key)), (id, "b1f0.3.77", "b1f0"));
        for wrong in ["", id, "cnv_1 k", &format!("{id} ")] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn lines_are_in_the_file_once_flushed_and_a_second_list_appends() {
        let path = std::env::temp_dir().join(format!("hanse-bench-list-{}", std::process::id()));
        for key in ["k1", "k2"] {
            let mut list = List::append(&path).expect("a file");
            list.note("cnv_1", key);
            list.flush().expect("written");
            list.flush().expect("nothing is written twice");
        }
        let text = std::fs::read_to_string(&path).expect("a text");
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(text, "cnv_1 k1\ncnv_1 k2\n");
    }
}
