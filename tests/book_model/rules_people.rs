//! The model's memberships, links, expiry, closing and erasure (rules 7, 11 to 13).

use super::calendar::{NEVER, month_end_after};
use super::ledger::{Acc, Expected, Link, Model, No, Shown, total};
use super::rules::Moment;
use super::terms_of::never_expires;
use chrono::{NaiveDate, TimeDelta};
use hanse::book::command::{Code, DirectoryHash, EndLink, LinkSide, OpenLink, Register, Request, Status, TierSource};
use hanse::book::engine::account::EntryKind;
use hanse::domain::ids::{AccountId, MemberId, Slug};
use std::collections::BTreeSet;

impl Model {
    pub fn register(&mut self, moment: Moment, request: &Request, ask: &Register) -> Result<Expected, No> {
        let tiers = &moment.catalogue.partners[&request.caller].programme.tiers;
        let known = |tier: &str| tiers.iter().any(|rung| rung.code == tier);
        if !known(&ask.profile.tier) || ask.earned_tier.as_deref().is_some_and(|tier| !known(tier)) {
            return Err(No::invalid("tier"));
        }
        // A granted or trial tier opens benefits only.
        if ask.earned_tier.is_some() && ask.profile.tier_source != TierSource::Earned {
            return Err(No::invalid("tier_source"));
        }
        let id = match self.refs.get(&ask.who) {
            Some(id) => self.may_become(*id, ask, moment.day)?,
            None if ask.status == Status::Closed => return Err(No::invalid("status")),
            None => self.create(AccountId(request.fresh), ask, &request.caller, &tiers[0].code),
        };
        self.set_tier(moment, id, ask.earned_tier.clone());
        if ask.status == Status::Closed {
            self.close(id, moment.day);
        }
        let account = self.change(id);
        account.status = ask.status;
        account.as_of = ask.as_of.or(account.as_of);
        // What is not said of tags and birthday stays.
        let profile = ask.profile.clone();
        account.shown = Shown {
            tier: profile.tier,
            until: profile.tier_until,
            tags: profile.tags.unwrap_or_else(|| account.shown.tags.clone()),
            birth_month: profile.birth_month.or(account.shown.birth_month),
        };
        Ok(Expected::Membership(id))
    }

    fn may_become(&self, id: AccountId, ask: &Register, day: NaiveDate) -> Result<AccountId, No> {
        let account = self.acc(id);
        if let (Some(stored), Some(given)) = (account.as_of, ask.as_of)
            && given < stored
        {
            return Err(Code::Stale.into());
        }
        if account.status == Status::Closed {
            return if ask.status == Status::Closed { Ok(id) } else { Err(Code::MembershipClosed.into()) };
        }
        if ask.status == Status::Closed && !account.held.is_empty() {
            return Err(Code::OpenBusiness.into());
        }
        let has_points = account.lots.iter().any(|lot| lot.is_live(day));
        if ask.status == Status::Closed && has_points && !ask.forfeit {
            return Err(Code::BalanceNotZero.into());
        }
        Ok(id)
    }

    fn create(&mut self, id: AccountId, ask: &Register, partner: &Slug, tier: &str) -> AccountId {
        let account = Acc {
            id,
            partner: partner.clone(),
            own: ask.fresh_member,
            who: ask.who,
            status: Status::Active,
            tier: tier.to_owned(),
            shown: Shown::default(),
            lots: Vec::new(),
            held: Vec::new(),
            owed: 0,
            used: Vec::new(),
            links: Vec::new(),
            redated: Vec::new(),
            entries: 0,
            as_of: None,
        };
        self.accounts.insert(id, account);
        self.refs.insert(ask.who, id);
        self.dirty.insert(id);
        id
    }

    /// Rule 7: to never at a promotion, to the month end 12 months on at a demotion, by an entry.
    fn set_tier(&mut self, moment: Moment, id: AccountId, earned: Option<String>) {
        let account = self.acc(id);
        let Some(tier) = earned.filter(|tier| *tier != account.tier) else { return };
        let never = |tier: &str| never_expires(moment.catalogue, &account.partner, tier);
        let (was, is) = (never(&account.tier), never(&tier));
        if was != is {
            self.post_expired(id, moment.day);
            let end = if is { NEVER } else { month_end_after(moment.day, 12) };
            let entry = self.post(id, EntryKind::Redated, 0);
            let account = self.change(id);
            account.redated.push((entry, moment.day, end));
            account.lots.iter_mut().for_each(|lot| lot.end = end);
        }
        self.change(id).tier = tier;
    }

