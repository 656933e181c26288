//! Signing a window: every statement, its place in the log, the checkpoint over it, what is owed, the lines of whoever owes
//! nothing out of the exposures, and everybody told. One transaction: a window is signed as a whole or not at all.

use super::settings::Settings;
use super::statement::{self, Parts};
use super::{Error, broken, check, deadlines, release};
use crate::book::posting::{self, Posting};
use crate::domain::ids::{ObligationId, StatementId};
use crate::domain::money::Millionths;
use crate::domain::settlement::netting::{self, Differs, Duty, Nets, Payee};
use crate::domain::settlement::statement::State;
use crate::domain::settlement::window::{self, Step};
use crate::service::keys::Keys;
use crate::signing::merkle::{self, Hash};
use crate::store::settlement::log::{self, Leaf};
use crate::store::settlement::statements::{self, Signature};
use crate::store::settlement::{obligations, tallies, windows};
use diesel::PgConnection;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Signs a window that is netted.
pub fn sign(conn: &mut PgConnection, keys: &Keys, window: &windows::Row, settings: &Settings) -> Result<(), Error> {
    posting::post(conn, settings.zone()?, |conn, posting| {
        log::lock(conn)?;
        // Every payload tells the days, and so does every duty.
        let window = &windows::dated(conn, window, window.closed()?.dates.signed_on(posting.day()))?;
        let nets = nets(conn, window, settings)?;
        let duties = netting::duties(settings.netting, &nets)?;
        let mut leaves = log::leaves(conn, None)?;
        let empty = BTreeMap::new();
        for tally in tallies::list(conn, window.id)? {
            let previous = statements::before(conn, &tally.participant, window.number, 1)?.pop();
            let drafted = statement::draft(&Parts {
                settings,
                window,
                tally: &tally,
                nets: nets.get(&tally.participant).unwrap_or(&empty),
                duties: &duties,
                previous: previous.as_ref(),
                payments: statements::payments(conn, window.id, &tally.participant)?,
            })?;
            let index = i64::try_from(leaves.len()).map_err(broken)?;
            leaves.push(drafted.leaf);
            let row = statements::Row {
                id: StatementId(Uuid::now_v7()),
                window: window.id,
                number: window.number,
                participant: tally.participant.clone(),
                first_line: tally.first_line,
                lines: tally.lines,
                leaf: drafted.leaf,
                leaf_index: index,
                closing: drafted.closing,
                state: State::Published,
                state_at: posting.at(),
                payload: drafted.payload,
            };
            keep(conn, keys, posting, &row)?;
        }
        checkpoint(conn, keys, &settings.trust_domain, &leaves, posting)?;
        owe(conn, window, settings, &duties)?;
        release::owing_nothing(conn, posting, settings.netting, (window.id, &nets))?;
        windows::step(conn, window, Step::Sign)?;
        // At once: from the days that are signed, all have to count, and nobody counts from what they have not been told.
        publish(conn, posting, &windows::Row { state: window::State::Signed, ..window.clone() })
    })
}

/// Tells every partner of its statement and of what it owes or is owed.
pub fn publish(conn: &mut PgConnection, posting: &mut Posting, window: &windows::Row) -> Result<(), Error> {
    deadlines::tell_published(conn, posting, window)?;
    Ok(windows::published(conn, window, posting.at())?)
}

/// The stored nets.
fn nets(conn: &mut PgConnection, window: &windows::Row, settings: &Settings) -> Result<Nets, Error> {
    let nets = tallies::nets_of_all(conn, window.id)?;
    // What is signed is what was checked: the sums that are stored must still come to these.
    let checked = check::conserved(conn, window, settings)?;
    let same = checked.iter().filter(|(_, own)| !own.is_empty()).eq(nets.iter());
    if same { Ok(nets) } else { Err(Differs::Journal("the nets are not those of the lines".to_owned()).into()) }
}

fn keep(conn: &mut PgConnection, keys: &Keys, posting: &Posting, row: &statements::Row) -> Result<(), Error> {
    statements::insert(conn, row)?;
    for (place, made) in keys.statement_signatures(row.payload.as_bytes())?.into_iter().enumerate() {
        let signature = Signature {
            place: i16::try_from(place).map_err(broken)?,
            kid: made.kid,
            signer: "alliance".to_owned(),
            protected: made.protected,
            signature: made.signature,
            signed_at: posting.at(),
        };
        statements::insert_signature(conn, row.id, &signature)?;
    }
    let subject = row.id.to_string();
    let leaf = Leaf { index: row.leaf_index, kind: "statement", subject, hash: row.leaf, record: None };
    Ok(log::insert(conn, &leaf, posting.at())?)
}

/// Signs a checkpoint over the whole log. The log's lock is held.
pub fn checkpoint(
    conn: &mut PgConnection,
    keys: &Keys,
    origin: &str,
    leaves: &[Hash],
    posting: &Posting,
) -> Result<(), Error> {
    let size = u64::try_from(leaves.len()).map_err(broken)?;
    let note = keys.sign_checkpoint(origin, size, merkle::root(leaves))?;
    Ok(log::insert_checkpoint(conn, i64::try_from(size).map_err(broken)?, &note.to_string(), posting.at())?)
}

fn owe(conn: &mut PgConnection, window: &windows::Row, settings: &Settings, duties: &[Duty]) -> Result<(), Error> {
    // The alliance's settlement account is the operator's to keep.
    let entity = |payee: &Payee| -> Result<String, Error> {
        let participant = match payee {
            Payee::Alliance => crate::domain::settlement::Participant::operator(),
            Payee::Participant(participant) => participant.clone(),
        };
        Ok(settings.named(&participant)?.entity.clone())
    };
    for duty in duties {
        let row = obligations::Row {
            id: ObligationId(Uuid::now_v7()),
            window: window.id,
            number: window.number,
            debtor: duty.debtor.as_str().to_owned(),
            creditor: duty.creditor.as_str().to_owned(),
            debtor_entity: entity(&duty.debtor)?,
            creditor_entity: entity(&duty.creditor)?,
            amount: duty.amount,
            paid: Millionths::ZERO,
            due_on: window.closed()?.dates.due_on,
            overdue_at: None,
            paid_at: None,
        };
        obligations::insert(conn, &row)?;
    }
    Ok(())
}
