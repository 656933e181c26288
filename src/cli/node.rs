//! One running server: its listeners, lanes and workers, wired together.

use super::Error;
use super::house::House;
use crate::book::{self, Handle};
use crate::config::Config;
use crate::http;
use crate::http::forwarded::Proxies;
use crate::http::public::{Probes, Readiness};
use crate::http::server::{Limits, Server, ServerOptions, Shared, TlsFiles};
use crate::http::v1::{self, PagesAt};
use crate::service::benefits::Vouchers;
use crate::service::certificate_watch::Watch;
use crate::service::crossings::{self, Carrier, Crossings, Next, Patience};
use crate::service::delivery::{self, Post, Webhooks};
use crate::service::exchange::Exchange;
use crate::service::expiry::ExpiryRun;
use crate::service::feed::Feed;
use crate::service::figures::Counting;
use crate::service::issuing::Issuing;
use crate::service::keys::Keys;
use crate::service::lifecycle::Departures;
use crate::service::outbound::Outbound;
use crate::service::settlement::deadlines::Settler;
use crate::service::staff::Staffing;
use crate::signing::sealing::SealingKey;
use crate::store::catalogue;
use crate::store::durability;
use crate::web;
use crate::worker::{self, Workers};
use actix_web::web::Data;
use arc_swap::ArcSwap;
use metrics_exporter_prometheus::PrometheusHandle;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::mpsc::Receiver;

/// How long committed events wait for their number at most, when nothing else goes wrong.
const SEAL_EVERY: Duration = Duration::from_millis(50);
/// Business days end for everybody at once: one look-up through an index when there is nothing to post.
const EXPIRE_EVERY: Duration = Duration::from_secs(2);
const KEYS_EVERY: Duration = Duration::from_secs(60);
/// Windows end with a business day: one look at the open one when there is nothing to do.
const SETTLE_EVERY: Duration = Duration::from_secs(2);
/// Partners join and leave rarely, and are in no hurry.
const DEPART_EVERY: Duration = Duration::from_secs(2);
/// What is on its way, for whoever watches.
const WATCH_EVERY: Duration = Duration::from_secs(5);
/// Oftener than warnings need, so that a look that failed is made up for.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(600);
/// What a server without the authority's key has revoked is on the list within this time.
const LIST_EVERY: Duration = Duration::from_secs(2);
/// Rests between runs however much there is to count: figures are for people, and what members wait for comes first.
const COUNT_EVERY: Duration = Duration::from_secs(2);
/// Between rounds of the post, each of which waits by itself.
const POST_EVERY: Duration = Duration::from_millis(1);

/// Registers pages on the plain listener.
pub type Pages = fn(&mut actix_web::web::ServiceConfig);

/// Fields are dropped in this order: no new requests, then no more work, then the book ends.
pub struct Node {
    server: Server,
    carrier: Carrier,
    workers: Workers,
    pub exchange: Exchange,
    /// Calls to partners, whatever for.
    pub outbound: Arc<Outbound>,
}

impl Node {
    /// Starts a server on an opened house, with more pages than its own. `Err` when no alliance has been published in its
    /// database.
    pub async fn start(house: &House, metrics: PrometheusHandle, more: Pages) -> Result<Node, Error> {
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
        let webhooks = webhooks(config, &exchange)?;
        let vouchers = Vouchers { database: exchange.database.clone(), sealing: Arc::clone(&webhooks.sealing) };
        let server = listen(config, &exchange, (&webhooks, vouchers), trust_domain, metrics, more)?;
        let workers = work(config, &house.database_url, &exchange, &webhooks)?;
        let outbound = Arc::clone(&webhooks.outbound);
        let carrier = carry(config, &exchange, waiting).map_err(Error::failed)?;
        Ok(Node { server, carrier, workers, exchange, outbound })
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
        let Node { server, carrier, workers, exchange, .. } = self;
        server.stop().map_err(Error::failed)?;
        drop(carrier);
        drop(workers);
        exchange.book.close();
        Ok(())
    }
}

/// What webhooks stand on; who may be called is said in the log.
fn webhooks(config: &Config, exchange: &Exchange) -> Result<Webhooks, Error> {
    let outbound = Outbound::new(config.pki_dir(), &config.outbound_allow, config.outbound_connections);
    Ok(Webhooks {
        database: exchange.database.clone(),
        keys: Arc::clone(&exchange.keys),
        outbound: Arc::new(outbound),
        sealing: Arc::new(SealingKey::open(&config.keys_dir()).map_err(Error::failed)?),
        bell: Arc::new(Notify::new()),
        deadline: Duration::from_secs(config.outbound_timeout_s),
    })
}

fn post(config: &Config, url: &str, exchange: &Exchange, webhooks: &Webhooks) -> Result<Post, Error> {
    let bounds = delivery::Bounds {
        at_once: config.outbound_connections,
        total: config.deliveries_max,
        deadline: webhooks.deadline,
    };
    let opened = delivery::Opened {
        database_url: url.to_owned(),
        keys: Arc::clone(&webhooks.keys),
        outbound: Arc::clone(&webhooks.outbound),
        sealing: Arc::clone(&webhooks.sealing),
        catalogue: Arc::clone(&exchange.catalogue),
        bell: Arc::clone(&webhooks.bell),
        bounds,
    };
    Post::open(opened).map_err(Error::failed)
}

