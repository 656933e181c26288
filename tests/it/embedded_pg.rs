//! The private cluster: started from every state a folder can be in, and leaving nothing behind.

use crate::support::{self, Scratch, poll};
use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, sql_query};
use hanse::embedded_pg::{EmbeddedPg, Error, State};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

fn start(home: &Path) -> EmbeddedPg {
    EmbeddedPg::start(&support::options(home.to_owned())).expect("the cluster starts")
}

fn insert(cluster: &EmbeddedPg, value: i64) {
    let mut conn = PgConnection::establish(&cluster.url("points")).expect("connected");
    conn.batch_execute(&format!("CREATE TABLE IF NOT EXISTS kept (n bigint); INSERT INTO kept VALUES ({value})"))
        .expect("inserted");
}

fn sum(cluster: &EmbeddedPg) -> Option<i64> {
    #[derive(QueryableByName)]
    struct Sum {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let mut conn = PgConnection::establish(&cluster.url("points")).ok()?;
    sql_query("SELECT sum(n)::bigint AS n FROM kept").get_result::<Sum>(&mut conn).ok().map(|sum| sum.n)
}

fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn kill(pid: u32) {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs");
    assert!(status.success());
}

#[test]
fn a_cluster_is_made_stopped_and_used_again_with_nothing_left_between() {
    let home = Scratch::new("reuse");
    let first = start(home.path());
    first.create_database("points").expect("created");
    first.create_database("points").expect("found there");
    assert!(matches!(first.create_database("no such\"name"), Err(Error::Name(_))));
    insert(&first, 7);
    let (pid, sockets) = (first.pid().expect("running"), first.socket_folder().to_owned());
    assert!(sockets.to_string_lossy().len() <= 60, "{}", sockets.display());
    first.stop().expect("stopped");
    assert!(!is_running(pid) && !sockets.exists());
    let began = Instant::now();
    let second = start(home.path());
    let took = began.elapsed();
    assert_eq!(sum(&second), Some(7));
    // Alone it takes 0.2 s; here it shares two cores with every other test.
    assert!(took < Duration::from_secs(10), "ready after {took:?}");
}

#[test]
fn only_its_own_user_may_enter_the_socket_folder() {
    use std::os::unix::fs::PermissionsExt;
    let folder = std::fs::metadata(support::cluster().socket_folder()).expect("the folder is there");
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_server_killed_underneath_is_started_again_and_has_kept_what_was_committed() {
    let home = Scratch::new("killed");
    let cluster = start(home.path());
    cluster.create_database("points").expect("created");
    let rounds = if support::is_long() { 20 } else { 3 };
    for round in 1..=rounds {
        insert(&cluster, round);
        let before = cluster.pid().expect("running");
        kill(before);
        let after = poll("another server", PATIENCE, || match cluster.state() {
            State::Ready { pid } if pid != before => Some(pid),
            _ => None,
        });
        assert!(is_running(after) && !is_running(before));
        assert_eq!(sum(&cluster), Some((1..=round).sum()));
    }
    let last = cluster.pid().expect("running");
    cluster.stop().expect("stopped");
    assert!(!is_running(last));
}

#[test]
fn a_second_starter_is_told_who_holds_the_folder() {
    let home = Scratch::new("held");
    let _first = start(home.path());
    let refusal = EmbeddedPg::start(&support::options(home.path().to_owned())).err().expect("refused");
    assert!(matches!(&refusal, Error::Held { pid: Some(pid), .. } if *pid == std::process::id()), "{refusal}");
}

#[test]
fn a_pid_file_that_names_a_stranger_is_not_believed_and_the_stranger_is_left_alone() {
    let home = Scratch::new("stranger");
    let cluster = start(home.path());
    let data = cluster.data_folder().join("cluster");
    let left = std::fs::read_to_string(data.join("postmaster.pid")).expect("there while it runs");
    cluster.stop().expect("stopped");
    let mut stranger = Command::new("sleep").arg("600").spawn().expect("sleep runs");
    let rest = left.split_once('\n').expect("several lines").1;
    std::fs::write(data.join("postmaster.pid"), format!("{}\n{rest}", stranger.id())).expect("planted");
    let again = start(home.path());
    assert_ne!(again.pid(), Some(stranger.id()));
    assert!(is_running(stranger.id()));
    again.stop().expect("stopped");
    stranger.kill().and_then(|()| stranger.wait()).expect("collected");
}

#[test]
fn a_folder_the_servers_user_cannot_enter_is_replaced_by_one_outside_that_is_found_again() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let home = Scratch::new("closed");
    let closed = home.path().join("inside");
    std::fs::create_dir(&closed).expect("made");
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o700)).expect("closed");
    let first = start(&closed);
    let outside = first.data_folder().to_owned();
    let is_root = std::fs::metadata("/proc/self").expect("Linux").uid() == 0;
    assert_eq!(is_root, outside != closed.canonicalize().expect("there"), "{}", outside.display());
    first.create_database("points").expect("created");
    insert(&first, 3);
    first.stop().expect("stopped");
    let second = start(&closed);
    assert_eq!((second.data_folder(), sum(&second)), (&*outside, Some(3)));
    second.stop().expect("stopped");
    if is_root {
        let told = std::fs::read_to_string(closed.join("elsewhere")).expect("told");
        assert_eq!(Path::new(&told), outside);
        std::fs::remove_dir_all(outside).expect("removed");
    }
}

