//! A difference as people read it: one line per thing that changes.

use super::document::Change;
use super::settle::Published;
use crate::domain::catalogue::{Accounts, Alliance, Pair, Partner, Rounding, Settlement};
use crate::domain::change::PairChange;
use crate::domain::money::Millionths;
use crate::domain::plan::{AgreementTerms, RateFigures};
use crate::domain::points::Points;
use crate::domain::proposal::Subject;
use crate::domain::rate::{Ratio, TierScope};
use chrono::{DateTime, Utc};
use serde::Serialize;

/// One thing that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    pub subject: String,
    pub what: String,
    /// Empty when there was nothing.
    pub before: String,
    pub after: String,
}

/// What `changes` do to `published`.
pub(super) fn describe(published: Option<&Published>, changes: &[(Subject, Change)], now: DateTime<Utc>) -> Vec<Line> {
    let mut lines = Vec::new();
    let catalogue = published.map(|published| &published.catalogue);
    for (subject, change) in changes {
        let told = lines.len();
        let mut add = |what: &str, before: String, after: String| {
            if before != after {
                lines.push(Line { subject: subject.to_string(), what: what.to_owned(), before, after });
            }
        };
        match (subject, change) {
            (_, Change::Alliance { alliance, mandate }) => {
                settings(catalogue.map(|catalogue| &catalogue.alliance), alliance, &mut add);
                let stated = published.and_then(|published| published.aside.mandate.clone());
                add("mandate", stated.unwrap_or_default(), mandate.clone().unwrap_or_default());
            }
            (_, Change::Partner(planned)) => {
                let slug = &planned.partner.slug;
                partner(catalogue.and_then(|catalogue| catalogue.partners.get(slug)), &planned.partner, &mut add);
                let known = published.and_then(|published| published.aside.endpoints.get(slug).cloned());
                add("endpoint", known.unwrap_or_default(), planned.endpoint.clone().unwrap_or_default());
            }
            (Subject::Pair(from, to), Change::Pair(change)) => {
                pair(catalogue.and_then(|catalogue| catalogue.pair(from, to)), change, now, &mut add);
            }
            (Subject::Alliance | Subject::Partner(_), Change::Pair(_)) => {}
        }
        if lines.len() == told {
            // Whatever is proposed is told, even where no line above has words for it.
            let (what, before, after) =
                ("what is not shown".to_owned(), "as published".to_owned(), "as planned".to_owned());
            lines.push(Line { subject: subject.to_string(), what, before, after });
        }
    }
    lines
}

type Add<'a> = dyn FnMut(&str, String, String) + 'a;

/// A thing that may change, and how it is told.
type Told<'a, T> = (&'a str, &'a dyn Fn(&T) -> String);

fn settings(before: Option<&Alliance>, after: &Alliance, add: &mut Add<'_>) {
    let old = |read: &dyn Fn(&Alliance) -> String| before.map(read).unwrap_or_default();
    let name = |alliance: &Alliance| format!("{} / {}", alliance.name.en, alliance.name.zh);
    let entity = |alliance: &Alliance| {
        let operator = &alliance.operator;
        let tax_code = if operator.tax_code.is_empty() { "no tax code" } else { &operator.tax_code };
        format!("{}, {tax_code}", operator.legal_entity)
    };
    let each: [Told<'_, Alliance>; 11] = [
        ("name", &name),
        ("currency and zone", &|alliance| format!("{}, {}", alliance.currency, alliance.zone)),
        ("quotes bind", &|alliance| format!("{} s", alliance.quote_ttl_s)),
        ("new links open after", &|alliance| format!("{} days", alliance.link_cooling_days)),
        ("settlement cycle", &|alliance| alliance.settlement.cycle.code().to_owned()),
        ("netting", &|alliance| alliance.settlement.netting.code().to_owned()),
        ("rounding", &|alliance| rounding(alliance.settlement.rounding).to_owned()),
        ("days after a window", &|alliance| days(&alliance.settlement)),
        ("operator", &entity),
        ("tax in the fee", &|alliance| percent(alliance.operator.fee_tax_basis_points)),
        ("operator's ledger accounts", &|alliance| accounts(&alliance.operator.accounts, &Accounts::of_operator())),
    ];
    for (what, read) in each {
        add(what, old(read), read(after));
    }
}

