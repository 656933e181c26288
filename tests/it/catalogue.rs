//! Alliances from their files into the database: applied, approved, published, refused; `api` what partners see,
//! `settings` how the alliance settles.

#[path = "catalogue/api.rs"]
mod api;
#[path = "catalogue/settings.rs"]
mod settings;

use crate::support;
use chrono::{DateTime, Days, SecondsFormat, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};
use hanse::domain::catalogue::{Catalogue, Partner, PartnerStatus};
use hanse::domain::holder::Holder;
use hanse::domain::ids::{ProposalId, Slug};
use hanse::domain::plan::Plan;
use hanse::domain::points::Points;
use hanse::domain::proposal::{State, Subject};
use hanse::partner::manifest;
use hanse::service::proposals::{self, Authority, Error, JWS_TYPE, Mandate, Override};
use hanse::signing::jws::SigningKey;
use hanse::store;
use std::path::{Path, PathBuf};

fn slug(text: &str) -> Slug {
    text.parse().expect("a slug")
}

/// A copy of the demo alliance's manifests to change.
pub struct Manifests {
    _scratch: support::Scratch,
    folder: PathBuf,
}

impl Manifests {
    pub fn lumen(test: &str) -> Manifests {
        let scratch = support::Scratch::new(test);
        let house = Path::new(env!("CARGO_MANIFEST_DIR")).join("partners/lumen");
        for entry in std::fs::read_dir(house).expect("the demo alliance") {
            let path = entry.expect("an entry").path();
            std::fs::copy(&path, scratch.path().join(path.file_name().expect("a name"))).expect("copied");
        }
        Manifests { folder: scratch.path().to_path_buf(), _scratch: scratch }
    }

