//! `hanse clock advance 31d`: moves the business time of a sandbox alliance.

use super::house::Reach;
use super::{Error, Global};
use crate::config::Flags;
use crate::service::clock;
use crate::store;
use chrono::TimeDelta;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Move business time forward: 31d, 12h, 45m, 30s
    Advance {
        /// How far
        by: String,
        #[command(flatten)]
        flags: Flags,
    },
    /// Print business time
    Show {
        #[command(flatten)]
        flags: Flags,
    },
}

pub fn run(args: &Args, global: &Global) -> Result<(), Error> {
    let (by, flags) = match &args.what {
        What::Advance { by, flags } => (Some(span(by)?), flags),
        What::Show { flags } => (None, flags),
    };
    let reach = Reach::open(&global.begin(flags)?)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    let now = match by {
        Some(by) => clock::advance(&mut conn, by),
        None => clock::now(&mut conn),
    };
    let now = now.map_err(Error::failed)?.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    // Let go of the database before a private one is stopped.
    drop(conn);
    drop(reach);
    if global.json {
        println!("{}", serde_json::json!({ "business_time": now }));
    } else {
        println!("business time is {now}");
    }
    Ok(())
}

/// `31d`, `12h`, `45m` or `30s`.
pub fn span(text: &str) -> Result<TimeDelta, Error> {
    let wrong = || Error::Usage(format!("'{text}' is no span of time: write 31d, 12h, 45m or 30s"));
    let unit = text.chars().last().ok_or_else(wrong)?;
    let number: i64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    let span = match unit {
        'd' => TimeDelta::try_days(number),
        'h' => TimeDelta::try_hours(number),
        'm' => TimeDelta::try_minutes(number),
        's' => TimeDelta::try_seconds(number),
        _ => None,
    };
    span.ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_number_and_a_unit() {
        assert_eq!(span("31d").ok(), TimeDelta::try_days(31));
        for bad in ["", "d", "31", "31w", "1e3d", "é"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }
}
