//! The member's pages without a script: points, conversions, benefits, links, and who may see them.

use super::Browser;
use crate::api::{Api, Expect};
use serde_json::json;

const SESSION: &str = "__Host-hanse-member";

#[test]
fn a_one_time_address_opens_once_and_becomes_a_cookie_that_only_this_site_has() {
    let api = Api::new("page-open", "");
    api.linked();
    let path = api.member_page("A-1", json!({ "return_url": "https://aa.example/app" }));
    let mut browser = Browser::new(api.pages());
    let opened = browser.get(&path);
    let cookie = opened.header("set-cookie").expect("a cookie").to_owned();
    for part in ["__Host-hanse-member=", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert_eq!(opened.header("location"), Some("/member"), "the secret leaves the address at once");
    assert_eq!(opened.header("referrer-policy"), Some("no-referrer"));
    let page = browser.follow(&opened).ok();
    page.says("https://aa.example/app");
    // Used, in another browser as well as in this one.
    for who in [&mut browser, &mut Browser::new(api.pages())] {
        let again = who.get(&path);
        assert_eq!(again.status, 410);
        again.says("This address is over");
        assert!(again.header("set-cookie").is_none());
    }
    // What was never offered, and what is no secret at all.
    for path in ["/member/open/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "/member/open/x", "/member/open/%00"] {
        assert_eq!(Browser::new(api.pages()).get(path).status, 410, "{path}");
    }
    // An address that lay about for a minute.
    let late = api.member_page("A-1", json!({}));
    api.sql("UPDATE member_openings SET expires_at = clock_timestamp() - interval '1 second'").expect("done");
    assert_eq!(Browser::new(api.pages()).get(&late).status, 410);
}

#[test]
fn ten_who_open_one_address_at_once_are_one_session() {
    let api = Api::new("page-race", "");
    api.linked();
    let path = api.member_page("A-1", json!({}));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..10).map(|_| scope.spawn(|| Browser::new(api.pages()).get(&path).status)).collect();
        all.into_iter().map(|one| one.join().expect("answered")).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 410).count(), 9, "{statuses:?}");
}

#[test]
fn a_new_session_takes_the_place_of_an_old_one_and_a_planted_cookie_is_nobody() {
    let api = Api::new("page-fixation", "");
    api.linked();
    // A cookie that somebody planted before: the page opens with another one.
    let mut browser = Browser::new(api.pages());
    let planted = "A".repeat(43);
    browser.cookies.insert(SESSION.to_owned(), planted.clone());
    assert_eq!(browser.get("/member").status, 401);
    let opened = browser.get(&api.member_page("A-1", json!({})));
    assert_ne!(browser.cookies[SESSION], planted);
    browser.follow(&opened).ok();
    // Opened again in the same browser: the cookie of before is good for nothing.
    let before = browser.cookies.clone();
    browser.get(&api.member_page("A-1", json!({})));
    let mut old = Browser::new(api.pages());
    old.cookies = before;
    assert_eq!(old.get("/member").status, 401);
    browser.get("/member").ok();
    // Unused for a quarter of an hour, and two hours old however much it is used.
    api.sql("UPDATE member_sessions SET seen_at = clock_timestamp() - interval '16 minutes'").expect("done");
    assert_eq!(browser.get("/member").status, 401);
    api.sql("UPDATE member_sessions SET seen_at = clock_timestamp(), ends_at = clock_timestamp()").expect("done");
    assert_eq!(browser.get("/member").status, 401);
    // Its brand ends it, as when the member signs out of the app.
    let mut browser = api.browse("A-1");
    api.aa.send("DELETE", "/v1/memberships/A-1/member-sessions", "", None).status_only(204);
    browser.get("/member").says("Your page has closed");
}

#[test]
fn pages_forbid_what_they_do_not_need() {
    let api = Api::new("page-headers", "");
    api.linked();
    let mut browser = api.browse("A-1");
    for path in ["/member", "/member/history", "/member/nowhere", "/member/conversions/x"] {
        let page = browser.get(path);
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(page.header(name), Some(value), "{path} {name}");
        }
        // Nothing on a page that the policy would stop.
        assert!(
            !page.body.contains("style=") && !page.body.contains("<script>") && !has_handlers(&page.body),
            "{}",
            page.body
        );
    }
    let home = browser.get("/member");
    for asset in [
        home.address("/assets/"),
        home.body.rsplit("src=\"").next().expect("a script").split('"').next().expect("its end").to_owned(),
    ] {
        let kept = browser.get(&asset).ok();
        assert!(kept.header("cache-control").is_some_and(|value| value.contains("immutable")), "{asset}");
    }
}

