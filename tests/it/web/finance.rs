//! Finance's console without a script: who sees what, ending a window, signing, disputes, payments, lists, files.

use super::{Browser, Shown};
use crate::api::{Api, Caller, Expect};
use crate::support::Scratch;
use hanse::domain::holder::Holder;
use hanse::domain::staff::Role;
use hanse::service::signing_keys::proof_payload;
use hanse::signing::general::{Document, TYP};
use hanse::signing::jwk::Kind;
use hanse::signing::jws::SigningKey;
use serde_json::{Value, json};
use std::fs;
use std::io::{Cursor, Read};
use std::process::Command;

const WINDOW: &str = "/console/windows/1";

/// A signing key of a partner's, as a file has it, registered.
pub fn registered(caller: &Caller, slug: &str) -> (Vec<u8>, SigningKey) {
    let file = SigningKey::generate_kind(Kind::Ed25519).expect("a key");
    let key = register(caller, slug, &file);
    (file, key)
}

fn register(caller: &Caller, slug: &str, file: &[u8]) -> SigningKey {
    let key = SigningKey::from_pkcs8(file).expect("a key");
    let proof = proof_payload(&Holder::of("partner", slug).expect("a holder"), key.kid());
    let body = json!({ "jwk": key.public().to_jwk(), "proof": key.sign("key-proof+jws", &proof) });
    caller.post("/v1/signing-keys", "", &body).status(201);
    key
}

impl Api {
    /// A browser in which finance of a brand, or the operator's, has signed in.
    pub fn finance(&self, login: &str, partner: Option<&str>) -> Browser {
        self.sign_in(&self.hire(login, partner, Role::Finance))
    }

    /// Two conversions of aa's in a window that is published.
    pub fn a_window(&self) {
        self.linked();
        self.converted("order-1", 136);
        self.converted("order-2", 20);
        self.close_window();
    }
}

/// What is in the workbook.
pub fn sheets(workbook: &[u8]) -> Vec<String> {
    let mut archive = zip::ZipArchive::new(Cursor::new(workbook)).expect("a workbook");
    let names: Vec<String> = archive.file_names().map(|name| name.expect("a name").into_owned()).collect();
    for name in &names {
        let mut all = Vec::new();
        archive.by_name(name).expect("an entry").read_to_end(&mut all).expect("whole");
    }
    names
}

fn attachment(shown: &Shown) -> &str {
    let disposition = shown.header("content-disposition").expect("a file");
    disposition.strip_prefix("attachment; filename=\"").and_then(|rest| rest.strip_suffix('"')).expect("its name")
}

