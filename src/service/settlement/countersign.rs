//! A partner's own signature under its statement, in the same document; its receipt is a leaf of the log.

use super::settings::Settings;
use super::{Error, broken, read, sign, standing};
use crate::book::posting;
use crate::domain::holder::Holder;
use crate::domain::ids::{Slug, WindowId};
use crate::domain::settlement::Participant;
use crate::domain::settlement::statement::Step;
use crate::domain::settlement::window;
use crate::service::keys::Keys;
use crate::signing::general::{Document, Refused};
use crate::signing::jwk::PublicKey;
use crate::signing::jws::Detached;
use crate::signing::note::{self, Note, Vkey};
use crate::signing::{canonical, merkle};
use crate::store::settlement::log::{self, Leaf};
use crate::store::settlement::statements::{self, Row, Signature};
use crate::store::settlement::windows;
use crate::store::signing_keys;
use diesel::{Connection, PgConnection};
use serde_json::{Value, json};

/// A partner's keys that are read at once.
const KEYS: i64 = 100;

/// Adds the signature `protected`, `signature` by a registered key of `partner`; the document with it, and by which key it was
/// signed now. Another one by the same key changes nothing: ES256 makes a new one each time, and the first may not have been heard of.
pub fn countersign(
    conn: &mut PgConnection,
    keys: &Keys,
    partner: &Slug,
    window: WindowId,
    (protected, signature): (&str, &str),
) -> Result<(Document, Option<String>), Error> {
    let of = Participant::from(partner);
    let found =
        windows::find(conn, window)?.filter(|row| row.state == window::State::Published).ok_or(Error::NotFound)?;
    let settings = Settings::read(&found.closed()?.settings)?;
    posting::post(conn, settings.zone()?, |conn, posting| {
        // The log's lock also keeps two signatures of one statement apart.
        log::lock(conn)?;
        let row = statements::find(conn, window, &of)?.ok_or(Error::NotFound)?;
        let known = statements::signatures(conn, row.id)?;
        let mut document = read::document(conn, &row)?;
        match document.add(protected, signature) {
            Ok(()) => {}
            Err(Refused::Twice(kid)) => {
                let detached = Detached { protected: protected.into(), signature: signature.into(), kid };
                let alone = Document::new(row.payload.into_bytes(), &[detached]).map_err(refused)?;
                let own: Vec<Signature> = known.into_iter().filter(|made| made.signer == partner.as_str()).collect();
                let keys = keys_of(conn, &own)?;
                let key_of = |asked: &str| keys.iter().map(|(_, key)| key).find(|key| key.kid() == asked).cloned();
                alone.verify_all(key_of).map_err(refused)?;
                return Ok((document, None));
            }
            Err(why) => return Err(refused(why)),
        }
        let kid = document.kids().last().unwrap_or_default().to_owned();
        let new = active_key(conn, partner, &kid)?;
        let mut partners = keys_of(conn, &known)?;
        partners.push((partner.to_string(), new));
        let known_key = |asked: &str| {
            let registered = partners.iter().map(|(_, key)| key).find(|key| key.kid() == asked);
            registered.cloned().or_else(|| keys.statement_key(asked))
        };
        document.verify_all(known_key).map_err(refused)?;
        let made = Signature {
            place: i16::try_from(known.len()).map_err(broken)?,
            kid: kid.clone(),
            signer: partner.to_string(),
            protected: protected.to_owned(),
            signature: signature.to_owned(),
            signed_at: posting.at(),
        };
        statements::insert_signature(conn, row.id, &made)?;
        standing::on(conn, posting, &row, Step::Sign)?;
        let leaves = receipt(conn, &settings.alliance, &row, &made)?;
        sign::checkpoint(conn, keys, &settings.trust_domain, &leaves, posting)?;
        Ok((document, Some(kid)))
    })
}

/// Who signed what and when is in the log as well: its leaves, this one the last.
fn receipt(conn: &mut PgConnection, alliance: &str, row: &Row, made: &Signature) -> Result<Vec<merkle::Hash>, Error> {
    let record = json!({
        "v": 1, "type": "counter_signature", "alliance": alliance, "kid": made.kid, "partner": made.signer,
        "leaf": super::statement::hex(&row.leaf), "protected": made.protected, "signature": made.signature,
        "window": row.number,
    });
    let record = canonical::to_vec(&record).map_err(broken)?;
    let mut leaves = log::leaves(conn, None)?;
    let leaf = Leaf {
        index: i64::try_from(leaves.len()).map_err(broken)?,
        kind: "counter_signature",
        subject: row.id.to_string(),
        hash: merkle::leaf_hash(&record),
        record: Some(String::from_utf8(record).map_err(broken)?),
    };
    leaves.push(leaf.hash);
    log::insert(conn, &leaf, made.signed_at)?;
    Ok(leaves)
}

