//! The claims of a token: read in one pass, then held against the policy.

mod scan;

use super::Refusal;
use super::json::{JsonError, MEMBERS_MAX, Members, Seen, Text, Value, array_holds};
use super::policy::{ClaimPath, Policy};
use super::word::Label;

/// 10000-01-01T00:00:00Z. Later instants are mistakes (milliseconds for seconds) or attempts at overflow,
/// and most libraries for dates end there.
pub const TIME_S_END: u64 = 253_402_300_800;

/// How far `iat` may lie ahead without any leeway. Issuers round to whole seconds, and a server may read
/// its own clock once for a batch of tokens, a moment before the last of them was issued.
pub const ISSUED_AHEAD_S_MAX: u64 = 1;

/// What the policy asks about, and the user.
#[derive(Debug, Default)]
pub(super) struct Claims<'t> {
    /// `exp` (RFC 7519 section 4.1.4), rounded up to a second: from then on the token is expired.
    pub expires_at_s: Option<u64>,
    /// `nbf` (section 4.1.5), rounded up to a second: before it the token is not valid.
    not_before_s: Option<u64>,
    /// `iat` (section 4.1.6), rounded up to a second.
    issued_at_s: Option<u64>,
    /// `iss` (section 4.1.1).
    issuer: Option<Text<'t>>,
    /// `aud` (section 4.1.3).
    audience: Option<Audience<'t>>,
    /// The first of the policy's claims that leads to a string.
    pub user: Option<Text<'t>>,
}

/// Both forms that RFC 7519 section 4.1.3 allows.
#[derive(Debug)]
enum Audience<'t> {
    One(Text<'t>),
    /// The array as it stands; all its elements are strings.
    Many(&'t str),
}

/// Reads the claims in `json`, the second segment of a token decoded, into `claims`, which are still empty.
///
/// # Errors
/// [`Refusal::ClaimsMalformed`], [`Refusal::TimeInvalid`], [`Refusal::DuplicateMember`] or
/// [`Refusal::NestedTooDeep`].
#[inline]
pub(super) fn read<'t>(
    json: &'t str,
    user_claim: &[ClaimPath],
    seen: &mut Seen,
    claims: &mut Claims<'t>,
) -> Result<(), Refusal> {
    if scan::scan(json, user_claim, claims).is_none() {
        *claims = read_fully(json, user_claim, seen)?;
    }
    Ok(())
}

/// The same, whatever the claims are like.
#[cold]
fn read_fully<'t>(
    json: &'t str,
    user_claim: &[ClaimPath],
    seen: &mut Seen,
) -> Result<Claims<'t>, Refusal> {
    seen.clear();
    let mut claims = Claims::default();
    // Paths from this one on are less wanted than what was found.
    let mut rank_max = user_claim.len();
    let mut members = Members::of(json, MEMBERS_MAX, seen).map_err(refusal)?;
    while let Some((name, value)) = members.next(seen).map_err(refusal)? {
        if name.is("exp") {
            claims.expires_at_s = Some(time_s(value)?);
        } else if name.is("nbf") {
            claims.not_before_s = Some(time_s(value)?);
        } else if name.is("iat") {
            claims.issued_at_s = Some(time_s(value)?);
        } else if name.is("iss") {
            claims.issuer = Some(text(value).ok_or(Refusal::ClaimsMalformed)?);
        } else if name.is("aud") {
            claims.audience = Some(audience(value)?);
        } else if name.is("sub") {
            // A subject that is no string (RFC 7519 section 4.1.2) is another user to each reader.
            text(value).ok_or(Refusal::ClaimsMalformed)?;
        }
        for (rank, path) in user_claim.iter().enumerate().take(rank_max) {
            if let Some(user) = follow(path, name, value, seen).map_err(refusal)? {
                claims.user = Some(user);
                rank_max = rank;
                break;
            }
        }
    }
    Ok(claims)
}

