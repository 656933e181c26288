//! Payments that came in, each against the obligation it is meant for: the one its reference names, else the earliest due
//! one of its payer of which exactly this amount is left. Pure; what it cannot tell is left to a person.

use crate::domain::ids::ObligationId;
use crate::domain::money::Millionths;
use chrono::NaiveDate;
use std::collections::BTreeSet;

/// One payment as the bank tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    pub on: NaiveDate,
    /// Above zero.
    pub amount: Millionths,
    pub payer: String,
    pub reference: String,
}

/// Who is to pay an obligation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debtor {
    /// A partner's slug.
    pub slug: String,
    pub entity: String,
}

/// A payment that a person recorded, under the payer's reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByHand {
    pub of: ObligationId,
    pub debtor: Debtor,
    pub amount: Millionths,
    pub on: NaiveDate,
    pub reference: String,
}

/// An obligation to us, as far as it is not paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    pub id: ObligationId,
    pub debtor: Debtor,
    /// Zero for one that is paid.
    pub left: Millionths,
    /// The first day of its window: nothing can have been paid for it before.
    pub since: NaiveDate,
    pub due_on: NaiveDate,
}

/// How a payment fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It pays just what is left of its obligation.
    Matched,
    /// It pays a part of it.
    Partial,
    /// It is more than is left: a person says where it goes.
    Over,
    /// Its payer owes us, but of no obligation just this amount is left, and none is named: a person says what it is for.
    OtherAmount,
    /// A person recorded one like it, of its payer, reference and amount: a person says whether it is another.
    Similar,
    /// Nothing it could be for.
    Unknown,
    /// It was recorded before, by a list or by hand, or is in the list twice.
    Duplicate,
    /// It is of a day on which it cannot have paid what it could be for, or could not be recorded for another reason.
    Refused,
}

impl Outcome {
    pub const ALL: [Outcome; 8] = [
        Outcome::Matched,
        Outcome::Partial,
        Outcome::Over,
        Outcome::OtherAmount,
        Outcome::Similar,
        Outcome::Unknown,
        Outcome::Duplicate,
        Outcome::Refused,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Outcome::Matched => "matched",
            Outcome::Partial => "partial",
            Outcome::Over => "over",
            Outcome::OtherAmount => "other_amount",
            Outcome::Similar => "similar",
            Outcome::Unknown => "unknown",
            Outcome::Duplicate => "duplicate",
            Outcome::Refused => "refused",
        }
    }

    /// Whether it is recorded as a payment.
    pub fn pays(self) -> bool {
        match self {
            Outcome::Matched | Outcome::Partial => true,
            Outcome::Over
            | Outcome::OtherAmount
            | Outcome::Similar
            | Outcome::Unknown
            | Outcome::Duplicate
            | Outcome::Refused => false,
        }
    }
}

/// A payment judged: what it is, and for which obligation with how much left before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    pub outcome: Outcome,
    pub of: Option<(ObligationId, Millionths)>,
}

/// Days between a payment and what a person recorded of it.
const DAYS_NEAR: i64 = 7;

/// What a list of payments is matched with, one payment after the other.
#[derive(Debug)]
pub struct Matching {
    owed: Vec<Owed>,
    /// Rows of lists that were recorded, before or by this list.
    entries: BTreeSet<String>,
    by_hand: Vec<ByHand>,
    /// Of those by hand, which this list has had.
    met: BTreeSet<usize>,
    today: NaiveDate,
}

impl Matching {
    pub fn new(
        mut owed: Vec<Owed>,
        entries: impl IntoIterator<Item = String>,
        by_hand: Vec<ByHand>,
        today: NaiveDate,
    ) -> Matching {
        owed.sort_by_key(|owed| (owed.due_on, owed.id));
        Matching { owed, entries: entries.into_iter().collect(), by_hand, met: BTreeSet::new(), today }
    }

