//! The stock of benefits, and the codes of their pools.

use super::Error;
use super::codec::Unreadable;
use super::rows::slug;
use super::statement::{Column, Statement};
use crate::book::engine::world::{Event, EventData, EventKind, World};
use crate::book::voucher::Offered;
use crate::domain::ids::BenefitId;
use crate::store::benefits;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Uuid as SqlUuid};
use std::sync::Arc;
use uuid::Uuid;

/// Benefits as a batch decides with them, with what is taken of each.
pub(super) fn fill(conn: &mut PgConnection, world: &mut World, ids: &[BenefitId]) -> Result<(), Error> {
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

/// Gives each voucher of a pool, when it is issued, the next code that nobody else is about to take. The stock never allows
/// more of them than there are codes.
pub(super) fn give_codes(conn: &mut PgConnection, world: &World) -> Result<(), Error> {
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
pub(super) fn moved(conn: &mut PgConnection, world: &World) -> Result<Vec<Event>, Error> {
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
