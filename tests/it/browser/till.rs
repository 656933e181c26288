//! Two clerks at two tills: a voucher is taken once, the other till is told why not, a member is recognised.

use super::{Chromium, Screen, Setting};
use crate::api::{Api, Expect};
use hanse::domain::staff::Role;
use serde_json::json;

/// The texts a clerk looks for, in English and Chinese.
struct Texts {
    good: &'static str,
    redeemed: &'static str,
    used: &'static str,
    taken_back: &'static str,
    top: &'static str,
}

const EN: Texts =
    Texts { good: "Good", redeemed: "Redeemed", used: "has been used", taken_back: "Taken back", top: "Top" };
const ZH: Texts =
    Texts { good: "可使用", redeemed: "已核销", used: "该券已使用", taken_back: "已冲回", top: "顶级" };

fn opens(browser: &Chromium, api: &Api, login: &str, number: &str) {
    browser.sign_in(api, &api.hire(login, Some("bb"), Role::Clerk));
    browser.click("nav a[href='/till']");
    browser.find("#store");
    browser.is_accessible();
    says_where(browser, number);
    browser.is_accessible();
}

fn says_where(browser: &Chromium, number: &str) {
    browser.type_into("#store", "外滩 Bund");
    browser.type_into("#till", number);
    browser.press("#remember");
    browser.reads("#here", "外滩 Bund");
}

fn scans(browser: &Chromium, code: &str, bill: &str) {
    browser.type_into("#code", code);
    browser.type_into("#bill", bill);
    browser.press("form[action='/till/look'] button");
}

fn takes_a_voucher_once(name: &str, setting: Setting, texts: &Texts) {
    let api = Api::new(name, "");
    let Some(browser) = Chromium::start(name, setting) else { return };
    api.linked();
    let code = api.voucher("coupon", "A-1", json!({}));
    opens(&browser, &api, "clerk@bb.test", "3");
    browser.picture(&format!("till-start-{name}"));
    scans(&browser, &code, "120");
    browser.find("#state");
    browser.is_accessible();
    assert!(!browser.is_there("#redeem"), "below the threshold");
    browser.type_into("#bill", "328");
    browser.click("#again");
    browser.reads("#state", texts.good);
    browser.reads("#to-pay", "278.00");
    browser.is_accessible();
    browser.picture(&format!("till-voucher-{name}"));
    browser.type_into("#receipt", "R-1");
    browser.click("#redeem");
    browser.reads("#state", texts.redeemed);
    browser.reads("#to-pay", "278.00");
    browser.is_accessible();
    let id = browser.text("#id");
    assert_eq!(api.acts("voucher."), [format!("clerk@bb.test voucher.redeemed {id}")]);
    // The same voucher at another till, of which the first knew nothing.
    let other = Chromium::start(&format!("{name}-two"), setting).expect("another browser");
    opens(&other, &api, "clerk-two@bb.test", "4");
    scans(&other, &code, "328");
    other.reads("[role=alert]", texts.used);
    other.reads("[role=alert]", &id);
    assert!(!other.is_there("#redeem"));
    other.is_accessible();
    other.picture(&format!("till-used-{name}"));
    other.click("#next");
    let pass = api.aa.send("POST", "/v1/memberships/A-1/passes", "", None).status(201);
    scans(&other, pass["code"].as_str().expect("a code"), "");
    other.reads("#member", "aa");
    other.is_accessible();
    other.picture(&format!("till-pass-{name}"));
    browser.type_into("#reason", "the wrong voucher");
    browser.run("window.confirm = () => true");
    browser.click("#take-back");
    browser.reads("#state", texts.taken_back);
    browser.is_accessible();
}

#[test]
fn a_clerk_at_a_tablet_takes_a_voucher_once() {
    takes_a_voucher_once("till-en", Setting { screen: Screen::Phone, ..Setting::DESK }, &EN);
}

#[test]
fn a_clerk_takes_a_voucher_once_in_chinese() {
    takes_a_voucher_once("till-zh", Setting::PHONE, &ZH);
}

#[test]
fn a_clerk_takes_a_voucher_without_a_script_and_recognises_a_tier() {
    let api = Api::new("till-plain", "");
    let Some(browser) = Chromium::start("till-plain", Setting { script: false, ..Setting::DESK }) else { return };
    api.linked();
    let code = api.voucher("coupon", "A-1", json!({}));
    browser.sign_in(&api, &api.hire("clerk@bb.test", Some("bb"), Role::Clerk));
    browser.goto(&format!("http://{}/till", api.pages()));
    says_where(&browser, "3");
    scans(&browser, &code, "328");
    browser.press("#redeem");
    browser.reads("#state", EN.redeemed);
    browser.press("#next");
    let body = json!({ "tier": "top", "status": "active" });
    api.aa.put("/v1/memberships/A-1", &body).status(200);
    api.bb.put("/v1/tier-maps/aa", &json!({ "tiers": { "top": "top" } })).status(200);
    let pass = api.aa.send("POST", "/v1/memberships/A-1/passes", "", None).status(201);
    scans(&browser, pass["code"].as_str().expect("a code"), "");
    browser.reads("#member", EN.top);
}
