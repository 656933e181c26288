//! The receivers of docs/examples, as they stand there, on real deliveries: what we sign other people's libraries verify.

use super::{Mail, PATIENCE};
use crate::settlement::interop::Libraries;
use crate::support::book::slug;
use crate::support::{Scratch, poll, without_settings};
use hanse::service::delivery::endpoints::Ask;
use hanse::signing::jws::SigningKey;
use hanse::signing::webhook::{Secret, public_text};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

const PYTHON: &str = include_str!("../../../docs/examples/receiver.py");
const AGAIN: &str = "UPDATE webhooks SET rests_until = NULL; \
    UPDATE deliveries SET next_at = clock_timestamp() WHERE next_at > clock_timestamp()";
const NODE: &str = include_str!("../../../docs/examples/receiver.mjs");

struct Script {
    child: Child,
    lines: Receiver<String>,
    port: u16,
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(mut command: Command, pki: &Path, secret: &str, public: &str) -> Script {
    without_settings(&mut command);
    command.args(["server.crt", "server.key", "ca.crt"].map(|file| pki.join(file))).args([secret, public]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    let (sender, lines) = channel();
    std::thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    let first: String = poll("listening", PATIENCE, || lines.try_recv().ok());
    let port = first.strip_prefix("listening ").and_then(|port| port.parse().ok()).expect("a port");
    Script { child, lines, port }
}

#[test]
fn the_receivers_of_the_guide_take_what_is_ours_and_nothing_else() {
    let libraries = Libraries::install();
    // Below the libraries: that is where node looks for them.
    let folder = Scratch::new("interop/receivers");
    let write = |name: &str, text: &str| {
        let script = folder.path().join(name);
        std::fs::write(&script, text).expect("written");
        script
    };
    let (python, node) = (write("receiver.py", PYTHON), write("receiver.mjs", NODE));
    let commands = || {
        let with = |program: &Path, script: &Path| {
            let mut command = Command::new(program);
            command.arg(script);
            command
        };
        let python = libraries.python.as_deref().map(|program| with(program, &python));
        [python, libraries.node.then(|| with(Path::new("node"), &node))].into_iter().flatten()
    };
    let mail = Mail::new("hook-interop");
    let public = public_text(&mail.jwks()[0]).expect("Ed25519");
    let stranger = SigningKey::from_pkcs8(&SigningKey::generate().expect("random")).expect("a key");
    let stranger = public_text(stranger.public()).expect("Ed25519");
    let running = mail.run();
    for (nth, takes) in [(0, true), (1, false), (2, false)] {
        for (index, command) in commands().enumerate() {
            let (id, secret) = mail.hook("aa", "https://127.0.0.1:8443/");
            let other = Secret::generate().expect("random");
            let (secret, key) = match nth {
                0 => (secret.reveal(), &public),
                1 => (secret.reveal(), &stranger),
                _ => (other.reveal(), &public),
            };
            let script = start(command, mail.pki(), &secret, key);
            let url = format!("https://127.0.0.1:{}/webhooks", script.port);
            let wanted = Ask { url, types: None };
            mail.block(mail.webhooks.change(slug("aa"), id, wanted, true)).expect("changed");
            mail.tell("aa", 3, 3);
            // What went nowhere before is tried again.
            let last = || {
                mail.sql(AGAIN);
                mail.deliveries("aa", id).into_iter().find_map(|one| {
                    let last = one.attempts.as_array()?.last()?.clone();
                    (last["status"].is_u64()).then_some((one.state, last))
                })
            };
            let (state, attempt) = poll("an answer", PATIENCE, last);
            let status = attempt["status"].as_u64().expect("a status");
            assert_eq!((state == "delivered", status != 401), (takes, takes), "{index}: {attempt}");
            if takes {
                let printed: String = poll("printed", PATIENCE, || script.lines.try_recv().ok());
                assert!(printed.ends_with(" exposure.warned"), "{printed}");
            }
            mail.block(mail.webhooks.end(slug("aa"), id)).expect("ended");
        }
    }
    drop(running);
}
