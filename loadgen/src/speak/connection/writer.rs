//! Writing packets and frames into a caller's buffer.

use wire::engineio::{Packet, Version, push_text};
use wire::frame::{OpCode, write_close, write_frame};

use crate::speak::connection::profile::Profile;
use crate::speak::connection::random::Random;
use crate::speak::connection::state::Carrier;

/// The randomness and the reused buffers of a shard's connections.
#[derive(Debug)]
pub struct Scratch {
    /// Masks and keys.
    pub random: Random,
    /// The server's reason for its last refusal.
    pub reason: String,
    /// A message before it is framed.
    pub(super) text: Vec<u8>,
}

impl Scratch {
    /// For the shard with this randomness.
    pub fn new(random: Random) -> Self {
        Self { random, reason: String::new(), text: Vec::new() }
    }
}

/// Where a connection writes, and by which profile.
pub struct Writer<'a> {
    /// The target's profile.
    pub profile: &'a Profile,
    /// The shard's buffers and random numbers.
    pub scratch: &'a mut Scratch,
    /// The socket's output or, of a session that polls, the payload of its next POST.
    pub out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    /// Writes one Engine.IO packet.
    pub(super) fn packet(&mut self, carrier: Carrier, packet: Packet<'_>) {
        self.scratch.text.clear();
        packet.encode(&mut self.scratch.text);
        self.text(carrier);
    }

    /// Writes the message in the scratch buffer.
    pub(super) fn text(&mut self, carrier: Carrier) {
        if carrier == Carrier::Polling {
            let version = self.profile.engineio().unwrap_or(Version::V4);
            // The buffer holds UTF-8 alone.
            let packet = std::str::from_utf8(&self.scratch.text).unwrap_or_default();
            return push_text(version, packet, self.out);
        }
        let mask = self.scratch.random.mask();
        write_frame(self.out, OpCode::Text, &self.scratch.text, Some(mask));
    }

    /// Writes a pong frame.
    pub(super) fn pong(&mut self, payload: &[u8]) {
        write_frame(self.out, OpCode::Pong, payload, Some(self.scratch.random.mask()));
    }

    /// Writes a close frame with this code; by polling, Engine.IO's close packet.
    pub(super) fn close(&mut self, carrier: Carrier, code: u16) {
        if carrier == Carrier::Polling {
            self.packet(carrier, Packet::Close);
        } else {
            write_close(self.out, code, "", Some(self.scratch.random.mask()));
        }
    }
}
