//! One call to a partner's ledger, and what its answer comes to.

use super::ask::{self, News, Question};
use super::evidence::Evidence;
use super::health::Health;
use super::names::{Known, Names};
use crate::book::command::{Code, CrossingRow};
use crate::clock;
use crate::domain::crossing::{State, Step};
use crate::domain::ids::Slug;
use crate::partner::dial::{self, Answer, Call};
use crate::service::exchange::{Error, Exchange};
use crate::service::outbound::Outbound;
use crate::store::crossings;
use hyper::body::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::RwLock;
use uuid::Uuid;

/// How long an endpoint's address is taken to be what it was.
const ADDRESSES_KEPT: Duration = Duration::from_secs(5);
/// Refusals of what only goes forward after which somebody has to look: some four seconds of them.
const REFUSALS: u32 = 4;
/// Between two beats.
const BEAT_MS: u64 = 20;

/// Of all endpoints, and when they were read.
type Addresses = (Instant, Arc<HashMap<Slug, String>>);

pub struct Calls {
    exchange: Exchange,
    outbound: Arc<Outbound>,
    /// Of one call, its answer included.
    deadline: Duration,
    evidence: Evidence,
    names: Names,
    pub health: Health,
    addresses: RwLock<Option<Addresses>>,
    began: Instant,
}

/// What is asked for.
pub struct Asking<'a> {
    pub row: &'a CrossingRow,
    /// Since it came to its state.
    pub attempts: u32,
    /// Read once for a crossing.
    pub names: &'a mut Option<Known>,
    /// Many are under way: answers are recorded on the beat, so that one transaction serves all that came meanwhile.
    pub in_step: bool,
}

pub enum Asked {
    News(News),
    Later(Option<Duration>, String),
}

impl Calls {
    /// Call it within a runtime.
    pub fn new(exchange: Exchange, outbound: Arc<Outbound>, deadline: Duration, health: Health) -> Calls {
        Calls {
            evidence: Evidence::start(exchange.database.clone()),
            names: Names::start(exchange.database.clone()),
            exchange,
            outbound,
            deadline,
            health,
            addresses: RwLock::default(),
            began: clock::instant(),
        }
    }

    /// Looks what has become of an earlier call, where there was one, then makes it again.
    pub async fn ask(&self, asking: Asking<'_>, partner: &Slug) -> Result<Asked, Error> {
        let Asking { row, attempts, names, in_step } = asking;
        let Some(endpoint) = self.address(partner).await? else {
            return Ok(Asked::Later(None, "it has no endpoint".to_owned()));
        };
        let reference = match row.state {
            State::Holding | State::Crediting => self.reference(row, names, partner).await?,
            _ => String::new(),
        };
        if attempts > 0
            && row.state != State::Voiding
            && let Some(look) = ask::look(row)
            && let Ok(answer) = self.send(row, partner, (&endpoint, in_step), look).await
            && let Some(news) = ask::seen(row, &answer)
        {
            return Ok(Asked::News(news));
        }
        let Some(question) = ask::question(row, &reference) else {
            return Ok(Asked::Later(None, "nothing is due".to_owned()));
        };
        let answer = match self.send(row, partner, (&endpoint, in_step), question).await {
            Ok(answer) => answer,
            Err(note) => return Ok(Asked::Later(None, note)),
        };
        match ask::news(row, &answer) {
            // A void that is not granted: perhaps the points did arrive.
            News::Unknown(_) if row.state == State::Voiding && matches!(answer.status, 200..=299 | 422) => {
                self.look_again(row, partner, (&endpoint, in_step)).await
            }
            // The first of several may be held all the same; that it is released does no harm.
            News::Step { step: Step::Refused, lots, cause } if attempts > 0 && is_doubtful_no(row, &cause) => {
                Ok(Asked::News(News::Step { step: Step::GivenUp, lots, cause }))
            }
            // From here it only goes forward: a slip is over the next time, and nobody needs to look at it.
            News::Step { step: Step::Refused, cause, .. } if attempts < REFUSALS && only_forward(row.state) => {
                Ok(Asked::Later(answer.retry_after, refused(cause.as_deref())))
            }
            News::Unknown(note) => Ok(Asked::Later(answer.retry_after, note)),
            news => Ok(Asked::News(news)),
        }
    }

