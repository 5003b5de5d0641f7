//! How a socket is left that has been held for long enough.

/// How a socket is left.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Close {
    /// Socket.IO: the namespace's disconnect packet, then a close frame, as its own client leaves.
    Disconnect,
    /// A close frame with 1000 (RFC 6455 section 7.1.2), as a browser leaves.
    Frame,
    /// TCP's FIN without a word, as a process that was killed.
    Fin,
    /// TCP's RST, as a machine that has lost its memory of the connection.
    Reset,
}

impl Close {
    /// As the flag takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::Frame => "frame",
            Self::Fin => "fin",
            Self::Reset => "reset",
        }
    }
}