/// An attribute such as `onclick`.
fn has_handlers(body: &str) -> bool {
    body.split(" on")
        .skip(1)
        .any(|rest| rest.split_once("=\"").is_some_and(|(name, _)| name.bytes().all(|b| b.is_ascii_lowercase())))
}

#[test]
fn a_member_converts_sees_both_legs_and_undoes() {
    let api = Api::new("page-convert", "");
    api.linked();
    let mut browser = api.browse("A-1");
    let home = browser.get("/member").ok();
    home.says("237");
    let page = browser.get("/member/convert?direction=to.bb&points=137").ok();
    for text in [
        "data-give>136<",
        "data-get>74<",
        "data-keep>101<",
        "data-spare>Of what you entered, not needed: 1<",
        "for 15 minutes.",
    ] {
        page.says(text);
    }
    browser.get("/member/convert?direction=to.bb&points=136").ok().is_silent_about("data-spare");
    let done = browser.submit(&page, "/member/conversions");
    let conversion = browser.follow(&done).ok();
    conversion.says("Completed");
    // Pressed twice, it is one conversion.
    let again = browser.submit(&page, "/member/conversions");
    assert_eq!(again.header("location"), done.header("location"));
    let balance = || api.aa.get("/v1/memberships/A-1").status(200)["balance"].clone();
    assert_eq!(balance(), json!(101));
    browser.get("/member/history").ok().says("136 ");
    let path = done.header("location").expect("a place").to_owned();
    let undone = browser.submit(&conversion, &format!("{path}/undo"));
    browser.follow(&undone).ok().says("Undone");
    assert_eq!(balance(), json!(237));
    // In Chinese, by the address and from then on.
    browser.get("/member/history?lang=zh").ok().says("已撤销");
    browser.get("/member").ok().says("lang=\"zh-Hans\"");
}

#[test]
fn a_conversion_that_is_taken_back_as_a_whole_is_not_partly() {
    let api = Api::new("page-reversed", "");
    api.linked();
    let mut browser = api.browse("A-1");
    let page = browser.get("/member/convert?direction=to.bb&points=136").ok();
    let made = browser.submit(&page, "/member/conversions");
    let path = made.header("location").expect("a place").to_owned();
    let id = path.rsplit('/').next().expect("an id").to_owned();
    for (points, word) in [(20, "Partly taken back"), (48, ">Taken back<")] {
        let key = format!("return-{points}");
        let body = json!({ "credit_points": points, "reason": "return", "external_reference": key });
        let asked = api.aa.post(&format!("/v1/conversions/{id}/reversals"), &key, &body).status(201);
        let reversal = asked["reversal_id"].as_str().expect("an id");
        api.bb.send("POST", &format!("/v1/reversals/{reversal}/confirmation"), &key, None).status(200);
        browser.get(&path).ok().says(word);
    }
    let history = browser.get("/member/history").ok();
    history.says("· Taken back<");
    history.is_silent_about("Partly");
}

#[test]
fn who_cannot_convert_is_told_what_it_is() {
    let api = Api::new("page-no-way", "UPDATE alliance SET link_cooling_days = 7");
    api.aa.register("A-1");
    let mut browser = api.browse("A-1");
    let home = browser.get("/member").ok();
    home.says("You are not linked to another brand yet. Link from the other brand");
    home.is_silent_about("from Links");
    let consent = json!({ "version": "1", "purpose": "exchange", "method": "app", "pull": false });
    let asked = api.aa.post("/v1/links", "", &json!({ "member_ref": "A-1", "to": "cc", "consent": consent }));
    api.cc.register("C-1");
    let body = json!({ "code": asked.status(201)["code"], "member_ref": "C-1", "consent": { "version": "1" } });
    api.cc.post("/v1/links/accept", "", &body).status(200);
    browser.get("/member").ok().says("Your link is new.");
    api.advance("8 days");
    browser.get("/member").ok().says("There is no rate at the moment");
}

