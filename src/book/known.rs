//! Accounts as a lane last left them, so that reading one again is to ask whether its version is still the same.
//!
//! A version rises by one with every write, at whichever server, so the same version is the same row. It is asked for
//! with the turn taken, like the row itself. Nothing is kept of a batch that is not known to be committed, nor from one
//! connection to the next, behind which may be another database.

use super::engine::account::Account;
use super::engine::world::World;
use super::store::Error;
use super::store::read;
use crate::domain::ids::AccountId;
use diesel::PgConnection;
use std::collections::HashMap;

/// Most accounts a lane remembers, about 400 bytes each; beyond it, it starts again.
const KNOWN_MAX: usize = 32_768;

#[derive(Debug, Default)]
pub struct Known(HashMap<AccountId, Account>);

impl Known {
    /// The accounts of these ids as they are now. Those remembered are given away: `learn` brings them back.
    pub fn read(&mut self, conn: &mut PgConnection, ids: Vec<AccountId>) -> Result<Vec<Account>, Error> {
        let mut accounts = Vec::with_capacity(ids.len());
        let mut unread = Vec::new();
        for id in ids {
            match self.0.remove(&id) {
                Some(account) => accounts.push(account),
                None => unread.push(id),
            }
        }
        if !accounts.is_empty() {
            let same = read::unchanged(conn, accounts.iter().map(|account| (account.id, account.version)).collect())?;
            accounts.retain(|account| {
                let is_same = same.contains(&account.id);
                if !is_same {
                    unread.push(account.id);
                }
                is_same
            });
        }
        if !unread.is_empty() {
            accounts.extend(read::accounts(conn, unread)?);
        }
        Ok(accounts)
    }

    /// Remembers what a committed batch has read and written.
    pub fn learn(&mut self, world: World) {
        let World { accounts, writes, batch_no, .. } = world;
        if self.0.len() + accounts.len() > KNOWN_MAX {
            self.0.clear();
        }
        for (id, mut account) in accounts {
            if writes.touched.contains_key(&id) {
                account.last_batch = account.last_batch_after(batch_no);
                account.entry_no_read = account.entry_no;
                account.version += 1;
            }
            self.0.insert(id, account);
        }
    }

    pub fn forget(&mut self) {
        self.0.clear();
    }
}
