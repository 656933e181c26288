//! What the walk has seen and may name again.

use super::ledger::Expected;
use hanse::book::command::{Command, Direction, DirectoryHash, Quoted, Reference, Request};
use hanse::domain::ids::{AccountId, ConversionId, LinkId, MovementId, ReversalId, Slug, VoucherId};
use std::collections::VecDeque;

const ROWS_MAX: usize = 500;
const REQUESTS_MAX: usize = 400;

/// A quote and who may carry it out.
#[derive(Clone)]
pub struct Offer {
    pub caller: Slug,
    pub who: DirectoryHash,
    pub direction: Direction,
    pub quoted: Box<Quoted>,
}

#[derive(Default)]
pub struct Pool {
    pub conversions: VecDeque<ConversionId>,
    pub movements: VecDeque<MovementId>,
    pub vouchers: VecDeque<VoucherId>,
    pub asked: VecDeque<ReversalId>,
    pub offers: VecDeque<Offer>,
    pub requests: VecDeque<Request>,
    pub references: VecDeque<(Slug, Reference)>,
    pub ended_links: VecDeque<(LinkId, AccountId, AccountId)>,
}

fn push<T>(list: &mut VecDeque<T>, item: T, most: usize) {
    list.push_back(item);
    if list.len() > most {
        list.pop_front();
    }
}

impl Pool {
    pub fn keep(&mut self, request: &Request, expected: &Expected, _step: u64) {
        match expected {
            Expected::Conversion(row) => push(&mut self.conversions, row.id, ROWS_MAX),
            Expected::Movement(row) => push(&mut self.movements, row.id, ROWS_MAX),
            Expected::Voucher(row) if matches!(request.command, Command::Claim(_)) => {
                push(&mut self.vouchers, row.id, ROWS_MAX);
            }
            Expected::Reversal(row) if !row.done => push(&mut self.asked, row.id, 100),
            _ => {}
        }
        if request.key.is_some() && !matches!(expected, Expected::Replayed) {
            push(&mut self.requests, request.clone(), REQUESTS_MAX);
        }
        if let Some(reference) = &request.reference
            && !matches!(expected, Expected::Replayed | Expected::Refused(_))
        {
            push(&mut self.references, (request.caller.clone(), reference.clone()), REQUESTS_MAX);
        }
    }

    pub fn offer(&mut self, offer: Offer) {
        push(&mut self.offers, offer, 60);
    }

    pub fn ended(&mut self, link: (LinkId, AccountId, AccountId)) {
        push(&mut self.ended_links, link, 20);
    }

    pub fn forget(
        &mut self,
        conversion: impl Fn(ConversionId) -> bool,
        movement: impl Fn(MovementId) -> bool,
        reversal: impl Fn(ReversalId) -> bool,
    ) {
        self.conversions.retain(|id| conversion(*id));
        self.movements.retain(|id| movement(*id));
        self.asked.retain(|id| reversal(*id));
    }
}
