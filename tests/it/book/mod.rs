//! The book through its own door, on a real database: what is promised of one server, of two, and of bad neighbours.

mod crossing;

use crate::support::book::{Book, code, conversion, credit, link, member, on, pair, points, request};
use diesel::connection::SimpleConnection;
use hanse::book::command::{Outcome, Reversed};
use hanse::book::{Handle, seal};
use hanse::domain::expiry::Expiry;
use std::collections::HashMap;

#[actix_web::test]
async fn a_conversion_moves_exact_multiples_in_lots_of_the_earliest_end() {
    let book = Book::new("UPDATE partners SET limit_out_day = 200 WHERE slug = 'aa'");
    let server = book.server();
    let (a, b) = (member(&server, "aa", "m").await, member(&server, "bb", "m").await);
    credit(&server, "aa", "c1", a, 136, on("2098-08-31")).await;
    credit(&server, "aa", "c2", a, 101, on("2098-06-30")).await;
    assert_eq!(code(&server.submit(request("aa", "early", conversion(a, 137))).await), "member_not_linked");
    link(&server, a, b).await;
    let answer = server.submit(request("aa", "k1", conversion(a, 137))).await.expect("decided");
    let Outcome::Conversion(row) = answer.outcome else { panic!("{answer:?}") };
    assert_eq!((row.debit, row.credit, row.bonuses.as_slice()), (points(136), points(68), [points(6)].as_slice()));
    let amounts: Vec<i64> = row.lots_in.iter().map(|lot| lot.points.get()).collect();
    assert_eq!(amounts, [50, 18, 6]);
    assert_eq!(row.reversed, Reversed::default());
    let refused = server.submit(request("aa", "k2", conversion(a, 101))).await.expect("decided");
    let Outcome::Refused(refusal) = &refused.outcome else { panic!("{refused:?}") };
    assert_eq!(refusal.hint, hanse::book::command::Hint::Left { points: 64 });
    book.audit();
    server.close();
}

#[actix_web::test]
async fn the_same_request_a_hundred_ways_at_once_has_one_effect_and_one_answer() {
    let book = Book::new("");
    let servers = [book.server(), book.server()];
    let (a, _) = pair(&servers[0], "m", 1_000).await;
    let calls = (0..100).map(|i| servers[i % 2].submit(request("aa", "same", conversion(a, 100))));
    let answers = join(calls).await;
    let mut ids = HashMap::new();
    for answer in answers {
        let Ok(Outcome::Conversion(row)) = answer.map(|answer| answer.outcome) else { panic!("every way is answered") };
        *ids.entry(row.id).or_insert(0) += 1;
    }
    assert_eq!(ids.into_values().collect::<Vec<_>>(), [100]);
    book.audit();
    close(&servers);
}

#[actix_web::test]
async fn a_command_the_database_refuses_harms_only_itself() {
    let book = Book::new("");
    let server = book.server();
    let (a, _) = pair(&server, "m", 1_000_000).await;
    for round in 0..100 {
        let requests = (0..20).map(|i| {
            let mut request = request("aa", &format!("{round}-{i}"), conversion(a, 10));
            if i == round % 20 {
                // PostgreSQL has no text with a zero byte: the engine decides, the database refuses.
                request.reference.as_mut().expect("a reference").text = "zero\0byte".into();
            }
            request
        });
        let answers = server.submit_all(requests.collect()).await;
        for (i, answer) in answers.iter().enumerate() {
            let expected = if i == round % 20 { "undecided" } else { "done" };
            assert_eq!(code(answer), expected, "round {round}, item {i}");
        }
    }
    book.audit();
    server.close();
}

#[actix_web::test]
async fn two_servers_use_caps_to_the_last_multiple_and_never_above() {
    // 2 points give 1 × 0.05: the pair takes 30,000 points at most, each member 500 a day.
    let book = Book::new(
        "UPDATE exposures SET cap = 750000000 WHERE key = 'pair:aa:bb'; UPDATE partners SET limit_out_day = 500 WHERE slug = 'aa'",
    );
    let servers = [book.server(), book.server()];
    let mut members = Vec::new();
    for i in 0..100 {
        members.push(pair(&servers[0], &format!("m{i}"), 10_000).await.0);
    }
    let mut done = 0;
    for round in 0..12 {
        let calls = members.iter().enumerate().flat_map(|(i, member)| {
            let servers = &servers;
            (0..2).map(move |n| servers[n].submit(request("aa", &format!("{round}-{i}-{n}"), conversion(*member, 30))))
        });
        for answer in join(calls).await {
            match code(&answer) {
                "done" => done += 1,
                "exposure_exceeded" | "limit_exceeded" => {}
                other => panic!("{other}"),
            }
        }
    }
    assert_eq!(done, 1_000, "30,000 points in conversions of 30");
    let mut conn = book.database.connection();
    conn.batch_execute("DO $$ BEGIN ASSERT (SELECT value = cap FROM exposures WHERE key = 'pair:aa:bb'); END $$")
        .expect("used to the last");
    book.audit();
    close(&servers);
}

#[actix_web::test]
async fn events_are_numbered_densely_for_each_partner() {
    let book = Book::new("");
    let server = book.server();
    let (a, _) = pair(&server, "m", 1_000).await;
    for i in 0..25 {
        assert_eq!(code(&server.submit(request("aa", &format!("k{i}"), conversion(a, 10))).await), "done");
    }
    let mut conn = book.database.connection();
    while seal::seal(&mut conn).expect("sealed") > 0 {}
    for partner in ["aa", "bb"] {
        let mut after = 0;
        loop {
            let page = seal::read(&mut conn, &partner.parse().expect("a slug"), after, 7).expect("read");
            if page.is_empty() {
                break;
            }
            for event in page {
                assert_eq!(event.sequence, after + 1);
                after = event.sequence;
            }
        }
        // Registered, linked, and 25 conversions.
        assert_eq!(after, 27, "{partner}");
    }
    book.audit();
    server.close();
}

async fn join<T>(calls: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut calls: Vec<_> = calls.into_iter().map(Box::pin).collect();
    let mut answers: Vec<Option<T>> = calls.iter().map(|_| None).collect();
    std::future::poll_fn(move |cx| {
        let mut open = false;
        for (call, answer) in calls.iter_mut().zip(&mut answers) {
            if answer.is_none() {
                match call.as_mut().poll(cx) {
                    std::task::Poll::Ready(value) => *answer = Some(value),
                    std::task::Poll::Pending => open = true,
                }
            }
        }
        if open { std::task::Poll::Pending } else { std::task::Poll::Ready(answers.drain(..).flatten().collect()) }
    })
    .await
}

fn close(servers: &[Handle]) {
    for server in servers {
        server.close();
    }
}

#[actix_web::test]
async fn arriving_points_end_at_the_earlier_of_both_rules() {
    let book = Book::new("");
    let server = book.server();
    let (a, b) = (member(&server, "aa", "m").await, member(&server, "bb", "m").await);
    link(&server, a, b).await;
    credit(&server, "aa", "c1", a, 100, on("2098-06-30")).await;
    let answer = server.submit(request("aa", "k1", conversion(a, 100))).await.expect("decided");
    let Outcome::Conversion(row) = answer.outcome else { panic!("{answer:?}") };
    // The origin lot ends in 2098, the target's own rule is 12 months: the earlier counts.
    assert!(row.lots_in.iter().all(|lot| lot.expires < Expiry::Never && lot.expires < on("2098-06-30")));
    server.close();
}
