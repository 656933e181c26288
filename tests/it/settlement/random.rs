//! Random windows: conversions in every direction under every funder and payer, undone, reversed, adjusted, disputed, paid in
//! parts, while days pass, partners join, entities and netting change.
//! Whatever happens, sides agree, statements chain, the same comes out again, and all paid is zero.

use super::seen::Seen;
use super::support::House;
use crate::support::book::{self, Member, credit, link, member, points, slug};
use crate::support::is_long;
use chrono::TimeDelta;
use diesel::PgConnection;
use diesel::connection::SimpleConnection;
use hanse::book::Handle;
use hanse::book::command::{Ask, Command, Convert, Direction, Outcome, Reverse, Undo, Want};
use hanse::domain::expiry::Expiry;
use hanse::domain::holder::Holder;
use hanse::domain::ids::ConversionId;
use hanse::domain::money::{Millionths, minor_unit};
use hanse::domain::settlement::Participant;
use hanse::domain::settlement::dispute::{Answer, Claimed, Kind, Outcome as Decided, State};
use hanse::service::clock;
use hanse::service::settlement::disputes::{self, About, Opening, Whole};
use hanse::service::settlement::read::Lines;
use hanse::service::settlement::recompute::Outcome as Again;
use hanse::service::settlement::{adjust, deadlines, pay};
use hanse::store::catalogue;
use hanse::store::settlement::{obligations, statements, windows};

/// A third partner, and terms with odd prices, every payer of a fee and every funder of a bonus.
pub const THIRD: &str = "
INSERT INTO partners (slug, name_en, name_zh, trade, legal_entity, tax_code, status, hosted, programme_code, programme_name_en,
    programme_name_zh, scale, unit_cost, expiry_months, tiers)
SELECT 'cc', name_en, name_zh, trade, 'cc \"Ltd\"', '=91cc', status, hosted, 'CC', programme_name_en, programme_name_zh, scale, unit_cost,
    expiry_months, tiers FROM partners WHERE slug = 'aa';
INSERT INTO agreements (from_partner, to_partner, version, settlement_price, fee_basis_points, fee_payer, notice_days, undo_s,
    renews_on_arrival, exposure_limit, reversal_needs_confirmation, target_pays_spent, grace_days, dispute_days, valid_from)
VALUES ('aa', 'cc', 1, 12347, 37, 'to', 14, 900, false, NULL, false, false, 30, 10, '2000-01-01'),
       ('cc', 'aa', 1, 33333, 149, 'operator', 14, 900, false, NULL, false, true, 30, 10, '2000-01-01'),
       ('bb', 'cc', 1, 7, 9999, 'from', 14, 900, false, NULL, false, false, 30, 10, '2000-01-01'),
       ('cc', 'bb', 1, 999999, 1, 'to', 14, 900, false, NULL, false, false, 30, 10, '2000-01-01');
INSERT INTO rates (from_partner, to_partner, version, tier, num, den, step, minimum, maximum, public, valid_from)
VALUES ('aa', 'cc', 1, '*', 3, 7, 7, 7, NULL, true, '2000-01-01'), ('cc', 'aa', 1, '*', 5, 2, 2, 2, NULL, true, '2000-01-01'),
       ('bb', 'cc', 1, '*', 1, 1, 1, 1, NULL, true, '2000-01-01'), ('cc', 'bb', 1, '*', 2, 3, 3, 3, NULL, true, '2000-01-01');
INSERT INTO campaigns (from_partner, to_partner, code, version, name_en, name_zh, tier, bonus_basis_points, funder, stacks, valid_from, valid_to)
VALUES ('aa', 'cc', 'gift', 1, 'Gift', '礼', '*', 333, 'from', false, '2000-01-01', '2100-01-01'),
       ('cc', 'bb', 'ours', 1, 'Ours', '我们', '*', 777, 'operator', true, '2000-01-01', '2100-01-01'),
       ('cc', 'bb', 'own', 1, 'Own', '自', '*', 250, 'to', true, '2000-01-01', '2100-01-01'),
       ('cc', 'bb', 'sent', 1, 'Sent', '送', '*', 51, 'from', true, '2000-01-01', '2100-01-01');
INSERT INTO exposures (key, value, cap) VALUES ('pair:aa:cc', 0, NULL), ('pair:cc:aa', 0, NULL), ('pair:bb:cc', 0, NULL),
    ('pair:cc:bb', 0, NULL), ('partner:cc', 0, NULL);
