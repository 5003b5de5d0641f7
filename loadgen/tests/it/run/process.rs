//! Processes of this machine, as `/proc` shows them.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// A process that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pid: i32,
    arguments: Vec<String>,
}

impl Process {
    /// Whether this word is among its arguments.
    pub fn has_argument(&self, word: &str) -> bool {
        self.arguments.iter().any(|argument| argument == word)
    }

    /// Whether it still runs; one that has ended and waits to be seen off does not.
    pub fn is_there(&self) -> bool {
        arguments(self.pid).as_ref() == Some(&self.arguments)
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid)).map_or(0, Iterator::count)
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid).unwrap(), signal).unwrap();
    }
}

/// The processes that this one started and that run.
pub fn children_of(parent: i32) -> Vec<Process> {
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .filter(|pid| parent_of(*pid) == Some(parent))
        .filter_map(|pid| Some(Process { pid, arguments: arguments(pid)? }))
        .collect()
}

fn parent_of(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line?.trim().parse().ok()
}

/// `None` for a process that has ended: what is left of it has no arguments.
fn arguments(pid: i32) -> Option<Vec<String>> {
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    let words = line.split_terminator('\0').map(str::to_owned);
    Some(words.collect()).filter(|words: &Vec<String>| !words.is_empty())
}
