//! What quotes and conversions are asked for in common: which member, which direction, how much.

use super::fields::Fields;
use crate::service::command::{Direction, Want};
use crate::service::conversions::{By, Wanted};
use crate::service::exchange::Error;
use serde::Deserialize;
use utoipa::ToSchema;

/// A conversion: by a quote's token, or quoted and carried out in one call (`member_ref`, `to` or `from`, `points` or
/// `credit_points`).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "member_ref": "L-1001", "to": "harvest", "points": 20 }))]
pub struct ConversionRequest {
    /// The token of a quote; excludes everything else but `external_reference`.
    #[schema(max_length = 8192, pattern = "^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$", nullable = false)]
    pub quote: Option<String>,
    #[schema(min_length = 1, max_length = 128, example = "L-1001")]
    pub member_ref: Option<String>,
    /// The brand whose points arrive.
    #[schema(pattern = "^[a-z][a-z0-9-]{1,31}$", example = "harvest")]
    pub to: Option<String>,
    /// The brand whose points are spent: needs `pull` in the link's consent.
    #[schema(pattern = "^[a-z][a-z0-9-]{1,31}$")]
    pub from: Option<String>,
    /// At most this debit, rounded down by the step.
    #[schema(minimum = 1, maximum = 9007199254740991_i64, example = 137)]
    pub points: Option<i64>,
    /// Exactly this base credit.
    #[schema(minimum = 1, maximum = 9007199254740991_i64)]
    pub credit_points: Option<i64>,
    /// Base and bonuses together must reach this, else `rate_worse_than_asked`.
    #[schema(minimum = 0, maximum = 9007199254740991_i64)]
    pub min_total_credit_points: Option<i64>,
    #[schema(min_length = 1, max_length = 128, example = "order-77")]
    pub external_reference: Option<String>,
}

/// A conversion with the key that a single one has in its header.
// Flat, not a flattened struct: serde refuses unknown fields only so.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "idempotency_key": "batch-7-item-1", "member_ref": "L-1001", "to": "harvest", "points": 20 }))]
pub struct ConversionItem {
    #[schema(min_length = 1, max_length = 255, pattern = "^[!-~]+$", example = "batch-7-item-1")]
    pub idempotency_key: String,
    #[schema(max_length = 8192, pattern = "^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$")]
    pub quote: Option<String>,
    #[schema(min_length = 1, max_length = 128, example = "L-1001")]
    pub member_ref: Option<String>,
    #[schema(pattern = "^[a-z][a-z0-9-]{1,31}$", example = "harvest")]
    pub to: Option<String>,
    #[schema(pattern = "^[a-z][a-z0-9-]{1,31}$")]
    pub from: Option<String>,
    #[schema(minimum = 1, maximum = 9007199254740991_i64, example = 20)]
    pub points: Option<i64>,
    #[schema(minimum = 1, maximum = 9007199254740991_i64)]
    pub credit_points: Option<i64>,
    #[schema(minimum = 0, maximum = 9007199254740991_i64)]
    pub min_total_credit_points: Option<i64>,
    #[schema(min_length = 1, max_length = 128)]
    pub external_reference: Option<String>,
}

impl ConversionItem {
    pub fn split(self) -> (String, ConversionRequest) {
        let request = ConversionRequest {
            quote: self.quote,
            member_ref: self.member_ref,
            to: self.to,
            from: self.from,
            points: self.points,
            credit_points: self.credit_points,
            min_total_credit_points: self.min_total_credit_points,
            external_reference: self.external_reference,
        };
        (self.idempotency_key, request)
    }
}

impl ConversionRequest {
    pub fn check(self, mut fields: Fields) -> Result<Wanted, Error> {
        let wanted = self.read(&mut fields);
        fields.finish(wanted)
    }

    pub fn read(self, fields: &mut Fields) -> Option<Wanted> {
        let reference = fields.maybe_text("external_reference", self.external_reference);
        let Some(token) = self.quote else {
            let member_ref = fields.required_text("member_ref", self.member_ref, "is required, unless quote is given");
            let direction = direction(fields, self.to.as_deref(), self.from.as_deref());
            let want = want(fields, self.points, self.credit_points);
            let floor = fields.floor("min_total_credit_points", self.min_total_credit_points);
            let by = By::Now { member_ref: member_ref?, direction: direction?, want: want?, floor: floor? };
            return Some(Wanted { by, reference: reference? });
        };
        for (field, given) in [
            ("member_ref", self.member_ref.is_some()),
            ("to", self.to.is_some()),
            ("from", self.from.is_some()),
            ("points", self.points.is_some()),
            ("credit_points", self.credit_points.is_some()),
            ("min_total_credit_points", self.min_total_credit_points.is_some()),
        ] {
            if given {
                fields.fault(field, "must be left out: the quote says it");
            }
        }
        Some(Wanted { by: By::Token(token), reference: reference? })
    }
}

/// Exactly one of `to` and `from`.
pub fn direction(fields: &mut Fields, to: Option<&str>, from: Option<&str>) -> Option<Direction> {
    match (to, from) {
        (Some(to), None) => fields.slug("to", to).map(Direction::To),
        (None, Some(from)) => fields.slug("from", from).map(Direction::From),
        (None, None) => {
            fields.fault("to", "is required, unless from is given");
            None
        }
        (Some(_), Some(_)) => {
            fields.fault("from", "must be left out when to is given");
            None
        }
    }
}

/// Exactly one of `points` and `credit_points`.
pub fn want(fields: &mut Fields, points: Option<i64>, credit_points: Option<i64>) -> Option<Want> {
    match (points, credit_points) {
        (Some(points), None) => fields.points("points", points).map(Want::Points),
        (None, Some(points)) => fields.points("credit_points", points).map(Want::CreditPoints),
        (None, None) => {
            fields.fault("points", "is required, unless credit_points is given");
            None
        }
        (Some(_), Some(_)) => {
            fields.fault("credit_points", "must be left out when points is given");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(body: &str) -> Vec<String> {
        let request: ConversionRequest = serde_json::from_str(body).expect("of the right shape");
        match request.check(Fields::default()) {
            Ok(_) => Vec::new(),
            Err(Error::Invalid(faults)) => faults.into_iter().map(|fault| fault.pointer).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_conversion_says_exactly_one_thing() {
        for (body, wrong) in [
            (r#"{"member_ref":"L","to":"harvest","points":137}"#, vec![]),
            (r#"{"member_ref":"L","from":"harvest","credit_points":5,"min_total_credit_points":0}"#, vec![]),
            (r#"{"quote":"x","external_reference":"r"}"#, vec![]),
            (r#"{"quote":"x","points":1}"#, vec!["/points"]),
            (r#"{}"#, vec!["/member_ref", "/to", "/points"]),
            (
                r#"{"member_ref":"L","to":"harvest","from":"nest","points":1,"credit_points":1}"#,
                vec!["/from", "/credit_points"],
            ),
            (r#"{"member_ref":"","to":"H","points":0}"#, vec!["/member_ref", "/to", "/points"]),
        ] {
            assert_eq!(faults(body), wrong, "{body}");
        }
    }
}
