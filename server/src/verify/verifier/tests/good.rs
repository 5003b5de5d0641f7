//! Tokens that must be accepted, and the user and claims that are read from them.

use super::*;

#[test]
fn a_token_of_every_algorithm_is_accepted_by_its_key_alone() {
    for algorithm in Algorithm::ALL {
        let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
        let token = sign(algorithm, &header, CLAIMS);
        for pinned in Algorithm::ALL {
            let mut verifier = verifier(vec![public_key(pinned)]);
            let found = verifier.verify(token.as_bytes(), NOW_S);
            if pinned == algorithm {
                assert_eq!(found.map(|it| it.user), Ok(Some("gonzalo")), "{algorithm}");
            } else {
                let why = "the same RSA key or secret serves one algorithm alone";
                assert_eq!(found, Err(Refusal::AlgorithmMismatch), "{pinned}: {why}");
            }
        }
    }
}

#[test]
fn user_expiry_and_claims_of_a_token_are_returned() {
    let claims = r#"{"sub":"gon\u007aalo \"g\"","exp":1700000009.2,"x":[1]}"#;
    let token = sign_hs256(HEADER, claims);
    let mut verifier = verifier(vec![secret()]);
    let found = verifier.verify(token.as_bytes(), NOW_S).unwrap();
    assert_eq!(found, Verified { user: Some("gonzalo \"g\""), expires_at_s: Some(1_700_000_010), claims });
}

