//! Accounts as this server's lanes last left them, so that most are not read again.
//!
//! A version rises by one with every write, at whichever server, so the same version is the same row. Writing checks the
//! version, and what is only read is checked before anything is written; so what was remembered never decides anything
//! by itself. Whoever reads an account takes it out of the memory, and its batch brings it back when it is known to be
//! committed: no lane meets an account that another is about to change.

use super::engine::account::Account;
use super::engine::world::World;
use crate::domain::ids::AccountId;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most accounts a server remembers, about 400 bytes each; beyond it, it starts again.
const KNOWN_MAX: usize = 65_536;

#[derive(Debug, Default)]
pub struct Known(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    /// Which run of which database server the accounts are of.
    origin: String,
    /// How often a lane has connected: what was taken before the last time is not brought back.
    epoch: u64,
    accounts: HashMap<AccountId, Account>,
}

impl Known {
    /// A lane has connected: behind the name there may be another database, or the same as it was earlier.
    pub fn start(&self, origin: &str) {
        let mut known = self.lock();
        known.accounts.clear();
        known.epoch += 1;
        origin.clone_into(&mut known.origin);
    }

    /// Takes what is remembered of these, and says of which nothing is, and the epoch to bring them back with.
    pub fn take(&self, origin: &str, ids: Vec<AccountId>) -> (Vec<Account>, Vec<AccountId>, u64) {
        let mut known = self.lock();
        if known.origin != origin {
            return (Vec::new(), ids, 0);
        }
        let (mut accounts, mut unknown) = (Vec::with_capacity(ids.len()), Vec::new());
        for id in ids {
            match known.accounts.remove(&id) {
                Some(account) => accounts.push(account),
                None => unknown.push(id),
            }
        }
        (accounts, unknown, known.epoch)
    }

    /// Remembers what a committed batch has read and written, unless a lane has connected since it began.
    pub fn learn(&self, epoch: u64, world: World) {
        let World { accounts, writes, batch_no, .. } = world;
        let mut known = self.lock();
        if known.epoch != epoch {
            return;
        }
        if known.accounts.len() + accounts.len() > KNOWN_MAX {
            known.accounts.clear();
        }
        for (id, mut account) in accounts {
            if writes.touched.contains_key(&id) {
                account.last_batch = account.last_batch_after(batch_no);
                account.entry_no_read = account.entry_no;
                account.version += 1;
            }
            // Another lane may have had its turn since, and have brought a newer one.
            if known.accounts.get(&id).is_none_or(|newer| newer.version < account.version) {
                known.accounts.insert(id, account);
            }
        }
    }

    /// No step of what is done with the lock held leaves it half done, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::engine::world::Now;
    use crate::domain::ids::WindowId;
    use uuid::Uuid;

    fn account() -> Account {
        let (id, partner) = (AccountId(Uuid::from_u128(5)), "lumen".parse().expect("a slug"));
        Account { version: 3, ..Account::new(id, partner, "basic".to_owned(), chrono::NaiveDate::default()) }
    }

    fn batch(account: &Account, written: bool) -> World {
        let now = Now { at: chrono::DateTime::UNIX_EPOCH, day: chrono::NaiveDate::default() };
        let mut world = World::new(now, WindowId(Uuid::nil()), 7);
        world.accounts.insert(account.id, account.clone());
        if written {
            world.change(account.id).expect("it is there");
        }
        world
    }

    #[test]
    fn an_account_is_given_away_and_comes_back_as_it_was_written() {
        let (known, account) = (Known::default(), account());
        let id = account.id;
        known.start("one");
        let (_, _, epoch) = known.take("one", vec![id]);
        known.learn(epoch, batch(&account, true));
        let (taken, unknown, _) = known.take("one", vec![id]);
        assert_eq!((taken[0].version, unknown.len()), (account.version + 1, 0));
        assert_eq!(known.take("one", vec![id]).1, [id], "nobody else meets it meanwhile");
        // A lane that comes late with what it wrote earlier does not put it over what was written since.
        known.learn(epoch, batch(&taken[0], false));
        known.learn(epoch, batch(&account, false));
        assert_eq!(known.take("one", vec![id]).0[0].version, account.version + 1);
    }

    #[test]
    fn nothing_is_kept_from_one_connection_or_run_of_the_database_to_the_next() {
        let (known, account) = (Known::default(), account());
        known.start("one");
        let (_, _, epoch) = known.take("one", vec![account.id]);
        known.learn(epoch, batch(&account, false));
        known.start("one");
        known.learn(epoch, batch(&account, false));
        let (taken, _, epoch) = known.take("one", vec![account.id]);
        assert!(taken.is_empty(), "begun before the last connection");
        known.learn(epoch, batch(&account, false));
        // A connection that outlived its database.
        let (taken, _, none) = known.take("another", vec![account.id]);
        assert!(taken.is_empty());
        known.learn(none, batch(&Account { version: 9, ..account.clone() }, false));
        assert_eq!(known.take("one", vec![account.id]).0[0].version, account.version);
    }
}
