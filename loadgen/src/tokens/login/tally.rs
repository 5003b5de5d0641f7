//! Durations and failures of each step, for results that name the steps.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reports::histogram::LatencyHistogram;
use reports::schema;

use crate::ground::outcome::{FailureKind, Phase};
use crate::spec::Steps;

/// Counts of the steps of one service. Its requests take milliseconds, so a lock costs nothing beside them.
#[derive(Debug)]
pub struct Tally {
    steps: Mutex<Vec<Count>>,
}

#[derive(Debug)]
struct Count {
    phase: Phase,
    name: String,
    took: LatencyHistogram,
    failures: BTreeMap<FailureKind, u64>,
}

impl Tally {
    /// Empty counts for these steps.
    pub fn new(steps: &Steps) -> Self {
        let of = |phase| {
            move |name: &String| Count {
                phase,
                name: name.clone(),
                took: LatencyHistogram::new(),
                failures: BTreeMap::new(),
            }
        };
        let login = steps.login.iter().map(|step| &step.name);
        let token = steps.token.iter().map(|step| &step.name);
        Self { steps: Mutex::new(login.map(of(Phase::Login)).chain(token.map(of(Phase::Token))).collect()) }
    }

    /// Counts one request of a step with its duration, or with its failure.
    pub fn count(&self, phase: Phase, place: usize, took: Duration, failure: Option<FailureKind>) {
        let mut steps = self.locked();
        let Some(count) = steps.iter_mut().filter(|count| count.phase == phase).nth(place) else {
            return;
        };
        match failure {
            None => count.took.record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)),
            Some(kind) => *count.failures.entry(kind).or_default() += 1,
        }
    }

    /// Clears the counts of token steps after a warm-up.
    pub fn forget_tokens(&self) {
        for count in self.locked().iter_mut() {
            if count.phase == Phase::Token {
                count.took = LatencyHistogram::new();
                count.failures.clear();
            }
        }
    }

    /// The counts as the result shows them, in the order of the steps.
    pub fn rows(&self) -> Vec<schema::Step> {
        let steps = self.locked();
        let row = |count: &Count| schema::Step {
            phase: count.phase,
            name: count.name.clone(),
            count: count.took.count() + count.took.over_max(),
            service: (!count.took.is_empty()).then(|| count.took.distribution()),
            failures: count
                .failures
                .iter()
                .map(|(kind, count_of)| schema::Failure {
                    phase: count.phase,
                    kind: kind.to_string(),
                    count: *count_of,
                    words: None,
                })
                .collect(),
        };
        steps.iter().map(row).collect()
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Count>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
