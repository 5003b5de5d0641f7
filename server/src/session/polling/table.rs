//! The table of a shard's polling sessions: which there are, which polls wait, what is due when.

use std::collections::{BTreeSet, HashMap};

use wire::engineio::{Form, Item, Version};

use crate::session::engine::Engine;
use crate::session::half_open::HalfOpenList;
use crate::session::polling::name::{Key, SessionName};
use crate::session::reply::Outbox;

/// While a probe is under way, a poll waits no longer than this: the client upgrades once its last poll is over. The
/// reference implementation takes the same time.
const NOOP_AFTER_NS: u64 = 100_000_000;

/// The polling sessions of one shard.
#[derive(Debug, Default)]
pub struct PollingSessions {
    /// This shard's number.
    pub(super) shard: u16,
    /// Sessions that may poll at once: each takes memory, and needs no connection for it.
    pub(super) sessions_max: usize,
    pub(super) sessions: HashMap<Key, Slot>,
    pub(super) key_next: u32,
    /// How many of `sessions` still poll.
    pub(super) polling: usize,
    /// Those of them whose connect packet is still to come.
    pub(super) unconnected: HalfOpenList<Key>,
    /// The gate drains: sessions end at their next poll.
    pub(super) is_draining: bool,
    /// Bytes that wait in all outboxes.
    pub(super) held_bytes: usize,
    /// Beyond this many, the sessions that hold the most end.
    pub(super) held_bytes_max: usize,
    /// When a session is to be called, in order.
    pub(super) due: BTreeSet<(u64, Key)>,
    /// Sessions whose waiting poll may be answered now.
    pub(super) changed: Vec<Key>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) probes_to_close: Vec<u64>,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: SessionName,
    /// None once the session has moved to a WebSocket: its id is known until that ends.
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
    /// The WebSocket that tries to take the session over.
    pub(super) probe: Option<u64>,
    /// The probe was answered: polls are to end soon.
    pub(super) is_probed: bool,
    /// When a poll is to be ended for the probe's sake; [`u64::MAX`] when it is not.
    pub(super) noop_ns: u64,
    /// When the engine is to be called.
    pub(super) engine_due_ns: u64,
    /// Its place in `PollingSessions::due`.
    pub(super) due_ns: u64,
}

/// A connection whose poll waits, and how it is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingPoll {
    /// Its number.
    pub connection: u64,
    /// It stays open after the answer.
    pub keep_alive: bool,
    /// The place of the page's origin among the gate's, if it is one of them.
    pub origin: Option<u16>,
    /// The number of the function that the answer is to call, where the client polls by a script element.
    pub jsonp: Option<u32>,
}

/// The answer to a poll.
#[derive(Debug, PartialEq)]
pub struct Delivery {
    /// Its session.
    pub to: WaitingPoll,
    /// What to send, never empty.
    pub packets: Packets,
}

/// The packets of one answer.
#[derive(Debug, PartialEq)]
pub struct Packets {
    /// In their order.
    pub items: Vec<Item<'static>>,
    /// The session's version.
    pub version: Version,
    /// The richest form that the client reads.
    pub form: Form,
}

/// What an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A session of this shard that polls.
    Polling(Key),
    /// One that has moved to a WebSocket.
    Upgraded,
    /// If any, one of the shard with this number.
    OtherShard(u16),
    /// Nothing.
    Unknown,
}

/// What is to become of a GET.
#[derive(Debug, PartialEq)]
pub enum Polled {
    /// It is answered at once.
    Packets(Packets),
    /// It waits.
    Waits,
    /// Another one waits: both end, and the session with them.
    Overlap,
}

impl PollingSessions {
    /// The sessions of shard `shard`, at most `sessions_max` of them polling, and at most `unconnected_max` of those
    /// not connected yet; `held_bytes_max` may wait for all of them together.
    pub fn new(shard: u16, sessions_max: usize, unconnected_max: usize, held_bytes_max: usize) -> Self {
        Self { shard, sessions_max, held_bytes_max, unconnected: HalfOpenList::new(unconnected_max), ..Self::default() }
    }

