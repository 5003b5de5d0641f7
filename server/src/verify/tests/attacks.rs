//! Tokens that must be kept out, each with the one reason that fits; those of published attacks are in `known_attacks`.

use super::*;

#[test]
fn a_bad_token_of_each_kind_is_refused_with_its_reason() {
    let good = sign_hs256(HEADER, CLAIMS);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let other_claims = encode(CLAIMS.replace("gonzalo", "root"));
    let other_signature = super::signature(Algorithm::HS256, b"something else");
    let wrong_key = {
        let key = jsonwebtoken::EncodingKey::from_secret(b"wrong");
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, jsonwebtoken::Algorithm::HS256);
        format!("{signed}.{}", signature.unwrap())
    };
    let many: Vec<_> = (0..300).map(|i| format!(r#""m{i}":0"#)).collect();
    let many = format!("{{{}}}", many.join(","));
    let claims = |json: &str| sign_hs256(HEADER, json);
    let header = |json: &str| sign_hs256(json, CLAIMS);

    use Refusal::*;
    for (token, reason, why) in [
        (String::new(), Missing, "no token"),
        ("A".repeat(TOKEN_BYTES_MAX), Malformed, "garbage of the greatest length"),
        ("garbage".to_owned(), Malformed, "garbage"),
        (format!("{good}."), Malformed, "an empty fourth segment"),
        (signed.to_owned(), Malformed, "no signature segment"),
        (format!(" {good}"), EncodingInvalid, "a space in front"),
        (format!("{good} "), EncodingInvalid, "a space behind"),
        (good.replace('.', "=."), EncodingInvalid, "padding inside"),
        ("é.é.é".to_owned(), EncodingInvalid, "no ASCII"),
        ("..".to_owned(), HeaderMalformed, "three empty segments"),
        (format!("{signed}."), SignatureInvalid, "an empty signature"),
        (header("not json"), HeaderMalformed, "a header of no JSON"),
        (header(r#"{"typ":"JWT"}"#), HeaderMalformed, "no alg"),
        (header(r#"{"alg":"none"}"#), NoneAlgorithm, "none, but signed"),
        (header(r#"{"alg":"HS1"}"#), UnknownAlgorithm, "too weak a MAC"),
        (header(r#"{"alg":"ES256K"}"#), UnknownAlgorithm, "another curve"),
        (header(r#"{"alg":"HS384"}"#), AlgorithmMismatch, "the key is pinned"),
        (header(r#"{"alg":"RS256"}"#), AlgorithmMismatch, "the key is pinned"),
        (wrong_key, SignatureInvalid, "the wrong key"),
        (format!("{signed}.{other_signature}"), SignatureInvalid, "another's signature"),
        (format!("{signed}.{}", &signature[..40]), SignatureInvalid, "a cut signature"),
        (format!("{signed}.{signature}AAAA"), SignatureInvalid, "a longer signature"),
        (format!("{}.{other_claims}.{signature}", encode(HEADER)), SignatureInvalid, "forged claims"),
        (claims(""), ClaimsMalformed, "no claims"),
        (claims("[]"), ClaimsMalformed, "no object"),
        (claims("\"{}\""), ClaimsMalformed, "a string"),
        (claims("{}{}"), ClaimsMalformed, "two objects"),
        (claims(r#"{"exp":1800000000"#), ClaimsMalformed, "cut"),
        (claims(r#"{"x":1e999}"#), ClaimsMalformed, "a number that nothing holds"),
        (claims(&many), ClaimsMalformed, "too many members"),
        (claims(r#"{"aud":7}"#), ClaimsMalformed, "an audience that is no string"),
        (claims(r#"{"sub":7}"#), ClaimsMalformed, "a subject that is no string"),
        (claims(r#"{"iss":null}"#), ClaimsMalformed, "an issuer that is no string"),
        (claims(r#"{"exp":1,"\u0065xp":1800000000}"#), DuplicateMember, "disguised"),
        (claims(r#"{"x":1,"x":1}"#), DuplicateMember, "any claim twice"),
        (claims(r#"{"exp":null}"#), TimeInvalid, "exp as null"),
        (claims(r#"{"exp":true}"#), TimeInvalid, "exp as true"),
        (claims(r#"{"exp":1e300}"#), TimeInvalid, "exp beyond all clocks"),
        (claims(r#"{"exp":1800000000000}"#), TimeInvalid, "exp in milliseconds"),
        (claims(r#"{"nbf":"0"}"#), TimeInvalid, "nbf as a string"),
        (claims(r#"{"iat":[]}"#), TimeInvalid, "iat as a list"),
        (claims(r#"{"exp":1699999999}"#), Expired, "expired"),
        (claims(r#"{"nbf":1700000001}"#), NotYetValid, "too early"),
        (claims(r#"{"iat":1700003600}"#), IssuedInFuture, "from the future"),
    ] {
        assert_eq!(verdict(&token), Err(reason), "{why}: {token:.80}");
    }
    assert_eq!(verdict(&good), Ok(()), "and the one they were made from is good");
}

#[test]
fn a_public_key_is_no_secret() {
    let pem = include_str!("../../../tests/keys/rsa2048.public.pem");
    let key = jsonwebtoken::EncodingKey::from_secret(pem.as_bytes());
    let claims: serde_json::Value = serde_json::from_str(CLAIMS).unwrap();
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
    let found = verifier(load::text(pem).unwrap()).verify(token.as_bytes(), NOW_S).map(|_| ());
    assert_eq!(found, Err(Refusal::AlgorithmMismatch));
}

#[test]
fn a_signature_of_zeros_is_refused_by_every_algorithm() {
    for algorithm in Algorithm::ALL {
        let header = encode(format!(r#"{{"alg":"{algorithm}"}}"#));
        let mut verifier = verifier(vec![public_key(algorithm)]);
        // Every length of r || s, of an Ed25519 signature and of RSA-2048, and both beside it.
        for bytes in [0, 1, 32, 48, 63, 64, 65, 96, 132, 255, 256, 257, 1024] {
            let token = format!("{header}.{}.{}", encode(CLAIMS), encode(vec![0; bytes]));
            let found = verifier.verify(token.as_bytes(), NOW_S).map(|_| ());
            assert_eq!(found, Err(Refusal::SignatureInvalid), "{algorithm}, {bytes}");
        }
    }
}

#[test]
fn an_ecdsa_signature_in_der_is_refused() {
    use aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING;

    let pem = include_str!("../../../tests/keys/p256.private.pem");
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64_simd::STANDARD.decode_to_vec(body).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der).unwrap();
    let signed = format!("{}.{}", encode(r#"{"alg":"ES256"}"#), encode(CLAIMS));
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    let token = format!("{signed}.{}", encode(signature));
    let found = verifier(vec![public_key(Algorithm::ES256)]).verify(token.as_bytes(), NOW_S).map(|_| ());
    assert_eq!(found, Err(Refusal::SignatureInvalid), "RFC 7518 section 3.4");
}
