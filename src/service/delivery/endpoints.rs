//! What the owners of endpoints ask for: making, changing, trying and ending them, and looking at what was sent.

use super::attempt::Target;
use super::look;
use crate::book::seal;
use crate::clock;
use crate::domain::delivery::Why;
use crate::domain::ids::{DeliveryId, EventId, Slug, WebhookId};
use crate::partner::address::{Address, Refused};
use crate::service::answer::Shown;
use crate::service::events::{self, Event};
use crate::service::exchange::Error;
use crate::service::keys::Keys;
use crate::service::outbound::{self, Outbound};
use crate::signing::sealing::SealingKey;
use crate::signing::webhook::Secret;
use crate::store::webhooks::courier::{self, Waking};
pub use crate::store::webhooks::log::Delivery;
use crate::store::webhooks::log::{self, Standing};
use crate::store::webhooks::{self, Row, SIGNING_MAX, Sealed, Wanted};
use crate::store::{self, Database, crossings, partners};
use chrono::{DateTime, Utc};
use diesel::{Connection, PgConnection};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use uuid::Uuid;

/// Endpoints of one partner.
pub const WEBHOOKS_MAX: usize = 4;
/// Event types that one endpoint may name.
pub const TYPES_MAX: usize = 64;

/// Cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    pub database: Database,
    pub keys: Arc<Keys>,
    pub outbound: Arc<Outbound>,
    pub sealing: Arc<SealingKey>,
    pub bell: Arc<Notify>,
    pub deadline: Duration,
}

/// A new endpoint, or how one is to be.
#[derive(Clone, Debug)]
pub struct Ask {
    pub url: String,
    /// `None` is every type.
    pub types: Option<Vec<String>>,
}

/// Where an endpoint stands in its partner's feed.
#[derive(Clone, Debug)]
pub struct Shows {
    pub row: Row,
    /// Events after its cursor.
    pub backlog: i64,
}

/// What became of a test.
#[derive(Clone, Debug)]
pub struct Tested {
    pub event: EventId,
    pub delivered: bool,
    pub status: Option<u16>,
    pub error: Option<&'static str>,
    pub detail: Option<String>,
    pub ms: u64,
}

/// The id of an event at an endpoint.
pub fn delivery_id(no: i64, sequence: i64) -> DeliveryId {
    let half = |number: i64| u64::try_from(number).unwrap_or_default();
    DeliveryId(Uuid::from_u64_pair(half(no), half(sequence)))
}

fn place(id: DeliveryId) -> Option<(i64, i64)> {
    let (no, sequence) = id.0.as_u64_pair();
    Some((i64::try_from(no).ok()?, i64::try_from(sequence).ok()?))
}

impl Webhooks {
    /// Checks what can be checked without asking anybody.
    fn wanted(&self, ask: Ask) -> Result<(Wanted, Address), Error> {
        let url = self.outbound.check(&ask.url).map_err(|why| Error::field("/url", url_fault(&why)))?;
        if let Some(types) = &ask.types {
            if types.is_empty() || types.len() > TYPES_MAX {
                return Err(Error::field("/types", "must be null, for all types, or a list of 1 to 64 of them"));
            }
            if let Some(at) = types.iter().position(|text| !events::types().any(|known| known == text)) {
                return Err(Error::field(
                    &format!("/types/{at}"),
                    "must be a type of event, as the contract lists them",
                ));
            }
        }
        Ok((Wanted { url: url.as_str().to_owned(), types: ask.types }, url))
    }

    /// Makes an endpoint with its secret, which is told now and never again. It begins with the event `from`, or else
    /// with what happens from now on.
    pub async fn create(&self, caller: Slug, ask: Ask, from: Option<i64>) -> Result<(Shows, Secret), Error> {
        let (wanted, address) = self.wanted(ask)?;
        let (secret, sealed) = self.new_secret()?;
        let unit = move |conn: &mut PgConnection| {
            // Whatever was answered before this was asked is before it.
            seal::seal_now(conn)?;
            conn.transaction(|conn| {
                webhooks::lock(conn, &caller)?;
                // Closing ends its webhooks under the same lock: a call that was let in just before makes none after.
                if partners::find(conn, &caller)?.is_some_and(|standing| standing.closed_at.is_some()) {
                    return Err(Error::Forbidden);
                }
                if webhooks::list(conn, Some(&caller))?.len() >= WEBHOOKS_MAX {
                    return Err(Error::field("/url", "this partner has four webhooks already"));
                }
                check_whose(conn, &caller, &address)?;
                let head = seal::head(conn, &caller)?;
                let cursor = match from {
                    Some(from) if (1..=head + 1).contains(&from) => from - 1,
                    Some(_) => return Err(Error::field("/from_sequence", "must be 1 to the sequence that comes next")),
                    None => head,
                };
                let row = webhooks::insert(conn, WebhookId(Uuid::now_v7()), &caller, &wanted, cursor)?;
                webhooks::rotate(conn, row.no, &sealed, 0)?;
                Ok(Shows { backlog: head - row.cursor, row })
            })
        };
        let made = self.database.run(unit).await?;
        self.bell.notify_waiters();
        Ok((made, secret))
    }

