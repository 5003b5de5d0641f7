//! The verdict held against that of jsonwebtoken, which knows nothing of this code.
//!
//! The verifier is the stricter of the two, so what it accepts the other must accept; what it refuses the
//! other may accept, by the rules that the module's table marks.

use jsonwebtoken::{DecodingKey, Validation};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

/// Algorithms that are quick to sign with; RSA is in the tables.
const QUICK: [Algorithm; 5] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::ES256,
    Algorithm::EdDSA,
];

/// Does jsonwebtoken accept `token`, without leeway, `nbf` honoured and `exp` optional?
fn oracle(token: &[u8], algorithm: Algorithm, policy: &Policy) -> bool {
    let key = match algorithm {
        Algorithm::ES256 => {
            DecodingKey::from_ec_pem(include_bytes!("../../../tests/keys/p256.public.pem")).unwrap()
        }
        Algorithm::EdDSA => {
            DecodingKey::from_ed_pem(include_bytes!("../../../tests/keys/ed25519.public.pem"))
                .unwrap()
        }
        _ => DecodingKey::from_secret(SECRET),
    };
    let mut validation = Validation::new(algorithm.as_str().parse().unwrap());
    validation.leeway = 0;
    validation.validate_nbf = true;
    validation.required_spec_claims.clear();
    if let Some(issuer) = &policy.issuer {
        validation.set_issuer(&[issuer]);
    }
    match &policy.audience {
        Some(audience) => validation.set_audience(&[audience]),
        None => validation.validate_aud = false,
    }
    jsonwebtoken::decode::<serde_json::Value>(token, &key, &validation).is_ok()
}

/// jsonwebtoken reads the clock by itself, so here the clock decides.
fn now_s() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

fn policy() -> impl Strategy<Value = Policy> {
    (any::<bool>(), any::<bool>()).prop_map(|(issuer, audience)| Policy {
        issuer: issuer.then(|| "us".to_owned()),
        audience: audience.then(|| "them".to_owned()),
        ..Policy::default()
    })
}

/// Values that a claim may have: sensible ones, and those that libraries disagree about. Times keep their
/// distance from the present, for two clocks are read.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        (-9_000i64..9_000).prop_filter_map("near now", |offset_s| {
            let at_s = now_s().checked_add_signed(offset_s)?;
            (offset_s.abs() > 60).then(|| at_s.to_string())
        }),
        select(vec![
            "0",
            "-1",
            "-0",
            "0.5",
            "1e3",
            "1.7e9",
            "4e9",
            "4000000000.7",
            "1e18",
            "1e300",
            "1e999",
            "18446744073709551615",
            "null",
            "true",
            "[]",
            "{}",
            "\"us\"",
            "\"them\"",
            "\"u\\u0073\"",
            "[\"them\"]",
            "[\"others\",\"them\"]",
            "[1]",
            "\"\"",
            "\"1\"",
            "01",
            "\"\\ud800\"",
            "",
        ])
        .prop_map(str::to_owned),
    ]
}

fn claims() -> impl Strategy<Value = String> {
    let name = select(vec![
        "exp",
        "nbf",
        "iat",
        "iss",
        "aud",
        "sub",
        "user",
        "x",
        "\\u0065xp",
        "",
    ]);
    proptest::collection::vec((name, value()), 0..6).prop_map(|members| {
        let members: Vec<_> = members
            .into_iter()
            .map(|(name, value)| format!(r#""{name}":{value}"#))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

fn header(algorithm: Algorithm) -> impl Strategy<Value = String> {
    let typ = select(vec![
        "",
        r#","typ":"JWT""#,
        r#","typ":"jwt""#,
        r#","typ":"x""#,
    ]);
    let more = select(vec!["", r#","x":[1]"#, r#","crit":[]"#, r#","alg":"none""#]);
    (typ, more).prop_map(move |(typ, more)| format!(r#"{{"alg":"{algorithm}"{typ}{more}}}"#))
}

/// A signed token of its algorithm, usually with something odd about it.
fn token() -> impl Strategy<Value = (Algorithm, String)> {
    select(QUICK.to_vec())
        .prop_flat_map(|algorithm| (Just(algorithm), header(algorithm), claims()))
        .prop_map(|(algorithm, header, claims)| (algorithm, sign(algorithm, &header, &claims)))
}

/// What is done to a token on its way.
#[derive(Clone, Debug)]
enum Change {
    Replace(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Swap(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let place = || any::<Index>();
    let byte = || prop_oneof![any::<u8>(), select(b"AQgw.=-_+/ {".to_vec())];
    prop_oneof![
        (place(), byte()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        (place(), byte()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        place().prop_map(Change::Remove),
        place().prop_map(Change::Cut),
        (place(), place()).prop_map(|(a, b)| Change::Swap(a, b)),
    ]
}

fn apply(token: &mut Vec<u8>, change: &Change) {
    let length = token.len();
    match change {
        _ if token.is_empty() => {}
        Change::Replace(at, byte) => token[at.index(length)] = *byte,
        Change::Insert(at, byte) => token.insert(at.index(length + 1), *byte),
        Change::Remove(at) => drop(token.remove(at.index(length))),
        Change::Cut(at) => token.truncate(at.index(length)),
        Change::Swap(a, b) => token.swap(a.index(length), b.index(length)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_accepted_the_oracle_accepts((algorithm, token) in token(), policy in policy()) {
        let mut verifier = verifier_with(vec![public_key(algorithm)], policy.clone());
        if let Ok(verified) = verifier.verify(token.as_bytes(), now_s()) {
            prop_assert!(oracle(token.as_bytes(), algorithm, &policy), "{}", verified.claims);
        }
    }

    #[test]
    fn a_changed_token_is_refused(
        algorithm in select(QUICK.to_vec()),
        changes in proptest::collection::vec(change(), 1..4),
    ) {
        let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
        let original = sign(algorithm, &header, CLAIMS);
        let mut token = original.clone().into_bytes();
        changes.iter().for_each(|change| apply(&mut token, change));
        let mut verifier = verifier(vec![public_key(algorithm)]);
        let accepted = verifier.verify(&token, now_s()).is_ok();
        // No two texts mean the same signature, so only the original itself is good.
        prop_assert_eq!(accepted, token == original.as_bytes());
    }

    #[test]
    fn any_bytes_are_judged(token in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut verifier = verifier(vec![public_key(Algorithm::HS256)]);
        prop_assert!(verifier.verify(&token, NOW_S).is_err());
    }
}
