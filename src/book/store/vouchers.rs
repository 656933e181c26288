//! Rows of vouchers, their uses and the stock of benefits.

use super::Error;
use super::codec::{Unreadable, parcels_from, parcels_numbers};
use super::rows::slug;
use super::statement::{Column, Group, Statement, lists};
use super::voucher_terms;
use crate::book::command::DirectoryHash;
use crate::book::engine::world::{Event, EventData, EventKind, Facts, World};
use crate::book::voucher::{MadeCode, Offered, UseKind, UseRow, VoucherRow};
use crate::domain::benefit::BenefitTerms;
use crate::domain::ids::{AccountId, BenefitId, Slug, TokenId, UseId, VoucherId, WindowId};
use crate::domain::money::Millionths;
use crate::domain::voucher::State;
use crate::store::benefits;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Bool, Bytea, Date, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// Which rows are wanted.
#[derive(Default)]
pub struct Wished {
    pub benefits: BTreeSet<BenefitId>,
    pub vouchers: BTreeSet<VoucherId>,
    /// What these accounts have claimed of the benefits, and what they show.
    pub claimants: BTreeSet<AccountId>,
    /// By giver and number.
    pub receipts: BTreeSet<(Slug, String)>,
    /// Of these accounts, those that are open.
    pub open_of: BTreeSet<AccountId>,
}

impl Wished {
    pub fn is_nothing(&self) -> bool {
        let Wished { benefits, vouchers, receipts, open_of, .. } = self;
        benefits.is_empty() && vouchers.is_empty() && receipts.is_empty() && open_of.is_empty()
    }
}

/// Fills the world with them. Only with the turns taken.
pub fn fill(conn: &mut PgConnection, world: &mut World, wished: Wished) -> Result<(), Error> {
    if wished.is_nothing() {
        return Ok(());
    }
    let Wished { benefits, mut vouchers, claimants, receipts, open_of } = wished;
    if !open_of.is_empty() {
        vouchers.extend(open(conn, open_of)?);
    }
    if !benefits.is_empty() {
        let ids: Vec<BenefitId> = benefits.into_iter().collect();
        if !claimants.is_empty() {
            claims(conn, world, claimants.into_iter().collect(), &ids)?;
        }
        offered(conn, world, &ids)?;
    }
    if !vouchers.is_empty() {
        let ids: Vec<VoucherId> = vouchers.into_iter().collect();
        let rows = find(conn, &ids)?;
        world.vouchers.extend(rows.into_iter().map(|row| (row.id, Arc::new(row))));
        let uses = uses_of(conn, &ids)?;
        world.uses.extend(uses.into_iter().map(|row| (row.id, Arc::new(row))));
    }
    if !receipts.is_empty() {
        stacked(conn, world, receipts)?;
    }
    Ok(())
}

fn open(conn: &mut PgConnection, accounts: BTreeSet<AccountId>) -> Result<Vec<VoucherId>, Error> {
    let found: Vec<Uuid> = Statement::new(
        "SELECT voucher_id FROM vouchers WHERE account_id = ANY(?) AND state IN (0, 1, 2)",
        vec![Column::Uuids(accounts.into_iter().map(|id| id.0).collect())],
    )
    .of_types::<SqlUuid>()
    .load(conn)?;
    Ok(found.into_iter().map(VoucherId).collect())
}

fn offered(conn: &mut PgConnection, world: &mut World, ids: &[BenefitId]) -> Result<(), Error> {
    let rows = benefits::find(conn, ids)?;
    let givers: Vec<String> = rows.iter().map(|row| row.benefit.giver.to_string()).collect();
    let all = benefits::recognised(conn, &givers)?;
    for row in rows {
        let own = all.iter().filter(|one| one.giver == row.benefit.giver.as_str());
        let own = own.map(|one| Ok((slug("tier_maps.brand", &one.brand)?, one.tier.clone(), one.recognised.clone())));
        let recognised = Arc::new(own.collect::<Result<Vec<_>, Unreadable>>()?);
        let (quota, taken) = (row.quota, row.taken);
        let offered = Offered { benefit: Arc::new(row.offered()), quota, taken, recognised };
        world.benefits.insert(row.benefit.id, offered);
    }
    Ok(())
}

