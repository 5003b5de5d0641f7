//! Member names as numbers, which are compared without a function call.

use crate::verify::json::Text;

/// 1 in each byte.
pub(in crate::verify) const ONES: u64 = 0x0101_0101_0101_0101;

/// A name as a number: the bytes of a name of up to 8 bytes, else a hash of them.
///
/// Names that are equal after decoding have equal codes. Two different names can have one code only if the code
/// [is a hash](NameCode::is_hash), or looks like one because the eighth byte is not ASCII.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::verify) struct NameCode(u64);

/// A name that is searched for, with its code.
#[derive(Clone, Debug)]
pub(in crate::verify) struct WantedName {
    pub text: String,
    code: NameCode,
}

/// A name that was read, with its code.
#[derive(Clone, Copy, Debug)]
pub(in crate::verify) struct Name<'t> {
    pub text: Text<'t>,
    pub code: NameCode,
    /// The position of the name in its text.
    pub start: usize,
}

impl WantedName {
    pub(in crate::verify) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), code: NameCode::of(text) }
    }

    /// Whether `name` is this name.
    #[inline]
    pub(in crate::verify) fn is(&self, name: Name<'_>) -> bool {
        self.code == name.code && (!name.code.is_hash() || name.text.is(&self.text))
    }
}

impl NameCode {
    /// The code of `name`, which is up to 8 bytes of ASCII.
    pub(in crate::verify) const fn short(name: &[u8]) -> Self {
        assert!(name.len() <= 8);
        let mut word = 0;
        let mut i = name.len();
        while i > 0 {
            i -= 1;
            word = (word << 8) | name[i] as u64;
        }
        Self(word)
    }

    /// The code of `name`.
    pub(in crate::verify) fn of(name: &str) -> Self {
        let mut builder = NameCodeBuilder::default();
        for group in name.as_bytes().chunks(8) {
            builder.push(Self::short(group).0, group.len());
        }
        builder.has_zero = name.contains('\0');
        builder.code()
    }

    /// The number of bytes before the first quotation mark, and their code. `None` without a mark among the nine bytes,
    /// or with an escape or control character before it.
    #[inline]
    pub(in crate::verify) fn until_quote(nine: &[u8; 9]) -> Option<(usize, Self)> {
        let [eight @ .., last] = nine;
        let eight = u64::from_le_bytes(*eight);
        // The quotation mark is searched first, so that its position is known early; then the bytes before it are
        // checked.
        let quote = quotes(eight);
        if specials(eight) & quote.wrapping_sub(1) & !quote != 0 {
            return None;
        }
        if quote == 0 {
            return (*last == b'"').then_some((8, Self(eight)));
        }
        // `quote` has the highest bit of the quotation mark, which is 7 bits above the end of the name.
        let bits = quote.trailing_zeros() - 7;
        Some((bits as usize / 8, Self(eight & ((1 << bits) - 1))))
    }

    /// Whether different names may have this code.
    #[inline]
    pub(in crate::verify) fn is_hash(self) -> bool {
        self.0 >> 63 == 1
    }

    /// The bucket of this code among `count`, a power of two.
    #[inline]
    pub(in crate::verify) fn bucket(self, count: usize) -> usize {
        mixed(self.0) as usize & (count - 1)
    }
}

/// Computes the code of a name from its pieces, with decoded escapes.
#[derive(Default)]
pub(in crate::verify) struct NameCodeBuilder {
    mixed: u64,
    first: u64,
    groups: u64,
    /// The bytes after the last group of eight, fewer than 8, and their number.
    rest: u64,
    bytes: usize,
    /// Whether the name has a zero byte, which its bytes as a number could not show.
    has_zero: bool,
}

impl NameCodeBuilder {
    /// Adds the lowest `bytes` bytes of `piece`, 1 to 8; the others are 0.
    #[inline(always)]
    pub(in crate::verify) fn push(&mut self, piece: u64, bytes: usize) {
        self.rest |= piece << (8 * self.bytes);
        self.bytes += bytes;
        if self.bytes >= 8 {
            self.add(self.rest);
            self.bytes -= 8;
            // The bytes after the group of eight; zero if there are none.
            self.rest = (piece >> (8 * (bytes - self.bytes - 1))) >> 8;
        }
    }

