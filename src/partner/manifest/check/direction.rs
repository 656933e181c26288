//! Agreements, rates and campaigns of one origin.

use super::super::raw::{AgreementTable, CampaignTable, RateTable};
use super::value::Values;
use super::{Peers, terms};
use crate::domain::catalogue::Partner;
use crate::domain::ids::Slug;
use crate::domain::plan::{CampaignFigures, PlannedCampaign, PlannedPair, PlannedRate, RateFigures};
use crate::domain::points::Points;
use crate::domain::rate::{Rate, Ratio, TierScope};
use crate::domain::settlement::line::CAMPAIGNS_MAX;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use toml::Spanned;

/// The largest number a fraction is written with.
const FRACTION_MAX: i64 = 1_000_000_000;

/// A campaign adds at most ten times the base credit.
const BONUS_MAX: i64 = 100_000;

pub(super) fn check(
    values: &mut Values<'_>,
    peers: &Peers,
    origin: &Partner,
    agreements: &[AgreementTable],
    pairs: &mut BTreeMap<(Slug, Slug), PlannedPair>,
) {
    for table in agreements {
        let field = format!("agreements[{}]", table.to.get_ref());
        let to = values.slug(&format!("{field}.to"), &table.to);
        let Some(unit_cost) = peers.unit_costs.get(&to) else {
            if peers.unread.contains(to.as_str()) {
                continue;
            }
            let problem = format!("no partner `{to}` in this alliance; add {to}.toml or correct the name");
            values.say(table.to.span(), format!("{field}.to"), problem);
            continue;
        };
        if to == origin.slug {
            values.say(table.to.span(), format!("{field}.to"), "an agreement is with another partner");
        }
        let mut settled = terms(values, &format!("{field}.terms"), &table.terms, &peers.defaults);
        settled.settlement_price = match &table.settlement_price {
            Some(price) => values.price(&format!("{field}.settlement_price"), price),
            None => *unit_cost,
        };
        let limit = table.exposure_limit.as_ref();
        settled.exposure_limit = limit.map(|limit| values.money(&format!("{field}.exposure_limit"), limit));
        let pair = PlannedPair {
            terms: settled,
            rates: rates(values, peers, origin, &field, &table.rates),
            campaigns: campaigns(values, peers, origin, &field, &table.campaigns),
        };
        if pairs.insert((origin.slug.clone(), to.clone()), pair).is_some() {
            let problem = format!("the direction to `{to}` is there twice; put its rates under one [[agreements]]");
            values.say(table.to.span(), format!("{field}.to"), problem);
        }
    }
}

fn scope(values: &mut Values<'_>, origin: &Partner, field: &str, tier: Option<&Spanned<String>>) -> TierScope {
    let Some(tier) = tier else { return TierScope::Any };
    if origin.programme.tier(tier.get_ref()).is_none() {
        let ladder: Vec<&str> = origin.programme.tiers.iter().map(|rung| rung.code.as_str()).collect();
        let known = ladder.join(", ");
        values.say(tier.span(), field, format!("not a tier of {}; write one of {known}, or leave it out", origin.slug));
    }
    TierScope::Only(tier.get_ref().clone())
}

fn rates(
    values: &mut Values<'_>,
    peers: &Peers,
    origin: &Partner,
    parent: &str,
    tables: &[RateTable],
) -> Vec<PlannedRate> {
    let mut rates: Vec<PlannedRate> = Vec::new();
    for table in tables {
        let field = format!("{parent}.rates[{}]", table.tier.as_ref().map_or("*", |tier| tier.get_ref()));
        let tier = scope(values, origin, &format!("{field}.tier"), table.tier.as_ref());
        let instant = |values: &mut Values<'_>, name: &str, raw: &Option<Spanned<toml::value::Datetime>>| {
            raw.as_ref().map(|raw| values.instant(&format!("{field}.{name}"), raw, peers.zone))
        };
        let starts = instant(values, "valid_from", &table.valid_from);
        let ends = instant(values, "valid_to", &table.valid_to);
        let rate = PlannedRate { tier, figures: figures(values, &field, table), starts, ends };
        if let (Some(end), Some(raw)) = (ends, &table.valid_to)
            && starts.is_some_and(|start| end <= start)
        {
            values.say(raw.span(), format!("{field}.valid_to"), "the end (exclusive) is not after valid_from");
        }
        if let Some(other) = rates.iter().position(|other| overlap(other, &rate)) {
            let problem = format!(
                "overlaps rate {} of the same direction and tier; end one with valid_to where the other begins",
                other + 1
            );
            values.say(table.give.span(), format!("{field}.valid_from"), problem);
        }
        rates.push(rate);
    }
    rates
}

/// Whether both are for the same tier at the same time; an undated start is the earliest of all.
fn overlap(a: &PlannedRate, b: &PlannedRate) -> bool {
    let before = |end: &PlannedRate, start: &PlannedRate| match (end.ends, start.starts) {
        (Some(end), Some(start)) => end <= start,
        (Some(_) | None, _) => false,
    };
    a.tier == b.tier && !before(a, b) && !before(b, a)
}

