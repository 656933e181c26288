//! Every way the API says no: RFC 9457 problems with a stable `code`, one meaning each.
//!
//! The catalogue is one enum and one match; whatever goes wrong below becomes one of its codes or, unforeseen, a 500
//! that is logged once with its chain and tells the caller nothing but the request id.

use crate::service::DatabaseError;
use crate::service::command::{Code as Refused, Hint, Refusal, Undecided};
use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, Responder, ResponseError};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use utoipa::ToSchema;
use uuid::Uuid;

pub const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! catalogue {
    ($($code:ident = $text:literal, $status:literal, $retryable:literal, $title:literal;)*) => {
        /// A stable code of the catalogue.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($code),* }

        impl Code {
            pub const ALL: &[Code] = &[$(Code::$code),*];

            pub fn text(self) -> &'static str {
                match self { $(Code::$code => $text),* }
            }

            pub fn status(self) -> u16 {
                match self { $(Code::$code => $status),* }
            }

            /// Whether the same request, sent again with the same key, may be answered otherwise.
            pub fn retryable(self) -> bool {
                match self { $(Code::$code => $retryable),* }
            }

            pub fn title(self) -> &'static str {
                match self { $(Code::$code => $title),* }
            }
        }
    };
}

catalogue! {
    Malformed = "malformed", 400, false, "The request cannot be read";
    IdempotencyKeyMissing = "idempotency_key_missing", 400, false, "This request needs an Idempotency-Key header";
    CertificateUnknown = "certificate_unknown", 401, false, "The client certificate is not registered with this alliance";
    CertificateRevoked = "certificate_revoked", 401, false, "The client certificate has been revoked";
    Forbidden = "forbidden", 403, false, "This caller may not do this";
    NotFound = "not_found", 404, false, "There is no such thing, or it is not yours";
    MethodNotAllowed = "method_not_allowed", 405, false, "This address does not take this method";
    RequestTimeout = "request_timeout", 408, true, "The request did not arrive in time";
    InFlight = "in_flight", 409, true, "An equal request is still being decided";
    DuplicateReference = "duplicate_reference", 409, false, "This external_reference already has its effect";
    Stale = "stale", 409, false, "A newer state is already known";
    AlreadyLinked = "already_linked", 409, false, "One of these people already has a membership at that brand";
    QuoteUsed = "quote_used", 409, false, "This quote has been used";
    UndoWindowClosed = "undo_window_closed", 409, false, "The time to undo or take it back is over, or it was undone already";
    DisputeClosed = "dispute_closed", 409, false, "The time to dispute lines of this window is over";
    QuoteExpired = "quote_expired", 410, false, "This quote has expired";
    TooLarge = "too_large", 413, false, "The body is larger than this address takes";
    UnsupportedMediaType = "unsupported_media_type", 415, false, "The body is of a type this address does not take";
    Invalid = "invalid", 422, false, "Some fields are not valid";
    IdempotencyMismatch = "idempotency_mismatch", 422, false, "This Idempotency-Key was used with another request";
    InsufficientPoints = "insufficient_points", 422, false, "The membership has not enough points";
    PointsOwed = "points_owed", 422, false, "The member owes points";
    BelowMinimum = "below_minimum", 422, false, "Below the minimum of this rate";
    AboveMaximum = "above_maximum", 422, false, "Above the maximum of this rate";
    NotAMultiple = "not_a_multiple", 422, false, "No conversion gives exactly this";
    LimitExceeded = "limit_exceeded", 422, false, "A limit of the member would be exceeded";
    ExposureExceeded = "exposure_exceeded", 422, false, "The exposure agreed between the brands would be exceeded";
    MemberNotLinked = "member_not_linked", 422, false, "The member is not linked to that brand";
    LinkCoolingOff = "link_cooling_off", 422, false, "The link is new and not open yet";
    LinkCodeInvalid = "link_code_invalid", 422, false, "This link code is wrong, used or expired";
    MembershipFrozen = "membership_frozen", 422, false, "The membership is frozen";
    MembershipClosed = "membership_closed", 422, false, "The membership is closed";
    PartnerSuspended = "partner_suspended", 422, false, "The partner is suspended";
    NoRate = "no_rate", 422, false, "There is no rate in force for this direction and tier";
    RateWorseThanAsked = "rate_worse_than_asked", 422, false, "The member would get less than the floor asked for";
    QuoteInvalid = "quote_invalid", 422, false, "This quote token is not valid";
    PointsSpent = "points_spent", 422, false, "The points that arrived have been spent";
    ReversalExceeds = "reversal_exceeds", 422, false, "More would be reversed than was left of the original";
    BalanceNotZero = "balance_not_zero", 422, false, "The membership still has points";
    OpenBusiness = "open_business", 422, false, "The membership has open business";
    NotEligible = "not_eligible", 422, false, "The member is not eligible for this benefit";
    SoldOut = "sold_out", 422, false, "None of this benefit is left";
    VoucherUsed = "voucher_used", 422, false, "The voucher has been redeemed";
    VoucherExpired = "voucher_expired", 422, false, "The voucher has expired";
    VoucherCancelled = "voucher_cancelled", 422, false, "The voucher has been cancelled";
    VoucherNotIssued = "voucher_not_issued", 422, false, "The voucher is reserved and not issued yet";
    AlreadyClaimed = "already_claimed", 422, false, "The member has had as many of this benefit as one may";
    NotToday = "not_today", 422, false, "The voucher is not good on this day";
    NotStackable = "not_stackable", 422, false, "These vouchers may not be used for one bill";
    BelowThreshold = "below_threshold", 422, false, "The bill is below what the coupon asks for";
    RateLimited = "rate_limited", 429, true, "Too many requests";
    HeadersTooLarge = "headers_too_large", 431, false, "The address and headers are too large";
    Internal = "internal", 500, false, "Something went wrong here";
    QueueFull = "queue_full", 503, true, "The queue is full";
    Busy = "busy", 503, true, "The account is busy";
    OutcomeUnknown = "outcome_unknown", 503, true, "The outcome is not known yet: ask again with the same key";
    Unavailable = "unavailable", 503, true, "The service is not available";
}

