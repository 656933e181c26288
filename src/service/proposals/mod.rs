//! Proposing, approving and publishing changes of the catalogue.
//!
//! `settle` finds what differs and what it becomes · `document` is what is signed · `approve` takes signatures ·
//! `describe` tells a difference to people. Publishing checks approvals, exactness, notice and every loop, under one
//! advisory lock from check to commit, and raises the catalogue's version with the fence held exclusively.

mod approve;
mod describe;
mod document;
mod settle;

pub use crate::domain::cycle::Loop;
pub use approve::{JWS_TYPE, approve, approve_new};
pub use describe::Line;
pub use document::Change;

use crate::book::engine::world::EventKind;
use crate::book::{self, exposures, fence, posting};
use crate::domain::catalogue::{Catalogue, Party};
use crate::domain::change::PairChange;
use crate::domain::cycle;
use crate::domain::holder::Holder;
use crate::domain::ids::{ProposalId, Slug};
use crate::domain::plan::Plan;
use crate::domain::proposal::{State, Subject};
use crate::signing::digest::directory_hash;
use crate::store::Database;
use crate::store::catalogue::{self, write};
use crate::store::locks::PUBLISHING;
use crate::store::proposals::{self, Publication};
use crate::store::settlement::windows;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::BigInt;
use serde_json::json;
use settle::{Candidate, Published, Wanted};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

pub use crate::store::proposals::Proposal;

/// Quarters of a second to wait for the fence: a minute.
const FENCE_ROUNDS: u32 = 240;

/// Operators that must have signed to publish in spite of a loop.
const OVERRIDE_KEYS: usize = 2;

/// Whose word a publication rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Signatures of the partners concerned.
    Approvals,
    /// The mandate stated in `alliance.toml`.
    Mandate(Mandate),
}

/// Says that no partner is waited for; good only where the alliance states a mandate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mandate;

/// A reason to publish in spite of a loop. Needs the signatures of two operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    pub reason: String,
}

/// What was published.
#[derive(Clone, Debug)]
pub struct Publish {
    /// Of the catalogue, now; unchanged when there was nothing to publish.
    pub version: i64,
    pub published: Vec<(ProposalId, Subject)>,
    /// What waits, and for which partners.
    pub waiting: Vec<(ProposalId, Subject, Vec<Slug>)>,
    /// Loops that pay only for who waits: warnings.
    pub by_waiting: Vec<Loop>,
    /// Loops published in spite of the check.
    pub overridden: Vec<Loop>,
}

