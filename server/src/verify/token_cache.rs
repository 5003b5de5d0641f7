//! A cache of tokens that a public key verified, whose signatures are not checked again.
//!
//! A signature check takes 13 to 160 microseconds, and clients reconnect with the same token. An entry contains the
//! whole token, and is found only by the whole token, under the ring that verified it, at times that the claims allow.
//! HMAC tokens are not cached: their verification takes less time than a lookup.
//!
//! The memory is a circular log of fixed size, allocated once: new entries overwrite the oldest. An index of buckets,
//! each one cache line, leads to the entries. Tokens are stored decoded, in fewer cache lines; each segment has one
//! canonical encoding, therefore equal decoded tokens are equal tokens.

use std::ops::Range;

use crate::verify::{Refusal, Verified};

/// The longest entry takes one part in this many of the log.
const ENTRY_SHARE_MIN: usize = 8;

/// The average entry for which the index is sized: a token by RSA-2048 takes 384 bytes, one by an elliptic curve 192.
/// There are twice as many slots as such entries, so that few buckets are full.
const ENTRY_BYTES_USUAL: usize = 256;

/// The slots of a bucket fill one cache line.
const SLOTS: usize = 8;

/// The smallest cache. A smaller one would have room for only a few tokens.
const BYTES_MIN: usize = 64 * 1024;

/// Verified tokens of one shard.
pub(super) struct TokenCache {
    log: Box<[u8]>,
    /// The position of the next entry: the bytes written so far, with those skipped at the end of the log.
    written: u64,
    buckets: Box<[Bucket]>,
    counts: CacheCounts,
}

/// The counters of a cache.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CacheCounts {
    /// Tokens that were found, valid or expired.
    pub hits: u64,
    /// Tokens by a public key that were not found.
    pub misses: u64,
    /// Bytes in use, outdated entries included.
    pub bytes: u64,
}

/// An entry of the index. A free slot is 0; another has 16 bits of a hash, and below them the position of an entry in
/// units of 8 bytes.
#[repr(align(64))]
#[derive(Clone, Copy)]
struct Bucket([u64; SLOTS]);

/// The three parts of a token, by which an entry is found.
#[derive(Clone, Copy)]
pub(super) struct DecodedToken<'t> {
    /// The encoded header.
    pub header: &'t [u8],
    /// The decoded claims.
    pub claims: &'t [u8],
    /// The decoded signature.
    pub signature: &'t [u8],
}

/// Where the cache may have a token with a certain signature.
pub(super) struct Place {
    hash: u64,
    /// A bit for each slot of the bucket whose tag matches.
    matching: u32,
    /// The entry of the first matching slot, read early so that other work is done while the memory responds.
    first: Option<Head>,
}

/// The data stored with a token.
pub(super) struct Entry<'e> {
    /// The generation of the ring that verified the token.
    pub generation: u64,
    /// `nbf` and `iat` with their leeway: the token is valid from this second on.
    pub valid_from_s: u64,
    pub verified: Verified<'e>,
}

/// An entry that was found and is valid.
#[derive(Clone, Debug)]
pub(super) struct Hit {
    pub user: Option<User>,
    pub expires_at_s: Option<u64>,
}

/// The position of the user's name.
#[derive(Clone, Debug)]
pub(super) enum User {
    /// In the claims.
    InClaims(Range<usize>),
    /// In the [log](TokenCache::text), because the name has escapes in the claims.
    InLog(Range<usize>),
}

impl TokenCache {
    /// A cache that takes at most `bytes_max` bytes with its index; `None` if `bytes_max` is too small.
    pub(super) fn new(bytes_max: usize) -> Option<Self> {
        if bytes_max < BYTES_MIN {
            return None;
        }
        let slots = 2 * bytes_max / ENTRY_BYTES_USUAL;
        let buckets = (slots / SLOTS).next_power_of_two();
        let log_bytes = (bytes_max - buckets * size_of::<Bucket>()) / UNIT * UNIT;
        Some(Self {
            // Zeroed pages take no memory until they are written.
            log: vec![0; log_bytes].into(),
            // Not 0, because slot 0 is a free one.
            written: log_bytes as u64,
            buckets: vec![Bucket([0; SLOTS]); buckets].into(),
            counts: CacheCounts::default(),
        })
    }

    /// Where the cache may have a token with this encoded signature; `None` for a signature that is too short.
    #[inline]
    pub(super) fn locate(&self, signature: &[u8]) -> Option<Place> {
        let hash = hash(signature)?;
        let slots = self.slots(hash)?;
        // The bits are computed, because a branch could not be predicted.
        let mut matching = 0;
        for (i, slot) in slots.iter().enumerate() {
            matching |= u32::from(tag(*slot) == tag(hash)) << i;
        }
        let first = slots.get(matching.trailing_zeros() as usize);
        Some(Place { hash, matching, first: first.and_then(|slot| Head::read(self.entry(*slot)?)) })
    }

