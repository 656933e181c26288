//! The life of a proposed change of the catalogue, and whose approval it needs.

use super::catalogue::Party;
use super::holder::Holder;
use super::ids::Slug;

/// What a proposal changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Names, times to live, the mandate: the operator's own.
    Alliance,
    Partner(Slug),
    /// One direction: agreement, rates, campaigns.
    Pair(Slug, Slug),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Proposed,
    /// Every side that is asked has signed.
    Approved,
    Published,
    /// Taken back, or replaced by a newer proposal for the same subject.
    Withdrawn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Approve,
    Publish,
    Withdraw,
}

impl State {
    pub const ALL: [State; 4] = [State::Proposed, State::Approved, State::Published, State::Withdrawn];

    /// The state after `event`; a repeat of the step that landed is the same state, anything else that cannot be is
    /// `Err` with the state that stands.
    pub fn on(self, event: Event) -> Result<State, State> {
        match (self, event) {
            (State::Proposed | State::Approved, Event::Approve) => Ok(State::Approved),
            (State::Proposed | State::Approved | State::Published, Event::Publish) => Ok(State::Published),
            (State::Proposed | State::Approved | State::Withdrawn, Event::Withdraw) => Ok(State::Withdrawn),
            (State::Published, Event::Approve | Event::Withdraw) => Err(State::Published),
            (State::Withdrawn, Event::Approve | Event::Publish) => Err(State::Withdrawn),
        }
    }

    pub fn text(self) -> &'static str {
        match self {
            State::Proposed => "proposed",
            State::Approved => "approved",
            State::Published => "published",
            State::Withdrawn => "withdrawn",
        }
    }

    pub fn parse(text: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.text() == text)
    }

    pub fn is_open(self) -> bool {
        match self {
            State::Proposed | State::Approved => true,
            State::Published | State::Withdrawn => false,
        }
    }
}

impl Subject {
    /// `alliance`, `partner` or `pair`.
    pub fn kind(&self) -> &'static str {
        match self {
            Subject::Alliance => "alliance",
            Subject::Partner(_) => "partner",
            Subject::Pair(_, _) => "pair",
        }
    }

    /// The partners that must sign; the operator's check is the publication itself.
    pub fn asked(&self) -> Vec<Party> {
        match self {
            Subject::Alliance => vec![],
            Subject::Partner(_) => vec![Party::From],
            Subject::Pair(_, _) => vec![Party::From, Party::To],
        }
    }

    /// Whom `holder` signs for; `None` when the proposal is none of its business.
    pub fn side_of(&self, holder: &Holder) -> Option<Party> {
        match (self, holder) {
            (_, Holder::Operator(_)) => Some(Party::Operator),
            (Subject::Partner(own), Holder::Partner(slug)) if own == slug => Some(Party::From),
            (Subject::Pair(from, _), Holder::Partner(slug)) if from == slug => Some(Party::From),
            (Subject::Pair(_, to), Holder::Partner(slug)) if to == slug => Some(Party::To),
            (Subject::Alliance | Subject::Partner(_) | Subject::Pair(_, _), Holder::Partner(_)) => None,
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::Alliance => write!(f, "alliance"),
            Subject::Partner(slug) => write!(f, "{slug}"),
            Subject::Pair(from, to) => write!(f, "{from} → {to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_repeated_is_no_fault_and_the_end_is_final() {
        for (state, event, after) in [
            (State::Proposed, Event::Approve, Ok(State::Approved)),
            (State::Approved, Event::Approve, Ok(State::Approved)),
            (State::Proposed, Event::Publish, Ok(State::Published)),
            (State::Published, Event::Publish, Ok(State::Published)),
            (State::Published, Event::Withdraw, Err(State::Published)),
            (State::Withdrawn, Event::Publish, Err(State::Withdrawn)),
        ] {
            assert_eq!(state.on(event), after, "{state:?} {event:?}");
        }
    }

    #[test]
    fn each_holder_signs_for_its_own_side_only() {
        let slug = |text: &str| text.parse::<Slug>().expect("a slug");
        let pair = Subject::Pair(slug("lumen"), slug("harvest"));
        assert_eq!(pair.side_of(&Holder::Partner(slug("harvest"))), Some(Party::To));
        assert_eq!(pair.side_of(&Holder::Partner(slug("kettle"))), None);
        assert_eq!(pair.side_of(&Holder::Operator("ada".into())), Some(Party::Operator));
        assert_eq!(Subject::Alliance.side_of(&Holder::Partner(slug("lumen"))), None);
    }
}
