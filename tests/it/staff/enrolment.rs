//! Setting up one's own login: by one of those who come at once, within its time, and what the log and four eyes make of it.

use super::{House, PASSWORD, Person, attempt, enrolled, login, password, secret, server, wrong_code};
use hanse::clock;
use hanse::domain::staff::{Permission, Role, Secret};
use hanse::service::staff::log::Actor;
use hanse::service::staff::{Confirmed, Error, Invitation, Page, people};
use hanse::signing::sealing::SealingKey;
use hanse::signing::totp;

#[actix_web::test]
async fn an_address_is_used_by_one_of_many_and_ends() {
    let house = House::new("staff-enrol");
    let ada = house.add("ada", None, Role::Admin);
    let admin = house.sign_in(&ada).await.signed;
    let new = |name: &str| Invitation { login: login(name), partner: None, role: Role::Viewer };
    let text = |text: &str| Secret::from(text.to_owned());
    let invited = house.staffing.invite(&admin, new("bob")).await.expect("invited");
    let left = (invited.ends_at - clock::now()).num_minutes();
    assert!((1430..=1440).contains(&left), "a day, not {left} minutes");
    assert!(!format!("{invited:?}").contains(invited.code.expose()));
    // Looked at as often as one likes, and used by one of those who come at once.
    for _ in 0..3 {
        assert_eq!(house.staffing.invited(invited.code.clone()).await.expect("there"), invited.login);
    }
    let servers = [house.staffing.clone(), server(&house.book, &house.scratch)];
    let tasks = (0..4).map(|nth| {
        let (staffing, code) = (servers[nth % 2].clone(), invited.code.clone());
        actix_web::rt::spawn(async move { staffing.choose(code, Secret::from(PASSWORD.to_owned())).await })
    });
    let mut used = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        match task.await.expect("no panic") {
            Ok(chosen) => used.push(chosen),
            Err(error) => assert!(matches!(error, Error::NotFound), "{error:?}"),
        }
    }
    assert_eq!(used.len(), 1);
    assert!(matches!(house.staffing.invited(invited.code.clone()).await, Err(Error::NotFound)));
    // Until a right code was typed nobody is in, and five wrong ones end it.
    let bob = Person { login: invited.login.clone(), secret: secret(used[0].uri.expose()) };
    assert!(matches!(house.staffing.sign_in(attempt(&bob, PASSWORD)).await, Err(Error::Refused)));
    for _ in 0..5 {
        let again = house.staffing.confirm(used[0].next.clone(), text(&wrong_code(&bob))).await.expect("in time");
        let Confirmed::Wrong(shown) = again else { panic!("a wrong code") };
        assert_eq!(shown.uri, used[0].uri);
    }
    let code = totp::code(&bob.secret, totp::step(clock::now().timestamp()));
    assert!(matches!(house.staffing.confirm(used[0].next.clone(), text(&code)).await, Err(Error::NotFound)));
    // Another address takes the place of the one before, and none is good after its time.
    let first = house.staffing.reset(&admin, login("bob")).await.expect("again");
    let second = house.staffing.reset(&admin, login("bob")).await.expect("and again");
    assert!(matches!(house.staffing.invited(first.code).await, Err(Error::NotFound)));
    house.sql("UPDATE staff_enrolments SET ends_at = clock_timestamp() - interval '1 second'");
    assert!(matches!(house.staffing.choose(second.code, text(PASSWORD)).await, Err(Error::NotFound)));
    // The command line sets up whom a page has invited, and the address is good no more.
    let third = house.staffing.reset(&admin, login("bob")).await.expect("once more");
    let sealing = SealingKey::open(house.scratch.path()).expect("the key");
    let (known, by_hand) = (login("bob"), password(PASSWORD, &login("bob")));
    people::reset(&mut house.conn(), &sealing, &Actor::COMMAND_LINE, &known, &by_hand).expect("reset");
    assert!(matches!(house.staffing.invited(third.code).await, Err(Error::NotFound)));
    house.book.audit();
}

#[actix_web::test]
async fn the_log_says_who_has_added_whom_and_from_when_their_word_counts() {
    let house = House::new("staff-enrol-log");
    let ada = house.add("ada", None, Role::Admin);
    let admin = house.sign_in(&ada).await.signed;
    let new = Invitation { login: login("bob"), partner: None, role: Role::Admin };
    let invited = house.staffing.invite(&admin, new).await.expect("invited");
    let (bob, session) = enrolled(&house, invited, PASSWORD).await;
    assert!(session.signed.is_new && !session.signed.may_be_one_of_two(Permission::ResolveInDoubt));
    assert!(session.signed.may(Permission::ResolveInDoubt) && admin.may_be_one_of_two(Permission::ResolveInDoubt));
    let lines = house.staffing.log(&admin, Page { before: None, limit: 200 }).await.expect("the log");
    let line = lines.iter().find(|line| line.action == "staff.enrolled").expect("the line");
    assert_eq!((line.login.as_deref(), line.subject.as_str(), &*line.detail["added_by"]), (Some("bob"), "bob", "ada"));
    assert!(line.detail.contains_key("one_of_two_from"));
    // The code of the enrolment has been used, and the days pass.
    assert!(matches!(house.staffing.sign_in(attempt(&bob, PASSWORD)).await, Err(Error::Refused)));
    let away = |days: &str| house.sql(&format!("UPDATE staff SET trusted_from = trusted_from - interval '{days}'"));
    away("6 days 23 hours");
    assert!(house.find(&session).await.expect("signed in").is_new);
    away("1 hour");
    assert!(!house.find(&session).await.expect("signed in").is_new);
    // Reset on a page, somebody is new again; on the command line not.
    let invited = house.staffing.reset(&admin, login("bob")).await.expect("reset");
    let (_, session) = enrolled(&house, invited, PASSWORD).await;
    assert!(session.signed.is_new);
    let sealing = SealingKey::open(house.scratch.path()).expect("the key");
    let by_hand = password(PASSWORD, &bob.login);
    let by_hand = people::reset(&mut house.conn(), &sealing, &Actor::COMMAND_LINE, &bob.login, &by_hand);
    let bob = Person { login: bob.login, secret: secret(by_hand.expect("reset").uri.expose()) };
    assert!(!house.sign_in(&bob).await.signed.is_new);
    house.book.audit();
}