";

/// One more partner joins; once.
const JOINS: &str = "
INSERT INTO partners (slug, name_en, name_zh, trade, legal_entity, tax_code, status, hosted, programme_code, programme_name_en,
    programme_name_zh, scale, unit_cost, expiry_months, tiers)
SELECT 'dd', name_en, name_zh, trade, 'dd Ltd', '91dd', status, hosted, 'DD', programme_name_en, programme_name_zh, scale, unit_cost,
    expiry_months, tiers FROM partners WHERE slug = 'aa' ON CONFLICT DO NOTHING;
INSERT INTO exposures (key, value, cap) VALUES ('partner:dd', 0, NULL) ON CONFLICT DO NOTHING;
";

/// Why an undo and a reversal may be refused: too late, after one of the other, or what arrived is there no more.
const UNDO: [&str; 3] = ["undo_window_closed", "reversal_exceeds", "points_spent"];
const REVERSE: [&str; 2] = ["reversal_exceeds", "points_spent"];

/// A conversion that was made: from whom to whom, and of how many points credited.
#[derive(Clone, Copy)]
struct Made {
    id: ConversionId,
    from: &'static str,
    to: &'static str,
    credit: i64,
}

/// Seeded, so that what fails can be run again.
struct Chance(u64);

impl Chance {
    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn amount(&mut self, bound: u64) -> i64 {
        i64::try_from(self.below(bound) + 1).expect("small")
    }
}

struct Walk {
    house: House,
    chance: Chance,
    members: Vec<(&'static str, Member)>,
    made: Vec<Made>,
    step: u64,
    seen: Seen,
}

impl Walk {
    async fn new(seed: u64, settings: &str) -> Walk {
        let house = House::new(&format!("walk-{seed}"), THIRD).await;
        house.conn().batch_execute(settings).expect("settings");
        // The server has the catalogue of before: settlement reads its own.
        let server = &house.server;
        let mut members = Vec::new();
        for nth in 0..3 {
            let mut person = Vec::new();
            for partner in ["aa", "bb", "cc"] {
                let name = format!("m{nth}");
                let member = member(server, partner, &name).await;
                credit(server, partner, &format!("open-{partner}-{nth}"), member, 50_000_000, Expiry::Never).await;
                person.push((partner, member));
            }
            for (one, other) in [(0, 1), (0, 2), (1, 2)] {
                link(server, person[one].1, person[other].1).await;
            }
            members.extend(person);
        }
        Walk { house, chance: Chance(seed), members, made: Vec::new(), step: 0, seen: Seen::default() }
    }

    fn server(&self) -> &Handle {
        &self.house.server
    }

    async fn step(&mut self) {
        self.step += 1;
        let key = format!("k{}", self.step);
        match self.chance.below(25) {
            0..12 => self.convert(&key).await,
            12..14 => self.undo(&key).await,
            14..17 => self.reverse(&key).await,
            17 => self.adjust(),
            18..20 => self.pay_some(&key),
            20..23 => self.dispute(),
            23 => self.days_pass(),
            _ => self.change(),
        }
    }

    async fn convert(&mut self, key: &str) {
        let (from, who) = self.members[usize::try_from(self.chance.below(9)).expect("small")];
        let others: Vec<&str> = ["aa", "bb", "cc"].into_iter().filter(|slug| *slug != from).collect();
        let to = others[usize::try_from(self.chance.below(2)).expect("small")];
        let want = Want::Points(points(self.chance.amount(5_000) + 20));
        let convert = Convert { who: who.who, direction: Direction::To(slug(to)), ask: Ask::Now { want, floor: None } };
        let answer = self.server().submit(book::request(from, key, Command::Convert(convert))).await.expect("decided");
        if self.seen.outcome("convert", &answer.outcome, &[]) {
            let Outcome::Conversion(row) = answer.outcome else { panic!("{answer:?}") };
            self.made.push(Made { id: row.id, from, to, credit: row.credit.get() });
        }
    }

    fn any(&mut self) -> Option<Made> {
        let count = u64::try_from(self.made.len()).expect("few");
        (count > 0).then(|| self.made[usize::try_from(self.chance.below(count)).expect("small")])
    }

