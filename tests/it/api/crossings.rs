//! What is on its way between two ledgers, as operators and partners see it; and what is in doubt, resolved by four eyes.

use super::{Api, Caller, Expect};
use crate::support::book::request;
use hanse::book::command::{Advance, Answer, Command, Outcome, Parcel};
use hanse::domain::crossing::{State, Step};
use hanse::domain::expiry::Expiry;
use hanse::domain::ids::{ConversionId, ReversalId};
use hanse::domain::points::Points;
use hanse::store::crossings::{self, Kept};
use serde_json::{Value, json};
use uuid::Uuid;

/// These keep their own ledgers; nobody carries crossings on in these tests, so that each stands where it is put.
fn api(name: &str, remote: &str) -> Api {
    let sql = format!(
        "UPDATE partners SET hosted = false, endpoint = 'https://' || slug || '.example' WHERE slug IN ({remote});"
    );
    let api = Api::new(name, &sql);
    if remote.contains("aa") {
        api.aa.register("A-1");
        api.bb.register("B-1");
        api.link("A-1", "B-1", false);
    } else {
        api.linked();
    }
    api
}

/// A conversion on its way: its id as the API says it, and as the book does.
fn convert(api: &Api, key: &str, points: i64) -> (String, Uuid) {
    let body = json!({ "member_ref": "A-1", "to": "bb", "points": points, "external_reference": key });
    let made = api.aa.post("/v1/conversions", key, &body).status(202);
    let id = made["conversion_id"].as_str().expect("an id").to_owned();
    let uuid = id.parse::<ConversionId>().expect("an id").0;
    (id, uuid)
}

fn submit(api: &Api, advance: Advance) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let submitted = api.book.submit(request("aa", "news", Command::Advance(advance)));
    runtime.block_on(submitted).expect("decided")
}

/// What a ledger has answered.
fn answered(api: &Api, crossing: Uuid, of: State, step: Step, lots: Vec<Parcel>) {
    let answer = submit(api, Advance { crossing, of, step, lots, cause: None, doubt: false });
    assert!(matches!(answer.outcome, Outcome::Crossing(_)), "{answer:?}");
}

/// Patience is over.
fn doubt(api: &Api, crossing: Uuid, of: State) {
    let cause = Some("no_answer".to_owned());
    let answer = submit(api, Advance { crossing, of, step: Step::GivenUp, lots: Vec::new(), cause, doubt: true });
    assert!(matches!(&answer.outcome, Outcome::Crossing(row) if row.in_doubt && row.state == of), "{answer:?}");
}

/// A credit whose outcome nobody knows, and whose void was not answered.
fn voiding(api: &Api, key: &str) -> (String, Uuid) {
    let (id, uuid) = convert(api, key, 20);
    answered(api, uuid, State::Crediting, Step::GivenUp, Vec::new());
    doubt(api, uuid, State::Voiding);
    (id, uuid)
}

fn held(points: i64) -> Vec<Parcel> {
    vec![Parcel { points: Points::new(points).expect("in range"), expires: Expiry::Never }]
}

fn path(id: &str) -> String {
    format!("/v1/conversions/{id}/resolution")
}

fn say(caller: &Caller, id: &str, outcome: &str) -> crate::tls::Answer {
    caller.post(&path(id), "", &json!({ "outcome": outcome, "reason": format!("their list says {outcome}") }))
}

