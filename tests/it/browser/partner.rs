//! A partner's console: every place of it can be read and used by everybody, and a proposal is approved with a signature.

use super::{Chromium, PATIENCE, Setting};
use crate::api::{Api, Expect};
use crate::support::poll;
use crate::web::PROPOSAL;
use hanse::domain::staff::Role;
use hanse::service::proposals::JWS_TYPE;
use serde_json::json;

fn looks_and_approves(name: &str, setting: Setting, none: &str) {
    let api = Api::new(name, "");
    let Some(browser) = Chromium::start(name, setting) else { return };
    api.linked();
    let body = json!({ "member_ref": "A-1", "to": "bb", "points": 20, "external_reference": "order-1" });
    api.aa.post("/v1/conversions", "order-1", &body).status(201);
    api.count();
    let (change, key) = (api.proposal(1), api.key("bb"));
    api.voucher("coupon", "A-1", json!({}));
    api.sql("UPDATE exposures SET cap = 5000000 WHERE key = 'pair:aa:bb'").expect("a line");
    browser.sign_in(&api, &api.hire("admin@bb.test", Some("bb"), Role::Admin));
    browser.is_accessible();
    for place in ["figures", "conversions", "rates", "benefits", "exposures", "webhooks", "keys", "people", "proposals"]
    {
        browser.click(&format!("nav a[href='/console/{place}']"));
        browser.find(&format!("nav a[href='/console/{place}'][aria-current=page]"));
        browser.is_accessible();
        browser.picture(&format!("console-{place}-{name}"));
    }
    browser.click(&format!("a[href='/console/proposals/{PROPOSAL}']"));
    browser.reads("#no-loops", none);
    browser.is_accessible();
    browser.picture(&format!("proposal-{name}"));
    assert_eq!(browser.text("#canonical"), change, "what is copied is what is signed");
    browser.type_into("#jws", &key.sign(JWS_TYPE, change.as_bytes()));
    browser.click("#approve");
    let approved = [format!("admin@bb.test proposal.approved {PROPOSAL}")];
    poll("the approval is on record", PATIENCE, || (api.acts("proposal.") == approved).then_some(()));
}

#[test]
fn a_partner_looks_at_its_business_and_approves() {
    looks_and_approves("console-en", Setting::DESK, "No way round");
}

#[test]
fn a_partner_looks_at_its_business_in_chinese() {
    looks_and_approves("console-zh", Setting::PHONE, "任何循环");
}
