//! What a batch reads: first where its commands point, then, with the turns taken, what they decide with.

use super::Error;
use super::codec::{self, Unreadable};
use super::crossings::{self, Wished};
use super::rows::{self, slug};
use super::statement::{Column, Statement};
use super::vouchers;
use crate::book::command::{Code, DirectoryHash, Hint, Refusal, Status, Unmet};
use crate::book::engine::account::{Account, LinkState};
use crate::book::engine::world::{Exposure, Person, Subject, Taken, World};
use crate::book::exposures::ExposureKey;
use crate::domain::ids::{
    AccountId, BenefitId, ConversionId, LinkId, MemberId, MovementId, ReversalId, Slug, UseId, VoucherId, WindowId,
};
use crate::domain::money::Millionths;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

/// What the fence protects; also what the transaction is known by afterwards.
#[derive(Clone, Debug)]
pub struct State {
    pub window_id: Uuid,
    /// Business time, read with the turns taken: so no account sees a batch of an earlier instant after one of a later.
    pub at: DateTime<Utc>,
    pub catalogue_version: i64,
    pub batch_no: i64,
    pub xid: String,
}

impl State {
    pub fn window(&self) -> WindowId {
        WindowId(self.window_id)
    }
}

type StateColumns = (SqlUuid, Timestamptz, BigInt, BigInt, Text, Nullable<BigInt>);

/// Takes the turns that are free until the transaction ends, and says which; nobody waits. With them the open window,
/// business time, the catalogue's version and this transaction's own numbers. Call `fence::shared` first.
pub fn begin(conn: &mut PgConnection, turns: Vec<i64>) -> Result<(State, HashSet<i64>), Error> {
    type Row = (Uuid, DateTime<Utc>, i64, i64, String, Option<i64>);
    // The clock is read last, of all rows the latest counts: then every turn has been taken.
    let found: Vec<Row> = Statement::new(
        "SELECT s.window_id, clock_timestamp() + s.clock_offset_us * interval '1 microsecond' AS at, s.catalogue_version, \
         s.batch_no, s.xid, t.turn FROM (SELECT w.window_id, a.clock_offset_us, a.catalogue_version, \
         nextval('batch_numbers') AS batch_no, pg_current_xact_id()::text AS xid FROM alliance a, windows w \
         WHERE w.state = 'open' OFFSET 0) s LEFT JOIN (SELECT turn FROM unnest(?) t(turn) \
         WHERE pg_try_advisory_xact_lock(turn) OFFSET 0) t ON true",
        vec![Column::BigInts(turns)],
    )
    .of_types::<StateColumns>()
    .load(conn)?;
    let taken = found.iter().filter_map(|row| row.5).collect();
    let last = found.into_iter().max_by_key(|row| row.1);
    let (window_id, at, catalogue_version, batch_no, xid, _) = last.ok_or(diesel::result::Error::NotFound)?;
    Ok((State { window_id, at, catalogue_version, batch_no, xid }, taken))
}

#[derive(QueryableByName)]
struct Origin {
    #[diesel(sql_type = Text)]
    origin: String,
}

/// Which run of which database server a connection leads to: another after a restart or a failover.
pub fn origin(conn: &mut PgConnection) -> QueryResult<String> {
    let row: Origin =
        sql_query("SELECT pg_postmaster_start_time()::text || ' ' || coalesce(inet_server_addr()::text, '') AS origin")
            .get_result(conn)?;
    Ok(row.origin)
}

/// What became of a batch whose COMMIT was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Committed,
    Aborted,
    /// The server that ran it has not finished with it.
    Open,
}

#[derive(QueryableByName)]
struct XactStatus {
    #[diesel(sql_type = Nullable<Text>)]
    status: Option<String>,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Bool)]
    found: bool,
}

