//! The door of staff: who gets in, what a session is good for, and that everything they do is written down.

use super::{Browser, PASSWORD, Person, Shown};
use crate::api::Api;
use hanse::domain::staff::Role;

const SESSION: &str = "__Host-hanse-staff";

impl Person {
    fn sign_in(&self, browser: &mut Browser) -> Shown {
        browser.post("/sign-in", &[("login", &self.login), ("password", PASSWORD), ("code", &self.code())])
    }
}

#[test]
fn staff_get_in_with_password_and_code_and_out_again() {
    let api = Api::new("door", "");
    let ada = api.hire("ada", None, Role::Admin);
    let mut browser = Browser::new(api.pages());
    assert_eq!(browser.get("/console").status, 401);
    browser.get("/sign-in").ok().says("autocomplete=\"one-time-code\"");
    let signed = ada.sign_in(&mut browser);
    assert_eq!((signed.status, signed.header("location")), (303, Some("/console")), "{}", signed.body);
    let cookie = signed.header("set-cookie").expect("a cookie");
    for part in ["__Host-hanse-staff=", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict"] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    let home = browser.follow(&signed).ok();
    home.says("ada");
    assert_eq!(home.header("cache-control"), Some("no-store"));
    // The same code once more, in another browser, is none.
    let again = ada.sign_in(&mut Browser::new(api.pages()));
    assert_eq!(again.status, 422);
    // The log has it, and the way out.
    browser.get("/console/log").ok().says("staff.signed_in");
    let before = browser.cookies.clone();
    let out = browser.submit(&home, "/console/sign-out");
    assert_eq!(out.header("location"), Some("/sign-in"));
    assert!(!browser.cookies.contains_key(SESSION));
    browser.cookies = before;
    assert_eq!(browser.get("/console").status, 401, "the cookie of before");
}

#[test]
fn whatever_is_wrong_the_answer_is_the_same() {
    let api = Api::new("door-no", "");
    let ada = api.hire("ada", None, Role::Admin);
    let code = ada.code();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let tries = [
        ("ada", PASSWORD, wrong),
        ("ada", "another good password", code.as_str()),
        ("eve", PASSWORD, code.as_str()),
        ("", "", ""),
        ("'; DROP TABLE staff; --", PASSWORD, code.as_str()),
    ];
    let mut said = Vec::new();
    for (login, password, code) in tries {
        let refused =
            Browser::new(api.pages()).post("/sign-in", &[("login", login), ("password", password), ("code", code)]);
        assert_eq!(refused.status, 422);
        assert!(refused.header("set-cookie").is_none());
        refused.is_silent_about(password.get(..8).filter(|start| !start.is_empty()).unwrap_or("nothing-typed"));
        // What was typed as a login is in the form again, if it is one.
        let is_login = matches!(login, "ada" | "eve");
        let typed = format!("name=\"login\" value=\"{}\"", if is_login { login } else { "" });
        refused.says(&typed);
        said.push(refused.body.replace(&typed, ""));
    }
    assert!(said.windows(2).all(|two| two[0] == two[1]), "one answer for all");
    // By another site's form nobody is signed in.
    let fields = [("login", "ada"), ("password", PASSWORD), ("code", code.as_str())];
    let elsewhere = Browser::new(api.pages()).post_from("/sign-in", &fields, &[("sec-fetch-site", "cross-site")]);
    assert_eq!(elsewhere.status, 403);
    assert!(elsewhere.header("set-cookie").is_none());
}

#[test]
fn a_role_sees_its_own_places_and_a_brand_its_own_people() {
    let api = Api::new("door-roles", "");
    let (admin, clerk) = (api.hire("aa-admin", Some("aa"), Role::Admin), api.hire("aa-till", Some("aa"), Role::Clerk));
    api.hire("bb-admin", Some("bb"), Role::Admin);
    let mut browser = Browser::new(api.pages());
    let signed = clerk.sign_in(&mut browser);
    browser.follow(&signed).ok().is_silent_about("/console/people");
    let token = browser.get("/console").ok().form("/console/sign-out")[0].1.clone();
    for path in ["/console/people", "/console/log"] {
        assert_eq!(browser.get(path).status, 403, "{path}");
    }
    let new = [("form_token", token.as_str()), ("login", "mallory"), ("role", "admin")];
    assert_eq!(browser.post("/console/people", &new).status, 403);
    // Its own people, and nobody else's.
    let mut browser = Browser::new(api.pages());
    admin.sign_in(&mut browser);
    let people = browser.get("/console/people").ok();
    people.says("aa-till");
    people.is_silent_about("bb-admin");
    let token = people.form("/console/sign-out")[0].1.clone();
    let removal = |login: &str| format!("/console/people/{login}/removal");
    assert_eq!(browser.post(&removal("bb-admin"), &[("form_token", &token)]).status, 404);
    assert_eq!(browser.post(&removal("aa-admin"), &[("form_token", &token)]).status, 422, "nobody removes oneself");
    assert_eq!(browser.post(&removal("aa-till"), &[("form_token", "x")]).status, 403, "a form of somebody else's");
    let added = browser
        .post("/console/people", &[("form_token", token.as_str()), ("login", "aa-new"), ("role", "viewer")])
        .ok();
    added.says("/sign-in/enrol/");
    added.is_silent_about("otpauth");
    assert_eq!(browser.submit(&people, &removal("aa-till")).status, 303);
    browser.get("/console/people").ok().is_silent_about("aa-till");
    browser.get("/console/log").ok().says("staff.removed");
    browser.get("/console/log").ok().is_silent_about("bb-admin");
}

#[test]
fn a_members_cookie_opens_no_console_and_staffs_no_members_page() {
    let api = Api::new("door-mixed", "");
    api.linked();
    let ada = api.hire("ada", None, Role::Admin);
    let mut member = api.browse("A-1");
    let mut staff = Browser::new(api.pages());
    ada.sign_in(&mut staff);
    let (own, other) = (member.cookies["__Host-hanse-member"].clone(), staff.cookies[SESSION].clone());
    member.cookies.insert(SESSION.to_owned(), own);
    staff.cookies.insert("__Host-hanse-member".to_owned(), other);
    assert_eq!(member.get("/console").status, 401);
    assert_eq!(staff.get("/member").status, 401);
}

#[test]
fn what_cannot_be_read_is_answered_with_a_page_and_what_is_no_place_in_a_list_is_passed_over() {
    let api = Api::new("door-unread", "");
    let large = format!("code={}", "x".repeat(100_000));
    for path in ["/sign-in", "/sign-in/enrol/x", "/sign-in/enrolment"] {
        for (form, status) in [("form_token=x", 403), ("%ff", 403), (&large, 413)] {
            let shown = Browser::new(api.pages()).ask("POST", path, &[], Some(form));
            let is_page =
                shown.body.starts_with("<!doctype html>") && shown.header("content-security-policy").is_some();
            assert!(shown.status == status && is_page, "{path}: {}\n{}", shown.head, shown.body);
        }
    }
    let mut browser = api.sign_in(&api.hire("aa-viewer", Some("aa"), Role::Viewer));
    for path in [
        "/console/benefits?giver=%00&code=x",
        "/console/benefits?giver=aa&code=%00",
        "/console/figures?last=-262143-01-01",
        "/console/figures?last=%2B262142-12-31",
        "/console/figures/days.csv?last=-262143-01-01",
    ] {
        assert_eq!(browser.get(path).status, 200, "{path}");
    }
}
