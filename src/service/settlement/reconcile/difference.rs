//! One thing that differs, as it is kept and downloaded: a JSON object, or a row of CSV.

use crate::domain::settlement::reconcile::Finding;
use crate::service::reports::csv;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What differs. Amounts are the participant's: positive is owed to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// From 1, over all that differs.
    pub place: i64,
    /// `missing_here`, `missing_there`, `amount`, `rate`, `duplicate` or `late`.
    pub result: String,
    /// Of the list, from 1, the heading not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<u32>,
    /// The first line of what it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line_no: Option<i64>,
    /// Of that line: `conversion`, `bonus` or `adjustment`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversion_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reversal_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<String>,
    /// `late`: the number of the window it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub here: Option<Side>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub there: Option<Side>,
    /// What the list has more than we have, in money.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
    /// Of the first line alone, where others belong to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line_amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_points: Option<i64>,
}

/// What one side says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DifferenceSide)]
pub struct Side {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debit_points: Option<i64>,
}

/// The columns of differences as CSV.
const COLUMNS: [&str; 19] = [
    "place",
    "result",
    "row",
    "line_id",
    "line_no",
    "conversion_id",
    "reversal_id",
    "external_reference",
    "counterparty",
    "window",
    "here_amount",
    "here_points",
    "here_debit_points",
    "there_amount",
    "there_points",
    "there_debit_points",
    "difference",
    "line_amount",
    "kind",
];

impl Difference {
    pub fn new(finding: Finding) -> Difference {
        Difference { result: finding.code().to_owned(), ..Difference::default() }
    }

    fn cells(&self) -> [String; 19] {
        let number = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
        let text =
            |value: &Option<String>| value.as_deref().map(|text| csv::safe(text).into_owned()).unwrap_or_default();
        // A minus before a figure begins no formula.
        let figure = |value: &Option<String>| value.clone().unwrap_or_default();
        let nothing = Side::default();
        let (here, there) = (self.here.as_ref().unwrap_or(&nothing), self.there.as_ref().unwrap_or(&nothing));
        [
            self.place.to_string(),
            self.result.clone(),
            number(self.row.map(i64::from)),
            text(&self.line_id),
            number(self.line_no),
            text(&self.conversion_id),
            text(&self.reversal_id),
            text(&self.external_reference),
            text(&self.counterparty),
            number(self.window),
            figure(&here.amount),
            number(here.points),
            number(here.debit_points),
            figure(&there.amount),
            number(there.points),
            number(there.debit_points),
            figure(&self.difference),
            figure(&self.line_amount),
            text(&self.kind),
        ]
    }
}

/// The heading of differences as CSV.
pub fn csv_heading() -> Vec<u8> {
    records(std::iter::once(COLUMNS.map(str::to_owned)))
}

/// Differences as CSV (RFC 4180); texts are made safe for spreadsheets.
pub fn to_csv(differences: &[Difference]) -> Vec<u8> {
    records(differences.iter().map(Difference::cells))
}

fn records(cells: impl Iterator<Item = [String; 19]>) -> Vec<u8> {
    let mut rows = csv::Rows::after(Vec::new());
    cells.for_each(|row| rows.push(row));
    rows.finish()
}
