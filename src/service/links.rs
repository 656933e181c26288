//! Links: one brand asks and gets a code, the member carries it to the other brand, that brand accepts.
//!
//! The code proves that the same person stands at both sides. It is shown once, kept as a hash, lives ten minutes of
//! wire time and allows five tries; wrong codes count against the membership they are tried for. The accepted link is
//! the book's, which also makes one member of the two (rule 12).

use super::exchange::{self, Error, Exchange, keyless};
use super::memberships::find;
use crate::book::command::{Command, EndLink, LinkSide, OpenLink, Outcome};
use crate::clock;
use crate::domain::catalogue::PartnerStatus;
use crate::domain::holder::Holder;
use crate::domain::ids::{AccountId, LinkId, Slug, TokenId};
use crate::domain::link_code::LinkCode;
use crate::domain::text::Text;
use crate::signing::digest::directory_hash;
use crate::store::consents::{self, Consent};
use crate::store::link_requests::{self, LinkRequest, State};
use crate::store::memberships::{self, LinkRow};
use crate::store::partners;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::PgConnection;
use ring::rand::{SecureRandom, SystemRandom};
use uuid::Uuid;

/// How long a code can be used.
pub const CODE_LIFE: TimeDelta = TimeDelta::minutes(10);

/// What the member agreed to at one side.
#[derive(Clone, Debug)]
pub struct Agreed {
    pub version: Text,
    /// Who may be told; the other brand unless said.
    pub recipient: Option<Text>,
    pub purpose: Option<Text>,
    pub method: Option<Text>,
    pub categories: Vec<String>,
    /// The other brand may spend this membership's points.
    pub pull: bool,
    pub guardian: Option<Text>,
}

#[derive(Debug)]
pub struct Asked {
    pub link: LinkId,
    /// Shown once.
    pub code: LinkCode,
    pub expires_at: DateTime<Utc>,
}

