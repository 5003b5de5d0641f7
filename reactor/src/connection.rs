//! What the reactor keeps for each socket, beside the service's own state.

use crate::socket_id::SocketId;
use crate::sys::{Descriptor, EventFlags};
use crate::tls::Tls;

/// The reactor's part of a socket. Its deadline lies in the wheel.
pub(crate) struct Connection {
    pub(crate) descriptor: Descriptor,
    pub(crate) generation: u32,
    pub(crate) stage: Stage,
    pub(crate) closing: Closing,
    /// What the epoll set watches it for (EPOLLIN is 1, EPOLLOUT 4); `None`: it is not in the set yet.
    watched: Option<u8>,
    /// It was accepted, not connected.
    pub(crate) inbound: bool,
    /// TLS stands between the socket and its bytes, also while a callback has it.
    pub(crate) is_tls: bool,
    /// The reactor has begun to close it: TLS's close_notify is written, and its deadline is the reactor's own.
    pub(crate) close_begun: bool,
    /// Marked as closed: no callback but `closed` any more, which follows as soon as the current one has returned.
    pub(crate) is_closed: bool,
    pub(crate) reading: Reading,
    /// Counted among those with a buffer.
    pub(crate) is_counted: bool,
    /// Whether its next bytes may be held back by the kernel.
    pub(crate) delay: Delay,
    /// What has been read and discarded since FIN was sent.
    discarded_bytes: u32,
    /// Held only while something waits, or for TLS: a parked socket has none.
    extra: Option<Box<Extra>>,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Connecting,
    Open,
}

/// When an open socket is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// While no more output than [`Options::output_pause_bytes`](crate::Options) waits: its input is what is answered.
    Answered,
    /// However much waits: its input goes elsewhere, and its output comes from there.
    Always,
    /// Not now. Its bytes wait in the kernel, then with the peer, and its end is not noticed meanwhile. An exception is a
    /// peer that has hung up where what it sent is read first
    /// ([`DetachedSocket::read_to_the_end`](crate::DetachedSocket)): then all is read, and no more can follow.
    Paused,
}

/// Whether the kernel may hold small segments back (TCP_NODELAY is not set yet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delay {
    /// Nothing was sent, so there is nothing to wait for.
    First,
    /// Something was sent: the next bytes must not wait for its acknowledgement.
    Later,
    Never,
}

/// What the service asked for at the socket's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    No,
    /// Send what is unsent, then close.
    Close,
    /// Send what is unsent, then send FIN and go on to `Discard`.
    Finish,
    /// FIN is sent: read and discard until the peer's.
    Discard,
    /// RST at once.
    Reset,
    /// Send what the socket takes, then leave the shard, open.
    Release,
}

/// What is read and discarded of a peer that goes on sending after its last answer: the rest of a message that was
/// refused half-way, whose sender reads only then. A peer that sends more is not read any more, and is reset in the end:
/// no peer keeps a shard busy with bytes that it discards.
pub(crate) const DISCARDED_BYTES_MAX: u32 = 1024 * 1024;

#[derive(Default)]
struct Extra {
    /// As of the last count, what it held of the memory that all sockets of the shard share.
    counted_bytes: usize,
    /// What the service keeps for the socket elsewhere.
    kept_bytes: usize,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Bytes at the front of `output` that have been sent.
    output_sent: usize,
    tls: Option<Box<Tls>>,
}

impl Connection {
    /// A socket that an accept or a connect has just made.
    pub(crate) fn new(descriptor: Descriptor, id: SocketId, stage: Stage, tls: Option<Tls>) -> Self {
        let is_tls = tls.is_some();
        let extra = tls.map(|tls| Box::new(Extra { tls: Some(Box::new(tls)), ..Extra::default() }));
        Self {
            descriptor,
            generation: id.generation,
            stage,
            closing: Closing::No,
            watched: None,
            inbound: stage == Stage::Open,
            is_tls,
            delay: match stage {
                Stage::Connecting => Delay::First,
                Stage::Open => Delay::Never,
            },
            close_begun: false,
            is_closed: false,
            reading: Reading::Answered,
            is_counted: false,
            discarded_bytes: 0,
            extra,
        }
    }

    /// Makes it a socket of another shard, which does not watch it yet.
    pub(crate) fn renew(&mut self, id: SocketId) {
        self.generation = id.generation;
        self.closing = Closing::No;
        self.watched = None;
        self.close_begun = false;
        self.is_closed = false;
        self.reading = Reading::Answered;
    }

