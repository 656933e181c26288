//! The partner API of members and points, over real TLS on a real database, from the outside.

mod benefits;
mod benefits_payers;
mod benefits_rules;
mod contract;
mod conversions;
mod crossings;
mod disputes;
mod figures;
mod import;
mod late;
mod liabilities;
mod lifecycle;
mod links;
mod made_good;
mod memberships;
mod months;
mod movements;
mod others;
mod reconciliations;
mod settled;
mod settlements;

use crate::support::book::{Book, audit};
use crate::support::{TestDatabase, poll, scratch};
use crate::tls::{Answer, Client, Connection, House};
use actix_web::web::{Data, ServiceConfig};
use arc_swap::ArcSwap;
use hanse::book::figures::Counted;
use hanse::book::{self, seal};
use hanse::domain::catalogue::Catalogue;
use hanse::http::server::Limits;
use hanse::http::v1::{self, PagesAt};
use hanse::service::benefits::Vouchers;
use hanse::service::delivery::Webhooks;
use hanse::service::exchange::Exchange;
use hanse::service::expiry::ExpiryRun;
use hanse::service::keys::Keys;
use hanse::service::outbound::Outbound;
use hanse::service::staff::Staffing;
use hanse::signing::sealing::SealingKey;
use hanse::store;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// A third brand, which is a side of nothing.
const BYSTANDER: &str = "
INSERT INTO partners (slug, name_en, name_zh, trade, legal_entity, tax_code, status, hosted, programme_code, programme_name_en,
    programme_name_zh, scale, unit_cost, expiry_months, tiers)
SELECT 'cc', 'cc', 'cc', trade, 'cc Ltd', '91cc', status, hosted, 'CC', 'cc', 'cc', scale, unit_cost, expiry_months, tiers
FROM partners WHERE slug = 'aa';
";

/// A published alliance behind a real server.
pub struct Served {
    pub house: House,
    pub book: book::Handle,
    keys: Arc<Keys>,
    webhooks: Data<Webhooks>,
}

/// The small alliance behind a real server.
pub struct Api {
    served: Served,
    pub aa: Caller,
    pub bb: Caller,
    pub cc: Caller,
}

impl std::ops::Deref for Api {
    type Target = Served;

    fn deref(&self) -> &Served {
        &self.served
    }
}

/// A brand with one kept-alive connection per request.
pub struct Caller {
    client: Client,
}

