//! Settlement as finance reads it on its pages: windows with how far they have come, the lines behind a figure, what there
//! is to sign and to pay. A partner is shown its own, an operator everybody's; what is another partner's is not found.

use super::reports::Name;
use super::statement::hex;
use super::view::{self, Asked, Seen, SeenObligation, SeenStatement, Which};
use super::{Error, broken, close, find, gather, pay};
use crate::book::windows::Which::Numbered;
use crate::domain::holder::Holder;
use crate::domain::ids::{ConversionId, LineId, ReversalId, Slug, WindowId};
use crate::domain::money::Millionths;
use crate::domain::settlement::Participant;
use crate::domain::settlement::statement::State;
use crate::domain::settlement::tally::Sort;
use crate::domain::settlement::window;
use crate::service::exchange::Exchange;
use crate::service::reports::Form;
use crate::signing::digest::Sha256;
use crate::signing::general::TYP;
use crate::signing::jwk::PublicKey;
use crate::store::settlement::{lines, obligations, statements, windows};
use crate::store::{catalogue, signing_keys};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::NaiveDate;
use diesel::PgConnection;
use serde::Deserialize;
use std::borrow::Cow;
use std::str::FromStr;

/// Lines of one page.
const LINES: usize = 100;
/// Chunks read for one page, of some 1,000 lines each: where few lines are of a figure, the next page goes on behind them.
const CHUNKS: usize = 32;
/// Keys of a partner that are shown.
const KEYS: i64 = 100;

/// Whose settlement somebody reads who names nobody.
pub fn own(holder: &Holder) -> Participant {
    match holder {
        Holder::Partner(slug) => Participant::from(slug),
        Holder::Operator(_) => Participant::operator(),
    }
}

/// The participant that is named, if `holder` may read what is its own.
pub fn whose(holder: &Holder, named: &str) -> Result<Participant, Error> {
    let named = Participant::parse(named).ok_or(Error::NotFound)?;
    match holder {
        Holder::Partner(slug) if named != Participant::from(slug) => Err(Error::NotFound),
        Holder::Partner(_) | Holder::Operator(_) => Ok(named),
    }
}

/// What a report is made of for `holder`; without a name of everybody, or of a partner itself.
pub fn asked(
    holder: &Holder,
    name: Name,
    window: Option<Which>,
    named: Option<&str>,
    form: Form,
) -> Result<Asked, Error> {
    let named = named.map(|named| whose(holder, named)).transpose()?;
    let (participant, published) = match holder {
        Holder::Partner(_) if !name.is_for_partners() => return Err(Error::NotFound),
        Holder::Partner(slug) => (Some(Participant::from(slug)), true),
        Holder::Operator(_) => (named.filter(|_| name.is_for_partners()), false),
    };
    let missing = name.needs_participant() && participant.is_none() || name.needs_window() && window.is_none();
    if missing { Err(Error::NotFound) } else { Ok(Asked { name, window, participant, form, section: None, published }) }
}

/// A window in the list.
#[derive(Clone, Debug)]
pub struct Listed {
    pub seen: Seen,
    /// What is owed for it, by and to whom the reader may see, and how much of it was paid.
    pub owed: Millionths,
    pub paid: Millionths,
}

/// How far the lines of a window are written, in batches of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub done: i64,
    pub of: i64,
}

/// One window.
#[derive(Clone, Debug)]
pub struct Opened {
    pub id: WindowId,
    pub seen: Seen,
    /// From its end until it is published.
    pub progress: Option<Progress>,
    /// Why it is not signed: to operators, for it may name others.
    pub blocked_by: Option<String>,
    pub statements: Vec<SeenStatement>,
    pub obligations: Vec<SeenObligation>,
}

/// `None`: everybody's.
fn party(holder: &Holder) -> Option<&str> {
    match holder {
        Holder::Partner(slug) => Some(slug.as_str()),
        Holder::Operator(_) => None,
    }
}

