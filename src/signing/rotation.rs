//! The handing over of a key that signs statements or the log's checkpoints: a record, signed by the old key and the new,
//! that tells who trusts the one to trust the other.
//!
//! The payload is `{"alliance":…,"at":…,"new":<kid>,"old":<kid>,"purpose":…,"type":"key.rotated","v":1}`. A kid is the
//! thumbprint of its key, so that the new key may come from anywhere. A checkpoint's key signs here as a JWS, which is one
//! line of ASCII without white space and so never the text of a note, nor its cosignature.

use super::canonical;
use super::general::{self, Document};
use super::jwk::PublicKey;
use super::jws::{self, SigningKey};
use super::keyring::{Keyring, Purpose};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::json;

/// From `at` on the alliance's records, or its checkpoints, are signed by `new`, and no more by `old`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The alliance's slug.
    pub alliance: String,
    /// In whole seconds.
    pub at: DateTime<Utc>,
    /// `Statement`, `StatementP256` or `Checkpoint`.
    pub purpose: Purpose,
    pub old: String,
    pub new: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the payload is not the handing over of a key that signs statements or checkpoints")]
    Form,
    #[error("not the old key and then the new, and they alone, have signed")]
    Signers,
    #[error(transparent)]
    Document(#[from] general::Refused),
}

#[derive(Deserialize)]
struct Members {
    alliance: String,
    at: DateTime<Utc>,
    purpose: String,
    old: String,
    new: String,
}

/// The record for the key of this purpose that is on its way at `now`, `None` when there is none. Only then are both
/// private keys at hand. `at` is when the new key begins to sign.
pub fn announce(
    keyring: &Keyring,
    alliance: &str,
    purpose: Purpose,
    now: DateTime<Utc>,
) -> Option<Result<Document, Refused>> {
    let (old, new, at) = keyring.handover(purpose, now)?;
    Some(sign(alliance, purpose, at, old, new))
}

/// The record of `old` handing over to `new`, from `at` on in whole seconds.
pub fn sign(
    alliance: &str,
    purpose: Purpose,
    at: DateTime<Utc>,
    old: &SigningKey,
    new: &SigningKey,
) -> Result<Document, Refused> {
    let (old_kid, new_kid) = (old.kid().to_owned(), new.kid().to_owned());
    let rotation = Rotation { alliance: alliance.to_owned(), at, purpose, old: old_kid, new: new_kid };
    let payload = rotation.payload()?;
    let signatures = [old, new].map(|key| key.sign_detached(general::TYP, &payload));
    Ok(Document::new(payload, &signatures)?)
}

/// What `document` says, once both keys have been seen to sign it; `key_of` has a key for its `kid`. Whether it is of
/// one's own alliance, and the old key one to trust, is for the caller to ask.
pub fn verify(document: &Document, key_of: impl FnMut(&str) -> Option<PublicKey>) -> Result<Rotation, Refused> {
    let (rotation, unknown) = verify_known(document, key_of)?;
    match unknown.into_iter().next() {
        None => Ok(rotation),
        Some(kid) => Err(general::Refused::Signature { kid, why: jws::Refused::Key }.into()),
    }
}

/// The same where `key_of` may lack a key: what `document` says, once the keys that are there have been seen to sign it,
/// and the kids of those that are not.
pub fn verify_known(
    document: &Document,
    mut key_of: impl FnMut(&str) -> Option<PublicKey>,
) -> Result<(Rotation, Vec<String>), Refused> {
    let rotation = Rotation::parse(document.payload())?;
    // No key signs twice, and a document has no third signature beside these two.
    if !document.kids().eq([&rotation.old, &rotation.new]) {
        return Err(Refused::Signers);
    }
    let other = |kid: &&str| key_of(kid).is_some_and(|key| key.kind() != rotation.purpose.kind());
    if let Some(kid) = document.kids().find(other) {
        return Err(general::Refused::Signature { kid: kid.to_owned(), why: jws::Refused::Algorithm }.into());
    }
    let unknown = document.verify_known(key_of)?;
    Ok((rotation, unknown))
}

impl Rotation {
    fn payload(&self) -> Result<Vec<u8>, Refused> {
        if !self.purpose.hands_over() {
            return Err(Refused::Form);
        }
        let payload = json!({
            "alliance": self.alliance,
            "at": self.at.to_rfc3339_opts(SecondsFormat::Secs, true),
            "new": self.new,
            "old": self.old,
            "purpose": self.purpose.text(),
            "type": "key.rotated",
            "v": 1,
        });
        canonical::to_vec(&payload).map_err(|_| Refused::Form)
    }

    fn parse(payload: &[u8]) -> Result<Rotation, Refused> {
        let members: Members = serde_json::from_slice(payload).map_err(|_| Refused::Form)?;
        let purpose = Purpose::parse(&members.purpose);
        let Members { alliance, at, old, new, .. } = members;
        let rotation = Rotation { alliance, at, purpose: purpose.ok_or(Refused::Form)?, old, new };
        // The type, the version, the spelling of the instant and that there is nothing else: all in one.
        if rotation.payload()? == payload { Ok(rotation) } else { Err(Refused::Form) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::jwk::Kind;
    use chrono::TimeDelta;

    fn key(kind: Kind) -> SigningKey {
        SigningKey::from_pkcs8(&SigningKey::generate_kind(kind).expect("a key")).expect("a key")
    }

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).expect("an instant")
    }

    fn by(keys: [&SigningKey; 2]) -> impl Fn(&str) -> Option<PublicKey> {
        let keys = keys.map(|key| key.public().clone());
        move |kid| keys.iter().find(|key| key.kid() == kid).cloned()
    }

