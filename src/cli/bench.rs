//! `hanse bench`: a closed loop of clients with certificates against a running server, and pgbench beside it.
//!
//! `load` one run · `scenario` what a client does · `client` its connection · `batch` many items in one request ·
//! `members` the set-up · `pairs` between whom · `answer` what is checked · `tally` what was seen · `list` what was
//! answered, and its proof · `window` a settlement window filled and closed · `prove` that its statements
//! say what was posted · `crossings` two ledgers beside the book · `deliveries`, `receivers` webhooks · `pages` members' pages · `probe`, `process` what it cost · `pgbench` the other benchmark · `report` what is printed.

mod answer;
mod batch;
mod client;
mod closer;
mod crossings;
mod deliveries;
mod list;
mod load;
mod members;
mod pages;
mod pairs;
mod pgbench;
mod probe;
mod process;
mod prove;
mod receivers;
mod report;
mod scenario;
mod tally;
mod window;

use super::house::{CLUSTER, DATABASE};
use super::{Error, Global};
use crate::embedded_pg::EmbeddedPg;
use client::{Clients, Target};
use closer::Closer;
use indicatif::{ProgressBar, ProgressStyle};
use load::{Interrupt, Measured, Setting};
use members::Population;
use pairs::Pair;
use pgbench::Pgbench;
use probe::Probe;
use scenario::Scenario;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

/// Runs of ours and of pgbench, taken in turn.
const ROUNDS: usize = 3;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the clients do
    #[arg(long, value_enum, default_value = "hot-pair")]
    scenario: Scenario,
    /// Address of the partner API; repeated, the clients spread over several servers
    #[arg(long, value_name = "URL", default_value = "https://127.0.0.1:8443")]
    url: Vec<String>,
    /// Address of the plain listener, for its metrics; repeated, of several servers
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    metrics_url: Vec<String>,
    /// Folder of the running server's data: its certificates and its private database are found there
    #[arg(long, value_name = "DIR", default_value = ".hanse/hosted")]
    data_dir: PathBuf,
    /// Folder with ca.crt and each partner's .crt and .key; pki in the data folder unless given
    #[arg(long, value_name = "DIR")]
    pki: Option<PathBuf>,
    /// libpq URL of the server's database; that of the data folder unless given
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Clients of a scenario of single requests
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    clients: u16,
    /// Clients of a scenario of batches
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    batch_clients: u16,
    /// Length of each run
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// The pair of hot-pair and batches
    #[arg(long, value_name = "FROM:TO", default_value = "kettle:harvest", value_parser = pairs::parse)]
    hot_pair: Pair,
    /// Members of the hot pair, of all other pairs together, and of the pair of crossings
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    members: u64,
    /// Names the set of members; another seed makes another set
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u32,
    /// Conversions of the scenario window
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    conversions: u64,
    /// Events of the scenario deliveries, each to four webhooks
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    events: u64,
    /// Windows to close during each run, with latencies then and otherwise apart
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1_000))]
    closes: u32,
    /// Take three runs of pgbench in turn with three of ours, and print the ratio
    #[arg(long)]
    pgbench: bool,
    /// Append id and key of every answered conversion to this file
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Prove that everything on such a list is in the database, and end
    #[arg(long, value_name = "FILE", conflicts_with_all = ["list", "pgbench", "scenario"])]
    verify: Option<PathBuf>,
    /// The server's process; found by its port unless given
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// PostgreSQL's first process; found by a connection unless given
    #[arg(long, value_name = "PID")]
    postgres_pid: Option<u32>,
}

pub fn run(args: &Args, global: &Global) -> Result<(), Error> {
    if let Some(path) = &args.verify {
        return verify(path, args, global);
    }
    // One thread: the generator shares its processors with what it measures.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::failed)?;
    if args.scenario == Scenario::Window {
        return window(LocalSet::new().block_on(&runtime, settle(args))?, global);
    }
    if args.scenario == Scenario::Deliveries {
        return deliver(args, global, &runtime);
    }
    if args.scenario == Scenario::Pages {
        return browse(args, global, &runtime);
    }
    let (runs, others) = LocalSet::new().block_on(&runtime, bench(args))?;
    if global.json {
        println!("{:#}", report::to_json(&runs, &others));
    } else {
        println!("{}", report::to_text(&runs, &others));
    }
    judge(&runs)
}

fn deliver(args: &Args, global: &Global, runtime: &tokio::runtime::Runtime) -> Result<(), Error> {
    let (setting, pki, bar) = (args.setting()?, args.pki(), progress_bar());
    let delivering = deliveries::run(&setting, &pki, args.events, &bar);
    let delivered = LocalSet::new().block_on(runtime, delivering)?;
    bar.finish_and_clear();
    if global.json {
        println!("{:#}", serde_json::json!({ "deliveries": delivered }));
    } else {
        println!("{delivered}");
    }
    Ok(())
}

