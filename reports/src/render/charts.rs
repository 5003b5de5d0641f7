//! The pictures of a report, each drawn from the result alone.

mod bars;
mod by_percentile;
mod composition;
mod frame;
mod over_time;

pub use bars::{outcomes, spread};
pub use by_percentile::by_percentile;
pub use composition::phases_stacked;
pub use over_time::over_time;