#[test]
fn a_granted_tier_is_shown_until_its_last_day() {
    let api = Api::new("page-tier", "");
    let granted = json!({ "tier": "top", "status": "active", "tier_source": "granted", "tier_until": "2099-12-31" });
    api.aa.register("A-1");
    api.aa.put("/v1/memberships/A-1", &granted).status(200);
    let mut browser = api.browse("A-1");
    browser.get("/member").ok().says("Tier: Top");
    api.advance("80 years");
    browser.get("/member").ok().says("Tier: Basic");
}

#[test]
fn nobody_is_promised_an_undo_that_there_is_not_and_a_long_one_is_said_in_days() {
    for (seconds, text) in [(0, ""), (604_800, "You can undo it for 7 days.")] {
        // Of a version that was never another.
        let sql = format!(
            "ALTER TABLE agreements DISABLE TRIGGER USER; UPDATE agreements SET undo_s = {seconds}; \
             ALTER TABLE agreements ENABLE TRIGGER USER;"
        );
        let api = Api::new(&format!("page-undo-{seconds}"), &sql);
        api.linked();
        let page = api.browse("A-1").get("/member/convert?direction=to.bb&points=136").ok();
        page.says("This offer holds until");
        page.says(text);
        if text.is_empty() {
            page.is_silent_about("You can undo it");
        }
    }
}

#[test]
fn an_address_that_is_asked_for_otherwise_is_answered_with_a_page() {
    let api = Api::new("page-otherwise", "");
    api.linked();
    let mut browser = api.browse("A-1");
    // Where a form has been sent, the other language's link leads, and a page that is loaded again.
    browser.get("/member/pass?lang=en").ok().says("id=\"points\"");
    for (method, path, status) in
        [("GET", "/member/convert?points=1&points=2", 400), ("GET", "/member/end", 405), ("PUT", "/member", 405)]
    {
        for (lang, tag) in [("en", "<html lang=\"en\">"), ("zh", "<html lang=\"zh-Hans\">")] {
            browser.cookies.insert("hanse-lang".to_owned(), lang.to_owned());
            let answer = browser.ask(method, path, &[], None);
            assert_eq!(answer.status, status, "{path}");
            answer.says(tag);
        }
    }
}

