//! `hanse partners export`: everything of a partner, in files that need no Hanse to be read.

use crate::cli::house::Reach;
use crate::cli::{Error, Global, settle};
use crate::config::Flags;
use crate::domain::ids::Slug;
use crate::domain::settlement::Participant;
use crate::http::v1::ExportAnswer;
use crate::service::{exports, lifecycle, settlement};
use crate::store::catalogue;
use crate::store::settlement::{statements, windows};
use diesel::PgConnection;
use serde::Serialize;
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The partner's slug
    #[arg(value_parser = crate::cli::slug)]
    partner: Slug,
    /// Folder the files are written to
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

pub fn run(args: &Args, global: &Global) -> Result<(), Error> {
    let config = global.begin(&args.flags)?;
    let reach = Reach::open(&config)?;
    let mut conn = settlement::connect(&reach.url).map_err(Error::failed)?;
    lifecycle::standing(&mut conn, &args.partner).map_err(Error::failed)?;
    let currency = catalogue::load(&mut conn).map_err(Error::failed)?.alliance.currency;
    fs::create_dir_all(&args.to).map_err(Error::failed)?;
    let partner = &args.partner;
    let mut members = lines(&args.to.join("members.ndjson"))?;
    let written =
        exports::of_partner(&mut conn, partner, |export| put(&mut members, &ExportAnswer::new(export, &currency)));
    let count = written.map_err(Error::failed)?;
    members.flush().map_err(Error::failed)?;
    let mut conversions = lines(&args.to.join("conversions.ndjson"))?;
    let written = exports::conversions_of(&mut conn, partner, &currency, |state| put(&mut conversions, state));
    let converted = written.map_err(Error::failed)?;
    conversions.flush().map_err(Error::failed)?;
    let mut vouchers = lines(&args.to.join("vouchers.ndjson"))?;
    let given = exports::given_by(&mut conn, partner, |voucher| put(&mut vouchers, voucher)).map_err(Error::failed)?;
    vouchers.flush().map_err(Error::failed)?;
    let jwks = settle::keys(&config, &reach)?.jwks();
    let settled = settled(&mut conn, partner, &args.to, &jwks)?;
    drop(conn);
    if global.json {
        println!(
            "{:#}",
            json!({
                "members": count, "conversions": converted, "vouchers": given, "statements": settled, "folder": args.to,
            })
        );
    } else {
        let folder = args.to.display();
        println!("{count} members, {converted} conversions, {given} vouchers, {settled} statements are in {folder}");
    }
    Ok(())
}

/// Every published statement of the partner, each in the folder of its window, as `hanse verify` reads them; how many.
fn settled(conn: &mut PgConnection, partner: &Slug, to: &Path, jwks: &serde_json::Value) -> Result<u64, Error> {
    let of = Participant::from(partner);
    let last = windows::open(conn).map_err(Error::failed)?.number;
    let mut count = 0;
    for number in 1..last {
        let Some(window) = windows::numbered(conn, number).map_err(Error::failed)? else { continue };
        if window.published_at.is_none() || statements::find(conn, window.id, &of).map_err(Error::failed)?.is_none() {
            continue;
        }
        let to = to.join("settlement").join(number.to_string());
        let participant = Some(partner.as_str());
        let wanted = settle::export::Wanted { window: &window, participant, conversions: &[], to: &to, jwks };
        settle::export::write(conn, &wanted)?;
        count += 1;
    }
    Ok(count)
}

fn lines(path: &Path) -> Result<BufWriter<File>, Error> {
    File::create(path).map(BufWriter::new).map_err(Error::failed)
}

fn put(to: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *to, line)?;
    to.write_all(b"\n")
}
