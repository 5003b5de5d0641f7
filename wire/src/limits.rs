//! Limits that the errors name, each re-exported by the module that it belongs to.

/// The most header fields of one head. Browsers send about 20 and proxies add a few; each costs eight bytes of the
/// parsed head.
pub const HEADERS_MAX: usize = 64;

/// The most payload bytes of a control frame (RFC 6455 section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// The most attachments of one packet: a peer that announces them holds memory until they are there. The reference
/// implementation allows ten by default.
pub const ATTACHMENTS_MAX: u32 = 64;

/// The deepest nesting of arrays and objects in a packet's data: as deep as serde_json reads values, so that data
/// which passed here can be parsed by the application.
pub const NESTING_MAX: usize = 127;
