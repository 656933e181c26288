//! What benefits are bound by, from the outside: limits, days, codes, ladders, pages.

use super::benefits::{changed, text, ticket, tier, till};
use super::disputes::{amount, answer, line, path, place, upheld};
use super::lifecycle::exported;
use super::{Api, Expect};
use crate::support::book::audit;
use diesel::connection::SimpleConnection;
use hanse::book::engine::world::{Now, World};
use hanse::book::store::vouchers::{self, Wished};
use hanse::domain::ids::{AccountId, BenefitId, WindowId};
use hanse::store::benefits::{self, Search};
use hanse::store::catalogue;
use hanse::store::locks::FENCE;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

impl Api {
    /// Ends all vouchers and reservations whose time is over.
    fn end_vouchers(&self) {
        let mut run = self.voucher_run();
        while run.post().expect("ended") > 0 {}
    }
}

#[test]
fn a_brand_with_a_ledger_of_its_own_is_held_to_its_members_limits() {
    let remote =
        "UPDATE partners SET hosted = false, endpoint = 'https://aa.example', limit_out_day = 250 WHERE slug = 'aa'";
    let api = Api::new("rules-limits", remote);
    api.aa.register("A-1");
    let offers = json!([{ "to": "aa", "points": 100, "funder": "brand", "cost": "35.00" }]);
    let id = api.offer("cinema", &changed(ticket(), json!({ "kind": "goods", "offers": offers })));
    let claims = format!("/v1/benefits/{id}/claims");
    let ask = json!({ "member_ref": "A-1" });
    let reserve = |key: &str| text(&api.aa.post(&claims, key, &ask).status(202), "voucher_id");
    let (first, second) = (reserve("k1"), reserve("k2"));
    assert_eq!(api.aa.post(&claims, "k3", &ask).refused(422, "limit_exceeded")["points_left"], 50);
    // Counted once: what the brand has debited meanwhile is not refused.
    let confirm = |id: &str| api.aa.send("POST", &format!("/v1/vouchers/{id}/confirmation"), "", None);
    assert_eq!(confirm(&first).status(200)["state"], "issued");
    audit(&api.house.database);
    // Given back, or not confirmed in time: the member may use it for something else that day.
    let cancel = |id: &str| {
        let reason = json!({ "reason": "it rains" });
        api.aa.post(&format!("/v1/vouchers/{id}/cancellations"), "", &reason).status(200)
    };
    cancel(&second);
    let third = reserve("k4");
    api.aa.post(&claims, "k5", &ask).refused(422, "limit_exceeded");
    api.advance("11 minutes");
    confirm(&third).refused(422, "voucher_expired");
    api.end_vouchers();
    audit(&api.house.database);
    cancel(&first);
    let (fourth, _) = (reserve("k6"), reserve("k7"));
    api.aa.post(&claims, "k8", &ask).refused(422, "limit_exceeded");
    confirm(&fourth).status(200);
    // Usage that nothing accounts for is found.
    audit(&api.house.database);
    api.sql("UPDATE accounts SET usage[2] = usage[2] - 100 WHERE usage[2] > 0").expect("changed");
    assert!(api.broken_invariants().contains(&"member limits"));
    api.sql("UPDATE accounts SET usage[2] = usage[2] + 100 WHERE usage[2] > 0").expect("changed back");
}

#[test]
fn a_redemption_is_taken_back_for_thirty_days_whatever_became_of_its_voucher() {
    let api = Api::new("rules-back", "");
    tier(&api.aa, "A-1", "top");
    let code = |name: &str, uses: i64| {
        let id = api.offer(name, &changed(ticket(), json!({ "uses": uses, "use_days": 3 })));
        text(&api.claim(&id, "A-1", name), "code")
    };
    let (part, whole, late) = (code("rides", 2), code("park", 1), code("boat", 1));
    let use_of = |code: &str, key: &str| text(&till(&api.bb, code, key, json!({})).status(201), "redemption_id");
    let (of_part, of_whole, of_late) = (use_of(&part, "t1"), use_of(&whole, "t2"), use_of(&late, "t3"));
    let back = |one: &str, key: &str| {
        api.bb.post(&format!("/v1/redemptions/{one}/reversals"), key, &json!({ "reason": "the wrong one" }))
    };
    let state = |code: &str| text(&api.bb.get(&format!("/v1/vouchers/{code}")).status(200), "state");
    api.advance("5 days");
    api.end_vouchers();
    assert_eq!((state(&part), state(&whole)), ("expired".to_owned(), "redeemed".to_owned()));
    back(&of_part, "r1").status(201);
    back(&of_part, "r2").refused(422, "reversal_exceeds");
    back(&of_whole, "r3").status(201);
    // Nobody is owed anything for either, and nothing is kept for them any more.
    api.end_vouchers();
    for (code, key) in [(&part, "t4"), (&whole, "t5")] {
        assert_eq!(state(code), "expired");
        till(&api.bb, code, key, json!({})).refused(422, "voucher_expired");
    }
    audit(&api.house.database);
    api.advance("26 days");
    back(&of_late, "r4").refused(409, "undo_window_closed");
    assert_eq!(api.exposures().iter().map(|one| one.value).max(), Some(80_000_000), "the one that stands");
    api.close_window();
}

