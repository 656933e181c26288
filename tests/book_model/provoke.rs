//! Provocations: the refusal seen least so far is asked for on purpose.

use super::alliance::{points, slugs};
use super::calendar::day_of;
use super::commands::who;
use super::ledger::{Acc, Conv, No, total};
use super::rules::Moment;
use super::walk::Walk;
use chrono::{Days, TimeDelta};
use hanse::book::command::*;
use hanse::domain::expiry::Expiry;
use hanse::domain::ids::{AccountId, MovementId, Slug};

impl Walk {
    pub fn provoke(&mut self) -> Request {
        let mut codes: Vec<Code> = Code::ALL.iter().map(|(code, _)| *code).collect();
        codes.sort_by_key(|code| self.tally.of(*code));
        // One of the rarest eight, so that one that cannot be had just now does not hold up the rest.
        let code = codes[self.chance.below(8)];
        self.provocation(code).unwrap_or_else(|| self.ordinary())
    }

    fn provocation(&mut self, code: Code) -> Option<Request> {
        match code {
            Code::NotFound => self.unknown(),
            Code::Forbidden => self.forbidden(),
            Code::IdempotencyMismatch | Code::DuplicateReference => self.second_use(code),
            Code::QuoteUsed | Code::QuoteInvalid | Code::QuoteExpired => self.bad_quote(code),
            Code::MembershipClosed => self.of_status(Status::Closed),
            Code::MembershipFrozen => self.of_status(Status::Frozen),
            Code::AlreadyLinked => self.linked_again(),
            Code::InsufficientPoints => self.too_much(),
            Code::UndoWindowClosed => self.late_undo(),
            Code::PointsSpent => self.spent(),
            Code::ReversalExceeds => self.over_reversal(),
            Code::Stale | Code::BalanceNotZero | Code::OpenBusiness | Code::Invalid => self.bad_registration(code),
            Code::PointsOwed => self.wild(code).or_else(|| self.owing()),
            Code::MemberNotLinked => self.wild(code).or_else(|| self.no_link()),
            Code::PartnerSuspended
            | Code::LinkCoolingOff
            | Code::NoRate
            | Code::RateWorseThanAsked
            | Code::BelowMinimum
            | Code::AboveMaximum
            | Code::NotAMultiple
            | Code::LimitExceeded
            | Code::ExposureExceeded => self.wild(code),
            _ => self.provoke_benefit(code),
        }
    }

    /// Tries conversions of every kind until one is refused with this code.
    fn wild(&mut self, code: Code) -> Option<Request> {
        for _ in 0..30 {
            let (own, link) = self.link(|_, _, _| true)?;
            let account = self.model.acc(own).clone();
            let day = day_of(self.at);
            let usable = i64::try_from(account.usable(day)).expect("in range");
            let figures = self.figures(&account.partner, &link.partner, &account.tier);
            let most = figures.as_ref().and_then(|figures| figures.maximum).unwrap_or(5_000);
            let most = i64::try_from(most).expect("small");
            let step = figures.as_ref().map_or(1, |figures| i64::try_from(figures.step).expect("small"));
            let wished = self.chance.between(0, 60);
            let offered = self.chance.pick(&[usable, usable.min(most), most, most + step, wished]);
            let (_, want) = (wished, Want::Points(points(offered.min((1 << 53) - 1))));
            let want =
                if self.chance.percent(30) { Want::CreditPoints(points(self.chance.between(0, 700))) } else { want };
            let floor = self.chance.percent(25).then(|| points(self.chance.between(0, 2_500)));
            let direction =
                if self.chance.percent(80) { Direction::To(link.partner) } else { Direction::From(link.partner) };
            let ask = Convert { who: account.who, direction: direction.clone(), ask: Ask::Now { want, floor } };
            let request = self.request(account.partner, Command::Convert(ask.clone()));
            let moment = Moment { catalogue: &self.catalogue, at: self.at, day };
            if matches!(self.model.judge(moment, &request, &ask), Err(No(found, _)) if found == code) {
                return Some(request);
            }
        }
        None
    }

