//! Key figures of an alliance: what each is, how it is come to, and where it is to stay.
//!
//! Everything is a whole number in the figure's unit, worked out from sums of the journal; a figure whose denominator is
//! nothing is no figure. Sources: docs/kpis.md.

use super::capped::{plus, total};
use super::ids::Slug;
use super::money::{Millionths, parse_decimal};
use std::fmt;

/// What is worked out for every brand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kpi {
    UsageRate,
    BurnVelocity,
    BurnRatio,
    Breakage,
    Liability,
    Completion,
    TimeToPost,
    TakenBack,
    Flow,
    BenefitUses,
    BenefitCost,
    RevenueShare,
    Retention,
    Repurchase,
}

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Hundredths of a per cent.
    Share,
    /// Hundredths of one.
    Times,
    Milliseconds,
    Count,
    /// Millionths of the alliance's currency.
    Money,
}

impl Unit {
    /// A value as a terminal shows it and `parse` reads it back, with its sign of unit.
    pub fn text(self, value: i64) -> String {
        let hundredths =
            || format!("{}{}.{:02}", if value < 0 { "-" } else { "" }, value.abs() / 100, value.abs() % 100);
        match self {
            Unit::Share => hundredths() + " %",
            Unit::Times => hundredths(),
            Unit::Milliseconds => format!("{value} ms"),
            Unit::Count => value.to_string(),
            Unit::Money => Millionths::new(value).to_string(),
        }
    }

    /// Reads `12.5` in per cent or times, whole milliseconds or counts, and money; `None` for anything else.
    pub fn parse(self, text: &str) -> Option<i64> {
        match self {
            Unit::Share | Unit::Times => {
                let millionths = parse_decimal(text.trim_end_matches('%').trim_end())?;
                (millionths % 10_000 == 0).then_some(())?;
                i64::try_from(millionths / 10_000).ok()
            }
            Unit::Milliseconds => text.trim_end_matches("ms").trim_end().parse().ok(),
            Unit::Count => text.parse().ok(),
            Unit::Money => i64::try_from(parse_decimal(text)?).ok(),
        }
    }
}

/// Over which time it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The days that were asked for.
    Days,
    /// The calendar month of the last of them, as far as it has come.
    Month,
    /// The end of the last of them.
    End,
}

/// Everything that is said of one: code, name and definition in English and Chinese, unit, span, usual bounds.
struct Said {
    code: &'static str,
    name: (&'static str, &'static str),
    means: (&'static str, &'static str),
    unit: Unit,
    span: Span,
    bounds: Bounds,
}

/// Where a figure is to stay, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub at_least: Option<i64>,
    pub at_most: Option<i64>,
}

impl Bounds {
    const NONE: Bounds = Bounds { at_least: None, at_most: None };

    const fn at_least(value: i64) -> Bounds {
        Bounds { at_least: Some(value), at_most: None }
    }

    const fn at_most(value: i64) -> Bounds {
        Bounds { at_least: None, at_most: Some(value) }
    }

    pub fn is_crossed_by(self, value: i64) -> bool {
        self.at_least.is_some_and(|least| value < least) || self.at_most.is_some_and(|most| value > most)
    }

    pub fn is_none(self) -> bool {
        self == Bounds::NONE
    }
}

