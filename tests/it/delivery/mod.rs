//! What is sent to partners: calls to their endpoints, and their feed pushed to them.

mod dial;
mod faults;
mod interop;
mod order;
mod outage;
mod served;

use crate::support::book::{Book, slug};
use crate::support::receiver::{Got, Receiver, Reply};
use crate::support::{Scratch, TestDatabase, poll};
use chrono_tz::Asia::Shanghai;
use diesel::PgConnection;
use diesel::connection::SimpleConnection;
use hanse::book::engine::world::EventKind;
use hanse::book::{posting, seal, store as book_store};
use hanse::domain::holder::Holder;
use hanse::domain::ids::WebhookId;
use hanse::service::delivery::endpoints::{Ask, Delivery, Shows};
use hanse::service::delivery::{Bounds, Opened, Post, Webhooks};
use hanse::service::keys::Keys;
use hanse::service::outbound::Outbound;
use hanse::signing::keyring::Purpose;
use hanse::signing::pki::Authority;
use hanse::signing::sealing::SealingKey;
use hanse::signing::webhook::{self, Secret, Stamp};
use hanse::store;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::Notify;
use uuid::Uuid;

/// The next probe of an open breaker, and the end of a wait that was asked for.
pub const AWAKE: &str = "UPDATE webhooks SET rests_until = clock_timestamp() WHERE rests_until > clock_timestamp()";

pub const PATIENCE: Duration = Duration::from_secs(30);

/// The small alliance with a feed, certificates and keys, and as many posts as a test starts.
pub struct Mail {
    pub database: TestDatabase,
    pub folder: Scratch,
    catalogue: Arc<arc_swap::ArcSwap<hanse::domain::catalogue::Catalogue>>,
    pub webhooks: Webhooks,
    runtime: tokio::runtime::Runtime,
}

/// A post that looks again and again, until it is dropped.
pub struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
    }
}

impl Mail {
    pub fn new(name: &str) -> Mail {
        let (database, catalogue) = Book::new("").into_parts();
        let folder = Scratch::new(name);
        let now = hanse::clock::now();
        let authority = Authority::init(folder.path(), "small.example", now).expect("an authority");
        authority.issue(&Holder::of("operator", "outbound").expect("a name"), now).expect("issued");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let open = store::connect(&database.url).expect("the database");
        let keys = runtime.block_on(Keys::open(open.clone(), folder.path().join("keys"))).expect("keys");
        let loopback = ["127.0.0.0/8".parse().expect("a network")];
        let webhooks = Webhooks {
            database: open,
            keys: Arc::new(keys),
            outbound: Arc::new(Outbound::new(folder.path().to_owned(), &loopback, 32)),
            sealing: Arc::new(SealingKey::open(&folder.path().join("keys")).expect("a key")),
            bell: Arc::new(Notify::new()),
            deadline: Duration::from_secs(1),
        };
        Mail { database, folder, catalogue, webhooks, runtime }
    }

    pub fn pki(&self) -> &Path {
        self.folder.path()
    }

    pub fn receiver(&self, script: impl Fn(&Got) -> Reply + Send + Sync + 'static) -> Receiver {
        Receiver::start(self.pki(), script)
    }

    /// A post of a server of its own.
    pub fn post(&self) -> Post {
        let opened = Opened {
            database_url: self.database.url.clone(),
            keys: Arc::clone(&self.webhooks.keys),
            outbound: Arc::clone(&self.webhooks.outbound),
            sealing: Arc::clone(&self.webhooks.sealing),
            catalogue: Arc::clone(&self.catalogue),
            bell: Arc::clone(&self.webhooks.bell),
            bounds: Bounds { at_once: 32, total: 1_024, deadline: Duration::from_secs(1) },
        };
        Post::open(opened).expect("a post")
    }

