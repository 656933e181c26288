//! Settlement lines, in runs of up to 1,024: their own bytes, compressed.

use super::participant;
use crate::domain::ids::WindowId;
use crate::domain::settlement::Participant;
use crate::store::Error;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Text, Uuid as SqlUuid};
use uuid::Uuid;

/// Lines of one participant that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub participant: Participant,
    pub first_line: i64,
    pub lines: i32,
    /// Batches its lines were posted in.
    pub first_batch: i64,
    pub last_batch: i64,
    /// zstd over the lines, each ended by a line feed.
    pub body: Vec<u8>,
}

#[derive(QueryableByName)]
struct ChunkSql {
    #[diesel(sql_type = Text)]
    participant: String,
    #[diesel(sql_type = BigInt)]
    first_line: i64,
    #[diesel(sql_type = Integer)]
    lines: i32,
    #[diesel(sql_type = BigInt)]
    first_batch: i64,
    #[diesel(sql_type = BigInt)]
    last_batch: i64,
    #[diesel(sql_type = Binary)]
    body: Vec<u8>,
}

impl ChunkSql {
    fn checked(self) -> Result<Chunk, Error> {
        Ok(Chunk {
            participant: participant(&self.participant)?,
            first_line: self.first_line,
            lines: self.lines,
            first_batch: self.first_batch,
            last_batch: self.last_batch,
            body: self.body,
        })
    }
}

/// The transaction that begins need not wait for the disk: a run of lines that a crash takes is gone with its sums and its
/// place in the journal, and is made again. What is signed of them is committed after them, and waits.
pub fn begin(conn: &mut PgConnection) -> Result<(), Error> {
    Ok(conn.batch_execute("SET LOCAL synchronous_commit = off")?)
}

