//! What is on its way between two ledgers, what of it is in doubt and is resolved by four eyes, and how the exchange fares.

use super::session::Staff;
use super::shell::{Place, Shell};
use super::{NEAR_DAYS, one};
use crate::domain::crossing::State;
use crate::domain::resolution::Outcome;
use crate::domain::staff::Permission;
use crate::http::Problem;
use crate::service::crossings::resolve::{self, Resolved, Wanted};
use crate::service::crossings::seen::{self, BacklogAnswer, CrossingId, Search, Seen};
use crate::service::exchange::{Error, Exchange};
use crate::service::staff::Act;
use crate::service::staff::log::{self, Actor};
use crate::service::watch;
use crate::web::form::Posted;
use crate::web::page;
use crate::web::trouble::{Trouble, What};
use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Path, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;
use uuid::Uuid;

/// Crossings of one page, and of those in doubt.
const PAGE: i64 = 100;
const BACK: &str = "/console/crossings";

pub fn configure(config: &mut ServiceConfig) {
    config
        .service(one("/crossings", web::get().to(list)))
        .service(one("/crossings/{id}", web::get().to(show)))
        .service(one("/crossings/{id}/resolution", web::post().to(resolve)));
}

/// A crossing in people's words.
struct CrossingShown {
    id: String,
    kind: &'static str,
    from_to: String,
    points: String,
    state: &'static str,
    is_in_doubt: bool,
    asked: String,
    since: String,
    attempts: i32,
}

struct BacklogShown {
    partner: String,
    state: &'static str,
    crossings: String,
    in_doubt: String,
    oldest: String,
}

struct CertificateShown {
    holder: String,
    ends: String,
    left: String,
    look: &'static str,
}

struct WebhookShown {
    partner: String,
    state: &'static str,
    look: &'static str,
    backlog: String,
    waiting: String,
    dead: String,
}

struct HealthShown {
    waiting: usize,
    lag: String,
    database: String,
    durable: &'static str,
    faults: Vec<String>,
    certificates: Vec<CertificateShown>,
    webhooks: Vec<WebhookShown>,
}

#[derive(Template)]
#[template(path = "staff/operations/list.html")]
struct ListPage<'a> {
    shell: &'a Shell,
    doubtful: Vec<CrossingShown>,
    under_way: Vec<CrossingShown>,
    next: Option<String>,
    backlog: Vec<BacklogShown>,
    health: HealthShown,
}

#[derive(Debug, Deserialize)]
pub struct After {
    after: Option<String>,
}

/// What is in doubt, what is on its way, how many wait for whom, and health.
pub async fn list(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    after: Query<After>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::ResolveInDoubt)?;
    let after = after.into_inner().after.and_then(|text| Uuid::try_parse(&text).ok());
    let reader = staff.holder().clone();
    let unit = move |conn: &mut _| {
        let search = |in_doubt, after| Search { in_doubt, after, ..Search::default() };
        let doubtful = seen::list(conn, &reader, &search(Some(true), None), PAGE)?;
        let under_way = seen::list(conn, &reader, &search(None, after), PAGE)?;
        Ok::<_, Error>((doubtful, under_way, seen::backlog(conn, &reader)?))
    };
    let (doubtful, under_way, backlog) = exchange.database.run(unit).await.map_err(staff.no("/console"))?;
    let health = watch::health(&exchange).await.map_err(staff.no("/console"))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Crossings);
    let is_full = i64::try_from(under_way.len()).is_ok_and(|found| found >= PAGE);
    let rows = |found: &[Seen]| found.iter().map(|one| crossing(&shell, one)).collect();
    let list = ListPage {
        doubtful: rows(&doubtful),
        under_way: rows(&under_way),
        next: under_way.last().filter(|_| is_full).map(|last| last.row.crossing_id.to_string()),
        backlog: backlog.iter().map(|row| backlog_of(&shell, row)).collect(),
        health: health_of(&shell, health),
        shell: &shell,
    };
    page::html(StatusCode::OK, &list)
}

fn brand(shell: &Shell, slug: &str) -> String {
    slug.parse().map_or_else(|_| slug.to_owned(), |slug| shell.brand_of(&slug))
}

