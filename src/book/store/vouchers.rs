//! Rows of vouchers: what a batch reads and writes of them, with their uses and the stock of benefits.

use super::Error;
use super::codec::{Unreadable, parcels_from, parcels_numbers};
use super::statement::{Column, Group, Statement, lists};
use super::{stocks, voucher_terms, voucher_uses};
use crate::book::command::DirectoryHash;
use crate::book::engine::world::{Event, Facts, World};
use crate::book::voucher::{MadeCode, UseRow, VoucherRow};
use crate::domain::benefit::BenefitTerms;
use crate::domain::ids::{AccountId, BenefitId, Slug, TokenId, VoucherId};
use crate::domain::money::Millionths;
use crate::domain::voucher::State;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bytea, Date, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// Which rows are wanted.
#[derive(Default)]
pub struct Wished {
    pub benefits: BTreeSet<BenefitId>,
    pub vouchers: BTreeSet<VoucherId>,
    /// What these accounts show, and which of them are one person's that claims this benefit.
    pub claimants: BTreeSet<(AccountId, BenefitId)>,
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
        stocks::fill(conn, world, &benefits.into_iter().collect::<Vec<_>>())?;
    }
    if !claimants.is_empty() {
        facts(conn, world, &claimants)?;
        claims(conn, world, claimants)?;
    }
    if !vouchers.is_empty() {
        let ids: Vec<VoucherId> = vouchers.into_iter().collect();
        let rows = find(conn, &ids)?;
        world.vouchers.extend(rows.into_iter().map(|row| (row.id, Arc::new(row))));
        let uses = voucher_uses::of(conn, &ids)?;
        world.uses.extend(uses.into_iter().map(|row| (row.id, Arc::new(row))));
    }
    if !receipts.is_empty() {
        voucher_uses::on_receipts(conn, world, receipts)?;
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

fn facts(
    conn: &mut PgConnection,
    world: &mut World,
    claimants: &BTreeSet<(AccountId, BenefitId)>,
) -> Result<(), Error> {
    let accounts: BTreeSet<Uuid> = claimants.iter().map(|(account, _)| account.0).collect();
    let shown: Vec<FactsSql> = Statement::new(
        "SELECT account_id, tier, tier_until, tags, birth_month FROM memberships WHERE account_id = ANY(?)",
        vec![Column::Uuids(accounts.into_iter().collect())],
    )
    .load(conn)?;
    for sql in shown {
        let FactsSql { account_id, tier, tier_until, tags, birth_month } = sql;
        world.facts.insert(AccountId(account_id), Facts { tier, tier_until, tags, birth_month });
    }
    Ok(())
}

/// The days on which claimants had vouchers that count, neither cancelled nor never issued: of benefits that are so many a
/// member alone, and no further back than the longest of their periods.
fn claims(
    conn: &mut PgConnection,
    world: &mut World,
    claimants: BTreeSet<(AccountId, BenefitId)>,
) -> Result<(), Error> {
    let (mut accounts, mut benefits, mut since) = (Vec::new(), Vec::new(), Vec::new());
    for (account, benefit) in claimants {
        let offers = world.benefits.get(&benefit).map(|offered| offered.benefit.offers.iter());
        let periods = offers.into_iter().flatten().filter_map(|offer| offer.per_member);
        // `None`, the beginning of all time, comes before every day.
        if let Some(first) = periods.map(|per_member| per_member.period.first(world.now.day)).min() {
            accounts.push(account.0);
            benefits.push(benefit.0);
            since.push(first);
        }
    }
    if accounts.is_empty() {
        return Ok(());
    }
    let found: Vec<ClaimedSql> = Statement::new(
        "SELECT v.account_id, v.benefit_id, v.day FROM unnest(?, ?, ?) x(account_id, benefit_id, since) JOIN vouchers v \
         ON v.account_id = x.account_id AND v.benefit_id = x.benefit_id AND v.day >= coalesce(x.since, '-infinity') \
         WHERE v.state <> 5 AND NOT (v.state = 4 AND v.reserved_until IS NOT NULL)",
        vec![Column::Uuids(accounts), Column::Uuids(benefits), Column::DatesOrNull(since)],
    )
    .load(conn)?;
    for sql in found {
        let key = (AccountId(sql.account_id), BenefitId(sql.benefit_id));
        world.claimed.entry(key).or_default().push(sql.day);
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
    let terms = voucher_terms::of(conn, found.iter().map(|sql| sql.terms_id))?;
    found.into_iter().map(|sql| Ok(voucher(sql, &terms)?)).collect()
}

fn state(column: &'static str, number: i16) -> Result<State, Unreadable> {
    State::from_number(number).ok_or_else(|| Unreadable { column, value: number.to_string() })
}

fn voucher(sql: VoucherSql, terms: &HashMap<Uuid, Arc<BenefitTerms>>) -> Result<VoucherRow, Unreadable> {
    let code = sql.code_hash.zip(sql.code_sealed);
    Ok(VoucherRow {
        id: VoucherId(sql.voucher_id),
        account: AccountId(sql.account_id),
        terms: voucher_terms::known(terms, sql.terms_id)?,
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

/// New vouchers and new uses, which are rows of their own.
pub(super) fn insert(conn: &mut PgConnection, group: &mut Group, world: &World) -> Result<(), Error> {
    let rows: Vec<&VoucherRow> =
        world.writes.vouchers.iter().filter_map(|id| world.vouchers.get(id)).map(Arc::as_ref).collect();
    if !rows.is_empty() {
        let terms = voucher_terms::store(conn, &rows.iter().map(|row| &*row.terms).collect::<Vec<_>>())?;
        insert_vouchers(group, &rows, terms);
    }
    voucher_uses::insert(conn, group, world)
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Steps of vouchers that were there, uses taken back, codes of pools given out, and the stock, in this order; tells which
/// givers have none left. `Err(LostRace)` or `Err(Exposed)` when somebody else was faster.
pub(super) fn changed(conn: &mut PgConnection, world: &World) -> Result<Vec<Event>, Error> {
    voucher_uses::taken_back(conn, world)?;
    steps(conn, world)?;
    stocks::give_codes(conn, world)?;
    stocks::moved(conn, world)
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
    // How long there is to debit and confirm.
    if let Some(until) = row.reserved_until.filter(|_| row.state == State::Reserved) {
        told["reserved_until"] = until.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true).into();
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
