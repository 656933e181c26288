//! A window as bookings in the general ledger of every legal entity, under the account codes frozen with the window.
//!
//! Every figure of a statement is one entry of two lines, rounded to the currency's smallest unit, since ledgers take no
//! more: what is owed against what it is owed for. Where figures rounded one by one come to another sum than the net,
//! which was rounded once, the difference is an entry of its own. Debits must be credits, and receivable less payable the
//! statement's net with every counterparty, or there is no journal.

use super::frame::{Frame, agree, both, column, report, section, text};
use super::payload::{Counterparty, Payload};
use super::statement::seen_by;
use super::taken::{Taken, taken};
use super::words::{self, Account};
use super::{Error, Name, Wanted, broken};
use crate::domain::money::minor_digits;
use crate::domain::settlement::netting;
use crate::domain::settlement::tally::Sort;
use crate::service::reports::{Cell, Kind, Report, Section, Text, Word};
use crate::service::settlement::settings::Named;
use crate::store::settlement::reports::{self as stored, Adjustment};
use chrono::NaiveDate;
use diesel::PgConnection;
use std::collections::BTreeMap;

/// One line of a ledger. Debit above zero, credit below, in millionths.
#[derive(Clone, Debug)]
struct Line {
    entry: i64,
    account: Account,
    counterparty: String,
    figure: Word,
    note: String,
    value: i128,
}

/// The bookings of one participant.
struct Books<'a> {
    frame: &'a Frame,
    payload: &'a Payload,
    named: &'a Named,
    taken: &'a Taken,
    adjustments: &'a [Adjustment],
    entries: i64,
    lines: Vec<Line>,
}

pub fn make(conn: &mut PgConnection, wanted: &Wanted) -> Result<Report, Error> {
    let frame = Frame::open(conn, wanted)?;
    let taken = taken(conn, &frame)?;
    let adjustments = stored::adjustments(conn, frame.window.id, None)?;
    // By entity, then by participant: two brands may be of one entity.
    let mut books: BTreeMap<(&str, &str), Books<'_>> = BTreeMap::new();
    for (_, payload) in &frame.statements {
        let of = &payload.participant;
        if wanted.participant.as_ref().is_some_and(|wanted| wanted != of) {
            continue;
        }
        let named = frame.named(of)?;
        let (taken, adjustments, lines) = (&taken, adjustments.as_slice(), Vec::new());
        let mut own = Books { frame: &frame, payload, named, taken, adjustments, entries: 0, lines };
        own.book()?;
        books.insert((&payload.entity, of.as_str()), own);
    }
    let mut made = report(Name::Journal, frame.facts(wanted)?);
    made.sections = vec![proof(&books)?, balances(&books)?, journal(&books, frame.last_day()?)?];
    made.notes = notes();
    Ok(made)
}

