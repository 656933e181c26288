//! The fence: whoever posts holds it shared, whoever changes what postings stand on holds it exclusively.
//!
//! The lock is one statement and the read of window and catalogue the next: in a single statement the snapshot would
//! be older than the lock. READ COMMITTED is assumed, for the same reason.

use super::store::statement::{Column, Statement};
use crate::store::{self, locks::FENCE};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind as Kind, Error as Sql};
use diesel::sql_query;
use std::time::Duration;

/// Between two tries to have the fence alone.
const REST: Duration = Duration::from_millis(25);

/// Keeps windows and catalogue as they are until the transaction ends.
pub fn shared(conn: &mut PgConnection) -> QueryResult<()> {
    let keys = vec![Column::BigInts(vec![FENCE])];
    Statement::new("SELECT pg_advisory_xact_lock_shared(key) FROM unnest(?) k(key)", keys).execute(conn)?;
    Ok(())
}

/// Waits for every posting under way, and keeps new ones out until the transaction ends.
///
/// Asks for a quarter of a second at a time, and rests in between, so that postings behind a waiting request are not held
/// up for long; who did not get it in `rounds` tries is told of the last one. Any other error ends it at once.
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
            Err(error) if left == 0 || !is_taken(&error) => return Err(error),
            Err(_) => std::thread::sleep(REST),
        }
    }
}

/// Whether it may be that others hold it: diesel has no kind for a lock timeout, and the server says it in its own language.
fn is_taken(error: &Sql) -> bool {
    matches!(error, Sql::DatabaseError(Kind::Unknown, _)) && !store::is_lost(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fence_that_others_hold_is_tried_again() {
        let error = |kind, message: &str| Sql::DatabaseError(kind, Box::new(message.to_owned()));
        for taken in
            ["canceling statement due to lock timeout", "storniere Anfrage wegen Zeitüberschreitung einer Sperre"]
        {
            assert!(is_taken(&error(Kind::Unknown, taken)), "{taken}");
        }
        assert!(!is_taken(&error(Kind::Unknown, "terminating connection due to administrator command")));
        assert!(!is_taken(&error(Kind::ClosedConnection, "")));
        assert!(!is_taken(&error(Kind::ReadOnlyTransaction, "")));
        assert!(!is_taken(&Sql::BrokenTransactionManager));
    }
}