/// In the order they are shown.
const SAID: [(Kpi, Said); 14] = [
    (
        Kpi::UsageRate,
        Said {
            code: "usage_rate",
            name: ("Exchange usage rate", "兑换使用率"),
            means: (
                "Members who have turned points into another brand's this month, at least once and not undone, of those who are linked: active members with an open link whose waiting time is over.",
                "本月至少成功转换一次（不含已撤销）的会员，占已关联会员（状态正常且关联已过等待期）的比例。",
            ),
            unit: Unit::Share,
            span: Span::Month,
            bounds: Bounds::NONE,
        },
    ),
    (
        Kpi::BurnVelocity,
        Said {
            code: "burn_velocity",
            name: ("Burn velocity, a day", "日均消耗速度"),
            means: (
                "Points redeemed and converted out a day, less what came back, of the mean of the outstanding points at the beginning and end of each day.",
                "每日扣减与转出积分（已减退回），占当日期初与期末未使用积分平均值的比例。",
            ),
            unit: Unit::Share,
            span: Span::Days,
            bounds: Bounds::NONE,
        },
    ),
    (
        Kpi::BurnRatio,
        Said {
            code: "burn_ratio",
            name: ("Burned of issued", "消耗与发放比"),
            means: (
                "Points redeemed and converted out, less what came back, of the points issued in the same days.",
                "同期扣减与转出积分（已减退回），占发放积分的比例。",
            ),
            unit: Unit::Share,
            span: Span::Days,
            bounds: Bounds::NONE,
        },
    ),
    (
        Kpi::Breakage,
        Said {
            code: "breakage",
            name: ("Breakage", "失效率"),
            means: (
                "Points that expired, of all that left members' accounts in these days: expired, redeemed and converted out. What is not used yet counts as nothing. The brand's own estimate stands in the liability report.",
                "期内失效积分，占期内离开会员账户的全部积分（失效、扣减、转出）的比例。尚未使用的积分不计。品牌自行陈述的估计见负债表。",
            ),
            unit: Unit::Share,
            span: Span::Days,
            bounds: Bounds::at_most(4_000),
        },
    ),
    (
        Kpi::Liability,
        Said {
            code: "liability",
            name: ("Liability", "积分负债"),
            means: (
                "Outstanding points at the end of the last day at the brand's present unit cost. Nothing is taken off for breakage.",
                "期末未使用积分 × 品牌现行单位成本，未扣除失效估计。",
            ),
            unit: Unit::Money,
            span: Span::End,
            bounds: Bounds::NONE,
        },
    ),
    (
        Kpi::Completion,
        Said {
            code: "completion",
            name: ("Completion", "完成率"),
            means: (
                "Conversions of the brand's points that were posted, of those posted and those accepted and then released. Refusals are answered before anything is accepted and do not count.",
                "该品牌积分转出中已入账的转换，占已入账与受理后释放之和的比例。受理前的拒绝不计。",
            ),
            unit: Unit::Share,
            span: Span::Days,
            bounds: Bounds::at_least(9_900),
        },
    ),
    (
        Kpi::TimeToPost,
        Said {
            code: "time_to_post",
            name: ("Time to post, 95 of 100", "入账时间（95分位）"),
            means: (
                "Within which 95 of 100 conversions between two ledgers were posted after they were accepted, exact to a fifth. In one ledger acceptance and posting are one instant.",
                "跨账本转换自受理至入账，95% 所需的时间，精确至约五分之一。同一账本内受理即入账。",
            ),
            unit: Unit::Milliseconds,
            span: Span::Days,
            bounds: Bounds::at_most(60_000),
        },
    ),
    (
        Kpi::TakenBack,
        Said {
            code: "taken_back",
            name: ("Taken back", "撤销与冲回率"),
            means: (
                "Undos and reversals of these days, of the conversions of the brand's points posted in them.",
                "期内撤销与冲回次数，占期内该品牌积分转出次数的比例。",
            ),
            unit: Unit::Share,
            span: Span::Days,
            bounds: Bounds::at_most(1_000),
        },
    ),
    (
        Kpi::Flow,
        Said {
            code: "flow",
            name: ("Net flow against its mean", "净流量与均值之比"),
            means: (
                "Of the brand's pair that strays the farthest, of those with 20 conversions or more on the last day: the net value that flowed on it, times the mean of its net values of the 28 days before.",
                "该品牌末日转换达 20 次的品牌对中偏离最大者：末日净流量价值，为此前 28 日净流量均值的倍数。",
            ),
            unit: Unit::Times,
            span: Span::End,
            bounds: Bounds::at_most(300),
        },
    ),
    (
        Kpi::BenefitUses,
        Said {
            code: "benefit_uses",
            name: ("Benefit uses", "权益使用"),
            means: (
                "Uses of the brand's benefits at a till, less those taken back. A benefit that was claimed and not used is none.",
                "该品牌所提供权益的核销次数，已减冲回。已领取未使用的不计。",
            ),
            unit: Unit::Count,
            span: Span::Days,
            bounds: Bounds::NONE,
        },
    ),
    (
        Kpi::BenefitCost,
        Said {
            code: "benefit_cost",
            name: ("Benefits settled", "权益结算金额"),
            means: (
                "What those who pay owe the brand for its benefits, by the days it was settled.",
                "付费方因该品牌权益应付的金额，按结算日计。",
            ),
            unit: Unit::Money,
            span: Span::Days,
            bounds: Bounds::NONE,
        },
    ),
    (
        Kpi::RevenueShare,
        Said {
            code: "revenue_share",
            name: ("Linked members' share of spending", "关联会员消费占比"),
            means: (
                "Of what members spent this month, as far as the brand sends purchases: the part of those who are linked.",
                "本月会员消费额（以品牌上报为准）中，已关联会员的占比。",
            ),
            unit: Unit::Share,
            span: Span::Month,
            bounds: Bounds::NONE,
        },
    ),
    (
        Kpi::Retention,
        Said {
            code: "retention",
            name: ("Retention", "留存率"),
            means: (
                "Of the members who bought in the month before, those who have bought this month.",
                "上月有消费的会员中，本月仍有消费的比例。",
            ),
            unit: Unit::Share,
            span: Span::Month,
            bounds: Bounds::NONE,
        },
    ),
    (
        Kpi::Repurchase,
        Said {
            code: "repurchase",
            name: ("Repurchase", "复购率"),
            means: (
                "Of the members who have bought this month, those who have bought twice or more.",
                "本月有消费的会员中，消费两次及以上的比例。",
            ),
            unit: Unit::Share,
            span: Span::Month,
            bounds: Bounds::NONE,
        },
    ),
];

