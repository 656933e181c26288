//! `hanse demo`: the whole thing from one command, with a database, certificates and an alliance of its own.
//!
//! With `--check` it plays the acceptance story through the public API, serves a second alliance beside the first,
//! audits both, stops, and says by its exit code whether everything held.

pub mod benefits;
mod chance;
pub mod client;
mod doors;
pub mod history;
mod prepare;
pub(super) mod remotes;
pub mod story;
pub mod stream;
pub mod travel;

use super::house::House;
use super::node::Node;
use super::serve::{Stop, blocking};
use super::sim::control::registration;
use super::{Error, Global, audit, partners};
use crate::clock;
use crate::config::{Config, Flags};
use crate::domain::network::Network;
use crate::domain::plan::Plan;
use crate::telemetry;
use client::Client;
use metrics_exporter_prometheus::PrometheusHandle;
use remotes::Remote;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// The alliance people meet first, and the one with real figures.
const ALLIANCE: &str = "lumen";
const SECOND: &str = "travel-2026";
/// Ports of the second alliance's server, above the first one's.
const SECOND_PORTS: u16 = 1_000;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Play the acceptance story, audit, stop; exit code 0 when everything held
    #[arg(long)]
    check: bool,
    /// Serve, but play no conversions of its own
    #[arg(long)]
    quiet: bool,
    /// Keep every brand's accounts here, in a folder of its own, and run no partners beside
    #[arg(long, conflicts_with = "check")]
    hosted: bool,
    /// People of the two months of business that a new demo begins with, 0 for none; 240 unless said, and none with --check, --quiet or --hosted
    #[arg(long, value_name = "PEOPLE", conflicts_with_all = ["check", "answer_ms"])]
    history: Option<u16>,
    /// For measuring: have partners that keep their own ledgers take so long over every answer, fail in nothing and be ledgers alone
    #[arg(long, value_name = "MS", requires = "quiet", conflicts_with_all = ["check", "hosted"])]
    answer_ms: Option<u64>,
    /// Folder of the alliances' manifests
    #[arg(long, default_value = "partners", value_name = "DIR")]
    partners: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

/// The figures of the history, in the demo's folder.
const HISTORY: &str = "history.json";

/// What goes wrong in a demo is to be over while somebody looks on: milliseconds in which a partner that gives no answer is
/// asked again, and seconds in which a hold or a credit is given up.
const CALL_MS: u64 = 2_000;
const GIVEN_UP_S: u64 = 20;

/// A served alliance. Fields end in this order: nobody is asked any more before the partners go, and nobody posts any
/// more before the database does.
pub struct Stage {
    node: Node,
    remotes: Vec<Remote>,
    house: House,
}

impl Stage {
    /// Ends everything. Blocks.
    fn end(self) -> Result<(), Error> {
        let Stage { node, remotes, house } = self;
        let stopped = node.stop();
        drop(remotes);
        stopped.and_then(|()| house.close())
    }
}

pub fn run(args: &Args, global: &Global) -> Result<(), Error> {
    let mut config = global.begin(&args.flags)?;
    if config.database_url.is_some() {
        // Invented members would stream into somebody's real book.
        return Err(Error::Usage("the demo brings its own database: unset DATABASE_URL".to_owned()));
    }
    config.data_dir = config.data_dir.join(if args.hosted { "hosted" } else { "demo" });
    lively(&mut config)?;
    if args.check {
        free_ports(&mut config);
    }
    let metrics = telemetry::start_metrics().map_err(Error::failed)?;
    actix_web::rt::System::new().block_on(async {
        let mut stop = Stop::listen()?;
        let mut plan = partners::read(&args.partners.join(ALLIANCE))?;
        if args.hosted {
            for planned in plan.partners.values_mut() {
                (planned.endpoint, planned.partner.hosted) = (None, true);
            }
        }
        let known = plan.clone();
        let house = blocking(move || open(config, &known)).await?;
        let first = raise(house, plan, metrics.clone(), args.answer_ms).await?;
        let outcome = tokio::select! {
            outcome = play(args, global, &first, metrics) => outcome,
            () = stop.asked() => Ok(()),
        };
        blocking(move || first.end()).await?;
        outcome
    })
}

/// What only a demo wants: partners' endpoints on this machine, and little patience; unless it is said otherwise.
fn lively(config: &mut Config) -> Result<(), Error> {
    let standard = Config::default();
    if config.outbound_allow.is_empty() {
        let loopback: Result<Network, _> = "127.0.0.0/8".parse();
        config.outbound_allow.push(loopback.map_err(|_| Error::Failed("the loopback is no network".to_owned()))?);
        tracing::info!("partners' endpoints may be on this machine, as they are in this demo");
    }
    let shorten = |own: &mut u64, standard: u64, lively: u64| {
        if *own == standard {
            *own = lively;
        }
    };
    shorten(&mut config.crossing_call_ms, standard.crossing_call_ms, CALL_MS);
    shorten(&mut config.crossing_hold_s, standard.crossing_hold_s, GIVEN_UP_S);
    shorten(&mut config.crossing_credit_s, standard.crossing_credit_s, GIVEN_UP_S);
    Ok(())
}