    pub async fn list(&self, caller: Slug) -> Result<Vec<Shows>, Error> {
        let unit = move |conn: &mut PgConnection| {
            let head = seal::head(conn, &caller)?;
            let rows = webhooks::list(conn, Some(&caller))?;
            Ok(rows.into_iter().map(|row| Shows { backlog: (head - row.cursor).max(0), row }).collect())
        };
        self.database.run(unit).await
    }

    pub async fn get(&self, caller: Slug, id: WebhookId) -> Result<Shows, Error> {
        self.with(caller, id, |_, row| Ok(row)).await
    }

    /// Another URL, other types, stopped or going on: as its owner wants it from now on.
    pub async fn change(&self, caller: Slug, id: WebhookId, ask: Ask, active: bool) -> Result<Shows, Error> {
        let (wanted, address) = self.wanted(ask)?;
        let changed = self.with(caller, id, move |conn, row| {
            check_whose(conn, &row.partner, &address)?;
            let changed = webhooks::change(conn, row.no, &wanted)?;
            match (row.health.suspended, active) {
                (Some(_), true) => Ok(webhooks::resume(conn, row.no)?),
                (None, true) if row.health.is_open() => Ok(webhooks::resume(conn, row.no)?),
                (None, false) => Ok(webhooks::suspend(conn, row.no)?),
                (Some(Why::Asked | Why::Gone | Why::Failing), false) | (None, true) => Ok(changed),
            }
        });
        let changed = changed.await?;
        self.bell.notify_waiters();
        if active {
            self.wake(changed.row.no, changed.row.state_at).await?;
        }
        Ok(changed)
    }

    /// Whatever waited for a later try when an endpoint was set going is due now. To its end, though nobody waits for it.
    async fn wake(&self, no: i64, until: DateTime<Utc>) -> Result<(), Error> {
        let (database, bell) = (self.database.clone(), Arc::clone(&self.bell));
        let all = tokio::spawn(async move {
            let mut left = Some(Waking { since: None, until, after: None });
            while let Some(waking) = left {
                let wake = move |conn: &mut PgConnection| Ok::<_, Error>(courier::wake(conn, no, waking)?);
                left = database.run(wake).await?;
                bell.notify_waiters();
            }
            Ok(())
        });
        all.await.map_err(|_| Error::Broken("waking deliveries panicked"))?
    }

    pub async fn end(&self, caller: Slug, id: WebhookId) -> Result<(), Error> {
        self.with(caller, id, |conn, row| Ok(webhooks::end(conn, row.no).map(|()| row)?)).await.map(|_| ())
    }

    /// A new secret, told now and never again; those before sign beside it for so long at most.
    pub async fn rotate(&self, caller: Slug, id: WebhookId, overlap_hours: i32) -> Result<(Shows, Secret), Error> {
        let (secret, sealed) = self.new_secret()?;
        let unit = move |conn: &mut PgConnection, row: Row| {
            if webhooks::rotate(conn, row.no, &sealed, overlap_hours * 3_600)? > SIGNING_MAX {
                return Err(Error::field(
                    "/overlap_hours",
                    "four secrets sign already: must be 0 until one of them ends",
                ));
            }
            Ok(row)
        };
        let shows = self.with(caller, id, unit).await?;
        self.bell.notify_waiters();
        Ok((shows, secret))
    }

