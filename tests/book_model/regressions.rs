//! What the walk once found, each told as the rule it is about.

use super::alliance::points;
use super::calendar::{day_of, expiry_of, month_end_after};
use super::commands::who;
use super::walk::Walk;
use chrono::{DateTime, Days, TimeDelta, Utc};
use hanse::book::command::*;
use hanse::domain::benefit::{Funder, Ladder, Offer, SettlesAt, UseUntil};
use hanse::domain::catalogue::MemberLimits;
use hanse::domain::expiry::Expiry;
use hanse::domain::ids::{AccountId, BenefitId, Slug, VoucherId};
use hanse::domain::money::Millionths;
use hanse::domain::points::Points;
use hanse::domain::rate::{Ratio, TierScope};

/// Two brands, 2:1 either way in steps of 4 from 10 to 1,000 points, no bonus, no limits, no fee, links open at once.
fn stage() -> Walk {
    let mut walk = Walk::new(7, None);
    walk.catalogue.alliance.bilateral = true;
    walk.catalogue.partners.values_mut().for_each(|partner| partner.limits = MemberLimits::default());
    for pair in walk.catalogue.pairs.values_mut() {
        pair.campaigns.clear();
        pair.rates.truncate(1);
        let rate = &mut pair.rates[0];
        (rate.ratio, rate.tier) = (Ratio::new(1, 2).expect("positive"), TierScope::Any);
        (rate.minimum, rate.step, rate.maximum) = (points(10), points(4), Some(points(1_000)));
        (rate.valid_from, rate.valid_to) = (DateTime::<Utc>::MIN_UTC, None);
        let terms = &mut pair.agreements[0];
        (terms.settlement_price, terms.exposure_limit, terms.undo_s) = (Millionths::new(50_000), None, 900);
        (terms.fee_basis_points, terms.grace_days) = (0, 30);
        (terms.renews_on_arrival, terms.reversal_needs_confirmation, terms.target_pays_spent) = (false, false, false);
    }
    walk
}

fn slug(text: &str) -> Slug {
    text.parse().expect("a slug")
}

fn put(walk: &mut Walk, request: Request) -> Outcome {
    let outcome = walk.put(&request).unwrap_or_else(|why| panic!("{why}"));
    walk.drain().unwrap_or_else(|why| panic!("{why}"));
    outcome
}

fn code(outcome: &Outcome) -> Code {
    match outcome {
        Outcome::Refused(refusal) => refusal.code,
        other => panic!("not refused: {other:?}"),
    }
}

/// A member of the brand at this place of the list of brands.
fn member(walk: &mut Walk, brand: usize, nth: usize) -> AccountId {
    let mut request = walk.registration(super::alliance::slugs()[brand].clone(), who(brand, nth), Status::Active);
    let Command::Register(register) = &mut request.command else { unreachable!("just made") };
    (register.earned_tier, register.as_of) = (None, None);
    match put(walk, request) {
        Outcome::Membership(id) => id,
        other => panic!("{other:?}"),
    }
}

/// Members of amber and birch, linked; the first holds `held` points to the end of next month.
fn linked(walk: &mut Walk, held: i64) -> (AccountId, AccountId) {
    let (from, to) = (member(walk, 0, 0), member(walk, 1, 0));
    let request = walk.link_of(from, to);
    put(walk, request);
    earn(walk, from, held, 1, None);
    (from, to)
}

fn earn(walk: &mut Walk, id: AccountId, amount: i64, months: u32, pending_days: Option<u64>) -> Request {
    let day = day_of(walk.at);
    let expires = Some(expiry_of(month_end_after(day, months)));
    let available_on = pending_days.map(|days| day + Days::new(days));
    let (caller, named) = (walk.model.acc(id).partner.clone(), walk.model.acc(id).who);
    let credit = Credit {
        who: named,
        points: points(amount),
        kind: CreditKind::Earn,
        reason: "earned".to_owned(),
        expires,
        available_on,
    };
    let request = walk.request(caller, Command::Credit(credit));
    put(walk, request.clone());
    request
}

