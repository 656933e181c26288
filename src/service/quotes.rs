//! Quotes: what a conversion would do now, signed. Nothing is stored and nothing reserved.
//!
//! The book's own engine decides on a copy of what it would read, so that a quote is refused exactly as the conversion
//! would be, in the same order, and its forecast of lots is made by the code that makes them.

use super::exchange::{self, Error, Exchange, Refused};
use super::quote_token::{self, Issued};
use crate::book::command::{ConversionRow, Direction, DirectoryHash, Outcome, Quoted, Want};
use crate::book::preview::{self, Preview};
use crate::domain::ids::{QuoteId, Slug};
use crate::domain::points::Points;
use crate::domain::text::Text;
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;
use uuid::Uuid;

/// What a caller wants priced.
#[derive(Debug)]
pub struct Wanted {
    pub member_ref: Text,
    pub direction: Direction,
    pub want: Want,
}

/// A quote as answered.
#[derive(Debug)]
pub struct Quote {
    pub id: QuoteId,
    /// What the conversion would be if it were made at the instant of the quote.
    pub row: Arc<ConversionRow>,
    /// What stays with the member of the points offered.
    pub remainder: Points,
    pub expires_at: DateTime<Utc>,
    pub token: String,
}

/// Prices a wish and signs the price.
pub async fn create(exchange: &Exchange, caller: &Slug, request_id: Uuid, wanted: Wanted) -> Result<Quote, Error> {
    let want = wanted.want;
    let who = exchange::member_hash(caller, &wanted.member_ref);
    let asked = Preview { caller: caller.clone(), request_id, hash: who, direction: wanted.direction, want };
    let shared = exchange.catalogue.clone();
    let decide = move |conn: &mut diesel::PgConnection| {
        // Where no lane has decided anything since a partner was suspended, this server would not know it yet.
        let catalogue = exchange::newest(conn, &shared)?;
        let ttl = TimeDelta::seconds(i64::from(catalogue.alliance.quote_ttl_s));
        Ok::<_, Error>((preview::convert(conn, &catalogue, asked)?, ttl))
    };
    let (answer, ttl) = exchange.database.run(decide).await?;
    let row = match answer {
        Outcome::Conversion(row) => row,
        Outcome::Crossing(row) => Arc::new(row.forecast()),
        Outcome::Refused(refusal) => return Err(Error::Refused(Refused { refusal, replayed: false })),
        _ => return Err(Error::Broken("a preview answered another command")),
    };
    sign(exchange, (caller, who), row, want, ttl)
}

fn sign(
    exchange: &Exchange,
    (caller, who): (&Slug, DirectoryHash),
    row: Arc<ConversionRow>,
    want: Want,
    ttl: TimeDelta,
) -> Result<Quote, Error> {
    let id = QuoteId(Uuid::now_v7());
    let expires_at = row.at + ttl;
    let quoted = Quoted {
        quote: id,
        hash: quote_token::hash_of(id),
        expires_at,
        from_account: row.from_account,
        to_account: row.to_account,
        debit: row.debit,
        credit: row.credit,
        bonuses: row.bonuses.clone(),
        terms: row.terms.clone(),
    };
    let token = quote_token::seal(&exchange.keys, &Issued { asker: caller.clone(), who, quoted })?;
    let remainder = match want {
        Want::Points(offered) => offered.less(row.debit),
        Want::CreditPoints(_) => Points::ZERO,
    };
    Ok(Quote { id, row, remainder, expires_at, token })
}
