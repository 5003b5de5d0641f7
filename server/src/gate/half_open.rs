//! Connections of a shard whose first request is still coming: at most so many, the oldest gives way.
//!
//! A good client's request follows its connection at once, a bad one's trickles in. So when there are too many it is the
//! oldest that is ended, and a flood of them keeps nobody out.

use std::collections::VecDeque;

/// The half-open connections of one shard, by their numbers.
#[derive(Debug)]
pub(super) struct HalfOpen {
    /// How many there may be, at least 1.
    max: usize,
    /// How many there are.
    count: usize,
    /// All of them, oldest first, among others whose request has come since.
    order: VecDeque<u64>,
}

impl HalfOpen {
    /// None yet, of `max` at most.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max: max.max(1),
            count: 0,
            order: VecDeque::new(),
        }
    }

    /// Another one.
    pub(super) fn add(&mut self, connection: u64) {
        self.count += 1;
        self.order.push_back(connection);
    }

    /// One of them has sent its request, or is gone.
    pub(super) fn done(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// While there are too many: the oldest, to be ended if it is half-open still.
    pub(super) fn pop_surplus(&mut self) -> Option<u64> {
        if self.count > self.max {
            self.order.pop_front()
        } else {
            None
        }
    }

    /// Forgets those that are not half-open any more, once they are the larger part, so that each is looked at about
    /// twice at most.
    pub(super) fn prune(&mut self, is_half_open: impl FnMut(&u64) -> bool) {
        if self.order.len() > 2 * self.max {
            self.order.retain(is_half_open);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way() {
        let mut half_open = HalfOpen::new(2);
        half_open.add(1);
        half_open.add(2);
        assert_eq!(half_open.pop_surplus(), None, "as many as there may be");
        half_open.add(3);
        assert_eq!(half_open.pop_surplus(), Some(1), "one too many");
        half_open.done();
        assert_eq!(half_open.pop_surplus(), None);

        half_open.done();
        half_open.add(4);
        half_open.add(5);
        half_open.add(6);
        half_open.prune(|&connection| connection != 3);
        assert_eq!(half_open.pop_surplus(), Some(2));
        half_open.done();
        assert_eq!(half_open.pop_surplus(), Some(4), "3 was forgotten");
    }
}
