//! Which source wins, and what a mistake is told with.

use super::*;
use std::fs;

fn file(name: &str, text: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("hanse-config-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("hanse.toml");
    fs::write(&path, text).expect("written");
    path
}

fn nothing(_: &str) -> Option<String> {
    None
}

fn read(path: &Path) -> Result<Config, Error> {
    let outcome = Config::read(Some(path), nothing, &Flags::default());
    fs::remove_dir_all(path.parent().expect("its folder")).expect("removed");
    outcome
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
    let path = file("order", "lanes = 3\nread_pool = 3\nbatch_max = 3\n");
    let variable = |name: &str| match name {
        "HANSE_READ_POOL" | "HANSE_BATCH_MAX" => Some("4".to_owned()),
        "HANSE_KEEP_ALIVE_S" => Some(String::new()),
        _ => None,
    };
    let config = Config::read(Some(&path), variable, &Flags::of(&[("batch_max", "5")])).expect("read");
    fs::remove_dir_all(path.parent().expect("its folder")).expect("removed");
    let (lanes, read_pool, batch_max) = (config.lanes, config.read_pool, config.batch_max);
    assert_eq!((lanes, read_pool, batch_max, config.keep_alive_s), (3, 4, 5, 75));
    let printed = config.to_toml();
    for line in [
        format!("lanes = 3 # {}:1", path.display()),
        "read_pool = 4 # HANSE_READ_POOL".to_owned(),
        "batch_max = 5 # --batch-max".to_owned(),
        "keep_alive_s = 75 # default".to_owned(),
        "# database_url is not set".to_owned(),
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line}\n{printed}");
    }
}

#[test]
fn what_is_printed_can_be_read_again() {
    let printed = Config::default().to_toml();
    let again = read(&file("again", &printed)).expect("read");
    assert_eq!(again.shown().len(), SETTINGS.len());
    assert_eq!((again.lanes, again.api_listen, again.log), (2, Config::default().api_listen, "info".to_owned()));
}

#[test]
fn a_mistake_names_its_source_and_the_setting() {
    let check = |name: &str, text: &str, wanted: &str| {
        let path = file(name, text);
        let told = read(&path).expect_err(text).to_string();
        assert_eq!(told.strip_prefix(&*path.to_string_lossy()).expect("the file first"), wanted);
    };
    check("unknown", "\nlane = 3\n", ":2: there is no setting \"lane\" (hanse serve --help lists them)");
    check("range", "# two\nlanes = 0\n", ":2: lanes: 0 is not between 1 and 64");
    check("negative", "lanes = -1\n", ":1: lanes: \"-1\" is not a whole number in range");
    check("kind", "lanes = [1]\n", ":1: lanes: a text or a whole number is wanted");
    check("address", "api_listen = \"here\"\n", ":1: api_listen: \"here\" is not an address such as 127.0.0.1:8443");
    check("format", "log_format = \"xml\"\n", ":1: log_format: \"xml\" is none of auto, human, json");
    let variable = |name: &str| (name == "HANSE_LANES").then(|| "many".to_owned());
    let told = Config::read(None, variable, &Flags::default()).expect_err("refused").to_string();
    assert_eq!(told, "HANSE_LANES: lanes: \"many\" is not a whole number in range");
    let told = Config::read(None, nothing, &Flags::of(&[("shutdown_s", "9999")])).expect_err("refused").to_string();
    assert_eq!(told, "--shutdown-s: shutdown_s: 9999 is not between 0 and 3600");
    let told = Config::read(Some(Path::new("/nowhere/hanse.toml")), nothing, &Flags::default());
    assert!(matches!(told, Err(Error::File { .. })));
    let twice = read(&file("twice", "lanes = 1\nlanes = 2\n")).expect_err("refused").to_string();
    assert!(twice.contains("duplicate key"), "{twice}");
}

#[test]
fn networks_are_a_list_or_one_text() {
    let allowed = |config: &Config| config.outbound_allow.iter().map(ToString::to_string).collect::<Vec<_>>();
    let listed = read(&file("networks", "outbound_allow = [\"127.0.0.0/8\", \"::1/128\"]\n")).expect("read");
    assert_eq!(allowed(&listed), ["127.0.0.0/8", "::1/128"]);
    let again = read(&file("networks-again", &listed.to_toml())).expect("read");
    assert_eq!(allowed(&again), allowed(&listed));
    let flag = Config::read(None, nothing, &Flags::of(&[("outbound_allow", "10.0.0.0/8, 127.0.0.0/8")])).expect("read");
    assert_eq!(allowed(&flag), ["10.0.0.0/8", "127.0.0.0/8"]);
    let told = Config::read(None, nothing, &Flags::of(&[("outbound_allow", "10.0.0.1/8")])).expect_err("refused");
    let wanted = "--outbound-allow: outbound_allow: \"10.0.0.1/8\" is not a network such as 10.0.0.0/8";
    assert_eq!(told.to_string(), wanted);
}

#[test]
fn paths_of_a_file_are_relative_to_it_and_two_folders_follow_the_data_folder() {
    let path = file("paths", "data_dir = \"data\"\nkeys_dir = \"/elsewhere\"\n");
    let folder = path.parent().expect("its folder").to_owned();
    let config = read(&path).expect("read");
    assert_eq!(config.data_dir, folder.join("data"));
    assert_eq!(config.pki_dir(), folder.join("data/pki"));
    assert_eq!(config.keys_dir(), PathBuf::from("/elsewhere"));
}

#[test]
fn the_everyday_variable_is_read_and_ours_wins_over_it() {
    let everyday = |name: &str| (name == "DATABASE_URL").then(|| "postgresql://a@b/c".to_owned());
    let config = Config::read(None, everyday, &Flags::default()).expect("read");
    assert_eq!(config.database_url.as_ref().map(DatabaseUrl::expose), Some("postgresql://a@b/c"));
    assert!(config.to_toml().contains("# DATABASE_URL"));
    let both = |name: &str| name.ends_with("DATABASE_URL").then(|| format!("postgresql://a@b/{name}"));
    let config = Config::read(None, both, &Flags::default()).expect("read");
    assert_eq!(config.database_url.as_ref().map(DatabaseUrl::expose), Some("postgresql://a@b/HANSE_DATABASE_URL"));
}

#[test]
fn a_password_is_never_printed() {
    for (url, shown) in [
        ("postgres://me:secret@db/hanse", "postgres://me:***@db/hanse"),
        ("postgres://me:se@cret@db/hanse", "postgres://me:***@db/hanse"),
        (
            "postgres://me@db/hanse?sslmode=require&password=secret",
            "postgres://me@db/hanse?sslmode=require&password=***",
        ),
        ("postgres://me@db/hanse?sslpassword=secret", "postgres://me@db/hanse?sslpassword=***"),
        ("postgresql://hanse@/hanse?host=/tmp/x", "postgresql://hanse@/hanse?host=/tmp/x"),
    ] {
        let config = Config::read(None, nothing, &Flags::of(&[("database_url", url)])).expect("read");
        let printed = [config.to_toml(), config.to_json().to_string(), format!("{config:?}")];
        assert!(printed.iter().all(|text| text.contains(shown) && !text.contains("secret")), "{printed:?}");
    }
    let told = Config::read(None, nothing, &Flags::of(&[("database_url", "me:secret@db")])).expect_err("refused");
    assert!(!told.to_string().contains("secret"), "{told}");
}
