//! A partner that keeps its own accounts joins with its first certificate; a hosted one is active at once.

use crate::catalogue::Manifests;
use crate::support;
use crate::tls::House;
use diesel::connection::SimpleConnection;
use hanse::domain::catalogue::PartnerStatus;
use hanse::domain::holder::Holder;
use hanse::http::server::Limits;
use hanse::service::{lifecycle, proposals};
use hanse::store::catalogue;

#[test]
fn a_remote_partner_joins_with_its_first_certificate() {
    let database = support::database();
    let mut conn = database.connection();
    let manifests = Manifests::lumen("joining");
    let house = House::on(database, "joining", Limits { workers: 1, ..Limits::default() }, |_| {});
    // Its key signs approvals before anything is published: then it has a certificate already.
    house.client("partner", "nest");
    proposals::apply_and_publish(&mut conn, &manifests.plan(), proposals::Mandate).expect("published");
    let status = |conn: &mut diesel::PgConnection, slug: &str| {
        let partner: hanse::domain::ids::Slug = slug.parse().expect("a slug");
        catalogue::load(conn).expect("the catalogue").partners[&partner].status
    };
    assert_eq!(status(&mut conn, "lumen"), PartnerStatus::Active);
    assert_eq!(status(&mut conn, "nest"), PartnerStatus::Active);
    assert_eq!(status(&mut conn, "sprout"), PartnerStatus::Joining);
    let sprout = "sprout".parse().expect("a slug");
    assert!(lifecycle::suspend(&mut conn, &sprout, "too soon").is_err());
    let version = catalogue::version(&mut conn).expect("a version");
    house.client("partner", "sprout");
    assert_eq!(status(&mut conn, "sprout"), PartnerStatus::Active);
    assert_eq!(catalogue::version(&mut conn).expect("a version"), version + 1);
    // Later certificates and publications change nothing of that.
    assert!(house.authority.facts(&Holder::Partner(sprout)).is_ok());
    house.client("partner", "sprout");
    assert_eq!(catalogue::version(&mut conn).expect("a version"), version + 1);
}

#[test]
fn who_has_left_needs_no_manifest_any_more() {
    let database = support::database();
    let mut conn = database.connection();
    let mut plan = Manifests::lumen("left").plan();
    proposals::apply_and_publish(&mut conn, &plan, proposals::Mandate).expect("published");
    let kettle: hanse::domain::ids::Slug = "kettle".parse().expect("a slug");
    plan.partners.remove(&kettle);
    plan.pairs.retain(|(from, to), _| *from != kettle && *to != kettle);
    let refused = proposals::difference(&mut conn, &plan).expect_err("it is a partner still");
    assert!(refused.to_string().contains("partners leave"), "{refused}");
    lifecycle::leave(&mut conn, &kettle, "it closes").expect("leaving");
    assert!(proposals::difference(&mut conn, &plan).is_err());
    conn.batch_execute("UPDATE partners SET status = 'left' WHERE slug = 'kettle'").expect("its notice is over");
    assert_eq!(proposals::difference(&mut conn, &plan).expect("compared"), []);
}
