//! What a demo alliance needs before it can be served: its catalogue published, its certificates issued.

use crate::cli::Error;
use crate::clock;
use crate::domain::holder::Holder;
use crate::domain::ids::Slug;
use crate::domain::plan::Plan;
use crate::service::{certificates, proposals};
use crate::signing::pki::{Authority, PkiError};
use crate::store::{self, catalogue};
use diesel::PgConnection;
use std::path::Path;

/// The operator's own certificate.
pub const OPERATOR: &str = "ops";

/// Publishes the manifests under their mandate and issues the certificates that are missing. Doing it again changes
/// nothing. Blocks.
pub fn alliance(database_url: &str, pki: &Path, plan: &Plan) -> Result<(), Error> {
    let mut conn = publish(database_url, plan)?;
    let authority = authority(pki, &plan.alliance.trust_domain)?;
    for slug in plan.partners.keys() {
        certificate(&mut conn, &authority, &Holder::Partner(slug.clone()))?;
    }
    certificate(&mut conn, &authority, &Holder::Operator(OPERATOR.parse().map_err(|_| unnamed())?))
}

/// Publishes what differs from what is published. Blocks.
pub fn publish(database_url: &str, plan: &Plan) -> Result<PgConnection, Error> {
    let mut conn = store::establish(database_url).map_err(Error::failed)?;
    proposals::apply_and_publish(&mut conn, plan, proposals::Mandate).map_err(Error::failed)?;
    Ok(conn)
}

/// The partners whose accounts are kept where the plan does not want them: that never changes of a published one. Blocks.
pub fn moved(database_url: &str, plan: &Plan) -> Result<Vec<Slug>, Error> {
    let mut conn = store::establish(database_url).map_err(Error::failed)?;
    if !catalogue::exists(&mut conn).map_err(Error::failed)? {
        return Ok(Vec::new());
    }
    let published = catalogue::load(&mut conn).map_err(Error::failed)?.partners;
    let moved =
        |slug: &&Slug| published.get(*slug).is_some_and(|one| one.hosted != plan.partners[*slug].partner.hosted);
    Ok(plan.partners.keys().filter(moved).cloned().collect())
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
