//! What can be asked about another process without a system call of our own.
//!
//! A process id alone proves nothing: after a crash it may belong to anyone. A server and its backends work
//! inside their data folder, so that is what identifies them.

use std::path::Path;
use std::process::Command;

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

/// True when `pid` is running and serves the data folder `cluster`.
pub fn serves(pid: u32, cluster: &Path) -> bool {
    if !is_running(pid) {
        return false;
    }
    if Path::new("/proc/self").exists() {
        return std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == cluster);
    }
    let output = Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&*cluster.to_string_lossy()))
}

/// Every running process that works inside `cluster`: a server, or backends that have outlived theirs. Empty
/// where there is no `/proc`; there PostgreSQL's own check of its shared memory has to do.
pub fn working_in(cluster: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| serves(*pid, cluster)).collect()
}
