//! How many sockets this process may hold: its descriptors, raised to the limit before the first of them.

use std::os::fd::RawFd;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The table's size is bounded where the limit is not: a million entries are 8 MiB of the kernel's memory.
const TABLE_ENTRIES_MAX: u64 = 1 << 20;

/// File descriptors that this process may have open (RLIMIT_NOFILE).
pub fn descriptor_limit() -> u64 {
    // None is no limit at all.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raises the soft limit of descriptors to the hard one, which takes no privilege (it is there for programs that use
/// select(2)), makes room for as many in the kernel's table, and answers what the limit is then.
///
/// The room is made once, best before the first thread: a table that grows while threads share it waits for them all
/// (`expand_fdtable` in the kernel's fs/file.c, `synchronize_rcu`). It grows by doubling, and the thread that opens the
/// 257th, 513th, 1,025th... descriptor stood still for 5 to 30 ms: most of what a load generator's arrivals were late by.
pub fn raise_descriptor_limit() -> u64 {
    let hard = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit { current: hard, maximum: hard };
    // Refused only by a sandbox; then the limit stays as it was, and is judged as it is.
    let _kept_if_refused = setrlimit(Resource::Nofile, raised);
    let limit = descriptor_limit();
    // Without it, sockets are opened all the same, some of them late.
    let _grown = grow_table(limit.min(TABLE_ENTRIES_MAX));
    limit
}

/// The kernel's table holds the highest descriptor there ever was, and never shrinks.
fn grow_table(entries: u64) -> rustix::io::Result<()> {
    let highest = RawFd::try_from(entries.saturating_sub(1)).unwrap_or(RawFd::MAX);
    let any = eventfd(0, EventfdFlags::CLOEXEC)?;
    fcntl_dupfd_cloexec(&any, highest).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_as_large_as_the_limit_before_it_is_used() {
        let limit = raise_descriptor_limit();
        assert_eq!(limit, descriptor_limit());
        assert_eq!(getrlimit(Resource::Nofile).current, getrlimit(Resource::Nofile).maximum);
        // proc_pid_status(5): "FDSize: Number of file descriptor slots currently allocated."
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let slots = status
            .lines()
            .find_map(|line| line.strip_prefix("FDSize:"))
            .and_then(|slots| slots.trim().parse::<u64>().ok())
            .unwrap();
        assert!(slots >= limit.min(TABLE_ENTRIES_MAX), "{slots} of {limit}");
    }
}