    pub fn plan(&self) -> Plan {
        manifest::read(&self.folder).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Replaces the first `from` after `mark` in a manifest.
    pub fn edit(&self, file: &str, mark: &str, from: &str, to: &str) {
        let path = self.folder.join(file);
        let text = std::fs::read_to_string(&path).expect("a manifest");
        let (head, tail) = text.split_at(text.find(mark).expect("the mark is there"));
        assert!(tail.contains(from), "{from} is there");
        std::fs::write(&path, format!("{head}{}", tail.replacen(from, to, 1))).expect("written");
    }
}

fn founded(test: &str) -> (support::TestDatabase, PgConnection, Manifests) {
    let database = support::database();
    let mut conn = database.connection();
    let manifests = Manifests::lumen(test);
    let published = proposals::apply_and_publish(&mut conn, &manifests.plan(), Mandate).expect("published");
    assert_eq!((published.version, published.published.len()), (1, 1 + 7 + 42));
    (database, conn, manifests)
}

fn load(conn: &mut PgConnection) -> Catalogue {
    store::catalogue::load(conn).expect("the catalogue")
}

fn now(conn: &mut PgConnection) -> DateTime<Utc> {
    store::catalogue::business_now(conn).expect("business time")
}

/// What 100 points of `tier` become at `at`, as rate and bonus in basis points.
fn gives(catalogue: &Catalogue, from: &str, to: &str, tier: &str, at: DateTime<Utc>) -> (Option<Points>, i64) {
    let pair = catalogue.pair(&slug(from), &slug(to)).expect("a pair");
    let credit = pair.rate(tier, at).and_then(|rate| rate.ratio.credit(Points::new(100).expect("points")));
    (credit, pair.campaigns(tier, at).iter().map(|campaign| campaign.bonus_basis_points).sum())
}

fn count(conn: &mut PgConnection, query: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    sql_query(format!("SELECT count(*) AS n FROM {query}")).get_result::<Count>(conn).expect("counted").n
}

#[test]
fn the_demo_alliance_is_published_in_one_go_and_applying_it_again_changes_nothing() {
    let (_database, mut conn, manifests) = founded("catalogue-founded");
    let catalogue = load(&mut conn);
    let at = now(&mut conn);
    assert_eq!((catalogue.partners.len(), catalogue.pairs.len()), (7, 42));
    assert_eq!(gives(&catalogue, "lumen", "harvest", "ordinary", at), (Points::new(50), 1_000));
    assert_eq!(gives(&catalogue, "lumen", "harvest", "diamond", at), (Points::new(100), 1_000));
    assert_eq!(gives(&catalogue, "harvest", "lumen", "l3", at), (Points::new(90), 0));
    let plan = manifests.plan();
    for (slug, planned) in &plan.partners {
        // Who keeps its own accounts waits for its first certificate.
        let status = if planned.endpoint.is_some() { PartnerStatus::Joining } else { PartnerStatus::Active };
        assert_eq!(catalogue.partners.get(slug), Some(&Partner { status, ..planned.partner.clone() }));
    }
    let remote = plan.partners.values().filter(|planned| planned.endpoint.is_some());
    assert_eq!(remote.map(|planned| planned.partner.slug.as_str()).collect::<Vec<_>>(), ["nest", "sprout"]);
    assert_eq!(catalogue.alliance, plan.alliance);
    assert_eq!(count(&mut conn, "exposures WHERE cap IS NOT NULL"), 42 + 7);
    assert_eq!(proposals::difference(&mut conn, &plan).expect("compared"), []);
    let again = proposals::apply_and_publish(&mut conn, &plan, Mandate).expect("nothing to do");
    assert_eq!((again.version, again.published.len()), (1, 0));
}

#[test]
fn the_travel_alliance_is_published_and_nothing_loops() {
    let database = support::database();
    let mut conn = database.connection();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("partners/travel-2026");
    let plan = manifest::read(&folder).expect("a plan");
    let published = proposals::apply_and_publish(&mut conn, &plan, Mandate).expect("published");
    assert!(published.by_waiting.is_empty());
    let catalogue = load(&mut conn);
    assert_eq!(catalogue.pairs.len(), 113);
    let at = now(&mut conn);
    assert_eq!(gives(&catalogue, "citi-ty", "american", "limited", at).0, Points::new(70));
    assert_eq!(gives(&catalogue, "citi-ty", "american", "premium", at).0, Points::new(100));
}

#[test]
fn a_rise_is_immediate_and_supersedes_while_history_stays() {
    let (_database, mut conn, manifests) = founded("catalogue-rise");
    manifests.edit("lumen.toml", "to = \"kettle\"", "get = 1", "get = 2");
    manifests.edit("lumen.toml", "to = \"kettle\"", "give = 2", "give = 3");
    manifests.edit("lumen.toml", "to = \"kettle\"", "get = 2", "get = 2\nstep = 6");
    let lines = proposals::difference(&mut conn, &manifests.plan()).expect("compared");
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].subject, "lumen → kettle");
    assert_eq!(lines[0].before, "2:1 in steps of 2 from 2, public");
    // Steps of 6 instead of 2 would refuse some debits: a cut, which the next edit takes back.
    let refused = proposals::propose(&mut conn, &manifests.plan()).expect_err("no notice");
    assert!(refused.to_string().contains("moves in steps of 6 instead of 2"), "{refused}");
    manifests.edit("lumen.toml", "to = \"kettle\"", "give = 3\nget = 2\nstep = 6", "give = 1\nget = 1");
    let before = now(&mut conn);
    let published = proposals::apply_and_publish(&mut conn, &manifests.plan(), Mandate).expect("published");
    assert_eq!((published.version, published.published.len()), (2, 1));
    let catalogue = load(&mut conn);
    let at = now(&mut conn);
    assert_eq!(gives(&catalogue, "lumen", "kettle", "ordinary", before).0, Points::new(50));
    assert_eq!(gives(&catalogue, "lumen", "kettle", "ordinary", at).0, Points::new(100));
    for forbidden in [
        "UPDATE rates SET num = 2 WHERE version = 1 AND to_partner = 'kettle'",
        "UPDATE rates SET superseded_from = superseded_from + interval '1 day' WHERE superseded_from IS NOT NULL",
        "DELETE FROM rates WHERE version = 1",
    ] {
        assert!(conn.batch_execute(forbidden).is_err(), "{forbidden}");
    }
}

