//! The sockets of a shard, by a small index, and the little that the reactor keeps about each.

use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use slab::Slab;

use crate::tls::Tls;

/// Names a socket of one shard for as long as the process lives: its place in the slab, and a generation that tells it
/// from those that had the place before. (The generation is one of 2^32 and counts all sockets of the shard.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId {
    /// Below 2^31: no process has more descriptors.
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl SocketId {
    /// The name as a number: what epoll carries with each event of this socket, and what a program may keep that is
    /// to know nothing of sockets.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The name behind such a number. One that never was a name is the name of no socket.
    pub fn from_bits(bits: u64) -> Self {
        Self {
            index: bits as u32,
            generation: (bits >> 32) as u32,
        }
    }
}

/// The sockets of a shard.
pub(crate) struct Table<T> {
    entries: Slab<Entry<T>>,
    generation_next: u32,
}

/// One socket: the reactor's part and the service's part.
pub(crate) struct Entry<T> {
    pub(crate) link: Link,
    pub(crate) socket: T,
}

/// The reactor's part of a socket. Its deadline lies in the wheel.
pub(crate) struct Link {
    pub(crate) fd: OwnedFd,
    generation: u32,
    pub(crate) stage: Stage,
    pub(crate) closing: Closing,
    /// What the epoll set watches it for (EPOLLIN is 1, EPOLLOUT 4); `None`: it is not in the set yet.
    watched: Option<u8>,
    /// It was accepted, not connected.
    pub(crate) inbound: bool,
    /// TLS stands between the socket and its bytes, also while a callback has it.
    pub(crate) is_tls: bool,
    /// The reactor has begun to close it: TLS's close_notify is written, and its deadline is the reactor's own.
    pub(crate) leaving: bool,
    /// On the list of the doomed: no callback but `closed` any more.
    pub(crate) doomed: bool,
    /// Counted among those with a buffer.
    pub(crate) is_counted: bool,
    /// Whether its next bytes may be held back by the kernel.
    pub(crate) delay: Delay,
    /// What has been read and forgotten since FIN was sent.
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
    /// FIN is sent: read and forget until the peer's.
    Discard,
    /// RST at once.
    Reset,
    /// Send what the socket takes, then leave the shard, open.
    Release,
}

/// What is read and forgotten of a peer that sends on after its last answer: the rest of a message that was refused
/// half-way, whose sender reads only then. Who sends more is not read any more, and is reset in the end: nobody keeps a
/// shard busy with what it throws away.
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

