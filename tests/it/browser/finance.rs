//! Finance in a real browser: ends a window, reads it, signs with the browser's own key, keeps a workbook, disputes a line.

use super::{Chromium, PATIENCE, Setting};
use crate::api::Api;
use crate::support::poll;
use crate::web::{registered, sheets};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hanse::domain::settlement::statement::State;
use hanse::domain::staff::Role;
use serde_json::json;
use std::path::PathBuf;

/// The texts a person looks for.
struct Texts {
    ending: &'static str,
    published: &'static str,
    strange: &'static str,
    none: &'static str,
    signed: &'static str,
    unread: &'static str,
    acknowledged: &'static str,
    open: &'static str,
}

const EN: Texts = Texts {
    ending: "Ending",
    published: "Published",
    strange: "not one of your active signing keys",
    none: "no Ed25519 private key",
    signed: "Signed here",
    unread: "nothing was signed",
    acknowledged: "Counter-signed",
    open: "Open",
};
const ZH: Texts = Texts {
    ending: "结束中",
    published: "已发布",
    strange: "不是贵方有效的签名密钥",
    none: "不是 Ed25519 私钥",
    signed: "已签名，请",
    unread: "未签名",
    acknowledged: "已会签",
    open: "待答复",
};

fn at(api: &Api, path: &str) -> String {
    format!("http://{}{path}", api.pages())
}

impl Chromium {
    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let file = self.folder.path().join(name);
        std::fs::write(&file, bytes).expect("written");
        file
    }
}

/// The operator's finance ends the window; a server takes it to its end.
fn ends_the_window(name: &str, api: &Api, browser: &Chromium, texts: &Texts) {
    browser.sign_in(api, &api.hire("ada", None, Role::Finance));
    browser.click("nav a[href='/console/windows']");
    browser.click("main a[href='/console/windows/1']");
    browser.is_accessible();
    browser.run("window.confirm = () => true");
    browser.click("#close");
    browser.reads("#state", texts.ending);
    browser.find("progress");
    browser.is_accessible();
    api.publish();
    browser.goto(&at(api, "/console/windows/1"));
    browser.reads("#state", texts.published);
    browser.find("[data-table=matrix]");
    browser.is_accessible();
    browser.picture(&format!("finance-window-{name}"));
    for path in ["/console/windows", "/console/windows/liability", "/console/payments", "/console/disputes"] {
        browser.goto(&at(api, path));
        browser.find("h1");
        browser.is_accessible();
        browser.picture(&format!("finance{}-{name}", path.replace('/', "-")));
    }
}

/// Signs with each form of a key file; those of nobody and of somebody else are told, and nothing of a key is sent.
fn signs(name: &str, api: &Api, browser: &Chromium, texts: &Texts) {
    let (der, key) = registered(&api.aa, "aa");
    let (theirs, _) = registered(&api.bb, "bb");
    browser.goto(&at(api, "/console/windows/1"));
    browser.click("#sign");
    browser.find("#digest");
    browser.is_accessible();
    browser.type_into("#key", &browser.write("nothing.pem", b"nothing").display().to_string());
    browser.reads("#told", texts.none);
    browser.type_into("#key", &browser.write("theirs.p8", &theirs).display().to_string());
    browser.reads("#told", texts.strange);
    let seed = &der[16..48];
    let jwk =
        json!({ "kty": "OKP", "crv": "Ed25519", "d": URL_SAFE_NO_PAD.encode(seed), "x": key.public().to_jwk()["x"] });
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(&der));
    let files = [("own.jwk", jwk.to_string().into_bytes()), ("own.pem", pem.into_bytes()), ("own.p8", der.clone())];
    // The session is over, or the statement is not there: what was answered instead is not signed.
    browser.run("window.real = window.fetch; window.fetch = async () => new Response('sign in', { status: 401 });");
    browser.type_into("#key", &browser.write("early.p8", &der).display().to_string());
    browser.reads("#told", texts.unread);
    assert_eq!(browser.run("return document.querySelector('#signed').value"), "");
    browser.run("window.fetch = window.real");
    let mut made = Vec::new();
    for (file, bytes) in files {
        browser.run("document.querySelector('#told').textContent = ''");
        browser.type_into("#key", &browser.write(file, &bytes).display().to_string());
        browser.reads("#told", texts.signed);
        made.push(browser.run("return document.querySelector('#signed').value"));
    }
    assert!(made.windows(2).all(|two| two[0] == two[1]), "one key, one signature: {made:?}");
    let sent = made[0].as_str().expect("a text");
    assert!(sent.len() < 600 && !sent.contains(&URL_SAFE_NO_PAD.encode(seed)));
    browser.is_accessible();
    browser.picture(&format!("finance-sign-{name}"));
    browser.click("#send-signature");
    browser.reads("#state", texts.acknowledged);
    assert_eq!(api.statement_row(api.window(1), "aa").state, State::Acknowledged);
    browser.is_accessible();
    browser.picture(&format!("finance-statement-{name}"));
}

