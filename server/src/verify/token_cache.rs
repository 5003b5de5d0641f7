//! Tokens that were verified by a public key, so that the same token again costs no signature check.
//!
//! A signature check takes 15 to 300 microseconds, and clients come back with the token that they have. An
//! entry holds the whole token and is found by nothing less; it counts under the ring it was verified by, and
//! only at instants at which the claims allow it. HMAC tokens are not kept: they cost less than a look.
//!
//! The memory is a log: entries are written one behind the other around a ring of bytes, and the oldest are
//! overwritten. So it has a bound in bytes, is taken once, and nothing is allocated per token. An index of
//! buckets, each of which fits a cache line, leads to the entries.

use std::ops::Range;

use super::{Refusal, Verified};

/// What one verified token may be worth keeping: its share of the whole.
const ENTRY_SHARE_MIN: usize = 8;

/// Entries are as large as this on average when the index is dimensioned: a token by RSA-2048 takes 550 bytes, one
/// by an elliptic curve 300. There are twice as many slots, so that few buckets are full.
const ENTRY_BYTES_USUAL: usize = 384;

/// Slots of a bucket: one cache line of them.
const SLOTS: usize = 8;

/// Less is no cache: it would hold a handful of tokens.
const BYTES_MIN: usize = 64 * 1024;

/// Verified tokens of one shard.
pub(super) struct TokenCache {
    log: Box<[u8]>,
    /// Bytes ever written, including those skipped at the end of the log; where the next entry goes.
    written: u64,
    buckets: Box<[Bucket]>,
    tally: CacheTally,
}

/// What happened to a cache, counted since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CacheTally {
    /// Tokens that were found, good or expired.
    pub hits: u64,
    /// Tokens by a public key that were not.
    pub misses: u64,
    /// Bytes in use, of entries that may be outdated.
    pub bytes: u64,
}

/// Slots that share a place in the index. A slot is 0 when it is free, else 16 bits of the hash above the position
/// of the entry in units of 8 bytes.
#[repr(align(64))]
#[derive(Clone, Copy)]
struct Bucket([u64; SLOTS]);

/// What is kept beside a token.
pub(super) struct Entry<'e> {
    /// The ring by which the token was verified.
    pub generation: u64,
    /// When its claims are good, in seconds since 1970.
    pub good: Range<u64>,
    pub verified: Verified<'e>,
}

/// An entry that was found and is good: where to read it.
#[derive(Clone, Debug)]
pub(super) struct Hit {
    pub claims: Range<usize>,
    pub user: Option<Range<usize>>,
    pub expires_at_s: Option<u64>,
}

impl TokenCache {
    /// A cache of at most `bytes_max` bytes with its index, or none when that is too little to be one.
    pub(super) fn new(bytes_max: usize) -> Option<Self> {
        if bytes_max < BYTES_MIN {
            return None;
        }
        let slots = 2 * bytes_max / ENTRY_BYTES_USUAL;
        let buckets = (slots / SLOTS).next_power_of_two() / 2;
        let log_bytes = (bytes_max - buckets * size_of::<Bucket>()) / UNIT * UNIT;
        Some(Self {
            // The kernel gives zeros, and memory only where something is written.
            log: vec![0; log_bytes].into(),
            // Not 0, which is no slot's position.
            written: log_bytes as u64,
            buckets: vec![Bucket([0; SLOTS]); buckets].into(),
            tally: CacheTally::default(),
        })
    }

    /// The verdict on `token`, if it is known under the ring `generation`.
    ///
    /// # Errors
    /// [`Refusal::Expired`]. A token that is known and not good yet is not found.
    pub(super) fn find(
        &mut self,
        token: &[u8],
        generation: u64,
        now_s: u64,
    ) -> Option<Result<Hit, Refusal>> {
        let found = self.look(token, generation, now_s);
        match found {
            Some(_) => self.tally.hits += 1,
            None => self.tally.misses += 1,
        }
        found
    }

