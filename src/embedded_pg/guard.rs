//! The guard: a small shell that outlives us by a moment.
//!
//! It waits for the other end of a pipe. When we stop in order it reads `done` and leaves. When we are killed the
//! kernel closes the pipe; then it stops the server that would otherwise run on with nobody to look after it, and
//! removes the socket folder. Its standard output is our lock file: the folder stays locked until it has finished.

use super::owner::Owner;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Stdio};

/// Arguments: pg_ctl, data folder, socket folder. A server just being started may not have written its pid file
/// yet, so an absent one is looked for again. The pid is believed only if it works in the data folder.
const SCRIPT: &str = r#"
if read -r word; then exit 0; fi
round=0
while [ "$round" -lt 8 ]; do
  round=$((round + 1))
  pid=$(head -n 1 "$2/postmaster.pid" 2>/dev/null)
  if [ -n "$pid" ] && { [ ! -e /proc/self ] || [ "$(readlink "/proc/$pid/cwd")" = "$2" ]; }; then
    "$1" stop -s -D "$2" -m fast -w -t 60 && break
  fi
  sleep 0.1
done
rm -rf -- "$3"
"#;

pub struct Guard {
    child: Child,
}

impl Guard {
    pub fn post(owner: &Owner, pg_ctl: &Path, cluster: &Path, sockets: &Path, lock: &File) -> io::Result<Guard> {
        let mut command = owner.command(Path::new("/bin/sh"));
        command.args(["-c", SCRIPT, "hanse-guard"]).args([pg_ctl, cluster, sockets]);
        command.stdin(Stdio::piped()).stdout(lock.try_clone()?).stderr(Stdio::null());
        Ok(Guard { child: command.spawn()? })
    }

    /// Tells the guard that there is nothing left to look after, and waits for it to leave.
    pub fn dismiss(&mut self) {
        if let Some(mut pipe) = self.child.stdin.take() {
            // A guard that is gone already cannot be told; waiting below collects it either way.
            let _ = pipe.write_all(b"done\n");
        }
        let _ = self.child.wait();
    }
}
