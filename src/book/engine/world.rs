//! What a batch has read, what it has decided so far, and what is to be written.
//!
//! Every decision sees those before it: two commands of one account, or of one exposure, never pass each other.

use super::account::{Account, Entry, Shape};
use crate::book::command::{
    Code, ConversionRow, CrossingRow, DirectoryHash, Hint, LinkSide, MovementRow, Profile, Refusal, ReversalRow, Status,
};
use crate::book::exposures::ExposureKey;
use crate::book::voucher::{Offered, UseRow, VoucherRow};
use crate::domain::expiry::Expiry;
use crate::domain::ids::{
    AccountId, BenefitId, ConversionId, LinkId, MemberId, MovementId, ReversalId, Slug, UseId, VoucherId, WindowId,
};
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use chrono::{DateTime, NaiveDate, Utc};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// Business time, read once per batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub at: DateTime<Utc>,
    /// The date of `at` in the alliance's zone.
    pub day: NaiveDate,
}

/// Why a decision stops: a final no, or something it needs was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    Refuse(Code, Hint),
    /// The account wanted is not in this world: run the request again in the next batch.
    Reload,
}

impl Halt {
    /// `invalid`, for what only the state or the day can tell.
    pub fn invalid(field: &'static str, detail: &'static str) -> Halt {
        Halt::Refuse(Code::Invalid, Hint::Field { field, detail })
    }
}

impl From<Code> for Halt {
    fn from(code: Code) -> Halt {
        Halt::Refuse(code, Hint::None)
    }
}

/// What a directory row says is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub subject: Subject,
    pub account: Option<AccountId>,
    pub fingerprint: Option<Uuid>,
    pub refusal: Option<Refusal>,
}

/// What an effect is, so that its first answer can be given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    Nothing,
    Membership(AccountId),
    Conversion(ConversionId),
    Movement(MovementId),
    Reversal(ReversalId),
    Link(LinkId),
    Voucher(VoucherId),
    Use(UseId),
    /// A voucher by its code.
    Code(VoucherId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposure {
    pub value: Millionths,
    /// What crossings that are not yet posted may add.
    pub reserved: Millionths,
    pub cap: Option<Millionths>,
}

impl Exposure {
    /// What the stop line is held against; `None` on overflow.
    pub fn counted(&self) -> Option<Millionths> {
        self.value.plus(self.reserved)
    }
}

/// Whose an account is: the person now, and the id the membership came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub member: MemberId,
    pub own: MemberId,
    pub partner: Slug,
}

/// Something that happened, for one partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub partner: Slug,
    pub id: Uuid,
    pub kind: EventKind,
    pub subject: Uuid,
    pub data: EventData,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    MembershipUpdated,
    LinkActivated,
    LinkEnded,
    ConversionCompleted,
    ConversionUndone,
    ConversionReversed,
    CreditReversed,
    LotExpired,
    ExposureWarned,
    ExposureReached,
    RatePublished,
    WindowClosed,
    StatementPublished,
    StatementAcknowledged,
    StatementDeemed,
    ObligationDue,
    ObligationPaid,
    ObligationOverdue,
    DisputeOpened,
    DisputeAnswered,
    DisputeDecided,
    ReconciliationCompleted,
    KeyRotated,
    DisputeWithdrawn,
    ConversionPending,
    ConversionReleased,
    ConversionInDoubt,
    CertificateExpiring,
    PartnerSuspended,
    PartnerLeaving,
    PartnerLeft,
    PartnerResumed,
    ReversalRefused,
    VoucherIssued,
    VoucherRedeemed,
    VoucherReversed,
    VoucherCancelled,
    VoucherExpired,
    BenefitSoldOut,
    VoucherReserved,
}

