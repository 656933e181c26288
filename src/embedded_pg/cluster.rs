//! The folders of a private cluster: where they are, how they are made, and what a killed server left in them.

use super::binaries::Binaries;
use super::owner::Owner;
use super::process::{self, Finding};
use super::{Error, SUPERUSER};
use crate::clock;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// A Unix socket's path may have 107 bytes, the socket's own name included.
const SOCKETS_MAX: usize = 60;
/// A fast stop of a server we did not start: it may have to write out all its shared buffers.
const EVICTION: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(10);
/// Tells whoever looks into the data folder where the data is, when it is not there.
const ELSEWHERE: &str = "elsewhere";

/// Where one cluster keeps its files.
#[derive(Clone, Debug)]
pub struct Folders {
    /// The caller's own folder; the lock is here.
    pub home: PathBuf,
    /// Holds the cluster and the log: `home`, or a folder outside when the server's user cannot enter that.
    pub data: PathBuf,
    /// PostgreSQL's data folder.
    pub cluster: PathBuf,
    pub log: PathBuf,
}

impl Folders {
    /// Makes the folders; the cluster itself may still be missing.
    pub fn make(home: &Path, owner: &Owner) -> Result<Folders, Error> {
        fs::create_dir_all(home).map_err(|cause| failed(home, cause))?;
        let home = home.canonicalize().map_err(|cause| failed(home, cause))?;
        let data = if owner.can_enter(&home) { home.clone() } else { outside(&home, owner)? };
        Ok(Folders { cluster: data.join("cluster"), log: data.join("postgres.log"), home, data })
    }

    /// Sixteen digits that belong to this data folder on this machine.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.cluster.to_string_lossy())
    }
}

/// Whether a cluster was ever made in this folder, or in the one used in its place.
pub fn exists(home: &Path) -> bool {
    home.join("cluster").exists() || home.join(ELSEWHERE).exists()
}

/// A folder outside a checkout that the server's user may not enter, such as a clone under root's home. Its name
/// comes from the checkout's path and an id kept inside it, so that a later clone in the same place starts anew.
fn outside(home: &Path, owner: &Owner) -> Result<PathBuf, Error> {
    let id_file = home.join("id");
    let id = match fs::read_to_string(&id_file) {
        Ok(id) => id,
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            let id = uuid::Uuid::new_v4().to_string();
            fs::write(&id_file, &id).map_err(|cause| failed(&id_file, cause))?;
            id
        }
        Err(cause) => return Err(failed(&id_file, cause)),
    };
    let name = format!("hanse-{}", fingerprint(&format!("{}\n{id}", home.display())));
    let mut refusal = None;
    for parent in ["/var/lib", "/var/tmp"] {
        let folder = Path::new(parent).join(&name);
        match private_folder(&folder, owner) {
            Ok(()) if owner.can_enter(&folder) => {
                let who = &owner.name;
                tracing::warn!(folder = %folder.display(), "{who} cannot enter {}: data is elsewhere", home.display());
                let pointer = home.join(ELSEWHERE);
                fs::write(&pointer, folder.as_os_str().as_bytes()).map_err(|cause| failed(&pointer, cause))?;
                return Ok(folder);
            }
            Ok(()) => {}
            Err(cause) => refusal = Some(cause),
        }
    }
    Err(refusal.unwrap_or_else(|| Error::NotEnterable { path: home.to_owned(), who: owner.name.clone() }))
}

/// A folder that only `owner` may enter: made, or found to be exactly that. Anyone may put things under `/tmp`,
/// so one that exists is checked and never trusted by its name.
fn private_folder(folder: &Path, owner: &Owner) -> Result<(), Error> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => owner.give(folder).map_err(|cause| failed(folder, cause)),
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(folder).map_err(|cause| failed(folder, cause))?;
            let ours = found.is_dir() && found.uid() == owner.uid && found.permissions().mode() & 0o077 == 0;
            if ours { Ok(()) } else { Err(Error::NotOurs { path: folder.to_owned(), who: owner.name.clone() }) }
        }
        Err(cause) => Err(failed(folder, cause)),
    }
}

