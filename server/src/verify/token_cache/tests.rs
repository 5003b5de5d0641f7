//! The cache held against a map that forgets nothing.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const CLAIMS: &str = r#"{"sub":"ann"}"#;

fn verified() -> Verified<'static> {
    Verified {
        user: CLAIMS.get(8..11),
        expires_at_s: Some(200),
        claims: CLAIMS,
    }
}

fn entry(generation: u64, good: Range<u64>) -> Entry<'static> {
    Entry {
        generation,
        good,
        verified: verified(),
    }
}

/// A token that is told from others by its signature, as tokens are.
fn token(number: usize) -> Vec<u8> {
    format!("header.claims.{number:040}").into_bytes()
}

/// What a hit says, or why the token is refused.
fn found(cache: &mut TokenCache, token: &[u8], generation: u64, now_s: u64) -> Option<String> {
    let verdict = cache.find(token, generation, now_s)?;
    Some(match verdict {
        Err(refusal) => refusal.to_string(),
        Ok(hit) => {
            let text = |place| str::from_utf8(cache.bytes(place)).unwrap();
            let user = hit.user.as_ref().map(text);
            format!("{} {user:?} {:?}", text(&hit.claims), hit.expires_at_s)
        }
    })
}

#[test]
fn a_token_counts_whole_under_its_ring_and_while_it_is_good() {
    let mut cache = TokenCache::new(BYTES_MIN).unwrap();
    cache.insert(&token(1), &entry(7, 100..210));
    let mut other = token(1);
    other[0] ^= 1;
    let good = format!("{CLAIMS} Some(\"ann\") Some(200)");
    for (token, generation, now_s, expected, why) in [
        (
            &token(1),
            7,
            100,
            Some(good.as_str()),
            "from the first second",
        ),
        (
            &token(1),
            7,
            209,
            Some(&good),
            "to the last, leeway included",
        ),
        (&token(1), 7, 210, Some("expired"), "then it has expired"),
        (
            &token(1),
            7,
            99,
            None,
            "too early is for a full look to say",
        ),
        (&token(1), 8, 150, None, "the ring changed"),
        (&token(2), 7, 150, None, "another token"),
        (
            &other,
            7,
            150,
            None,
            "the same signature under something else",
        ),
        (&b"short".to_vec(), 7, 150, None, "what is no token"),
    ] {
        let found = found(&mut cache, token, generation, now_s);
        assert_eq!(found.as_deref(), expected, "{why}");
    }
    let tally = cache.tally();
    assert_eq!((tally.hits, tally.misses), (3, 5));
}

#[test]
fn what_a_token_says_comes_back() {
    let mut cache = TokenCache::new(BYTES_MIN).unwrap();
    // An escape is resolved outside the claims.
    let escaped = String::from("ann");
    for (number, user, expires_at_s, expected) in [
        (1, None, None, "None None"),
        (2, Some(escaped.as_str()), None, "Some(\"ann\") None"),
        (3, Some(""), Some(0), "Some(\"\") Some(0)"),
    ] {
        let verified = Verified {
            user,
            expires_at_s,
            claims: CLAIMS,
        };
        let entry = Entry {
            generation: 7,
            good: 0..u64::MAX,
            verified,
        };
        cache.insert(&token(number), &entry);
        // At the end of time, but for a token that has none.
        let found = found(&mut cache, &token(number), 7, u64::MAX - 1);
        assert_eq!(found, Some(format!("{CLAIMS} {expected}")));
    }
}

#[test]
fn memory_has_a_bound() {
    assert!(TokenCache::new(BYTES_MIN - 1).is_none());
    for bytes_max in [BYTES_MIN, 100_000, 1 << 20] {
        let mut cache = TokenCache::new(bytes_max).unwrap();
        let mut kept = 0;
        for number in 0..20_000 {
            cache.insert(&token(number), &entry(7, 0..u64::MAX));
            assert!(
                found(&mut cache, &token(number), 7, 1).is_some(),
                "the last one"
            );
        }
        for number in 0..20_000 {
            kept += usize::from(found(&mut cache, &token(number), 7, 1).is_some());
        }
        assert!(cache.tally().bytes <= bytes_max as u64);
        assert!(kept > bytes_max / 300, "{kept} in {bytes_max} bytes");
        let huge = vec![b'a'; bytes_max / ENTRY_SHARE_MIN];
        cache.insert(&huge, &entry(7, 0..u64::MAX));
        assert!(
            found(&mut cache, &huge, 7, 1).is_none(),
            "too large a share"
        );
    }
}

proptest! {
    #[test]
    fn it_never_says_what_was_not_put_in(
        steps in prop::collection::vec(
            (0..40_usize, 0..4_usize, 1..4_u64, 0..300_u64, any::<bool>()),
            0..600,
        ),
    ) {
        let mut cache = TokenCache::new(BYTES_MIN).unwrap();
        let mut all: HashMap<(Vec<u8>, u64), Range<u64>> = HashMap::new();
        for (number, length, generation, now_s, insert) in steps {
            // Lengths of their own, so that entries of all sizes overwrite each other.
            let token = [vec![b'x'; length * 700], token(number)].concat();
            if insert {
                let good = now_s..now_s + 100;
                cache.insert(&token, &entry(generation, good.clone()));
                all.insert((token, generation), good);
            } else if let Some(found) = found(&mut cache, &token, generation, now_s) {
                let good = all.get(&(token, generation));
                prop_assert!(good.is_some(), "it was never put in");
                // An older entry of the same token may be found, but for no longer than it said.
                prop_assert!(found == "expired" || found.starts_with(CLAIMS));
            }
        }
    }
}
