//! A voucher's life, what each use of it settles, and the code a member shows.

use super::confirmation;
use super::money::Millionths;
use chrono::{Days, NaiveDate};
use std::fmt;
use std::str::FromStr;

/// Days after a redemption on which a till's mistake may still be taken back, whatever has become of its voucher.
pub const TAKE_BACK_DAYS: u64 = 30;

/// Where a voucher stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Its place is kept for a while, and nothing is paid yet.
    Reserved,
    Issued,
    /// Some of its uses are left.
    PartlyRedeemed,
    Redeemed,
    Expired,
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    Confirm,
    /// At the till; `last`: it was its last use.
    Redeem {
        last: bool,
    },
    /// A till's mistake is taken back; `first`: it had no other use.
    Reverse {
        first: bool,
    },
    /// Its last day, or a reservation's time, is over.
    Expire,
    Cancel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    To(State),
    /// It is where this leads already.
    Stays,
    Never,
}

impl State {
    pub const ALL: [(State, &'static str); 6] = [
        (State::Reserved, "reserved"),
        (State::Issued, "issued"),
        (State::PartlyRedeemed, "partly_redeemed"),
        (State::Redeemed, "redeemed"),
        (State::Expired, "expired"),
        (State::Cancelled, "cancelled"),
    ];

    /// The number stored; its place in `ALL`.
    pub fn number(self) -> i16 {
        let at = Self::ALL.iter().position(|(state, _)| *state == self).unwrap_or_default();
        i16::try_from(at).unwrap_or_default()
    }

    pub fn from_number(number: i16) -> Option<State> {
        usize::try_from(number).ok().and_then(|at| Self::ALL.get(at)).map(|(state, _)| *state)
    }

    pub fn code(self) -> &'static str {
        Self::ALL.iter().find(|(state, _)| *state == self).map_or("issued", |(_, code)| code)
    }

    pub fn parse(text: &str) -> Option<State> {
        Self::ALL.iter().find(|(_, code)| *code == text).map(|(state, _)| *state)
    }

    /// Whether it may still be used, or become usable.
    pub fn is_open(self) -> bool {
        matches!(self, State::Reserved | State::Issued | State::PartlyRedeemed)
    }

    pub fn on(self, event: Event) -> Next {
        match (self, event) {
            (State::Reserved, Event::Confirm) => Next::To(State::Issued),
            (State::Issued | State::PartlyRedeemed, Event::Redeem { last: true }) => Next::To(State::Redeemed),
            (State::Issued | State::PartlyRedeemed, Event::Redeem { last: false }) => Next::To(State::PartlyRedeemed),
            (State::PartlyRedeemed | State::Redeemed, Event::Reverse { first: true }) => Next::To(State::Issued),
            (State::PartlyRedeemed | State::Redeemed, Event::Reverse { first: false }) => {
                Next::To(State::PartlyRedeemed)
            }
            (State::Reserved | State::Issued | State::PartlyRedeemed, Event::Expire) => Next::To(State::Expired),
            // It stays over; what its use has settled is taken back all the same.
            (State::Expired, Event::Reverse { .. }) => Next::Stays,
            // What was used in part is not given back; its other uses are.
            (State::Reserved | State::Issued, Event::Cancel) => Next::To(State::Cancelled),
            (State::Issued | State::PartlyRedeemed | State::Redeemed, Event::Confirm)
            | (State::Expired, Event::Expire)
            | (State::Cancelled, Event::Cancel | Event::Expire)
            | (State::Redeemed, Event::Expire) => Next::Stays,
            (State::Reserved, Event::Redeem { .. } | Event::Reverse { .. })
            | (State::Issued, Event::Reverse { .. })
            | (State::PartlyRedeemed | State::Redeemed | State::Expired, Event::Cancel)
            | (State::Redeemed, Event::Redeem { .. })
            | (State::Expired | State::Cancelled, Event::Confirm | Event::Redeem { .. })
            | (State::Cancelled, Event::Reverse { .. }) => Next::Never,
        }
    }
}