/// Opens the demo's folder. One of an older demo, in which other brands were hosted, makes way for a new one and stays
/// beside it: what is published of a partner's accounts never changes. Blocks.
fn open(config: Config, plan: &Plan) -> Result<House, Error> {
    let house = House::open(config)?;
    let moved = prepare::moved(&house.database_url, plan)?;
    if moved.is_empty() {
        return Ok(house);
    }
    let config = house.config.clone();
    house.close()?;
    let (folder, until) = (&config.data_dir, clock::now().format("%Y%m%dT%H%M%SZ"));
    let aside = folder.with_file_name(format!("demo-until-{until}"));
    std::fs::rename(folder, &aside).map_err(|why| Error::Failed(format!("{}: {why}", folder.display())))?;
    let moved: Vec<&str> = moved.iter().map(|slug| slug.as_str()).collect();
    let (moved, folder, aside) = (moved.join(" and "), folder.display(), aside.display());
    eprintln!("{folder} was of an older demo, in which Hanse kept the accounts of {moved}; it is {aside} now.");
    House::open(config)
}

/// A check is about what happens, not where: whoever has its ports may keep them.
fn free_ports(config: &mut Config) {
    for listen in [&mut config.api_listen, &mut config.public_listen] {
        if std::net::TcpListener::bind(*listen).is_err_and(|cause| cause.kind() == std::io::ErrorKind::AddrInUse) {
            tracing::warn!("{listen} is taken: the check listens on any free port instead");
            listen.set_port(0);
        }
    }
}

/// Publishes the alliance, issues what certificates are missing, serves it, and starts the partners that keep their own
/// ledgers.
async fn raise(house: House, plan: Plan, metrics: PrometheusHandle, answer_ms: Option<u64>) -> Result<Stage, Error> {
    let (url, pki) = (house.database_url.clone(), house.config.pki_dir());
    let plan = blocking(move || prepare::alliance(&url, &pki, &plan).map(|()| plan)).await?;
    let node = Node::start(&house, metrics, doors::configure).await?;
    let setup = remotes::Setup {
        pki: house.config.pki_dir(),
        folder: house.config.data_dir.join("sim"),
        api: node.api_url(),
        public: node.public_url(),
        answer_ms,
    };
    let url = house.database_url.clone();
    let (api, pki) = (setup.api.clone(), setup.pki.clone());
    let remotes = blocking(move || settle(&url, &setup, plan)).await?;
    for remote in &remotes {
        // From here on an answer that it has not signed with this key is none.
        let body = registration(&remote.slug, &remote.control.key()?);
        let client = Client::open(&api, &pki, remote.slug.as_str()).map_err(Error::failed)?;
        let reply = client.post("/v1/signing-keys", &body).await.map_err(Error::failed)?;
        if !reply.is_done() {
            return Err(Error::Failed(format!("the key of {} is not taken: {}", remote.slug, reply.summary())));
        }
    }
    Ok(Stage { node, remotes, house })
}

/// Starts the partners, and publishes where they are if that is not where their manifests say. Blocks.
fn settle(url: &str, setup: &remotes::Setup, mut plan: Plan) -> Result<Vec<Remote>, Error> {
    let remotes = remotes::start(setup, &plan)?;
    for remote in &remotes {
        if let Some(planned) = plan.partners.get_mut(&remote.slug) {
            planned.endpoint = Some(remote.endpoint.clone());
        }
    }
    prepare::publish(url, &plan)?;
    Ok(remotes)
}

async fn play(args: &Args, global: &Global, first: &Stage, metrics: PrometheusHandle) -> Result<(), Error> {
    let offered = benefits::read(&args.partners.join(ALLIANCE))?;
    benefits::put(&first.node.api_url(), &first.house.config.pki_dir(), &offered).await?;
    if !args.check {
        return watch(args, first).await;
    }
    let mut failed = Vec::new();
    let board = story::play(&place(first)).await.map_err(Error::failed)?;
    print!("{}", board.render(std::io::stdout().is_terminal()));
    if !board.holds() {
        failed.push("the story did not go as it should".to_owned());
    }
    let second = second(first, &args.partners, metrics).await?;
    let report = travel::check(&second.node.api_url(), &second.house.config.pki_dir()).await.map_err(Error::failed)?;
    println!("\nThe transfer table of 2026, on a second server and database:\n{}", report.render());
    if !report.holds() {
        failed.push("some quotes are not the table's".to_owned());
    }
    for (name, stage) in [(ALLIANCE, first), (SECOND, &second)] {
        let url = stage.house.database_url.clone();
        let findings = blocking(move || audit::check(&url)).await?;
        println!("\nThe audit of {name}:");
        if let Err(broken) = audit::report(&findings, global) {
            failed.push(format!("{name}: {broken}"));
        }
    }
    blocking(move || second.end()).await?;
    if failed.is_empty() { Ok(()) } else { Err(Error::Failed(failed.join("; "))) }
}

