//! Months of the alliance: worked out while members go on, whoever counts, until what comes late is in them.

use super::{Api, Expect};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use chrono_tz::Asia::Shanghai;
use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Bool, Date};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use hanse::book::figures::{Counted, count};
use hanse::book::seal;
use hanse::domain::kpi::{Bounds, Kpi, LATE_DAYS};
use hanse::domain::plan::day_start;
use hanse::service::figures::{self, Counting};
use hanse::store::catalogue::business_now;
use hanse::store::locks::COUNTING;
use hanse::worker::figures::{Gauges, tick};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A month of `aa`'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
struct Month {
    #[diesel(sql_type = Date)]
    month: NaiveDate,
    #[diesel(sql_type = BigInt)]
    converted: i64,
    #[diesel(sql_type = BigInt)]
    bought: i64,
    #[diesel(sql_type = Bool)]
    is_final: bool,
}

impl Api {
    fn months(&self) -> Vec<Month> {
        let sql = "SELECT month, converted, bought, is_final FROM figure_months WHERE partner = 'aa' ORDER BY month";
        sql_query(sql).load(&mut self.connection()).expect("months")
    }

    /// Who converted and who bought in a month, and whether that is final.
    fn month(&self, month: NaiveDate) -> (i64, i64, bool) {
        let found = self.months().into_iter().find(|row| row.month == month).expect("worked out");
        (found.converted, found.bought, found.is_final)
    }

    fn business(&self) -> DateTime<Utc> {
        business_now(&mut self.connection()).expect("a time")
    }

    fn this_month(&self) -> NaiveDate {
        self.business().with_timezone(&Shanghai).date_naive().with_day(1).expect("a first")
    }

    /// So long after the beginning of a day.
    fn go_to(&self, day: NaiveDate, after: chrono::TimeDelta) {
        let by = day_start(Shanghai, day) + after - self.business();
        assert!(by > chrono::TimeDelta::zero(), "time goes forward");
        self.advance(&format!("{} milliseconds", by.num_milliseconds()));
    }

    fn turned(&self, key: &str) -> Value {
        let body = json!({ "member_ref": "A-1", "to": "bb", "points": 2, "external_reference": key });
        self.aa.post("/v1/conversions", key, &body).status(201)
    }

    fn bought(&self, member: &str, at: DateTime<Utc>, reference: &str) {
        let body = json!({ "type": "purchase", "occurred_at": at, "amount": "10.00", "currency": "CNY", "external_reference": reference });
        self.aa.post(&format!("/v1/memberships/{member}/activities"), "", &body).status(201);
    }
}

fn following(month: NaiveDate) -> NaiveDate {
    month + Months::new(1)
}

#[test]
fn a_month_is_not_final_while_another_server_still_counts_it() {
    let api = Api::new("months-busy", "");
    api.linked();
    let month = api.this_month();
    api.turned("k1");
    seal::seal_now(&mut api.connection()).expect("sealed");
    api.go_to(following(month) + Days::new(LATE_DAYS), chrono::TimeDelta::hours(1));
    let mut counting = Counting::new(&api.url());
    let mut other = api.connection();
    other.batch_execute(&format!("SELECT pg_advisory_lock({COUNTING})")).expect("its turn");
    assert_eq!(counting.count().expect("a look"), Counted::Busy);
    counting.crossed().expect("judged");
    assert_eq!(api.month(month), (0, 0, false), "what is left is not known");
    other.batch_execute(&format!("SELECT pg_advisory_unlock({COUNTING})")).expect("done");
    while counting.count().expect("counted") != Counted::Nothing {}
    counting.crossed().expect("judged");
    assert_eq!(api.month(month), (1, 0, true));
}

