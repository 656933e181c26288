//! A small alliance that settles: servers, keys, and the window's way from open to paid.

use crate::support::Scratch;
use crate::support::book::{self, Book, Member};
use diesel::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use hanse::book::Handle;
use hanse::book::command::{Answer, Command, Outcome, Reverse, Undo};
use hanse::book::windows::Which;
use hanse::domain::ids::ConversionId;
use hanse::domain::settlement::window::State;
use hanse::service::keys::Keys;
use hanse::service::settlement::{close, connect, pay, recompute};
use hanse::store;
use hanse::store::settlement::{obligations, windows};

/// An alliance with a server and signing keys.
pub struct House {
    pub book: Book,
    pub server: Handle,
    pub keys: Keys,
    folder: Scratch,
}

impl House {
    pub async fn new(name: &str, change: &str) -> House {
        let book = Book::new(change);
        let server = book.server();
        let folder = Scratch::new(name);
        let database = store::connect(&book.database.url).expect("the database");
        let keys = Keys::open(database, folder.path().join("keys")).await.expect("keys");
        House { book, server, keys, folder }
    }

    /// Its data: the signing keys are in `keys`.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub fn conn(&self) -> PgConnection {
        connect(&self.book.database.url).expect("a connection")
    }

    /// Ends the open window and takes it to its end.
    pub fn close(&self) -> windows::Row {
        let closed = close::close(&self.book.database.url, &self.keys, Some(Which::Open), |_| ());
        closed.expect("it closes").expect("a window")
    }

    pub fn closed(&self) -> windows::Row {
        let window = self.close();
        assert_eq!((window.state, &window.blocked_by), (State::Published, &None));
        window
    }

    pub fn recompute(&self, window: &windows::Row) -> recompute::Outcome {
        recompute::recompute(&mut self.conn(), window, |_, _| ()).expect("it is recomputed")
    }

    /// Pays everything that is owed.
    pub fn pay_all(&self) {
        let mut conn = self.conn();
        for row in obligations::list(&mut conn, None, None).expect("obligations") {
            let paid = pay::Paid {
                obligation: row.id,
                amount: None,
                on: None,
                reference: "all of it".into(),
                entry: None,
                by: "test".into(),
            };
            pay::pay(&mut conn, &paid).expect("paid");
        }
    }

    /// Every exposure that is not nothing.
    pub fn exposures(&self) -> Vec<(String, i64)> {
        let sql = "SELECT key, value FROM exposures WHERE value <> 0 ORDER BY key";
        let rows: Vec<Exposure> = diesel::sql_query(sql).load(&mut self.conn()).expect("exposures");
        rows.into_iter().map(|row| (row.key, row.value)).collect()
    }
}

#[derive(QueryableByName)]
struct Exposure {
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = BigInt)]
    value: i64,
}

/// Converts `points` of a member of `aa` into those of `bb`.
pub async fn convert(server: &Handle, key: &str, from: Member, points: i64) -> ConversionId {
    let answer = server.submit(book::request("aa", key, book::conversion(from, points))).await.expect("decided");
    let Answer { outcome: Outcome::Conversion(row), .. } = answer else { panic!("{answer:?}") };
    row.id
}

/// Makes `count` conversions of 20 to 138 points of a member of `aa`, many in a batch.
pub async fn convert_many(server: &Handle, name: &str, from: Member, count: i64) {
    let conversion = |nth: i64| {
        let points = 20 + 2 * (nth * 7_919 % 60);
        book::request("aa", &format!("{name}-{nth}"), book::conversion(from, points))
    };
    let asked: Vec<_> = (0..count).map(conversion).collect();
    for some in asked.chunks(1_000) {
        for answer in server.submit_all(some.to_vec()).await {
            assert!(matches!(&answer, Ok(Answer { outcome: Outcome::Conversion(_), .. })), "{answer:?}");
        }
    }
}

pub async fn undo(server: &Handle, key: &str, conversion: ConversionId) {
    let command = Command::Undo(Undo { conversion });
    let answer = server.submit(book::request("aa", key, command)).await.expect("decided");
    assert!(matches!(answer.outcome, Outcome::Reversal(_)), "{answer:?}");
}

/// Asked for by `aa`, confirmed by `bb` unless the agreement waives it.
pub async fn reverse(server: &Handle, key: &str, conversion: ConversionId, credit: i64) {
    let command =
        Command::Reverse(Reverse { conversion, credit_points: book::points(credit), reason: "returned".into() });
    let answer = server.submit(book::request("aa", key, command)).await.expect("decided");
    let Outcome::Reversal(row) = answer.outcome else { panic!("{answer:?}") };
    let confirm = Command::ConfirmReversal(hanse::book::command::ConfirmReversal { reversal: row.id });
    let answer = server.submit(book::request("bb", &format!("yes-{key}"), confirm)).await.expect("decided");
    assert!(matches!(answer.outcome, Outcome::Reversal(_)), "{answer:?}");
}
