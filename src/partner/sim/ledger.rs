//! The ledger a partner keeps, as rules: rows in, rows and an answer out. No clock, no file, no network.
//!
//! Every id is decided once: what was answered to it, a refusal too, is answered again to the same request, and no other
//! request under it is taken. An id that was released or voided before it came is never taken up later.

mod rows;
#[cfg(test)]
mod tests;

pub use rows::{CreditRow, Event, HoldRow, Member, Rows, Stood, Totals};

use super::super::endpoint::{
    Credit, CreditRequest, CreditState, Hold, HoldRequest, HoldState, HoldStep, Lot, Purpose, Refusal, VoidRequest,
};
use chrono::NaiveDate;

/// The largest sum of points that JSON carries exactly.
const POINTS_MAX: i64 = (1 << 53) - 1;
/// No request names more lots than this.
const LOTS_MAX: usize = 1_000;

/// What may be asked of the ledger, by the alliance or by its owner.
#[derive(Clone, Debug)]
pub enum Command {
    Hold(HoldRequest),
    Capture(HoldStep),
    Release(HoldStep),
    Credit(CreditRequest),
    Void(VoidRequest),
    /// Decides that a hold, or a credit, is refused under this id; for one that is decided already it changes nothing.
    RefuseHold(HoldRequest, Refusal),
    RefuseCredit(CreditRequest, Refusal),
    /// A member and its points, when it is not there yet.
    Seed {
        member_ref: String,
        tier: String,
        lots: Vec<Lot>,
    },
    /// Points for a member that is there: a purchase at the brand itself.
    Earn {
        member_ref: String,
        lot: Lot,
    },
    /// `active`, `frozen` or `closed`.
    SetStatus {
        member_ref: String,
        status: String,
    },
    /// Ends the lots whose last day is before this one, of one member.
    Expire {
        member_ref: String,
        today: NaiveDate,
    },
    /// An event of the alliance's feed, once.
    Remember(Event),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Hold(Hold),
    Credit(Credit),
    /// Whether it changed anything.
    Done(bool),
}

pub type Outcome = Result<Answer, Refusal>;

/// Decides a command on these rows. `Err` only when rows cannot be read or written.
pub fn apply<R: Rows>(rows: &mut R, command: &Command) -> Result<Outcome, R::Error> {
    match command {
        Command::Hold(asked) => hold(rows, asked, None),
        Command::RefuseHold(asked, why) => hold(rows, asked, Some(why)),
        Command::Capture(step) => capture(rows, step),
        Command::Release(step) => release(rows, step),
        Command::Credit(asked) => credit(rows, asked, None),
        Command::RefuseCredit(asked, why) => credit(rows, asked, Some(why)),
        Command::Void(asked) => void(rows, asked),
        Command::Seed { member_ref, tier, lots } => seed(rows, member_ref, tier, lots),
        Command::Earn { member_ref, lot } => earn(rows, member_ref, lot),
        Command::SetStatus { member_ref, status } => set_status(rows, member_ref, status),
        Command::Expire { member_ref, today } => expire(rows, member_ref, *today),
        Command::Remember(event) => remember(rows, event),
    }
}

pub fn refusal(code: &str, detail: &str) -> Refusal {
    Refusal { code: code.to_owned(), detail: Some(detail.to_owned()) }
}

fn no<T, E>(code: &str, detail: &str) -> Result<Result<T, Refusal>, E> {
    Ok(Err(refusal(code, detail)))
}

fn other_body() -> Refusal {
    refusal("id_mismatch", "This id was used for another request.")
}

/// A hold as it is answered. The first answer has no state, so that it stays true.
pub fn hold_answer(hold_id: &str, row: &HoldRow, state: Option<HoldState>) -> Hold {
    let lots = if row.state == Stood::Released { Vec::new() } else { row.lots.clone() };
    Hold { hold_id: hold_id.to_owned(), points: sum(&lots), lots, state }
}

pub fn hold_state(row: &HoldRow) -> Option<HoldState> {
    match row.state {
        Stood::Taken => Some(HoldState::Held),
        Stood::Captured => Some(HoldState::Captured),
        Stood::Released => Some(HoldState::Released),
        Stood::Refused => None,
    }
}

