//! No verification allocates. (Allocations inside a C library are not counted.)

use super::*;

#[test]
fn no_verification_allocates() {
    for algorithm in Algorithm::ALL {
        let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
        let good = |claims: &str| sign(algorithm, &header, claims);
        let with_header = |header: &str| sign(algorithm, header, CLAIMS);
        let (signed, signature) = {
            let token = good(CLAIMS);
            let (signed, signature) = token.rsplit_once('.').unwrap();
            (signed.to_owned(), signature.to_owned())
        };
        let roles = vec!["\"role\""; 300].join(",");
        let tokens = [
            (good(CLAIMS), true, "the usual token"),
            (good(CLAIMS), true, "the same token again"),
            (good(r#"{"sub":"\u0061nn"}"#), true, "escapes"),
            (good(r#"{ "sub" : "ann", "x" : [1.5, {}] }"#), true, "white space"),
            (good(&format!(r#"{{"roles":[{roles}]}}"#)), true, "long claims"),
            (with_header(&format!(r#"{{"\u0061lg":"{algorithm}"}}"#)), true, "a header with escapes"),
            (good(r#"{"exp":1}"#), false, "expired"),
            (good(r#"{"exp":1,"exp":2}"#), false, "a name twice"),
            (good("[]"), false, "not an object"),
            (with_header(r#"{"alg":"none"}"#), false, "none"),
            (with_header(&format!(r#"{{"alg":"{algorithm}","kid":"\u0061"}}"#)), false, "an unknown kid"),
            (format!("{signed}.{}", encode(vec![1; 64])), false, "another signature"),
            (format!("{signed}x.{signature}"), false, "other claims"),
            (format!("{signed}.{signature}="), false, "not base64url"),
            ("a.b".to_owned(), false, "not a token"),
            ("x".repeat(TOKEN_BYTES_MAX), false, "garbage"),
            ("x".repeat(TOKEN_BYTES_MAX + 1), false, "too long"),
        ];
        let mut verifiers = [
            ("without a cache", verifier(vec![public_key(algorithm)])),
            ("with one", verifier(vec![public_key(algorithm)]).with_token_cache(1 << 20)),
        ];
        for (which, verifier) in &mut verifiers {
            for (token, is_good, why) in &tokens {
                let mut verdict = Ok(());
                let counted = allocation_counter::measure(|| {
                    verdict = verifier.verify(token.as_bytes(), NOW_S).map(|_| ());
                });
                assert_eq!(verdict.is_ok(), *is_good, "{algorithm}, {why}: {verdict:?}");
                assert_eq!(counted.count_total, 0, "{algorithm}, {which}, {why}");
            }
        }
        let counted = allocation_counter::measure(|| drop(vec![0; 100]));
        assert_eq!(counted.count_total, 1, "the counter counts");
    }
}