fn spend(walk: &mut Walk, id: AccountId, amount: i64) -> Request {
    let request = walk.debit_of(id, amount);
    put(walk, request.clone());
    request
}

fn set_status(walk: &mut Walk, id: AccountId, status: Status) {
    let (partner, named) = (walk.model.acc(id).partner.clone(), walk.model.acc(id).who);
    let mut request = walk.registration(partner, named, status);
    let Command::Register(register) = &mut request.command else { unreachable!("just made") };
    (register.earned_tier, register.as_of, register.forfeit) = (None, None, true);
    put(walk, request);
}

fn set_tier(walk: &mut Walk, id: AccountId, tier: &str) {
    let (partner, named) = (walk.model.acc(id).partner.clone(), walk.model.acc(id).who);
    let mut request = walk.registration(partner, named, Status::Active);
    let Command::Register(register) = &mut request.command else { unreachable!("just made") };
    (register.earned_tier, register.as_of) = (Some(tier.to_owned()), None);
    (register.profile.tier, register.profile.tier_source) = (tier.to_owned(), TierSource::Earned);
    put(walk, request);
}

fn convert(walk: &mut Walk, own: AccountId, want: Want, floor: Option<Points>) -> Outcome {
    let to = slug("birch");
    let request = walk.conversion(own, Direction::To(to), Ask::Now { want, floor });
    put(walk, request)
}

fn converted(walk: &mut Walk, own: AccountId, amount: i64) -> super::ledger::Conv {
    match convert(walk, own, Want::Points(points(amount)), None) {
        Outcome::Conversion(row) => walk.model.conversions[&row.id].clone(),
        other => panic!("{other:?}"),
    }
}

fn returned(walk: &mut Walk, first: &Request, amount: i64) -> Outcome {
    let request = walk.reversal_of(hanse::domain::ids::MovementId(first.fresh), amount);
    put(walk, request)
}

fn pass(walk: &mut Walk, by: TimeDelta) {
    walk.at += by;
    walk.world.now = hanse::book::engine::world::Now { at: walk.at, day: day_of(walk.at) };
}

#[test]
fn refusals_name_a_closed_membership_first_then_a_frozen_one_then_the_amount() {
    let mut walk = stage();
    let (from, to) = linked(&mut walk, 500);
    let row = converted(&mut walk, from, 100);
    set_status(&mut walk, from, Status::Frozen);
    let too_much = walk.reversal(&row, 999);
    assert_eq!(code(&put(&mut walk, too_much)), Code::MembershipFrozen);
    set_status(&mut walk, to, Status::Closed);
    assert_eq!(code(&convert(&mut walk, from, Want::Points(points(100)), None)), Code::MembershipClosed);
    let undo = walk.request(slug("amber"), Command::Undo(Undo { conversion: row.id }));
    assert_eq!(code(&put(&mut walk, undo)), Code::MembershipClosed);
}

#[test]
fn a_floor_is_judged_before_minimum_maximum_and_multiple() {
    let mut walk = stage();
    let (from, _) = linked(&mut walk, 2_000);
    for want in [Want::Points(points(8)), Want::Points(points(1_200)), Want::CreditPoints(points(7))] {
        assert_eq!(code(&convert(&mut walk, from, want, Some(points(601)))), Code::RateWorseThanAsked, "{want:?}");
    }
    assert_eq!(code(&convert(&mut walk, from, Want::Points(points(1_200)), Some(points(600)))), Code::AboveMaximum);
}

#[test]
fn the_nearest_credits_named_are_ones_that_can_be_had() {
    let mut walk = stage();
    let (from, _) = linked(&mut walk, 2_000);
    let outcome = convert(&mut walk, from, Want::CreditPoints(points(5)), None);
    let Outcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
    // A debit of 8 would give 4 and is below the minimum of 10.
    assert_eq!((refusal.code, refusal.hint), (Code::NotAMultiple, Hint::Nearest { below: 0, above: 6 }));
}

