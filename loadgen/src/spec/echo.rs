//! Messages of an established socket.

/// Messages that an established socket sends.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Echo {
    /// Messages per socket; zero: none.
    pub count: u32,
    /// Planned messages per second and socket; `None`: the next follows the answer.
    pub rate_per_s: Option<f64>,
    /// Length of a payload, from [`MESSAGE_BYTES_MIN`] to [`MESSAGE_BYTES_MAX`].
    pub bytes: usize,
    /// The Socket.IO event.
    pub event: String,
    /// What answers a message; with [`AnsweredBy::None`] there is a rate.
    pub answered_by: AnsweredBy,
}

/// A payload begins with its message's number, a `u64` in hexadecimal, by which the answer is recognised.
pub const MESSAGE_BYTES_MIN: usize = 16;
/// Servers take messages of a megabyte at most unless configured otherwise (Engine.IO's `maxPayload`); the rest is framing.
pub const MESSAGE_BYTES_MAX: usize = 900_000;

/// What answers a message.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum AnsweredBy {
    /// The same message sent back, or Socket.IO's acknowledgement, whichever comes first.
    Any,
    /// The same message sent back; no acknowledgement is asked for.
    Echo,
    /// Socket.IO's acknowledgement alone.
    Ack,
    /// Nothing: messages go one way.
    None,
}

impl AnsweredBy {
    /// Whether messages ask for an acknowledgement.
    pub fn asks_for_ack(self) -> bool {
        matches!(self, Self::Any | Self::Ack)
    }
}
