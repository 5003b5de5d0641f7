//! What can be wrong with the flags.

use std::{io, net::SocketAddr, path::PathBuf};

use crate::config::values::{SECRET_BYTES_MIN, SecretError};
use crate::{frontend::users::UsersError, keys::KeyError, tls::IdentityError};

/// What is wrong with the flags, or with what they name: the operator has to fix it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The secret could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A short secret would be guessed, and its tokens forged, from anywhere.
    #[error(
        "--secret has {bytes} bytes and HS256 needs {SECRET_BYTES_MIN} (RFC 7518 section 3.2): \
         a shorter one is accepted only while every listener is on loopback, and {listener} is not"
    )]
    ShortSecret {
        /// Its length.
        bytes: usize,
        /// The listener that others can reach.
        listener: SocketAddr,
    },
    /// Everybody knows the demo user's password.
    #[error(
        "the demo user is accepted only while every listener is on loopback, and {0} is not: \
         name the users with --users"
    )]
    DemoUser(SocketAddr),
    /// Every client would be accepted.
    #[error("--auth none accepts every client: it is allowed only while every listener is on loopback, and {0} is not")]
    OpenGate(SocketAddr),
    /// The frontend has nothing to sign with.
    #[error("the frontend signs tokens with --secret, and there is none: give one, or --role gate")]
    NothingToSignWith,
    /// The gate has no key for session lookups.
    #[error("--auth session needs --secret, and there is none: give the gate and the frontend the same")]
    NoLookupKey,
    /// A URL for session lookups, which are off.
    #[error("--session-url is for session lookups, and they are off: add --auth session")]
    LookupsAreOff,
    /// The cache of tokens does not fit.
    #[error("--token-cache {bytes}: this machine does not have so much memory")]
    TokenCache {
        /// The bytes that were requested.
        bytes: usize,
    },
    /// There are no keys at all.
    #[error("there is no key to verify tokens with: give --secret, --keys or --jwks")]
    NothingToVerifyWith,
    /// A key could not be read or not be used, or the keys do not go together.
    #[error("--keys: {0}")]
    Keys(KeyError),
    /// The users could not be read.
    #[error("--users: {0}")]
    Users(#[from] UsersError),
    /// The Socket.IO client could not be read.
    #[error("--socketio-client {path}: {error}", path = path.display())]
    Client {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The crypto library has no TLS that this server could speak.
    #[error("--tls-cert: {0}")]
    Tls(#[from] rustls::Error),
    /// The crypto library has no keys for tickets.
    #[error("--tls-cert: no keys for session tickets can be made")]
    NoTickets,
    /// The shards could not be numbered.
    #[error("{0} workers in each of {1} processes are more than 65,535: use fewer")]
    Shards(usize, u16),
    /// A flag names another address than that of the listener that was handed over.
    #[error("{flag} {asked}: the listener that was handed over is at {given}; give the same, or leave the flag out")]
    ListenConflict {
        /// The flag.
        flag: &'static str,
        /// Its value.
        asked: SocketAddr,
        /// The listener's address.
        given: SocketAddr,
    },
    /// A listener was handed over that nothing would serve.
    #[error(
        "the listener at {given} was handed over, and this --role has no use for it ({flag}): \
         its connections would wait forever"
    )]
    UnusedListener {
        /// The flag that names its like.
        flag: &'static str,
        /// Its address.
        given: SocketAddr,
    },
    /// The system allows fewer descriptors than --max-connections needs.
    #[error(
        "--max-connections {connections} needs {needed} descriptors and the limit is {limit}: \
         raise it (ulimit -n) or use fewer"
    )]
    Descriptors {
        /// Asked for.
        connections: u64,
        /// With what else is open.
        needed: u64,
        /// RLIMIT_NOFILE.
        limit: u64,
    },
}
