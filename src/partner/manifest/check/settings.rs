//! Settlement, the operator and ledger accounts.

use super::super::raw::{AccountsTable, OperatorTable, SettlementTable};
use super::value::Values;
use crate::domain::catalogue::{Accounts, Cycle, Name, Netting, Operator, Rounding, Settlement};
use toml::Spanned;

pub(super) fn settlement(values: &mut Values<'_>, table: &SettlementTable) -> Settlement {
    let base = Settlement::default();
    let cycle = table.cycle.as_ref().and_then(|raw| {
        values.word("settlement.cycle", raw, Cycle::parse, "write \"daily\", \"weekly\" or \"monthly\"")
    });
    let netting = table.netting.as_ref().and_then(|raw| {
        values.word("settlement.netting", raw, Netting::parse, "write \"multilateral\" or \"bilateral\"")
    });
    let rounding = table
        .rounding
        .as_ref()
        .and_then(|raw| values.word("settlement.rounding", raw, Rounding::parse, "write \"half_up\" or \"half_even\""));
    let told = values.told();
    let mut days = |name: &'static str, raw: &Option<Spanned<i64>>, default: u32| {
        let range = 0..=i64::from(Settlement::DAYS_MAX);
        values.count(&format!("settlement.{name}"), raw.as_ref(), range, default)
    };
    let settlement = Settlement {
        cycle: cycle.unwrap_or(base.cycle),
        netting: netting.unwrap_or(base.netting),
        rounding: rounding.unwrap_or(base.rounding),
        cut_off_days: days("cut_off_days", &table.cut_off_days, base.cut_off_days),
        draft_days: days("draft_days", &table.draft_days, base.draft_days),
        dispute_days: days("dispute_days", &table.dispute_days, base.dispute_days),
        due_days: days("due_days", &table.due_days, base.due_days),
    };
    // A day that is out of its range has no place among the others.
    if values.told() == told {
        in_order(values, table, &settlement);
    }
    settlement
}

/// A day of a window's settlement, as it counts and as it is written.
type Day<'a> = (&'static str, u32, Option<&'a Spanned<i64>>);

fn in_order(values: &mut Values<'_>, table: &SettlementTable, settlement: &Settlement) {
    let cut_off: Day<'_> = ("cut_off_days", settlement.cut_off_days, table.cut_off_days.as_ref());
    let draft: Day<'_> = ("draft_days", settlement.draft_days, table.draft_days.as_ref());
    let dispute: Day<'_> = ("dispute_days", settlement.dispute_days, table.dispute_days.as_ref());
    let due: Day<'_> = ("due_days", settlement.due_days, table.due_days.as_ref());
    for (earlier, later) in [(cut_off, draft), (draft, dispute), (cut_off, due)] {
        let ((first, from, first_raw), (second, to, second_raw)) = (earlier, later);
        if from <= to {
            continue;
        }
        // What is left out is right by itself, so one of the two is written.
        if let Some(raw) = second_raw {
            let problem = format!("{to} is before {first}, which is {from}; write {from} or more");
            values.say(raw.span(), format!("settlement.{second}"), problem);
        } else if let Some(raw) = first_raw {
            let problem =
                format!("{from} is after {second}, which is {to} if left out; write {to} or less, or {second} too");
            values.say(raw.span(), format!("settlement.{first}"), problem);
        }
    }
}

/// Unless it says otherwise, the operator is called as the alliance is.
pub(super) fn operator(values: &mut Values<'_>, table: &OperatorTable, alliance: &Name) -> Operator {
    let base = Operator::named(&alliance.en);
    let entity = table.legal_entity.as_ref().map(|entity| values.text("operator.legal_entity", entity, 128));
    let tax_code = table.tax_code.as_ref().map(|code| values.text("operator.tax_code", code, 64));
    let tax = table.fee_tax_percent.as_ref();
    Operator {
        legal_entity: entity.unwrap_or(base.legal_entity),
        tax_code: tax_code.unwrap_or(base.tax_code),
        fee_tax_basis_points: tax
            .map_or(base.fee_tax_basis_points, |tax| values.percent("operator.fee_tax_percent", tax, 0..=10_000)),
        accounts: accounts(values, "operator.accounts", &table.accounts, base.accounts),
    }
}

/// `table` over `base`: what it does not say stays.
pub(super) fn accounts(values: &mut Values<'_>, field: &str, table: &AccountsTable, mut base: Accounts) -> Accounts {
    let each = [
        ("receivable", &table.receivable),
        ("payable", &table.payable),
        ("points_out", &table.points_out),
        ("points_in", &table.points_in),
        ("bonus", &table.bonus),
        ("bonus_income", &table.bonus_income),
        ("fee", &table.fee),
        ("tax", &table.tax),
        ("adjustment", &table.adjustment),
    ];
    for (name, raw) in each {
        let Some(raw) = raw else { continue };
        if base.set(name, raw.get_ref()).is_none() {
            let hint = "write an account's code: 1 to 32 printable ASCII characters, no space at the ends";
            values.say(raw.span(), format!("{field}.{name}"), hint);
        }
    }
    base
}
