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
    accounts: HashMap<AccountId, Account>,
}

impl Known {
    /// A lane has connected: behind the name there may be another database, or the same as it was earlier.
    pub fn start(&self, origin: &str) {
        let mut known = self.lock();
        known.accounts.clear();
        origin.clone_into(&mut known.origin);
    }

    /// Takes what is remembered of these, and says of which nothing is.
    pub fn take(&self, origin: &str, ids: Vec<AccountId>) -> (Vec<Account>, Vec<AccountId>) {
        let mut known = self.lock();
        if known.origin != origin {
            return (Vec::new(), ids);
        }
        let (mut accounts, mut unknown) = (Vec::with_capacity(ids.len()), Vec::new());
        for id in ids {
            match known.accounts.remove(&id) {
                Some(account) => accounts.push(account),
                None => unknown.push(id),
            }
        }
        (accounts, unknown)
    }

    /// Remembers what a committed batch has read and written.
    pub fn learn(&self, origin: &str, world: World) {
        let World { accounts, writes, batch_no, .. } = world;
        let mut known = self.lock();
        if known.origin != origin {
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
        known.learn("one", batch(&account, true));
        let (taken, unknown) = known.take("one", vec![id]);
        assert_eq!((taken[0].version, unknown.len()), (account.version + 1, 0));
        assert_eq!(known.take("one", vec![id]).1, [id], "nobody else meets it meanwhile");
        // A lane that comes late with what it wrote earlier does not put it over what was written since.
        known.learn("one", batch(&taken[0], false));
        known.learn("one", batch(&account, false));
        assert_eq!(known.take("one", vec![id]).0[0].version, account.version + 1);
    }

    #[test]
    fn nothing_is_kept_from_one_run_of_the_database_to_the_next() {
        let (known, account) = (Known::default(), account());
        known.start("one");
        known.learn("one", batch(&account, false));
        known.start("two");
        assert!(known.take("two", vec![account.id]).0.is_empty());
        known.learn("one", batch(&account, false));
        assert!(known.take("two", vec![account.id]).0.is_empty(), "of a connection that outlived its database");
    }
}
