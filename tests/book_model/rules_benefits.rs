//! The model's benefits and vouchers (rules 10 to 14): who may claim, what a use settles, what comes back.

use super::calendar::{NEVER, first_of, same_month};
use super::ledger::{Acc, Expected, MOST, Model, No, Piece, Used, total};
use super::rules::{Moment, left, returning_end};
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use hanse::book::command::{CancelVoucher, Claim, Code, Hint, Redeem, Request, ReverseRedemption, Status, Unmet};
use hanse::book::engine::account::EntryKind;
use hanse::book::exposures::ExposureKey;
use hanse::book::voucher::UseKind;
use hanse::domain::benefit::{Benefit, Discount, Funder, Ladder, Offer, Period, SettlesAt};
use hanse::domain::catalogue::PartnerStatus;
use hanse::domain::ids::{AccountId, BenefitId, Slug, TokenId, UseId, VoucherId};
use hanse::domain::voucher::State;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is published of one benefit.
#[derive(Clone, Debug)]
pub struct Offering {
    pub benefit: Arc<Benefit>,
    pub quota: Option<i64>,
    /// Brand, its earned tier, the giver's tier that this counts as.
    pub recognised: Arc<Vec<(Slug, String, String)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its place is kept.
    Kept,
    /// Issued: used or not.
    Good,
    Over,
    GivenBack,
}

/// A voucher, with the benefit and the offer as they were.
#[derive(Clone, Debug)]
pub struct Vou {
    pub id: VoucherId,
    pub account: AccountId,
    pub benefit: Arc<Benefit>,
    pub offer: Offer,
    pub phase: Phase,
    pub reserved_first: bool,
    /// The redemptions that stand, in their order.
    pub standing: Vec<UseId>,
    pub settled: i128,
    pub lots: Vec<Piece>,
    pub entry: usize,
    pub use_by: NaiveDate,
    pub reserved_until: Option<DateTime<Utc>>,
    pub at: DateTime<Utc>,
    pub issued_at: Option<DateTime<Utc>>,
    pub day: NaiveDate,
    pub token: TokenId,
}

#[derive(Clone, Debug)]
pub struct Use {
    pub id: UseId,
    pub voucher: VoucherId,
    pub kind: UseKind,
    pub nth: usize,
    pub cost: i128,
    pub discount: Option<i128>,
    pub receipt: Option<String>,
    pub day: NaiveDate,
    pub reverses: Option<UseId>,
    pub reversed: bool,
}

impl Vou {
    fn uses(&self) -> usize {
        usize::try_from(self.benefit.uses).expect("positive")
    }

    pub fn state(&self) -> State {
        match self.phase {
            Phase::Kept => State::Reserved,
            Phase::Over => State::Expired,
            Phase::GivenBack => State::Cancelled,
            Phase::Good if self.standing.is_empty() => State::Issued,
            Phase::Good if self.standing.len() == self.uses() => State::Redeemed,
            Phase::Good => State::PartlyRedeemed,
        }
    }

    /// It may still be used, or become usable.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Kept || (self.phase == Phase::Good && self.standing.len() < self.uses())
    }

    pub fn cost(&self) -> i128 {
        self.offer.cost.get().into()
    }

    fn points(&self) -> i128 {
        self.offer.points.get().into()
    }

    /// Why nothing can be done with it any more, or yet.
    fn refusal(&self) -> No {
        match (self.phase, self.standing.last()) {
            (Phase::Kept, _) => Code::VoucherNotIssued.into(),
            (Phase::Over, _) => Code::VoucherExpired.into(),
            (Phase::GivenBack, _) => Code::VoucherCancelled.into(),
            (Phase::Good, Some(last)) => No(Code::VoucherUsed, Hint::Redeemed { id: last.to_string() }),
            (Phase::Good, None) => Code::VoucherNotIssued.into(),
        }
    }

    fn lines(&self, cost: i128) -> Vec<(ExposureKey, i128)> {
        owed_lines(&self.benefit, &self.offer, cost)
    }
}

