//! A statement: its signatures, and that its figures follow from each other.

use super::alliance::{Alliance, SIGNERS};
use super::keys::Keys;
use super::payload::{self, Obligation, Read};
use super::report::{Section, Title, counted};
use crate::domain::money::{Millionths, decimal, minor_digits};
use crate::domain::settings::Netting;
use crate::domain::settlement::Participant;
use crate::domain::settlement::netting;
use crate::domain::settlement::tally::{Sort, Tally};
use crate::signing::general::Document;
use crate::signing::jwk::Kind;
use crate::signing::merkle::{self, Hash};
use std::collections::BTreeSet;

/// A statement that could be read.
#[derive(Debug)]
pub struct Statement {
    pub file: String,
    pub read: Read,
    pub leaf: Hash,
    /// The files taken for the alliance's by whose keys it is signed.
    pub alliance: BTreeSet<usize>,
}

impl Statement {
    pub fn participant(&self) -> &Participant {
        &self.read.payload.participant.0
    }

    pub fn window(&self) -> i64 {
        self.read.payload.window.number
    }

    pub fn subject(&self) -> String {
        subject(self.participant().as_str(), self.window())
    }
}

pub fn subject(participant: &str, window: i64) -> String {
    format!("{participant}, window {window}")
}

/// Reads a statement and checks it by itself.
pub fn check(file: &str, bytes: &[u8], keys: &Keys, alliance: &Alliance) -> (Section, Option<Statement>) {
    let mut section = Section::new(Title::Statement, file);
    let document = match Document::parse(bytes) {
        Ok(document) => document,
        Err(why) => {
            section.differs("form", why.to_string());
            return (section, None);
        }
    };
    let read = payload::read(document.payload());
    let whose = read.as_ref().ok().map(|read| read.payload.participant.0.as_str());
    signatures(&document, whose, (keys, alliance), &mut section);
    let read = match read {
        Ok(read) => read,
        Err(why) => {
            section.differs("form", why);
            return (section, None);
        }
    };
    let (leaf, alliance) = (merkle::leaf_hash(document.payload()), alliance.signed(&document, keys));
    let statement = Statement { file: file.to_owned(), read, leaf, alliance };
    let payload = &statement.read.payload;
    let kind = if payload.sandbox { "a sandbox's statement" } else { "statement" };
    section.subject =
        format!("{}, {} to {}, {file}", statement.subject(), payload.window.first_day.0, payload.window.last_day.0);
    section.holds("form", format!("{kind} of {}, canonical JSON, every member known", payload.alliance));
    section.put_result("line_numbers", line_numbers(&statement.read));
    section.put_result("sums", sums(&statement.read));
    section.put_result("rounding", rounding(&statement.read));
    section.put_result("position", position(&statement.read));
    section.put_result("fees", fees(&statement.read));
    section.put_result("obligations", obligations(&statement.read));
    (section, Some(statement))
}

