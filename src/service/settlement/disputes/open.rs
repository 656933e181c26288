//! Opening a dispute: whose line it is, whether there is still time, what is claimed. The same one again is the first one.

use super::super::{find, standing};
use super::once::Named;
use super::{Error, Whole, is_other, tell, whole};
use crate::book::engine::world::EventKind;
use crate::book::posting::{self, Posting};
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::{ConversionId, DisputeId, LineId, ReconciliationId, Slug, WindowId};
use crate::domain::settlement::Participant;
use crate::domain::settlement::dispute::{self, Claimed, Kind, NoClaim, Parties, State, Stated};
use crate::domain::settlement::statement::Step;
use crate::domain::text::Text;
use crate::service::exchange::reference_hash;
use crate::service::settlement::broken;
use crate::store::catalogue;
use crate::store::settlement::disputes::{self as stored, Row};
use crate::store::settlement::lines;
use crate::store::settlement::statements;
use chrono::{Days, NaiveDate};
use diesel::PgConnection;
use uuid::Uuid;

/// What a dispute is about.
#[derive(Clone, Debug)]
pub enum About {
    /// One of the opener's own lines.
    Line(LineId),
    /// The opener's own reference of a conversion or a reversal: of the line it has here, or of one that is missing.
    Reference(Text),
}

/// A dispute to be opened.
#[derive(Clone, Debug)]
pub struct Opening {
    pub about: About,
    pub kind: Kind,
    /// Who is to answer for what is missing, as far as the opener knows: a line names its own.
    pub counterparty: Option<Participant>,
    pub claimed: Claimed,
    /// 1 to 500 characters.
    pub note: String,
    pub reconciliation: Option<ReconciliationId>,
}

/// Where disputes are opened: one partner's statement of a published window.
pub struct Ground {
    pub opener: Slug,
    pub statement: statements::Row,
    pub published_on: NaiveDate,
    /// Of the window.
    pub disputes_until: NaiveDate,
    pub catalogue: Catalogue,
}

impl Ground {
    /// `NotFound` when the window is not published or the partner has no statement of it.
    pub fn find(conn: &mut PgConnection, opener: &Slug, window: WindowId) -> Result<Ground, Error> {
        let (window, statement) = find::statement(conn, window, &Participant::from(opener))?;
        let disputes_until = window.closed()?.dates.disputes_until;
        let catalogue = catalogue::load(conn)?;
        let published_at = window.published_at.ok_or_else(Error::not_found)?;
        let published_on = published_at.with_timezone(&catalogue.alliance.zone).date_naive();
        Ok(Ground { opener: opener.clone(), statement, published_on, disputes_until, catalogue })
    }

    /// The last day to dispute: the window's, or sooner where the agreement that a line is settled by says so.
    fn until(&self, subject: &Subject) -> NaiveDate {
        let Subject::Line(line) = subject else { return self.disputes_until };
        let direction = line.from.clone().zip(line.to.clone());
        let pair = direction.and_then(|direction| self.catalogue.pairs.get(&direction));
        let agreed = pair.and_then(|pair| pair.agreements.iter().find(|agreed| Some(agreed.version) == line.agreement));
        let days = agreed.map(|agreed| Days::new(u64::from(agreed.dispute_days)));
        let sooner = days.and_then(|days| self.published_on.checked_add_days(days));
        sooner.map_or(self.disputes_until, |sooner| sooner.min(self.disputes_until))
    }
}

/// Opens a dispute, or finds the one there is; `true` when it is new.
pub fn open(
    conn: &mut PgConnection,
    opener: &Slug,
    window: WindowId,
    opening: &Opening,
) -> Result<(Whole, bool), Error> {
    let ground = Ground::find(conn, opener, window)?;
    posting::post(conn, ground.catalogue.alliance.zone, |conn, posting| open_within(conn, posting, &ground, opening))
}

/// The same, as part of a posting that does more.
pub fn open_within(
    conn: &mut PgConnection,
    posting: &mut Posting,
    ground: &Ground,
    opening: &Opening,
) -> Result<(Whole, bool), Error> {
    // Before anything of it is written: of two that dispute lines of one statement, neither waits for what the other has begun.
    statements::lock(conn, ground.statement.id)?;
    let subject = subject(conn, ground, opening)?;
    if let Some(first) = subject.disputed(conn, ground, opening.kind)? {
        return Ok((whole(conn, first)?, false));
    }
    let until = ground.until(&subject);
    if posting.day() > until {
        return Err(Error::Closed(until));
    }
    let row = draft(ground, &subject, opening, posting)?;
    if !stored::insert(conn, &row)? {
        return Err(Error::Settlement(broken("a dispute that was not there is there, though its statement is held")));
    }
    let statement = &ground.statement;
    // One that was deemed accepted cannot be: its time is over on the same day.
    standing::on(conn, posting, statement, Step::Dispute)?.ok_or(Error::Closed(until))?;
    let opened = Whole { row, answered: None, proposed: None };
    tell(posting, EventKind::DisputeOpened, &opened, &ground.catalogue.alliance.currency)?;
    Ok((opened, true))
}

/// What is disputed, found.
enum Subject {
    Line(Box<find::Line>),
    Missing { reference: String, counterparty: Option<Participant>, conversion: Option<ConversionId> },
}

impl Subject {
    /// Its dispute of this kind, if there is one.
    fn disputed(&self, conn: &mut PgConnection, ground: &Ground, kind: Kind) -> Result<Option<Row>, Error> {
        Ok(match self {
            Subject::Line(line) => stored::of_line(conn, line.id, kind)?,
            Subject::Missing { reference, .. } => {
                stored::of_missing(conn, &Participant::from(&ground.opener), ground.statement.window, reference)?
            }
        })
    }
}

