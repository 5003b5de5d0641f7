//! Verification of tokens: signature, times, issuer and audience.
//!
//! [`Verifier::verify`] takes a token and the time, and returns its user and claims or one [`Refusal`]. It has no
//! clock, takes no lock and allocates nothing: each shard owns one verifier, which reuses its buffers. Earlier tokens
//! never change a verdict. The signature is checked before any claim is read.
//!
//! # The rules
//!
//! They are applied in this order. The first rule that is broken is the reason for the refusal.
//!
#![doc = include_str!("verify/rules.md")]
//!
//! Two rules are less strict than those of `jsonwebtoken`: `exp` is checked but not required, and `aud` is ignored
//! where no audience is configured. Tests compare the table with the code, and the code with `jsonwebtoken`
//! (`server/tests/it/oracle`).

mod claims;
mod header;
mod header_cache;
mod json;
mod policy;
mod refusal;
mod token;
mod token_cache;
mod unknown_kids;
mod verified;
mod verifier;

pub use claims::{ISSUED_AHEAD_S_MAX, TIME_S_END};
pub use policy::{Policy, TOKEN_BYTES_MAX};
pub use refusal::Refusal;
pub use token_cache::CacheCounts;
pub use verified::Verified;
pub use verifier::Verifier;