#[test]
fn a_no_says_why_and_moves_nothing() {
    let api = Api::new("page-no", "");
    api.linked();
    let mut browser = api.browse("A-1");
    for (query, text) in [
        ("direction=to.bb&points=100000", "not enough points"),
        ("direction=to.bb&points=nothing", "a whole number of points"),
        ("direction=to.cc&points=10", "not linked"),
        ("direction=from.bb&points=10", "not linked"),
        ("direction=sideways&points=10", "a whole number of points"),
    ] {
        browser.get(&format!("/member/convert?{query}")).ok().says(text);
        browser.get(&format!("/member/quote?{query}")).ok().says("role=\"alert\"");
    }
    // A text that would be markup is a text.
    browser
        .get("/member/convert?direction=to.bb&points=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
        .is_silent_about("<script>alert");
    assert_eq!(api.aa.get("/v1/memberships/A-1").status(200)["balance"], json!(237));
}

#[test]
fn a_form_of_another_site_or_session_does_nothing() {
    let api = Api::new("page-forms", "");
    api.linked();
    api.aa.register("A-2");
    let mut browser = api.browse("A-1");
    let page = browser.get("/member/convert?direction=to.bb&points=136").ok();
    let fields = page.form("/member/conversions");
    let get = |name: &str| fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str());
    let (token, key, ours) = (get("token").to_owned(), get("key").to_owned(), get("form_token").to_owned());
    let mut other = api.browse("A-2");
    let theirs = other.get("/member").ok().form("/member/end")[0].1.clone();
    let path = "/member/conversions";
    let sent =
        |form_token: &str| vec![("token", token.clone()), ("key", key.clone()), ("form_token", form_token.to_owned())];
    let refs = |fields: &Vec<(&'static str, String)>| fields.iter().map(|(n, v)| (*n, v.clone())).collect::<Vec<_>>();
    for (form_token, headers) in [
        ("", vec![]),
        (theirs.as_str(), vec![]),
        (ours.as_str(), vec![("sec-fetch-site", "cross-site")]),
        (ours.as_str(), vec![("sec-fetch-site", "same-site")]),
    ] {
        let fields = refs(&sent(form_token));
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let refused = browser.post_from(path, &fields, &headers);
        assert_eq!(refused.status, 403, "{form_token} {headers:?}");
        refused.says("Nothing was done");
    }
    // The quote of one member in the page of another, with that page's own form token.
    let stolen = other.post(path, &[("token", &token), ("key", &key), ("form_token", &theirs)]);
    assert_eq!(stolen.status, 422);
    stolen.says("This offer cannot be used");
    assert_eq!(api.aa.get("/v1/memberships/A-1").status(200)["balance"], json!(237));
    // And the right one still works.
    assert_eq!(browser.post(path, &[("token", &token), ("key", &key), ("form_token", &ours)]).status, 303);
}

#[test]
fn nothing_of_one_member_is_reached_from_anothers_page() {
    let api = Api::new("page-others", "");
    api.linked();
    api.aa.register("A-2");
    let id = offer(&api, "coupon");
    let mut own = api.browse("A-1");
    let page = own.get("/member/convert?direction=to.bb&points=136").ok();
    let done = own.submit(&page, "/member/conversions");
    let conversion = done.header("location").expect("a place").to_owned();
    let page = own.get("/member/benefits").ok();
    let claimed = own.submit(&page, &format!("/member/benefits/{id}/claims"));
    let voucher = claimed.header("location").expect("a place").to_owned();
    let links = own.get("/member/links").ok();
    let link = links.address("/member/links/lnk_").trim_end_matches("/end").to_owned();
    let mut other = api.browse("A-2");
    let token = other.get("/member").ok().form("/member/end")[0].1.clone();
    for path in [&conversion, &voucher] {
        own.get(path).ok();
        assert_eq!(other.get(path).status, 404, "{path}");
        assert_eq!(Browser::new(api.pages()).get(path).status, 401, "{path}");
    }
    for path in [format!("{conversion}/undo"), format!("{voucher}/cancellation"), format!("{link}/end")] {
        assert_eq!(other.post(&path, &[("form_token", &token), ("key", "x")]).status, 404, "{path}");
        assert_eq!(Browser::new(api.pages()).post(&path, &[("form_token", &token)]).status, 401, "{path}");
    }
    other.get("/member/history").ok().says("Nothing yet");
    own.get(&conversion).ok().says("Completed");
    own.get(&voucher).ok().says("Good");
}

#[test]
fn a_page_does_what_its_brand_has_let_it_do() {
    let api = Api::new("page-scopes", "");
    api.linked();
    let id = offer(&api, "coupon");
    let mut browser = Browser::new(api.pages());
    let opened = browser.get(&api.member_page("A-1", json!({ "scopes": [] })));
    let home = browser.follow(&opened).ok();
    let token = home.form("/member/end")[0].1.clone();
    let page = browser.get("/member/convert?direction=to.bb&points=136").ok();
    page.says("data-get>74<");
    page.is_silent_about("action=\"/member/conversions\"");
    browser.get("/member/benefits").ok().is_silent_about("/claims");
    for path in
        ["/member/conversions", &format!("/member/benefits/{id}/claims"), "/member/pass", "/member/links/lnk_0/end"]
    {
        let fields = [("form_token", token.as_str()), ("token", "x"), ("key", "x"), ("version", "1")];
        let refused = browser.post(path, &fields);
        assert_eq!(refused.status, 403, "{path}");
        refused.says("does not allow this here");
    }
    for wrong in [
        json!({ "scopes": ["spend"] }),
        json!({ "return_url": "http://aa.example" }),
        json!({ "return_url": "javascript:alert(1)" }),
    ] {
        let mut body = json!({ "member_ref": "A-1" });
        body.as_object_mut().expect("an object").extend(wrong.as_object().expect("an object").clone());
        api.aa.post("/v1/member-sessions", "", &body).refused(422, "invalid");
    }
    api.aa.post("/v1/member-sessions", "", &json!({ "member_ref": "B-1" })).refused(404, "not_found");
}

/// A coupon of `bb`'s for members of `aa`, which nobody else pays for.
fn offer(api: &Api, code: &str) -> String {
    let document = json!({
        "kind": "coupon", "name": { "en": "50 off 100", "zh": "满100减50" },
        "discount": { "amount": "50.00", "from": "100.00" }, "use_days": 30, "quota": 50,
        "offers": [{ "to": "aa", "funder": "giver", "per_member": { "count": 1, "period": "ever" } }],
    });
    let put = api.bb.put(&format!("/v1/benefits/{code}"), &document).status(200);
    put["benefit_id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_voucher_is_claimed_shown_taken_and_given_back() {
    let api = Api::new("page-voucher", "");
    api.linked();
    let id = offer(&api, "coupon");
    let mut browser = api.browse("A-1");
    let page = browser.get("/member/benefits").ok();
    page.says("¥50 off from ¥100");
    let claims = format!("/member/benefits/{id}/claims");
    let claimed = browser.submit(&page, &claims);
    let voucher = browser.follow(&claimed).ok();
    voucher.says("<svg");
    assert_eq!(browser.submit(&page, &claims).header("location"), claimed.header("location"), "pressed twice");
    let code =
        voucher.body.split("id=\"code\">").nth(1).and_then(|rest| rest.split('<').next()).expect("a code").to_owned();
    browser.get("/member/benefits").ok().says("You have had it.");
    // The till sees what the page shows.
    assert_eq!(api.bb.get(&format!("/v1/vouchers/{code}")).status(200)["state"], "issued");
    // It is among what is kept about the person, without the code that opens it.
    let export = api.aa.get("/v1/memberships/A-1/export").status(200);
    assert_eq!(export["vouchers"][0]["state"], "issued", "{export}");
    assert!(!export.to_string().contains(&code.replace('-', "")) && !export.to_string().contains(&code));
    let path = claimed.header("location").expect("a place").to_owned();
    let back = browser.submit(&voucher, &format!("{path}/cancellation"));
    let page = browser.follow(&back).ok();
    page.says("Given back");
    page.is_silent_about(&code);
    // A pass for the till is made by a form and recognised.
    let home = browser.get("/member").ok();
    let pass = browser.submit(&home, "/member/pass").ok();
    let code = pass.body.split("id=\"code\">").nth(1).and_then(|rest| rest.split('<').next()).expect("a code");
    assert_eq!(api.bb.get(&format!("/v1/passes/{code}")).status(200)["brand"], "aa");
}

#[test]
fn a_consent_is_withdrawn_and_nothing_is_converted_any_more() {
    let api = Api::new("page-links", "");
    api.linked();
    let mut browser = api.browse("A-1");
    let page = browser.get("/member/links").ok();
    page.says("exchange");
    api.sql("UPDATE consents SET categories = ARRAY['birth_month', 'shoes']").expect("agreed");
    browser.get("/member/links").ok().says("the month of your birth, shoes<");
    let action = page.address("/member/links/lnk_");
    let ended = browser.submit(&page, &action);
    browser.follow(&ended).ok().says("not linked to another brand");
    browser.get("/member/convert?direction=to.bb&points=136").ok().is_silent_about("data-get");
    assert_eq!(api.aa.get("/v1/memberships/A-1").status(200)["links"], json!([]));
}

#[test]
fn a_page_is_light_and_closing_it_leads_back() {
    let api = Api::new("page-weight", "");
    api.linked();
    let path = api.member_page("A-1", json!({ "return_url": "https://aa.example/app" }));
    let mut browser = Browser::new(api.pages());
    let opened = browser.get(&path);
    let home = browser.follow(&opened).ok();
    let style = home.address("/assets/");
    let script =
        home.body.split("<script src=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a script").to_owned();
    let weight = home.body.len() + browser.get(&style).ok().body.len() + browser.get(&script).ok().body.len();
    assert!(weight < 100_000, "{weight} bytes");
    let closed = browser.submit(&home, "/member/end");
    // By a link: a browser follows no form from here to elsewhere.
    closed.ok().says("href=\"https://aa.example/app\"");
    assert!(!browser.cookies.contains_key(SESSION));
    assert_eq!(browser.get("/member").status, 401);
}
