//! What processes cost: CPU time from /proc, the server's and the database's. Linux only; elsewhere nothing is known.

use std::fs;
use std::net::SocketAddr;

/// Milliseconds of a clock tick in /proc: 100 ticks a second is part of Linux's interface on every processor it runs on here.
const TICK_MS: u64 = 10;

/// The fields of /proc/<pid>/stat that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    own_ticks: u64,
    /// Of children that have ended and were waited for.
    ended_children_ticks: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Stat> {
        Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Stat> {
        // The name may hold anything, parentheses too; the fields begin after the last one.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Stat {
            parent: fields.get(1)?.parse().ok()?,
            own_ticks: ticks(11)? + ticks(12)?,
            ended_children_ticks: ticks(13)? + ticks(14)?,
        })
    }
}

/// CPU milliseconds a process has used.
pub fn cpu_ms(pid: u32) -> Option<u64> {
    Some(Stat::of(pid)?.own_ticks * TICK_MS)
}

/// CPU milliseconds a process and its children have used, those that have ended included.
pub fn family_cpu_ms(pid: u32) -> Option<u64> {
    let head = Stat::of(pid)?;
    let children = pids().filter_map(Stat::of).filter(|stat| stat.parent == pid).map(|stat| stat.own_ticks);
    Some((head.own_ticks + head.ended_children_ticks + children.sum::<u64>()) * TICK_MS)
}

/// The parent of a backend, when both are PostgreSQL's and on this machine.
pub fn postmaster_of(backend: u32) -> Option<u32> {
    let is_postgres = |pid: u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim_end().starts_with("postgres")
    };
    let parent = Stat::of(backend)?.parent;
    (is_postgres(backend) && is_postgres(parent)).then_some(parent)
}

/// The most memory a process has had resident, in KiB.
pub fn peak_memory_kib(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The process of this machine that listens at `address`, if it may be looked at.
pub fn listener(address: SocketAddr) -> Option<u32> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let inodes: Vec<String> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|text| listening_inodes(&text, address.port()))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let holds = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
        targets.any(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()))
    };
    address.ip().is_loopback().then(|| pids().find(holds)).flatten()
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Inodes of the sockets in a /proc/net/tcp that listen on `port`.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    const LISTENING: &str = "0A";
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
        let ours = fields.get(3) == Some(&LISTENING) && u16::from_str_radix(local_port, 16) == Ok(port);
        ours.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
    };
    table.lines().skip(1).filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_is_read_after_the_name_whatever_the_name() {
        let text = "77 (a) S (b) S 42 77 77 0 -1 4194560 1 2 3 4 500 60 7 8 20 0 1 0 99";
        assert_eq!(Stat::parse(text), Some(Stat { parent: 42, own_ticks: 560, ended_children_ticks: 15 }));
        assert_eq!(Stat::parse("77 (x) S 42"), None);
    }

    #[test]
    fn a_listening_socket_is_told_from_a_connection() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:20FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1\n\
            1: 0100007F:20FB 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 222 1\n\
            2: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1";
        assert_eq!(listening_inodes(table, 8443), ["111"]);
    }

    #[test]
    fn this_process_is_found_by_what_it_listens_on_and_has_used_time() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let own = std::process::id();
        assert_eq!(listener(socket.local_addr().expect("an address")), Some(own));
        // Read in this order: the second is of later, and of more.
        let (alone, family) = (cpu_ms(own), family_cpu_ms(own));
        assert!(alone.is_some() && family >= alone);
        assert!(peak_memory_kib(own).is_some_and(|kib| kib > 100));
        assert_eq!(postmaster_of(own), None);
    }
}