#[test]
fn what_comes_late_is_in_its_month_until_that_is_final() {
    let api = Api::new("months-late", "");
    api.linked();
    api.aa.register("A-2");
    api.aa.register("A-3");
    let month = following(api.this_month());
    let next = following(month);
    let minutes = chrono::TimeDelta::minutes;
    api.go_to(next - Days::new(1), minutes(24 * 60 - 2));
    let (late, conversion) = (api.business(), api.turned("k1"));
    api.go_to(next, minutes(5));
    api.count();
    assert_eq!(api.month(month), (1, 0, false));
    // On the first, what was on the last: a purchase, and an undo.
    api.bought("A-1", late, "b1");
    let undo = format!("/v1/conversions/{}/undo", conversion["conversion_id"].as_str().expect("an id"));
    api.aa.post(&undo, "u1", &json!({})).status(200);
    api.count();
    assert_eq!(api.month(month), (0, 1, false));
    api.go_to(next + Days::new(LATE_DAYS - 1), minutes(24 * 60 - 5));
    api.bought("A-2", late, "b2");
    api.count();
    assert_eq!(api.month(month), (0, 2, false));
    // A batch of before that nobody has counted: not yet.
    api.turned("k2");
    seal::seal_now(&mut api.connection()).expect("sealed");
    api.go_to(next + Days::new(LATE_DAYS), minutes(5));
    figures::work_out(&mut api.connection()).expect("worked out");
    assert_eq!(api.month(month), (0, 2, false));
    api.count();
    assert_eq!(api.month(month), (0, 2, true));
    api.bought("A-3", late, "b3");
    api.count();
    assert_eq!(api.month(month), (0, 2, true), "too late");
}

#[test]
fn a_clock_that_jumps_leaves_no_month_out() {
    let api = Api::new("months-jump", "");
    api.linked();
    let month = api.this_month();
    api.turned("k1");
    let last = (0..5).fold(month, |month, _| following(month));
    api.go_to(last + Days::new(LATE_DAYS), chrono::TimeDelta::hours(1));
    api.count();
    // A few at a time.
    api.count();
    let all: Vec<NaiveDate> = month.iter_days().filter(|day| day.day() == 1).take_while(|day| *day <= last).collect();
    let found = api.months();
    assert_eq!(found.iter().map(|row| row.month).collect::<Vec<_>>(), all);
    assert_eq!(found.iter().map(|row| row.converted).collect::<Vec<_>>(), [1, 0, 0, 0, 0, 0]);
    assert!(found.iter().all(|row| row.is_final == (row.month != last)), "{found:?}");
}

#[test]
fn figures_are_judged_while_members_go_on() {
    let api = Api::new("months-traffic", "");
    api.linked();
    let mut conn = api.connection();
    let least = Bounds { at_least: Some(1), at_most: None };
    figures::set_bound(&mut conn, Kpi::BenefitUses, None, least, "ada").expect("set");
    let recorder = PrometheusBuilder::new().build_recorder();
    let shown = recorder.handle();
    let (mut counting, mut gauges, mut nth) = (Counting::new(&api.url()), Gauges::default(), 0);
    // Each finds something to count.
    let mut tick_amid_traffic = || {
        nth += 1;
        api.turned(&format!("k{nth}"));
        seal::seal_now(&mut api.connection()).expect("sealed");
        metrics::with_local_recorder(&recorder, || tick(&mut counting, &mut gauges)).expect("ticked");
    };
    let gauge = |value: u8| {
        let line = format!("hanse_kpi_out_of_bounds{{partner=\"aa\",kpi=\"benefit_uses\"}} {value}\n");
        shown.render().contains(&line)
    };
    tick_amid_traffic();
    assert!(gauge(1), "{}", shown.render());
    assert_eq!(api.month(api.this_month()), (1, 0, false));
    figures::clear_bound(&mut conn, Kpi::BenefitUses, None).expect("cleared");
    let begun = Instant::now();
    while !gauge(0) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", shown.render());
        std::thread::sleep(Duration::from_millis(500));
        tick_amid_traffic();
    }
    assert_eq!(count(&mut conn).expect("counted"), Counted::Nothing, "and all of it was counted");
}
