//! Outstanding points as a brand reports them that keeps its own accounts. Finance reads them beside what is proven here; no
//! figure of ours is made of them.

use super::Error;
use crate::domain::ids::{Slug, WindowId};
use crate::service::answer::Shown;
use crate::store::catalogue;
use crate::store::settlement::reported::{self, Row};
use crate::store::settlement::windows;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use serde::Serialize;
use utoipa::ToSchema;

/// What a brand states.
#[derive(Clone, Debug)]
pub struct Stated {
    /// 0 to 2⁵³−1.
    pub points: i64,
    /// At most `points`.
    pub never: Option<i64>,
    /// Not after today.
    pub as_of: NaiveDate,
    /// 1 to 500 characters.
    pub note: Option<String>,
    /// `x5t#S256` of the caller's certificate.
    pub certificate: String,
}

/// What stands for a window.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ReportedLiability)]
pub struct ReportedAnswer {
    #[schema(value_type = String, pattern = "^win_[0-9a-f]{32}$")]
    pub window_id: Shown<WindowId>,
    /// Number of the window.
    pub window: i64,
    #[schema(example = "lumen")]
    pub partner: String,
    /// From 1; the highest of a window stands.
    pub version: i64,
    pub points: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub never: Option<i64>,
    #[schema(value_type = String, format = Date)]
    pub as_of: NaiveDate,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// `x5t#S256` of the certificate it was stated by.
    pub certificate: String,
    #[schema(value_type = String, format = DateTime)]
    pub stated_at: DateTime<Utc>,
}

/// Why nothing is stated.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Settlement(#[from] Error),
    #[error("accounts of the partner are kept here: its points are proven by the journal, and not stated")]
    Hosted,
    #[error("{0} is after today")]
    Future(NaiveDate),
}

impl From<crate::store::Error> for Refused {
    fn from(cause: crate::store::Error) -> Refused {
        Refused::Settlement(cause.into())
    }
}

impl From<diesel::result::Error> for Refused {
    fn from(cause: diesel::result::Error) -> Refused {
        Refused::Settlement(cause.into())
    }
}

/// States a new version for a window; the same as the one that stands changes nothing, and is `false`. `NotFound` for a window
/// that there is not.
pub fn state(
    conn: &mut PgConnection,
    partner: &Slug,
    window: WindowId,
    stated: &Stated,
) -> Result<(Row, bool), Refused> {
    conn.transaction(|conn| {
        let window = windows::find(conn, window)?.ok_or(Error::NotFound)?;
        let loaded = catalogue::load(conn)?;
        if loaded.partners.get(partner).ok_or(Error::NotFound)?.hosted {
            return Err(Refused::Hosted);
        }
        let now = catalogue::business_now(conn)?;
        if stated.as_of > now.with_timezone(&loaded.alliance.zone).date_naive() {
            return Err(Refused::Future(stated.as_of));
        }
        let last = reported::lock(conn, partner, window.id)?;
        let version = last.as_ref().map_or(1, |last| last.version + 1);
        if let Some(last) = last.filter(|last| stated.says(last)) {
            return Ok((last, false));
        }
        let row = Row {
            partner: partner.clone(),
            window: window.id,
            number: window.number,
            version,
            points: stated.points,
            never: stated.never,
            as_of: stated.as_of,
            note: stated.note.clone(),
            certificate: stated.certificate.clone(),
            stated_at: now,
        };
        reported::insert(conn, &row)?;
        Ok((row, true))
    })
}

impl Stated {
    /// Whether `row` says it already, by whatever certificate.
    fn says(&self, row: &Row) -> bool {
        (self.points, self.never, self.as_of, &self.note) == (row.points, row.never, row.as_of, &row.note)
    }
}

impl From<Row> for ReportedAnswer {
    fn from(row: Row) -> ReportedAnswer {
        ReportedAnswer {
            window_id: Shown(row.window),
            window: row.number,
            partner: row.partner.to_string(),
            version: row.version,
            points: row.points,
            never: row.never,
            as_of: row.as_of,
            note: row.note,
            certificate: row.certificate,
            stated_at: row.stated_at,
        }
    }
}