fn browse(args: &Args, global: &Global, runtime: &tokio::runtime::Runtime) -> Result<(), Error> {
    let (setting, bar) = (args.setting()?, progress_bar());
    let pages =
        args.metrics_url.first().ok_or_else(|| Error::Usage("--metrics-url says where pages are".to_owned()))?;
    let browsing = async {
        members::prepare(&setting.clients, &[setting.hot], None, &bar).await?;
        pages::run(&setting, pages, &bar).await
    };
    let seen = LocalSet::new().block_on(runtime, browsing)?;
    bar.finish_and_clear();
    if global.json {
        println!("{:#}", serde_json::json!({ "pages": seen }));
    } else {
        seen.iter().for_each(|page| println!("{page}"));
    }
    Ok(())
}

fn window(closed: window::Closed, global: &Global) -> Result<(), Error> {
    if global.json {
        println!("{:#}", serde_json::json!({ "holds": closed.holds(), "window": closed }));
    } else {
        println!("{closed}");
    }
    if closed.holds() {
        Ok(())
    } else {
        Err(Error::Failed("the window is not what was posted and answered".to_owned()))
    }
}

/// Fills a window and closes it.
async fn settle(args: &Args) -> Result<window::Closed, Error> {
    let setting = args.setting()?;
    let interrupt = listen()?;
    let url = args.database_url()?.ok_or_else(no_database)?;
    let bar = progress_bar();
    prepare(args, &setting, &interrupt, &bar).await?;
    let filled = tokio::select! {
        filled = window::fill(&setting, &setting.spread, (&url, args.conversions), &bar) => filled?,
        () = interrupt.asked() => return Err(Error::Failed("interrupted; the same command goes on".to_owned())),
    };
    let keys = window::keys(&url, &args.data_dir).await?;
    let closed = window::close(&url, &keys, &filled, &bar);
    bar.finish_and_clear();
    closed
}

fn verify(path: &std::path::Path, args: &Args, global: &Global) -> Result<(), Error> {
    let url = args.database_url()?.ok_or_else(no_database)?;
    let proof = list::verify(path, &url)?;
    if global.json {
        println!("{:#}", serde_json::json!({ "holds": proof.holds(), "proof": proof }));
    } else {
        println!("{}", report::proof(&proof));
    }
    if proof.holds() { Ok(()) } else { Err(Error::Failed("not everything that was answered is there".to_owned())) }
}

/// Sets up, then runs what was asked for.
async fn bench(args: &Args) -> Result<(Vec<Measured>, Vec<pgbench::Figures>), Error> {
    let mut setting = args.setting()?;
    let interrupt = listen()?;
    let database_url = args.database_url()?;
    if args.closes > 0 {
        let url = database_url.clone().ok_or_else(no_database)?;
        let keys = std::sync::Arc::new(window::keys(&url, &args.data_dir).await?);
        setting.closer = Some(Closer { url, keys, times: args.closes });
    }
    let pgbench_url = if args.pgbench { Some(database_url.clone().ok_or_else(no_database)?) } else { None };
    let metrics = args.metrics_url.iter().map(|url| Target::parse(url)).collect::<Result<Vec<_>, _>>()?;
    let pids = (args.server_pid, args.postgres_pid);
    let mut probe = Probe::new(setting.clients.targets(), metrics, database_url.as_deref(), pids)?;
    let bar = progress_bar();
    prepare(args, &setting, &interrupt, &bar).await?;
    let pgbench = match &pgbench_url {
        Some(url) => {
            bar.set_message("pgbench: filling its database");
            Some(Pgbench::prepare(url, &interrupt).await?)
        }
        None => None,
    };
    let (mut runs, mut others) = (Vec::new(), Vec::new());
    for _ in 0..pgbench.as_ref().map_or(1, |_| ROUNDS) {
        if let Some(pgbench) = pgbench.as_ref().filter(|_| !interrupt.is_asked()) {
            bar.set_message("pgbench");
            others.push(pgbench.measure(args.seconds, &interrupt).await?);
        }
        for scenario in args.scenarios() {
            if !interrupt.is_asked() {
                runs.push(load::run(&setting, scenario, &mut probe, &interrupt, &bar).await?);
            }
        }
    }
    bar.finish_and_clear();
    Ok((runs, others))
}

/// Makes the members that the scenarios need, unless they are there.
async fn prepare(args: &Args, setting: &Setting, interrupt: &Interrupt, bar: &ProgressBar) -> Result<(), Error> {
    let scenarios = args.scenarios();
    let mut populations = Vec::new();
    if scenarios.iter().any(|scenario| matches!(scenario, Scenario::HotPair | Scenario::Batches)) {
        populations.push(setting.hot);
    }
    if scenarios.iter().any(|scenario| scenario.is_spread()) {
        populations.extend(&setting.spread);
    }
    let preparing = async {
        members::prepare(&setting.clients, &populations, None, bar).await?;
        if scenarios.contains(&Scenario::Crossings) {
            let ledgers = crossings::ledgers(&args.data_dir, setting.remote.pair)?;
            members::prepare(&setting.clients, &[setting.remote], Some(&ledgers), bar).await?;
        }
        Ok(())
    };
    tokio::select! {
        prepared = preparing => prepared,
        () = interrupt.asked() => Err(Error::Failed("interrupted while setting up; the same command goes on".to_owned())),
    }
}