/// Who owes what when so much is settled: the payer the giver. What the giver pays itself is owed by nobody.
fn owed_lines(benefit: &Benefit, offer: &Offer, cost: i128) -> Vec<(ExposureKey, i128)> {
    let (giver, brand) = (benefit.giver.clone(), offer.to.clone());
    match offer.funder {
        Funder::Operator => vec![(ExposureKey::Partner(giver), -cost)],
        Funder::Brand if brand != giver => vec![
            (ExposureKey::Pair(brand.clone(), giver.clone()), cost),
            (ExposureKey::Partner(brand), cost),
            (ExposureKey::Partner(giver), -cost),
        ],
        Funder::Brand | Funder::Giver => Vec::new(),
    }
}

fn is_same_period(period: Period, day: NaiveDate, claimed: NaiveDate) -> bool {
    match period {
        Period::Day => claimed == day,
        Period::Month => same_month(claimed, day),
        Period::Year => claimed.year() == day.year(),
        Period::Ever => true,
    }
}

impl Model {
    /// Room that open vouchers keep under the stop lines: what each may still settle, at those it would raise.
    pub fn kept_room(&self) -> BTreeMap<ExposureKey, i128> {
        let mut room = BTreeMap::new();
        for voucher in self.open.iter().map(|id| &self.vouchers[id]) {
            for (key, by) in voucher.lines(voucher.cost() - voucher.settled).into_iter().filter(|(_, by)| *by > 0) {
                *room.entry(key).or_default() += by;
            }
        }
        room
    }

    /// How many places of a benefit are gone.
    pub fn taken(&self, benefit: BenefitId) -> i64 {
        self.places.get(&benefit).map_or(0, |places| i64::try_from(places.len()).expect("a count"))
    }

    fn voucher_of(&self, request: &Request, id: VoucherId, or_giver: bool) -> Result<Vou, No> {
        let voucher = self.vouchers.get(&id).ok_or(Code::NotFound)?;
        let is_own = voucher.offer.to == request.caller || (or_giver && voucher.benefit.giver == request.caller);
        if is_own { Ok(voucher.clone()) } else { Err(Code::NotFound.into()) }
    }

    /// Everything that is checked before a claim, in the order of refusals: the account and its offer.
    pub fn judge_claim(&self, moment: Moment, request: &Request, ask: &Claim) -> Result<(AccountId, Offer), No> {
        let id = self.own(request, ask.who)?;
        let offering = self.benefits.get(&ask.benefit).ok_or(Code::NotFound)?;
        let benefit = &offering.benefit;
        let status = |slug: &Slug| moment.catalogue.partners[slug].status;
        let takes_out = matches!(status(&request.caller), PartnerStatus::Active | PartnerStatus::Leaving);
        if !takes_out || status(&benefit.giver) != PartnerStatus::Active {
            return Err(Code::PartnerSuspended.into());
        }
        self.open_for_business(&[id])?;
        if ask.version.is_some_and(|version| version != benefit.version) {
            return Err(No::invalid("version"));
        }
        let offer = self.offer_for(moment, offering, self.acc(id))?;
        if let Some(most) = offer.per_member {
            // Rule 12: one person, whichever membership asks.
            let (_, person) = self.person(id);
            let own = person.iter().filter_map(|account| self.by_account.get(account)).flatten();
            let own = own.map(|id| &self.vouchers[id]).filter(|voucher| voucher.benefit.id == benefit.id);
            let had = own.filter(|voucher| {
                let lapsed = voucher.phase == Phase::Over && voucher.reserved_until.is_some();
                voucher.phase != Phase::GivenBack && !lapsed && is_same_period(most.period, moment.day, voucher.day)
            });
            if had.count() >= usize::from(most.count) {
                return Err(Code::AlreadyClaimed.into());
            }
        }
        if offering.quota.is_some_and(|quota| self.taken(benefit.id) >= quota) {
            return Err(Code::SoldOut.into());
        }
        self.check_claimed_points(moment, id, &offer)?;
        self.check_room(moment, &owed_lines(benefit, &offer, offer.cost.get().into()))?;
        Ok((id, offer))
    }

