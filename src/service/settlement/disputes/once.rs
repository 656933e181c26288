//! The same mistake is made good once, whoever disputed it and however often.
//!
//! Of a line, the mistake is the amount between its two sides: one posting's base, or one campaign's bonus of it. Its line at
//! the other side is the same mistake; a bonus beside the base, which somebody else may fund, is another. Of what is missing,
//! it is what is known here under the reference, or else the reference, which is its opener's own.

use super::Error;
use crate::domain::ids::{AdjustmentId, ConversionId, DisputeId, LineId, ReversalId, Slug, UseId};
use crate::domain::money::Millionths;
use crate::domain::settlement::dispute::{self, Parties};
use crate::domain::settlement::line;
use crate::domain::text::Text;
use crate::service::exchange::reference_hash;
use crate::service::settlement::broken;
use crate::store::settlement::disputes::{self as stored, Row};
use crate::store::settlement::{lines, windows};
use diesel::PgConnection;
use uuid::Uuid;

/// `Stale` when what is disputed was made good before, or there is no longer as much of it as the award would give. Until
/// the transaction ends, nobody else decides about the same.
pub(super) fn may_be_given(
    conn: &mut PgConnection,
    row: &Row,
    parties: &Parties,
    award: Millionths,
) -> Result<(), Error> {
    let before = match row.line {
        Some(line) => of_line(conn, row, line, award)?,
        None => of_missing(conn, row, parties)?,
    };
    match before {
        Some(other) => Err(Error::Stale(format!("Another dispute of the same was upheld before: {other}."))),
        None => Ok(()),
    }
}

fn of_line(conn: &mut PgConnection, row: &Row, line: LineId, award: Millionths) -> Result<Option<DisputeId>, Error> {
    let amount = line::of_amount(line);
    stored::hold(conn, &amount.0.to_string())?;
    let before = stored::upheld_line(conn, amount, (row.id, &row.parties))?;
    if lines::use_taken_back(conn, line::of_posting(line))? {
        return Err(Error::Stale("The use of it has been taken back since: nothing is left to be given.".to_owned()));
    }
    if before.is_none() {
        stands(conn, row, line, award)?;
    }
    Ok(before)
}

/// What reversals have taken back of a conversion's own line since is not given once more.
fn stands(conn: &mut PgConnection, row: &Row, line: LineId, award: Millionths) -> Result<(), Error> {
    // A reversal's line, or an adjustment's, names the conversion too: nothing takes these back.
    let own = row.conversion.and_then(|conversion| Some((conversion.0, line::campaign(line, conversion.0)?)));
    let (Some((conversion, campaign)), Some(amount), Some(points)) = (own, row.stated_amount, row.stated_points) else {
        return Ok(());
    };
    let back = lines::taken_back(conn, conversion, campaign)?;
    if dispute::stands(amount, points, back, award) {
        return Ok(());
    }
    Err(Error::Stale(format!(
        "It has been reversed since, {back} points of {points}: no more can be given than what still stands."
    )))
}

fn of_missing(conn: &mut PgConnection, row: &Row, parties: &Parties) -> Result<Option<DisputeId>, Error> {
    // Under whatever references the two know it: one after the other, all of them.
    stored::hold(conn, "missing")?;
    let Some(own) = Named::of(conn, row)? else { return Ok(None) };
    if let Some(partner) = row.parties.opener.partner()
        && let Some(number) = own.window(conn, partner)?
    {
        return Err(Error::Stale(format!("It is no longer missing: its line is in window {number}.")));
    }
    for other in stored::upheld_missing(conn, (row.id, parties))? {
        let same_name = other.parties.opener == row.parties.opener && other.reference == row.reference;
        if same_name || Named::of(conn, &other)?.is_some_and(|other| other.meets(&own)) {
            return Ok(Some(other.id));
        }
    }
    Ok(None)
}

/// What is known here under a reference of a partner's.
pub(super) struct Named {
    /// An id of ours is kept as we write it.
    pub reference: String,
    /// Ids it may have been posted under, or be posted under once somebody confirms it; ends included.
    ranges: Vec<(Uuid, Uuid)>,
}

impl Named {
    /// By what the partner posted under it, or by the id of ours that it is, in capitals or not: a list may know a posting by
    /// nothing else.
    pub fn find(conn: &mut PgConnection, partner: &Slug, reference: &Text) -> Result<Named, Error> {
        let hash = reference_hash(partner, reference).0;
        let mut ranges: Vec<(Uuid, Uuid)> =
            lines::named(conn, &[hash])?.into_iter().map(|(_, posted)| (posted, posted)).collect();
        let text = reference.as_str().to_ascii_lowercase();
        let posted = [
            text.parse::<ConversionId>().map(|id| id.0),
            text.parse::<ReversalId>().map(|id| id.0),
            text.parse::<AdjustmentId>().map(|id| id.0),
            text.parse::<UseId>().map(|id| id.0),
        ];
        let mut ours: Vec<(Uuid, Uuid)> = posted.into_iter().flatten().map(|id| (id, id)).collect();
        ours.extend(text.parse::<LineId>().map(line::of_posting));
        let reference = if ours.is_empty() { reference.as_str().to_owned() } else { text };
        ranges.extend(ours);
        Ok(Named { reference, ranges })
    }

    /// Of what a dispute says is missing; `None` for a line's.
    fn of(conn: &mut PgConnection, row: &Row) -> Result<Option<Named>, Error> {
        let (Some(partner), Some(reference), None) = (row.parties.opener.partner(), &row.reference, row.line) else {
            return Ok(None);
        };
        let reference = Text::new(reference.clone()).map_err(|_| broken("the reference of a dispute is no text"))?;
        Named::find(conn, partner, &reference).map(Some)
    }

    pub fn ranges(&self) -> &[(Uuid, Uuid)] {
        &self.ranges
    }

    /// The number of the window that the partner's line of it is in, if it has one.
    pub fn window(&self, conn: &mut PgConnection, partner: &Slug) -> Result<Option<i64>, Error> {
        let posted = lines::posted(conn, &self.ranges)?;
        let own = |side: &String| side == partner.as_str();
        let Some(found) = posted.iter().find(|posted| posted.sides.iter().any(own)) else { return Ok(None) };
        Ok(Some(windows::numbers(conn)?.get(&found.place.window.0).copied().unwrap_or_default()))
    }

    /// Whether both may be the same posting.
    fn meets(&self, other: &Named) -> bool {
        let meet = |a: &(Uuid, Uuid)| other.ranges.iter().any(|b| a.0 <= b.1 && b.0 <= a.1);
        self.ranges.iter().any(meet)
    }
}
