//! Who tries too often is refused, and nobody else: behind proxies as well, where they are named.

use super::{Browser, Shown};
use crate::api::Api;
use crate::faults::served::Stage;
use crate::support::book::Book;
use hanse::domain::staff::Role;
use serde_json::json;

/// Tries to open an enrolment from an address that a proxy says.
fn tried(browser: &mut Browser, said: &str) -> Shown {
    browser.ask("GET", "/sign-in/enrol/x", &[("x-forwarded-for", said)], None)
}

fn sign_in(browser: &mut Browser, said: &str) -> Shown {
    let fields = [("login", "nobody"), ("password", "x"), ("code", "000000")];
    browser.post_from("/sign-in", &fields, &[("x-forwarded-for", said)])
}

#[test]
fn one_who_tries_too_often_behind_a_proxy_keeps_nobody_else_out() {
    let book = Book::new("");
    let stage = Stage::on("proxied", &book.database.url, 0);
    let served = stage.serve_with(&["--trusted-proxies", "127.0.0.0/8,10.0.0.0/8"]);
    let mut browser = Browser::new(served.public);
    for nth in 0..30 {
        // Whatever it writes itself.
        assert_eq!(tried(&mut browser, &format!("203.0.113.{nth}, 192.0.2.1, 10.0.0.3")).status, 410);
    }
    let early = tried(&mut browser, "203.0.113.77, 192.0.2.1");
    assert_eq!(early.status, 429);
    early.says("Too many requests");
    assert!(
        early.header("retry-after").is_some_and(|seconds| seconds.parse().is_ok_and(|n: u64| (1..=60).contains(&n)))
    );
    let early = sign_in(&mut browser, "192.0.2.1");
    assert_eq!(early.status, 429, "one count for every way in");
    assert!(early.header("retry-after").is_some(), "beside the form");
    assert_eq!(sign_in(&mut browser, "192.0.2.2").status, 422);
    // Certificates have a count of their own.
    let body = json!({ "token": "x", "csr": "x" }).to_string();
    let enrolment = browser.ask("POST", "/v1/enrolments", &[("x-forwarded-for", "192.0.2.1")], Some(&body));
    assert_ne!(enrolment.status, 429);
}

#[test]
fn nobody_is_believed_who_is_not_named() {
    let api = Api::new("proxied-not", "");
    let mut browser = Browser::new(api.pages());
    for nth in 0..30 {
        assert_eq!(tried(&mut browser, &format!("203.0.113.{nth}")).status, 410);
    }
    assert_eq!(tried(&mut browser, "203.0.113.99").status, 429);
}

#[test]
fn a_session_asks_for_so_many_pages_and_keeps_nobody_else_waiting() {
    let api = Api::new("pace", "");
    api.linked();
    let mut ada = api.sign_in(&api.hire("ada", None, Role::Viewer));
    let mut grace = api.sign_in(&api.hire("grace", None, Role::Viewer));
    let mut member = api.browse("A-1");
    // Once more, so that each is known.
    for (browser, path) in [(&mut ada, "/console"), (&mut grace, "/console"), (&mut member, "/member")] {
        browser.get(path).ok();
    }
    for (browser, path, said) in [(&mut ada, "/console", "操作过于频繁"), (&mut member, "/member", "操作过于频繁")]
    {
        let early = (0..2_000).map(|_| browser.get(path)).find(|shown| shown.status != 200).expect("an end");
        assert_eq!(early.status, 429);
        early.says("Too many requests");
        assert!(early.header("retry-after").is_some_and(|seconds| seconds.parse().is_ok_and(|n: u64| n >= 1)));
        assert_eq!(early.header("cache-control"), Some("no-store"));
        let early = (0..2_000).map(|_| browser.get(&format!("{path}?lang=zh"))).find(|shown| shown.status != 200);
        early.expect("an end").says(said);
    }
    grace.get("/console").ok();
    // Made-up sessions are their address's, and keep nobody out who has one.
    let mut strangers = Browser::new(api.pages());
    let mut early = 0;
    for nth in 0..2_000 {
        strangers.cookies.insert("__Host-hanse-staff".to_owned(), format!("{nth:043}"));
        match strangers.get("/console").status {
            401 => {}
            429 => early += 1,
            other => panic!("{other}"),
        }
        if early > 5 {
            break;
        }
    }
    assert!(early > 5);
    grace.get("/console").ok();
}
