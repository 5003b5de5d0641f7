//! Refused HS256 tokens, each compared with an accepted token of the same length.
//!
//! An invalid token must not cost a gate more than a valid one. There is an invalid token for each path through the
//! verifier, and there are long tokens that are designed to be slow.

use std::iter;

use gatekeeper::keys::Algorithm;
use gatekeeper::verify::{Refusal, TOKEN_BYTES_MAX};

use crate::{CLAIMS, Signer};

/// A token that is refused.
pub struct Refused {
    /// The name of its row, which says what is wrong.
    pub what: String,
    /// The whole token.
    pub token: String,
    /// The reason that the verifier gives.
    pub refusal: Refusal,
}

/// Every refused token, the short ones first.
pub fn all() -> Vec<Refused> {
    let signer = Signer::new(Algorithm::HS256);
    let mut all = Vec::new();
    let mut add = |what: &str, token: String, refusal| {
        let what = what.to_owned();
        all.push(Refused { what, token, refusal });
    };

    let good = signer.token(CLAIMS);
    add("forged", forged(&good), Refusal::SignatureInvalid);
    let cut = good[..good.len() - 3].to_owned();
    add("truncated", cut, Refusal::SignatureInvalid);
    add("padded", format!("{good}="), Refusal::EncodingInvalid);
    add("extra-segment", format!("{good}.e30"), Refusal::Malformed);
    let garbage = |bytes| "gatecrash".chars().cycle().take(bytes).collect::<String>();
    add("garbage-8k", garbage(TOKEN_BYTES_MAX), Refusal::Malformed);
    // Any four characters of the alphabet are valid base64url.
    let half = garbage(TOKEN_BYTES_MAX / 2 - 4);
    add("garbage-segments-8k", format!("{half}.{half}.gate"), Refusal::HeaderMalformed);
    for (what, header, refusal) in headers() {
        let token = signer.token_with(&header, CLAIMS);
        match refusal {
            Refusal::NoneAlgorithm => {
                let (signed, _) = token.rsplit_once('.').expect("a token");
                add(what, format!("{signed}."), refusal);
            }
            // A valid header: the claims under it are forged.
            Refusal::SignatureInvalid => add(what, forged(&token), refusal),
            _ => add(what, token, refusal),
        }
    }
    for (what, claims, refusal) in claims() {
        add(what, signer.token(&claims), refusal);
    }
    let large = with_claims_of(1024);
    add("claims-1k-forged", forged(&large), Refusal::SignatureInvalid);
    all
}

/// The refused token of that name.
///
/// # Panics
/// When there is none.
pub fn named(what: &str) -> Refused {
    let found = all().into_iter().find(|refused| refused.what == what);
    found.unwrap_or_else(|| panic!("no token is refused as {what}"))
}

/// A valid token with claims of that many bytes.
pub fn with_claims_of(bytes: usize) -> String {
    Signer::new(Algorithm::HS256).token(&claims_of(bytes))
}

/// An accepted token of `bytes` bytes, or one less, because not every length is possible.
///
/// # Panics
/// When no valid token is so short.
pub fn accepted(bytes: usize) -> String {
    let signer = Signer::new(Algorithm::HS256);
    // Rounded down, because base64url has no text of every length.
    let around = signer.token("").len();
    let claims_bytes = (bytes.checked_sub(around).expect("room for claims")) * 3 / 4;
    let token = signer.token(&claims_of(claims_bytes));
    assert!((bytes - 1..=bytes).contains(&token.len()), "{}", token.len());
    token
}

