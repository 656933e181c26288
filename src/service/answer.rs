//! What callers read: one rendering of each thing, shared by the answer to a POST, its replays, its event and its GET.
//!
//! A replay must be the first answer byte for byte, so these types are filled from immutable fields alone, in a fixed
//! order; what changes later stands in the types of a GET, which wrap these.

use crate::book::command::{
    ConversionRow, CreditKind, CrossingRow, MovementRow, MovementSide, Parcel, ReversalRow, ReversalState,
};
use crate::domain::catalogue::Party;
use crate::domain::confirmation::Confirmation;
use crate::domain::crossing::State;
use crate::domain::expiry::Expiry;
use crate::domain::ids::{AccountId, ConversionId, MovementId, ReversalId, Slug, TokenId, WindowId};
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::terms::Terms;
use chrono::{DateTime, Duration, NaiveDate, Utc};
use serde::{Serialize, Serializer};
use std::fmt::Display;
use utoipa::ToSchema;

/// Minutes a conversion over two ledgers takes at most while nobody is in the way.
const ARRIVAL_MINUTES: i64 = 15;

/// Written as its `Display` text, without an allocation of its own.
#[derive(Clone, Copy, Debug)]
pub struct Shown<T>(pub T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A completed conversion as one of its two brands sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Conversion)]
pub struct ConversionAnswer<'a> {
    #[schema(value_type = String, pattern = "^cnv_[0-9a-f]{32}$", example = "cnv_0198c0de0000700080000000000000aa")]
    pub conversion_id: Shown<ConversionId>,
    /// What the member sees: twelve characters in groups of four, the last a check character.
    #[schema(value_type = String, example = "955V-792C-M976")]
    pub confirmation: Option<Shown<Confirmation>>,
    /// `completed`: what later became of it is a GET away.
    #[schema(value_type = String, example = "completed")]
    pub state: &'static str,
    #[schema(value_type = String, example = "lumen")]
    pub from: &'a str,
    #[schema(value_type = String, example = "harvest")]
    pub to: &'a str,
    /// The reader's own membership.
    #[schema(value_type = String)]
    pub membership_id: Shown<AccountId>,
    /// The other brand's member, by the token this pair of brands knows it by.
    #[schema(value_type = String)]
    pub counterpart: Shown<TokenId>,
    #[schema(example = 136)]
    pub debit_points: i64,
    #[schema(example = 68)]
    pub credit_points: i64,
    pub bonuses: Vec<BonusAnswer<'a>>,
    #[schema(example = 74)]
    pub total_credit_points: i64,
    pub arriving_lots: Vec<LotAnswer>,
    pub rate: RateAnswer,
    #[schema(value_type = String, example = "ordinary")]
    pub tier: &'a str,
    pub fee: FeeAnswer<'a>,
    #[schema(value_type = String, format = DateTime)]
    pub undo_until: DateTime<Utc>,
    #[schema(value_type = String)]
    pub window_id: Shown<WindowId>,
    #[schema(value_type = String, format = DateTime)]
    pub completed_at: DateTime<Utc>,
    #[schema(value_type = Option<String>)]
    pub external_reference: Option<&'a str>,
}

/// A conversion over two ledgers that is on its way, or that ended without one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PendingConversion)]
pub struct PendingAnswer<'a> {
    #[schema(value_type = String, pattern = "^cnv_[0-9a-f]{32}$")]
    pub conversion_id: Shown<ConversionId>,
    /// What the member sees, and keeps when it is completed.
    #[schema(value_type = String, example = "955V-792C-M976")]
    pub confirmation: Option<Shown<Confirmation>>,
    /// pending; in_doubt: a person looks at it; released: nothing moved.
    #[schema(value_type = String, example = "pending")]
    pub state: &'static str,
    /// Why it was released or is in doubt, such as `insufficient_points`.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'a str>,
    #[schema(value_type = String, example = "sprout")]
    pub from: &'a str,
    #[schema(value_type = String, example = "nest")]
    pub to: &'a str,
    /// The reader's own membership.
    #[schema(value_type = String)]
    pub membership_id: Shown<AccountId>,
    /// The other brand's member, by the token this pair of brands knows it by.
    #[schema(value_type = String)]
    pub counterpart: Shown<TokenId>,
    pub debit_points: i64,
    pub credit_points: i64,
    pub bonuses: Vec<BonusAnswer<'a>>,
    pub total_credit_points: i64,
    pub rate: RateAnswer,
    #[schema(value_type = String)]
    pub tier: &'a str,
    pub fee: FeeAnswer<'a>,
    #[schema(value_type = String, format = DateTime)]
    pub accepted_at: DateTime<Utc>,
    /// When it will have arrived, if both ledgers answer.
    #[schema(value_type = String, format = DateTime)]
    pub arrives_by: DateTime<Utc>,
    #[schema(value_type = Option<String>)]
    pub external_reference: Option<&'a str>,
}

