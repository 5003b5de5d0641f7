//! Engine.IO sessions of clients that poll: a GET waits for packets, a POST brings some (engine.io-protocol, "HTTP
//! long-polling").
//!
//! A session lives on one shard, whose number stands in its id, and outlives its connections, which have numbers here.
//! What a POST makes known to a client is answered through another connection, its waiting poll: so answers are
//! collected as [`Delivery`]s, which the shard sends out once per turn.

mod name;

use std::collections::{BTreeSet, HashMap};

use wire::engineio::{Form, Item, Version, decode_payload};

use super::{
    End, Host, Outbox, Reply,
    engineio::{Engine, Opening},
};
pub use name::{Key, SessionName};

/// While a probe is under way, a poll waits no longer than this: the client upgrades once its last poll is over. The
/// reference implementation takes the same time.
const NOOP_AFTER_NS: u64 = 100_000_000;

/// The polling sessions of one shard.
#[derive(Debug, Default)]
pub struct Polls {
    /// This shard's number.
    shard: u16,
    /// Sessions that may poll at once: each takes memory, and needs no connection for it.
    sessions_max: usize,
    sessions: HashMap<Key, Slot>,
    key_next: u32,
    /// How many of `sessions` still poll.
    polling: usize,
    /// When a session is to be called, in order.
    due: BTreeSet<(u64, Key)>,
    /// Sessions whose waiting poll may have something to be answered with.
    changed: Vec<Key>,
    deliveries: Vec<Delivery>,
    hangups: Vec<u64>,
}

#[derive(Debug)]
struct Slot {
    name: SessionName,
    /// None once the session has moved to a WebSocket: its id is known until that ends.
    session: Option<Box<Polling>>,
}

#[derive(Debug)]
struct Polling {
    engine: Engine,
    outbox: Outbox,
    /// What binary messages may be sent as.
    form: Form,
    /// The poll that waits for packets.
    poll: Option<Waiting>,
    /// The connection whose POST is still coming.
    posting: Option<u64>,
    /// The WebSocket that tries to take the session over.
    probe: Option<u64>,
    /// The probe was answered: polls are to end soon.
    is_probed: bool,
    /// When a poll is to be ended for the probe's sake; [`u64::MAX`] when it is not.
    noop_ns: u64,
    /// When the engine is to be called.
    engine_due_ns: u64,
    /// Its place in `Polls::due`.
    due_ns: u64,
}

/// A connection whose poll waits, and how it is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its number.
    pub connection: u64,
    /// It stays open after the answer.
    pub keep_alive: bool,
    /// The place of the page's origin among the gate's, if it is one of them.
    pub origin: Option<u16>,
}

/// The answer to a poll.
#[derive(Debug, PartialEq)]
pub struct Delivery {
    /// Whose poll it is.
    pub to: Waiting,
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
    Elsewhere(u16),
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

impl Polls {
    /// The sessions of shard `shard`, at most `sessions_max` of them polling.
    pub fn new(shard: u16, sessions_max: usize) -> Self {
        Self {
            shard,
            sessions_max,
            ..Self::default()
        }
    }

    /// This shard's number.
    pub fn shard(&self) -> u16 {
        self.shard
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
            return Found::Elsewhere(name.shard);
        }
        match self.sessions.get(&name.key) {
            Some(slot) if slot.name != name => Found::Unknown,
            Some(Slot { session: None, .. }) => Found::Upgraded,
            Some(_) => Found::Polling(name.key),
            None => Found::Unknown,
        }
    }

