//! The contract of an endpoint as a document, OpenAPI 3.1, made from the types that our own caller uses, so that a partner
//! can make a server of it.

use super::endpoint::{
    Credit, CreditRequest, CreditState, Hold, HoldRequest, HoldState, HoldStep, Lot, LotKind, Membership, Purpose,
    Refusal, VoidRequest,
};
use utoipa::OpenApi;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItemBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{ContentBuilder, HeaderBuilder, Paths, Ref, RefOr, Required, Response, ResponseBuilder, Schema};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "The endpoint of a remote partner",
        version = "1",
        description = "What the alliance asks of the ledger that a partner keeps itself. Mutual TLS, version 1.3: the \
            caller shows the alliance's certificate, whose only URI is `spiffe://<trust-domain>/alliance`. Every request is \
            signed (Standard Webhooks 1.0).\n\nEvery call is idempotent by the id it names: the same request under a known \
            id is given the same answer, another request under it is refused (`id_mismatch`), and an id that was released or \
            voided before it came is refused when it comes (`voided`). A refusal is final for its id. 2xx is done; 422 with a \
            problem (RFC 9457) is a definite refusal; anything else, or nothing, is unknown, and the same call is made again. \
            An answer has 64 KiB at most."
    ),
    components(schemas(
        Credit,
        CreditRequest,
        CreditState,
        Hold,
        HoldRequest,
        HoldState,
        HoldStep,
        Lot,
        LotKind,
        Membership,
        Purpose,
        Refusal,
        VoidRequest
    ))
)]
struct Types;

/// One call: where, what goes and what comes.
struct Call {
    path: &'static str,
    method: HttpMethod,
    id: &'static str,
    says: &'static str,
    takes: Option<&'static str>,
    /// The schema of a 200.
    gives: Option<&'static str>,
    /// What a 422 or, of a GET, a 404 means.
    refuses: &'static str,
}

const CALLS: &[Call] = &[
    Call {
        path: "/holds",
        method: HttpMethod::Post,
        id: "hold",
        says: "Reserves points of a member. Of a conversion, the points that end first; of an undo or a reversal, those of \
               the dates in `lots`, in that order.",
        takes: Some("HoldRequest"),
        gives: Some("Hold"),
        refuses: "Nothing is held, and never will be under this id: `insufficient_points`, `points_spent` (undo, \
                  reversal), `membership_closed`, `membership_frozen`, `not_found`, `voided`, `id_mismatch`",
    },
    Call {
        path: "/holds/{hold_id}",
        method: HttpMethod::Get,
        id: "get_hold",
        says: "A hold as it stands.",
        takes: None,
        gives: Some("Hold"),
        refuses: "Not here; it may come yet",
    },
    Call {
        path: "/holds/{hold_id}/capture",
        method: HttpMethod::Post,
        id: "capture",
        says: "The held points are spent for good. Still possible after `expires_at`.",
        takes: Some("HoldStep"),
        gives: Some("Hold"),
        refuses: "There is nothing to capture: `not_found`, `voided`, `id_mismatch`. The conversion is then in doubt",
    },
    Call {
        path: "/holds/{hold_id}/release",
        method: HttpMethod::Post,
        id: "release",
        says: "The held points go back. Done as well for a hold that was never made; it is never made later.",
        takes: Some("HoldStep"),
        gives: Some("Hold"),
        refuses: "It was captured (`captured`), or `id_mismatch`",
    },
    Call {
        path: "/credits",
        method: HttpMethod::Post,
        id: "credit",
        says: "Gives points to a member, all lots or none; of an undo or a reversal, points of the captured hold in \
               `reverses`.",
        takes: Some("CreditRequest"),
        gives: Some("Credit"),
        refuses: "Nothing is credited, and never will be under this id: `membership_closed`, `not_found`, \
                  `reversal_exceeds`, `voided`, `id_mismatch`, `invalid`",
    },
    Call {
        path: "/credits/{credit_id}",
        method: HttpMethod::Get,
        id: "get_credit",
        says: "A credit as it stands.",
        takes: None,
        gives: Some("Credit"),
        refuses: "Not here; it may come yet",
    },
    Call {
        path: "/credits/{credit_id}/void",
        method: HttpMethod::Post,
        id: "void",
        says: "Done means: not credited, and never will be. A credit that was made is taken back, one that was not is \
               refused when it comes.",
        takes: Some("VoidRequest"),
        gives: Some("Credit"),
        refuses: "It was credited and cannot be taken back: `points_spent`, `id_mismatch`",
    },
    Call {
        path: "/memberships/{member_ref}",
        method: HttpMethod::Get,
        id: "membership",
        says: "A member as it stands; a balance need not be told.",
        takes: None,
        gives: Some("Membership"),
        refuses: "There is no such member",
    },
    Call {
        path: "/webhooks",
        method: HttpMethod::Post,
        id: "webhook",
        says: "An event, the same bytes as `GET /v1/events` has. It may come more than once and out of order: it is known \
               by its `id`, and its place is `sequence`. Only a `v1` by the secret of one's own webhook says that it is meant \
               for one.",
        takes: Some("Event"),
        gives: None,
        refuses: "It is not taken; it comes again",
    },
];