/// Listens for a wish to end, typed or sent; the second ends at once.
fn listen() -> Result<Rc<Interrupt>, Error> {
    let interrupt = Rc::new(Interrupt::default());
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let (interrupt, mut signals) = (Rc::clone(&interrupt), signal(kind).map_err(Error::failed)?);
        tokio::task::spawn_local(async move {
            while signals.recv().await.is_some() {
                if interrupt.is_asked() {
                    std::process::exit(1);
                }
                interrupt.ask();
            }
        });
    }
    Ok(interrupt)
}

/// Fails when an answer or a closed window was wrong, a client unanswered, or nothing was done at all.
fn judge(runs: &[Measured]) -> Result<(), Error> {
    for run in runs {
        if run.wrong > 0 {
            return Err(Error::Failed(format!("{}: {} answers were wrong", run.scenario, run.wrong)));
        }
        if let Some(closes) = run.closes.as_ref().filter(|closes| !closes.wrong.is_empty()) {
            return Err(Error::Failed(format!("the statements of windows {:?} are wrong", closes.wrong)));
        }
        if run.interrupted {
            continue;
        }
        if run.unanswered > 0 {
            return Err(Error::Failed(format!("{}: {} clients got no last answer", run.scenario, run.unanswered)));
        }
        if run.effects + run.late_effects == 0 {
            return Err(Error::Failed(format!("{}: nothing was answered", run.scenario)));
        }
    }
    Ok(())
}

impl Args {
    fn setting(&self) -> Result<Setting, Error> {
        let spread = pairs::spread(pairs::SPREAD);
        let each = self.members / u64::try_from(spread.len()).unwrap_or(1);
        let population = |pair, members| Population { seed: self.seed, pair, members };
        // The hot pair is among the others: the larger population serves both.
        let of_spread = |pair| population(pair, if pair == self.hot_pair { self.members } else { each.max(1) });
        Ok(Setting {
            clients: Clients::new(&self.url, &self.pki())?,
            hot: population(self.hot_pair, self.members),
            spread: spread.into_iter().map(of_spread).collect(),
            remote: population(pairs::REMOTE, self.members),
            singles: self.clients.into(),
            batches: self.batch_clients.into(),
            time: Duration::from_secs(self.seconds),
            list: self.list.clone(),
            closer: None,
        })
    }

    fn pki(&self) -> PathBuf {
        self.pki.clone().unwrap_or_else(|| self.data_dir.join("pki"))
    }

    fn scenarios(&self) -> Vec<Scenario> {
        if self.scenario == Scenario::All { Scenario::EACH.to_vec() } else { vec![self.scenario] }
    }

    /// The database named, or the private one of a server that runs on the data folder.
    fn database_url(&self) -> Result<Option<String>, Error> {
        let folder = self.data_dir.join(CLUSTER);
        match &self.database_url {
            Some(url) => Ok(Some(url.clone())),
            // Looking would make the folder.
            None if !folder.exists() => Ok(None),
            None => EmbeddedPg::running_url(&folder, DATABASE).map_err(Error::failed),
        }
    }
}

fn no_database() -> Error {
    let cure = "name it with --database-url, or the running server's folder with --data-dir";
    Error::Usage(format!("no database is known: {cure}"))
}

fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3}% {msg}") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::closer::Closes;
    use super::report::tests::run;
    use super::*;

    #[test]
    fn a_run_fails_by_a_wrong_answer_a_wrong_window_a_waiting_client_or_nothing_done() {
        let told = |run: Measured| judge(&[run]).err().map(|error| error.to_string());
        let closes = |wrong: Vec<i64>| Some(Closes { wrong, ..Closes::default() });
        assert_eq!(told(Measured { closes: closes(Vec::new()), ..run("pairs", 9) }), None);
        let wrong_window = Measured { closes: closes(vec![4, 7]), interrupted: true, ..run("pairs", 9) };
        for (run, says) in [
            (wrong_window, "the statements of windows [4, 7] are wrong"),
            (Measured { wrong: 2, ..run("pairs", 9) }, "pairs: 2 answers were wrong"),
            (Measured { unanswered: 3, ..run("pairs", 9) }, "pairs: 3 clients got no last answer"),
            (run("pairs", 0), "pairs: nothing was answered"),
        ] {
            assert_eq!(told(run).as_deref(), Some(says));
        }
        assert_eq!(told(Measured { unanswered: 3, interrupted: true, ..run("pairs", 9) }), None, "it was to end");
    }
}
