//! Windows behind the API: closed, paid, and read as they were signed.

use super::{Api, Expect};
use crate::tls::Answer;
use arc_swap::ArcSwap;
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use hanse::book::windows::Which;
use hanse::domain::ids::WindowId;
use hanse::domain::money::Millionths;
use hanse::domain::settlement::Participant;
use hanse::domain::settlement::window::State;
use hanse::service::settlement::read::Lines;
use hanse::service::settlement::recompute::{self, Outcome};
use hanse::service::settlement::{Error, adjust, close, connect, deadlines, pay};
use hanse::store::settlement::{obligations, statements, windows};
use serde_json::{Value, json};
use std::sync::Arc;

/// An exposure that is not nothing.
#[derive(QueryableByName, Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    #[diesel(sql_type = Text)]
    pub key: String,
    #[diesel(sql_type = BigInt)]
    pub value: i64,
}

impl Api {
    fn settlement(&self) -> diesel::PgConnection {
        connect(&self.house.database.url).expect("a connection")
    }

    /// Ends the open window and takes it to its end; making it again comes to the same.
    pub fn close_window(&self) -> windows::Row {
        self.published(close::close(&self.house.database.url, &self.keys, Some(Which::Open), |_| ()))
    }

    /// Takes a window that has ended to its end, as a server does by itself.
    pub fn publish(&self) -> windows::Row {
        self.published(close::close(&self.house.database.url, &self.keys, None, |_| ()))
    }

    fn published(&self, closed: Result<Option<windows::Row>, Error>) -> windows::Row {
        let window = closed.expect("it closes").expect("a window");
        assert_eq!((window.state, &window.blocked_by), (State::Published, &None));
        let again = recompute::recompute(&mut self.settlement(), &window, |_, _| ()).expect("it is recomputed");
        assert!(matches!(again, Outcome::Same(_)), "{again:?}");
        window
    }

    /// The same, but it is netted and cannot be signed, because `what` cannot be done, until `interval` has passed.
    pub fn close_window_stopped(&self, what: &str, interval: &str) -> windows::Row {
        self.stop(what);
        let close = |which| close::close(&self.house.database.url, &self.keys, which, |_| ());
        close(Some(Which::Open)).expect_err("it cannot be signed");
        assert_eq!(self.windows()[1].state, State::Netted);
        self.let_go();
        self.advance(interval);
        self.published(close(None))
    }

    /// From now on this cannot be done: `INSERT ON statements`.
    pub fn stop(&self, what: &str) {
        let stop = format!(
            "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'stop'; END $$; \
             CREATE TRIGGER stop BEFORE {what} FOR EACH ROW EXECUTE FUNCTION stop()"
        );
        self.sql(&stop).expect("stopped");
    }

    pub fn let_go(&self) {
        self.sql("DROP FUNCTION stop CASCADE").expect("let go");
    }

    /// A look of the worker that closes what is due.
    pub fn look(&self) -> Result<bool, Error> {
        let catalogue = hanse::store::catalogue::load(&mut self.settlement()).expect("the catalogue");
        let catalogue = Arc::new(ArcSwap::from_pointee(catalogue));
        deadlines::Settler::new(&self.house.database.url, Arc::clone(&self.keys), catalogue).tick()
    }

    pub fn windows(&self) -> Vec<windows::Row> {
        windows::list(&mut self.settlement(), i64::MAX, 100).expect("read")
    }

    /// The same, but it is blocked, and mended and tried again when `interval` has passed.
    pub fn close_window_late(&self, interval: &str) -> windows::Row {
        self.sql("UPDATE exposures SET value = value + 1 WHERE key = 'pair:aa:bb'").expect("moved");
        let close = |which| close::close(&self.house.database.url, &self.keys, which, |_| ());
        let blocked = close(Some(Which::Open)).expect("it closes").expect("a window");
        assert_eq!(blocked.state, State::Blocked);
        self.sql(
            "UPDATE exposures SET value = value - 1 WHERE key = 'pair:aa:bb'; \
             UPDATE window_exposures SET value = value - 1 WHERE key = 'pair:aa:bb'",
        )
        .expect("mended");
        self.advance(interval);
        close::retry(&mut self.settlement(), &blocked).expect("tried again");
        self.published(close(None))
    }

