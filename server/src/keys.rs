//! The keys that check the signatures of tokens. Each is parsed once and pinned to one algorithm.
//!
//! Reading order: an [`Algorithm`] and the [`Key`] pinned to it; the [`Ring`] that holds the keys of a gate; [`load`],
//! which reads them from a secret, a PEM file or a JWK set; the [`KeyReloader`], which replaces them when a file or a
//! remote set changes.
//!
//! Nothing here knows about tokens: a key checks a signature over bytes.

mod algorithm;
mod error;
mod key;
mod mac;
mod ring;

mod jwk;
mod pem;

pub mod load;

mod counters;
mod file;
mod jwks;
mod reloader;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use counters::{KeyCounters, KeyCounts};
pub use error::KeyError;
pub(crate) use jwks::root_cause;
pub use jwks::{FetchTrigger, JWKS_BYTES_MAX, JwksUrl, JwksUrlError, Pace};
pub use key::Key;
pub use reloader::{KeyReloader, Keys, Watch};
pub use ring::{KEYS_TRIED_MAX, Ring, Store};
