//! Signatures of published examples are valid.

use super::*;

/// The vectors in `text`: paragraphs of `N` lines.
fn vectors<const N: usize>(text: &str) -> impl Iterator<Item = [&str; N]> {
    text.split("\n\n").map(|paragraph| paragraph.lines().collect::<Vec<_>>().try_into().unwrap())
}

/// The claims of RFC 7515 appendices A.1 to A.3, encoded.
const CLAIMS_RFC7515: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

/// The `exp` of those claims.
const EXPIRES_AT_S: u64 = 1_300_819_380;

#[test]
fn the_examples_of_rfc_7515_are_accepted_until_they_expire() {
    for [example, jwk, header, signature] in vectors(include_str!("../../../../tests/vectors/rfc7515.txt")) {
        let token = format!("{header}.{CLAIMS_RFC7515}.{signature}");
        let mut verifier = verifier(load::text(jwk).unwrap());
        let found = verifier.verify(token.as_bytes(), EXPIRES_AT_S - 1).unwrap();
        assert_eq!(found.expires_at_s, Some(EXPIRES_AT_S), "{example}");
        let found = verifier.verify(token.as_bytes(), EXPIRES_AT_S);
        assert_eq!(found, Err(Refusal::Expired), "{example}");
    }
}

#[test]
fn the_signature_of_rfc_8037_appendix_a_4_is_valid() {
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let keys = load::text(jwk).unwrap();
    let bytes = URL_SAFE_NO_PAD.decode_to_vec(signature).unwrap();
    assert!(keys[0].verify(signed.as_bytes(), &bytes));

    // The payload is a sentence: the signature is valid and the claims are not.
    let token = format!("{signed}.{signature}");
    let found = verifier(keys).verify(token.as_bytes(), NOW_S).map(|_| ());
    assert_eq!(found, Err(Refusal::ClaimsMalformed));
}

/// The payload of RFC 7520's signatures, a sentence: "It's a dangerous business, Frodo, ..." (section 4).
const PAYLOAD_RFC7520: &str = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";

#[test]
fn the_signatures_of_rfc_7520_are_valid() {
    for [example, jwk, header, signature] in vectors(include_str!("../../../../tests/vectors/rfc7520.txt")) {
        let mut verifier = verifier(load::text(jwk).unwrap());
        let token = format!("{header}.{PAYLOAD_RFC7520}.{signature}");
        let payload = verifier.verify_signature(token.as_bytes()).unwrap();
        let text = str::from_utf8(payload).unwrap();
        assert!(text.starts_with("It\u{2019}s a dangerous business"), "{example}");
        let found = verifier.verify(token.as_bytes(), NOW_S);
        assert_eq!(found, Err(Refusal::ClaimsMalformed), "{example}: a sentence is not claims");
        let found = verifier.verify_signature(token.replace("SXTi", "SXTj").as_bytes());
        assert_eq!(found, Err(Refusal::SignatureInvalid), "{example}: another sentence");
    }
}

#[test]
fn signatures_of_rfc_7520_without_a_protected_header_are_valid_and_their_tokens_refused() {
    // Sections 4.5 and 4.8 show the signature of 4.4 in two more forms.
    let text = include_str!("../../../../tests/vectors/rfc7520-unprotected.txt");
    for [example, jwk, signature] in vectors(text) {
        let keys = load::text(jwk).unwrap();
        let bytes = URL_SAFE_NO_PAD.decode_to_vec(signature).unwrap();
        let signed = format!(".{PAYLOAD_RFC7520}");
        assert!(keys[0].verify(signed.as_bytes(), &bytes), "{example}");
        assert!(!keys[0].verify(&signed.as_bytes()[1..], &bytes), "{example}");
        let token = format!("{signed}.{signature}");
        let found = verifier(keys).verify(token.as_bytes(), NOW_S).map(|_| ());
        assert_eq!(found, Err(Refusal::HeaderMalformed), "{example}");
    }
}
