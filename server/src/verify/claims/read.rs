//! Reads the claims in one pass.

use crate::verify::Refusal;
use crate::verify::claims::check::{Audience, Claims, TIME_S_END, refusal};
use crate::verify::json::{
    Cursor, JsonError, MEMBERS_MAX, Members, Name, NameCode, SeenNames, Text, Value, WantedName, array_contains, to_f64,
};
use crate::verify::policy::ClaimPath;

/// Reads the claims in `json`, the decoded second segment of a token, into empty `claims`.
///
/// # Errors
/// [`Refusal::ClaimsMalformed`], [`Refusal::TimeInvalid`], [`Refusal::DuplicateMember`] or
/// [`Refusal::NestedTooDeep`], by the first wrong member.
#[inline]
pub(in crate::verify) fn read<'t>(
    json: &'t str,
    user_claim: &[ClaimPath],
    seen: &mut SeenNames,
    claims: &mut Claims<'t>,
) -> Result<(), Refusal> {
    seen.clear();
    let mut cursor = Cursor::new(json, 0);
    // Paths from this index on have a lower rank than that of the user found so far.
    let mut rank_max = user_claim.len();
    cursor.expect(b'{').map_err(refusal)?;
    if !cursor.take(b'}') {
        loop {
            let name = cursor.name().map_err(refusal)?;
            let time_s = match name.code {
                EXP => Some(&mut claims.expires_at_s),
                IAT => Some(&mut claims.issued_at_s),
                NBF => Some(&mut claims.not_before_s),
                _ => None,
            };
            match time_s {
                Some(time_s) => *time_s = Some(time(&mut cursor, name, seen)?),
                None => member(&mut cursor, name, user_claim, &mut rank_max, seen, claims)?,
            }
            if !cursor.take(b',') {
                break;
            }
        }
        cursor.expect(b'}').map_err(refusal)?;
    }
    cursor.expect_end().map_err(refusal)
}

const EXP: NameCode = NameCode::short(b"exp");
const NBF: NameCode = NameCode::short(b"nbf");
const IAT: NameCode = NameCode::short(b"iat");
const ISS: NameCode = NameCode::short(b"iss");
const SUB: NameCode = NameCode::short(b"sub");
const AUD: NameCode = NameCode::short(b"aud");

/// Reads the value of a member that is a time.
#[inline(always)]
fn time<'t>(cursor: &mut Cursor<'t>, name: Name<'t>, seen: &mut SeenNames) -> Result<u64, Refusal> {
    if let Some(whole_s) = cursor.whole_number() {
        insert(cursor, name, seen)?;
        if whole_s >= TIME_S_END {
            return Err(Refusal::TimeInvalid);
        }
        return Ok(whole_s);
    }
    let value = cursor.value(1).map_err(refusal)?;
    insert(cursor, name, seen)?;
    time_s(value)
}

/// Reads the value of a member that is not a time.
#[inline(always)]
fn member<'t>(
    cursor: &mut Cursor<'t>,
    name: Name<'t>,
    user_claim: &[ClaimPath],
    rank_max: &mut usize,
    seen: &mut SeenNames,
    claims: &mut Claims<'t>,
) -> Result<(), Refusal> {
    let wanted = user_claim.get(..*rank_max).unwrap_or_default();
    if cursor.peek() == Some(b'"') {
        let text = cursor.string().map_err(refusal)?;
        insert(cursor, name, seen)?;
        match name.code {
            ISS => claims.issuer = Some(text),
            AUD => claims.audience = Some(Audience::One(text)),
            _ => {}
        }
        // One path may end at this member while another continues into an object.
        if let Some(rank) = wanted.iter().position(|path| path.ends_with(name)) {
            claims.user = Some(text);
            *rank_max = rank;
        }
        return Ok(());
    }
    let rank = wanted.iter().position(|path| path.begins_with(name));
    let is_claim = matches!(name.code, ISS | SUB | AUD);
    if rank.is_none() && !is_claim {
        cursor.skip_value(1).map_err(refusal)?;
        return insert(cursor, name, seen);
    }
    if let (Some(rank), false) = (rank, is_claim) {
        let path = wanted.get(rank).filter(|path| !path.ends_with(name));
        let second = path.and_then(ClaimPath::second_of_two);
        let found = second.and_then(|second| user_in_object(cursor.text(), cursor.position(), second));
        if let Some((user, end)) = found {
            *cursor = Cursor::new(cursor.text(), end);
            insert(cursor, name, seen)?;
            claims.user = Some(user);
            *rank_max = rank;
            return Ok(());
        }
    }
    let value = cursor.value(1).map_err(refusal)?;
    insert(cursor, name, seen)?;
    member_slow(name, value, user_claim, rank_max, seen, claims)
}

#[inline(always)]
fn insert(cursor: &Cursor<'_>, name: Name<'_>, seen: &mut SeenNames) -> Result<(), Refusal> {
    seen.insert(cursor.text(), name, 0, MEMBERS_MAX).map_err(refusal)
}

