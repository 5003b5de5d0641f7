//! Every framing rule of RFC 6455 as a row: the bytes, the messages or the error, the section.

use wire::frame::{Decoder, Message, ProtocolError, Side};

const LIMIT: u32 = 200_000;

/// Feeds frames (byte strings of whole frames, one after the other) and lists the messages.
fn decode(from: Side, frames: &[u8]) -> Result<Vec<Message<'static>>, ProtocolError> {
    let mut decoder = Decoder::new(from, LIMIT);
    let mut buf = frames.to_vec();
    let mut messages = Vec::new();
    let mut start = 0;
    while let Some(step) = decoder.next(&mut buf[start..])? {
        start += step.used;
        messages.extend(step.message.map(kept));
    }
    assert_eq!(start, frames.len(), "nothing is left over");
    Ok(messages)
}

fn kept(message: Message<'_>) -> Message<'static> {
    match message {
        Message::Text(text) => Message::Text(text.into_owned().into()),
        Message::Binary(bytes) => Message::Binary(bytes.into_owned().into()),
        Message::Ping(bytes) => Message::Ping(bytes.to_vec().leak()),
        Message::Pong(bytes) => Message::Pong(bytes.to_vec().leak()),
        Message::Close { code, reason } => Message::Close { code, reason: reason.to_owned().leak() },
    }
}

fn message(text: &str) -> Message<'_> {
    Message::Text(text.into())
}

fn closed(code: Option<u16>, reason: &str) -> Message<'_> {
    Message::Close { code, reason }
}

#[test]
fn valid_frames_of_a_server_are_decoded() {
    let long = [&[0x82, 127, 0, 0, 0, 0, 0, 3, 0x0d, 0x40][..], &[7; 200_000]].concat();
    for (frames, expected, why) in [
        (&b"\x81\x05Hello"[..], &[message("Hello")][..], "section 5.7: text"),
        (b"\x01\x03Hel\x80\x02lo", &[message("Hello")], "section 5.7: fragments"),
        (b"\x89\x05Hello\x8a\0", &[Message::Ping(b"Hello"), Message::Pong(b"")], "control"),
        (
            b"\x01\x03Hel\x89\0\x80\x02lo",
            &[Message::Ping(b""), message("Hello")],
            "section 5.4: control frames come between fragments",
        ),
        (b"\x81\0", &[message("")], "empty text"),
        (b"\x01\0\0\0\x80\0", &[message("")], "empty fragments"),
        (b"\x02\x01\xff\x80\x01\xfe", &[Message::Binary(b"\xff\xfe"[..].into())], "binary"),
        (b"\x01\x01\xe2\x80\x02\x82\xac", &[message("\u{20ac}")], "a character cut in two"),
        (&long, &[Message::Binary(long[10..].into())], "as long as allowed"),
        (b"\x88\0", &[closed(None, "")], "a close without a code"),
        (b"\x88\x02\x03\xe8", &[closed(Some(1000), "")], "without a reason"),
        (b"\x88\x05\x0b\xb8bye", &[closed(Some(3000), "bye")], "with a reason"),
    ] {
        assert_eq!(decode(Side::Server, frames).as_deref(), Ok(expected), "{why}");
    }
}