#[test]
fn a_reservation_that_ends_has_used_up_no_code_of_its_pool() {
    let api = Api::new("rules-pool", "");
    api.aa.register("A-1");
    let document = changed(ticket(), json!({ "codes": "pool", "quota": null, "offers": [{ "to": "aa" }] }));
    let id = api.offer("coffee", &document);
    let codes = format!("/v1/benefits/{id}/codes");
    api.bb.post(&codes, "", &json!({ "codes": ["CAFE-1", "CAFE-2"] })).status(200);
    let claims = format!("/v1/benefits/{id}/claims");
    let reserve = json!({ "member_ref": "A-1", "reserve": true });
    let reserved = |key: &str| text(&api.aa.post(&claims, key, &reserve).status(202), "voucher_id");
    let (first, second) = (reserved("k1"), reserved("k2"));
    // Both places are taken, and no code is.
    api.aa.post(&claims, "k3", &reserve).refused(422, "sold_out");
    assert_eq!(api.bb.get(&codes).status(200), json!({ "total": 2, "issued": 0, "available": 2 }));
    let reason = json!({ "reason": "the cafe is closed" });
    api.aa.post(&format!("/v1/vouchers/{first}/cancellations"), "", &reason).status(200);
    api.advance("11 minutes");
    api.end_vouchers();
    assert_eq!(api.aa.get(&format!("/v1/vouchers/{second}")).status(200)["state"], "expired");
    audit(&api.house.database);
    let (third, fourth) = (reserved("k4"), text(&api.claim(&id, "A-1", "k5"), "code"));
    let confirm = format!("/v1/vouchers/{third}/confirmation");
    let issued = api.aa.send("POST", &confirm, "", None).status(200);
    assert_eq!((fourth.as_str(), &issued["code"]), ("CAFE-1", &json!("CAFE-2")), "each when it is issued");
    assert_eq!(api.aa.send("POST", &confirm, "", None).status(200), issued, "said again");
    // What was shown stays used up.
    api.aa.post(&format!("/v1/vouchers/{third}/cancellations"), "", &reason).status(200);
    assert_eq!(api.bb.get(&codes).status(200), json!({ "total": 2, "issued": 2, "available": 0 }));
    api.aa.post(&claims, "k6", &reserve).refused(422, "sold_out");
}

#[test]
fn a_granted_tier_shows_and_opens_nothing_after_its_last_day_nor_a_membership_that_is_not_active() {
    let api = Api::new("rules-shown", "");
    let member = |more: Value| {
        let body = changed(json!({ "tier": "basic", "status": "active" }), more);
        api.aa.put("/v1/memberships/A-1", &body).status(200)
    };
    let asked = || api.aa.send("POST", "/v1/memberships/A-1/passes", "", None);
    let pass = || text(&asked().status(201), "code");
    let look = |code: &str| api.bb.get(&format!("/v1/passes/{code}"));
    member(json!({}));
    let granted = json!({ "tier": "top", "tier_source": "granted", "tier_until": "2099-12-31" });
    member(granted.clone());
    let id = api.offer("lounge", &ticket());
    api.claim(&id, "A-1", "k1");
    assert_eq!(look(&pass()).status(200)["tier"], "top");
    api.advance("80 years");
    assert_eq!(look(&pass()).status(200)["tier"], "basic");
    let claims = format!("/v1/benefits/{id}/claims");
    assert_eq!(
        api.aa.post(&claims, "k2", &json!({ "member_ref": "A-1" })).refused(422, "not_eligible")["unmet"],
        "tier"
    );
    let shown = pass();
    for (status, code) in [("frozen", "membership_frozen"), ("closed", "membership_closed")] {
        member(json!({ "status": status, "status_reason": "lost" }));
        look(&shown).refused(404, "not_found");
        asked().refused(422, code);
    }
}

