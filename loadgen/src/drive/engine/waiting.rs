//! Arrivals that have begun and wait for their token.

use std::collections::{HashMap, VecDeque};

use crate::drive::engine::flight::Begun;

/// Arrivals of one shard that may wait for a token at once. A token service that lets so many wait is down; those
/// beyond it are not sent, and say so.
pub const WAITING_MAX: usize = 65_536;

/// Arrivals that wait for their token, each with the instant at which its patience ends.
#[derive(Debug, Default)]
pub struct Waiting {
    arrivals: HashMap<u64, Begun>,
    /// Deadline and number, in the order of the deadlines; holds those that were taken until they come up.
    deadlines: VecDeque<(u64, u64)>,
}

impl Waiting {
    /// Takes an arrival in, unless [`WAITING_MAX`] are here. Deadlines must not fall from one call to the next.
    pub fn insert(&mut self, arrival: Begun, deadline_ns: u64) -> bool {
        if self.arrivals.len() >= WAITING_MAX {
            return false;
        }
        self.deadlines.push_back((deadline_ns, arrival.number));
        self.arrivals.insert(arrival.number, arrival);
        true
    }

    /// Gives out the arrival of this number; `None` when it has gone already.
    pub fn take(&mut self, number: u64) -> Option<Begun> {
        self.arrivals.remove(&number)
    }

    /// Gives out an arrival whose deadline has passed.
    pub fn take_late(&mut self, now_ns: u64) -> Option<Begun> {
        while self.next_deadline_ns()? <= now_ns {
            let (_, number) = self.deadlines.pop_front()?;
            if let Some(arrival) = self.take(number) {
                return Some(arrival);
            }
        }
        None
    }

    /// The earliest deadline.
    pub fn next_deadline_ns(&mut self) -> Option<u64> {
        while let Some((deadline_ns, number)) = self.deadlines.front() {
            if self.arrivals.contains_key(number) {
                return Some(*deadline_ns);
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

    fn arrival(number: u64) -> Begun {
        Begun {
            number,
            kind: TokenKind::Valid,
            planned_ns: None,
            started_ns: 0,
            retries: false,
            spent_ns: 0,
            token_ns_before: None,
        }
    }

    #[test]
    fn the_late_come_out_in_their_order_and_the_answered_do_not() {
        let mut waiting = Waiting::default();
        for (number, deadline_ns) in [(7, 10), (8, 20), (9, 30)] {
            assert!(waiting.insert(arrival(number), deadline_ns));
        }
        assert_eq!(waiting.take_late(9), None, "none is late yet");
        assert_eq!(waiting.take(7).map(|arrival| arrival.number), Some(7), "answered in time");
        assert_eq!(waiting.take(7), None, "only once");
        assert_eq!(waiting.next_deadline_ns(), Some(20));
        assert_eq!(waiting.take_late(25).map(|arrival| arrival.number), Some(8));
        assert_eq!(waiting.take_late(25), None, "the last has time left");
        assert_eq!(waiting.take_late(30).map(|arrival| arrival.number), Some(9));
        assert!(waiting.is_empty());
        assert_eq!(waiting.next_deadline_ns(), None);
    }

    #[test]
    fn no_more_than_the_limit_may_wait() {
        let mut waiting = Waiting::default();
        for number in 0..WAITING_MAX as u64 {
            assert!(waiting.insert(arrival(number), 0));
        }
        assert!(!waiting.insert(arrival(u64::MAX), 0));
    }
}
