//! What brands offer on the walk, what is claimed of it and shown at tills, and the part of the database in that.

use super::alliance::{points, slugs};
use super::calendar::day_of;
use super::ledger::No;
use super::rules::Moment;
use super::rules_benefits::{Offering, Phase, Vou};
use super::walk::Walk;
use chrono::{Days, TimeDelta};
use hanse::book::command::*;
use hanse::book::engine::world::{Exposure, Facts, Subject, Writes};
use hanse::book::exposures::ExposureKey;
use hanse::book::voucher::{MadeCode, Offered, Receipt, UseKind};
use hanse::domain::benefit::{Benefit, Discount, Funder, Kind, Ladder, Offer, PerMember, Period, SettlesAt, UseUntil};
use hanse::domain::catalogue::Name;
use hanse::domain::ids::{AccountId, BenefitId, Slug, TokenId, UseId, VoucherId};
use hanse::domain::money::Millionths;
use hanse::domain::voucher::State;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

const BENEFITS: usize = 12;
const TAGS: [&str; 2] = ["family", "staff"];

/// Any of these, or nothing in the other cases of a hundred.
fn some<T: Clone>(walk: &mut Walk, percent: u64, of: &[T]) -> Option<T> {
    let picked = walk.chance.pick(of);
    walk.chance.percent(percent).then_some(picked)
}

impl Walk {
    /// One benefit in a new version; its stock goes on.
    pub fn offer_benefit(&mut self, nth: usize) {
        let id = BenefitId(Uuid::from_u128((2 << 100) + u128::try_from(nth).expect("small")));
        let brands = slugs();
        let giver = brands[nth % brands.len()].clone();
        let version = self.model.benefits.get(&id).map_or(1, |known| known.benefit.version + 1);
        let benefit = self.benefit(id, giver.clone(), version);
        let mut recognised = Vec::new();
        for brand in brands.iter().filter(|brand| **brand != giver) {
            for tier in self.tiers(brand) {
                let theirs = self.tiers(&giver);
                if let Some(theirs) = some(self, 60, &theirs) {
                    recognised.push((brand.clone(), tier, theirs));
                }
            }
        }
        self.publish_benefit(benefit, recognised);
    }

    pub fn publish_benefit(&mut self, benefit: Benefit, recognised: Vec<(Slug, String, String)>) {
        let (id, quota) = (benefit.id, benefit.quota);
        let (benefit, recognised) = (Arc::new(benefit), Arc::new(recognised));
        for offer in &benefit.offers {
            // Who pays for a benefit has rows for what it may owe, whether or not the two exchange points.
            let key = ExposureKey::Pair(offer.to.clone(), benefit.giver.clone());
            self.model.exposures.entry(key.clone()).or_default();
            let zero = Exposure { value: Millionths::ZERO, reserved: Millionths::ZERO, cap: None };
            self.world.exposures.entry(key).or_insert(zero);
        }
        let taken = self.world.benefits.get(&id).map_or(0, |known| known.taken);
        let offered = Offered { benefit: benefit.clone(), quota, taken, recognised: recognised.clone() };
        self.world.benefits.insert(id, offered);
        self.model.benefits.insert(id, Offering { benefit, quota, recognised });
    }

    pub fn offer_benefits(&mut self) {
        (0..BENEFITS).for_each(|nth| self.offer_benefit(nth));
    }

    pub fn change_benefit(&mut self) {
        let nth = self.chance.below(BENEFITS);
        self.offer_benefit(nth);
    }

    fn tiers(&self, brand: &Slug) -> Vec<String> {
        self.catalogue.partners[brand].programme.tiers.iter().map(|tier| tier.code.clone()).collect()
    }

