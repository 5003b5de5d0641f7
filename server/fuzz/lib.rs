//! Invariants of the verifier and of whole connections for any input, one check per target.
//! `server/tests/it/seeds.rs` runs every seed through them as well.

mod session;

use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use base64_simd::URL_SAFE_NO_PAD;
use gatekeeper::keys::{Algorithm, Ring, Store, load};
use gatekeeper::verify::{Policy, Refusal, Verifier};
use serde_json::Value;

pub use session::session;

/// The instant at which tokens are judged.
const NOW_S: u64 = 1_700_000_000;

/// The secret of `server/tests/keys/jwks.json`, under the name that it has there.
const SECRET: &[u8] = b"a test secret of thirty-two bytes";
const SECRET_KID: &str = "secret";

const HEADER: &[u8] = br#"{"alg":"HS256","typ":"JWT"}"#;

/// Enough for any token to be remembered.
const CACHE_BYTES: usize = 1 << 17;

/// Longer claims might make a token that is too long once a space is added.
const CLAIMS_BYTES_MAX: usize = 5_000;

/// That secret for HS256, without a name and with one, and a public key of each kind.
static KEYS: LazyLock<Store> = LazyLock::new(|| {
    let mut keys = load::text(include_str!("../tests/keys/jwks.json")).expect("the tests' keys");
    keys.push(load::secret(SECRET, Algorithm::HS256).expect("a secret"));
    Arc::new(ArcSwap::from_pointee(Ring::new(keys).expect("no twins")))
});

/// What a token is accepted with, as text, or why it is refused.
type Verdict = Result<String, Refusal>;

/// A whole token: no verdict depends on what was seen before, and of what was accepted no bit can be changed.
pub fn token(input: &[u8]) {
    let mut uncached = verifier(&Policy::default());
    let mut cached = verifier(&Policy::default()).with_token_cache(CACHE_BYTES);
    let first = judge(&mut uncached, input);
    for _ in 0..3 {
        assert_eq!(first, judge(&mut cached, input), "what was remembered changes no verdict");
    }
    if first.is_ok() {
        let mut changed = input.to_vec();
        for at in 0..input.len() {
            changed[at] ^= 1;
            assert!(judge(&mut cached, &changed).is_err(), "byte {at}");
            changed[at] ^= 1;
        }
    }
}

/// A header, which is then signed: what is accepted is JSON for another reader too, names its algorithm and its key, and
/// brings nothing forbidden.
pub fn header(header: &[u8]) {
    let token = sign(header, br#"{"sub":"ann"}"#);
    let mut verifier = verifier(&Policy::default());
    let first = judge(&mut verifier, &token);
    assert_eq!(first, judge(&mut verifier, &token), "a header that is known is judged alike");
    if first.is_err() {
        return;
    }
    let header: Value = serde_json::from_slice(header).expect("JSON was accepted");
    assert_eq!(header["alg"], "HS256");
    assert!(header.get("kid").is_none_or(|kid| kid == SECRET_KID));
    assert!(header.get("b64").is_none_or(|b64| b64 == true));
    for forbidden in ["crit", "jwk", "jku", "x5c", "x5u"] {
        assert!(header.get(forbidden).is_none(), "{forbidden}");
    }
}

/// Claims, which are then signed: both readers of claims agree under every policy, and another one on what they say.
pub fn claims(claims: &[u8]) {
    let asking = Policy {
        leeway_s: 60,
        issuer: Some("us".to_owned()),
        audience: Some("them".to_owned()),
        user_claim: ["a.b.c", "name", "sub"].map(str::to_owned).to_vec(),
        ..Policy::default()
    };
    for policy in [Policy::default(), asking] {
        let mut verifier = verifier(&policy);
        let first = judge(&mut verifier, &sign(HEADER, claims));
        // A space sends ordinary claims to the full reader as well.
        if let Some(rest) = claims.strip_prefix(b"{")
            && rest.len() < CLAIMS_BYTES_MAX
        {
            let spaced = [b"{ ", rest].concat();
            let again = judge(&mut verifier, &sign(HEADER, &spaced));
            assert_eq!(first, again, "both readers agree");
        }
        if let Ok(described) = first {
            let claims: Value = serde_json::from_slice(claims).expect("JSON was accepted");
            // A member with a path's own dots in its name leads to the user as well: the first of both that comes.
            let is_dotted = |path: &String| path.contains('.') && claims.get(path).is_some();
            if !policy.user_claim.iter().any(is_dotted) {
                assert_eq!(described, expected(&claims, &policy));
            }
        }
    }
}

/// What good claims say, by another reader; their times and names must be good by the policy.
fn expected(claims: &Value, policy: &Policy) -> String {
    let time_s = |name| claims.get(name).map(|it: &Value| it.as_f64().expect("a number").ceil());
    let (now_s, leeway_s) = (NOW_S as f64, policy.leeway_s as f64);
    assert!(time_s("exp").is_none_or(|exp_s| now_s < exp_s + leeway_s));
    assert!(time_s("nbf").is_none_or(|nbf_s| now_s + leeway_s >= nbf_s));
    assert!(time_s("iat").is_none_or(|iat_s| now_s + leeway_s + 1.0 >= iat_s));
    if let Some(issuer) = &policy.issuer {
        assert_eq!(claims["iss"], **issuer);
    }
    if let Some(audience) = &policy.audience {
        let many = claims["aud"].as_array().is_some_and(|many| many.iter().any(|it| it == audience));
        assert!(many || claims["aud"] == **audience);
    }
    let user = policy.user_claim.iter().find_map(|path| {
        let end = path.split('.').try_fold(claims, |value, step| value.get(step));
        end?.as_str()
    });
    describe(user, time_s("exp").map(|exp_s| exp_s as u64))
}

fn verifier(policy: &Policy) -> Verifier {
    Verifier::new(Arc::clone(&KEYS), Arc::new(policy.clone()))
}

fn judge(verifier: &mut Verifier, token: &[u8]) -> Verdict {
    let verified = verifier.verify(token, NOW_S)?;
    Ok(describe(verified.user, verified.expires_at_s))
}

fn describe(user: Option<&str>, expires_at_s: Option<u64>) -> String {
    format!("{user:?} until {expires_at_s:?}")
}

/// A token of exactly this header and these claims, signed with HS256.
fn sign(header: &[u8], claims: &[u8]) -> Vec<u8> {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode_to_string(bytes);
    let signed = format!("{}.{}", encode(header), encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let mac = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", encode(mac.as_ref())).into_bytes()
}