impl<T> Table<T> {
    pub(crate) fn new() -> Self {
        Self {
            entries: Slab::new(),
            generation_next: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The name that the next `insert` will use. Asking twice without an insert gives two names, of which only the
    /// newer is good.
    pub(crate) fn next_id(&mut self) -> SocketId {
        let generation = self.generation_next;
        self.generation_next = generation.wrapping_add(1);
        SocketId {
            index: self.entries.vacant_key() as u32,
            generation,
        }
    }

    /// Puts a socket into the place that `next_id` named.
    pub(crate) fn insert(&mut self, link: Link, socket: T) -> &mut Entry<T> {
        self.entries.vacant_entry().insert(Entry { link, socket })
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut Entry<T>> {
        self.entries
            .get_mut(id.index as usize)
            .filter(|entry| entry.link.generation == id.generation)
    }

    /// The socket at a place, whatever its generation.
    pub(crate) fn id_at(&self, index: u32) -> Option<SocketId> {
        let entry = self.entries.get(index as usize)?;
        Some(entry.id(index))
    }

    pub(crate) fn remove(&mut self, id: SocketId) -> Option<Entry<T>> {
        self.get_mut(id)?;
        self.entries.try_remove(id.index as usize)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (SocketId, &mut Entry<T>)> {
        self.entries
            .iter_mut()
            .map(|(index, entry)| (entry.id(index as u32), entry))
    }
}

impl<T> Entry<T> {
    fn id(&self, index: u32) -> SocketId {
        SocketId {
            index,
            generation: self.link.generation,
        }
    }
}

impl Link {
    /// A socket that an accept or a connect has just made.
    pub(crate) fn new(fd: OwnedFd, id: SocketId, stage: Stage, tls: Option<Tls>) -> Self {
        let is_tls = tls.is_some();
        let extra = tls.map(|tls| {
            Box::new(Extra {
                tls: Some(Box::new(tls)),
                ..Extra::default()
            })
        });
        Self {
            fd,
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
            leaving: false,
            doomed: false,
            is_counted: false,
            discarded_bytes: 0,
            extra,
        }
    }

    /// Makes it the socket of another shard, which has not watched it yet.
    pub(crate) fn renew(&mut self, id: SocketId) {
        self.generation = id.generation;
        self.closing = Closing::No;
        self.watched = None;
        self.leaving = false;
        self.doomed = false;
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
            false => extra.input.capacity() + extra.output.capacity() + extra.kept_bytes,
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

    /// Forgets bytes that came after the last answer.
    pub(crate) fn discard(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.discarded_bytes = self.discarded_bytes.saturating_add(bytes);
    }

    /// Whether callbacks may still be made.
    pub(crate) fn is_live(&self) -> bool {
        !self.doomed && self.closing == Closing::No
    }

    /// What the socket is to be watched for. Reading pauses while more than `pause_bytes` wait to be sent, so that a
    /// peer that does not read cannot make us answer it for ever.
    pub(crate) fn wanted(&self, pause_bytes: usize) -> EventFlags {
        let unsent_bytes = self.unsent_bytes();
        let out = match unsent_bytes {
            0 => EventFlags::empty(),
            _ => EventFlags::OUT,
        };
        match (self.stage, self.closing) {
            (Stage::Connecting, _) => EventFlags::OUT,
            (Stage::Open, Closing::No) if unsent_bytes > pause_bytes => out,
            (Stage::Open, Closing::No) => out | EventFlags::IN,
            (Stage::Open, Closing::Discard) if self.discarded_bytes > DISCARDED_BYTES_MAX => out,
            (Stage::Open, Closing::Discard) => EventFlags::IN,
            (Stage::Open, _) => out,
        }
    }

    /// What the epoll set watches it for, if it is in the set.
    pub(crate) fn watched(&self) -> Option<EventFlags> {
        self.watched
            .map(|bits| EventFlags::from_bits_retain(u32::from(bits)))
    }

    pub(crate) fn set_watched(&mut self, flags: EventFlags) {
        self.watched = Some(flags.bits() as u8);
    }

    pub(crate) fn unsent_bytes(&self) -> usize {
        self.extra
            .as_ref()
            .map_or(0, |extra| extra.output.len() - extra.output_sent)
    }

    pub(crate) fn unsent(&self) -> &[u8] {
        self.extra
            .as_ref()
            .map_or(&[], |extra| &extra.output[extra.output_sent..])
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
        self.extra
            .as_mut()
            .map(|extra| std::mem::take(&mut extra.input))
            .unwrap_or_default()
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

    /// Takes TLS out while a callback needs both it and the link; `put_tls` brings it back.
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

    fn fd() -> OwnedFd {
        rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap()
    }

    fn insert(table: &mut Table<u8>, socket: u8) -> SocketId {
        let id = table.next_id();
        table.insert(Link::new(fd(), id, Stage::Open, None), socket);
        id
    }

    #[test]
    fn a_parked_socket_costs_little_beside_its_state() {
        assert!(size_of::<Entry<()>>() <= 40, "{}", size_of::<Entry<()>>());
    }

    #[test]
    fn an_old_name_never_finds_the_new_socket_in_its_place() {
        let mut table = Table::new();
        let old = insert(&mut table, 1);
        assert_eq!(table.remove(old).map(|entry| entry.socket), Some(1));
        let new = insert(&mut table, 2);
        assert_eq!(old.index, new.index, "the place is used again");
        assert!(table.get_mut(old).is_none());
        assert!(table.remove(old).is_none());
        assert_eq!(table.get_mut(new).map(|entry| entry.socket), Some(2));
        assert_eq!(table.len(), 1);
        let data = new.to_bits();
        assert_eq!(SocketId::from_bits(data), new);
    }

    #[test]
    fn unsent_bytes_keep_their_order_and_leave_nothing_behind() {
        let mut table = Table::new();
        let id = insert(&mut table, 0);
        let link = &mut table.get_mut(id).unwrap().link;
        link.keep_unsent(b"abcdef");
        link.sent(4);
        link.keep_unsent(b"ghi");
        assert_eq!(link.unsent(), b"efghi");
        assert_eq!(link.unsent_bytes(), 5);
        let (before_bytes, held_bytes) = link.recount(false);
        assert_eq!((before_bytes, link.counted_bytes()), (0, held_bytes));
        assert!(held_bytes >= 5, "what is unsent takes memory");
        link.sent(5);
        assert_eq!(link.recount(false), (held_bytes, 0), "given back");
        assert_eq!(link.unsent(), b"");
        assert!(link.extra.is_none(), "a parked socket has no buffer");
    }

    #[test]
    fn a_peer_is_not_heard_out_for_ever() {
        let mut table = Table::new();
        let id = insert(&mut table, 0);
        let link = &mut table.get_mut(id).unwrap().link;
        link.closing = Closing::Discard;
        link.discard(DISCARDED_BYTES_MAX as usize);
        assert_eq!(link.wanted(0), EventFlags::IN, "as much as may be");
        link.discard(1);
        assert_eq!(link.wanted(0), EventFlags::empty(), "one byte more");
        link.discard(usize::MAX);
        assert_eq!(link.wanted(0), EventFlags::empty(), "any more");
    }

    #[test]
    fn what_a_socket_is_watched_for_follows_its_state() {
        const PAUSE_BYTES: usize = 2;
        let none = EventFlags::empty();
        let both = EventFlags::IN | EventFlags::OUT;
        for (stage, closing, unsent, wanted, why) in [
            (
                Stage::Connecting,
                Closing::No,
                0,
                EventFlags::OUT,
                "writable: connected",
            ),
            (Stage::Open, Closing::No, 0, EventFlags::IN, "parked"),
            (Stage::Open, Closing::No, 2, both, "a little is unsent"),
            (
                Stage::Open,
                Closing::No,
                3,
                EventFlags::OUT,
                "the peer does not read: pause",
            ),
            (
                Stage::Open,
                Closing::Close,
                3,
                EventFlags::OUT,
                "the rest, then close",
            ),
            (Stage::Open, Closing::Finish, 0, none, "about to send FIN"),
            (
                Stage::Open,
                Closing::Discard,
                0,
                EventFlags::IN,
                "until the peer's FIN",
            ),
        ] {
            let mut table = Table::new();
            let id = insert(&mut table, 0);
            let link = &mut table.get_mut(id).unwrap().link;
            link.stage = stage;
            link.closing = closing;
            link.keep_unsent(&vec![0; unsent]);
            assert_eq!(link.wanted(PAUSE_BYTES), wanted, "{why}");
        }
    }
}
