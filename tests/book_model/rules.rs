//! The model's decisions, written from the rules: what must come of each request. Nothing changes on a no.

use super::calendar::{End, end_of};
use super::ledger::{Acc, Expected, MOST, Model, Mov, No, Piece};
use super::terms_of;
use chrono::{DateTime, NaiveDate, Utc};
use hanse::book::command::{
    Code, Command, Credit, CreditKind, Debit, DirectoryHash, Hint, MovementSide, Request, ReverseMovement, Status,
};
use hanse::book::engine::account::EntryKind;
use hanse::domain::catalogue::Catalogue;
use hanse::domain::ids::{AccountId, MovementId};

/// What a decision is made with beside the books.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    pub catalogue: &'a Catalogue,
    pub at: DateTime<Utc>,
    pub day: NaiveDate,
}

/// Grace for a debit given back whose lot has ended.
const GRACE_DAYS: u32 = 30;

impl Model {
    /// Decides a request and, if it is accepted, does it.
    pub fn apply(&mut self, moment: Moment, request: &Request) -> Expected {
        (self.journal, self.dirty) = Default::default();
        if let Some(first) = request.key.and_then(|key| self.keys.get(&key.hash)) {
            return if Some(*first) == request.key.map(|key| key.fingerprint) {
                Expected::Replayed
            } else {
                Expected::Refused(Code::IdempotencyMismatch.into())
            };
        }
        let taken = request.reference.as_ref().and_then(|reference| self.used.get(&reference.hash));
        let decided = match taken {
            Some(first) => Err(No(Code::DuplicateReference, Hint::First { id: first.clone() })),
            None => self.run(moment, request),
        };
        let kept = match &decided {
            Ok(_) => true,
            Err(No(code, _)) => !matches!(code, Code::NotFound | Code::Forbidden | Code::Invalid),
        };
        if let (Some(key), true) = (request.key, kept) {
            self.keys.insert(key.hash, key.fingerprint);
        }
        if let (Some(reference), Ok(expected)) = (&request.reference, &decided) {
            self.used.insert(reference.hash, id_text(expected));
        }
        decided.unwrap_or_else(Expected::Refused)
    }

    fn run(&mut self, moment: Moment, request: &Request) -> Result<Expected, No> {
        match &request.command {
            Command::Register(ask) => self.register(moment, request, ask),
            Command::OpenLink(ask) => self.open_link(moment, ask),
            Command::EndLink(ask) => self.end_link(request, ask),
            Command::Expire(ask) => Ok(Expected::Expired(self.post_expired(ask.account, moment.day))),
            Command::Erase(ask) => self.erase(moment, request, ask.who),
            Command::Credit(ask) => self.credit(moment, request, ask),
            Command::Debit(ask) => self.debit(moment, request, ask),
            Command::ReverseMovement(ask) => self.reverse_movement(moment, request, ask),
            Command::Convert(ask) => self.convert(moment, request, ask),
            Command::Undo(ask) => self.undo(moment, request, ask.conversion),
            Command::Reverse(ask) => self.reverse(moment, request, ask),
            Command::ConfirmReversal(ask) => self.confirm(moment, request, ask.reversal),
            // This alliance's accounts are all kept by the book: nothing is ever on its way.
            Command::Advance(_) => Err(Code::NotFound.into()),
            Command::Claim(ask) => self.claim(moment, request, ask),
            Command::ConfirmClaim(ask) => self.confirm_claim(moment, request, ask.voucher),
            Command::CancelVoucher(ask) => self.cancel_voucher(moment, request, ask),
            Command::ExpireVoucher(ask) => self.expire_voucher(moment, ask.voucher),
            Command::Redeem(ask) => self.redeem(moment, request, ask),
            Command::ReverseRedemption(ask) => self.reverse_redemption(moment, request, ask),
        }
    }

    /// The caller's own membership; another's is not found.
    pub fn own(&self, request: &Request, who: DirectoryHash) -> Result<AccountId, No> {
        let id = *self.refs.get(&who).ok_or(Code::NotFound)?;
        if self.acc(id).partner == request.caller { Ok(id) } else { Err(Code::NotFound.into()) }
    }

