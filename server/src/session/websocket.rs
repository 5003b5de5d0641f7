//! A raw WebSocket behind the gate (RFC 6455): messages to the application, pings, the closing handshake.

use std::time::Duration;

use wire::frame::{Decoder, Message, OpCode, Side, write_close, write_frame};

use crate::metrics::End;
use crate::session::close_code;
use crate::session::expiry::{AuthenticatedUser, Until};
use crate::session::host::Host;
use crate::session::reply::Reply;
use crate::session::users::UserId;

/// An authenticated raw WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    frames: Decoder,
    /// When the peer's last bytes came, in milliseconds of the shard's clock: they wrap around after 49 days, which is
    /// more than any silence between two pings.
    received_ms: u32,
    user: UserId,
    until: Until,
    /// A ping was sent, and no bytes came since.
    pong_due: bool,
}

impl WebSocket {
    /// A session for `user`, which it releases at its end; the 101 is already in `reply`.
    pub fn open(user: AuthenticatedUser, host: &mut Host, reply: &mut Reply<'_>) -> Self {
        let ends_ns = host.instant_ns(user.until, reply.now_ns);
        reply.deadline_ns = Some(reply.after(host.settings.ping_interval).min(ends_ns));
        Self {
            frames: Decoder::new(Side::Client, host.settings.message_bytes_max),
            received_ms: wrapping_ms(reply.now_ns),
            user: user.user,
            until: user.until,
            pong_due: false,
        }
    }

    /// The bytes that it keeps of an incomplete message.
    pub fn kept_bytes(&self) -> usize {
        self.frames.unfinished_bytes()
    }

    /// The session's user.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Takes the frames at the front of `input`; returns how many bytes they were.
    pub fn received(&mut self, input: &mut [u8], host: &mut Host, reply: &mut Reply<'_>) -> usize {
        self.received_ms = wrapping_ms(reply.now_ns);
        self.pong_due = false;
        let mut used = 0;
        while reply.end.is_none() {
            let step = match self.frames.next(&mut input[used..]) {
                Ok(Some(step)) => step,
                Ok(None) => break,
                Err(error) => {
                    reply.fail_framing(&error);
                    return input.len();
                }
            };
            used += step.used;
            if let Some(message) = step.message {
                answer(message, host, reply);
            }
        }
        used
    }

    /// Pings a silent peer, closes on a missing pong, or closes on an expired token.
    pub fn deadline(&mut self, host: &mut Host, reply: &mut Reply<'_>) {
        let ends_ns = host.instant_ns(self.until, reply.now_ns);
        if ends_ns <= reply.now_ns {
            write_close(reply.out, close_code::UNAUTHORIZED, "token expired", None);
            reply.end = Some(End::Expired);
            return;
        }
        let silent_ms = wrapping_ms(reply.now_ns).wrapping_sub(self.received_ms);
        let silent = Duration::from_millis(silent_ms.into());
        let interval = host.settings.ping_interval;
        // A ping is sent no sooner than it is due.
        let patience = interval + host.settings.ping_timeout;
        let next = if !self.pong_due && silent < interval {
            interval - silent
        } else if !self.pong_due {
            write_frame(reply.out, OpCode::Ping, &[], None);
            self.pong_due = true;
            host.settings.ping_timeout
        } else if silent < patience {
            patience - silent
        } else {
            write_close(reply.out, close_code::NORMAL, "ping timeout", None);
            reply.end = Some(End::PingTimeout);
            return;
        };
        reply.deadline_ns = Some(reply.after(next).min(ends_ns));
    }
}

fn wrapping_ms(ns: u64) -> u32 {
    (ns / 1_000_000) as u32
}

