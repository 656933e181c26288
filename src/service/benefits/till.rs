//! What tills of the giver's ask for.

use super::shown;
use crate::book::command::{
    Code, Command, DirectoryHash, Hint, Outcome, Redeem, Refusal, ReverseRedemption, VoucherRow,
};
use crate::book::store::{voucher_uses, vouchers as rows};
use crate::book::voucher::{Receipt, UseKind, UseRow};
use crate::domain::benefit::Benefit;
use crate::domain::ids::{Slug, UseId};
use crate::domain::money::{Millionths, minor_unit};
use crate::domain::text::Text;
use crate::domain::voucher::{Event, Next, State, may_be_taken_back};
use crate::service::exchange::{self, Call, Done, Error, Exchange, Operation};
use crate::signing::digest::directory_hash;
use crate::store::catalogue;
use chrono::NaiveDate;
use diesel::PgConnection;
use std::sync::Arc;
use uuid::Uuid;

/// A voucher shown at a till.
#[derive(Debug)]
pub struct Shown {
    pub code: String,
    pub bill: Option<Millionths>,
    pub store: Text,
    pub till: Option<Text>,
    pub receipt: Option<Text>,
    pub reference: Text,
}

/// A redemption, or what takes one back, with the voucher as it left it.
#[derive(Clone, Debug)]
pub struct Used {
    pub used: Arc<UseRow>,
    pub voucher: Arc<VoucherRow>,
}

/// What a till may expect of a voucher today, before it takes it; the book alone decides, when it does.
#[derive(Clone, Debug)]
pub struct Expected {
    pub voucher: Arc<VoucherRow>,
    pub uses: Vec<UseRow>,
    /// Why it would be refused.
    pub no: Option<Refusal>,
    /// What comes off the bill that was told.
    pub discount: Option<Millionths>,
}

fn used_of(outcome: Outcome) -> Option<Used> {
    match outcome {
        Outcome::Used(used, voucher) => Some(Used { used, voucher }),
        _ => None,
    }
}

/// What a till is told of a voucher before it takes it: the giver's own vouchers alone.
pub async fn look(exchange: &Exchange, giver: &Slug, code: &str) -> Result<(Arc<VoucherRow>, Vec<UseRow>), Error> {
    let (giver, hashes) = (giver.clone(), shown(giver, code));
    let unit = move |conn: &mut PgConnection| {
        let found = rows::by_code(conn, hashes.iter().map(|hash| hash.0).collect())?;
        let place = hashes.iter().find_map(|hash| found.get(hash));
        let (id, _) = place.ok_or(Error::NotFound)?;
        let row = rows::find(conn, &[*id])?.pop().filter(|row| row.terms.giver == giver).ok_or(Error::NotFound)?;
        Ok((Arc::new(row), voucher_uses::of(conn, &[*id])?))
    };
    exchange.database.run(unit).await
}

/// The same, with what redeeming it today would come to.
pub async fn expect(
    exchange: &Exchange,
    giver: &Slug,
    code: &str,
    bill: Option<Millionths>,
) -> Result<Expected, Error> {
    let (voucher, uses) = look(exchange, giver, code).await?;
    let zone = exchange.catalogue.load().alliance.zone;
    let day = exchange.database.run(move |conn| Ok::<_, Error>(catalogue::business_day(conn, zone)?)).await?;
    let judged = judge(&voucher, day, bill, minor_unit(&exchange.currency()));
    let refused = |code| {
        let standing = uses.iter().rev().find(|one| one.kind == UseKind::Redemption && !one.reversed);
        let hint = match standing {
            Some(last) if code == Code::VoucherUsed => Hint::Redeemed { id: last.id.to_string() },
            _ => Hint::None,
        };
        Refusal { code, request_id: Uuid::nil(), hint }
    };
    let (no, discount) = match judged {
        Ok(discount) => (None, discount),
        Err(code) => (Some(refused(code)), None),
    };
    Ok(Expected { voucher, uses, no, discount })
}

/// In the published order of refusals.
fn judge(
    row: &VoucherRow,
    day: NaiveDate,
    bill: Option<Millionths>,
    coin: Millionths,
) -> Result<Option<Millionths>, Code> {
    let Next::To(_) = row.state.on(Event::Redeem { last: row.used + 1 >= row.terms.uses }) else {
        return Err(match row.state {
            State::Redeemed | State::PartlyRedeemed => Code::VoucherUsed,
            State::Expired => Code::VoucherExpired,
            State::Cancelled => Code::VoucherCancelled,
            State::Reserved | State::Issued => Code::VoucherNotIssued,
        });
    };
    if row.use_by < day {
        return Err(Code::VoucherExpired);
    }
    if Benefit::is_black(&row.terms.blackouts, day) {
        return Err(Code::NotToday);
    }
    match row.terms.discount.zip(bill) {
        Some((discount, bill)) => discount.of(bill, coin).map(Some).ok_or(Code::BelowThreshold),
        None => Ok(None),
    }
}

/// One redemption at the giver's tills, or what took one back, with its voucher as it stands.
pub async fn used(exchange: &Exchange, giver: &Slug, id: UseId) -> Result<Used, Error> {
    let giver = giver.clone();
    let unit = move |conn: &mut PgConnection| {
        let found = voucher_uses::find(conn, id)?
            .filter(|one| one.terms.giver == giver && matches!(one.kind, UseKind::Redemption | UseKind::Reversal));
        let used = found.ok_or(Error::NotFound)?;
        let voucher = rows::find(conn, &[used.voucher])?.pop().ok_or(Error::NotFound)?;
        Ok(Used { used: Arc::new(used), voucher: Arc::new(voucher) })
    };
    exchange.database.run(unit).await
}

/// Whether there is still time to take a redemption back; the book alone decides, when it does.
pub async fn may_take_back(exchange: &Exchange, redemption: &UseRow) -> Result<bool, Error> {
    let (zone, day) = (exchange.catalogue.load().alliance.zone, redemption.day);
    let today = exchange.database.run(move |conn| Ok::<_, Error>(catalogue::business_day(conn, zone)?)).await?;
    Ok(may_be_taken_back(day, today))
}

/// Takes a voucher, once.
pub async fn redeem(exchange: &Exchange, call: Call<'_>, asked: Shown) -> Result<Done<Used>, Error> {
    let receipt = asked.receipt.map(|number| {
        let parts = [call.caller.as_str().as_bytes(), number.as_str().as_bytes()];
        Receipt { hash: DirectoryHash(directory_hash("receipt", &parts)), number: number.into_string() }
    });
    let command = Command::Redeem(Redeem {
        codes: shown(call.caller, &asked.code),
        bill: asked.bill,
        coin: minor_unit(&exchange.currency()),
        store: asked.store.into_string(),
        till: asked.till.map(Text::into_string),
        receipt,
    });
    let request = call.request(Operation::Redemption, command, Some(asked.reference));
    exchange::expect(exchange.book.submit(request).await, used_of)
}

/// Takes back what a till did by mistake.
pub async fn reverse(
    exchange: &Exchange,
    call: Call<'_>,
    redemption: UseId,
    reason: String,
    reference: Option<Text>,
) -> Result<Done<Used>, Error> {
    let command = Command::ReverseRedemption(ReverseRedemption { redemption, reason });
    let request = call.request(Operation::RedemptionReversal, command, reference);
    exchange::expect(exchange.book.submit(request).await, used_of)
}