#[test]
fn a_quote_turned_round_is_invalid_even_when_expired() {
    let mut walk = stage();
    let (from, _) = linked(&mut walk, 500);
    walk.quote(from, Direction::To(slug("birch")), Want::Points(points(100)));
    let mut offer = walk.pool.offers[0].clone();
    pass(&mut walk, TimeDelta::seconds(301));
    let expired = walk.take_offer(&offer);
    assert_eq!(code(&put(&mut walk, expired)), Code::QuoteExpired);
    offer.direction = Direction::From(slug("birch"));
    let turned = walk.take_offer(&offer);
    assert_eq!(code(&put(&mut walk, turned)), Code::QuoteInvalid);
}

#[test]
fn a_quote_needs_a_link_of_exactly_its_pair() {
    let mut walk = stage();
    let (from, to) = linked(&mut walk, 500);
    walk.quote(from, Direction::To(slug("birch")), Want::Points(points(100)));
    let offer = walk.pool.offers[0].clone();
    let link = walk.model.acc(from).links[0].id;
    let end = walk.request(slug("amber"), Command::EndLink(EndLink { link, a: from, b: to }));
    put(&mut walk, end);
    let other = member(&mut walk, 1, 1);
    let again = walk.link_of(from, other);
    put(&mut walk, again);
    let request = walk.take_offer(&offer);
    assert_eq!(code(&put(&mut walk, request)), Code::MemberNotLinked);
}

#[test]
fn ended_points_cannot_meet_a_return_whether_their_expiry_is_posted_or_not() {
    for posted in [false, true] {
        let mut walk = stage();
        let id = member(&mut walk, 0, 0);
        let first = earn(&mut walk, id, 100, 0, None);
        pass(&mut walk, TimeDelta::days(40));
        if posted {
            let request = walk.request(slug("amber"), Command::Expire(Expire { account: id }));
            put(&mut walk, request);
        }
        let outcome = returned(&mut walk, &first, 100);
        let Outcome::Movement(row) = outcome else { panic!("{outcome:?}") };
        assert_eq!(row.owed, points(100), "posted: {posted}");
    }
}

#[test]
fn a_return_takes_the_credits_own_lot_before_others_of_the_same_end() {
    let mut walk = stage();
    let id = member(&mut walk, 0, 0);
    earn(&mut walk, id, 100, 1, None);
    let pending = earn(&mut walk, id, 50, 1, Some(5));
    returned(&mut walk, &pending, 50);
    assert_eq!(walk.world.accounts[&id].lots.usable(day_of(walk.at)), points(100));
}

#[test]
fn nothing_arrives_on_a_frozen_account_and_a_return_is_still_taken_off_it() {
    let mut walk = stage();
    let id = member(&mut walk, 0, 0);
    let earned = earn(&mut walk, id, 100, 1, None);
    let spent = spend(&mut walk, id, 40);
    set_status(&mut walk, id, Status::Frozen);
    assert_eq!(code(&returned(&mut walk, &spent, 40)), Code::MembershipFrozen);
    assert!(matches!(returned(&mut walk, &earned, 60), Outcome::Movement(_)));
}

#[test]
fn an_undo_without_room_at_the_origin_moves_nothing_at_the_target() {
    let mut walk = stage();
    let (from, _) = linked(&mut walk, 100);
    let row = converted(&mut walk, from, 100);
    earn(&mut walk, from, (1 << 53) - 1, 1, None);
    // The comparison with the model, which changes nothing on a no, is the test.
    let undo = walk.request(slug("amber"), Command::Undo(Undo { conversion: row.id }));
    assert_eq!(code(&put(&mut walk, undo)), Code::LimitExceeded);
}

#[test]
fn a_return_that_would_owe_more_than_can_be_written_moves_nothing() {
    let mut walk = stage();
    let id = member(&mut walk, 0, 0);
    let most = (1 << 53) - 1;
    let first = earn(&mut walk, id, most, 1, None);
    spend(&mut walk, id, most);
    let second = earn(&mut walk, id, most, 1, None);
    spend(&mut walk, id, most);
    assert!(matches!(returned(&mut walk, &first, most), Outcome::Movement(_)));
    assert_eq!(code(&returned(&mut walk, &second, 1)), Code::LimitExceeded);
}

