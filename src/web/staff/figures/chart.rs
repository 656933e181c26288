//! Lines over days as SVG, in the page's own colours: the drawing names none of its own, so that it is right in the dark too.

use plotters::prelude::*;
use std::ops::Range;

const SIZE: (u32, u32) = (960, 260);
/// Lines that are told apart by colour; what is more stands in the table alone.
pub const LINES_MAX: usize = 4;
/// Each stands for a colour of the style sheet, in the order of `LINES`; no other part of a drawing has it.
const MARKS: [RGBColor; LINES_MAX] = [RGBColor(1, 1, 1), RGBColor(2, 2, 2), RGBColor(3, 3, 3), RGBColor(4, 4, 4)];
pub const LINES: [&str; LINES_MAX] = ["one", "two", "three", "four"];
const GRID: RGBColor = RGBColor(5, 5, 5);

/// Draws up to four lines of as many values as there are labels; `unit` writes a value on the axis. Empty when there is
/// nothing to draw.
pub fn lines(labels: &[String], all: &[&[i64]], unit: &dyn Fn(i64) -> String) -> String {
    let most = all.iter().take(LINES_MAX).flat_map(|line| line.iter().copied()).max().unwrap_or(0);
    if labels.len() < 2 || all.is_empty() {
        return String::new();
    }
    let mut svg = String::new();
    let drawn = draw(&mut svg, labels, all, 0..most.max(1), unit);
    if drawn.is_err() {
        return String::new();
    }
    let mut svg = svg.replace("#050505", "var(--line)").replace("#000000", "currentColor");
    for (nth, name) in LINES.iter().enumerate() {
        let mark = nth + 1;
        svg = svg.replace(&format!("#0{mark}0{mark}0{mark}"), &format!("var(--{name})"));
    }
    // Told in words and in a table beside it.
    svg.replacen("<svg ", "<svg aria-hidden=\"true\" ", 1)
}

fn draw(
    svg: &mut String,
    labels: &[String],
    all: &[&[i64]],
    up: Range<i64>,
    unit: &dyn Fn(i64) -> String,
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let last = i64::try_from(labels.len() - 1)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .margin_right(24)
        .x_label_area_size(28)
        .y_label_area_size(72)
        .build_cartesian_2d(0..last, up)?;
    let label = |at: &i64| usize::try_from(*at).ok().and_then(|at| labels.get(at)).cloned().unwrap_or_default();
    let value = |value: &i64| unit(*value);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .x_labels(7)
        .y_labels(4)
        .x_label_formatter(&label)
        .y_label_formatter(&value)
        .draw()?;
    for (line, mark) in all.iter().zip(MARKS) {
        chart.draw_series(LineSeries::new((0..).zip(line.iter().copied()), mark.stroke_width(2)))?;
    }
    area.present()?;
    drop(chart);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(lines_of: &[&[i64]]) -> String {
        let labels: Vec<String> = (1..=30).map(|day| format!("{day} Nov")).collect();
        lines(&labels, lines_of, &|value| value.to_string())
    }

    #[test]
    fn a_chart_has_a_line_each_in_the_pages_colours_and_no_style_of_its_own() {
        let (a, b): (Vec<i64>, Vec<i64>) = ((0..30).collect(), (0..30).map(|at| 30 - at).collect());
        let svg = drawn(&[&a, &b]);
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
        let drawn = |name: &str| svg.matches(&format!("stroke=\"var(--{name})\"")).count();
        assert_eq!(["one", "two", "three", "four"].map(drawn), [1, 1, 0, 0], "{svg}");
        assert!(!svg.contains("style=") && !svg.contains("\"#"), "{svg}");
        assert!(svg.contains("1 Nov"), "{svg}");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(lines(&[], &[], &|value| value.to_string()), "");
        let flat = [0; 30];
        assert!(drawn(&[&flat]).contains("var(--one)"));
    }
}
