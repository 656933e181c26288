//! A member's benefits and vouchers on its page: what they say before they are claimed, and what becomes of them.

use super::Browser;
use crate::api::{Api, Expect};
use hanse::domain::ids::AccountId;
use hanse::domain::staff::Role;
use hanse::store::{benefits, catalogue, vouchers};
use serde_json::{Value, json};

/// A coupon of `bb`'s for members of `aa`, with changes; its id.
fn put(api: &Api, code: &str, changes: Value) -> String {
    let mut document = json!({
        "kind": "coupon", "name": { "en": code, "zh": code }, "discount": { "amount": "50.00", "from": "100.00" },
        "use_days": 30, "quota": 50, "offers": [{ "to": "aa", "funder": "giver" }],
    });
    document.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
    let put = api.bb.put(&format!("/v1/benefits/{code}"), &document).status(200);
    put["benefit_id"].as_str().expect("an id").to_owned()
}

/// Claims it on the page; the voucher's address.
fn claim(browser: &mut Browser, id: &str) -> String {
    let page = browser.get("/member/benefits").ok();
    let claimed = browser.submit(&page, &format!("/member/benefits/{id}/claims"));
    claimed.header("location").unwrap_or_else(|| panic!("{}", claimed.body)).to_owned()
}

#[test]
fn a_brand_with_a_ledger_of_its_own_is_told_of_a_claim_on_the_page_and_confirms_it() {
    let api =
        Api::new("page-apart", "UPDATE partners SET hosted = false, endpoint = 'https://aa.example' WHERE slug = 'aa'");
    api.aa.register("A-1");
    let id = put(&api, "goods", json!({ "offers": [{ "to": "aa", "points": 100, "funder": "giver" }] }));
    let mut browser = api.browse("A-1");
    let path = claim(&mut browser, &id);
    browser.get(&path).ok().says("Reserved until");
    let own = api.aa.get("/v1/memberships/A-1").status(200)["membership_id"].clone();
    let told = |caller: &crate::api::Caller| -> Vec<Value> {
        let told = caller.get("/v1/events?limit=50").status(200);
        let all = told["items"].as_array().expect("a list").iter();
        all.filter(|one| one["type"].as_str().is_some_and(|kind| kind.starts_with("voucher"))).cloned().collect()
    };
    let news = told(&api.aa);
    assert_eq!((news.len(), &news[0]["type"]), (1, &json!("voucher.reserved")), "{news:?}");
    assert!(told(&api.bb).is_empty(), "nobody else is told");
    let data = &news[0]["data"];
    assert_eq!((&data["membership_id"], &data["benefit_id"]), (&own, &json!(id)));
    assert_eq!((&data["points"], &data["state"]), (&json!(100), &json!("reserved")));
    // What the brand knows of it is enough to take the points and confirm in time.
    let voucher = data["voucher_id"].as_str().expect("an id");
    let read = api.aa.get(&format!("/v1/vouchers/{voucher}")).status(200);
    assert_eq!(data["reserved_until"], read["reserved_until"]);
    api.aa.send("POST", &format!("/v1/vouchers/{voucher}/confirmation"), "", None).status(200);
    let page = browser.get(&path).ok();
    for text in ["Good", "id=\"code\""] {
        page.says(text);
    }
    let kinds: Vec<Value> = told(&api.aa).iter().map(|one| one["type"].clone()).collect();
    assert_eq!(kinds, ["voucher.reserved", "voucher.issued"]);
    assert!(told(&api.aa)[1]["data"]["reserved_until"].is_null());
}

#[test]
fn a_share_off_says_its_threshold_its_most_and_its_black_days_before_it_is_claimed() {
    let api = Api::new("page-share", "");
    api.aa.register("A-1");
    let id = put(
        &api,
        "share",
        json!({
            "discount": { "percent": "12.5", "from": "300.00", "at_most": "80.00" },
            "blackouts": [{ "from": "2030-05-01", "to": "2030-05-05" }, { "from": "2030-10-01", "to": "2030-10-01" }],
        }),
    );
    let mut browser = api.browse("A-1");
    let texts =
        ["12.5 % off from ¥300, at most ¥80", "Not good from 1 May 2030 to 5 May 2030", "Not good on 1 Oct 2030"];
    let page = browser.get("/member/benefits").ok();
    texts.iter().for_each(|text| page.says(text));
    let path = claim(&mut browser, &id);
    let page = browser.get(&path).ok();
    texts.iter().for_each(|text| page.says(text));
    browser.get("/member/benefits?lang=zh").ok().says("满 ¥300 优惠 12.5%，最多 ¥80");
}

