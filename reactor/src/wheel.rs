//! Deadlines of many sockets: a hierarchical timing wheel over intrusive lists.
//!
//! Varghese and Lauck, "Hashed and hierarchical timing wheels" (1987), scheme 7: six levels of 64 slots, the lowest of
//! 1 ms, each level's slot as wide as the whole level below. Setting, moving and clearing a deadline are O(1); a
//! deadline is moved down at most once per level before it is due. The lists are threaded through one vector that is
//! indexed by the socket's place in the slab, so a socket costs 16 bytes and no allocation of its own.

/// Slots of one level: as many as a word has bits, so that one instruction finds the next that is in use.
const SLOTS: usize = 64;
const SLOT_BITS: u32 = SLOTS.trailing_zeros();
/// Six levels reach 2^36 ms (two years) ahead; a later deadline waits in the last slot and is placed anew from there.
const LEVELS: usize = 6;
const SPAN_MS: u64 = 1 << (SLOT_BITS * LEVELS as u32);
/// One slot of the top level less than the span: the current slot's next round would look like its present one.
const AHEAD_MS_MAX: u64 = SPAN_MS - SPAN_MS / SLOTS as u64;
/// The lists' heads lie in front of the sockets' nodes in the same vector.
const HEADS: usize = SLOTS * LEVELS;
const UNLINKED: u32 = u32::MAX;

/// One deadline per key at most, with a resolution of 1 ms. Keys are small integers, as a slab hands them out.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// First the heads of the slots' circular lists, then a node per key.
    nodes: Vec<Node>,
    /// A bit per slot that may be in use. Clearing a deadline does not clear its bit; the next search for a slot does.
    occupied: [u64; LEVELS],
    /// All deadlines up to this millisecond have been taken.
    elapsed_ms: u64,
}

/// A node of a circular, doubly linked list: a slot's head or a key's deadline.
#[derive(Clone, Copy, Debug)]
struct Node {
    previous: u32,
    /// `UNLINKED` where the key has no deadline.
    next: u32,
    due_ms: u64,
}

impl Wheel {
    /// An empty wheel at millisecond zero.
    pub(crate) fn new() -> Self {
        let head = |place| Node { previous: place as u32, next: place as u32, due_ms: 0 };
        Self { nodes: (0..HEADS).map(head).collect(), occupied: [0; LEVELS], elapsed_ms: 0 }
    }

    /// Sets or moves the deadline of `key`, in milliseconds. One that is already past is due at the next millisecond.
    /// Keys above 2^31 are not to be used.
    pub(crate) fn schedule(&mut self, key: u32, due_ms: u64) {
        let place = self.place_of(key);
        if self.nodes[place].next != UNLINKED {
            self.unlink(place);
        }
        self.nodes[place].due_ms = due_ms.max(self.elapsed_ms.saturating_add(1));
        self.link(place);
    }

    /// Clears the deadline of `key`, if it has one.
    pub(crate) fn cancel(&mut self, key: u32) {
        let place = HEADS + key as usize;
        if self.nodes.get(place).is_some_and(|node| node.next != UNLINKED) {
            self.unlink(place);
        }
    }

    /// Takes one key whose deadline is at or before `now_ms`, in the order of the deadlines; `None` when there is none.
    /// Deadlines may be set and cleared between two calls.
    pub(crate) fn pop_due(&mut self, now_ms: u64) -> Option<u32> {
        while let Some((level, slot, starts_ms)) = self.next_slot() {
            if starts_ms > now_ms {
                break;
            }
            self.elapsed_ms = self.elapsed_ms.max(starts_ms);
            let head = level * SLOTS + slot;
            if level == 0 {
                let place = self.nodes[head].next as usize;
                self.unlink(place);
                return u32::try_from(place - HEADS).ok();
            }
            self.spread(head);
        }
        self.elapsed_ms = self.elapsed_ms.max(now_ms);
        None
    }

    /// The millisecond at which [`Wheel::pop_due`] next has something to do, which is never after the earliest deadline;
    /// `None` when there is no deadline. It may come before the earliest deadline, at most once per level, to move
    /// deadlines down.
    pub(crate) fn next_due_ms(&mut self) -> Option<u64> {
        self.next_slot().map(|(_, _, starts_ms)| starts_ms)
    }

    /// Moves the deadlines of a slot that has begun to the levels below.
    fn spread(&mut self, head: usize) {
        // The list is cut off first: linking a node elsewhere must not touch its old neighbours.
        let mut place = self.nodes[head].next as usize;
        self.nodes[head].next = head as u32;
        self.nodes[head].previous = head as u32;
        while place != head {
            let next = self.nodes[place].next as usize;
            self.link(place);
            place = next;
        }
    }

    /// The first slot in use, as (level, slot, the millisecond it starts at). Lower levels come before higher ones.
    fn next_slot(&mut self) -> Option<(usize, usize, u64)> {
        for level in 0..LEVELS {
            let shift = SLOT_BITS * level as u32;
            let current = (self.elapsed_ms >> shift) as u32 % SLOTS as u32;
            while self.occupied[level] != 0 {
                let ahead = self.occupied[level].rotate_right(current).trailing_zeros();
                let slot = ((current + ahead) % SLOTS as u32) as usize;
                let head = level * SLOTS + slot;
                if self.nodes[head].next as usize == head {
                    self.occupied[level] &= !(1 << slot);
                    continue;
                }
                let level_span_ms = (SLOTS as u64) << shift;
                let mut starts_ms = (self.elapsed_ms & !(level_span_ms - 1)) + ((slot as u64) << shift);
                // Only the top level wraps: its slots behind the current one belong to the next round.
                if level == LEVELS - 1 && starts_ms <= self.elapsed_ms {
                    starts_ms += level_span_ms;
                }
                return Some((level, slot, starts_ms));
            }
        }
        None
    }