/// Windows below number `before`, newest first.
pub async fn windows(exchange: &Exchange, holder: &Holder, before: i64, limit: i64) -> Result<Vec<Listed>, Error> {
    let (currency, zone) = (exchange.currency(), exchange.catalogue.load().alliance.zone);
    let holder = holder.clone();
    let unit = move |conn: &mut PgConnection| {
        let today = catalogue::business_day(conn, zone)?;
        let of = own(&holder);
        let mut listed = Vec::new();
        for row in windows::list(conn, before, limit)? {
            let all = visible(conn, &holder, &row)?;
            let sum = |each: fn(&obligations::Row) -> Millionths| {
                let sum = all.iter().try_fold(Millionths::ZERO, |sum, row| sum.plus(each(row)));
                sum.ok_or_else(|| broken("what is owed is beyond money"))
            };
            let (owed, paid) = (sum(|row| row.amount)?, sum(|row| row.paid)?);
            listed.push(Listed { seen: view::seen(conn, row, &of, &currency, today)?, owed, paid });
        }
        Ok(listed)
    };
    exchange.database.run(unit).await
}

/// What is owed for a window, as far as the reader may see it.
fn visible(conn: &mut PgConnection, holder: &Holder, row: &windows::Row) -> Result<Vec<obligations::Row>, Error> {
    if row.state != window::State::Published {
        return Ok(Vec::new());
    }
    Ok(obligations::list(conn, Some(row.id), party(holder))?)
}

/// One window, as it stands.
pub async fn window(exchange: &Exchange, holder: &Holder, which: Which) -> Result<Opened, Error> {
    let (currency, zone) = (exchange.currency(), exchange.catalogue.load().alliance.zone);
    let holder = holder.clone();
    let unit = move |conn: &mut PgConnection| {
        let row = which.find(conn)?.ok_or(Error::NotFound)?;
        let today = catalogue::business_day(conn, zone)?;
        let all = visible(conn, &holder, &row)?;
        let is_published = row.state == window::State::Published;
        let mut signed = if is_published { statements::of_window(conn, row.id)? } else { Vec::new() };
        signed.retain(|statement| party(&holder).is_none_or(|own| own == statement.participant.as_str()));
        Ok(Opened {
            id: row.id,
            progress: progress(&row),
            blocked_by: row.blocked_by.clone().filter(|_| party(&holder).is_none()),
            statements: signed.iter().map(|row| view::summary(row, &currency)).collect(),
            obligations: all.iter().map(|row| view::obligation(row, &currency, today)).collect(),
            seen: view::seen(conn, row, &own(&holder), &currency, today)?,
        })
    };
    exchange.database.run(unit).await
}

fn progress(row: &windows::Row) -> Option<Progress> {
    let closed = row.closed.as_ref().filter(|_| row.state != window::State::Published)?;
    let before = closed.first_batch - 1;
    Some(Progress { done: (closed.through_batch - before).max(0), of: (closed.last_batch - before).max(0) })
}

/// Ends the open window, if it is the one of this number; whoever settles takes it to its end. `false`: it had ended.
pub fn end(conn: &mut PgConnection, number: i64) -> Result<bool, Error> {
    Ok(close::end(conn, Numbered(number))?.is_some())
}

/// Has a blocked window tried again from its beginning; its number.
pub fn retry(conn: &mut PgConnection, which: Which) -> Result<i64, Error> {
    let row = which.find(conn)?.ok_or(Error::NotFound)?;
    close::retry(conn, &row).map(|_| row.number)
}

/// Which lines of a statement: all, or those behind one of its figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figure {
    pub counterparty: Option<Participant>,
    pub sort: Option<Sort>,
}

impl Figure {
    fn has(&self, line: &Line) -> bool {
        let is = |with: &Participant, sort: Sort| {
            self.counterparty.as_ref().is_none_or(|wanted| wanted == with)
                && self.sort.is_none_or(|wanted| wanted == sort)
        };
        is(&line.counterparty, line.sort) || line.fee_sort.is_some_and(|sort| is(&Participant::operator(), sort))
    }
}

/// Some lines of a statement, and from which number on there may be more.
#[derive(Clone, Debug)]
pub struct Page {
    pub lines: Vec<Line>,
    pub next: Option<i64>,
}

