//! The header of a token: the members that select the key, and those that are forbidden.

use crate::keys::Algorithm;
use crate::verify::Refusal;
use crate::verify::json::{JsonError, Members, NameCode, SeenNames, Text, Value};

/// The most members of a header. The limit is low, because the sender is not authenticated yet; headers of identity
/// providers have 2 to 6.
const HEADER_MEMBERS_MAX: usize = 16;

/// The members of a header that select the key.
#[derive(Debug)]
pub(super) struct Header<'t> {
    /// `alg` (RFC 7515 section 4.1.1).
    pub algorithm: Algorithm,
    /// `kid` (section 4.1.4).
    pub kid: Option<Text<'t>>,
}

/// The header in `json`, the decoded first segment of a token. Unknown members are ignored, as RFC 7515 section 4
/// requires, unless there is a `crit`.
///
/// # Errors
/// The first that applies: the text is not a header, `alg` is none or unknown, there is a `crit` or an embedded key,
/// `typ` is another type.
pub(super) fn read<'t>(json: &'t [u8], seen: &mut SeenNames) -> Result<Header<'t>, Refusal> {
    let json = str::from_utf8(json).map_err(|_| Refusal::HeaderMalformed)?;
    let mut algorithm = None;
    let mut kid = None;
    let mut critical = false;
    let mut embedded = false;
    let mut type_wrong = false;

    let mut members = Members::of(json, HEADER_MEMBERS_MAX, seen).map_err(refusal)?;
    while let Some((name, value)) = members.next(seen).map_err(refusal)? {
        match name.code {
            ALG => algorithm = Some(text(value)?),
            TYP => type_wrong = !is_token_type(text(value)?),
            KID => kid = Some(text(value)?),
            CRIT => critical = true,
            // RFC 7797: unencoded payloads, which a token never has (section 7).
            B64 => critical |= !matches!(value, Value::Literal("true")),
            JWK | JKU | X5C | X5U => embedded = true,
            _ => {}
        }
    }

    let algorithm = algorithm_named(algorithm.ok_or(Refusal::HeaderMalformed)?)?;
    if critical {
        return Err(Refusal::CriticalHeader);
    }
    if embedded {
        return Err(Refusal::EmbeddedKey);
    }
    if type_wrong {
        return Err(Refusal::WrongType);
    }
    Ok(Header { algorithm, kid })
}

const ALG: NameCode = NameCode::short(b"alg");
const TYP: NameCode = NameCode::short(b"typ");
const KID: NameCode = NameCode::short(b"kid");
const CRIT: NameCode = NameCode::short(b"crit");
const B64: NameCode = NameCode::short(b"b64");

// Members in which the sender provides the key or its URL (RFC 7515 sections 4.1.2, 4.1.3, 4.1.5 and 4.1.6). A verifier
// that uses such keys accepts any token (RFC 8725 section 3.10).
const JWK: NameCode = NameCode::short(b"jwk");
const JKU: NameCode = NameCode::short(b"jku");
const X5C: NameCode = NameCode::short(b"x5c");
const X5U: NameCode = NameCode::short(b"x5u");