impl Code {
    /// The `type` of the problem.
    pub fn type_uri(self) -> String {
        format!("urn:hanse:problem:{}", self.text())
    }

    /// Seconds a client should wait: on 429 and 503 only.
    fn retry_after_s(self) -> Option<u64> {
        matches!(self.status(), 429 | 503).then_some(1)
    }
}

/// A no on its way out. Boxed, so that a `Result` that carries one stays small.
#[derive(Clone, Debug)]
pub struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    code: Code,
    detail: Option<Cow<'static, str>>,
    errors: Vec<FieldError>,
    hint: Hint,
    /// Of the request first refused; `None` takes that of the request being answered.
    request_id: Option<Uuid>,
    retry_after_s: Option<u64>,
    replayed: bool,
}

/// One field that is not valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// RFC 6901 pointer into the body; empty is the whole body. A query parameter is named `?name`.
    #[schema(example = "/points")]
    pub pointer: String,
    pub detail: Cow<'static, str>,
}

/// The body of a problem, `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Body {
    #[schema(example = "urn:hanse:problem:not_a_multiple")]
    pub r#type: String,
    pub title: &'static str,
    pub status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Cow<'static, str>>,
    /// Stable, catalogued, one meaning.
    #[schema(example = "not_a_multiple")]
    pub code: &'static str,
    /// The same request with the same key may be answered otherwise.
    pub retryable: bool,
    /// Of the request that was first refused.
    pub request_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// `not_a_multiple`: the nearest amount below that would do; 0 is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest_below: Option<i64>,
    /// `not_a_multiple`: the nearest amount above that would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest_above: Option<i64>,
    /// Points of the origin that would still pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points_left: Option<i64>,
    /// `duplicate_reference`: id of the first effect. `voucher_used`: the redemption that was the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_id: Option<String>,
    /// `not_eligible`: which condition the member does not meet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "tier")]
    pub unmet: Option<&'static str>,
}

impl Problem {
    pub fn new(code: Code) -> Problem {
        Problem(Box::new(Parts {
            code,
            detail: None,
            errors: Vec::new(),
            hint: Hint::None,
            request_id: None,
            retry_after_s: code.retry_after_s(),
            replayed: false,
        }))
    }