    /// Judges the next payment, which is recorded as `entry`; one that pays is counted.
    pub fn judge(&mut self, payment: &Payment, entry: &str) -> Judged {
        let named = named_obligation(&payment.reference);
        let is_known = self.entries.contains(entry);
        let before = if is_known { Some(Outcome::Duplicate) } else { self.like_by_hand(payment, named) };
        let is_for = |owed: &Owed| match named {
            Some(id) => owed.id == id,
            None => owed.left == payment.amount && owed.debtor.is_called(&payment.payer),
        };
        let is_in_time = |owed: &Owed| owed.since <= payment.on && payment.on <= self.today;
        let place = self.owed.iter().position(|owed| is_for(owed) && is_in_time(owed));
        let of = |place: usize| (self.owed[place].id, self.owed[place].left);
        if let Some(outcome) = before {
            return Judged { outcome, of: place.map(of) };
        }
        let Some(place) = place else {
            if let Some(early) = self.owed.iter().position(is_for) {
                return Judged { outcome: Outcome::Refused, of: Some(of(early)) };
            }
            let owes = |owed: &Owed| owed.left > Millionths::ZERO && owed.debtor.is_called(&payment.payer);
            let owes_other = named.is_none() && self.owed.iter().any(owes);
            return Judged { outcome: if owes_other { Outcome::OtherAmount } else { Outcome::Unknown }, of: None };
        };
        let of = Some(of(place));
        let owed = &mut self.owed[place];
        let (outcome, left) = match owed.left.minus(payment.amount) {
            Some(Millionths::ZERO) => (Outcome::Matched, Millionths::ZERO),
            Some(left) if left > Millionths::ZERO => (Outcome::Partial, left),
            Some(_) | None => (Outcome::Over, owed.left),
        };
        owed.left = left;
        if outcome.pays() {
            self.entries.insert(entry.to_owned());
        }
        Judged { outcome, of }
    }

    /// Against what persons recorded: the one of nearly its day is it, once in a list; any other is like it.
    fn like_by_hand(&mut self, payment: &Payment, named: Option<ObligationId>) -> Option<Outcome> {
        let like = |(_, one): &(usize, &ByHand)| one.is_like(payment, named);
        let days = |(_, one): &(usize, &ByHand)| (one.on - payment.on).num_days().abs();
        let is_left = |(nth, _): &(usize, &ByHand)| !self.met.contains(nth);
        let all = || self.by_hand.iter().enumerate().filter(like);
        let nearest = all().filter(is_left).filter(|one| days(one) <= DAYS_NEAR).min_by_key(days).map(|(nth, _)| nth);
        let outcome = all().next().map(|_| if nearest.is_some() { Outcome::Duplicate } else { Outcome::Similar });
        self.met.extend(nearest);
        outcome
    }
}

impl ByHand {
    /// The same reference and amount, for the obligation that is named or from its payer.
    fn is_like(&self, payment: &Payment, named: Option<ObligationId>) -> bool {
        self.reference == payment.reference
            && self.amount == payment.amount
            && (named == Some(self.of) || self.debtor.is_called(&payment.payer))
    }
}

impl Debtor {
    /// By its slug or its legal entity, however it is spaced and capitalised.
    fn is_called(&self, payer: &str) -> bool {
        let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        let payer = plain(payer);
        !payer.is_empty() && (payer == plain(&self.entity) || payer == self.slug)
    }
}

