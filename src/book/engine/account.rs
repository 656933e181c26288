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
    /// Every re-dating of all lots, oldest first.
    pub redatings: Vec<Redating>,
    /// The brand's own time of the last accepted state.
    pub as_of: Option<DateTime<Utc>>,
    /// As read; 0 for an account made in this batch.
    pub version: i64,
    pub entry_no: i64,
    /// As read; entries above it are this batch's.
    pub entry_no_read: i64,
    /// The batch with its newest entries, as read; 0 when it had none.
    pub last_batch: i64,
}

/// An entry that gave all lots of an account another end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redating {
    pub entry_no: i64,
    pub day: NaiveDate,
    pub to: Expiry,
}

/// Re-datings an account remembers; with more, the oldest are forgotten.
const REDATINGS_MAX: usize = 64;

/// What of an account changes rarely: written only when it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    status: Status,
    tier: String,
    links: Vec<LinkState>,
    redatings: Vec<Redating>,
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
    /// Of a conversion over two ledgers; of a brand that keeps its own, with no change of the balance here.
    CrossedOut,
    CrossedIn,
    /// Points for a benefit, and those that came back with its voucher.
    Claimed,
    ClaimRefunded,
    /// A use of a voucher that settles something: no change of the balance.
    BenefitUsed,
}

impl EntryKind {
    pub const ALL: [EntryKind; 21] = [
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
        EntryKind::CrossedOut,
        EntryKind::CrossedIn,
        EntryKind::Claimed,
        EntryKind::ClaimRefunded,
        EntryKind::BenefitUsed,
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
            EntryKind::ConvertedOut | EntryKind::CrossedOut => "converted_out",
            EntryKind::ConvertedIn | EntryKind::CrossedIn => "converted_in",
            EntryKind::Bonus => "bonus",
            EntryKind::TakenBack => "taken_back",
            EntryKind::GivenBack => "given_back",
            EntryKind::Expired => "expired",
            EntryKind::Redated => "redated",
            EntryKind::Forfeited => "forfeited",
            EntryKind::OwedMet => "owed_met",
            EntryKind::Claimed => "claimed",
            EntryKind::ClaimRefunded => "claim_refunded",
            EntryKind::BenefitUsed => "benefit_used",
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
    /// The batch with the account's entries before those of this one; 0 when there are none.
    pub previous: i64,
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
            redatings: Vec::new(),
            as_of: None,
            version: 0,
            entry_no: 0,
            entry_no_read: 0,
            last_batch: 0,
        }
    }

    pub fn shape(&self) -> Shape {
        Shape {
            status: self.status,
            tier: self.tier.clone(),
            links: self.links.clone(),
            redatings: self.redatings.clone(),
            as_of: self.as_of,
        }
    }

    pub fn has_shape(&self, shape: &Shape) -> bool {
        self.status == shape.status
            && self.tier == shape.tier
            && self.links == shape.links
            && self.redatings == shape.redatings
            && self.as_of == shape.as_of
    }

    /// The batch that has its newest entries once `batch_no` is written: that one, if any of them is this batch's.
    pub fn last_batch_after(&self, batch_no: i64) -> i64 {
        if self.entry_no > self.entry_no_read { batch_no } else { self.last_batch }
    }

    pub fn link_to(&self, partner: &Slug) -> Option<&LinkState> {
        self.links.iter().find(|link| link.partner == *partner)
    }

    /// The end that points of entry `entry_no` with end `expires` have today: after the re-datings since, each of which
    /// met what had not ended by then.
    pub fn end_today(&self, expires: Expiry, entry_no: i64) -> Expiry {
        let since = self.redatings.iter().filter(|redating| redating.entry_no > entry_no);
        since.fold(expires, |end, redating| if end.covers(redating.day) { redating.to } else { end })
    }

    /// Gives all lots another end, by an entry. The caller has posted what has ended.
    pub fn redate(&mut self, to: Expiry, day: NaiveDate) -> Entry {
        self.lots.redate(to);
        let entry = self.entry(EntryKind::Redated, 0, None);
        if self.redatings.len() >= REDATINGS_MAX {
            // The next one stands for both: what had ended by the older day stays out of reach.
            let oldest = self.redatings.remove(0);
            self.redatings[0].day = oldest.day;
        }
        self.redatings.push(Redating { entry_no: entry.entry_no, day, to });
        entry
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
        Entry { account: self.id, entry_no: self.entry_no, kind, delta, subject, previous: self.last_batch }
    }
}
