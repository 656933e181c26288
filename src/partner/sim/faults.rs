//! What goes wrong on purpose: `call:kind=how often`, decided from a seed so that the nth call of a kind has the same
//! fault every time.

use ring::digest::{SHA256, digest};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What is asked of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    Hold,
    Capture,
    Release,
    Credit,
    Void,
    GetHold,
    GetCredit,
    Membership,
    Webhook,
}

const CALLS: [(&str, Call); 9] = [
    ("hold", Call::Hold),
    ("capture", Call::Capture),
    ("release", Call::Release),
    ("credit", Call::Credit),
    ("void", Call::Void),
    ("get_hold", Call::GetHold),
    ("get_credit", Call::GetCredit),
    ("membership", Call::Membership),
    ("webhook", Call::Webhook),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Does nothing and never answers.
    TimeoutBefore,
    /// Does it and never answers.
    TimeoutAfter,
    /// Does it, asks itself once more, and answers the second answer.
    Twice,
    /// Does it later than it came, so that what comes after overtakes it; then answers.
    OutOfOrder,
    /// 500, nothing done.
    Status500,
    /// 503 with `Retry-After`, nothing done.
    Status503,
    /// Does it and answers at one byte a second.
    SlowBody,
    /// Does it and answers without end.
    EndlessBody,
    /// Does it and answers with 64 MiB.
    HugeBody,
    /// Does it; the answer's signature is another text's.
    WrongSignature,
    /// Does it; the answer is about another id.
    WrongId,
    /// Does it; the answer has one point more.
    WrongAmount,
    /// Does it; the answer is the last one to another request of the call, signature and all.
    OldAnswer,
    /// Does it; the answer says a member twice.
    DuplicateKeys,
    /// Refuses for good: 422.
    Refuse,
    /// Nothing done; the connection is cut.
    CutBefore,
    /// Does it; the connection is cut.
    CutAfter,
    /// Its clock is an hour ahead: signatures look too old.
    ClockSkew,
    /// It is away from this call on, for an hour unless said.
    Down,
    /// Answers 500 at once and does it two seconds later, unless said.
    LateSuccess,
}

const KINDS: [(&str, Kind); 20] = [
    ("timeout_before", Kind::TimeoutBefore),
    ("timeout_after", Kind::TimeoutAfter),
    ("twice", Kind::Twice),
    ("out_of_order", Kind::OutOfOrder),
    ("500", Kind::Status500),
    ("503", Kind::Status503),
    ("slow_body", Kind::SlowBody),
    ("endless_body", Kind::EndlessBody),
    ("huge_body", Kind::HugeBody),
    ("wrong_signature", Kind::WrongSignature),
    ("wrong_id", Kind::WrongId),
    ("wrong_amount", Kind::WrongAmount),
    ("old_answer", Kind::OldAnswer),
    ("duplicate_keys", Kind::DuplicateKeys),
    ("refuse", Kind::Refuse),
    ("cut_before", Kind::CutBefore),
    ("cut_after", Kind::CutAfter),
    ("clock_skew", Kind::ClockSkew),
    ("down", Kind::Down),
    ("late_success", Kind::LateSuccess),
];

impl Kind {
    pub fn all() -> impl Iterator<Item = (&'static str, Kind)> {
        KINDS.into_iter()
    }

    /// How long it takes, for the kinds that take time.
    fn usual(self) -> Duration {
        match self {
            Kind::Down => Duration::from_secs(3_600),
            Kind::LateSuccess => Duration::from_secs(2),
            Kind::OutOfOrder => Duration::from_millis(300),
            Kind::Status503 => Duration::from_secs(1),
            _ => Duration::ZERO,
        }
    }
}

/// One rule: of which calls, what, how often, how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// `None` is any.
    call: Option<Call>,
    pub kind: Kind,
    often: Often,
    pub time: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Often {
    /// Of a million.
    Chance(u32),
    /// The next ones.
    Next(u32),
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no fault: write call:kind=0.05, or call:kind=x3 for the next three, with @SECONDS where it takes time; calls are any, {calls}; kinds are {kinds}", calls = names(CALLS.iter().map(|call| call.0)), kinds = names(KINDS.iter().map(|kind| kind.0)))]
pub struct NotAFault(String);

fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    all.collect::<Vec<_>>().join(", ")
}

/// Rules with commas between.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec(Vec<Rule>);

impl FromStr for Spec {
    type Err = NotAFault;

    fn from_str(text: &str) -> Result<Spec, NotAFault> {
        let rules = text.split(',').map(str::trim).filter(|rule| !rule.is_empty());
        rules.map(|rule| read(rule).ok_or_else(|| NotAFault(rule.to_owned()))).collect::<Result<_, _>>().map(Spec)
    }
}