/// One change of a plan, as `propose` left it.
#[derive(Clone, Debug)]
pub struct Proposed {
    pub id: ProposalId,
    pub subject: Subject,
    /// False when an equal proposal was open already.
    pub new: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    #[error("the book: {0}")]
    Book(#[from] book::store::Error),
    #[error(transparent)]
    Document(#[from] document::Unreadable),
    #[error("alliance.{field} is fixed once it is published; write it as it was")]
    Fixed { field: &'static str },
    #[error("what is published cannot vanish:\n{}", .0.join("\n"))]
    Vanished(Vec<String>),
    #[error("nothing was published yet, and the alliance itself is not among the proposals; run `partners apply`")]
    NoAlliance,
    #[error("{subject}: {partner} is not published yet and waits for its own approval")]
    NoPartner { subject: Subject, partner: Slug },
    #[error(
        "{subject}: {what} from {}, which is a cut; its notice of {days} days ends {end}: write a valid_from or \
         valid_to of {} or later", text(*.at), hour_after(*.earliest), end = text(*.earliest)
    )]
    Notice { subject: Subject, what: String, at: DateTime<Utc>, days: u32, earliest: DateTime<Utc> },
    #[error("{subject}: {what}, which is a cut; its notice of {days} days ends {}: publish it then", text(*.earliest))]
    Wait { subject: Subject, what: &'static str, days: u32, earliest: DateTime<Utc> },
    #[error("points could be made by going round:\n{}", lines(.0))]
    Loops(Vec<Loop>),
    #[error("no direction of this loop has the signatures of two operators, which an override needs: {0}")]
    OverrideNotSigned(Box<Loop>),
    #[error("the alliance states no mandate: add alliance.mandate to its manifest, or collect the partners' approvals")]
    NoMandate,
    #[error("not found")]
    NotFound,
    #[error("the proposal is {0} already")]
    Closed(&'static str),
    #[error("{0}")]
    Signature(String),
}

impl From<diesel::result::Error> for Error {
    fn from(cause: diesel::result::Error) -> Error {
        Error::Store(cause.into())
    }
}

fn text(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A whole hour that is not over before somebody has written it down.
fn hour_after(at: DateTime<Utc>) -> String {
    (at + TimeDelta::hours(2)).format("%Y-%m-%dT%H:00:00Z").to_string()
}

fn lines(loops: &[Loop]) -> String {
    loops.iter().map(Loop::to_string).collect::<Vec<_>>().join("\n")
}

/// What applying `plan` would change, told but not proposed.
pub fn difference(conn: &mut PgConnection, plan: &Plan) -> Result<Vec<Line>, Error> {
    let published = published(conn)?;
    let now = now(conn, published.as_ref())?;
    let changes = settle::changes(published.as_ref(), plan, now)?;
    Ok(describe::describe(published.as_ref(), &changes, now))
}

/// Proposes what `plan` changes. Idempotent: an equal open proposal stands, an open one that no longer fits is
/// withdrawn. Refuses a cut of rates or campaigns that begins before its notice has run.
pub fn propose(conn: &mut PgConnection, plan: &Plan) -> Result<Vec<Proposed>, Error> {
    conn.transaction(|conn| {
        lock(conn)?;
        propose_locked(conn, plan)
    })
}

fn propose_locked(conn: &mut PgConnection, plan: &Plan) -> Result<Vec<Proposed>, Error> {
    let published = published(conn)?;
    let now = now(conn, published.as_ref())?;
    let changes = settle::changes(published.as_ref(), plan, now)?;
    let mut open: BTreeMap<Subject, Proposal> = BTreeMap::new();
    for proposal in proposals::open(conn)? {
        open.insert(proposal.subject.clone(), proposal);
    }
    let mut proposed = Vec::new();
    let mut fresh = Vec::new();
    for (subject, change) in changes {
        if let Some(standing) = open.remove(&subject) {
            if document::read(standing.id, &subject, &standing.change)? == change {
                proposed.push(Proposed { id: standing.id, subject, new: false });
                continue;
            }
            withdraw(conn, &standing)?;
        }
        let notice_days = settle::notice_days(published.as_ref(), &subject, &change, now);
        fresh.push(Wanted { subject, change, proposed_at: now, notice_days });
    }
    for standing in open.values() {
        withdraw(conn, standing)?;
    }
    for wanted in fresh {
        judge_notice(conn, published.as_ref(), &wanted, now)?;
        let id = ProposalId(Uuid::now_v7());
        let alliance = &plan.alliance.slug;
        let change = document::write(id, alliance, &wanted.subject, &wanted.change)?;
        proposals::insert(conn, &stored(id, &wanted, change))?;
        proposed.push(Proposed { id, subject: wanted.subject, new: true });
    }
    Ok(proposed)
}

/// A cut of rates and campaigns is told here already: its file must say when it begins.
fn judge_notice(
    conn: &mut PgConnection,
    published: Option<&Published>,
    wanted: &Wanted,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let (Some(published), Subject::Pair(_, _), Change::Pair(change)) = (published, &wanted.subject, &wanted.change)
    else {
        return Ok(());
    };
    let change = Change::Pair(PairChange { terms: None, ..change.clone() });
    let versions = write::versions(conn)?;
    match settle::candidate(Some(published), &[Wanted { change, ..wanted.clone() }], &versions, now) {
        // Its partner is proposed beside it.
        Err(Error::NoPartner { .. }) => Ok(()),
        other => other.map(|_| ()),
    }
}

fn stored(id: ProposalId, wanted: &Wanted, change: String) -> Proposal {
    Proposal {
        id,
        subject: wanted.subject.clone(),
        change,
        state: State::Proposed,
        proposed_at: wanted.proposed_at,
        notice_days: wanted.notice_days,
        published_at: None,
        published_version: None,
        override_reason: None,
        approvals: Vec::new(),
    }
}

fn withdraw(conn: &mut PgConnection, proposal: &Proposal) -> Result<(), Error> {
    let after = proposal.state.on(crate::domain::proposal::Event::Withdraw);
    let after = after.map_err(|state| Error::Closed(state.text()))?;
    proposals::step(conn, proposal.id, proposal.state, after)?;
    Ok(())
}

/// Publishes every open proposal that has its approvals, or all of them under the mandate: all or nothing.
pub fn publish(conn: &mut PgConnection, authority: Authority, force: Option<&Override>) -> Result<Publish, Error> {
    conn.transaction(|conn| {
        lock(conn)?;
        publish_locked(conn, authority, force)
    })
}

/// Proposes what `plan` changes and publishes it under the mandate, in one go.
pub fn apply_and_publish(conn: &mut PgConnection, plan: &Plan, mandate: Mandate) -> Result<Publish, Error> {
    conn.transaction(|conn| {
        lock(conn)?;
        propose_locked(conn, plan)?;
        publish_locked(conn, Authority::Mandate(mandate), None)
    })
}

/// What every loop of the open proposals and the catalogue gives, published or not.
pub fn check(conn: &mut PgConnection) -> Result<cycle::Report, Error> {
    let published = published(conn)?;
    let now = now(conn, published.as_ref())?;
    let open = proposals::open(conn)?;
    let wanted = open.iter().map(wanted).collect::<Result<Vec<_>, _>>()?;
    let candidate = settle::candidate(published.as_ref(), &wanted, &write::versions(conn)?, now)?;
    Ok(cycle::check(&candidate.catalogue, candidate.founding.unwrap_or(now)))
}

/// What every loop of a plan gives, without a database.
pub fn check_plan(plan: &Plan, now: DateTime<Utc>) -> Result<cycle::Report, Error> {
    let undated = |(subject, change)| Wanted { subject, change, proposed_at: now, notice_days: 0 };
    let all: Vec<Wanted> = settle::changes(None, plan, now)?.into_iter().map(undated).collect();
    let candidate = settle::candidate(None, &all, &Default::default(), now)?;
    let start = candidate.founding.unwrap_or(now);
    Ok(cycle::check(&candidate.catalogue, start))
}

fn publish_locked(conn: &mut PgConnection, authority: Authority, force: Option<&Override>) -> Result<Publish, Error> {
    let published = published(conn)?;
    let before = now(conn, published.as_ref())?;
    let open = proposals::open(conn)?;
    let (ready, waiting) = sort(conn, &open, authority)?;
    let version = published.as_ref().map_or(0, |published| published.catalogue.version);
    if ready.is_empty() {
        let by_waiting = Vec::new();
        return Ok(Publish { version, published: Vec::new(), waiting, by_waiting, overridden: Vec::new() });
    }
    let wanted: Vec<Wanted> = ready.iter().map(|proposal| wanted(proposal)).collect::<Result<_, _>>()?;
    let versions = write::versions(conn)?;
    let candidate = settle::candidate(published.as_ref(), &wanted, &versions, before)?;
    let mandate = mandate(authority, published.as_ref(), &candidate)?;
    let (overridden, by_waiting) = judge_loops(published.as_ref(), &candidate, &ready, force, before)?;

    // From here on nothing is posted. What begins "now" begins after all that was posted before.
    fence::exclusive(conn, FENCE_ROUNDS)?;
    let at = now(conn, published.as_ref())?;
    let candidate = settle::candidate(published.as_ref(), &wanted, &versions, at)?;
    let version = write_all(conn, &candidate)?;
    let reason = force.filter(|_| !overridden.is_empty()).map(|force| force.reason.as_str());
    let ids: Vec<ProposalId> = ready.iter().map(|proposal| proposal.id).collect();
    proposals::publish(conn, &ids, &Publication { at, version, mandate: mandate.as_deref(), override_reason: reason })?;
    if candidate.founding.is_none() {
        tell(conn, &candidate, version)?;
    }
    let published = ready.iter().map(|proposal| (proposal.id, proposal.subject.clone())).collect();
    Ok(Publish { version, published, waiting, by_waiting, overridden })
}

/// Tells both sides of each direction that its rates, campaigns or agreement are others from now on. An alliance that is
/// founded has nobody yet who could have asked for events.
fn tell(conn: &mut PgConnection, candidate: &Candidate, version: i64) -> Result<(), Error> {
    if candidate.pairs.is_empty() {
        return Ok(());
    }
    posting::begun(conn, candidate.catalogue.alliance.zone, |_, posting| {
        for ((from, to), _) in &candidate.pairs {
            let subject = directory_hash("rates", &[from.as_str().as_bytes(), to.as_str().as_bytes()]);
            let body = json!({ "from": from.as_str(), "to": to.as_str(), "catalogue_version": version });
            for side in [from, to] {
                posting.tell(side, EventKind::RatePublished, subject, &body);
            }
        }
        Ok(())
    })
}

/// Which proposals have what they need, and what the others wait for.
#[expect(clippy::type_complexity, reason = "two lists made in one walk")]
fn sort<'a>(
    conn: &mut PgConnection,
    open: &'a [Proposal],
    authority: Authority,
) -> Result<(Vec<&'a Proposal>, Vec<(ProposalId, Subject, Vec<Slug>)>), Error> {
    let (mut ready, mut waiting) = (Vec::new(), Vec::new());
    for proposal in open {
        let missing = match authority {
            Authority::Mandate(Mandate) => Vec::new(),
            Authority::Approvals => approve::missing(conn, proposal)?,
        };
        if missing.is_empty() {
            ready.push(proposal);
        } else {
            waiting.push((proposal.id, proposal.subject.clone(), missing));
        }
    }
    Ok((ready, waiting))
}

fn wanted(proposal: &Proposal) -> Result<Wanted, Error> {
    Ok(Wanted {
        subject: proposal.subject.clone(),
        change: document::read(proposal.id, &proposal.subject, &proposal.change)?,
        proposed_at: proposal.proposed_at,
        notice_days: proposal.notice_days,
    })
}

/// The mandate as it is stated, when the authority is one.
fn mandate(
    authority: Authority,
    published: Option<&Published>,
    candidate: &Candidate,
) -> Result<Option<String>, Error> {
    match authority {
        Authority::Approvals => Ok(None),
        Authority::Mandate(Mandate) => {
            let stated = match &candidate.alliance {
                Some((_, mandate)) => mandate.clone(),
                None => published.and_then(|published| published.aside.mandate.clone()),
            };
            stated.map(Some).ok_or(Error::NoMandate)
        }
    }
}

/// Refuses loops that are new or larger than what is published, unless two operators signed for them. The loops let
/// through, and those that pay for waiting.
fn judge_loops(
    published: Option<&Published>,
    candidate: &Candidate,
    ready: &[&Proposal],
    force: Option<&Override>,
    now: DateTime<Utc>,
) -> Result<(Vec<Loop>, Vec<Loop>), Error> {
    let start = candidate.founding.unwrap_or(now);
    let report = cycle::check(&candidate.catalogue, start);
    let mut loops = report.loops;
    if !loops.is_empty()
        && let Some(published) = published
    {
        let known = cycle::check(&published.catalogue, now).loops;
        loops.retain(|new| !known.iter().any(|old| old.brands == new.brands && old.product >= new.product));
    }
    if loops.is_empty() {
        return Ok((loops, report.by_waiting));
    }
    if force.is_none() {
        return Err(Error::Loops(loops));
    }
    match loops.iter().find(|found| !signed_by_operators(found, ready)) {
        Some(found) => Err(Error::OverrideNotSigned(Box::new(found.clone()))),
        None => Ok((loops, report.by_waiting)),
    }
}

/// Whether some direction of the loop is among the proposals and signed by enough operators.
fn signed_by_operators(found: &Loop, ready: &[&Proposal]) -> bool {
    let next = found.brands.iter().cycle().skip(1);
    let legs: BTreeSet<Subject> =
        found.brands.iter().zip(next).map(|(from, to)| Subject::Pair(from.clone(), to.clone())).collect();
    ready.iter().filter(|proposal| legs.contains(&proposal.subject)).any(|proposal| {
        let signed = proposal.approvals.iter().filter(|approval| approval.side == Party::Operator);
        signed.count() >= OVERRIDE_KEYS
    })
}

/// Writes the candidate's rows and opens its exposures; the new version.
fn write_all(conn: &mut PgConnection, candidate: &Candidate) -> Result<i64, Error> {
    let bilateral = candidate.catalogue.alliance.bilateral;
    if let Some((alliance, mandate)) = &candidate.alliance {
        write::put_alliance(conn, alliance, mandate.as_deref(), candidate.founding)?;
        if let Some(start) = candidate.founding {
            windows::found(conn, start)?;
        }
    }
    for planned in &candidate.partners {
        write::put_partner(conn, planned)?;
        let partner = &planned.partner;
        let cap = partner.exposure_limit.filter(|_| !bilateral);
        exposures::open(conn, &exposures::ExposureKey::Partner(partner.slug.clone()), cap)?;
    }
    for ((from, to), update) in &candidate.pairs {
        write::put_pair(conn, from, to, update)?;
        if let Some(agreement) = &update.agreement {
            let key = exposures::ExposureKey::Pair(from.clone(), to.clone());
            exposures::open(conn, &key, agreement.exposure_limit)?;
        }
    }
    if candidate.founding.is_some() {
        // A new alliance begins with version 1 already.
        return Ok(catalogue::version(conn)?);
    }
    Ok(write::raise_version(conn)?)
}

fn published(conn: &mut PgConnection) -> Result<Option<Published>, Error> {
    if !catalogue::exists(conn)? {
        return Ok(None);
    }
    Ok(Some(Published { catalogue: catalogue::load(conn)?, aside: write::aside(conn)? }))
}

/// Business time; before there is an alliance, the database's clock.
fn now(conn: &mut PgConnection, published: Option<&Published>) -> Result<DateTime<Utc>, Error> {
    Ok(match published {
        Some(_) => catalogue::business_now(conn)?,
        None => write::database_now(conn)?,
    })
}

/// The catalogue, as whoever asks may need it; `None` before the first publication.
pub fn catalogue(conn: &mut PgConnection) -> Result<Option<Catalogue>, Error> {
    Ok(published(conn)?.map(|published| published.catalogue))
}

/// One at a time from here to the commit.
fn lock(conn: &mut PgConnection) -> Result<(), Error> {
    sql_query("SELECT pg_advisory_xact_lock($1)").bind::<BigInt, _>(PUBLISHING).execute(conn)?;
    Ok(())
}

/// Proposals newest first; `viewer` sees those it is a side of, and all when `None`.
pub async fn list(
    database: &Database,
    viewer: Option<Slug>,
    before: Option<ProposalId>,
    limit: i64,
) -> Result<Vec<Proposal>, Error> {
    database.run(move |conn| Ok(proposals::list(conn, viewer.as_ref(), before, limit)?)).await
}

/// One proposal; `Err(NotFound)` also when it is none of the holder's business.
pub async fn get(database: &Database, holder: Holder, id: ProposalId) -> Result<Proposal, Error> {
    let found = database.run(move |conn| proposals::find(conn, id)).await?;
    found.filter(|proposal| proposal.subject.side_of(&holder).is_some()).ok_or(Error::NotFound)
}

/// A proposal as people judge it.
#[derive(Clone, Debug)]
pub struct Judged {
    pub proposal: Proposal,
    /// What it changes of what is published; of what is closed, nothing.
    pub lines: Vec<Line>,
    /// What going round would give if it alone were published; `None`: that is not known, as it is closed, waits for its
    /// notice or for another one.
    pub loops: Option<cycle::Report>,
    /// Before this its cut cannot begin.
    pub not_before: Option<DateTime<Utc>>,
    /// Whose signature it still lacks.
    pub missing: Vec<Slug>,
}

/// The same with what it comes to, found as publishing finds it.
pub async fn judged(database: &Database, holder: Holder, id: ProposalId) -> Result<Judged, Error> {
    let proposal = get(database, holder, id).await?;
    database.run(move |conn| judge(conn, proposal)).await
}

fn judge(conn: &mut PgConnection, proposal: Proposal) -> Result<Judged, Error> {
    let mut judged = Judged { lines: Vec::new(), loops: None, not_before: None, missing: Vec::new(), proposal };
    if !judged.proposal.state.is_open() {
        return Ok(judged);
    }
    let published = published(conn)?;
    let now = now(conn, published.as_ref())?;
    let wanted = wanted(&judged.proposal)?;
    judged.lines = describe::describe(published.as_ref(), &[(wanted.subject.clone(), wanted.change.clone())], now);
    judged.missing = approve::missing(conn, &judged.proposal)?;
    match settle::candidate(published.as_ref(), &[wanted], &write::versions(conn)?, now) {
        Ok(candidate) => judged.loops = Some(cycle::check(&candidate.catalogue, candidate.founding.unwrap_or(now))),
        Err(Error::Wait { earliest, .. } | Error::Notice { earliest, .. }) => judged.not_before = Some(earliest),
        Err(Error::NoPartner { .. } | Error::NoAlliance) => {}
        Err(other) => return Err(other),
    }
    Ok(judged)
}

/// `approve` on a connection of the pool.
pub async fn sign(database: &Database, holder: Holder, id: ProposalId, token: String) -> Result<Proposal, Error> {
    database.run(move |conn| approve(conn, &holder, id, &token)).await
}
