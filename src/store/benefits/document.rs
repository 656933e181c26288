//! A benefit's document: as its giver puts it and as it is stored, checked on the way in.

use crate::domain::benefit::{
    Benefit, Discount, Funder, Kind, Ladder, OFFERS_MAX, Offer, PerMember, Period, SettlesAt, USE_DAYS_MAX, USES_MAX,
    UseUntil, is_word,
};
use crate::domain::catalogue::Name;
use crate::domain::ids::{BenefitId, Slug};
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Tiers an offer may name, and blackouts a benefit may have.
const LIST_MAX: usize = 64;
/// Characters of a name; of a description.
const NAME_MAX: usize = 80;
const DESCRIPTION_MAX: usize = 1_000;

/// Which member is not fit, as a JSON pointer, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    pub pointer: String,
    pub detail: &'static str,
}

fn unfit<T>(pointer: impl Into<String>, detail: &'static str) -> Result<T, Unfit> {
    Err(Unfit { pointer: pointer.into(), detail })
}

/// What a text is read as, and what is said of one that is none: as it is read, so that its place is known.
struct Read<T>(fn(&str) -> Option<T>, &'static str);

impl<T> Visitor<'_> for Read<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).ok_or_else(|| E::custom(self.1))
    }
}

/// In one spelling: chrono alone would also read `2026-1-5`.
fn day<'de, D: Deserializer<'de>>(reader: D) -> Result<NaiveDate, D::Error> {
    let read = |text: &str| text.parse::<NaiveDate>().ok().filter(|day| day.to_string() == text);
    reader.deserialize_str(Read(read, "must be a date, YYYY-MM-DD"))
}

/// To the microsecond, and never the sixtieth second, which hardly any reader of an answer reads.
fn instant<'de, D: Deserializer<'de>>(reader: D) -> Result<DateTime<Utc>, D::Error> {
    let read = |text: &str| {
        let is_plain = matches!(text.as_bytes().get(10), Some(b'T' | b't'));
        let at = DateTime::parse_from_rfc3339(text).ok().filter(|_| is_plain)?;
        DateTime::from_timestamp_micros(at.timestamp_micros())
    };
    reader.deserialize_str(Read(read, "must be a time, RFC 3339"))
}

#[derive(Deserialize)]
struct Day(#[serde(deserialize_with = "day")] NaiveDate);

#[derive(Deserialize)]
struct Instant(#[serde(deserialize_with = "instant")] DateTime<Utc>);

fn maybe_day<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<NaiveDate>, D::Error> {
    Ok(Option::<Day>::deserialize(reader)?.map(|day| day.0))
}

fn maybe_instant<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    Ok(Option::<Instant>::deserialize(reader)?.map(|at| at.0))
}

#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NameJson {
    pub en: String,
    pub zh: String,
}

#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscountJson {
    /// One of `amount` and `percent`.
    #[schema(pattern = "^[0-9]{1,10}(\\.[0-9]{1,6})?$")]
    pub amount: Option<String>,
    #[schema(pattern = "^[0-9]{1,10}(\\.[0-9]{1,6})?$")]
    pub percent: Option<String>,
    #[schema(pattern = "^[0-9]{1,10}(\\.[0-9]{1,6})?$")]
    pub from: Option<String>,
    #[schema(pattern = "^[0-9]{1,10}(\\.[0-9]{1,6})?$")]
    pub at_most: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DaysJson {
    #[serde(deserialize_with = "day")]
    #[schema(value_type = String, format = Date)]
    pub from: NaiveDate,
    #[serde(deserialize_with = "day")]
    #[schema(value_type = String, format = Date)]
    pub to: NaiveDate,
}

#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PerMemberJson {
    #[schema(minimum = 1, maximum = 65535)]
    pub count: u16,
    #[schema(pattern = "^(day|month|year|ever)$")]
    pub period: String,
}