/// Whether a redemption of that day may be taken back on this one.
pub fn may_be_taken_back(redeemed: NaiveDate, day: NaiveDate) -> bool {
    redeemed.checked_add_days(Days::new(TAKE_BACK_DAYS)).is_none_or(|last| day <= last)
}

/// What one more use settles, the `nth` of `uses` that now stand, when `settled` of the voucher's cost is settled already:
/// all of them together are the cost, to the millionth. `None` on overflow or outside 1 to `uses`.
pub fn due(cost: Millionths, uses: i32, nth: i32, settled: Millionths) -> Option<Millionths> {
    if !(1..=uses).contains(&nth) {
        return None;
    }
    cost.floor_of(i64::from(nth), i64::from(uses))?.minus(settled)
}

/// Characters of a code, the last of them a check.
pub const LENGTH: usize = 16;

/// A voucher's code as Hanse makes it, always in its canonical spelling: fifteen characters drawn from 31, 74 bits, and
/// one that shows a slip. Nobody guesses one, and the till is told when one was mistyped.
#[derive(Clone, PartialEq, Eq)]
pub struct VoucherCode([u8; LENGTH]);

/// A text that is no code of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAVoucherCode;

impl VoucherCode {
    /// A code from random bytes; `None` when too many of them had to be passed over to be fair to every character.
    pub fn draw(random: &[u8]) -> Option<VoucherCode> {
        // 248 = 8 × 31: bytes above would favour the first characters.
        let mut fair = random.iter().filter(|byte| **byte < 248);
        let mut digits = [0; LENGTH - 1];
        for digit in &mut digits {
            *digit = u64::from(fair.next()? % 31);
        }
        Some(VoucherCode::of(&digits))
    }

    fn of(digits: &[u64]) -> VoucherCode {
        let mut code = [0; LENGTH];
        for (place, digit) in code.iter_mut().zip(digits.iter().copied().chain([confirmation::check(digits)])) {
            *place = confirmation::ALPHABET[usize::try_from(digit).unwrap_or_default()];
        }
        VoucherCode(code)
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for VoucherCode {
    /// In groups of four, as it is shown to people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, group) in self.0.chunks(4).enumerate() {
            let dash = if nth == 0 { "" } else { "-" };
            write!(f, "{dash}{}", std::str::from_utf8(group).unwrap_or_default())?;
        }
        Ok(())
    }
}

impl FromStr for VoucherCode {
    type Err = NotAVoucherCode;

    /// Any case, with or without hyphens or spaces, O for 0, I and L for 1, Z for 2.
    fn from_str(text: &str) -> Result<VoucherCode, NotAVoucherCode> {
        let typed = text.bytes().filter(|b| *b != b'-' && *b != b' ');
        let read = typed.map(|b| confirmation::read(b).ok_or(NotAVoucherCode));
        let code: Vec<u8> = read.collect::<Result<_, _>>()?;
        let place = |b: &u8| confirmation::ALPHABET.iter().position(|known| known == b);
        let digits: Vec<u64> = code.iter().filter_map(|b| u64::try_from(place(b)?).ok()).collect();
        if digits.len() != LENGTH {
            return Err(NotAVoucherCode);
        }
        let code = VoucherCode::of(&digits[..LENGTH - 1]);
        if code.0[LENGTH - 1] == confirmation::ALPHABET[usize::try_from(digits[LENGTH - 1]).unwrap_or_default()] {
            Ok(code)
        } else {
            Err(NotAVoucherCode)
        }
    }
}

