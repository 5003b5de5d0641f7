//! The flags for the deadlines of a handshake.

use std::time::Duration;

use crate::config::values;
use crate::gate::Deadlines;

/// The default time for each step, which is the reference implementation's for an upgrade. An honest client needs one
/// round trip per step.
const STEP_DEFAULT: &str = "10s";

/// The flags for the deadlines of a handshake.
#[derive(Clone, Debug, clap::Args)]
pub struct DeadlineArgs {
    /// The time for each step of a handshake, unless it has one of its own
    #[arg(long, value_name = "D", default_value = STEP_DEFAULT, value_parser = values::duration)]
    handshake_timeout: Duration,
    /// From accept to the end of the request's head, and for the body of a POST
    #[arg(long, value_name = "D", value_parser = values::duration)]
    head_timeout: Option<Duration>,
    /// From the 101 of a WebSocket for a session that polls to its upgrade packet
    #[arg(long, value_name = "D", value_parser = values::duration)]
    upgrade_timeout: Option<Duration>,
    /// From the opening of an Engine.IO session to Socket.IO's connect packet
    #[arg(long, value_name = "D", value_parser = values::duration)]
    connect_timeout: Option<Duration>,
}

impl DeadlineArgs {
    /// The time for each step.
    pub fn read(&self) -> Deadlines {
        let or_common = |own: Option<Duration>| own.unwrap_or(self.handshake_timeout);
        Deadlines {
            head: or_common(self.head_timeout),
            upgrade: or_common(self.upgrade_timeout),
            connect: or_common(self.connect_timeout),
        }
    }
}