#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferJson {
    #[schema(pattern = "^[a-z][a-z0-9-]{1,31}$")]
    pub to: String,
    #[serde(default)]
    #[schema(max_items = 64)]
    pub tiers: Vec<String>,
    #[schema(pattern = "^(brand|giver)$")]
    pub ladder: Option<String>,
    #[schema(pattern = "^[a-z0-9_-]{1,32}$")]
    pub tag: Option<String>,
    #[schema(maximum = 65535)]
    pub link_days: Option<u16>,
    #[serde(default)]
    pub birthday_month: bool,
    #[serde(default, deserialize_with = "maybe_instant")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub claims_from: Option<DateTime<Utc>>,
    #[schema(minimum = 0, maximum = 9007199254740991_i64)]
    pub points: Option<i64>,
    #[schema(pattern = "^[0-9]{1,10}(\\.[0-9]{1,6})?$")]
    pub cash: Option<String>,
    #[schema(pattern = "^(giver|brand|operator)$")]
    pub funder: Option<String>,
    #[schema(pattern = "^[0-9]{1,10}(\\.[0-9]{1,6})?$")]
    pub cost: Option<String>,
    pub per_member: Option<PerMemberJson>,
}

#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BenefitJson {
    #[schema(pattern = "^(ticket|coupon|goods|place|service|early_access|trial)$")]
    pub kind: String,
    /// At most 80 characters in each language; a description at most 1,000.
    pub name: NameJson,
    pub description: Option<NameJson>,
    #[schema(pattern = "^[0-9]{1,10}(\\.[0-9]{1,6})?$")]
    pub face_value: Option<String>,
    pub discount: Option<DiscountJson>,
    #[serde(default, deserialize_with = "maybe_instant")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub claims_from: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "maybe_instant")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub claims_until: Option<DateTime<Utc>>,
    /// One of `use_until` and `use_days`.
    #[serde(default, deserialize_with = "maybe_day")]
    #[schema(value_type = Option<String>, format = Date)]
    pub use_until: Option<NaiveDate>,
    #[schema(maximum = 3660)]
    pub use_days: Option<u16>,
    #[serde(default)]
    #[schema(max_items = 64)]
    pub blackouts: Vec<DaysJson>,
    #[schema(minimum = 0, maximum = 1000000000)]
    pub quota: Option<i64>,
    #[schema(minimum = 1, maximum = 1000)]
    pub uses: Option<i32>,
    #[serde(default)]
    pub stacks: bool,
    #[schema(pattern = "^(issue|redemption)$")]
    pub settles_at: Option<String>,
    #[schema(pattern = "^(made|pool)$")]
    pub codes: Option<String>,
    #[schema(pattern = "^(open|closed)$")]
    pub state: Option<String>,
    #[schema(min_items = 1, max_items = 64)]
    pub offers: Vec<OfferJson>,
}

impl BenefitJson {
    /// That all of its days are of years which dates in answers, files and statements can be written with.
    pub fn in_calendar(&self) -> Result<(), Unfit> {
        let offers = self.offers.iter().enumerate();
        let from =
            offers.filter_map(|(at, offer)| Some((format!("/offers/{at}/claims_from"), offer.claims_from?.year())));
        let blackouts = self.blackouts.iter().enumerate().flat_map(|(at, days)| {
            let place = |member: &str| format!("/blackouts/{at}/{member}");
            [(place("from"), days.from.year()), (place("to"), days.to.year())]
        });
        let own = [
            ("/claims_from", self.claims_from.map(|at| at.year())),
            ("/claims_until", self.claims_until.map(|at| at.year())),
            ("/use_until", self.use_until.map(|day| day.year())),
        ];
        let own = own.into_iter().filter_map(|(pointer, year)| Some((pointer.to_owned(), year?)));
        match own.chain(blackouts).chain(from).find(|(_, year)| !(1..=9_999).contains(year)) {
            Some((pointer, _)) => unfit(pointer, "must be of the years 1 to 9999"),
            None => Ok(()),
        }
    }

