//! From what was recorded to what is reported: merged figures, validity, thresholds, the verdict and the result.

pub mod collect;
pub mod result;
pub mod threshold;
pub mod validity;
pub mod verdict;
