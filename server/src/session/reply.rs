//! The answer of a session to one event, for any transport.

use std::time::Duration;

use wire::engineio::{Form, Item, Version, encode_base64, encode_binary};
use wire::frame::{OpCode, ProtocolError, write_close, write_frame};

use crate::{metrics::End, session::close_code};

/// The limit on the packets in one poll's answer, unless it is a single packet.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The packets that wait for a client to poll.
#[derive(Debug)]
pub struct Outbox {
    items: Vec<Item<'static>>,
    /// The sum of the items' lengths; only the last item may exceed `bytes_max`.
    bytes: usize,
    bytes_max: usize,
}

impl Outbox {
    /// An empty outbox for `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        Self { items: Vec::new(), bytes: 0, bytes_max }
    }

    /// Whether no packet waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The sum of the packets' lengths.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the packets of one poll's answer: at most `ANSWER_BYTES_MAX`, or a single packet.
    pub fn take_answer(&mut self) -> Vec<Item<'static>> {
        let mut bytes = 0;
        let fitting = self.items.iter().take_while(|item| {
            bytes += item_bytes(item);
            bytes <= ANSWER_BYTES_MAX
        });
        let count = fitting.count().max(1);
        if count >= self.items.len() {
            return self.take();
        }
        let rest = self.items.split_off(count);
        let answer = std::mem::replace(&mut self.items, rest);
        self.bytes -= answer.iter().map(item_bytes).sum::<usize>();
        answer
    }

    /// Takes all packets.
    pub fn take(&mut self) -> Vec<Item<'static>> {
        self.bytes = 0;
        std::mem::take(&mut self.items)
    }

    /// Appends a packet's text.
    pub fn push_text(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.bytes += text.len();
        self.items.push(Item::Text(text.into()));
    }

    fn push_binary(&mut self, payload: &[u8]) {
        self.bytes += payload.len();
        self.items.push(Item::Binary(payload.to_vec().into()));
    }
}

fn item_bytes(item: &Item<'_>) -> usize {
    match item {
        Item::Text(text) => text.len(),
        Item::Binary(bytes) => bytes.len(),
    }
}

/// The answer of a session to one event.
#[derive(Debug)]
pub struct Reply<'a> {
    /// Bytes for the peer are appended here.
    pub out: &'a mut Vec<u8>,
    /// The instant of the event, on the shard's monotonic clock.
    pub now_ns: u64,
    /// When [`Session::deadline`](crate::session::Session::deadline) must be called; `None` leaves the deadline unchanged.
    pub deadline_ns: Option<u64>,
    /// Set when the session ends: `out` is sent, then the connection is closed.
    pub end: Option<End>,
    /// The peer's close frame is answered, and no frame can follow from either side. The gate closes without waiting for
    /// the peer's FIN (RFC 6455 section 7.1.1: the server closes first).
    pub is_close_answered: bool,
    /// The form in which binary messages may be sent over a WebSocket.
    pub form: Form,
    /// Collects Engine.IO packets in place of `out` when the client polls.
    outbox: Option<&'a mut Outbox>,
}

impl<'a> Reply<'a> {
    /// An empty answer.
    pub fn new(out: &'a mut Vec<u8>, now_ns: u64) -> Self {
        Self { out, now_ns, deadline_ns: None, end: None, is_close_answered: false, form: Form::Binary, outbox: None }
    }

    /// An empty answer to a client that polls: packets are collected in `outbox`.
    pub fn polling(out: &'a mut Vec<u8>, outbox: &'a mut Outbox, now_ns: u64) -> Self {
        Self { outbox: Some(outbox), ..Self::new(out, now_ns) }
    }