    /// Closed comes before frozen in the order of refusals, whichever side it is.
    pub fn open_for_business(&self, ids: &[AccountId]) -> Result<(), No> {
        for (status, code) in [(Status::Closed, Code::MembershipClosed), (Status::Frozen, Code::MembershipFrozen)] {
            if ids.iter().any(|id| self.acc(*id).status == status) {
                return Err(code.into());
            }
        }
        Ok(())
    }

    fn credit(&mut self, moment: Moment, request: &Request, ask: &Credit) -> Result<Expected, No> {
        let id = self.own(request, ask.who)?;
        self.open_for_business(&[id])?;
        let (account, points) = (self.acc(id), i128::from(ask.points.get()));
        if account.balance() + points > MOST {
            return Err(Code::LimitExceeded.into());
        }
        let rule = terms_of::arrival_end(moment.catalogue, &account.partner, &account.tier, moment.day);
        let end = ask.expires.map_or(rule, end_of);
        let is_month_end = end == super::calendar::NEVER || end == super::calendar::month_end_after(end, 0);
        let pending = ask.available_on.filter(|from| *from > moment.day);
        if end < moment.day || !is_month_end {
            return Err(No::invalid("expires_on"));
        }
        if pending.is_some_and(|from| from > end) {
            return Err(No::invalid("available_on"));
        }
        let kind = match ask.kind {
            CreditKind::Earn => EntryKind::Earn,
            CreditKind::Extra => EntryKind::Extra,
            CreditKind::Opening => EntryKind::Opening,
            CreditKind::Adjust => EntryKind::Adjust,
        };
        let entry = self.post(id, kind, points);
        let owed = self.arrive(id, &[Piece { points, end }], ask.available_on);
        let lots = vec![Piece { points, end }];
        let movement = Mov {
            kind: Some(ask.kind),
            owed,
            available: ask.available_on,
            entry,
            ..self.movement(request, id, MovementSide::Credit, lots)
        };
        Ok(self.keep(movement))
    }

    /// Lots come in; owed points are met first, from the first of them. Returns how many.
    pub fn arrive(&mut self, id: AccountId, pieces: &[Piece], available: Option<NaiveDate>) -> i128 {
        let met = self.acc(id).owed.min(super::ledger::total(pieces));
        let account = self.change(id);
        account.owed -= met;
        let mut meeting = met;
        for piece in pieces {
            let gone = piece.points.min(meeting);
            meeting -= gone;
            account.add(Piece { points: piece.points - gone, end: piece.end }, available);
        }
        if met > 0 {
            self.post(id, EntryKind::OwedMet, -met);
        }
        met
    }

    fn debit(&mut self, moment: Moment, request: &Request, ask: &Debit) -> Result<Expected, No> {
        let id = self.own(request, ask.who)?;
        self.open_for_business(&[id])?;
        let (usable, points) = (self.acc(id).usable(moment.day), i128::from(ask.points.get()));
        if usable < points {
            return Err(No(Code::InsufficientPoints, left(usable)));
        }
        let lots = self.change(id).take(points, moment.day, |lot| lot.is_usable(moment.day));
        let entry = self.post(id, EntryKind::Debit, -points);
        let movement = Mov { entry, ..self.movement(request, id, MovementSide::Debit, lots) };
        Ok(self.keep(movement))
    }

    fn reverse_movement(&mut self, moment: Moment, request: &Request, ask: &ReverseMovement) -> Result<Expected, No> {
        let first = self.movements.get(&ask.movement).cloned().ok_or(Code::NotFound)?;
        if first.partner != request.caller || first.side != ask.of || first.reverses.is_some() {
            return Err(Code::NotFound.into());
        }
        match (first.side, self.acc(first.account).status) {
            (_, Status::Closed) => return Err(Code::MembershipClosed.into()),
            // Nothing arrives on a frozen account, but a return is still taken off it.
            (MovementSide::Debit, Status::Frozen) => return Err(Code::MembershipFrozen.into()),
            _ => {}
        }
        let points = i128::from(ask.points.get());
        if points > super::ledger::total(&first.left) {
            return Err(Code::ReversalExceeds.into());
        }
        let row = match first.side {
            MovementSide::Credit => self.take_off(moment, request, &first, points)?,
            MovementSide::Debit => self.bring_back(moment, request, &first, points)?,
        };
        let original = self.movements.get_mut(&first.id).expect("found above");
        take_last(&mut original.left, points);
        Ok(self.keep(row))
    }

