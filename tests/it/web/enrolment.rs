//! Staff are added and reset on a page, and set up their logins themselves: nobody who adds somebody is two people.

use super::{Browser, PASSWORD, Person, Shown};
use crate::api::{Api, Expect};
use hanse::domain::staff::Role;
use serde_json::json;

/// An address of an enrolment that a page shows, as its path.
fn path_of(page: &Shown) -> String {
    let at = page.body.find("/sign-in/enrol/").expect("an address");
    page.body[at..].split('<').next().expect("its end").to_owned()
}

impl Browser {
    /// Adds somebody; where they set up their login.
    fn invite(&mut self, login: &str, role: &str) -> String {
        let people = self.get("/console/people").ok();
        path_of(&self.fill(&people, "/console/people", &[("login", login), ("role", role)]).ok())
    }
}

/// Chooses a password at an address; what is shown then.
fn chosen(api: &Api, path: &str) -> Shown {
    let mut browser = Browser::new(api.pages());
    let page = browser.get(path).ok();
    browser.fill(&page, path, &[("password", PASSWORD), ("again", PASSWORD)])
}

fn person(login: &str, shown: &Shown) -> Person {
    Person::shown(login, &shown.body[shown.body.find("otpauth://").expect("a link")..].replace("&#38;", "&"))
}

/// Sets up a login, and is signed in by it.
fn enrolled(api: &Api, login: &str, path: &str) -> (Person, Browser) {
    let page = chosen(api, path).ok();
    let person = person(login, &page);
    let mut browser = Browser::new(api.pages());
    let code = person.code();
    let done = browser.fill(&page, "/sign-in/enrolment", &[("code", &code)]);
    browser.follow(&done).ok();
    (person, browser)
}