    fn benefit(&mut self, id: BenefitId, giver: Slug, version: i64) -> Benefit {
        let (at, day) = (self.at, day_of(self.at));
        let kinds = Kind::ALL.map(|(kind, _)| kind);
        let discounts = [
            Discount::Amount { amount: Millionths::new(20_000_000), from: Millionths::new(100_000_000) },
            Discount::Share {
                basis_points: 3_333,
                from: Millionths::new(50_000_000),
                at_most: Some(Millionths::new(30_000_000)),
            },
            Discount::Share { basis_points: 1_000, from: Millionths::ZERO, at_most: None },
        ];
        let days = u16::try_from(self.chance.between(0, 40)).expect("small");
        let last = day + Days::new(u64::try_from(self.chance.between(0, 200)).expect("small"));
        let black = day + Days::new(u64::try_from(self.chance.between(0, 30)).expect("small"));
        let black = (black, black + Days::new(u64::try_from(self.chance.between(0, 15)).expect("small")));
        let from = [at - TimeDelta::hours(1), at + TimeDelta::hours(self.chance.between(1, 60))];
        let until = at + TimeDelta::hours(self.chance.between(1, 4_000));
        let quota = self.chance.between(0, 30);
        let offers = (0..self.chance.between(1, 4)).map(|_| self.offer(&giver)).collect();
        Benefit {
            id,
            giver,
            code: format!("benefit-{}", id.0.as_u128() & 0xff),
            version,
            kind: self.chance.pick(&kinds),
            name: Name::default(),
            description: None,
            face_value: None,
            discount: some(self, 35, &discounts),
            claims_from: some(self, 15, &from),
            claims_until: some(self, 25, &[until]),
            use_until: self.chance.pick(&[UseUntil::Days(days), UseUntil::Days(days), UseUntil::Day(last)]),
            blackouts: some(self, 40, &[black]).into_iter().collect(),
            quota: some(self, 70, &[quota]),
            uses: self.chance.pick(&[1, 1, 1, 2, 3, 7]),
            stacks: self.chance.percent(50),
            settles_at: self.chance.pick(&[SettlesAt::Issue, SettlesAt::Redemption]),
            pooled: self.chance.percent(20),
            open: self.chance.percent(92),
            offers,
        }
    }

    fn offer(&mut self, giver: &Slug) -> Offer {
        let to = self.chance.pick(&slugs());
        let ladder = self.chance.pick(&[Ladder::Brand, Ladder::Giver]);
        let ladder_of = if ladder == Ladder::Brand { &to } else { giver };
        let tiers = self.tiers(ladder_of);
        let claims_from = [self.at - TimeDelta::hours(1), self.at + TimeDelta::hours(20)];
        let wanted = points(self.chance.between(1, 300));
        let periods = Period::ALL.map(|(period, _)| period);
        let per_member = PerMember {
            count: u16::try_from(self.chance.between(1, 3)).expect("small"),
            period: self.chance.pick(&periods),
        };
        Offer {
            to,
            tiers: some(self, 40, &tiers).into_iter().collect(),
            ladder,
            tag: some(self, 12, &TAGS).map(str::to_owned),
            link_days: some(self, 15, &[0, 3]),
            birthday_month: self.chance.percent(8),
            claims_from: some(self, 10, &claims_from),
            points: self.chance.pick(&[points(0), wanted, wanted]),
            cash: Millionths::ZERO,
            funder: self.chance.pick(&[Funder::Giver, Funder::Brand, Funder::Brand, Funder::Operator]),
            cost: Millionths::new(self.chance.pick(&[0, 1, 8_000_000, 33_333_333])),
            per_member: some(self, 50, &[per_member]),
        }
    }

