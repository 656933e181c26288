//! A bank's list of payments: matched with what is owed, recorded once, whatever is brought again.

use super::support::{House, convert};
use crate::support::book::pair;
use hanse::domain::money::Millionths;
use hanse::domain::settlement::incoming::Outcome;
use hanse::service::settlement::incoming::{Mode, Report, incoming};
use hanse::service::settlement::{Error, pay};
use hanse::store::settlement::obligations;
use std::fmt::Write;

fn brought(house: &House, list: &str, mode: Mode<'_>) -> Report {
    incoming(&mut house.conn(), list.as_bytes(), mode).expect("read")
}

fn outcomes(report: &Report) -> Vec<Outcome> {
    report.rows.iter().map(|row| row.outcome).collect()
}

#[actix_web::test]
async fn payments_are_matched_recorded_and_never_recorded_twice() {
    use Outcome::{Duplicate, Matched, OtherAmount, Over, Partial, Refused, Similar, Unknown};
    let house = House::new("incoming", "").await;
    let (a, _) = pair(&house.server, "1", 1_000).await;
    convert(&house.server, "c1", a, 200).await;
    house.closed();
    convert(&house.server, "c2", a, 400).await;
    let day = house.closed().closed.expect("closed").dates.last_day;
    // aa owes the alliance's account 5.05 and 10.10; what that owes others is none of this.
    let owed: Vec<_> = obligations::list(&mut house.conn(), None, Some("aa")).expect("read");
    let amounts: Vec<String> = owed.iter().map(|row| row.amount.to_string()).collect();
    assert_eq!(amounts, ["5.05", "10.10"]);
    let mut list = "date,amount,payer,reference\n".to_owned();
    let second = owed[1].id;
    for (amount, payer, reference) in [
        ("5.05", "AA LTD", "June".to_owned()),
        ("5.05", "AA LTD", "June".to_owned()),
        ("10.00", "somebody", format!("part of {second}")),
        ("10.00", "aa", format!("all of {second}")),
        ("3.00", "nobody", "gift".to_owned()),
    ] {
        writeln!(list, "{day},{amount},{payer},{reference}").expect("written");
    }
    let wanted = [Matched, Duplicate, Partial, Over, Unknown];
    let dry = brought(&house, &list, Mode::DryRun);
    assert_eq!((outcomes(&dry), dry.applied), (wanted.to_vec(), false));
    assert_eq!(obligations::list(&mut house.conn(), None, Some("aa")).expect("read"), owed, "nothing is recorded");

    let applied = brought(&house, &list, Mode::Apply { by: "fin" });
    assert_eq!(outcomes(&applied), wanted);
    let recorded: Vec<bool> = applied.rows.iter().map(|row| row.recorded.is_some()).collect();
    assert_eq!(recorded, [true, false, true, false, false]);
    let totals: Vec<_> =
        applied.totals.iter().map(|total| (total.outcome, total.count, total.amount.as_str())).collect();
    assert_eq!(
        totals,
        [
            (Matched, 1, "5.05"),
            (Partial, 1, "10.00"),
            (Over, 1, "10.00"),
            (OtherAmount, 0, "0.00"),
            (Similar, 0, "0.00"),
            (Unknown, 1, "3.00"),
            (Duplicate, 1, "5.05"),
            (Refused, 0, "0.00")
        ]
    );
    let left = obligations::list(&mut house.conn(), None, Some("aa")).expect("read");
    assert_eq!(
        left.iter().map(|row| (row.id, row.paid.to_string())).collect::<Vec<_>>(),
        [(second, "10.00".to_owned())]
    );
    house.book.audit();

    // The same list again, with the rest of the second.
    writeln!(list, "{day},0.10,Aa Ltd,rest").expect("written");
    let again = brought(&house, &list, Mode::Apply { by: "fin" });
    assert_eq!(outcomes(&again), [Duplicate, Duplicate, Duplicate, Over, Unknown, Matched]);
    assert_eq!(obligations::list(&mut house.conn(), None, Some("aa")).expect("read"), []);
    house.pay_all();
    assert_eq!(house.exposures(), []);
    house.book.audit();
}

#[actix_web::test]
async fn a_list_with_a_row_that_cannot_be_read_records_nothing() {
    let house = House::new("incoming-refused", "").await;
    let (a, _) = pair(&house.server, "1", 1_000).await;
    convert(&house.server, "c1", a, 200).await;
    house.closed();
    let list = "date,amount,payer,reference\n2026-06-10,5.05,aa,June\n2026-06-10,5.05 CNY,aa,July\n";
    let refused = incoming(&mut house.conn(), list.as_bytes(), Mode::Apply { by: "fin" });
    assert!(matches!(&refused, Err(Error::Refused(why)) if why.starts_with("row 2: ")), "{refused:?}");
    assert_eq!(obligations::list(&mut house.conn(), None, Some("aa")).expect("read").len(), 1);
}

