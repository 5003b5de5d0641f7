use proptest::prelude::*;
use proptest::sample::select;

use super::*;

#[test]
fn a_time_is_seconds_between_1970_and_10000() {
    for (number, verdict, why) in [
        ("0", Ok(0), "1970"),
        ("1700000000", Ok(1_700_000_000), "2023"),
        ("1700000000.0", Ok(1_700_000_000), "a fraction of 0"),
        ("1700000000.1", Ok(1_700_000_001), "rounded up"),
        ("1.7e9", Ok(1_700_000_000), "an exponent is allowed"),
        ("253402300799", Ok(TIME_S_END - 1), "the last second"),
        ("253402300800", Err(Refusal::TimeInvalid), "year 10000"),
        ("253402300799.5", Err(Refusal::TimeInvalid), "rounded up to the year 10000"),
        ("1700000000000", Err(Refusal::TimeInvalid), "milliseconds"),
        ("1e18", Err(Refusal::TimeInvalid), "far beyond the year 10000"),
        ("1e300", Err(Refusal::TimeInvalid), "far beyond the year 10000"),
        ("18446744073709551615", Err(Refusal::TimeInvalid), "u64::MAX"),
        ("18446744073709551616", Err(Refusal::TimeInvalid), "beyond u64"),
        ("-1", Err(Refusal::TimeInvalid), "before 1970"),
        ("-0", Err(Refusal::TimeInvalid), "a sign"),
    ] {
        assert_eq!(time_s(Value::Number(number)), verdict, "{why}");
    }
    let other = time_s(Value::Literal("null"));
    assert_eq!(other, Err(Refusal::TimeInvalid), "a time is a number");
}

#[test]
fn the_user_is_the_first_configured_claim_that_is_a_string() {
    let default = ["user.username", "sub"];
    let url = ["https://example.com/name"];
    for (json, paths, user, why) in [
        (r#"{"user":{"username":"a"}}"#, &default[..], Some("a"), "a nested claim"),
        (r#"{"sub":"b","user":{"username":"a"}}"#, &default, Some("a"), "the first path wins"),
        (r#"{"user":{"username":"a"},"sub":"b"}"#, &default, Some("a"), "the first path wins"),
        (r#"{"sub":"b"}"#, &default, Some("b"), "the second path"),
        (r#"{"user":"c","sub":"b"}"#, &default, Some("b"), "not an object"),
        (r#"{"user":{"username":7},"sub":"b"}"#, &default, Some("b"), "not a string"),
        (r#"{"user":{"username":7}}"#, &default, None, "no string"),
        (r#"{}"#, &default, None, "no claims"),
        (r#"{"user":{"x":{"username":"a"}}}"#, &default, None, "too deep"),
        (r#"{"https://example.com/name":"d"}"#, &url, Some("d"), "a member name with dots"),
        (r#"{"user.username":"e"}"#, &default, Some("e"), "a member name with dots"),
        (r#"{"a":{"b":{"c":"f"}}}"#, &["a.b.c"], Some("f"), "three steps"),
        (r#"{"sub":"b"}"#, &[], None, "no path is configured"),
    ] {
        let mut claims = Claims::default();
        read(json, &self::paths(paths), &mut SeenNames::new(), &mut claims).unwrap();
        let mut buffer = String::new();
        let found = claims.user.map(|user| user.resolve(&mut buffer).to_owned());
        assert_eq!(found.as_deref(), user, "{why}: {json}");
    }
}

#[test]
fn a_duplicate_user_is_refused() {
    let json = r#"{"user":{"username":"a","username":"b"}}"#;
    let found = read(json, &paths(&["user.username"]), &mut SeenNames::new(), &mut Claims::default());
    assert_eq!(found, Err(Refusal::DuplicateMember));
}

fn paths(paths: &[&str]) -> Vec<ClaimPath> {
    paths.iter().map(|path| ClaimPath::new(path)).collect()
}

/// Reads the claims member by member, without the fast path.
fn read_slowly<'t>(json: &'t str, user_claim: &[&str]) -> Result<Claims<'t>, Refusal> {
    let mut seen = SeenNames::new();
    let mut claims = Claims::default();
    let mut rank_max = user_claim.len();
    let mut members = Members::of(json, MEMBERS_MAX, &seen).map_err(refusal)?;
    while let Some((name, value)) = members.next(&mut seen).map_err(refusal)? {
        let text = if let Value::Text(text) = value { Some(text) } else { None };
        let is = |wanted| name.text.is(wanted);
        match () {
            () if is("exp") => claims.expires_at_s = Some(time_s(value)?),
            () if is("nbf") => claims.not_before_s = Some(time_s(value)?),
            () if is("iat") => claims.issued_at_s = Some(time_s(value)?),
            () if is("iss") => claims.issuer = Some(text.ok_or(Refusal::ClaimsMalformed)?),
            () if is("sub") => drop(text.ok_or(Refusal::ClaimsMalformed)?),
            () if is("aud") => {
                claims.audience = Some(text.map_or_else(|| audience(value), |text| Ok(Audience::One(text)))?)
            }
            () => {}
        }
        for (rank, path) in user_claim.iter().enumerate().take(rank_max) {
            let found = match path.split_once('.') {
                _ if is(path) => text,
                Some((first, rest)) if is(first) => {
                    let steps: Vec<_> = rest.split('.').map(WantedName::new).collect();
                    descend(value, &steps, &mut seen).map_err(refusal)?
                }
                _ => None,
            };
            if found.is_some() {
                claims.user = found;
                rank_max = rank;
                break;
            }
        }
    }
    Ok(claims)
}

/// JSON values that are mostly valid.
fn value() -> impl Strategy<Value = String> {
    let words = r#" "a" "" "\u0061" "ü" 0 7 1700000000 -1 1.5 1e3 01 999999999999999 1000000000000000
        253402300800 true false null tru [ " "#;
    let words: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
    let leaf = prop_oneof![4 => select(words), 1 => "[ -~]{0,4}"];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((name(), inner), 0..4).prop_map(object),
        ]
    })
}

/// Member names, most of which are claims.
fn name() -> impl Strategy<Value = &'static str> {
    let names = r"exp nbf iat iss aud sub user username user.username a b \u0061 some_longer_name
        some_l0nger_name";
    select(names.split_whitespace().collect::<Vec<_>>())
}

fn object(members: Vec<(&str, String)>) -> String {
    let members = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}"));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_fast_path_reads_what_the_slow_path_reads(
        json in prop::collection::vec((name(), value()), 0..7).prop_map(object),
        change in prop_oneof![4 => Just(None), 1 => any::<(prop::sample::Index, bool)>().prop_map(Some)],
        tail in "( |x|,)?",
        wanted in prop::sample::subsequence(
            vec!["user.username", "user", "sub", "a.b.username", "user.a", "exp"],
            0..=6,
        ).prop_shuffle(),
    ) {
        let mut json = json + &tail;
        if let Some((at, is_space)) = change {
            // Adds a space, which may be invalid there, or removes a byte.
            let places: Vec<_> = json.char_indices().map(|(place, _)| place).collect();
            let place = *at.get(&places);
            if is_space {
                json.insert(place, ' ');
            } else {
                json.remove(place);
            }
        }
        let mut claims = Claims::default();
        let found = read(&json, &paths(&wanted), &mut SeenNames::new(), &mut claims).map(|()| claims);
        let plain = read_slowly(&json, &wanted);
        prop_assert_eq!(format!("{found:?}"), format!("{plain:?}"), "{}", json);
    }
}