#[test]
fn an_erasure_asked_again_says_erased() {
    let mut walk = stage();
    let id = member(&mut walk, 0, 0);
    let named = walk.model.acc(id).who;
    let request = walk.request(slug("amber"), Command::Erase(Erase { who: named }));
    assert!(matches!(put(&mut walk, request.clone()), Outcome::Erased));
    assert!(matches!(put(&mut walk, request), Outcome::Erased));
}

#[test]
fn a_membership_made_and_erased_in_one_batch_is_asked_again_untouched() {
    let mut walk = stage();
    let mut request = walk.registration(slug("amber"), who(0, 0), Status::Active);
    let Command::Register(register) = &mut request.command else { unreachable!("just made") };
    register.earned_tier = None;
    walk.put(&request).unwrap_or_else(|why| panic!("{why}"));
    let erase = walk.request(slug("amber"), Command::Erase(Erase { who: who(0, 0) }));
    let outcome = walk.put(&erase).unwrap_or_else(|why| panic!("{why}"));
    assert!(matches!(outcome, Outcome::Erased));
}

#[test]
fn a_reversal_asked_for_answers_the_same_after_it_is_confirmed() {
    let mut walk = stage();
    for pair in walk.catalogue.pairs.values_mut() {
        pair.agreements[0].reversal_needs_confirmation = true;
    }
    let (from, _) = linked(&mut walk, 500);
    let row = converted(&mut walk, from, 100);
    let ask = Reverse { conversion: row.id, credit_points: points(50), reason: "returned".to_owned() };
    let asked = walk.request(slug("amber"), Command::Reverse(ask));
    let first = put(&mut walk, asked.clone());
    pass(&mut walk, TimeDelta::days(1));
    let reversal = hanse::domain::ids::ReversalId(asked.fresh);
    let yes = walk.request(slug("birch"), Command::ConfirmReversal(ConfirmReversal { reversal }));
    put(&mut walk, yes);
    pass(&mut walk, TimeDelta::days(1));
    let again = put(&mut walk, asked);
    let (Outcome::Reversal(first), Outcome::Reversal(again)) = (first, again) else { panic!("two reversals") };
    let shown = |row: &ReversalRow| (row.state, row.credit, row.bonus, row.debit, row.fee, row.lots_back.clone());
    assert_eq!((shown(&first), first.state), (shown(&again), ReversalState::Requested));
}

#[test]
fn what_ended_before_a_return_comes_back_after_the_grace_days() {
    let mut walk = stage();
    let (from, _) = linked(&mut walk, 100);
    let row = converted(&mut walk, from, 40);
    let spent = spend(&mut walk, from, 60);
    pass(&mut walk, TimeDelta::days(90));
    let outcome = returned(&mut walk, &spent, 60);
    let Outcome::Movement(back) = outcome else { panic!("{outcome:?}") };
    assert_eq!(back.lots[0].expires, Expiry::month_end_at_least(day_of(walk.at), 30));
    // What arrived at the other side ended with it, and an ended lot cannot be taken back.
    let request = walk.reversal(&row, 20);
    assert_eq!(code(&put(&mut walk, request)), Code::PointsSpent);
}

#[test]
fn points_that_ended_before_a_promotion_are_out_of_its_reach() {
    let mut walk = stage();
    let (from, _) = linked(&mut walk, 100);
    let spent = spend(&mut walk, from, 60);
    pass(&mut walk, TimeDelta::days(90));
    // A demotion from a tier whose points never end gives what is left twelve months.
    for tier in ["never", "plain"] {
        set_tier(&mut walk, from, tier);
    }
    let outcome = returned(&mut walk, &spent, 60);
    let Outcome::Movement(back) = outcome else { panic!("{outcome:?}") };
    assert_eq!(back.lots[0].expires, Expiry::month_end_at_least(day_of(walk.at), 30), "only the days of grace");
}