/// A line as it is shown; its bytes are what counts elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub no: i64,
    pub id: LineId,
    pub sort: Sort,
    /// Of the fee that stands beside the amount, if there is one.
    pub fee_sort: Option<Sort>,
    pub counterparty: Participant,
    pub points: Option<i64>,
    pub debit_points: Option<i64>,
    pub price: Option<Millionths>,
    pub amount: Millionths,
    pub fee: Option<Millionths>,
    pub conversion: Option<ConversionId>,
    pub reversal: Option<ReversalId>,
    /// The participant's own.
    pub reference: Option<String>,
    pub day: NaiveDate,
}

#[derive(Deserialize)]
struct Raw<'a> {
    line_no: i64,
    line_id: &'a str,
    kind: &'a str,
    participant: &'a str,
    counterparty: &'a str,
    amount: &'a str,
    window: i64,
    business_date: &'a str,
    points: Option<i64>,
    debit_points: Option<i64>,
    price: Option<&'a str>,
    fee: Option<&'a str>,
    from: Option<&'a str>,
    conversion_id: Option<&'a str>,
    reversal_id: Option<&'a str>,
    original_window: Option<i64>,
    #[serde(borrow)]
    benefit: Option<RawBenefit<'a>>,
    #[serde(borrow)]
    reference: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct RawBenefit<'a> {
    giver: &'a str,
}

impl Line {
    /// Reads a line's bytes, without its line feed.
    fn parse(bytes: &[u8]) -> Result<Line, Error> {
        let raw: Raw<'_> = serde_json::from_slice(bytes).map_err(broken)?;
        let money = |text: &str| Millionths::parse(text).ok_or_else(|| broken(format!("amount `{text}` in a line")));
        let amount = money(raw.amount)?;
        let fee = raw.fee.map(money).transpose()?.filter(|fee| *fee != Millionths::ZERO);
        let back = raw.original_window.is_some();
        let counterparty = Participant::parse(raw.counterparty);
        Ok(Line {
            no: raw.line_no,
            id: id_of(raw.line_id)?,
            sort: sort_of(&raw, amount)?,
            fee_sort: fee.map(|_| if back { Sort::FeeBack } else { Sort::Fee }),
            counterparty: counterparty.ok_or_else(|| broken(format!("party `{}` in a line", raw.counterparty)))?,
            points: raw.points,
            debit_points: raw.debit_points,
            price: raw.price.map(money).transpose()?,
            amount,
            fee,
            conversion: raw.conversion_id.map(id_of).transpose()?,
            reversal: raw.reversal_id.map(id_of).transpose()?,
            reference: raw.reference.map(Cow::into_owned),
            day: id_of(raw.business_date)?,
        })
    }
}

fn id_of<T: FromStr>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| broken(format!("`{text}` in a line")))
}

/// The figure of its statement that a line counts in.
fn sort_of(raw: &Raw<'_>, amount: Millionths) -> Result<Sort, Error> {
    Ok(match (raw.kind, raw.original_window) {
        ("fee", Some(_)) => Sort::FeeBack,
        ("fee", None) => Sort::Fee,
        ("conversion" | "bonus", Some(original)) if original == raw.window => Sort::Reversal,
        ("conversion" | "bonus", Some(_)) => Sort::EarlierReversal,
        ("conversion", None) if raw.from == Some(raw.participant) => Sort::Out,
        ("conversion", None) => Sort::In,
        ("bonus", None) if amount > Millionths::ZERO => Sort::BonusByOthers,
        ("bonus", None) => Sort::BonusByMe,
        ("adjustment", _) => Sort::Adjustment,
        ("benefit", _) if raw.benefit.as_ref().is_some_and(|benefit| benefit.giver == raw.participant) => {
            Sort::BenefitGiven
        }
        ("benefit", _) => Sort::BenefitPaid,
        (other, _) => return Err(broken(format!("kind `{other}` of a line"))),
    })
}

