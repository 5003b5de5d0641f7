//! Progress of a run on standard error (the live view on a terminal, else plain lines, or nothing) and for Prometheus.

use std::io::{self, Write};
use std::sync::Arc;

use reports::units;

use crate::ground::outcome::Outcome;
use crate::run::live::{Key, Now, Page, View};

/// Plain lines come this many seconds apart: a log of a long run stays readable.
const PLAIN_EVERY_S: u64 = 5;

/// Shows the progress of a run.
pub struct Progress {
    shown: Shown,
    page: Option<Page>,
}

enum Shown {
    Nothing,
    Lines,
    View(View),
}

impl Progress {
    /// `quiet` shows nothing; without `tui` there are plain lines only. `pressed` is called for each key of the live view.
    pub fn new(quiet: bool, tui: bool, page: Option<Page>, pressed: impl Fn(Key) + Send + 'static) -> Self {
        if let Some(page) = page.as_ref().filter(|_| !quiet) {
            print_line(&format!("metrics at http://{}/metrics", page.address()));
        }
        let view = if quiet || !tui { None } else { View::take(pressed) };
        let shown = match view {
            Some(view) => Shown::View(view),
            None if quiet => Shown::Nothing,
            None => Shown::Lines,
        };
        Self { shown, page }
    }

    /// A step of the run in a few words: `logging 100 users in`.
    pub fn step(&self, words: &str) {
        match &self.shown {
            Shown::Nothing => {}
            Shown::Lines => print_line(words),
            Shown::View(view) => view.step(words),
        }
    }

    /// Whether [`tick`](Self::tick) shows its figures anywhere.
    pub fn wants_figures(&self) -> bool {
        self.page.is_some() || !matches!(self.shown, Shown::Nothing)
    }

    /// The state of the load, once a second.
    pub fn tick(&self, now: Now) {
        let now = Arc::new(now);
        match &self.shown {
            Shown::Nothing => {}
            Shown::Lines if now.elapsed_s.is_multiple_of(PLAIN_EVERY_S) => print_line(&line(&now)),
            Shown::Lines => {}
            Shown::View(view) => view.show(now.clone()),
        }
        if let Some(page) = &self.page {
            page.show(now);
        }
    }

    /// Removes the live view.
    pub fn finish(&self) {
        if let Shown::View(view) = &self.shown {
            view.finish();
        }
    }
}

fn line(now: &Now) -> String {
    let of = now.planned.map_or(String::new(), |planned| format!("/{}", units::count(planned)));
    let failed = match now.failed() {
        0 => String::new(),
        failed => format!(", {} failed", units::count(failed)),
    };
    let doubts = if now.generator.doubts.is_empty() { "" } else { ", invalid so far" };
    format!(
        "{}s  {}{of} decided, {} established{failed}, {} in flight, {} held, {}{doubts}",
        now.elapsed_s,
        units::count(now.ended()),
        units::count(now.count(Outcome::Established)),
        units::count(now.in_flight),
        units::count(now.held),
        units::rate(now.last.established as f64),
    )
}

/// Standard error may be closed; a run does not end for that.
fn print_line(words: &str) {
    let _closed = writeln!(io::stderr().lock(), "{words}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::live::LastSecond;

    #[test]
    fn a_second_is_shown_as_one_line() {
        let now = Now {
            elapsed_s: 5,
            outcomes: [2499, 1, 0, 0, 0, 0, 0, 0],
            planned: Some(5000),
            in_flight: 3,
            held: 2499,
            last: LastSecond { established: 500, ..LastSecond::default() },
            ..Now::default()
        };
        assert_eq!(line(&now), "5s  2,500/5,000 decided, 2,499 established, 3 in flight, 2,499 held, 500/s");
        let mut troubled = Now { planned: None, outcomes: [2499, 0, 0, 0, 0, 1, 0, 0], ..now };
        troubled.generator.doubts = vec!["late".to_owned()];
        assert_eq!(
            line(&troubled),
            "5s  2,500 decided, 2,499 established, 1 failed, 3 in flight, 2,499 held, 500/s, invalid so far"
        );
    }

    #[test]
    fn a_quiet_run_shows_nothing() {
        let progress = Progress::new(true, true, None, |_| ());
        progress.step("a step");
        progress.tick(Now::default());
        progress.finish();
        assert!(matches!(progress.shown, Shown::Nothing) && !progress.wants_figures());
    }
}
