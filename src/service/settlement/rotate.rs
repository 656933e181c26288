//! A key of statements or of the log hands over to the next: what both have signed is a leaf of the log, and partners are
//! told.

use super::{Error, broken, sign};
use crate::book::engine::world::EventKind;
use crate::book::posting;
use crate::service::keys::Keys;
use crate::signing::jwk::PublicKey;
use crate::signing::keyring::Purpose;
use crate::signing::merkle;
use crate::signing::note::{self, Vkey};
use crate::signing::rotation;
use crate::store::alliance_keys;
use crate::store::catalogue;
use crate::store::settlement::log::{self, Leaf};
use diesel::PgConnection;
use serde_json::{Value, json};
use uuid::Uuid;

/// Records the handing over to the key of this purpose that is on its way, unless it is recorded; `false`: none is on its
/// way, or it was recorded before.
pub fn record(conn: &mut PgConnection, keys: &Keys, purpose: Purpose) -> Result<bool, Error> {
    let loaded = catalogue::load(conn)?;
    let alliance = &loaded.alliance;
    let Some(document) = keys.announce(&alliance.slug, purpose) else { return Ok(false) };
    let document = document.map_err(broken)?;
    // Another server may hold a newer key than this one knows: then both halves do not fit, and this says so.
    let told = rotation::verify(&document, |kid| keys.key(purpose, kid)).map_err(broken)?;
    posting::post(conn, alliance.zone, |conn, posting| {
        log::lock(conn)?;
        if log::has(conn, "key_rotated", &told.new)? {
            return Ok(false);
        }
        let mut leaves = log::leaves(conn, None)?;
        let leaf = Leaf {
            index: i64::try_from(leaves.len()).map_err(broken)?,
            kind: "key_rotated",
            subject: told.new.clone(),
            hash: merkle::leaf_hash(document.payload()),
            record: Some(document.to_string()),
        };
        leaves.push(leaf.hash);
        log::insert(conn, &leaf, posting.at())?;
        sign::checkpoint(conn, keys, &alliance.trust_domain, &leaves, posting)?;
        let body = json!({
            "purpose": purpose.text(), "old": told.old, "new": told.new, "at": told.at, "leaf_index": leaf.index,
        });
        for partner in loaded.partners.keys() {
            posting.tell(partner, EventKind::KeyRotated, Uuid::now_v7(), &body);
        }
        Ok(true)
    })
}

/// Every handing over there was, oldest first: General JWS documents, each signed by the old key and the new.
pub fn list(conn: &mut PgConnection) -> Result<Vec<String>, Error> {
    Ok(log::records(conn, "key_rotated")?)
}

/// The same as one document, `{"items": […]}`.
pub fn listed(documents: &[String]) -> Result<Value, Error> {
    let items = documents.iter().map(|document| serde_json::from_str(document).map_err(broken));
    Ok(json!({ "items": items.collect::<Result<Vec<Value>, Error>>()? }))
}

/// The verifier keys of everything that signs or signed checkpoints, oldest first; `NotFound` before there is an alliance to
/// name the log by.
pub fn log_keys(conn: &mut PgConnection) -> Result<Vec<String>, Error> {
    if !catalogue::exists(conn)? {
        return Err(Error::NotFound);
    }
    let origin = catalogue::load(conn)?.alliance.trust_domain;
    let rows = alliance_keys::list(conn)?.into_iter().filter(|row| row.purpose == Purpose::Checkpoint.text());
    let vkey = |row: alliance_keys::Row| {
        let key = PublicKey::from_jwk(&row.jwk).map_err(broken)?;
        Ok(Vkey::new(&origin, note::Kind::Log, &key).map_err(broken)?.to_string())
    };
    rows.map(vkey).collect()
}
