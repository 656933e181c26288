//! Putting and approving benefits: the giver says what it offers, and who else is to pay says yes to exactly that first.

use super::{Vouchers, benefit_id, code_hash};
use crate::book::exposures::{self, ExposureKey};
use crate::book::fence;
use crate::domain::benefit::{Benefit, Ladder, Payer};
use crate::domain::catalogue::{Catalogue, PartnerStatus};
use crate::domain::holder::Holder;
use crate::domain::ids::{BenefitId, Slug};
use crate::service::exchange::{Error, Exchange, Fault};
use crate::signing::canonical;
use crate::signing::digest::Sha256;
use crate::store::benefits::{self, BenefitJson, OPERATOR, Pool, PooledCode, Row, Search, TierMaps, Unfit, payer_text};
use crate::store::catalogue;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Quarters of a second to wait for the fence: half a minute.
const FENCE_ROUNDS: u32 = 120;
/// Codes in one upload.
pub const CODES_MAX: usize = 10_000;
/// Characters of a giver's own code.
const CODE_MAX: usize = 64;

impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Error {
        Error::Invalid(vec![Fault { pointer: unfit.pointer, detail: unfit.detail }])
    }
}

/// Whether a text may be a giver's own code for a benefit: it is part of addresses.
pub fn is_code(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('-')
}

/// Whether a list may go on after this benefit: what is typed into an address is anything.
pub fn is_place(giver: &str, code: &str) -> bool {
    giver.parse::<Slug>().is_ok() && is_code(code)
}

/// Puts a benefit: a new version of it if it differs from what stands, in force at once. Vouchers that were claimed keep
/// the terms they were claimed under.
pub async fn put(
    exchange: &Exchange,
    giver: &Slug,
    code: String,
    document: BenefitJson,
    by: String,
) -> Result<Row, Error> {
    put_and(exchange, giver, code, document, by, |_, _| Ok(())).await
}

/// The same; a new version is shown to `also` in the transaction that writes it.
async fn put_and(
    exchange: &Exchange,
    giver: &Slug,
    code: String,
    document: BenefitJson,
    by: String,
    also: impl FnOnce(&mut PgConnection, &Row) -> Result<(), Error> + Send + 'static,
) -> Result<Row, Error> {
    if !is_code(&code) {
        return Err(Error::field("/id", "must be 1 to 63 of a-z, 0-9 and -"));
    }
    document.in_calendar()?;
    let (catalogue, giver) = (exchange.catalogue.load_full(), giver.clone());
    let id = benefit_id(&giver, &code);
    let unit = move |conn: &mut PgConnection| {
        conn.transaction(|conn| {
            let look = |conn: &mut PgConnection| {
                let known = benefits::find(conn, &[id])?.pop();
                let version = known.as_ref().map_or(0, |row| row.benefit.version);
                let wanted = document.clone().checked(id, giver.clone(), code.clone(), version)?;
                fits(&catalogue, &wanted)?;
                Ok::<_, Error>((known, wanted))
            };
            // What changes nothing keeps nobody waiting.
            let (known, wanted) = look(conn)?;
            if let Some(row) = known.filter(|row| row.benefit == wanted) {
                return Ok(row);
            }
            fence::exclusive(conn, FENCE_ROUNDS)?;
            let (known, wanted) = look(conn)?;
            let version = wanted.version;
            if known.is_some_and(|row| row.taken > 0 && row.benefit.pooled != wanted.pooled) {
                return Err(Error::field("/codes", "must stay as it is: vouchers have been claimed"));
            }
            let benefit = Benefit { version: version + 1, ..wanted };
            let at = catalogue::business_now(conn)?;
            let maps = tier_maps(conn, &giver)?;
            benefits::put(conn, &benefit, &payers(&benefit, &maps)?, &by, at)?;
            let row = benefits::find(conn, &[id])?.pop().ok_or(Error::Broken("a benefit was put and is not there"))?;
            also(conn, &row)?;
            Ok(row)
        })
    };
    exchange.database.run(unit).await
}

/// Opens or closes the giver's own benefit, as it was read in `version`; `also` as above.
pub async fn set_open(
    exchange: &Exchange,
    giver: &Slug,
    id: BenefitId,
    (version, open): (i64, bool),
    by: String,
    also: impl FnOnce(&mut PgConnection, &Row) -> Result<(), Error> + Send + 'static,
) -> Result<Row, Error> {
    let row = get(exchange, &Holder::Partner(giver.clone()), id).await?;
    if row.benefit.giver != *giver {
        return Err(Error::NotFound);
    }
    if row.benefit.version != version {
        return Err(Error::field("/version", "must be the version that stands: read it again"));
    }
    let state = if open { "open" } else { "closed" };
    let document = BenefitJson { state: Some(state.to_owned()), ..BenefitJson::from(&row.benefit) };
    put_and(exchange, giver, row.benefit.code, document, by, also).await
}

