//! The verifier of one shard: the rules in their order, and the buffers that they use.

use std::sync::Arc;

use arc_swap::cache::Cache;

use crate::keys::{Algorithm, FetchTrigger, KEYS_TRIED_MAX, Key, Ring, Store};
use crate::verify::claims::{self, Claims};
use crate::verify::header;
use crate::verify::header_cache::{HeaderCache, KnownHeader};
use crate::verify::json::{SeenNames, Text};
use crate::verify::policy::ClaimPath;
use crate::verify::token::{self, Buffer, Segments};
use crate::verify::token_cache::{DecodedToken, Entry, Hit, TokenCache, User};
use crate::verify::unknown_kids::UnknownKids;
use crate::verify::{CacheCounts, Policy, Refusal, Verified};

/// Verifies tokens for one shard. A result borrows the buffers of the verifier until the next token.
pub struct Verifier {
    /// The ring in use, loaded for each token with one comparison.
    keys: Cache<Store, Arc<Ring>>,
    policy: Arc<Policy>,
    /// [`Policy::user_claim`], split once.
    user_claim: Vec<ClaimPath>,
    headers: HeaderCache,
    tokens: Option<TokenCache>,
    scratch: Scratch,
}

/// Reused memory. Each buffer has room for the longest segment of a token.
struct Scratch {
    header: HeaderScratch,
    claims: Buffer,
    signature: Buffer,
    /// Names of the claims that are being read.
    seen: SeenNames,
    /// The name of a user, with decoded escapes.
    user: String,
}

/// Memory for reading a header that is not cached.
struct HeaderScratch {
    bytes: Buffer,
    /// Names of the header that is being read.
    seen: SeenNames,
    /// Names of unknown keys; `None` without key sets to fetch.
    unknown: Option<UnknownKids>,
}

impl Verifier {
    /// A verifier with `policy`, which reads the ring in `keys` for each token.
    pub fn new(keys: Store, policy: Arc<Policy>) -> Self {
        Self {
            keys: Cache::new(keys),
            user_claim: policy.user_claim.iter().map(|path| ClaimPath::new(path)).collect(),
            headers: HeaderCache::new(),
            tokens: None,
            scratch: Scratch::new(policy.token_bytes_max),
            policy,
        }
    }

    /// Adds a cache, of at most `bytes_max` bytes, of tokens that a public key verified. A `bytes_max` that is too
    /// small adds none.
    #[must_use]
    pub fn with_token_cache(mut self, bytes_max: usize) -> Self {
        self.tokens = TokenCache::new(bytes_max);
        self
    }

    /// Requests a fetch by `trigger` when a token names an unknown key. `hash_seed` should be random, so that senders
    /// cannot choose names with one hash.
    #[must_use]
    pub fn with_fetch_trigger(mut self, trigger: FetchTrigger, hash_seed: u64) -> Self {
        self.scratch.header.unknown = Some(UnknownKids::new(trigger, hash_seed));
        self
    }

    /// The tolerated difference between the issuer's clock and this one, in seconds.
    pub fn leeway_s(&self) -> u64 {
        self.policy.leeway_s
    }

    /// The counters of the token cache; zeros without a cache.
    pub fn cache_counts(&self) -> CacheCounts {
        self.tokens.as_ref().map_or_else(CacheCounts::default, TokenCache::counts)
    }