    async fn undo(&mut self, key: &str) {
        let Some(Made { id: conversion, from, .. }) = self.any() else { return };
        let command = Command::Undo(Undo { conversion });
        let answer = self.server().submit(book::request(from, key, command)).await.expect("decided");
        let done = self.seen.outcome("undo", &answer.outcome, &UNDO);
        assert!(!done || matches!(answer.outcome, Outcome::Reversal(_)), "{answer:?}");
    }

    async fn reverse(&mut self, key: &str) {
        let Some(Made { id: conversion, from, to, credit }) = self.any() else { return };
        // Whole under every rate; at times more than there is.
        let parts = u64::try_from(credit / 90).expect("points");
        let credit_points = if parts == 0 { credit } else { self.chance.amount(parts * 5 / 4 + 1) * 90 };
        let credit_points = points(credit_points);
        let command = Command::Reverse(Reverse { conversion, credit_points, reason: "returned".into() });
        let answer = self.server().submit(book::request(from, key, command)).await.expect("decided");
        if self.seen.outcome("reverse", &answer.outcome, &REVERSE) {
            let Outcome::Reversal(row) = answer.outcome else { panic!("{answer:?}") };
            let confirm = Command::ConfirmReversal(hanse::book::command::ConfirmReversal { reversal: row.id });
            let confirm = book::request(to, &format!("{key}-yes"), confirm);
            let answer = self.server().submit(confirm).await.expect("decided");
            let done = self.seen.outcome("confirm", &answer.outcome, &["points_spent"]);
            assert!(!done || matches!(answer.outcome, Outcome::Reversal(_)), "{answer:?}");
        }
    }

    fn adjust(&mut self) {
        let joined = hanse::store::catalogue::load(&mut self.house.conn()).expect("the catalogue").partners.len();
        let parties = ["aa", "bb", "cc", "operator", "dd"].map(|text| Participant::parse(text).expect("a participant"));
        // The fourth partner has no agreement with anybody.
        let count = joined + 1;
        let below = |count: usize| u64::try_from(count).expect("few");
        let from = usize::try_from(self.chance.below(below(count))).expect("small");
        let to = (from + 1 + usize::try_from(self.chance.below(below(count - 1))).expect("small")) % count;
        let amount = self.chance.amount(90_000_000) - 45_000_000;
        if amount == 0 {
            return;
        }
        let asked = adjust::Asked {
            from: parties[from].clone(),
            to: parties[to].clone(),
            amount: Millionths::new(amount),
            reason: "agreed on 协商".into(),
            dispute: None,
            conversion: self.any().map(|made| made.id),
            by: "one".into(),
        };
        let mut conn = self.house.conn();
        let id = adjust::ask(&mut conn, &asked).expect("asked");
        assert!(adjust::settle(&mut conn, id, true, "one").is_err(), "four eyes");
        adjust::settle(&mut conn, id, true, "other").expect("approved");
    }

    /// Some line of some statement is disputed, then let go, answered or not, and decided one way or the other.
    fn dispute(&mut self) {
        let mut conn = self.house.conn();
        let published = windows::list(&mut conn, i64::MAX, 3).expect("windows");
        let published: Vec<_> = published.into_iter().filter(|row| row.closed.is_some()).collect();
        let Some(window) = published.get(usize::try_from(self.chance.below(2)).expect("small")) else {
            return self.seen.count("no window to dispute");
        };
        let opener = ["aa", "bb", "cc"][usize::try_from(self.chance.below(3)).expect("small")];
        let participant = Participant::parse(opener).expect("a participant");
        let row = statements::find(&mut conn, window.id, &participant).expect("read").expect("a statement");
        let lines = Lines::of(&row).next(&mut conn).expect("lines").expect("walks leave nobody without lines");
        let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let nth = self.chance.below(u64::try_from(lines.len()).expect("few"));
        let line: serde_json::Value = serde_json::from_slice(lines[usize::try_from(nth).expect("few")]).expect("JSON");
        let opening = Opening {
            about: About::Line(line["line_id"].as_str().expect("an id").parse().expect("an id")),
            kind: [Kind::Amount, Kind::Rate][usize::try_from(self.chance.below(2)).expect("small")],
            counterparty: None,
            claimed: Claimed { points: None, amount: Some(Millionths::new(self.chance.amount(9_000_000) - 4_500_000)) },
            note: "it should be this".into(),
            reconciliation: None,
        };
        let opened = disputes::open(&mut conn, &slug(opener), window.id, &opening);
        let too_late = ["could be disputed until"];
        let Some((opened, is_new)) = self.seen.step("open", opened, &too_late) else { return };
        assert!(!is_new || opened.row.state == State::Open, "{opened:?}");
        self.seen.count(if is_new { "dispute opened" } else { "dispute opened before" });
        if self.chance.below(4) == 0 {
            let withdrawn = disputes::withdraw(&mut conn, &slug(opener), opened.row.id);
            if let Some((done, _)) = self.seen.step("withdraw", withdrawn, &["is decided already"]) {
                assert_eq!(done.row.state, State::Withdrawn);
                self.seen.count("dispute withdrawn");
            }
        }
        if self.chance.below(3) > 0 {
            self.answer(&mut conn, &opened);
        }
        self.decide(&mut conn, &opened);
    }

