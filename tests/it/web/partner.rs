//! A partner's console without a script: its own business, and nobody else's.

use super::Browser;
use crate::api::{Api, Expect};
use hanse::domain::holder::Holder;
use hanse::domain::staff::Role;
use hanse::service::proposals::JWS_TYPE;
use hanse::signing::canonical;
use hanse::signing::jws::SigningKey;
use serde_json::{Value, json};

pub const PROPOSAL: &str = "prp_0198c0de0000700080000000000000aa";

impl Api {
    /// A proposal that aa's points become bb's at `num` for 1: what is signed.
    pub fn proposal(&self, num: i64) -> String {
        let rate = json!({ "num": num, "den": 1, "step": 2, "minimum": 2, "public": true });
        let body =
            json!({ "v": 1, "proposal": PROPOSAL, "alliance": "small", "from": "aa", "to": "bb", "rates": [rate] });
        let change = String::from_utf8(canonical::to_vec(&body).expect("canonical")).expect("text");
        self.sql(&format!(
            "INSERT INTO proposals (proposal_id, kind, from_partner, to_partner, change, state, proposed_at, notice_days) \
             VALUES ('0198c0de-0000-7000-8000-0000000000aa', 'pair', 'aa', 'bb', '{change}', 'proposed', now(), 14)"
        ))
        .expect("proposed");
        change
    }

    /// A registered key of a partner's.
    pub fn key(&self, partner: &str) -> SigningKey {
        let key = SigningKey::from_pkcs8(&SigningKey::generate().expect("a key")).expect("a key");
        let holder = Holder::of("partner", partner).expect("a slug");
        let proof = key.sign("key-proof+jws", &hanse::service::signing_keys::proof_payload(&holder, key.kid()));
        let body = json!({ "jwk": key.public().to_jwk(), "proof": proof });
        self.caller(partner).post("/v1/signing-keys", "", &body).status(201);
        key
    }
}

#[test]
fn a_proposal_is_read_checked_and_approved_with_a_key_that_stays_at_home() {
    let api = Api::new("page-proposal", "");
    let change = api.proposal(1);
    let key = api.key("aa");
    let mut finance = api.sign_in(&api.hire("fin@aa.test", Some("aa"), Role::Finance));
    let path = format!("/console/proposals/{PROPOSAL}");
    finance.get("/console/proposals").ok().says("aa → bb");
    let page = finance.get(&path).ok();
    for text in ["2:1 in steps of 2", "1:1 in steps of 2", "No way round gives more", "openssl pkeyutl", key.kid()] {
        page.says(text);
    }
    assert!(page.body.contains(&change.replace('"', "&#34;")), "exactly what is signed: {}", page.body);
    let action = format!("{path}/approvals");
    let other = SigningKey::from_pkcs8(&SigningKey::generate().expect("a key")).expect("a key");
    for wrong in ["a.b.c".to_owned(), other.sign(JWS_TYPE, change.as_bytes()), key.sign(JWS_TYPE, b"{}")] {
        let refused = finance.fill(&page, &action, &[("jws", &wrong)]);
        assert_eq!(refused.status, 422);
        refused.says("Nothing was approved");
    }
    let signed = key.sign(JWS_TYPE, change.as_bytes());
    // As a terminal prints it: broken, with a line's end.
    let pasted = format!("{}\r\n{}\n", &signed[..80], &signed[80..]);
    let done = finance.fill(&page, &action, &[("jws", &pasted)]);
    let page = finance.follow(&done).ok();
    page.says("Still to sign");
    assert_eq!(api.acts("proposal."), [format!("fin@aa.test proposal.approved {PROPOSAL}")]);
    // A side by itself is not both, and a third is no side.
    let mut third = api.sign_in(&api.hire("fin@cc.test", Some("cc"), Role::Finance));
    assert_eq!(third.get(&path).status, 404);
    third.get("/console/proposals").ok().says("Nothing is proposed");
}

#[test]
fn a_proposal_that_makes_points_on_the_way_round_is_told_so() {
    let api = Api::new("page-loop", "");
    api.proposal(2);
    let mut admin = api.sign_in(&api.hire("admin@bb.test", Some("bb"), Role::Admin));
    let page = admin.get(&format!("/console/proposals/{PROPOSAL}?lang=zh")).ok();
    for text in ["以下循环会凭空产生积分", "aa → bb → aa", "汇率，任意等级"] {
        page.says(text);
    }
}

