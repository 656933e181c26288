//! How far each participant's lines of a window have come: tree and sums, written with every run of lines; and its nets.

use super::{money, participant};
use crate::domain::ids::WindowId;
use crate::domain::money::Millionths;
use crate::domain::settlement::Participant;
use crate::domain::settlement::netting::{Net, Nets};
use crate::store::Error;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Nullable, Text, Uuid as SqlUuid};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub participant: Participant,
    pub first_line: i64,
    pub lines: i64,
    pub frontier: Vec<u8>,
    /// Hashes of the complete subtrees of 1,024 lines, one after the other.
    pub groups: Vec<u8>,
    pub sums: String,
}

#[derive(QueryableByName)]
struct TallySql {
    #[diesel(sql_type = Text)]
    participant: String,
    #[diesel(sql_type = BigInt)]
    first_line: i64,
    #[diesel(sql_type = BigInt)]
    lines: i64,
    #[diesel(sql_type = Binary)]
    frontier: Vec<u8>,
    #[diesel(sql_type = Binary)]
    groups: Vec<u8>,
    #[diesel(sql_type = Text)]
    sums: String,
}

impl TallySql {
    fn checked(self) -> Result<Row, Error> {
        Ok(Row {
            participant: participant(&self.participant)?,
            first_line: self.first_line,
            lines: self.lines,
            frontier: self.frontier,
            groups: self.groups,
            sums: self.sums,
        })
    }
}

/// Every participant's of a window.
pub fn list(conn: &mut PgConnection, window: WindowId) -> Result<Vec<Row>, Error> {
    let rows: Vec<TallySql> = sql_query("SELECT * FROM tallies WHERE window_id = $1 ORDER BY participant")
        .bind::<SqlUuid, _>(window.0)
        .load(conn)?;
    rows.into_iter().map(TallySql::checked).collect()
}

/// One participant's of a window.
pub fn find(conn: &mut PgConnection, window: WindowId, of: &Participant) -> Result<Option<Row>, Error> {
    let row = sql_query("SELECT * FROM tallies WHERE window_id = $1 AND participant = $2")
        .bind::<SqlUuid, _>(window.0)
        .bind::<Text, _>(of.as_str())
        .get_result::<TallySql>(conn);
    row.optional()?.map(TallySql::checked).transpose()
}

/// Writes them anew; each has grown since it was read.
pub fn put(conn: &mut PgConnection, window: WindowId, rows: &[Row]) -> Result<(), Error> {
    for row in rows {
        sql_query(
            "INSERT INTO tallies (window_id, participant, first_line, lines, frontier, groups, sums) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (window_id, participant) DO UPDATE SET lines = EXCLUDED.lines, \
             frontier = EXCLUDED.frontier, groups = EXCLUDED.groups, sums = EXCLUDED.sums",
        )
        .bind::<SqlUuid, _>(window.0)
        .bind::<Text, _>(row.participant.as_str())
        .bind::<BigInt, _>(row.first_line)
        .bind::<BigInt, _>(row.lines)
        .bind::<Binary, _>(&row.frontier)
        .bind::<Binary, _>(&row.groups)
        .bind::<Text, _>(&row.sums)
        .execute(conn)?;
    }
    Ok(())
}

#[derive(QueryableByName)]
struct NextSql {
    #[diesel(sql_type = Text)]
    participant: String,
    #[diesel(sql_type = BigInt)]
    next: i64,
}

/// The number of each participant's next line after all windows before `number`; those not named begin at 1.
pub fn next_lines(conn: &mut PgConnection, number: i64) -> Result<Vec<(Participant, i64)>, Error> {
    let rows: Vec<NextSql> = sql_query(
        "SELECT participant, max(first_line + lines) AS next FROM tallies JOIN windows USING (window_id) \
         WHERE number < $1 GROUP BY 1",
    )
    .bind::<BigInt, _>(number)
    .load(conn)?;
    rows.into_iter().map(|row| Ok((participant(&row.participant)?, row.next))).collect()
}

/// A stored net.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetRow {
    pub participant: Participant,
    pub counterparty: Participant,
    pub net: Net,
    /// Whether its lines have left the exposures.
    pub released: bool,
}

