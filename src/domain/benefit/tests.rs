//! Who gets what of a benefit, and what comes off a bill.

use super::*;
use uuid::Uuid;

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a day")
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

fn money(text: &str) -> Millionths {
    Millionths::parse(text).expect("money")
}

fn slug(text: &str) -> Slug {
    text.parse().expect("a slug")
}

pub fn offer(to: &str) -> Offer {
    Offer {
        to: slug(to),
        tiers: Vec::new(),
        ladder: Ladder::Brand,
        tag: None,
        link_days: None,
        birthday_month: false,
        claims_from: None,
        points: Points::ZERO,
        cash: Millionths::ZERO,
        funder: Funder::Brand,
        cost: money("80"),
        per_member: None,
    }
}

/// The family park ticket: worth 120, for Lumen's members from the second rung on.
pub fn ticket() -> Benefit {
    let tiers = ["silver", "gold", "diamond"].map(str::to_owned).to_vec();
    Benefit {
        id: BenefitId(Uuid::from_u128(7)),
        giver: slug("sprout"),
        code: "family-park".to_owned(),
        version: 1,
        kind: Kind::Ticket,
        name: Name { en: "Family park ticket".to_owned(), zh: "亲子乐园门票".to_owned() },
        description: None,
        face_value: Some(money("120")),
        discount: None,
        claims_from: None,
        claims_until: Some(at("2026-07-01T00:00:00Z")),
        use_until: UseUntil::Days(30),
        blackouts: Vec::new(),
        quota: Some(50),
        uses: 1,
        stacks: false,
        settles_at: SettlesAt::Redemption,
        pooled: false,
        open: true,
        offers: vec![Offer { tiers, ..offer("lumen") }],
    }
}

fn member(tier: &str) -> Claimant {
    Claimant {
        partner: slug("lumen"),
        tier: tier.to_owned(),
        recognised: None,
        tags: Vec::new(),
        birth_month: None,
        linked_since: None,
    }
}

fn refused(benefit: &Benefit, who: &Claimant, when: &str) -> Option<Unmet> {
    let at = at(when);
    benefit.offer_for(who, at, at.date_naive()).err()
}

#[test]
fn the_second_rung_gets_the_ticket_and_the_first_does_not() {
    let now = "2026-06-01T00:00:00Z";
    assert_eq!(refused(&ticket(), &member("silver"), now), None);
    assert_eq!(refused(&ticket(), &member("ordinary"), now), Some(Unmet::Tier));
    let other = Claimant { partner: slug("nest"), ..member("gold") };
    assert_eq!(refused(&ticket(), &other, now), Some(Unmet::Brand));
    assert_eq!(refused(&ticket(), &member("gold"), "2026-07-01T00:00:00Z"), Some(Unmet::Over));
    assert_eq!(refused(&Benefit { open: false, ..ticket() }, &member("gold"), now), Some(Unmet::Closed));
}

#[test]
fn the_first_offer_that_a_member_meets_is_its_own() {
    let free = Offer { tiers: vec!["l3".to_owned()], ..offer("lumen") };
    let paid = Offer { tiers: vec!["l2".to_owned(), "l3".to_owned()], cash: money("50"), ..offer("lumen") };
    let salon = Benefit { offers: vec![free, paid], ..ticket() };
    let cash = |tier: &str| {
        let found = salon.offer_for(&member(tier), at("2026-06-01T00:00:00Z"), day("2026-06-01"));
        found.map(|(place, offer)| (place, offer.cash))
    };
    assert_eq!(cash("l3"), Ok((0, Millionths::ZERO)));
    assert_eq!(cash("l2"), Ok((1, money("50"))));
    assert_eq!(cash("l1"), Err(Unmet::Tier));
}

