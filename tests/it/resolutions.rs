//! `hanse conversions` as it is typed, on a database with one conversion in doubt.

use crate::cli::{hanse, run};
use crate::support::book::{Book, conversion, credit, link, member, request};
use diesel::connection::SimpleConnection;
use hanse::book::command::{Advance, Command, Outcome};
use hanse::book::{Handle, seal};
use hanse::domain::crossing::{State, Step};
use hanse::domain::expiry::Expiry;
use hanse::domain::ids::ConversionId;
use hanse::service::watch::Watch;
use hanse::store::crossings::{self, Kept};
use serde_json::Value;
use uuid::Uuid;

#[actix_web::test]
async fn a_look_counts_what_is_under_way_and_how_far_the_feed_is_behind() {
    let book = Book::new("UPDATE partners SET hosted = false, endpoint = 'https://bb.example' WHERE slug = 'bb'");
    let server = book.server();
    in_doubt(&book, &server).await;
    let mut watch = Watch::new(&book.database.url);
    let mut conn = book.database.connection();
    conn.batch_execute("UPDATE alliance SET clock_offset_us = clock_offset_us + 60000000").expect("a sandbox");
    let look = watch.look().expect("a look");
    let rows: Vec<_> =
        look.crossings.iter().map(|row| (row.partner.as_str(), row.state, row.crossings, row.in_doubt)).collect();
    assert_eq!(rows, [("bb", "voiding", 1, 1)]);
    assert!((60..120).contains(&look.feed_lag_seconds), "{look:?}");
    seal::seal_now(&mut conn).expect("sealed");
    assert_eq!(watch.look().expect("a look").feed_lag_seconds, 0);
    server.close();
}

/// aa's points are kept here; bb's ledger has answered neither the credit nor the void.
async fn in_doubt(book: &Book, server: &Handle) -> Uuid {
    let (a, b) = (member(server, "aa", "m").await, member(server, "bb", "m").await);
    link(server, a, b).await;
    credit(server, "aa", "c1", a, 600, Expiry::Never).await;
    let answer = server.submit(request("aa", "k1", conversion(a, 100))).await.expect("decided");
    let Outcome::Crossing(row) = answer.outcome else { panic!("{answer:?}") };
    for (of, doubt) in [(State::Crediting, false), (State::Voiding, true)] {
        let cause = Some("no_answer".to_owned());
        let news = Advance { crossing: row.id, of, step: Step::GivenUp, lots: Vec::new(), cause, doubt };
        server.submit(request("aa", "news", Command::Advance(news))).await.expect("decided");
    }
    let document = r#"{"status":500,"body":"{\"oops\":\"\u001b[2J\"}"}"#.to_owned();
    let kept = Kept { crossing_id: row.id, call: "void", by: "bb".to_owned(), same: document.clone(), document };
    crossings::keep(&mut book.database.connection(), &[kept]).expect("kept");
    row.id
}

#[actix_web::test]
async fn what_is_in_doubt_is_listed_shown_and_resolved_by_two_on_the_command_line() {
    let book = Book::new("UPDATE partners SET hosted = false, endpoint = 'https://bb.example' WHERE slug = 'bb'");
    let server = book.server();
    let crossing = in_doubt(&book, &server).await;
    let id = ConversionId(crossing).to_string();
    let typed = |arguments: &[&str]| {
        let all: Vec<&str> = ["conversions"].iter().chain(arguments).copied().collect();
        run(hanse(&all).env("DATABASE_URL", &book.database.url))
    };
    let resolve = |outcome: &str, by: &str| {
        typed(&["resolve", &id, "--outcome", outcome, "--reason", "not on their list", "--as", by, "--json"])
    };

    let (code, listed, told) = typed(&["list", "--in-doubt", "--partner", "bb"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(listed.contains("in doubt 存疑") && listed.contains("no_answer"), "{listed}");
    let (code, _, told) = typed(&["list", "--partner", "zz"]);
    assert_eq!((code, told.contains("no partner zz is published here; there are aa, bb")), (Some(2), true), "{told}");
    let (code, shown, told) = typed(&["show", &id]);
    assert_eq!(code, Some(0), "{told}");
    for said in
        ["voiding, in doubt 存疑, asks bb", "its outcome must be completed or released", "500 {\"oops\":\" [2J\"}"]
    {
        assert!(shown.contains(said), "{said}\n{shown}");
    }

    let (code, _, told) = typed(&["resolve", &id, "--outcome", "perhaps", "--reason", "x", "--as", "ada"]);
    assert!(code == Some(2) && told.contains("it is completed or released"), "{told}");
    let (code, _, told) = resolve("released", "  ");
    assert_eq!((code, &*told), (Some(1), "{\"error\":\"say who it is, in 1 to 64 characters on one line\"}\n"));
    let (code, printed, told) = resolve("released", "ada");
    assert_eq!(code, Some(0), "{told}");
    let json: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!((&json["proposed"], &json["crossing"]["proposal"]["proposed_by"]), (&true.into(), &"ada".into()));
    let (_, printed, _) = resolve("released", "Ada ");
    let json: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(json["proposed"], true, "capitals and spaces make nobody another");
    let (_, shown, _) = typed(&["show", &id]);
    assert!(shown.contains("ada proposes released: not on their list"), "{shown}");

    let (code, printed, told) =
        typed(&["resolve", &id, "--outcome", "released", "--reason", "nor on their statement", "--as", "grace"]);
    assert_eq!((code, printed), (Some(0), format!("{id} is over: released\n")), "{told}");
    let (code, _, told) = resolve("released", "eve");
    assert_eq!((code, &*told), (Some(1), "{\"error\":\"It is released and not in doubt.\"}\n"));
    let (_, shown, _) = typed(&["show", &id, "--json"]);
    let json: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(json["documents"].as_array().map(Vec::len), Some(3), "{json:#}");
    assert_eq!(json["documents"][2]["document"]["agrees_with"], "ada");
    assert_eq!(json["resolution"]["resolved_by"], "grace");
    let (_, listed, _) = typed(&["list", "--in-doubt"]);
    assert_eq!(listed, "nothing is in doubt\n");
    server.close();
    book.audit();
}