/// Every signature holds by a key that was given, the alliance has signed first with both of its own, and nobody after it but
/// `whose` statement it is.
fn signatures(document: &Document, whose: Option<&str>, (keys, alliance): (&Keys, &Alliance), section: &mut Section) {
    let unknown: Vec<&str> = document.kids().filter(|kid| keys.by_kid(kid).is_none()).collect();
    for (nth, kid) in document.kids().enumerate().filter(|(_, kid)| unknown.contains(kid)) {
        let add = if keys.is_empty() || nth < 2 { keys.remedy() } else { "add the JWK of the partner that signed it" };
        section.differs("signatures", format!("the key {kid} of signature {} is in none of the files: {add}", nth + 1));
    }
    if !unknown.is_empty() {
        return;
    }
    let held = match document.verify_all(|kid| keys.by_kid(kid).cloned()) {
        Ok(held) => held,
        Err(why) => return section.differs("signatures", why.to_string()),
    };
    let own = alliance.signed(document, keys);
    if own.is_empty() {
        let both = format!("{} and {}", Kind::Ed25519.alg(), Kind::P256.alg());
        let another = document.kids().zip(SIGNERS).find_map(|(kid, purpose)| keys.is_for_another(kid, purpose));
        let why = another.unwrap_or_else(|| format!("the alliance signs first, by {both}"));
        return section.differs("signatures", format!("no file has the keys of its first two signatures: {why}"));
    }
    let mut foreign = false;
    for (nth, kid) in document.kids().enumerate().skip(SIGNERS.len()) {
        let (partners, place) = (keys.partners(kid), keys.place(kid, &own));
        let why = match whose {
            _ if alliance.has(kid, &own) => {
                "the alliance's own: if it is a partner's, mark it, \"partner\": slug".to_owned()
            }
            Some(whose) if !partners.is_empty() && !partners.contains(whose) => {
                format!("another's, and the statement is {whose}'s")
            }
            _ => continue,
        };
        section.differs("signatures", format!("the key {kid} of signature {} ({place}) is {why}", nth + 1));
        foreign = true;
    }
    if foreign {
        return;
    }
    let told = held.iter().map(|(kid, alg)| format!("{alg} {kid} ({})", keys.place(kid, &own)));
    let told: Vec<String> = told.collect();
    section.holds("signatures", format!("{} of {} hold: {}", held.len(), held.len(), told.join(", ")));
}

fn line_numbers(read: &Read) -> Result<String, String> {
    let lines = &read.payload.lines;
    let together: i128 = Sort::ALL.into_iter().map(|sort| i128::from(read.totals.sum(sort).lines)).sum();
    if together != i128::from(lines.count) {
        return Err(format!("the sorts have {together} lines together, and there are {}", lines.count));
    }
    if let (None, Some(first @ ..=0 | first @ 2..)) = (&read.payload.previous, lines.first) {
        return Err(format!("it is the first statement, and its lines begin with {first}"));
    }
    match (lines.first, lines.last) {
        (None, None) if lines.count == 0 && lines.root.0 == merkle::empty_root() => Ok("there are none".to_owned()),
        (Some(first), Some(last))
            if first > 0 && last >= first && u64::try_from(last - first).map(|more| more + 1) == Ok(lines.count) =>
        {
            Ok(format!("{}, {first} to {last}, as the sorts have together", counted(lines.count, "line", "lines")))
        }
        _ => Err(format!("{} lines are not those from the first to the last", lines.count)),
    }
}

/// Sorts add up to the exact amount of each counterparty, and counterparties to the totals.
fn sums(read: &Read) -> Result<String, String> {
    let mut totals = Tally::default();
    for (with, tally) in &read.tallies {
        let exact = read.rows.get(with).map_or(Millionths::ZERO, |row| row.exact);
        if tally.exact() != i128::from(exact.get()) {
            return Err(format!("the sorts with {with} come to {}, and exact is {exact}", decimal(tally.exact())));
        }
        for sort in Sort::ALL {
            let (sum, own) = (totals.sum_mut(sort), tally.sum(sort));
            sum.lines = sum.lines.saturating_add(own.lines);
            sum.points += own.points;
            sum.amount += own.amount;
        }
    }
    if let Some(sort) = Sort::ALL.into_iter().find(|sort| totals.sum(*sort) != read.totals.sum(*sort)) {
        return Err(format!("{} of all counterparties is not what the totals say", sort.code()));
    }
    let parties = u64::try_from(read.rows.len()).unwrap_or(u64::MAX);
    let parties = counted(parties, "counterparty", "counterparties");
    Ok(format!("the sorts of {parties} add up to exact amounts and totals"))
}

fn rounding(read: &Read) -> Result<String, String> {
    let digits = minor_digits(&read.payload.currency);
    for (with, row) in &read.rows {
        let rounded = netting::round(i128::from(row.exact.get()), digits, read.rounding);
        if rounded != i128::from(row.total.get()) {
            return Err(format!(
                "{} with {with} is {} to {digits} decimals, and the total is {}",
                row.exact,
                decimal(rounded),
                row.total
            ));
        }
    }
    Ok(format!(
        "each total is the exact amount to {digits} decimals of {}, {}",
        read.payload.currency,
        read.rounding.code()
    ))
}

