//! Changes of one direction, day by day.

use super::cut::{Cut, CutKind};
use super::*;
use crate::domain::catalogue::{Name, Party, Tier};
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::rate::Ratio;
use chrono::{Days, TimeZone};

fn day(number: u64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).single().expect("an instant") + Days::new(number)
}

fn points(value: i64) -> Points {
    Points::new(value).expect("points")
}

fn rate(give: i64, get: i64, starts: Option<u64>, ends: Option<u64>) -> PlannedRate {
    let ratio = Ratio::new(get, give).expect("a ratio");
    let step = points(ratio.den());
    let figures = RateFigures { ratio, minimum: step, step, maximum: None, public: true };
    PlannedRate { tier: TierScope::Any, figures, starts: starts.map(day), ends: ends.map(day) }
}

fn campaign(bonus: i64, starts: u64, ends: u64) -> PlannedCampaign {
    let figures = CampaignFigures {
        name: Name::default(),
        tier: TierScope::Any,
        bonus_basis_points: bonus,
        funder: Party::To,
        stacks: false,
    };
    PlannedCampaign { code: "bonus".into(), figures, starts: day(starts), ends: day(ends) }
}

fn plan(rates: Vec<PlannedRate>, campaigns: Vec<PlannedCampaign>) -> PlannedPair {
    let terms = AgreementTerms {
        settlement_price: Millionths::new(20_000),
        fee_basis_points: 0,
        fee_payer: Party::From,
        notice_days: 14,
        undo_s: 900,
        renews_on_arrival: false,
        exposure_limit: None,
        reversal_needs_confirmation: true,
        target_pays_spent: false,
        grace_days: 30,
        dispute_days: 30,
    };
    PlannedPair { terms, rates, campaigns }
}

fn ladder() -> Vec<Tier> {
    vec![Tier { code: "l1".into(), name: Name::default(), never_expires: false }]
}

/// A direction and the versions given out in it.
#[derive(Default)]
struct Book {
    pair: Pair,
    last: Versions,
}

impl Book {
    fn change(&self, plan: &PlannedPair, on: u64) -> PairChange {
        PairChange::between(&self.pair, plan, day(on)).expect("nothing vanishes")
    }

    /// Publishes what `plan` changes on that day; the first cut it makes.
    fn publish(&mut self, plan: &PlannedPair, on: u64) -> Option<Cut> {
        let founding = self.pair.agreements.is_empty().then(|| day(0));
        let update = self.change(plan, on).settle(&self.pair, &self.last, Moment { now: day(on), founding });
        let after = update.applied(&self.pair);
        let cut = cut::first(&self.pair, &after, &ladder(), day(on));
        self.last.agreement += i64::from(update.agreement.is_some());
        self.last.rate += i64::try_from(update.rates.len()).expect("few");
        for campaign in &update.campaigns {
            self.last.campaigns.insert(campaign.code.clone(), campaign.version);
        }
        self.pair = after;
        self.no_overlap();
        assert!(self.change(plan, on).is_empty(), "publishing twice changes nothing more");
        cut
    }

    /// What the exclusion constraints hold.
    fn no_overlap(&self) {
        for (at, rate) in self.pair.rates.iter().enumerate() {
            for other in &self.pair.rates[at + 1..] {
                assert!(rate.tier != other.tier || !overlap(rate.period(), other.period()), "{rate:?} {other:?}");
            }
        }
    }

    fn get(&self, on: u64) -> Option<(i64, i64)> {
        self.pair.rate("l1", day(on)).map(|rate| (rate.ratio.den(), rate.ratio.num()))
    }
}

#[test]
fn the_first_publication_begins_at_the_founding_and_a_rise_when_it_is_published() {
    let mut book = Book::default();
    assert_eq!(book.publish(&plan(vec![rate(2, 1, None, None)], vec![]), 40), None);
    assert_eq!(book.get(0), Some((2, 1)));
    assert_eq!(book.publish(&plan(vec![rate(1, 1, None, None)], vec![]), 50), None);
    assert_eq!((book.get(49), book.get(50)), (Some((2, 1)), Some((1, 1))));
    assert_eq!(book.pair.rates[1].version, 2);
}

