//! Finds the PostgreSQL server programs on this machine.

use super::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest server the SQL of this crate is written for.
pub const MAJOR_MIN: u32 = 15;

/// A folder that holds `postgres`, `initdb` and `pg_ctl` of one version.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// The first usable installation; with `major`, the first of exactly that version, because a data folder
    /// can only be opened by the major version that made it.
    pub fn find(major: Option<u32>) -> Result<Binaries, Error> {
        let mut seen = Vec::new();
        for folder in candidates() {
            let Some(have) = version(&folder) else { continue };
            if have >= MAJOR_MIN && major.is_none_or(|wanted| wanted == have) {
                return Ok(Binaries { folder });
            }
            seen.push(format!("{} ({have})", folder.display()));
        }
        Err(Error::NoBinaries { wanted: major, seen })
    }

    /// The cheapest compression of full pages in the log that this build has: lz4 takes a fraction of pglz' time.
    pub fn wal_compression(&self) -> &'static str {
        let told = Command::new(self.program("pg_config")).arg("--configure").output();
        let has_lz4 = told.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("--with-lz4"));
        if has_lz4 { "lz4" } else { "on" }
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Where packages put the server: what `pg_config` says, then Debian's, Red Hat's and Homebrew's folders, each
/// newest first.
fn candidates() -> Vec<PathBuf> {
    let told = Command::new("pg_config").arg("--bindir").output().ok();
    let told = told.filter(|output| output.status.success());
    let mut folders: Vec<PathBuf> =
        told.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())).into_iter().collect();
    folders.extend(numbered("/usr/lib/postgresql", ""));
    folders.extend(numbered("/usr", "pgsql-"));
    for brew in ["/opt/homebrew/opt", "/usr/local/opt"] {
        folders.extend(numbered(brew, "postgresql@"));
        folders.push(Path::new(brew).join("postgresql/bin"));
    }
    folders
}

/// `<parent>/<prefix><number>/bin`, highest number first.
fn numbered(parent: &str, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((number, entry.path().join("bin")))
        })
        .collect();
    found.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// The major version of a complete installation, `None` when a program is missing or does not answer.
fn version(folder: &Path) -> Option<u32> {
    if !["postgres", "initdb", "pg_ctl"].iter().all(|name| folder.join(name).is_file()) {
        return None;
    }
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    // "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"
    let text = String::from_utf8(output.stdout).ok()?;
    let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
