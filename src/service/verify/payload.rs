//! A statement's payload: its members, all of them and no others.

use crate::domain::money::{Millionths, decimal, parse_decimal};
use crate::domain::settings::{Netting, Rounding};
use crate::domain::settlement::Participant;
use crate::domain::settlement::tally::{Sort, Sum, Tallies, Tally};
use crate::service::settlement::lines;
use crate::signing::merkle::Hash;
use chrono::{DateTime, NaiveDate};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, de};
use std::collections::BTreeMap;

/// As it is written. That its bytes are canonical, the document has seen to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    v: u8,
    r#type: String,
    pub alliance: String,
    pub currency: String,
    pub sandbox: bool,
    pub participant: Named,
    #[serde(rename = "entity")]
    _entity: String,
    #[serde(rename = "tax_code")]
    _tax_code: Option<String>,
    pub window: Window,
    netting: String,
    rounding: String,
    pub lines: Lines,
    counterparties: Vec<Row>,
    totals: BTreeMap<String, SumText>,
    pub opening: Money,
    pub net: Money,
    pub payments: Money,
    pub closing: Money,
    pub obligations: Vec<Obligation>,
    #[serde(rename = "issued_at")]
    _issued_at: Instant,
    pub fees: Option<Fees>,
    pub previous: Option<Previous>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    pub id: String,
    pub number: i64,
    #[serde(rename = "opened_at")]
    _opened_at: Instant,
    #[serde(rename = "closed_at")]
    _closed_at: Instant,
    pub first_day: Day,
    pub last_day: Day,
    #[serde(rename = "statement_by")]
    _statement_by: Day,
    #[serde(rename = "disputes_until")]
    _disputes_until: Day,
    pub due_on: Day,
}

/// `first` and `last` are there when there are lines.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lines {
    pub count: u64,
    pub root: Hex,
    pub first: Option<i64>,
    pub last: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
struct Row {
    counterparty: Named,
    #[serde(rename = "entity")]
    _entity: String,
    exact: Money,
    total: Money,
    #[serde(flatten)]
    sums: BTreeMap<String, SumText>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SumText {
    lines: i64,
    points: Points,
    amount: SumMoney,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Obligation {
    pub debtor: String,
    pub creditor: String,
    pub amount: Money,
    pub due_on: Day,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fees {
    pub gross: Money,
    pub net: Money,
    pub tax: Money,
    pub tax_basis_points: i64,
}

/// The participant's statement before.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    pub window: i64,
    pub leaf: Hex,
}

/// What a statement says of one counterparty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    pub exact: Millionths,
    pub total: Millionths,
}

/// A payload whose texts mean something.
#[derive(Clone, Debug)]
pub struct Read {
    pub payload: Payload,
    pub netting: Netting,
    pub rounding: Rounding,
    /// By counterparty, what lines add up to.
    pub tallies: Tallies,
    pub rows: BTreeMap<Participant, Totals>,
    pub totals: Tally,
}

/// Reads a payload; `Err` says what is not as in ours.
pub fn read(bytes: &[u8]) -> Result<Read, String> {
    // An array would be read as the members in order.
    if bytes.first() != Some(&b'{') {
        return Err("the payload is no object".to_owned());
    }
    let payload: Payload = serde_json::from_slice(bytes).map_err(|cause| format!("the payload: {cause}"))?;
    if (payload.v, payload.r#type.as_str()) != (1, "statement") {
        return Err(format!(
            "the payload is a {:?} of version {}, not a statement of version 1",
            payload.r#type, payload.v
        ));
    }
    let netting = Netting::parse(&payload.netting).ok_or_else(|| format!("netting {:?}", payload.netting))?;
    let rounding = Rounding::parse(&payload.rounding).ok_or_else(|| format!("rounding {:?}", payload.rounding))?;
    let mut tallies = Tallies::new();
    let mut rows = BTreeMap::new();
    for row in &payload.counterparties {
        let with = &row.counterparty.0;
        if rows.last_key_value().is_some_and(|(last, _)| last >= with) || *with == payload.participant.0 {
            return Err(format!("counterparty {with} is out of sequence"));
        }
        tallies.insert(with.clone(), tally(&row.sums)?);
        rows.insert(with.clone(), Totals { exact: row.exact.0, total: row.total.0 });
    }
    let totals = tally(&payload.totals)?;
    Ok(Read { payload, netting, rounding, tallies, rows, totals })
}

fn tally(sums: &BTreeMap<String, SumText>) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for (code, sum) in sums {
        let sort = Sort::ALL.into_iter().find(|sort| sort.code() == code).ok_or_else(|| format!("member {code:?}"))?;
        *tally.sum_mut(sort) = Sum { lines: sum.lines, points: sum.points.0, amount: sum.amount.0 };
    }
    Ok(tally)
}

