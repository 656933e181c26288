//! Every page of staff, asked for by every role of two brands, by the operator's, and by nobody: no page of one is reachable
//! by another. A route that is not in the table is a finding.

use super::Browser;
use crate::api::{Api, Expect};
use hanse::domain::staff::Role;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Who may, by the first letters of roles, of a partner and of the operator, and what comes of it then: at the brand whose
/// it is, at another one, at the operator's. Everybody else is refused by role; nobody is asked to sign in.
struct Line {
    route: &'static str,
    /// Fields of a form beside its token.
    form: &'static [(&'static str, &'static str)],
    partner: &'static str,
    operator: &'static str,
    statuses: [u16; 3],
}

const fn line(
    route: &'static str,
    form: &'static [(&'static str, &'static str)],
    partner: &'static str,
    operator: &'static str,
    statuses: [u16; 3],
) -> Line {
    Line { route, form, partner, operator, statuses }
}

const ALL: &str = "vcfea";
const OK: [u16; 3] = [200; 3];
const NONE: [u16; 3] = [404; 3];
/// Let in: whatever else is wrong is said as it is.
const IN: u16 = 0;
/// Let in, and an operator has nothing of the kind.
const PARTNERS: [u16; 3] = [IN, IN, 403];

/// `{…}` is filled in with what belongs to `aa`.
const TABLE: &[Line] = &[
    line("GET /console", &[], ALL, ALL, OK),
    line("GET /console/log", &[], "a", "a", OK),
    line("GET /console/people", &[], "a", "a", OK),
    line("POST /console/people", &[("login", "x"), ("role", "viewer")], "a", "a", [422; 3]),
    line("POST /console/people/{nobody}/role", &[("role", "viewer")], "a", "a", NONE),
    line("POST /console/people/{nobody}/reset", &[], "a", "a", NONE),
    line("POST /console/people/{nobody}/sessions", &[], "a", "a", NONE),
    line("POST /console/people/{nobody}/removal", &[], "a", "a", NONE),
    line("GET /console/crossings", &[], "", "ea", OK),
    line("GET /console/crossings/{conversion}", &[], "", "ea", OK),
    line("POST /console/crossings/{nothing}/resolution", &[("outcome", "released"), ("reason", "x")], "", "ea", NONE),
    line("GET /console/figures", &[], "vfea", "vfea", OK),
    line("GET /console/figures/days.csv", &[], "vfea", "vfea", OK),
    line("GET /console/rates", &[], "vfea", "vfea", OK),
    line("GET /console/proposals", &[], "vfea", "vfea", OK),
    line("GET /console/proposals/{proposal}", &[], "vfea", "vfea", [200, 404, 200]),
    line("GET /console/proposals/{proposal}/approvals", &[], "vfea", "vfea", [200, 404, 200]),
    line("POST /console/proposals/{proposal}/approvals", &[("jws", "a.b.c")], "fa", "fa", [422, 404, 422]),
    line("GET /console/conversions", &[], "vfea", "vfea", OK),
    line("GET /console/conversions/{conversion}", &[], "vfea", "vfea", [200, 404, 200]),
    line("GET /console/exposures", &[], "fa", "fa", OK),
    line("GET /console/benefits", &[], ALL, ALL, OK),
    line("POST /console/benefits/{benefit}/approvals", &[("version", "1")], "fa", "fa", [403, 404, 403]),
    line("POST /console/benefits/{benefit}/withdrawal", &[], "fa", "fa", [403, 404, 403]),
    line("POST /console/benefits/{benefit}/state", &[("version", "1"), ("state", "open")], "a", "a", [303, 404, 403]),
    line("GET /console/webhooks", &[], "ea", "ea", [200, 200, 403]),
    line("GET /console/webhooks/{webhook}", &[], "ea", "ea", [200, 404, 403]),
    line("POST /console/deliveries/{delivery}/resend", &[("webhook", "whk_0")], "ea", "ea", [404, 404, 403]),
    line("GET /console/keys", &[], "ea", "ea", OK),
    line("GET /till", &[], "c", "", OK),
    line("POST /till/place", &[("store", "Bund")], "c", "", [303; 3]),
    line("GET /till/look", &[], "c", "", OK),
    line("POST /till/look", &[("code", "7Q2K-M0XR-4D9V-81BT")], "c", "", NONE),
    line("GET /till/redemptions", &[], "c", "", OK),
    line("POST /till/redemptions", &[("code", "7Q2K-M0XR-4D9V-81BT"), ("key", "k")], "c", "", NONE),
    line("GET /till/redemptions/{nothing}", &[], "c", "", NONE),
    line("POST /till/redemptions/{nothing}/reversal", &[("reason", "x"), ("key", "k")], "c", "", NONE),
];