fn hold<R: Rows>(rows: &mut R, asked: &HoldRequest, refuse: Option<&Refusal>) -> Result<Outcome, R::Error> {
    if let Some(row) = rows.hold(&asked.hold_id)? {
        return Ok(hold_again(&row, asked));
    }
    let taken = match refuse {
        Some(why) => Err(why.clone()),
        None => take_for_hold(rows, asked)?,
    };
    let asked_again = Some(asked.clone());
    let conversion_id = asked.conversion_id.clone();
    match taken {
        Ok(lots) => {
            let row =
                HoldRow { asked: asked_again, conversion_id, lots, state: Stood::Taken, refused: None, given_back: 0 };
            rows.put_hold(&asked.hold_id, &row)?;
            Ok(Ok(Answer::Hold(hold_answer(&asked.hold_id, &row, None))))
        }
        Err(why) => {
            // Remembered: a copy of this request that comes late must not find points that have come in meanwhile.
            let refused = Some(why.clone());
            let row = HoldRow {
                asked: asked_again,
                conversion_id,
                lots: Vec::new(),
                state: Stood::Refused,
                refused,
                given_back: 0,
            };
            rows.put_hold(&asked.hold_id, &row)?;
            Ok(Err(why))
        }
    }
}

fn hold_again(row: &HoldRow, asked: &HoldRequest) -> Outcome {
    if row.asked.as_ref().is_some_and(|first| first != asked) {
        return Err(other_body());
    }
    match (row.state, &row.refused) {
        (Stood::Taken | Stood::Captured, _) => Ok(Answer::Hold(hold_answer(&asked.hold_id, row, None))),
        (Stood::Refused, Some(why)) => Err(why.clone()),
        (Stood::Released, _) | (Stood::Refused, None) => Err(refusal("voided", "This hold was released.")),
    }
}

/// Takes the points out of the member's lots; what is taken comes back in the order it would be spent.
fn take_for_hold<R: Rows>(rows: &mut R, asked: &HoldRequest) -> Result<Result<Vec<Lot>, Refusal>, R::Error> {
    if !(1..=POINTS_MAX).contains(&asked.points) || !are_lots(&asked.lots, true) {
        return no("invalid", "Points and lots must be positive whole numbers.");
    }
    let Some(mut member) = rows.member(&asked.member_ref)? else {
        return no("not_found", "There is no such member.");
    };
    let may = match (member.status.as_str(), asked.kind) {
        ("closed", _) => Err(refusal("membership_closed", "This membership is closed.")),
        ("frozen", Purpose::Base) => Err(refusal("membership_frozen", "This membership is frozen.")),
        _ => Ok(()),
    };
    let taken = may.and_then(|()| match asked.kind {
        Purpose::Base => take_first_to_end(&mut member.lots, asked.points, asked.business_date)
            .ok_or_else(|| refusal("insufficient_points", "The balance is smaller.")),
        Purpose::Undo | Purpose::Reversal => take_back(&mut member.lots, &asked.lots, asked.points)
            .ok_or_else(|| refusal("points_spent", "These points are not there any more.")),
    });
    if taken.is_ok() {
        rows.put_member(&asked.member_ref, &member)?;
        let mut totals = rows.totals()?;
        totals.held += asked.points;
        rows.put_totals(&totals)?;
    }
    Ok(taken)
}

fn capture<R: Rows>(rows: &mut R, step: &HoldStep) -> Result<Outcome, R::Error> {
    let Some(mut row) = rows.hold(&step.hold_id)? else {
        return no("not_found", "There is no such hold.");
    };
    if row.conversion_id != step.conversion_id {
        return Ok(Err(other_body()));
    }
    match row.state {
        Stood::Captured => {}
        Stood::Released | Stood::Refused => return no("voided", "This hold holds nothing."),
        Stood::Taken => {
            row.state = Stood::Captured;
            rows.put_hold(&step.hold_id, &row)?;
            let mut totals = rows.totals()?;
            totals.held -= sum(&row.lots);
            totals.captured += sum(&row.lots);
            rows.put_totals(&totals)?;
        }
    }
    Ok(Ok(Answer::Hold(hold_answer(&step.hold_id, &row, Some(HoldState::Captured)))))
}

