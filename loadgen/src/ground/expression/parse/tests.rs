//! What is read, and how errors look.

use proptest::prelude::*;

use crate::ground::expression::Expression;

fn error(text: &str) -> String {
    Expression::parse(text).unwrap_err().to_string()
}

#[test]
fn expressions_are_shown_as_written() {
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
fn k6_notation_has_the_same_limit() {
    let limit_ns = |text: &str| Expression::parse(text).unwrap().handshake_limit_ns();
    assert_eq!(limit_ns("p(99)<400"), limit_ns("handshake.p99<400ms"));
}

#[test]
fn errors_point_at_the_character() {
    let outcomes = "established, refused_expected, false_accept, false_reject, timeout, failed, interrupted, not_sent";
    let quantities = &format!(
        "handshake, echo, login, token, connect, tls, upgrade, open, poll, auth, errors, dropped, unanswered, {outcomes}, \
         rate(established) or p(99)"
    );
    let operators = "an operator: <=, >=, ==, <, >";
    let stats = "a stat: p99.9, p99, p95, p90, p50, max, mean";
    for (text, column, expected) in [
        ("handshake.p98<50ms", 10, &*format!("response, service, lag or {stats}")),
        ("handshake.p99<50", 16, "us, ms or s"),
        ("handshake.p99 50ms", 14, operators),
        ("connect.service.p99<50ms", 8, stats),
        ("errors<0.1%;established>0", 11, "`,` and another condition, or the end"),
        ("errors<0.1%,", 12, quantities),
        ("rate(arrived)>1/s", 5, outcomes),
        ("p(98)<400", 2, "50, 90, 95, 99 or 99.9"),
        ("errors<much", 7, "a number"),
        ("errors=0", 6, operators),
        ("é\n", 0, quantities),
    ] {
        let shown = text.replace('\n', " ");
        assert_eq!(error(text), format!("expected {expected}\n  {shown}\n  {:column$}^", ""), "{text:?}");
    }
    let meant = error("handshke.p99<50ms");
    assert!(meant.starts_with(&format!("did you mean `handshake`?\nexpected {quantities}\n")), "{meant}");
}

#[test]
fn empty_text_is_no_expression() {
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