impl EventKind {
    pub const ALL: [(EventKind, &'static str); 40] = [
        (EventKind::MembershipUpdated, "membership.updated"),
        (EventKind::LinkActivated, "link.activated"),
        (EventKind::LinkEnded, "link.ended"),
        (EventKind::ConversionCompleted, "conversion.completed"),
        (EventKind::ConversionUndone, "conversion.undone"),
        (EventKind::ConversionReversed, "conversion.reversed"),
        (EventKind::CreditReversed, "credit.reversed"),
        (EventKind::LotExpired, "lot.expired"),
        (EventKind::ExposureWarned, "exposure.warned"),
        (EventKind::ExposureReached, "exposure.reached"),
        (EventKind::RatePublished, "rate.published"),
        (EventKind::WindowClosed, "window.closed"),
        (EventKind::StatementPublished, "statement.published"),
        (EventKind::StatementAcknowledged, "statement.acknowledged"),
        (EventKind::StatementDeemed, "statement.deemed"),
        (EventKind::ObligationDue, "obligation.due"),
        (EventKind::ObligationPaid, "obligation.paid"),
        (EventKind::ObligationOverdue, "obligation.overdue"),
        (EventKind::DisputeOpened, "dispute.opened"),
        (EventKind::DisputeAnswered, "dispute.answered"),
        (EventKind::DisputeDecided, "dispute.decided"),
        (EventKind::ReconciliationCompleted, "reconciliation.completed"),
        (EventKind::KeyRotated, "key.rotated"),
        (EventKind::DisputeWithdrawn, "dispute.withdrawn"),
        (EventKind::ConversionPending, "conversion.pending"),
        (EventKind::ConversionReleased, "conversion.released"),
        (EventKind::ConversionInDoubt, "conversion.in_doubt"),
        (EventKind::CertificateExpiring, "certificate.expiring"),
        (EventKind::PartnerSuspended, "partner.suspended"),
        (EventKind::PartnerLeaving, "partner.leaving"),
        (EventKind::PartnerLeft, "partner.left"),
        (EventKind::PartnerResumed, "partner.resumed"),
        (EventKind::ReversalRefused, "reversal.refused"),
        (EventKind::VoucherIssued, "voucher.issued"),
        (EventKind::VoucherRedeemed, "voucher.redeemed"),
        (EventKind::VoucherReversed, "voucher.reversed"),
        (EventKind::VoucherCancelled, "voucher.cancelled"),
        (EventKind::VoucherExpired, "voucher.expired"),
        (EventKind::BenefitSoldOut, "benefit.sold_out"),
        (EventKind::VoucherReserved, "voucher.reserved"),
    ];

    pub fn number(self) -> i16 {
        let at = Self::ALL.iter().position(|(kind, _)| *kind == self).unwrap_or_default();
        i16::try_from(at).unwrap_or_default()
    }

    /// The event's `type`.
    pub fn name(number: i16) -> Option<&'static str> {
        usize::try_from(number).ok().and_then(|at| Self::ALL.get(at)).map(|(_, name)| *name)
    }
}

/// What an event says; a conversion's is rendered from its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventData {
    FromRow,
    Membership {
        account: AccountId,
        status: Status,
        tier: String,
    },
    Link {
        link: LinkId,
        account: AccountId,
    },
    Movement {
        account: AccountId,
        movement: MovementId,
        points: Points,
        owed: Points,
    },
    Expired {
        account: AccountId,
        points: Points,
        last_day: Expiry,
    },
    Exposure {
        key: String,
        value: Millionths,
        cap: Millionths,
    },
    /// A crossing that ended without a conversion, or that a person has to look at.
    Crossing {
        conversion: ConversionId,
        crossing: Uuid,
        kind: crate::book::crossing::Kind,
        cause: String,
    },
    /// A voucher as it stands, as its brand or its giver is told, with the use that has changed it.
    Voucher {
        voucher: Arc<VoucherRow>,
        redemption: Option<Arc<UseRow>>,
    },
    SoldOut {
        benefit: BenefitId,
        quota: i64,
    },
    /// JSON as the use case wrote it.
    Written(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkWrite {
    Open { link: LinkId, a: LinkSide, b: LinkSide, opens_at: DateTime<Utc> },
    End { link: LinkId, forget: bool },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipWrite {
    pub account: AccountId,
    pub partner: Slug,
    /// Given when it is new.
    pub fresh_member: MemberId,
    pub profile: Profile,
    pub status: Status,
    pub reason: Option<String>,
}

/// How one exposure row moves in this batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExposureDelta {
    pub delta: Millionths,
    pub reserved: Millionths,
    /// A conversion raised it, so the stop line must hold when it is written.
    pub guarded: bool,
    /// What this batch decided with: value and reserved together.
    pub counted_read: Millionths,
}

/// What a membership shows beside what its account holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Earned, granted or on trial; the last two until a day.
    pub tier: String,
    pub tier_until: Option<NaiveDate>,
    pub tags: Vec<String>,
    pub birth_month: Option<i16>,
}

