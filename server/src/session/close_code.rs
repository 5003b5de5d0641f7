//! The WebSocket close codes that the gate sends (RFC 6455 section 7.4).

/// The purpose of the connection is fulfilled.
pub const NORMAL: u16 = 1000;
/// The server drains.
pub const GOING_AWAY: u16 = 1001;
/// The peer broke the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// The server has too much to do; the client may come again (IANA's registry).
pub const TRY_AGAIN_LATER: u16 = 1013;
/// The token expired. A code of the gate's own, after HTTP's 401 as is common.
pub const UNAUTHORIZED: u16 = 4401;
