//! Single values: each read once, with its fault told at its place.

use super::super::find::{Finding, Source};
use super::super::raw::NameTable;
use super::POINTS_MAX;
use crate::domain::catalogue::{Name, Party};
use crate::domain::ids::Slug;
use crate::domain::money::Millionths;
use crate::domain::plan::day_start;
use crate::domain::points::Points;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use std::ops::{Range, RangeInclusive};
use toml::Spanned;
use toml::value::Datetime;

/// A price or unit cost of one point is at most this: a million of the currency.
const PRICE_MAX: i64 = 1_000_000_000_000;

/// Reads the values of one file and gathers what is wrong with them.
pub(super) struct Values<'a> {
    source: &'a Source,
    findings: &'a mut Vec<Finding>,
}

impl<'a> Values<'a> {
    pub(super) fn new(source: &'a Source, findings: &'a mut Vec<Finding>) -> Values<'a> {
        Values { source, findings }
    }

    pub(super) fn say(&mut self, span: Range<usize>, field: impl Into<String>, problem: impl Into<String>) {
        let finding = self.source.finding(span, field, problem);
        self.findings.push(finding);
    }

    /// How many faults were told so far, in all files.
    pub(super) fn told(&self) -> usize {
        self.findings.len()
    }

    pub(super) fn slug(&mut self, field: &str, raw: &Spanned<String>) -> Slug {
        raw.get_ref().parse().unwrap_or_else(|_| {
            self.say(raw.span(), field, "write 2 to 32 of a–z, 0–9 and -, the first a letter");
            "invalid".parse().expect("a plain slug")
        })
    }

    /// A short name for machines: tiers, campaigns, trades.
    pub(super) fn code(&mut self, field: &str, raw: &Spanned<String>) -> String {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let text = raw.get_ref();
        if !(1..=64).contains(&text.len()) || !text.bytes().all(plain) || text.starts_with('-') {
            self.say(raw.span(), field, "write 1 to 64 of a–z, 0–9 and -, not beginning with -");
        }
        text.clone()
    }

    pub(super) fn text(&mut self, field: &str, raw: &Spanned<String>, length_max: usize) -> String {
        let text = raw.get_ref();
        let length = text.chars().count();
        if text.trim().is_empty() || length > length_max || text.chars().any(char::is_control) {
            self.say(raw.span(), field, format!("write 1 to {length_max} characters on one line"));
        }
        text.clone()
    }

    pub(super) fn name(&mut self, field: &str, raw: &NameTable) -> Name {
        Name {
            en: self.text(&format!("{field}.en"), &raw.en, 128),
            zh: self.text(&format!("{field}.zh"), &raw.zh, 128),
        }
    }

    /// A number of days, seconds, months or decimals.
    pub(super) fn count(
        &mut self,
        field: &str,
        raw: Option<&Spanned<i64>>,
        range: RangeInclusive<i64>,
        default: u32,
    ) -> u32 {
        let Some(raw) = raw else { return default };
        let value = self.whole(field, raw, range);
        u32::try_from(value).unwrap_or(default)
    }

    pub(super) fn whole(&mut self, field: &str, raw: &Spanned<i64>, range: RangeInclusive<i64>) -> i64 {
        let value = *raw.get_ref();
        if range.contains(&value) {
            return value;
        }
        self.say(raw.span(), field, format!("{value} is not between {} and {}", range.start(), range.end()));
        *range.start()
    }

    /// At least one point; `None`, and told, when it is no such amount.
    pub(super) fn points(&mut self, field: &str, raw: &Spanned<i64>) -> Option<Points> {
        self.whole(field, raw, 1..=POINTS_MAX);
        Points::new(*raw.get_ref()).filter(|points| !points.is_zero())
    }

    pub(super) fn limit(&mut self, field: &str, raw: Option<&Spanned<i64>>) -> Option<Points> {
        raw.map(|raw| Points::new(self.whole(field, raw, 0..=POINTS_MAX)).expect("between 0 and 2^53 - 1"))
    }

    pub(super) fn money(&mut self, field: &str, raw: &Spanned<String>) -> Millionths {
        match Millionths::parse(raw.get_ref()) {
            Some(money) if money.get() >= 0 => money,
            Some(_) | None => {
                self.say(
                    raw.span(),
                    field,
                    "write money as a decimal string with at most six decimals, such as \"0.02\"",
                );
                Millionths::ZERO
            }
        }
    }

    /// Money for one point.
    pub(super) fn price(&mut self, field: &str, raw: &Spanned<String>) -> Millionths {
        let price = self.money(field, raw);
        if price.get() > PRICE_MAX {
            self.say(raw.span(), field, "a point costs at most a million; this is the price of one point, not of many");
        }
        price
    }

    /// Basis points of a percentage written as a decimal string: `"10"` is 1,000.
    pub(super) fn percent(&mut self, field: &str, raw: &Spanned<String>, range: RangeInclusive<i64>) -> i64 {
        let per_basis_point = 10_000;
        let parsed = Millionths::parse(raw.get_ref()).map(Millionths::get).filter(|value| value % per_basis_point == 0);
        match parsed.map(|value| value / per_basis_point) {
            Some(value) if range.contains(&value) => value,
            Some(_) | None => {
                let (low, high) = (percent_text(*range.start()), percent_text(*range.end()));
                self.say(
                    raw.span(),
                    field,
                    format!("write per cents between \"{low}\" and \"{high}\", at most two decimals"),
                );
                *range.start()
            }
        }
    }

    /// One of a few words; `None`, and `hint` told, when it is another.
    pub(super) fn word<T>(
        &mut self,
        field: &str,
        raw: &Spanned<String>,
        parse: impl FnOnce(&str) -> Option<T>,
        hint: &str,
    ) -> Option<T> {
        let parsed = parse(raw.get_ref());
        if parsed.is_none() {
            self.say(raw.span(), field, hint);
        }
        parsed
    }

    pub(super) fn party(&mut self, field: &str, raw: &Spanned<String>) -> Party {
        let hint = "write \"from\", \"to\" or \"operator\"";
        self.word(field, raw, Party::parse, hint).unwrap_or(Party::Operator)
    }

    pub(super) fn day(&mut self, field: &str, raw: &Spanned<Datetime>) -> Option<NaiveDate> {
        let value = raw.get_ref();
        let day = match (value.date, value.time) {
            (Some(date), None) => NaiveDate::from_ymd_opt(i32::from(date.year), date.month.into(), date.day.into()),
            (Some(_) | None, _) => None,
        };
        if day.is_none() {
            self.say(raw.span(), field, "write a date, such as 2026-01-01");
        }
        day
    }

    /// An instant: a date is its first moment in the alliance's zone.
    pub(super) fn instant(&mut self, field: &str, raw: &Spanned<Datetime>, zone: Tz) -> DateTime<Utc> {
        let value = raw.get_ref();
        if value.time.is_none() {
            return self.day(field, raw).map_or(DateTime::UNIX_EPOCH, |day| day_start(zone, day));
        }
        let parsed = value.to_string().replace(' ', "T");
        match DateTime::parse_from_rfc3339(&parsed) {
            Ok(at) => at.to_utc(),
            Err(_) => {
                let hint = "write a date (its first moment in the alliance's zone) or an instant with its offset, \
                            such as 2026-03-01T08:00:00+08:00";
                self.say(raw.span(), field, hint);
                DateTime::UNIX_EPOCH
            }
        }
    }
}

fn percent_text(basis_points: i64) -> String {
    Millionths::new(basis_points * 10_000).to_string()
}
