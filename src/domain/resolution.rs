//! What is in doubt is resolved by people: by four eyes, in the state it is in. Pure.
//!
//! An operator says what has become of it; when another one says the same of the same state, that is the crossing's next
//! step. What was said of a state that has been left says nothing any more.

use super::crossing::{State, Step};
use super::settlement::adjustment::is_same_person;

/// What a person says has become of the call that has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The ledger has done what the conversion needs of it.
    Completed,
    /// It has not, and never will.
    Released,
}

impl Outcome {
    pub const ALL: [Outcome; 2] = [Outcome::Completed, Outcome::Released];

    pub fn code(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::Released => "released",
        }
    }

    pub fn parse(code: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.code() == code)
    }

    /// The step it is in this state; `None`: it cannot be said there.
    pub fn step(self, state: State) -> Option<Step> {
        match (self, state) {
            (Outcome::Completed, State::Crediting | State::Voiding) => Some(Step::Credited),
            (Outcome::Completed, State::Capturing) => Some(Step::Captured),
            // Whatever the source may hold is asked back, and a credit that was asked for is voided first.
            (Outcome::Released, State::Holding | State::Crediting) => Some(Step::GivenUp),
            (Outcome::Released, State::Voiding) => Some(Step::Voided),
            (Outcome::Released, State::Releasing) => Some(Step::Released),
            // Which lots a source holds is known from its own answer alone, what is credited is posted for good, and what
            // was given up is not credited.
            (Outcome::Completed, State::Holding | State::Releasing)
            | (Outcome::Released, State::Capturing)
            | (_, State::Done | State::Released) => None,
        }
    }
}

/// What can be said in this state, for whoever has said something else.
pub fn choices(state: State) -> &'static str {
    match state {
        State::Holding => "must be released: which points the source holds is known from its own answer alone",
        State::Crediting | State::Voiding => "must be completed or released",
        State::Capturing => {
            "must be completed: the credit is posted for good, and is taken back by an undo or a reversal"
        }
        State::Releasing => "must be released: nothing was credited, and nothing will be",
        State::Done | State::Released => "cannot be said of what is over",
    }
}

/// What one operator has said before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub by: String,
    pub outcome: Outcome,
    /// The state it was said of.
    pub state: State,
    /// Whose proposal it agreed to.
    pub with: Option<String>,
}

/// What comes of one more word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody has said so of this state since somebody said otherwise: it is proposed.
    Proposes,
    /// The same person again: it stays proposed.
    Waits,
    /// Another person's same word: it is carried out.
    Agrees,
    /// Two have said so before, and it was not carried out yet.
    Agreed,
}

/// Judges what `by` says of a crossing in `state` by all that was said before, the oldest first.
pub fn judge(said: &[Said], state: State, by: &str, outcome: Outcome) -> Verdict {
    // An operator who says otherwise takes a proposal's place.
    match standing(said, state).filter(|last| last.outcome == outcome) {
        None => Verdict::Proposes,
        Some(last) if last.with.is_some() => Verdict::Agreed,
        Some(last) if is_same_person(&last.by, by) => Verdict::Waits,
        Some(_) => Verdict::Agrees,
    }
}

/// The last word on this state.
pub fn standing(said: &[Said], state: State) -> Option<&Said> {
    said.iter().rev().find(|one| one.state == state)
}

/// Whether `by` is one of the two who have resolved it so, in whatever state that was: a repeat of a call that was answered.
pub fn has_resolved(said: &[Said], by: &str, outcome: Outcome) -> bool {
    let agreed = said.iter().filter(|one| one.outcome == outcome).filter_map(|one| Some((&one.by, one.with.as_ref()?)));
    agreed.into_iter().any(|(one, other)| is_same_person(one, by) || is_same_person(other, by))
}

#[cfg(test)]
mod tests {
    use super::super::crossing::Next;
    use super::*;

    fn said(by: &str, outcome: Outcome, state: State) -> Said {
        Said { by: by.to_owned(), outcome, state, with: None }
    }

    fn agreed(by: &str, with: &str, outcome: Outcome, state: State) -> Said {
        Said { with: Some(with.to_owned()), ..said(by, outcome, state) }
    }

    #[test]
    fn every_outcome_is_a_step_its_state_takes() {
        for state in State::ALL {
            for outcome in Outcome::ALL {
                let step = outcome.step(state);
                assert_eq!(step.is_none(), !choices(state).contains(outcome.code()), "{state:?} {outcome:?}");
                if let Some(step) = step {
                    assert!(matches!(state.on(step), Next::To(_)), "{state:?} {outcome:?}");
                }
            }
        }
        assert_eq!(Outcome::ALL.map(|outcome| Outcome::parse(outcome.code())), Outcome::ALL.map(Some));
    }

    #[test]
    fn two_persons_same_word_of_the_same_state_resolves() {
        let (done, back, state) = (Outcome::Completed, Outcome::Released, State::Voiding);
        let first = [said("ada", done, state)];
        assert_eq!(judge(&[], state, "ada", done), Verdict::Proposes);
        assert_eq!(judge(&first, state, "ada", done), Verdict::Waits);
        assert_eq!(judge(&first, state, " Ada", done), Verdict::Waits, "capitals and spaces make nobody another");
        assert_eq!(judge(&first, state, "bob", done), Verdict::Agrees);
        assert_eq!(judge(&first, State::Capturing, "bob", done), Verdict::Proposes, "it was said of another state");
        // Who says otherwise takes the proposal's place; then the first may agree with the second, or say it again.
        assert_eq!(judge(&first, state, "bob", back), Verdict::Proposes);
        let both = [said("ada", done, state), said("bob", back, state)];
        assert_eq!(judge(&both, state, "ada", back), Verdict::Agrees);
        assert_eq!(judge(&both, state, "ada", done), Verdict::Proposes);
        assert_eq!(judge(&both, state, "bob", done), Verdict::Proposes);
        assert_eq!(judge(&both, state, "bob", back), Verdict::Waits);
        let agreed = [said("ada", done, state), agreed("bob", "ada", done, state)];
        for anybody in ["ada", "bob", "eve"] {
            assert_eq!(judge(&agreed, state, anybody, done), Verdict::Agreed);
        }
    }

    #[test]
    fn only_the_two_who_resolved_it_may_repeat_it() {
        let done = Outcome::Completed;
        let all = [
            said("ada", done, State::Voiding),
            agreed("bob", "ada", done, State::Voiding),
            said("eve", done, State::Capturing),
        ];
        assert!(has_resolved(&all, "ada", done) && has_resolved(&all, "bob", done));
        assert!(!has_resolved(&all, "eve", done), "a proposal of another state that nobody has shared");
        assert!(!has_resolved(&all, "ada", Outcome::Released));
        assert!(!has_resolved(&all[..1], "ada", done));
    }
}
