//! A month's end without a person: the statement is fetched, verified, compared with the partner's own ledger, answered
//! with the partner's own list, disputed where it differs, and counter-signed when it holds.

use super::alliance::{self, Alliance};
use super::own::{self, Compared, Sum, Way};
use crate::cli::Error;
use crate::cli::partners::table;
use crate::domain::holder::Holder;
use crate::domain::ids::Slug;
use crate::partner::sim::Sim;
use crate::service::signing_keys;
use crate::service::verify::{self, Input};
use crate::signing::general::{Document, TYP};
use crate::signing::jws::SigningKey;
use serde_json::{Value, json};
use std::io::{Cursor, Write};
use std::path::PathBuf;

/// Proofs of so many conversions are looked at.
const PROVEN: usize = 3;
/// Movements without a line that are asked after.
const LEFT_MAX: usize = 1_000;

/// What is needed to answer a statement.
pub struct Month {
    pub partner: Slug,
    pub signer: SigningKey,
    /// Where the alliance's public keys are, and who issued its certificate.
    pub jwks: String,
    pub ca: PathBuf,
    pub plant: bool,
    pub json: bool,
    /// A copy of each statement and its lines.
    pub folder: PathBuf,
}

/// A statement as it was fetched.
struct Fetched {
    number: i64,
    statement: Vec<u8>,
    lines: Vec<u8>,
    proofs: Vec<(String, Vec<u8>)>,
    jwks: Vec<u8>,
}

impl Month {
    /// Handles one event; again, it does nothing new.
    pub async fn on(&mut self, sim: &Sim, alliance: &Alliance, event: &Value) -> Result<(), Error> {
        let data = &event["data"];
        match event["type"].as_str() {
            Some("statement.published") => self.published(sim, alliance, data).await,
            Some("reconciliation.completed") => self.reconciled(alliance, data).await,
            _ => Ok(()),
        }
    }

    async fn published(&self, sim: &Sim, alliance: &Alliance, data: &Value) -> Result<(), Error> {
        let window = text(data, "window_id")?;
        let fetched = self.fetch(alliance, window).await?;
        let wrong = verified(&fetched, self.signer.public().to_jwk()).await?;
        let mut compared = self.compare(sim, alliance, window, &fetched).await?;
        let found = compared.differences.len();
        let planted = if self.plant { compared.plant() } else { None };
        let path = format!("/v1/settlements/{window}/reconciliations");
        let listed = match compared.rows.is_empty() {
            true => Value::Null,
            false => alliance.post_raw(&path, "application/x-ndjson", compared.list()).await?,
        };
        // Signed is what holds and what this ledger agrees with; a difference is disputed, and looked at by a person.
        let signs = wrong.is_none() && found == 0;
        if signs {
            self.countersign(alliance, window, &fetched.statement).await?;
        }
        for id in &compared.settled {
            let kept = sim.store.see(&settled(id), &fetched.number.to_string()).await;
            kept.map_err(Error::failed)?.map_err(|other| {
                Error::Failed(format!("{id} is in two statements: of windows {other} and {}", fetched.number))
            })?;
        }
        self.tell(&fetched, &compared, wrong.as_deref(), planted.as_deref(), signs, &listed)
    }

    async fn fetch(&self, alliance: &Alliance, window: &str) -> Result<Fetched, Error> {
        let place = format!("/v1/settlements/{window}");
        let statement = alliance.get(&format!("{place}/statement")).await?;
        let lines = alliance.get(&format!("{place}/lines")).await?;
        let mut proofs: Vec<(String, Vec<u8>)> = Vec::new();
        for line in read_lines(&lines)? {
            let Some(conversion) = line["conversion_id"].as_str() else { continue };
            if proofs.len() < PROVEN && proofs.iter().all(|(known, _)| known != conversion) {
                let proof = alliance.get(&format!("{place}/proofs/{conversion}")).await?;
                proofs.push((conversion.to_owned(), proof));
            }
        }
        let number = payload(&statement)?["window"]["number"].as_i64();
        let number = number.ok_or_else(|| Error::Failed("the statement says no window".to_owned()))?;
        let jwks = alliance::keys(Some(&self.ca), &self.jwks).await?.to_string().into_bytes();
        self.keep(number, &[("statement.json", &statement), ("lines.ndjson", &lines), ("jwks.json", &jwks)])?;
        Ok(Fetched { number, statement, lines, proofs, jwks })
    }

