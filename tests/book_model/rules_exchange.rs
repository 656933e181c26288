//! The model's conversions, undos and reversals (rules 4 to 11, 14).

use super::calendar::end_of;
use super::ledger::{Conv, Expected, MOST, Model, No, Piece, Rev, Used, total};
use super::rules::{Moment, left, returning_end, take_last};
use super::terms_of::{self, Amounts, Figures, lines};
use chrono::TimeDelta;
use hanse::book::command::{Ask, Code, Convert, Direction, Hint, Quoted, Request, Reverse};
use hanse::book::engine::account::EntryKind;
use hanse::book::exposures::ExposureKey;
use hanse::domain::catalogue::{MemberLimits, PartnerStatus};
use hanse::domain::ids::{AccountId, ConversionId, ReversalId, Slug, TokenId};
use hanse::domain::points::Points;
use hanse::domain::quote;
use hanse::domain::terms::Terms;
use std::sync::Arc;

const MOST_MONEY: i128 = 9_223_372_036_854_775_807;

pub struct Sides {
    from: AccountId,
    to: AccountId,
    tokens: (TokenId, TokenId),
    pulled: bool,
}

/// What an undo or a reversal takes back.
struct Back {
    credit: i128,
    bonuses: Vec<i128>,
    debit: i128,
    fee: i128,
}

impl Model {
    pub fn convert(&mut self, moment: Moment, request: &Request, ask: &Convert) -> Result<Expected, No> {
        let (sides, terms, amounts) = self.judge(moment, request, ask)?;
        if let Ask::Quoted(quoted) = &ask.ask {
            self.used.insert(quoted.hash, ConversionId(request.fresh).to_string());
        }
        Ok(self.post_conversion(moment, request, &sides, terms, &amounts))
    }

    /// Everything that is checked before a point moves, in the order of refusals.
    pub fn judge(&self, moment: Moment, request: &Request, ask: &Convert) -> Result<(Sides, Arc<Terms>, Amounts), No> {
        let own = self.own(request, ask.who)?;
        let (from, to) = match &ask.direction {
            Direction::To(other) => (request.caller.clone(), other.clone()),
            Direction::From(other) => (other.clone(), request.caller.clone()),
        };
        let pulled = matches!(ask.direction, Direction::From(_));
        let quoted = match &ask.ask {
            Ask::Quoted(quoted) => Some(quoted.as_ref()),
            Ask::Now { .. } => None,
        };
        if let Some(quoted) = quoted {
            self.check_quote(moment, quoted, own, pulled, (&from, &to))?;
        }
        let status = |slug: &Slug| moment.catalogue.partners[slug].status;
        // A leaving brand takes nothing in; it sends until it has left.
        let sends = matches!(status(&from), PartnerStatus::Active | PartnerStatus::Leaving);
        if !sends || status(&to) != PartnerStatus::Active {
            return Err(Code::PartnerSuspended.into());
        }
        let sides = self.sides(moment, own, pulled, if pulled { &from } else { &to }, quoted)?;
        let (terms, amounts) = match &ask.ask {
            Ask::Quoted(quoted) => (quoted.terms.clone(), quoted_amounts(quoted)),
            Ask::Now { want, floor } => {
                let tier = &self.acc(sides.from).tier;
                let rate = terms_of::rate(moment.catalogue, &from, &to, tier, moment.at).ok_or(Code::NoRate)?;
                let agreement = terms_of::agreement(moment.catalogue, &from, &to, moment.at).ok_or(Code::NoRate)?;
                let campaigns = terms_of::campaigns(moment.catalogue, &from, &to, tier, moment.at);
                let floor = floor.map(|floor| floor.get().into());
                let amounts = Figures::of(rate, agreement, &campaigns).price(*want, floor)?;
                let terms = quote::terms(moment.catalogue, &from, &to, tier, moment.at).ok_or(Code::NoRate)?;
                (Arc::new(terms), amounts)
            }
        };
        self.check_points(moment, &sides, &amounts)?;
        self.check_room(moment, &lines(&terms, amounts.credit, &amounts.bonuses, amounts.fee))?;
        Ok((sides, terms, amounts))
    }

    fn check_quote(
        &self,
        moment: Moment,
        quoted: &Quoted,
        own: AccountId,
        pulled: bool,
        (from, to): (&Slug, &Slug),
    ) -> Result<(), No> {
        if let Some(first) = self.used.get(&quoted.hash) {
            return Err(No(Code::QuoteUsed, Hint::First { id: first.clone() }));
        }
        let side = if pulled { quoted.to_account } else { quoted.from_account };
        if own != side || (&quoted.terms.from, &quoted.terms.to) != (from, to) {
            return Err(Code::QuoteInvalid.into());
        }
        if moment.at >= quoted.expires_at {
            return Err(Code::QuoteExpired.into());
        }
        Ok(())
    }

