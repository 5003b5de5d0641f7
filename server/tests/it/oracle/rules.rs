//! The table of rules against the code: every reason is in it, and where it calls a rule stricter than jsonwebtoken's there
//! is a token that this one lets in.

use std::collections::HashSet;

use gatekeeper::verify::TOKEN_BYTES_MAX;
use serde_json::{Value, json};

use super::*;

const RULES: &str = include_str!("../../../src/verify/rules.md");

/// A row of the table.
struct Rule {
    reason: String,
    rule: String,
    /// Why it is stricter, where it is.
    why_stricter: String,
}

fn table() -> Vec<Rule> {
    let rows = RULES.lines().skip(2).map(|line| {
        let row = line.trim_matches('|').split('|').map(str::trim);
        let row: [&str; 4] = row.collect::<Vec<_>>().try_into().expect(line);
        let [reason, rule, _source, why_stricter] = row.map(str::to_owned);
        Rule { reason: reason.trim_matches('`').to_owned(), rule, why_stricter }
    });
    rows.collect()
}

#[test]
fn the_table_lists_every_reason_in_order() {
    let table = table();
    let received: Vec<_> = table.iter().map(|rule| rule.reason.as_str()).collect();
    let reasons: Vec<_> = Refusal::ALL.iter().map(|it| it.as_str()).collect();
    assert_eq!(received, reasons);
    assert!(table.iter().all(|rule| !rule.rule.is_empty()));
    for (reason, limit) in [
        ("too_long", format!("({} KiB)", TOKEN_BYTES_MAX / 1024)),
        ("ambiguous_key", format!("at most {KEYS_TRIED_MAX} keys")),
    ] {
        let rule = table.iter().find(|rule| rule.reason == reason).unwrap();
        assert!(rule.rule.contains(&limit), "{reason}: {limit}");
    }
}