/// Something of amber's for 100 points of a member of birch, good for a year.
fn goods(walk: &mut Walk) -> BenefitId {
    let known = walk.model.benefits.values().find(|known| known.benefit.giver == slug("amber")).expect("amber gives");
    let mut benefit = known.benefit.as_ref().clone();
    (benefit.claims_from, benefit.claims_until, benefit.use_until) = (None, None, UseUntil::Days(365));
    (benefit.quota, benefit.settles_at, benefit.open) = (None, SettlesAt::Redemption, true);
    benefit.blackouts.clear();
    benefit.offers = vec![Offer {
        to: slug("birch"),
        tiers: Vec::new(),
        ladder: Ladder::Brand,
        tag: None,
        link_days: None,
        birthday_month: false,
        claims_from: None,
        points: points(100),
        cash: Millionths::ZERO,
        funder: Funder::Giver,
        cost: Millionths::ZERO,
        per_member: None,
    }];
    let id = benefit.id;
    walk.publish_benefit(benefit, Vec::new());
    id
}

fn voucher(outcome: &Outcome) -> VoucherRow {
    match outcome {
        Outcome::Voucher(row) => row.as_ref().clone(),
        other => panic!("no voucher: {other:?}"),
    }
}

fn claimed(walk: &mut Walk, own: AccountId, reserve: bool) -> (Request, VoucherRow) {
    let benefit = goods(walk);
    let mut request = walk.claim_of(own, benefit);
    let Command::Claim(claim) = &mut request.command else { unreachable!("just made") };
    (claim.version, claim.reserve) = (None, reserve);
    let row = voucher(&put(walk, request.clone()));
    (request, row)
}

fn given_back(walk: &mut Walk, by: &str, voucher: VoucherId) -> Outcome {
    let ask = CancelVoucher { voucher, reason: "changed".to_owned() };
    let request = walk.request(slug(by), Command::CancelVoucher(ask));
    put(walk, request)
}

#[test]
fn nobody_keeps_points_alive_by_claiming_and_giving_back() {
    let mut walk = stage();
    let own = member(&mut walk, 1, 0);
    earn(&mut walk, own, 100, 0, None);
    let (_, row) = claimed(&mut walk, own, false);
    pass(&mut walk, TimeDelta::days(60));
    given_back(&mut walk, "birch", row.id);
    assert_eq!(walk.model.acc(own).balance(), 0, "they ended a month ago");
}

#[test]
fn what_its_giver_takes_away_comes_back_to_be_used() {
    let mut walk = stage();
    let own = member(&mut walk, 1, 0);
    earn(&mut walk, own, 100, 0, None);
    let (_, row) = claimed(&mut walk, own, false);
    pass(&mut walk, TimeDelta::days(60));
    given_back(&mut walk, "amber", row.id);
    assert_eq!(walk.model.acc(own).usable(day_of(walk.at)), 100);
}

#[test]
fn a_place_is_kept_for_its_own_day_alone_and_asked_again_the_answer_is_the_first() {
    let mut walk = stage();
    let own = member(&mut walk, 1, 0);
    earn(&mut walk, own, 200, 0, None);
    // Five minutes before midnight in Shanghai.
    walk.at = "2026-01-05T15:55:00Z".parse().expect("an instant");
    pass(&mut walk, TimeDelta::zero());
    let (request, row) = claimed(&mut walk, own, true);
    let midnight = "2026-01-05T16:00:00Z".parse().expect("an instant");
    assert_eq!(row.reserved_until, Some(midnight));
    let confirm = walk.request(slug("birch"), Command::ConfirmClaim(ConfirmClaim { voucher: row.id }));
    put(&mut walk, confirm);
    assert_eq!(voucher(&put(&mut walk, request)).reserved_until, Some(midnight));
    let (_, late) = claimed(&mut walk, own, true);
    walk.at = midnight;
    pass(&mut walk, TimeDelta::zero());
    let confirm = walk.request(slug("birch"), Command::ConfirmClaim(ConfirmClaim { voucher: late.id }));
    assert_eq!(code(&put(&mut walk, confirm)), Code::VoucherExpired);
}
