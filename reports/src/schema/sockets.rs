//! What became of the sockets, beside the arrivals that opened them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sockets over the whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Sockets {
    /// Established ones that the target ended before their time.
    pub dropped: u64,
    /// The same by how they ended, most frequent first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drops: Vec<Drop>,
    /// TLS handshakes that were completed; absent without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_handshakes: Option<u64>,
    /// Those of them that took up an earlier session (RFC 8446 section 2.2); absent without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_resumed: Option<u64>,
}

/// How often the target ended established sockets in one way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drop {
    /// `closed-<code>` (RFC 6455 section 7.4; 1006: without a close frame), `reset`, or the name of a
    /// [`Failure`](crate::schema::Failure).
    pub kind: String,
    /// Sockets.
    pub count: u64,
    /// How the first of them ended, in the words of the target or the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
}
