//! Random windows: conversions in every direction under every funder and payer, undone, reversed, adjusted, paid in parts.
//! Whatever happens, sides agree, statements chain, the same comes out again, and all paid is zero.

use super::support::House;
use crate::support::book::{self, Member, credit, link, member, points, slug};
use crate::support::is_long;
use diesel::connection::SimpleConnection;
use hanse::book::Handle;
use hanse::book::command::{Ask, Command, Convert, Direction, Outcome, Reverse, Undo, Want};
use hanse::domain::expiry::Expiry;
use hanse::domain::ids::ConversionId;
use hanse::domain::money::Millionths;
use hanse::domain::settlement::Participant;
use hanse::service::settlement::recompute::Outcome as Again;
use hanse::service::settlement::{adjust, pay};
use hanse::store::settlement::obligations;

/// A third partner, and terms with odd prices, every payer of a fee and every funder of a bonus.
const THIRD: &str = "
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
    made: Vec<(ConversionId, &'static str, &'static str)>,
    step: u64,
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
        Walk { house, chance: Chance(seed), members, made: Vec::new(), step: 0 }
    }

    fn server(&self) -> &Handle {
        &self.house.server
    }

    async fn step(&mut self) {
        self.step += 1;
        let key = format!("k{}", self.step);
        match self.chance.below(20) {
            0..12 => self.convert(&key).await,
            12..14 => self.undo(&key).await,
            14..17 => self.reverse(&key).await,
            17 => self.adjust(),
            _ => self.pay_some(&key),
        }
    }

    async fn convert(&mut self, key: &str) {
        let (from, who) = self.members[usize::try_from(self.chance.below(9)).expect("small")];
        let others: Vec<&str> = ["aa", "bb", "cc"].into_iter().filter(|slug| *slug != from).collect();
        let to = others[usize::try_from(self.chance.below(2)).expect("small")];
        let want = Want::Points(points(self.chance.amount(5_000) + 20));
        let convert = Convert { who: who.who, direction: Direction::To(slug(to)), ask: Ask::Now { want, floor: None } };
        let answer = self.server().submit(book::request(from, key, Command::Convert(convert))).await.expect("decided");
        if let Outcome::Conversion(row) = answer.outcome {
            self.made.push((row.id, from, to));
        }
    }

    fn any(&mut self) -> Option<(ConversionId, &'static str, &'static str)> {
        let count = u64::try_from(self.made.len()).expect("few");
        (count > 0).then(|| self.made[usize::try_from(self.chance.below(count)).expect("small")])
    }

    async fn undo(&mut self, key: &str) {
        let Some((conversion, from, _)) = self.any() else { return };
        let command = Command::Undo(Undo { conversion });
        self.server().submit(book::request(from, key, command)).await.expect("decided");
    }

    async fn reverse(&mut self, key: &str) {
        let Some((conversion, from, to)) = self.any() else { return };
        let credit_points = points(self.chance.amount(200) * 90);
        let command = Command::Reverse(Reverse { conversion, credit_points, reason: "returned".into() });
        let answer = self.server().submit(book::request(from, key, command)).await.expect("decided");
        if let Outcome::Reversal(row) = answer.outcome {
            let confirm = Command::ConfirmReversal(hanse::book::command::ConfirmReversal { reversal: row.id });
            self.server().submit(book::request(to, &format!("{key}-yes"), confirm)).await.expect("decided");
        }
    }

    fn adjust(&mut self) {
        let parties = ["aa", "bb", "cc", "operator"].map(|text| Participant::parse(text).expect("a participant"));
        let from = usize::try_from(self.chance.below(4)).expect("small");
        let to = (from + 1 + usize::try_from(self.chance.below(3)).expect("small")) % 4;
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
            conversion: self.any().map(|made| made.0),
            by: "one".into(),
        };
        let mut conn = self.house.conn();
        let id = adjust::ask(&mut conn, &asked).expect("asked");
        assert!(adjust::settle(&mut conn, id, true, "one").is_err(), "four eyes");
        adjust::settle(&mut conn, id, true, "other").expect("approved");
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
        let part = if self.chance.below(3) == 0 { left } else { (left / 3).max(1) };
        let amount = Some(Millionths::new(part));
        let paid = pay::Paid { obligation: row.id, amount, on: None, reference: key.into(), by: "finance".into() };
        pay::pay(&mut conn, &paid).expect("paid");
        assert!(pay::pay(&mut conn, &paid).expect("again").repeated);
    }
}

async fn walk(seed: u64, settings: &str) {
    let mut walk = Walk::new(seed, settings).await;
    for _ in 0..4 {
        for _ in 0..40 {
            walk.step().await;
        }
        let window = walk.house.closed();
        let again = walk.house.recompute(&window);
        assert!(matches!(again, Again::Same(_)), "seed {seed}: {again:?}");
        walk.house.book.audit();
    }
    walk.house.pay_all();
    assert_eq!(walk.house.exposures(), [], "seed {seed}");
    walk.house.book.audit();
    assert!(walk.made.len() > 20, "seed {seed}: something was converted");
}

#[actix_web::test]
async fn random_windows_add_up_chain_and_come_out_the_same_again() {
    let rounds = if is_long() { 25 } else { 2 };
    for round in 0..rounds {
        for (nth, settings) in [
            "SELECT 1",
            "UPDATE alliance SET netting = 'bilateral', rounding = 'half_even'",
            "UPDATE alliance SET currency = 'JPY', fee_tax_basis_points = 600",
        ]
        .iter()
        .enumerate()
        {
            walk(round * 10 + u64::try_from(nth).expect("few"), settings).await;
        }
    }
}
