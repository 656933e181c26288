//! Who is believed: a request signed by the alliance's published key, or with the secret of our webhooks, about now.

use crate::signing::jwk::PublicKey;
use crate::signing::webhook::{self, Refused, Secret, Stamp};
use arc_swap::ArcSwap;
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use serde_json::Value;

/// The `purpose` of the alliance's keys that sign requests.
const PURPOSE: &str = "webhook";

/// What is known of the alliance.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub keys: Vec<PublicKey>,
    pub secrets: Vec<Secret>,
}

/// Known things may be exchanged while requests are judged.
#[derive(Debug, Default)]
pub struct Gate(ArcSwap<Known>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    #[error("the request carries no webhook-id, webhook-timestamp and webhook-signature")]
    Unsigned,
    #[error("{0}")]
    Refused(#[from] Refused),
    #[error("content-digest is not that of the body")]
    Digest,
    /// No key has been read yet: the request may be good.
    #[error("the alliance's keys are not known here yet")]
    Unknowing,
}

impl Gate {
    pub fn set_keys(&self, keys: Vec<PublicKey>) {
        self.0.rcu(|known| Known { keys: keys.clone(), secrets: known.secrets.clone() });
    }

    pub fn set_secrets(&self, secrets: Vec<Secret>) {
        self.0.rcu(|known| Known { keys: known.keys.clone(), secrets: secrets.clone() });
    }

    /// Judges a call of the ledger; `now` in unix seconds.
    pub fn check(&self, headers: &HeaderMap, body: &[u8], now: i64) -> Result<(), Closed> {
        let known = self.0.load();
        judge(&known, &known.keys, headers, body, now)
    }

    /// Judges an event that is pushed here. The alliance's key says who sent it, and to whoever named this URL: only the
    /// secret of our own webhook says that it is ours. Without one nothing was asked for, and anything is for trying out.
    pub fn check_event(&self, headers: &HeaderMap, body: &[u8], now: i64) -> Result<(), Closed> {
        let known = self.0.load();
        let keys = if known.secrets.is_empty() { &known.keys[..] } else { &[] };
        judge(&known, keys, headers, body, now)
    }
}

fn judge(known: &Known, keys: &[PublicKey], headers: &HeaderMap, body: &[u8], now: i64) -> Result<(), Closed> {
    let text = |name: &str| one(headers, name).ok_or(Closed::Unsigned);
    let stamp =
        Stamp { id: text("webhook-id")?, timestamp: text("webhook-timestamp")?, signature: text("webhook-signature")? };
    if known.keys.is_empty() && known.secrets.is_empty() {
        return Err(Closed::Unknowing);
    }
    webhook::verify(stamp, body, &known.secrets, keys, now)?;
    match headers.get("content-digest") {
        Some(_) if one(headers, "content-digest") != Some(&webhook::content_digest(body)) => Err(Closed::Digest),
        _ => Ok(()),
    }
}

/// A header that is there once: of two, each reader might take another.
pub fn one<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut all = headers.get_all(name).iter();
    match (all.next().map(HeaderValue::to_str), all.next()) {
        (Some(Ok(text)), None) => Some(text),
        _ => None,
    }
}

/// The keys of a JWK set that sign requests; others, and those that are no keys, are passed over.
pub fn keys_of(jwks: &Value) -> Vec<PublicKey> {
    let all = jwks["keys"].as_array().into_iter().flatten();
    let ours = all.filter(|key| key["purpose"] == PURPOSE);
    ours.filter_map(|key| {
        let mut members = key.as_object()?.clone();
        // A JWK has more members than those that make it a key; these are what is published beside it.
        members.retain(|name, _| ["kty", "crv", "x", "y", "kid", "alg", "use"].contains(&name.as_str()));
        PublicKey::from_jwk(&Value::Object(members)).ok()
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::jws::SigningKey;
    use serde_json::json;

    const NOW: i64 = 1_700_000_000;

    fn signed(body: &[u8], secret: &Secret, keys: &[&SigningKey]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let signature = webhook::signature("msg_00001", NOW, body, std::slice::from_ref(secret), keys);
        for (name, value) in [
            ("webhook-id", "msg_00001".to_owned()),
            ("webhook-timestamp", NOW.to_string()),
            ("webhook-signature", signature),
            ("content-digest", webhook::content_digest(body)),
        ] {
            headers.insert(name, value.parse().expect("a header"));
        }
        headers
    }

    #[test]
    fn a_request_is_believed_for_its_key_or_its_secret() {
        let key = SigningKey::from_pkcs8(&SigningKey::generate().expect("random")).expect("a key");
        let (secret, other) = (Secret::generate().expect("random"), Secret::generate().expect("random"));
        let gate = Gate::default();
        assert_eq!(gate.check(&signed(b"{}", &secret, &[&key]), b"{}", NOW), Err(Closed::Unknowing));
        let mut jwk = key.public().to_jwk();
        jwk["purpose"] = json!("statement");
        assert!(keys_of(&json!({ "keys": [jwk.clone()] })).is_empty(), "a key signs for one purpose");
        jwk["purpose"] = json!("webhook");
        jwk["status"] = json!("active");
        gate.set_keys(keys_of(&json!({ "keys": [jwk] })));
        assert_eq!(gate.check(&signed(b"{}", &other, &[&key]), b"{}", NOW), Ok(()));
        assert_eq!(gate.check(&signed(b"{}", &secret, &[]), b"{}", NOW), Err(Closed::Refused(Refused::Signature)));
        gate.set_secrets(vec![secret.clone()]);
        assert_eq!(gate.check(&signed(b"{}", &secret, &[]), b"{}", NOW), Ok(()));
        // Another partner has named our URL: its events are the alliance's, and not ours.
        let strange = signed(b"{}", &other, &[&key]);
        assert_eq!(gate.check(&strange, b"{}", NOW), Ok(()));
        assert_eq!(gate.check_event(&strange, b"{}", NOW), Err(Closed::Refused(Refused::Signature)));
        assert_eq!(gate.check_event(&signed(b"{}", &secret, &[&key]), b"{}", NOW), Ok(()));
        assert_eq!(gate.check(&signed(b"{}", &secret, &[]), b"{} ", NOW), Err(Closed::Refused(Refused::Signature)));
        assert_eq!(gate.check(&signed(b"{}", &secret, &[]), b"{}", NOW + 301), Err(Closed::Refused(Refused::Time)));
        let mut headers = signed(b"{}", &secret, &[]);
        headers.insert("content-digest", "sha-256=:AAAA:".parse().expect("a header"));
        assert_eq!(gate.check(&headers, b"{}", NOW), Err(Closed::Digest));
        headers = signed(b"{}", &secret, &[]);
        headers.append("webhook-id", "msg_00002".parse().expect("a header"));
        assert_eq!(gate.check(&headers, b"{}", NOW), Err(Closed::Unsigned));
    }
}
