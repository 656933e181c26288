//! What can be asked about another process without a system call of our own.
//!
//! A process id alone proves nothing: after a crash it may belong to anyone. A server and its backends work
//! inside their data folder, so that is what identifies them.

use super::owner::Owner;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// True while the process table has an entry for `pid`, a dead one nobody has collected included.
pub fn exists(pid: u32) -> bool {
    if Path::new("/proc/self").exists() {
        return Path::new("/proc").join(pid.to_string()).exists();
    }
    Command::new("ps").args(["-p", &pid.to_string()]).output().is_ok_and(|output| output.status.success())
}

/// True when `pid` is a running process (not merely an uncollected one).
pub fn is_running(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        // "1234 (name) S …": the state follows the last parenthesis, for a name may contain any of these.
        Ok(stat) => stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])),
        Err(_) => !Path::new("/proc/self").exists() && exists(pid),
    }
}

/// Whether a process is a server, or a backend, of a data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    Serves,
    Stranger,
    /// It runs as the folder's owner, and where it works could not be seen: it may be either.
    Unknown,
}

/// What `pid` is to the data folder `cluster` of `owner`.
pub fn examine(pid: u32, owner: &Owner, cluster: &Path) -> Finding {
    if !is_running(pid) {
        return Finding::Stranger;
    }
    if !Path::new("/proc/self").exists() {
        let output = Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output();
        let named = |output: Output| String::from_utf8_lossy(&output.stdout).contains(&*cluster.to_string_lossy());
        return output.map_or(Finding::Unknown, |output| judge(named(output)));
    }
    // PostgreSQL runs on a folder only as the folder's owner.
    if std::fs::metadata(format!("/proc/{pid}")).is_ok_and(|process| process.uid() != owner.uid) {
        return Finding::Stranger;
    }
    match folder_of(pid, owner) {
        Some(folder) => judge(folder == cluster),
        None if is_running(pid) => Finding::Unknown,
        None => Finding::Stranger,
    }
}

/// Every running process that works inside `cluster`: a server, or backends that have outlived theirs. Empty
/// where there is no `/proc`; there PostgreSQL's own check of its shared memory has to do.
pub fn working_in(cluster: &Path, owner: &Owner) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| examine(*pid, owner, cluster) == Finding::Serves).collect()
}

fn judge(serves: bool) -> Finding {
    if serves { Finding::Serves } else { Finding::Stranger }
}

/// The folder a process works in. In a container root may be denied what a process's own user may see, so that
/// user is asked then.
fn folder_of(pid: u32, owner: &Owner) -> Option<PathBuf> {
    let link = PathBuf::from(format!("/proc/{pid}/cwd"));
    if let Ok(folder) = std::fs::read_link(&link) {
        return Some(folder);
    }
    if !owner.stepped_down {
        return None;
    }
    let mut command = owner.command(Path::new("/bin/sh"));
    let output = command.args(["-c", "readlink \"$1\"", "sh"]).arg(&link).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let folder = text.strip_suffix('\n').filter(|folder| !folder.is_empty())?;
    Some(PathBuf::from(folder))
}
