//! Small applications behind the gate, to load and to test against.

use std::fmt;
use wire::socketio::{Kind, Packet};

/// The application behind the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum App {
    /// Holds sockets and sends nothing.
    Idle,
    /// Sends back messages and events, and their arguments where an acknowledgement is requested.
    Echo,
    /// What the test suites of engine.io-protocol and socket.io-protocol expect of a server.
    Conformance,
}

/// Where [`App::Conformance`] echoes Engine.IO's own messages.
pub const ENGINEIO_ECHO_PATH: &str = "/engine.io/";
/// The namespace that [`App::Conformance`] has beside the root.
const CUSTOM_NAMESPACE: &str = "/custom";

/// The event that all applications answer, through its acknowledgement, with the user's name or `null`.
pub const WHOAMI_EVENT: &str = "whoami";

impl App {
    /// Does a raw message come back to its sender?
    pub fn echoes(self) -> bool {
        self != App::Idle
    }

    /// The index, from 0 to 7, of a namespace of the application; `None` where it has no such one. A name of
    /// Socket.IO 4 may carry a query, which belongs to no name.
    pub fn namespace(self, name: &str) -> Option<u8> {
        match name.split('?').next() {
            Some("/") => Some(0),
            Some(CUSTOM_NAMESPACE) if self == App::Conformance => Some(1),
            _ => None,
        }
    }

    /// Writes the event that follows a connect packet with `payload`, if there is one, to `data`.
    pub fn greet(self, payload: &str, data: &mut String) -> bool {
        data.clear();
        if self != App::Conformance {
            return false;
        }
        data.push_str(r#"["auth","#);
        data.push_str(match payload {
            "" => "{}",
            payload => payload,
        });
        data.push(']');
        true
    }

    /// The answer to a Socket.IO event; `None` when there is none.
    ///
    /// An event with an acknowledgement id is answered by that acknowledgement alone. `data` is scratch
    /// that the answer may borrow from.
    pub fn answer<'a>(self, event: &Packet<'a>, user: Option<&str>, data: &'a mut String) -> Option<Packet<'a>> {
        data.clear();
        if event.id.is_some() && event.event_name().as_deref() == Some(WHOAMI_EVENT) {
            data.push('[');
            push_json_string_or_null(data, user);
            data.push(']');
            return Some(Packet { kind: Kind::Ack, attachments: 0, data, ..*event });
        }
        let name = event.event_name();
        let has_id = event.id.is_some();
        match (self, name.as_deref()) {
            (App::Echo, _) if has_id => {}
            (App::Echo, _) => return Some(*event),
            (App::Conformance, Some("message-with-ack")) if has_id => {}
            (App::Conformance, Some("message")) => {
                return Some(message_back(event, data));
            }
            (App::Idle | App::Conformance, _) => return None,
        }
        data.push('[');
        data.push_str(arguments(event.data));
        data.push(']');
        Some(Packet {
            kind: match event.kind {
                Kind::BinaryEvent => Kind::BinaryAck,
                _ => Kind::Ack,
            },
            data,
            ..*event
        })
    }
}

impl fmt::Display for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            App::Idle => "idle",
            App::Echo => "echo",
            App::Conformance => "conformance",
        })
    }
}

/// The same arguments under another name.
fn message_back<'a>(event: &Packet<'a>, data: &'a mut String) -> Packet<'a> {
    data.push_str(r#"["message-back""#);
    let arguments = arguments(event.data);
    if !arguments.is_empty() {
        data.push(',');
        data.push_str(arguments);
    }
    data.push(']');
    Packet { id: None, data, ..*event }
}

fn push_json_string_or_null(out: &mut String, text: Option<&str>) {
    // Serialising a string or null into a string cannot fail; were it to, null would be honest.
    out.push_str(&serde_json::to_string(&text).unwrap_or_else(|_| "null".into()));
}

/// The arguments within an event's JSON array: the text between its name's comma and its closing bracket.
///
/// `data` is a JSON array whose first element is a string or a number, which decoding has checked; on
/// anything else the answer is some slice of it, never a panic.
fn arguments(data: &str) -> &str {
    let inside = data.trim().trim_start_matches('[');
    let inside = inside.strip_suffix(']').unwrap_or(inside);
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' if !in_string => return &inside[at + 1..],
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(app: App, event: &str, answer: Option<&str>, why: &str) {
        let event = Packet::decode(event).unwrap();
        let mut data = String::new();
        let answered = app.answer(&event, Some("go \"n\" zalo"), &mut data);
        let answered = answered.map(|packet| {
            let mut out = Vec::new();
            packet.encode(&mut out);
            String::from_utf8(out).unwrap()
        });
        assert_eq!(answered.as_deref(), answer, "{why}");
    }

    #[test]
    fn events_are_answered() {
        let whoami = Some(r#"31["go \"n\" zalo"]"#);
        for (app, event, answer, why) in [
            (App::Echo, r#"2["a",1]"#, Some(r#"2["a",1]"#), "an event comes back"),
            (App::Echo, r#"27["a",1,[2]]"#, Some("37[1,[2]]"), "its acknowledgement has the arguments"),
            (App::Echo, r#"27["a"]"#, Some("37[]"), "no arguments"),
            (App::Echo, r#"27["a,\",",1]"#, Some("37[1]"), "a comma and a quote within the name"),
            (App::Echo, r#"27[ "a" , 1 ]"#, Some("37[ 1 ]"), "white space is JSON too"),
            (
                App::Echo,
                r#"51-7["a",{"_placeholder":true,"num":0}]"#,
                Some(r#"61-7[{"_placeholder":true,"num":0}]"#),
                "binary arguments are acknowledged in binary",
            ),
            (App::Echo, r#"21["whoami"]"#, whoami, "the user's name"),
            (App::Idle, r#"21["whoami"]"#, whoami, "in every application"),
            (App::Echo, r#"2["whoami"]"#, Some(r#"2["whoami"]"#), "nowhere to answer: an event"),
            (
                App::Conformance,
                r#"2/custom,["message",1,"2",{"3":[true]}]"#,
                Some(r#"2/custom,["message-back",1,"2",{"3":[true]}]"#),
                "the suite's message",
            ),
            (App::Conformance, r#"2["message"]"#, Some(r#"2["message-back"]"#), "without arguments"),
            (
                App::Conformance,
                r#"51-["message",{"_placeholder":true,"num":0}]"#,
                Some(r#"51-["message-back",{"_placeholder":true,"num":0}]"#),
                "with an attachment",
            ),
            (
                App::Conformance,
                r#"2456["message-with-ack",1,"2"]"#,
                Some(r#"3456[1,"2"]"#),
                "the suite's acknowledgement",
            ),
            (App::Conformance, r#"27["other",1]"#, None, "it knows no other event"),
            (App::Idle, r#"2["a",1]"#, None, "idle sends nothing"),
            (App::Idle, r#"27["a",1]"#, None, "and acknowledges nothing"),
        ] {
            check(app, event, answer, why);
        }
    }

    #[test]
    fn whoami_without_a_user_is_null() {
        let event = Packet::decode(r#"20["whoami"]"#).unwrap();
        let mut data = String::new();
        let answer = App::Idle.answer(&event, None, &mut data).unwrap();
        assert_eq!(answer.data, "[null]");
    }
}
