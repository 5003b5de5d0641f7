//! The life of a polling session from its opening to its end.

use wire::engineio::{Form, Item, Version, decode_payload};

use crate::metrics::End;
use crate::session::engine::{Engine, Opening};
use crate::session::host::Host;
use crate::session::polling::name::{Key, SessionName};
use crate::session::polling::table::{Delivery, Entry, Packets, PollingSession, PollingSessions, is_unconnected};
use crate::session::reply::{Outbox, Reply};

/// The packet that answers a poll without a message.
const NOOP: &str = "6";
/// The packet that ends a session.
const CLOSE: &str = "1";

/// The state that all sessions of one shard share, and the polling sessions.
pub struct Sessions {
    /// The state that all sessions share.
    pub host: Host,
    /// The sessions of clients that poll.
    pub polls: PollingSessions,
}

impl Sessions {
    /// Opens a polling session and returns its first packets. See [`Engine::open`]; `form` is the form in which the client
    /// reads binary messages.
    pub fn open(&mut self, version: Version, opening: Opening, form: Form, connect_by_ns: u64, now_ns: u64) -> Packets {
        let key = self.polls.vacant_key();
        let name = SessionName::new(self.polls.shard, key, &mut self.host.random);
        let mut out = Vec::new();
        let outbox_bytes_max = self.host.settings.outbox_bytes_max();
        let mut outbox = Outbox::new(outbox_bytes_max);
        let mut reply = Reply::polling(&mut out, &mut outbox, now_ns);
        let sid = name.to_string();
        let engine =
            Engine::open(version, Some(&sid), opening, connect_by_ns, &mut self.host, &mut reply).reading(form);
        let mut session = PollingSession {
            engine,
            engine_due_ns: reply.deadline_ns.unwrap_or(u64::MAX),
            outbox: Outbox::new(outbox_bytes_max),
            poll: None,
            posting: None,
            probe: None,
            is_probed: false,
            noop_ns: u64::MAX,
            due_ns: u64::MAX,
        };
        let packets = session.packets(outbox.take());
        session.due_ns = session.engine_due_ns;
        self.polls.due.insert((session.due_ns, key));
        self.polls.polling += 1;
        let is_settled = session.engine.is_settled();
        self.polls.sessions.insert(key, Entry { name, session: Some(Box::new(session)) });
        if !is_settled {
            self.polls.unconnected.add(key);
            self.end_surplus();
        }
        packets
    }

    /// Ends the oldest unconnected sessions while there are more than the limit allows.
    fn end_surplus(&mut self) {
        while let Some(key) = self.polls.unconnected.pop_surplus() {
            if is_unconnected(&self.polls.sessions, key) {
                self.end(key, End::Evicted);
            }
        }
        self.polls.unconnected.prune(|&key| is_unconnected(&self.polls.sessions, key));
    }

    /// Registers a POST. While another POST of the session is under way, the session ends, and the result is `false`.
    pub fn begin_post(&mut self, key: Key, connection: u64) -> bool {
        let Some(session) = self.polls.polling(key) else {
            return true;
        };
        let is_other = session.posting.is_some_and(|other| other != connection);
        session.posting = Some(connection);
        if is_other {
            self.end(key, End::Protocol);
        }
        !is_other
    }