/// A share of fewer is not held against its bounds: one of three says nothing.
pub const JUDGED_FROM: i64 = 20;
/// Days before the last with which a pair's flow is compared.
pub const FLOW_DAYS: i64 = 28;
/// For so long after its end a month takes in what comes late: purchases of its last days, conversions that are undone.
pub const LATE_DAYS: u64 = 7;

impl Kpi {
    pub fn all() -> impl Iterator<Item = Kpi> {
        SAID.iter().map(|(kpi, _)| *kpi)
    }

    pub fn code(self) -> &'static str {
        self.said().code
    }

    pub fn parse(text: &str) -> Option<Kpi> {
        Kpi::all().find(|kpi| kpi.code() == text)
    }

    /// English, Chinese.
    pub fn name(self) -> (&'static str, &'static str) {
        self.said().name
    }

    /// How it is counted, in English and Chinese.
    pub fn definition(self) -> (&'static str, &'static str) {
        self.said().means
    }

    pub fn unit(self) -> Unit {
        self.said().unit
    }

    pub fn span(self) -> Span {
        self.said().span
    }

    /// Where it is to stay as long as nobody has said otherwise.
    pub fn usual(self) -> Bounds {
        self.said().bounds
    }

    fn said(self) -> &'static Said {
        let at = SAID.iter().position(|(kpi, _)| *kpi == self).unwrap_or_default();
        &SAID[at].1
    }
}

impl fmt::Display for Kpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A brand's points on one day, as the journal moved them; what leaves is negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Day {
    pub issued: i64,
    pub converted_in: i64,
    pub converted_out: i64,
    pub redeemed: i64,
    pub expired: i64,
    pub adjusted: i64,
}

impl Day {
    pub fn total(&self) -> i64 {
        total([self.issued, self.converted_in, self.converted_out, self.redeemed, self.expired, self.adjusted])
    }

    /// What was used: never less than nothing, though more may come back on a day than goes.
    pub fn burned(&self) -> i64 {
        plus(self.converted_out, self.redeemed).saturating_neg().max(0)
    }

    fn add(&mut self, other: &Day) {
        self.issued = plus(self.issued, other.issued);
        self.converted_in = plus(self.converted_in, other.converted_in);
        self.converted_out = plus(self.converted_out, other.converted_out);
        self.redeemed = plus(self.redeemed, other.redeemed);
        self.expired = plus(self.expired, other.expired);
        self.adjusted = plus(self.adjusted, other.adjusted);
    }
}

/// A brand's points over several days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Points {
    /// Outstanding before the first day.
    pub opening: i64,
    pub days: Vec<Day>,
}

impl Points {
    pub fn sum(&self) -> Day {
        self.days.iter().fold(Day::default(), |mut sum, day| {
            sum.add(day);
            sum
        })
    }

    pub fn closing(&self) -> i64 {
        plus(self.opening, self.sum().total())
    }

