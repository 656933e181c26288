//! Activities: purchases and interactions, stored as they come, once per external reference.
//!
//! What they mean for tiers and growth is decided elsewhere; here they are kept whole.

use super::exchange::{self, Error, Exchange, Refused};
use crate::book::command::{Code, Hint, Refusal};
use crate::clock;
use crate::domain::ids::{AccountId, ActivityId, Slug};
use crate::domain::text::Text;
use crate::signing::digest;
pub use crate::store::activities::Spent;
use crate::store::activities::{self, Activity, Identity, Stored};
use crate::store::memberships;
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use uuid::Uuid;

/// Items of one batch.
pub const BATCH_MAX: usize = 1_000;

/// Version of the fingerprint's layout.
const LAYOUT: u8 = 1;

/// An activity as a brand tells it.
#[derive(Clone, Debug)]
pub struct Told {
    pub member_ref: Text,
    pub kind: Text,
    pub occurred_at: DateTime<Utc>,
    pub spent: Option<Spent>,
    pub categories: Vec<String>,
    pub channel: Option<Text>,
    pub store: Option<Text>,
    pub reference: Text,
}

/// Where it is kept, since when, and whether it was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub id: ActivityId,
    pub account: AccountId,
    pub received_at: DateTime<Utc>,
    pub replayed: bool,
}

/// Stores one; the same one again is found, another one under its reference is `duplicate_reference`.
pub async fn tell(exchange: &Exchange, caller: &Slug, request_id: Uuid, told: Told) -> Result<Kept, Error> {
    let mut kept = tell_all(exchange, caller, request_id, vec![Ok(told)]).await?;
    kept.pop().unwrap_or(Err(Error::Broken("one activity has one outcome")))
}

/// Stores many, each by itself. Outcomes are in the order of the items.
pub async fn tell_all(
    exchange: &Exchange,
    caller: &Slug,
    request_id: Uuid,
    items: Vec<Result<Told, Error>>,
) -> Result<Vec<Result<Kept, Error>>, Error> {
    let (now, caller) = (clock::now(), caller.clone());
    let hash = move |told: &Told| exchange::member_hash(&caller, &told.member_ref).0;
    let hashes: Vec<Uuid> = items.iter().flatten().map(&hash).collect();
    exchange
        .database
        .run(move |conn| {
            let accounts: HashMap<Uuid, AccountId> = memberships::locate(conn, &hashes)?.into_iter().collect();
            let mut keep = |told: Told| {
                let account = *accounts.get(&hash(&told)).ok_or(Error::NotFound)?;
                store(conn, told, account, now, request_id)
            };
            // Item by item, each its own: what is stored stays, whatever becomes of the next.
            Ok(items.into_iter().map(|item| item.and_then(&mut keep)).collect())
        })
        .await
}

fn store(
    conn: &mut diesel::PgConnection,
    told: Told,
    account: AccountId,
    now: DateTime<Utc>,
    request_id: Uuid,
) -> Result<Kept, Error> {
    let partner = memberships::of_account(conn, account)?.ok_or(Error::NotFound)?.partner;
    let reference =
        digest::directory_hash("activity", &[partner.as_str().as_bytes(), told.reference.as_str().as_bytes()]);
    let identity = Identity { reference, fingerprint: fingerprint(&told, account) };
    let id = ActivityId(Uuid::now_v7());
    let text = |text: Option<Text>| text.map(Text::into_string);
    let activity = Activity {
        id,
        partner,
        account,
        kind: told.kind.into_string(),
        occurred_at: told.occurred_at,
        received_at: now,
        spent: told.spent,
        categories: told.categories,
        channel: text(told.channel),
        store: text(told.store),
        reference: told.reference.into_string(),
    };
    let Stored { activity_id, fingerprint, received_at } = activities::insert(conn, &activity, identity)?;
    if fingerprint != identity.fingerprint {
        let first = Hint::First { id: ActivityId(activity_id).to_string() };
        let refusal = Refusal { code: Code::DuplicateReference, request_id, hint: first };
        return Err(Error::Refused(Refused { refusal, replayed: false }));
    }
    Ok(Kept { id: ActivityId(activity_id), account, received_at, replayed: activity_id != id.0 })
}

/// Of everything a brand tells, so that the same reference with other content is noticed.
fn fingerprint(told: &Told, account: AccountId) -> Uuid {
    let spent = told.spent.as_ref();
    let at = told.occurred_at.timestamp_micros();
    let mut bytes = Vec::with_capacity(256);
    let mut put = |part: &[u8]| {
        bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
    };
    put(account.0.as_bytes());
    put(told.kind.as_str().as_bytes());
    put(&at.to_be_bytes());
    put(&spent.map_or(-1, |spent| spent.amount.get()).to_be_bytes());
    put(spent.map_or("", |spent| &spent.currency).as_bytes());
    put(told.channel.as_ref().map_or("", Text::as_str).as_bytes());
    put(told.store.as_ref().map_or("", Text::as_str).as_bytes());
    for category in &told.categories {
        put(category.as_bytes());
    }
    digest::fingerprint(LAYOUT, &bytes)
}
