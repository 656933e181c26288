//! Activities: purchases and interactions as brands report them, once per external reference.

use crate::domain::ids::{AccountId, ActivityId, Slug};
use crate::domain::money::Millionths;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    pub id: ActivityId,
    pub partner: Slug,
    pub account: AccountId,
    pub kind: String,
    pub occurred_at: DateTime<Utc>,
    pub received_at: DateTime<Utc>,
    pub spent: Option<Spent>,
    pub categories: Vec<String>,
    pub channel: Option<String>,
    pub store: Option<String>,
    pub reference: String,
}

/// An amount with its currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    pub amount: Millionths,
    /// ISO 4217.
    pub currency: String,
}

/// What tells whether the same reference came with the same content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub reference: Uuid,
    pub fingerprint: Uuid,
}

/// What became of one: its id, and the fingerprint it was first stored with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub struct Stored {
    #[diesel(sql_type = SqlUuid)]
    pub activity_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub fingerprint: Uuid,
    #[diesel(sql_type = Timestamptz)]
    pub received_at: DateTime<Utc>,
}

/// Stores an activity, or finds the one already stored under its reference.
pub fn insert(conn: &mut PgConnection, activity: &Activity, identity: Identity) -> QueryResult<Stored> {
    let inserted = sql_query(
        "INSERT INTO activities (activity_id, reference_hash, fingerprint, partner, account_id, type, occurred_at, \
             received_at, amount, currency, categories, channel, store, reference) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
         ON CONFLICT (reference_hash) DO NOTHING RETURNING activity_id, fingerprint, received_at",
    )
    .bind::<SqlUuid, _>(activity.id.0)
    .bind::<SqlUuid, _>(identity.reference)
    .bind::<SqlUuid, _>(identity.fingerprint)
    .bind::<Text, _>(activity.partner.as_str())
    .bind::<SqlUuid, _>(activity.account.0)
    .bind::<Text, _>(&activity.kind)
    .bind::<Timestamptz, _>(activity.occurred_at)
    .bind::<Timestamptz, _>(activity.received_at)
    .bind::<Nullable<BigInt>, _>(activity.spent.as_ref().map(|spent| spent.amount.get()))
    .bind::<Nullable<Text>, _>(activity.spent.as_ref().map(|spent| spent.currency.as_str()))
    .bind::<Array<Text>, _>(&activity.categories)
    .bind::<Nullable<Text>, _>(&activity.channel)
    .bind::<Nullable<Text>, _>(&activity.store)
    .bind::<Text, _>(&activity.reference)
    .get_result::<Stored>(conn)
    .optional()?;
    match inserted {
        Some(stored) => Ok(stored),
        // It is there: nothing but erasure deletes activities, and erasure answers for itself.
        None => sql_query("SELECT activity_id, fingerprint, received_at FROM activities WHERE reference_hash = $1")
            .bind::<SqlUuid, _>(identity.reference)
            .get_result(conn),
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    activity_id: Uuid,
    #[diesel(sql_type = Text)]
    partner: String,
    #[diesel(sql_type = Text)]
    r#type: String,
    #[diesel(sql_type = Timestamptz)]
    occurred_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    received_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<BigInt>)]
    amount: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    currency: Option<String>,
    #[diesel(sql_type = Array<Text>)]
    categories: Vec<String>,
    #[diesel(sql_type = Nullable<Text>)]
    channel: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    store: Option<String>,
    #[diesel(sql_type = Text)]
    reference: String,
}

/// An account's activities, newest first, at most `limit`.
pub fn of_account(conn: &mut PgConnection, account: AccountId, limit: i64) -> QueryResult<Vec<Activity>> {
    let rows: Vec<Row> = sql_query(
        "SELECT activity_id, partner, type, occurred_at, received_at, amount, currency, categories, channel, store, \
             reference \
         FROM activities WHERE account_id = $1 ORDER BY occurred_at DESC, activity_id LIMIT $2",
    )
    .bind::<SqlUuid, _>(account.0)
    .bind::<BigInt, _>(limit)
    .load(conn)?;
    rows.into_iter().map(|row| row.read(account)).collect()
}

/// Destroys an erased person's activities.
pub fn erase(conn: &mut PgConnection, account: AccountId) -> QueryResult<()> {
    sql_query("DELETE FROM activities WHERE account_id = $1").bind::<SqlUuid, _>(account.0).execute(conn).map(drop)
}

impl Row {
    fn read(self, account: AccountId) -> QueryResult<Activity> {
        let unreadable = |_| diesel::result::Error::DeserializationError("an activity cannot be read".into());
        let spent = |(amount, currency)| Spent { amount: Millionths::new(amount), currency };
        Ok(Activity {
            id: ActivityId(self.activity_id),
            partner: self.partner.parse().map_err(unreadable)?,
            account,
            kind: self.r#type,
            occurred_at: self.occurred_at,
            received_at: self.received_at,
            spent: self.amount.zip(self.currency).map(spent),
            categories: self.categories,
            channel: self.channel,
            store: self.store,
            reference: self.reference,
        })
    }
}
