//! Which lines a posting has, and for whom: the one place that says who owes whom for what (rule 14).
//!
//! Amounts are seen from the participant: positive is owed to it, negative it owes. They are points × price, exact to the
//! millionth. What a reversal takes back is the same lines with the sign turned.

use super::Participant;
use crate::domain::catalogue::Party;
use crate::domain::ids::LineId;
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::terms::Terms;
use uuid::Uuid;

/// The lowest bits of a line's id say which line of its posting it is.
const PLACES: u128 = 4_095;
/// Those of them that say whose it is; the others, of which campaign.
const WHOSE: u128 = 3;

/// Campaigns that may stack in one conversion: the lines of each have a place of their own, part of their ids.
pub const CAMPAIGNS_MAX: u16 = 1_000;

/// What a line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The base credit of a conversion, at either side, with the fee of the one that pays it.
    Conversion,
    /// A campaign's bonus, for its funder and for the target; a memo of 0 where these are one.
    Bonus,
    /// A conversion's fee, for the operator.
    Fee,
    /// What a decision adds.
    Adjustment,
    /// A use of a benefit, for who gives it and for who pays.
    Benefit,
}

impl Kind {
    pub fn code(self) -> &'static str {
        match self {
            Kind::Conversion => "conversion",
            Kind::Bonus => "bonus",
            Kind::Fee => "fee",
            Kind::Adjustment => "adjustment",
            Kind::Benefit => "benefit",
        }
    }
}

/// One line of a conversion or of what takes part of it back, without what all its lines share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub whose: Party,
    /// Never the same as `whose`: a bonus the target funds itself is a memo against the origin.
    pub counterparty: Party,
    pub kind: Kind,
    /// Which campaign of the terms a bonus is of.
    pub campaign: Option<usize>,
    /// Credited points, negative when they are taken back.
    pub points: i64,
    pub amount: Millionths,
    /// Owed to the operator beside the amount: negative for who pays it.
    pub fee: Millionths,
}

/// What a posting moved: a conversion's own figures, or those of a reversal.
#[derive(Clone, Copy, Debug)]
pub struct Moved<'a> {
    pub credit: Points,
    /// One per campaign of the terms.
    pub bonuses: &'a [Points],
    pub fee: Millionths,
    /// They go back.
    pub back: bool,
}

/// The lines of what was moved under `terms`, in the order they are written: origin, target, each bonus, the operator's
/// fee. `None` when an amount is beyond the range of money, which the book refused.
pub fn parts(terms: &Terms, moved: Moved<'_>) -> Option<Vec<Part>> {
    let turned = |value: i64| if moved.back { -value } else { value };
    let money = |amount: Millionths| Millionths::new(turned(amount.get()));
    let base = terms.settlement_price.times(moved.credit)?;
    let fee_of = |party| if terms.fee_payer == party { money(moved.fee).negated() } else { Millionths::ZERO };
    let conversion = |whose, counterparty, amount| Part {
        whose,
        counterparty,
        kind: Kind::Conversion,
        campaign: None,
        points: turned(moved.credit.get()),
        amount,
        fee: fee_of(whose),
    };
    let mut lines = Vec::with_capacity(3 + 2 * moved.bonuses.len());
    lines.push(conversion(Party::From, Party::To, money(base).negated()));
    lines.push(conversion(Party::To, Party::From, money(base)));
    let campaigns = terms.campaigns.iter().zip(moved.bonuses).enumerate();
    for (nth, (campaign, points)) in campaigns.filter(|(_, (_, points))| !points.is_zero()) {
        let amount = money(terms.settlement_price.times(*points)?);
        let bonus = |whose, counterparty, amount| Part {
            whose,
            counterparty,
            kind: Kind::Bonus,
            campaign: Some(nth),
            points: turned(points.get()),
            amount,
            fee: Millionths::ZERO,
        };
        match campaign.funder {
            Party::To => lines.push(bonus(Party::To, Party::From, Millionths::ZERO)),
            funder @ (Party::From | Party::Operator) => {
                lines.push(bonus(funder, Party::To, amount.negated()));
                lines.push(bonus(Party::To, funder, amount));
            }
        }
    }
    if moved.fee != Millionths::ZERO && terms.fee_payer != Party::Operator {
        lines.push(Part {
            whose: Party::Operator,
            counterparty: terms.fee_payer,
            kind: Kind::Fee,
            campaign: None,
            points: turned(moved.credit.get()),
            amount: money(moved.fee),
            fee: Millionths::ZERO,
        });
    }
    Some(lines)
}

impl Part {
    /// What tells this line from the others of its posting: a number below 4,096 for up to `CAMPAIGNS_MAX` campaigns, part
    /// of its id.
    pub fn place(&self) -> u128 {
        let whose = match self.whose {
            Party::From => 1,
            Party::To => 2,
            Party::Operator => 3,
        };
        let campaign = self.campaign.and_then(|nth| u128::try_from(nth + 1).ok()).unwrap_or(0);
        whose + (WHOSE + 1) * campaign
    }

    /// Whose line this is under `terms`.
    pub fn participant(party: Party, terms: &Terms) -> Participant {
        match party {
            Party::From => Participant::from(&terms.from),
            Party::To => Participant::from(&terms.to),
            Party::Operator => Participant::operator(),
        }
    }
}