/// Finance's, of windows, disputes and payments that there are not.
const FINANCE: &[Line] = &[
    line("GET /console/windows", &[], "fa", "fa", OK),
    line("GET /console/windows/liability", &[], "fa", "fa", OK),
    line("GET /console/windows/liability/file", &[], "fa", "fa", [IN; 3]),
    line("GET /console/windows/{nothing}", &[], "fa", "fa", NONE),
    line("POST /console/windows/{nothing}/close", &[], "", "fa", [IN; 3]),
    line("POST /console/windows/{nothing}/retry", &[], "", "fa", [IN; 3]),
    line("GET /console/windows/{nothing}/reports/{nothing}", &[], "fa", "fa", [IN; 3]),
    line("GET /console/windows/{nothing}/statements/{nothing}", &[], "fa", "fa", [IN; 3]),
    line("GET /console/windows/{nothing}/statements/{nothing}/document", &[], "fa", "fa", [IN; 3]),
    line("GET /console/windows/{nothing}/statements/{nothing}/lines", &[], "fa", "fa", [IN; 3]),
    line("GET /console/windows/{nothing}/statements/{nothing}/lines.csv", &[], "fa", "fa", [IN; 3]),
    line("GET /console/windows/{nothing}/payload", &[], "f", "f", PARTNERS),
    line("GET /console/windows/{nothing}/sign", &[], "f", "f", PARTNERS),
    line("POST /console/windows/{nothing}/sign", &[("signed", "x")], "f", "f", PARTNERS),
    line("GET /console/windows/{nothing}/dispute?line=x", &[], "f", "f", PARTNERS),
    line(
        "POST /console/windows/{nothing}/dispute",
        &[("line", "x"), ("kind", "x"), ("claimed_points", ""), ("claimed_amount", ""), ("note", "x")],
        "f",
        "f",
        PARTNERS,
    ),
    line("GET /console/disputes", &[], "fa", "fa", OK),
    line("GET /console/disputes/{nothing}", &[], "fa", "fa", NONE),
    line("POST /console/disputes/{nothing}/answer", &[("answer", "accept"), ("note", "x")], "f", "f", [IN; 3]),
    line("POST /console/disputes/{nothing}/withdrawal", &[], "f", "f", PARTNERS),
    line(
        "POST /console/disputes/{nothing}/decision",
        &[("outcome", "x"), ("amount", ""), ("reason", "x")],
        "",
        "f",
        [IN; 3],
    ),
    line("POST /console/disputes/{nothing}/take-back", &[], "", "f", [IN; 3]),
    line("GET /console/payments", &[], "fa", "fa", OK),
    line(
        "POST /console/payments/{nothing}",
        &[("amount", "1.00"), ("on", "2026-01-01"), ("reference", "x")],
        "f",
        "f",
        [IN; 3],
    ),
    line("GET /console/reconciliations", &[], "fa", "fa", OK),
    line(
        "POST /console/reconciliations",
        &[("window", "x"), ("format", "x"), ("map", ""), ("list", "x")],
        "f",
        "f",
        PARTNERS,
    ),
    line("GET /console/reconciliations/{nothing}/{nothing}", &[], "fa", "fa", PARTNERS),
    line("GET /console/reconciliations/{nothing}/{nothing}/differences.csv", &[], "fa", "fa", PARTNERS),
    line("POST /console/reconciliations/{nothing}/{nothing}/disputes", &[], "f", "f", PARTNERS),
];

/// Ends the session: the last.
const WAY_OUT: &[Line] = &[line("POST /console/sign-out", &[], ALL, ALL, [303; 3])];

/// Ends all of somebody's, and is looked at elsewhere: of two rows that end a session only one can come last.
const ALL_OUT: &str = "POST /console/sign-out-everywhere";

fn table() -> impl Iterator<Item = &'static Line> {
    TABLE.iter().chain(FINANCE).chain(WAY_OUT)
}

/// What is open to everybody.
const DOOR: [&str; 5] =
    ["GET /sign-in", "POST /sign-in", "GET /sign-in/enrol/{}", "POST /sign-in/enrol/{}", "POST /sign-in/enrolment"];

/// Every Rust file of the staff's pages.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of ours").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

/// The routes as their files register them: `one("…", web::get()…)`, below the scope of the file, or else the console's.
fn routes() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/staff"), &mut files);
    let mut found = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a text");
        let scope = text.split("web::scope(\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("/console");
        // Whatever is registered otherwise would be missed.
        assert!(!text.contains("web::resource(\""), "{} registers a route without `one`", file.display());
        // A large form's resource is made with its bounds.
        let text = text.replace("large(\"", "one(\"");
        for part in text.split("one(\"").skip(1) {
            let (path, rest) = part.split_once('"').expect("its end");
            let path = if path.starts_with("/sign-in") { path.to_owned() } else { format!("{scope}{path}") };
            let of = rest.split(".service(").next().unwrap_or_default();
            for (call, method) in [("web::get()", "GET"), ("web::post()", "POST")] {
                if of.contains(call) {
                    found.insert(format!("{method} {path}"));
                }
            }
        }
    }
    found
}