    /// Says more to people than the title does.
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Problem {
        self.0.detail = Some(detail.into());
        self
    }

    /// Seconds after which to come again, where that helps.
    pub fn retry_after_s(&self) -> Option<u64> {
        self.0.retry_after_s
    }

    pub fn retry_after(mut self, seconds: u64) -> Problem {
        self.0.retry_after_s = Some(seconds.max(1));
        self
    }

    /// Marks the answer as the first one again.
    pub fn replayed(mut self, replayed: bool) -> Problem {
        self.0.replayed = replayed;
        self
    }

    /// Whether this is the first answer again.
    pub fn is_replayed(&self) -> bool {
        self.0.replayed
    }

    pub fn not_found() -> Problem {
        Problem::new(Code::NotFound)
    }

    /// One field that is not valid, by its JSON pointer.
    pub fn field(pointer: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::invalid(vec![FieldError { pointer: pointer.into(), detail: detail.into() }])
    }

    pub fn invalid(errors: Vec<FieldError>) -> Problem {
        let mut problem = Problem::new(Code::Invalid);
        problem.0.errors = errors;
        problem
    }

    /// A 500: the cause is logged here, once, and stays here.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Problem {
        let mut chain = cause.to_string();
        let mut next = cause.source();
        while let Some(source) = next {
            chain.push_str(": ");
            chain.push_str(&source.to_string());
            next = source.source();
        }
        tracing::error!(error = %chain, "a request failed");
        Problem::new(Code::Internal)
    }

    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What the code needs to be useful.
    pub fn hint(&self) -> &Hint {
        &self.0.hint
    }

    /// Whether this field, a JSON pointer, is what is wrong.
    pub fn is_about(&self, pointer: &str) -> bool {
        self.0.errors.iter().any(|error| error.pointer == pointer)
    }

    /// What is sent, alone or as one outcome of a batch; `request_id` is that of the request being answered.
    pub fn body(&self, request_id: Uuid) -> Body {
        let parts = &*self.0;
        let mut body = Body {
            r#type: parts.code.type_uri(),
            title: parts.code.title(),
            status: parts.code.status(),
            detail: parts.detail.clone(),
            code: parts.code.text(),
            retryable: parts.code.retryable(),
            request_id: parts.request_id.unwrap_or(request_id).to_string(),
            errors: parts.errors.clone(),
            nearest_below: None,
            nearest_above: None,
            points_left: None,
            first_id: None,
            unmet: None,
        };
        match &parts.hint {
            // A field is among the errors.
            Hint::None | Hint::Field { .. } => {}
            Hint::Nearest { below, above } => {
                body.nearest_below = Some(*below);
                body.nearest_above = Some(*above);
            }
            Hint::Left { points } => body.points_left = Some(*points),
            Hint::First { id } | Hint::Redeemed { id } => body.first_id = Some(id.clone()),
            Hint::Unmet(unmet) => {
                body.unmet = Some(unmet.code());
                body.detail = body.detail.or(Some(unmet.text().into()));
            }
        }
        body
    }

    /// The whole answer to the request `request_id`.
    pub fn response(&self, request_id: Uuid) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE)));
        if let Some(seconds) = self.0.retry_after_s {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if self.0.replayed {
            response.insert_header((super::idempotency::REPLAYED, "true"));
        }
        // No float and no map with other than text keys: nothing here can fail to be written.
        response.body(serde_json::to_vec(&self.body(request_id)).unwrap_or_default())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code.text())
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The request-id middleware writes the answer anew from the problem, with the request's id.
    fn error_response(&self) -> HttpResponse {
        self.response(Uuid::nil())
    }
}

impl Responder for Problem {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::from_error(self)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let mut problem = Problem::new(refusal.code.into());
        if let Hint::Field { field, detail } = refusal.hint {
            problem.0.errors = vec![FieldError { pointer: format!("/{field}"), detail: detail.into() }];
        }
        problem.0.hint = refusal.hint;
        problem.0.request_id = Some(refusal.request_id);
        problem
    }
}