/// Asks what became of a batch by its transaction's number and by its own row.
///
/// The row alone proves nothing while the old server process may still be committing. The number alone proves nothing
/// after a crash: a transaction of which nothing had reached the disk leaves its number to the next one, which may well
/// commit. So the number says when it is over, and the row, asked for after that, how it ended.
pub fn fate(conn: &mut PgConnection, mark: &State) -> Result<Fate, Error> {
    // This asks for a number itself, which is above all that were handed out: if the transaction's own is not below
    // it, a crash has forgotten that one, and to ask for its status would be an error.
    let status: XactStatus =
        sql_query("SELECT CASE WHEN $1::xid8 < pg_current_xact_id() THEN pg_xact_status($1::xid8) END AS status")
            .bind::<Text, _>(&mark.xid)
            .get_result(conn)?;
    if status.status.as_deref() == Some("in progress") {
        return Ok(Fate::Open);
    }
    let row: Found = sql_query("SELECT EXISTS (SELECT FROM batches WHERE batch_no = $1 AND business_at = $2) AS found")
        .bind::<BigInt, _>(mark.batch_no)
        .bind::<Timestamptz, _>(mark.at)
        .get_result(conn)?;
    Ok(if row.found { Fate::Committed } else { Fate::Aborted })
}

/// A membership found by its reference, with the links that say which other account a conversion needs.
pub struct Located {
    pub hash: DirectoryHash,
    pub account: AccountId,
    pub status: Status,
    pub links: Vec<LinkState>,
}

pub fn locate(conn: &mut PgConnection, hashes: Vec<Uuid>) -> Result<Vec<Located>, Error> {
    let found: Vec<(Uuid, Uuid, i16, String)> = Statement::new(
        "SELECT d.hash, a.account_id, a.status, a.links FROM unnest(?) h(hash) \
         JOIN directory d USING (hash) JOIN accounts a USING (account_id)",
        vec![Column::Uuids(hashes)],
    )
    .of_types::<(SqlUuid, SqlUuid, SmallInt, Text)>()
    .load(conn)?;
    let located = |(hash, account, status, links): (Uuid, Uuid, i16, String)| {
        Ok(Located {
            hash: DirectoryHash(hash),
            account: AccountId(account),
            status: codec::status_from(status)?,
            links: codec::links_from(&links)?,
        })
    };
    Ok(found.into_iter().map(located).collect::<Result<_, Unreadable>>()?)
}

/// The accounts that a command concerns which names something that was there before it.
pub struct Legs {
    pub conversion: Option<ConversionId>,
    pub voucher: Option<(VoucherId, BenefitId)>,
    /// Of a voucher: its brand, and its giver.
    pub direction: Option<(Slug, Slug)>,
    pub accounts: Vec<AccountId>,
}

#[derive(QueryableByName)]
struct LegsSql {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    conversion_id: Option<Uuid>,
    #[diesel(sql_type = SqlUuid)]
    a: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    b: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    from_partner: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    to_partner: Option<String>,
}

/// By id of a conversion, a reversal, what crosses, or a movement.
pub fn legs(conn: &mut PgConnection, ids: Vec<Uuid>) -> Result<BTreeMap<Uuid, Legs>, Error> {
    let found: Vec<LegsSql> = Statement::new(
        "WITH i AS (SELECT unnest(?) AS id) \
         SELECT i.id, c.conversion_id, c.from_account AS a, c.to_account AS b, c.from_partner, c.to_partner FROM i JOIN conversions c ON c.conversion_id = i.id \
         UNION ALL \
         SELECT i.id, c.conversion_id, c.from_account, c.to_account, c.from_partner, c.to_partner FROM i JOIN reversals r ON r.reversal_id = i.id \
         JOIN conversions c ON c.conversion_id = r.conversion_id \
         UNION ALL \
         SELECT i.id, c.conversion_id, c.from_account, c.to_account, c.from_partner, c.to_partner FROM i JOIN crossings c ON c.crossing_id = i.id \
         UNION ALL \
         SELECT i.id, NULL, m.account_id, NULL, NULL, NULL FROM i JOIN movements m ON m.movement_id = i.id",
        vec![Column::Uuids(ids)],
    )
    .load(conn)?;
    let legs = |sql: LegsSql| {
        let accounts = [Some(sql.a), sql.b].into_iter().flatten().map(AccountId).collect();
        let direction = match (&sql.from_partner, &sql.to_partner) {
            (Some(from), Some(to)) => {
                Some((slug("conversions.from_partner", from)?, slug("conversions.to_partner", to)?))
            }
            _ => None,
        };
        let conversion = sql.conversion_id.map(ConversionId);
        Ok((sql.id, Legs { conversion, voucher: None, direction, accounts }))
    };
    Ok(found.into_iter().map(legs).collect::<Result<_, Unreadable>>()?)
}

