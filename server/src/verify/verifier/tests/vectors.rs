//! Signatures of published examples are valid.

use super::*;

/// The claims of RFC 7515 appendices A.1 to A.3, encoded.
const CLAIMS_RFC7515: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

/// The `exp` of those claims.
const EXPIRES_AT_S: u64 = 1_300_819_380;

#[test]
fn the_examples_of_rfc_7515_are_accepted_until_they_expire() {
    for (example, jwk, header, signature) in [
        (
            "A.1, HS256",
            r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#,
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        (
            "A.2, RS256",
            r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#,
            "eyJhbGciOiJSUzI1NiJ9",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            "A.3, ES256",
            r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
    ] {
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

/// Its public keys (sections 3.1, 3.3 and 3.5), but for `alg`: one of them signs by two algorithms.
const EC_RFC7520: &str = r#""kty":"EC","kid":"bilbo.baggins@hobbiton.example","use":"sig","crv":"P-521","x":"AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt","y":"AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1""#;
const RSA_RFC7520: &str = r#""kty":"RSA","kid":"bilbo.baggins@hobbiton.example","use":"sig","n":"n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw","e":"AQAB""#;
const OCT_RFC7520: &str = r#""kty":"oct","kid":"018c0ae5-4d9b-471b-bfd6-eef314bc7037","use":"sig","k":"hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg""#;

#[test]
fn the_signatures_of_rfc_7520_are_valid() {
    for (example, key, algorithm, header, signature) in [
        (
            "4.1, RS256",
            RSA_RFC7520,
            "RS256",
            "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
            "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg",
        ),
        (
            "4.2, PS384",
            RSA_RFC7520,
            "PS384",
            "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
            "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw",
        ),
        (
            "4.3, ES512",
            EC_RFC7520,
            "ES512",
            "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
            "AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2",
        ),
        (
            "4.4, HS256",
            OCT_RFC7520,
            "HS256",
            "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9",
            "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0",
        ),
        (
            "4.6, HS256, the kid outside the protected header",
            OCT_RFC7520,
            "HS256",
            "eyJhbGciOiJIUzI1NiJ9",
            "bWUSVaxorn7bEF1djytBd0kHv70Ly5pvbomzMWSOr20",
        ),
        (
            "4.8, the first of three signatures",
            RSA_RFC7520,
            "RS256",
            "eyJhbGciOiJSUzI1NiJ9",
            "MIsjqtVlOpa71KE-Mss8_Nq2YH4FGhiocsqrgi5NvyG53uoimic1tcMdSg-qptrzZc7CG6Svw2Y13TDIqHzTUrL_lR2ZFcryNFiHkSw129EghGpwkpxaTn_THJTCglNbADko1MZBCdwzJxwqZc-1RlpO2HibUYyXSwO97BSe0_evZKdjvvKSgsIqjytKSeAMbhMBdMma622_BG5t4sdbuCHtFjp9iJmkio47AIwqkZV1aIZsv33uPUqBBCXbYoQJwt7mxPftHmNlGoOSMxR_3thmXTCm4US-xiNOyhbm8afKK64jU6_TPtQHiJeQJxz9G3Tx-083B745_AfYOnlC9w",
        ),
    ] {
        let keys = load::text(&format!(r#"{{{key},"alg":"{algorithm}"}}"#)).unwrap();
        let mut verifier = verifier(keys);
        let token = format!("{header}.{PAYLOAD_RFC7520}.{signature}");
        let payload = verifier.verify_signature(token.as_bytes()).unwrap();
        let text = str::from_utf8(payload).unwrap();
        assert!(text.starts_with("It\u{2019}s a dangerous business"), "{example}");
        assert_eq!(
            verifier.verify(token.as_bytes(), NOW_S),
            Err(Refusal::ClaimsMalformed),
            "{example}: a sentence is not claims"
        );
        let other = token.replace("SXTi", "SXTj");
        assert_eq!(
            verifier.verify_signature(other.as_bytes()),
            Err(Refusal::SignatureInvalid),
            "{example}: another sentence"
        );
    }
}

#[test]
fn signatures_of_rfc_7520_without_a_protected_header_are_valid_and_their_tokens_refused() {
    // Sections 4.5 and 4.8 show the signature of 4.4 in two more forms.
    for (example, key, algorithm, signature) in [
        ("4.7, HS256", OCT_RFC7520, "HS256", "xuLifqLGiblpv9zBpuZczWhNj1gARaLV3UxvxhJxZuk"),
        (
            "4.8, ES512, the second of three signatures",
            EC_RFC7520,
            "ES512",
            "ARcVLnaJJaUWG8fG-8t5BREVAuTY8n8YHjwDO1muhcdCoFZFFjfISu0Cdkn9Ybdlmi54ho0x924DUz8sK7ZXkhc7AFM8ObLfTvNCrqcI3Jkl2U5IX3utNhODH6v7xgy1Qahsn0fyb4zSAkje8bAWz4vIfj5pCMYxxm4fgV3q7ZYhm5eD",
        ),
    ] {
        let keys = load::text(&format!(r#"{{{key},"alg":"{algorithm}"}}"#)).unwrap();
        let bytes = URL_SAFE_NO_PAD.decode_to_vec(signature).unwrap();
        let signed = format!(".{PAYLOAD_RFC7520}");
        assert!(keys[0].verify(signed.as_bytes(), &bytes), "{example}");
        assert!(!keys[0].verify(&signed.as_bytes()[1..], &bytes), "{example}");
        let token = format!("{signed}.{signature}");
        let found = verifier(keys).verify(token.as_bytes(), NOW_S).map(|_| ());
        assert_eq!(found, Err(Refusal::HeaderMalformed), "{example}");
    }
}
