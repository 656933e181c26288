//! The acceptance story: two brands, their members and a year's rules, and two brands more that keep their own ledgers,
//! played through the partner API as the brands themselves would, and judged step by step.
//!
//! Members are new at every play, so the story can be told again on the same database, whatever limits of the day were
//! used before.

mod board;
mod files;
mod first;
mod later;
mod ledgers;
mod month;

pub use board::{Board, Chapter, Row, compact};

use super::client::{Client, Error as ClientError, Reply};
use crate::cli::sim::control::Control;
use crate::domain::expiry::Expiry;
use crate::domain::ids::{ConversionId, Slug};
use crate::service::clock;
use crate::service::keys::Keys;
use crate::store::Database;
use board::Expect;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use uuid::Uuid;

const LUMEN: &str = "Lumen 流明";
const HARVEST: &str = "Harvest 丰禾";
const SPROUT: &str = "Sprout 小芽";
const NEST: &str = "Nest 安巢";
const CLOCK: &str = "Clock 时钟";
const FINANCE: &str = "Finance 财务";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the sandbox clock does not move: {0}")]
    Clock(#[from] clock::Error),
    #[error("the database does not answer: {0}")]
    Database(#[from] crate::store::Error),
    #[error("the settlement does not go on: {0}")]
    Settlement(#[from] crate::service::settlement::Error),
    #[error("a statement is no document of ours: {0}")]
    Document(crate::signing::general::Refused),
    #[error("a partner's own ledger does not answer: {0}")]
    Ledger(crate::cli::Error),
    #[error("a partner that should keep its own ledger does not run")]
    NoLedger,
    #[error("a signing key cannot be made")]
    Key,
    #[error("the files cannot be written: {0}")]
    Files(crate::cli::Error),
    #[error("the files of an earlier play cannot be removed: {0}")]
    Empty(std::io::Error),
    #[error("a file of the month: {0}")]
    Open(std::io::Error),
    #[error("a file cannot be verified: {0}")]
    Verify(crate::service::verify::Unreadable),
}

/// Where the story is played.
pub struct Place {
    /// `https://…` of the partner API.
    pub api: String,
    /// Folder with `ca.crt` and the brands' certificates.
    pub pki: PathBuf,
    /// For the sandbox clock, which only its operator moves.
    pub database: Database,
    pub zone: Tz,
    /// For the public halves that statements verify with.
    pub keys: Arc<Keys>,
    /// Where the month's files are left.
    pub folder: PathBuf,
    /// The owners' sides of the brands that keep their own ledgers.
    pub controls: BTreeMap<Slug, Control>,
}

/// Plays the whole story. A step that goes wrong is a row that does not hold; what cannot go on without it is left out.
pub async fn play(place: &Place) -> Result<Board, Error> {
    let run = Uuid::new_v4().simple().to_string();
    let mut scene = Scene {
        lumen: Client::open(&place.api, &place.pki, "lumen")?,
        harvest: Client::open(&place.api, &place.pki, "harvest")?,
        sprout: Client::open(&place.api, &place.pki, "sprout")?,
        nest: Client::open(&place.api, &place.pki, "nest")?,
        controls: place.controls.clone(),
        database: place.database.clone(),
        zone: place.zone,
        keys: place.keys.clone(),
        folder: place.folder.clone(),
        month: Vec::new(),
        run: run[..8].to_owned(),
        board: Board::default(),
    };
    scene.keep_clear_of_midnight().await?;
    let told = scene.tell().await;
    match told {
        Ok(()) | Err(Broken::Missing) => Ok(scene.board),
        Err(Broken::Failed(error)) => Err(error),
    }
}

/// Why the story stops.
#[derive(Debug)]
enum Broken {
    /// An answer lacks what the next step needs; the board says which.
    Missing,
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Broken {
    fn from(cause: E) -> Broken {
        Broken::Failed(cause.into())
    }
}

/// A member of both brands, by the reference each knows it by.
struct Member {
    lumen: String,
    harvest: String,
}

struct Scene {
    lumen: Client,
    harvest: Client,
    sprout: Client,
    nest: Client,
    controls: BTreeMap<Slug, Control>,
    database: Database,
    zone: Tz,
    keys: Arc<Keys>,
    folder: PathBuf,
    /// The conversions of the month that closes.
    month: Vec<ConversionId>,
    /// Part of every reference and key of this play.
    run: String,
    board: Board,
}

impl Scene {
    async fn tell(&mut self) -> Result<(), Broken> {
        let ends = self.ends().await?;
        let member = self.member("1");
        self.two_lots(&member, &ends).await?;
        let first = self.a_price_kept(&member, &ends).await?;
        self.one_effect(&member, &first).await?;
        self.undo(&member, &first, &ends).await?;
        self.part_of_it_back(&member).await?;
        self.top_tier().await?;
        self.a_purchase_comes_back().await?;
        self.time_passes(&member, &ends).await?;
        self.two_ledgers().await?;
        self.a_month_closes().await
    }

    fn member(&self, number: &str) -> Member {
        Member { lumen: format!("S-{}-L{number}", self.run), harvest: format!("S-{}-H{number}", self.run) }
    }

    /// A key or reference of this play.
    fn named(&self, name: &str) -> String {
        format!("story-{}-{name}", self.run)
    }

    async fn now(&self) -> Result<DateTime<Utc>, Error> {
        self.database.run(|conn| Ok::<_, Error>(clock::now(conn)?)).await
    }

    async fn advance(&self, by: TimeDelta) -> Result<DateTime<Utc>, Error> {
        self.database.run(move |conn| Ok::<_, Error>(clock::advance(conn, by)?)).await
    }

    fn day(&self, at: DateTime<Utc>) -> NaiveDate {
        at.with_timezone(&self.zone).date_naive()
    }

    /// Limits of the day would start anew in the middle of the story.
    async fn keep_clear_of_midnight(&self) -> Result<(), Error> {
        let now = self.now().await?.with_timezone(&self.zone).time();
        if now >= NaiveTime::from_hms_opt(23, 50, 0).unwrap_or_default() {
            self.advance(TimeDelta::seconds(86_460 - i64::from(now.num_seconds_from_midnight()))).await?;
        }
        Ok(())
    }

    /// The ends of the next month and of the one after: both before Harvest's own rule of twelve months.
    async fn ends(&self) -> Result<[NaiveDate; 2], Error> {
        let today = self.day(self.now().await?);
        Ok([1, 2].map(|months| match Expiry::months_after(today, months) {
            Expiry::On(day) => day,
            Expiry::Never => today,
        }))
    }

    /// Registers a member at both brands and links the two, without a word on the board unless it fails.
    async fn join(&mut self, member: &Member, tier: &str) -> Result<(), Broken> {
        let (lumen, harvest) = (self.lumen.clone(), self.harvest.clone());
        let told = |tier: &str| json!({"tier": tier, "status": "active"});
        let reply = lumen.put(&of(&member.lumen, ""), &told(tier)).await?;
        self.must(LUMEN, "registers a member", &reply)?;
        let reply = harvest.put(&of(&member.harvest, ""), &told("l1")).await?;
        self.must(HARVEST, "registers a member", &reply)?;
        let asked = json!({"member_ref": member.lumen, "to": "harvest", "consent": consent()});
        let reply = lumen.post("/v1/links", &asked).await?;
        self.must(LUMEN, "asks for a link", &reply)?;
        let code = self.text(&reply, "/code")?;
        let accepted = json!({"code": code, "member_ref": member.harvest, "consent": consent()});
        let reply = harvest.post("/v1/links/accept", &accepted).await?;
        self.must(HARVEST, "accepts the link", &reply)
    }

    /// Goes on only after a 2xx; anything else is a row that does not hold.
    fn must(&mut self, who: &'static str, asked: &str, reply: &Reply) -> Result<(), Broken> {
        if reply.is_done() {
            return Ok(());
        }
        let (expected, got) = ("2xx".to_owned(), reply.summary());
        self.board.put(Row { who, asked: asked.to_owned(), expected, got, holds: false });
        Err(Broken::Missing)
    }

    /// What a later step needs of an answer.
    fn text(&mut self, reply: &Reply, pointer: &str) -> Result<String, Broken> {
        match reply.text(pointer) {
            Some(text) => Ok(text.to_owned()),
            None => {
                let (asked, expected) = (format!("needs {pointer} to go on"), "a text".to_owned());
                self.board.put(Row { who: "", asked, expected, got: "nothing there".to_owned(), holds: false });
                Err(Broken::Missing)
            }
        }
    }

    /// Credits a Lumen member; `expires` by Lumen's own rule unless given.
    async fn earn(&self, member: &Member, points: i64, name: &str, expires: Option<NaiveDate>) -> Result<Reply, Error> {
        let mut body = json!({"points": points, "reason": "purchase 购物", "external_reference": self.named(name)});
        if let Some(day) = expires {
            body["expires_on"] = json!(day.to_string());
        }
        Ok(self.lumen.post_once(&of(&member.lumen, "/credits"), &self.named(name), &body).await?)
    }

    /// Quotes and converts in one call, Lumen to Harvest.
    async fn convert(&self, member: &Member, points: i64, name: &str) -> Result<Reply, Error> {
        let body = json!({
            "member_ref": member.lumen, "to": "harvest", "points": points, "external_reference": self.named(name),
        });
        Ok(self.lumen.post_once("/v1/conversions", &self.named(name), &body).await?)
    }

    /// Both memberships as their brands see them now.
    async fn memberships(&self, member: &Member) -> Result<[Reply; 2], Error> {
        Ok([self.lumen.get(&of(&member.lumen, "")).await?, self.harvest.get(&of(&member.harvest, "")).await?])
    }

    /// Judges what each brand holds of a member.
    async fn judge_balances(&mut self, member: &Member, lumen: &Expect, harvest: &Expect) -> Result<(), Error> {
        let [at_lumen, at_harvest] = self.memberships(member).await?;
        self.board.judge(LUMEN, "what the member holds here", lumen, &at_lumen);
        self.board.judge(HARVEST, "what the member holds here", harvest, &at_harvest);
        Ok(())
    }
}

/// The address of a membership, or of something below it.
fn of(member_ref: &str, below: &str) -> String {
    format!("/v1/memberships/{member_ref}{below}")
}

fn consent() -> Value {
    json!({"version": "2026-01", "purpose": "exchange of points 积分转换", "method": "demo"})
}

/// What a membership holds, lot by lot.
fn holding(balance: i64, lots: &[(i64, String)]) -> Expect {
    Expect::done(200).is("balance", "/balance", balance).dated("/lots", lots)
}
