//! A COMMIT whose answer never came: answered from what became of it, or run again, and in no case twice.

use super::proxy::{Fault, Proxy};
use crate::support::book::{Book, code, conversion, pair, request};
use crate::support::is_long;
use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use hanse::book::store::read::{self, Fate, State};

#[derive(QueryableByName)]
struct Effects {
    #[diesel(sql_type = BigInt)]
    conversions: i64,
    #[diesel(sql_type = BigInt)]
    references: i64,
}

/// Every reference of `expected` has exactly one conversion.
fn assert_one_effect_each(conn: &mut PgConnection, expected: i64) {
    let sql = "SELECT count(*) AS conversions, count(DISTINCT reference) AS references FROM conversions";
    let found: Effects = sql_query(sql).get_result(conn).expect("counted");
    assert_eq!((found.conversions, found.references), (expected, expected));
}

#[actix_web::test]
async fn a_commit_cut_off_is_answered_from_what_became_of_it() {
    let (rounds, at_once) = (if is_long() { 600 } else { 90 }, 12);
    let book = Book::new("");
    let proxy = Proxy::before(&book.database.url);
    let server = book.server_at(&proxy.url);
    let (a, _) = pair(&server, "m", 1_000_000).await;
    let (b, _) = pair(&server, "n", 1_000_000).await;
    let faults = [Fault::CutAnswered, Fault::CutBefore, Fault::CutBehind];
    for round in 0..rounds {
        proxy.arm("COMMIT\0", faults[round % faults.len()]);
        // Two members: both lanes have something to commit, and either may lose its line.
        let requests = (0..at_once).map(|i| request("aa", &format!("{round}-{i}"), conversion([a, b][i % 2], 2)));
        for (i, answer) in server.submit_all(requests.collect()).await.iter().enumerate() {
            assert_eq!(code(answer), "done", "round {round}, {:?}, item {i}: {answer:?}", faults[round % faults.len()]);
        }
        assert_eq!(proxy.met(), round + 1, "every round cuts one line");
    }
    assert_one_effect_each(&mut book.database.connection(), i64::try_from(rounds * at_once).expect("few"));
    book.audit();
    server.close();
    println!("{rounds} commits cut, {} requests answered, each with one effect", rounds * at_once);
}

#[actix_web::test]
async fn a_line_cut_before_the_commit_is_not_even_noticed() {
    let book = Book::new("");
    let proxy = Proxy::before(&book.database.url);
    let server = book.server_at(&proxy.url);
    let (a, _) = pair(&server, "m", 1_000_000).await;
    // The beginning, the fence by its key, what is read of exposures, and what is written, by a reference.
    let statements = ["BEGIN\0", "HANSE\0\0\u{1}", "pair:aa:bb", "cut-"];
    let rounds = 24;
    for round in 0..rounds {
        let statement = statements[round % statements.len()];
        proxy.arm(statement, [Fault::CutBefore, Fault::CutBehind][round / statements.len() % 2]);
        let answer = server.submit(request("aa", &format!("cut-{round}"), conversion(a, 2))).await;
        assert_eq!(code(&answer), "done", "{statement:?}: another line carries it");
        assert_eq!(proxy.met(), round + 1, "{statement:?} was sent");
    }
    assert_one_effect_each(&mut book.database.connection(), i64::try_from(rounds).expect("few"));
    book.audit();
    server.close();
}

/// The mark of a transaction that has done what a batch does, as far as `write` goes, and then ended with `end`.
fn marked(conn: &mut PgConnection, write: bool, end: &str) -> State {
    conn.batch_execute("BEGIN").expect("begun");
    let (mark, _) = read::begin(conn, Vec::new()).expect("the state");
    if write {
        sql_query(
            "INSERT INTO batches (batch_no, window_id, business_at, partners, event_counts, sealed) \
             VALUES ($1, $2, $3, '{}', '{}', true)",
        )
        .bind::<BigInt, _>(mark.batch_no)
        .bind::<diesel::sql_types::Uuid, _>(mark.window_id)
        .bind::<diesel::sql_types::Timestamptz, _>(mark.at)
        .execute(conn)
        .expect("written");
    }
    conn.batch_execute(end).expect("ended");
    mark
}

#[test]
fn what_became_of_a_batch_is_told_by_its_number_and_its_row_together() {
    let book = Book::new("");
    let (mut conn, mut asking) = (book.database.connection(), book.database.connection());
    let committed = marked(&mut conn, true, "COMMIT");
    assert_eq!(read::fate(&mut asking, &committed).expect("told"), Fate::Committed);
    let aborted = marked(&mut conn, true, "ROLLBACK");
    assert_eq!(read::fate(&mut asking, &aborted).expect("told"), Fate::Aborted);
    // A crash forgets numbers of which nothing was written. The next to be given one may commit: it is not this batch.
    let somebody_elses = marked(&mut conn, false, "COMMIT");
    assert_eq!(read::fate(&mut asking, &somebody_elses).expect("told"), Fate::Aborted);
    let forgotten = State { xid: (1_u64 << 40).to_string(), ..aborted };
    assert_eq!(read::fate(&mut asking, &forgotten).expect("told"), Fate::Aborted);
    // Still under way, the newest of all numbers: nobody knows yet, however often it is asked.
    let open = marked(&mut conn, true, "SELECT 1");
    for _ in 0..3 {
        assert_eq!(read::fate(&mut asking, &open).expect("told"), Fate::Open);
    }
    conn.batch_execute("COMMIT").expect("committed");
    assert_eq!(read::fate(&mut asking, &open).expect("told"), Fate::Committed);
}
