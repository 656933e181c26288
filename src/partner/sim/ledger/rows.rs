//! What the ledger keeps, and the one way to it.

use super::sum;
use crate::partner::endpoint::{CreditRequest, HoldRequest, Lot, Refusal};
use serde::{Deserialize, Serialize};

/// A member and the points it may spend; what is held is in the holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub status: String,
    pub tier: String,
    pub lots: Vec<Lot>,
}

impl Member {
    pub fn balance(&self) -> i64 {
        sum(&self.lots)
    }
}

/// How an id was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stood {
    /// Held, or credited.
    Taken,
    Captured,
    /// Released, or voided: whether it was ever made or not.
    Released,
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRow {
    /// `None` of one that was released before it came.
    pub asked: Option<HoldRequest>,
    pub conversion_id: String,
    pub lots: Vec<Lot>,
    pub state: Stood,
    pub refused: Option<Refusal>,
    /// Of what was captured.
    pub given_back: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditRow {
    /// `None` of one that was voided before it came.
    pub asked: Option<CreditRequest>,
    pub conversion_id: String,
    pub state: Stood,
    pub refused: Option<Refusal>,
}

/// An event of the alliance's feed, its bytes as they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub sequence: u64,
    pub id: String,
    pub body: String,
}

/// Where points came from and went: members and holds together are what these make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub seeded: i64,
    pub credited: i64,
    pub given_back: i64,
    pub captured: i64,
    pub expired: i64,
    pub held: i64,
}

impl Totals {
    /// What members may spend, together.
    pub fn spendable(&self) -> i64 {
        self.seeded + self.credited + self.given_back - self.captured - self.expired - self.held
    }
}

/// The rows of one transaction.
pub trait Rows {
    type Error;

    fn member(&mut self, member_ref: &str) -> Result<Option<Member>, Self::Error>;
    fn put_member(&mut self, member_ref: &str, row: &Member) -> Result<(), Self::Error>;
    fn hold(&mut self, hold_id: &str) -> Result<Option<HoldRow>, Self::Error>;
    fn put_hold(&mut self, hold_id: &str, row: &HoldRow) -> Result<(), Self::Error>;
    fn credit(&mut self, credit_id: &str) -> Result<Option<CreditRow>, Self::Error>;
    fn put_credit(&mut self, credit_id: &str, row: &CreditRow) -> Result<(), Self::Error>;
    fn event(&mut self, sequence: u64) -> Result<Option<Event>, Self::Error>;
    fn put_event(&mut self, event: &Event) -> Result<(), Self::Error>;
    fn totals(&mut self) -> Result<Totals, Self::Error>;
    fn put_totals(&mut self, totals: &Totals) -> Result<(), Self::Error>;
}