#[test]
fn what_is_in_doubt_is_resolved_by_two_and_each_may_say_so_again() {
    let api = api("resolved", "'bb'");
    let (ada, bob, eve) = (api.operator(), api.operator_named("bob"), api.operator_named("eve"));
    let (id, uuid) = convert(&api, "order-1", 20);
    let told = say(&ada, &id, "completed").refused(409, "stale");
    assert_eq!(told["detail"], "It is crediting and not in doubt.");
    answered(&api, uuid, State::Crediting, Step::GivenUp, Vec::new());
    doubt(&api, uuid, State::Voiding);

    for partner in [&api.aa, &api.bb] {
        say(partner, &id, "completed").refused(403, "forbidden");
    }
    for (body, pointer) in [
        (json!({ "outcome": "done", "reason": "x" }), "/outcome"),
        (json!({ "outcome": "released", "reason": " " }), "/reason"),
    ] {
        assert_eq!(ada.post(&path(&id), "", &body).refused(422, "invalid")["errors"][0]["pointer"], pointer);
    }
    let nobody = "cnv_0198c0de0000700080000000000000ab";
    say(&ada, nobody, "completed").refused(404, "not_found");
    say(&ada, "x", "completed").refused(404, "not_found");
    say(&ada, &id.replace("cnv", "rev"), "completed").refused(404, "not_found");

    let proposed = say(&ada, &id, "completed").status(202);
    assert_eq!((&proposed["state"], &proposed["in_doubt"]), (&json!("voiding"), &json!(true)), "{proposed:#}");
    assert_eq!(proposed["proposal"]["proposed_by"], "ada");
    assert_eq!(proposed["proposal"]["reason"], "their list says completed");
    assert_eq!(say(&ada, &id, "completed").status(202), proposed, "one person is not two");
    // Who says otherwise takes its place.
    let other = say(&bob, &id, "released").status(202);
    assert_eq!((&other["proposal"]["outcome"], &other["proposal"]["proposed_by"]), (&json!("released"), &json!("bob")));
    assert_eq!(say(&ada, &id, "completed").status(202)["proposal"]["proposed_by"], "ada");

    let done = say(&bob, &id, "completed").status(200);
    // The origin's points are kept here: with the credit posted, all is done.
    assert_eq!(
        (&done["state"], &done["in_doubt"], done.get("asked")),
        (&json!("done"), &json!(false), None),
        "{done:#}"
    );
    let words = &done["resolution"];
    assert_eq!(
        (&words["proposed_by"], &words["resolved_by"], &words["state"]),
        (&json!("ada"), &json!("bob"), &json!("voiding"))
    );
    assert_eq!((done.get("proposal"), &done["evidence"]), (None, &json!(4)), "every word is kept: {done:#}");
    assert_eq!(api.aa.get(&format!("/v1/conversions/{id}")).status(200)["state"], "completed");

    // The two may repeat what they said; nobody else, and nothing else.
    for caller in [&ada, &bob] {
        assert_eq!(say(caller, &id, "completed").status(200), done);
        say(caller, &id, "released").refused(409, "stale");
    }
    say(&eve, &id, "completed").refused(409, "stale");
}

#[test]
fn two_at_once_are_a_proposal_and_its_agreement() {
    let api = api("resolved-at-once", "'bb'");
    for round in 0..4 {
        let (id, _) = voiding(&api, &format!("order-{round}"));
        let callers = [api.operator(), api.operator_named("bob")];
        let mut statuses: Vec<u16> = std::thread::scope(|scope| {
            let sent: Vec<_> =
                callers.iter().map(|caller| scope.spawn(|| say(caller, &id, "released").status)).collect();
            sent.into_iter().map(|sent| sent.join().expect("answered")).collect()
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 202]);
        let now = api.aa.get(&format!("/v1/conversions/{id}")).status(200);
        assert_eq!((&now["state"], &now["code"]), (&json!("released"), &json!("no_answer")), "{now:#}");
    }
}

#[test]
fn from_capturing_it_only_goes_forward() {
    let api = api("resolved-capturing", "'aa'");
    let (ada, bob) = (api.operator(), api.operator_named("bob"));
    let (id, uuid) = convert(&api, "order-1", 20);
    // The target's points are kept here: once the source holds, they are credited and posted.
    answered(&api, uuid, State::Holding, Step::Held, held(20));
    doubt(&api, uuid, State::Capturing);
    let no = say(&ada, &id, "released").refused(422, "invalid");
    assert_eq!(no["errors"][0]["pointer"], "/outcome");
    assert!(
        no["errors"][0]["detail"].as_str().is_some_and(|detail| detail.starts_with("must be completed: ")),
        "{no:#}"
    );
    say(&ada, &id, "completed").status(202);
    assert_eq!(say(&bob, &id, "completed").status(200)["state"], "done");
}

