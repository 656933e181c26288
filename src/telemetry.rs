//! Logs and metrics of this process. Neither ever holds member data, keys or bodies.
//!
//! Log lines go to standard error, for people on a terminal and as JSON elsewhere; standard output belongs to what
//! a command prints. Metrics are recorded here and rendered by whoever serves `/metrics`.

use crate::config::LogFormat;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal;
use std::time::Duration;
use tracing_subscriber::filter::EnvFilter;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("log: {0}")]
    Filter(String),
    #[error("logging was started twice")]
    LogTwice,
    #[error("the metrics recorder cannot be installed: {0}")]
    Recorder(String),
}

/// Upper bounds, in seconds, of the buckets of every `…_seconds` histogram: from a lookup to a timeout.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
/// Samples wait in memory until they are sorted into buckets, whether or not anybody asks for `/metrics`.
const UPKEEP: Duration = Duration::from_secs(5);
/// Upper bounds of the buckets of every other histogram, which count things: commands in a batch, rows, rounds.
const COUNTS: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 5000.0];

/// Whether text is a filter: a level, or directives separated by commas.
pub fn check_filter(text: &str) -> Result<(), String> {
    filter(text).map(|_| ()).map_err(|cause| cause.to_string())
}

/// Starts logging for the whole process.
pub fn start_logging(directives: &str, format: LogFormat) -> Result<(), Error> {
    let filter = filter(directives)?;
    let human = match format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if human {
        // Colours would take a feature and a crate more; asked for without it, they are a panic.
        lines.with_ansi(false).compact().try_init()
    } else {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    };
    started.map_err(|_| Error::LogTwice)
}

/// Installs the recorder of this process's metrics and returns what renders them.
///
/// Every histogram has fixed buckets: the exporter's own default keeps each sample until somebody asks.
pub fn start_metrics() -> Result<PrometheusHandle, Error> {
    let failed = |cause: &dyn std::fmt::Display| Error::Recorder(cause.to_string());
    let builder = PrometheusBuilder::new();
    let builder = builder.set_buckets(&COUNTS).map_err(|cause| failed(&cause))?;
    let seconds = Matcher::Suffix("_seconds".to_owned());
    let builder = builder.set_buckets_for_metric(seconds, &SECONDS).map_err(|cause| failed(&cause))?;
    let handle = builder.install_recorder().map_err(|cause| failed(&cause))?;
    let upkeep = handle.clone();
    let thread = std::thread::Builder::new().name("metrics".to_owned());
    let forever = move || {
        loop {
            std::thread::sleep(UPKEEP);
            upkeep.run_upkeep();
        }
    };
    thread.spawn(forever).map_err(|cause| failed(&cause))?;
    Ok(handle)
}

fn filter(directives: &str) -> Result<EnvFilter, Error> {
    EnvFilter::try_new(directives).map_err(|cause| Error::Filter(cause.to_string()))
}
