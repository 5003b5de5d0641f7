//! Weighted choices that are fixed before the run: which arrival shows which token, and which goes to which target.

use serde::{Deserialize, Serialize};

/// Parts of the arrivals, as large as their weights.
///
/// Arrival `j` belongs to the part of the unit interval on which its point falls (a Kronecker sequence, whose step is
/// irrational):
///
/// ```text
/// point(j) = frac(start + j * step)        the parts as long as the weights
/// ```
///
/// Any sequence of arrivals holds each part in nearly its proportion, independent of the number of users and shards. A
/// shard computes the parts of its own arrivals alone. Two choices with different steps are independent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// Where each part ends, in 2^64ths; ascending, the last part has the rest. At least one.
    ends: Vec<u64>,
    start: u64,
    step: u64,
}

/// The fractional part of the golden ratio in 2^64ths, to the nearest odd number.
pub const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// The fractional part of the square root of two in 2^64ths.
pub const ROOT_TWO: u64 = 0x6a09_e667_f3bc_c909;

impl Shares {
    /// Parts for weights that are not negative and whose sum is above zero; `seed` moves the start.
    pub fn new(weights: impl IntoIterator<Item = f64>, seed: u64, step: u64) -> Self {
        let mut below = 0.0;
        let sums: Vec<f64> = weights
            .into_iter()
            .map(|weight| {
                below += weight;
                below
            })
            .collect();
        // The cast saturates where rounding exceeds 2^64.
        let end = |sum: &f64| (sum / below * 2.0_f64.powi(64)) as u64;
        Self { ends: sums.iter().map(end).collect(), start: seed.wrapping_mul(GOLDEN).rotate_left(32), step }
    }

    /// The part that arrival `number` belongs to.
    pub fn of(&self, number: u64) -> usize {
        let point = self.start.wrapping_add(number.wrapping_mul(self.step));
        let place = self.ends.iter().position(|end| point < *end);
        place.unwrap_or(self.ends.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stretch_has_each_part_in_its_proportion() {
        let shares = Shares::new([3.0, 0.0, 1.0], 7, ROOT_TWO);
        for begin in [0, 1_000, 123_456_789] {
            let mut counts = [0_i64; 3];
            for number in begin..begin + 1_000 {
                counts[shares.of(number)] += 1;
            }
            assert!((counts[0] - 750).abs() <= 5, "{begin}: {counts:?}");
            assert_eq!(counts[1], 0, "no weight, no arrival");
        }
    }

    #[test]
    fn choices_of_different_steps_are_independent() {
        let (kinds, targets) = (Shares::new([9.0, 1.0], 1, GOLDEN), Shares::new([1.0, 1.0], 1, ROOT_TWO));
        let both = (0..100_000).filter(|j| kinds.of(*j) == 1 && targets.of(*j) == 0);
        let both = both.count() as i64;
        assert!((both - 5_000).abs() < 100, "{both}");
    }
}