    /// What time brings about.
    pub fn answer_late(&self) -> bool {
        let mut conn = self.settlement();
        let catalogue = hanse::store::catalogue::load(&mut conn).expect("the catalogue");
        deadlines::answer_late(&mut conn, &catalogue).expect("looked")
    }

    /// How many of the database's sessions wait for a lock.
    pub fn waiting_for_locks(&self) -> i64 {
        let sql = "SELECT count(*) AS value, '' AS key FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        sql_query(sql).get_result::<Exposure>(&mut self.settlement()).expect("counted").value
    }

    /// The id of a window by its number.
    pub fn window(&self, number: i64) -> WindowId {
        let numbers = windows::numbers(&mut self.settlement()).expect("read");
        WindowId(numbers.into_iter().find(|(_, one)| *one == number).expect("a window").0)
    }

    /// A participant's lines of a window.
    pub fn lines(&self, window: WindowId, of: &str) -> Vec<Value> {
        let mut conn = self.settlement();
        let mut lines = Lines::of(&self.statement_row(window, of));
        let mut found = Vec::new();
        while let Some(bytes) = lines.next(&mut conn).expect("read") {
            let each = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            found.extend(each.map(|line| serde_json::from_slice::<Value>(line).expect("JSON")));
        }
        found
    }

    pub fn statement_row(&self, window: WindowId, of: &str) -> statements::Row {
        let of = Participant::parse(of).expect("a participant");
        statements::find(&mut self.settlement(), window, &of).expect("read").expect("a statement")
    }

    /// A statement's payload.
    pub fn statement(&self, window: WindowId, of: &str) -> Value {
        serde_json::from_str(&self.statement_row(window, of).payload).expect("JSON")
    }

    pub fn pay_all(&self) {
        let mut conn = self.settlement();
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

    /// What two people decide: `from` owes `to`, in the window open now.
    pub fn adjusted(&self, from: &str, to: &str, amount: &str) {
        let side = |slug| Participant::parse(slug).expect("a participant");
        let asked = adjust::Asked {
            from: side(from),
            to: side(to),
            amount: Millionths::parse(amount).expect("money"),
            reason: "goodwill".into(),
            dispute: None,
            conversion: None,
            by: "ada".into(),
        };
        let mut conn = self.settlement();
        let id = adjust::ask(&mut conn, &asked).expect("asked for");
        adjust::settle(&mut conn, id, true, "bob").expect("approved");
    }

    pub fn sql(&self, sql: &str) -> diesel::QueryResult<()> {
        diesel::connection::SimpleConnection::batch_execute(&mut self.house.database.connection(), sql)
    }

    /// Names of the invariants that do not hold.
    pub fn broken_invariants(&self) -> Vec<&'static str> {
        let findings = hanse::book::audit::run(&mut self.house.database.connection(), |_| ()).expect("the audit runs");
        findings.iter().filter(|finding| finding.violations > 0).map(|finding| finding.name).collect()
    }

    pub fn exposures(&self) -> Vec<Exposure> {
        let sql = "SELECT key, value FROM exposures WHERE value <> 0 ORDER BY key";
        sql_query(sql).load(&mut self.settlement()).expect("exposures")
    }

    /// `points` of the member `A-1` become those of `B-1`, under this reference; its answer.
    pub fn converted(&self, reference: &str, points: i64) -> Value {
        let body = json!({ "member_ref": "A-1", "to": "bb", "points": points, "external_reference": reference });
        self.aa.post("/v1/conversions", reference, &body).status(201)
    }
}

/// The types of a partner's events that begin with `family`, in sequence.
pub fn told(events: Answer, family: &str) -> Vec<Value> {
    let events = events.status(200);
    let of = |event: &&Value| event["type"].as_str().is_some_and(|kind| kind.starts_with(family));
    events["items"].as_array().expect("events").iter().filter(of).cloned().collect()
}
