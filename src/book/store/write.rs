//! Writes what a batch decided: one set-based statement a table, exposures last.

use super::Error;
use super::accounts;
use super::codec::{self, TermsJson};
use super::crossings;
use super::expose;
use super::read::{self, State};
use super::statement::{Column, Group, Statement, lists};
use super::vouchers;
use crate::book::command::{ConversionRow, MovementRow, ReversalRow, ReversalState, TierSource};
use crate::book::engine::account::Entry;
use crate::book::engine::world::{Event, EventData, LinkWrite, MembershipWrite, Subject, World};
use crate::domain::expiry::Expiry;
use crate::domain::points::Points;
use crate::domain::terms::Terms;
use diesel::prelude::*;
use diesel::sql_types::{Text, Uuid as SqlUuid};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// Ids of terms this lane knows to be stored.
#[derive(Default)]
pub struct KnownTerms(HashMap<Terms, Uuid>);

/// Most sets of terms a lane remembers; beyond it, it starts again.
const KNOWN_TERMS_MAX: usize = 4_096;

/// Writes everything; `Err(LostRace)` or `Err(Exposed)` when somebody else was faster.
pub fn batch(conn: &mut PgConnection, known: &mut KnownTerms, state: &State, world: &mut World) -> Result<(), Error> {
    // Before the directory: an erasure frees a reference that may be taken again in the same batch.
    memberships(conn, world)?;
    let told = events(conn, state.batch_no, told_by(&world.writes.conversions), &world.writes.events)?;
    let mut group = Group::default();
    accounts::write(&mut group, state.batch_no, world);
    conversions(conn, &mut group, known, state, world)?;
    crossings::insert(conn, &mut group, known, world)?;
    movements(&mut group, world);
    vouchers::insert(conn, &mut group, world)?;
    directory(&mut group, world);
    batch_row(&mut group, state, world, &told);
    if !group.execute(conn)? {
        return Err(Error::LostRace);
    }
    // Of rows that may be of this very batch.
    links(conn, world)?;
    conversions_changed(conn, world)?;
    crossings::changed(conn, world)?;
    movements_changed(conn, world)?;
    reversals(conn, world)?;
    let mut crossed = vouchers::changed(conn, world)?;
    crossed.extend(expose::exposures(conn, world)?);
    if crossed.is_empty() {
        return Ok(());
    }
    // Rare: a stop line was neared or reached, or a stock is gone, which only the written rows know for certain.
    let told = events(conn, state.batch_no, told, &crossed)?;
    tell_more(conn, state, world, told)
}

