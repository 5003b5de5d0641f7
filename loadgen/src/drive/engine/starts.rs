//! Which arrival begins next, and when: by the schedule in the open model, as places become free in the closed one.

use crate::plan::arrival::{Arrival, ShardSchedule};

/// Decides when a shard's arrivals begin. It takes the time as an argument, in nanoseconds after T0.
#[derive(Clone, Debug)]
pub struct Starts {
    model: Model,
    /// No arrival begins before this offset: the machine was out of descriptors or ports a moment ago.
    resting_until_ns: u64,
}

#[derive(Clone, Debug)]
enum Model {
    Open {
        schedule: ShardSchedule,
        /// The schedule's front; `None` when it is exhausted.
        front: Option<Arrival>,
    },
    Closed(Closed),
}

/// A shard's part of a closed model. Arrival `j` belongs to place `j % concurrency`, place `p` to shard `p % of`: each
/// shard has arrivals in proportion to its places, and all places stay busy to the end.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    /// The number of the arrival that comes next.
    next: u64,
    index: u64,
    /// At least one.
    of: u64,
    /// Places of all shards.
    concurrency: u64,
    /// Of this shard: at most `concurrency`, and none where there are fewer than shards.
    places: u32,
    /// Arrivals from this number on do not happen.
    end: u64,
    /// Nor do any from this offset on.
    end_ns: u64,
}

impl Closed {
    /// The part of shard `index` of `of`, of arrivals below `end` that begin before `end_ns`.
    pub fn new(index: usize, of: usize, concurrency: u32, end: u64, end_ns: u64) -> Self {
        let (index, of, concurrency) = (index as u64, of.max(1) as u64, u64::from(concurrency));
        let places = concurrency / of + u64::from(index < concurrency % of);
        Self { next: index, index, of, concurrency, places: u32::try_from(places).unwrap_or(u32::MAX), end, end_ns }
    }

    /// Takes the next number.
    fn advance(&mut self) -> u64 {
        let number = self.next;
        let in_round = number % self.concurrency + self.of < self.concurrency;
        self.next = if in_round {
            number.saturating_add(self.of)
        } else {
            let round = number / self.concurrency + 1;
            round.saturating_mul(self.concurrency).saturating_add(self.index)
        };
        number
    }
}

/// An arrival that is to begin now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its number in the whole run.
    pub number: u64,
    /// When it was due, after T0; `None` in the closed model.
    pub planned_ns: Option<u64>,
}

/// What the next start waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// For this offset after T0.
    Until(u64),
    /// For a handshake to end; in a closed model that ends by time, until this offset.
    ForPlace(u64),
    /// For nothing: there are no more.
    Over,
}

impl Starts {
    /// The open model.
    pub fn open(mut schedule: ShardSchedule) -> Self {
        let front = schedule.next();
        Self { model: Model::Open { schedule, front }, resting_until_ns: 0 }
    }

    /// The closed model.
    pub fn closed(closed: Closed) -> Self {
        Self { model: Model::Closed(closed), resting_until_ns: 0 }
    }

    /// Takes the arrival that is to begin at `offset_ns`, while `in_flight` handshakes of the shard are under way.
    pub fn take(&mut self, offset_ns: u64, in_flight: u32) -> Option<Start> {
        match &mut self.model {
            Model::Open { schedule, front } => {
                let due = (*front).filter(|arrival| arrival.offset_ns <= offset_ns)?;
                *front = schedule.next();
                Some(Start { number: due.number, planned_ns: Some(due.offset_ns) })
            }
            Model::Closed(closed) => {
                let free = in_flight < closed.places && offset_ns >= self.resting_until_ns;
                if !free || offset_ns >= closed.end_ns || closed.next >= closed.end {
                    return None;
                }
                Some(Start { number: closed.advance(), planned_ns: None })
            }
        }
    }

    /// What the next start waits for, seen from `offset_ns`.
    pub fn wait(&self, offset_ns: u64, in_flight: u32) -> Wait {
        match &self.model {
            Model::Open { front: Some(arrival), .. } => Wait::Until(arrival.offset_ns),
            Model::Open { front: None, .. } => Wait::Over,
            Model::Closed(closed) if closed.places == 0 || closed.next >= closed.end || offset_ns >= closed.end_ns => {
                Wait::Over
            }
            Model::Closed(closed) if in_flight < closed.places => Wait::Until(self.resting_until_ns.max(offset_ns)),
            Model::Closed(closed) => Wait::ForPlace(closed.end_ns),
        }
    }

    /// In the closed model, begins nothing before `offset_ns`. The open model's plan does not bend.
    pub fn rest_until(&mut self, offset_ns: u64) {
        self.resting_until_ns = offset_ns;
    }

