//! What must hold after every step, and how an answer is compared with what the rules expect.

use super::calendar::{day_of, end_of};
use super::check_benefits;
use super::ledger::{Acc, Conv, Expected, Lot, Mov, No, Piece, Rev, joined};
use super::rules_exchange::pieces;
use super::walk::Walk;
use hanse::book::command::{
    Answer, ConversionRow, Hint, MovementRow, Outcome, Request, ReversalRow, ReversalState, Reversed, UseRow,
};
use hanse::book::engine::account::Account;
use hanse::domain::ids::AccountId;
use hanse::domain::points::Points;
use std::collections::BTreeMap;
use std::fmt::Debug;

pub fn same<T: PartialEq + Debug>(what: &str, engine: T, rules: T) -> Result<(), String> {
    if engine == rules { Ok(()) } else { Err(format!("{what}: the engine has {engine:?}, the rules {rules:?}")) }
}

fn points(value: Points) -> i128 {
    value.get().into()
}

/// Where the lists of writes stood before a decision.
#[derive(Default, Clone, Copy)]
pub struct Mark {
    pub entries: usize,
    pub conversions: usize,
    pub movements: usize,
    pub memberships: usize,
    pub events: usize,
    pub uses: usize,
}

thread_local! {
    static MARK: std::cell::Cell<Mark> = const { std::cell::Cell::new(Mark { entries: 0, conversions: 0, movements: 0, memberships: 0, events: 0, uses: 0 }) };
}

/// Remembers where the writes stand.
pub fn start(walk: &Walk) {
    let writes = &walk.world.writes;
    MARK.set(Mark {
        entries: writes.entries.len(),
        conversions: writes.conversions.len(),
        movements: writes.movements.len(),
        memberships: writes.memberships.len(),
        events: writes.events.len(),
        uses: writes.uses.len(),
    });
}

/// A refusal, a replay, or a wish to read again changes nothing but its key.
pub fn nothing_moved(walk: &Walk) -> Result<(), String> {
    let (writes, mark) = (&walk.world.writes, MARK.get());
    let now = (writes.entries.len(), writes.conversions.len(), writes.movements.len());
    same("rows written by a no", now, (mark.entries, mark.conversions, mark.movements))?;
    let told = (writes.memberships.len(), writes.events.len(), writes.uses.len());
    same("rows told by a no", told, (mark.memberships, mark.events, mark.uses))?;
    for (id, account) in &walk.world.accounts {
        if walk.seen.get(id).is_some_and(|seen| seen != account) {
            return Err(format!("a no changed {id}: {account:?}"));
        }
    }
    Ok(())
}

/// The answer against the rules' expectation; a replay against the first answer.
pub fn outcome(expected: &Expected, answer: &Answer, first: Option<&Outcome>, request: &Request) -> Result<(), String> {
    same("replayed", answer.replayed, matches!(expected, Expected::Replayed))?;
    match (expected, &answer.outcome) {
        (Expected::Replayed, outcome) => replay(first.ok_or("a replay of nothing")?, outcome),
        (Expected::Refused(No(code, hint)), Outcome::Refused(refusal)) => {
            same("code", refusal.code, *code)?;
            match (&refusal.hint, hint) {
                // What is wrong with a field is told in words; which field it is, is the rule.
                (Hint::Field { field, .. }, Hint::Field { field: wanted, .. }) => same("field", field, wanted)?,
                (engine, rules) => same("hint", engine, rules)?,
            }
            same("request id", refusal.request_id, request.request_id)
        }
        (Expected::Conversion(rules), Outcome::Conversion(row)) => conversion(row, rules),
        (Expected::Movement(rules), Outcome::Movement(row)) => movement(row, rules),
        (Expected::Reversal(rules), Outcome::Reversal(row)) => reversal(row, rules),
        (Expected::Membership(rules), Outcome::Membership(id)) => same("membership", id, rules),
        (Expected::Link(rules), Outcome::Link(id)) => same("link", id, rules),
        (Expected::Expired(rules), Outcome::Expired(gone)) => same("expired", points(*gone), *rules),
        (Expected::Erased, Outcome::Erased) => Ok(()),
        (Expected::Voucher(rules), Outcome::Voucher(row)) => check_benefits::voucher(row, rules),
        (Expected::Used(used, rules), Outcome::Used(row, voucher)) => {
            check_benefits::used(row, used)?;
            check_benefits::voucher(voucher, rules)
        }
        (expected, outcome) => {
            let word = |text: String| text.split(['(', ' ']).next().unwrap_or_default().to_owned();
            let says = match (expected, outcome) {
                (Expected::Refused(No(code, _)), _) => format!("{code:?}"),
                (_, Outcome::Refused(refusal)) => format!("accept and do not say {:?}", refusal.code),
                _ => word(format!("{expected:?}")),
            };
            Err(format!("the engine answers {}, the rules {says}", word(format!("{outcome:?}"))))
        }
    }
}

