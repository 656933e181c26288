//! What can be asked of the book, and what it answers.
//!
//! A request carries everything that is chance or identity (ids, hashes) so that running it again, after a lost
//! connection, is the same request. It carries no time: the lane reads that once per batch.

pub use super::crossing::{Accepted, Advance, CrossingRow};
pub use super::voucher::{
    CancelVoucher, Claim, ConfirmClaim, ExpireVoucher, Redeem, ReverseRedemption, UseRow, VoucherRow,
};
pub use crate::domain::benefit::Unmet;
use crate::domain::expiry::Expiry;
use crate::domain::ids::{
    AccountId, ConversionId, LinkId, MemberId, MovementId, QuoteId, ReversalId, Slug, TokenId, WindowId,
};
pub use crate::domain::lots::Parcel;
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::terms::Terms;
use chrono::{DateTime, NaiveDate, Utc};
use std::sync::Arc;
use uuid::Uuid;

/// The first 16 bytes of SHA-256 over a kind and its parts: the key of a directory row. See `signing::digest::directory_hash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirectoryHash(pub Uuid);

/// One command with who asks and under which key.
#[derive(Clone, Debug)]
pub struct Request {
    /// The partner of the caller's certificate; for the operator's own commands, the partner acted for.
    pub caller: Slug,
    /// Id for whatever the command creates (conversion, movement, reversal, account, link).
    pub fresh: Uuid,
    /// Echoed in a stored refusal, so that a replay is the first answer byte for byte.
    pub request_id: Uuid,
    /// Where the effect is remembered; `None` for commands that are idempotent by themselves.
    pub key: Option<Key>,
    /// (partner, external_reference): a second effect under another key is refused.
    pub reference: Option<Reference>,
    pub command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub hash: DirectoryHash,
    /// Of the typed command with a version byte: same key, other fingerprint is `idempotency_mismatch`.
    pub fingerprint: Uuid,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub hash: DirectoryHash,
    pub text: String,
}

#[derive(Clone, Debug)]
pub enum Command {
    Register(Register),
    Credit(Credit),
    Debit(Debit),
    ReverseMovement(ReverseMovement),
    Convert(Convert),
    Undo(Undo),
    Reverse(Reverse),
    ConfirmReversal(ConfirmReversal),
    OpenLink(OpenLink),
    EndLink(EndLink),
    Expire(Expire),
    Erase(Erase),
    Advance(Advance),
    Claim(Claim),
    ConfirmClaim(ConfirmClaim),
    CancelVoucher(CancelVoucher),
    ExpireVoucher(ExpireVoucher),
    Redeem(Redeem),
    ReverseRedemption(ReverseRedemption),
}

/// Registers a membership or updates it; creates the account (id: the request's `fresh`).
#[derive(Clone, Debug)]
pub struct Register {
    pub who: DirectoryHash,
    /// The person's id if this membership is new: random.
    pub fresh_member: MemberId,
    /// An earned tier's code on the programme's ladder: `None` keeps the present one (the lowest rung if new), as when
    /// the tier given is granted or on trial, which opens benefits only.
    pub earned_tier: Option<String>,
    pub profile: Profile,
    pub status: Status,
    pub reason: Option<String>,
    /// The caller's own time of this state; an older one than the stored is `stale`.
    pub as_of: Option<DateTime<Utc>>,
    /// Closing with a balance forfeits it, by an entry.
    pub forfeit: bool,
}

/// What a brand tells of its member beside what the book decides with; stored in `memberships` as it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The brand's own reference: lives in `memberships` alone.
    pub member_ref: String,
    /// The tier shown, earned or not.
    pub tier: String,
    pub tier_source: TierSource,
    pub tier_until: Option<NaiveDate>,
    /// none, phone, verified.
    pub identity: Option<String>,
    pub birth_month: Option<i16>,
    pub member_since: Option<NaiveDate>,
    /// What its brand has put on it; `None` keeps what is there.
    pub tags: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierSource {
    Earned,
    Granted,
    Trial,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Active,
    Frozen,
    Closed,
}

