//! Each invalid token has its one fault, as an independent library sees it.

use std::collections::HashSet;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation, decode, encode};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::spec::Secret;

const SECRET: &[u8] = b"a secret of more than thirty-two bytes";

fn token(claims: &Value) -> Token {
    let header = Header { kid: Some("theirs".to_owned()), ..Header::default() };
    encode(&header, claims, &EncodingKey::from_secret(SECRET)).unwrap().into()
}

fn key() -> TargetKey {
    TargetKey::from_secret(&Secret::new(SECRET))
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn make(mix: &str, real: &[Token], key: &TargetKey) -> Result<InvalidTokens, InputError> {
    let mix = Mix::new(&mix.parse().unwrap(), &[], 0);
    InvalidTokens::make(&mix, real, key, SystemTime::now())
}

/// The claims or the error of a verifier with a leeway of 60 s.
fn verdict(token: &str) -> Result<Value, ErrorKind> {
    let validation = Validation { validate_nbf: true, required_spec_claims: HashSet::new(), ..Validation::default() };
    decode::<Value>(token, &DecodingKey::from_secret(SECRET), &validation)
        .map(|data| data.claims)
        .map_err(|error| error.into_kind())
}

#[test]
fn each_kind_has_its_own_fault() {
    let short = token(&json!({"user": {"username": "ann"}, "iat": now_s(), "exp": now_s() + 10}));
    let endless = token(&json!({"user": {"username": "ann"}}));
    for (kind, fault, why) in [
        ("expired", ErrorKind::ExpiredSignature, "beyond any leeway"),
        ("not-yet-valid", ErrorKind::ImmatureSignature, "beyond any leeway"),
        ("forged", ErrorKind::InvalidSignature, "other claims"),
        ("wrong-key", ErrorKind::InvalidSignature, "another key"),
        ("unknown-kid", ErrorKind::InvalidSignature, "another key"),
        ("oversized", ErrorKind::InvalidSignature, "more claims"),
        ("garbage", ErrorKind::InvalidToken, "no dots"),
    ] {
        for real in [&short, &endless] {
            let made = make(&format!("{kind}=1"), std::slice::from_ref(real), &key()).unwrap();
            let kind = kind_of(kind);
            let bad = made.get(kind, 7).unwrap();
            assert_eq!(verdict(bad).unwrap_err(), fault, "{kind:?}: {why}");
            assert!(crate::tokens::login::is_sendable(bad), "{kind:?}");
        }
    }
}

#[test]
fn attackers_tokens_are_neither_expired_nor_early() {
    let real = token(&json!({"user": "ann", "exp": now_s() + 10}));
    let mix = "forged=1,wrong-key=1,unknown-kid=1,alg-none=1,oversized=1";
    let made = make(mix, std::slice::from_ref(&real), &TargetKey::default()).unwrap();
    for kind in
        [TokenKind::Forged, TokenKind::WrongKey, TokenKind::UnknownKid, TokenKind::AlgNone, TokenKind::Oversized]
    {
        let jwt = Jwt::parse(made.get(kind, 0).unwrap()).unwrap();
        assert_eq!(jwt.claims["user"], "ann", "{kind:?}");
        assert!(jwt.claims["exp"].as_u64().unwrap() > now_s() + 86_400, "{kind:?}");
        let kid = jwt.header["kid"].as_str().unwrap();
        assert_eq!(kid == "theirs", kind != TokenKind::UnknownKid, "{kind:?}");
        assert_eq!(jwt.signature.is_empty(), kind == TokenKind::AlgNone, "{kind:?}");
        let large = made.get(kind, 0).unwrap().len() > PADDING_BYTES;
        assert_eq!(large, kind == TokenKind::Oversized, "{kind:?}");
    }
    let none = Jwt::parse(made.get(TokenKind::AlgNone, 0).unwrap()).unwrap();
    assert_eq!(none.header["alg"], "none");
}

#[test]
fn each_algorithm_gives_wrong_key_and_alg_confused_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    for (made_for, alg) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::ES256),
        (&rcgen::PKCS_ECDSA_P384_SHA384, Algorithm::ES384),
        (&rcgen::PKCS_ED25519, Algorithm::EdDSA),
    ] {
        let pair = rcgen::KeyPair::generate_for(made_for).unwrap();
        std::fs::write(&path, pair.serialize_pem()).unwrap();
        let key = TargetKey::from_file(&path).unwrap();
        let mut jwt = Jwt::parse(&token(&json!({"user": "ann"}))).unwrap();
        jwt.header.insert("alg".to_owned(), format!("{alg:?}").into());
        let signature = key.sign(jwt.signing_input().as_bytes(), alg).unwrap();
        let real = jwt.with_signature(&signature);
        let made = make("wrong-key=1,alg-confused=1,expired=1", &[real], &key).unwrap();

        let parts = |kind| {
            let token = made.get(kind, 0).unwrap();
            let (message, signature) = token.rsplit_once('.').unwrap();
            (message.to_owned(), signature.to_owned())
        };
        let (message, signature) = parts(TokenKind::WrongKey);
        assert!(!key.has_signed(message.as_bytes(), &signature, alg), "{alg:?}");
        let (message, signature) = parts(TokenKind::Expired);
        assert!(key.has_signed(message.as_bytes(), &signature, alg), "{alg:?}");
        let (message, signature) = parts(TokenKind::AlgConfused);
        let confused = TargetKey::from_secret(&Secret::new(key.public_pem().unwrap()));
        assert!(
            confused.has_signed(message.as_bytes(), &signature, Algorithm::HS256),
            "{alg:?}: a verifier that takes its key for a secret is fooled"
        );
    }
    for alg in [Algorithm::HS512, Algorithm::RS256, Algorithm::PS384] {
        let jwt = Jwt::parse(&token(&json!({}))).unwrap();
        assert!(OtherKey::for_alg(alg).unwrap().sign(&jwt, alg).is_ok(), "{alg:?}");
    }
}

#[test]
fn errors_name_why_a_kind_cannot_be_made() {
    let real = token(&json!({"user": "ann"}));
    let other = TargetKey::from_secret(&Secret::new(*b"not the target's"));
    let none = TargetKey::default();
    for (mix, real, key, part, why) in [
        ("expired=1", &*real, &none, "--secret env:NAME", "no key"),
        ("expired=1", &real, &other, "refused for its signature", "another key"),
        ("alg-confused=1", &real, &key(), "shared secret has none", "no public key"),
        ("forged=1", "opaque", &none, "no JWT", "nothing to forge"),
        ("forged=1", "a.b.c", &none, "no JWT", "no JSON"),
        ("wrong-key=1", "eyJhbGciOiJFUzUxMiJ9.e30.AA", &none, "\"ES512\"", "no such algorithm"),
    ] {
        let error = make(mix, &[Token::from(real)], key).unwrap_err().to_string();
        let kind = mix.split('=').next().unwrap();
        assert!(error.contains(part) && error.contains(kind), "{why}: {error}");
    }
    assert!(make("garbage=1,missing=1,replayed=1", &[], &none).is_ok(), "these need no real token");
}

fn kind_of(name: &str) -> TokenKind {
    TokenKind::ALL.into_iter().find(|kind| kind.as_str() == name).unwrap()
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "\\PC{0,60}|[A-Za-z0-9_.-]{0,60}") {
        if let Some(jwt) = Jwt::parse(&text) {
            prop_assert!(Jwt::parse(&jwt.with_signature(&jwt.signature)).is_some());
        }
    }
}
