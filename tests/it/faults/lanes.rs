//! Lanes in trouble: panics, servers that cannot write, fences held too long, turns that came late.

use super::proxy::{Fault, Proxy};
use crate::support::book::{Book, Member, code, conversion, credit, link, member, on, pair, points, request, slug};
use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use hanse::book::Handle;
use hanse::book::command::{Ask, Command, Convert, Direction, Erase, Outcome, Reverse, Undecided, Undo, Want};
use hanse::domain::expiry::Expiry;
use hanse::domain::points::Points;
use hanse::store::locks::FENCE;

/// A third brand, with no agreement with anybody.
const THIRD: &str = "
INSERT INTO partners (slug, name_en, name_zh, trade, legal_entity, tax_code, status, hosted, programme_code, programme_name_en,
    programme_name_zh, scale, unit_cost, expiry_months, tiers)
SELECT 'cc', 'cc', 'cc', trade, 'cc Ltd', '91cc', status, hosted, 'CC', 'cc', 'cc', scale, unit_cost, expiry_months, tiers
FROM partners WHERE slug = 'aa';
";

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn count(book: &Book, sql: &str) -> i64 {
    sql_query(sql).get_result::<Count>(&mut book.database.connection()).expect("counted").n
}

/// Spends `from`'s points at `bb`'s side: the direction whose reversal nobody has to confirm.
fn back(from: Member, value: i64) -> Command {
    let ask = Ask::Now { want: Want::Points(points(value)), floor: None };
    Command::Convert(Convert { who: from.who, direction: Direction::To(slug("aa")), ask })
}

async fn converted(server: &Handle, partner: &str, key: &str, command: Command) -> hanse::domain::ids::ConversionId {
    let answer = server.submit(request(partner, key, command)).await.expect("decided");
    let Outcome::Conversion(row) = answer.outcome else { panic!("{answer:?}") };
    row.id
}

#[actix_web::test]
async fn a_command_that_makes_the_engine_panic_harms_only_itself() {
    // Points that come back after their end get days of grace: so many that no calendar has them.
    let book = Book::new(
        "SET session_replication_role = replica; UPDATE agreements SET renews_on_arrival = true; SET session_replication_role = origin",
    );
    let server = book.server();
    let (a, b) = pair(&server, "m", 1_000_000).await;
    credit(&server, "bb", "ending", b, 100, on("2026-11-30")).await;
    let poisoned = converted(&server, "bb", "poisoned", back(b, 100)).await;
    book.database
        .connection()
        .batch_execute(
            "SET session_replication_role = replica; UPDATE terms SET body = jsonb_set(body, '{grace_days}', '4000000000'); \
             UPDATE alliance SET clock_offset_us = 90 * 86400 * 1000000::bigint",
        )
        .expect("planted");
    let requests = (0..20).map(|i| {
        let command = match i {
            7 => Command::Reverse(Reverse { conversion: poisoned, credit_points: points(9), reason: "r".into() }),
            _ => conversion(a, 2),
        };
        request(if i == 7 { "bb" } else { "aa" }, &format!("k{i}"), command)
    });
    for (i, answer) in server.submit_all(requests.collect()).await.into_iter().enumerate() {
        match i {
            7 => assert_eq!(answer.expect_err("it panics"), Undecided::Failed),
            _ => assert_eq!(code(&answer), "done", "item {i}"),
        }
    }
    assert_eq!(code(&server.submit(request("aa", "after", conversion(a, 2))).await), "done", "the lanes live on");
    book.audit();
    server.close();
}

#[actix_web::test]
async fn a_server_that_may_not_write_is_unavailable_and_blames_no_command() {
    let book = Book::new("");
    let server = book.server();
    let (a, _) = pair(&server, "m", 1_000).await;
    let mut conn = book.database.connection();
    let name = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = ";
    let end = "', current_database()); END $$";
    // New sessions may not write, and the lanes' own are ended.
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hanse book' AND datname = current_database()";
    conn.batch_execute(&format!("{name}on{end}; {others}")).expect("read only");
    let same = request("aa", "k", conversion(a, 10));
    for _ in 0..3 {
        assert_eq!(server.submit(same.clone()).await.expect_err("read only"), Undecided::Unavailable);
    }
    conn.batch_execute(&format!("SET transaction_read_only = off; {name}off{end}")).expect("writable");
    assert_eq!(code(&server.submit(same).await), "done", "the lane asked for another connection by itself");
    book.audit();
    server.close();
}

#[actix_web::test]
async fn a_fence_held_too_long_is_unavailable_and_blames_no_command() {
    let book = Book::new("");
    let server = book.server();
    let (a, _) = pair(&server, "m", 1_000).await;
    let mut holder = book.database.connection();
    holder.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({FENCE})")).expect("the fence");
    let requests: Vec<_> = (0..8).map(|i| request("aa", &format!("k{i}"), conversion(a, 10))).collect();
    for answer in server.submit_all(requests.clone()).await {
        assert_eq!(answer.expect_err("nobody can post"), Undecided::Unavailable);
    }
    holder.batch_execute("COMMIT").expect("let go");
    for answer in server.submit_all(requests).await {
        assert_eq!(code(&answer), "done");
    }
    book.audit();
    server.close();
}

