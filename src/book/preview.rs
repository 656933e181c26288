//! What a conversion would come to now, decided by the engine on a world that is then thrown away.
//!
//! Takes no fence and no turn: a preview promises nothing, and the conversion decides again.

use super::command::{Answer, Ask, Command, Convert, Direction, DirectoryHash, Outcome, Request, Want};
use super::engine::world::{Now, World};
use super::engine::{Priced, Verdict, decide};
use super::exposures::ExposureKey;
use super::store::Error;
use super::store::read::{self, Wanted};
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::{Slug, WindowId};
use diesel::PgConnection;
use uuid::Uuid;

/// A conversion that somebody thinks of.
#[derive(Clone, Debug)]
pub struct Preview {
    pub caller: Slug,
    pub request_id: Uuid,
    /// Of the caller's own membership.
    pub hash: DirectoryHash,
    pub direction: Direction,
    pub want: Want,
}

/// Decides it as if it had been asked for now. `Outcome::Refused` is what the conversion would be told.
pub fn convert(conn: &mut PgConnection, catalogue: &Catalogue, asked: Preview) -> Result<Outcome, Error> {
    let Preview { caller, request_id, hash, direction, want } = asked;
    let at = crate::store::catalogue::business_now(conn)?;
    let day = at.with_timezone(&catalogue.alliance.zone).date_naive();
    let mut world = World::new(Now { at, day }, WindowId(Uuid::nil()), 0);
    let other = match &direction {
        Direction::To(other) | Direction::From(other) => other,
    };
    let mut wanted = Wanted { directory: vec![hash.0], ..Wanted::default() };
    for located in read::locate(conn, vec![hash.0])? {
        wanted.accounts.push(located.account);
        wanted.accounts.extend(located.links.iter().filter(|link| link.partner == *other).map(|link| link.account));
    }
    let (from, to) = match &direction {
        Direction::To(to) => (&caller, to),
        Direction::From(from) => (from, &caller),
    };
    wanted.exposures = vec![
        ExposureKey::Pair(from.clone(), to.clone()),
        ExposureKey::Partner(from.clone()),
        ExposureKey::Partner(to.clone()),
    ];
    read::fill(conn, &mut world, wanted)?;
    let ask = Convert { who: hash, direction, ask: Ask::Now { want, floor: None } };
    let command = Command::Convert(ask);
    let request = Request { caller, fresh: Uuid::nil(), request_id, key: None, reference: None, command };
    match decide(&mut world, catalogue, &mut Priced::default(), &request) {
        Verdict::Answered(Answer { outcome, .. }) => Ok(outcome),
        // Linked between the two reads: the caller asks again.
        Verdict::Reload => Err(Error::LostRace),
    }
}
