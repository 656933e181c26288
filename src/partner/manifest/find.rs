//! Findings: what is wrong with a manifest, where, and what to do about it.

use serde::de::DeserializeOwned;
use std::fmt;
use std::ops::Range;
use std::path::Path;

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// The path of the field, as in `agreements[harvest].rates[diamond].step`.
    pub field: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.field, self.problem)
    }
}

/// Why a folder of manifests was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {reason}")]
    Unreadable { path: String, reason: String },
    #[error("{folder}: there is no alliance.toml; an alliance is a folder with one and a file per partner")]
    NoAlliance { folder: String },
    #[error("{folder}: more than {max} manifests; an alliance has at most that many")]
    TooMany { folder: String, max: usize },
    #[error("{file}: larger than {max} bytes; a manifest is much smaller")]
    TooLarge { file: String, max: u64 },
    #[error("{}", lines(.0))]
    Wrong(Vec<Finding>),
}

impl Error {
    pub(super) fn unreadable(path: &Path, cause: &std::io::Error) -> Error {
        Error::Unreadable { path: path.display().to_string(), reason: cause.to_string() }
    }
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
}

/// One manifest's text, which knows the line of a place in it.
pub(super) struct Source {
    name: String,
    text: String,
    /// Where each line begins.
    starts: Vec<usize>,
}

impl Source {
    pub(super) fn new(name: String, text: String) -> Source {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(breaks).collect();
        Source { name, text, starts }
    }

    pub(super) fn file_name(&self) -> &str {
        self.name.rsplit(['/', '\\']).next().unwrap_or(&self.name)
    }

    /// The line of a place, counted from 1.
    fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }

    pub(super) fn finding(&self, span: Range<usize>, field: impl Into<String>, problem: impl Into<String>) -> Finding {
        let line = self.line(span.start);
        Finding { file: self.name.clone(), line, field: field.into(), problem: problem.into() }
    }

    /// The file as its raw type; a finding when it is no TOML or has wrong, missing or unknown fields.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, Finding> {
        toml::from_str(&self.text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            let problem = error.message().trim().to_owned();
            self.finding(span.clone(), self.key_at(&span, &problem), problem)
        })
    }

    /// The field a parse error is about: the one it names as missing, else the key written on its line.
    fn key_at(&self, span: &Range<usize>, problem: &str) -> String {
        let missing = problem.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        let number = self.line(span.start);
        let line = self.text.lines().nth(number - 1).unwrap_or("").trim();
        let heads = self.text.lines().take(number).filter(|line| line.trim_start().starts_with('['));
        let table = heads.last().map(|line| line.trim().trim_start_matches('[').split(']').next().unwrap_or("").trim());
        let key = match missing {
            Some(field) => field.to_owned(),
            None => line.split('=').next().unwrap_or(line).trim().trim_matches(['[', ']']).to_owned(),
        };
        match table {
            Some(table) if key != table => format!("{table}.{key}"),
            Some(_) | None => key,
        }
    }
}
