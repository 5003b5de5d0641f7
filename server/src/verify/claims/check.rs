//! The claims of a token, and their check against the policy.

use crate::verify::Refusal;
use crate::verify::json::{JsonError, Text, array_contains};
use crate::verify::policy::Policy;

/// 10000-01-01T00:00:00Z. Later instants are mistakes (milliseconds for seconds) or attempts at overflow,
/// and most libraries for dates end there.
pub const TIME_S_END: u64 = 253_402_300_800;

/// How far `iat` may be in the future without leeway: issuers round to whole seconds, and a server may read its clock
/// for a batch of tokens before the last of them is issued.
pub const ISSUED_AHEAD_S_MAX: u64 = 1;

/// The claims that the policy checks, and the user.
#[derive(Debug, Default)]
pub(in crate::verify) struct Claims<'t> {
    /// `exp` (RFC 7519 section 4.1.4), rounded up to a second: the token is expired from then on.
    pub expires_at_s: Option<u64>,
    /// `nbf` (section 4.1.5), rounded up to a second: the token is valid from then on.
    pub(super) not_before_s: Option<u64>,
    /// `iat` (section 4.1.6), rounded up to a second.
    pub(super) issued_at_s: Option<u64>,
    /// `iss` (section 4.1.1).
    pub(super) issuer: Option<Text<'t>>,
    /// `aud` (section 4.1.3).
    pub(super) audience: Option<Audience<'t>>,
    /// The string at the first of the policy's claim paths that has one.
    pub user: Option<Text<'t>>,
}

/// The two forms that RFC 7519 section 4.1.3 allows.
#[derive(Debug)]
pub(super) enum Audience<'t> {
    One(Text<'t>),
    /// The JSON text of an array; all its elements are strings.
    Many(&'t str),
}

impl Claims<'_> {
    /// Checks the claims at `now_s` (seconds since 1970).
    ///
    /// # Errors
    /// The first rule that is broken: time, then issuer, then audience.
    pub(in crate::verify) fn check(&self, policy: &Policy, now_s: u64) -> Result<(), Refusal> {
        self.check_time(policy.leeway_s, now_s)?;
        if let Some(wanted) = &policy.issuer {
            let issuer = self.issuer.as_ref().ok_or(Refusal::IssuerMissing)?;
            if !issuer.is(wanted) {
                return Err(Refusal::IssuerMismatch);
            }
        }
        if let Some(wanted) = &policy.audience {
            let found = match self.audience.as_ref().ok_or(Refusal::AudienceMissing)? {
                Audience::One(name) => name.is(wanted),
                Audience::Many(names) => array_contains(names, wanted).map_err(refusal)?,
            };
            if !found {
                return Err(Refusal::AudienceMismatch);
            }
        }
        Ok(())
    }

    /// The first second at which neither `nbf` nor `iat` is in the future, with leeway.
    pub(in crate::verify) fn valid_from_s(&self, policy: &Policy) -> u64 {
        let not_before_s = self.not_before_s.unwrap_or(0);
        let issued_at_s = self.issued_at_s.unwrap_or(0);
        let from_s = not_before_s.max(issued_at_s.saturating_sub(ISSUED_AHEAD_S_MAX));
        from_s.saturating_sub(policy.leeway_s)
    }

    /// ```text
    /// expired         now >= exp + leeway
    /// not yet valid   now + leeway < nbf
    /// not yet issued  now + leeway + ISSUED_AHEAD_S_MAX < iat
    /// ```
    fn check_time(&self, leeway_s: u64, now_s: u64) -> Result<(), Refusal> {
        let latest_s = now_s.saturating_add(leeway_s);
        let latest_issue_s = latest_s.saturating_add(ISSUED_AHEAD_S_MAX);
        if self.expires_at_s.is_some_and(|exp_s| now_s >= exp_s.saturating_add(leeway_s)) {
            return Err(Refusal::Expired);
        }
        if self.not_before_s.is_some_and(|nbf_s| latest_s < nbf_s) {
            return Err(Refusal::NotYetValid);
        }
        if self.issued_at_s.is_some_and(|iat_s| latest_issue_s < iat_s) {
            return Err(Refusal::IssuedInFuture);
        }
        Ok(())
    }
}

pub(super) fn refusal(error: JsonError) -> Refusal {
    match error {
        JsonError::Malformed => Refusal::ClaimsMalformed,
        JsonError::DuplicateMember => Refusal::DuplicateMember,
        JsonError::NestedTooDeep => Refusal::NestedTooDeep,
    }
}