/// What a conversion came to at once: 201 completed, 202 pending.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Converted)]
#[serde(untagged)]
pub enum ConvertedAnswer<'a> {
    Completed(ConversionAnswer<'a>),
    Pending(PendingAnswer<'a>),
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Bonus)]
pub struct BonusAnswer<'a> {
    #[schema(value_type = String)]
    pub campaign: &'a str,
    pub points: i64,
    /// The slug of the brand that pays for it, or `operator`.
    #[schema(value_type = String)]
    pub funder: &'a str,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Lot)]
pub struct LotAnswer {
    pub points: i64,
    /// The last day they can be spent; null: never.
    #[schema(value_type = Option<String>, format = Date)]
    pub expires_on: Option<NaiveDate>,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = RateUsed)]
pub struct RateAnswer {
    pub num: i64,
    pub den: i64,
    pub version: i64,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Fee)]
pub struct FeeAnswer<'a> {
    /// A decimal string, exact to the millionth.
    #[schema(value_type = String, example = "0.034")]
    pub amount: Shown<Millionths>,
    #[schema(value_type = String, example = "CNY")]
    pub currency: &'a str,
    /// The slug of the brand that pays it, or `operator`.
    #[schema(value_type = String)]
    pub payer: &'a str,
}

/// A credit or a debit of a hosted account, or what took one back.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Movement)]
pub struct MovementAnswer<'a> {
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credit_id: Option<Shown<MovementId>>,
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debit_id: Option<Shown<MovementId>>,
    /// Set when this takes back (part of) the movement named above.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reversal_id: Option<Shown<MovementId>>,
    #[schema(value_type = String)]
    pub membership_id: Shown<AccountId>,
    pub points: i64,
    /// Of a credit: earn, extra, opening, adjust.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    #[schema(value_type = String)]
    pub reason: &'a str,
    /// Of a credit: owed points it met. Of a credit's reversal: what was missing and is now owed.
    pub owed_points: i64,
    pub lots: Vec<LotAnswer>,
    #[schema(value_type = Option<String>, format = Date)]
    pub available_on: Option<NaiveDate>,
    #[schema(value_type = Option<String>)]
    pub external_reference: Option<&'a str>,
    #[schema(value_type = String, format = DateTime)]
    pub posted_at: DateTime<Utc>,
}

/// An undo or a reversal of a conversion, as it stood when it was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Reversal)]
pub struct ReversalAnswer<'a> {
    #[schema(value_type = String)]
    pub reversal_id: Shown<ReversalId>,
    #[schema(value_type = String)]
    pub conversion_id: Shown<ConversionId>,
    /// undo, reversal.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// requested: the other brand has not confirmed and nothing moved; pending: on its way between two ledgers;
    /// completed; refused: the ledger that was to give the points back would not, and nothing moved.
    #[schema(value_type = String)]
    pub state: &'static str,
    #[schema(value_type = String)]
    pub asked_by: &'a str,
    /// Base credit taken back at the target.
    pub credit_points: i64,
    pub bonus_points: i64,
    /// Points given back at the origin.
    pub debit_points: i64,
    pub returning_lots: Vec<LotAnswer>,
    #[schema(value_type = String)]
    pub fee_returned: Shown<Millionths>,
    #[schema(value_type = String)]
    pub currency: &'a str,
    #[schema(value_type = String)]
    pub reason: &'a str,
    #[schema(value_type = Option<String>)]
    pub external_reference: Option<&'a str>,
    /// Null while it is requested.
    #[schema(value_type = Option<String>)]
    pub window_id: Option<Shown<WindowId>>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub completed_at: Option<DateTime<Utc>>,
}

/// A conversion as it stands today.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConversionState)]
pub struct ConversionState<'a> {
    /// Its `state` is today's: completed, undone; of one over two ledgers whose points the origin has not captured yet,
    /// pending or in_doubt.
    #[serde(flatten)]
    pub conversion: ConversionAnswer<'a>,
    pub reversed_credit_points: i64,
    pub reversed_bonus_points: i64,
    /// Points that came back to the origin.
    pub reversed_debit_points: i64,
    pub reversals: Vec<ReversalAnswer<'a>>,
}

/// Which of the two brands reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    From,
    To,
}

