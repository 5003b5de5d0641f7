//! Engine.IO and Socket.IO packets: what is written is read back, and any text gives a result.

use proptest::prelude::*;
use wire::engineio::{
    self, Form, Item, Open, PreparedOpen, Version, decode_binary, decode_payload, encode_binary, encode_payload,
};
use wire::socketio::{self, ATTACHMENTS_MAX, Kind};

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![
        Kind::Connect,
        Kind::Disconnect,
        Kind::Event,
        Kind::Ack,
        Kind::ConnectError,
        Kind::BinaryEvent,
        Kind::BinaryAck,
    ])
}

/// JSON that a packet of this kind may carry; names are any text, so that some need their escapes.
fn data(kind: Kind) -> BoxedStrategy<String> {
    let json = |value: serde_json::Value| value.to_string();
    match kind {
        Kind::Disconnect => Just(String::new()).boxed(),
        Kind::Connect | Kind::ConnectError => prop_oneof![
            Just(String::new()),
            any::<String>().prop_map(move |text| json(serde_json::json!({ "token": text }))),
        ]
        .boxed(),
        Kind::Event | Kind::BinaryEvent => (any::<String>(), any::<i64>())
            .prop_map(move |(name, value)| json(serde_json::json!([name, value])))
            .boxed(),
        Kind::Ack | Kind::BinaryAck => {
            prop::collection::vec(any::<String>(), 0..4).prop_map(move |values| json(serde_json::json!(values))).boxed()
        }
    }
}

