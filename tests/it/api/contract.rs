//! The contract against the server: what it does not promise is not there.

use super::{Api, Expect};
use hanse::http::openapi;

#[test]
fn an_address_takes_the_methods_of_the_contract_and_no_other() {
    let api = Api::new("methods", "");
    let contract = serde_json::to_value(openapi::document()).expect("a document");
    let paths = contract["paths"].as_object().expect("paths");
    // A member may be called `batch`, and then that address is the member's for other methods.
    let apart = |path: &str| path.starts_with("/v1/") && path != "/v1/memberships/batch";
    for (path, has) in paths.iter().filter(|(path, _)| apart(path)) {
        let place: String = path
            .split('/')
            .skip(1)
            .map(|part| if part.starts_with('{') { "/x" } else { "/" }.to_owned() + part.trim_matches(['{', '}']))
            .collect();
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