#[test]
fn jsonwebtoken_accepts_what_stricter_rules_refuse() {
    let hs256 = || json!({"alg": "HS256"});
    let with = |name: &str, value: Value| {
        let mut header = hs256();
        header[name] = value;
        header.to_string()
    };
    let claims = |claims: &str| (hs256().to_string(), claims.to_owned());
    let header = |header: String| (header, r#"{"sub":"ann"}"#.to_owned());
    let now_s = jsonwebtoken::get_current_timestamp();
    let members = |count: usize| {
        let members: Vec<_> = (0..count).map(|i| format!(r#""m{i}":0"#)).collect();
        members.join(",")
    };
    let levels = format!(r#"{{"x":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    let usual = Policy::default();
    let with_names = Policy { issuer: Some("us".to_owned()), audience: Some("them".to_owned()), ..usual.clone() };

    use Refusal::*;
    let mut found = HashSet::new();
    for (reason, policy, (header, claims)) in [
        (TooLong, &usual, claims(&format!(r#"{{"x":"{}"}}"#, "x".repeat(TOKEN_BYTES_MAX)))),
        (HeaderMalformed, &usual, header(format!(r#"{{"alg":"HS256",{}}}"#, members(16)))),
        (DuplicateMember, &usual, header(r#"{"alg":"HS256","x":1,"x":2}"#.to_owned())),
        (DuplicateMember, &usual, claims(r#"{"roles":"none","roles":"all"}"#)),
        (DuplicateMember, &usual, claims(r#"{"user":{"username":"ann","username":"root"}}"#)),
        (NestedTooDeep, &usual, claims(&levels)),
        (CriticalHeader, &usual, header(with("crit", json!(["exp"])))),
        (CriticalHeader, &usual, header(with("crit", json!([])))),
        (CriticalHeader, &usual, header(with("b64", json!(false)))),
        (EmbeddedKey, &usual, header(with("jku", json!("https://issuer.example/")))),
        (EmbeddedKey, &usual, header(with("x5u", json!("https://issuer.example/")))),
        (EmbeddedKey, &usual, header(with("x5c", json!([])))),
        (EmbeddedKey, &usual, header(with("jwk", json!({"kty": "oct", "k": "AAAA"})))),
        (WrongType, &usual, header(with("typ", json!("logout+jwt")))),
        (UnknownKey, &usual, header(with("kid", json!("removed")))),
        (ClaimsMalformed, &usual, claims(&format!("{{{}}}", members(257)))),
        (ClaimsMalformed, &usual, claims(r#"{"sub":7}"#)),
        (ClaimsMalformed, &usual, claims(r#"{"iss":["us"]}"#)),
        (ClaimsMalformed, &usual, claims(r#"{"aud":7}"#)),
        (TimeInvalid, &usual, claims(&format!(r#"{{"exp":{now_s}000}}"#))),
        (TimeInvalid, &usual, claims(r#"{"iat":"yesterday"}"#)),
        (TimeInvalid, &usual, claims(&format!(r#"{{"exp":{}.{}}}"#, now_s + 60, "0".repeat(22)))),
        (Expired, &usual, claims(&format!(r#"{{"exp":{}}}"#, now_s - 30))),
        (NotYetValid, &usual, claims(&format!(r#"{{"nbf":{}}}"#, now_s + 3600))),
        (IssuedInFuture, &usual, claims(&format!(r#"{{"iat":{}}}"#, now_s + 3600))),
        (IssuerMissing, &with_names, claims(r#"{"aud":"them"}"#)),
        (AudienceMissing, &with_names, claims(r#"{"iss":"us"}"#)),
    ] {
        assert!(is_accepted(&header, &claims, policy), "{reason}: {header} {claims:.80}");
        let verdict = verdict([key().with_kid(strict::KID)], policy, &header, &claims);
        assert_eq!(verdict, Err(reason), "{header} {claims:.80}");
        found.insert(reason);
    }

    let keys = || (0..=KEYS_TRIED_MAX).map(|_| key());
    let (header, claims) = claims("{}");
    assert!(is_accepted(&header, &claims, &usual), "jsonwebtoken is given one key");
    assert_eq!(verdict(keys(), &usual, &header, &claims), Err(AmbiguousKey));
    assert_eq!(verdict(keys().skip(1), &usual, &header, &claims), Ok(()));
    found.insert(AmbiguousKey);

    let stricter = table().into_iter().filter(|rule| !rule.why_stricter.is_empty());
    let stricter: HashSet<_> = stricter.map(|rule| rule.reason).collect();
    let found: HashSet<_> = found.iter().map(|reason| reason.as_str().to_owned()).collect();
    assert_eq!(found, stricter);
}

fn key() -> Key {
    load::secret(SECRET, Algorithm::HS256).unwrap()
}

/// Does jsonwebtoken accept a token of this header and these claims, by its own defaults?
fn is_accepted(header: &str, claims: &str, policy: &Policy) -> bool {
    let mut rules = Validation::new(jsonwebtoken::Algorithm::HS256);
    rules.required_spec_claims.clear();
    match &policy.audience {
        Some(audience) => rules.set_audience(&[audience]),
        None => rules.validate_aud = false,
    }
    if let Some(issuer) = &policy.issuer {
        rules.set_issuer(&[issuer]);
    }
    let token = Generator::new().sign_text(Algorithm::HS256, header, claims);
    jsonwebtoken::decode::<Value>(token, &DecodingKey::from_secret(SECRET), &rules).is_ok()
}

fn verdict(keys: impl IntoIterator<Item = Key>, policy: &Policy, header: &str, claims: &str) -> Result<(), Refusal> {
    let store = Arc::new(ArcSwap::from_pointee(Ring::new(keys).unwrap()));
    let token = Generator::new().sign_text(Algorithm::HS256, header, claims);
    let mut verifier = Verifier::new(store, Arc::new(policy.clone()));
    let verdict = verifier.verify(&token, jsonwebtoken::get_current_timestamp());
    verdict.map(|_| ())
}
