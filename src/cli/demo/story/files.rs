//! What the month leaves in a folder: everybody's files, which verify by themselves, and what finance prints.

use super::board::Row;
use super::{Broken, Error, FINANCE, HARVEST, LUMEN, SPROUT, Scene};
use crate::cli::settle::{export, reports};
use crate::domain::ids::WindowId;
use crate::domain::settlement::Participant;
use crate::service::reports::Form;
use crate::service::settlement::{self, reports::Name, reports::Wanted};
use crate::service::verify;
use crate::store::settlement::windows;
use diesel::PgConnection;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

const REPORTS: &str = "reports";
/// Beside everybody's own files.
const FOR_ALL: [&str; 3] = ["checkpoint.txt", "jwks.json", "key-rotations.json"];
/// What is printed, of whom, and what is booked.
const PRINTED: [(Name, Option<&str>); 3] =
    [(Name::Statement, Some("lumen")), (Name::Pairs, None), (Name::Liability, None)];
const BOOKED: [Name; 3] = [Name::Journal, Name::Invoices, Name::Summary];

impl Scene {
    /// Writes everybody's files, as they would fetch them, in place of those that an earlier play has left.
    pub(super) async fn leave_files(&mut self, window: WindowId) -> Result<(), Broken> {
        let (folder, jwks, conversions) = (self.folder.clone(), self.keys.jwks(), self.month.clone());
        empty(&folder).map_err(Error::Empty)?;
        let unit = move |conn: &mut PgConnection| {
            let window = windows::find(conn, window)?.ok_or(settlement::Error::NotFound)?;
            let (number, reports) = (window.number, folder.join(REPORTS));
            let wanted = export::Wanted {
                window: &window,
                participant: None,
                conversions: &conversions,
                to: &folder,
                jwks: &jwks,
            };
            let mut files = export::write(conn, &wanted).map_err(Error::Files)?;
            files.extend(write_reports(conn, number, &reports)?);
            Ok::<_, Error>((number, files))
        };
        let (number, files) = self.database.run(unit).await?;
        let asked = format!("leaves the files of window {number} in {}", self.folder.display());
        let (expected, holds) = ("statements, lines, proofs, reports".to_owned(), !files.is_empty());
        self.board.put(Row { who: FINANCE, asked, expected, got: format!("{} files", files.len()), holds });
        for (who, slug) in [(LUMEN, "lumen"), (HARVEST, "harvest"), (SPROUT, "sprout")] {
            self.verify(who, slug, &files)?;
        }
        Ok(())
    }

    /// Checks a brand's own files, and nothing else, as it would anywhere.
    fn verify(&mut self, who: &'static str, slug: &str, files: &[PathBuf]) -> Result<(), Broken> {
        let own = |file: &&PathBuf| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&format!("{slug}-")) || FOR_ALL.contains(&&*name)
        };
        let mut inputs = Vec::new();
        for file in files.iter().filter(own) {
            let source = Box::new(File::open(file).map_err(Error::Open)?);
            inputs.push(verify::Input { name: file.display().to_string(), source });
        }
        let report = verify::verify(inputs, |_| ()).map_err(Error::Verify)?;
        let (held, wrong) = (report.count(verify::Mark::Holds), report.first_wrong());
        let got = wrong.map_or_else(|| format!("{held} checks hold"), |(_, finding)| finding.says.clone());
        let (asked, expected) =
            ("verifies its files offline 离线验证".to_owned(), "all that is checked holds".to_owned());
        self.board.put(Row { who, asked, expected, got, holds: wrong.is_none() && held > 0 });
        Ok(())
    }
}

/// What finance prints and what it books.
fn write_reports(conn: &mut PgConnection, number: i64, to: &Path) -> Result<Vec<PathBuf>, Error> {
    let now = Wanted::now(conn)?;
    let of = |name: Name, participant: Option<&str>| Wanted {
        window: name.needs_window().then_some(number),
        participant: participant.and_then(Participant::parse),
        ..now.clone()
    };
    let printed = PRINTED.into_iter().flat_map(|one| [Form::Html, Form::Xlsx].map(|form| (one.0, one.1, form)));
    let booked = BOOKED.map(|name| (name, None, Form::Csv));
    let mut files = Vec::new();
    for (name, participant, form) in printed.chain(booked) {
        files.extend(reports::write(conn, name, &of(name, participant), form, to).map_err(Error::Files)?);
    }
    Ok(files)
}

/// Takes away the files that a play writes into the folder and its reports; whatever else is there stays. A link is taken
/// away where it stands for one of them, and never followed.
fn empty(folder: &Path) -> io::Result<()> {
    for (folder, ours) in [(folder.to_owned(), is_of_export as fn(&str) -> bool), (folder.join(REPORTS), is_report)] {
        if !fs::symlink_metadata(&folder).is_ok_and(|what| what.is_dir()) {
            continue;
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() && ours(&entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

fn is_of_export(name: &str) -> bool {
    let of_participant = ["-statement.json", "-lines.ndjson", "-lines.csv", "-proofs.json"];
    FOR_ALL.contains(&name) || of_participant.iter().any(|end| name.ends_with(end))
}

fn is_report(name: &str) -> bool {
    let mut names = PRINTED.iter().map(|(name, _)| name).chain(&BOOKED);
    let ended = [".html", ".xlsx", ".csv"].iter().any(|end| name.ends_with(end));
    ended && names.any(|of| name.strip_prefix(of.code()).is_some_and(|rest| rest.starts_with('-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_emptied_of_what_a_play_writes_and_of_nothing_else() {
        let home = std::env::temp_dir().join(format!("hanse-emptied-{}", std::process::id()));
        let (folder, elsewhere) = (home.join("settlement"), home.join("elsewhere"));
        for made in [&folder.join(REPORTS), &folder.join("old-statement.json"), &elsewhere] {
            fs::create_dir_all(made).expect("a folder");
        }
        let put = |file: &Path| fs::write(file, "x").expect("written");
        let ours = [
            "lumen-statement.json",
            "operator-lines.csv",
            "jwks.json",
            "key-rotations.json",
            "reports/statement-w0003-lumen.html",
        ];
        let theirs = ["notes.txt", "reports/statement.html", "reports/mine-w0003.csv", "reports/rates-2026.csv"];
        ours.iter().chain(&theirs).for_each(|name| put(&folder.join(name)));
        put(&elsewhere.join("jwks.json"));
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, folder.join(name)).expect("linked");
        link(&elsewhere.join("jwks.json"), "checkpoint.txt");
        empty(&folder).expect("emptied");
        assert!(ours.iter().chain(&["checkpoint.txt"]).all(|name| fs::symlink_metadata(folder.join(name)).is_err()));
        assert!(theirs.iter().chain(&["old-statement.json"]).all(|name| folder.join(name).exists()));
        // A folder that is a link is somebody else's.
        fs::remove_dir_all(folder.join(REPORTS)).expect("removed");
        put(&elsewhere.join("pairs-w0001.csv"));
        link(&elsewhere, REPORTS);
        empty(&folder).and_then(|()| empty(&folder.join(REPORTS))).expect("nothing to do");
        assert!(["jwks.json", "pairs-w0001.csv"].iter().all(|name| elsewhere.join(name).exists()));
        empty(&home.join("nowhere")).expect("nothing to do");
        fs::remove_dir_all(home).expect("removed");
    }
}
