//! The contract, OpenAPI 3.1, made from the handlers themselves and served at `/openapi.json`.

use super::{catalogue, certificates, problem, proposals, public, signing_keys, v1};
use std::sync::LazyLock;
use utoipa::OpenApi;

/// What belongs to no single resource. Each file of handlers has a document of its own, merged in `document`.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hanse",
        description = "The points exchange of an alliance of brands. The caller is the client certificate's partner; \
            every error is an RFC 9457 problem with a stable code."
    ),
    components(schemas(problem::Body, problem::FieldError)),
    paths(public::healthz, public::readyz, public::metrics, public::openapi, public::jwks)
)]
struct Common;

static DOCUMENT: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(build);

/// The whole contract.
pub fn document() -> &'static utoipa::openapi::OpenApi {
    &DOCUMENT
}

fn build() -> utoipa::openapi::OpenApi {
    let mut document = Common::openapi();
    document.merge(catalogue::Api::openapi());
    document.merge(certificates::Api::openapi());
    document.merge(proposals::Api::openapi());
    document.merge(signing_keys::Api::openapi());
    document.merge(v1::document());
    document
}

/// The methods of a path as written in the contract, as an `Allow` header lists them.
pub(super) fn methods(path: &str) -> Option<String> {
    let item = DOCUMENT.paths.paths.get(path)?;
    let each = [("GET", &item.get), ("POST", &item.post), ("PUT", &item.put), ("DELETE", &item.delete)];
    let names: Vec<_> = each.iter().filter(|(_, operation)| operation.is_some()).map(|(name, _)| *name).collect();
    Some(names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_is_3_1_and_knows_its_methods() {
        let json = document().to_json().expect("a document");
        assert!(json.contains(r#""openapi":"3.1.0""#), "{json}");
        assert_eq!(methods("/healthz").as_deref(), Some("GET"));
        assert_eq!(methods("/nowhere"), None);
    }
}