fn release<R: Rows>(rows: &mut R, step: &HoldStep) -> Result<Outcome, R::Error> {
    let mut row = match rows.hold(&step.hold_id)? {
        Some(row) => row,
        None => HoldRow {
            asked: None,
            conversion_id: step.conversion_id.clone(),
            lots: Vec::new(),
            state: Stood::Taken,
            refused: None,
            given_back: 0,
        },
    };
    if row.conversion_id != step.conversion_id {
        return Ok(Err(other_body()));
    }
    match row.state {
        Stood::Captured => return no("captured", "This hold was captured."),
        Stood::Released | Stood::Refused => {}
        Stood::Taken => {
            if let Some(asked) = &row.asked {
                give(rows, &asked.member_ref, &row.lots)?;
                let mut totals = rows.totals()?;
                totals.held -= sum(&row.lots);
                rows.put_totals(&totals)?;
            }
            row.state = Stood::Released;
            row.lots = Vec::new();
            rows.put_hold(&step.hold_id, &row)?;
        }
    }
    Ok(Ok(Answer::Hold(hold_answer(&step.hold_id, &row, Some(HoldState::Released)))))
}

pub fn credit_answer(credit_id: &str, row: &CreditRow, state: Option<CreditState>) -> Credit {
    let points = if row.state == Stood::Taken { row.asked.as_ref().map_or(0, |asked| asked.points) } else { 0 };
    Credit { credit_id: credit_id.to_owned(), points, state }
}

pub fn credit_state(row: &CreditRow) -> Option<CreditState> {
    match row.state {
        Stood::Taken | Stood::Captured => Some(CreditState::Credited),
        Stood::Released => Some(CreditState::Voided),
        Stood::Refused => None,
    }
}

fn credit<R: Rows>(rows: &mut R, asked: &CreditRequest, refuse: Option<&Refusal>) -> Result<Outcome, R::Error> {
    if let Some(row) = rows.credit(&asked.credit_id)? {
        return Ok(credit_again(&row, asked));
    }
    let decided = match refuse {
        Some(why) => Err(why.clone()),
        None => give_for_credit(rows, asked)?,
    };
    let (state, refused) = match &decided {
        Ok(()) => (Stood::Taken, None),
        Err(why) => (Stood::Refused, Some(why.clone())),
    };
    let conversion_id = asked.conversion_id.clone();
    let row = CreditRow { asked: Some(asked.clone()), conversion_id, state, refused };
    rows.put_credit(&asked.credit_id, &row)?;
    Ok(decided.map(|()| Answer::Credit(credit_answer(&asked.credit_id, &row, None))))
}

fn credit_again(row: &CreditRow, asked: &CreditRequest) -> Outcome {
    if row.asked.as_ref().is_some_and(|first| first != asked) {
        return Err(other_body());
    }
    match (row.state, &row.refused) {
        (Stood::Taken | Stood::Captured, _) => Ok(Answer::Credit(credit_answer(&asked.credit_id, row, None))),
        (Stood::Refused, Some(why)) => Err(why.clone()),
        (Stood::Released, _) | (Stood::Refused, None) => Err(refusal("voided", "This credit was voided.")),
    }
}

fn give_for_credit<R: Rows>(rows: &mut R, asked: &CreditRequest) -> Result<Result<(), Refusal>, R::Error> {
    if !are_lots(&asked.lots, false) || checked_sum(&asked.lots) != Some(asked.points) {
        return no("invalid", "The lots must be positive and add up to the points.");
    }
    let Some(member) = rows.member(&asked.member_ref)? else {
        return no("not_found", "There is no such member.");
    };
    if member.status == "closed" {
        return no("membership_closed", "This membership is closed.");
    }
    if member.balance().checked_add(asked.points).is_none_or(|sum| sum > POINTS_MAX) {
        return no("invalid", "No balance is that large.");
    }
    let back = match (asked.kind, &asked.reverses) {
        (Purpose::Base, None) => false,
        (Purpose::Undo | Purpose::Reversal, Some(hold_id)) => match give_back(rows, asked, hold_id)? {
            Ok(()) => true,
            Err(why) => return Ok(Err(why)),
        },
        _ => return no("invalid", "An undo or a reversal, and nothing else, names the hold it reverses."),
    };
    give(rows, &asked.member_ref, &asked.lots)?;
    let mut totals = rows.totals()?;
    *(if back { &mut totals.given_back } else { &mut totals.credited }) += asked.points;
    rows.put_totals(&totals)?;
    Ok(Ok(()))
}

