//! The walk's ordinary commands: mostly what would be accepted, with a share of what comes to mind.

use super::alliance::{points, slugs};
use super::calendar::{NEVER, day_of, expiry_of, month_end_after};
use super::ledger::{Acc, Link};
use super::pool::Offer;
use super::terms_of::{self, Figures};
use super::walk::Walk;
use chrono::{Days, TimeDelta};
use hanse::book::command::*;
use hanse::domain::ids::{AccountId, LinkId, MemberId, QuoteId, Slug, TokenId};
use hanse::domain::quote;
use std::sync::Arc;
use uuid::Uuid;

/// Members per brand.
const MEMBERS: usize = 8;

/// The directory hash of a brand's n-th member.
pub fn who(brand: usize, nth: usize) -> DirectoryHash {
    let bits = |n: usize| u128::try_from(n).expect("small");
    DirectoryHash(Uuid::from_u128((1 << 100) + (bits(brand) << 32) + bits(nth)))
}

impl Walk {
    pub fn next_request(&mut self) -> Request {
        match self.chance.below(100) {
            0..=2 => self.again(),
            3..=17 => self.provoke(),
            _ => self.ordinary(),
        }
    }

    /// The same request again, as a client that heard no answer.
    fn again(&mut self) -> Request {
        if self.pool.requests.is_empty() {
            return self.ordinary();
        }
        let nth = self.chance.below(self.pool.requests.len());
        let fresh = self.chance.uuid();
        Request { fresh, request_id: self.chance.uuid(), ..self.pool.requests[nth].clone() }
    }

    pub fn ordinary(&mut self) -> Request {
        if self.chance.one_in(7) {
            return self.of_benefits();
        }
        match self.chance.below(1_000) {
            0..=79 => self.register(),
            80..=279 => self.credit(),
            280..=359 => self.debit(),
            360..=429 => self.reverse_movement(),
            430..=709 => self.convert(),
            710..=779 => self.undo(),
            780..=849 => self.reverse(),
            850..=889 => self.confirm(),
            890..=939 => self.open_link(),
            940..=949 => self.end_link(),
            950..=993 => self.expire(),
            _ => self.erase(),
        }
    }

    /// A seventh of all: benefits, vouchers and tills.
    fn of_benefits(&mut self) -> Request {
        match self.chance.below(100) {
            0..=34 => self.claim(),
            35..=49 => self.confirm_claim(),
            50..=57 => self.cancel_voucher(),
            58..=67 => self.expire_voucher(),
            68..=89 => self.redeem(),
            _ => self.reverse_redemption(),
        }
    }

    pub fn request(&mut self, caller: Slug, command: Command) -> Request {
        let keyless = matches!(
            command,
            Command::Register(_)
                | Command::OpenLink(_)
                | Command::EndLink(_)
                | Command::Expire(_)
                | Command::ConfirmClaim(_)
                | Command::CancelVoucher(_)
                | Command::ExpireVoucher(_)
        );
        let money = matches!(
            command,
            Command::Credit(_)
                | Command::Debit(_)
                | Command::ReverseMovement(_)
                | Command::Convert(_)
                | Command::Reverse(_)
                | Command::Claim(_)
                | Command::Redeem(_)
                | Command::ReverseRedemption(_)
        );
        let hash = DirectoryHash(self.chance.uuid());
        let key = Key { hash, fingerprint: self.chance.uuid() };
        let reference = Reference { hash: DirectoryHash(self.chance.uuid()), text: format!("ref-{}", self.step) };
        Request {
            caller,
            fresh: self.chance.uuid(),
            request_id: self.chance.uuid(),
            key: (!keyless).then_some(key),
            reference: (money && self.chance.percent(60)).then_some(reference),
            command,
        }
    }

    /// Accounts of which this holds, in the order of their making.
    pub fn accounts(&self, wanted: impl Fn(&Acc) -> bool) -> Vec<AccountId> {
        let known = |account: &&Acc| self.model.refs.get(&account.who) == Some(&account.id);
        self.model.accounts.values().filter(known).filter(|account| wanted(account)).map(|account| account.id).collect()
    }