    fn answer(&mut self, conn: &mut PgConnection, opened: &Whole) {
        let answers = match opened.row.parties.counterparty.as_ref().and_then(Participant::partner) {
            Some(partner) => Holder::Partner(partner.clone()),
            None => Holder::Operator("desk".into()),
        };
        let answer = [Answer::Accepted, Answer::Rejected][usize::try_from(self.chance.below(2)).expect("small")];
        let answered = disputes::answer(conn, &answers, opened.row.id, (answer, "so it is"));
        let expected = ["is withdrawn already", "is decided already", "It was answered before"];
        if let Some((done, _)) = self.seen.step("answer", answered, &expected) {
            assert_eq!(done.answered.map(|answered| answered.answer), Some(answer));
            self.seen.count(format!("dispute answered: {}", answer.code()));
        }
    }

    /// One operator proposes, and says so again, another one decides, a third one finds it decided.
    fn decide(&mut self, conn: &mut PgConnection, opened: &Whole) {
        let claim = opened.row.claim.expect("an amount was claimed").get();
        let (outcome, amount) = match self.chance.below(3) {
            0 => (Decided::Rejected, None),
            1 => (Decided::Upheld, None),
            _ => (Decided::Upheld, Some(Millionths::new(claim - claim / 2))),
        };
        let decision = disputes::Decision { outcome, amount, counterparty: None, reason: "both say so".into() };
        let was_decided = opened.row.state == State::Decided;
        for by in ["one", "one", "other", "third"] {
            let decided = disputes::decide(conn, by, opened.row.id, &decision);
            let expected = [
                "is withdrawn already",
                "has not answered and may do so",
                "Another decision was decided before",
                "Another dispute of the same was upheld before",
                "It has been reversed since",
            ];
            let Some((done, changed)) = self.seen.step("decide", decided, &expected) else { return };
            let settled = done.proposed.as_ref().and_then(|proposed| proposed.settled.as_ref());
            assert!(!changed || !was_decided && by != "third", "{by} changes nothing: {done:?}");
            let by_two = was_decided || by != "one";
            assert_eq!((done.row.state == State::Decided, settled.is_some()), (by_two, by_two), "{by}: {done:?}");
            let adjusted = settled.map(|settled| settled.adjustment.is_some());
            assert!(!by_two || adjusted == Some(outcome == Decided::Upheld), "{by}: {done:?}");
            if by == "other" && !was_decided {
                let part = if amount.is_some() { " in part" } else { "" };
                self.seen.count(format!("dispute decided: {}{part}", outcome.code()));
            }
        }
    }

    /// Business time goes on: statements are deemed accepted, obligations late.
    fn days_pass(&mut self) {
        let mut conn = self.house.conn();
        clock::advance(&mut conn, TimeDelta::hours(self.chance.amount(400))).expect("it goes on");
        let loaded = hanse::store::catalogue::load(&mut conn).expect("the catalogue");
        while deadlines::answer_late(&mut conn, &loaded).expect("told") {}
    }

    /// What the catalogue may change between windows.
    fn change(&mut self) {
        let changes = [
            "UPDATE partners SET legal_entity = legal_entity || ' 2', tax_code = '' WHERE slug = 'aa'",
            "UPDATE alliance SET netting = CASE netting WHEN 'bilateral' THEN 'multilateral' ELSE 'bilateral' END",
            "UPDATE alliance SET rounding = CASE rounding WHEN 'half_up' THEN 'half_even' ELSE 'half_up' END",
            JOINS,
        ];
        let change = changes[usize::try_from(self.chance.below(4)).expect("small")];
        self.house.conn().batch_execute(change).expect("changed");
    }