fn rounding(rounding: Rounding) -> &'static str {
    match rounding {
        Rounding::HalfUp => "half up",
        Rounding::HalfEven => "half to even",
    }
}

fn days(settlement: &Settlement) -> String {
    let Settlement { cut_off_days, draft_days, dispute_days, due_days, .. } = settlement;
    format!("cut off {cut_off_days}, draft {draft_days}, disputes {dispute_days}, due {due_days}")
}

/// The accounts that are not the built-in ones.
fn accounts(accounts: &Accounts, standard: &Accounts) -> String {
    let other = accounts.each().into_iter().zip(standard.each()).filter(|(own, standard)| own != standard);
    let other: Vec<String> = other.map(|((name, code), _)| format!("{name} {code}")).collect();
    if other.is_empty() { "standard".to_owned() } else { format!("standard but {}", other.join(", ")) }
}

/// Hundredths of a per cent as people write them.
fn percent(basis_points: i64) -> String {
    format!("{}.{:02} %", basis_points / 100, basis_points % 100)
}

fn partner(before: Option<&Partner>, after: &Partner, add: &mut Add<'_>) {
    let limit = |limit: Option<Points>| limit.map_or_else(|| "none".to_owned(), |points| points.to_string());
    let limits = |partner: &Partner| {
        let own = &partner.limits;
        let [out_day, out_month] = [own.out_day, own.out_month].map(limit);
        let [in_day, in_month] = [own.in_day, own.in_month].map(limit);
        format!("out {out_day} a day, {out_month} a month; in {in_day} a day, {in_month} a month")
    };
    let ladder = |partner: &Partner| {
        let rung = |tier: &crate::domain::catalogue::Tier| {
            let never = if tier.never_expires { " (never expires)" } else { "" };
            format!("{}{never}", tier.code)
        };
        partner.programme.tiers.iter().map(rung).collect::<Vec<_>>().join(", ")
    };
    let each: [Told<'_, Partner>; 9] = [
        ("name", &|partner| format!("{} / {}", partner.name.en, partner.name.zh)),
        ("trade", &|partner| partner.trade.clone()),
        ("legal entity", &|partner| format!("{}, {}", partner.legal_entity, partner.tax_code)),
        ("programme", &|partner| {
            let programme = &partner.programme;
            format!("{} {} / {}", programme.code, programme.name.en, programme.name.zh)
        }),
        ("unit cost", &|partner| partner.programme.unit_cost.to_string()),
        ("expires after", &|partner| format!("{} months", partner.programme.expiry_months)),
        ("tiers", &ladder),
        ("member limits", &limits),
        ("ledger accounts", &|partner| accounts(&partner.accounts, &Accounts::standard())),
    ];
    for (what, read) in each {
        add(what, before.map(read).unwrap_or_default(), read(after));
    }
    let exposure = |partner: &Partner| money(partner.exposure_limit);
    add("exposure limit", before.map(exposure).unwrap_or_default(), exposure(after));
}

fn money(limit: Option<Millionths>) -> String {
    limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())
}