/// Makes the socket folder, under `$XDG_RUNTIME_DIR` when that is ours to use and short, else under `/tmp`.
pub fn make_sockets(owner: &Owner, fingerprint: &str) -> Result<PathBuf, Error> {
    let plain = |path: &Path| {
        let text = path.to_string_lossy();
        text.len() <= SOCKETS_MAX && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
    };
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let runtime = runtime.filter(|folder| folder.is_absolute() && !owner.stepped_down && owner.can_enter(folder));
    let mut refusal = None;
    for parent in runtime.into_iter().chain([PathBuf::from("/tmp")]) {
        for suffix in ["", "-1", "-2", "-3"] {
            let folder = parent.join(format!("hanse-{fingerprint}{suffix}"));
            if !plain(&folder) {
                continue;
            }
            match private_folder(&folder, owner) {
                Ok(()) => return Ok(folder),
                Err(cause) => refusal = Some(cause),
            }
        }
    }
    Err(refusal.unwrap_or_else(|| Error::NotEnterable { path: "/tmp".into(), who: owner.name.clone() }))
}

/// The programs that fit this data folder, which is initialised when it is new.
pub fn open(folders: &Folders, owner: &Owner) -> Result<Binaries, Error> {
    let version_file = folders.cluster.join("PG_VERSION");
    match fs::read_to_string(&version_file) {
        Ok(text) => {
            let found = fs::metadata(&folders.cluster).map_err(|cause| failed(&folders.cluster, cause))?;
            if found.uid() != owner.uid {
                return Err(Error::NotOurs { path: folders.cluster.clone(), who: owner.name.clone() });
            }
            let major = text.trim().parse().map_err(|_| Error::NotACluster(folders.cluster.clone()))?;
            Binaries::find(Some(major))
        }
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            if folders.cluster.exists() {
                return Err(Error::NotACluster(folders.cluster.clone()));
            }
            let binaries = Binaries::find(None)?;
            initialise(folders, owner, &binaries)?;
            Ok(binaries)
        }
        Err(cause) if cause.kind() == ErrorKind::PermissionDenied => {
            Err(Error::NotOurs { path: folders.cluster.clone(), who: owner.name.clone() })
        }
        Err(cause) => Err(failed(&version_file, cause)),
    }
}

