//! The cookie, the path and the key of session lookups, which the gate and the frontend share.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};

/// The cookie that holds a session's id. The name has a prefix because servers on all ports of a host share cookies.
pub const SESSION_COOKIE: &str = "gatekeeper_session";

/// The path of session lookups.
pub const SESSION_PATH: &str = "/getSessionUser";

/// The label from which the key is derived, so that no other use of the secret has the same key.
const PURPOSE: &[u8] = b"gatekeeper: whose session is this?";

/// The key that authorizes lookups. Both servers derive it from `--secret`, which is never sent.
#[derive(Clone)]
pub struct SessionKey(String);

impl SessionKey {
    /// Derives the key from a secret.
    pub fn of_secret(secret: &[u8]) -> Self {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), PURPOSE);
        Self(base64_simd::URL_SAFE_NO_PAD.encode_to_string(tag.as_ref()))
    }

    /// The value of the header `Authorization` with the key.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether this value of the header `Authorization` contains the key. The comparison takes constant time.
    pub fn accepts(&self, authorization: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(self.authorization().as_bytes(), authorization).is_ok()
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_secret_derives_the_key() {
        let key = SessionKey::of_secret(b"my_super_secret_key");
        let of = |secret: &[u8]| SessionKey::of_secret(secret).authorization();
        for (authorization, accepted, why) in [
            (of(b"my_super_secret_key"), true, "the key of the same secret"),
            (of(b"my_super_secret_kex"), false, "the key of another secret"),
            ("Bearer my_super_secret_key".to_owned(), false, "the secret itself"),
            ("Bearer ".to_owned(), false, "an empty key"),
            (String::new(), false, "an empty header"),
        ] {
            assert_eq!(key.accepts(authorization.as_bytes()), accepted, "{why}");
        }
        assert_eq!(format!("{key:?}"), "SessionKey(..)", "never printed");
    }
}
