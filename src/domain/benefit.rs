//! Benefits: what a partner, the *giver*, offers to members of others and of its own, and to whom on which terms.
//!
//! A benefit has offers, each for the members of one brand; the first that a member meets is the one it gets. Who pays the
//! giver is said in the offer, apart from what the thing is worth to a member.

mod terms;

pub use terms::BenefitTerms;

use super::catalogue::Name;
use super::ids::{BenefitId, Slug};
use super::money::Millionths;
use super::points::Points;
use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc};

/// Offers of one benefit.
pub const OFFERS_MAX: usize = 64;
/// Uses of one voucher.
pub const USES_MAX: i32 = 1_000;
/// Days a voucher may be good for.
pub const USE_DAYS_MAX: u16 = 3_660;

/// A tier's code or a tag.
pub fn is_word(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=32).contains(&text.len()) && text.bytes().all(plain)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Ticket,
    /// An amount or a share off a bill.
    Coupon,
    /// For points, or points and cash.
    Goods,
    /// At an activity.
    Place,
    Service,
    /// What others may buy or do later.
    EarlyAccess,
    /// A product or a service to try.
    Trial,
}

impl Kind {
    pub const ALL: [(Kind, &'static str); 7] = [
        (Kind::Ticket, "ticket"),
        (Kind::Coupon, "coupon"),
        (Kind::Goods, "goods"),
        (Kind::Place, "place"),
        (Kind::Service, "service"),
        (Kind::EarlyAccess, "early_access"),
        (Kind::Trial, "trial"),
    ];

    pub fn code(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("ticket", |(_, code)| code)
    }

    pub fn parse(text: &str) -> Option<Kind> {
        Self::ALL.iter().find(|(_, code)| *code == text).map(|(kind, _)| *kind)
    }
}

/// What a coupon takes off a bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Discount {
    /// `amount`, from a bill of `from` on.
    Amount { amount: Millionths, from: Millionths },
    /// A share in basis points, from a bill of `from` on, at most so much.
    Share { basis_points: i64, from: Millionths, at_most: Option<Millionths> },
}

impl Discount {
    /// What comes off this bill, never more than it; `None` below the threshold. A share is floored to `unit`, the
    /// smallest coin.
    pub fn of(&self, bill: Millionths, unit: Millionths) -> Option<Millionths> {
        match *self {
            Discount::Amount { amount, from } => (bill >= from).then(|| amount.min(bill)),
            Discount::Share { basis_points, from, at_most } => {
                let share = (bill >= from).then(|| bill.floor_of(basis_points, 10_000))??;
                let coins = Millionths::new(share.get() - share.get().rem_euclid(unit.get().max(1)));
                Some(at_most.map_or(coins, |at_most| coins.min(at_most)))
            }
        }
    }
}

/// Until when a voucher may be used, both ends on the last day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UseUntil {
    Day(NaiveDate),
    /// So many days from the day it is issued: 0 is that day alone.
    Days(u16),
}

impl UseUntil {
    /// The last day; `None` beyond the calendar.
    pub fn last(self, issued: NaiveDate) -> Option<NaiveDate> {
        match self {
            UseUntil::Day(day) => Some(day),
            UseUntil::Days(days) => issued.checked_add_days(Days::new(u64::from(days))),
        }
    }
}

/// When the funder owes the giver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SettlesAt {
    /// When a member claims, used or not.
    Issue,
    /// When it is used at the till.
    Redemption,
}

/// Who pays the giver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Funder {
    /// The giver itself: nobody owes anybody anything.
    Giver,
    /// The brand whose member it is.
    Brand,
    Operator,
}

impl Funder {
    pub const ALL: [(Funder, &'static str); 3] =
        [(Funder::Giver, "giver"), (Funder::Brand, "brand"), (Funder::Operator, "operator")];

    pub fn code(self) -> &'static str {
        Self::ALL.iter().find(|(funder, _)| *funder == self).map_or("giver", |(_, code)| code)
    }

    pub fn parse(text: &str) -> Option<Funder> {
        Self::ALL.iter().find(|(_, code)| *code == text).map(|(funder, _)| *funder)
    }
}

/// On whose ladder an offer's tiers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ladder {
    /// The brand whose member it is: the tier it shows, granted or on trial too.
    Brand,
    /// The giver's: the tier the giver recognises, made of an earned one alone, so that a granted tier grants no other.
    Giver,
}

