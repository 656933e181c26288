//! The model's books: every arrival is a lot of its own, every posting a line of a list, sums are made by adding up.

use super::calendar::{End, same_month};
use super::rules_benefits::{Offering, Use, Vou};
use chrono::{DateTime, NaiveDate, Utc};
use hanse::book::command::{Code, CreditKind, DirectoryHash, Hint, MovementSide, Status};
use hanse::book::engine::account::EntryKind;
use hanse::book::exposures::ExposureKey;
use hanse::domain::ids::{
    AccountId, BenefitId, ConversionId, LinkId, MemberId, MovementId, ReversalId, Slug, TokenId, UseId, VoucherId,
};
use hanse::domain::terms::Terms;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// The largest amount of points: 2^53 − 1.
pub const MOST: i128 = 9_007_199_254_740_991;

/// Why the rules say no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct No(pub Code, pub Hint);

impl From<Code> for No {
    fn from(code: Code) -> No {
        No(code, Hint::None)
    }
}

impl No {
    /// The field that only the state or the day shows to be wrong.
    pub fn invalid(field: &'static str) -> No {
        No(Code::Invalid, Hint::Field { field, detail: "" })
    }
}

/// Points that moved, with their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub points: i128,
    pub end: End,
}

/// Points that arrived together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lot {
    pub points: i128,
    pub end: End,
    pub available: Option<NaiveDate>,
}

#[derive(Clone, Debug)]
pub struct Link {
    pub id: LinkId,
    pub peer: AccountId,
    pub partner: Slug,
    pub own_token: TokenId,
    pub peer_token: TokenId,
    pub opens_at: DateTime<Utc>,
    pub pull: bool,
}

/// Points converted or claimed with, for the member's limits.
#[derive(Clone, Debug)]
pub struct Used {
    /// The conversion or the voucher.
    pub of: Uuid,
    pub day: NaiveDate,
    pub out: bool,
    pub points: i128,
}

/// What a membership shows beside its earned tier.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    pub tier: String,
    pub until: Option<NaiveDate>,
    pub tags: Vec<String>,
    pub birth_month: Option<i16>,
}

#[derive(Clone, Debug)]
pub struct Acc {
    pub id: AccountId,
    pub partner: Slug,
    pub own: MemberId,
    pub who: DirectoryHash,
    pub status: Status,
    pub tier: String,
    pub shown: Shown,
    pub lots: Vec<Lot>,
    pub held: Vec<Lot>,
    pub owed: i128,
    pub used: Vec<Used>,
    pub links: Vec<Link>,
    /// (number of the entry, its day, new end) of every re-dating.
    pub redated: Vec<(usize, NaiveDate, End)>,
    pub entries: usize,
    pub as_of: Option<DateTime<Utc>>,
}

impl Lot {
    pub fn is_live(&self, day: NaiveDate) -> bool {
        day <= self.end
    }

    pub fn is_usable(&self, day: NaiveDate) -> bool {
        self.is_live(day) && self.pending(day).is_none()
    }

    /// The first day it can be used, while that is still to come.
    pub fn pending(&self, day: NaiveDate) -> Option<NaiveDate> {
        self.available.filter(|from| *from > day)
    }
}

impl Acc {
    pub fn balance(&self) -> i128 {
        self.lots.iter().chain(&self.held).map(|lot| lot.points).sum()
    }

    pub fn usable(&self, day: NaiveDate) -> i128 {
        self.lots.iter().filter(|lot| lot.is_usable(day)).map(|lot| lot.points).sum()
    }

    pub fn usable_of(&self, end: End, day: NaiveDate) -> i128 {
        self.lots.iter().filter(|lot| lot.end == end && lot.is_usable(day)).map(|lot| lot.points).sum()
    }

    pub fn used_on(&self, day: NaiveDate, out: bool) -> i128 {
        self.used.iter().filter(|used| used.out == out && used.day == day).map(|used| used.points).sum()
    }

    pub fn used_in_month(&self, day: NaiveDate, out: bool) -> i128 {
        self.used.iter().filter(|used| used.out == out && same_month(used.day, day)).map(|used| used.points).sum()
    }

    pub fn add(&mut self, piece: Piece, available: Option<NaiveDate>) {
        if piece.points > 0 {
            self.lots.push(Lot { points: piece.points, end: piece.end, available });
        }
    }

    /// Takes up to `points` of the wanted lots one by one, earliest end first, usable before pending.
    pub fn take(&mut self, points: i128, day: NaiveDate, wanted: impl Fn(&Lot) -> bool) -> Vec<Piece> {
        self.lots.sort_by_key(|lot| (lot.end, lot.pending(day)));
        let mut missing = points;
        let mut taken = Vec::new();
        for lot in &mut self.lots {
            let part = if wanted(lot) { lot.points.min(missing) } else { 0 };
            lot.points -= part;
            missing -= part;
            if part > 0 {
                taken.push(Piece { points: part, end: lot.end });
            }
        }
        self.lots.retain(|lot| lot.points > 0);
        taken
    }

    /// The end that points of entry `entry` have today: points that had ended were out of reach of a re-dating.
    pub fn end_today(&self, mut end: End, entry: usize) -> End {
        for (number, day, to) in &self.redated {
            if *number > entry && end >= *day {
                end = *to;
            }
        }
        end
    }

    pub fn link_to(&self, partner: &Slug) -> Option<&Link> {
        self.links.iter().find(|link| link.partner == *partner)
    }
}

