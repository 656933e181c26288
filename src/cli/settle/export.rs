//! A window's files, as partners get them: everything `hanse verify` wants to see.

use super::numbered;
use crate::cli::Error;
use crate::domain::settlement::Participant;
use crate::domain::settlement::window::State;
use crate::service::settlement::proofs;
use crate::service::settlement::read::{self, Lines};
use crate::store::settlement::statements::{self, Row};
use diesel::PgConnection;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes the files of one participant, or of all, into `to`, and says their names.
pub fn window(
    conn: &mut PgConnection,
    number: i64,
    participant: Option<&str>,
    to: &Path,
    jwks: &Value,
) -> Result<(), Error> {
    for file in write(conn, number, participant, to, jwks)? {
        println!("{}", file.display());
    }
    Ok(())
}

/// The same, without a word.
pub fn write(
    conn: &mut PgConnection,
    number: i64,
    participant: Option<&str>,
    to: &Path,
    jwks: &Value,
) -> Result<Vec<PathBuf>, Error> {
    let row = numbered(conn, number)?;
    if row.state != State::Published {
        return Err(Error::Failed(format!("window {number} is {}: nothing is published yet", row.state.code())));
    }
    let wanted = participant.map(|text| {
        Participant::parse(text).ok_or_else(|| Error::Usage(format!("'{text}' is neither a partner nor `operator`")))
    });
    let wanted = wanted.transpose()?;
    let statements = statements::of_window(conn, row.id).map_err(Error::failed)?;
    let chosen: Vec<&Row> =
        statements.iter().filter(|row| wanted.as_ref().is_none_or(|wanted| row.participant == *wanted)).collect();
    if chosen.is_empty() {
        return Err(Error::Failed(format!("window {number} has no statement of {}", participant.unwrap_or_default())));
    }
    fs::create_dir_all(to).map_err(Error::failed)?;
    let mut files = Vec::new();
    for statement in chosen {
        files.extend(of_participant(conn, statement, to)?);
    }
    let checkpoint = read::checkpoint(conn, None).map_err(Error::failed)?.unwrap_or_default();
    files.push(put(to, "checkpoint.txt", checkpoint.as_bytes())?);
    files.push(put(to, "jwks.json", format!("{jwks:#}\n").as_bytes())?);
    Ok(files)
}

fn of_participant(conn: &mut PgConnection, statement: &Row, to: &Path) -> Result<Vec<PathBuf>, Error> {
    let named = |what: &str| format!("{}-{what}", statement.participant);
    let document = read::document(conn, statement).map_err(Error::failed)?;
    let proof = proofs::of_statement(conn, statement).map_err(Error::failed)?;
    Ok(vec![
        put(to, &named("statement.json"), format!("{document}\n").as_bytes())?,
        lines(conn, statement, &to.join(named("lines.ndjson")), false)?,
        lines(conn, statement, &to.join(named("lines.csv")), true)?,
        put(to, &named("proofs.json"), format!("{proof:#}\n").as_bytes())?,
    ])
}

fn lines(conn: &mut PgConnection, statement: &Row, path: &Path, csv: bool) -> Result<PathBuf, Error> {
    let mut file = BufWriter::new(File::create(path).map_err(Error::failed)?);
    let mut lines = Lines::of(statement);
    if csv {
        file.write_all(&read::csv_heading()).map_err(Error::failed)?;
    }
    while let Some(bytes) = lines.next(conn).map_err(Error::failed)? {
        let bytes = if csv { read::to_csv(&bytes).map_err(Error::failed)? } else { bytes };
        file.write_all(&bytes).map_err(Error::failed)?;
    }
    file.flush().map_err(Error::failed)?;
    Ok(path.to_owned())
}

fn put(to: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, Error> {
    let path = to.join(name);
    fs::write(&path, bytes).map_err(Error::failed)?;
    Ok(path)
}
