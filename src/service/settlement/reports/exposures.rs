//! What is not settled yet, against the stop lines: as it stands, or as it stood when a window ended.

use super::frame::{Frame, catalogue, column, find_window, open_facts, report, section, text, through};
use super::{Error, Name, Wanted, broken};
use crate::book::exposures::ExposureKey;
use crate::domain::ids::Slug;
use crate::domain::money::Millionths;
use crate::service::reports::{Cell, Column, Kind, Report, Text, Word};
use crate::service::settlement::exposures::Level;
use crate::store::settlement::reports::{self as stored, Exposure};
use diesel::PgConnection;

pub fn make(conn: &mut PgConnection, wanted: &Wanted) -> Result<Report, Error> {
    let (facts, rows) = match find_window(conn, wanted)? {
        Some(window) => (Frame::open(conn, wanted)?.facts(wanted)?, stored::exposures_at(conn, window.id)?),
        None => {
            let mut facts = open_facts(&catalogue(conn)?, wanted)?;
            facts.push(through(conn)?);
            (facts, stored::exposures(conn)?)
        }
    };
    let own = wanted.participant.as_ref();
    // The operator has no exposure of its own.
    let shown = |slug: &Slug| own.is_none_or(|own| own.partner() == Some(slug));
    let (mut partners, mut pairs) = (Vec::new(), Vec::new());
    for row in &rows {
        match ExposureKey::parse(&row.key).ok_or_else(|| broken(format!("exposure `{}`", row.key)))? {
            ExposureKey::Partner(slug) if shown(&slug) => {
                partners.push([text(&row.key), text(&slug)].into_iter().chain(figures(row)).collect());
            }
            ExposureKey::Pair(from, to) if shown(&from) || shown(&to) => {
                pairs.push([text(&row.key), text(&from), text(&to)].into_iter().chain(figures(row)).collect());
            }
            ExposureKey::Partner(_) | ExposureKey::Pair(..) => {}
        }
    }
    let mut made = report(Name::Exposures, facts);
    let key = || column("key", "Key", "敞口键", Kind::Text);
    let partner = vec![key(), column("partner", "Partner", "合作品牌", Kind::Text)];
    let pair = vec![key(), column("from", "From", "转出方", Kind::Text), column("to", "To", "转入方", Kind::Text)];
    let columns = |first: Vec<Column>| first.into_iter().chain(figure_columns()).collect();
    made.sections = vec![
        section("partners", "Net, by partner", "各品牌净敞口", columns(partner), partners),
        section("pairs", "Gross, by direction", "各方向总敞口", columns(pair), pairs),
    ];
    made.notes = notes(wanted.window.is_some());
    Ok(made)
}

fn figure_columns() -> [Column; 5] {
    [
        column("value", "Exposure", "敞口", Kind::Money),
        column("cap", "Stop line", "上限", Kind::Money),
        column("left", "Left", "剩余额度", Kind::Money),
        column("used", "Used", "已用比例", Kind::Percent),
        column("state", "State", "状态", Kind::Text),
    ]
}

fn figures(row: &Exposure) -> [Cell; 5] {
    let value = Cell::Money(row.value.into());
    let Some(cap) = row.cap else { return [value, Cell::Empty, Cell::Empty, Cell::Empty, Cell::Empty] };
    // Whoever is owed uses nothing of its line. A line of nothing cannot be used in part.
    let used = i128::from(row.value.max(0)) * 10_000;
    let used = used.checked_div(i128::from(cap)).and_then(|share| i64::try_from(share).ok());
    let left = Millionths::new(cap).minus(Millionths::new(row.value)).map_or(Cell::Empty, Cell::money);
    let used = used.map_or(Cell::Empty, Cell::BasisPoints);
    [value, Cell::Money(cap.into()), left, used, Cell::Word(state(row.value, cap))]
}

/// Where the book warns and where it stops.
fn state(value: i64, cap: i64) -> Word {
    match Level::of(value, cap) {
        Level::Reached => Word::new("reached", "Reached", "已触及上限"),
        Level::Warned => Word::new("warned", "80% or more", "达到 80%"),
        Level::Within => Word::new("within", "Within", "额度内"),
    }
}

fn notes(of_a_window: bool) -> Vec<Text> {
    let mut notes = vec![Text::new(
        "A partner's exposure is what it would pay if everything not settled were netted now, negative when it would be paid; a direction's is the gross value of its lines not settled. Lines leave both when their debtor has paid, or at signing when it owes nothing net.",
        "品牌敞口为此刻全部未结算项目轧差后其应付净额，负数为应收；方向敞口为该方向未结算明细的总额。付款方付清后（或签署时净额无须付款）明细退出敞口。",
    )];
    notes.push(match of_a_window {
        true => Text::new(
            "As it stood when the window ended. What the stop lines were then is not kept.",
            "为结算期截止时的敞口；当时的上限未予留存。",
        ),
        false => Text::new(
            "As it stands at the moment above, business time; no stop line: none is agreed.",
            "为上列业务时间的敞口；未列上限者为未约定上限。",
        ),
    });
    notes
}
