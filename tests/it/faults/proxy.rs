//! A line between a lane and PostgreSQL that can be cut, or held up, at a statement the test names.

use crate::support::{cluster, poll};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What happens to the message that was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It never reaches the server.
    CutBefore,
    /// It reaches the server, and the line is cut in the same moment.
    CutBehind,
    /// The server has carried it out and answered; the answer is lost.
    CutAnswered,
    /// It waits until it is let go.
    Hold,
}

/// Forwards every connection until it is armed; then one message, the first with these bytes in it, meets the fault.
pub struct Proxy {
    folder: PathBuf,
    pub url: String,
    line: Arc<Line>,
}

#[derive(Default)]
struct Line {
    armed: Mutex<Option<(&'static str, Fault)>>,
    met: AtomicUsize,
    held: AtomicBool,
    closed: AtomicBool,
}

impl Proxy {
    /// In front of the database of this URL, which is one of the run's cluster.
    pub fn before(url: &str) -> Proxy {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let sockets = cluster().socket_folder();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("hanse-line-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the socket");
        let port = url.split("port=").nth(1).and_then(|rest| rest.split('&').next()).expect("a port");
        let name = format!(".s.PGSQL.{port}");
        let (upstream, listener) = (sockets.join(&name), UnixListener::bind(folder.join(&name)).expect("bound"));
        let line = Arc::new(Line::default());
        let shared = Arc::clone(&line);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.closed.load(Ordering::SeqCst) {
                    break;
                }
                let (line, upstream) = (Arc::clone(&shared), upstream.clone());
                std::thread::spawn(move || line.carry(client, &upstream));
            }
        });
        let url = url.replace(&*sockets.to_string_lossy(), &folder.to_string_lossy());
        Proxy { folder, url, line }
    }

    /// The next message with these bytes in it meets `fault`.
    pub fn arm(&self, bytes: &'static str, fault: Fault) {
        *self.line.armed() = Some((bytes, fault));
    }

    /// How many messages have met a fault.
    pub fn met(&self) -> usize {
        self.line.met.load(Ordering::SeqCst)
    }

    pub fn wait_held(&self) {
        poll("a message is held", Duration::from_secs(10), || self.line.held.load(Ordering::SeqCst).then_some(()));
    }

    pub fn let_go(&self) {
        self.line.held.store(false, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.line.closed.store(true, Ordering::SeqCst);
        self.let_go();
        // Wakes the listener, which then ends.
        for socket in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let _ = UnixStream::connect(socket.path());
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Line {
    fn armed(&self) -> std::sync::MutexGuard<'_, Option<(&'static str, Fault)>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry(&self, client: UnixStream, upstream: &Path) {
        let Ok(server) = UnixStream::connect(upstream) else { return };
        let (Ok(mut from), Ok(mut to)) = (server.try_clone(), client.try_clone()) else { return };
        // Set when an answer is to be swallowed; then set again, as true, once it has come.
        let swallow = Arc::new((AtomicBool::new(false), AtomicBool::new(false)));
        let told = Arc::clone(&swallow);
        let back = std::thread::spawn(move || {
            let mut part = [0; 16 * 1024];
            while let Ok(count @ 1..) = from.read(&mut part) {
                if told.0.load(Ordering::SeqCst) {
                    told.1.store(true, Ordering::SeqCst);
                } else if to.write_all(&part[..count]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        });
        // However it ends, both ends are closed.
        let _ = self.forward(&client, &server, &swallow);
        let _ = server.shutdown(Shutdown::Both);
        let _ = client.shutdown(Shutdown::Both);
        let _ = back.join();
    }

    /// Reads the client's messages one by one: a start without a type, then a type, a length, and the rest.
    fn forward(
        &self,
        mut client: &UnixStream,
        mut server: &UnixStream,
        swallow: &(AtomicBool, AtomicBool),
    ) -> io::Result<()> {
        let mut message = Vec::new();
        for first in std::iter::once(true).chain(std::iter::repeat(false)) {
            read_message(&mut client, first, &mut message)?;
            let fault = self.fault_of(&message);
            match fault {
                None => server.write_all(&message)?,
                Some(Fault::CutBefore) => return Ok(()),
                Some(Fault::CutBehind) => return server.write_all(&message),
                Some(Fault::CutAnswered) => {
                    swallow.0.store(true, Ordering::SeqCst);
                    server.write_all(&message)?;
                    // Once it has come, or when none comes: what is asked for later in the protocol never will.
                    let give_up = Instant::now() + Duration::from_millis(500);
                    while !swallow.1.load(Ordering::SeqCst) && Instant::now() < give_up {
                        std::thread::park_timeout(Duration::from_millis(1));
                    }
                    return Ok(());
                }
                Some(Fault::Hold) => {
                    self.held.store(true, Ordering::SeqCst);
                    poll("let go", Duration::from_secs(10), || (!self.held.load(Ordering::SeqCst)).then_some(()));
                    server.write_all(&message)?;
                }
            }
        }
        Ok(())
    }

    fn fault_of(&self, message: &[u8]) -> Option<Fault> {
        let mut armed = self.armed();
        let (bytes, fault) = (*armed)?;
        message.windows(bytes.len()).any(|part| part == bytes.as_bytes()).then(|| {
            *armed = None;
            self.met.fetch_add(1, Ordering::SeqCst);
            fault
        })
    }
}

fn read_message(client: &mut &UnixStream, first: bool, message: &mut Vec<u8>) -> io::Result<()> {
    let head = if first { 4 } else { 5 };
    message.resize(head, 0);
    client.read_exact(message)?;
    let mut length = [0; 4];
    length.copy_from_slice(&message[head - 4..head]);
    let rest = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?.saturating_sub(4);
    message.resize(head + rest, 0);
    client.read_exact(&mut message[head..])
}
