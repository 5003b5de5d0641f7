//! The WebSocket close codes that the gate sends (RFC 6455 section 7.4).

/// The connection is no longer needed.
pub const NORMAL: u16 = 1000;
/// The server drains.
pub const GOING_AWAY: u16 = 1001;
/// The peer broke the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// The server is overloaded; the client may retry (IANA's registry).
pub const TRY_AGAIN_LATER: u16 = 1013;
/// The token has expired: a private code, derived from HTTP's 401 as is common.
pub const UNAUTHORIZED: u16 = 4401;
