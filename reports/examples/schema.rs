//! Prints the JSON Schema of `result.json`:
//! `cargo run -p reports --example schema > reports/schema/result-1.json`.

fn main() {
    print!("{}", reports::json_schema());
}
