//! The pool, the migrations and the durability report, against a real server.

use crate::support;
use crate::support::book::{Book, code, conversion, credit, on, pair, registration, request};
use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Text};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use diesel_migrations::MigrationHarness;
use hanse::book::command::Command;
use hanse::store::{self, Bounds, Database, durability, memberships};
use std::sync::mpsc;
use std::time::Duration;

#[derive(QueryableByName, PartialEq, Eq, Debug)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn one(conn: &mut PgConnection) -> Result<i64, store::Error> {
    Ok(sql_query("SELECT 1::bigint AS n").get_result::<Number>(conn)?.n)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn every_migration_goes_down_and_up_again_to_the_same_schema() {
    #[derive(QueryableByName, PartialEq, Eq, Debug)]
    struct Shape {
        #[diesel(sql_type = Text)]
        line: String,
    }
    let shape = |conn: &mut PgConnection| -> Vec<Shape> {
        let columns = "SELECT format('%s.%s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), \
             a.attnotnull) AS line FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
             WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped \
             UNION ALL SELECT format('%s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint \
             WHERE connamespace = 'public'::regnamespace \
             UNION ALL SELECT format('%s', proname) FROM pg_proc WHERE pronamespace = 'public'::regnamespace \
             ORDER BY 1";
        sql_query(columns).load(conn).expect("the catalogue is read")
    };
    let database = support::database();
    let mut conn = database.connection();
    let before = shape(&mut conn);
    support::revert(&mut conn);
    let bare: Vec<Shape> = shape(&mut conn);
    let left = bare.iter().filter(|shape| !shape.line.starts_with("__diesel")).collect::<Vec<_>>();
    assert!(left.is_empty(), "left behind by down.sql: {left:?}");
    drop(conn);
    let names = store::migrate(&database.url).expect("every up.sql works again");
    assert!(!names.is_empty());
    assert_eq!(store::pending_migrations(&database.url).expect("asked"), Vec::<String>::new());
    assert_eq!(shape(&mut database.connection()), before);
}

/// What was stored before the newest migrations is read the same after them, both ways.
#[actix_web::test]
async fn the_newest_migrations_carry_what_is_stored_down_and_up_again() {
    let book = Book::new("");
    let server = book.server();
    let (a, b) = pair(&server, "m", 1_000).await;
    for nth in 0..5 {
        let answer = server.submit(request("aa", &format!("k{nth}"), conversion(a, 20))).await;
        assert_eq!(code(&answer), "done");
    }
    credit(&server, "bb", "more", b, 7, on("2098-12-31")).await;
    // Promoted to a tier whose points never end, and demoted again.
    for tier in ["top", "basic"] {
        let mut request = registration("bb", "m");
        let Command::Register(register) = &mut request.command else { unreachable!("just made") };
        register.earned_tier = Some(tier.to_owned());
        assert_eq!(code(&server.submit(request).await), "done");
    }
    server.close();
    let mut conn = book.database.connection();
    let journals = || {
        [a, b].map(|member| {
            memberships::entries(&mut book.database.connection(), member.account, None, 100).expect("read")
        })
    };
    #[derive(QueryableByName, PartialEq, Eq, Debug)]
    struct Redated {
        #[diesel(sql_type = diesel::sql_types::Array<BigInt>)]
        redatings: Vec<i64>,
    }
    let redated = |conn: &mut PgConnection| -> Vec<Redated> {
        sql_query("SELECT redatings FROM accounts ORDER BY account_id").load(conn).expect("read")
    };
    let before = journals();
    let redated_before = redated(&mut conn);
    assert!(redated_before.iter().any(|account| account.redatings.len() == 6), "two of three numbers");
    // Down to before the journal lay in its batches.
    while conn.revert_last_migration(store::MIGRATIONS).expect("down").to_string() != "0005" {}
    store::migrate(&book.database.url).expect("up");
    assert_eq!(journals(), before);
    assert_eq!(redated(&mut conn), redated_before);
    book.audit();
}

#[test]
fn servers_that_migrate_at_once_do_so_one_after_the_other() {
    let database = support::database();
    support::revert(&mut database.connection());
    let ran: Vec<Vec<String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| store::migrate(&database.url))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic").expect("migrated")).collect()
    });
    assert_eq!(ran.iter().filter(|names| !names.is_empty()).count(), 1, "{ran:?}");
}