    fn sides(
        &self,
        moment: Moment,
        own: AccountId,
        pulled: bool,
        other: &Slug,
        quoted: Option<&Quoted>,
    ) -> Result<Sides, No> {
        let link = self.acc(own).link_to(other);
        let both: Vec<AccountId> = [Some(own), link.map(|link| link.peer)].into_iter().flatten().collect();
        self.open_for_business(&both)?;
        let link = link.ok_or(Code::MemberNotLinked)?;
        // A conversion needs an active link of exactly that pair.
        if quoted.is_some_and(|quoted| ![quoted.from_account, quoted.to_account].contains(&link.peer)) {
            return Err(Code::MemberNotLinked.into());
        }
        if moment.at < link.opens_at {
            return Err(Code::LinkCoolingOff.into());
        }
        let consent = self.acc(link.peer).links.iter().any(|theirs| theirs.id == link.id && theirs.pull);
        if pulled && !consent {
            return Err(Code::MemberNotLinked.into());
        }
        Ok(if pulled {
            Sides { from: link.peer, to: own, tokens: (link.peer_token, link.own_token), pulled }
        } else {
            Sides { from: own, to: link.peer, tokens: (link.own_token, link.peer_token), pulled }
        })
    }

    fn check_points(&self, moment: Moment, sides: &Sides, amounts: &Amounts) -> Result<(), No> {
        let (from, to) = (self.acc(sides.from), self.acc(sides.to));
        if from.owed > 0 || to.owed > 0 {
            return Err(Code::PointsOwed.into());
        }
        let usable = from.usable(moment.day);
        if usable < amounts.debit {
            return Err(No(Code::InsufficientPoints, left(usable)));
        }
        let day = moment.day;
        let limits = |slug: &Slug| -> MemberLimits { moment.catalogue.partners[slug].limits };
        let tighter = |by_day: Option<Points>, by_month: Option<Points>, today: i128, this_month: i128| {
            let by_day = by_day.map(|cap| (i128::from(cap.get()) - today).max(0));
            let by_month = by_month.map(|cap| (i128::from(cap.get()) - this_month).max(0));
            by_day.into_iter().chain(by_month).min()
        };
        let out = limits(&from.partner);
        let room = tighter(out.out_day, out.out_month, from.used_on(day, true), from.used_in_month(day, true));
        if let Some(room) = room.filter(|room| *room < amounts.debit) {
            return Err(No(Code::LimitExceeded, left(room)));
        }
        let come = limits(&to.partner);
        let room = tighter(come.in_day, come.in_month, to.used_on(day, false), to.used_in_month(day, false));
        if room.is_some_and(|room| room < amounts.total()) || to.balance() + amounts.total() > MOST {
            return Err(Code::LimitExceeded.into());
        }
        Ok(())
    }

    /// The stop lines, held against what is owed and what may come to be.
    pub fn check_room(&self, moment: Moment, lines: &[(ExposureKey, i128)]) -> Result<(), No> {
        let catalogue = moment.catalogue;
        for (key, by) in lines {
            let cap = match key {
                ExposureKey::Pair(from, to) => {
                    terms_of::agreement(catalogue, from, to, moment.at).and_then(|agreement| agreement.exposure_limit)
                }
                ExposureKey::Partner(_) if catalogue.alliance.bilateral => None,
                ExposureKey::Partner(slug) => catalogue.partners[slug].exposure_limit,
            };
            let [owed, kept] = [&self.exposures, &self.room].map(|sums| sums.get(key).copied().unwrap_or_default());
            let after = owed + kept + by;
            if by.abs() > MOST_MONEY || (*by > 0 && cap.is_some_and(|cap| after > cap.get().into())) {
                return Err(Code::ExposureExceeded.into());
            }
        }
        Ok(())
    }

