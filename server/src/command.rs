//! `gatekeeper verify`: verifies tokens from standard input and prints a line of JSON for each.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::config::{ConfigError, TokenArgs};
use crate::keys::Keys;
use crate::verify::{TOKEN_BYTES_MAX, Verifier};

/// Verify tokens from standard input, one a line, and print a line of JSON for each
///
/// Each line is an object: `valid`; `reason`, why a token is refused, else null; `claims` of a valid one. It
/// exits with 0 when all tokens are valid, 1 when one is not, 2 for wrong flags, 104 for an invalid configuration.
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    tokens: TokenArgs,
    /// The instant at which tokens are judged, in seconds since 1970 [default: now]
    #[arg(long, value_name = "UNIXTIME")]
    at: Option<u64>,
    /// Check header and signature alone; the payload need not be claims, and is shown if it is JSON
    #[arg(long)]
    signature_only: bool,
}

/// Why tokens could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The flags, or the files that they name, are invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A published key set could not be fetched.
    #[error("--jwks: the key set could not be fetched, or not be used")]
    NoSet,
    /// Standard input or output failed.
    #[error("standard input or output: {0}")]
    Io(#[from] io::Error),
}

impl VerifyError {
    /// The exit code: 104 for an invalid configuration, 1 for an internal error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::NoSet => 104,
            Self::Io(_) => 1,
        }
    }
}

/// Verifies the tokens of `input` by `args` and writes the verdicts to `output`; returns whether all tokens are valid.
///
/// # Errors
/// When not all tokens could be verified.
pub fn verify(args: &VerifyArgs, input: impl BufRead, output: impl Write) -> Result<bool, VerifyError> {
    let keys = keys(&args.tokens)?;
    let policy = Arc::new(args.tokens.policy());
    let verifier = Verifier::new(keys.store, policy);
    let mut command = LineVerifier { verifier, at_s: args.at, signature_only: args.signature_only };
    Ok(command.verify_lines(input, output)?)
}

/// All keys that the flags name, or an error.
fn keys(args: &TokenArgs) -> Result<Keys, VerifyError> {
    let reloader = args.reloader(args.given_secret()?.as_deref())?;
    let keys = reloader.keys().clone();
    if keys.fetch_trigger.is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(reloader.watch())?;
        let counts = keys.counters.counts();
        if counts.fetches_failed > 0 || counts.fetches == 0 {
            return Err(VerifyError::NoSet);
        }
    }
    if keys.store.load().is_empty() {
        return Err(ConfigError::NothingToVerifyWith.into());
    }
    Ok(keys)
}

struct LineVerifier {
    verifier: Verifier,
    at_s: Option<u64>,
    signature_only: bool,
}

/// One line of the output.
#[derive(Serialize)]
struct Verdict<'v> {
    valid: bool,
    reason: Option<&'static str>,
    claims: Option<&'v RawValue>,
}

/// A line is cut to this length, at which it is refused: no token is so long.
const LINE_BYTES_MAX: usize = TOKEN_BYTES_MAX + 1;

impl LineVerifier {
    fn verify_lines(&mut self, mut input: impl BufRead, mut output: impl Write) -> io::Result<bool> {
        let mut all_valid = true;
        let mut line = Vec::new();
        while read_line(&mut input, &mut line)? {
            all_valid &= self.write_verdict(&line, &mut output)?;
            // A program that sends tokens one by one waits for each answer.
            output.flush()?;
        }
        Ok(all_valid)
    }

    fn write_verdict(&mut self, token: &[u8], output: &mut impl Write) -> io::Result<bool> {
        let now_s = self.at_s.unwrap_or_else(unix_s);
        let verified = match self.signature_only {
            true => self.verifier.verify_signature(token),
            false => self.verifier.verify(token, now_s).map(|verified| verified.claims.as_bytes()),
        };
        let claims = verified.ok().and_then(in_one_line);
        let reason = verified.err().map(|refusal| refusal.as_str());
        let verdict = Verdict { valid: verified.is_ok(), reason, claims: claims.as_deref() };
        serde_json::to_writer(&mut *output, &verdict)?;
        output.write_all(b"\n")?;
        Ok(verdict.valid)
    }
}

/// JSON with blanks in place of line ends, which JSON's strings cannot contain; `None` for other text.
fn in_one_line(json: &[u8]) -> Option<Box<RawValue>> {
    let json = str::from_utf8(json).ok()?.replace(['\n', '\r'], " ");
    RawValue::from_string(json).ok()
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Reads a line without its end into `line`, cut to [`LINE_BYTES_MAX`]; `false` at the end of the input.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut is_any = false;
    loop {
        let available = input.fill_buf()?;
        if available.is_empty() {
            break;
        }
        is_any = true;
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = available.get(..end.unwrap_or(available.len()));
        let room = LINE_BYTES_MAX.saturating_sub(line.len());
        line.extend(part.unwrap_or_default().iter().take(room));
        let used = end.map_or(available.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            break;
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(is_any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_up_to_the_limit() {
        let long = "x".repeat(3 * LINE_BYTES_MAX);
        let text = format!("a\n\nb c\r\n{long}\nlast");
        for buffer_bytes in [1, 7, 100_000] {
            let mut input = io::BufReader::with_capacity(buffer_bytes, text.as_bytes());
            let mut line = Vec::new();
            for (expected, why) in [
                ("a", "a line"),
                ("", "an empty line"),
                ("b c", "a line that ends with CR LF"),
                (&long[..LINE_BYTES_MAX], "a line above the limit"),
                ("last", "a line without an end"),
            ] {
                assert!(read_line(&mut input, &mut line).unwrap(), "{why}");
                assert_eq!(line, expected.as_bytes(), "{why}");
            }
            assert!(!read_line(&mut input, &mut line).unwrap());
        }
    }

    #[test]
    fn json_is_printed_in_one_line() {
        for (json, shown, why) in [
            (&b"{\"a\":1.50}"[..], Some("{\"a\":1.50}"), "unchanged"),
            (b"{\n  \"a\": 1\r\n}", Some("{   \"a\": 1  }"), "line ends become blanks"),
            (b"7", Some("7"), "a number"),
            (b"no JSON", None, "no JSON"),
            (b"\xff", None, "no UTF-8"),
        ] {
            let found = in_one_line(json);
            assert_eq!(found.as_deref().map(RawValue::get), shown, "{why}");
        }
    }
}