/// What only the catalogue can tell of a benefit.
fn fits(catalogue: &Catalogue, benefit: &Benefit) -> Result<(), Error> {
    let fault = |at: usize, member: &str, detail| {
        Err(Error::Invalid(vec![Fault { pointer: format!("/offers/{at}/{member}"), detail }]))
    };
    let giver = catalogue.partners.get(&benefit.giver).ok_or(Error::Forbidden)?;
    if giver.status == PartnerStatus::Left {
        return Err(Error::Forbidden);
    }
    for (at, offer) in benefit.offers.iter().enumerate() {
        let Some(brand) = catalogue.partners.get(&offer.to) else {
            return fault(at, "to", "must be a partner of the alliance");
        };
        let ladder = match offer.ladder {
            Ladder::Brand => &brand.programme,
            Ladder::Giver => &giver.programme,
        };
        if offer.tiers.iter().any(|tier| ladder.tier(tier).is_none()) {
            return fault(at, "tiers", "must be tiers of that ladder");
        }
    }
    Ok(())
}

/// Who pays beside the giver, each with the digest of what it pays for: the benefit but for its names and the offers to
/// others, and its own offers whole; where the giver's ladder counts, with the tiers that lead to those of the offer.
fn payers(benefit: &Benefit, maps: &TierMaps) -> Result<BTreeMap<String, String>, Error> {
    let document = serde_json::to_value(BenefitJson::from(benefit));
    let Ok(Value::Object(mut bargain)) = document else { return Err(Error::Broken("a benefit is no JSON")) };
    // Another picture or name is no other bargain, nor is a pause.
    bargain.retain(|member, _| !["name", "description", "state"].contains(&member.as_str()));
    let Some(Value::Array(offers)) = bargain.remove("offers") else { return Err(Error::Broken("no offers")) };
    let mut paid: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (offer, mut json) in benefit.offers.iter().zip(offers) {
        if offer.ladder == Ladder::Giver {
            let all = maps.get(offer.to.as_str()).into_iter().flatten();
            let led: BTreeMap<_, _> = all.filter(|(_, recognised)| offer.tiers.contains(recognised)).collect();
            json["recognised"] = json!(led);
        }
        if let Some(payer) = benefit.payer(offer) {
            paid.entry(payer_text(payer).to_owned()).or_default().push(json);
        }
    }
    let digest = |(payer, offers): (String, Vec<Value>)| {
        let bytes = canonical::to_vec(&json!({ "id": benefit.id.to_string(), "benefit": bargain, "offers": offers }));
        let bytes = bytes.map_err(|_| Error::Broken("a bargain is not canonical"))?;
        let mut hash = Sha256::default();
        hash.update(&bytes);
        Ok((payer, hash.finish().iter().map(|byte| format!("{byte:02x}")).collect()))
    };
    paid.into_iter().map(digest).collect()
}

/// What a holder may see: a partner its own and those offered to its members, an operator all.
pub(super) fn is_seen(row: &Row, reader: &Holder) -> bool {
    match reader {
        Holder::Operator(_) => true,
        Holder::Partner(slug) => row.benefit.giver == *slug || row.benefit.offers.iter().any(|offer| offer.to == *slug),
    }
}

/// One benefit as it stands.
pub async fn get(exchange: &Exchange, reader: &Holder, id: BenefitId) -> Result<Row, Error> {
    let reader = reader.clone();
    let found = exchange.database.run(move |conn| Ok::<_, Error>(benefits::find(conn, &[id])?.pop())).await?;
    found.filter(|row| is_seen(row, &reader)).ok_or(Error::NotFound)
}

/// Benefits by giver and code from `after` on, at most `limit`: those the reader may see.
pub async fn list(
    exchange: &Exchange,
    reader: &Holder,
    giver: Option<Slug>,
    after: Option<(String, String)>,
    limit: i64,
) -> Result<Vec<Row>, Error> {
    let seen_by = match reader {
        Holder::Partner(slug) => Some(slug.clone()),
        Holder::Operator(_) => None,
    };
    let search = Search { seen_by, giver, after, ..Search::default() };
    exchange.database.run(move |conn| Ok::<_, Error>(benefits::list(conn, &search, limit)?)).await
}

