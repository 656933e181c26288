//! The alliance's own keys over several servers: made once for each purpose, known before they sign, kept for ever.

use crate::faults::served::Stage;
use crate::support::book::Book;
use crate::support::{self, Scratch};
use diesel::connection::SimpleConnection;
use hanse::service::keys::Keys;
use hanse::signing::general::Document;
use hanse::signing::keyring::Purpose;
use hanse::signing::rotation;
use hanse::store;
use std::path::Path;

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn kids(keys: &Keys) -> Vec<String> {
    kids_of(&keys.jwks())
}

fn kids_of(set: &serde_json::Value) -> Vec<String> {
    let keys = set["keys"].as_array().expect("a set");
    keys.iter().map(|key| key["kid"].as_str().expect("a kid").to_owned()).collect()
}

/// The `kid` of a token, as anybody can read it.
fn kid(token: &str) -> String {
    use base64::Engine;
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').next().expect("a header"));
    let header: serde_json::Value = serde_json::from_slice(&header.expect("base64url")).expect("JSON");
    header["kid"].as_str().expect("a kid").to_owned()
}

async fn open(url: &str, folder: &Path) -> Keys {
    Keys::open(store::connect(url).expect("the database"), folder.to_owned()).await.expect("keys")
}

#[test]
fn servers_that_start_at_once_agree_on_one_key_a_purpose_that_signs_at_once() {
    let database = support::database();
    let folder = Scratch::new("keys");
    let all: Vec<Keys> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| block(open(&database.url, &folder.path().join("keys"))))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let first = kids(&all[0]);
    assert_eq!(first.len(), Purpose::ALL.len());
    for (one, other) in [(0, 1), (1, 2), (2, 3), (3, 0)] {
        assert_eq!(kids(&all[other]), first);
        let token = all[one].sign(Purpose::Quote, br#"{"v":1}"#).expect("signed");
        assert_eq!(all[other].verify(Purpose::Quote, &token).as_deref(), Ok(br#"{"v":1}"#.as_slice()));
        let signatures = all[one].statement_signatures(b"{}").expect("signed");
        let record = Document::new(b"{}".to_vec(), &signatures).expect("a record");
        assert_eq!(record.verify_all(|kid| all[other].statement_key(kid)).map(|held| held.len()), Ok(2));
        let note = all[one].sign_checkpoint("star.example/log", 1, [7; 32]).expect("signed");
        let log = all[other].checkpoint_keys("star.example/log").expect("a name");
        assert!(note.checkpoint(&log[0]).is_ok());
    }
    let files = std::fs::read_dir(folder.path().join("keys")).expect("a folder").count();
    assert_eq!(files, Purpose::ALL.len());
}

#[test]
fn keys_are_listed_and_rotated_from_the_command_line() {
    let database = support::database();
    let folder = Scratch::new("keys-typed");
    let hanse = |what: &str| -> serde_json::Value {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hanse"));
        command.args(["keys", what, "--json", "--keys-dir"]).arg(folder.path());
        let output = command.env("DATABASE_URL", &database.url).env_remove("RUST_LOG").output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let count = || hanse("list")["keys"].as_array().map(Vec::len);
    assert_eq!(hanse("list").get("log"), None, "no alliance gives the log its name yet");
    let purposes = Purpose::ALL.len();
    assert_eq!(count(), Some(purposes));
    for told in ["signs in ten minutes", "a new key is on its way already"] {
        let rotated = hanse("rotate");
        assert_eq!(rotated.as_object().map(serde_json::Map::len), Some(purposes));
        assert!(Purpose::ALL.iter().all(|purpose| rotated[purpose.text()] == told), "{rotated}");
        assert_eq!(count(), Some(2 * purposes));
    }
}

#[test]
fn a_new_key_is_published_first_and_signs_when_its_time_has_come() {
    let database = support::database();
    let folder = Scratch::new("rotation");
    block(async {
        let [one, other] = [open(&database.url, folder.path()).await, open(&database.url, folder.path()).await];
        let old = one.sign(Purpose::Quote, b"{}").expect("signed");
        assert!(one.rotate(Purpose::Quote).await.expect("rotated"));
        assert!(!other.rotate(Purpose::Quote).await.expect("one is on its way"));
        let known = Purpose::ALL.len() + 1;
        assert_eq!((kids(&one).len(), kids(&other).len()), (known, known));
        assert_eq!(kid(&one.sign(Purpose::Quote, b"{}").expect("signed")), kid(&old));
        // Ten minutes later.
        let later = "UPDATE alliance_keys SET signs_from = signs_from - interval '11 minutes'";
        database.connection().batch_execute(later).expect("moved");
        one.refresh().await.expect("refreshed");
        let new = one.sign(Purpose::Quote, b"{}").expect("signed");
        assert_ne!(kid(&new), kid(&old));
        // The other server has not looked since, and knows the key all the same.
        assert!(other.verify(Purpose::Quote, &new).is_ok() && one.verify(Purpose::Quote, &old).is_ok());
        // A server without the files is told so when it starts, not when it is asked for a quote.
        let elsewhere = Keys::open(store::connect(&database.url).expect("open"), folder.path().join("empty")).await;
        assert!(elsewhere.is_err());
    });
}

#[test]
fn every_server_serves_a_new_key_from_when_it_is_published() {
    let database = support::database();
    let folder = Scratch::new("served");
    block(async {
        let [one, other] = [open(&database.url, folder.path()).await, open(&database.url, folder.path()).await];
        let known = kids(&other);
        assert!(one.rotate(Purpose::Checkpoint).await.expect("rotated"));
        assert_eq!(kids(&other), known, "it has not looked since");
        let served = other.current_jwks().await;
        assert_eq!((kids_of(&served), kids(&other)), (kids(&one), kids(&one)));
        let of = |purpose: &str| {
            served["keys"].as_array().map(|keys| keys.iter().filter(|key| key["purpose"] == purpose).count())
        };
        assert_eq!(["quote", "statement", "statement_p256", "checkpoint"].map(of), [1, 1, 1, 2].map(Some));
        // Without a file it can sign no more, and says what it knows.
        assert!(one.rotate(Purpose::Quote).await.expect("rotated"));
        std::fs::remove_dir_all(folder.path()).expect("removed");
        assert_eq!(kids_of(&other.current_jwks().await), kids_of(&served));
    });
}

#[test]
fn a_running_server_serves_at_once_what_another_program_has_published() {
    let book = Book::new("");
    let stage = Stage::on("keys-running", &book.database.url, 0);
    let served = stage.serve();
    let count = |path: &str, what: &str| served.plain(path).matches(what).count();
    assert_eq!(count("/.well-known/jwks.json", r#""purpose":"#), Purpose::ALL.len());
    let mut rotate = std::process::Command::new(env!("CARGO_BIN_EXE_hanse"));
    rotate.args(["keys", "rotate", "--data-dir"]).arg(stage.folder.path());
    let rotated = rotate.env("DATABASE_URL", &book.database.url).env_remove("RUST_LOG").output().expect("it runs");
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    assert_eq!(count("/.well-known/key-rotations.json", r#""payload":"#), 3);
    assert_eq!(count("/.well-known/jwks.json", r#""purpose":"#), 2 * Purpose::ALL.len());
}

#[test]
fn a_new_statement_key_is_announced_by_the_old_one_and_itself() {
    let database = support::database();
    let folder = Scratch::new("handover");
    block(async {
        let keys = open(&database.url, folder.path()).await;
        assert!(keys.announce("star", Purpose::Statement).is_none());
        let old = keys.statement_signatures(b"{}").expect("signed")[0].kid.clone();
        assert!(keys.rotate(Purpose::Statement).await.expect("rotated"));
        let record = keys.announce("star", Purpose::Statement).expect("one is on its way").expect("signed");
        let said = rotation::verify(&record, |kid| keys.statement_key(kid)).expect("both have signed");
        assert_eq!((said.old, said.alliance.as_str()), (old, "star"));
        assert!(keys.announce("star", Purpose::StatementP256).is_none());
    });
}
