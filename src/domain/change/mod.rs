//! What publishing changes in one direction: the difference between plan and catalogue, and what it becomes.
//!
//! History is never rewritten: a difference is new versions, which take over from the old ones where they begin.
//! `cut` judges whether a member gets less by it.

pub mod cut;

use super::catalogue::{Agreement, Campaign, Pair};
use super::plan::{AgreementTerms, CampaignFigures, PlannedCampaign, PlannedPair, PlannedRate, RateFigures};
use super::rate::{Rate, TierScope};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// New versions wanted in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairChange {
    pub terms: Option<AgreementTerms>,
    pub rates: Vec<PlannedRate>,
    pub campaigns: Vec<PlannedCampaign>,
}

/// What is published and not ended, and missing from the plan: it cannot be taken back, only be given an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vanished {
    Rate { tier: TierScope, version: i64 },
    Campaign { code: String },
}

/// The highest versions ever published in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    pub agreement: i64,
    pub rate: i64,
    pub campaigns: BTreeMap<String, i64>,
}

/// When a change is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub now: DateTime<Utc>,
    /// Where the first publication of an alliance begins: nothing happened yet, so it may lie before `now`.
    pub founding: Option<DateTime<Utc>>,
}

/// A change with versions and dates: rows to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairUpdate {
    pub agreement: Option<Agreement>,
    pub rates: Vec<Rate>,
    pub campaigns: Vec<Campaign>,
    /// Which versions end because a new one takes over, and when.
    pub agreements_superseded: Vec<(i64, DateTime<Utc>)>,
    pub rates_superseded: Vec<(i64, DateTime<Utc>)>,
    pub campaigns_superseded: Vec<((String, i64), DateTime<Utc>)>,
}

impl PairChange {
    pub fn is_empty(&self) -> bool {
        self.terms.is_none() && self.rates.is_empty() && self.campaigns.is_empty()
    }

    /// What `planned` has and `published` lacks from `now` on.
    pub fn between(published: &Pair, planned: &PlannedPair, now: DateTime<Utc>) -> Result<PairChange, Vec<Vanished>> {
        let current = published.agreement(now).map(AgreementTerms::of);
        let mut change = PairChange::default();
        if current.as_ref() != Some(&planned.terms) {
            change.terms = Some(planned.terms.clone());
        }
        let mut vanished = Vec::new();
        rates(published, planned, now, &mut change, &mut vanished);
        campaigns(published, planned, now, &mut change, &mut vanished);
        if vanished.is_empty() { Ok(change) } else { Err(vanished) }
    }

    /// The rows of this change when it is published at `moment` after the versions `last`.
    pub fn settle(&self, published: &Pair, last: &Versions, moment: Moment) -> PairUpdate {
        let mut update = PairUpdate::default();
        if let Some(terms) = &self.terms {
            let from = moment.founding.unwrap_or(moment.now);
            update.agreement = Some(terms.published(last.agreement + 1, from));
            let live = published.agreements.iter().filter(|old| old.superseded_from.is_none_or(|end| end > from));
            update.agreements_superseded = live.map(|old| (old.version, from.max(old.valid_from))).collect();
        }
        let mut version = last.rate;
        for rate in &self.rates {
            let Some(from) = begins(rate.starts, rate.ends, moment) else { continue };
            version += 1;
            let new = rate.published(version, from);
            let old = published.rates.iter().filter(|old| old.tier == new.tier);
            let ended = old.filter_map(|old| Some((old.version, taken_over(old.period(), new.period())?)));
            earliest(&mut update.rates_superseded, ended);
            update.rates.push(new);
        }
        for campaign in &self.campaigns {
            let Some(from) = begins(Some(campaign.starts), Some(campaign.ends), moment) else { continue };
            let version = last.campaigns.get(&campaign.code).copied().unwrap_or(0) + 1;
            let new = campaign.published(version, from);
            let old = published.campaigns.iter().filter(|old| old.code == new.code);
            let ended =
                old.filter_map(|old| Some(((old.code.clone(), old.version), taken_over(old.period(), new.period())?)));
            earliest(&mut update.campaigns_superseded, ended);
            update.campaigns.push(new);
        }
        update
    }
}

impl PairUpdate {
    /// The direction as it is once these rows are written.
    pub fn applied(&self, published: &Pair) -> Pair {
        let mut pair = published.clone();
        for old in &mut pair.agreements {
            end(
                &mut old.superseded_from,
                self.agreements_superseded.iter().find(|(version, _)| *version == old.version),
            );
        }
        for old in &mut pair.rates {
            end(&mut old.superseded_from, self.rates_superseded.iter().find(|(version, _)| *version == old.version));
        }
        for old in &mut pair.campaigns {
            let ended = self
                .campaigns_superseded
                .iter()
                .find(|((code, version), _)| *code == old.code && *version == old.version);
            end(&mut old.superseded_from, ended);
        }
        pair.agreements.extend(self.agreement.clone());
        pair.rates.extend(self.rates.iter().cloned());
        pair.campaigns.extend(self.campaigns.iter().cloned());
        pair
    }
}

fn end<K>(superseded_from: &mut Option<DateTime<Utc>>, ended: Option<&(K, DateTime<Utc>)>) {
    if let Some((_, at)) = ended {
        *superseded_from = Some(superseded_from.map_or(*at, |old| old.min(*at)));
    }
}

/// Where a new version begins; `None` when it would have ended already.
fn begins(starts: Option<DateTime<Utc>>, ends: Option<DateTime<Utc>>, moment: Moment) -> Option<DateTime<Utc>> {
    let from = match moment.founding {
        Some(founding) => starts.unwrap_or(founding),
        None => starts.map_or(moment.now, |starts| starts.max(moment.now)),
    };
    ends.is_none_or(|ends| from < ends).then_some(from)
}