#[test]
fn who_is_added_chooses_password_and_authenticator_by_an_address_that_is_used_once() {
    let api = Api::new("enrol-once", "");
    let mut ada = api.sign_in(&api.hire("ada", None, Role::Admin));
    let people = ada.get("/console/people").ok();
    people.is_silent_about("type=\"password\"");
    let invited = ada.fill(&people, "/console/people", &[("login", "bob"), ("role", "engineer")]).ok();
    for silent in ["otpauth", "secret=", "<svg", "hreflang", "lang=zh"] {
        invited.is_silent_about(silent);
    }
    ada.get("/console/people").ok().says("Invited");
    let path = path_of(&invited);
    let mut bob = Browser::new(api.pages());
    for _ in 0..2 {
        bob.get(&path).ok().says("Set up your login");
    }
    bob.get(&format!("{path}?lang=zh")).ok().says("启用登录");
    bob.cookies.clear();
    let page = bob.get(&path).ok();
    // A form of somewhere else, two that differ, and one that everybody guesses use nothing.
    let two = [("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(bob.post(&path, &[&[("form_token", "x")], &two[..]].concat()).status, 403);
    let token = page.form(&path)[0].1.clone();
    let fields = [&[("form_token", token.as_str())], &two[..]].concat();
    assert_eq!(bob.post_from(&path, &fields, &[("sec-fetch-site", "cross-site")]).status, 403);
    let differ = bob.fill(&page, &path, &[("password", PASSWORD), ("again", "another good password")]);
    assert_eq!(differ.status, 422);
    differ.says("not the same");
    let common = bob.fill(&page, &path, &[("password", "passwordpassword"), ("again", "passwordpassword")]);
    assert_eq!(common.status, 422);
    let shown = bob.fill(&page, &path, &two).ok();
    let one = person("bob", &shown);
    shown.says("<svg");
    // Used: whoever comes second finds out.
    for second in [ada.get(&path), bob.fill(&page, &path, &two)] {
        assert_eq!(second.status, 410);
        second.is_silent_about("otpauth");
    }
    // Not good before a right code was typed.
    let fields =
        |code: &str| [("login", "bob".to_owned()), ("password", PASSWORD.to_owned()), ("code", code.to_owned())];
    let sign_in = |browser: &mut Browser, code: &str| {
        let fields = fields(code);
        browser.post("/sign-in", &fields.each_ref().map(|(name, value)| (*name, value.as_str()))).status
    };
    assert_eq!(sign_in(&mut Browser::new(api.pages()), &one.code()), 422);
    let code = one.code();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let again = bob.fill(&shown, "/sign-in/enrolment", &[("code", wrong)]);
    assert_eq!(again.status, 422);
    again.says("otpauth");
    let done = bob.fill(&again, "/sign-in/enrolment", &[("code", &one.code())]);
    bob.follow(&done).ok().says("bob");
    assert_eq!(bob.fill(&shown, "/sign-in/enrolment", &[("code", &one.code())]).status, 410, "once");
    api.forget_codes();
    assert_eq!(sign_in(&mut Browser::new(api.pages()), &one.code()), 303);
    let acts = api.acts("staff.");
    for act in ["ada staff.added bob", "bob staff.enrolment_used bob", "bob staff.enrolled bob"] {
        assert!(acts.iter().any(|line| line == act), "{act} in {acts:?}");
    }
}

#[test]
fn who_adds_somebody_and_opens_their_address_is_still_one() {
    let api = Api::between("enrol-eyes");
    let id = api.in_doubt("order-1");
    let mut ada = api.sign_in(&api.hire("ada", None, Role::Admin));
    let mut grace = api.sign_in(&api.hire("grace", None, Role::Engineer));
    let path = ada.invite("bob", "admin");
    let (_, mut bob) = enrolled(&api, "bob", &path);
    // Whom bob adds is no more than bob is, and a reset makes nobody another.
    let path = bob.invite("carol", "engineer");
    let (_, mut carol) = enrolled(&api, "carol", &path);
    let people = ada.get("/console/people").ok();
    let reset = ada.submit(&people, "/console/people/grace/reset").ok();
    assert_eq!(grace.get("/console").status, 401, "signed out at once");
    let (_, mut as_grace) = enrolled(&api, "grace", &path_of(&reset));

    let path = format!("/console/crossings/{id}");
    let action = format!("{path}/resolution");
    let said = [("outcome", "released"), ("reason", "so I say")];
    let page = ada.get(&path).ok();
    let proposed = ada.fill(&page, &action, &said);
    ada.follow(&proposed).ok();
    for puppet in [&mut bob, &mut carol, &mut as_grace] {
        let page = puppet.get(&path).ok();
        page.says("id=\"too-new\"");
        page.is_silent_about(&action);
        let token = page.form("/console/sign-out")[0].1.clone();
        let no = puppet.post(&action, &[&[("form_token", token.as_str())], &said[..]].concat());
        assert_eq!(no.status, 403);
        no.says("does not count here yet");
    }
    ada.get(&path).ok().says("id=\"doubtful\"");
    assert!(!api.acts("crossing.").iter().any(|act| !act.starts_with("ada ")));
    // After seven days, or set up by whoever has the machine.
    api.sql("UPDATE staff SET trusted_from = clock_timestamp() WHERE login = 'bob'").expect("days pass");
    let page = bob.get(&path).ok();
    let done = bob.fill(&page, &action, &said);
    bob.follow(&done).ok().says("ada and bob have said");
}

#[test]
fn who_is_new_decides_no_dispute() {
    let api = Api::new("enrol-dispute", "");
    let mut ada = api.sign_in(&api.hire("ada", None, Role::Admin));
    let path = ada.invite("fin", "finance");
    let (_, mut fin) = enrolled(&api, "fin", &path);
    let token = fin.get("/console").ok().form("/console/sign-out")[0].1.clone();
    let fields = [("form_token", token.as_str()), ("outcome", "rejected"), ("amount", ""), ("reason", "x")];
    let path = "/console/disputes/dis_0198c0de0000700080000000000000ab/decision";
    assert_eq!(fin.post(path, &fields).status, 403);
    api.sql("UPDATE staff SET trusted_from = NULL").expect("days pass");
    assert_eq!(fin.post(path, &fields).status, 404);
}

#[test]
fn who_is_new_neither_pays_nor_says_what_is_paid_for() {
    let api = Api::new("enrol-pays", "");
    api.a_window();
    let offer = json!({
        "kind": "ticket", "name": { "en": "Park", "zh": "乐园" }, "use_days": 30,
        "offers": [{ "to": "bb", "funder": "brand", "cost": "80.00" }],
    });
    api.aa.put("/v1/benefits/park", &offer).status(200);
    // An admin who makes itself finance as well.
    let mut admin = api.sign_in(&api.hire("boss@bb.test", Some("bb"), Role::Admin));
    let path = admin.invite("fin@bb.test", "finance");
    let (_, mut fin) = enrolled(&api, "fin@bb.test", &path);
    let mut known = api.finance("known@bb.test", Some("bb"));
    let token = fin.get("/console").ok().form("/console/sign-out")[0].1.clone();
    let payment = [("form_token", token.as_str()), ("amount", "1.00"), ("on", ""), ("reference", "bank-1")];
    let approval = [("form_token", token.as_str()), ("version", "1")];
    for (page, fields) in [("/console/payments", &payment[..]), ("/console/benefits", &approval[..])] {
        let start = format!("{page}/");
        let action = known.get(page).ok().address(&start);
        let shown = fin.get(page).ok();
        shown.says("for seven days");
        shown.is_silent_about(&start);
        let no = fin.post(&action, fields);
        assert_eq!(no.status, 403);
        no.says("does not count here yet");
    }
    assert!(api.acts("payment.").is_empty() && api.acts("benefit.").is_empty());
    api.sql("UPDATE staff SET trusted_from = NULL").expect("days pass");
    for (page, fields) in [("/console/payments", &payment[..]), ("/console/benefits", &approval[..])] {
        let action = fin.get(page).ok().address(&format!("{page}/"));
        assert_eq!(fin.post(&action, fields).status, 303);
    }
}

#[test]
fn roles_are_changed_and_sessions_ended_on_the_page() {
    let api = Api::new("enrol-manage", "");
    let mut ada = api.sign_in(&api.hire("ada", None, Role::Admin));
    let bob = api.hire("bob", None, Role::Viewer);
    let mut theirs = api.sign_in(&bob);
    let people = ada.get("/console/people").ok();
    people.is_silent_about("/console/people/ada/");
    people.is_silent_about("value=\"clerk\"");
    assert_eq!(ada.submit(&people, "/console/people/bob/sessions").status, 303);
    assert_eq!(theirs.get("/console").status, 401);
    assert_eq!(ada.fill(&people, "/console/people/bob/role", &[("role", "finance")]).status, 303);
    let mut theirs = api.sign_in(&bob);
    theirs.get("/console").ok().says("Finance");
    for (role, why) in [("clerk", "The operator has no till"), ("king", "one of the roles")] {
        let no = ada.fill(&people, "/console/people/bob/role", &[("role", role)]);
        assert_eq!(no.status, 422);
        no.says(why);
    }
    let mut other = api.sign_in(&bob);
    let home = other.get("/console").ok();
    assert_eq!(other.submit(&home, "/console/sign-out-everywhere").header("location"), Some("/sign-in"));
    assert_eq!(theirs.get("/console").status, 401);
    let acts = api.acts("staff.");
    for act in ["ada staff.sessions_ended bob", "ada staff.role_changed bob", "bob staff.signed_out_everywhere bob"] {
        assert!(acts.iter().any(|line| line == act), "{act} in {acts:?}");
    }
}

#[test]
fn a_no_says_why_beside_what_was_typed() {
    let api = Api::new("enrol-no", "");
    let mut ada = api.sign_in(&api.hire("ada", None, Role::Admin));
    api.hire("bob", None, Role::Viewer);
    let people = ada.get("/console/people").ok();
    let cases = [
        ("x", "finance", 422, "3 to 64"),
        ("bob@desk", "finance", 422, "begins with a letter"),
        ("bobby", "clerk", 422, "has no till"),
        ("bobby", "king", 422, "one of the roles"),
        ("bob", "finance", 409, "has this login"),
    ];
    for (login, role, status, why) in cases {
        let no = ada.fill(&people, "/console/people", &[("login", login), ("role", role)]);
        assert_eq!(no.status, status, "{login} {role}");
        no.says(why);
        no.says(&format!("name=\"login\" value=\"{login}\""));
        no.is_silent_about("lang=zh");
        if role == "finance" {
            no.says("value=\"finance\" selected");
        }
    }
    let zh = ada.get("/console/people?lang=zh").ok();
    ada.fill(&zh, "/console/people", &[("login", "bob@desk"), ("role", "viewer")]).says("须以字母开头");
}
