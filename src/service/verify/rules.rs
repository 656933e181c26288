//! What one line has to say by itself: whose it is, that its amount is its points at its price, that its fee is the
//! floored part of it, that its ids belong together.

use super::line::{Line, MEMBERS, Set, place};
use crate::domain::catalogue::Party;
use crate::domain::money::{Millionths, decimal};
use crate::domain::settlement::line::{CAMPAIGNS_MAX, Kind, Part};
use crate::domain::settlement::tally::Taken;
use crate::service::settlement::lines;
use crate::service::settlement::read::COLUMNS;
use chrono::{DateTime, NaiveDate};

/// Whose lines of which window, as far as it is known what they are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub participant: String,
    pub window: i64,
    /// What the statement is in; `None` when no statement says so.
    pub currency: Option<String>,
}

/// Why a line does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("it is not text in UTF-8")]
    Utf8,
    #[error("it is empty")]
    Empty,
    #[error("it is longer than any of ours")]
    TooLong,
    #[error("it ends with a carriage return: the file was taken through something that changes ends of lines")]
    CarriageReturn,
    #[error("it is not JSON")]
    Json,
    #[error("it is not canonical JSON (RFC 8785)")]
    Canonical,
    #[error("it has a member that no line has, or one of another kind")]
    Unknown,
    #[error("it has no member `{0}`")]
    Missing(&'static str),
    #[error("it has a member `{0}`, which a line of its kind has not")]
    Beyond(&'static str),
    #[error("its layout is version {0}, which is not known here")]
    Version(i64),
    #[error("its kind is `{0}`, which is none")]
    Kind(String),
    #[error("it is a line of `{0}`")]
    Participant(String),
    #[error("it is a line of window {0}")]
    Window(i64),
    #[error("it is in {0}")]
    Currency(String),
    #[error(
        "its participant `{participant}` and counterparty `{counterparty}` are not those of a {kind} from `{from}` to `{to}`"
    )]
    Parties { kind: &'static str, participant: String, counterparty: String, from: String, to: String },
    #[error("its `{member}` is `{value}`, which is no {wanted} in its one spelling")]
    Spelling { member: &'static str, value: String, wanted: &'static str },
    #[error("its points are {points}, and it {}", if *.taken { "takes some back" } else { "takes none back" })]
    Sign { points: i64, taken: bool },
    #[error("its amount is {amount}, and {points} points at {price} are {wanted}")]
    Amount { amount: Millionths, points: i64, price: Millionths, wanted: String },
    #[error("its fee is {fee}, and {basis_points} basis points of {points} points at {price}, floored, are {wanted}")]
    Fee { fee: Millionths, basis_points: i64, points: i64, price: Millionths, wanted: String },
    #[error("{debit} points at {den}:{num} are not {points}")]
    Rate { debit: i64, den: i64, num: i64, points: i64 },
    #[error("its `{0}` is not that of what was posted")]
    Id(&'static str),
    #[error("it is numbered {is}, and {due} is due")]
    Number { is: i64, due: i64 },
    #[error("its counterparty `{0}` is nobody's name")]
    Counterparty(String),
    #[error("the first record is not the heading")]
    Heading,
    #[error("it has {0} cells, and there are {MEMBERS} columns")]
    Cells(usize),
    #[error("its cell `{column}` is `{value}`, which is no {wanted}")]
    Cell { column: &'static str, value: String, wanted: &'static str },
    #[error("its window is {window}, before window {original} of what it takes back")]
    Original { window: i64, original: i64 },
    #[error("its business date {date} is not the day of {at} in any zone")]
    Day { date: String, at: String },
}

/// What a line adds to the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted<'a> {
    pub line_no: i64,
    pub counterparty: &'a str,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Posted(Part, Option<Taken>),
    Adjusted(Millionths),
    /// A use of a benefit, as its giver's line or as that of who pays.
    Used {
        amount: Millionths,
        is_giver: bool,
    },
}

