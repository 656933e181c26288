//! What reports share: a signed window with its settings, the facts above every report, cells and columns.

use super::payload::Payload;
use super::{Error, Name, Wanted, words};
use crate::domain::catalogue::Catalogue;
use crate::domain::money::Millionths;
use crate::domain::settlement::Participant;
use crate::domain::settlement::netting::Differs;
use crate::domain::settlement::window::State;
use crate::service::reports::{AS_OF, Cell, Column, Fact, ISSUED, Kind, Report, Section, Text, Word};
use crate::service::settlement::settings::{Named, Settings};
use crate::store::catalogue;
use crate::store::settlement::{reports as stored, statements, windows};
use chrono::NaiveDate;
use diesel::PgConnection;

/// A window that is signed, with what it was settled by and every statement of it.
pub struct Frame {
    pub window: windows::Row,
    pub settings: Settings,
    pub statements: Vec<(statements::Row, Payload)>,
}

impl Frame {
    /// `Err(Refused)` while it is not signed.
    pub fn open(conn: &mut PgConnection, wanted: &Wanted) -> Result<Frame, Error> {
        let window = find_window(conn, wanted)?.ok_or_else(|| refused("say the number of the window"))?;
        if !matches!(window.state, State::Signed | State::Published) {
            let what = format!("window {} is {}: nothing of it is signed yet", window.number, window.state.code());
            return Err(Error::Refused(what));
        }
        let settings = Settings::read(&window.closed()?.settings)?;
        let read = |row: statements::Row| Payload::read(&row).map(|payload| (row, payload));
        let statements = statements::of_window(conn, window.id)?;
        let statements = statements.into_iter().map(read).collect::<Result<_, Error>>()?;
        let frame = Frame { window, settings, statements };
        if let Some(participant) = &wanted.participant {
            frame.named(participant)?;
        }
        Ok(frame)
    }

    /// Who a participant was when the window closed; `Err(NotFound)` when it took no part.
    pub fn named(&self, participant: &Participant) -> Result<&Named, Error> {
        self.settings.participants.get(participant).ok_or(Error::NotFound)
    }

    pub fn statement(&self, of: &Participant) -> Result<&(statements::Row, Payload), Error> {
        self.statements.iter().find(|(row, _)| row.participant == *of).ok_or(Error::NotFound)
    }

    /// The last day of the window.
    pub fn last_day(&self) -> Result<NaiveDate, Error> {
        Ok(self.window.closed()?.dates.last_day)
    }

    /// What is true of the whole report.
    pub fn facts(&self, wanted: &Wanted) -> Result<Vec<Fact>, Error> {
        let closed = self.window.closed()?;
        let alliance = self.named(&Participant::operator())?;
        let mut facts = vec![fact("alliance", "Alliance", "联盟", both(&alliance.name_en, &alliance.name_zh))];
        if let Some(participant) = &wanted.participant {
            let named = self.named(participant)?;
            facts.push(fact("participant", "Participant", "结算参与方", Cell::Text(participant.to_string())));
            facts.push(fact("name", "Name", "名称", both(&named.name_en, &named.name_zh)));
            facts.push(fact("entity", "Legal entity", "法人主体", Cell::Text(named.entity.clone())));
            if !named.tax_code.is_empty() {
                let code = Cell::Text(named.tax_code.clone());
                facts.push(fact("tax_code", "Unified social credit code", "统一社会信用代码", code));
            }
        }
        facts.extend([
            fact("window", "Window", "结算期", Cell::Whole(self.window.number)),
            fact("first_day", "First day", "起始日", Cell::Date(closed.first_day)),
            fact("last_day", "Last day", "截止日", Cell::Date(closed.dates.last_day)),
            fact("zone", "Time zone", "时区", Cell::Text(self.settings.zone()?.name().to_owned())),
            fact("currency", "Currency", "币种", Cell::Text(self.settings.currency.clone())),
            fact("netting", "Netting", "轧差方式", Cell::Word(words::netting(self.settings.netting))),
            fact("rounding", "Rounding", "舍入规则", Cell::Word(words::rounding(self.settings.rounding))),
        ]);
        if let Some(issued_at) = self.window.issued_at {
            facts.push(fact(ISSUED, "Issued", "出具时间", Cell::Instant(issued_at.fixed_offset())));
        }
        facts.extend(self.settings.sandbox.then(sandbox));
        Ok(facts)
    }
}

