//! Outstanding points as brands report them that keep their own accounts: over HTTP, and beside what is proven here.

use super::{Api, Expect};
use diesel::RunQueryDsl;
use serde_json::{Value, json};

/// cc keeps its own accounts.
const REMOTE: &str = "UPDATE partners SET hosted = false, endpoint = 'https://cc.example/' WHERE slug = 'cc';";

fn place(window: impl std::fmt::Display) -> String {
    format!("/v1/settlements/{window}/liabilities")
}

/// The rows of the report's section of remote brands, by column.
fn remote(report: &Value) -> Vec<Value> {
    let sections = report["sections"].as_array().expect("sections");
    let section = sections.iter().find(|section| section["code"] == "remote").expect("there is a remote brand");
    let columns: Vec<&str> =
        section["columns"].as_array().expect("columns").iter().filter_map(|column| column["code"].as_str()).collect();
    let row = |row: &Value| {
        if row.is_object() {
            return row.clone();
        }
        let cells = row.as_array().expect("cells").iter().cloned();
        columns.iter().map(|code| (*code).to_owned()).zip(cells).collect::<serde_json::Map<_, _>>().into()
    };
    section["rows"].as_array().expect("rows").iter().map(row).collect()
}

#[test]
fn a_brand_that_keeps_its_own_accounts_reports_its_points_and_finance_reads_them_as_reported() {
    let api = Api::new("liabilities", REMOTE);
    api.linked();
    let first = api.close_window().id;
    let report = || api.operator().get("/v1/reports/liability").status(200);
    assert_eq!(remote(&report())[0]["reported"], "not_reported", "{:#}", report());

    let body = json!({ "points": 1_000, "never": 100, "as_of": "2026-01-01", "note": "of our ledger" });
    let stated = api.cc.post(&place(first), "", &body).status(201);
    assert_eq!(
        (&stated["partner"], &stated["window"], &stated["version"], &stated["points"], &stated["never"]),
        (&json!("cc"), &json!(1), &json!(1), &json!(1_000), &json!(100)),
        "{stated:#}"
    );
    assert_eq!(stated["certificate"].as_str().map(str::len), Some(43));
    assert_eq!(api.cc.post(&place(first), "", &body).status(200), stated, "the same again changes nothing");
    let row = remote(&report()).remove(0);
    assert_eq!(
        (&row["reported"], &row["points"], &row["never"], &row["as_of"], &row["note"], &row["window"]),
        (&json!("reported"), &json!(1_000), &json!(100), &json!("2026-01-01"), &json!("of our ledger"), &json!(1)),
        "{row:#}"
    );
    assert_eq!((&row["certificate"], &row["version"]), (&stated["certificate"], &json!(1)));
    assert_eq!(row["liability"], "50.00", "1,000 points at 0.05: {row:#}");

    // A newer statement stands; the earlier one is kept, and neither is changed.
    let more = json!({ "points": 1_200, "as_of": "2026-01-01" });
    assert_eq!(api.cc.post(&place(first), "", &more).status(201)["version"], 2);
    // The open window may be stated of, too; the newest one is shown, though it was stated first.
    let open = api.window(2);
    assert_eq!(api.cc.post(&place(open), "", &json!({ "points": 0, "as_of": "2026-01-01" })).status(201)["version"], 1);
    assert_eq!(api.cc.post(&place(first), "", &body).status(201)["version"], 3, "said anew, it stands again");
    let row = remote(&report()).remove(0);
    assert_eq!((&row["window"], &row["points"], &row["liability"]), (&json!(2), &json!(0), &json!("0.00")), "{row:#}");
    let own = api.cc.get("/v1/reports/liability").status(200);
    assert_eq!(remote(&own), [row]);
    let stays = diesel::sql_query("UPDATE reported_points SET points = 1");
    assert!(stays.execute(&mut api.house.database.connection()).is_err(), "what was stated stays");
    let csv = || api.operator().get("/v1/reports/liability?format=csv&section=remote").body;
    let once: Vec<u8> = csv();
    assert!(!once.is_empty() && once == csv(), "byte for byte");
}

#[test]
fn what_cannot_be_reported_is_refused_and_kept_nowhere() {
    let api = Api::new("liabilities-refused", REMOTE);
    let open = api.window(1);
    let good = json!({ "points": 5, "as_of": "2026-01-01" });
    let problem = api.aa.post(&place(open), "", &good).refused(403, "forbidden");
    assert!(problem["detail"].as_str().is_some_and(|why| why.contains("the journal proves")), "{problem:#}");
    api.operator().post(&place(open), "", &good).refused(403, "forbidden");
    api.cc.post(&place("win_0198c0de0000700080000000000000ab"), "", &good).refused(404, "not_found");
    api.cc.post(&place("01"), "", &good).refused(404, "not_found");
    for (body, pointer) in [
        (json!({ "points": -1, "as_of": "2026-01-01" }), "/points"),
        (json!({ "points": 9_007_199_254_740_992_i64, "as_of": "2026-01-01" }), "/points"),
        (json!({ "points": 5, "never": 6, "as_of": "2026-01-01" }), "/never"),
        (json!({ "points": 5, "never": -1, "as_of": "2026-01-01" }), "/never"),
        (json!({ "points": 5, "as_of": "2026-13-01" }), "/as_of"),
        (json!({ "points": 5, "as_of": "2999-01-01" }), "/as_of"),
        (json!({ "points": 5, "as_of": "2026-01-01", "note": " " }), "/note"),
    ] {
        let problem = api.cc.post(&place(open), "", &body).refused(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
    }
    let report = api.operator().get("/v1/reports/liability").status(200);
    assert_eq!(remote(&report)[0]["reported"], "not_reported");
}

#[test]
fn the_same_reported_many_times_at_once_is_reported_once() {
    let api = Api::new("liabilities-at-once", REMOTE);
    let open = api.window(1);
    let body = json!({ "points": 5, "as_of": "2026-01-01" });
    let mut answers: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let state = || {
            let answer = api.cc.post(&place(open), "", &body);
            (answer.status, answer.json()["version"].clone())
        };
        let running: Vec<_> = (0..4).map(|_| scope.spawn(state)).collect();
        running.into_iter().map(|one| one.join().expect("answered")).collect()
    });
    answers.sort_by_key(|answer| answer.0);
    assert_eq!(answers, [200, 200, 200, 201].map(|status| (status, json!(1))));
}
