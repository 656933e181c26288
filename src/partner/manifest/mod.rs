//! An alliance as files: `alliance.toml` and one `<partner>.toml` each, in one folder. `partners/README.md` names
//! every field.
//!
//! `raw` is what is written, `check` what it means; everything that is wrong is told at once, each with its file,
//! line and field and what to do about it. What comes out is a [`Plan`], which needs no more checking.

mod check;
mod find;
mod raw;

pub use find::{Error, Finding};

use crate::domain::plan::Plan;
use find::Source;
use std::path::Path;

/// The name of the file that describes the alliance itself.
const ALLIANCE: &str = "alliance.toml";

/// What the partners of a demo offer lies beside them. It is no manifest: partners put benefits themselves.
pub const BENEFITS: &str = "benefits.toml";

/// More files than this in one folder, or a larger one, is a mistake.
const FILES_MAX: usize = 1_000;
const BYTES_MAX: u64 = 4 << 20;

/// Reads and checks the manifests of `folder`. `Err(Wrong)` holds every finding, in the order of files and lines.
pub fn read(folder: &Path) -> Result<Plan, Error> {
    let entries = std::fs::read_dir(folder).map_err(|cause| Error::unreadable(folder, &cause))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|cause| Error::unreadable(folder, &cause))?.path();
        let is_manifest = path.file_name().is_some_and(|name| name != BENEFITS);
        if is_manifest && path.extension().is_some_and(|end| end == "toml") {
            paths.push(path);
        }
    }
    if paths.len() > FILES_MAX {
        return Err(Error::TooMany { folder: folder.display().to_string(), max: FILES_MAX });
    }
    paths.sort();
    let mut sources = Vec::new();
    for path in &paths {
        let size = std::fs::metadata(path).map_err(|cause| Error::unreadable(path, &cause))?.len();
        if size > BYTES_MAX {
            return Err(Error::TooLarge { file: path.display().to_string(), max: BYTES_MAX });
        }
        let text = std::fs::read_to_string(path).map_err(|cause| Error::unreadable(path, &cause))?;
        sources.push(Source::new(path.display().to_string(), text));
    }
    let alliance = sources.iter().position(|source| source.file_name() == ALLIANCE);
    let Some(alliance) = alliance else {
        return Err(Error::NoAlliance { folder: folder.display().to_string() });
    };
    let alliance = sources.remove(alliance);
    check::plan(&alliance, &sources)
}

#[cfg(test)]
mod tests;
