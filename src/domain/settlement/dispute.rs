//! A dispute: what a participant says is wrong with a line, or missing, from open to decided. Pure.
//!
//! Statement and obligation stand and are paid first. What is decided is an adjustment in the window open then, in the
//! direction of the line it corrects, so that it moves the same exposure.

use super::{Participant, adjustment};
use crate::domain::money::Millionths;
use chrono::NaiveDate;

/// What is said to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// There is no line and should be one.
    Missing,
    /// The line is there twice over: this one should not be.
    Duplicate,
    /// Another amount.
    Amount,
    /// Another rate, and so other points.
    Rate,
    /// The member was not entitled to it.
    Eligibility,
    /// It was another member, or none of ours.
    Identity,
}

impl Kind {
    pub const ALL: [Kind; 6] =
        [Kind::Missing, Kind::Duplicate, Kind::Amount, Kind::Rate, Kind::Eligibility, Kind::Identity];

    pub fn code(self) -> &'static str {
        match self {
            Kind::Missing => "missing",
            Kind::Duplicate => "duplicate",
            Kind::Amount => "amount",
            Kind::Rate => "rate",
            Kind::Eligibility => "eligibility",
            Kind::Identity => "identity",
        }
    }

    pub fn parse(code: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// Where a dispute stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Open,
    /// The counterparty has said what it thinks.
    Answered,
    /// Two operators have said the same.
    Decided,
    /// Its opener has let it go.
    Withdrawn,
}

/// What happens to a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Answer,
    Decide,
    Withdraw,
}

impl State {
    pub const ALL: [State; 4] = [State::Open, State::Answered, State::Decided, State::Withdrawn];

    pub fn code(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Answered => "answered",
            State::Decided => "decided",
            State::Withdrawn => "withdrawn",
        }
    }

    pub fn parse(code: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.code() == code)
    }

    /// The state after `step`; a repeat of the step that led here changes nothing. `None`: the step is not for this state.
    pub fn on(self, step: Step) -> Option<State> {
        match (self, step) {
            (State::Open | State::Answered, Step::Answer) => Some(State::Answered),
            // From open only when the counterparty was waited for long enough: see `may_decide`.
            (State::Open | State::Answered | State::Decided, Step::Decide) => Some(State::Decided),
            (State::Open | State::Answered | State::Withdrawn, Step::Withdraw) => Some(State::Withdrawn),
            (State::Decided | State::Withdrawn, Step::Answer)
            | (State::Withdrawn, Step::Decide)
            | (State::Decided, Step::Withdraw) => None,
        }
    }

    /// Whether operators may decide on `today`: once it is answered, or the counterparty has let its last day go by.
    pub fn may_decide(self, answer_by: NaiveDate, today: NaiveDate) -> bool {
        match self {
            State::Open => today > answer_by,
            State::Answered | State::Decided => true,
            State::Withdrawn => false,
        }
    }
}

/// What the counterparty says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Accepted,
    Rejected,
}

impl Answer {
    pub fn code(self) -> &'static str {
        match self {
            Answer::Accepted => "accepted",
            Answer::Rejected => "rejected",
        }
    }

    pub fn parse(code: &str) -> Option<Answer> {
        [Answer::Accepted, Answer::Rejected].into_iter().find(|answer| answer.code() == code)
    }
}

/// What operators decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Upheld,
    Rejected,
}

impl Outcome {
    pub fn code(self) -> &'static str {
        match self {
            Outcome::Upheld => "upheld",
            Outcome::Rejected => "rejected",
        }
    }

    pub fn parse(code: &str) -> Option<Outcome> {
        [Outcome::Upheld, Outcome::Rejected].into_iter().find(|outcome| outcome.code() == code)
    }
}

/// What the disputed line says, as its participant sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stated {
    pub amount: Millionths,
    /// Negative where they were taken back; `None` for an adjustment.
    pub points: Option<i64>,
    /// Per point, unsigned.
    pub price: Option<Millionths>,
}

impl Stated {
    /// The line's amount if it were of `points`; `Priceless` when it has no price or is a memo, `Range` beyond money.
    fn at(&self, points: i64) -> Result<Millionths, NoClaim> {
        let (price, stated) = self.price.zip(self.points).ok_or(NoClaim::Priceless)?;
        let sign = self.amount.get().signum() * stated.signum();
        if sign == 0 {
            return Err(NoClaim::Priceless);
        }
        let amount = price.get().checked_mul(points).and_then(|amount| amount.checked_mul(sign));
        amount.map(Millionths::new).ok_or(NoClaim::Range)
    }
}

