//! The rules for the claims of a token.

use crate::verify::json::{Name, WantedName};

/// The rules for the claims of a token. The defaults are strict.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// The tolerated difference between the issuer's clock and this one, in seconds; for `exp`, `nbf` and `iat`.
    pub leeway_s: u64,
    /// If set, `iss` must equal it.
    pub issuer: Option<String>,
    /// If set, `aud` must equal it or be a list that contains it.
    pub audience: Option<String>,
    /// Paths to the user's name; the first at which there is a string is used. Dots separate the members of nested
    /// objects; a path also matches a member whose name contains the dots.
    pub user_claim: Vec<String>,
    /// The longest token that is read, in bytes.
    pub token_bytes_max: usize,
}

/// The default longest token: enough for the claims of any identity provider, and usual servers accept no longer
/// request line.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

impl Default for Policy {
    fn default() -> Self {
        Self {
            leeway_s: 0,
            issuer: None,
            audience: None,
            user_claim: vec!["user.username".to_owned(), "sub".to_owned()],
            token_bytes_max: TOKEN_BYTES_MAX,
        }
    }
}

/// A path to the user's name.
pub(super) struct ClaimPath {
    /// The whole path, which may be a member name with dots.
    whole: WantedName,
    /// The path split at its dots; never empty.
    steps: Vec<WantedName>,
}

impl ClaimPath {
    pub(super) fn new(path: &str) -> Self {
        Self { whole: WantedName::new(path), steps: path.split('.').map(WantedName::new).collect() }
    }

    /// Whether the member `name` of the claims is the first step of this path, or the whole path.
    #[inline]
    pub(super) fn begins_with(&self, name: Name<'_>) -> bool {
        self.steps.first().is_some_and(|first| first.is(name)) || self.ends_with(name)
    }

    /// Whether this path, its dots included, is the member `name` of the claims.
    #[inline]
    pub(super) fn ends_with(&self, name: Name<'_>) -> bool {
        self.whole.is(name)
    }

    /// The second step of a path with two steps.
    #[inline]
    pub(super) fn second_of_two(&self) -> Option<&WantedName> {
        if let [_, second] = &self.steps[..] { Some(second) } else { None }
    }

    /// The first step and the others.
    pub(super) fn steps(&self) -> Option<(&WantedName, &[WantedName])> {
        self.steps.split_first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_at_its_dots() {
        for (path, first, rest) in
            [("sub", "sub", &[][..]), ("user.username", "user", &["username"]), ("a.b.c", "a", &["b", "c"])]
        {
            let parsed = ClaimPath::new(path);
            let (found, follow) = parsed.steps().unwrap();
            assert_eq!((found.text.as_str(), parsed.whole.text.as_str()), (first, path));
            let follow: Vec<_> = follow.iter().map(|step| step.text.as_str()).collect();
            assert_eq!(follow, rest);
        }
    }
}