fn subject(conn: &mut PgConnection, ground: &Ground, opening: &Opening) -> Result<Subject, Error> {
    match (&opening.about, opening.kind) {
        (About::Line(_), Kind::Missing) => {
            Err(Error::invalid("/line_id", "must be left out: what is missing has no line, but an external_reference"))
        }
        (About::Reference(reference), Kind::Missing) => {
            let said = counterparty(ground, opening)?;
            let named = Named::find(conn, &ground.opener, reference)?;
            // What has a line, in whatever window, is not missing.
            if let Some(number) = named.window(conn, &ground.opener)? {
                let why = format!("is not missing: its line is in window {number}");
                return Err(Error::invalid("/external_reference", why));
            }
            let known = known(conn, ground, &named)?;
            let counterparty = said.or_else(|| known.as_ref().map(|(_, other)| other.clone()));
            // Nobody but its sides is told of a conversion.
            let conversion = known.filter(|(_, other)| Some(other) == counterparty.as_ref()).map(|(id, _)| id);
            Ok(Subject::Missing { reference: named.reference, counterparty, conversion })
        }
        _ if opening.counterparty.is_some() => {
            Err(Error::invalid("/counterparty", "must be left out: the line names it"))
        }
        (About::Line(id), _) => {
            let line = find::by_id(conn, &ground.statement, *id)?.ok_or_else(Error::not_found)?;
            Ok(Subject::Line(Box::new(line)))
        }
        (About::Reference(reference), _) => {
            let hash = reference_hash(&ground.opener, reference).0;
            let posted = lines::named(conn, &[hash])?.first().map(|(_, posted)| *posted);
            let line = match posted {
                Some(posted) => find::by_posted(conn, &ground.statement, posted)?,
                None => None,
            };
            Ok(Subject::Line(Box::new(line.ok_or_else(Error::not_found)?)))
        }
    }
}

/// Who the opener says is to answer for what is missing: another partner, or the operator.
fn counterparty(ground: &Ground, opening: &Opening) -> Result<Option<Participant>, Error> {
    let opener = Participant::from(&ground.opener);
    match &opening.counterparty {
        Some(other) if !is_other(&ground.catalogue, &opener, other) => {
            Err(Error::invalid("/counterparty", "must be another partner, or operator"))
        }
        said => Ok(said.clone()),
    }
}

/// What is known here and has no line yet, a reversal that nobody has confirmed: its conversion, and the other side of it.
/// `None`: nothing is known, or the opener is no side of it.
fn known(
    conn: &mut PgConnection,
    ground: &Ground,
    named: &Named,
) -> Result<Option<(ConversionId, Participant)>, Error> {
    let own = ground.opener.as_str();
    let ids: Vec<Uuid> = named.ranges().iter().filter(|(low, high)| low == high).map(|(id, _)| *id).collect();
    let known = lines::sides(conn, &ids)?.into_iter().find_map(|sides| {
        let other = match own {
            _ if sides.from == own => sides.to,
            _ if sides.to == own => sides.from,
            _ => return None,
        };
        Some((ConversionId(sides.conversion), Participant::parse(&other)?))
    });
    Ok(known)
}

fn draft(ground: &Ground, subject: &Subject, opening: &Opening, posting: &Posting) -> Result<Row, Error> {
    let opener = Participant::from(&ground.opener);
    let (line, conversion, reference, parties) = match subject {
        Subject::Line(line) => {
            let (counterparty, origin) = (Some(line.counterparty.clone()), Some(line.origin(&opener)));
            (Some(line), line.conversion, line.reference.clone(), Parties { opener, counterparty, origin })
        }
        Subject::Missing { reference, counterparty, conversion } => {
            let parties = Parties { opener, counterparty: counterparty.clone(), origin: None };
            (None, *conversion, Some(reference.clone()), parties)
        }
    };
    let stated = line.map(|line| Stated { amount: line.amount, points: line.points, price: line.price });
    let claim = dispute::claim(opening.kind, stated.as_ref(), opening.claimed).map_err(|why| refused(why, opening))?;
    let days = Days::new(u64::from(ground.catalogue.alliance.settlement.dispute_days));
    Ok(Row {
        id: DisputeId(Uuid::now_v7()),
        window: ground.statement.window,
        number: ground.statement.number,
        parties,
        kind: opening.kind,
        line: line.map(|line| line.id),
        conversion,
        reference,
        stated_points: stated.and_then(|stated| stated.points),
        stated_amount: stated.map(|stated| stated.amount),
        claimed_points: opening.claimed.points,
        claimed_amount: opening.claimed.amount,
        claim,
        note: opening.note.clone(),
        reconciliation: opening.reconciliation,
        opened_at: posting.at(),
        // The last representable day is far beyond any alliance's.
        answer_by: posting.day().checked_add_days(days).unwrap_or(NaiveDate::MAX),
        state: State::Open,
        state_at: posting.at(),
    })
}

fn refused(why: NoClaim, opening: &Opening) -> Error {
    let pointer = match why {
        NoClaim::Priceless => "/claimed_points",
        NoClaim::Range if opening.claimed.amount.is_none() => "/claimed_points",
        NoClaim::Nothing if opening.claimed == Claimed::default() => "/line_id",
        NoClaim::Unsaid | NoClaim::Nothing | NoClaim::Range => "/claimed_amount",
    };
    Error::invalid(pointer, why)
}
