//! Lines as settlement writes them, by whoever pays for what, and the ways in which one may be wrong.

use super::line::scan;
use super::lines::{self, Wanted};
use super::recognise::Kind;
use super::rules::{Judge, Owner, Wrong};
use crate::domain::catalogue::Party;
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::quote::tests::two_to_one;
use crate::domain::rate::Ratio;
use crate::domain::settings::{Netting, Rounding};
use crate::domain::settlement::Participant;
use crate::domain::settlement::line::{CAMPAIGNS_MAX, Moved, parts};
use crate::domain::settlement::tally::{self, Taken, Tallies};
use crate::domain::terms::{FrozenCampaign, Terms};
use crate::service::settlement::lines::{Posted, Shared, Taking};
use crate::service::settlement::settings::{Named, Settings};
use crate::signing::merkle;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

fn settings() -> Settings {
    let named = |name: &str| Named {
        name_en: name.into(),
        name_zh: name.into(),
        entity: format!("{name} \"Ltd\""),
        tax_code: String::new(),
        accounts: BTreeMap::new(),
    };
    let participants = ["harvest", "lumen", "operator"];
    let participants = participants.map(|name| (Participant::parse(name).expect("a slug"), named(name)));
    Settings {
        alliance: "star".into(),
        currency: "CNY".into(),
        netting: Netting::Multilateral,
        rounding: Rounding::HalfUp,
        sandbox: false,
        trust_domain: "star.example".into(),
        zone: "Asia/Shanghai".into(),
        fee_tax_basis_points: 600,
        participants: participants.into_iter().collect(),
    }
}

/// Everybody's lines of a conversion of `credit` points and of what takes parts of it back, with their sums.
fn everybody(terms: Terms, credit: i64, takings: &[i64]) -> BTreeMap<Participant, (Vec<u8>, Tallies)> {
    let terms = Arc::new(terms);
    let shared = Shared::new(terms.clone(), &settings()).expect("terms");
    let points = |value: i64| Points::new(value).expect("in range");
    let debit = |credit: i64| credit * terms.ratio.den() / terms.ratio.num();
    let fee = terms.fee(points(credit)).expect("in range");
    let bonuses = terms.bonuses(points(credit)).expect("in range");
    let mut all: BTreeMap<Participant, (Vec<u8>, Tallies)> = BTreeMap::new();
    let mut posted = |moved: Moved<'_>, debit: i64, reversal: Option<Taking>| {
        let taken =
            reversal.map(|taking| if taking.original_window == 7 { Taken::OfThisWindow } else { Taken::OfEarlier });
        for part in parts(&terms, moved).expect("in range") {
            let (whose, other) = shared.parties(&part);
            let (bytes, tallies) = all.entry(whose.clone()).or_default();
            let line_no = i64::try_from(bytes.split(|byte| *byte == b'\n').count()).expect("few");
            let posted = Posted {
                conversion: Uuid::from_u128(0x0198_c0de << 64),
                reversal,
                debit,
                from_token: Uuid::from_u128(5),
                to_token: Uuid::from_u128(6),
                reference: Some(("L-\"1\"", Party::From)),
                at: "2026-05-31T16:00:00.000001Z",
                day: "2026-06-01",
            };
            shared.write(bytes, &part, &posted, line_no, 7);
            bytes.push(b'\n');
            tally::count(tallies, other, &part, taken);
        }
    };
    posted(Moved { credit: points(credit), bonuses: &bonuses, fee, back: false }, debit(credit), None);
    let (mut so_far, mut given, mut refunded) = (0, vec![0; bonuses.len()], 0);
    for (nth, taking) in takings.iter().enumerate() {
        so_far += taking;
        // As the book has it: all of them together, less what was before.
        let part = |whole: &Points, given: &mut i64| {
            let now = whole.ceil_of(so_far, credit).expect("in range").get();
            points(now - std::mem::replace(given, now))
        };
        let back: Vec<Points> = bonuses.iter().zip(&mut given).map(|(whole, given)| part(whole, given)).collect();
        let fee_so_far = fee.floor_of(so_far, credit).expect("in range").get();
        let fee = Millionths::new(fee_so_far - std::mem::replace(&mut refunded, fee_so_far));
        let id = Uuid::from_u128((nth as u128 + 1) << 64);
        let reversal = Taking { id, undo: false, original_window: if nth % 2 == 0 { 7 } else { 3 } };
        posted(Moved { credit: points(*taking), bonuses: &back, fee, back: true }, debit(*taking), Some(reversal));
    }
    all
}