/// How often one person may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PerMember {
    pub count: u16,
    pub period: Period,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    Day,
    Month,
    Year,
    /// Once and for all.
    Ever,
}

impl Period {
    pub const ALL: [(Period, &'static str); 4] =
        [(Period::Day, "day"), (Period::Month, "month"), (Period::Year, "year"), (Period::Ever, "ever")];

    pub fn code(self) -> &'static str {
        Self::ALL.iter().find(|(period, _)| *period == self).map_or("ever", |(_, code)| code)
    }

    pub fn parse(text: &str) -> Option<Period> {
        Self::ALL.iter().find(|(_, code)| *code == text).map(|(period, _)| *period)
    }

    /// Its first day when `day` is in it; `None` is the beginning of all time.
    pub fn first(self, day: NaiveDate) -> Option<NaiveDate> {
        match self {
            Period::Day => Some(day),
            Period::Month => day.with_day(1),
            Period::Year => NaiveDate::from_ymd_opt(day.year(), 1, 1),
            Period::Ever => None,
        }
    }
}

/// What members of one brand get on which terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub to: Slug,
    /// Tier codes of `ladder`; empty is every tier.
    pub tiers: Vec<String>,
    pub ladder: Ladder,
    /// The brand has put it on its member.
    pub tag: Option<String>,
    /// The member's link to the giver is at least so many days old.
    pub link_days: Option<u16>,
    /// Only in the month of its birthday.
    pub birthday_month: bool,
    /// Earlier, or later, than the benefit's own beginning.
    pub claims_from: Option<DateTime<Utc>>,
    /// Of the brand's own points.
    pub points: Points,
    /// What the member pays the giver beside.
    pub cash: Millionths,
    pub funder: Funder,
    /// What the funder owes the giver for it, whatever it is worth.
    pub cost: Millionths,
    pub per_member: Option<PerMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Benefit {
    pub id: BenefitId,
    pub giver: Slug,
    /// The giver's own code for it.
    pub code: String,
    pub version: i64,
    pub kind: Kind,
    pub name: Name,
    pub description: Option<Name>,
    /// What it is worth to a member, as the giver says.
    pub face_value: Option<Millionths>,
    pub discount: Option<Discount>,
    pub claims_from: Option<DateTime<Utc>>,
    pub claims_until: Option<DateTime<Utc>>,
    pub use_until: UseUntil,
    /// Days on which it may not be used, both ends included.
    pub blackouts: Vec<(NaiveDate, NaiveDate)>,
    /// Vouchers in all; `None` is as many as are wanted.
    pub quota: Option<i64>,
    /// Of one voucher.
    pub uses: i32,
    /// Whether it may be used with other vouchers for one bill.
    pub stacks: bool,
    pub settles_at: SettlesAt,
    /// Codes are the giver's, from a pool it has uploaded.
    pub pooled: bool,
    pub open: bool,
    pub offers: Vec<Offer>,
}

/// The tier a member shows on this day: a granted or trial one is over after its last day, then it is the earned one.
pub fn shown_tier(shown: String, until: Option<NaiveDate>, earned: &str, day: NaiveDate) -> String {
    if until.is_none_or(|until| day <= until) { shown } else { earned.to_owned() }
}

/// A member as a benefit looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimant {
    pub partner: Slug,
    /// As shown: earned, granted or on trial.
    pub tier: String,
    /// The tier of the giver's ladder that the giver recognises in the earned one.
    pub recognised: Option<String>,
    pub tags: Vec<String>,
    pub birth_month: Option<u32>,
    /// Since when it is linked to a membership of the giver.
    pub linked_since: Option<DateTime<Utc>>,
}

/// Why a member may not have it, the first of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// The giver has ended it.
    Closed,
    NotYet,
    Over,
    /// No offer to members of this brand.
    Brand,
    Tier,
    Tag,
    Link,
    Birthday,
}