impl Claims<'_> {
    /// Are these claims good at `now_s` (seconds since 1970)?
    ///
    /// # Errors
    /// The first rule that is broken: time, then issuer, then audience.
    pub(super) fn check(&self, policy: &Policy, now_s: u64) -> Result<(), Refusal> {
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
                Audience::Many(names) => array_holds(names, wanted).map_err(refusal)?,
            };
            if !found {
                return Err(Refusal::AudienceMismatch);
            }
        }
        Ok(())
    }

    /// The first second at which [`check`](Self::check) finds no time in the future.
    pub(super) fn good_from_s(&self, policy: &Policy) -> u64 {
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
        if self
            .expires_at_s
            .is_some_and(|exp_s| now_s >= exp_s.saturating_add(leeway_s))
        {
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

/// A NumericDate (RFC 7519 section 2): seconds since 1970, maybe with a fraction, from 0 to
/// [`TIME_S_END`]; rounded up, since only whole seconds are compared with it.
fn time_s(value: Value<'_>) -> Result<u64, Refusal> {
    let Value::Number(number) = value else {
        return Err(Refusal::TimeInvalid);
    };
    let whole_s = match number.parse::<u64>() {
        Ok(whole_s) => whole_s,
        Err(_) => {
            let seconds: f64 = number.parse().map_err(|_| Refusal::TimeInvalid)?;
            // The sign of a negative zero is refused as well.
            if number.starts_with('-') || seconds >= TIME_S_END as f64 {
                return Err(Refusal::TimeInvalid);
            }
            seconds.ceil() as u64
        }
    };
    if whole_s >= TIME_S_END {
        return Err(Refusal::TimeInvalid);
    }
    Ok(whole_s)
}

fn audience(value: Value<'_>) -> Result<Audience<'_>, Refusal> {
    match value {
        Value::Text(name) => Ok(Audience::One(name)),
        // The search is for the check of the elements alone: what is wanted is not known here.
        Value::Array(names) => array_holds(names, "")
            .map(|_| Audience::Many(names))
            .map_err(refusal),
        _ => Err(Refusal::ClaimsMalformed),
    }
}

/// The string that `path` leads to by way of this member of the claims.
fn follow<'t>(
    path: &ClaimPath,
    name: Text<'_>,
    value: Value<'t>,
    seen: &mut Seen,
) -> Result<Option<Text<'t>>, JsonError> {
    if name.is(path.whole()) {
        return Ok(text(value));
    }
    match path.steps() {
        Some((first, rest)) if !rest.is_empty() && name.is(&first.text) => {
            descend(value, rest, seen)
        }
        _ => Ok(None),
    }
}

/// The string at the end of `steps`, which are as many as the configuration gave.
fn descend<'t>(
    value: Value<'t>,
    steps: &[Label],
    seen: &mut Seen,
) -> Result<Option<Text<'t>>, JsonError> {
    let Some((first, rest)) = steps.split_first() else {
        return Ok(text(value));
    };
    let Value::Object(object) = value else {
        return Ok(None);
    };
    let mut found = None;
    // To the end, even after it is found: a second member of that name makes the user ambiguous.
    let mut members = Members::of(object, MEMBERS_MAX, seen)?;
    while let Some((name, value)) = members.next(seen)? {
        if name.is(&first.text) {
            found = descend(value, rest, seen)?;
        }
    }
    Ok(found)
}

