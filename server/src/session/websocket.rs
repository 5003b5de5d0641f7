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
    /// When the peer's last bytes were received, in milliseconds of the shard's clock. They wrap around after 49 days,
    /// which is longer than any silence between two pings.
    received_ms: u32,
    /// The session's user, to be released at the end.
    pub user: UserId,
    until: Until,
    /// A ping was sent, and no bytes were received since.
    pong_due: bool,
}

impl WebSocket {
    /// A session for `user`; the 101 is already in `reply`.
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

    /// The buffered bytes of an incomplete message.
    pub fn kept_bytes(&self) -> usize {
        self.frames.unfinished_bytes()
    }

    /// Handles the frames at the front of `input`; returns how many bytes they have.
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

    /// Pings a silent peer; closes after a missing pong, or when the token has expired.
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
        let silence_max = interval + host.settings.ping_timeout;
        let next = if !self.pong_due && silent < interval {
            interval - silent
        } else if !self.pong_due {
            write_frame(reply.out, OpCode::Ping, &[], None);
            self.pong_due = true;
            host.settings.ping_timeout
        } else if silent < silence_max {
            silence_max - silent
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
            (App::Echo, &text[..], &["T:gr\u{fc}n"][..], None, "text is sent back"),
            (App::Echo, &binary, &["B:\x01\x02"], None, "binary is sent back"),
            (App::Idle, &text, &[], None, "idle sends nothing"),
            (App::Idle, &ping, &["Q:hi"], None, "a ping is answered by every application"),
            (App::Echo, &pong, &[], None, "a pong is not answered"),
            (App::Echo, &close, &["C:1001"], client, "a close is answered with its code"),
            (App::Echo, &bare_close, &["C:0"], client, "a close without a code is answered without one"),
            (App::Echo, &after_close, &["C:1001"], client, "frames after a close are ignored"),
            (App::Echo, unmasked, &["C:1002"], broken, "clients must mask (section 5.1)"),
            (App::Echo, &not_utf8, &["C:1007"], broken, "text must be UTF-8"),
            (App::Echo, &long, &["C:1009"], Some(End::TooLong), "a message above the limit"),
        ] {
            check(app, input, answers, end, why);
        }
    }

    #[test]
    fn expired_token_closes_the_socket_at_exp() {
        const S: u64 = 1_000_000_000;
        let mut host = host(App::Idle);
        let user = host.admit(token("ann", Some(NOW_S + 30)).as_bytes());
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, 100 * S);
        let mut session = WebSocket::open(user.unwrap(), &mut host, &mut reply);
        assert_eq!(reply.deadline_ns, Some(125 * S), "the ping is due before exp");
        for (at_s, clock_s, answers, deadline_s, end, why) in [
            (125, 25, &["P:"][..], Some(130), None, "exp is before the pong's deadline"),
            (130, 29, &[], Some(131), None, "the clock was set back by a second"),
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
    fn silent_peer_is_pinged_then_closed() {
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
                Some(mut input) => drop(session.received(&mut input, &mut host, &mut reply)),
                None => session.deadline(&mut host, &mut reply),
            }
            let (deadline_ns, end) = (reply.deadline_ns, reply.end);
            (sent_frames(out), deadline_ns.map(|ns| ns / S), end)
        };
        let pong = || Some(frame(OpCode::Pong, b""));
        let text = || Some(frame(OpCode::Text, b"a"));
        for (now_s, input, answers, deadline_s, end, why) in [
            (10, text(), &[][..], None, None, "input leaves the deadline unchanged"),
            (25, None, &[], Some(35), None, "25 s after the input no ping is due yet"),
            (35, None, &["P:"], Some(55), None, "a ping, then 20 s for its pong"),
            (36, pong(), &[], None, None, "the pong"),
            (55, None, &[], Some(61), None, "no timeout, because a pong was received"),
            (61, None, &["P:"], Some(81), None, "the next ping"),
            (81, None, &["C:1000"], None, Some(End::PingTimeout), "no pong was received"),
        ] {
            let (sent, deadline, ended) = at(now_s * S, input);
            assert_eq!(sent, answers, "{why}");
            assert_eq!((deadline, ended), (deadline_s, end), "{why}");
        }
    }
}
