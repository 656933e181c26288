//! A lane's queue: bounded, fair between partners, and never more than a share of one HTTP batch a round.

use super::command::{Answer, Request, Undecided};
use crate::domain::ids::Slug;
use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

/// Items of one HTTP batch taken in one round, so that one caller's thousand does not make others wait for it.
const OF_ONE_BATCH: usize = 200;

/// A request and who waits for its answer.
pub struct Pending {
    pub request: Request,
    /// The HTTP batch it came in, if any.
    pub group: Option<u64>,
    /// Rounds in which it got no turn.
    pub rounds: u32,
    pub reply: oneshot::Sender<Result<Answer, Undecided>>,
}

/// The queue is full, or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Pending {
    /// Gives the answer; who no longer listens loses nothing but this copy of it.
    pub fn answer(self, answer: Result<Answer, Undecided>) {
        let _ = self.reply.send(answer);
    }
}

#[derive(Default)]
struct Waiting {
    /// Requests that had no turn: they go first.
    again: VecDeque<Pending>,
    by_partner: HashMap<Slug, VecDeque<Pending>>,
    /// Partners with something waiting, in the order of their next turn.
    turns: VecDeque<Slug>,
    len: usize,
    closed: bool,
}

pub struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    max: usize,
}

impl Queue {
    pub fn new(max: usize) -> Queue {
        Queue { waiting: Mutex::default(), arrived: Condvar::new(), max }
    }

    /// Adds a request.
    pub fn push(&self, pending: Pending) -> Result<(), Full> {
        let mut waiting = self.lock();
        if waiting.len >= self.max || waiting.closed {
            return Err(Full);
        }
        waiting.add(pending);
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// Puts back, at the head, what got no turn. Never refused: it was counted when it came.
    pub fn put_back(&self, pending: Vec<Pending>) {
        let mut waiting = self.lock();
        waiting.len += pending.len();
        for item in pending.into_iter().rev() {
            waiting.again.push_front(item);
        }
    }

    /// Waits for requests and takes up to `most`, partners in turn. `None` once the queue is closed and empty.
    pub fn take(&self, most: usize) -> Option<Vec<Pending>> {
        let mut waiting = self.lock();
        while waiting.len == 0 {
            if waiting.closed {
                return None;
            }
            waiting = self.arrived.wait(waiting).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        Some(waiting.round(most))
    }

    /// No more requests; those waiting are still decided.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    pub fn len(&self) -> usize {
        self.lock().len
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A panic while holding it leaves whole requests in place; the queue stays usable.
        self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Waiting {
    fn add(&mut self, pending: Pending) {
        let partner = pending.request.caller.clone();
        let line = self.by_partner.entry(partner.clone()).or_default();
        if line.is_empty() {
            self.turns.push_back(partner);
        }
        line.push_back(pending);
        self.len += 1;
    }

    fn round(&mut self, most: usize) -> Vec<Pending> {
        let mut taken: Vec<Pending> = Vec::with_capacity(most.min(self.len));
        let mut of_group: HashMap<u64, usize> = HashMap::new();
        while taken.len() < most
            && let Some(pending) = self.again.pop_front()
        {
            taken.push(pending);
        }
        // Partners whose next item belongs to a batch that has had its share wait for the next round.
        let mut resting = Vec::new();
        while taken.len() < most
            && let Some(partner) = self.turns.pop_front()
        {
            let Some(line) = self.by_partner.get_mut(&partner) else { continue };
            let share = line.front().and_then(|next| next.group).map(|group| of_group.entry(group).or_default());
            match share {
                Some(count) if *count >= OF_ONE_BATCH => {
                    resting.push(partner);
                    continue;
                }
                Some(count) => *count += 1,
                None => {}
            }
            taken.extend(line.pop_front());
            match line.is_empty() {
                true => drop(self.by_partner.remove(&partner)),
                false => self.turns.push_back(partner),
            }
        }
        self.turns.extend(resting);
        self.len -= taken.len();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::command::{Command, Expire};
    use crate::domain::ids::AccountId;
    use uuid::Uuid;

    fn pending(partner: &str, group: Option<u64>, nth: u128) -> Pending {
        let request = Request {
            caller: partner.parse().expect("a slug"),
            fresh: Uuid::from_u128(nth),
            request_id: Uuid::nil(),
            key: None,
            reference: None,
            command: Command::Expire(Expire { account: AccountId(Uuid::nil()) }),
        };
        Pending { request, group, rounds: 0, reply: oneshot::channel().0 }
    }

    fn push_all(queue: &Queue, items: impl IntoIterator<Item = Pending>) {
        for item in items {
            assert!(queue.push(item).is_ok());
        }
    }

    #[test]
    fn a_full_or_closed_queue_refuses_at_once() {
        let queue = Queue::new(1);
        push_all(&queue, [pending("lumen", None, 1)]);
        assert!(queue.push(pending("lumen", None, 2)).is_err());
        assert_eq!(queue.take(10).map(|taken| taken.len()), Some(1));
        queue.close();
        assert!(queue.push(pending("lumen", None, 3)).is_err());
        assert!(queue.take(10).is_none());
    }

    #[test]
    fn partners_take_turns_and_each_keeps_its_order() {
        let queue = Queue::new(100);
        push_all(&queue, (0..10).map(|n| pending("lumen", None, n)));
        push_all(&queue, (10..12).map(|n| pending("nest", None, n)));
        let taken = queue.take(4).expect("open");
        let order: Vec<u128> = taken.iter().map(|item| item.request.fresh.as_u128()).collect();
        assert_eq!(order, [0, 10, 1, 11]);
        queue.put_back(taken);
        assert_eq!(queue.take(1).expect("open")[0].request.fresh.as_u128(), 0, "who had no turn goes first");
    }

    #[test]
    fn one_batch_gets_its_share_of_a_round_and_no_more() {
        let queue = Queue::new(5_000);
        push_all(&queue, (0..1_000).map(|n| pending("lumen", Some(7), n)));
        push_all(&queue, [pending("nest", None, 5_000)]);
        assert_eq!(queue.take(1_000).map(|taken| taken.len()), Some(OF_ONE_BATCH + 1));
        assert_eq!(queue.len(), 800);
    }
}
