//! Which arrival starts next, and when: by the schedule in the open model, as places become free in the closed one.

use crate::ground::time::RunInstant;
use crate::plan::arrival::{Arrival, ShardSchedule};

/// Decides when a shard's arrivals start.
#[derive(Clone, Debug)]
pub struct Starts {
    model: Model,
    /// No arrival of the closed model starts earlier: descriptors or ports ran out shortly before.
    paused_until: RunInstant,
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
    /// Nor do any from this instant on.
    end_at: RunInstant,
}

impl Closed {
    /// The part of shard `index` of `of`, of arrivals below `end` that start before `end_at`.
    pub fn new(index: usize, of: usize, concurrency: u32, end: u64, end_at: RunInstant) -> Self {
        let (index, of, concurrency) = (index as u64, of.max(1) as u64, u64::from(concurrency));
        let places = concurrency / of + u64::from(index < concurrency % of);
        Self { next: index, index, of, concurrency, places: u32::try_from(places).unwrap_or(u32::MAX), end, end_at }
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

/// An arrival that starts now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its number in the whole run.
    pub number: u64,
    /// Its planned instant; `None` in the closed model.
    pub planned: Option<RunInstant>,
}

/// What the next start waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// For this instant.
    Until(RunInstant),
    /// For a handshake to end, at most until this instant.
    ForPlace(RunInstant),
    /// For nothing: there are no more.
    Over,
}

impl Starts {
    /// The open model.
    pub fn open(mut schedule: ShardSchedule) -> Self {
        let front = schedule.next();
        Self { model: Model::Open { schedule, front }, paused_until: RunInstant::default() }
    }

    /// The closed model.
    pub fn closed(closed: Closed) -> Self {
        Self { model: Model::Closed(closed), paused_until: RunInstant::default() }
    }

    /// Takes an arrival that starts at `now`, while `in_flight` handshakes of the shard are under way.
    pub fn take(&mut self, now: RunInstant, in_flight: u32) -> Option<Start> {
        match &mut self.model {
            Model::Open { schedule, front } => {
                let due = (*front).filter(|arrival| arrival.offset_ns <= now.as_ns())?;
                *front = schedule.next();
                Some(Start { number: due.number, planned: Some(RunInstant::from_ns(due.offset_ns)) })
            }
            Model::Closed(closed) => {
                let free = in_flight < closed.places && now >= self.paused_until;
                if !free || now >= closed.end_at || closed.next >= closed.end {
                    return None;
                }
                Some(Start { number: closed.advance(), planned: None })
            }
        }
    }

    /// What the next start waits for, seen from `now`.
    pub fn wait(&self, now: RunInstant, in_flight: u32) -> Wait {
        match &self.model {
            Model::Open { front: Some(arrival), .. } => Wait::Until(RunInstant::from_ns(arrival.offset_ns)),
            Model::Open { front: None, .. } => Wait::Over,
            Model::Closed(closed) if closed.places == 0 || closed.next >= closed.end || now >= closed.end_at => {
                Wait::Over
            }
            Model::Closed(closed) if in_flight < closed.places => Wait::Until(self.paused_until.max(now)),
            Model::Closed(closed) => Wait::ForPlace(closed.end_at),
        }
    }

    /// In the closed model, starts nothing before `instant`. The open model keeps to its plan.
    pub fn pause_until(&mut self, instant: RunInstant) {
        self.paused_until = instant;
    }