#[test]
fn each_house_sees_its_own_and_the_operator_all() {
    let api = Api::new("finance-who", "");
    api.a_window();
    let mut aa = api.finance("aa-fin", Some("aa"));
    aa.get("/console").ok().says("/console/windows");
    let list = aa.get("/console/windows").ok();
    list.says("Published");
    list.says(&api.statement_row(api.window(1), "aa").closing.to_string().replace('-', "−"));
    let own = aa.get(WINDOW).ok();
    own.says("/console/windows/1/statements/aa");
    own.is_silent_about("/statements/bb");
    own.is_silent_about("/close");
    let statement = aa.get("/console/windows/1/statements/aa").ok();
    statement.says("Closing position");
    statement.says("lines?counterparty=bb&#38;sort=out");
    for of in ["bb", "operator", "cc", "nobody", "Aa"] {
        for place in ["", "/document", "/lines", "/lines.csv"] {
            let path = format!("/console/windows/1/statements/{of}{place}");
            assert_eq!(aa.get(&path).status, 404, "{path}");
        }
        let path = format!("/console/windows/1/reports/statement?format=xlsx&participant={of}");
        assert_eq!(aa.get(&path).status, 404, "{path}");
    }
    assert_eq!(aa.get("/console/windows/1/reports/summary?format=xlsx").status, 404, "the operator's alone");
    for path in ["/console/windows/3", "/console/windows/01", "/console/windows/x", "/console/windows/2/sign"] {
        assert_eq!(aa.get(path).status, 404, "{path}");
    }
    let mut ada = api.finance("ada", None);
    let all = ada.get(WINDOW).ok();
    for of in ["aa", "bb", "operator"] {
        all.says(&format!("/console/windows/1/statements/{of}"));
        ada.get(&format!("/console/windows/1/statements/{of}")).ok();
    }
    assert_eq!(ada.get("/console/windows/1/sign").status, 403, "a partner's own to do");
    ada.get("/console/reconciliations").ok().says("A partner compares its own list");
    let mut nobody = Browser::new(api.pages());
    for path in ["/console/windows", WINDOW, "/console/disputes", "/console/payments", "/console/reconciliations"] {
        assert_eq!(nobody.get(path).status, 401, "{path}");
    }
    for (login, role) in [("aa-till", Role::Clerk), ("aa-view", Role::Viewer), ("aa-eng", Role::Engineer)] {
        let mut other = api.sign_in(&api.hire(login, Some("aa"), role));
        other.get("/console").ok().is_silent_about("/console/windows");
        for path in ["/console/windows", WINDOW, "/console/windows/liability", "/console/disputes", "/console/payments"]
        {
            assert_eq!(other.get(path).status, 403, "{login} {path}");
        }
    }
    // An administrator reads, and signs, pays and disputes nothing.
    let mut admin = api.sign_in(&api.hire("aa-admin", Some("aa"), Role::Admin));
    let page = admin.get(WINDOW).ok();
    page.is_silent_about("/console/windows/1/sign");
    assert_eq!(admin.get("/console/windows/1/sign").status, 403);
    let token = page.form("/console/sign-out")[0].1.clone();
    for path in ["/console/windows/1/sign", "/console/windows/1/dispute", "/console/windows/1/close"] {
        let fields = [("form_token", token.as_str()), ("signed", "A..B"), ("line", ""), ("kind", ""), ("note", "")];
        let more = [("claimed_points", ""), ("claimed_amount", "")];
        let posted = admin.post(path, &[fields.as_slice(), &more].concat());
        assert_eq!(posted.status, 403, "{path}");
    }
}

#[test]
fn the_operator_ends_a_window_and_sees_how_far_it_is() {
    let api = Api::new("finance-close", "");
    api.linked();
    api.converted("order-1", 136);
    let mut ada = api.finance("ada", None);
    let open = ada.get(WINDOW).ok();
    open.says("Open");
    open.says("id=\"close\"");
    let closed = ada.submit(&open, "/console/windows/1/close");
    let ending = ada.follow(&closed).ok();
    ending.says("Ending");
    ending.says("<progress");
    // The same button again, from a page of before: the next window stays open.
    ada.submit(&open, "/console/windows/1/close");
    ada.get("/console/windows/2").ok().says("id=\"close\"");
    assert_eq!(api.acts("window."), ["ada window.closed 1"]);
    // A partner sees that it ends, and nothing of it before it is published.
    let mut aa = api.finance("aa-fin", Some("aa"));
    aa.get(WINDOW).ok().is_silent_about("/statements/");
    assert_eq!(aa.get("/console/windows/1/statements/aa").status, 404);
    let token = ending.form("/console/sign-out")[0].1.clone();
    let forged = aa.post("/console/windows/2/close", &[("form_token", &token)]);
    assert_eq!(forged.status, 403, "another's token");
    api.publish();
    let published = ada.get(WINDOW).ok();
    published.says("Published");
    published.is_silent_about("<progress");
    published.says("data-table=\"matrix\"");
    published.says("A owes B");
}

#[test]
fn a_blocked_window_says_why_to_the_operator_alone() {
    let api = Api::new("finance-blocked", "");
    api.linked();
    api.converted("order-1", 136);
    let mut ada = api.finance("ada", None);
    let open = ada.get(WINDOW).ok();
    ada.submit(&open, "/console/windows/1/close");
    let block = "UPDATE windows SET state = 'blocked', blocked_by = 'the net of aa with bb' WHERE number = 1";
    api.sql(block).expect("blocked");
    let blocked = ada.get(WINDOW).ok();
    blocked.says("the net of aa with bb");
    let mut aa = api.finance("aa-fin", Some("aa"));
    aa.get(WINDOW).ok().is_silent_about("the net of aa with bb");
    let again = ada.submit(&blocked, "/console/windows/1/retry");
    ada.follow(&again).ok().says("Ending");
    api.publish();
    ada.get(WINDOW).ok().says("Published");
}

