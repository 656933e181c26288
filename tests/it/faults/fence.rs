//! The fence: a posting that waited for a window to close is in the next one.

use crate::support::book::{Book, conversion, pair, request};
use crate::support::poll;
use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use hanse::book::command::Outcome;
use hanse::domain::settings::Settlement;
use hanse::domain::settlement::calendar;
use hanse::store::locks::FENCE;
use hanse::store::settlement::windows::{self, Closing};
use std::time::Duration;
use uuid::Uuid;

#[derive(QueryableByName)]
struct Window {
    #[diesel(sql_type = SqlUuid)]
    window_id: Uuid,
}

fn open_window(conn: &mut PgConnection) -> Uuid {
    sql_query("SELECT window_id FROM windows WHERE state = 'open'").get_result::<Window>(conn).expect("one").window_id
}

/// Waits until so many sessions of this database wait for an advisory lock.
fn wait_for_waiters(conn: &mut PgConnection, wanted: i64) {
    #[derive(QueryableByName)]
    struct Waiting {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let sql = "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    poll("waiting at the fence", Duration::from_secs(4), || {
        let waiting: Waiting = sql_query(sql).get_result(conn).expect("counted");
        (waiting.n == wanted).then_some(())
    });
}

#[actix_web::test]
async fn what_waited_at_the_fence_is_posted_in_the_new_window() {
    let book = Book::new("");
    let server = book.server();
    let (a, _) = pair(&server, "m", 1_000).await;
    let (mut closer, mut watcher) = (book.database.connection(), book.database.connection());
    let old = open_window(&mut watcher);
    closer.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({FENCE})")).expect("the fence");
    let posting = actix_web::rt::spawn({
        let server = server.clone();
        async move { server.submit(request("aa", "k", conversion(a, 10))).await }
    });
    // The same in one statement, which is what the fence must never become.
    let mut careless = book.database.connection();
    let one_statement = std::thread::spawn(move || {
        let sql = "SELECT pg_advisory_xact_lock_shared($1), window_id FROM windows WHERE state = 'open'";
        sql_query(sql).bind::<BigInt, _>(FENCE).get_result::<Window>(&mut careless).expect("a window").window_id
    });
    // The posting begins at its first poll: this thread must let it.
    actix_web::rt::task::yield_now().await;
    wait_for_waiters(&mut watcher, 2);
    let open = windows::open(&mut closer).expect("one");
    let (closed_at, first_day) = (open.opened_at, open.opened_at.date_naive());
    let dates = calendar::dates(&Settlement::default(), first_day, first_day);
    let closing = Closing { closed_at, first_day, dates, settings: r#"{"participants":{}}"#.to_owned() };
    windows::close(&mut closer, &open, &closing).expect("closed");
    closer.batch_execute("COMMIT").expect("committed");
    let new = open_window(&mut watcher);
    let answer = posting.await.expect("it ran").expect("decided");
    let Outcome::Conversion(row) = answer.outcome else { panic!("{answer:?}") };
    assert_eq!(row.window.0, new, "posted after the window was closed, so in the next");
    assert_eq!(one_statement.join().expect("it ran"), old, "in one statement the snapshot is older than the lock");
    assert_ne!(old, new);
    book.audit();
    server.close();
}