/// Parameters as they are named in the code are of no account here.
fn plain(route: &str) -> String {
    let route = route.split('?').next().unwrap_or_default();
    let parts = route.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_is_in_the_table_once() {
    let listed: Vec<String> =
        table().map(|line| plain(line.route)).chain(DOOR.map(str::to_owned)).chain([ALL_OUT.to_owned()]).collect();
    let known: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), known.len(), "a route is there twice");
    let there: BTreeSet<String> = routes().iter().map(|route| plain(route)).collect();
    let missing: Vec<_> = there.difference(&known).collect();
    let gone: Vec<_> = known.difference(&there).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not in the table: {missing:?}; not registered: {gone:?}");
}

/// What belongs to `aa`, by the names in the table.
fn things(api: &Api) -> Vec<(&'static str, String)> {
    let conversion = api.in_doubt("order-1");
    let coupon = json!({
        "kind": "coupon", "name": { "en": "5 off", "zh": "减5" }, "discount": { "amount": "5.00" }, "use_days": 30,
        "quota": 5, "offers": [{ "to": "bb", "funder": "giver" }],
    });
    let benefit = api.aa.put("/v1/benefits/coupon", &coupon).status(200);
    let webhook = api.aa.post("/v1/webhooks", "", &json!({ "url": "https://hooks.aa.example/hanse" })).status(201);
    let proposal = "prp_0198c0de0000700080000000000000aa";
    api.sql(
        "INSERT INTO proposals (proposal_id, kind, from_partner, to_partner, change, state, proposed_at, notice_days) \
         VALUES ('0198c0de-0000-7000-8000-0000000000aa', 'pair', 'aa', 'bb', '{}', 'withdrawn', now(), 14)",
    )
    .expect("a proposal of before");
    let text = |answer: &serde_json::Value, name: &str| answer[name].as_str().expect("an id").to_owned();
    vec![
        ("{conversion}", conversion),
        ("{benefit}", text(&benefit, "benefit_id")),
        ("{webhook}", text(&webhook, "webhook_id")),
        ("{proposal}", proposal.to_owned()),
        ("{delivery}", "dlv_00000000000000010000000000000001".to_owned()),
        ("{nobody}", "nobody-here".to_owned()),
        ("{nothing}", "cnv_0198c0de0000700080000000000000ab".to_owned()),
    ]
}

/// Somebody at work: the house's place in `statuses`, the letter of the role, the browser and its forms' token.
struct AtWork {
    house: usize,
    letter: char,
    browser: Browser,
    token: String,
}

fn at_work(api: &Api) -> Vec<AtWork> {
    let mut all = Vec::new();
    for (house, partner) in [Some("aa"), Some("cc"), None].into_iter().enumerate() {
        // The operator has no till.
        for role in Role::ALL.into_iter().filter(|role| partner.is_some() || *role != Role::Clerk) {
            let login = format!("{role}-of-{}", partner.unwrap_or("us"));
            let mut browser = api.sign_in(&api.hire(&login, partner, role));
            let token = browser.get("/console").ok().form("/console/sign-out")[0].1.clone();
            let letter = role.text().chars().next().expect("a letter");
            all.push(AtWork { house, letter, browser, token });
        }
    }
    // A till knows where it is, or is asked for that first.
    for clerk in all.iter_mut().filter(|one| one.letter == 'c') {
        let fields = [("form_token", clerk.token.as_str()), ("store", "Bund"), ("till", "1")];
        assert_eq!(clerk.browser.post("/till/place", &fields).status, 303);
    }
    all
}

#[test]
fn no_page_of_one_is_reachable_by_another() {
    let api = Api::between("page-roles");
    let (things, mut people) = (things(&api), at_work(&api));
    let mut wrong = Vec::new();
    for line in table() {
        let (method, path) = line.route.split_once(' ').expect("a method");
        let path = things.iter().fold(path.to_owned(), |path, (name, id)| path.replace(name, id));
        let ask = |browser: &mut Browser, token: &str| match method {
            "GET" => browser.get(&path).status,
            _ => {
                let token = [("form_token", token)];
                browser.post(&path, &[&token, line.form].concat()).status
            }
        };
        if ask(&mut Browser::new(api.pages()), "x") != 401 {
            wrong.push(format!("{}: nobody is let in", line.route));
        }
        for one in &mut people {
            let roles = if one.house < 2 { line.partner } else { line.operator };
            let wanted = if roles.contains(one.letter) { line.statuses[one.house] } else { 403 };
            // Without the form's token, nobody.
            if method == "POST" && ask(&mut one.browser, "x") != 403 {
                wrong.push(format!("{}: a form without its token", line.route));
            }
            let token = one.token.clone();
            let got = ask(&mut one.browser, &token);
            let is_right =
                if wanted == IN { (200..500).contains(&got) && ![401, 403].contains(&got) } else { got == wanted };
            if !is_right {
                wrong.push(format!("{} by {} of house {}: {got}, not {wanted}", line.route, one.letter, one.house));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