impl Side {
    /// The side `reader` is of a conversion under `terms`; `None`: it is not this brand's.
    pub fn of(reader: &Slug, terms: &Terms) -> Option<Side> {
        if *reader == terms.from {
            Some(Side::From)
        } else if *reader == terms.to {
            Some(Side::To)
        } else {
            None
        }
    }
}

/// The side that asked for a conversion: who gets the answer to the POST.
pub fn asker(row: &ConversionRow) -> Side {
    if row.pulled { Side::To } else { Side::From }
}

/// Renders a conversion for one side; the reference is shown to the brand that gave it.
pub fn conversion<'a>(row: &'a ConversionRow, side: Side, currency: &'a str) -> ConversionAnswer<'a> {
    let terms = &row.terms;
    let (own, other) = match side {
        Side::From => (row.from_account, row.to_token),
        Side::To => (row.to_account, row.from_token),
    };
    ConversionAnswer {
        conversion_id: Shown(row.id),
        confirmation: confirmation(row),
        state: "completed",
        from: terms.from.as_str(),
        to: terms.to.as_str(),
        membership_id: Shown(own),
        counterpart: Shown(other),
        debit_points: row.debit.get(),
        credit_points: row.credit.get(),
        bonuses: bonuses(terms, &row.bonuses),
        total_credit_points: row.bonuses.iter().fold(row.credit.get(), |sum, bonus| sum + bonus.get()),
        arriving_lots: lots(&row.lots_in),
        rate: rate(terms),
        tier: &terms.tier,
        fee: FeeAnswer { amount: Shown(row.fee), currency, payer: party(terms, terms.fee_payer) },
        undo_until: row.at + Duration::seconds(i64::from(terms.undo_s)),
        window_id: Shown(row.window),
        completed_at: row.at,
        external_reference: row.reference.as_deref().filter(|_| side == asker(row)),
    }
}

fn confirmation(row: &ConversionRow) -> Option<Shown<Confirmation>> {
    let (batch_no, ordinal) =
        row.accepted.map_or((row.batch_no, row.ordinal), |accepted| (accepted.batch_no, accepted.ordinal));
    Confirmation::new(batch_no, ordinal).map(Shown)
}

/// When a conversion over two ledgers has arrived, if nobody is in the way: a promise, not a rule.
pub fn arrives_by(accepted_at: DateTime<Utc>) -> DateTime<Utc> {
    accepted_at + Duration::minutes(ARRIVAL_MINUTES)
}

/// Renders a conversion that is on its way, as it was accepted.
pub fn pending<'a>(row: &'a CrossingRow, side: Side, currency: &'a str) -> PendingAnswer<'a> {
    let terms = &row.terms;
    let (own, other) = match side {
        Side::From => (row.from_account, row.to_token),
        Side::To => (row.to_account, row.from_token),
    };
    let asker = if row.pulled { Side::To } else { Side::From };
    PendingAnswer {
        conversion_id: Shown(row.conversion),
        confirmation: Confirmation::new(row.batch_no, row.ordinal).map(Shown),
        state: "pending",
        code: None,
        from: terms.from.as_str(),
        to: terms.to.as_str(),
        membership_id: Shown(own),
        counterpart: Shown(other),
        debit_points: row.debit.get(),
        credit_points: row.credit.get(),
        bonuses: bonuses(terms, &row.bonuses),
        total_credit_points: row.total_credit().get(),
        rate: rate(terms),
        tier: &terms.tier,
        fee: FeeAnswer { amount: Shown(row.fee), currency, payer: party(terms, terms.fee_payer) },
        accepted_at: row.at,
        arrives_by: arrives_by(row.at),
        external_reference: row.reference.as_deref().filter(|_| side == asker),
    }
}

/// Renders one that is on its way, or ended without a conversion, as it stands today.
pub fn pending_state<'a>(row: &'a CrossingRow, side: Side, currency: &'a str) -> PendingAnswer<'a> {
    let code = row.cause.as_deref().filter(|_| row.in_doubt || row.state.is_over());
    PendingAnswer { state: standing(row), code, ..pending(row, side, currency) }
}

/// What a crossing's state means to a member.
pub fn standing(row: &CrossingRow) -> &'static str {
    match row.state {
        State::Done => "completed",
        State::Released => "released",
        _ if row.in_doubt => "in_doubt",
        State::Holding | State::Crediting | State::Capturing | State::Voiding | State::Releasing => "pending",
    }
}

