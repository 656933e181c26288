//! The catalogue over the partner API, and over the command line.

use super::Manifests;
use crate::support;
use crate::tls::{Client, House};
use hanse::domain::holder::Holder;
use hanse::service::proposals::{self, Authority, JWS_TYPE, Mandate};
use hanse::signing::jws::SigningKey;
use serde_json::{Value, json};
use std::process::Command;

fn get(client: &Client, path: &str) -> (u16, Value) {
    let answer = client.get(path).expect("an answer");
    if answer.status >= 400 {
        answer.code();
    }
    (answer.status, answer.json())
}

/// All pages of a list.
fn all(client: &Client, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = get(client, &format!("{path}{cursor}"));
        assert_eq!(status, 200, "{page}");
        items.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

#[test]
fn a_partner_sees_the_rates_it_is_a_side_of_and_public_ones() {
    let house = House::new("rates-api");
    let [lumen, kettle] = ["lumen", "kettle"].map(|name| house.client("partner", name));
    let ada = house.client("operator", "ada");
    assert_eq!(get(&lumen, "/v1/alliance").0, 404);
    assert_eq!(all(&lumen, "/v1/rates?limit=3"), Vec::<Value>::new());
    let manifests = Manifests::lumen("rates-api-manifests");
    proposals::apply_and_publish(&mut house.database.connection(), &manifests.plan(), Mandate).expect("published");

    let (_, alliance) = get(&lumen, "/v1/alliance");
    assert_eq!((&alliance["slug"], &alliance["catalogue_version"]), (&json!("lumen"), &json!(1)));
    let partners = all(&kettle, "/v1/partners?limit=2");
    assert_eq!(partners.len(), 7);
    let told: Vec<&str> = partners
        .iter()
        .filter(|partner| partner["programme"]["unit_cost"].is_string())
        .filter_map(|partner| partner["slug"].as_str())
        .collect();
    assert_eq!(told, ["kettle"], "unit costs are told to their own partner only");

    let every = all(&ada, "/v1/rates?limit=200");
    let seen = all(&kettle, "/v1/rates?limit=7");
    let may = |rate: &Value| rate["public"] == true || rate["from"] == "kettle" || rate["to"] == "kettle";
    assert_eq!(every.len(), 83);
    assert_eq!(seen, every.iter().filter(|rate| may(rate)).cloned().collect::<Vec<_>>());
    assert!(seen.len() < every.len());

    let one = all(&lumen, "/v1/rates?from=lumen&to=harvest&tier=diamond");
    assert_eq!(one.len(), 1);
    assert_eq!((&one[0]["tier"], &one[0]["give"], &one[0]["get"]), (&json!("diamond"), &json!(1), &json!(1)));
    let gold = all(&lumen, "/v1/rates?from=lumen&to=harvest&tier=gold");
    assert_eq!((gold.len(), &gold[0]["tier"], &gold[0]["give"]), (1, &Value::Null, &json!(2)));
    assert_eq!(all(&lumen, "/v1/rates?at=2025-12-31T00:00:00Z"), Vec::<Value>::new());
    for wrong in ["?at=today", "?at=9999999-01-01T00:00:00Z", "?from=UP", "?cursor=bHVtZW4", "?tire=x", "?limit=0"] {
        assert_eq!(get(&lumen, &format!("/v1/rates{wrong}")).0, 422, "{wrong}");
    }
}

#[test]
fn both_sides_approve_over_the_api_and_a_third_finds_nothing() {
    let house = House::new("proposals-api");
    let mut conn = house.database.connection();
    let manifests = Manifests::lumen("proposals-api-manifests");
    proposals::apply_and_publish(&mut conn, &manifests.plan(), Mandate).expect("published");
    manifests.edit("lumen.toml", "to = \"kettle\"", "give = 2\nget = 1", "give = 1\nget = 1");
    let id = proposals::propose(&mut conn, &manifests.plan()).expect("proposed")[0].id;

    let [lumen, kettle, velvet] = ["lumen", "kettle", "velvet"].map(|name| house.client("partner", name));
    let newest = |client: &Client| get(client, "/v1/proposals?limit=1").1["items"][0]["id"].clone();
    assert_eq!(newest(&lumen), json!(id.to_string()));
    assert_ne!(newest(&velvet), json!(id.to_string()));
    let path = format!("/v1/proposals/{id}");
    assert_eq!(get(&velvet, &path).0, 404);
    assert_eq!(get(&lumen, "/v1/proposals/prp_none").0, 404);

    let approvals = format!("{path}/approvals");
    let approve = |client: &Client, name: &str| {
        let key = SigningKey::from_pkcs8(&SigningKey::generate().expect("a key")).expect("a key");
        let holder = Holder::of("partner", name).expect("a slug");
        let proof = key.sign("key-proof+jws", &hanse::service::signing_keys::proof_payload(&holder, key.kid()));
        let body = json!({ "jwk": key.public().to_jwk(), "proof": proof }).to_string();
        assert_eq!(client.post("/v1/signing-keys", body.as_bytes()).expect("an answer").status, 201);
        let canonical = get(&lumen, &path).1["canonical"].as_str().expect("the change").to_owned();
        let body = json!({ "jws": key.sign(JWS_TYPE, canonical.as_bytes()) }).to_string();
        let answer = client.post(&approvals, body.as_bytes()).expect("an answer");
        (answer.status, answer.json())
    };
    assert_eq!(approve(&velvet, "velvet").0, 404);
    let forged = lumen.post(&approvals, br#"{"jws":"a.b.c"}"#).expect("an answer");
    assert_eq!((forged.status, &forged.json()["errors"][0]["pointer"]), (422, &json!("/jws")));
    let (status, half) = approve(&lumen, "lumen");
    assert_eq!((status, &half["state"], &half["approvals"][0]["side"]), (201, &json!("proposed"), &json!("from")));
    let (status, whole) = approve(&kettle, "kettle");
    assert_eq!((status, &whole["state"]), (201, &json!("approved")), "{whole}");
    let published = proposals::publish(&mut conn, Authority::Approvals, None).expect("published");
    assert_eq!(published.version, 2);
    let (_, after) = get(&kettle, &path);
    assert_eq!((&after["state"], &after["published_version"]), (&json!("published"), &json!(2)));
}

#[test]
fn the_command_line_checks_applies_and_publishes() {
    let database = support::database();
    let hanse = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hanse"));
        command.args(arguments).current_dir(support::scratch("")).env("DATABASE_URL", &database.url);
        let output = command.output().expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let manifests = Manifests::lumen("catalogue-cli");
    let folder = manifests.folder.to_str().expect("a plain path");
    let (code, printed, _) = hanse(&["partners", "check", folder]);
    assert_eq!(code, Some(0));
    assert!(printed.starts_with("lumen: 7 partners, 42 directions, 83 rates, 3 campaigns\nno loop pays"), "{printed}");
    let (_, printed, _) = hanse(&["partners", "apply", folder]);
    assert!(printed.contains("Lumen Mall / 流明广场") && printed.contains("50 proposed now"), "{printed}");
    let (code, printed, _) = hanse(&["rates", "publish", "--mandate", "--json"]);
    let outcome: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!((code, &outcome["catalogue_version"]), (Some(0), &json!(1)));
    let (_, printed, _) = hanse(&["partners", "apply", folder]);
    assert!(printed.starts_with("nothing changes\n0 proposed now"), "{printed}");
    let (_, printed, _) = hanse(&["rates", "list", "--from", "lumen", "--to", "harvest"]);
    assert!(printed.contains("2:1") && printed.contains("+10.00 %") && printed.contains("2 rates"), "{printed}");
    assert_eq!(hanse(&["rates", "check"]).0, Some(0));
    assert_eq!(hanse(&["rates", "publish", "--override"]).0, Some(2));

    manifests.edit("lumen.toml", "[programme]", "unit_cost = \"0.01\"", "unit_cost = 0.01");
    manifests.edit("kettle.toml", "to = \"nest\"", "to = \"nest\"", "to = \"nets\"");
    let (code, _, told) = hanse(&["partners", "check", folder]);
    assert_eq!(code, Some(1));
    assert!(told.starts_with("hanse: wrong in 2 places:\n"), "{told}");
    assert!(told.contains("kettle.toml:71: agreements[nets].to: no partner `nets`"), "{told}");
    assert!(told.contains("lumen.toml:14: programme.unit_cost: invalid type"), "{told}");
}
