//! The expiry runs: post what is over, in bounded chunks, on whichever server comes first.

use super::Tick;
use crate::service::expiry::{Error, ExpiryRun};

/// One chunk of accounts.
pub fn tick(run: &mut ExpiryRun) -> Result<Tick, Error> {
    let posted = run.post()?;
    metrics::counter!("hanse_lots_expired_accounts_total").increment(u64::try_from(posted).unwrap_or(0));
    Ok(if posted > 0 { Tick::Worked } else { Tick::Idle })
}

/// One chunk of vouchers and reservations whose time is over.
pub fn vouchers(run: &mut ExpiryRun) -> Result<Tick, Error> {
    Ok(if run.post()? > 0 { Tick::Worked } else { Tick::Idle })
}
