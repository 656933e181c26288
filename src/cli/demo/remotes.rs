//! The partners of the demo that keep their own ledgers: `hanse sim`, a process each, begun again when it dies and ended
//! with the demo.
//!
//! Each holds the reading end of a pipe whose other end is ours, and ends when that is closed: by us, or by the kernel when
//! the demo is killed. What a partner keeps is in a folder of its own.

use super::stream;
use crate::cli::Error;
use crate::cli::sim::control::Control;
use crate::clock;
use crate::domain::ids::Slug;
use crate::domain::plan::Plan;
use crate::signing::pki::Authority;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it is looked whether a partner is still there.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A partner that was told to end and does not is killed after this long.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// Its own log, in its folder, and where its owner reaches it.
const LOG: &str = "sim.log";
pub const CONTROL: &str = "control";
/// The key it made for itself.
pub const KEY: &str = "signing.p8";

/// What goes wrong at a partner now and then, so that a demo shows how conversions come through it.
pub fn faults(partner: &str) -> &'static str {
    match partner {
        "nest" => "credit:timeout_after=0.02,hold:500=0.02,capture:cut_after=0.02",
        _ => "",
    }
}

/// What every one of them is told.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The alliance's certificates.
    pub pki: PathBuf,
    /// A folder below it for each.
    pub folder: PathBuf,
    /// `https://…` of the partner API.
    pub api: String,
    /// `http://…` of the public listener, which has the alliance's keys.
    pub public: String,
    /// For measuring: how long each takes over every answer, failing in nothing and following no events.
    pub answer_ms: Option<u64>,
}

/// A partner that runs; ended when it is dropped.
pub struct Remote {
    pub slug: Slug,
    /// Where the alliance reaches it.
    pub endpoint: String,
    pub control: Control,
    /// Dropped to tell the keeper.
    stop: Option<mpsc::Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Remote {
    /// Starts a partner where its manifest says, or on any free port when that one is taken. Blocks until it answers.
    fn start(setup: &Setup, slug: &Slug, wanted: SocketAddr) -> Result<Remote, Error> {
        let folder = setup.folder.join(slug.as_str());
        let at_folder = |why: std::io::Error| Error::Failed(format!("{}: {why}", folder.display()));
        fs::create_dir_all(&folder).map_err(at_folder)?;
        let authority = Authority::open(&setup.pki).map_err(Error::failed)?;
        authority.issue_local(&folder.join("endpoint"), clock::now()).map_err(Error::failed)?;
        fs::write(folder.join("members.csv"), stream::members_csv(slug)).map_err(at_folder)?;
        File::create(folder.join(LOG)).map_err(at_folder)?;
        let program = std::env::current_exe().map_err(Error::failed)?;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut post = Post { setup: setup.clone(), slug: slug.clone(), folder, program, listen: any, control: any };
        if std::net::TcpListener::bind(wanted).is_ok() {
            post.listen = wanted;
        } else {
            tracing::warn!(partner.slug = slug.as_str(), "{wanted} is taken: it listens on any free port instead");
        }
        let mut running = post.run(true);
        if running.is_err() && post.listen != any {
            // Somebody else took the port between the look and the start.
            post.listen = any;
            running = post.run(true);
        }
        let running = running?;
        (post.listen, post.control) = (running.listen, running.control);
        let (endpoint, control) = (format!("https://{}", running.listen), format!("http://{}", running.control));
        tracing::info!(partner.slug = slug.as_str(), endpoint, "a partner keeps its own ledger");
        let (noted, key) = (post.folder.join(CONTROL), post.folder.join(KEY));
        let (stop, stopped) = mpsc::channel();
        let keeper = std::thread::Builder::new().name(format!("keeper-{slug}"));
        let keeper = keeper.spawn(move || post.keep(running, &stopped)).map_err(Error::failed)?;
        fs::write(noted, format!("{control}\n")).map_err(Error::failed)?;
        let control = Control::at(&control, key)?;
        Ok(Remote { slug: slug.clone(), endpoint, control, stop: Some(stop), keeper: Some(keeper) })
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(keeper) = self.keeper.take() {
            // A keeper that panicked has said so; its partner ends with the pipe.
            let _ = keeper.join();
        }
    }
}

/// Starts every partner of the plan that keeps its own ledger on this machine. Blocks.
pub fn start(setup: &Setup, plan: &Plan) -> Result<Vec<Remote>, Error> {
    let local = plan.partners.iter().filter_map(|(slug, planned)| {
        let address: SocketAddr = planned.endpoint.as_deref()?.strip_prefix("https://")?.parse().ok()?;
        address.ip().is_loopback().then_some((slug, address))
    });
    local.map(|(slug, address)| Remote::start(setup, slug, address)).collect()
}

/// How a partner is started, and started again.
struct Post {
    setup: Setup,
    slug: Slug,
    folder: PathBuf,
    program: PathBuf,
    listen: SocketAddr,
    control: SocketAddr,
}

/// The process.
struct Running {
    child: Child,
    /// Closed to end it.
    pipe: ChildStdin,
    listen: SocketAddr,
    control: SocketAddr,
}

impl Post {
    /// Runs the process and reads where it answers. The first time it tells the alliance of its members.
    fn run(&self, register: bool) -> Result<Running, Error> {
        let mut child = self.command(register)?.spawn().map_err(Error::failed)?;
        let (Some(pipe), Some(said)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Failed("a process without its pipes".to_owned()));
        };
        let mut said = BufReader::new(said);
        let mut line = String::new();
        let read = said.read_line(&mut line);
        let told: Value = serde_json::from_str(&line).unwrap_or_default();
        let address = |name: &str| told[name].as_str()?.split_once("//")?.1.parse::<SocketAddr>().ok();
        match (read, address("endpoint"), address("control")) {
            (Ok(_), Some(listen), Some(control)) => {
                // What it says of its months goes to its log; the thread ends with it.
                let mut log = self.log()?;
                std::thread::spawn(move || std::io::copy(&mut said, &mut log));
                Ok(Running { child, pipe, listen, control })
            }
            _ => {
                // It has failed, and is failing, or is none of ours.
                let _ = child.kill();
                let _ = child.wait();
                let log = self.folder.join(LOG);
                Err(Error::Failed(format!("{} does not start: {} says why", self.slug, log.display())))
            }
        }
    }

