//! How the batch's statements are carried out, on an empty and on a large database: by index, and in key order.
//!
//! PostgreSQL itself writes down the plan of every statement that the lanes of a real server run.

use crate::support::book::{Book, code, conversion, credit, link, member, on, pair, points, request};
use crate::support::{cluster, poll};
use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use hanse::book::Handle;
use hanse::book::command::{Command, Debit, EndLink, Erase, MovementSide, Outcome, Reverse, ReverseMovement, Undo};
use std::time::Duration;

/// Tables that grow with members and conversions: whoever reads one of them from end to end does not scale.
const LARGE: [&str; 5] = ["accounts", "directory", "conversions", "batches", "exposures"];

/// Two hundred thousand of everything, and what the planner knows of it.
const MANY: &str = "
SET session_replication_role = replica;
INSERT INTO accounts (account_id, partner, status, tier, links, redatings, balance, held, owed, version, entry_no, last_batch, lots, usage)
    SELECT gen_random_uuid(), 'aa', 0, 'basic', '[]', '{}', 10, 0, 0, 1, 0, 0, '{10,2147483647,-2147483648}', '{20000,0,0,0,0}'
    FROM generate_series(1, 200000);
INSERT INTO memberships (account_id, partner, member_ref, member_id, own_member_id, tier, tier_source, status, created_at, changed_at)
    SELECT account_id, partner, account_id::text, gen_random_uuid(), account_id, 'basic', 'earned', 'active', now(), now() FROM accounts;
INSERT INTO batches (batch_no, window_id, business_at, day, partners, event_counts, sealed)
    SELECT -i, gen_random_uuid(), now(), now()::date, '{}', '{}', true FROM generate_series(1, 200000) i;
INSERT INTO directory (hash, account_id, subject, kind) SELECT gen_random_uuid(), account_id, account_id, 1 FROM accounts;
INSERT INTO conversions (conversion_id, from_account, to_account, from_partner, to_partner, batch_no, ordinal, window_id, terms_id, debit, credit,
    bonuses, fee, lots_out, lots_in, from_entry_no, to_entry_no, from_token, to_token, pulled, at, day)
    SELECT gen_random_uuid(), account_id, account_id, 'aa', 'bb', 1, 1, account_id, account_id, 2, 1, '{0}', 0, '{2,2147483647}', '{1,2147483647}',
    1, 1, account_id, account_id, false, now(), now()::date FROM accounts;
INSERT INTO movements (movement_id, account_id, partner, side, kind, points, owed, reason, lots, entry_no, batch_no, at, day)
    SELECT gen_random_uuid(), account_id, 'aa', 0, 0, 10, 0, 'r', '{10,2147483647}', 1, 1, now(), now()::date FROM accounts;
INSERT INTO exposures (key, value) SELECT 'pair:p' || i || ':q', 0 FROM generate_series(1, 10000) i;
SET session_replication_role = origin;
ANALYZE;
";

#[test]
fn no_statement_of_a_batch_reads_a_large_table_from_end_to_end() {
    for (name, fill) in [("empty", ""), ("large", MANY)] {
        let book = Book::new(fill);
        let noted = noted(&book);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let server = book.server();
        runtime.block_on(one_of_everything(&server));
        server.close();
        let plans = noted.plans();
        for table in LARGE {
            let reads: Vec<&String> = plans.iter().filter(|plan| plan.contains(&format!(" on {table}"))).collect();
            assert!(!reads.is_empty(), "{name}: no statement touches {table}: {plans:#?}");
            let scans = reads.iter().find(|plan| plan.contains(&format!("Seq Scan on {table}")));
            assert!(scans.is_none(), "{name}: {}", scans.expect("found"));
        }
        // An index read from its first to its last entry is no better.
        let update = plans.iter().find(|plan| plan.contains("Update on exposures")).expect("exposures move");
        let order: Vec<&str> = update
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("->") || line.starts_with("Sort Key") || line.starts_with("Index Cond"))
            .collect();
        let outer = order.iter().position(|line| line.contains("CTE Scan on x")).expect("the rows to write");
        let inner = order.iter().position(|line| line.contains("Index Scan using exposures_pkey")).expect("by key");
        assert!(
            outer < inner && order.iter().any(|line| line.starts_with("Sort Key: x")),
            "{name}: in key order: {update}"
        );
        assert!(order[inner + 1].starts_with("Index Cond: (key = x"), "{name}: {update}");
        println!("{name}: {} plans read", plans.len());
    }
}

