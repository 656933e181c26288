//! Crossings as people look at them: what is under way, of whom something is asked, since when, and what was said of it.

use super::Evidence;
use crate::store::locks::RESOLUTIONS;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

/// One crossing.
#[derive(Clone, Debug, QueryableByName)]
pub struct Row {
    /// The conversion's, or the undo's or reversal's.
    #[diesel(sql_type = SqlUuid)]
    pub crossing_id: Uuid,
    #[diesel(sql_type = SmallInt)]
    pub kind: i16,
    #[diesel(sql_type = SqlUuid)]
    pub conversion_id: Uuid,
    #[diesel(sql_type = SmallInt)]
    pub state: i16,
    #[diesel(sql_type = Bool)]
    pub in_doubt: bool,
    #[diesel(sql_type = Text)]
    pub from_partner: String,
    #[diesel(sql_type = Text)]
    pub to_partner: String,
    #[diesel(sql_type = BigInt)]
    pub debit: i64,
    /// Base and bonuses.
    #[diesel(sql_type = BigInt)]
    pub credit: i64,
    #[diesel(sql_type = Text)]
    pub asked_by: String,
    /// Business time of acceptance.
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub since: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub due_at: DateTime<Utc>,
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    #[diesel(sql_type = Nullable<Text>)]
    pub note: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub cause: Option<String>,
    /// Documents kept of it.
    #[diesel(sql_type = BigInt)]
    pub evidence: i64,
}

/// Which of those under way are wanted; what is left out is not asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// A side of it.
    pub reader: Option<String>,
    /// A side of it too.
    pub partner: Option<String>,
    pub state: Option<i16>,
    pub in_doubt: Option<bool>,
    /// Accepted after this one.
    pub after: Option<Uuid>,
}

const COLUMNS: &str = "crossing_id, kind, conversion_id, state, in_doubt, from_partner, to_partner, debit, \
     (credit + (SELECT coalesce(sum(b), 0) FROM unnest(bonuses) b))::bigint AS credit, asked_by, at, since, due_at, attempts, \
     note, cause, (SELECT count(*) FROM crossing_evidence e WHERE e.crossing_id = c.crossing_id) AS evidence";

/// What is under way, the oldest first.
pub fn under_way(conn: &mut PgConnection, wanted: &Wanted, limit: i64) -> QueryResult<Vec<Row>> {
    // Materialised, so that the few that are open are found by their own index, however many have ended.
    sql_query(format!(
        "WITH c AS MATERIALIZED (SELECT * FROM crossings WHERE state NOT IN (3, 6)) SELECT {COLUMNS} FROM c \
         WHERE ($1 IS NULL OR from_partner = $1 OR to_partner = $1) AND ($2 IS NULL OR from_partner = $2 OR to_partner = $2) \
         AND ($3 IS NULL OR state = $3) AND ($4 IS NULL OR in_doubt = $4) AND ($5 IS NULL OR crossing_id > $5) \
         ORDER BY crossing_id LIMIT $6"
    ))
    .bind::<Nullable<Text>, _>(wanted.reader.as_deref())
    .bind::<Nullable<Text>, _>(wanted.partner.as_deref())
    .bind::<Nullable<SmallInt>, _>(wanted.state)
    .bind::<Nullable<Bool>, _>(wanted.in_doubt)
    .bind::<Nullable<SqlUuid>, _>(wanted.after)
    .bind::<BigInt, _>(limit)
    .load(conn)
}

/// One, however it stands.
pub fn one(conn: &mut PgConnection, id: Uuid) -> QueryResult<Option<Row>> {
    sql_query(format!("SELECT {COLUMNS} FROM crossings c WHERE crossing_id = $1"))
        .bind::<SqlUuid, _>(id)
        .get_result(conn)
        .optional()
}

/// Waits for whoever says something of a crossing in doubt now; its turn ends with this transaction.
pub fn turn(conn: &mut PgConnection) -> QueryResult<()> {
    sql_query("SELECT pg_advisory_xact_lock($1)").bind::<BigInt, _>(RESOLUTIONS).execute(conn)?;
    Ok(())
}

/// What a person has said of a crossing.
#[derive(Clone, Debug, QueryableByName)]
pub struct Resolution {
    #[diesel(sql_type = SqlUuid)]
    pub crossing_id: Uuid,
    #[diesel(embed)]
    pub kept: Evidence,
}

/// What people have said of these, of each the oldest first.
pub fn resolutions(conn: &mut PgConnection, ids: &[Uuid]) -> QueryResult<Vec<Resolution>> {
    sql_query(
        "SELECT crossing_id, call, at, by, document FROM crossing_evidence WHERE crossing_id = ANY($1) AND call = 'resolution' \
         ORDER BY crossing_id, at",
    )
    .bind::<Array<SqlUuid>, _>(ids)
    .load(conn)
}
