//! The fixed inputs of every benchmark.

/// The instant at which tokens are verified, in seconds since 1970. jsonwebtoken reads the clock itself, which is part of
/// its cost. Without `exp` and `nbf` both have the same verdict.
pub const NOW_S: u64 = 1_700_000_000;

/// The claims of the frontend's tokens. An HS256 token with them has 145 bytes.
pub const CLAIMS: &str = r#"{"user":{"username":"gonzalo"},"iat":1699999999}"#;

/// The secret of every HMAC token, as long as RFC 7518 section 3.2 requires for HS256.
pub const SECRET: &[u8] = b"a test secret of thirty-two byte";

/// The secret that [`SECRET`] replaces.
pub const SECRET_OLD: &[u8] = b"an old secret of thirty-two byte";