    fn pay_some(&mut self, key: &str) {
        let mut conn = self.house.conn();
        let owed = obligations::list(&mut conn, None, None).expect("obligations");
        let count = u64::try_from(owed.len()).expect("few");
        if count == 0 {
            return;
        }
        let row = &owed[usize::try_from(self.chance.below(count)).expect("small")];
        let left = row.amount.minus(row.paid).expect("within range").get();
        let unit = minor_unit(&catalogue::load(&mut conn).expect("loaded").alliance.currency).get();
        let part = if self.chance.below(3) == 0 { left } else { (left / unit / 3).max(1) * unit };
        let amount = Some(Millionths::new(part));
        let paid = pay::Paid {
            obligation: row.id,
            amount,
            on: None,
            reference: key.into(),
            entry: None,
            by: "finance".into(),
        };
        let recorded = pay::pay(&mut conn, &paid).expect("paid");
        assert!(!recorded.repeated && pay::pay(&mut conn, &paid).expect("again").repeated);
        let in_full = recorded.obligation.paid == recorded.obligation.amount;
        self.seen.count(if in_full { "paid in full" } else { "paid in part" });
    }
}

async fn walk(seed: u64, settings: &str) -> Seen {
    let mut walk = Walk::new(seed, settings).await;
    let mut before = Vec::new();
    for _ in 0..4 {
        for _ in 0..40 {
            walk.step().await;
        }
        let window = walk.house.closed();
        let again = walk.house.recompute(&window);
        assert!(matches!(again, Again::Same(_)), "seed {seed}: {again:?}");
        super::verify::holds(&walk.house, &window, &mut before);
        walk.seen.window(&walk.house, &window);
        walk.house.book.audit();
    }
    walk.house.pay_all();
    assert_eq!(walk.house.exposures(), [], "seed {seed}");
    walk.house.book.audit();
    // Who has paid everything stands at nothing.
    let last = walk.house.closed();
    for row in statements::of_window(&mut walk.house.conn(), last.id).expect("read") {
        assert_eq!(row.closing, Millionths::ZERO, "seed {seed}: {}", row.payload);
    }
    walk.seen
}

/// What every run meets, whatever else.
const MET: [&str; 40] = [
    "conversion",
    "undo of this window",
    "undo of an earlier window",
    "reversal of this window",
    "reversal of an earlier window",
    "bonus by the origin",
    "bonus by the target",
    "bonus by the operator",
    "bonus back by the origin",
    "bonus back by the target",
    "bonus back by the operator",
    "fee of the origin",
    "fee of the target",
    "fee back of the origin",
    "fee back of the target",
    "adjustment",
    "adjustment of a dispute",
    "total out",
    "total in",
    "total bonus_by_me",
    "total bonus_by_others",
    "total fee",
    "total fee_back",
    "total reversal",
    "total earlier_reversal",
    "total adjustment",
    "dispute opened",
    "dispute withdrawn",
    "dispute answered: accepted",
    "dispute answered: rejected",
    "dispute decided: upheld",
    "dispute decided: upheld in part",
    "dispute decided: rejected",
    "paid in part",
    "paid in full",
    "undo refused: undo_window_closed",
    "reverse refused: reversal_exceeds",
    "open refused: could be disputed until",
    "decide refused: is withdrawn already",
    "decide refused: has not answered and may do so",
];

#[actix_web::test]
async fn random_windows_add_up_chain_and_come_out_the_same_again() {
    let rounds = if is_long() { 25 } else { 2 };
    let mut seen = Seen::default();
    for round in 0..rounds {
        for (nth, settings) in [
            "SELECT 1",
            "UPDATE alliance SET netting = 'bilateral', rounding = 'half_even'",
            "UPDATE alliance SET currency = 'JPY', fee_tax_basis_points = 600",
        ]
        .iter()
        .enumerate()
        {
            seen.add(walk(round * 10 + u64::try_from(nth).expect("few"), settings).await);
        }
    }
    println!("{seen:#?}");
    assert_eq!(seen.rarer(&MET, 3), [""; 0], "{seen:#?}");
}