/// `initdb` beside the final place and one rename, so that an interrupted one is never taken for a cluster.
fn initialise(folders: &Folders, owner: &Owner, binaries: &Binaries) -> Result<(), Error> {
    let fresh = folders.data.join("cluster.new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(|cause| failed(&fresh, cause))?;
    }
    private_folder(&fresh, owner)?;
    let mut initdb = owner.command(&binaries.program("initdb"));
    initdb.arg("-D").arg(&fresh).args(["-U", SUPERUSER, "-k", "-E", "UTF8", "--locale=C"]);
    // Whoever can enter the socket folder is already the server's user or root; there is no other way in.
    initdb.args(["--auth-local=trust", "--auth-host=reject"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = initdb.output().map_err(|cause| failed(&binaries.program("initdb"), cause))?;
    if !output.status.success() {
        return Err(Error::Initialise(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    fs::rename(&fresh, &folders.cluster).map_err(|cause| failed(&folders.cluster, cause))
}

/// The first line and the last of `postmaster.pid`.
#[derive(Debug, PartialEq, Eq)]
pub struct PidFile {
    pub pid: u32,
    pub ready: bool,
}

impl PidFile {
    /// `None` when there is no such file, or it is still being written.
    pub fn read(cluster: &Path) -> Option<PidFile> {
        PidFile::parse(&fs::read_to_string(cluster.join("postmaster.pid")).ok()?)
    }

    fn parse(text: &str) -> Option<PidFile> {
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        // pid, folder, start, port, sockets, listen, shared memory, status.
        Some(PidFile { pid, ready: lines.nth(6).is_some_and(|status| status.trim() == "ready") })
    }
}

/// The socket folder of a server that runs on this folder and takes connections.
pub fn running_sockets(cluster: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    let ready = PidFile::parse(&text).is_some_and(|file| file.ready && process::is_running(file.pid));
    // pid, folder, start, port, sockets.
    text.lines().nth(4).filter(|_| ready).map(PathBuf::from)
}

/// Deals with what a killed starter left behind: stops a server that still runs on this folder, waits for
/// backends that have outlived theirs, and removes a pid file whose number now belongs to somebody else.
pub fn evict(folders: &Folders, owner: &Owner, binaries: &Binaries) -> Result<(), Error> {
    let cluster = &folders.cluster;
    let Some(left) = PidFile::read(cluster) else { return Ok(()) };
    let occupied = || Error::Occupied { cluster: cluster.clone(), pid: left.pid };
    match process::examine(left.pid, owner, cluster) {
        Finding::Serves => {
            tracing::warn!(pid = left.pid, "a server left running on {} is being stopped", cluster.display());
            signal(owner, binaries, left.pid, "INT");
            if !gone(left.pid, owner, cluster) {
                signal(owner, binaries, left.pid, "QUIT");
                if !gone(left.pid, owner, cluster) {
                    return Err(occupied());
                }
            }
        }
        Finding::Stranger => {}
        // Taking a live server's pid file away would let a second one onto its files.
        Finding::Unknown => return Err(occupied()),
    }
    clear_strays(folders, owner, binaries)?;
    // PostgreSQL takes any process of this number for a server and refuses to start. It is not one: nothing works
    // in the folder. (When the number is free it removes the file itself, after checking its shared memory.)
    if process::exists(left.pid) && PidFile::read(cluster).is_some_and(|found| found.pid == left.pid) {
        tracing::warn!(pid = left.pid, "postmaster.pid names a process that is no server of ours: removed");
        let pid_file = cluster.join("postmaster.pid");
        fs::remove_file(&pid_file).map_err(|cause| failed(&pid_file, cause))?;
    }
    Ok(())
}

/// Waits for backends whose server is dead; they leave by themselves as soon as they look up from their work. One
/// that does not is told to stop at once, as its server would have done after a crash.
pub fn clear_strays(folders: &Folders, owner: &Owner, binaries: &Binaries) -> Result<(), Error> {
    let give_up = clock::instant() + Duration::from_secs(30);
    let insist = clock::instant() + Duration::from_secs(1);
    loop {
        let strays = process::working_in(&folders.cluster, owner);
        let Some(first) = strays.first() else { return Ok(()) };
        if clock::instant() > give_up {
            return Err(Error::Occupied { cluster: folders.cluster.clone(), pid: *first });
        }
        if clock::instant() > insist {
            strays.iter().for_each(|pid| signal(owner, binaries, *pid, "QUIT"));
        }
        std::thread::sleep(POLL);
    }
}

/// Sends a signal as the server's user, so that no one else's process can be hit. A process that has just gone
/// is no failure: what the caller waits for has happened.
pub fn signal(owner: &Owner, binaries: &Binaries, pid: u32, name: &str) {
    let mut command = owner.command(&binaries.program("pg_ctl"));
    command.args(["kill", name, &pid.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(cause) = command.status() {
        tracing::warn!(%cause, pid, "pg_ctl could not be run to send {name}");
    }
}

fn gone(pid: u32, owner: &Owner, cluster: &Path) -> bool {
    let give_up = clock::instant() + EVICTION;
    while process::examine(pid, owner, cluster) == Finding::Serves {
        if clock::instant() > give_up {
            return false;
        }
        std::thread::sleep(POLL);
    }
    true
}

/// FNV-1a: names only, nothing is protected by it.
fn fingerprint(text: &str) -> String {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, mix))
}

fn failed(path: &Path, cause: std::io::Error) -> Error {
    Error::Folder { path: path.to_owned(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_ready_only_by_its_eighth_line() {
        let head = "4711\n/data/cluster\n1700000000\n5432\n/tmp/hanse-1\n\n  1234567    65536\n";
        let read = |text: &str| PidFile::parse(text);
        assert_eq!(read(&format!("{head}ready   \n")), Some(PidFile { pid: 4711, ready: true }));
        assert_eq!(read(&format!("{head}starting\n")), Some(PidFile { pid: 4711, ready: false }));
        assert_eq!(read(head), Some(PidFile { pid: 4711, ready: false }));
        assert_eq!(read(""), None);
        assert_eq!(read("half"), None);
    }

    #[test]
    fn two_folders_have_two_fingerprints() {
        assert_eq!(fingerprint("/a/b").len(), 16);
        assert_ne!(fingerprint("/a/b"), fingerprint("/a/c"));
    }
}