/// Who pays for another's benefit says yes to the version it has read; said again, it is the same yes.
pub async fn approve(
    exchange: &Exchange,
    holder: &Holder,
    id: BenefitId,
    version: i64,
    by: String,
) -> Result<Row, Error> {
    approve_and(exchange, holder, id, version, by, |_, _| Ok(())).await
}

/// The same; a yes that was not said before is shown to `also` in the transaction that writes it.
pub async fn approve_and(
    exchange: &Exchange,
    holder: &Holder,
    id: BenefitId,
    version: i64,
    by: String,
    also: impl FnOnce(&mut PgConnection, &Row) -> Result<(), Error> + Send + 'static,
) -> Result<Row, Error> {
    let holder = holder.clone();
    let unit = move |conn: &mut PgConnection| {
        conn.transaction(|conn| {
            let look = |conn: &mut PgConnection| {
                let (row, digest) = paid(conn, &holder, id)?;
                if row.benefit.version != version {
                    return Err(Error::field("/version", "must be the version that stands: read it again"));
                }
                Ok((row, digest))
            };
            // Who may not say it keeps nobody waiting.
            look(conn)?;
            fence::exclusive(conn, FENCE_ROUNDS)?;
            let (row, digest) = look(conn)?;
            let (payer, digest) = (paying(&holder), digest.as_str());
            let is_new = row.approved.iter().all(|known| known != payer);
            let at = catalogue::business_now(conn)?;
            benefits::approve(conn, id, payer, (digest, version), &by, at)?;
            expose(conn, &row.benefit)?;
            let row = benefits::find(conn, &[id])?.pop().ok_or(Error::NotFound)?;
            if is_new {
                also(conn, &row)?;
            }
            Ok(row)
        })
    };
    exchange.database.run(unit).await
}

/// Who pays for another's benefit takes its yes back: there are no claims of it from then on, and vouchers that were claimed
/// stay. Said again, it is the same; what was taken back is shown to `also` in the transaction that writes it.
pub async fn withdraw_and(
    exchange: &Exchange,
    holder: &Holder,
    id: BenefitId,
    by: String,
    also: impl FnOnce(&mut PgConnection, &Row) -> Result<(), Error> + Send + 'static,
) -> Result<Row, Error> {
    let holder = holder.clone();
    let unit = move |conn: &mut PgConnection| {
        conn.transaction(|conn| {
            let payer = paying(&holder);
            let stands = |row: &Row| row.approved.iter().any(|known| known == payer);
            // Who has nothing to take back keeps nobody waiting.
            let (row, _) = paid(conn, &holder, id)?;
            if !stands(&row) {
                return Ok(row);
            }
            fence::exclusive(conn, FENCE_ROUNDS)?;
            let (row, _) = paid(conn, &holder, id)?;
            if !stands(&row) {
                return Ok(row);
            }
            let at = catalogue::business_now(conn)?;
            benefits::withdraw(conn, id, payer, &by, at)?;
            let (row, _) = paid(conn, &holder, id)?;
            also(conn, &row)?;
            Ok(row)
        })
    };
    exchange.database.run(unit).await
}

/// As whom a holder pays.
fn paying(holder: &Holder) -> &str {
    match holder {
        Holder::Partner(slug) => slug.as_str(),
        Holder::Operator(_) => OPERATOR,
    }
}

/// A benefit as it stands with the digest of what this holder pays for in it.
fn paid(conn: &mut PgConnection, holder: &Holder, id: BenefitId) -> Result<(Row, String), Error> {
    let row = benefits::find(conn, &[id])?.pop().filter(|row| is_seen(row, holder)).ok_or(Error::NotFound)?;
    let digest = row.payers.get(paying(holder)).cloned().ok_or(Error::Forbidden)?;
    Ok((row, digest))
}

/// What is owed for a benefit between two partners without an agreement has an exposure of its own, without a stop line.
fn expose(conn: &mut PgConnection, benefit: &Benefit) -> QueryResult<()> {
    for offer in &benefit.offers {
        if let Some(Payer::Partner(brand)) = benefit.payer(offer) {
            exposures::keep(conn, &ExposureKey::Pair(brand.clone(), benefit.giver.clone()))?;
        }
    }
    Ok(())
}

