//! The contract, OpenAPI 3.1, made from the handlers themselves and served at `/openapi.json`.

use super::v1::NOTE_MAX;
use super::{catalogue, certificates, enrolments, log, problem, proposals, public, signing_keys, v1};
use crate::domain::text::Text;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ArrayItems, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Components, ContentBuilder, Ref, RefOr, ResponseBuilder};

/// No control character, the C1 ones included.
const PLAIN: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";
/// The same, and not spaces alone.
const NOTE: &str = r"^[^\u0000-\u001f\u007f-\u009f]*[^\u0000-\u001f\u007f-\u009f\s][^\u0000-\u001f\u007f-\u009f]*$";

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
    document.merge(log::Api::openapi());
    document.merge(certificates::Api::openapi());
    document.merge(enrolments::Api::openapi());
    document.merge(proposals::Api::openapi());
    document.merge(signing_keys::Api::openapi());
    document.merge(v1::document());
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            complete(path, method, operation);
        }
    }
    document.components.iter_mut().for_each(spread);
    for schema in document.components.iter_mut().flat_map(|components| components.schemas.values_mut()) {
        say_plain(schema);
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, post, put, delete, .. } = item;
    let each = [("get", get), ("post", post), ("put", put), ("delete", delete)];
    each.into_iter().filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}

/// What every operation has: an id of its own, and the ways it says no.
fn complete(path: &str, method: &str, operation: &mut Operation) {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    operation.operation_id = Some(words.fold(method.to_owned(), |id, word| id + "_" + word));
    for parameter in operation.parameters.iter_mut().flatten() {
        match &mut parameter.schema {
            Some(schema) if parameter.name == "cursor" => *schema = cursor(),
            Some(schema) => say_plain(schema),
            None => {}
        }
    }
    if !says_no(path) {
        return;
    }
    for (status, description) in [
        ("4XX", "Refused: the code says why"),
        ("500", "Something went wrong here"),
        ("503", "Ask again after Retry-After, with the same key"),
    ] {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let problem = ResponseBuilder::new().description(description).content(problem::MEDIA_TYPE, content).build();
        operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(problem));
    }
}

/// Whether there is anything in a request of this address to refuse: probes and keys take none.
fn says_no(path: &str) -> bool {
    path.starts_with("/v1/") || path.starts_with("/checkpoint")
}

/// What is read as a text or a note has no control characters: said here once for every field and parameter of their bounds.
fn say_plain(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = schema else { return };
    if object.max_length == Some(Text::LENGTH_MAX) && object.pattern.is_none() {
        object.pattern = Some(PLAIN.to_owned());
    }
    if object.max_length == Some(NOTE_MAX) && object.pattern.is_none() {
        object.pattern = Some(NOTE.to_owned());
    }
    object.properties.values_mut().for_each(say_plain);
}

/// What is flattened into an answer stands in it: an `allOf` with an object that takes no other members would take none of
/// the answer's own.
fn spread(components: &mut Components) {
    let known = components.schemas.clone();
    components.schemas.values_mut().for_each(|schema| spread_within(schema, &known));
}

fn spread_within(schema: &mut RefOr<Schema>, known: &BTreeMap<String, RefOr<Schema>>) {
    let object = |part: &RefOr<Schema>| match part {
        RefOr::T(Schema::Object(object)) => Some(object.clone()),
        RefOr::Ref(named) => match known.get(named.ref_location.rsplit('/').next().unwrap_or_default()) {
            Some(RefOr::T(Schema::Object(object))) => Some(object.clone()),
            _ => None,
        },
        RefOr::T(_) => None,
    };
    match schema {
        RefOr::T(Schema::AllOf(all)) => {
            let Some(parts) = all.items.iter().map(object).collect::<Option<Vec<_>>>() else { return };
            let mut whole = ObjectBuilder::new().schema_type(Type::Object).description(all.description.clone());
            for part in parts {
                whole = part.properties.into_iter().fold(whole, |whole, (name, member)| whole.property(name, member));
                whole = part.required.into_iter().fold(whole, ObjectBuilder::required);
            }
            *schema = whole.into();
        }
        // A list's elements stand in the list.
        RefOr::T(Schema::Object(object)) => {
            object.properties.values_mut().for_each(|member| spread_within(member, known));
        }
        RefOr::T(Schema::Array(array)) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                spread_within(items, known);
            }
        }
        _ => {}
    }
}

/// Any list's: base64url, bounded.
fn cursor() -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[A-Za-z0-9_-]{2,512}$"));
    text.into()
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
    use std::collections::HashSet;

    #[test]
    fn an_answer_with_a_document_in_it_takes_the_members_of_both() {
        let document = serde_json::to_value(document()).expect("a document");
        let benefit = &document["components"]["schemas"]["Benefit"];
        assert!(benefit.get("allOf").is_none() && benefit.get("additionalProperties").is_none(), "{benefit}");
        for member in ["benefit_id", "version", "kind", "offers"] {
            assert!(benefit["properties"].get(member).is_some(), "{member}");
            assert!(benefit["required"].as_array().expect("a list").contains(&member.into()), "{member}");
        }
        assert!(!document.to_string().contains("\"allOf\""), "an `allOf` that is no object's own");
        let put = &document["components"]["schemas"]["BenefitJson"];
        assert_eq!(put["additionalProperties"], false, "a member nobody knows is refused");
    }

    #[test]
    fn every_operation_has_an_id_of_its_own_and_says_how_it_refuses() {
        let mut document = document().clone();
        let mut ids = HashSet::new();
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                let id = operation.operation_id.clone().expect("an id");
                assert!(ids.insert(id.clone()), "{method} {path}: {id} is taken");
                let refuses = operation.responses.responses.contains_key("4XX");
                let takes = operation.parameters.is_some() || operation.request_body.is_some();
                assert_eq!(refuses, says_no(path), "{method} {path}");
                assert!(refuses || !takes, "{method} {path} takes something and never refuses it");
            }
        }
        assert!(ids.contains("post_v1_conversions_id_undo"), "{ids:?}");
    }

    #[test]
    fn texts_and_cursors_say_what_they_may_hold() {
        let json = serde_json::to_value(document()).expect("a document");
        let link = &json["components"]["schemas"]["LinkRequest"]["properties"];
        assert_eq!(
            (&link["member_ref"]["pattern"], link["member_ref"]["maxLength"].as_u64()),
            (&PLAIN.into(), Some(128))
        );
        assert_eq!(link["to"]["pattern"], "^[a-z][a-z0-9-]{1,31}$");
        assert_eq!(json["components"]["schemas"]["NewDispute"]["properties"]["note"]["pattern"], NOTE);
        let entries = &json["paths"]["/v1/memberships/{member_ref}/entries"]["get"]["parameters"];
        let patterns: Vec<_> = entries.as_array().into_iter().flatten().map(|one| &one["schema"]["pattern"]).collect();
        assert!(patterns.contains(&&PLAIN.into()) && patterns.contains(&&"^[A-Za-z0-9_-]{2,512}$".into()), "{entries}");
    }

    #[test]
    fn the_contract_is_3_1_and_knows_its_methods() {
        let json = document().to_json().expect("a document");
        assert!(json.contains(r#""openapi":"3.1.0""#), "{json}");
        assert_eq!(methods("/healthz").as_deref(), Some("GET"));
        assert_eq!(methods("/nowhere"), None);
    }
}
