//! From a readable socket to [`Service::received`]: one read into the shard's buffer, through TLS if need be.

use crate::closed::Closed;
use crate::connection::{Closing, Connection};
use crate::driver::Driver;
use crate::input::offer_input;
use crate::io::Io;
use crate::service::Service;
use crate::socket_id::SocketId;
use crate::sys;
use crate::table::Entry;

/// What a shard reads into; nothing stays here from one event to the next.
pub(crate) struct Buffers {
    wire: Vec<u8>,
    /// Plaintext of TLS: never much more than one read brings.
    plain: Vec<u8>,
}

impl Buffers {
    /// `read_bytes` is how much one read takes at most.
    pub(crate) fn new(read_bytes: usize) -> Self {
        Self { wire: vec![0; read_bytes.max(1)], plain: Vec::new() }
    }
}

/// Reads once. Returns whether that took all there was. Being level-triggered, the socket reports again what is left.
pub(crate) fn receive<S: Service>(
    service: &mut S,
    driver: &mut Driver,
    buffers: &mut Buffers,
    id: SocketId,
    entry: &mut Entry<S::Socket>,
) -> bool {
    let connection = &mut entry.connection;
    let buffer_bytes = buffers.wire.len();
    let wire = match sys::receive(&connection.descriptor, &mut buffers.wire[..]) {
        Ok(Some(0)) => {
            driver.mark_closed(id, connection, end_of(connection, Closed::Peer));
            return true;
        }
        Ok(Some(bytes)) => &mut buffers.wire[..bytes],
        Ok(None) => return false,
        Err(error) => {
            let why = end_of(connection, Closed::from_error(&error));
            driver.mark_closed(id, connection, why);
            return true;
        }
    };
    let took_all = wire.len() < buffer_bytes;
    if !connection.is_live() {
        connection.discard(wire.len());
    } else if connection.is_tls {
        receive_tls(service, driver, id, entry, wire, &mut buffers.plain);
    } else {
        deliver(service, driver, id, entry, wire);
    }
    took_all
}

/// Why a socket has ended: once everything has been sent and FIN with it, it is this side that has closed it, whatever the
/// peer did after that.
pub(crate) fn end_of(connection: &Connection, seen: Closed) -> Closed {
    match connection.closing {
        Closing::Discard => Closed::Local,
        _ => seen,
    }
}

/// Opens records and offers their plaintext.
fn receive_tls<S: Service>(
    service: &mut S,
    driver: &mut Driver,
    id: SocketId,
    entry: &mut Entry<S::Socket>,
    wire: &mut [u8],
    plain: &mut Vec<u8>,
) {
    let Some(mut tls) = entry.connection.take_tls() else {
        return;
    };
    plain.clear();
    let read = tls.read(wire, plain);
    if tls.newly_secured() && entry.connection.is_live() {
        let mut io = Io::new(driver, &mut entry.connection, id);
        service.secured(&mut io, &mut entry.socket, tls.is_resumed());
    }
    // What came before a bad record, or before close_notify, is offered to the service all the same.
    if !plain.is_empty() {
        deliver(service, driver, id, entry, plain);
    }
    entry.connection.put_tls(tls);
    match read {
        Ok(()) => {}
        Err(why @ Closed::Tls(_)) => driver.fail_tls(id, &mut entry.connection, why),
        Err(why) => driver.mark_closed(id, &mut entry.connection, why),
    }
}

/// Offers bytes to the service, behind those it has not used yet, and keeps what remains unused.
fn deliver<S: Service>(
    service: &mut S,
    driver: &mut Driver,
    id: SocketId,
    entry: &mut Entry<S::Socket>,
    bytes: &mut [u8],
) {
    let Entry { connection, socket } = entry;
    if connection.closing == Closing::Release && !connection.is_closed {
        // TLS had more plaintext: it leaves the shard with the socket.
        let mut held = connection.take_input();
        held.extend_from_slice(bytes);
        return connection.keep_input(held);
    }
    offer_input(driver, id, connection, bytes, |io, input| service.received(io, socket, input));
}