    fn post_conversion(
        &mut self,
        moment: Moment,
        request: &Request,
        sides: &Sides,
        terms: Arc<Terms>,
        amounts: &Amounts,
    ) -> Expected {
        let (id, day) = (ConversionId(request.fresh), moment.day);
        let target = self.acc(sides.to);
        let rule = terms_of::arrival_end(moment.catalogue, &target.partner, &target.tier, day);
        let lots_out = self.change(sides.from).take(amounts.debit, day, |lot| lot.is_usable(day));
        let from_entry = self.post(sides.from, EntryKind::ConvertedOut, -amounts.debit);
        let (num, den) = (i128::from(terms.ratio.num()), i128::from(terms.ratio.den()));
        let (mut debited, mut credited) = (0, 0);
        let mut base_in = Vec::new();
        for piece in &lots_out {
            debited += piece.points;
            let end = if terms.renews_on_arrival { rule } else { rule.min(piece.end) };
            let points = debited * num / den - credited;
            credited += points;
            base_in.push(Piece { points, end });
        }
        let to_entry = self.post(sides.to, EntryKind::ConvertedIn, amounts.credit);
        for points in amounts.bonuses.iter().filter(|points| **points > 0) {
            self.post(sides.to, EntryKind::Bonus, *points);
        }
        let bonuses = amounts.bonuses.iter().map(|points| Piece { points: *points, end: rule });
        for piece in base_in.iter().copied().chain(bonuses) {
            self.change(sides.to).add(piece, None);
        }
        let used = |out: bool, points: i128| Used { of: id.0, day, out, points };
        for (account, used) in [(sides.from, used(true, amounts.debit)), (sides.to, used(false, amounts.total()))] {
            let account = self.change(account);
            account.used.retain(|used| super::calendar::same_month(used.day, day));
            account.used.push(used);
        }
        for (key, by) in lines(&terms, amounts.credit, &amounts.bonuses, amounts.fee) {
            self.expose(key, by);
        }
        let row = Conv {
            id,
            from: sides.from,
            to: sides.to,
            terms,
            debit: amounts.debit,
            credit: amounts.credit,
            bonuses: amounts.bonuses.clone(),
            fee: amounts.fee,
            out_left: lots_out.clone(),
            base_left: base_in.clone(),
            lots_out,
            base_in,
            bonus_end: rule,
            from_entry,
            to_entry,
            tokens: sides.tokens,
            pulled: sides.pulled,
            at: moment.at,
            day,
            undone: false,
            bonus_back: vec![0; amounts.bonuses.len()],
            fee_back: 0,
        };
        self.conversions.insert(id, row.clone());
        Expected::Conversion(Box::new(row))
    }

    fn own_conversion(&self, request: &Request, id: ConversionId) -> Result<Conv, No> {
        let row = self.conversions.get(&id).ok_or(Code::NotFound)?;
        let is_side = [&row.terms.from, &row.terms.to].contains(&&request.caller);
        if is_side { Ok(row.clone()) } else { Err(Code::NotFound.into()) }
    }

    pub fn undo(&mut self, moment: Moment, request: &Request, id: ConversionId) -> Result<Expected, No> {
        let row = self.own_conversion(request, id)?;
        // By the origin, or by the target where it was the one that asked.
        if request.caller != row.terms.from && !row.pulled {
            return Err(Code::Forbidden.into());
        }
        self.open_for_business(&[row.from, row.to])?;
        if row.undone || moment.at > row.at + TimeDelta::seconds(row.terms.undo_s.into()) {
            return Err(Code::UndoWindowClosed.into());
        }
        if row.credit_back() > 0 {
            return Err(Code::ReversalExceeds.into());
        }
        let back = Back { credit: row.credit, bonuses: row.bonuses.clone(), debit: row.debit, fee: row.fee };
        let reversal = self.new_reversal(request, &row, &back, true);
        let done = self.give_back(moment, &row, &back, false, reversal)?;
        self.conversions.get_mut(&id).expect("found above").undone = true;
        for account in [row.from, row.to] {
            self.change(account).used.retain(|used| used.of != id.0);
        }
        Ok(done)
    }

    /// Rule 8: cumulative never above the original, exact multiples, the bonus rounded up and the fee down in all.
    fn back_of(row: &Conv, credit: i128) -> Result<Back, No> {
        let (num, den) = (i128::from(row.terms.ratio.num()), i128::from(row.terms.ratio.den()));
        let after = row.credit_back() + credit;
        if row.undone || after > row.credit {
            return Err(Code::ReversalExceeds.into());
        }
        if credit == 0 || credit % num != 0 {
            let below = i64::try_from(credit / num * num).expect("below a credit");
            return Err(No(Code::NotAMultiple, Hint::Nearest { below, above: below + row.terms.ratio.num() }));
        }
        let up = |bonus: &i128| (bonus * after + row.credit - 1) / row.credit;
        let bonuses = row.bonuses.iter().zip(&row.bonus_back).map(|(bonus, given)| up(bonus) - given).collect();
        Ok(Back { credit, bonuses, debit: credit * den / num, fee: row.fee * after / row.credit - row.fee_back })
    }

