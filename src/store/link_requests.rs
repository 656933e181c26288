//! Link requests: one side has asked and holds a code for the other. Times are wire time.

use crate::domain::ids::{AccountId, LinkId, Slug, TokenId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Bool, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

/// Tries a code allows, and wrong codes a membership may try within the life of one.
pub const ATTEMPTS_MAX: i16 = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRequest {
    pub link: LinkId,
    pub from_partner: Slug,
    pub from_account: AccountId,
    pub to_partner: Slug,
    pub to_account: Option<AccountId>,
    pub from_token: TokenId,
    pub to_token: TokenId,
    pub from_pull: bool,
    pub to_pull: Option<bool>,
    pub state: State,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    Accepted,
    /// Taken back by the side that asked, before it was accepted.
    Withdrawn,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    link_id: Uuid,
    #[diesel(sql_type = Text)]
    from_partner: String,
    #[diesel(sql_type = SqlUuid)]
    from_account: Uuid,
    #[diesel(sql_type = Text)]
    to_partner: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    to_account: Option<Uuid>,
    #[diesel(sql_type = SqlUuid)]
    from_token: Uuid,
    #[diesel(sql_type = SqlUuid)]
    to_token: Uuid,
    #[diesel(sql_type = Bool)]
    from_pull: bool,
    #[diesel(sql_type = Nullable<Bool>)]
    to_pull: Option<bool>,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    expires_at: DateTime<Utc>,
}

const COLUMNS: &str = "link_id, from_partner, from_account, to_partner, to_account, from_token, to_token, \
    from_pull, to_pull, state, created_at, expires_at";

impl Row {
    fn read(self) -> QueryResult<LinkRequest> {
        let unreadable = || diesel::result::Error::DeserializationError("a link request cannot be read".into());
        let state = match self.state.as_str() {
            "pending" => State::Pending,
            "accepted" => State::Accepted,
            "withdrawn" => State::Withdrawn,
            _ => return Err(unreadable()),
        };
        Ok(LinkRequest {
            link: LinkId(self.link_id),
            from_partner: self.from_partner.parse().map_err(|_| unreadable())?,
            from_account: AccountId(self.from_account),
            to_partner: self.to_partner.parse().map_err(|_| unreadable())?,
            to_account: self.to_account.map(AccountId),
            from_token: TokenId(self.from_token),
            to_token: TokenId(self.to_token),
            from_pull: self.from_pull,
            to_pull: self.to_pull,
            state,
            created_at: self.created_at,
            expires_at: self.expires_at,
        })
    }
}

/// Stores a pending request under the hash of its code; `Ok(false)` when another request has that code.
pub fn insert(conn: &mut PgConnection, request: &LinkRequest, code: Uuid) -> QueryResult<bool> {
    let rows = sql_query(
        "INSERT INTO link_requests (link_id, code_hash, from_partner, from_account, to_partner, from_token, to_token, \
             from_pull, state, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'pending', $9, $10) ON CONFLICT (code_hash) DO NOTHING",
    )
    .bind::<SqlUuid, _>(request.link.0)
    .bind::<SqlUuid, _>(code)
    .bind::<Text, _>(request.from_partner.as_str())
    .bind::<SqlUuid, _>(request.from_account.0)
    .bind::<Text, _>(request.to_partner.as_str())
    .bind::<SqlUuid, _>(request.from_token.0)
    .bind::<SqlUuid, _>(request.to_token.0)
    .bind::<Bool, _>(request.from_pull)
    .bind::<Timestamptz, _>(request.created_at)
    .bind::<Timestamptz, _>(request.expires_at)
    .execute(conn)?;
    Ok(rows == 1)
}

/// Counts one try of `code` by the brand it is for and returns the request, if it may still be tried.
///
/// One statement, so that any number of tries at once count one each. A request accepted before is returned, for the
/// caller to see whether this is the same acceptance again.
pub fn try_code(
    conn: &mut PgConnection,
    code: Uuid,
    to: &Slug,
    now: DateTime<Utc>,
) -> QueryResult<Option<LinkRequest>> {
    let statement = format!(
        "UPDATE link_requests SET attempts = attempts + 1 \
         WHERE code_hash = $1 AND to_partner = $2 AND expires_at > $3 AND attempts < $4 AND state <> 'withdrawn' \
         RETURNING {COLUMNS}"
    );
    sql_query(statement)
        .bind::<SqlUuid, _>(code)
        .bind::<Text, _>(to.as_str())
        .bind::<Timestamptz, _>(now)
        .bind::<SmallInt, _>(ATTEMPTS_MAX)
        .get_result::<Row>(conn)
        .optional()?
        .map(Row::read)
        .transpose()
}

/// Counts one code tried for the membership `who`; false once too many were wrong since `since`.
pub fn count_try(conn: &mut PgConnection, who: Uuid, now: DateTime<Utc>, since: DateTime<Utc>) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = SmallInt)]
        attempts: i16,
    }
    let count: Count = sql_query(
        "INSERT INTO link_attempts AS tried (who, since, attempts) VALUES ($1, $2, 1) \
         ON CONFLICT (who) DO UPDATE SET \
             attempts = CASE WHEN tried.since < $3 THEN 1 ELSE least(tried.attempts + 1, $4 + 1) END, \
             since = CASE WHEN tried.since < $3 THEN $2 ELSE tried.since END \
         RETURNING attempts",
    )
    .bind::<SqlUuid, _>(who)
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(since)
    .bind::<SmallInt, _>(ATTEMPTS_MAX)
    .get_result(conn)?;
    Ok(count.attempts <= ATTEMPTS_MAX)
}

