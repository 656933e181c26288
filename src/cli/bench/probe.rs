//! What is read beside a run: the processes' CPU time, the database's commits, the book's batches.

use super::client::Target;
use super::process;
use crate::cli::Error;
use crate::store;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer};

/// Where to look. What is not known is not told.
pub struct Probe {
    servers: Vec<u32>,
    postmaster: Option<u32>,
    database: Option<PgConnection>,
    metrics: Vec<Target>,
}

/// Counters at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    server_ms: Option<u64>,
    database_ms: Option<u64>,
    generator_ms: Option<u64>,
    commits: Option<u64>,
    batches: Option<Batches>,
}

/// Of the book's lanes: how many batches, and commands in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Batches {
    count: u64,
    commands: u64,
}

/// What a run has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Cost {
    pub server_cpu_ms: Option<u64>,
    pub database_cpu_ms: Option<u64>,
    pub generator_cpu_ms: Option<u64>,
    /// Of the database, reads included.
    pub commits: Option<u64>,
    pub batches: Option<u64>,
    /// Commands in a batch, in tenths.
    pub batch_size_tenths: Option<u64>,
    pub server_peak_kib: Option<u64>,
}

#[derive(QueryableByName)]
struct Pid {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

#[derive(QueryableByName)]
struct Commits {
    #[diesel(sql_type = BigInt)]
    commits: i64,
}

impl Probe {
    /// `server_pid` and `postgres_pid` are found by the port and by the database's connection unless given.
    pub fn new(
        servers: &[Target],
        metrics: Vec<Target>,
        database_url: Option<&str>,
        (server_pid, postgres_pid): (Option<u32>, Option<u32>),
    ) -> Result<Probe, Error> {
        let mut database = database_url.map(store::establish).transpose().map_err(Error::failed)?;
        let postmaster = postgres_pid.or_else(|| postmaster(database.as_mut()?));
        let mut found: Vec<u32> = match server_pid {
            Some(pid) => vec![pid],
            None => servers.iter().filter_map(|target| process::listener(target.address)).collect(),
        };
        found.sort_unstable();
        found.dedup();
        Ok(Probe { servers: found, postmaster, database, metrics })
    }

    pub async fn read(&mut self) -> Reading {
        Reading {
            server_ms: sum(self.servers.iter().map(|pid| process::cpu_ms(*pid))),
            database_ms: self.postmaster.and_then(process::family_cpu_ms),
            generator_ms: process::cpu_ms(std::process::id()),
            commits: self.database.as_mut().and_then(commits),
            batches: self.batches().await,
        }
    }

    /// What was used between two readings.
    pub fn cost(&self, before: &Reading, after: &Reading) -> Cost {
        // A server that was started again counts from nothing: then nothing is known.
        let used = |before: Option<u64>, after: Option<u64>| after?.checked_sub(before?);
        let count = used(before.batches.map(|all| all.count), after.batches.map(|all| all.count));
        let commands = used(before.batches.map(|all| all.commands), after.batches.map(|all| all.commands));
        Cost {
            server_cpu_ms: used(before.server_ms, after.server_ms),
            database_cpu_ms: used(before.database_ms, after.database_ms),
            generator_cpu_ms: used(before.generator_ms, after.generator_ms),
            commits: used(before.commits, after.commits),
            batches: count,
            batch_size_tenths: commands.zip(count).and_then(|(commands, count)| (commands * 10).checked_div(count)),
            server_peak_kib: sum(self.servers.iter().map(|pid| process::peak_memory_kib(*pid))),
        }
    }

    async fn batches(&self) -> Option<Batches> {
        let mut all = Batches::default();
        for target in &self.metrics {
            let page = target.get("/metrics").await.ok()?;
            let one = parse_batches(std::str::from_utf8(&page).ok()?)?;
            all = Batches { count: all.count + one.count, commands: all.commands + one.commands };
        }
        (!self.metrics.is_empty()).then_some(all)
    }
}

/// The sum, if every part is known and there is one.
fn sum(parts: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    parts.reduce(|sum, part| Some(sum? + part?)).flatten()
}

fn postmaster(conn: &mut PgConnection) -> Option<u32> {
    let backend = diesel::sql_query("SELECT pg_backend_pid() AS pid").get_result::<Pid>(conn).ok()?;
    process::postmaster_of(u32::try_from(backend.pid).ok()?)
}

fn commits(conn: &mut PgConnection) -> Option<u64> {
    let sql = "SELECT xact_commit AS commits FROM pg_stat_database WHERE datname = current_database()";
    u64::try_from(diesel::sql_query(sql).get_result::<Commits>(conn).ok()?.commits).ok()
}

/// The lanes' histogram of batch sizes, whatever its labels.
fn parse_batches(page: &str) -> Option<Batches> {
    let total = |name: &str| {
        let lines =
            page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        // Counts and sums of whole numbers, written without a fraction.
        sum(lines.map(|line| line.rsplit(' ').next()?.split('.').next()?.parse().ok()))
    };
    // A book that has decided nothing yet has no such lines.
    let (count, commands) = (total("hanse_book_batch_size_count"), total("hanse_book_batch_size_sum"));
    Some(Batches { count: count.unwrap_or(0), commands: commands.unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_summed_over_lanes() {
        let page = "# TYPE hanse_book_batch_size histogram\n\
            hanse_book_batch_size_bucket{lane=\"0\",le=\"1\"} 3\n\
            hanse_book_batch_size_sum{lane=\"0\"} 700\nhanse_book_batch_size_count{lane=\"0\"} 10\n\
            hanse_book_batch_size_sum{lane=\"1\"} 300\nhanse_book_batch_size_count{lane=\"1\"} 30\n\
            hanse_book_batch_size_counted 9\n";
        assert_eq!(parse_batches(page), Some(Batches { count: 40, commands: 1000 }));
        assert_eq!(parse_batches("up 1\n"), Some(Batches::default()));
    }

    #[test]
    fn a_cost_is_the_difference_and_unknown_after_a_restart() {
        let probe = Probe { servers: Vec::new(), postmaster: None, database: None, metrics: Vec::new() };
        let reading = |ms: u64, batches| Reading { server_ms: Some(ms), batches: Some(batches), ..Reading::default() };
        let before = reading(100, Batches { count: 5, commands: 50 });
        let after = reading(350, Batches { count: 9, commands: 200 });
        let cost = probe.cost(&before, &after);
        assert_eq!((cost.server_cpu_ms, cost.batches, cost.batch_size_tenths), (Some(250), Some(4), Some(375)));
        let cost = probe.cost(&after, &before);
        assert_eq!((cost.server_cpu_ms, cost.batches, cost.batch_size_tenths), (None, None, None));
    }
}
