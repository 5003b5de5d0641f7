//! The server, the machine and the generator at one instant.

use std::time::Instant;

use crate::run::observe::proc::{MachineSample, ProcessSample};

/// Reads the processes of a run, and the machine, at instants that the run chooses: T0, the end of the
/// last handshake, the most sockets held.
#[derive(Clone, Debug, Default)]
pub struct Observer {
    /// The processes of the gate, or `--server-pid`; without any no server is read.
    pub server: Vec<u32>,
    /// The embedded frontend.
    pub frontend: Option<u32>,
    /// The processes of the generator beside this one.
    pub generator: Vec<u32>,
}

/// What was seen at one instant; what could not be read is `None`.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When.
    pub at: Instant,
    /// The server's processes, together.
    pub server: Option<ProcessSample>,
    /// The frontend's process.
    pub frontend: Option<ProcessSample>,
    /// This process and those that it started for the load, together.
    pub generator: Option<ProcessSample>,
    /// The whole machine.
    pub machine: Option<MachineSample>,
}

impl Observer {
    /// Reads everything now: a few files for each thread, some tens of microseconds each.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            at: Instant::now(),
            server: ProcessSample::read_all(self.server.iter().copied()),
            frontend: ProcessSample::read_all(self.frontend),
            generator: self.generator(),
            machine: MachineSample::read().ok(),
        }
    }

    /// This process and those that it started for the load, now.
    pub fn generator(&self) -> Option<ProcessSample> {
        let own = std::process::id();
        let generator = [own].into_iter().chain(self.generator.iter().copied());
        ProcessSample::read_all(generator)
    }
}
