//! What the gate says to the sockets it let in: small applications to load and to talk to.

use std::fmt;
use wire::socketio::{Kind, Packet};

/// The application behind the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum App {
    /// Holds sockets and says nothing.
    Idle,
    /// Says back what it is told: messages, events, and their arguments to an acknowledgement.
    Echo,
}

/// The event that both applications answer, through its acknowledgement, with the user's name or `null`.
pub const WHOAMI_EVENT: &str = "whoami";

impl App {
    /// Does a raw message come back to its sender?
    pub fn echoes(self) -> bool {
        self == App::Echo
    }

    /// The answer to a Socket.IO event; `None` when there is none.
    ///
    /// An event with an acknowledgement id is answered by that acknowledgement alone. `data` is scratch
    /// that the answer may borrow from.
    pub fn answer<'a>(
        self,
        event: &Packet<'a>,
        user: Option<&str>,
        data: &'a mut String,
    ) -> Option<Packet<'a>> {
        data.clear();
        if event.id.is_some() && event.event_name().as_deref() == Some(WHOAMI_EVENT) {
            data.push('[');
            push_json_string_or_null(data, user);
            data.push(']');
            return Some(Packet {
                kind: Kind::Ack,
                attachments: 0,
                data,
                ..*event
            });
        }
        if !self.echoes() {
            return None;
        }
        if event.id.is_none() {
            return Some(*event);
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
        })
    }
}

fn push_json_string_or_null(out: &mut String, text: Option<&str>) {
    // Serialising a string or null into a string cannot fail; were it to, null would be honest.
    out.push_str(&serde_json::to_string(&text).unwrap_or_else(|_| "null".into()));
}

/// The arguments within an event's JSON array: what stands between its name's comma and its closing bracket.
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
            (
                App::Echo,
                r#"2["a",1]"#,
                Some(r#"2["a",1]"#),
                "an event comes back",
            ),
            (
                App::Echo,
                r#"27["a",1,[2]]"#,
                Some("37[1,[2]]"),
                "its acknowledgement has the arguments",
            ),
            (App::Echo, r#"27["a"]"#, Some("37[]"), "no arguments"),
            (
                App::Echo,
                r#"27["a,\",",1]"#,
                Some("37[1]"),
                "a comma and a quote within the name",
            ),
            (
                App::Echo,
                r#"27[ "a" , 1 ]"#,
                Some("37[ 1 ]"),
                "white space is JSON too",
            ),
            (
                App::Echo,
                r#"51-7["a",{"_placeholder":true,"num":0}]"#,
                Some(r#"61-7[{"_placeholder":true,"num":0}]"#),
                "binary arguments are acknowledged in binary",
            ),
            (App::Echo, r#"21["whoami"]"#, whoami, "the user's name"),
            (App::Idle, r#"21["whoami"]"#, whoami, "in every application"),
            (
                App::Echo,
                r#"2["whoami"]"#,
                Some(r#"2["whoami"]"#),
                "nowhere to answer: an event",
            ),
            (App::Idle, r#"2["a",1]"#, None, "idle says nothing"),
            (App::Idle, r#"27["a",1]"#, None, "nor acknowledges"),
        ] {
            check(app, event, answer, why);
        }
    }

    #[test]
    fn nobody_is_null() {
        let event = Packet::decode(r#"20["whoami"]"#).unwrap();
        let mut data = String::new();
        let answer = App::Idle.answer(&event, None, &mut data).unwrap();
        assert_eq!(answer.data, "[null]");
    }
}
