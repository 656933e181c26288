//! What is on its way between two ledgers, and what the callers of partners report of it.
//!
//! For a conversion the source is where it comes from and the target where it goes; for an undo or a reversal it is the
//! other way round.

use super::command::{ConversionRow, Parcel, Reversed};
use crate::domain::crossing::{State, Step};
use crate::domain::ids::{AccountId, ConversionId, QuoteId, Slug, TokenId, WindowId};
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::terms::Terms;
use chrono::{DateTime, NaiveDate, Utc};
use std::sync::Arc;
use uuid::Uuid;

/// What crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Conversion,
    Undo,
    Reversal,
}

impl Kind {
    pub fn number(self) -> i16 {
        match self {
            Kind::Conversion => 0,
            Kind::Undo => 1,
            Kind::Reversal => 2,
        }
    }

    pub fn from_number(number: i16) -> Option<Kind> {
        [Kind::Conversion, Kind::Undo, Kind::Reversal].into_iter().find(|kind| kind.number() == number)
    }
}

/// Where a conversion that crossed was accepted: its confirmation number, and the day its members' limits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub batch_no: i64,
    pub ordinal: i32,
    pub day: NaiveDate,
}

/// A crossing as it stands. Only `state`, `lots_held`, `lots_arriving`, `cause`, `in_doubt` and `version` change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrossingRow {
    /// The conversion's, or the undo's or reversal's.
    pub id: Uuid,
    pub kind: Kind,
    pub conversion: ConversionId,
    pub state: State,
    /// Of the conversion's direction, whatever crosses.
    pub from_account: AccountId,
    pub to_account: AccountId,
    pub terms: Arc<Terms>,
    /// What moves at the conversion's origin and at its target; of an undo or a reversal, its part.
    pub debit: Points,
    pub credit: Points,
    pub bonuses: Vec<Points>,
    pub fee: Millionths,
    /// Of an undo or a reversal: the dates to take at the source, the last to arrive first.
    pub lots_wanted: Vec<Parcel>,
    /// Held at the source; empty until it has answered.
    pub lots_held: Vec<Parcel>,
    /// To be credited at the target: base lots first, then one per bonus.
    pub lots_arriving: Vec<Parcel>,
    pub source_entry_no: i64,
    pub from_token: TokenId,
    pub to_token: TokenId,
    pub reference: Option<String>,
    pub quote: Option<QuoteId>,
    pub pulled: bool,
    pub asked_by: Slug,
    pub batch_no: i64,
    pub ordinal: i32,
    /// Business time and date of acceptance.
    pub at: DateTime<Utc>,
    pub day: NaiveDate,
    /// Why it was released or is in doubt: a code.
    pub cause: Option<String>,
    pub in_doubt: bool,
    /// As read; 0 for one accepted in this batch.
    pub version: i64,
}

impl CrossingRow {
    /// The account whose points are held.
    pub fn source(&self) -> AccountId {
        match self.kind {
            Kind::Conversion => self.from_account,
            Kind::Undo | Kind::Reversal => self.to_account,
        }
    }

    pub fn target(&self) -> AccountId {
        match self.kind {
            Kind::Conversion => self.to_account,
            Kind::Undo | Kind::Reversal => self.from_account,
        }
    }

    pub fn source_partner(&self) -> &Slug {
        match self.kind {
            Kind::Conversion => &self.terms.from,
            Kind::Undo | Kind::Reversal => &self.terms.to,
        }
    }

    pub fn target_partner(&self) -> &Slug {
        match self.kind {
            Kind::Conversion => &self.terms.to,
            Kind::Undo | Kind::Reversal => &self.terms.from,
        }
    }

    /// Base and bonuses.
    pub fn total_credit(&self) -> Points {
        let bonus = Points::sum(self.bonuses.iter().copied()).unwrap_or(Points::MAX);
        self.credit.plus(bonus).unwrap_or(Points::MAX)
    }

    /// Points held at the source.
    pub fn source_points(&self) -> Points {
        match self.kind {
            Kind::Conversion => self.debit,
            Kind::Undo | Kind::Reversal => self.total_credit(),
        }
    }

    /// Points credited at the target.
    pub fn target_points(&self) -> Points {
        match self.kind {
            Kind::Conversion => self.total_credit(),
            Kind::Undo | Kind::Reversal => self.debit,
        }
    }

    pub fn accepted(&self) -> Accepted {
        Accepted { batch_no: self.batch_no, ordinal: self.ordinal, day: self.day }
    }

    /// The conversion this is to become, as far as it is known: for a quote.
    pub fn forecast(&self) -> ConversionRow {
        self.posted(self.batch_no, self.ordinal, WindowId(Uuid::nil()), (self.at, self.day), (0, 0))
    }

    /// The conversion it has become.
    pub(super) fn posted(
        &self,
        batch_no: i64,
        ordinal: i32,
        window: WindowId,
        (at, day): (DateTime<Utc>, NaiveDate),
        (from_entry_no, to_entry_no): (i64, i64),
    ) -> ConversionRow {
        ConversionRow {
            id: self.conversion,
            from_account: self.from_account,
            to_account: self.to_account,
            batch_no,
            ordinal,
            window,
            terms: self.terms.clone(),
            debit: self.debit,
            credit: self.credit,
            bonuses: self.bonuses.clone(),
            fee: self.fee,
            lots_out: self.lots_held.clone(),
            lots_in: self.lots_arriving.clone(),
            from_entry_no,
            to_entry_no,
            from_token: self.from_token,
            to_token: self.to_token,
            reference: self.reference.clone(),
            quote: self.quote,
            pulled: self.pulled,
            at,
            day,
            accepted: Some(self.accepted()),
            reversed: Reversed::default(),
        }
    }
}

/// What came of a call to a partner, or what a person decided: the next step of a crossing.
#[derive(Clone, Debug)]
pub struct Advance {
    pub crossing: Uuid,
    /// The state the caller acted on: a step reported of another state is no news.
    pub of: State,
    pub step: Step,
    /// Of `Held`: what the source holds, the first to be spent first.
    pub lots: Vec<Parcel>,
    /// Of `Refused`, or of a doubt: why.
    pub cause: Option<String>,
    /// Patience is over, or the answer contradicts itself: a person has to look. The step is then ignored.
    pub doubt: bool,
}
