//! Starts both listeners on a thread of their own, keeps the TLS files fresh, drains on stop.

use super::identity::{Gate, gate, on_connect};
use super::json::BodyLimits;
use super::problem::Problem;
use super::public::{self, Probes};
use super::rate_limit::{Attempts, Doors, Pages, RateLimit};
use super::request_id;
use super::tls::{self, Live};
use super::{catalogue, certificates, enrolments, log, proposals, signing_keys};
use crate::service::Database;
use crate::service::identity::Register;
use crate::service::issuing::Issuing;
use actix_web::dev::{Server as ActixServer, ServerHandle};
use actix_web::http::header;
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpServer};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

pub use super::tls::{TlsError, TlsFiles};

/// How often the TLS files are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The partner API, mutual TLS.
    pub api_listen: SocketAddr,
    /// Health, metrics, keys, the log, the contract: plain HTTP.
    pub public_listen: SocketAddr,
    pub tls: TlsFiles,
    /// Authority of the SPIFFE ids in client certificates.
    pub trust_domain: String,
    pub limits: Limits,
}

/// What one server takes on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub body: BodyLimits,
    /// Open connections of each listener and worker.
    pub connections: usize,
    /// TLS handshakes under way at once, per worker: an idle socket holds one until its time is over.
    pub handshakes: usize,
    /// Requests a second of one caller.
    pub requests_per_second: NonZeroU32,
    /// For the head of a request; later is 408.
    pub head_patience: Duration,
    pub handshake_patience: Duration,
    pub keep_alive: Duration,
    /// How long a caller may take nothing of its answer before the connection is given up (RFC 5482).
    pub reader_patience: Duration,
    /// How long requests under way may take once the server stops.
    pub drain: Duration,
    /// Worker threads of the partner API.
    pub workers: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body: BodyLimits::default(),
            connections: 10_000,
            handshakes: 10_000,
            requests_per_second: const { NonZeroU32::new(50_000).expect("not zero") },
            head_patience: Duration::from_secs(5),
            handshake_patience: Duration::from_secs(5),
            keep_alive: Duration::from_secs(75),
            reader_patience: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            workers: std::thread::available_parallelism().map_or(2, usize::from),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the address {address} cannot be listened on (--api-listen and --public-listen name others)")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the server's thread cannot be started")]
    Thread(#[source] io::Error),
}

/// What the server asks of the rest of the process.
pub struct Shared {
    pub database: Database,
    pub probes: Probes,
    pub issuing: Issuing,
}

/// Both listeners, running. Dropping it stops them without waiting; `stop` drains.
pub struct Server {
    api: SocketAddr,
    public: SocketAddr,
    handles: Vec<ServerHandle>,
    running: Option<JoinHandle<io::Result<()>>>,
    watching: Option<Sender<()>>,
}

impl Server {
    /// Listens and returns. `api` registers the routes of the partner listener with their data, `public` those of the
    /// plain one beside its own.
    pub fn start<A, P>(options: ServerOptions, shared: Shared, api: A, public: P) -> Result<Server, StartError>
    where
        A: Fn(&mut ServiceConfig) + Clone + Send + 'static,
        P: Fn(&mut ServiceConfig) + Clone + Send + 'static,
    {
        let (tls, live) = tls::configure(options.tls.clone())?;
        let (api_listener, api_address) = listen(options.api_listen, options.limits.reader_patience)?;
        let (public_listener, public_address) = listen(options.public_listen, options.limits.reader_patience)?;
        let (say, heard) = channel();
        let builder = std::thread::Builder::new().name("http".to_owned());
        let running = builder.spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let api = api_server(&options, &shared, (api_listener, tls), api)?;
                let public = public_server(&options, shared, public_listener, public)?;
                // The other side waits for this; if it is gone there is nobody to serve for.
                let _ = say.send(vec![api.handle(), public.handle()]);
                tokio::try_join!(api, public).map(|_| ())
            })
        });
        let running = running.map_err(StartError::Thread)?;
        let handles = heard.recv().map_err(|_| StartError::Thread(io::Error::other("the listeners were refused")))?;
        let watching = watch(live).map_err(StartError::Thread)?;
        Ok(Server {
            api: api_address,
            public: public_address,
            handles,
            running: Some(running),
            watching: Some(watching),
        })
    }

    /// Where the partner API listens: the port asked for, or the one given for port 0.
    pub fn api_address(&self) -> SocketAddr {
        self.api
    }

    pub fn public_address(&self) -> SocketAddr {
        self.public
    }

    /// Takes no new requests, lets those under way end within the drain time, and returns.
    pub fn stop(mut self) -> io::Result<()> {
        self.end(true);
        self.wait()
    }

    fn end(&mut self, graceful: bool) {
        drop(self.watching.take());
        for handle in self.handles.drain(..) {
            // The command is sent at once; the future only waits for its end, which `wait` does.
            drop(handle.stop(graceful));
        }
    }

    fn wait(&mut self) -> io::Result<()> {
        match self.running.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err(io::Error::other("the server's thread panicked")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end(false);
        // Nobody is left to tell.
        let _ = self.wait();
    }
}