    fn other_brand(&mut self, than: &Slug) -> Slug {
        let others: Vec<Slug> = slugs().into_iter().filter(|slug| slug != than).collect();
        self.chance.pick(&others)
    }

    fn unknown(&mut self) -> Option<Request> {
        let id = self.active()?;
        let mut request = match self.chance.below(4) {
            0 => self.credit_of(id, 10),
            1 => self.debit_of(id, 1),
            2 => {
                let row = self.conversion_row(200)?;
                let mut request = self.reversal(&row, row.terms.ratio.num());
                let sides = [row.terms.from.clone(), row.terms.to.clone()];
                let others: Vec<Slug> = slugs().into_iter().filter(|slug| !sides.contains(slug)).collect();
                request.caller = self.chance.pick(&others);
                return Some(request);
            }
            _ => {
                let movement = MovementId(self.chance.uuid());
                let ask =
                    ReverseMovement { movement, of: MovementSide::Credit, points: points(1), reason: "?".to_owned() };
                let caller = self.model.acc(id).partner.clone();
                return Some(self.request(caller, Command::ReverseMovement(ask)));
            }
        };
        if self.chance.percent(50) {
            request.caller = self.other_brand(&request.caller.clone());
        } else if let Command::Credit(Credit { who: named, .. }) | Command::Debit(Debit { who: named, .. }) =
            &mut request.command
        {
            *named = who(9, 9);
        }
        Some(request)
    }

    fn forbidden(&mut self) -> Option<Request> {
        if self.chance.percent(50) && !self.pool.asked.is_empty() {
            let nth = self.chance.below(self.pool.asked.len());
            let row = &self.model.reversals[&self.pool.asked[nth]];
            let (caller, reversal) = (row.asked_by.clone(), row.id);
            return Some(self.request(caller, Command::ConfirmReversal(ConfirmReversal { reversal })));
        }
        let row = self.conversion_row(200)?;
        (!row.pulled).then(|| self.request(row.terms.to.clone(), Command::Undo(Undo { conversion: row.id })))
    }

    fn second_use(&mut self, code: Code) -> Option<Request> {
        if code == Code::IdempotencyMismatch {
            let nth = self.chance.below(self.pool.requests.len().max(1));
            let mut request = self.pool.requests.get(nth)?.clone();
            request.request_id = self.chance.uuid();
            let fingerprint = self.chance.uuid();
            request.key = request.key.map(|key| Key { fingerprint, ..key });
            return Some(request);
        }
        let nth = self.chance.below(self.pool.references.len().max(1));
        let (caller, reference) = self.pool.references.get(nth)?.clone();
        let own = self.accounts(|account| account.partner == caller);
        if own.is_empty() {
            return None;
        }
        let id = self.chance.pick(&own);
        let mut request = self.credit_of(id, 5);
        request.reference = Some(reference);
        Some(request)
    }

    fn bad_quote(&mut self, code: Code) -> Option<Request> {
        let used = |walk: &Walk, hash: &DirectoryHash| walk.model.used.contains_key(hash);
        let wanted = |walk: &Walk, offer: &super::pool::Offer| match code {
            Code::QuoteUsed => used(walk, &offer.quoted.hash),
            Code::QuoteExpired => !used(walk, &offer.quoted.hash) && offer.quoted.expires_at <= walk.at,
            _ => !used(walk, &offer.quoted.hash),
        };
        let offers: Vec<_> = self.pool.offers.iter().filter(|offer| wanted(self, offer)).cloned().collect();
        if offers.is_empty() {
            return None;
        }
        let mut offer = self.chance.pick(&offers);
        if code == Code::QuoteInvalid {
            match self.chance.below(3) {
                // Of another member of the same brand.
                0 => {
                    let others = self.accounts(|account| account.partner == offer.caller && account.who != offer.who);
                    offer.who = self.model.acc(self.chance.pick_or(&others, *self.model.refs.get(&offer.who)?)).who;
                }
                1 => std::mem::swap(&mut offer.quoted.from_account, &mut offer.quoted.to_account),
                _ => {
                    let (Direction::To(other) | Direction::From(other)) = offer.direction.clone();
                    offer.direction = match offer.direction {
                        Direction::To(_) => Direction::From(other),
                        Direction::From(_) => Direction::To(other),
                    };
                }
            }
        }
        Some(self.take_offer(&offer))
    }

