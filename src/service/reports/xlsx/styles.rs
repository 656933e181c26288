//! How the workbook looks.

use super::super::Cell;
use rust_xlsxwriter::{Color, Format, FormatAlign, FormatBorder};

const INK: Color = Color::RGB(0x14_2A_3B);
const QUIET: Color = Color::RGB(0x5B_67_70);
const SHADE: Color = Color::RGB(0xE9_EE_F1);

pub struct Styles {
    pub title: Format,
    pub heading: Format,
    pub label: Format,
    pub note: Format,
    pub header: Format,
    pub header_of_numbers: Format,
    pub fact: Style,
    pub body: Style,
    pub total: Style,
}

/// One look for every kind of cell.
pub struct Style {
    pub text: Format,
    /// A text that becomes no formula when it is edited.
    pub risky: Format,
    /// A number that is kept as a text.
    pub long: Format,
    pub date: Format,
    pub instant: Format,
    whole: Format,
    money: Format,
    percent: Format,
}

impl Styles {
    pub fn new() -> Styles {
        let plain = Format::new().set_align(FormatAlign::VerticalCenter);
        let header = plain
            .clone()
            .set_bold()
            .set_text_wrap()
            .set_font_color(INK)
            .set_background_color(SHADE)
            .set_border_bottom(FormatBorder::Medium)
            .set_border_bottom_color(INK);
        let total = plain.clone().set_bold().set_border_top(FormatBorder::Thin).set_border_bottom(FormatBorder::Double);
        let wrapped = Format::new().set_align(FormatAlign::Top).set_text_wrap();
        Styles {
            title: Format::new().set_bold().set_font_size(16).set_font_color(INK),
            heading: plain.clone().set_bold().set_font_color(INK),
            label: wrapped.clone().set_font_color(QUIET),
            note: wrapped.clone(),
            header_of_numbers: header.clone().set_align(FormatAlign::Right),
            header: header.set_indent(1),
            fact: Style::of(&wrapped, FormatAlign::Left),
            body: Style::of(&plain, FormatAlign::Right),
            total: Style::of(&total, FormatAlign::Right),
        }
    }
}

impl Style {
    fn of(base: &Format, numbers: FormatAlign) -> Style {
        // Texts keep a distance from the numbers to their left.
        let text = base.clone().set_align(FormatAlign::Left).set_indent(1);
        let number = if numbers == FormatAlign::Left { text.clone() } else { base.clone().set_align(numbers) };
        Style {
            date: text.clone().set_num_format("yyyy-mm-dd"),
            instant: text.clone().set_num_format("yyyy-mm-dd hh:mm:ss"),
            risky: text.clone().set_quote_prefix(),
            text,
            whole: number.clone().set_num_format("#,##0"),
            money: number.clone().set_num_format("#,##0.00####"),
            percent: number.clone().set_num_format("0.00%"),
            long: number,
        }
    }

    /// For a cell that is a number; points and counts look alike.
    pub fn number(&self, cell: &Cell) -> &Format {
        match cell {
            Cell::Money(_) => &self.money,
            Cell::BasisPoints(_) => &self.percent,
            _ => &self.whole,
        }
    }
}
