//! The scripts of docs/finance.md, as they stand there, on files that are right and on files that were changed: what we
//! sign and hash is what other people's libraries verify.

use super::verify::Months;
use crate::cli::{hanse, run};
use crate::support::{Scratch, scratch, without_settings};
use hanse::signing::jwk::Kind;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const GUIDE: &str = include_str!("../../../docs/finance.md");
const REQUIREMENTS: &str = include_str!("../../interop/requirements.txt");
const PACKAGE: &str = include_str!("../../interop/package.json");

/// The marked blocks of the guide: name and text.
fn scripts() -> Vec<(&'static str, String)> {
    let mut scripts = Vec::new();
    let mut lines = GUIDE.lines();
    let mut mark = None;
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let name = mark.take().expect("a block carries a mark");
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            scripts.push((name, text.join("\n") + "\n"));
        }
        mark = line.strip_prefix("<!-- run: ").and_then(|rest| rest.strip_suffix(" -->"));
    }
    scripts
}

/// Runs a program to its end; what it printed, and whether it went well.
fn ran(command: &mut Command) -> (bool, String) {
    without_settings(command);
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let told = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&told).into_owned())
}

fn done(command: &mut Command) {
    let (went_well, told) = ran(command);
    assert!(went_well, "{command:?}: {told}");
}

/// `./test` has installed Python and Node: then they are there. Elsewhere a test may go without.
fn without(what: &str) {
    assert!(std::env::var_os("HANSE_TEST_INTEROP").is_none(), "{what}, though ./test installs it");
    println!("SKIPPED: {what}, so its scripts were not run");
}

/// The libraries, installed once and again when what they are has changed. `None`: there is no interpreter to run them.
pub struct Libraries {
    pub python: Option<PathBuf>,
    pub node: bool,
}

impl Libraries {
    pub fn install() -> Libraries {
        let folder = scratch("interop");
        fs::create_dir_all(&folder).expect("a folder");
        // Another run may be at it.
        let lock = File::create(folder.join("lock")).expect("a lock file");
        lock.lock().expect("the lock");
        let python = Libraries::python(&folder);
        let node = Libraries::node(&folder);
        Libraries { python, node }
    }

    fn python(folder: &Path) -> Option<PathBuf> {
        let candidates =
            ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "/usr/bin/python3"];
        let answers =
            |python: &&str| Command::new(python).arg("--version").output().is_ok_and(|output| output.status.success());
        let there: Vec<&str> = candidates.into_iter().filter(answers).collect();
        if there.is_empty() {
            without("no python3 here");
            return None;
        }
        let fit = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";
        let fits = |python: &&&str| ran(Command::new(python).args(["-c", fit])).0;
        let python = there.iter().find(fits);
        let python = python.unwrap_or_else(|| {
            panic!("{there:?}: none is Python 3.10 or later with venv: apt-get install python3-venv")
        });
        let (home, stamp) = (folder.join("venv"), folder.join("venv/requirements.txt"));
        let inside = home.join("bin/python");
        // A Python that was upgraded or removed leaves its environment behind.
        let fresh = fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == REQUIREMENTS)
            && ran(Command::new(&inside).args(["-c", "import ssl"])).0;
        if !fresh {
            done(Command::new(python).args(["-m", "venv", "--clear"]).arg(&home));
            let wanted = folder.join("requirements.txt");
            fs::write(&wanted, REQUIREMENTS).expect("written");
            let pip = [
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-cache-dir",
                "--only-binary=:all:",
                "--requirement",
            ];
            done(Command::new(&inside).args(pip).arg(&wanted));
            fs::write(&stamp, REQUIREMENTS).expect("written");
        }
        Some(inside)
    }

    fn node(folder: &Path) -> bool {
        if Command::new("node").arg("--version").output().is_err() {
            without("no node here");
            return false;
        }
        let stamp = folder.join("node_modules/package.json");
        if fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == PACKAGE) {
            return true;
        }
        fs::write(folder.join("package.json"), PACKAGE).expect("written");
        let mut npm = Command::new("npm");
        npm.args([
            "install",
            "--loglevel=error",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
            "--ignore-scripts",
            "--prefix",
        ])
        .arg(folder);
        // An account without a home of its own has no cache to write to.
        done(npm.env("npm_config_cache", folder.join("npm")).current_dir(folder));
        fs::write(&stamp, PACKAGE).expect("written");
        true
    }

    /// Runs a script of the guide in a folder with files; `None` when there is nothing here that could.
    fn run(&self, name: &str, text: &str, files: &Path) -> Option<(bool, String)> {
        let script = files.join(name);
        fs::write(&script, text).expect("written");
        match name.rsplit_once('.').map_or("sh", |(_, language)| language) {
            "py" => Some(ran(Command::new(self.python.as_ref()?).arg("-B").arg(&script).current_dir(files))),
            "mjs" => self.node.then(|| ran(Command::new("node").arg(&script).current_dir(files))),
            _ => {
                let program = Path::new(env!("CARGO_BIN_EXE_hanse")).parent().expect("a folder");
                let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
                Some(ran(Command::new("sh").args(["-eu"]).arg(&script).env("PATH", path).current_dir(files)))
            }
        }
    }
}

/// A file of the month that was changed, and which scripts look at what was changed in it.
struct Changed {
    file: &'static str,
    bytes: Vec<u8>,
    told_by: &'static [&'static str],
}

/// `text` with one thing in place of another, which must be there.
fn with(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    assert!(text.contains(from), "{from} in {text}");
    text.replacen(from, to, 1).into_bytes()
}

