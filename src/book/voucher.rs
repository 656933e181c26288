//! What is asked of the book about vouchers, and its rows of them: a voucher, and each use of it that settles something.

use super::command::{DirectoryHash, Parcel};
use crate::domain::benefit::{Benefit, BenefitTerms};
use crate::domain::ids::{AccountId, BenefitId, Slug, TokenId, UseId, VoucherId, WindowId};
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::voucher::State;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use std::sync::Arc;

/// How long a reservation is kept, business time.
pub const RESERVED_FOR: TimeDelta = TimeDelta::minutes(10);

/// A member of the caller's takes a benefit; the voucher's id is the request's `fresh`.
#[derive(Clone, Debug)]
pub struct Claim {
    pub who: DirectoryHash,
    pub benefit: BenefitId,
    pub giver: Slug,
    /// The version it was read in, if no other will do.
    pub version: Option<i64>,
    /// Only keep a place for a while: `ConfirmClaim` makes it a voucher.
    pub reserve: bool,
    /// The code, if the giver has uploaded none.
    pub code: MadeCode,
    /// By which the giver knows the member in its statements, if they are not linked: random.
    pub token: TokenId,
}

/// A code as it is kept: found by its hash, shown by unsealing it.
#[derive(Clone, PartialEq, Eq)]
pub struct MadeCode {
    pub hash: DirectoryHash,
    pub sealed: Vec<u8>,
}

impl std::fmt::Debug for MadeCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MadeCode(…)")
    }
}

/// Makes a reservation a voucher.
#[derive(Clone, Copy, Debug)]
pub struct ConfirmClaim {
    pub voucher: VoucherId,
}

/// Takes a voucher back that was not used; its points come back to their lots.
#[derive(Clone, Debug)]
pub struct CancelVoucher {
    pub voucher: VoucherId,
    pub reason: String,
}

/// Ends a voucher whose last day, or a reservation whose time, is over.
#[derive(Clone, Copy, Debug)]
pub struct ExpireVoucher {
    pub voucher: VoucherId,
}

/// A till of the giver's takes a voucher; the use's id is the request's `fresh`.
#[derive(Clone, Debug)]
pub struct Redeem {
    /// What the code that was shown may be: one of ours, or one of the giver's.
    pub codes: Vec<DirectoryHash>,
    /// What is to be paid before the voucher.
    pub bill: Option<Millionths>,
    /// The alliance's smallest coin.
    pub coin: Millionths,
    pub store: String,
    pub till: Option<String>,
    /// The bill: vouchers that do not stack are one a bill.
    pub receipt: Option<Receipt>,
}

/// A bill by its number, and what two tills with the same one take turns by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub number: String,
    pub hash: DirectoryHash,
}

/// Takes back what a till did by mistake.
#[derive(Clone, Debug)]
pub struct ReverseRedemption {
    pub redemption: UseId,
    pub reason: String,
}

/// A benefit as a batch finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// With the offers alone that nobody has to approve, or has approved.
    pub benefit: Arc<Benefit>,
    pub quota: Option<i64>,
    pub taken: i64,
    /// Tiers of its giver's ladder that the giver sees in other brands' tiers: brand, its tier, the giver's.
    pub recognised: Arc<Vec<(Slug, String, String)>>,
}

/// A voucher: only `state`, `used`, `settled` and `version` change, and with a reservation's confirmation what is paid for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherRow {
    pub id: VoucherId,
    pub account: AccountId,
    pub terms: Arc<BenefitTerms>,
    pub state: State,
    /// As it was first answered: reserved, or issued.
    pub first: State,
    pub used: i32,
    /// What of its cost is settled.
    pub settled: Millionths,
    pub token: TokenId,
    pub lots_out: Vec<Parcel>,
    /// The account's newest entry when its points were taken.
    pub entry_no: i64,
    /// The last day it may be used.
    pub use_by: NaiveDate,
    /// Of a reservation.
    pub reserved_until: Option<DateTime<Utc>>,
    pub reference: Option<String>,
    /// `None`: it is the giver's, from its pool.
    pub code: Option<MadeCode>,
    /// When it was claimed.
    pub at: DateTime<Utc>,
    /// The day it counts for: that of its issue.
    pub day: NaiveDate,
    pub batch_no: i64,
    pub version: i64,
}

/// What a use is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UseKind {
    /// Claimed, of a benefit that settles then.
    Issue,
    Redemption,
    /// A till's mistake, taken back.
    Reversal,
    /// What was settled at its issue, given back with the voucher.
    Refund,
}

impl UseKind {
    pub const ALL: [(UseKind, &'static str); 4] = [
        (UseKind::Issue, "issue"),
        (UseKind::Redemption, "redemption"),
        (UseKind::Reversal, "reversal"),
        (UseKind::Refund, "refund"),
    ];

    pub fn number(self) -> i16 {
        let at = Self::ALL.iter().position(|(kind, _)| *kind == self).unwrap_or_default();
        i16::try_from(at).unwrap_or_default()
    }

    pub fn from_number(number: i16) -> Option<UseKind> {
        usize::try_from(number).ok().and_then(|at| Self::ALL.get(at)).map(|(kind, _)| *kind)
    }

    pub fn code(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("redemption", |(_, code)| code)
    }

    /// Whether it takes another use back.
    pub fn is_back(self) -> bool {
        matches!(self, UseKind::Reversal | UseKind::Refund)
    }
}

/// One use; nothing of it changes but `reversed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UseRow {
    pub id: UseId,
    pub voucher: VoucherId,
    pub account: AccountId,
    pub terms: Arc<BenefitTerms>,
    pub kind: UseKind,
    /// What the payer owes for it, or is owed back; 0 where it settles nothing.
    pub cost: Millionths,
    /// Which of the voucher's uses, from 1; 0 of its issue.
    pub nth: i32,
    pub token: TokenId,
    pub bill: Option<Millionths>,
    pub discount: Option<Millionths>,
    pub store: Option<String>,
    pub till: Option<String>,
    pub receipt: Option<String>,
    pub reason: Option<String>,
    /// The caller's own, with who that was.
    pub reference: Option<String>,
    pub by: Slug,
    /// Of what takes one back.
    pub reverses: Option<UseId>,
    /// It was taken back since.
    pub reversed: bool,
    pub window: WindowId,
    pub batch_no: i64,
    /// Among the uses of its batch, from 1.
    pub ordinal: i32,
    pub at: DateTime<Utc>,
    pub day: NaiveDate,
}

impl VoucherRow {
    pub fn points(&self) -> Points {
        self.terms.points
    }
}
