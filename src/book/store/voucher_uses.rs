//! Rows of uses: what was used of vouchers, or settled with them.

use super::codec::Unreadable;
use super::rows::slug;
use super::statement::{Column, Group, Statement};
use super::{Error, voucher_terms};
use crate::book::engine::world::World;
use crate::book::voucher::{UseKind, UseRow};
use crate::domain::benefit::BenefitTerms;
use crate::domain::ids::{AccountId, Slug, TokenId, UseId, VoucherId, WindowId};
use crate::domain::money::Millionths;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Date, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

#[derive(QueryableByName)]
struct UseSql {
    #[diesel(sql_type = SqlUuid)]
    use_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    voucher_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    account_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    terms_id: Uuid,
    #[diesel(sql_type = SmallInt)]
    kind: i16,
    #[diesel(sql_type = BigInt)]
    cost: i64,
    #[diesel(sql_type = Integer)]
    nth: i32,
    #[diesel(sql_type = SqlUuid)]
    token: Uuid,
    #[diesel(sql_type = Nullable<BigInt>)]
    bill: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    discount: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    store: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    till: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    receipt: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    reference: Option<String>,
    #[diesel(sql_type = Text)]
    asked_by: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    reverses: Option<Uuid>,
    #[diesel(sql_type = Bool)]
    reversed: bool,
    #[diesel(sql_type = SqlUuid)]
    window_id: Uuid,
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
    #[diesel(sql_type = Integer)]
    ordinal: i32,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Date)]
    day: NaiveDate,
}

/// All uses of these vouchers, in the sequence they were posted.
pub fn of(conn: &mut PgConnection, ids: &[VoucherId]) -> Result<Vec<UseRow>, Error> {
    let found: Vec<UseSql> = Statement::new(
        "SELECT * FROM voucher_uses WHERE voucher_id = ANY(?) ORDER BY batch_no, ordinal",
        vec![Column::Uuids(ids.iter().map(|id| id.0).collect())],
    )
    .load(conn)?;
    read(conn, found)
}

/// One of them.
pub fn find(conn: &mut PgConnection, id: UseId) -> Result<Option<UseRow>, Error> {
    let found: Vec<UseSql> =
        Statement::new("SELECT * FROM voucher_uses WHERE use_id = ANY(?)", vec![Column::Uuids(vec![id.0])])
            .load(conn)?;
    Ok(read(conn, found)?.pop())
}

/// Those that lines of the journal of these batches name, in the sequence they were posted.
pub fn between(conn: &mut PgConnection, after: i64, through: i64) -> Result<Vec<UseRow>, Error> {
    let found: Vec<UseSql> = Statement::new(
        "SELECT u.* FROM unnest(?, ?) r(after, through) JOIN batches b ON b.batch_no > r.after AND b.batch_no <= r.through \
         CROSS JOIN LATERAL unnest(b.entry_kinds, b.entry_subjects) e(kind, subject) \
         JOIN voucher_uses u ON u.use_id = e.subject WHERE e.kind = 20 ORDER BY u.batch_no, u.ordinal",
        vec![Column::BigInts(vec![after]), Column::BigInts(vec![through])],
    )
    .load(conn)?;
    read(conn, found)
}

fn read(conn: &mut PgConnection, found: Vec<UseSql>) -> Result<Vec<UseRow>, Error> {
    let terms = voucher_terms::of(conn, found.iter().map(|sql| sql.terms_id))?;
    found.into_iter().map(|sql| Ok(use_row(sql, &terms)?)).collect()
}

fn use_row(sql: UseSql, terms: &HashMap<Uuid, Arc<BenefitTerms>>) -> Result<UseRow, Unreadable> {
    let unknown = || Unreadable { column: "voucher_uses.kind", value: sql.kind.to_string() };
    Ok(UseRow {
        id: UseId(sql.use_id),
        voucher: VoucherId(sql.voucher_id),
        account: AccountId(sql.account_id),
        terms: voucher_terms::known(terms, sql.terms_id)?,
        kind: UseKind::from_number(sql.kind).ok_or_else(unknown)?,
        cost: Millionths::new(sql.cost),
        nth: sql.nth,
        token: TokenId(sql.token),
        bill: sql.bill.map(Millionths::new),
        discount: sql.discount.map(Millionths::new),
        store: sql.store,
        till: sql.till,
        receipt: sql.receipt,
        reason: sql.reason,
        reference: sql.reference,
        by: slug("voucher_uses.asked_by", &sql.asked_by)?,
        reverses: sql.reverses.map(UseId),
        reversed: sql.reversed,
        window: WindowId(sql.window_id),
        batch_no: sql.batch_no,
        ordinal: sql.ordinal,
        at: sql.at,
        day: sql.day,
    })
}

