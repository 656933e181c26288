//! Files that hold secrets: readable by their owner alone, whole or absent.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A file readable by its owner alone.
pub const PRIVATE: u32 = 0o600;
/// A file everybody may read.
pub const PUBLIC: u32 = 0o644;

/// Puts `contents` in place of whatever `file` was, in one step: a reader sees the old or the new, never a part.
pub fn replace(file: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let folder = file.parent().ok_or_else(|| io::Error::other("a file without a folder"))?;
    let name = file.file_name().ok_or_else(|| io::Error::other("a file without a name"))?.to_string_lossy();
    let draft = folder.join(format!(".{name}.{}", uuid::Uuid::new_v4().simple()));
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft).and_then(|mut draft| {
        draft.write_all(contents)?;
        draft.sync_all()
    });
    let placed = written.and_then(|()| std::fs::rename(&draft, file));
    if placed.is_err() {
        // The error that matters is the one returned.
        let _ = std::fs::remove_file(&draft);
    }
    placed?;
    // The name itself must outlive a power cut too.
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_private_file_is_its_owners_alone() {
        let folder = std::env::temp_dir().join(format!("hanse-private-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("key");
        replace(&file, b"one", PUBLIC).expect("written");
        replace(&file, b"two", PRIVATE).expect("replaced");
        assert_eq!(std::fs::read(&file).expect("read"), b"two");
        assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, PRIVATE);
        assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 1);
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
