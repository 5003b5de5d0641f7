//! What happens to a polling session: everything that its engine, and so the whole host, has a part in.

use std::collections::HashMap;

use wire::engineio::{Form, Item, Version, decode_payload};

use crate::session::engineio::{Engine, Opening, broken};
use crate::session::polling::{Delivery, Key, Packets, Polling, Polls, SessionName, Slot};
use crate::session::{End, Host, Outbox, Reply};

/// The packet that ends a poll and says nothing.
const NOOP: &str = "6";

/// Opens a session and gives its first packets. See [`Engine::open`]; `form` is the richest that the client reads.
pub fn open(
    version: Version,
    opening: Opening,
    form: Form,
    connect_by_ns: u64,
    host: &mut Host,
    now_ns: u64,
) -> Packets {
    let key = host.polls.vacant_key();
    let name = SessionName::new(host.polls.shard, key, &mut host.random);
    let mut out = Vec::new();
    let outbox_bytes_max = host.settings.outbox_bytes_max();
    let mut outbox = Outbox::new(outbox_bytes_max);
    let mut reply = Reply::polling(&mut out, &mut outbox, now_ns);
    let sid = name.to_string();
    let engine = Engine::open(version, Some(&sid), opening, connect_by_ns, host, &mut reply).reading(form);
    let mut session = Polling {
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
    host.polls.due.insert((session.due_ns, key));
    host.polls.polling += 1;
    let is_settled = session.engine.is_settled();
    let session = Some(Box::new(session));
    host.polls.sessions.insert(key, Slot { name, session });
    if !is_settled {
        host.polls.unconnected.add(key);
        end_surplus(host);
    }
    packets
}

/// Ends the oldest of the sessions that are not connected while there are too many.
fn end_surplus(host: &mut Host) {
    while let Some(key) = host.polls.unconnected.pop_surplus() {
        if is_unconnected(&host.polls.sessions, key) {
            end(key, End::GaveWay, host);
        }
    }
    let Polls { unconnected, sessions, .. } = &mut host.polls;
    unconnected.prune(|&key| is_unconnected(sessions, key));
}

fn is_unconnected(sessions: &HashMap<Key, Slot>, key: Key) -> bool {
    let session = sessions.get(&key).and_then(|slot| slot.session.as_ref());
    session.is_some_and(|session| !session.engine.is_settled())
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

/// A POST that has begun will not be taken; the session stays.
pub fn break_off_post(key: Key, host: &mut Host) {
    if let Some(session) = host.polls.polling(key) {
        session.posting = None;
    }
}

/// Takes the whole body of a POST. `false`, and the end of the session, where a packet of it breaks the protocol.
pub fn post(key: Key, form: Form, body: &[u8], host: &mut Host, now_ns: u64) -> bool {
    let act = |engine: &mut Engine, host: &mut Host, reply: &mut Reply<'_>| {
        for item in decode_payload(engine.version(), form, body) {
            match item {
                Ok(item) => engine.item(&item, host, reply),
                Err(error) => broken(&error, reply),
            }
            if reply.end.is_some() {
                break;
            }
        }
    };
    break_off_post(key, host);
    with(key, host, now_ns, act) != Some(End::Protocol)
}

/// A connection that polled or posted is gone before its answer: so is the session, whose packets may be lost.
pub fn lost(key: Key, connection: u64, host: &mut Host) {
    let Some(session) = host.polls.polling(key) else {
        return;
    };
    let polled = session.poll.is_some_and(|poll| poll.connection == connection);
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
    host.polls.held_bytes -= session.outbox.bytes();
    if !session.engine.is_settled() {
        host.polls.unconnected.done();
    }
    host.polls.due.remove(&(session.due_ns, key));
    if let Some(to) = session.poll.take() {
        let packets = session.packets(vec![Item::Text(NOOP.into())]);
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
                session.outbox.push_text(NOOP);
                host.polls.held_bytes += NOOP.len();
                host.polls.changed.push(key);
            }
            host.polls.reschedule(key);
        } else {
            with(key, host, now_ns, Engine::deadline);
        }
    }
}

/// The gate goes down: ends every session whose poll waits, and the others when they poll next.
pub fn see_all_off(host: &mut Host) {
    host.polls.goes_down = true;
    let keys: Vec<Key> = host.polls.sessions.keys().copied().collect();
    for key in keys {
        see_off(key, host);
    }
}

/// Ends a session whose poll waits, if the gate goes down and its handshake is over.
pub fn see_off(key: Key, host: &mut Host) {
    let goes_down = host.polls.goes_down;
    let is_due = |session: &mut Polling| session.poll.is_some() && session.engine.is_settled();
    if goes_down && host.polls.polling(key).is_some_and(is_due) {
        end(key, End::Shutdown, host);
    }
}

/// Ends all sessions that poll: nobody is left who could.
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
    host.polls.held_bytes -= session.outbox.bytes();
    if !session.engine.is_settled() {
        host.polls.unconnected.done();
    }
    host.polls.due.remove(&(session.due_ns, key));
    if let Some(to) = session.poll.take() {
        // A client that closes is told that its poll is over, any other that the session is.
        session.outbox.push_text(match why {
            End::Client => NOOP,
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
    host.polls.held_bytes -= session.outbox.bytes();
    let mut reply = Reply::polling(&mut out, &mut session.outbox, now_ns);
    let was_settled = session.engine.is_settled();
    act(&mut session.engine, host, &mut reply);
    if !was_settled && session.engine.is_settled() {
        host.polls.unconnected.done();
    }
    let (deadline_ns, ended) = (reply.deadline_ns, reply.end);
    session.engine_due_ns = deadline_ns.unwrap_or(session.engine_due_ns);
    host.polls.held_bytes += session.outbox.bytes();
    if let Some(slot) = host.polls.sessions.get_mut(&key) {
        slot.session = Some(session);
    }
    host.polls.reschedule(key);
    host.polls.changed.push(key);
    if let Some(why) = ended {
        end(key, why, host);
    }
    if host.polls.held_bytes > host.polls.held_bytes_max {
        end_greediest(host);
    }
    ended
}

/// Ends the sessions for which the most waits, until an eighth of what may wait for all of them is free: so each look at
/// all sessions is worth as many bytes, which somebody had to send.
fn end_greediest(host: &mut Host) {
    let enough_bytes = host.polls.held_bytes_max - host.polls.held_bytes_max / 8;
    let sessions = host.polls.sessions.iter();
    let mut held: Vec<(usize, Key)> =
        sessions.filter_map(|(&key, slot)| Some((slot.session.as_ref()?.outbox.bytes(), key))).collect();
    held.sort_unstable_by(|one, other| other.cmp(one));
    for (_, key) in held {
        if host.polls.held_bytes <= enough_bytes {
            break;
        }
        end(key, End::Greediest, host);
    }
}