    /// Verifies `token`, the compact form as it was sent, at `now_s` (seconds since 1970).
    ///
    /// # Errors
    /// The first rule that the token breaks; see the table of the module `verify`.
    pub fn verify(&mut self, token: &[u8], now_s: u64) -> Result<Verified<'_>, Refusal> {
        let known = self.headers.find(token, self.keys.load());
        let shape = known.and_then(|place| self.headers.at(place)).map(KnownHeader::shape);
        let segments = token::split(token, shape, self.policy.token_bytes_max)?;
        self.verify_segments(&segments, known, now_s).map_err(|refusal| segments.precise(refusal))
    }

    /// The payload of `token` if its signature is valid. The payload may be any bytes.
    ///
    /// # Errors
    /// The first rule that the token breaks, except those about claims; see the table of the module `verify`.
    pub fn verify_signature(&mut self, token: &[u8]) -> Result<&[u8], Refusal> {
        let segments = token::split(token, None, self.policy.token_bytes_max)?;
        let Self { keys, headers, scratch, .. } = self;
        let precise = |refusal| segments.precise(refusal);
        let signature = scratch.signature.decode(segments.signature).map_err(precise)?;
        let payload = scratch.claims.decode(segments.claims).map_err(precise)?;
        let selection = KeySelection { ring: keys.load(), headers, scratch: &mut scratch.header };
        selection.check(&segments, signature, None, 0).map_err(precise)?;
        Ok(payload)
    }

    /// The verdict on a token; `known` is the index of its header in the cache of headers.
    #[inline(always)]
    fn verify_segments(
        &mut self,
        segments: &Segments<'_>,
        known: Option<usize>,
        now_s: u64,
    ) -> Result<Verified<'_>, Refusal> {
        let Self { keys, policy, user_claim, headers, tokens, scratch } = self;
        let known = known.and_then(|place| headers.at(place));
        let buffers = (&mut scratch.signature, &mut scratch.claims);
        let decode = move || {
            let (signature, claims) = buffers;
            // The claims are decoded first, because they are read soon; the signature is compared last.
            let claims = claims.decode(segments.claims)?;
            let signature = signature.decode(segments.signature)?;
            Ok((signature, (signature, claims)))
        };
        let mut place = None;
        let (verdict, (signature, json)) = match known {
            Some(known) if !known.key.is_public() => {
                let (is_valid, decoded) = known.key.verify_after(segments.signed, decode)?;
                (Some(is_valid), decoded)
            }
            known => {
                place = tokens.as_ref().and_then(|tokens| tokens.locate(segments.signature));
                let (_, decoded) = decode()?;
                let found = match (tokens.as_mut(), &place, known) {
                    (Some(tokens), Some(place), Some(_)) => {
                        let whole = decoded_token(segments, decoded);
                        tokens.find(place, whole, headers.generation, policy.leeway_s, now_s)
                    }
                    _ => None,
                };
                if let Some(found) = found {
                    return found.and_then(|hit| cached(tokens.as_ref(), &hit, decoded.1));
                }
                let (signature, _) = decoded;
                let verdict = known.map(|known| known.key.verify(segments.signed, signature));
                (verdict, decoded)
            }
        };

        let is_public = match (verdict, known) {
            (Some(true), Some(known)) => known.key.is_public(),
            (_, Some(known)) if known.is_only_key => return Err(Refusal::SignatureInvalid),
            (_, known) => {
                let tried = known.map(|known| Arc::clone(&known.key));
                let selection = KeySelection { ring: keys.load(), headers, scratch: &mut scratch.header };
                selection.check(segments, signature, tried, now_s)?
            }
        };

        let json = str::from_utf8(json).map_err(|_| Refusal::ClaimsMalformed)?;
        let mut claims = Claims::default();
        claims::read(json, user_claim, &mut scratch.seen, &mut claims)?;
        claims.check(policy, now_s)?;
        let verified = Verified {
            user: claims.user.map(|user| user.resolve(&mut scratch.user)),
            expires_at_s: claims.expires_at_s,
            claims: json,
        };
        if let (Some(tokens), Some(place), true) = (tokens, &place, is_public) {
            let entry = Entry { generation: headers.generation, valid_from_s: claims.valid_from_s(policy), verified };
            let whole = decoded_token(segments, (signature, json.as_bytes()));
            tokens.insert(place, whole, &entry);
        }
        Ok(verified)
    }
}

impl Scratch {
    fn new(token_bytes_max: usize) -> Self {
        Self {
            header: HeaderScratch { bytes: Buffer::new(token_bytes_max), seen: SeenNames::new(), unknown: None },
            claims: Buffer::new(token_bytes_max),
            signature: Buffer::new(token_bytes_max),
            seen: SeenNames::new(),
            user: String::with_capacity(token_bytes_max),
        }
    }
}