impl Unmet {
    pub const ALL: [(Unmet, &'static str); 8] = [
        (Unmet::Closed, "closed"),
        (Unmet::NotYet, "not_yet"),
        (Unmet::Over, "over"),
        (Unmet::Brand, "brand"),
        (Unmet::Tier, "tier"),
        (Unmet::Tag, "tag"),
        (Unmet::Link, "link"),
        (Unmet::Birthday, "birthday"),
    ];

    pub fn code(self) -> &'static str {
        Self::ALL.iter().find(|(unmet, _)| *unmet == self).map_or("brand", |(_, code)| code)
    }

    pub fn parse(text: &str) -> Option<Unmet> {
        Self::ALL.iter().find(|(_, code)| *code == text).map(|(unmet, _)| *unmet)
    }

    pub fn text(self) -> &'static str {
        match self {
            Unmet::Closed => "it is not offered any more",
            Unmet::NotYet => "it cannot be claimed yet",
            Unmet::Over => "it could be claimed until a while ago",
            Unmet::Brand => "it is not offered to members of this brand",
            Unmet::Tier => "it is for another tier",
            Unmet::Tag => "it is for chosen members",
            Unmet::Link => "the link to the brand that gives it is missing or too young",
            Unmet::Birthday => "it is for the month of the member's birthday",
        }
    }
}

impl Benefit {
    /// The offer this member gets at this moment, and its place among the offers.
    pub fn offer_for(&self, who: &Claimant, at: DateTime<Utc>, day: NaiveDate) -> Result<(usize, &Offer), Unmet> {
        if !self.open {
            return Err(Unmet::Closed);
        }
        if self.claims_until.is_some_and(|until| at >= until) {
            return Err(Unmet::Over);
        }
        // Of several refusals, the one of the offer that came nearest.
        let mut nearest = Unmet::Brand;
        for (place, offer) in self.offers.iter().enumerate().filter(|(_, offer)| offer.to == who.partner) {
            match self.unmet(offer, who, at, day) {
                None => return Ok((place, offer)),
                Some(unmet) if nearest == Unmet::Brand => nearest = unmet,
                Some(_) => {}
            }
        }
        Err(nearest)
    }

    fn unmet(&self, offer: &Offer, who: &Claimant, at: DateTime<Utc>, day: NaiveDate) -> Option<Unmet> {
        let tier = match offer.ladder {
            Ladder::Brand => Some(&who.tier),
            Ladder::Giver => who.recognised.as_ref(),
        };
        let young = |days: u16| {
            let least = TimeDelta::days(i64::from(days));
            who.linked_since.is_none_or(|since| at.signed_duration_since(since) < least)
        };
        let checks = [
            (Unmet::Tier, !offer.tiers.is_empty() && !tier.is_some_and(|tier| offer.tiers.contains(tier))),
            (Unmet::Tag, offer.tag.as_ref().is_some_and(|tag| !who.tags.contains(tag))),
            (Unmet::Link, offer.link_days.is_some_and(young)),
            (Unmet::Birthday, offer.birthday_month && who.birth_month != Some(day.month())),
            (Unmet::NotYet, offer.claims_from.or(self.claims_from).is_some_and(|from| at < from)),
        ];
        checks.into_iter().find(|(_, fails)| *fails).map(|(unmet, _)| unmet)
    }

    /// Who pays for an offer's vouchers and has to approve that first; `None`: the giver itself.
    pub fn payer<'a>(&self, offer: &'a Offer) -> Option<Payer<'a>> {
        match offer.funder {
            Funder::Giver => None,
            Funder::Brand if offer.to == self.giver => None,
            Funder::Brand => Some(Payer::Partner(&offer.to)),
            Funder::Operator => Some(Payer::Operator),
        }
    }

    /// Whether the voucher may be used on this day.
    pub fn is_black(blackouts: &[(NaiveDate, NaiveDate)], day: NaiveDate) -> bool {
        blackouts.iter().any(|(from, to)| (*from..=*to).contains(&day))
    }
}

/// Who pays somebody else's benefit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payer<'a> {
    Partner(&'a Slug),
    Operator,
}

#[cfg(test)]
mod tests;
