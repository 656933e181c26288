//! Nothing that opens, names or moves something is in what a server writes elsewhere: its log at its most talkative, its
//! metrics, and pages that say no.

use super::{Browser, PASSWORD, Person, Shown};
use crate::faults::served::{Served, Stage};
use crate::support::book::Book;
use crate::tls::{Answer, Client};
use diesel::PgConnection;
use hanse::domain::staff::{Login, Password, Role};
use hanse::service::staff::log::Actor;
use hanse::service::staff::{New, people};
use hanse::signing::sealing::SealingKey;
use serde_json::{Value, json};

const STAFF: &str = "__Host-hanse-staff";
const MEMBER: &str = "__Host-hanse-member";
/// Typed where they do not belong, or wrong.
const WRONG_PASSWORD: &str = "herring salt and amber 7731";
const CHOSEN: &str = "linden honey in a stone jar";
/// Theirs, too.
const MEMBER_REF: &str = "Ottilie-Amber-81";

/// A server with what is typed and shown that nobody else is to read.
struct Seen {
    served: Served,
    /// What it is, and the text.
    secrets: Vec<(&'static str, String)>,
    /// Pages that said no: which request it was, and what they said.
    noes: Vec<(String, String)>,
}

impl Seen {
    fn browser(&self) -> Browser {
        Browser::new(self.served.public)
    }

    fn secret(&mut self, what: &'static str, text: &str) {
        assert!(text.len() >= 6, "{what}: {text:?} would be found by chance");
        self.secrets.push((what, text.to_owned()));
    }

    /// An answer that is not to be more than a no.
    fn no(&mut self, what: &str, shown: Shown) {
        assert!(shown.status >= 400, "{what}: {}", shown.status);
        // A page round which the console is has the way out, with its form's token.
        let mut parts = shown.body.split("name=\"form_token\" value=\"");
        let mut body = parts.next().unwrap_or_default().to_owned();
        body.extend(parts.map(|part| part.split_once('"').map_or(part, |(_, rest)| rest)));
        self.noes.push((what.to_owned(), format!("{}\n{body}", shown.head)));
    }

