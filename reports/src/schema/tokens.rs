//! The life of tokens: requests for them, new ones in place of old ones, and what became of sockets at their end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::Distribution;

/// Tokens over the whole run. The latency of requests for them is the phase `token`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Tokens {
    /// HTTP requests for a token, answered or not; with a token per user those before T0 as well.
    pub requests: u64,
    /// Those of them that brought none.
    pub failures: u64,
    /// Tokens made anew because the one before was about to expire.
    pub refreshed_ahead: u64,
    /// Tokens made anew because the one before was refused.
    pub refreshed_on_refusal: u64,
    /// Arrivals whose first token was refused and that tried once more; the words are among the refusals.
    pub refused_first: u64,
    /// Those of them that were then accepted.
    pub let_in_on_retry: u64,
    /// Sockets that were held until their token's `exp`; absent where that was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_exp: Option<AtExp>,
}

/// What became of sockets that were open at their token's `exp`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AtExp {
    /// Closed by the target within the grace.
    pub closed: u64,
    /// Still open when the grace was over: failures of the kind `open-after-exp`.
    pub open_after: u64,
    /// How long after `exp` they were closed, those that were within the grace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateness: Option<Distribution>,
}
