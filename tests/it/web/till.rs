//! The till without a script: whose it is, what it takes once, and why not.

use super::{Browser, Shown};
use crate::api::{Api, Expect};
use hanse::domain::staff::Role;
use serde_json::{Value, json};
use std::sync::Barrier;

impl Api {
    /// A voucher of `bb`'s coupon for a member of `aa`, with changes; its code.
    pub fn voucher(&self, code: &str, member: &str, changes: Value) -> String {
        let mut document = json!({
            "kind": "coupon", "name": { "en": "50 off 300", "zh": "满300减50" },
            "discount": { "amount": "50.00", "from": "300.00" }, "use_days": 30, "quota": 50,
            "offers": [{ "to": "aa", "funder": "giver" }],
        });
        document.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        let put = self.bb.put(&format!("/v1/benefits/{code}"), &document).status(200);
        let claims = format!("/v1/benefits/{}/claims", put["benefit_id"].as_str().expect("an id"));
        let claimed = self.aa.post(&claims, &format!("{code}-{member}"), &json!({ "member_ref": member })).status(201);
        claimed["code"].as_str().expect("a code").to_owned()
    }

    /// A till of somebody's at the Bund.
    pub fn till(&self, login: &str, partner: &str, number: &str) -> Browser {
        let mut browser = self.sign_in(&self.hire(login, Some(partner), Role::Clerk));
        let page = browser.get("/till").ok();
        let placed = browser.fill(&page, "/till/place", &[("store", "外滩 Bund"), ("till", number)]);
        browser.follow(&placed).ok().says("外滩 Bund");
        browser
    }
}

/// Looks at what is shown, with a bill.
fn look(till: &mut Browser, code: &str, bill: &str) -> Shown {
    let page = till.get("/till").ok();
    till.fill(&page, "/till/look", &[("code", code), ("bill", bill)])
}

fn redeem(till: &mut Browser, code: &str, bill: &str, receipt: &str) -> Shown {
    let page = look(till, code, bill).ok();
    till.fill(&page, "/till/redemptions", &[("bill", bill), ("receipt", receipt)])
}

#[test]
fn a_voucher_is_looked_at_taken_once_and_refused_in_words_afterwards() {
    let api = Api::new("till-once", "");
    api.aa.register("A-1");
    let code = api.voucher("coupon", "A-1", json!({}));
    let (mut till, mut other) = (api.till("clerk@bb.test", "bb", "3"), api.till("clerk-two@bb.test", "bb", "4"));
    let short = look(&mut till, &code, "299.99").ok();
    short.says("below what this voucher asks for");
    short.is_silent_about("id=\"redeem\"");
    assert_eq!(look(&mut till, &code, "a lot").status, 422);
    let page = look(&mut till, &code.to_lowercase(), "328.00").ok();
    for text in ["50 off 300", "Good", ">CNY 50.00<", ">CNY 278.00<"] {
        page.says(text);
    }
    let typed = [("bill", "328.00"), ("receipt", "R-1")];
    let done = till.fill(&page, "/till/redemptions", &typed);
    let taken = till.follow(&done).ok();
    for text in ["Redeemed", "R-1", "外滩 Bund", "CNY 278.00"] {
        taken.says(text);
    }
    let again = till.fill(&page, "/till/redemptions", &typed);
    assert_eq!(again.header("location"), done.header("location"), "pressed twice");
    let path = done.header("location").expect("a place").to_owned();
    let id = path.rsplit('/').next().expect("an id");
    assert_eq!(api.acts("voucher."), [format!("clerk@bb.test voucher.redeemed {id}")], "one act");
    // Elsewhere, before and after it is tried.
    let seen = look(&mut other, &code, "328.00").ok();
    for text in ["Not good", "has been used", id, "外滩 Bund"] {
        seen.says(text);
    }
    seen.is_silent_about("id=\"redeem\"");
    let start = other.get("/till").ok();
    let token = start.form("/till/look")[0].1.clone();
    let fields = [("form_token", token.as_str()), ("code", &code), ("key", "k"), ("bill", "328.00")];
    let refused = other.post("/till/redemptions", &fields);
    assert_eq!(refused.status, 422);
    for text in ["has been used", "It was used on", id] {
        refused.says(text);
    }
    taken_back(&api, (&mut till, &mut other), &path);
}