impl Facts {
    /// As its brand tells it now; what is not said of tags and birthday stays.
    pub fn show(&mut self, profile: &Profile) {
        (self.tier, self.tier_until) = (profile.tier.clone(), profile.tier_until);
        self.birth_month = profile.birth_month.or(self.birth_month);
        if let Some(tags) = &profile.tags {
            self.tags.clone_from(tags);
        }
    }
}

/// How the stock of a benefit moves in this batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StockDelta {
    pub delta: i64,
    /// A claim raised it, so the quota must hold when it is written.
    pub guarded: bool,
    /// What this batch decided with.
    pub taken_read: i64,
}

/// Everything one batch writes, in one transaction.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    /// Accounts to write, in key order, with the shape they were read with.
    pub touched: BTreeMap<AccountId, Shape>,
    pub entries: Vec<Entry>,
    pub memberships: Vec<MembershipWrite>,
    pub erased: Vec<(AccountId, DirectoryHash)>,
    pub persons: BTreeMap<AccountId, MemberId>,
    pub links: Vec<LinkWrite>,
    pub directory: Vec<(DirectoryHash, Taken)>,
    pub conversions: Vec<Arc<ConversionRow>>,
    pub conversions_changed: BTreeSet<ConversionId>,
    pub movements: Vec<Arc<MovementRow>>,
    pub movements_changed: BTreeSet<MovementId>,
    pub reversals: Vec<ReversalId>,
    pub reversals_changed: BTreeSet<ReversalId>,
    pub crossings: Vec<Uuid>,
    pub crossings_changed: BTreeSet<Uuid>,
    /// What happened beside new conversions, whose events are their rows.
    pub events: Vec<Event>,
    pub exposures: BTreeMap<ExposureKey, ExposureDelta>,
    pub vouchers: Vec<VoucherId>,
    pub vouchers_changed: BTreeSet<VoucherId>,
    /// Issued in this batch and of a pool: each is given a code.
    pub vouchers_coded: Vec<VoucherId>,
    pub uses: Vec<UseId>,
    pub uses_changed: BTreeSet<UseId>,
    pub stocks: BTreeMap<BenefitId, StockDelta>,
}

/// One batch's view of the book.
#[derive(Clone, Debug)]
pub struct World {
    pub now: Now,
    pub window: WindowId,
    pub batch_no: i64,
    pub accounts: HashMap<AccountId, Account>,
    /// Memberships by directory hash of (partner, member_ref).
    pub by_ref: HashMap<DirectoryHash, AccountId>,
    /// Keys, references and quotes found taken.
    pub taken: HashMap<DirectoryHash, Taken>,
    pub conversions: HashMap<ConversionId, Arc<ConversionRow>>,
    pub movements: HashMap<MovementId, Arc<MovementRow>>,
    pub reversals: HashMap<ReversalId, Arc<ReversalRow>>,
    /// Those that commands name, and those still open of the conversions and accounts that they concern.
    pub crossings: HashMap<Uuid, Arc<CrossingRow>>,
    pub exposures: HashMap<ExposureKey, Exposure>,
    /// Every membership of the persons that link commands concern.
    pub persons: BTreeMap<AccountId, Person>,
    pub benefits: HashMap<BenefitId, Offered>,
    /// Days on which these accounts have claimed these benefits, where that counts: as far back as it does.
    pub claimed: HashMap<(AccountId, BenefitId), Vec<NaiveDate>>,
    pub facts: HashMap<AccountId, Facts>,
    pub vouchers: HashMap<VoucherId, Arc<VoucherRow>>,
    /// Vouchers by what their codes hash to.
    pub by_code: HashMap<DirectoryHash, VoucherId>,
    /// Those that commands name, and all of the vouchers they concern.
    pub uses: HashMap<UseId, Arc<UseRow>>,
    /// By giver and receipt: whether each voucher used for it stacks.
    pub receipts: HashMap<(Slug, String), Vec<bool>>,
    pub writes: Writes,
}