/// The most members of an object with the user that the fast path reads.
const FAST_MEMBERS_MAX: usize = 4;

/// The string value of the member `wanted` of the object at `at`, and the end of the object; `None` if the slow path
/// must read the object.
#[inline(always)]
fn user_in_object<'t>(text: &'t str, at: usize, wanted: &WantedName) -> Option<(Text<'t>, usize)> {
    let mut cursor = Cursor::new(text, at);
    let mut codes = [NameCode::default(); FAST_MEMBERS_MAX];
    let mut found = None;
    cursor.expect(b'{').ok()?;
    for count in 0..FAST_MEMBERS_MAX {
        let name = cursor.name().ok()?;
        if codes.get(..count)?.contains(&name.code) {
            return None;
        }
        *codes.get_mut(count)? = name.code;
        if cursor.peek() == Some(b'"') {
            let text = cursor.string().ok()?;
            if wanted.is(name) {
                found = Some(text);
            }
        } else {
            cursor.skip_value(2).ok()?;
        }
        if cursor.take(b'}') {
            return Some((found?, cursor.position()));
        }
        cursor.expect(b',').ok()?;
    }
    None
}

/// Reads a member that is neither a time nor a string.
#[inline(never)]
fn member_slow<'t>(
    name: Name<'t>,
    value: Value<'t>,
    user_claim: &[ClaimPath],
    rank_max: &mut usize,
    seen: &mut SeenNames,
    claims: &mut Claims<'t>,
) -> Result<(), Refusal> {
    match name.code {
        // Readers would interpret a subject that is not a string (RFC 7519 section 4.1.2) differently.
        ISS | SUB => return Err(Refusal::ClaimsMalformed),
        AUD => claims.audience = Some(audience(value)?),
        _ => {}
    }
    for (rank, path) in user_claim.iter().enumerate().take(*rank_max) {
        if let Some(user) = follow(path, name, value, seen).map_err(refusal)? {
            claims.user = Some(user);
            *rank_max = rank;
            break;
        }
    }
    Ok(())
}

/// A NumericDate (RFC 7519 section 2): seconds since 1970, maybe with a fraction, from 0 to [`TIME_S_END`]. Rounded up,
/// because the comparisons are with whole seconds.
fn time_s(value: Value<'_>) -> Result<u64, Refusal> {
    let Value::Number(number) = value else {
        return Err(Refusal::TimeInvalid);
    };
    // The sign of a negative zero is refused as well.
    if number.starts_with('-') || number.len() > TIME_CHARACTERS_MAX {
        return Err(Refusal::TimeInvalid);
    }
    let seconds = to_f64(number).ok_or(Refusal::TimeInvalid)?;
    if seconds >= TIME_S_END as f64 {
        return Err(Refusal::TimeInvalid);
    }
    let whole_s = seconds as u64;
    let whole_s = whole_s + u64::from((whole_s as f64) < seconds);
    if whole_s < TIME_S_END { Ok(whole_s) } else { Err(Refusal::TimeInvalid) }
}

/// The most characters of a time: an `f64` has at most 24, a time in nanoseconds 20. To parse thousands of digits would
/// take longer than a MAC.
const TIME_CHARACTERS_MAX: usize = 32;

/// An audience that is not a string.
fn audience(value: Value<'_>) -> Result<Audience<'_>, Refusal> {
    match value {
        // This call only checks that all elements are strings; the audience is compared later.
        Value::Array(names) => array_contains(names, "").map(|_| Audience::Many(names)).map_err(refusal),
        _ => Err(Refusal::ClaimsMalformed),
    }
}

/// The string at the end of `path`, whose first step is the member `name` of the claims, with an object as its `value`.
fn follow<'t>(
    path: &ClaimPath,
    name: Name<'_>,
    value: Value<'t>,
    seen: &mut SeenNames,
) -> Result<Option<Text<'t>>, JsonError> {
    match path.steps() {
        Some((first, rest)) if !rest.is_empty() && first.is(name) && !path.ends_with(name) => {
            descend(value, rest, seen)
        }
        _ => Ok(None),
    }
}

/// The string at the end of `steps` from `value`. The depth of the recursion is the length of a configured path.
fn descend<'t>(value: Value<'t>, steps: &[WantedName], seen: &mut SeenNames) -> Result<Option<Text<'t>>, JsonError> {
    let Some((first, rest)) = steps.split_first() else {
        return Ok(if let Value::Text(text) = value { Some(text) } else { None });
    };
    let Value::Object(object) = value else {
        return Ok(None);
    };
    let mut found = None;
    // Read to the end even after the member is found: a second member of this name is an error.
    let mut members = Members::of(object, MEMBERS_MAX, seen)?;
    while let Some((name, value)) = members.next(seen)? {
        if first.is(name) {
            found = descend(value, rest, seen)?;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
