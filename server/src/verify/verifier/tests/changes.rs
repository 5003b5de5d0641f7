//! Tokens that were changed after they were signed.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

/// Algorithms with fast signing; the tables in other files have RSA.
const QUICK: [Algorithm; 5] =
    [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512, Algorithm::ES256, Algorithm::EdDSA];

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
    fn a_changed_token_is_refused(
        algorithm in select(QUICK.to_vec()),
        changes in proptest::collection::vec(change(), 1..4),
    ) {
        let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
        let original = sign(algorithm, &header, CLAIMS);
        let mut token = original.clone().into_bytes();
        changes.iter().for_each(|change| apply(&mut token, change));
        let mut verifier = verifier(vec![public_key(algorithm)]).with_token_cache(1 << 17);
        // The header of the original is cached, and the whole token where a public key verified it.
        for _ in 0..2 {
            prop_assert!(verifier.verify(original.as_bytes(), NOW_S).is_ok());
        }
        let accepted = verifier.verify(&token, NOW_S).is_ok();
        // A signature has one encoding, therefore only the original is valid.
        prop_assert_eq!(accepted, token == original.as_bytes());
    }

    #[test]
    fn arbitrary_bytes_are_refused(token in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut verifier = verifier(vec![public_key(Algorithm::HS256)]);
        prop_assert!(verifier.verify(&token, NOW_S).is_err());
    }
}
