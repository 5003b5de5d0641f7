//! Ordinary claims in one pass: compact JSON without escapes, in plain names and values.
//!
//! Issuers write nothing else, so this is the way of nearly every token. Whatever is unusual (white space,
//! escapes, fractions, names that may be one name twice, deep nesting, anything broken) is left to the full
//! reader, which alone refuses. So this one needs to be right only about what it takes.

use super::super::json::Text;
use super::super::policy::ClaimPath;
use super::{Audience, Claims, TIME_S_END};

/// Members of one object whose names are held against each other here; claims have 3 to 15.
const MEMBERS_MAX: usize = 24;

/// Digits of a number that is read here: any such number is below 2^64, and an `f64` holds it.
const DIGITS_MAX: usize = 15;

/// Levels below the claims that are passed over here.
const NESTING_MAX: u32 = 6;

/// The claims in `json`, or none where the full reader must look.
///
/// Whatever this returns the full reader returns as well.
#[inline]
pub(super) fn scan<'t>(json: &'t str, user_claim: &[ClaimPath]) -> Option<Claims<'t>> {
    let mut scanner = Scanner {
        text: json,
        bytes: json.as_bytes(),
        at: 0,
    };
    let mut claims = Claims::default();
    let mut rank_max = user_claim.len();
    let mut names = Names::default();
    scanner.expect(b'{')?;
    if !scanner.take(b'}') {
        loop {
            let name = scanner.string()?;
            names.insert(name)?;
            scanner.expect(b':')?;
            member(
                &mut scanner,
                name.as_bytes(),
                user_claim,
                &mut rank_max,
                &mut claims,
            )?;
            if !scanner.take(b',') {
                scanner.expect(b'}')?;
                break;
            }
        }
    }
    (scanner.at == scanner.bytes.len()).then_some(claims)
}

/// The value of the member `name`, read or passed over.
#[inline]
fn member<'t>(
    scanner: &mut Scanner<'t>,
    name: &[u8],
    user_claim: &[ClaimPath],
    rank_max: &mut usize,
    claims: &mut Claims<'t>,
) -> Option<()> {
    let time_s = match name {
        b"exp" => &mut claims.expires_at_s,
        b"nbf" => &mut claims.not_before_s,
        b"iat" => &mut claims.issued_at_s,
        _ => return other_member(scanner, name, user_claim, rank_max, claims),
    };
    // A user is never looked for in a number.
    *time_s = Some(scanner.number().filter(|time_s| *time_s < TIME_S_END)?);
    Some(())
}

#[inline]
fn other_member<'t>(
    scanner: &mut Scanner<'t>,
    name: &[u8],
    user_claim: &[ClaimPath],
    rank_max: &mut usize,
    claims: &mut Claims<'t>,
) -> Option<()> {
    let wanted = user_claim.get(..*rank_max)?;
    let rank = wanted.iter().position(|path| path.begins_with(name));
    let value = scanner.peek()?;
    if rank.is_none() && value != b'"' {
        return match name {
            // A subject or an issuer that is no string is refused, which is not for this one to say.
            b"iss" | b"sub" => None,
            b"aud" => {
                claims.audience = Some(Audience::Many(scanner.strings()?));
                Some(())
            }
            _ => scanner.pass(0),
        };
    }
    let text = match value {
        b'"' => Some(scanner.string()?),
        b'{' if !matches!(name, b"iss" | b"sub" | b"aud") => None,
        _ => return None,
    };
    match (name, text) {
        (b"iss", Some(text)) => claims.issuer = Some(Text::plain(text)),
        (b"aud", Some(text)) => claims.audience = Some(Audience::One(Text::plain(text))),
        _ => {}
    }
    let Some((rank, path)) = rank.and_then(|rank| Some((rank, user_claim.get(rank)?))) else {
        return Some(());
    };
    // A path of one step ends at a string, one of two steps at a string in an object.
    let ends_here = path.whole().as_bytes() == name;
    let user = match (path.steps()?.1, text) {
        (_, Some(text)) if ends_here => Some(text),
        ([second], None) if !ends_here => user_within(scanner, second)?,
        _ => None,
    };
    // Without a user here another path may lead on from the same member.
    claims.user = Some(Text::plain(user?));
    *rank_max = rank;
    Some(())
}

