//! Disputes over HTTP: opened, answered, withdrawn, decided by four eyes; and the adjustment that comes of it.

use super::settled::{Exposure, told};
use super::{Api, Caller, Expect};
use hanse::domain::ids::WindowId;
use hanse::domain::settlement::statement::State;
use serde_json::{Value, json};

/// A window with two conversions, 136 and 20 points of aa's, closed.
pub(super) fn closed(api: &Api) -> WindowId {
    api.linked();
    api.converted("order-1", 136);
    api.converted("order-2", 20);
    api.close_window().id
}

/// The caller's first line of this kind.
pub(super) fn line(api: &Api, window: WindowId, of: &str, kind: &str) -> String {
    let lines = api.lines(window, of);
    let found = lines.iter().find(|line| line["kind"] == kind).unwrap_or_else(|| panic!("no {kind}: {lines:?}"));
    found["line_id"].as_str().expect("an id").to_owned()
}

pub(super) fn place(window: WindowId) -> String {
    format!("/v1/settlements/{window}/disputes")
}

pub(super) fn amount(line: &str, claimed: &str) -> Value {
    json!({ "line_id": line, "kind": "amount", "claimed_amount": claimed, "note": "goods came back" })
}

pub(super) fn path(dispute: &Value, step: &str) -> String {
    format!("/v1/disputes/{}{step}", dispute["dispute_id"].as_str().expect("an id"))
}

pub(super) fn answer(caller: &Caller, dispute: &Value, said: &str) -> Value {
    caller.post(&path(dispute, "/answers"), "", &json!({ "answer": said, "note": "so we say" })).status(200)
}

pub(super) fn upheld(amount: &str) -> Value {
    json!({ "outcome": "upheld", "amount": amount, "reason": "the receipt shows it" })
}

