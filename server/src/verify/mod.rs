//! Judging a token: who sent it, and is it good now?
//!
//! [`Verifier::verify`] takes a token and the time and returns what the token says or one [`Refusal`]. It
//! holds no clock, no lock and no memory of earlier tokens, and it allocates nothing on its way: a shard
//! owns one verifier, whose buffers are reused. The signature is checked before any claim is looked at.
//!
//! # The rules
//!
//! They are applied in this order, and the first that is broken is the reason. Many libraries leave the
//! ones marked * out.
//!
//! | reason | broken rule | source |
//! |---|---|---|
//! | `missing` | there is a token | RFC 6750 section 3.1 |
//! | `too_long` | at most [`Policy::token_bytes_max`] bytes (8 KiB) | - |
//! | `malformed` | three segments, two dots | RFC 7515 section 7.1 |
//! | `encoding_invalid` | segments are base64url without padding, in canonical form | RFC 7515 section 2, RFC 4648 section 3.5 |
//! | `header_malformed` | the header is a JSON object of at most 16 members; `alg` is there; `alg`, `kid`, `typ` are strings | RFC 7515 section 4 |
//! | `duplicate_member` | no name twice in the header, the claims, or the object that holds the user * | RFC 7515 section 4, RFC 7519 section 4 |
//! | `nested_too_deep` | at most 64 levels | RFC 8259 section 9 |
//! | `none_algorithm` | `alg` is not `none`, in whatever case | RFC 8725 section 3.2 |
//! | `unknown_algorithm` | `alg` is an [`Algorithm`], in its exact case | RFC 7515 section 4.1.1 |
//! | `critical_header` | no `crit`, not even an empty one, and no `b64` but true * | RFC 7515 section 4.1.11, RFC 7797 section 7 |
//! | `embedded_key` | no `jwk`, `jku`, `x5c`, `x5u`: keys come from the configuration alone * | RFC 8725 section 3.10 |
//! | `wrong_type` | `typ`, where it is there, is `JWT` or `at+jwt`, in any case, with or without `application/` * | RFC 8725 section 3.11 |
//! | `unknown_key` | there are keys, and one has the token's `kid` where it says one | RFC 7515 section 4.1.4 |
//! | `ambiguous_key` | without `kid`, at most [`KEYS_TRIED_MAX`] keys have the algorithm * | - |
//! | `algorithm_mismatch` | `alg` is the one that the key is pinned to | RFC 8725 section 3.1 |
//! | `signature_invalid` | the key made the signature, over these very bytes | RFC 7515 section 5.2 |
//! | `claims_malformed` | the claims are a JSON object of at most 256 members; `iss` and `sub` are strings, `aud` a string or a list of strings * | RFC 7519 sections 4.1.1 to 4.1.3 and 7.2 |
//! | `time_invalid` | `exp`, `nbf`, `iat` are numbers, not negative, before the year 10000 * | RFC 7519 section 2 |
//! | `expired` | `now < exp + leeway` (leeway 0 *) | RFC 7519 section 4.1.4 |
//! | `not_yet_valid` | `now + leeway >= nbf` * | RFC 7519 section 4.1.5 |
//! | `issued_in_future` | `now + leeway + 1 s >= iat` * | RFC 7519 section 4.1.6 |
//! | `issuer_missing` | an issuer is asked for, and `iss` is there * | RFC 8725 section 3.8 |
//! | `issuer_mismatch` | `iss` is the issuer | RFC 7519 section 4.1.1 |
//! | `audience_missing` | an audience is asked for, and `aud` is there * | RFC 8725 section 3.9 |
//! | `audience_mismatch` | `aud` is the audience, or holds it | RFC 7519 section 4.1.3 |
//!
//! `exp` is honoured and not required. An `aud` is ignored where no audience is configured.

mod refusal;

mod policy;

mod token;

mod header;

mod header_cache;

mod claims;

mod token_cache;

mod json;

use std::sync::Arc;

use arc_swap::cache::Cache;

use crate::keys::{Algorithm, KEYS_TRIED_MAX, Key, Ring, Store};
use header_cache::HeaderCache;
use json::{Seen, Text};
use policy::ClaimPath;
use token::{Buffer, Segments};
use token_cache::{Entry, Hit, TokenCache};

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
    header: Buffer,
    claims: Buffer,
    signature: Buffer,
    /// Names of the object that is being read.
    seen: Seen,
    /// A `kid` whose escapes had to be resolved.
    kid: String,
    /// A user whose escapes had to be resolved.
    user: String,
}

