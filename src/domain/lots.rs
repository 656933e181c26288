//! Lots: points of an account that end together. Spending takes the earliest end first.
//!
//! Lots of the same end (and the same first usable day) are one lot, so an account holds few of them.

use super::expiry::Expiry;
use super::points::Points;
use super::rate::Ratio;
use chrono::NaiveDate;

/// Points of an account that expire together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lot {
    pub points: Points,
    pub expires: Expiry,
    /// Until this day pending: shown, neither spent nor converted. `None`: usable at once.
    pub available_on: Option<NaiveDate>,
}

/// Points that moved together with their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parcel {
    pub points: Points,
    pub expires: Expiry,
}

/// The lots of one account, earliest end first, each with at least one point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lots(Vec<Lot>);

impl Lot {
    fn is_usable(&self, day: NaiveDate) -> bool {
        self.expires.covers(day) && self.available_on.is_none_or(|from| from <= day)
    }
}

impl Lots {
    /// From rows of the store; puts them in order and drops empty ones.
    pub fn from_rows(rows: impl IntoIterator<Item = Lot>) -> Lots {
        let mut lots = Lots::default();
        for lot in rows {
            lots.add(lot);
        }
        lots
    }

    pub fn iter(&self) -> impl Iterator<Item = &Lot> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When the first lot ends.
    pub fn first_end(&self) -> Option<Expiry> {
        self.0.first().map(|lot| lot.expires)
    }

    /// All points, usable or not.
    pub fn total(&self) -> Points {
        Points::sum(self.0.iter().map(|lot| lot.points)).unwrap_or(Points::MAX)
    }

    /// What can be spent or converted on `day`.
    pub fn usable(&self, day: NaiveDate) -> Points {
        Points::sum(self.0.iter().filter(|lot| lot.is_usable(day)).map(|lot| lot.points)).unwrap_or(Points::MAX)
    }

    /// Usable points of exactly this end.
    pub fn usable_of(&self, expires: Expiry, day: NaiveDate) -> Points {
        let of_that_end = self.0.iter().filter(|lot| lot.expires == expires && lot.is_usable(day));
        Points::sum(of_that_end.map(|lot| lot.points)).unwrap_or(Points::MAX)
    }

    /// Adds points, merged with a lot of the same end and first usable day.
    pub fn add(&mut self, lot: Lot) {
        if lot.points.is_zero() {
            return;
        }
        let key = |lot: &Lot| (lot.expires, lot.available_on);
        match self.0.binary_search_by_key(&key(&lot), key) {
            // The account's balance is checked against Points::MAX before anything is added.
            Ok(at) => self.0[at].points = self.0[at].points.plus(lot.points).unwrap_or(Points::MAX),
            Err(at) => self.0.insert(at, lot),
        }
    }

    /// Takes `points`, earliest end first; `None`, and nothing taken, when fewer are usable on `day`.
    pub fn take(&mut self, points: Points, day: NaiveDate) -> Option<Vec<Parcel>> {
        if self.usable(day) < points {
            return None;
        }
        Some(self.take_where(points, |lot| lot.is_usable(day)))
    }

    /// Takes up to `points` usable ones of exactly this end, and says how many.
    pub fn take_of(&mut self, points: Points, expires: Expiry, day: NaiveDate) -> Points {
        let taken = self.take_where(points, |lot| lot.expires == expires && lot.is_usable(day));
        Points::sum(taken.iter().map(|parcel| parcel.points)).unwrap_or(Points::ZERO)
    }

    /// Takes up to `points` of the lot a credit made: of this end, and pending to the same day while that is to come.
    /// An ended lot has nothing left to take.
    pub fn take_own(
        &mut self,
        points: Points,
        expires: Expiry,
        available_on: Option<NaiveDate>,
        day: NaiveDate,
    ) -> Vec<Parcel> {
        let pending = |from: Option<NaiveDate>| from.filter(|from| *from > day);
        self.take_where(points, |lot| {
            lot.expires == expires && lot.expires.covers(day) && pending(lot.available_on) == pending(available_on)
        })
    }

    /// Takes up to `points` of whatever has not ended by `day`, pending ones too, earliest end first.
    pub fn take_live(&mut self, points: Points, day: NaiveDate) -> Vec<Parcel> {
        self.take_where(points, |lot| lot.expires.covers(day))
    }

    /// All that has not ended by `day`, pending ones too.
    pub fn live(&self, day: NaiveDate) -> Points {
        Points::sum(self.0.iter().filter(|lot| lot.expires.covers(day)).map(|lot| lot.points)).unwrap_or(Points::MAX)
    }

    /// Takes all there is.
    pub fn take_all(&mut self) -> Vec<Parcel> {
        self.take_where(Points::MAX, |_| true)
    }

