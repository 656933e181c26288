//! Writes accounts: each is checked against the version that was read.

use super::codec;
use super::statement::{Column, Group, Statement, lists};
use crate::book::engine::account::Account;
use crate::book::engine::world::World;
use crate::domain::expiry::Expiry;

pub fn write(group: &mut Group, batch_no: i64, world: &World) {
    let (mut new, mut moved, mut reshaped) = (Vec::new(), Vec::new(), Vec::new());
    // In key order, so that two servers lock rows in the same order.
    for (id, shape) in &world.writes.touched {
        match world.accounts.get(id) {
            Some(account) if account.version == 0 => new.push(account),
            Some(account) if account.has_shape(shape) => moved.push(account),
            Some(account) => reshaped.push(account),
            None => {}
        }
    }
    if !new.is_empty() {
        let mut columns = shaping_columns(&new, batch_no);
        columns.push(Column::Texts(new.iter().map(|row| row.partner.to_string()).collect()));
        group.add(Statement::new(INSERT_ACCOUNTS, columns));
    }
    if !moved.is_empty() {
        group.add_counted(Statement::new(MOVE_ACCOUNTS, moving_columns(&moved, batch_no)), moved.len());
    }
    if !reshaped.is_empty() {
        group.add_counted(Statement::new(RESHAPE_ACCOUNTS, shaping_columns(&reshaped, batch_no)), reshaped.len());
    }
}

const INSERT_ACCOUNTS: &str = "INSERT INTO accounts (account_id, balance, held, owed, next_expiry, entry_no, last_batch, lots, usage, \
     status, tier, links, redatings, as_of, partner, version) \
     SELECT i, b, h, o, ne, en, lb, f.num[l:u - 1], f.num[u:e], s, t, k, g.num[r:re], ao, p, 1 \
     FROM (SELECT ?::bigint[] AS num) f, (SELECT ?::bigint[] AS num) g, unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
     x(l, u, e, i, v, b, h, o, ne, en, lb, r, re, s, t, k, ao, p)";

/// Points moved and nothing else: as long as the first lot ends when it did, no index is touched.
const MOVE_ACCOUNTS: &str = "UPDATE accounts a SET balance = x.b, held = x.h, owed = x.o, next_expiry = x.ne, entry_no = x.en, \
     last_batch = x.lb, lots = f.num[x.l:x.u - 1], usage = f.num[x.u:x.e], version = a.version + 1 \
     FROM (SELECT ?::bigint[] AS num) f, unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) x(l, u, e, i, v, b, h, o, ne, en, lb) \
     WHERE a.account_id = x.i AND a.version = x.v";

const RESHAPE_ACCOUNTS: &str = "UPDATE accounts a SET balance = x.b, held = x.h, owed = x.o, next_expiry = x.ne, entry_no = x.en, \
     last_batch = x.lb, lots = f.num[x.l:x.u - 1], usage = f.num[x.u:x.e], status = x.s, tier = x.t, links = x.k, \
     redatings = g.num[x.r:x.re], as_of = x.ao, version = a.version + 1 \
     FROM (SELECT ?::bigint[] AS num) f, (SELECT ?::bigint[] AS num) g, unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
     x(l, u, e, i, v, b, h, o, ne, en, lb, r, re, s, t, k, ao) WHERE a.account_id = x.i AND a.version = x.v";

/// The numbers of all lots and usages, then their places and what else every posting writes.
fn moving_columns(rows: &[&Account], batch_no: i64) -> Vec<Column> {
    let next_expiry = |row: &&Account| match row.lots.first_end() {
        Some(Expiry::On(day)) => Some(day),
        Some(Expiry::Never) | None => None,
    };
    let mut columns = lists(rows.iter().map(|row| [codec::lots_numbers(&row.lots), codec::usage_numbers(&row.usage)]));
    columns.extend([
        Column::Uuids(rows.iter().map(|row| row.id.0).collect()),
        Column::BigInts(rows.iter().map(|row| row.version).collect()),
        Column::BigInts(rows.iter().map(|row| row.balance.get()).collect()),
        Column::BigInts(rows.iter().map(|row| row.held.get()).collect()),
        Column::BigInts(rows.iter().map(|row| row.owed.get()).collect()),
        Column::DatesOrNull(rows.iter().map(next_expiry).collect()),
        Column::BigInts(rows.iter().map(|row| row.entry_no).collect()),
        Column::BigInts(rows.iter().map(|row| row.last_batch_after(batch_no)).collect()),
    ]);
    columns
}

/// All columns of accounts whose shape is new too.
fn shaping_columns(rows: &[&Account], batch_no: i64) -> Vec<Column> {
    let mut columns = moving_columns(rows, batch_no);
    let mut redatings = lists(rows.iter().map(|row| [codec::redatings_numbers(&row.redatings)]));
    // The second relation of numbers comes after the first.
    columns.insert(1, redatings.remove(0));
    columns.extend(redatings);
    columns.extend([
        Column::SmallInts(rows.iter().map(|row| codec::status_number(row.status)).collect()),
        Column::Texts(rows.iter().map(|row| row.tier.clone()).collect()),
        Column::Texts(rows.iter().map(|row| codec::links_json(&row.links)).collect()),
        Column::TimesOrNull(rows.iter().map(|row| row.as_of).collect()),
    ]);
    columns
}