type StackedColumns = (Text, Text, Bool);

/// Whether each voucher that was used for these bills stacks.
pub(super) fn on_receipts(
    conn: &mut PgConnection,
    world: &mut World,
    receipts: BTreeSet<(Slug, String)>,
) -> Result<(), Error> {
    let (givers, numbers) = receipts.iter().map(|(giver, number)| (giver.to_string(), number.clone())).unzip();
    let found: Vec<(String, String, bool)> = Statement::new(
        "SELECT u.giver, u.receipt, (t.body->>'stacks')::boolean FROM unnest(?, ?) r(giver, receipt) JOIN voucher_uses u \
         ON u.giver = r.giver AND u.receipt = r.receipt AND u.kind = 1 AND NOT u.reversed JOIN benefit_terms t USING (terms_id)",
        vec![Column::Texts(givers), Column::Texts(numbers)],
    )
    .of_types::<StackedColumns>()
    .load(conn)?;
    for (giver, number, stacks) in found {
        world.receipts.entry((slug("voucher_uses.giver", &giver)?, number)).or_default().push(stacks);
    }
    Ok(())
}

/// New uses.
pub(super) fn insert(conn: &mut PgConnection, group: &mut Group, world: &World) -> Result<(), Error> {
    let rows: Vec<&UseRow> = world.writes.uses.iter().filter_map(|id| world.uses.get(id)).map(Arc::as_ref).collect();
    if !rows.is_empty() {
        let terms = voucher_terms::store(conn, &rows.iter().map(|row| &*row.terms).collect::<Vec<_>>())?;
        insert_rows(group, &rows, terms);
    }
    Ok(())
}

fn insert_rows(group: &mut Group, rows: &[&UseRow], terms: Vec<Uuid>) {
    let money = |amount: Option<Millionths>| amount.map(Millionths::get);
    group.add(Statement::new(
        "INSERT INTO voucher_uses (use_id, voucher_id, account_id, terms_id, kind, cost, nth, token, bill, discount, store, till, \
         receipt, reason, reference, asked_by, reverses, window_id, batch_no, ordinal, giver, at, day) \
         SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        vec![
            Column::Uuids(rows.iter().map(|row| row.id.0).collect()),
            Column::Uuids(rows.iter().map(|row| row.voucher.0).collect()),
            Column::Uuids(rows.iter().map(|row| row.account.0).collect()),
            Column::Uuids(terms),
            Column::SmallInts(rows.iter().map(|row| row.kind.number()).collect()),
            Column::BigInts(rows.iter().map(|row| row.cost.get()).collect()),
            Column::Integers(rows.iter().map(|row| row.nth).collect()),
            Column::Uuids(rows.iter().map(|row| row.token.0).collect()),
            Column::BigIntsOrNull(rows.iter().map(|row| money(row.bill)).collect()),
            Column::BigIntsOrNull(rows.iter().map(|row| money(row.discount)).collect()),
            Column::TextsOrNull(rows.iter().map(|row| row.store.clone()).collect()),
            Column::TextsOrNull(rows.iter().map(|row| row.till.clone()).collect()),
            Column::TextsOrNull(rows.iter().map(|row| row.receipt.clone()).collect()),
            Column::TextsOrNull(rows.iter().map(|row| row.reason.clone()).collect()),
            Column::TextsOrNull(rows.iter().map(|row| row.reference.clone()).collect()),
            Column::Texts(rows.iter().map(|row| row.by.to_string()).collect()),
            Column::UuidsOrNull(rows.iter().map(|row| row.reverses.map(|id| id.0)).collect()),
            Column::Uuids(rows.iter().map(|row| row.window.0).collect()),
            Column::BigInts(rows.iter().map(|row| row.batch_no).collect()),
            Column::Integers(rows.iter().map(|row| row.ordinal).collect()),
            Column::Texts(rows.iter().map(|row| row.terms.giver.to_string()).collect()),
            Column::Times(rows.iter().map(|row| row.at).collect()),
            Column::Dates(rows.iter().map(|row| row.day).collect()),
        ],
    ));
}

/// Marks those that were taken back; `Err(LostRace)` when one was already.
pub(super) fn taken_back(conn: &mut PgConnection, world: &World) -> Result<(), Error> {
    let ids: Vec<Uuid> = world.writes.uses_changed.iter().map(|id| id.0).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE voucher_uses u SET reversed = true FROM unnest(?) x(i) WHERE u.use_id = x.i AND NOT u.reversed";
    let count = ids.len();
    let written = Statement::new(sql, vec![Column::Uuids(ids)]).execute(conn)?;
    if written == count { Ok(()) } else { Err(Error::LostRace) }
}