    /// Adds a decoded escape.
    #[inline]
    pub(in crate::verify) fn push_char(&mut self, meant: char) {
        self.has_zero |= meant == '\0';
        let mut bytes = [0; 8];
        let length = meant.encode_utf8(&mut bytes).len();
        self.push(u64::from_le_bytes(bytes), length);
    }

    #[inline(always)]
    fn add(&mut self, group: u64) {
        if self.groups == 0 {
            self.first = group;
        }
        self.mixed = mixed(self.mixed ^ group);
        self.groups += 1;
    }

    /// The code of the complete name.
    #[inline]
    pub(in crate::verify) fn code(&self) -> NameCode {
        match (self.groups, self.bytes) {
            (0, _) if !self.has_zero => NameCode(self.rest),
            (1, 0) if !self.has_zero => NameCode(self.first),
            // The highest bit marks a hash; it is 0 in a short ASCII name.
            _ => {
                let rest = self.rest ^ ((self.bytes as u64) << 56);
                NameCode(mixed(self.mixed ^ rest) | (1 << 63))
            }
        }
    }
}

/// A hash of `word` (wyhash): both halves of a product, combined. Each bit depends on all bits of `word`.
#[inline]
fn mixed(word: u64) -> u64 {
    let product = u128::from(word ^ 0x9e37_79b9_7f4a_7c15) * 0xd1b5_4a32_d192_ed03;
    product as u64 ^ (product >> 64) as u64
}

/// Sets the highest bit of the first byte that is 0, and maybe bits of later bytes (Mycroft's test).
#[inline]
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & (ONES << 7)
}

/// Sets the highest bit of the first quotation mark, and maybe bits of later bytes.
#[inline]
pub(in crate::verify) const fn quotes(word: u64) -> u64 {
    zeros(word ^ (ONES * b'"' as u64))
}

/// Sets the highest bit of the first byte that must be escaped in a string (a backslash or control character), and
/// maybe bits of later bytes.
#[inline]
pub(in crate::verify) const fn specials(word: u64) -> u64 {
    zeros(word ^ (ONES * b'\\' as u64)) | (word.wrapping_sub(ONES * 0x20) & !word & (ONES << 7))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The code of a name whose characters are all escapes.
    fn of_chars(name: &str) -> NameCode {
        let mut builder = NameCodeBuilder::default();
        name.chars().for_each(|meant| builder.push_char(meant));
        builder.code()
    }

    #[test]
    fn common_names_have_different_codes() {
        let names = "a b aa ab ba aba abb exp nbf iat iss aud sub user resu name email scope azp sid jti \
                     acr username given_name family_name preferred_username email_verified \
                     realm_access resource_access session_state auth_time https://a.example/a \
                     https://a.example/b";
        let names: Vec<_> = names.split_whitespace().chain([""]).collect();
        for (i, one) in names.iter().enumerate() {
            for other in &names[..i] {
                let codes = [one, other].map(|name| NameCode::of(name));
                assert_ne!(codes[0], codes[1], "{one} and {other}");
            }
        }
    }

    #[test]
    fn a_zero_byte_changes_the_code() {
        for (one, other) in [("a", "a\0"), ("", "\0"), ("a\0", "a\0\0"), ("abcdefg", "abcdefg\0")] {
            assert_ne!(NameCode::of(one), of_chars(other), "{one:?}, {other:?}");
        }
    }

    proptest! {
        #[test]
        fn a_short_name_ends_at_its_quotation_mark(
            name in prop_oneof![4 => "[^\"\\\\\0-\u{1f}]{0,9}", 1 => "[^\"]{0,9}"],
            rest in "[ -~]{9}",
        ) {
            let text = format!("{name}\"{rest}");
            let found = NameCode::until_quote(text.as_bytes().first_chunk().unwrap());
            let is_usual = name.bytes().take(9).all(|byte| byte >= 0x20 && byte != b'\\');
            let expected = (name.len() <= 8 && is_usual).then(|| (name.len(), NameCode::of(&name)));
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn different_short_names_have_different_codes(one in "[a-c]{0,8}", other in "[a-c]{0,8}") {
            prop_assert_eq!(NameCode::of(&one) == NameCode::of(&other), one == other);
        }

        #[test]
        fn a_name_has_the_same_code_with_and_without_escapes(name in prop_oneof![".{0,40}", "[a\0ä]{0,18}"]) {
            prop_assert_eq!(NameCode::of(&name), of_chars(&name));
        }
    }
}