/// By whoever took it, with a reason, once.
fn taken_back(api: &Api, (till, other): (&mut Browser, &mut Browser), path: &str) {
    let page = other.get(path).ok();
    page.says("your brand&#39;s engineers do through the API");
    let token = page.form("/console/sign-out")[0].1.clone();
    let back = format!("{path}/reversal");
    let theirs = other.post(&back, &[("form_token", &token), ("reason", "x"), ("key", "k")]);
    assert_eq!(theirs.status, 403);
    let page = till.get(path).ok();
    assert_eq!(till.fill(&page, &back, &[("reason", "  ")]).status, 422);
    let done = till.fill(&page, &back, &[("reason", "the wrong voucher")]);
    assert_eq!(till.fill(&page, &back, &[("reason", "the wrong voucher")]).status, 303, "sent twice");
    let page = till.follow(&done).ok();
    page.says("Taken back");
    page.is_silent_about(&back);
    assert_eq!(api.acts("voucher.redemption").len(), 1);
    let token = page.form("/console/sign-out")[0].1.clone();
    let late = till.post(&back, &[("form_token", &token), ("reason", "again"), ("key", "other")]);
    assert_eq!(late.status, 422);
    late.says("taken back already");
}

#[test]
fn a_voucher_is_refused_on_another_day_beside_another_one_and_when_it_is_over() {
    let api = Api::new("till-why", "");
    for member in ["A-1", "A-2", "A-3"] {
        api.aa.register(member);
    }
    let mut till = api.till("clerk@bb.test", "bb", "");
    let black = json!({ "blackouts": [{ "from": "2000-01-01", "to": "2100-01-01" }] });
    let code = api.voucher("black", "A-1", black);
    look(&mut till, &code, "300").ok().says("not good on this day");
    let codes = [api.voucher("coupon", "A-1", json!({})), api.voucher("coupon", "A-2", json!({}))];
    assert_eq!(redeem(&mut till, &codes[0], "300", "R-9").status, 303);
    let second = redeem(&mut till, &codes[1], "300", "R-9");
    assert_eq!(second.status, 422);
    second.says("does not go with others");
    assert_eq!(redeem(&mut till, &codes[1], "300", "R-10").status, 303);
    let code = api.voucher("coupon", "A-3", json!({}));
    api.advance("40 days");
    let over = look(&mut till, &code, "300").ok();
    over.says("has expired");
    over.is_silent_about("/till/redemptions\"");
    // In Chinese: the same till from now on.
    till.get("/till?lang=zh").ok();
    look(&mut till, &code, "300").ok().says("该券已过期");
}

#[test]
fn a_till_is_for_clerks_and_knows_its_own_brands_vouchers_alone() {
    let api = Api::new("till-whose", "");
    api.aa.register("A-1");
    let code = api.voucher("coupon", "A-1", json!({}));
    for (login, partner, role) in [
        ("admin@bb.test", Some("bb"), Role::Admin),
        ("viewer@bb.test", Some("bb"), Role::Viewer),
        ("ada", None, Role::Admin),
    ] {
        let mut browser = api.sign_in(&api.hire(login, partner, role));
        assert_eq!(browser.get("/till").status, 403, "{login}");
        let token = browser.get("/console").ok().form("/console/sign-out")[0].1.clone();
        for path in ["/till/look", "/till/redemptions", "/till/place", "/till/redemptions/use_0/reversal"] {
            let fields =
                [("form_token", token.as_str()), ("code", &code), ("key", "k"), ("store", "x"), ("reason", "x")];
            assert_eq!(browser.post(path, &fields).status, 403, "{login} {path}");
        }
    }
    assert_eq!(Browser::new(api.pages()).get("/till").status, 401);
    let mut theirs = api.till("clerk@aa.test", "aa", "1");
    let page = look(&mut theirs, &code, "300");
    assert_eq!(page.status, 404);
    page.says("Neither a voucher of yours nor a pass");
    let token = page.form("/till/look")[0].1.clone();
    let fields = [("form_token", token.as_str()), ("code", &code), ("key", "k"), ("bill", "300")];
    assert_eq!(theirs.post("/till/redemptions", &fields).status, 404);
    let mut till = api.till("clerk@bb.test", "bb", "1");
    let done = redeem(&mut till, &code, "300", "");
    let path = done.header("location").expect("a place").to_owned();
    till.get(&path).ok();
    assert_eq!(theirs.get(&path).status, 404, "another brand's redemption");
    // A form of another session.
    let own = till.get("/till").ok().form("/till/look")[0].1.clone();
    assert_eq!(theirs.post("/till/look", &[("form_token", &own), ("code", &code)]).status, 403);
}

