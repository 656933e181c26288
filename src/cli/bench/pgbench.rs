//! PostgreSQL's own benchmark beside ours: TPC-B on the same cluster, with the same durability.

use super::load::Interrupt;
use crate::cli::Error;
use crate::{embedded_pg, store};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const DATABASE: &str = "pgbench";
const SCALE: i64 = 50;
const CLIENTS: &str = "16";
const THREADS: &str = "2";
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The program, and the database it has for itself.
pub struct Pgbench {
    program: PathBuf,
    url: String,
}

/// One run of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Figures {
    /// Of the benchmark's transactions, in thousandths of one a second.
    pub milli_tps: u64,
    pub latency_us: u64,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

impl Pgbench {
    /// Makes its database in the cluster of `database_url` and fills it, unless that has been done.
    pub async fn prepare(database_url: &str, interrupt: &Interrupt) -> Result<Pgbench, Error> {
        let program = embedded_pg::program("pgbench").map_err(Error::failed)?;
        if !program.is_file() {
            return Err(Error::Failed(format!("{} is missing: it comes with PostgreSQL's server", program.display())));
        }
        let url = with_database(database_url, DATABASE);
        let mut conn = store::establish(database_url).map_err(Error::failed)?;
        match conn.batch_execute(&format!("CREATE DATABASE {DATABASE}")) {
            Err(cause) if !cause.to_string().ends_with("already exists") => return Err(Error::failed(cause)),
            Ok(()) | Err(_) => {}
        }
        let pgbench = Pgbench { program, url };
        if !pgbench.is_filled()? {
            pgbench.run(&["-i", "-q", "-s", &SCALE.to_string()], interrupt).await?;
        }
        Ok(pgbench)
    }

    /// One run of this many seconds. It begins with a checkpoint, and so the run of ours after it: neither is to pay for
    /// what was written before, nor for log segments that are used for the first time in a cluster's life.
    pub async fn measure(&self, seconds: u64, interrupt: &Interrupt) -> Result<Figures, Error> {
        let mut conn = store::establish(&self.url).map_err(Error::failed)?;
        conn.batch_execute("CHECKPOINT").map_err(Error::failed)?;
        drop(conn);
        let seconds = seconds.to_string();
        let told = self.run(&["-M", "prepared", "-n", "-c", CLIENTS, "-j", THREADS, "-T", &seconds], interrupt).await?;
        parse(&told).ok_or_else(|| Error::Failed(format!("pgbench has told no figures: {}", told.trim())))
    }

    fn is_filled(&self) -> Result<bool, Error> {
        let mut conn = store::establish(&self.url).map_err(Error::failed)?;
        // The history is made last, after the indices of the rest.
        let sql = "SELECT count(*) AS count FROM pg_class WHERE relname = 'pgbench_accounts_pkey'";
        let keyed = diesel::sql_query(sql).get_result::<Count>(&mut conn).map_err(Error::failed)?;
        if keyed.count == 0 {
            return Ok(false);
        }
        let branches = diesel::sql_query("SELECT count(*) AS count FROM pgbench_branches");
        Ok(branches.get_result::<Count>(&mut conn).map_err(Error::failed)?.count == SCALE)
    }

    /// What it prints. An interruption ends it.
    async fn run(&self, arguments: &[&str], interrupt: &Interrupt) -> Result<String, Error> {
        let mut command = Command::new(&self.program);
        // Not as an argument, which everybody on this machine could read: it may hold a password.
        command.args(arguments).env("PGDATABASE", &self.url).stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut running = Running(child.map_err(Error::failed)?);
        loop {
            if let Some(status) = running.0.try_wait().map_err(Error::failed)? {
                let (told, complained) = running.output();
                let failed = || Error::Failed(format!("pgbench {} failed: {}", arguments.join(" "), complained.trim()));
                return if status.success() { Ok(told) } else { Err(failed()) };
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = interrupt.asked() => return Err(Error::Failed("interrupted while pgbench ran".to_owned())),
            }
        }
    }
}

/// A child that ends with us.
struct Running(Child);

impl Running {
    /// It prints a page at most: nothing can be stuck in the pipes.
    fn output(&mut self) -> (String, String) {
        let (mut told, mut complained) = (String::new(), String::new());
        if let Some(pipe) = &mut self.0.stdout {
            pipe.read_to_string(&mut told).unwrap_or_default();
        }
        if let Some(pipe) = &mut self.0.stderr {
            pipe.read_to_string(&mut complained).unwrap_or_default();
        }
        (told, complained)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail when it has ended, and then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The same libpq URL, or list of settings, with another database.
fn with_database(url: &str, database: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // `host=… dbname=…`: the last one said counts.
        return format!("{url} dbname={database}");
    };
    let (place, parameters) = rest.split_once('?').map_or((rest, None), |(place, some)| (place, Some(some)));
    let authority = place.split('/').next().unwrap_or_default();
    let parameters = parameters.map(|some| format!("?{some}")).unwrap_or_default();
    format!("{scheme}://{authority}/{database}{parameters}")
}

fn parse(told: &str) -> Option<Figures> {
    let after = |name: &str| told.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next();
    Some(Figures { milli_tps: thousandths(after("tps = ")?)?, latency_us: thousandths(after("latency average = ")?)? })
}

/// `2934.5123` as 2934512.
fn thousandths(number: &str) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction: String = fraction.chars().chain("000".chars()).take(3).collect();
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(fraction.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_read_from_what_it_prints() {
        let told = "pgbench (15.14)\ntransaction type: <builtin: TPC-B (sort of)>\nscaling factor: 50\n\
            number of transactions actually processed: 88035\nnumber of failed transactions: 0 (0.000%)\n\
            latency average = 5.452 ms\ninitial connection time = 22.511 ms\n\
            tps = 2934.519876 (without initial connection time)\n";
        assert_eq!(parse(told), Some(Figures { milli_tps: 2_934_519, latency_us: 5_452 }));
        assert_eq!(parse("pgbench: error: connection to server failed"), None);
        let numbers = ["3", "3.1", "0.0004", "x", "1.x"].map(thousandths);
        assert_eq!(numbers, [Some(3000), Some(3100), Some(0), None, None]);
    }

    #[test]
    fn another_database_of_the_same_cluster_is_named() {
        for (url, wanted) in [
            ("postgresql://hanse@/hanse?host=/tmp/x&port=5432", "postgresql://hanse@/pgbench?host=/tmp/x&port=5432"),
            ("postgres://u:p%2F@db:5433/hanse", "postgres://u:p%2F@db:5433/pgbench"),
            ("postgres://u@db", "postgres://u@db/pgbench"),
            ("host=/tmp dbname=hanse", "host=/tmp dbname=hanse dbname=pgbench"),
        ] {
            assert_eq!(with_database(url, DATABASE), wanted);
        }
    }
}
