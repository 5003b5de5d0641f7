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

mod claims;

mod json;

use std::sync::Arc;

use arc_swap::cache::Cache;

use crate::keys::{Algorithm, KEYS_TRIED_MAX, Key, Ring, Store};
use json::{Seen, Text};
use policy::ClaimPath;
use token::Buffer;

pub use claims::{ISSUED_AHEAD_S_MAX, TIME_S_END};
pub use policy::{Policy, TOKEN_BYTES_MAX};
pub use refusal::Refusal;

/// Judges tokens for one shard. It owns its buffers, so a verdict borrows it until the next token.
pub struct Verifier {
    /// The ring in use, looked at anew for each token at the price of one comparison.
    keys: Cache<Store, Arc<Ring>>,
    policy: Arc<Policy>,
    /// [`Policy::user_claim`], split once.
    user_claim: Vec<ClaimPath>,
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
            scratch: Scratch::new(policy.token_bytes_max),
            policy,
        }
    }

    /// Is `token` good at `now_s` (seconds since 1970), and what does it say?
    ///
    /// `token` is the compact form as it was sent, with nothing around it.
    ///
    /// # Errors
    /// The first rule that it breaks; see the table of the [module](self).
    pub fn verify(&mut self, token: &[u8], now_s: u64) -> Result<Verified<'_>, Refusal> {
        let Scratch {
            header: header_buffer,
            claims: claims_buffer,
            signature: signature_buffer,
            seen,
            kid: kid_buffer,
            user: user_buffer,
        } = &mut self.scratch;
        seen.clear();

        let segments = token::split(token, self.policy.token_bytes_max)?;
        let header = header::read(header_buffer.decode(segments.header)?, seen)?;
        let signature = signature_buffer.decode(segments.signature)?;
        let ring = self.keys.load();
        check_signature(
            candidates(ring, header.algorithm, header.kid, kid_buffer)?,
            segments.signed,
            signature,
        )?;

        let json = claims_buffer.decode(segments.claims)?;
        let json = str::from_utf8(json).map_err(|_| Refusal::ClaimsMalformed)?;
        seen.clear();
        let claims = claims::read(json, &self.user_claim, seen)?;
        claims.check(&self.policy, now_s)?;
        Ok(Verified {
            user: claims.user.map(|user| user.resolve(user_buffer)),
            expires_at_s: claims.expires_at_s,
            claims: json,
        })
    }
}

impl Scratch {
    fn new(token_bytes_max: usize) -> Self {
        Self {
            header: Buffer::new(token_bytes_max),
            claims: Buffer::new(token_bytes_max),
            signature: Buffer::new(token_bytes_max),
            seen: Seen::new(),
            kid: String::new(),
            user: String::new(),
        }
    }
}

/// The keys that may have signed: the one that `kid` names, or all that are pinned to the algorithm.
fn candidates<'r>(
    ring: &'r Ring,
    algorithm: Algorithm,
    kid: Option<Text<'_>>,
    buffer: &mut String,
) -> Result<impl Iterator<Item = &'r Key>, Refusal> {
    if ring.is_empty() {
        return Err(Refusal::UnknownKey);
    }
    let (one, many) = match kid {
        Some(kid) => {
            let key = ring.named(kid.resolve(buffer)).ok_or(Refusal::UnknownKey)?;
            if key.algorithm() != algorithm {
                return Err(Refusal::AlgorithmMismatch);
            }
            (Some(key), None)
        }
        None => match ring.pinned_to(algorithm).take(KEYS_TRIED_MAX + 1).count() {
            0 => return Err(Refusal::AlgorithmMismatch),
            1..=KEYS_TRIED_MAX => (None, Some(ring.pinned_to(algorithm))),
            _ => return Err(Refusal::AmbiguousKey),
        },
    };
    Ok(one.into_iter().chain(many.into_iter().flatten()))
}

fn check_signature<'r>(
    mut keys: impl Iterator<Item = &'r Key>,
    signed: &[u8],
    signature: &[u8],
) -> Result<(), Refusal> {
    if keys.any(|key| key.verify(signed, signature)) {
        Ok(())
    } else {
        Err(Refusal::SignatureInvalid)
    }
}

#[cfg(test)]
mod tests;