impl World {
    pub fn new(now: Now, window: WindowId, batch_no: i64) -> World {
        World {
            now,
            window,
            batch_no,
            accounts: HashMap::new(),
            by_ref: HashMap::new(),
            taken: HashMap::new(),
            conversions: HashMap::new(),
            movements: HashMap::new(),
            reversals: HashMap::new(),
            crossings: HashMap::new(),
            exposures: HashMap::new(),
            persons: BTreeMap::new(),
            benefits: HashMap::new(),
            claimed: HashMap::new(),
            facts: HashMap::new(),
            vouchers: HashMap::new(),
            by_code: HashMap::new(),
            uses: HashMap::new(),
            receipts: HashMap::new(),
            writes: Writes::default(),
        }
    }

    pub fn account(&self, id: AccountId) -> Result<&Account, Halt> {
        self.accounts.get(&id).ok_or(Halt::Reload)
    }

    /// The account to change: it will be written.
    pub fn change(&mut self, id: AccountId) -> Result<&mut Account, Halt> {
        let account = self.accounts.get_mut(&id).ok_or(Halt::Reload)?;
        self.writes.touched.entry(id).or_insert_with(|| account.shape());
        Ok(account)
    }

    /// What this batch would leave in an exposure row; `None` when the row is not there.
    pub fn exposure(&self, key: &ExposureKey) -> Option<Exposure> {
        self.exposures.get(key).copied()
    }

    /// Moves an exposure. The caller has checked the stop line where one holds.
    pub fn expose(&mut self, key: &ExposureKey, by: Millionths, guarded: bool) {
        self.move_exposure(key, by, Millionths::ZERO, guarded);
    }

    /// Reserves what may be posted later, or gives back what was reserved.
    pub fn reserve(&mut self, key: &ExposureKey, by: Millionths, guarded: bool) {
        self.move_exposure(key, Millionths::ZERO, by, guarded);
    }

    fn move_exposure(&mut self, key: &ExposureKey, by: Millionths, reserved: Millionths, guarded: bool) {
        let Some(row) = self.exposures.get_mut(key) else { return };
        // Overflow was refused with the stop line: every row has |value| far below 2^63.
        let counted_read = row.counted().unwrap_or(row.value);
        row.value = row.value.plus(by).unwrap_or(row.value);
        row.reserved = row.reserved.plus(reserved).unwrap_or(row.reserved);
        let delta = self.writes.exposures.entry(key.clone()).or_insert(ExposureDelta {
            delta: Millionths::ZERO,
            reserved: Millionths::ZERO,
            guarded: false,
            counted_read,
        });
        delta.delta = delta.delta.plus(by).unwrap_or(delta.delta);
        delta.reserved = delta.reserved.plus(reserved).unwrap_or(delta.reserved);
        delta.guarded |= guarded;
    }

    /// Takes from a benefit's stock, or gives back to it. The caller has checked the quota where one more is taken.
    pub fn stock(&mut self, id: BenefitId, by: i64) {
        let Some(row) = self.benefits.get_mut(&id) else { return };
        let fresh = StockDelta { taken_read: row.taken, ..StockDelta::default() };
        row.taken += by;
        let delta = self.writes.stocks.entry(id).or_insert(fresh);
        delta.delta += by;
        delta.guarded |= by > 0;
    }

    /// Where the next conversion of this batch is accepted, from 1: dense over those completed at once and those that cross.
    pub fn next_ordinal(&self) -> i32 {
        let taken = self.writes.conversions.len() + self.writes.crossings.len();
        i32::try_from(taken).map_or(i32::MAX, |taken| taken + 1)
    }

    /// Tells one partner. The id is made of the request's, so that running the request again says the same.
    pub fn tell(&mut self, fresh: Uuid, partner: &Slug, kind: EventKind, subject: Uuid, data: EventData) {
        let nth = u128::try_from(self.writes.events.len()).unwrap_or_default() + 1;
        let id = uuid::Builder::from_u128(fresh.as_u128() ^ nth).with_version(uuid::Version::SortRand).into_uuid();
        self.writes.events.push(Event { partner: partner.clone(), id, kind, subject, data });
    }
}