    /// Twice the mean of what was outstanding at the beginning and end of each day, summed.
    fn twice_outstanding(&self) -> i128 {
        let (mut opening, mut sum) = (self.opening, 0);
        for day in &self.days {
            let closing = plus(opening, day.total());
            sum += i128::from(opening) + i128::from(closing);
            opening = closing;
        }
        sum
    }

    pub fn burn_velocity(&self) -> Option<i64> {
        share(2 * i128::from(self.sum().burned()), self.twice_outstanding())
    }

    pub fn burn_ratio(&self) -> Option<i64> {
        share(self.sum().burned(), self.sum().issued)
    }

    pub fn breakage(&self) -> Option<i64> {
        let sum = self.sum();
        let expired = sum.expired.saturating_neg().max(0);
        share(expired, i128::from(expired) + i128::from(sum.burned()))
    }
}

/// `part` of `whole` in hundredths of a per cent, rounded down; nothing of nothing is no share.
pub fn share(part: impl Into<i128>, whole: impl Into<i128>) -> Option<i64> {
    let whole = whole.into();
    if whole <= 0 {
        return None;
    }
    i64::try_from(part.into() * 10_000 / whole).ok()
}

/// Counts by step of waiting; a step's time is at most 2^(step / 4) milliseconds.
pub fn within(counts: &[(i16, i64)], per_cent: i64) -> Option<i64> {
    let all: i64 = counts.iter().map(|(_, count)| count).sum();
    let wanted = (i128::from(all) * i128::from(per_cent)).div_euclid(100) + i128::from(all * per_cent % 100 != 0);
    let mut sorted = counts.to_vec();
    sorted.sort_unstable();
    let mut seen = 0;
    let step = sorted.iter().find(|(_, count)| {
        seen += i128::from(*count);
        seen >= wanted.max(1)
    })?;
    Some(step_ms(step.0))
}

/// 2^(step / 4), in whole milliseconds, rounded up: whole doublings are shifts, the quarters are 1, 1.189, 1.414, 1.682.
fn step_ms(step: i16) -> i64 {
    const QUARTERS: [i64; 4] = [10_000, 11_893, 14_143, 16_818];
    let (doublings, quarter) = (u32::from(step.unsigned_abs()) / 4, usize::from(step.unsigned_abs() % 4));
    let exact = i128::from(QUARTERS[quarter]) << doublings.min(60);
    i64::try_from((exact + 9_999) / 10_000).unwrap_or(i64::MAX)
}

/// The last day's net against the mean of those before it, in hundredths; `None` where nothing flowed before.
pub fn flow(before: &[i64], last: i64) -> Option<i64> {
    let sum: i128 = before.iter().map(|net| i128::from(net.unsigned_abs())).sum();
    if sum == 0 {
        return None;
    }
    let days = i128::try_from(before.len()).unwrap_or(i128::MAX);
    i64::try_from(i128::from(last.unsigned_abs()) * 100 * days / sum).ok()
}

/// Whose bound it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    pub kpi: Kpi,
    /// Of each brand that has none of its own, where there is none.
    pub partner: Option<Slug>,
    pub bounds: Bounds,
}

