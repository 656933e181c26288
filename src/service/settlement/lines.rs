//! A settlement line's own bytes: canonical JSON (RFC 8785), written straight in the order of its members.
//!
//! A window has millions of them, so what all lines under one set of terms share is written once and copied. Members, in
//! their order; those in brackets are there when they say something:
//! `agreement amount at business_date [campaign] conversion_id counterparty counterparty_entity [counterparty_tax_code]
//! currency [debit_points] entity [fee] fee_basis_points from [funder] kind line_id line_no [original_line original_window]
//! participant points price rate [reference] [reversal_id] [tax_code] to [token] [undo] v window`.
//! A use of a benefit has `amount at benefit business_date counterparty counterparty_entity [counterparty_tax_code] currency
//! entity funder kind line_id line_no participant [reference] [tax_code] [token] v window`.
//! An adjustment has `adjustment amount at business_date [conversion_id] counterparty counterparty_entity
//! [counterparty_tax_code] currency entity kind line_id line_no participant [tax_code] v window`.

use super::settings::Settings;
use super::{Error, broken};
use crate::book::store::journal::Adjustment;
use crate::book::voucher::UseRow;
use crate::domain::benefit::Payer;
use crate::domain::catalogue::Party;
use crate::domain::ids::{AdjustmentId, ConversionId, DisputeId, Slug};
use crate::domain::money::Millionths;
use crate::domain::settlement::Participant;
use crate::domain::settlement::line::{Kind, Part, id};
use crate::domain::terms::Terms;
use crate::signing::canonical;
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// The version of the line's layout.
const V: u8 = 1;

/// One set of terms with all that its lines share.
pub struct Shared {
    pub terms: Arc<Terms>,
    /// By whose line and its counterparty.
    sides: Vec<Side>,
    campaigns: Vec<String>,
}

struct Side {
    whose: Party,
    counterparty: Party,
    participant: Participant,
    other: Participant,
    head: String,
    counterparty_text: String,
    entity: String,
    fee_and_from: String,
    participant_text: String,
    price_and_rate: String,
    tail: String,
}

/// What a line says of its posting.
#[derive(Clone, Copy, Debug)]
pub struct Posted<'a> {
    pub conversion: Uuid,
    /// Set for what takes part of the conversion back.
    pub reversal: Option<Taking>,
    pub debit: i64,
    pub from_token: Uuid,
    pub to_token: Uuid,
    /// The reference and whose it is: nobody else is shown it.
    pub reference: Option<(&'a str, Party)>,
    pub at: &'a str,
    pub day: &'a str,
}

#[derive(Clone, Copy, Debug)]
pub struct Taking {
    pub id: Uuid,
    pub undo: bool,
    /// Number of the window the conversion was posted in.
    pub original_window: i64,
}

/// An instant as lines have it: microseconds, which is what the journal has.
pub fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

pub fn day(day: NaiveDate) -> String {
    day.to_string()
}

impl Shared {
    pub fn new(terms: Arc<Terms>, settings: &Settings) -> Result<Shared, Error> {
        use Party::{From, Operator, To};
        // Every pair of sides a line can have.
        let pairs = [(From, To), (To, From), (Operator, From), (Operator, To), (To, Operator)];
        let sides = pairs.into_iter().map(|(whose, other)| Side::new(&terms, settings, whose, other));
        let sides = sides.collect::<Result<_, _>>()?;
        let campaign = |campaign: &crate::domain::terms::FrozenCampaign| {
            format!(
                r#","campaign":{{"bonus_basis_points":{},"code":{},"version":{}}}"#,
                campaign.bonus_basis_points,
                quoted(&campaign.code),
                campaign.version
            )
        };
        let campaigns = terms.campaigns.iter().map(campaign).collect();
        Ok(Shared { sides, campaigns, terms })
    }

    fn side(&self, part: &Part) -> &Side {
        let found = self.sides.iter().find(|side| side.whose == part.whose && side.counterparty == part.counterparty);
        // `line::parts` makes no other; the first keeps this total.
        found.unwrap_or(&self.sides[0])
    }

