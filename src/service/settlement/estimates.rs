//! Breakage estimates: what a brand expects never to be used of its points, as it states it. Finance reads them beside the
//! liability; nothing is computed from members' doings, and nothing is taken off the liability.

use super::Error;
use crate::domain::ids::Slug;
use crate::store::catalogue;
use crate::store::settlement::estimates::{self, Row};
use diesel::prelude::*;

/// What somebody states.
#[derive(Clone, Debug)]
pub struct Stated {
    pub partner: Slug,
    /// Share of outstanding points, in hundredths of a per cent: 0 to 10,000.
    pub basis_points: i64,
    /// Who answers for it.
    pub author: String,
    /// How it was come to; may be empty.
    pub note: String,
}

/// States a new version as of today; earlier ones stay.
pub fn state(conn: &mut PgConnection, stated: &Stated) -> Result<Row, Error> {
    let refuse = |why: &str| Err(Error::Refused(why.to_owned()));
    if !(0..=10_000).contains(&stated.basis_points) {
        return refuse("an estimate is a share of 0 to 100 %");
    }
    let is_line = |text: &str, most: usize| text.chars().count() <= most && !text.chars().any(char::is_control);
    if stated.author.trim().is_empty() || !is_line(&stated.author, 255) {
        return refuse("say who answers for the estimate, in at most 255 characters on one line");
    }
    if !is_line(&stated.note, 500) {
        return refuse("a note has at most 500 characters, on one line");
    }
    conn.transaction(|conn| {
        if !catalogue::exists(conn)? {
            return refuse("nothing was published yet");
        }
        let alliance = catalogue::load(conn)?;
        if !alliance.partners.contains_key(&stated.partner) {
            return Err(Error::Absent(format!("partner {}", stated.partner)));
        }
        let today = catalogue::business_day(conn, alliance.alliance.zone)?;
        let row = Row {
            partner: stated.partner.clone(),
            version: 0,
            basis_points: stated.basis_points,
            author: stated.author.clone(),
            stated_on: today,
            note: stated.note.clone(),
        };
        Ok(estimates::insert(conn, &row)?)
    })
}

/// Every version, by partner, newest first.
pub fn list(conn: &mut PgConnection, partner: Option<&Slug>) -> Result<Vec<Row>, Error> {
    Ok(estimates::list(conn, partner.map(Slug::as_str))?)
}