/// The string that the member `wanted` of the object that begins here holds, if it does.
#[inline]
fn user_within<'t>(scanner: &mut Scanner<'t>, wanted: &str) -> Option<Option<&'t str>> {
    let mut found = None;
    let mut names = Names::default();
    scanner.expect(b'{')?;
    if scanner.take(b'}') {
        return Some(None);
    }
    loop {
        let name = scanner.string()?;
        names.insert(name)?;
        scanner.expect(b':')?;
        if scanner.peek()? == b'"' {
            let text = scanner.string()?;
            if name == wanted {
                found = Some(text);
            }
        } else {
            scanner.pass(1)?;
        }
        if !scanner.take(b',') {
            scanner.expect(b'}')?;
            return Some(found);
        }
    }
}

/// A place in a text, between two characters: it stops at ASCII bytes alone.
struct Scanner<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
}

impl<'t> Scanner<'t> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }

    /// A string without escapes.
    #[inline]
    fn string(&mut self) -> Option<&'t str> {
        self.expect(b'"')?;
        let rest = self.bytes.get(self.at..)?;
        let len = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        let text = self.text.get(self.at..self.at + len)?;
        self.at += len;
        self.expect(b'"')?;
        Some(text)
    }

    /// An array of strings without escapes, as it stands.
    fn strings(&mut self) -> Option<&'t str> {
        let start = self.at;
        self.expect(b'[')?;
        if !self.take(b']') {
            loop {
                self.string()?;
                if !self.take(b',') {
                    self.expect(b']')?;
                    break;
                }
            }
        }
        self.text.get(start..self.at)
    }

    /// A whole number without sign or leading zeros, of at most [`DIGITS_MAX`] digits.
    #[inline]
    fn number(&mut self) -> Option<u64> {
        let rest = self.bytes.get(self.at..)?;
        let mut number = 0;
        let mut digits = 0;
        while let Some(digit @ b'0'..=b'9') = rest.get(digits) {
            if digits == DIGITS_MAX {
                return None;
            }
            number = 10 * number + u64::from(digit - b'0');
            digits += 1;
        }
        let leading_zero = digits > 1 && rest.first() == Some(&b'0');
        if digits == 0 || leading_zero || matches!(rest.get(digits), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.at += digits;
        Some(number)
    }

    /// Passes over a value, `depth` levels below the claims.
    fn pass(&mut self, depth: u32) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'0'..=b'9' => self.number().map(|_| ()),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            open @ (b'{' | b'[') if depth < NESTING_MAX => {
                self.at += 1;
                let close = open + 2; // in ASCII, of both
                if self.take(close) {
                    return Some(());
                }
                loop {
                    if open == b'{' {
                        self.string()?;
                        self.expect(b':')?;
                    }
                    self.pass(depth + 1)?;
                    if !self.take(b',') {
                        return self.expect(close);
                    }
                }
            }
            _ => None,
        }
    }

    fn literal(&mut self, literal: &str) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        self.at += literal.len();
        rest.starts_with(literal.as_bytes()).then_some(())
    }
}

/// The names of one object, as fingerprints: two alike may be one name twice.
#[derive(Default)]
struct Names {
    fingerprints: [u64; MEMBERS_MAX],
    len: usize,
}

impl Names {
    /// Adds a name, unless it may be there or there is no room.
    #[inline]
    fn insert(&mut self, name: &str) -> Option<()> {
        let fingerprint = fingerprint(name.as_bytes());
        let (before, rest) = self.fingerprints.split_at_mut_checked(self.len)?;
        if before.contains(&fingerprint) {
            return None;
        }
        *rest.first_mut()? = fingerprint;
        self.len += 1;
        Some(())
    }
}

