//! The parts of the live view, each as lines that are no wider than they may be.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use reports::units;

use crate::ground::outcome::Outcome;
use crate::ground::recorder::{Metric, Part};
use crate::run::live::screen::look::{Look, Shown, judged};
use crate::run::live::{Left, Now, PhaseNow};

/// A word with its looks.
type Word = (String, Style);

/// Where the run is, and to the right which keys there are.
pub fn title(shown: &Shown<'_>, width: usize, look: Look) -> Line<'static> {
    let state = match shown.now {
        _ if shown.stopping => "stopping".to_owned(),
        None => shown.step.to_owned(),
        Some(now) if now.warming_up => format!("warming up, {}", seconds(now.elapsed_s)),
        Some(now) => {
            let left = match now.left {
                Some(Left::Planned(left)) => format!(", {} left", seconds(left.as_secs())),
                Some(Left::About(left)) => format!(", about {} left", seconds(left.as_secs())),
                None => String::new(),
            };
            format!("{}{left}", seconds(now.elapsed_s))
        }
    };
    let keys = ["q ends the run and writes its result", "q ends it", "q"];
    let left = "Gatecrash  ".len() + state.chars().count();
    let keys = keys.into_iter().find(|keys| left + 2 + keys.len() <= width).unwrap_or_default();
    let gap = width.saturating_sub(left + keys.len());
    Line::from(vec![
        Span::styled("Gatecrash  ", look.bold()),
        Span::raw(state),
        Span::raw(" ".repeat(gap)),
        Span::styled(keys, look.faint()),
    ])
}

/// How much is decided.
pub fn bar(now: &Now, width: usize, look: Look) -> Line<'static> {
    let ended = units::count(now.ended());
    let Some(planned) = now.planned.filter(|planned| *planned > 0) else {
        return Line::from(format!("{ended} decided"));
    };
    let words = format!(" {ended} of {}", units::count(planned));
    let cells = width.saturating_sub(words.chars().count());
    let part = (now.ended() as f64 / planned as f64).min(1.0);
    let full = (part * cells as f64) as usize;
    Line::from(vec![
        Span::styled("█".repeat(full), look.accent()),
        Span::styled("░".repeat(cells - full), look.faint()),
        Span::raw(words),
    ])
}

/// Rates, planned and achieved, and what became of the arrivals.
pub fn arrivals(now: &Now, width: usize, look: Look) -> Vec<Line<'static>> {
    let plain = Style::new();
    let mut words: Vec<Word> = Vec::new();
    if now.open_model {
        words.push((format!("{} planned", per_s(now.last.due)), plain));
    }
    words.push((format!("{} begun", per_s(now.last.started)), plain));
    words.push((format!("{} established", per_s(now.last.established)), look.bold()));
    words.push((format!("{} held", units::count(now.held)), look.bold()));
    words.push((format!("{} in flight", units::count(now.in_flight)), plain));
    let refused = now.count(Outcome::RefusedExpected);
    if refused > 0 {
        words.push((format!("{} refused as expected", units::count(refused)), plain));
    }
    let false_accepts = now.count(Outcome::FalseAccept);
    if false_accepts > 0 {
        let count = units::count(false_accepts);
        words.push((format!("{count} ACCEPTED BY MISTAKE"), look.bad()));
    }
    let failed = now.failed() - false_accepts;
    let style = if failed > 0 { look.bad() } else { plain };
    words.push((format!("{} failed", units::count(failed)), style));
    packed(words, width)
}

/// Whether the generator can be trusted, and what it takes; where room is tight, the beginning of both.
pub fn health(now: &Now, width: usize, tight: bool, look: Look) -> Vec<Line<'static>> {
    let generator = &now.generator;
    let plain = Style::new();
    let mut words: Vec<Word> = Vec::new();
    for doubt in &generator.doubts {
        // Broken between words, as one sentence.
        let sentence = format!("INVALID SO FAR: {}", clean(doubt));
        words.extend(sentence.split(' ').map(|word| (word.to_owned(), look.bad())));
    }
    let mut lines = joined(words, width, " ");
    if tight {
        lines.truncate(2);
    }
    let mut words = vec![("Generator".to_owned(), look.bold())];
    if generator.doubts.is_empty() {
        words.push(("valid so far".to_owned(), look.good()));
    }
    if let Some(lag_us) = generator.lag_p99_us {
        words.push((format!("lag p99 {}", units::duration_us(lag_us)), plain));
    }
    if let Some(lag_us) = generator.lag_p99_last_us {
        words.push((format!("{} in this second", units::duration_us(lag_us)), plain));
    }
    if let Some(share) = generator.cpu_share {
        words.push((format!("CPU {}", units::share(share)), plain));
    }
    if let Some(bytes) = generator.rss_bytes {
        words.push((format!("memory {}", units::bytes(bytes as f64)), plain));
    }
    let figures = packed(words, width).into_iter();
    lines.extend(figures.take(if tight { 1 } else { usize::MAX }));
    lines
}

/// What the curve shows, and its ends.
pub fn curve_heading(now: &Now, width: usize, look: Look) -> Line<'static> {
    let last = now.p99_us.last().copied().flatten();
    let most = now.p99_us.iter().flatten().copied().fold(0.0, f64::max);
    let mut words = vec![("Handshake p99 by second".to_owned(), look.bold())];
    let last = last.map_or("none".to_owned(), units::duration_us);
    words.push((format!("now {last}"), Style::new()));
    words.push((format!("highest {}", units::duration_us(most)), Style::new()));
    packed(words, width).swap_remove(0)
}