type VoucherLegsColumns = (SqlUuid, SqlUuid, SqlUuid, SqlUuid, Text, Text);

/// By id of a voucher, or of a use of one. Apart from the others, so that a batch without vouchers asks nothing of them.
pub fn voucher_legs(conn: &mut PgConnection, ids: Vec<Uuid>) -> Result<BTreeMap<Uuid, Legs>, Error> {
    type Row = (Uuid, Uuid, Uuid, Uuid, String, String);
    let found: Vec<Row> = Statement::new(
        "WITH i AS (SELECT unnest(?) AS id) \
         SELECT i.id, v.account_id, v.voucher_id, v.benefit_id, v.brand, v.giver FROM i JOIN vouchers v ON v.voucher_id = i.id \
         UNION ALL \
         SELECT i.id, v.account_id, v.voucher_id, v.benefit_id, v.brand, v.giver FROM i JOIN voucher_uses u ON u.use_id = i.id \
         JOIN vouchers v ON v.voucher_id = u.voucher_id",
        vec![Column::Uuids(ids)],
    )
    .of_types::<VoucherLegsColumns>()
    .load(conn)?;
    let legs = |(id, account, voucher, benefit, brand, giver): Row| {
        let direction = Some((slug("vouchers.brand", &brand)?, slug("vouchers.giver", &giver)?));
        let voucher = Some((VoucherId(voucher), BenefitId(benefit)));
        Ok((id, Legs { conversion: None, voucher, direction, accounts: vec![AccountId(account)] }))
    };
    Ok(found.into_iter().map(legs).collect::<Result<_, Unreadable>>()?)
}

#[derive(QueryableByName)]
struct PersonSql {
    #[diesel(sql_type = SqlUuid)]
    account_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    member_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    own_member_id: Uuid,
    #[diesel(sql_type = Text)]
    partner: String,
}

/// Every membership of the persons whose accounts these are.
pub fn persons(conn: &mut PgConnection, accounts: Vec<Uuid>) -> Result<BTreeMap<AccountId, Person>, Error> {
    let found: Vec<PersonSql> = Statement::new(
        "SELECT account_id, member_id, own_member_id, partner FROM memberships \
         WHERE member_id IN (SELECT member_id FROM memberships WHERE account_id = ANY(?))",
        vec![Column::Uuids(accounts)],
    )
    .load(conn)?;
    let person = |sql: PersonSql| {
        let person = Person {
            member: MemberId(sql.member_id),
            own: MemberId(sql.own_member_id),
            partner: slug("memberships.partner", &sql.partner)?,
        };
        Ok((AccountId(sql.account_id), person))
    };
    Ok(found.into_iter().map(person).collect::<Result<_, Unreadable>>()?)
}

/// What the commands that have their turns decide with.
#[derive(Default)]
pub struct Wanted {
    pub directory: Vec<Uuid>,
    pub accounts: Vec<AccountId>,
    pub exposures: Vec<ExposureKey>,
    pub conversions: Vec<ConversionId>,
    pub movements: Vec<MovementId>,
    pub reversals: Vec<ReversalId>,
    /// Of these conversions, all that crossed or does.
    pub crossings: Vec<ConversionId>,
    /// Of these accounts, all that crosses now.
    pub crossings_of: Vec<AccountId>,
    pub benefits: vouchers::Wished,
}

