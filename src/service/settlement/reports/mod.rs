//! Finance reports: filled from what is signed, or from the book as it stands, for the renderings of `service::reports`.
//!
//! A report of a window is made of what was frozen and signed with it, so that making it again gives the same bytes; what
//! has become of it since (signatures, payments, states) is told as it stands. A report of what is open says of which day
//! it is, and through which batch of the journal. Nothing here reads a clock, and every figure that can be checked against another is, before it is shown.
//!
//! `statement` · `pairs` · `summary` · `journal` · `invoices` are of a window; `exposures` of a window's end or of now;
//! `liability` · `points` · `ageing` · `rates` of now. `frame` what they share, `payload` a signed statement read back,
//! `words` what is called what.

mod ageing;
mod exposures;
mod frame;
mod invoices;
mod journal;
mod liability;
mod pairs;
mod payload;
mod points;
mod rates;
mod statement;
mod summary;
mod taken;
pub mod words;

pub use points::Heading;

use super::{Error, broken};
use crate::domain::ids::Slug;
use crate::domain::settlement::Participant;
use crate::service::reports::{Report, Word};
use crate::store::catalogue;
use crate::store::settlement::reports as stored;
use chrono::NaiveDate;
use diesel::PgConnection;

/// The reports there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// One participant's window.
    Statement,
    /// Who owes whom for a window, two by two.
    Pairs,
    /// A window of the whole alliance.
    Summary,
    /// A window as bookings in the general ledger.
    Journal,
    /// The operator's invoices for a window's fees.
    Invoices,
    /// What is not settled yet, against its stop lines.
    Exposures,
    /// Outstanding points, when they end, and what they cost.
    Liability,
    /// Points from one month to the next.
    Points,
    /// What is owed, by how late it is.
    Ageing,
    /// Every version of rates, agreements and campaigns.
    Rates,
}

/// What a report is to be about.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Number of the window.
    pub window: Option<i64>,
    /// Whose: nothing of anybody else's is shown. `None`: everybody's, for the operator.
    pub participant: Option<Participant>,
    /// Of rates: only those between the two.
    pub pair: Option<(Slug, Slug)>,
    /// The business day in the alliance's zone: what is open is judged late by it. Not the moment, so that a report that is
    /// made again of the same book is the same.
    pub today: NaiveDate,
}

impl Wanted {
    /// Everything there is, as of a business day.
    pub fn on(today: NaiveDate) -> Wanted {
        Wanted { window: None, participant: None, pair: None, today }
    }

    /// Everything there is, today.
    pub fn now(conn: &mut PgConnection) -> Result<Wanted, Error> {
        let zone = catalogue::load(conn)?.alliance.zone;
        Ok(Wanted::on(catalogue::business_day(conn, zone)?))
    }
}

impl Name {
    pub const ALL: [Name; 10] = [
        Name::Statement,
        Name::Pairs,
        Name::Summary,
        Name::Journal,
        Name::Invoices,
        Name::Exposures,
        Name::Liability,
        Name::Points,
        Name::Ageing,
        Name::Rates,
    ];

    pub fn code(self) -> &'static str {
        self.word().code
    }

    pub fn parse(code: &str) -> Option<Name> {
        Name::ALL.into_iter().find(|name| name.code() == code)
    }

    /// Its code and what it is called.
    pub fn word(self) -> Word {
        match self {
            Name::Statement => Word::new("statement", "Settlement statement", "结算对账单"),
            Name::Pairs => Word::new("pairs", "Pair matrix", "两两结算矩阵"),
            Name::Summary => Word::new("summary", "Alliance summary", "联盟结算汇总"),
            Name::Journal => Word::new("journal", "General ledger journal", "总账记账凭证"),
            Name::Invoices => Word::new("invoices", "Fee invoices", "手续费开票清单"),
            Name::Exposures => Word::new("exposures", "Exposures", "敞口表"),
            Name::Liability => Word::new("liability", "Points liability", "积分负债表"),
            Name::Points => Word::new("points", "Points by month", "积分变动表"),
            Name::Ageing => Word::new("ageing", "Ageing", "账龄分析表"),
            Name::Rates => Word::new("rates", "Rate history", "汇率历史"),
        }
    }

    /// Whether it is of one window, whose number it must be given.
    pub fn needs_window(self) -> bool {
        match self {
            Name::Statement | Name::Pairs | Name::Summary | Name::Journal | Name::Invoices => true,
            Name::Exposures | Name::Liability | Name::Points | Name::Ageing | Name::Rates => false,
        }
    }

    /// Whether it is of one participant, who must be named.
    pub fn needs_participant(self) -> bool {
        self == Name::Statement
    }

    /// Whether a partner may be given it about itself; the others are the operator's alone.
    pub fn is_for_partners(self) -> bool {
        self != Name::Summary
    }
}

/// Makes a report, all of it in one snapshot. `Err(Refused)` when it was asked for wrongly, `Err(NotFound)` for a window or
/// participant that is not there, `Err(Differs)` or `Err(Broken)` when figures that must agree do not.
pub fn make(conn: &mut PgConnection, name: Name, wanted: &Wanted) -> Result<Report, Error> {
    conn.build_transaction().repeatable_read().read_only().run(|conn| {
        stored::begin(conn)?;
        let mut made = match name {
            Name::Statement => statement::make(conn, wanted),
            Name::Pairs => pairs::make(conn, wanted),
            Name::Summary => summary::make(conn, wanted),
            Name::Journal => journal::make(conn, wanted),
            Name::Invoices => invoices::make(conn, wanted),
            Name::Exposures => exposures::make(conn, wanted),
            Name::Liability => liability::make(conn, wanted),
            Name::Points => points::make(conn, wanted),
            Name::Ageing => ageing::make(conn, wanted),
            Name::Rates => rates::make(conn, wanted),
        }?;
        made.in_zone(catalogue::load(conn)?.alliance.zone);
        Ok(made)
    })
}

/// A file's name without its ending, in plain ASCII: `statement-w0003-velvet`, `liability-20260531`.
pub fn file_stem(name: Name, wanted: &Wanted) -> String {
    let mut stem = name.code().to_owned();
    match wanted.window {
        Some(window) if name.needs_window() || name == Name::Exposures => stem += &format!("-w{window:04}"),
        Some(_) | None => stem += &wanted.today.format("-%Y%m%d").to_string(),
    }
    if let Some(participant) = &wanted.participant {
        stem += &format!("-{participant}");
    }
    if let Some((one, other)) = wanted.pair.as_ref().filter(|_| name == Name::Rates) {
        stem += &format!("-{one}-{other}");
    }
    stem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_report_is_read_back_by_its_code() {
        assert!(Name::ALL.iter().all(|name| Name::parse(name.code()) == Some(*name)));
        assert_eq!(Name::parse("Statement"), None);
    }

    #[test]
    fn files_are_named_by_what_is_in_them() {
        let mut wanted = Wanted::on("2026-05-31".parse().expect("a day"));
        assert_eq!(file_stem(Name::Liability, &wanted), "liability-20260531");
        wanted.participant = Participant::parse("velvet");
        wanted.window = Some(3);
        assert_eq!(file_stem(Name::Statement, &wanted), "statement-w0003-velvet");
        assert_eq!(file_stem(Name::Ageing, &wanted), "ageing-20260531-velvet");
        wanted.pair = Some(("velvet".parse().expect("a slug"), "nest".parse().expect("a slug")));
        assert_eq!(file_stem(Name::Rates, &wanted), "rates-20260531-velvet-velvet-nest");
    }
}
