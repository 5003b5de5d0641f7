//! The closed sets of a result: whatever names an outcome, a phase, a kind of token or a verdict is one of these.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An enum without fields whose variants each have one name, which is its form in JSON as well.
macro_rules! closed_set {
    ($(#[$about:meta])* $set:ident { $($(#[$meaning:meta])* $member:ident = $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $set {
            $($(#[$meaning])* #[serde(rename = $name)] $member,)+
        }

        impl $set {
            /// Every member, in the order in which results show them.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$member),+];

            /// Its name in a result.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$member => $name,)+
                }
            }

            /// The member of this name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|member| member.as_str() == name)
            }
        }

        impl fmt::Display for $set {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.pad(self.as_str())
            }
        }
    };
}

closed_set! {
    /// How an arrival ended. Every planned arrival ends in exactly one of these.
    Outcome {
        /// Accepted, as its token deserves.
        Established = "established",
        /// Refused, as its token deserves.
        RefusedExpected = "refused_expected",
        /// Accepted although its token should have been refused.
        FalseAccept = "false_accept",
        /// Refused although its token should have been accepted.
        FalseReject = "false_reject",
        /// Not decided in time.
        Timeout = "timeout",
        /// Broken before it was decided; a failure names the phase and the kind.
        Failed = "failed",
        /// Not decided yet when the run was stopped.
        Interrupted = "interrupted",
        /// Due, but never begun: the generator or its machine could not.
        NotSent = "not_sent",
    }
}

closed_set! {
    /// A part of an arrival, in the order in which they happen; each has a duration of its own.
    Phase {
        /// A user's login at the frontend, before the first arrival.
        Login = "login",
        /// The HTTP request that fetches a token.
        Token = "token",
        /// From the start of the connection until TCP is established.
        Connect = "connect",
        /// From TCP until the TLS handshake is done.
        Tls = "tls",
        /// From the upgrade request until its 101 (RFC 6455 section 4). Of a session that began by polling: from the
        /// start of its WebSocket's connection until the session has moved there.
        Upgrade = "upgrade",
        /// From the 101 until Engine.IO's open packet; by polling from the first request.
        Open = "open",
        /// One request of Engine.IO's polling transport that the server answers at once: those of the handshake, and
        /// every POST except the closing one. An idle long poll is not timed.
        Poll = "poll",
        /// From the open packet until the Socket.IO namespace is connected. A raw WebSocket has no such packet: its
        /// failures after the 101 are counted here, its duration is not.
        Auth = "auth",
    }
}

closed_set! {
    /// The kind of token that an arrival shows, which decides how it should end.
    ///
    /// Each invalid kind has one fault alone: a target that overlooks it accepts the token.
    TokenKind {
        /// As the issuer made it, and in force.
        Valid = "valid",
        /// Signed by the issuer's key, its `exp` long past (RFC 7519 section 4.1.4).
        Expired = "expired",
        /// Signed by the issuer's key, its `nbf` far ahead (RFC 7519 section 4.1.5).
        NotYetValid = "not-yet-valid",
        /// The issuer's signature under other claims.
        Forged = "forged",
        /// Well made, but signed by a key of the attacker's own.
        WrongKey = "wrong-key",
        /// `"alg":"none"` and no signature (RFC 8725 section 2.1).
        AlgNone = "alg-none",
        /// An HMAC whose secret is the target's public key (RFC 8725 section 2.1).
        AlgConfused = "alg-confused",
        /// Signed by the attacker's key, which its `kid` names.
        UnknownKid = "unknown-kid",
        /// No JWT at all.
        Garbage = "garbage",
        /// A forged token that is longer than any real one.
        Oversized = "oversized",
        /// No token.
        Missing = "missing",
        /// A token that another arrival was accepted with.
        Replayed = "replayed",
    }
}

closed_set! {
    /// What a target should do with a token.
    Expected {
        /// Accept it.
        Accept = "accept",
        /// Refuse it.
        Refuse = "refuse",
    }
}

closed_set! {
    /// A verdict in one word.
    VerdictName {
        /// Every threshold holds.
        Pass = "pass",
        /// A token was accepted that should have been refused.
        FalseAccept = "false_accept",
        /// Stopped by a signal.
        Interrupted = "interrupted",
        /// The target is no server of the kind that was asked for.
        Configuration = "configuration",
        /// The target refuses every valid token for one reason.
        TokensRefused = "tokens_refused",
        /// The target checks no token in the handshake.
        TokenNotChecked = "token_not_checked",
        /// The figures do not measure the server.
        Invalid = "invalid",
        /// A threshold does not hold.
        Threshold = "threshold",
        /// Nothing was decided.
        NoVerdict = "no_verdict",
    }
}

