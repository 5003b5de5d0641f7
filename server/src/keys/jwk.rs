//! JSON Web Keys and sets of them (RFC 7517; members of each kind: RFC 7518 section 6, RFC 8037 section 2).

use base64_simd::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::keys::{Algorithm, Key, KeyError};

/// The keys in `text`: one JSON Web Key, or those of a set that can check a signature.
///
/// # Errors
/// What is wrong with the JSON or with a key; [`KeyError::NoKeyUsable`] when every key of a set was skipped. A key
/// outside a set is never skipped: what prevents its use is an error.
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
        if let Some(jwk) = usable(member)? {
            keys.push(jwk.key()?);
        }
    }
    not_empty(keys)
}

/// The keys in `text`, a published set: those that are public, valid and long enough. A key that cannot be used does not
/// exclude the others (RFC 7517 section 5). A secret in a published set is ignored: everybody knows it.
///
/// # Errors
/// What is wrong with the JSON of the set; [`KeyError::KidDuplicate`], since a name must pick one key;
/// [`KeyError::NoKeyUsable`].
pub(super) fn remote_keys(text: &str) -> Result<Vec<Key>, KeyError> {
    let mut keys: Vec<Key> = Vec::new();
    for member in members(text)? {
        match usable(member).and_then(|jwk| jwk.as_ref().map(Jwk::published_key).transpose()) {
            Ok(key) => keys.extend(key),
            Err(error) => tracing::warn!(%error, "a published key is skipped"),
        }
    }
    for (i, key) in keys.iter().enumerate() {
        let earlier = keys.iter().take(i);
        if let Some(kid) = key.kid()
            && earlier.into_iter().any(|earlier| earlier.kid() == Some(kid))
        {
            return Err(KeyError::KidDuplicate { kid: kid.to_owned() });
        }
    }
    not_empty(keys)
}

fn members(text: &str) -> Result<Vec<&RawValue>, KeyError> {
    let set: Set<'_> = serde_json::from_str(text)?;
    Ok(set.keys)
}

/// A member of a set, if it is meant for checking signatures.
fn usable(member: &RawValue) -> Result<Option<Jwk>, KeyError> {
    // The kind first: in a key of an unknown kind any member may have another type.
    let kind: Kind = serde_json::from_str(member.get())?;
    if !KINDS.contains(&kind.kty.as_str()) {
        return Ok(None);
    }
    let jwk: Jwk = serde_json::from_str(member.get())?;
    Ok(jwk.obstacle().is_none().then_some(jwk))
}

fn not_empty(keys: Vec<Key>) -> Result<Vec<Key>, KeyError> {
    match keys.is_empty() {
        true => Err(KeyError::NoKeyUsable),
        false => Ok(keys),
    }
}

