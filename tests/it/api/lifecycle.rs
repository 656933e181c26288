//! A partner suspended, resumed and gone, as the others and it itself meet that over the API.

use super::{Api, Expect, disputes};
use crate::support::poll;
use hanse::book::Bounds;
use hanse::domain::ids::{Slug, WebhookId};
use hanse::service::delivery::endpoints::Ask;
use hanse::service::lifecycle::{self, Departures};
use hanse::signing::general::Document;
use hanse::signing::pki::List;
use hanse::store::webhooks;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

fn slug(text: &str) -> Slug {
    text.parse().expect("a slug")
}

fn wish(points: i64) -> Value {
    json!({ "member_ref": "A-1", "to": "bb", "points": points })
}

fn back(points: i64) -> Value {
    json!({ "member_ref": "B-1", "to": "aa", "points": points })
}

/// Everything kept of bb, statements and all, in a folder.
pub(super) fn exported(api: &Api, name: &str, partner: &str) -> (crate::support::Scratch, Value) {
    let to = crate::support::Scratch::new(&format!("{name}-{partner}-export"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_hanse"));
    command.args(["partners", "export", partner, "--json", "--to"]).arg(to.path());
    command.arg("--keys-dir").arg(crate::support::scratch(&format!("{name}-keys-{}", std::process::id())));
    let output = command.env("DATABASE_URL", &api.house.database.url).env_remove("RUST_LOG").output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (to, serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn verifies(folder: &std::path::Path) {
    let mut verify = Command::new(env!("CARGO_BIN_EXE_hanse"));
    let verified = verify.arg("verify").arg(folder).env_remove("RUST_LOG").output().expect("it runs");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

impl Api {
    /// Until there is nothing to do now.
    fn departures(&self) {
        let (url, pki) = (&self.house.database.url, self.house.folder.path().to_path_buf());
        let mut departures = Departures::new(url, pki, self.book.clone()).expect("a runtime");
        poll("the departures", Duration::from_secs(20), || (!departures.tick().expect("a look")).then_some(()));
    }

    fn closed_at(&self, partner: &str) -> Option<chrono::DateTime<chrono::Utc>> {
        lifecycle::standing(&mut self.house.database.connection(), &slug(partner)).expect("there").closed_at
    }

    /// All that was closed is answered for, by silence, and paid.
    fn settle(&self) {
        self.pay_all();
        self.advance("60 days");
        self.answer_late();
    }

    /// What a brand was told of partners' lives.
    fn told(&self, caller: &super::Caller) -> Vec<Value> {
        let all = caller.get("/v1/events?limit=200").status(200);
        let of = |event: &&Value| event["type"].as_str().is_some_and(|kind| kind.starts_with("partner."));
        all["items"].as_array().expect("events").iter().filter(of).cloned().collect()
    }
}

#[test]
fn a_suspension_stops_new_business_on_every_server_and_lets_the_old_be_settled() {
    let api = Api::new("suspended", "");
    api.linked();
    let quote = api.aa.post("/v1/quotes", "", &wish(20)).status(201);
    let done = api.aa.post("/v1/conversions", "before", &wish(40)).status(201);
    let id = done["conversion_id"].as_str().expect("an id").to_owned();
    let mut conn = api.house.database.connection();
    let standing = lifecycle::suspend(&mut conn, &slug("bb"), "an audit").expect("suspended");
    assert_eq!(standing.leaves_at, None);
    lifecycle::suspend(&mut conn, &slug("bb"), "again").expect("no second time");

    // This server has decided nothing since: it must not go on quoting by what it knew.
    api.aa.post("/v1/quotes", "", &wish(20)).refused(422, "partner_suspended");
    let issued = json!({ "quote": quote["token"] });
    api.aa.post("/v1/conversions", "issued", &issued).refused(422, "partner_suspended");
    api.bb.post("/v1/quotes", "", &back(10)).refused(422, "partner_suspended");
    // Another server's lanes have their own copy of the catalogue.
    assert!(api.aa.get("/v1/partners").status(200)["items"].to_string().contains("suspended"));
    // What was done can be undone, and settlement goes on.
    api.aa.post(&format!("/v1/conversions/{id}/undo"), "undo", &json!({})).status(200);
    api.bb.get("/v1/memberships/B-1").status(200);
    let window = api.close_window();
    api.bb.get(&format!("/v1/settlements/{}/statement", window.id)).status(200);

    lifecycle::resume(&mut conn, &slug("bb"), "it is over").expect("resumed");
    api.aa.post("/v1/quotes", "", &wish(20)).status(201);
    api.aa.post("/v1/conversions", "issued", &issued).refused(422, "partner_suspended");
    api.aa.post("/v1/conversions", "anew", &issued).status(201);

    let kinds = |events: &[Value]| events.iter().map(|event| event["type"].clone()).collect::<Vec<_>>();
    let (aa, bb) = (api.told(&api.aa), api.told(&api.bb));
    assert_eq!(kinds(&aa), ["partner.suspended", "partner.resumed"]);
    assert_eq!(kinds(&bb), kinds(&aa));
    assert_eq!((&aa[0]["data"]["partner"], &aa[0]["data"]["reason"]), (&json!("bb"), &Value::Null));
    assert_eq!(bb[0]["data"]["reason"], "an audit", "why is between it and the operator");
    assert!(api.told(&api.cc).is_empty(), "who has no agreement with it is told nothing");
    let steps = lifecycle::steps(&mut conn, &slug("bb")).expect("steps");
    assert_eq!(steps.iter().map(|step| step.event.as_str()).collect::<Vec<_>>(), ["suspend", "resume"]);
}

#[test]
fn a_suspension_reaches_the_lanes_of_another_server() {
    let api = Api::new("suspended-twice", "");
    api.linked();
    let mut conn = api.house.database.connection();
    let catalogue = hanse::store::catalogue::load(&mut conn).expect("the catalogue");
    let shared = std::sync::Arc::new(arc_swap::ArcSwap::from_pointee(catalogue));
    let other = hanse::book::Handle::start(&api.house.database.url, shared, Bounds::default()).expect("a server");
    lifecycle::suspend(&mut conn, &slug("bb"), "an audit").expect("suspended");
    let who = hanse::book::command::DirectoryHash(hanse::signing::digest::directory_hash("member", &[b"aa", b"A-1"]));
    let request = crate::support::book::request(
        "aa",
        "other",
        crate::support::book::conversion(
            crate::support::book::Member { who, account: hanse::domain::ids::AccountId(uuid::Uuid::nil()) },
            20,
        ),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answer = runtime.block_on(other.submit(request));
    assert_eq!(crate::support::book::code(&answer), "partner_suspended");
    other.close();
}

#[test]
fn who_leaves_takes_nothing_in_sends_until_its_date_and_then_is_settled_and_closed() {
    let api = Api::new("leaving", "");
    api.linked();
    api.aa.post("/v1/conversions", "before", &wish(100)).status(201);
    api.departures();
    let mut conn = api.house.database.connection();
    let standing = lifecycle::leave(&mut conn, &slug("bb"), "it joins another").expect("leaving");
    let leaves_at = standing.leaves_at.expect("a date");
    let again = lifecycle::leave(&mut conn, &slug("bb"), "again").expect("the first date stands");
    assert_eq!(again.leaves_at, Some(leaves_at));
    let notice = leaves_at - hanse::store::catalogue::business_now(&mut conn).expect("business time");
    assert_eq!((notice.num_hours() + 1) / 24, 14, "the longest notice of its agreements: {notice}");

    // Inbound stops at once, outbound goes on until the date.
    api.aa.post("/v1/quotes", "", &wish(20)).refused(422, "partner_suspended");
    api.bb.post("/v1/conversions", "out", &back(10)).status(201);
    api.departures();
    api.bb.post("/v1/quotes", "", &back(10)).status(201);
    api.advance("14 days");
    api.departures();
    let standing = lifecycle::standing(&mut conn, &slug("bb")).expect("there");
    assert_eq!((standing.status, standing.closed_at), (hanse::domain::catalogue::PartnerStatus::Left, None));
    assert!(lifecycle::resume(&mut conn, &slug("bb"), "back?").is_err());
    api.bb.post("/v1/quotes", "", &back(10)).refused(422, "partner_suspended");
    // Links are ended and none is made.
    let member = api.aa.get("/v1/memberships/A-1").status(200);
    assert_eq!(member["links"], json!([]));
    let consent = json!({ "version": "1", "purpose": "exchange", "method": "app" });
    let ask = json!({ "member_ref": "A-1", "to": "bb", "consent": consent });
    api.aa.post("/v1/links", "", &ask).refused(403, "forbidden");

    // It reads its last statement while that is not answered, and pays.
    let window = api.close_window();
    api.pay_all();
    api.departures();
    api.bb.get(&format!("/v1/settlements/{}/statement", window.id)).status(200);
    let facts = api.house.authority_facts("bb");
    assert!(!List::read(api.house.folder.path()).expect("a list").serials.contains(&facts.serial));
    // Accepted by silence, everything paid: then its certificates go.
    api.advance("60 days");
    api.answer_late();
    api.departures();
    let standing = lifecycle::standing(&mut conn, &slug("bb")).expect("there");
    assert!(standing.closed_at.is_some());
    assert!(List::read(api.house.folder.path()).expect("a list").serials.contains(&facts.serial));
    poll("its certificate out", Duration::from_secs(5), || api.bb.client.get("/v1/certificates").err());
    let kinds: Vec<_> = api.told(&api.aa).iter().map(|event| event["type"].clone()).collect();
    assert_eq!(kinds, ["partner.leaving", "partner.left"]);

    // Its data can be had by the operator, statement and all.
    let (to, told) = exported(&api, "leaving", "bb");
    assert_eq!((&told["members"], &told["conversions"], &told["statements"]), (&json!(1), &json!(2), &json!(1)));
    let members = std::fs::read_to_string(to.path().join("members.ndjson")).expect("members");
    let member: Value = serde_json::from_str(&members).expect("one line");
    assert_eq!(member["membership"]["member_ref"], "B-1", "{member}");
    assert!(!members.contains("A-1"), "the other side's reference is the other side's");
    verifies(&to.path().join("settlement/1"));
}

/// With a dispute open its final window closes all the same; what the dispute comes to is in the next, and only then is it
/// settled. What it was given before verifies as it did.
#[test]
fn who_leaves_with_a_dispute_open_is_settled_when_that_is_and_its_old_statements_verify() {
    let api = Api::new("leaving-disputed", "");
    let window = disputes::closed(&api);
    let old = api.bb.get(&format!("/v1/settlements/{window}/statement"));
    old.status(200);
    api.pay_all();
    let line = disputes::line(&api, window, "bb", "conversion");
    let dispute = api.bb.post(&disputes::place(window), "", &disputes::amount(&line, "3.00")).status(201);
    let mut conn = api.house.database.connection();
    lifecycle::leave(&mut conn, &slug("bb"), "it joins another").expect("leaving");
    api.bb.post("/v1/conversions", "out", &back(10)).status(201);
    api.advance("14 days");
    api.departures();
    api.close_window();
    api.pay_all();
    // Whoever says nothing in time accepts; what is disputed waits.
    api.advance("60 days");
    api.answer_late();
    api.departures();
    let closed_at = || api.closed_at("bb");
    assert_eq!(closed_at(), None, "a dispute is open");
    assert_eq!(api.bb.get(&disputes::path(&dispute, "")).status(200)["state"], "open", "and can be spoken of");

    // The other side accepts it: the adjustment is in the window that is open now.
    disputes::answer(&api.aa, &dispute, "accepted");
    for name in ["ada", "bob"] {
        api.operator_named(name)
            .post(&disputes::path(&dispute, "/decision"), "", &disputes::upheld("-0.40"))
            .status(200);
    }
    api.departures();
    assert_eq!(closed_at(), None, "its adjustment is in no statement yet");
    let after = api.close_window();
    assert_eq!(api.statement(after.id, "bb")["counterparties"][0]["adjustment"]["amount"], "-0.40");
    api.departures();
    assert_eq!(closed_at(), None, "nor paid");
    api.pay_all();
    api.advance("60 days");
    api.answer_late();
    api.departures();
    assert!(closed_at().is_some());
    assert_eq!(api.exposures(), []);

    let document = Document::parse(&old.body).expect("a document");
    document.verify_all(|kid| api.keys.statement_key(kid)).expect("what it was given then");
    let (to, told) = exported(&api, "leaving-disputed", "bb");
    assert_eq!(told["statements"], 3, "{told}");
    for number in [1, 2, 3] {
        verifies(&to.path().join(format!("settlement/{number}")));
    }
}

#[test]
fn who_is_suspended_and_leaves_sends_nothing_and_what_is_asked_wrongly_is_refused() {
    let api = Api::new("leaving-suspended", "");
    api.linked();
    let mut conn = api.house.database.connection();
    assert!(lifecycle::resume(&mut conn, &slug("aa"), "x").expect("active it is").leaves_at.is_none());
    assert!(lifecycle::suspend(&mut conn, &slug("nobody"), "x").is_err());
    assert!(lifecycle::suspend(&mut conn, &slug("aa"), " ").is_err(), "without a reason");
    lifecycle::suspend(&mut conn, &slug("aa"), "fraud").expect("suspended");
    lifecycle::leave(&mut conn, &slug("aa"), "its own wish").expect("leaving");
    api.aa.post("/v1/quotes", "", &wish(20)).refused(422, "partner_suspended");
    lifecycle::resume(&mut conn, &slug("aa"), "none found").expect("resumed");
    api.aa.post("/v1/quotes", "", &wish(20)).status(201);
    api.bb.post("/v1/quotes", "", &back(10)).refused(422, "partner_suspended");
}

/// Until its books are closed what it did can be taken back, and is settled; from then on nothing is posted, or pushed.
#[test]
fn what_is_taken_back_after_it_left_is_settled_first_and_nothing_once_it_is_closed() {
    let api = Api::new("left-reversed", "");
    api.linked();
    let done = api.aa.post("/v1/conversions", "before", &wish(100)).status(201);
    let path = format!("/v1/conversions/{}", done["conversion_id"].as_str().expect("an id"));
    let reversal = |reference: &str| {
        let body = json!({ "credit_points": 10, "reason": "return", "external_reference": reference });
        api.aa.post(&format!("{path}/reversals"), reference, &body)
    };
    let wanted = webhooks::Wanted { url: "https://hooks.example/bb".into(), types: None };
    let mut conn = api.house.database.connection();
    webhooks::insert(&mut conn, WebhookId(uuid::Uuid::now_v7()), &slug("bb"), &wanted, 0).expect("a webhook");
    lifecycle::leave(&mut conn, &slug("bb"), "it joins another").expect("leaving");
    api.advance("14 days");
    api.departures();
    // It reads and confirms with the certificate that it has, and gets no other.
    let csr = json!({ "csr": "whatever it is" });
    api.bb.post("/v1/certificates", "", &csr).refused(403, "forbidden");
    api.close_window();
    api.settle();
    let asked = reversal("r1").status(201);
    let confirm = format!("/v1/reversals/{}/confirmation", asked["reversal_id"].as_str().expect("an id"));
    let waiting = reversal("r2").status(201);
    api.bb.post(&confirm, "c1", &json!({})).status(200);
    api.departures();
    assert_eq!(api.closed_at("bb"), None, "a reversal is in a window that is not published");
    assert_eq!(webhooks::list(&mut conn, Some(&slug("bb"))).expect("webhooks").len(), 1);
    let window = api.close_window();
    api.departures();
    assert_eq!(api.closed_at("bb"), None, "nor paid, nor answered");
    api.bb.get(&format!("/v1/settlements/{}/statement", window.id)).status(200);
    api.settle();
    api.departures();
    assert!(api.closed_at("bb").is_some());

    // A running server's lanes know at their next batch, whatever was asked before.
    reversal("r3").refused(422, "partner_suspended");
    api.aa.post(&format!("{path}/undo"), "u1", &json!({})).refused(422, "partner_suspended");
    assert_eq!(reversal("r1").status(201), asked, "the first answer stays");
    let state = api.aa.get(&path).status(200);
    assert_eq!(state["reversed_credit_points"], 10, "{waiting} is never confirmed");
    api.close_window();
    assert_eq!(api.exposures(), []);
    // Nothing is pushed to it, and a call that was let in a moment ago changes nothing of that.
    assert_eq!(webhooks::list(&mut conn, Some(&slug("bb"))).expect("webhooks"), []);
    let ask = Ask { url: wanted.url, types: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let refused = runtime.block_on(api.webhooks.create(slug("bb"), ask, None)).expect_err("it is closed");
    assert!(matches!(refused, hanse::service::exchange::Error::Forbidden), "{refused}");
}

/// One that cannot be wound up keeps nobody else waiting, and is not tried again and again without rest.
#[test]
fn one_that_left_and_cannot_be_wound_up_keeps_nobody_else_waiting() {
    let api = Api::new("left-stuck", "");
    api.linked();
    let mut conn = api.house.database.connection();
    for partner in ["aa", "bb"] {
        lifecycle::leave(&mut conn, &slug(partner), "it joins another").expect("leaving");
    }
    api.advance("14 days");
    let (url, pki) = (&api.house.database.url, api.house.folder.path().to_path_buf());
    let catalogue = hanse::store::catalogue::load(&mut conn).expect("the catalogue");
    let shared = std::sync::Arc::new(arc_swap::ArcSwap::from_pointee(catalogue));
    let undecided = hanse::book::Handle::start(url, shared, Bounds::default()).expect("a server");
    undecided.close();
    let mut stuck = Departures::new(url, pki, undecided).expect("a runtime");
    assert!(stuck.tick().expect("a look"), "both have left");
    assert!(!stuck.tick().expect("a look"), "no link is ended, and there is nothing else to do");

    api.close_window();
    api.settle();
    api.sql(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$; \
         CREATE TRIGGER no BEFORE UPDATE ON certificates FOR EACH ROW WHEN (OLD.holder_name = 'aa') EXECUTE FUNCTION no()",
    )
    .expect("made");
    api.departures();
    assert_eq!(api.closed_at("aa"), None);
    assert!(api.closed_at("bb").is_some());
    api.sql("DROP TRIGGER no ON certificates").expect("dropped");
    api.departures();
    assert!(api.closed_at("aa").is_some());
}
