//! The contract against the server: what it does not promise is not there.

use super::{Api, Expect};
use hanse::http::openapi;
use serde_json::json;

/// An address of the contract with a value in every place.
fn filled(path: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "/x".to_owned() } else { format!("/{part}") };
    path.split('/').skip(1).map(part).collect()
}

#[test]
fn an_address_takes_the_methods_of_the_contract_and_no_other() {
    let api = Api::new("methods", "");
    let contract = serde_json::to_value(openapi::document()).expect("a document");
    let paths = contract["paths"].as_object().expect("paths");
    // A member may be called `batch`, and then that address is the member's for other methods; who enrols has no
    // certificate for this listener yet.
    let apart = |path: &str| path.starts_with("/v1/") && !["/v1/memberships/batch", "/v1/enrolments"].contains(&path);
    for (path, has) in paths.iter().filter(|(path, _)| apart(path)) {
        let place = filled(path);
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            if has.get(method.to_lowercase()).is_some() {
                continue;
            }
            let answer = api.aa.send(method, &place, "", None);
            answer.refused(405, "method_not_allowed");
            let mut told: Vec<_> = answer.header("allow").unwrap_or_default().split(", ").collect();
            told.sort_unstable();
            let known: Vec<_> = has.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            assert_eq!(told, known, "{method} {path}");
        }
    }
}

#[test]
fn what_is_said_by_the_address_alone_takes_no_body_but_an_empty_object() {
    let api = Api::new("bodiless", "");
    let contract = serde_json::to_value(openapi::document()).expect("a document");
    let paths = contract["paths"].as_object().expect("paths");
    let mut found = Vec::new();
    for (path, has) in paths.iter().filter(|(path, _)| path.starts_with("/v1/")) {
        for (method, operation) in has.as_object().expect("methods") {
            if !["post", "put", "delete"].contains(&method.as_str()) || operation.get("requestBody").is_some() {
                continue;
            }
            let (method, place) = (method.to_uppercase(), filled(path));
            found.push(format!("{method} {path}"));
            let said = json!({ "confirmed": false });
            let problem = api.aa.send(&method, &place, "k", Some(&said)).refused(422, "invalid");
            assert_eq!(problem["errors"][0]["pointer"], "/confirmed", "{method} {path}: {problem}");
            api.aa.send(&method, &place, "k", Some(&json!([]))).refused(422, "invalid");
            let judged = [None, Some(json!({}))].map(|body| api.aa.send(&method, &place, "k", body.as_ref()).status);
            assert!(judged[0] == judged[1] && [403, 404].contains(&judged[0]), "{method} {path}: {judged:?}");
        }
    }
    found.sort();
    let known = [
        "DELETE /v1/benefits/{id}/approvals",
        "DELETE /v1/certificates/{x5t}",
        "DELETE /v1/disputes/{id}/decision",
        "DELETE /v1/links/{id}",
        "DELETE /v1/memberships/{member_ref}/member-sessions",
        "DELETE /v1/webhooks/{id}",
        "POST /v1/conversions/{id}/undo",
        "POST /v1/deliveries/{id}/resend",
        "POST /v1/disputes/{id}/withdrawal",
        "POST /v1/memberships/{member_ref}/erasures",
        "POST /v1/memberships/{member_ref}/passes",
        "POST /v1/reversals/{id}/confirmation",
        "POST /v1/settlements/{window}/reconciliations/{id}/disputes",
        "POST /v1/signing-keys/{kid}/retire",
        "POST /v1/vouchers/{code}/confirmation",
        "POST /v1/webhooks/{id}/test",
    ];
    assert_eq!(found, known);
}