impl Books<'_> {
    fn is_operator(&self) -> bool {
        self.payload.participant.is_operator()
    }

    fn round(&self, exact: i128) -> i128 {
        netting::round(exact, minor_digits(&self.frame.settings.currency), self.frame.settings.rounding)
    }

    fn book(&mut self) -> Result<(), Error> {
        let payload = self.payload;
        for with in &payload.counterparties {
            self.with(with)?;
        }
        self.fees()?;
        self.check()
    }

    /// Every figure with one counterparty, and what rounding leaves.
    fn with(&mut self, with: &Counterparty) -> Result<(), Error> {
        let begin = self.lines.len();
        for sort in Sort::ALL {
            let account = match sort {
                Sort::Reversal | Sort::EarlierReversal => {
                    self.taken_back(sort, with);
                    continue;
                }
                Sort::Adjustment => {
                    self.adjusted(with)?;
                    continue;
                }
                Sort::Out => Account::PointsOut,
                Sort::In => Account::PointsIn,
                // What is given to members at another's cost is booked as campaigns are.
                Sort::BonusByMe | Sort::BenefitPaid => Account::Bonus,
                Sort::BonusByOthers | Sort::BenefitGiven => Account::BonusIncome,
                Sort::Fee | Sort::FeeBack => Account::Fee,
            };
            self.owed(words::sort(sort), account, with, with.figures.sum(&[sort]), String::new());
        }
        let booked = control(&self.lines[begin..]);
        let rounding = i128::from(with.total.get()) - booked;
        let receivable = self.lines[begin..].iter().any(|line| line.account == Account::Receivable);
        let side = if receivable { Account::Receivable } else { Account::Payable };
        self.entry(words::ROUNDING, (side, Account::Adjustment), with.counterparty.as_str(), rounding, String::new());
        let name = &self.payload.participant;
        let what = || format!("receivable less payable of {name} with {}", with.counterparty);
        agree(what, control(&self.lines[begin..]), with.total.get().into())
    }

    /// What was taken back, out of the accounts it went to.
    fn taken_back(&mut self, sort: Sort, with: &Counterparty) {
        let of = &self.payload.participant;
        let own = |((whose, other, of_sort, _), _): &(&(_, _, Sort, Account), &i128)| {
            whose == of && *other == with.counterparty && *of_sort == sort
        };
        let own: Vec<(Account, i128)> =
            self.taken.amounts.iter().filter(own).map(|(key, value)| (key.3, *value)).collect();
        for (account, value) in own {
            self.owed(words::sort(sort), account, with, value, String::new());
        }
    }

    /// One entry an adjustment, with its reason.
    fn adjusted(&mut self, with: &Counterparty) -> Result<(), Error> {
        let of = &self.payload.participant;
        let ours = |row: &&Adjustment| row.from == of.as_str() || row.to == of.as_str();
        let rows: Vec<&Adjustment> = self
            .adjustments
            .iter()
            .filter(ours)
            .filter(|row| seen_by(of, row).0 == with.counterparty.as_str())
            .collect();
        let mut sum = 0;
        for row in rows {
            let value = i128::from(seen_by(of, row).1.get());
            sum += value;
            let note = format!("{} ({}; {})", row.reason, row.approved_by, row.id);
            self.owed(words::sort(Sort::Adjustment), Account::Adjustment, with, value, note);
        }
        let what = || format!("the adjustments of {of} with {}", with.counterparty);
        agree(what, sum, with.figures.sum(&[Sort::Adjustment]))
    }

    /// Books what is owed against what it is owed for: costs against payable, incomes against receivable.
    fn owed(&mut self, figure: Word, account: Account, with: &Counterparty, exact: i128, note: String) {
        let side = match account {
            Account::PointsOut | Account::Bonus => Account::Payable,
            Account::PointsIn | Account::BonusIncome => Account::Receivable,
            Account::Fee if self.is_operator() => Account::Receivable,
            Account::Fee => Account::Payable,
            _ if exact > 0 => Account::Receivable,
            _ => Account::Payable,
        };
        let value = self.round(exact);
        self.entry(figure, (side, account), with.counterparty.as_str(), value, note);
    }

    /// One entry: above zero the first account is debited and the second credited. Nothing is no entry.
    fn entry(&mut self, figure: Word, accounts: (Account, Account), counterparty: &str, value: i128, note: String) {
        if value == 0 {
            return;
        }
        self.entries += 1;
        let line = |account, value| Line {
            entry: self.entries,
            account,
            counterparty: counterparty.to_owned(),
            figure,
            note: note.clone(),
            value,
        };
        let mut lines = [line(accounts.0, value), line(accounts.1, -value)];
        // The debit comes first.
        lines.sort_by_key(|line| line.value < 0);
        self.lines.extend(lines);
    }

    /// The fee account ends with the statement's fee without tax, the tax account with its tax.
    fn fees(&mut self) -> Result<(), Error> {
        let (net, tax) =
            self.payload.fees.map_or((0, 0), |fees| (i128::from(fees.net.get()), i128::from(fees.tax.get())));
        let gross = net + tax;
        let booked = -self.on(Account::Fee);
        // Fees of several payers, each rounded, may come to another sum than the statement's.
        self.entry(words::ROUNDING, (Account::Adjustment, Account::Fee), "", gross - booked, String::new());
        self.entry(words::TAX, (Account::Fee, Account::Tax), "", tax, String::new());
        let name = &self.payload.participant;
        agree(|| format!("the fee account of {name}"), -self.on(Account::Fee), net)?;
        agree(|| format!("the tax account of {name}"), -self.on(Account::Tax), tax)
    }

    /// What is left on an account: debits less credits.
    fn on(&self, account: Account) -> i128 {
        self.lines.iter().filter(|line| line.account == account).map(|line| line.value).sum()
    }

    fn check(&self) -> Result<(), Error> {
        let name = &self.payload.participant;
        agree(|| format!("debits less credits of {name}"), self.lines.iter().map(|line| line.value).sum(), 0)?;
        let net = self.payload.net.get().into();
        agree(|| format!("receivable less payable of {name}"), control(&self.lines), net)
    }

    fn code(&self, account: Account) -> Result<&str, Error> {
        let name = account.word(self.is_operator()).code;
        let code = self.named.accounts.get(name).map(String::as_str);
        code.ok_or_else(|| broken(format!("{} has no account for {name}", self.payload.participant)))
    }
}