    /// Takes a GET for a session that polls.
    pub fn poll(&mut self, key: Key, waiting: Waiting, now_ns: u64) -> Option<Polled> {
        let session = self.sessions.get_mut(&key)?.session.as_mut()?;
        if session.poll.is_some() {
            return Some(Polled::Overlap);
        }
        if !session.outbox.is_empty() {
            let items = session.outbox.take();
            return Some(Polled::Packets(session.packets(items)));
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
        if self
            .sessions
            .get(&key)
            .is_some_and(|slot| slot.session.is_none())
        {
            self.sessions.remove(&key);
        }
    }

    /// When [`due`] is to be called.
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
                let items = session.outbox.take();
                let packets = session.packets(items);
                self.deliveries.push(Delivery { to, packets });
            }
        }
        std::mem::take(&mut self.deliveries)
    }

    /// Connections to be closed: probes of sessions that ended.
    pub fn hangups(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.hangups)
    }

    fn polling(&mut self, key: Key) -> Option<&mut Polling> {
        self.sessions.get_mut(&key)?.session.as_deref_mut()
    }

    fn reschedule(&mut self, key: Key) {
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
    fn vacant_key(&mut self) -> Key {
        loop {
            let key = Key(self.key_next);
            self.key_next = self.key_next.wrapping_add(1);
            if !self.sessions.contains_key(&key) {
                return key;
            }
        }
    }
}

impl Polling {
    fn packets(&self, items: Vec<Item<'static>>) -> Packets {
        Packets {
            items,
            version: self.engine.version(),
            form: self.form,
        }
    }
}

/// Opens a session and gives its first packets. See [`Engine::open`]; `form` is the richest that the client reads.
pub fn open(
    version: Version,
    opening: Opening,
    form: Form,
    authenticate_by_ns: u64,
    host: &mut Host,
    now_ns: u64,
) -> Packets {
    let key = host.polls.vacant_key();
    let name = SessionName::new(host.polls.shard, key, &mut host.random);
    let mut out = Vec::new();
    let mut outbox = Outbox::default();
    let mut reply = Reply::polling(&mut out, &mut outbox, now_ns);
    let sid = name.to_string();
    let engine = Engine::open(
        version,
        Some(&sid),
        opening,
        authenticate_by_ns,
        host,
        &mut reply,
    );
    let mut session = Polling {
        engine,
        engine_due_ns: reply.deadline_ns.unwrap_or(u64::MAX),
        outbox: Outbox::default(),
        form,
        poll: None,
        posting: None,
        probe: None,
        is_probed: false,
        noop_ns: u64::MAX,
        due_ns: u64::MAX,
    };
    let packets = session.packets(outbox.take());
    session.due_ns = session.engine_due_ns;
    host.polls.due.insert((session.due_ns, key));
    host.polls.polling += 1;
    let session = Some(Box::new(session));
    host.polls.sessions.insert(key, Slot { name, session });
    packets
}

/// A POST has begun; `false`, and the end of the session, where another one has not ended.
pub fn begin_post(key: Key, connection: u64, host: &mut Host) -> bool {
    let Some(session) = host.polls.polling(key) else {
        return true;
    };
    let is_other = session.posting.is_some_and(|other| other != connection);
    session.posting = Some(connection);
    if is_other {
        end(key, End::Protocol, host);
    }
    !is_other
}

/// Takes the whole body of a POST. `false`, and the end of the session, where a packet of it breaks the protocol.
pub fn post(key: Key, form: Form, body: &[u8], host: &mut Host, now_ns: u64) -> bool {
    let act = |engine: &mut Engine, host: &mut Host, reply: &mut Reply<'_>| {
        for item in decode_payload(engine.version(), form, body) {
            match item {
                Ok(item) => engine.item(&item, host, reply),
                Err(error) => super::engineio::broken(&error, reply),
            }
            if reply.end.is_some() {
                break;
            }
        }
    };
    if let Some(session) = host.polls.polling(key) {
        session.posting = None;
    }
    with(key, host, now_ns, act) != Some(End::Protocol)
}

/// A connection that polled or posted is gone before its answer: so is the session, whose packets may be lost.
pub fn lost(key: Key, connection: u64, host: &mut Host) {
    let Some(session) = host.polls.polling(key) else {
        return;
    };
    let polled = session
        .poll
        .is_some_and(|poll| poll.connection == connection);
    if polled {
        session.poll = None;
    }
    if polled || session.posting == Some(connection) {
        end(key, End::Gone, host);
    }
}

