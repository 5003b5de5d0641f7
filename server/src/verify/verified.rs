//! The result of a verification.

/// The user and the claims of a valid token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Verified<'v> {
    /// The user's name, found by `Policy::user_claim`.
    pub user: Option<&'v str>,
    /// `exp` in seconds since 1970, rounded up, without the leeway.
    pub expires_at_s: Option<u64>,
    /// All claims, as the JSON object that was signed.
    pub claims: &'v str,
}
