//! Engine.IO packets: text, binary, polling payloads, and the JSON of the open packet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::engineio::{
    Form, Open, Packet, Version, decode_binary, decode_payload, encode_binary, encode_payload,
};

fuzz_target!(|input: &[u8]| {
    for version in [Version::V3, Version::V4] {
        if let Ok(payload) = decode_binary(version, input) {
            let mut written = Vec::new();
            encode_binary(version, payload, &mut written);
            assert_eq!(written, input);
        }
        for form in [Form::Text, Form::Binary] {
            let read: Result<Vec<_>, _> = decode_payload(version, form, input).collect();
            if let Ok(items) = read {
                let mut written = Vec::new();
                let form = encode_payload(version, &items, form, &mut written);
                let again: Result<Vec<_>, _> = decode_payload(version, form, &written).collect();
                assert_eq!(again, Ok(items));
            }
        }
    }
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(packet) = Packet::decode(text) else {
        return;
    };
    let mut written = Vec::new();
    packet.encode(&mut written);
    assert_eq!(
        Packet::decode(std::str::from_utf8(&written).unwrap()),
        Ok(packet)
    );
    if let Packet::Open(json) = packet
        && let Ok(open) = Open::decode(json)
    {
        written.clear();
        open.encode(&mut written);
        assert_eq!(
            Open::decode(std::str::from_utf8(&written).unwrap()),
            Ok(open)
        );
    }
});
