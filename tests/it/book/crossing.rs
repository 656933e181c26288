//! Crossings through the book's own door: whatever partners answer, in whatever order and however often, what is
//! reserved, held and posted adds up, and each ends once.

use crate::support::book::{Book, Member, code, conversion, credit, link, member, on, points, request};
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, sql_query};
use hanse::book::Handle;
use hanse::book::command::{Advance, Command, CrossingRow, Outcome, Parcel, Undo};
use hanse::book::seal;
use hanse::book::store::crossings::{self, Wished};
use hanse::domain::crossing::{State, Step};
use hanse::domain::expiry::Expiry;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Which of `aa` and `bb` keep their own ledgers.
const REMOTE: [(&str, &str); 3] = [("bb", "'bb'"), ("aa", "'aa'"), ("both", "'aa', 'bb'")];

fn book(remote: &str) -> Book {
    Book::new(&format!(
        "UPDATE partners SET hosted = false, endpoint = 'https://' || slug || '.example' WHERE slug IN ({remote}); \
         UPDATE exposures SET cap = 100000000 WHERE key = 'pair:aa:bb'; \
         UPDATE partners SET limit_out_day = 5000 WHERE slug = 'aa'"
    ))
}

/// Enough chance for a test, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

async fn people(server: &Handle, remote: &str) -> (Member, Member) {
    let (a, b) = (member(server, "aa", "m").await, member(server, "bb", "m").await);
    link(server, a, b).await;
    if !remote.contains("aa") {
        credit(server, "aa", "c1", a, 600, on("2098-06-30")).await;
        credit(server, "aa", "c2", a, 100_000, Expiry::Never).await;
    }
    (a, b)
}

fn open(conn: &mut PgConnection, of: Member) -> Vec<CrossingRow> {
    crossings::find(conn, Wished { open_of: vec![of.account], ..Wished::default() }).expect("read")
}

/// What a partner may truthfully come to in this state.
fn news(row: &CrossingRow, dice: &mut Dice) -> Advance {
    let no = |code: &str| (Step::Refused, Some(code.to_owned()), false);
    let yes = |step| (step, None, false);
    let (step, cause, doubt) = match (row.state, dice.roll(20)) {
        (State::Holding, 0..=1) => no("insufficient_points"),
        (State::Holding, 2..=3) => yes(Step::GivenUp),
        (State::Holding, _) => yes(Step::Held),
        (State::Crediting, 0..=1) => no("membership_closed"),
        (State::Crediting, 2..=4) => yes(Step::GivenUp),
        (State::Crediting, _) | (State::Voiding, 0..=7) => yes(Step::Credited),
        (State::Voiding, _) => yes(Step::Voided),
        (State::Capturing | State::Releasing, 0..=4) => (Step::Refused, Some("gone".to_owned()), true),
        (State::Capturing, _) => yes(Step::Captured),
        (State::Releasing, _) => yes(Step::Released),
        (State::Done | State::Released, _) => panic!("it is over"),
    };
    let half = row.source_points().get() / 2;
    let lots = if step != Step::Held {
        Vec::new()
    } else if row.lots_wanted.is_empty() && half > 0 {
        vec![
            Parcel { points: points(half), expires: on("2098-01-31") },
            Parcel { points: points(row.source_points().get() - half), expires: Expiry::Never },
        ]
    } else {
        row.lots_wanted.clone()
    };
    Advance { crossing: row.id, of: row.state, step, lots, cause, doubt }
}

async fn report(server: &Handle, news: Advance) -> &'static str {
    code(&server.submit(request("aa", "news", Command::Advance(news))).await)
}

#[derive(QueryableByName)]
struct Event {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    subject: Uuid,
    #[diesel(sql_type = diesel::sql_types::SmallInt)]
    kind: i16,
}

#[actix_web::test]
async fn whatever_is_answered_in_whatever_order_it_adds_up_and_ends_once() {
    for (seed, (name, remote)) in (1..).zip(REMOTE) {
        let book = book(remote);
        let servers = [book.server(), book.server()];
        let (a, _) = people(&servers[0], remote).await;
        let mut conn = book.database.connection();
        let (mut dice, mut late, mut refused) = (Dice(seed), Vec::new(), BTreeMap::<&str, u32>::new());
        for round in 0..400 {
            let server = &servers[round % 2];
            if dice.roll(3) == 0 {
                let asked = conversion(a, 2 + 2 * i64::try_from(dice.roll(30)).expect("small"));
                let answer = server.submit(request("aa", &format!("{name}-{round}"), asked)).await;
                *refused.entry(code(&answer)).or_default() += 1;
            }
            let waiting = open(&mut conn, a);
            let Some(row) = waiting.get(usize::try_from(dice.roll(8)).expect("small") % waiting.len().max(1)) else {
                continue;
            };
            let told = news(row, &mut dice);
            // Said twice, at both servers; and some of it again much later.
            report(server, told.clone()).await;
            report(&servers[(round + 1) % 2], told.clone()).await;
            late.push(told);
            if dice.roll(4) == 0 {
                let old = late[usize::try_from(dice.roll(1_000)).expect("small") % late.len()].clone();
                report(server, old).await;
            }
            if dice.roll(6) == 0 {
                undo_one(server, &mut conn, &mut dice, round).await;
            }
            if round % 50 == 0 {
                seal::seal_now(&mut conn).expect("sealed");
                book.audit();
            }
        }
        for _ in 0..2_000 {
            let Some(row) = open(&mut conn, a).pop() else { break };
            report(&servers[0], news(&row, &mut dice)).await;
        }
        assert!(open(&mut conn, a).is_empty(), "{name}: all end");
        assert!(refused.get("done").is_some_and(|done| *done > 80), "{name}: {refused:?}");
        seal::seal_now(&mut conn).expect("sealed");
        book.audit();
        ends_are_told_once(&mut conn, name);
        every_way_was_gone(&mut conn, name);
        servers.iter().for_each(Handle::close);
    }
}