#[derive(QueryableByName)]
struct FactsSql {
    #[diesel(sql_type = SqlUuid)]
    account_id: Uuid,
    #[diesel(sql_type = Text)]
    tier: String,
    #[diesel(sql_type = Nullable<Date>)]
    tier_until: Option<NaiveDate>,
    #[diesel(sql_type = Array<Text>)]
    tags: Vec<String>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    birth_month: Option<i16>,
}

#[derive(QueryableByName)]
struct ClaimedSql {
    #[diesel(sql_type = SqlUuid)]
    account_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    benefit_id: Uuid,
    #[diesel(sql_type = Date)]
    day: NaiveDate,
}

/// What claimants show, and the days on which they had vouchers that count: those neither cancelled nor never issued.
fn claims(
    conn: &mut PgConnection,
    world: &mut World,
    accounts: Vec<AccountId>,
    benefits: &[BenefitId],
) -> Result<(), Error> {
    let accounts: Vec<Uuid> = accounts.into_iter().map(|id| id.0).collect();
    let shown: Vec<FactsSql> = Statement::new(
        "SELECT account_id, tier, tier_until, tags, birth_month FROM memberships WHERE account_id = ANY(?)",
        vec![Column::Uuids(accounts.clone())],
    )
    .load(conn)?;
    for sql in shown {
        let FactsSql { account_id, tier, tier_until, tags, birth_month } = sql;
        world.facts.insert(AccountId(account_id), Facts { tier, tier_until, tags, birth_month });
    }
    let found: Vec<ClaimedSql> = Statement::new(
        "SELECT account_id, benefit_id, day FROM vouchers WHERE account_id = ANY(?) AND benefit_id = ANY(?) \
         AND state <> 5 AND NOT (state = 4 AND reserved_until IS NOT NULL)",
        vec![Column::Uuids(accounts), Column::Uuids(benefits.iter().map(|id| id.0).collect())],
    )
    .load(conn)?;
    for sql in found {
        let key = (AccountId(sql.account_id), BenefitId(sql.benefit_id));
        world.claimed.entry(key).or_default().push(sql.day);
    }
    Ok(())
}

type StackedColumns = (Text, Text, Bool);

fn stacked(conn: &mut PgConnection, world: &mut World, receipts: BTreeSet<(Slug, String)>) -> Result<(), Error> {
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

/// Where codes lead: ours by the directory, those of pools by the pool.
pub fn by_code(
    conn: &mut PgConnection,
    hashes: Vec<Uuid>,
) -> Result<HashMap<DirectoryHash, (VoucherId, AccountId)>, Error> {
    let found: Vec<(Uuid, Uuid, Uuid)> = Statement::new(
        "SELECT d.hash, d.subject, d.account_id FROM directory d WHERE d.hash = ANY(?) AND d.kind = 8 \
         UNION ALL SELECT c.hash, v.voucher_id, v.account_id FROM benefit_codes c JOIN vouchers v USING (voucher_id) WHERE c.hash = ANY(?)",
        vec![Column::Uuids(hashes.clone()), Column::Uuids(hashes)],
    )
    .of_types::<(SqlUuid, SqlUuid, SqlUuid)>()
    .load(conn)?;
    let place = |(hash, voucher, account)| (DirectoryHash(hash), (VoucherId(voucher), AccountId(account)));
    Ok(found.into_iter().map(place).collect())
}

#[derive(QueryableByName)]
struct VoucherSql {
    #[diesel(sql_type = SqlUuid)]
    voucher_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    account_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    terms_id: Uuid,
    #[diesel(sql_type = SmallInt)]
    state: i16,
    #[diesel(sql_type = SmallInt)]
    first_state: i16,
    #[diesel(sql_type = Integer)]
    used: i32,
    #[diesel(sql_type = BigInt)]
    settled: i64,
    #[diesel(sql_type = SqlUuid)]
    token: Uuid,
    #[diesel(sql_type = Array<BigInt>)]
    lots_out: Vec<i64>,
    #[diesel(sql_type = BigInt)]
    entry_no: i64,
    #[diesel(sql_type = Date)]
    use_by: NaiveDate,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    reserved_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    reference: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    code_hash: Option<Uuid>,
    #[diesel(sql_type = Nullable<Bytea>)]
    code_sealed: Option<Vec<u8>>,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Date)]
    day: NaiveDate,
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
    #[diesel(sql_type = BigInt)]
    version: i64,
}

