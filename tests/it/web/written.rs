//! No act on a page is there without its line in the staff log, and no line without its act: neither where the log takes
//! nothing for a while, nor where a form is sent again.

use super::{Browser, PROPOSAL, Shown, registered};
use crate::api::Api;
use hanse::domain::staff::Role;
use hanse::service::proposals::JWS_TYPE;
use hanse::signing::general::TYP;
use serde_json::json;

impl Api {
    /// From now on the log takes no line of an act.
    fn full(&self) {
        self.sql(
            "CREATE FUNCTION no_line() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no space left'; END $$; \
             CREATE TRIGGER no_line BEFORE INSERT ON staff_log FOR EACH ROW EXECUTE FUNCTION no_line()",
        )
        .expect("full");
    }

    fn room(&self) {
        self.sql("DROP TRIGGER no_line ON staff_log; DROP FUNCTION no_line()").expect("room");
    }

    /// A form while the log takes nothing, which does nothing, and then twice, which does it once.
    fn once(&self, browser: &mut Browser, page: &Shown, action: &str, typed: &[(&str, &str)]) -> Shown {
        let before = self.acts("").len();
        self.full();
        let refused = browser.fill(page, action, typed);
        self.room();
        assert_eq!(refused.status, 500, "{action}: {}", refused.body);
        let done = browser.fill(page, action, typed);
        assert_eq!(done.status, 303, "{action}: {}", done.body);
        assert_eq!(self.acts("").len(), before + 1, "{action}: {:?}", self.acts(""));
        browser.fill(page, action, typed);
        assert_eq!(self.acts("").len(), before + 1, "{action}, again: {:?}", self.acts(""));
        done
    }
}

#[test]
fn finances_acts_are_there_with_their_lines_once() {
    let api = Api::new("written-finance", "");
    api.a_window();
    let (mut aa, mut bb) = (api.finance("aa-fin", Some("aa")), api.finance("bb-fin", Some("bb")));
    let (mut ada, mut bob) = (api.finance("ada", None), api.finance("bob", None));
    let (_, key) = registered(&api.aa, "aa");
    let page = aa.get("/console/windows/1/sign").ok();
    let payload = aa.get("/console/windows/1/payload").ok();
    let made = key.sign_detached(TYP, api.statement_row(api.window(1), "aa").payload.as_bytes());
    let signed = format!("{}.{}.{}", made.protected, payload.body, made.signature);
    api.once(&mut aa, &page, "/console/windows/1/sign", &[("signed", &signed)]);
    assert_eq!(api.details("statement.signed")["kid"], key.kid());

    let page = bb.get("/console/payments").ok();
    let action = page.address("/console/payments/obl_");
    api.once(&mut bb, &page, &action, &[("amount", "1.00"), ("on", ""), ("reference", "bank-1")]);

    let line = api.lines(api.window(1), "aa")[0]["line_id"].as_str().expect("an id").to_owned();
    let form = aa.get(&format!("/console/windows/1/dispute?line={line}")).ok();
    let action = "/console/windows/1/dispute";
    let typed = [("kind", "amount"), ("claimed_points", ""), ("claimed_amount", "-3.00"), ("note", "came back")];
    let opened = api.once(&mut aa, &form, action, &typed);
    let address = opened.header("location").expect("a dispute").to_owned();
    aa.follow(&opened).ok().is_silent_about("disputed as this before");
    let again = aa.fill(&form, action, &typed);
    aa.follow(&again).ok().says("disputed as this before");
    let page = bb.get(&address).ok();
    api.once(&mut bb, &page, &format!("{address}/answer"), &[("answer", "rejected"), ("note", "so we say")]);
    let page = ada.get(&address).ok();
    let (decision, words) =
        (format!("{address}/decision"), [("outcome", "upheld"), ("amount", "0.30"), ("reason", "seen")]);
    api.once(&mut ada, &page, &decision, &words);
    let with = ada.get(&address).ok();
    api.once(&mut ada, &with, &format!("{address}/take-back"), &[]);
    ada.fill(&page, &decision, &words);
    let page = bob.get(&address).ok();
    api.once(&mut bob, &page, &decision, &[]);
    assert_eq!(api.acts("dispute.decided").len(), 1);

    let page = aa.get("/console/reconciliations").ok();
    let list = "external_reference,amount\norder-1,-0.10\norder-9,-1.00\n";
    let typed = [("window", "1"), ("format", "csv"), ("map", ""), ("list", list)];
    let compared = api.once(&mut aa, &page, "/console/reconciliations", &typed);
    let page = aa.follow(&compared).ok();
    let action = format!("{}/disputes", compared.header("location").expect("a place"));
    api.once(&mut aa, &page, &action, &[]);

    let page = ada.get("/console/windows/2").ok();
    api.once(&mut ada, &page, "/console/windows/2/close", &[]);
}

