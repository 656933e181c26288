//! What tills of the giver's ask for.

use super::shown;
use crate::book::command::{Command, DirectoryHash, Outcome, Redeem, ReverseRedemption, VoucherRow};
use crate::book::store::{voucher_uses, vouchers as rows};
use crate::book::voucher::{Receipt, UseRow};
use crate::domain::ids::{Slug, UseId};
use crate::domain::money::{Millionths, minor_unit};
use crate::domain::text::Text;
use crate::service::exchange::{self, Call, Done, Error, Exchange, Operation};
use crate::signing::digest::directory_hash;
use diesel::PgConnection;
use std::sync::Arc;

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