/// Points a brand issues to its own member.
#[derive(Clone, Debug)]
pub struct Credit {
    /// Directory hash of (partner, member_ref).
    pub who: DirectoryHash,
    pub points: Points,
    pub kind: CreditKind,
    pub reason: String,
    /// `None`: by the programme's rule.
    pub expires: Option<Expiry>,
    /// Until then pending: shown, neither spent nor converted.
    pub available_on: Option<NaiveDate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreditKind {
    Earn,
    Extra,
    Opening,
    Adjust,
}

/// Points a member spends with, or a brand takes from, its own member.
#[derive(Clone, Debug)]
pub struct Debit {
    /// Directory hash of (partner, member_ref).
    pub who: DirectoryHash,
    pub points: Points,
    pub reason: String,
}

/// Takes back (part of) a credit, or gives back (part of) a debit.
#[derive(Clone, Debug)]
pub struct ReverseMovement {
    pub movement: MovementId,
    /// Which of the two the caller's address names.
    pub of: MovementSide,
    pub points: Points,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovementSide {
    Credit,
    Debit,
}

/// Turns points of one brand into points of another.
#[derive(Clone, Debug)]
pub struct Convert {
    /// The caller's own membership.
    pub who: DirectoryHash,
    pub direction: Direction,
    pub ask: Ask,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Spend the caller's points, arrive at this partner.
    To(Slug),
    /// Spend this partner's points, arrive at the caller: needs `pull` in the link's consent.
    From(Slug),
}

#[derive(Clone, Debug)]
pub enum Ask {
    /// Quote and convert in one call.
    Now {
        want: Want,
        /// `min_total_credit_points`: base and bonus together, else `rate_worse_than_asked`.
        floor: Option<Points>,
    },
    /// Carry out a signed quote; the price is the quote's.
    Quoted(Box<Quoted>),
}

pub use crate::domain::quote::Want;

/// What a verified quote token says.
#[derive(Clone, Debug)]
pub struct Quoted {
    pub quote: QuoteId,
    /// Directory hash of the quote id: single use.
    pub hash: DirectoryHash,
    pub expires_at: DateTime<Utc>,
    pub from_account: AccountId,
    pub to_account: AccountId,
    pub debit: Points,
    pub credit: Points,
    /// One per campaign of `terms`, in its order.
    pub bonuses: Vec<Points>,
    pub terms: Arc<Terms>,
}

#[derive(Clone, Copy, Debug)]
pub struct Undo {
    pub conversion: ConversionId,
}

#[derive(Clone, Debug)]
pub struct Reverse {
    pub conversion: ConversionId,
    pub credit_points: Points,
    pub reason: String,
}

#[derive(Clone, Copy, Debug)]
pub struct ConfirmReversal {
    pub reversal: ReversalId,
}

/// Makes an accepted link part of both accounts and gives both memberships the older member's id (rule 12).
#[derive(Clone, Debug)]
pub struct OpenLink {
    pub link: LinkId,
    pub a: LinkSide,
    pub b: LinkSide,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSide {
    pub account: AccountId,
    /// By which the other side knows this membership.
    pub token: TokenId,
    /// Whether this side's consent lets the other brand spend its points.
    pub pull: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct EndLink {
    pub link: LinkId,
    pub a: AccountId,
    pub b: AccountId,
}

/// Posts what has expired before the batch's business date.
#[derive(Clone, Copy, Debug)]
pub struct Expire {
    pub account: AccountId,
}

/// Closes the account for good and forgets whose it was (rule 13).
#[derive(Clone, Copy, Debug)]
pub struct Erase {
    pub who: DirectoryHash,
}

/// What the book says to one request. `replayed`: this is the first answer again.
#[derive(Clone, Debug)]
pub struct Answer {
    pub replayed: bool,
    pub outcome: Outcome,
}

#[derive(Clone, Debug)]
pub enum Outcome {
    Conversion(Arc<ConversionRow>),
    /// On its way between two ledgers.
    Crossing(Arc<CrossingRow>),
    Movement(Arc<MovementRow>),
    Reversal(Arc<ReversalRow>),
    Membership(AccountId),
    Link(LinkId),
    /// Points posted as expired; zero when there was nothing to post.
    Expired(Points),
    Erased,
    Voucher(Arc<VoucherRow>),
    /// A redemption or what takes one back, with the voucher as it left it.
    Used(Arc<UseRow>, Arc<VoucherRow>),
    Refused(Refusal),
}

/// A final no, stored under the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    /// The request that was first refused, so that a replay has the same bytes.
    pub request_id: Uuid,
    /// What the code needs to be useful.
    pub hint: Hint,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    None,
    /// `not_a_multiple`: the nearest debits (or base credits) that would do; 0 is none below.
    Nearest {
        below: i64,
        above: i64,
    },
    /// `limit_exceeded`, `insufficient_points`, `exposure_exceeded`: how many points of the origin would still pass.
    Left {
        points: i64,
    },
    /// `not_eligible`: what of the benefit's conditions is not met.
    Unmet(Unmet),
    /// `voucher_used`: the use that was the last one.
    Redeemed {
        id: String,
    },
    /// `duplicate_reference`: id of the first effect, as text.
    First {
        id: String,
    },
    /// `invalid`: the field, and what it must be. Never stored, as `invalid` is not.
    Field {
        field: &'static str,
        detail: &'static str,
    },
}

/// Stable refusal codes, each with one meaning; `http::problem` has status, title and detail for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    NotFound,
    Forbidden,
    IdempotencyMismatch,
    DuplicateReference,
    QuoteUsed,
    QuoteInvalid,
    QuoteExpired,
    PartnerSuspended,
    MembershipClosed,
    MembershipFrozen,
    MemberNotLinked,
    LinkCoolingOff,
    AlreadyLinked,
    NoRate,
    RateWorseThanAsked,
    BelowMinimum,
    AboveMaximum,
    NotAMultiple,
    PointsOwed,
    InsufficientPoints,
    LimitExceeded,
    ExposureExceeded,
    UndoWindowClosed,
    PointsSpent,
    ReversalExceeds,
    Stale,
    BalanceNotZero,
    OpenBusiness,
    NotEligible,
    SoldOut,
    AlreadyClaimed,
    VoucherUsed,
    VoucherExpired,
    VoucherCancelled,
    VoucherNotIssued,
    NotToday,
    NotStackable,
    BelowThreshold,
    Invalid,
}

impl Code {
    pub const ALL: [(Code, &'static str); 39] = [
        (Code::NotFound, "not_found"),
        (Code::Forbidden, "forbidden"),
        (Code::IdempotencyMismatch, "idempotency_mismatch"),
        (Code::DuplicateReference, "duplicate_reference"),
        (Code::QuoteUsed, "quote_used"),
        (Code::QuoteInvalid, "quote_invalid"),
        (Code::QuoteExpired, "quote_expired"),
        (Code::PartnerSuspended, "partner_suspended"),
        (Code::MembershipClosed, "membership_closed"),
        (Code::MembershipFrozen, "membership_frozen"),
        (Code::MemberNotLinked, "member_not_linked"),
        (Code::LinkCoolingOff, "link_cooling_off"),
        (Code::AlreadyLinked, "already_linked"),
        (Code::NoRate, "no_rate"),
        (Code::RateWorseThanAsked, "rate_worse_than_asked"),
        (Code::BelowMinimum, "below_minimum"),
        (Code::AboveMaximum, "above_maximum"),
        (Code::NotAMultiple, "not_a_multiple"),
        (Code::PointsOwed, "points_owed"),
        (Code::InsufficientPoints, "insufficient_points"),
        (Code::LimitExceeded, "limit_exceeded"),
        (Code::ExposureExceeded, "exposure_exceeded"),
        (Code::UndoWindowClosed, "undo_window_closed"),
        (Code::PointsSpent, "points_spent"),
        (Code::ReversalExceeds, "reversal_exceeds"),
        (Code::Stale, "stale"),
        (Code::BalanceNotZero, "balance_not_zero"),
        (Code::OpenBusiness, "open_business"),
        (Code::NotEligible, "not_eligible"),
        (Code::SoldOut, "sold_out"),
        (Code::AlreadyClaimed, "already_claimed"),
        (Code::VoucherUsed, "voucher_used"),
        (Code::VoucherExpired, "voucher_expired"),
        (Code::VoucherCancelled, "voucher_cancelled"),
        (Code::VoucherNotIssued, "voucher_not_issued"),
        (Code::NotToday, "not_today"),
        (Code::NotStackable, "not_stackable"),
        (Code::BelowThreshold, "below_threshold"),
        (Code::Invalid, "invalid"),
    ];

    /// The code as clients read it.
    pub fn text(self) -> &'static str {
        Self::ALL.iter().find(|(code, _)| *code == self).map_or("invalid", |(_, text)| text)
    }

