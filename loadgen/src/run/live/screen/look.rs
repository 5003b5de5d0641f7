//! What the view shows, and in which styles.

use ratatui::style::{Color, Modifier, Style};

use crate::ground::recorder::Metric;
use crate::run::live::Now;

/// What is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The step of the run, in a few words.
    pub step: &'a str,
    /// The latest figures; `None` before T0.
    pub now: Option<&'a Now>,
    /// The run was asked to end.
    pub stopping: bool,
}

/// How the view looks on this terminal.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Whether it has colours.
    pub color: bool,
}

impl Look {
    /// In colours, unless `NO_COLOR` is set (no-color.org).
    pub fn of_environment() -> Self {
        Self { color: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    pub(super) fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn good(self) -> Style {
        self.colored(Color::Green)
    }

    pub(super) fn bad(self) -> Style {
        self.colored(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(super) fn accent(self) -> Style {
        self.colored(Color::Cyan)
    }

    fn colored(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }
}

/// The metric that the view is about.
pub(super) fn judged(now: &Now) -> Metric {
    Metric::Handshake(now.judged())
}
