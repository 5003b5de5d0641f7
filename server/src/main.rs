//! `gatekeeper`: lets sockets in by JSON Web Token.

use std::process::ExitCode;

use clap::Parser;
use gatekeeper::{config::ServeArgs, server::serve};

/// A socket server that lets sockets in by JSON Web Token, and the web frontend that hands its tokens out.
///
/// Once it is ready, one line of JSON on standard output has the bound URLs. SIGTERM and SIGINT end it in order.
/// It leaves with 0 then, with 1 after an internal error, 2 for wrong flags, 104 for a bad configuration.
#[derive(Parser)]
#[command(name = "gatekeeper", version)]
struct Cli {
    #[command(flatten)]
    serve: ServeArgs,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match serve(&cli.serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gatekeeper: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
