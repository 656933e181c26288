//! Windows and what came of them, as tables.

use crate::cli::partners::table;
use crate::cli::{Error, Global};
use crate::domain::money::Millionths;
use crate::domain::settlement::obligation;
use crate::service::settlement::adjust;
use crate::service::settlement::settings::Settings;
use crate::store::catalogue;
use crate::store::settlement::adjustments::Request;
use crate::store::settlement::obligations::Row as Obligation;
use crate::store::settlement::windows::Row;
use crate::store::settlement::{obligations, statements, tallies, windows};
use chrono::NaiveDate;
use diesel::PgConnection;
use serde_json::{Value, json};

/// Windows listed at once.
const LIMIT: i64 = 100;

pub fn list(conn: &mut PgConnection, global: &Global) -> Result<(), Error> {
    let rows = windows::list(conn, i64::MAX, LIMIT).map_err(Error::failed)?;
    if global.json {
        println!("{:#}", rows.iter().map(window_json).collect::<Value>());
        return Ok(());
    }
    let mut table = table(["window", "state", "opened", "last day", "statements by", "disputes until", "due on"]);
    for row in &rows {
        let day = |of: fn(&crate::domain::settlement::calendar::Dates) -> NaiveDate| {
            row.closed.as_ref().map(|closed| of(&closed.dates).to_string()).unwrap_or_default()
        };
        table.add_row([
            row.number.to_string(),
            row.blocked_by.clone().map_or(row.stands().to_owned(), |why| format!("blocked: {why}")),
            row.opened_at.format("%Y-%m-%d %H:%MZ").to_string(),
            day(|dates| dates.last_day),
            day(|dates| dates.statement_by),
            day(|dates| dates.disputes_until),
            day(|dates| dates.due_on),
        ]);
    }
    println!("{table}");
    Ok(())
}

fn window_json(row: &Row) -> Value {
    let dates = row.closed.as_ref().map(|closed| closed.dates);
    json!({
        "window_id": row.id.to_string(), "number": row.number, "state": row.stands(), "opened_at": row.opened_at,
        "closed_at": row.closed.as_ref().map(|closed| closed.at), "last_day": dates.map(|dates| dates.last_day),
        "due_on": dates.map(|dates| dates.due_on), "blocked_by": row.blocked_by,
    })
}

/// A window's nets, statements and obligations.
pub fn window(conn: &mut PgConnection, row: &Row, global: &Global) -> Result<(), Error> {
    let nets = tallies::nets(conn, row.id, None).map_err(Error::failed)?;
    let statements = statements::of_window(conn, row.id).map_err(Error::failed)?;
    let owed = obligations::list(conn, Some(row.id), None).map_err(Error::failed)?;
    let today = today(conn)?;
    if global.json {
        let nets = nets.iter().map(|row| {
            json!({ "participant": row.participant.as_str(), "counterparty": row.counterparty.as_str(),
                "exact": row.net.exact.to_string(), "total": row.net.rounded.to_string() })
        });
        let statements = statements.iter().map(|row| {
            json!({ "participant": row.participant.as_str(), "statement_id": row.id.to_string(), "state": row.state.code(),
                "lines": row.lines, "closing": row.closing.to_string() })
        });
        println!(
            "{:#}",
            json!({ "window": window_json(row), "nets": nets.collect::<Vec<_>>(), "statements": statements.collect::<Vec<_>>(),
                "obligations": owed.iter().map(|row| obligation_json(row, today)).collect::<Vec<_>>() })
        );
        return Ok(());
    }
    let currency = match &row.closed {
        Some(closed) => Settings::read(&closed.settings).map_err(Error::failed)?.currency,
        // What an open window will be settled by is what is published when it ends.
        None => catalogue::load(conn).map_err(Error::failed)?.alliance.currency,
    };
    println!("window {} is {}, amounts in {currency}; positive is owed to the participant", row.number, row.stands());
    let mut table = table(["participant 结算参与方", "lines 明细", "net 净额", "closing 期末", "statement 对账单"]);
    for statement in &statements {
        let own = nets.iter().filter(|row| row.participant == statement.participant);
        let net = own.fold(Millionths::ZERO, |sum, row| sum.plus(row.net.rounded).unwrap_or(sum));
        table.add_row([
            statement.participant.to_string(),
            statement.lines.to_string(),
            net.to_string(),
            statement.closing.to_string(),
            statement.state.code().to_owned(),
        ]);
    }
    println!("{table}");
    print_obligations(&owed, today);
    Ok(())
}

/// What is still to be paid, of all windows.
pub fn unpaid(conn: &mut PgConnection, global: &Global) -> Result<(), Error> {
    let owed = obligations::list(conn, None, None).map_err(Error::failed)?;
    let today = today(conn)?;
    if global.json {
        println!("{:#}", owed.iter().map(|row| obligation_json(row, today)).collect::<Value>());
    } else {
        print_obligations(&owed, today);
    }
    Ok(())
}

/// Adjustments that were asked for: those that wait for somebody, then the newest.
pub fn adjustments(conn: &mut PgConnection, global: &Global) -> Result<(), Error> {
    let rows = adjust::list(conn, LIMIT).map_err(Error::failed)?;
    if global.json {
        let row = |row: &Request| {
            json!({ "adjustment_id": row.id.to_string(), "state": row.state.code(), "from": row.from, "to": row.to,
                "amount": row.amount.to_string(), "reason": row.reason, "asked_by": row.asked_by,
                "decided_by": row.settled_by })
        };
        println!("{:#}", rows.iter().map(row).collect::<Value>());
        return Ok(());
    }
    if rows.is_empty() {
        println!("nobody has asked for an adjustment");
        return Ok(());
    }
    let mut table = table(["adjustment 调整", "state", "from", "to", "amount", "reason", "asked by", "decided by"]);
    for row in rows {
        table.add_row([
            row.id.to_string(),
            row.state.code().to_owned(),
            row.from,
            row.to,
            row.amount.to_string(),
            row.reason,
            row.asked_by,
            row.settled_by.unwrap_or_default(),
        ]);
    }
    println!("{table}");
    Ok(())
}

fn today(conn: &mut PgConnection) -> Result<NaiveDate, Error> {
    let zone = catalogue::load(conn).map_err(Error::failed)?.alliance.zone;
    catalogue::business_day(conn, zone).map_err(Error::failed)
}

fn print_obligations(owed: &[Obligation], today: NaiveDate) {
    if owed.is_empty() {
        println!("nothing is to be paid");
        return;
    }
    let mut table = table(["obligation 付款义务", "debtor", "creditor", "amount", "paid", "due on", "state"]);
    for row in owed {
        table.add_row([
            row.id.to_string(),
            row.debtor.clone(),
            row.creditor.clone(),
            row.amount.to_string(),
            row.paid.to_string(),
            row.due_on.to_string(),
            obligation::state(row.amount, row.paid, row.due_on, today).code().to_owned(),
        ]);
    }
    println!("{table}");
}

fn obligation_json(row: &Obligation, today: NaiveDate) -> Value {
    json!({
        "obligation_id": row.id.to_string(), "window": row.number, "debtor": row.debtor, "creditor": row.creditor,
        "amount": row.amount.to_string(), "paid": row.paid.to_string(), "due_on": row.due_on,
        "state": obligation::state(row.amount, row.paid, row.due_on, today).code(),
    })
}
