//! Certificates near their end: partners are told, and gauges say how long each of ours is good.
//!
//! A holder is warned of the one that ends last: who has a newer one has rotated.

use super::issuing::{self, ListState};
use crate::book::engine::world::EventKind;
use crate::book::posting;
use crate::domain::holder::Holder;
use crate::domain::ids::Slug;
use crate::signing::digest::directory_hash;
use crate::signing::pki::{self, outbound};
use crate::store::catalogue::find;
use crate::store::certificates::{self, Last};
use crate::{book, store};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use diesel::PgConnection;
use serde_json::json;
use std::path::PathBuf;

/// Days before its end at which a partner is told of a certificate, each once.
pub const WARN_DAYS: [i16; 5] = [30, 14, 7, 3, 1];
/// Holders looked at: more than an alliance has, and a bound for the labels of the gauge.
const HOLDERS_MAX: i64 = 1_000;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("the book: {0}")]
    Book(#[from] book::store::Error),
    #[error(transparent)]
    Issuing(#[from] issuing::Error),
}

impl From<diesel::result::Error> for Error {
    fn from(cause: diesel::result::Error) -> Error {
        Error::Store(cause.into())
    }
}

/// How long one certificate or list is good still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// `partner/<slug>`, `operator/<name>`, `server`, `authority`, `revocation-list`, `outbound`, `outbound/<partner>`,
    /// `outbound/<partner>/revocation-list`.
    pub holder: String,
    /// Negative when it is over.
    pub seconds: i64,
}

/// Looks at certificates, with a connection of its own; made again after the database was away.
pub struct Watch {
    url: String,
    pki: PathBuf,
    conn: Option<PgConnection>,
}

impl Watch {
    pub fn new(url: &str, pki: PathBuf) -> Watch {
        Watch { url: url.to_owned(), pki, conn: None }
    }

    /// Tells partners whose certificate nears its end, renews our own for calling them, and says how long everything is good.
    pub fn look(&mut self, now: DateTime<Utc>) -> Result<Vec<Ends>, Error> {
        let mut conn = self.connect()?;
        if self.pki.join("outbound.crt").exists()
            && let Err(cause) = outbound::renew(&self.pki, now)
        {
            tracing::error!(error = %cause, "the certificate for calling partners is not renewed");
        }
        let last = certificates::last_of_each(&mut conn, now - TimeDelta::days(30), HOLDERS_MAX)?;
        warn(&mut conn, &last, now)?;
        self.conn = Some(conn);
        let mut ends: Vec<_> =
            last.iter().map(|row| (format!("{}/{}", row.holder_kind, row.holder_name), row.not_after)).collect();
        ends.extend(pki::ends(&self.pki));
        let left = |(holder, at): (String, DateTime<Utc>)| Ends { holder, seconds: (at - now).num_seconds() };
        Ok(ends.into_iter().map(left).collect())
    }

    /// Brings the revocation list up to the register; see `issuing::sync`.
    pub fn list(&mut self, now: DateTime<Utc>) -> Result<ListState, Error> {
        let mut conn = self.connect()?;
        let state = issuing::sync(&mut conn, &self.pki, now)?;
        self.conn = Some(conn);
        Ok(state)
    }

    fn connect(&mut self) -> Result<PgConnection, Error> {
        Ok(match self.conn.take() {
            Some(conn) => conn,
            None => store::establish(&self.url)?,
        })
    }
}

/// One posting for all who are to be told now; none for the usual hour in which nobody is.
fn warn(conn: &mut PgConnection, last: &[Last], now: DateTime<Utc>) -> Result<(), Error> {
    let due = |row: &Last| -> Option<(Slug, i16)> {
        let days = reached(row.not_after - now)?;
        let fresh = row.told_days.is_none_or(|told| told > days);
        match Holder::of(&row.holder_kind, &row.holder_name)? {
            Holder::Partner(partner) if fresh => Some((partner, days)),
            // Operators read no feed: theirs are in the gauge.
            Holder::Partner(_) | Holder::Operator(_) => None,
        }
    };
    let due: Vec<_> = last.iter().filter_map(|row| due(row).map(|(partner, days)| (row, partner, days))).collect();
    let Some((alliance, ..)) = find::alliance(conn)?.filter(|_| !due.is_empty()) else { return Ok(()) };
    posting::post(conn, alliance.zone, |conn, posting| {
        for (row, partner, days) in due {
            if !certificates::warn(conn, &row.x5t_s256, days)? {
                continue;
            }
            let body = json!({
                "x5t": row.x5t_s256, "days": days, "not_after": row.not_after.to_rfc3339_opts(SecondsFormat::Millis, true),
            });
            let subject = directory_hash("certificate", &[row.x5t_s256.as_bytes()]);
            posting.tell(&partner, EventKind::CertificateExpiring, subject, &body);
        }
        Ok(())
    })
}

/// The smallest number of days that is not exceeded any more; `None` while more than the largest is left, or nothing.
fn reached(left: TimeDelta) -> Option<i16> {
    let within = |days: &i16| left <= TimeDelta::days(i64::from(*days));
    (left > TimeDelta::zero()).then(|| WARN_DAYS.into_iter().rev().find(within)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_days_reached_the_last_one_counts() {
        let hours = |hours| reached(TimeDelta::hours(hours));
        assert_eq!(hours(31 * 24), None);
        assert_eq!(hours(30 * 24), Some(30));
        assert_eq!(hours(14 * 24 + 1), Some(30));
        assert_eq!(hours(14 * 24), Some(14));
        assert_eq!(hours(6 * 24), Some(7));
        assert_eq!(hours(24), Some(1));
        assert_eq!(hours(1), Some(1));
        assert_eq!(hours(0), None);
    }
}
