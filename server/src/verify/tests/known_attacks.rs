//! Attacks that were published against verifiers of tokens, each refused with a reason of its own. The table in the
//! module's documentation tells what each of them is about.

use super::*;

/// Refused by a verifier with the test secret and the test keys for RS256, ES256 and EdDSA, each under its name.
fn refused(token: &str) -> Refusal {
    let keys = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
    let named = |algorithm| public_key(algorithm).with_kid(algorithm.as_str());
    let mut all: Vec<_> = keys.into_iter().map(named).collect();
    all.push(secret());
    let mut verifier = verifier(all);
    let verdict = verifier.verify(token.as_bytes(), NOW_S).map(|_| ());
    verdict.expect_err(token)
}

#[test]
fn every_known_attack_has_its_reason() {
    use Refusal::*;
    let header = |json: &str| sign_hs256(json, CLAIMS);
    let claims = |json: &str| sign_hs256(HEADER, json);
    let unsigned = |algorithm: &str| {
        let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
        format!("{}.{}.", encode(header), encode(CLAIMS))
    };
    let with_signature = |algorithm: Algorithm, signature: Vec<u8>| {
        let header = format!(r#"{{"alg":"{algorithm}","kid":"{algorithm}"}}"#);
        format!("{}.{}.{}", encode(header), encode(CLAIMS), encode(signature))
    };
    let good = sign_hs256(HEADER, CLAIMS);
    let hmac_by_public_key = {
        let pem = include_str!("../../../tests/keys/rsa2048.public.pem");
        let signed = format!("{}.{}", encode(r#"{"alg":"HS256","kid":"RS256"}"#), encode(CLAIMS));
        let key = EncodingKey::from_secret(pem.as_bytes());
        let mac = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, jsonwebtoken::Algorithm::HS256);
        format!("{signed}.{}", mac.unwrap())
    };
    let jwk = r#"{"kty":"oct","k":"AAAA"}"#;
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(100), "]".repeat(100));
    let deep_header = format!(r#"{{"alg":"HS256","a":{}1{}}}"#, "[".repeat(100), "]".repeat(100));
    // The last character of a signature of 32 bytes holds two bits that mean nothing.
    let last = good.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let twin = alphabet.find(last).and_then(|at| alphabet.chars().nth(at + 1)).unwrap();
    let loose_bits = format!("{}{twin}", &good[..good.len() - 1]);

    for (token, reason, attack) in [
        (unsigned("none"), NoneAlgorithm, "unsigned"),
        (unsigned("None"), NoneAlgorithm, "unsigned, another spelling"),
        (unsigned("NONE"), NoneAlgorithm, "unsigned, another spelling"),
        (unsigned("nOnE"), NoneAlgorithm, "unsigned, another spelling"),
        (unsigned(r"n\u006fne"), NoneAlgorithm, "unsigned, escaped"),
        (unsigned("none "), UnknownAlgorithm, "unsigned, padded"),
        (unsigned(r"none\u0000"), UnknownAlgorithm, "unsigned, ended early"),
        (unsigned(""), UnknownAlgorithm, "no algorithm's name"),
        (unsigned("HS256"), SignatureInvalid, "no signature"),
        (hmac_by_public_key, AlgorithmMismatch, "a public key as a secret"),
        (
            sign(Algorithm::PS256, r#"{"alg":"PS256","kid":"RS256"}"#, CLAIMS),
            AlgorithmMismatch,
            "another padding of the same key",
        ),
        (header(r#"{"alg":"HS256","kid":"../../../dev/null"}"#), UnknownKey, "a kid that is a path"),
        (header(r#"{"alg":"HS256","kid":"' OR 1=1 --"}"#), UnknownKey, "a kid that is SQL"),
        (header(r#"{"alg":"HS256","kid":"|id"}"#), UnknownKey, "a kid that is a command"),
        (header(r#"{"alg":"HS256","kid":["RS256"]}"#), HeaderMalformed, "a kid that is a list"),
        (header(&format!(r#"{{"alg":"HS256","jwk":{jwk}}}"#)), EmbeddedKey, "its own key"),
        (header(r#"{"alg":"HS256","jku":"https://evil.example/keys"}"#), EmbeddedKey, "its own key set"),
        (header(r#"{"alg":"HS256","x5u":"https://evil.example/"}"#), EmbeddedKey, "its own certificate"),
        (header(r#"{"alg":"HS256","x5c":["MIIB"]}"#), EmbeddedKey, "its own chain"),
        (header(r#"{"alg":"HS256","crit":["exp"]}"#), CriticalHeader, "an extension, known elsewhere"),
        (header(r#"{"alg":"HS256","crit":[]}"#), CriticalHeader, "an empty list of extensions"),
        (header(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#), CriticalHeader, "an unencoded payload"),
        (header(r#"{"alg":"HS256","b64":false}"#), CriticalHeader, "an unencoded payload, unsaid"),
        (header(r#"{"alg":"HS256","typ":"secevent+jwt"}"#), WrongType, "a token for something else"),
        (header(r#"{"alg":"HS256","alg":"none"}"#), DuplicateMember, "two algorithms"),
        (header(r#"{"alg":"HS256","\u0061lg":"none"}"#), DuplicateMember, "two, one in disguise"),
        (with_signature(Algorithm::ES256, vec![0; 64]), SignatureInvalid, "ECDSA of zeros"),
        (with_signature(Algorithm::ES256, order_p256()), SignatureInvalid, "ECDSA of the group's order"),
        (with_signature(Algorithm::EdDSA, vec![0; 64]), SignatureInvalid, "Ed25519 of zeros"),
        (malleable_ed25519(), SignatureInvalid, "Ed25519 with a larger S"),
        (with_signature(Algorithm::RS256, vec![0; 256]), SignatureInvalid, "RSA of zeros"),
        (with_signature(Algorithm::RS256, one(256)), SignatureInvalid, "RSA of one"),
        (loose_bits, EncodingInvalid, "bits that mean nothing"),
        (format!("{good}="), EncodingInvalid, "padding"),
        (good.replacen('e', "e\n", 1), EncodingInvalid, "a line's end inside"),
        (format!("{good}\0"), EncodingInvalid, "a zero behind"),
        (good.replace('.', ".."), Malformed, "empty segments"),
        (format!("{good}.{}", encode("x")), Malformed, "an encrypted token's fourth segment"),
        (claims(r#"{"sub":"a","sub":"root"}"#), DuplicateMember, "two subjects"),
        (claims(r#"{"user":{"username":"a","username":"root"}}"#), DuplicateMember, "two users"),
        (claims(&deep), NestedTooDeep, "claims nested deep"),
        (header(&deep_header), NestedTooDeep, "a header nested deep"),
        (claims(r#"{"exp":1e400}"#), ClaimsMalformed, "a time beyond every number"),
        (claims(r#"{"exp":18446744073709551616}"#), TimeInvalid, "a time beyond 64 bits"),
        (claims(r#"{"exp":9223372036854775808}"#), TimeInvalid, "a time beyond 63 bits"),
        (claims(r#"{"exp":"9999999999"}"#), TimeInvalid, "a time in quotation marks"),
        (claims(r#"{"exp":-1}"#), TimeInvalid, "a time before time"),
        ("e30.".repeat(2_000), Malformed, "a thousand segments"),
        ("A".repeat(TOKEN_BYTES_MAX + 1), TooLong, "a flood"),
    ] {
        assert_eq!(refused(&token), reason, "{attack}: {token:.80}");
    }
    assert!(verdict(&good).is_ok(), "what they were made from is good");
}

#[test]
fn a_point_of_low_order_is_no_key() {
    // Under each of them some signature is good for a message that nobody signed (RFC 8032 section 5.1.7 has no such
    // check; the points are those of order 1, 2, 4 and 8).
    for point in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        // The first again, in forms that are not canonical.
        "0100000000000000000000000000000000000000000000000000000000000080",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        let bytes: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&point[2 * i..2 * i + 2], 16).unwrap()).collect();
        let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, encode(bytes));
        assert!(load::text(&jwk).is_err(), "{point}");
    }
}

/// The order of P-256's group, twice: as r and s both are zero to whoever reduces them first.
fn order_p256() -> Vec<u8> {
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    [order, order].concat()
}

/// The number one in so many bytes.
fn one(bytes: usize) -> Vec<u8> {
    let mut one = vec![0; bytes];
    one[bytes - 1] = 1;
    one
}

/// A good token, but for its S, to which the order of the group was added: the same to whoever reduces it.
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
    assert_eq!(carry, 0, "it fits");
    format!("{signed}.{}", encode(signature))
}
