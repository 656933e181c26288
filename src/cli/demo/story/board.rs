//! What was asked, what was expected, what came back and whether it holds: the rows of the story and their tables.

use crate::cli::demo::client::Reply;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, TableComponent, Width, presets};
use serde_json::Value;
use std::fmt::Write;

/// Columns of a terminal that the tables fit into.
const WIDTH: u16 = 118;
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// One step, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub who: &'static str,
    pub asked: String,
    pub expected: String,
    pub got: String,
    pub holds: bool,
}

/// Steps that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chapter {
    pub title: &'static str,
    pub rows: Vec<Row>,
}

/// The whole story as it went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Board {
    pub chapters: Vec<Chapter>,
}

/// What an answer should say.
#[derive(Clone, Debug)]
pub struct Expect {
    status: u16,
    code: Option<&'static str>,
    facts: Vec<Fact>,
}

/// One thing an answer says: where, and how it reads.
#[derive(Clone, Debug)]
struct Fact {
    label: &'static str,
    pointer: &'static str,
    wanted: String,
    read: fn(&Value) -> String,
}

impl Expect {
    pub fn done(status: u16) -> Expect {
        Expect { status, code: None, facts: Vec::new() }
    }

    pub fn refused(status: u16, code: &'static str) -> Expect {
        Expect { status, code: Some(code), facts: Vec::new() }
    }

    /// A number or a text at a JSON pointer.
    pub fn is(self, label: &'static str, pointer: &'static str, wanted: impl ToString) -> Expect {
        self.fact(label, pointer, wanted.to_string(), plain)
    }

    /// The points of a list of lots: `50 + 18 + 6`.
    pub fn lots(self, label: &'static str, pointer: &'static str, wanted: &str) -> Expect {
        self.fact(label, pointer, wanted.to_owned(), points)
    }

    /// Points and ends of a list of lots: `101 by 2026-02-28`.
    pub fn dated(self, pointer: &'static str, wanted: &[(i64, String)]) -> Expect {
        let wanted: Vec<String> = wanted.iter().map(|(points, end)| format!("{points} by {end}")).collect();
        let wanted = if wanted.is_empty() { "no points".to_owned() } else { wanted.join(", ") };
        self.fact("", pointer, wanted, dated)
    }

    fn fact(
        mut self,
        label: &'static str,
        pointer: &'static str,
        wanted: String,
        read: fn(&Value) -> String,
    ) -> Expect {
        self.facts.push(Fact { label, pointer, wanted, read });
        self
    }

    fn expected(&self) -> String {
        let status = self.code.map_or_else(|| self.status.to_string(), |code| format!("{} {code}", self.status));
        let facts = self.facts.iter().map(|fact| fact.said(&fact.wanted));
        std::iter::once(status).chain(facts).collect::<Vec<_>>().join(" · ")
    }

    fn got(&self, reply: &Reply) -> String {
        let mut said = vec![reply.summary()];
        if reply.is_done() || self.code == reply.code() {
            said.extend(self.facts.iter().map(|fact| fact.said(&(fact.read)(reply.at(fact.pointer)))));
        } else if let Some(id) = &reply.request_id {
            // Nobody expected this: the log knows more.
            said.push(format!("request {id}"));
        }
        said.join(" · ")
    }

    fn holds(&self, reply: &Reply) -> bool {
        let facts = self.facts.iter().all(|fact| (fact.read)(reply.at(fact.pointer)) == fact.wanted);
        facts && reply.status == self.status && reply.code() == self.code
    }
}

impl Fact {
    fn said(&self, value: &str) -> String {
        if self.label.is_empty() { value.to_owned() } else { format!("{} {value}", self.label) }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".to_owned(),
        other => other.to_string(),
    }
}

fn points(value: &Value) -> String {
    let lots = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let lots: Vec<String> = lots.iter().map(|lot| plain(&lot["points"])).collect();
    if lots.is_empty() { "none".to_owned() } else { lots.join(" + ") }
}

fn dated(value: &Value) -> String {
    let lots = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let end = |lot: &Value| lot["expires_on"].as_str().unwrap_or("never").to_owned();
    let lots: Vec<String> = lots.iter().map(|lot| format!("{} by {}", plain(&lot["points"]), end(lot))).collect();
    if lots.is_empty() { "no points".to_owned() } else { lots.join(", ") }
}

impl Board {
    pub fn chapter(&mut self, title: &'static str) {
        self.chapters.push(Chapter { title, rows: Vec::new() });
    }

    /// Judges an answer by what was expected of it.
    pub fn judge(&mut self, who: &'static str, asked: impl Into<String>, expect: &Expect, reply: &Reply) {
        let (expected, got, holds) = (expect.expected(), expect.got(reply), expect.holds(reply));
        self.put(Row { who, asked: asked.into(), expected, got, holds });
    }