/// The registered keys by which partners have made these signatures, each with its partner's slug, whatever became of them
/// since.
pub fn keys_of(conn: &mut PgConnection, made: &[Signature]) -> Result<Vec<(String, PublicKey)>, Error> {
    let mut keys = Vec::new();
    for made in made {
        if let Some(found) = signing_keys::find(conn, &made.kid)?.filter(|key| key.holder_name == made.signer) {
            keys.push((found.holder_name, PublicKey::from_jwk(&found.jwk).map_err(broken)?));
        }
    }
    Ok(keys)
}

/// The registered keys by which partners have cosigned a checkpoint, each with its partner's slug, retired or not.
pub fn keys_under(conn: &mut PgConnection, note: &Note) -> Result<Vec<(String, PublicKey)>, Error> {
    let mut keys = Vec::new();
    for (name, id) in note.signers() {
        // The log's own name is that of no partner.
        let Some(holder) = Holder::of("partner", name) else { continue };
        let mut after = None;
        loop {
            let rows = signing_keys::list(conn, &holder, after.as_deref(), KEYS)?;
            let Some(last) = rows.last() else { break };
            after = Some(last.kid.clone());
            for row in &rows {
                let key = PublicKey::from_jwk(&row.jwk).map_err(broken)?;
                if Vkey::new(name, note::Kind::Cosigner, &key).is_ok_and(|vkey| vkey.id() == id) {
                    keys.push((name.to_owned(), key));
                }
            }
        }
    }
    Ok(keys)
}

/// `alliance`, a JWK set, and with it the keys of everybody who has counter-signed one of `statements` or cosigned the
/// checkpoint `note`: all that their signatures verify by. Registered keys of partners that are in the set `before` stay in
/// it. A partner's key says whose it is, `"partner": slug`, so that nobody takes it for the alliance's.
pub fn jwks(
    conn: &mut PgConnection,
    alliance: &Value,
    statements: &[&Row],
    note: Option<&Note>,
    before: &Value,
) -> Result<Value, Error> {
    let mut registered = Vec::new();
    for kid in before["keys"].as_array().into_iter().flatten().filter_map(|jwk| jwk["kid"].as_str()) {
        let found = signing_keys::find(conn, kid)?.filter(|key| key.holder_kind == "partner");
        if let Some(key) = found {
            registered.push((key.holder_name, PublicKey::from_jwk(&key.jwk).map_err(broken)?));
        }
    }
    for statement in statements {
        let made = statements::signatures(conn, statement.id)?;
        registered.extend(keys_of(conn, &made)?);
    }
    if let Some(note) = note {
        registered.extend(keys_under(conn, note)?);
    }
    let mut set = alliance.clone();
    let keys = set["keys"].as_array_mut().ok_or_else(|| broken("the alliance's keys are no JWK set"))?;
    for (partner, key) in registered {
        let mut jwk = key.to_jwk();
        jwk["partner"] = json!(partner);
        if !keys.contains(&jwk) {
            keys.push(jwk);
        }
    }
    Ok(set)
}

fn refused(why: Refused) -> Error {
    Error::Refused(why.to_string())
}

/// Keeps `line`, a cosignature of the current checkpoint by the partner's registered Ed25519 key `kid`; the note with it.
/// The first one of a partner stays.
pub fn cosign(conn: &mut PgConnection, partner: &Slug, kid: &str, line: &str) -> Result<String, Error> {
    let public = active_key(conn, partner, kid)?;
    let cosigner = Vkey::new(partner.as_str(), note::Kind::Cosigner, &public);
    let cosigner = cosigner.map_err(|why| Error::Refused(why.to_string()))?;
    conn.transaction(|conn| {
        log::lock(conn)?;
        let current = log::checkpoint(conn)?.ok_or(Error::NotFound)?;
        let size = current.size;
        let served = read::note(current)?;
        // With those that are under it already, so that what is served stays what readers take.
        let mut note = Note::parse(served.as_bytes()).map_err(broken)?;
        match note.add_cosignature(line, &cosigner) {
            Ok(_) => {}
            // It holds, and another of this key is there.
            Err(note::Refused::Twice) => return Ok(served),
            Err(why) => return Err(Error::Refused(why.to_string())),
        }
        Note::parse(note.to_string().as_bytes()).map_err(|why| Error::Refused(why.to_string()))?;
        // It may have come with the end it has in a note, which is added where the note is written.
        let line = line.strip_suffix('\n').unwrap_or(line);
        let at = crate::store::catalogue::business_now(conn)?;
        log::insert_cosignature(conn, size, partner.as_str(), line, at)?;
        read::checkpoint(conn)?.ok_or(Error::NotFound)
    })
}

/// A signing key of the partner's that is active.
fn active_key(conn: &mut PgConnection, partner: &Slug, kid: &str) -> Result<PublicKey, Error> {
    let key = signing_keys::find(conn, kid)?.filter(|key| {
        (key.holder_kind.as_str(), key.holder_name.as_str()) == ("partner", partner.as_str()) && key.status == "active"
    });
    let key = key.ok_or_else(|| Error::Refused("the kid is not that of an active signing key of yours".to_owned()))?;
    PublicKey::from_jwk(&key.jwk).map_err(broken)
}