    fn offer_for(&self, moment: Moment, offering: &Offering, account: &Acc) -> Result<Offer, No> {
        let benefit = &offering.benefit;
        let not_eligible = |why| No(Code::NotEligible, Hint::Unmet(why));
        if !benefit.open {
            return Err(not_eligible(Unmet::Closed));
        }
        if benefit.claims_until.is_some_and(|until| until <= moment.at) {
            return Err(not_eligible(Unmet::Over));
        }
        let mut why = Unmet::Brand;
        for offer in benefit.offers.iter().filter(|offer| offer.to == account.partner) {
            let Some(unmet) = self.unmet(moment, offering, offer, account) else { return Ok(offer.clone()) };
            if why == Unmet::Brand {
                why = unmet;
            }
        }
        Err(not_eligible(why))
    }

    fn unmet(&self, moment: Moment, offering: &Offering, offer: &Offer, account: &Acc) -> Option<Unmet> {
        let (benefit, shown) = (&offering.benefit, &account.shown);
        // What was granted or is on trial ends with its day; then the earned tier shows again.
        let is_over = shown.until.is_some_and(|until| until < moment.day);
        let tier = match offer.ladder {
            Ladder::Brand if is_over => Some(&account.tier),
            Ladder::Brand => Some(&shown.tier),
            // Rule 14: only an earned tier is recognised by others.
            Ladder::Giver => {
                let known = offering.recognised.iter();
                let theirs = known
                    .filter(|(brand, earned, _)| *brand == account.partner && *earned == account.tier)
                    .map(|(_, _, theirs)| theirs)
                    .next();
                theirs.or_else(|| (account.partner == benefit.giver).then_some(&account.tier))
            }
        };
        if !offer.tiers.is_empty() && tier.is_none_or(|tier| !offer.tiers.contains(tier)) {
            return Some(Unmet::Tier);
        }
        if offer.tag.as_ref().is_some_and(|tag| !shown.tags.contains(tag)) {
            return Some(Unmet::Tag);
        }
        if let Some(days) = offer.link_days {
            let age = account.link_to(&benefit.giver).map(|link| moment.at - link.opens_at);
            if age.is_none_or(|age| age < TimeDelta::days(days.into())) {
                return Some(Unmet::Link);
            }
        }
        if offer.birthday_month && shown.birth_month.is_none_or(|month| u32::try_from(month) != Ok(moment.day.month()))
        {
            return Some(Unmet::Birthday);
        }
        let from = offer.claims_from.or(benefit.claims_from);
        from.is_some_and(|from| moment.at < from).then_some(Unmet::NotYet)
    }

    fn check_claimed_points(&self, moment: Moment, id: AccountId, offer: &Offer) -> Result<(), No> {
        let (account, points) = (self.acc(id), i128::from(offer.points.get()));
        if points == 0 {
            return Ok(());
        }
        if account.owed > 0 {
            return Err(Code::PointsOwed.into());
        }
        let usable = account.usable(moment.day);
        if usable < points {
            return Err(No(Code::InsufficientPoints, left(usable)));
        }
        let limits = moment.catalogue.partners[&account.partner].limits;
        let today = limits.out_day.map(|cap| i128::from(cap.get()) - account.used_on(moment.day, true));
        let month = limits.out_month.map(|cap| i128::from(cap.get()) - account.used_in_month(moment.day, true));
        match today.into_iter().chain(month).min() {
            Some(room) if room < points => Err(No(Code::LimitExceeded, left(room.max(0)))),
            _ => Ok(()),
        }
    }

