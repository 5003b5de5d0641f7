//! Socket.IO packets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::socketio::{ATTACHMENTS_MAX, Packet};

fuzz_target!(|text: &str| {
    let Ok(packet) = Packet::decode(text) else {
        return;
    };
    assert!(packet.attachments <= ATTACHMENTS_MAX);
    assert!(packet.namespace.starts_with('/'));
    let _ = packet.event_name();
    let mut written = Vec::new();
    packet.encode(&mut written);
    let written = String::from_utf8(written).unwrap();
    assert_eq!(Packet::decode(&written), Ok(packet));
});