fn crossing(shell: &Shell, seen: &Seen) -> CrossingShown {
    let (lang, row) = (shell.lang, &seen.row);
    let [(from, gives), (to, gets)] = seen.legs();
    CrossingShown {
        id: seen.id(),
        kind: lang.crossing_kind(seen.kind_code()),
        from_to: lang.direction_of(brand(shell, from), brand(shell, to)),
        points: lang.crossing_moves(lang.number(gives), lang.number(gets)),
        state: lang.crossing_state(seen.state),
        is_in_doubt: row.in_doubt,
        asked: seen.asked().map(|slug| brand(shell, slug)).unwrap_or_default(),
        since: shell.instant(row.since),
        attempts: row.attempts,
    }
}

fn backlog_of(shell: &Shell, row: &BacklogAnswer) -> BacklogShown {
    let lang = shell.lang;
    let state = State::ALL.into_iter().find(|state| state.code() == row.state);
    BacklogShown {
        partner: brand(shell, &row.partner),
        state: state.map_or(row.state, |state| lang.crossing_state(state)),
        crossings: lang.number(row.crossings),
        in_doubt: lang.number(row.in_doubt),
        oldest: lang.seconds(lang.number(row.oldest_seconds)),
    }
}

fn health_of(shell: &Shell, health: watch::Health) -> HealthShown {
    let lang = shell.lang;
    let pages = if health.checks_pages { lang.health_checksums() } else { lang.health_no_checksums() };
    let certificates = health.certificates.into_iter().map(|(holder, ends)| {
        let days = (ends - health.now).num_days();
        CertificateShown {
            holder,
            ends: shell.instant(ends),
            left: lang.health_days(lang.so_many_days(days)),
            look: if days >= NEAR_DAYS { "good" } else { "busy" },
        }
    });
    let webhooks = health.webhooks.into_iter().map(|one| {
        let (state, look) = match (one.is_suspended, one.is_open) {
            (true, _) => (lang.health_webhook_suspended(), "busy"),
            (false, true) => (lang.health_webhook_open(), "bad"),
            (false, false) => (lang.health_fine(), "good"),
        };
        let [backlog, waiting, dead] = [one.backlog, one.waiting, one.dead].map(|count| lang.number(count));
        WebhookShown { partner: shell.brand_of(&one.partner), state, look, backlog, waiting, dead }
    });
    HealthShown {
        waiting: health.commands_waiting,
        lag: lang.seconds(lang.number(health.feed_lag_seconds)),
        database: format!("PostgreSQL {}, {pages}", health.database),
        durable: if health.faults.is_empty() { lang.health_durable() } else { lang.health_not_durable() },
        faults: health.faults,
        certificates: certificates.collect(),
        webhooks: webhooks.collect(),
    }
}

/// What people have said, in one line and its reason.
struct Saying {
    text: String,
    reason: String,
}

struct Choice {
    code: &'static str,
    text: &'static str,
    is_proposed: bool,
}

struct DocumentShown {
    at: String,
    call: String,
    by: String,
    text: String,
}

#[derive(Template)]
#[template(path = "staff/operations/one.html")]
struct OnePage<'a> {
    shell: &'a Shell,
    row: CrossingShown,
    look: &'static str,
    facts: Vec<(&'static str, String)>,
    nothing: &'static str,
    resolved: Option<Saying>,
    proposal: Option<Saying>,
    /// This person's own proposal.
    is_own: bool,
    /// The same from this person would be carried out.
    is_confirmation: bool,
    choices: Vec<Choice>,
    /// Whoever is here will say one day, and does not yet.
    is_too_new: bool,
    documents: Vec<DocumentShown>,
}

fn id_of(staff: &Staff, text: &str) -> Result<CrossingId, Trouble> {
    text.parse().map_err(|_| Trouble::not_found(staff.lang).back_to(BACK))
}