    fn form_token(&mut self, what: &'static str, page: &Shown, action: &str) -> String {
        let form = page.form(action);
        let token = form.iter().find(|(name, _)| name == "form_token").expect("a token").1.clone();
        self.secret(what, &token);
        token
    }
}

fn hire(conn: &mut PgConnection, sealing: &SealingKey, login: &str, partner: Option<&str>, role: Role) -> Person {
    let name: Login = login.parse().expect("a login");
    let password = Password::choose(PASSWORD.to_owned(), &name).expect("a password");
    let new = New { login: name, partner: partner.map(|slug| slug.parse().expect("a slug")), role, password };
    let enrolled = people::add(conn, sealing, &Actor::COMMAND_LINE, &new).expect("somebody new");
    Person::shown(login, enrolled.uri.expose())
}

fn call(client: &Client, method: &str, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
    let text = format!("{head}idempotency-key: scrub\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let answer = client.connect().and_then(|mut conn| conn.raw(text.as_bytes())).expect("answered");
    assert!((200..300).contains(&answer.status), "{path}: {}", String::from_utf8_lossy(&answer.body));
    answer
}

/// A member opens its page, and the code is tried once more, and elsewhere.
fn member(seen: &mut Seen, aa: &Client) -> Browser {
    let made = call(aa, "POST", "/v1/member-sessions", &json!({ "member_ref": MEMBER_REF })).json();
    let url = made["url"].as_str().expect("an address");
    let path = &url[url.find("/member/open/").expect("a path")..];
    let code = path.rsplit('/').next().expect("a code").to_owned();
    seen.secret("the opening's code", &code);
    let mut member = seen.browser();
    let opened = member.get(path);
    let home = member.follow(&opened).ok();
    let cookie = member.cookies[MEMBER].clone();
    seen.secret("the member's cookie", &cookie);
    let token = seen.form_token("the member's form token", &home, "/member/end");
    let mut other = seen.browser();
    let again = other.get(path);
    seen.no("an opening twice", again);
    for path in
        [format!("/member/open/{cookie}"), format!("/{code}"), format!("/member?{code}"), format!("/v1/{cookie}")]
    {
        let shown = other.get(&path);
        seen.no("a member's secret elsewhere", shown);
    }
    let shown = member.post("/member/pass", &[("form_token", &token[1..])]);
    seen.no("a member's form with another token", shown);
    let shown = member.post("/member/conversions", &[("form_token", token.as_str()), ("quote", &code), ("key", "k")]);
    seen.no("a code as a quote", shown);
    member
}

/// Signing in, wrongly in every way and then rightly.
fn signed_in(seen: &mut Seen, person: &Person) -> Browser {
    let mut browser = seen.browser();
    let right = person.code();
    let wrong = if right == "483920" { "483921" } else { "483920" };
    seen.secret("a code", &right);
    seen.secret("a wrong code", wrong);
    for (login, password, code) in [
        (person.login.as_str(), WRONG_PASSWORD, right.as_str()),
        (person.login.as_str(), PASSWORD, wrong),
        (WRONG_PASSWORD, PASSWORD, right.as_str()),
        (PASSWORD, WRONG_PASSWORD, PASSWORD),
    ] {
        let refused = browser.post("/sign-in", &[("login", login), ("password", password), ("code", code)]);
        seen.no("a sign-in", refused);
    }
    let fields = [("login", person.login.as_str()), ("password", PASSWORD), ("code", right.as_str())];
    let signed = browser.post("/sign-in", &fields);
    let home = browser.follow(&signed).ok();
    seen.secret("a cookie of staff", &browser.cookies[STAFF].clone());
    seen.form_token("a form token of staff", &home, "/console/sign-out");
    browser
}

/// Somebody is added, and sets up their login.
fn enrolled(seen: &mut Seen, admin: &mut Browser) {
    let people = admin.get("/console/people").ok();
    let invited = admin.fill(&people, "/console/people", &[("login", "newcomer"), ("role", "viewer")]).ok();
    let path = invited.body[invited.body.find("/sign-in/enrol/").expect("an address")..].split('<').next();
    let path = path.expect("its end").to_owned();
    let code = path.rsplit('/').next().expect("a code").to_owned();
    seen.secret("an enrolment's code", &code);
    let mut theirs = seen.browser();
    let page = theirs.get(&path).ok();
    seen.form_token("an enrolment's form token", &page, &path);
    let two = [("password", CHOSEN), ("again", CHOSEN)];
    let shown = theirs.fill(&page, &path, &two).ok();
    let next = shown.form("/sign-in/enrolment")[0].1.clone();
    seen.secret("what the next form brings back", &next);
    let uri = &shown.body[shown.body.find("otpauth://").expect("a link")..];
    let secret = uri.split("secret=").nth(1).and_then(|rest| rest.split('&').next()).expect("a secret").to_owned();
    seen.secret("a secret of codes", &secret);
    let again = theirs.fill(&page, &path, &two);
    seen.no("an address twice", again);
    let elsewhere = theirs.get(&format!("/sign-in/enrol/{next}"));
    seen.no("the next form's secret as an address", elsewhere);
    let code = Person::shown("newcomer", &uri.replace("&#38;", "&")).code();
    seen.secret("a newcomer's code", &code);
    let done = theirs.fill(&shown, "/sign-in/enrolment", &[("code", &code)]);
    theirs.follow(&done).ok();
    seen.secret("a newcomer's cookie", &theirs.cookies[STAFF].clone());
    let over = theirs.fill(&shown, "/sign-in/enrolment", &[("code", &code)]);
    seen.no("an enrolment twice", over);
}

/// A voucher is claimed, redeemed by its code, and tried once more.
fn redeemed(seen: &mut Seen, (aa, bb): (&Client, &Client), clerk: &mut Browser) {
    let document = json!({
        "kind": "coupon", "name": { "en": "5 off", "zh": "减5" }, "discount": { "amount": "5.00" }, "use_days": 30,
        "quota": 5, "offers": [{ "to": "aa", "funder": "giver" }],
    });
    let benefit = call(bb, "PUT", "/v1/benefits/coupon", &document).json();
    let claims = format!("/v1/benefits/{}/claims", benefit["benefit_id"].as_str().expect("an id"));
    let claimed = call(aa, "POST", &claims, &json!({ "member_ref": MEMBER_REF })).json();
    let code = claimed["code"].as_str().expect("a code").to_owned();
    seen.secret("a voucher's code", &code);
    seen.secret("a voucher's code without its groups", &code.replace('-', ""));
    let page = clerk.get("/till").ok();
    let placed = clerk.fill(&page, "/till/place", &[("store", "Bund"), ("till", "1")]);
    let page = clerk.follow(&placed).ok();
    let found = clerk.fill(&page, "/till/look", &[("code", &code), ("bill", "20.00")]).ok();
    let taken = clerk.fill(&found, "/till/redemptions", &[("bill", "20.00"), ("receipt", "R-1")]);
    clerk.follow(&taken).ok();
    let token = found.form("/console/sign-out")[0].1.clone();
    let again =
        [("form_token", token.as_str()), ("code", &code), ("key", "another"), ("bill", "20.00"), ("receipt", "")];
    let used = clerk.post("/till/redemptions", &again);
    seen.no("a voucher twice", used);
    for path in
        [format!("/till/redemptions/{code}"), format!("/till/{code}"), format!("/console/benefits/{code}/state")]
    {
        let shown = clerk.get(&path);
        seen.no("a voucher's code in an address", shown);
    }
}

/// Tokens where they do not belong: addresses, headers, bodies, of pages and of the plain endpoints.
fn misplaced(seen: &mut Seen) {
    let secrets: Vec<String> = seen.secrets.iter().map(|(_, text)| text.replace(' ', "+")).collect();
    for secret in secrets {
        let mut browser = seen.browser();
        for path in [format!("/console?token={secret}"), format!("/{secret}"), format!("/console/{secret}")] {
            let bearer = format!("Bearer {secret}");
            let headers = [("authorization", bearer.as_str()), ("x-session", &secret), ("referer", &secret)];
            let shown = browser.ask("GET", &path, &headers, None);
            seen.no("in an address and in headers", shown);
        }
        browser.cookies.insert(STAFF.to_owned(), format!("{secret}x"));
        browser.cookies.insert(MEMBER.to_owned(), format!("{secret}x"));
        for path in ["/console", "/member", "/till"] {
            let shown = browser.get(path);
            seen.no("as a cookie", shown);
        }
        let shown = browser.ask("POST", "/v1/enrolments", &[], Some(&json!({ "token": secret }).to_string()));
        seen.no("as a token of another kind", shown);
        let shown = browser.ask("POST", "/sign-in", &[], Some(&format!("login={secret}&{secret}={secret}")));
        seen.no("as a form that is none", shown);
    }
}

/// Whether a text has a secret in it; short numbers are none of a time's fraction or of a longer number.
fn has(text: &str, secret: &str) -> bool {
    if !secret.bytes().all(|b| b.is_ascii_digit()) {
        return text.contains(secret);
    }
    let beside = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit() || c == '.' || c == 'Z');
    text.match_indices(secret).any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + secret.len()..].chars().next());
        !beside(before) && !beside(after)
    })
}

