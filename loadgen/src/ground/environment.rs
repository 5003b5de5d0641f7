//! The machine that the load comes from: what it is, what it allows, and how its processors are shared out.

mod limits;
mod memory;

use std::{fs, io};

use reactor::descriptor_limit;
use reports::schema;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

pub use limits::{PROCESSES_MAX, TooFewDescriptors, TooFewPorts, check_descriptors, check_ports, gate_processes};
pub use memory::{Ends, Need, TooLittleMemory, check_memory};

/// Describes this machine for the result. Fields that cannot be read, as in some containers, are empty.
pub fn read() -> schema::Environment {
    let kernel_file = |name| fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
    let kernel = format!("{} {}", kernel_file("ostype").trim(), kernel_file("osrelease").trim());
    schema::Environment {
        cpu_model: cpu_model(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
        cores: u32::try_from(allowed_cpus().len()).unwrap_or(u32::MAX),
        kernel,
        memory_bytes: meminfo_bytes(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal").unwrap_or(0),
        fd_limit: descriptor_limit(),
    }
}

/// The processors that this program may run on, in order, at least one.
pub fn allowed_cpus() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else {
        return vec![0];
    };
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect();
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// How processors are shared between generator and embedded server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreShare {
    /// For the generator's shards, at least one.
    pub generator: Vec<usize>,
    /// For the gate and the frontend, at least one.
    pub server: Vec<usize>,
    /// Whether each side runs on its own processors; otherwise the kernel chooses.
    pub pinned: bool,
}

impl CoreShare {
    /// The lower half to the generator and the upper half to the embedded server, the odd one to the server; all of
    /// them to both where nothing is shared out: one processor, or no `split` (no embedded server, `--pin none`).
    pub fn new(cpus: &[usize], split: bool) -> Self {
        let pinned = split && cpus.len() > 1;
        let (lower, upper) = if pinned { cpus.split_at(cpus.len() / 2) } else { (cpus, cpus) };
        Self { generator: lower.to_vec(), server: upper.to_vec(), pinned }
    }

    /// Pins this thread, and all threads that it starts later, to the generator's processors.
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

    /// The processor that a shard of the generator is pinned to.
    pub fn shard_cpu(&self, index: usize) -> Option<usize> {
        let place = index.checked_rem(self.generator.len())?;
        self.generator.get(place).copied().filter(|_| self.pinned)
    }
}

fn cpu_model(cpuinfo: &str) -> String {
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or("", |model| model.trim_start_matches([' ', '\t', ':'])).trim().to_owned()
}

/// A field of `/proc/meminfo`, which counts in units of 1,024 bytes.
pub(crate) fn meminfo_bytes(meminfo: &str, field: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_shared_out_by_halves() {
        for (cpus, split, generator, server, why) in [
            (&[0, 1][..], true, &[0][..], &[1][..], "one each"),
            (&[0, 1, 2], true, &[0], &[1, 2], "the odd one to the server"),
            (&[4, 5, 6, 7], true, &[4, 5], &[6, 7], "of those that are allowed"),
            (&[0], true, &[0], &[0], "nothing to share out"),
            (&[0, 1], false, &[0, 1], &[0, 1], "the kernel chooses, or no embedded server"),
        ] {
            let share = CoreShare::new(cpus, split);
            assert_eq!((&share.generator[..], &share.server[..]), (generator, server), "{why}");
            let own = share.pinned.then_some(generator[0]);
            assert_eq!(share.shard_cpu(generator.len()), own, "{why}");
        }
    }

    #[test]
    fn this_machine_is_described() {
        let environment = read();
        assert!(environment.cores >= 1 && environment.memory_bytes > 0, "{environment:?}");
        assert!(environment.kernel.starts_with("Linux "), "{environment:?}");
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