    /// What a batch that is written leaves to be read by the next: facts, codes of pools, claims and bills that count.
    pub fn keep_benefits(&mut self, writes: &Writes) {
        for write in &writes.memberships {
            let (profile, old) = (&write.profile, self.world.facts.get(&write.account).cloned());
            let (tags, birth_month) = old.map(|old| (old.tags, old.birth_month)).unwrap_or_default();
            let facts = Facts {
                tier: profile.tier.clone(),
                tier_until: profile.tier_until,
                tags: profile.tags.clone().unwrap_or(tags),
                birth_month: profile.birth_month.or(birth_month),
            };
            self.world.facts.insert(write.account, facts);
        }
        for id in &writes.vouchers_coded {
            let code = DirectoryHash(self.chance.uuid());
            self.world.by_code.insert(code, *id);
            self.model.codes.insert(code, *id);
            self.coded.insert(*id, code);
        }
        for id in writes.vouchers.iter().chain(&writes.vouchers_changed) {
            let row = &self.world.vouchers[id];
            let (account, benefit) = (row.account, row.terms.benefit);
            let own = self.model.by_account.get(&account).into_iter().flatten().map(|id| &self.world.vouchers[id]);
            let counts = own.filter(|row| row.terms.benefit == benefit && row.state != State::Cancelled);
            let counts = counts.filter(|row| !(row.state == State::Expired && row.reserved_until.is_some()));
            let days = counts.map(|row| row.day).collect();
            self.world.claimed.insert((account, benefit), days);
        }
        for id in writes.uses.iter().chain(&writes.uses_changed) {
            let used = &self.world.uses[id];
            let Some(receipt) = used.receipt.clone() else { continue };
            let key = (used.terms.giver.clone(), receipt);
            let on_bill = self.world.uses.values().filter(|used| used.receipt.as_ref() == Some(&key.1));
            let standing =
                on_bill.filter(|used| used.terms.giver == key.0 && used.kind == UseKind::Redemption && !used.reversed);
            let stacks = standing.map(|used| used.terms.stacks).collect();
            self.world.receipts.insert(key, stacks);
        }
    }

    pub fn has_open_voucher(&self, account: AccountId) -> bool {
        let mut own = self.model.by_account.get(&account).into_iter().flatten();
        own.any(|id| self.model.open.contains(id))
    }

    /// What an account leaves that is gone: its vouchers are over, and hold their places for ever.
    pub fn forget_vouchers(&mut self, account: AccountId) {
        let own: BTreeSet<VoucherId> = self.model.by_account.remove(&account).into_iter().flatten().collect();
        let world = &self.world;
        let is_about = |request: &Request| {
            let taken = request.key.and_then(|key| world.taken.get(&key.hash));
            taken.is_some_and(|taken| match taken.subject {
                Subject::Voucher(id) => own.contains(&id),
                Subject::Use(id) => world.uses.get(&id).is_some_and(|used| own.contains(&used.voucher)),
                _ => false,
            })
        };
        self.pool.requests.retain(|request| !is_about(request));
        self.pool.vouchers.retain(|id| !own.contains(id));
        self.model.vouchers.retain(|id, _| !own.contains(id));
        self.model.uses.retain(|_, used| !own.contains(&used.voucher));
        self.model.codes.retain(|_, id| !own.contains(id));
        self.coded.retain(|id, _| !own.contains(id));
        let world = &mut self.world;
        world.vouchers.retain(|id, _| !own.contains(id));
        world.uses.retain(|_, used| !own.contains(&used.voucher));
        world.by_code.retain(|_, id| !own.contains(id));
        world.claimed.retain(|(id, _), _| *id != account);
    }

    /// Mostly one that is granted.
    pub fn claim(&mut self) -> Request {
        for _ in 0..8 {
            let request = self.any_claim();
            let Command::Claim(ask) = &request.command else { return request };
            let moment = Moment { catalogue: &self.catalogue, at: self.at, day: day_of(self.at) };
            if self.model.judge_claim(moment, &request, ask).is_ok() {
                return request;
            }
        }
        self.any_claim()
    }

    fn any_claim(&mut self) -> Request {
        let Some(id) = self.active() else { return self.register() };
        let partner = self.model.acc(id).partner.clone();
        let is_for = |offering: &&Offering| offering.benefit.offers.iter().any(|offer| offer.to == partner);
        let fitting: Vec<BenefitId> =
            self.model.benefits.values().filter(is_for).map(|offering| offering.benefit.id).collect();
        let any: Vec<BenefitId> = self.model.benefits.keys().copied().collect();
        let among = if fitting.is_empty() || self.chance.percent(8) { any } else { fitting };
        let benefit = self.chance.pick(&among);
        self.claim_of(id, benefit)
    }

