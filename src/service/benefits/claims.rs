//! Vouchers from claim to end, as the brand whose member it is asks for them.

use super::offers::is_seen;
use super::{Vouchers, code_hash};
use crate::book::command::{CancelVoucher, Claim, Command, ConfirmClaim, Outcome, VoucherRow};
use crate::book::store::{voucher_uses, vouchers as rows};
use crate::book::voucher::{MadeCode, UseKind, UseRow};
use crate::domain::holder::Holder;
use crate::domain::ids::{AccountId, BenefitId, Slug, TokenId, VoucherId};
use crate::domain::text::Text;
use crate::domain::voucher::{State, VoucherCode};
use crate::service::exchange::{self, Call, Done, Error, Exchange, Operation, keyless};
use crate::service::memberships;
use crate::store::{benefits, catalogue, vouchers as stored};
use chrono::TimeDelta;
use diesel::PgConnection;
use ring::rand::{SecureRandom, SystemRandom};
use std::sync::Arc;
use uuid::Uuid;

/// A member of the caller's that is to have a benefit.
#[derive(Debug)]
pub struct Wanted {
    pub member_ref: Text,
    pub benefit: BenefitId,
    pub version: Option<i64>,
    pub reserve: bool,
    pub reference: Option<Text>,
}

/// A voucher with the code its member shows.
#[derive(Clone, Debug)]
pub struct Held {
    pub row: Arc<VoucherRow>,
    /// Absent while it is reserved: nothing is good at a till before it is issued.
    pub code: Option<String>,
}

pub async fn claim(
    exchange: &Exchange,
    vouchers: &Vouchers,
    call: Call<'_>,
    wanted: Wanted,
) -> Result<Done<Held>, Error> {
    let Wanted { member_ref, benefit, version, reserve, reference } = wanted;
    let found = exchange.database.run(move |conn| Ok::<_, Error>(benefits::find(conn, &[benefit])?.pop())).await?;
    let reader = Holder::Partner(call.caller.clone());
    let giver = found.filter(|row| is_seen(row, &reader)).ok_or(Error::NotFound)?.benefit.giver;
    let who = exchange::member_hash(call.caller, &member_ref);
    let code = make_code(vouchers, &giver)?;
    let claim = Claim { who, benefit, giver, version, reserve, code, token: TokenId(Uuid::new_v4()) };
    let request = call.request(Operation::Claim, Command::Claim(claim), reference);
    let done = exchange::expect(exchange.book.submit(request).await, voucher_of)?;
    Ok(Done { row: held(vouchers, done.row).await?, replayed: done.replayed })
}

fn voucher_of(outcome: Outcome) -> Option<Arc<VoucherRow>> {
    match outcome {
        Outcome::Voucher(row) => Some(row),
        _ => None,
    }
}

fn make_code(vouchers: &Vouchers, giver: &Slug) -> Result<MadeCode, Error> {
    let mut random = [0; 64];
    let broken = Error::Broken("the system has no randomness");
    SystemRandom::new().fill(&mut random).map_err(|_| broken)?;
    let code = VoucherCode::draw(&random).ok_or(Error::Broken("a code could not be drawn"))?;
    let hash = code_hash(giver, code.as_str());
    let sealed = vouchers.sealing.seal(&hash.0.to_string(), code.as_str().as_bytes());
    Ok(MadeCode { hash, sealed: sealed.map_err(|_| Error::Broken("a code cannot be sealed"))? })
}

/// A voucher with its code unsealed: the one made with it, or the pool's.
pub async fn held(vouchers: &Vouchers, row: Arc<VoucherRow>) -> Result<Held, Error> {
    // What was reserved and never issued has shown nobody its code, and does not afterwards.
    if row.state == State::Reserved || row.reserved_until.is_some() {
        return Ok(Held { row, code: None });
    }
    let (hash, sealed) = match &row.code {
        Some(code) => (code.hash.0, code.sealed.clone()),
        None => {
            let id = row.id;
            let given = vouchers.database.run(move |conn| Ok::<_, Error>(stored::given_code(conn, id)?)).await?;
            let given = given.ok_or(Error::Broken("a voucher of a pool has no code"))?;
            (given.hash, given.sealed)
        }
    };
    let code = vouchers.sealing.open_sealed(&hash.to_string(), &sealed);
    let code = code.map_err(|_| Error::Broken("a voucher's code cannot be unsealed"))?;
    let code = String::from_utf8(code).map_err(|_| Error::Broken("a voucher's code is no text"))?;
    // Ours in groups of four, a giver's own as it is.
    let code = match (row.terms.pooled, code.parse::<VoucherCode>()) {
        (false, Ok(ours)) => ours.to_string(),
        _ => code,
    };
    Ok(Held { row, code: Some(code) })
}