    /// Puts a node into the slot of its deadline, as seen from `elapsed_ms`: the level of the highest digit (base 64) in
    /// which the two differ.
    fn link(&mut self, place: usize) {
        let latest_ms = self.elapsed_ms.saturating_add(AHEAD_MS_MAX);
        let due_ms = self.nodes[place].due_ms.clamp(self.elapsed_ms, latest_ms);
        let differing = (due_ms ^ self.elapsed_ms) | 1;
        let level = ((differing.ilog2() / SLOT_BITS) as usize).min(LEVELS - 1);
        let slot = (due_ms >> (SLOT_BITS * level as u32)) as usize % SLOTS;
        let head = level * SLOTS + slot;

        let last = self.nodes[head].previous as usize;
        self.nodes[place].previous = last as u32;
        self.nodes[place].next = head as u32;
        self.nodes[last].next = place as u32;
        self.nodes[head].previous = place as u32;
        self.occupied[level] |= 1 << slot;
    }

    fn unlink(&mut self, place: usize) {
        let Node { previous, next, .. } = self.nodes[place];
        self.nodes[previous as usize].next = next;
        self.nodes[next as usize].previous = previous;
        self.nodes[place].next = UNLINKED;
    }

    /// The place of a key's node, which is made when the key is first seen.
    fn place_of(&mut self, key: u32) -> usize {
        let place = HEADS + key as usize;
        if place >= self.nodes.len() {
            let unlinked = Node { previous: UNLINKED, next: UNLINKED, due_ms: 0 };
            self.nodes.resize(place + 1, unlinked);
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const YEAR_MS: u64 = 31_556_952_000;

    fn take_all(wheel: &mut Wheel, now_ms: u64) -> Vec<u32> {
        std::iter::from_fn(|| wheel.pop_due(now_ms)).collect()
    }

    #[test]
    fn deadline_takes_sixteen_bytes() {
        assert_eq!(size_of::<Node>(), 16);
    }

    #[test]
    fn deadline_is_due_at_its_millisecond_and_never_before() {
        for (due_ms, why) in [
            (1, "the next tick"),
            (63, "the last slot of the lowest level"),
            (64, "the first slot of the second level"),
            (4_095, "the end of the second level"),
            (4_096, "the third level"),
            (25_000, "a ping interval"),
            (SPAN_MS - 1, "the last that fits"),
            (SPAN_MS, "the first beyond the span"),
            (10 * YEAR_MS, "far beyond the span"),
        ] {
            let mut wheel = Wheel::new();
            wheel.schedule(7, due_ms);
            assert_eq!(wheel.pop_due(due_ms - 1), None, "{why}: early");
            assert_eq!(wheel.pop_due(due_ms), Some(7), "{why}: due");
            assert_eq!(wheel.next_due_ms(), None, "{why}: once only");
        }
    }

    #[test]
    fn past_deadline_is_due_at_the_next_tick() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.pop_due(100), None);
        wheel.schedule(1, 50);
        assert_eq!(wheel.pop_due(100), None, "past deadlines wait for the next tick");
        assert_eq!(wheel.pop_due(101), Some(1));
        wheel.schedule(1, 50);
        assert_eq!(wheel.pop_due(101), None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Schedule(u32, u64),
        Cancel(u32),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let ahead_ms = prop_oneof![0..200u64, 0..100_000u64, 0..3 * SPAN_MS];
        let passed_ms = prop_oneof![0..5u64, 0..5_000u64, 0..SPAN_MS];
        prop_oneof![
            4 => (0..24u32, ahead_ms).prop_map(|(key, ms)| Step::Schedule(key, ms)),
            1 => (0..24u32).prop_map(Step::Cancel),
            2 => passed_ms.prop_map(Step::Pass),
        ]
    }

    proptest! {
        #[test]
        fn wheel_agrees_with_a_sorted_map(steps in prop::collection::vec(step(), 1..200)) {
            let mut wheel = Wheel::new();
            let mut oracle = BTreeMap::new();
            let mut now_ms = 0;
            for step in steps {
                match step {
                    Step::Schedule(key, ahead_ms) => {
                        wheel.schedule(key, now_ms + ahead_ms);
                        oracle.insert(key, (now_ms + ahead_ms).max(now_ms + 1));
                    }
                    Step::Cancel(key) => {
                        wheel.cancel(key);
                        oracle.remove(&key);
                    }
                    Step::Pass(passed_ms) => {
                        now_ms += passed_ms;
                        let mut due: Vec<_> = oracle
                            .iter()
                            .filter(|(_, due_ms)| **due_ms <= now_ms)
                            .map(|(key, due_ms)| (*due_ms, *key))
                            .collect();
                        due.sort_unstable();
                        let taken = take_all(&mut wheel, now_ms);
                        let in_order: Vec<_> = taken.iter().map(|key| oracle[key]).collect();
                        prop_assert!(in_order.is_sorted());
                        let mut sorted: Vec<_> =
                            taken.iter().map(|key| (oracle[key], *key)).collect();
                        sorted.sort_unstable();
                        prop_assert_eq!(sorted, due);
                        oracle.retain(|_, due_ms| *due_ms > now_ms);
                    }
                }
                let earliest_ms = oracle.values().min().copied();
                let next_ms = wheel.next_due_ms();
                prop_assert_eq!(next_ms.is_some(), earliest_ms.is_some());
                prop_assert!(next_ms <= earliest_ms, "{:?} {:?}", next_ms, earliest_ms);
                prop_assert!(next_ms.is_none_or(|ms| ms > now_ms));
            }
        }
    }
}