    fn of_status(&mut self, status: Status) -> Option<Request> {
        let found = self.accounts(|account| account.status == status);
        if found.is_empty() {
            return None;
        }
        let id = self.chance.pick(&found);
        let (partner, who) = (self.model.acc(id).partner.clone(), self.model.acc(id).who);
        match self.chance.below(6) {
            0 => Some(self.credit_of(id, 20)),
            1 => Some(self.debit_of(id, 1)),
            2 if status == Status::Closed => Some(self.registration(partner, who, Status::Active)),
            3 => {
                let (own, link) = self.link(|own, link, _| own.id == id || link.peer == id)?;
                let want = Want::Points(points(self.chance.between(1, 100)));
                Some(self.conversion(own, Direction::To(link.partner), Ask::Now { want, floor: None }))
            }
            4 => {
                let is_there = |id: &AccountId| self.model.accounts.contains_key(id);
                let own = |row: &&Conv| [row.from, row.to].contains(&id) && is_there(&row.from) && is_there(&row.to);
                let rows: Vec<_> = self.model.conversions.values().filter(own).collect();
                let row = (*rows.last()?).clone();
                let undo = self.chance.percent(50);
                Some(if undo {
                    self.request(row.terms.from.clone(), Command::Undo(Undo { conversion: row.id }))
                } else {
                    self.reversal(&row, row.terms.ratio.num())
                })
            }
            _ => {
                let rows = self.model.movements.values().filter(|row| row.account == id && total(&row.left) > 0);
                let row = rows.rev().find(|row| row.reverses.is_none())?.id;
                Some(self.reversal_of(row, 1))
            }
        }
    }

    fn linked_again(&mut self) -> Option<Request> {
        let open = |account: &Acc| account.status != Status::Closed;
        let (own, link) = self.link(|own, _, peer| open(own) && open(peer))?;
        if self.chance.percent(30) {
            return Some(self.link_of(own, link.peer));
        }
        let partner = link.partner;
        let others = self.accounts(|account| open(account) && account.partner == partner && account.id != link.peer);
        let other = self.chance.pick_or(&others, link.peer);
        Some(self.link_of(own, other))
    }

    fn too_much(&mut self) -> Option<Request> {
        let id = self.active()?;
        let usable = i64::try_from(self.model.acc(id).usable(day_of(self.at))).expect("in range");
        let amount = usable + self.chance.between(1, 5);
        if amount < 1 << 53 { Some(self.debit_of(id, amount)) } else { None }
    }

    fn late_undo(&mut self) -> Option<Request> {
        for _ in 0..8 {
            let row = self.conversion_row(400)?;
            let late = row.undone || self.at > row.at + TimeDelta::seconds(row.terms.undo_s.into());
            if late {
                return Some(self.request(row.terms.from.clone(), Command::Undo(Undo { conversion: row.id })));
            }
        }
        None
    }

    /// Spends what arrived, then wants it back.
    fn spent(&mut self) -> Option<Request> {
        let day = day_of(self.at);
        let row = self.conversion_row(12)?;
        if row.undone || row.credit_back() > 0 {
            return None;
        }
        let usable = i64::try_from(self.model.acc(row.to).usable(day)).expect("in range");
        if i128::from(usable) > row.credit / 2 && self.model.acc(row.to).status == Status::Active {
            return Some(self.debit_of(row.to, usable));
        }
        Some(self.request(row.terms.from.clone(), Command::Undo(Undo { conversion: row.id })))
    }