    fn log(&self) -> Result<File, Error> {
        File::options().append(true).create(true).open(self.folder.join(LOG)).map_err(Error::failed)
    }

    fn command(&self, register: bool) -> Result<Command, Error> {
        let (pki, slug) = (&self.setup.pki, self.slug.as_str());
        let mut command = Command::new(&self.program);
        command.args(["--json", "sim", "--partner", slug, "--until-closed", "--log", "info", "--log-format", "json"]);
        command.args(["--listen", &self.listen.to_string(), "--control", &self.control.to_string()]);
        command.arg("--data").arg(&self.folder);
        match self.setup.answer_ms {
            Some(ms) => command.args(["--answer-ms", &ms.to_string()]),
            None => command.args(["--faults", faults(slug)]),
        };
        for (flag, file) in [
            ("--certificate", self.folder.join("endpoint.crt")),
            ("--key", self.folder.join("endpoint.key")),
            ("--ca", pki.join("ca.crt")),
            ("--crl", pki.join("ca.crl")),
            ("--client-certificate", pki.join(format!("{slug}.crt"))),
            ("--client-key", pki.join(format!("{slug}.key"))),
            ("--csv", self.folder.join("members.csv")),
        ] {
            command.arg(flag).arg(file);
        }
        command.args(["--jwks", &format!("{}/.well-known/jwks.json", self.setup.public)]);
        if self.setup.answer_ms.is_none() {
            // With the alliance's address and a certificate of its own it hears of its months, and answers its statements.
            command.args(["--hanse", &self.setup.api]);
            if register {
                command.arg("--register");
            }
        }
        // A group of its own: an interrupt typed at the demo is the demo's to tell it.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(self.log()?).process_group(0);
        Ok(command)
    }

    /// Looks after the process until it is told to end it.
    fn keep(&self, mut running: Running, stopped: &mpsc::Receiver<()>) {
        loop {
            if stopped.recv_timeout(LOOK_EVERY) != Err(RecvTimeoutError::Timeout) {
                return running.end();
            }
            if let Ok(Some(ended)) = running.child.try_wait() {
                tracing::warn!(partner.slug = self.slug.as_str(), %ended, "a partner has ended: it is started again");
                match self.run(false) {
                    Ok(again) => running = again,
                    // Tried again at the next look, on which the ended one is seen again.
                    Err(cause) => tracing::warn!(partner.slug = self.slug.as_str(), error = %cause, "it is not back"),
                }
            }
        }
    }
}

impl Running {
    fn end(mut self) {
        drop(self.pipe);
        let began = clock::instant();
        while began.elapsed() < END_PATIENCE {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                _ => return,
            }
        }
        // It may have ended meanwhile.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