    pub fn active(&mut self) -> Option<AccountId> {
        let active = self.accounts(|account| account.status == Status::Active);
        (!active.is_empty()).then(|| self.chance.pick(&active))
    }

    pub fn register(&mut self) -> Request {
        let brand = self.chance.below(slugs().len());
        let nth = self.chance.below(MEMBERS);
        let who = who(brand, nth);
        let account = self.model.refs.get(&who).map(|id| self.model.acc(*id).clone());
        let status = match account.as_ref().map(|account| account.status) {
            None | Some(Status::Frozen) => Status::Active,
            Some(Status::Closed) => Status::Closed,
            Some(Status::Active) => match self.chance.below(20) {
                0..=2 => Status::Frozen,
                3 => Status::Closed,
                _ => Status::Active,
            },
        };
        self.registration(slugs()[brand].clone(), who, status)
    }

    pub fn registration(&mut self, caller: Slug, who: DirectoryHash, status: Status) -> Request {
        let tiers = &self.catalogue.partners[&caller].programme.tiers;
        let codes: Vec<String> = tiers.iter().map(|tier| tier.code.clone()).collect();
        let tier = self.chance.pick(&codes);
        let source =
            self.chance.pick(&[TierSource::Earned, TierSource::Earned, TierSource::Granted, TierSource::Trial]);
        let earned = source == TierSource::Earned && self.chance.percent(30);
        let until = day_of(self.at) + Days::new(u64::try_from(self.chance.between(0, 60)).expect("small"));
        let tier_until = (source != TierSource::Earned && self.chance.percent(50)).then_some(until);
        let month = i16::try_from(self.chance.between(1, 12)).expect("small");
        let birth_month = self.chance.percent(30).then_some(month);
        let tags = self.chance.pick(&[None, None, Some(vec!["family".to_owned()]), Some(Vec::new())]);
        let profile = Profile {
            member_ref: "m".to_owned(),
            tier: tier.clone(),
            tier_source: source,
            tier_until,
            identity: None,
            birth_month,
            member_since: None,
            tags,
        };
        let register = Register {
            who,
            fresh_member: MemberId(self.chance.uuid()),
            earned_tier: earned.then_some(tier),
            profile,
            status,
            reason: None,
            as_of: self.chance.percent(40).then_some(self.at),
            forfeit: self.chance.percent(80),
        };
        self.request(caller, Command::Register(register))
    }

    pub fn credit(&mut self) -> Request {
        let Some(id) = self.active() else { return self.register() };
        let amount = if self.chance.one_in(2_000) {
            (1 << 53) - 1 - self.chance.between(0, 500)
        } else {
            self.chance.between(1, 600)
        };
        self.credit_of(id, amount)
    }

    pub fn credit_of(&mut self, id: AccountId, amount: i64) -> Request {
        let account = self.model.acc(id);
        let (caller, who, day) = (account.partner.clone(), account.who, day_of(self.at));
        let months = u32::try_from(self.chance.between(0, 4)).expect("small");
        let end = if self.chance.one_in(12) { NEVER } else { month_end_after(day, months) };
        let expires = self.chance.percent(35).then(|| expiry_of(end));
        let days = u64::try_from(self.chance.between(0, 4)).expect("small");
        let last = expires.map_or(day + Days::new(days), |_| day.max(end.min(day + Days::new(days))));
        let kind = self.chance.pick(&[CreditKind::Earn, CreditKind::Extra, CreditKind::Opening, CreditKind::Adjust]);
        let available_on = self.chance.percent(12).then_some(last);
        let credit = Credit { who, points: points(amount), kind, reason: "earned".to_owned(), expires, available_on };
        self.request(caller, Command::Credit(credit))
    }

    pub fn debit(&mut self) -> Request {
        let day = day_of(self.at);
        let able = self.accounts(|account| account.status == Status::Active && account.usable(day) > 0);
        if able.is_empty() {
            return self.credit();
        }
        let id = self.chance.pick(&able);
        let usable = i64::try_from(self.model.acc(id).usable(day)).expect("in range");
        let amount = if self.chance.percent(30) { usable } else { self.chance.between(1, usable) };
        self.debit_of(id, amount)
    }

