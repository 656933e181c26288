//! A window that is published late leaves everybody the days it would have had.

use super::disputes::{amount, line, place};
use super::settled::told;
use super::{Api, Expect};
use hanse::domain::settlement::statement::State;
use hanse::store::settlement::windows::Row;
use serde_json::{Value, json};

#[test]
fn a_window_published_late_can_be_disputed_and_is_not_overdue() {
    let api = Api::new("late", "");
    api.linked();
    api.converted("order-1", 136);
    let window = api.close_window_late("12 days");
    told_late(&api, &window);
    answered_late(&api, &window);
}

#[test]
fn nor_is_one_that_was_netted_in_time_and_signed_late() {
    // What is signed is told at once, or it is not signed.
    for (name, what) in [("late-signed", "INSERT ON statements"), ("late-told", "UPDATE OF published_at ON windows")] {
        let api = Api::new(name, "");
        api.linked();
        api.converted("order-1", 136);
        let window = api.close_window_stopped(what, "12 days");
        told_late(&api, &window);
        answered_late(&api, &window);
    }
}

#[test]
fn a_window_ends_with_its_period_though_the_one_before_cannot_be_signed() {
    let api = Api::new("late-unsigned", "");
    api.linked();
    api.converted("order-1", 136);
    api.advance("40 days");
    api.stop("INSERT ON statements");
    api.look().expect_err("no statement can be written");
    api.advance("40 days");
    api.look().expect_err("nor now");
    let states: Vec<&str> = api.windows().iter().map(|window| window.state.code()).collect();
    assert_eq!(states, ["open", "closing", "netted"]);
    api.let_go();
    assert!(api.look().expect("both are closed"));
    let states: Vec<&str> = api.windows().iter().map(|window| window.state.code()).collect();
    assert_eq!(states, ["open", "published", "published"]);
}

/// Its days follow the one it was published on, in what is signed and wherever they are told.
fn told_late(api: &Api, window: &Row) {
    let closed = window.closed().expect("it has ended");
    let published = window.published_at.expect("published").with_timezone(&chrono_tz::Asia::Shanghai).date_naive();
    assert_eq!(closed.dates.statement_by, published);
    let days = |later: chrono::NaiveDate| (later - published).num_days();
    assert_eq!((days(closed.dates.disputes_until), days(closed.dates.due_on)), (5, 7), "5 and 7 days after the third");
    let dates = |told: &Value| ["statement_by", "disputes_until", "due_on"].map(|name| told[name].clone());
    let holds = [closed.dates.statement_by, closed.dates.disputes_until, closed.dates.due_on].map(|day| json!(day));
    assert_eq!(dates(&api.statement(window.id, "aa")["window"]), holds);
    let shown = api.aa.get("/v1/settlements?limit=5").status(200);
    let found = shown["items"].as_array().and_then(|items| items.iter().find(|item| item["number"] == 1)).expect("it");
    assert_eq!(dates(found), holds, "{found:#}");
    let due = told(api.aa.get("/v1/events?limit=1000"), "obligation.due");
    assert_eq!(due[0]["data"]["due_on"], holds[2], "{due:?}");
}

/// Nothing is deemed accepted or overdue on the day it is published, and its lines can be disputed to the last day.
fn answered_late(api: &Api, window: &Row) {
    assert!(!api.answer_late());
    assert_eq!(api.statement_row(window.id, "aa").state, State::Published);
    api.advance("5 days");
    assert!(!api.answer_late());
    let own = line(api, window.id, "aa", "conversion");
    api.aa.post(&place(window.id), "", &amount(&own, "-3.00")).status(201);
    api.advance("1 day");
    assert!(api.answer_late());
    assert_eq!(api.statement_row(window.id, "bb").state, State::Deemed);
    let theirs = line(api, window.id, "bb", "conversion");
    api.bb.post(&place(window.id), "", &amount(&theirs, "3.00")).refused(409, "dispute_closed");
    assert_eq!(told(api.aa.get("/v1/events?limit=1000"), "obligation.overdue"), Vec::<Value>::new());
    api.advance("2 days");
    assert!(api.answer_late());
    assert_eq!(told(api.aa.get("/v1/events?limit=1000"), "obligation.overdue").len(), 1);
}