    fn look(&self, token: &[u8], generation: u64, now_s: u64) -> Option<Result<Hit, Refusal>> {
        let hash = hash(token)?;
        let bucket = self.buckets.get(self.bucket(hash))?;
        bucket.0.iter().find_map(|slot| {
            let entry = (tag(*slot) == tag(hash)).then(|| self.entry(*slot))??;
            let head = Head::read(entry)?;
            let token_end = HEAD_BYTES + head.token_bytes as usize;
            if head.generation != generation || entry.get(HEAD_BYTES..token_end) != Some(token) {
                return None;
            }
            if head.expires_at_s != NEVER_S && now_s >= head.expired_from_s {
                return Some(Err(Refusal::Expired));
            }
            if now_s < head.good_from_s {
                return None;
            }
            let base = self.offset(*slot) + token_end;
            let claims = base..base + head.claims_bytes as usize;
            let user = (head.user_start != NOBODY).then(|| {
                let start = base + head.user_start as usize;
                start..start + head.user_bytes as usize
            });
            Some(Ok(Hit {
                claims,
                user,
                expires_at_s: (head.expires_at_s != NEVER_S).then_some(head.expires_at_s),
            }))
        })
    }

    /// What stands at a place that [`Hit`] names.
    pub(super) fn bytes(&self, place: &Range<usize>) -> &[u8] {
        self.log.get(place.clone()).unwrap_or_default()
    }

    /// Keeps a token that was verified.
    pub(super) fn insert(&mut self, token: &[u8], entry: &Entry<'_>) {
        let Some(hash) = hash(token) else { return };
        let Some(head) = Head::of(token, entry) else {
            return;
        };
        let claims = entry.verified.claims;
        let user_apart = match entry.verified.user {
            Some(user) if head.user_start == head.claims_bytes => user,
            _ => "",
        };
        let bytes = HEAD_BYTES + token.len() + claims.len() + user_apart.len();
        let Some(position) = self.reserve(bytes) else {
            return;
        };
        let slot = hash & TAG_MASK | position / UNIT as u64;
        let offset = self.offset(slot);
        let mut rest = self.log.get_mut(offset..offset + bytes).unwrap_or_default();
        let parts = [token, claims.as_bytes(), user_apart.as_bytes()];
        for part in [&head.bytes()[..]].into_iter().chain(parts) {
            let Some((place, behind)) = rest.split_at_mut_checked(part.len()) else {
                return;
            };
            place.copy_from_slice(part);
            rest = behind;
        }
        let bucket = self.bucket(hash);
        if let Some(Bucket(slots)) = self.buckets.get_mut(bucket) {
            // The oldest goes, and a free slot is older than any.
            if let Some(oldest) = slots.iter_mut().min_by_key(|slot| **slot & !TAG_MASK) {
                *oldest = slot;
            }
        }
    }

    /// What happened so far.
    pub(super) fn tally(&self) -> CacheTally {
        let log_bytes = self.log.len() as u64;
        CacheTally {
            bytes: (self.written - log_bytes).min(log_bytes)
                + size_of_val::<[Bucket]>(&self.buckets) as u64,
            ..self.tally
        }
    }

    /// The position of `bytes` bytes in one piece, which are taken from the oldest entries.
    fn reserve(&mut self, bytes: usize) -> Option<u64> {
        if bytes > self.log.len() / ENTRY_SHARE_MIN {
            return None;
        }
        let log_bytes = self.log.len() as u64;
        let bytes = bytes.next_multiple_of(UNIT) as u64;
        let left = log_bytes - self.written % log_bytes;
        if bytes > left {
            self.written += left;
        }
        let position = self.written;
        self.written += bytes;
        Some(position)
    }

    /// The log from the entry on that `slot` leads to, unless it is free or overwritten.
    fn entry(&self, slot: u64) -> Option<&[u8]> {
        let position = (slot & !TAG_MASK) * UNIT as u64;
        let alive = slot != 0 && position + self.log.len() as u64 >= self.written;
        self.log.get(self.offset(slot)..).filter(|_| alive)
    }