const EVERY: Set = Set::of(&[
    "amount",
    "at",
    "business_date",
    "counterparty",
    "counterparty_entity",
    "currency",
    "entity",
    "kind",
    "line_id",
    "line_no",
    "participant",
    "v",
    "window",
]);
const CODES: Set = Set::of(&["counterparty_tax_code", "tax_code"]);
const POSTED: Set = EVERY.and(Set::of(&[
    "agreement",
    "conversion_id",
    "fee_basis_points",
    "from",
    "points",
    "price",
    "rate.den",
    "rate.num",
    "rate.tier",
    "rate.version",
    "to",
]));
const CONVERSION: Set = POSTED.and(Set::of(&["debit_points", "fee"]));
const BONUS: Set = POSTED.and(Set::of(&["campaign.bonus_basis_points", "campaign.code", "campaign.version", "funder"]));
const TAKEN: Set = Set::of(&["original_line", "original_window", "reversal_id", "undo"]);
const TOKEN: Set = Set::of(&["token"]);
const REFERENCE: Set = Set::of(&["reference"]);
const ADJUSTMENT: Set =
    EVERY.and(Set::of(&["adjustment.approved_by", "adjustment.asked_by", "adjustment.id", "adjustment.reason"]));
const ADJUSTED_FOR: Set = Set::of(&["adjustment.dispute_id", "conversion_id"]);

const BENEFIT: Set = EVERY.and(Set::of(&[
    "benefit.brand",
    "benefit.code",
    "benefit.giver",
    "benefit.id",
    "benefit.kind",
    "benefit.use",
    "benefit.use_id",
    "benefit.voucher_id",
    "funder",
]));
const REVERSES: Set = Set::of(&["benefit.reverses"]);

const BENEFIT_BRAND: usize = place("benefit.brand");
const BENEFIT_GIVER: usize = place("benefit.giver");
const BENEFIT_ID: usize = place("benefit.id");
const BENEFIT_REVERSES: usize = place("benefit.reverses");
const BENEFIT_USE: usize = place("benefit.use");
const BENEFIT_USE_ID: usize = place("benefit.use_id");
const BENEFIT_VOUCHER: usize = place("benefit.voucher_id");
const ADJUSTMENT_ID: usize = place("adjustment.id");
const AMOUNT: usize = place("amount");
const AT: usize = place("at");
const BUSINESS_DATE: usize = place("business_date");
const CONVERSION_ID: usize = place("conversion_id");
const COUNTERPARTY: usize = place("counterparty");
const CURRENCY: usize = place("currency");
const DEBIT: usize = place("debit_points");
const DEN: usize = place("rate.den");
const FEE: usize = place("fee");
const FEE_BASIS_POINTS: usize = place("fee_basis_points");
const FROM: usize = place("from");
const FUNDER: usize = place("funder");
const KIND: usize = place("kind");
const LINE_ID: usize = place("line_id");
const LINE_NO: usize = place("line_no");
const NUM: usize = place("rate.num");
const ORIGINAL_LINE: usize = place("original_line");
const ORIGINAL_WINDOW: usize = place("original_window");
const PARTICIPANT: usize = place("participant");
const POINTS: usize = place("points");
const PRICE: usize = place("price");
const REVERSAL_ID: usize = place("reversal_id");
const TO: usize = place("to");
const TOKEN_ID: usize = place("token");
const V: usize = place("v");
const WINDOW: usize = place("window");

/// Judges lines one after the other; it remembers what many of them share.
#[derive(Debug, Default)]
pub struct Judge {
    at: String,
    day: String,
}