    /// Ends the arrivals at `now`; returns the numbers of those that were due and not started.
    pub fn stop(&mut self, now: RunInstant) -> Vec<u64> {
        let mut due = Vec::new();
        if matches!(self.model, Model::Open { .. }) {
            while let Some(start) = self.take(now, 0) {
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

    fn at(ns: u64) -> RunInstant {
        RunInstant::from_ns(ns)
    }

    /// Shard 1 of 2, which has the odd places.
    fn closed(places: u32, end: u64, end_ns: u64) -> Starts {
        Starts::closed(Closed::new(1, 2, 2 * places, end, at(end_ns)))
    }

    /// One arrival a millisecond.
    fn open(connections: u64) -> Starts {
        let load = Model::Open { rate_per_s: 1000.0, arrivals: Arrivals::Uniform };
        let schedule = Schedule::new(&load, Some(connections), None, 0).unwrap();
        Starts::open(schedule.shard(0, 1))
    }

    #[test]
    fn the_open_model_starts_what_is_due_whatever_is_in_flight() {
        let mut starts = open(3);
        for (offset_ns, in_flight, number, wait, why) in [
            (0, 0, Some(0), Wait::Until(at(MS)), "the first is due at T0"),
            (MS - 1, 1, None, Wait::Until(at(MS)), "a nanosecond too early"),
            (9 * MS, 1000, Some(1), Wait::Until(at(2 * MS)), "late, with many in flight"),
            (9 * MS, 1000, Some(2), Wait::Over, "the next late one with its own planned instant"),
            (99 * MS, 0, None, Wait::Over, "no more"),
        ] {
            let start = starts.take(at(offset_ns), in_flight);
            assert_eq!(start.map(|start| start.number), number, "{why}");
            assert_eq!(start.and_then(|start| start.planned), number.map(|n| at(n * MS)), "{why}");
            assert_eq!(starts.wait(at(offset_ns), in_flight), wait, "{why}");
        }
    }

    #[test]
    fn the_closed_model_starts_while_there_are_places() {
        let mut starts = closed(2, 6, 50 * MS);
        for (offset_ns, in_flight, number, wait, why) in [
            (0, 0, Some(1), Wait::Until(at(0)), "a free place, at once"),
            (0, 2, None, Wait::ForPlace(at(50 * MS)), "both places taken"),
            (MS, 1, Some(3), Wait::Until(at(MS)), "one is free again"),
            (MS, 1, Some(5), Wait::Over, "the last below the end"),
            (MS, 0, None, Wait::Over, "none left"),
        ] {
            let start = starts.take(at(offset_ns), in_flight);
            assert_eq!(start, number.map(|number| Start { number, planned: None }), "{why}");
            assert_eq!(starts.wait(at(offset_ns), in_flight), wait, "{why}");
        }
    }

    #[test]
    fn the_closed_model_ends_by_time_and_can_pause() {
        let mut starts = closed(1, u64::MAX, 50 * MS);
        starts.pause_until(at(10 * MS));
        assert_eq!(starts.take(at(9 * MS), 0), None, "paused");
        assert_eq!(starts.wait(at(9 * MS), 0), Wait::Until(at(10 * MS)));
        assert!(starts.take(at(10 * MS), 0).is_some(), "the pause is over");
        assert_eq!(starts.take(at(50 * MS), 0), None, "the duration is over");
        assert_eq!(starts.wait(at(50 * MS), 0), Wait::Over);
        assert_eq!(
            Starts::closed(Closed::new(1, 2, 1, 9, at(MS))).wait(at(0), 0),
            Wait::Over,
            "a shard without a place"
        );
    }

    #[test]
    fn a_stop_returns_what_was_due_and_ends_the_rest() {
        let mut starts = open(100);
        assert!(starts.take(at(0), 0).is_some());
        assert_eq!(starts.stop(at(5 * MS)), [1, 2, 3, 4, 5], "those of 1 to 5 ms");
        assert_eq!(starts.wait(at(5 * MS), 0), Wait::Over);
        let mut starts = closed(1, 9, u64::MAX);
        assert_eq!(starts.stop(at(0)), [0; 0], "nothing is due in a closed model");
        assert_eq!(starts.wait(at(0), 0), Wait::Over);
    }

    #[test]
    fn the_shards_together_start_every_arrival_once() {
        for (of, concurrency, why) in [
            (1, 1, "one by one"),
            (2, 1, "a shard without a place"),
            (2, 3, "2 places and 1"),
            (3, 64, "22, 21 and 21"),
            (4, 4, "one each"),
        ] {
            let mut taken = Vec::new();
            for index in 0..of {
                let mut starts = Starts::closed(Closed::new(index, of, concurrency, 200, at(MS)));
                while let Some(start) = starts.take(at(0), 0) {
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