fn memberships(conn: &mut PgConnection, world: &World) -> Result<(), Error> {
    // Two updates of one membership in one batch: the later one is what is kept.
    let latest: BTreeMap<_, _> = world.writes.memberships.iter().map(|row| (row.account, row)).collect();
    let rows: Vec<&MembershipWrite> = latest.into_values().collect();
    if !rows.is_empty() {
        let source = |row: &&MembershipWrite| match row.profile.tier_source {
            TierSource::Earned => "earned".to_owned(),
            TierSource::Granted => "granted".to_owned(),
            TierSource::Trial => "trial".to_owned(),
        };
        Statement::new(
            "INSERT INTO memberships (account_id, partner, member_ref, member_id, own_member_id, tier, tier_source, tier_until, \
             status, status_reason, identity, birth_month, member_since, created_at, changed_at) \
             SELECT a, p, r, m, m, t, ts, tu, s, sr, i, b, ms, n, n \
             FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) x(a, p, r, m, t, ts, tu, s, sr, i, b, ms, n) \
             ON CONFLICT (account_id) DO UPDATE SET tier = EXCLUDED.tier, tier_source = EXCLUDED.tier_source, \
             tier_until = EXCLUDED.tier_until, status = EXCLUDED.status, status_reason = EXCLUDED.status_reason, \
             identity = coalesce(EXCLUDED.identity, memberships.identity), \
             birth_month = coalesce(EXCLUDED.birth_month, memberships.birth_month), \
             member_since = coalesce(EXCLUDED.member_since, memberships.member_since), changed_at = EXCLUDED.changed_at",
            vec![
                Column::Uuids(rows.iter().map(|row| row.account.0).collect()),
                Column::Texts(rows.iter().map(|row| row.partner.to_string()).collect()),
                Column::Texts(rows.iter().map(|row| row.profile.member_ref.clone()).collect()),
                Column::Uuids(rows.iter().map(|row| row.fresh_member.0).collect()),
                Column::Texts(rows.iter().map(|row| row.profile.tier.clone()).collect()),
                Column::Texts(rows.iter().map(source).collect()),
                Column::DatesOrNull(rows.iter().map(|row| row.profile.tier_until).collect()),
                Column::Texts(rows.iter().map(|row| codec::status_code(row.status).to_owned()).collect()),
                Column::TextsOrNull(rows.iter().map(|row| row.reason.clone()).collect()),
                Column::TextsOrNull(rows.iter().map(|row| row.profile.identity.clone()).collect()),
                Column::SmallIntsOrNull(rows.iter().map(|row| row.profile.birth_month).collect()),
                Column::DatesOrNull(rows.iter().map(|row| row.profile.member_since).collect()),
                Column::Times(vec![world.now.at; rows.len()]),
            ],
        )
        .execute(conn)?;
    }
    // Said only when they change: tags are words, so that a space parts them.
    let tagged = rows.iter().filter_map(|row| Some((row.account.0, row.profile.tags.as_ref()?.join(" "))));
    let (accounts, tags): (Vec<Uuid>, Vec<String>) = tagged.unzip();
    if !accounts.is_empty() {
        Statement::new(
            "UPDATE memberships m SET tags = string_to_array(x.t, ' ') FROM unnest(?, ?) x(a, t) WHERE m.account_id = x.a",
            vec![Column::Uuids(accounts), Column::Texts(tags)],
        )
        .execute(conn)?;
    }
    if !world.writes.erased.is_empty() {
        let erased = &world.writes.erased;
        Statement::new(
            "WITH e AS (SELECT * FROM unnest(?, ?, ?) x(account_id, hash, at)), d AS (DELETE FROM directory USING e WHERE directory.hash = e.hash) \
             UPDATE memberships m SET member_ref = NULL, status = 'closed', status_reason = NULL, identity = NULL, \
             birth_month = NULL, member_since = NULL, tags = '{}', erased_at = e.at, changed_at = e.at FROM e WHERE m.account_id = e.account_id",
            vec![
                Column::Uuids(erased.iter().map(|(account, _)| account.0).collect()),
                Column::Uuids(erased.iter().map(|(_, hash)| hash.0).collect()),
                Column::Times(vec![world.now.at; erased.len()]),
            ],
        )
        .execute(conn)?;
    }
    Ok(())
}

fn links(conn: &mut PgConnection, world: &World) -> Result<(), Error> {
    for write in &world.writes.links {
        let (sql, columns) = match write {
            LinkWrite::Open { link, a, b, opens_at } => (
                "INSERT INTO links (link_id, a_account, b_account, a_token, b_token, state, opens_at, opened_at) \
                 SELECT l, a, b, at, bt, 'open', o, n FROM unnest(?, ?, ?, ?, ?, ?, ?) x(l, a, b, at, bt, o, n)",
                vec![
                    Column::Uuids(vec![link.0]),
                    Column::Uuids(vec![a.account.0]),
                    Column::Uuids(vec![b.account.0]),
                    Column::Uuids(vec![a.token.0]),
                    Column::Uuids(vec![b.token.0]),
                    Column::Times(vec![*opens_at]),
                    Column::Times(vec![world.now.at]),
                ],
            ),
            LinkWrite::End { link, forget } => (
                "UPDATE links SET state = 'ended', ended_at = x.n, a_token = CASE WHEN x.f THEN NULL ELSE a_token END, \
                 b_token = CASE WHEN x.f THEN NULL ELSE b_token END FROM unnest(?, ?, ?) x(l, n, f) WHERE link_id = x.l",
                vec![Column::Uuids(vec![link.0]), Column::Times(vec![world.now.at]), Column::Bools(vec![*forget])],
            ),
        };
        Statement::new(sql, columns).execute(conn)?;
    }
    if !world.writes.persons.is_empty() {
        let (accounts, members) = world.writes.persons.iter().map(|(account, member)| (account.0, member.0)).unzip();
        Statement::new(
            "UPDATE memberships m SET member_id = x.m FROM unnest(?, ?) x(a, m) WHERE m.account_id = x.a",
            vec![Column::Uuids(accounts), Column::Uuids(members)],
        )
        .execute(conn)?;
    }
    Ok(())
}