fn read(text: &str) -> Option<Rule> {
    let (call, rest) = text.split_once(':')?;
    let (kind, rest) = rest.split_once('=')?;
    let (often, time) = rest.split_once('@').map_or((rest, None), |(often, time)| (often, Some(time)));
    let call = match call {
        "any" => None,
        name => Some(CALLS.into_iter().find(|known| known.0 == name)?.1),
    };
    let kind = KINDS.into_iter().find(|known| known.0 == kind)?.1;
    let often = match often.strip_prefix('x') {
        Some(count) => Often::Next(count.parse().ok()?),
        None => Often::Chance(u32::try_from(scaled(often, 6)?).ok().filter(|millionths| *millionths <= 1_000_000)?),
    };
    let time = match time {
        Some(seconds) => Duration::from_millis(u64::try_from(scaled(seconds, 3)?).ok()?),
        None => kind.usual(),
    };
    Some(Rule { call, kind, often, time })
}

/// A decimal with at most this many places, as a whole number of its last one.
fn scaled(text: &str, places: usize) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || part.len() > places || !digits(whole) || !digits(part) {
        return None;
    }
    format!("{whole}{part:0<places$}").parse().ok()
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CALLS.into_iter().find(|known| known.1 == *self).map_or("", |known| known.0))
    }
}

/// The rules in force, and how many calls they have seen.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    calls: BTreeMap<Call, u64>,
    /// How often each kind was met.
    met: BTreeMap<&'static str, u64>,
}

impl Faults {
    pub fn new(seed: u64, spec: Spec) -> Faults {
        Faults { seed, state: Mutex::new(State { rules: spec.0, ..State::default() }) }
    }

    /// Other rules from now on.
    pub fn set(&self, spec: Spec) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).rules = spec.0;
    }

    /// The fault of this call: the first rule that meets it.
    pub fn choose(&self, call: Call) -> Option<Rule> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let number = state.calls.entry(call).or_default();
        *number += 1;
        let number = *number;
        let mut chosen = None;
        for (place, rule) in state.rules.iter_mut().enumerate() {
            if rule.call.is_some_and(|of| of != call) {
                continue;
            }
            let meets = match &mut rule.often {
                Often::Next(0) => false,
                Often::Next(left) => {
                    *left -= 1;
                    true
                }
                Often::Chance(millionths) => chance(self.seed, call, number, place) < *millionths,
            };
            if meets {
                chosen = Some(rule.clone());
                break;
            }
        }
        if let Some(rule) = &chosen {
            let name = KINDS.into_iter().find(|known| known.1 == rule.kind).map_or("", |known| known.0);
            *state.met.entry(name).or_default() += 1;
        }
        chosen
    }

    /// How many calls of each there were, and how many faults of each kind.
    pub fn counts(&self) -> (BTreeMap<String, u64>, BTreeMap<&'static str, u64>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.calls.iter().map(|(call, count)| (call.to_string(), *count)).collect(), state.met.clone())
    }
}

/// 0 to 999,999, the same for the same call.
fn chance(seed: u64, call: Call, number: u64, place: usize) -> u32 {
    let hash = digest(&SHA256, format!("{seed}/{call}/{number}/{place}").as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_ref()[..8]);
    u32::try_from(u64::from_be_bytes(first) % 1_000_000).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_is_read_and_what_is_none_is_said() {
        let spec: Spec = "credit:timeout_after=0.05, hold:500=x2,any:down=1@60".parse().expect("a spec");
        assert_eq!(spec.0.len(), 3);
        assert_eq!((spec.0[0].often, spec.0[0].time), (Often::Chance(50_000), Duration::ZERO));
        assert_eq!((spec.0[1].often, spec.0[1].call), (Often::Next(2), Some(Call::Hold)));
        assert_eq!((spec.0[2].time, spec.0[2].call), (Duration::from_secs(60), None));
        assert_eq!("".parse::<Spec>(), Ok(Spec::default()));
        for wrong in
            ["credit", "credit:500", "kredit:500=1", "credit:600=1", "credit:500=1.1", "credit:500=-1", "hold:500=x"]
        {
            let told = wrong.parse::<Spec>().expect_err(wrong).to_string();
            assert!(told.contains("timeout_after") && told.contains("get_hold"), "{told}");
        }
    }

    #[test]
    fn the_same_seed_chooses_the_same_and_about_as_often_as_told() {
        let play = |seed| {
            let faults = Faults::new(seed, "credit:500=0.1".parse().expect("a spec"));
            (0..2_000).map(|_| faults.choose(Call::Credit).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(play(7), play(7));
        assert_ne!(play(7), play(8));
        let met = play(7).into_iter().filter(|met| *met).count();
        assert!((140..260).contains(&met), "{met} of 2000");
    }

    #[test]
    fn the_next_calls_and_no_more_meet_it() {
        let faults = Faults::new(0, "hold:503=x2,hold:500=x1".parse().expect("a spec"));
        assert_eq!(faults.choose(Call::Credit), None);
        let kinds: Vec<_> = (0..4).map(|_| faults.choose(Call::Hold).map(|rule| rule.kind)).collect();
        assert_eq!(kinds, [Some(Kind::Status503), Some(Kind::Status503), Some(Kind::Status500), None]);
        assert_eq!(faults.counts().1, BTreeMap::from([("500", 1), ("503", 2)]));
    }
}