    fn offset(&self, slot: u64) -> usize {
        ((slot & !TAG_MASK) * UNIT as u64 % self.log.len() as u64) as usize
    }

    fn bucket(&self, hash: u64) -> usize {
        // A power of two.
        hash as usize & (self.buckets.len() - 1)
    }
}

/// Entries begin at multiples of it.
const UNIT: usize = 8;

/// The part of a slot that comes from the hash; the rest is the position, which 48 bits hold for 2 petabytes.
const TAG_MASK: u64 = 0xffff << 48;

const NEVER_S: u64 = u64::MAX;
const NOBODY: u32 = u32::MAX;

fn tag(hash: u64) -> u64 {
    hash & TAG_MASK
}

/// A hash of the last 16 characters: they belong to the signature, which nobody but the issuer can choose, and every
/// token that is looked for is compared as a whole.
fn hash(token: &[u8]) -> Option<u64> {
    let (rest, last) = token.split_last_chunk::<8>()?;
    let (_, before) = rest.split_last_chunk::<8>()?;
    let product = u128::from(u64::from_le_bytes(*last) ^ 0x9e37_79b9_7f4a_7c15)
        * u128::from(u64::from_le_bytes(*before) ^ 0xd1b5_4a32_d192_ed03);
    Some(product as u64 ^ (product >> 64) as u64)
}

/// The fixed part of an entry; token, claims and a user that is not within them follow it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Head {
    generation: u64,
    /// `nbf` and `iat` with their leeway.
    good_from_s: u64,
    /// `exp` with its leeway.
    expired_from_s: u64,
    /// `exp` without; [`NEVER_S`] for a token without `exp`.
    expires_at_s: u64,
    token_bytes: u32,
    claims_bytes: u32,
    /// Counted from the start of the claims; [`NOBODY`] where there is no user.
    user_start: u32,
    user_bytes: u32,
}

const HEAD_BYTES: usize = 48;

impl Head {
    fn of(token: &[u8], entry: &Entry<'_>) -> Option<Self> {
        let Verified {
            user,
            expires_at_s,
            claims,
        } = entry.verified;
        let claims_bytes = u32::try_from(claims.len()).ok()?;
        Some(Self {
            generation: entry.generation,
            good_from_s: entry.good.start,
            expired_from_s: entry.good.end,
            expires_at_s: expires_at_s.unwrap_or(NEVER_S),
            token_bytes: u32::try_from(token.len()).ok()?,
            claims_bytes,
            user_start: match user {
                None => NOBODY,
                // Behind the claims, where it is no part of them.
                Some(user) => place_within(claims, user).unwrap_or(claims_bytes),
            },
            user_bytes: u32::try_from(user.map_or(0, str::len)).ok()?,
        })
    }

    fn bytes(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let sizes = [
            u64::from(self.token_bytes) << 32 | u64::from(self.claims_bytes),
            u64::from(self.user_start) << 32 | u64::from(self.user_bytes),
        ];
        let words = [
            self.generation,
            self.good_from_s,
            self.expired_from_s,
            self.expires_at_s,
        ];
        let words = words.into_iter().chain(sizes);
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn read(entry: &[u8]) -> Option<Self> {
        let (words, _) = entry.get(..HEAD_BYTES)?.as_chunks::<8>();
        let word = |i: usize| words.get(i).map(|word| u64::from_le_bytes(*word));
        let (sizes, user) = (word(4)?, word(5)?);
        Some(Self {
            generation: word(0)?,
            good_from_s: word(1)?,
            expired_from_s: word(2)?,
            expires_at_s: word(3)?,
            token_bytes: (sizes >> 32) as u32,
            claims_bytes: sizes as u32,
            user_start: (user >> 32) as u32,
            user_bytes: user as u32,
        })
    }
}

/// Where `part` stands in `whole`, if it is a slice of it.
fn place_within(whole: &str, part: &str) -> Option<u32> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let fits = whole.get(start..start.checked_add(part.len())?).is_some();
    u32::try_from(start).ok().filter(|_| fits)
}

#[cfg(test)]
mod tests;
