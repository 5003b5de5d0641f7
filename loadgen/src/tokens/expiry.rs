//! When a token expires, as its payload says; the signature is not checked for that.

use serde::Deserialize;

use crate::ground::time::UnixInstant;

/// The `exp` of a JWT (RFC 7519 section 4.1.4). `None`: it has none, or it is no JWT.
pub fn expires_at(token: &str) -> Option<UnixInstant> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let payload = token.split('.').nth(1)?;
    let json = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(payload.as_bytes()).ok()?;
    let claims: Claims = serde_json::from_slice(&json).ok()?;
    (claims.exp >= 0.0).then_some(UnixInstant::from_ns((claims.exp * 1e9) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_read_where_there_is_one() {
        for (payload, expected, why) in [
            (r#"{"exp":2}"#, Some(2_000_000_000), "whole seconds"),
            (r#"{"exp":1.5}"#, Some(1_500_000_000), "NumericDate may have parts"),
            (r#"{"iat":2}"#, None, "it does not end"),
            (r#"{"exp":"2"}"#, None, "no number"),
            (r#"{"exp":-1}"#, None, "before 1970"),
        ] {
            let payload = base64_simd::URL_SAFE_NO_PAD.encode_to_string(payload);
            assert_eq!(expires_at(&format!("e30.{payload}.sig")), expected.map(UnixInstant::from_ns), "{why}");
        }
        for token in ["", "opaque", "a.b.c", "a.!.c"] {
            assert_eq!(expires_at(token), None, "{token}");
        }
    }
}
