//! Certificates near their end, and the revocation list kept up to the register. Any number of servers may run both.

use super::Tick;
use crate::service::certificate_watch::{Error, Watch};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;

/// The labels that have been set: what is gone is no longer a number.
#[derive(Default)]
pub struct Gauges(BTreeSet<String>);

/// Warns whom there is to warn, and shows how long everything is good.
pub fn look(watch: &mut Watch, gauges: &mut Gauges, now: DateTime<Utc>) -> Result<Tick, Error> {
    let mut shown = BTreeSet::new();
    for ends in watch.look(now)? {
        metrics::gauge!("hanse_certificate_expires_seconds", "holder" => ends.holder.clone())
            .set(seconds(ends.seconds));
        shown.insert(ends.holder);
    }
    for gone in gauges.0.difference(&shown) {
        metrics::gauge!("hanse_certificate_expires_seconds", "holder" => gone.clone()).set(f64::NAN);
    }
    gauges.0 = shown;
    Ok(Tick::Idle)
}

/// Makes the list anew when it lacks something or nears its end, where that can be done; shows what is amiss.
pub fn list(watch: &mut Watch, now: DateTime<Utc>) -> Result<Tick, Error> {
    let state = watch.list(now)?;
    metrics::gauge!("hanse_revocation_list_missing").set(seconds(i64::try_from(state.missing).unwrap_or(i64::MAX)));
    if state.renewed {
        tracing::info!("the revocation list has been made anew");
    }
    Ok(Tick::Idle)
}

/// As a gauge takes it: 68 years either way.
fn seconds(count: i64) -> f64 {
    f64::from(i32::try_from(count).unwrap_or(if count < 0 { i32::MIN } else { i32::MAX }))
}
