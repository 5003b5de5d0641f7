//! Valid tokens, and one of each invalid kind.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

pub use testkit::SECRET;

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token as the frontend makes them.
pub fn valid_token(user: &str) -> String {
    sign(&json!({"user": {"username": user}, "iat": now_s()}), SECRET)
}

pub fn sign(claims: &serde_json::Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::default(), claims, &key).unwrap()
}

/// A token under a `kid`, with the secret of that name.
pub fn sign_by(kid: &str, secret: &[u8]) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::default() };
    let claims = json!({"sub": "ann"});
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap()
}

/// A token by the tests' P-256 key, as an identity provider makes them.
pub fn sign_es256(kid: &str) -> String {
    let header = Header { alg: jsonwebtoken::Algorithm::ES256, kid: Some(kid.to_owned()), ..Header::default() };
    let key = EncodingKey::from_ec_pem(include_bytes!("../keys/p256.private.pem")).unwrap();
    jsonwebtoken::encode(&header, &json!({"sub": "ann"}), &key).unwrap()
}

/// A token that must be refused.
#[derive(Clone, Debug)]
pub struct InvalidToken {
    pub kind: &'static str,
    /// `None` for a request without a token.
    pub token: Option<String>,
    /// The reason of the refusal.
    pub reason: &'static str,
}

/// One of each kind.
pub fn invalid_tokens() -> Vec<InvalidToken> {
    let claims = json!({"user": {"username": "gonzalo"}});
    let expired = json!({"user": {"username": "gonzalo"}, "exp": now_s() - 1});
    let base64 = |json: serde_json::Value| base64_simd::URL_SAFE_NO_PAD.encode_to_string(json.to_string());
    let good = valid_token("gonzalo");
    let mut segments: Vec<_> = good.split('.').map(str::to_owned).collect();
    segments[1] = base64(json!({"user": {"username": "admin"}}));
    let none = base64(json!({"alg": "none", "typ": "JWT"}));
    [
        ("expired", Some(sign(&expired, SECRET)), "expired"),
        ("forged", Some(segments.join(".")), "signature_invalid"),
        ("alg none", Some(format!("{none}.{}.", segments[1])), "none_algorithm"),
        ("wrong key", Some(sign(&claims, &SECRET.replace('a', "b"))), "signature_invalid"),
        ("missing", None, "missing"),
        ("garbage", Some("garbage".to_owned()), "malformed"),
        ("too long", Some(format!("{good}{}", "x".repeat(8 * 1024))), "too_long"),
    ]
    .map(|(kind, token, reason)| InvalidToken { kind, token, reason })
    .into()
}
