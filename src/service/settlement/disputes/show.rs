//! A dispute as its parties and operators read it, in answers and events alike.

use super::{Viewer, Whole};
use crate::domain::ids::{AdjustmentId, ConversionId, DisputeId, LineId, ReconciliationId, WindowId};
use crate::domain::money::Millionths;
use crate::domain::settlement::dispute::State;
use crate::service::answer::Shown;
use crate::store::settlement::disputes::{Proposed, Settled};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// A dispute. Amounts are the opener's: positive is owed to it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Dispute)]
pub struct DisputeAnswer {
    #[schema(value_type = String, pattern = "^dis_[0-9a-f]{32}$")]
    pub dispute_id: Shown<DisputeId>,
    /// `open`, `answered`, `decided` or `withdrawn`.
    #[schema(value_type = String, example = "open")]
    pub state: &'static str,
    #[schema(value_type = String, example = "amount")]
    pub kind: &'static str,
    #[schema(value_type = String)]
    pub window_id: Shown<WindowId>,
    /// Number of the window.
    pub window: i64,
    /// A partner's slug.
    #[schema(example = "lumen")]
    pub opener: String,
    /// A partner's slug, or `operator`; absent for what is missing while nobody is named.
    #[schema(example = "harvest")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<String>,
    /// The opener's line; absent for what is missing.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line_id: Option<Shown<LineId>>,
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversion_id: Option<Shown<ConversionId>>,
    /// The opener's own: to itself and operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_reference: Option<String>,
    /// What the line says; absent for what is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stated: Option<FiguresAnswer>,
    /// What the opener says it should be.
    pub claimed: FiguresAnswer,
    /// What the opener wants added to what it is owed; absent when it has named no money.
    #[schema(value_type = Option<String>, example = "0.40")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<Shown<Millionths>>,
    #[schema(example = "CNY")]
    pub currency: String,
    pub note: String,
    /// To the opener and operators.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconciliation_id: Option<Shown<ReconciliationId>>,
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: DateTime<Utc>,
    /// The last day on which the counterparty is waited for.
    #[schema(value_type = String, format = Date)]
    pub answer_by: NaiveDate,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<SaidAnswer>,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withdrawn_at: Option<DateTime<Utc>>,
    /// What one operator has proposed and another is to say as well: to operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposal: Option<ProposalAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionAnswer>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DisputedFigures)]
pub struct FiguresAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points: Option<i64>,
    #[schema(value_type = Option<String>, example = "-3.40")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Shown<Millionths>>,
}

/// What the counterparty said.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DisputeSaid)]
pub struct SaidAnswer {
    /// `accepted` or `rejected`.
    #[schema(value_type = String, example = "rejected")]
    pub answer: &'static str,
    pub note: String,
    #[schema(value_type = String, format = DateTime)]
    pub at: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DisputeProposal)]
pub struct ProposalAnswer {
    /// `upheld` or `rejected`.
    #[schema(value_type = String, example = "upheld")]
    pub outcome: &'static str,
    /// What the opener would be given.
    #[schema(value_type = Option<String>, example = "0.40")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Shown<Millionths>>,
    /// Who would give it, where the dispute names nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<String>,
    pub reason: String,
    pub proposed_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub proposed_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DisputeDecision)]
pub struct DecisionAnswer {
    /// `upheld` or `rejected`.
    #[schema(value_type = String, example = "upheld")]
    pub outcome: &'static str,
    /// What the opener is given, negative what it gives back.
    #[schema(value_type = Option<String>, example = "0.40")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Shown<Millionths>>,
    pub reason: String,
    #[schema(value_type = String, format = DateTime)]
    pub decided_at: DateTime<Utc>,
    /// The adjustment whose line both sides find in the window open when it was decided.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adjustment_id: Option<Shown<AdjustmentId>>,
    /// To operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposed_by: Option<String>,
    /// To operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
}

impl DisputeAnswer {
    pub fn of(whole: &Whole, viewer: &Viewer, currency: &str) -> DisputeAnswer {
        let row = &whole.row;
        let is_operator = *viewer == Viewer::Operator;
        let is_own = is_operator || *viewer == Viewer::Party(row.parties.opener.clone());
        let figures =
            |points: Option<i64>, amount: Option<Millionths>| FiguresAnswer { points, amount: amount.map(Shown) };
        let said = whole.answered.as_ref().map(|answered| SaidAnswer {
            answer: answered.answer.code(),
            note: answered.note.clone(),
            at: answered.at,
        });
        let settled = whole.proposed.as_ref().and_then(|proposed| Some((proposed, proposed.settled.as_ref()?)));
        let open = whole.proposed.as_ref().filter(|proposed| is_operator && proposed.settled.is_none());
        DisputeAnswer {
            dispute_id: Shown(row.id),
            state: row.state.code(),
            kind: row.kind.code(),
            window_id: Shown(row.window),
            window: row.number,
            opener: row.parties.opener.to_string(),
            counterparty: row.parties.counterparty.as_ref().map(ToString::to_string),
            line_id: row.line.map(Shown),
            conversion_id: row.conversion.map(Shown),
            external_reference: row.reference.clone().filter(|_| is_own),
            stated: row.stated_amount.map(|amount| figures(row.stated_points, Some(amount))),
            claimed: figures(row.claimed_points, row.claimed_amount),
            claim: row.claim.map(Shown),
            currency: currency.to_owned(),
            note: row.note.clone(),
            reconciliation_id: row.reconciliation.filter(|_| is_own).map(Shown),
            opened_at: row.opened_at,
            answer_by: row.answer_by,
            answer: said,
            withdrawn_at: (row.state == State::Withdrawn).then_some(row.state_at),
            proposal: open.map(ProposalAnswer::of),
            decision: settled.map(|(proposed, settled)| DecisionAnswer::of(proposed, settled, is_operator)),
        }
    }
}

impl ProposalAnswer {
    fn of(proposed: &Proposed) -> ProposalAnswer {
        ProposalAnswer {
            outcome: proposed.outcome.code(),
            amount: proposed.award.map(Shown),
            counterparty: proposed.counterparty.as_ref().map(ToString::to_string),
            reason: proposed.reason.clone(),
            proposed_by: proposed.by.clone(),
            proposed_at: proposed.at,
        }
    }
}

impl DecisionAnswer {
    fn of(proposed: &Proposed, settled: &Settled, with_names: bool) -> DecisionAnswer {
        DecisionAnswer {
            outcome: proposed.outcome.code(),
            amount: proposed.award.map(Shown),
            reason: proposed.reason.clone(),
            decided_at: settled.at,
            adjustment_id: settled.adjustment.map(Shown),
            proposed_by: with_names.then(|| proposed.by.clone()),
            decided_by: with_names.then(|| settled.by.clone()),
        }
    }
}
