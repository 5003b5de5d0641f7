//! Judging a token: who sent it, and is it good now?
//!
//! [`Verifier::verify`] takes a token and the time and returns what the token says or one [`Refusal`]. It
//! holds no clock, no lock and no memory of earlier tokens, and it allocates nothing on its way: a shard
//! owns one verifier, whose buffers are reused. The signature is checked before any claim is looked at.
//!
//! # The rules
//!
//! They are applied in this order, and the first that is broken is the reason.
//!
#![doc = include_str!("verify/rules.md")]
//!
//! Two are not as strict as there: `exp` is honoured and not required, and an `aud` is ignored where no audience is
//! configured. Tests hold the table against the code, and the code against `jsonwebtoken`
//! (`server/tests/it/oracle`).

mod refusal;

mod policy;

mod token;

mod header;

mod header_cache;

mod claims;

mod token_cache;

mod unknown_kids;

mod json;

mod word;

use std::sync::Arc;

use arc_swap::cache::Cache;

use crate::keys::{Algorithm, KEYS_TRIED_MAX, Key, Ring, Store, Wanted};
use claims::Claims;
use header_cache::{HeaderCache, Known};
use json::{Seen, Text};
use policy::ClaimPath;
use token::{Buffer, Segments};
use token_cache::{Entry, Hit, TokenCache, User, Whole};
use unknown_kids::UnknownKids;

pub use claims::{ISSUED_AHEAD_S_MAX, TIME_S_END};
pub use policy::{Policy, TOKEN_BYTES_MAX};
pub use refusal::Refusal;
pub use token_cache::CacheTally;

/// Judges tokens for one shard. It owns its buffers, so a verdict borrows it until the next token.
pub struct Verifier {
    /// The ring in use, looked at anew for each token at the price of one comparison.
    keys: Cache<Store, Arc<Ring>>,
    policy: Arc<Policy>,
    /// [`Policy::user_claim`], split once.
    user_claim: Vec<ClaimPath>,
    headers: HeaderCache,
    tokens: Option<TokenCache>,
    scratch: Scratch,
}

/// What a good token says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Verified<'v> {
    /// The user, found by [`Policy::user_claim`].
    pub user: Option<&'v str>,
    /// `exp` in seconds since 1970, rounded up, without the leeway.
    pub expires_at_s: Option<u64>,
    /// All claims, as the JSON object that was signed.
    pub claims: &'v str,
}

/// Memory that is reused from token to token. Each buffer takes the longest segment a token can have.
struct Scratch {
    header: HeaderScratch,
    claims: Buffer,
    signature: Buffer,
    /// Names of the claims that are being read.
    seen: Seen,
    /// A user whose escapes had to be resolved.
    user: String,
}

/// What reading a header takes, which few tokens need.
struct HeaderScratch {
    bytes: Buffer,
    /// Names of the header that is being read.
    seen: Seen,
    /// Names of keys that are not there, where there is somebody to ask for them.
    unknown: Option<UnknownKids>,
}

impl Verifier {
    /// A verifier with the keys of `keys`, whatever they are at the moment of a token, and `policy`.
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

    /// The same, remembering tokens that a public key verified in at most `bytes_max` bytes; too few of them are
    /// none.
    #[must_use]
    pub fn remembering_tokens(mut self, bytes_max: usize) -> Self {
        self.tokens = TokenCache::new(bytes_max);
        self
    }

    /// The same, asking for keys that tokens name and that are not there.
    #[must_use]
    pub fn asking_for_keys(mut self, wanted: Wanted) -> Self {
        self.scratch.header.unknown = Some(UnknownKids::new(wanted));
        self
    }

    /// How far the issuer's clock may be off, in seconds.
    pub fn leeway_s(&self) -> u64 {
        self.policy.leeway_s
    }

    /// What became of the tokens that were remembered; nothing where none are.
    pub fn cache_tally(&self) -> CacheTally {
        self.tokens.as_ref().map_or_else(CacheTally::default, TokenCache::tally)
    }

