//! What is between two ledgers, on the operator's pages: seen by operators alone, resolved by two of them.

use crate::api::{Api, Expect};
use crate::support::book::request;
use hanse::book::command::{Advance, Command};
use hanse::domain::crossing::{State, Step};
use hanse::domain::ids::ConversionId;
use hanse::domain::staff::Role;
use hanse::store::crossings::{self, Kept};
use serde_json::json;

impl Api {
    /// The small alliance where `bb` keeps its own ledger, which answers nothing.
    pub fn between(name: &str) -> Api {
        let api =
            Api::new(name, "UPDATE partners SET hosted = false, endpoint = 'https://bb.example' WHERE slug = 'bb';");
        api.linked();
        api
    }

    /// A conversion whose credit nobody knows of, and whose void was not answered; its id.
    pub fn in_doubt(&self, key: &str) -> String {
        let body = json!({ "member_ref": "A-1", "to": "bb", "points": 20, "external_reference": key });
        let made = self.aa.post("/v1/conversions", key, &body).status(202);
        let id = made["conversion_id"].as_str().expect("an id").to_owned();
        let crossing = id.parse::<ConversionId>().expect("an id").0;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        for (of, doubt) in [(State::Crediting, false), (State::Voiding, true)] {
            let cause = Some("no_answer".to_owned());
            let news = Advance { crossing, of, step: Step::GivenUp, lots: Vec::new(), cause, doubt };
            runtime.block_on(self.book.submit(request("aa", "news", Command::Advance(news)))).expect("decided");
        }
        let document = r#"{"status":500,"body":"<b>oops</b>"}"#.to_owned();
        let kept = Kept { crossing_id: crossing, call: "void", by: "bb".to_owned(), same: document.clone(), document };
        crossings::keep(&mut self.house.database.connection(), &[kept]).expect("kept");
        id
    }
}

#[test]
fn what_is_in_doubt_is_resolved_by_two_operators_and_written_down() {
    let api = Api::between("page-doubt");
    let id = api.in_doubt("order-1");
    let mut ada = api.sign_in(&api.hire("ada", None, Role::Engineer));
    let mut grace = api.sign_in(&api.hire("grace", None, Role::Admin));
    let list = ada.get("/console/crossings").ok();
    let path = format!("/console/crossings/{id}");
    for text in [id.as_str(), "The target is asked to void the credit", "PostgreSQL", "keeps what it has committed"] {
        list.says(text);
    }
    let page = ada.get(&path).ok();
    for text in ["In doubt", "no_answer", "&#60;b&#62;oops", "id=\"completed\"", "id=\"released\""] {
        page.says(text);
    }
    let action = format!("{path}/resolution");
    assert_eq!(ada.fill(&page, &action, &[("outcome", "perhaps"), ("reason", "x")]).status, 422);
    assert_eq!(ada.fill(&page, &action, &[("outcome", "released"), ("reason", " ")]).status, 422);
    let said = [("outcome", "released"), ("reason", "not on their list of 3 May")];
    let proposed = ada.fill(&page, &action, &said);
    ada.follow(&proposed).ok().says("Another operator is to say the same");
    // The same person again, and the same name with a certificate: still one.
    ada.fill(&page, &action, &said);
    let body = json!({ "outcome": "released", "reason": "x" });
    api.operator().post(&format!("/v1/conversions/{id}/resolution"), "", &body).status(202);
    let page = grace.get(&format!("{path}?lang=zh")).ok();
    page.says("ada提出：已退回");
    page.says("not on their list of 3 May");
    let done = grace.fill(&page, &action, &[("outcome", "released"), ("reason", "nor on their statement")]);
    let page = grace.follow(&done).ok();
    page.says("ada与grace一致认定");
    page.is_silent_about(&action);
    let acts = api.acts("crossing.");
    assert_eq!(acts.last(), Some(&format!("grace crossing.resolved {id}")));
    assert_eq!(acts[0], format!("ada crossing.resolution_proposed {id}"));
    assert_eq!(api.aa.get(&format!("/v1/conversions/{id}")).status(200)["state"], "released");
}

#[test]
fn an_undo_on_its_way_is_shown_as_what_it_is_and_from_where_its_points_go() {
    let api = Api::between("page-undoing");
    let mut member = api.browse("A-1");
    let page = member.get("/member/convert?direction=to.bb&points=136").ok();
    let made = member.submit(&page, "/member/conversions");
    member.get("/member").ok().says("136 aa → 74 bb<");
    let path = made.header("location").expect("a place").to_owned();
    let id = path.rsplit('/').next().and_then(|id| id.parse::<ConversionId>().ok()).expect("an id");
    let news = Advance {
        crossing: id.0,
        of: State::Crediting,
        step: Step::Credited,
        lots: Vec::new(),
        cause: None,
        doubt: false,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(api.book.submit(request("aa", "news", Command::Advance(news)))).expect("decided");
    let page = member.get(&path).ok();
    assert_eq!(member.submit(&page, &format!("{path}/undo")).status, 303);
    let home = member.get("/member").ok();
    home.says("Undo: 74 bb → 136 aa<");
    home.says("class=\"change gain\">+136<");
    // The same to those who look after it, and to a brand.
    let mut ada = api.sign_in(&api.hire("ada", None, Role::Engineer));
    let mut engineer = api.sign_in(&api.hire("engineer@aa.test", Some("aa"), Role::Engineer));
    for (browser, path) in [(&mut ada, "/console/crossings"), (&mut engineer, "/console/conversions")] {
        let list = browser.get(path).ok();
        for text in [">Undo<", ">74 → 136<"] {
            list.says(text);
        }
    }
}

#[test]
fn no_partner_sees_the_operators_pages() {
    let api = Api::between("page-doubt-whose");
    let id = api.in_doubt("order-1");
    for (login, partner) in [("admin@aa.test", Some("aa")), ("admin@bb.test", Some("bb"))] {
        let mut browser = api.sign_in(&api.hire(login, partner, Role::Admin));
        let token = browser.get("/console").ok().form("/console/sign-out")[0].1.clone();
        for path in ["/console/crossings".to_owned(), format!("/console/crossings/{id}")] {
            assert_eq!(browser.get(&path).status, 403, "{login} {path}");
        }
        let fields = [("form_token", token.as_str()), ("outcome", "released"), ("reason", "x")];
        assert_eq!(browser.post(&format!("/console/crossings/{id}/resolution"), &fields).status, 403);
    }
    let mut viewer = api.sign_in(&api.hire("viewer", None, Role::Viewer));
    assert_eq!(viewer.get("/console/crossings").status, 403);
    assert!(api.acts("crossing.").is_empty());
}
