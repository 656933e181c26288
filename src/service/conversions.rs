//! Conversions: asking the book for one or many, undoing and reversing them, finding them again.
//!
//! Nothing here reads the database on the way to the book: whatever depends on time or state is decided in the lane.

use super::answer::Side;
use super::exchange::{self, Call, Done, Error, Exchange, Item, Operation};
use super::quote_token;
use crate::book::command::{
    Answer, Ask, Command, ConfirmReversal, ConversionRow, Convert, Direction, Request, ReversalRow, Reverse, Undecided,
    Undo, Want,
};
use crate::book::store::rows;
use crate::domain::confirmation::Confirmation;
use crate::domain::holder::Holder;
use crate::domain::ids::{ConversionId, ReversalId, Slug};
use crate::domain::points::Points;
use crate::domain::text::Text;
use crate::store::memberships;
use diesel::PgConnection;
use std::sync::Arc;
use uuid::Uuid;

/// Items of one batch.
pub const BATCH_MAX: usize = 1_000;

/// One conversion as a caller asks for it.
#[derive(Debug)]
pub struct Wanted {
    pub by: By,
    pub reference: Option<Text>,
}

#[derive(Debug)]
pub enum By {
    /// A signed quote.
    Token(String),
    /// Quote and convert in one call.
    Now { member_ref: Text, direction: Direction, want: Want, floor: Option<Points> },
}

/// Carries out one conversion.
pub async fn convert(exchange: &Exchange, call: Call<'_>, wanted: Wanted) -> Result<Done<Arc<ConversionRow>>, Error> {
    let request = request(exchange, call, wanted)?;
    exchange::conversion_of(exchange.book.submit(request).await)
}

/// Carries out many, each by itself: an item's failure is its own. Outcomes are in the order of the items.
pub async fn convert_all(
    exchange: &Exchange,
    caller: &Slug,
    request_id: Uuid,
    items: Vec<Result<Item<Wanted>, Error>>,
) -> Vec<Result<Done<Arc<ConversionRow>>, Error>> {
    let make = |item: Item<Wanted>| request(exchange, Call { caller, request_id, key: &item.key }, item.wanted);
    let requests = items.into_iter().map(|item| item.and_then(make));
    submit_all(exchange, requests).await.into_iter().map(|answer| exchange::conversion_of(answer?)).collect()
}

/// Submits the requests that could be made and puts every outcome in its place.
pub(super) async fn submit_all(
    exchange: &Exchange,
    requests: impl Iterator<Item = Result<Request, Error>>,
) -> Vec<Result<Result<Answer, Undecided>, Error>> {
    let mut outcomes = Vec::new();
    let mut asked = Vec::new();
    for made in requests {
        match made {
            Ok(request) => {
                asked.push(request);
                outcomes.push(None);
            }
            Err(error) => outcomes.push(Some(error)),
        }
    }
    let mut answers = exchange.book.submit_all(asked).await.into_iter();
    let place = |failed: Option<Error>| match failed {
        Some(error) => Err(error),
        None => answers.next().ok_or(Error::Broken("the book answered fewer than were asked")),
    };
    outcomes.into_iter().map(place).collect()
}

fn request(exchange: &Exchange, call: Call<'_>, wanted: Wanted) -> Result<Request, Error> {
    let command = match wanted.by {
        By::Now { member_ref, direction, want, floor } => {
            Convert { who: exchange::member_hash(call.caller, &member_ref), direction, ask: Ask::Now { want, floor } }
        }
        By::Token(token) => quote_token::open(&exchange.keys, &token, call)?,
    };
    Ok(call.request(Operation::Conversion, Command::Convert(command), wanted.reference))
}

/// Undoes a conversion whole, within its time.
pub async fn undo(
    exchange: &Exchange,
    call: Call<'_>,
    conversion: ConversionId,
) -> Result<Done<Arc<ReversalRow>>, Error> {
    let request = call.request(Operation::Undo, Command::Undo(Undo { conversion }), None);
    exchange::reversal_of(exchange.book.submit(request).await)
}

/// Reverses base credit of a conversion, or asks the other side to let it be reversed.
pub async fn reverse(
    exchange: &Exchange,
    call: Call<'_>,
    reverse: Reverse,
    reference: Text,
) -> Result<Done<Arc<ReversalRow>>, Error> {
    let request = call.request(Operation::Reversal, Command::Reverse(reverse), Some(reference));
    exchange::reversal_of(exchange.book.submit(request).await)
}

/// The other side's yes to a reversal.
pub async fn confirm(
    exchange: &Exchange,
    call: Call<'_>,
    reversal: ReversalId,
) -> Result<Done<Arc<ReversalRow>>, Error> {
    let request = call.request(Operation::Confirmation, Command::ConfirmReversal(ConfirmReversal { reversal }), None);
    exchange::reversal_of(exchange.book.submit(request).await)
}

/// A conversion as it stands today, and from which side it is read.
#[derive(Debug)]
pub struct Found {
    pub row: ConversionRow,
    pub reversals: Vec<ReversalRow>,
    pub side: Side,
}

/// By its id; another partner's is not found.
pub async fn get(exchange: &Exchange, reader: &Holder, id: ConversionId) -> Result<Found, Error> {
    let reader = reader.clone();
    exchange
        .database
        .run(move |conn| {
            let row = rows::conversions(conn, &[id])?.pop();
            found(conn, &reader, row)?.ok_or(Error::NotFound)
        })
        .await
}

/// By the caller's own reference; operators have none.
pub async fn find_by_reference(exchange: &Exchange, reader: &Holder, reference: Text) -> Result<Option<Found>, Error> {
    let Holder::Partner(slug) = reader else { return Ok(None) };
    let (reader, hash) = (reader.clone(), exchange::reference_hash(slug, &reference));
    exchange
        .database
        .run(move |conn| {
            let Some(id) = memberships::subject_of(conn, hash.0)? else { return Ok(None) };
            let row = rows::conversions(conn, &[ConversionId(id)])?.pop();
            found(conn, &reader, row)
        })
        .await
}

/// By the number the member sees, however it was typed.
pub async fn find_by_confirmation(exchange: &Exchange, reader: &Holder, typed: &str) -> Result<Option<Found>, Error> {
    let Ok(confirmation) = typed.parse::<Confirmation>() else { return Ok(None) };
    let reader = reader.clone();
    exchange
        .database
        .run(move |conn| {
            let row = rows::conversion_at(conn, confirmation.batch_no(), confirmation.ordinal())?;
            found(conn, &reader, row)
        })
        .await
}

fn found(conn: &mut PgConnection, reader: &Holder, row: Option<ConversionRow>) -> Result<Option<Found>, Error> {
    let side = |row: &ConversionRow| match reader {
        Holder::Partner(slug) => Side::of(slug, &row.terms),
        Holder::Operator(_) => Some(Side::From),
    };
    let Some((row, side)) = row.and_then(|row| side(&row).map(|side| (row, side))) else { return Ok(None) };
    let reversals = rows::reversals_of(conn, row.id)?;
    Ok(Some(Found { row, reversals, side }))
}