    pub fn claim(&mut self, moment: Moment, request: &Request, ask: &Claim) -> Result<Expected, No> {
        let (account, offer) = self.judge_claim(moment, request, ask)?;
        let benefit = self.benefits[&ask.benefit].benefit.clone();
        let use_by = benefit.use_until.last(moment.day).filter(|last| *last >= moment.day).ok_or(Code::NotEligible)?;
        let own = self.acc(account);
        let voucher = Vou {
            id: VoucherId(request.fresh),
            account,
            offer,
            phase: Phase::Kept,
            reserved_first: ask.reserve,
            standing: Vec::new(),
            settled: 0,
            lots: Vec::new(),
            entry: own.entries,
            use_by,
            reserved_until: Some(
                (moment.at + TimeDelta::minutes(10)).min(first_of(moment.day.succ_opt().expect("a day"))),
            ),
            at: moment.at,
            issued_at: None,
            day: moment.day,
            token: own.link_to(&benefit.giver).map_or(ask.token, |link| link.own_token),
            benefit,
        };
        self.places.entry(ask.benefit).or_default().insert(voucher.id);
        self.by_account.entry(account).or_default().push(voucher.id);
        if !voucher.benefit.pooled {
            self.codes.insert(ask.code.hash, voucher.id);
        }
        Ok(if ask.reserve { self.put_voucher(voucher) } else { self.issue(moment, voucher) })
    }

    fn issue(&mut self, moment: Moment, mut voucher: Vou) -> Expected {
        let (id, points) = (voucher.account, voucher.points());
        if points > 0 {
            voucher.lots = self.change(id).take(points, moment.day, |lot| lot.is_usable(moment.day));
            voucher.entry = self.post(id, EntryKind::Claimed, -points);
            let used = Used { of: voucher.id.0, day: moment.day, out: true, points };
            let account = self.change(id);
            account.used.retain(|used| same_month(used.day, moment.day));
            account.used.push(used);
        }
        (voucher.phase, voucher.reserved_until, voucher.day) = (Phase::Good, None, moment.day);
        voucher.issued_at = Some(moment.at);
        if voucher.benefit.settles_at == SettlesAt::Issue {
            voucher.settled = voucher.cost();
            self.settle(&voucher, voucher.settled);
        }
        self.put_voucher(voucher)
    }

    fn settle(&mut self, voucher: &Vou, cost: i128) {
        self.post(voucher.account, EntryKind::BenefitUsed, 0);
        for (key, by) in voucher.lines(cost) {
            self.expose(key, by);
        }
    }

    fn put_voucher(&mut self, voucher: Vou) -> Expected {
        if voucher.is_open() {
            self.open.insert(voucher.id);
        } else {
            self.open.remove(&voucher.id);
        }
        self.vouchers.insert(voucher.id, voucher.clone());
        self.room = self.kept_room();
        Expected::Voucher(Box::new(voucher))
    }

    fn leave_place(&mut self, voucher: &Vou) {
        self.places.entry(voucher.benefit.id).or_default().remove(&voucher.id);
    }

    pub fn confirm_claim(&mut self, moment: Moment, request: &Request, id: VoucherId) -> Result<Expected, No> {
        let voucher = self.voucher_of(request, id, false)?;
        match voucher.phase {
            Phase::Good => return Ok(Expected::Voucher(Box::new(voucher))),
            Phase::Over | Phase::GivenBack => return Err(voucher.refusal()),
            Phase::Kept => {}
        }
        if voucher.reserved_until.is_none_or(|until| until <= moment.at) {
            return Err(Code::VoucherExpired.into());
        }
        self.open_for_business(&[voucher.account])?;
        self.check_claimed_points(moment, voucher.account, &voucher.offer)?;
        Ok(self.issue(moment, voucher))
    }

