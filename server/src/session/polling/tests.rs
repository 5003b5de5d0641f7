//! Polling sessions without sockets.

use super::*;
use crate::metrics::End;
use crate::session::app::App;
use crate::session::engine::Opening;
use crate::session::testing::{sessions, token};
use proptest::prelude::*;
use wire::engineio::{Form, Item, Version};

fn waiting(connection: u64) -> WaitingPoll {
    WaitingPoll { connection, keep_alive: true, origin: None, jsonp: None }
}

/// Opens a session and returns its key.
fn session(version: Version, sessions: &mut Sessions) -> Key {
    let verdict = sessions.host.admit(token("ann", None).as_bytes());
    let packets = sessions.open(version, Opening::SocketIo(Some(verdict)), Form::Text, 1_000, 0);
    let [Item::Text(opened), ..] = &packets.items[..] else {
        panic!("{packets:?}");
    };
    let sid = opened.split('"').nth(3).unwrap();
    match sessions.polls.find(sid) {
        Found::Polling(key) => key,
        found => panic!("{sid}: {found:?}"),
    }
}

#[test]
fn table_is_full_until_a_session_ends() {
    let mut sessions = sessions(App::Echo);
    sessions.polls = PollingSessions::new(3, 1, 1, usize::MAX);
    assert!(!sessions.polls.is_full());
    let key = session(Version::V4, &mut sessions);
    assert!(sessions.polls.is_full());
    sessions.end(key, End::Gone);
    assert!(!sessions.polls.is_full());
}

#[test]
fn id_contains_the_shard_and_a_secret() {
    let mut sessions = sessions(App::Echo);
    sessions.polls = PollingSessions::new(3, 9, 9, usize::MAX);
    session(Version::V4, &mut sessions);
    let entry = sessions.polls.sessions.values().next().unwrap();
    let name = entry.name.to_string();
    sessions.polls.shard = 4;
    assert_eq!(sessions.polls.find(&name), Found::OtherShard(3), "another shard");
    sessions.polls.shard = 3;
    let forged = format!("{}AAAA", &name[..20]);
    assert_eq!(sessions.polls.find(&forged), Found::Unknown, "a wrong secret");
    assert_eq!(sessions.polls.find("x"), Found::Unknown, "no id");
}

#[test]
fn sessions_with_the_most_unpolled_bytes_end_first() {
    const HELD_BYTES_MAX: usize = 2000;
    let mut sessions = sessions(App::Echo);
    sessions.polls = PollingSessions::new(0, 9, 9, HELD_BYTES_MAX);
    let keys = [(); 3].map(|()| session(Version::V4, &mut sessions));
    for key in keys {
        assert!(sessions.post(key, Form::Text, b"40", 0));
    }
    for (sender, event_bytes, is_open, why) in [
        (0, 300, [true; 3], "few bytes"),
        (1, 900, [true; 3], "many bytes"),
        (2, 300, [true; 3], "below the limit"),
        (0, 500, [true, false, true], "the session with the most bytes ends, not the last sender"),
        (2, 900, [true, false, false], "the next one ends"),
    ] {
        let event = format!("42[\"{}\"]", "x".repeat(event_bytes));
        sessions.post(keys[sender], Form::Text, event.as_bytes(), 0);
        let found = keys.map(|key| sessions.polls.polling(key).is_some());
        assert_eq!(found, is_open, "{why}");
        assert!(sessions.polls.held_bytes() <= HELD_BYTES_MAX, "{why}");
    }
    sessions.end_all();
    assert_eq!(sessions.polls.held_bytes(), 0);
}

/// Actions of clients on a session; the number is that of the connection.
#[derive(Clone, Debug)]
enum Act {
    Poll(u64),
    BeginPost(u64),
    Post(String),
    Close(u64),
    Probe(u64),
    Probed,
    ProbeEnds(u64),
    Upgrade(u64),
    /// Nanoseconds.
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let body = prop::sample::select(vec!["40", "42[\"a\"]", "3", "1", "41", "x", "6", "bAQID"]);
    prop_oneof![
        (0..3_u64).prop_map(Act::Poll),
        (0..3_u64).prop_map(Act::BeginPost),
        body.prop_map(|body| Act::Post(body.to_owned())),
        (0..3_u64).prop_map(Act::Close),
        (3..5_u64).prop_map(Act::Probe),
        Just(Act::Probed),
        (3..5_u64).prop_map(Act::ProbeEnds),
        (3..5_u64).prop_map(Act::Upgrade),
        (0..40_000_000_000_u64).prop_map(Act::Wait),
    ]
}

proptest! {
    #[test]
    fn no_session_is_left_whatever_clients_do(v3 in any::<bool>(), acts in prop::collection::vec(act(), 0..20)) {
        // So few that some cases exceed it.
        const HELD_BYTES_MAX: usize = 90;
        let mut sessions = sessions(App::Echo);
        sessions.polls = PollingSessions::new(0, 9, 9, HELD_BYTES_MAX);
        let version = if v3 { Version::V3 } else { Version::V4 };
        let key = session(version, &mut sessions);
        let mut now_ns = 0;
        let mut engine = None;
        let mut polls = 0;
        for act in acts {
            match act {
                Act::Poll(connection) => {
                    match sessions.polls.poll(key, waiting(connection), now_ns) {
                        Some(Polled::Waits) => polls += 1,
                        Some(Polled::Overlap) => sessions.end(key, End::Protocol),
                        Some(Polled::Packets(packets)) => prop_assert!(!packets.items.is_empty()),
                        None => {}
                    }
                }
                Act::BeginPost(connection) => drop(sessions.begin_post(key, connection)),
                Act::Post(body) => drop(sessions.post(key, Form::Text, body.as_bytes(), now_ns)),
                Act::Close(connection) => {
                    let waits = sessions.polls.polling(key).and_then(|session| session.poll);
                    if waits.is_some_and(|waiting| waiting.connection == connection) {
                        polls -= 1;
                    }
                    sessions.connection_lost(key, connection);
                }
                Act::Probe(connection) => drop(sessions.polls.probe(key, connection)),
                Act::Probed => sessions.polls.probed(key, now_ns),
                Act::ProbeEnds(connection) => sessions.polls.probe_ended(key, connection),
                Act::Upgrade(connection) => engine = engine.or(sessions.upgrade(key, connection)),
                Act::Wait(ns) => {
                    now_ns += ns;
                    sessions.run_due(now_ns);
                    let next_ns = sessions.polls.next_due_ns().unwrap_or(u64::MAX);
                    prop_assert!(next_ns > now_ns, "every session that was due was called");
                }
            }
            polls -= sessions.polls.deliveries().len();
            let polling = sessions.polls.sessions.values().filter_map(|entry| entry.session.as_ref());
            let held_bytes: usize = polling.map(|session| session.outbox.bytes()).sum();
            prop_assert_eq!(sessions.polls.held_bytes(), held_bytes);
            // A noop is sent at the end of the turn, and may exceed the limit until then.
            prop_assert!(held_bytes <= HELD_BYTES_MAX + 1);
        }
        sessions.end_all();
        polls -= sessions.polls.deliveries().len();
        prop_assert_eq!(polls, 0, "every waiting poll was answered or closed");
        if let Some((engine, _)) = engine {
            engine.ended(End::Gone, &mut sessions.host);
            sessions.polls.forget(key);
        }
        prop_assert!(sessions.host.users.is_empty());
        prop_assert!(sessions.polls.sessions.is_empty());
        prop_assert!(sessions.polls.due.is_empty());
        prop_assert_eq!(sessions.polls.polling, 0);
    }
}
