//! Packets as npm's socket.io-parser and engine.io-parser read and write them, over thousands of generated cases.
//!
//! Packets that the gate accepts are read alike. [`ours_alone`] lists those that only the gate refuses.

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};
use wire::{
    engineio::{self, Form, Item, PacketError, Version, decode_payload, encode_payload},
    socketio::{Kind, Packet},
};

use super::Peers;

const SCRIPT: &str = "node/parsers.js";
/// Cases of each kind.
const CASES: usize = 2_000;
/// The reference implementation's limit on attachments, which is below the gate's.
const THEIR_ATTACHMENTS_MAX: u32 = 10;

/// The same cases in every run.
fn generate<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>) -> Vec<T> {
    let mut runner = TestRunner::deterministic();
    (0..CASES).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

fn from_base64(text: &Value) -> Vec<u8> {
    base64_simd::STANDARD.decode_to_vec(text.as_str().unwrap()).unwrap()
}

/// JSON that Rust and JavaScript write alike: no fractions, no keys that look like numbers.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn socketio_packet() -> impl Strategy<Value = (u64, String, Option<u32>, Value)> {
    let event =
        ("[a-z\"\\\\\u{20ac}]{1,6}x", prop::collection::vec(value(), 0..3)).prop_map(|(name, mut arguments)| {
            arguments.insert(0, name.into());
            Value::from(arguments)
        });
    let kind = prop_oneof![
        event.prop_map(|data| (2, data)),
        prop::collection::vec(value(), 0..3).prop_map(|data| (3, Value::from(data))),
        Just((0, json!({"token": "a"}))),
        Just((1, Value::Null)),
        Just((4, json!({"message": "no"}))),
    ];
    (kind, "(/[a-z]{1,6})?", any::<u32>(), any::<bool>()).prop_map(|((kind, data), namespace, id, has_id)| {
        let id = (kind == 3 || (kind == 2 && has_id)).then_some(id);
        let namespace = if namespace.is_empty() { "/".into() } else { namespace };
        (kind, namespace, id, data)
    })
}

#[tokio::test]
async fn socketio_packets_are_encoded_as_by_others() {
    let Some(peers) = Peers::find() else { return };
    let cases = generate(socketio_packet());
    for version in [3, 4] {
        let asks: Vec<_> = cases
            .iter()
            .map(|(kind, namespace, id, data)| {
                let data = (!data.is_null()).then_some(data);
                let packet = json!({"type": kind, "nsp": namespace, "id": id, "data": data});
                json!({"ask": "write", "version": version, "packet": packet})
            })
            .collect();
        for (case, answer) in cases.iter().zip(peers.ask(SCRIPT, &[], &asks).await) {
            let theirs = answer["text"].as_str().unwrap_or_else(|| panic!("{case:?}: {answer}"));
            let packet = Packet::decode(theirs).unwrap_or_else(|error| panic!("{theirs}: {error}"));
            let (kind, namespace, id, data) = case;
            assert_eq!(u64::from(digit(packet.kind)), *kind, "{theirs}");
            assert_eq!((packet.namespace, packet.id), (&**namespace, id.map(u64::from)), "{theirs}");
            let read = serde_json::from_str::<Value>(packet.data).unwrap_or_default();
            assert_eq!(read, *data, "{theirs}");
            let mut ours = Vec::new();
            packet.encode(&mut ours);
            assert_eq!(ours, theirs.as_bytes(), "{theirs}");
        }
    }
}

fn digit(kind: Kind) -> u8 {
    match kind {
        Kind::Connect => 0,
        Kind::Disconnect => 1,
        Kind::Event => 2,
        Kind::Ack => 3,
        Kind::ConnectError => 4,
        Kind::BinaryEvent => 5,
        Kind::BinaryAck => 6,
    }
}

/// Text that resembles a packet.
fn socketio_text() -> impl Strategy<Value = String> {
    let data = prop_oneof![
        Just(String::new()),
        Just("[\"a\"]".to_owned()),
        Just("[1,{\"b\":null}]".to_owned()),
        Just("{\"a\":[]}".to_owned()),
        Just("\"a\"".to_owned()),
        "[\\[\\]{}\",a1]{0,6}",
    ];
    ("[0-7]", "([0-9]{0,2}-)?", "(/[a-c]{0,2},?)?", "[0-9]{0,3}", data)
        .prop_map(|(kind, attachments, namespace, id, data)| format!("{kind}{attachments}{namespace}{id}{data}"))
}

/// Whether the gate rightly refuses a packet that the other parsers accept.
fn ours_alone(error: &PacketError, theirs: &Value) -> bool {
    match error {
        // An id beyond their integers cannot be answered.
        PacketError::BadId => theirs["id"].is_null(),
        // They accept an event or an acknowledgement without data; version 2 accepts any data of a connect or disconnect.
        PacketError::BadData(_) => {
            theirs["data"].is_null() || [0, 1].map(Value::from).contains(&theirs["type"]) || !theirs["data"].is_array()
        }
        _ => false,
    }
}

/// Whether the gate rightly accepts a packet that the other parsers refuse.
fn theirs_alone(packet: &Packet<'_>) -> bool {
    let is_binary = matches!(packet.kind, Kind::BinaryEvent | Kind::BinaryAck);
    let attachments_fit = (1..=THEIR_ATTACHMENTS_MAX).contains(&packet.attachments);
    // A binary packet without an attachment, or with more than ten.
    (is_binary && !attachments_fit)
        // A refusal may be any JSON by the page of version 4 of the protocol; they allow a string or an object.
        || packet.kind == Kind::ConnectError
}