/// One with everything that was kept of it, and what can be said of it.
pub async fn show(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::ResolveInDoubt)?;
    let id = id_of(&staff, &id)?;
    let unit = move |conn: &mut _| {
        let found = seen::one(conn, id)?.ok_or(Error::NotFound)?;
        Ok::<_, Error>((found, seen::evidence(conn, id)?))
    };
    let (found, evidence) = exchange.database.run(unit).await.map_err(staff.no(BACK))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Crossings);
    let documents = evidence.into_iter().map(|kept| DocumentShown {
        at: shell.instant(kept.at),
        call: kept.call,
        by: kept.by,
        // As it came, but for what would move a terminal or hide in a line.
        text: kept.document.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
    });
    let documents = documents.collect();
    let is_too_new = staff.is_too_new(Permission::ResolveInDoubt);
    page::html(StatusCode::OK, &OnePage { documents, is_too_new, ..one_page(&shell, staff.holder().name(), &found) })
}

fn one_page<'a>(shell: &'a Shell, reader: &str, found: &Seen) -> OnePage<'a> {
    let (lang, row) = (shell.lang, &found.row);
    let proposal = found.proposal();
    let is_own = proposal.is_some_and(|word| word.said.by == reader);
    let outcomes = Outcome::ALL.into_iter().filter(|outcome| outcome.step(found.state).is_some());
    let choices = outcomes.map(|outcome| Choice {
        code: outcome.code(),
        text: lang.outcome_of(outcome, found.state),
        is_proposed: proposal.is_some_and(|word| word.said.outcome == outcome),
    });
    let next_call = (!found.state.is_over()).then(|| (lang.crossing_next_call(), shell.instant(row.due_at)));
    let facts = [
        Some((lang.crossing_accepted(), shell.instant(row.at))),
        Some((lang.crossing_since(), shell.instant(row.since))),
        found.asked().map(|slug| (lang.crossing_asked(), brand(shell, slug))),
        Some((lang.crossing_attempts(), row.attempts.to_string())),
        next_call,
        row.cause.clone().map(|cause| (lang.crossing_cause(), cause)),
        row.note.clone().map(|note| (lang.crossing_note(), note)),
    ];
    OnePage {
        row: crossing(shell, found),
        look: if found.state.is_over() { "good" } else { "busy" },
        facts: facts.into_iter().flatten().collect(),
        nothing: if found.state.is_over() { lang.doubt_over() } else { lang.doubt_not() },
        resolved: found.resolution().map(|(word, first)| Saying {
            text: lang.doubt_resolved(first, &word.said.by, lang.resolved_as(word.said.outcome)),
            reason: word.reason.clone(),
        }),
        proposal: proposal.map(|word| Saying {
            text: lang.doubt_proposed(&word.said.by, lang.resolved_as(word.said.outcome)),
            reason: word.reason.clone(),
        }),
        is_own,
        is_confirmation: proposal.is_some() && !is_own,
        choices: choices.collect(),
        documents: Vec::new(),
        is_too_new: false,
        shell,
    }
}

#[derive(Debug, Deserialize)]
pub struct SaidForm {
    outcome: String,
    reason: String,
}

/// One operator's word; another one's same word is carried out.
pub async fn resolve(
    exchange: Data<Exchange>,
    posted: Posted<Staff, SaidForm>,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: staff, form } = posted;
    staff.check_one_of_two(Permission::ResolveInDoubt)?;
    let id = id_of(&staff, &id)?;
    let unfit = |what| move || Trouble::new(What::Unfit(what), staff.lang).back_to(BACK);
    let outcome = Outcome::parse(&form.outcome).ok_or_else(unfit("outcome"))?;
    let reason = page::note(&form.reason).ok_or_else(unfit("reason"))?;
    let wanted = Wanted { id, outcome, reason: reason.clone(), by: staff.holder().name().to_owned() };
    let written = log::witness(Actor::from(&staff.signed));
    let also = move |conn: &mut _, agrees| {
        let action = if agrees { "crossing.resolved" } else { "crossing.resolution_proposed" };
        written(conn, Act::new(action, id).with("outcome", outcome.code()).with("reason", reason))
    };
    let resolved = resolve::resolve_and(&exchange, wanted, also).await.map_err(|error| match error {
        resolve::Error::Outcome(_) => unfit("outcome")(),
        resolve::Error::Reason => unfit("reason")(),
        other => Trouble::new(What::Problem(Problem::from(other)), staff.lang).back_to(BACK),
    })?;
    let (Resolved::Proposed(seen) | Resolved::Done(seen)) = &resolved;
    Ok(page::see_other(&format!("{BACK}/{}", seen.id())))
}
