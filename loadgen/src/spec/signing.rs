//! Tokens that are made here, with the target's own key.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use crate::ground::values::InputError;
use crate::spec::claims::Claims;
use crate::spec::secret::Secret;
use crate::spec::template::Variables;
use crate::spec::users::USERNAME;

/// How tokens are minted.
#[derive(Clone, Debug)]
pub struct MintPlan {
    key: Arc<EncodingKey>,
    /// Boxed: it has room for everything that RFC 7515 knows.
    header: Box<Header>,
    /// Laid over the claims that every token has.
    claims: Claims,
    ttl: Option<Duration>,
}

/// The error of an algorithm that needs another kind of key.
fn wrong_key(alg: Algorithm, needed: &str) -> InputError {
    InputError(format!("{alg:?} signs with {needed}"))
}

/// The error of a key that does not sign with an algorithm.
fn cannot_sign(alg: Algorithm, error: &jsonwebtoken::errors::Error) -> InputError {
    InputError(format!("the --key does not sign {alg:?} tokens: {error}"))
}

/// Reads the file of `--key`.
pub fn read_key(path: &Path) -> Result<Vec<u8>, InputError> {
    std::fs::read(path).map_err(|error| InputError(format!("cannot read the --key {}: {error}", path.display())))
}

/// The error of a `--key` that signs with no algorithm.
pub fn unknown_key(path: &Path) -> InputError {
    InputError(format!(
        "the --key {} is no private key in PEM (PKCS#8, or PKCS#1 for RSA) that signs RS256, ES256, ES384 or EdDSA",
        path.display()
    ))
}

impl MintPlan {
    /// Signs with a shared secret: HS256, HS384 or HS512.
    pub fn with_secret(secret: &Secret, alg: Option<Algorithm>) -> Result<Self, InputError> {
        let alg = alg.unwrap_or(Algorithm::HS256);
        if !matches!(alg, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) {
            return Err(wrong_key(alg, "a private key: give --key FILE, not --secret"));
        }
        Self::fit(EncodingKey::from_secret(secret.expose()), alg)
    }

    /// Signs with a private key from a PEM file. Without an algorithm, the one that the key has: RS256 for RSA, ES256
    /// or ES384 by its curve, EdDSA.
    pub fn with_key_file(path: &Path, alg: Option<Algorithm>) -> Result<Self, InputError> {
        let pem = read_key(path)?;
        if let Some(alg) = alg {
            let key = key_from_pem(&pem, alg)?;
            return Self::fit(key, alg);
        }
        [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA]
            .into_iter()
            .find_map(|alg| key_from_pem(&pem, alg).and_then(|key| Self::fit(key, alg)).ok())
            .ok_or_else(|| unknown_key(path))
    }

    /// Names the key in each token's header.
    pub fn with_kid(mut self, kid: Option<String>) -> Self {
        self.header.kid = kid;
        self
    }

    /// Lays claims over those that every token has.
    pub fn with_claims(mut self, claims: Claims) -> Self {
        self.claims = claims;
        self
    }

    /// Gives each token an end: `exp`, so long after `iat`.
    pub fn with_ttl(mut self, ttl: Option<Duration>) -> Self {
        self.ttl = ttl;
        self
    }

    /// The algorithm, as RFC 7518 names it.
    pub fn alg(&self) -> Algorithm {
        self.header.alg
    }

    /// How long each token lives; `None`: it has no end.
    pub fn ttl(&self) -> Option<Duration> {
        self.ttl
    }

    /// A token for a user, by what is known of them: `{"user":{"username":NAME},"iat":NOW}` and `exp`, as the frontend
    /// makes it, under the claims that were asked for.
    pub fn token(&self, user: &Variables, now: SystemTime) -> Result<Arc<str>, InputError> {
        let now_s = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let name = user.get(USERNAME).unwrap_or_default();
        let mut claims = json!({"user": {"username": name}, "iat": now_s});
        if let Some(ttl) = self.ttl {
            claims["exp"] = (now_s + ttl.as_secs()).into();
        }
        self.claims.lay_over(&mut claims, user);
        jsonwebtoken::encode(&self.header, &claims, &self.key)
            .map(Arc::from)
            .map_err(|error| cannot_sign(self.header.alg, &error))
    }

