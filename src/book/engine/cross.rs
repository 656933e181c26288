//! Crossings: conversions, undos and reversals of which a side is kept by its own brand, one step at a time.
//!
//! A side that is kept here is done in the same step as the state that asks for it. Nothing is posted before the credit is
//! recorded; then all of it is, whichever side it was.

use super::Effect;
use super::account::EntryKind;
use super::convert::{Sides, arrival_rule, exposed, is_capped, is_hosted, quote_of, use_quote};
use super::takeback::{self, Part};
use super::world::{EventData, EventKind, Halt, Now, Subject, World};
use crate::book::command::{
    Advance, Code, ConversionRow, CrossingRow, Outcome, Request, ReversalRow, ReversalState, Status,
};
use crate::book::crossing::Kind;
use crate::book::exposures::ExposureKey;
use crate::domain::catalogue::Catalogue;
use crate::domain::crossing::{Next, State, Step};
use crate::domain::ids::{AccountId, ReversalId};
use crate::domain::lots::{Parcel, arriving};
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::quote::Price;
use crate::domain::terms::Terms;
use crate::domain::usage::Way;
use std::sync::Arc;
use uuid::Uuid;

/// Accepts a conversion. Everything that can be checked here has been.
pub fn accept(
    world: &mut World,
    catalogue: &Catalogue,
    request: &Request,
    sides: &Sides,
    (terms, price): (Arc<Terms>, Price),
    exposed: &[(ExposureKey, Millionths)],
) -> Result<Effect, Halt> {
    let Now { at, day } = world.now;
    let is_held_here = is_hosted(catalogue, &terms.from);
    let mut row = CrossingRow {
        id: request.fresh,
        kind: Kind::Conversion,
        conversion: crate::domain::ids::ConversionId(request.fresh),
        state: State::Holding,
        from_account: sides.from,
        to_account: sides.to,
        terms,
        debit: price.debit,
        credit: price.credit,
        bonuses: price.bonuses,
        fee: price.fee,
        lots_wanted: Vec::new(),
        lots_held: Vec::new(),
        lots_arriving: Vec::new(),
        source_entry_no: 0,
        from_token: sides.from_token,
        to_token: sides.to_token,
        reference: request.reference.as_ref().map(|reference| reference.text.clone()),
        quote: quote_of(request),
        pulled: sides.pulled,
        asked_by: request.caller.clone(),
        batch_no: world.batch_no,
        ordinal: world.next_ordinal(),
        at,
        day,
        cause: None,
        in_doubt: false,
        version: 0,
    };
    let total = row.total_credit();
    let to = world.change(sides.to)?;
    to.usage = to.usage.on(day);
    to.usage.count(Way::In, total);
    let from = world.change(sides.from)?;
    from.usage = from.usage.on(day);
    from.usage.count(Way::Out, row.debit);
    if is_held_here {
        row.lots_held = from.lots.take(row.debit, day).ok_or(Code::InsufficientPoints)?;
        from.held = from.held.plus(row.debit).unwrap_or(Points::MAX);
        row.source_entry_no = from.entry_no;
        row.lots_arriving = arriving_at(world, catalogue, &row)?;
        row.state = State::Crediting;
    }
    for (key, by) in exposed.iter().filter(|(_, by)| by.get() > 0) {
        world.reserve(key, *by, is_capped(catalogue, key));
    }
    use_quote(world, request, row.conversion, row.from_account);
    for partner in [&row.terms.from, &row.terms.to] {
        world.tell(request.fresh, partner, EventKind::ConversionPending, row.id, EventData::FromRow);
    }
    let (subject, account, row) = (Subject::Conversion(row.conversion), row.from_account, put_new(world, row));
    Ok((Outcome::Crossing(row), subject, Some(account)))
}

/// Whether taking this conversion back needs a ledger that is kept elsewhere.
pub fn is_apart(catalogue: &Catalogue, row: &ConversionRow) -> bool {
    !is_hosted(catalogue, &row.terms.from) || !is_hosted(catalogue, &row.terms.to)
}

