//! Ordinary claims in one pass: compact JSON without escapes, in plain names and values.
//!
//! Issuers write nothing else, so this is the way of nearly every token. Whatever is unusual (white space,
//! escapes, fractions, names that may be one name twice, deep nesting, anything broken) is left to the full
//! reader, which alone refuses. So this one needs to be right only about what it takes.

use super::super::json::Text;
use super::super::policy::ClaimPath;
use super::super::word::{Label, Name, ONES, Word, zeros};
use super::{Audience, Claims, TIME_S_END};

/// Members of one object whose names are held against each other here; claims have 3 to 15.
const MEMBERS_MAX: usize = 16;

/// Digits of a number that is read here: any such number is below 2^64, and an `f64` holds it.
const DIGITS_MAX: usize = 15;

/// Levels below the claims that are passed over here.
const NESTING_MAX: u32 = 6;

/// Reads the claims in `json` into `claims`, or gives up: then the full reader must look, and what stands in
/// `claims` means nothing.
///
/// Whatever this reads the full reader reads alike.
pub(super) fn scan<'t>(
    json: &'t str,
    user_claim: &[ClaimPath],
    claims: &mut Claims<'t>,
) -> Option<()> {
    if !ordinary(json.as_bytes()) {
        return None;
    }
    let mut scanner = Scanner::at(json, 0);
    let mut names = Names::default();
    // Paths from this one on are less wanted than what was found.
    let mut rank_max = user_claim.len();
    scanner.expect(b'{')?;
    if !scanner.take(b'}') {
        loop {
            let name = scanner.name()?;
            names.insert(name.word)?;
            let time_s = match name.word {
                EXP => &mut claims.expires_at_s,
                IAT => &mut claims.issued_at_s,
                NBF => &mut claims.not_before_s,
                _ => {
                    member(&mut scanner, name, user_claim, &mut rank_max, claims)?;
                    if scanner.take(b',') {
                        continue;
                    }
                    break;
                }
            };
            *time_s = Some(scanner.number().filter(|time_s| *time_s < TIME_S_END)?);
            if !scanner.take(b',') {
                break;
            }
        }
        scanner.expect(b'}')?;
    }
    (scanner.at == json.len()).then_some(())
}

const EXP: Word = Word::of(b"exp");
const NBF: Word = Word::of(b"nbf");
const IAT: Word = Word::of(b"iat");
const ISS: Word = Word::of(b"iss");
const SUB: Word = Word::of(b"sub");
const AUD: Word = Word::of(b"aud");

/// Is there neither an escape nor a control character in the text? Eight bytes at a time.
#[inline]
fn ordinary(json: &[u8]) -> bool {
    // The last eight once more are as good as those that are left over.
    let (groups, _) = json.as_chunks::<8>();
    let last = json.last_chunk::<8>();
    let mut special = 0;
    for bytes in groups.iter().chain(last) {
        let word = u64::from_le_bytes(*bytes);
        special |= zeros(word ^ (ONES * b'\\' as u64)) | (word.wrapping_sub(ONES * 0x20) & !word);
    }
    // Shorter claims say next to nothing.
    last.is_some() && special & (ONES << 7) == 0
}

/// Reads the value of a member that is no time.
#[inline(always)]
fn member<'t>(
    scanner: &mut Scanner<'t>,
    name: Name<'t>,
    user_claim: &[ClaimPath],
    rank_max: &mut usize,
    claims: &mut Claims<'t>,
) -> Option<()> {
    let wanted = user_claim.get(..*rank_max)?;
    let rank = wanted.iter().position(|path| path.begins_with(name));
    let path = rank.and_then(|rank| wanted.get(rank));
    if scanner.peek() == Some(b'"') {
        let text = scanner.string()?;
        match name.word {
            ISS => claims.issuer = Some(text),
            AUD => claims.audience = Some(Audience::One(text)),
            _ => {}
        }
        if let (Some(path), Some(rank)) = (path, rank) {
            // Where this path leads on into an object another may end here.
            path.ends_with(name).then_some(())?;
            claims.user = Some(text);
            *rank_max = rank;
        }
        return Some(());
    }
    match (name.word, path) {
        (AUD, None) => claims.audience = Some(Audience::Many(scanner.strings()?)),
        // Where a string is asked for, and what else a path to the user may mean, is not for this reader to say.
        (ISS | SUB | AUD, _) => return None,
        (_, None) => scanner.pass(0)?,
        (_, Some(path)) => {
            let second = path.second_of_two().filter(|_| !path.ends_with(name))?;
            claims.user = Some(user_within(scanner, second)?);
            *rank_max = rank?;
        }
    }
    Some(())
}

