//! Prometheus' text format: what is written is read back, and any text gives a result.

use proptest::prelude::*;
use wire::prometheus::{Kind, Page, Rule, merge, value};

proptest! {
    #[test]
    fn written_values_are_read_back(label in any::<String>(), first in -1e9..1e9_f64, second in any::<u32>()) {
        let mut page = Page::default();
        let mut family = page.family("a_total", "A.", Kind::Counter);
        family.sample(&[("x", &label), ("y", &"}")], first);
        family.sample(&[], second);
        page.gauge("a_total_created", "Another name.", 7);
        let page = page.into_text();
        prop_assert_eq!(value(&page, "a_total"), Some(first + f64::from(second)), "{}", page);
        let one = [("p".to_owned(), page.clone())];
        prop_assert_eq!(merge(&one, "process", |_| Rule::Sum), page, "one page is merged to itself");
    }

    #[test]
    fn any_text_gives_a_result(text in prop_oneof![any::<String>(), "(a|# HELP a|\\{|\\}|\"|=|\\\\| |\t|1|\n){0,20}"]) {
        let _ = value(&text, "a");
        for rule in [Rule::Sum, Rule::Largest, Rule::PerProcess] {
            let _ = merge(&[("p".to_owned(), text.clone()), ("q".to_owned(), text.clone())], "process", |_| rule);
        }
    }
}