/// What the opener says the line should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    pub points: Option<i64>,
    pub amount: Option<Millionths>,
}

/// Why a claim is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoClaim {
    #[error("is required for this kind, or claimed_points")]
    Unsaid,
    #[error("is what the line says already: nothing is claimed")]
    Nothing,
    #[error("the points of this line have no price: claim an amount")]
    Priceless,
    #[error("is beyond what an adjustment can be, 100000000000.00 either way")]
    Range,
}

/// What the opener wants added to what it is owed: what the line should be less what it says. `Ok(None)`: a missing line of
/// which only points are known, whose worth the decision says.
pub fn claim(kind: Kind, stated: Option<&Stated>, claimed: Claimed) -> Result<Option<Millionths>, NoClaim> {
    let Some(stated) = stated else {
        return match claimed {
            Claimed { amount: Some(Millionths::ZERO), .. } => Err(NoClaim::Nothing),
            Claimed { amount: Some(amount), .. } if !adjustment::is_within(amount) => Err(NoClaim::Range),
            Claimed { amount: Some(amount), .. } => Ok(Some(amount)),
            Claimed { points: Some(_), amount: None } => Ok(None),
            Claimed { points: None, amount: None } => Err(NoClaim::Unsaid),
        };
    };
    let should_be = match (claimed.amount, claimed.points, kind) {
        (Some(amount), _, _) => amount,
        (None, Some(points), _) => stated.at(points)?,
        // The line should not be there at all.
        (None, None, Kind::Duplicate | Kind::Eligibility | Kind::Identity) => Millionths::ZERO,
        (None, None, Kind::Missing | Kind::Amount | Kind::Rate) => return Err(NoClaim::Unsaid),
    };
    match should_be.minus(stated.amount) {
        None => Err(NoClaim::Range),
        Some(Millionths::ZERO) => Err(NoClaim::Nothing),
        Some(claim) if !adjustment::is_within(claim) => Err(NoClaim::Range),
        Some(claim) => Ok(Some(claim)),
    }
}

/// Why an award is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAward {
    #[error("is required: the dispute claims no amount")]
    Unsaid,
    #[error("must be above or below zero")]
    Zero,
    #[error("is beyond what an adjustment can be, 100000000000.00 either way")]
    Range,
    #[error("must be between zero and the claim of {0}")]
    Beyond(Millionths),
}

/// What an upheld dispute gives its opener: the amount said, at most the claim; left out, the whole claim.
pub fn award(claim: Option<Millionths>, amount: Option<Millionths>) -> Result<Millionths, NoAward> {
    match (claim, amount) {
        (None, None) => Err(NoAward::Unsaid),
        (_, Some(Millionths::ZERO)) => Err(NoAward::Zero),
        (None, Some(amount)) if !adjustment::is_within(amount) => Err(NoAward::Range),
        (None, Some(amount)) => Ok(amount),
        (Some(claim), None) => Ok(claim),
        (Some(claim), Some(amount)) => {
            let within = amount.get().signum() == claim.get().signum()
                && amount.get().unsigned_abs() <= claim.get().unsigned_abs();
            if within { Ok(amount) } else { Err(NoAward::Beyond(claim)) }
        }
    }
}

/// Whether an award leaves a conversion's line on its side of zero once `back` of its points were taken back by reversals:
/// of what was taken back, nothing is given again, and of a line that is taken back whole, nothing at all.
pub fn stands(amount: Millionths, points: i64, back: i64, award: Millionths) -> bool {
    let left = i128::from(points) - i128::from(back);
    let adds = award.get().signum() * amount.get().signum() >= 0;
    let (award, amount) = (i128::from(award.get()).abs(), i128::from(amount.get()).abs());
    left > 0 && (adds || back == 0 || award * i128::from(points) <= amount * left)
}

/// The parties to a dispute, and in which direction its line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parties {
    pub opener: Participant,
    /// `None` for what is missing while nobody is named.
    pub counterparty: Option<Participant>,
    /// The side that owes by lines of this direction; `None`: whoever the award makes the debtor.
    pub origin: Option<Participant>,
}