#[test]
fn invalid_frames_of_a_server_are_refused() {
    let too_long = ProtocolError::TooLong { limit: LIMIT };
    for (frames, expected, code, why) in [
        (&b"\xc1\0"[..], ProtocolError::Reserved, 1002, "5.2: RSV1 without an extension"),
        (b"\xa1\0", ProtocolError::Reserved, 1002, "5.2: RSV2"),
        (b"\x91\0", ProtocolError::Reserved, 1002, "5.2: RSV3"),
        (b"\x83\0", ProtocolError::UnknownOpcode(3), 1002, "5.2: reserved for data"),
        (b"\x8b\0", ProtocolError::UnknownOpcode(11), 1002, "5.2: reserved for control"),
        (b"\x81\x80\0\0\0\0", ProtocolError::Masked, 1002, "5.1: servers do not mask"),
        (b"\x09\0", ProtocolError::FragmentedControl, 1002, "5.5: a ping is one frame"),
        (b"\x08\0", ProtocolError::FragmentedControl, 1002, "5.5: so is a close"),
        (b"\x89\x7e\0\x7e", ProtocolError::LongControl, 1002, "5.5: 126 bytes"),
        (b"\x81\x7e\0\x7d", ProtocolError::LengthNotMinimal, 1002, "5.2: 125 in two bytes"),
        (b"\x81\x7f\0\0\0\0\0\0\xff\xff", ProtocolError::LengthNotMinimal, 1002, "5.2: 65535 in eight bytes"),
        (b"\x80\0", ProtocolError::NoMessageToContinue, 1002, "5.4: nothing was started"),
        (b"\x81\x01a\x80\0", ProtocolError::NoMessageToContinue, 1002, "5.4: it was finished"),
        (b"\x01\x01a\x81\x01b", ProtocolError::MessageUnfinished, 1002, "5.4: no mixing"),
        (b"\x81\x7f\0\0\0\0\0\x03\x0d\x41", too_long, 1009, "one byte above the limit"),
        (b"\x81\x7f\x80\0\0\0\0\0\0\0", too_long, 1009, "5.2: the highest bit"),
        (b"\x02\x01a\x80\x7f\0\0\0\0\0\x03\x0d\x40", too_long, 1009, "the fragments together"),
        (b"\x81\x01\xff", ProtocolError::NotUtf8, 1007, "8.1: no such byte"),
        (b"\x81\x03\xed\xa0\x80", ProtocolError::NotUtf8, 1007, "8.1: a surrogate"),
        (b"\x81\x01\xe2", ProtocolError::NotUtf8, 1007, "8.1: a character cut short"),
        (b"\x01\x01\xff", ProtocolError::NotUtf8, 1007, "8.1: no need to await the rest"),
        (b"\x01\x01\xe2\x80\x01a", ProtocolError::NotUtf8, 1007, "8.1: the rest is wrong"),
        (b"\x01\x01\xe2\x80\0", ProtocolError::NotUtf8, 1007, "8.1: the rest is missing"),
        (b"\x88\x01\x03", ProtocolError::CloseCutShort, 1002, "5.5.1: half a code"),
        (b"\x88\x03\x03\xe8\xff", ProtocolError::NotUtf8, 1007, "5.5.1: the reason is text"),
        (b"\x88\x02\x03\xe7", ProtocolError::BadClose(999), 1002, "7.4.2: never used"),
        (b"\x88\x02\x03\xec", ProtocolError::BadClose(1004), 1002, "7.4.1: no meaning"),
        (b"\x88\x02\x03\xed", ProtocolError::BadClose(1005), 1002, "7.4.1: never sent"),
        (b"\x88\x02\x03\xee", ProtocolError::BadClose(1006), 1002, "7.4.1: never sent"),
        (b"\x88\x02\x03\xf7", ProtocolError::BadClose(1015), 1002, "7.4.1: never sent"),
        (b"\x88\x02\x0b\xb7", ProtocolError::BadClose(2999), 1002, "7.4.2: reserved"),
        (b"\x88\x02\x13\x88", ProtocolError::BadClose(5000), 1002, "7.4.2: never used"),
    ] {
        let error = decode(Side::Server, frames).expect_err(why);
        assert_eq!((error, error.close_code()), (expected, code), "{why}");
    }
}

#[test]
fn frames_of_a_client_must_be_masked() {
    let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(decode(Side::Client, masked), Ok(vec![message("Hello")]), "section 5.7");
    let bare = decode(Side::Client, b"\x81\x05Hello");
    assert_eq!(bare, Err(ProtocolError::Unmasked), "section 5.1");
}

#[test]
fn incomplete_frame_is_not_changed() {
    let whole = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    let mut decoder = Decoder::new(Side::Client, LIMIT);
    for cut in 0..whole.len() {
        let mut part = whole[..cut].to_vec();
        assert_eq!(decoder.next(&mut part), Ok(None), "{cut} bytes");
        assert_eq!(part, whole[..cut], "not unmasked twice");
    }
}

#[test]
fn invalid_utf8_is_refused_while_the_frame_arrives() {
    // 100,000 bytes are announced; the mask 1 2 3 4 begins anew with each frame.
    let masked = |head: &[u8], payload: &[u8]| {
        let key = [1, 2, 3, 4];
        let payload = payload.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b);
        [head, &key].concat().into_iter().chain(payload).collect::<Vec<_>>()
    };
    let long = &[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0x86, 0xa0][..];
    let fragment = &[0x01, 0xff, 0, 0, 0, 0, 0, 1, 0x86, 0xa0][..];
    let rest = &[0x80, 0xfe, 0x03, 0xe8][..];
    let binary = &[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0x86, 0xa0][..];
    for (before, head, payload, is_text, why) in [
        (&b""[..], long, &b"gr\xc3\xbcn"[..], true, "so far it is text"),
        (b"", long, b"gr\xc3", true, "a character is cut"),
        (b"", long, b"gr\xc3n", false, "it does not go on like this"),
        (b"", long, b"\xff", false, "no character begins so"),
        (b"", long, b"\xed\xa0", false, "half a pair of UTF-16"),
        (b"", fragment, b"a\xff", false, "in a fragment"),
        (b"a\xe2\x82", rest, b"\xac", true, "cut between fragments"),
        (b"a\xe2\x82", rest, b"a", false, "the character is not completed"),
        (b"", binary, b"\xff", true, "binary may be anything"),
    ] {
        let mut decoder = Decoder::new(Side::Client, LIMIT);
        if !before.is_empty() {
            let mut first = masked(&[0x01, 0x80 | before.len() as u8], before);
            assert_eq!(decoder.next(&mut first).unwrap().unwrap().message, None);
        }
        let whole = masked(head, payload);
        for arrived in 0..=whole.len() {
            let mut front = whole[..arrived].to_vec();
            let fails = arrived == whole.len() && !is_text;
            let answer = match fails {
                true => Err(ProtocolError::NotUtf8),
                false => Ok(None),
            };
            assert_eq!(decoder.next(&mut front), answer, "{why}, {arrived} bytes");
            assert_eq!(front, whole[..arrived], "{why}: nothing is changed");
        }
    }
}