/// The first answer again, but for what is counted on the row since, which no answer shows.
fn replay(first: &Outcome, again: &Outcome) -> Result<(), String> {
    match (first, again) {
        (Outcome::Conversion(first), Outcome::Conversion(again)) => {
            let plain = |row: &ConversionRow| ConversionRow { reversed: Reversed::default(), ..row.clone() };
            same("replayed conversion", plain(again), plain(first))
        }
        (Outcome::Movement(first), Outcome::Movement(again)) => {
            let plain = |row: &MovementRow| MovementRow { reversed: Points::ZERO, ..row.clone() };
            same("replayed movement", plain(again), plain(first))
        }
        (Outcome::Reversal(first), Outcome::Reversal(again)) => {
            // While it waits to be confirmed no answer shows when and where it is posted.
            let waits = first.state == ReversalState::Requested;
            let (at, window) = (first.at, first.window);
            let plain = |row: &ReversalRow| {
                let row = ReversalRow { batch_no: 0, day: chrono::NaiveDate::MIN, ..row.clone() };
                if waits { ReversalRow { at, window, ..row } } else { row }
            };
            same("replayed reversal", plain(again), plain(first))
        }
        (Outcome::Membership(first), Outcome::Membership(again)) => same("replayed membership", again, first),
        (Outcome::Link(first), Outcome::Link(again)) => same("replayed link", again, first),
        (Outcome::Refused(first), Outcome::Refused(again)) => same("replayed refusal", again, first),
        (Outcome::Erased, Outcome::Erased) => Ok(()),
        (Outcome::Voucher(first), Outcome::Voucher(again)) => check_benefits::replayed(first, again),
        (Outcome::Used(first, _), Outcome::Used(again, _)) => {
            let plain = |row: &UseRow| UseRow { reversed: false, ..row.clone() };
            same("replayed use", plain(again), plain(first))
        }
        _ => Err(format!("a replay answers {again:?}, not {first:?}")),
    }
}

fn conversion(row: &ConversionRow, rules: &Conv) -> Result<(), String> {
    same("conversion", row.id, rules.id)?;
    same("accounts", (row.from_account, row.to_account), (rules.from, rules.to))?;
    same("debit and credit", (points(row.debit), points(row.credit)), (rules.debit, rules.credit))?;
    same("bonuses", row.bonuses.iter().map(|bonus| points(*bonus)).collect::<Vec<_>>(), rules.bonuses.clone())?;
    same("fee", i128::from(row.fee.get()), rules.fee)?;
    same("terms", &row.terms, &rules.terms)?;
    same("lots out", joined(&pieces(&row.lots_out)), joined(&rules.lots_out))?;
    let bonus_lots = rules.bonuses.iter().filter(|points| **points > 0);
    let bonus_lots: Vec<Piece> = bonus_lots.map(|points| Piece { points: *points, end: rules.bonus_end }).collect();
    let lots_in = pieces(&row.lots_in);
    let (base, bonus) = lots_in.split_at(lots_in.len().saturating_sub(bonus_lots.len()));
    same("base lots in", joined(base), joined(&rules.base_in))?;
    same("bonus lots in", bonus, &bonus_lots)?;
    same("tokens", (row.from_token, row.to_token), rules.tokens)?;
    same("pulled", row.pulled, rules.pulled)?;
    same("entry numbers", (row.from_entry_no, row.to_entry_no), (number(rules.from_entry), number(rules.to_entry)))?;
    same("instant", (row.at, row.day), (rules.at, rules.day))?;
    // Rule 4: exact, whatever the rules' own arithmetic says.
    let (num, den) = (i128::from(row.terms.ratio.num()), i128::from(row.terms.ratio.den()));
    same("exactness", points(row.debit) * num, points(row.credit) * den)
}

fn number(entry: usize) -> i64 {
    i64::try_from(entry).expect("a count")
}

fn movement(row: &MovementRow, rules: &Mov) -> Result<(), String> {
    same("movement", (row.id, row.account, row.side), (rules.id, rules.account, rules.side))?;
    same("partner", &row.partner, &rules.partner)?;
    same("points and owed", (points(row.points), points(row.owed)), (rules.points, rules.owed))?;
    same("kind and reverses", (row.kind, row.reverses), (rules.kind, rules.reverses))?;
    same("available on", row.available_on, rules.available)?;
    same("lots", joined(&pieces(&row.lots)), joined(&rules.lots))?;
    same("entry number", row.entry_no, number(rules.entry))
}