#[test]
fn what_is_too_old_to_be_taken_back_is_not_offered_to_be() {
    let api = Api::new("till-old", "");
    api.aa.register("A-1");
    let mut till = api.till("clerk@bb.test", "bb", "1");
    let code = api.voucher("coupon", "A-1", json!({}));
    let done = redeem(&mut till, &code, "300", "");
    let path = done.header("location").expect("a place").to_owned();
    till.get(&path).ok().says("id=\"take-back\"");
    api.advance("31 days");
    let mut till = api.sign_in(&api.hire("clerk-two@bb.test", Some("bb"), Role::Clerk));
    let page = till.get(&path).ok();
    page.says("more than 30 days old");
    page.is_silent_about("id=\"take-back\"");
}

#[test]
fn a_brand_that_has_left_honours_its_vouchers_until_its_books_are_closed() {
    let api = Api::new("till-left", "");
    api.aa.register("A-1");
    let code = api.voucher("coupon", "A-1", json!({}));
    let mut till = api.till("clerk@bb.test", "bb", "1");
    let to = |step: &str| {
        let sql = format!(
            "UPDATE partners SET {step} = clock_timestamp(), status = 'left' WHERE slug = 'bb'; \
             UPDATE alliance SET catalogue_version = catalogue_version + 1"
        );
        api.sql(&sql).expect("a step");
    };
    to("leaves_at");
    let done = redeem(&mut till, &code, "300", "");
    till.follow(&done).ok().says("Redeemed");
    to("closed_at");
    till.get("/console").ok().says("has left the alliance");
    assert_eq!(till.get("/till").status, 403);
}

#[test]
fn twenty_tills_race_for_one_voucher_and_exactly_one_redeems_it() {
    let api = Api::new("till-race", "");
    api.aa.register("A-1");
    let code = api.voucher("coupon", "A-1", json!({}));
    let clerks: Vec<Browser> = (0..4).map(|nth| api.till(&format!("clerk-{nth}@bb.test"), "bb", "1")).collect();
    let tills: Vec<(Browser, Shown)> = (0..20)
        .map(|nth| {
            let mut till = clerks[nth % 4].clone();
            let page = look(&mut till, &code, "328").ok();
            (till, page)
        })
        .collect();
    let barrier = &Barrier::new(20);
    let answers: Vec<Shown> = std::thread::scope(|scope| {
        let press = |(mut till, page): (Browser, Shown)| {
            scope.spawn(move || {
                barrier.wait();
                till.fill(&page, "/till/redemptions", &[("bill", "328")])
            })
        };
        let all: Vec<_> = tills.into_iter().map(press).collect();
        all.into_iter().map(|one| one.join().expect("answered")).collect()
    });
    let won: Vec<&str> = answers.iter().filter_map(|answer| answer.header("location")).collect();
    assert_eq!(won.len(), 1, "{won:?}");
    let id = won[0].rsplit('/').next().expect("an id");
    for lost in answers.iter().filter(|answer| answer.header("location").is_none()) {
        assert_eq!(lost.status, 422);
        lost.says(id);
    }
    assert_eq!(api.acts("voucher.").len(), 1);
}

#[test]
fn a_pass_tells_the_tier_and_what_the_member_has_agreed_to_share() {
    let api = Api::new("till-pass", "");
    api.linked();
    let body = json!({ "tier": "top", "status": "active", "birth_month": 4, "member_since": "2020-05-17" });
    api.aa.put("/v1/memberships/A-1", &body).status(200);
    api.bb.put("/v1/tier-maps/aa", &json!({ "tiers": { "top": "top" } })).status(200);
    let pass = || api.aa.send("POST", "/v1/memberships/A-1/passes", "", None).status(201);
    let mut till = api.till("clerk@bb.test", "bb", "1");
    let code = pass()["code"].as_str().expect("a code").to_owned();
    let page = look(&mut till, &code, "").ok();
    for text in ["Top", "Recognised here as", "Nothing more is shared"] {
        page.says(text);
    }
    for text in ["A-1", "tok_", "mem_", "May", "2020"] {
        page.is_silent_about(text);
    }
    api.sql("UPDATE consents SET categories = ARRAY['birth_month'] WHERE recipient = 'bb'").expect("consented");
    let page = look(&mut till, &code, "").ok();
    page.says("Month of birth");
    page.is_silent_about("Member since");
    api.sql("UPDATE passes SET expires_at = clock_timestamp() - interval '1 second'").expect("two minutes later");
    assert_eq!(look(&mut till, &code, "").status, 404);
}