    /// The benefit it is, or the first member that is not fit.
    pub fn checked(&self, id: BenefitId, giver: Slug, code: String, version: i64) -> Result<Benefit, Unfit> {
        let Some(kind) = Kind::parse(&self.kind) else {
            return unfit("/kind", "must be ticket, coupon, goods, place, service, early_access or trial");
        };
        let discount = self.discount.as_ref().map(DiscountJson::checked).transpose()?;
        if (kind == Kind::Coupon) != discount.is_some() {
            return unfit("/discount", "must be there for a coupon, and for nothing else");
        }
        let settles_at = match self.settles_at.as_deref() {
            None | Some("redemption") => SettlesAt::Redemption,
            Some("issue") => SettlesAt::Issue,
            Some(_) => return unfit("/settles_at", "must be issue or redemption"),
        };
        if self.offers.is_empty() || self.offers.len() > OFFERS_MAX {
            return unfit("/offers", "must be 1 to 64 offers");
        }
        let offers = self.offers.iter().enumerate().map(|(at, offer)| offer.checked(at));
        let uses = self.uses.unwrap_or(1);
        if !(1..=USES_MAX).contains(&uses) {
            return unfit("/uses", "must be 1 to 1000");
        }
        if self.quota.is_some_and(|quota| !(0..=1_000_000_000).contains(&quota)) {
            return unfit("/quota", "must be null or 0 to 1000000000");
        }
        if self.claims_from.zip(self.claims_until).is_some_and(|(from, until)| from >= until) {
            return unfit("/claims_until", "must be after claims_from");
        }
        Ok(Benefit {
            id,
            giver,
            code,
            version,
            kind,
            name: name("/name", &self.name, NAME_MAX)?,
            description: self
                .description
                .as_ref()
                .map(|text| name("/description", text, DESCRIPTION_MAX))
                .transpose()?,
            face_value: self.face_value.as_deref().map(|text| money("/face_value", text)).transpose()?,
            discount,
            claims_from: self.claims_from,
            claims_until: self.claims_until,
            use_until: self.use_until()?,
            blackouts: self.blackouts()?,
            quota: self.quota,
            uses,
            stacks: self.stacks,
            settles_at,
            pooled: self.pooled()?,
            open: self.is_open()?,
            offers: offers.collect::<Result<_, _>>()?,
        })
    }

    fn use_until(&self) -> Result<UseUntil, Unfit> {
        match (self.use_until, self.use_days) {
            (Some(day), None) => Ok(UseUntil::Day(day)),
            (None, Some(days)) if days <= USE_DAYS_MAX => Ok(UseUntil::Days(days)),
            (None, Some(_)) => unfit("/use_days", "must be 0 to 3660"),
            (Some(_), Some(_)) | (None, None) => unfit("/use_until", "must be there, or else use_days, and not both"),
        }
    }

    fn blackouts(&self) -> Result<Vec<(NaiveDate, NaiveDate)>, Unfit> {
        if self.blackouts.len() > LIST_MAX {
            return unfit("/blackouts", "must be at most 64");
        }
        if let Some(at) = self.blackouts.iter().position(|days| days.from > days.to) {
            return unfit(format!("/blackouts/{at}/to"), "must not be before from");
        }
        Ok(self.blackouts.iter().map(|days| (days.from, days.to)).collect())
    }

    fn pooled(&self) -> Result<bool, Unfit> {
        match self.codes.as_deref() {
            None | Some("made") => Ok(false),
            Some("pool") => Ok(true),
            Some(_) => unfit("/codes", "must be made or pool"),
        }
    }

    fn is_open(&self) -> Result<bool, Unfit> {
        match self.state.as_deref() {
            None | Some("open") => Ok(true),
            Some("closed") => Ok(false),
            Some(_) => unfit("/state", "must be open or closed"),
        }
    }
}

