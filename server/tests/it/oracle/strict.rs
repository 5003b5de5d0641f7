//! The rules that go beyond jsonwebtoken's, a second time: by serde_json where the verifier reads by itself.

use std::fmt;

use base64_simd::URL_SAFE_NO_PAD;
use gatekeeper::keys::Algorithm;
use gatekeeper::verify::Policy;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The name of the key on the ring.
pub const KID: &str = "kid";

/// Does `token` keep the rules that jsonwebtoken does not have? What that one checks is left to it.
pub fn is_strict(token: &[u8], algorithm: Algorithm, policy: &Policy, now_s: u64) -> bool {
    check_rules(token, algorithm, policy, now_s).is_some()
}

fn check_rules(token: &[u8], algorithm: Algorithm, policy: &Policy, now_s: u64) -> Option<()> {
    let token = str::from_utf8(token).ok()?;
    must(token.len() <= policy.token_bytes_max)?;
    let mut segments = token.split('.');
    let mut segment = || String::from_utf8(URL_SAFE_NO_PAD.decode_to_vec(segments.next()?).ok()?).ok();
    let (header, claims) = (segment()?, segment()?);
    check_header(&header, algorithm)?;
    check_claims(&claims, policy, now_s)
}

fn must(rule: bool) -> Option<()> {
    rule.then_some(())
}

fn check_header(json: &str, algorithm: Algorithm) -> Option<()> {
    let header = Object::read(json)?;
    must(header.0.len() <= 16 && depth(json) <= 64)?;
    must(header.text("alg")? == algorithm.as_str())?;
    if header.get("kid").is_some() {
        must(header.text("kid")? == KID)?;
    }
    if header.get("typ").is_some() {
        let name = header.text("typ")?.to_ascii_lowercase();
        let name = name.strip_prefix("application/").unwrap_or(&name);
        must(name == "jwt" || name == "at+jwt")?;
    }
    if let Some(b64) = header.get("b64") {
        must(b64 == "true")?;
    }
    let forbidden = ["crit", "jwk", "jku", "x5c", "x5u"];
    must(forbidden.iter().all(|name| header.get(name).is_none()))
}

fn check_claims(json: &str, policy: &Policy, now_s: u64) -> Option<()> {
    let claims = Object::read(json)?;
    must(claims.0.len() <= 256 && depth(json) <= 64)?;
    // The object that holds the user has no duplicate member.
    if let Some(user) = claims.get("user")
        && user.starts_with('{')
    {
        must(Object::read(user)?.0.len() <= 256)?;
    }
    for name in ["iss", "sub"] {
        if claims.get(name).is_some() {
            claims.text(name)?;
        }
    }
    if let Some(aud) = claims.get("aud") {
        let one = serde_json::from_str::<String>(aud).is_ok();
        must(one || serde_json::from_str::<Vec<String>>(aud).is_ok())?;
    }
    let leeway_s = policy.leeway_s as f64;
    let now_s = now_s as f64;
    let (exp_s, nbf_s, iat_s) = (claims.time("exp")?, claims.time("nbf")?, claims.time("iat")?);
    must(exp_s.is_none_or(|exp_s| now_s < exp_s + leeway_s))?;
    must(nbf_s.is_none_or(|nbf_s| now_s + leeway_s >= nbf_s))?;
    must(iat_s.is_none_or(|iat_s| now_s + leeway_s + 1.0 >= iat_s))?;
    must(policy.issuer.is_none() || claims.get("iss").is_some())?;
    must(policy.audience.is_none() || claims.get("aud").is_some())
}

/// An object as its members stand: names with their escapes resolved, values as they are, nothing lost.
struct Object<'j>(Vec<(String, &'j str)>);

impl<'j> Object<'j> {
    /// None for what is no object, or names a member twice.
    fn read(json: &'j str) -> Option<Self> {
        let object: Self = serde_json::from_str(json).ok()?;
        let unique =
            object.0.iter().enumerate().all(|(i, (name, _))| object.0[..i].iter().all(|(earlier, _)| earlier != name));
        unique.then_some(object)
    }

    fn get(&self, name: &str) -> Option<&'j str> {
        let member = self.0.iter().find(|(found, _)| found == name);
        member.map(|(_, value)| *value)
    }

    fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?).ok()
    }

    /// A time in seconds, rounded up, if there is one; none at all for what is none.
    #[expect(clippy::option_option, reason = "a missing time is fine, a broken one is not")]
    fn time(&self, name: &str) -> Option<Option<f64>> {
        let Some(value) = self.get(name) else {
            return Some(None);
        };
        let seconds = serde_json::from_str::<f64>(value).ok()?.ceil();
        let sensible = !value.starts_with('-') && value.len() <= 32 && seconds < 253_402_300_800.0;
        sensible.then_some(Some(seconds))
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    members.push((name, value.get()));
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// How many levels of objects and arrays there are, in JSON that was read before.
fn depth(json: &str) -> usize {
    let (mut depth, mut depth_max) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                depth_max = depth_max.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    depth_max
}