#[test]
fn a_proposal_is_void_when_the_state_has_moved_on() {
    let api = api("resolved-moved", "'aa', 'bb'");
    let (ada, bob) = (api.operator(), api.operator_named("bob"));
    let (id, uuid) = convert(&api, "order-1", 20);
    answered(&api, uuid, State::Holding, Step::Held, held(20));
    answered(&api, uuid, State::Crediting, Step::GivenUp, Vec::new());
    doubt(&api, uuid, State::Voiding);
    say(&ada, &id, "completed").status(202);
    // Meanwhile its ledger does answer: what is doubtful now is another call, of another partner.
    answered(&api, uuid, State::Voiding, Step::Credited, Vec::new());
    say(&bob, &id, "completed").refused(409, "stale");
    doubt(&api, uuid, State::Capturing);
    let proposed = say(&bob, &id, "completed").status(202);
    assert_eq!(
        (&proposed["proposal"]["proposed_by"], &proposed["asked"]),
        (&json!("bob"), &json!("aa")),
        "{proposed:#}"
    );
    assert_eq!(say(&ada, &id, "completed").status(200)["state"], "done");
}

#[test]
fn an_undo_in_doubt_is_resolved_by_its_own_id() {
    let api = api("resolved-undo", "'bb'");
    let (ada, bob) = (api.operator(), api.operator_named("bob"));
    let (id, uuid) = convert(&api, "order-1", 20);
    answered(&api, uuid, State::Crediting, Step::Credited, Vec::new());
    let undo = api.aa.send("POST", &format!("/v1/conversions/{id}/undo"), "undo-1", None).status(202);
    let rev = undo["reversal_id"].as_str().expect("an id").to_owned();
    let back = rev.parse::<ReversalId>().expect("an id").0;
    // It asks where the points arrived.
    doubt(&api, back, State::Holding);
    let no = say(&ada, &rev, "completed").refused(422, "invalid");
    assert!(
        no["errors"][0]["detail"].as_str().is_some_and(|detail| detail.starts_with("must be released: ")),
        "{no:#}"
    );
    let told = say(&ada, &id, "released").refused(409, "stale");
    assert_eq!(told["detail"], "It is done and not in doubt.");
    let proposed = say(&ada, &rev, "released").status(202);
    assert_eq!((&proposed["kind"], &proposed["asked"]), (&json!("undo"), &json!("bb")));
    assert_eq!((&proposed["reversal_id"], &proposed["conversion_id"]), (&json!(rev), &json!(id)));
    let next = say(&bob, &rev, "released").status(200);
    assert_eq!((&next["state"], &next["asked"]), (&json!("releasing"), &json!("bb")), "{next:#}");
    doubt(&api, back, State::Releasing);
    say(&bob, &rev, "released").status(202);
    assert_eq!(say(&ada, &rev, "released").status(200)["state"], "released");
    assert_eq!(api.aa.get(&format!("/v1/conversions/{id}")).status(200)["state"], "completed", "nothing came back");
}

#[test]
fn what_was_agreed_and_not_carried_out_is_when_it_is_said_again() {
    let api = api("resolved-later", "'bb'");
    let (id, uuid) = voiding(&api, "order-1");
    // As a server leaves it that dies after it has kept the second word.
    let word = |by: &str, document: Value| Kept {
        crossing_id: uuid,
        call: "resolution",
        by: by.to_owned(),
        same: document.to_string(),
        document: document.to_string(),
    };
    let said = json!({ "state": "voiding", "outcome": "released", "reason": "never arrived" });
    let mut agreed = said.clone();
    agreed["agrees_with"] = json!("ada");
    let mut conn = api.house.database.connection();
    crossings::keep(&mut conn, &[word("ada", said)]).expect("kept");
    crossings::keep(&mut conn, &[word("bob", agreed)]).expect("kept");
    let done = say(&api.operator(), &id, "released").status(200);
    assert_eq!((&done["state"], &done["evidence"]), (&json!("released"), &json!(2)), "{done:#}");
}