    pub fn claim_of(&mut self, id: AccountId, benefit: BenefitId) -> Request {
        let account = self.model.acc(id);
        let (caller, who) = (account.partner.clone(), account.who);
        let read = &self.model.benefits[&benefit].benefit;
        let (giver, version) = (read.giver.clone(), read.version);
        let code = MadeCode { hash: DirectoryHash(self.chance.uuid()), sealed: Vec::new() };
        let claim = Claim {
            who,
            benefit,
            giver,
            version: some(self, 20, &[version, version, version, version - 1]),
            reserve: self.chance.percent(25),
            code,
            token: TokenId(self.chance.uuid()),
        };
        self.request(caller, Command::Claim(claim))
    }

    /// One of the last vouchers of which this holds.
    fn voucher(&mut self, wanted: impl Fn(&Vou) -> bool) -> Option<Vou> {
        let found: Vec<VoucherId> =
            self.pool.vouchers.iter().copied().filter(|id| wanted(&self.model.vouchers[id])).collect();
        (!found.is_empty()).then(|| self.model.vouchers[&self.chance.pick(&found)].clone())
    }

    pub fn confirm_claim(&mut self) -> Request {
        let (at, late) = (self.at, self.chance.percent(10));
        let is_kept = |voucher: &Vou| {
            voucher.phase == Phase::Kept && (late || voucher.reserved_until.is_some_and(|until| at < until))
        };
        let Some(voucher) = self.voucher(is_kept) else { return self.claim() };
        let command = Command::ConfirmClaim(ConfirmClaim { voucher: voucher.id });
        self.request(voucher.offer.to, command)
    }

    pub fn cancel_voucher(&mut self) -> Request {
        let unused = |voucher: &Vou| voucher.is_open() && voucher.standing.is_empty();
        let Some(voucher) = self.voucher(unused) else { return self.claim() };
        self.cancellation(&voucher)
    }

    fn cancellation(&mut self, voucher: &Vou) -> Request {
        let caller = self.chance.pick(&[voucher.offer.to.clone(), voucher.benefit.giver.clone()]);
        let ask = CancelVoucher { voucher: voucher.id, reason: "changed".to_owned() };
        self.request(caller, Command::CancelVoucher(ask))
    }

    /// Mostly of one whose time is over, as the worker does.
    pub fn expire_voucher(&mut self) -> Request {
        let (at, day) = (self.at, day_of(self.at));
        let is_over = |voucher: &&Vou| match voucher.reserved_until {
            Some(until) => until <= at,
            None => voucher.use_by < day,
        };
        let open = self.model.open.iter().map(|id| &self.model.vouchers[id]);
        let over: Vec<VoucherId> = open.filter(is_over).map(|voucher| voucher.id).collect();
        let voucher = if over.is_empty() {
            self.voucher(|_| true).map(|voucher| voucher.id)
        } else {
            Some(self.chance.pick(&over))
        };
        let Some(voucher) = voucher else { return self.claim() };
        let caller = self.model.vouchers[&voucher].offer.to.clone();
        self.request(caller, Command::ExpireVoucher(ExpireVoucher { voucher }))
    }

    pub fn redeem(&mut self) -> Request {
        let day = day_of(self.at);
        let good = |voucher: &Vou| voucher.phase == Phase::Good && voucher.is_open() && voucher.use_by >= day;
        let Some(voucher) = self.voucher(good) else { return self.claim() };
        self.redemption(&voucher).unwrap_or_else(|| self.claim())
    }