fn wanted(participant: &Participant) -> Wanted {
    let owner = Owner { participant: participant.to_string(), window: 7, currency: Some("CNY".into()) };
    Wanted { owner, first: Some(1), leaves: BTreeMap::new() }
}

fn exact(tallies: &Tallies) -> Vec<(&Participant, [tally::Sum; tally::SORTS])> {
    tallies.iter().map(|(with, tally)| (with, tally.sums)).collect()
}

fn party() -> impl Strategy<Value = Party> {
    prop_oneof![Just(Party::From), Just(Party::To), Just(Party::Operator)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Whoever pays, at whatever rate and price, in however many parts it is taken back.
    #[test]
    fn what_settlement_writes_holds_and_adds_up_to_what_it_counted(
        (fee_payer, funders) in (party(), proptest::collection::vec(party(), 0..4)),
        (num, den, times) in (1_i64..12, 1_i64..12, 1_i64..500),
        (price, basis_points) in (0_i64..3_000_000, 0_i64..10_000),
        takings in proptest::collection::vec(1_i64..100, 0..5),
    ) {
        let ratio = Ratio::new(num, den).expect("positive");
        let campaigns = funders.iter().enumerate().map(|(nth, funder)| FrozenCampaign {
            code: format!("c{nth}"), version: 1, bonus_basis_points: 777, funder: *funder,
        });
        let terms = Terms {
            ratio, fee_payer, campaigns: campaigns.collect(), fee_basis_points: basis_points,
            settlement_price: Millionths::new(price), ..two_to_one()
        };
        let mut left = times;
        let takings: Vec<i64> = takings.into_iter().filter_map(|taking| {
            let taking = taking.min(left);
            left -= taking;
            (taking > 0).then_some(taking * ratio.num())
        }).collect();
        for (participant, (bytes, tallies)) in everybody(terms, times * ratio.num(), &takings) {
            let wanted = wanted(&participant);
            let found = lines::read(Box::new(bytes.as_slice()), Kind::Ndjson, &wanted, |_| ()).expect("memory");
            prop_assert_eq!(&found.first_wrong, &None, "{}", String::from_utf8_lossy(&bytes));
            prop_assert_eq!(exact(&found.tallies), exact(&tallies));
            let leaves: Vec<_> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(merkle::leaf_hash).collect();
            prop_assert_eq!((found.count, found.frontier.root()), (leaves.len() as u64, merkle::root(&leaves)));
        }
    }
}

/// The line with one text in place of another, judged.
fn judged(line: &str, from: &str, to: &str) -> Result<(), Wrong> {
    assert!(line.contains(from), "{from} in {line}");
    let changed = line.replacen(from, to, 1);
    let line = scan(&changed).expect("a line");
    let named = |name: &&str| changed.contains(&format!(r#""participant":"{name}""#));
    let participant = ["harvest", "lumen", "operator"].into_iter().find(named).and_then(Participant::parse);
    let owner = wanted(&participant.expect("a slug")).owner;
    Judge::default().judge(&line, &owner).map(|_| ())
}

/// Which line, a text in it, what stands there instead, and what is then told.
#[rustfmt::skip]
const WRONG: [(&str, &str, &str, &str); 24] = [
    ("origin", r#""amount":"-3.40""#, r#""amount":"3.40""#,
        "its amount is 3.40, and 68 points at 0.05 are -3.40"),
    ("origin", r#""amount":"-3.40""#, r#""amount":"-3.4""#,
        "its `amount` is `-3.4`, which is no amount in its one spelling"),
    ("target", r#""amount":"3.40""#, r#""amount":"03.40""#,
        "its `amount` is `03.40`, which is no amount in its one spelling"),
    ("target", r#""price":"0.05""#, r#""price":"0.050001""#,
        "its amount is 3.40, and 68 points at 0.050001 are 3.400068"),
    ("bonus", r#""amount":"-0.30""#, r#""amount":"-0.31""#,
        "its amount is -0.31, and 6 points at 0.05 are -0.30"),
    ("origin", r#""fee":"-0.034""#, r#""fee":"-0.035""#,
        "its fee is -0.035, and 100 basis points of 68 points at 0.05, floored, are -0.034"),
    ("origin", r#""fee":"-0.034""#, r#""fee":"0.034""#,
        "its fee is 0.034, and 100 basis points of 68 points at 0.05, floored, are -0.034"),
    ("back", r#""fee":"0.017""#, r#""fee":"0.017002""#,
        "its fee is 0.017002, and 100 basis points of -34 points at 0.05, floored, are 0.017"),
    ("origin", r#""debit_points":136"#, r#""debit_points":137"#,
        "137 points at 2:1 are not 68"),
    ("back", r#""points":-34"#, r#""points":34"#,
        "its points are 34, and it takes some back"),
    ("origin", r#""line_id":"lin_0"#, r#""line_id":"lin_1"#,
        "its `line_id` is not that of what was posted"),
    ("back", r#""original_line":"lin_0"#, r#""original_line":"lin_1"#,
        "its `original_line` is not that of what was posted"),
    ("back", r#""original_window":7"#, r#""original_window":8"#,
        "its window is 7, before window 8 of what it takes back"),
    ("origin", r#""counterparty":"harvest""#, r#""counterparty":"operator""#,
        "its participant `lumen` and counterparty `operator` are not those of a conversion from `lumen` to `harvest`"),
    ("bonus", r#""funder":"lumen""#, r#""funder":"harvest""#,
        "its participant `lumen` and counterparty `harvest` are not those of a bonus from `lumen` to `harvest`"),
    ("origin", r#""kind":"conversion""#, r#""kind":"gift""#,
        "its kind is `gift`, which is none"),
    ("origin", r#""kind":"conversion""#, r#""kind":"fee""#,
        "it has a member `debit_points`, which a line of its kind has not"),
    ("back", r#","undo":false"#, "",
        "it has no member `undo`"),
    ("origin", r#","price":"0.05""#, "",
        "it has no member `price`"),
    ("origin", r#""v":1"#, r#""v":2"#,
        "its layout is version 2, which is not known here"),
    ("origin", r#""currency":"CNY""#, r#""currency":"USD""#,
        "it is in USD"),
    ("origin", r#""window":7"#, r#""window":8"#,
        "it is a line of window 8"),
    ("origin", "2026-06-01", "2026-06-02",
        "its business date 2026-06-02 is not the day of 2026-05-31T16:00:00.000001Z in any zone"),
    ("origin", "00.000001Z", "00.00001Z",
        "its `at` is `2026-05-31T16:00:00.00001Z`, which is no instant in its one spelling"),
];

#[test]
fn a_line_that_does_not_come_to_what_it_says_is_told_by_what_is_wrong() {
    let funded = vec![FrozenCampaign { funder: Party::From, ..two_to_one().campaigns[0].clone() }];
    let all = everybody(Terms { campaigns: funded, ..two_to_one() }, 68, &[34]);
    let lines = |participant: &str| -> Vec<String> {
        let bytes = &all[&Participant::parse(participant).expect("a slug")].0;
        String::from_utf8(bytes.clone()).expect("text").lines().map(str::to_owned).collect()
    };
    let (from, to) = (lines("lumen"), lines("harvest"));
    let [origin, bonus, back, _] = from.as_slice() else { panic!("{from:#?}") };
    for line in from.iter().chain(&to).chain(&lines("operator")) {
        assert_eq!(judged(line, "", ""), Ok(()), "{line}");
    }
    let named = BTreeMap::from([("origin", origin), ("bonus", bonus), ("back", back), ("target", &to[0])]);
    for (line, from, to, wanted) in WRONG {
        let wrong = judged(named[line], from, to).map_err(|wrong| wrong.to_string());
        assert_eq!(wrong, Err(wanted.to_owned()), "{from} to {to}");
    }
    // Floored together with the others that take some back.
    assert_eq!(judged(back, r#""fee":"0.017""#, r#""fee":"0.017001""#), Ok(()));
}

#[test]
fn as_many_campaigns_may_stack_as_have_places_and_the_next_has_none() {
    let one = FrozenCampaign { funder: Party::From, ..two_to_one().campaigns[0].clone() };
    let most = usize::from(CAMPAIGNS_MAX);
    let all = everybody(Terms { campaigns: vec![one; most + 1], ..two_to_one() }, 68, &[]);
    let lines = String::from_utf8(all[&Participant::parse("lumen").expect("a slug")].0.clone()).expect("text");
    let judged: Vec<_> = lines.lines().map(|line| judged(line, "", "")).collect();
    // The conversion is the first.
    assert_eq!(judged.len(), 1 + most + 1);
    assert_eq!(judged.iter().position(Result::is_err), Some(1 + most));
    assert_eq!(judged.last(), Some(&Err(Wrong::Id("line_id"))));
}
