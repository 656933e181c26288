//! Pages for people: what they say, and to whom.

mod benefits;
mod enrolment;
mod finance;
mod member;
mod operations;
mod partner;
mod people;
mod proxied;
mod roles;
mod scrub;
mod staff;
mod till;
mod written;

pub use finance::{registered, sheets};
pub use partner::PROPOSAL;
pub use people::{PASSWORD, Person};

use crate::api::{Api, Expect};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A browser without a script: keeps cookies, follows nothing by itself.
#[derive(Clone)]
pub struct Browser {
    address: SocketAddr,
    pub cookies: BTreeMap<String, String>,
}

/// What a page answered.
pub struct Shown {
    pub status: u16,
    pub head: String,
    pub body: String,
    /// The same, of a file that is no text.
    pub bytes: Vec<u8>,
}

impl Browser {
    pub fn new(address: SocketAddr) -> Browser {
        Browser { address, cookies: BTreeMap::new() }
    }

    pub fn get(&mut self, path: &str) -> Shown {
        self.ask("GET", path, &[], None)
    }

    /// Sends a form.
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Shown {
        self.post_from(path, fields, &[])
    }

    /// Sends a form with headers of the test's own.
    pub fn post_from(&mut self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Shown {
        let form =
            fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect::<Vec<_>>().join("&");
        self.ask("POST", path, headers, Some(&form))
    }

    /// A form of a page, by its action, with what the page has put into it.
    pub fn submit(&mut self, page: &Shown, action: &str) -> Shown {
        let fields = page.form(action);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.post(action, &fields)
    }

    /// The same with what a person types into it.
    pub fn fill(&mut self, page: &Shown, action: &str, typed: &[(&str, &str)]) -> Shown {
        let hidden = page.form(action);
        let hidden = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<(&str, &str)> = hidden.chain(typed.iter().copied()).collect();
        self.post(action, &fields)
    }

    /// Follows a redirection.
    pub fn follow(&mut self, shown: &Shown) -> Shown {
        assert_eq!(shown.status, 303, "{}\n{}", shown.head, shown.body);
        let to = shown.header("location").expect("a place").to_owned();
        self.get(&to)
    }

    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], form: Option<&str>) -> Shown {
        let mut tcp = TcpStream::connect(self.address).expect("connected");
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !self.cookies.is_empty() {
            let all: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            head += &format!("cookie: {}\r\n", all.join("; "));
        }
        if let Some(form) = form {
            head += "content-type: application/x-www-form-urlencoded\r\n";
            head += &format!("content-length: {}\r\n", form.len());
        }
        write!(tcp, "{head}\r\n{}", form.unwrap_or_default()).expect("written");
        let mut got = Vec::new();
        tcp.read_to_end(&mut got).expect("an answer");
        let end = got.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(got[..end].to_vec()).expect("a head");
        let mut body = got.split_off(end + 4);
        if head.to_lowercase().contains("transfer-encoding: chunked") {
            body = unchunked(&body);
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let shown = Shown { status, head, body: String::from_utf8_lossy(&body).into_owned(), bytes: body };
        self.keep(&shown);
        shown
    }

    fn keep(&mut self, shown: &Shown) {
        for line in shown.head.lines().filter(|line| line.to_lowercase().starts_with("set-cookie:")) {
            let (name, rest) = line["set-cookie:".len()..].trim().split_once('=').expect("a cookie");
            let value = rest.split(';').next().unwrap_or_default();
            if rest.to_lowercase().contains("max-age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

fn escaped(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    value.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").expect("a length");
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).expect("hex"), 16).expect("hex");
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + length]);
        rest = &rest[end + 2 + length + 2..];
    }
}

impl Shown {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub fn ok(self) -> Shown {
        assert_eq!(self.status, 200, "{}\n{}", self.head, self.body);
        self
    }

    #[track_caller]
    pub fn says(&self, text: &str) {
        assert!(self.body.contains(text), "{text:?} is not on the page:\n{}", self.body);
    }

    #[track_caller]
    pub fn is_silent_about(&self, text: &str) {
        assert!(!self.body.contains(text), "{text:?} is on the page:\n{}", self.body);
    }

    /// The hidden fields of the form with this action.
    #[track_caller]
    pub fn form(&self, action: &str) -> Vec<(String, String)> {
        let start = self
            .body
            .find(&format!("action=\"{action}\""))
            .unwrap_or_else(|| panic!("no form {action}:\n{}", self.body));
        let form = self.body[start..].split("</form>").next().expect("its end");
        let inputs = form.split("<input type=\"hidden\" name=\"").skip(1);
        inputs
            .map(|input| {
                let (name, rest) = input.split_once('"').expect("a name");
                let value = rest.trim_start_matches(" value=\"").split('"').next().expect("a value");
                (name.to_owned(), value.to_owned())
            })
            .collect()
    }

    /// The first address on the page that begins so.
    #[track_caller]
    pub fn address(&self, start: &str) -> String {
        let at = self.body.find(start).unwrap_or_else(|| panic!("no {start}:\n{}", self.body));
        self.body[at..].split('"').next().expect("its end").to_owned()
    }
}

impl Api {
    /// A one-time address of a member of `aa`'s, as its path.
    pub fn member_page(&self, member: &str, more: serde_json::Value) -> String {
        let mut body = json!({ "member_ref": member });
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let made = self.aa.post("/v1/member-sessions", "", &body).status(201);
        let url = made["url"].as_str().expect("an address");
        let start = format!("http://{}", self.pages());
        url.strip_prefix(&start).unwrap_or_else(|| panic!("{url} is not at {start}")).to_owned()
    }

    /// A browser in which a member of `aa`'s has its page open.
    pub fn browse(&self, member: &str) -> Browser {
        let mut browser = Browser::new(self.pages());
        let opened = browser.get(&self.member_page(member, json!({})));
        browser.follow(&opened).ok();
        browser
    }
}
