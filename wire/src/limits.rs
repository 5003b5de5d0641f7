//! Limits that error texts name. The module that a limit belongs to re-exports it.

/// The most header fields of one head. Browsers send about 20 and proxies add a few; each costs eight bytes of the
/// parsed head.
pub const HEADERS_MAX: usize = 64;

/// The most payload bytes of a control frame (RFC 6455 section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// The most attachments of one packet: a packet is held in memory until its attachments have arrived. The reference
/// implementation allows ten by default.
pub const ATTACHMENTS_MAX: u32 = 64;

/// The deepest nesting of arrays and objects in a packet's data. serde_json reads no deeper values, so an application
/// that parses the data with it does not fail on the nesting.
pub const NESTING_MAX: usize = 127;