#[test]
fn a_dispute_is_opened_answered_and_decided_by_two_and_adjusts_the_next_window() {
    let api = Api::new("disputes", "");
    let window = closed(&api);
    let (ada, bob) = (api.operator(), api.operator_named("bob"));
    let own = line(&api, window, "aa", "conversion");
    let before = api.statement_row(window, "aa");
    let opened = api.aa.post(&place(window), "", &amount(&own, "-3.00")).status(201);
    assert_eq!(
        (&opened["state"], &opened["opener"], &opened["counterparty"], &opened["claim"], &opened["stated"]),
        (&json!("open"), &json!("aa"), &json!("bb"), &json!("0.40"), &json!({ "points": 68, "amount": "-3.40" })),
        "{opened:#}"
    );
    assert_eq!(opened["external_reference"], "order-1");
    // Another amount changes nothing: the same line and kind is the same dispute.
    let again = api.aa.post(&place(window), "", &amount(&own, "-1.00")).status(200);
    assert_eq!(again, opened);
    let after = api.statement_row(window, "aa");
    assert_eq!(after.state, State::Disputed);
    assert_eq!((after.payload, after.closing), (before.payload, before.closing), "the statement stands");

    // Only the parties and operators see it, and the other side sees no reference of the opener's.
    let seen = api.bb.get(&path(&opened, "")).status(200);
    assert_eq!((&seen["claim"], &seen["external_reference"]), (&json!("0.40"), &Value::Null), "{seen:#}");
    api.cc.get(&path(&opened, "")).refused(404, "not_found");
    assert_eq!(ada.get("/v1/disputes?state=open").status(200)["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(api.cc.get("/v1/disputes").status(200)["items"], json!([]));

    // Nobody decides before the other side was heard, and nobody answers for it.
    ada.post(&path(&opened, "/decision"), "", &upheld("0.30")).refused(409, "stale");
    let no = json!({ "answer": "rejected", "note": "so we say" });
    api.aa.post(&path(&opened, "/answers"), "", &no).refused(403, "forbidden");
    ada.post(&path(&opened, "/answers"), "", &no).refused(403, "forbidden");
    api.cc.post(&path(&opened, "/answers"), "", &no).refused(404, "not_found");
    let answered = answer(&api.bb, &opened, "rejected");
    assert_eq!((&answered["state"], &answered["answer"]["answer"]), (&json!("answered"), &json!("rejected")));
    assert_eq!(answer(&api.bb, &opened, "rejected"), answered, "the same again");
    let other = json!({ "answer": "accepted", "note": "so we say" });
    api.bb.post(&path(&opened, "/answers"), "", &other).refused(409, "stale");

    // Four eyes.
    api.aa.post(&path(&opened, "/decision"), "", &upheld("0.30")).refused(403, "forbidden");
    let problem = ada.post(&path(&opened, "/decision"), "", &upheld("0.41")).refused(422, "invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/amount");
    let proposed = ada.post(&path(&opened, "/decision"), "", &upheld("0.30")).status(200);
    assert_eq!((&proposed["state"], &proposed["proposal"]["proposed_by"]), (&json!("answered"), &json!("ada")));
    assert_eq!(ada.post(&path(&opened, "/decision"), "", &upheld("0.30")).status(200), proposed);
    assert_eq!(api.bb.get(&path(&opened, "")).status(200).get("proposal"), None, "operators' own matter");
    bob.post(&path(&opened, "/decision"), "", &upheld("0.31")).refused(409, "stale");
    let exposures = api.exposures();
    let decided = bob.post(&path(&opened, "/decision"), "", &upheld("0.30")).status(200);
    assert_eq!((&decided["state"], &decided["decision"]["amount"]), (&json!("decided"), &json!("0.30")), "{decided:#}");
    assert_eq!(decided["decision"]["decided_by"], "bob");
    assert_eq!(bob.post(&path(&opened, "/decision"), "", &upheld("0.30")).status(200), decided, "the same again");
    assert_eq!(ada.post(&path(&opened, "/decision"), "", &upheld("0.30")).status(200), decided);
    bob.post(&path(&opened, "/decision"), "", &upheld("0.29")).refused(409, "stale");
    api.aa.post(&path(&opened, "/withdrawal"), "", &json!({})).refused(409, "stale");
    // In the direction of the line: the pair's gross falls, and with it what aa owes.
    let moves = [("pair:aa:bb", -300_000), ("partner:aa", -300_000), ("partner:bb", 300_000)];
    assert_eq!(moved(&exposures, &api.exposures()), moves);

    adjusted(&api, &decided);
}

/// The adjustment's lines are in the next window, at both sides, and all paid is nothing.
fn adjusted(api: &Api, decided: &Value) {
    for caller in [&api.aa, &api.bb] {
        let kinds: Vec<Value> = told(caller.get("/v1/events?limit=1000"), "dispute.");
        let kinds: Vec<&Value> = kinds.iter().map(|event| &event["type"]).collect();
        assert_eq!(kinds, ["dispute.opened", "dispute.answered", "dispute.decided"]);
    }
    let first = api.statement_row(api.window(1), "aa");
    assert_eq!(first.state, State::Published, "with its last dispute it is disputed no more");
    let next = api.close_window();
    for (of, gets) in [("aa", "0.30"), ("bb", "-0.30")] {
        let statement = api.statement(next.id, of);
        assert_eq!(statement["counterparties"][0]["adjustment"]["amount"], gets, "{statement:#}");
        assert_eq!(statement["net"], gets);
        let line = &api.lines(next.id, of)[0];
        assert_eq!((&line["kind"], &line["amount"]), (&json!("adjustment"), &json!(gets)), "{line:#}");
        assert_eq!(line["adjustment"]["dispute_id"], decided["dispute_id"]);
        assert_eq!(line["adjustment"]["id"], decided["decision"]["adjustment_id"]);
        assert_eq!(
            (&line["adjustment"]["asked_by"], &line["adjustment"]["approved_by"]),
            (&json!("ada"), &json!("bob"))
        );
    }
    assert_eq!(api.statement(next.id, "aa")["opening"], json!(first.closing.to_string()));
    api.pay_all();
    assert_eq!(api.exposures(), []);
}

/// How exposures have moved, those that have.
fn moved<'a>(before: &'a [Exposure], after: &'a [Exposure]) -> Vec<(&'a str, i64)> {
    let was = |key: &str| before.iter().find(|row| row.key == key).map_or(0, |row| row.value);
    let moves = after.iter().map(|row| (row.key.as_str(), row.value - was(&row.key)));
    moves.filter(|(_, by)| *by != 0).collect()
}

#[test]
fn a_dispute_that_cannot_be_is_refused_and_changes_nothing() {
    let api = Api::new("disputes-refused", "");
    let window = closed(&api);
    let (own, theirs) = (line(&api, window, "aa", "conversion"), line(&api, window, "bb", "conversion"));
    let memo = line(&api, window, "bb", "bonus");
    // Another partner's line, and one of no window, are not there; nor is a statement of whoever has none.
    api.aa.post(&place(window), "", &amount(&theirs, "0")).refused(404, "not_found");
    api.cc.post(&place(window), "", &amount(&theirs, "0")).refused(404, "not_found");
    let nobody = "lin_0198c0de0000700080000000000000ab";
    api.aa.post(&place(window), "", &amount(nobody, "0")).refused(404, "not_found");
    api.aa
        .post("/v1/settlements/win_0198c0de0000700080000000000000ab/disputes", "", &amount(&own, "0"))
        .refused(404, "not_found");
    api.operator().post(&place(window), "", &amount(&own, "0")).refused(403, "forbidden");
    invalid(&api, window, &own, &memo);
    assert_eq!(api.operator_named("bob").get("/v1/disputes").status(200)["items"], json!([]));
    assert_eq!(api.statement_row(window, "aa").state, State::Published);

    // A line of another window is not of this one.
    api.converted("order-3", 20);
    let later = api.close_window().id;
    let of_later = line(&api, later, "aa", "conversion");
    api.aa.post(&place(window), "", &amount(&of_later, "0")).refused(404, "not_found");
    // The last day counts; what was opened in time is still found afterwards.
    api.advance("8 days");
    let opened = api.aa.post(&place(window), "", &amount(&own, "-3.00")).status(201);
    api.advance("1 day");
    let of_bb = json!({ "line_id": theirs, "kind": "identity", "note": "not ours" });
    api.bb.post(&place(window), "", &of_bb).refused(409, "dispute_closed");
    assert_eq!(api.aa.post(&place(window), "", &amount(&own, "-3.00")).status(200)["dispute_id"], opened["dispute_id"]);
}

#[test]
fn an_agreement_may_give_less_time_to_dispute_than_the_calendar() {
    // As if it had been published so.
    let agreed =
        "SET session_replication_role = replica; UPDATE agreements SET dispute_days = 3 WHERE from_partner = 'aa'";
    let api = Api::new("disputes-agreed", agreed);
    let window = closed(&api);
    let own = line(&api, window, "aa", "conversion");
    api.advance("3 days");
    let opened = api.aa.post(&place(window), "", &amount(&own, "-3.00")).status(201);
    api.advance("1 day");
    let theirs = json!({ "line_id": line(&api, window, "bb", "conversion"), "kind": "identity", "note": "not ours" });
    api.bb.post(&place(window), "", &theirs).refused(409, "dispute_closed");
    // What is missing has no agreement: the window's day holds.
    let missing = json!({ "external_reference": "lost-1", "kind": "missing", "claimed_amount": "1.50", "note": "it is not there" });
    api.bb.post(&place(window), "", &missing).status(201);
    assert_eq!(opened["state"], "open");
}

/// Bodies that say what no dispute can be.
fn invalid(api: &Api, window: WindowId, own: &str, memo: &str) {
    let note = "wrong";
    for (caller, body, pointer) in [
        (&api.aa, json!({ "line_id": own, "kind": "size", "note": note }), "/kind"),
        (&api.aa, json!({ "kind": "amount", "note": note }), "/line_id"),
        (
            &api.aa,
            json!({ "line_id": own, "external_reference": "x", "kind": "amount", "note": note }),
            "/external_reference",
        ),
        (&api.aa, json!({ "line_id": own, "kind": "amount", "note": note }), "/claimed_amount"),
        (
            &api.aa,
            json!({ "line_id": own, "kind": "amount", "claimed_amount": "-3.4", "note": note }),
            "/claimed_amount",
        ),
        (
            &api.aa,
            json!({ "line_id": own, "kind": "amount", "claimed_amount": "1.0000001", "note": note }),
            "/claimed_amount",
        ),
        (&api.aa, json!({ "line_id": own, "kind": "amount", "claimed_amount": "-3", "note": " " }), "/note"),
        (
            &api.aa,
            json!({ "line_id": own, "kind": "amount", "claimed_amount": "-3", "note": note, "counterparty": "bb" }),
            "/counterparty",
        ),
        (&api.aa, json!({ "line_id": own, "kind": "missing", "claimed_amount": "-3", "note": note }), "/line_id"),
        (
            &api.aa,
            json!({ "external_reference": "lost", "kind": "missing", "claimed_amount": "-3", "counterparty": "aa", "note": note }),
            "/counterparty",
        ),
        (
            &api.aa,
            json!({ "external_reference": "lost", "kind": "missing", "claimed_amount": "-3", "counterparty": "zz", "note": note }),
            "/counterparty",
        ),
        (
            &api.aa,
            json!({ "external_reference": "lost", "kind": "missing", "counterparty": "bb", "note": note }),
            "/claimed_amount",
        ),
        (
            &api.aa,
            json!({ "external_reference": "order-1", "kind": "missing", "counterparty": "bb", "claimed_amount": "-3", "note": note }),
            "/external_reference",
        ),
        (&api.bb, json!({ "line_id": memo, "kind": "eligibility", "note": note }), "/line_id"),
        (&api.bb, json!({ "line_id": memo, "kind": "rate", "claimed_points": 9, "note": note }), "/claimed_points"),
        (
            &api.aa,
            json!({ "line_id": own, "kind": "rate", "claimed_points": 9_007_199_254_740_991_i64, "note": note }),
            "/claimed_points",
        ),
    ] {
        let problem = caller.post(&place(window), "", &body).refused(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
    }
}

#[test]
fn an_opener_withdraws_for_good_and_lists_go_by_state_and_page() {
    let api = Api::new("disputes-withdrawn", "");
    let window = closed(&api);
    let own = line(&api, window, "aa", "conversion");
    let mut opened = Vec::new();
    for kind in ["duplicate", "identity", "eligibility"] {
        let body = json!({ "external_reference": "order-1", "kind": kind, "note": "not ours" });
        let dispute = api.aa.post(&place(window), "", &body).status(201);
        assert_eq!((&dispute["line_id"], &dispute["claim"]), (&json!(own), &json!("3.40")));
        opened.push(dispute);
    }
    let nothing = json!({});
    api.bb.post(&path(&opened[0], "/withdrawal"), "", &nothing).refused(403, "forbidden");
    api.cc.post(&path(&opened[0], "/withdrawal"), "", &nothing).refused(404, "not_found");
    api.aa.post(&path(&opened[0], "/withdrawal"), "", &json!({ "note": "sorry" })).refused(422, "invalid");
    let withdrawn = api.aa.post(&path(&opened[0], "/withdrawal"), "", &nothing).status(200);
    assert_eq!(withdrawn["state"], "withdrawn");
    assert_eq!(api.aa.post(&path(&opened[0], "/withdrawal"), "", &nothing).status(200), withdrawn);
    let no = json!({ "answer": "rejected", "note": "late" });
    api.bb.post(&path(&opened[0], "/answers"), "", &no).refused(409, "stale");
    let rejected = json!({ "outcome": "rejected", "reason": "it stands" });
    api.operator().post(&path(&opened[0], "/decision"), "", &rejected).refused(409, "stale");
    let again = json!({ "line_id": own, "kind": "duplicate", "note": "not ours" });
    assert_eq!(api.aa.post(&place(window), "", &again).status(200), withdrawn, "for good");
    assert_eq!(told(api.bb.get("/v1/events?limit=1000"), "dispute.withdrawn").len(), 1);

    let ids = |page: &Value| -> Vec<Value> {
        page["items"].as_array().expect("items").iter().map(|item| item["dispute_id"].clone()).collect()
    };
    let first = api.bb.get("/v1/disputes?limit=2").status(200);
    assert_eq!(ids(&first), [opened[2]["dispute_id"].clone(), opened[1]["dispute_id"].clone()]);
    let cursor = first["next_cursor"].as_str().expect("more");
    let second = api.bb.get(&format!("/v1/disputes?limit=2&cursor={cursor}")).status(200);
    assert_eq!((ids(&second), second.get("next_cursor")), (vec![opened[0]["dispute_id"].clone()], None));
    let open = api.aa.get("/v1/disputes?state=open").status(200);
    assert_eq!(ids(&open).len(), 2);
    api.aa.get("/v1/disputes?state=lost").refused(422, "invalid");
}

#[test]
fn what_nobody_answers_is_decided_after_its_day_and_a_proposal_can_be_taken_back() {
    let api = Api::new("disputes-silent", "");
    let window = closed(&api);
    let (ada, bob) = (api.operator(), api.operator_named("bob"));
    let own = line(&api, window, "aa", "conversion");
    let body = json!({ "line_id": own, "kind": "rate", "claimed_points": 60, "note": "the old rate" });
    let opened = api.aa.post(&place(window), "", &body).status(201);
    assert_eq!(opened["claim"], "0.40");
    let rejected = json!({ "outcome": "rejected", "reason": "the rate was published" });
    ada.post(&path(&opened, "/decision"), "", &rejected).refused(409, "stale");
    api.advance("8 days");
    ada.post(&path(&opened, "/decision"), "", &rejected).refused(409, "stale");
    api.advance("1 day");
    let with_amount = json!({ "outcome": "rejected", "amount": "0.40", "reason": "the rate was published" });
    ada.post(&path(&opened, "/decision"), "", &with_amount).refused(422, "invalid");
    ada.post(&path(&opened, "/decision"), "", &upheld("0.04")).status(200);
    api.aa.send("DELETE", &path(&opened, "/decision"), "", None).refused(403, "forbidden");
    let taken = bob.send("DELETE", &path(&opened, "/decision"), "", None).status(200);
    assert_eq!(taken.get("proposal"), None);
    assert_eq!(bob.send("DELETE", &path(&opened, "/decision"), "", None).status(200), taken, "nothing left");
    bob.post(&path(&opened, "/decision"), "", &rejected).status(200);
    let exposures = api.exposures();
    let decided = ada.post(&path(&opened, "/decision"), "", &rejected).status(200);
    assert_eq!((&decided["state"], &decided["decision"]["outcome"]), (&json!("decided"), &json!("rejected")));
    assert_eq!(decided["decision"].get("adjustment_id"), None);
    assert_eq!(api.exposures(), exposures, "nothing moves");
    ada.send("DELETE", &path(&opened, "/decision"), "", None).refused(409, "stale");
    let next = api.close_window();
    assert_eq!(api.lines(next.id, "aa"), Vec::<Value>::new());
}

#[test]
fn what_is_missing_is_given_by_a_decision() {
    let api = Api::new("disputes-missing", "");
    let window = closed(&api);
    let (ada, bob) = (api.operator(), api.operator_named("bob"));
    let body = json!({
        "external_reference": "till-9", "kind": "missing", "counterparty": "aa", "claimed_points": 50, "note": "never arrived",
    });
    let opened = api.bb.post(&place(window), "", &body).status(201);
    assert_eq!((opened.get("claim"), opened.get("line_id"), opened.get("stated")), (None, None, None), "{opened:#}");
    assert_eq!(api.bb.post(&place(window), "", &body).status(200), opened);
    answer(&api.aa, &opened, "accepted");
    let all = json!({ "outcome": "upheld", "reason": "accepted" });
    let problem = ada.post(&path(&opened, "/decision"), "", &all).refused(422, "invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/amount", "no amount was claimed");
    for operator in [&ada, &bob] {
        operator.post(&path(&opened, "/decision"), "", &upheld("2.50")).status(200);
    }
    let next = api.close_window();
    assert_eq!(api.statement(next.id, "bb")["net"], "2.50");
    assert_eq!(api.statement(next.id, "aa")["net"], "-2.50");
    // Missing in the next window too, it is made good once.
    let again = api.bb.post(&place(next.id), "", &body).status(201);
    answer(&api.aa, &again, "accepted");
    ada.post(&path(&again, "/decision"), "", &upheld("2.50")).refused(409, "stale");
    api.pay_all();
    assert_eq!(api.exposures(), []);
}

#[test]
fn what_is_missing_and_nobody_knows_whose_is_decided_after_its_day_by_naming_who_gives_it() {
    let api = Api::new("disputes-nobody", "");
    let window = closed(&api);
    let (ada, bob) = (api.operator(), api.operator_named("bob"));
    let body =
        json!({ "external_reference": "till-9", "kind": "missing", "claimed_amount": "2.50", "note": "never arrived" });
    let opened = api.bb.post(&place(window), "", &body).status(201);
    assert_eq!((opened.get("counterparty"), &opened["claim"]), (None, &json!("2.50")), "{opened:#}");
    assert_eq!(api.bb.post(&place(window), "", &body).status(200), opened, "the same again");
    // It is nobody's to see or answer meanwhile but its opener's and operators'.
    let said = json!({ "answer": "accepted", "note": "yes" });
    for stranger in [&api.aa, &api.cc] {
        stranger.get(&path(&opened, "")).refused(404, "not_found");
        stranger.post(&path(&opened, "/answers"), "", &said).refused(404, "not_found");
    }
    ada.post(&path(&opened, "/answers"), "", &said).refused(403, "forbidden");
    let ageing = ada.get("/v1/reports/ageing").status(200).to_string();
    assert!(ageing.contains(opened["dispute_id"].as_str().expect("an id")), "{ageing}");

    let decide = |by: &Caller, whom: Option<&str>, outcome: &str| {
        let mut body = json!({ "outcome": outcome, "reason": "the receipt shows it" });
        if let Some(whom) = whom {
            body["counterparty"] = json!(whom);
        }
        by.post(&path(&opened, "/decision"), "", &body)
    };
    decide(&ada, Some("aa"), "upheld").refused(409, "stale");
    api.advance("9 days");
    for (whom, outcome) in [(None, "upheld"), (Some("bb"), "upheld"), (Some("zz"), "upheld"), (Some("aa"), "rejected")]
    {
        let problem = decide(&ada, whom, outcome).refused(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], "/counterparty", "{whom:?} {outcome}");
    }
    let proposed = decide(&ada, Some("aa"), "upheld").status(200);
    assert_eq!((&proposed["proposal"]["counterparty"], proposed.get("counterparty")), (&json!("aa"), None));
    assert_eq!(decide(&ada, Some("aa"), "upheld").status(200), proposed, "not by one alone");
    api.aa.get(&path(&opened, "")).refused(404, "not_found");
    decide(&bob, Some("cc"), "upheld").refused(409, "stale");
    let decided = decide(&bob, Some("aa"), "upheld").status(200);
    assert_eq!((&decided["state"], &decided["counterparty"]), (&json!("decided"), &json!("aa")), "{decided:#}");
    for same in [Some("aa"), None] {
        assert_eq!(decide(&ada, same, "upheld").status(200), decided, "the same again");
    }
    decide(&ada, Some("cc"), "upheld").refused(422, "invalid");
    // Who is to give it sees why, and the adjustment has both sides.
    assert_eq!(api.aa.get(&path(&opened, "")).status(200)["claim"], "2.50");
    assert_eq!(told(api.aa.get("/v1/events?limit=1000"), "dispute.").len(), 1);
    let next = api.close_window();
    assert_eq!(api.statement(next.id, "bb")["net"], "2.50");
    assert_eq!(api.statement(next.id, "aa")["net"], "-2.50");
    crate::support::book::audit(&api.house.database);
}

#[test]
fn the_counterparty_of_what_is_known_here_follows_from_it() {
    let api = Api::new("disputes-follows", "");
    let window = closed(&api);
    let found = api.aa.get("/v1/conversions?external_reference=order-1").status(200);
    let conversion = found["conversion_id"].as_str().or(found["items"][0]["conversion_id"].as_str()).expect("an id");
    let back = json!({ "credit_points": 34, "reason": "returned", "external_reference": "back-1" });
    let asked = api.aa.post(&format!("/v1/conversions/{conversion}/reversals"), "r1", &back).status(201);
    assert_eq!(asked["state"], "requested", "{asked:#}");
    let missing =
        |of: &str| json!({ "external_reference": of, "kind": "missing", "claimed_amount": "1.70", "note": "n" });
    let opened = api.aa.post(&place(window), "", &missing("back-1")).status(201);
    assert_eq!(opened["counterparty"], "bb", "{opened:#}");
    answer(&api.bb, &opened, "accepted");
    // By its id as well, from the other side; whoever is no side of it learns nothing.
    let id = asked["reversal_id"].as_str().expect("an id");
    assert_eq!(api.bb.post(&place(window), "", &missing(id)).status(201)["counterparty"], "aa");
    // What has a line is not missing, whoever is named.
    let problem = api.aa.post(&place(window), "", &missing("order-1")).refused(422, "invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/external_reference");
    // Two rows that name nobody are two disputes of nobody.
    assert_eq!(api.aa.post(&place(window), "", &missing("lost-1")).status(201).get("counterparty"), None);
}

#[test]
fn the_operator_answers_for_the_bonus_it_funds() {
    let funded = "ALTER TABLE campaigns DISABLE TRIGGER USER; UPDATE campaigns SET funder = 'operator'; \
         ALTER TABLE campaigns ENABLE TRIGGER USER";
    let api = Api::new("disputes-operator", funded);
    let window = closed(&api);
    let (ada, bob) = (api.operator(), api.operator_named("bob"));
    let bonus = line(&api, window, "bb", "bonus");
    let body =
        json!({ "line_id": bonus, "kind": "amount", "claimed_amount": "0.50", "note": "10 points were promised" });
    let opened = api.bb.post(&place(window), "", &body).status(201);
    assert_eq!((&opened["counterparty"], &opened["claim"]), (&json!("operator"), &json!("0.20")), "{opened:#}");
    api.aa.get(&path(&opened, "")).refused(404, "not_found");
    api.aa
        .post(&path(&opened, "/answers"), "", &json!({ "answer": "accepted", "note": "yes" }))
        .refused(404, "not_found");
    answer(&ada, &opened, "accepted");
    let all = json!({ "outcome": "upheld", "reason": "it was promised" });
    for operator in [&ada, &bob] {
        operator.post(&path(&opened, "/decision"), "", &all).status(200);
    }
    let next = api.close_window();
    assert_eq!(api.statement(next.id, "bb")["net"], "0.20");
    assert_eq!(api.statement(next.id, "operator")["net"], "-0.20");
}

#[test]
fn two_that_open_the_same_at_once_open_one() {
    let api = Api::new("disputes-at-once", "");
    let window = closed(&api);
    let own = line(&api, window, "aa", "conversion");
    let ids: Vec<Value> = std::thread::scope(|scope| {
        let open = || api.aa.post(&place(window), "", &amount(&own, "-3.00")).json()["dispute_id"].clone();
        let running: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        running.into_iter().map(|one| one.join().expect("answered")).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0] && id.is_string()), "{ids:?}");
    assert_eq!(told(api.bb.get("/v1/events?limit=1000"), "dispute.opened").len(), 1);
}