    pub fn debit_of(&mut self, id: AccountId, amount: i64) -> Request {
        let account = self.model.acc(id);
        let (caller, who) = (account.partner.clone(), account.who);
        self.request(caller, Command::Debit(Debit { who, points: points(amount), reason: "spent".to_owned() }))
    }

    pub fn reverse_movement(&mut self) -> Request {
        for _ in 0..6 {
            let Some(id) = self.movement() else { break };
            let row = &self.model.movements[&id];
            let left = i64::try_from(super::ledger::total(&row.left)).expect("in range");
            if left > 0 && row.reverses.is_none() && self.model.acc(row.account).status == Status::Active {
                let amount = if self.chance.percent(40) { left } else { self.chance.between(1, left) };
                return self.reversal_of(id, amount);
            }
        }
        self.credit()
    }

    pub fn movement(&mut self) -> Option<hanse::domain::ids::MovementId> {
        let most = self.pool.movements.len();
        (most > 0).then(|| self.pool.movements[self.chance.below(most)])
    }

    pub fn reversal_of(&mut self, id: hanse::domain::ids::MovementId, amount: i64) -> Request {
        let row = &self.model.movements[&id];
        let (caller, of) = (row.partner.clone(), row.side);
        let ask = ReverseMovement { movement: id, of, points: points(amount), reason: "returned".to_owned() };
        self.request(caller, Command::ReverseMovement(ask))
    }

    /// A link seen from one side; mostly one on which a conversion can pass.
    pub fn link(&mut self, wanted: impl Fn(&Acc, &Link, &Acc) -> bool) -> Option<(AccountId, Link)> {
        let mut found = Vec::new();
        for account in self.model.accounts.values() {
            let passing = account.links.iter().filter(|link| wanted(account, link, self.model.acc(link.peer)));
            found.extend(passing.map(|link| (account.id, link.clone())));
        }
        (!found.is_empty()).then(|| self.chance.pick(&found))
    }

    pub fn convert(&mut self) -> Request {
        let (day, at) = (day_of(self.at), self.at);
        if self.chance.percent(15)
            && let Some(offer) = self.fresh_offer()
        {
            return self.take_offer(&offer);
        }
        let open = |account: &Acc| account.status == Status::Active && account.owed == 0;
        let link = self.link(|own, link, peer| open(own) && open(peer) && link.opens_at <= at && own.usable(day) > 20);
        let Some((from, link)) = link else { return self.open_link() };
        let (account, to) = (self.model.acc(from).clone(), link.partner.clone());
        let Some(figures) = self.figures(&account.partner, &to, &account.tier) else { return self.credit() };
        let mut most = account.usable(day).min(figures.maximum.unwrap_or(1_500)).min(1_500);
        let cap = self.catalogue.partners[&account.partner].limits;
        let room = |cap: Option<_>, used: i128| {
            cap.map_or(i128::MAX, |cap: hanse::domain::points::Points| i128::from(cap.get()) - used)
        };
        let left =
            room(cap.out_day, account.used_on(day, true)).min(room(cap.out_month, account.used_in_month(day, true)));
        most = most.min(left.max(0));
        let least = figures.minimum.max(figures.step);
        if most < least {
            return self.credit_of(from, 500);
        }
        let (least, most) = (i64::try_from(least).expect("small"), i64::try_from(most).expect("small"));
        let debit = if self.chance.percent(35) { most } else { self.chance.between(least, most) };
        let credit = i128::from(debit) / figures.step * figures.step * figures.num / figures.den;
        let credit = i64::try_from(credit).expect("small");
        let want =
            if self.chance.percent(25) { Want::CreditPoints(points(credit)) } else { Want::Points(points(debit)) };
        // Pulled, where the member allows it at the origin.
        let pull = link.pull && self.chance.percent(30);
        let (own, direction) =
            if pull { (link.peer, Direction::From(account.partner)) } else { (from, Direction::To(to)) };
        if self.chance.percent(25) {
            let offered = self.quote(own, direction.clone(), want);
            if let Some(offer) = offered.filter(|_| self.chance.percent(60)) {
                return self.take_offer(&offer);
            }
        }
        let floor = self.chance.percent(20).then(|| points(credit));
        self.conversion(own, direction, Ask::Now { want, floor })
    }