/// The string that the member `wanted` of the object that begins here holds; none where the full reader must look,
/// as it must when there is no such string.
#[inline(always)]
fn user_within<'t>(scanner: &mut Scanner<'t>, wanted: &Label) -> Option<Text<'t>> {
    scanner.expect(b'{')?;
    let (first, mut found) = member_within(scanner, wanted)?;
    if scanner.take(b'}') {
        return found;
    }
    let mut names = Names::default();
    names.insert(first.word)?;
    while !scanner.take(b'}') {
        scanner.expect(b',')?;
        let (name, user) = member_within(scanner, wanted)?;
        names.insert(name.word)?;
        found = found.or(user);
    }
    found
}

/// The name of the member that begins here, and its value if it is the string that is wanted.
#[inline(always)]
fn member_within<'t>(
    scanner: &mut Scanner<'t>,
    wanted: &Label,
) -> Option<(Name<'t>, Option<Text<'t>>)> {
    let name = scanner.name()?;
    if scanner.peek() != Some(b'"') {
        scanner.pass(1)?;
        return Some((name, None));
    }
    let text = scanner.string()?;
    Some((name, wanted.is(name).then_some(text)))
}

/// A place in a text that is [`ordinary`].
struct Scanner<'t> {
    text: &'t str,
    /// The same.
    json: &'t [u8],
    /// Between two characters: it stops at ASCII bytes alone.
    at: usize,
}

// Always inlined, so that the place stands in a register: through memory each step would wait for the one before.
impl<'t> Scanner<'t> {
    #[inline(always)]
    fn at(text: &'t str, at: usize) -> Self {
        let json = text.as_bytes();
        Self { text, json, at }
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.json.get(self.at).copied()
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> bool {
        // A branch, which is foreseen, where a sum would have to wait for the byte.
        if self.peek() != Some(byte) {
            return false;
        }
        self.at += 1;
        true
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }

    /// A name and the colon behind it.
    #[inline(always)]
    fn name(&mut self) -> Option<Name<'t>> {
        self.expect(b'"')?;
        let rest = self.json.get(self.at..)?;
        let (text, word) = match rest.first_chunk().and_then(Word::until_quote) {
            Some((bytes, word)) => (rest.get(..bytes)?, word),
            None => {
                let text = rest.get(..quote(rest)?)?;
                (text, Word::of(text))
            }
        };
        self.at += text.len() + 1;
        self.expect(b':')?;
        Some(Name { text, word })
    }

    /// What stands between the quotation mark here and the next: there are no escapes.
    #[inline(always)]
    fn string(&mut self) -> Option<Text<'t>> {
        let start = self.at + 1;
        self.pass_string()?;
        self.text.get(start..self.at - 1).map(Text::plain)
    }

    /// Passes over a string.
    #[inline(always)]
    fn pass_string(&mut self) -> Option<()> {
        self.expect(b'"')?;
        self.at += quote(self.json.get(self.at..)?)? + 1;
        Some(())
    }

    /// An array of strings, as it stands.
    fn strings(&mut self) -> Option<&'t str> {
        let start = self.at;
        self.expect(b'[')?;
        if !self.take(b']') {
            loop {
                self.pass_string()?;
                if !self.take(b',') {
                    self.expect(b']')?;
                    break;
                }
            }
        }
        self.text.get(start..self.at)
    }

    /// A whole number without sign or leading zeros, of at most [`DIGITS_MAX`] digits.
    #[inline(always)]
    fn number(&mut self) -> Option<u64> {
        let rest = self.json.get(self.at..)?;
        let (mut number, mut digits) = match rest.first_chunk().and_then(eight_digits) {
            Some(number) => (number, 8),
            None => (0, 0),
        };
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
    #[inline(always)]
    fn pass(&mut self, depth: u32) -> Option<()> {
        self.at = end_of_value(self.text, self.at, depth)?;
        Some(())
    }

    fn literal(&mut self, literal: &str) -> Option<()> {
        let rest = self.json.get(self.at..)?;
        self.at += literal.len();
        rest.starts_with(literal.as_bytes()).then_some(())
    }
}