#[test]
fn conversions_are_found_by_what_people_have_and_stay_with_their_brands() {
    let api = Api::new("page-search", "");
    api.linked();
    let body = json!({ "member_ref": "A-1", "to": "bb", "points": 136, "external_reference": "order-7" });
    let made = api.aa.post("/v1/conversions", "order-7", &body).status(201);
    let text = |name: &str| made[name].as_str().expect("a text").to_owned();
    let (id, confirmation) = (text("conversion_id"), text("confirmation"));
    let mut viewer = api.sign_in(&api.hire("viewer@aa.test", Some("aa"), Role::Viewer));
    for q in [&id, &confirmation, &confirmation.to_lowercase().replace('-', ""), &"order-7".to_owned()] {
        let found = viewer.get(&format!("/console/conversions?q={q}"));
        let page = viewer.follow(&found).ok();
        for text in [id.as_str(), confirmation.as_str(), ">136<", ">74<", "Completed", "order-7"] {
            page.says(text);
        }
    }
    assert_eq!(viewer.get("/console/conversions?q=order-8").status, 404);
    // The other side knows it by its own names, a third not at all.
    let mut other = api.sign_in(&api.hire("viewer@bb.test", Some("bb"), Role::Viewer));
    other.get(&format!("/console/conversions/{id}")).ok().is_silent_about("order-7");
    assert_eq!(other.get("/console/conversions?q=order-7").status, 404);
    let mut third = api.sign_in(&api.hire("viewer@cc.test", Some("cc"), Role::Viewer));
    assert_eq!(third.get(&format!("/console/conversions/{id}")).status, 404);
    assert_eq!(third.get(&format!("/console/conversions?q={confirmation}")).status, 404);
    // What it has come to against the lines.
    let mut finance = api.sign_in(&api.hire("fin@aa.test", Some("aa"), Role::Finance));
    api.sql("UPDATE exposures SET cap = 5000000 WHERE key = 'pair:aa:bb'").expect("a line");
    let page = finance.get("/console/exposures").ok();
    for text in ["aa → bb", "<meter", "max=\"5000000\"", "CNY 5.00"] {
        page.says(text);
    }
    viewer.get("/console/rates").ok().says("2 : 1 in steps of 2");
}

#[test]
fn benefits_open_and_close_and_deliveries_go_out_again() {
    let api = Api::new("page-benefits", "");
    api.aa.register("A-1");
    api.voucher("coupon", "A-1", json!({}));
    let mut admin = api.sign_in(&api.hire("admin@bb.test", Some("bb"), Role::Admin));
    let page = admin.get("/console/benefits").ok();
    for text in ["50 off 300", ">50<", ">49<"] {
        page.says(text);
    }
    let action = page.address("/console/benefits/bnf_");
    let closed = admin.submit(&page, &action);
    admin.follow(&closed).ok().says(">Closed<");
    assert_eq!(admin.submit(&page, &action).status, 422, "of a version that stands no more");
    assert_eq!(api.acts("benefit.").len(), 1);
    let list: Value = api.bb.get("/v1/benefits").status(200);
    assert_eq!(list["items"][0]["state"], "closed");
    let mut theirs = api.sign_in(&api.hire("admin@aa.test", Some("aa"), Role::Admin));
    let token = theirs.get("/console/benefits").ok().form("/console/sign-out")[0].1.clone();
    let fields = [("form_token", token.as_str()), ("version", "2"), ("state", "open")];
    assert_eq!(theirs.post(&action, &fields).status, 404);
    resent(&api, (&mut admin, &mut theirs));
}

