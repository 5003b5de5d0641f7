//! A cache of tokens that a public key verified: the same token again costs no signature check.
//!
//! A signature check takes 13 to 160 microseconds, and clients reconnect with the same token. An entry has the whole
//! token and is found by the whole token only; it is valid under the ring that verified it, at instants that the claims
//! allow. HMAC tokens are not cached: their verification costs less than a lookup.
//!
//! The memory is a circular log: entries are written one after the other, and the oldest are overwritten. Its size is
//! fixed, it is allocated once, and nothing is allocated per token. An index of buckets, each of which fits a cache line,
//! leads to the entries. A token is stored decoded, in fewer cache lines; because each segment has one canonical
//! encoding, comparing the decoded token compares the whole token.

use std::ops::Range;

use crate::verify::{Refusal, Verified};

/// An entry may take up one part in this many of the log.
const ENTRY_SHARE_MIN: usize = 8;

/// The average entry for which the index is dimensioned: a token by RSA-2048 takes 384 bytes, one by an elliptic curve
/// 192. There are twice as many slots as such entries, so that few buckets are full.
const ENTRY_BYTES_USUAL: usize = 256;

/// Slots of a bucket: one cache line of them.
const SLOTS: usize = 8;

/// The smallest cache: less would hold only a few tokens.
const BYTES_MIN: usize = 64 * 1024;

/// Verified tokens of one shard.
pub(super) struct TokenCache {
    log: Box<[u8]>,
    /// Bytes written so far, including those skipped at the end of the log: the position of the next entry.
    written: u64,
    buckets: Box<[Bucket]>,
    counts: CacheCounts,
}

/// Counters of a cache since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CacheCounts {
    /// Tokens that were found, valid or expired.
    pub hits: u64,
    /// Tokens by a public key that were not found.
    pub misses: u64,
    /// Bytes in use, outdated entries included.
    pub bytes: u64,
}

/// Slots that share an index entry. A slot is 0 when it is free, else 16 bits of the hash above the position
/// of the entry in units of 8 bytes.
#[repr(align(64))]
#[derive(Clone, Copy)]
struct Bucket([u64; SLOTS]);

/// The three parts of a token, by which an entry is found.
#[derive(Clone, Copy)]
pub(super) struct DecodedToken<'t> {
    /// Its header as sent, not decoded.
    pub header: &'t [u8],
    /// Its claims, decoded.
    pub claims: &'t [u8],
    /// Its signature, decoded.
    pub signature: &'t [u8],
}

/// Where a token with a certain signature may be in the cache.
pub(super) struct Place {
    hash: u64,
    /// A bit for each slot of the bucket whose tag matches.
    alike: u32,
    /// The entry of the first such slot, read early: memory is slow, and other work is done meanwhile.
    first: Option<Head>,
}

/// The data stored with a token.
pub(super) struct Entry<'e> {
    /// The generation of the ring that verified the token.
    pub generation: u64,
    /// `nbf` and `iat` with their leeway: the token is valid from this second on.
    pub good_from_s: u64,
    pub verified: Verified<'e>,
}

/// An entry that was found and is valid.
#[derive(Clone, Debug)]
pub(super) struct Hit {
    pub user: Option<User>,
    pub expires_at_s: Option<u64>,
}

/// Where the user's name is.
#[derive(Clone, Debug)]
pub(super) enum User {
    /// In the claims.
    InClaims(Range<usize>),
    /// In the [log](TokenCache::text), because it has escapes in the claims.
    InLog(Range<usize>),
}

impl TokenCache {
    /// A cache of at most `bytes_max` bytes with its index, or `None` if that is too little.
    pub(super) fn new(bytes_max: usize) -> Option<Self> {
        if bytes_max < BYTES_MIN {
            return None;
        }
        let slots = 2 * bytes_max / ENTRY_BYTES_USUAL;
        let buckets = (slots / SLOTS).next_power_of_two();
        let log_bytes = (bytes_max - buckets * size_of::<Bucket>()) / UNIT * UNIT;
        Some(Self {
            // Zeroed pages take up memory only once they are written.
            log: vec![0; log_bytes].into(),
            // Not 0, which means a free slot.
            written: log_bytes as u64,
            buckets: vec![Bucket([0; SLOTS]); buckets].into(),
            counts: CacheCounts::default(),
        })
    }

    /// Where a token with this encoded signature may be; `None` for a signature that is too short.
    #[inline]
    pub(super) fn locate(&self, signature: &[u8]) -> Option<Place> {
        let hash = hash(signature)?;
        let slots = self.slots(hash)?;
        // The branch could not be predicted, therefore the bits are computed.
        let mut alike = 0;
        for (i, slot) in slots.iter().enumerate() {
            alike |= u32::from(tag(*slot) == tag(hash)) << i;
        }
        let first = slots.get(alike.trailing_zeros() as usize);
        Some(Place { hash, alike, first: first.and_then(|slot| Head::read(self.entry(*slot)?)) })
    }