impl Judge {
    /// What the line adds to the sums, or the first thing that is wrong with it.
    pub fn judge<'a>(&mut self, line: &Line<'a>, owner: &Owner) -> Result<Counted<'a>, Wrong> {
        let kind = kind(line)?;
        if line.whole(V) != 1 {
            return Err(Wrong::Version(line.whole(V)));
        }
        belongs(line, owner)?;
        self.day(line)?;
        let counterparty = line.text(COUNTERPARTY);
        let what = match kind {
            Kind::Adjustment => adjusted(line)?,
            Kind::Benefit => used(line)?,
            Kind::Conversion | Kind::Bonus | Kind::Fee => posted(line, kind)?,
        };
        Ok(Counted { line_no: line.whole(LINE_NO), counterparty, what })
    }

    /// An instant in microseconds, and a day that it may be on.
    fn day(&mut self, line: &Line<'_>) -> Result<(), Wrong> {
        let (at, day) = (line.text(AT), line.text(BUSINESS_DATE));
        if (at, day) == (self.at.as_str(), self.day.as_str()) {
            return Ok(());
        }
        let spelled = DateTime::parse_from_rfc3339(at).ok().map(|instant| instant.to_utc());
        let spelled = spelled.filter(|instant| lines::instant(*instant) == at);
        let instant = spelled.ok_or_else(|| spelling(AT, at, "instant"))?;
        let date: Option<NaiveDate> = day.parse().ok();
        let date = date.filter(|date| date.to_string() == day).ok_or_else(|| spelling(BUSINESS_DATE, day, "day"))?;
        // Zones are less than a day from UTC.
        if date.signed_duration_since(instant.date_naive()).num_days().abs() > 1 {
            return Err(Wrong::Day { date: day.to_owned(), at: at.to_owned() });
        }
        (self.at, self.day) = (at.to_owned(), day.to_owned());
        Ok(())
    }
}

fn spelling(place: usize, value: &str, wanted: &'static str) -> Wrong {
    Wrong::Spelling { member: COLUMNS[place], value: value.to_owned(), wanted }
}

/// The line's kind, once it has all members that such a line has and no others.
fn kind(line: &Line<'_>) -> Result<Kind, Wrong> {
    let code = line.text(KIND);
    let all = [Kind::Conversion, Kind::Bonus, Kind::Fee, Kind::Adjustment, Kind::Benefit];
    let known = all.into_iter().find(|kind| kind.code() == code);
    let Some(kind) = known else {
        return Err(if code.is_empty() { Wrong::Missing("kind") } else { Wrong::Kind(code.to_owned()) });
    };
    let present = line.present();
    let (required, optional) = match kind {
        Kind::Conversion => (CONVERSION, CODES.and(REFERENCE)),
        Kind::Bonus => (BONUS, CODES.and(REFERENCE)),
        Kind::Fee => (POSTED, CODES),
        Kind::Adjustment => (ADJUSTMENT, CODES.and(ADJUSTED_FOR)),
        Kind::Benefit => (BENEFIT, CODES.and(REFERENCE).and(REVERSES).and(TOKEN)),
    };
    let is_posted = !matches!(kind, Kind::Adjustment | Kind::Benefit);
    let taken = if is_posted && TAKEN.beyond(present) != Some("original_line") { TAKEN } else { Set::default() };
    let known = is_posted && line.text(PARTICIPANT) != "operator";
    let required = required.and(taken).and(if known { TOKEN } else { Set::default() });
    if let Some(missing) = required.beyond(present) {
        return Err(Wrong::Missing(missing));
    }
    match present.beyond(required.and(optional)) {
        Some(beyond) => Err(Wrong::Beyond(beyond)),
        None => Ok(kind),
    }
}

/// Whether the line is of this participant and window.
pub fn belongs(line: &Line<'_>, owner: &Owner) -> Result<(), Wrong> {
    if line.text(PARTICIPANT) != owner.participant {
        return Err(Wrong::Participant(line.text(PARTICIPANT).to_owned()));
    }
    if line.whole(WINDOW) != owner.window {
        return Err(Wrong::Window(line.whole(WINDOW)));
    }
    match &owner.currency {
        Some(currency) if line.text(CURRENCY) != currency => Err(Wrong::Currency(line.text(CURRENCY).to_owned())),
        Some(_) | None => Ok(()),
    }
}

