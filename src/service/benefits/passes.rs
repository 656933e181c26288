//! Recognising a member at a till: its brand's app shows a code for two minutes, and the till of any partner is told the
//! tier and what the member has consented to tell that partner, nothing else.

use crate::book::command::{Code, Hint, Refusal, Status};
use crate::book::store::read;
use crate::domain::benefit::shown_tier;
use crate::domain::holder::Holder;
use crate::domain::ids::{Slug, TokenId};
use crate::domain::text::Text;
use crate::domain::voucher::VoucherCode;
use crate::service::exchange::{Error, Exchange, Refused};
use crate::service::memberships;
use crate::signing::digest::directory_hash;
use crate::store::{catalogue, consents, passes};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use diesel::PgConnection;
use ring::rand::{SecureRandom, SystemRandom};
use uuid::Uuid;

/// Seconds a pass is good for.
const LIFE_S: i32 = 120;

/// A pass as it is shown, once.
#[derive(Debug)]
pub struct Pass {
    pub code: VoucherCode,
    pub expires_at: DateTime<Utc>,
}

/// What a till is told of whoever shows a pass.
#[derive(Debug)]
pub struct Recognised {
    pub brand: Slug,
    pub tier: String,
    /// What the member has agreed to tell this partner; each part is there when its category was consented to.
    pub shared: Shared,
    /// By which this partner knows the member, if they are linked.
    pub token: Option<TokenId>,
    /// The tier this partner recognises in it, on its own ladder.
    pub recognised: Option<String>,
}

/// Parts of a membership that a consent may name as categories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    pub identity: Option<String>,
    pub birth_month: Option<i16>,
    pub member_since: Option<NaiveDate>,
    pub tags: Option<Vec<String>>,
}

fn hash(code: &VoucherCode) -> Uuid {
    directory_hash("pass", &[code.as_str().as_bytes()])
}

/// A pass of the caller's member.
pub async fn make(exchange: &Exchange, caller: &Slug, request_id: Uuid, member_ref: Text) -> Result<Pass, Error> {
    let mut random = [0; 64];
    SystemRandom::new().fill(&mut random).map_err(|_| Error::Broken("the system has no randomness"))?;
    let code = VoucherCode::draw(&random).ok_or(Error::Broken("a code could not be drawn"))?;
    let (reader, hashed) = (Holder::Partner(caller.clone()), hash(&code));
    let unit = move |conn: &mut PgConnection| {
        let id = memberships::find(conn, &reader, &member_ref)?.ok_or(Error::NotFound)?.account;
        let account = read::accounts(conn, vec![id])?.pop().ok_or(Error::NotFound)?;
        let code = match account.status {
            Status::Active => return Ok(passes::insert(conn, hashed, id, LIFE_S)?),
            Status::Frozen => Code::MembershipFrozen,
            Status::Closed => Code::MembershipClosed,
        };
        Err(Error::Refused(Refused { refusal: Refusal { code, request_id, hint: Hint::None }, replayed: false }))
    };
    exchange.database.run(unit).await?;
    Ok(Pass { code, expires_at: crate::clock::now() + TimeDelta::seconds(i64::from(LIFE_S)) })
}

/// Whom a till has before it.
pub async fn look(exchange: &Exchange, till: &Slug, code: &str) -> Result<Recognised, Error> {
    let code: VoucherCode = code.parse().map_err(|_| Error::NotFound)?;
    let (till, hashed, zone) = (till.clone(), hash(&code), exchange.catalogue.load().alliance.zone);
    let unit = move |conn: &mut PgConnection| {
        let id = passes::find(conn, hashed)?.ok_or(Error::NotFound)?;
        // Frozen or closed since: nobody is recognised by it.
        let account = read::accounts(conn, vec![id])?.pop().filter(|account| account.status == Status::Active);
        let account = account.ok_or(Error::NotFound)?;
        let membership = crate::store::memberships::of_account(conn, id)?.ok_or(Error::NotFound)?;
        let day = catalogue::business_day(conn, zone)?;
        let recognised = crate::store::benefits::recognised(conn, &[till.to_string()])?;
        let recognised =
            recognised.into_iter().find(|one| one.brand == account.partner.as_str() && one.tier == account.tier);
        let given = consents::of_account(conn, id)?;
        let to_it = given.iter().filter(|one| one.withdrawn_at.is_none() && one.recipient == till.as_str());
        let categories: Vec<&str> = to_it.flat_map(|one| &one.categories).map(String::as_str).collect();
        let has = |category: &str| account.partner == till || categories.contains(&category);
        let shared = Shared {
            identity: membership.identity.clone().filter(|_| has("identity")),
            birth_month: membership.birth_month.filter(|_| has("birth_month")),
            member_since: membership.member_since.filter(|_| has("member_since")),
            tags: has("tags").then(|| membership.tags.clone()),
        };
        Ok::<_, Error>(Recognised {
            tier: shown_tier(membership.tier, membership.tier_until, &account.tier, day),
            shared,
            token: account.link_to(&till).map(|link| link.own_token),
            recognised: recognised.map(|one| one.recognised),
            brand: account.partner,
        })
    };
    exchange.database.run(unit).await
}