#[actix_web::test]
async fn a_person_found_to_be_another_meanwhile_is_not_split() {
    let book = Book::new(THIRD);
    let proxy = Proxy::before(&book.database.url);
    let (late, other) = (book.server_at(&proxy.url), book.server());
    let (a, b) = (member(&other, "aa", "m").await, member(&other, "bb", "m").await);
    let c = member(&other, "cc", "m").await;
    // The late server knows who is who, but has no turns yet, when the other one links two of them.
    proxy.arm("pg_try_advisory_xact_lock", Fault::Hold);
    let posting = actix_web::rt::spawn({
        let late = late.clone();
        async move { link(&late, b, c).await }
    });
    actix_web::rt::task::yield_now().await;
    proxy.wait_held();
    link(&other, a, b).await;
    proxy.let_go();
    posting.await.expect("linked");
    assert_eq!(count(&book, "SELECT count(DISTINCT member_id) AS n FROM memberships"), 1, "three brands, one person");
    book.audit();
    late.close();
    other.close();
}

#[actix_web::test]
async fn business_time_of_an_account_never_goes_back() {
    let book = Book::new("");
    let proxy = Proxy::before(&book.database.url);
    let (late, other) = (book.server_at(&proxy.url), book.server());
    let (a, _) = pair(&other, "m", 1_000).await;
    proxy.arm("pg_try_advisory_xact_lock", Fault::Hold);
    let posting = actix_web::rt::spawn({
        let late = late.clone();
        async move { late.submit(request("aa", "late", conversion(a, 10))).await }
    });
    actix_web::rt::task::yield_now().await;
    proxy.wait_held();
    let at = |answer: Result<hanse::book::command::Answer, Undecided>| match answer.expect("decided").outcome {
        Outcome::Conversion(row) => (row.at, row.from_entry_no),
        other => panic!("{other:?}"),
    };
    let first = at(other.submit(request("aa", "other", conversion(a, 10))).await);
    proxy.let_go();
    let second = at(posting.await.expect("it ran"));
    assert!(first.1 < second.1 && first.0 < second.0, "{first:?} {second:?}");
    book.audit();
    late.close();
    other.close();
}

#[actix_web::test]
async fn a_member_registered_and_erased_in_one_batch_leaves_no_mapping() {
    let book = Book::new("");
    let server = book.server();
    let gone = member(&server, "aa", "gone").await;
    // Both wait behind the fence, so that one batch takes both.
    let mut holder = book.database.connection();
    holder.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({FENCE})")).expect("the fence");
    let first = submitted(&server, request("aa", "c", conversion(gone, 2)));
    actix_web::rt::task::yield_now().await;
    crate::support::poll("the lane is at the fence", std::time::Duration::from_secs(4), || {
        let waiting = "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        (count(&book, waiting) == 1).then_some(())
    });
    let erase = request("aa", "e", Command::Erase(Erase { who: gone.who }));
    let again = crate::support::book::registration("aa", "gone");
    let batch = [erase.clone(), again, erase].map(|request| submitted(&server, request));
    actix_web::rt::task::yield_now().await;
    holder.batch_execute("COMMIT").expect("let go");
    assert_eq!(code(&first.await.expect("it ran")), "member_not_linked");
    let [one, two, three] = batch;
    for answer in [one, two, three] {
        assert_eq!(code(&answer.await.expect("it ran")), "done");
    }
    let left = sql_query("SELECT count(*) AS n FROM directory WHERE hash = $1").bind::<SqlUuid, _>(gone.who.0);
    let left: Count = left.get_result(&mut book.database.connection()).expect("counted");
    assert_eq!(left.n, 0, "nobody can tell whose the account was");
    assert_eq!(count(&book, "SELECT count(*) AS n FROM memberships WHERE erased_at IS NOT NULL"), 2);
    book.audit();
    server.close();
}

fn submitted(
    server: &Handle,
    request: hanse::book::command::Request,
) -> actix_web::rt::task::JoinHandle<Result<hanse::book::command::Answer, Undecided>> {
    let server = server.clone();
    actix_web::rt::spawn(async move { server.submit(request).await })
}

#[actix_web::test]
async fn an_undo_that_finds_no_room_is_refused_and_moves_nothing() {
    let book = Book::new("");
    let server = book.server();
    let (a, b) = pair(&server, "m", 1_000).await;
    let id = converted(&server, "aa", "k", conversion(a, 100)).await;
    // As full as an account can be: the hundred points have nowhere to go back to.
    credit(&server, "aa", "full", a, Points::MAX.get() - 900, Expiry::Never).await;
    let undone = server.submit(request("aa", "undo", Command::Undo(Undo { conversion: id }))).await;
    assert_eq!(code(&undone), "limit_exceeded");
    let balance = sql_query("SELECT balance AS n FROM accounts WHERE account_id = $1").bind::<SqlUuid, _>(b.account.0);
    let balance: Count = balance.get_result(&mut book.database.connection()).expect("read");
    assert_eq!(balance.n, 55, "a refusal changes nothing at the other side either");
    book.audit();
    server.close();
}
