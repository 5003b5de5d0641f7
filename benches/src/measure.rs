//! Compares candidates in one process: their slices are interleaved, and the minimum of a candidate's slices counts.
//!
//! Other processes disturb a shared machine, for short moments or for long. A slice is short enough to run undisturbed, so
//! that the minimum of many is the cost of the code alone. Longer disturbances affect all candidates of a round equally.
//!
//! The start of the stack is random for each process, and some code (Ed25519) takes 7 % longer when its variables are
//! aligned badly. The slices of a candidate therefore run at several depths of the stack; the minimum is that of the best.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// An operation to be timed.
pub struct Candidate {
    /// The name in the result, such as `verify/hs256/gatekeeper`.
    pub name: String,
    /// Does the operation this many times and returns how long that took.
    pub run: Box<dyn FnMut(u64) -> Duration>,
    /// Untimed operations before each slice, because the other candidates have filled the processor's caches.
    pub warm_up: u64,
}

/// Enough operations to fill the processor's caches.
pub const WARM_UP: u64 = 20;

/// The cost of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// The candidate's name.
    pub name: String,
    /// The minimum over all slices of the mean time of one operation.
    pub ns: f64,
}

impl Candidate {
    /// A candidate from its name and its operation.
    pub fn new(name: impl Into<String>, mut once: impl FnMut() + 'static) -> Self {
        Self {
            name: name.into(),
            run: Box::new(move |times| {
                let start = Instant::now();
                (0..times).for_each(|_| once());
                start.elapsed()
            }),
            warm_up: WARM_UP,
        }
    }
}

/// Times all `candidates` one after the other, in `rounds` rounds. A slice takes about `slice`, or one operation.
pub fn interleaved(candidates: &mut [Candidate], rounds: u32, slice: Duration) -> Vec<Cost> {
    let times: Vec<u64> = candidates.iter_mut().map(|candidate| times_within(candidate, slice)).collect();
    let mut least_ns = vec![f64::INFINITY; candidates.len()];
    for round in 0..rounds {
        for ((candidate, times), least_ns) in candidates.iter_mut().zip(&times).zip(&mut least_ns) {
            let ns = deeper(round % DEPTHS, &mut || {
                (candidate.run)(candidate.warm_up);
                slice_ns(candidate, *times)
            });
            *least_ns = least_ns.min(ns / *times as f64);
        }
    }
    let named = candidates.iter().zip(least_ns);
    named.map(|(candidate, ns)| Cost { name: candidate.name.clone(), ns }).collect()
}

/// Depths of the stack at which slices run: enough for every position of a variable in a cache line.
const DEPTHS: u32 = 8;

/// Calls `run` this many frames deeper in the stack.
#[inline(never)]
fn deeper<T>(frames: u32, run: &mut dyn FnMut() -> T) -> T {
    let frame = black_box([0_u64; 2]);
    let done = match frames {
        0 => run(),
        _ => deeper(frames - 1, run),
    };
    black_box(frame);
    done
}

/// How many operations of a candidate fit into `slice`, at least one. The search also warms the candidate up.
fn times_within(candidate: &mut Candidate, slice: Duration) -> u64 {
    let mut times = 1;
    while slice_ns(candidate, times) < slice.as_nanos() as f64 / 2.0 {
        times *= 2;
    }
    times
}

fn slice_ns(candidate: &mut Candidate, times: u64) -> f64 {
    (candidate.run)(times).as_nanos() as f64
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn depths_change_the_position_in_a_cache_line() {
        let places = (0..DEPTHS).map(|frames| {
            deeper(frames, &mut || {
                let variable = black_box(0_u64);
                &raw const variable as usize % 64
            })
        });
        let places: std::collections::HashSet<_> = places.collect();
        assert!(places.len() > 1, "{places:?}");
    }

    #[test]
    fn every_round_runs_all_candidates_in_order() {
        let runs = Rc::new(Cell::new(0));
        let counting = |name: &str| {
            let runs = Rc::clone(&runs);
            Candidate::new(name, move || runs.set(runs.get() + 1))
        };
        let mut candidates = [counting("a"), counting("b")];
        let costs = interleaved(&mut candidates, 3, Duration::from_micros(20));
        let names: Vec<_> = costs.iter().map(|cost| cost.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(costs.iter().all(|cost| cost.ns > 0.0 && cost.ns.is_finite()));
        assert!(runs.get() > 6, "each at least once per round");
    }
}