#[test]
fn a_voucher_that_settled_at_its_issue_is_its_givers_to_take_back_after_a_quarter_of_an_hour() {
    let api = Api::new("rules-undo", "");
    tier(&api.aa, "A-1", "top");
    let at_issue = api.offer("pass", &changed(ticket(), json!({ "settles_at": "issue" })));
    let at_till = api.offer("park", &ticket());
    let claimed = |id: &str, key: &str| text(&api.claim(id, "A-1", key), "voucher_id");
    let (soon, late, free) = (claimed(&at_issue, "k1"), claimed(&at_issue, "k2"), claimed(&at_till, "k3"));
    let cancel = |caller: &super::Caller, id: &str| {
        caller.post(&format!("/v1/vouchers/{id}/cancellations"), "", &json!({ "reason": "it rains" }))
    };
    cancel(&api.aa, &soon).status(200);
    // Of a reservation, the time begins when it is issued.
    let ask = json!({ "member_ref": "A-1", "reserve": true });
    let reserved = text(&api.aa.post(&format!("/v1/benefits/{at_issue}/claims"), "k4", &ask).status(202), "voucher_id");
    api.advance("9 minutes");
    api.aa.send("POST", &format!("/v1/vouchers/{reserved}/confirmation"), "", None).status(200);
    api.advance("7 minutes");
    cancel(&api.aa, &reserved).status(200);
    cancel(&api.aa, &late).refused(409, "undo_window_closed");
    assert_eq!(api.exposures().iter().map(|one| one.value).max(), Some(80_000_000), "nothing has moved");
    cancel(&api.bb, &late).status(200);
    cancel(&api.aa, &late).status(200);
    cancel(&api.aa, &free).status(200);
    assert_eq!(api.exposures().len(), 0);
}

#[test]
fn earlier_claims_are_read_where_they_count_and_as_far_back_as_they_do() {
    let api = Api::new("rules-period", "");
    let account: AccountId = text(&api.aa.register("A-1"), "membership_id").parse().expect("an id");
    let offered = |name: &str, per_member: Value| {
        let offers = json!([{ "to": "aa", "per_member": per_member }]);
        api.offer(name, &changed(ticket(), json!({ "offers": offers })))
    };
    let free = offered("free", Value::Null);
    let daily = offered("daily", json!({ "count": 2, "period": "day" }));
    let ever = offered("ever", json!({ "count": 3, "period": "ever" }));
    let claim_all = |round: &str| {
        for id in [&free, &daily, &ever] {
            api.claim(id, "A-1", &format!("{round}-{id}"));
        }
    };
    claim_all("first");
    api.advance("1 day");
    claim_all("second");
    let conn = &mut api.house.database.connection();
    let zone = catalogue::load(conn).expect("the catalogue").alliance.zone;
    let at = catalogue::business_now(conn).expect("a clock");
    let now = Now { at, day: at.with_timezone(&zone).date_naive() };
    let mut read = |id: &str| {
        let benefit: BenefitId = id.parse().expect("an id");
        let (benefits, claimants) = (BTreeSet::from([benefit]), BTreeSet::from([(account, benefit)]));
        let mut world = World::new(now, WindowId(Uuid::nil()), 0);
        vouchers::fill(conn, &mut world, Wished { benefits, claimants, ..Wished::default() }).expect("read");
        world.claimed.get(&(account, benefit)).map_or(0, Vec::len)
    };
    assert_eq!([read(&free), read(&daily), read(&ever)], [0, 1, 2]);
    claim_all("third");
    for (id, code) in [(&daily, 422), (&ever, 422), (&free, 201)] {
        let body = json!({ "member_ref": "A-1" });
        assert_eq!(api.aa.post(&format!("/v1/benefits/{id}/claims"), &format!("fourth-{id}"), &body).status, code);
    }
}