/// The lines behind a figure of a statement, from number `from` on.
pub async fn lines(
    exchange: &Exchange,
    of: Participant,
    id: WindowId,
    figure: Figure,
    from: i64,
) -> Result<Page, Error> {
    let unit = move |conn: &mut PgConnection| {
        let row = find::statement(conn, id, &of)?.1;
        let end = row.first_line + row.lines;
        let (mut next, mut found) = (from.max(row.first_line), Vec::new());
        for _ in 0..CHUNKS {
            if next >= end {
                break;
            }
            let chunk = lines::from(conn, id, &of, next, 1)?.pop();
            let chunk = chunk.ok_or_else(|| broken(format!("lines of {of} are missing from {next} on")))?;
            for bytes in gather::each_line(&gather::unpack(&chunk)?) {
                let line = Line::parse(bytes)?;
                if line.no < next {
                    continue;
                }
                if found.len() == LINES {
                    return Ok(Page { lines: found, next: Some(line.no) });
                }
                next = line.no + 1;
                if figure.has(&line) {
                    found.push(line);
                }
            }
            next = next.max(chunk.first_line + i64::from(chunk.lines));
        }
        Ok(Page { lines: found, next: (next < end).then_some(next) })
    };
    exchange.database.run(unit).await
}

/// One line of a statement.
pub async fn line(exchange: &Exchange, of: Participant, window: WindowId, id: LineId) -> Result<find::Line, Error> {
    let unit = move |conn: &mut PgConnection| {
        let statement = find::statement(conn, window, &of)?.1;
        find::by_id(conn, &statement, id)?.ok_or(Error::NotFound)
    };
    exchange.database.run(unit).await
}

/// What a partner has before it when it counter-signs.
#[derive(Clone, Debug)]
pub struct ToSign {
    pub number: i64,
    pub state: State,
    pub closing: Millionths,
    pub lines: i64,
    /// The very text that is signed after a header and a dot: base64url of the statement.
    pub payload: String,
    /// SHA-256 of the statement's bytes, and its leaf in the log.
    pub digest: String,
    pub leaf: String,
    /// By which of its keys it has signed.
    pub signed_by: Vec<String>,
    pub keys: Vec<OwnKey>,
}

/// An active signing key of the partner's.
#[derive(Clone, Debug)]
pub struct OwnKey {
    pub kid: String,
    pub alg: &'static str,
    /// The header of a signature by it, base64url.
    pub protected: String,
}

pub async fn to_sign(exchange: &Exchange, partner: &Slug, id: WindowId) -> Result<ToSign, Error> {
    let partner = partner.clone();
    let unit = move |conn: &mut PgConnection| {
        let row = find::statement(conn, id, &Participant::from(&partner))?.1;
        let made = statements::signatures(conn, row.id)?.into_iter().filter(|made| made.signer == partner.as_str());
        let signed_by = made.map(|made| made.kid).collect();
        let known = signing_keys::list(conn, &Holder::Partner(partner.clone()), None, KEYS)?;
        let active = known.into_iter().filter(|key| key.status == "active");
        Ok(ToSign {
            number: row.number,
            state: row.state,
            closing: row.closing,
            lines: row.lines,
            digest: hex(&sha256(row.payload.as_bytes())),
            leaf: hex(&row.leaf),
            payload: URL_SAFE_NO_PAD.encode(&row.payload),
            signed_by,
            keys: active.map(|key| OwnKey::of(key.kid, &key.jwk)).collect::<Result<_, Error>>()?,
        })
    };
    exchange.database.run(unit).await
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::default();
    hash.update(bytes);
    hash.finish()
}

impl OwnKey {
    fn of(kid: String, jwk: &serde_json::Value) -> Result<OwnKey, Error> {
        let alg = PublicKey::from_jwk(jwk).map_err(broken)?.kind().alg();
        // A kid is base64url: nothing of it is escaped in JSON.
        let header = format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"{TYP}"}}"#);
        Ok(OwnKey { protected: URL_SAFE_NO_PAD.encode(header), kid, alg })
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Signed {
    One(SignedOnce),
    General { signatures: Vec<SignedOnce> },
}

