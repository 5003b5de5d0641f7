//! What stands apart for each target, where a run has several.
//!
//! The engine faces one target at a time: that of the socket or arrival whose callback is under way. What belongs to
//! the others stands aside, so that with one target alone nothing is looked up and nothing is carried.

use std::mem::swap;
use std::sync::Arc;

use reactor::ClientTls;

use crate::drive::engine::Engine;
use crate::ground::recorder::Recorder;
use crate::speak::connection::Profile;
use crate::speak::target::Target;
use crate::spec::LoadSpec;

/// A target that the engine does not face.
pub struct Aside {
    /// Its place in the scenario.
    pub place: u8,
    /// Where its sockets go.
    pub target: Arc<Target>,
    /// Its TLS, with this shard's sessions.
    pub tls: Option<ClientTls>,
    /// What its handshakes have in common.
    pub profile: Profile,
    /// What was recorded of its arrivals.
    pub recorder: Recorder,
}

impl Aside {
    /// Every target of a scenario, in its order; there are fewer than 256
    /// ([`TARGETS_MAX`](crate::spec::TARGETS_MAX)).
    pub fn all(scenario: &LoadSpec, targets: Vec<Arc<Target>>) -> Vec<Self> {
        let all = targets.into_iter().zip(0..=u8::MAX);
        all.map(|(target, place)| Self {
            place,
            tls: target.tls_of_shard(scenario.tls.resumption),
            profile: Profile::of(scenario, usize::from(place), &target.host),
            target,
            recorder: Recorder::new(),
        })
        .collect()
    }
}

impl Engine {
    /// Faces the target of this place. Whoever takes up a socket or an arrival begins with it.
    pub(super) fn turn_to(&mut self, place: u8) {
        if place == self.facing {
            return;
        }
        if let Some(other) = self.aside.iter_mut().find(|other| other.place == place) {
            swap(&mut self.facing, &mut other.place);
            swap(&mut self.target, &mut other.target);
            swap(&mut self.tls, &mut other.tls);
            swap(&mut self.tools.profile, &mut other.profile);
            swap(&mut self.recorder, &mut other.recorder);
        }
    }

    /// Faces the target of an arrival.
    pub(super) fn turn_to_arrival(&mut self, number: u64) {
        // A scenario has fewer than 256 targets.
        self.turn_to(self.scenario.targets.of_arrival(number) as u8);
    }

    /// Gives away what was recorded, by target in the order of the scenario.
    pub(super) fn take_recorded(&mut self) -> Vec<Recorder> {
        let aside = self.aside.iter_mut();
        let mut all: Vec<(u8, Recorder)> = aside.map(|other| (other.place, other.recorder.take())).collect();
        all.push((self.facing, self.recorder.take()));
        all.sort_by_key(|(place, _)| *place);
        all.into_iter().map(|(_, recorder)| recorder).collect()
    }
}
