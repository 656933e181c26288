//! Where members' references lead, as a lane remembers it between batches: to ids, never to anything that is decided.
//!
//! An account's id never changes. What was remembered can only be wrong about a membership that has been erased since,
//! whose account is closed, or about a link made or ended since; either shows when the accounts themselves are read,
//! and then the place is forgotten and looked up again.

use super::command::DirectoryHash;
use super::store::read::Located;
use crate::domain::ids::{AccountId, Slug};
use std::collections::HashMap;

/// Most places a lane remembers, about 150 bytes each; beyond it, it starts again.
const PLACES_MAX: usize = 65_536;

/// An account and those it is linked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub account: AccountId,
    peers: Vec<(Slug, AccountId)>,
}

impl From<&Located> for Place {
    fn from(located: &Located) -> Place {
        let peers = located.links.iter().map(|link| (link.partner.clone(), link.account)).collect();
        Place { account: located.account, peers }
    }
}

impl Place {
    pub fn peer_at(&self, partner: &Slug) -> Option<AccountId> {
        self.peers.iter().find(|(peer, _)| peer == partner).map(|(_, account)| *account)
    }
}

#[derive(Debug, Default)]
pub struct Places(HashMap<DirectoryHash, Place>);

impl Places {
    pub fn get(&self, hash: DirectoryHash) -> Option<&Place> {
        self.0.get(&hash)
    }

    pub fn remember(&mut self, hash: DirectoryHash, place: Place) {
        if self.0.len() >= PLACES_MAX {
            self.0.clear();
        }
        self.0.insert(hash, place);
    }

    pub fn forget(&mut self, hash: DirectoryHash) {
        self.0.remove(&hash);
    }
}