    /// Looks for `token` at `place`. If it was cached under the ring `generation`, returns the verdict at `now_s`, with
    /// `leeway_s` for its `exp`.
    ///
    /// # Errors
    /// [`Refusal::Expired`]. A cached token that is not valid yet counts as not found.
    pub(super) fn find(
        &mut self,
        place: &Place,
        token: DecodedToken<'_>,
        generation: u64,
        leeway_s: u64,
        now_s: u64,
    ) -> Option<Result<Hit, Refusal>> {
        let found = self.entry_of(place, token, generation);
        let Some((head, user)) = found.filter(|(head, _)| now_s >= head.valid_from_s) else {
            self.counts.misses += 1;
            return None;
        };
        self.counts.hits += 1;
        let expires_at_s = (head.expires_at_s != NEVER_S).then_some(head.expires_at_s);
        if expires_at_s.is_some_and(|exp_s| now_s >= exp_s.saturating_add(leeway_s)) {
            return Some(Err(Refusal::Expired));
        }
        Some(Ok(Hit { user, expires_at_s }))
    }

    fn entry_of(&self, place: &Place, token: DecodedToken<'_>, generation: u64) -> Option<(Head, Option<User>)> {
        let slots = self.slots(place.hash)?;
        let mut head = place.first;
        let mut matching = place.matching;
        while let Some(slot) = slots.get(matching.trailing_zeros() as usize) {
            let entry = self.entry(*slot);
            let read = head.take().or_else(|| Head::read(entry?));
            if let (Some(entry), Some(head)) = (entry, read)
                && head.generation == generation
                && head.is_of(token)
            {
                let user_at = HEAD_BYTES + head.token_bytes();
                if is_joined(entry.get(HEAD_BYTES..user_at)?, token.parts()) {
                    return Some((head, head.user(self.offset(*slot) + user_at)));
                }
            }
            matching &= matching - 1;
        }
        None
    }

    /// The user at the position of a [`User::InLog`].
    pub(super) fn text(&self, place: &Range<usize>) -> &str {
        let bytes = self.log.get(place.clone()).unwrap_or_default();
        // Only valid UTF-8 is written.
        str::from_utf8(bytes).unwrap_or_default()
    }

    /// Stores a verified token at the place that [`locate`](Self::locate) returned.
    pub(super) fn insert(&mut self, place: &Place, token: DecodedToken<'_>, entry: &Entry<'_>) {
        let Some(head) = Head::of(token, entry) else { return };
        let user_in_log = match entry.verified.user {
            Some(user) if head.user_start == IN_LOG => user,
            _ => "",
        };
        let bytes = HEAD_BYTES + head.token_bytes() + user_in_log.len();
        let Some(position) = self.reserve(bytes) else { return };
        let slot = tag(place.hash) | (position / UNIT as u64);
        let offset = self.offset(slot);
        let mut rest = self.log.get_mut(offset..offset + bytes).unwrap_or_default();
        let head = head.bytes();
        let parts = [&head[..]].into_iter().chain(token.parts());
        for part in parts.chain([user_in_log.as_bytes()]) {
            let Some((target, after)) = rest.split_at_mut_checked(part.len()) else { return };
            target.copy_from_slice(part);
            rest = after;
        }
        let bucket = self.bucket(place.hash);
        if let Some(Bucket(slots)) = self.buckets.get_mut(bucket) {
            // Replaces the oldest; a free slot counts as the oldest.
            if let Some(oldest) = slots.iter_mut().min_by_key(|slot| **slot & !TAG_MASK) {
                *oldest = slot;
            }
        }
    }

    /// The counters so far.
    pub(super) fn counts(&self) -> CacheCounts {
        let log_bytes = self.log.len() as u64;
        CacheCounts {
            bytes: (self.written - log_bytes).min(log_bytes) + size_of_val::<[Bucket]>(&self.buckets) as u64,
            ..self.counts
        }
    }

    /// Reserves `bytes` contiguous bytes, in place of the oldest entries, and returns their position.
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

    /// The log from the entry of `slot` on; `None` if the slot is free or the entry was overwritten.
    fn entry(&self, slot: u64) -> Option<&[u8]> {
        let position = (slot & !TAG_MASK) * UNIT as u64;
        let alive = slot != 0 && position + self.log.len() as u64 >= self.written;
        self.log.get(self.offset(slot)..).filter(|_| alive)
    }

    fn offset(&self, slot: u64) -> usize {
        ((slot & !TAG_MASK) * UNIT as u64 % self.log.len() as u64) as usize
    }

    fn slots(&self, hash: u64) -> Option<&[u64; SLOTS]> {
        self.buckets.get(self.bucket(hash)).map(|Bucket(slots)| slots)
    }

    fn bucket(&self, hash: u64) -> usize {
        // A power of two.
        hash as usize & (self.buckets.len() - 1)
    }
}

/// Entries begin at multiples of this many bytes.
const UNIT: usize = 8;

/// The bits of a slot that are from the hash. The other 48 are the position, enough for 2 petabytes.
const TAG_MASK: u64 = 0xffff << 48;