/// What of this conversion is on its way now, if anything: it has to end before more is taken back.
pub fn check_at_rest(world: &World, id: crate::domain::ids::ConversionId) -> Result<(), Halt> {
    let open = world.crossings.values().any(|row| row.conversion == id && !row.state.is_over());
    if open { Err(Code::OpenBusiness.into()) } else { Ok(()) }
}

/// Sends an undo or a reversal on its way. `asked` is its row as it is to be, not yet written; `undo` takes all of it.
pub fn take_back(
    world: &mut World,
    catalogue: &Catalogue,
    row: &ConversionRow,
    part: &Part,
    mut asked: ReversalRow,
) -> Result<Arc<ReversalRow>, Halt> {
    let Now { at, day } = world.now;
    let wanted = takeback::arrived(world.account(row.to_account)?, row, part);
    let mut crossing = CrossingRow {
        id: asked.id.0,
        kind: if asked.undo { Kind::Undo } else { Kind::Reversal },
        conversion: row.id,
        state: State::Holding,
        from_account: row.from_account,
        to_account: row.to_account,
        terms: row.terms.clone(),
        debit: part.debit,
        credit: part.credit,
        bonuses: part.bonuses.clone(),
        fee: part.fee,
        lots_wanted: wanted,
        lots_held: Vec::new(),
        lots_arriving: Vec::new(),
        source_entry_no: 0,
        from_token: row.from_token,
        to_token: row.to_token,
        reference: asked.reference.clone(),
        quote: None,
        pulled: row.pulled,
        asked_by: asked.asked_by.clone(),
        batch_no: world.batch_no,
        ordinal: world.next_ordinal(),
        at,
        day,
        cause: None,
        in_doubt: false,
        version: 0,
    };
    if is_hosted(catalogue, &row.terms.to) {
        let pays = row.terms.target_pays_spent && !asked.undo;
        crossing.lots_held = takeback::take_arrived(world, row.to_account, &crossing.lots_wanted, pays)?;
        let to = world.change(row.to_account)?;
        let taken = sum(&crossing.lots_held);
        to.held = to.held.plus(taken).unwrap_or(Points::MAX);
        crossing.source_entry_no = to.entry_no;
        crossing.lots_arriving = arriving_at(world, catalogue, &crossing)?;
        crossing.state = State::Crediting;
    }
    asked.state = ReversalState::Pending;
    let asked = takeback::put(world, asked);
    put_new(world, crossing);
    Ok(asked)
}

/// The next step, or news that are none.
pub fn advance(world: &mut World, catalogue: &Catalogue, request: &Request, ask: &Advance) -> Result<Effect, Halt> {
    let row = world.crossings.get(&ask.crossing).cloned().ok_or(Code::NotFound)?;
    // Asked before anything moves: what is not read yet sends the request round again, untouched.
    world.account(row.from_account)?;
    world.account(row.to_account)?;
    if ask.doubt {
        if ask.of != row.state {
            return Ok(finished(row));
        }
        return Ok(finished(doubt(world, request, row.as_ref().clone(), ask.cause.clone())));
    }
    let step = match (ask.step, ask.of, row.state) {
        // The credit was refused, if after we had stopped waiting for that.
        (Step::Refused, State::Crediting, State::Voiding) => Step::Voided,
        // Whether it was credited is for the void to say: the points may be taken back already.
        (Step::Credited, State::Crediting, State::Voiding) => return Ok(finished(row)),
        (Step::Refused | Step::GivenUp, of, state) if of != state => return Ok(finished(row)),
        (step, _, _) => step,
    };
    let next = match row.state.on(step) {
        Next::To(next) => next,
        Next::Stays => return Ok(finished(row)),
        Next::Doubt => return Ok(finished(doubt(world, request, row.as_ref().clone(), ask.cause.clone()))),
        Next::Never => return Err(Code::Stale.into()),
    };
    let mut row = row.as_ref().clone();
    // Whatever somebody had to look at has moved on.
    row.in_doubt = false;
    let row = match next {
        State::Crediting => held(world, catalogue, request, row, ask.lots.clone())?,
        State::Capturing => post(world, catalogue, request, row)?,
        State::Done => done(world, request, row),
        State::Releasing if step == Step::GivenUp => {
            back(world, catalogue, request, row, ask.cause.as_deref().unwrap_or("no_answer"))
        }
        State::Releasing | State::Released if row.state != State::Releasing => {
            // Who pays for points that are spent already was agreed: then nothing has to be held.
            if row.state == State::Holding && pays_spent(&row, ask.cause.as_deref()) {
                held(world, catalogue, request, row, Vec::new())?
            } else {
                let cause = ask.cause.clone().or(row.cause.clone()).unwrap_or_else(|| "no_answer".to_owned());
                let refused = next == State::Released;
                let row = back(world, catalogue, request, row, &cause);
                if refused { released(world, request, row.as_ref().clone()) } else { row }
            }
        }
        State::Released => released(world, request, row),
        State::Holding | State::Voiding | State::Releasing => {
            row.state = next;
            row.cause = ask.cause.clone().or(row.cause);
            put(world, row)
        }
    };
    Ok(finished(row))
}