    /// Whether it holds a buffer. The keys of TLS are none.
    pub(crate) fn is_buffered(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| {
            let tls = extra.tls.as_ref();
            let is_idle = extra.input.is_empty() && extra.output.is_empty();
            !is_idle || tls.is_some_and(|tls| tls.is_buffered())
        })
    }

    /// The memory that its buffers take, as of the last count.
    pub(crate) fn counted_bytes(&self) -> usize {
        self.extra.as_ref().map_or(0, |extra| extra.counted_bytes)
    }

    /// Counts the memory that its buffers take: before and now, where now is nothing for one that `is_gone`.
    pub(crate) fn recount(&mut self, is_gone: bool) -> (usize, usize) {
        let Some(extra) = &mut self.extra else {
            return (0, 0);
        };
        let now_bytes = match is_gone {
            true => 0,
            false => {
                let tls_bytes = extra.tls.as_ref().map_or(0, |tls| tls.held_bytes());
                extra.input.capacity() + extra.output.capacity() + extra.kept_bytes + tls_bytes
            }
        };
        let before_bytes = std::mem::replace(&mut extra.counted_bytes, now_bytes);
        self.drop_idle_extra();
        (before_bytes, now_bytes)
    }

    /// Counts what the service keeps for the socket among its buffers.
    pub(crate) fn set_kept_bytes(&mut self, bytes: usize) {
        if bytes > 0 {
            self.extra.get_or_insert_default().kept_bytes = bytes;
        } else if let Some(extra) = &mut self.extra {
            extra.kept_bytes = 0;
        }
    }

    /// Counts bytes that came after the last answer and were discarded.
    pub(crate) fn discard(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.discarded_bytes = self.discarded_bytes.saturating_add(bytes);
    }

    /// Whether callbacks may still be made.
    pub(crate) fn is_live(&self) -> bool {
        !self.is_closed && self.closing == Closing::No
    }

    /// What the socket is to be watched for. Unless the service has set another mode, reading pauses while more than
    /// `pause_bytes` wait to be sent, so that a peer that does not read is not answered without end.
    pub(crate) fn wanted(&self, pause_bytes: usize) -> EventFlags {
        let unsent_bytes = self.unsent_bytes();
        let out = match unsent_bytes {
            0 => EventFlags::empty(),
            _ => EventFlags::OUT,
        };
        let is_read = match self.reading {
            Reading::Answered => unsent_bytes <= pause_bytes,
            Reading::Always => true,
            Reading::Paused => false,
        };
        match (self.stage, self.closing) {
            (Stage::Connecting, _) => EventFlags::OUT,
            (Stage::Open, Closing::No) if is_read => out | EventFlags::IN,
            (Stage::Open, Closing::Discard) if self.discarded_bytes > DISCARDED_BYTES_MAX => out,
            (Stage::Open, Closing::Discard) => EventFlags::IN,
            (Stage::Open, _) => out,
        }
    }

    /// What the epoll set watches it for, if it is in the set.
    pub(crate) fn watched(&self) -> Option<EventFlags> {
        self.watched.map(|bits| EventFlags::from_bits_retain(u32::from(bits)))
    }

    pub(crate) fn set_watched(&mut self, flags: EventFlags) {
        self.watched = Some(flags.bits() as u8);
    }

    pub(crate) fn unsent_bytes(&self) -> usize {
        self.extra.as_ref().map_or(0, |extra| extra.output.len() - extra.output_sent)
    }

    pub(crate) fn unsent(&self) -> &[u8] {
        self.extra.as_ref().map_or(&[], |extra| &extra.output[extra.output_sent..])
    }

    pub(crate) fn keep_unsent(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let extra = self.extra.get_or_insert_default();
        // The sent front is given back once it is the larger part, so that each byte is moved once at most.
        if extra.output_sent > extra.output.len() / 2 {
            extra.output.drain(..extra.output_sent);
            extra.output_sent = 0;
        }
        extra.output.extend_from_slice(bytes);
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        if let Some(extra) = &mut self.extra {
            extra.output_sent += bytes;
            if extra.output_sent >= extra.output.len() {
                extra.output = Vec::new();
                extra.output_sent = 0;
            }
        }
        self.drop_idle_extra();
    }

    /// Takes the input that the service has not used yet.
    pub(crate) fn take_input(&mut self) -> Vec<u8> {
        self.extra.as_mut().map(|extra| std::mem::take(&mut extra.input)).unwrap_or_default()
    }

    pub(crate) fn keep_input(&mut self, input: Vec<u8>) {
        if input.is_empty() {
            self.drop_idle_extra();
        } else {
            self.extra.get_or_insert_default().input = input;
        }
    }

    pub(crate) fn tls_mut(&mut self) -> Option<&mut Tls> {
        self.extra.as_mut()?.tls.as_deref_mut()
    }

    /// Takes TLS out while a callback needs both it and the connection; `put_tls` brings it back.
    pub(crate) fn take_tls(&mut self) -> Option<Box<Tls>> {
        self.extra.as_mut()?.tls.take()
    }

    pub(crate) fn put_tls(&mut self, tls: Box<Tls>) {
        self.extra.get_or_insert_default().tls = Some(tls);
    }

    fn drop_idle_extra(&mut self) {
        if self.extra.as_ref().is_some_and(|extra| {
            extra.input.is_empty()
                && extra.output.is_empty()
                && extra.tls.is_none()
                && extra.counted_bytes == 0
                && extra.kept_bytes == 0
        }) {
            self.extra = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;

    fn connection() -> Connection {
        let descriptor = sys::event_counter().unwrap();
        Connection::new(descriptor, SocketId::from_bits(0), Stage::Open, None)
    }

    #[test]
    fn unsent_bytes_keep_their_order_and_their_buffer_is_freed() {
        let mut connection = connection();
        connection.keep_unsent(b"abcdef");
        connection.sent(4);
        connection.keep_unsent(b"ghi");
        assert_eq!(connection.unsent(), b"efghi");
        assert_eq!(connection.unsent_bytes(), 5);
        let (before_bytes, held_bytes) = connection.recount(false);
        assert_eq!((before_bytes, connection.counted_bytes()), (0, held_bytes));
        assert!(held_bytes >= 5, "what is unsent takes memory");
        connection.sent(5);
        assert_eq!(connection.recount(false), (held_bytes, 0), "given back");
        assert_eq!(connection.unsent(), b"");
        assert!(connection.extra.is_none(), "a parked socket has no buffer");
    }

    #[test]
    fn bytes_after_the_last_answer_are_read_up_to_a_limit() {
        let mut connection = connection();
        connection.closing = Closing::Discard;
        connection.discard(DISCARDED_BYTES_MAX as usize);
        assert_eq!(connection.wanted(0), EventFlags::IN, "as much as may be");
        connection.discard(1);
        assert_eq!(connection.wanted(0), EventFlags::empty(), "one byte more");
        connection.discard(usize::MAX);
        assert_eq!(connection.wanted(0), EventFlags::empty(), "any more");
    }

    #[test]
    fn watched_events_follow_stage_and_closing() {
        const PAUSE_BYTES: usize = 2;
        let none = EventFlags::empty();
        let both = EventFlags::IN | EventFlags::OUT;
        for (stage, closing, unsent, wanted, why) in [
            (Stage::Connecting, Closing::No, 0, EventFlags::OUT, "writable: connected"),
            (Stage::Open, Closing::No, 0, EventFlags::IN, "parked"),
            (Stage::Open, Closing::No, 2, both, "a little is unsent"),
            (Stage::Open, Closing::No, 3, EventFlags::OUT, "the peer does not read: pause"),
            (Stage::Open, Closing::Close, 3, EventFlags::OUT, "the rest, then close"),
            (Stage::Open, Closing::Finish, 0, none, "about to send FIN"),
            (Stage::Open, Closing::Discard, 0, EventFlags::IN, "until the peer's FIN"),
        ] {
            let mut connection = connection();
            connection.stage = stage;
            connection.closing = closing;
            connection.keep_unsent(&vec![0; unsent]);
            assert_eq!(connection.wanted(PAUSE_BYTES), wanted, "{why}");
        }
    }

    #[test]
    fn watched_events_follow_the_reading_mode() {
        const PAUSE_BYTES: usize = 2;
        let none = EventFlags::empty();
        for (reading, closing, wanted, why) in [
            (Reading::Answered, Closing::No, none, "too much waits"),
            (Reading::Always, Closing::No, EventFlags::IN, "although too much waits"),
            (Reading::Paused, Closing::No, none, "although nothing waits"),
            (Reading::Paused, Closing::Discard, EventFlags::IN, "the peer's FIN is waited for all the same"),
        ] {
            let mut connection = connection();
            connection.reading = reading;
            connection.closing = closing;
            if reading != Reading::Paused {
                connection.keep_unsent(&[0; PAUSE_BYTES + 1]);
            }
            let watched = connection.wanted(PAUSE_BYTES).difference(EventFlags::OUT);
            assert_eq!(watched, wanted, "{why}");
        }
    }
}
