//! A full disk: no command is blamed, nothing answered is lost, and with room again the service is back by itself.

use crate::support::book::{ALLIANCE, code, conversion, pair, request};
use crate::support::{Scratch, options, poll};
use arc_swap::ArcSwap;
use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, sql_query};
use hanse::book::command::Undecided;
use hanse::book::{Bounds, Handle, audit};
use hanse::embedded_pg::{EmbeddedPg, Options};
use hanse::store;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// A file system in memory, so small that it can be filled; only root may mount one.
struct Tiny<'a>(&'a Path);

impl Tiny<'_> {
    fn mount(at: &Path) -> Option<Tiny<'_>> {
        std::fs::create_dir_all(at).expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=160m,mode=0755", "none"]).arg(at).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Tiny(at))
    }
}

impl Drop for Tiny<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[actix_web::test]
async fn a_full_disk_blames_no_command_and_is_over_when_there_is_room() {
    let folder = Scratch::enterable("disk");
    let place = folder.path().join("tiny");
    let Some(_tiny) = Tiny::mount(&place) else {
        println!("not run: a file system to fill can be mounted by root only");
        return;
    };
    // Small segments, so that the log too finds its end soon.
    let settings = [("max_wal_size", "48MB"), ("min_wal_size", "32MB"), ("wal_recycle", "off")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cluster = EmbeddedPg::start(&Options { settings, ..options(place.join("postgres")) }).expect("it fits");
    cluster.create_database("hanse").expect("created");
    let url = cluster.url("hanse");
    store::migrate(&url).expect("migrated");
    let mut conn = PgConnection::establish(&url).expect("connected");
    conn.batch_execute(ALLIANCE).expect("the small alliance");
    let catalogue = Arc::new(ArcSwap::from_pointee(store::catalogue::load(&mut conn).expect("the catalogue")));
    drop(conn);
    let server = Handle::start(&url, catalogue, Bounds::default()).expect("lanes");
    let (a, _) = pair(&server, "m", 1_000_000).await;

    let filler = place.join("filler");
    fill(&filler);
    let (mut done, mut open, mut unavailable) = (0, Vec::new(), 0);
    for n in 0.. {
        let requests: Vec<_> = (0..200).map(|i| request("aa", &format!("{n}-{i}"), conversion(a, 2))).collect();
        for (asked, answer) in requests.iter().zip(server.submit_all(requests.clone()).await) {
            match answer {
                Ok(_) => done += 1,
                // Away while it starts again, too full while it runs: never the command's own failure.
                Err(Undecided::Unavailable | Undecided::OutcomeUnknown) => {
                    unavailable += 1;
                    open.push(asked.clone());
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        if unavailable >= 600 {
            break;
        }
        assert!(n < 400, "the disk never fills: {done} done");
    }
    std::fs::remove_file(&filler).expect("room again");
    assert!(cluster.wait_ready(Duration::from_secs(30)), "{:?}", cluster.state());
    poll("the book is back", Duration::from_secs(30), || PgConnection::establish(&url).ok().map(drop));
    for asked in &open {
        let mut tries = 0;
        while code(&server.submit(asked.clone()).await) != "done" {
            tries += 1;
            assert!(tries < 1_000, "it is not back");
            actix_web::rt::task::yield_now().await;
        }
    }
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let mut conn = PgConnection::establish(&url).expect("connected");
    let count = sql_query("SELECT count(DISTINCT reference) AS n FROM conversions").get_result::<Count>(&mut conn);
    assert_eq!(count.expect("counted").n, i64::try_from(done + open.len()).expect("few"), "one effect each");
    let findings = audit::run(&mut conn, |_| ()).expect("the audit runs");
    assert!(findings.iter().all(|finding| finding.violations == 0), "{findings:#?}");
    server.close();
    drop(conn);
    cluster.stop().expect("stopped");
    println!("full disk: {done} answered before, {unavailable} refused as unavailable, all answered with room again");
}

/// Writes until nothing more fits, and leaves a little.
fn fill(path: &Path) {
    let mut file = File::create(path).expect("a file");
    for block in [1 << 20, 1 << 12] {
        let bytes = vec![0; block];
        while file.write_all(&bytes).is_ok() {}
    }
    let length = file.metadata().expect("its length").len();
    file.set_len(length - (1 << 20)).expect("a little room");
}