#[test]
fn the_embedded_server_is_durable_and_one_that_is_not_is_refused() {
    let database = support::database();
    let report = durability::check(&mut database.connection()).expect("durable");
    assert!(report.fsync && report.full_page_writes && report.data_checksums, "{report:?}");
    assert!(report.max_locks_per_transaction >= durability::LOCKS_MIN);
    let careless = database.connection().batch_execute(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$",
    );
    careless.expect("set");
    let refusal = durability::check(&mut database.connection()).expect_err("refused");
    assert!(refusal.to_string().contains("synchronous_commit is off"), "{refusal}");
}

#[test]
fn a_wrong_url_is_told_at_once() {
    let refusal = store::connect("postgresql://nobody@127.0.0.1:1/none").err().expect("refused");
    assert!(matches!(refusal, store::Error::Unreachable(_)) && refusal.is_unavailable(), "{refusal}");
}

#[test]
fn a_unit_that_finds_no_turn_is_busy_and_one_whose_caller_left_keeps_its_turn() {
    let database = support::database();
    let bounds = Bounds { connections: 1, waiting: 2, patience: Duration::from_millis(200) };
    let pool = Database::open(&database.url, bounds).expect("open");
    let (release, held) = mpsc::channel::<()>();
    let (began, begun) = mpsc::channel::<()>();
    runtime().block_on(async {
        let occupied = pool.clone();
        let unit = tokio::spawn(async move {
            let wait = move |conn: &mut PgConnection| {
                began.send(()).expect("the test listens");
                held.recv().expect("the test releases");
                one(conn)
            };
            occupied.run(wait).await
        });
        while begun.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        unit.abort();
        assert!(unit.await.is_err_and(|cause| cause.is_cancelled()));
        let refusal = pool.run(one).await.expect_err("its connection is still in use");
        assert!(matches!(refusal, store::Error::Busy { .. }) && refusal.is_unavailable(), "{refusal}");
        release.send(()).expect("the unit waits");
        assert_eq!(pool.run(one).await.expect("free again"), 1);
    });
}

#[test]
fn a_unit_that_panics_harms_only_itself() {
    let database = support::database();
    let pool = Database::open(&database.url, Bounds { connections: 1, ..Bounds::default() }).expect("open");
    runtime().block_on(async {
        let broken: Result<i64, store::Error> = pool.run(|_| panic!("on purpose")).await;
        assert!(matches!(broken, Err(store::Error::Panicked(_))));
        assert_eq!(pool.run(one).await.expect("the next one runs"), 1);
    });
}

#[test]
fn a_pool_recovers_by_itself_when_its_connections_are_cut() {
    let database = support::database();
    let pool = Database::open(&database.url, Bounds { connections: 2, ..Bounds::default() }).expect("open");
    runtime().block_on(async {
        assert_eq!(pool.run(one).await.expect("before"), 1);
        let cut = "SELECT count(pg_terminate_backend(pid)) AS n FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let killed: Number = sql_query(cut).get_result(&mut database.connection()).expect("cut");
        assert!(killed.n >= 1);
        assert_eq!(pool.run(one).await.expect("after"), 1);
        let cut_itself = |conn: &mut PgConnection| {
            sql_query("SELECT pg_terminate_backend(pg_backend_pid())").execute(conn)?;
            one(conn)
        };
        let refusal = pool.run(cut_itself).await.expect_err("its connection is gone");
        assert!(refusal.is_unavailable(), "{refusal:?}");
        assert_eq!(pool.run(one).await.expect("after"), 1);
    });
}