impl Parties {
    /// With the counterparty that a decision names, where nobody is known.
    pub fn or_named(self, counterparty: Option<Participant>) -> Parties {
        Parties { counterparty: self.counterparty.or(counterparty), ..self }
    }
}

/// An adjustment: `from` owes `to` the amount, negative the other way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjusted {
    pub from: Participant,
    pub to: Participant,
    pub amount: Millionths,
}

/// The adjustment that gives the opener its award; `None` while there is no counterparty to give it.
pub fn adjusted(parties: &Parties, award: Millionths) -> Option<Adjusted> {
    let Parties { opener, counterparty: Some(counterparty), origin } = parties else { return None };
    let by_opener = match origin {
        Some(origin) => origin == opener,
        None => award < Millionths::ZERO,
    };
    Some(if by_opener {
        Adjusted { from: opener.clone(), to: counterparty.clone(), amount: award.negated() }
    } else {
        Adjusted { from: counterparty.clone(), to: opener.clone(), amount: award }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Millionths {
        Millionths::parse(text).expect("money")
    }

    #[test]
    fn a_dispute_goes_one_way_and_repeats_harm_nothing() {
        for (state, step, after) in [
            (State::Open, Step::Answer, Some(State::Answered)),
            (State::Answered, Step::Answer, Some(State::Answered)),
            (State::Answered, Step::Decide, Some(State::Decided)),
            (State::Decided, Step::Decide, Some(State::Decided)),
            (State::Open, Step::Withdraw, Some(State::Withdrawn)),
            (State::Answered, Step::Withdraw, Some(State::Withdrawn)),
            (State::Withdrawn, Step::Withdraw, Some(State::Withdrawn)),
            (State::Decided, Step::Answer, None),
            (State::Decided, Step::Withdraw, None),
            (State::Withdrawn, Step::Answer, None),
            (State::Withdrawn, Step::Decide, None),
        ] {
            assert_eq!(state.on(step), after, "{state:?} {step:?}");
        }
        assert!(State::ALL.iter().all(|state| State::parse(state.code()) == Some(*state)));
        assert!(Kind::ALL.iter().all(|kind| Kind::parse(kind.code()) == Some(*kind)));
    }

    #[test]
    fn the_counterparty_is_heard_before_anybody_decides_unless_its_time_is_over() {
        let day = |text: &str| text.parse::<NaiveDate>().expect("a date");
        let may = |state: State, today| state.may_decide(day("2026-06-10"), day(today));
        assert!(!may(State::Open, "2026-06-10"));
        assert!(may(State::Open, "2026-06-11"));
        assert!(may(State::Answered, "2026-06-01"));
        assert!(!may(State::Withdrawn, "2026-06-11"));
    }

    #[test]
    fn a_claim_is_what_the_line_should_be_less_what_it_says() {
        let line = |amount: &str, points: i64| Stated {
            amount: money(amount),
            points: Some(points),
            price: Some(money("0.05")),
        };
        let owes = line("-3.40", 68);
        let taken_back = line("3.40", -68);
        let nothing = Claimed::default();
        let of = |points: Option<i64>, amount: Option<&str>| Claimed { points, amount: amount.map(money) };
        for (kind, stated, claimed, claim_is) in [
            (Kind::Amount, Some(owes), of(None, Some("-3.00")), Ok(Some(money("0.40")))),
            (Kind::Rate, Some(owes), of(Some(60), None), Ok(Some(money("0.40")))),
            (Kind::Rate, Some(owes), of(Some(60), Some("-3.10")), Ok(Some(money("0.30")))),
            (Kind::Rate, Some(taken_back), of(Some(-60), None), Ok(Some(money("-0.40")))),
            (Kind::Duplicate, Some(owes), nothing, Ok(Some(money("3.40")))),
            (Kind::Eligibility, Some(taken_back), nothing, Ok(Some(money("-3.40")))),
            (Kind::Identity, Some(owes), of(None, Some("-3.40")), Err(NoClaim::Nothing)),
            (Kind::Identity, Some(line("0", 6)), nothing, Err(NoClaim::Nothing)),
            (Kind::Rate, Some(line("0", 6)), of(Some(7), None), Err(NoClaim::Priceless)),
            (Kind::Amount, Some(owes), nothing, Err(NoClaim::Unsaid)),
            (Kind::Missing, None, of(Some(7), None), Ok(None)),
            (Kind::Missing, None, of(None, Some("7")), Ok(Some(money("7")))),
            (Kind::Missing, None, of(None, Some("0")), Err(NoClaim::Nothing)),
            (Kind::Missing, None, nothing, Err(NoClaim::Unsaid)),
        ] {
            assert_eq!(claim(kind, stated.as_ref(), claimed), claim_is, "{kind:?} {claimed:?}");
        }
        let most = Claimed { points: None, amount: Some(Millionths::new(i64::MAX)) };
        assert_eq!(claim(Kind::Amount, Some(&owes), most), Err(NoClaim::Range));
        for points in [9_007_199_254_740_991, -9_007_199_254_740_991] {
            assert_eq!(claim(Kind::Rate, Some(&owes), of(Some(points), None)), Err(NoClaim::Range), "{points}");
        }
        let least = Claimed { points: None, amount: Some(Millionths::new(-i64::MAX)) };
        assert_eq!(claim(Kind::Amount, Some(&line("0.000001", 1)), least), Err(NoClaim::Range));
    }

    #[test]
    fn an_award_is_never_more_than_the_claim_nor_the_other_way() {
        let claim = Some(money("0.40"));
        for (said, given) in [
            (None, Ok(money("0.40"))),
            (Some("0.40"), Ok(money("0.40"))),
            (Some("0.01"), Ok(money("0.01"))),
            (Some("0"), Err(NoAward::Zero)),
            (Some("0.400001"), Err(NoAward::Beyond(money("0.40")))),
            (Some("-0.40"), Err(NoAward::Beyond(money("0.40")))),
        ] {
            assert_eq!(award(claim, said.map(money)), given, "{said:?}");
        }
        assert_eq!(award(None, None), Err(NoAward::Unsaid));
        assert_eq!(award(None, Some(money("-5"))), Ok(money("-5")));
    }

    #[test]
    fn of_what_was_taken_back_nothing_is_given_again() {
        for (amount, back, award, holds) in [
            ("-3.40", 0, "3.40", true),
            ("-3.40", 34, "1.70", true),
            ("-3.40", 34, "1.700001", false),
            ("3.40", 34, "-1.700001", false),
            // More of the line, while some of it stands.
            ("-3.40", 34, "-3.40", true),
            ("0", 34, "0.40", true),
            ("-3.40", 68, "0.000001", false),
            ("-3.40", 68, "-0.40", false),
            ("0", 68, "0.40", false),
            // More than the line says was claimed before anything was taken back.
            ("-3.40", 0, "5", true),
        ] {
            assert_eq!(stands(money(amount), 68, back, money(award)), holds, "{amount} {back} {award}");
        }
        let most = Millionths::new(i64::MAX);
        assert!(!stands(most, i64::MAX, 1, most.negated()));
    }

    #[test]
    fn an_adjustment_keeps_the_lines_direction_and_gives_the_opener_its_award() {
        let of = |text: &str| Participant::parse(text).expect("a participant");
        let given = |origin: Option<&str>, award: &str| {
            let parties = Parties { opener: of("aa"), counterparty: Some(of("bb")), origin: origin.map(of) };
            let Adjusted { from, to, amount } = adjusted(&parties, money(award)).expect("two sides");
            (from.to_string(), to.to_string(), amount.to_string())
        };
        let row = |from: &str, to: &str, amount: &str| (from.to_owned(), to.to_owned(), amount.to_owned());
        // aa owes bb by the line, and less after this.
        assert_eq!(given(Some("aa"), "0.40"), row("aa", "bb", "-0.40"));
        assert_eq!(given(Some("aa"), "-0.40"), row("aa", "bb", "0.40"));
        assert_eq!(given(Some("bb"), "0.40"), row("bb", "aa", "0.40"));
        assert_eq!(given(None, "0.40"), row("bb", "aa", "0.40"));
        assert_eq!(given(None, "-0.40"), row("aa", "bb", "0.40"));
        let nobody = Parties { opener: of("aa"), counterparty: None, origin: None };
        assert_eq!(adjusted(&nobody, money("0.40")), None);
    }
}
