//! Tokens that must be refused, including those of published attacks, each with its reason.

use super::*;
use Refusal::*;

/// A token, the reason for its refusal, and what is wrong with it.
type Row = (String, Refusal, &'static str);

/// Checks each token with the test secret and the test keys for RS256, ES256 and EdDSA, named by their algorithms.
fn check(rows: impl IntoIterator<Item = Row>) {
    let named = |algorithm: Algorithm| public_key(algorithm).with_kid(algorithm.as_str());
    let keys = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA].map(named);
    let mut verifier = verifier(keys.into_iter().chain([secret()]).collect());
    for (token, reason, why) in rows {
        let found = verifier.verify(token.as_bytes(), NOW_S).map(|_| ());
        assert_eq!(found, Err(reason), "{why}: {token:.80}");
    }
}

/// Checks tokens whose headers or claims are the given JSON, signed by `sign`.
fn check_json<'j>(sign: impl Fn(&str) -> String, rows: impl IntoIterator<Item = (&'j str, Refusal, &'static str)>) {
    check(rows.into_iter().map(|(json, reason, why)| (sign(json), reason, why)));
}

fn nested(outer: &str) -> String {
    format!(r#"{{{outer}"a":{}1{}}}"#, "[".repeat(100), "]".repeat(100))
}

#[test]
fn a_token_with_a_wrong_form_or_encoding_is_refused() {
    let good = sign_hs256(HEADER, CLAIMS);
    let (signed, _) = good.rsplit_once('.').unwrap();
    // The last character of a signature of 32 bytes has two unused bits.
    let last = good.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let twin = alphabet.find(last).and_then(|at| alphabet.chars().nth(at + 1)).unwrap();
    check([
        (String::new(), Missing, "no token"),
        ("A".repeat(TOKEN_BYTES_MAX), Malformed, "garbage of the greatest length"),
        ("A".repeat(TOKEN_BYTES_MAX + 1), TooLong, "garbage beyond the greatest length"),
        ("garbage".to_owned(), Malformed, "garbage"),
        ("e30.".repeat(2_000), Malformed, "2,000 segments"),
        (format!("{good}."), Malformed, "an empty fourth segment"),
        (format!("{good}.{}", encode("x")), Malformed, "the fourth segment of an encrypted token"),
        (good.replace('.', ".."), Malformed, "empty segments"),
        (signed.to_owned(), Malformed, "no signature segment"),
        (format!(" {good}"), EncodingInvalid, "a space before the token"),
        (format!("{good} "), EncodingInvalid, "a space after the token"),
        (format!("{good}\0"), EncodingInvalid, "a zero byte after the token"),
        (format!("{good}="), EncodingInvalid, "padding after the token"),
        (good.replace('.', "=."), EncodingInvalid, "padding inside"),
        (good.replacen('e', "e\n", 1), EncodingInvalid, "a line break inside"),
        (format!("{}{twin}", &good[..good.len() - 1]), EncodingInvalid, "unused bits that are not zero"),
        ("é.é.é".to_owned(), EncodingInvalid, "not ASCII"),
        ("..".to_owned(), HeaderMalformed, "three empty segments"),
    ]);
    assert_eq!(verdict(&good), Ok(()), "the token without changes is valid");
}

#[test]
fn a_token_with_a_wrong_header_is_refused() {
    let header = |json: &str| sign_hs256(json, CLAIMS);
    let unsigned = |algorithm: &str| {
        let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
        format!("{}.{}.", encode(header), encode(CLAIMS))
    };
    let ps256 = sign(Algorithm::PS256, r#"{"alg":"PS256","kid":"RS256"}"#, CLAIMS);
    check([
        (unsigned("none"), NoneAlgorithm, "unsigned"),
        (unsigned("None"), NoneAlgorithm, "unsigned, other case"),
        (unsigned("NONE"), NoneAlgorithm, "unsigned, other case"),
        (unsigned("nOnE"), NoneAlgorithm, "unsigned, other case"),
        (unsigned(r"n\u006fne"), NoneAlgorithm, "unsigned, escaped"),
        (unsigned("none "), UnknownAlgorithm, "unsigned, with a space"),
        (unsigned(r"none\u0000"), UnknownAlgorithm, "unsigned, with a zero byte"),
        (unsigned(""), UnknownAlgorithm, "an empty algorithm"),
        (unsigned("HS256"), SignatureInvalid, "no signature"),
        (ps256, AlgorithmMismatch, "another padding of the same key"),
    ]);
    let deep = nested(r#""alg":"HS256","#);
    check_json(
        header,
        [
            ("not json", HeaderMalformed, "not JSON"),
            (r#"{"typ":"JWT"}"#, HeaderMalformed, "no alg"),
            (r#"{"alg":"none"}"#, NoneAlgorithm, "none, but signed"),
            (r#"{"alg":"HS1"}"#, UnknownAlgorithm, "a weak MAC"),
            (r#"{"alg":"ES256K"}"#, UnknownAlgorithm, "another curve"),
            (r#"{"alg":"HS384"}"#, AlgorithmMismatch, "the key is pinned"),
            (r#"{"alg":"HS256","kid":"../../../dev/null"}"#, UnknownKey, "a kid that is a path"),
            (r#"{"alg":"HS256","kid":"' OR 1=1 --"}"#, UnknownKey, "a kid that is SQL"),
            (r#"{"alg":"HS256","kid":"|id"}"#, UnknownKey, "a kid that is a command"),
            (r#"{"alg":"HS256","kid":["RS256"]}"#, HeaderMalformed, "a kid that is a list"),
            (r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}"#, EmbeddedKey, "an embedded key"),
            (r#"{"alg":"HS256","jku":"https://evil.example/keys"}"#, EmbeddedKey, "the URL of a key set"),
            (r#"{"alg":"HS256","x5u":"https://evil.example/"}"#, EmbeddedKey, "the URL of a certificate"),
            (r#"{"alg":"HS256","x5c":["MIIB"]}"#, EmbeddedKey, "an embedded certificate"),
            (r#"{"alg":"HS256","crit":["exp"]}"#, CriticalHeader, "a critical extension"),
            (r#"{"alg":"HS256","crit":[]}"#, CriticalHeader, "an empty list of extensions"),
            (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, CriticalHeader, "an unencoded payload"),
            (r#"{"alg":"HS256","b64":false}"#, CriticalHeader, "an unencoded payload without crit"),
            (r#"{"alg":"HS256","typ":"secevent+jwt"}"#, WrongType, "a token for another use"),
            (r#"{"alg":"HS256","alg":"none"}"#, DuplicateMember, "two algorithms"),
            (r#"{"alg":"HS256","\u0061lg":"none"}"#, DuplicateMember, "two algorithms, one escaped"),
            (&deep, NestedTooDeep, "nested too deep"),
        ],
    );
    assert_eq!(verdict(&header(r#"{"alg":"RS256"}"#)), Err(AlgorithmMismatch), "the key is pinned");
}

#[test]
fn a_token_with_a_wrong_signature_is_refused() {
    let good = sign_hs256(HEADER, CLAIMS);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let hs256 = |message: &str, key: &[u8]| {
        let key = EncodingKey::from_secret(key);
        jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap()
    };
    let by_public_key = {
        let pem = include_bytes!("../../../../tests/keys/rsa2048.public.pem");
        let signed = format!("{}.{}", encode(r#"{"alg":"HS256","kid":"RS256"}"#), encode(CLAIMS));
        format!("{signed}.{}", hs256(&signed, pem))
    };
    let forged = format!("{}.{}.{signature}", encode(HEADER), encode(CLAIMS.replace("gonzalo", "root")));
    let with = |algorithm: Algorithm, signature: Vec<u8>| {
        let header = format!(r#"{{"alg":"{algorithm}","kid":"{algorithm}"}}"#);
        format!("{}.{}.{}", encode(header), encode(CLAIMS), encode(signature))
    };
    check([
        (by_public_key, AlgorithmMismatch, "a MAC by a public key"),
        (format!("{signed}."), SignatureInvalid, "an empty signature"),
        (format!("{signed}.{}", hs256(signed, b"wrong")), SignatureInvalid, "a MAC by the wrong key"),
        (format!("{signed}.{}", hs256("another message", SECRET)), SignatureInvalid, "the MAC of another message"),
        (format!("{signed}.{}", &signature[..40]), SignatureInvalid, "a cut signature"),
        (format!("{signed}.{signature}AAAA"), SignatureInvalid, "a longer signature"),
        (forged, SignatureInvalid, "forged claims"),
        (with(Algorithm::ES256, vec![0; 64]), SignatureInvalid, "ECDSA, zeros"),
        (with(Algorithm::ES256, order_p256()), SignatureInvalid, "ECDSA, r and s equal to the group's order"),
        (with(Algorithm::EdDSA, vec![0; 64]), SignatureInvalid, "Ed25519, zeros"),
        (malleable_ed25519(), SignatureInvalid, "Ed25519, S beyond the group's order"),
        (with(Algorithm::RS256, vec![0; 256]), SignatureInvalid, "RSA, the number 0"),
        (with(Algorithm::RS256, one(256)), SignatureInvalid, "RSA, the number 1"),
    ]);
}

#[test]
fn a_token_with_wrong_claims_is_refused() {
    let many: Vec<_> = (0..300).map(|i| format!(r#""m{i}":0"#)).collect();
    let many = format!("{{{}}}", many.join(","));
    check_json(
        |json| sign_hs256(HEADER, json),
        [
            ("", ClaimsMalformed, "no claims"),
            ("[]", ClaimsMalformed, "not an object"),
            ("\"{}\"", ClaimsMalformed, "a string"),
            ("{}{}", ClaimsMalformed, "two objects"),
            (r#"{"exp":1800000000"#, ClaimsMalformed, "cut"),
            (r#"{"x":1e999}"#, ClaimsMalformed, "a number that no f64 holds"),
            (r#"{"exp":1e400}"#, ClaimsMalformed, "a time that no f64 holds"),
            (&many, ClaimsMalformed, "too many members"),
            (r#"{"aud":7}"#, ClaimsMalformed, "an audience that is not a string"),
            (r#"{"sub":7}"#, ClaimsMalformed, "a subject that is not a string"),
            (r#"{"iss":null}"#, ClaimsMalformed, "an issuer that is not a string"),
            (r#"{"exp":1,"\u0065xp":1800000000}"#, DuplicateMember, "exp twice, once escaped"),
            (r#"{"x":1,"x":1}"#, DuplicateMember, "any claim twice"),
            (r#"{"sub":"a","sub":"root"}"#, DuplicateMember, "two subjects"),
            (r#"{"user":{"username":"a","username":"root"}}"#, DuplicateMember, "two users"),
            (&nested(""), NestedTooDeep, "nested too deep"),
            (r#"{"exp":null}"#, TimeInvalid, "exp as null"),
            (r#"{"exp":true}"#, TimeInvalid, "exp as true"),
            (r#"{"exp":1e300}"#, TimeInvalid, "exp beyond the year 10000"),
            (r#"{"exp":1800000000000}"#, TimeInvalid, "exp in milliseconds"),
            (r#"{"exp":18446744073709551616}"#, TimeInvalid, "exp beyond 64 bits"),
            (r#"{"exp":9223372036854775808}"#, TimeInvalid, "exp beyond 63 bits"),
            (r#"{"exp":"9999999999"}"#, TimeInvalid, "exp as a string"),
            (r#"{"exp":-1}"#, TimeInvalid, "exp before 1970"),
            (r#"{"nbf":"0"}"#, TimeInvalid, "nbf as a string"),
            (r#"{"iat":[]}"#, TimeInvalid, "iat as a list"),
            (r#"{"exp":1699999999}"#, Expired, "expired"),
            (r#"{"nbf":1700000001}"#, NotYetValid, "too early"),
            (r#"{"iat":1700003600}"#, IssuedInFuture, "issued in the future"),
        ],
    );
}

#[test]
fn a_public_key_is_not_accepted_as_a_secret() {
    let pem = include_str!("../../../../tests/keys/rsa2048.public.pem");
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
        // The lengths of r || s, of an Ed25519 signature and of RSA-2048, and neighbouring lengths.
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

    let pem = include_str!("../../../../tests/keys/p256.private.pem");
    let signed = format!("{}.{}", encode(r#"{"alg":"ES256"}"#), encode(CLAIMS));
    let token = format!("{signed}.{}", sign_ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, pem, signed.as_bytes()));
    let found = verifier(vec![public_key(Algorithm::ES256)]).verify(token.as_bytes(), NOW_S).map(|_| ());
    assert_eq!(found, Err(Refusal::SignatureInvalid), "RFC 7518 section 3.4");
}

#[test]
fn a_point_of_low_order_is_refused_as_a_key() {
    // Under each of these points, of order 1, 2, 4 and 8, signatures can be forged. RFC 8032 section 5.1.7 does not
    // check it.
    for point in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        // The first point again, in encodings that are not canonical.
        "0100000000000000000000000000000000000000000000000000000000000080",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        let bytes: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&point[2 * i..2 * i + 2], 16).unwrap()).collect();
        let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, encode(bytes));
        assert!(load::text(&jwk).is_err(), "{point}");
    }
}

/// The order of P-256's group as r and s, which are zero for a verifier that reduces them.
fn order_p256() -> Vec<u8> {
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    [order, order].concat()
}

/// The number 1 in `bytes` bytes.
fn one(bytes: usize) -> Vec<u8> {
    let mut one = vec![0; bytes];
    one[bytes - 1] = 1;
    one
}

/// A valid token with the order of the group added to its S, which a verifier that reduces S would accept.
fn malleable_ed25519() -> String {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let token = sign(Algorithm::EdDSA, r#"{"alg":"EdDSA","kid":"EdDSA"}"#, CLAIMS);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode_to_vec(signature).unwrap();
    let mut carry = 0;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0, "the sum fits");
    format!("{signed}.{}", encode(signature))
}
