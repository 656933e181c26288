//! The configuration of a process: one typed, checked value.
//!
//! Each setting comes from its default, `hanse.toml`, a `HANSE_…` variable or a flag; a later one wins. All four
//! are read by the same parser, a mistake is told with its source and the setting's name, and what is printed says
//! where each value came from. Secrets are printed as `***`.
//!
//! Variables that are not settings are left alone: a cluster scheduler sets some of its own for every service.

mod flags;
mod source;
mod value;

pub use flags::Flags;
pub use source::Source;
pub use value::{DatabaseUrl, LogFormat};

use crate::domain::network::Network;
use source::{Given, Origins};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use value::{Value, within};

/// A value that cannot be used, and where it was said.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("{from}: {key}: {reason}")]
    Value { from: Source, key: String, reason: String },
    #[error("{from}: there is no setting {key:?} (hanse serve --help lists them)")]
    Unknown { from: Source, key: String },
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
}

/// Declares each setting once: its name in file, variable and flag, type, default, check and explanation.
macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $key:ident: $kind:ty = $default:expr, $check:expr;)*) => {
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $key: $kind,)*
            origins: Origins,
        }

        impl Default for Config {
            fn default() -> Config {
                Config { $($key: $default,)* origins: Origins::default() }
            }
        }

        /// Name and explanation of every setting, in the order they are declared and printed.
        pub(crate) const SETTINGS: &[(&str, &str)] = &[$((stringify!($key), concat!($($doc),+))),*];

        impl Config {
            fn set(&mut self, key: &str, given: &Given) -> Result<bool, String> {
                match key {
                    $(stringify!($key) => {
                        let value = <$kind as Value>::parse(given)?;
                        let check: fn(&$kind) -> Result<(), String> = $check;
                        check(&value)?;
                        self.$key = value;
                    })*
                    _ => return Ok(false),
                }
                Ok(true)
            }

            fn shown(&self) -> Vec<(&'static str, serde_json::Value)> {
                vec![$((stringify!($key), Value::show(&self.$key))),*]
            }
        }
    };
}

settings! {
    /// Folder of everything this process keeps, the private database included.
    data_dir: PathBuf = PathBuf::from(".hanse"), any;
    /// libpq URL of the database; without one a private PostgreSQL is started in the data folder.
    database_url: Option<DatabaseUrl> = None, any;
    /// Address of the partner API, mutual TLS.
    api_listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)), any;
    /// Address of pages, health, metrics and keys, plain HTTP.
    public_listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)), any;
    /// Address by which browsers reach the pages, such as https://points.example; http and public_listen unless given.
    public_url: Option<String> = None, |url| is_origin(url);
    /// Networks of the proxies before the plain listener, such as 10.0.0.0/8: what they say of whose a request is is believed.
    trusted_proxies: Vec<Network> = Vec::new(), any;
    /// Folder of the alliance's certificates; pki in the data folder unless given.
    pki_dir: Option<PathBuf> = None, any;
    /// Folder of the alliance's signing keys; keys in the data folder unless given.
    keys_dir: Option<PathBuf> = None, any;
    /// Writer threads of the book, each with a connection of its own.
    lanes: usize = 2, |n| within(*n, 1, 64);
    /// Worker threads of the partner API; one per processor unless given.
    workers: usize = std::thread::available_parallelism().map_or(2, usize::from), |n| within(*n, 1, 512);
    /// Commands that may wait for one lane; more are answered 503 at once.
    lane_queue_max: usize = 4096, |n| within(*n, 1, 1_000_000);
    /// Commands a lane decides in one database transaction.
    batch_max: usize = 1000, |n| within(*n, 1, 8_000);
    /// Connections for reading.
    read_pool: u32 = 8, |n| within(*n, 1, 1000);
    /// Bytes of a request's body; the default holds a batch of 1000.
    body_max_bytes: usize = 2 * 1024 * 1024, |n| within(*n, 1024, 64 * 1024 * 1024);
    /// Open connections of each listener and worker thread.
    connections_max: usize = 10_000, |n| within(*n, 1, 1_000_000);
    /// TLS handshakes under way at once, of each worker thread: an idle socket holds one until its time is over, so with fewer
    /// than connections idle sockets keep everybody waiting.
    handshakes_max: usize = 10_000, |n| within(*n, 1, 100_000);
    /// Milliseconds a client may take to send the head of a request.
    client_request_timeout_ms: u64 = 5000, |n| within(*n, 100, 600_000);
    /// Seconds a connection may be idle between requests.
    keep_alive_s: u64 = 75, |n| within(*n, 1, 3600);
    /// Seconds a client may take nothing of an answer; its connection is closed then.
    reader_timeout_s: u64 = 60, |n| within(*n, 1, 3600);
    /// Requests a second of one partner; more are answered 429.
    requests_per_second: u32 = 50_000, |n| within(*n, 1, 10_000_000);
    /// Networks that partners' endpoints may be in although they are not public, such as 127.0.0.0/8.
    outbound_allow: Vec<Network> = Vec::new(), any;
    /// Calls to one partner's endpoints that may be under way at once.
    outbound_connections: usize = 32, |n| within(*n, 1, 1024);
    /// Milliseconds for one call to a partner's ledger, its answer included.
    crossing_call_ms: u64 = 10_000, |n| within(*n, 50, 60_000);
    /// Seconds a hold asked of a partner may be without an answer before it is given up.
    crossing_hold_s: u64 = 240, |n| within(*n, 1, 86_400);
    /// The same of a credit, which is then voided.
    crossing_credit_s: u64 = 300, |n| within(*n, 1, 86_400);
    /// Seconds a capture, a void or a release may be without an answer before the conversion is in doubt.
    crossing_settle_s: u64 = 3_600, |n| within(*n, 1, 604_800);
    /// Conversions over two ledgers carried on at once.
    crossings_max: usize = 512, |n| within(*n, 1, 65_536);
    /// Calls of one partner under way at once; as many again may wait for one.
    crossings_each: usize = 128, |n| within(*n, 1, 65_536);
    /// Seconds that a call to a partner's endpoint may take, its answer included.
    outbound_timeout_s: u64 = 15, |n| within(*n, 1, 60);
    /// Events under way at once to all webhooks together; to each at most as many as its partner has calls.
    deliveries_max: usize = 1024, |n| within(*n, 1, 100_000);
    /// What is logged: a level, or directives such as info,hanse::book=debug.
    log: String = "info".to_owned(), |text| crate::telemetry::check_filter(text);
    /// How it is logged: human, json, or auto, which is human on a terminal.
    log_format: LogFormat = LogFormat::Auto, any;
    /// Seconds that requests under way may take to finish when the server stops.
    shutdown_s: u64 = 30, |n| within(*n, 0, 3600);
}

