//! The keys with which partners and operators approve and counter-sign: registered with a proof, retired, never reused.

use crate::domain::holder::Holder;
use crate::signing::canonical;
use crate::signing::jwk::{NotAKey, PublicKey};
use crate::signing::jws;
use crate::store::signing_keys;
use crate::store::{self, Database};
use diesel::{Connection, PgConnection};
use serde_json::{Map, Value};

pub use crate::store::signing_keys::Row;

/// Active keys of one holder: enough to rotate, few enough to look through.
const ACTIVE_MAX: i64 = 20;
/// `typ` of a proof.
const PROOF: &str = "key-proof+jws";

#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("the key {0}")]
    Key(NotAKey),
    /// Not a JWS by that very key over `{"kid":…,"partner":…}` with the caller's own name.
    #[error("the proof is not by this key for this holder")]
    Proof,
    #[error("the key has been retired")]
    Retired,
    #[error("the key is another holder's")]
    Taken,
    #[error("the holder has too many keys")]
    TooMany,
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<diesel::result::Error> for RegisterError {
    fn from(cause: diesel::result::Error) -> RegisterError {
        RegisterError::Store(cause.into())
    }
}

/// The canonical bytes a proof signs: `{"kid":…,"partner":<slug>}`, or `"operator":<name>`.
pub fn proof_payload(holder: &Holder, kid: &str) -> Vec<u8> {
    let members = [("kid".to_owned(), Value::from(kid)), (holder.kind().to_owned(), Value::from(holder.name()))];
    // Two texts under ASCII keys are canonical.
    canonical::to_vec(&Value::Object(Map::from_iter(members))).unwrap_or_default()
}

/// Registers a key the holder has proven to hold; the same key again is the same answer.
pub async fn register(database: &Database, holder: Holder, jwk: &Value, proof: &str) -> Result<Row, RegisterError> {
    let key = PublicKey::from_jwk(jwk).map_err(RegisterError::Key)?;
    let kid = key.kid();
    let signed = jws::verify(proof, PROOF, |named| (named == kid).then(|| key.clone()));
    if signed.ok() != Some(proof_payload(&holder, &kid)) {
        return Err(RegisterError::Proof);
    }
    let unit = move |conn: &mut PgConnection| conn.transaction(|conn| insert(conn, &holder, &kid, &key.to_jwk()));
    database.run(unit).await
}

fn insert(conn: &mut PgConnection, holder: &Holder, kid: &str, jwk: &Value) -> Result<Row, RegisterError> {
    signing_keys::lock(conn)?;
    match signing_keys::find(conn, kid)? {
        Some(row) if (row.holder_kind.as_str(), row.holder_name.as_str()) != (holder.kind(), holder.name()) => {
            Err(RegisterError::Taken)
        }
        Some(row) if row.status != "active" => Err(RegisterError::Retired),
        Some(row) => Ok(row),
        None if signing_keys::count_active(conn, holder)? >= ACTIVE_MAX => Err(RegisterError::TooMany),
        None => Ok(signing_keys::insert(conn, holder, kid, jwk)?),
    }
}

/// Ends a key for what is signed from now on; `None`: the holder has no such key.
pub async fn retire(database: &Database, holder: Holder, kid: String) -> Result<Option<Row>, store::Error> {
    database.run(move |conn| Ok(signing_keys::retire(conn, &holder, &kid)?)).await
}

/// The holder's own keys, at most `limit`, by their thumbprint.
pub async fn list(
    database: &Database,
    holder: Holder,
    after: Option<String>,
    limit: i64,
) -> Result<Vec<Row>, store::Error> {
    database.run(move |conn| Ok(signing_keys::list(conn, &holder, after.as_deref(), limit)?)).await
}
