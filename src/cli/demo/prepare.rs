//! What a demo alliance needs before it can be served: its catalogue published, its certificates issued.

use crate::cli::Error;
use crate::clock;
use crate::domain::holder::Holder;
use crate::partner::manifest;
use crate::service::{certificates, proposals};
use crate::signing::pki::{Authority, PkiError};
use crate::store;
use diesel::PgConnection;
use std::path::Path;

/// The operator's own certificate.
pub const OPERATOR: &str = "ops";

/// Publishes the manifests under their mandate and issues the certificates that are missing. Doing it again changes
/// nothing. Blocks.
pub fn alliance(database_url: &str, pki: &Path, manifests: &Path) -> Result<(), Error> {
    let plan = manifest::read(manifests).map_err(Error::failed)?;
    let mut conn = store::establish(database_url).map_err(Error::failed)?;
    proposals::apply_and_publish(&mut conn, &plan, proposals::Mandate).map_err(Error::failed)?;
    let authority = authority(pki, &plan.alliance.trust_domain)?;
    for slug in plan.partners.keys() {
        certificate(&mut conn, &authority, &Holder::Partner(slug.clone()))?;
    }
    certificate(&mut conn, &authority, &Holder::Operator(OPERATOR.parse().map_err(|_| unnamed())?))
}

fn unnamed() -> Error {
    Error::Failed("the operator's name is not one".to_owned())
}

fn authority(pki: &Path, trust_domain: &str) -> Result<Authority, Error> {
    let authority = match Authority::open(pki) {
        Err(PkiError::Missing(_)) => Authority::init(pki, trust_domain, clock::now()),
        found => found,
    };
    authority.map_err(Error::failed)
}

/// The holder's certificate, issued unless a good one is there, and known to the database.
fn certificate(conn: &mut PgConnection, authority: &Authority, holder: &Holder) -> Result<(), Error> {
    let facts = match authority.facts(holder) {
        Ok(facts) if facts.not_after > clock::now() => facts,
        _ => authority.issue(holder, clock::now()).map_err(Error::failed)?.facts,
    };
    certificates::register(conn, &facts).map_err(Error::failed)?;
    Ok(())
}