#[test]
fn what_was_said_and_decided_is_never_changed_and_the_audit_would_notice() {
    let api = Api::new("disputes-final", "");
    let window = closed(&api);
    let own = line(&api, window, "aa", "conversion");
    let opened = api.aa.post(&place(window), "", &amount(&own, "-3.00")).status(201);
    answer(&api.bb, &opened, "accepted");
    for operator in [&api.operator(), &api.operator_named("bob")] {
        operator.post(&path(&opened, "/decision"), "", &upheld("0.40")).status(200);
    }
    for change in [
        "UPDATE disputes SET claim = 1",
        "UPDATE disputes SET state = 'open'",
        "DELETE FROM disputes",
        "UPDATE dispute_answers SET note = 'no'",
        "DELETE FROM dispute_answers",
        "UPDATE dispute_decisions SET award = 1",
        "UPDATE dispute_decisions SET settled = 'taken_back'",
        "DELETE FROM dispute_decisions",
        "UPDATE adjustments SET amount = 1",
    ] {
        let refused = api.sql(change).expect_err(change).to_string();
        assert!(
            ["never changed", "only its state", "settled once"].iter().any(|why| refused.contains(why)),
            "{refused}"
        );
    }
    // Planted past the triggers, and mended again.
    let plant = |award: i64| {
        api.sql(&format!(
            "ALTER TABLE dispute_decisions DISABLE TRIGGER USER; UPDATE dispute_decisions SET award = {award}; \
             ALTER TABLE dispute_decisions ENABLE TRIGGER USER"
        ))
        .expect("planted");
    };
    plant(400_001);
    assert_eq!(api.broken_invariants(), ["disputes decided"]);
    plant(400_000);
    assert_eq!(api.broken_invariants(), Vec::<&str>::new());
}