#[test]
fn a_page_of_benefits_is_as_long_as_was_asked_for_whatever_others_are_offered() {
    let api = Api::new("rules-pages", "");
    let offered = |name: String, to: &str| {
        api.bb
            .put(&format!("/v1/benefits/{name}"), &changed(ticket(), json!({ "offers": [{ "to": to }] })))
            .status(200);
    };
    for nth in 0..6 {
        offered(format!("for-{nth}"), if nth % 3 == 1 { "aa" } else { "cc" });
    }
    let conn = &mut api.house.database.connection();
    let seen_by = |slug: &str| Search { seen_by: Some(slug.parse().expect("a slug")), ..Search::default() };
    let mut codes = |search: &Search, limit: i64| -> Vec<String> {
        let rows = benefits::list(conn, search, limit).expect("read");
        rows.into_iter().map(|row| row.benefit.code).collect()
    };
    assert_eq!(codes(&seen_by("aa"), 2), ["for-1", "for-4"]);
    let after = Some(("bb".to_owned(), "for-1".to_owned()));
    assert_eq!(codes(&Search { after, ..seen_by("aa") }, 2), ["for-4"]);
    assert_eq!(codes(&seen_by("bb"), 9).len(), 6, "its own");
    assert_eq!(codes(&seen_by("dd"), 9), Vec::<String>::new());
    assert_eq!(codes(&Search::default(), 4), ["for-0", "for-1", "for-2", "for-3"]);
    let page = |path: &str| api.aa.get(path).status(200);
    let first = page("/v1/benefits?limit=1");
    assert_eq!((&first["items"][0]["code"], first["items"].as_array().map(Vec::len)), (&json!("for-1"), Some(1)));
    let second = page(&format!("/v1/benefits?limit=1&cursor={}", text(&first, "next_cursor")));
    assert_eq!((&second["items"][0]["code"], &second["next_cursor"]), (&json!("for-4"), &Value::Null));
    assert_eq!(page("/v1/benefits?giver=cc")["items"], json!([]));
}

#[test]
fn a_redemption_is_not_taken_back_from_a_partner_that_is_closed() {
    let api = Api::new("rules-closed", "");
    tier(&api.aa, "A-1", "top");
    let id = api.offer("park", &ticket());
    let code = text(&api.claim(&id, "A-1", "k1"), "code");
    let used = text(&till(&api.bb, &code, "t1", json!({})).status(201), "redemption_id");
    api.sql(
        "UPDATE partners SET status = 'left', leaves_at = clock_timestamp(), closed_at = clock_timestamp() WHERE slug = 'aa'; \
         UPDATE alliance SET catalogue_version = catalogue_version + 1",
    )
    .expect("closed");
    let back = format!("/v1/redemptions/{used}/reversals");
    api.bb.post(&back, "r1", &json!({ "reason": "the wrong one" })).refused(422, "partner_suspended");
    assert_eq!(api.bb.get(&format!("/v1/vouchers/{code}")).status(200)["state"], "redeemed");
    assert_eq!(api.exposures().iter().map(|one| one.value).max(), Some(80_000_000), "nothing has moved");
}

#[test]
fn a_reservation_is_not_confirmed_on_another_day() {
    let api = Api::new("rules-midnight", "");
    tier(&api.aa, "A-1", "top");
    let id = api.offer("park", &ticket());
    // Three minutes to midnight, of tomorrow: business time never goes back.
    api.sql(
        "UPDATE alliance SET clock_offset_us = alliance.clock_offset_us + (extract(epoch FROM date_trunc('day', t) + interval '2 days' \
         - interval '3 minutes' - t) * 1000000)::bigint \
         FROM (SELECT (clock_timestamp() + clock_offset_us * interval '1 microsecond') AT TIME ZONE zone AS t FROM alliance) now",
    )
    .expect("a sandbox");
    let ask = json!({ "member_ref": "A-1", "reserve": true });
    let reserved =
        |key: &str| text(&api.aa.post(&format!("/v1/benefits/{id}/claims"), key, &ask).status(202), "voucher_id");
    let confirm = |id: &str| api.aa.send("POST", &format!("/v1/vouchers/{id}/confirmation"), "", None);
    let (first, second) = (reserved("k1"), reserved("k2"));
    confirm(&first).status(200);
    api.advance("5 minutes");
    confirm(&second).refused(422, "voucher_expired");
    confirm(&first).status(200);
}

