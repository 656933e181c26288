//! One account as a decision sees it, and the entries it takes.

use crate::book::command::Status;
use crate::domain::expiry::Expiry;
use crate::domain::ids::{AccountId, LinkId, Slug, TokenId};
use crate::domain::lots::Lots;
use crate::domain::points::Points;
use crate::domain::usage::Usage;
use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub partner: Slug,
    pub status: Status,
    /// Earned tier.
    pub tier: String,
    /// Lots and held points together.
    pub balance: Points,
    pub held: Points,
    pub owed: Points,
    pub lots: Lots,
    pub usage: Usage,
    pub links: Vec<LinkState>,
    /// The entry that last re-dated all lots (0: none) and the end it gave them.
    pub redated_no: i64,
    pub redated_to: Expiry,
    /// The brand's own time of the last accepted state.
    pub as_of: Option<DateTime<Utc>>,
    /// As read; 0 for an account made in this batch.
    pub version: i64,
    pub entry_no: i64,
}

/// What of an account changes rarely: written only when it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    status: Status,
    tier: String,
    links: Vec<LinkState>,
    redated: (i64, Expiry),
    as_of: Option<DateTime<Utc>>,
}

/// What an account knows of one of its links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    pub link: LinkId,
    pub partner: Slug,
    pub account: AccountId,
    /// By which the other side knows this membership, and this side the other.
    pub own_token: TokenId,
    pub peer_token: TokenId,
    pub opens_at: DateTime<Utc>,
    /// Whether this side's consent lets the other brand spend its points.
    pub pull: bool,
}

/// What an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    Earn,
    Extra,
    Opening,
    Adjust,
    Debit,
    CreditReversed,
    DebitReversed,
    ConvertedOut,
    ConvertedIn,
    Bonus,
    TakenBack,
    GivenBack,
    Expired,
    Redated,
    Forfeited,
    OwedMet,
}

impl EntryKind {
    pub const ALL: [EntryKind; 16] = [
        EntryKind::Earn,
        EntryKind::Extra,
        EntryKind::Opening,
        EntryKind::Adjust,
        EntryKind::Debit,
        EntryKind::CreditReversed,
        EntryKind::DebitReversed,
        EntryKind::ConvertedOut,
        EntryKind::ConvertedIn,
        EntryKind::Bonus,
        EntryKind::TakenBack,
        EntryKind::GivenBack,
        EntryKind::Expired,
        EntryKind::Redated,
        EntryKind::Forfeited,
        EntryKind::OwedMet,
    ];

    /// The word the API and reports use.
    pub fn code(self) -> &'static str {
        match self {
            EntryKind::Earn => "earn",
            EntryKind::Extra => "extra",
            EntryKind::Opening => "opening",
            EntryKind::Adjust => "adjust",
            EntryKind::Debit => "debit",
            EntryKind::CreditReversed => "credit_reversed",
            EntryKind::DebitReversed => "debit_reversed",
            EntryKind::ConvertedOut => "converted_out",
            EntryKind::ConvertedIn => "converted_in",
            EntryKind::Bonus => "bonus",
            EntryKind::TakenBack => "taken_back",
            EntryKind::GivenBack => "given_back",
            EntryKind::Expired => "expired",
            EntryKind::Redated => "redated",
            EntryKind::Forfeited => "forfeited",
            EntryKind::OwedMet => "owed_met",
        }
    }

    /// The number stored; its place in `ALL`.
    pub fn number(self) -> i16 {
        let at = Self::ALL.iter().position(|kind| *kind == self).unwrap_or_default();
        i16::try_from(at).unwrap_or_default()
    }

    pub fn from_number(number: i16) -> Option<EntryKind> {
        usize::try_from(number).ok().and_then(|at| Self::ALL.get(at).copied())
    }
}

/// One line of the journal; its contra is the programme's issuance account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub account: AccountId,
    pub entry_no: i64,
    pub kind: EntryKind,
    /// Change of the balance: positive is issued to the member.
    pub delta: i64,
    pub subject: Option<Uuid>,
}

impl Account {
    pub fn new(id: AccountId, partner: Slug, tier: String, day: NaiveDate) -> Account {
        Account {
            id,
            partner,
            status: Status::Active,
            tier,
            balance: Points::ZERO,
            held: Points::ZERO,
            owed: Points::ZERO,
            lots: Lots::default(),
            usage: Usage::new(day),
            links: Vec::new(),
            redated_no: 0,
            redated_to: Expiry::Never,
            as_of: None,
            version: 0,
            entry_no: 0,
        }
    }

    pub fn shape(&self) -> Shape {
        Shape {
            status: self.status,
            tier: self.tier.clone(),
            links: self.links.clone(),
            redated: (self.redated_no, self.redated_to),
            as_of: self.as_of,
        }
    }

    pub fn has_shape(&self, shape: &Shape) -> bool {
        self.status == shape.status
            && self.tier == shape.tier
            && self.links == shape.links
            && (self.redated_no, self.redated_to) == shape.redated
            && self.as_of == shape.as_of
    }

    pub fn link_to(&self, partner: &Slug) -> Option<&LinkState> {
        self.links.iter().find(|link| link.partner == *partner)
    }

    /// The end that points of entry `entry_no` with end `expires` have today, after any re-dating since.
    pub fn end_today(&self, expires: Expiry, entry_no: i64) -> Expiry {
        if self.redated_no > entry_no { self.redated_to } else { expires }
    }

    /// An entry that raises the balance. The caller has checked the largest amount.
    pub fn raise(&mut self, kind: EntryKind, points: Points, subject: Option<Uuid>) -> Entry {
        self.balance = self.balance.plus(points).unwrap_or(Points::MAX);
        self.entry(kind, points.get(), subject)
    }

    /// An entry that lowers the balance. The points have been taken from the lots.
    pub fn lower(&mut self, kind: EntryKind, points: Points, subject: Option<Uuid>) -> Entry {
        self.balance = self.balance.less(points);
        self.entry(kind, -points.get(), subject)
    }

    pub fn entry(&mut self, kind: EntryKind, delta: i64, subject: Option<Uuid>) -> Entry {
        self.entry_no += 1;
        Entry { account: self.id, entry_no: self.entry_no, kind, delta, subject }
    }
}