impl DiscountJson {
    fn checked(&self) -> Result<Discount, Unfit> {
        let optional =
            |pointer: &str, text: &Option<String>| text.as_deref().map(|text| money(pointer, text)).transpose();
        let from = optional("/discount/from", &self.from)?.unwrap_or(Millionths::ZERO);
        let at_most = optional("/discount/at_most", &self.at_most)?;
        match (&self.amount, &self.percent) {
            (Some(amount), None) if at_most.is_none() => {
                Ok(Discount::Amount { amount: money("/discount/amount", amount)?, from })
            }
            (None, Some(percent)) => {
                // Two decimals of a per cent are basis points.
                let share = decimal(percent).map(|share| share.get()).filter(|share| share % 10_000 == 0);
                match share.map(|share| share / 10_000).filter(|share| (1..=10_000).contains(share)) {
                    Some(basis_points) => Ok(Discount::Share { basis_points, from, at_most }),
                    None => unfit("/discount/percent", "must be above 0, at most 100, with at most two decimals"),
                }
            }
            (Some(_), None) => unfit("/discount/at_most", "must be null beside an amount"),
            (Some(_), Some(_)) | (None, None) => unfit("/discount", "must have amount or percent, and not both"),
        }
    }
}

impl OfferJson {
    fn checked(&self, at: usize) -> Result<Offer, Unfit> {
        let place = |member: &str| format!("/offers/{at}/{member}");
        let Ok(to) = self.to.parse::<Slug>() else { return unfit(place("to"), "must be a partner's slug") };
        if self.tiers.len() > LIST_MAX || self.tiers.iter().any(|tier| !is_word(tier)) {
            return unfit(place("tiers"), "must be at most 64 codes of tiers");
        }
        let ladder = match self.ladder.as_deref() {
            None | Some("brand") => Ladder::Brand,
            Some("giver") => Ladder::Giver,
            Some(_) => return unfit(place("ladder"), "must be brand or giver"),
        };
        if self.tag.as_deref().is_some_and(|tag| !is_word(tag)) {
            return unfit(place("tag"), "must be 1 to 32 of a-z, 0-9, - and _");
        }
        let Some(points) = Points::new(self.points.unwrap_or(0)) else {
            return unfit(place("points"), "must be 0 to 9007199254740991");
        };
        let amount = |member: &str, text: &Option<String>| match text {
            None => Ok(Millionths::ZERO),
            Some(text) => money(&place(member), text),
        };
        let (cash, cost) = (amount("cash", &self.cash)?, amount("cost", &self.cost)?);
        let funder = match self.funder.as_deref().map_or(Some(Funder::Giver), Funder::parse) {
            Some(funder) => funder,
            None => return unfit(place("funder"), "must be giver, brand or operator"),
        };
        if funder == Funder::Giver && cost != Millionths::ZERO {
            return unfit(place("cost"), "must be 0 where the giver pays itself");
        }
        let per_member = match &self.per_member {
            None => None,
            Some(PerMemberJson { count, period }) => match (Period::parse(period), *count) {
                (Some(period), count @ 1..) => Some(PerMember { count, period }),
                (Some(_), 0) => return unfit(place("per_member/count"), "must be 1 or more"),
                (None, _) => return unfit(place("per_member/period"), "must be day, month, year or ever"),
            },
        };
        Ok(Offer {
            to,
            tiers: self.tiers.clone(),
            ladder,
            tag: self.tag.clone(),
            link_days: self.link_days,
            birthday_month: self.birthday_month,
            claims_from: self.claims_from,
            points,
            cash,
            funder,
            cost,
            per_member,
        })
    }
}

/// Of at most ten digits before the point, and without a sign: `-0` is no amount.
fn decimal(text: &str) -> Option<Millionths> {
    let is_plain = !text.starts_with('-') && text.split('.').next().is_some_and(|whole| whole.len() <= 10);
    Millionths::parse(text).filter(|_| is_plain)
}