    /// Rule 8: from the credit's own lot, then others; what is missing is owed.
    fn take_off(&mut self, moment: Moment, request: &Request, first: &Mov, points: i128) -> Result<Mov, No> {
        let day = moment.day;
        let account = self.acc(first.account);
        let there: i128 = account.lots.iter().filter(|lot| lot.is_live(day)).map(|lot| lot.points).sum();
        if account.owed + (points - there).max(0) > MOST {
            return Err(Code::LimitExceeded.into());
        }
        let end = account.end_today(first.lots[0].end, first.entry);
        let pending = first.available.filter(|from| *from > day);
        let account = self.change(first.account);
        let mut lots =
            account.take(points, day, |lot| lot.is_live(day) && lot.end == end && lot.pending(day) == pending);
        let missing = points - super::ledger::total(&lots);
        lots.extend(account.take(missing, day, |lot| lot.is_live(day)));
        let taken = super::ledger::total(&lots);
        account.owed += points - taken;
        let entry = self.post(first.account, EntryKind::CreditReversed, -taken);
        let made = self.movement(request, first.account, MovementSide::Credit, lots);
        Ok(Mov { points, owed: points - taken, reverses: Some(first.id), entry, ..made })
    }

    /// A cancelled purchase: last spent first, with the old ends or after the grace days.
    fn bring_back(&mut self, moment: Moment, request: &Request, first: &Mov, points: i128) -> Result<Mov, No> {
        let account = self.acc(first.account);
        if account.balance() + points > MOST {
            return Err(Code::LimitExceeded.into());
        }
        let mut back = take_last(&mut first.left.clone(), points);
        for piece in &mut back {
            piece.end = returning_end(moment, account, account.end_today(piece.end, first.entry), GRACE_DAYS);
        }
        let entry = self.post(first.account, EntryKind::DebitReversed, points);
        let owed = self.arrive(first.account, &back, None);
        let made = self.movement(request, first.account, MovementSide::Debit, back);
        Ok(Mov { owed, reverses: Some(first.id), entry, ..made })
    }

    fn movement(&self, request: &Request, account: AccountId, side: MovementSide, lots: Vec<Piece>) -> Mov {
        Mov {
            id: MovementId(request.fresh),
            account,
            partner: request.caller.clone(),
            side,
            kind: None,
            points: super::ledger::total(&lots),
            owed: 0,
            left: lots.clone(),
            lots,
            available: None,
            reverses: None,
            entry: 0,
        }
    }

    fn keep(&mut self, movement: Mov) -> Expected {
        self.movements.insert(movement.id, movement.clone());
        Expected::Movement(Box::new(movement))
    }
}

pub fn left(points: i128) -> Hint {
    Hint::Left { points: i64::try_from(points).expect("at most the largest amount") }
}

/// Takes from the end of a list, one after the other.
pub fn take_last(pieces: &mut Vec<Piece>, points: i128) -> Vec<Piece> {
    let mut missing = points;
    let mut taken = Vec::new();
    while missing > 0 {
        let Some(last) = pieces.last_mut() else { break };
        let part = last.points.min(missing);
        taken.push(Piece { points: part, end: last.end });
        (last.points, missing) = (last.points - part, missing - part);
        if last.points == 0 {
            pieces.pop();
        }
    }
    taken
}

/// Rule 8: never on an account that never expires, the old end while it lasts, else after the grace days.
pub fn returning_end(moment: Moment, account: &Acc, old: End, grace_days: u32) -> End {
    if terms_of::never_expires(moment.catalogue, &account.partner, &account.tier) {
        super::calendar::NEVER
    } else if moment.day <= old {
        old
    } else {
        super::calendar::month_end_days_away(moment.day, grace_days)
    }
}

fn id_text(expected: &Expected) -> String {
    match expected {
        Expected::Conversion(row) => row.id.to_string(),
        Expected::Movement(row) => row.id.to_string(),
        Expected::Reversal(row) => row.id.to_string(),
        Expected::Membership(id) => id.to_string(),
        Expected::Link(id) => id.to_string(),
        Expected::Voucher(row) => row.id.to_string(),
        Expected::Used(row, _) => row.id.to_string(),
        Expected::Expired(_) | Expected::Erased | Expected::Replayed | Expected::Refused(_) => String::new(),
    }
}