    fn close(&mut self, id: AccountId, day: NaiveDate) {
        if self.acc(id).status == Status::Closed {
            return;
        }
        self.post_expired(id, day);
        let left: i128 = std::mem::take(&mut self.change(id).lots).iter().map(|lot| lot.points).sum();
        if left > 0 {
            self.post(id, EntryKind::Forfeited, -left);
        }
        self.change(id).status = Status::Closed;
    }

    /// Each end that has passed is one line.
    pub fn post_expired(&mut self, id: AccountId, day: NaiveDate) -> i128 {
        let ended: BTreeSet<NaiveDate> =
            self.acc(id).lots.iter().filter(|lot| !lot.is_live(day)).map(|lot| lot.end).collect();
        let mut all = 0;
        for end in ended {
            let gone = total(&self.change(id).take(i128::MAX, day, |lot| lot.end == end));
            self.post(id, EntryKind::Expired, -gone);
            all += gone;
        }
        all
    }

    pub fn open_link(&mut self, moment: Moment, ask: &OpenLink) -> Result<Expected, No> {
        let sides = [ask.a.account, ask.b.account];
        if sides.iter().any(|id| self.acc(*id).status == Status::Closed) {
            return Err(Code::MembershipClosed.into());
        }
        let [a, b] = sides.map(|id| self.acc(id).partner.clone());
        let (_, ours) = self.person(sides[0]);
        let (_, theirs) = self.person(sides[1]);
        let all: BTreeSet<AccountId> = ours.union(&theirs).copied().collect();
        let brands: BTreeSet<&Slug> = all.iter().map(|id| &self.acc(*id).partner).collect();
        let again = self.acc(sides[0]).links.iter().any(|link| link.peer == sides[1]);
        // No brand twice in one person (rule 12), and no second link of the same pair.
        if brands.len() < all.len() || sides[0] == sides[1] || again {
            return Err(Code::AlreadyLinked.into());
        }
        let opens_at = moment.at + TimeDelta::days(moment.catalogue.alliance.link_cooling_days.into());
        let link = |own: LinkSide, peer: LinkSide, partner: Slug| Link {
            id: ask.link,
            peer: peer.account,
            partner,
            own_token: own.token,
            peer_token: peer.token,
            opens_at,
            pull: own.pull,
        };
        self.change(sides[0]).links.push(link(ask.a, ask.b, b));
        self.change(sides[1]).links.push(link(ask.b, ask.a, a));
        Ok(Expected::Link(ask.link))
    }

    pub fn end_link(&mut self, request: &Request, ask: &EndLink) -> Result<Expected, No> {
        if [ask.a, ask.b].iter().all(|id| self.acc(*id).partner != request.caller) {
            return Err(Code::NotFound.into());
        }
        for id in [ask.a, ask.b] {
            if self.acc(id).links.iter().any(|link| link.id == ask.link) {
                self.change(id).links.retain(|link| link.id != ask.link);
            }
        }
        Ok(Expected::Link(ask.link))
    }

    pub fn erase(&mut self, moment: Moment, request: &Request, who: DirectoryHash) -> Result<Expected, No> {
        let id = self.own(request, who)?;
        let mut own = self.by_account.get(&id).into_iter().flatten();
        let has_voucher = own.any(|voucher| self.open.contains(voucher));
        if has_voucher || !self.acc(id).held.is_empty() {
            return Err(Code::OpenBusiness.into());
        }
        self.close(id, moment.day);
        for link in std::mem::take(&mut self.change(id).links) {
            self.change(link.peer).links.retain(|theirs| theirs.id != link.id);
        }
        self.change(id).owed = 0;
        self.refs.remove(&who);
        Ok(Expected::Erased)
    }

    /// Every membership with the person it belongs to.
    pub fn persons(&self) -> impl Iterator<Item = (AccountId, MemberId)> {
        self.accounts.keys().map(|id| (*id, self.person(*id).0))
    }
}
