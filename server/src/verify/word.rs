//! Names as numbers, so that they are compared without a call.

use crate::verify::json::Text;

/// 1 in each byte.
pub(super) const ONES: u64 = 0x0101_0101_0101_0101;

/// A name as a number: its own bytes where they are up to 8, else a hash of them.
///
/// Equal names have equal words, escapes taken for what they mean. Two that differ may have the same word only where
/// it [is a hash](Word::is_hash), or looks like one for its eighth byte is no ASCII.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Word(u64);

/// A name that is looked for, with its word.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub text: String,
    word: Word,
}

/// A name that was read, with its word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'t> {
    pub text: Text<'t>,
    pub word: Word,
    /// Where it begins in the text that it was read from.
    pub start: usize,
}

impl Label {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), word: Word::of(text) }
    }

    /// Is this the name that was read?
    #[inline]
    pub(super) fn is(&self, name: Name<'_>) -> bool {
        self.word == name.word && (!name.word.is_hash() || name.text.is(&self.text))
    }
}

impl Word {
    /// The word of `name`, which is up to 8 bytes of ASCII.
    pub(super) const fn short(name: &[u8]) -> Self {
        assert!(name.len() <= 8);
        let mut word = 0;
        let mut i = name.len();
        while i > 0 {
            i -= 1;
            word = (word << 8) | name[i] as u64;
        }
        Self(word)
    }

    /// The word of `name`.
    pub(super) fn of(name: &str) -> Self {
        let mut spelling = Spelling::default();
        for group in name.as_bytes().chunks(8) {
            spelling.push(Self::short(group).0, group.len());
        }
        spelling.has_zero = name.contains('\0');
        spelling.word()
    }

    /// How many bytes stand before the first quotation mark, if it is among the nine with nothing unusual before it,
    /// and the word of them.
    #[inline]
    pub(super) fn until_quote(nine: &[u8; 9]) -> Option<(usize, Self)> {
        let [eight @ .., last] = nine;
        let eight = u64::from_le_bytes(*eight);
        // The quotation mark is looked for alone, so that the place is known soon; then what stands before it.
        let quote = quotes(eight);
        if specials(eight) & quote.wrapping_sub(1) & !quote != 0 {
            return None;
        }
        if quote == 0 {
            return (*last == b'"').then_some((8, Self(eight)));
        }
        // The highest bit of the quotation mark: below it are 7 bits of its own.
        let bits = quote.trailing_zeros() - 7;
        Some((bits as usize / 8, Self(eight & ((1 << bits) - 1))))
    }

    /// May it be the word of two names?
    #[inline]
    pub(super) fn is_hash(self) -> bool {
        self.0 >> 63 == 1
    }

    /// One of `count` places, which is a power of two.
    #[inline]
    pub(super) fn place(self, count: usize) -> usize {
        mixed(self.0) as usize & (count - 1)
    }
}

/// A name that is read piece by piece, escapes taken for what they mean.
#[derive(Default)]
pub(super) struct Spelling {
    mixed: u64,
    first: u64,
    groups: u64,
    /// What follows the last group of eight bytes, and how many bytes that is: fewer than 8.
    rest: u64,
    bytes: usize,
    /// A zero could not be told from the end.
    has_zero: bool,
}

impl Spelling {
    /// The next `bytes` bytes of the name, 1 to 8; above them `piece` is 0.
    #[inline(always)]
    pub(super) fn push(&mut self, piece: u64, bytes: usize) {
        self.rest |= piece << (8 * self.bytes);
        self.bytes += bytes;
        if self.bytes >= 8 {
            self.add(self.rest);
            self.bytes -= 8;
            // What did not fit; all of it did where nothing is left.
            self.rest = (piece >> (8 * (bytes - self.bytes - 1))) >> 8;
        }
    }

    /// The next character, which was an escape.
    #[inline]
    pub(super) fn push_char(&mut self, meant: char) {
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

    /// The word of the name that ends here.
    #[inline]
    pub(super) fn word(&self) -> Word {
        match (self.groups, self.bytes) {
            (0, _) if !self.has_zero => Word(self.rest),
            (1, 0) if !self.has_zero => Word(self.first),
            // Above every name of ASCII that stands for itself.
            _ => {
                let rest = self.rest ^ ((self.bytes as u64) << 56);
                Word(mixed(self.mixed ^ rest) | (1 << 63))
            }
        }
    }
}

/// A product whose halves are added up (wyhash): each bit of it depends on all of `word`.
#[inline]
fn mixed(word: u64) -> u64 {
    let product = u128::from(word ^ 0x9e37_79b9_7f4a_7c15) * 0xd1b5_4a32_d192_ed03;
    product as u64 ^ (product >> 64) as u64
}

/// The highest bit of the first byte that is 0, and maybe of bytes behind it: Mycroft's test.
#[inline]
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & (ONES << 7)
}

/// The highest bit of the first quotation mark, and maybe of bytes behind it.
#[inline]
pub(super) const fn quotes(word: u64) -> u64 {
    zeros(word ^ (ONES * b'"' as u64))
}

/// The highest bit of the first byte that may not stand in a string as it is (a backslash, a control character), and
/// maybe of bytes behind it.
#[inline]
pub(super) const fn specials(word: u64) -> u64 {
    zeros(word ^ (ONES * b'\\' as u64)) | (word.wrapping_sub(ONES * 0x20) & !word & (ONES << 7))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The word of a name all of whose characters were escapes.
    fn of_chars(name: &str) -> Word {
        let mut spelling = Spelling::default();
        name.chars().for_each(|meant| spelling.push_char(meant));
        spelling.word()
    }

    #[test]
    fn names_have_words_of_their_own() {
        let names = "a b aa ab ba aba abb exp nbf iat iss aud sub user resu name email scope azp sid jti \
                     acr username given_name family_name preferred_username email_verified \
                     realm_access resource_access session_state auth_time https://a.example/a \
                     https://a.example/b";
        let names: Vec<_> = names.split_whitespace().chain([""]).collect();
        for (i, one) in names.iter().enumerate() {
            for other in &names[..i] {
                let words = [one, other].map(|name| Word::of(name));
                assert_ne!(words[0], words[1], "{one} and {other}");
            }
        }
    }

    #[test]
    fn a_zero_is_not_the_end() {
        for (one, other) in [("a", "a\0"), ("", "\0"), ("a\0", "a\0\0"), ("abcdefg", "abcdefg\0")] {
            assert_ne!(Word::of(one), of_chars(other), "{one:?}, {other:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_found_before_its_quotation_mark(
            name in prop_oneof![4 => "[^\"\\\\\0-\u{1f}]{0,9}", 1 => "[^\"]{0,9}"],
            rest in "[ -~]{9}",
        ) {
            let text = format!("{name}\"{rest}");
            let found = Word::until_quote(text.as_bytes().first_chunk().unwrap());
            let is_usual = name.bytes().take(9).all(|byte| byte >= 0x20 && byte != b'\\');
            let expected = (name.len() <= 8 && is_usual).then(|| (name.len(), Word::of(&name)));
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn short_names_stand_for_themselves(one in "[a-c]{0,8}", other in "[a-c]{0,8}") {
            prop_assert_eq!(Word::of(&one) == Word::of(&other), one == other);
        }

        #[test]
        fn a_name_has_one_word_however_it_is_read(name in prop_oneof![".{0,40}", "[a\0ä]{0,18}"]) {
            prop_assert_eq!(Word::of(&name), of_chars(&name));
        }
    }
}
