//! One starter per data folder.
//!
//! The lock is the kernel's, on an open file, so it cannot go stale. It is shared with the guard (see `guard`),
//! which holds it until it has cleaned up after a starter that was killed: whoever comes next waits for that.

use super::{Error, process};
use crate::clock;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

/// How long the guard of a killed starter may take: a fast stop writes a checkpoint.
const GUARD_PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(20);

/// Takes the lock and writes our process id into it; `Err(Held)` names the process that has it.
pub fn acquire(path: &Path) -> Result<File, Error> {
    let failed = |cause| Error::Folder { path: path.to_owned(), cause };
    let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(failed)?;
    let give_up = clock::instant() + GUARD_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&mut file);
                if holder.is_some_and(process::is_running) || clock::instant() > give_up {
                    return Err(Error::Held { path: path.to_owned(), pid: holder });
                }
                std::thread::sleep(POLL);
            }
        }
    }
    let own = std::process::id().to_string();
    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(own.as_bytes())).map_err(failed)?;
    Ok(file)
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