#[test]
fn what_is_secret_is_in_no_log_no_metric_and_no_page_that_says_no() {
    let book = Book::new("");
    let stage = Stage::on("scrub", &book.database.url, 0);
    let served = stage.serve_with(&["--log", "trace"]);
    let [aa, bb] = ["aa", "bb"].map(|partner| stage.client(&served, partner));
    let sealing = SealingKey::open(&stage.folder.path().join("keys")).expect("the server's key");
    let mut conn = stage.connection();
    let admin = hire(&mut conn, &sealing, "ada", None, Role::Admin);
    let clerk = hire(&mut conn, &sealing, "clerk", Some("bb"), Role::Clerk);
    let mut seen = Seen { served, secrets: Vec::new(), noes: Vec::new() };
    for password in [PASSWORD, WRONG_PASSWORD, CHOSEN] {
        seen.secret("a password", password);
    }
    seen.secret("a member's reference", MEMBER_REF);
    let membership = json!({ "tier": "basic", "status": "active" });
    call(&aa, "PUT", &format!("/v1/memberships/{MEMBER_REF}"), &membership);
    member(&mut seen, &aa);
    let mut admin = signed_in(&mut seen, &admin);
    let mut clerk = signed_in(&mut seen, &clerk);
    enrolled(&mut seen, &mut admin);
    redeemed(&mut seen, (&aa, &bb), &mut clerk);
    misplaced(&mut seen);
    let Seen { served, secrets, noes } = seen;
    let metrics = served.plain("/metrics");
    let mut lines = served.told.clone();
    let (code, more) = served.terminate();
    assert_eq!(code, Some(0));
    lines.extend(more);
    assert!(lines.iter().any(|line| line.contains("request answered")), "it said what it was asked");
    let mut found = Vec::new();
    for (what, secret) in &secrets {
        found.extend(lines.iter().filter(|line| has(line, secret)).map(|line| format!("{what} in the log: {line}")));
        found.extend(metrics.lines().filter(|line| has(line, secret)).map(|line| format!("{what} in metrics: {line}")));
        let shown = noes.iter().filter(|(_, page)| has(page, secret));
        found.extend(shown.map(|(request, page)| format!("{what} in a no to {request}: {page}")));
    }
    let first: Vec<&str> = found.iter().take(5).map(String::as_str).collect();
    assert!(found.is_empty(), "{} places: {}", found.len(), first.join("\n"));
    book.audit();
}
