//! Rates, campaigns and agreements of one partner, in force and coming.

use crate::domain::catalogue::{Agreement, Campaign, Pair, Party};
use crate::domain::ids::Slug;
use crate::domain::rate::{Rate, TierScope};
use crate::domain::staff::Permission;
use crate::service::catalogue;
use crate::service::exchange::Exchange;
use crate::web::page;
use crate::web::staff::session::Staff;
use crate::web::staff::shell::{Place, Shell};
use crate::web::trouble::Trouble;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use chrono::{DateTime, Utc};
use serde::Deserialize;

struct AgreementShown {
    title: String,
    look: &'static str,
    facts: Vec<(&'static str, String)>,
}

/// A rate or a campaign in one line.
struct Line {
    what: String,
    tier: String,
    terms: String,
    from: String,
    until: String,
    state: &'static str,
    look: &'static str,
}

struct PairShown {
    id: String,
    title: String,
    agreements: Vec<AgreementShown>,
    lines: Vec<Line>,
}

#[derive(Template)]
#[template(path = "staff/partner/rates.html")]
struct RatesPage<'a> {
    shell: &'a Shell,
    /// For an operator: whose they may be.
    partners: Vec<(String, String, bool)>,
    pairs: Vec<PairShown>,
}

#[derive(Debug, Deserialize)]
pub struct Whose {
    partner: Option<String>,
}

/// Every direction that the partner is a side of.
pub async fn show(
    exchange: Data<Exchange>,
    request: HttpRequest,
    staff: Staff,
    whose: Query<Whose>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeRates)?;
    let (published, now) = catalogue::standing(&exchange).await.map_err(staff.no("/console"))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Rates);
    let asked = whose.into_inner().partner.and_then(|slug| slug.parse::<Slug>().ok());
    let own = staff.signed.partner().cloned();
    let of = own.clone().or(asked).or_else(|| published.partners.keys().next().cloned());
    let is_side = |slug: &Slug| of.as_ref() == Some(slug);
    let mut pairs: Vec<_> = published.pairs.iter().filter(|((from, to), _)| is_side(from) || is_side(to)).collect();
    pairs.sort_by_key(|(key, _)| *key);
    let all = published.partners.keys().filter(|_| own.is_none());
    let rates = RatesPage {
        partners: all.map(|slug| (slug.to_string(), shell.brand_of(slug), is_side(slug))).collect(),
        pairs: pairs.into_iter().map(|((from, to), pair)| shown(&shell, from, to, pair, now)).collect(),
        shell: &shell,
    };
    page::html(StatusCode::OK, &rates)
}

fn shown(shell: &Shell, from: &Slug, to: &Slug, pair: &Pair, now: DateTime<Utc>) -> PairShown {
    let coming = |agreement: &&Agreement| {
        agreement.valid_from > now && agreement.superseded_from.is_none_or(|end| end > agreement.valid_from)
    };
    let agreements = pair.agreement(now).into_iter().chain(pair.agreements.iter().filter(coming));
    let party = |party| party_of(shell, party, from, to);
    let is_open = |end: Option<DateTime<Utc>>| end.is_none_or(|end| end > now);
    let rates = pair.rates.iter().filter(|rate| is_open(rate.ends_at())).map(|rate| rate_line(shell, from, rate, now));
    let campaigns = pair.campaigns.iter();
    let campaigns = campaigns.filter(|one| is_open(Some(end_of(one)))).map(|one| Line {
        what: shell.lang.name(&one.name).to_owned(),
        tier: tier(shell, from, &one.tier),
        terms: shell.lang.bonus_by(percent(one.bonus_basis_points), party(one.funder)),
        ..dated(shell, one.valid_from, Some(end_of(one)), now)
    });
    PairShown {
        id: format!("{from}-{to}"),
        title: shell.lang.direction_of(shell.brand_of(from), shell.brand_of(to)),
        agreements: agreements.map(|one| agreement_of(shell, one, party(one.fee_payer), now)).collect(),
        lines: rates.chain(campaigns).collect(),
    }
}

fn end_of(campaign: &Campaign) -> DateTime<Utc> {
    campaign.superseded_from.map_or(campaign.valid_to, |end| end.min(campaign.valid_to))
}

fn party_of(shell: &Shell, party: Party, from: &Slug, to: &Slug) -> String {
    match party {
        Party::From => shell.brand_of(from),
        Party::To => shell.brand_of(to),
        Party::Operator => shell.lang.operator().to_owned(),
    }
}

fn tier(shell: &Shell, from: &Slug, scope: &TierScope) -> String {
    match scope {
        TierScope::Any => shell.lang.any_tier().to_owned(),
        TierScope::Only(code) => shell.tier_of(from, code),
    }
}

/// Hundredths of a per cent as people write them.
fn percent(basis_points: i64) -> String {
    format!("{}.{:02} %", basis_points / 100, basis_points % 100)
}

fn dated(shell: &Shell, from: DateTime<Utc>, until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Line {
    let is_coming = from > now;
    Line {
        what: String::new(),
        tier: String::new(),
        terms: String::new(),
        from: shell.instant(from),
        until: until.map(|until| shell.instant(until)).unwrap_or_default(),
        state: if is_coming { shell.lang.coming() } else { shell.lang.in_force() },
        look: if is_coming { "busy" } else { "good" },
    }
}

fn rate_line(shell: &Shell, from: &Slug, rate: &Rate, now: DateTime<Utc>) -> Line {
    let lang = shell.lang;
    let terms = lang.rate_terms(
        lang.rate_for(rate.ratio.den(), rate.ratio.num()),
        lang.number(rate.step.get()),
        lang.number(rate.minimum.get()),
    );
    let most = rate.maximum.map(|most| format!(", {}", lang.at_most(lang.number(most.get()))));
    Line {
        what: lang.rate().to_owned(),
        tier: tier(shell, from, &rate.tier),
        terms: terms + &most.unwrap_or_default(),
        ..dated(shell, rate.valid_from, rate.ends_at(), now)
    }
}

fn agreement_of(shell: &Shell, one: &Agreement, fee_payer: String, now: DateTime<Utc>) -> AgreementShown {
    let lang = shell.lang;
    let yes = |is: bool| if is { lang.yes() } else { lang.no_word() }.to_owned();
    let limit = one.exposure_limit.map_or_else(|| lang.no_limit().to_owned(), |limit| shell.money(limit));
    let is_coming = one.valid_from > now;
    let since = shell.instant(one.valid_from);
    AgreementShown {
        title: if is_coming { lang.agreement_from(since) } else { lang.agreement_since(since) },
        look: if is_coming { "busy" } else { "good" },
        facts: vec![
            (lang.settlement_price(), shell.money(one.settlement_price)),
            (lang.fee(), lang.fee_by(percent(one.fee_basis_points), fee_payer)),
            (lang.notice(), lang.so_many_days(one.notice_days.into())),
            (lang.undo(), lang.span(one.undo_s.into())),
            (lang.exposure_limit(), limit),
            (lang.reversal_needs_confirmation(), yes(one.reversal_needs_confirmation)),
            (lang.renews_on_arrival(), yes(one.renews_on_arrival)),
            (lang.target_pays_spent(), yes(one.target_pays_spent)),
            (lang.dispute_days(), lang.so_many_days(one.dispute_days.into())),
        ],
    }
}
