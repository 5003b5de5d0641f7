//! Errors in the keys that an operator configured.

use std::path::PathBuf;

use crate::keys::Algorithm;

/// Why keys cannot be used. The fault is in the configuration, never in a token.
///
/// No message contains key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// HMAC without a key is a checksum that anybody can compute.
    #[error("the secret is empty")]
    SecretEmpty,
    /// RFC 7518 section 3.2: a secret has at least the length of the digest.
    #[error("the secret has {bytes} bytes and {algorithm} needs {bytes_min}")]
    SecretShort {
        /// The length of the secret.
        bytes: usize,
        /// The algorithm that the secret is pinned to.
        algorithm: Algorithm,
        /// The length of the algorithm's digest.
        bytes_min: usize,
    },
    /// The algorithm needs another type of key.
    #[error("{material} cannot check {algorithm} signatures")]
    AlgorithmUnfit {
        /// The type of the key, such as `an RSA key`.
        material: &'static str,
        /// The configured algorithm.
        algorithm: Algorithm,
    },
    /// RFC 7518 sections 3.3 and 3.5 require a modulus of 2,048 bits or more.
    #[error("an RSA key of {0} bits; 2048 to 8192 are accepted")]
    RsaSize(u32),
    /// The cryptographic library does not accept the bytes as a key of this type.
    #[error("the bytes are not {0}")]
    KeyMalformed(&'static str),
    /// Two keys have one `kid`, which must select one key.
    #[error("two keys have the kid {0:?}")]
    KidDuplicate(String),
    /// The file cannot be read.
    #[error("the key file cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// The file is longer than this limit in bytes.
    #[error("the key file is longer than {0} bytes")]
    FileTooLong(u64),
    /// The file has none of the supported formats.
    #[error("the key file holds neither a PEM public key nor a JSON Web Key or set")]
    FormatUnknown,
    /// A PEM block is malformed.
    #[error("the PEM block that begins on line {line} is broken: {problem}")]
    PemMalformed {
        /// The line of its `BEGIN`, counted from 1.
        line: usize,
        /// What is wrong with the block.
        problem: &'static str,
    },
    /// A PEM block is not a public key.
    #[error("the PEM block that begins on line {line} is a {label}: {advice}")]
    PemUnfit {
        /// The line of its `BEGIN`, counted from 1.
        line: usize,
        /// The label of the block.
        label: String,
        /// What the operator should configure instead.
        advice: &'static str,
    },
    /// The text is neither a JSON Web Key nor a set of them. The parser's error has line and column.
    #[error("not a JSON Web Key or set: {0}")]
    JwkMalformed(#[from] serde_json::Error),
    /// A member of a JSON Web Key is missing or wrong.
    #[error("the JSON Web Key {kid:?}: its {member:?} is {problem}")]
    JwkMember {
        /// The `kid` of the key; empty without one.
        kid: String,
        /// The name of the member.
        member: &'static str,
        /// What is wrong with the member.
        problem: &'static str,
    },
    /// None of the keys of a set can check a signature.
    #[error("the JSON Web Key set holds no key that can check a signature")]
    NoKeyUsable,
    /// The file with this path cannot be used.
    #[error("{path}: {1}", path = .0.display())]
    File(PathBuf, #[source] Box<KeyError>),
}