/// Equal for equal names, and hardly ever for others: those are then told apart by the full reader.
#[inline]
fn fingerprint(name: &[u8]) -> u64 {
    let (first, last) = if name.len() >= 8 {
        let word = |word: &[u8; 8]| u64::from_le_bytes(*word);
        (
            name.first_chunk().map_or(0, word),
            name.last_chunk().map_or(0, word),
        )
    } else if name.len() >= 4 {
        let half = |word: &[u8; 4]| u64::from(u32::from_le_bytes(*word));
        (
            name.first_chunk().map_or(0, half),
            name.last_chunk().map_or(0, half),
        )
    } else {
        let byte = |byte: Option<&u8>| byte.copied().map_or(0, u64::from);
        (
            byte(name.first()) | byte(name.get(1)) << 8,
            byte(name.last()),
        )
    };
    (first ^ last.rotate_left(29)).wrapping_add(name.len() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::super::json::Seen;
    use super::super::read_fully;
    use super::*;

    fn paths(paths: &[&str]) -> Vec<ClaimPath> {
        paths.iter().map(|path| ClaimPath::new(path)).collect()
    }

    #[test]
    fn the_claims_of_common_issuers_are_ordinary() {
        for (json, taken, why) in [
            (r#"{"user":{"username":"a"},"iat":1}"#, true, "the frontend's"),
            (r#"{"sub":"a","aud":["x","y"],"exp":1}"#, true, "an audience of two"),
            (
                r#"{"sub":"a","realm_access":{"roles":["x"]},"email_verified":true}"#,
                true,
                "Keycloak's",
            ),
            (r#"{"https://a.example/b":{"c":[]},"sub":"grün"}"#, true, "no ASCII"),
            ("{}", true, "none"),
            (r#"{"sub": "a"}"#, false, "white space"),
            (r#"{"sub":"\u0061"}"#, false, "an escape"),
            (r#"{"exp":1.5}"#, false, "a fraction"),
            (r#"{"exp":1e3}"#, false, "an exponent"),
            (r#"{"exp":-1}"#, false, "a sign"),
            (r#"{"exp":01}"#, false, "a leading zero"),
            (r#"{"exp":9999999999999999}"#, false, "16 digits"),
            (r#"{"sub":7}"#, false, "a subject that is no string"),
            (r#"{"a":1,"a":1}"#, false, "a name twice"),
            (r#"{"user":{"a":1,"a":1}}"#, false, "a name twice about the user"),
            (r#"{"a":[[[[[[[[1]]]]]]]]}"#, false, "deep nesting"),
            (r#"{"a":1}x"#, false, "more behind it"),
            (r#"{"a":1"#, false, "cut"),
        ] {
            let found = scan(json, &paths(&["user.username", "sub"]));
            assert_eq!(found.is_some(), taken, "{why}: {json}");
        }
    }

    #[test]
    fn names_have_fingerprints_of_their_own() {
        let names = "a b aa ab ba aba abb exp nbf iat iss aud sub user resu name email scope azp sid jti \
                     acr given_name family_name preferred_username email_verified realm_access \
                     resource_access session_state auth_time https://a.example/a https://a.example/b";
        let names: Vec<_> = names.split_whitespace().chain([""]).collect();
        for (i, one) in names.iter().enumerate() {
            for other in &names[..i] {
                let fingerprints = [one, other].map(|name| fingerprint(name.as_bytes()));
                assert_ne!(fingerprints[0], fingerprints[1], "{one} and {other}");
            }
        }
    }

    /// JSON that is mostly sound.
    fn value() -> impl Strategy<Value = String> {
        let words = r#" "a" "" "\u0061" "ü" 0 7 1700000000 -1 1.5 1e3 01 999999999999999 1000000000000000
            253402300800 true false null tru [ " "#;
        let words: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
        let leaf = prop_oneof![4 => select(words), 1 => "[ -~]{0,4}"];
        leaf.prop_recursive(4, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4)
                    .prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec((name(), inner), 0..4).prop_map(object),
            ]
        })
    }

    /// Names that mean something, most of them.
    fn name() -> impl Strategy<Value = &'static str> {
        let names = r"exp nbf iat iss aud sub user username user.username a b \u0061 some_longer_name
            some_l0nger_name";
        select(names.split_whitespace().collect::<Vec<_>>())
    }

    fn object(members: Vec<(&str, String)>) -> String {
        let members = members
            .into_iter()
            .map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn what_is_taken_the_full_reader_reads_alike(
            json in prop::collection::vec((name(), value()), 0..7).prop_map(object),
            tail in "( |x|,)?",
            wanted in prop::sample::subsequence(
                vec!["user.username", "user", "sub", "a.b.username", "user.a", "exp"],
                0..=6,
            ).prop_shuffle(),
        ) {
            let json = json + &tail;
            let paths = paths(&wanted);
            if let Some(scanned) = scan(&json, &paths) {
                let read = read_fully(&json, &paths, &mut Seen::new());
                let read = read.map_err(|refusal| TestCaseError::fail(format!("{refusal}: {json}")))?;
                prop_assert_eq!(format!("{read:?}"), format!("{scanned:?}"), "{}", json);
            }
        }
    }
}
