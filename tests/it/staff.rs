//! Staff on a real database: signing in and every way of not getting in, sessions and their end, who manages whom, and a log
//! that nobody changes unseen.

mod enrolment;

use crate::cli::hanse;
use crate::support::Scratch;
use crate::support::book::{Book, slug};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};
use hanse::book::audit;
use hanse::clock;
use hanse::domain::holder::Holder;
use hanse::domain::staff::{Login, Password, Permission, Role, Secret};
use hanse::service::staff::log::{Actor, Line};
use hanse::service::staff::{
    Act, Attempt, Confirmed, Enrolled, Error, Invitation, Invited, New, Page, Session, Signed, Staffing, people,
};
use hanse::signing::sealing::SealingKey;
use hanse::signing::totp;
use hanse::store;
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PASSWORD: &str = "salt herring and amber";

/// The small alliance with a server's staffing.
struct House {
    book: Book,
    scratch: Scratch,
    staffing: Staffing,
}

/// Somebody who can sign in, with what they have for it.
struct Person {
    login: Login,
    secret: Vec<u8>,
}

fn login(text: &str) -> Login {
    text.parse().expect("a login")
}

fn password(text: &str, login: &Login) -> Password {
    Password::choose(text.to_owned(), login).expect("a password")
}

/// RFC 4648 §6, of the secret in a link.
fn secret(uri: &str) -> Vec<u8> {
    let text = uri.split("secret=").nth(1).and_then(|rest| rest.split('&').next()).expect("a secret");
    let value = |digit: u8| if digit.is_ascii_uppercase() { digit - b'A' } else { digit - b'2' + 26 };
    let bits: Vec<u8> = text.bytes().flat_map(|digit| (0..5).rev().map(move |bit| (value(digit) >> bit) & 1)).collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit)).collect()
}

impl House {
    fn new(name: &str) -> House {
        let (book, scratch) = (Book::new(""), Scratch::new(name));
        let staffing = server(&book, &scratch);
        House { book, scratch, staffing }
    }

    fn conn(&self) -> PgConnection {
        self.book.database.connection()
    }

    fn sql(&self, sql: &str) {
        self.conn().batch_execute(sql).unwrap_or_else(|cause| panic!("{sql}: {cause}"));
    }

    fn add(&self, name: &str, partner: Option<&str>, role: Role) -> Person {
        let login = login(name);
        let password = password(PASSWORD, &login);
        let new = New { login: login.clone(), partner: partner.map(slug), role, password };
        let sealing = SealingKey::open(self.scratch.path()).expect("the key");
        let Enrolled { uri, .. } =
            people::add(&mut self.conn(), &sealing, &Actor::COMMAND_LINE, &new).expect("somebody new");
        Person { login, secret: secret(uri.expose()) }
    }

    /// Signs in whatever codes were used before.
    async fn sign_in(&self, person: &Person) -> Session {
        self.sql(&format!("UPDATE staff SET last_step = 0 WHERE login = '{}'", person.login));
        self.staffing.sign_in(attempt(person, PASSWORD)).await.expect("signed in")
    }

    async fn find(&self, session: &Session) -> Option<Signed> {
        self.staffing.session(&session.token).await.expect("asked")
    }

    /// The whole log, oldest first, as `action subject why`.
    fn log(&self) -> Vec<String> {
        let mut lines: Vec<Line> = store::staff::log::list(&mut self.conn(), None, None, 1_000).expect("the log");
        lines.reverse();
        let why = |line: &Line| line.detail.get("why").map(|why| format!(" {why}")).unwrap_or_default();
        lines.iter().map(|line| format!("{} {}{}", line.action, line.subject, why(line))).collect()
    }