fn adjusted(line: &Line<'_>) -> Result<What, Wrong> {
    let source = id(line, ADJUSTMENT_ID, "adj_")?;
    let place = id(line, LINE_ID, "lin_")? ^ source;
    // The one who pays is 1, the one who is paid 2.
    if !(1..=2).contains(&place) {
        return Err(Wrong::Id("line_id"));
    }
    Ok(What::Adjusted(money(line, AMOUNT)?))
}

/// The giver is owed what who pays owes; what takes a use back is turned, and names it. What the giver pays itself is a
/// memo of nothing.
fn used(line: &Line<'_>) -> Result<What, Wrong> {
    let (giver, brand, funder) = (line.text(BENEFIT_GIVER), line.text(BENEFIT_BRAND), line.text(FUNDER));
    let (participant, counterparty) = (line.text(PARTICIPANT), line.text(COUNTERPARTY));
    let is_giver = participant == giver;
    let is_memo = funder == giver;
    let payer = if is_memo { brand } else { funder };
    let pays = funder == "operator" || funder == brand || is_memo;
    let pair = if is_giver { counterparty == payer } else { participant == payer && counterparty == giver };
    if !pays || !pair || payer == giver {
        let (participant, counterparty) = (participant.to_owned(), counterparty.to_owned());
        let kind = Kind::Benefit.code();
        return Err(Wrong::Parties { kind, participant, counterparty, from: brand.to_owned(), to: giver.to_owned() });
    }
    let own = id(line, BENEFIT_USE_ID, "use_")?;
    id(line, BENEFIT_ID, "bnf_")?;
    id(line, BENEFIT_VOUCHER, "vch_")?;
    if id(line, LINE_ID, "lin_")? ^ own != if is_giver { 2 } else { 1 } {
        return Err(Wrong::Id("line_id"));
    }
    let is_back = match line.text(BENEFIT_USE) {
        "issue" | "redemption" => false,
        "reversal" | "refund" => true,
        other => return Err(spelling(BENEFIT_USE, other, "use")),
    };
    if is_back != line.present().has(BENEFIT_REVERSES) {
        return Err(if is_back { Wrong::Missing("benefit.reverses") } else { Wrong::Beyond("benefit.reverses") });
    }
    if is_back {
        id(line, BENEFIT_REVERSES, "use_")?;
    }
    if line.present().has(TOKEN_ID) {
        id(line, TOKEN_ID, "tok_")?;
    }
    let amount = money(line, AMOUNT)?;
    let owed = if is_giver == is_back { amount.negated() } else { amount };
    if owed.get() < 0 || (is_memo && amount != Millionths::ZERO) {
        return Err(spelling(AMOUNT, line.text(AMOUNT), "amount of such a use"));
    }
    Ok(What::Used { amount, is_giver })
}

fn posted(line: &Line<'_>, kind: Kind) -> Result<What, Wrong> {
    let (whose, counterparty) = parties(line, kind)?;
    let taken = taken(line)?;
    ids(line, kind, whose)?;
    let points = line.whole(POINTS);
    if points == 0 || (points < 0) != taken.is_some() {
        return Err(Wrong::Sign { points, taken: taken.is_some() });
    }
    let amount = money(line, AMOUNT)?;
    let price = money(line, PRICE)?;
    let memo = kind == Kind::Bonus && line.text(FUNDER) == line.text(TO);
    let worth = i128::from(points) * i128::from(price.get());
    let fee = if kind == Kind::Conversion { money(line, FEE)? } else { Millionths::ZERO };
    match kind {
        Kind::Fee => self::fee(line, amount, (points, price), taken.is_some())?,
        Kind::Conversion | Kind::Bonus => {
            // The target is always who is paid.
            let wanted = match whose {
                _ if memo => 0,
                Party::To => worth,
                Party::From | Party::Operator => -worth,
            };
            if i128::from(amount.get()) != wanted {
                return Err(Wrong::Amount { amount, points, price, wanted: decimal(wanted) });
            }
        }
        Kind::Adjustment | Kind::Benefit => {}
    }
    if kind == Kind::Conversion {
        rate(line, points)?;
        // Nobody but the payer has one; whoever pays it, pays all of it.
        if fee != Millionths::ZERO {
            self::fee(line, fee, (points, price), taken.is_some())?;
        }
    }
    let part = Part { whose, counterparty, kind, campaign: None, points, amount, fee };
    Ok(What::Posted(part, taken))
}

