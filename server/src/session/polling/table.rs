//! The table of a shard's polling sessions, their waiting polls, and their deadlines.

use std::collections::{BTreeSet, HashMap};

use wire::engineio::{Form, Item, Version};

use crate::session::engine::Engine;
use crate::session::half_open::HalfOpenList;
use crate::session::polling::name::{Key, SessionName};
use crate::session::reply::Outbox;

/// While a probe is under way, a poll waits no longer than this, because the client upgrades after its last poll. The
/// time is the reference implementation's.
const NOOP_AFTER_NS: u64 = 100_000_000;

/// The polling sessions of one shard.
#[derive(Debug, Default)]
pub struct PollingSessions {
    /// The number of this shard.
    pub(super) shard: u16,
    /// The limit on `polling`, since a session takes memory also without a connection.
    pub(super) sessions_max: usize,
    pub(super) sessions: HashMap<Key, Entry>,
    pub(super) key_next: u32,
    /// The number of `sessions` that poll.
    pub(super) polling: usize,
    /// Polling sessions that have not sent their connect packet.
    pub(super) unconnected: HalfOpenList<Key>,
    /// Sessions end at their next poll.
    pub(super) is_draining: bool,
    /// The bytes in all outboxes.
    pub(super) held_bytes: usize,
    /// Above this limit the sessions that hold the most bytes end.
    pub(super) held_bytes_max: usize,
    /// The sessions' deadlines, the next one first.
    pub(super) due: BTreeSet<(u64, Key)>,
    /// Sessions whose waiting poll may be answered now.
    pub(super) changed: Vec<Key>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) probes_to_close: Vec<u64>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: SessionName,
    /// `None` after the upgrade: the session's id stays known until its WebSocket closes.
    pub(super) session: Option<Box<PollingSession>>,
}

#[derive(Debug)]
pub(super) struct PollingSession {
    pub(super) engine: Engine,
    pub(super) outbox: Outbox,
    /// The poll that waits for packets.
    pub(super) poll: Option<WaitingPoll>,
    /// The connection whose POST is not complete.
    pub(super) posting: Option<u64>,
    /// The WebSocket that may upgrade the session.
    pub(super) probe: Option<u64>,
    /// The probe was answered: a waiting poll must be answered soon.
    pub(super) is_probed: bool,
    /// When a waiting poll is answered with a noop because of the probe; [`u64::MAX`] for never.
    pub(super) noop_ns: u64,
    /// The engine's deadline.
    pub(super) engine_due_ns: u64,
    /// The session's deadline in `PollingSessions::due`.
    pub(super) due_ns: u64,
}

/// A connection whose poll waits, and the form of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingPoll {
    /// The number of the connection.
    pub connection: u64,
    /// The connection stays open after the answer.
    pub keep_alive: bool,
    /// The index of the page's origin among the gate's origins, if it is one of them.
    pub origin: Option<u16>,
    /// The number of the function that the answer calls, where the client polls by a script element.
    pub jsonp: Option<u32>,
}

/// The answer to a waiting poll.
#[derive(Debug, PartialEq)]
pub struct Delivery {
    /// The poll.
    pub to: WaitingPoll,
    /// At least one packet.
    pub packets: Packets,
}

/// The packets of one answer.
#[derive(Debug, PartialEq)]
pub struct Packets {
    /// The packets in order.
    pub items: Vec<Item<'static>>,
    /// The session's version.
    pub version: Version,
    /// The form in which the client reads binary messages.
    pub form: Form,
}

/// The session of a `sid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A polling session of this shard.
    Polling(Key),
    /// A session of this shard that was upgraded to a WebSocket.
    Upgraded,
    /// Perhaps a session of the shard with this number.
    OtherShard(u16),
    /// No session.
    Unknown,
}

/// The result of a GET.
#[derive(Debug, PartialEq)]
pub enum Polled {
    /// The poll is answered at once.
    Packets(Packets),
    /// The poll waits.
    Waits,
    /// Another poll waits, which is a protocol error.
    Overlap,
}

impl PollingSessions {
    /// A table for the sessions of shard `shard`: at most `sessions_max`, of which at most `unconnected_max` are not
    /// connected, and at most `held_bytes_max` in all their outboxes.
    pub fn new(shard: u16, sessions_max: usize, unconnected_max: usize, held_bytes_max: usize) -> Self {
        Self { shard, sessions_max, held_bytes_max, unconnected: HalfOpenList::new(unconnected_max), ..Self::default() }
    }

    /// The number of polling sessions.
    pub fn count(&self) -> usize {
        self.polling
    }

    /// The bytes in all outboxes.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Whether no session polls.
    pub fn is_idle(&self) -> bool {
        self.polling == 0
    }

    /// Whether the limit on sessions is reached.
    pub fn is_full(&self) -> bool {
        self.polling >= self.sessions_max
    }

    /// Finds the session of a request's `sid`.
    pub fn find(&self, sid: &str) -> Found {
        let Some(name) = SessionName::parse(sid) else {
            return Found::Unknown;
        };
        if name.shard != self.shard {
            return Found::OtherShard(name.shard);
        }
        match self.sessions.get(&name.key) {
            Some(entry) if entry.name != name => Found::Unknown,
            Some(Entry { session: None, .. }) => Found::Upgraded,
            Some(_) => Found::Polling(name.key),
            None => Found::Unknown,
        }
    }