    /// Removes what can no longer be spent on `day`.
    pub fn expire(&mut self, day: NaiveDate) -> Vec<Parcel> {
        self.take_where(Points::MAX, |lot| !lot.expires.covers(day))
    }

    /// Gives every lot the same end: promotion to a tier that never expires, or demotion from it.
    pub fn redate(&mut self, to: Expiry) {
        let old = std::mem::take(&mut self.0);
        for lot in old {
            self.add(Lot { expires: to, ..lot });
        }
    }

    fn take_where(&mut self, points: Points, wanted: impl Fn(&Lot) -> bool) -> Vec<Parcel> {
        let mut missing = points;
        let mut taken: Vec<Parcel> = Vec::new();
        for lot in self.0.iter_mut().filter(|lot| wanted(lot)) {
            let part = missing.min(lot.points);
            if part.is_zero() {
                break;
            }
            lot.points = lot.points.less(part);
            missing = missing.less(part);
            match taken.last_mut() {
                // Lots of one end with different first days move as one.
                Some(Parcel { points, expires }) if *expires == lot.expires => {
                    *points = points.plus(part).unwrap_or(Points::MAX);
                }
                _ => taken.push(Parcel { points: part, expires: lot.expires }),
            }
        }
        self.0.retain(|lot| !lot.points.is_zero());
        taken
    }
}

/// Splits a base credit over the origin's lots in spending order, by the running floor of the cumulative debit.
///
/// Each part ends at the earlier of `rule` and its origin lot's own end, or at `rule` when the agreement lets points
/// renew on arrival. Parts of zero points are left out; `None` above the largest amount.
pub fn arriving(out: &[Parcel], ratio: Ratio, rule: Expiry, renews: bool) -> Option<Vec<Parcel>> {
    let mut debited = Points::ZERO;
    let mut credited = Points::ZERO;
    let mut parts = Vec::with_capacity(out.len());
    for parcel in out {
        debited = debited.plus(parcel.points)?;
        let so_far = ratio.credit(debited)?;
        let part = so_far.less(credited);
        credited = so_far;
        if !part.is_zero() {
            let expires = if renews { rule } else { rule.min(parcel.expires) };
            parts.push(Parcel { points: part, expires });
        }
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(value: i64) -> Points {
        Points::new(value).expect("in range")
    }

    fn on(text: &str) -> Expiry {
        Expiry::On(text.parse().expect("a date"))
    }

    fn lot(value: i64, end: &str) -> Lot {
        Lot { points: points(value), expires: on(end), available_on: None }
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    #[test]
    fn spending_takes_the_earliest_end_first() {
        let mut lots = Lots::from_rows([lot(136, "2026-08-31"), lot(101, "2026-06-30")]);
        let taken = lots.take(points(136), day("2026-01-05")).expect("enough");
        let expected = [(101, "2026-06-30"), (35, "2026-08-31")];
        assert_eq!(taken, expected.map(|(n, end)| Parcel { points: points(n), expires: on(end) }));
        assert_eq!(lots.total(), points(101));
    }

    #[test]
    fn arriving_points_split_by_running_floor_and_never_renew() {
        let out =
            [(101, "2026-06-30"), (35, "2026-08-31")].map(|(n, end)| Parcel { points: points(n), expires: on(end) });
        let half = Ratio::new(1, 2).expect("positive");
        let parts = arriving(&out, half, on("2027-01-31"), false).expect("in range");
        let expected = [(50, "2026-06-30"), (18, "2026-08-31")];
        assert_eq!(parts, expected.map(|(n, end)| Parcel { points: points(n), expires: on(end) }));
        let renewed = arriving(&out, half, on("2027-01-31"), true).expect("in range");
        assert!(renewed.iter().all(|part| part.expires == on("2027-01-31")));
    }

    #[test]
    fn expired_and_pending_lots_cannot_be_spent() {
        let pending = Lot { available_on: Some(day("2026-03-01")), ..lot(5, "2026-12-31") };
        let mut lots = Lots::from_rows([lot(3, "2026-01-31"), pending, lot(7, "2026-12-31")]);
        assert_eq!(lots.usable(day("2026-02-01")), points(7));
        assert_eq!(lots.usable(day("2026-03-01")), points(12));
        assert_eq!(lots.take(points(8), day("2026-02-01")), None);
        assert_eq!(lots.total(), points(15), "a refusal takes nothing");
        assert_eq!(lots.expire(day("2026-02-01")).len(), 1);
        assert_eq!(lots.total(), points(12));
    }

    #[test]
    fn redating_merges_lots() {
        let mut lots = Lots::from_rows([lot(3, "2026-01-31"), lot(7, "2026-12-31")]);
        lots.redate(Expiry::Never);
        assert_eq!(lots.iter().count(), 1);
        assert_eq!(lots.usable_of(Expiry::Never, day("2099-01-01")), points(10));
    }
}
