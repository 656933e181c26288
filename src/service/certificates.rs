//! The register of client certificates: what the authority issued and took back.

use super::lifecycle;
use crate::domain::holder::Holder;
use crate::signing::x509::Facts;
use crate::store::certificates::{self, Certificate};
use crate::store::{self, Database};
use diesel::PgConnection;

pub use crate::store::certificates::Row;

/// Makes a certificate known; one known already stays as it is. Returns whether it was new. A partner that waited for its
/// first one is active from here on.
pub fn register(conn: &mut PgConnection, facts: &Facts) -> Result<bool, lifecycle::Error> {
    let new = insert(conn, facts)?;
    if let Holder::Partner(partner) = &facts.holder {
        lifecycle::activate_if_joining(conn, partner)?;
    }
    Ok(new)
}

/// The row alone.
pub(super) fn insert(conn: &mut PgConnection, facts: &Facts) -> Result<bool, store::Error> {
    let certificate = Certificate {
        x5t: facts.x5t.clone(),
        holder: facts.holder.clone(),
        serial: facts.serial.clone(),
        not_before: facts.not_before,
        not_after: facts.not_after,
    };
    Ok(certificates::insert(conn, &certificate)?)
}

/// Ends a certificate: every server refuses it within two seconds, on open connections too. `false`: never known.
pub fn revoke(conn: &mut PgConnection, x5t: &str) -> Result<bool, store::Error> {
    Ok(certificates::revoke(conn, x5t)?)
}

/// The same by the number in the authority's revocation list.
pub fn revoke_serial(conn: &mut PgConnection, serial: &str) -> Result<bool, store::Error> {
    match certificates::find_by_serial(conn, serial)? {
        Some(row) => revoke(conn, &row.x5t_s256),
        None => Ok(false),
    }
}

/// The holder's own certificates, at most `limit`, by their thumbprint.
pub async fn list(
    database: &Database,
    holder: Holder,
    after: Option<String>,
    limit: i64,
) -> Result<Vec<Row>, store::Error> {
    database.run(move |conn| Ok(certificates::list(conn, &holder, after.as_deref(), limit)?)).await
}