/// No more comes back of a hold than was captured of it, and to nobody else.
fn give_back<R: Rows>(rows: &mut R, asked: &CreditRequest, hold_id: &str) -> Result<Result<(), Refusal>, R::Error> {
    let Some(mut row) = rows.hold(hold_id)? else {
        return no("not_found", "There is no such hold to give back.");
    };
    let theirs = row.asked.as_ref().is_some_and(|first| first.member_ref == asked.member_ref);
    if row.state != Stood::Captured || !theirs {
        return no("not_found", "This member has no such captured hold.");
    }
    if row.given_back + asked.points > sum(&row.lots) {
        return no("reversal_exceeds", "More than was captured.");
    }
    row.given_back += asked.points;
    rows.put_hold(hold_id, &row)?;
    Ok(Ok(()))
}

fn void<R: Rows>(rows: &mut R, asked: &VoidRequest) -> Result<Outcome, R::Error> {
    let known = rows.credit(&asked.credit_id)?;
    let mut row = known.unwrap_or_else(|| CreditRow {
        asked: None,
        conversion_id: asked.conversion_id.clone(),
        state: Stood::Released,
        refused: None,
    });
    if row.conversion_id != asked.conversion_id {
        return Ok(Err(other_body()));
    }
    if let (Stood::Taken, Some(first)) = (row.state, row.asked.clone())
        && let Err(why) = take_credit_back(rows, &first)?
    {
        return Ok(Err(why));
    }
    // A refused credit was never made: it is void already, and goes on being refused as it was.
    if row.state != Stood::Refused {
        row.state = Stood::Released;
        rows.put_credit(&asked.credit_id, &row)?;
    }
    Ok(Ok(Answer::Credit(credit_answer(&asked.credit_id, &row, Some(CreditState::Voided)))))
}

fn take_credit_back<R: Rows>(rows: &mut R, first: &CreditRequest) -> Result<Result<(), Refusal>, R::Error> {
    let mut member = rows.member(&first.member_ref)?.unwrap_or_default();
    if take_back(&mut member.lots, &first.lots, first.points).is_none() {
        return no("points_spent", "The credited points are not there any more.");
    }
    rows.put_member(&first.member_ref, &member)?;
    let mut totals = rows.totals()?;
    match &first.reverses {
        None => totals.credited -= first.points,
        Some(hold_id) => {
            totals.given_back -= first.points;
            if let Some(mut hold) = rows.hold(hold_id)? {
                hold.given_back -= first.points;
                rows.put_hold(hold_id, &hold)?;
            }
        }
    }
    rows.put_totals(&totals)?;
    Ok(Ok(()))
}

fn seed<R: Rows>(rows: &mut R, member_ref: &str, tier: &str, lots: &[Lot]) -> Result<Outcome, R::Error> {
    if rows.member(member_ref)?.is_some() {
        return Ok(Ok(Answer::Done(false)));
    }
    if !are_lots(lots, true) {
        return no("invalid", "Lots must be positive.");
    }
    let mut member = Member { status: "active".to_owned(), tier: tier.to_owned(), lots: Vec::new() };
    lots.iter().for_each(|lot| add(&mut member.lots, lot));
    rows.put_member(member_ref, &member)?;
    let mut totals = rows.totals()?;
    totals.seeded += sum(lots);
    rows.put_totals(&totals)?;
    Ok(Ok(Answer::Done(true)))
}

fn earn<R: Rows>(rows: &mut R, member_ref: &str, lot: &Lot) -> Result<Outcome, R::Error> {
    let Some(member) = rows.member(member_ref)? else {
        return no("not_found", "There is no such member.");
    };
    let sum = member.balance().checked_add(lot.points);
    if lot.points < 1 || sum.is_none_or(|sum| sum > POINTS_MAX) {
        return no("invalid", "Points must be positive, and no balance is that large.");
    }
    give(rows, member_ref, std::slice::from_ref(lot))?;
    let mut totals = rows.totals()?;
    totals.seeded += lot.points;
    rows.put_totals(&totals)?;
    Ok(Ok(Answer::Done(true)))
}

