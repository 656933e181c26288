//! Credits and debits of hosted accounts, and taking them back.

use super::conversions::submit_all;
use super::exchange::{self, Call, Done, Error, Exchange, Item, Operation};
use crate::book::command::{Command, Credit, CreditKind, Debit, MovementRow, MovementSide, Request, ReverseMovement};
use crate::domain::expiry::Expiry;
use crate::domain::ids::Slug;
use crate::domain::points::Points;
use crate::domain::text::Text;
use chrono::NaiveDate;
use std::sync::Arc;
use uuid::Uuid;

/// One credit or debit as a caller asks for it.
#[derive(Debug)]
pub struct Wanted {
    pub member_ref: Text,
    pub points: Points,
    pub reason: Text,
    pub reference: Text,
    pub of: Of,
}

#[derive(Clone, Copy, Debug)]
pub enum Of {
    Credit { kind: CreditKind, expires: Option<Expiry>, available_on: Option<NaiveDate> },
    Debit,
}

/// Posts one.
pub async fn post(exchange: &Exchange, call: Call<'_>, wanted: Wanted) -> Result<Done<Arc<MovementRow>>, Error> {
    exchange::movement_of(exchange.book.submit(request(call, wanted)).await)
}

/// Posts many, each by itself. Outcomes are in the order of the items.
pub async fn post_all(
    exchange: &Exchange,
    caller: &Slug,
    request_id: Uuid,
    items: Vec<Result<Item<Wanted>, Error>>,
) -> Vec<Result<Done<Arc<MovementRow>>, Error>> {
    let make = |item: Item<Wanted>| request(Call { caller, request_id, key: &item.key }, item.wanted);
    let requests = items.into_iter().map(|item| item.map(make));
    submit_all(exchange, requests).await.into_iter().map(|answer| exchange::movement_of(answer?)).collect()
}

fn request(call: Call<'_>, wanted: Wanted) -> Request {
    let who = exchange::member_hash(call.caller, &wanted.member_ref);
    let (points, reason) = (wanted.points, wanted.reason.into_string());
    let (operation, command) = match wanted.of {
        Of::Credit { kind, expires, available_on } => {
            (Operation::Credit, Command::Credit(Credit { who, points, kind, reason, expires, available_on }))
        }
        Of::Debit => (Operation::Debit, Command::Debit(Debit { who, points, reason })),
    };
    call.request(operation, command, Some(wanted.reference))
}

/// Takes back part of a credit, or gives back part of a debit.
pub async fn reverse(
    exchange: &Exchange,
    call: Call<'_>,
    reverse: ReverseMovement,
    reference: Text,
) -> Result<Done<Arc<MovementRow>>, Error> {
    let operation = match reverse.of {
        MovementSide::Credit => Operation::CreditReversal,
        MovementSide::Debit => Operation::DebitReversal,
    };
    let request = call.request(operation, Command::ReverseMovement(reverse), Some(reference));
    exchange::movement_of(exchange.book.submit(request).await)
}
