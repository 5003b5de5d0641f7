//! Why a socket is gone.

use std::io;

use crate::tls_error::TlsError;

/// Why a socket is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// This side closed, finished or reset it, or the shard stopped.
    Local,
    /// The peer closed it: its FIN, or TLS's close_notify, was read.
    Peer,
    /// The peer reset it (RST). A socket that was accepted is also reported as reset when the kernel gave it up.
    Reset,
    /// There is no listener: ECONNREFUSED on connect.
    Refused,
    /// The kernel gave the connection up for another reason (unreachable, timed out).
    Failed(io::ErrorKind),
    /// TLS failed: a certificate that is not trusted, an alert, bytes that are no TLS.
    Tls(TlsError),
    /// The service left more input unused than [`Options::input_bytes_max`](crate::Options).
    InputTooLong,
    /// The peer read so slowly that more output waits than [`Options::output_bytes_max`](crate::Options).
    PeerTooSlow,
    /// The sockets together held more than [`Options::held_bytes_max`](crate::Options), and this one was among those with
    /// the most.
    MemoryPressure,
}

impl Closed {
    /// The reason behind an error of a socket call or of `SO_ERROR`.
    pub(crate) fn from_error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            // Writing after the peer's RST has been reported once fails with EPIPE.
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Reset,
            kind => Self::Failed(kind),
        }
    }
}