#[test]
fn a_voucher_is_given_back_where_there_is_time_for_it_and_not_offered_to_be_afterwards() {
    let api = Api::new("page-back", "");
    api.aa.register("A-1");
    let day = put(&api, "day", json!({ "use_days": 1 }));
    let offers = json!([{ "to": "aa", "funder": "brand", "cost": "30.00" }]);
    let at_issue = put(&api, "issue", json!({ "settles_at": "issue", "offers": offers }));
    api.aa.post(&format!("/v1/benefits/{at_issue}/approvals"), "", &json!({ "version": 1 })).status(200);
    let mut browser = api.browse("A-1");
    let [day, at_issue] = [day, at_issue].map(|id| claim(&mut browser, &id));
    for path in [&day, &at_issue] {
        browser.get(path).ok().says("id=\"give-back\"");
    }
    api.advance("16 minutes");
    browser.get(&at_issue).ok().is_silent_about("id=\"give-back\"");
    browser.get(&day).ok().says("id=\"give-back\"");
    api.advance("3 days");
    browser.get(&day).ok().is_silent_about("id=\"give-back\"");
}

#[test]
fn what_was_changed_meanwhile_is_told_as_that_and_one_of_a_thing_is_one() {
    let api = Api::new("page-stale", "");
    api.linked();
    let offers = |points: i64| json!({ "offers": [{ "to": "aa", "points": points, "funder": "giver" }] });
    let id = put(&api, "goods", offers(1));
    let mut browser = api.browse("A-1");
    let page = browser.get("/member/benefits").ok();
    for text in [">1 point<", ">Claim for 1 point<", "good for 30 days"] {
        page.says(text);
    }
    put(&api, "goods", offers(2));
    let stale = browser.submit(&page, &format!("/member/benefits/{id}/claims"));
    assert_eq!(stale.status, 422);
    stale.says("It has moved on meanwhile");
    browser.get("/member/benefits").ok().says(">Claim for 2 points<");
    // Whoever opens and closes it is told the same.
    let mut admin = api.sign_in(&api.hire("admin@bb.test", Some("bb"), Role::Admin));
    let page = admin.get("/console/benefits").ok();
    put(&api, "goods", offers(3));
    let stale = admin.submit(&page, &format!("/console/benefits/{id}/state"));
    assert_eq!(stale.status, 422);
    stale.says("It has moved on meanwhile");
}

#[test]
fn what_is_over_takes_no_place_of_what_can_be_had_or_used() {
    let api = Api::new("page-places", "");
    api.linked();
    put(&api, "a-closed", json!({ "state": "closed" }));
    put(&api, "b-over", json!({ "claims_until": "2001-01-01T00:00:00Z" }));
    put(&api, "c-theirs", json!({ "offers": [{ "to": "bb", "funder": "giver" }] }));
    let good = put(&api, "d-good", json!({ "claims_until": "2101-01-01T00:00:00Z" }));
    let conn = &mut api.connection();
    let now = catalogue::business_now(conn).expect("now");
    let search = benefits::Search { claimable: Some(("aa".parse().expect("a slug"), now)), ..Default::default() };
    let found = benefits::list(conn, &search, 1).expect("read");
    assert_eq!(found.iter().map(|row| row.benefit.code.as_str()).collect::<Vec<_>>(), ["d-good"]);
    let mut browser = api.browse("A-1");
    let first = claim(&mut browser, &good);
    for _ in 0..2 {
        let path = claim(&mut browser, &good);
        let page = browser.get(&path).ok();
        assert_eq!(browser.submit(&page, &format!("{path}/cancellation")).status, 303);
    }
    let own = api.aa.get("/v1/memberships/A-1").status(200)["membership_id"].clone();
    let account = own.as_str().and_then(|id| id.parse::<AccountId>().ok()).expect("an id");
    let ids = vouchers::usable_first(conn, account, 2).expect("read");
    assert_eq!(ids.first().map(|id| format!("/member/vouchers/{id}")), Some(first.clone()));
    assert!(ids[1] > ids[0], "of the rest the newest");
    let list = browser.get("/member/vouchers").ok();
    assert_eq!(list.address("/member/vouchers/vch_"), first);
}
