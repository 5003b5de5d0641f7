//! The files of `/proc`, read and taken apart (proc(5)).

mod groups;

use std::fs;
use std::io;
use std::path::Path;

use crate::ground::environment::meminfo_bytes;

/// A process at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessSample {
    /// Its threads, by number.
    pub threads: Vec<ThreadSample>,
    /// Resident memory.
    pub rss_bytes: u64,
}

/// A thread at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadSample {
    /// As the kernel numbers it.
    pub id: u32,
    /// As it calls itself (`comm`).
    pub name: String,
    /// Processor time since it began.
    pub cpu_ns: u64,
}

/// The machine at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineSample {
    /// Its processors.
    pub cpus: usize,
    /// Ticks of all processors that were not idle, since boot. What runs between two ticks alone is in none of them.
    pub busy_ticks: u64,
    /// All ticks of all processors, since boot.
    pub total_ticks: u64,
    /// Processor time that control groups were charged with, each in its place: see `groups::charged_ns`.
    pub charged_ns: [Option<u64>; 3],
    /// Kernel memory: slab, and the pages of TCP's buffers.
    pub kernel_bytes: u64,
}

/// Pages of x86-64 and of common arm64 kernels; `sockstat` and `statm` count in them.
fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

impl ProcessSample {
    /// Reads a process that this user may look at.
    pub fn read(pid: u32) -> io::Result<Self> {
        let folder = format!("/proc/{pid}");
        let mut threads = Vec::new();
        for entry in fs::read_dir(format!("{folder}/task"))? {
            let thread = entry?.path();
            let id = thread.file_name().and_then(|name| name.to_str()?.parse().ok());
            // A thread may end between the listing and the reading.
            let (Some(id), Ok(schedstat)) = (id, fs::read_to_string(thread.join("schedstat"))) else {
                continue;
            };
            let name = fs::read_to_string(thread.join("comm")).unwrap_or_default();
            threads.push(ThreadSample {
                id,
                name: name.trim_end().to_owned(),
                cpu_ns: schedstat_cpu_ns(&schedstat).unwrap_or(0),
            });
        }
        threads.sort_by_key(|thread| thread.id);
        Ok(Self { threads, rss_bytes: resident_bytes(pid)? })
    }

    /// Reads several processes as one; those that are not there any more are left out. `None`: none is there.
    pub fn read_all(pids: impl IntoIterator<Item = u32>) -> Option<Self> {
        let found = pids.into_iter().filter_map(|pid| Self::read(pid).ok());
        found.reduce(|sum, one| Self {
            threads: [sum.threads, one.threads].concat(),
            rss_bytes: sum.rss_bytes + one.rss_bytes,
        })
    }

    /// Processor time of all its threads.
    pub fn cpu_ns(&self) -> u64 {
        self.threads.iter().map(|thread| thread.cpu_ns).sum()
    }
}

/// Resident memory of a process.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    Ok(statm_resident_pages(&statm).unwrap_or(0) * page_bytes())
}

impl MachineSample {
    /// Reads the machine.
    pub fn read() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let (busy_ticks, total_ticks) =
            stat_ticks(&stat).ok_or_else(|| io::Error::other("/proc/stat has no line of all processors"))?;
        let slab_bytes = meminfo_bytes(&fs::read_to_string("/proc/meminfo")?, "Slab").unwrap_or(0);
        // A container may not show it.
        let sockstat = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
        let tcp_bytes = sockstat_tcp_pages(&sockstat).unwrap_or(0) * page_bytes();
        Ok(Self {
            cpus: stat_cpus(&stat),
            busy_ticks,
            total_ticks,
            charged_ns: groups::charged_ns(Path::new("/sys/fs/cgroup")),
            kernel_bytes: slab_bytes + tcp_bytes,
        })
    }
}

/// `schedstat`: time on a processor, time waiting for one, slices.
fn schedstat_cpu_ns(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().next()?.parse().ok()
}

/// `statm`: the whole size, then what is resident, in pages.
fn statm_resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The busy and all ticks of `/proc/stat`'s first line: user nice system idle iowait irq softirq steal guest ...; guest
/// time is part of user time already.
fn stat_ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_ascii_whitespace().take(8).map_while(|ticks| ticks.parse().ok()).collect();
    let idle = ticks.get(3)? + ticks.get(4).copied().unwrap_or(0);
    let total: u64 = ticks.iter().sum();
    Some((total - idle, total))
}

/// The lines `cpu0`, `cpu1`, ... of `/proc/stat`: processors that are there.
fn stat_cpus(stat: &str) -> usize {
    let cpus = stat.lines().filter_map(|line| line.strip_prefix("cpu"));
    cpus.filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())).count()
}

/// `mem` of the line `TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 3`.
fn sockstat_tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == "mem")?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_taken_apart() {
        let stat = "cpu  10 1 5 80 4 0 1 2 7 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        let sockstat = "sockets: used 290\nTCP: inuse 5 orphan 0 tw 1 alloc 7 mem 3\nUDP: inuse 1 mem 9\n";
        assert_eq!(stat_ticks(stat), Some((19, 103)));
        assert_eq!(stat_ticks("intr 5\n"), None);
        assert_eq!(stat_cpus(stat), 1);
        assert_eq!(sockstat_tcp_pages(sockstat), Some(3));
        assert_eq!(sockstat_tcp_pages("TCP: inuse 5"), None);
        assert_eq!(schedstat_cpu_ns("123456789 42 7\n"), Some(123_456_789));
        assert_eq!(statm_resident_pages("900 120 80 1 0 300 0\n"), Some(120));
    }

    #[test]
    fn this_process_is_seen() {
        let id = std::process::id();
        let before = ProcessSample::read(id).unwrap();
        assert!(before.rss_bytes > 0 && !before.threads.is_empty());
        // The kernel brings a running thread's time up to date at its next tick: some thousand readings away at most.
        let grown =
            (0..1_000_000).map_while(|_| ProcessSample::read(id).ok()).any(|after| after.cpu_ns() > before.cpu_ns());
        assert!(grown);
        assert!(ProcessSample::read(u32::MAX).is_err());
        let machine = MachineSample::read().unwrap();
        assert!(machine.busy_ticks > 0 && machine.total_ticks > machine.busy_ticks);
    }
}
