//! The fixed inputs of every benchmark.

/// The instant at which tokens are judged, in seconds since 1970. jsonwebtoken reads the clock by itself,
/// which is part of its price; without `exp` and `nbf` the two cannot disagree.
pub const NOW_S: u64 = 1_700_000_000;

/// The claims of the frontend's tokens: with HS256 a token of 145 bytes.
pub const CLAIMS: &str = r#"{"user":{"username":"gonzalo"},"iat":1699999999}"#;

/// The secret of every HMAC token: as long as RFC 7518 section 3.2 asks for HS256.
pub const SECRET: &[u8] = b"a test secret of thirty-two byte";

/// The secret that [`SECRET`] replaces.
pub const SECRET_OLD: &[u8] = b"an old secret of thirty-two byte";
