//! The cache, compared with a set that keeps all tokens.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const CLAIMS: &str = r#"{"sub":"ann"}"#;

fn verified() -> Verified<'static> {
    Verified { user: CLAIMS.get(8..11), expires_at_s: Some(200), claims: CLAIMS }
}

fn entry(generation: u64) -> Entry<'static> {
    Entry { generation, valid_from_s: 100, verified: verified() }
}

/// A unique signature.
fn signature(number: usize) -> Vec<u8> {
    format!("{number:064}").into_bytes()
}

fn decoded<'t>(header: &'t str, signature: &'t [u8]) -> DecodedToken<'t> {
    DecodedToken { header: header.as_bytes(), claims: CLAIMS.as_bytes(), signature }
}

fn insert(cache: &mut TokenCache, token: DecodedToken<'_>, entry: &Entry<'_>) {
    let place = cache.locate(token.signature).unwrap();
    cache.insert(&place, token, entry);
}

/// The user and `exp` of a hit, or the refusal, with a leeway of ten seconds.
fn found(cache: &mut TokenCache, token: DecodedToken<'_>, generation: u64, now_s: u64) -> Option<String> {
    let place = cache.locate(token.signature)?;
    let verdict = cache.find(&place, token, generation, 10, now_s)?;
    Some(match verdict {
        Err(refusal) => refusal.to_string(),
        Ok(hit) => {
            let user = hit.user.map(|user| match user {
                User::InClaims(place) => CLAIMS[place].to_owned(),
                User::InLog(place) => cache.text(&place).to_owned(),
            });
            format!("{user:?} {:?}", hit.expires_at_s)
        }
    })
}

#[test]
fn a_hit_needs_the_whole_token_its_ring_and_a_valid_time() {
    let mut cache = TokenCache::new(BYTES_MIN).unwrap();
    let (one, two) = (signature(1), signature(2));
    let token = decoded("header", &one);
    insert(&mut cache, token, &entry(7));
    let other_claims = DecodedToken { claims: br#"{"sub":"bob"}"#, ..token };
    let shifted = DecodedToken { header: &[token.header, b"{"].concat(), claims: &token.claims[1..], ..token };
    let good = "Some(\"ann\") Some(200)";
    for (token, generation, now_s, expected, why) in [
        (token, 7, 100, Some(good), "the first valid second"),
        (token, 7, 209, Some(good), "the last valid second, with leeway"),
        (token, 7, 210, Some("expired"), "expired"),
        (token, 7, 99, None, "not valid yet: not found"),
        (token, 8, 150, None, "the ring changed"),
        (decoded("header", &two), 7, 150, None, "another signature"),
        (decoded("Header", &one), 7, 150, None, "another header"),
        (other_claims, 7, 150, None, "other claims"),
        (shifted, 7, 150, None, "the same bytes, split elsewhere"),
        (decoded("header", b"short"), 7, 150, None, "a signature that is too short"),
    ] {
        let found = found(&mut cache, token, generation, now_s);
        assert_eq!(found.as_deref(), expected, "{why}");
    }
    let counts = cache.counts();
    assert_eq!((counts.hits, counts.misses), (3, 6));
}

#[test]
fn user_and_expiry_of_a_cached_token_are_returned() {
    let mut cache = TokenCache::new(BYTES_MIN).unwrap();
    // A user with escapes is stored outside the claims.
    let escaped = String::from("ann");
    for (number, user, expires_at_s, expected) in [
        (1, None, None, "None None"),
        (2, Some(escaped.as_str()), None, "Some(\"ann\") None"),
        (3, Some(""), Some(u64::MAX - 1), "Some(\"\") Some(18446744073709551614)"),
    ] {
        let verified = Verified { user, expires_at_s, claims: CLAIMS };
        let entry = Entry { verified, ..entry(7) };
        let signature = signature(number);
        insert(&mut cache, decoded("header", &signature), &entry);
        let found = found(&mut cache, decoded("header", &signature), 7, 1_000);
        assert_eq!(found.as_deref(), Some(expected));
    }
}

#[test]
fn the_memory_of_the_cache_is_limited() {
    assert!(TokenCache::new(BYTES_MIN - 1).is_none());
    for bytes_max in [BYTES_MIN, 100_000, 1 << 20] {
        let mut cache = TokenCache::new(bytes_max).unwrap();
        for number in 0..20_000 {
            let signature = signature(number);
            let token = decoded("header", &signature);
            insert(&mut cache, token, &entry(7));
            assert!(found(&mut cache, token, 7, 100).is_some(), "the last token is cached");
        }
        let kept = (0..20_000).filter(|number| {
            let signature = signature(*number);
            found(&mut cache, decoded("header", &signature), 7, 100).is_some()
        });
        let kept = kept.count();
        assert!(cache.counts().bytes <= bytes_max as u64);
        assert!(kept > bytes_max / 200, "{kept} in {bytes_max} bytes");
        let huge = vec![b'a'; bytes_max / ENTRY_SHARE_MIN];
        insert(&mut cache, decoded("header", &huge), &entry(7));
        let found = found(&mut cache, decoded("header", &huge), 7, 100);
        assert_eq!(found, None, "too large for the log");
    }
}

proptest! {
    #[test]
    fn only_inserted_tokens_are_found(
        steps in prop::collection::vec((0..40_usize, 0..4_usize, 1..4_u64, any::<bool>()), 0..600),
    ) {
        let mut cache = TokenCache::new(BYTES_MIN).unwrap();
        let mut all = HashSet::new();
        for (number, length, generation, keep) in steps {
            // Different lengths, so that entries of all sizes overwrite each other.
            let header = "x".repeat(length * 700);
            let signature = signature(number);
            let token = decoded(&header, &signature);
            if keep {
                insert(&mut cache, token, &entry(generation));
                all.insert((number, length, generation));
            } else if let Some(found) = found(&mut cache, token, generation, 150) {
                prop_assert!(all.contains(&(number, length, generation)), "the token was never inserted");
                prop_assert_eq!(found, "Some(\"ann\") Some(200)");
            }
        }
    }
}