/// A link as one brand sees it.
#[derive(Debug)]
pub struct Seen {
    pub link: LinkId,
    pub state: &'static str,
    pub from: Slug,
    pub to: Slug,
    /// The reader's own membership, and the token it knows the other side's member by.
    pub own: Option<AccountId>,
    pub counterpart: Option<TokenId>,
    /// End of cooling.
    pub opens_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// Of the code, while pending.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Makes a pending link from the caller's member to a membership at `to`, and its code.
pub async fn ask(
    exchange: &Exchange,
    caller: &Slug,
    member_ref: Text,
    to: Slug,
    agreed: Agreed,
) -> Result<Asked, Error> {
    if to == *caller || !exchange.catalogue.load().partners.contains_key(&to) {
        return Err(Error::field("/to", "must be another partner of the alliance"));
    }
    let now = clock::now();
    let (reader, caller) = (Holder::Partner(caller.clone()), caller.clone());
    let code = draw()?;
    let hash = code_hash(&code);
    let request = exchange.database.run(move |conn| {
        let account = find(conn, &reader, &member_ref)?.ok_or(Error::NotFound)?.account;
        has_not_left(conn, [&caller, &to])?;
        let request = LinkRequest {
            link: LinkId(Uuid::now_v7()),
            from_partner: caller.clone(),
            from_account: account,
            to_partner: to.clone(),
            to_account: None,
            from_token: TokenId(Uuid::new_v4()),
            to_token: TokenId(Uuid::new_v4()),
            from_pull: agreed.pull,
            to_pull: None,
            state: State::Pending,
            created_at: now,
            expires_at: now + CODE_LIFE,
        };
        // One chance in 8.5 × 10^11 for each code alive: a draw that loses is a fault worth a 500.
        let stored = link_requests::insert(conn, &request, hash)?;
        consents::insert(conn, &consent(&request, account, &caller, &to, agreed, now))?;
        if stored { Ok(request) } else { Err(Error::Broken("a link code was drawn twice")) }
    });
    let request = request.await?;
    Ok(Asked { link: request.link, code, expires_at: request.expires_at })
}

/// Accepts a link with the code that the member brought.
pub async fn accept(
    exchange: &Exchange,
    caller: &Slug,
    request_id: Uuid,
    typed: &str,
    member_ref: Text,
    agreed: Agreed,
) -> Result<Seen, Error> {
    let now = clock::now();
    let code = typed.parse::<LinkCode>().ok().map(|code| code_hash(&code));
    let (reader, to) = (Holder::Partner(caller.clone()), caller.clone());
    let claim = move |conn: &mut PgConnection| {
        let account = find(conn, &reader, &member_ref)?.ok_or(Error::NotFound)?.account;
        let who = directory_hash("link-tries", &[account.0.as_bytes()]);
        let tried = link_requests::count_try(conn, who, now, now - CODE_LIFE)?;
        let code = code.filter(|_| tried).ok_or(Error::LinkCodeInvalid)?;
        let found = link_requests::try_code(conn, code, &to, now)?.ok_or(Error::LinkCodeInvalid)?;
        has_not_left(conn, [&to, &found.from_partner])?;
        let claimed =
            link_requests::accept(conn, found.link, account, agreed.pull, now)?.ok_or(Error::LinkCodeInvalid)?;
        consents::insert(conn, &consent(&claimed, account, &to, &claimed.from_partner, agreed, now))?;
        link_requests::forget_tries(conn, who)?;
        Ok::<_, Error>((claimed, account))
    };
    let (claimed, account) = exchange.database.run(claim).await?;
    open(exchange, caller, request_id, &claimed, account).await?;
    get(exchange, &Holder::Partner(caller.clone()), claimed.link).await
}

/// Refuses links with who has left: theirs are ended, and no new one is made.
fn has_not_left(conn: &mut PgConnection, sides: [&Slug; 2]) -> Result<(), Error> {
    for side in sides {
        if partners::find(conn, side)?.is_some_and(|standing| standing.status == PartnerStatus::Left) {
            return Err(Error::Forbidden);
        }
    }
    Ok(())
}

/// Puts the accepted link into both accounts. The same request again, after a lost answer, finds it there.
async fn open(
    exchange: &Exchange,
    caller: &Slug,
    request_id: Uuid,
    claimed: &LinkRequest,
    account: AccountId,
) -> Result<(), Error> {
    let link = claimed.link;
    if exchange.database.run(move |conn| Ok::<_, Error>(memberships::link(conn, link)?)).await?.is_some() {
        return Ok(());
    }
    let a = LinkSide { account: claimed.from_account, token: claimed.from_token, pull: claimed.from_pull };
    let b = LinkSide { account, token: claimed.to_token, pull: claimed.to_pull.unwrap_or(false) };
    let command = Command::OpenLink(OpenLink { link, a, b });
    let answer = exchange.book.submit(keyless(caller, request_id, Uuid::now_v7(), command)).await;
    let opened = exchange::expect(answer, |outcome| match outcome {
        Outcome::Link(id) => Some(id),
        _ => None,
    });
    if let Err(Error::Refused(_)) = &opened {
        // Nothing moved: the code may be tried again while it lives, and no consent was used.
        exchange.database.run(move |conn| Ok::<_, Error>(link_requests::reopen(conn, link)?)).await?;
    }
    opened.map(drop)
}

/// A link as `reader` may see it: the two brands of an accepted one, the asking brand of a pending one, an operator.
pub async fn get(exchange: &Exchange, reader: &Holder, link: LinkId) -> Result<Seen, Error> {
    let reader = exchange::seen_by(reader).cloned();
    exchange
        .database
        .run(move |conn| {
            let now = crate::store::catalogue::business_now(conn)?;
            let request = link_requests::find(conn, link)?.ok_or(Error::NotFound)?;
            let row = memberships::link(conn, link)?;
            let is_side = |slug: &Slug| *slug == request.from_partner || (row.is_some() && *slug == request.to_partner);
            if reader.as_ref().is_some_and(|slug| !is_side(slug)) {
                return Err(Error::NotFound);
            }
            Ok(seen(request, row, reader.as_ref(), now))
        })
        .await
}

/// Ends a link, or withdraws the request for one. Ended again, it stays as it is.
pub async fn end(exchange: &Exchange, caller: &Slug, request_id: Uuid, link: LinkId) -> Result<Seen, Error> {
    let reader = Holder::Partner(caller.clone());
    let seen = get(exchange, &reader, link).await?;
    let now = clock::now();
    if seen.state == "ended" {
        return Ok(seen);
    }
    let row = exchange.database.run(move |conn| {
        let row = memberships::link(conn, link)?;
        if row.is_none() {
            link_requests::withdraw(conn, link, now)?;
        }
        consents::withdraw(conn, link, now)?;
        Ok::<_, Error>(row)
    });
    if let Some(row) = row.await? {
        let command = Command::EndLink(EndLink { link, a: row.a, b: row.b });
        let answer = exchange.book.submit(keyless(caller, request_id, Uuid::now_v7(), command)).await;
        exchange::expect(answer, |outcome| match outcome {
            Outcome::Link(id) => Some(id),
            _ => None,
        })?;
    }
    get(exchange, &reader, link).await
}

fn seen(request: LinkRequest, row: Option<LinkRow>, reader: Option<&Slug>, now: DateTime<Utc>) -> Seen {
    let is_from = reader.is_none_or(|slug| *slug == request.from_partner);
    let (own, counterpart) =
        if is_from { (Some(request.from_account), request.to_token) } else { (request.to_account, request.from_token) };
    let state = match (&row, request.state) {
        (Some(row), _) if row.ended => "ended",
        (Some(row), _) if row.opens_at > now => "cooling",
        (Some(_), _) => "active",
        (None, State::Withdrawn) => "ended",
        (None, State::Pending | State::Accepted) if request.expires_at > clock::now() => "pending",
        (None, State::Pending | State::Accepted) => "ended",
    };
    Seen {
        link: request.link,
        state,
        from: request.from_partner,
        to: request.to_partner,
        own,
        counterpart: row.as_ref().and_then(|row| row.tokens).map(|_| counterpart),
        opens_at: row.as_ref().map(|row| row.opens_at),
        ended_at: row.as_ref().and_then(|row| row.ended_at),
        expires_at: row.is_none().then_some(request.expires_at),
    }
}

fn consent(
    request: &LinkRequest,
    account: AccountId,
    partner: &Slug,
    other: &Slug,
    agreed: Agreed,
    now: DateTime<Utc>,
) -> Consent {
    let text = |text: Option<Text>| text.map(Text::into_string);
    Consent {
        id: Uuid::now_v7(),
        account,
        partner: partner.clone(),
        link: request.link,
        recipient: text(agreed.recipient).unwrap_or_else(|| other.to_string()),
        version: agreed.version.into_string(),
        purpose: text(agreed.purpose),
        method: text(agreed.method),
        categories: agreed.categories,
        pull: agreed.pull,
        guardian: text(agreed.guardian),
        given_at: now,
        withdrawn_at: None,
    }
}

fn draw() -> Result<LinkCode, Error> {
    let mut random = [0; 32];
    SystemRandom::new().fill(&mut random).map_err(|_| Error::Broken("no randomness"))?;
    // Of 32 bytes, 25 or more are unfair with a chance below 10^-30.
    LinkCode::draw(&random).ok_or(Error::Broken("no fair randomness"))
}

fn code_hash(code: &LinkCode) -> Uuid {
    directory_hash("link-code", &[code.as_str().as_bytes()])
}