    pub fn cancel_voucher(&mut self, moment: Moment, request: &Request, ask: &CancelVoucher) -> Result<Expected, No> {
        let mut voucher = self.voucher_of(request, ask.voucher, true)?;
        match voucher.phase {
            Phase::GivenBack => return Ok(Expected::Voucher(Box::new(voucher))),
            Phase::Over => return Err(voucher.refusal()),
            Phase::Good if !voucher.standing.is_empty() => return Err(voucher.refusal()),
            Phase::Good if voucher.use_by < moment.day => return Err(Code::VoucherExpired.into()),
            Phase::Good | Phase::Kept => {}
        }
        // Money has moved: the payer asks for it soon, who has it gives it back at any time.
        let late = voucher.issued_at.is_some_and(|issued| moment.at > issued + TimeDelta::minutes(15));
        if voucher.settled != 0 && request.caller != voucher.benefit.giver && late {
            return Err(Code::UndoWindowClosed.into());
        }
        let id = voucher.account;
        if !voucher.lots.is_empty() {
            match self.acc(id).status {
                Status::Active => {}
                Status::Frozen => return Err(Code::MembershipFrozen.into()),
                Status::Closed => return Err(Code::MembershipClosed.into()),
            }
            let account = self.acc(id);
            // Rule 8: what has ended lives on if the giver takes the voucher away, or at once; not if it is given back later.
            let giver = &voucher.benefit.giver;
            let taken_away = request.caller == *giver && *giver != voucher.offer.to;
            let at_once = moment.at <= voucher.at + TimeDelta::minutes(15);
            let mut back: Vec<Piece> = voucher.lots.iter().rev().copied().collect();
            for piece in &mut back {
                let old = account.end_today(piece.end, voucher.entry);
                let end = returning_end(moment, account, old, 30);
                piece.end = if taken_away || at_once || end == NEVER { end } else { old };
            }
            if account.balance() + total(&back) > MOST {
                return Err(Code::LimitExceeded.into());
            }
            self.post(id, EntryKind::ClaimRefunded, total(&back));
            self.arrive(id, &back, None);
            self.post_expired(id, moment.day);
            self.change(id).used.retain(|used| used.of != voucher.id.0);
        }
        if voucher.settled != 0 {
            self.settle(&voucher, -voucher.settled);
            voucher.settled = 0;
        }
        // A code of a pool that was shown is used up.
        if voucher.phase == Phase::Kept || !voucher.benefit.pooled {
            self.leave_place(&voucher);
        }
        voucher.phase = Phase::GivenBack;
        Ok(self.put_voucher(voucher))
    }

    pub fn expire_voucher(&mut self, moment: Moment, id: VoucherId) -> Result<Expected, No> {
        let mut voucher = self.vouchers.get(&id).cloned().ok_or(Code::NotFound)?;
        let is_over = match voucher.phase {
            Phase::Kept => voucher.reserved_until.is_some_and(|until| until <= moment.at),
            _ => voucher.is_open() && voucher.use_by < moment.day,
        };
        if !is_over {
            return Ok(Expected::Voucher(Box::new(voucher)));
        }
        if voucher.phase == Phase::Kept {
            self.leave_place(&voucher);
        }
        voucher.phase = Phase::Over;
        Ok(self.put_voucher(voucher))
    }

    /// Everything that is checked before a till takes it: the voucher, and what comes off the bill.
    pub fn judge_redeem(&self, moment: Moment, request: &Request, ask: &Redeem) -> Result<(Vou, Option<i128>), No> {
        let found = ask.codes.iter().find_map(|code| self.codes.get(code));
        let voucher = found.and_then(|id| self.vouchers.get(id)).ok_or(Code::NotFound)?;
        if voucher.benefit.giver != request.caller {
            return Err(Code::NotFound.into());
        }
        if voucher.phase != Phase::Good || !voucher.is_open() {
            return Err(voucher.refusal());
        }
        if voucher.use_by < moment.day {
            return Err(Code::VoucherExpired.into());
        }
        if voucher.benefit.blackouts.iter().any(|(from, to)| *from <= moment.day && moment.day <= *to) {
            return Err(Code::NotToday.into());
        }
        let discount = match voucher.benefit.discount {
            None => None,
            Some(discount) => Some(discounted(discount, ask)?),
        };
        if let Some(receipt) = &ask.receipt {
            let standing = self.uses.values().filter(|used| used.kind == UseKind::Redemption && !used.reversed);
            let on_bill = standing.filter(|used| used.receipt.as_ref() == Some(&receipt.number));
            let mut stacking = on_bill
                .map(|used| &self.vouchers[&used.voucher].benefit)
                .filter(|benefit| benefit.giver == request.caller)
                .map(|benefit| benefit.stacks);
            let first = stacking.next();
            if first.is_some_and(|first| !first || !voucher.benefit.stacks || stacking.any(|stacks| !stacks)) {
                return Err(Code::NotStackable.into());
            }
        }
        Ok((voucher.clone(), discount))
    }