/// What has happened so far, members, a stream of conversions, and the places to look, until told to stop.
async fn watch(args: &Args, stage: &Stage) -> Result<(), Error> {
    past(args, stage).await?;
    if args.quiet {
        welcome(stage);
        return std::future::pending().await;
    }
    let (api, pki) = (stage.node.api_url(), stage.house.config.pki_dir());
    let cast = stream::seed(&api, &pki, &stage.remotes).await.map_err(Error::failed)?;
    welcome(stage);
    stream::play(&cast).await;
    Ok(())
}

/// A new demo has two months behind it, unless it is told otherwise.
async fn past(args: &Args, stage: &Stage) -> Result<(), Error> {
    let usual = if args.quiet || args.hosted { 0 } else { history::PEOPLE };
    let people = args.history.map_or(usual, usize::from);
    if people == 0 {
        return Ok(());
    }
    let began = clock::instant();
    let Some(figures) = history::play(&place(stage), people).await? else { return Ok(()) };
    println!("history: {figures}; played in {} s", began.elapsed().as_secs());
    let file = stage.house.config.data_dir.join(HISTORY);
    let told = serde_json::to_vec_pretty(&figures).map_err(Error::failed)?;
    std::fs::write(&file, told).map_err(|why| Error::Failed(format!("{}: {why}", file.display())))
}

fn place(stage: &Stage) -> story::Place {
    story::Place {
        api: stage.node.api_url(),
        pki: stage.house.config.pki_dir(),
        database: stage.house.database.clone(),
        zone: stage.node.exchange.catalogue.load().alliance.zone,
        keys: stage.node.exchange.keys.clone(),
        folder: stage.house.config.data_dir.join("settlement"),
        controls: stage.remotes.iter().map(|remote| (remote.slug.clone(), remote.control.clone())).collect(),
    }
}

/// The second alliance: a database of its own on the same cluster, ports of its own, everything else the same.
async fn second(first: &Stage, manifests: &Path, metrics: PrometheusHandle) -> Result<Stage, Error> {
    let mut config: Config = first.house.config.clone();
    config.data_dir = config.data_dir.join(SECOND);
    // Port 0 asks for any free one.
    for listen in [&mut config.api_listen, &mut config.public_listen] {
        if listen.port() != 0 {
            listen.set_port(listen.port().saturating_add(SECOND_PORTS));
        }
    }
    free_ports(&mut config);
    let cluster = first.house.embedded.as_ref();
    let cluster = cluster.ok_or_else(|| Error::Failed("the demo's cluster is not its own".to_owned()))?;
    cluster.create_database("travel").map_err(Error::failed)?;
    let url = cluster.url("travel");
    let house = blocking(move || House::at(config, url)).await?;
    raise(house, partners::read(&manifests.join(SECOND))?, metrics, None).await
}

fn welcome(stage: &Stage) {
    let pki = stage.house.config.pki_dir();
    let (api, public) = (stage.node.api_url(), stage.node.public_url());
    let file = |name: &str| pki.join(name).display().to_string();
    println!("\nHanse is running: seven brands, points that move, a book that adds up.\n");
    println!("  partner API    {api}   (mutual TLS)");
    println!("  pages, health  {public}   /sign-in /healthz /readyz /metrics /openapi.json");
    println!("  certificates   {}", pki.display());
    println!("  database       {}", stage.house.database_url);
    for remote in &stage.remotes {
        let (slug, endpoint, control) = (remote.slug.as_str(), &remote.endpoint, remote.control.base());
        println!("  {slug:<14} {endpoint}   keeps its own ledger; its owner sees it at {control}/totals");
    }
    println!();
    println!("Who may see what, as Lumen:\n");
    println!(
        "  curl --cacert {} --cert {} --key {} {api}/v1/partners\n",
        file("ca.crt"),
        file("lumen.crt"),
        file("lumen.key")
    );
    println!("Look around, signed in as:\n");
    for (address, who) in doors::all(&public) {
        println!("  {address:<44} {who}");
    }
    println!("\nCtrl-C stops it.");
}