fn set_status<R: Rows>(rows: &mut R, member_ref: &str, status: &str) -> Result<Outcome, R::Error> {
    let Some(mut member) = rows.member(member_ref)? else {
        return no("not_found", "There is no such member.");
    };
    if !["active", "frozen", "closed"].contains(&status) {
        return no("invalid", "A status is active, frozen or closed.");
    }
    let changed = member.status != status;
    member.status = status.to_owned();
    rows.put_member(member_ref, &member)?;
    Ok(Ok(Answer::Done(changed)))
}

fn expire<R: Rows>(rows: &mut R, member_ref: &str, today: NaiveDate) -> Result<Outcome, R::Error> {
    let mut member = rows.member(member_ref)?.unwrap_or_default();
    let before = member.balance();
    member.lots.retain(|lot| lot.expires_on.is_none_or(|day| day >= today));
    let ended = before - member.balance();
    if ended > 0 {
        rows.put_member(member_ref, &member)?;
        let mut totals = rows.totals()?;
        totals.expired += ended;
        rows.put_totals(&totals)?;
    }
    Ok(Ok(Answer::Done(ended > 0)))
}

fn remember<R: Rows>(rows: &mut R, event: &Event) -> Result<Outcome, R::Error> {
    let known = rows.event(event.sequence)?;
    match known {
        Some(known) if known.id == event.id => Ok(Ok(Answer::Done(false))),
        Some(_) => no("id_mismatch", "Another event has this sequence."),
        None => {
            rows.put_event(event)?;
            Ok(Ok(Answer::Done(true)))
        }
    }
}

fn give<R: Rows>(rows: &mut R, member_ref: &str, lots: &[Lot]) -> Result<(), R::Error> {
    let mut member = rows.member(member_ref)?.unwrap_or_default();
    lots.iter().for_each(|lot| add(&mut member.lots, lot));
    rows.put_member(member_ref, &member)
}

/// Lots stand in the order they are spent: the earliest end first, those without an end last; one lot a day.
fn add(lots: &mut Vec<Lot>, lot: &Lot) {
    let key = |lot: &Lot| (lot.expires_on.is_none(), lot.expires_on);
    match lots.binary_search_by_key(&key(lot), key) {
        Ok(at) => lots[at].points += lot.points,
        Err(at) => lots.insert(at, Lot { points: lot.points, expires_on: lot.expires_on, kind: None }),
    }
}

/// Of lots that have not ended by `day`; `None`, and nothing is taken, when there are not as many.
fn take_first_to_end(lots: &mut Vec<Lot>, points: i64, day: Option<NaiveDate>) -> Option<Vec<Lot>> {
    let is_live = |lot: &&Lot| lot.expires_on.zip(day).is_none_or(|(end, day)| end >= day);
    let wanted: Vec<Lot> = lots.iter().filter(is_live).cloned().collect();
    take_back(lots, &wanted, points)
}

/// Takes points of the dates wanted, in the order they are named, at most what is named of each; `None`, and nothing is
/// taken, when that does not make up the points.
fn take_back(lots: &mut Vec<Lot>, wanted: &[Lot], points: i64) -> Option<Vec<Lot>> {
    let mut rest = lots.clone();
    let mut taken = Vec::new();
    let mut left = points;
    for want in wanted {
        if let Some(have) = rest.iter_mut().find(|have| have.expires_on == want.expires_on) {
            let now = left.min(want.points).min(have.points);
            if now > 0 {
                have.points -= now;
                left -= now;
                add(&mut taken, &Lot { points: now, expires_on: want.expires_on, kind: None });
            }
        }
    }
    if left > 0 {
        return None;
    }
    rest.retain(|lot| lot.points > 0);
    *lots = rest;
    Some(taken)
}

fn are_lots(lots: &[Lot], may_be_none: bool) -> bool {
    let positive = lots.iter().all(|lot| (1..=POINTS_MAX).contains(&lot.points));
    positive && lots.len() <= LOTS_MAX && (may_be_none || !lots.is_empty()) && checked_sum(lots).is_some()
}

fn checked_sum(lots: &[Lot]) -> Option<i64> {
    let sum = lots.iter().try_fold(0_i64, |sum, lot| sum.checked_add(lot.points));
    sum.filter(|sum| *sum <= POINTS_MAX)
}

/// Of lots that were checked when they came in.
fn sum(lots: &[Lot]) -> i64 {
    lots.iter().map(|lot| lot.points).sum()
}