/// `[from, to)`; `None` is open.
type Period = (DateTime<Utc>, Option<DateTime<Utc>>);

fn is_empty(period: Period) -> bool {
    period.1.is_some_and(|to| to <= period.0)
}

fn overlap(a: Period, b: Period) -> bool {
    !is_empty(a) && !is_empty(b) && a.1.is_none_or(|to| b.0 < to) && b.1.is_none_or(|to| a.0 < to)
}

/// Where the old version ends because the new one begins; `None` when they do not meet.
fn taken_over(old: Period, new: Period) -> Option<DateTime<Utc>> {
    overlap(old, new).then(|| old.0.max(new.0))
}

/// Adds ends, keeping the earliest of each version.
fn earliest<K: PartialEq>(ends: &mut Vec<(K, DateTime<Utc>)>, more: impl Iterator<Item = (K, DateTime<Utc>)>) {
    for (version, at) in more {
        match ends.iter_mut().find(|(known, _)| *known == version) {
            Some((_, end)) => *end = at.min(*end),
            None => ends.push((version, at)),
        }
    }
}

/// Figures over a period, of the plan or of the catalogue.
struct Span<F> {
    figures: F,
    period: Period,
}

/// Which of `planned` need a new version, and which of `published` no longer have a place. All periods are cut to
/// begin at `now` or later, none is empty.
fn compare<F: PartialEq>(published: &[Span<F>], planned: &[Span<F>]) -> (Vec<usize>, Vec<usize>) {
    let stands = |wanted: &Span<F>| {
        published.iter().any(|old| {
            let (from, to) = old.period;
            // It also stands when it goes on too long and the next planned one takes over where it should end.
            let followed = wanted
                .period
                .1
                .is_some_and(|end| to.is_none_or(|to| end < to) && planned.iter().any(|next| next.period.0 == end));
            old.figures == wanted.figures && from == wanted.period.0 && (to == wanted.period.1 || followed)
        })
    };
    let new = planned.iter().enumerate().filter(|(_, wanted)| !stands(wanted)).map(|(at, _)| at).collect();
    let homeless = |old: &Span<F>| !planned.iter().any(|wanted| overlap(wanted.period, old.period));
    let vanished = published.iter().enumerate().filter(|(_, old)| homeless(old)).map(|(at, _)| at).collect();
    (new, vanished)
}

/// `period` from `now` on; `None` when nothing is left of it.
fn from_now<F>(figures: F, period: Period, now: DateTime<Utc>) -> Option<Span<F>> {
    let period = (period.0.max(now), period.1);
    (!is_empty(period)).then_some(Span { figures, period })
}

fn rates(
    published: &Pair,
    planned: &PlannedPair,
    now: DateTime<Utc>,
    change: &mut PairChange,
    vanished: &mut Vec<Vanished>,
) {
    let mut tiers: Vec<&TierScope> = Vec::new();
    for tier in published.rates.iter().map(|rate| &rate.tier).chain(planned.rates.iter().map(|rate| &rate.tier)) {
        if !tiers.contains(&tier) {
            tiers.push(tier);
        }
    }
    for tier in tiers {
        let live = published.rates.iter().filter(|rate| rate.tier == *tier && !is_empty(rate.period()));
        let (old, old_spans): (Vec<_>, Vec<_>) =
            live.filter_map(|rate| Some((rate, from_now(RateFigures::of(rate), rate.period(), now)?))).unzip();
        let wanted = planned.rates.iter().filter(|rate| rate.tier == *tier);
        let (new, new_spans): (Vec<_>, Vec<_>) = wanted
            .filter_map(|rate| Some((rate, from_now(rate.figures, (rate.starts.unwrap_or(now), rate.ends), now)?)))
            .unzip();
        let (added, homeless) = compare(&old_spans, &new_spans);
        change.rates.extend(added.into_iter().map(|at| new[at].clone()));
        let rate = |at: usize| Vanished::Rate { tier: tier.clone(), version: old[at].version };
        vanished.extend(homeless.into_iter().map(rate));
    }
}

fn campaigns(
    published: &Pair,
    planned: &PlannedPair,
    now: DateTime<Utc>,
    change: &mut PairChange,
    vanished: &mut Vec<Vanished>,
) {
    let mut codes: Vec<&str> = Vec::new();
    let all = published.campaigns.iter().map(|campaign| campaign.code.as_str());
    for code in all.chain(planned.campaigns.iter().map(|campaign| campaign.code.as_str())) {
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    for code in codes {
        let live = published.campaigns.iter().filter(|old| old.code == code && !is_empty(old.period()));
        let old: Vec<_> = live.filter_map(|old| from_now(CampaignFigures::of(old), old.period(), now)).collect();
        let wanted = planned.campaigns.iter().filter(|campaign| campaign.code == code);
        let (new, new_spans): (Vec<_>, Vec<_>) = wanted
            .filter_map(|new| Some((new, from_now(new.figures.clone(), (new.starts, Some(new.ends)), now)?)))
            .unzip();
        let (added, homeless) = compare(&old, &new_spans);
        change.campaigns.extend(added.into_iter().map(|at| new[at].clone()));
        vanished.extend(homeless.into_iter().map(|_| Vanished::Campaign { code: code.to_owned() }));
    }
}

impl Rate {
    fn period(&self) -> Period {
        (self.valid_from, self.ends_at())
    }
}

impl Campaign {
    fn period(&self) -> Period {
        (self.valid_from, Some(self.superseded_from.map_or(self.valid_to, |end| end.min(self.valid_to))))
    }
}

#[cfg(test)]
mod tests;