    pub fn figures(&self, from: &Slug, to: &Slug, tier: &str) -> Option<Figures> {
        let rate = terms_of::rate(&self.catalogue, from, to, tier, self.at)?;
        let agreement = terms_of::agreement(&self.catalogue, from, to, self.at)?;
        let campaigns = terms_of::campaigns(&self.catalogue, from, to, tier, self.at);
        Some(Figures::of(rate, agreement, &campaigns))
    }

    pub fn conversion(&mut self, own: AccountId, direction: Direction, ask: Ask) -> Request {
        let account = self.model.acc(own);
        let (caller, who) = (account.partner.clone(), account.who);
        self.request(caller, Command::Convert(Convert { who, direction, ask }))
    }

    fn fresh_offer(&mut self) -> Option<Offer> {
        let (used, at) = (&self.model.used, self.at);
        let is_open = |offer: &&Offer| !used.contains_key(&offer.quoted.hash) && at < offer.quoted.expires_at;
        let open: Vec<Offer> = self.pool.offers.iter().filter(is_open).cloned().collect();
        (!open.is_empty()).then(|| self.chance.pick(&open))
    }

    pub fn take_offer(&mut self, offer: &Offer) -> Request {
        let Offer { caller, who, direction, quoted } = offer.clone();
        self.request(caller, Command::Convert(Convert { who, direction, ask: Ask::Quoted(quoted) }))
    }

    /// What a signed quote would say now; nothing when the wish cannot be priced.
    pub fn quote(&mut self, own: AccountId, direction: Direction, want: Want) -> Option<Offer> {
        let account = self.model.acc(own).clone();
        let (Direction::To(other) | Direction::From(other)) = &direction;
        let peer = account.link_to(other).map(|link| self.model.acc(link.peer).clone())?;
        let (from, to) = if matches!(direction, Direction::To(_)) { (&account, &peer) } else { (&peer, &account) };
        let figures = self.figures(&from.partner, &to.partner, &from.tier)?;
        let amounts = figures.price(want, None).ok()?;
        let terms = quote::terms(&self.catalogue, &from.partner, &to.partner, &from.tier, self.at)?;
        let quoted = Quoted {
            quote: QuoteId(self.chance.uuid()),
            hash: DirectoryHash(self.chance.uuid()),
            expires_at: self.at + TimeDelta::seconds(300),
            from_account: from.id,
            to_account: to.id,
            debit: points(i64::try_from(amounts.debit).expect("in range")),
            credit: points(i64::try_from(amounts.credit).expect("in range")),
            bonuses: amounts.bonuses.iter().map(|bonus| points(i64::try_from(*bonus).expect("in range"))).collect(),
            terms: Arc::new(terms),
        };
        let offer = Offer { caller: account.partner.clone(), who: account.who, direction, quoted: Box::new(quoted) };
        self.pool.offer(offer.clone());
        Some(offer)
    }

    /// One of the last conversions, or any of those remembered.
    pub fn conversion_row(&mut self, last: usize) -> Option<super::ledger::Conv> {
        let all = self.pool.conversions.len();
        if all == 0 {
            return None;
        }
        let nth = all - 1 - self.chance.below(last.min(all));
        self.model.conversions.get(&self.pool.conversions[nth]).cloned()
    }

    pub fn undo(&mut self) -> Request {
        for _ in 0..6 {
            let Some(row) = self.conversion_row(25) else { break };
            let in_time = self.at <= row.at + TimeDelta::seconds(row.terms.undo_s.into());
            let open = [row.from, row.to].iter().all(|id| self.model.acc(*id).status == Status::Active);
            if in_time && open && !row.undone && row.credit_back() == 0 {
                let caller = if row.pulled && self.chance.percent(50) { &row.terms.to } else { &row.terms.from };
                return self.request(caller.clone(), Command::Undo(Undo { conversion: row.id }));
            }
        }
        self.convert()
    }