impl Verifier {
    /// A verifier with the keys of `keys`, whatever they are at the moment of a token, and `policy`.
    pub fn new(keys: Store, policy: Arc<Policy>) -> Self {
        Self {
            keys: Cache::new(keys),
            user_claim: policy
                .user_claim
                .iter()
                .map(|path| ClaimPath::new(path))
                .collect(),
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

    /// What became of the tokens that were remembered; nothing where none are.
    pub fn cache_tally(&self) -> CacheTally {
        self.tokens
            .as_ref()
            .map_or_else(CacheTally::default, TokenCache::tally)
    }

    /// Is `token` good at `now_s` (seconds since 1970), and what does it say?
    ///
    /// `token` is the compact form as it was sent, with nothing around it.
    ///
    /// # Errors
    /// The first rule that it breaks; see the table of the [module](self).
    pub fn verify(&mut self, token: &[u8], now_s: u64) -> Result<Verified<'_>, Refusal> {
        let segments = token::split(token, self.policy.token_bytes_max)?;
        let keep = match self.check_signature(token, &segments, now_s)? {
            Signature::Remembered(hit) => return Ok(self.remembered(&hit)),
            Signature::Checked { keep } => keep,
        };
        let Self {
            policy,
            user_claim,
            scratch,
            tokens,
            keys,
            ..
        } = self;
        let json = scratch.claims.decode(segments.claims)?;
        let json = str::from_utf8(json).map_err(|_| Refusal::ClaimsMalformed)?;
        let claims = claims::read(json, user_claim, &mut scratch.seen)?;
        claims.check(policy, now_s)?;
        let verified = Verified {
            user: claims.user.map(|user| user.resolve(&mut scratch.user)),
            expires_at_s: claims.expires_at_s,
            claims: json,
        };
        if let Some(tokens) = tokens.as_mut().filter(|_| keep) {
            let entry = Entry {
                generation: keys.load().generation(),
                good: claims.good(policy),
                verified,
            };
            tokens.insert(token, &entry);
        }
        Ok(verified)
    }

    /// What `token` holds behind its header, if the signature is good: bytes that need not be claims. Nothing is
    /// remembered.
    ///
    /// # Errors
    /// The first rule about anything but claims that it breaks; see the table of the [module](self).
    pub fn verify_signature(&mut self, token: &[u8]) -> Result<&[u8], Refusal> {
        let segments = token::split(token, self.policy.token_bytes_max)?;
        self.check_signature_by_header(&segments, None)?;
        self.scratch.claims.decode(segments.claims)
    }

    /// Who signed `token`, unless it is remembered whole?
    #[inline]
    fn check_signature(
        &mut self,
        token: &[u8],
        segments: &Segments<'_>,
        now_s: u64,
    ) -> Result<Signature, Refusal> {
        let ring: &Ring = self.keys.load();
        let Some(known) = self.headers.find(segments.header, ring) else {
            return self.check_signature_by_header(segments, None);
        };
        let mut keep = false;
        if let Some(tokens) = &mut self.tokens
            && known.key.is_public()
        {
            keep = true;
            if let Some(found) = tokens.find(token, ring.generation(), now_s) {
                return found.map(Signature::Remembered);
            }
        }
        let signature = self.scratch.signature.decode(segments.signature)?;
        if known.key.verify(segments.signed, signature) {
            return Ok(Signature::Checked { keep });
        }
        if known.only {
            return Err(Refusal::SignatureInvalid);
        }
        let tried = Arc::clone(&known.key);
        self.check_signature_by_header(segments, Some(&tried))
    }

    /// The same by what the header says, which is remembered if a key answers for it. `tried` is a key that did
    /// not.
    fn check_signature_by_header(
        &mut self,
        segments: &Segments<'_>,
        tried: Option<&Arc<Key>>,
    ) -> Result<Signature, Refusal> {
        let Self {
            keys,
            headers,
            tokens,
            scratch,
            ..
        } = self;
        scratch.seen.clear();
        let header = header::read(scratch.header.decode(segments.header)?, &mut scratch.seen)?;
        let signature = scratch.signature.decode(segments.signature)?;
        let ring: &Ring = keys.load();
        let (candidates, only) = candidates(ring, header.algorithm, header.kid, &mut scratch.kid)?;
        let key = candidates
            .filter(|key| tried.is_none_or(|tried| !Arc::ptr_eq(key, tried)))
            .find(|key| key.verify(segments.signed, signature))
            .ok_or(Refusal::SignatureInvalid)?;
        headers.learn(segments.header, ring, key, only);
        let keep = tokens.is_some() && key.is_public();
        Ok(Signature::Checked { keep })
    }

    fn remembered(&self, hit: &Hit) -> Verified<'_> {
        let text = |place| {
            self.tokens
                .as_ref()
                .map_or("", |tokens| tokens.text(place))
        };
        Verified {
            user: hit.user.as_ref().map(text),
            expires_at_s: hit.expires_at_s,
            claims: text(&hit.claims),
        }
    }
}

/// How a signature was found to be good.
enum Signature {
    /// The whole token was judged before, and its verdict stands.
    Remembered(Hit),
    /// By a key; `keep`: the token is worth being remembered, should its claims be good too.
    Checked { keep: bool },
}

impl Scratch {
    fn new(token_bytes_max: usize) -> Self {
        Self {
            header: Buffer::new(token_bytes_max),
            claims: Buffer::new(token_bytes_max),
            signature: Buffer::new(token_bytes_max),
            seen: Seen::new(),
            kid: String::with_capacity(token_bytes_max),
            user: String::with_capacity(token_bytes_max),
        }
    }
}

/// The keys that may have signed, and whether there is but one: the one that `kid` names, or all that are pinned to
/// the algorithm.
fn candidates<'r>(
    ring: &'r Ring,
    algorithm: Algorithm,
    kid: Option<Text<'_>>,
    buffer: &mut String,
) -> Result<(impl Iterator<Item = &'r Arc<Key>>, bool), Refusal> {
    if ring.is_empty() {
        return Err(Refusal::UnknownKey);
    }
    let (one, many, count) = match kid {
        Some(kid) => {
            let key = ring.named(kid.resolve(buffer)).ok_or(Refusal::UnknownKey)?;
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
