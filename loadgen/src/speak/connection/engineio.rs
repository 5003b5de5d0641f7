//! Engine.IO's packets, over a WebSocket or by polling.

use wire::engineio::{Open, Packet, Version};

use crate::speak::connection::socketio;
use crate::speak::connection::state::{Awaited, Connection, Event, HEARTBEAT_MS_MIN, NO_CODE, Stage};
use crate::speak::connection::writer::Writer;

/// Takes one packet.
pub(super) fn receive(
    connection: &mut Connection,
    version: Version,
    awaited: Awaited<'_>,
    text: &str,
    writer: &mut Writer<'_>,
) -> Option<Event> {
    let packet = match Packet::decode(text) {
        Ok(packet) => packet,
        Err(error) => return Some(connection.close_on_packet(text, &error, writer)),
    };
    if connection.stage == Stage::Probing {
        return (packet == Packet::Pong("probe")).then_some(Event::Probed);
    }
    match packet {
        Packet::Open(json) if connection.stage == Stage::Opening => {
            let open = match Open::decode(json) {
                Ok(open) => open,
                Err(error) => return Some(connection.close_on_packet(text, &error, writer)),
            };
            if version == Version::V3 {
                connection.heartbeat_ms = open.ping_interval_ms.max(HEARTBEAT_MS_MIN);
            }
            socketio::join(connection, awaited.token(), writer);
            Some(Event::Opened(open))
        }
        Packet::Ping(data) => {
            writer.packet(connection.carrier, Packet::Pong(data));
            None
        }
        Packet::Close => Some(connection.closed_by_peer(NO_CODE, "", writer)),
        Packet::Message(text) => socketio::receive(connection, awaited, text, writer),
        _ => None,
    }
}
