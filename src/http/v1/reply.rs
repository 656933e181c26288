//! Answers: the bytes, and whether they are the first ones again.

use crate::http::idempotency::REPLAYED;
use crate::http::problem::{Body, Problem};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A JSON answer.
pub fn json(status: StatusCode, body: &impl Serialize) -> Result<HttpResponse, Problem> {
    first_or_again(status, body, false)
}

/// The answer to a request that has its effect once.
pub fn first_or_again(status: StatusCode, body: &impl Serialize, replayed: bool) -> Result<HttpResponse, Problem> {
    // A conversion takes about 900 bytes: one allocation.
    let mut bytes = Vec::with_capacity(1_024);
    serde_json::to_writer(&mut bytes, body).map_err(|error| Problem::internal(&error))?;
    let mut answer = HttpResponse::build(status);
    answer.insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
    if replayed {
        answer.insert_header((REPLAYED, HeaderValue::from_static("true")));
    }
    Ok(answer.body(bytes))
}

/// The outcomes of a batch, in the order of its items.
#[derive(Debug, Serialize, ToSchema)]
pub struct Outcomes<T> {
    pub items: Vec<T>,
}

impl<T> Outcomes<Outcome<T>> {
    /// Points each problem's fields into the batch's body.
    pub fn new(items: impl Iterator<Item = Outcome<T>>) -> Outcomes<Outcome<T>> {
        Outcomes { items: items.enumerate().map(|(index, outcome)| outcome.at(index)).collect() }
    }
}

/// One item's problem, as a single request would have got it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ItemRefused)]
pub struct Refused {
    #[schema(example = 422)]
    pub status: u16,
    /// Present and true when this is the first answer again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    pub problem: Body,
}

/// An item's outcome: what it made, or its problem.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Outcome<T> {
    Made(T),
    Refused(Box<Refused>),
}

impl<T> Outcome<T> {
    /// What the book alone can tell of a field names it within its item.
    fn at(mut self, index: usize) -> Outcome<T> {
        if let Outcome::Refused(refused) = &mut self {
            let errors = refused.problem.errors.iter_mut();
            for error in errors.filter(|error| !error.pointer.starts_with("/items/")) {
                error.pointer = format!("/items/{index}{}", error.pointer);
            }
        }
        self
    }

    pub fn refused(problem: &Problem, request_id: Uuid) -> Outcome<T> {
        let problem = Refused {
            status: problem.code().status(),
            replayed: problem.is_replayed(),
            problem: problem.body(request_id),
        };
        Outcome::Refused(Box::new(problem))
    }
}
