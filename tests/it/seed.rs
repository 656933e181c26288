//! The demo alliance's own figures, from its files to the till: what points become, what benefits cost and take off a bill,
//! and whose they are.

use crate::api::{Caller, Expect, Served};
use crate::support;
use crate::tls::Answer;
use arc_swap::ArcSwap;
use hanse::cli::demo::benefits::{self, Benefits};
use hanse::partner::manifest;
use hanse::service::proposals::{self, Mandate};
use hanse::store;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The demo alliance as it is published from its manifests, with every benefit of its file put and approved.
struct Alliance {
    served: Served,
    brands: BTreeMap<String, Caller>,
    /// The ids of benefits by `giver/code`.
    ids: BTreeMap<String, String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("partners/lumen")
}

fn offered() -> Benefits {
    benefits::read(&folder()).unwrap_or_else(|error| panic!("{error}"))
}

impl Alliance {
    fn new(name: &str) -> Alliance {
        let database = support::database();
        let mut conn = database.connection();
        let plan = manifest::read(&folder()).unwrap_or_else(|error| panic!("{error}"));
        proposals::apply_and_publish(&mut conn, &plan, Mandate).expect("published");
        let load = |conn: &mut diesel::PgConnection| store::catalogue::load(conn).expect("the catalogue");
        let catalogue = Arc::new(ArcSwap::from_pointee(load(&mut conn)));
        let served = Served::start(&format!("seed-{name}"), database, Arc::clone(&catalogue));
        // Who keeps its own ledger is active from its first certificate on.
        let brands = plan.partners.keys().map(|slug| (slug.to_string(), served.caller(slug.as_str()))).collect();
        catalogue.store(Arc::new(load(&mut conn)));
        let mut alliance = Alliance { served, brands, ids: BTreeMap::new() };
        alliance.put(&offered());
        alliance
    }

    /// As the demo does.
    fn put(&mut self, file: &Benefits) {
        for (giver, brands) in &file.tier_maps {
            for (brand, tiers) in brands {
                self.brand(giver).put(&format!("/v1/tier-maps/{brand}"), &json!({ "tiers": tiers })).status(200);
            }
        }
        let ops = self.served.operator_named("ops");
        for (giver, codes) in &file.benefits {
            for (code, document) in codes {
                let document = serde_json::to_value(document).expect("JSON");
                let put = self.brand(giver).put(&format!("/v1/benefits/{code}"), &document).status(200);
                let id = text(&put, "benefit_id");
                for approval in put["approvals"].as_array().expect("a list") {
                    let payer = approval["payer"].as_str().expect("a payer");
                    let payer = if payer == "operator" { &ops } else { self.brand(payer) };
                    let yes = json!({ "version": put["version"] });
                    payer.post(&format!("/v1/benefits/{id}/approvals"), "", &yes).status(200);
                }
                self.ids.insert(format!("{giver}/{code}"), id);
            }
        }
    }

    fn brand(&self, slug: &str) -> &Caller {
        self.brands.get(slug).unwrap_or_else(|| panic!("no brand {slug}"))
    }

    fn member(&self, brand: &str, member: &str, tier: &str) {
        let body = json!({ "tier": tier, "status": "active" });
        self.brand(brand).put(&format!("/v1/memberships/{member}"), &body).status(200);
    }

    fn earn(&self, member: &str, points: i64) {
        let body = json!({ "points": points, "reason": "purchase", "external_reference": format!("earned-{member}") });
        let path = format!("/v1/memberships/{member}/credits");
        self.brand("lumen").post(&path, &format!("earned-{member}"), &body).status(201);
    }

    fn claim(&self, brand: &str, benefit: &str, member: &str, key: &str) -> Answer {
        let path = format!("/v1/benefits/{}/claims", self.ids[benefit]);
        self.brand(brand).post(&path, key, &json!({ "member_ref": member }))
    }

    /// The voucher's code, and the voucher.
    fn voucher(&self, brand: &str, benefit: &str, member: &str) -> (String, Value) {
        let voucher = self.claim(brand, benefit, member, &format!("{benefit}-{member}")).status(201);
        (text(&voucher, "code"), voucher)
    }

    fn not_eligible(&self, brand: &str, benefit: &str, member: &str) -> String {
        let key = format!("no-{benefit}-{member}");
        text(&self.claim(brand, benefit, member, &key).refused(422, "not_eligible"), "unmet")
    }

    /// At the giver's till, with this bill if there is one.
    fn till(&self, giver: &str, code: &str, key: &str, bill: Option<&str>) -> Answer {
        let mut body = json!({ "store": "Bund", "till": "1", "external_reference": format!("till-{key}") });
        if let Some(bill) = bill {
            body["amount"] = json!(bill);
        }
        self.brand(giver).post(&format!("/v1/vouchers/{code}/redemptions"), key, &body)
    }

