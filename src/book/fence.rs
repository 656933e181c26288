//! The fence: whoever posts holds it shared, whoever changes what postings stand on holds it exclusively.
//!
//! The lock is one statement and the read of window and catalogue the next: in a single statement the snapshot would
//! be older than the lock. READ COMMITTED is assumed, for the same reason.

use super::store::statement::{Column, Statement};
use diesel::prelude::*;
use diesel::sql_query;
use std::time::Duration;

/// Between two tries to have the fence alone.
const REST: Duration = Duration::from_millis(25);

/// Advisory lock key of the fence.
pub const FENCE: i64 = 0x4841_4e53_4500_0001;

/// Keeps windows and catalogue as they are until the transaction ends.
pub fn shared(conn: &mut PgConnection) -> QueryResult<()> {
    let keys = vec![Column::BigInts(vec![FENCE])];
    Statement::new("SELECT pg_advisory_xact_lock_shared(key) FROM unnest(?) k(key)", keys).execute(conn)?;
    Ok(())
}

/// Waits for every posting under way, and keeps new ones out until the transaction ends.
///
/// Asks for a quarter of a second at a time, and rests in between, so that postings behind a waiting request are not held up
/// for long;
/// errors of the last try are returned after `rounds`.
pub fn exclusive(conn: &mut PgConnection, rounds: u32) -> QueryResult<()> {
    let mut left = rounds;
    loop {
        // A savepoint: a lock timeout must not lose the caller's transaction.
        let tried = conn.transaction(|conn| {
            sql_query("SET LOCAL lock_timeout = '250ms'").execute(conn)?;
            sql_query("SELECT pg_advisory_xact_lock($1)").bind::<diesel::sql_types::BigInt, _>(FENCE).execute(conn)
        });
        left = left.saturating_sub(1);
        match tried {
            Ok(_) => {
                sql_query("SET LOCAL lock_timeout = 0").execute(conn)?;
                return Ok(());
            }
            Err(error) if left == 0 => return Err(error),
            Err(_) => std::thread::sleep(REST),
        }
    }
}