/// Who the line is of, and against whom.
fn parties(line: &Line<'_>, kind: Kind) -> Result<(Party, Party), Wrong> {
    let (from, to, funder) = (line.text(FROM), line.text(TO), line.text(FUNDER));
    let party = |text: &str| match text {
        "operator" => Some(Party::Operator),
        _ if text == from => Some(Party::From),
        _ if text == to => Some(Party::To),
        _ => None,
    };
    let pair = (party(line.text(PARTICIPANT)), party(line.text(COUNTERPARTY)));
    let fits = from != to
        && match (kind, pair) {
            (Kind::Conversion, (Some(whose), Some(other))) => {
                (whose, other) == (Party::From, Party::To) || (whose, other) == (Party::To, Party::From)
            }
            (Kind::Bonus, (Some(whose), Some(other))) => match party(funder) {
                Some(Party::To) => (whose, other) == (Party::To, Party::From),
                Some(funder) => (whose, other) == (funder, Party::To) || (whose, other) == (Party::To, funder),
                None => false,
            },
            (Kind::Fee, (Some(whose), Some(other))) => whose == Party::Operator && other != Party::Operator,
            (Kind::Adjustment | Kind::Benefit, _) | (_, (None, _) | (_, None)) => false,
        };
    if let (true, (Some(whose), Some(other))) = (fits, pair) {
        return Ok((whose, other));
    }
    Err(Wrong::Parties {
        kind: kind.code(),
        participant: line.text(PARTICIPANT).to_owned(),
        counterparty: line.text(COUNTERPARTY).to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
    })
}

fn taken(line: &Line<'_>) -> Result<Option<Taken>, Wrong> {
    if !line.present().has(REVERSAL_ID) {
        return Ok(None);
    }
    let (window, original) = (line.whole(WINDOW), line.whole(ORIGINAL_WINDOW));
    match window.cmp(&original) {
        std::cmp::Ordering::Less => Err(Wrong::Original { window, original }),
        std::cmp::Ordering::Equal => Ok(Some(Taken::OfThisWindow)),
        std::cmp::Ordering::Greater => Ok(Some(Taken::OfEarlier)),
    }
}

/// A line's id is that of what was posted with the line's place in it.
fn ids(line: &Line<'_>, kind: Kind, whose: Party) -> Result<(), Wrong> {
    let conversion = id(line, CONVERSION_ID, "cnv_")?;
    let own = id(line, LINE_ID, "lin_")?;
    if line.present().has(TOKEN_ID) {
        id(line, TOKEN_ID, "tok_")?;
    }
    let place = if line.present().has(REVERSAL_ID) {
        let place = own ^ id(line, REVERSAL_ID, "rev_")?;
        if id(line, ORIGINAL_LINE, "lin_")? ^ conversion != place {
            return Err(Wrong::Id("original_line"));
        }
        place
    } else {
        own ^ conversion
    };
    let side = match whose {
        Party::From => 1,
        Party::To => 2,
        Party::Operator => 3,
    };
    let campaigns = if kind == Kind::Bonus { 1..=u128::from(CAMPAIGNS_MAX) } else { 0..=0 };
    if place % 4 == side && campaigns.contains(&(place / 4)) { Ok(()) } else { Err(Wrong::Id("line_id")) }
}

