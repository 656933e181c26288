//! The CSV: its lines in batches.

use crate::cli::Error;
use serde::Deserialize;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Lines of one batch, as the API takes them.
pub const BATCH: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub member_ref: String,
    pub tier: String,
    pub status: String,
    pub lot1_points: Option<i64>,
    pub lot1_expires_on: Option<String>,
    pub lot2_points: Option<i64>,
    pub lot2_expires_on: Option<String>,
}

/// An opening lot of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lot<'a> {
    /// 1 or 2.
    pub number: u8,
    pub points: i64,
    /// `None`: by the programme's rule.
    pub expires_on: Option<&'a str>,
}

impl Line {
    /// The lots it has: those with points.
    pub fn lots(&self) -> impl Iterator<Item = Lot<'_>> {
        let first = (1, self.lot1_points, self.lot1_expires_on.as_deref());
        let second = (2, self.lot2_points, self.lot2_expires_on.as_deref());
        [first, second].into_iter().filter_map(|(number, points, expires_on)| {
            points.filter(|points| *points != 0).map(|points| Lot { number, points, expires_on })
        })
    }
}

/// Up to 1,000 lines, each with its number in the file.
#[derive(Debug)]
pub struct Batch {
    /// Counted from 0.
    pub number: u64,
    pub lines: Vec<(u64, Line)>,
    /// Of the file, for the progress bar.
    pub bytes: u64,
}

pub struct Lines {
    file: PathBuf,
    reader: csv::Reader<File>,
    number: u64,
    ended: bool,
}

impl Lines {
    /// Opens the file and says how long it is.
    pub fn open(file: &Path) -> Result<(Lines, u64), Error> {
        let unreadable = |why: &dyn std::fmt::Display| Error::Usage(format!("{}: {why}", file.display()));
        let opened = File::open(file).map_err(|why| unreadable(&why))?;
        let bytes = opened.metadata().map_err(|why| unreadable(&why))?.len();
        let mut reader = csv::ReaderBuilder::new().buffer_capacity(1 << 16).from_reader(opened);
        let headers = reader.headers().map_err(|why| unreadable(&why))?;
        if !["member_ref", "tier", "status"].iter().all(|name| headers.iter().any(|header| header == *name)) {
            return Err(unreadable(&"the first line must name member_ref, tier, status and the columns of the lots"));
        }
        Ok((Lines { file: file.to_owned(), reader, number: 0, ended: false }, bytes))
    }

    fn batch(&mut self) -> Result<Batch, Error> {
        let from = self.reader.position().byte();
        let mut lines = Vec::with_capacity(BATCH);
        let headers = self.reader.headers().cloned().map_err(|why| self.wrong(&why))?;
        let mut record = csv::StringRecord::new();
        while lines.len() < BATCH {
            if !self.reader.read_record(&mut record).map_err(|why| self.wrong(&why))? {
                self.ended = true;
                break;
            }
            let at = record.position().map_or(0, csv::Position::line);
            let line = record.deserialize(Some(&headers)).map_err(|why| self.wrong(&why))?;
            lines.push((at, line));
        }
        let number = self.number;
        self.number += 1;
        Ok(Batch { number, lines, bytes: self.reader.position().byte() - from })
    }

    /// csv's errors name line and field.
    fn wrong(&self, why: &csv::Error) -> Error {
        Error::Failed(format!("{}: {why}", self.file.display()))
    }
}

impl Iterator for Lines {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Result<Batch, Error>> {
        if self.ended {
            return None;
        }
        let batch = self.batch();
        self.ended |= batch.is_err();
        match batch {
            Ok(batch) if batch.lines.is_empty() => None,
            other => Some(other),
        }
    }
}
