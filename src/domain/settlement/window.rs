//! The states of a settlement window, from open to published.
//!
//! `open → closing → closed → netted → signed → published`; a check that fails makes it `blocked`, from where it is
//! closed anew once the cause is mended. Nothing leads back from `signed`. A published one is called settled once all that is
//! owed for it is paid.

/// Where a window stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Takes every posting.
    Open,
    /// Takes no more; what it has is being numbered.
    Closing,
    /// All its postings are told; lines are being written.
    Closed,
    /// Lines, nets and sums are there and agree with the exposures.
    Netted,
    /// Something differs: nothing is signed.
    Blocked,
    /// Its statements are signed and in the log.
    Signed,
    /// Partners have been told.
    Published,
}

/// What happens to a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The fence was taken and the next window opened.
    Close,
    /// Every batch has its place in the feed.
    Sealed,
    Conserved,
    Differs,
    /// Somebody has it tried again.
    Retry,
    Sign,
    Publish,
}

impl State {
    pub const ALL: [State; 7] =
        [State::Open, State::Closing, State::Closed, State::Netted, State::Blocked, State::Signed, State::Published];

    pub fn code(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Closing => "closing",
            State::Closed => "closed",
            State::Netted => "netted",
            State::Blocked => "blocked",
            State::Signed => "signed",
            State::Published => "published",
        }
    }

    pub fn parse(code: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.code() == code)
    }

    /// The state after `step`; a repeat of the step that led here changes nothing. `None`: the step is not for this state.
    pub fn on(self, step: Step) -> Option<State> {
        match (self, step) {
            (State::Open | State::Closing, Step::Close) => Some(State::Closing),
            (State::Closing | State::Closed, Step::Sealed) => Some(State::Closed),
            (State::Closed | State::Netted, Step::Conserved) => Some(State::Netted),
            (State::Closed | State::Netted | State::Blocked, Step::Differs) => Some(State::Blocked),
            (State::Blocked | State::Closing, Step::Retry) => Some(State::Closing),
            (State::Netted | State::Signed, Step::Sign) => Some(State::Signed),
            (State::Signed | State::Published, Step::Publish) => Some(State::Published),
            (
                State::Open
                | State::Closing
                | State::Closed
                | State::Netted
                | State::Blocked
                | State::Signed
                | State::Published,
                Step::Close | Step::Sealed | Step::Conserved | Step::Differs | Step::Retry | Step::Sign | Step::Publish,
            ) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_goes_one_way_and_repeats_harm_nothing() {
        let way = [Step::Close, Step::Sealed, Step::Conserved, Step::Sign, Step::Publish];
        let mut state = State::Open;
        for step in way {
            state = state.on(step).expect("the next step");
            assert_eq!(state.on(step), Some(state), "{step:?} again");
        }
        assert_eq!(state, State::Published);
        for step in [Step::Close, Step::Sealed, Step::Differs, Step::Retry, Step::Sign] {
            assert_eq!(State::Published.on(step), None, "{step:?}");
        }
        assert_eq!(State::Closed.on(Step::Differs), Some(State::Blocked));
        assert_eq!(State::Netted.on(Step::Differs), Some(State::Blocked), "up to its signing");
        assert_eq!(State::Signed.on(Step::Differs), None);
        assert_eq!(State::Blocked.on(Step::Sign), None);
        assert_eq!(State::Blocked.on(Step::Retry), Some(State::Closing));
        assert!(State::ALL.iter().all(|state| State::parse(state.code()) == Some(*state)));
    }
}
