//! Consents: what a member agreed to, per recipient. Withdrawal stops future sharing and keeps the record.

use crate::domain::ids::{AccountId, LinkId, Slug};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    pub id: Uuid,
    pub account: AccountId,
    /// The brand the member gave it to.
    pub partner: Slug,
    pub link: LinkId,
    /// Who may be told: a partner's slug, or a name of the caller's.
    pub recipient: String,
    pub version: String,
    pub purpose: Option<String>,
    pub method: Option<String>,
    pub categories: Vec<String>,
    /// The recipient may spend this membership's points.
    pub pull: bool,
    pub guardian: Option<String>,
    pub given_at: DateTime<Utc>,
    pub withdrawn_at: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    consent_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    account_id: Uuid,
    #[diesel(sql_type = Text)]
    partner: String,
    #[diesel(sql_type = SqlUuid)]
    link_id: Uuid,
    #[diesel(sql_type = Text)]
    recipient: String,
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = Nullable<Text>)]
    purpose: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    method: Option<String>,
    #[diesel(sql_type = Array<Text>)]
    categories: Vec<String>,
    #[diesel(sql_type = Bool)]
    pull: bool,
    #[diesel(sql_type = Nullable<Text>)]
    guardian: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    given_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    withdrawn_at: Option<DateTime<Utc>>,
}

/// Records a consent; the same one again (link, account, recipient) keeps the first.
pub fn insert(conn: &mut PgConnection, consent: &Consent) -> QueryResult<()> {
    sql_query(
        "INSERT INTO consents (consent_id, account_id, partner, link_id, recipient, version, purpose, method, \
             categories, pull, guardian, given_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         ON CONFLICT ON CONSTRAINT consents_once DO NOTHING",
    )
    .bind::<SqlUuid, _>(consent.id)
    .bind::<SqlUuid, _>(consent.account.0)
    .bind::<Text, _>(consent.partner.as_str())
    .bind::<SqlUuid, _>(consent.link.0)
    .bind::<Text, _>(&consent.recipient)
    .bind::<Text, _>(&consent.version)
    .bind::<Nullable<Text>, _>(&consent.purpose)
    .bind::<Nullable<Text>, _>(&consent.method)
    .bind::<Array<Text>, _>(&consent.categories)
    .bind::<Bool, _>(consent.pull)
    .bind::<Nullable<Text>, _>(&consent.guardian)
    .bind::<Timestamptz, _>(consent.given_at)
    .execute(conn)
    .map(drop)
}

/// Withdraws every consent of a link.
pub fn withdraw(conn: &mut PgConnection, link: LinkId, now: DateTime<Utc>) -> QueryResult<()> {
    sql_query("UPDATE consents SET withdrawn_at = $2 WHERE link_id = $1 AND withdrawn_at IS NULL")
        .bind::<SqlUuid, _>(link.0)
        .bind::<Timestamptz, _>(now)
        .execute(conn)
        .map(drop)
}

/// The consents of one account, oldest first.
pub fn of_account(conn: &mut PgConnection, account: AccountId) -> QueryResult<Vec<Consent>> {
    let rows: Vec<Row> = sql_query(
        "SELECT consent_id, account_id, partner, link_id, recipient, version, purpose, method, categories, pull, \
             guardian, given_at, withdrawn_at \
         FROM consents WHERE account_id = $1 ORDER BY given_at, consent_id LIMIT 1000",
    )
    .bind::<SqlUuid, _>(account.0)
    .load(conn)?;
    rows.into_iter().map(Row::read).collect()
}

/// Withdraws an erased person's consents and forgets who stood for them; that there was consent stays on record.
pub fn erase(conn: &mut PgConnection, account: AccountId, now: DateTime<Utc>) -> QueryResult<()> {
    sql_query("UPDATE consents SET guardian = NULL, withdrawn_at = coalesce(withdrawn_at, $2) WHERE account_id = $1")
        .bind::<SqlUuid, _>(account.0)
        .bind::<Timestamptz, _>(now)
        .execute(conn)
        .map(drop)
}

impl Row {
    fn read(self) -> QueryResult<Consent> {
        let unreadable = |_| diesel::result::Error::DeserializationError("a consent cannot be read".into());
        Ok(Consent {
            id: self.consent_id,
            account: AccountId(self.account_id),
            partner: self.partner.parse().map_err(unreadable)?,
            link: LinkId(self.link_id),
            recipient: self.recipient,
            version: self.version,
            purpose: self.purpose,
            method: self.method,
            categories: self.categories,
            pull: self.pull,
            guardian: self.guardian,
            given_at: self.given_at,
            withdrawn_at: self.withdrawn_at,
        })
    }
}
