//! Session lookups: the cookie, the path and the key that the gate and the frontend share. Only the gate gets an
//! answer.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};

/// The cookie that holds a session's id; named, as cookies of one host are shared by all its ports.
pub const SESSION_COOKIE: &str = "gatekeeper_session";

/// The path of session lookups.
pub const SESSION_PATH: &str = "/getSessionUser";

/// The purpose of the key: another use of the secret derives another key.
const PURPOSE: &[u8] = b"gatekeeper: whose session is this?";

/// A key that both derive from `--secret`, which is never sent.
#[derive(Clone)]
pub struct SessionKey(String);

impl SessionKey {
    /// The key that belongs to a secret.
    pub fn of_secret(secret: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let tag = hmac::sign(&key, PURPOSE);
        Self(base64_simd::URL_SAFE_NO_PAD.encode_to_string(tag.as_ref()))
    }

    /// The value of the header `Authorization` that shows it.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Does this `Authorization` show it? The comparison takes constant time.
    pub fn is_shown_by(&self, authorization: &[u8]) -> bool {
        let expected = self.authorization();
        constant_time::verify_slices_are_equal(expected.as_bytes(), authorization).is_ok()
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
        for (shown, accepted, why) in [
            (of(b"my_super_secret_key"), true, "the same secret"),
            (of(b"my_super_secret_kex"), false, "another"),
            ("Bearer my_super_secret_key".to_owned(), false, "the secret itself"),
            ("Bearer ".to_owned(), false, "nothing"),
            (String::new(), false, "no scheme either"),
        ] {
            assert_eq!(key.is_shown_by(shown.as_bytes()), accepted, "{why}");
        }
        assert_eq!(format!("{key:?}"), "SessionKey(..)", "never printed");
    }
}
