//! What became of the sockets, beside the arrivals that opened them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sockets over the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Sockets {
    /// Established ones that the target ended before their time.
    pub dropped: u64,
    /// TLS handshakes that were completed; absent without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_handshakes: Option<u64>,
    /// Those of them that took up an earlier session (RFC 8446 section 2.2); absent without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_resumed: Option<u64>,
}