/// Forgets the wrong codes tried for a membership, after a right one.
pub fn forget_tries(conn: &mut PgConnection, who: Uuid) -> QueryResult<()> {
    sql_query("DELETE FROM link_attempts WHERE who = $1").bind::<SqlUuid, _>(who).execute(conn).map(drop)
}

/// Claims a pending request for one membership of the other side; `None` when another claimed it or it was withdrawn.
pub fn accept(
    conn: &mut PgConnection,
    link: LinkId,
    to_account: AccountId,
    to_pull: bool,
    now: DateTime<Utc>,
) -> QueryResult<Option<LinkRequest>> {
    let statement = format!(
        "UPDATE link_requests SET state = 'accepted', to_account = $2, to_pull = coalesce(to_pull, $3), \
             settled_at = coalesce(settled_at, $4) \
         WHERE link_id = $1 AND (state = 'pending' OR (state = 'accepted' AND to_account = $2)) RETURNING {COLUMNS}"
    );
    sql_query(statement)
        .bind::<SqlUuid, _>(link.0)
        .bind::<SqlUuid, _>(to_account.0)
        .bind::<Bool, _>(to_pull)
        .bind::<Timestamptz, _>(now)
        .get_result::<Row>(conn)
        .optional()?
        .map(Row::read)
        .transpose()
}

/// Gives an accepted request back when the book refused the link: the code may be tried again while it lives.
pub fn reopen(conn: &mut PgConnection, link: LinkId) -> QueryResult<()> {
    sql_query(
        "UPDATE link_requests SET state = 'pending', to_account = NULL, to_pull = NULL, settled_at = NULL \
         WHERE link_id = $1 AND state = 'accepted'",
    )
    .bind::<SqlUuid, _>(link.0)
    .execute(conn)
    .map(drop)
}

/// Takes a pending request back; false when it is not pending any more.
pub fn withdraw(conn: &mut PgConnection, link: LinkId, now: DateTime<Utc>) -> QueryResult<bool> {
    let rows = sql_query(
        "UPDATE link_requests SET state = 'withdrawn', settled_at = $2 WHERE link_id = $1 AND state = 'pending'",
    )
    .bind::<SqlUuid, _>(link.0)
    .bind::<Timestamptz, _>(now)
    .execute(conn)?;
    Ok(rows == 1)
}

pub fn find(conn: &mut PgConnection, link: LinkId) -> QueryResult<Option<LinkRequest>> {
    sql_query(format!("SELECT {COLUMNS} FROM link_requests WHERE link_id = $1"))
        .bind::<SqlUuid, _>(link.0)
        .get_result::<Row>(conn)
        .optional()?
        .map(Row::read)
        .transpose()
}

/// Every request that names one of the account's sides, newest first; for an export.
pub fn of_account(conn: &mut PgConnection, account: AccountId) -> QueryResult<Vec<LinkRequest>> {
    let statement = format!(
        "SELECT {COLUMNS} FROM link_requests WHERE from_account = $1 OR to_account = $1 \
         ORDER BY created_at DESC, link_id LIMIT 1000"
    );
    let rows: Vec<Row> = sql_query(statement).bind::<SqlUuid, _>(account.0).load(conn)?;
    rows.into_iter().map(Row::read).collect()
}

/// Destroys what an erased person's requests say: pending ones are withdrawn.
pub fn erase(conn: &mut PgConnection, account: AccountId) -> QueryResult<()> {
    sql_query("DELETE FROM link_requests WHERE from_account = $1 OR to_account = $1")
        .bind::<SqlUuid, _>(account.0)
        .execute(conn)
        .map(drop)
}
