//! The header of a token: which key it asks for, and what must not be in it.

use crate::keys::Algorithm;
use crate::verify::Refusal;
use crate::verify::json::{JsonError, Members, Seen, Text, Value};
use crate::verify::word::Word;

/// Members that a header may have. It is read before anything is known about its sender, so the bound is a
/// tight one; headers of identity providers have 2 to 6.
const HEADER_MEMBERS_MAX: usize = 16;

/// What a header says about its key.
#[derive(Debug)]
pub(super) struct Header<'t> {
    /// `alg` (RFC 7515 section 4.1.1).
    pub algorithm: Algorithm,
    /// `kid` (section 4.1.4).
    pub kid: Option<Text<'t>>,
}

/// The header in `json`, the first segment of a token decoded.
///
/// Members that are not known are ignored, as RFC 7515 section 4 asks, unless `crit` is there.
///
/// # Errors
/// The first of these that applies: the text is no header, `alg` is none or unknown, `crit`, a key inside,
/// another `typ`.
pub(super) fn read<'t>(json: &'t [u8], seen: &mut Seen) -> Result<Header<'t>, Refusal> {
    let json = str::from_utf8(json).map_err(|_| Refusal::HeaderMalformed)?;
    let mut algorithm = None;
    let mut kid = None;
    let mut critical = false;
    let mut embedded = false;
    let mut type_wrong = false;

    let mut members = Members::of(json, HEADER_MEMBERS_MAX, seen).map_err(refusal)?;
    while let Some((name, value)) = members.next(seen).map_err(refusal)? {
        match name.word {
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

    let algorithm = named(algorithm.ok_or(Refusal::HeaderMalformed)?)?;
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

const ALG: Word = Word::short(b"alg");
const TYP: Word = Word::short(b"typ");
const KID: Word = Word::short(b"kid");
const CRIT: Word = Word::short(b"crit");
const B64: Word = Word::short(b"b64");

// Members that hold the sender's own idea of the key or of where it is (RFC 7515 sections 4.1.2, 4.1.3, 4.1.5 and
// 4.1.6). A verifier that trusts them accepts anything (RFC 8725 section 3.10).
const JWK: Word = Word::short(b"jwk");
const JKU: Word = Word::short(b"jku");
const X5C: Word = Word::short(b"x5c");
const X5U: Word = Word::short(b"x5u");

fn text(value: Value<'_>) -> Result<Text<'_>, Refusal> {
    match value {
        Value::Text(text) => Ok(text),
        _ => Err(Refusal::HeaderMalformed),
    }
}

/// The algorithm of that name. `none` gets a reason of its own in every spelling, for it is the oldest
/// attack on tokens and worth an alarm.
fn named(name: Text<'_>) -> Result<Algorithm, Refusal> {
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
    fn a_header_names_its_key_or_is_refused() {
        let bomb = format!(r#"{{"alg":"HS256","x":{}1{}}}"#, "[".repeat(70), "]".repeat(70));
        let crowd: Vec<_> = (0..=HEADER_MEMBERS_MAX).map(|i| format!(r#""m{i}":0"#)).collect();
        let crowd = format!("{{{}}}", crowd.join(","));
        for (json, verdict, why) in [
            (r#"{"alg":"HS256","typ":"JWT"}"#, Ok("HS256"), "the usual one"),
            (r#"{"alg":"EdDSA"}"#, Ok("EdDSA"), "typ is optional"),
            (r#"{"alg":"RS256","typ":"jwt"}"#, Ok("RS256"), "case is free"),
            (r#"{"alg":"RS256","typ":"at+JWT"}"#, Ok("RS256"), "RFC 9068"),
            (r#"{"alg":"RS256","typ":"application/at+jwt"}"#, Ok("RS256"), "in full"),
            (r#"{"alg":"HS256","kid":"a","x5t":"b","y":[{}]}"#, Ok("HS256"), "ignored"),
            (r#"{"\u0061lg":"HS\u003256"}"#, Ok("HS256"), "escapes are allowed"),
            (r#"{"alg":"HS256","b64":true}"#, Ok("HS256"), "the default, said aloud"),
            ("", Err(Refusal::HeaderMalformed), "nothing"),
            ("[]", Err(Refusal::HeaderMalformed), "no object"),
            ("{}", Err(Refusal::HeaderMalformed), "no alg"),
            (r#"{"alg":null}"#, Err(Refusal::HeaderMalformed), "alg is no string"),
            (r#"{"alg":"HS256","kid":1}"#, Err(Refusal::HeaderMalformed), "kid is no string"),
            (r#"{"alg":"HS256","typ":1}"#, Err(Refusal::HeaderMalformed), "typ is no string"),
            (crowd.as_str(), Err(Refusal::HeaderMalformed), "too many members"),
            (r#"{"alg":"HS256","alg":"none"}"#, Err(Refusal::DuplicateMember), "two"),
            (r#"{"x":1,"alg":"HS256","x":2}"#, Err(Refusal::DuplicateMember), "two others"),
            (bomb.as_str(), Err(Refusal::NestedTooDeep), "a bomb"),
            (r#"{"alg":"none"}"#, Err(Refusal::NoneAlgorithm), "unsigned"),
            (r#"{"alg":"nOnE"}"#, Err(Refusal::NoneAlgorithm), "disguised"),
            (r#"{"alg":"n\u006fne"}"#, Err(Refusal::NoneAlgorithm), "disguised"),
            (r#"{"alg":" none "}"#, Err(Refusal::UnknownAlgorithm), "nothing is trimmed"),
            (r#"{"alg":"none","crit":[]}"#, Err(Refusal::NoneAlgorithm), "alg goes first"),
            (r#"{"alg":"hs256"}"#, Err(Refusal::UnknownAlgorithm), "case matters"),
            (r#"{"alg":""}"#, Err(Refusal::UnknownAlgorithm), "no name"),
            (r#"{"alg":"A128KW"}"#, Err(Refusal::UnknownAlgorithm), "no signature"),
            (r#"{"alg":"HS256","crit":["exp"]}"#, Err(Refusal::CriticalHeader), "crit"),
            (r#"{"alg":"HS256","crit":[]}"#, Err(Refusal::CriticalHeader), "even empty"),
            (r#"{"alg":"HS256","b64":false}"#, Err(Refusal::CriticalHeader), "RFC 7797"),
            (r#"{"alg":"RS256","jwk":{}}"#, Err(Refusal::EmbeddedKey), "its own key"),
            (r#"{"alg":"RS256","jku":"http://a"}"#, Err(Refusal::EmbeddedKey), "its own set"),
            (r#"{"alg":"RS256","x5c":[]}"#, Err(Refusal::EmbeddedKey), "its own chain"),
            (r#"{"alg":"RS256","x5u":"http://a"}"#, Err(Refusal::EmbeddedKey), "the same"),
            (r#"{"alg":"HS256","typ":"JWE"}"#, Err(Refusal::WrongType), "another type"),
            (r#"{"alg":"HS256","typ":"logout+jwt"}"#, Err(Refusal::WrongType), "another use"),
        ] {
            let mut seen = Seen::new();
            let found = read(json.as_bytes(), &mut seen).map(|header| header.algorithm.as_str());
            assert_eq!(found, verdict, "{why}: {json:.60}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_no_header() {
        let found = read(b"{\"alg\":\"HS256\",\"x\":\"\xff\"}", &mut Seen::new());
        assert_eq!(found.unwrap_err(), Refusal::HeaderMalformed);
    }
}
