//! TLS between a socket's bytes and its service, on either side: rustls without its I/O and without its buffers, which
//! would stay with every idle socket. What a record, a handshake or a peer that is not ready yet makes wait is held here,
//! within limits, and given back when it is done.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedConnectionCommon, UnbufferedStatus};
use rustls::{HandshakeKind, ServerConfig};

use crate::closed::Closed;
use crate::connect::ClientTls;
use crate::tls_error::TlsError;

/// A record's data at most (RFC 8446 section 5.1), and what seals it at most (section 5.2).
const RECORD_BYTES_MAX: usize = (1 << 14) + RECORD_OVERHEAD_BYTES_MAX;
const RECORD_OVERHEAD_BYTES_MAX: usize = 256 + 5;

/// Bytes of a server that may wait for the rest of theirs: a handshake message of the largest size that rustls takes, which
/// its chain of certificates may need, and a record.
const SERVER_WIRE_BYTES_MAX: usize = 0xffff + RECORD_BYTES_MAX;

/// Bytes of a client, which is not authenticated: a record. Its hello takes 2 kB with keys of the largest kind, a chain of
/// certificates a few.
const CLIENT_WIRE_BYTES_MAX: usize = RECORD_BYTES_MAX;

/// close_notify of a server that has not sent anything yet, so that nothing is sealed (RFC 8446 section 6.1).
const CLOSE_NOTIFY: [u8; 7] = [21, 3, 3, 0, 2, 1, 0];

/// One TLS connection.
pub(crate) struct Tls {
    side: Side,
    /// Bytes of the peer of which the rest is still to come.
    wire: Vec<u8>,
    /// Records that the protocol itself has to send.
    records: Vec<u8>,
    /// What the service has written before the handshake was complete.
    early: Vec<u8>,
    /// How much that may be.
    early_bytes_max: u32,
    /// The handshake was reported as complete.
    secured: bool,
    /// Something was sent to the peer.
    has_sent: bool,
    /// close_notify is to be sent, or was.
    close_notify: bool,
}

enum Side {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

impl Tls {
    /// A client that has not sent anything yet. Fails when the configuration leaves nothing to offer.
    pub(crate) fn client(client: &ClientTls, held_bytes_max: usize) -> Result<Self, rustls::Error> {
        let config = Arc::clone(&client.config);
        let connection = UnbufferedClientConnection::new(config, client.name.clone())?;
        Ok(Self::new(Side::Client(connection), held_bytes_max))
    }

    /// A server that waits for its client.
    pub(crate) fn server(config: Arc<ServerConfig>, held_bytes_max: usize) -> Result<Self, rustls::Error> {
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Self::new(Side::Server(connection), held_bytes_max))
    }

    fn new(side: Side, held_bytes_max: usize) -> Self {
        Self {
            side,
            wire: Vec::new(),
            records: Vec::new(),
            early: Vec::new(),
            early_bytes_max: u32::try_from(held_bytes_max).unwrap_or(u32::MAX),
            secured: false,
            has_sent: false,
            close_notify: false,
        }
    }

    /// Takes bytes of the peer, and appends the plaintext of the records that are whole to `plain`, which has what came
    /// before a bad record or close_notify also where that is what `Err` says.
    pub(crate) fn read(&mut self, wire: &mut [u8], plain: &mut Vec<u8>) -> Result<(), Closed> {
        if self.wire.is_empty() {
            let (used, end) = self.side.open(wire, plain, &mut self.records);
            self.wire.extend_from_slice(wire.get(used..).unwrap_or_default());
            end?;
        } else {
            self.wire.extend_from_slice(wire);
            let (used, end) = self.side.open(&mut self.wire, plain, &mut self.records);
            self.wire.drain(..used.min(self.wire.len()));
            end?;
        }
        if self.wire.is_empty() {
            self.wire = Vec::new();
        } else if self.wire.len() > self.side.wire_bytes_max() {
            let error = TlsError::other("a handshake message is too long");
            return Err(Closed::Tls(error));
        }
        Ok(())
    }

    /// Whether the handshake has been completed since the last call.
    pub(crate) fn newly_secured(&mut self) -> bool {
        let newly = !self.secured && !self.side.is_handshaking();
        self.secured |= newly;
        newly
    }