fn answer(message: Message<'_>, host: &mut Host, reply: &mut Reply<'_>) {
    let (opcode, payload) = match &message {
        Message::Text(text) => (OpCode::Text, text.as_bytes()),
        Message::Binary(bytes) => (OpCode::Binary, &bytes[..]),
        Message::Ping(payload) => return write_frame(reply.out, OpCode::Pong, payload, None),
        Message::Pong(_) => return,
        Message::Close { code, .. } => return reply.answer_close(*code),
    };
    host.metrics.messages_received.add(1);
    if host.settings.app.echoes() {
        write_frame(reply.out, opcode, payload, None);
        host.metrics.messages_sent.add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::app::App;
    use crate::session::testing::{NOW_S, frame, host, sent_frames, token};

    fn check(app: App, input: &[u8], answers: &[&str], end: Option<End>, why: &str) {
        let mut host = host(app);
        // The result is the same wherever the input is cut.
        for cut in 0..=input.len() {
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, 0);
            let mut session = WebSocket::open(AuthenticatedUser::ANONYMOUS, &mut host, &mut reply);
            let mut held = Vec::new();
            for part in [&input[..cut], &input[cut..]] {
                held.extend_from_slice(part);
                let used = session.received(&mut held, &mut host, &mut reply);
                held.drain(..used);
            }
            assert_eq!(reply.end, end, "{why}, cut at {cut}");
            assert_eq!(sent_frames(out), answers, "{why}, cut at {cut}");
        }
    }

    #[test]
    fn frames_are_answered() {
        let text = frame(OpCode::Text, "gr\u{fc}n".as_bytes());
        let binary = frame(OpCode::Binary, b"\x01\x02");
        let ping = frame(OpCode::Ping, b"hi");
        let pong = frame(OpCode::Pong, b"hi");
        let close = frame(OpCode::Close, &[0x03, 0xe9]);
        let bare_close = frame(OpCode::Close, &[]);
        let after_close = [&close[..], &text].concat();
        let unmasked = b"\x81\x01a";
        let not_utf8 = frame(OpCode::Text, b"\xff");
        let long = frame(OpCode::Binary, &[0; 1001]);
        let (client, broken) = (Some(End::Client), Some(End::Protocol));
        for (app, input, answers, end, why) in [
            (App::Echo, &text[..], &["T:gr\u{fc}n"][..], None, "text comes back"),
            (App::Echo, &binary, &["B:\x01\x02"], None, "binary comes back"),
            (App::Idle, &text, &[], None, "idle sends nothing"),
            (App::Idle, &ping, &["Q:hi"], None, "a ping is answered by every application"),
            (App::Echo, &pong, &[], None, "a pong is not"),
            (App::Echo, &close, &["C:1001"], client, "a close is answered with its code"),
            (App::Echo, &bare_close, &["C:0"], client, "or without one"),
            (App::Echo, &after_close, &["C:1001"], client, "nothing counts after a close"),
            (App::Echo, unmasked, &["C:1002"], broken, "clients mask (section 5.1)"),
            (App::Echo, &not_utf8, &["C:1007"], broken, "text is UTF-8"),
            (App::Echo, &long, &["C:1009"], Some(End::TooLong), "above the limit"),
        ] {
            check(app, input, answers, end, why);
        }
    }

    #[test]
    fn a_socket_ends_with_its_token() {
        const S: u64 = 1_000_000_000;
        let mut host = host(App::Idle);
        let user = host.admit(token("ann", Some(NOW_S + 30)).as_bytes());
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, 100 * S);
        let mut session = WebSocket::open(user.unwrap(), &mut host, &mut reply);
        assert_eq!(reply.deadline_ns, Some(125 * S), "the ping comes before");
        for (at_s, clock_s, answers, deadline_s, end, why) in [
            (125, 25, &["P:"][..], Some(130), None, "then the end, before the pong"),
            (130, 29, &[], Some(131), None, "unless the clock was set back"),
            (131, 30, &["C:4401"], None, Some(End::Expired), "expired"),
        ] {
            let mut out = Vec::new();
            host.unix_ns = (NOW_S + clock_s) * S;
            let mut reply = Reply::new(&mut out, at_s * S);
            session.deadline(&mut host, &mut reply);
            let (deadline_ns, ended) = (reply.deadline_ns, reply.end);
            assert_eq!(sent_frames(out), answers, "{why}");
            assert_eq!((deadline_ns.map(|ns| ns / S), ended), (deadline_s, end), "{why}");
        }
    }

    #[test]
    fn a_silent_peer_is_pinged_then_closed() {
        const S: u64 = 1_000_000_000;
        let mut host = host(App::Idle);
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, 0);
        let mut session = WebSocket::open(AuthenticatedUser::ANONYMOUS, &mut host, &mut reply);
        assert_eq!(reply.deadline_ns, Some(25 * S));

        let mut at = |now_ns, input: Option<Vec<u8>>| {
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, now_ns);
            match input {
                Some(mut input) => {
                    session.received(&mut input, &mut host, &mut reply);
                }
                None => session.deadline(&mut host, &mut reply),
            }
            let (deadline_ns, end) = (reply.deadline_ns, reply.end);
            (sent_frames(out), deadline_ns.map(|ns| ns / S), end)
        };
        let pong = || Some(frame(OpCode::Pong, b""));
        let text = || Some(frame(OpCode::Text, b"a"));
        for (now_s, input, answers, deadline_s, end, why) in [
            (10, text(), &[][..], None, None, "the deadline stays where it is"),
            (25, None, &[], Some(35), None, "received at 10 s: not silent for long enough"),
            (35, None, &["P:"], Some(55), None, "a ping, and the time for its pong"),
            (36, pong(), &[], None, None, "received again"),
            (55, None, &[], Some(61), None, "so no timeout"),
            (61, None, &["P:"], Some(81), None, "the next ping"),
            (81, None, &["C:1000"], None, Some(End::PingTimeout), "closed"),
        ] {
            let (sent, deadline, ended) = at(now_s * S, input);
            assert_eq!(sent, answers, "{why}");
            assert_eq!((deadline, ended), (deadline_s, end), "{why}");
        }
    }
}
