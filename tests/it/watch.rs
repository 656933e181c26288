//! Certificates near their end: who is told, when, and how often; and what a server shows of everything that ends.

use crate::support::book::Book;
use crate::support::{Scratch, TestDatabase};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::PgConnection;
use hanse::domain::holder::Holder;
use hanse::domain::ids::Slug;
use hanse::service::certificate_watch::Watch;
use hanse::service::{certificates, issuing};
use hanse::signing::pki::{Authority, List};
use hanse::{book, clock};

struct Place {
    database: TestDatabase,
    folder: Scratch,
    authority: Authority,
}

impl Place {
    fn new(name: &str) -> Place {
        let (database, _) = Book::new("").into_parts();
        let folder = Scratch::new(name);
        let authority = Authority::init(folder.path(), "small.example", clock::now()).expect("an authority");
        Place { database, folder, authority }
    }

    fn conn(&self) -> PgConnection {
        self.database.connection()
    }

    fn watch(&self) -> Watch {
        Watch::new(&self.database.url, self.folder.path().to_path_buf())
    }

    fn issue(&self, kind: &str, name: &str, at: DateTime<Utc>) -> DateTime<Utc> {
        let holder = Holder::of(kind, name).expect("a holder");
        let facts = self.authority.issue(&holder, at).expect("issued").facts;
        certificates::register(&mut self.conn(), &facts).expect("registered");
        facts.not_after
    }

    /// The days of which the partner was told.
    fn told(&self, partner: &str) -> Vec<i64> {
        let mut conn = self.conn();
        while book::seal::seal(&mut conn).expect("sealed") > 0 {}
        let partner: Slug = partner.parse().expect("a slug");
        let events = book::seal::read(&mut conn, &partner, 0, 1_000).expect("events");
        let expiring = events.iter().filter(|event| event.kind == "certificate.expiring");
        let days = |body: &str| serde_json::from_str::<serde_json::Value>(body).expect("JSON")["days"].as_i64();
        expiring.map(|event| days(event.body.as_deref().expect("a body")).expect("days")).collect()
    }
}

#[test]
fn a_partner_is_told_once_at_each_step_and_no_more_once_it_has_rotated() {
    let place = Place::new("watch");
    let now = clock::now();
    let ends = place.issue("partner", "aa", now);
    place.issue("operator", "ada", now);
    let before = |days: i64| ends - TimeDelta::days(days);
    // Two servers look, each as often as it likes.
    let mut watches = [place.watch(), place.watch()];
    let mut look = |at: DateTime<Utc>| watches.iter_mut().for_each(|watch| drop(watch.look(at).expect("a look")));
    look(now);
    look(before(30) - TimeDelta::seconds(1));
    assert_eq!(place.told("aa"), Vec::<i64>::new());
    for day in (1..=30).rev() {
        look(before(day));
    }
    assert_eq!(place.told("aa"), [30, 14, 7, 3, 1]);
    look(ends + TimeDelta::hours(1));
    assert_eq!(place.told("aa").len(), 5);

    // Who looks late tells the last step alone; who has a newer one is told nothing of the old one.
    place.issue("partner", "bb", now);
    place.issue("partner", "aa", before(5));
    look(before(2));
    assert_eq!((place.told("bb"), place.told("aa").len()), (vec![3], 5));
    crate::support::book::audit(&place.database);
}

#[test]
fn everything_that_ends_is_shown_by_its_holder() {
    let place = Place::new("watch-shown");
    let now = clock::now();
    place.issue("partner", "aa", now);
    place.authority.issue_outbound(now).expect("issued");
    let shown = place.watch().look(now).expect("a look");
    let mut names: Vec<_> = shown.iter().map(|ends| ends.holder.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["authority", "outbound", "partner/aa", "revocation-list", "server"]);
    let of = |name: &str| shown.iter().find(|ends| ends.holder == name).expect("shown").seconds;
    let days = |seconds: i64| (seconds + 60) / 86_400;
    assert_eq!([of("partner/aa"), of("outbound"), of("revocation-list")].map(days), [90; 3]);
    assert_eq!([of("server"), of("authority")].map(days), [397, 3650]);
    // Our own for calling is renewed by the look, well before its end.
    let later = now + TimeDelta::days(61);
    let shown = place.watch().look(later).expect("a look");
    let outbound = shown.iter().find(|ends| ends.holder == "outbound").expect("shown");
    assert_eq!(days(outbound.seconds), 90);
}

#[test]
fn the_list_is_made_anew_well_before_its_end_where_the_key_is() {
    let place = Place::new("watch-list");
    let now = clock::now();
    let first = List::read(place.folder.path()).expect("a list");
    let list = |at: DateTime<Utc>| place.watch().list(at).expect("a look");
    assert!(!list(now).renewed);
    assert!(!list(first.next_update - issuing::LIST_RENEW - TimeDelta::hours(1)).renewed);
    let late = first.next_update - issuing::LIST_RENEW;
    let key = place.folder.path().join("ca.key");
    std::fs::rename(&key, place.folder.path().join("away")).expect("moved");
    let state = list(late);
    assert_eq!((state.renewed, state.next_update), (false, Some(first.next_update)), "the gauge says how long is left");
    std::fs::rename(place.folder.path().join("away"), &key).expect("back");
    let state = list(late);
    assert!(state.renewed && state.next_update.is_some_and(|ends| ends - late > TimeDelta::days(89)), "{state:?}");
    assert!(!list(late).renewed);
    // Garbage, as half a copy may leave it.
    std::fs::write(place.folder.path().join("ca.crl"), b"-----BEGIN X509 CRL-----\nAAAA").expect("written");
    assert!(list(late).renewed);
}