/// The first obligation's id in a text, wherever it stands.
pub fn named_obligation(text: &str) -> Option<ObligationId> {
    const LENGTH: usize = "obl_".len() + 32;
    let begins = text.match_indices("obl_").map(|(at, _)| at);
    let mut ids = begins.filter_map(|at| text.get(at..at + LENGTH)?.parse().ok());
    ids.next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn called(debtor: &str) -> Debtor {
        Debtor { slug: debtor.to_owned(), entity: format!("{debtor} Retail  Ltd") }
    }

    fn owed(nth: u128, debtor: &str, left: i64, due_on: &str) -> Owed {
        Owed {
            id: ObligationId(Uuid::from_u128(nth)),
            debtor: called(debtor),
            left: Millionths::new(left),
            since: date("2026-05-01"),
            due_on: date(due_on),
        }
    }

    fn date(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    #[test]
    fn payments_find_what_they_are_for_and_nothing_is_paid_twice() {
        let id = |nth: u128| ObligationId(Uuid::from_u128(nth));
        let mut matching = Matching::new(
            vec![
                owed(1, "aa", 5, "2026-07-10"),
                owed(2, "aa", 5, "2026-06-10"),
                owed(3, "bb", 9, "2026-06-10"),
                owed(4, "cc", 0, "2026-06-10"),
            ],
            ["seen".to_owned()],
            vec![ByHand {
                of: id(3),
                debtor: called("bb"),
                amount: Millionths::new(2),
                on: date("2026-06-04"),
                reference: "T-1".to_owned(),
            }],
            date("2026-06-30"),
        );
        let mut paid_on = |on: &str, name: &str, payer: &str, reference: &str, amount: i64| {
            let amount = Millionths::new(amount);
            let payment = Payment { on: date(on), amount, payer: payer.to_owned(), reference: reference.to_owned() };
            let Judged { outcome, of } = matching.judge(&payment, name);
            (outcome.code(), of.map(|(id, left)| (id, left.get())))
        };
        for wrong in ["2026-04-30", "2026-07-01"] {
            let early = paid_on(wrong, "w", "aa", "June", 5);
            assert_eq!(early, ("refused", Some((id(2), 5))), "before its window or after today: it takes no place");
        }
        assert_eq!(paid_on("2026-06-20", "s", "BB", "T-1", 2), ("similar", None), "another month's");
        let mut paid = |name: &str, payer: &str, reference: &str, amount: i64| {
            paid_on("2026-06-01", name, payer, reference, amount)
        };
        let bb = format!("payment {}, thanks", id(3));
        assert_eq!(paid("a", "AA retail ltd", "June", 5), ("matched", Some((id(2), 5))), "the earliest due");
        assert_eq!(paid("a", "AA retail ltd", "June", 5), ("duplicate", Some((id(1), 5))), "the same again");
        assert_eq!(paid("b", "aa", "July", 5), ("matched", Some((id(1), 5))));
        assert_eq!(paid("c", "aa", "August", 5), ("unknown", None), "it owes nothing any more");
        assert_eq!(paid("t", "BB", "T-1", 2), ("duplicate", None), "recorded by hand");
        assert_eq!(paid("t2", "BB", "T-1", 2), ("similar", None), "that one once");
        assert_eq!(paid("u", "aa", "T-1", 2), ("unknown", None), "of another payer");
        assert_eq!(paid("v", "bb", "T-1", 3), ("other_amount", None), "another amount under the same reference");
        assert_eq!(paid("d", "somebody", &bb, 4), ("partial", Some((id(3), 9))), "the reference counts");
        assert_eq!(paid("e", "bb", &bb, 6), ("over", Some((id(3), 5))));
        assert_eq!(paid("f", "bb", "rest", 5), ("matched", Some((id(3), 5))), "over took nothing");
        assert_eq!(paid("seen", "bb", "rest", 5), ("duplicate", None));
        assert_eq!(paid("g", "cc", &id(4).to_string(), 1), ("over", Some((id(4), 0))), "paid already");
        assert_eq!(paid("h", "", "", 9), ("unknown", None));
    }

    #[test]
    fn an_obligation_is_named_anywhere_in_a_text() {
        let id = ObligationId(Uuid::from_u128(7));
        for text in [format!("{id}"), format!("积分 {id}/1"), format!("obl_x obl_{id}")] {
            assert_eq!(named_obligation(&text), Some(id), "{text}");
        }
        for text in ["", "obl_", "obl_0000000000000000000000000000000", "OBL_00000000000000000000000000000007"] {
            assert_eq!(named_obligation(text), None, "{text}");
        }
    }
}