/// Adds codes to the pool of the giver's own benefit; those that are there already are passed over.
pub async fn add_codes(
    exchange: &Exchange,
    vouchers: &Vouchers,
    giver: &Slug,
    id: BenefitId,
    codes: Vec<String>,
) -> Result<(usize, Pool), Error> {
    if codes.is_empty() || codes.len() > CODES_MAX {
        return Err(Error::field("/codes", "must be 1 to 10000 codes"));
    }
    let plain = |code: &String| (1..=CODE_MAX).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_graphic());
    if let Some(at) = codes.iter().position(|code| !plain(code)) {
        let pointer = format!("/codes/{at}");
        return Err(Error::Invalid(vec![Fault { pointer, detail: "must be 1 to 64 visible ASCII characters" }]));
    }
    let sealed = codes.iter().map(|code| {
        let hash = code_hash(giver, code).0;
        let sealed = vouchers.sealing.seal(&hash.to_string(), code.as_bytes());
        Ok(PooledCode { hash, sealed: sealed.map_err(|_| Error::Broken("a code cannot be sealed"))? })
    });
    let sealed = sealed.collect::<Result<Vec<_>, Error>>()?;
    let giver = giver.clone();
    let unit = move |conn: &mut PgConnection| {
        conn.transaction(|conn| {
            let look = |conn: &mut PgConnection| {
                let row = benefits::find(conn, &[id])?.pop().filter(|row| row.benefit.giver == giver);
                let row = row.ok_or(Error::NotFound)?;
                if !row.benefit.pooled {
                    return Err(Error::field("/codes", "must not be uploaded: codes of this benefit are made"));
                }
                Ok(row)
            };
            look(conn)?;
            fence::exclusive(conn, FENCE_ROUNDS)?;
            let row = look(conn)?;
            let at: DateTime<Utc> = catalogue::business_now(conn)?;
            let added = benefits::add_codes(conn, id, &sealed, at)?;
            benefits::stock(conn, &row.benefit)?;
            Ok((added, benefits::pool(conn, id)?))
        })
    };
    exchange.database.run(unit).await
}

/// The pool of the giver's own benefit in numbers.
pub async fn pool(exchange: &Exchange, giver: &Slug, id: BenefitId) -> Result<Pool, Error> {
    let giver = giver.clone();
    let unit = move |conn: &mut PgConnection| {
        let row = benefits::find(conn, &[id])?.pop().filter(|row| row.benefit.giver == giver && row.benefit.pooled);
        row.ok_or(Error::NotFound)?;
        Ok::<_, Error>(benefits::pool(conn, id)?)
    };
    exchange.database.run(unit).await
}

/// What the giver sees in the tiers of all others.
fn tier_maps(conn: &mut PgConnection, giver: &Slug) -> Result<TierMaps, Error> {
    let mut maps = TierMaps::new();
    for one in benefits::recognised(conn, &[giver.to_string()])? {
        maps.entry(one.brand).or_default().insert(one.tier, one.recognised);
    }
    Ok(maps)
}

/// Says which tier of the giver's own ladder it sees in each earned tier of another brand. Benefits whose payers would pay for
/// others by it have a new version, which asks for a new yes.
pub async fn recognise(
    exchange: &Exchange,
    giver: &Slug,
    brand: Slug,
    tiers: BTreeMap<String, String>,
    by: String,
) -> Result<BTreeMap<String, String>, Error> {
    let catalogue = exchange.catalogue.load_full();
    let theirs = catalogue.partners.get(&brand).filter(|_| brand != *giver).ok_or(Error::NotFound)?;
    let own = catalogue.partners.get(giver).ok_or(Error::Forbidden)?;
    let fits = |(tier, recognised): (&String, &String)| {
        theirs.programme.tier(tier).is_some() && own.programme.tier(recognised).is_some()
    };
    if !tiers.iter().all(fits) {
        return Err(Error::field("/tiers", "must lead from tiers of that brand to tiers of yours"));
    }
    let giver = giver.clone();
    let unit = move |conn: &mut PgConnection| {
        conn.transaction(|conn| {
            fence::exclusive(conn, FENCE_ROUNDS)?;
            let before = tier_maps(conn, &giver)?;
            benefits::put_recognised(conn, &giver, &brand, &tiers)?;
            let maps = tier_maps(conn, &giver)?;
            if maps != before {
                renew(conn, (&giver, &brand), &maps, &by)?;
            }
            Ok::<_, Error>(tiers)
        })
    };
    exchange.database.run(unit).await
}

/// Puts benefits again whose payers pay for something else by a changed map. As a new version, so that nobody approves of
/// it by one that was read before.
fn renew(conn: &mut PgConnection, (giver, brand): (&Slug, &Slug), maps: &TierMaps, by: &str) -> Result<(), Error> {
    let at = catalogue::business_now(conn)?;
    for row in benefits::on_own_ladder(conn, giver, brand)? {
        let payers = payers(&row.benefit, maps)?;
        if payers != row.payers {
            let benefit = Benefit { version: row.benefit.version + 1, ..row.benefit };
            benefits::put(conn, &benefit, &payers, by, at)?;
        }
    }
    Ok(())
}
