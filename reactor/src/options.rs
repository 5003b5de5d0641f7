//! How a shard runs.

/// How a shard runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The processor that the shard's thread is pinned to.
    pub cpu: Option<usize>,
    /// How much one read takes, in the one buffer that all sockets of the shard share.
    pub read_buffer_bytes: usize,
    /// Input that a service may leave unused per socket: a frame of the largest size with what precedes it. Beyond it
    /// the socket ends with [`Closed::InputTooLong`](crate::Closed).
    pub input_bytes_max: usize,
    /// Output that may wait per socket. Beyond it the socket ends with [`Closed::PeerTooSlow`](crate::Closed).
    pub output_bytes_max: usize,
    /// Reading pauses while more output than this waits: a peer that does not read can make a server hold this much and
    /// the answers to one read.
    pub output_pause_bytes: usize,
    /// What all buffers of all sockets may take together, TLS's among them but not its keys. Beyond it the sockets with
    /// the most end with [`Closed::MemoryPressure`](crate::Closed).
    pub held_bytes_max: usize,
    /// When the clock is read.
    pub time: TimeSource,
    /// Connections accepted per listener and turn while successive turns bring some; the first turn accepts one alone,
    /// because to find that there is no other would cost a call.
    pub accepts_per_turn: usize,
    /// TCP_DEFER_ACCEPT (tcp(7)), in seconds, on the shard's listeners while connections come at a high rate: one is then
    /// reported when its first bytes are there, or after about so long without any. `None`: never.
    pub defer_accept_s: Option<u32>,
}

/// When the clock is read for [`Io::now_ns`](crate::Io::now_ns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeSource {
    /// For each event: a load engine measures with it.
    PerEvent,
    /// Once per batch of events: a server only needs to know roughly.
    PerBatch,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cpu: None,
            read_buffer_bytes: 64 * 1024,
            input_bytes_max: 1024 * 1024 + 64 * 1024,
            output_bytes_max: 4 * 1024 * 1024,
            output_pause_bytes: 1024 * 1024,
            held_bytes_max: usize::MAX,
            time: TimeSource::PerBatch,
            accepts_per_turn: 1,
            defer_accept_s: None,
        }
    }
}
