//! Vouchers as pages and workers look for them; the book alone writes them.

use crate::domain::ids::{AccountId, Slug, VoucherId};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bytea, Date, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

#[derive(QueryableByName)]
struct IdSql {
    #[diesel(sql_type = SqlUuid)]
    voucher_id: Uuid,
}

fn ids(found: Vec<IdSql>) -> Vec<VoucherId> {
    found.into_iter().map(|sql| VoucherId(sql.voucher_id)).collect()
}

/// An account's vouchers, newest first: their ids are made of the time.
pub fn of_account(
    conn: &mut PgConnection,
    account: AccountId,
    before: Option<Uuid>,
    limit: i64,
) -> QueryResult<Vec<VoucherId>> {
    let sql = "SELECT voucher_id FROM vouchers WHERE account_id = $1 AND ($2 IS NULL OR voucher_id < $2) \
               ORDER BY voucher_id DESC LIMIT $3";
    let query = sql_query(sql).bind::<SqlUuid, _>(account.0).bind::<Nullable<SqlUuid>, _>(before);
    Ok(ids(query.bind::<BigInt, _>(limit).load(conn)?))
}

/// Vouchers of what a partner gives, by id, after one of them.
pub fn of_giver(conn: &mut PgConnection, giver: &Slug, after: VoucherId, limit: i64) -> QueryResult<Vec<VoucherId>> {
    let sql = "SELECT voucher_id FROM vouchers WHERE giver = $1 AND voucher_id > $2 ORDER BY voucher_id LIMIT $3";
    let query = sql_query(sql).bind::<Text, _>(giver.as_str()).bind::<SqlUuid, _>(after.0);
    Ok(ids(query.bind::<BigInt, _>(limit).load(conn)?))
}

/// An account's vouchers as its member looks for them: those that can be used, those reserved, the rest, newest first.
pub fn usable_first(conn: &mut PgConnection, account: AccountId, limit: i64) -> QueryResult<Vec<VoucherId>> {
    let sql = "SELECT voucher_id FROM vouchers WHERE account_id = $1 \
               ORDER BY CASE WHEN state IN (1, 2) THEN 0 WHEN state = 0 THEN 1 ELSE 2 END, voucher_id DESC LIMIT $2";
    Ok(ids(sql_query(sql).bind::<SqlUuid, _>(account.0).bind::<BigInt, _>(limit).load(conn)?))
}

/// Vouchers whose time is over at this moment and day of business time, the oldest first.
pub fn over(conn: &mut PgConnection, at: DateTime<Utc>, today: NaiveDate, limit: i64) -> QueryResult<Vec<VoucherId>> {
    let sql = "(SELECT voucher_id FROM vouchers WHERE state = 0 AND reserved_until <= $1 ORDER BY reserved_until LIMIT $3) \
               UNION (SELECT voucher_id FROM vouchers WHERE state IN (1, 2) AND use_by < $2 ORDER BY use_by LIMIT $3)";
    let query = sql_query(sql).bind::<Timestamptz, _>(at).bind::<Date, _>(today);
    Ok(ids(query.bind::<BigInt, _>(limit).load(conn)?))
}

/// The code of a pool that a voucher was given, sealed.
#[derive(Clone, Debug, QueryableByName)]
pub struct GivenCode {
    #[diesel(sql_type = SqlUuid)]
    pub hash: Uuid,
    #[diesel(sql_type = Bytea)]
    pub sealed: Vec<u8>,
}

pub fn given_code(conn: &mut PgConnection, id: VoucherId) -> QueryResult<Option<GivenCode>> {
    let sql = "SELECT hash, sealed FROM benefit_codes WHERE voucher_id = $1";
    sql_query(sql).bind::<SqlUuid, _>(id.0).get_result(conn).optional()
}
