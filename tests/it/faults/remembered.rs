//! What a lane remembers and what it looks up later: with another server beside it, nobody is told anything else for it.

use crate::support::book::{Book, code, conversion, credit, link, member, on, pair, points, request};
use hanse::book::Handle;
use hanse::book::command::{Command, Credit, CreditKind, EndLink, Erase, Hint, Outcome, Request};
use hanse::store::memberships;

async fn answer(server: &Handle, request: Request) -> &'static str {
    code(&server.submit(request).await)
}

#[actix_web::test]
async fn a_taken_reference_is_said_before_any_other_refusal() {
    let book = Book::new("");
    let (server, other) = (book.server(), book.server());
    let (a, _) = pair(&server, "m", 1_000).await;
    assert_eq!(answer(&server, request("aa", "first", conversion(a, 100))).await, "done");
    // Under another key, by a server that has not met it: once for more than the account has, once for what it could do.
    for (key, value) in [("too-much", 5_000), ("enough", 10)] {
        let again = Request {
            reference: request("aa", "first", conversion(a, value)).reference,
            ..request("aa", key, conversion(a, value))
        };
        let told = other.submit(again.clone()).await.expect("decided").outcome;
        let Outcome::Refused(refusal) = &told else { panic!("{told:?}") };
        assert_eq!(refusal.code.text(), "duplicate_reference");
        assert!(matches!(&refusal.hint, Hint::First { id } if id.starts_with("cnv_")), "{:?}", refusal.hint);
        // And for ever under its own key.
        let replayed = server.submit(again).await.expect("decided");
        assert!(replayed.replayed && matches!(replayed.outcome, Outcome::Refused(same) if same == *refusal));
    }
    // Beside others in one batch it harms nobody.
    let duplicate = Request {
        reference: request("aa", "first", conversion(a, 2)).reference,
        ..request("aa", "among", conversion(a, 2))
    };
    let mut batch: Vec<Request> = (0..20).map(|i| request("aa", &format!("b{i}"), conversion(a, 2))).collect();
    batch.insert(7, duplicate);
    let codes: Vec<_> = other.submit_all(batch).await.iter().map(code).collect();
    assert_eq!(codes.iter().filter(|code| **code == "done").count(), 20, "{codes:?}");
    assert_eq!(codes[7], "duplicate_reference");
    book.audit();
    server.close();
    other.close();
}

#[actix_web::test]
async fn a_reference_that_was_erased_and_given_again_leads_to_the_new_account() {
    let book = Book::new("");
    let (server, other) = (book.server(), book.server());
    let first = member(&server, "aa", "m").await;
    credit(&server, "aa", "c1", first, 10, on("2098-12-31")).await;
    assert_eq!(answer(&other, request("aa", "e1", Command::Erase(Erase { who: first.who }))).await, "done");
    let gone = Command::Credit(Credit {
        who: first.who,
        points: points(5),
        kind: CreditKind::Earn,
        reason: "purchase".into(),
        expires: Some(on("2098-12-31")),
        available_on: None,
    });
    assert_eq!(
        answer(&server, request("aa", "c2", gone)).await,
        "not_found",
        "though this server remembers where it led"
    );
    let second = member(&other, "aa", "m").await;
    assert_ne!(second.account, first.account);
    credit(&server, "aa", "c3", second, 20, on("2098-12-31")).await;
    let entries = memberships::entries(&mut book.database.connection(), second.account, None, 10).expect("read");
    assert_eq!(entries.iter().map(|entry| entry.delta).collect::<Vec<_>>(), [20]);
    book.audit();
    server.close();
    other.close();
}

#[actix_web::test]
async fn a_link_made_anew_at_another_server_is_followed() {
    let book = Book::new("");
    let (server, other) = (book.server(), book.server());
    let (a, b) = (member(&server, "aa", "m").await, member(&server, "bb", "m").await);
    link(&server, a, b).await;
    let opened = memberships::links_of(&mut book.database.connection(), a.account, 1).expect("read")[0];
    credit(&server, "aa", "c", a, 100, on("2098-12-31")).await;
    assert_eq!(answer(&server, request("aa", "k1", conversion(a, 2))).await, "done");
    // The other server ties the member to another membership; this one remembers the first.
    let end = EndLink { link: opened, a: a.account, b: b.account };
    assert_eq!(answer(&other, request("aa", "end", Command::EndLink(end))).await, "done");
    assert_eq!(answer(&server, request("aa", "k2", conversion(a, 2))).await, "member_not_linked");
    let c = member(&other, "bb", "n").await;
    link(&other, a, c).await;
    assert_eq!(answer(&server, request("aa", "k3", conversion(a, 2))).await, "done");
    let arrived = memberships::entries(&mut book.database.connection(), c.account, None, 10).expect("read");
    assert!(!arrived.is_empty(), "at the membership it is linked to now");
    book.audit();
    server.close();
    other.close();
}

#[actix_web::test]
async fn what_another_server_wrote_decides_whatever_this_one_remembers() {
    let book = Book::new("");
    let (server, other) = (book.server(), book.server());
    let (a, _) = pair(&server, "m", 100).await;
    // More rounds than a server stays careful after it was wrong once.
    for round in 0..70 {
        let key = |name: &str| format!("{name}-{round}");
        assert_eq!(
            answer(&server, request("aa", &key("own"), conversion(a, 100))).await,
            "done",
            "it remembers 0 left"
        );
        let refused = server.submit(request("aa", &key("none"), conversion(a, 2))).await.expect("decided").outcome;
        assert!(matches!(&refused, Outcome::Refused(refusal) if refusal.code.text() == "insufficient_points"));
        credit(&other, "aa", &key("other"), a, 60, on("2098-12-31")).await;
        // Refused for what there is now, and not for what it remembers.
        let refused = server.submit(request("aa", &key("much"), conversion(a, 80))).await.expect("decided").outcome;
        let Outcome::Refused(refusal) = &refused else { panic!("{refused:?}") };
        assert_eq!((refusal.code.text(), &refusal.hint), ("insufficient_points", &Hint::Left { points: 60 }));
        credit(&other, "aa", &key("more"), a, 40, on("2098-12-31")).await;
        if round % 3 == 0 {
            // Let it trust again.
            let (b, _) = pair(&server, &format!("n{round}"), 200).await;
            for i in 0..70 {
                assert_eq!(answer(&server, request("aa", &key(&i.to_string()), conversion(b, 2))).await, "done");
            }
        }
    }
    book.audit();
    server.close();
    other.close();
}