/// Makes a reservation a voucher. Idempotent by itself.
pub async fn confirm(
    exchange: &Exchange,
    vouchers: &Vouchers,
    caller: &Slug,
    request_id: Uuid,
    voucher: VoucherId,
) -> Result<Held, Error> {
    let command = Command::ConfirmClaim(ConfirmClaim { voucher });
    let request = keyless(caller, request_id, Uuid::now_v7(), command);
    let done = exchange::expect(exchange.book.submit(request).await, voucher_of)?;
    held(vouchers, done.row).await
}

/// Takes a voucher back that was not used: its points come back. Idempotent by itself.
pub async fn cancel(
    exchange: &Exchange,
    caller: &Slug,
    request_id: Uuid,
    voucher: VoucherId,
    reason: String,
) -> Result<Arc<VoucherRow>, Error> {
    let command = Command::CancelVoucher(CancelVoucher { voucher, reason });
    let request = keyless(caller, request_id, Uuid::now_v7(), command);
    Ok(exchange::expect(exchange.book.submit(request).await, voucher_of)?.row)
}

/// What comes of giving a voucher back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenBack {
    /// The last day of some of its points is past, and they end as they come.
    pub ends_some: bool,
}

/// What comes of it if this brand takes it back for its member now, which it may: the book alone decides, when it does.
pub async fn give_back(
    exchange: &Exchange,
    caller: &Slug,
    row: &VoucherRow,
    uses: &[UseRow],
) -> Result<Option<GivenBack>, Error> {
    let zone = exchange.catalogue.load().alliance.zone;
    let now = exchange.database.run(|conn| Ok::<_, Error>(catalogue::business_now(conn)?)).await?;
    let mut settled = uses.iter().filter(|one| one.kind == UseKind::Issue);
    let today = now.with_timezone(&zone).date_naive();
    let may = match row.state {
        State::Reserved => row.reserved_until.is_some_and(|until| now < until),
        State::Issued => {
            let is_good = row.use_by >= today;
            let undo = TimeDelta::seconds(i64::from(row.terms.undo_s));
            is_good && (row.terms.giver == *caller || settled.all(|issue| now <= issue.at + undo))
        }
        State::PartlyRedeemed | State::Redeemed | State::Expired | State::Cancelled => false,
    };
    let has_ended = row.lots_out.iter().any(|parcel| !parcel.expires.covers(today));
    Ok(may.then(|| GivenBack { ends_some: has_ended && !row.terms.gives_grace(caller, row.at, now) }))
}

/// A voucher by its id, with its uses: to its brand, its giver, and operators.
pub async fn get(exchange: &Exchange, reader: &Holder, id: VoucherId) -> Result<(Arc<VoucherRow>, Vec<UseRow>), Error> {
    let reader = reader.clone();
    let unit = move |conn: &mut PgConnection| {
        let row = rows::find(conn, &[id])?.pop().ok_or(Error::NotFound)?;
        let is_seen = match &reader {
            Holder::Operator(_) => true,
            Holder::Partner(slug) => row.terms.brand == *slug || row.terms.giver == *slug,
        };
        if !is_seen {
            return Err(Error::NotFound);
        }
        Ok((Arc::new(row), voucher_uses::of(conn, &[id])?))
    };
    exchange.database.run(unit).await
}

/// A member's vouchers for its own page: those that can be used first.
pub async fn usable_first(exchange: &Exchange, account: AccountId, limit: i64) -> Result<Vec<Arc<VoucherRow>>, Error> {
    let unit = move |conn: &mut PgConnection| {
        let ids = stored::usable_first(conn, account, limit)?;
        let mut found = rows::find(conn, &ids)?;
        found.sort_unstable_by_key(|row| ids.iter().position(|id| *id == row.id));
        Ok::<_, Error>(found.into_iter().map(Arc::new).collect())
    };
    exchange.database.run(unit).await
}

/// A member's vouchers, newest first, those before `before` if one is given.
pub async fn of_member(
    exchange: &Exchange,
    reader: &Holder,
    member_ref: Text,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Arc<VoucherRow>>, Error> {
    let reader = reader.clone();
    let unit = move |conn: &mut PgConnection| {
        let account = memberships::find(conn, &reader, &member_ref)?.ok_or(Error::NotFound)?.account;
        let ids = stored::of_account(conn, account, before, limit)?;
        let mut found = rows::find(conn, &ids)?;
        found.sort_unstable_by_key(|row| std::cmp::Reverse(row.id));
        Ok::<_, Error>(found.into_iter().map(Arc::new).collect())
    };
    exchange.database.run(unit).await
}