    /// Handles a GET to a polling session.
    pub fn poll(&mut self, key: Key, waiting: WaitingPoll, now_ns: u64) -> Option<Polled> {
        let session = self.sessions.get_mut(&key)?.session.as_mut()?;
        if session.poll.is_some() {
            return Some(Polled::Overlap);
        }
        if !session.outbox.is_empty() {
            let (packets, bytes) = session.answer();
            self.held_bytes -= bytes;
            return Some(Polled::Packets(packets));
        }
        session.poll = Some(waiting);
        if session.is_probed {
            session.noop_ns = now_ns.saturating_add(NOOP_AFTER_NS);
            self.reschedule(key);
        }
        Some(Polled::Waits)
    }

    /// Stores the WebSocket that may upgrade a session; `false` if there is another.
    pub fn probe(&mut self, key: Key, connection: u64) -> bool {
        let session = self.polling(key).filter(|session| session.probe.is_none());
        session.map(|session| session.probe = Some(connection)).is_some()
    }

    /// Removes a probe that has ended without an upgrade.
    pub fn probe_ended(&mut self, key: Key, connection: u64) {
        if let Some(session) = self.polling(key)
            && session.probe == Some(connection)
        {
            session.probe = None;
            session.is_probed = false;
            session.noop_ns = u64::MAX;
            self.reschedule(key);
        }
    }

    /// Removes an upgraded session whose WebSocket is closed.
    pub fn forget(&mut self, key: Key) {
        if self.sessions.get(&key).is_some_and(|entry| entry.session.is_none()) {
            self.sessions.remove(&key);
        }
    }

    /// When [`Sessions::run_due`](crate::session::Sessions::run_due) must be called.
    pub fn next_due_ns(&self) -> Option<u64> {
        self.due.first().map(|&(due_ns, _)| due_ns)
    }

    /// Takes the answers to the polls that can be answered now.
    pub fn deliveries(&mut self) -> Vec<Delivery> {
        while let Some(key) = self.changed.pop() {
            if let Some(session) = self.polling(key)
                && !session.outbox.is_empty()
                && let Some(to) = session.poll.take()
            {
                session.noop_ns = u64::MAX;
                let (packets, bytes) = session.answer();
                self.held_bytes -= bytes;
                self.deliveries.push(Delivery { to, packets });
            }
        }
        std::mem::take(&mut self.deliveries)
    }

    /// Takes the probes of sessions that have ended: connections to close.
    pub fn probes_to_close(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.probes_to_close)
    }

    /// Handles the probe's first packet: the waiting poll is answered soon.
    pub fn probed(&mut self, key: Key, now_ns: u64) {
        if let Some(session) = self.polling(key) {
            session.is_probed = true;
            session.noop_ns = now_ns;
            self.reschedule(key);
        }
    }

    /// Removes a POST; the session stays.
    pub fn abandon_post(&mut self, key: Key) {
        if let Some(session) = self.polling(key) {
            session.posting = None;
        }
    }

    /// Removes a polling session from its entry and from all counts.
    pub(super) fn take(&mut self, key: Key) -> Option<Box<PollingSession>> {
        let session = self.sessions.get_mut(&key)?.session.take()?;
        self.polling -= 1;
        self.held_bytes -= session.outbox.bytes();
        if !session.engine.is_settled() {
            self.unconnected.done();
        }
        self.due.remove(&(session.due_ns, key));
        Some(session)
    }

    /// The keys of all sessions in ascending order, so that no random hash decides the order of closing.
    pub(super) fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.sessions.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    pub(super) fn polling(&mut self, key: Key) -> Option<&mut PollingSession> {
        self.sessions.get_mut(&key)?.session.as_deref_mut()
    }

    pub(super) fn reschedule(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(&key).and_then(|entry| entry.session.as_mut()) else {
            return;
        };
        let due_ns = session.engine_due_ns.min(session.noop_ns);
        if due_ns != session.due_ns {
            self.due.remove(&(session.due_ns, key));
            self.due.insert((due_ns, key));
            session.due_ns = due_ns;
        }
    }

    /// A key that no session has.
    pub(super) fn vacant_key(&mut self) -> Key {
        loop {
            let key = Key(self.key_next);
            self.key_next = self.key_next.wrapping_add(1);
            if !self.sessions.contains_key(&key) {
                return key;
            }
        }
    }
}

impl PollingSession {
    /// Takes the packets that answer one poll, and their bytes.
    fn answer(&mut self) -> (Packets, usize) {
        let before_bytes = self.outbox.bytes();
        let items = self.outbox.take_answer();
        (self.packets(items), before_bytes - self.outbox.bytes())
    }

    pub(super) fn packets(&self, items: Vec<Item<'static>>) -> Packets {
        Packets { items, version: self.engine.version(), form: self.engine.form() }
    }
}

/// Whether the session polls and has not sent its connect packet.
pub(super) fn is_unconnected(sessions: &HashMap<Key, Entry>, key: Key) -> bool {
    let session = sessions.get(&key).and_then(|entry| entry.session.as_ref());
    session.is_some_and(|session| !session.engine.is_settled())
}