/// Claims of this many bytes, filled with roles as those of identity providers are.
fn claims_of(bytes: usize) -> String {
    if bytes < CLAIMS.len() {
        return format!(r#"{{"sub":"{}"}}"#, "g".repeat(bytes - r#"{"sub":""}"#.len()));
    }
    let end = |claims: &str| claims.len() + "]}".len();
    let mut claims = CLAIMS.trim_end_matches("}").to_owned();
    if bytes < end(&claims) + 2 * ROLE_BYTES {
        // Too few bytes for roles: the user has a longer name.
        let name = "gonzalo".len() + bytes - CLAIMS.len();
        return CLAIMS.replace("gonzalo", &"g".repeat(name));
    }
    claims.push_str(r#","roles":["first""#);
    let mut role = 0;
    while end(&claims) + 2 * ROLE_BYTES <= bytes {
        claims.push_str(&format!(r#","role-{role:04}""#));
        role += 1;
    }
    let last = bytes - end(&claims) - r#","""#.len();
    claims.push_str(&format!(r#","{}""#, "r".repeat(last)));
    claims + "]}"
}

/// A role and its comma.
const ROLE_BYTES: usize = r#","role-0000""#.len();

/// `token` with one character changed in the middle of its claims, which stay valid base64url.
pub fn forged(token: &str) -> String {
    let mut forged = token.to_owned();
    let first = token.find('.').expect("a token");
    let middle = (first + token.rfind('.').expect("a token")) / 2;
    let other = if token[middle..].starts_with('A') { "B" } else { "A" };
    forged.replace_range(middle..=middle, other);
    forged
}

/// Headers that are refused, and valid headers that the verifier has not cached, whose signature is invalid.
fn headers() -> Vec<(&'static str, String, Refusal)> {
    let with = |more: &str| format!(r#"{{"typ":"JWT","alg":"HS256"{more}}}"#);
    // Names that differ only at their end, with an escape that must be decoded.
    let names: String = (10..24).map(|i| format!(r#","\u0061{}{i}":0"#, "a".repeat(386))).collect();
    let members: String = (10..24).map(|i| format!(r#","{}{i}":[{{}},1.5,true]"#, "a".repeat(376))).collect();
    let value = |unit: &str| format!(r#","x":"{}""#, unit.repeat(HEADER_BYTES / unit.len()));
    let nested = "[".repeat(60) + &"]".repeat(60);
    let nested = iter::repeat_n(nested, HEADER_BYTES / 121).collect::<Vec<_>>();
    let numbers = ["12345.6e7"; HEADER_BYTES / 10].join(",");
    let kid = |unit: &str| format!(r#","kid":"{}""#, unit.repeat(HEADER_BYTES / unit.len()));
    use Refusal::*;
    vec![
        ("forged-header", r#"{"alg":"HS256"}"#.into(), SignatureInvalid),
        ("alg-none", r#"{"typ":"JWT","alg":"none"}"#.into(), NoneAlgorithm),
        ("alg-other", r#"{"typ":"JWT","alg":"HS257"}"#.into(), UnknownAlgorithm),
        ("alg-rs256", r#"{"typ":"JWT","alg":"RS256"}"#.into(), AlgorithmMismatch),
        ("unknown-kid", with(r#","kid":"2024-01""#), UnknownKey),
        ("wrong-typ", r#"{"typ":"JWE","alg":"HS256"}"#.into(), WrongType),
        ("crit", with(r#","crit":["exp"]"#), CriticalHeader),
        ("jwk", with(r#","jwk":{"kty":"oct","k":"AAAA"}"#), EmbeddedKey),
        ("header-twice", with(r#","alg":"HS256""#), DuplicateMember),
        ("header-cut", r#"{"typ":"JWT","alg":"HS256""#.into(), HeaderMalformed),
        ("header-8k-members", with(&members), SignatureInvalid),
        ("header-8k-names", with(&names), SignatureInvalid),
        ("header-8k-text", with(&value("a")), SignatureInvalid),
        ("header-8k-escapes", with(&value(r"\n")), SignatureInvalid),
        ("header-8k-unicode", with(&value(r"\u00e4")), SignatureInvalid),
        ("header-8k-numbers", with(&format!(r#","x":[{numbers}]"#)), SignatureInvalid),
        ("header-8k-nested", with(&format!(r#","x":[{}]"#, nested.join(","))), SignatureInvalid),
        ("header-8k-space", with(&" ".repeat(HEADER_BYTES)), SignatureInvalid),
        ("header-8k-deep", with(&format!(r#","x":{}"#, "[".repeat(HEADER_BYTES))), NestedTooDeep),
        ("kid-8k", with(&kid("a")), UnknownKey),
        ("kid-8k-escapes", with(&kid(r"\n")), UnknownKey),
    ]
}

/// The bytes that fit into a token beside the usual members and claims.
const HEADER_BYTES: usize = 5_900;

/// The bytes that claims may have in a token of the usual header.
const CLAIMS_BYTES: usize = 6_000;

/// Claims that are refused although their signature is valid.
fn claims() -> Vec<(&'static str, String, Refusal)> {
    let user = r#"{"user":{"username":"gonzalo"}"#;
    let with = |more: &str| format!("{user},{more}}}");
    let expired = |more: &str| format!(r#"{user},{more},"exp":1699999999}}"#);
    let large = claims_of(1024);
    let large = large.trim_end_matches('}');
    let names = |mark: &str| {
        let names = (100..330).map(|i| format!(r#""{mark}aaaaaaaaaaaaaaa{i}":0"#));
        names.collect::<Vec<_>>().join(",")
    };
    let value = |unit: &str| format!(r#""x":"{}""#, unit.repeat(CLAIMS_BYTES / unit.len()));
    let nested = "[".repeat(60) + &"]".repeat(60);
    let nested = iter::repeat_n(nested, CLAIMS_BYTES / 122).collect::<Vec<_>>();
    let numbers = ["12345.6e7"; CLAIMS_BYTES / 10].join(",");
    let pairs = [r#"{"a":[1,true]}"#; CLAIMS_BYTES / 15].join(",");
    use Refusal::*;
    vec![
        ("expired", with(r#""exp":1699999999"#), Expired),
        ("not-yet-valid", with(r#""nbf":1700000001"#), NotYetValid),
        ("issued-in-future", with(r#""iat":1700009999"#), IssuedInFuture),
        ("exp-text", with(r#""exp":"1699999999""#), TimeInvalid),
        ("exp-fraction", with(r#""exp":1699999998.5"#), Expired),
        ("exp-huge", with(r#""exp":1e300"#), TimeInvalid),
        ("sub-number", with(r#""sub":1234567"#), ClaimsMalformed),
        ("claim-twice", with(r#""iat":1,"iat":2"#), DuplicateMember),
        ("claims-cut", user.to_owned() + r#","iat":1"#, ClaimsMalformed),
        ("claims-list", r#"["user","username","gonzalo"]"#.into(), ClaimsMalformed),
        ("claims-spaced", r#"{ "user": { "username": "gonzalo" }, "exp": 1 }"#.into(), Expired),
        ("claims-escaped", r#"{"user":{"username":"gonz\u0061lo"},"exp":1}"#.into(), Expired),
        ("claims-1k-expired", format!(r#"{large},"exp":1699999999}}"#), Expired),
        ("claims-1k-twice", format!(r#"{large},"iat":1}}"#), DuplicateMember),
        ("claims-1k-escaped", format!(r#"{large},"x":"\n","exp":1}}"#), Expired),
        ("claims-1k-cut", large.into(), ClaimsMalformed),
        ("claims-8k-members", expired(&names("")), Expired),
        ("claims-8k-names", expired(&names(r"\n")), Expired),
        ("claims-8k-text", expired(&value("a")), Expired),
        ("claims-8k-escapes", expired(&value(r"\n")), Expired),
        ("claims-8k-unicode", expired(&value(r"\u00e4")), Expired),
        ("claims-8k-no-ascii", expired(&value("ä")), Expired),
        ("claims-8k-numbers", expired(&format!(r#""x":[{numbers}]"#)), Expired),
        ("claims-8k-nested", expired(&format!(r#""x":[{}]"#, nested.join(","))), Expired),
        ("claims-8k-objects", expired(&format!(r#""x":[{pairs}]"#)), Expired),
        ("claims-8k-space", expired(&format!(r#"{}"x":0"#, " ".repeat(CLAIMS_BYTES))), Expired),
    ]
}
