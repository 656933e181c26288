//! Conversions of this house: found by id, confirmation number or reference, and how each stands.

use crate::domain::ids::ConversionId;
use crate::domain::staff::Permission;
use crate::domain::text::Text;
use crate::service::answer::{self, BonusAnswer, FeeAnswer, RateAnswer, ReversalAnswer};
use crate::service::conversions::{self, Found, Stands};
use crate::service::crossings::seen::{self, Search, Seen};
use crate::service::exchange::{Error, Exchange};
use crate::web::page;
use crate::web::staff::session::Staff;
use crate::web::staff::shell::{Place, Shell};
use crate::web::trouble::Trouble;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;

/// Of those under way.
const PAGE: i64 = 100;
const BACK: &str = "/console/conversions";

#[derive(Debug, Deserialize)]
pub struct Asked {
    #[serde(default)]
    q: String,
}

struct Pending {
    id: String,
    /// An undo's or reversal's own id has no page.
    conversion: String,
    kind: &'static str,
    from_to: String,
    points: String,
    is_in_doubt: bool,
    since: String,
}

#[derive(Template)]
#[template(path = "staff/partner/conversions.html")]
struct SearchPage<'a> {
    shell: &'a Shell,
    q: String,
    /// Asked for, and there is no such one.
    nothing: bool,
    pending: Vec<Pending>,
}

/// Finds one, and shows what is on its way.
pub async fn search(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    asked: Query<Asked>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeConversions)?;
    let q = asked.into_inner().q.trim().to_owned();
    if let Some(found) = find(&exchange, &staff, &q).await? {
        return Ok(page::see_other(&format!("{BACK}/{}", id_of(&found))));
    }
    let reader = staff.holder().clone();
    let unit = move |conn: &mut _| seen::list(conn, &reader, &Search::default(), PAGE);
    let found = exchange.database.run(unit).await.map_err(staff.no("/console"))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Conversions);
    let pending = found.iter().map(|one| pending(&shell, one)).collect();
    let status = if q.is_empty() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    page::html(status, &SearchPage { nothing: !q.is_empty(), q, pending, shell: &shell })
}

async fn find(exchange: &Exchange, staff: &Staff, q: &str) -> Result<Option<Found>, Trouble> {
    let no = staff.no(BACK);
    if let Ok(id) = q.parse::<ConversionId>() {
        return match conversions::get(exchange, staff.holder(), id).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound) => Ok(None),
            Err(other) => Err(no(other)),
        };
    }
    if let Some(found) = conversions::find_by_confirmation(exchange, staff.holder(), q).await.map_err(&no)? {
        return Ok(Some(found));
    }
    match Text::new(q.to_owned()) {
        Ok(reference) => conversions::find_by_reference(exchange, staff.holder(), reference).await.map_err(no),
        Err(_) => Ok(None),
    }
}

fn id_of(found: &Found) -> ConversionId {
    match &found.stands {
        Stands::Posted { row, .. } => row.id,
        Stands::Crossing(row) => row.conversion,
    }
}

fn brand(shell: &Shell, slug: &str) -> String {
    match slug.parse() {
        _ if slug == "operator" => shell.lang.operator().to_owned(),
        Ok(slug) => shell.brand_of(&slug),
        Err(_) => slug.to_owned(),
    }
}

fn pending(shell: &Shell, seen: &Seen) -> Pending {
    let (lang, row) = (shell.lang, &seen.row);
    let [(from, gives), (to, gets)] = seen.legs();
    Pending {
        id: seen.id(),
        conversion: ConversionId(row.conversion_id).to_string(),
        kind: lang.crossing_kind(seen.kind_code()),
        from_to: lang.direction_of(brand(shell, from), brand(shell, to)),
        points: lang.crossing_moves(lang.number(gives), lang.number(gets)),
        is_in_doubt: row.in_doubt,
        since: shell.instant(row.since),
    }
}

#[derive(Template)]
#[template(path = "staff/partner/conversion.html")]
struct ConversionPage<'a> {
    shell: &'a Shell,
    id: String,
    state: &'static str,
    look: &'static str,
    from_to: String,
    facts: Vec<(&'static str, String)>,
    reversals: Vec<Vec<String>>,
}

/// One as it stands today.
pub async fn show(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeConversions)?;
    let id: ConversionId = id.parse().map_err(|_| Trouble::not_found(staff.lang).back_to(BACK))?;
    let found = conversions::get(&exchange, staff.holder(), id).await.map_err(staff.no(BACK))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Conversions);
    let currency = exchange.currency();
    page::html(StatusCode::OK, &conversion(&shell, &found, &currency))
}

