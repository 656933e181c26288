//! Who runs the server: ourselves, or, because PostgreSQL refuses to run as root, `postgres` or else `nobody`.

use super::Error;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A user of this machine.
#[derive(Clone, Debug)]
pub struct Owner {
    pub uid: u32,
    gid: u32,
    pub name: String,
    /// True when we are root and must step down to this user.
    pub stepped_down: bool,
}

impl Owner {
    /// The user the server will run as. `Err(NoUser)` when we are root and neither account exists.
    pub fn choose() -> Result<Owner, Error> {
        let uid = own_uid()?;
        if uid != 0 {
            return Ok(Owner { uid, gid: 0, name: format!("uid {uid}"), stepped_down: false });
        }
        // `initdb` looks its user up by name, so a bare number would not do.
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let named = ["postgres", "nobody"].iter().find_map(|name| account(&accounts, name));
        let (name, uid, gid) = named.ok_or(Error::NoUser)?;
        Ok(Owner { uid, gid, name, stepped_down: true })
    }

    /// A command run as this user: no terminal, none of our environment (a stray `PGPORT` or `PGDATA` would
    /// lead it elsewhere), a process group of its own (an interrupt typed at us must not reach the server).
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        command.env_clear().env("PATH", path).env("LC_ALL", "C").env("TZ", "UTC");
        command.current_dir("/").stdin(Stdio::null()).process_group(0);
        if self.stepped_down {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// True when this user can reach and enter `folder`.
    pub fn can_enter(&self, folder: &Path) -> bool {
        let mut command = self.command(Path::new("/bin/sh"));
        command.args(["-c", "cd -- \"$1\"", "sh"]).arg(folder).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// Makes this user the owner of `path`.
    pub fn give(&self, path: &Path) -> io::Result<()> {
        if self.stepped_down { chown(path, Some(self.uid), Some(self.gid)) } else { Ok(()) }
    }
}

fn own_uid() -> Result<u32, Error> {
    // On Linux the folder of a process belongs to the user it runs as; elsewhere there is `id`.
    if let Ok(process) = std::fs::metadata("/proc/self") {
        return Ok(process.uid());
    }
    let output = Command::new("id").arg("-u").output().ok();
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    text.and_then(|text| text.trim().parse().ok()).ok_or(Error::NoUser)
}

/// The line of `name` in a passwd file: `name:x:uid:gid:…`.
fn account(passwd: &str, name: &str) -> Option<(String, u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        Some((name.to_owned(), fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres2:x:7:8::/:/bin/sh\npostgres:x:101:104::/:/bin/sh\n";
        assert_eq!(account(passwd, "postgres"), Some(("postgres".to_owned(), 101, 104)));
        assert_eq!(account(passwd, "nobody"), None);
    }
}
