//! Processor time, memory and descriptors of the process, read from the kernel.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

/// The resource use of the process at one instant; `None` for a figure that the kernel does not provide.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    /// Processor time of all threads, user and system.
    pub cpu_s: f64,
    /// Resident memory.
    pub resident_bytes: Option<u64>,
    /// Open descriptors.
    pub open_fds: Option<u64>,
}

/// Reads the figures of this process.
pub fn read() -> Process {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    Process {
        cpu_s: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
        resident_bytes: resident_bytes(),
        open_fds: open_fds(),
    }
}

/// proc_pid_statm(5): the second number is the resident set in pages.
fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Since Linux 6.2 the directory's size is the number of open descriptors; before, they are counted.
fn open_fds() -> Option<u64> {
    match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64),
        size => Some(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_this_process_are_read() {
        let process = read();
        assert!(process.cpu_s > 0.0);
        assert!(process.resident_bytes.unwrap() > 100_000);
        assert!(process.open_fds.unwrap() >= 3, "the standard streams at least");
    }
}
