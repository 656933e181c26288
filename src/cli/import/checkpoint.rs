//! Which batches of a file are there already: a text file beside it, one line a batch, appended as they land.

use crate::cli::Error;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

pub struct Checkpoint {
    path: PathBuf,
    file: File,
    done: BTreeSet<u64>,
}

impl Checkpoint {
    /// Opens the checkpoint of `csv`, of `bytes` bytes. One of another content, told by its length, is begun anew:
    /// sending a line again does nothing.
    pub fn open(csv: &Path, bytes: u64) -> Result<Checkpoint, Error> {
        let mut path = csv.as_os_str().to_owned();
        path.push(".checkpoint");
        let path = PathBuf::from(path);
        let header = format!("hanse import, {bytes} bytes, batches of {}", super::lines::BATCH);
        let old = std::fs::read_to_string(&path).unwrap_or_default();
        let done = read(&old, &header);
        let failed = |why: std::io::Error| Error::Failed(format!("{}: {why}", path.display()));
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        if done.is_none() {
            file.set_len(0).map_err(failed)?;
            writeln!(file, "{header}").map_err(failed)?;
        } else if !old.ends_with('\n') {
            // The kill came in the middle of a line, which was not counted: end it, so that the next is its own.
            writeln!(file).map_err(failed)?;
        }
        Ok(Checkpoint { path, file, done: done.unwrap_or_default() })
    }

    pub fn has(&self, batch: u64) -> bool {
        self.done.contains(&batch)
    }

    pub fn done(&self) -> usize {
        self.done.len()
    }

    pub fn mark(&mut self, batch: u64) -> Result<(), Error> {
        self.done.insert(batch);
        writeln!(self.file, "{batch}.").map_err(|why| self.failed(&why))
    }

    /// Everything is there.
    pub fn remove(&self) -> Result<(), Error> {
        std::fs::remove_file(&self.path).map_err(|why| self.failed(&why))
    }

    fn failed(&self, why: &std::io::Error) -> Error {
        Error::Failed(format!("{}: {why}", self.path.display()))
    }
}

/// The batches named after this header; `None` for another header. The full stop tells a whole number from the
/// beginning of one.
fn read(text: &str, header: &str) -> Option<BTreeSet<u64>> {
    let mut lines = text.lines();
    (lines.next()? == header).then(|| lines.filter_map(|line| line.strip_suffix('.')?.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_written_line_does_not_count() {
        assert_eq!(read("h\n0.\n17.\n1", "h"), Some(BTreeSet::from([0, 17])));
        assert_eq!(read("h\n", "h"), Some(BTreeSet::new()));
        assert_eq!(read("other\n0.\n", "h"), None);
        assert_eq!(read("", "h"), None);
    }
}
