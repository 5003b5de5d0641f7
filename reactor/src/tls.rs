//! TLS between a socket's bytes and its service, on either side: rustls without its I/O.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::{ClientConnection, Connection, HandshakeKind, ServerConfig, ServerConnection};

use crate::connect::ClientTls;
use crate::fault::TlsError;
use crate::service::Closed;

/// Plaintext handed to the service at once: two of TLS's largest records (RFC 8446 section 5.1).
pub(crate) const PLAIN_BYTES: usize = 2 * 16 * 1024;

/// One TLS connection.
pub(crate) struct Tls {
    connection: Connection,
    /// The service has been told that the handshake is complete.
    secured: bool,
}

impl Tls {
    /// A client that has not said anything yet. Fails when the configuration leaves nothing to offer.
    pub(crate) fn client(client: &ClientTls, held_bytes_max: usize) -> Result<Self, rustls::Error> {
        let config = Arc::clone(&client.config);
        let connection = ClientConnection::new(config, client.name.clone())?;
        Ok(Self::new(connection.into(), held_bytes_max))
    }

    /// A server that waits for its client.
    pub(crate) fn server(
        config: Arc<ServerConfig>,
        held_bytes_max: usize,
    ) -> Result<Self, rustls::Error> {
        let connection = ServerConnection::new(config)?;
        Ok(Self::new(connection.into(), held_bytes_max))
    }

    fn new(mut connection: Connection, held_bytes_max: usize) -> Self {
        // What is written before the handshake is complete is held by rustls.
        connection.set_buffer_limit(Some(held_bytes_max));
        Self {
            connection,
            secured: false,
        }
    }

    /// Takes some bytes from the front of `wire`. To be called, with `take_plain` after each call, until all are taken.
    pub(crate) fn read(&mut self, wire: &mut &[u8]) -> Result<(), Closed> {
        let taken = self
            .connection
            .read_tls(wire)
            .map_err(|error| Closed::Tls(TlsError::other(error)))?;
        if taken == 0 {
            // Nothing counts after the peer's close_notify.
            *wire = &[];
        }
        match self.connection.process_new_packets() {
            Ok(_) => Ok(()),
            Err(error) => Err(Closed::Tls(error.into())),
        }
    }

    /// Whether the handshake has been completed since this was last asked.
    pub(crate) fn newly_secured(&mut self) -> bool {
        let newly = !self.secured && !self.connection.is_handshaking();
        self.secured |= newly;
        newly
    }

    /// Whether its handshake, now complete, took up an earlier session (RFC 8446 section 2.2).
    pub(crate) fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Moves plaintext that has arrived into `buffer`. `Ok(0)`: there is none at present.
    pub(crate) fn take_plain(&mut self, buffer: &mut [u8]) -> Result<usize, Closed> {
        match self.connection.reader().read(buffer) {
            Ok(0) if !buffer.is_empty() => Err(Closed::Peer),
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(Closed::Tls(TlsError::other(error))),
        }
    }

    /// Turns plaintext into records, behind any that the protocol itself has to send.
    ///
    /// Fails when the peer does not get on with its handshake while more is written than may be held.
    pub(crate) fn seal(&mut self, mut plain: &[u8], records: &mut Vec<u8>) -> Result<(), Closed> {
        loop {
            let taken = self
                .connection
                .writer()
                .write(plain)
                .map_err(|error| Closed::Tls(TlsError::other(error)))?;
            plain = &plain[taken..];
            let mut written = 0;
            while self.connection.wants_write() {
                written += self
                    .connection
                    .write_tls(records)
                    .map_err(|error| Closed::Tls(TlsError::other(error)))?;
            }
            if plain.is_empty() {
                return Ok(());
            }
            if taken == 0 && written == 0 {
                return Err(Closed::PeerTooSlow);
            }
        }
    }

    /// Moves the records that the protocol itself has to send, an alert above all, also after it has failed.
    pub(crate) fn take_alert(&mut self, records: &mut Vec<u8>) {
        while self.connection.wants_write() && self.connection.write_tls(records).is_ok() {}
    }

    /// Writes close_notify.
    pub(crate) fn say_farewell(&mut self) {
        self.connection.send_close_notify();
    }
}
