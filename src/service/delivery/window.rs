//! The events that a courier has at hand: of one key one at a time, across keys in the order of the feed.

use hyper::body::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use uuid::Uuid;

/// An event on its way to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub sequence: i64,
    pub event: Uuid,
    pub kind: String,
    /// What it is about.
    pub key: Uuid,
    pub body: Bytes,
    /// Failed tries before this one.
    pub tries: i32,
    /// How often it was sent again on request.
    pub resent: i32,
    /// Whether it has a row already: it failed before, or waited behind one that had.
    pub row: bool,
}

#[derive(Debug)]
pub struct Window {
    /// By key, the first to be sent first. A key that is absent has nothing waiting.
    queues: HashMap<Uuid, VecDeque<Item>>,
    /// Keys of which none is under way, by their first event.
    ready: BTreeMap<i64, Uuid>,
    busy: HashSet<Uuid>,
    /// Read and not written down.
    unsettled: BTreeSet<i64>,
    /// Of those that have rows: which are here.
    rows: HashSet<i64>,
    queued: usize,
    read_to: i64,
}

impl Window {
    /// Of an endpoint for which everything up to `cursor` is settled.
    pub fn new(cursor: i64) -> Window {
        Window {
            queues: HashMap::new(),
            ready: BTreeMap::new(),
            busy: HashSet::new(),
            unsettled: BTreeSet::new(),
            rows: HashSet::new(),
            queued: 0,
            read_to: cursor,
        }
    }

    /// The last event that was read.
    pub fn read_to(&self) -> i64 {
        self.read_to
    }

    pub fn queued(&self) -> usize {
        self.queued
    }

    pub fn unsettled(&self) -> usize {
        self.unsettled.len() + self.rows.len()
    }

    pub fn has_row(&self, sequence: i64) -> bool {
        self.rows.contains(&sequence)
    }

    /// Everything up to here was read, wanted or not.
    pub fn read(&mut self, to: i64) {
        self.read_to = self.read_to.max(to);
    }

    pub fn push(&mut self, item: Item) {
        if item.row {
            self.rows.insert(item.sequence);
        } else {
            self.unsettled.insert(item.sequence);
        }
        let (key, sequence) = (item.key, item.sequence);
        let queue = self.queues.entry(key).or_default();
        // One that is sent again comes before what is here already.
        let at = queue.partition_point(|one| one.sequence < sequence);
        if at == 0 && !self.busy.contains(&key) {
            if let Some(first) = queue.front() {
                self.ready.remove(&first.sequence);
            }
            self.ready.insert(sequence, key);
        }
        queue.insert(at, item);
        self.queued += 1;
    }

    /// The next to be sent.
    pub fn take(&mut self) -> Option<Item> {
        let (_, key) = self.ready.pop_first()?;
        let queue = self.queues.get_mut(&key)?;
        let item = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&key);
        }
        self.busy.insert(key);
        self.queued -= 1;
        Some(item)
    }

    /// The one under way is settled: the next of its key may go.
    pub fn done(&mut self, key: Uuid) {
        self.busy.remove(&key);
        if let Some(first) = self.queues.get(&key).and_then(VecDeque::front) {
            self.ready.insert(first.sequence, key);
        }
    }

    /// The one under way has failed: those behind it leave, to wait in rows of their own.
    pub fn park(&mut self, key: Uuid) -> Vec<Item> {
        self.busy.remove(&key);
        let parked: Vec<Item> = self.queues.remove(&key).unwrap_or_default().into();
        self.queued -= parked.len();
        parked
    }

    /// It is about to be written down.
    pub fn settle(&mut self, sequence: i64) {
        self.unsettled.remove(&sequence);
        self.rows.remove(&sequence);
    }

    /// Everything up to it is settled.
    pub fn cursor(&self) -> i64 {
        self.unsettled.first().map_or(self.read_to, |first| (first - 1).min(self.read_to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(sequence: i64, key: u128) -> Item {
        let (event, key) = (Uuid::from_u128(7), Uuid::from_u128(key));
        Item { sequence, event, kind: "x".to_owned(), key, body: Bytes::new(), tries: 0, resent: 0, row: false }
    }

    fn filled(keys: &[u128]) -> Window {
        let mut window = Window::new(0);
        for (sequence, key) in (1..).zip(keys) {
            window.push(item(sequence, *key));
            window.read(sequence);
        }
        window
    }

    #[test]
    fn of_one_key_one_goes_at_a_time_and_others_pass_it() {
        let mut window = filled(&[1, 1, 2, 1, 3]);
        let taken = |window: &mut Window| window.take().map(|item| item.sequence);
        let first: Vec<_> = std::iter::from_fn(|| taken(&mut window)).collect();
        assert_eq!((first, window.queued()), (vec![1, 3, 5], 2));
        window.done(Uuid::from_u128(1));
        assert_eq!((taken(&mut window), taken(&mut window)), (Some(2), None));
        window.done(Uuid::from_u128(3));
        assert_eq!(taken(&mut window), None);
        let parked: Vec<_> = window.park(Uuid::from_u128(1)).iter().map(|item| item.sequence).collect();
        assert_eq!((parked, window.queued()), (vec![4], 0));
        window.push(item(6, 2));
        assert_eq!(taken(&mut window), None, "3 is under way");
        window.done(Uuid::from_u128(2));
        assert_eq!(taken(&mut window), Some(6));
    }

    #[test]
    fn one_that_is_sent_again_comes_before_what_is_here_of_its_key() {
        let mut window = Window::new(0);
        for sequence in [8, 9, 5, 7] {
            window.push(Item { row: sequence < 8, ..item(sequence, 1) });
        }
        let mut taken = Vec::new();
        while let Some(item) = window.take() {
            assert_eq!(window.take(), None);
            taken.push(item.sequence);
            window.done(item.key);
        }
        assert_eq!((taken, window.queued()), (vec![5, 7, 8, 9], 0));
    }

    #[test]
    fn the_cursor_stands_below_the_first_that_is_not_settled() {
        let mut window = filled(&[1, 2, 3, 4]);
        window.read(9);
        assert_eq!(window.cursor(), 0);
        for (sequence, cursor) in [(2, 0), (1, 2), (4, 2), (3, 9)] {
            window.settle(sequence);
            assert_eq!(window.cursor(), cursor, "{sequence}");
        }
        // One with a row is behind the cursor already.
        window.push(Item { row: true, ..item(5, 1) });
        assert_eq!((window.cursor(), window.unsettled(), window.has_row(5)), (9, 1, true));
        window.settle(5);
        assert!(!window.has_row(5));
    }
}