/// A token as the cache stores it: its header as sent, its claims and signature decoded.
#[inline]
fn decoded_token<'t>(segments: &Segments<'t>, (signature, claims): (&'t [u8], &'t [u8])) -> DecodedToken<'t> {
    DecodedToken { header: segments.header, claims, signature }
}

/// The result for a token that was found in the cache.
fn cached<'v>(tokens: Option<&'v TokenCache>, hit: &Hit, claims: &'v [u8]) -> Result<Verified<'v>, Refusal> {
    // Only valid UTF-8 is cached.
    let claims = str::from_utf8(claims).map_err(|_| Refusal::ClaimsMalformed)?;
    let user = hit.user.as_ref().and_then(|user| match user {
        User::InClaims(place) => claims.get(place.clone()),
        User::InLog(place) => tokens.map(|tokens| tokens.text(place)),
    });
    Ok(Verified { user, expires_at_s: hit.expires_at_s, claims })
}

/// The data for the selection of keys by a header.
struct KeySelection<'v> {
    ring: &'v Ring,
    headers: &'v mut HeaderCache,
    scratch: &'v mut HeaderScratch,
}

impl KeySelection<'_> {
    /// Checks the signature with the keys that the header selects, and caches the header if it is valid under one of
    /// them. Returns whether that is a public key. `tried` is a key that failed before.
    #[inline(never)]
    fn check(
        self,
        segments: &Segments<'_>,
        signature: &[u8],
        tried: Option<Arc<Key>>,
        now_s: u64,
    ) -> Result<bool, Refusal> {
        let Self { ring, headers, scratch } = self;
        scratch.seen.clear();
        let header = header::read(scratch.bytes.decode(segments.header)?, &mut scratch.seen)?;
        let found = candidates(ring, header.algorithm, header.kid);
        let (candidates, only) = found.inspect_err(|refusal| {
            if let (Refusal::UnknownKey, Some(unknown)) = (refusal, &mut scratch.unknown) {
                unknown.record(header.kid.map_or("", |kid| kid.raw), now_s);
            }
        })?;
        let tried = |key: &Arc<Key>| tried.as_ref().is_some_and(|tried| Arc::ptr_eq(key, tried));
        let key = candidates
            .filter(|key| !tried(key))
            .find(|key| key.verify(segments.signed, signature))
            .ok_or(Refusal::SignatureInvalid)?;
        headers.insert(segments, ring, key, only);
        Ok(key.is_public())
    }
}

/// The keys that may have signed, and whether there is only one. With a `kid` it is the key of this name, else all keys
/// pinned to the algorithm.
fn candidates<'r>(
    ring: &'r Ring,
    algorithm: Algorithm,
    kid: Option<Text<'_>>,
) -> Result<(impl Iterator<Item = &'r Arc<Key>>, bool), Refusal> {
    if ring.is_empty() {
        return Err(Refusal::UnknownKey);
    }
    let (one, many, count) = match kid {
        Some(kid) => {
            let key = match kid.is_escaped {
                false => ring.named(kid.raw),
                // Compared while it is decoded, because it may be long: the comparison ends at the first difference.
                true => ring.keys().iter().find(|key| key.kid().is_some_and(|name| kid.is(name))),
            };
            let key = key.ok_or(Refusal::UnknownKey)?;
            if key.algorithm() != algorithm {
                return Err(Refusal::AlgorithmMismatch);
            }
            (Some(key), None, 1)
        }
        None => match ring.pinned_to(algorithm).take(KEYS_TRIED_MAX + 1).count() {
            0 => return Err(Refusal::AlgorithmMismatch),
            count @ 1..=KEYS_TRIED_MAX => (None, Some(ring.pinned_to(algorithm)), count),
            _ => return Err(Refusal::AmbiguousKey),
        },
    };
    let keys = one.into_iter().chain(many.into_iter().flatten());
    Ok((keys, count == 1))
}

#[cfg(test)]
mod tests;
