//! The expiry run: posts what ended before today, in bounded chunks, on whichever server comes first.

use super::Tick;
use crate::service::benefits::expiry::{Error as VoucherError, VoucherRun};
use crate::service::expiry::{self, ExpiryRun};

/// One chunk of accounts.
pub fn tick(run: &mut ExpiryRun) -> Result<Tick, expiry::Error> {
    let posted = run.post()?;
    metrics::counter!("hanse_lots_expired_accounts_total").increment(u64::try_from(posted).unwrap_or(0));
    Ok(if posted > 0 { Tick::Worked } else { Tick::Idle })
}

/// One chunk of vouchers and reservations whose time is over.
pub fn vouchers(run: &mut VoucherRun) -> Result<Tick, VoucherError> {
    Ok(if run.end()? > 0 { Tick::Worked } else { Tick::Idle })
}