#[test]
fn both_brands_of_a_direction_are_told_that_it_is_published_anew_and_nobody_else() {
    let (_database, mut conn, manifests) = founded("told-of-rates");
    manifests.edit("lumen.toml", "to = \"kettle\"", "give = 2", "give = 1");
    let published = proposals::apply_and_publish(&mut conn, &manifests.plan(), Mandate).expect("published");
    let changed: Vec<String> = published.published.iter().map(|(_, subject)| subject.to_string()).collect();
    hanse::book::seal::seal_now(&mut conn).expect("sealed");
    let mut told = Vec::new();
    for partner in load(&mut conn).partners.keys() {
        let events = hanse::book::seal::read(&mut conn, partner, 0, 100).expect("a feed");
        let body = |text: Option<String>| -> serde_json::Value {
            serde_json::from_str(&text.expect("written")).expect("JSON")
        };
        told.extend(events.into_iter().map(|event| (partner.to_string(), event.kind, body(event.body))));
    }
    let body = serde_json::json!({ "from": "lumen", "to": "kettle", "catalogue_version": 2 });
    let expected = |partner: &str| (partner.to_owned(), "rate.published", body.clone());
    assert_eq!(told, [expected("kettle"), expected("lumen")], "of {changed:?}");
}

#[test]
fn a_cut_needs_its_notice_and_a_later_day_of_its_own() {
    let (_database, mut conn, manifests) = founded("catalogue-cut");
    let day = |at: DateTime<Utc>, days: u64| (at + Days::new(days)).to_rfc3339_opts(SecondsFormat::Secs, true);
    let at = now(&mut conn);
    let original = std::fs::read_to_string(manifests.folder.join("harvest.toml")).expect("a manifest");
    let lower = |from: &str| {
        let rates = format!(
            "give = 10\nget = 9\nvalid_to = {from}\npublic = true\n[[agreements.rates]]\n\
             give = 10\nget = 8\nstep = 10\nvalid_from = {from}\npublic = true\n#"
        );
        manifests.edit("harvest.toml", "to = \"lumen\"", "give = 10\nget = 9\npublic = true\n", &rates);
    };
    lower(&day(at, 13));
    let refused = proposals::propose(&mut conn, &manifests.plan()).expect_err("too soon");
    assert!(matches!(&refused, Error::Notice { days: 14, .. }), "{refused}");
    assert!(refused.to_string().starts_with("harvest → lumen: tier l1 gets 5:4 instead of 10:9"), "{refused}");
    let file = std::fs::read_to_string(manifests.folder.join("harvest.toml")).expect("a manifest");
    let later = file.replace(&day(at, 13), &day(at, 15));
    std::fs::write(manifests.folder.join("harvest.toml"), later).expect("written");
    let plan = manifests.plan();
    let proposed = proposals::propose(&mut conn, &plan).expect("in time");
    assert_eq!(proposed.iter().filter(|proposed| proposed.new).count(), 1);
    assert!(!proposals::propose(&mut conn, &plan).expect("again")[0].new, "an equal proposal stands");
    proposals::publish(&mut conn, Authority::Mandate(Mandate), None).expect("published");
    let catalogue = load(&mut conn);
    assert_eq!(gives(&catalogue, "harvest", "lumen", "l1", at + Days::new(14)).0, Points::new(90));
    assert_eq!(gives(&catalogue, "harvest", "lumen", "l1", at + Days::new(16)).0, Points::new(80));
    // To take the announcement back is a change, and is told as one.
    std::fs::write(manifests.folder.join("harvest.toml"), &original).expect("written");
    let lines = proposals::difference(&mut conn, &manifests.plan()).expect("compared");
    let whats: Vec<_> = lines.iter().map(|line| (line.what.as_str(), line.after.as_str())).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(whats[0].0.starts_with("rate, any tier") && whats[0].1.ends_with(", other dates"), "{whats:?}");
    assert!(whats[1].0.starts_with("announced rate, any tier from ") && whats[1].1 == "taken over", "{whats:?}");
}

