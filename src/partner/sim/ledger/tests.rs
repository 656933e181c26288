//! The ledger's rules, and that points are conserved whatever is asked.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::convert::Infallible;

#[derive(Clone, Debug, Default, PartialEq)]
struct Map {
    members: BTreeMap<String, Member>,
    holds: BTreeMap<String, HoldRow>,
    credits: BTreeMap<String, CreditRow>,
    events: BTreeMap<u64, Event>,
    totals: Totals,
}

impl Rows for Map {
    type Error = Infallible;

    fn member(&mut self, member_ref: &str) -> Result<Option<Member>, Infallible> {
        Ok(self.members.get(member_ref).cloned())
    }
    fn put_member(&mut self, member_ref: &str, row: &Member) -> Result<(), Infallible> {
        self.members.insert(member_ref.to_owned(), row.clone());
        Ok(())
    }
    fn hold(&mut self, hold_id: &str) -> Result<Option<HoldRow>, Infallible> {
        Ok(self.holds.get(hold_id).cloned())
    }
    fn put_hold(&mut self, hold_id: &str, row: &HoldRow) -> Result<(), Infallible> {
        self.holds.insert(hold_id.to_owned(), row.clone());
        Ok(())
    }
    fn credit(&mut self, credit_id: &str) -> Result<Option<CreditRow>, Infallible> {
        Ok(self.credits.get(credit_id).cloned())
    }
    fn put_credit(&mut self, credit_id: &str, row: &CreditRow) -> Result<(), Infallible> {
        self.credits.insert(credit_id.to_owned(), row.clone());
        Ok(())
    }
    fn event(&mut self, sequence: u64) -> Result<Option<Event>, Infallible> {
        Ok(self.events.get(&sequence).cloned())
    }
    fn put_event(&mut self, event: &Event) -> Result<(), Infallible> {
        self.events.insert(event.sequence, event.clone());
        Ok(())
    }
    fn totals(&mut self) -> Result<Totals, Infallible> {
        Ok(self.totals)
    }
    fn put_totals(&mut self, totals: &Totals) -> Result<(), Infallible> {
        self.totals = *totals;
        Ok(())
    }
}

impl Map {
    fn new() -> Map {
        let mut map = Map::default();
        let lots = vec![lot(40, None), lot(10, Some(31)), lot(50, Some(30))];
        map.ask(&Command::Seed { member_ref: "SPR-1".to_owned(), tier: "gold".to_owned(), lots }).expect("seeded");
        map
    }

    fn ask(&mut self, command: &Command) -> Outcome {
        let Ok(outcome) = apply(self, command);
        outcome
    }

    fn balance(&self) -> i64 {
        self.members["SPR-1"].balance()
    }

    fn adds_up(&self) {
        let held = self.holds.values().filter(|hold| hold.state == Stood::Taken).map(|hold| sum(&hold.lots)).sum();
        assert_eq!((self.totals.spendable(), self.totals.held), (self.balance(), held), "{self:?}");
        let ordered = |lots: &[Lot]| lots.is_sorted_by_key(|lot| (lot.expires_on.is_none(), lot.expires_on));
        assert!(self.members.values().all(|member| ordered(&member.lots)));
        assert!(self.members.values().flat_map(|member| &member.lots).all(|lot| lot.points > 0));
    }
}

fn lot(points: i64, day: Option<u32>) -> Lot {
    Lot { points, expires_on: day.and_then(|day| NaiveDate::from_ymd_opt(2026, 12, day)), kind: None }
}

fn hold_of(id: &str, points: i64, kind: Purpose, lots: Vec<Lot>) -> HoldRequest {
    HoldRequest {
        business_date: None,
        hold_id: id.to_owned(),
        conversion_id: format!("cnv_{id}"),
        member_ref: "SPR-1".to_owned(),
        points,
        kind,
        lots,
        expires_at: chrono::DateTime::UNIX_EPOCH,
    }
}

fn credit_of(id: &str, lots: Vec<Lot>, reverses: Option<&str>) -> CreditRequest {
    CreditRequest {
        credit_id: id.to_owned(),
        conversion_id: format!("cnv_{id}"),
        member_ref: "SPR-1".to_owned(),
        kind: if reverses.is_some() { Purpose::Reversal } else { Purpose::Base },
        points: sum(&lots),
        lots,
        reverses: reverses.map(str::to_owned),
    }
}

fn step(id: &str) -> HoldStep {
    HoldStep { hold_id: id.to_owned(), conversion_id: format!("cnv_{id}") }
}

fn void_of(id: &str) -> VoidRequest {
    VoidRequest { credit_id: id.to_owned(), conversion_id: format!("cnv_{id}") }
}