fn changes(files: &[(&'static str, Vec<u8>)]) -> Vec<Changed> {
    let bytes =
        |name: &str| files.iter().find(|(file, _)| *file == name).map(|(_, bytes)| bytes.as_slice()).expect("a file");
    let document: Value = serde_json::from_slice(bytes(STATEMENT)).expect("JSON");
    let altered = |pointer: &str, from: &str, to: &str| {
        let mut document = document.clone();
        let part = document.pointer_mut(pointer).expect("a part");
        let text = part.as_str().expect("a text");
        assert!(text.contains(from), "{from} in {text}");
        *part = json!(text.replacen(from, to, 1));
        document.to_string().into_bytes()
    };
    let flipped = |pointer: &str| {
        let last = document.pointer(pointer).and_then(Value::as_str).expect("a text").chars().nth(20).expect("long");
        altered(pointer, &last.to_string(), if last == 'A' { "B" } else { "A" })
    };
    let keys: Value = serde_json::from_slice(bytes(KEYS)).expect("JSON");
    let without_key_of = |nth: usize| {
        let mut fewer = keys.clone();
        let header = document["signatures"][nth]["protected"].as_str().expect("a header");
        let header = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, header);
        let header = String::from_utf8(header.expect("base64")).expect("text");
        let all = fewer["keys"].as_array_mut().expect("keys");
        let before = all.len();
        all.retain(|key| !header.contains(key["kid"].as_str().expect("a kid")));
        assert_eq!(all.len(), before - 1, "the key of signature {nth} is there");
        fewer.to_string().into_bytes()
    };
    let signed: &[&str] = &["hanse", "with_joserfc.py", "with_pyjwt.py", "with_jose.mjs"];
    let rooted: &[&str] = &["hanse", "with_pymerkle.py"];
    let dearer = with(bytes(LINES), r#""amount":"3.40""#, r#""amount":"3.41""#);
    vec![
        Changed { file: STATEMENT, bytes: flipped("/payload"), told_by: signed },
        Changed { file: STATEMENT, bytes: flipped("/signatures/0/signature"), told_by: signed },
        Changed { file: STATEMENT, bytes: flipped("/signatures/1/signature"), told_by: signed },
        Changed { file: STATEMENT, bytes: flipped("/signatures/2/signature"), told_by: signed },
        Changed { file: KEYS, bytes: without_key_of(1), told_by: signed },
        Changed { file: KEYS, bytes: without_key_of(2), told_by: signed },
        Changed {
            file: LINES,
            bytes: with(bytes(LINES), "\"entity\":\"bb Ltd\"", "\"entity\":\"bb Inc\""),
            told_by: rooted,
        },
        Changed { file: LINES, bytes: with(bytes(LINES), r#"{"agreement":"#, r#"{ "agreement":"#), told_by: rooted },
        Changed { file: LINES, bytes: dearer, told_by: &["hanse", "with_pymerkle.py", "with_python.py"] },
    ]
}

const STATEMENT: &str = "lumen-statement.json";
const LINES: &str = "lumen-lines.ndjson";
const KEYS: &str = "jwks.json";

/// The files of `bb` as `hanse settle export` writes them, by the names they have in the guide.
fn exported(months: &Months, folder: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let (_, conversion) = months.windows[0];
    let (conversion, data) = (conversion.to_string(), months.house.folder().to_str().expect("a plain path"));
    let to = folder.to_str().expect("a plain path");
    let typed = ["settle", "export", "1", "--participant", "bb", "--conversion", &conversion, "--to", to];
    let mut export = hanse(&[&typed[..], &["--data-dir", data]].concat());
    let (code, _, told) = run(export.env("DATABASE_URL", &months.house.book.database.url));
    assert_eq!(code, Some(0), "{told}");
    for file in ["statement.json", "lines.ndjson", "lines.csv", "proofs.json"] {
        let renamed = fs::rename(folder.join(format!("bb-{file}")), folder.join(format!("lumen-{file}")));
        renamed.expect("it was written");
    }
    [STATEMENT, KEYS, LINES].map(|name| (name, fs::read(folder.join(name)).expect("a file"))).into()
}

#[actix_web::test]
async fn the_guides_scripts_hold_what_is_right_and_refuse_what_was_changed() {
    let months = Months::new("interop-month", "").await;
    let own = months.countersign(0, "bb", Kind::P256);
    let libraries = Libraries::install();
    // Below the libraries: that is where node looks for them.
    let folder = Scratch::new("interop/run");
    let files = exported(&months, folder.path());
    assert!(String::from_utf8_lossy(&files[1].1).contains(own.kid()), "the key of the counter-signature is there");
    let put = |(name, bytes): &(&str, Vec<u8>)| fs::write(folder.path().join(name), bytes).expect("written");
    let scripts = scripts();
    let names: Vec<&str> = scripts.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        ["hanse", "with_joserfc.py", "with_pyjwt.py", "with_jose.mjs", "with_pymerkle.py", "with_python.py"]
    );
    for (name, text) in &scripts {
        if let Some((held, told)) = libraries.run(name, text, folder.path()) {
            println!("{name}: {told}");
            assert!(held, "{name}: {told}");
            assert!(told.contains("5.00") || told.contains("6 lines under"), "{name}: {told}");
        }
    }
    for Changed { file, bytes, told_by } in changes(&files) {
        put(&(file, bytes));
        for (name, text) in scripts.iter().filter(|(name, _)| told_by.contains(name)) {
            if let Some((held, told)) = libraries.run(name, text, folder.path()) {
                assert!(!held, "{name} holds a changed {file}: {told}");
            }
        }
        put(files.iter().find(|(name, _)| *name == file).expect("a file"));
    }
}
