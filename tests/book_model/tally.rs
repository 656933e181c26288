//! What was accepted and what was refused, per command and per code.

use super::ledger::{Expected, No};
use hanse::book::command::{Code, Command, Request};
use std::collections::BTreeMap;
use std::fmt;

#[derive(Default)]
pub struct Tally {
    /// Accepted, replayed, refused.
    pub commands: BTreeMap<&'static str, [u64; 3]>,
    pub codes: BTreeMap<Code, u64>,
}

pub fn name(command: &Command) -> &'static str {
    match command {
        Command::Register(_) => "register",
        Command::Credit(_) => "credit",
        Command::Debit(_) => "debit",
        Command::ReverseMovement(_) => "reverse movement",
        Command::Convert(_) => "convert",
        Command::Undo(_) => "undo",
        Command::Reverse(_) => "reverse",
        Command::ConfirmReversal(_) => "confirm reversal",
        Command::OpenLink(_) => "open link",
        Command::EndLink(_) => "end link",
        Command::Expire(_) => "expire",
        Command::Erase(_) => "erase",
        Command::Advance(_) => "advance",
        Command::Claim(_) => "claim",
        Command::ConfirmClaim(_) => "confirm claim",
        Command::CancelVoucher(_) => "cancel voucher",
        Command::ExpireVoucher(_) => "expire voucher",
        Command::Redeem(_) => "redeem",
        Command::ReverseRedemption(_) => "reverse redemption",
    }
}

impl Tally {
    pub fn count(&mut self, request: &Request, expected: &Expected) {
        let column = match expected {
            Expected::Refused(No(code, _)) => {
                *self.codes.entry(*code).or_default() += 1;
                2
            }
            Expected::Replayed => 1,
            _ => 0,
        };
        self.commands.entry(name(&request.command)).or_default()[column] += 1;
    }

    pub fn of(&self, code: Code) -> u64 {
        self.codes.get(&code).copied().unwrap_or_default()
    }

    pub fn accepted(&self) -> u64 {
        self.commands.values().map(|row| row[0]).sum()
    }

    pub fn all(&self) -> u64 {
        self.commands.values().flatten().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<24}{:>10}{:>10}{:>10}", "command", "accepted", "replayed", "refused")?;
        for (name, [accepted, replayed, refused]) in &self.commands {
            writeln!(f, "{name:<24}{accepted:>10}{replayed:>10}{refused:>10}")?;
        }
        let share = self.accepted() * 100 / self.all().max(1);
        writeln!(f, "{:<24}{:>10} of {} ({share} %)\n", "together", self.accepted(), self.all())?;
        writeln!(f, "{:<24}{:>10}", "refusal", "times")?;
        for (code, text) in Code::ALL {
            writeln!(f, "{text:<24}{:>10}", self.of(code))?;
        }
        Ok(())
    }
}