/// Neighbours of the same end as one, without empty ones.
pub fn joined(pieces: &[Piece]) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    for piece in pieces.iter().filter(|piece| piece.points != 0) {
        match out.last_mut() {
            Some(last) if last.end == piece.end => last.points += piece.points,
            _ => out.push(*piece),
        }
    }
    out
}

pub fn total(pieces: &[Piece]) -> i128 {
    pieces.iter().map(|piece| piece.points).sum()
}

/// A conversion with what is left of it to take back.
#[derive(Clone, Debug)]
pub struct Conv {
    pub id: ConversionId,
    pub from: AccountId,
    pub to: AccountId,
    pub terms: Arc<Terms>,
    pub debit: i128,
    pub credit: i128,
    pub bonuses: Vec<i128>,
    pub fee: i128,
    pub lots_out: Vec<Piece>,
    pub base_in: Vec<Piece>,
    pub bonus_end: End,
    pub from_entry: usize,
    pub to_entry: usize,
    pub tokens: (TokenId, TokenId),
    pub pulled: bool,
    pub at: DateTime<Utc>,
    pub day: NaiveDate,
    pub undone: bool,
    pub out_left: Vec<Piece>,
    pub base_left: Vec<Piece>,
    pub bonus_back: Vec<i128>,
    pub fee_back: i128,
}

impl Conv {
    pub fn credit_back(&self) -> i128 {
        self.credit - total(&self.base_left)
    }
}

#[derive(Clone, Debug)]
pub struct Mov {
    pub id: MovementId,
    pub account: AccountId,
    pub partner: Slug,
    pub side: MovementSide,
    pub kind: Option<CreditKind>,
    pub points: i128,
    pub owed: i128,
    pub lots: Vec<Piece>,
    pub available: Option<NaiveDate>,
    pub reverses: Option<MovementId>,
    pub entry: usize,
    /// What is left of it to take or give back.
    pub left: Vec<Piece>,
}

#[derive(Clone, Debug)]
pub struct Rev {
    pub id: ReversalId,
    pub conversion: ConversionId,
    pub undo: bool,
    pub done: bool,
    pub asked_by: Slug,
    pub credit: i128,
    pub bonus: i128,
    pub debit: i128,
    pub fee: i128,
    pub lots_back: Vec<Piece>,
}

/// What the rules say must come of a request.
#[derive(Clone, Debug)]
pub enum Expected {
    /// The first answer to this key, again.
    Replayed,
    Refused(No),
    Conversion(Box<Conv>),
    Movement(Box<Mov>),
    Reversal(Box<Rev>),
    Membership(AccountId),
    Link(LinkId),
    Expired(i128),
    Erased,
    Voucher(Box<Vou>),
    Used(Box<Use>, Box<Vou>),
}

/// The whole book as the rules have it.
#[derive(Default)]
pub struct Model {
    pub accounts: BTreeMap<AccountId, Acc>,
    pub refs: BTreeMap<DirectoryHash, AccountId>,
    pub conversions: BTreeMap<ConversionId, Conv>,
    pub movements: BTreeMap<MovementId, Mov>,
    pub reversals: BTreeMap<ReversalId, Rev>,
    /// Fingerprint of the first request under each key.
    pub keys: HashMap<DirectoryHash, Uuid>,
    /// Used references and quotes, and the first effect's id.
    pub used: HashMap<DirectoryHash, String>,
    pub exposures: BTreeMap<ExposureKey, i128>,
    pub benefits: BTreeMap<BenefitId, Offering>,
    pub vouchers: BTreeMap<VoucherId, Vou>,
    pub uses: BTreeMap<UseId, Use>,
    /// Vouchers by what their codes hash to, once these have been shown.
    pub codes: HashMap<DirectoryHash, VoucherId>,
    pub by_account: BTreeMap<AccountId, Vec<VoucherId>>,
    /// Vouchers that may still be used.
    pub open: BTreeSet<VoucherId>,
    /// Vouchers that hold a place of their benefit.
    pub places: BTreeMap<BenefitId, BTreeSet<VoucherId>>,
    /// Room kept by open vouchers.
    pub room: BTreeMap<ExposureKey, i128>,
    /// What this step posted, in order, and whom it touched.
    pub journal: Vec<(AccountId, EntryKind, i128)>,
    pub dirty: BTreeSet<AccountId>,
}

impl Model {
    pub fn acc(&self, id: AccountId) -> &Acc {
        self.accounts.get(&id).expect("the walk keeps every account it names")
    }

    pub fn change(&mut self, id: AccountId) -> &mut Acc {
        self.dirty.insert(id);
        self.accounts.get_mut(&id).expect("the walk keeps every account it names")
    }

    /// Posts one line and returns its number.
    pub fn post(&mut self, id: AccountId, kind: EntryKind, delta: i128) -> usize {
        self.journal.push((id, kind, delta));
        let account = self.change(id);
        account.entries += 1;
        account.entries
    }

    /// A person is everyone reachable by links; its id is that of the oldest membership.
    pub fn person(&self, id: AccountId) -> (MemberId, BTreeSet<AccountId>) {
        let mut found = BTreeSet::from([id]);
        loop {
            let peers = found.iter().flat_map(|id| self.acc(*id).links.iter().map(|link| link.peer));
            let wider: BTreeSet<AccountId> = found.iter().copied().chain(peers).collect();
            if wider.len() == found.len() {
                break;
            }
            found = wider;
        }
        let oldest = found.iter().map(|id| self.acc(*id).own).min().expect("at least the account itself");
        (oldest, found)
    }

    pub fn expose(&mut self, key: ExposureKey, by: i128) {
        *self.exposures.entry(key).or_default() += by;
    }
}