const NEVER_S: u64 = u64::MAX;
const NO_USER: u32 = u32::MAX;
const IN_LOG: u32 = u32::MAX - 1;

fn tag(hash: u64) -> u64 {
    hash & TAG_MASK
}

/// A hash of the last 16 characters of a signature. Only issuers choose the signatures of cached tokens, and an entry
/// is compared with the whole token.
fn hash(signature: &[u8]) -> Option<u64> {
    let (rest, last) = signature.split_last_chunk::<8>()?;
    let (_, before) = rest.split_last_chunk::<8>()?;
    let product = u128::from(u64::from_le_bytes(*last) ^ 0x9e37_79b9_7f4a_7c15)
        * u128::from(u64::from_le_bytes(*before) ^ 0xd1b5_4a32_d192_ed03);
    Some(product as u64 ^ (product >> 64) as u64)
}

/// Whether `joined` is the concatenation of the parts.
fn is_joined(joined: &[u8], parts: [&[u8]; 3]) -> bool {
    let mut rest = joined;
    for part in parts {
        let Some(after) = rest.strip_prefix(part) else { return false };
        rest = after;
    }
    rest.is_empty()
}

impl<'t> DecodedToken<'t> {
    fn parts(&self) -> [&'t [u8]; 3] {
        [self.header, self.claims, self.signature]
    }
}

/// The fixed part of an entry. The parts of the token follow it, then a user that is not in its claims.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Head {
    generation: u64,
    valid_from_s: u64,
    /// [`NEVER_S`] for a token without `exp`.
    expires_at_s: u64,
    header_bytes: u16,
    signature_bytes: u16,
    claims_bytes: u32,
    /// The position in the claims, or [`IN_LOG`] or [`NO_USER`].
    user_start: u32,
    user_bytes: u32,
}

const HEAD_BYTES: usize = 40;

impl Head {
    /// The head of an entry for `token`; `None` for a token that is too long.
    fn of(token: DecodedToken<'_>, entry: &Entry<'_>) -> Option<Self> {
        let Verified { user, expires_at_s, claims } = entry.verified;
        Some(Self {
            generation: entry.generation,
            valid_from_s: entry.valid_from_s,
            expires_at_s: expires_at_s.unwrap_or(NEVER_S),
            header_bytes: u16::try_from(token.header.len()).ok()?,
            signature_bytes: u16::try_from(token.signature.len()).ok()?,
            claims_bytes: u32::try_from(token.claims.len()).ok()?,
            user_start: match user {
                None => NO_USER,
                Some(user) => place_within(claims, user).unwrap_or(IN_LOG),
            },
            user_bytes: u32::try_from(user.map_or(0, str::len)).ok()?,
        })
    }

    fn token_bytes(&self) -> usize {
        usize::from(self.header_bytes) + self.claims_bytes as usize + usize::from(self.signature_bytes)
    }

    /// Whether the parts have the same lengths as those of `token`.
    fn is_of(&self, token: DecodedToken<'_>) -> bool {
        usize::from(self.header_bytes) == token.header.len()
            && self.claims_bytes as usize == token.claims.len()
            && usize::from(self.signature_bytes) == token.signature.len()
    }

    /// The position of the user. A user in the log begins at `log_offset`.
    fn user(&self, log_offset: usize) -> Option<User> {
        let bytes = self.user_bytes as usize;
        match self.user_start {
            NO_USER => None,
            IN_LOG => Some(User::InLog(log_offset..log_offset + bytes)),
            start => Some(User::InClaims(start as usize..start as usize + bytes)),
        }
    }

    fn bytes(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let sizes = (u64::from(self.header_bytes) << 48)
            | (u64::from(self.signature_bytes) << 32)
            | u64::from(self.claims_bytes);
        let user = (u64::from(self.user_start) << 32) | u64::from(self.user_bytes);
        let words = [self.generation, self.valid_from_s, self.expires_at_s, sizes, user];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn read(entry: &[u8]) -> Option<Self> {
        let (words, _) = entry.get(..HEAD_BYTES)?.as_chunks::<8>();
        let word = |i: usize| words.get(i).map(|word| u64::from_le_bytes(*word));
        let (sizes, user) = (word(3)?, word(4)?);
        Some(Self {
            generation: word(0)?,
            valid_from_s: word(1)?,
            expires_at_s: word(2)?,
            header_bytes: (sizes >> 48) as u16,
            signature_bytes: (sizes >> 32) as u16,
            claims_bytes: sizes as u32,
            user_start: (user >> 32) as u32,
            user_bytes: user as u32,
        })
    }
}

/// The position of `part` in `whole`, if `part` is a slice of `whole`.
fn place_within(whole: &str, part: &str) -> Option<u32> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let fits = whole.get(start..start.checked_add(part.len())?).is_some();
    // The two largest numbers are `NO_USER` and `IN_LOG`.
    u32::try_from(start).ok().filter(|start| fits && *start < IN_LOG)
}

#[cfg(test)]
mod tests;