    pub fn run(&self) -> Running {
        let (mut post, stop) = (self.post(), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                post.round().expect("a round");
            }
        });
        Running { stop, thread: Some(thread) }
    }

    pub fn block<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A webhook of `partner` that begins with the feed.
    pub fn hook(&self, partner: &str, url: &str) -> (WebhookId, Secret) {
        let ask = Ask { url: url.to_owned(), types: None };
        let (made, secret) = self.block(self.webhooks.create(slug(partner), ask, Some(1))).expect("made");
        (made.row.id, secret)
    }

    pub fn shows(&self, partner: &str, id: WebhookId) -> Shows {
        self.block(self.webhooks.get(slug(partner), id)).expect("there")
    }

    pub fn deliveries(&self, partner: &str, id: WebhookId) -> Vec<Delivery> {
        let mut found = self.block(self.webhooks.deliveries(slug(partner), id, None, None, 1_000)).expect("read").1;
        found.reverse();
        found
    }

    /// So many events for `partner`, numbered, their subjects taken in turn from so many.
    pub fn tell(&self, partner: &str, count: u32, subjects: u32) {
        tell(&mut self.database.connection(), partner, count, subjects);
        self.webhooks.bell.notify_waiters();
    }

    pub fn sql(&self, sql: &str) {
        self.database.connection().batch_execute(sql).expect(sql);
        self.webhooks.bell.notify_waiters();
    }

    /// The feed as `GET /v1/events` shows it, each event's own bytes.
    pub fn feed(&self, partner: &str) -> Vec<String> {
        let found = seal::read(&mut self.database.connection(), &slug(partner), 0, 100_000).expect("read");
        let events = hanse::service::events::render(&mut self.database.connection(), &slug(partner), "CNY", found);
        let events = events.expect("rendered");
        events.iter().map(|event| serde_json::to_string(event).expect("JSON")).collect()
    }

    pub fn jwks(&self) -> Vec<hanse::signing::jwk::PublicKey> {
        let jwks = self.webhooks.keys.jwks();
        let keys = jwks["keys"].as_array().expect("keys").iter().filter(|key| key["purpose"] == "webhook");
        let kids: Vec<_> = keys.map(|key| key["kid"].as_str().expect("a kid").to_owned()).collect();
        kids.iter().map(|kid| self.webhooks.keys.key(Purpose::Webhook, kid).expect("a key")).collect()
    }

    /// Waits until this is so.
    pub fn until(&self, awaited: &str, so: impl Fn() -> bool) {
        poll(awaited, PATIENCE, || so().then_some(()));
    }
}

pub fn tell(conn: &mut PgConnection, partner: &str, count: u32, subjects: u32) {
    let subject = |nth: u32| Uuid::from_u128(u128::from(nth % subjects) + 0x1000);
    for first in (0..count).step_by(2_000) {
        posting::post(conn, Shanghai, |_, posting| {
            for nth in first..count.min(first + 2_000) {
                let body = serde_json::json!({ "nth": nth, "text": "é 汉字 \"quoted\"" });
                posting.tell(&slug(partner), EventKind::ExposureWarned, subject(nth), &body);
            }
            Ok::<_, book_store::Error>(())
        })
        .expect("posted");
    }
    seal::seal_now(conn).expect("numbered");
}

/// Everything about a delivery that its receiver checks.
pub fn believed(mail: &Mail, got: &Got, secret: Option<&Secret>) {
    let header = |name: &str| got.header(name).unwrap_or_else(|| panic!("{name} in {got:?}"));
    let stamp = Stamp {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
    };
    let now = hanse::clock::now().timestamp();
    if let Some(secret) = secret {
        assert_eq!(webhook::verify(stamp, &got.body, std::slice::from_ref(secret), &[], now), Ok(()));
    }
    assert_eq!(webhook::verify(stamp, &got.body, &[], &mail.jwks(), now), Ok(()));
    assert_eq!(header("content-digest"), webhook::content_digest(&got.body));
    assert_eq!(header("content-type"), "application/json");
    assert!(header("traceparent").starts_with("00-"));
    assert_eq!(got.json()["id"], header("webhook-id"));
}

/// Of each subject the events came in their order, and none is missing.
pub fn in_order(got: &[Got], subjects: i64, count: i64) {
    let mut last: HashMap<i64, i64> = HashMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for one in got {
        let sequence = one.sequence();
        // Repeats may come; nothing comes before what it follows has come.
        if seen.insert(sequence) {
            let subject = (sequence - 1) % subjects;
            let before = last.insert(subject, sequence).unwrap_or(0);
            assert!(before < sequence, "{sequence} after {before}");
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), (1..=count).collect::<Vec<_>>());
}