/// Only exact multiples move: what was debited is, at the rate, just what was credited.
fn rate(line: &Line<'_>, points: i64) -> Result<(), Wrong> {
    let (debit, den, num) = (line.whole(DEBIT), line.whole(DEN), line.whole(NUM));
    let exact = i128::from(debit) * i128::from(num) == i128::from(points) * i128::from(den);
    if exact && den > 0 && num > 0 { Ok(()) } else { Err(Wrong::Rate { debit, den, num, points }) }
}

/// A fee is what the operator is owed, and turned round at who pays it; turned again where it is given back. What a
/// reversal gives back of one is floored over all of them together, so that one of them may be a millionth off its own.
fn fee(line: &Line<'_>, fee: Millionths, (points, price): (i64, Millionths), taken: bool) -> Result<(), Wrong> {
    let basis_points = line.whole(FEE_BASIS_POINTS);
    let product = i128::from(points.abs()) * i128::from(price.get()) * i128::from(basis_points);
    let paid = line.text(PARTICIPANT) != "operator";
    let turned = |value: i128| if paid == taken { value } else { -value };
    let (own, wanted) = (turned(i128::from(fee.get())), product.div_euclid(10_000));
    if own >= 0 && own.abs_diff(wanted) <= u128::from(taken) {
        return Ok(());
    }
    let wanted = decimal(turned(wanted));
    Err(Wrong::Fee { fee, basis_points, points, price, wanted })
}

/// Reads an amount in its one spelling.
fn money(line: &Line<'_>, place: usize) -> Result<Millionths, Wrong> {
    let text = line.text(place);
    read_decimal(text.as_bytes()).map(Millionths::new).ok_or_else(|| spelling(place, text, "amount"))
}

/// `Millionths::parse` of what `Millionths` prints, and of nothing else; ten times as fast.
fn read_decimal(text: &[u8]) -> Option<i64> {
    let (negative, digits) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let point = digits.iter().position(|byte| *byte == b'.')?;
    let (whole, fraction) = (&digits[..point], &digits[point + 1..]);
    let spelled = matches!(whole, [b'0'] | [b'1'..=b'9', ..])
        && matches!(fraction.len(), 2..=6)
        && (fraction.len() == 2 || !fraction.ends_with(b"0"));
    let mut value = 0_i64;
    let zeros = std::iter::repeat_n(&b'0', 6_usize.checked_sub(fraction.len())?);
    for digit in whole.iter().chain(fraction).chain(zeros) {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    let value = if negative { Some(-value).filter(|value| *value != 0) } else { Some(value) };
    value.filter(|_| spelled)
}

fn id(line: &Line<'_>, place: usize, prefix: &str) -> Result<u128, Wrong> {
    let text = line.text(place);
    text.strip_prefix(prefix).and_then(|hex| whole_id(hex.as_bytes())).ok_or_else(|| spelling(place, text, "id"))
}

/// 32 lower-case digits.
fn whole_id(hex: &[u8]) -> Option<u128> {
    let hex: &[u8; 32] = hex.try_into().ok()?;
    hex.iter().try_fold(0_u128, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_amount_is_read_in_the_spelling_it_is_printed_in(value in -i64::MAX..=i64::MAX, shift in 0_u32..64) {
            let value = value >> shift;
            prop_assert_eq!(read_decimal(Millionths::new(value).to_string().as_bytes()), Some(value));
        }

        #[test]
        fn nothing_else_is_an_amount(text in "-?[0-9]{0,3}\\.?[0-9]{0,7}") {
            let printed = Millionths::parse(&text).filter(|value| value.to_string() == text);
            prop_assert_eq!(read_decimal(text.as_bytes()), printed.map(Millionths::get));
        }
    }

    #[test]
    fn an_id_is_32_lower_case_digits() {
        assert_eq!(whole_id(b"000000000000000000000000000000ff"), Some(255));
        for bad in [
            "",
            "ff",
            "000000000000000000000000000000fF",
            "0000000000000000000000000000000ff",
            "+00000000000000000000000000000ff",
        ] {
            assert_eq!(whole_id(bad.as_bytes()), None, "{bad}");
        }
    }
}