/// The whole contract.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Types::openapi();
    if let Some(components) = &mut document.components {
        components.schemas.insert("Event".to_owned(), event().into());
    }
    let mut paths = Paths::new();
    for call in CALLS {
        let path = PathItemBuilder::new().operation(call.method.clone(), operation(call)).build();
        match paths.paths.get_mut(call.path) {
            Some(known) => known.merge_operations(path),
            None => drop(paths.paths.insert(call.path.to_owned(), path)),
        }
    }
    document.paths = paths;
    document
}

/// As it is kept in a file.
pub fn text() -> String {
    // A document of texts and numbers is JSON.
    let mut text = document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Of whatever type; more members may come.
fn event() -> ObjectBuilder {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let time = || text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    ObjectBuilder::new()
        .property("id", text().pattern(Some("^evt_[0-9a-f]{32}$")))
        .property("type", text().description(Some("Such as `conversion.completed`; those not known are passed over.")))
        .property("timestamp", time())
        .property(
            "sequence",
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(1))
                .description(Some("Of the partner's events, without gaps. A test has none.")),
        )
        .property("data", ObjectBuilder::new())
        .required("id")
        .required("type")
        .required("timestamp")
        .required("data")
}

fn operation(call: &Call) -> utoipa::openapi::path::Operation {
    let mut operation = OperationBuilder::new().operation_id(Some(call.id)).summary(Some(call.says));
    for name in names(call.path) {
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
        operation = operation.parameter(parameter.schema(Some(pattern(name))));
    }
    for (name, says, form) in HEADERS {
        let schema = ObjectBuilder::new().schema_type(Type::String).pattern(Some(*form));
        let header = ParameterBuilder::new().name(*name).parameter_in(ParameterIn::Header).required(Required::True);
        operation = operation.parameter(header.description(Some(*says)).schema(Some(schema)));
    }
    if let Some(schema) = call.takes {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
        let body = RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    let (refused, media) = match call.method {
        HttpMethod::Get => ("404", None),
        _ => ("422", Some("Refusal")),
    };
    operation
        .response("200", done(call.gives))
        .response(refused, problem(call.refuses, media))
        .response("401", problem("The signature, its time or `content-digest` is not believed", Some("Refusal")))
        .response("503", later())
        .build()
}

/// Over every request, GETs too: their body is empty.
const HEADERS: &[(&str, &str, &str)] = &[
    ("webhook-id", "Of this request, or of the event: the same when it is sent again.", "^[A-Za-z0-9_]{8,64}$"),
    ("webhook-timestamp", "Unix seconds; refused when more than 300 from now.", "^[0-9]{1,12}$"),
    (
        "webhook-signature",
        "One or more of `v1,` (HMAC-SHA256 with the shared secret) and `v1a,` (Ed25519 with a key of the alliance's JWK set \
         whose `purpose` is `webhook`), with spaces between, each over `id.timestamp.body`. One that holds is enough for \
         a call of the ledger. An event must hold by the `v1` of the webhook's own secret: `v1a` says that it is the alliance's, \
         and not for whom, and another partner may have named this URL for its own.",
        "^v1a?,[A-Za-z0-9+/=]+( v1a?,[A-Za-z0-9+/=]+)*$",
    ),
    ("content-digest", "`sha-256=:…:` of the body (RFC 9530).", "^sha-256=:[A-Za-z0-9+/=]+:$"),
];

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn pattern(name: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String);
    match name {
        "hold_id" => text.pattern(Some("^hld_[0-9a-f]{32}$")).into(),
        "credit_id" => text.pattern(Some("^crd_[0-9a-f]{32}$")).into(),
        _ => text.min_length(Some(1)).max_length(Some(128)).into(),
    }
}

fn done(schema: Option<&str>) -> Response {
    let answer = ResponseBuilder::new().description("Done, now or before");
    match schema {
        None => answer.build(),
        Some(name) => {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(name))).build();
            answer.content("application/json", content).build()
        }
    }
}

fn problem(says: &str, schema: Option<&str>) -> Response {
    let answer = ResponseBuilder::new().description(says);
    match schema {
        None => answer.build(),
        Some(name) => {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(name))).build();
            answer.content("application/problem+json", content).build()
        }
    }
}

fn later() -> Response {
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    let header = HeaderBuilder::new().description(Some("Seconds")).schema(seconds).build();
    ResponseBuilder::new().description("Unknown: the same call is made again").header("Retry-After", header).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/partner-endpoint.openapi.json");

    #[test]
    fn the_document_in_docs_is_what_the_code_says() {
        if std::env::var_os("HANSE_WRITE_DOCS").is_some() {
            std::fs::write(FILE, text()).expect("written");
        }
        let kept = std::fs::read_to_string(FILE).expect("the document");
        assert!(kept == text(), "make it anew: HANSE_WRITE_DOCS=1 cargo test --lib partner::contract");
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_call_has_its_own_name() {
        let document = serde_json::to_value(document()).expect("a document");
        assert_eq!(document["openapi"], "3.1.0");
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        let said = document.to_string();
        for reference in said.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().expect("a name");
            assert!(schemas.contains_key(name), "{name}");
        }
        assert_eq!(CALLS.len(), 9);
        let names: std::collections::BTreeSet<&str> = CALLS.iter().map(|call| call.id).collect();
        assert_eq!(names.len(), CALLS.len());
        let each = document["paths"].as_object().expect("paths").values();
        let operations: usize = each.map(|item| item.as_object().map_or(0, |item| item.len())).sum();
        assert_eq!(operations, CALLS.len());
    }
}
