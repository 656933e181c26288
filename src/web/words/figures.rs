//! The alliance in figures.

use super::words;
use crate::domain::kpi::{Bounds, Kpi, Unit};
use crate::domain::money::Millionths;
use crate::web::lang::Lang;
use chrono::{Datelike, NaiveDate};

words! {
    figures: "Figures", "经营指标";
    figures_of(first, last): "{first} to {last}", "{first} 至 {last}";
    figures_days: "Days", "天数";
    figures_last: "Last day", "截止日";
    figures_brand: "Brand", "品牌";
    figures_all: "All brands", "全部品牌";
    figures_show: "Show", "查看";
    figures_key: "Key figures", "关键指标";
    figures_figure: "Figure", "指标";
    figures_how: "How it is counted", "统计口径";
    figures_usual(bounds): "Is to stay {bounds}.", "应保持{bounds}。";
    figures_at_least(value): "at {value} or above", "不低于 {value}";
    figures_at_most(value): "at {value} or below", "不高于 {value}";
    figures_both(least, most): "between {least} and {most}", "在 {least} 与 {most} 之间";
    figures_out: "Out of bounds", "超出界限";
    figures_out_of(brand, figure, value, bounds): "{brand}: {figure} is {value}, and is to stay {bounds}.", "{brand}：{figure}为 {value}，应保持{bounds}。";
    figures_within: "Every figure is within its bounds.", "各项指标均在界限内。";
    figures_none: "—", "—";
    figures_conversions: "Conversions a day, by the brand whose points they took", "每日转换次数（按转出品牌）";
    figures_burn: "Burn velocity by day", "每日消耗速度";
    figures_uses: "Benefit uses a day, by the brand that gives them", "每日权益使用（按提供品牌）";
    figures_table: "The same as a table", "以表格查看";
    figures_lines_most(count): "Drawn are the {count} largest; the table has all.", "图中为最大的 {count} 个品牌，表格为全部。";
    figures_day: "Day", "日期";
    figures_pairs: "Flow by pair", "品牌对流量";
    figures_from: "From", "转出";
    figures_to: "To", "转入";
    figures_count: "Conversions", "转换次数";
    figures_debit: "Points out", "转出积分";
    figures_credit: "Points in", "转入积分";
    figures_value: "Value", "价值";
    figures_back: "Taken back", "撤销与冲回";
    figures_value_back: "Value taken back", "撤回价值";
    figures_released: "Released", "已释放";
    figures_share: "Share of value", "价值占比";
    figures_no_pairs: "Nothing flowed in these days.", "期内无流量。";
    figures_benefits: "Benefits used", "权益使用明细";
    figures_benefit: "Benefit", "权益";
    figures_giver: "Given by", "提供方";
    figures_redeemed: "Used", "核销";
    figures_cost: "Settled", "结算金额";
    figures_no_benefits: "No benefit was used in these days.", "期内无权益使用。";
    figures_through: "Everything that is in the feed is counted.", "已统计全部已编号的记录。";
    figures_uncounted(count): "Not counted yet: {count} batches. The figures come after.", "尚有 {count} 批未统计，稍后更新。";
    figures_liability_link: "To the liability report", "查看积分负债表";
    figures_hosted: "A brand that keeps its own accounts knows its balances alone: of it, what flows is counted here.", "自持账户的品牌，其余额由品牌自行掌握；此处仅统计流量。";
    figures_file: "By brand and day, as a file (CSV)", "按品牌与日期导出（CSV）";
}

impl Lang {
    pub fn kpi(self, kpi: Kpi) -> &'static str {
        let (en, zh) = kpi.name();
        self.pick(en, zh)
    }

    pub fn kpi_means(self, kpi: Kpi) -> &'static str {
        let (en, zh) = kpi.definition();
        self.pick(en, zh)
    }

    /// A value in its unit.
    pub fn kpi_value(self, unit: Unit, value: i64) -> String {
        match unit {
            Unit::Share => format!("{} %", self.hundredths(value)),
            Unit::Times => format!("× {}", self.hundredths(value)),
            Unit::Milliseconds if value < 1_000 => format!("{value} ms"),
            Unit::Milliseconds => format!("{}.{} s", self.number(value / 1_000), value % 1_000 / 100),
            Unit::Count => self.number(value),
            Unit::Money => self.cents(Millionths::new(value)),
        }
    }

    fn hundredths(self, value: i64) -> String {
        format!("{}.{:02}", self.number(value / 100), (value % 100).abs())
    }

    /// Money to the cent: an exact one stands in the reports.
    pub fn cents(self, amount: Millionths) -> String {
        let cents = amount.get() / 10_000;
        let sign = if cents < 0 { "−" } else { "" };
        format!("{sign}{}.{:02}", self.number((cents / 100).abs()), (cents % 100).abs())
    }

    /// Where a value is to stay; `None` when nowhere.
    pub fn kpi_bounds(self, unit: Unit, bounds: Bounds) -> Option<String> {
        let value = |value| self.kpi_value(unit, value);
        match (bounds.at_least, bounds.at_most) {
            (Some(least), Some(most)) => Some(self.figures_both(value(least), value(most))),
            (Some(least), None) => Some(self.figures_at_least(value(least))),
            (None, Some(most)) => Some(self.figures_at_most(value(most))),
            (None, None) => None,
        }
    }

    /// A day on an axis.
    pub fn short_day(self, day: NaiveDate) -> String {
        match self {
            Lang::En => day.format("%-d %b").to_string(),
            Lang::Zh => format!("{}月{}日", day.month(), day.day()),
        }
    }
}
