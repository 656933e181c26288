//! A small alliance for tests of the book itself: `aa` → `bb` at 2:1 with +10 % paid by `bb`, `bb` → `aa` at 10:9.

use super::TestDatabase;
use arc_swap::ArcSwap;
use chrono::NaiveDate;
use diesel::connection::SimpleConnection;
use hanse::book::command::{
    Answer, Ask, Command, Convert, Credit, CreditKind, Direction, DirectoryHash, Key, LinkSide, OpenLink, Outcome,
    Profile, Reference, Register, Request, Status, TierSource, Undecided, Want,
};
use hanse::book::{Bounds, Handle, audit};
use hanse::domain::expiry::Expiry;
use hanse::domain::ids::{AccountId, LinkId, MemberId, Slug, TokenId};
use hanse::domain::points::Points;
use hanse::signing::digest::{directory_hash, fingerprint};
use hanse::store;
use std::sync::Arc;
use uuid::Uuid;

pub const ALLIANCE: &str = "
INSERT INTO alliance (slug, name_en, name_zh, currency, zone, trust_domain, sandbox_start, catalogue_version, quote_ttl_s, link_cooling_days, bilateral)
VALUES ('small', 'Small', '小', 'CNY', 'Asia/Shanghai', 'small.example', '2026-01-01', 1, 300, 0, false);
INSERT INTO partners (slug, name_en, name_zh, trade, legal_entity, tax_code, status, hosted, programme_code, programme_name_en,
    programme_name_zh, scale, unit_cost, expiry_months, tiers, limit_out_day)
SELECT s, s, s, 'mall', s || ' Ltd', '91' || s, 'active', true, upper(s), s, s, 0, 50000, 12,
    '[{\"code\":\"basic\",\"name_en\":\"Basic\",\"name_zh\":\"普通\",\"never_expires\":false},
      {\"code\":\"top\",\"name_en\":\"Top\",\"name_zh\":\"顶级\",\"never_expires\":true}]', NULL
FROM unnest(ARRAY['aa', 'bb']) s;
INSERT INTO agreements (from_partner, to_partner, version, settlement_price, fee_basis_points, fee_payer, notice_days, undo_s,
    renews_on_arrival, exposure_limit, reversal_needs_confirmation, target_pays_spent, grace_days, dispute_days, valid_from)
VALUES ('aa', 'bb', 1, 50000, 100, 'from', 14, 900, false, NULL, true, false, 30, 10, '2000-01-01'),
       ('bb', 'aa', 1, 20000, 0, 'from', 14, 900, false, NULL, false, false, 30, 10, '2000-01-01');
INSERT INTO rates (from_partner, to_partner, version, tier, num, den, step, minimum, maximum, public, valid_from)
VALUES ('aa', 'bb', 1, '*', 1, 2, 2, 2, NULL, true, '2000-01-01'), ('bb', 'aa', 1, '*', 9, 10, 10, 10, NULL, true, '2000-01-01');
INSERT INTO campaigns (from_partner, to_partner, code, version, name_en, name_zh, tier, bonus_basis_points, funder, stacks, valid_from, valid_to)
VALUES ('aa', 'bb', 'spring', 1, 'Spring', '春', '*', 1000, 'to', false, '2000-01-01', '2100-01-01');
INSERT INTO exposures (key, value, cap) VALUES ('pair:aa:bb', 0, NULL), ('pair:bb:aa', 0, NULL), ('partner:aa', 0, NULL), ('partner:bb', 0, NULL);
";

/// The book of one test: a database with the small alliance, and as many servers as the test starts.
pub struct Book {
    pub database: TestDatabase,
    catalogue: Arc<ArcSwap<hanse::domain::catalogue::Catalogue>>,
}

/// A member of one partner.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    pub who: DirectoryHash,
    pub account: AccountId,
}

pub fn slug(text: &str) -> Slug {
    text.parse().expect("a slug")
}

pub fn points(value: i64) -> Points {
    Points::new(value).expect("in range")
}

pub fn on(day: &str) -> Expiry {
    Expiry::On(day.parse::<NaiveDate>().expect("a date"))
}

impl Book {
    pub fn new(change: &str) -> Book {
        let database = super::database();
        let mut conn = database.connection();
        conn.batch_execute(ALLIANCE).expect("the small alliance");
        if !change.is_empty() {
            conn.batch_execute(change).expect("the test's own change");
        }
        let catalogue = store::catalogue::load(&mut conn).expect("the catalogue");
        Book { database, catalogue: Arc::new(ArcSwap::from_pointee(catalogue)) }
    }

    /// A server's book: its own lanes and its own copy of the catalogue.
    pub fn server(&self) -> Handle {
        self.server_at(&self.database.url)
    }

    /// The same, by another way to the database.
    pub fn server_at(&self, url: &str) -> Handle {
        let catalogue = Arc::new(ArcSwap::new(self.catalogue.load_full()));
        Handle::start(url, catalogue, Bounds::default()).expect("the lanes start")
    }