    /// The verdict on `token`, which may be at `place`, at `now_s` with `leeway_s` for its `exp`, if it was cached under
    /// the ring `generation`.
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
        let found = self.look(place, token, generation);
        let Some((head, user)) = found.filter(|(head, _)| now_s >= head.good_from_s) else {
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

    fn look(&self, place: &Place, token: DecodedToken<'_>, generation: u64) -> Option<(Head, Option<User>)> {
        let slots = self.slots(place.hash)?;
        let mut head = place.first;
        let mut alike = place.alike;
        while let Some(slot) = slots.get(alike.trailing_zeros() as usize) {
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
            alike &= alike - 1;
        }
        None
    }

    /// The user at the position of a [`User::InLog`].
    pub(super) fn text(&self, place: &Range<usize>) -> &str {
        let bytes = self.log.get(place.clone()).unwrap_or_default();
        // It was valid UTF-8 when it was written.
        str::from_utf8(bytes).unwrap_or_default()
    }

    /// Stores a verified token at the place that [`locate`](Self::locate) returned.
    pub(super) fn insert(&mut self, place: &Place, token: DecodedToken<'_>, entry: &Entry<'_>) {
        let Some(head) = Head::of(token, entry) else {
            return;
        };
        let user_in_log = match entry.verified.user {
            Some(user) if head.user_start == IN_LOG => user,
            _ => "",
        };
        let bytes = HEAD_BYTES + head.token_bytes() + user_in_log.len();
        let Some(position) = self.reserve(bytes) else {
            return;
        };
        let slot = tag(place.hash) | (position / UNIT as u64);
        let offset = self.offset(slot);
        let mut rest = self.log.get_mut(offset..offset + bytes).unwrap_or_default();
        let head = head.bytes();
        let parts = [&head[..]].into_iter().chain(token.parts());
        for part in parts.chain([user_in_log.as_bytes()]) {
            let Some((place, behind)) = rest.split_at_mut_checked(part.len()) else {
                return;
            };
            place.copy_from_slice(part);
            rest = behind;
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

    /// Reserves `bytes` bytes in one piece, over the oldest entries, and returns their position.
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

    /// The log from the entry of `slot` on, unless the slot is free or the entry overwritten.
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

/// Entries begin at multiples of it.
const UNIT: usize = 8;

/// The part of a slot that comes from the hash; the rest is the position, which 48 bits hold for 2 petabytes.
const TAG_MASK: u64 = 0xffff << 48;

const NEVER_S: u64 = u64::MAX;
const NO_USER: u32 = u32::MAX;
const IN_LOG: u32 = u32::MAX - 1;

fn tag(hash: u64) -> u64 {
    hash & TAG_MASK
}

/// A hash of the last 16 characters of a signature, which only the issuer can choose. An entry is then compared with the
/// whole token.
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
    let begin = parts.iter().all(|part| match rest.strip_prefix(*part) {
        Some(behind) => {
            rest = behind;
            true
        }
        None => false,
    });
    begin && rest.is_empty()
}

impl<'t> DecodedToken<'t> {
    fn parts(&self) -> [&'t [u8]; 3] {
        [self.header, self.claims, self.signature]
    }
}

/// The fixed part of an entry; the parts of the token follow it, and a user that is not in its claims.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Head {
    generation: u64,
    good_from_s: u64,
    /// [`NEVER_S`] for a token without `exp`.
    expires_at_s: u64,
    header_bytes: u16,
    signature_bytes: u16,
    claims_bytes: u32,
    /// From the start of the claims; or [`IN_LOG`], or [`NO_USER`].
    user_start: u32,
    user_bytes: u32,
}

const HEAD_BYTES: usize = 40;

impl Head {
    /// `None` for a token that is too long to be cached.
    fn of(token: DecodedToken<'_>, entry: &Entry<'_>) -> Option<Self> {
        let Verified { user, expires_at_s, claims } = entry.verified;
        Some(Self {
            generation: entry.generation,
            good_from_s: entry.good_from_s,
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

    /// Whether the lengths are those of `token`; they decide where each part ends.
    fn is_of(&self, token: DecodedToken<'_>) -> bool {
        usize::from(self.header_bytes) == token.header.len()
            && self.claims_bytes as usize == token.claims.len()
            && usize::from(self.signature_bytes) == token.signature.len()
    }

    /// Where the user is; a user in the log begins at `apart`.
    fn user(&self, apart: usize) -> Option<User> {
        let bytes = self.user_bytes as usize;
        match self.user_start {
            NO_USER => None,
            IN_LOG => Some(User::InLog(apart..apart + bytes)),
            start => Some(User::InClaims(start as usize..start as usize + bytes)),
        }
    }

    fn bytes(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let sizes = (u64::from(self.header_bytes) << 48)
            | (u64::from(self.signature_bytes) << 32)
            | u64::from(self.claims_bytes);
        let user = (u64::from(self.user_start) << 32) | u64::from(self.user_bytes);
        let words = [self.generation, self.good_from_s, self.expires_at_s, sizes, user];
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
            good_from_s: word(1)?,
            expires_at_s: word(2)?,
            header_bytes: (sizes >> 48) as u16,
            signature_bytes: (sizes >> 32) as u16,
            claims_bytes: sizes as u32,
            user_start: (user >> 32) as u32,
            user_bytes: user as u32,
        })
    }
}

/// The position of `part` in `whole`, if it is a slice of it.
fn place_within(whole: &str, part: &str) -> Option<u32> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let fits = whole.get(start..start.checked_add(part.len())?).is_some();
    // The last two numbers are `NO_USER` and `IN_LOG`.
    u32::try_from(start).ok().filter(|start| fits && *start < IN_LOG)
}

#[cfg(test)]
mod tests;