#[tokio::test]
async fn socketio_packets_are_decoded_as_by_others() {
    let Some(peers) = Peers::find() else { return };
    let texts = generate(socketio_text());
    for version in [3, 4] {
        let asks: Vec<_> = texts.iter().map(|text| json!({"ask": "read", "version": version, "text": text})).collect();
        let mut both = 0;
        for (text, theirs) in texts.iter().zip(peers.ask(SCRIPT, &[], &asks).await) {
            let they_refuse = theirs.get("error").is_some();
            match Packet::decode(text) {
                Err(error) => assert!(
                    they_refuse || ours_alone(&error, &theirs),
                    "{version}: {text}: {error} here, {theirs} there"
                ),
                Ok(packet) if they_refuse => {
                    assert!(theirs_alone(&packet), "{version}: {text}: {theirs}");
                }
                Ok(packet) => {
                    both += 1;
                    assert_eq!(theirs["type"], digit(packet.kind), "{text}");
                    assert_eq!(theirs["nsp"], packet.namespace, "{text}");
                    assert_eq!(theirs["id"].as_u64(), packet.id, "{text}");
                    let attachments = theirs["attachments"].as_u64().unwrap_or_default();
                    assert_eq!(attachments, u64::from(packet.attachments), "{text}");
                    let data = serde_json::from_str::<Value>(packet.data).unwrap_or_default();
                    assert_eq!(theirs["data"], data, "{text}");
                }
            }
        }
        assert!(both > CASES / 20, "only {both} of the texts are packets");
    }
}

fn item() -> impl Strategy<Value = Item<'static>> {
    prop_oneof![
        2 => "[0-6][^\u{1e}\u{fffd}]{0,10}".prop_map(|text| Item::Text(text.into())),
        1 => any::<Vec<u8>>().prop_map(|bytes| Item::Binary(bytes.into())),
    ]
}

fn received(item: &Item<'_>) -> Value {
    match item {
        Item::Text(text) => json!({"text": text}),
        Item::Binary(bytes) => json!({"bytes": base64(bytes)}),
    }
}

#[tokio::test]
async fn payloads_are_encoded_and_decoded_as_by_others() {
    let Some(peers) = Peers::find() else { return };
    let cases = generate((prop::collection::vec(item(), 1..5), any::<bool>(), any::<bool>()));
    let mut asks = Vec::new();
    for (items, is_v3, reads_bytes) in &cases {
        let (version, allowed) = forms(*is_v3, *reads_bytes);
        let packets: Vec<_> = items.iter().map(received).collect();
        let binary = allowed == Form::Binary;
        let number = version.number();
        asks.push(json!({"ask": "pack", "version": number, "packets": packets, "binary": binary}));
        let mut ours = Vec::new();
        let form = encode_payload(version, items, allowed, &mut ours);
        let binary = form == Form::Binary;
        asks.push(json!({"ask": "unpack", "version": number, "body": base64(&ours), "binary": binary}));
    }
    let answers = peers.ask(SCRIPT, &[], &asks).await;
    for ((items, is_v3, reads_bytes), theirs) in cases.iter().zip(answers.chunks(2)) {
        let (version, allowed) = forms(*is_v3, *reads_bytes);
        let [packed, unpacked] = theirs else { unreachable!("two for each") };
        let mut ours = Vec::new();
        let form = encode_payload(version, items, allowed, &mut ours);
        assert_eq!(from_base64(&packed["body"]), ours, "{items:?}");
        assert_eq!(packed["binary"], form == Form::Binary, "{items:?}");
        let packets: Vec<_> = items.iter().map(received).collect();
        assert_eq!(unpacked["packets"], Value::from(packets), "{items:?}");
    }
}

fn forms(is_v3: bool, reads_bytes: bool) -> (Version, Form) {
    let version = if is_v3 { Version::V3 } else { Version::V4 };
    let allowed = if reads_bytes { Form::Binary } else { Form::Text };
    (version, allowed)
}

#[tokio::test]
async fn invalid_payloads_are_refused_as_by_others() {
    let Some(peers) = Peers::find() else { return };
    let bodies = generate("([0-9]{0,2}:?[0-7b]?4?[a-zA=\u{20ac}\u{1e}]{0,4}){0,4}");
    for version in [Version::V3, Version::V4] {
        let asks: Vec<_> = bodies
            .iter()
            .map(|body| {
                let body = base64(body.as_bytes());
                json!({"ask": "unpack", "version": version.number(), "body": body, "binary": false})
            })
            .collect();
        for (body, theirs) in bodies.iter().zip(peers.ask(SCRIPT, &[], &asks).await) {
            match unpack(version, body) {
                Ok(items) => {
                    let packets: Vec<_> = items.iter().map(received).collect();
                    assert_eq!(theirs["packets"], Value::from(packets), "{version:?}: {body}");
                }
                // They read base64 as far as it goes, pass over a packet of no length, and take a binary ping.
                Err(PacketError::NotBase64 | PacketError::Empty) => {}
                Err(PacketError::UnknownType(b'0'..=b'6')) => {}
                Err(error) => {
                    assert!(theirs.get("error").is_some(), "{version:?}: {body:?}: {error} here, {theirs} there")
                }
            }
        }
    }
}

/// Every packet of a payload, each with a type that there is.
fn unpack(version: Version, body: &str) -> Result<Vec<Item<'_>>, PacketError> {
    let items: Vec<_> = decode_payload(version, Form::Text, body.as_bytes()).collect::<Result<_, _>>()?;
    for item in &items {
        if let Item::Text(text) = item {
            engineio::Packet::decode(text)?;
        }
    }
    Ok(items)
}