#[actix_web::test]
async fn what_a_person_recorded_is_not_recorded_by_a_list_nor_the_other_way() {
    use Outcome::{Duplicate, Matched, OtherAmount, Partial, Refused};
    let house = House::new("incoming-by-hand", "").await;
    let (a, _) = pair(&house.server, "1", 1_000).await;
    convert(&house.server, "c1", a, 200).await;
    let day = house.closed().closed.expect("closed").dates.last_day;
    let [owed] = obligations::list(&mut house.conn(), None, Some("aa")).expect("read").try_into().expect("one");
    assert_eq!(owed.amount.to_string(), "5.05");
    let by_hand = |amount: &str, reference: &str| {
        let (amount, on) = (Millionths::parse(amount), None);
        let (reference, by) = (reference.to_owned(), "fin".to_owned());
        let paid = pay::Paid { obligation: owed.id, amount, on, reference, entry: None, by };
        pay::pay(&mut house.conn(), &paid).map(|recorded| recorded.repeated)
    };
    assert!(!by_hand("2.05", "T-1").expect("recorded"));
    let named = owed.id.to_string();
    let list = |rows: &[(&str, &str, &str)]| {
        let mut list = "date,amount,payer,reference\n".to_owned();
        for (amount, payer, reference) in rows {
            writeln!(list, "{day},{amount},{payer},{reference}").expect("written");
        }
        brought(&house, &list, Mode::Apply { by: "fin" })
    };
    // Its day is the bank's; another amount is another payment.
    assert_eq!(outcomes(&list(&[("2.05", "AA LTD", "T-1"), ("1.00", "AA LTD", "T-1")])), [Duplicate, OtherAmount]);
    // One reference for several payments, none of them by hand.
    let parts = [("1.00", "x", named.as_str()), ("0.50", "x", &named)];
    assert_eq!(outcomes(&list(&parts)), [Partial, Partial]);
    assert_eq!(outcomes(&list(&parts)), [Duplicate, Duplicate]);
    assert!(by_hand("0.50", &named).expect("the same payment"));
    let other = by_hand("0.60", &named).expect_err("the reference stands for others").to_string();
    assert_eq!(other, format!("the reference {named} was recorded with 1.00"));
    assert_eq!(outcomes(&list(&[("1.50", "AA LTD", "T-2")])), [Matched]);
    assert!(by_hand("1.50", "T-2").expect("the same payment"));

    convert(&house.server, "c2", a, 400).await;
    house.closed();
    let early = brought(&house, "date,amount,payer,reference\n2020-01-01,10.10,aa,\n", Mode::Apply { by: "fin" });
    assert_eq!(outcomes(&early), [Refused]);
    assert!(
        early.rows[0].refused.as_deref().is_some_and(|why| why.starts_with("the value date 2020-01-01 is before "))
    );
    assert_eq!(outcomes(&list(&[("10.10", "aa", "")])), [Matched], "a row without a reference");
    assert_eq!(outcomes(&list(&[("10.10", "aa", "")])), [Duplicate]);
    house.pay_all();
    assert_eq!(house.exposures(), []);
    house.book.audit();
}

#[actix_web::test]
async fn two_lists_at_once_record_a_payment_once() {
    let house = House::new("incoming-at-once", "").await;
    let (a, _) = pair(&house.server, "1", 1_000).await;
    let mut day = None;
    for key in ["c1", "c2", "c3", "c4"] {
        convert(&house.server, key, a, 200).await;
        day = house.closed().closed.map(|closed| closed.dates.last_day);
    }
    let day = day.expect("closed");
    // Two obligations could be what the payment is for: what one list leaves open is not for the other to find.
    let heading = "date,amount,payer,reference\n";
    let rows = [format!("{day},5.05,aa,B-1\n"), format!("{day},5.05,aa,B-0\n{day},5.05,aa,B-1\n")];
    let bring = |row: &String| brought(&house, &format!("{heading}{row}"), Mode::Apply { by: "fin" });
    let all: Vec<Report> = std::thread::scope(|scope| {
        let lists: Vec<_> = rows.iter().map(|row| scope.spawn(move || bring(row))).collect();
        lists.into_iter().map(|list| list.join().expect("brought")).collect()
    });
    let recorded = all.iter().flat_map(|list| &list.rows).filter(|row| row.recorded.is_some()).count();
    assert_eq!(recorded, 2, "{all:?}");
    let left = obligations::list(&mut house.conn(), None, Some("aa")).expect("read");
    assert_eq!(left.len(), 2);
    house.book.audit();
}