/// Scheme, host and port, and nothing after them.
fn is_origin(url: &Option<String>) -> Result<(), String> {
    let Some(url) = url else { return Ok(()) };
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    let is_good = rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(plain));
    if is_good {
        Ok(())
    } else {
        Err("not an address such as https://points.example, without a slash at the end".to_owned())
    }
}

/// Any value of its type will do.
fn any<T>(_: &T) -> Result<(), String> {
    Ok(())
}

/// Everyday names of two settings, which the variable with our prefix overrides.
const ALIASES: [(&str, &str); 2] = [("database_url", "DATABASE_URL"), ("log", "RUST_LOG")];

/// The file looked for in the current folder when none is named.
const FILE: &str = "hanse.toml";

impl Config {
    /// Reads the configuration of this process. A file that is named, by flag or `HANSE_CONFIG`, must exist.
    pub fn load(file: Option<&Path>, flags: &Flags) -> Result<Config, Error> {
        let named = file.map(Path::to_owned).or_else(|| std::env::var_os("HANSE_CONFIG").map(PathBuf::from));
        let found = named.or_else(|| Path::new(FILE).exists().then(|| PathBuf::from(FILE)));
        Config::read(found.as_deref(), |name| std::env::var(name).ok(), flags)
    }

    /// The same from given places, with nothing of this process's own.
    pub fn read(
        file: Option<&Path>,
        variable: impl Fn(&str) -> Option<String>,
        flags: &Flags,
    ) -> Result<Config, Error> {
        let mut config = Config::default();
        for (key, given) in file.map(source::read_file).transpose()?.unwrap_or_default() {
            config.apply(&key, given)?;
        }
        for (key, _) in SETTINGS {
            let own = source::variable(key);
            let alias = ALIASES.iter().find(|(aliased, _)| aliased == key).map(|(_, name)| (*name).to_owned());
            let said = [Some(own), alias].into_iter().flatten().find_map(|name| Some((variable(&name)?, name)));
            // An empty variable is how a shell says "not set".
            if let Some((text, name)) = said.filter(|(text, _)| !text.is_empty()) {
                config.apply(key, Given::plain(text, Source::Variable(name)))?;
            }
        }
        for (key, text) in flags.given() {
            config.apply(key, Given::plain(text.clone(), Source::flag(key)))?;
        }
        Ok(config)
    }

    fn apply(&mut self, key: &str, given: Given) -> Result<(), Error> {
        match self.set(key, &given) {
            Ok(true) => self.origins.note(key, given.from),
            Ok(false) => return Err(Error::Unknown { from: given.from, key: key.to_owned() }),
            Err(reason) => return Err(Error::Value { from: given.from, key: key.to_owned(), reason }),
        }
        Ok(())
    }

    pub fn pki_dir(&self) -> PathBuf {
        self.pki_dir.clone().unwrap_or_else(|| self.data_dir.join("pki"))
    }

    pub fn keys_dir(&self) -> PathBuf {
        self.keys_dir.clone().unwrap_or_else(|| self.data_dir.join("keys"))
    }

    /// The configuration as a `hanse.toml` that says where each value came from; secrets are blanked.
    pub fn to_toml(&self) -> String {
        let line = |(key, value): (&'static str, serde_json::Value)| match value {
            serde_json::Value::Null => format!("# {key} is not set\n"),
            // A JSON string, number or boolean of ours is a TOML one too.
            value => format!("{key} = {value} # {}\n", self.origins.of(key)),
        };
        self.shown().into_iter().map(line).collect()
    }

    /// The same for machines: `{setting: {value, source}}`.
    pub fn to_json(&self) -> serde_json::Value {
        let entry = |(key, value): (&'static str, serde_json::Value)| {
            let source = self.origins.of(key).to_string();
            (key.to_owned(), serde_json::json!({ "value": value, "source": source }))
        };
        serde_json::Value::Object(self.shown().into_iter().map(entry).collect())
    }
}

#[cfg(test)]
mod tests;