    pub fn parse(text: &str) -> Option<Code> {
        Self::ALL.iter().find(|(_, known)| *known == text).map(|(code, _)| *code)
    }
}

/// A conversion as first answered: nothing here changes after the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversionRow {
    pub id: ConversionId,
    pub from_account: AccountId,
    pub to_account: AccountId,
    /// Where it was posted; (batch_no, ordinal) also makes the confirmation number.
    pub batch_no: i64,
    pub ordinal: i32,
    pub window: WindowId,
    pub terms: Arc<Terms>,
    pub debit: Points,
    pub credit: Points,
    /// One per campaign of `terms`, in its order.
    pub bonuses: Vec<Points>,
    pub fee: Millionths,
    pub lots_out: Vec<Parcel>,
    /// Base lots first, then one per bonus.
    pub lots_in: Vec<Parcel>,
    pub from_entry_no: i64,
    pub to_entry_no: i64,
    pub from_token: TokenId,
    pub to_token: TokenId,
    pub reference: Option<String>,
    pub quote: Option<QuoteId>,
    /// Asked for by the target with the origin side's consent.
    pub pulled: bool,
    /// Business time and date.
    pub at: DateTime<Utc>,
    pub day: NaiveDate,
    /// Of one that crossed between two ledgers.
    pub accepted: Option<Accepted>,
    /// What later undos and reversals took back: the only part that changes.
    pub reversed: Reversed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reversed {
    pub undone: bool,
    pub credit: Points,
    pub bonus: Points,
    pub debit: Points,
    pub fee: Millionths,
}

/// A credit, a debit, or the reversal of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovementRow {
    pub id: MovementId,
    pub account: AccountId,
    pub partner: Slug,
    pub side: MovementSide,
    pub kind: Option<CreditKind>,
    pub points: Points,
    /// Credit reversal: what the account could not give and now owes. Credit: owed points met by it.
    pub owed: Points,
    pub reason: String,
    pub reference: Option<String>,
    pub lots: Vec<Parcel>,
    pub available_on: Option<NaiveDate>,
    pub reverses: Option<MovementId>,
    pub entry_no: i64,
    pub batch_no: i64,
    pub at: DateTime<Utc>,
    pub day: NaiveDate,
    /// Points taken back since.
    pub reversed: Points,
}

/// An undo, or a reversal asked for or done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReversalRow {
    pub id: ReversalId,
    pub conversion: ConversionId,
    pub undo: bool,
    pub state: ReversalState,
    pub asked_by: Slug,
    /// Whether the other side had to confirm: then the first answer was `Requested`, whatever came later.
    pub needs_confirmation: bool,
    pub credit: Points,
    pub bonus: Points,
    /// Of each bonus of the conversion, in their order; empty while it is requested.
    pub bonuses: Vec<Points>,
    pub debit: Points,
    pub fee: Millionths,
    pub lots_back: Vec<Parcel>,
    pub reason: String,
    pub reference: Option<String>,
    pub window: WindowId,
    pub batch_no: i64,
    pub at: DateTime<Utc>,
    pub day: NaiveDate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReversalState {
    /// The other side has not confirmed: nothing has moved.
    Requested,
    Completed,
    /// On its way between two ledgers.
    Pending,
    /// The ledger that was to give back would not: nothing has moved.
    Refused,
}

/// The request was not decided; nothing is known to have moved unless it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    #[error("the queue of this lane is full")]
    QueueFull,
    #[error("another server kept working on the same account")]
    Busy,
    #[error("an equal request is still running")]
    InFlight,
    #[error("the outcome is not known yet")]
    OutcomeUnknown,
    #[error("the book is not available")]
    Unavailable,
    #[error("the database refused this command")]
    Failed,
}