#[test]
fn what_a_partner_does_is_there_with_its_line_once() {
    let api = Api::new("written-partner", "");
    api.aa.register("A-1");
    api.voucher("coupon", "A-1", json!({}));
    let change = api.proposal(1);
    let key = api.key("aa");
    let mut admin = api.sign_in(&api.hire("admin@aa.test", Some("aa"), Role::Admin));
    let path = format!("/console/proposals/{PROPOSAL}");
    let page = admin.get(&path).ok();
    let signed = key.sign(JWS_TYPE, change.as_bytes());
    api.once(&mut admin, &page, &format!("{path}/approvals"), &[("jws", &signed)]);
    assert_eq!(api.details("proposal.approved")["kid"], key.kid());
    let ticket = json!({
        "kind": "ticket", "name": { "en": "Ticket", "zh": "门票" }, "use_days": 30, "quota": 5,
        "offers": [{ "to": "aa", "funder": "brand", "cost": "80.00" }],
    });
    api.bb.put("/v1/benefits/ticket", &ticket);
    let page = admin.get("/console/benefits").ok();
    let action = page.address("/console/benefits/bnf_");
    api.once(&mut admin, &page, &action, &[]);
    assert_eq!(api.acts("benefit.approved").len(), 1);
    let mut theirs = api.sign_in(&api.hire("admin@bb.test", Some("bb"), Role::Admin));
    let page = theirs.get("/console/benefits").ok();
    let action = page.address("/console/benefits/bnf_");
    api.once(&mut theirs, &page, &action, &[]);
}

#[test]
fn a_word_of_what_is_in_doubt_is_kept_with_its_line() {
    let api = Api::between("written-doubt");
    let id = api.in_doubt("order-1");
    let mut ada = api.sign_in(&api.hire("ada", None, Role::Engineer));
    let mut grace = api.sign_in(&api.hire("grace", None, Role::Admin));
    let action = format!("/console/crossings/{id}/resolution");
    let said = [("outcome", "released"), ("reason", "not on their list")];
    for (who, name) in [(&mut ada, "ada"), (&mut grace, "grace")] {
        let page = who.get(&format!("/console/crossings/{id}")).ok();
        api.once(who, &page, &action, &said);
        assert!(api.acts("crossing.").last().expect("a line").starts_with(name));
    }
    assert_eq!(
        api.acts("crossing."),
        [format!("ada crossing.resolution_proposed {id}"), format!("grace crossing.resolved {id}")]
    );
}

/// What the book has taken is taken: the clerk is told so, and the line comes with the next call of the same form.
#[test]
fn a_clerk_is_never_told_that_what_was_taken_was_not() {
    let api = Api::new("written-till", "");
    api.aa.register("A-1");
    let code = api.voucher("coupon", "A-1", json!({}));
    let mut till = api.till("clerk@bb.test", "bb", "3");
    let page = till.get("/till").ok();
    let page = till.fill(&page, "/till/look", &[("code", &code), ("bill", "328.00")]).ok();
    let typed = [("bill", "328.00"), ("receipt", "R-1")];
    api.full();
    let done = till.fill(&page, "/till/redemptions", &typed);
    let taken = till.follow(&done).ok();
    assert!(api.acts("voucher.").is_empty());
    api.room();
    for _ in 0..2 {
        assert_eq!(till.fill(&page, "/till/redemptions", &typed).status, 303);
        assert_eq!(api.acts("voucher.").len(), 1);
    }
    let action = format!("{}/reversal", done.header("location").expect("a place"));
    api.full();
    let back = till.fill(&taken, &action, &[("reason", "the wrong bill")]);
    assert_eq!(back.status, 303, "{}", back.body);
    api.room();
    for _ in 0..2 {
        assert_eq!(till.fill(&taken, &action, &[("reason", "the wrong bill")]).status, 303);
        assert_eq!(api.acts("voucher.").len(), 2);
    }
}