    /// Adds a row that was judged elsewhere.
    pub fn put(&mut self, row: Row) {
        if self.chapters.is_empty() {
            self.chapter("");
        }
        if let Some(chapter) = self.chapters.last_mut() {
            chapter.rows.push(row);
        }
    }

    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.chapters.iter().flat_map(|chapter| &chapter.rows)
    }

    /// Every step came out as expected, and there was one.
    pub fn holds(&self) -> bool {
        self.rows().next().is_some() && self.rows().all(|row| row.holds)
    }

    /// As tables, with colours on a terminal.
    pub fn render(&self, colours: bool) -> String {
        let mut text = String::new();
        let paint = |text: &str, colour: &str| {
            if colours { format!("{colour}{text}{PLAIN}") } else { text.to_owned() }
        };
        for (number, chapter) in self.chapters.iter().enumerate() {
            let title = format!("{}. {}", number + 1, chapter.title);
            // Writing into a text cannot fail.
            let _ = writeln!(text, "\n{}\n{}", paint(&title, BOLD), painted(&table(chapter), colours));
        }
        let (all, held) = (self.rows().count(), self.rows().filter(|row| row.holds).count());
        let colour = if self.holds() { GREEN } else { RED };
        let verdict = if self.holds() {
            format!("All {all} steps came out as expected.")
        } else {
            format!("{held} of {all} steps came out as expected; look for ✗.")
        };
        let _ = writeln!(text, "\n{}", paint(&verdict, colour));
        text
    }
}

fn table(chapter: &Chapter) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    compact(&mut table);
    table.set_width(WIDTH).set_header(["who", "asks", "expected", "came back", ""]);
    for row in &chapter.rows {
        let mark = if row.holds { "✓" } else { "✗" };
        table.add_row([row.who, &row.asked, &row.expected, &row.got, mark]);
    }
    table.set_constraints([
        ColumnConstraint::Absolute(Width::Fixed(14)),
        ColumnConstraint::Absolute(Width::Fixed(38)),
        ColumnConstraint::Absolute(Width::Fixed(30)),
        ColumnConstraint::Absolute(Width::Fixed(30)),
        ColumnConstraint::Absolute(Width::Fixed(3)),
    ]);
    table
}

/// No line between rows: they are short.
pub fn compact(table: &mut Table) {
    for part in [
        TableComponent::HorizontalLines,
        TableComponent::MiddleIntersections,
        TableComponent::LeftBorderIntersections,
        TableComponent::RightBorderIntersections,
    ] {
        table.remove_style(part);
    }
}

/// Colours the marks once the widths are fixed: a table would count the codes as letters.
fn painted(table: &Table, colours: bool) -> String {
    let text = table.trim_fmt();
    if !colours {
        return text;
    }
    let text = text.replace('✓', &format!("{GREEN}✓{PLAIN}")).replace('✗', &format!("{RED}✗{PLAIN}"));
    text.replace('─', &format!("{DIM}─{PLAIN}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reply(status: u16, json: Value) -> Reply {
        let bytes = json.to_string().into_bytes();
        Reply { status, replayed: false, request_id: Some("7".to_owned()), bytes, json }
    }

    #[test]
    fn an_answer_is_judged_by_status_code_and_every_fact() {
        let lots = json!([{"points": 50, "expires_on": "2026-02-28"}, {"points": 18, "expires_on": null}]);
        let answer = reply(201, json!({"debit_points": 136, "arriving_lots": lots}));
        let expect = Expect::done(201).is("debit", "/debit_points", 136).lots("lots", "/arriving_lots", "50 + 18");
        let expect = expect.dated("/arriving_lots", &[(50, "2026-02-28".to_owned()), (18, "never".to_owned())]);
        assert!(expect.holds(&answer), "{}", expect.got(&answer));
        assert_eq!(expect.expected(), "201 · debit 136 · lots 50 + 18 · 50 by 2026-02-28, 18 by never");
        assert_eq!(expect.expected(), expect.got(&answer));

        assert!(!expect.holds(&reply(200, answer.json.clone())));
        assert!(
            !expect.holds(&reply(201, json!({"debit_points": 135, "arriving_lots": answer.json["arriving_lots"]})))
        );
        assert!(!expect.holds(&reply(201, json!({}))));
        let refusal = reply(422, json!({"code": "limit_exceeded", "points_left": 64}));
        assert_eq!(expect.got(&refusal), "422 limit_exceeded · request 7");
        assert!(Expect::refused(422, "limit_exceeded").is("left", "/points_left", 64).holds(&refusal));
        assert!(!Expect::refused(422, "points_owed").holds(&refusal));
        assert!(!Expect::done(422).holds(&refusal));
    }

    #[test]
    fn one_row_that_does_not_hold_is_seen_and_an_empty_story_does_not_hold() {
        let mut board = Board::default();
        assert!(!board.holds());
        board.chapter("A price, kept 报价");
        board.judge("Lumen 流明", "asks", &Expect::done(200), &reply(200, json!({})));
        assert!(board.holds());
        board.judge("Lumen 流明", "asks", &Expect::done(200), &reply(500, json!({"code": "internal"})));
        assert!(!board.holds());
        let text = board.render(false);
        assert!(text.contains("1. A price, kept 报价") && text.contains('✗') && !text.contains('\x1b'), "{text}");
        assert!(text.contains("1 of 2 steps") && text.contains("500 internal"), "{text}");
        assert!(board.render(true).contains("\x1b[31m✗"));
    }
}