proptest! {
    #[test]
    fn a_socketio_packet_is_read_back(
        (kind, data) in kind().prop_flat_map(|kind| (Just(kind), data(kind))),
        attachments in 0..=ATTACHMENTS_MAX,
        namespace in "/([a-z?=&%/]{1,12})?",
        id in any::<Option<u64>>(),
        ack_id in any::<u64>(),
    ) {
        let is_ack = matches!(kind, Kind::Ack | Kind::BinaryAck);
        let is_binary = matches!(kind, Kind::BinaryEvent | Kind::BinaryAck);
        let packet = socketio::Packet {
            kind,
            attachments: if is_binary { attachments } else { 0 },
            namespace: &namespace,
            id: if is_ack { Some(ack_id) } else { id },
            data: &data,
        };
        let mut out = Vec::new();
        packet.encode(&mut out);
        let text = String::from_utf8(out).unwrap();
        prop_assert_eq!(socketio::Packet::decode(&text), Ok(packet), "{}", text);
    }

    #[test]
    fn event_name_is_unescaped_like_json(name in any::<String>()) {
        let text = format!("2{}", serde_json::json!([name, 1]));
        let packet = socketio::Packet::decode(&text).unwrap();
        let read = packet.event_name();
        prop_assert_eq!(read.as_deref(), Some(name.as_str()));
    }

    /// Text near enough to a packet to get past its first characters.
    #[test]
    fn any_socketio_text_gives_a_result(
        text in prop_oneof![any::<String>(), "[0-7][0-9-]{0,3}(/[a-c,]{0,3})?[0-9]{0,2}[\\[\\]{}\", a1]{0,8}"],
    ) {
        if let Ok(packet) = socketio::Packet::decode(&text) {
            let _ = packet.event_name();
            let mut out = Vec::new();
            packet.encode(&mut out);
            let again = String::from_utf8(out).unwrap();
            prop_assert_eq!(socketio::Packet::decode(&again), Ok(packet), "{}", text);
        }
    }

    #[test]
    fn an_engineio_packet_is_read_back(kind in 0..7, data in any::<String>()) {
        let packet = match kind {
            0 => engineio::Packet::Open(&data),
            1 => engineio::Packet::Close,
            2 => engineio::Packet::Ping(&data),
            3 => engineio::Packet::Pong(&data),
            4 => engineio::Packet::Message(&data),
            5 => engineio::Packet::Upgrade,
            _ => engineio::Packet::Noop,
        };
        let mut out = Vec::new();
        packet.encode(&mut out);
        let text = String::from_utf8(out).unwrap();
        prop_assert_eq!(engineio::Packet::decode(&text), Ok(packet));
    }

    #[test]
    fn a_binary_message_is_read_back(v3 in any::<bool>(), payload in any::<Vec<u8>>()) {
        let version = if v3 { Version::V3 } else { Version::V4 };
        let mut out = Vec::new();
        encode_binary(version, &payload, &mut out);
        prop_assert_eq!(decode_binary(version, &out), Ok(payload.as_slice()));
        let _ = decode_binary(version, &payload);
    }

    #[test]
    fn the_open_packet_is_read_back(
        sid in ".{1,20}",
        upgrades in any::<Vec<String>>(),
        ping_interval_ms in any::<u32>(),
        ping_timeout_ms in any::<u32>(),
        max_payload_bytes in any::<Option<u64>>(),
    ) {
        let open = Open { sid, upgrades, ping_interval_ms, ping_timeout_ms, max_payload_bytes };
        let mut out = Vec::new();
        open.encode(&mut out);
        prop_assert_eq!(Open::decode(std::str::from_utf8(&out).unwrap()), Ok(open));
    }

    #[test]
    fn prepared_open_packet_equals_the_plain_one(
        sid in "[A-Za-z0-9_-]{0,30}",
        upgrades in any::<Vec<String>>(),
        max_payload_bytes in any::<Option<u64>>(),
    ) {
        let open = Open { sid, upgrades, ping_interval_ms: 25_000, ping_timeout_ms: 20_000, max_payload_bytes };
        let (mut plain, mut prepared) = (Vec::new(), Vec::new());
        open.encode(&mut plain);
        PreparedOpen::new(&open).encode(&open.sid, &mut prepared);
        prop_assert_eq!(prepared, plain);
    }

    #[test]
    fn any_engineio_text_gives_a_result(text in any::<String>()) {
        let _ = engineio::Packet::decode(&text);
        let _ = Open::decode(&text);
    }

    #[test]
    fn a_payload_is_read_back(
        items in prop::collection::vec(item(), 1..6),
        v3 in any::<bool>(),
        binary in any::<bool>(),
    ) {
        let version = if v3 { Version::V3 } else { Version::V4 };
        let allowed = if binary { Form::Binary } else { Form::Text };
        let mut out = Vec::new();
        let form = encode_payload(version, &items, allowed, &mut out);
        let read: Result<Vec<_>, _> = decode_payload(version, form, &out).collect();
        prop_assert_eq!(read, Ok(items));
    }

    /// Bytes near enough to a payload to get past their first length.
    #[test]
    fn any_payload_gives_a_result(
        body in prop_oneof![
            any::<Vec<u8>>(),
            "([0-9]{0,2}:[0-6b]?[a-z4=\u{20ac}\u{1e}]{0,4}){0,4}".prop_map(String::into_bytes),
            prop::collection::vec(prop::sample::select(vec![0, 1, 2, 4, 255, b'4', b'a']), 0..12),
        ],
    ) {
        for (version, form) in [
            (Version::V4, Form::Text),
            (Version::V4, Form::Binary),
            (Version::V3, Form::Text),
            (Version::V3, Form::Binary),
        ] {
            let packets = decode_payload(version, form, &body).count();
            prop_assert!((1..=body.len() + 1).contains(&packets), "never none, never without end");
        }
    }
}

/// A packet as it may stand in any payload: never empty, without version 4's separator, no text that reads as base64.
fn item() -> impl Strategy<Value = Item<'static>> {
    prop_oneof![
        "[0-6][^\u{1e}]{0,10}".prop_map(|text| Item::Text(text.into())),
        any::<Vec<u8>>().prop_map(|bytes| Item::Binary(bytes.into())),
    ]
}
