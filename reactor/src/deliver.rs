//! From a readable socket to [`Service::received`]: one read into the shard's buffer, through TLS if need be, behind what
//! the service has not used yet.

use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::driver::Driver;
use crate::io::Io;
use crate::link::{Closing, Link};
use crate::service::{Closed, Service};
use crate::slab::{Entry, SocketId};
use crate::tls::Tls;

/// Where a shard reads to; nothing stays here from one event to the next.
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

/// Reads once, and answers whether that took all there was. Being level-triggered, the socket reports again what is left.
pub(crate) fn receive<S: Service>(
    service: &mut S,
    driver: &mut Driver,
    buffers: &mut Buffers,
    id: SocketId,
    entry: &mut Entry<S::Socket>,
) -> bool {
    let link = &mut entry.link;
    let buffer_bytes = buffers.wire.len();
    // recv(2) has a shorter way through the kernel than read(2).
    let received = rustix::net::recv(&link.fd, &mut buffers.wire[..], RecvFlags::empty());
    let wire = match received {
        Ok((_, 0)) => {
            driver.doom(id, link, end_of(link, Closed::Peer));
            return true;
        }
        Ok((_, bytes)) => &mut buffers.wire[..bytes],
        Err(Errno::AGAIN | Errno::INTR) => return false,
        Err(errno) => {
            let why = end_of(link, Closed::from_errno(errno));
            driver.doom(id, link, why);
            return true;
        }
    };
    let took_all = wire.len() < buffer_bytes;
    if !link.is_live() {
        link.discard(wire.len());
        return took_all;
    }
    let Some(mut tls) = link.take_tls() else {
        deliver(service, driver, id, entry, wire);
        return took_all;
    };
    let outcome = receive_tls(service, driver, id, entry, &mut tls, wire, &mut buffers.plain);
    entry.link.put_tls(tls);
    match outcome {
        Ok(()) => {}
        Err(why @ Closed::Tls(_)) => driver.fail_tls(id, &mut entry.link, why),
        Err(why) => driver.doom(id, &mut entry.link, why),
    }
    took_all
}

/// Why a socket has ended: once everything has been sent and FIN with it, it is this side that has closed it, however
/// the peer puts it.
pub(crate) fn end_of(link: &Link, seen: Closed) -> Closed {
    match link.closing {
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
    tls: &mut Tls,
    wire: &mut [u8],
    plain: &mut Vec<u8>,
) -> Result<(), Closed> {
    plain.clear();
    let read = tls.read(wire, plain);
    if tls.newly_secured() && entry.link.is_live() {
        let mut io = Io::new(driver, &mut entry.link, id);
        service.secured(&mut io, &mut entry.socket, tls.is_resumed());
    }
    // What came before a bad record, or before close_notify, is the service's all the same.
    if !plain.is_empty() {
        deliver(service, driver, id, entry, plain);
    }
    read
}

/// Offers bytes to the service, behind those it has left over, and keeps what it leaves over now.
fn deliver<S: Service>(
    service: &mut S,
    driver: &mut Driver,
    id: SocketId,
    entry: &mut Entry<S::Socket>,
    bytes: &mut [u8],
) {
    let Entry { link, socket } = entry;
    if link.closing == Closing::Release && !link.doomed {
        // TLS had more plaintext: it goes along.
        let mut held = link.take_input();
        held.extend_from_slice(bytes);
        return link.keep_input(held);
    }
    offer(driver, id, link, bytes, |io, input| service.received(io, socket, input));
}

/// Has `act` use bytes behind those left over from before, and keeps what it leaves over now.
pub(crate) fn offer(
    driver: &mut Driver,
    id: SocketId,
    link: &mut Link,
    bytes: &mut [u8],
    act: impl FnOnce(&mut Io<'_>, &mut [u8]) -> usize,
) {
    if !link.is_live() {
        return;
    }
    let mut held = link.take_input();
    let mut io = Io::new(driver, link, id);
    let new = if held.is_empty() {
        let used = act(&mut io, bytes);
        bytes.get(used..).unwrap_or_default()
    } else {
        held.extend_from_slice(bytes);
        let used = act(&mut io, &mut held);
        held.drain(..used.min(held.len()));
        &[]
    };
    // Whatever a closing socket has left over will never be offered again, but by another shard.
    if link.is_live() || link.closing == Closing::Release {
        held.extend_from_slice(new);
        if link.is_live() && held.len() > driver.options.input_bytes_max {
            driver.doom(id, link, Closed::InputTooLong);
        }
        link.keep_input(held);
    }
}
