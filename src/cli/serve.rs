//! `hanse serve`: the exchange, until it is told to stop.

use super::house::House;
use super::node::Node;
use super::{Error, Global};
use crate::config::{Config, Flags};
use crate::telemetry;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the configuration and where each value came from, and end
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    flags: Flags,
}

pub fn run(args: &Args, global: &Global) -> Result<(), Error> {
    if args.print_config {
        print_config(&global.config(&args.flags)?, global);
        return Ok(());
    }
    let config = global.begin(&args.flags)?;
    actix_web::rt::System::new().block_on(serve(config))
}

fn print_config(config: &Config, global: &Global) {
    if global.json {
        println!("{:#}", config.to_json());
    } else {
        print!("{}", config.to_toml());
    }
}

async fn serve(config: Config) -> Result<(), Error> {
    // Listened for before anything is started, so that a stop asked for meanwhile is not lost.
    let mut stop = Stop::listen()?;
    let patience = Duration::from_secs(config.shutdown_s);
    let metrics = telemetry::start_metrics().map_err(Error::failed)?;
    let house = blocking(move || House::open(config)).await?;
    tracing::info!(durability = ?house.durability, migrated = house.migrated.len(), "the database is ready");
    let node = Node::start(&house, metrics, |_| {}).await?;
    tracing::info!(api = node.api_url(), public = node.public_url(), "serving");
    stop.asked().await;
    tracing::info!("stopping: requests under way may finish");
    let closing = blocking(move || {
        node.stop()?;
        house.close()
    });
    tokio::select! {
        closed = tokio::time::timeout(patience, closing) => {
            closed.unwrap_or_else(|_| Err(Error::Failed(format!("not stopped within {patience:?}"))))
        }
        () = stop.asked() => Err(Error::Failed("told twice to stop: stopped at once".to_owned())),
    }
}

/// Runs what blocks without holding up the runtime.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|cause| Err(Error::failed(cause)))
}

/// The two signals that ask a server to stop.
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    pub fn listen() -> Result<Stop, Error> {
        let listen = |kind| signal(kind).map_err(Error::failed);
        Ok(Stop { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    pub async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
