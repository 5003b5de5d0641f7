//! Offers input to a service, behind what it has not used yet, and keeps what remains unused.

use crate::closed::Closed;
use crate::connection::{Closing, Connection};
use crate::driver::Driver;
use crate::io::Io;
use crate::socket_id::SocketId;

/// Has `act` use bytes behind those left over from before, and keeps what remains unused.
pub(crate) fn offer_input(
    driver: &mut Driver,
    id: SocketId,
    connection: &mut Connection,
    bytes: &mut [u8],
    act: impl FnOnce(&mut Io<'_>, &mut [u8]) -> usize,
) {
    if !connection.is_live() {
        return;
    }
    let mut held = connection.take_input();
    let mut io = Io::new(driver, connection, id);
    let new = if held.is_empty() {
        let used = act(&mut io, bytes);
        bytes.get(used..).unwrap_or_default()
    } else {
        held.extend_from_slice(bytes);
        let used = act(&mut io, &mut held);
        held.drain(..used.min(held.len()));
        &[]
    };
    // What remains unused at a closing socket is never offered again, except by another shard.
    if connection.is_live() || connection.closing == Closing::Release {
        held.extend_from_slice(new);
        if connection.is_live() && held.len() > driver.options.input_bytes_max {
            driver.mark_closed(id, connection, Closed::InputTooLong);
        }
        connection.keep_input(held);
    }
}
