//! A signed statement read back: the figures that reports show are those of its payload, never counted anew.

use super::{Error, broken};
use crate::domain::money::{Millionths, parse_decimal};
use crate::domain::settlement::Participant;
use crate::domain::settlement::tally::Sort;
use crate::store::settlement::statements;
use chrono::NaiveDate;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// What a statement says, as far as reports need it.
#[derive(Clone, Debug, Deserialize)]
pub struct Payload {
    #[serde(deserialize_with = "participant")]
    pub participant: Participant,
    pub entity: String,
    pub lines: Lines,
    pub counterparties: Vec<Counterparty>,
    pub totals: Figures,
    #[serde(deserialize_with = "money")]
    pub opening: Millionths,
    #[serde(deserialize_with = "money")]
    pub net: Millionths,
    #[serde(deserialize_with = "money")]
    pub payments: Millionths,
    #[serde(deserialize_with = "money")]
    pub closing: Millionths,
    pub obligations: Vec<Owed>,
    pub fees: Option<Fees>,
    pub previous: Option<Previous>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Lines {
    pub count: i64,
    pub root: String,
    pub first: Option<i64>,
    pub last: Option<i64>,
}

/// What the lines towards one counterparty come to.
#[derive(Clone, Debug, Deserialize)]
pub struct Counterparty {
    #[serde(deserialize_with = "participant")]
    pub counterparty: Participant,
    pub entity: String,
    #[serde(deserialize_with = "money")]
    pub exact: Millionths,
    /// Rounded: what it owes, negative the other way.
    #[serde(deserialize_with = "money")]
    pub total: Millionths,
    #[serde(flatten)]
    pub figures: Figures,
}

/// Figures by the codes of their sorts; one that is nothing is not there.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Figures(BTreeMap<String, Figure>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Figure {
    pub lines: i64,
    #[serde(deserialize_with = "points")]
    pub points: i128,
    /// In millionths; of sums, which may be beyond money.
    #[serde(deserialize_with = "sum")]
    pub amount: i128,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Owed {
    pub debtor: String,
    pub creditor: String,
    #[serde(deserialize_with = "money")]
    pub amount: Millionths,
    pub due_on: NaiveDate,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Fees {
    #[serde(deserialize_with = "money")]
    pub gross: Millionths,
    #[serde(deserialize_with = "money")]
    pub net: Millionths,
    #[serde(deserialize_with = "money")]
    pub tax: Millionths,
    pub tax_basis_points: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Previous {
    pub window: i64,
    pub leaf: String,
}

impl Payload {
    pub fn read(row: &statements::Row) -> Result<Payload, Error> {
        serde_json::from_str(&row.payload).map_err(|cause| broken(format!("the statement {}: {cause}", row.id)))
    }

    /// With one counterparty; `None` when there were no lines with it.
    pub fn with(&self, counterparty: &Participant) -> Option<&Counterparty> {
        self.counterparties.iter().find(|row| row.counterparty == *counterparty)
    }
}

impl Figures {
    pub fn of(&self, sort: Sort) -> Figure {
        self.0.get(sort.code()).copied().unwrap_or_default()
    }

    /// What these sorts come to together, in millionths.
    pub fn sum(&self, sorts: &[Sort]) -> i128 {
        sorts.iter().map(|sort| self.of(*sort).amount).sum()
    }
}

fn money<'de, D: Deserializer<'de>>(from: D) -> Result<Millionths, D::Error> {
    let text = String::deserialize(from)?;
    Millionths::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no amount")))
}

/// Of a sort: a number, and a text beyond the whole numbers that JSON keeps exactly.
fn points<'de, D: Deserializer<'de>>(from: D) -> Result<i128, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Points {
        Number(i64),
        Text(String),
    }
    match Points::deserialize(from)? {
        Points::Number(points) => Ok(points.into()),
        Points::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

fn sum<'de, D: Deserializer<'de>>(from: D) -> Result<i128, D::Error> {
    let text = String::deserialize(from)?;
    parse_decimal(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no sum")))
}

fn participant<'de, D: Deserializer<'de>>(from: D) -> Result<Participant, D::Error> {
    let text = String::deserialize(from)?;
    Participant::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no participant")))
}