#[test]
fn what_cannot_be_put_or_approved_keeps_nobody_waiting() {
    let api = Api::new("rules-fence", "");
    let id = api.offer("park", &ticket());
    let mut holder = api.house.database.connection();
    holder.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({FENCE})")).expect("the fence");
    let bad = changed(ticket(), json!({ "offers": [{ "to": "zz" }] }));
    api.bb.put("/v1/benefits/park", &bad).refused(422, "invalid");
    api.bb.put("/v1/benefits/other", &bad).refused(422, "invalid");
    let approve = |caller: &super::Caller, version: i64| {
        caller.post(&format!("/v1/benefits/{id}/approvals"), "", &json!({ "version": version }))
    };
    approve(&api.aa, 9).refused(422, "invalid");
    approve(&api.bb, 1).refused(403, "forbidden");
    approve(&api.cc, 1).refused(404, "not_found");
    let codes = json!({ "codes": ["PARK-1"] });
    api.bb.post(&format!("/v1/benefits/{id}/codes"), "", &codes).refused(422, "invalid");
    api.aa.post(&format!("/v1/benefits/{id}/codes"), "", &codes).refused(404, "not_found");
    assert_eq!(api.bb.put("/v1/benefits/park", &ticket()).status(200)["version"], 1, "nor does what changes nothing");
    holder.batch_execute("ROLLBACK").expect("let go");
}

