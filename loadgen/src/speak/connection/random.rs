//! The randomness that the protocol wants: a nonce per handshake, a mask per frame.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Nonces and masks of one shard, fast and seeded.
///
/// RFC 6455 section 10.3 wants masks that an attacker cannot foresee, because in a browser the attacker writes the
/// payload. Here the user who runs the test chooses the payload, so speed and repeatability matter more.
#[derive(Clone, Debug)]
pub struct Random(SmallRng);

impl Random {
    /// The sequence of shard `index` in a run of this seed; different for every shard.
    pub fn of_shard(seed: u64, index: usize) -> Self {
        // SplitMix64's increment keeps the seeds of neighbouring shards far apart.
        let shard = (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(SmallRng::seed_from_u64(seed.wrapping_add(shard)))
    }

    /// A frame's mask.
    pub fn mask(&mut self) -> [u8; 4] {
        self.0.next_u32().to_ne_bytes()
    }

    /// A handshake's `Sec-WebSocket-Key`.
    pub fn key(&mut self) -> [u8; 24] {
        let mut nonce = [0; 16];
        self.0.fill_bytes(&mut nonce);
        wire::http::client_key(nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_depends_on_seed_and_shard() {
        let of = |seed, shard| Random::of_shard(seed, shard).key();
        assert_eq!(of(1, 0), of(1, 0), "a run repeats");
        assert_ne!(of(1, 0), of(1, 1), "shards differ");
        assert_ne!(of(1, 0), of(2, 0), "seeds differ");
    }
}
