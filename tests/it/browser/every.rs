//! Every page that a person can get to by links, filled with data: nothing serious stands in anybody's way, in both languages.

use super::{Chromium, Setting};
use crate::api::{Api, Expect};
use crate::web::{PASSWORD, Person, registered};
use hanse::domain::staff::Role;
use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};

/// What is a file, leads to another language, or out.
const LEFT: [&str; 9] =
    [".csv", ".js", ".css", "/document", "/file", "/reports/", "/payload", "lang=", "/console/windows/liability/"];

/// The same address with its ids and numbers left out: one of each is looked at.
fn pattern(address: &str) -> String {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let is_id = |part: &str| {
        part.bytes().any(|byte| byte.is_ascii_digit())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let parts: Vec<&str> = path.split('/').map(|part| if is_id(part) { "{}" } else { part }).collect();
    let names: BTreeSet<&str> = query.split('&').filter_map(|pair| pair.split('=').next()).collect();
    format!("{}?{}", parts.join("/"), names.into_iter().collect::<Vec<_>>().join("&"))
}

impl Chromium {
    /// Follows links from here on; what was looked at.
    fn crawl(&self, api: &Api, starts: &[&str], seen: &mut BTreeSet<String>) {
        let mut waiting: VecDeque<String> = starts.iter().map(|start| (*start).to_owned()).collect();
        while let Some(address) = waiting.pop_front() {
            if LEFT.iter().any(|left| address.contains(left)) || !seen.insert(pattern(&address)) {
                continue;
            }
            self.goto(&format!("http://{}{address}", api.pages()));
            self.find("h1");
            self.run("document.querySelectorAll('details').forEach(details => details.open = true)");
            self.is_accessible();
            let links = self.run("return [...document.querySelectorAll('a[href^=\"/\"]:not([download])')].map(a => a.getAttribute('href'))");
            let links = links.as_array().into_iter().flatten().filter_map(Value::as_str);
            waiting.extend(links.map(|link| link.split('#').next().unwrap_or_default().to_owned()));
        }
    }

    /// Adds somebody, who sets up their login.
    fn enrols(&self, api: &Api) {
        self.goto(&format!("http://{}/console/people", api.pages()));
        self.type_into("#login", "newcomer");
        self.click("form.fields button");
        self.find("main .code");
        self.is_accessible();
        let address = self.run("return document.body.textContent.match(/\\/sign-in\\/enrol\\/[A-Za-z0-9_-]+/)[0]");
        self.goto(&format!("http://{}{}", api.pages(), address.as_str().expect("an address")));
        self.find("#again");
        self.is_accessible();
        self.type_into("#password", PASSWORD);
        self.type_into("#again", PASSWORD);
        self.click("form button");
        self.find(".qr svg");
        self.is_accessible();
        let shown = self.run("return document.body.textContent");
        let uri = shown.as_str().and_then(|text| text.find("otpauth://").map(|at| text[at..].to_owned()));
        let newcomer = Person::shown("newcomer", uri.expect("a link").split_whitespace().next().expect("its end"));
        self.type_into("#code", &newcomer.code());
        self.click("form button");
        self.find("#content");
        self.is_accessible();
    }
}

/// Something of everything, and where a conversion is shown.
fn filled(name: &str) -> (Api, String) {
    let api = Api::new(name, "");
    api.a_window();
    registered(&api.aa, "aa");
    api.proposal(1);
    let code = api.voucher("coupon", "A-1", json!({}));
    let body = json!({ "store": "Bund", "till": "3", "amount": "320.00", "external_reference": "t1" });
    api.bb.post(&format!("/v1/vouchers/{code}/redemptions"), "t1", &body).status(201);
    api.voucher("dinner", "A-1", json!({}));
    let paid = json!({
        "kind": "ticket", "name": { "en": "Family park ticket", "zh": "亲子乐园门票" }, "face_value": "120.00", "use_days": 30,
        "quota": 50, "offers": [{ "to": "aa", "funder": "brand", "cost": "80.00" }],
    });
    api.bb.put("/v1/benefits/family-park", &paid).status(200);
    api.aa.post("/v1/webhooks", "", &json!({ "url": "https://hooks.aa.example/hanse" })).status(201);
    let window = api.window(1);
    let line = api.lines(window, "aa")[0]["line_id"].clone();
    let dispute = json!({ "line_id": line, "kind": "amount", "claimed_amount": "-3.00", "note": "goods came back" });
    api.aa.post(&format!("/v1/settlements/{window}/disputes"), "", &dispute).status(201);
    let body = json!({ "member_ref": "A-1", "to": "bb", "points": 10, "external_reference": "order-3" });
    let conversion = api.aa.post("/v1/conversions", "order-3", &body).status(201);
    api.count();
    let conversion = format!("/console/conversions/{}", conversion["conversion_id"].as_str().expect("an id"));
    (api, conversion)
}

fn every_page(name: &str, setting: Setting) {
    let (api, conversion) = filled(name);
    let Some(browser) = Chromium::start(name, setting) else { return };
    let mut seen = BTreeSet::new();
    browser.goto(&format!("http://{}{}", api.pages(), api.member_page("A-1", json!({}))));
    browser.crawl(&api, &["/member"], &mut seen);
    let people = [("fin@aa.test", Some("aa"), Role::Finance), ("boss@aa.test", Some("aa"), Role::Admin)];
    for (login, partner, role) in people {
        browser.sign_in(&api, &api.hire(login, partner, role));
        if role == Role::Finance {
            browser.goto(&format!("http://{}/console/reconciliations", api.pages()));
            browser.type_into("#list", "external_reference,amount\norder-1,-3.00\norder-9,-1.00\n");
            browser.click("form.fields button");
            browser.find("[data-table], table");
        }
        browser.crawl(&api, &["/console/windows/1", "/console/windows/1/sign", &conversion, "/console"], &mut seen);
        // What another role adds is looked at, and their first page again.
        seen.remove(&pattern("/console"));
    }
    assert!(seen.len() > 30, "{seen:#?}");
    let mut seen = BTreeSet::new();
    browser.sign_in(&api, &api.hire("till@bb.test", Some("bb"), Role::Clerk));
    browser.crawl(&api, &["/console"], &mut seen);
    browser.sign_in(&api, &api.hire("ada", None, Role::Admin));
    seen.remove(&pattern("/console"));
    browser.crawl(&api, &["/console/windows/1", &conversion, "/console"], &mut seen);
    assert!(seen.len() > 20, "{seen:#?}");
    browser.enrols(&api);
}

#[test]
fn nothing_on_any_page_stands_in_anybodys_way() {
    every_page("every-en", Setting::DESK);
}

#[test]
fn nothing_does_in_chinese_on_a_phone() {
    every_page("every-zh", Setting::PHONE);
}