impl TokenKind {
    /// What a target should do with it, unless the scenario says otherwise.
    pub fn usually(self) -> Expected {
        match self {
            Self::Valid | Self::Replayed => Expected::Accept,
            _ => Expected::Refuse,
        }
    }
}

impl Expected {
    /// The outcome of an arrival whose token the target refused.
    pub fn when_refused(self) -> Outcome {
        match self {
            Self::Accept => Outcome::FalseReject,
            Self::Refuse => Outcome::RefusedExpected,
        }
    }

    /// The outcome of an arrival whose token the target accepted.
    pub fn when_accepted(self) -> Outcome {
        match self {
            Self::Accept => Outcome::Established,
            Self::Refuse => Outcome::FalseAccept,
        }
    }
}

/// The name of something whose latencies a result shows, in the order in which an arrival meets them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PhaseName {
    /// A part of an arrival.
    Part(Phase),
    /// `step.NAME`: one request of a login that the scenario describes.
    Step(String),
    /// `handshake`: from the start of the connection to the authenticated socket.
    Handshake,
    /// `echo`: a message and its answer.
    Echo,
}

impl PhaseName {
    /// Every name but those of steps, in the order in which an arrival meets them.
    pub const ALL: [Self; 10] = [
        Self::Part(Phase::Login),
        Self::Part(Phase::Token),
        Self::Part(Phase::Connect),
        Self::Part(Phase::Tls),
        Self::Part(Phase::Upgrade),
        Self::Part(Phase::Open),
        Self::Part(Phase::Poll),
        Self::Part(Phase::Auth),
        Self::Handshake,
        Self::Echo,
    ];

    /// The phase of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "handshake" => Some(Self::Handshake),
            "echo" => Some(Self::Echo),
            part_or_step => Phase::named(part_or_step)
                .map(Self::Part)
                .or_else(|| part_or_step.strip_prefix("step.").map(|step| Self::Step(step.to_owned()))),
        }
    }
}

impl fmt::Display for PhaseName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part(phase) => out.write_str(phase.as_str()),
            Self::Step(step) => write!(out, "step.{step}"),
            Self::Handshake => out.write_str("handshake"),
            Self::Echo => out.write_str("echo"),
        }
    }
}

impl From<Phase> for PhaseName {
    fn from(phase: Phase) -> Self {
        Self::Part(phase)
    }
}

impl Serialize for PhaseName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PhaseName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        Self::named(&name).ok_or_else(|| de::Error::custom(format_args!("{name:?} is not the name of a phase")))
    }
}

impl JsonSchema for PhaseName {
    fn schema_name() -> Cow<'static, str> {
        "PhaseName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = Self::ALL.map(|name| name.to_string()).join("|");
        json_schema!({
            "description": "The name of a phase, in the order in which an arrival meets them, or `step.NAME`.",
            "type": "string",
            "pattern": format!("^({names}|step\\..*)$"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_member() {
        fn check<T: PartialEq + fmt::Debug + fmt::Display>(all: &[T], named: fn(&str) -> Option<T>) {
            for member in all {
                assert_eq!(named(&member.to_string()).as_ref(), Some(member));
            }
            assert_eq!(named("unknown"), None);
        }
        check(&Outcome::ALL, Outcome::named);
        check(&Phase::ALL, Phase::named);
        check(&TokenKind::ALL, TokenKind::named);
        check(&Expected::ALL, Expected::named);
        check(&VerdictName::ALL, VerdictName::named);
        check(&PhaseName::ALL, PhaseName::named);
        check(&[PhaseName::Step("sign in".to_owned())], PhaseName::named);
    }

    #[test]
    fn every_set_is_listed_in_its_own_order() {
        assert!(Outcome::ALL.is_sorted() && Phase::ALL.is_sorted());
        assert!(TokenKind::ALL.is_sorted() && PhaseName::ALL.is_sorted());
    }

    #[test]
    fn unknown_names_are_no_result() {
        for (json, read) in [
            (r#""step.form""#, Some(PhaseName::Step("form".to_owned()))),
            (r#""connect""#, Some(PhaseName::Part(Phase::Connect))),
            (r#""conect""#, None),
        ] {
            assert_eq!(serde_json::from_str::<PhaseName>(json).ok(), read, "{json}");
        }
        assert!(serde_json::from_str::<Outcome>(r#""lost""#).is_err());
    }
}
