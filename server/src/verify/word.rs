//! Names as numbers, so that they are compared without a call.

use super::json::Text;

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
        Self {
            text: text.to_owned(),
            word: Word::of(text),
        }
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
        let (groups, rest) = name.as_bytes().as_chunks::<8>();
        let mut sum = Sum::default();
        groups
            .iter()
            .for_each(|group| sum.add(u64::from_le_bytes(*group)));
        sum.word(Self::short(rest).0, rest.len(), !name.contains('\0'))
    }

    /// The word of a name with escapes, by what they mean.
    #[cold]
    pub(super) fn of_chars(name: impl Iterator<Item = char>) -> Self {
        let mut sum = Sum::default();
        let (mut group, mut bytes, mut is_plain) = (0, 0, true);
        for meant in name {
            is_plain &= meant != '\0';
            for byte in meant.encode_utf8(&mut [0; 4]).bytes() {
                group |= u64::from(byte) << (8 * bytes);
                bytes += 1;
                if bytes == 8 {
                    sum.add(group);
                    (group, bytes) = (0, 0);
                }
            }
        }
        sum.word(group, bytes, is_plain)
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

/// Eight bytes of a name after the other.
#[derive(Default)]
struct Sum {
    mixed: u64,
    first: u64,
    groups: u64,
}

impl Sum {
    #[inline]
    fn add(&mut self, group: u64) {
        if self.groups == 0 {
            self.first = group;
        }
        self.mixed = mixed(self.mixed ^ group);
        self.groups += 1;
    }

    /// The word of the name that ends with these `bytes` bytes, fewer than 8.
    #[inline]
    fn word(self, rest: u64, bytes: usize, is_plain: bool) -> Word {
        match (self.groups, bytes) {
            (0, _) if is_plain => Word(rest),
            (1, 0) if is_plain => Word(self.first),
            // A zero could not be told from the end, so such a name is hashed. Above every name of ASCII that stands
            // for itself.
            _ => Word(mixed(self.mixed ^ rest ^ ((bytes as u64) << 56)) | (1 << 63)),
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
        for (one, other) in [
            ("a", "a\0"),
            ("", "\0"),
            ("a\0", "a\0\0"),
            ("abcdefg", "abcdefg\0"),
        ] {
            assert_ne!(
                Word::of(one),
                Word::of_chars(other.chars()),
                "{one:?}, {other:?}"
            );
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
            prop_assert_eq!(Word::of(&name), Word::of_chars(name.chars()));
        }
    }
}