async fn undo_one(server: &Handle, conn: &mut PgConnection, dice: &mut Dice, round: usize) {
    #[derive(QueryableByName)]
    struct Done {
        #[diesel(sql_type = diesel::sql_types::Uuid)]
        conversion_id: Uuid,
    }
    let sql = "SELECT conversion_id FROM conversions WHERE NOT undone ORDER BY conversion_id";
    let done: Vec<Done> = sql_query(sql).load(conn).expect("read");
    if let Some(one) = done.get(usize::try_from(dice.roll(64)).expect("small")) {
        let conversion = hanse::domain::ids::ConversionId(one.conversion_id);
        let answer = server.submit(request("aa", &format!("undo-{round}"), Command::Undo(Undo { conversion }))).await;
        assert!(["done", "open_business", "points_spent"].contains(&code(&answer)), "{}", code(&answer));
    }
}

/// What came to each end, conversions and what took them back, is more than a handful.
fn every_way_was_gone(conn: &mut PgConnection, name: &str) {
    #[derive(QueryableByName, Debug)]
    struct Count {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        n: i64,
    }
    let sql = "SELECT count(*) FILTER (WHERE kind = k AND state = s) AS n FROM crossings, (VALUES (0, 3), (0, 6), (1, 3), (1, 6)) w(k, s) \
               GROUP BY k, s ORDER BY k, s";
    let counts: Vec<Count> = sql_query(sql).load(conn).expect("read");
    println!("{name}: done, released, undone, not undone {:?}", counts.iter().map(|count| count.n).collect::<Vec<_>>());
    assert!(counts.iter().all(|count| count.n >= 2), "{name}: {counts:?}");
}

/// Both sides hear of every acceptance, and of one end.
fn ends_are_told_once(conn: &mut PgConnection, name: &str) {
    let told: Vec<Event> = sql_query("SELECT subject, kind FROM events WHERE partner = 'aa'").load(conn).expect("read");
    let of = |first: i16, second: i16| {
        told.iter().filter(move |event| [first, second].contains(&event.kind)).map(|event| event.subject)
    };
    let (mut accepted, mut ended): (Vec<_>, Vec<_>) = (of(24, 24).collect(), of(3, 25).collect());
    let own: Vec<_> = accepted.clone();
    ended.retain(|subject| own.contains(subject));
    accepted.sort_unstable();
    ended.sort_unstable();
    assert_eq!(accepted, ended, "{name}");
}

#[actix_web::test]
async fn a_hosted_origins_points_are_held_until_the_other_ledger_has_spoken() {
    let book = book("'bb'");
    let server = book.server();
    let (a, _) = people(&server, "'bb'").await;
    let mut conn = PgConnection::establish(&book.database.url).expect("connected");
    let answer = server.submit(request("aa", "k1", conversion(a, 100))).await.expect("decided");
    let Outcome::Crossing(row) = answer.outcome else { panic!("{answer:?}") };
    assert_eq!((row.state, row.lots_arriving.len()), (State::Crediting, 2), "one lot of the base, one of the bonus");
    // The same key again: the first answer, whatever became of it.
    let again = server.submit(request("aa", "k1", conversion(a, 100))).await.expect("decided");
    assert!(again.replayed && matches!(&again.outcome, Outcome::Crossing(same) if same.id == row.id), "{again:?}");
    let told = |step, of| Advance { crossing: row.id, of, step, lots: Vec::new(), cause: None, doubt: false };
    assert_eq!(report(&server, told(Step::Captured, State::Crediting)).await, "stale", "nothing was credited");
    let erase = Command::Erase(hanse::book::command::Erase { who: a.who });
    assert_eq!(code(&server.submit(request("aa", "erase", erase)).await), "open_business");
    assert_eq!(report(&server, told(Step::GivenUp, State::Crediting)).await, "done");
    assert_eq!(report(&server, told(Step::Voided, State::Voiding)).await, "done");
    let ended = crossings::find(&mut conn, Wished { ids: vec![row.id], ..Wished::default() }).expect("read");
    assert_eq!((ended[0].state, ended[0].cause.as_deref()), (State::Released, Some("no_answer")));
    assert_eq!(
        report(&server, told(Step::Credited, State::Crediting)).await,
        "stale",
        "void was answered: it cannot be"
    );
    book.audit();
    server.close();
}