#[test]
fn a_folder_that_is_no_cluster_is_left_alone_and_explained() {
    // The server's user must be able to look, or a folder outside is used instead.
    let home = Scratch::enterable("foreign");
    let planted = home.path().join("cluster");
    std::fs::create_dir_all(&planted).expect("made");
    std::fs::write(planted.join("letters.txt"), "mine").expect("planted");
    let refusal = EmbeddedPg::start(&support::options(home.path().to_owned())).err().expect("refused");
    assert!(matches!(refusal, Error::NotACluster(_) | Error::NotOurs { .. }), "{refusal}");
    assert!(planted.join("letters.txt").exists());
}

#[test]
fn a_server_that_cannot_start_says_why_in_its_own_words() {
    let home = Scratch::new("unwilling");
    let mut options = support::options(home.path().to_owned());
    options.settings.push(("max_connections".to_owned(), "many".to_owned()));
    let refusal = EmbeddedPg::start(&options).err().expect("refused").to_string();
    assert!(refusal.contains("max_connections"), "{refusal}");
}

/// Not a test of its own: the process that the tests below start, and kill.
#[test]
fn child_that_holds_a_cluster() {
    let Some(home) = std::env::var_os("HANSE_TEST_HOME") else { return };
    let cluster = start(Path::new(&home));
    cluster.create_database("points").expect("created");
    insert(&cluster, 5);
    let facts = format!("{} {}", cluster.pid().expect("running"), cluster.socket_folder().display());
    std::fs::write(Path::new(&home).join("facts.new"), facts).expect("told");
    std::fs::rename(Path::new(&home).join("facts.new"), Path::new(&home).join("facts")).expect("told");
    loop {
        std::thread::park();
    }
}

/// Starts a cluster in another process, kills that, and returns the server's pid and socket folder.
fn start_and_kill(home: &Path, before_the_kill: impl FnOnce(u32)) -> (u32, PathBuf) {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--exact", "embedded_pg::child_that_holds_a_cluster"]).env("HANSE_TEST_HOME", home);
    let mut child = command.stdout(Stdio::null()).spawn().expect("it starts");
    let facts = poll("the child's cluster", PATIENCE, || std::fs::read_to_string(home.join("facts")).ok());
    let (pid, sockets) = facts.split_once(' ').expect("two facts");
    let pid = pid.parse().expect("a pid");
    before_the_kill(child.id());
    child.kill().and_then(|()| child.wait()).expect("killed and collected");
    (pid, PathBuf::from(sockets))
}

#[test]
fn when_its_starter_is_killed_the_server_stops_and_the_sockets_go() {
    let home = Scratch::new("orphan");
    let (pid, sockets) = start_and_kill(home.path(), |_| ());
    poll("the server stopped", PATIENCE, || (!is_running(pid)).then_some(()));
    poll("the socket folder removed", PATIENCE, || (!sockets.exists()).then_some(()));
    assert_eq!(sum(&start(home.path())), Some(5));
}

#[test]
fn a_starter_that_follows_a_killed_one_at_once_waits_for_its_server_to_stop() {
    let home = Scratch::new("at-once");
    let (pid, _) = start_and_kill(home.path(), |_| ());
    let next = start(home.path());
    assert!(!is_running(pid));
    assert_eq!(sum(&next), Some(5));
}

#[test]
fn a_server_left_running_because_the_guard_was_killed_too_is_stopped_by_the_next_starter() {
    let home = Scratch::new("left");
    let (pid, sockets) = start_and_kill(home.path(), |starter| {
        let guards = children(starter).into_iter().filter(|pid| cmdline(*pid).contains("hanse-guard"));
        let guards: Vec<u32> = guards.collect();
        assert_eq!(guards.len(), 1);
        guards.into_iter().for_each(kill);
    });
    assert!(is_running(pid) && sockets.exists());
    let next = start(home.path());
    assert!(!is_running(pid));
    assert_eq!(next.socket_folder(), sockets);
    assert_eq!(sum(&next), Some(5));
}

fn children(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("Linux").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parent_of = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split_whitespace().nth(1)?.parse().ok()
    };
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

fn cmdline(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}
