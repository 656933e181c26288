//! Two operators resolve what is in doubt.

use super::{Chromium, Setting};
use crate::api::{Api, Expect};
use hanse::domain::staff::Role;

fn resolve(name: &str, setting: Setting, resolved: [&str; 3]) {
    let api = Api::between(name);
    let Some(browser) = Chromium::start(name, setting) else { return };
    let id = api.in_doubt("order-1");
    browser.sign_in(&api, &api.hire("ada", None, Role::Engineer));
    browser.click("nav a[href='/console/crossings']");
    browser.find("h1");
    browser.is_accessible();
    browser.picture(&format!("operations-{name}"));
    browser.click(&format!("a[href='/console/crossings/{id}']"));
    browser.find("#doubtful");
    browser.is_accessible();
    browser.click("#completed");
    browser.type_into("#reason", "their statement of 3 May, line 17");
    browser.click("#say");
    browser.reads("#proposal", resolved[0]);
    browser.is_accessible();
    browser.picture(&format!("doubt-{name}"));
    let other = Chromium::start(&format!("{name}-two"), setting).expect("another browser");
    other.sign_in(&api, &api.hire("grace", None, Role::Admin));
    other.goto(&format!("http://{}/console/crossings/{id}", api.pages()));
    other.reads("#proposal", "ada");
    other.type_into("#reason", "checked with their finance by phone");
    other.run("window.confirm = () => true");
    other.click("#say");
    other.reads("#resolved", resolved[1]);
    other.reads("#state", resolved[2]);
    other.is_accessible();
    assert_eq!(api.aa.get(&format!("/v1/conversions/{id}")).status(200)["state"], "completed");
}

#[test]
fn two_operators_resolve_a_conversion_in_doubt() {
    resolve("doubt-en", Setting::DESK, ["ada proposes", "ada and grace", "Done"]);
}

#[test]
fn two_operators_resolve_a_conversion_in_doubt_in_chinese() {
    let setting = Setting { language: "zh-CN", ..Setting::DESK };
    resolve("doubt-zh", setting, ["ada提出", "ada与grace", "已完成"]);
}
