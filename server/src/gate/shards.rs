//! Creates the services of a gate's shards. Nothing here starts a thread, opens a socket or reads a clock.

use std::sync::Arc;

use rand::{Rng, SeedableRng, rngs::StdRng};
use reactor::TimeSource;

use crate::gate::admission::{Admission, ShardAdmission};
use crate::gate::config::GateConfig;
use crate::gate::connections::Connections;
use crate::gate::forwarding::Forwarding;
use crate::gate::handshake::HEAD_BYTES_MAX;
use crate::gate::lookup::SessionLookup;
use crate::gate::routes::Routes;
use crate::gate::service::{Drain, GateService, ShardDrain};
use crate::gate::shared::GateShared;
use crate::gate::wall_clock::{TimeOfDay, WallClock};
use crate::keys::Keys;
use crate::process::LogThrottle;
use crate::session::polling::PollingSessions;
use crate::session::{Host, Sessions, Settings};
use crate::verify::{Policy, Verifier};

/// Input that a socket may hold beyond the longest message: the head of the message's frame, and the rest of one read.
const INPUT_SLACK_BYTES: usize = 64 * 1024;

/// Unsent bytes above which the gate stops reading from a client: as many as one read returns.
const OUTPUT_PAUSE_BYTES: usize = 64 * 1024;

/// Connections that a shard accepts before it handles its open sockets. Compared with 1, this saves 4 % of processor time
/// per connection, because there are fewer calls of epoll_wait; 64 saves no more.
const ACCEPTS_PER_TURN: usize = 16;

/// While connections arrive densely, the kernel passes each to the gate with its first bytes, which saves a wake-up per
/// connection. A silent connection arrives after about this time, and its time to authenticate starts then.
const DEFER_ACCEPT_S: u32 = 1;

/// Inputs of the shards that a simulation may replace.
#[derive(Debug)]
pub struct ShardInputs {
    pub wall_clock: WallClock,
    /// The source of all shards' session ids. Equal seeds give equal ids.
    pub random: StdRng,
}

impl ShardInputs {
    /// The system's clock, and a generator that the system seeds.
    pub fn system() -> Self {
        Self { wall_clock: WallClock::system(), random: StdRng::from_rng(&mut rand::rng()) }
    }
}

/// The shards of one process among those of all processes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The number of the first shard of this process.
    pub(super) first: u16,
    /// The number of shards in this process.
    pub(super) count: usize,
}

/// The parts that the shards of a process share.
pub(super) struct ShardParts {
    pub(super) layout: Layout,
    pub(super) shared: Arc<GateShared>,
    pub(super) routes: Arc<Routes>,
    pub(super) drain: Arc<Drain>,
    /// One for each shard, or none.
    pub(super) lookups: Vec<SessionLookup>,
    pub(super) inputs: ShardInputs,
}

/// Creates the services of all shards of `parts.layout`, in the order of their numbers.
pub(super) fn make(config: &GateConfig, keys: &Keys, parts: ShardParts) -> Vec<GateService> {
    let ShardParts { layout, shared, routes, drain, lookups, inputs } = parts;
    let Layout { first, count } = layout;
    let ShardInputs { wall_clock, mut random } = inputs;
    let settings = Arc::new(config.session.clone());
    let policy = Arc::new(config.policy.clone());
    let admission = Arc::new(Admission::new(config.connections_max, config.per_address_max));
    // Each shard gets an equal part of the limits. Polling sessions, which may have no connection, have the same limit.
    let half_open_max = config.half_open_max.div_ceil(count);
    let polls_max = config.connections_max.div_ceil(count);
    let mut lookups = lookups.into_iter();
    let make_one = |index: usize| {
        let number = first + index as u16;
        let metrics = Arc::clone(&shared.metrics.shards()[index]);
        let mut random = StdRng::from_rng(&mut random);
        let verifier = verifier(keys, &policy, config.token_cache_bytes / count, random.next_u64());
        let sessions = Sessions {
            host: Host::new(Arc::clone(&settings), verifier, Arc::clone(&metrics), random),
            polls: PollingSessions::new(number, polls_max, half_open_max, held_bytes_max(config, count)),
        };
        let time = TimeOfDay::new(wall_clock.clone());
        GateService {
            connections: Connections::new(sessions, Arc::clone(&shared), config.deadlines, time, half_open_max),
            admission: ShardAdmission::new(Arc::clone(&admission)),
            forwarding: Forwarding::new(number, Arc::clone(&routes), metrics),
            lookup: lookups.next(),
            drain: ShardDrain::new(Arc::clone(&drain)),
            accept_failures: LogThrottle::default(),
        }
    };
    (0..count).map(make_one).collect()
}

fn verifier(keys: &Keys, policy: &Arc<Policy>, cache_bytes: usize, hash_seed: u64) -> Verifier {
    let verifier = Verifier::new(Arc::clone(&keys.store), Arc::clone(policy)).with_token_cache(cache_bytes);
    match &keys.fetch_trigger {
        Some(trigger) => verifier.with_fetch_trigger(trigger.clone(), hash_seed),
        None => verifier,
    }
}

/// The limit on the bytes that a shard's sockets hold, and on those of its polling sessions: half of the whole limit each.
fn held_bytes_max(config: &GateConfig, count: usize) -> usize {
    config.buffer_bytes_max / 2 / count
}

/// How the reactor runs shard `number`, one of `count` in this process.
pub(super) fn reactor_options(config: &GateConfig, number: u16, count: usize) -> reactor::Options {
    let settings: &Settings = &config.session;
    reactor::Options {
        cpu: config.cpus.iter().cycle().nth(number.into()).copied(),
        input_bytes_max: HEAD_BYTES_MAX.max(settings.message_bytes_max as usize) + INPUT_SLACK_BYTES,
        output_bytes_max: settings.output_bytes_max(),
        output_pause_bytes: OUTPUT_PAUSE_BYTES,
        held_bytes_max: held_bytes_max(config, count),
        time: TimeSource::PerBatch,
        accepts_per_turn: ACCEPTS_PER_TURN,
        defer_accept_s: Some(DEFER_ACCEPT_S),
        ..reactor::Options::default()
    }
}
