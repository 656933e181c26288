//! From differences to disputes: those that say something is wrong with a line, or missing, each once; the others are
//! skipped. A call does a bounded number, and the next goes on where it stopped.

use super::difference::{Difference, Side};
use super::{Row, read_runs};
use crate::book::posting;
use crate::domain::ids::{ReconciliationId, Slug, WindowId};
use crate::domain::money::Millionths;
use crate::domain::settlement::Participant;
use crate::domain::settlement::dispute::{Claimed, Kind};
use crate::domain::settlement::reconcile::Finding;
use crate::domain::text::Text;
use crate::service::settlement::Error as Cause;
use crate::service::settlement::disputes::{About, Error, Ground, Opening, open_within};
use crate::store::settlement::reconciliations::{self as stored, Handled};
use diesel::PgConnection;

/// Differences in one posting, which holds the fence.
const CHUNK: usize = 100;
/// Differences in one call.
const CALL_MAX: usize = 1_000;

/// Opens disputes of what differs, some of it at a time; the reconciliation says how far it has come.
pub fn open_disputes(
    conn: &mut PgConnection,
    partner: &Slug,
    window: WindowId,
    id: ReconciliationId,
) -> Result<Row, Error> {
    open_disputes_and(conn, partner, window, id, |_, _, _| Ok(()))
}

/// The same; what is opened is shown to `also`, before and after, in each transaction that opens some.
pub fn open_disputes_and(
    conn: &mut PgConnection,
    partner: &Slug,
    window: WindowId,
    id: ReconciliationId,
    also: impl Fn(&mut PgConnection, &Handled, &Handled) -> Result<(), Error>,
) -> Result<Row, Error> {
    let ground = Ground::find(conn, partner, window)?;
    let mut row = super::get(conn, partner, window, id)?;
    let last = row.completed.as_ref().map(|completed| completed.differences);
    let last = last.ok_or_else(|| Error::Stale("The reconciliation is not completed.".to_owned()))?;
    for _ in 0..CALL_MAX / CHUNK {
        if row.handled.all() >= last {
            break;
        }
        let zone = ground.catalogue.alliance.zone;
        row.handled = posting::post(conn, zone, |conn, posting| {
            // Two calls at once go one after the other.
            let row = stored::lock(conn, id)?.ok_or(Cause::NotFound)?;
            let mut handled = row.handled;
            let next = read_runs(conn, &row, handled.all() + 1, 1).map_err(|cause| match cause {
                Cause::NotFound => Error::Stale("Its differences were let go: newer lists have come since.".to_owned()),
                other => other.into(),
            })?;
            for difference in next.iter().take(CHUNK) {
                let Some(opening) = opening(&row, difference) else {
                    handled.skipped += 1;
                    continue;
                };
                match open_within(conn, posting, &ground, &opening) {
                    Ok((_, true)) => handled.opened += 1,
                    Ok((_, false)) => handled.known += 1,
                    // Nothing to claim, or not missing any more.
                    Err(Error::Invalid { .. } | Error::Settlement(Cause::NotFound)) => handled.skipped += 1,
                    Err(other) => return Err(other),
                }
            }
            stored::handled(conn, id, &handled)?;
            also(conn, &row.handled, &handled)?;
            Ok::<Handled, Error>(handled)
        })?;
    }
    Ok(row)
}