fn code(outcome: &Outcome) -> &str {
    match outcome {
        Ok(_) => "done",
        Err(why) => &why.code,
    }
}

#[test]
fn the_lot_that_ends_first_is_spent_first_and_comes_back_as_it_was() {
    let mut map = Map::new();
    let first = map.clone();
    let asked = Command::Hold(hold_of("a", 70, Purpose::Base, Vec::new()));
    let Ok(Answer::Hold(made)) = map.ask(&asked) else { panic!("held") };
    assert_eq!(made.lots, [lot(50, Some(30)), lot(10, Some(31)), lot(10, None)]);
    assert_eq!((made.points, map.balance(), map.totals.held), (70, 30, 70));
    assert_eq!(map.ask(&asked), Ok(Answer::Hold(made)), "the same again");
    map.ask(&Command::Release(step("a"))).expect("released");
    assert_eq!((&map.members, map.totals), (&first.members, first.totals));
    map.ask(&Command::Release(step("a"))).expect("released before");
    assert_eq!(code(&map.ask(&asked)), "voided", "what was released is not made again");
    assert_eq!(code(&map.ask(&Command::Capture(step("a")))), "voided");
    map.adds_up();
}

#[test]
fn one_id_has_one_request_and_one_answer_a_refusal_too() {
    let mut map = Map::new();
    let large = Command::Hold(hold_of("a", 101, Purpose::Base, Vec::new()));
    assert_eq!(code(&map.ask(&large)), "insufficient_points");
    map.ask(&Command::Credit(credit_of("c", vec![lot(9, None)], None))).expect("credited");
    assert_eq!(code(&map.ask(&large)), "insufficient_points", "a late copy finds no new points");
    assert_eq!(code(&map.ask(&Command::Hold(hold_of("a", 1, Purpose::Base, Vec::new())))), "id_mismatch");
    assert_eq!(code(&map.ask(&Command::Credit(credit_of("c", vec![lot(8, None)], None)))), "id_mismatch");
    let wrong = HoldStep { hold_id: "a".to_owned(), conversion_id: "cnv_b".to_owned() };
    assert_eq!(code(&map.ask(&Command::Release(wrong))), "id_mismatch");
    assert_eq!(map.balance(), 109);
    map.adds_up();
}

#[test]
fn what_was_released_or_voided_before_it_came_never_comes() {
    let mut map = Map::new();
    map.ask(&Command::Release(step("a"))).expect("released");
    assert_eq!(code(&map.ask(&Command::Hold(hold_of("a", 1, Purpose::Base, Vec::new())))), "voided");
    map.ask(&Command::Void(void_of("c"))).expect("voided");
    assert_eq!(code(&map.ask(&Command::Credit(credit_of("c", vec![lot(1, None)], None)))), "voided");
    assert_eq!(code(&map.ask(&Command::Capture(step("b")))), "not_found");
    assert_eq!(map.balance(), 100);
}

#[test]
fn a_void_takes_a_credit_back_unless_it_is_spent() {
    let mut map = Map::new();
    let credit = Command::Credit(credit_of("c", vec![lot(5, Some(29)), lot(1, None)], None));
    map.ask(&credit).expect("credited");
    map.ask(&Command::Void(void_of("c"))).expect("voided");
    map.ask(&Command::Void(void_of("c"))).expect("voided before");
    assert_eq!((code(&map.ask(&credit)), map.balance()), ("voided", 100));
    map.ask(&Command::Credit(credit_of("d", vec![lot(5, Some(29))], None))).expect("credited");
    map.ask(&Command::Hold(hold_of("a", 1, Purpose::Base, Vec::new()))).expect("held");
    assert_eq!(code(&map.ask(&Command::Void(void_of("d")))), "points_spent");
    map.adds_up();
}

#[test]
fn what_arrived_is_taken_back_by_its_dates_and_what_was_captured_comes_back_once() {
    let mut map = Map::new();
    let back = |id: &str, lots: Vec<Lot>, points| Command::Hold(hold_of(id, points, Purpose::Reversal, lots));
    assert_eq!(code(&map.ask(&back("a", vec![lot(11, Some(31))], 11))), "points_spent");
    let Ok(Answer::Hold(made)) = map.ask(&back("b", vec![lot(10, Some(31)), lot(30, Some(30))], 15)) else {
        panic!("held")
    };
    assert_eq!(made.lots, [lot(5, Some(30)), lot(10, Some(31))], "the dates first named, told as they are spent");
    let give = |id: &str, points| Command::Credit(credit_of(id, vec![lot(points, None)], Some("b")));
    assert_eq!(code(&map.ask(&give("c", 15))), "not_found", "not captured yet");
    map.ask(&Command::Capture(step("b"))).expect("captured");
    assert_eq!(code(&map.ask(&Command::Release(step("b")))), "captured");
    map.ask(&give("d", 10)).expect("given back");
    assert_eq!(code(&map.ask(&give("e", 6))), "reversal_exceeds");
    map.ask(&give("f", 5)).expect("given back");
    map.ask(&Command::Void(void_of("f"))).expect("voided");
    map.ask(&give("g", 5)).expect("what was voided may be given back");
    assert_eq!(map.balance(), 100);
    map.adds_up();
}