/// The window whose number is wanted; `None` when none is.
pub fn find_window(conn: &mut PgConnection, wanted: &Wanted) -> Result<Option<windows::Row>, Error> {
    match wanted.window {
        None => Ok(None),
        Some(number) => Ok(Some(windows::numbered(conn, number)?.ok_or(Error::NotFound)?)),
    }
}

/// Facts of a report of what is open. `Err(NotFound)` for a partner that is not in the catalogue.
pub fn open_facts(catalogue: &Catalogue, wanted: &Wanted) -> Result<Vec<Fact>, Error> {
    let alliance = &catalogue.alliance;
    let mut facts = vec![fact("alliance", "Alliance", "联盟", both(&alliance.name.en, &alliance.name.zh))];
    if let Some(participant) = &wanted.participant {
        let (name, entity) = match participant.partner() {
            None => (&alliance.name, &alliance.operator.legal_entity),
            Some(slug) => {
                let partner = catalogue.partners.get(slug).ok_or(Error::NotFound)?;
                (&partner.name, &partner.legal_entity)
            }
        };
        facts.push(fact("participant", "Participant", "结算参与方", Cell::Text(participant.to_string())));
        facts.push(fact("name", "Name", "名称", both(&name.en, &name.zh)));
        facts.push(fact("entity", "Legal entity", "法人主体", Cell::Text(entity.clone())));
    }
    facts.push(fact("currency", "Currency", "币种", Cell::Text(alliance.currency.clone())));
    facts.push(fact("zone", "Time zone", "时区", Cell::Text(alliance.zone.name().to_owned())));
    facts.push(fact(AS_OF, "As of", "截至日期", Cell::Date(wanted.today)));
    facts.extend(alliance.sandbox_start.is_some().then(sandbox));
    Ok(facts)
}

/// Up to which batch the book was read: the same one again is the same book.
pub fn through(conn: &mut PgConnection) -> Result<Fact, Error> {
    let batch = Cell::Whole(stored::last_batch(conn)?);
    Ok(fact("through_batch", "Journal through batch", "分录截至批次", batch))
}

/// The catalogue as it stands.
pub fn catalogue(conn: &mut PgConnection) -> Result<Catalogue, Error> {
    if !catalogue::exists(conn)? {
        return Err(refused("nothing was published yet"));
    }
    Ok(catalogue::load(conn)?)
}

fn sandbox() -> Fact {
    let word = Word::new("sandbox", "Sandbox, not real", "沙箱，非真实");
    fact("sandbox", "Nature", "性质", Cell::Word(word))
}

/// An empty report of this name.
pub fn report(name: Name, facts: Vec<Fact>) -> Report {
    let word = name.word();
    let title = Text::new(word.en, word.zh);
    Report { code: word.code, title, facts, sections: Vec::new(), notes: Vec::new() }
}

pub fn fact(code: &'static str, en: &str, zh: &str, value: Cell) -> Fact {
    Fact { code, label: Text::new(en, zh), value }
}

pub fn column(code: &'static str, en: &str, zh: &str, kind: Kind) -> Column {
    Column::new(code, Text::new(en, zh), kind)
}

pub fn section(code: &'static str, en: &str, zh: &str, columns: Vec<Column>, rows: Vec<Vec<Cell>>) -> Section {
    Section { code, title: Text::new(en, zh), columns, rows, totals: None }
}

/// A name in both languages; once when they are the same.
pub fn both(en: &str, zh: &str) -> Cell {
    Cell::Text(if en == zh || zh.is_empty() { en.to_owned() } else { format!("{en} {zh}") })
}

pub fn text(text: impl ToString) -> Cell {
    Cell::Text(text.to_string())
}

/// A text, or an empty cell for none.
pub fn optional(text: Option<impl ToString>) -> Cell {
    text.map_or(Cell::Empty, |text| Cell::Text(text.to_string()))
}

/// `points` × what one costs, in millionths.
pub fn cost(points: i128, unit_cost: Millionths) -> i128 {
    points * i128::from(unit_cost.get())
}

/// `Err(Differs)` unless two figures that must agree do.
pub fn agree(what: impl FnOnce() -> String, shown: i128, expected: i128) -> Result<(), Error> {
    if shown == expected {
        return Ok(());
    }
    Err(Differs::Journal(format!("{}: {shown}, not {expected} (in millionths or points)", what())).into())
}

pub fn refused(why: &str) -> Error {
    Error::Refused(why.to_owned())
}
