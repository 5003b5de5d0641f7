//! What every layer builds on: the closed set of outcomes, the recorder of figures, expressions, small values, and
//! this machine.

pub mod environment;
pub mod expression;
pub mod nearest;
pub mod outcome;
pub mod recorder;
pub mod time;
pub mod values;
