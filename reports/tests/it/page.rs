//! What must hold of `report.html`, whatever the result.

use reports::render::html;
use reports::schema::{Interval, RunResult};

use crate::fixture::{fixture, troubled};

/// Results of every size, with the reason for each.
fn results() -> Vec<(RunResult, &'static str)> {
    let mut closed = fixture().0;
    closed.scenario.concurrency = Some(64);
    let mut one_second = fixture().0;
    one_second.intervals.truncate(1);
    let mut long = fixture().0;
    long.intervals = (0..86_400)
        .map(|second| Interval {
            second,
            planned: 500,
            established: 500,
            held: 5_000,
            handshake_p50_us: (second % 7 > 0).then_some(370.0),
            ..Interval::default()
        })
        .collect();
    let mut unreadable = fixture().0;
    for phase in unreadable.phases.values_mut() {
        if let Some(service) = &mut phase.established.service {
            service.hdr = "not a histogram".to_owned();
        }
    }
    vec![
        (fixture().0, "a good run"),
        (troubled(), "a bad one"),
        (closed, "the closed model"),
        (one_second, "a single second"),
        (long, "a whole day"),
        (unreadable, "histograms that do not read back"),
        (RunResult::default(), "nothing measured"),
    ]
}

#[test]
fn the_page_is_well_formed_and_loads_nothing() {
    for (result, why) in results() {
        let page = html(&result);
        check_well_formed(&page, why);
        let tags: String = page.split('<').filter_map(|piece| piece.split('>').next()).collect();
        for loading in ["script", "link ", "img ", "iframe", " src=", "href=", "url(", "@import", " onload"] {
            assert!(!tags.contains(loading), "{why}: {loading}");
        }
        let style = page.split("</style>").next().unwrap();
        assert!(!style.contains("url(") && !style.contains("@import"), "{why}");
        assert!(page.contains("default-src 'none'"), "{why}");
        assert!(!page.contains("NaN") && !page.contains("inf%"), "{why}: a picture without a number");
    }
}

#[test]
fn the_verdict_comes_before_every_table_and_picture() {
    for (result, why) in results() {
        let page = html(&result);
        let verdict = page.find("<h1>").expect(why);
        for later in ["<table", "<figure", "<h2>"] {
            assert!(page.find(later).is_none_or(|at| verdict < at), "{why}: {later}");
        }
        assert_eq!(page.matches("<h1>").count(), 1, "{why}");
    }
}

#[test]
fn pictures_and_tables_are_named() {
    for (result, why) in results() {
        let page = html(&result);
        assert_eq!(page.matches("<table").count(), page.matches("<caption>").count(), "{why}");
        assert_eq!(page.matches("<figure>").count(), page.matches("<figcaption>").count(), "{why}");
        assert_eq!(
            page.matches("role=\"img\"").count(),
            page.matches("<desc id=").count(),
            "{why}: a picture without a description"
        );
    }
}

#[test]
fn a_good_run_has_every_picture() {
    let page = html(&fixture().0);
    for id in ["rates", "latency-over-time", "held", "by-percentile", "phases"] {
        assert_eq!(page.matches(&format!("id=\"{id}-t\"")).count(), 1, "{id}");
    }
}

#[test]
fn a_long_run_does_not_make_a_heavy_page() {
    let (result, _) = results().into_iter().find(|(_, why)| *why == "a whole day").unwrap();
    let bytes = html(&result).len();
    assert!(bytes < 500_000, "{bytes} bytes for 86,400 seconds");
}

#[test]
fn every_class_and_colour_is_in_the_style_sheet() {
    let page = html(&fixture().0);
    let (style, body) = page.split_once("</style>").unwrap();
    assert!(!body.contains("style=") && !body.contains("fill=\""), "colours come by class");
    for variable in style.split("var(--").skip(1) {
        let name = variable.split(')').next().unwrap();
        assert!(style.contains(&format!("--{name}:")), "--{name} is defined");
    }
}

/// Tags open and close in order, and no bare `<` or `&` is left in text.
fn check_well_formed(page: &str, why: &str) {
    const VOID: [&str; 1] = ["meta"];
    let mut open = Vec::new();
    for piece in page.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("{why}: <{piece}"));
        let name = tag.split([' ', '\n', '/']).next().unwrap_or_default();
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "{why}: </{closed}>");
        } else if !(tag.starts_with('!') || tag.ends_with('/') || VOID.contains(&name)) {
            open.push(name);
        }
        if open.last() != Some(&"style") {
            for entity in text.split('&').skip(1) {
                let known = ["amp;", "lt;", "gt;", "quot;", "#39;"];
                assert!(known.iter().any(|known| entity.starts_with(known)), "{why}: &{entity}");
            }
        }
    }
    assert!(open.is_empty(), "{why}: left open: {open:?}");
}