/// Not negative, and far below what sums of it overflow with.
fn money(pointer: &str, text: &str) -> Result<Millionths, Unfit> {
    match decimal(text).filter(|amount| amount.get() <= 1_000_000_000_000_000) {
        Some(amount) => Ok(amount),
        None => unfit(pointer, "must be a decimal of 0 to 1000000000 with at most six decimals"),
    }
}

fn name(pointer: &str, text: &NameJson, max: usize) -> Result<Name, Unfit> {
    for (language, text) in [("en", &text.en), ("zh", &text.zh)] {
        let fits = !text.trim().is_empty() && text.chars().count() <= max && !text.chars().any(char::is_control);
        if !fits {
            let detail = if max == NAME_MAX {
                "must be 1 to 80 characters, none of them a control character"
            } else {
                "must be 1 to 1000 characters, none of them a control character"
            };
            return unfit(format!("{pointer}/{language}"), detail);
        }
    }
    Ok(Name { en: text.en.clone(), zh: text.zh.clone() })
}

impl From<&Benefit> for BenefitJson {
    fn from(benefit: &Benefit) -> BenefitJson {
        let names = |name: &Name| NameJson { en: name.en.clone(), zh: name.zh.clone() };
        let (use_until, use_days) = match benefit.use_until {
            UseUntil::Day(day) => (Some(day), None),
            UseUntil::Days(days) => (None, Some(days)),
        };
        BenefitJson {
            kind: benefit.kind.code().to_owned(),
            name: names(&benefit.name),
            description: benefit.description.as_ref().map(names),
            face_value: benefit.face_value.map(|value| value.to_string()),
            discount: benefit.discount.map(DiscountJson::from),
            claims_from: benefit.claims_from,
            claims_until: benefit.claims_until,
            use_until,
            use_days,
            blackouts: benefit.blackouts.iter().map(|(from, to)| DaysJson { from: *from, to: *to }).collect(),
            quota: benefit.quota,
            uses: Some(benefit.uses),
            stacks: benefit.stacks,
            settles_at: Some(if benefit.settles_at == SettlesAt::Issue { "issue" } else { "redemption" }.to_owned()),
            codes: Some(if benefit.pooled { "pool" } else { "made" }.to_owned()),
            state: Some(if benefit.open { "open" } else { "closed" }.to_owned()),
            offers: benefit.offers.iter().map(OfferJson::from).collect(),
        }
    }
}

impl From<Discount> for DiscountJson {
    fn from(discount: Discount) -> DiscountJson {
        match discount {
            Discount::Amount { amount, from } => DiscountJson {
                amount: Some(amount.to_string()),
                percent: None,
                from: Some(from.to_string()),
                at_most: None,
            },
            Discount::Share { basis_points, from, at_most } => DiscountJson {
                amount: None,
                percent: Some(Millionths::new(basis_points * 10_000).to_string()),
                from: Some(from.to_string()),
                at_most: at_most.map(|amount| amount.to_string()),
            },
        }
    }
}

impl From<&Offer> for OfferJson {
    fn from(offer: &Offer) -> OfferJson {
        let per_member =
            offer.per_member.map(|per| PerMemberJson { count: per.count, period: per.period.code().to_owned() });
        OfferJson {
            to: offer.to.to_string(),
            tiers: offer.tiers.clone(),
            ladder: Some(if offer.ladder == Ladder::Giver { "giver" } else { "brand" }.to_owned()),
            tag: offer.tag.clone(),
            link_days: offer.link_days,
            birthday_month: offer.birthday_month,
            claims_from: offer.claims_from,
            points: Some(offer.points.get()),
            cash: Some(offer.cash.to_string()),
            funder: Some(offer.funder.code().to_owned()),
            cost: Some(offer.cost.to_string()),
            per_member,
        }
    }
}