    pub fn reverse(&mut self, moment: Moment, request: &Request, ask: &Reverse) -> Result<Expected, No> {
        let row = self.own_conversion(request, ask.conversion)?;
        self.open_for_business(&[row.from, row.to])?;
        let back = Self::back_of(&row, ask.credit_points.get().into())?;
        if row.terms.reversal_needs_confirmation {
            let asked = Back { credit: back.credit, bonuses: Vec::new(), debit: 0, fee: 0 };
            let reversal = Rev { done: false, ..self.new_reversal(request, &row, &asked, false) };
            self.reversals.insert(reversal.id, reversal.clone());
            return Ok(Expected::Reversal(Box::new(reversal)));
        }
        let reversal = self.new_reversal(request, &row, &back, false);
        self.give_back(moment, &row, &back, row.terms.target_pays_spent, reversal)
    }

    pub fn confirm(&mut self, moment: Moment, request: &Request, id: ReversalId) -> Result<Expected, No> {
        let asked = self.reversals.get(&id).cloned().ok_or(Code::NotFound)?;
        let row = self.own_conversion(request, asked.conversion)?;
        if asked.asked_by == request.caller {
            return Err(Code::Forbidden.into());
        }
        if asked.done {
            return Ok(Expected::Reversal(Box::new(asked)));
        }
        self.open_for_business(&[row.from, row.to])?;
        let back = Self::back_of(&row, asked.credit)?;
        let bonus = back.bonuses.iter().sum();
        let reversal = Rev { done: true, bonus, debit: back.debit, fee: back.fee, ..asked };
        self.give_back(moment, &row, &back, row.terms.target_pays_spent, reversal)
    }

    fn new_reversal(&self, request: &Request, row: &Conv, back: &Back, undo: bool) -> Rev {
        Rev {
            id: ReversalId(request.fresh),
            conversion: row.id,
            undo,
            done: true,
            asked_by: request.caller.clone(),
            credit: back.credit,
            bonus: back.bonuses.iter().sum(),
            debit: back.debit,
            fee: back.fee,
            lots_back: Vec::new(),
        }
    }

    fn give_back(&mut self, moment: Moment, row: &Conv, back: &Back, pays: bool, made: Rev) -> Result<Expected, No> {
        let day = moment.day;
        let (target, origin) = (self.acc(row.to), self.acc(row.from));
        let mut wanted = take_last(&mut row.base_left.clone(), back.credit);
        wanted.extend(back.bonuses.iter().map(|points| Piece { points: *points, end: row.bonus_end }));
        for piece in &mut wanted {
            piece.end = target.end_today(piece.end, row.to_entry);
        }
        let needed = |end| wanted.iter().filter(|piece| piece.end == end).map(|piece| piece.points).sum::<i128>();
        let spent = wanted.iter().any(|piece| target.usable_of(piece.end, day) < needed(piece.end));
        if spent && !pays {
            return Err(Code::PointsSpent.into());
        }
        if origin.balance() + back.debit > MOST {
            return Err(Code::LimitExceeded.into());
        }
        let mut lots_back = take_last(&mut row.out_left.clone(), back.debit);
        for piece in &mut lots_back {
            let old = origin.end_today(piece.end, row.from_entry);
            piece.end = returning_end(moment, origin, old, row.terms.grace_days);
        }
        let mut taken = 0;
        for piece in wanted {
            taken +=
                total(&self.change(row.to).take(piece.points, day, |lot| lot.end == piece.end && lot.is_usable(day)));
        }
        self.post(row.to, EntryKind::TakenBack, -taken);
        self.post(row.from, EntryKind::GivenBack, back.debit);
        self.arrive(row.from, &lots_back, None);
        let changed = self.conversions.get_mut(&row.id).expect("found before");
        take_last(&mut changed.base_left, back.credit);
        take_last(&mut changed.out_left, back.debit);
        for (given, now) in changed.bonus_back.iter_mut().zip(&back.bonuses) {
            *given += now;
        }
        changed.fee_back += back.fee;
        for (key, by) in lines(&row.terms, back.credit, &back.bonuses, back.fee) {
            self.expose(key, -by);
        }
        let made = Rev { lots_back, ..made };
        self.reversals.insert(made.id, made.clone());
        Ok(Expected::Reversal(Box::new(made)))
    }
}

fn quoted_amounts(quoted: &Quoted) -> Amounts {
    let terms = &quoted.terms;
    let credit = i128::from(quoted.credit.get());
    let fee = credit * i128::from(terms.settlement_price.get()) * i128::from(terms.fee_basis_points) / 10_000;
    let bonuses = quoted.bonuses.iter().map(|points| points.get().into()).collect();
    Amounts { debit: quoted.debit.get().into(), credit, bonuses, fee }
}

/// What the rule says of lots that a row of the book names.
pub fn pieces(parcels: &[hanse::book::command::Parcel]) -> Vec<Piece> {
    parcels.iter().map(|parcel| Piece { points: parcel.points.get().into(), end: end_of(parcel.expires) }).collect()
}
