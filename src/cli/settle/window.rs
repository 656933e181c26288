//! A window as people name it: by its number, or by its id as the API tells it.

use crate::cli::Error;
use crate::domain::ids::WindowId;
use crate::store::settlement::windows::{self, Row};
use diesel::PgConnection;
use std::fmt;
use std::str::FromStr;

/// `7` or `win_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Number(i64),
    Id(WindowId),
}

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Name, &'static str> {
        let id = || text.parse().map(Name::Id);
        text.parse().map(Name::Number).or_else(|_| id()).map_err(|_| "it is no window: write its number or win_…")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Number(number) => number.fmt(f),
            Name::Id(id) => id.fmt(f),
        }
    }
}

impl Name {
    /// `Err(Usage)` when there is no such window.
    pub fn find(&self, conn: &mut PgConnection) -> Result<Row, Error> {
        let found = match self {
            Name::Number(number) => windows::numbered(conn, *number),
            Name::Id(id) => windows::find(conn, *id),
        };
        let found = found.map_err(Error::failed)?;
        found.ok_or_else(|| Error::Usage(format!("there is no window {self}: `hanse settle list` names them")))
    }
}
