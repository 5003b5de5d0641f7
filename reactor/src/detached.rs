//! A socket that has left its shard.

use std::os::fd::OwnedFd;

use crate::connection::{Connection, Stage};
use crate::socket_id::SocketId;

/// An open socket between two shards: its descriptor, its TLS, its input that was not used and its output that was not
/// sent. [`Io::release`](crate::Io::release) makes one, [`Sockets::adopt`](crate::Sockets::adopt) takes it in.
pub struct DetachedSocket {
    pub(crate) connection: Connection,
}

/// What a socket without TLS consists of: all that another process needs to go on with it.
#[derive(Debug)]
pub struct Parts {
    /// The descriptor, which does not block.
    pub fd: OwnedFd,
    /// What has arrived and was not used.
    pub input: Vec<u8>,
    /// What was written and is not sent.
    pub output: Vec<u8>,
}

impl DetachedSocket {
    /// Takes a socket apart that is to leave the process; `Err` gives one under TLS back, whose keys cannot leave.
    pub fn into_parts(mut self) -> Result<Parts, Self> {
        if self.connection.tls_mut().is_some() {
            return Err(self);
        }
        Ok(Parts {
            input: self.connection.take_input(),
            output: self.connection.unsent().to_vec(),
            fd: self.connection.descriptor.into(),
        })
    }

    /// Makes a socket of the parts that another process, which had accepted it, took it apart into.
    pub fn from_parts(parts: Parts) -> Self {
        // The shard that adopts it gives it its name.
        let mut connection = Connection::new(parts.fd.into(), SocketId::from_bits(0), Stage::Open, None);
        connection.keep_input(parts.input);
        connection.keep_unsent(&parts.output);
        Self { connection }
    }

    /// Has all that the peer sent be read before its end counts. A Unix socket hangs up (EPOLLHUP) as soon as its other
    /// end is closed, with bytes unread, where one of TCP does so after a reset.
    #[must_use]
    pub fn read_to_the_end(mut self) -> Self {
        self.connection.inbound = false;
        self
    }
}