    /// A bill that is too small by the least coin is refused, and the first that is enough is lower by `off`.
    fn takes(&self, giver: &str, code: &str, (from, off, to_pay): (&str, &str, &str)) {
        let whole: i64 = from.parse().expect("whole");
        let short = format!("{}.99", whole - 1);
        self.till(giver, code, &format!("{code}-short"), Some(&short)).refused(422, "below_threshold");
        let used = self.till(giver, code, &format!("{code}-enough"), Some(&format!("{from}.00"))).status(201);
        assert_eq!((&used["discount"], &used["to_pay"]), (&json!(off), &json!(to_pay)), "{used}");
    }

    fn balance(&self, member: &str) -> i64 {
        let told = self.brand("lumen").get(&format!("/v1/memberships/{member}")).status(200);
        told["balance"].as_i64().expect("points")
    }

    /// What the uses at a giver's tills have settled, as the giver is told.
    fn costs(&self, giver: &str) -> Vec<Value> {
        self.served.seal();
        let told = self.brand(giver).get("/v1/events?limit=1000").status(200);
        let used = told["items"].as_array().expect("a list").iter().filter(|one| one["type"] == "voucher.redeemed");
        used.map(|one| one["data"]["cost"].clone()).collect()
    }

    /// Links a member of Lumen's with one of Harvest's.
    fn dines(&self, member: &str, tier: &str) {
        let diner = format!("H-{member}");
        self.member("lumen", member, tier);
        self.member("harvest", &diner, "l1");
        let asked = json!({ "member_ref": member, "to": "harvest", "consent": { "version": "1" } });
        let code = text(&self.brand("lumen").post("/v1/links", "", &asked).status(201), "code");
        let accepted = json!({ "code": code, "member_ref": diner, "consent": { "version": "1" } });
        self.brand("harvest").post("/v1/links/accept", "", &accepted).status(200);
        self.earn(member, 100);
    }

    /// What 100 of its points are at Harvest, without the campaign.
    fn converts_100(&self, member: &str) -> Value {
        let body = json!({ "member_ref": member, "to": "harvest", "points": 100 });
        let made = self.brand("lumen").post("/v1/conversions", &format!("convert-{member}"), &body).status(201);
        assert_eq!(made["debit_points"], 100, "{made}");
        made["credit_points"].clone()
    }

    /// Business time, to the second.
    fn advance_to(&self, instant: &str) {
        let now = store::catalogue::business_now(&mut self.served.house.database.connection()).expect("business time");
        let then: chrono::DateTime<chrono::Utc> = instant.parse().expect("an instant");
        let seconds = (then - now).num_seconds();
        assert!(seconds > 0, "{instant} is past");
        self.served.advance(&format!("{seconds} seconds"));
    }
}

fn text(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap_or_else(|| panic!("{name} in {answer}")).to_owned()
}

#[test]
fn a_hundred_mall_points_are_fifty_dining_points_and_twice_as_many_for_the_top_tier() {
    let alliance = Alliance::new("rates");
    for tier in ["ordinary", "silver", "gold"] {
        alliance.dines(tier, tier);
        assert_eq!(alliance.converts_100(tier), 50, "{tier}");
    }
    alliance.dines("diamond", "diamond");
    assert_eq!(alliance.converts_100("diamond"), 100);
}

#[test]
fn two_thousand_points_are_a_cinema_ticket() {
    let alliance = Alliance::new("cinema");
    alliance.member("lumen", "L-1", "ordinary");
    alliance.earn("L-1", 2_000);
    let (code, voucher) = alliance.voucher("lumen", "cinenova/cinema-ticket", "L-1");
    assert_eq!((&voucher["kind"], &voucher["points"]), (&json!("goods"), &json!(2_000)));
    assert_eq!(alliance.balance("L-1"), 0);
    let again = alliance.claim("lumen", "cinenova/cinema-ticket", "L-1", "again");
    assert_eq!(again.refused(422, "insufficient_points")["points_left"], 0);
    let used = alliance.till("cinenova", &code, "t1", None).status(201);
    assert_eq!(used["uses_left"], 0);
    assert_eq!(alliance.costs("cinenova"), ["28.00"]);
    alliance.member("harvest", "H-1", "l3");
    alliance.claim("harvest", "cinenova/cinema-ticket", "H-1", "other").refused(404, "not_found");
}