/// A decimal text in its one spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(pub Millionths);

/// Sums are smaller than this in size, far beyond what lines can come to, so that no document has as many as would add up to
/// more than an `i128` holds.
const SUM_END: u128 = 1 << 96;

fn is_sum(sum: i128) -> bool {
    sum.unsigned_abs() < SUM_END
}

/// A sum of amounts, which may be beyond what one amount can be, in its one spelling.
#[derive(Clone, Copy, Debug)]
struct SumMoney(i128);

/// A sum of points: a number below 2^53 in size, from there a text.
#[derive(Clone, Copy, Debug)]
struct Points(i128);

/// 32 bytes in lower-case hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex(pub Hash);

/// A participant's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named(pub Participant);

/// A day, `2026-01-31`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub NaiveDate);

/// An instant in microseconds, as our documents have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instant;

fn text<'de, D: Deserializer<'de>, T>(from: D, wanted: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    read(&text).ok_or_else(|| D::Error::invalid_value(de::Unexpected::Str(&text), &wanted))
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Money, D::Error> {
        text(from, "an amount", |text| Millionths::parse(text).filter(|amount| amount.to_string() == text).map(Money))
    }
}

impl<'de> Deserialize<'de> for SumMoney {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<SumMoney, D::Error> {
        let sum = |text: &str| parse_decimal(text).filter(|sum| is_sum(*sum) && decimal(*sum) == text).map(SumMoney);
        text(from, "a sum below 2^96 millionths in size", sum)
    }
}

impl<'de> Deserialize<'de> for Points {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Points, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(i64),
            Text(String),
        }
        let is_small = |points: i128| points.unsigned_abs() < 1 << 53;
        let points = match Written::deserialize(from)? {
            Written::Number(points) => Some(i128::from(points)).filter(|points| is_small(*points)),
            Written::Text(text) => {
                text.parse().ok().filter(|points: &i128| !is_small(*points) && points.to_string() == text)
            }
        };
        let points = points.filter(|points| is_sum(*points)).map(Points);
        points.ok_or_else(|| D::Error::custom("points are a number, or a text from 2^53 on and below 2^96"))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Hex, D::Error> {
        text(from, "32 bytes in lower-case hexadecimal", |text| hash(text).map(Hex))
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Named, D::Error> {
        text(from, "a participant's name", |text| Participant::parse(text).map(Named))
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Day, D::Error> {
        let day = |text: &str| text.parse::<NaiveDate>().ok().filter(|day| lines::day(*day) == text).map(Day);
        text(from, "a day", day)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Instant, D::Error> {
        let instant = |text: &str| {
            let instant = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
            (lines::instant(instant) == text).then_some(Instant)
        };
        text(from, "an instant in microseconds", instant)
    }
}

fn hash(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    let digits = text.as_bytes().as_chunks::<2>().0;
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    for (byte, [high, low]) in hash.iter_mut().zip(digits) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    (text.len() == 64).then_some(hash)
}