    /// The instant `time` after this event.
    pub fn after(&self, time: Duration) -> u64 {
        self.now_ns.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Sends the text of an Engine.IO packet, which is UTF-8.
    pub fn text(&mut self, packet: &[u8]) {
        match &mut self.outbox {
            Some(outbox) => outbox.push_text(String::from_utf8_lossy(packet)),
            None => write_frame(self.out, OpCode::Text, packet, None),
        }
        self.end_when_full();
    }

    /// Sends a binary message over Engine.IO; `scratch` is overwritten.
    pub fn binary(&mut self, version: Version, payload: &[u8], scratch: &mut Vec<u8>) {
        if let Some(outbox) = &mut self.outbox {
            outbox.push_binary(payload);
            return self.end_when_full();
        }
        if self.form == Form::Text {
            let mut text = String::new();
            encode_base64(version, payload, &mut text);
            return write_frame(self.out, OpCode::Text, text.as_bytes(), None);
        }
        scratch.clear();
        encode_binary(version, payload, scratch);
        write_frame(self.out, OpCode::Binary, scratch, None);
    }

    /// Ends an Engine.IO session. A WebSocket gets a close frame with `code` and `reason`; a client that polls gets a
    /// close packet in the answer to its poll.
    pub fn close(&mut self, code: u16, reason: &str, end: End) {
        if self.outbox.is_none() {
            write_close(self.out, code, reason, None);
        }
        self.end = Some(end);
    }

    /// Answers a close frame with the same code or without one (RFC 6455 section 5.5.1), and ends the session.
    pub fn answer_close(&mut self, code: Option<u16>) {
        match code {
            Some(code) => write_close(self.out, code, "", None),
            None => write_frame(self.out, OpCode::Close, &[], None),
        }
        self.end = Some(End::Client);
        self.is_close_answered = true;
    }

    /// Closes a connection with an invalid frame, with the close code for the error.
    pub fn fail_framing(&mut self, error: &ProtocolError) {
        write_close(self.out, error.close_code(), &error.to_string(), None);
        self.end = Some(match error {
            ProtocolError::TooLong { .. } => End::TooLong,
            _ => End::Protocol,
        });
    }

    /// Closes a session with an invalid packet. The peer gets `fault` as the reason, without the packet.
    pub fn fail_protocol(&mut self, fault: &dyn std::fmt::Display) {
        self.close(close_code::PROTOCOL_ERROR, &fault.to_string(), End::Protocol);
    }

    fn end_when_full(&mut self) {
        if let Some(outbox) = &self.outbox
            && outbox.bytes > outbox.bytes_max
        {
            self.end.get_or_insert(End::TooSlow);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_ends_when_its_client_does_not_poll() {
        let mut out = Vec::new();
        let mut outbox = Outbox::new(4000);
        let mut reply = Reply::polling(&mut out, &mut outbox, 0);
        let packet = vec![b'4'; 1000];
        for (sent, end, why) in [(4, None, "at the limit"), (1, Some(End::TooSlow), "above the limit")] {
            (0..sent).for_each(|_| reply.text(&packet));
            assert_eq!(reply.end, end, "{why}");
        }
        assert_eq!(outbox.take().len(), 5);
        assert!(outbox.is_empty());
        assert!(out.is_empty(), "packets wait for a poll");
    }

    #[test]
    fn poll_is_answered_up_to_the_limit_or_with_one_packet() {
        const MAX: usize = ANSWER_BYTES_MAX;
        for (packets, answers, why) in [
            (&[1, 2, 3][..], &[3][..], "all packets"),
            (&[MAX - 1, 1, 1], &[2, 1], "as many as fit"),
            (&[MAX + 1, 1], &[1, 1], "a packet above the limit is sent alone"),
            (&[1, MAX, MAX, 1], &[1, 1, 1, 1], "no two fit together"),
        ] {
            let mut outbox = Outbox::new(usize::MAX);
            for &bytes in packets {
                outbox.push_binary(&vec![0; bytes]);
            }
            for &count in answers {
                assert_eq!(outbox.take_answer().len(), count, "{why}");
            }
            assert!(outbox.is_empty(), "{why}");
            assert_eq!(outbox.bytes(), 0, "{why}");
        }
    }
}