/// Where the value that begins at `at` ends. By values, so that the place in the claims never has to be in memory.
fn end_of_value(text: &str, at: usize, depth: u32) -> Option<usize> {
    let mut scanner = Scanner::at(text, at);
    match scanner.peek()? {
        b'"' => scanner.pass_string()?,
        b'0'..=b'9' => {
            scanner.number()?;
        }
        b't' => scanner.literal("true")?,
        b'f' => scanner.literal("false")?,
        b'n' => scanner.literal("null")?,
        open @ (b'{' | b'[') if depth < NESTING_MAX => {
            scanner.at += 1;
            let close = open + 2; // in ASCII, of both
            if scanner.take(close) {
                return Some(scanner.at);
            }
            loop {
                if open == b'{' {
                    scanner.pass_string()?;
                    scanner.expect(b':')?;
                }
                if scanner.peek() == Some(b'"') {
                    scanner.pass_string()?;
                } else {
                    scanner.pass(depth + 1)?;
                }
                if !scanner.take(b',') {
                    scanner.expect(close)?;
                    break;
                }
            }
        }
        _ => return None,
    }
    Some(scanner.at)
}

/// How many bytes stand before the first quotation mark: eight at a time.
#[inline(always)]
fn quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let found = zeros(u64::from_le_bytes(*chunk) ^ (ONES * b'"' as u64));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = text.get(at..)?;
    rest.iter()
        .position(|byte| *byte == b'"')
        .map(|found| at + found)
}

/// The number that eight digits write, added up pairwise: two, then four, then eight.
#[inline(always)]
fn eight_digits(bytes: &[u8; 8]) -> Option<u64> {
    let digits = u64::from_le_bytes(*bytes) ^ (ONES * b'0' as u64);
    // A digit is 0 to 9: no high half, and none with 6 more.
    if (digits | digits.wrapping_add(ONES * 6)) & (ONES * 0xf0) != 0 {
        return None;
    }
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

/// The names of one object by their words: two alike may be one name twice.
#[derive(Default)]
struct Names {
    words: [Word; MEMBERS_MAX],
    len: usize,
}

impl Names {
    /// Adds a name, unless it may be there or there is no room.
    #[inline]
    fn insert(&mut self, word: Word) -> Option<()> {
        let seen = self.words.get(..self.len)?;
        if seen.contains(&word) {
            return None;
        }
        *self.words.get_mut(self.len)? = word;
        self.len += 1;
        Some(())
    }
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
            (
                r#"{"user":{"username":"a"},"iat":1}"#,
                true,
                "the frontend's",
            ),
            (
                r#"{"sub":"a","aud":["x","y"],"exp":1}"#,
                true,
                "an audience of two",
            ),
            (
                r#"{"sub":"a","realm_access":{"roles":["x"]},"email_verified":true}"#,
                true,
                "Keycloak's",
            ),
            (
                r#"{"https://a.example/b":{"c":[]},"sub":"grün"}"#,
                true,
                "no ASCII",
            ),
            ("{}", false, "none: too short"),
            (r#"{"sub": "a"}"#, false, "white space"),
            (r#"{"sub":"\u0061"}"#, false, "an escape"),
            (r#"{"exp":1.5}"#, false, "a fraction"),
            (r#"{"exp":1e3}"#, false, "an exponent"),
            (r#"{"exp":-1}"#, false, "a sign"),
            (r#"{"exp":01}"#, false, "a leading zero"),
            (r#"{"exp":9999999999999999}"#, false, "16 digits"),
            (r#"{"sub":7}"#, false, "a subject that is no string"),
            (r#"{"a":1,"a":1}"#, false, "a name twice"),
            (
                r#"{"user":{"a":1,"a":1}}"#,
                false,
                "a name twice about the user",
            ),
            (r#"{"a":[[[[[[[[1]]]]]]]]}"#, false, "deep nesting"),
            (r#"{"a":1}x"#, false, "more behind it"),
            (r#"{"a":1"#, false, "cut"),
        ] {
            let mut claims = Claims::default();
            let found = scan(json, &paths(&["user.username", "sub"]), &mut claims);
            assert_eq!(found.is_some(), taken, "{why}: {json}");
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
            let mut scanned = Claims::default();
            if scan(&json, &paths, &mut scanned).is_some() {
                let read = read_fully(&json, &paths, &mut Seen::new());
                let read = read.map_err(|refusal| TestCaseError::fail(format!("{refusal}: {json}")))?;
                prop_assert_eq!(format!("{read:?}"), format!("{scanned:?}"), "{}", json);
            }
        }
    }
}
