//! What a person sees while a run lasts, on standard error: a line that redraws itself on a terminal, else plain
//! lines now and then, or nothing at all.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reports::units;

/// Plain lines come this many seconds apart: a log of a long run stays readable.
const PLAIN_EVERY_S: u64 = 5;
/// Redraws a second; faster ones flicker and cost the load's processor.
const REDRAWS_PER_S: u8 = 4;

/// Tells how a run goes.
#[derive(Debug)]
pub struct Progress {
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    Lines,
    Bar(ProgressBar),
}

/// How far a run is, once a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// Whole seconds since T0.
    pub second: u64,
    /// Arrivals that are decided, whatever became of them.
    pub ended: u64,
    /// Arrivals in all, where that is known.
    pub planned: Option<u64>,
    /// Arrivals that were established.
    pub established: u64,
    /// Arrivals that were neither established nor refused as expected.
    pub failed: u64,
    /// Arrivals under way.
    pub in_flight: u64,
    /// The most sockets held at once in the last second.
    pub held: u64,
    /// Arrivals established in the last second.
    pub established_last_s: u64,
}

impl Progress {
    /// As a scenario wants it: `quiet` says nothing, without `tui` nothing is redrawn.
    pub fn new(quiet: bool, tui: bool) -> Self {
        let shown = if quiet {
            Shown::Nothing
        } else if tui && io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(
                None,
                ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_S),
            );
            bar.enable_steady_tick(Duration::from_millis(250));
            Shown::Bar(bar)
        } else {
            Shown::Lines
        };
        Self { shown }
    }

    /// A step of the run in a few words: `logging 100 users in`.
    pub fn step(&self, words: &str) {
        match &self.shown {
            Shown::Nothing => {}
            Shown::Lines => say(words),
            Shown::Bar(bar) => {
                bar.set_style(style("{spinner} {msg}"));
                bar.set_message(words.to_owned());
            }
        }
    }

    /// A line that stays: a warning, or where something is.
    pub fn note(&self, words: &str) {
        match &self.shown {
            Shown::Nothing => {}
            Shown::Lines => say(words),
            Shown::Bar(bar) => bar.suspend(|| say(words)),
        }
    }

    /// The state of the load, once a second.
    pub fn tick(&self, tick: &Tick) {
        match &self.shown {
            Shown::Nothing => {}
            Shown::Lines if tick.second.is_multiple_of(PLAIN_EVERY_S) => say(&line(tick)),
            Shown::Lines => {}
            Shown::Bar(bar) => {
                match tick.planned {
                    Some(planned) => {
                        bar.set_length(planned);
                        bar.set_style(style("{spinner} [{bar:30}] {msg}"));
                    }
                    None => bar.set_style(style("{spinner} {msg}")),
                }
                bar.set_position(tick.ended);
                bar.set_message(line(tick));
            }
        }
    }

    /// Takes the display away.
    pub fn finish(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn line(tick: &Tick) -> String {
    let of = tick.planned.map_or(String::new(), |planned| {
        format!("/{}", units::count(planned))
    });
    let failed = match tick.failed {
        0 => String::new(),
        failed => format!(", {} failed", units::count(failed)),
    };
    format!(
        "{}s  {}{of} decided, {} established{failed}, {} in flight, {} held, {}",
        tick.second,
        units::count(tick.ended),
        units::count(tick.established),
        units::count(tick.in_flight),
        units::count(tick.held),
        units::rate(tick.established_last_s as f64),
    )
}

/// A template of this file is sound, which the tests prove; the default stands in for one that is not.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Standard error may be closed; a run does not end for that.
fn say(words: &str) {
    let _closed = writeln!(io::stderr().lock(), "{words}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_reads_as_a_line() {
        let tick = Tick {
            second: 5,
            ended: 2500,
            planned: Some(5000),
            established: 2499,
            failed: 0,
            in_flight: 3,
            held: 2499,
            established_last_s: 500,
        };
        assert_eq!(
            line(&tick),
            "5s  2,500/5,000 decided, 2,499 established, 3 in flight, 2,499 held, 500/s"
        );
        let unplanned = Tick {
            planned: None,
            failed: 1,
            ..tick
        };
        assert_eq!(
            line(&unplanned),
            "5s  2,500 decided, 2,499 established, 1 failed, 3 in flight, 2,499 held, 500/s"
        );
    }

    #[test]
    fn the_templates_are_sound() {
        for template in ["{spinner} {msg}", "{spinner} [{bar:30}] {msg}"] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn nothing_is_said_where_nothing_was_asked() {
        let progress = Progress::new(true, true);
        progress.step("a step");
        progress.note("a note");
        progress.tick(&Tick::default());
        progress.finish();
        assert!(matches!(progress.shown, Shown::Nothing));
    }
}