/// A workbook that opens.
fn keeps_a_workbook(browser: &Chromium) {
    browser.click("ul.files a[href*='format=xlsx']");
    let file = browser.folder.path().join("downloads/statement-w0001-aa.xlsx");
    let bytes = poll("the workbook is there", PATIENCE, || {
        std::fs::read(&file).ok().filter(|bytes| zip::ZipArchive::new(std::io::Cursor::new(bytes)).is_ok())
    });
    assert!(sheets(&bytes).iter().any(|sheet| sheet == "xl/workbook.xml"));
}

/// From a figure to its lines, and a dispute of one.
fn disputes(name: &str, api: &Api, browser: &Chromium, texts: &Texts) {
    browser.click("[data-table=counterparties] a[href*='sort=out']");
    browser.find("a[href*='/dispute?line=']");
    browser.is_accessible();
    browser.picture(&format!("finance-lines-{name}"));
    browser.click("a[href*='/dispute?line=']");
    browser.is_accessible();
    browser.type_into("#claimed_amount", "-6.00");
    browser.type_into("#note", "退货 goods came back");
    browser.click("#open-dispute");
    browser.reads("#state", texts.open);
    browser.reads(".steps", "退货 goods came back");
    browser.is_accessible();
    browser.picture(&format!("finance-dispute-{name}"));
    browser.goto(&at(api, "/console/reconciliations"));
    browser.type_into(
        "#file",
        &browser.write("own.csv", b"external_reference,amount\norder-1,-6.80\norder-9,-1.00\n").display().to_string(),
    );
    poll("the file is in the field", PATIENCE, || {
        let value = browser.run("return document.querySelector('#list').value");
        value.as_str().is_some_and(|text| text.contains("order-9")).then_some(())
    });
    browser.is_accessible();
    browser.click("#compare");
    browser.find("[data-table=differences]");
    browser.is_accessible();
    browser.picture(&format!("finance-list-{name}"));
}

fn a_month_of_finance(name: &str, setting: Setting, texts: &Texts) {
    let api = Api::new(name, "");
    let Some(browser) = Chromium::start(name, setting) else { return };
    api.linked();
    api.converted("order-1", 136);
    api.converted("order-2", 20);
    ends_the_window(name, &api, &browser, texts);
    browser.goto(&at(&api, "/console"));
    browser.click(".top form button");
    browser.find("#login");
    browser.sign_in(&api, &api.hire("aa-fin", Some("aa"), Role::Finance));
    signs(name, &api, &browser, texts);
    keeps_a_workbook(&browser);
    disputes(name, &api, &browser, texts);
}

#[test]
fn finance_ends_reads_signs_and_disputes() {
    a_month_of_finance("finance-en", Setting::DESK, &EN);
}

#[test]
fn finance_does_so_in_chinese() {
    a_month_of_finance("finance-zh", Setting { language: "zh-CN", ..Setting::DESK }, &ZH);
}