/// The dispute a difference makes; `None`: none, or one only a person can word.
fn opening(row: &Row, difference: &Difference) -> Option<Opening> {
    let finding = Finding::parse(&difference.result)?;
    let here = difference.here.as_ref();
    let there = difference.there.as_ref();
    let money = |text: &Option<String>| text.as_deref().and_then(Millionths::parse);
    let line = || difference.line_id.as_deref()?.parse().ok().map(About::Line);
    // The first line answers for all that belong to it.
    let line_should_be = || money(&difference.line_amount)?.plus(money(&difference.difference)?);
    let nothing = Claimed::default();
    let (about, kind, claimed) = match finding {
        Finding::MissingHere => {
            let ids = [&difference.external_reference, &difference.conversion_id, &difference.reversal_id];
            let name = ids.into_iter().flatten().next()?;
            let claimed = Claimed { amount: money(&there?.amount), points: there?.points };
            (About::Reference(Text::new(name.clone()).ok()?), Kind::Missing, claimed)
        }
        // Two people decided it, and no list of orders has it. A list that names the line itself says more than nothing.
        Finding::MissingThere if difference.kind.as_deref() == Some("adjustment") => return None,
        // Nobody disputes what it is owed: to have it taken away, a person must say so.
        Finding::MissingThere if money(&here?.amount)? > Millionths::ZERO => return None,
        // Its opener knows of no such conversion.
        Finding::MissingThere => (line()?, Kind::Eligibility, Claimed { amount: line_should_be(), ..nothing }),
        Finding::Amount => (line()?, Kind::Amount, Claimed { amount: Some(line_should_be()?), ..nothing }),
        Finding::Rate => {
            let claimed = match (line_should_be(), there?.points) {
                (Some(amount), _) => Claimed { amount: Some(amount), ..nothing },
                // Points alone say what the line should be where no bonus is mixed with them.
                (None, Some(points)) if here?.points == difference.base_points => {
                    Claimed { points: Some(points), ..nothing }
                }
                (None, _) => return None,
            };
            (line()?, Kind::Rate, claimed)
        }
        // The list's own doing, and what another window settles.
        Finding::Matched | Finding::Duplicate | Finding::Late => return None,
    };
    let counterparty = match kind {
        Kind::Missing => difference.counterparty.as_deref().and_then(Participant::parse),
        Kind::Duplicate | Kind::Amount | Kind::Rate | Kind::Eligibility | Kind::Identity => None,
    };
    let note = note(row, difference);
    Some(Opening { about, kind, counterparty, claimed, note, reconciliation: Some(row.id) })
}

fn note(row: &Row, difference: &Difference) -> String {
    let at = difference.row.map_or_else(String::new, |row| format!(", row {row}"));
    format!("{}{at}: {} ({})", row.id, difference.result, both(difference))
}

/// What the two sides say of that in which they differ: points for points, else money, else the points of a list that has no
/// money.
fn both(difference: &Difference) -> String {
    let nothing = Side::default();
    let here = difference.here.as_ref().unwrap_or(&nothing);
    let there = difference.there.as_ref().unwrap_or(&nothing);
    if let (Some(own), Some(said)) = (here.points, there.points)
        && difference.result == Finding::Rate.code()
        && own != said
        && difference.base_points != Some(said)
    {
        return format!("{own} points here, {said} there");
    }
    if let (Some(own), Some(said)) = (here.debit_points, there.debit_points)
        && difference.result == Finding::Rate.code()
    {
        return format!("{own} debited points here, {said} there");
    }
    let side = |side: &Side| {
        let points = || side.points.map(|points| format!("{points} points"));
        side.amount.clone().or_else(points).unwrap_or_else(|| "nothing".to_owned())
    };
    format!("{} here, {} there", side(here), side(there))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_holds_points_against_points_and_money_against_money() {
        let side = |amount: Option<&str>, points, debit_points| {
            Some(Side { amount: amount.map(str::to_owned), points, debit_points })
        };
        let ours = || side(Some("-2.50"), Some(56), Some(100));
        for (finding, here, there, told) in [
            (Finding::Rate, ours(), side(None, Some(40), None), "56 points here, 40 there"),
            (Finding::Rate, ours(), side(Some("-2.00"), Some(40), Some(100)), "56 points here, 40 there"),
            // The base alone is no other points.
            (Finding::Rate, ours(), side(None, Some(50), Some(102)), "100 debited points here, 102 there"),
            (Finding::Rate, ours(), side(None, None, Some(102)), "100 debited points here, 102 there"),
            (Finding::Amount, ours(), side(Some("-2.60"), Some(56), None), "-2.50 here, -2.60 there"),
            (Finding::MissingHere, None, side(None, Some(40), None), "nothing here, 40 points there"),
            (Finding::MissingHere, None, side(Some("-2.00"), Some(40), None), "nothing here, -2.00 there"),
            (Finding::MissingThere, ours(), None, "-2.50 here, nothing there"),
        ] {
            let difference = Difference { here, there, base_points: Some(50), ..Difference::new(finding) };
            assert_eq!(both(&difference), told, "{difference:?}");
        }
    }
}