/// Those of these vouchers that are there.
pub fn find(conn: &mut PgConnection, ids: &[VoucherId]) -> Result<Vec<VoucherRow>, Error> {
    let found: Vec<VoucherSql> = Statement::new(
        "SELECT * FROM vouchers WHERE voucher_id = ANY(?)",
        vec![Column::Uuids(ids.iter().map(|id| id.0).collect())],
    )
    .load(conn)?;
    let terms = terms_of(conn, found.iter().map(|sql| sql.terms_id))?;
    found.into_iter().map(|sql| Ok(voucher(sql, &terms)?)).collect()
}

type Terms = HashMap<Uuid, Arc<BenefitTerms>>;

fn terms_of(conn: &mut PgConnection, ids: impl Iterator<Item = Uuid>) -> Result<Terms, Error> {
    let ids: BTreeSet<Uuid> = ids.collect();
    if ids.is_empty() { Ok(Terms::new()) } else { voucher_terms::find(conn, &ids.into_iter().collect::<Vec<_>>()) }
}

fn known(terms: &Terms, id: Uuid) -> Result<Arc<BenefitTerms>, Unreadable> {
    terms.get(&id).cloned().ok_or_else(|| Unreadable { column: "terms_id", value: id.to_string() })
}

fn state(column: &'static str, number: i16) -> Result<State, Unreadable> {
    State::from_number(number).ok_or_else(|| Unreadable { column, value: number.to_string() })
}

fn voucher(sql: VoucherSql, terms: &Terms) -> Result<VoucherRow, Unreadable> {
    let code = sql.code_hash.zip(sql.code_sealed);
    Ok(VoucherRow {
        id: VoucherId(sql.voucher_id),
        account: AccountId(sql.account_id),
        terms: known(terms, sql.terms_id)?,
        state: state("vouchers.state", sql.state)?,
        first: state("vouchers.first_state", sql.first_state)?,
        used: sql.used,
        settled: Millionths::new(sql.settled),
        token: TokenId(sql.token),
        lots_out: parcels_from(&sql.lots_out)?,
        entry_no: sql.entry_no,
        use_by: sql.use_by,
        reserved_until: sql.reserved_until,
        reference: sql.reference,
        code: code.map(|(hash, sealed)| MadeCode { hash: DirectoryHash(hash), sealed }),
        at: sql.at,
        day: sql.day,
        batch_no: sql.batch_no,
        version: sql.version,
    })
}

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
pub fn uses_of(conn: &mut PgConnection, ids: &[VoucherId]) -> Result<Vec<UseRow>, Error> {
    let found: Vec<UseSql> = Statement::new(
        "SELECT * FROM voucher_uses WHERE voucher_id = ANY(?) ORDER BY batch_no, ordinal",
        vec![Column::Uuids(ids.iter().map(|id| id.0).collect())],
    )
    .load(conn)?;
    uses(conn, found)
}

