//! How a grace ends, and a connection: by this side, by the peer, or by an error of the peer.

use std::error::Error;

use crate::ground::outcome::FailureKind;
use crate::speak::connection::refusal;
use crate::speak::connection::state::{Carrier, Connection, Event, NO_CODE, NORMAL, PROTOCOL_ERROR, Stage};
use crate::speak::connection::writer::Writer;

/// The beginning of a packet says what is wrong with it.
const SHOWN_BYTES_MAX: usize = 80;

impl Connection {
    /// The grace is over: a raw WebSocket is established.
    pub fn end_grace(&mut self) {
        if self.stage == Stage::Grace {
            self.stage = Stage::Open;
        }
    }

    /// Begins to close: a close frame with 1000; by polling, Engine.IO's close packet. Further input is ignored until the
    /// peer's own close frame.
    pub fn close_frame(&mut self, writer: &mut Writer<'_>) {
        match self.stage {
            Stage::Connecting | Stage::Upgrading | Stage::Closed => self.stage = Stage::Closed,
            Stage::Closing => {}
            Stage::Probing | Stage::Grace | Stage::Opening | Stage::Joining | Stage::Open => {
                writer.close(self.carrier, NORMAL);
                self.stage = Stage::Closing;
            }
        }
    }

    /// The peer leaves the namespace with a disconnect packet.
    pub(super) fn disconnected_by_peer(&mut self, writer: &mut Writer<'_>) -> Event {
        let event = self.closed_by_peer(NO_CODE, "", writer);
        refusal::explain(&mut writer.scratch.reason, format_args!("the server sent Socket.IO's disconnect packet"));
        match event {
            Event::Closed(_) => Event::Closed(FailureKind::Disconnected),
            _ => Event::Failed(FailureKind::Disconnected),
        }
    }

    /// The peer closes: answers it. During a handshake that is a refusal or a failure.
    pub(super) fn closed_by_peer(&mut self, code: u16, reason: &str, writer: &mut Writer<'_>) -> Event {
        let stage = std::mem::replace(&mut self.stage, Stage::Closed);
        if stage != Stage::Closing && self.carrier != Carrier::Polling {
            // A close frame without a code is answered by 1000: 1005 must not be sent (RFC 6455 section 7.4.1).
            writer.close(self.carrier, if code == NO_CODE { NORMAL } else { code });
        }
        refusal::of_close(&mut writer.scratch.reason, code, reason);
        if !stage.is_undecided() {
            Event::Closed(FailureKind::Closed(code))
        } else if writer.profile.refused_by.contains(code) {
            Event::Refused
        } else {
            Event::Failed(FailureKind::Closed(code))
        }
    }

    /// A packet breaks the protocol: closes, and explains how and by which packet.
    pub(super) fn close_on_packet(&mut self, text: &str, error: &dyn Error, writer: &mut Writer<'_>) -> Event {
        let begin = &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)];
        refusal::explain(&mut writer.scratch.reason, format_args!("{error}: {begin}"));
        self.close_on_error(PROTOCOL_ERROR, writer)
    }

    /// The peer broke the protocol: closes with `code`; [`Scratch::reason`](crate::speak::connection::Scratch) says how.
    pub(super) fn close_on_error(&mut self, code: u16, writer: &mut Writer<'_>) -> Event {
        let stage = std::mem::replace(&mut self.stage, Stage::Closed);
        if stage != Stage::Closing {
            writer.close(self.carrier, code);
        }
        match stage {
            Stage::Open | Stage::Closing => Event::Closed(FailureKind::Closed(code)),
            _ => Event::Failed(FailureKind::Protocol),
        }
    }
}
