//! Whether a server keeps what it has said it kept.
//!
//! Points are money: a database that may lose a committed row, or that has too few locks for a full batch, is
//! refused at start-up with the reason, not discovered after a power cut. `/readyz` shows the same report.

use super::Error;
use diesel::sql_types::{Bool, Integer, Text};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use serde::Serialize;

/// A full batch takes an advisory lock per account and key, and the lock table is shared by all connections.
pub const LOCKS_MIN: i32 = 256;

/// The settings that decide it, as the server reports them for this connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, QueryableByName)]
pub struct Durability {
    #[diesel(sql_type = Bool)]
    pub fsync: bool,
    #[diesel(sql_type = Bool)]
    pub full_page_writes: bool,
    #[diesel(sql_type = Text)]
    pub synchronous_commit: String,
    #[diesel(sql_type = Integer)]
    pub max_locks_per_transaction: i32,
    /// Reported only: a cluster made without checksums is less observable, not less durable.
    #[diesel(sql_type = Bool)]
    pub data_checksums: bool,
    #[diesel(sql_type = Text)]
    pub server_version: String,
}

/// Reads the settings and refuses, `Err(NotDurable)`, a server that may lose a commit or lacks locks.
pub fn check(conn: &mut PgConnection) -> Result<Durability, Error> {
    let report = read(conn)?;
    match report.faults() {
        faults if faults.is_empty() => Ok(report),
        faults => Err(Error::NotDurable(faults)),
    }
}

/// Reads the settings without judging them.
pub fn read(conn: &mut PgConnection) -> Result<Durability, Error> {
    let settings = sql_query(
        "SELECT current_setting('fsync')::bool AS fsync, \
                current_setting('full_page_writes')::bool AS full_page_writes, \
                current_setting('synchronous_commit') AS synchronous_commit, \
                current_setting('max_locks_per_transaction')::int AS max_locks_per_transaction, \
                current_setting('data_checksums')::bool AS data_checksums, \
                current_setting('server_version') AS server_version",
    );
    Ok(settings.get_result(conn)?)
}

impl Durability {
    /// What is wrong, each with the setting's name; empty when nothing is.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, on) in [("fsync", self.fsync), ("full_page_writes", self.full_page_writes)] {
            if !on {
                faults.push(format!("{name} is off, so a power cut may lose or tear committed rows: set {name} = on"));
            }
        }
        if self.synchronous_commit == "off" {
            let cure = "set synchronous_commit = on (for the server, this database and this role)";
            faults.push(format!("synchronous_commit is off, so a commit is answered before it is on disk: {cure}"));
        }
        if self.max_locks_per_transaction < LOCKS_MIN {
            let have = self.max_locks_per_transaction;
            let cure = format!("set max_locks_per_transaction = {LOCKS_MIN} or more and restart the server");
            faults.push(format!("max_locks_per_transaction is {have}, too few for a full batch: {cure}"));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Durability {
        Durability {
            fsync: true,
            full_page_writes: true,
            synchronous_commit: "on".to_owned(),
            max_locks_per_transaction: LOCKS_MIN,
            data_checksums: false,
            server_version: "15".to_owned(),
        }
    }

    #[test]
    fn a_server_that_may_lose_a_commit_is_named_setting_by_setting() {
        assert!(sound().faults().is_empty());
        let bad = |change: fn(&mut Durability), named: &str| {
            let mut report = sound();
            change(&mut report);
            let faults = report.faults();
            assert!(faults.len() == 1 && faults[0].starts_with(named), "{named}: {faults:?}");
        };
        bad(|report| report.fsync = false, "fsync");
        bad(|report| report.full_page_writes = false, "full_page_writes");
        bad(|report| report.synchronous_commit = "off".to_owned(), "synchronous_commit");
        bad(|report| report.max_locks_per_transaction = LOCKS_MIN - 1, "max_locks_per_transaction");
    }
}
