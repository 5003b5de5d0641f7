//! JSON Web Keys and sets of them (RFC 7517; members of each kind: RFC 7518 section 6, RFC 8037 section 2).

use std::collections::HashSet;

use base64_simd::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::keys::{Algorithm, Key, KeyError};

/// The keys in `text`: one JSON Web Key, or those of a set that can check a signature.
///
/// # Errors
/// What is wrong with the JSON or with a key; [`KeyError::NoKeyUsable`] if all keys of a set were skipped. A key that
/// is not in a set is never skipped: if it cannot be used, that is an error.
pub(super) fn keys(text: &str) -> Result<Vec<Key>, KeyError> {
    let Document { keys: None } = serde_json::from_str(text)? else {
        return set(text);
    };
    let jwk: Jwk = serde_json::from_str(text)?;
    match jwk.obstacle() {
        Some((member, problem)) => Err(jwk.error(member, problem)),
        None => Ok(vec![jwk.key()?]),
    }
}

fn set(text: &str) -> Result<Vec<Key>, KeyError> {
    let mut keys = Vec::new();
    for member in members(text)? {
        keys.extend(usable(member)?.map(|jwk| jwk.key()).transpose()?);
    }
    not_empty(keys)
}

/// The keys in `text`, a published set, that are public, valid and long enough. Other keys are skipped (RFC 7517
/// section 5), secrets too: a published secret is known to everybody.
///
/// # Errors
/// What is wrong with the JSON of the set; [`KeyError::KidDuplicate`]; [`KeyError::NoKeyUsable`].
pub(super) fn remote_keys(text: &str) -> Result<Vec<Key>, KeyError> {
    let mut keys: Vec<Key> = Vec::new();
    for member in members(text)? {
        match usable(member).and_then(|jwk| jwk.as_ref().map(Jwk::published_key).transpose()) {
            Ok(key) => keys.extend(key),
            Err(error) => tracing::warn!(%error, "a published key is skipped"),
        }
    }
    let mut kids = HashSet::new();
    if let Some(kid) = keys.iter().filter_map(Key::kid).find(|kid| !kids.insert(*kid)) {
        return Err(KeyError::KidDuplicate(kid.to_owned()));
    }
    not_empty(keys)
}

fn members(text: &str) -> Result<Vec<&RawValue>, KeyError> {
    let set: Set<'_> = serde_json::from_str(text)?;
    Ok(set.keys)
}

/// The key in a member of a set; `None` if its purpose is not to check signatures.
fn usable(member: &RawValue) -> Result<Option<Jwk>, KeyError> {
    // `kty` is read first: in a key of an unknown type any member may have another JSON type.
    let KeyType { kty } = serde_json::from_str(member.get())?;
    if !KEY_TYPES.contains(&kty.as_str()) {
        return Ok(None);
    }
    let jwk: Jwk = serde_json::from_str(member.get())?;
    Ok(jwk.obstacle().is_none().then_some(jwk))
}

fn not_empty(keys: Vec<Key>) -> Result<Vec<Key>, KeyError> {
    if keys.is_empty() { Err(KeyError::NoKeyUsable) } else { Ok(keys) }
}

/// The supported values of `kty`.
const KEY_TYPES: [&str; 4] = ["RSA", "EC", "OKP", "oct"];

/// Distinguishes a set, which has `keys`, from a key.
#[derive(Deserialize)]
struct Document {
    keys: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Set<'t> {
    #[serde(borrow)]
    keys: Vec<&'t RawValue>,
}

#[derive(Deserialize)]
struct KeyType {
    kty: String,
}

