//! HMAC with SHA-2 (RFC 2104; RFC 7518 section 3.2) from a state that is computed once for the key.

use std::fmt;

use hmac::KeyInit;
use hmac::block_api::HmacCore;
use hmac::digest::block_api::{Buffer, EagerHash, FixedOutputCore, UpdateCore};
use hmac::digest::{CtOutput, Output};
use sha2::{Sha256, Sha384, Sha512};

use crate::keys::Algorithm;

/// The states after the inner and the outer pad. Each message takes a copy of them and hashes its own blocks.
///
/// The library's buffered wrapper is not used, because it would be copied as well: a token takes 121 ns without it, and
/// 140 with it.
pub(super) enum Mac {
    Sha256(HmacCore<Sha256>),
    Sha384(HmacCore<Sha384>),
    Sha512(HmacCore<Sha512>),
}

impl Mac {
    /// The state for `secret`; `None` if `algorithm` is not HMAC.
    pub(super) fn new(secret: &[u8], algorithm: Algorithm) -> Option<Self> {
        // HMAC takes keys of any length: longer ones are hashed first.
        match algorithm {
            Algorithm::HS256 => HmacCore::new_from_slice(secret).ok().map(Self::Sha256),
            Algorithm::HS384 => HmacCore::new_from_slice(secret).ok().map(Self::Sha384),
            Algorithm::HS512 => HmacCore::new_from_slice(secret).ok().map(Self::Sha512),
            _ => None,
        }
    }

    /// Whether the tag that `prepare` returns, in its full length, is the MAC of `message`. Compared in constant time.
    ///
    /// Each block of a MAC depends on the one before, which leaves the processor partly idle: `prepare` is called
    /// between two blocks.
    #[inline]
    pub(super) fn verify_after<'t, T, E>(
        &self,
        message: &[u8],
        prepare: impl FnOnce() -> Result<(&'t [u8], T), E>,
    ) -> Result<(bool, T), E> {
        match self {
            Self::Sha256(state) => is_tag(state, message, prepare),
            Self::Sha384(state) => is_tag(state, message, prepare),
            Self::Sha512(state) => is_tag(state, message, prepare),
        }
    }
}

#[inline]
fn is_tag<'t, D: EagerHash, T, E>(
    state: &HmacCore<D>,
    message: &[u8],
    prepare: impl FnOnce() -> Result<(&'t [u8], T), E>,
) -> Result<(bool, T), E> {
    let mut state = state.clone();
    let mut buffer = Buffer::<HmacCore<D>>::default();
    buffer.digest_blocks(message, |blocks| state.update_blocks(blocks));
    let (tag, prepared) = prepare()?;
    // The length of a tag depends on the algorithm and is not secret.
    let Ok(tag) = <&Output<HmacCore<D>>>::try_from(tag) else {
        return Ok((false, prepared));
    };
    let mut computed = Output::<HmacCore<D>>::default();
    state.finalize_fixed_core(&mut buffer, &mut computed);
    // This type compares in constant time.
    let is_good = CtOutput::<HmacCore<D>>::new(computed) == CtOutput::from(tag);
    Ok((is_good, prepared))
}

impl fmt::Debug for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Mac(..)")
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac as independent;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_hmac_algorithms_have_a_mac() {
        for algorithm in Algorithm::ALL {
            let is_hmac = algorithm.as_str().starts_with("HS");
            assert_eq!(Mac::new(b"secret", algorithm).is_some(), is_hmac);
        }
    }

    proptest! {
        #[test]
        fn the_mac_equals_that_of_another_library(
            secret in proptest::collection::vec(any::<u8>(), 1..300),
            message in proptest::collection::vec(any::<u8>(), 0..600),
            changed in any::<prop::sample::Index>(),
        ) {
            for (algorithm, digest) in [
                (Algorithm::HS256, independent::HMAC_SHA256),
                (Algorithm::HS384, independent::HMAC_SHA384),
                (Algorithm::HS512, independent::HMAC_SHA512),
            ] {
                let key = independent::Key::new(digest, &secret);
                let tag = independent::sign(&key, &message);
                let mac = Mac::new(&secret, algorithm).unwrap();
                let verify = |tag: &[u8]| mac.verify_after(&message, || Ok::<_, ()>((tag, ()))) == Ok((true, ()));
                prop_assert!(verify(tag.as_ref()));

                let mut other = tag.as_ref().to_vec();
                other[changed.index(tag.as_ref().len())] ^= 1;
                prop_assert!(!verify(&other), "one bit changed");
                prop_assert!(!verify(&tag.as_ref()[1..]), "one byte shorter");
                prop_assert!(!verify(&[tag.as_ref(), b"\0"].concat()), "one byte longer");
            }
        }
    }
}