fn listen(address: SocketAddr, reader_patience: Duration) -> Result<(TcpListener, SocketAddr), StartError> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        // Every connection has it from its listener.
        #[cfg(target_os = "linux")]
        socket2::SockRef::from(&listener).set_tcp_user_timeout(Some(reader_patience))?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    });
    listener.map_err(|source| StartError::Listen { address, source })
}

fn api_server<C>(
    options: &ServerOptions,
    shared: &Shared,
    (listener, tls): (TcpListener, rustls::ServerConfig),
    configure: C,
) -> io::Result<ActixServer>
where
    C: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    let limits = options.limits;
    let register = Register::new(shared.database.clone());
    let database = Data::new(shared.database.clone());
    let issuing = Data::new(shared.issuing.clone());
    let gate_data = Data::new(Gate { register, rate: RateLimit::new(limits.requests_per_second) });
    let body = Data::new(limits.body);
    let app = move || {
        App::new()
            .app_data(Data::clone(&gate_data))
            .app_data(Data::clone(&body))
            .app_data(Data::clone(&database))
            .app_data(Data::clone(&issuing))
            // Addresses are tried in this order: those of conversions come first.
            .configure(configure.clone())
            .configure(catalogue::configure)
            .configure(certificates::configure)
            .configure(proposals::configure)
            .configure(signing_keys::configure)
            .configure(log::configure)
            .default_service(web::to(nowhere))
            .wrap(from_fn(gate))
            // What partners read is of their members: no cache on the way keeps it.
            .wrap(DefaultHeaders::new().add((header::CACHE_CONTROL, "no-store")))
            // The last one wrapped is the first one met.
            .wrap(from_fn(request_id::middleware))
    };
    Ok(HttpServer::new(app)
        .workers(limits.workers)
        .max_connections(limits.connections)
        .max_connection_rate(limits.handshakes)
        .client_request_timeout(limits.head_patience)
        .tls_handshake_timeout(limits.handshake_patience)
        .keep_alive(limits.keep_alive)
        .shutdown_timeout(limits.drain.as_secs())
        .tcp_nodelay(true)
        .disable_signals()
        // Before `listen`, which takes a copy of it.
        .on_connect(on_connect(options.trust_domain.clone()))
        .listen_rustls_0_23(listener, tls)?
        .run())
}

fn public_server<C>(
    options: &ServerOptions,
    shared: Shared,
    listener: TcpListener,
    configure: C,
) -> io::Result<ActixServer>
where
    C: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    let limits = options.limits;
    let (probes, issuing) = (Data::new(shared.probes), Data::new(shared.issuing));
    let (attempts, doors) = (Data::new(Attempts::default()), Data::new(Doors::default()));
    let pages = Data::new(Pages::default());
    let body = Data::new(limits.body);
    let app = move || {
        App::new()
            .app_data(Data::clone(&probes))
            .app_data(Data::clone(&issuing))
            .app_data(Data::clone(&attempts))
            .app_data(Data::clone(&doors))
            .app_data(Data::clone(&pages))
            .app_data(Data::clone(&body))
            .configure(public::configure)
            .configure(enrolments::configure)
            .configure(configure.clone())
            .default_service(web::to(nowhere))
            .wrap(from_fn(request_id::middleware))
    };
    Ok(HttpServer::new(app)
        .workers(1)
        .max_connections(limits.connections)
        .client_request_timeout(limits.head_patience)
        .keep_alive(limits.keep_alive)
        .shutdown_timeout(limits.drain.as_secs())
        .disable_signals()
        .listen(listener)?
        .run())
}

async fn nowhere() -> Problem {
    Problem::not_found()
}

/// Looks at the TLS files until the sender is dropped.
fn watch(mut live: Live) -> io::Result<Sender<()>> {
    let (stop, stopped): (Sender<()>, Receiver<()>) = channel();
    std::thread::Builder::new().name("tls-files".to_owned()).spawn(move || {
        let mut failing = false;
        while stopped.recv_timeout(WATCH_EVERY) == Err(RecvTimeoutError::Timeout) {
            let outcome = live.refresh();
            match &outcome {
                Ok(true) => tracing::info!("the TLS files have changed and are in force"),
                // Said once, however long it lasts; the gauge says it all the while.
                Err(error) if !failing => tracing::error!(%error, "the TLS files are not taken up: the last good stay"),
                Ok(false) | Err(_) => {}
            }
            failing = outcome.is_err();
            metrics::gauge!("tls_files_stale").set(u8::from(failing));
        }
    })?;
    Ok(stop)
}