/// Fills the world. Only with the turns taken: what is read here is what will be written against.
pub fn fill(conn: &mut PgConnection, world: &mut World, wanted: Wanted) -> Result<(), Error> {
    let Wanted { directory, accounts: ids, exposures: keys, mut conversions, mut movements, mut reversals, .. } =
        wanted;
    let Wanted { mut crossings, crossings_of, mut benefits, .. } = wanted;
    let mut crossed = Vec::new();
    let found = if directory.is_empty() { Vec::new() } else { taken(conn, directory)? };
    for (hash, taken) in found {
        match taken.subject {
            Subject::Conversion(id) => {
                conversions.push(id);
                crossings.push(id);
            }
            Subject::Movement(id) => movements.push(id),
            Subject::Reversal(id) => {
                reversals.push(id);
                crossed.push(id.0);
            }
            Subject::Membership(id) if taken.fingerprint.is_none() => {
                world.by_ref.insert(hash, id);
                continue;
            }
            Subject::Voucher(id) => drop(benefits.vouchers.insert(id)),
            // The command itself leads to the voucher.
            Subject::Use(_) | Subject::Code(_) => {}
            Subject::Nothing | Subject::Membership(_) | Subject::Link(_) => {}
        }
        world.taken.insert(hash, taken);
    }
    if !ids.is_empty() {
        world.accounts.extend(accounts(conn, ids)?.into_iter().map(|account| (account.id, account)));
    }
    if !keys.is_empty() {
        exposures(conn, world, keys)?;
    }
    if !conversions.is_empty() {
        let rows = rows::conversions(conn, &conversions)?;
        world.conversions.extend(rows.into_iter().map(|row| (row.id, Arc::new(row))));
    }
    if !movements.is_empty() {
        let rows = rows::movements(conn, &movements)?;
        world.movements.extend(rows.into_iter().map(|row| (row.id, Arc::new(row))));
    }
    if !reversals.is_empty() {
        let rows = rows::reversals(conn, &reversals)?;
        world.reversals.extend(rows.into_iter().map(|row| (row.id, Arc::new(row))));
    }
    let rows = crossings::find(conn, Wished { ids: crossed, conversions: crossings, open_of: crossings_of })?;
    world.crossings.extend(rows.into_iter().map(|row| (row.id, Arc::new(row))));
    vouchers::fill(conn, world, benefits)
}

#[derive(Queryable)]
struct TakenSql {
    hash: Uuid,
    account_id: Option<Uuid>,
    subject: Option<Uuid>,
    kind: i16,
    fingerprint: Option<Uuid>,
    refusal: Option<String>,
}

type TakenColumns = (SqlUuid, Nullable<SqlUuid>, Nullable<SqlUuid>, SmallInt, Nullable<SqlUuid>, Nullable<Text>);

fn taken(conn: &mut PgConnection, hashes: Vec<Uuid>) -> Result<Vec<(DirectoryHash, Taken)>, Error> {
    let found: Vec<TakenSql> = Statement::new(
        "SELECT d.hash, d.account_id, d.subject, d.kind, d.fingerprint, d.refusal::text AS refusal \
         FROM unnest(?) h(hash) JOIN directory d USING (hash)",
        vec![Column::Uuids(hashes)],
    )
    .of_types::<TakenColumns>()
    .load(conn)?;
    let row = |sql: TakenSql| {
        let id = sql.subject.unwrap_or_default();
        let subject = match sql.kind {
            0 => Subject::Nothing,
            1 => Subject::Membership(AccountId(id)),
            2 => Subject::Conversion(ConversionId(id)),
            3 => Subject::Movement(MovementId(id)),
            4 => Subject::Reversal(ReversalId(id)),
            5 => Subject::Link(LinkId(id)),
            6 => Subject::Voucher(VoucherId(id)),
            7 => Subject::Use(UseId(id)),
            8 => Subject::Code(VoucherId(id)),
            other => return Err(Unreadable { column: "directory.kind", value: other.to_string() }),
        };
        let refusal = sql.refusal.as_deref().map(refusal_from).transpose()?;
        let account = sql.account_id.map(AccountId);
        Ok((DirectoryHash(sql.hash), Taken { subject, account, fingerprint: sql.fingerprint, refusal }))
    };
    Ok(found.into_iter().map(row).collect::<Result<_, Unreadable>>()?)
}