#[test]
fn a_cut_is_told_with_the_day_it_begins() {
    let mut book = Book::default();
    book.publish(&plan(vec![rate(1, 1, None, None)], vec![]), 0);
    let wanted = plan(vec![rate(1, 1, None, Some(30)), rate(2, 1, Some(30), None)], vec![]);
    let found = book.publish(&wanted, 5).expect("a cut");
    assert_eq!(found.at, day(30));
    assert_eq!(found.kind.to_string(), "gets 2:1 instead of 1:1");
    // The old version goes on until the new one takes over: nothing but one row is written.
    assert_eq!(book.pair.rates.len(), 2);
    assert_eq!((book.get(29), book.get(30)), (Some((1, 1)), Some((2, 1))));
}

#[test]
fn a_week_of_a_better_rate_is_three_spans_and_no_cut() {
    let mut book = Book::default();
    book.publish(&plan(vec![rate(2, 1, None, None)], vec![]), 0);
    let spans = vec![rate(2, 1, None, Some(10)), rate(1, 1, Some(10), Some(17)), rate(2, 1, Some(17), None)];
    assert_eq!(book.publish(&plan(spans, vec![]), 3), None);
    assert_eq!((book.get(9), book.get(12), book.get(17)), (Some((2, 1)), Some((1, 1)), Some((2, 1))));
    // The week is over: its entries may leave the file.
    assert!(book.change(&plan(vec![rate(2, 1, None, None)], vec![]), 20).is_empty());
}

#[test]
fn a_later_version_may_be_replaced_before_it_begins() {
    let mut book = Book::default();
    book.publish(&plan(vec![rate(1, 1, None, None)], vec![]), 0);
    book.publish(&plan(vec![rate(1, 1, None, Some(30)), rate(4, 1, Some(30), None)], vec![]), 5);
    let milder = plan(vec![rate(1, 1, None, Some(30)), rate(4, 3, Some(30), None)], vec![]);
    assert_eq!(book.publish(&milder, 6), None);
    assert_eq!(book.get(30), Some((4, 3)));
}

#[test]
fn what_is_published_cannot_vanish_but_be_given_an_end() {
    let mut book = Book::default();
    book.publish(&plan(vec![rate(1, 1, None, None)], vec![campaign(1_000, 0, 90)]), 0);
    let gone = PairChange::between(&book.pair, &plan(vec![], vec![]), day(5)).expect_err("vanished");
    assert_eq!(gone.len(), 2);
    let found = book.publish(&plan(vec![rate(1, 1, None, Some(30))], vec![campaign(1_000, 0, 90)]), 5);
    assert_eq!(found.map(|cut| (cut.at, cut.kind)), Some((day(30), CutKind::NoRate)));
}

#[test]
fn a_bonus_that_ends_early_or_shrinks_is_a_cut_and_one_that_ends_on_its_day_is_none() {
    let mut book = Book::default();
    book.publish(&plan(vec![rate(1, 1, None, None)], vec![campaign(1_000, 0, 90)]), 0);
    let found = book.publish(&plan(vec![rate(1, 1, None, None)], vec![campaign(1_000, 0, 60)]), 5);
    assert_eq!(found.map(|cut| cut.at), Some(day(60)));
    assert!(book.change(&plan(vec![rate(1, 1, None, None)], vec![]), 61).is_empty());
    assert_eq!(book.publish(&plan(vec![rate(1, 1, None, None)], vec![campaign(2_000, 0, 60)]), 6), None);
    let found = book.publish(&plan(vec![rate(1, 1, None, None)], vec![campaign(500, 0, 60)]), 7);
    assert_eq!(found.map(|cut| cut.kind), Some(CutKind::Bonus { before: 2_000, after: 500 }));
}

#[test]
fn minimum_maximum_and_step_cut_too() {
    let with = |minimum: i64, step: i64, maximum: Option<i64>| {
        let mut rate = rate(2, 1, None, None);
        rate.figures.minimum = points(minimum);
        rate.figures.step = points(step);
        rate.figures.maximum = maximum.map(points);
        plan(vec![rate], vec![])
    };
    let cut_from = |before: &PlannedPair, after: &PlannedPair| {
        let mut book = Book::default();
        book.publish(before, 0);
        book.publish(after, 1).map(|cut| cut.kind)
    };
    let base = with(12, 4, Some(400));
    assert_eq!(
        cut_from(&base, &with(16, 4, Some(400))),
        Some(CutKind::Minimum { before: points(12), after: points(16) })
    );
    assert_eq!(cut_from(&base, &with(12, 6, Some(402))), Some(CutKind::Step { before: points(4), after: points(6) }));
    assert_eq!(cut_from(&base, &with(12, 4, Some(396))), Some(CutKind::Maximum { after: points(396) }));
    assert_eq!(cut_from(&base, &with(2, 2, None)), None);
}
