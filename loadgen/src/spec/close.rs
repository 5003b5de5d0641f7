//! How a socket is closed at the end of its hold.

/// How a socket is closed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Close {
    /// Socket.IO: the namespace's disconnect packet, then a close frame, as its own client does.
    Disconnect,
    /// A close frame with 1000 (RFC 6455 section 7.1.2), as a browser does.
    Frame,
    /// TCP's FIN without a close frame, as a killed process does.
    Fin,
    /// TCP's RST, as a restarted machine does.
    Reset,
}
