//! The fingerprint of a command: same key with another fingerprint is `idempotency_mismatch`.
//!
//! Taken of the typed command, never of the bytes that came, so that white space, the order of fields or an explicit
//! null do not make a retry look like another request. The encoding is for ever, as keys of money never expire: a
//! change of it takes a new version, and the digest covers the version.

use crate::book::command::{Ask, Command, CreditKind, Direction, MovementSide, Reference, Want};
use crate::domain::expiry::Expiry;
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::signing::digest;
use chrono::{Datelike, NaiveDate};
use uuid::Uuid;

const VERSION: u8 = 1;

/// The fingerprint of a command that moves value and of the reference it came with.
pub fn of(command: &Command, reference: Option<&Reference>) -> Uuid {
    digest::fingerprint(VERSION, &encode(command, reference))
}

fn encode(command: &Command, reference: Option<&Reference>) -> Vec<u8> {
    let mut bytes = Encoder(Vec::with_capacity(128));
    bytes.optional(reference, |bytes, reference| bytes.text(&reference.text));
    match command {
        Command::Credit(credit) => {
            bytes.tag(1).id(credit.who.0).points(credit.points).tag(credit_kind(credit.kind)).text(&credit.reason);
            bytes.optional(credit.expires, Encoder::expiry).optional(credit.available_on, Encoder::day);
        }
        Command::Debit(debit) => {
            bytes.tag(2).id(debit.who.0).points(debit.points).text(&debit.reason);
        }
        Command::ReverseMovement(reverse) => {
            let side = match reverse.of {
                MovementSide::Credit => 0,
                MovementSide::Debit => 1,
            };
            bytes.tag(3).id(reverse.movement.0).tag(side).points(reverse.points).text(&reverse.reason);
        }
        Command::Convert(convert) => {
            bytes.tag(4);
            match &convert.ask {
                // The token's id says everything else: what it stands for was signed.
                Ask::Quoted(quoted) => {
                    bytes.tag(0).id(quoted.quote.0);
                }
                Ask::Now { want, floor } => {
                    bytes.tag(1).id(convert.who.0).direction(&convert.direction).want(*want);
                    bytes.optional(*floor, Encoder::points);
                }
            }
        }
        Command::Undo(undo) => {
            bytes.tag(5).id(undo.conversion.0);
        }
        Command::Reverse(reverse) => {
            bytes.tag(6).id(reverse.conversion.0).points(reverse.credit_points).text(&reverse.reason);
        }
        Command::ConfirmReversal(confirm) => {
            bytes.tag(7).id(confirm.reversal.0);
        }
        Command::Claim(_) | Command::Redeem(_) | Command::ReverseRedemption(_) => of_benefits(&mut bytes, command),
        // Idempotent by themselves: they carry no key, so that nothing compares this.
        Command::Register(_)
        | Command::OpenLink(_)
        | Command::EndLink(_)
        | Command::Expire(_)
        | Command::Erase(_)
        | Command::Advance(_)
        | Command::ConfirmClaim(_)
        | Command::CancelVoucher(_)
        | Command::ExpireVoucher(_) => {
            bytes.tag(0);
        }
    }
    bytes.0
}

/// The code and the token of a claim are drawn anew each time: what is asked is the rest.
fn of_benefits(bytes: &mut Encoder, command: &Command) {
    match command {
        Command::Claim(claim) => {
            bytes.tag(8).id(claim.who.0).id(claim.benefit.0).tag(u8::from(claim.reserve));
            bytes.optional(claim.version, Encoder::number);
        }
        Command::Redeem(redeem) => {
            bytes.tag(9);
            // However it was typed, it is one code: the first reading is the same then.
            if let Some(code) = redeem.codes.first() {
                bytes.id(code.0);
            }
            bytes.optional(redeem.bill.map(Millionths::get), Encoder::number).text(&redeem.store);
            bytes.optional(redeem.till.as_deref(), Encoder::text);
            bytes.optional(redeem.receipt.as_ref().map(|receipt| receipt.number.as_str()), Encoder::text);
        }
        Command::ReverseRedemption(reverse) => {
            bytes.tag(10).id(reverse.redemption.0).text(&reverse.reason);
        }
        _ => {}
    }
}