/// The probe's first packet came: what polls now is to end soon.
pub fn probed(key: Key, host: &mut Host, now_ns: u64) {
    if let Some(session) = host.polls.polling(key) {
        session.is_probed = true;
        session.noop_ns = now_ns;
        host.polls.reschedule(key);
    }
}

/// Moves a session to the WebSocket `connection`, which probed it: its engine, and what it has to say.
pub fn upgrade(key: Key, connection: u64, host: &mut Host) -> Option<(Engine, Vec<Item<'static>>)> {
    if host.polls.polling(key)?.probe != Some(connection) {
        return None;
    }
    let mut session = host.polls.sessions.get_mut(&key)?.session.take()?;
    host.polls.polling -= 1;
    host.polls.due.remove(&(session.due_ns, key));
    if let Some(to) = session.poll.take() {
        let packets = session.packets(vec![Item::Text("6".into())]);
        host.polls.deliveries.push(Delivery { to, packets });
    }
    let items = session.outbox.take();
    Some((session.engine, items))
}

/// Calls the sessions whose time has come.
pub fn due(host: &mut Host, now_ns: u64) {
    while let Some(&(due_ns, key)) = host.polls.due.first()
        && due_ns <= now_ns
    {
        let Some(session) = host.polls.polling(key) else {
            host.polls.due.pop_first();
            continue;
        };
        if session.noop_ns <= now_ns {
            session.noop_ns = u64::MAX;
            if session.poll.is_some() {
                session.outbox.push_text("6");
                host.polls.changed.push(key);
            }
            host.polls.reschedule(key);
        } else {
            with(key, host, now_ns, Engine::deadline);
        }
    }
}

/// Ends all sessions that poll: the gate goes down.
pub fn end_all(host: &mut Host) {
    let keys: Vec<Key> = host.polls.sessions.keys().copied().collect();
    for key in keys {
        end(key, End::Shutdown, host);
    }
}

/// Ends a session: its waiting poll is told, its probe is hung up.
pub fn end(key: Key, why: End, host: &mut Host) {
    let slot = host.polls.sessions.get_mut(&key);
    let Some(mut session) = slot.and_then(|slot| slot.session.take()) else {
        return;
    };
    host.polls.sessions.remove(&key);
    host.polls.polling -= 1;
    host.polls.due.remove(&(session.due_ns, key));
    if let Some(to) = session.poll.take() {
        // A client that closes is told that its poll is over, any other that the session is.
        session.outbox.push_text(match why {
            End::Client => "6",
            _ => "1",
        });
        let items = session.outbox.take();
        let packets = session.packets(items);
        host.polls.deliveries.push(Delivery { to, packets });
    }
    host.polls.hangups.extend(session.probe);
    session.engine.ended(why, host);
}

/// Lets a session's engine act, and keeps what it answers for the next poll; its end, if it came to one.
fn with(
    key: Key,
    host: &mut Host,
    now_ns: u64,
    act: impl FnOnce(&mut Engine, &mut Host, &mut Reply<'_>),
) -> Option<End> {
    let mut session = host.polls.sessions.get_mut(&key)?.session.take()?;
    let mut out = Vec::new();
    let mut reply = Reply::polling(&mut out, &mut session.outbox, now_ns);
    act(&mut session.engine, host, &mut reply);
    let (deadline_ns, ended) = (reply.deadline_ns, reply.end);
    session.engine_due_ns = deadline_ns.unwrap_or(session.engine_due_ns);
    if let Some(slot) = host.polls.sessions.get_mut(&key) {
        slot.session = Some(session);
    }
    host.polls.reschedule(key);
    host.polls.changed.push(key);
    if let Some(why) = ended {
        end(key, why, host);
    }
    ended
}

#[cfg(test)]
mod tests;