    /// Nothing while its code is the pool's and not given yet.
    fn redemption(&mut self, voucher: &Vou) -> Option<Request> {
        let made = self.world.vouchers.get(&voucher.id)?.code.as_ref().map(|code| code.hash);
        let code = made.or_else(|| self.coded.get(&voucher.id).copied())?;
        let bill =
            Millionths::new(self.chance.pick(&[0, 49_990_000, 99_990_000, 100_000_000, 123_450_000, 987_650_000]));
        let with_bill = if voucher.benefit.discount.is_some() { 97 } else { 30 };
        let number = format!("bill-{}-{}", day_of(self.at), self.chance.below(3));
        let hash = DirectoryHash(self.chance.uuid());
        let receipt = some(self, 30, &[Receipt { number, hash }]);
        let ask = Redeem {
            codes: vec![DirectoryHash(self.chance.uuid()), code],
            bill: some(self, with_bill, &[bill]),
            coin: Millionths::new(10_000),
            store: "Bund".to_owned(),
            till: None,
            receipt,
        };
        let caller = if self.chance.percent(97) { voucher.benefit.giver.clone() } else { voucher.offer.to.clone() };
        Some(self.request(caller, Command::Redeem(ask)))
    }

    pub fn reverse_redemption(&mut self) -> Request {
        let used = |voucher: &Vou| !voucher.standing.is_empty();
        let Some(voucher) = self.voucher(used) else { return self.redeem() };
        let last = *voucher.standing.last().expect("seen above");
        let named = if self.chance.percent(90) { last } else { self.chance.pick(&voucher.standing) };
        self.mistake(&voucher, named)
    }

    fn mistake(&mut self, voucher: &Vou, redemption: UseId) -> Request {
        let ask = ReverseRedemption { redemption, reason: "mistake".to_owned() };
        self.request(voucher.benefit.giver.clone(), Command::ReverseRedemption(ask))
    }

    /// A refusal that only benefits know.
    pub fn provoke_benefit(&mut self, code: Code) -> Option<Request> {
        let day = day_of(self.at);
        match code {
            Code::NotEligible | Code::SoldOut | Code::AlreadyClaimed => self.wild_claim(code),
            Code::NotToday | Code::NotStackable | Code::BelowThreshold => self.wild_redemption(code),
            Code::VoucherUsed => {
                let voucher = self.voucher(|voucher| !voucher.standing.is_empty() && voucher.phase == Phase::Good)?;
                if voucher.is_open() { Some(self.cancellation(&voucher)) } else { self.redemption(&voucher) }
            }
            Code::VoucherExpired => {
                let late = |voucher: &Vou| voucher.phase == Phase::Over || voucher.use_by < day;
                let voucher = self.voucher(late)?;
                if self.chance.percent(30) { Some(self.cancellation(&voucher)) } else { self.redemption(&voucher) }
            }
            Code::VoucherCancelled => {
                let voucher = self.voucher(|voucher| voucher.phase == Phase::GivenBack)?;
                self.redemption(&voucher)
            }
            Code::VoucherNotIssued => {
                let voucher = self.voucher(|voucher| voucher.phase == Phase::Kept)?;
                self.redemption(&voucher)
            }
            _ => None,
        }
    }

    fn wild_claim(&mut self, code: Code) -> Option<Request> {
        for _ in 0..30 {
            let request = self.any_claim();
            let Command::Claim(ask) = &request.command else { return None };
            let moment = Moment { catalogue: &self.catalogue, at: self.at, day: day_of(self.at) };
            if matches!(self.model.judge_claim(moment, &request, ask), Err(No(found, _)) if found == code) {
                return Some(request);
            }
        }
        None
    }

    fn wild_redemption(&mut self, code: Code) -> Option<Request> {
        for _ in 0..30 {
            let voucher = self.voucher(|voucher| voucher.phase == Phase::Good && voucher.is_open())?;
            let Some(request) = self.redemption(&voucher) else { continue };
            let Command::Redeem(ask) = &request.command else { return None };
            let moment = Moment { catalogue: &self.catalogue, at: self.at, day: day_of(self.at) };
            if matches!(self.model.judge_redeem(moment, &request, ask), Err(No(found, _)) if found == code) {
                return Some(request);
            }
        }
        None
    }
}