    /// Whether its handshake, now complete, took up an earlier session (RFC 8446 section 2.2).
    pub(crate) fn is_resumed(&self) -> bool {
        self.side.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Turns plaintext into records, behind any that the protocol itself has to send.
    ///
    /// Fails when the peer does not get on with its handshake while more is written than may be held.
    pub(crate) fn seal(&mut self, plain: &[u8], records: &mut Vec<u8>) -> Result<(), Closed> {
        if self.side.is_handshaking() {
            // A client has its hello to send. What is held of the peer is no whole record, so nothing of it is used.
            let (_, end) = self.side.open(&mut self.wire, &mut Vec::new(), &mut self.records);
            end?;
        }
        records.append(&mut self.records);
        self.records = Vec::new();
        if self.side.is_handshaking() {
            if self.close_notify {
                // What was written will not be sent.
                if !self.has_sent && records.is_empty() {
                    records.extend_from_slice(&CLOSE_NOTIFY);
                }
            } else if self.early.len() + plain.len() > self.early_bytes_max as usize {
                return Err(Closed::PeerTooSlow);
            } else {
                self.early.extend_from_slice(plain);
            }
        } else {
            let early = std::mem::take(&mut self.early);
            self.side.seal(&mut self.wire, &early, records)?;
            self.side.seal(&mut self.wire, plain, records)?;
            if self.close_notify {
                self.side.append_close_notify(&mut self.wire, records)?;
            }
        }
        self.has_sent |= !records.is_empty();
        Ok(())
    }

    /// Moves the records that the protocol itself has to send, an alert above all, also after it has failed.
    pub(crate) fn take_alert(&mut self, records: &mut Vec<u8>) {
        records.append(&mut self.records);
        self.side.take_alert(&mut self.wire, records);
    }

    /// Whether it holds more than its keys.
    pub(crate) fn is_buffered(&self) -> bool {
        let held = [&self.wire, &self.records, &self.early];
        !self.secured || held.iter().any(|held| !held.is_empty())
    }

    /// The memory of what it holds beside its keys.
    pub(crate) fn held_bytes(&self) -> usize {
        let held = [&self.wire, &self.records, &self.early];
        held.into_iter().map(Vec::capacity).sum()
    }

    /// Has close_notify written behind what is sealed next.
    pub(crate) fn queue_close_notify(&mut self) {
        self.close_notify = true;
    }
}

/// Does the same for either side.
macro_rules! on_either {
    ($side:expr, $it:ident => $act:expr) => {
        match $side {
            Side::Client($it) => $act,
            Side::Server($it) => $act,
        }
    };
}

impl Side {
    /// How many bytes of the peer may wait for the rest of theirs.
    fn wire_bytes_max(&self) -> usize {
        match self {
            Self::Client(_) => SERVER_WIRE_BYTES_MAX,
            Self::Server(_) => CLIENT_WIRE_BYTES_MAX,
        }
    }

    fn is_handshaking(&self) -> bool {
        on_either!(self, it => it.is_handshaking())
    }

    fn handshake_kind(&self) -> Option<HandshakeKind> {
        on_either!(self, it => it.handshake_kind())
    }

    /// Goes through `wire`, as far as it is whole. Answers how many bytes of it are used, and whether it is over.
    fn open(&mut self, wire: &mut [u8], plain: &mut Vec<u8>, records: &mut Vec<u8>) -> (usize, Result<(), Closed>) {
        on_either!(self, it => open(it, |it, wire| it.process_tls_records(wire), wire, plain, records))
    }

    /// Appends records with `plain`, which the handshake, being complete, allows.
    fn seal(&mut self, wire: &mut [u8], plain: &[u8], records: &mut Vec<u8>) -> Result<(), Closed> {
        if plain.is_empty() {
            return Ok(());
        }
        let count = plain.len().div_ceil(1 << 14);
        let usual = plain.len() + count * RECORD_OVERHEAD_BYTES_MAX;
        on_either!(self, it => write(it.process_tls_records(wire), usual, records, |state, room| {
            state.encrypt(plain, room)
        }))
    }

