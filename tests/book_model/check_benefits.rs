//! What must hold of vouchers, stocks and kept room after every step.

use super::check::same;
use super::ledger::{Expected, joined};
use super::rules_benefits::{Use, Vou};
use super::rules_exchange::pieces;
use super::walk::Walk;
use hanse::book::command::{UseRow, VoucherRow};
use hanse::book::voucher::UseKind;
use hanse::domain::voucher::State;

/// Steps after which everything is compared, not what was touched alone.
const ALL_EVERY: u64 = 2_500;

pub fn voucher(row: &VoucherRow, rules: &Vou) -> Result<(), String> {
    same("voucher", (row.id, row.account, row.token), (rules.id, rules.account, rules.token))?;
    same("state", row.state, rules.state())?;
    let first = if rules.reserved_first { State::Reserved } else { State::Issued };
    same("first state", row.first, first)?;
    same("uses", usize::try_from(row.used), Ok(rules.standing.len()))?;
    same("settled", i128::from(row.settled.get()), rules.settled)?;
    same("lots out", joined(&pieces(&row.lots_out)), joined(&rules.lots))?;
    same("entry", usize::try_from(row.entry_no), Ok(rules.entry))?;
    same("last day", row.use_by, rules.use_by)?;
    same("reserved until", row.reserved_until, rules.reserved_until)?;
    same("claimed", (row.at, row.day), (rules.at, rules.day))?;
    let (terms, offer) = (&row.terms, &rules.offer);
    same("terms", (terms.benefit, terms.version), (rules.benefit.id, rules.benefit.version))?;
    same("sides", (&terms.giver, &terms.brand), (&rules.benefit.giver, &offer.to))?;
    same("price", (terms.points, terms.cost, terms.funder), (offer.points, offer.cost, offer.funder))
}

pub fn used(row: &UseRow, rules: &Use) -> Result<(), String> {
    same("use", (row.id, row.voucher, row.kind), (rules.id, rules.voucher, rules.kind))?;
    same("nth", usize::try_from(row.nth), Ok(rules.nth))?;
    same("cost", i128::from(row.cost.get()), rules.cost)?;
    same("discount", row.discount.map(|off| i128::from(off.get())), rules.discount)?;
    same("reverses", row.reverses, rules.reverses)?;
    same("bill and day", (&row.receipt, row.day), (&rules.receipt, rules.day))
}

/// A first answer again: what has become of the voucher since is not in it.
pub fn replayed(first: &VoucherRow, again: &VoucherRow) -> Result<(), String> {
    same("replayed voucher", (again.id, again.at, again.use_by), (first.id, first.at, first.use_by))?;
    same("replayed state", (again.state, again.used), (first.first, 0))?;
    same("replayed reservation", again.reserved_until, first.reserved_until)
}

pub fn state(walk: &Walk, expected: &Expected) -> Result<(), String> {
    for (id, offered) in &walk.world.benefits {
        same("places taken", offered.taken, walk.model.taken(*id))?;
    }
    for (key, row) in &walk.world.exposures {
        let rules = walk.model.room.get(key).copied().unwrap_or_default();
        if i128::from(row.reserved.get()) != rules {
            return Err(format!("room kept at {}: {row:?}, by the rules {rules}", key.text()));
        }
    }
    if let Expected::Voucher(rules) | Expected::Used(_, rules) = expected {
        written(walk, rules)?;
    }
    if walk.step.is_multiple_of(ALL_EVERY) { all(walk) } else { Ok(()) }
}

fn written(walk: &Walk, rules: &Vou) -> Result<(), String> {
    voucher(walk.world.vouchers.get(&rules.id).ok_or("the voucher is gone")?, rules)?;
    let writes = &walk.world.writes;
    let kept = writes.vouchers.contains(&rules.id) || writes.vouchers_changed.contains(&rules.id);
    // Asked for again what it is already, it is as it was.
    same("voucher written", kept || walk.model.journal.is_empty(), true)
}

/// Every voucher is what the rules have, and what it has settled is what its uses say.
fn all(walk: &Walk) -> Result<(), String> {
    same("vouchers", walk.world.vouchers.len(), walk.model.vouchers.len())?;
    for (id, rules) in &walk.model.vouchers {
        voucher(walk.world.vouchers.get(id).ok_or("a voucher is gone")?, rules).map_err(|why| format!("{id} {why}"))?;
    }
    let mut sums = std::collections::BTreeMap::new();
    for row in walk.world.uses.values() {
        *sums.entry(row.voucher).or_insert(0) += i128::from(row.cost.get());
        if matches!(row.kind, UseKind::Redemption | UseKind::Reversal) {
            used(row, walk.model.uses.get(&row.id).ok_or("a use that the rules do not have")?)?;
        }
    }
    for (id, rules) in &walk.model.vouchers {
        same(&format!("uses of {id}"), sums.get(id).copied().unwrap_or_default(), rules.settled)?;
    }
    same("room kept, added up", &walk.model.room, &walk.model.kept_room())
}