impl Served {
    pub fn start(name: &str, alliance: TestDatabase, catalogue: Arc<ArcSwap<Catalogue>>) -> Served {
        let database = store::connect(&alliance.url).expect("the database");
        let book = book::Handle::start(&alliance.url, Arc::clone(&catalogue), book::Bounds::default());
        let book = book.expect("the lanes start");
        let folder = scratch(&format!("{name}-keys-{}", std::process::id()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let keys = runtime.block_on(Keys::open(database.clone(), folder.clone())).expect("keys");
        let keys = Arc::new(keys);
        let exchange = Data::new(Exchange {
            database,
            book: book.clone(),
            catalogue,
            keys: Arc::clone(&keys),
            crossings: hanse::service::crossings::Crossings::channel().0,
        });
        let webhooks = Data::new(Webhooks {
            database: exchange.database.clone(),
            keys: Arc::clone(&keys),
            outbound: Arc::new(Outbound::new(folder.clone(), &[], 1)),
            sealing: Arc::new(SealingKey::open(&folder).expect("a key")),
            bell: Arc::default(),
            deadline: Duration::from_secs(1),
        });
        let shared = Data::clone(&webhooks);
        let sealing = Arc::clone(&webhooks.sealing);
        let vouchers = Data::new(Vouchers { database: exchange.database.clone(), sealing });
        let pages_at = Data::new(PagesAt::new(None));
        let staffing = Staffing::new(exchange.database.clone(), Arc::clone(&vouchers.sealing));
        let staffing = Data::new(staffing);
        let (people, shown, at) = (Data::clone(&exchange), Data::clone(&vouchers), Data::clone(&pages_at));
        let sent = Data::clone(&webhooks);
        let pages = move |config: &mut ServiceConfig| {
            let config = config.app_data(Data::clone(&people)).app_data(Data::clone(&shown));
            let config = config.app_data(Data::clone(&sent));
            config.app_data(Data::clone(&staffing)).app_data(Data::clone(&at)).configure(hanse::web::configure);
        };
        let at = Data::clone(&pages_at);
        let api = move |config: &mut ServiceConfig| {
            let config = config.app_data(Data::clone(&exchange)).app_data(Data::clone(&shared));
            config.app_data(Data::clone(&vouchers)).app_data(Data::clone(&at)).configure(v1::configure);
        };
        let limits = Limits { workers: 1, drain: Duration::from_secs(1), ..Limits::default() };
        let house = House::with_pages(alliance, name, limits, api, pages);
        pages_at.listening(house.server.public_address());
        Served { house, book, keys, webhooks }
    }

    pub fn caller(&self, partner: &str) -> Caller {
        Caller { client: self.house.client("partner", partner) }
    }

    pub fn operator_named(&self, name: &str) -> Caller {
        Caller { client: self.house.client("operator", name) }
    }

    /// Moves business time forward, as in a sandbox.
    pub fn advance(&self, interval: &str) {
        use diesel::connection::SimpleConnection;
        let sql = format!(
            "UPDATE alliance SET clock_offset_us = clock_offset_us + (extract(epoch FROM interval '{interval}') * 1000000)::bigint"
        );
        self.house.database.connection().batch_execute(&sql).expect("a sandbox");
    }

    /// Counts everything that has happened.
    pub fn count(&self) {
        let mut conn = self.house.database.connection();
        seal::seal_now(&mut conn).expect("sealed");
        poll("everything counted", Duration::from_secs(10), || {
            (book::figures::count(&mut conn).expect("counted") == Counted::Nothing).then_some(())
        });
        hanse::service::figures::work_out(&mut conn).expect("worked out");
    }

    /// Seals until nothing is left to seal.
    pub fn seal(&self) {
        let mut conn = self.house.database.connection();
        poll("everything sealed", Duration::from_secs(10), || {
            (seal::seal(&mut conn).expect("sealed") == 0).then_some(())
        });
    }
}

impl Api {
    pub fn new(name: &str, change: &str) -> Api {
        let (small, catalogue) = Book::new(&format!("{BYSTANDER}{change}")).into_parts();
        let served = Served::start(name, small, catalogue);
        let (aa, bb, cc) = (served.caller("aa"), served.caller("bb"), served.caller("cc"));
        Api { served, aa, bb, cc }
    }

    pub fn operator(&self) -> Caller {
        self.operator_named("ada")
    }

    /// The keys that sign here, as anybody may read them.
    pub fn jwks(&self) -> Vec<u8> {
        self.keys.jwks().to_string().into_bytes()
    }

    /// Where the pages are.
    pub fn pages(&self) -> std::net::SocketAddr {
        self.served.house.server.public_address()
    }

    pub fn connection(&self) -> diesel::PgConnection {
        self.served.house.database.connection()
    }

    /// Where its database is.
    pub fn url(&self) -> String {
        self.served.house.database.url.clone()
    }

    /// The key of secrets at rest.
    pub fn sealing(&self) -> Arc<SealingKey> {
        Arc::clone(&self.served.webhooks.sealing)
    }

    /// What the plain listener answers: the status and the body.
    pub fn public(&self, path: &str) -> (u16, Vec<u8>) {
        let mut tcp = std::net::TcpStream::connect(self.served.house.server.public_address()).expect("connected");
        write!(tcp, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("written");
        let mut got = Vec::new();
        tcp.read_to_end(&mut got).expect("an answer");
        let end = got.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let status = String::from_utf8_lossy(&got[..end]).split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), got.split_off(end + 4))
    }

    /// Two linked members, `A-1` at `aa` and `B-1` at `bb`, the first with lots of 101 and 136 points.
    pub fn linked(&self) {
        self.aa.register("A-1");
        self.bb.register("B-1");
        self.link("A-1", "B-1", false);
        for (points, last) in [(101, "2027-06-30"), (136, "2027-08-31")] {
            let body = json!({
                "points": points, "kind": "opening", "reason": "opening", "expires_on": last,
                "external_reference": format!("opening-{points}"),
            });
            self.aa.post("/v1/memberships/A-1/credits", &format!("opening-{points}"), &body).status(201);
        }
    }

    /// Links by code, as a member would.
    pub fn link(&self, a: &str, b: &str, pull: bool) -> String {
        let consent = json!({ "version": "1", "purpose": "exchange", "method": "app", "pull": pull });
        let asked = self.aa.post("/v1/links", "", &json!({ "member_ref": a, "to": "bb", "consent": consent }));
        let asked = asked.status(201);
        let body = json!({ "code": asked["code"], "member_ref": b, "consent": { "version": "1" } });
        let link = self.bb.post("/v1/links/accept", "", &body).status(200);
        assert_eq!(link["state"], "active", "{link}");
        asked["link_id"].as_str().expect("an id").to_owned()
    }

    /// What ends vouchers whose time is over.
    pub fn voucher_run(&self) -> ExpiryRun {
        ExpiryRun::of_vouchers(&self.served.house.database.url, self.book.clone()).expect("a run")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.count();
            audit(&self.house.database);
        }
        self.book.close();
    }
}

impl Caller {
    fn connect(&self) -> Connection {
        self.client.connect().expect("a connection")
    }

    pub fn send(&self, method: &str, path: &str, key: &str, body: Option<&Value>) -> Answer {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        if !key.is_empty() {
            head += &format!("idempotency-key: {key}\r\n");
        }
        if !body.is_empty() {
            head += "content-type: application/json\r\n";
        }
        self.connect().raw(format!("{head}\r\n{body}").as_bytes()).expect("an answer")
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", None)
    }

    pub fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.send("POST", path, key, Some(body))
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, "", Some(body))
    }

    pub fn register(&self, member_ref: &str) -> Value {
        let body = json!({ "tier": "basic", "status": "active" });
        self.put(&format!("/v1/memberships/{member_ref}"), &body).status(200)
    }
}

/// Says what came when it is not what was wanted.
pub trait Expect {
    fn status(&self, wanted: u16) -> Value;
    fn refused(&self, status: u16, code: &str) -> Value;
    /// Of an answer that is no JSON.
    fn status_only(&self, wanted: u16);
    fn is_replayed(&self) -> bool;
}

impl Expect for Answer {
    fn status(&self, wanted: u16) -> Value {
        assert_eq!(self.status, wanted, "{}\n{}", self.head, String::from_utf8_lossy(&self.body));
        self.json()
    }

    fn refused(&self, status: u16, code: &str) -> Value {
        let problem = self.status(status);
        assert_eq!(problem["code"], code, "{problem}");
        problem
    }

    fn status_only(&self, wanted: u16) {
        assert_eq!(self.status, wanted, "{}\n{}", self.head, String::from_utf8_lossy(&self.body));
    }

    fn is_replayed(&self) -> bool {
        self.header("idempotency-replayed") == Some("true")
    }
}