#[test]
fn figures_lead_to_their_lines_and_files_are_whole() {
    let api = Api::new("finance-lines", "");
    api.a_window();
    let mut aa = api.finance("aa-fin", Some("aa"));
    let base = "/console/windows/1/statements/aa";
    let lines = aa.get(&format!("{base}/lines")).ok();
    lines.says("order-1");
    lines.says("order-2");
    lines.says("cnv_");
    let rows = |shown: &Shown| shown.body.matches("<tr><td").count();
    let all = rows(&lines);
    // The lines behind each figure of every counterparty are all lines, each once; a fee stands beside one of them.
    let statement = api.statement(api.window(1), "aa");
    let mut seen = 0;
    for with in statement["counterparties"].as_array().expect("counterparties") {
        for (sort, figure) in with.as_object().expect("an object").iter().filter(|(_, figure)| figure["lines"].is_i64())
        {
            let path = format!("{base}/lines?counterparty={}&sort={sort}", with["counterparty"].as_str().expect("one"));
            let shown = rows(&aa.get(&path).ok());
            let counted = usize::try_from(figure["lines"].as_i64().expect("a count")).expect("a count");
            if counted > 0 {
                assert_eq!(shown, counted, "{path}");
            } else {
                assert!(shown > 0, "{path}");
            }
            seen += counted;
        }
    }
    assert_eq!(seen, all);
    assert_eq!(aa.get(&format!("{base}/lines?sort=nothing")).status, 404);
    aa.get(&format!("{base}/lines?from=2")).ok().is_silent_about("order-1");

    let csv = aa.get(&format!("{base}/lines.csv")).ok();
    assert_eq!(attachment(&csv), "aa-w0001-lines.csv");
    assert_eq!(csv.body.lines().count(), all + 1);
    let document = aa.get(&format!("{base}/document")).ok();
    assert_eq!(attachment(&document), "aa-w0001-statement.json");
    assert!(Document::parse(&document.bytes).is_ok());
    for (name, file) in
        [("statement", "statement-w0001-aa"), ("pairs", "pairs-w0001-aa"), ("journal", "journal-w0001-aa")]
    {
        let path = |form: &str| format!("/console/windows/1/reports/{name}?format={form}&participant=aa");
        let xlsx = aa.get(&path("xlsx")).ok();
        assert_eq!(attachment(&xlsx), format!("{file}.xlsx"));
        assert!(sheets(&xlsx.bytes).iter().any(|sheet| sheet == "xl/workbook.xml"));
        assert!(aa.get(&path("csv")).ok().body.starts_with('\u{feff}'));
        aa.get(&path("html")).ok().says("<!doctype html>");
        assert_eq!(aa.get(&path("pdf")).status, 404);
    }
    let mut ada = api.finance("ada", None);
    let summary = ada.get("/console/windows/1/reports/summary?format=xlsx").ok();
    assert!(sheets(&summary.bytes).len() > 5);
    let ladder = aa.get("/console/windows/liability").ok();
    ladder.says("data-table=\"ladder\"");
    ladder.is_silent_about("<td class=\"\">bb</td>");
    let file = aa.get("/console/windows/liability/file?format=xlsx").ok();
    assert!(sheets(&file.bytes).len() > 5);
    ada.get("/console/windows/liability").ok().says("<td class=\"\">bb</td>");
}

