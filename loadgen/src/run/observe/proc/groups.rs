//! What control groups are charged with: processor time to the nanosecond, where `/proc/stat` samples by ticks.

use std::fs;
use std::path::Path;

/// Processor time so far, by three ways of reading it below `root` (`/sys/fs/cgroup`), each `None` where it is not to be
/// had. Each is at most what the machine spent, so the most of them is the nearest:
///
/// ```text
/// 0   cgroup v1: cpuacct.usage of the topmost group, which all others are charged to
/// 1   cgroup v2: usage_usec of the topmost group; of the machine's own that is made of ticks, of a container's it is exact
/// 2   cgroup v2: the sum of usage_usec over the groups below it, without what belongs to none (kernel threads)
/// ```
pub fn charged_ns(root: &Path) -> [Option<u64>; 3] {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let v1 = ["cpuacct", "cpu,cpuacct"].iter().find_map(|name| read(&root.join(name).join("cpuacct.usage")));
    let below: Vec<u64> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(|entry| usage_ns(&read(&entry.ok()?.path().join("cpu.stat"))?))
        .collect();
    [
        v1.and_then(|usage| usage.trim().parse().ok()),
        read(&root.join("cpu.stat")).and_then(|stat| usage_ns(&stat)),
        (!below.is_empty()).then(|| below.iter().sum()),
    ]
}

/// `usage_usec` of a `cpu.stat` (the kernel's admin-guide/cgroup-v2); version 1 has a file of that name without it.
fn usage_ns(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    line.trim().parse::<u64>().ok()?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layout_is_read_as_far_as_it_goes() {
        let v1 = &[("cpuacct/cpuacct.usage", "1234\n"), ("cpu/cpu.stat", "nr_periods 0\n")][..];
        let v2 = &[
            ("cpu.stat", "usage_usec 9\nuser_usec 5\n"),
            ("a/cpu.stat", "usage_usec 3\n"),
            ("b/cpu.stat", "usage_usec 4\n"),
        ][..];
        for (files, expected, why) in [
            (v1, [Some(1234), None, None], "version 1"),
            (v2, [None, Some(9000), Some(7000)], "version 2"),
            (&[][..], [None, None, None], "none at all"),
            (&[("cpuacct/cpuacct.usage", "many")][..], [None; 3], "not a number"),
        ] {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            assert_eq!(charged_ns(root.path()), expected, "{why}");
        }
        assert_eq!(charged_ns(Path::new("/nonexistent")), [None; 3]);
    }
}
