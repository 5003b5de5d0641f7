//! Names as numbers, so that they are compared without a call.

/// 1 in each byte.
pub(super) const ONES: u64 = 0x0101_0101_0101_0101;

/// A name as a number: its own bytes where they are up to 8, else a hash.
///
/// Equal names have equal words. Two that differ may have the same word only where it [is a hash](Word::is_hash), or
/// looks like one for its eighth byte is no ASCII.
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
    pub text: &'t [u8],
    pub word: Word,
}

impl Label {
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            word: Word::of(text.as_bytes()),
        }
    }

    /// Is this the name that was read?
    #[inline]
    pub(super) fn is(&self, name: Name<'_>) -> bool {
        self.word == name.word && (!name.word.is_hash() || self.text.as_bytes() == name.text)
    }
}

impl Word {
    /// The word of `name`, which holds no zero byte.
    pub(super) const fn of(name: &[u8]) -> Self {
        if name.len() > 8 {
            return Self::hash(name);
        }
        let mut word = 0;
        let mut i = name.len();
        while i > 0 {
            i -= 1;
            word = (word << 8) | name[i] as u64;
        }
        Self(word)
    }

    /// How many bytes stand before the first quotation mark, if it is among the nine, and the word of them.
    #[inline]
    pub(super) fn until_quote(nine: &[u8; 9]) -> Option<(usize, Self)> {
        let [eight @ .., last] = nine;
        let eight = u64::from_le_bytes(*eight);
        let found = zeros(eight ^ (ONES * b'"' as u64));
        if found == 0 {
            return (*last == b'"').then_some((8, Self(eight)));
        }
        // The highest bit of the quotation mark: below it are 7 bits of its own.
        let bits = found.trailing_zeros() - 7;
        Some((bits as usize / 8, Self(eight & ((1 << bits) - 1))))
    }

    /// May it be the word of two names?
    #[inline]
    fn is_hash(self) -> bool {
        self.0 >> 63 == 1
    }

    #[cold]
    const fn hash(name: &[u8]) -> Self {
        let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) else {
            return Self(0);
        };
        let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        let mixed = (first ^ last.rotate_left(29)).wrapping_add(name.len() as u64);
        // Above every name of ASCII that stands for itself.
        Self(mixed | (1 << 63))
    }
}

/// The highest bit of the first byte that is 0, and maybe of bytes behind it: Mycroft's test.
#[inline]
pub(super) const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & (ONES << 7)
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
                let words = [one, other].map(|name| Word::of(name.as_bytes()));
                assert_ne!(words[0], words[1], "{one} and {other}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_name_is_found_before_its_quotation_mark(name in "[^\"\0]{0,9}", rest in "[ -~]{9}") {
            let text = format!("{name}\"{rest}");
            let found = Word::until_quote(text.as_bytes().first_chunk().unwrap());
            let expected = (name.len() <= 8).then(|| (name.len(), Word::of(name.as_bytes())));
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn short_names_stand_for_themselves(one in "[a-c]{0,8}", other in "[a-c]{0,8}") {
            let same = Word::of(one.as_bytes()) == Word::of(other.as_bytes());
            prop_assert_eq!(same, one == other);
        }
    }
}