#[test]
fn a_partner_counter_signs_what_it_has_signed_elsewhere() {
    let api = Api::new("finance-sign", "");
    api.a_window();
    let mut aa = api.finance("aa-fin", Some("aa"));
    aa.get("/console/windows/1/sign").ok().says("no active signing key");
    let (_, key) = registered(&api.aa, "aa");
    let page = aa.get("/console/windows/1/sign").ok();
    page.says(key.kid());
    page.says("openssl pkeyutl -sign");
    let payload = aa.get("/console/windows/1/payload").ok();
    assert_eq!(attachment(&payload), "aa-w0001.payload");
    let row = api.statement_row(api.window(1), "aa");
    let made = key.sign_detached(TYP, row.payload.as_bytes());
    let action = "/console/windows/1/sign";
    // What is no signature, and one of something else, and somebody else's.
    let (_, theirs) = registered(&api.bb, "bb");
    let strange = theirs.sign_detached(TYP, row.payload.as_bytes());
    let of_nothing = key.sign_detached(TYP, b"{}");
    for wrong in [
        "nothing".to_owned(),
        format!("{}..{}", of_nothing.protected, of_nothing.signature),
        json!({ "protected": strange.protected, "signature": strange.signature }).to_string(),
    ] {
        let refused = aa.fill(&page, action, &[("signed", &wrong)]);
        assert_eq!(refused.status, 422, "{wrong}");
        refused.says(if wrong == "nothing" { "This is no signature" } else { "nothing was done" });
    }
    let good = format!("{}.{}.{}", made.protected, payload.body, made.signature);
    let signed = aa.fill(&page, action, &[("signed", &good)]);
    let statement = aa.follow(&signed).ok();
    statement.says("Counter-signed");
    statement.says(key.kid());
    aa.get(action).ok().says("Signed with your key");
    let window = api.window(1);
    assert_eq!(api.acts("statement."), [format!("aa-fin statement.signed {window}")]);
    // Pressed twice it is signed once.
    assert_eq!(aa.fill(&page, action, &[("signed", &good)]).status, 303);
    let document =
        Document::parse(&aa.get("/console/windows/1/statements/aa/document").ok().bytes).expect("a document");
    assert_eq!(document.signatures().count(), 3);
}

#[test]
fn what_the_page_says_to_a_shell_signs() {
    let api = Api::new("finance-shell", "");
    api.a_window();
    let folder = Scratch::new("finance-shell-keys");
    let shell = |script: &str| {
        let ran = Command::new("sh").args(["-euc", script]).current_dir(folder.path()).output().expect("a shell");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).expect("text")
    };
    shell(
        "openssl genpkey -algorithm ed25519 -out key.pem && openssl pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out key.der",
    );
    register(&api.aa, "aa", &fs::read(folder.path().join("key.der")).expect("a key"));
    let mut aa = api.finance("aa-fin", Some("aa"));
    let page = aa.get("/console/windows/1/sign").ok();
    let payload = aa.get("/console/windows/1/payload").ok();
    fs::write(folder.path().join(attachment(&payload)), &payload.bytes).expect("written");
    let script = page.body.split_once("<pre class=\"code\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let script = script.expect("what to type").0.replace("&gt;", ">");
    let signed = aa.fill(&page, "/console/windows/1/sign", &[("signed", &shell(&script))]);
    aa.follow(&signed).ok().says("Counter-signed");
}

/// The address of a dispute, and it.
fn opened(api: &Api, aa: &mut Browser) -> (String, Shown) {
    let line = &api.lines(api.window(1), "aa")[0];
    let line = line["line_id"].as_str().expect("an id");
    let form = aa.get(&format!("/console/windows/1/dispute?line={line}")).ok();
    let typed = [("kind", "amount"), ("claimed_points", ""), ("claimed_amount", "−3.00"), ("note", "goods came back")];
    let opened = aa.fill(&form, "/console/windows/1/dispute", &typed);
    let address = opened.header("location").expect("a dispute").to_owned();
    (address, aa.follow(&opened).ok())
}