#[test]
fn a_change_of_a_sandbox_is_published_and_its_clock_goes_on() {
    let (_database, mut conn, manifests) = founded("catalogue-sandbox");
    conn.batch_execute("UPDATE alliance SET clock_offset_us = 15::bigint * 86400 * 1000000").expect("advanced");
    manifests.edit("alliance.toml", "quote_ttl", "300", "200");
    proposals::apply_and_publish(&mut conn, &manifests.plan(), Mandate).expect("published");
    assert_eq!(load(&mut conn).alliance.quote_ttl_s, 200);
    assert_eq!(count(&mut conn, "alliance WHERE clock_offset_us = 15::bigint * 86400 * 1000000"), 1);
}

#[test]
fn a_lower_limit_waits_for_its_notice() {
    let (_database, mut conn, manifests) = founded("catalogue-limit");
    manifests.edit("lumen.toml", "[member_limits]", "out_day = 3200", "out_day = 100");
    proposals::propose(&mut conn, &manifests.plan()).expect("announced");
    let refused = proposals::publish(&mut conn, Authority::Mandate(Mandate), None).expect_err("too soon");
    assert!(matches!(&refused, Error::Wait { days: 14, .. }), "{refused}");
    conn.batch_execute("UPDATE alliance SET clock_offset_us = 15::bigint * 86400 * 1000000").expect("advanced");
    proposals::publish(&mut conn, Authority::Mandate(Mandate), None).expect("published");
    assert_eq!(load(&mut conn).partners[&slug("lumen")].limits.out_day, Points::new(100));
}

#[test]
fn the_database_itself_refuses_overlaps_and_inexact_steps() {
    let (_database, mut conn, _manifests) = founded("catalogue-overlap");
    let insert = |tier: &str, den: i64, step: i64, from: &str| {
        format!(
            "INSERT INTO rates (from_partner, to_partner, version, tier, num, den, step, minimum, public, valid_from) \
             VALUES ('lumen', 'harvest', 99, '{tier}', 1, {den}, {step}, {step}, true, '{from}')"
        )
    };
    let told = |conn: &mut PgConnection, sql: &str| conn.batch_execute(sql).expect_err("refused").to_string();
    assert!(told(&mut conn, &insert("*", 2, 2, "2030-01-01")).contains("rates_no_overlap"));
    assert!(told(&mut conn, &insert("gold", 2, 3, "2030-01-01")).contains("rates_exact"));
    conn.batch_execute(&insert("gold", 2, 4, "2030-01-01")).expect("another tier");
}

/// A campaign for the mall's top tier alone, two weeks long, that opens loops through Velvet.
fn planted(manifests: &Manifests) {
    manifests.edit(
        "lumen.toml",
        "to = \"velvet\"",
        "give = 5\nget = 1\npublic = true\n",
        "give = 5\nget = 1\npublic = true\n\
         [[agreements.campaigns]]\ncode = \"glow\"\nname = { en = \"Glow\", zh = \"光彩\" }\ntier = \"diamond\"\n\
         bonus_percent = \"60\"\nfunder = \"to\"\nvalid_from = 2030-03-01\nvalid_to = 2030-03-15\n",
    );
}