#[test]
fn days_that_no_date_can_be_written_with_are_refused_by_their_place() {
    let api = Api::new("rules-years", "");
    for (changes, pointer) in [
        (json!({ "use_days": null, "use_until": "+10000-01-01" }), "/use_until"),
        (json!({ "blackouts": [{ "from": "2030-01-01", "to": "+12000-01-01" }] }), "/blackouts/0/to"),
        (json!({ "blackouts": [{ "from": "-0001-01-01", "to": "2030-01-01" }] }), "/blackouts/0/from"),
        (json!({ "claims_from": "+10000-01-01T00:00:00Z" }), "/claims_from"),
        (json!({ "claims_until": "+10000-01-01T00:00:00Z" }), "/claims_until"),
        (json!({ "offers": [{ "to": "aa", "claims_from": "+10000-01-01T00:00:00Z" }] }), "/offers/0/claims_from"),
        // Each in one spelling, as everywhere.
        (json!({ "use_days": null, "use_until": "2030-1-5" }), "/use_until"),
        (json!({ "blackouts": [{ "from": "2030-01-01", "to": "2030-1-5" }] }), "/blackouts/0/to"),
        (json!({ "claims_from": "2030-01-05 08:00:00Z" }), "/claims_from"),
        (json!({ "claims_until": "9999-12-31T23:59:60Z" }), "/claims_until"),
    ] {
        let problem = api.bb.put("/v1/benefits/park", &changed(ticket(), changes)).refused(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let last = json!({ "use_days": null, "use_until": "9999-12-31" });
    api.bb.put("/v1/benefits/park", &changed(ticket(), last)).status(200);
    let leap = json!({ "claims_until": "2016-12-31T23:59:60Z" });
    let put = api.bb.put("/v1/benefits/park", &changed(ticket(), leap)).status(200);
    assert_eq!(put["claims_until"], "2017-01-01T00:00:00Z");
}

#[test]
fn a_batch_without_vouchers_asks_nothing_of_them() {
    let api = Api::new("rules-legs", "");
    api.linked();
    let id = text(&api.converted("c1", 60), "conversion_id");
    api.sql("ALTER TABLE voucher_uses RENAME TO hidden_uses; ALTER TABLE vouchers RENAME TO hidden").expect("hidden");
    api.aa.send("POST", &format!("/v1/conversions/{id}/undo"), "u1", None).status(200);
    api.sql("ALTER TABLE hidden_uses RENAME TO voucher_uses; ALTER TABLE hidden RENAME TO vouchers").expect("shown");
}

#[test]
fn a_use_is_disputed_like_any_line_and_who_paid_too_much_gets_it_back() {
    let api = Api::new("benefit-dispute", "");
    tier(&api.aa, "A-1", "top");
    let id = api.offer("family-park", &ticket());
    let code = text(&api.claim(&id, "A-1", "k1"), "code");
    till(&api.bb, &code, "t1", json!({})).status(201);
    let window = api.close_window().id;
    let own = line(&api, window, "aa", "benefit");
    // The giver's, by the reference it gave at the till; what has a line is not missing.
    let missing =
        json!({ "external_reference": "till-t1", "kind": "missing", "counterparty": "aa", "note": "where is it" });
    let problem = api.bb.post(&place(window), "", &missing).refused(422, "invalid");
    assert!(problem["errors"][0]["detail"].as_str().is_some_and(|why| why.contains("is not missing")), "{problem:#}");
    let wrong =
        json!({ "external_reference": "till-t1", "kind": "amount", "claimed_amount": "90.00", "note": "it was more" });
    let theirs = api.bb.post(&place(window), "", &wrong).status(201);
    assert_eq!((&theirs["claim"], &theirs["external_reference"]), (&json!("10.00"), &json!("till-t1")), "{theirs:#}");
    api.bb.post(&path(&theirs, "/withdrawal"), "", &json!({})).status(200);
    let opened = api.aa.post(&place(window), "", &amount(&own, "-60.00")).status(201);
    assert_eq!(
        (&opened["counterparty"], &opened["claim"], &opened["stated"]["amount"]),
        (&json!("bb"), &json!("20.00"), &json!("-80.00")),
        "{opened:#}"
    );
    answer(&api.bb, &opened, "rejected");
    for operator in [api.operator(), api.operator_named("bob")] {
        operator.post(&path(&opened, "/decision"), "", &upheld("15.00")).status(200);
    }
    let next = api.close_window().id;
    let adjusted = |of: &str| {
        let lines = api.lines(next, of);
        let own = lines.iter().find(|line| line["kind"] == "adjustment").expect("an adjustment");
        text(own, "amount")
    };
    assert_eq!((adjusted("aa"), adjusted("bb")), ("15.00".to_owned(), "-15.00".to_owned()));
}

#[test]
fn what_the_giver_has_taken_back_is_not_given_once_more_by_a_decision() {
    let api = Api::new("benefit-twice", "");
    tier(&api.aa, "A-1", "top");
    let id = api.offer("family-park", &ticket());
    let code = text(&api.claim(&id, "A-1", "k1"), "code");
    let used = till(&api.bb, &code, "t1", json!({})).status(201);
    let window = api.close_window().id;
    let own = line(&api, window, "aa", "benefit");
    let opened = api.aa.post(&place(window), "", &amount(&own, "0.00")).status(201);
    answer(&api.bb, &opened, "rejected");
    let mistake = format!("/v1/redemptions/{}/reversals", text(&used, "redemption_id"));
    api.bb.post(&mistake, "r1", &json!({ "reason": "the park was closed" })).status(201);
    let decided = api.operator().post(&path(&opened, "/decision"), "", &upheld("80.00")).refused(409, "stale");
    assert!(decided["detail"].as_str().is_some_and(|why| why.contains("taken back since")), "{decided:#}");
    let next = api.close_window().id;
    let back: Vec<String> = api.lines(next, "aa").iter().map(|line| text(line, "amount")).collect();
    assert_eq!(back, ["80.00"], "once");
}

#[test]
fn a_partner_takes_along_what_it_gave_without_codes_and_names() {
    let api = Api::new("benefit-export", "");
    tier(&api.aa, "A-1", "top");
    let id = api.offer("family-park", &ticket());
    let code = text(&api.claim(&id, "A-1", "k1"), "code");
    api.claim(&id, "A-1", "k2");
    till(&api.bb, &code, "t1", json!({})).status(201);
    let export = |partner: &str| {
        let (to, told) = exported(&api, "benefit-export", partner);
        let file = std::fs::read_to_string(to.path().join("vouchers.ndjson")).expect("vouchers");
        assert_eq!(u64::try_from(file.lines().count()).ok(), told["vouchers"].as_u64());
        file
    };
    let given = export("bb");
    let states: Vec<Value> =
        given.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["state"].clone()).collect();
    assert_eq!(states, ["redeemed", "issued"]);
    assert!(given.contains("\"till\":\"3\"") && !given.contains(&code) && !given.contains("A-1"), "{given}");
    assert_eq!(export("aa"), "", "whose members have them gives none");
}
