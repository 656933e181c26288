//! The pictures that the documents show: of a demo with two months behind it, where pictures are wanted.

use super::{Chromium, Screen, Setting};
use crate::demo::Demo;

#[test]
fn pages_of_a_demo_that_has_lived_a_while() {
    if std::env::var_os("HANSE_SCREENSHOTS").is_none() {
        return;
    }
    let demo = Demo::start("pictures", &["--quiet", "--history", "60"]);
    let open = |setting: Setting, door: &str| {
        let browser = Chromium::start(&format!("picture-{door}"), setting).expect("a browser");
        browser.goto(&format!("{}/demo/{door}", demo.public));
        browser
    };
    for (language, name) in [("en", "en"), ("zh-CN", "zh")] {
        let browser = open(Setting { language, screen: Screen::Phone, ..Setting::DESK }, "member");
        browser.type_into("#points", "137");
        browser.find("[data-give]");
        browser.is_accessible();
        browser.run("document.querySelector('#convert').scrollIntoView()");
        browser.picture(&format!("member-convert-{name}"));
        browser.click("nav a[href='/member/benefits']");
        browser.is_accessible();
        browser.picture(&format!("member-benefits-{name}"));
        browser.click("nav a[href='/member/history']");
        browser.is_accessible();
    }
    let browser = open(Setting::DESK, "operator");
    browser.picture("console-operator");
    browser.click("nav.places a[href='/console/figures']");
    browser.find("#chart-conversions");
    browser.is_accessible();
    browser.picture("console-figures");
    browser.run("document.querySelector('#chart-conversions').scrollIntoView()");
    browser.picture("console-charts");
    let browser = open(Setting::DESK, "finance");
    browser.click("nav.places a[href='/console/windows']");
    browser.picture("console-windows");
    drop(browser);
    assert!(demo.stop().success());
}