    /// Whose the line is, and against whom.
    pub fn parties(&self, part: &Part) -> (&Participant, &Participant) {
        let side = self.side(part);
        (&side.participant, &side.other)
    }

    /// Appends the line.
    pub fn write(&self, out: &mut Vec<u8>, part: &Part, posted: &Posted<'_>, line_no: i64, window: i64) {
        let side = self.side(part);
        self.write_what(out, side, part, posted);
        self.write_which(out, side, part, posted, line_no);
        if let Some((reference, _)) = posted.reference.filter(|(_, whose)| *whose == part.whose) {
            text(out, ",\"reference\":");
            canonical::write_string(out, reference);
        }
        if let Some(taking) = posted.reversal {
            text(out, ",\"reversal_id\":\"rev_");
            hex(out, taking.id);
            text(out, "\"");
        }
        text(out, &side.tail);
        let token = match part.whose {
            Party::From => Some(posted.to_token),
            Party::To => Some(posted.from_token),
            // The operator knows no member.
            Party::Operator => None,
        };
        if let Some(token) = token {
            text(out, ",\"token\":\"tok_");
            hex(out, token);
            text(out, "\"");
        }
        if let Some(taking) = posted.reversal {
            text(out, if taking.undo { ",\"undo\":true" } else { ",\"undo\":false" });
        }
        text(out, ",\"v\":1,\"window\":");
        number(out, window);
        text(out, "}");
    }

    /// Members `agreement` to `funder`.
    fn write_what(&self, out: &mut Vec<u8>, side: &Side, part: &Part, posted: &Posted<'_>) {
        text(out, &side.head);
        money(out, part.amount);
        text(out, "\",\"at\":\"");
        text(out, posted.at);
        text(out, "\",\"business_date\":\"");
        text(out, posted.day);
        text(out, "\"");
        if let Some(campaign) = part.campaign.and_then(|nth| self.campaigns.get(nth)) {
            text(out, campaign);
        }
        text(out, ",\"conversion_id\":\"cnv_");
        hex(out, posted.conversion);
        text(out, &side.counterparty_text);
        if part.kind == Kind::Conversion {
            text(out, ",\"debit_points\":");
            number(out, if posted.reversal.is_some() { -posted.debit } else { posted.debit });
        }
        text(out, &side.entity);
        if part.kind == Kind::Conversion {
            text(out, ",\"fee\":\"");
            money(out, part.fee);
            text(out, "\"");
        }
        text(out, &side.fee_and_from);
        if let Some(campaign) = part.campaign.and_then(|nth| self.terms.campaigns.get(nth)) {
            text(out, ",\"funder\":\"");
            text(out, slug_of(campaign.funder, &self.terms));
            text(out, "\"");
        }
    }

    /// Members `kind` to `rate`.
    fn write_which(&self, out: &mut Vec<u8>, side: &Side, part: &Part, posted: &Posted<'_>, line_no: i64) {
        let source = posted.reversal.map_or(posted.conversion, |taking| taking.id);
        text(out, ",\"kind\":\"");
        text(out, part.kind.code());
        text(out, "\",\"line_id\":\"lin_");
        hex(out, id(source, part.place()).0);
        text(out, "\",\"line_no\":");
        number(out, line_no);
        if let Some(taking) = posted.reversal {
            text(out, ",\"original_line\":\"lin_");
            hex(out, id(posted.conversion, part.place()).0);
            text(out, "\",\"original_window\":");
            number(out, taking.original_window);
        }
        text(out, &side.participant_text);
        number(out, part.points);
        text(out, &side.price_and_rate);
    }
}