/// The supported values of `kty`.
const KINDS: [&str; 4] = ["RSA", "EC", "OKP", "oct"];

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
struct Kind {
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
    /// The member, and its problem, that prevents a well-formed key from checking signatures here.
    fn obstacle(&self) -> Option<(&'static str, &'static str)> {
        if !KINDS.contains(&self.kty.as_str()) {
            return Some(("kty", "none of RSA, EC, OKP and oct"));
        }
        if self.usage.as_ref().is_some_and(|usage| usage != "sig") {
            return Some(("use", "another than \"sig\""));
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

    /// The prepared key, pinned to its `alg` or to the default of its kind.
    fn key(&self) -> Result<Key, KeyError> {
        let key = match self.kty.as_str() {
            "oct" => self.secret(),
            "RSA" => Key::rsa(&self.bytes("n", &self.n)?, &self.bytes("e", &self.e)?, self.pinned(Algorithm::RS256)),
            "EC" => self.elliptic(),
            "OKP" => self.edwards(),
            _ => return Err(self.error("kty", "none of RSA, EC, OKP and oct")),
        }?;
        Ok(match &self.kid {
            Some(kid) => key.with_kid(kid),
            None => key,
        })
    }

    /// The same for a key of a published set.
    fn published_key(&self) -> Result<Key, KeyError> {
        match self.kty.as_str() {
            "oct" => Err(self.error("kty", "that of a secret, and it is published")),
            _ => self.key(),
        }
    }

    /// A secret, which must be as long as the algorithm demands: nobody has to type one in a JWK.
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

    fn elliptic(&self) -> Result<Key, KeyError> {
        let (by_curve, coordinate_bytes) = match self.crv.as_deref() {
            Some("P-256") => (Algorithm::ES256, 32),
            Some("P-384") => (Algorithm::ES384, 48),
            Some("P-521") => (Algorithm::ES512, 66),
            _ => return Err(self.error("crv", "missing or a curve that is not supported")),
        };
        let algorithm = self.pinned(by_curve);
        if algorithm != by_curve {
            return Err(self.error("alg", "the algorithm of another kind of key"));
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

    fn edwards(&self) -> Result<Key, KeyError> {
        if self.crv.as_deref() != Some("Ed25519") {
            return Err(self.error("crv", "missing or a curve that is not supported"));
        }
        if self.pinned(Algorithm::EdDSA) != Algorithm::EdDSA {
            return Err(self.error("alg", "the algorithm of another kind of key"));
        }
        let bytes = self.bytes("x", &self.x)?;
        if bytes.len() != 32 {
            return Err(self.error("x", "not 32 bytes long"));
        }
        Key::ed25519(&bytes)
    }

    /// The key's own `alg`, else `default`.
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
    fn every_kind_of_key_has_a_default_algorithm() {
        let keys = keys(SET).unwrap();
        let found: Vec<_> = keys.iter().map(|key| (key.kid().unwrap(), key.algorithm().as_str())).collect();
        assert_eq!(
            found,
            [
                ("rsa2048", "RS256"),
                ("p256", "ES256"),
                ("p384", "ES384"),
                ("p521", "ES512"),
                ("ed25519", "EdDSA"),
                ("secret", "HS256"),
            ]
        );
    }

    #[test]
    fn the_alg_of_a_key_pins_it() {
        let secret = URL_SAFE_NO_PAD.encode_to_string([7; 64]);
        let hs256 = format!(r#"{{"kty":"oct","k":"{secret}"}}"#);
        let hs512 = format!(r#"{{"kty":"oct","k":"{secret}","alg":"HS512"}}"#);
        for (jwk, algorithm) in [(hs512.as_str(), "HS512"), (&hs256, "HS256"), (ED25519, "EdDSA")] {
            assert_eq!(keys(jwk).unwrap()[0].algorithm().as_str(), algorithm);
        }
    }

    #[test]
    fn keys_for_another_use_are_skipped_in_a_set() {
        for (other, why) in [
            (r#"{"kty":"AKP","x":7}"#, "an unknown kind, any members"),
            (r#"{"kty":"oct","k":"AAAA","use":"enc"}"#, "for encryption"),
            (r#"{"kty":"oct","k":"AAAA","key_ops":["sign"]}"#, "signs"),
            (r#"{"kty":"oct","k":"AAAA","alg":"A128KW"}"#, "wraps keys"),
            (r#"{"kty":"EC","crv":"secp256k1"}"#, "an unknown curve"),
            (r#"{"kty":"OKP","crv":"X25519","x":"AAAA"}"#, "key agreement"),
        ] {
            let set = format!(r#"{{"keys":[{other},{ED25519}]}}"#);
            assert_eq!(keys(&set).unwrap().len(), 1, "{why}");
            assert!(keys(other).is_err(), "alone it is an error: {why}");
            let only = format!(r#"{{"keys":[{other}]}}"#);
            assert!(matches!(keys(&only), Err(KeyError::NoKeyUsable)), "{why}");
        }
    }

    #[test]
    fn the_error_of_a_broken_key_names_its_member() {
        for (jwk, message, why) in [
            (r#"{"kty":"oct"}"#, r#""k" is missing"#, "no secret"),
            (r#"{"kty":"oct","k":""}"#, "secret is empty", "no bytes"),
            (r#"{"kty":"oct","k":"AA=="}"#, "base64url", "padded"),
            (r#"{"kty":"oct","k":"c2VjcmV0"}"#, "6 bytes", "a short secret"),
            (r#"{"kty":"oct","k":"c2VjcmV0","alg":"RS256"}"#, "RS256", "mixed"),
            (r#"{"kty":"RSA","n":"AQAB"}"#, r#""e" is missing"#, "half"),
            (r#"{"kty":"RSA","n":"4Q","e":"AQAB"}"#, "RSA", "8 bits"),
            (r#"{"kty":"EC","x":"AA","y":"AA"}"#, r#""crv""#, "no curve"),
            (r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#, r#""x""#, "short"),
            (r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#, "32 bytes", "short"),
            (r#"{"kty":"oct","kty":"oct","k":"AA"}"#, "duplicate", "twice"),
            (r#"{"kty":"oct","k":1}"#, "line 1", "a number"),
            (r#"{"k":"AA"}"#, "kty", "no kind"),
            (r#"{"keys":{}}"#, "sequence", "no list"),
            (r#"{"keys":[]}"#, "no key", "an empty list"),
        ] {
            let error = keys(jwk).unwrap_err().to_string();
            assert!(error.contains(message), "{why}: {error}");
        }
    }

    #[test]
    fn each_published_key_is_checked_on_its_own() {
        let rsa_small = r#"{"kty":"RSA","n":"4Q","e":"AQAB","kid":"small"}"#;
        let secret = format!(r#"{{"kty":"oct","k":"{}"}}"#, URL_SAFE_NO_PAD.encode_to_string([7; 64]));
        let powerless = {
            let modulus = URL_SAFE_NO_PAD.encode_to_string([0xff; 256]);
            format!(r#"{{"kty":"RSA","n":"{modulus}","e":"AQ"}}"#)
        };
        let named = ED25519.replace("}", r#","kid":"a"}"#);
        for (members, expected, why) in [
            (vec![ED25519], Ok(1), "a valid one"),
            (vec![ED25519, rsa_small], Ok(1), "beside one that is too small"),
            (vec![ED25519, &secret], Ok(1), "beside a secret"),
            (vec![r#"{"kty":"RSA","n":7}"#, ED25519, "{}", "null"], Ok(1), "beside values that are not keys"),
            (vec![r#"{"kty":"RSA","kty":"RSA"}"#, ED25519], Ok(1), "beside one of two kinds"),
            (vec![ED25519, ED25519], Ok(2), "two without a name"),
            (vec![&named, &named], Err("kid \"a\""), "two of one name"),
            (vec![&secret], Err("no key"), "a secret alone"),
            (vec![rsa_small], Err("no key"), "a small one alone"),
            (vec![&powerless], Err("no key"), "whose exponent is 1"),
            (vec![], Err("no key"), "nothing"),
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
        let zero = URL_SAFE_NO_PAD.encode_to_string([1; 32]);
        let jwk = format!(r#"{{"kty":"EC","crv":"P-256","x":"{zero}","y":"{zero}"}}"#);
        assert!(matches!(keys(&jwk), Err(KeyError::KeyMalformed { .. })));
    }

    proptest! {
        #[test]
        fn any_members_are_a_key_or_an_error(
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