/// Renders a conversion as it stands today, with what was taken back of it.
pub fn conversion_state<'a>(
    row: &'a ConversionRow,
    crossing: Option<&CrossingRow>,
    reversals: &'a [ReversalRow],
    side: Side,
    currency: &'a str,
) -> ConversionState<'a> {
    let reader = match side {
        Side::From => &row.terms.from,
        Side::To => &row.terms.to,
    };
    let state = match crossing {
        Some(crossing) if !crossing.state.is_over() => standing(crossing),
        _ if row.reversed.undone => "undone",
        _ => "completed",
    };
    ConversionState {
        conversion: ConversionAnswer { state, ..conversion(row, side, currency) },
        reversed_credit_points: row.reversed.credit.get(),
        reversed_bonus_points: row.reversed.bonus.get(),
        reversed_debit_points: row.reversed.debit.get(),
        reversals: reversals.iter().map(|one| reversal(one, reader, currency)).collect(),
    }
}

/// Renders a credit, a debit or the reversal of one.
pub fn movement(row: &MovementRow) -> MovementAnswer<'_> {
    let named = Shown(row.reverses.unwrap_or(row.id));
    // A reversal's row says which side it takes back from.
    let (credit_id, debit_id) = match row.side {
        MovementSide::Credit => (Some(named), None),
        MovementSide::Debit => (None, Some(named)),
    };
    MovementAnswer {
        credit_id,
        debit_id,
        reversal_id: row.reverses.map(|_| Shown(row.id)),
        membership_id: Shown(row.account),
        points: row.points.get(),
        kind: row.kind.map(credit_kind),
        reason: &row.reason,
        owed_points: row.owed.get(),
        lots: lots(&row.lots),
        available_on: row.available_on,
        external_reference: row.reference.as_deref(),
        posted_at: row.at,
    }
}

/// Renders an undo or a reversal; the reference is shown to the brand that gave it.
pub fn reversal<'a>(row: &'a ReversalRow, reader: &Slug, currency: &'a str) -> ReversalAnswer<'a> {
    // Window and time are those of the posting; the first answer to one that waits must not change with them.
    let completed = row.state == ReversalState::Completed;
    ReversalAnswer {
        reversal_id: Shown(row.id),
        conversion_id: Shown(row.conversion),
        kind: if row.undo { "undo" } else { "reversal" },
        state: match row.state {
            ReversalState::Requested => "requested",
            ReversalState::Completed => "completed",
            ReversalState::Pending => "pending",
            ReversalState::Refused => "refused",
        },
        asked_by: row.asked_by.as_str(),
        credit_points: row.credit.get(),
        bonus_points: row.bonus.get(),
        debit_points: row.debit.get(),
        returning_lots: lots(&row.lots_back),
        fee_returned: Shown(row.fee),
        currency,
        reason: &row.reason,
        external_reference: row.reference.as_deref().filter(|_| *reader == row.asked_by),
        window_id: completed.then_some(Shown(row.window)),
        completed_at: completed.then_some(row.at),
    }
}

/// The bonus of each campaign, in the order of the terms.
pub fn bonuses<'a>(terms: &'a Terms, points: &[Points]) -> Vec<BonusAnswer<'a>> {
    let bonus = |(campaign, points): (&'a crate::domain::terms::FrozenCampaign, &Points)| BonusAnswer {
        campaign: &campaign.code,
        points: points.get(),
        funder: party(terms, campaign.funder),
    };
    terms.campaigns.iter().zip(points).map(bonus).collect()
}

pub fn rate(terms: &Terms) -> RateAnswer {
    RateAnswer { num: terms.ratio.num(), den: terms.ratio.den(), version: terms.rate_version }
}

/// The slug of a party to the terms, or `operator`.
pub fn party(terms: &Terms, party: Party) -> &str {
    match party {
        Party::From => terms.from.as_str(),
        Party::To => terms.to.as_str(),
        Party::Operator => "operator",
    }
}

/// Parcels as lots; a bonus that floors to nothing is no lot.
pub fn lots(parcels: &[Parcel]) -> Vec<LotAnswer> {
    let lot = |parcel: &Parcel| LotAnswer { points: parcel.points.get(), expires_on: expires_on(parcel.expires) };
    parcels.iter().filter(|parcel| !parcel.points.is_zero()).map(lot).collect()
}

pub fn expires_on(expiry: Expiry) -> Option<NaiveDate> {
    match expiry {
        Expiry::On(day) => Some(day),
        Expiry::Never => None,
    }
}

pub fn credit_kind(kind: CreditKind) -> &'static str {
    match kind {
        CreditKind::Earn => "earn",
        CreditKind::Extra => "extra",
        CreditKind::Opening => "opening",
        CreditKind::Adjust => "adjust",
    }
}