#[test]
fn a_loop_refuses_to_publish_and_is_named_until_two_operators_sign() {
    let (_database, mut conn, manifests) = founded("catalogue-loop");
    planted(&manifests);
    proposals::propose(&mut conn, &manifests.plan()).expect("proposed");
    let mandate = Authority::Mandate(Mandate);
    let refused = proposals::publish(&mut conn, mandate, None).expect_err("a loop");
    let Error::Loops(loops) = &refused else { panic!("{refused}") };
    let told = refused.to_string();
    assert!(told.contains("lumen → velvet →") && told.contains("from 2030-02-28T16:00:00Z"), "{told}");
    assert!(loops.iter().all(|found| found.brands.contains(&slug("velvet"))));
    assert_eq!(load(&mut conn).version, 1);

    let force = Override { reason: "A launch both brands pay for.".into() };
    let id = open_pair(&mut conn, "lumen", "velvet");
    let unsigned = proposals::publish(&mut conn, mandate, Some(&force)).expect_err("nobody signed");
    assert!(matches!(unsigned, Error::OverrideNotSigned(_)), "{unsigned}");
    for (round, name) in ["ada", "grace"].into_iter().enumerate() {
        let holder = Holder::of("operator", name).expect("an operator");
        let key = register(&mut conn, &holder);
        let signed = sign(&mut conn, &key, id);
        proposals::approve(&mut conn, &holder, id, &signed).expect("approved");
        // The same key never counts twice.
        proposals::approve(&mut conn, &holder, id, &signed).expect("again");
        let outcome = proposals::publish(&mut conn, mandate, Some(&force));
        assert_eq!(outcome.is_ok(), round == 1, "{outcome:?}");
    }
    assert_eq!(load(&mut conn).version, 2);
    // What two operators let through does not stand in the way of what comes later.
    manifests.edit("lumen.toml", "legal_entity", "Lumen Commercial", "Lumen City Commercial");
    proposals::apply_and_publish(&mut conn, &manifests.plan(), Mandate).expect("published");
}

fn open_pair(conn: &mut PgConnection, from: &str, to: &str) -> ProposalId {
    let open = store::proposals::open(conn).expect("proposals");
    let subject = Subject::Pair(slug(from), slug(to));
    open.iter().find(|proposal| proposal.subject == subject).expect("open").id
}

fn register(conn: &mut PgConnection, holder: &Holder) -> SigningKey {
    let pkcs8 = SigningKey::generate().expect("a key");
    let key = SigningKey::from_pkcs8(&pkcs8).expect("a key");
    sql_query("INSERT INTO signing_keys (kid, holder_kind, holder_name, jwk) VALUES ($1, $2, $3, $4::jsonb)")
        .bind::<Text, _>(key.kid())
        .bind::<Text, _>(holder.kind())
        .bind::<Text, _>(holder.name())
        .bind::<Text, _>(key.public().to_jwk().to_string())
        .execute(conn)
        .expect("registered");
    key
}

fn sign(conn: &mut PgConnection, key: &SigningKey, id: ProposalId) -> String {
    let proposal = store::proposals::find(conn, id).expect("read").expect("there");
    key.sign(JWS_TYPE, proposal.change.as_bytes())
}