    fn new_secret(&self) -> Result<(Secret, Sealed), Error> {
        let secret = Secret::generate().map_err(|_| Error::Broken("the system has no randomness"))?;
        let secret_id = Uuid::now_v7();
        let sealed = self.sealing.seal(&secret_id.to_string(), secret.bytes());
        let sealed = sealed.map_err(|_| Error::Broken("a secret cannot be sealed"))?;
        Ok((secret, Sealed { secret_id, sealed }))
    }

    /// Sends an event that is in no feed, with the sequence 0, and tells what became of it. It is not in the log. Who takes
    /// it while its breaker is open is sent everything else, too.
    pub async fn test(&self, caller: Slug, id: WebhookId) -> Result<Tested, Error> {
        let (sealing, owner) = (Arc::clone(&self.sealing), caller.clone());
        let unit = move |conn: &mut PgConnection| {
            let row = webhooks::find(conn, &owner, id)?.ok_or(Error::NotFound)?;
            let sealed = webhooks::secrets(conn, row.no)?;
            let secrets = sealed.iter().map(|one| look::open(&sealing, one)).collect::<Result<Vec<_>, _>>()?;
            Ok::<_, Error>((row, secrets))
        };
        let (row, secrets) = self.database.run(unit).await?;
        let dialer = self.outbound.dialer(&row.partner).map_err(not_ours_to_call)?;
        let event = EventId(Uuid::now_v7());
        let broken = |_| Error::Broken("a test event cannot be written as JSON");
        let data = RawValue::from_string(format!(r#"{{"webhook_id":"{}"}}"#, row.id)).map_err(broken)?;
        let body = Event { id: Shown(event), r#type: "webhook.test", timestamp: clock::now(), sequence: 0, data };
        let body = serde_json::to_vec(&body).map_err(broken)?;
        let (url, secrets, keys) = (row.url.as_str().into(), secrets.into(), Arc::clone(&self.keys));
        let attempt = Target { dialer, keys, url, secrets, deadline: self.deadline }.send(event, body.into()).await;
        if attempt.error.is_none() && row.health.is_open() {
            self.close_breaker(caller, id).await?;
        }
        Ok(Tested {
            event,
            delivered: attempt.error.is_none(),
            status: attempt.status,
            error: attempt.error,
            detail: attempt.detail,
            ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
        })
    }

    async fn close_breaker(&self, caller: Slug, id: WebhookId) -> Result<(), Error> {
        let closed = self.with(caller, id, |conn, row| match row.health.suspended {
            None if row.health.is_open() => Ok(webhooks::resume(conn, row.no)?),
            _ => Ok(row),
        });
        let closed = closed.await?;
        self.bell.notify_waiters();
        match closed.row.health.suspended {
            None => self.wake(closed.row.no, closed.row.state_at).await,
            Some(_) => Ok(()),
        }
    }

    /// What was sent to an endpoint and what waits, the newest first.
    pub async fn deliveries(
        &self,
        caller: Slug,
        id: WebhookId,
        state: Option<&'static str>,
        before: Option<i64>,
        limit: i64,
    ) -> Result<(i64, Vec<Delivery>), Error> {
        let unit = move |conn: &mut PgConnection| {
            let row = webhooks::find(conn, &caller, id)?.ok_or(Error::NotFound)?;
            Ok((row.no, log::list(conn, row.no, state, before, limit)?))
        };
        self.database.run(unit).await
    }

    /// Sends an event again, whatever became of it before.
    pub async fn resend(&self, caller: Slug, id: DeliveryId, by: String) -> Result<(i64, Delivery), Error> {
        self.resend_and(caller, id, by, |_| Ok(())).await
    }

    /// The same, with `also` in its transaction.
    pub async fn resend_and(
        &self,
        caller: Slug,
        id: DeliveryId,
        by: String,
        also: impl FnOnce(&mut PgConnection) -> Result<(), Error> + Send + 'static,
    ) -> Result<(i64, Delivery), Error> {
        let (no, sequence) = place(id).ok_or(Error::NotFound)?;
        let unit = move |conn: &mut PgConnection| {
            conn.transaction(|conn| {
                webhooks::find_no(conn, &caller, no)?.ok_or(Error::NotFound)?;
                log::resend(conn, no, sequence)?;
                let delivery = log::find(conn, no, sequence)?.ok_or(Error::NotFound)?;
                also(conn)?;
                Ok::<_, Error>(delivery)
            })
        };
        let delivery = self.database.run(unit).await?;
        tracing::info!(delivery.id = %id, by, "a delivery is sent again");
        self.bell.notify_waiters();
        Ok((no, delivery))
    }

    /// Sends again what has died since an instant; how many events. To its end, though nobody waits for it.
    pub async fn recover(&self, caller: Slug, id: WebhookId, since: DateTime<Utc>, by: String) -> Result<usize, Error> {
        let (database, bell) = (self.database.clone(), Arc::clone(&self.bell));
        let all = tokio::spawn(async move {
            let (mut count, mut left) = (0, Some(0));
            while let Some(after) = left {
                let caller = caller.clone();
                let unit = move |conn: &mut PgConnection| {
                    conn.transaction(|conn| {
                        let row = webhooks::find(conn, &caller, id)?.ok_or(Error::NotFound)?;
                        Ok::<_, Error>(log::recover(conn, row.no, since, after)?)
                    })
                };
                let (some, next) = database.run(unit).await?;
                (count, left) = (count + some, next);
                bell.notify_waiters();
            }
            tracing::info!(webhook.id = %id, by, count, "what had died at a webhook is sent again");
            Ok(count)
        });
        all.await.map_err(|_| Error::Broken("recovering deliveries panicked"))?
    }

    async fn with<F>(&self, caller: Slug, id: WebhookId, unit: F) -> Result<Shows, Error>
    where
        F: FnOnce(&mut PgConnection, Row) -> Result<Row, Error> + Send + 'static,
    {
        let unit = move |conn: &mut PgConnection| {
            conn.transaction(|conn| {
                webhooks::lock(conn, &caller)?;
                let row = webhooks::find(conn, &caller, id)?.ok_or(Error::NotFound)?;
                let row = unit(conn, row)?;
                let head = seal::head(conn, &caller)?;
                Ok(Shows { backlog: (head - row.cursor).max(0), row })
            })
        };
        self.database.run(unit).await
    }
}

/// Everybody's endpoints, each with its numbers.
pub fn survey(conn: &mut PgConnection) -> Result<Vec<(Row, Standing)>, store::Error> {
    let rows = webhooks::list(conn, None)?;
    let mut standings = log::standings(conn)?;
    let of = |row: Row| {
        let at = standings.iter().position(|one| one.webhook_no == row.no)?;
        Some((row, standings.swap_remove(at)))
    };
    Ok(rows.into_iter().filter_map(of).collect())
}

/// What was sent to an endpoint last and what waits, the newest first; of one state, if one is named.
pub fn last(
    conn: &mut PgConnection,
    row: &Row,
    state: Option<&str>,
    limit: i64,
) -> Result<Vec<Delivery>, store::Error> {
    Ok(log::list(conn, row.no, state, None, limit)?)
}

fn not_ours_to_call(error: outbound::Error) -> Error {
    tracing::error!(%error, "a webhook cannot be tested");
    Error::Broken("there is no certificate for calling partners")
}

/// One partner's events are not pushed to where another one's ledger answers: what comes there is signed by us too. Who
/// shares the place with the other, as both may whose ledgers one house runs, may name it.
fn check_whose(conn: &mut PgConnection, caller: &Slug, address: &Address) -> Result<(), Error> {
    let endpoints = crossings::endpoints(conn)?;
    let there: Vec<_> = endpoints.iter().filter(|(_, url)| address.is_at(url)).map(|(partner, _)| partner).collect();
    if there.is_empty() || there.contains(&caller) {
        return Ok(());
    }
    Err(Error::field("/url", "must not be at the endpoint of another partner"))
}

fn url_fault(why: &Refused) -> &'static str {
    match why {
        Refused::Form => "must be a URL in its usual spelling, at most 512 characters",
        Refused::Scheme => "must begin with https://",
        Refused::UserInfo => "must not carry a user name or a password",
        Refused::Fragment => "must not have a fragment",
        Refused::Query => "must not have a query",
        Refused::Host | Refused::Segment(_) => "must name a host by its plain name or address",
        Refused::Port(_) => "must be on port 443, or one from 1024 on where no other service is usual",
        Refused::Address(_) => "must be an address of the public internet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_named_by_its_endpoint_and_its_event() {
        let id = delivery_id(3, 70_000);
        assert_eq!(id.to_string(), "dlv_00000000000000030000000000011170");
        assert_eq!(place(id), Some((3, 70_000)));
        assert_eq!(place(DeliveryId(Uuid::max())), None);
    }
}
