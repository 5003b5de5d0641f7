//! What is read, and how errors look.

use insta::assert_snapshot;
use proptest::prelude::*;

use crate::ground::expression::Expression;

fn error(text: &str) -> String {
    Expression::parse(text).unwrap_err().to_string()
}

#[test]
fn what_is_written_is_what_is_shown() {
    for (text, shown) in [
        ("handshake.p99<50ms", "handshake.p99<50ms"),
        (" handshake.lag.p99.9 <= 1s , errors == 0 ", "handshake.lag.p99.9 <= 1s,errors == 0"),
        ("tls.max<2.5s,poll.mean>1us", "tls.max<2.5s,poll.mean>1us"),
        ("p(99.9)<400", "p(99.9)<400"),
        ("p(50)<400us", "p(50)<400us"),
    ] {
        assert_eq!(Expression::parse(text).unwrap().to_string(), shown);
    }
}

#[test]
fn k6s_way_means_the_same() {
    let facts = |text: &str| Expression::parse(text).unwrap().handshake_limit_ns();
    assert_eq!(facts("p(99)<400"), facts("handshake.p99<400ms"));
}

#[test]
fn errors_point_at_the_character() {
    assert_snapshot!(error("handshake.p98<50ms"), @r#"
    expected response, service, lag or a stat: p99.9, p99, p95, p90, p50, max, mean
      handshake.p98<50ms
                ^
    "#);
    assert_snapshot!(error("handshake.p99<50"), @r#"
    expected us, ms or s
      handshake.p99<50
                      ^
    "#);
    assert_snapshot!(error("handshake.p99 50ms"), @r#"
    expected an operator: <=, >=, ==, <, >
      handshake.p99 50ms
                    ^
    "#);
    assert_snapshot!(error("handshke.p99<50ms"), @r#"
    did you mean `handshake`?
    expected handshake, echo, login, token, connect, tls, upgrade, open, poll, auth, errors, dropped, unanswered, established, refused_expected, false_accept, false_reject, timeout, failed, interrupted, not_sent, rate(established) or p(99)
      handshke.p99<50ms
      ^
    "#);
    assert_snapshot!(error("connect.service.p99<50ms"), @r#"
    expected a stat: p99.9, p99, p95, p90, p50, max, mean
      connect.service.p99<50ms
              ^
    "#);
    assert_snapshot!(error("errors<0.1%;established>0"), @r#"
    expected `,` and another condition, or the end
      errors<0.1%;established>0
                 ^
    "#);
    assert_snapshot!(error("errors<0.1%,"), @r#"
    expected handshake, echo, login, token, connect, tls, upgrade, open, poll, auth, errors, dropped, unanswered, established, refused_expected, false_accept, false_reject, timeout, failed, interrupted, not_sent, rate(established) or p(99)
      errors<0.1%,
                  ^
    "#);
    assert_snapshot!(error("rate(arrived)>1/s"), @r#"
    expected established, refused_expected, false_accept, false_reject, timeout, failed, interrupted, not_sent
      rate(arrived)>1/s
           ^
    "#);
    assert_snapshot!(error("p(98)<400"), @r#"
    expected 50, 90, 95, 99 or 99.9
      p(98)<400
        ^
    "#);
    assert_snapshot!(error("errors<much"), @r#"
    expected a number
      errors<much
             ^
    "#);
    assert_snapshot!(error("errors=0"), @r#"
    expected an operator: <=, >=, ==, <, >
      errors=0
            ^
    "#);
    assert_snapshot!(error("é\n"), @r#"
    expected handshake, echo, login, token, connect, tls, upgrade, open, poll, auth, errors, dropped, unanswered, established, refused_expected, false_accept, false_reject, timeout, failed, interrupted, not_sent, rate(established) or p(99)
      é 
      ^
    "#);
}

#[test]
fn nothing_is_no_expression() {
    for text in ["", " ", ","] {
        assert!(error(text).starts_with("expected handshake, echo"), "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_text_breaks_the_parser(text in "\\PC{0,40}") {
        if let Err(error) = Expression::parse(&text) {
            prop_assert!(error.to_string().contains('^'));
        }
    }

    #[test]
    fn no_near_miss_breaks_the_parser(
        text in "(handshake|echo|errors|p|rate|tls|established|\\.|p99|p99\\.9|service|<|>=|=|[0-9]|ms|s|%|,| |\\(|\\)|é){0,12}",
    ) {
        if let Ok(expression) = Expression::parse(&text) {
            prop_assert_eq!(Expression::parse(&expression.to_string()), Ok(expression));
        }
    }
}
