//! `gatekeeper`: authenticates sockets by JSON Web Token.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gatekeeper::command::{VerifyArgs, verify};
use gatekeeper::config::ServeArgs;
use gatekeeper::server::serve;

/// A socket server that authenticates by JSON Web Token, and the web frontend that issues the tokens.
///
/// Once it is ready, one line of JSON on standard output has the bound URLs. SIGTERM and SIGINT end it in order, SIGHUP
/// makes it read its keys and its certificate again. It exits with 0 then, with 1 after an internal error, 2 for wrong
/// flags, 104 for an invalid configuration.
#[derive(Parser)]
#[command(name = "gatekeeper", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Subcommand)]
enum Command {
    Verify(VerifyArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (code, error) = match cli.command {
        None => match serve(&cli.serve) {
            Ok(()) => (0, None),
            Err(error) => (error.exit_code(), Some(error.to_string())),
        },
        Some(Command::Verify(args)) => match verify(&args, io::stdin().lock(), io::stdout()) {
            Ok(all_valid) => (u8::from(!all_valid), None),
            Err(error) => (error.exit_code(), Some(error.to_string())),
        },
    };
    if let Some(error) = error {
        // If standard error cannot be written, the exit code shows the failure.
        let _ = writeln!(io::stderr(), "gatekeeper: {error}");
    }
    ExitCode::from(code)
}
