//! What the machine allows: descriptors and ports, counted before the run.

use std::fmt;
use std::fs;
use std::time::Duration;

use crate::drive::processes::PROCESSES_MAX;
use crate::spec::{Hold, Load, Scenario, Transport};

/// Descriptors besides the load's sockets: standard streams, an epoll set, an event and a timer for each shard, the
/// runtime, connections of logins and token requests, the result's files.
const DESCRIPTORS_BESIDES: u64 = 400;
/// A gate has the same limit and keeps more of it back for what is no admitted connection, up to half.
const GATE_DESCRIPTORS_BESIDES: u64 = 1300;
/// The part of a gate process's places that are counted on: the kernel deals sockets out by a hash, to some more than to
/// others.
const GATE_SHARE: f64 = 0.9;

/// More descriptors are needed than a process may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFewDescriptors {
    needed: u64,
    /// Of one process.
    sockets: u64,
    available: u64,
    processes: u64,
    /// Processes that would be enough, where such a number is allowed.
    enough: Option<u64>,
}

impl std::error::Error for TooFewDescriptors {}

impl fmt::Display for TooFewDescriptors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needed, sockets, available, .. } = self;
        let each = match self.processes {
            1 => String::new(),
            many => format!(" in each of {many} processes"),
        };
        write!(
            out,
            "{needed} file descriptors are needed{each}, {sockets} of them for sockets that are open at once, but "
        )?;
        match self.enough {
            Some(enough) => write!(out, "a process may open {available}; say --processes {enough}, ")?,
            None => write!(out, "this process may open {available}; ")?,
        }
        write!(out, "raise the hard limit (ulimit -Hn {needed}), ask for fewer --connections, or --hold them shorter")
    }
}

/// Whether `available` descriptors in each process are enough for a scenario.
pub fn check_descriptors(scenario: &Scenario, available: u64) -> Result<(), TooFewDescriptors> {
    let sockets = sockets_of(scenario);
    enough_descriptors(sockets, scenario.processes as u64, available)
}

fn enough_descriptors(sockets: u64, processes: u64, available: u64) -> Result<(), TooFewDescriptors> {
    let sockets_each = sockets.div_ceil(processes);
    let needed = sockets_each.saturating_add(DESCRIPTORS_BESIDES);
    if needed <= available {
        return Ok(());
    }
    let places = available.saturating_sub(DESCRIPTORS_BESIDES);
    let enough = (places > 0).then(|| sockets.div_ceil(places));
    Err(TooFewDescriptors {
        needed,
        sockets: sockets_each,
        available,
        processes,
        enough: enough.filter(|enough| *enough <= PROCESSES_MAX as u64),
    })
}

/// How many processes the embedded gate needs for a scenario, when each may open `available` descriptors.
pub fn gate_processes(scenario: &Scenario, available: u64) -> u16 {
    gate_processes_for(sockets_of(scenario), available)
}

fn gate_processes_for(sockets: u64, available: u64) -> u16 {
    let places = available - GATE_DESCRIPTORS_BESIDES.min(available / 2);
    if sockets <= places {
        return 1;
    }
    let counted_on = (places as f64 * GATE_SHARE).max(1.0) as u64;
    u16::try_from(sockets.div_ceil(counted_on)).unwrap_or(u16::MAX)
}

/// Sockets of this machine that a scenario has open at once.
pub fn sockets_of(scenario: &Scenario) -> u64 {
    let arrivals = sockets_at_once(&scenario.load, scenario.connections, scenario.duration, scenario.hold);
    arrivals.saturating_mul(sockets_each(scenario))
}

/// More sockets are asked for than the kernel has ports for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{sockets} sockets that are open at once need as many ports, but {routes} pairs of source and destination have \
     {ports} each (net.ipv4.ip_local_port_range); name more addresses with --source-ip, such as 127.0.0.2-127.0.0.17 \
     towards a server on this machine, ask for fewer --connections, or --hold them shorter"
)]
pub struct TooFewPorts {
    sockets: u64,
    routes: u64,
    ports: u64,
}

/// Whether so many pairs of source and destination have ports enough for a target's `share` (0 to 1) of a scenario: a
/// port serves one socket of each pair.
pub fn check_ports(scenario: &Scenario, share: f64, routes: u64) -> Result<(), TooFewPorts> {
    let sockets = (sockets_of(scenario) as f64 * share).ceil() as u64;
    let range = "/proc/sys/net/ipv4/ip_local_port_range";
    // Where it cannot be read nothing is known, and nothing is refused.
    let ports = fs::read_to_string(range).ok().and_then(|text| ports_of(&text));
    ports.map_or(Ok(()), |ports| enough_ports(sockets, routes, ports))
}