/// Every kind of command of the book, so that each of its statements runs.
async fn one_of_everything(server: &Handle) {
    let (a, b) = (member(server, "aa", "plan").await, member(server, "bb", "plan").await);
    link(server, a, b).await;
    credit(server, "aa", "credit", a, 1_000, on("2098-12-31")).await;
    credit(server, "bb", "credit", b, 1_000, on("2098-12-31")).await;
    let ask = |partner: &'static str, key: &'static str, command: Command| async move {
        let answer = server.submit(request(partner, key, command)).await;
        assert_eq!(code(&answer), "done", "{key}: {answer:?}");
        answer.expect("decided").outcome
    };
    let Outcome::Conversion(row) = ask("aa", "k1", conversion(a, 100)).await else { panic!("a conversion") };
    ask("aa", "u1", Command::Undo(Undo { conversion: row.id })).await;
    let Outcome::Conversion(row) = ask("aa", "k2", conversion(a, 100)).await else { panic!("a conversion") };
    let reverse = Reverse { conversion: row.id, credit_points: points(10), reason: "r".into() };
    ask("aa", "r1", Command::Reverse(reverse)).await;
    let debit = Command::Debit(Debit { who: a.who, points: points(7), reason: "r".into() });
    let Outcome::Movement(debited) = ask("aa", "d1", debit).await else { panic!("a debit") };
    let back = ReverseMovement { movement: debited.id, of: MovementSide::Debit, points: points(7), reason: "r".into() };
    ask("aa", "b1", Command::ReverseMovement(back)).await;
    // A second of each on the same connection: prepared statements, planned for any parameters.
    let _ = pair(server, "second", 100).await;
    let many = (0..50).map(|i| request("aa", &format!("m{i}"), conversion(a, 2)));
    for answer in server.submit_all(many.collect()).await {
        assert_eq!(code(&answer), "done");
    }
    let end = EndLink { link: hanse::domain::ids::LinkId(uuid::Uuid::now_v7()), a: a.account, b: b.account };
    ask("aa", "e1", Command::EndLink(end)).await;
    ask("bb", "x1", Command::Erase(Erase { who: b.who })).await;
}

/// The server's log, from where a test began to have plans written into it.
struct Noted {
    database: String,
    from: usize,
}

fn log() -> String {
    let path = cluster().data_folder().join("postgres.log");
    String::from_utf8_lossy(&std::fs::read(path).expect("the log")).into_owned()
}

/// From now on every new session of the book's lanes on this database has its plans written to the server's log.
fn noted(book: &Book) -> Noted {
    #[derive(QueryableByName)]
    struct Name {
        #[diesel(sql_type = Text)]
        name: String,
    }
    let mut conn = book.database.connection();
    let database =
        sql_query("SELECT current_database()::text AS name").get_result::<Name>(&mut conn).expect("a name").name;
    let from = log().len();
    conn.batch_execute(&format!(
        "ALTER DATABASE {database} SET session_preload_libraries = 'auto_explain'; \
         ALTER DATABASE {database} SET auto_explain.log_min_duration = 0; \
         ALTER DATABASE {database} SET auto_explain.log_nested_statements = on"
    ))
    .expect("plans are written down");
    Noted { database, from }
}

impl Noted {
    /// The plans written so far, each with its statement.
    fn plans(&self) -> Vec<String> {
        let log = log();
        // Every entry begins with a time; the lines that follow it begin with a tab.
        let mut entries: Vec<String> = Vec::new();
        for line in log.get(self.from..).unwrap_or(&log).lines() {
            match line.strip_prefix('\t') {
                Some(more) => entries.last_mut().into_iter().for_each(|entry| *entry += &format!("\n{more}")),
                None => entries.push(line.to_owned()),
            }
        }
        let here = format!("@{} ", self.database);
        entries.retain(|entry| entry.contains(&here) && entry.contains("  plan:\n"));
        entries
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[actix_web::test]
async fn exposures_are_locked_in_the_order_of_their_keys() {
    let book = Book::new("");
    let server = book.server();
    let (a, _) = pair(&server, "m", 1_000).await;
    let mut watcher = book.database.connection();
    // A conversion moves three rows. Whoever waits for one of them has locked those before it and none behind.
    for (nth, held) in ["pair:aa:bb", "partner:aa", "partner:bb"].into_iter().enumerate() {
        let mut holder = book.database.connection();
        holder.batch_execute(&format!("BEGIN; SELECT FROM exposures WHERE key = '{held}' FOR UPDATE")).expect("held");
        let posting = actix_web::rt::spawn({
            let (server, request) = (server.clone(), request("aa", held, conversion(a, 10)));
            async move { server.submit(request).await }
        });
        actix_web::rt::task::yield_now().await;
        let waiting = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        poll("the lane waits for a row", Duration::from_secs(4), || {
            (sql_query(waiting).get_result::<Count>(&mut watcher).expect("counted").n == 1).then_some(())
        });
        let free = "SELECT count(*) AS n FROM (SELECT FROM exposures WHERE key ~ '(aa|bb)$' AND key <> 'pair:bb:aa' FOR UPDATE SKIP LOCKED) f";
        let free = sql_query(free).get_result::<Count>(&mut watcher).expect("counted").n;
        assert_eq!(free, 2 - i64::try_from(nth).expect("few"), "{held}");
        holder.batch_execute("COMMIT").expect("let go");
        assert_eq!(code(&posting.await.expect("it ran")), "done");
    }
    book.audit();
    server.close();
}
