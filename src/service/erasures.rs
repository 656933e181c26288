//! Erasure: a person is forgotten. The book closes the account, destroys mapping and tokens and keeps the money lines;
//! what stands beside the book (activities, link requests, who stood for a consent) is destroyed here.

use super::exchange::{self, Error, Exchange, Refused, keyless};
use super::memberships::find;
use crate::book::command::{Code, Command, Erase, Hint, Outcome, Refusal};
use crate::clock;
use crate::domain::holder::Holder;
use crate::domain::ids::{AccountId, Slug};
use crate::domain::text::Text;
use crate::store::settlement::disputes;
use crate::store::{activities, consents, erasures, link_requests, member_sessions};
use chrono::{DateTime, Utc};
use diesel::{Connection, PgConnection};
use uuid::Uuid;

/// Unfinished ones taken up again at a time.
const CATCH_UP_MAX: i64 = 100;

#[derive(Debug)]
pub struct Erased {
    pub id: Uuid,
    pub account: AccountId,
    pub at: DateTime<Utc>,
}

/// Erases the caller's member; refused while business is open, a dispute of one of its conversions or vouchers included.
pub async fn erase(exchange: &Exchange, caller: &Slug, request_id: Uuid, member_ref: Text) -> Result<Erased, Error> {
    let now = clock::now();
    let who = exchange::member_hash(caller, &member_ref);
    let (reader, partner) = (Holder::Partner(caller.clone()), caller.clone());
    let ask = move |conn: &mut PgConnection| {
        catch_up(conn, now)?;
        let account = find(conn, &reader, &member_ref)?.ok_or(Error::NotFound)?.account;
        // The book knows what it holds; disputes stand beside it.
        if disputes::is_any_about(conn, account)? {
            let refusal = Refusal { code: Code::OpenBusiness, request_id, hint: Hint::None };
            return Err(Error::Refused(Refused { refusal, replayed: false }));
        }
        Ok::<_, Error>((erasures::ask(conn, Uuid::now_v7(), account, &partner, now)?, account))
    };
    let (id, account) = exchange.database.run(ask).await?;
    let command = Command::Erase(Erase { who });
    let answer = exchange.book.submit(keyless(caller, request_id, Uuid::now_v7(), command)).await;
    exchange::expect(answer, |outcome| match outcome {
        Outcome::Erased => Some(()),
        _ => None,
    })?;
    exchange.database.run(move |conn| forget(conn, account, now)).await?;
    Ok(Erased { id, account, at: now })
}

/// Finishes erasures that a kill cut short after the book's part.
fn catch_up(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<(), Error> {
    for account in erasures::unfinished(conn, CATCH_UP_MAX)? {
        forget(conn, account, now)?;
    }
    Ok(())
}

fn forget(conn: &mut PgConnection, account: AccountId, now: DateTime<Utc>) -> Result<(), Error> {
    conn.transaction(|conn| {
        activities::erase(conn, account)?;
        link_requests::erase(conn, account)?;
        consents::erase(conn, account, now)?;
        member_sessions::end_all(conn, account)?;
        Ok(erasures::finish(conn, account, now)?)
    })
}