/// Where a brand's figure is to stay: its own bound, the one for each, or the usual one.
pub fn bounds_of(kpi: Kpi, partner: &Slug, set: &[Bound]) -> Bounds {
    let of = |whose: Option<&Slug>| set.iter().find(|bound| bound.kpi == kpi && bound.partner.as_ref() == whose);
    of(Some(partner)).or_else(|| of(None)).map_or_else(|| kpi.usual(), |bound| bound.bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_code_of_its_own_and_is_said_in_both_languages() {
        for kpi in Kpi::all() {
            assert_eq!(Kpi::parse(kpi.code()), Some(kpi));
            let (name, means) = (kpi.name(), kpi.definition());
            assert!(!name.0.is_empty() && means.0.ends_with('.'), "{kpi}");
            assert!(!name.1.is_ascii() && means.1.ends_with('。'), "{kpi}");
        }
    }

    #[test]
    fn the_document_says_what_the_code_does() {
        let document = include_str!("../../docs/kpis.md");
        for kpi in Kpi::all() {
            let (code, name) = (kpi.code(), kpi.name());
            assert!(document.contains(&format!("| `{code}` | {} | {} |", name.0, name.1)), "{kpi}");
            assert!(document.contains(&format!("**`{code}`.** {}\n", kpi.definition().0)), "{kpi}");
        }
    }

    #[test]
    fn a_value_is_read_back_as_it_is_written() {
        for unit in [Unit::Share, Unit::Times, Unit::Milliseconds, Unit::Count, Unit::Money] {
            for value in [0, 7, 50, 1_250, 123_456_789] {
                assert_eq!(unit.parse(&unit.text(value)), Some(value), "{}", unit.text(value));
            }
        }
        assert_eq!((Unit::Share.parse("99"), Unit::Times.parse("3.5")), (Some(9_900), Some(350)));
        for (unit, bad) in
            [(Unit::Share, "1.234"), (Unit::Share, "a lot"), (Unit::Count, "1.5"), (Unit::Milliseconds, "1 s")]
        {
            assert_eq!(unit.parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn points_that_are_used_are_counted_against_what_was_there() {
        let day = Day { issued: 200, redeemed: -100, converted_out: -50, expired: -50, ..Day::default() };
        let points = Points { opening: 1_000, days: vec![day, Day { redeemed: -100, ..Day::default() }] };
        // 1,000, 1,000 and 900 at the ends: a mean of 1,000 and 950.
        assert_eq!((points.closing(), points.burn_velocity()), (900, share(250, 1_950)));
        assert_eq!((points.burn_ratio(), points.breakage()), (Some(12_500), share(50, 300)));
        assert_eq!(Points::default().burn_velocity(), None);
    }

    #[test]
    fn more_may_come_back_than_goes() {
        let points = Points { opening: 10, days: vec![Day { converted_out: 5, ..Day::default() }] };
        assert_eq!((points.burn_velocity(), points.breakage()), (Some(0), None));
    }

    #[test]
    fn nonsense_gives_a_figure_or_none_and_stops_nothing() {
        let day = Day { issued: i64::MAX, redeemed: -i64::MAX, converted_out: -i64::MAX, ..Day::default() };
        let points = Points { opening: i64::MAX, days: vec![day; 2] };
        assert_eq!((points.closing(), points.burn_ratio(), points.breakage()), (0, Some(10_000), Some(0)));
        assert_eq!(points.burn_velocity(), None, "what was there comes to nothing");
    }

    #[test]
    fn waiting_is_told_by_the_step_that_most_are_within() {
        assert_eq!(within(&[], 95), None);
        assert_eq!(within(&[(0, 1)], 50), Some(1));
        // 19 of 20 within the first.
        assert_eq!(within(&[(60, 1), (40, 19)], 95), Some(1_024));
        assert_eq!(within(&[(60, 2), (40, 19)], 95), Some(32_768));
        assert_eq!((step_ms(41), step_ms(42), step_ms(43), step_ms(1)), (1_218, 1_449, 1_723, 2));
        assert!(step_ms(200) > 1 << 49);
    }

    #[test]
    fn a_flow_is_held_against_its_mean_whichever_way_it_goes() {
        assert_eq!(flow(&[], 5), None);
        assert_eq!(flow(&[0, 0], 5), None);
        assert_eq!(flow(&[-10, 10, 40, 0], -45), Some(300));
    }

    #[test]
    fn a_brands_own_bound_comes_before_the_one_for_each() {
        let (own, other): (Slug, Slug) = ("aa".parse().expect("a slug"), "bb".parse().expect("a slug"));
        let bound = |partner: Option<&Slug>, bounds| Bound { kpi: Kpi::Completion, partner: partner.cloned(), bounds };
        assert_eq!(bounds_of(Kpi::Completion, &own, &[]), Bounds::at_least(9_900));
        let set = [bound(None, Bounds::at_least(9_000)), bound(Some(&own), Bounds::NONE)];
        assert_eq!(bounds_of(Kpi::Completion, &own, &set), Bounds::NONE);
        assert_eq!(bounds_of(Kpi::Completion, &other, &set), Bounds::at_least(9_000));
        assert!(Bounds::at_least(9_000).is_crossed_by(8_999) && !Bounds::at_least(9_000).is_crossed_by(9_000));
        assert!(Bounds::at_most(10).is_crossed_by(11) && !Bounds::NONE.is_crossed_by(i64::MAX));
    }
}
