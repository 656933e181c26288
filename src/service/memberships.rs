//! Memberships: registering and updating them, one or many, and reading them with their points.

use super::exchange::{self, Done, Error, Exchange, keyless};
use crate::book::command::{Command, Outcome, Profile, Register, Request, Status, TierSource};
use crate::book::store::read;
use crate::domain::holder::Holder;
use crate::domain::ids::{AccountId, MemberId, Slug};
use crate::domain::text::Text;
use crate::store::memberships;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::PgConnection;
use uuid::Uuid;

// What handlers render, named without the layers below.
pub use crate::book::engine::account::{Account, EntryKind, LinkState};
pub use crate::store::activities::Activity;
pub use crate::store::consents::Consent;
pub use crate::store::memberships::{EntryPlace, EntryRow, Filter, LinkRow, Membership};

/// A membership as a brand tells it.
#[derive(Debug)]
pub struct Told {
    pub member_ref: Text,
    pub tier: Text,
    pub tier_source: TierSource,
    pub tier_until: Option<NaiveDate>,
    pub status: Status,
    pub status_reason: Option<Text>,
    pub identity: Option<&'static str>,
    pub birth_month: Option<i16>,
    pub member_since: Option<NaiveDate>,
    pub tags: Option<Vec<String>>,
    pub as_of: Option<DateTime<Utc>>,
    pub forfeit: bool,
}

/// A membership with its account.
#[derive(Debug)]
pub struct Whole {
    pub membership: Membership,
    pub account: Account,
}

/// Registers or updates one and returns it as it stands then.
pub async fn put(exchange: &Exchange, caller: &Slug, request_id: Uuid, told: Told) -> Result<Whole, Error> {
    let account = account_of(exchange.book.submit(request(caller, request_id, told)).await)?.row;
    whole(exchange, move |conn| memberships::of_account(conn, account)).await
}

/// Registers or updates many, each by itself: the membership id of each, in the order of the items.
pub async fn put_all(
    exchange: &Exchange,
    caller: &Slug,
    request_id: Uuid,
    items: Vec<Result<Told, Error>>,
) -> Vec<Result<AccountId, Error>> {
    let requests = items.into_iter().map(|item| item.map(|told| request(caller, request_id, told)));
    let outcomes = super::conversions::submit_all(exchange, requests).await;
    outcomes.into_iter().map(|answer| Ok(account_of(answer?)?.row)).collect()
}

fn account_of(
    answer: Result<crate::book::command::Answer, crate::book::command::Undecided>,
) -> Result<Done<AccountId>, Error> {
    exchange::expect(answer, |outcome| match outcome {
        Outcome::Membership(id) => Some(id),
        _ => None,
    })
}

fn request(caller: &Slug, request_id: Uuid, told: Told) -> Request {
    let who = exchange::member_hash(caller, &told.member_ref);
    let tier = told.tier.into_string();
    let earned_tier = match told.tier_source {
        TierSource::Earned => Some(tier.clone()),
        // Opens benefits only: the earned tier stays.
        TierSource::Granted | TierSource::Trial => None,
    };
    let register = Register {
        who,
        // Version 7: of two people found to be one, the older id is the one that stays.
        fresh_member: MemberId(Uuid::now_v7()),
        earned_tier,
        profile: Profile {
            member_ref: told.member_ref.into_string(),
            tier,
            tier_source: told.tier_source,
            tier_until: told.tier_until,
            identity: told.identity.map(str::to_owned),
            birth_month: told.birth_month,
            member_since: told.member_since,
            tags: told.tags,
        },
        status: told.status,
        reason: told.status_reason.map(Text::into_string),
        as_of: told.as_of,
        forfeit: told.forfeit,
    };
    keyless(caller, request_id, Uuid::now_v7(), Command::Register(register))
}

/// One membership as it stands. A partner names its own reference; an operator names the membership id.
pub async fn get(exchange: &Exchange, reader: &Holder, named: Text) -> Result<Whole, Error> {
    let reader = reader.clone();
    whole(exchange, move |conn| find(conn, &reader, &named)).await
}

/// The membership that `reader` names, or none.
pub fn find(conn: &mut PgConnection, reader: &Holder, named: &Text) -> diesel::QueryResult<Option<Membership>> {
    match reader {
        Holder::Partner(slug) => memberships::find(conn, exchange::member_hash(slug, named).0),
        Holder::Operator(_) => match named.as_str().parse() {
            Ok(account) => memberships::of_account(conn, account),
            Err(_) => Ok(None),
        },
    }
}

async fn whole<F>(exchange: &Exchange, find: F) -> Result<Whole, Error>
where
    F: FnOnce(&mut PgConnection) -> diesel::QueryResult<Option<Membership>> + Send + 'static,
{
    exchange
        .database
        .run(move |conn| {
            let membership = find(conn)?.ok_or(Error::NotFound)?;
            // A membership and its account are written by the same transaction.
            let account = read::accounts(conn, vec![membership.account])?.pop().ok_or(Error::Broken("no account"))?;
            Ok(Whole { membership, account })
        })
        .await
}

/// Memberships in the order of change; `limit` may be one more than a page, to see whether there is another.
pub async fn list(exchange: &Exchange, reader: &Holder, filter: Filter, limit: i64) -> Result<Vec<Membership>, Error> {
    let filter = Filter { partner: exchange::seen_by(reader).cloned(), ..filter };
    exchange.database.run(move |conn| Ok(memberships::list(conn, &filter, limit)?)).await
}

/// An account's journal, newest first.
pub async fn entries(
    exchange: &Exchange,
    reader: &Holder,
    named: Text,
    after: Option<EntryPlace>,
    limit: i64,
) -> Result<Vec<EntryRow>, Error> {
    let reader = reader.clone();
    exchange
        .database
        .run(move |conn| {
            let membership = find(conn, &reader, &named)?.ok_or(Error::NotFound)?;
            Ok(memberships::entries(conn, membership.account, after, limit)?)
        })
        .await
}
