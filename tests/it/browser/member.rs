//! A member on its page: converting, undoing, claiming, showing a voucher.

use super::{Chromium, Screen, Setting};
use crate::api::{Api, Expect};
use crate::support::poll;
use serde_json::json;
use std::time::Duration;

impl Api {
    fn open(&self, browser: &Chromium, member: &str) {
        browser.goto(&format!("http://{}{}", self.pages(), self.member_page(member, json!({}))));
    }

    fn balance(&self, member: &str) -> i64 {
        self.aa.get(&format!("/v1/memberships/{member}")).status(200)["balance"].as_i64().expect("a number")
    }

    /// Offers of `bb`'s to members of `aa`: one they may have, and one for a higher tier.
    fn offers(&self) {
        let coupon = json!({
            "kind": "coupon", "name": { "en": "50 off 300", "zh": "满300减50" },
            "description": { "en": "On anything in the shop.", "zh": "全场通用。" },
            "discount": { "amount": "50.00", "from": "300.00" }, "use_days": 30, "quota": 50,
            "offers": [{ "to": "aa", "funder": "giver" }],
        });
        self.bb.put("/v1/benefits/coupon", &coupon).status(200);
        let salon = json!({
            "kind": "place", "name": { "en": "Evening salon", "zh": "夜间沙龙" }, "use_days": 30, "quota": 20,
            "offers": [{ "to": "aa", "tiers": ["top"], "funder": "giver" }],
        });
        self.bb.put("/v1/benefits/salon", &salon).status(200);
    }
}

/// The texts a person looks for, in English and Chinese.
struct Texts {
    completed: &'static str,
    undone: &'static str,
    good: &'static str,
}

const EN: Texts = Texts { completed: "Completed", undone: "Undone", good: "Good" };
const ZH: Texts = Texts { completed: "已完成", undone: "已撤销", good: "可使用" };

fn converts_undoes_claims(name: &str, setting: Setting, texts: &Texts) {
    let api = Api::new(name, "");
    let Some(browser) = Chromium::start(name, setting) else { return };
    api.linked();
    api.offers();
    api.open(&browser, "A-1");
    if setting.language == "zh-CN" {
        browser.draws_chinese();
    }
    browser.is_accessible();
    browser.type_into("#points", "137");
    browser.reads("[data-give]", "136");
    browser.reads("[data-get]", "74");
    browser.reads("[data-keep]", "101");
    browser.reads("[data-spare]", "1");
    browser.is_accessible();
    browser.picture(&format!("member-convert-{name}"));
    assert_eq!(api.balance("A-1"), 237, "nothing is done before it is confirmed");
    browser.click("#confirm");
    browser.reads(".state", texts.completed);
    assert_eq!(api.balance("A-1"), 101);
    browser.is_accessible();
    browser.click("#undo");
    browser.reads(".state", texts.undone);
    assert_eq!(api.balance("A-1"), 237);
    browser.click("nav a[href='/member/benefits']");
    browser.is_accessible();
    browser.picture(&format!("member-benefits-{name}"));
    browser.click(".benefit form button");
    browser.reads(".state", texts.good);
    let code = browser.text("#code");
    assert_eq!(api.bb.get(&format!("/v1/vouchers/{code}")).status(200)["state"], "issued");
    assert!(browser.is_there(".qr svg"));
    browser.is_accessible();
    browser.picture(&format!("member-voucher-{name}"));
    for place in ["history", "vouchers", "links"] {
        browser.click(&format!("nav a[href='/member/{place}']"));
        browser.find("h1");
        browser.is_accessible();
    }
}

#[test]
fn a_member_at_a_desk_converts_undoes_and_claims() {
    converts_undoes_claims("desk", Setting::DESK, &EN);
}

#[test]
fn a_member_with_a_phone_does_so_in_chinese() {
    converts_undoes_claims("phone", Setting::PHONE, &ZH);
}

#[test]
fn a_member_with_a_dark_screen_sees_as_much() {
    let setting = Setting { screen: Screen::Phone, dark: true, ..Setting::DESK };
    converts_undoes_claims("dark", setting, &EN);
}

#[test]
fn a_member_converts_without_a_script() {
    let setting = Setting { script: false, ..Setting::PHONE };
    let api = Api::new("noscript", "");
    let Some(browser) = Chromium::start("noscript", setting) else { return };
    api.linked();
    api.open(&browser, "A-1");
    browser.type_into("#points", "137");
    browser.press("form.ask button");
    browser.reads("[data-get]", "74");
    browser.press("#confirm");
    browser.reads(".state", ZH.completed);
    assert_eq!(api.balance("A-1"), 101);
    browser.press("#undo");
    browser.reads(".state", ZH.undone);
    assert_eq!(api.balance("A-1"), 237);
}

/// Holds answers back until they are let go, and looks a moment later whether anything can be confirmed.
const HELD: &str = "window.real = window.fetch; window.held = [];
    window.fetch = async (...all) => {
        const answer = await window.real(...all);
        await new Promise((go) => window.held.push(go));
        return answer;
    };";
const OVERTAKEN: &str = "const field = document.getElementById('points');
    field.value = '20';
    field.dispatchEvent(new Event('input', { bubbles: true }));
    window.held.shift()();
    setTimeout(() => { window.seen = document.querySelectorAll('#confirm:not([disabled])').length; }, 150);";

#[test]
fn nobody_confirms_what_was_typed_before_and_the_form_works_where_nothing_answers() {
    let api = Api::new("late", "");
    let Some(browser) = Chromium::start("late", Setting::DESK) else { return };
    api.linked();
    api.open(&browser, "A-1");
    browser.find("#points");
    browser.run(HELD);
    browser.type_into("#points", "136");
    let once = |script: &str| {
        poll(script, Duration::from_secs(20), || browser.run(script).as_i64());
    };
    once("return window.held.length > 0 ? 1 : null");
    browser.run(OVERTAKEN);
    poll("looked", Duration::from_secs(20), || browser.run("return window.seen ?? null").as_i64());
    assert_eq!(browser.run("return window.seen"), 0, "the answer to 136 is not shown for 20");
    // That of the new figure is.
    once("return window.held.length > 0 ? 1 : null");
    browser.run("window.held.shift()()");
    browser.reads("[data-give]", "20");
    assert_eq!(browser.run("return document.querySelectorAll('#confirm:not([disabled])').length"), 1);
    // A server that does not answer: nothing old is left, and the form's own button asks.
    browser.run("window.fetch = async () => new Response('', { status: 503 })");
    browser.type_into("#points", "136");
    poll("nothing is shown", Duration::from_secs(20), || (!browser.is_there("[data-give]")).then_some(()));
    browser.click("form.ask button");
    browser.reads("[data-give]", "136");
    assert!(browser.address().contains("/member/convert?"), "{}", browser.address());
}

#[test]
fn the_keyboard_alone_is_enough_to_convert() {
    let api = Api::new("keyboard", "");
    let Some(browser) = Chromium::start("keyboard", Setting::DESK) else { return };
    api.linked();
    api.open(&browser, "A-1");
    // From the field on: enter asks, tab leads to the confirmation, enter confirms.
    browser.type_into("#points", "136\u{e007}");
    browser.reads("[data-get]", "74");
    browser.run("document.activeElement.id === 'points' || document.getElementById('points').focus()");
    browser.type_keys("\u{e004}\u{e004}\u{e007}");
    browser.reads(".state", EN.completed);
    assert_eq!(api.balance("A-1"), 101);
}