    pub fn redeem(&mut self, moment: Moment, request: &Request, ask: &Redeem) -> Result<Expected, No> {
        let (mut voucher, discount) = self.judge_redeem(moment, request, ask)?;
        let nth = voucher.standing.len() + 1;
        let cost = match voucher.benefit.settles_at {
            SettlesAt::Issue => 0,
            SettlesAt::Redemption => {
                let share = |nth: usize| i128::try_from(nth).expect("small");
                voucher.cost() * share(nth) / share(voucher.uses()) - voucher.settled
            }
        };
        let used = Use {
            id: UseId(request.fresh),
            voucher: voucher.id,
            kind: UseKind::Redemption,
            nth,
            cost,
            discount,
            receipt: ask.receipt.as_ref().map(|receipt| receipt.number.clone()),
            day: moment.day,
            reverses: None,
            reversed: false,
        };
        self.settle(&voucher, cost);
        voucher.settled += cost;
        voucher.standing.push(used.id);
        Ok(self.put_use(used, voucher))
    }

    fn put_use(&mut self, used: Use, voucher: Vou) -> Expected {
        self.uses.insert(used.id, used.clone());
        self.put_voucher(voucher.clone());
        Expected::Used(Box::new(used), Box::new(voucher))
    }

    pub fn reverse_redemption(
        &mut self,
        moment: Moment,
        request: &Request,
        ask: &ReverseRedemption,
    ) -> Result<Expected, No> {
        let first = self.uses.get(&ask.redemption).cloned().ok_or(Code::NotFound)?;
        let mut voucher = self.vouchers[&first.voucher].clone();
        if voucher.benefit.giver != request.caller || first.kind != UseKind::Redemption {
            return Err(Code::NotFound.into());
        }
        if first.reversed {
            return Err(Code::ReversalExceeds.into());
        }
        if (moment.day - first.day).num_days() > 30 {
            return Err(Code::UndoWindowClosed.into());
        }
        // Last first.
        let last = *voucher.standing.last().expect("this one stands");
        if last != first.id {
            return Err(No(Code::VoucherUsed, Hint::Redeemed { id: last.to_string() }));
        }
        let back = Use {
            id: UseId(request.fresh),
            kind: UseKind::Reversal,
            cost: -first.cost,
            discount: None,
            day: moment.day,
            reverses: Some(first.id),
            ..first.clone()
        };
        self.settle(&voucher, -first.cost);
        voucher.settled -= first.cost;
        voucher.standing.pop();
        self.uses.get_mut(&first.id).expect("found above").reversed = true;
        Ok(self.put_use(back, voucher))
    }
}

/// An amount, never more than the bill; or a share in whole coins, perhaps at most so much.
fn discounted(discount: Discount, ask: &Redeem) -> Result<i128, No> {
    let bill = i128::from(ask.bill.ok_or(No::invalid("amount"))?.get());
    let (from, off) = match discount {
        Discount::Amount { amount, from } => (from, i128::from(amount.get()).min(bill)),
        Discount::Share { basis_points, from, at_most } => {
            let coin = i128::from(ask.coin.get());
            let share = bill * i128::from(basis_points) / 10_000 / coin * coin;
            (from, at_most.map_or(share, |most| share.min(most.get().into())))
        }
    };
    if bill < from.get().into() { Err(Code::BelowThreshold.into()) } else { Ok(off) }
}
