//! The alliance's log: leaves in sequence, checkpoints over them, what partners signed under these.

use crate::store::Error;
use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Nullable, Text, Timestamptz};

/// Until the transaction ends, nobody else adds a leaf.
pub fn lock(conn: &mut PgConnection) -> QueryResult<()> {
    conn.batch_execute("SELECT pg_advisory_xact_lock(x'6c6f67'::bigint)")
}

#[derive(QueryableByName)]
struct LeafSql {
    #[diesel(sql_type = BigInt)]
    leaf_index: i64,
    #[diesel(sql_type = Binary)]
    leaf: Vec<u8>,
}

/// All leaf hashes in sequence, the first `size` or all. A gap or a hash of another length is our bug, and an error.
pub fn leaves(conn: &mut PgConnection, size: Option<i64>) -> Result<Vec<[u8; 32]>, Error> {
    let rows: Vec<LeafSql> =
        sql_query("SELECT leaf_index, leaf FROM log_leaves WHERE $1 IS NULL OR leaf_index < $1 ORDER BY leaf_index")
            .bind::<Nullable<BigInt>, _>(size)
            .load(conn)?;
    let mut leaves = Vec::with_capacity(rows.len());
    for row in rows {
        if usize::try_from(row.leaf_index) != Ok(leaves.len()) {
            return Err(super::unreadable(format!("the log has a gap before leaf {}", row.leaf_index)));
        }
        leaves.push(row.leaf.try_into().map_err(|_| super::unreadable("a leaf of the log is no hash"))?);
    }
    Ok(leaves)
}

/// One leaf to be added.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub index: i64,
    pub kind: &'static str,
    pub subject: String,
    pub hash: [u8; 32],
    /// What was hashed, where it is stored nowhere else.
    pub record: Option<String>,
}

pub fn insert(conn: &mut PgConnection, leaf: &Leaf, at: DateTime<Utc>) -> Result<(), Error> {
    sql_query("INSERT INTO log_leaves (leaf_index, kind, subject, leaf, record, at) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind::<BigInt, _>(leaf.index)
        .bind::<Text, _>(leaf.kind)
        .bind::<Text, _>(&leaf.subject)
        .bind::<Binary, _>(leaf.hash.as_slice())
        .bind::<Nullable<Text>, _>(&leaf.record)
        .bind::<Timestamptz, _>(at)
        .execute(conn)?;
    Ok(())
}

pub fn insert_checkpoint(conn: &mut PgConnection, size: i64, note: &str, at: DateTime<Utc>) -> Result<(), Error> {
    sql_query("INSERT INTO checkpoints (size, note, at) VALUES ($1, $2, $3)")
        .bind::<BigInt, _>(size)
        .bind::<Text, _>(note)
        .bind::<Timestamptz, _>(at)
        .execute(conn)?;
    Ok(())
}

#[derive(QueryableByName)]
struct RecordSql {
    #[diesel(sql_type = Text)]
    record: String,
}

/// Whether the log has a leaf of this kind about this subject.
pub fn has(conn: &mut PgConnection, kind: &str, subject: &str) -> Result<bool, Error> {
    let found = sql_query("SELECT 1 FROM log_leaves WHERE kind = $1 AND subject = $2 LIMIT 1")
        .bind::<Text, _>(kind)
        .bind::<Text, _>(subject)
        .execute(conn)?;
    Ok(found > 0)
}

/// What was hashed for leaves of this kind, in the sequence of the log.
pub fn records(conn: &mut PgConnection, kind: &str) -> Result<Vec<String>, Error> {
    let sql = "SELECT record FROM log_leaves WHERE kind = $1 AND record IS NOT NULL ORDER BY leaf_index";
    let rows: Vec<RecordSql> = sql_query(sql).bind::<Text, _>(kind).load(conn)?;
    Ok(rows.into_iter().map(|row| row.record).collect())
}

/// A checkpoint and the lines partners have signed under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub size: i64,
    pub note: String,
    pub cosignatures: Vec<String>,
}

#[derive(QueryableByName)]
struct CheckpointSql {
    #[diesel(sql_type = BigInt)]
    size: i64,
    #[diesel(sql_type = Text)]
    note: String,
}

#[derive(QueryableByName)]
struct LineSql {
    #[diesel(sql_type = Text)]
    line: String,
}

/// The current checkpoint; `None` when there is none yet.
pub fn checkpoint(conn: &mut PgConnection) -> Result<Option<Checkpoint>, Error> {
    let found: Option<CheckpointSql> =
        sql_query("SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1").get_result(conn).optional()?;
    let Some(CheckpointSql { size, note }) = found else { return Ok(None) };
    let lines: Vec<LineSql> = sql_query("SELECT line FROM cosignatures WHERE size = $1 ORDER BY at, partner")
        .bind::<BigInt, _>(size)
        .load(conn)?;
    Ok(Some(Checkpoint { size, note, cosignatures: lines.into_iter().map(|row| row.line).collect() }))
}

/// Keeps what a partner signed under a checkpoint; the first one stays. `false`: it has signed before.
pub fn insert_cosignature(
    conn: &mut PgConnection,
    size: i64,
    partner: &str,
    line: &str,
    at: DateTime<Utc>,
) -> Result<bool, Error> {
    let inserted =
        sql_query("INSERT INTO cosignatures (size, partner, line, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")
            .bind::<BigInt, _>(size)
            .bind::<Text, _>(partner)
            .bind::<Text, _>(line)
            .bind::<Timestamptz, _>(at)
            .execute(conn)?;
    Ok(inserted == 1)
}
