//! The states of a crossing: a conversion, undo or reversal of which at least one side is kept by its own brand.
//!
//! Points are held at the source, credited at the target, captured at the source. Whatever does not answer leaves the
//! state as it is; only a definite refusal, or a void that was answered, leads back. From `capturing` only forward.

/// Where a crossing stands, which says what is asked of whom next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The source is asked to hold.
    Holding,
    /// The target is asked to credit.
    Crediting,
    /// Credited and posted: the source is asked to capture.
    Capturing,
    Done,
    /// The credit's outcome is not known and it is no longer wanted: the target is asked never to credit.
    Voiding,
    /// Not credited, and never will be: the source is asked to release.
    Releasing,
    Released,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Held,
    Credited,
    Captured,
    Voided,
    Released,
    /// A definite no to what the state asks for.
    Refused,
    /// No outcome in time: what the state asks for is not wanted any more.
    GivenUp,
}

/// What the step led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    To(State),
    /// This step has landed before, or came too late to matter.
    Stays,
    /// A definite no where there is no way back: somebody has to look.
    Doubt,
    /// The step contradicts what is recorded.
    Never,
}

impl State {
    pub const ALL: [State; 7] = [
        State::Holding,
        State::Crediting,
        State::Capturing,
        State::Done,
        State::Voiding,
        State::Releasing,
        State::Released,
    ];

    /// The number stored; its place in `ALL`.
    pub fn number(self) -> i16 {
        let at = Self::ALL.iter().position(|state| *state == self).unwrap_or_default();
        i16::try_from(at).unwrap_or_default()
    }

    pub fn from_number(number: i16) -> Option<State> {
        usize::try_from(number).ok().and_then(|at| Self::ALL.get(at).copied())
    }

    pub fn code(self) -> &'static str {
        match self {
            State::Holding => "holding",
            State::Crediting => "crediting",
            State::Capturing => "capturing",
            State::Done => "done",
            State::Voiding => "voiding",
            State::Releasing => "releasing",
            State::Released => "released",
        }
    }

    pub fn is_over(self) -> bool {
        matches!(self, State::Done | State::Released)
    }

    /// Whether what it may add to the exposures is still only reserved.
    pub fn is_reserving(self) -> bool {
        matches!(self, State::Holding | State::Crediting | State::Voiding)
    }

    pub fn on(self, step: Step) -> Next {
        match (self, step) {
            (State::Holding, Step::Held) => Next::To(State::Crediting),
            (State::Holding, Step::Refused) => Next::To(State::Released),
            (State::Crediting, Step::Refused) | (State::Holding, Step::GivenUp) | (State::Voiding, Step::Voided) => {
                Next::To(State::Releasing)
            }
            (State::Crediting, Step::GivenUp) => Next::To(State::Voiding),
            // A credit that was thought lost and did arrive stands.
            (State::Crediting | State::Voiding, Step::Credited) => Next::To(State::Capturing),
            (State::Capturing, Step::Captured) => Next::To(State::Done),
            (State::Releasing, Step::Released) => Next::To(State::Released),
            (State::Capturing | State::Releasing | State::Voiding, Step::Refused) => Next::Doubt,
            // Of calls that were given up, repeated, or made by two servers at once.
            (State::Crediting | State::Capturing | State::Done | State::Voiding, Step::Held)
            | (State::Releasing | State::Released, Step::Held | Step::Voided)
            | (State::Capturing | State::Done, Step::Credited)
            | (State::Done, Step::Captured | Step::Refused)
            | (State::Released, Step::Released | Step::Refused)
            | (State::Voiding | State::Capturing | State::Done | State::Releasing | State::Released, Step::GivenUp) => {
                Next::Stays
            }
            (State::Holding, Step::Credited | Step::Captured | Step::Voided | Step::Released)
            | (State::Crediting, Step::Captured | Step::Voided | Step::Released)
            | (State::Capturing | State::Done, Step::Voided | Step::Released)
            | (State::Voiding, Step::Captured | Step::Released)
            | (State::Releasing | State::Released, Step::Credited | Step::Captured) => Next::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 7] =
        [Step::Held, Step::Credited, Step::Captured, Step::Voided, Step::Released, Step::Refused, Step::GivenUp];

    #[test]
    fn numbers_are_for_ever() {
        for (number, state) in (0..).zip(State::ALL) {
            assert_eq!((state.number(), State::from_number(number)), (number, Some(state)));
        }
        assert_eq!(State::from_number(7), None);
    }

    #[test]
    fn nothing_leaves_an_end_and_capturing_only_goes_forward() {
        for step in STEPS {
            for end in [State::Done, State::Released] {
                assert!(!matches!(end.on(step), Next::To(_)), "{end:?} {step:?}");
            }
            assert!(matches!(
                State::Capturing.on(step),
                Next::To(State::Done) | Next::Stays | Next::Doubt | Next::Never
            ));
        }
    }

    #[test]
    fn the_step_that_led_to_a_state_may_be_repeated() {
        for from in State::ALL {
            for step in STEPS.into_iter().filter(|step| *step != Step::Refused) {
                if let Next::To(state) = from.on(step) {
                    assert_eq!(state.on(step), Next::Stays, "{from:?} {step:?}");
                }
            }
        }
    }

    #[test]
    fn no_credit_is_undone_but_by_a_refusal_or_a_void() {
        // Whatever order steps come in, `releasing` is reached from a credit that was asked for only through these.
        for step in STEPS {
            if State::Crediting.on(step) == Next::To(State::Releasing) {
                assert_eq!(step, Step::Refused);
            }
            if State::Voiding.on(step) == Next::To(State::Releasing) {
                assert_eq!(step, Step::Voided);
            }
        }
        assert_eq!(State::Releasing.on(Step::Credited), Next::Never);
    }
}
