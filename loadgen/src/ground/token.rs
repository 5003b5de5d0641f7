//! A token as text.

use std::sync::Arc;

/// A token as it is sent; never empty, of visible ASCII.
pub type Token = Arc<str>;
