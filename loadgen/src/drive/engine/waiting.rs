//! Started arrivals that wait for their token.

use std::collections::{HashMap, VecDeque};

use crate::drive::engine::flight::StartedArrival;
use crate::ground::time::ShardInstant;

/// Arrivals of one shard that may wait for a token at once. A token service that lets so many wait is down; further
/// arrivals are not sent, and are counted as such.
pub const WAITING_MAX: usize = 65_536;

/// Arrivals that wait for their token, each with its deadline.
#[derive(Debug, Default)]
pub struct Waiting {
    arrivals: HashMap<u64, StartedArrival>,
    /// Deadline and number, in the order of the deadlines; may hold arrivals that were taken already.
    deadlines: VecDeque<(ShardInstant, u64)>,
}

impl Waiting {
    /// Adds an arrival; `false` if [`WAITING_MAX`] wait already. Each deadline must be at or after that of the call before.
    pub fn insert(&mut self, arrival: StartedArrival, deadline: ShardInstant) -> bool {
        if self.arrivals.len() >= WAITING_MAX {
            return false;
        }
        self.deadlines.push_back((deadline, arrival.number));
        self.arrivals.insert(arrival.number, arrival);
        true
    }

    /// Removes the arrival of this number; `None` if it does not wait any more.
    pub fn take(&mut self, number: u64) -> Option<StartedArrival> {
        self.arrivals.remove(&number)
    }

    /// Removes an arrival whose deadline has passed.
    pub fn take_late(&mut self, now: ShardInstant) -> Option<StartedArrival> {
        while self.next_deadline()? <= now {
            let (_, number) = self.deadlines.pop_front()?;
            if let Some(arrival) = self.take(number) {
                return Some(arrival);
            }
        }
        None
    }

    /// The earliest deadline.
    pub fn next_deadline(&mut self) -> Option<ShardInstant> {
        while let Some((deadline, number)) = self.deadlines.front() {
            if self.arrivals.contains_key(number) {
                return Some(*deadline);
            }
            self.deadlines.pop_front();
        }
        None
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::outcome::TokenKind;

    fn at(ns: u64) -> ShardInstant {
        ShardInstant::from_ns(ns)
    }

    fn arrival(number: u64) -> StartedArrival {
        StartedArrival {
            number,
            target: 0,
            kind: TokenKind::Valid,
            planned: None,
            started: at(0),
            is_retry: false,
            first_attempt_ns: 0,
            first_token_ns: None,
        }
    }

    #[test]
    fn late_arrivals_come_out_in_order_of_their_deadlines() {
        let mut waiting = Waiting::default();
        for (number, deadline_ns) in [(7, 10), (8, 20), (9, 30)] {
            assert!(waiting.insert(arrival(number), at(deadline_ns)));
        }
        assert_eq!(waiting.take_late(at(9)), None, "none is late yet");
        assert_eq!(waiting.take(7).map(|arrival| arrival.number), Some(7), "answered in time");
        assert_eq!(waiting.take(7), None, "only once");
        assert_eq!(waiting.next_deadline(), Some(at(20)));
        assert_eq!(waiting.take_late(at(25)).map(|arrival| arrival.number), Some(8));
        assert_eq!(waiting.take_late(at(25)), None, "the last has time left");
        assert_eq!(waiting.take_late(at(30)).map(|arrival| arrival.number), Some(9));
        assert!(waiting.is_empty());
        assert_eq!(waiting.next_deadline(), None);
    }

    #[test]
    fn at_most_waiting_max_arrivals_wait() {
        let mut waiting = Waiting::default();
        for number in 0..WAITING_MAX as u64 {
            assert!(waiting.insert(arrival(number), at(0)));
        }
        assert!(!waiting.insert(arrival(u64::MAX), at(0)));
    }
}