fn conversion<'a>(shell: &'a Shell, found: &Found, currency: &str) -> ConversionPage<'a> {
    let lang = shell.lang;
    match &found.stands {
        Stands::Posted { row, reversals, crossing } => {
            let today = answer::conversion_state(row, crossing.as_deref(), reversals, found.side, currency);
            let one = &today.conversion;
            let mut facts = figures(shell, one.debit_points, one.credit_points, &one.bonuses, one.total_credit_points);
            facts.extend(terms(shell, one.rate, one.tier, one.from, one.fee));
            facts.push((lang.member_id(), one.membership_id.0.to_string()));
            facts.push((lang.counterpart(), one.counterpart.0.to_string()));
            facts.push((lang.completed_at(), shell.instant(one.completed_at)));
            facts.push((lang.undo(), shell.instant(one.undo_until)));
            facts.extend(one.external_reference.map(|text| (lang.reference(), text.to_owned())));
            let confirmation = one.confirmation.as_ref().map(|shown| (lang.confirmation(), shown.0.to_string()));
            let facts = confirmation.into_iter().chain(facts).collect();
            let reversals = today.reversals.iter().map(|one| reversal(shell, one)).collect();
            base(shell, found, one.state, (one.from, one.to), facts, reversals)
        }
        Stands::Crossing(row) => {
            let one = answer::pending_state(row, found.side, currency);
            let mut facts = figures(shell, one.debit_points, one.credit_points, &one.bonuses, one.total_credit_points);
            facts.extend(terms(shell, one.rate, one.tier, one.from, one.fee));
            facts.push((lang.member_id(), one.membership_id.0.to_string()));
            facts.push((lang.counterpart(), one.counterpart.0.to_string()));
            facts.push((lang.crossing_accepted(), shell.instant(one.accepted_at)));
            facts.push((lang.arrives(), shell.instant(one.arrives_by)));
            facts.extend(one.code.map(|code| (lang.crossing_cause(), code.to_owned())));
            facts.extend(one.external_reference.map(|text| (lang.reference(), text.to_owned())));
            let confirmation = one.confirmation.as_ref().map(|shown| (lang.confirmation(), shown.0.to_string()));
            let facts = confirmation.into_iter().chain(facts).collect();
            base(shell, found, one.state, (one.from, one.to), facts, Vec::new())
        }
    }
}

fn base<'a>(
    shell: &'a Shell,
    found: &Found,
    state: &str,
    (from, to): (&str, &str),
    facts: Vec<(&'static str, String)>,
    reversals: Vec<Vec<String>>,
) -> ConversionPage<'a> {
    let lang = shell.lang;
    let (state, look) = match state {
        "completed" => (lang.state_completed(), "good"),
        "pending" => (lang.state_pending(), "busy"),
        "in_doubt" => (lang.state_in_doubt(), "bad"),
        "undone" => (lang.state_undone(), ""),
        _ => (lang.state_given_back(), ""),
    };
    let from_to = lang.direction_of(brand(shell, from), brand(shell, to));
    ConversionPage { id: id_of(found).to_string(), state, look, from_to, facts, reversals, shell }
}

fn figures(
    shell: &Shell,
    debit: i64,
    credit: i64,
    bonuses: &[BonusAnswer<'_>],
    total: i64,
) -> Vec<(&'static str, String)> {
    let lang = shell.lang;
    let bonus = |one: &BonusAnswer<'_>| {
        (lang.bonus(), lang.bonus_of(lang.number(one.points), one.campaign, brand(shell, one.funder)))
    };
    let first = [(lang.debited(), lang.number(debit)), (lang.credited(), lang.number(credit))];
    let total = [(lang.credited_in_all(), lang.number(total))];
    first.into_iter().chain(bonuses.iter().map(bonus)).chain(total).collect()
}

fn terms(shell: &Shell, rate: RateAnswer, tier: &str, from: &str, fee: FeeAnswer<'_>) -> [(&'static str, String); 3] {
    let lang = shell.lang;
    let tier = from.parse().map_or_else(|_| tier.to_owned(), |from| shell.tier_of(&from, tier));
    [
        (lang.rate(), lang.rate_version(lang.rate_for(rate.den, rate.num), rate.version)),
        (lang.till_tier(), tier),
        (lang.fee(), lang.fee_by(shell.money(fee.amount.0), brand(shell, fee.payer))),
    ]
}

fn reversal(shell: &Shell, one: &ReversalAnswer<'_>) -> Vec<String> {
    let lang = shell.lang;
    let kind = lang.crossing_kind(one.kind);
    vec![
        kind.to_owned(),
        lang.reversal_state(one.state).to_owned(),
        brand(shell, one.asked_by),
        lang.number(one.credit_points + one.bonus_points),
        lang.number(one.debit_points),
        one.reason.to_owned(),
        one.completed_at.map(|at| shell.instant(at)).unwrap_or_default(),
    ]
}