fn text(value: Value<'_>) -> Result<Text<'_>, Refusal> {
    if let Value::Text(text) = value { Ok(text) } else { Err(Refusal::HeaderMalformed) }
}

/// The algorithm of this name. `none` in any case has a reason of its own, because it is a known attack on which
/// operators may want an alarm.
fn algorithm_named(name: Text<'_>) -> Result<Algorithm, Refusal> {
    let known = Algorithm::ALL.into_iter().find(|algorithm| name.is(algorithm.as_str()));
    match known {
        Some(algorithm) => Ok(algorithm),
        None if name.is_ignoring_case("none") => Err(Refusal::NoneAlgorithm),
        None => Err(Refusal::UnknownAlgorithm),
    }
}

/// A JSON Web Token (RFC 7519 section 5.1) or an access token (RFC 9068 section 4), with or without
/// `application/` (RFC 7515 section 4.1.9); media types ignore case.
fn is_token_type(name: Text<'_>) -> bool {
    ["JWT", "at+jwt", "application/jwt", "application/at+jwt"].iter().any(|known| name.is_ignoring_case(known))
}

fn refusal(error: JsonError) -> Refusal {
    match error {
        JsonError::Malformed => Refusal::HeaderMalformed,
        JsonError::DuplicateMember => Refusal::DuplicateMember,
        JsonError::NestedTooDeep => Refusal::NestedTooDeep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_header_is_accepted_or_refused_with_its_reason() {
        let deep = format!(r#"{{"alg":"HS256","x":{}1{}}}"#, "[".repeat(70), "]".repeat(70));
        let many: Vec<_> = (0..=HEADER_MEMBERS_MAX).map(|i| format!(r#""m{i}":0"#)).collect();
        let many = format!("{{{}}}", many.join(","));
        for (json, verdict, why) in [
            (r#"{"alg":"HS256","typ":"JWT"}"#, Ok("HS256"), "the usual one"),
            (r#"{"alg":"EdDSA"}"#, Ok("EdDSA"), "typ is optional"),
            (r#"{"alg":"RS256","typ":"jwt"}"#, Ok("RS256"), "case does not matter"),
            (r#"{"alg":"RS256","typ":"at+JWT"}"#, Ok("RS256"), "RFC 9068"),
            (r#"{"alg":"RS256","typ":"application/at+jwt"}"#, Ok("RS256"), "with its prefix"),
            (r#"{"alg":"HS256","kid":"a","x5t":"b","y":[{}]}"#, Ok("HS256"), "ignored"),
            (r#"{"\u0061lg":"HS\u003256"}"#, Ok("HS256"), "escapes are allowed"),
            (r#"{"alg":"HS256","b64":true}"#, Ok("HS256"), "the default, explicitly"),
            ("", Err(Refusal::HeaderMalformed), "empty"),
            ("[]", Err(Refusal::HeaderMalformed), "not an object"),
            ("{}", Err(Refusal::HeaderMalformed), "no alg"),
            (r#"{"alg":null}"#, Err(Refusal::HeaderMalformed), "alg is not a string"),
            (r#"{"alg":"HS256","kid":1}"#, Err(Refusal::HeaderMalformed), "kid is not a string"),
            (r#"{"alg":"HS256","typ":1}"#, Err(Refusal::HeaderMalformed), "typ is not a string"),
            (many.as_str(), Err(Refusal::HeaderMalformed), "too many members"),
            (r#"{"alg":"HS256","alg":"none"}"#, Err(Refusal::DuplicateMember), "alg twice"),
            (r#"{"x":1,"alg":"HS256","x":2}"#, Err(Refusal::DuplicateMember), "another member twice"),
            (deep.as_str(), Err(Refusal::NestedTooDeep), "nested too deep"),
            (r#"{"alg":"none"}"#, Err(Refusal::NoneAlgorithm), "unsigned"),
            (r#"{"alg":"nOnE"}"#, Err(Refusal::NoneAlgorithm), "in another spelling"),
            (r#"{"alg":"n\u006fne"}"#, Err(Refusal::NoneAlgorithm), "in another spelling"),
            (r#"{"alg":" none "}"#, Err(Refusal::UnknownAlgorithm), "nothing is trimmed"),
            (r#"{"alg":"none","crit":[]}"#, Err(Refusal::NoneAlgorithm), "alg is checked first"),
            (r#"{"alg":"hs256"}"#, Err(Refusal::UnknownAlgorithm), "case matters"),
            (r#"{"alg":""}"#, Err(Refusal::UnknownAlgorithm), "empty"),
            (r#"{"alg":"A128KW"}"#, Err(Refusal::UnknownAlgorithm), "not a signature algorithm"),
            (r#"{"alg":"HS256","crit":["exp"]}"#, Err(Refusal::CriticalHeader), "crit"),
            (r#"{"alg":"HS256","crit":[]}"#, Err(Refusal::CriticalHeader), "an empty crit"),
            (r#"{"alg":"HS256","b64":false}"#, Err(Refusal::CriticalHeader), "RFC 7797"),
            (r#"{"alg":"RS256","jwk":{}}"#, Err(Refusal::EmbeddedKey), "an embedded key"),
            (r#"{"alg":"RS256","jku":"http://a"}"#, Err(Refusal::EmbeddedKey), "the URL of a key set"),
            (r#"{"alg":"RS256","x5c":[]}"#, Err(Refusal::EmbeddedKey), "an embedded certificate"),
            (r#"{"alg":"RS256","x5u":"http://a"}"#, Err(Refusal::EmbeddedKey), "the URL of a certificate"),
            (r#"{"alg":"HS256","typ":"JWE"}"#, Err(Refusal::WrongType), "another type"),
            (r#"{"alg":"HS256","typ":"logout+jwt"}"#, Err(Refusal::WrongType), "a type for another use"),
        ] {
            let mut seen = SeenNames::new();
            let found = read(json.as_bytes(), &mut seen).map(|header| header.algorithm.as_str());
            assert_eq!(found, verdict, "{why}: {json:.60}");
        }
    }

    #[test]
    fn a_header_that_is_not_utf8_is_refused() {
        let found = read(b"{\"alg\":\"HS256\",\"x\":\"\xff\"}", &mut SeenNames::new());
        assert_eq!(found.unwrap_err(), Refusal::HeaderMalformed);
    }
}
