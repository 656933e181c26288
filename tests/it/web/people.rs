//! People who work for a brand or for the operator, signed in as they are.

use super::Browser;
use crate::api::Api;
use hanse::clock;
use hanse::domain::staff::{Login, Password, Role};
use hanse::service::staff::log::Actor;
use hanse::service::staff::{New, people};
use hanse::signing::totp;

pub const PASSWORD: &str = "salt herring and amber";

/// Somebody who can sign in, with what they have for it.
pub struct Person {
    pub login: String,
    secret: Vec<u8>,
}

impl Person {
    /// Who was shown this link.
    pub fn shown(login: &str, uri: &str) -> Person {
        Person { login: login.to_owned(), secret: secret(uri) }
    }

    /// What their authenticator shows now.
    pub fn code(&self) -> String {
        totp::code(&self.secret, totp::step(clock::now().timestamp()))
    }
}

/// RFC 4648 §6, of the secret in a link.
fn secret(uri: &str) -> Vec<u8> {
    let text = uri.split("secret=").nth(1).and_then(|rest| rest.split('&').next()).expect("a secret");
    let value = |digit: u8| if digit.is_ascii_uppercase() { digit - b'A' } else { digit - b'2' + 26 };
    let bits: Vec<u8> = text.bytes().flat_map(|digit| (0..5).rev().map(move |bit| (value(digit) >> bit) & 1)).collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit)).collect()
}

impl Api {
    /// Somebody new, of a partner or of the operator.
    pub fn hire(&self, login: &str, partner: Option<&str>, role: Role) -> Person {
        let name: Login = login.parse().expect("a login");
        let password = Password::choose(PASSWORD.to_owned(), &name).expect("a password");
        let new = New { login: name, partner: partner.map(|slug| slug.parse().expect("a slug")), role, password };
        let enrolled = people::add(&mut self.connection(), &self.sealing(), &Actor::COMMAND_LINE, &new);
        let enrolled = enrolled.expect("somebody new");
        Person { login: login.to_owned(), secret: secret(enrolled.uri.expose()) }
    }

    /// So that a code of before counts once more.
    pub fn forget_codes(&self) {
        self.sql("UPDATE staff SET last_step = 0").expect("forgotten");
    }

    /// A browser in which somebody has signed in.
    pub fn sign_in(&self, person: &Person) -> Browser {
        self.forget_codes();
        let mut browser = Browser::new(self.pages());
        let code = person.code();
        let fields = [("login", person.login.as_str()), ("password", PASSWORD), ("code", code.as_str())];
        let signed = browser.post("/sign-in", &fields);
        browser.follow(&signed).ok();
        browser
    }

    /// What the newest line of this action says beside its subject.
    pub fn details(&self, action: &str) -> std::collections::BTreeMap<String, String> {
        let lines = hanse::store::staff::log::list(&mut self.connection(), None, None, 200).expect("the log");
        lines.into_iter().find(|line| line.action == action).expect("a line").detail
    }

    /// What the staff log has of these actions, oldest first, as `login action subject`.
    pub fn acts(&self, actions: &str) -> Vec<String> {
        let mut lines = hanse::store::staff::log::list(&mut self.connection(), None, None, 200).expect("the log");
        lines.reverse();
        let wanted = lines.iter().filter(|line| line.action.starts_with(actions));
        let text = |line: &hanse::store::staff::log::Line| {
            format!("{} {} {}", line.login.as_deref().unwrap_or("-"), line.action, line.subject)
        };
        wanted.map(text).collect()
    }
}