fn reversal(row: &ReversalRow, rules: &Rev) -> Result<(), String> {
    same("reversal", (row.id, row.conversion, row.undo), (rules.id, rules.conversion, rules.undo))?;
    same("state", row.state == ReversalState::Completed, rules.done)?;
    same("asked by", &row.asked_by, &rules.asked_by)?;
    same("credit and bonus", (points(row.credit), points(row.bonus)), (rules.credit, rules.bonus))?;
    same("debit and fee", (points(row.debit), i128::from(row.fee.get())), (rules.debit, rules.fee))?;
    same("lots back", joined(&pieces(&row.lots_back)), joined(&rules.lots_back))
}

/// Every invariant of the books after one step.
pub fn state(walk: &mut Walk, expected: &Expected) -> Result<(), String> {
    let moved = !matches!(expected, Expected::Refused(_) | Expected::Replayed);
    if !moved {
        nothing_moved(walk)?;
    }
    entries(walk)?;
    exposures(walk)?;
    accounts(walk)?;
    check_benefits::state(walk, expected)?;
    if let Expected::Reversal(rev) = expected {
        taken_back(walk, rev)?;
    }
    if let Expected::Conversion(row) = expected {
        // A new conversion is its own event for both sides, so it is written exactly once and told nowhere else.
        let writes = &walk.world.writes;
        let written = writes.conversions[MARK.get().conversions..].iter().filter(|fresh| fresh.id == row.id).count();
        let told = writes.events[MARK.get().events..].iter().filter(|event| event.subject == row.id.0).count();
        same("written once and told by its row", (written, told), (1, 0))?;
    }
    Ok(())
}

/// The lines posted are those of the rules, numbered densely, and sums hold.
fn entries(walk: &Walk) -> Result<(), String> {
    let posted = &walk.world.writes.entries[MARK.get().entries..];
    let by_account = |lines: Vec<(AccountId, String)>| {
        let mut sorted: BTreeMap<AccountId, Vec<String>> = BTreeMap::new();
        lines.into_iter().for_each(|(id, line)| sorted.entry(id).or_default().push(line));
        sorted
    };
    let engine = posted.iter().map(|entry| (entry.account, format!("{} {}", entry.kind.code(), entry.delta))).collect();
    let rules = walk.model.journal.iter().map(|(id, kind, delta)| (*id, format!("{} {delta}", kind.code()))).collect();
    same("entries", by_account(engine), by_account(rules))
}

fn exposures(walk: &Walk) -> Result<(), String> {
    for (key, value) in &walk.model.exposures {
        let row = walk.world.exposures.get(key).ok_or_else(|| format!("{} is gone", key.text()))?;
        if i128::from(row.value.get()) != *value {
            return Err(format!("{}: the engine has {}, the rules {value}", key.text(), row.value.get()));
        }
    }
    Ok(())
}

/// Every account is what the rules have; whatever changed is going to be written.
fn accounts(walk: &mut Walk) -> Result<(), String> {
    let day = day_of(walk.at);
    same("accounts", walk.world.accounts.len(), walk.model.accounts.len())?;
    let mut changed = Vec::new();
    for (id, rules) in &walk.model.accounts {
        let account = walk.world.accounts.get(id).ok_or_else(|| format!("{id} is missing"))?;
        let seen = walk.seen.get(id);
        if seen == Some(account) && !walk.model.dirty.contains(id) {
            continue;
        }
        if seen != Some(account) && !walk.world.writes.touched.contains_key(id) {
            return Err(format!("{id} changed and is not written"));
        }
        compare_account(account, rules, day).map_err(|why| format!("{id} {why}\n  {account:?}\n  {rules:?}"))?;
        sums(walk, account)?;
        changed.push(account.clone());
    }
    walk.seen.extend(changed.into_iter().map(|account| (account.id, account)));
    Ok(())
}

/// Balance = entries = lots + held, whatever the rules say.
fn sums(walk: &Walk, account: &Account) -> Result<(), String> {
    let (mut last, mut sum) = walk.posted.get(&account.id).copied().unwrap_or_default();
    for entry in walk.world.writes.entries.iter().filter(|entry| entry.account == account.id) {
        same("dense entry number", entry.entry_no, last + 1)?;
        (last, sum) = (entry.entry_no, sum + i128::from(entry.delta));
    }
    same("last entry", account.entry_no, last)?;
    same("balance and entries", points(account.balance), sum)?;
    let lots: i128 = account.lots.iter().map(|lot| points(lot.points)).sum();
    same("balance and lots", points(account.balance), lots + points(account.held))?;
    let ordered = account.lots.iter().zip(account.lots.iter().skip(1)).all(|(a, b)| a.expires <= b.expires);
    same("lots in order and not empty", ordered && account.lots.iter().all(|lot| !lot.points.is_zero()), true)
}

