//! The machine that the load comes from: what it is, what it allows, and how its processors are shared out.

use std::time::Duration;
use std::{fs, io};

use reports::schema;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::scenario::{Hold, Load, Pin, Scenario, TargetChoice};

/// What this machine is, for the result. What cannot be read is left empty: a container may hide it.
pub fn read() -> schema::Environment {
    let kernel_file =
        |name| fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
    let kernel = format!(
        "{} {}",
        kernel_file("ostype").trim(),
        kernel_file("osrelease").trim()
    );
    schema::Environment {
        cpu_model: cpu_model(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
        cores: u32::try_from(allowed_cpus().len()).unwrap_or(u32::MAX),
        kernel,
        memory_bytes: meminfo_bytes(
            &fs::read_to_string("/proc/meminfo").unwrap_or_default(),
            "MemTotal",
        )
        .unwrap_or(0),
        fd_limit: descriptor_limit(),
    }
}

/// The processors that this program may run on, in order, at least one.
pub fn allowed_cpus() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else {
        return vec![0];
    };
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect();
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// How processors are shared between generator and embedded server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreShare {
    /// For the generator's shards, at least one.
    pub generator: Vec<usize>,
    /// For the gate and the frontend, at least one.
    pub server: Vec<usize>,
    /// Whether each side keeps to its own; else both run where the kernel likes.
    pub pinned: bool,
}

impl CoreShare {
    /// The lower half to the generator and the upper half to the embedded server, the odd one to the server; all of
    /// them to both where nothing is shared out: one processor, no embedded server, or `--pin none`.
    pub fn new(cpus: &[usize], embedded: bool, pin: Pin) -> Self {
        let pinned = embedded && pin == Pin::Auto && cpus.len() > 1;
        let (lower, upper) = if pinned {
            cpus.split_at(cpus.len() / 2)
        } else {
            (cpus, cpus)
        };
        Self {
            generator: lower.to_vec(),
            server: upper.to_vec(),
            pinned,
        }
    }

    /// Keeps this thread, and all that it starts from now on, to the generator's processors.
    pub fn keep_generator(&self) -> io::Result<()> {
        if !self.pinned {
            return Ok(());
        }
        let mut set = CpuSet::new();
        for cpu in &self.generator {
            set.set(*cpu);
        }
        Ok(sched_setaffinity(None, &set)?)
    }

    /// Where a shard of the generator is pinned, if at all.
    pub fn shard_cpu(&self, index: usize) -> Option<usize> {
        let place = index.checked_rem(self.generator.len())?;
        self.generator.get(place).copied().filter(|_| self.pinned)
    }
}

/// File descriptors that this process may have open.
pub fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raises the soft limit of descriptors to the hard one, which takes no privilege, and answers what it is then.
pub fn raise_descriptor_limit() -> u64 {
    let hard = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: hard,
        maximum: hard,
    };
    // Refused only by a sandbox; then the limit stays as it was, and is judged as it is.
    let _kept_if_refused = setrlimit(Resource::Nofile, raised);
    descriptor_limit()
}

/// Descriptors besides the load's sockets: standard streams, an epoll set, an event and a timer for each shard, the
/// runtime, connections of logins and token requests, the result's files.
const DESCRIPTORS_BESIDES: u64 = 400;
/// The embedded gate has the same limit and keeps more of it back for what is no admitted connection, up to half.
const GATE_DESCRIPTORS_BESIDES: u64 = 1300;

/// More descriptors are needed than this process may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{needed} file descriptors are needed, {sockets} of them for sockets that are open at once, but this process may \
     open {available}; raise the hard limit (ulimit -Hn {needed}), ask for fewer --connections, or --hold them shorter"
)]
pub struct TooFewDescriptors {
    needed: u64,
    sockets: u64,
    available: u64,
}