/// Rows that the table of phases has if there is room.
pub fn phases_wanted(now: &Now) -> usize {
    now.phases.iter().filter(|phase| is_shown(phase, now)).count()
}

type Figure = (&'static str, fn(&PhaseNow) -> String);

/// The columns, and in which order a narrow terminal does without them.
const FIGURES: [Figure; 5] = [
    ("count", |phase| units::count(phase.count)),
    ("p50", |phase| units::duration_us(phase.us[0])),
    ("p90", |phase| units::duration_us(phase.us[1])),
    ("p99", |phase| units::duration_us(phase.us[2])),
    ("max", |phase| units::duration_us(phase.us[3])),
];
const DROPPED: [&str; 3] = ["count", "p90", "max"];
const FIGURE_COLUMNS: usize = 10;
const NAME_COLUMNS: usize = 19;

/// The `rows` most telling phases, at least one, in the order in which an arrival meets them.
pub fn phases(now: &Now, rows: usize, width: usize, look: Look) -> Vec<Line<'static>> {
    let mut shown: Vec<&PhaseNow> = now.phases.iter().filter(|one| is_shown(one, now)).collect();
    // The whole first, then its parts from the last to the first.
    let place = |phase: &&PhaseNow| phase.metric.index();
    shown.sort_by_key(|phase| std::cmp::Reverse(place(phase)));
    shown.sort_by_key(|phase| phase.metric != judged(now));
    shown.truncate(rows);
    shown.sort_by_key(place);
    let fitting = width.saturating_sub(NAME_COLUMNS) / FIGURE_COLUMNS;
    let dropped = FIGURES.len().saturating_sub(fitting).min(DROPPED.len());
    let figures: Vec<&Figure> = FIGURES.iter().filter(|(name, _)| !DROPPED[..dropped].contains(name)).collect();
    let heads: String = figures.iter().map(|(name, _)| format!("{name:>FIGURE_COLUMNS$}")).collect();
    let head = format!("{:<NAME_COLUMNS$}{heads}", "Phase");
    let mut lines = vec![Line::styled(head, look.faint())];
    for phase in shown {
        let cells: String = figures.iter().map(|(_, figure)| format!("{:>FIGURE_COLUMNS$}", figure(phase))).collect();
        let style = if phase.metric == judged(now) { look.bold() } else { Style::new() };
        let line = format!("{:<NAME_COLUMNS$}{cells}", name(phase.metric));
        lines.push(Line::styled(line, style));
    }
    lines
}

/// What broke, what was dropped, what was refused, under one heading; empty where nothing was.
pub fn troubles(now: &Now, width: usize, look: Look) -> Vec<Line<'static>> {
    let failures = now.failures.iter().map(|(failure, count)| {
        let what = format!("{} {}", failure.phase.as_str(), failure.kind);
        ("failed", what, *count)
    });
    let drops = now.drops.iter().map(|(kind, count)| ("dropped", kind.to_string(), *count));
    let refusals = now.refusals.iter().map(|(kind, reason, count)| {
        let what = format!("{} {}", kind.as_str(), clean(reason));
        ("refused", what, *count)
    });
    let rows: Vec<_> = failures.chain(drops).chain(refusals).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![Line::styled("Failures, drops and refusals", look.faint())];
    for (verb, what, count) in rows {
        let count = units::count(count);
        let room = width.saturating_sub(10 + count.chars().count() + 1);
        let what: String = what.chars().take(room).collect();
        let style = match verb {
            "refused" => Style::new(),
            _ => look.bad(),
        };
        lines.push(Line::from(vec![
            Span::styled(format!("{verb:<9}"), style),
            Span::raw(format!("{what:<room$} {count}")),
        ]));
    }
    lines
}

/// A composite is shown as it is judged, and its lag by the generator's health.
fn is_shown(phase: &PhaseNow, now: &Now) -> bool {
    match phase.metric {
        Metric::Handshake(part) => part == now.judged(),
        // Without a plan an echo has no response.
        Metric::Echo(Part::Response) => true,
        Metric::Echo(Part::Service) => now.phase(Metric::Echo(Part::Response)).is_none(),
        Metric::Echo(Part::Lag) => false,
        Metric::Phase(_) | Metric::CloseAtExp => true,
    }
}

fn name(metric: Metric) -> String {
    match metric {
        Metric::CloseAtExp => "close after exp".to_owned(),
        other => other.tag().replace('.', " "),
    }
}

fn per_s(count: u64) -> String {
    units::rate(count as f64)
}

fn seconds(seconds: u64) -> String {
    match seconds {
        0 => "0 s".to_owned(),
        seconds => units::tick_us(seconds as f64 * 1e6),
    }
}

/// Words in lines, two columns apart; none is broken, what is too wide is cut off by the terminal's edge.
fn packed(words: Vec<Word>, width: usize) -> Vec<Line<'static>> {
    joined(words, width, "  ")
}

fn joined(words: Vec<Word>, width: usize, between: &'static str) -> Vec<Line<'static>> {
    let mut lines: Vec<Vec<Span<'static>>> = Vec::new();
    let mut used = 0;
    for (word, style) in words {
        let columns = word.chars().count();
        match lines.last_mut() {
            Some(line) if used + between.len() + columns <= width => {
                line.extend([Span::raw(between), Span::styled(word, style)]);
                used += between.len() + columns;
            }
            _ => {
                lines.push(vec![Span::styled(word, style)]);
                used = columns;
            }
        }
    }
    lines.into_iter().map(Line::from).collect()
}

/// `text` without control characters, which a terminal would obey.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