#[derive(Deserialize)]
struct SignedOnce {
    protected: String,
    signature: String,
}

/// Header and signature of what somebody brings as signed: a flattened JWS, with its payload or without, the last
/// signature of a general one, or a compact one (RFC 7515 §7.1, §7.2). Whether it holds is for whoever takes it.
pub fn brought(text: &str) -> Option<(String, String)> {
    let text = text.trim();
    if text.starts_with('{') {
        let one = match serde_json::from_str(text).ok()? {
            Signed::One(one) => one,
            Signed::General { mut signatures } => signatures.pop()?,
        };
        return Some((one.protected, one.signature));
    }
    let mut parts = text.split('.');
    let (protected, _, signature) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none() && !protected.is_empty() && !signature.is_empty();
    whole.then(|| (protected.to_owned(), signature.to_owned()))
}

/// Something that is still to be paid.
#[derive(Clone, Debug)]
pub struct Due {
    pub window: i64,
    pub row: SeenObligation,
    pub left: Millionths,
    /// Whether the reader may say that it was paid.
    pub may_record: bool,
}

/// What is not paid in full, by due date.
pub async fn dues(exchange: &Exchange, holder: &Holder) -> Result<Vec<Due>, Error> {
    let (currency, zone) = (exchange.currency(), exchange.catalogue.load().alliance.zone);
    let holder = holder.clone();
    let unit = move |conn: &mut PgConnection| {
        let today = catalogue::business_day(conn, zone)?;
        let rows = obligations::list(conn, None, party(&holder))?;
        let due = |row: &obligations::Row| Due {
            window: row.number,
            left: row.amount.minus(row.paid).unwrap_or(Millionths::ZERO),
            may_record: pay::may_record(&holder, &row.creditor),
            row: view::obligation(row, &currency, today),
        };
        Ok(rows.iter().map(due).collect())
    };
    exchange.database.run(unit).await
}

/// The name of a statement's files, without their ending.
pub fn stem(of: &Participant, number: i64) -> String {
    format!("{of}-w{number:04}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_signed_is_taken_in_every_form_it_may_have() {
        let both = Some(("AA".to_owned(), "BB".to_owned()));
        for text in [
            r#"{"protected":"AA","signature":"BB"}"#,
            r#" {"payload":"CC","protected":"AA","signature":"BB"} "#,
            r#"{"payload":"CC","signatures":[{"protected":"DD","signature":"EE"},{"protected":"AA","signature":"BB"}]}"#,
            "AA.CC.BB\n",
            "AA..BB",
        ] {
            assert_eq!(brought(text), both, "{text}");
        }
        for text in ["", "AA", "AA.BB", "A.B.C.D", "..", "{}", r#"{"signatures":[]}"#, "[1]"] {
            assert_eq!(brought(text), None, "{text}");
        }
    }

    #[test]
    fn a_partner_names_itself_alone_and_an_operator_anybody() {
        let partner = Holder::of("partner", "lumen").expect("a slug");
        let operator = Holder::of("operator", "ada").expect("a name");
        assert_eq!(whose(&partner, "lumen").ok(), Some(own(&partner)));
        for other in ["harvest", "operator", "Lumen", ""] {
            assert!(matches!(whose(&partner, other), Err(Error::NotFound)), "{other}");
        }
        assert!(whose(&operator, "lumen").is_ok() && own(&operator).is_operator());
        let asked = |holder, name, window, named| asked(holder, name, window, named, Form::Xlsx);
        let window = Some(Which::Number(1));
        assert!(asked(&partner, Name::Summary, window, None).is_err());
        assert!(asked(&partner, Name::Pairs, window, Some("harvest")).is_err());
        assert!(asked(&operator, Name::Statement, window, None).is_err());
        assert!(asked(&operator, Name::Pairs, None, None).is_err());
        let of_partner = asked(&partner, Name::Statement, window, None).expect("its own");
        assert_eq!((of_partner.participant, of_partner.published), (Some(own(&partner)), true));
    }
}