/// Receivable and payable together: what is owed to the participant.
fn control(lines: &[Line]) -> i128 {
    let is_control = |line: &&Line| matches!(line.account, Account::Receivable | Account::Payable);
    lines.iter().filter(is_control).map(|line| line.value).sum()
}

type AllBooks<'a> = BTreeMap<(&'a str, &'a str), Books<'a>>;

/// Debits and credits of every participant, and that they come to its statement.
fn proof(books: &AllBooks<'_>) -> Result<Section, Error> {
    let columns = vec![
        column("entity", "Legal entity", "法人主体", Kind::Text),
        column("participant", "Participant", "结算参与方", Kind::Text),
        column("entries", "Entries", "凭证数", Kind::Whole),
        column("debit", "Debits", "借方合计", Kind::Money),
        column("credit", "Credits", "贷方合计", Kind::Money),
        column("booked", "Receivable less payable", "应收减应付", Kind::Money),
        column("net", "Net of the statement", "对账单净额", Kind::Money),
    ];
    let (mut rows, mut all) = (Vec::new(), (0, 0));
    for ((entity, participant), own) in books {
        let (debit, credit) = sides(own.lines.iter().map(|line| line.value));
        agree(|| format!("the debits and credits of {participant}"), debit, credit)?;
        all = (all.0 + debit, all.1 + credit);
        rows.push(vec![
            text(entity),
            text(participant),
            Cell::Whole(own.entries),
            Cell::Money(debit),
            Cell::Money(credit),
            Cell::Money(control(&own.lines)),
            Cell::money(own.payload.net),
        ]);
    }
    let mut totals = vec![Cell::Word(words::TOTAL), Cell::Empty, Cell::Empty, Cell::Money(all.0), Cell::Money(all.1)];
    totals.extend([Cell::Empty, Cell::Empty]);
    Ok(Section { totals: Some(totals), ..section("proof", "Proof", "平衡核对", columns, rows) })
}

fn sides(values: impl Iterator<Item = i128>) -> (i128, i128) {
    values.fold((0, 0), |(debit, credit), value| (debit + value.max(0), credit + (-value).max(0)))
}

/// What every account of an entity was debited and credited with.
fn balances(books: &AllBooks<'_>) -> Result<Section, Error> {
    let columns = vec![
        column("entity", "Legal entity", "法人主体", Kind::Text),
        column("account", "Account", "科目编码", Kind::Text),
        column("account_name", "Name", "科目名称", Kind::Text),
        column("debit", "Debit", "借方", Kind::Money),
        column("credit", "Credit", "贷方", Kind::Money),
        column("balance", "Debit less credit", "借贷差额", Kind::Money),
    ];
    // A code may stand for several accounts, and one account has one code a participant.
    let mut sums: BTreeMap<(&str, &str, &str), (Word, Vec<i128>)> = BTreeMap::new();
    for ((entity, _), own) in books {
        for line in &own.lines {
            let word = line.account.word(own.is_operator());
            let sum = sums.entry((entity, own.code(line.account)?, word.code)).or_insert_with(|| (word, Vec::new()));
            sum.1.push(line.value);
        }
    }
    let mut rows = Vec::with_capacity(sums.len());
    for ((entity, code, _), (word, values)) in &sums {
        let (debit, credit) = sides(values.iter().copied());
        let sums = [Cell::Money(debit), Cell::Money(credit), Cell::Money(debit - credit)];
        rows.push([text(entity), text(code), named(*word)].into_iter().chain(sums).collect());
    }
    let (debit, credit) = sides(sums.values().flat_map(|(_, values)| values.iter().copied()));
    let mut totals = vec![Cell::Word(words::TOTAL), Cell::Empty, Cell::Empty];
    totals.extend([Cell::Money(debit), Cell::Money(credit), Cell::Money(debit - credit)]);
    Ok(Section { totals: Some(totals), ..section("accounts", "By account", "科目汇总", columns, rows) })
}