/// Sockets of one arrival: one that polls to its end has one for its GETs and one for its POSTs.
fn sockets_each(scenario: &Scenario) -> u64 {
    if scenario.transport == Transport::Polling { 2 } else { 1 }
}

fn enough_ports(sockets: u64, routes: u64, ports: u64) -> Result<(), TooFewPorts> {
    if sockets <= ports.saturating_mul(routes) {
        return Ok(());
    }
    Err(TooFewPorts { sockets, routes, ports })
}

/// How many ports a range such as `32768\t60999` holds, both ends included.
fn ports_of(range: &str) -> Option<u64> {
    let mut ends = range.split_whitespace().map(str::parse::<u64>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    Some((last + 1).saturating_sub(first))
}

/// Sockets that are open at once when every handshake takes up to [`HANDSHAKE_ALLOWED`].
fn sockets_at_once(load: &Load, connections: Option<u64>, duration: Option<Duration>, hold: Hold) -> u64 {
    let all = connections.unwrap_or(u64::MAX);
    let at_once = match (load, hold) {
        (Load::Open { rate_per_s, .. }, hold) => {
            let open = match hold {
                Hold::UntilEnd => duration,
                Hold::For(time) => Some(time.saturating_add(HANDSHAKE_ALLOWED)),
                Hold::Drawn(lifetime) => Some(lifetime.mean().saturating_add(HANDSHAKE_ALLOWED)),
            };
            let open = open.map(|open| duration.map_or(open, |duration| duration.min(open)));
            open.map_or(u64::MAX, |open| most_at(*rate_per_s, open, hold))
        }
        (Load::Staged { profile, .. }, hold) => {
            let all = profile.arrivals().ceil() as u64;
            match hold {
                Hold::UntilEnd => all,
                Hold::For(time) => {
                    let open = time.saturating_add(HANDSHAKE_ALLOWED);
                    all.min(most_at(profile.rate_per_s_max(), open, hold))
                }
                Hold::Drawn(lifetime) => {
                    let open = lifetime.mean().saturating_add(HANDSHAKE_ALLOWED);
                    all.min(most_at(profile.rate_per_s_max(), open, hold))
                }
            }
        }
        (Load::Listed(instants), Hold::UntilEnd | Hold::Drawn(_)) => instants.len() as u64,
        (Load::Listed(instants), Hold::For(time)) => most_within(instants, time),
        (Load::Closed { concurrency }, Hold::For(Duration::ZERO)) => u64::from(*concurrency),
        // How fast places become free is up to the target.
        (Load::Closed { .. }, _) => u64::MAX,
    };
    all.min(at_once)
}

/// Sockets that are open at once at a rate, each for a time: Little's law. Drawn times spread around their mean, and
/// the count with them, by its square root: four of them are not exceeded.
fn most_at(rate_per_s: f64, open: Duration, hold: Hold) -> u64 {
    let mean = rate_per_s * open.as_secs_f64();
    let spread = match hold {
        Hold::Drawn(_) => 4.0 * mean.sqrt(),
        _ => 0.0,
    };
    (mean + spread).ceil() as u64
}

/// The most instants within the time that a socket is open.
fn most_within(instants: &[u64], hold: Duration) -> u64 {
    let open = hold.saturating_add(HANDSHAKE_ALLOWED);
    let open_ns = u64::try_from(open.as_nanos()).unwrap_or(u64::MAX);
    let within = |(place, due_ns): (usize, &u64)| {
        let end_ns = due_ns.saturating_add(open_ns);
        instants[place..].partition_point(|later_ns| *later_ns < end_ns)
    };
    instants.iter().enumerate().map(within).max().unwrap_or(0) as u64
}

/// What a handshake may take before the sockets of a short hold pile up beyond the estimate.
const HANDSHAKE_ALLOWED: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::arrival::{Arrivals, RateProfile};

    #[test]
    fn sockets_that_are_open_at_once_are_counted() {
        let open = Load::Open { rate_per_s: 500.0, arrivals: Arrivals::Uniform };
        let closed = Load::Closed { concurrency: 64 };
        let second = |s: u64| s * 1_000_000_000;
        let listed = Load::Listed([0, 5, 6, 6, 7].map(second).into());
        let stages = ["10s:10/s", "1s:1000/s"].map(|stage| stage.parse().unwrap());
        let staged =
            Load::Staged { profile: RateProfile::new(stages.to_vec()).unwrap().into(), arrivals: Arrivals::Uniform };
        let seconds = |s| Some(Duration::from_secs(s));
        let held = |s| Hold::For(Duration::from_secs(s));
        for (load, connections, duration, hold, count, why) in [
            (listed.clone(), None, None, Hold::UntilEnd, 5, "all that are listed"),
            (listed, None, None, held(1), 3, "those within two seconds"),
            (staged.clone(), None, None, Hold::UntilEnd, 1100, "10 s of 10, then 1 s of 1,000"),
            (staged, None, None, held(0), 1000, "the spike"),
            (open.clone(), Some(5000), None, Hold::UntilEnd, 5000, "all are held"),
            (open.clone(), None, seconds(10), Hold::UntilEnd, 5000, "as many as time brings"),
            (open.clone(), Some(5000), None, held(0), 500, "those under way"),
            (open.clone(), Some(5000), None, held(3), 2000, "and those held"),
            (open.clone(), Some(100), None, held(3), 100, "never more than all"),
            (open.clone(), None, seconds(2), held(60), 1000, "the run is shorter than the hold"),
            (closed.clone(), Some(5000), None, held(0), 64, "the places"),
            (closed.clone(), Some(5000), None, held(1), 5000, "who knows how fast"),
        ] {
            assert_eq!(sockets_at_once(&load, connections, duration, hold), count, "{why}");
        }
    }

    #[test]
    fn what_one_process_cannot_open_several_can() {
        for (sockets, processes, available, fault, why) in [
            (5000, 1, 5400, None, "files, logins, the runtime besides"),
            (
                5000,
                1,
                5399,
                Some(
                    "5400 file descriptors are needed, 5000 of them for sockets that are open at once, but a process may \
                     open 5399; say --processes 2, raise the hard limit (ulimit -Hn 5400), ",
                ),
                "one too few",
            ),
            (
                100_000,
                5,
                20_000,
                Some(
                    "20400 file descriptors are needed in each of 5 processes, 20000 of them for sockets that are open \
                     at once, but a process may open 20000; say --processes 6, raise",
                ),
                "not enough processes",
            ),
            (100_000, 6, 20_000, None, "as was advised"),
            (
                5000,
                1,
                256,
                Some("but this process may open 256; raise the hard limit (ulimit -Hn 5400)"),
                "no number of processes helps",
            ),
            (u64::MAX, 1, 20_000, Some("this process may open 20000; raise"), "without end"),
        ] {
            let error = enough_descriptors(sockets, processes, available).err();
            match (error.map(|error| error.to_string()), fault) {
                (None, None) => {}
                (Some(error), Some(part)) => assert!(error.contains(part), "{why}: {error}"),
                (error, _) => panic!("{why}: {error:?}"),
            }
        }
    }

    #[test]
    fn the_gate_has_as_many_processes_as_its_sockets_need() {
        for (sockets, available, processes, why) in [
            (5000, 20_000, 1, "one is enough"),
            (18_700, 20_000, 1, "just"),
            (18_701, 20_000, 2, "one too many"),
            (100_000, 20_000, 6, "with room for an uneven deal"),
            (500, 1000, 1, "it keeps back half at most"),
            (501, 1000, 2, "but that it does"),
        ] {
            assert_eq!(gate_processes_for(sockets, available), processes, "{why}");
        }
    }

    #[test]
    fn ports_are_counted_with_both_ends() {
        for (range, ports) in
            [("32768\t60999\n", Some(28_232)), ("1024 1024", Some(1)), ("9 1", Some(0)), ("", None), ("many 1", None)]
        {
            assert_eq!(ports_of(range), ports, "{range:?}");
        }
        for (sockets, routes, enough, why) in [
            (28_232, 1, true, "the last port"),
            (28_233, 1, false, "one too many"),
            (100_000, 4, true, "four sources"),
            (u64::MAX, 4, false, "nobody knows how many"),
        ] {
            assert_eq!(enough_ports(sockets, routes, 28_232).is_ok(), enough, "{why}");
        }
    }
}
