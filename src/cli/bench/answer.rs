//! Answers, read only as far as they must be checked: which conversion, which state, which amounts.

use serde::Deserialize;

/// What a conversion of the load must come to; asked of the server once, by a quote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    pub debit_points: i64,
    pub credit_points: i64,
    pub total_credit_points: i64,
}

#[derive(Debug, Deserialize)]
pub struct Conversion<'a> {
    // Ids and keys of ours never need an escape, so they can be borrowed.
    pub conversion_id: &'a str,
    state: &'a str,
    external_reference: Option<&'a str>,
    // Not a flattened `Amounts`: serde would first keep every field of the answer aside.
    debit_points: i64,
    credit_points: i64,
    total_credit_points: i64,
}

#[derive(Debug, Deserialize)]
pub struct Outcomes<'a> {
    #[serde(borrow)]
    pub items: Vec<Item<'a>>,
}

/// One outcome of a batch, of whatever kind.
#[derive(Debug, Deserialize)]
pub struct Item<'a> {
    pub status: u16,
    #[serde(default)]
    pub replayed: bool,
    #[serde(borrow)]
    pub conversion: Option<Conversion<'a>>,
    #[serde(borrow)]
    problem: Option<Problem<'a>>,
}

#[derive(Debug, Deserialize)]
struct Problem<'a> {
    code: &'a str,
    #[serde(default)]
    retryable: bool,
}

/// A quote: what it promises, and the token that holds it to that.
#[derive(Debug, Deserialize)]
pub struct Quote<'a> {
    pub token: &'a str,
    debit_points: i64,
    credit_points: i64,
    total_credit_points: i64,
}

impl Quote<'_> {
    pub fn amounts(&self) -> Amounts {
        let Quote { debit_points, credit_points, total_credit_points, .. } = *self;
        Amounts { debit_points, credit_points, total_credit_points }
    }
}

impl Conversion<'_> {
    pub fn amounts(&self) -> Amounts {
        let Conversion { debit_points, credit_points, total_credit_points, .. } = *self;
        Amounts { debit_points, credit_points, total_credit_points }
    }

    /// Whether it is what was asked for; else what is wrong with it.
    pub fn check(&self, state: &str, amounts: &Amounts, reference: &str) -> Result<(), String> {
        if self.state != state {
            return Err(format!("{} is {}", self.conversion_id, self.state));
        }
        let came_to = self.amounts();
        if came_to != *amounts {
            return Err(format!("{} came to {came_to:?}, not {amounts:?}", self.conversion_id));
        }
        if self.external_reference != Some(reference) {
            return Err(format!("{} is of {:?}, not {reference}", self.conversion_id, self.external_reference));
        }
        Ok(())
    }
}

impl Item<'_> {
    /// Whether this item may be answered otherwise when it is sent again.
    pub fn is_put_off(&self) -> bool {
        self.problem.as_ref().is_some_and(|problem| problem.retryable)
    }

    pub fn code(&self) -> &str {
        self.problem.as_ref().map_or("no_problem", |problem| problem.code)
    }
}

/// The code of a problem; its status when it has none.
pub fn code(status: u16, body: &[u8]) -> String {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => problem.code.to_owned(),
        Err(_) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMOUNTS: Amounts = Amounts { debit_points: 60, credit_points: 36, total_credit_points: 36 };

    #[test]
    fn a_conversion_is_checked_in_state_amounts_and_reference() {
        let body = |state: &str, total: i64, reference: &str| {
            format!(
                r#"{{"conversion_id":"cnv_1","confirmation":"X","state":"{state}","bonuses":[],"debit_points":60,"credit_points":36,
                "total_credit_points":{total},"rate":{{"num":3,"den":5}},"external_reference":{reference}}}"#
            )
        };
        let check = |body: String| {
            let conversion: Conversion = serde_json::from_str(&body).expect("a conversion");
            conversion.check("completed", &AMOUNTS, "r.1")
        };
        assert_eq!(check(body("completed", 36, "\"r.1\"")), Ok(()));
        for wrong in [
            body("pending", 36, "\"r.1\""),
            body("completed", 37, "\"r.1\""),
            body("completed", 36, "\"r.2\""),
            body("completed", 36, "null"),
        ] {
            assert!(check(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_items_of_a_batch_are_made_refused_or_put_off() {
        let body = br#"{"items":[
            {"status":201,"replayed":true,"conversion":{"conversion_id":"cnv_1","state":"completed","debit_points":60,"credit_points":36,"total_credit_points":36}},
            {"status":503,"problem":{"code":"busy","retryable":true,"title":"The account is \"busy\""}},
            {"status":422,"problem":{"code":"insufficient_points","retryable":false}},
            {"status":200,"membership_id":"mem_1"}]}"#;
        let outcomes: Outcomes = serde_json::from_slice(body).expect("outcomes");
        let seen: Vec<_> = outcomes.items.iter().map(|item| (item.status, item.is_put_off(), item.code())).collect();
        let wanted = [
            (201, false, "no_problem"),
            (503, true, "busy"),
            (422, false, "insufficient_points"),
            (200, false, "no_problem"),
        ];
        assert_eq!(seen, wanted);
        assert!(outcomes.items[0].replayed && outcomes.items[0].conversion.is_some());
    }

    #[test]
    fn a_problem_without_a_code_is_told_by_its_status() {
        assert_eq!(code(503, br#"{"code":"queue_full","retryable":true}"#), "queue_full");
        assert_eq!(code(502, b"<html>"), "502");
    }
}
