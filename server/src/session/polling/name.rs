//! The id of a polling session: its shard's number, its key there, and a random secret.

use std::fmt;

use rand::{Rng, rngs::StdRng};

/// The key of a session in its shard's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub(super) u32);

/// The content of a `sid`, which is 24 characters of base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionName {
    /// The number of the session's shard.
    pub shard: u16,
    pub(super) key: Key,
    secret: [u8; SECRET_BYTES],
}

/// 96 bits: too many to guess.
const SECRET_BYTES: usize = 12;
const NAME_BYTES: usize = size_of::<u16>() + size_of::<u32>() + SECRET_BYTES;

impl SessionName {
    pub(super) fn new(shard: u16, key: Key, random: &mut StdRng) -> Self {
        let mut secret = [0; SECRET_BYTES];
        random.fill_bytes(&mut secret);
        Self { shard, key, secret }
    }

    /// Parses a `sid`; `None` for a text that cannot be one.
    pub fn parse(sid: &str) -> Option<Self> {
        let mut bytes = [0; NAME_BYTES];
        // The decoder needs a buffer as long as the result.
        if sid.len() != NAME_BYTES.div_ceil(3) * 4 {
            return None;
        }
        let room = base64_simd::Out::from_slice(&mut bytes);
        base64_simd::URL_SAFE_NO_PAD.decode(sid.as_bytes(), room).ok()?;
        let (shard, rest) = bytes.split_first_chunk()?;
        let (key, secret) = rest.split_first_chunk()?;
        Some(Self {
            shard: u16::from_be_bytes(*shard),
            key: Key(u32::from_be_bytes(*key)),
            secret: secret.try_into().ok()?,
        })
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(NAME_BYTES);
        bytes.extend_from_slice(&self.shard.to_be_bytes());
        bytes.extend_from_slice(&self.key.0.to_be_bytes());
        bytes.extend_from_slice(&self.secret);
        f.write_str(&base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    proptest! {
        #[test]
        fn name_is_parsed_as_it_was_formatted(shard: u16, key: u32, seed: u64) {
            let name = SessionName::new(shard, Key(key), &mut StdRng::seed_from_u64(seed));
            prop_assert_eq!(SessionName::parse(&name.to_string()), Some(name));
        }

        #[test]
        fn no_sid_causes_a_panic(sid in ".{0,30}") {
            let _ = SessionName::parse(&sid);
        }
    }
}
