//! The live view as a picture: a pure function of what is known and of the terminal's size.
//!
//! From the top: where the run is, arrivals and rates, the generator's health; then, as far as there is room, the 99th
//! percentile over time, latencies by phase, and what went wrong, which comes first when room is short.

mod look;
mod parts;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Sparkline, SparklineBar};

use crate::run::live::Now;

pub use look::{Look, Shown};

/// From this many lines up there is room for air between the parts.
const AIRY_LINES_MIN: usize = 20;
/// With fewer lines than this every part is kept short.
const TIGHT_LINES: usize = 16;
/// The curve is no finer for more lines.
const CURVE_LINES_MAX: usize = 6;
/// A heading, and two lines of bars.
const CURVE_LINES_MIN: usize = 3;
/// What went wrong has a quarter of the room left, and at least its heading and one line.
const TROUBLES_PART: usize = 4;

/// Draws the view.
pub fn draw(frame: &mut Frame<'_>, shown: &Shown<'_>, look: Look) {
    let area = frame.area();
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let mut pen = Pen { frame, top: 0 };
    pen.lines(vec![parts::title(shown, width, look)]);
    let Some(now) = shown.now else {
        return;
    };
    let gap = usize::from(height >= AIRY_LINES_MIN);
    let mut head = vec![parts::bar(now, width, look)];
    head.extend(parts::arrivals(now, width, look));
    let tight = height < TIGHT_LINES;
    head.extend(parts::health(now, width, tight, look));
    let mut room = height.saturating_sub(1 + head.len());
    pen.lines(head);

    let mut troubles = parts::troubles(now, width, look);
    if tight && !troubles.is_empty() {
        // The heading can be spared.
        troubles.remove(0);
    }
    let mut kept = troubles.len().min((room / TROUBLES_PART).max(2));
    if kept > 0 {
        room = room.saturating_sub(kept + gap);
    }
    let rows = parts::phases_wanted(now).min(room.saturating_sub(1 + gap));
    let table = if rows > 0 { parts::phases(now, rows, width, look) } else { Vec::new() };
    room = room.saturating_sub(table.len() + gap);
    let curve = room.saturating_sub(gap).min(CURVE_LINES_MAX);
    if curve >= CURVE_LINES_MIN {
        pen.skip(gap);
        pen.lines(vec![parts::curve_heading(now, width, look)]);
        pen.curve(now, curve - 1, look);
    } else {
        kept += room;
    }
    troubles.truncate(kept);
    for part in [table, troubles] {
        if !part.is_empty() {
            pen.skip(gap);
            pen.lines(part);
        }
    }
}

/// Draws from the top down, and nothing beyond the bottom.
struct Pen<'a, 'b> {
    frame: &'a mut Frame<'b>,
    top: u16,
}

impl Pen<'_, '_> {
    fn skip(&mut self, lines: usize) {
        self.top += lines as u16;
    }

    fn lines(&mut self, lines: Vec<Line<'static>>) {
        let place = self.place(lines.len());
        self.frame.render_widget(Paragraph::new(lines), place);
    }

    fn curve(&mut self, now: &Now, lines: usize, look: Look) {
        let place = self.place(lines);
        let seen = now.p99_us.len().saturating_sub(usize::from(place.width));
        let bars = now.p99_us[seen..].iter().map(|us| SparklineBar::from(us.map(|us| (us as u64).max(1))));
        let curve = Sparkline::default().data(bars.collect::<Vec<_>>()).style(look.accent());
        self.frame.render_widget(curve, place);
    }

    fn place(&mut self, lines: usize) -> Rect {
        let area = self.frame.area();
        let place = Rect { y: self.top.min(area.height), height: lines as u16, ..area };
        self.top += lines as u16;
        place.intersection(area)
    }
}

#[cfg(test)]
mod tests;