#[test]
fn what_is_under_way_is_listed_with_whom_it_waits_for() {
    let api = api("under-way", "'bb'");
    let ada = api.operator();
    let ids: Vec<_> = (0..3).map(|nth| convert(&api, &format!("order-{nth}"), 20)).collect();
    let (doubtful, _) = voiding(&api, "order-3");
    let list = |caller: &Caller, query: &str| {
        let told = caller.get(&format!("/v1/crossings{query}")).status(200);
        told["items"].as_array().expect("items").clone()
    };
    let of = |items: &[Value]| items.iter().map(|item| item["conversion_id"].clone()).collect::<Vec<_>>();

    let all = list(&ada, "");
    assert_eq!(of(&all), [&ids[0].0, &ids[1].0, &ids[2].0, &doubtful].map(|id| json!(id)), "the oldest first");
    let first = &all[0];
    assert_eq!((&first["state"], &first["asked"], &first["from"]), (&json!("crediting"), &json!("bb"), &json!("aa")));
    assert_eq!((&first["debit_points"], &first["total_credit_points"]), (&json!(20), &json!(11)), "{first:#}");
    assert_eq!((&first["attempts"], &first["evidence"], first.get("code")), (&json!(0), &json!(0), None));
    assert_eq!(of(&list(&ada, "?in_doubt=true")), [json!(doubtful)]);
    assert_eq!(of(&list(&ada, "?in_doubt=false&partner=bb")).len(), 3);
    assert_eq!(of(&list(&ada, "?state=voiding&partner=aa")), [json!(doubtful)]);
    assert_eq!(list(&ada, "?partner=cc"), [] as [Value; 0]);
    for (query, pointer) in
        [("?state=done", "?state"), ("?partner=A", "?partner"), ("?cursor=eA", "?cursor"), ("?limit=0", "?limit")]
    {
        let no = ada.get(&format!("/v1/crossings{query}")).refused(422, "invalid");
        assert_eq!(no["errors"][0]["pointer"], pointer);
    }
    let page = ada.get("/v1/crossings?limit=3").status(200);
    let rest = list(&ada, &format!("?limit=3&cursor={}", page["next_cursor"].as_str().expect("more")));
    assert_eq!(of(&rest), [json!(doubtful)]);

    // A partner sees its own, and of the other's ledger only that it is asked.
    say(&ada, &doubtful, "completed").status(202);
    let mut conn = api.house.database.connection();
    diesel::connection::SimpleConnection::batch_execute(&mut conn, "UPDATE crossings SET note = 'answered 500'")
        .expect("noted");
    let (aa, bb) = (list(&api.aa, "?in_doubt=true"), list(&api.bb, "?in_doubt=true"));
    assert_eq!((of(&aa), of(&bb)), (vec![json!(doubtful)], vec![json!(doubtful)]));
    assert_eq!((aa[0].get("note"), &bb[0]["note"]), (None, &json!("answered 500")));
    assert!(aa[0].get("proposal").is_none() && bb[0].get("proposal").is_none(), "operators' own matter");
    assert_eq!(list(&api.cc, ""), [] as [Value; 0]);

    let backlog = |caller: &Caller| caller.get("/v1/crossings/backlog").status(200)["items"].clone();
    let told = backlog(&ada);
    let row = |at: usize| {
        (
            told[at]["partner"].clone(),
            told[at]["state"].clone(),
            told[at]["crossings"].clone(),
            told[at]["in_doubt"].clone(),
        )
    };
    assert_eq!(row(0), (json!("bb"), json!("crediting"), json!(3), json!(0)), "{told:#}");
    assert_eq!(row(1), (json!("bb"), json!("voiding"), json!(1), json!(1)));
    assert!(told[0]["oldest_seconds"].is_i64());
    assert_eq!((backlog(&api.bb).as_array().map(Vec::len), backlog(&api.aa)), (Some(2), json!([])));
}

#[test]
fn an_export_has_what_is_on_its_way_and_completes_no_conversion_that_is_not() {
    let api = api("exported", "'aa', 'bb'");
    let (id, uuid) = convert(&api, "order-1", 20);
    let members = [(&api.aa, "A-1"), (&api.bb, "B-1")];
    let exported = |on_the_way: usize, stands: Option<&str>| {
        for (caller, member) in members {
            let export = caller.get(&format!("/v1/memberships/{member}/export")).status(200);
            let ids = |list: &str| {
                export[list].as_array().expect("a list").iter().map(|one| &one["conversion_id"]).collect::<Vec<_>>()
            };
            assert_eq!(ids("pending"), vec![&json!(id); on_the_way], "{export:#}");
            assert_eq!(ids("conversions"), vec![&json!(id); usize::from(stands.is_some())], "{export:#}");
            assert_eq!(export["conversions"][0]["state"].as_str(), stands, "{export:#}");
        }
    };
    exported(1, None);
    answered(&api, uuid, State::Holding, Step::Held, held(20));
    exported(1, None);
    answered(&api, uuid, State::Crediting, Step::Credited, Vec::new());
    exported(0, Some("pending"));
    answered(&api, uuid, State::Capturing, Step::Captured, Vec::new());
    exported(0, Some("completed"));
}