fn finished(row: Arc<CrossingRow>) -> Effect {
    let (subject, account) = (Subject::Conversion(row.conversion), row.from_account);
    (Outcome::Crossing(row), subject, Some(account))
}

fn pays_spent(row: &CrossingRow, cause: Option<&str>) -> bool {
    row.kind == Kind::Reversal && row.terms.target_pays_spent && cause == Some(Code::PointsSpent.text())
}

/// The source holds `lots`: what arrives is known now.
fn held(
    world: &mut World,
    catalogue: &Catalogue,
    request: &Request,
    mut row: CrossingRow,
    lots: Vec<Parcel>,
) -> Result<Arc<CrossingRow>, Halt> {
    row.lots_held = lots;
    row.state = State::Crediting;
    row.lots_arriving = arriving_at(world, catalogue, &row)?;
    if !is_hosted(catalogue, row.target_partner()) {
        return Ok(put(world, row));
    }
    match check_target(world, &row) {
        Ok(()) => post(world, catalogue, request, row),
        Err(Halt::Refuse(code, _)) => Ok(back(world, catalogue, request, row, code.text())),
        Err(reload) => Err(reload),
    }
}

/// Whether a target kept here takes it: frozen takes what was under way, closed nothing.
fn check_target(world: &World, row: &CrossingRow) -> Result<(), Halt> {
    let target = world.account(row.target())?;
    if target.status == Status::Closed {
        return Err(Code::MembershipClosed.into());
    }
    target.balance.plus(row.target_points()).ok_or(Code::LimitExceeded)?;
    Ok(())
}

/// The lots the target is to be credited with.
fn arriving_at(world: &World, catalogue: &Catalogue, row: &CrossingRow) -> Result<Vec<Parcel>, Halt> {
    if row.kind != Kind::Conversion {
        let original = world.conversions.get(&row.conversion).ok_or(Halt::Reload)?;
        let origin = world.account(row.from_account)?;
        return Ok(takeback::returning(origin, catalogue, original, row.debit, world.now.day));
    }
    let rule = arrival_rule(world, catalogue, row.to_account)?;
    let terms = &row.terms;
    let mut lots = arriving(&row.lots_held, terms.ratio, rule, terms.renews_on_arrival).ok_or(Code::AboveMaximum)?;
    let bonuses = row.bonuses.iter().filter(|points| !points.is_zero());
    lots.extend(bonuses.map(|points| Parcel { points: *points, expires: rule }));
    Ok(lots)
}

/// The credit is recorded: entries, line and exposures, now and for good.
fn post(
    world: &mut World,
    catalogue: &Catalogue,
    request: &Request,
    mut row: CrossingRow,
) -> Result<Arc<CrossingRow>, Halt> {
    let is_captured = is_hosted(catalogue, row.source_partner()) || row.lots_held.is_empty();
    match row.kind {
        Kind::Conversion => post_conversion(world, catalogue, &row)?,
        Kind::Undo | Kind::Reversal => post_takeback(world, catalogue, &row)?,
    }
    row.cause = None;
    row.state = State::Capturing;
    Ok(if is_captured { done(world, request, row) } else { put(world, row) })
}

