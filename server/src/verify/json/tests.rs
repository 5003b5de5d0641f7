use proptest::prelude::*;
use serde_json::Value as Oracle;

use super::*;

/// The number of members of a whole object.
fn members(text: &str) -> Result<usize, JsonError> {
    let mut seen = SeenNames::new();
    let mut members = Members::of(text, MEMBERS_MAX, &seen)?;
    let mut count = 0;
    while members.next(&mut seen)?.is_some() {
        count += 1;
    }
    Ok(count)
}

#[test]
fn each_object_is_read_or_refused() {
    use JsonError::{DuplicateMember, Malformed, NestedTooDeep};
    let levels = |count: u32| {
        let (open, close) = ("[".repeat(count as usize), "]".repeat(count as usize));
        format!(r#"{{"a":{open}{close}}}"#)
    };
    let many = |count: usize| {
        let members: Vec<_> = (0..count).map(|i| format!(r#""m{i}":1"#)).collect();
        format!("{{{}}}", members.join(","))
    };
    for (text, verdict, why) in [
        ("{}", Ok(0), "an empty object"),
        (" \t\r\n{ \n} ", Ok(0), "space is free"),
        (r#"{"a":1}"#, Ok(1), "one member"),
        (r#"{"a" : [ ] , "b":{ "c" : [ {}, [1, "x"] ] } }"#, Ok(2), "nested"),
        (r#"{"a":true,"b":false,"c":null,"":"é\n"}"#, Ok(4), "literals"),
        (r#"{"a":-0.5e+3,"b":0,"c":1E2}"#, Ok(3), "numbers"),
        (r#"{"a":"\ud83d\ude00"}"#, Ok(1), "a surrogate pair"),
        (r#"{"a":1,"A":1}"#, Ok(2), "case makes another name"),
        (r#"{"a":{"x":1,"x":2}}"#, Ok(1), "names are compared on one level"),
        ("", Err(Malformed), "nothing"),
        ("[]", Err(Malformed), "an array"),
        ("{", Err(Malformed), "no end"),
        ("{}x", Err(Malformed), "something after the end"),
        ("{}{}", Err(Malformed), "two objects"),
        (r#"{"a":1,}"#, Err(Malformed), "a comma too many"),
        (r#"{,"a":1}"#, Err(Malformed), "a comma too early"),
        (r#"{"a":[1,]}"#, Err(Malformed), "a comma too many inside"),
        (r#"{"a":[}"#, Err(Malformed), "closed by the wrong bracket"),
        (r#"{"a":{]}"#, Err(Malformed), "closed by the wrong bracket"),
        (r#"{"a" 1}"#, Err(Malformed), "no colon"),
        (r#"{a:1}"#, Err(Malformed), "a bare name"),
        (r#"{"a":01}"#, Err(Malformed), "a leading zero"),
        (r#"{"a":.5}"#, Err(Malformed), "no digit before the point"),
        (r#"{"a":5.}"#, Err(Malformed), "no digit after the point"),
        (r#"{"a":+1}"#, Err(Malformed), "a plus"),
        (r#"{"a":-}"#, Err(Malformed), "a minus alone"),
        (r#"{"a":1e}"#, Err(Malformed), "no exponent"),
        (r#"{"a":1e999}"#, Err(Malformed), "beyond every f64"),
        (r#"{"a":NaN}"#, Err(Malformed), "not a number in JSON"),
        (r#"{"a":True}"#, Err(Malformed), "another language's literal"),
        ("{\"a\":\"\n\"}", Err(Malformed), "a control character"),
        (r#"{"a":"\x"}"#, Err(Malformed), "an unknown escape"),
        (r#"{"a":"\u12g4"}"#, Err(Malformed), "no hexadecimal"),
        (r#"{"a":"\u+123"}"#, Err(Malformed), "a sign among digits"),
        (r#"{"a":"\ud800"}"#, Err(Malformed), "half a surrogate pair"),
        (r#"{"a":"\ud800\u0041"}"#, Err(Malformed), "half a surrogate pair"),
        (r#"{"a":"\ude00\ud83d"}"#, Err(Malformed), "a surrogate pair in the wrong order"),
        (r#"{"a":"x}"#, Err(Malformed), "no end of the string"),
        (r#"{"a":1,"b":2,"a":3}"#, Err(DuplicateMember), "twice"),
        (r#"{"a":1,"\u0061":2}"#, Err(DuplicateMember), "twice, once escaped"),
        (&levels(NESTING_MAX - 1), Ok(1), "as deep as allowed"),
        (&levels(NESTING_MAX), Err(NestedTooDeep), "a level deeper"),
        (&levels(100_000), Err(NestedTooDeep), "100,000 levels"),
        (&many(MEMBERS_MAX), Ok(MEMBERS_MAX), "as many as allowed"),
        (&many(MEMBERS_MAX + 1), Err(Malformed), "one more"),
    ] {
        assert_eq!(members(text), verdict, "{why}: {text:.60}");
    }
}

#[test]
fn the_escapes_of_a_string_are_decoded() {
    let text = r#"{"a":"gon\u007aalo \ud83d\ude00 \"\\\/\b\f\n\r\t"}"#;
    let meant = "gonzalo 😀 \"\\/\u{8}\u{c}\n\r\t";
    let mut seen = SeenNames::new();
    let mut members = Members::of(text, 1, &seen).unwrap();
    let Some((name, Value::Text(value))) = members.next(&mut seen).unwrap() else {
        panic!("a string was written");
    };
    assert!(name.text.is("a") && value.is(meant) && !value.is("gonzalo"));
    assert_eq!(value.resolve(&mut String::from("old")), meant);
}

#[test]
fn an_array_is_searched_for_a_string() {
    for (array, verdict, why) in [
        ("[]", Ok(false), "empty"),
        (r#"["a", "b"]"#, Ok(true), "it is there"),
        (r#"["a","\u0062"]"#, Ok(true), "it is there, escaped"),
        (r#"["a"]"#, Ok(false), "another string"),
        (r#"["b",1]"#, Err(JsonError::Malformed), "not all are strings"),
        (r#"[["b"]]"#, Err(JsonError::Malformed), "an array inside"),
    ] {
        assert_eq!(array_contains(array, "b"), verdict, "{why}");
    }
}

/// Arbitrary JSON, mostly objects.
fn json() -> impl Strategy<Value = Oracle> {
    let leaf = prop_oneof![
        Just(Oracle::Null),
        any::<bool>().prop_map(Oracle::from),
        any::<i64>().prop_map(Oracle::from),
        any::<f64>().prop_map(Oracle::from),
        ".{0,6}".prop_map(Oracle::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Oracle::from),
            proptest::collection::hash_map(".{0,3}", inner, 0..5)
                .prop_map(|members| Oracle::Object(members.into_iter().collect())),
        ]
    })
}

/// The number of members according to serde_json; `None` if the text is not an object.
fn oracle(text: &str) -> Option<usize> {
    let object: serde_json::Map<String, Oracle> = serde_json::from_str(text).ok()?;
    Some(object.len())
}

proptest! {
    #[test]
    fn the_output_of_another_writer_is_read(value in json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        prop_assert_eq!(members(&text), value.as_object().map(|object| object.len()).ok_or(JsonError::Malformed));
    }

    #[test]
    fn a_changed_text_has_the_verdict_of_another_parser(
        value in json(),
        at in any::<prop::sample::Index>(),
        with in prop_oneof![Just(""), Just("\""), Just("\\"), Just(","), Just("0"), Just("}"), Just(" ")],
    ) {
        let text = serde_json::json!({ "a": value, "b": 1.5 }).to_string();
        let mut places: Vec<_> = text.char_indices().map(|(place, _)| place).collect();
        places.push(text.len());
        let from = at.index(places.len() - 1);
        let changed = format!("{}{with}{}", &text[..places[from]], &text[places[from + 1]..]);
        match members(&changed) {
            Ok(count) => prop_assert_eq!(Some(count), oracle(&changed), "{}", changed),
            Err(JsonError::DuplicateMember) => {}
            Err(_) => prop_assert_eq!(None, oracle(&changed), "{}", changed),
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in r#"[\[\]{}",:\\u0-9a-f.eE+ -]{0,60}"#) {
        if let Ok(count) = members(&text) {
            prop_assert_eq!(Some(count), oracle(&text));
        }
    }
}
