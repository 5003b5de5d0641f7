//! The claims of a token: read in one pass, then checked against the policy.

mod check;
mod read;

pub use check::{ISSUED_AHEAD_S_MAX, TIME_S_END};

pub(super) use check::Claims;
pub(super) use read::read;
