//! `hanse demo`: the whole thing from one command, with a database, certificates and an alliance of its own.
//!
//! With `--check` it plays the acceptance story through the public API, serves a second alliance beside the first,
//! audits both, stops, and says by its exit code whether everything held.

pub mod client;
mod prepare;
pub mod story;
pub mod stream;
pub mod travel;

use super::house::House;
use super::node::Node;
use super::serve::{Stop, blocking};
use super::{Error, Global, audit};
use crate::config::{Config, Flags};
use crate::telemetry;
use metrics_exporter_prometheus::PrometheusHandle;
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
    /// Folder of the alliances' manifests
    #[arg(long, default_value = "partners", value_name = "DIR")]
    partners: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

/// A served alliance.
pub struct Stage {
    pub house: House,
    pub node: Node,
}

pub fn run(args: &Args, global: &Global) -> Result<(), Error> {
    let mut config = global.begin(&args.flags)?;
    if config.database_url.is_some() {
        // Invented members would stream into somebody's real book.
        return Err(Error::Usage("the demo brings its own database: unset DATABASE_URL".to_owned()));
    }
    config.data_dir = config.data_dir.join("demo");
    if args.check {
        free_ports(&mut config);
    }
    let metrics = telemetry::start_metrics().map_err(Error::failed)?;
    actix_web::rt::System::new().block_on(async {
        let mut stop = Stop::listen()?;
        let folder = args.partners.join(ALLIANCE);
        let first = raise(blocking(move || House::open(config)).await?, folder, metrics.clone()).await?;
        let outcome = tokio::select! {
            outcome = play(args, global, &first, metrics) => outcome,
            () = stop.asked() => Ok(()),
        };
        let Stage { house, node } = first;
        blocking(move || node.stop().and_then(|()| house.close())).await?;
        outcome
    })
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

/// Publishes the alliance, issues what certificates are missing, and serves it.
async fn raise(house: House, manifests: PathBuf, metrics: PrometheusHandle) -> Result<Stage, Error> {
    let (url, pki) = (house.database_url.clone(), house.config.pki_dir());
    blocking(move || prepare::alliance(&url, &pki, &manifests)).await?;
    let node = Node::start(&house, metrics).await?;
    Ok(Stage { house, node })
}

async fn play(args: &Args, global: &Global, first: &Stage, metrics: PrometheusHandle) -> Result<(), Error> {
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
    let Stage { house, node } = second;
    blocking(move || node.stop().and_then(|()| house.close())).await?;
    if failed.is_empty() { Ok(()) } else { Err(Error::Failed(failed.join("; "))) }
}

/// Members, a stream of conversions, and the places to look, until told to stop.
async fn watch(args: &Args, stage: &Stage) -> Result<(), Error> {
    if args.quiet {
        welcome(stage);
        return std::future::pending().await;
    }
    let cast = stream::seed(&stage.node.api_url(), &stage.house.config.pki_dir()).await.map_err(Error::failed)?;
    welcome(stage);
    stream::play(&cast).await;
    Ok(())
}

fn place(stage: &Stage) -> story::Place {
    story::Place {
        api: stage.node.api_url(),
        pki: stage.house.config.pki_dir(),
        database: stage.house.database.clone(),
        zone: stage.node.exchange.catalogue.load().alliance.zone,
        keys: stage.node.exchange.keys.clone(),
        folder: stage.house.config.data_dir.join("settlement"),
    }
}

/// The second alliance: a database of its own on the same cluster, ports of its own, everything else the same.
async fn second(first: &Stage, partners: &Path, metrics: PrometheusHandle) -> Result<Stage, Error> {
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
    raise(house, partners.join(SECOND), metrics).await
}

fn welcome(stage: &Stage) {
    let pki = stage.house.config.pki_dir();
    let (api, public) = (stage.node.api_url(), stage.node.public_url());
    let file = |name: &str| pki.join(name).display().to_string();
    println!("\nHanse is running: seven brands, points that move, a book that adds up.\n");
    println!("  partner API    {api}   (mutual TLS)");
    println!("  health, keys   {public}   /healthz /readyz /metrics /openapi.json");
    println!("  certificates   {}", pki.display());
    println!("  database       {}\n", stage.house.database_url);
    println!("Who may see what, as Lumen:\n");
    println!(
        "  curl --cacert {} --cert {} --key {} {api}/v1/partners\n",
        file("ca.crt"),
        file("lumen.crt"),
        file("lumen.key")
    );
    println!("Ctrl-C stops it.");
}