#[test]
fn a_dispute_is_opened_answered_and_decided_by_two() {
    let api = Api::new("finance-dispute", "");
    api.a_window();
    let (mut aa, mut bb) = (api.finance("aa-fin", Some("aa")), api.finance("bb-fin", Some("bb")));
    let (mut ada, mut bob) = (api.finance("ada", None), api.finance("bob", None));
    let theirs = api.lines(api.window(1), "bb")[0]["line_id"].as_str().expect("an id").to_owned();
    assert_eq!(aa.get(&format!("/console/windows/1/dispute?line={theirs}")).status, 404);
    let (address, dispute) = opened(&api, &mut aa);
    dispute.says("goods came back");
    dispute.says("/withdrawal");
    dispute.is_silent_about("/answer\"");
    aa.get("/console/disputes").ok().says(&address);
    aa.get("/console/windows/1/statements/aa").ok().says("Disputed");
    let mut cc = api.finance("cc-fin", Some("cc"));
    assert_eq!(cc.get(&address).status, 404);
    cc.get("/console/disputes").ok().is_silent_about(&address);
    let early = ada.get(&address).ok();
    let decision = format!("{address}/decision");
    let words = [("outcome", "upheld"), ("amount", "0.30"), ("reason", "the receipt shows it")];
    assert_eq!(ada.fill(&early, &decision, &words).status, 409, "the other side was not heard");
    let seen = bb.get(&address).ok();
    let no = [("answer", "rejected"), ("note", "so we say")];
    let answered = bb.fill(&seen, &format!("{address}/answer"), &no);
    bb.follow(&answered).ok().says("so we say");
    // Four eyes: whoever has proposed cannot decide.
    let proposed = ada.fill(&early, &decision, &words);
    let proposal = ada.follow(&proposed).ok();
    proposal.says("the receipt shows it");
    proposal.is_silent_about(&format!("action=\"{decision}\""));
    aa.get(&address).ok().is_silent_about("the receipt shows it");
    assert_eq!(aa.fill(&dispute, &format!("{address}/withdrawal"), &[]).status, 303);
    aa.get(&address).ok().says("Withdrawn");
    let (again, _) = second(&api, &mut aa, &mut bb);
    let page = ada.get(&again).ok();
    ada.fill(&page, &format!("{again}/decision"), &words);
    let page = bob.get(&again).ok();
    let decided = bob.submit(&page, &format!("{again}/decision"));
    let decided = bob.follow(&decided).ok();
    decided.says("Decided");
    decided.says("(ada)");
    let told = aa.get(&again).ok();
    told.says("adj_");
    told.is_silent_about("(ada)");
    let acts = api.acts("dispute.");
    let actions: Vec<&str> = acts.iter().map(|act| act.rsplit_once(' ').expect("a subject").0).collect();
    assert_eq!(
        actions,
        [
            "aa-fin dispute.opened",
            "bb-fin dispute.answered",
            "ada dispute.proposed",
            "aa-fin dispute.withdrawn",
            "aa-fin dispute.opened",
            "bb-fin dispute.answered",
            "ada dispute.proposed",
            "bob dispute.decided"
        ]
    );
}

/// Another line of aa's disputed, and answered by bb.
fn second(api: &Api, aa: &mut Browser, bb: &mut Browser) -> (String, Shown) {
    let lines = api.lines(api.window(1), "aa");
    let line = lines.iter().find(|line| line["reference"] == "order-2").expect("the second order");
    let form = aa.get(&format!("/console/windows/1/dispute?line={}", line["line_id"].as_str().expect("an id"))).ok();
    let typed = [("kind", "identity"), ("claimed_points", ""), ("claimed_amount", ""), ("note", "nobody of ours")];
    let opened = aa.fill(&form, "/console/windows/1/dispute", &typed);
    let address = opened.header("location").expect("a dispute").to_owned();
    let seen = bb.get(&address).ok();
    let answered = bb.fill(&seen, &format!("{address}/answer"), &[("answer", "accepted"), ("note", "so it is")]);
    (address, bb.follow(&answered).ok())
}

#[test]
fn who_is_paid_or_the_operator_records_a_payment() {
    let api = Api::new("finance-pay", "");
    api.a_window();
    let (mut aa, mut bb, mut ada) =
        (api.finance("aa-fin", Some("aa")), api.finance("bb-fin", Some("bb")), api.finance("ada", None));
    let dues = ada.get("/console/payments").ok();
    let start = "/console/payments/obl_";
    // What aa owes goes through the alliance's account: neither says of itself that it has paid.
    let debts = aa.get("/console/payments").ok();
    debts.says("Due");
    debts.is_silent_about(start);
    let credit = bb.get("/console/payments").ok();
    let action = credit.address(start);
    let typed =
        |reference: &'static str, amount: &'static str| [("amount", amount), ("on", ""), ("reference", reference)];
    let token = debts.form("/console/sign-out")[0].1.clone();
    let fields = [[("form_token", token.as_str())].as_slice(), &typed("x", "1.00")].concat();
    assert_eq!(aa.post(&action, &fields).status, 404, "another's");
    let mut all = dues.body.split(start).skip(1).map(|rest| format!("{start}{}", &rest[..32]));
    let own = all.find(|address| *address != action).expect("aa's");
    assert_eq!(aa.post(&own, &fields).status, 422, "who owes does not say that it paid");
    assert_eq!(bb.fill(&credit, &action, &typed("bank-1", "0.001")).status, 422);
    assert_eq!(bb.fill(&credit, &action, &[("amount", "x"), ("on", ""), ("reference", "b")]).status, 422);
    let recorded = bb.fill(&credit, &action, &typed("bank-1", "1.00"));
    bb.follow(&recorded).ok().says("Partly paid");
    assert_eq!(bb.fill(&credit, &action, &typed("bank-1", "1.00")).status, 303, "the same payment");
    let rest = ada.fill(&dues, &own, &typed("bank-2", ""));
    ada.follow(&rest).ok().says("Paid");
    let acts = api.acts("payment.");
    assert_eq!(acts.len(), 2, "{acts:?}");
    assert!(acts[0].starts_with("bb-fin payment.recorded obl_") && acts[1].starts_with("ada payment.recorded obl_"));
}

