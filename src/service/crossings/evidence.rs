//! Signed answers, kept for ever before anything is done upon them.
//!
//! A partner signs an answer as the alliance signs a call: with a registered key of its own, under the id of the call.

use crate::clock;
use crate::domain::holder::Holder;
use crate::domain::ids::Slug;
use crate::partner::dial::Answer;
use crate::service::exchange::Error;
use crate::signing::jwk::PublicKey;
use crate::signing::webhook::{self, Stamp};
use crate::store::crossings::{self, Kept};
use crate::store::{Database, signing_keys};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{RwLock, mpsc, oneshot};
use uuid::Uuid;

/// How long a partner's keys are taken to be what they were.
const KEYS_KEPT: Duration = Duration::from_secs(10);
/// No answer of the contract is larger.
const BODY_MAX: usize = 16 * 1024;
/// Answers written in one transaction.
const TOGETHER_MAX: usize = 512;

/// A partner's, and when they were read.
type Keys = (Instant, Arc<Vec<PublicKey>>);

type Waiting = (Kept, oneshot::Sender<bool>);

pub struct Evidence {
    database: Database,
    keeper: mpsc::Sender<Waiting>,
    keys: RwLock<HashMap<Slug, Keys>>,
}

impl Evidence {
    /// Call it within a runtime: what is to be kept is written by a task of its own, many at a time.
    pub fn start(database: Database) -> Evidence {
        let (keeper, waiting) = mpsc::channel(4 * TOGETHER_MAX);
        tokio::spawn(keep_all(database.clone(), waiting));
        Evidence { database, keeper, keys: RwLock::default() }
    }

    /// Judges an answer's signature. One without is taken as it is, and so is a signature of a partner that has registered
    /// no key; one that no key of its partner has made is no answer.
    pub async fn check(
        &self,
        id: Uuid,
        partner: &Slug,
        (call, asked): (&'static str, &str),
        answer: &Answer,
    ) -> Result<(), String> {
        let Some(signed) = &answer.signed else { return Ok(()) };
        let keys = self.keys_of(partner).await.map_err(|error| error.to_string())?;
        if keys.is_empty() {
            return Ok(());
        }
        let stamp = Stamp { id: &signed.id, timestamp: &signed.timestamp, signature: &signed.signature };
        webhook::verify(stamp, &answer.body, &[], &keys, clock::now().timestamp())
            .map_err(|why| format!("its answer is signed by nobody who may: {why}"))?;
        if signed.id != asked {
            return Err("its signature is of another call's answer".to_owned());
        }
        // What it did is worth keeping; what it would not do may speak of a member.
        if !answer.is_success() || answer.body.len() > BODY_MAX {
            return Ok(());
        }
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        let document = json!({
            "webhook-id": signed.id, "webhook-timestamp": signed.timestamp, "webhook-signature": signed.signature,
            "status": answer.status, "body": body,
        });
        let kept = Kept { crossing_id: id, call, by: partner.to_string(), same: body, document: document.to_string() };
        let (done, told) = oneshot::channel();
        let written = self.keeper.send((kept, done)).await.is_ok() && told.await.unwrap_or(false);
        if written { Ok(()) } else { Err("its signed answer could not be kept".to_owned()) }
    }

    async fn keys_of(&self, partner: &Slug) -> Result<Arc<Vec<PublicKey>>, Error> {
        if let Some((read, known)) = self.keys.read().await.get(partner)
            && read.elapsed() < KEYS_KEPT
        {
            return Ok(known.clone());
        }
        let holder = Holder::Partner(partner.clone());
        let rows = self.database.run(move |conn| Ok::<_, Error>(signing_keys::list(conn, &holder, None, 100)?)).await?;
        let keys = rows.iter().filter_map(|row| PublicKey::from_jwk(&row.jwk).ok()).collect();
        let keys = Arc::new(keys);
        self.keys.write().await.insert(partner.clone(), (clock::instant(), Arc::clone(&keys)));
        Ok(keys)
    }
}

async fn keep_all(database: Database, mut waiting: mpsc::Receiver<Waiting>) {
    let mut together = Vec::new();
    while waiting.recv_many(&mut together, TOGETHER_MAX).await > 0 {
        let (kept, tell): (Vec<Kept>, Vec<_>) = together.drain(..).unzip();
        let written = database.run(move |conn| Ok::<_, Error>(crossings::keep(conn, &kept)?)).await;
        if let Err(error) = &written {
            tracing::warn!(%error, "signed answers cannot be kept now: they will be asked for again");
        }
        for told in tell {
            // Whoever has stopped waiting asks again.
            let _ = told.send(written.is_ok());
        }
    }
}
