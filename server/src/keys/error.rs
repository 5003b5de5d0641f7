//! What can be wrong with the keys that an operator configured.

use std::path::PathBuf;

use crate::keys::Algorithm;

/// Why keys could not be used. Each is the fault of the configuration, none of a token.
///
/// No message holds key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// HMAC without a key is a checksum that anybody can compute.
    #[error("the secret is empty")]
    SecretEmpty,
    /// RFC 7518 section 3.2: a key of the same size as the hash output, or larger.
    #[error("the secret has {bytes} bytes and {algorithm} needs {bytes_min}")]
    SecretShort {
        /// Its length.
        bytes: usize,
        /// The algorithm it is pinned to.
        algorithm: Algorithm,
        /// The length of that algorithm's digest.
        bytes_min: usize,
    },
    /// The key is of one kind and the algorithm needs another.
    #[error("{material} cannot check {algorithm} signatures")]
    AlgorithmUnfit {
        /// What the key is made of, such as `an RSA key`.
        material: &'static str,
        /// The algorithm that was asked for.
        algorithm: Algorithm,
    },
    /// RFC 7518 sections 3.3 and 3.5 ask for 2,048 bits or more.
    #[error("an RSA key of {bits} bits; 2048 to 8192 are accepted")]
    RsaSize {
        /// The length of the modulus.
        bits: u32,
    },
    /// The cryptographic library does not accept the bytes as a key of that kind.
    #[error("the bytes are not {material}")]
    KeyMalformed {
        /// What they should have been.
        material: &'static str,
    },
    /// A `kid` picks one key, so no two may share it.
    #[error("two keys have the kid {kid:?}")]
    KidDuplicate {
        /// The name that both have.
        kid: String,
    },
    /// The file cannot be read.
    #[error("the key file cannot be read: {source}")]
    Unreadable {
        /// The operating system's error.
        #[from]
        source: std::io::Error,
    },
    /// Longer than any set of keys is.
    #[error("the key file is longer than {bytes_max} bytes")]
    FileTooLong {
        /// The limit.
        bytes_max: u64,
    },
    /// The file has neither of the known formats.
    #[error("the key file holds neither a PEM public key nor a JSON Web Key or set")]
    FormatUnknown,
    /// A PEM block that is broken.
    #[error("the PEM block that begins on line {line} is broken: {problem}")]
    PemMalformed {
        /// The line of its `BEGIN`, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A PEM block that is not a public key.
    #[error("the PEM block that begins on line {line} is a {label}: {advice}")]
    PemUnfit {
        /// The line of its `BEGIN`, counted from 1.
        line: usize,
        /// The label of the block.
        label: String,
        /// What the user should configure instead.
        advice: &'static str,
    },
    /// The text is neither a JSON Web Key nor a set of them.
    #[error("not a JSON Web Key or set: {source}")]
    JwkMalformed {
        /// The parser's error, with line and column.
        #[from]
        source: serde_json::Error,
    },
    /// A JSON Web Key that lacks a member or holds a wrong one.
    #[error("the JSON Web Key {kid:?}: its {member:?} is {problem}")]
    JwkMember {
        /// The `kid` of the key, empty where it has none.
        kid: String,
        /// The name of the member.
        member: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Keys were read, but none that can check a signature.
    #[error("the JSON Web Key set holds no key that can check a signature")]
    NoKeyUsable,
    /// One of several files cannot be used.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<KeyError>,
    },
}
