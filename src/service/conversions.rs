//! Conversions: asking the book for one or many, undoing and reversing them, finding them again.
//!
//! Nothing here reads the database on the way to the book: whatever depends on time or state is decided in the lane.

use super::answer::Side;
use super::crossings::Next;
use super::exchange::{self, Call, Done, Error, Exchange, Item, Operation};
use super::quote_token;
use crate::book::command::{
    Answer, Ask, Command, ConfirmReversal, ConversionRow, Convert, CrossingRow, Direction, Outcome, Request,
    ReversalRow, ReversalState, Reverse, Undecided, Undo, Want,
};
use crate::book::crossing::Kind;
use crate::book::store::crossings::{self, Wished};
use crate::book::store::rows;
use crate::domain::confirmation::Confirmation;
use crate::domain::holder::Holder;
use crate::domain::ids::{ConversionId, ReversalId, Slug};
use crate::domain::points::Points;
use crate::domain::terms::Terms;
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
    /// A signed quote of this member's; another's is `quote_invalid`.
    TokenOf { token: String, member_ref: Text },
    /// Quote and convert in one call.
    Now { member_ref: Text, direction: Direction, want: Want, floor: Option<Points> },
}

/// What a conversion came to at once.
#[derive(Clone, Debug)]
pub enum Converted {
    Completed(Arc<ConversionRow>),
    /// Accepted, and on its way between two ledgers.
    Pending(Arc<CrossingRow>),
}

/// Carries out one conversion.
pub async fn convert(exchange: &Exchange, call: Call<'_>, wanted: Wanted) -> Result<Done<Converted>, Error> {
    let request = request(exchange, call, wanted)?;
    converted(exchange, exchange.book.submit(request).await)
}

fn converted(exchange: &Exchange, answer: Result<Answer, Undecided>) -> Result<Done<Converted>, Error> {
    let done = exchange::expect(answer, |outcome| match outcome {
        Outcome::Conversion(row) => Some(Converted::Completed(row)),
        Outcome::Crossing(row) => Some(Converted::Pending(row)),
        _ => None,
    })?;
    if let (Converted::Pending(row), false) = (&done.row, done.replayed) {
        exchange.crossings.go_on(Next::Row(row.clone()));
    }
    Ok(done)
}

/// Carries out many, each by itself: an item's failure is its own. Outcomes are in the order of the items.
pub async fn convert_all(
    exchange: &Exchange,
    caller: &Slug,
    request_id: Uuid,
    items: Vec<Result<Item<Wanted>, Error>>,
) -> Vec<Result<Done<Converted>, Error>> {
    let make = |item: Item<Wanted>| request(exchange, Call { caller, request_id, key: &item.key }, item.wanted);
    let requests = items.into_iter().map(|item| item.and_then(make));
    submit_all(exchange, requests).await.into_iter().map(|answer| converted(exchange, answer?)).collect()
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
        By::TokenOf { token, member_ref } => {
            let convert = quote_token::open(&exchange.keys, &token, call)?;
            if convert.who != exchange::member_hash(call.caller, &member_ref) {
                return Err(quote_token::invalid(call));
            }
            convert
        }
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
    taken_back(exchange, exchange.book.submit(request).await)
}

/// Reverses base credit of a conversion, or asks the other side to let it be reversed.
pub async fn reverse(
    exchange: &Exchange,
    call: Call<'_>,
    reverse: Reverse,
    reference: Text,
) -> Result<Done<Arc<ReversalRow>>, Error> {
    let request = call.request(Operation::Reversal, Command::Reverse(reverse), Some(reference));
    taken_back(exchange, exchange.book.submit(request).await)
}

/// The other side's yes to a reversal.
pub async fn confirm(
    exchange: &Exchange,
    call: Call<'_>,
    reversal: ReversalId,
) -> Result<Done<Arc<ReversalRow>>, Error> {
    let request = call.request(Operation::Confirmation, Command::ConfirmReversal(ConfirmReversal { reversal }), None);
    taken_back(exchange, exchange.book.submit(request).await)
}

fn taken_back(exchange: &Exchange, answer: Result<Answer, Undecided>) -> Result<Done<Arc<ReversalRow>>, Error> {
    let done = exchange::reversal_of(answer)?;
    if done.row.state == ReversalState::Pending && !done.replayed {
        exchange.crossings.go_on(Next::Id(done.row.id.0));
    }
    Ok(done)
}

/// A conversion as it stands today, and from which side it is read.
#[derive(Debug)]
pub struct Found {
    pub stands: Stands,
    pub side: Side,
}

#[derive(Debug)]
pub enum Stands {
    /// Posted; if it crossed, how far the origin's capture is.
    Posted { row: Box<ConversionRow>, reversals: Vec<ReversalRow>, crossing: Option<Box<CrossingRow>> },
    /// Not posted, or never to be.
    Crossing(Box<CrossingRow>),
}

/// By its id; another partner's is not found.
pub async fn get(exchange: &Exchange, reader: &Holder, id: ConversionId) -> Result<Found, Error> {
    let reader = reader.clone();
    exchange.database.run(move |conn| find(conn, &reader, id)?.ok_or(Error::NotFound)).await
}

/// By the caller's own reference; operators have none.
pub async fn find_by_reference(exchange: &Exchange, reader: &Holder, reference: Text) -> Result<Option<Found>, Error> {
    let Holder::Partner(slug) = reader else { return Ok(None) };
    let (reader, hash) = (reader.clone(), exchange::reference_hash(slug, &reference));
    exchange
        .database
        .run(move |conn| match memberships::subject_of(conn, hash.0)? {
            Some(id) => find(conn, &reader, ConversionId(id)),
            None => Ok(None),
        })
        .await
}

/// By the number the member sees, however it was typed.
pub async fn find_by_confirmation(exchange: &Exchange, reader: &Holder, typed: &str) -> Result<Option<Found>, Error> {
    let Ok(confirmation) = typed.parse::<Confirmation>() else { return Ok(None) };
    let (reader, place) = (reader.clone(), (confirmation.batch_no(), confirmation.ordinal()));
    exchange
        .database
        .run(move |conn| {
            let id = match rows::conversion_at(conn, place.0, place.1)? {
                Some(row) => Some(row.id),
                None => crossings::at(conn, place.0, place.1)?.map(|row| row.conversion),
            };
            id.map_or(Ok(None), |id| find(conn, &reader, id))
        })
        .await
}

fn find(conn: &mut PgConnection, reader: &Holder, id: ConversionId) -> Result<Option<Found>, Error> {
    let side = |terms: &Terms| match reader {
        Holder::Partner(slug) => Side::of(slug, terms),
        Holder::Operator(_) => Some(Side::From),
    };
    let crossing = crossings::find(conn, Wished { ids: vec![id.0], ..Wished::default() })?.pop().map(Box::new);
    if let Some(row) = rows::conversions(conn, &[id])?.pop().map(Box::new) {
        let reversals = rows::reversals_of(conn, row.id)?;
        let side = side(&row.terms);
        return Ok(side.map(|side| Found { stands: Stands::Posted { row, reversals, crossing }, side }));
    }
    let Some(row) = crossing.filter(|row| row.kind == Kind::Conversion) else { return Ok(None) };
    let side = side(&row.terms);
    Ok(side.map(|side| Found { stands: Stands::Crossing(row), side }))
}