impl From<Undecided> for Problem {
    fn from(undecided: Undecided) -> Problem {
        Problem::new(match undecided {
            Undecided::QueueFull => Code::QueueFull,
            Undecided::Busy => Code::Busy,
            Undecided::InFlight => Code::InFlight,
            Undecided::OutcomeUnknown => Code::OutcomeUnknown,
            Undecided::Unavailable => Code::Unavailable,
            Undecided::Failed => Code::Internal,
        })
    }
}

impl From<DatabaseError> for Problem {
    fn from(cause: DatabaseError) -> Problem {
        if cause.is_unavailable() {
            tracing::warn!(error = %cause, "the database cannot answer");
            return Problem::new(Code::Unavailable);
        }
        Problem::internal(&cause)
    }
}

impl From<Refused> for Code {
    fn from(code: Refused) -> Code {
        match code {
            Refused::NotFound => Code::NotFound,
            Refused::Forbidden => Code::Forbidden,
            Refused::IdempotencyMismatch => Code::IdempotencyMismatch,
            Refused::DuplicateReference => Code::DuplicateReference,
            Refused::QuoteUsed => Code::QuoteUsed,
            Refused::QuoteInvalid => Code::QuoteInvalid,
            Refused::QuoteExpired => Code::QuoteExpired,
            Refused::PartnerSuspended => Code::PartnerSuspended,
            Refused::MembershipClosed => Code::MembershipClosed,
            Refused::MembershipFrozen => Code::MembershipFrozen,
            Refused::MemberNotLinked => Code::MemberNotLinked,
            Refused::LinkCoolingOff => Code::LinkCoolingOff,
            Refused::AlreadyLinked => Code::AlreadyLinked,
            Refused::NoRate => Code::NoRate,
            Refused::RateWorseThanAsked => Code::RateWorseThanAsked,
            Refused::BelowMinimum => Code::BelowMinimum,
            Refused::AboveMaximum => Code::AboveMaximum,
            Refused::NotAMultiple => Code::NotAMultiple,
            Refused::PointsOwed => Code::PointsOwed,
            Refused::InsufficientPoints => Code::InsufficientPoints,
            Refused::LimitExceeded => Code::LimitExceeded,
            Refused::ExposureExceeded => Code::ExposureExceeded,
            Refused::UndoWindowClosed => Code::UndoWindowClosed,
            Refused::PointsSpent => Code::PointsSpent,
            Refused::ReversalExceeds => Code::ReversalExceeds,
            Refused::Stale => Code::Stale,
            Refused::BalanceNotZero => Code::BalanceNotZero,
            Refused::OpenBusiness => Code::OpenBusiness,
            Refused::NotEligible => Code::NotEligible,
            Refused::SoldOut => Code::SoldOut,
            Refused::AlreadyClaimed => Code::AlreadyClaimed,
            Refused::VoucherUsed => Code::VoucherUsed,
            Refused::VoucherExpired => Code::VoucherExpired,
            Refused::VoucherCancelled => Code::VoucherCancelled,
            Refused::VoucherNotIssued => Code::VoucherNotIssued,
            Refused::NotToday => Code::NotToday,
            Refused::NotStackable => Code::NotStackable,
            Refused::BelowThreshold => Code::BelowThreshold,
            Refused::Invalid => Code::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_has_one_text_and_a_status_that_fits() {
        let texts: HashSet<_> = Code::ALL.iter().map(|code| code.text()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!((400..=503).contains(&code.status()), "{code:?}");
            assert_eq!(code.retry_after_s().is_some(), matches!(code.status(), 429 | 503), "{code:?}");
            assert!(!matches!(code.status(), 429 | 503) || code.retryable(), "{code:?}");
        }
    }

    #[test]
    fn a_stored_refusal_keeps_its_bytes_whoever_asks_again() {
        let first = Uuid::from_u128(7);
        let refusal =
            Refusal { code: Refused::NotAMultiple, request_id: first, hint: Hint::Nearest { below: 136, above: 138 } };
        let bytes = |asked_by: u128| {
            let problem = Problem::from(refusal.clone());
            serde_json::to_string(&problem.body(Uuid::from_u128(asked_by))).expect("a body is JSON")
        };
        assert_eq!(bytes(1), bytes(2));
        assert!(bytes(1).contains(r#""nearest_below":136,"nearest_above":138"#), "{}", bytes(1));
        assert!(bytes(1).contains(&first.to_string()));
    }
}