fn listen(
    config: &Config,
    exchange: &Exchange,
    (webhooks, vouchers): (&Webhooks, Vouchers),
    trust_domain: String,
    metrics: PrometheusHandle,
    more: Pages,
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
    let (data, webhooks) = (Data::new(exchange.clone()), Data::new(webhooks.clone()));
    let staffing = Staffing::new(exchange.database.clone(), Arc::clone(&vouchers.sealing));
    let (staffing, vouchers) = (Data::new(staffing), Data::new(vouchers));
    let pages_at = Data::new(PagesAt::new(config.public_url.clone()));
    let listening = pages_at.clone();
    let database = Data::new(exchange.database.clone());
    let (people, shown, at) = (data.clone(), vouchers.clone(), pages_at.clone());
    let sent = webhooks.clone();
    let proxies = Data::new(Proxies(config.trusted_proxies.clone()));
    let public = move |routes: &mut actix_web::web::ServiceConfig| {
        let routes = routes.app_data(database.clone()).app_data(people.clone()).app_data(shown.clone());
        let routes = routes.app_data(staffing.clone()).app_data(sent.clone());
        routes
            .app_data(proxies.clone())
            .app_data(at.clone())
            .configure(http::log::configure)
            .configure(web::configure)
            .configure(more);
    };
    let api = move |routes: &mut actix_web::web::ServiceConfig| {
        let routes = routes.app_data(data.clone()).app_data(webhooks.clone()).app_data(vouchers.clone());
        routes.app_data(pages_at.clone()).configure(v1::configure);
    };
    let server = Server::start(options, shared, api, public).map_err(Error::failed)?;
    listening.listening(server.public_address());
    Ok(server)
}

/// The files `hanse pki init` makes.
pub fn tls_files(folder: &Path) -> TlsFiles {
    let file = |name: &str| -> PathBuf { folder.join(name) };
    TlsFiles { ca: file("ca.crt"), crl: file("ca.crl"), certificate: file("server.crt"), key: file("server.key") }
}

/// Calls of its own: whatever is delivered takes no connection of a conversion's.
fn carry(config: &Config, exchange: &Exchange, waiting: Receiver<Next>) -> std::io::Result<Carrier> {
    let outbound = Outbound::new(config.pki_dir(), &config.outbound_allow, config.crossings_each);
    let (patience, bounds) = crossing_limits(config);
    Carrier::start(exchange.clone(), Arc::new(outbound), waiting, patience, bounds)
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

fn work(config: &Config, url: &str, exchange: &Exchange, webhooks: &Webhooks) -> Result<Workers, Error> {
    // Made before any thread is: what it cannot do is told at once.
    let mut post = post(config, url, exchange, webhooks)?;
    let mut workers = Workers::default();
    let bell = Arc::clone(&webhooks.bell);
    spawn(&mut workers, url, exchange, config.pki_dir(), bell).map_err(Error::failed)?;
    let delivering = move || worker::delivery::tick(&mut post);
    workers.spawn("delivery", POST_EVERY, delivering).map_err(Error::failed)?;
    Ok(workers)
}

fn spawn(
    workers: &mut Workers,
    url: &str,
    exchange: &Exchange,
    pki: PathBuf,
    bell: Arc<Notify>,
) -> std::io::Result<()> {
    let mut feed = Feed::new(url);
    let sealing = move || {
        let tick = worker::sealing::tick(&mut feed)?;
        if tick == worker::Tick::Worked {
            bell.notify_waiters();
        }
        Ok::<_, crate::service::feed::Error>(tick)
    };
    workers.spawn("sealing", SEAL_EVERY, sealing)?;
    let mut run = ExpiryRun::of_lots(url, exchange.book.clone())?;
    workers.spawn("expiry", EXPIRE_EVERY, move || worker::expiry::tick(&mut run))?;
    let mut vouchers = ExpiryRun::of_vouchers(url, exchange.book.clone())?;
    workers.spawn("vouchers", EXPIRE_EVERY, move || worker::expiry::vouchers(&mut vouchers))?;
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
    let mut business = crate::service::watch::Watch::new(url);
    let mut shown = worker::watch::Gauges::default();
    workers.spawn("watch", WATCH_EVERY, move || worker::watch::tick(&mut business, &mut shown))?;
    let (mut counting, mut crossed) = (Counting::new(url), worker::figures::Gauges::default());
    workers.spawn("figures", COUNT_EVERY, move || worker::figures::tick(&mut counting, &mut crossed))?;
    let keys = exchange.keys.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    workers.spawn("keys", KEYS_EVERY, move || runtime.block_on(keys.refresh()).map(|()| worker::Tick::Idle))
}
