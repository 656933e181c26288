//! A window's files, as partners get them: everything `hanse verify` wants to see.

use crate::cli::Error;
use crate::domain::ids::ConversionId;
use crate::domain::settlement::Participant;
use crate::domain::settlement::window::State;
use crate::service::settlement::proofs::{self, Line};
use crate::service::settlement::read::{self, Lines};
use crate::service::settlement::{countersign, rotate};
use crate::signing::note::Note;
use crate::store::settlement::statements::{self, Row};
use crate::store::settlement::{log, windows};
use diesel::PgConnection;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const KEYS: &str = "jwks.json";
/// As the exchange serves it, below `/.well-known`.
const ROTATIONS: &str = "key-rotations.json";

/// What is to be written, and where.
pub struct Wanted<'a> {
    pub window: &'a windows::Row,
    /// A partner's slug, or `operator`; everybody unless said.
    pub participant: Option<&'a str>,
    /// Whose lines the proofs are to prove.
    pub conversions: &'a [ConversionId],
    pub to: &'a Path,
    /// The alliance's own keys.
    pub jwks: &'a Value,
}

/// Writes the files and says which they are. They verify by themselves: the keys of who has counter-signed or witnessed
/// are with them.
pub fn write(conn: &mut PgConnection, wanted: &Wanted<'_>) -> Result<Vec<PathBuf>, Error> {
    let Wanted { window, participant, conversions, to, jwks } = *wanted;
    let number = window.number;
    if window.state != State::Published {
        return Err(Error::Failed(format!("window {number} is {}: nothing is published yet", window.state.code())));
    }
    let of = participant.map(|text| {
        Participant::parse(text).ok_or_else(|| Error::Usage(format!("'{text}' is neither a partner nor `operator`")))
    });
    let of = of.transpose()?;
    let statements = statements::of_window(conn, window.id).map_err(Error::failed)?;
    let chosen: Vec<&Row> =
        statements.iter().filter(|row| of.as_ref().is_none_or(|of| row.participant == *of)).collect();
    if chosen.is_empty() {
        return Err(Error::Failed(format!("window {number} has no statement of {}", participant.unwrap_or_default())));
    }
    let proven = proven(conn, number, &chosen, conversions)?;
    // Read once, after the statements that are under it: every proof is of the checkpoint that lies beside it.
    let checkpoint = log::checkpoint(conn).map_err(Error::failed)?;
    let checkpoint = checkpoint.ok_or_else(|| Error::Failed("nothing has been signed yet".to_owned()))?;
    fs::create_dir_all(to).map_err(Error::failed)?;
    let mut files = Vec::new();
    for (statement, lines) in chosen.iter().zip(&proven) {
        files.extend(of_participant(conn, statement, lines, &checkpoint, to)?);
    }
    let note = read::note(checkpoint).map_err(Error::failed)?;
    files.push(put(to, "checkpoint.txt", note.as_bytes())?);
    // Statements of others may have been exported here before.
    let before = fs::read(to.join(KEYS)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let note = Note::parse(note.as_bytes()).map_err(Error::failed)?;
    let jwks = countersign::jwks(conn, jwks, &chosen, Some(&note), &before).map_err(Error::failed)?;
    files.push(put(to, KEYS, format!("{jwks:#}\n").as_bytes())?);
    let rotations = rotate::list(conn).map_err(Error::failed)?;
    if !rotations.is_empty() {
        let rotations = rotate::listed(&rotations).map_err(Error::failed)?;
        files.push(put(to, ROTATIONS, format!("{rotations:#}\n").as_bytes())?);
    }
    Ok(files)
}

/// The lines of these conversions in each of the statements, by their place; a conversion that none has is asked wrongly.
fn proven(
    conn: &mut PgConnection,
    number: i64,
    statements: &[&Row],
    conversions: &[ConversionId],
) -> Result<Vec<Vec<Line>>, Error> {
    let mut proven = vec![Vec::new(); statements.len()];
    for id in conversions {
        let mut any = false;
        for (statement, lines) in statements.iter().zip(&mut proven) {
            let found = proofs::lines_of(conn, statement, *id).map_err(Error::failed)?;
            any |= !found.is_empty();
            lines.extend(found);
        }
        if !any {
            let whose = statements.iter().map(|row| row.participant.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::Usage(format!("window {number} has no line of {id} for {whose}")));
        }
    }
    for lines in &mut proven {
        lines.sort_unstable();
        lines.dedup();
    }
    Ok(proven)
}

fn of_participant(
    conn: &mut PgConnection,
    statement: &Row,
    proven: &[Line],
    checkpoint: &log::Checkpoint,
    to: &Path,
) -> Result<Vec<PathBuf>, Error> {
    let named = |what: &str| format!("{}-{what}", statement.participant);
    let document = read::document(conn, statement).map_err(Error::failed)?;
    let proof = proofs::of_statement(conn, statement, proven, checkpoint).map_err(Error::failed)?;
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