/// Whether `available` descriptors are enough for a scenario.
pub fn check_descriptors(scenario: &Scenario, available: u64) -> Result<(), TooFewDescriptors> {
    let sockets = sockets_at_once(
        &scenario.load,
        scenario.connections,
        scenario.duration,
        scenario.hold,
    );
    let embedded = matches!(scenario.target, TargetChoice::Embedded(_));
    let needed = descriptors_needed(sockets, embedded);
    if needed <= available {
        return Ok(());
    }
    Err(TooFewDescriptors {
        needed,
        sockets,
        available,
    })
}

/// What so many sockets need in all, in the one of the two processes that needs more.
fn descriptors_needed(sockets: u64, embedded: bool) -> u64 {
    let besides = if embedded {
        sockets.clamp(DESCRIPTORS_BESIDES, GATE_DESCRIPTORS_BESIDES)
    } else {
        DESCRIPTORS_BESIDES
    };
    sockets.saturating_add(besides)
}

/// Sockets that are open at once when every handshake takes up to [`HANDSHAKE_ALLOWED`].
fn sockets_at_once(
    load: &Load,
    connections: Option<u64>,
    duration: Option<Duration>,
    hold: Hold,
) -> u64 {
    let all = connections.unwrap_or(u64::MAX);
    let at_once = match (load, hold) {
        (Load::Open { rate_per_s, .. }, hold) => {
            let open = match hold {
                Hold::UntilEnd => duration,
                Hold::For(time) => {
                    let open = time.saturating_add(HANDSHAKE_ALLOWED);
                    Some(duration.map_or(open, |duration| duration.min(open)))
                }
            };
            open.map_or(u64::MAX, |open| {
                (rate_per_s * open.as_secs_f64()).ceil() as u64
            })
        }
        (Load::Staged { profile, .. }, hold) => {
            let all = profile.arrivals().ceil() as u64;
            match hold {
                Hold::UntilEnd => all,
                Hold::For(time) => {
                    let open = time.saturating_add(HANDSHAKE_ALLOWED).as_secs_f64();
                    all.min((profile.rate_per_s_max() * open).ceil() as u64)
                }
            }
        }
        (Load::Listed(instants), Hold::UntilEnd) => instants.len() as u64,
        (Load::Listed(instants), Hold::For(time)) => most_within(instants, time),
        (Load::Closed { concurrency }, Hold::For(Duration::ZERO)) => u64::from(*concurrency),
        // How fast places become free is up to the target.
        (Load::Closed { .. }, _) => u64::MAX,
    };
    all.min(at_once)
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

fn cpu_model(cpuinfo: &str) -> String {
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    model
        .map_or("", |model| model.trim_start_matches([' ', '\t', ':']))
        .trim()
        .to_owned()
}

/// A field of `/proc/meminfo`, which counts in units of 1,024 bytes.
pub(crate) fn meminfo_bytes(meminfo: &str, field: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrival::{Arrivals, RateProfile};

    #[test]
    fn processors_are_shared_out_by_halves() {
        for (cpus, embedded, pin, generator, server, why) in [
            (&[0, 1][..], true, Pin::Auto, &[0][..], &[1][..], "one each"),
            (
                &[0, 1, 2],
                true,
                Pin::Auto,
                &[0],
                &[1, 2],
                "the odd one to the server",
            ),
            (
                &[4, 5, 6, 7],
                true,
                Pin::Auto,
                &[4, 5],
                &[6, 7],
                "of those that are allowed",
            ),
            (&[0], true, Pin::Auto, &[0], &[0], "nothing to share out"),
            (
                &[0, 1],
                true,
                Pin::None,
                &[0, 1],
                &[0, 1],
                "as the kernel likes",
            ),
            (
                &[0, 1],
                false,
                Pin::Auto,
                &[0, 1],
                &[0, 1],
                "no server of our own",
            ),
        ] {
            let share = CoreShare::new(cpus, embedded, pin);
            assert_eq!(
                (&share.generator[..], &share.server[..]),
                (generator, server),
                "{why}"
            );
            let own = share.pinned.then_some(generator[0]);
            assert_eq!(share.shard_cpu(generator.len()), own, "{why}");
        }
    }

    #[test]
    fn sockets_that_are_open_at_once_are_counted() {
        let open = Load::Open {
            rate_per_s: 500.0,
            arrivals: Arrivals::Uniform,
        };
        let closed = Load::Closed { concurrency: 64 };
        let second = |s: u64| s * 1_000_000_000;
        let listed = Load::Listed([0, 5, 6, 6, 7].map(second).into());
        let stages = ["10s:10/s", "1s:1000/s"].map(|stage| stage.parse().unwrap());
        let staged = Load::Staged {
            profile: RateProfile::new(stages.to_vec()).unwrap().into(),
            arrivals: Arrivals::Uniform,
        };
        let seconds = |s| Some(Duration::from_secs(s));
        let held = |s| Hold::For(Duration::from_secs(s));
        for (load, connections, duration, hold, count, why) in [
            (
                listed.clone(),
                None,
                None,
                Hold::UntilEnd,
                5,
                "all that are listed",
            ),
            (listed, None, None, held(1), 3, "those within two seconds"),
            (
                staged.clone(),
                None,
                None,
                Hold::UntilEnd,
                1100,
                "10 s of 10, then 1 s of 1,000",
            ),
            (staged, None, None, held(0), 1000, "the spike"),
            (
                open.clone(),
                Some(5000),
                None,
                Hold::UntilEnd,
                5000,
                "all are held",
            ),
            (
                open.clone(),
                None,
                seconds(10),
                Hold::UntilEnd,
                5000,
                "as many as time brings",
            ),
            (
                open.clone(),
                Some(5000),
                None,
                held(0),
                500,
                "those under way",
            ),
            (
                open.clone(),
                Some(5000),
                None,
                held(3),
                2000,
                "and those held",
            ),
            (
                open.clone(),
                Some(100),
                None,
                held(3),
                100,
                "never more than all",
            ),
            (
                open.clone(),
                None,
                seconds(2),
                held(60),
                1000,
                "the run is shorter than the hold",
            ),
            (closed.clone(), Some(5000), None, held(0), 64, "the places"),
            (
                closed.clone(),
                Some(5000),
                None,
                held(1),
                5000,
                "who knows how fast",
            ),
        ] {
            assert_eq!(
                sockets_at_once(&load, connections, duration, hold),
                count,
                "{why}"
            );
        }
    }

    #[test]
    fn descriptors_are_needed_for_more_than_sockets() {
        for (sockets, embedded, needed, why) in [
            (5000, false, 5400, "files, logins, the runtime"),
            (5000, true, 6300, "the gate keeps more of them back"),
            (500, true, 1000, "but never more than half"),
            (u64::MAX, true, u64::MAX, "without end"),
        ] {
            assert_eq!(descriptors_needed(sockets, embedded), needed, "{why}");
        }
    }

    #[test]
    fn this_machine_is_described() {
        let environment = read();
        assert!(
            environment.cores >= 1 && environment.memory_bytes > 0,
            "{environment:?}"
        );
        assert!(environment.kernel.starts_with("Linux "), "{environment:?}");
        assert_eq!(raise_descriptor_limit(), descriptor_limit());
    }

    #[test]
    fn files_of_the_kernel_are_read() {
        let cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC 9B14\nflags\t: fpu\n";
        assert_eq!(cpu_model(cpuinfo), "AMD EPYC 9B14");
        assert_eq!(cpu_model(""), "");
        let meminfo = "MemTotal:       24576 kB\nMemFree: 5 kB\n";
        assert_eq!(meminfo_bytes(meminfo, "MemTotal"), Some(24_576 * 1024));
        assert_eq!(meminfo_bytes(meminfo, "Mem"), None);
    }
}