/// The public members of a key. Private ones (`d`, `p`, `q`, ...) are not read.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    k: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Jwk {
    /// The member, and its problem, because of which a well-formed key cannot check signatures.
    fn obstacle(&self) -> Option<(&'static str, &'static str)> {
        if !KEY_TYPES.contains(&self.kty.as_str()) {
            return Some(("kty", "none of RSA, EC, OKP and oct"));
        }
        if self.usage.as_ref().is_some_and(|usage| usage != "sig") {
            return Some(("use", "not \"sig\""));
        }
        if let Some(operations) = &self.key_ops
            && !operations.iter().any(|operation| operation == "verify")
        {
            return Some(("key_ops", "without \"verify\""));
        }
        let curves: &[&str] = match self.kty.as_str() {
            "EC" => &["P-256", "P-384", "P-521"],
            "OKP" => &["Ed25519"],
            _ => &[],
        };
        if let Some(curve) = &self.crv
            && !curves.is_empty()
            && !curves.contains(&curve.as_str())
        {
            return Some(("crv", "a curve that is not supported"));
        }
        if let Some(name) = &self.alg
            && name.parse::<Algorithm>().is_err()
        {
            return Some(("alg", "not a signature algorithm that is supported"));
        }
        None
    }

    /// The parsed key, pinned to its `alg` or to the default of its type.
    fn key(&self) -> Result<Key, KeyError> {
        let key = match self.kty.as_str() {
            "oct" => self.secret(),
            "RSA" => Key::rsa(&self.bytes("n", &self.n)?, &self.bytes("e", &self.e)?, self.pinned(Algorithm::RS256)),
            "EC" => self.ec(),
            "OKP" => self.ed25519(),
            _ => return Err(self.error("kty", "none of RSA, EC, OKP and oct")),
        }?;
        Ok(if let Some(kid) = &self.kid { key.with_kid(kid) } else { key })
    }

    /// The parsed key of a published set.
    fn published_key(&self) -> Result<Key, KeyError> {
        match self.kty.as_str() {
            "oct" => Err(self.error("kty", "oct, but a published secret is not secret")),
            _ => self.key(),
        }
    }

    /// The key of a secret. The length that RFC 7518 requires is enforced, because nobody types the secret of a JWK.
    fn secret(&self) -> Result<Key, KeyError> {
        let (bytes, algorithm) = (self.bytes("k", &self.k)?, self.pinned(Algorithm::HS256));
        let key = Key::secret(&bytes, algorithm)?;
        match algorithm.secret_bytes_min() {
            Some(bytes_min) if bytes.len() < bytes_min => {
                Err(KeyError::SecretShort { bytes: bytes.len(), algorithm, bytes_min })
            }
            _ => Ok(key),
        }
    }

    fn ec(&self) -> Result<Key, KeyError> {
        let (of_curve, coordinate_bytes) = match self.crv.as_deref() {
            Some("P-256") => (Algorithm::ES256, 32),
            Some("P-384") => (Algorithm::ES384, 48),
            Some("P-521") => (Algorithm::ES512, 66),
            _ => return Err(self.error("crv", "missing or a curve that is not supported")),
        };
        let algorithm = self.pinned(of_curve);
        if algorithm != of_curve {
            return Err(self.error("alg", "the algorithm of another type of key"));
        }
        // An uncompressed point (SEC 1 section 2.3.3): 4, then both coordinates at full length.
        let mut point = vec![4];
        for (name, value) in [("x", &self.x), ("y", &self.y)] {
            let coordinate = self.bytes(name, value)?;
            if coordinate.len() != coordinate_bytes {
                return Err(self.error(name, "not as long as the curve's field"));
            }
            point.extend_from_slice(&coordinate);
        }
        Key::ec(&point, algorithm)
    }

    fn ed25519(&self) -> Result<Key, KeyError> {
        if self.crv.as_deref() != Some("Ed25519") {
            return Err(self.error("crv", "missing or a curve that is not supported"));
        }
        if self.pinned(Algorithm::EdDSA) != Algorithm::EdDSA {
            return Err(self.error("alg", "the algorithm of another type of key"));
        }
        let bytes = self.bytes("x", &self.x)?;
        if bytes.len() != 32 {
            return Err(self.error("x", "not 32 bytes long"));
        }
        Key::ed25519(&bytes)
    }

    /// The `alg` of the key, else `default`.
    fn pinned(&self, default: Algorithm) -> Algorithm {
        self.alg.as_ref().and_then(|name| name.parse().ok()).unwrap_or(default)
    }

    fn bytes(&self, member: &'static str, value: &Option<String>) -> Result<Vec<u8>, KeyError> {
        let Some(text) = value else {
            return Err(self.error(member, "missing"));
        };
        URL_SAFE_NO_PAD.decode_to_vec(text).map_err(|_| self.error(member, "not base64url without padding"))
    }

    fn error(&self, member: &'static str, problem: &'static str) -> KeyError {
        KeyError::JwkMember { kid: self.kid.clone().unwrap_or_default(), member, problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SET: &str = include_str!("../../tests/keys/jwks.json");
    /// RFC 8037 appendix A.2.
    const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    #[test]
    fn a_key_is_pinned_to_its_alg_or_to_the_default_of_its_type() {
        let keys = keys(SET).unwrap();
        let found: Vec<_> = keys.iter().map(|key| (key.kid().unwrap(), key.algorithm().as_str())).collect();
        let rsa_and_ec = [("rsa2048", "RS256"), ("p256", "ES256"), ("p384", "ES384"), ("p521", "ES512")];
        assert_eq!(found, [&rsa_and_ec[..], &[("ed25519", "EdDSA"), ("secret", "HS256")]].concat());
        let secret = URL_SAFE_NO_PAD.encode_to_string([7; 64]);
        let hs256 = format!(r#"{{"kty":"oct","k":"{secret}"}}"#);
        let hs512 = format!(r#"{{"kty":"oct","k":"{secret}","alg":"HS512"}}"#);
        for (jwk, algorithm) in [(hs512.as_str(), "HS512"), (&hs256, "HS256"), (ED25519, "EdDSA")] {
            assert_eq!(super::keys(jwk).unwrap()[0].algorithm().as_str(), algorithm);
        }
    }

    #[test]
    fn keys_for_another_use_are_skipped_in_a_set() {
        for (other, why) in [
            (r#"{"kty":"AKP","x":7}"#, "an unknown type with any members"),
            (r#"{"kty":"oct","k":"AAAA","use":"enc"}"#, "for encryption"),
            (r#"{"kty":"oct","k":"AAAA","key_ops":["sign"]}"#, "for signing only"),
            (r#"{"kty":"oct","k":"AAAA","alg":"A128KW"}"#, "for key wrapping"),
            (r#"{"kty":"EC","crv":"secp256k1"}"#, "an unknown curve"),
            (r#"{"kty":"OKP","crv":"X25519","x":"AAAA"}"#, "for key agreement"),
        ] {
            let set = format!(r#"{{"keys":[{other},{ED25519}]}}"#);
            assert_eq!(keys(&set).unwrap().len(), 1, "{why}");
            assert!(keys(other).is_err(), "without a set it is an error: {why}");
            let only = format!(r#"{{"keys":[{other}]}}"#);
            assert!(matches!(keys(&only), Err(KeyError::NoKeyUsable)), "{why}");
        }
    }

    #[test]
    fn the_error_of_a_malformed_key_names_its_member() {
        for (jwk, message, why) in [
            (r#"{"kty":"oct"}"#, r#""k" is missing"#, "no secret"),
            (r#"{"kty":"oct","k":""}"#, "secret is empty", "no bytes"),
            (r#"{"kty":"oct","k":"AA=="}"#, "base64url", "padded"),
            (r#"{"kty":"oct","k":"c2VjcmV0"}"#, "6 bytes", "a short secret"),
            (r#"{"kty":"oct","k":"c2VjcmV0","alg":"RS256"}"#, "RS256", "an RSA algorithm for a secret"),
            (r#"{"kty":"RSA","n":"AQAB"}"#, r#""e" is missing"#, "only one of two members"),
            (r#"{"kty":"RSA","n":"4Q","e":"AQAB"}"#, "RSA", "8 bits"),
            (r#"{"kty":"EC","x":"AA","y":"AA"}"#, r#""crv""#, "no curve"),
            (r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#, r#""x""#, "short"),
            (r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#, "32 bytes", "short"),
            (r#"{"kty":"oct","kty":"oct","k":"AA"}"#, "duplicate", "kty twice"),
            (r#"{"kty":"oct","k":1}"#, "line 1", "a number"),
            (r#"{"k":"AA"}"#, "kty", "no kty"),
            (r#"{"keys":{}}"#, "sequence", "keys is not a list"),
            (r#"{"keys":[]}"#, "no key", "an empty list"),
        ] {
            let error = keys(jwk).unwrap_err().to_string();
            assert!(error.contains(message), "{why}: {error}");
        }
    }

    #[test]
    fn an_unusable_published_key_does_not_exclude_others() {
        let rsa_small = r#"{"kty":"RSA","n":"4Q","e":"AQAB","kid":"small"}"#;
        let secret = format!(r#"{{"kty":"oct","k":"{}"}}"#, URL_SAFE_NO_PAD.encode_to_string([7; 64]));
        let exponent_one = {
            let modulus = URL_SAFE_NO_PAD.encode_to_string([0xff; 256]);
            format!(r#"{{"kty":"RSA","n":"{modulus}","e":"AQ"}}"#)
        };
        let named = ED25519.replace("}", r#","kid":"a"}"#);
        for (members, expected, why) in [
            (vec![ED25519], Ok(1), "a valid one"),
            (vec![ED25519, rsa_small], Ok(1), "beside one that is too short"),
            (vec![ED25519, &secret], Ok(1), "beside a secret"),
            (vec![r#"{"kty":"RSA","n":7}"#, ED25519, "{}", "null"], Ok(1), "beside values that are not keys"),
            (vec![r#"{"kty":"RSA","kty":"RSA"}"#, ED25519], Ok(1), "beside one with two types"),
            (vec![ED25519, ED25519], Ok(2), "two without a name"),
            (vec![&named, &named], Err("kid \"a\""), "two with one name"),
            (vec![&secret], Err("no key"), "only a secret"),
            (vec![rsa_small], Err("no key"), "only a short one"),
            (vec![&exponent_one], Err("no key"), "only one whose exponent is 1"),
            (vec![], Err("no key"), "an empty set"),
        ] {
            let set = format!(r#"{{"keys":[{}]}}"#, members.join(","));
            match (remote_keys(&set).map(|keys| keys.len()), expected) {
                (Ok(found), Ok(count)) => assert_eq!(found, count, "{why}"),
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{why}: {error}");
                }
                (found, _) => panic!("{why}: {found:?}"),
            }
        }
        assert!(remote_keys(ED25519).is_err(), "a key outside a set is refused");
        assert!(remote_keys("<html>").is_err(), "an HTML page is refused");
    }

    #[test]
    fn a_point_off_the_curve_is_refused() {
        let one = URL_SAFE_NO_PAD.encode_to_string([1; 32]);
        let jwk = format!(r#"{{"kty":"EC","crv":"P-256","x":"{one}","y":"{one}"}}"#);
        assert!(matches!(keys(&jwk), Err(KeyError::KeyMalformed(_))));
    }

    proptest! {
        #[test]
        fn arbitrary_members_never_panic(
            kty in "RSA|EC|OKP|oct|x",
            crv in "P-256|P-521|Ed25519|",
            alg in "HS256|RS256|ES256|none|",
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let b = URL_SAFE_NO_PAD.encode_to_string(&bytes);
            let jwk = format!(
                r#"{{"kty":"{kty}","crv":"{crv}","alg":"{alg}","k":"{b}","n":"{b}","e":"{b}","x":"{b}","y":"{b}"}}"#
            );
            let _ = keys(&jwk);
        }
    }
}