#[test]
fn who_pays_reads_what_it_would_pay_and_says_yes_to_exactly_that() {
    let api = Api::new("page-pays", "");
    api.aa.register("A-1");
    let offer = |cost: &str| {
        json!({
            "kind": "ticket", "name": { "en": "Family park ticket", "zh": "亲子乐园门票" }, "face_value": "120.00",
            "use_days": 30, "quota": 50, "offers": [{ "to": "aa", "funder": "brand", "cost": cost }],
        })
    };
    let put = api.bb.put("/v1/benefits/family-park", &offer("80.00")).status(200);
    let claims = format!("/v1/benefits/{}/claims", put["benefit_id"].as_str().expect("an id"));
    let claim = |key: &str| api.aa.post(&claims, key, &json!({ "member_ref": "A-1" }));
    assert_eq!(claim("k1").status, 422, "nobody pays yet");
    let mut finance = api.sign_in(&api.hire("fin@aa.test", Some("aa"), Role::Finance));
    let page = finance.get("/console/benefits").ok();
    page.says("Members of aa: CNY 80.00 a use. Face value CNY 120.00. It is owed when a voucher is used. Vouchers in all: 50.");
    let action = page.address("/console/benefits/bnf_");
    assert!(action.ends_with("/approvals"), "{action}");
    // Changed meanwhile: what was read is not what stands.
    api.bb.put("/v1/benefits/family-park", &offer("90.00")).status(200);
    assert_eq!(finance.submit(&page, &action).status, 422);
    assert_eq!(claim("k2").status, 422);
    let page = finance.get("/console/benefits?lang=zh").ok();
    page.says("aa会员：每次 CNY 90.00。");
    let done = finance.submit(&page, &action);
    finance.follow(&done).ok().is_silent_about("由您付费");
    claim("k3").status(201);
    assert_eq!(api.acts("benefit.").len(), 1);
    // And takes it back, for claims from then on.
    let page = finance.get("/console/benefits").ok();
    let back = page.address("/console/benefits/bnf_");
    assert!(back.ends_with("/withdrawal"), "{back}");
    let done = finance.submit(&page, &back);
    assert_eq!(finance.follow(&done).ok().address("/console/benefits/bnf_"), action);
    assert_eq!(claim("k4").status, 422);
    assert_eq!(finance.submit(&page, &back).status, 303, "said again");
    assert_eq!(api.acts("benefit.approval_withdrawn").len(), 1);
    // A viewer reads it and cannot; the giver sees who has not said yes.
    api.bb.put("/v1/benefits/family-park", &offer("95.00")).status(200);
    let mut viewer = api.sign_in(&api.hire("viewer@aa.test", Some("aa"), Role::Viewer));
    viewer.get("/console/benefits").ok().is_silent_about("Approve paying");
    let mut giver = api.sign_in(&api.hire("admin@bb.test", Some("bb"), Role::Admin));
    giver.get("/console/benefits").ok().is_silent_about("You are to pay");
}

fn resent(api: &Api, (admin, theirs): (&mut Browser, &mut Browser)) {
    let made = api.bb.post("/v1/webhooks", "", &json!({ "url": "https://hooks.bb.example/hanse" })).status(201);
    let webhook = made["webhook_id"].as_str().expect("an id").to_owned();
    api.sql(
        "INSERT INTO deliveries (webhook_no, sequence, event_id, type, key, state, tries, attempts) SELECT webhook_no, 1, \
         gen_random_uuid(), 'voucher.issued', gen_random_uuid(), 'dead', 9, '[{\"at\":\"2026-01-01T00:00:00Z\",\"ms\":3,\"status\":500,\"error\":\"status\"}]' \
         FROM webhooks",
    )
    .expect("one that was given up");
    admin.get("/console/webhooks").ok().says("https://hooks.bb.example/hanse");
    let path = format!("/console/webhooks/{webhook}");
    let page = admin.get(&format!("{path}?state=dead")).ok();
    for text in ["voucher.issued", "Given up", "500, status"] {
        page.says(text);
    }
    assert_eq!(theirs.get(&path).status, 404);
    let action = page.address("/console/deliveries/dlv_");
    let token = theirs.get("/console").ok().form("/console/sign-out")[0].1.clone();
    assert_eq!(theirs.post(&action, &[("form_token", &token), ("webhook", &webhook)]).status, 404);
    let again = admin.submit(&page, &action);
    admin.follow(&again).ok().says(">Due<");
    assert_eq!(api.acts("delivery.").len(), 1);
    admin.get("/console/keys").ok().says("Client certificates");
}