fn text(value: Value<'_>) -> Option<Text<'_>> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn refusal(error: JsonError) -> Refusal {
    match error {
        JsonError::Malformed => Refusal::ClaimsMalformed,
        JsonError::DuplicateMember => Refusal::DuplicateMember,
        JsonError::NestedTooDeep => Refusal::NestedTooDeep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_sensible_number_of_seconds() {
        for (number, verdict, why) in [
            ("0", Ok(0), "1970"),
            ("1700000000", Ok(1_700_000_000), "2023"),
            ("1700000000.0", Ok(1_700_000_000), "a fraction of nothing"),
            ("1700000000.1", Ok(1_700_000_001), "rounded up"),
            ("1.7e9", Ok(1_700_000_000), "an exponent is allowed"),
            ("253402300799", Ok(TIME_S_END - 1), "the last second"),
            ("253402300800", Err(Refusal::TimeInvalid), "year 10000"),
            (
                "253402300799.5",
                Err(Refusal::TimeInvalid),
                "rounded into it",
            ),
            ("1700000000000", Err(Refusal::TimeInvalid), "milliseconds"),
            ("1e18", Err(Refusal::TimeInvalid), "absurd"),
            ("1e300", Err(Refusal::TimeInvalid), "absurd"),
            (
                "18446744073709551615",
                Err(Refusal::TimeInvalid),
                "u64::MAX",
            ),
            (
                "18446744073709551616",
                Err(Refusal::TimeInvalid),
                "beyond u64",
            ),
            ("-1", Err(Refusal::TimeInvalid), "before 1970"),
            ("-0", Err(Refusal::TimeInvalid), "a sign"),
        ] {
            assert_eq!(time_s(Value::Number(number)), verdict, "{why}");
        }
        let other = time_s(Value::Literal("null"));
        assert_eq!(other, Err(Refusal::TimeInvalid), "present means a number");
    }

    #[test]
    fn the_user_is_the_most_wanted_claim_that_is_a_string() {
        let default = ["user.username", "sub"];
        let url = ["https://example.com/name"];
        for (json, paths, user, why) in [
            (
                r#"{"user":{"username":"a"}}"#,
                &default[..],
                Some("a"),
                "the usual",
            ),
            (
                r#"{"sub":"b","user":{"username":"a"}}"#,
                &default,
                Some("a"),
                "by rank",
            ),
            (
                r#"{"user":{"username":"a"},"sub":"b"}"#,
                &default,
                Some("a"),
                "by rank",
            ),
            (r#"{"sub":"b"}"#, &default, Some("b"), "the second"),
            (
                r#"{"user":"c","sub":"b"}"#,
                &default,
                Some("b"),
                "no object to enter",
            ),
            (
                r#"{"user":{"username":7},"sub":"b"}"#,
                &default,
                Some("b"),
                "no string",
            ),
            (
                r#"{"user":{"username":7}}"#,
                &default,
                None,
                "no string at all",
            ),
            (r#"{}"#, &default, None, "nothing"),
            (
                r#"{"user":{"x":{"username":"a"}}}"#,
                &default,
                None,
                "too deep",
            ),
            (
                r#"{"https://example.com/name":"d"}"#,
                &url,
                Some("d"),
                "dots of its own",
            ),
            (
                r#"{"user.username":"e"}"#,
                &default,
                Some("e"),
                "dots of its own",
            ),
            (
                r#"{"a":{"b":{"c":"f"}}}"#,
                &["a.b.c"],
                Some("f"),
                "three steps",
            ),
            (r#"{"sub":"b"}"#, &[], None, "nobody asks"),
        ] {
            let paths: Vec<_> = paths.iter().map(|path| ClaimPath::new(path)).collect();
            let mut claims = Claims::default();
            read(json, &paths, &mut Seen::new(), &mut claims).unwrap();
            let mut buffer = String::new();
            let found = claims.user.map(|user| user.resolve(&mut buffer).to_owned());
            assert_eq!(found.as_deref(), user, "{why}: {json}");
        }
    }

    #[test]
    fn a_user_who_is_named_twice_is_nobody() {
        let paths = [ClaimPath::new("user.username")];
        let json = r#"{"user":{"username":"a","username":"b"}}"#;
        let mut claims = Claims::default();
        let found = read(json, &paths, &mut Seen::new(), &mut claims);
        assert_eq!(found, Err(Refusal::DuplicateMember));
    }
}