fn figures(values: &mut Values<'_>, field: &str, table: &RateTable) -> RateFigures {
    let give = values.whole(&format!("{field}.give"), &table.give, 1..=FRACTION_MAX);
    let get = values.whole(&format!("{field}.get"), &table.get, 1..=FRACTION_MAX);
    let ratio = Ratio::new(get, give).expect("both between 1 and 10^9");
    let least = Points::new(ratio.den()).expect("between 1 and 10^9");
    let step = table.step.as_ref().and_then(|raw| {
        let step = values.points(&format!("{field}.step"), raw)?;
        if !Rate::is_exact(step, ratio) {
            let problem = format!(
                "steps of {step} are not exact at {give}:{get}; write a multiple of {} so that no part of a point is lost",
                ratio.den()
            );
            values.say(raw.span(), format!("{field}.step"), problem);
        }
        Some(step)
    });
    let step = step.unwrap_or(least);
    let reachable = |values: &mut Values<'_>, name: &str, raw: &Spanned<i64>| {
        let amount = values.points(&format!("{field}.{name}"), raw)?;
        if amount.get() % step.get() != 0 {
            let problem = format!("{amount} is not a multiple of the step {step}, so it could never be reached");
            values.say(raw.span(), format!("{field}.{name}"), problem);
        }
        Some(amount)
    };
    let minimum = table.minimum.as_ref().and_then(|raw| reachable(values, "minimum", raw)).unwrap_or(step);
    let maximum = table.maximum.as_ref().and_then(|raw| {
        let maximum = reachable(values, "maximum", raw)?;
        if maximum < minimum {
            values.say(raw.span(), format!("{field}.maximum"), format!("smaller than the minimum {minimum}"));
        }
        Some(maximum)
    });
    RateFigures { ratio, minimum, step, maximum, public: table.public }
}

fn campaigns(
    values: &mut Values<'_>,
    peers: &Peers,
    origin: &Partner,
    parent: &str,
    tables: &[CampaignTable],
) -> Vec<PlannedCampaign> {
    let mut seen = BTreeSet::new();
    let mut campaigns: Vec<PlannedCampaign> = Vec::new();
    for table in tables {
        let field = format!("{parent}.campaigns[{}]", table.code.get_ref());
        if !seen.insert(table.code.get_ref()) {
            let problem = "this campaign is there twice; give each its own code";
            values.say(table.code.span(), format!("{field}.code"), problem);
        }
        let starts = values.instant(&format!("{field}.valid_from"), &table.valid_from, peers.zone);
        let ends = values.instant(&format!("{field}.valid_to"), &table.valid_to, peers.zone);
        if ends <= starts {
            let problem = "the end (exclusive) is not after valid_from";
            values.say(table.valid_to.span(), format!("{field}.valid_to"), problem);
        }
        let bonus = values.percent(&format!("{field}.bonus_percent"), &table.bonus_percent, 1..=BONUS_MAX);
        campaigns.push(PlannedCampaign {
            code: values.code(&format!("{field}.code"), &table.code),
            figures: CampaignFigures {
                name: values.name(&format!("{field}.name"), &table.name),
                tier: scope(values, origin, &format!("{field}.tier"), table.tier.as_ref()),
                bonus_basis_points: bonus,
                funder: values.party(&format!("{field}.funder"), &table.funder),
                stacks: table.stacks,
            },
            starts,
            ends,
        });
    }
    if let Some(nth) = one_too_many(&campaigns) {
        let problem = format!("more than {CAMPAIGNS_MAX} campaigns of this direction stack at once");
        values.say(tables[nth].valid_from.span(), format!("{parent}.campaigns"), problem);
    }
    campaigns
}

/// The first campaign at whose start more stack than a conversion has lines for, whatever their tiers.
fn one_too_many(campaigns: &[PlannedCampaign]) -> Option<usize> {
    let most = usize::from(CAMPAIGNS_MAX);
    let stacking = || campaigns.iter().filter(|campaign| campaign.figures.stacks);
    let live = |at: DateTime<Utc>| stacking().filter(|other| other.starts <= at && at < other.ends).count();
    let many = stacking().count() > most;
    campaigns.iter().position(|campaign| many && campaign.figures.stacks && live(campaign.starts) > most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalogue::{Name, Party};

    #[test]
    fn no_more_campaigns_stack_at_once_than_a_conversion_has_lines_for() {
        let day = |day: i64| DateTime::from_timestamp(day * 86_400, 0).expect("an instant");
        let name = Name { en: "x".into(), zh: "x".into() };
        let campaign = |stacks, (starts, ends)| PlannedCampaign {
            code: "x".into(),
            figures: CampaignFigures {
                name: name.clone(),
                tier: TierScope::Any,
                bonus_basis_points: 1,
                funder: Party::To,
                stacks,
            },
            starts: day(starts),
            ends: day(ends),
        };
        let most = usize::from(CAMPAIGNS_MAX);
        let mut campaigns = vec![campaign(true, (1, 3)); most];
        // Not at once with those, or not together with any.
        campaigns.extend([campaign(true, (0, 1)), campaign(true, (3, 4)), campaign(false, (1, 3))]);
        assert_eq!(one_too_many(&campaigns), None);
        campaigns.push(campaign(true, (2, 4)));
        assert_eq!(one_too_many(&campaigns), Some(most + 3));
    }
}