    fn append_close_notify(&mut self, wire: &mut [u8], records: &mut Vec<u8>) -> Result<(), Closed> {
        let usual = RECORD_OVERHEAD_BYTES_MAX;
        on_either!(self, it => write(it.process_tls_records(wire), usual, records, |state, room| {
            state.queue_close_notify(room)
        }))
    }

    fn take_alert(&mut self, wire: &mut [u8], records: &mut Vec<u8>) {
        on_either!(self, it => while it.wants_write() {
            // Records to send come before any look at what was received.
            let Ok(ConnectionState::EncodeTlsData(mut state)) = it.process_tls_records(wire).state
            else {
                return;
            };
            if append(records, 0, |room| state.encode(room)).is_err() {
                return;
            }
        });
    }
}

/// [`Side::open`] for one of them.
fn open<Data>(
    connection: &mut UnbufferedConnectionCommon<Data>,
    process: for<'c, 'w> fn(&'c mut UnbufferedConnectionCommon<Data>, &'w mut [u8]) -> UnbufferedStatus<'c, 'w, Data>,
    wire: &mut [u8],
    plain: &mut Vec<u8>,
    records: &mut Vec<u8>,
) -> (usize, Result<(), Closed>) {
    let mut used = 0;
    loop {
        let rest = wire.get_mut(used..).unwrap_or_default();
        let UnbufferedStatus { mut discard, state } = process(connection, rest);
        let mut end = None;
        match state {
            Err(error) => end = Some(Err(Closed::Tls(error.into()))),
            Ok(ConnectionState::ReadTraffic(mut state)) => {
                while let Some(record) = state.next_record() {
                    match record {
                        Ok(record) => {
                            plain.extend_from_slice(record.payload);
                            discard += record.discard;
                        }
                        Err(error) => end = Some(Err(Closed::Tls(error.into()))),
                    }
                }
            }
            Ok(ConnectionState::EncodeTlsData(mut state)) => {
                if let Err(closed) = append(records, 0, |room| state.encode(room)) {
                    end = Some(Err(closed));
                }
            }
            Ok(ConnectionState::TransmitTlsData(state)) => state.done(),
            // Nothing counts after the peer's close_notify.
            Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                return (wire.len(), Err(Closed::Peer));
            }
            // All that is whole has been taken. (No early data is ever allowed.)
            Ok(_) => end = Some(Ok(())),
        }
        used += discard;
        if let Some(end) = end {
            return (used, end);
        }
    }
}

/// Has a connection that is ready for it write something of about `usual` bytes.
fn write<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    usual: usize,
    records: &mut Vec<u8>,
    mut write: impl FnMut(&mut rustls::unbuffered::WriteTraffic<'_, Data>, &mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), Closed> {
    match status.state {
        Ok(ConnectionState::WriteTraffic(mut state)) => append(records, usual, |room| write(&mut state, room)),
        Ok(_) => Ok(()),
        Err(error) => Err(Closed::Tls(error.into())),
    }
}

/// Appends what `fill` writes into the room that it is given, which is made larger if `fill` requires it.
fn append<E: Into<NotWritten>>(
    records: &mut Vec<u8>,
    usual: usize,
    mut fill: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(), Closed> {
    let before = records.len();
    let mut room = usual;
    loop {
        records.resize(before + room, 0);
        match fill(&mut records[before..]).map_err(Into::into) {
            Ok(written) => {
                records.truncate(before + written);
                return Ok(());
            }
            Err(NotWritten::Room(required)) if required > room => room = required,
            Err(reason) => {
                records.truncate(before);
                let message = match reason {
                    NotWritten::Room(_) => "a record has no size",
                    NotWritten::Exhausted => "a key has sealed as much as it may",
                };
                return Err(Closed::Tls(TlsError::other(message)));
            }
        }
    }
}

/// Why rustls has written nothing.
enum NotWritten {
    /// It needs so many bytes.
    Room(usize),
    /// It may not any more.
    Exhausted,
}

impl From<EncodeError> for NotWritten {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::InsufficientSize(size) => Self::Room(size.required_size),
            EncodeError::AlreadyEncoded => Self::Exhausted,
        }
    }
}

impl From<EncryptError> for NotWritten {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::InsufficientSize(size) => Self::Room(size.required_size),
            EncryptError::EncryptExhausted => Self::Exhausted,
        }
    }
}