#[derive(QueryableByName)]
struct TermsSql {
    #[diesel(sql_type = SqlUuid)]
    terms_id: Uuid,
}

/// The id under which these terms are stored, storing them the first time.
pub(super) fn terms_id(conn: &mut PgConnection, known: &mut KnownTerms, terms: &Terms) -> Result<Uuid, Error> {
    if let Some(id) = known.0.get(terms) {
        return Ok(*id);
    }
    // Plain strings and numbers always serialise.
    let body = serde_json::to_string(&TermsJson::from(terms)).unwrap_or_default();
    diesel::sql_query("INSERT INTO terms (terms_id, body) VALUES ($1, $2::jsonb) ON CONFLICT (body) DO NOTHING")
        .bind::<SqlUuid, _>(Uuid::now_v7())
        .bind::<Text, _>(&body)
        .execute(conn)?;
    let row: TermsSql = diesel::sql_query("SELECT terms_id FROM terms WHERE body = $1::jsonb")
        .bind::<Text, _>(&body)
        .get_result(conn)?;
    if known.0.len() >= KNOWN_TERMS_MAX {
        known.0.clear();
    }
    known.0.insert(terms.clone(), row.terms_id);
    Ok(row.terms_id)
}

impl KnownTerms {
    /// Forgets what may have been rolled back with its transaction.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

fn conversions(
    conn: &mut PgConnection,
    group: &mut Group,
    known: &mut KnownTerms,
    state: &State,
    world: &World,
) -> Result<(), Error> {
    let rows: &[Arc<ConversionRow>] = &world.writes.conversions;
    if rows.is_empty() {
        return Ok(());
    }
    let mut terms = Vec::with_capacity(rows.len());
    // Conversions of a batch share their terms by pointer; a short list is faster than hashing the content.
    let mut seen: Vec<(&Arc<Terms>, Uuid)> = Vec::new();
    for row in rows {
        let id = match seen.iter().find(|(known, _)| Arc::ptr_eq(known, &row.terms)) {
            Some((_, id)) => *id,
            None => {
                let id = terms_id(conn, known, &row.terms)?;
                if seen.len() < 64 {
                    seen.push((&row.terms, id));
                }
                id
            }
        };
        terms.push(id);
    }
    let numbers = |points: &[Points]| points.iter().map(|points| points.get()).collect();
    let mut columns = lists(rows.iter().map(|row| {
        [numbers(&row.bonuses), codec::parcels_numbers(&row.lots_out), codec::parcels_numbers(&row.lots_in)]
    }));
    columns.extend([
        Column::Uuids(rows.iter().map(|row| row.id.0).collect()),
        Column::Uuids(rows.iter().map(|row| row.from_account.0).collect()),
        Column::Uuids(rows.iter().map(|row| row.to_account.0).collect()),
        Column::Texts(rows.iter().map(|row| row.terms.from.to_string()).collect()),
        Column::Texts(rows.iter().map(|row| row.terms.to.to_string()).collect()),
        Column::Integers(rows.iter().map(|row| row.ordinal).collect()),
        Column::Uuids(terms),
        Column::BigInts(rows.iter().map(|row| row.debit.get()).collect()),
        Column::BigInts(rows.iter().map(|row| row.credit.get()).collect()),
        Column::BigInts(rows.iter().map(|row| row.fee.get()).collect()),
        Column::BigInts(rows.iter().map(|row| row.from_entry_no).collect()),
        Column::BigInts(rows.iter().map(|row| row.to_entry_no).collect()),
        Column::Uuids(rows.iter().map(|row| row.from_token.0).collect()),
        Column::Uuids(rows.iter().map(|row| row.to_token.0).collect()),
        Column::TextsOrNull(rows.iter().map(|row| row.reference.clone()).collect()),
        Column::UuidsOrNull(rows.iter().map(|row| row.quote.map(|quote| quote.0)).collect()),
        Column::BigIntsOrNull(rows.iter().map(|row| row.accepted.map(|place| place.batch_no)).collect()),
        Column::IntegersOrNull(rows.iter().map(|row| row.accepted.map(|place| place.ordinal)).collect()),
        Column::DatesOrNull(rows.iter().map(|row| row.accepted.map(|place| place.day)).collect()),
        Column::Bools(rows.iter().map(|row| row.pulled).collect()),
        // One row: the batch's own.
        Column::BigInts(vec![state.batch_no]),
        Column::Uuids(vec![world.window.0]),
        Column::Times(vec![world.now.at]),
        Column::Dates(vec![world.now.day]),
    ]);
    group.add(Statement::new(
        "INSERT INTO conversions (conversion_id, from_account, to_account, from_partner, to_partner, batch_no, ordinal, window_id, \
         terms_id, debit, credit, bonuses, fee, lots_out, lots_in, from_entry_no, to_entry_no, from_token, to_token, reference, \
         quote_id, accepted_batch, accepted_ordinal, accepted_day, pulled, at, day) \
         SELECT i, fa, ta, fp, tp, b, o, w, t, d, c, f.num[bo:lo - 1], fe, f.num[lo:li - 1], f.num[li:le], fn, tn, ft, tt, r, q, ab, ao, ad, pu, n, y \
         FROM (SELECT ?::bigint[] AS num) f, unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         x(bo, lo, li, le, i, fa, ta, fp, tp, o, t, d, c, fe, fn, tn, ft, tt, r, q, ab, ao, ad, pu), unnest(?, ?, ?, ?) z(b, w, n, y)",
        columns,
    ));
    Ok(())
}

fn conversions_changed(conn: &mut PgConnection, world: &World) -> Result<(), Error> {
    let rows: Vec<_> = world.writes.conversions_changed.iter().filter_map(|id| world.conversions.get(id)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    Statement::new(
        "UPDATE conversions c SET undone = x.u, reversed_credit = x.rc, reversed_bonus = x.rb, reversed_debit = x.rd, \
         reversed_fee = x.rf, version = c.version + 1 \
         FROM unnest(?, ?, ?, ?, ?, ?) x(i, u, rc, rb, rd, rf) WHERE c.conversion_id = x.i",
        vec![
            Column::Uuids(rows.iter().map(|row| row.id.0).collect()),
            Column::Bools(rows.iter().map(|row| row.reversed.undone).collect()),
            Column::BigInts(rows.iter().map(|row| row.reversed.credit.get()).collect()),
            Column::BigInts(rows.iter().map(|row| row.reversed.bonus.get()).collect()),
            Column::BigInts(rows.iter().map(|row| row.reversed.debit.get()).collect()),
            Column::BigInts(rows.iter().map(|row| row.reversed.fee.get()).collect()),
        ],
    )
    .execute(conn)?;
    Ok(())
}

fn movements(group: &mut Group, world: &World) {
    let rows: &[Arc<MovementRow>] = &world.writes.movements;
    if rows.is_empty() {
        return;
    }
    let mut columns = lists(rows.iter().map(|row| [codec::parcels_numbers(&row.lots)]));
    columns.extend([
        Column::Uuids(rows.iter().map(|row| row.id.0).collect()),
        Column::Uuids(rows.iter().map(|row| row.account.0).collect()),
        Column::Texts(rows.iter().map(|row| row.partner.to_string()).collect()),
        Column::SmallInts(rows.iter().map(|row| codec::side_number(row.side)).collect()),
        Column::SmallIntsOrNull(rows.iter().map(|row| row.kind.map(codec::credit_kind_number)).collect()),
        Column::BigInts(rows.iter().map(|row| row.points.get()).collect()),
        Column::BigInts(rows.iter().map(|row| row.owed.get()).collect()),
        Column::Texts(rows.iter().map(|row| row.reason.clone()).collect()),
        Column::TextsOrNull(rows.iter().map(|row| row.reference.clone()).collect()),
        Column::DatesOrNull(rows.iter().map(|row| row.available_on).collect()),
        Column::UuidsOrNull(rows.iter().map(|row| row.reverses.map(|id| id.0)).collect()),
        Column::BigInts(rows.iter().map(|row| row.entry_no).collect()),
        Column::BigInts(rows.iter().map(|row| row.batch_no).collect()),
        Column::Times(rows.iter().map(|row| row.at).collect()),
        Column::Dates(rows.iter().map(|row| row.day).collect()),
    ]);
    group.add(Statement::new(
        "INSERT INTO movements (movement_id, account_id, partner, side, kind, points, owed, reason, reference, lots, \
         available_on, reverses, entry_no, batch_no, at, day) \
         SELECT i, a, p, s, k, v, o, r, rf, f.num[l:le], av, rv, e, b, t, d FROM (SELECT ?::bigint[] AS num) f, \
         unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) x(l, le, i, a, p, s, k, v, o, r, rf, av, rv, e, b, t, d)",
        columns,
    ));
}

fn movements_changed(conn: &mut PgConnection, world: &World) -> Result<(), Error> {
    let changed: Vec<_> = world.writes.movements_changed.iter().filter_map(|id| world.movements.get(id)).collect();
    if !changed.is_empty() {
        Statement::new(
            "UPDATE movements m SET reversed = x.r, version = m.version + 1 FROM unnest(?, ?) x(i, r) WHERE m.movement_id = x.i",
            vec![
                Column::Uuids(changed.iter().map(|row| row.id.0).collect()),
                Column::BigInts(changed.iter().map(|row| row.reversed.get()).collect()),
            ],
        )
        .execute(conn)?;
    }
    Ok(())
}

/// New reversals and those that were confirmed; a row has one shape, so one upsert serves both.
fn reversals(conn: &mut PgConnection, world: &World) -> Result<(), Error> {
    let ids = world.writes.reversals.iter().chain(&world.writes.reversals_changed);
    let rows: Vec<&ReversalRow> = ids.filter_map(|id| world.reversals.get(id)).map(Arc::as_ref).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let state = |row: &&ReversalRow| match row.state {
        ReversalState::Requested => 0,
        ReversalState::Completed => 1,
        ReversalState::Pending => 2,
        ReversalState::Refused => 3,
    };
    let mut columns =
        lists(rows.iter().map(|row| {
            [codec::parcels_numbers(&row.lots_back), row.bonuses.iter().map(|points| points.get()).collect()]
        }));
    columns.extend([
        Column::Uuids(rows.iter().map(|row| row.id.0).collect()),
        Column::Uuids(rows.iter().map(|row| row.conversion.0).collect()),
        Column::Bools(rows.iter().map(|row| row.undo).collect()),
        Column::SmallInts(rows.iter().map(state).collect()),
        Column::Texts(rows.iter().map(|row| row.asked_by.to_string()).collect()),
        Column::Bools(rows.iter().map(|row| row.needs_confirmation).collect()),
        Column::BigInts(rows.iter().map(|row| row.credit.get()).collect()),
        Column::BigInts(rows.iter().map(|row| row.bonus.get()).collect()),
        Column::BigInts(rows.iter().map(|row| row.debit.get()).collect()),
        Column::BigInts(rows.iter().map(|row| row.fee.get()).collect()),
        Column::Texts(rows.iter().map(|row| row.reason.clone()).collect()),
        Column::TextsOrNull(rows.iter().map(|row| row.reference.clone()).collect()),
        Column::Uuids(rows.iter().map(|row| row.window.0).collect()),
        Column::BigInts(rows.iter().map(|row| row.batch_no).collect()),
        Column::Times(rows.iter().map(|row| row.at).collect()),
        Column::Dates(rows.iter().map(|row| row.day).collect()),
    ]);
    Statement::new(
        "INSERT INTO reversals (reversal_id, conversion_id, undo, state, asked_by, needs_confirmation, credit, bonus, debit, fee, \
         lots_back, bonuses, reason, reference, window_id, batch_no, at, day) \
         SELECT i, c, u, s, a, nc, cr, bo, de, fe, f.num[l:bs - 1], f.num[bs:le], r, rf, w, b, t, d FROM (SELECT ?::bigint[] AS num) f, \
         unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) x(l, bs, le, i, c, u, s, a, nc, cr, bo, de, fe, r, rf, w, b, t, d) \
         ON CONFLICT (reversal_id) DO UPDATE SET state = EXCLUDED.state, bonus = EXCLUDED.bonus, debit = EXCLUDED.debit, \
         fee = EXCLUDED.fee, lots_back = EXCLUDED.lots_back, bonuses = EXCLUDED.bonuses, window_id = EXCLUDED.window_id, batch_no = EXCLUDED.batch_no, \
         at = EXCLUDED.at, day = EXCLUDED.day, version = reversals.version + 1",
        columns,
    )
    .execute(conn)?;
    Ok(())
}

fn directory(group: &mut Group, world: &World) {
    let mut rows: Vec<_> = world.writes.directory.iter().collect();
    if rows.is_empty() {
        return;
    }
    // In key order, so that two servers that write the same keys do not wait for each other.
    rows.sort_unstable_by_key(|(hash, _)| *hash);
    let (mut subjects, mut kinds) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for (_, row) in &rows {
        let (kind, subject) = match row.subject {
            Subject::Nothing => (0, None),
            Subject::Membership(id) => (1, Some(id.0)),
            Subject::Conversion(id) => (2, Some(id.0)),
            Subject::Movement(id) => (3, Some(id.0)),
            Subject::Reversal(id) => (4, Some(id.0)),
            Subject::Link(id) => (5, Some(id.0)),
            Subject::Voucher(id) => (6, Some(id.0)),
            Subject::Use(id) => (7, Some(id.0)),
            Subject::Code(id) => (8, Some(id.0)),
        };
        kinds.push(kind);
        subjects.push(subject);
    }
    group.add(Statement::new(
        "INSERT INTO directory (hash, account_id, subject, kind, fingerprint, refusal) \
         SELECT h, a, s, k, f, r::jsonb FROM unnest(?, ?, ?, ?, ?, ?) x(h, a, s, k, f, r)",
        vec![
            Column::Uuids(rows.iter().map(|(hash, _)| hash.0).collect()),
            Column::UuidsOrNull(rows.iter().map(|(_, row)| row.account.map(|id| id.0)).collect()),
            Column::UuidsOrNull(subjects),
            Column::SmallInts(kinds),
            Column::UuidsOrNull(rows.iter().map(|(_, row)| row.fingerprint).collect()),
            Column::TextsOrNull(rows.iter().map(|(_, row)| row.refusal.as_ref().map(read::refusal_json)).collect()),
        ],
    ));
}

/// A conversion is its own event for either side: how many each partner is told, before any other event of the batch.
fn told_by(conversions: &[Arc<ConversionRow>]) -> BTreeMap<String, i32> {
    let mut counts: BTreeMap<&str, i32> = BTreeMap::new();
    // One that crossed is told when its points are captured, by an event of its own.
    for row in conversions.iter().filter(|row| row.accepted.is_none()) {
        *counts.entry(row.terms.from.as_str()).or_default() += 1;
        *counts.entry(row.terms.to.as_str()).or_default() += 1;
    }
    counts.into_iter().map(|(partner, count)| (partner.to_owned(), count)).collect()
}

/// Writes events after those counted, dense per partner, and returns how many each partner has now.
fn events(
    conn: &mut PgConnection,
    batch_no: i64,
    mut counts: BTreeMap<String, i32>,
    rows: &[Event],
) -> Result<BTreeMap<String, i32>, Error> {
    if rows.is_empty() {
        return Ok(counts);
    }
    let (mut partners, mut ordinals) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for row in rows {
        let partner = row.partner.to_string();
        let count = counts.entry(partner.clone()).or_default();
        *count += 1;
        ordinals.push(*count);
        partners.push(partner);
    }
    Statement::new(
        "INSERT INTO events (partner, batch_no, ordinal, event_id, kind, subject, body) \
         SELECT p, b, o, e, k, s, y::jsonb FROM unnest(?, ?, ?, ?, ?, ?, ?) x(p, b, o, e, k, s, y)",
        vec![
            Column::Texts(partners),
            Column::BigInts(vec![batch_no; rows.len()]),
            Column::Integers(ordinals),
            Column::Uuids(rows.iter().map(|row| row.id).collect()),
            Column::SmallInts(rows.iter().map(|row| row.kind.number()).collect()),
            Column::Uuids(rows.iter().map(|row| row.subject).collect()),
            Column::TextsOrNull(rows.iter().map(event_json).collect()),
        ],
    )
    .execute(conn)?;
    Ok(counts)
}

fn event_json(event: &Event) -> Option<String> {
    let body = match &event.data {
        EventData::FromRow => return None,
        EventData::Written(body) => return Some(body.clone()),
        EventData::Membership { account, status, tier } => serde_json::json!({
            "membership_id": account.to_string(), "status": codec::status_code(*status), "tier": tier,
        }),
        EventData::Link { link, account } => serde_json::json!({
            "link_id": link.to_string(), "membership_id": account.to_string(),
        }),
        EventData::Movement { account, movement, points, owed } => serde_json::json!({
            "membership_id": account.to_string(), "credit_id": movement.to_string(), "points": points.get(), "owed": owed.get(),
        }),
        EventData::Expired { account, points, last_day } => serde_json::json!({
            "membership_id": account.to_string(), "points": points.get(),
            "expires_on": match last_day { Expiry::On(day) => Some(day.to_string()), Expiry::Never => None },
        }),
        EventData::Crossing { conversion, crossing, kind, cause } => {
            crossings::told(*conversion, *crossing, *kind, cause)
        }
        EventData::Voucher { voucher, redemption } => vouchers::told(voucher, redemption.as_deref(), &event.partner),
        EventData::SoldOut { benefit, quota } => serde_json::json!({
            "benefit_id": benefit.to_string(), "quota": quota,
        }),
        EventData::Exposure { key, value, cap } => serde_json::json!({
            "exposure": key, "value": value.to_string(), "limit": cap.to_string(),
        }),
    };
    Some(body.to_string())
}

/// The batch itself: its lines of the journal, and how many events it tells each partner.
fn batch_row(group: &mut Group, state: &State, world: &World, told: &BTreeMap<String, i32>) {
    let (partners, counts): (Vec<String>, Vec<i32>) =
        told.iter().map(|(partner, count)| (partner.clone(), *count)).unzip();
    // A batch that tells nobody anything needs no number from the sealer.
    let sealed = partners.is_empty();
    let entries = &world.writes.entries;
    group.add(Statement::new(
        "INSERT INTO batches (entry_partners, partners, event_counts, entry_accounts, entry_numbers, entry_kinds, entry_deltas, \
         entry_subjects, entry_previous, batch_no, window_id, business_at, day, sealed) \
         SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, b, w, a, d, s FROM unnest(?, ?, ?, ?, ?) x(b, w, a, d, s)",
        vec![
            Column::SmallInts(whose(world, &partners)),
            Column::Texts(partners),
            Column::Integers(counts),
            Column::Uuids(entries.iter().map(|entry| entry.account.0).collect()),
            Column::BigInts(entries.iter().map(|entry| entry.entry_no).collect()),
            Column::SmallInts(entries.iter().map(|entry| entry.kind.number()).collect()),
            Column::BigInts(entries.iter().map(|entry| entry.delta).collect()),
            Column::UuidsOrNull(entries.iter().map(|entry| entry.subject).collect()),
            Column::BigInts(entries.iter().map(|entry| entry.previous).collect()),
            Column::BigInts(vec![state.batch_no]),
            Column::Uuids(vec![state.window_id]),
            Column::Times(vec![state.at]),
            Column::Dates(vec![world.now.day]),
            Column::Bools(vec![sealed]),
        ],
    ));
}

/// Whose each line is, as a place among those told, from 1; 0 when that partner is told nothing.
fn whose(world: &World, told: &[String]) -> Vec<i16> {
    let place = |entry: &Entry| {
        let partner = world.accounts.get(&entry.account).map(|account| account.partner.as_str());
        let place = told.iter().position(|told| Some(told.as_str()) == partner).map_or(0, |at| at + 1);
        i16::try_from(place).unwrap_or_default()
    };
    world.writes.entries.iter().map(place).collect()
}

/// Counts what is told beside what the batch's row already says.
fn tell_more(conn: &mut PgConnection, state: &State, world: &World, told: BTreeMap<String, i32>) -> Result<(), Error> {
    let (partners, counts): (Vec<String>, Vec<i32>) = told.into_iter().unzip();
    Statement::new(
        "UPDATE batches b SET entry_partners = ?, partners = ?, event_counts = ?, sealed = false FROM unnest(?) n(batch_no) \
         WHERE b.batch_no = n.batch_no",
        vec![
            Column::SmallInts(whose(world, &partners)),
            Column::Texts(partners),
            Column::Integers(counts),
            Column::BigInts(vec![state.batch_no]),
        ],
    )
    .execute(conn)?;
    Ok(())
}
