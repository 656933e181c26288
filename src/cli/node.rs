//! One running server: its listeners, lanes and workers, wired together.

use super::Error;
use super::house::House;
use crate::book::{self, Handle};
use crate::config::Config;
use crate::http;
use crate::http::public::{Probes, Readiness};
use crate::http::server::{Limits, Server, ServerOptions, Shared, TlsFiles};
use crate::http::v1;
use crate::service::certificate_watch::Watch;
use crate::service::crossings::{self, Carrier, Crossings, Patience};
use crate::service::exchange::Exchange;
use crate::service::expiry::ExpiryRun;
use crate::service::feed::Feed;
use crate::service::issuing::Issuing;
use crate::service::keys::Keys;
use crate::service::lifecycle::Departures;
use crate::service::outbound::Outbound;
use crate::service::settlement::deadlines::Settler;
use crate::store::catalogue;
use crate::store::durability;
use crate::worker::{self, Workers};
use actix_web::web::Data;
use arc_swap::ArcSwap;
use metrics_exporter_prometheus::PrometheusHandle;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long committed events wait for their number at most, when nothing else goes wrong.
const SEAL_EVERY: Duration = Duration::from_millis(50);
/// Business days end for everybody at once: one look-up through an index when there is nothing to post.
const EXPIRE_EVERY: Duration = Duration::from_secs(2);
const KEYS_EVERY: Duration = Duration::from_secs(60);
/// Windows end with a business day: one look at the open one when there is nothing to do.
const SETTLE_EVERY: Duration = Duration::from_secs(2);
/// Partners join and leave rarely, and are in no hurry.
const DEPART_EVERY: Duration = Duration::from_secs(2);
/// Oftener than warnings need, so that a look that failed is made up for.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(600);
/// What a server without the authority's key has revoked is on the list within this time.
const LIST_EVERY: Duration = Duration::from_secs(2);

/// Fields are dropped in this order: no new requests, then no more work, then the book ends.
pub struct Node {
    server: Server,
    carrier: Carrier,
    workers: Workers,
    pub exchange: Exchange,
}

impl Node {
    /// Starts a server on an opened house. `Err` when no alliance has been published in its database.
    pub async fn start(house: &House, metrics: PrometheusHandle) -> Result<Node, Error> {
        let config = &house.config;
        let database = house.database.clone();
        let known = database.run(catalogue::load).await;
        let known = known.map_err(|cause| match cause {
            crate::store::Error::Unpublished => Error::Failed(
                "no alliance is published here: `hanse partners apply DIR` then `hanse rates publish`".to_owned(),
            ),
            other => Error::failed(other),
        })?;
        let trust_domain = known.alliance.trust_domain.clone();
        let shared = Arc::new(ArcSwap::from_pointee(known));
        let bounds = book::Bounds {
            lanes: config.lanes,
            queue_max: config.lane_queue_max,
            batch_max: config.batch_max,
            ..book::Bounds::default()
        };
        let book = Handle::start(&house.database_url, shared.clone(), bounds).map_err(Error::failed)?;
        let keys = Arc::new(Keys::open(database.clone(), config.keys_dir()).await.map_err(Error::failed)?);
        let (crossings, waiting) = Crossings::channel();
        let exchange = Exchange { database, book, catalogue: shared, keys, crossings };
        let server = listen(config, &exchange, trust_domain, metrics)?;
        let workers = work(&house.database_url, &exchange, config.pki_dir()).map_err(Error::failed)?;
        let outbound = Arc::new(Outbound::new(config.pki_dir(), &config.outbound_allow, config.outbound_connections));
        let (patience, bounds) = crossing_limits(config);
        let carrier = Carrier::start(exchange.clone(), outbound, waiting, patience, bounds).map_err(Error::failed)?;
        Ok(Node { server, carrier, workers, exchange })
    }

    /// Where the partner API listens.
    pub fn api_url(&self) -> String {
        format!("https://{}", self.server.api_address())
    }

    pub fn public_url(&self) -> String {
        format!("http://{}", self.server.public_address())
    }

    /// Drains: no new requests, those under way are answered, the lanes end. Blocks.
    pub fn stop(self) -> Result<(), Error> {
        let Node { server, carrier, workers, exchange } = self;
        server.stop().map_err(Error::failed)?;
        drop(carrier);
        drop(workers);
        exchange.book.close();
        Ok(())
    }
}