    fn over_reversal(&mut self) -> Option<Request> {
        if self.chance.percent(50) {
            let id = self.movement()?;
            let left = i64::try_from(total(&self.model.movements[&id].left)).expect("in range");
            let amount = (left + self.chance.between(1, 9)).min((1 << 53) - 1);
            return Some(self.reversal_of(id, amount));
        }
        let row = self.conversion_row(300)?;
        let left = i64::try_from(row.credit - row.credit_back()).expect("in range");
        let num = row.terms.ratio.num();
        let more = self.chance.between(1, 3);
        Some(self.reversal(&row, (left / num + more) * num))
    }

    fn bad_registration(&mut self, code: Code) -> Option<Request> {
        let day = day_of(self.at);
        let fits = |account: &Acc| match code {
            Code::Stale => account.as_of.is_some(),
            Code::BalanceNotZero => {
                account.status != Status::Closed && account.held.is_empty() && account.usable(day) > 0
            }
            Code::OpenBusiness => !account.held.is_empty(),
            _ => account.status == Status::Active,
        };
        let found = self.accounts(fits);
        if found.is_empty() {
            return None;
        }
        let id = self.chance.pick(&found);
        let account = self.model.acc(id).clone();
        let closing = matches!(code, Code::BalanceNotZero | Code::OpenBusiness);
        if code == Code::OpenBusiness && self.chance.percent(50) {
            return Some(self.request(account.partner, Command::Erase(Erase { who: account.who })));
        }
        if code == Code::Invalid && self.chance.percent(50) {
            return Some(self.bad_credit(id));
        }
        let status = if closing { Status::Closed } else { account.status };
        let mut request = self.registration(account.partner.clone(), account.who, status);
        let Command::Register(register) = &mut request.command else { return None };
        match code {
            Code::Stale => register.as_of = account.as_of.map(|as_of| as_of - TimeDelta::seconds(1)),
            Code::BalanceNotZero => register.forfeit = false,
            Code::Invalid if self.chance.percent(50) => register.earned_tier = Some("platinum".to_owned()),
            Code::Invalid => {
                register.profile.tier_source = TierSource::Granted;
                register.earned_tier = Some(register.profile.tier.clone());
            }
            _ => {}
        }
        Some(request)
    }

    fn bad_credit(&mut self, id: AccountId) -> Request {
        let day = day_of(self.at);
        let mut request = self.credit_of(id, 10);
        if let Command::Credit(credit) = &mut request.command {
            match self.chance.below(3) {
                0 => credit.expires = Some(Expiry::On(super::calendar::month_end_after(day, 1) - Days::new(1))),
                1 => credit.expires = Some(Expiry::On(super::calendar::month_end_after(day - Days::new(40), 0))),
                _ => {
                    credit.expires = Some(Expiry::On(super::calendar::month_end_after(day, 0)));
                    credit.available_on = Some(day + Days::new(40));
                }
            }
        }
        request
    }

    /// Takes back a credit that has been spent, so that somebody owes.
    fn owing(&mut self) -> Option<Request> {
        for _ in 0..8 {
            let id = self.movement()?;
            let row = &self.model.movements[&id];
            let left = total(&row.left);
            let account = self.model.acc(row.account);
            let fits = row.side == MovementSide::Credit && row.reverses.is_none() && !account.links.is_empty();
            if fits && left > account.balance() && account.status == Status::Active {
                return Some(self.reversal_of(id, i64::try_from(left).expect("in range")));
            }
        }
        None
    }

    fn no_link(&mut self) -> Option<Request> {
        let id = self.active()?;
        let to = self.other_brand(&self.model.acc(id).partner.clone());
        let want = Want::Points(points(self.chance.between(1, 100)));
        let direction = if self.chance.percent(70) { Direction::To(to) } else { Direction::From(to) };
        Some(self.conversion(id, direction, Ask::Now { want, floor: None }))
    }
}