/// The id of a line: what was posted with the line's place in it, so that it can be made from either.
pub fn id(posted: Uuid, place: u128) -> LineId {
    LineId(Uuid::from_u128(posted.as_u128() ^ place))
}

/// The ids a line's posting may have, both ends included; also those of all lines of it.
pub fn of_posting(line: LineId) -> (Uuid, Uuid) {
    within(line, PLACES)
}

/// The ids, both ends included, of a line and of the same amount's line at the other side: those of one posting and one
/// campaign, or of its base.
pub fn of_amount(line: LineId) -> (Uuid, Uuid) {
    within(line, WHOSE)
}

fn within(line: LineId, places: u128) -> (Uuid, Uuid) {
    let bits = line.0.as_u128();
    (Uuid::from_u128(bits & !places), Uuid::from_u128(bits | places))
}

/// Which campaign of its terms a line of this posting is of, counted from 1, or 0 for the base. `None`: it is a line of
/// another posting.
pub fn campaign(line: LineId, posted: Uuid) -> Option<u16> {
    let place = line.0.as_u128() ^ posted.as_u128();
    u16::try_from(place).ok().filter(|place| u128::from(*place) <= PLACES).map(|place| place >> WHOSE.count_ones())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::quote::tests::two_to_one;
    use crate::domain::terms::FrozenCampaign;

    fn points(value: i64) -> Points {
        Points::new(value).expect("in range")
    }

    fn told(terms: &Terms, back: bool) -> Vec<(&'static str, Party, Party, i64, i64, i64)> {
        let moved = Moved { credit: points(68), bonuses: &[points(6)], fee: Millionths::new(34_000), back };
        let lines = parts(terms, moved).expect("within range");
        lines
            .iter()
            .map(|line| {
                (line.kind.code(), line.whose, line.counterparty, line.points, line.amount.get(), line.fee.get())
            })
            .collect()
    }

    #[test]
    fn every_funder_and_payer_has_its_lines_and_they_sum_to_zero() {
        use Party::{From, Operator, To};
        let terms = two_to_one();
        assert_eq!(
            told(&terms, false),
            [
                ("conversion", From, To, 68, -3_400_000, -34_000),
                ("conversion", To, From, 68, 3_400_000, 0),
                ("bonus", To, From, 6, 0, 0),
                ("fee", Operator, From, 68, 34_000, 0),
            ]
        );
        for funder in [From, To, Operator] {
            for fee_payer in [From, To, Operator] {
                let campaigns = vec![FrozenCampaign { funder, ..terms.campaigns[0].clone() }];
                let terms = Terms { campaigns, fee_payer, ..terms.clone() };
                let lines = told(&terms, false);
                assert_eq!(lines.iter().map(|line| line.4 + line.5).sum::<i64>(), 0, "{funder:?} {fee_payer:?}");
                let turned: Vec<_> =
                    lines.iter().map(|line| (line.0, line.1, line.2, -line.3, -line.4, -line.5)).collect();
                assert_eq!(told(&terms, true), turned, "a reversal is the same lines turned");
            }
        }
    }

    #[test]
    fn no_two_lines_of_a_posting_have_one_place() {
        let terms = two_to_one();
        let campaign = |funder| FrozenCampaign { funder, ..terms.campaigns[0].clone() };
        let campaigns = [Party::From, Party::Operator, Party::To].map(campaign).to_vec();
        let terms = Terms { campaigns, ..terms };
        let bonuses = [points(6), points(1), points(2)];
        let moved = Moved { credit: points(68), bonuses: &bonuses, fee: Millionths::new(1), back: false };
        let lines = parts(&terms, moved).expect("within range");
        let places: std::collections::BTreeSet<u128> = lines.iter().map(Part::place).collect();
        assert_eq!(places.len(), lines.len());
        assert!(places.iter().all(|place| *place < 4_096));
    }

    #[test]
    fn a_line_and_its_mirror_are_told_from_all_others_by_their_ids() {
        let terms = two_to_one();
        let campaign_of = |funder| FrozenCampaign { funder, ..terms.campaigns[0].clone() };
        let terms = Terms { campaigns: [Party::From, Party::Operator].map(campaign_of).to_vec(), ..terms.clone() };
        let moved =
            Moved { credit: points(68), bonuses: &[points(6), points(2)], fee: Millionths::new(1), back: false };
        let lines = parts(&terms, moved).expect("within range");
        let posted = Uuid::from_u128(0x0198_c0de_0000_7abc_8def_0123_4567_89ab);
        let other = Uuid::from_u128(posted.as_u128() ^ (PLACES + 1));
        for line in &lines {
            let own = id(posted, line.place());
            let nth = line.campaign.map_or(0, |nth| nth + 1);
            assert_eq!((campaign(own, posted).map(usize::from), campaign(own, other)), (Some(nth), None), "{line:?}");
            let (low, high) = of_posting(own);
            assert!((low..=high).contains(&posted) && !(low..=high).contains(&other), "{line:?}");
            for beside in &lines {
                let same = of_amount(own) == of_amount(id(posted, beside.place()));
                assert_eq!(same, line.campaign == beside.campaign, "{line:?} {beside:?}");
                assert_ne!(of_amount(own), of_amount(id(other, beside.place())));
            }
        }
    }
}
