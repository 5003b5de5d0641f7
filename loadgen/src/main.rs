//! `gatecrash`: load tests for services that let sockets in by JSON Web Token.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use gatecrash::cli::{Cli, Command};
use gatecrash::run::run;

fn main() -> ExitCode {
    let (code, error) = match Cli::parse().command {
        Command::Run(args) => match run(*args) {
            Ok(code) => (code, None),
            Err(error) => (error.exit_code(), Some(error.to_string())),
        },
        Command::Member => (gatecrash::drive::processes::run(), None),
        Command::Serve(args) => match gatekeeper::server::serve(&args) {
            Ok(()) => (0, None),
            Err(error) => (error.exit_code(), Some(error.to_string())),
        },
    };
    if let Some(error) = error {
        // If standard error is closed, the exit code still reports the failure.
        let _ = writeln!(io::stderr(), "gatecrash: {error}");
    }
    ExitCode::from(code)
}