fn position(read: &Read) -> Result<String, String> {
    let payload = &read.payload;
    let net: i128 = read.rows.values().map(|row| i128::from(row.total.get())).sum();
    let (opening, payments, closing) = (payload.opening.0, payload.payments.0, payload.closing.0);
    if net != i128::from(payload.net.0.get()) {
        return Err(format!("the totals come to {}, and net is {}", decimal(net), payload.net.0));
    }
    let wanted = i128::from(opening.get()) + net + i128::from(payments.get());
    if wanted != i128::from(closing.get()) {
        return Err(format!("opening, net and payments come to {}, and closing is {closing}", decimal(wanted)));
    }
    if payload.previous.is_none() && opening != Millionths::ZERO {
        return Err(format!("it is the first statement, and opens with {opening}"));
    }
    Ok(format!("opening {opening} + net {} + payments {payments} = closing {closing}", payload.net.0))
}

fn fees(read: &Read) -> Result<String, String> {
    let exact = read.totals.sum(Sort::Fee).amount + read.totals.sum(Sort::FeeBack).amount;
    let digits = minor_digits(&read.payload.currency);
    let gross = netting::round(exact, digits, read.rounding);
    let Some(fees) = &read.payload.fees else {
        let none = if gross == 0 {
            Ok("there are none".to_owned())
        } else {
            Err(format!("{} of fees is not told", decimal(gross)))
        };
        return none;
    };
    let rate = i128::from(fees.tax_basis_points.clamp(0, 10_000));
    let whole = |money: payload::Money| i128::from(money.0.get());
    if gross != whole(fees.gross) || gross == 0 {
        return Err(format!("the fees come to {}, and gross is {}", decimal(gross), fees.gross.0));
    }
    // The tax is contained in the gross.
    let tax = netting::round_ratio(gross * rate, 10_000 + rate, digits, read.rounding);
    if tax != whole(fees.tax) || i128::from(fees.tax_basis_points) != rate || gross - whole(fees.tax) != whole(fees.net)
    {
        return Err(format!(
            "{} has not {} of tax in it at {rate} basis points, and {} beside",
            fees.gross.0, fees.tax.0, fees.net.0
        ));
    }
    Ok(format!("{} less {} of tax is {}", fees.gross.0, fees.tax.0, fees.net.0))
}

/// What is owed is the one net, or every total.
fn obligations(read: &Read) -> Result<String, String> {
    let own = read.payload.participant.0.as_str();
    let wanted = |with: &str, amount: Millionths| {
        let (debtor, creditor) = if amount > Millionths::ZERO { (with, own) } else { (own, with) };
        let amount = payload::Money(if amount > Millionths::ZERO { amount } else { amount.negated() });
        Obligation { debtor: debtor.into(), creditor: creditor.into(), amount, due_on: read.payload.window.due_on }
    };
    let mut due: Vec<Obligation> = match read.netting {
        Netting::Multilateral => vec![wanted("alliance", read.payload.net.0)],
        Netting::Bilateral => read.rows.iter().map(|(with, row)| wanted(with.as_str(), row.total)).collect(),
    };
    due.retain(|duty| duty.amount.0 != Millionths::ZERO);
    let mut told = read.payload.obligations.clone();
    due.sort_unstable();
    told.sort_unstable();
    let netting = read.netting.code();
    let written = |duties: &[Obligation]| {
        let duty = |duty: &Obligation| format!("{} pays {} {}", duty.debtor, duty.creditor, duty.amount.0);
        let written: Vec<String> = duties.iter().map(duty).collect();
        if written.is_empty() { "nobody pays".to_owned() } else { written.join(", ") }
    };
    if due == told {
        return Ok(format!("{netting}: {} by {}", written(&due), read.payload.window.due_on.0));
    }
    Err(format!("{netting} netting comes to: {}; the obligations say: {}", written(&due), written(&told)))
}