    async fn look_again(&self, row: &CrossingRow, partner: &Slug, endpoint: (&str, bool)) -> Result<Asked, Error> {
        if let Some(look) = ask::look(row)
            && let Ok(answer) = self.send(row, partner, endpoint, look).await
            && let Some(news) = ask::seen(row, &answer)
        {
            return Ok(Asked::News(news));
        }
        Ok(Asked::Later(None, "it does not void the credit".to_owned()))
    }

    /// The partner's answer; `Err`: why there is none, or none to be believed.
    async fn send(
        &self,
        row: &CrossingRow,
        partner: &Slug,
        (endpoint, in_step): (&str, bool),
        question: Question,
    ) -> Result<Answer, String> {
        let (call, asked) = (call_name(row.state), question.id.clone());
        let body = Bytes::from(question.body);
        let signed = self.exchange.keys.webhook_headers(&question.id, &body, &[]);
        let mut headers = signed.map_err(|error| error.to_string())?;
        // Another for each call of a crossing, the same however often it is made.
        let (name, value) =
            dial::idempotency_key(Uuid::from_u128(row.id.as_u128() ^ u128::from(question_no(row.state))));
        headers.insert(name, value);
        let (name, value) = dial::traceparent(row.id, Uuid::new_v4());
        headers.insert(name, value);
        let url = format!("{}{}", endpoint.trim_end_matches('/'), question.path);
        let began = clock::instant();
        let dialer = self.outbound.dialer(partner).map_err(|error| error.to_string())?;
        let sent = dialer.send(Call { method: question.method, url, headers, body, deadline: self.deadline }).await;
        let outcome = match &sent {
            Ok(answer) if answer.status < 500 => "answered",
            Ok(_) => "failed",
            Err(failure) => failure.cause.code(),
        };
        let labels = [("partner", partner.to_string()), ("call", call.to_owned()), ("outcome", outcome.to_owned())];
        metrics::histogram!("hanse_endpoint_call_seconds", &labels).record(began.elapsed());
        match sent {
            Ok(answer) if answer.status < 500 => {
                self.health.answered(partner);
                if in_step {
                    self.beat().await;
                }
                self.evidence.check(row.id, partner, (call, &asked), &answer).await.map(|()| answer)
            }
            Ok(answer) => {
                self.health.failed(partner, clock::instant());
                Ok(answer)
            }
            Err(failure) => {
                self.health.failed(partner, clock::instant());
                Err(failure.to_string())
            }
        }
    }

    /// Until the next one: what has been answered meanwhile is recorded in one transaction.
    async fn beat(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(BEAT_MS - since % BEAT_MS)).await;
    }

    async fn address(&self, partner: &Slug) -> Result<Option<String>, Error> {
        if let Some((read, known)) = &*self.addresses.read().await
            && read.elapsed() < ADDRESSES_KEPT
        {
            return Ok(known.get(partner).cloned());
        }
        let known = self.exchange.database.run(|conn| Ok::<_, Error>(crossings::endpoints(conn)?)).await?;
        let known = Arc::new(known);
        *self.addresses.write().await = Some((clock::instant(), known.clone()));
        Ok(known.get(partner).cloned())
    }

    /// By which the partner that is asked knows its member.
    async fn reference(&self, row: &CrossingRow, names: &mut Option<Known>, partner: &Slug) -> Result<String, Error> {
        let known = match names {
            Some(known) => known,
            None => names.insert(self.names.of([row.from_account, row.to_account]).await?),
        };
        let account = if *partner == row.terms.from { row.from_account } else { row.to_account };
        known.get(&account).cloned().ok_or(Error::Broken("a member was forgotten while its points were on their way"))
    }
}

/// Whether a refusal to hold may be of a repetition alone. Points that are spent are spent.
fn is_doubtful_no(row: &CrossingRow, cause: &Option<String>) -> bool {
    row.state == State::Holding && cause.as_deref() != Some(Code::PointsSpent.text())
}

fn only_forward(state: State) -> bool {
    matches!(state, State::Capturing | State::Releasing)
}

/// What is noted of a refusal that changes nothing.
pub(super) fn refused(cause: Option<&str>) -> String {
    format!("refused: {}", cause.unwrap_or("no code"))
}

fn call_name(state: State) -> &'static str {
    match state {
        State::Holding => "hold",
        State::Crediting => "credit",
        State::Capturing | State::Done => "capture",
        State::Voiding => "void",
        State::Releasing | State::Released => "release",
    }
}

fn question_no(state: State) -> u8 {
    u8::try_from(state.number() + 1).unwrap_or_default()
}