#[derive(QueryableByName)]
struct NetSql {
    #[diesel(sql_type = Text)]
    participant: String,
    #[diesel(sql_type = Text)]
    counterparty: String,
    #[diesel(sql_type = BigInt)]
    exact: i64,
    #[diesel(sql_type = BigInt)]
    rounded: i64,
    #[diesel(sql_type = BigInt)]
    gross: i64,
    #[diesel(sql_type = Bool)]
    released: bool,
}

/// Nets of a window: all, or one participant's.
pub fn nets(conn: &mut PgConnection, window: WindowId, of: Option<&Participant>) -> Result<Vec<NetRow>, Error> {
    let rows: Vec<NetSql> = sql_query(
        "SELECT participant, counterparty, exact, rounded, gross, released IS NOT NULL AS released FROM nets \
         WHERE window_id = $1 AND ($2 IS NULL OR participant = $2) ORDER BY participant, counterparty",
    )
    .bind::<SqlUuid, _>(window.0)
    .bind::<Nullable<Text>, _>(of.map(Participant::as_str))
    .load(conn)?;
    let row = |sql: NetSql| {
        Ok(NetRow {
            participant: participant(&sql.participant)?,
            counterparty: participant(&sql.counterparty)?,
            net: Net { exact: money(sql.exact), rounded: money(sql.rounded), gross: money(sql.gross) },
            released: sql.released,
        })
    };
    rows.into_iter().map(row).collect()
}

/// All nets of a window; a participant that has none is not among them.
pub fn nets_of_all(conn: &mut PgConnection, window: WindowId) -> Result<Nets, Error> {
    let mut all = Nets::new();
    for row in nets(conn, window, None)? {
        all.entry(row.participant).or_default().insert(row.counterparty, row.net);
    }
    Ok(all)
}

pub fn insert_nets(conn: &mut PgConnection, window: WindowId, nets: &Nets) -> Result<(), Error> {
    let all: Vec<_> = nets.iter().flat_map(|(of, own)| own.iter().map(move |(with, net)| (of, with, net))).collect();
    sql_query(
        "INSERT INTO nets (window_id, participant, counterparty, exact, rounded, gross) \
         SELECT $1, p, c, e, r, g FROM unnest($2, $3, $4, $5, $6) x(p, c, e, r, g)",
    )
    .bind::<SqlUuid, _>(window.0)
    .bind::<Array<Text>, _>(all.iter().map(|(of, _, _)| of.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(all.iter().map(|(_, with, _)| with.as_str()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(all.iter().map(|(_, _, net)| net.exact.get()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(all.iter().map(|(_, _, net)| net.rounded.get()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(all.iter().map(|(_, _, net)| net.gross.get()).collect::<Vec<_>>())
    .execute(conn)?;
    Ok(())
}

/// Marks nets as released by a batch: a participant's with one counterparty, or with all.
pub fn release(
    conn: &mut PgConnection,
    window: WindowId,
    of: &Participant,
    with: Option<&Participant>,
    batch_no: i64,
) -> Result<(), Error> {
    sql_query(
        "UPDATE nets SET released = $4 WHERE window_id = $1 AND participant = $2 AND ($3 IS NULL OR counterparty = $3) \
         AND released IS NULL",
    )
    .bind::<SqlUuid, _>(window.0)
    .bind::<Text, _>(of.as_str())
    .bind::<Nullable<Text>, _>(with.map(Participant::as_str))
    .bind::<BigInt, _>(batch_no)
    .execute(conn)?;
    Ok(())
}

/// How an exposure moved by a release.
#[derive(Clone, Copy, Debug)]
pub struct Release<'a> {
    /// In which batch, and the window that was open then.
    pub batch_no: i64,
    pub posted_in: WindowId,
    /// The window whose lines it takes out: a participant's with one counterparty, or with all.
    pub of: WindowId,
    pub with: Option<&'a Participant>,
    pub key: &'a str,
    pub delta: Millionths,
}

pub fn insert_release(conn: &mut PgConnection, release: &Release<'_>) -> Result<(), Error> {
    sql_query(
        "INSERT INTO releases (batch_no, key, window_id, of_window, delta, with_party) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind::<BigInt, _>(release.batch_no)
    .bind::<Text, _>(release.key)
    .bind::<SqlUuid, _>(release.posted_in.0)
    .bind::<SqlUuid, _>(release.of.0)
    .bind::<BigInt, _>(release.delta.get())
    .bind::<Text, _>(release.with.map_or("", Participant::as_str))
    .execute(conn)?;
    Ok(())
}
