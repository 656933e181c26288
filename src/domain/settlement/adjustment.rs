//! Adjustments: what one person asks for and another approves. Pure.

use crate::domain::money::Millionths;

/// The largest amount, either way: a hundred thousand million. Some ninety of them still add up.
const AMOUNT_MAX: u64 = 100_000_000_000_000_000;

/// Whether an adjustment can be of this amount.
pub fn is_within(amount: Millionths) -> bool {
    amount.get().unsigned_abs() <= AMOUNT_MAX
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Asked,
    /// Posted in the window open then.
    Approved,
    Refused,
}

/// What another person does about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Approve,
    Refuse,
}

impl State {
    pub const ALL: [State; 3] = [State::Asked, State::Approved, State::Refused];

    pub fn code(self) -> &'static str {
        match self {
            State::Asked => "asked",
            State::Approved => "approved",
            State::Refused => "refused",
        }
    }

    pub fn parse(code: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.code() == code)
    }

    /// The state after `step`; a repeat of the step that led here changes nothing. `None`: the step is not for this state.
    pub fn on(self, step: Step) -> Option<State> {
        match (self, step) {
            (State::Asked | State::Approved, Step::Approve) => Some(State::Approved),
            (State::Asked | State::Refused, Step::Refuse) => Some(State::Refused),
            (State::Refused, Step::Approve) | (State::Approved, Step::Refuse) => None,
        }
    }
}

/// Whether a text can be somebody's name: 1 to 64 characters on one line, without spaces around.
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.chars().count()) && text.trim() == text && !text.chars().any(char::is_control)
}

/// Whether two names are one person's: capitals and spaces make nobody another.
pub fn is_same_person(one: &str, other: &str) -> bool {
    let plain = |name: &str| name.split_whitespace().collect::<String>().to_lowercase();
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_settled_once() {
        assert_eq!(State::Asked.on(Step::Approve), Some(State::Approved));
        assert_eq!(State::Approved.on(Step::Approve), Some(State::Approved));
        assert_eq!(State::Approved.on(Step::Refuse), None);
        assert_eq!(State::Refused.on(Step::Approve), None);
        assert_eq!(State::ALL.map(|state| State::parse(state.code())), State::ALL.map(Some));
    }

    #[test]
    fn capitals_and_spaces_make_nobody_another() {
        assert!(is_same_person("ada", " Ada ") && is_same_person("Ada Chen", "ada  chen"));
        assert!(!is_same_person("ada", "bob"));
        assert!(is_name("王伟") && !is_name(" ada") && !is_name("") && !is_name("a\nb") && !is_name(&"a".repeat(65)));
    }

    #[test]
    fn amounts_have_a_bound_either_way() {
        let most = i64::try_from(AMOUNT_MAX).expect("in range");
        assert!(is_within(Millionths::new(most)) && is_within(Millionths::new(-most)));
        assert!(!is_within(Millionths::new(most + 1)) && !is_within(Millionths::new(i64::MIN)));
    }
}