    fn number(&self, sql: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Number {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let number: Number = sql_query(format!("SELECT ({sql})::bigint AS n")).get_result(&mut self.conn()).expect(sql);
        number.n
    }

    /// What the audit says of the log.
    fn broken(&self) -> Vec<String> {
        let findings = audit::run(&mut self.conn(), |_| ()).expect("the audit runs");
        let log = findings.into_iter().find(|finding| finding.name == "staff log hangs together");
        log.expect("the log's invariant").sample
    }
}

fn server(book: &Book, scratch: &Scratch) -> Staffing {
    let database = store::connect(&book.database.url).expect("a pool");
    let sealing = SealingKey::open(scratch.path()).expect("the key");
    Staffing::new(database, Arc::new(sealing))
}

/// The right code, with this password.
fn attempt(person: &Person, password: &str) -> Attempt {
    let code = totp::code(&person.secret, totp::step(clock::now().timestamp()));
    typed(person.login.as_str(), password, &code)
}

fn typed(login: &str, password: &str, code: &str) -> Attempt {
    let [login, password, totp] = [login, password, code].map(|text| Secret::from(text.to_owned()));
    Attempt { login, password, totp }
}

/// A code that is none of those accepted now.
fn wrong_code(person: &Person) -> String {
    let now = totp::step(clock::now().timestamp());
    let good: Vec<String> = (-2..=2).map(|away| totp::code(&person.secret, now + away)).collect();
    let wrong = (0..10).map(|n| format!("{n:06}")).find(|code| !good.contains(code));
    wrong.expect("five are good at most")
}

#[actix_web::test]
async fn a_session_begins_with_password_and_code_and_ends_when_it_is_signed_out() {
    let house = House::new("staff-session");
    let (ada, finance) = (house.add("ada", None, Role::Admin), house.add("fin@aa.test", Some("aa"), Role::Finance));
    let session = house.sign_in(&finance).await;
    let signed = house.find(&session).await.expect("signed in");
    assert_eq!((signed.login.as_str(), signed.role), ("fin@aa.test", Role::Finance));
    assert_eq!(signed.holder, Holder::Partner(slug("aa")));
    assert!(signed.csrf.matches(session.signed.csrf.expose()) && !signed.csrf.matches(session.token.expose()));
    assert!(signed.may(Permission::SignStatements) && !signed.may(Permission::ManageStaff));
    let left = (signed.ends_at - clock::now()).num_minutes();
    assert!((715..=720).contains(&left), "twelve hours, not {left} minutes");

    let operator = house.sign_in(&ada).await;
    assert_eq!(operator.signed.holder, Holder::Operator("ada".to_owned()));
    assert!(operator.signed.may(Permission::ResolveInDoubt) && operator.signed.partner().is_none());

    for no_token in ["", "x", &"a".repeat(43), &session.token.expose()[1..]] {
        assert!(house.staffing.session(&Secret::from(no_token.to_owned())).await.expect("asked").is_none());
    }
    house.staffing.sign_out(&session.token).await.expect("signed out");
    house.staffing.sign_out(&session.token).await.expect("and again");
    assert!(house.find(&session).await.is_none());
    assert!(house.find(&operator).await.is_some());

    let again = [house.sign_in(&finance).await, house.sign_in(&finance).await];
    assert_eq!(house.staffing.sign_out_everywhere(&again[0].signed).await.expect("ended"), 2);
    for session in &again {
        assert!(house.find(session).await.is_none());
    }
    let wanted = [
        "staff.added ada",
        "staff.added fin@aa.test",
        "staff.signed_in fin@aa.test",
        "staff.signed_in ada",
        "staff.signed_out fin@aa.test",
        "staff.signed_in fin@aa.test",
        "staff.signed_in fin@aa.test",
        "staff.signed_out_everywhere fin@aa.test",
    ];
    assert_eq!(house.log(), wanted);
    house.book.audit();
}

#[actix_web::test]
async fn whatever_is_wrong_the_answer_is_the_same_and_the_log_alone_says_why() {
    let house = House::new("staff-refused");
    let [ada, bob] = ["ada", "bob"].map(|name| house.add(name, None, Role::Viewer));
    house.sign_in(&ada).await;
    // Whatever the clock does during this test, the code of now was used.
    house.sql("UPDATE staff SET last_step = last_step + 3 WHERE login = 'ada'");
    house.sql("UPDATE staff SET locked_until = clock_timestamp() + interval '1 minute' WHERE login = 'bob'");
    let mistyped = "My secret typed as a login";
    let attempts = [
        (typed("nobody", PASSWORD, "123456"), " unknown"),
        (typed(mistyped, PASSWORD, "123456"), " unknown"),
        (typed("", "", ""), " unknown"),
        (attempt(&ada, "salt herring and ambeR"), "ada password"),
        (attempt(&ada, &"long".repeat(1_000)), "ada password"),
        (typed("ada", PASSWORD, &wrong_code(&ada)), "ada code"),
        (typed("ada", PASSWORD, ""), "ada code"),
        (attempt(&ada, PASSWORD), "ada used"),
        (attempt(&bob, PASSWORD), "bob locked"),
    ];
    let before = house.log().len();
    let mut told = Vec::new();
    for (attempt, why) in attempts {
        let since = Instant::now();
        let refused = house.staffing.sign_in(attempt).await.expect_err(why);
        assert!(matches!(refused, Error::Refused), "{why}: {refused:?}");
        assert_eq!(refused.to_string(), "login, password or code is wrong");
        assert!(since.elapsed() >= Duration::from_millis(400), "{why}: not before its time");
        told.push(format!("staff.sign_in_refused {why}"));
        // Only what is wrong with each counts here, not that there are many.
        house.sql("UPDATE staff SET failures = 0");
    }
    assert_eq!(house.log()[before..], told);
    let kept = house.number("SELECT count(*) FROM staff_log l WHERE l::text ~* 'typed as|nobody|herring'");
    assert_eq!(kept, 0, "what was typed is not kept");
    house.book.audit();
}

#[actix_web::test]
async fn who_errs_five_times_is_locked_out_for_a_while_and_then_for_longer() {
    let house = House::new("staff-lock");
    let ada = house.add("ada", None, Role::Viewer);
    let before = house.log().len();
    // All at once, on two servers: no more are looked at than one after the other.
    let other = server(&house.book, &house.scratch);
    let tries = (0..8).map(|nth| {
        let staffing = if nth % 2 == 0 { house.staffing.clone() } else { other.clone() };
        let attempt = attempt(&ada, "salt herring and ambeR");
        actix_web::rt::spawn(async move { staffing.sign_in(attempt).await })
    });
    for task in tries.collect::<Vec<_>>() {
        assert!(matches!(task.await.expect("no panic"), Err(Error::Refused)));
    }
    let mut log = house.log().split_off(before);
    log.sort();
    let lines = |why: &str, n: usize| vec![format!("staff.sign_in_refused ada {why}"); n];
    assert_eq!(log, [lines("locked", 3), lines("password", 5)].concat());
    let minutes = || {
        let left = "SELECT round(extract(epoch FROM locked_until - clock_timestamp()) / 60) FROM staff WHERE locked_until IS NOT NULL";
        house.number(left)
    };
    assert_eq!(minutes(), 1);
    let refused = house.staffing.sign_in(attempt(&ada, PASSWORD)).await;
    assert!(matches!(refused, Err(Error::Refused)), "locked, though all is right");

    house.sql("UPDATE staff SET locked_until = clock_timestamp() - interval '1 second'");
    let refused = house.staffing.sign_in(attempt(&ada, "salt herring and ambeR")).await;
    assert!(matches!(refused, Err(Error::Refused)));
    assert_eq!(minutes(), 2);

    house.sql("UPDATE staff SET locked_until = clock_timestamp() - interval '1 second'");
    house.sign_in(&ada).await;
    assert_eq!(house.number("SELECT failures FROM staff WHERE locked_until IS NULL"), 0, "forgotten");
}

#[actix_web::test]
async fn a_code_used_twice_at_once_gives_one_session() {
    let house = House::new("staff-code");
    let ada = house.add("ada", None, Role::Viewer);
    let servers = [house.staffing.clone(), server(&house.book, &house.scratch)];
    for _ in 0..3 {
        house.sql("UPDATE staff SET last_step = 0, failures = 0; DELETE FROM staff_sessions");
        let attempt = attempt(&ada, PASSWORD);
        let tasks: Vec<_> = (0..4)
            .map(|nth| {
                let (staffing, attempt) = (servers[nth % 2].clone(), attempt.clone());
                actix_web::rt::spawn(async move { staffing.sign_in(attempt).await })
            })
            .collect();
        let mut in_all = 0;
        for task in tasks {
            in_all += usize::from(task.await.expect("no panic").is_ok());
        }
        assert_eq!((in_all, house.number("SELECT count(*) FROM staff_sessions")), (1, 1));
    }
    // An older code than the last one used is used, too.
    let before = totp::code(&ada.secret, totp::step(clock::now().timestamp()) - 1);
    let refused = house.staffing.sign_in(typed("ada", PASSWORD, &before)).await;
    assert!(matches!(refused, Err(Error::Refused)));
}

#[actix_web::test]
async fn a_session_idles_out_after_half_an_hour_and_ends_after_twelve_whatever_it_does() {
    let house = House::new("staff-idle");
    let ada = house.add("ada", None, Role::Viewer);
    let session = house.sign_in(&ada).await;
    let seen = |ago: &str| {
        house.sql(&format!("UPDATE staff_sessions SET last_seen_at = clock_timestamp() - interval '{ago}'"))
    };
    let idle = "SELECT extract(epoch FROM clock_timestamp() - last_seen_at) FROM staff_sessions";
    seen("30 seconds");
    assert!(house.find(&session).await.is_some());
    assert!(house.number(idle) >= 30, "not written at every page");
    seen("29 minutes");
    assert!(house.find(&session).await.is_some());
    assert!(house.number(idle) < 5, "seen");
    seen("30 minutes 1 second");
    assert!(house.find(&session).await.is_none());
    assert!(house.find(&session).await.is_none(), "and does not come back");

    let session = house.sign_in(&ada).await;
    house.sql(
        "UPDATE staff_sessions SET created_at = created_at - interval '13 hours', ends_at = clock_timestamp() - interval '1 second'",
    );
    assert!(house.find(&session).await.is_none());
    house.sign_in(&ada).await;
    assert_eq!(house.number("SELECT count(*) FROM staff_sessions"), 1, "those that are over are forgotten");

    for _ in 0..11 {
        house.sign_in(&ada).await;
    }
    assert_eq!(house.number("SELECT count(*) FROM staff_sessions"), 10, "bounded");
    // A sandbox's business time may be years away: sessions know nothing of it.
    let session = house.sign_in(&ada).await;
    house.sql("UPDATE alliance SET clock_offset_us = clock_offset_us + 31536000000000");
    assert!(house.find(&session).await.is_some());
}

/// Sets up a login by its address.
async fn enrolled(house: &House, invited: Invited, chosen: &str) -> (Person, Session) {
    let text = |text: &str| Secret::from(text.to_owned());
    let chosen = house.staffing.choose(invited.code, text(chosen)).await.expect("chosen");
    let person = Person { login: invited.login, secret: secret(chosen.uri.expose()) };
    let code = totp::code(&person.secret, totp::step(clock::now().timestamp()));
    match house.staffing.confirm(chosen.next, text(&code)).await.expect("in time") {
        Confirmed::Session(session) => (person, session),
        Confirmed::Wrong(_) => panic!("the right code"),
    }
}

/// Does nothing but to be logged.
async fn act(staffing: &Staffing, signed: &Signed, act: Act) {
    staffing.acting(signed, move |_| Ok::<_, Error>(((), Some(act)))).await.expect("recorded");
}

#[actix_web::test]
async fn who_is_changed_or_removed_is_signed_out_at_once() {
    let house = House::new("staff-changes");
    let (ada, till) = (house.add("ada", None, Role::Admin), house.add("till", Some("aa"), Role::Clerk));
    let admin = house.sign_in(&ada).await.signed;

    let session = house.sign_in(&till).await;
    house.staffing.change_role(&admin, till.login.clone(), Role::Finance).await.expect("changed");
    assert!(house.find(&session).await.is_none());
    assert_eq!(house.sign_in(&till).await.signed.role, Role::Finance);

    let session = house.sign_in(&till).await;
    house.sql(
        "UPDATE staff SET locked_until = clock_timestamp() + interval '1 hour', failures = 9 WHERE login = 'till'",
    );
    let invited = house.staffing.reset(&admin, till.login.clone()).await.expect("reset");
    assert!(house.find(&session).await.is_none());
    assert!(matches!(house.staffing.sign_in(attempt(&till, PASSWORD)).await, Err(Error::Refused)));
    let (till, session) = enrolled(&house, invited, "an altogether other one").await;
    assert!(house.find(&session).await.is_some());
    house.sql("UPDATE staff SET last_step = 0");
    let session = house.staffing.sign_in(attempt(&till, "an altogether other one")).await.expect("signed in");

    house.staffing.remove(&admin, till.login.clone()).await.expect("removed");
    assert!(house.find(&session).await.is_none());
    assert!(matches!(house.staffing.sign_in(attempt(&till, "an altogether other one")).await, Err(Error::Refused)));
    assert!(matches!(house.staffing.remove(&admin, till.login).await, Err(Error::NotFound)));
    house.book.audit();
}

#[actix_web::test]
async fn a_brands_admin_manages_and_reads_of_its_own_alone() {
    let house = House::new("staff-brands");
    let operator = house.add("ada", None, Role::Admin);
    let [aa, bb] = ["aa", "bb"].map(|brand| house.add(&format!("boss.{brand}"), Some(brand), Role::Admin));
    let viewer = house.add("viewer.aa", Some("aa"), Role::Viewer);
    let [operator, aa, bb, viewer] = [
        house.sign_in(&operator).await,
        house.sign_in(&aa).await,
        house.sign_in(&bb).await,
        house.sign_in(&viewer).await,
    ]
    .map(|session| session.signed);
    let staffing = &house.staffing;
    let names =
        |people: Vec<hanse::service::staff::Person>| people.iter().map(|one| one.login.to_string()).collect::<Vec<_>>();
    assert_eq!(names(staffing.list(&operator).await.expect("all")), ["ada", "boss.aa", "viewer.aa", "boss.bb"]);
    assert_eq!(names(staffing.list(&bb).await.expect("its own")), ["boss.bb"]);
    assert!(matches!(staffing.list(&viewer).await, Err(Error::Forbidden)));

    let new =
        |name: &str, partner: Option<&str>, role| Invitation { login: login(name), partner: partner.map(slug), role };
    staffing.invite(&bb, new("till.bb", Some("bb"), Role::Clerk)).await.expect("added");
    assert!(matches!(staffing.invite(&bb, new("till.bb", Some("bb"), Role::Clerk)).await, Err(Error::Taken)));
    for elsewhere in [Some("aa"), None] {
        let added = staffing.invite(&bb, new("spy", elsewhere, Role::Viewer)).await;
        assert!(matches!(added, Err(Error::Forbidden)), "{elsewhere:?}");
    }
    assert!(matches!(staffing.invite(&operator, new("x.y", Some("nobody"), Role::Viewer)).await, Err(Error::NotFound)));
    for unfit in [new("at@desk", None, Role::Viewer), new("desk", None, Role::Clerk)] {
        assert!(matches!(staffing.invite(&operator, unfit).await, Err(Error::Unfit(_))));
    }
    let theirs = login("viewer.aa");
    assert!(matches!(staffing.remove(&bb, theirs.clone()).await, Err(Error::NotFound)));
    assert!(matches!(staffing.change_role(&bb, theirs.clone(), Role::Admin).await, Err(Error::NotFound)));
    assert!(matches!(staffing.reset(&bb, theirs.clone()).await, Err(Error::NotFound)));
    assert!(matches!(staffing.end_sessions(&bb, theirs.clone()).await, Err(Error::NotFound)));
    assert!(matches!(staffing.reset(&bb, login("boss.bb")).await, Err(Error::Unfit(_))));
    assert!(matches!(staffing.remove(&bb, login("boss.bb")).await, Err(Error::Unfit(_))));
    assert!(matches!(staffing.change_role(&viewer, login("boss.aa"), Role::Viewer).await, Err(Error::Forbidden)));

    act(staffing, &aa, Act::new("statement.signed", "stm_1").with("window", 7)).await;
    staffing.change_role(&operator, theirs, Role::Finance).await.expect("changed");
    let page = |before, limit| Page { before, limit };
    let own = staffing.log(&aa, page(None, 2)).await.expect("its own");
    let told = own.iter().map(|line| (line.action.as_str(), line.login.as_deref())).collect::<Vec<_>>();
    assert_eq!(told, [("staff.role_changed", Some("ada")), ("statement.signed", Some("boss.aa"))]);
    assert_eq!(own[1].detail["window"], "7");
    let rest = staffing.log(&aa, page(Some(own[1].seq), 100)).await.expect("the rest");
    assert!(rest.iter().all(|line| line.partner == Some(slug("aa")) && line.seq < own[1].seq) && rest.len() == 4);
    let all = staffing.log(&operator, page(None, 200)).await.expect("all");
    assert_eq!(all.len(), house.log().len());
    assert!(matches!(staffing.log(&viewer, page(None, 1)).await, Err(Error::Forbidden)));
}

#[actix_web::test]
async fn a_suspended_brands_staff_works_on_and_one_that_has_left_looks_on_when_its_books_are_closed() {
    let house = House::new("staff-left");
    let finance = house.add("fin.aa", Some("aa"), Role::Finance);
    let session = house.sign_in(&finance).await;
    house.sql("UPDATE partners SET status = 'suspended' WHERE slug = 'aa'");
    let signed = house.find(&session).await.expect("signed in");
    assert!(!signed.is_read_only() && signed.may(Permission::SignStatements));
    assert!(!house.sign_in(&finance).await.signed.is_read_only());
    house.sql("UPDATE partners SET status = 'left', leaves_at = clock_timestamp() WHERE slug = 'aa'");
    assert!(house.find(&session).await.expect("signed in").may(Permission::SignStatements), "its last one");
    house.sql("UPDATE partners SET closed_at = clock_timestamp() WHERE slug = 'aa'");
    for signed in [house.find(&session).await.expect("signed in"), house.sign_in(&finance).await.signed] {
        assert!(
            signed.is_read_only() && signed.may(Permission::SeeSettlement) && !signed.may(Permission::SignStatements)
        );
    }
}

#[actix_web::test]
async fn the_log_is_dense_whoever_writes_and_what_is_changed_in_it_is_found() {
    let house = House::new("staff-log");
    let ada = house.add("ada", None, Role::Admin);
    let signed = house.sign_in(&ada).await.signed;
    let servers = [house.staffing.clone(), server(&house.book, &house.scratch)];
    let tasks = (0..30).map(|nth| {
        let (staffing, signed) = (servers[nth % 2].clone(), signed.clone());
        let act = Act::new("rate.approved", format!("汇率 {nth}")).with("b", "\"二\"").with("a", "").with("C", nth);
        actix_web::rt::spawn(async move { self::act(&staffing, &signed, act).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
    assert_eq!(house.number("SELECT max(seq) FROM staff_log"), 32);
    house.book.audit();

    for refused in [
        "UPDATE staff_log SET subject = 'x' WHERE seq = 7",
        "DELETE FROM staff_log WHERE seq = 7",
        "TRUNCATE staff_log",
        "INSERT INTO staff_log SELECT 33, at, partner, staff_id, login, action, subject, '{\"n\": 1}', prev_hash, hash FROM staff_log WHERE seq = 7",
        "INSERT INTO staff_log SELECT * FROM staff_log WHERE seq = 7",
    ] {
        assert!(house.conn().batch_execute(refused).is_err(), "{refused}");
    }
    house.book.audit();

    // Whoever owns the database may do it nonetheless, but not unseen. Each is taken back.
    let cases = [
        ("UPDATE staff_log SET subject = 'another' WHERE seq = 7", "seq 7"),
        ("UPDATE staff_log SET detail = detail || '{\"C\": \"99\"}' WHERE seq = 8", "seq 8"),
        ("UPDATE staff_log SET login = NULL WHERE seq = 9", "seq 9"),
        ("UPDATE staff_log SET at = at + interval '1 microsecond' WHERE seq = 10", "seq 10"),
        ("UPDATE staff_log SET subject = 'x', hash = sha256('made up') WHERE seq = 11", "seq 11,seq 12"),
        ("DELETE FROM staff_log WHERE seq = 12", "seq 13"),
        ("UPDATE staff_log SET prev_hash = sha256('another beginning') WHERE seq = 1", "seq 1"),
    ];
    house.sql("CREATE TABLE kept AS SELECT * FROM staff_log; ALTER TABLE staff_log DISABLE TRIGGER ALL");
    for (tamper, wanted) in cases {
        house.sql(tamper);
        assert_eq!(house.broken().join(","), wanted, "{tamper}");
        house.sql("DELETE FROM staff_log; INSERT INTO staff_log SELECT * FROM kept");
    }
    house.sql("ALTER TABLE staff_log ENABLE TRIGGER ALL; DROP TABLE kept");
    house.book.audit();
}

#[actix_web::test]
async fn nothing_secret_is_in_what_is_printed_or_stored() {
    let house = House::new("staff-secrets");
    let ada = house.add("ada", None, Role::Admin);
    let attempt = attempt(&ada, PASSWORD);
    assert_eq!(format!("{attempt:?}"), "Attempt { login: Secret(…), password: Secret(…), totp: Secret(…) }");
    let session = house.staffing.sign_in(attempt).await.expect("signed in");
    let login = login("new.one");
    let new = New { password: password(PASSWORD, &login), login: login.clone(), partner: None, role: Role::Viewer };
    let shown = format!("{session:?}{:?}{new:?}", session.signed);
    let sealing = SealingKey::open(house.scratch.path()).expect("the key");
    let enrolled = people::add(&mut house.conn(), &sealing, &Actor::COMMAND_LINE, &new).expect("added");
    let row = house.conn().transaction(|conn| store::staff::lock(conn, &ada.login)).expect("read").expect("there");
    let shown = format!("{shown}{enrolled:?}{row:?}");
    let (token, csrf) = (session.token.expose(), session.signed.csrf.expose());
    for secret in [PASSWORD, token, csrf, "otpauth", "secret=", "argon2id", &row.password] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    #[derive(QueryableByName)]
    struct All {
        #[diesel(sql_type = Text)]
        all: String,
    }
    let stored: Vec<All> = sql_query(
        "SELECT t::text AS all FROM staff t UNION ALL SELECT t::text FROM staff_sessions t UNION ALL SELECT t::text FROM staff_log t",
    )
    .load(&mut house.conn())
    .expect("read");
    let hex: String = ada.secret.iter().map(|byte| format!("{byte:02x}")).collect();
    for secret in [PASSWORD, token, &hex] {
        assert!(!stored.iter().any(|row| row.all.contains(secret)), "{secret} is stored");
    }
}

/// The program with this on its standard input.
fn run(house: &House, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let data = house.scratch.path().to_str().expect("a plain path");
    let mut command = hanse(&["staff"]);
    command.args(arguments).args(["--data-dir", data]).env("DATABASE_URL", &house.book.database.url);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    // One that asks nothing may be over before it has read.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[actix_web::test]
async fn staff_is_set_up_on_the_command_line() {
    let mut house = House::new("staff-cli");
    let add = ["--json", "add", "till.aa", "--partner", "aa", "--role", "clerk", "--password-stdin"];
    let (code, told, errors) = run(&house, &add, &format!("{PASSWORD}\n"));
    assert_eq!(code, Some(0), "{errors}");
    assert!(!errors.contains("secret=") && !errors.contains(PASSWORD), "{errors}");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let uri = told["otpauth_uri"].as_str().expect("a link");
    assert!(uri.starts_with("otpauth://totp/Hanse%20Small:till.aa?secret="), "{uri}");

    // A server with the same folder of keys.
    let sealing = SealingKey::open(&house.scratch.path().join("keys")).expect("the key");
    house.staffing = Staffing::new(store::connect(&house.book.database.url).expect("a pool"), Arc::new(sealing));
    let till = Person { login: login("till.aa"), secret: secret(uri) };
    let session = house.sign_in(&till).await;

    assert_eq!(run(&house, &add, &format!("{PASSWORD}\n")).0, Some(1), "taken");
    let weak = ["add", "x.y", "--operator", "--role", "viewer", "--password-stdin"];
    let (code, _, errors) = run(&house, &weak, "short\n");
    assert_eq!((code, &*errors), (Some(2), "hanse: a password has at least 12 characters\n"));
    assert_eq!(run(&house, &["add", "x.y", "--operator", "--role", "viewer"], "").0, Some(2), "no terminal");
    assert_eq!(run(&house, &["add", "x.y", "--role", "viewer", "--password-stdin"], "").0, Some(2), "whose");
    assert_eq!(
        run(&house, &["add", "X", "--operator", "--role", "viewer", "--password-stdin"], "").0,
        Some(2),
        "no login"
    );

    let (code, listed, _) = run(&house, &["--json", "list", "--partner", "aa"], "");
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(
        (code, &listed["staff"][0]["role"], &listed["staff"][0]["sessions"]),
        (Some(0), &"clerk".into(), &1.into())
    );
    let (_, listed, _) = run(&house, &["list"], "");
    assert!(listed.contains("till.aa") && !listed.contains("argon2"), "{listed}");

    assert_eq!(run(&house, &["role", "till.aa", "viewer"], "").0, Some(0));
    assert!(house.find(&session).await.is_none());
    let (code, told, _) = run(&house, &["reset", "till.aa", "--password-stdin"], "an altogether other one\r\n");
    assert!(code == Some(0) && told.contains("otpauth://totp/"), "{told}");
    let till = Person { login: till.login, secret: secret(told.trim()) };
    house.staffing.sign_in(attempt(&till, "an altogether other one")).await.expect("signed in");
    let (code, told, _) = run(&house, &["--json", "remove", "till.aa"], "");
    assert_eq!((code, told.trim()), (Some(0), "{\"login\":\"till.aa\",\"removed\":true}"));
    assert_eq!(run(&house, &["remove", "till.aa"], "").0, Some(1));
    let acts: Vec<String> = house.log().into_iter().filter(|line| !line.starts_with("staff.signed_in")).collect();
    assert_eq!(
        acts,
        ["staff.added till.aa", "staff.role_changed till.aa", "staff.reset till.aa", "staff.removed till.aa"]
    );
    house.book.audit();
}
