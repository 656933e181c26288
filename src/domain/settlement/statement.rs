//! The states of a published statement, by how its participant has answered it. None of them changes what it says, nor
//! what is owed by it.
//!
//! `published → acknowledged | deemed | disputed`; a statement whose last dispute is over is what its signature makes it.

/// Where a statement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Published,
    /// Counter-signed.
    Acknowledged,
    /// Not answered in time, and so accepted.
    Deemed,
    /// Some of its lines are disputed; it stands all the same.
    Disputed,
}

/// What happens to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its participant has counter-signed it.
    Sign,
    /// Its participant disputes a line.
    Dispute,
    /// The last of its disputes is over; `signed` when its participant has counter-signed it.
    Resolve { signed: bool },
    /// The time for answers is over.
    Lapse,
}

impl State {
    pub const ALL: [State; 4] = [State::Published, State::Acknowledged, State::Deemed, State::Disputed];

    pub fn code(self) -> &'static str {
        match self {
            State::Published => "published",
            State::Acknowledged => "acknowledged",
            State::Deemed => "deemed",
            State::Disputed => "disputed",
        }
    }

    pub fn parse(code: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.code() == code)
    }

    /// The state after `step`; a repeat of the step that led here changes nothing. `None`: the step is not for this state.
    pub fn on(self, step: Step) -> Option<State> {
        match (self, step) {
            (State::Published | State::Acknowledged | State::Deemed, Step::Sign) => Some(State::Acknowledged),
            // Signing says that the record is the one received, not that the disputed line is right.
            (State::Disputed, Step::Sign) => Some(State::Disputed),
            (State::Published | State::Acknowledged | State::Disputed, Step::Dispute) => Some(State::Disputed),
            (State::Disputed, Step::Resolve { signed: true }) => Some(State::Acknowledged),
            (State::Disputed, Step::Resolve { signed: false }) => Some(State::Published),
            (State::Published | State::Deemed, Step::Lapse) => Some(State::Deemed),
            (State::Deemed, Step::Dispute)
            | (State::Acknowledged | State::Disputed, Step::Lapse)
            | (State::Published | State::Acknowledged | State::Deemed, Step::Resolve { .. }) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_stays_through_a_dispute() {
        let disputed = State::Published.on(Step::Sign).and_then(|state| state.on(Step::Dispute));
        assert_eq!(disputed, Some(State::Disputed));
        assert_eq!(State::Disputed.on(Step::Sign), Some(State::Disputed));
        assert_eq!(State::Disputed.on(Step::Resolve { signed: true }), Some(State::Acknowledged));
        assert_eq!(State::Disputed.on(Step::Resolve { signed: false }), Some(State::Published));
    }

    #[test]
    fn only_what_nobody_has_answered_lapses_and_may_be_signed_even_then() {
        assert_eq!(State::ALL.map(|state| state.on(Step::Lapse).is_some()), [true, false, true, false]);
        assert_eq!(State::Deemed.on(Step::Sign), Some(State::Acknowledged));
        assert_eq!(State::Deemed.on(Step::Dispute), None);
    }

    #[test]
    fn codes_are_read_as_they_are_written() {
        assert_eq!(State::ALL.map(|state| State::parse(state.code())), State::ALL.map(Some));
        assert_eq!(State::parse("PUBLISHED"), None);
    }
}
