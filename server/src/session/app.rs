//! Small applications behind the gate, for load tests and conformance tests.

use std::fmt;

use wire::socketio::{Kind, Packet};

/// The application behind the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum App {
    /// Holds sockets and sends nothing.
    Idle,
    /// Sends back messages and events, and their arguments where an acknowledgement is requested.
    Echo,
    /// Answers as the test suites of engine.io-protocol and socket.io-protocol expect.
    Conformance,
}

/// The path at which [`App::Conformance`] echoes Engine.IO's own messages.
pub const ENGINEIO_ECHO_PATH: &str = "/engine.io/";
/// The second namespace of [`App::Conformance`].
const CUSTOM_NAMESPACE: &str = "/custom";

/// The event that all applications acknowledge with the user's name or `null`.
const WHOAMI_EVENT: &str = "whoami";

impl App {
    /// Whether a raw message is sent back.
    pub fn echoes(self) -> bool {
        self != App::Idle
    }

    /// The index, from 0 to 7, of the application's namespace `name`, if it exists. A query after the name, as clients of
    /// Socket.IO 4 send it, is ignored.
    pub fn namespace(self, name: &str) -> Option<u8> {
        match name.split('?').next() {
            Some("/") => Some(0),
            Some(CUSTOM_NAMESPACE) if self == App::Conformance => Some(1),
            _ => None,
        }
    }

    /// Writes the event that answers a connect packet with `payload` to `data`; `false` if there is none.
    pub fn greet(self, payload: &str, data: &mut String) -> bool {
        data.clear();
        if self != App::Conformance {
            return false;
        }
        data.extend([r#"["auth","#, if payload.is_empty() { "{}" } else { payload }, "]"]);
        true
    }

    /// The answer to a Socket.IO event, if there is one. An event with an acknowledgement id is only acknowledged. `data`
    /// is overwritten; the answer may borrow from it.
    pub fn answer<'a>(self, event: &Packet<'a>, user: Option<&str>, data: &'a mut String) -> Option<Packet<'a>> {
        data.clear();
        if event.id.is_some() && event.event_name().as_deref() == Some(WHOAMI_EVENT) {
            // Serialising a string or null cannot fail; null would still be a valid answer.
            data.extend(["[", &serde_json::to_string(&user).unwrap_or_else(|_| "null".into()), "]"]);
            return Some(Packet { kind: Kind::Ack, attachments: 0, data, ..*event });
        }
        let name = event.event_name();
        let has_id = event.id.is_some();
        match (self, name.as_deref()) {
            (App::Echo, _) if has_id => {}
            (App::Echo, _) => return Some(*event),
            (App::Conformance, Some("message-with-ack")) if has_id => {}
            (App::Conformance, Some("message")) => {
                let arguments = arguments(event.data);
                let comma = if arguments.is_empty() { "" } else { "," };
                data.extend([r#"["message-back""#, comma, arguments, "]"]);
                return Some(Packet { id: None, data, ..*event });
            }
            (App::Idle | App::Conformance, _) => return None,
        }
        data.extend(["[", arguments(event.data), "]"]);
        let kind = match event.kind {
            Kind::BinaryEvent => Kind::BinaryAck,
            _ => Kind::Ack,
        };
        Some(Packet { kind, data, ..*event })
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

/// The arguments within an event's JSON array: the text between the comma after the name and the closing bracket.
///
/// Decoding has checked that `data` is a JSON array whose first element is a string or a number. For any other text the
/// result is a part of it.
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
        let (suite, suite_back) =
            (r#"2/custom,["message",1,"2",{"3":[true]}]"#, r#"2/custom,["message-back",1,"2",{"3":[true]}]"#);
        let placeholder = r#"{"_placeholder":true,"num":0}]"#;
        let [binary, binary_ack, attached, attached_back] =
            [r#"51-7["a","#, "61-7[", r#"51-["message","#, r#"51-["message-back","#]
                .map(|packet| format!("{packet}{placeholder}"));
        for (app, event, answer, why) in [
            (App::Echo, r#"2["a",1]"#, Some(r#"2["a",1]"#), "an event is sent back"),
            (App::Echo, r#"27["a",1,[2]]"#, Some("37[1,[2]]"), "an acknowledgement has the arguments"),
            (App::Echo, r#"27["a"]"#, Some("37[]"), "no arguments"),
            (App::Echo, r#"27["a,\",",1]"#, Some("37[1]"), "a comma and a quote within the name"),
            (App::Echo, r#"27[ "a" , 1 ]"#, Some("37[ 1 ]"), "JSON with white space"),
            (App::Echo, &binary, Some(&*binary_ack), "binary arguments are acknowledged in binary"),
            (App::Echo, r#"21["whoami"]"#, whoami, "the user's name"),
            (App::Idle, r#"21["whoami"]"#, whoami, "the user's name, in every application"),
            (App::Echo, r#"2["whoami"]"#, Some(r#"2["whoami"]"#), "without an id it is an ordinary event"),
            (App::Conformance, suite, Some(suite_back), "the suite's message"),
            (App::Conformance, r#"2["message"]"#, Some(r#"2["message-back"]"#), "a message without arguments"),
            (App::Conformance, &attached, Some(&attached_back), "a message with an attachment"),
            (App::Conformance, r#"2456["message-with-ack",1,"2"]"#, Some(r#"3456[1,"2"]"#), "an acknowledgement"),
            (App::Conformance, r#"27["other",1]"#, None, "any other event"),
            (App::Idle, r#"2["a",1]"#, None, "idle sends nothing"),
            (App::Idle, r#"27["a",1]"#, None, "idle acknowledges nothing"),
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
