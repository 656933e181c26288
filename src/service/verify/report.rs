//! What was found: every check in words, whether it holds, and what could not be checked for lack of which file.

use super::recognise::Kind;
use serde_json::{Value, json};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Holds,
    Differs,
    /// Nothing given says whether it holds; the finding names what would.
    Unchecked,
}

/// One check of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Short and stable, for machines.
    pub code: &'static str,
    pub mark: Mark,
    /// What was checked and how it came out, in words.
    pub says: String,
    /// The line it is about, by its number.
    pub line_no: Option<i64>,
}

/// All checks of one thing.
#[derive(Clone, Debug)]
pub struct Section {
    pub title: Title,
    /// Which file, or whose statements.
    pub subject: String,
    pub findings: Vec<Finding>,
}

/// A heading, in English with its Chinese term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Title {
    Keys,
    Statement,
    Lines,
    Proofs,
    Log,
    Chain,
    Sides,
}

/// A file as it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub name: String,
    pub kind: Kind,
}

#[derive(Clone, Debug, Default)]
pub struct Report {
    pub files: Vec<File>,
    pub sections: Vec<Section>,
}

impl Mark {
    pub fn code(self) -> &'static str {
        match self {
            Mark::Holds => "holds",
            Mark::Differs => "differs",
            Mark::Unchecked => "unchecked",
        }
    }
}

impl Title {
    pub fn en(self) -> &'static str {
        match self {
            Title::Keys => "keys",
            Title::Statement => "statement",
            Title::Lines => "lines",
            Title::Proofs => "proof bundle",
            Title::Log => "log",
            Title::Chain => "one after the other",
            Title::Sides => "sides",
        }
    }

    pub fn zh(self) -> &'static str {
        match self {
            Title::Keys => "公钥",
            Title::Statement => "对账单",
            Title::Lines => "结算明细",
            Title::Proofs => "证明包",
            Title::Log => "公开日志",
            Title::Chain => "前后衔接",
            Title::Sides => "双方核对",
        }
    }
}

/// `1 line`, `2 lines`.
pub fn counted(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

impl Section {
    pub fn new(title: Title, subject: impl Into<String>) -> Section {
        Section { title, subject: subject.into(), findings: Vec::new() }
    }

    /// Of a file that cannot be read.
    pub fn with_error(title: Title, file: &str, why: String) -> Section {
        let mut section = Section::new(title, file);
        section.differs("form", why);
        section
    }

    pub fn holds(&mut self, code: &'static str, says: impl Into<String>) {
        self.put(code, Mark::Holds, says.into(), None);
    }

    pub fn differs(&mut self, code: &'static str, says: impl Into<String>) {
        self.put(code, Mark::Differs, says.into(), None);
    }

    /// Line `line_no` is what differs.
    pub fn differs_at(&mut self, code: &'static str, line_no: Option<i64>, says: impl Into<String>) {
        self.put(code, Mark::Differs, says.into(), line_no);
    }

    pub fn unchecked(&mut self, code: &'static str, says: impl Into<String>) {
        self.put(code, Mark::Unchecked, says.into(), None);
    }

    /// `Ok` says what holds, `Err` what does not.
    pub fn put_result(&mut self, code: &'static str, result: Result<String, String>) {
        match result {
            Ok(says) => self.holds(code, says),
            Err(says) => self.differs(code, says),
        }
    }

    fn put(&mut self, code: &'static str, mark: Mark, says: String, line_no: Option<i64>) {
        self.findings.push(Finding { code, mark, says, line_no });
    }
}

impl Report {
    /// The first that does not hold, with the section it is in.
    pub fn first_wrong(&self) -> Option<(&Section, &Finding)> {
        self.all().find(|(_, finding)| finding.mark == Mark::Differs)
    }

    pub fn count(&self, mark: Mark) -> usize {
        self.all().filter(|(_, finding)| finding.mark == mark).count()
    }

    fn all(&self) -> impl Iterator<Item = (&Section, &Finding)> {
        self.sections.iter().flat_map(|section| section.findings.iter().map(move |finding| (section, finding)))
    }

    /// For machines: `{holds, files: [{name, kind}], sections: [{title, subject, checks: [{check, mark, says, line_no?}]}]}`.
    pub fn to_json(&self) -> Value {
        let check = |finding: &Finding| {
            let mut check = json!({ "check": finding.code, "mark": finding.mark.code(), "says": finding.says });
            if let Some(line_no) = finding.line_no {
                check["line_no"] = line_no.into();
            }
            check
        };
        let section = |section: &Section| {
            json!({
                "title": section.title.en(), "subject": section.subject,
                "checks": section.findings.iter().map(check).collect::<Vec<_>>(),
            })
        };
        let file = |file: &File| json!({ "name": file.name, "kind": file.kind.code() });
        json!({
            "holds": self.first_wrong().is_none(),
            "files": self.files.iter().map(file).collect::<Vec<_>>(),
            "sections": self.sections.iter().map(section).collect::<Vec<_>>(),
        })
    }
}