#[test]
fn a_partners_own_list_is_compared_and_what_differs_is_disputed() {
    let api = Api::new("finance-list", "");
    api.a_window();
    let mut aa = api.finance("aa-fin", Some("aa"));
    let page = aa.get("/console/reconciliations").ok();
    let amounts: Vec<Value> = api.lines(api.window(1), "aa").iter().map(|line| line["amount"].clone()).collect();
    let list = format!(
        "Order,Ref,amount\n1,order-1,{}\n2,order-2,-0.90\n3,order-9,-1.00\n",
        amounts[0].as_str().expect("an amount")
    );
    let typed =
        [("window", "1"), ("format", "csv"), ("map", "Ref:external_reference,amount:amount"), ("list", list.as_str())];
    let compared = aa.fill(&page, "/console/reconciliations", &typed);
    let result = aa.follow(&compared).ok();
    for text in ["Matched", "Another amount", "In your list alone", "order-2", "order-9"] {
        result.says(text);
    }
    result.is_silent_about("<td class=\"code\">order-1");
    let base = compared.header("location").expect("a place").to_owned();
    let csv = aa.get(&format!("{base}/differences.csv")).ok();
    assert_eq!(csv.body.lines().count(), 3, "{}", csv.body);
    let disputed = aa.submit(&result, &format!("{base}/disputes"));
    aa.follow(&disputed).ok().says("2 disputes opened");
    aa.get("/console/reconciliations").ok().says(&base);
    let mut bb = api.finance("bb-fin", Some("bb"));
    assert_eq!(bb.get(&base).status, 404);
    bb.get("/console/reconciliations").ok().is_silent_about(&base);
    assert_eq!(api.acts("list.").len() + api.acts("differences.").len(), 2);
    // What cannot be read is told by its row; a large list is taken as well.
    let typed =
        [("window", "1"), ("format", "csv"), ("map", ""), ("list", "external_reference,amount\norder-1,many\n")];
    let refused = aa.fill(&page, "/console/reconciliations", &typed);
    assert_eq!(refused.status, 422);
    refused.says("rows/1/amount");
    let long: String = (0..20_000).map(|row| format!("lost-{row},-1.00\n")).collect();
    let long = format!("external_reference,amount\n{long}");
    let typed = [("window", "1"), ("format", "csv"), ("map", ""), ("list", long.as_str())];
    let compared = aa.fill(&page, "/console/reconciliations", &typed);
    aa.follow(&compared).ok().says("20,000");
}

#[test]
fn a_list_may_be_as_large_as_its_page_promises_and_a_larger_form_is_told_that_it_is() {
    let api = Api::new("finance-large", "");
    api.a_window();
    let mut finance = api.finance("finance@aa.test", Some("aa"));
    let page = finance.get("/console/reconciliations").ok();
    page.says("Up to 4 MB here");
    // Each of these is sent as three bytes.
    let list = format!("line_id,amount\n{}", ",".repeat((4 << 20) - 100));
    let fields = [("window", "1"), ("format", "csv"), ("map", ""), ("list", list.as_str())];
    let read = finance.fill(&page, "/console/reconciliations", &fields);
    assert_eq!(read.status, 400, "read, and found to be no list");
    let token = page.form("/console/reconciliations")[0].1.clone();
    let length = (13 << 20).to_string();
    let refused = finance.ask("POST", "/console/reconciliations", &[("content-length", &length)], None);
    assert_eq!(refused.status, 413);
    refused.says("too large for the page");
    let long = "x".repeat(20_000);
    let refused = finance.post("/console/sign-out", &[("form_token", &token), ("more", &long)]);
    assert_eq!(refused.status, 413);
    finance.get("/console").ok();
    // Of another page's size nobody is told.
    let fields = [("form_token", token.as_str()), ("more", long.as_str())];
    let refused = finance.post_from("/console/sign-out", &fields, &[("sec-fetch-site", "cross-site")]);
    assert_eq!(refused.status, 403);
}