    pub fn reverse(&mut self) -> Request {
        for _ in 0..6 {
            let Some(row) = self.conversion_row(300) else { break };
            let left = row.credit - row.credit_back();
            let open = [row.from, row.to].iter().all(|id| self.model.acc(*id).status == Status::Active);
            if open && !row.undone && left > 0 {
                let parts = i64::try_from(left).expect("in range") / row.terms.ratio.num();
                let parts = if self.chance.percent(30) { parts } else { self.chance.between(1, parts) };
                return self.reversal(&row, parts * row.terms.ratio.num());
            }
        }
        self.convert()
    }

    pub fn reversal(&mut self, row: &super::ledger::Conv, credit: i64) -> Request {
        let caller = if self.chance.percent(50) { &row.terms.from } else { &row.terms.to };
        let ask = Reverse { conversion: row.id, credit_points: points(credit), reason: "returned".to_owned() };
        self.request(caller.clone(), Command::Reverse(ask))
    }

    pub fn confirm(&mut self) -> Request {
        let most = self.pool.asked.len();
        if most == 0 {
            return self.reverse();
        }
        let nth = self.chance.below(most);
        let id = if self.chance.percent(90) { self.pool.asked.remove(nth) } else { self.pool.asked.get(nth).copied() };
        let id = id.expect("below the length");
        let (asked, terms) = {
            let row = &self.model.reversals[&id];
            (row.asked_by.clone(), self.model.conversions.get(&row.conversion).map(|row| row.terms.clone()))
        };
        let Some(terms) = terms else { return self.reverse() };
        let caller = if asked == terms.from { &terms.to } else { &terms.from };
        self.request(caller.clone(), Command::ConfirmReversal(ConfirmReversal { reversal: id }))
    }

    pub fn open_link(&mut self) -> Request {
        let mut pair = None;
        for _ in 0..8 {
            let (Some(a), Some(b)) = (self.active(), self.active()) else { return self.register() };
            pair = Some((a, b));
            let brands = |id| -> Vec<Slug> {
                self.model.person(id).1.iter().map(|id| self.model.acc(*id).partner.clone()).collect()
            };
            let (ours, theirs) = (brands(a), brands(b));
            if !ours.iter().any(|slug| theirs.contains(slug)) {
                break;
            }
        }
        let (a, b) = pair.expect("tried at least once");
        self.link_of(a, b)
    }

    pub fn link_of(&mut self, a: AccountId, b: AccountId) -> Request {
        let mut side =
            |account| LinkSide { account, token: TokenId(self.chance.uuid()), pull: self.chance.percent(60) };
        let (a, b) = (side(a), side(b));
        let caller = self.model.acc(b.account).partner.clone();
        let link = LinkId(self.chance.uuid());
        self.request(caller, Command::OpenLink(OpenLink { link, a, b }))
    }

    pub fn end_link(&mut self) -> Request {
        let (link, a, b) = match self.link(|_, _, _| true) {
            Some((own, link)) if self.chance.percent(90) => (link.id, own, link.peer),
            _ => {
                let most = self.pool.ended_links.len();
                let there = |id| self.model.accounts.contains_key(&id);
                match (most > 0).then(|| self.pool.ended_links[self.chance.below(most)]) {
                    Some(ended) if there(ended.1) && there(ended.2) => ended,
                    _ => return self.open_link(),
                }
            }
        };
        self.pool.ended((link, a, b));
        let side = if self.chance.percent(50) { a } else { b };
        let caller = self.model.acc(side).partner.clone();
        self.request(caller, Command::EndLink(EndLink { link, a, b }))
    }

    pub fn expire(&mut self) -> Request {
        let all = self.accounts(|_| true);
        if all.is_empty() {
            return self.register();
        }
        let account = self.chance.pick(&all);
        let caller = self.model.acc(account).partner.clone();
        self.request(caller, Command::Expire(Expire { account }))
    }

    pub fn erase(&mut self) -> Request {
        let closed = self.accounts(|account| account.status == Status::Closed);
        let any = self.accounts(|account| account.held.is_empty());
        let able = if closed.is_empty() || self.chance.percent(20) { any } else { closed };
        if able.is_empty() {
            return self.register();
        }
        let id = self.chance.pick(&able);
        let (caller, who) = (self.model.acc(id).partner.clone(), self.model.acc(id).who);
        self.request(caller, Command::Erase(Erase { who }))
    }
}
