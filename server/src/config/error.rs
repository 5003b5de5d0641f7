use std::{io, net::SocketAddr, path::PathBuf};

use crate::config::values::{SECRET_BYTES_MIN, SecretError};
use crate::{frontend::users::UsersError, keys::KeyError, tls::IdentityError};

/// A fault in the flags, or in the files and addresses that they name, which the operator must correct.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The secret could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The secret, of this length, could be guessed from outside, through this listener.
    #[error(
        "--secret has {0} bytes and HS256 needs {SECRET_BYTES_MIN} (RFC 7518 section 3.2): \
         a shorter one is accepted only while every listener is on loopback, and {1} is not"
    )]
    ShortSecret(usize, SocketAddr),
    /// The demo user's password is public, and this listener can be reached from outside.
    #[error(
        "the demo user is accepted only while every listener is on loopback, and {0} is not: \
         name the users with --users"
    )]
    DemoUser(SocketAddr),
    /// Every client would be accepted, and this listener can be reached from outside.
    #[error("--auth none accepts every client: it is allowed only while every listener is on loopback, and {0} is not")]
    OpenGate(SocketAddr),
    /// The frontend has no key to sign tokens with.
    #[error("the frontend signs tokens with --secret, and there is none: give one, or --role gate")]
    NothingToSignWith,
    /// The gate has no key for session lookups.
    #[error("--auth session needs --secret, and there is none: give the gate and the frontend the same")]
    NoLookupKey,
    /// There is a URL for session lookups, which are off.
    #[error("--session-url is for session lookups, and they are off: add --auth session")]
    LookupsAreOff,
    /// The cache of tokens, of this many bytes, does not fit into memory.
    #[error("--token-cache {0}: this machine does not have so much memory")]
    TokenCache(usize),
    /// There are no keys at all.
    #[error("there is no key to verify tokens with: give --secret, --keys or --jwks")]
    NothingToVerifyWith,
    /// A key could not be read or not be used, or the keys do not go together.
    #[error("--keys: {0}")]
    Keys(KeyError),
    /// The users could not be read.
    #[error("--users: {0}")]
    Users(#[from] UsersError),
    /// The Socket.IO client could not be read from this file.
    #[error("--socketio-client {path}: {1}", path = .0.display())]
    Client(PathBuf, io::Error),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The crypto library supports no version of TLS that this server speaks.
    #[error("--tls-cert: {0}")]
    Tls(#[from] rustls::Error),
    /// The crypto library has no keys for tickets.
    #[error("--tls-cert: no keys for session tickets can be made")]
    NoTickets,
    /// There are more shards than a u16 counts.
    #[error("{0} workers in each of {1} processes are more than 65,535: use fewer")]
    Shards(usize, u16),
    /// A flag names another address than that of the listener that was handed over.
    #[error("{0} {1}: the listener that was handed over is at {2}; give the same, or leave the flag out")]
    ListenConflict(&'static str, SocketAddr, SocketAddr),
    /// The role of this flag has no use for the listener at this address, which was handed over.
    #[error(
        "the listener at {1} was handed over, and this --role has no use for it ({0}): \
         its connections would wait forever"
    )]
    UnusedListener(&'static str, SocketAddr),
    /// The limit on descriptors is lower than `--max-connections` needs: the flag's value, the need, the limit.
    #[error(
        "--max-connections {0} needs {1} descriptors and the limit is {2}: \
         raise it (ulimit -n) or use fewer"
    )]
    Descriptors(u64, u64, u64),
}