fn compare_account(account: &Account, rules: &Acc, day: chrono::NaiveDate) -> Result<(), String> {
    same("partner", &account.partner, &rules.partner)?;
    same("status and tier", (account.status, &account.tier), (rules.status, &rules.tier))?;
    same("balance", points(account.balance), rules.balance())?;
    same("held", points(account.held), rules.held.iter().map(|lot| lot.points).sum())?;
    same("owed", points(account.owed), rules.owed)?;
    same("as of", account.as_of, rules.as_of)?;
    same("entries", account.entry_no, number(rules.entries))?;
    let engine = account.lots.iter().map(|lot| Lot {
        points: points(lot.points),
        end: end_of(lot.expires),
        available: lot.available_on,
    });
    same("lots", per_end(engine, day), per_end(rules.lots.iter().copied(), day))?;
    let usage = account.usage.on(day);
    let used = [usage.out_day, usage.in_day, usage.out_month, usage.in_month].map(points);
    let rules_used = [
        rules.used_on(day, true),
        rules.used_on(day, false),
        rules.used_in_month(day, true),
        rules.used_in_month(day, false),
    ];
    same("usage", used, rules_used)?;
    let links = account
        .links
        .iter()
        .map(|link| (link.link, link.account, link.opens_at, link.pull, link.own_token, link.peer_token));
    let rules =
        rules.links.iter().map(|link| (link.id, link.peer, link.opens_at, link.pull, link.own_token, link.peer_token));
    same("links", links.collect::<Vec<_>>(), rules.collect())
}

fn per_end(
    lots: impl Iterator<Item = Lot>,
    day: chrono::NaiveDate,
) -> BTreeMap<(chrono::NaiveDate, Option<chrono::NaiveDate>), i128> {
    let mut sums = BTreeMap::new();
    for lot in lots {
        *sums.entry((lot.end, lot.pending(day))).or_default() += lot.points;
    }
    sums
}

/// What a conversion counts as taken back is what its undos and reversals took, never above the original.
fn taken_back(walk: &Walk, rev: &Rev) -> Result<(), String> {
    let rules = &walk.model.conversions[&rev.conversion];
    let row = walk.world.conversions.get(&rev.conversion).ok_or("the conversion is gone")?;
    let undone = row.reversed.undone;
    let engine = (points(row.reversed.credit), points(row.reversed.bonus), points(row.reversed.debit));
    let out = rules.debit - super::ledger::total(&rules.out_left);
    same("reversed so far", engine, (rules.credit_back(), rules.bonus_back.iter().sum(), out))?;
    same("fee given back", i128::from(row.reversed.fee.get()), rules.fee_back)?;
    same("undone", undone, rules.undone)?;
    let within = row.reversed.credit <= row.credit && row.reversed.debit <= row.debit && row.reversed.fee <= row.fee;
    same("never above the original", within, true)?;
    // A repeat of the confirmation that landed moves nothing.
    if rev.done && !walk.model.journal.is_empty() {
        let writes = &walk.world.writes;
        let fresh = writes.conversions.iter().any(|fresh| fresh.id == row.id);
        same("written", fresh || writes.conversions_changed.contains(&row.id), true)?;
        let kept = writes.reversals.contains(&rev.id) || writes.reversals_changed.contains(&rev.id);
        same("reversal written", kept, true)?;
    }
    Ok(())
}

/// Before a batch is written: shapes, deltas of exposures, persons.
pub fn batch(walk: &Walk) -> Result<(), String> {
    let writes = &walk.world.writes;
    for (id, shape) in &writes.touched {
        // What is left out of the writing because its shape is the same must be what is stored.
        let (account, stored) = (&walk.world.accounts[id], walk.stored.get(id));
        let same_shape = account.version > 0 && account.has_shape(shape);
        if same_shape && stored.is_none_or(|stored| stored.shape() != account.shape()) {
            return Err(format!("{id} would be written without its new status, tier, links or dates"));
        }
    }
    for (key, delta) in &writes.exposures {
        let row = walk.world.exposures.get(key).ok_or("an exposure without a row")?;
        let read = i128::from(delta.counted_read.get());
        let after = read + i128::from(delta.delta.get()) + i128::from(delta.reserved.get());
        same(&key.text(), after, i128::from(row.value.get()) + i128::from(row.reserved.get()))?;
    }
    for (id, delta) in &writes.stocks {
        same("stock", delta.taken_read + delta.delta, walk.world.benefits[id].taken)?;
    }
    for changed in &writes.conversions_changed {
        same("a changed conversion is there", walk.world.conversions.contains_key(changed), true)?;
    }
    if !writes.links.is_empty() || !writes.erased.is_empty() || walk.step.is_multiple_of(500) {
        for (id, member) in walk.model.persons() {
            let person = walk.world.persons.get(&id).map(|person| person.member);
            // A membership made in this batch is a person of its own until it is read.
            if person.is_some_and(|person| person != member) {
                return Err(format!("{id} belongs to {person:?}, by the rules to {member}"));
            }
        }
    }
    Ok(())
}