#[test]
fn each_condition_is_judged_by_itself() {
    let with = |change: fn(&mut Offer)| {
        let mut benefit = ticket();
        benefit.offers = vec![offer("lumen")];
        change(&mut benefit.offers[0]);
        benefit
    };
    let now = "2026-06-15T00:00:00Z";
    let tagged = with(|offer| offer.tag = Some("organic".to_owned()));
    assert_eq!(refused(&tagged, &member("l1"), now), Some(Unmet::Tag));
    assert_eq!(refused(&tagged, &Claimant { tags: vec!["organic".to_owned()], ..member("l1") }, now), None);
    let linked = with(|offer| offer.link_days = Some(7));
    let since = |text: &str| Claimant { linked_since: Some(at(text)), ..member("l1") };
    assert_eq!(refused(&linked, &member("l1"), now), Some(Unmet::Link));
    assert_eq!(refused(&linked, &since("2026-06-08T00:00:01Z"), now), Some(Unmet::Link));
    assert_eq!(refused(&linked, &since("2026-06-08T00:00:00Z"), now), None);
    let birthday = with(|offer| offer.birthday_month = true);
    let born = |month| Claimant { birth_month: Some(month), ..member("l1") };
    assert_eq!(refused(&birthday, &born(5), now), Some(Unmet::Birthday));
    assert_eq!(refused(&birthday, &born(6), now), None);
    // Silver may buy two days before everybody.
    let mut early = with(|offer| {
        offer.tiers = vec!["silver".to_owned()];
        offer.claims_from = Some(at("2026-06-13T00:00:00Z"));
    });
    early.claims_from = Some(at("2026-06-15T00:00:00Z"));
    early.offers.push(offer("lumen"));
    let before = "2026-06-14T23:59:59Z";
    assert_eq!(
        (refused(&early, &member("silver"), before), refused(&early, &member("gold"), before)),
        (None, Some(Unmet::Tier))
    );
    assert_eq!(refused(&early, &member("gold"), now), None);
}

#[test]
fn on_the_givers_ladder_only_what_it_recognises_counts() {
    let mut benefit = ticket();
    benefit.offers = vec![Offer { tiers: vec!["l2".to_owned()], ladder: Ladder::Giver, ..offer("lumen") }];
    let now = "2026-06-01T00:00:00Z";
    assert_eq!(refused(&benefit, &member("l2"), now), Some(Unmet::Tier), "its own ladder has the same word");
    let recognised = Claimant { recognised: Some("l2".to_owned()), ..member("gold") };
    assert_eq!(refused(&benefit, &recognised, now), None);
}

#[test]
fn a_discount_is_never_more_than_the_bill_and_has_its_threshold() {
    let fen = money("0.01");
    let off = |amount: &str, from: &str| Discount::Amount { amount: money(amount), from: money(from) };
    for (discount, bill, takes) in [
        (off("50", "300"), "299.99", None),
        (off("50", "300"), "300", Some("50")),
        (off("20", "0"), "12.50", Some("12.50")),
        (off("80", "300"), "1000", Some("80")),
    ] {
        assert_eq!(discount.of(money(bill), fen), takes.map(money), "{discount:?} of {bill}");
    }
    let share = Discount::Share { basis_points: 500, from: money("100"), at_most: Some(money("20")) };
    assert_eq!(share.of(money("99.99"), fen), None);
    assert_eq!(share.of(money("123.45"), fen), Some(money("6.17")), "floored to the smallest coin");
    assert_eq!(share.of(money("1000"), fen), Some(money("20")));
}

#[test]
fn days_are_counted_from_the_day_of_issue() {
    assert_eq!(UseUntil::Days(0).last(day("2026-02-28")), Some(day("2026-02-28")));
    assert_eq!(UseUntil::Days(3).last(day("2026-02-27")), Some(day("2026-03-02")));
    assert_eq!(UseUntil::Day(day("2026-12-31")).last(day("2026-02-27")), Some(day("2026-12-31")));
    let golden = [(day("2026-10-01"), day("2026-10-07"))];
    assert!(Benefit::is_black(&golden, day("2026-10-01")) && Benefit::is_black(&golden, day("2026-10-07")));
    assert!(!Benefit::is_black(&golden, day("2026-10-08")));
    assert_eq!(Period::Month.first(day("2026-02-27")), Some(day("2026-02-01")));
    assert_eq!(Period::Year.first(day("2026-02-27")), Some(day("2026-01-01")));
    assert_eq!(Period::Ever.first(day("2026-02-27")), None);
}

#[test]
fn only_another_who_pays_is_asked_first() {
    let payer = |to: &str, funder| {
        let benefit = Benefit { offers: vec![Offer { funder, ..offer(to) }], ..ticket() };
        benefit.payer(&benefit.offers[0]).map(|payer| format!("{payer:?}"))
    };
    assert_eq!(payer("lumen", Funder::Giver), None);
    assert_eq!(payer("sprout", Funder::Brand), None);
    assert_eq!(payer("lumen", Funder::Operator).as_deref(), Some("Operator"));
    assert!(payer("lumen", Funder::Brand).is_some_and(|payer| payer.contains("lumen")));
}

#[test]
fn codes_are_read_back() {
    for (kind, code) in Kind::ALL {
        assert_eq!((Kind::parse(code), kind.code()), (Some(kind), code));
    }
    for (funder, code) in Funder::ALL {
        assert_eq!((Funder::parse(code), funder.code()), (Some(funder), code));
    }
    for (period, code) in Period::ALL {
        assert_eq!((Period::parse(code), period.code()), (Some(period), code));
    }
    assert_eq!(Kind::parse("tickets"), None);
}
