//! The command line and its subcommands. [`crate::spec`] gives the flags of a run their meaning.

use clap::{Parser, Subcommand};

use crate::spec::RunArgs;

/// Load tests for services that let sockets in by JSON Web Token.
#[derive(Debug, Parser)]
#[command(name = "gatecrash", version, about, max_term_width = 100)]
pub struct Cli {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// One run: log in, fetch tokens, open authenticated sockets, hold them, talk over them, report
    ///
    /// Without --target it starts a server of its own on free loopback ports. Exit codes: 0 pass, 2 usage, 96 false
    /// accept, 97 invalid run, 99 threshold, 104 bad configuration or unreachable target, 105 stopped by a signal.
    Run(Box<RunArgs>),
    /// The server by itself, the same as `gatekeeper`
    Serve(Box<gatekeeper::config::ServeArgs>),
    /// A process of a run: started by `run --processes` alone, and steered over its standard input
    #[command(hide = true)]
    Member,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<RunArgs, clap::Error> {
        match Cli::try_parse_from(line.split(' '))?.command {
            Command::Run(args) => Ok(*args),
            Command::Serve(_) | Command::Member => panic!("{line} is a run"),
        }
    }

    #[test]
    fn command_line_definition_passes_claps_checks() {
        Cli::command().debug_assert();
    }

    #[test]
    fn error_of_a_wrong_flag_names_what_is_allowed() {
        for (line, part) in [
            ("gatecrash run -r 500 --concurrency 5", "cannot be used with"),
            ("gatecrash run --eio 5", "Socket.IO 3 and 4"),
            ("gatecrash run --duration 10", "such as 500ms, 10s"),
            ("gatecrash run --token-in body", "subprotocol"),
            ("gatecrash run --threshold handshake.p98<1s", "p99.9, p99, p95"),
            ("gatecrash run --conections 5", "--connections"),
            ("gatecrash run --user gonzalo", "NAME:PASSWORD"),
            ("gatecrash run --user a:b --users u.csv", "cannot be used with"),
            ("gatecrash run --target not-a-url", "relative URL"),
            ("gatecrash run --claims 5", "JSON object"),
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(part), "{line}: {error}");
        }
    }
}
