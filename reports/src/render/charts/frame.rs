//! What the pictures share: their frame with a title, and the axis of latencies.

use maud::{Markup, html};

use crate::render::svg::{Axis, Scale, Series};
use crate::units;

/// Beyond this factor between the lowest and the highest latency a linear axis would hide the low ones.
const LINEAR_FACTOR_MAX: f64 = 25.0;

/// Linear from zero where the latencies are of one size, logarithmic where they are not.
pub fn latency_axis(series: &[Series]) -> Axis {
    let values = || series.iter().flat_map(|one| one.points.iter().flatten().map(|point| point.1));
    let low = values().filter(|us| *us > 0.0).fold(f64::INFINITY, f64::min);
    let high = values().fold(0.0, f64::max);
    let scale = if low.is_finite() && high / low > LINEAR_FACTOR_MAX {
        Scale::logarithmic(low, high)
    } else {
        Scale::from_zero(high)
    };
    let ticks = scale.ticks().into_iter().map(|us| (us, units::tick_us(us)));
    Axis { scale, ticks: ticks.collect() }
}

/// A picture with its title and a sentence beside it.
pub fn figure(title: &str, caption: &str, picture: &Markup) -> Markup {
    html! { figure { figcaption { b { (title) } " " (caption) } (picture) } }
}