    /// What was fetched, for whoever wants to run `hanse verify` on it.
    fn keep(&self, number: i64, files: &[(&str, &Vec<u8>)]) -> Result<(), Error> {
        let folder = self.folder.join(format!("w{number:04}"));
        let written = std::fs::create_dir_all(&folder)
            .and_then(|()| files.iter().try_for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes)));
        written.map_err(|why| Error::Failed(format!("{}: {why}", folder.display())))
    }

    async fn compare(
        &self,
        sim: &Sim,
        alliance: &Alliance,
        window: &str,
        fetched: &Fetched,
    ) -> Result<Compared, Error> {
        let lines = read_lines(&fetched.lines)?;
        let (holds, credits) = (sim.store.holds().map_err(Error::failed)?, sim.store.credits().map_err(Error::failed)?);
        let mut own = Vec::new();
        for movement in own::movements(&holds, &credits) {
            let answered = sim.store.seen(&settled(&movement.id)).map_err(Error::failed)?;
            if answered.is_none_or(|number| number == fetched.number.to_string()) {
                own.push(movement);
            }
        }
        let mut compared = own::compare(self.partner.as_str(), &lines, own).map_err(Error::Failed)?;
        // What has no line may be of the window after this one: the conversion says.
        for movement in std::mem::take(&mut compared.left).into_iter().take(LEFT_MAX) {
            let told = alliance.find(&format!("/v1/conversions/{}", movement.conversion)).await?;
            if told.is_some_and(|told| told["window_id"] == window) && matches!(movement.way, Way::Out | Way::In) {
                compared.missing(&movement);
            }
        }
        Ok(compared)
    }

    /// Registers this partner's key, which is once, and signs.
    async fn countersign(&self, alliance: &Alliance, window: &str, statement: &[u8]) -> Result<(), Error> {
        let key = &self.signer;
        let proof = signing_keys::proof_payload(&Holder::Partner(self.partner.clone()), key.kid());
        let body = json!({ "jwk": key.public().to_jwk(), "proof": key.sign("key-proof+jws", &proof) });
        alliance.post("/v1/signing-keys", &body).await?;
        let document = Document::parse(statement).map_err(Error::failed)?;
        let made = key.sign_detached(TYP, document.payload());
        let body = json!({ "protected": made.protected, "signature": made.signature });
        alliance.post(&format!("/v1/settlements/{window}/signatures"), &body).await.map(drop)
    }

    /// Our list was compared: what differs is disputed.
    async fn reconciled(&self, alliance: &Alliance, data: &Value) -> Result<(), Error> {
        let (window, id) = (text(data, "window_id")?, text(data, "reconciliation_id")?);
        if data["differences"].as_i64() == Some(0) {
            return Ok(());
        }
        let path = format!("/v1/settlements/{window}/reconciliations/{id}/disputes");
        let mut told = alliance.post(&path, &json!({})).await?;
        while told["disputes"]["left"].as_i64().is_some_and(|left| left > 0) {
            told = alliance.post(&path, &json!({})).await?;
        }
        let said = json!({ "disputed": told["disputes"], "window": data["number"], "reconciliation_id": id });
        let (opened, known) = (&told["disputes"]["opened"], &told["disputes"]["known"]);
        let line = format!("window {}: {opened} disputes opened, {known} known 争议", data["number"]);
        self.say(&said, &line)
    }

    fn tell(
        &self,
        fetched: &Fetched,
        compared: &Compared,
        wrong: Option<&str>,
        planted: Option<&str>,
        signed: bool,
        listed: &Value,
    ) -> Result<(), Error> {
        let sum = |sums: &std::collections::BTreeMap<Way, Sum>, way| sums.get(&way).copied().unwrap_or_default();
        let mut both = table(["", "our ledger 我方", "the statement 对账单"]);
        let mut totals = Vec::new();
        for (way, name) in Way::ALL {
            let (ours, theirs) = (sum(&compared.ours, way), sum(&compared.theirs, way));
            let told = |sum: Sum| format!("{} · {} points", sum.count, sum.points);
            both.add_row([name.to_owned(), told(ours), told(theirs)]);
            totals.push(
                json!({ "what": name, "ours": [ours.count, ours.points], "theirs": [theirs.count, theirs.points] }),
            );
        }
        let said = json!({
            "window": fetched.number, "verified": wrong.is_none(), "wrong": wrong, "differences": compared.differences,
            "planted": planted, "countersigned": signed, "reconciliation_id": listed["reconciliation_id"],
            "totals": totals,
        });
        let holds =
            wrong.map_or_else(|| "it verifies 验证通过".to_owned(), |wrong| format!("IT DOES NOT VERIFY: {wrong}"));
        let differences = compared.differences.iter().fold(String::new(), |text, one| text + "\n  " + one);
        let signed = if signed { "counter-signed 已会签" } else { "not counter-signed" };
        let planted = planted.map_or_else(String::new, |id| format!("\nplanted in our list: {id}"));
        let line = format!("Window {}: {holds}, {signed}{differences}{planted}\n{both}", fetched.number);
        self.say(&said, &line)
    }

    fn say(&self, said: &Value, line: &str) -> Result<(), Error> {
        let mut out = std::io::stdout().lock();
        let written = if self.json { writeln!(out, "{said}") } else { writeln!(out, "{line}") };
        written.and_then(|()| out.flush()).map_err(Error::failed)
    }
}

/// Under which a movement is kept that a statement has answered.
fn settled(id: &str) -> String {
    format!("settled {id}")
}

fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str, Error> {
    value[name].as_str().ok_or_else(|| Error::Failed(format!("an event without {name}: {value}")))
}

fn payload(statement: &[u8]) -> Result<Value, Error> {
    let document = Document::parse(statement).map_err(Error::failed)?;
    serde_json::from_slice(document.payload()).map_err(Error::failed)
}

fn read_lines(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(serde_json::from_slice).collect::<Result<_, _>>().map_err(Error::failed)
}

/// As `hanse verify` does it: the first thing that is wrong, or none.
async fn verified(fetched: &Fetched, own: Value) -> Result<Option<String>, Error> {
    let mut files = vec![
        ("statement.json".to_owned(), fetched.statement.clone()),
        ("lines.ndjson".to_owned(), fetched.lines.clone()),
        ("jwks.json".to_owned(), fetched.jwks.clone()),
        ("own.json".to_owned(), own.to_string().into_bytes()),
    ];
    files.extend(fetched.proofs.iter().map(|(conversion, proof)| (format!("{conversion}.json"), proof.clone())));
    let check = move || {
        let input = |(name, bytes)| Input { name, source: Box::new(Cursor::new(bytes)) as _ };
        let report = verify::verify(files.into_iter().map(input).collect(), |_| ()).map_err(Error::failed)?;
        let wrong = report.first_wrong();
        Ok(wrong.map(|(section, finding)| format!("{}: {}: {}", section.subject, finding.code, finding.says)))
    };
    crate::cli::serve::blocking(check).await
}