    /// This shard's number.
    pub fn shard(&self) -> u16 {
        self.shard
    }

    /// How many sessions poll.
    pub fn count(&self) -> usize {
        self.polling
    }

    /// How many bytes wait for their polls.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Do no sessions poll?
    pub fn is_idle(&self) -> bool {
        self.polling == 0
    }

    /// Is there no place for another session?
    pub fn is_full(&self) -> bool {
        self.polling >= self.sessions_max
    }

    /// What the `sid` of a request names.
    pub fn find(&self, sid: &str) -> Found {
        let Some(name) = SessionName::parse(sid) else {
            return Found::Unknown;
        };
        if name.shard != self.shard {
            return Found::OtherShard(name.shard);
        }
        match self.sessions.get(&name.key) {
            Some(slot) if slot.name != name => Found::Unknown,
            Some(Slot { session: None, .. }) => Found::Upgraded,
            Some(_) => Found::Polling(name.key),
            None => Found::Unknown,
        }
    }

    /// Takes a GET for a session that polls.
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

    /// A WebSocket wants to take a session over; one at a time may.
    pub fn probe(&mut self, key: Key, connection: u64) -> bool {
        match self.polling(key) {
            Some(session) if session.probe.is_none() => {
                session.probe = Some(connection);
                true
            }
            _ => false,
        }
    }

    /// The probe has ended without taking the session over.
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

    /// The WebSocket that a session had moved to is gone.
    pub fn forget(&mut self, key: Key) {
        if self.sessions.get(&key).is_some_and(|slot| slot.session.is_none()) {
            self.sessions.remove(&key);
        }
    }

    /// When [`Sessions::run_due`](crate::session::Sessions::run_due) is to be called.
    pub fn next_due_ns(&self) -> Option<u64> {
        self.due.first().map(|&(due_ns, _)| due_ns)
    }

    /// The polls that can be answered now.
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

    /// Connections to be closed: probes of sessions that ended.
    pub fn probes_to_close(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.probes_to_close)
    }

    /// The probe's first packet came: the poll that waits now is to end soon.
    pub fn probed(&mut self, key: Key, now_ns: u64) {
        if let Some(session) = self.polling(key) {
            session.is_probed = true;
            session.noop_ns = now_ns;
            self.reschedule(key);
        }
    }

    /// A POST that has begun will not be taken; the session stays.
    pub fn abandon_post(&mut self, key: Key) {
        if let Some(session) = self.polling(key) {
            session.posting = None;
        }
    }

    /// Takes a session that polls out of its slot and out of all counts.
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

    /// Is its connect packet still to come?
    pub(super) fn is_unconnected(&self, key: Key) -> bool {
        is_unconnected(&self.sessions, key)
    }

    /// Forgets sessions that are connected, or gone, where they are the larger part of the list.
    pub(super) fn prune_unconnected(&mut self) {
        self.unconnected.prune(|&key| is_unconnected(&self.sessions, key));
    }

    /// The keys of all sessions in ascending order, which no hash decides.
    pub(super) fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.sessions.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    pub(super) fn polling(&mut self, key: Key) -> Option<&mut PollingSession> {
        self.sessions.get_mut(&key)?.session.as_deref_mut()
    }

    pub(super) fn reschedule(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let Some(session) = &mut session.session else {
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
    /// What one poll is answered with, and how many bytes wait no more.
    fn answer(&mut self) -> (Packets, usize) {
        let before_bytes = self.outbox.bytes();
        let items = self.outbox.take_answer();
        (self.packets(items), before_bytes - self.outbox.bytes())
    }

    pub(super) fn packets(&self, items: Vec<Item<'static>>) -> Packets {
        Packets { items, version: self.engine.version(), form: self.engine.form() }
    }
}

fn is_unconnected(sessions: &HashMap<Key, Slot>, key: Key) -> bool {
    let session = sessions.get(&key).and_then(|slot| slot.session.as_ref());
    session.is_some_and(|session| !session.engine.is_settled())
}