/// Whether the directory has any of these.
pub fn is_any_taken(conn: &mut PgConnection, hashes: Vec<Uuid>) -> Result<bool, Error> {
    let found: Vec<bool> = Statement::new(
        "SELECT EXISTS (SELECT FROM unnest(?) h(hash) JOIN directory d USING (hash)) AS found",
        vec![Column::Uuids(hashes)],
    )
    .of_types::<Bool>()
    .load(conn)?;
    Ok(found.contains(&true))
}

/// A refusal as stored under its key.
#[derive(serde::Serialize, serde::Deserialize)]
struct RefusalJson {
    code: String,
    #[serde(with = "codec::uuid_text")]
    request: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nearest: Option<[i64; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unmet: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    redeemed: Option<String>,
}

pub fn refusal_json(refusal: &Refusal) -> String {
    let mut json = RefusalJson {
        code: refusal.code.text().to_owned(),
        request: refusal.request_id,
        nearest: None,
        left: None,
        first: None,
        unmet: None,
        redeemed: None,
    };
    match &refusal.hint {
        // What is not valid is told, never stored.
        Hint::None | Hint::Field { .. } => {}
        Hint::Nearest { below, above } => json.nearest = Some([*below, *above]),
        Hint::Left { points } => json.left = Some(*points),
        Hint::First { id } => json.first = Some(id.clone()),
        Hint::Unmet(unmet) => json.unmet = Some(unmet.code().to_owned()),
        Hint::Redeemed { id } => json.redeemed = Some(id.clone()),
    }
    // Plain strings and numbers always serialise.
    serde_json::to_string(&json).unwrap_or_default()
}

fn refusal_from(text: &str) -> Result<Refusal, Unreadable> {
    let bad = |value: String| Unreadable { column: "directory.refusal", value };
    let json: RefusalJson = serde_json::from_str(text).map_err(|cause| bad(cause.to_string()))?;
    let hint = match json {
        RefusalJson { nearest: Some([below, above]), .. } => Hint::Nearest { below, above },
        RefusalJson { left: Some(points), .. } => Hint::Left { points },
        RefusalJson { first: Some(ref id), .. } => Hint::First { id: id.clone() },
        RefusalJson { redeemed: Some(ref id), .. } => Hint::Redeemed { id: id.clone() },
        RefusalJson { unmet: Some(ref unmet), .. } => {
            Hint::Unmet(Unmet::parse(unmet).ok_or_else(|| bad(unmet.clone()))?)
        }
        _ => Hint::None,
    };
    Ok(Refusal { code: Code::parse(&json.code).ok_or_else(|| bad(json.code))?, request_id: json.request, hint })
}

#[derive(Queryable)]
struct AccountSql {
    account_id: Uuid,
    partner: String,
    status: i16,
    tier: String,
    links: String,
    redatings: Vec<i64>,
    as_of: Option<DateTime<Utc>>,
    balance: i64,
    held: i64,
    owed: i64,
    version: i64,
    entry_no: i64,
    last_batch: i64,
    lots: Vec<i64>,
    usage: Vec<i64>,
}

type AccountColumns = (
    SqlUuid,
    Text,
    SmallInt,
    Text,
    Text,
    Array<BigInt>,
    Nullable<Timestamptz>,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    Array<BigInt>,
    Array<BigInt>,
);

/// Accounts by id, as decisions and pages see them.
pub fn accounts(conn: &mut PgConnection, ids: Vec<AccountId>) -> Result<Vec<Account>, Error> {
    let found: Vec<AccountSql> = Statement::new(
        "SELECT a.account_id, a.partner, a.status, a.tier, a.links, a.redatings, a.as_of, a.balance, a.held, a.owed, a.version, \
         a.entry_no, a.last_batch, a.lots, a.usage FROM unnest(?) i(account_id) JOIN accounts a USING (account_id)",
        vec![Column::Uuids(ids.into_iter().map(|id| id.0).collect())],
    )
    .of_types::<AccountColumns>()
    .load(conn)?;
    Ok(found.into_iter().map(account).collect::<Result<_, Unreadable>>()?)
}

/// Which of these accounts still have these versions.
pub fn unchanged(conn: &mut PgConnection, versions: Vec<(AccountId, i64)>) -> Result<HashSet<AccountId>, Error> {
    let (ids, versions) = versions.into_iter().map(|(id, version)| (id.0, version)).unzip();
    let found: Vec<Uuid> = Statement::new(
        "SELECT a.account_id FROM unnest(?, ?) i(account_id, version) JOIN accounts a USING (account_id) WHERE a.version = i.version",
        vec![Column::Uuids(ids), Column::BigInts(versions)],
    )
    .of_types::<SqlUuid>()
    .load(conn)?;
    Ok(found.into_iter().map(AccountId).collect())
}

fn account(sql: AccountSql) -> Result<Account, Unreadable> {
    Ok(Account {
        id: AccountId(sql.account_id),
        partner: slug("accounts.partner", &sql.partner)?,
        status: codec::status_from(sql.status)?,
        tier: sql.tier,
        balance: codec::points("balance", sql.balance)?,
        held: codec::points("held", sql.held)?,
        owed: codec::points("owed", sql.owed)?,
        lots: codec::lots_from(&sql.lots)?,
        usage: codec::usage_from(&sql.usage)?,
        links: codec::links_from(&sql.links)?,
        redatings: codec::redatings_from(&sql.redatings)?,
        as_of: sql.as_of,
        version: sql.version,
        entry_no: sql.entry_no,
        entry_no_read: sql.entry_no,
        last_batch: sql.last_batch,
    })
}

#[derive(QueryableByName)]
struct ExposureSql {
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = BigInt)]
    value: i64,
    #[diesel(sql_type = BigInt)]
    reserved: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    cap: Option<i64>,
}

fn exposures(conn: &mut PgConnection, world: &mut World, keys: Vec<ExposureKey>) -> Result<(), Error> {
    let texts = keys.iter().map(ExposureKey::text).collect();
    let found: Vec<ExposureSql> = Statement::new(
        "SELECT e.key, e.value, e.reserved, e.cap FROM unnest(?) k(key) JOIN exposures e USING (key)",
        vec![Column::Texts(texts)],
    )
    .load(conn)?;
    for sql in found {
        let key = ExposureKey::parse(&sql.key)
            .ok_or_else(|| Unreadable { column: "exposures.key", value: sql.key.clone() })?;
        let money = Millionths::new;
        let exposure = Exposure { value: money(sql.value), reserved: money(sql.reserved), cap: sql.cap.map(money) };
        world.exposures.insert(key, exposure);
    }
    Ok(())
}

/// Exposure keys of one direction: the pair's and both partners'.
pub fn exposure_keys(from: &Slug, to: &Slug) -> [ExposureKey; 3] {
    [ExposureKey::Pair(from.clone(), to.clone()), ExposureKey::Partner(from.clone()), ExposureKey::Partner(to.clone())]
}