    /// For a server with a front door.
    pub fn into_parts(self) -> (TestDatabase, Arc<ArcSwap<hanse::domain::catalogue::Catalogue>>) {
        (self.database, self.catalogue)
    }

    /// Every invariant holds.
    pub fn audit(&self) {
        audit(&self.database);
    }
}

/// Every invariant holds.
pub fn audit(database: &TestDatabase) {
    let findings = audit::run(&mut database.connection(), |_| ()).expect("the audit runs");
    let broken: Vec<_> = findings.iter().filter(|finding| finding.violations > 0).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The names of the invariants that do not hold.
pub fn findings(conn: &mut diesel::PgConnection) -> Vec<&'static str> {
    let findings = audit::run(conn, |_| ()).expect("the audit runs");
    findings.into_iter().filter(|finding| finding.violations > 0).map(|finding| finding.name).collect()
}

/// A request of `partner` under `key`, remembered; a reference of the same name.
pub fn request(partner: &str, key: &str, command: Command) -> Request {
    let hash = |kind: &str| DirectoryHash(directory_hash(kind, &[partner.as_bytes(), key.as_bytes()]));
    let keyed = matches!(
        command,
        Command::Convert(_) | Command::Credit(_) | Command::Debit(_) | Command::Undo(_) | Command::Reverse(_)
    );
    Request {
        caller: slug(partner),
        fresh: Uuid::now_v7(),
        request_id: Uuid::now_v7(),
        key: keyed.then(|| Key { hash: hash("key"), fingerprint: fingerprint(1, format!("{command:?}").as_bytes()) }),
        reference: keyed.then(|| Reference { hash: hash("reference"), text: key.to_owned() }),
        command,
    }
}

pub async fn member(book: &Handle, partner: &str, name: &str) -> Member {
    let request = registration(partner, name);
    let who = match &request.command {
        Command::Register(register) => register.who,
        other => panic!("{other:?}"),
    };
    let answer = book.submit(request).await.expect("decided");
    let Outcome::Membership(account) = answer.outcome else { panic!("{answer:?}") };
    Member { who, account }
}

/// Registers a member of this name.
pub fn registration(partner: &str, name: &str) -> Request {
    let who = DirectoryHash(directory_hash("member", &[partner.as_bytes(), name.as_bytes()]));
    let profile = Profile {
        member_ref: name.to_owned(),
        tier: "basic".into(),
        tier_source: TierSource::Earned,
        tier_until: None,
        identity: None,
        birth_month: None,
        member_since: None,
        tags: None,
    };
    let fresh_member = MemberId(Uuid::now_v7());
    let register = Register {
        who,
        fresh_member,
        earned_tier: None,
        profile,
        status: Status::Active,
        reason: None,
        as_of: None,
        forfeit: false,
    };
    request(partner, name, Command::Register(register))
}

pub async fn credit(book: &Handle, partner: &str, key: &str, to: Member, value: i64, expires: Expiry) {
    let credit = Credit {
        who: to.who,
        points: points(value),
        kind: CreditKind::Earn,
        reason: "purchase".into(),
        expires: Some(expires),
        available_on: None,
    };
    let answer = book.submit(request(partner, key, Command::Credit(credit))).await.expect("decided");
    assert!(matches!(answer.outcome, Outcome::Movement(_)), "{answer:?}");
}

pub async fn link(book: &Handle, a: Member, b: Member) {
    let side = |member: Member| LinkSide { account: member.account, token: TokenId(Uuid::new_v4()), pull: false };
    let open = OpenLink { link: LinkId(Uuid::now_v7()), a: side(a), b: side(b) };
    let answer = book.submit(request("aa", "link", Command::OpenLink(open))).await.expect("decided");
    assert!(matches!(answer.outcome, Outcome::Link(_)), "{answer:?}");
}

pub fn conversion(from: Member, value: i64) -> Command {
    let ask = Ask::Now { want: Want::Points(points(value)), floor: None };
    Command::Convert(Convert { who: from.who, direction: Direction::To(slug("bb")), ask })
}

/// A linked pair of members, the one at `aa` with points.
pub async fn pair(book: &Handle, name: &str, value: i64) -> (Member, Member) {
    let (a, b) = (member(book, "aa", name).await, member(book, "bb", name).await);
    link(book, a, b).await;
    if value > 0 {
        credit(book, "aa", &format!("opening-{name}"), a, value, Expiry::Never).await;
    }
    (a, b)
}

/// The refusal's code, or what came instead.
pub fn code(answer: &Result<Answer, Undecided>) -> &'static str {
    match answer {
        Ok(Answer { outcome: Outcome::Refused(refusal), .. }) => refusal.code.text(),
        Ok(_) => "done",
        Err(_) => "undecided",
    }
}