#[test]
fn a_purchase_is_for_a_member_that_is_there() {
    let mut map = Map::new();
    let earn = |member: &str, points| Command::Earn { member_ref: member.to_owned(), lot: lot(points, None) };
    assert_eq!(map.ask(&earn("SPR-1", 7)), Ok(Answer::Done(true)));
    assert_eq!(map.ask(&earn("SPR-1", 7)), Ok(Answer::Done(true)), "every purchase is one of its own");
    assert_eq!(map.balance(), 114);
    assert_eq!(code(&map.ask(&earn("SPR-2", 7))), "not_found");
    for points in [0, -1, i64::MAX, POINTS_MAX] {
        assert_eq!(code(&map.ask(&earn("SPR-1", points))), "invalid", "{points}");
    }
    assert_eq!(map.balance(), 114);
    map.adds_up();
}

#[test]
fn who_is_closed_or_frozen_or_nobody_is_refused() {
    let mut map = Map::new();
    let status = |status: &str| Command::SetStatus { member_ref: "SPR-1".to_owned(), status: status.to_owned() };
    map.ask(&status("frozen")).expect("frozen");
    assert_eq!(code(&map.ask(&Command::Hold(hold_of("a", 1, Purpose::Base, Vec::new())))), "membership_frozen");
    map.ask(&Command::Hold(hold_of("b", 1, Purpose::Undo, vec![lot(1, None)]))).expect("taken back all the same");
    map.ask(&status("closed")).expect("closed");
    assert_eq!(code(&map.ask(&Command::Credit(credit_of("c", vec![lot(1, None)], None)))), "membership_closed");
    let mut nobody = hold_of("d", 1, Purpose::Base, Vec::new());
    nobody.member_ref = "SPR-2".to_owned();
    assert_eq!(code(&map.ask(&Command::Hold(nobody))), "not_found");
    for points in [0, -1, i64::MAX] {
        assert_eq!(
            code(&map.ask(&Command::Hold(hold_of(&format!("p{points}"), points, Purpose::Base, Vec::new())))),
            "invalid"
        );
    }
    let mut short = credit_of("e", vec![lot(2, None)], None);
    short.points = 3;
    assert_eq!(code(&map.ask(&Command::Credit(short))), "invalid");
}

fn commands() -> impl Strategy<Value = Command> {
    let id = || "[a-d]";
    let lots = || proptest::collection::vec((1_i64..30, proptest::option::of(28_u32..31)), 1..4);
    let lots = move || lots().prop_map(|all| all.into_iter().map(|(points, day)| lot(points, day)).collect::<Vec<_>>());
    prop_oneof![
        (id(), 1_i64..60).prop_map(|(id, points)| Command::Hold(hold_of(&id, points, Purpose::Base, Vec::new()))),
        (id(), 1_i64..40, lots()).prop_map(|(id, points, lots)| Command::Hold(hold_of(
            &id,
            points,
            Purpose::Undo,
            lots
        ))),
        id().prop_map(|id| Command::Capture(step(&id))),
        id().prop_map(|id| Command::Release(step(&id))),
        (id(), lots(), proptest::option::of(id())).prop_map(|(id, lots, of)| Command::Credit(credit_of(
            &id,
            lots,
            of.as_deref()
        ))),
        id().prop_map(|id| Command::Void(void_of(&id))),
    ]
}

proptest! {
    /// Points are conserved, and what was done is done whenever it is asked again.
    #[test]
    fn points_are_conserved_and_every_request_is_idempotent(all in proptest::collection::vec(commands(), 1..60)) {
        let mut map = Map::new();
        for command in &all {
            let first = map.ask(command);
            map.adds_up();
            let after = map.clone();
            let again = map.ask(command);
            let ends = matches!(command, Command::Expire { .. });
            prop_assert_eq!(&after, &map, "{:?} again changed something", command);
            prop_assert!(ends || first == again, "{:?}: {:?} then {:?}", command, first, again);
        }
    }
}
