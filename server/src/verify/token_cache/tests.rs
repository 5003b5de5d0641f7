//! The cache held against a set that forgets nothing.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const CLAIMS: &str = r#"{"sub":"ann"}"#;

fn verified() -> Verified<'static> {
    Verified { user: CLAIMS.get(8..11), expires_at_s: Some(200), claims: CLAIMS }
}

fn entry(generation: u64) -> Entry<'static> {
    Entry { generation, good_from_s: 100, verified: verified() }
}

/// A token that is told from others by its signature, as tokens are.
fn signature(number: usize) -> Vec<u8> {
    format!("{number:064}").into_bytes()
}

fn whole<'t>(header: &'t str, signature: &'t [u8]) -> Whole<'t> {
    Whole { header: header.as_bytes(), claims: CLAIMS.as_bytes(), signature }
}

fn insert(cache: &mut TokenCache, token: Whole<'_>, entry: &Entry<'_>) {
    let place = cache.locate(token.signature).unwrap();
    cache.insert(&place, token, entry);
}

/// What a hit says, or why the token is refused, with a leeway of ten seconds.
fn found(cache: &mut TokenCache, token: Whole<'_>, generation: u64, now_s: u64) -> Option<String> {
    let place = cache.locate(token.signature)?;
    let verdict = cache.find(&place, token, generation, 10, now_s)?;
    Some(match verdict {
        Err(refusal) => refusal.to_string(),
        Ok(hit) => {
            let user = hit.user.map(|user| match user {
                User::Within(place) => CLAIMS[place].to_owned(),
                User::Apart(place) => cache.text(&place).to_owned(),
            });
            format!("{user:?} {:?}", hit.expires_at_s)
        }
    })
}

#[test]
fn a_token_counts_whole_under_its_ring_and_while_it_is_good() {
    let mut cache = TokenCache::new(BYTES_MIN).unwrap();
    let (one, two) = (signature(1), signature(2));
    let token = whole("header", &one);
    insert(&mut cache, token, &entry(7));
    let other_claims = Whole { claims: br#"{"sub":"bob"}"#, ..token };
    let shifted = Whole { header: &[token.header, b"{"].concat(), claims: &token.claims[1..], ..token };
    let good = "Some(\"ann\") Some(200)";
    for (token, generation, now_s, expected, why) in [
        (token, 7, 100, Some(good), "from the first second"),
        (token, 7, 209, Some(good), "to the last, leeway included"),
        (token, 7, 210, Some("expired"), "then it has expired"),
        (token, 7, 99, None, "too early is for a full look to say"),
        (token, 8, 150, None, "the ring changed"),
        (whole("header", &two), 7, 150, None, "another signature"),
        (whole("Header", &one), 7, 150, None, "another header"),
        (other_claims, 7, 150, None, "other claims"),
        (shifted, 7, 150, None, "the same bytes, cut elsewhere"),
        (whole("header", b"short"), 7, 150, None, "what is no signature"),
    ] {
        let found = found(&mut cache, token, generation, now_s);
        assert_eq!(found.as_deref(), expected, "{why}");
    }
    let tally = cache.tally();
    assert_eq!((tally.hits, tally.misses), (3, 6));
}

#[test]
fn what_a_token_says_comes_back() {
    let mut cache = TokenCache::new(BYTES_MIN).unwrap();
    // An escape is resolved outside the claims.
    let escaped = String::from("ann");
    for (number, user, expires_at_s, expected) in [
        (1, None, None, "None None"),
        (2, Some(escaped.as_str()), None, "Some(\"ann\") None"),
        (3, Some(""), Some(u64::MAX - 1), "Some(\"\") Some(18446744073709551614)"),
    ] {
        let verified = Verified { user, expires_at_s, claims: CLAIMS };
        let entry = Entry { verified, ..entry(7) };
        let signature = signature(number);
        insert(&mut cache, whole("header", &signature), &entry);
        let found = found(&mut cache, whole("header", &signature), 7, 1_000);
        assert_eq!(found.as_deref(), Some(expected));
    }
}

#[test]
fn memory_has_a_bound() {
    assert!(TokenCache::new(BYTES_MIN - 1).is_none());
    for bytes_max in [BYTES_MIN, 100_000, 1 << 20] {
        let mut cache = TokenCache::new(bytes_max).unwrap();
        for number in 0..20_000 {
            let signature = signature(number);
            let token = whole("header", &signature);
            insert(&mut cache, token, &entry(7));
            assert!(found(&mut cache, token, 7, 100).is_some(), "the last one");
        }
        let kept = (0..20_000).filter(|number| {
            let signature = signature(*number);
            found(&mut cache, whole("header", &signature), 7, 100).is_some()
        });
        let kept = kept.count();
        assert!(cache.tally().bytes <= bytes_max as u64);
        assert!(kept > bytes_max / 200, "{kept} in {bytes_max} bytes");
        let huge = vec![b'a'; bytes_max / ENTRY_SHARE_MIN];
        insert(&mut cache, whole("header", &huge), &entry(7));
        let found = found(&mut cache, whole("header", &huge), 7, 100);
        assert_eq!(found, None, "too large a share");
    }
}

proptest! {
    #[test]
    fn it_never_says_what_was_not_put_in(
        steps in prop::collection::vec((0..40_usize, 0..4_usize, 1..4_u64, any::<bool>()), 0..600),
    ) {
        let mut cache = TokenCache::new(BYTES_MIN).unwrap();
        let mut all = HashSet::new();
        for (number, length, generation, keep) in steps {
            // Lengths of their own, so that entries of all sizes overwrite each other.
            let header = "x".repeat(length * 700);
            let signature = signature(number);
            let token = whole(&header, &signature);
            if keep {
                insert(&mut cache, token, &entry(generation));
                all.insert((number, length, generation));
            } else if let Some(found) = found(&mut cache, token, generation, 150) {
                prop_assert!(all.contains(&(number, length, generation)), "it was never put in");
                prop_assert_eq!(found, "Some(\"ann\") Some(200)");
            }
        }
    }
}
