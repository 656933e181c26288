//! What must agree before anything is signed: sides with each other, all nets with nothing, lines with the exposures, and
//! every posting with its window.

use super::gather;
use super::settings::Settings;
use super::{Error, broken};
use crate::domain::money::minor_digits;
use crate::domain::settlement::Participant;
use crate::domain::settlement::netting::{self, Differs, Nets};
use crate::domain::settlement::tally::Tallies;
use crate::store::settlement::windows::{self, Row};
use crate::store::settlement::{tallies, windows::Exposed};
use diesel::PgConnection;
use std::collections::BTreeMap;

/// The tallies of every participant of a window.
fn tallies(rows: &[tallies::Row]) -> Result<BTreeMap<Participant, Tallies>, Error> {
    rows.iter().map(|row| Ok((row.participant.clone(), gather::read_sums(&row.sums)?))).collect()
}

/// The nets of a window whose lines are all there; `Err(Differs)` names what does not agree.
pub fn conserved(conn: &mut PgConnection, window: &Row, settings: &Settings) -> Result<Nets, Error> {
    let strays = windows::strays(conn, window)?;
    if strays != 0 {
        let what = format!("{strays} batches are in another window than their numbers say");
        return Err(Differs::Journal(what).into());
    }
    let tallies = tallies(&tallies::list(conn, window.id)?)?;
    let nets = netting::nets(&tallies, minor_digits(&settings.currency), settings.rounding)?;
    for exposed in windows::exposed(conn, window)? {
        let expected = i128::from(exposed.before) + i128::from(exposed.released) + moved(&tallies, &exposed)?;
        if expected != i128::from(exposed.value) {
            let Exposed { key, value, .. } = exposed;
            return Err(Differs::Exposure { key, value, expected }.into());
        }
    }
    Ok(nets)
}

/// What the window's lines add to an exposure: a pair's gross, or what the partner owes net.
fn moved(tallies: &BTreeMap<Participant, Tallies>, exposed: &Exposed) -> Result<i128, Error> {
    let parts: Vec<&str> = exposed.key.split(':').collect();
    let participant =
        |text: &str| Participant::parse(text).ok_or_else(|| broken(format!("exposure `{}`", exposed.key)));
    match parts.as_slice() {
        ["pair", from, to] => {
            let (from, to) = (participant(from)?, participant(to)?);
            Ok(tallies.get(&from).and_then(|own| own.get(&to)).map_or(0, |tally| tally.gross))
        }
        ["partner", of] => {
            let own = tallies.get(&participant(of)?);
            Ok(-own.map_or(0, |own| own.values().map(|tally| tally.exact()).sum::<i128>()))
        }
        _ => Err(broken(format!("exposure `{}`", exposed.key))),
    }
}
