//! What server and machine spend, read from `/proc` before, during and after the load.
//!
//! Processor time comes from each thread's `schedstat`, in nanoseconds: `/proc/PID/stat` ticks at 10 ms. A thread that
//! ends takes its time with it, so the figures are those of threads that live as long as the run, as servers' do.

mod cost;
mod metrics;
mod proc;

use std::time::Instant;

pub use cost::{frontend_cost, machine_cost, server_cost};
pub use metrics::{Metrics, MetricsError, Readings, Watch, metrics_cost};
pub use proc::{MachineSample, ProcessSample, ThreadSample, resident_bytes};

use cost::per_socket;

/// Reads the processes of a run, and the machine, at instants that are chosen by whoever runs it: T0, the end of the
/// last handshake, the most sockets held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Observer {
    /// The gate, or `--server-pid`.
    pub server: Option<u32>,
    /// The embedded frontend.
    pub frontend: Option<u32>,
}

/// What was seen at one instant; what could not be read is `None`.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When.
    pub at: Instant,
    /// The server's process.
    pub server: Option<ProcessSample>,
    /// The frontend's process.
    pub frontend: Option<ProcessSample>,
    /// This process.
    pub generator: Option<ProcessSample>,
    /// The whole machine.
    pub machine: Option<MachineSample>,
}

impl Observer {
    /// Reads everything now: a few files for each thread, some tens of microseconds each.
    pub fn snapshot(&self) -> Snapshot {
        let read = |pid: u32| ProcessSample::read(pid).ok();
        Snapshot {
            at: Instant::now(),
            server: self.server.and_then(read),
            frontend: self.frontend.and_then(read),
            generator: read(std::process::id()),
            machine: MachineSample::read().ok(),
        }
    }
}
