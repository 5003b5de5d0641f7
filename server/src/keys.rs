//! The keys a token's signature is checked with: each parsed once and pinned to one algorithm.
//!
//! Reading order: an [`Algorithm`] and the [`Key`] pinned to it; the [`Ring`] that holds the keys of a
//! gate; [`load`], which reads them from a secret, a PEM file or a JWK set; the [`Keeper`], which puts new ones into
//! use when a file or a remote set changes.
//!
//! Nothing here knows about tokens: a key is asked whether a signature over some bytes is its own.

mod algorithm;
mod error;
mod key;
mod mac;
mod ring;

mod jwk;
mod pem;

pub mod load;

mod file;
mod jwks;
mod keeper;
mod tally;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use error::KeyError;
pub(crate) use jwks::deepest;
pub use jwks::{JWKS_BYTES_MAX, JwksUrl, JwksUrlError, Pace, Wanted};
pub use keeper::{Keeper, Keys, Watch};
pub use key::Key;
pub use ring::{KEYS_TRIED_MAX, Ring, Store};
pub use tally::{KeyCounts, KeyTally};