    /// A key that has signed once with its algorithm signs for the whole run.
    fn fit(key: EncodingKey, alg: Algorithm) -> Result<Self, InputError> {
        let plan =
            Self { key: Arc::new(key), header: Box::new(Header::new(alg)), claims: Claims::default(), ttl: None };
        plan.token(&Variables::default(), UNIX_EPOCH)?;
        Ok(plan)
    }
}

fn key_from_pem(pem: &[u8], alg: Algorithm) -> Result<EncodingKey, InputError> {
    match alg {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            return Err(wrong_key(alg, "a shared secret: give --secret, not --key"));
        }
        Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
        _ => EncodingKey::from_rsa_pem(pem),
    }
    .map_err(|error| cannot_sign(alg, &error))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};
    use serde_json::Value;

    use super::*;

    const NOW: SystemTime = UNIX_EPOCH;

    fn secret() -> Secret {
        Secret::new(*b"a secret of more than thirty-two bytes")
    }

    fn ann() -> Variables {
        let mut ann = Variables::default();
        ann.set(USERNAME, "ann");
        ann
    }

    fn claims_of(plan: &MintPlan, key: &DecodingKey) -> Value {
        let mut validation = Validation::new(plan.alg());
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let token = plan.token(&ann(), NOW + Duration::from_secs(100)).unwrap();
        jsonwebtoken::decode::<Value>(&*token, key, &validation).unwrap().claims
    }

    #[test]
    fn claims_are_the_frontends_and_what_was_asked() {
        let ann = json!({"username": "ann"});
        for (asked, ttl_s, expected, why) in [
            ("{}", None, json!({"user": ann, "iat": 100}), "the frontend's shape"),
            ("{}", Some(10), json!({"user": ann, "iat": 100, "exp": 110}), "with an end"),
            (
                r#"{"user":null,"sub":"{{username}}"}"#,
                Some(10),
                json!({"iat": 100, "exp": 110, "sub": "ann"}),
                "under what was asked, filled for the user",
            ),
        ] {
            let plan = MintPlan::with_secret(&secret(), None)
                .unwrap()
                .with_claims(asked.parse().unwrap())
                .with_ttl(ttl_s.map(Duration::from_secs));
            let key = DecodingKey::from_secret(secret().expose());
            assert_eq!(claims_of(&plan, &key), expected, "{why}");
        }
    }

    #[test]
    fn the_header_names_algorithm_and_key() {
        for alg in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let plan = MintPlan::with_secret(&secret(), Some(alg)).unwrap();
            let token = plan.with_kid(Some("k1".to_owned())).token(&ann(), NOW).unwrap();
            let header = jsonwebtoken::decode_header(&*token).unwrap();
            assert_eq!((header.alg, header.kid.as_deref()), (alg, Some("k1")));
        }
    }

    /// rcgen writes RSA keys, but does not make them.
    fn rsa_pair() -> rcgen::KeyPair {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        use aws_lc_rs::rsa::{KeyPair, KeySize};

        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        rcgen::KeyPair::try_from(der.as_ref()).unwrap()
    }

    #[test]
    fn a_private_key_signs_with_what_it_is_made_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        for (made_for, asked, expected) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, None, Some(Algorithm::ES256)),
            (&rcgen::PKCS_ECDSA_P384_SHA384, None, Some(Algorithm::ES384)),
            (&rcgen::PKCS_ED25519, None, Some(Algorithm::EdDSA)),
            (&rcgen::PKCS_RSA_SHA256, None, Some(Algorithm::RS256)),
            (&rcgen::PKCS_RSA_SHA256, Some(Algorithm::PS512), Some(Algorithm::PS512)),
            (&rcgen::PKCS_ECDSA_P256_SHA256, Some(Algorithm::ES384), None),
            (&rcgen::PKCS_ED25519, Some(Algorithm::RS256), None),
            (&rcgen::PKCS_ED25519, Some(Algorithm::HS256), None),
        ] {
            let pair = if made_for == &rcgen::PKCS_RSA_SHA256 {
                rsa_pair()
            } else {
                rcgen::KeyPair::generate_for(made_for).unwrap()
            };
            std::fs::write(&path, pair.serialize_pem()).unwrap();
            let plan = MintPlan::with_key_file(&path, asked);
            let alg = plan.as_ref().ok().map(MintPlan::alg);
            assert_eq!(alg, expected, "{made_for:?} for {asked:?}: {plan:?}");
        }
        std::fs::write(&path, "no key").unwrap();
        let error = MintPlan::with_key_file(&path, None).unwrap_err().to_string();
        assert!(error.contains("no private key in PEM"), "{error}");
    }
}
