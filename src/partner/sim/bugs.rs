//! Contracts broken on purpose, so that whoever checks endpoints can be checked.

use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A call made again is done again.
    ForgetIds,
    /// Another request under a known id is answered as the first was.
    AnyBody,
    /// What was released or voided before it came is taken up when it comes.
    NoTombstones,
    /// A hold that was never made can be captured.
    CapturesNothing,
    /// The lots of a hold do not add up to its points.
    WrongLots,
    /// A definite refusal is answered with 500.
    Refuses500,
    /// No signature is looked at.
    BelievesAll,
    /// Of a signature everything is checked but its time.
    OldTimes,
    /// An event that came before is answered with an error.
    EventsTwice,
    /// Whatever is asked after by GET is not found.
    NothingFound,
}

const BUGS: [(&str, Bug); 10] = [
    ("forget_ids", Bug::ForgetIds),
    ("any_body", Bug::AnyBody),
    ("no_tombstones", Bug::NoTombstones),
    ("captures_nothing", Bug::CapturesNothing),
    ("wrong_lots", Bug::WrongLots),
    ("refuses_500", Bug::Refuses500),
    ("believes_all", Bug::BelievesAll),
    ("old_times", Bug::OldTimes),
    ("events_twice", Bug::EventsTwice),
    ("nothing_found", Bug::NothingFound),
];

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no bug known here: {all}", all = BUGS.map(|known| known.0).join(", "))]
pub struct NotABug(String);

impl FromStr for Bug {
    type Err = NotABug;

    fn from_str(text: &str) -> Result<Bug, NotABug> {
        let found = BUGS.into_iter().find(|known| known.0 == text);
        found.map(|known| known.1).ok_or_else(|| NotABug(text.to_owned()))
    }
}

impl Bug {
    pub fn all() -> impl Iterator<Item = (&'static str, Bug)> {
        BUGS.into_iter()
    }
}

/// Those that a simulated partner has.
#[derive(Clone, Debug, Default)]
pub struct Bugs(pub Vec<Bug>);

impl Bugs {
    pub fn has(&self, bug: Bug) -> bool {
        self.0.contains(&bug)
    }
}