fn credit_kind(kind: CreditKind) -> u8 {
    match kind {
        CreditKind::Earn => 0,
        CreditKind::Extra => 1,
        CreditKind::Opening => 2,
        CreditKind::Adjust => 3,
    }
}

/// Every part is of fixed length or led by its length, so that no two commands share an encoding.
struct Encoder(Vec<u8>);

impl Encoder {
    fn tag(&mut self, tag: u8) -> &mut Self {
        self.0.push(tag);
        self
    }

    fn number(&mut self, number: i64) -> &mut Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn points(&mut self, points: Points) -> &mut Self {
        self.number(points.get())
    }

    fn id(&mut self, id: Uuid) -> &mut Self {
        self.0.extend_from_slice(id.as_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        // Texts are at most 128 characters; usize to u64 is lossless on every platform we build for.
        self.0.extend_from_slice(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn day(&mut self, day: NaiveDate) -> &mut Self {
        self.number(i64::from(day.num_days_from_ce()))
    }

    fn expiry(&mut self, expiry: Expiry) -> &mut Self {
        match expiry {
            Expiry::On(day) => self.tag(0).day(day),
            Expiry::Never => self.tag(1),
        }
    }

    fn direction(&mut self, direction: &Direction) -> &mut Self {
        match direction {
            Direction::To(slug) => self.tag(0).text(slug.as_str()),
            Direction::From(slug) => self.tag(1).text(slug.as_str()),
        }
    }

    fn want(&mut self, want: Want) -> &mut Self {
        match want {
            Want::Points(points) => self.tag(0).points(points),
            Want::CreditPoints(points) => self.tag(1).points(points),
        }
    }

    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T) -> &mut Self) -> &mut Self {
        match value {
            None => self.tag(0),
            Some(value) => {
                self.tag(1);
                write(self, value)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::command::{Convert, Credit, Debit, DirectoryHash, Undo};
    use crate::domain::ids::ConversionId;

    fn points(value: i64) -> Points {
        Points::new(value).expect("in range")
    }

    fn convert(to: &str, want: Want, floor: Option<Points>) -> Command {
        Command::Convert(Convert {
            who: DirectoryHash(Uuid::from_u128(1)),
            direction: Direction::To(to.parse().expect("a slug")),
            ask: Ask::Now { want, floor },
        })
    }

    #[test]
    fn every_part_of_a_command_tells() {
        let who = DirectoryHash(Uuid::from_u128(1));
        let credit = |kind, expires, available_on| {
            Command::Credit(Credit { who, points: points(5), kind, reason: "r".into(), expires, available_on })
        };
        let day = NaiveDate::from_ymd_opt(2027, 1, 31);
        let commands = [
            convert("harvest", Want::Points(points(136)), None),
            convert("harvest", Want::CreditPoints(points(136)), None),
            convert("harvest", Want::Points(points(137)), None),
            convert("harvest", Want::Points(points(136)), Some(Points::ZERO)),
            convert("harvests", Want::Points(points(136)), None),
            credit(CreditKind::Earn, None, None),
            credit(CreditKind::Extra, None, None),
            credit(CreditKind::Earn, Some(Expiry::Never), None),
            credit(CreditKind::Earn, day.map(Expiry::On), None),
            credit(CreditKind::Earn, None, day),
            Command::Debit(Debit { who, points: points(5), reason: "r".into() }),
            Command::Undo(Undo { conversion: ConversionId(Uuid::from_u128(1)) }),
        ];
        let encoded: std::collections::BTreeSet<_> = commands.iter().map(|command| encode(command, None)).collect();
        assert_eq!(encoded.len(), commands.len());
        let reference = Reference { hash: DirectoryHash(Uuid::nil()), text: "r-1".into() };
        assert_ne!(encode(&commands[0], None), encode(&commands[0], Some(&reference)));
    }

    #[test]
    fn the_encoding_never_changes() {
        let undo = Command::Undo(Undo { conversion: ConversionId(Uuid::from_u128(0x11)) });
        let expected = [&[0, 5][..], Uuid::from_u128(0x11).as_bytes()].concat();
        assert_eq!(encode(&undo, None), expected);
    }
}