impl fmt::Debug for VoucherCode {
    /// Never in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VoucherCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 7] = [
        Event::Confirm,
        Event::Redeem { last: false },
        Event::Redeem { last: true },
        Event::Reverse { first: false },
        Event::Reverse { first: true },
        Event::Expire,
        Event::Cancel,
    ];

    #[test]
    fn numbers_are_for_ever_and_codes_are_read_back() {
        for (number, (state, code)) in (0..).zip(State::ALL) {
            assert_eq!((state.number(), State::from_number(number)), (number, Some(state)));
            assert_eq!((state.code(), State::parse(code)), (code, Some(state)));
        }
        assert_eq!(State::from_number(6), None);
    }

    #[test]
    fn what_is_used_up_ended_or_cancelled_is_never_used_again() {
        for over in [State::Redeemed, State::Expired, State::Cancelled] {
            for last in [false, true] {
                assert_eq!(over.on(Event::Redeem { last }), Next::Never, "{over:?}");
            }
        }
        assert_eq!(State::Reserved.on(Event::Redeem { last: true }), Next::Never, "nothing is paid yet");
        for over in [State::Expired, State::Cancelled] {
            assert!(EVENTS.iter().all(|event| !matches!(over.on(*event), Next::To(_))), "{over:?}");
        }
    }

    #[test]
    fn a_tills_mistake_leads_back_where_it_came_from() {
        assert_eq!(State::Issued.on(Event::Redeem { last: true }), Next::To(State::Redeemed));
        assert_eq!(State::Redeemed.on(Event::Reverse { first: true }), Next::To(State::Issued));
        assert_eq!(State::PartlyRedeemed.on(Event::Redeem { last: true }), Next::To(State::Redeemed));
        assert_eq!(State::Redeemed.on(Event::Reverse { first: false }), Next::To(State::PartlyRedeemed));
        assert_eq!(State::Issued.on(Event::Reverse { first: true }), Next::Never);
        assert_eq!(State::Cancelled.on(Event::Reverse { first: true }), Next::Never);
        for first in [false, true] {
            assert_eq!(State::Expired.on(Event::Reverse { first }), Next::Stays, "nobody can use it again");
        }
        let day = |text: &str| text.parse::<NaiveDate>().expect("a date");
        assert!(may_be_taken_back(day("2026-01-31"), day("2026-03-02")));
        assert!(!may_be_taken_back(day("2026-01-31"), day("2026-03-03")));
    }

    #[test]
    fn uses_settle_all_of_a_cost_whatever_was_taken_back_between_them() {
        let cost = Millionths::new(100_000_001);
        for uses in [1, 2, 3, 7, 1_000] {
            let mut settled = Millionths::ZERO;
            for nth in 1..=uses {
                let one = due(cost, uses, nth, settled).expect("a share");
                assert!(one.get() >= 0);
                settled = settled.plus(one).expect("in range");
            }
            assert_eq!(settled, cost);
            // The first is taken back, and used again.
            let first = due(cost, uses, 1, Millionths::ZERO).expect("a share");
            let left = settled.minus(first).expect("in range");
            assert_eq!(due(cost, uses, uses, left), Some(first));
        }
        assert_eq!((due(cost, 2, 0, Millionths::ZERO), due(cost, 2, 3, Millionths::ZERO)), (None, None));
    }

    #[test]
    fn a_code_is_read_however_it_is_typed_and_shows_a_slip() {
        let random: Vec<u8> = (0..40).map(|n| n * 6).collect();
        let code = VoucherCode::draw(&random).expect("enough");
        let shown = code.to_string();
        assert_eq!((shown.len(), shown.matches('-').count()), (19, 3));
        assert_eq!(shown.to_lowercase().replace('-', " ").parse(), Ok(code.clone()));
        assert_eq!(code.as_str().parse(), Ok(code.clone()));
        for at in 0..LENGTH {
            let mut slip = code.0;
            slip[at] = if slip[at] == b'7' { b'8' } else { b'7' };
            let slip = std::str::from_utf8(&slip).expect("ASCII");
            assert_eq!(slip.parse::<VoucherCode>(), Err(NotAVoucherCode), "{slip}");
        }
        for bad in ["", "0000", "é000000000000000", "00000000000000000"] {
            assert_eq!(bad.parse::<VoucherCode>(), Err(NotAVoucherCode), "{bad}");
        }
        assert_eq!(VoucherCode::draw(&[255; 64]), None);
        assert!(!format!("{code:?}").contains(code.as_str()));
    }
}