    /// Ends the arrivals at `offset_ns`: answers which were due by then and have not begun.
    pub fn stop(&mut self, offset_ns: u64) -> Vec<u64> {
        let mut due = Vec::new();
        if matches!(self.model, Model::Open { .. }) {
            while let Some(start) = self.take(offset_ns, 0) {
                due.push(start.number);
            }
        }
        match &mut self.model {
            Model::Open { front, .. } => *front = None,
            Model::Closed(closed) => closed.end = 0,
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::arrival::Schedule;
    use crate::plan::model::{Arrivals, Model};

    const MS: u64 = 1_000_000;

    /// Shard 1 of 2, which has the odd places.
    fn closed(places: u32, end: u64, end_ns: u64) -> Starts {
        Starts::closed(Closed::new(1, 2, 2 * places, end, end_ns))
    }

    /// One arrival a millisecond.
    fn open(connections: u64) -> Starts {
        let load = Model::Open { rate_per_s: 1000.0, arrivals: Arrivals::Uniform };
        let schedule = Schedule::new(&load, Some(connections), None, 0).unwrap();
        Starts::open(schedule.shard(0, 1))
    }

    #[test]
    fn the_open_model_begins_what_is_due_whatever_is_in_flight() {
        let mut starts = open(3);
        for (offset_ns, in_flight, number, wait, why) in [
            (0, 0, Some(0), Wait::Until(MS), "the first is due at T0"),
            (MS - 1, 1, None, Wait::Until(MS), "a nanosecond early is early"),
            (9 * MS, 1000, Some(1), Wait::Until(2 * MS), "late, and nothing holds it back"),
            (9 * MS, 1000, Some(2), Wait::Over, "the next late one with its own planned instant"),
            (99 * MS, 0, None, Wait::Over, "no more"),
        ] {
            let start = starts.take(offset_ns, in_flight);
            assert_eq!(start.map(|start| start.number), number, "{why}");
            assert_eq!(start.and_then(|start| start.planned_ns), number.map(|n| n * MS), "{why}");
            assert_eq!(starts.wait(offset_ns, in_flight), wait, "{why}");
        }
    }

    #[test]
    fn the_closed_model_begins_while_there_are_places() {
        let mut starts = closed(2, 6, 50 * MS);
        for (offset_ns, in_flight, number, wait, why) in [
            (0, 0, Some(1), Wait::Until(0), "a free place, at once"),
            (0, 2, None, Wait::ForPlace(50 * MS), "both places taken"),
            (MS, 1, Some(3), Wait::Until(MS), "one is free again"),
            (MS, 1, Some(5), Wait::Over, "the last below the end"),
            (MS, 0, None, Wait::Over, "none left"),
        ] {
            let start = starts.take(offset_ns, in_flight);
            assert_eq!(start, number.map(|number| Start { number, planned_ns: None }), "{why}");
            assert_eq!(starts.wait(offset_ns, in_flight), wait, "{why}");
        }
    }

    #[test]
    fn the_closed_model_ends_by_time_and_rests_when_told() {
        let mut starts = closed(1, u64::MAX, 50 * MS);
        starts.rest_until(10 * MS);
        assert_eq!(starts.take(9 * MS, 0), None, "resting");
        assert_eq!(starts.wait(9 * MS, 0), Wait::Until(10 * MS));
        assert!(starts.take(10 * MS, 0).is_some(), "rested");
        assert_eq!(starts.take(50 * MS, 0), None, "the duration is over");
        assert_eq!(starts.wait(50 * MS, 0), Wait::Over);
        assert_eq!(Starts::closed(Closed::new(1, 2, 1, 9, MS)).wait(0, 0), Wait::Over, "a shard without a place");
    }

    #[test]
    fn a_stop_tells_what_was_due_and_ends_the_rest() {
        let mut starts = open(100);
        assert!(starts.take(0, 0).is_some());
        assert_eq!(starts.stop(5 * MS), [1, 2, 3, 4, 5], "those of 1 to 5 ms");
        assert_eq!(starts.wait(5 * MS, 0), Wait::Over);
        let mut starts = closed(1, 9, u64::MAX);
        assert_eq!(starts.stop(0), [0; 0], "nothing is due in a closed model");
        assert_eq!(starts.wait(0, 0), Wait::Over);
    }
    #[test]
    fn the_places_of_all_shards_have_every_arrival_once() {
        for (of, concurrency, why) in [
            (1, 1, "one by one"),
            (2, 1, "a shard without a place"),
            (2, 3, "2 places and 1"),
            (3, 64, "22, 21 and 21"),
            (4, 4, "one each"),
        ] {
            let mut taken = Vec::new();
            for index in 0..of {
                let mut starts = Starts::closed(Closed::new(index, of, concurrency, 200, MS));
                while let Some(start) = starts.take(0, 0) {
                    let place = start.number % u64::from(concurrency);
                    assert_eq!(place as usize % of, index, "{why}: in proportion to its places");
                    taken.push(start.number);
                }
            }
            taken.sort_unstable();
            assert_eq!(taken, (0..200).collect::<Vec<_>>(), "{why}");
        }
    }
}