/// What an account is called: its code beside it is the participant's own.
fn named(word: Word) -> Cell {
    both(word.en, word.zh)
}

/// The lines, entity by entity, each entity's entries numbered from 1.
fn journal(books: &AllBooks<'_>, day: NaiveDate) -> Result<Section, Error> {
    let columns = vec![
        column("entity", "Legal entity", "法人主体", Kind::Text),
        column("participant", "Participant", "结算参与方", Kind::Text),
        column("entry", "Entry", "凭证号", Kind::Whole),
        column("day", "Day", "日期", Kind::Date),
        column("account", "Account", "科目编码", Kind::Text),
        column("account_name", "Name", "科目名称", Kind::Text),
        column("counterparty", "Counterparty", "对手方", Kind::Text),
        column("figure", "For", "摘要", Kind::Text),
        column("note", "Note", "说明", Kind::Text),
        column("debit", "Debit", "借方", Kind::Money),
        column("credit", "Credit", "贷方", Kind::Money),
    ];
    let (mut rows, mut before, mut all) = (Vec::new(), ("", 0), (0, 0));
    for ((entity, participant), own) in books {
        if before.0 != *entity {
            before = (entity, 0);
        }
        for line in &own.lines {
            let (debit, credit) = sides([line.value].into_iter());
            all = (all.0 + debit, all.1 + credit);
            let side = |value: i128| if value == 0 { Cell::Empty } else { Cell::Money(value) };
            rows.push(vec![
                text(entity),
                text(participant),
                Cell::Whole(before.1 + line.entry),
                Cell::Date(day),
                text(own.code(line.account)?),
                named(line.account.word(own.is_operator())),
                text(&line.counterparty),
                Cell::Word(line.figure),
                text(&line.note),
                side(debit),
                side(credit),
            ]);
        }
        before.1 += own.entries;
    }
    let mut totals = vec![Cell::Empty; columns.len()];
    (totals[0], totals[9], totals[10]) = (Cell::Word(words::TOTAL), Cell::Money(all.0), Cell::Money(all.1));
    Ok(Section { totals: Some(totals), ..section("journal", "Entries", "记账分录", columns, rows) })
}

fn notes() -> Vec<Text> {
    vec![
        Text::new(
            "Points out and bonuses paid are costs against payable; points in and bonuses received are incomes against receivable; fees are the payer's expense and the operator's income. What was taken back is booked on the other side of the accounts it went to.",
            "转出积分与承担的加赠：借记成本、贷记应付；转入积分与获付的加赠：借记应收、贷记收入；手续费为付费方费用、运营方收入。冲正记入原科目的反方向。",
        ),
        Text::new(
            "Every figure is rounded to the currency's smallest unit; where that comes to another sum than the net, which was rounded once, the difference is booked under adjustments. The tax contained in the fee is taken out of it at the rate the window was settled with.",
            "每项金额舍入到货币最小单位；与一次舍入的净额之差作为尾差记入调整科目。手续费所含税额按结算时税率价税分离。",
        ),
        Text::new(
            "Payments are booked from the bank's own vouchers, against the receivable and payable here. Accounts are those stated when the window closed.",
            "收付款依据银行凭证另行入账，冲减本表应收、应付。科目为结算期截止时声明的科目。",
        ),
    ]
}
