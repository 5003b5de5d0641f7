//! The rows that every renderer shows: chosen, ordered and formatted once.

mod asked;
mod facts;
mod latency;
mod words;

pub use asked::scenario_facts;
pub use facts::{
    Fact, environment_facts, generator_facts, headline, message_facts, server_facts, socket_facts, token_facts,
};
pub use latency::{LatencyRow, TARGET_HEADS, View, handshake_row, kind_rows, latency_rows, target_row};
pub use words::{observed, outcome_label, started, verdict_title};
