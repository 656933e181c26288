//! Each fault once: what the caller sees, and what became of the points.

use super::endpoint::{Alliance, Caller, Endpoint, Reply, credit, hold, id, step};
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

/// How long a caller of these tests waits for an answer that does not come.
const IMPATIENCE: Duration = Duration::from_millis(700);

struct Scene {
    sim: Endpoint,
    caller: Caller,
}

impl Scene {
    /// One credit of a point to SPR-1 under this fault; `None` when nothing came in time.
    async fn credit(&self, number: u32, fault: &str) -> Option<Reply> {
        self.sim.control(Method::PUT, "/faults", &format!("credit:{fault}")).await;
        let body = credit(number, 1, 1);
        let asked = self.caller.post(&self.sim, "/credits", &body);
        tokio::time::timeout(IMPATIENCE, asked).await.ok()?.ok()
    }

    async fn balance(&self) -> i64 {
        let reply = self.caller.get(&self.sim, "/memberships/SPR-1").await.expect("an answer");
        reply.json["balance"].as_i64().expect("a balance")
    }
}

#[actix_web::test]
async fn each_fault_is_what_it_says_and_the_same_call_again_settles_it() {
    let alliance = Alliance::new("sim-faults");
    let sim = std::thread::scope(|scope| scope.spawn(|| alliance.sim("a", &[])).join().expect("started"));
    let scene = Scene { sim, caller: alliance.caller("alliance") };
    // Fault, status (0 is none), whether the point is there right after.
    let cases = [
        ("timeout_before=x1", 0, false),
        ("timeout_after=x1", 0, true),
        ("twice=x1", 200, true),
        ("out_of_order=x1@0.2", 200, true),
        ("500=x1", 500, false),
        ("503=x1@7", 503, false),
        ("slow_body=x1", 0, true),
        ("endless_body=x1", 0, true),
        ("wrong_signature=x1", 200, true),
        ("wrong_id=x1", 200, true),
        ("wrong_amount=x1", 200, true),
        ("old_answer=x1", 200, true),
        ("duplicate_keys=x1", 200, true),
        ("cut_before=x1", 0, false),
        ("cut_after=x1", 0, true),
        ("clock_skew=x1", 401, false),
        ("late_success=x1@0.3", 500, false),
    ];
    let mut wanted = 10_000;
    for (number, (fault, status, there)) in (1..).zip(cases) {
        let reply = scene.credit(number, fault).await;
        assert_eq!(reply.as_ref().map_or(0, |reply| reply.status), status, "{fault}");
        assert_eq!(scene.balance().await, wanted + i64::from(there), "{fault}");
        if let Some(reply) = reply {
            is_wrong(&alliance, fault, &reply, &id("crd", number));
        }
        // The same again, without a fault: the point is there once.
        let again = scene.caller.post(&scene.sim, "/credits", &credit(number, 1, 1)).await.expect("an answer");
        assert_eq!((again.status, &again.json["points"]), (200, &1.into()), "{fault}");
        wanted += 1;
        assert_eq!(scene.balance().await, wanted, "{fault}");
    }
    // What was told to come late came, and changed nothing more.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(scene.balance().await, wanted);
    let huge = scene.credit(99, "huge_body=x1").await;
    assert!(huge.is_none_or(|reply| reply.bytes.len() > 60 << 20), "64 MiB, if they came in time");
    let totals = scene.sim.control(Method::GET, "/totals", "").await;
    assert_eq!((&totals["adds_up"], &totals["faults"]["late_success"]), (&true.into(), &1.into()), "{totals}");
}

/// What a wrong answer is wrong in.
fn is_wrong(alliance: &Alliance, fault: &str, reply: &Reply, id: &str) {
    let text = String::from_utf8_lossy(&reply.bytes);
    match fault.split('=').next() {
        Some("503") => assert_eq!(reply.headers["retry-after"], "7"),
        Some("wrong_id" | "old_answer") => assert_ne!(reply.json["credit_id"], id),
        Some("wrong_amount") => assert_eq!(reply.json["points"], 2),
        Some("duplicate_keys") => assert_eq!(text.matches("\"points\"").count(), 2),
        Some("wrong_signature") => assert!(!is_signed(alliance, reply)),
        Some("twice" | "out_of_order") => assert!(is_signed(alliance, reply)),
        _ => {}
    }
}

/// Whether the answer carries the partner's own signature.
fn is_signed(alliance: &Alliance, reply: &Reply) -> bool {
    use hanse::signing::jws::SigningKey;
    use hanse::signing::webhook::{Stamp, verify};
    let key = std::fs::read(alliance.file("a/signing.p8")).expect("the partner's key");
    let key = SigningKey::from_pkcs8(&key).expect("a key").public().clone();
    let text = |name: &str| reply.headers[name].to_str().expect("text");
    let (id, timestamp, signature) = (text("webhook-id"), text("webhook-timestamp"), text("webhook-signature"));
    let now = hanse::clock::now().timestamp();
    verify(Stamp { id, timestamp, signature }, &reply.bytes, &[], &[key], now).is_ok()
}

#[actix_web::test]
async fn a_refusal_is_for_good_and_an_absence_ends() {
    let alliance = Alliance::new("sim-refuse");
    let sim = std::thread::scope(|scope| scope.spawn(|| alliance.sim("a", &[])).join().expect("started"));
    let caller = alliance.caller("alliance");
    sim.control(Method::PUT, "/faults", "hold:refuse=x1").await;
    for _ in 0..2 {
        let reply = caller.post(&sim, "/holds", &hold(1, 1, 5)).await.expect("an answer");
        assert_eq!((reply.status, reply.code()), (422, "refused"), "the second without a fault");
    }
    let released = caller.post(&sim, &format!("/holds/{}/release", id("hld", 1)), &step(1)).await.expect("an answer");
    assert_eq!(released.status, 200, "what was refused holds nothing");
    sim.control(Method::PUT, "/faults", "any:down=x1@1").await;
    assert!(caller.get(&sim, "/memberships/SPR-1").await.is_err());
    assert!(caller.get(&sim, "/memberships/SPR-2").await.is_err(), "it is away");
    let back = async {
        loop {
            match caller.get(&sim, "/memberships/SPR-1").await {
                Ok(reply) => return reply,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), back).await.expect("it comes back").status, 200);
    let bad = reqwest::Method::PUT;
    let client = reqwest::Client::builder().tls_backend_preconfigured(alliance.tls(None)).no_proxy().build();
    let asked = client.expect("a client").request(bad, format!("{}/faults", sim.control)).body("credit:nothing=1");
    let told: Value = asked.send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(told["code"], "invalid");
}
