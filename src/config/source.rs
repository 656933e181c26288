//! Where a setting's value was said, and reading the file that may say it.

use super::Error;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Default,
    File { path: PathBuf, line: usize },
    Variable(String),
    Flag(String),
}

impl Source {
    pub(super) fn flag(key: &str) -> Source {
        Source::Flag(format!("--{}", key.replace('_', "-")))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File { path, line } => write!(f, "{}:{line}", path.display()),
            Source::Variable(name) | Source::Flag(name) => f.write_str(name),
        }
    }
}

/// The variable that sets `key`.
pub(super) fn variable(key: &str) -> String {
    format!("HANSE_{}", key.to_uppercase())
}

/// A value as it was said, not yet checked.
#[derive(Debug)]
pub(super) struct Given {
    pub text: String,
    pub from: Source,
    /// Paths in a file are relative to it, all others to the current folder.
    pub base: PathBuf,
}

impl Given {
    pub fn plain(text: String, from: Source) -> Given {
        Given { text, from, base: PathBuf::new() }
    }
}

/// Which setting was said where; what was not said is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origins(BTreeMap<String, Source>);

impl Origins {
    pub fn note(&mut self, key: &str, source: Source) {
        self.0.insert(key.to_owned(), source);
    }

    pub fn of(&self, key: &str) -> Source {
        self.0.get(key).cloned().unwrap_or(Source::Default)
    }
}

/// The settings of a file, each with its line.
pub(super) fn read_file(path: &Path) -> Result<Vec<(String, Given)>, Error> {
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|cause| failed(cause.to_string()))?;
    let table = DeTable::parse(&text).map_err(|cause| failed(cause.to_string().trim().to_owned()))?;
    let base = path.parent().map(Path::to_owned).unwrap_or_default();
    let mut given = Vec::new();
    for (key, value) in table.get_ref() {
        let before = text.get(..key.span().start).unwrap_or_default();
        let from = Source::File { path: path.to_owned(), line: before.matches('\n').count() + 1 };
        let key = key.get_ref().to_string();
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Boolean(truth) => truth.to_string(),
            // A list of texts is read as a variable or a flag has it.
            DeValue::Array(items) if items.iter().all(|item| item.get_ref().as_str().is_some()) => {
                items.iter().filter_map(|item| item.get_ref().as_str()).collect::<Vec<_>>().join(",")
            }
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                return Err(Error::Value { from, key, reason: "a text or a whole number is wanted".to_owned() });
            }
        };
        given.push((key, Given { text, from, base: base.clone() }));
    }
    Ok(given)
}