#[test]
fn three_thousand_points_are_two_coffees() {
    let alliance = Alliance::new("coffee");
    alliance.member("lumen", "L-1", "ordinary");
    alliance.earn("L-1", 3_000);
    let (code, voucher) = alliance.voucher("lumen", "kettle/two-coffees", "L-1");
    assert_eq!((&voucher["points"], &voucher["uses"]), (&json!(3_000), &json!(2)));
    assert_eq!(alliance.balance("L-1"), 0);
    for (key, left) in [("t1", 1), ("t2", 0)] {
        assert_eq!(alliance.till("kettle", &code, key, None).status(201)["uses_left"], left);
    }
    alliance.till("kettle", &code, "t3", None).refused(422, "voucher_used");
    assert_eq!(alliance.costs("kettle"), ["18.00", "18.00"], "half of 36 each");
}

#[test]
fn a_hundred_points_are_twenty_off_any_bill() {
    let alliance = Alliance::new("meal");
    alliance.member("lumen", "L-1", "ordinary");
    alliance.earn("L-1", 100);
    let (code, voucher) = alliance.voucher("lumen", "harvest/meal-20", "L-1");
    assert_eq!((&voucher["points"], alliance.balance("L-1")), (&json!(100), 0));
    let used = alliance.till("harvest", &code, "t1", Some("32.50")).status(201);
    assert_eq!((&used["discount"], &used["to_pay"]), (&json!("20.00"), &json!("12.50")));
}

#[test]
fn the_family_park_is_for_lumens_second_rung_and_above() {
    let alliance = Alliance::new("park");
    alliance.member("lumen", "L-1", "ordinary");
    assert_eq!(alliance.not_eligible("lumen", "sprout/family-park", "L-1"), "tier");
    for tier in ["silver", "gold", "diamond"] {
        alliance.member("lumen", tier, tier);
        let (code, voucher) = alliance.voucher("lumen", "sprout/family-park", tier);
        assert_eq!((&voucher["kind"], &voucher["face_value"]), (&json!("ticket"), &json!("120.00")));
        alliance.till("sprout", &code, tier, None).status(201);
    }
    assert_eq!(alliance.costs("sprout"), ["80.00", "80.00", "80.00"], "which is not its face");
    alliance.claim("lumen", "sprout/family-park", "silver", "again").refused(422, "already_claimed");
}

#[test]
fn sprouts_members_take_fifty_off_three_hundred_at_the_mall() {
    let alliance = Alliance::new("mall");
    alliance.member("sprout", "S-1", "l1");
    let (code, voucher) = alliance.voucher("sprout", "lumen/mall-300-50", "S-1");
    assert_eq!((&voucher["giver"], &voucher["brand"]), (&json!("lumen"), &json!("sprout")));
    alliance.takes("lumen", &code, ("300", "50.00", "250.00"));
    assert_eq!(alliance.costs("lumen"), ["30.00"]);
}

#[test]
fn velvets_salon_is_free_on_the_third_rung_and_fifty_on_the_second_while_places_last() {
    let alliance = Alliance::new("salon");
    alliance.member("lumen", "L-1", "ordinary");
    assert_eq!(alliance.not_eligible("lumen", "velvet/salon", "L-1"), "tier");
    for (tier, cash) in [("silver", "50.00"), ("gold", "0.00"), ("diamond", "0.00")] {
        alliance.member("lumen", tier, tier);
        let (_, voucher) = alliance.voucher("lumen", "velvet/salon", tier);
        assert_eq!((&voucher["kind"], &voucher["cash"]), (&json!("place"), &json!(cash)), "{tier}");
    }
    // A tier that somebody granted is none of Velvet's.
    let granted = json!({ "tier": "gold", "tier_source": "granted", "status": "active" });
    alliance.brand("lumen").put("/v1/memberships/L-2", &granted).status(200);
    assert_eq!(alliance.not_eligible("lumen", "velvet/salon", "L-2"), "tier");
    for n in 3..40 {
        alliance.member("lumen", &format!("G-{n}"), "gold");
        alliance.voucher("lumen", "velvet/salon", &format!("G-{n}"));
    }
    alliance.member("lumen", "G-40", "gold");
    alliance.claim("lumen", "velvet/salon", "G-40", "late").refused(422, "sold_out");
}