    /// Handles the whole body of a POST. If a packet breaks the protocol, the session ends, and the result is `false`.
    pub fn post(&mut self, key: Key, form: Form, body: &[u8], now_ns: u64) -> bool {
        self.polls.abandon_post(key);
        let act = |engine: &mut Engine, host: &mut Host, reply: &mut Reply<'_>| {
            for item in decode_payload(engine.version(), form, body) {
                match item {
                    Ok(item) => engine.item(&item, host, reply),
                    Err(error) => reply.fail_protocol(&error),
                }
                if reply.end.is_some() {
                    break;
                }
            }
        };
        self.with(key, now_ns, act) != Some(End::Protocol)
    }

    /// Handles a connection that closed before its poll or POST was answered. The session ends, because packets may be lost.
    pub fn connection_lost(&mut self, key: Key, connection: u64) {
        let Some(session) = self.polls.polling(key) else {
            return;
        };
        let polled = session.poll.is_some_and(|poll| poll.connection == connection);
        if polled {
            session.poll = None;
        }
        if polled || session.posting == Some(connection) {
            self.end(key, End::Gone);
        }
    }

    /// Takes the session's engine and its waiting packets for the WebSocket `connection`, which has probed the session.
    pub fn upgrade(&mut self, key: Key, connection: u64) -> Option<(Engine, Vec<Item<'static>>)> {
        if self.polls.polling(key)?.probe != Some(connection) {
            return None;
        }
        let mut session = self.polls.take(key)?;
        if let Some(to) = session.poll.take() {
            let packets = session.packets(vec![Item::Text(NOOP.into())]);
            self.polls.deliveries.push(Delivery { to, packets });
        }
        let items = session.outbox.take();
        Some((session.engine, items))
    }

    /// Calls the sessions whose deadline has passed.
    pub fn run_due(&mut self, now_ns: u64) {
        while let Some(&(due_ns, key)) = self.polls.due.first()
            && due_ns <= now_ns
        {
            let Some(session) = self.polls.polling(key) else {
                self.polls.due.pop_first();
                continue;
            };
            if session.noop_ns <= now_ns {
                session.noop_ns = u64::MAX;
                if session.poll.is_some() {
                    session.outbox.push_text(NOOP);
                    self.polls.held_bytes += NOOP.len();
                    self.polls.changed.push(key);
                }
                self.polls.reschedule(key);
            } else {
                self.with(key, now_ns, Engine::deadline);
            }
        }
    }

    /// Starts the drain: ends every session whose poll waits now, and the others at their next poll.
    pub fn begin_drain(&mut self) {
        self.polls.is_draining = true;
        for key in self.polls.keys() {
            self.end_if_draining(key);
        }
    }

    /// If the gate drains, ends a session whose poll waits and whose handshake is over.
    pub fn end_if_draining(&mut self, key: Key) {
        let is_draining = self.polls.is_draining;
        let is_due = |session: &mut PollingSession| session.poll.is_some() && session.engine.is_settled();
        if is_draining && self.polls.polling(key).is_some_and(is_due) {
            self.end(key, End::Shutdown);
        }
    }

    /// Ends all polling sessions, because the gate stops.
    pub fn end_all(&mut self) {
        for key in self.polls.keys() {
            self.end(key, End::Shutdown);
        }
    }

    /// Ends a session: answers its waiting poll and closes its probe.
    pub fn end(&mut self, key: Key, why: End) {
        let Some(mut session) = self.polls.take(key) else {
            return;
        };
        self.polls.sessions.remove(&key);
        if let Some(to) = session.poll.take() {
            // A client that has sent a close packet needs no other.
            session.outbox.push_text(match why {
                End::Client => NOOP,
                _ => CLOSE,
            });
            let items = session.outbox.take();
            let packets = session.packets(items);
            self.polls.deliveries.push(Delivery { to, packets });
        }
        self.polls.probes_to_close.extend(session.probe);
        session.engine.ended(why, &mut self.host);
    }

    /// Calls a session's engine and stores its answer for the next poll; returns the session's end, if it ended.
    fn with(&mut self, key: Key, now_ns: u64, act: impl FnOnce(&mut Engine, &mut Host, &mut Reply<'_>)) -> Option<End> {
        let session = self.polls.sessions.get_mut(&key)?.session.as_deref_mut()?;
        let mut out = Vec::new();
        let before_bytes = session.outbox.bytes();
        let mut reply = Reply::polling(&mut out, &mut session.outbox, now_ns);
        let was_settled = session.engine.is_settled();
        act(&mut session.engine, &mut self.host, &mut reply);
        let (deadline_ns, ended) = (reply.deadline_ns, reply.end);
        session.engine_due_ns = deadline_ns.unwrap_or(session.engine_due_ns);
        self.polls.held_bytes += session.outbox.bytes();
        self.polls.held_bytes -= before_bytes;
        if !was_settled && session.engine.is_settled() {
            self.polls.unconnected.done();
        }
        self.polls.reschedule(key);
        self.polls.changed.push(key);
        if let Some(why) = ended {
            self.end(key, why);
        }
        if self.polls.held_bytes > self.polls.held_bytes_max {
            self.relieve_memory();
        }
        ended
    }

    /// Ends the sessions that hold the most bytes until an eighth of the limit is free, so that peers must send as much
    /// before all sessions are scanned again.
    fn relieve_memory(&mut self) {
        let enough_bytes = self.polls.held_bytes_max - self.polls.held_bytes_max / 8;
        let sessions = self.polls.sessions.iter();
        let mut held: Vec<(usize, Key)> =
            sessions.filter_map(|(&key, entry)| Some((entry.session.as_ref()?.outbox.bytes(), key))).collect();
        held.sort_unstable_by(|one, other| other.cmp(one));
        for (_, key) in held {
            if self.polls.held_bytes <= enough_bytes {
                break;
            }
            self.end(key, End::MemoryPressure);
        }
    }
}