fn pair(before: Option<&Pair>, change: &PairChange, now: DateTime<Utc>, add: &mut Add<'_>) {
    if let Some(terms) = &change.terms {
        let old = before.and_then(|pair| pair.agreement(now)).map(AgreementTerms::of);
        agreement(old.as_ref(), terms, add);
    }
    for rate in &change.rates {
        let at = rate.starts.map_or(now, |starts| starts.max(now));
        let same = |old: &&crate::domain::rate::Rate| old.tier == rate.tier && old.is_live(at);
        let old = before.and_then(|pair| pair.rates.iter().rev().find(same));
        let what = format!("rate, {}{}", tier(&rate.tier), period(rate.starts, rate.ends));
        let old = old.map(|old| rate_text(&RateFigures::of(old))).unwrap_or_default();
        let mut new = rate_text(&rate.figures);
        if old == new {
            new.push_str(", other dates");
        }
        add(&what, old, new);
        // What was announced for later, and does not come now.
        let until = |old: &crate::domain::rate::Rate| rate.ends.is_none_or(|ends| old.valid_from < ends);
        let later = |old: &&crate::domain::rate::Rate| {
            old.tier == rate.tier && old.valid_from > at && until(old) && old.is_live(old.valid_from)
        };
        for old in before.iter().flat_map(|pair| pair.rates.iter().filter(later)) {
            let what = format!("announced rate, {}{}", tier(&old.tier), period(Some(old.valid_from), old.valid_to));
            add(&what, rate_text(&RateFigures::of(old)), "taken over".to_owned());
        }
    }
    for campaign in &change.campaigns {
        let old = before.and_then(|pair| pair.campaigns.iter().rev().find(|old| old.code == campaign.code));
        let text = |bonus: i64, funder: &str| format!("+{} by {funder}", percent(bonus));
        let what = format!("campaign {}{}", campaign.code, period(Some(campaign.starts), Some(campaign.ends)));
        let before = old.map(|old| text(old.bonus_basis_points, old.funder.code())).unwrap_or_default();
        let mut after = text(campaign.figures.bonus_basis_points, campaign.figures.funder.code());
        if before == after {
            after.push_str(", other dates");
        }
        add(&what, before, after);
    }
}

fn agreement(before: Option<&AgreementTerms>, after: &AgreementTerms, add: &mut Add<'_>) {
    let fee = |terms: &AgreementTerms| format!("{} by {}", percent(terms.fee_basis_points), terms.fee_payer.code());
    let yes = |value: bool| if value { "yes" } else { "no" }.to_owned();
    let each: [Told<'_, AgreementTerms>; 9] = [
        ("settlement price", &|terms| terms.settlement_price.to_string()),
        ("fee", &fee),
        ("notice", &|terms| format!("{} days", terms.notice_days)),
        ("undo", &|terms| format!("{} min", terms.undo_s / 60)),
        ("exposure limit", &|terms| money(terms.exposure_limit)),
        ("renews on arrival", &|terms| yes(terms.renews_on_arrival)),
        ("reversal needs confirmation", &|terms| yes(terms.reversal_needs_confirmation)),
        ("target pays spent points", &|terms| yes(terms.target_pays_spent)),
        ("grace and dispute", &|terms| format!("{} and {} days", terms.grace_days, terms.dispute_days)),
    ];
    if before.is_none() {
        // A new agreement in one line: its rates say more.
        let [price, fee, notice, undo, exposure, ..] = each.map(|(what, read)| format!("{what} {}", read(after)));
        add("agreement", String::new(), [price, fee, notice, undo, exposure].join(", "));
        return;
    }
    for (what, read) in each {
        add(what, before.map(read).unwrap_or_default(), read(after));
    }
}

fn rate_text(figures: &RateFigures) -> String {
    let ratio: Ratio = figures.ratio;
    let maximum = figures.maximum.map(|maximum| format!(", at most {maximum}")).unwrap_or_default();
    let seen = if figures.public { ", public" } else { "" };
    format!("{}:{} in steps of {} from {}{maximum}{seen}", ratio.den(), ratio.num(), figures.step, figures.minimum)
}

fn tier(tier: &TierScope) -> &str {
    match tier {
        TierScope::Any => "any tier",
        TierScope::Only(code) => code,
    }
}

fn period(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> String {
    let text = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%MZ").to_string();
    let from = from.map(|from| format!(" from {}", text(from))).unwrap_or_default();
    let to = to.map(|to| format!(" to {}", text(to))).unwrap_or_default();
    format!("{from}{to}")
}