#[test]
fn earlier_tokens_do_not_change_a_verdict() {
    let mut verifier = verifier(vec![secret()]);
    let long = sign_hs256(HEADER, r#"{"user":{"username":"somebody \u0041"},"exp":1800000000}"#);
    let duplicate = sign_hs256(HEADER, r#"{"a":1,"b":{"c":1},"a":2}"#);
    let short = sign_hs256(HEADER, "{}");
    for _ in 0..3 {
        assert!(verifier.verify(long.as_bytes(), NOW_S).is_ok());
        let found = verifier.verify(duplicate.as_bytes(), NOW_S);
        assert_eq!(found, Err(Refusal::DuplicateMember));
        let found = verifier.verify(short.as_bytes(), NOW_S).unwrap();
        assert_eq!((found.user, found.expires_at_s), (None, None));
        assert_eq!(found.claims, "{}");
    }
}

#[test]
fn times_are_checked_to_the_second() {
    let exp = r#"{"exp":1000}"#;
    let nbf = r#"{"nbf":1000}"#;
    let iat = r#"{"iat":1000}"#;
    for (claims, leeway_s, now_s, verdict, why) in [
        (exp, 0, 999, Ok(()), "a second left"),
        (exp, 0, 1000, Err(Refusal::Expired), "exp itself is too late"),
        (exp, 5, 1004, Ok(()), "within the leeway"),
        (exp, 5, 1005, Err(Refusal::Expired), "beyond the leeway"),
        (exp, u64::MAX, u64::MAX - 1, Ok(()), "the leeway does not overflow"),
        (nbf, 0, 1000, Ok(()), "nbf itself is valid"),
        (nbf, 0, 999, Err(Refusal::NotYetValid), "a second early"),
        (nbf, 5, 995, Ok(()), "within the leeway"),
        (nbf, 5, 994, Err(Refusal::NotYetValid), "beyond the leeway"),
        (iat, 0, 999, Ok(()), "issuers round"),
        (iat, 0, 998, Err(Refusal::IssuedInFuture), "two seconds ahead are too many"),
        (iat, 5, 994, Ok(()), "within the leeway"),
        (r#"{"exp":1000.5}"#, 0, 1000, Ok(()), "half a second left"),
        (r#"{"exp":1000.5}"#, 0, 1001, Err(Refusal::Expired), "no time left"),
        (r#"{"nbf":999.5}"#, 0, 999, Err(Refusal::NotYetValid), "half a second early"),
        (r#"{"exp":0}"#, 0, 0, Err(Refusal::Expired), "exp 0 at 1970"),
        ("{}", 0, u64::MAX, Ok(()), "without exp a token never expires"),
    ] {
        let token = sign_hs256(HEADER, claims);
        let policy = Policy { leeway_s, ..Policy::default() };
        let mut verifier = verifier_with(vec![secret()], policy);
        let found = verifier.verify(token.as_bytes(), now_s).map(|_| ());
        assert_eq!(found, verdict, "{why}: {claims} at {now_s}");
    }
}

#[test]
fn issuer_and_audience_are_checked_when_configured() {
    for (claims, verdict, why) in [
        (r#"{"iss":"us","aud":"them"}"#, Ok(()), "both"),
        (r#"{"iss":"us","aud":["others","them"]}"#, Ok(()), "one of several"),
        (r#"{"iss":"\u0075s","aud":["th\u0065m"]}"#, Ok(()), "with escapes"),
        (r#"{"aud":"them"}"#, Err(Refusal::IssuerMissing), "no iss"),
        (r#"{"iss":"US","aud":"them"}"#, Err(Refusal::IssuerMismatch), "case"),
        (r#"{"iss":"us "}"#, Err(Refusal::IssuerMismatch), "a space"),
        (r#"{"iss":"us"}"#, Err(Refusal::AudienceMissing), "no aud"),
        (r#"{"iss":"us","aud":[]}"#, Err(Refusal::AudienceMismatch), "an empty list"),
        (r#"{"iss":"us","aud":"others"}"#, Err(Refusal::AudienceMismatch), "others"),
        (r#"{"iss":"us","aud":["them",1]}"#, Err(Refusal::ClaimsMalformed), "a number"),
        (r#"{"iss":["us"],"aud":"them"}"#, Err(Refusal::ClaimsMalformed), "a list"),
    ] {
        let token = sign_hs256(HEADER, claims);
        let policy = Policy { issuer: Some("us".to_owned()), audience: Some("them".to_owned()), ..Policy::default() };
        let mut verifier = verifier_with(vec![secret()], policy);
        let found = verifier.verify(token.as_bytes(), NOW_S).map(|_| ());
        assert_eq!(found, verdict, "{why}: {claims}");
    }
    let unchecked = sign_hs256(HEADER, r#"{"iss":"anybody","aud":"anybody"}"#);
    assert_eq!(verdict(&unchecked), Ok(()), "not configured");
}

#[test]
fn a_key_is_selected_by_kid_or_by_algorithm() {
    let other = || load::secret(b"another secret", Algorithm::HS256).unwrap();
    let named = || vec![other().with_kid("old"), secret().with_kid("new \"1\"")];
    let nameless = |count: usize| {
        let others = (1..count).map(|_| other());
        others.chain([secret()]).collect::<Vec<_>>()
    };
    let rs256 = public_key(Algorithm::RS256).with_kid("new \"1\"");
    let kid_new = r#"{"alg":"HS256","kid":"new \"\u0031\""}"#;
    let kid_old = r#"{"alg":"HS256","kid":"old"}"#;
    for (keys, header, verdict, why) in [
        (named(), kid_new, Ok(()), "selected by name"),
        (named(), HEADER, Ok(()), "without a name all keys are tried"),
        (named(), kid_old, Err(Refusal::SignatureInvalid), "the name of another key"),
        (named(), r#"{"alg":"HS256","kid":"x"}"#, Err(Refusal::UnknownKey), "an unknown name"),
        (named(), r#"{"alg":"HS256","kid":""}"#, Err(Refusal::UnknownKey), "an empty name"),
        (named(), r#"{"alg":"HS256","kid":"../../dev/null"}"#, Err(Refusal::UnknownKey), "a path"),
        (vec![secret()], kid_new, Err(Refusal::UnknownKey), "the key has no name"),
        (vec![rs256, secret()], kid_new, Err(Refusal::AlgorithmMismatch), "name and alg differ"),
        (vec![], HEADER, Err(Refusal::UnknownKey), "no keys"),
        (nameless(KEYS_TRIED_MAX), HEADER, Ok(()), "as many keys as are tried"),
        (nameless(KEYS_TRIED_MAX + 1), HEADER, Err(Refusal::AmbiguousKey), "one key more"),
    ] {
        let token = sign_hs256(header, CLAIMS);
        let found = verifier(keys).verify(token.as_bytes(), NOW_S).map(|_| ());
        assert_eq!(found, verdict, "{why}");
    }
}

#[test]
fn a_new_ring_is_used_from_the_next_token_on() {
    let keys = store(vec![secret()]);
    let mut verifier = Verifier::new(Arc::clone(&keys), Arc::new(Policy::default()));
    let token = sign_hs256(HEADER, CLAIMS);
    assert!(verifier.verify(token.as_bytes(), NOW_S).is_ok());

    keys.store(Arc::new(Ring::default()));
    let found = verifier.verify(token.as_bytes(), NOW_S);
    assert_eq!(found, Err(Refusal::UnknownKey), "the key was removed");
}
