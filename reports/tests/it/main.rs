//! The crate from outside: results against their schema, and every way of showing them.

mod fixture;
mod page;
mod schema;
mod texts;