    /// Is `token` good at `now_s` (seconds since 1970), and what does it say?
    ///
    /// `token` is the compact form as it was sent, with nothing around it.
    ///
    /// # Errors
    /// The first rule that it breaks; see the table of the [module](self).
    pub fn verify(&mut self, token: &[u8], now_s: u64) -> Result<Verified<'_>, Refusal> {
        let known = self.headers.find(token, self.keys.load());
        let shape = known.and_then(|place| self.headers.at(place)).map(Known::shape);
        let segments = token::cut(token, shape, self.policy.token_bytes_max)?;
        self.judge(&segments, known, now_s).map_err(|refusal| segments.blame(refusal))
    }

    /// What `token` holds behind its header, if the signature is good: bytes that need not be claims.
    ///
    /// # Errors
    /// The first rule about anything but claims that it breaks; see the table of the [module](self).
    pub fn verify_signature(&mut self, token: &[u8]) -> Result<&[u8], Refusal> {
        let segments = token::cut(token, None, self.policy.token_bytes_max)?;
        let Self { keys, headers, scratch, .. } = self;
        let blame = |refusal| segments.blame(refusal);
        let signature = scratch.signature.decode(segments.signature).map_err(blame)?;
        let payload = scratch.claims.decode(segments.claims).map_err(blame)?;
        let header = &mut scratch.header;
        check_signature(keys.load(), headers, &segments, signature, header, None, 0).map_err(blame)?;
        Ok(payload)
    }

    /// The verdict on a token whose header has the place `known` among those that are known.
    #[inline(always)]
    fn judge(&mut self, segments: &Segments<'_>, known: Option<usize>, now_s: u64) -> Result<Verified<'_>, Refusal> {
        let Self { keys, policy, user_claim, headers, tokens, scratch } = self;
        let known = known.and_then(|place| headers.at(place));
        let buffers = (&mut scratch.signature, &mut scratch.claims);
        let decode = move || {
            let (signature, claims) = buffers;
            // The claims first: reading them must wait until they are in memory, the comparison of the MAC comes last.
            let claims = claims.decode(segments.claims)?;
            let signature = signature.decode(segments.signature)?;
            Ok((signature, (signature, claims)))
        };
        let mut place = None;
        let (verdict, (signature, json)) = match known {
            Some(known) if !known.key.is_public() => {
                let (is_good, decoded) = known.key.verify_after(segments.signed, decode)?;
                (Some(is_good), decoded)
            }
            known => {
                place = tokens.as_ref().and_then(|tokens| tokens.locate(segments.signature));
                let (_, decoded) = decode()?;
                let found = match (tokens.as_mut(), &place, known) {
                    (Some(tokens), Some(place), Some(_)) => {
                        let whole = whole(segments, decoded);
                        tokens.find(place, whole, headers.generation(), policy.leeway_s, now_s)
                    }
                    _ => None,
                };
                if let Some(found) = found {
                    return found.and_then(|hit| remembered(tokens.as_ref(), &hit, decoded.1));
                }
                let (signature, _) = decoded;
                let verdict = known.map(|known| known.key.verify(segments.signed, signature));
                (verdict, decoded)
            }
        };

        let is_public = match (verdict, known) {
            (Some(true), Some(known)) => known.key.is_public(),
            (_, Some(known)) if known.only => return Err(Refusal::SignatureInvalid),
            (_, known) => {
                let tried = known.map(|known| Arc::clone(&known.key));
                let header = &mut scratch.header;
                check_signature(keys.load(), headers, segments, signature, header, tried, now_s)?
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
            let entry = Entry { generation: headers.generation(), good_from_s: claims.good_from_s(policy), verified };
            let whole = whole(segments, (signature, json.as_bytes()));
            tokens.insert(place, whole, &entry);
        }
        Ok(verified)
    }
}

impl Scratch {
    fn new(token_bytes_max: usize) -> Self {
        Self {
            header: HeaderScratch { bytes: Buffer::new(token_bytes_max), seen: Seen::new(), unknown: None },
            claims: Buffer::new(token_bytes_max),
            signature: Buffer::new(token_bytes_max),
            seen: Seen::new(),
            user: String::with_capacity(token_bytes_max),
        }
    }
}

/// A token as the cache of tokens knows it: its header as it came, its signature and its claims decoded.
#[inline]
fn whole<'t>(segments: &Segments<'t>, (signature, claims): (&'t [u8], &'t [u8])) -> Whole<'t> {
    Whole { header: segments.header, claims, signature }
}

/// A token that was judged before, and is good still.
fn remembered<'v>(tokens: Option<&'v TokenCache>, hit: &Hit, claims: &'v [u8]) -> Result<Verified<'v>, Refusal> {
    // They were text before.
    let claims = str::from_utf8(claims).map_err(|_| Refusal::ClaimsMalformed)?;
    let user = hit.user.as_ref().and_then(|user| match user {
        User::Within(place) => claims.get(place.clone()),
        User::Apart(place) => tokens.map(|tokens| tokens.text(place)),
    });
    Ok(Verified { user, expires_at_s: hit.expires_at_s, claims })
}

/// Checks the signature by what the header says, which is remembered if a key answers for it; was that a public key?
/// `tried` is a key that did not.
#[inline(never)]
fn check_signature(
    ring: &Ring,
    headers: &mut HeaderCache,
    segments: &Segments<'_>,
    signature: &[u8],
    scratch: &mut HeaderScratch,
    tried: Option<Arc<Key>>,
    now_s: u64,
) -> Result<bool, Refusal> {
    scratch.seen.clear();
    let header = header::read(scratch.bytes.decode(segments.header)?, &mut scratch.seen)?;
    let found = candidates(ring, header.algorithm, header.kid);
    let (candidates, only) = found.inspect_err(|refusal| {
        if let (Refusal::UnknownKey, Some(unknown)) = (refusal, &mut scratch.unknown) {
            unknown.meet(header.kid.map_or("", |kid| kid.raw()), now_s);
        }
    })?;
    let tried = |key: &Arc<Key>| tried.as_ref().is_some_and(|tried| Arc::ptr_eq(key, tried));
    let key = candidates
        .filter(|key| !tried(key))
        .find(|key| key.verify(segments.signed, signature))
        .ok_or(Refusal::SignatureInvalid)?;
    headers.learn(segments, ring, key, only);
    Ok(key.is_public())
}

/// The keys that may have signed, and whether there is but one: the one that `kid` names, or all that are pinned to
/// the algorithm.
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
            let key = match kid.is_escaped() {
                false => ring.named(kid.raw()),
                // As it stands, for what it means could be long: only a name that is alike is read to its end.
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