/// Those that lines of the journal of these batches name, in the sequence they were posted.
pub fn uses_between(conn: &mut PgConnection, after: i64, through: i64) -> Result<Vec<UseRow>, Error> {
    let found: Vec<UseSql> = Statement::new(
        "SELECT u.* FROM unnest(?, ?) r(after, through) JOIN batches b ON b.batch_no > r.after AND b.batch_no <= r.through \
         CROSS JOIN LATERAL unnest(b.entry_kinds, b.entry_subjects) e(kind, subject) \
         JOIN voucher_uses u ON u.use_id = e.subject WHERE e.kind = 20 ORDER BY u.batch_no, u.ordinal",
        vec![Column::BigInts(vec![after]), Column::BigInts(vec![through])],
    )
    .load(conn)?;
    uses(conn, found)
}

fn uses(conn: &mut PgConnection, found: Vec<UseSql>) -> Result<Vec<UseRow>, Error> {
    let terms = terms_of(conn, found.iter().map(|sql| sql.terms_id))?;
    found.into_iter().map(|sql| Ok(use_row(sql, &terms)?)).collect()
}

fn use_row(sql: UseSql, terms: &Terms) -> Result<UseRow, Unreadable> {
    let unknown = || Unreadable { column: "voucher_uses.kind", value: sql.kind.to_string() };
    Ok(UseRow {
        id: UseId(sql.use_id),
        voucher: VoucherId(sql.voucher_id),
        account: AccountId(sql.account_id),
        terms: known(terms, sql.terms_id)?,
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

/// New vouchers and new uses, which are rows of their own.
pub(super) fn insert(conn: &mut PgConnection, group: &mut Group, world: &World) -> Result<(), Error> {
    let rows: Vec<&VoucherRow> =
        world.writes.vouchers.iter().filter_map(|id| world.vouchers.get(id)).map(Arc::as_ref).collect();
    let uses: Vec<&UseRow> = world.writes.uses.iter().filter_map(|id| world.uses.get(id)).map(Arc::as_ref).collect();
    if !rows.is_empty() {
        let terms = voucher_terms::store(conn, &rows.iter().map(|row| &*row.terms).collect::<Vec<_>>())?;
        insert_vouchers(group, &rows, terms);
    }
    if !uses.is_empty() {
        let terms = voucher_terms::store(conn, &uses.iter().map(|row| &*row.terms).collect::<Vec<_>>())?;
        insert_uses(group, &uses, terms);
    }
    Ok(())
}

fn insert_vouchers(group: &mut Group, rows: &[&VoucherRow], terms: Vec<Uuid>) {
    let mut columns = lists(rows.iter().map(|row| [parcels_numbers(&row.lots_out)]));
    let code = |row: &&VoucherRow| row.code.as_ref().map(|code| code.hash.0);
    let sealed = |row: &&VoucherRow| row.code.as_ref().map(|code| hex(&code.sealed));
    columns.extend([
        Column::Uuids(rows.iter().map(|row| row.id.0).collect()),
        Column::Uuids(rows.iter().map(|row| row.account.0).collect()),
        Column::Uuids(rows.iter().map(|row| row.terms.benefit.0).collect()),
        Column::Texts(rows.iter().map(|row| row.terms.brand.to_string()).collect()),
        Column::Texts(rows.iter().map(|row| row.terms.giver.to_string()).collect()),
        Column::Uuids(terms),
        Column::SmallInts(rows.iter().map(|row| row.state.number()).collect()),
        Column::SmallInts(rows.iter().map(|row| row.first.number()).collect()),
        Column::Integers(rows.iter().map(|row| row.terms.uses).collect()),
        Column::Integers(rows.iter().map(|row| row.used).collect()),
        Column::BigInts(rows.iter().map(|row| row.settled.get()).collect()),
        Column::Uuids(rows.iter().map(|row| row.token.0).collect()),
        Column::BigInts(rows.iter().map(|row| row.entry_no).collect()),
        Column::Dates(rows.iter().map(|row| row.use_by).collect()),
        Column::TimesOrNull(rows.iter().map(|row| row.reserved_until).collect()),
        Column::TextsOrNull(rows.iter().map(|row| row.reference.clone()).collect()),
        Column::UuidsOrNull(rows.iter().map(code).collect()),
        Column::TextsOrNull(rows.iter().map(sealed).collect()),
        Column::Times(rows.iter().map(|row| row.at).collect()),
        Column::Dates(rows.iter().map(|row| row.day).collect()),
        Column::BigInts(rows.iter().map(|row| row.batch_no).collect()),
    ]);
    group.add(Statement::new(
        "INSERT INTO vouchers (voucher_id, account_id, benefit_id, brand, giver, terms_id, state, first_state, uses, used, settled, \
         token, lots_out, entry_no, use_by, reserved_until, reference, code_hash, code_sealed, at, day, batch_no) \
         SELECT i, a, b, br, gi, t, s, fs, us, ud, se, tk, f.num[l:le], en, ub, ru, rf, ch, decode(cs, 'hex'), n, y, bn \
         FROM (SELECT ?::bigint[] AS num) f, unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         x(l, le, i, a, b, br, gi, t, s, fs, us, ud, se, tk, en, ub, ru, rf, ch, cs, n, y, bn)",
        columns,
    ));
}

fn insert_uses(group: &mut Group, rows: &[&UseRow], terms: Vec<Uuid>) {
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Steps of vouchers that were there, uses taken back, codes of pools given out, and the stock, in this order; tells which
/// givers have none left. `Err(LostRace)` or `Err(Exposed)` when somebody else was faster.
pub(super) fn changed(conn: &mut PgConnection, world: &World) -> Result<Vec<Event>, Error> {
    let taken_back: Vec<Uuid> = world.writes.uses_changed.iter().map(|id| id.0).collect();
    if !taken_back.is_empty() {
        let sql =
            "UPDATE voucher_uses u SET reversed = true FROM unnest(?) x(i) WHERE u.use_id = x.i AND NOT u.reversed";
        let count = taken_back.len();
        if Statement::new(sql, vec![Column::Uuids(taken_back)]).execute(conn)? != count {
            return Err(Error::LostRace);
        }
    }
    steps(conn, world)?;
    give_codes(conn, world)?;
    stocks(conn, world)
}

fn steps(conn: &mut PgConnection, world: &World) -> Result<(), Error> {
    // One that is new in this batch was written with all its steps.
    let is_new = |id: &&VoucherId| world.writes.vouchers.contains(id);
    let ids = world.writes.vouchers_changed.iter().filter(|id| !is_new(id));
    let rows: Vec<&Arc<VoucherRow>> = ids.filter_map(|id| world.vouchers.get(id)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let mut columns = lists(rows.iter().map(|row| [parcels_numbers(&row.lots_out)]));
    columns.extend([
        Column::Uuids(rows.iter().map(|row| row.id.0).collect()),
        Column::BigInts(rows.iter().map(|row| row.version).collect()),
        Column::SmallInts(rows.iter().map(|row| row.state.number()).collect()),
        Column::Integers(rows.iter().map(|row| row.used).collect()),
        Column::BigInts(rows.iter().map(|row| row.settled.get()).collect()),
        Column::BigInts(rows.iter().map(|row| row.entry_no).collect()),
        Column::TimesOrNull(rows.iter().map(|row| row.reserved_until).collect()),
        Column::Dates(rows.iter().map(|row| row.day).collect()),
    ]);
    let written = Statement::new(
        "UPDATE vouchers v SET state = x.s, used = x.u, settled = x.se, lots_out = f.num[x.l:x.le], entry_no = x.en, \
         reserved_until = x.ru, day = x.d, version = v.version + 1 FROM (SELECT ?::bigint[] AS num) f, \
         unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?) x(l, le, i, ve, s, u, se, en, ru, d) WHERE v.voucher_id = x.i AND v.version = x.ve",
        columns,
    )
    .execute(conn)?;
    if written == rows.len() { Ok(()) } else { Err(Error::LostRace) }
}

/// Gives each voucher of a pool, when it is issued, the next code that nobody else is about to take. The stock never allows
/// more of them than there are codes.
fn give_codes(conn: &mut PgConnection, world: &World) -> Result<(), Error> {
    for row in world.writes.vouchers_coded.iter().filter_map(|id| world.vouchers.get(id)) {
        let given = Statement::new(
            "UPDATE benefit_codes c SET voucher_id = x.v FROM unnest(?, ?) x(v, b) WHERE c.code_no = (SELECT f.code_no FROM benefit_codes f \
             WHERE f.benefit_id = x.b AND f.voucher_id IS NULL ORDER BY f.code_no LIMIT 1 FOR UPDATE SKIP LOCKED)",
            vec![Column::Uuids(vec![row.id.0]), Column::Uuids(vec![row.terms.benefit.0])],
        )
        .execute(conn)?;
        if given != 1 {
            return Err(Error::Exposed);
        }
    }
    Ok(())
}

/// Moves stocks in key order, each under its quota. Which claim took the last one only the written row knows.
fn stocks(conn: &mut PgConnection, world: &World) -> Result<Vec<Event>, Error> {
    let rows = &world.writes.stocks;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let moved: Vec<(Uuid, i64, Option<i64>, i64)> = Statement::new(
        "WITH x AS MATERIALIZED (SELECT * FROM unnest(?, ?, ?, ?) x(id, delta, guarded, taken_read) ORDER BY id) \
         UPDATE stocks s SET taken = s.taken + x.delta FROM x WHERE s.benefit_id = x.id \
         AND (NOT x.guarded OR s.taken = x.taken_read OR s.quota IS NULL OR s.taken + x.delta <= s.quota) \
         RETURNING s.benefit_id, s.taken, s.quota, x.delta",
        vec![
            Column::Uuids(rows.keys().map(|id| id.0).collect()),
            Column::BigInts(rows.values().map(|row| row.delta).collect()),
            Column::Bools(rows.values().map(|row| row.guarded).collect()),
            Column::BigInts(rows.values().map(|row| row.taken_read).collect()),
        ],
    )
    .of_types::<(SqlUuid, BigInt, Nullable<BigInt>, BigInt)>()
    .load(conn)?;
    if moved.len() != rows.len() {
        return Err(Error::Exposed);
    }
    let sold_out = |(id, taken, quota, delta): (Uuid, i64, Option<i64>, i64)| {
        let (id, quota) = (BenefitId(id), quota.filter(|quota| taken >= *quota && taken - delta < *quota)?);
        let giver = world.benefits.get(&id)?.benefit.giver.clone();
        let (kind, data) = (EventKind::BenefitSoldOut, EventData::SoldOut { benefit: id, quota });
        Some(Event { partner: giver, id: Uuid::now_v7(), kind, subject: id.0, data })
    };
    Ok(moved.into_iter().filter_map(sold_out).collect())
}

/// What brand and giver are told of a voucher; neither is told its code.
pub(super) fn told(row: &VoucherRow, redemption: Option<&UseRow>, to: &Slug) -> serde_json::Value {
    let terms = &row.terms;
    let mut told = serde_json::json!({
        "voucher_id": row.id.to_string(), "benefit_id": terms.benefit.to_string(), "giver": terms.giver.as_str(),
        "brand": terms.brand.as_str(), "code": terms.code, "state": row.state.code(), "uses": terms.uses, "used": row.used,
        "points": terms.points.get(), "use_by": row.use_by.to_string(),
    });
    // Each knows the member by its own name alone.
    if *to == terms.brand {
        told["membership_id"] = row.account.to_string().into();
    } else {
        told["token"] = row.token.to_string().into();
    }
    if let Some(one) = redemption {
        told["redemption_id"] = one.id.to_string().into();
        told["cost"] = one.cost.to_string().into();
        let of_giver =
            (*to == terms.giver).then_some([("store", &one.store), ("till", &one.till), ("receipt", &one.receipt)]);
        for (name, value) in of_giver.into_iter().flatten() {
            if let Some(value) = value {
                told[name] = value.as_str().into();
            }
        }
    }
    told
}