#[test]
fn fifty_off_a_hundred_in_the_month_of_the_birthday_alone() {
    let alliance = Alliance::new("birthday");
    let born = |name: &str, month: u32| {
        let body = json!({ "tier": "ordinary", "status": "active", "birth_month": month });
        alliance.brand("lumen").put(&format!("/v1/memberships/{name}"), &body).status(200);
    };
    // A new sandbox begins in January.
    born("L-1", 1);
    born("L-2", 2);
    alliance.member("lumen", "L-3", "diamond");
    for other in ["L-2", "L-3"] {
        assert_eq!(alliance.not_eligible("lumen", "lumen/birthday-100-50", other), "birthday");
    }
    let (code, _) = alliance.voucher("lumen", "lumen/birthday-100-50", "L-1");
    alliance.takes("lumen", &code, ("100", "50.00", "50.00"));
    alliance.claim("lumen", "lumen/birthday-100-50", "L-1", "again").refused(422, "already_claimed");
    alliance.advance_to("2026-02-05T04:00:00Z");
    alliance.voucher("lumen", "lumen/birthday-100-50", "L-2");
}

#[test]
fn eighty_off_three_hundred_is_good_for_three_days() {
    let alliance = Alliance::new("three-days");
    alliance.advance_to("2026-01-10T04:00:00Z");
    for member in ["L-1", "L-2"] {
        alliance.member("lumen", member, "ordinary");
    }
    let (first, voucher) = alliance.voucher("lumen", "velvet/three-days-300-80", "L-1");
    assert_eq!(voucher["use_by"], "2026-01-13");
    let (second, _) = alliance.voucher("lumen", "velvet/three-days-300-80", "L-2");
    alliance.advance_to("2026-01-13T04:01:00Z");
    alliance.takes("velvet", &first, ("300", "80.00", "220.00"));
    assert_eq!(alliance.costs("velvet"), ["40.00"]);
    alliance.advance_to("2026-01-14T04:00:00Z");
    alliance.till("velvet", &second, "late", Some("300.00")).refused(422, "voucher_expired");
}

#[test]
fn twenty_off_fifty_is_good_for_a_day() {
    let alliance = Alliance::new("one-day");
    alliance.advance_to("2026-01-10T04:00:00Z");
    for member in ["L-1", "L-2"] {
        alliance.member("lumen", member, "ordinary");
    }
    let (first, voucher) = alliance.voucher("lumen", "kettle/day-50-20", "L-1");
    assert_eq!(voucher["use_by"], "2026-01-11");
    let (second, _) = alliance.voucher("lumen", "kettle/day-50-20", "L-2");
    alliance.advance_to("2026-01-11T04:00:00Z");
    alliance.takes("kettle", &first, ("50", "20.00", "30.00"));
    alliance.advance_to("2026-01-12T04:00:00Z");
    alliance.till("kettle", &second, "late", Some("50.00")).refused(422, "voucher_expired");
}

#[test]
fn the_second_rung_buys_forty_eight_hours_early_and_the_third_tries_first() {
    let alliance = Alliance::new("early");
    for tier in ["ordinary", "silver", "gold", "diamond"] {
        alliance.member("lumen", tier, tier);
    }
    let sale = "lumen/spring-sale";
    alliance.advance_to("2026-02-12T01:59:00Z");
    let refused = |tier: &str, key: &str| alliance.claim("lumen", sale, tier, key).refused(422, "not_eligible");
    assert_eq!(refused("gold", "early")["unmet"], "not_yet");
    alliance.advance_to("2026-02-12T02:00:01Z");
    for tier in ["silver", "gold", "diamond"] {
        let (code, voucher) = alliance.voucher("lumen", sale, tier);
        assert_eq!(voucher["kind"], "early_access");
        alliance.till("lumen", &code, tier, None).status(201);
    }
    assert_eq!(refused("ordinary", "o1")["unmet"], "not_yet");
    alliance.advance_to("2026-02-14T02:00:01Z");
    alliance.voucher("lumen", sale, "ordinary");
    for tier in ["ordinary", "silver"] {
        assert_eq!(alliance.not_eligible("lumen", "lumen/first-try", tier), "tier");
    }
    for tier in ["gold", "diamond"] {
        let (_, voucher) = alliance.voucher("lumen", "lumen/first-try", tier);
        assert_eq!(voucher["kind"], "trial");
    }
}

#[test]
fn what_is_put_again_stays_as_it_is() {
    let mut alliance = Alliance::new("again");
    let all = |alliance: &Alliance| alliance.served.operator_named("ada").get("/v1/benefits?limit=100").status(200);
    let before = all(&alliance);
    let items = before["items"].as_array().expect("a list");
    assert_eq!(items.len(), offered().benefits.values().map(BTreeMap::len).sum::<usize>());
    let approved = |one: &Value| one["approvals"].as_array().expect("a list").iter().all(|yes| yes["approved"] == true);
    assert!(items.iter().all(|one| one["version"] == 1 && approved(one)), "{before:#}");
    alliance.put(&offered());
    assert_eq!(all(&alliance), before);
}