/// The forms come again as they were filled in, in the reader's language, and without a way to lose that.
#[test]
fn a_no_throws_nothing_away_that_was_typed() {
    let api = Api::new("finance-typed", "");
    api.a_window();
    let (mut aa, mut bb, mut ada) =
        (api.finance("aa-fin", Some("aa")), api.finance("bb-fin", Some("bb")), api.finance("ada", None));
    let line = api.lines(api.window(1), "aa")[0]["line_id"].as_str().expect("an id").to_owned();
    let form = aa.get(&format!("/console/windows/1/dispute?line={line}&lang=zh")).ok();
    let action = "/console/windows/1/dispute";
    let cases = [
        ("rate", "12 and a half", "", "came back", "请检查积分"),
        ("rate", "", "much", "came back", "请检查金额"),
        ("rate", "", "-3.00", " ", "请填写原因"),
        ("nothing", "", "-3.00", "came back", "请选择一个类型"),
    ];
    for (kind, points, amount, note, why) in cases {
        let typed = [("kind", kind), ("claimed_points", points), ("claimed_amount", amount), ("note", note)];
        let no = aa.fill(&form, action, &typed);
        assert_eq!(no.status, 422, "{typed:?}");
        no.says(why);
        for (name, text) in &typed[1..] {
            no.says(&format!("name=\"{name}\" value=\"{text}\""));
        }
        no.is_silent_about("lang=en");
        if kind == "rate" {
            no.says("value=\"rate\" selected");
        }
    }
    aa.get("/console?lang=en").ok();
    let (address, _) = opened(&api, &mut aa);
    let page = bb.get(&address).ok();
    let long = "x".repeat(501);
    let no = bb.fill(&page, &format!("{address}/answer"), &[("answer", "rejected"), ("note", &long)]);
    assert_eq!(no.status, 422);
    no.says(&long);
    no.says("value=\"rejected\" selected");
    let page = bb.get(&address).ok();
    bb.fill(&page, &format!("{address}/answer"), &[("answer", "rejected"), ("note", "so we say")]);
    let page = ada.get(&address).ok();
    let typed = [("outcome", "upheld"), ("amount", "9000.00"), ("reason", "the receipt shows it")];
    let no = ada.fill(&page, &format!("{address}/decision"), &typed);
    assert_eq!(no.status, 422);
    for text in ["name=\"amount\" value=\"9000.00\"", "value=\"the receipt shows it\""] {
        no.says(text);
    }
    let page = aa.get("/console/reconciliations").ok();
    let list = "external_reference,amount\norder-1,<many>\n";
    let typed = [("window", "1"), ("format", "csv"), ("map", "a:amount"), ("list", list)];
    let no = aa.fill(&page, "/console/reconciliations", &typed);
    assert_eq!(no.status, 422);
    for text in ["order-1,&#60;many&#62;", "name=\"map\" value=\"a:amount\"", "value=\"1\" selected"] {
        no.says(text);
    }
}

#[test]
fn what_a_page_says_of_a_form_it_says_in_the_readers_language() {
    let api = Api::new("finance-zh", "");
    api.a_window();
    let mut bb = api.finance("bb-fin", Some("bb"));
    let page = bb.get("/console/payments?lang=zh").ok();
    let action = page.address("/console/payments/obl_");
    let no = bb.fill(&page, &action, &[("amount", "1.00"), ("on", "yesterday"), ("reference", "x")]);
    assert_eq!(no.status, 422);
    no.says("请检查日期");
    no.is_silent_about("must be");
    registered(&api.bb, "bb");
    let page = bb.get("/console/windows/1/sign").ok();
    let no = bb.fill(&page, "/console/windows/1/sign", &[("signed", "nothing")]);
    no.says("这不是签名");
    no.is_silent_about("must be");
}