fn listen(
    config: &Config,
    exchange: &Exchange,
    trust_domain: String,
    metrics: PrometheusHandle,
) -> Result<Server, Error> {
    let options = ServerOptions {
        api_listen: config.api_listen,
        public_listen: config.public_listen,
        tls: tls_files(&config.pki_dir()),
        trust_domain,
        limits: limits(config),
    };
    let issuing = Issuing { database: exchange.database.clone(), pki: config.pki_dir() };
    let shared = Shared { database: exchange.database.clone(), probes: probes(exchange, metrics), issuing };
    let data = Data::new(exchange.clone());
    let api = move |routes: &mut actix_web::web::ServiceConfig| {
        routes.app_data(data.clone()).configure(v1::configure);
    };
    let database = Data::new(exchange.database.clone());
    let public = move |routes: &mut actix_web::web::ServiceConfig| {
        routes.app_data(database.clone()).configure(http::log::configure);
    };
    Server::start(options, shared, api, public).map_err(Error::failed)
}

/// The files `hanse pki init` makes.
pub fn tls_files(folder: &Path) -> TlsFiles {
    let file = |name: &str| -> PathBuf { folder.join(name) };
    TlsFiles { ca: file("ca.crt"), crl: file("ca.crl"), certificate: file("server.crt"), key: file("server.key") }
}

fn crossing_limits(config: &Config) -> (Patience, crossings::Bounds) {
    let seconds = Duration::from_secs;
    let patience = Patience {
        call: Duration::from_millis(config.crossing_call_ms),
        hold: seconds(config.crossing_hold_s),
        credit: seconds(config.crossing_credit_s),
        settle: seconds(config.crossing_settle_s),
    };
    (patience, crossings::Bounds { crossings: config.crossings_max, each: config.crossings_each })
}

fn limits(config: &Config) -> Limits {
    let standard = Limits::default();
    let mut body = standard.body;
    body.bytes_max = config.body_max_bytes;
    Limits {
        body,
        connections: config.connections_max,
        handshakes: config.handshakes_max,
        requests_per_second: NonZeroU32::new(config.requests_per_second).unwrap_or(NonZeroU32::MIN),
        head_patience: Duration::from_millis(config.client_request_timeout_ms),
        keep_alive: Duration::from_secs(config.keep_alive_s),
        reader_patience: Duration::from_secs(config.reader_timeout_s),
        drain: Duration::from_secs(config.shutdown_s),
        workers: config.workers,
        ..standard
    }
}

fn probes(exchange: &Exchange, metrics: PrometheusHandle) -> Probes {
    let (database, keys, book) = (exchange.database.clone(), exchange.keys.clone(), exchange.book.clone());
    Probes {
        ready: Arc::new(move || {
            let (database, waiting) = (database.clone(), book.waiting());
            Box::pin(async move { readiness(database.run(durability::check).await, waiting) })
        }),
        metrics: Arc::new(move || metrics.render()),
        jwks: Arc::new(move || {
            let keys = keys.clone();
            Box::pin(async move { Some(keys.current_jwks().await) })
        }),
    }
}

fn readiness(checked: Result<durability::Durability, crate::store::Error>, waiting: usize) -> Readiness {
    let mut checks = serde_json::Map::new();
    checks.insert("commands_waiting".to_owned(), waiting.into());
    let ready = checked.is_ok();
    let database = match checked {
        Ok(durability) => serde_json::to_value(durability).unwrap_or_default(),
        Err(error) => serde_json::json!({ "error": error.to_string() }),
    };
    checks.insert("database".to_owned(), database);
    Readiness { ready, checks }
}

fn work(url: &str, exchange: &Exchange, pki: PathBuf) -> std::io::Result<Workers> {
    let mut workers = Workers::default();
    let mut feed = Feed::new(url);
    workers.spawn("sealing", SEAL_EVERY, move || worker::sealing::tick(&mut feed))?;
    let mut run = ExpiryRun::new(url, exchange.book.clone())?;
    workers.spawn("expiry", EXPIRE_EVERY, move || worker::expiry::tick(&mut run))?;
    let mut settler = Settler::new(url, exchange.keys.clone(), exchange.catalogue.clone());
    workers.spawn("settlement", SETTLE_EVERY, move || worker::settlement::tick(&mut settler))?;
    let mut departures = Departures::new(url, pki.clone(), exchange.book.clone())?;
    workers.spawn("departures", DEPART_EVERY, move || worker::departures::tick(&mut departures))?;
    let mut watch = Watch::new(url, pki.clone());
    let mut ends = worker::certificates::Gauges::default();
    workers.spawn("certificates", CERTIFICATES_EVERY, move || {
        worker::certificates::look(&mut watch, &mut ends, crate::clock::now())
    })?;
    let mut list = Watch::new(url, pki);
    workers.spawn("revocation-list", LIST_EVERY, move || worker::certificates::list(&mut list, crate::clock::now()))?;
    let keys = exchange.keys.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    workers.spawn("keys", KEYS_EVERY, move || runtime.block_on(keys.refresh()).map(|()| worker::Tick::Idle))?;
    Ok(workers)
}