/// Adds the chunks of a run.
pub fn insert(conn: &mut PgConnection, window: WindowId, chunks: &[Chunk]) -> Result<(), Error> {
    if chunks.is_empty() {
        return Ok(());
    }
    sql_query(
        "INSERT INTO line_chunks (participant, first_line, lines, window_id, first_batch, last_batch, body) \
         SELECT p, f, l, $1, fb, lb, b FROM unnest($2, $3, $4, $5, $6, $7) x(p, f, l, fb, lb, b)",
    )
    .bind::<SqlUuid, _>(window.0)
    .bind::<Array<Text>, _>(chunks.iter().map(|chunk| chunk.participant.as_str()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(chunks.iter().map(|chunk| chunk.first_line).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(chunks.iter().map(|chunk| chunk.lines).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(chunks.iter().map(|chunk| chunk.first_batch).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(chunks.iter().map(|chunk| chunk.last_batch).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(chunks.iter().map(|chunk| chunk.body.as_slice()).collect::<Vec<_>>())
    .execute(conn)?;
    Ok(())
}

/// A participant's lines of a window from number `from` on, at most `limit` chunks of them.
pub fn from(
    conn: &mut PgConnection,
    window: WindowId,
    of: &Participant,
    from: i64,
    limit: i64,
) -> Result<Vec<Chunk>, Error> {
    // No chunk has more than 1,024 lines: the index leads to where they begin.
    let rows: Vec<ChunkSql> = sql_query(
        "SELECT participant, first_line, lines, first_batch, last_batch, body FROM line_chunks \
         WHERE window_id = $1 AND participant = $2 AND first_line > $3 - 1024 AND first_line + lines > $3 ORDER BY first_line LIMIT $4",
    )
    .bind::<SqlUuid, _>(window.0)
    .bind::<Text, _>(of.as_str())
    .bind::<BigInt, _>(from)
    .bind::<BigInt, _>(limit)
    .load(conn)?;
    rows.into_iter().map(ChunkSql::checked).collect()
}

/// A participant's lines of a window that may have been posted in one of these batches.
pub fn posted_in(
    conn: &mut PgConnection,
    window: WindowId,
    of: &Participant,
    batches: &[i64],
) -> Result<Vec<Chunk>, Error> {
    let rows: Vec<ChunkSql> = sql_query(
        "SELECT participant, first_line, lines, first_batch, last_batch, body FROM line_chunks c \
         WHERE window_id = $1 AND participant = $2 \
         AND EXISTS (SELECT FROM unnest($3) b WHERE b BETWEEN c.first_batch AND c.last_batch) ORDER BY first_line",
    )
    .bind::<SqlUuid, _>(window.0)
    .bind::<Text, _>(of.as_str())
    .bind::<Array<BigInt>, _>(batches)
    .load(conn)?;
    rows.into_iter().map(ChunkSql::checked).collect()
}

/// In which window and batch a conversion was posted, and each of what took it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub window: WindowId,
    pub batch_no: i64,
}

#[derive(QueryableByName)]
struct PlaceSql {
    #[diesel(sql_type = SqlUuid)]
    window_id: Uuid,
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
}

/// Where all lines of a conversion are: its own, its reversals' and its adjustments'.
pub fn places(conn: &mut PgConnection, conversion: Uuid) -> Result<Vec<Place>, Error> {
    let rows: Vec<PlaceSql> = sql_query(
        "SELECT window_id, batch_no FROM conversions WHERE conversion_id = $1 UNION ALL \
         SELECT window_id, batch_no FROM reversals WHERE conversion_id = $1 AND state = 1 UNION ALL \
         SELECT window_id, batch_no FROM adjustments WHERE conversion_id = $1",
    )
    .bind::<SqlUuid, _>(conversion)
    .load(conn)?;
    Ok(rows.into_iter().map(|row| Place { window: WindowId(row.window_id), batch_no: row.batch_no }).collect())
}

/// A conversion, what took part of one back, an adjustment, or a use of a benefit, with where its lines are and who its sides are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    pub id: Uuid,
    pub place: Place,
    /// Participants.
    pub sides: [String; 2],
}

#[derive(QueryableByName)]
struct PostedSql {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    window_id: Uuid,
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
    #[diesel(sql_type = Text)]
    a: String,
    #[diesel(sql_type = Text)]
    b: String,
}

/// What was posted under ids within these ranges, their ends included.
pub fn posted(conn: &mut PgConnection, ranges: &[(Uuid, Uuid)]) -> Result<Vec<Posted>, Error> {
    let rows: Vec<PostedSql> = sql_query(
        // In the order of the key and bounded, so that each range is a walk along the index, whatever the planner guesses.
        "SELECT p.* FROM unnest($1, $2) r(low, high) CROSS JOIN LATERAL (\
         (SELECT conversion_id AS id, window_id, batch_no, from_partner AS a, to_partner AS b FROM conversions \
         WHERE conversion_id BETWEEN r.low AND r.high ORDER BY conversion_id LIMIT 64) UNION ALL \
         (SELECT t.reversal_id, t.window_id, t.batch_no, c.from_partner, c.to_partner FROM (SELECT * FROM reversals \
         WHERE reversal_id BETWEEN r.low AND r.high AND state = 1 ORDER BY reversal_id LIMIT 64) t \
         JOIN conversions c USING (conversion_id)) UNION ALL \
         (SELECT adjustment_id, window_id, batch_no, from_party, to_party FROM adjustments \
         WHERE adjustment_id BETWEEN r.low AND r.high ORDER BY adjustment_id LIMIT 64) UNION ALL \
         (SELECT u.use_id, u.window_id, u.batch_no, u.giver, \
         CASE t.body->>'funder' WHEN 'operator' THEN 'operator' ELSE t.body->>'brand' END FROM (SELECT * FROM voucher_uses \
         WHERE use_id BETWEEN r.low AND r.high ORDER BY use_id LIMIT 64) u JOIN benefit_terms t USING (terms_id) \
         WHERE t.body->>'funder' = 'operator' OR t.body->>'brand' <> u.giver)) p",
    )
    .bind::<Array<SqlUuid>, _>(ranges.iter().map(|range| range.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(ranges.iter().map(|range| range.1).collect::<Vec<_>>())
    .load(conn)?;
    let row = |sql: PostedSql| Posted {
        id: sql.id,
        place: Place { window: WindowId(sql.window_id), batch_no: sql.batch_no },
        sides: [sql.a, sql.b],
    };
    Ok(rows.into_iter().map(row).collect())
}

#[derive(QueryableByName)]
struct BackSql {
    #[diesel(sql_type = BigInt)]
    back: i64,
}

/// How many points of a conversion were taken back: of its base, or of its bonus by the campaign of this number.
pub fn taken_back(conn: &mut PgConnection, conversion: Uuid, campaign: u16) -> Result<i64, Error> {
    let row: BackSql = sql_query(
        "SELECT coalesce(sum(CASE WHEN $2 = 0 THEN credit ELSE coalesce(bonuses[$2], 0) END), 0)::bigint AS back \
         FROM reversals WHERE conversion_id = $1 AND state = 1",
    )
    .bind::<SqlUuid, _>(conversion)
    .bind::<Integer, _>(i32::from(campaign))
    .get_result(conn)?;
    Ok(row.back)
}

#[derive(QueryableByName)]
struct IsSql {
    #[diesel(sql_type = Bool)]
    is: bool,
}

/// Whether a use of a benefit with an id between these, ends included, was taken back.
pub fn use_taken_back(conn: &mut PgConnection, (from, to): (Uuid, Uuid)) -> Result<bool, Error> {
    let row: IsSql = sql_query("SELECT EXISTS (SELECT FROM voucher_uses WHERE reverses BETWEEN $1 AND $2) AS is")
        .bind::<SqlUuid, _>(from)
        .bind::<SqlUuid, _>(to)
        .get_result(conn)?;
    Ok(row.is)
}

/// The sides of a conversion.
#[derive(QueryableByName)]
pub struct Sides {
    #[diesel(sql_type = SqlUuid)]
    pub conversion: Uuid,
    /// Partners.
    #[diesel(sql_type = Text)]
    pub from: String,
    #[diesel(sql_type = Text)]
    pub to: String,
}

/// Origin and target of conversions and of reversals, requested ones included.
pub fn sides(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Sides>, Error> {
    let rows = sql_query(
        "SELECT conversion_id AS conversion, from_partner AS \"from\", to_partner AS \"to\" FROM conversions \
         WHERE conversion_id = any($1) UNION ALL \
         SELECT c.conversion_id, c.from_partner, c.to_partner FROM reversals t JOIN conversions c USING (conversion_id) \
         WHERE t.reversal_id = any($1)",
    );
    Ok(rows.bind::<Array<SqlUuid>, _>(ids).load(conn)?)
}

#[derive(QueryableByName)]
struct NamedSql {
    #[diesel(sql_type = SqlUuid)]
    hash: Uuid,
    #[diesel(sql_type = SqlUuid)]
    subject: Uuid,
}

/// What external references, by their hashes in the directory, had as their effect: conversions and what took them back, uses of
/// benefits.
/// Hashes that are none are left out.
pub fn named(conn: &mut PgConnection, hashes: &[Uuid]) -> Result<Vec<(Uuid, Uuid)>, Error> {
    let rows: Vec<NamedSql> = sql_query(
        "SELECT d.hash, d.subject FROM unnest($1) h(hash) JOIN directory d USING (hash) \
         WHERE d.kind IN (2, 4, 7) AND d.subject IS NOT NULL",
    )
    .bind::<Array<SqlUuid>, _>(hashes)
    .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.hash, row.subject)).collect())
}
