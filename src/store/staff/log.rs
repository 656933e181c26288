//! The staff log: rows are only added, by one at a time.

use super::partner;
use crate::domain::ids::{Slug, StaffId};
use crate::domain::staff_log::{Entry, HASH, Head};
use crate::store::Error;
use crate::store::catalogue::unreadable;
use crate::store::locks::STAFF_LOG;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Waits for the turn, which lasts until the transaction ends, and says where the log ends and what time it is then.
pub fn take_turn(conn: &mut PgConnection) -> Result<(Head, DateTime<Utc>), Error> {
    #[derive(QueryableByName)]
    struct HeadSql {
        #[diesel(sql_type = BigInt)]
        seq: i64,
        #[diesel(sql_type = Nullable<Binary>)]
        hash: Option<Vec<u8>>,
        #[diesel(sql_type = Timestamptz)]
        now: DateTime<Utc>,
    }
    // In a statement of its own: the next one's snapshot is younger than the lock.
    sql_query("SELECT pg_advisory_xact_lock($1)").bind::<BigInt, _>(STAFF_LOG).execute(conn)?;
    let head: HeadSql = sql_query(
        "SELECT coalesce(l.seq, 0) AS seq, l.hash, clock_timestamp() AS now FROM (SELECT) one \
         LEFT JOIN (SELECT seq, hash FROM staff_log ORDER BY seq DESC LIMIT 1) l ON true",
    )
    .get_result(conn)?;
    let hash = match head.hash {
        None => [0; HASH],
        Some(hash) => hash.try_into().map_err(|_| unreadable("a hash of the staff log is not of 32 bytes"))?,
    };
    Ok((Head { seq: head.seq, hash }, head.now))
}

/// Adds what comes next. Called in one's turn.
pub fn insert(conn: &mut PgConnection, entry: &Entry, hash: &[u8; HASH]) -> QueryResult<()> {
    let detail = entry.detail.iter().map(|(key, text)| (key.clone(), Value::String(text.clone()))).collect();
    sql_query(
        "INSERT INTO staff_log (seq, at, partner, staff_id, login, action, subject, detail, prev_hash, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind::<BigInt, _>(entry.seq)
    .bind::<Timestamptz, _>(entry.at)
    .bind::<Nullable<Text>, _>(entry.partner.as_ref().map(Slug::as_str))
    .bind::<Nullable<SqlUuid>, _>(entry.staff.map(|staff| staff.0))
    .bind::<Nullable<Text>, _>(entry.login.as_deref())
    .bind::<Text, _>(&entry.action)
    .bind::<Text, _>(&entry.subject)
    .bind::<Jsonb, _>(Value::Object(detail))
    .bind::<Binary, _>(&entry.prev_hash[..])
    .bind::<Binary, _>(&hash[..])
    .execute(conn)
    .map(drop)
}

/// Whether something is in the log that was done to this subject.
pub fn is_there(conn: &mut PgConnection, action: &str, subject: &str) -> QueryResult<bool> {
    let found = sql_query("SELECT FROM staff_log WHERE subject = $1 AND action = $2 LIMIT 1")
        .bind::<Text, _>(subject)
        .bind::<Text, _>(action)
        .execute(conn)?;
    Ok(found > 0)
}

#[derive(QueryableByName)]
struct LineSql {
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    partner: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    staff_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    login: Option<String>,
    #[diesel(sql_type = Text)]
    action: String,
    #[diesel(sql_type = Text)]
    subject: String,
    #[diesel(sql_type = Jsonb)]
    detail: Value,
}

/// One line as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub seq: i64,
    pub at: DateTime<Utc>,
    /// Whose affair it was; `None`: the operator's alone.
    pub partner: Option<Slug>,
    pub staff: Option<StaffId>,
    pub login: Option<String>,
    pub action: String,
    pub subject: String,
    pub detail: BTreeMap<String, String>,
}

/// The newest first, everybody's or a partner's, those before a number if one is given.
pub fn list(conn: &mut PgConnection, of: Option<&Slug>, before: Option<i64>, limit: i64) -> Result<Vec<Line>, Error> {
    let whose = if of.is_some() { "partner = $1" } else { "$1 IS NULL" };
    let rows: Vec<LineSql> = sql_query(format!(
        "SELECT seq, at, partner, staff_id, login, action, subject, detail FROM staff_log \
         WHERE {whose} AND seq < $2 ORDER BY seq DESC LIMIT $3"
    ))
    .bind::<Nullable<Text>, _>(of.map(Slug::as_str))
    .bind::<BigInt, _>(before.unwrap_or(i64::MAX))
    .bind::<BigInt, _>(limit)
    .load(conn)?;
    let text = |(key, value): (&String, &Value)| (key.clone(), value.as_str().unwrap_or_default().to_owned());
    let checked = |row: LineSql| {
        Ok(Line {
            seq: row.seq,
            at: row.at,
            partner: partner(row.partner)?,
            staff: row.staff_id.map(StaffId),
            login: row.login,
            action: row.action,
            subject: row.subject,
            detail: row.detail.as_object().into_iter().flatten().map(text).collect(),
        })
    };
    rows.into_iter().map(checked).collect()
}