#[test]
fn what_both_brands_signed_is_published_and_nothing_else() {
    let (_database, mut conn, manifests) = founded("catalogue-approvals");
    manifests.edit("lumen.toml", "to = \"kettle\"", "give = 2\nget = 1", "give = 1\nget = 1");
    manifests.edit("nest.toml", "to = \"kettle\"", "give = 5\nget = 2", "give = 5\nget = 3");
    proposals::propose(&mut conn, &manifests.plan()).expect("proposed");
    let id = open_pair(&mut conn, "lumen", "kettle");
    let [lumen, kettle, nest] = ["lumen", "kettle", "nest"].map(|name| Holder::Partner(slug(name)));
    let keys = [&lumen, &kettle, &nest].map(|holder| register(&mut conn, holder));
    let [by_lumen, by_kettle, by_nest] = [&keys[0], &keys[1], &keys[2]].map(|key| sign(&mut conn, key, id));

    assert!(matches!(proposals::approve(&mut conn, &nest, id, &by_nest), Err(Error::NotFound)));
    assert!(matches!(proposals::approve(&mut conn, &lumen, id, &by_kettle), Err(Error::Signature(_))));
    let other = open_pair(&mut conn, "nest", "kettle");
    assert!(matches!(proposals::approve(&mut conn, &kettle, other, &by_kettle), Err(Error::Signature(_))));

    let half = proposals::approve(&mut conn, &lumen, id, &by_lumen).expect("one side");
    assert_eq!(half.state, State::Proposed);
    let none = proposals::publish(&mut conn, Authority::Approvals, None).expect("nothing ready");
    assert_eq!((none.published.len(), none.waiting.len(), none.version), (0, 2, 1));
    let whole = proposals::approve(&mut conn, &kettle, id, &by_kettle).expect("the other side");
    assert_eq!((whole.state, whole.approvals.len()), (State::Approved, 2));
    let published = proposals::publish(&mut conn, Authority::Approvals, None).expect("published");
    assert_eq!((published.published.len(), published.version), (1, 2));
    let waiting: Vec<_> = published.waiting.iter().map(|(_, subject, _)| subject.to_string()).collect();
    assert_eq!(waiting, ["nest → kettle"]);
    let late = proposals::approve(&mut conn, &lumen, id, &by_lumen).expect("a repeat");
    assert_eq!(late.state, State::Published);
}

#[test]
fn what_is_published_cannot_vanish_and_an_alliance_keeps_its_ground() {
    let (_database, mut conn, manifests) = founded("catalogue-vanish");
    let refused =
        |conn: &mut PgConnection| proposals::propose(conn, &manifests.plan()).expect_err("refused").to_string();
    manifests.edit("harvest.toml", "to = \"lumen\"", "[[agreements.rates]]\ngive = 10\nget = 9\npublic = true\n", "");
    assert!(refused(&mut conn).contains("harvest → lumen: rate version 1 for any tier is published"));
    manifests.edit("alliance.toml", "currency", "CNY", "USD");
    assert!(refused(&mut conn).contains("alliance.currency is fixed"));
}

#[test]
fn without_a_stated_mandate_the_operator_publishes_nothing_alone() {
    let database = support::database();
    let mut conn = database.connection();
    let manifests = Manifests::lumen("catalogue-mandate");
    manifests.edit("alliance.toml", "mandate", "mandate", "# mandate");
    let refused = proposals::apply_and_publish(&mut conn, &manifests.plan(), Mandate).expect_err("no mandate");
    assert!(matches!(refused, Error::NoMandate), "{refused}");
    assert_eq!(count(&mut conn, "proposals"), 0);
}

#[test]
fn a_mandate_and_an_endpoint_are_told_only_where_they_change() {
    let (_database, mut conn, manifests) = founded("catalogue-told");
    let told = |conn: &mut PgConnection| -> Vec<(String, String)> {
        let lines = proposals::difference(conn, &manifests.plan()).expect("compared");
        lines.into_iter().map(|line| (line.what, line.after)).collect()
    };
    manifests.edit("alliance.toml", "quote_ttl", "300", "200");
    assert_eq!(told(&mut conn), [("quotes bind".to_owned(), "200 s".to_owned())]);
    manifests.edit("alliance.toml", "quote_ttl", "200", "300");
    manifests.edit("alliance.toml", "mandate", "mandate", "# mandate");
    assert_eq!(told(&mut conn), [("mandate".to_owned(), String::new())]);
    manifests.edit("alliance.toml", "# mandate", "# mandate", "mandate");
    manifests.edit("nest.toml", "trade", "home", "garden");
    assert_eq!(told(&mut conn), [("trade".to_owned(), "garden".to_owned())]);
    manifests.edit("nest.toml", "endpoint", "127.0.0.1:9502", "nest.test/");
    assert_eq!(told(&mut conn)[1], ("endpoint".to_owned(), "https://nest.test/".to_owned()));
}
