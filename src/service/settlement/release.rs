//! Settled lines leave the exposures: when their debtor has paid in full, or at signing when it owes nothing net.
//!
//! A part payment lowers what the partner owes net by just that, and no pair; the last one takes out what is left, so that
//! all paid is zero.

use super::Error;
use crate::book::exposures::ExposureKey;
use crate::book::posting::Posting;
use crate::domain::ids::WindowId;
use crate::domain::money::Millionths;
use crate::domain::settings::Netting;
use crate::domain::settlement::Participant;
use crate::domain::settlement::netting::{self, Nets, Payee};
use crate::store::settlement::{obligations, tallies};
use diesel::PgConnection;

/// Whose lines of which window are settled: all of them, or those with one counterparty.
#[derive(Clone, Copy, Debug)]
pub struct Settled<'a> {
    pub window: WindowId,
    pub of: &'a Participant,
    pub with: Option<&'a Participant>,
    /// What part payments have taken out before.
    pub before: Millionths,
}

/// Takes the lines out of the exposures; those that are out already stay so.
pub fn release(conn: &mut PgConnection, posting: &mut Posting, settled: Settled<'_>) -> Result<(), Error> {
    let nets = tallies::nets(conn, settled.window, Some(settled.of))?;
    let wanted = |row: &&tallies::NetRow| !row.released && settled.with.is_none_or(|with| row.counterparty == *with);
    let mut net = settled.before;
    for row in nets.iter().filter(wanted) {
        net = net.plus(row.net.exact).ok_or_else(|| super::broken("a release beyond money"))?;
        if let (Some(from), Some(to)) = (settled.of.partner(), row.counterparty.partner()) {
            let key = ExposureKey::Pair(from.clone(), to.clone());
            move_by(conn, posting, (settled.window, settled.with), &key, row.net.gross.negated())?;
        }
    }
    if let Some(partner) = settled.of.partner() {
        // A partner's exposure is what it owes: lines raised it by the net with its sign turned.
        move_by(conn, posting, (settled.window, settled.with), &ExposureKey::Partner(partner.clone()), net)?;
    }
    tallies::release(conn, settled.window, settled.of, settled.with, posting.batch_no())?;
    Ok(())
}

fn move_by(
    conn: &mut PgConnection,
    posting: &mut Posting,
    (of, with): (WindowId, Option<&Participant>),
    key: &ExposureKey,
    by: Millionths,
) -> Result<(), Error> {
    if by != Millionths::ZERO && posting.expose(conn, key, by)? {
        let (batch_no, posted_in) = (posting.batch_no(), posting.window());
        let release = tallies::Release { batch_no, posted_in, of, with, key: &key.text(), delta: by };
        tallies::insert_release(conn, &release)?;
    }
    Ok(())
}

/// Whoever owes nothing net is settled when its statement is signed.
pub fn owing_nothing(
    conn: &mut PgConnection,
    posting: &mut Posting,
    netting: Netting,
    (window, nets): (WindowId, &Nets),
) -> Result<(), Error> {
    for (of, own) in nets {
        let settled = Settled { window, of, with: None, before: Millionths::ZERO };
        match netting {
            Netting::Multilateral if netting::net(own) >= 0 => release(conn, posting, settled)?,
            Netting::Multilateral => {}
            Netting::Bilateral => {
                for (with, _) in own.iter().filter(|(_, net)| net.rounded >= Millionths::ZERO) {
                    release(conn, posting, Settled { with: Some(with), ..settled })?;
                }
            }
        }
    }
    Ok(())
}

/// A payment of an obligation: in part, it lowers what the debtor owes net; in full, the debtor's lines are settled, in a
/// bilateral alliance those with its creditor. `obligation` is as it was before.
pub fn paid(
    conn: &mut PgConnection,
    posting: &mut Posting,
    netting: Netting,
    (obligation, amount): (&obligations::Row, Millionths),
) -> Result<(), Error> {
    // The alliance's account owes what others paid into it: that is no exposure of anybody's.
    if obligation.debtor == Payee::Alliance.as_str() {
        return Ok(());
    }
    let party = |text: &str| Participant::parse(text).ok_or_else(|| super::broken(format!("participant `{text}`")));
    let of = party(&obligation.debtor)?;
    if obligation.paid.plus(amount) != Some(obligation.amount) {
        return match of.partner() {
            Some(partner) => {
                let key = ExposureKey::Partner(partner.clone());
                move_by(conn, posting, (obligation.window, None), &key, amount.negated())
            }
            None => Ok(()),
        };
    }
    let settled = Settled { window: obligation.window, of: &of, with: None, before: obligation.paid };
    match netting {
        Netting::Multilateral => release(conn, posting, settled),
        Netting::Bilateral => {
            let with = party(&obligation.creditor)?;
            release(conn, posting, Settled { with: Some(&with), ..settled })
        }
    }
}
