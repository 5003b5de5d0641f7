//! What the machine allows: descriptors and ports, counted before the run.

use std::fmt;
use std::fs;

/// More processes hold more sockets than a machine can; and with at most 64 the lag of a single late process still shows
/// in the 99th percentile of all.
pub const PROCESSES_MAX: usize = 64;

/// Descriptors besides the load's sockets: standard streams, an epoll set, an event and a timer for each shard, the
/// runtime, connections of logins and token requests, the result's files.
const DESCRIPTORS_BESIDES: u64 = 400;
/// Descriptors that a gate process keeps free for other uses than admitted connections, at most half of its limit.
const GATE_DESCRIPTORS_BESIDES: u64 = 1300;
/// The part of a gate process's descriptors that is planned with: the kernel spreads sockets unevenly, by a hash.
const GATE_SHARE: f64 = 0.9;

/// More descriptors are needed than a process may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFewDescriptors {
    needed: u64,
    /// Sockets of one process.
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
            Some(enough) => write!(out, "a process may open {available}; use --processes {enough}, ")?,
            None => write!(out, "this process may open {available}; ")?,
        }
        write!(out, "raise the hard limit (ulimit -Hn {needed}), ask for fewer --connections, or --hold them shorter")
    }
}

/// Whether `available` descriptors in each of `processes` processes are enough for `sockets` open sockets in all.
pub fn check_descriptors(sockets: u64, processes: usize, available: u64) -> Result<(), TooFewDescriptors> {
    let processes = processes as u64;
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

/// The processes that the embedded gate needs for `sockets` open sockets if each may open `available` descriptors.
pub fn gate_processes(sockets: u64, available: u64) -> u16 {
    let places = available - GATE_DESCRIPTORS_BESIDES.min(available / 2);
    if sockets <= places {
        return 1;
    }
    let counted_on = (places as f64 * GATE_SHARE).max(1.0) as u64;
    u16::try_from(sockets.div_ceil(counted_on)).unwrap_or(u16::MAX)
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

/// Whether `routes` pairs of source and destination have enough ports for a target's `share` (0 to 1) of the sockets: a
/// port serves one socket of each pair.
pub fn check_ports(sockets: u64, share: f64, routes: u64) -> Result<(), TooFewPorts> {
    let sockets = (sockets as f64 * share).ceil() as u64;
    let range = "/proc/sys/net/ipv4/ip_local_port_range";
    // Without the file the number of ports is unknown, and the run is allowed.
    let ports = fs::read_to_string(range).ok().and_then(|text| ports_of(&text));
    ports.map_or(Ok(()), |ports| enough_ports(sockets, routes, ports))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_names_the_processes_that_are_enough() {
        for (sockets, processes, available, fault, why) in [
            (5000, 1, 5400, None, "files, logins, the runtime besides"),
            (
                5000,
                1,
                5399,
                Some(
                    "5400 file descriptors are needed, 5000 of them for sockets that are open at once, but a process may \
                     open 5399; use --processes 2, raise the hard limit (ulimit -Hn 5400), ",
                ),
                "one too few",
            ),
            (
                100_000,
                5,
                20_000,
                Some(
                    "20400 file descriptors are needed in each of 5 processes, 20000 of them for sockets that are open \
                     at once, but a process may open 20000; use --processes 6, raise",
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
            let error = check_descriptors(sockets, processes, available).err();
            assert_eq!(error.is_some(), fault.is_some(), "{why}: {error:?}");
            let text = error.map_or(String::new(), |error| error.to_string());
            assert!(text.contains(fault.unwrap_or_default()), "{why}: {text}");
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
            assert_eq!(gate_processes(sockets, available), processes, "{why}");
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
            (u64::MAX, 4, false, "without end"),
        ] {
            assert_eq!(enough_ports(sockets, routes, 28_232).is_ok(), enough, "{why}");
        }
    }
}
