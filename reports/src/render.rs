//! A result as people and other programs read it: pure functions from [`RunResult`] to text.
//!
//! Formatting alone: every statistic is taken from the result, none is computed. Scales of pictures are the only
//! arithmetic here.

mod charts;
mod csv;
mod html;
mod junit;
mod markdown;
mod markup;
mod svg;
mod tables;
mod text;

pub use csv::csv;
pub use html::html;
pub use junit::junit;
pub use markdown::markdown;
pub use tables::observed;
pub use text::{TextOptions, text};

#[cfg(doc)]
use crate::schema::RunResult;