fn post_conversion(world: &mut World, catalogue: &Catalogue, row: &CrossingRow) -> Result<(), Halt> {
    let Now { at, day } = world.now;
    let out = leave(world, catalogue, row, EntryKind::CrossedOut)?;
    let from_entry_no = if is_hosted(catalogue, &row.terms.from) { row.source_entry_no } else { out };
    let subject = Some(row.id);
    let is_hosted = is_hosted(catalogue, &row.terms.to);
    let to = world.change(row.to_account)?;
    let mut entries = Vec::with_capacity(2);
    if is_hosted {
        entries.push(to.raise(EntryKind::CrossedIn, row.credit, subject));
        for points in row.bonuses.iter().filter(|points| !points.is_zero()) {
            entries.push(to.raise(EntryKind::Bonus, *points, subject));
        }
        entries.extend(takeback::keep(to, &row.lots_arriving, subject));
    } else {
        entries.push(to.entry(EntryKind::CrossedIn, 0, subject));
    }
    let to_entry_no = entries[0].entry_no;
    world.writes.entries.extend(entries);
    let places = (world.batch_no, world.next_ordinal(), world.window);
    let posted = Arc::new(row.posted(places.0, places.1, places.2, (at, day), (from_entry_no, to_entry_no)));
    world.writes.conversions.push(posted.clone());
    world.conversions.insert(posted.id, posted);
    for (key, by) in exposed(&row.terms, &price_of(row)).into_iter().flatten() {
        world.expose(&key, by, false);
    }
    unreserve(world, row);
    Ok(())
}

fn post_takeback(world: &mut World, catalogue: &Catalogue, row: &CrossingRow) -> Result<(), Halt> {
    let original = world.conversions.get(&row.conversion).cloned().ok_or(Halt::Reload)?;
    let asked = world.reversals.get(&ReversalId(row.id)).cloned().ok_or(Halt::Reload)?;
    leave(world, catalogue, row, EntryKind::TakenBack)?;
    let subject = Some(row.id);
    if is_hosted(catalogue, &row.terms.from) {
        takeback::arrive_back(world, row.from_account, EntryKind::GivenBack, &row.lots_arriving, subject)?;
    } else {
        let entry = world.change(row.from_account)?.entry(EntryKind::GivenBack, 0, subject);
        world.writes.entries.push(entry);
    }
    if row.kind == Kind::Undo {
        takeback::restore_usage(world, &original)?;
    }
    let mut done = asked.as_ref().clone();
    done.state = ReversalState::Completed;
    done.lots_back.clone_from(&row.lots_arriving);
    (done.window, done.batch_no) = (world.window, world.batch_no);
    (done.at, done.day) = (world.now.at, world.now.day);
    takeback::put(world, done);
    let part = Part { credit: row.credit, bonuses: row.bonuses.clone(), debit: row.debit, fee: row.fee };
    takeback::settle(world, &original, &part, row.kind == Kind::Undo);
    Ok(())
}

/// The points leave the source; returns the entry's number.
fn leave(world: &mut World, catalogue: &Catalogue, row: &CrossingRow, kind: EntryKind) -> Result<i64, Halt> {
    let is_hosted = is_hosted(catalogue, row.source_partner());
    let source = world.change(row.source())?;
    let entry = if is_hosted {
        let points = sum(&row.lots_held);
        source.held = source.held.less(points);
        source.lower(kind, points, Some(row.id))
    } else {
        source.entry(kind, 0, Some(row.id))
    };
    let entry_no = entry.entry_no;
    world.writes.entries.push(entry);
    Ok(entry_no)
}

/// Captured, or nothing had to be: it is over.
fn done(world: &mut World, request: &Request, mut row: CrossingRow) -> Arc<CrossingRow> {
    row.state = State::Done;
    let kind = match row.kind {
        Kind::Conversion => EventKind::ConversionCompleted,
        Kind::Undo => EventKind::ConversionUndone,
        Kind::Reversal => EventKind::ConversionReversed,
    };
    for partner in [&row.terms.from, &row.terms.to] {
        world.tell(request.fresh, partner, kind, row.id, EventData::FromRow);
    }
    put(world, row)
}