    #[test]
    fn both_keys_sign_the_handing_over() {
        for (purpose, kind) in [
            (Purpose::Statement, Kind::Ed25519),
            (Purpose::StatementP256, Kind::P256),
            (Purpose::Checkpoint, Kind::Ed25519),
        ] {
            let (old, new) = (key(kind), key(kind));
            let document = sign("star", purpose, at() + TimeDelta::microseconds(5), &old, &new).expect("signed");
            let text = format!(
                r#"{{"alliance":"star","at":"2023-11-14T22:13:20Z","new":"{}","old":"{}","purpose":"{}","#,
                new.kid(),
                old.kid(),
                purpose.text(),
            );
            assert_eq!(document.payload(), (text + r#""type":"key.rotated","v":1}"#).as_bytes());
            let document = Document::parse(document.to_string().as_bytes()).expect("a document");
            let said = Rotation {
                alliance: "star".to_owned(),
                at: at(),
                purpose,
                old: old.kid().to_owned(),
                new: new.kid().to_owned(),
            };
            assert_eq!(verify(&document, by([&old, &new])), Ok(said.clone()));
            for (known, lacking) in [(&old, &new), (&new, &old)] {
                let unknown = verify(&document, by([known, known]));
                assert!(
                    matches!(unknown, Err(Refused::Document(general::Refused::Signature { kid, .. })) if kid == lacking.kid())
                );
                let known = verify_known(&document, by([known, known])).expect("the one that is known has signed");
                assert_eq!(known, (said.clone(), vec![lacking.kid().to_owned()]));
            }
            assert_eq!(verify_known(&document, by([&old, &new])), Ok((said, Vec::new())));
        }
    }

    #[test]
    fn a_signature_that_is_not_the_known_keys_is_refused_though_the_other_key_is_not_known() {
        let (old, new, third) = (key(Kind::Ed25519), key(Kind::Ed25519), key(Kind::Ed25519));
        let whole = sign("star", Purpose::Statement, at(), &old, &new).expect("signed");
        let foreign = third.sign_detached(general::TYP, whole.payload());
        for (nth, known) in [&old, &new].into_iter().enumerate() {
            let mut signatures: Vec<_> = whole.signatures().cloned().collect();
            signatures[nth].signature = foreign.signature.clone();
            let document = Document::new(whole.payload().to_vec(), &signatures).expect("a document");
            let refused = verify_known(&document, by([known, known]));
            let wrong = general::Refused::Signature { kid: known.kid().to_owned(), why: jws::Refused::Signature };
            assert_eq!(refused, Err(Refused::Document(wrong)));
        }
    }

    #[test]
    fn one_key_alone_or_a_third_hands_nothing_over() {
        let (old, new, third) = (key(Kind::Ed25519), key(Kind::Ed25519), key(Kind::Ed25519));
        let whole = sign("star", Purpose::Statement, at(), &old, &new).expect("signed");
        let payload = whole.payload().to_vec();
        let with = |keys: &[&SigningKey]| {
            let signatures: Vec<_> = keys.iter().map(|key| key.sign_detached(general::TYP, &payload)).collect();
            let document = Document::new(payload.clone(), &signatures).expect("a document");
            let keys: Vec<PublicKey> = [&old, &new, &third].map(|key| key.public().clone()).to_vec();
            verify(&document, |kid| keys.iter().find(|key| key.kid() == kid).cloned())
        };
        assert!(with(&[&old, &new]).is_ok());
        for keys in [vec![&old], vec![&new], vec![&old, &third], vec![&third, &new], vec![&old, &new, &third]] {
            assert_eq!(with(&keys), Err(Refused::Signers));
        }
        assert!(matches!(sign("star", Purpose::Statement, at(), &old, &old), Err(Refused::Document(_))));
    }

    #[test]
    fn a_record_that_says_anything_else_hands_nothing_over() {
        let (old, new) = (key(Kind::Ed25519), key(Kind::Ed25519));
        let good = sign("star", Purpose::Statement, at(), &old, &new).expect("signed").payload().to_vec();
        let good = String::from_utf8(good).expect("UTF-8");
        let signed = |payload: &str| {
            let signatures = [&old, &new].map(|key| key.sign_detached(general::TYP, payload.as_bytes()));
            let document = Document::new(payload.into(), &signatures).expect("a document");
            verify(&document, by([&old, &new]))
        };
        assert!(signed(&good).is_ok());
        for (from, to) in [
            (r#""v":1"#, r#""v":2"#),
            ("key.rotated", "key.revoked"),
            (r#""type":"key.rotated","#, ""),
            (r#""v":1"#, r#""v":1,"w":1"#),
            ("20Z", "20.5Z"),
            ("20Z", "20+00:00"),
            (r#":"statement""#, r#":"quote""#),
            (r#":"statement""#, r#":"salary""#),
        ] {
            assert_eq!(signed(&good.replacen(from, to, 1)), Err(Refused::Form), "{to}");
        }
        assert_eq!(signed(r#"["star","2023-11-14T22:13:20Z","statement","a","b"]"#), Err(Refused::Form));
        // Keys of the one kind do not speak for the other.
        let other = signed(&good.replacen(r#":"statement""#, r#":"statement_p256""#, 1));
        assert!(matches!(other, Err(Refused::Document(general::Refused::Signature { .. }))));
        let quote = sign("star", Purpose::Quote, at(), &old, &new);
        assert_eq!(quote, Err(Refused::Form));
    }
}
