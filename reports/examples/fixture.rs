//! Writes the result directory of the tests' fixture, to look at its report:
//! `cargo run -p reports --example fixture -- DIR [troubled]`.

use std::error::Error;

#[path = "../tests/it/fixture.rs"]
mod fixture;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("a folder is needed")?;
    let (good, hlog) = fixture::fixture();
    let result = match arguments.next().as_deref() {
        Some("troubled") => fixture::troubled(),
        _ => good,
    };
    reports::store::ResultDir::create(dir)?.write_all(&result, &hlog)?;
    Ok(())
}