impl Side {
    fn new(terms: &Terms, settings: &Settings, whose: Party, counterparty: Party) -> Result<Side, Error> {
        let (participant, other) = (Part::participant(whose, terms), Part::participant(counterparty, terms));
        let named = |party: Party| -> Result<(String, String), Error> {
            Ok(match party {
                Party::From => (terms.from_entity.clone(), terms.from_tax_code.clone()),
                Party::To => (terms.to_entity.clone(), terms.to_tax_code.clone()),
                Party::Operator => {
                    let named = settings.named(&Participant::operator())?;
                    (named.entity.clone(), named.tax_code.clone())
                }
            })
        };
        let ((entity, tax_code), (other_entity, other_tax_code)) = (named(whose)?, named(counterparty)?);
        let stated = |member: &str, code: &str| {
            if code.is_empty() { String::new() } else { format!(",\"{member}\":{}", quoted(code)) }
        };
        Ok(Side {
            whose,
            counterparty,
            head: format!(r#"{{"agreement":{},"amount":""#, terms.agreement_version),
            counterparty_text: format!(
                r#"","counterparty":"{other}","counterparty_entity":{}{},"currency":{}"#,
                quoted(&other_entity),
                stated("counterparty_tax_code", &other_tax_code),
                quoted(&settings.currency),
            ),
            entity: format!(r#","entity":{}"#, quoted(&entity)),
            fee_and_from: format!(r#","fee_basis_points":{},"from":"{}""#, terms.fee_basis_points, terms.from),
            participant_text: format!(r#","participant":"{participant}","points":"#),
            price_and_rate: format!(
                r#","price":"{}","rate":{{"den":{},"num":{},"tier":{},"version":{}}}"#,
                terms.settlement_price,
                terms.ratio.den(),
                terms.ratio.num(),
                quoted(&terms.tier),
                terms.rate_version,
            ),
            tail: format!(r#"{},"to":"{}""#, stated("tax_code", &tax_code), terms.to),
            participant,
            other,
        })
    }
}

fn slug_of(party: Party, terms: &Terms) -> &str {
    match party {
        Party::From => terms.from.as_str(),
        Party::To => terms.to.as_str(),
        Party::Operator => "operator",
    }
}

/// A line of an adjustment by which `whose` is owed `amount` by `other`.
pub fn adjustment(
    settings: &Settings,
    row: &Adjustment,
    (whose, other): (&Participant, &Participant),
    amount: Millionths,
    (line_no, window): (i64, i64),
) -> Result<Vec<u8>, Error> {
    let (own, theirs) = (settings.named(whose)?, settings.named(other)?);
    let place = if whose.as_str() == row.from { 1 } else { 2 };
    let mut adjustment = Map::new();
    adjustment.insert("approved_by".into(), row.approved_by.as_str().into());
    adjustment.insert("asked_by".into(), row.asked_by.as_str().into());
    if let Some(dispute) = row.dispute {
        adjustment.insert("dispute_id".into(), DisputeId(dispute).to_string().into());
    }
    adjustment.insert("id".into(), AdjustmentId(row.id).to_string().into());
    adjustment.insert("reason".into(), row.reason.as_str().into());
    let mut line = json!({
        "adjustment": adjustment, "amount": amount.to_string(), "at": instant(row.at), "business_date": day(row.day),
        "counterparty": other.as_str(), "counterparty_entity": theirs.entity, "currency": settings.currency,
        "entity": own.entity, "kind": Kind::Adjustment.code(), "line_id": id(row.id, place).to_string(),
        "line_no": line_no, "participant": whose.as_str(), "v": V, "window": window,
    });
    let optional = [
        ("conversion_id", row.conversion.map(|id| ConversionId(id).to_string())),
        ("counterparty_tax_code", Some(theirs.tax_code.clone()).filter(|code| !code.is_empty())),
        ("tax_code", Some(own.tax_code.clone()).filter(|code| !code.is_empty())),
    ];
    for (member, value) in optional {
        if let Some(value) = value {
            line[member] = Value::String(value);
        }
    }
    canonical::to_vec(&line).map_err(broken)
}

/// A line of a use of a benefit by which `whose`, its giver or who pays, is owed `amount` by `other`.
pub fn benefit(
    settings: &Settings,
    row: &UseRow,
    (whose, other, is_giver): (&Participant, &Participant, bool),
    amount: Millionths,
    (line_no, window): (i64, i64),
) -> Result<Vec<u8>, Error> {
    let terms = &row.terms;
    let named = |of: &Participant| -> Result<(String, String), Error> {
        // Frozen with the voucher, as a conversion's are with it.
        Ok(match of {
            of if of.as_str() == terms.giver.as_str() => (terms.giver_entity.clone(), terms.giver_tax_code.clone()),
            of if of.as_str() == terms.brand.as_str() => (terms.brand_entity.clone(), terms.brand_tax_code.clone()),
            of => {
                let named = settings.named(of)?;
                (named.entity.clone(), named.tax_code.clone())
            }
        })
    };
    let ((entity, tax_code), (other_entity, other_tax_code)) = (named(whose)?, named(other)?);
    let funder = match terms.payer() {
        None => terms.giver.as_str(),
        Some(Payer::Operator) => "operator",
        Some(Payer::Partner(brand)) => brand.as_str(),
    };
    let mut benefit = json!({
        "brand": terms.brand.as_str(), "code": terms.code, "giver": terms.giver.as_str(), "id": terms.benefit.to_string(),
        "kind": terms.kind.code(), "use": row.kind.code(), "use_id": row.id.to_string(), "voucher_id": row.voucher.to_string(),
    });
    if let Some(reverses) = row.reverses {
        benefit["reverses"] = reverses.to_string().into();
    }
    let mut line = json!({
        "amount": amount.to_string(), "at": instant(row.at), "benefit": benefit, "business_date": day(row.day),
        "counterparty": other.as_str(), "counterparty_entity": other_entity, "currency": settings.currency,
        "entity": entity, "funder": funder, "kind": Kind::Benefit.code(),
        "line_id": id(row.id.0, if is_giver { 2 } else { 1 }).to_string(), "line_no": line_no,
        "participant": whose.as_str(), "v": V, "window": window,
    });
    let stated = |code: String| Some(code).filter(|code| !code.is_empty());
    let own_reference = row.reference.clone().filter(|_| row.by.as_str() == whose.as_str());
    let optional = [
        ("counterparty_tax_code", stated(other_tax_code)),
        ("reference", own_reference),
        ("tax_code", stated(tax_code)),
        // The operator knows no member, and the brand knows its own by another name.
        ("token", is_giver.then(|| row.token.to_string())),
    ];
    for (member, value) in optional {
        if let Some(value) = value {
            line[member] = Value::String(value);
        }
    }
    canonical::to_vec(&line).map_err(broken)
}

/// The side of a conversion that `partner` is.
pub fn party_of(partner: &Slug, terms: &Terms) -> Party {
    if *partner == terms.to { Party::To } else { Party::From }
}

fn quoted(value: &str) -> String {
    let mut out = Vec::with_capacity(value.len() + 2);
    canonical::write_string(&mut out, value);
    // A text between quotes, with escapes of its own characters, is a text again.
    String::from_utf8(out).unwrap_or_default()
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn hex(out: &mut Vec<u8>, id: Uuid) {
    out.extend_from_slice(id.simple().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
}

fn number(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    digits(out, value.unsigned_abs());
}

fn digits(out: &mut Vec<u8>, mut value: u64) {
    let mut buffer = [b'0'; 20];
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&buffer[at..]);
}

/// As `Millionths` prints itself: two to six decimals.
fn money(out: &mut Vec<u8>, value: Millionths) {
    if value.get() < 0 {
        out.push(b'-');
    }
    let value = value.get().unsigned_abs();
    digits(out, value / 1_000_000);
    out.push(b'.');
    let mut fraction = value % 1_000_000;
    let mut decimals = [b'0'; 6];
    for place in decimals.iter_mut().rev() {
        *place = b'0' + u8::try_from(fraction % 10).unwrap_or_default();
        fraction /= 10;
    }
    let kept = decimals.iter().rposition(|digit| *digit != b'0').map_or(2, |last| (last + 1).max(2));
    out.extend_from_slice(&decimals[..kept]);
}