/// Not credited, and never will be: what was reserved and held here is free again; a source elsewhere is asked to release.
fn back(
    world: &mut World,
    catalogue: &Catalogue,
    request: &Request,
    mut row: CrossingRow,
    cause: &str,
) -> Arc<CrossingRow> {
    if row.state.is_reserving() && row.kind == Kind::Conversion {
        unreserve(world, &row);
        give_usage_back(world, &row);
    }
    row.cause = Some(cause.to_owned());
    row.state = State::Releasing;
    if !is_hosted(catalogue, row.source_partner()) {
        return put(world, row);
    }
    let day = world.now.day;
    if let Ok(source) = world.change(row.source()) {
        source.held = source.held.less(sum(&row.lots_held));
        // A lot that ended while it was held ends once more after the grace days: its owner could not spend it.
        let end = |parcel: &Parcel| {
            let expires = source.end_today(parcel.expires, row.source_entry_no);
            let expires = takeback::end_of_return(source, catalogue, expires, row.terms.grace_days, day);
            Parcel { expires, ..*parcel }
        };
        let lots: Vec<Parcel> = row.lots_held.iter().map(end).collect();
        let met = takeback::keep(source, &lots, Some(row.id));
        world.writes.entries.extend(met);
    }
    released(world, request, row)
}

fn released(world: &mut World, request: &Request, mut row: CrossingRow) -> Arc<CrossingRow> {
    row.state = State::Released;
    let told = match row.kind {
        Kind::Conversion => EventKind::ConversionReleased,
        Kind::Undo | Kind::Reversal => EventKind::ReversalRefused,
    };
    if row.kind != Kind::Conversion
        && let Some(asked) = world.reversals.get(&ReversalId(row.id)).cloned()
    {
        let mut refused = asked.as_ref().clone();
        refused.state = ReversalState::Refused;
        takeback::put(world, refused);
    }
    say(world, request, &row, told);
    put(world, row)
}

/// Somebody has to look; what answers meanwhile still counts. Said once.
fn doubt(world: &mut World, request: &Request, mut row: CrossingRow, cause: Option<String>) -> Arc<CrossingRow> {
    if row.in_doubt || row.state.is_over() {
        return Arc::new(row);
    }
    row.in_doubt = true;
    row.cause = cause.or(row.cause);
    say(world, request, &row, EventKind::ConversionInDoubt);
    put(world, row)
}

fn say(world: &mut World, request: &Request, row: &CrossingRow, kind: EventKind) {
    let cause = row.cause.clone().unwrap_or_else(|| "no_answer".to_owned());
    for partner in [&row.terms.from, &row.terms.to] {
        let data =
            EventData::Crossing { conversion: row.conversion, crossing: row.id, kind: row.kind, cause: cause.clone() };
        world.tell(request.fresh, partner, kind, row.id, data);
    }
}

fn unreserve(world: &mut World, row: &CrossingRow) {
    let exposed = exposed(&row.terms, &price_of(row)).into_iter().flatten();
    for (key, by) in exposed.filter(|(_, by)| by.get() > 0) {
        world.reserve(&key, by.negated(), false);
    }
}

fn give_usage_back(world: &mut World, row: &CrossingRow) {
    let day = world.now.day;
    let mut restore = |id: AccountId, way, points| {
        if let Ok(account) = world.change(id) {
            account.usage = account.usage.on(day);
            account.usage.restore(way, points, row.day);
        }
    };
    restore(row.from_account, Way::Out, row.debit);
    restore(row.to_account, Way::In, row.total_credit());
}

fn price_of(row: &CrossingRow) -> Price {
    Price { debit: row.debit, remainder: Points::ZERO, credit: row.credit, bonuses: row.bonuses.clone(), fee: row.fee }
}

fn sum(parcels: &[Parcel]) -> Points {
    Points::sum(parcels.iter().map(|parcel| parcel.points)).unwrap_or(Points::MAX)
}

fn put_new(world: &mut World, row: CrossingRow) -> Arc<CrossingRow> {
    world.writes.crossings.push(row.id);
    keep(world, row)
}

fn put(world: &mut World, row: CrossingRow) -> Arc<CrossingRow> {
    if !world.writes.crossings.contains(&row.id) {
        world.writes.crossings_changed.insert(row.id);
    }
    keep(world, row)
}

fn keep(world: &mut World, row: CrossingRow) -> Arc<CrossingRow> {
    let row = Arc::new(row);
    let id: Uuid = row.id;
    world.crossings.insert(id, row.clone());
    row
}
